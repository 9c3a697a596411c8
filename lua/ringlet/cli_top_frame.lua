-- SPDX-License-Identifier: MIT
-- cli_top_frame: one picture of `ringlet top`, from what was read last and before (cli_top_reading)
-- and from what is wanted (cli_top_view): a list of lines {text=, style=}. A pure function.
--
-- Invariant: no line is wider than `width`, and there are `height` at most, if that is given; the
-- tables in the middle give way.

local rows = require "ringlet.cli_top_rows"
local text = require "ringlet.cli_text"

local M = {}

local SHARDS_SHOWN, LINTS_SHOWN = 16, 3

local number, seconds, bytes = text.number, text.seconds, text.bytes

local function add(lines, content, style)
  lines[#lines + 1] = {text = content, style = style}
end

-- How much a counter has grown in a second, as text.
local function rate(now, before, key, show)
  local dt = before and now.at - before.at or 0
  if dt <= 0 or not now.total[key] or not before.total[key] then
    return "-"
  end
  return (show or number)(math.floor(math.max(0, now.total[key] - before.total[key]) / dt + 0.5))
end

-- ---- what is at the top -------------------------------------------------------------------------

local function title(lines, now, view)
  local parts = {now.target}
  if now.command then
    parts[2] = now.command
  end
  local about = ("%s, %d shard%s"):format(now.vm or "?", #now.shards,
    #now.shards == 1 and "" or "s")
  parts[#parts + 1] = about
  parts[#parts + 1] = now.uptime and "up " .. seconds(now.uptime)
  parts[#parts + 1] = view.paused and "PAUSED" or nil
  add(lines, "ringlet top  " .. text.clean(table.concat(parts, "  ")), "title")
end

local function tasks_line(lines, now, before)
  local t = now.total
  add(lines, ("tasks     %s: %s running, %s runnable, %s waiting; +%s/s -%s/s"):format(
    number(t.live), number(t.running), number(t.runnable), number(t.waiting),
    rate(now, before, "created"), rate(now, before, "finished")))
end

-- "type=order 5,000  type=mail 213", the most numerous first
local function counted(list)
  local parts = {}
  for i, entry in ipairs(list) do
    parts[i] = text.clean(entry.text) .. " " .. number(entry.n)
  end
  return table.concat(parts, "  ")
end

local RUN_LOOP = "run loop  latency p50 %s, p99 %s; %s turns/s, %s parks/s, %s preemptions/s, "
  .. "%s steals/s"
local IO = "I/O       %s connections, %s/s in, %s/s out; %s operations/s, %s system calls/s"

local function activity(lines, now, before)
  local t, l = now.total, now.latency or {}
  add(lines, RUN_LOOP:format(seconds(l.p50), seconds(l.p99), rate(now, before, "turns"),
    rate(now, before, "parks"), rate(now, before, "preemptions"), rate(now, before, "steals")))
  add(lines, IO:format(number(t.connections), rate(now, before, "received", bytes),
    rate(now, before, "sent", bytes), rate(now, before, "operations"),
    rate(now, before, "syscalls")))
  local pause = now.pause or {}
  local dt = before and now.at - before.at or 0
  local cpu = dt > 0 and t.cpu and ("%.0f %%"):format((t.cpu - before.total.cpu) / dt * 100) or "-"
  add(lines, ("memory    %s heap, collector p99 %s; CPU %s; %s timers, %s helper threads"):format(
    bytes(t.heap), seconds(pause.p99), cpu, number(t.timers), number(t.threads)))
end

local SHARDS = {
  {title = "SHARD", right = true}, {title = "TASKS", right = true},
  {title = "RUNNING", right = true}, {title = "RUNNABLE", right = true},
  {title = "WAITING", right = true},
  {title = "LATENCY", right = true}, {title = "CONNS", right = true},
  {title = "HEAP", right = true}, {title = "STATE"},
}
local CPU_WAIT, CPU_WAIT_AT = {title = "CPU WAIT", right = true}, 7

-- How long a shard's thread waits for a CPU: p99 where that is measured, else the mean since the
-- reading before; nil: not known.
local function cpu_wait(shard, before)
  local from = before and before.shards[shard.index] or {}
  if shard.runqueue then
    return shard.runqueue.p99
  elseif shard.delay and from.delay and shard.runs > from.runs then
    return (shard.delay - from.delay) / (shard.runs - from.runs)
  end
  return nil
end

local function state_of(shard)
  if shard.silent then
    return "does not answer"
  end
  return (shard.stalled or 0) > 0 and "stalled for " .. seconds(shard.stalled) or ""
end

-- The column of waits for a CPU is there when one of them is known.
local function with_waits(columns, cells, waits)
  if next(waits) == nil then
    return columns
  end
  local all = {}
  for i, column in ipairs(columns) do
    all[i] = column
  end
  table.insert(all, CPU_WAIT_AT, CPU_WAIT)
  for i, row in ipairs(cells) do
    table.insert(row, CPU_WAIT_AT, seconds(waits[i]))
  end
  return all
end

local function add_shards(lines, now, before, width)
  local cells, waits = {}, {}
  for i, s in ipairs(now.shards) do
    if i > SHARDS_SHOWN then
      break
    end
    cells[i] = {number(s.index), number(s.live), number(s.running), number(s.runnable),
      number(s.waiting), seconds(s.latency and s.latency.p99), number(s.connections), bytes(s.heap),
      state_of(s)}
    waits[i] = cpu_wait(s, before)
  end
  for i, line in ipairs(text.table(with_waits(SHARDS, cells, waits), cells, width)) do
    local s = now.shards[i - 1]
    add(lines, line, i == 1 and "head" or state_of(s) ~= "" and "warning" or nil)
  end
  if #now.shards > SHARDS_SHOWN then
    add(lines, ("      and %d more"):format(#now.shards - SHARDS_SHOWN))
  end
end

local function add_lints(lines, now)
  for i, lint in ipairs(now.lints) do
    if i > LINTS_SHOWN then
      add(lines, ("! and %d more"):format(#now.lints - LINTS_SHOWN), "warning")
      return
    end
    add(lines, "! " .. text.clean(lint), "warning")
  end
end

-- ---- the table, and what is below it ------------------------------------------------------------

local function tabs(lines, now, view)
  local parts = {}
  for i, screen in ipairs(rows.SCREENS) do
    local name = ("%d %s"):format(i, screen)
    if screen == "warnings" and #now.lints > 0 then
      name = ("%s (%d)"):format(name, #now.lints)
    end
    parts[i] = screen == view.screen and "[" .. name .. "]" or " " .. name .. " "
  end
  local more = {}
  if view.screen == "tasks" then
    more[1] = "by " .. view.sort .. (view.reverse and ", reversed" or "")
  end
  more[#more + 1] = view.filter ~= "" and ("with \"%s\""):format(view.filter) or nil
  add(lines, table.concat(parts, " ") .. "  " .. table.concat(more, ", "), "tabs")
end

local HELP = {
  "1-4, tab   what is shown                   s, r    another order, the other way round",
  "/          only what has a text            esc     everything again",
  "up, down   choose a task                   enter   its stack, and back",
  "space      hold everything, and go on      + -     more or less often",
  "l          look for leaked tasks           q       leave",
}

local function footer(view)
  if view.typing then
    return "only with: " .. text.clean(view.typing) .. "_"
  elseif view.failed or view.message then
    return text.clean(view.failed or view.message)
  end
  return "q leave  / filter  s order  enter stack  space hold  ? help"
end

-- The lines of the screen: its table, of which the chosen line is in sight.
local function body(now, view, width, room)
  local lines, chosen = rows.lines(now, view, width)
  if not room or not chosen or chosen <= room then
    return lines
  end
  local out = {lines[1]}
  for i = chosen - room + 2, chosen do
    out[#out + 1] = lines[i]
  end
  return out
end

-- What is above the table, in parts, and in which order they give way where there is little room.
local PARTS = {"title", "tasks", "labels", "waits", "activity", "shards", "lints", "tabs"}
local FIRST_TO_GO = {"shards", "activity", "waits", "labels", "lints"}
local LEAST = 6 -- lines for the table

local function parts_of(now, before, view, width)
  local parts = {}
  for _, name in ipairs(PARTS) do
    parts[name] = {}
  end
  title(parts.title, now, view)
  tasks_line(parts.tasks, now, before)
  if now.labels[1] then
    add(parts.labels, "labels    " .. counted(now.labels))
  end
  if now.reasons[1] then
    add(parts.waits, "waits     " .. counted(now.reasons))
  end
  activity(parts.activity, now, before)
  add_shards(parts.shards, now, before, width)
  add_lints(parts.lints, now)
  tabs(parts.tabs, now, view)
  return parts
end

local function top_of(now, before, view, width, height)
  local parts, lines, n = parts_of(now, before, view, width), {}, 0
  for _, name in ipairs(PARTS) do
    n = n + #parts[name]
  end
  for _, name in ipairs(FIRST_TO_GO) do
    if n + LEAST + 1 > (height or math.huge) then
      n = n - #parts[name]
      parts[name] = {}
    end
  end
  for _, name in ipairs(PARTS) do
    for _, line in ipairs(parts[name]) do
      lines[#lines + 1] = line
    end
  end
  return lines
end

local function fitted(lines, width, height)
  for i = height and height + 1 or #lines + 1, #lines do
    lines[i] = nil
  end
  for _, line in ipairs(lines) do
    line.text = text.cut(line.text, width)
  end
  return lines
end

-- The picture. Without a height it has all lines, and no footer.
function M.lines(now, before, view, width, height)
  local lines = top_of(now, before, view, width, height)
  local room = height and math.max(height - #lines - 1, 0)
  local middle = body(now, view, width, room)
  if view.help then
    middle = {}
    for i, line in ipairs(HELP) do
      middle[i] = {text = line}
    end
  end
  for i = 1, room and math.min(room, #middle) or #middle do
    lines[#lines + 1] = middle[i]
  end
  if height then
    while #lines < height - 1 do
      add(lines, "")
    end
    lines = fitted(lines, width, height - 1)
    add(lines, text.cut(footer(view), width), view.typing and "tabs" or "foot")
    return lines
  end
  return fitted(lines, width)
end

return M
