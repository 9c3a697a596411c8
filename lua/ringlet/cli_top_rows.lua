-- SPDX-License-Identifier: MIT
-- cli_top_rows: the table in the middle of `ringlet top`: tasks, stacks, hot spots or warnings.
-- Pure functions of what was read and of what is wanted.

local by_id = require "ringlet.debug_sort".by_id
local text = require "ringlet.cli_text"

local M = {}

-- What can be shown, in the order of their keys; and the orders of tasks.
M.SCREENS = {"tasks", "stacks", "hot spots", "warnings"}
M.ORDERS = {"wait", "state", "name", "label", "id"}

local STATES = {running = 1, runnable = 2, new = 3, waiting = 4}

local KEYS = {
  wait = function(d) return -(d.since or -1) end,
  state = function(d) return STATES[d.state] or 5 end,
  name = function(d) return d.name or "\255" end,
  label = function(d) return d.labels and text.labels(d.labels) or "\255" end,
  id = function() return 0 end,
}

-- Where a task is: its innermost frame that is not ours.
local function frame_of(d)
  for _, frame in ipairs(d.stack or {}) do
    if not frame.library and frame.what ~= "C" then
      return frame
    end
  end
  return d.stack and d.stack[1]
end

local function place_of(frame)
  if not frame then
    return ""
  end
  local file, name = (frame.file or "?"):match "[^/]*$", frame.name or ""
  if (frame.line or -1) <= 0 then
    return text.clean(name ~= "" and name or file)
  end
  local is_place = name == "" or name:find ":%d+$"
  return text.clean(("%s:%d%s"):format(file, frame.line, is_place and "" or " " .. name))
end

local function said(d)
  return table.concat({
    d.id, d.name or "", text.labels(d.labels), d.state, d.reason or "", d.object or "",
    d.site or "", place_of(frame_of(d)),
  }, "\0"):lower()
end

-- The tasks that have the text of the filter, in order.
function M.tasks(now, view)
  local list, key = {}, KEYS[view.sort]
  for _, d in ipairs(now.tasks) do
    if view.filter == "" or said(d):find(view.filter:lower(), 1, true) then
      list[#list + 1] = d
    end
  end
  table.sort(list, function(a, b)
    local x, y = key(a), key(b)
    if x == y then
      return by_id(a, b)
    elseif view.reverse then
      return y < x
    end
    return x < y
  end)
  return list
end

-- ---- tasks --------------------------------------------------------------------------------------

local TASKS = {
  {title = "ID", right = true}, {title = "SHARD", right = true}, {title = "STATE"},
  {title = "FOR", right = true}, {title = "WAITS FOR", max = 16}, {title = "NAME", max = 20},
  {title = "LABELS", max = 24}, {title = "AT"},
}

local function row_of(d)
  return {
    ("%.0f"):format(d.id), tostring(d.shard), d.state,
    d.since and text.seconds(d.since) or d.unparked and text.seconds(d.unparked) or "",
    d.lost and "(nothing)" or text.clean(d.reason or ""), text.clean(d.name or ""),
    text.labels(d.labels), place_of(frame_of(d)),
  }
end

local function is_chosen(d, view)
  return view.chosen and d.id == view.chosen.id and d.shard == view.chosen.shard
end

-- The stack of a task, as lines.
local function add_stack(lines, d)
  lines[#lines + 1] = {text = "      made at " .. text.clean(d.site or "?")
    .. (d.object and ", waits on " .. text.clean(d.object) or ""), style = "dim"}
  for _, frame in ipairs(d.stack or {}) do
    if not frame.library then
      lines[#lines + 1] = {text = "      " .. place_of(frame), style = "dim"}
    end
  end
end

local function task_lines(now, view, width)
  local list, cells, lines, chosen = M.tasks(now, view), {}, {}, nil
  for i, d in ipairs(list) do
    cells[i] = row_of(d)
  end
  for i, line in ipairs(text.table(TASKS, cells, width)) do
    local d = list[i - 1]
    local is_it = d and is_chosen(d, view)
    lines[#lines + 1] = {text = line, style = i == 1 and "head" or is_it and "chosen" or nil}
    if is_it and view.open then
      add_stack(lines, d)
    end
    chosen = is_it and #lines or chosen
  end
  if now.listed and now.listed < (now.total.live or 0) then
    lines[#lines + 1] = {style = "dim", text = ("%s of %s tasks were read"):format(
      text.number(now.listed), text.number(now.total.live))}
  end
  return lines, chosen
end

-- ---- stacks -------------------------------------------------------------------------------------

local STACKS = {
  {title = "TASKS", right = true}, {title = "LONGEST", right = true}, {title = "STATE"},
  {title = "WAITS FOR", max = 16}, {title = "STACK"},
}

local function stack_text(d)
  local parts = {}
  for _, frame in ipairs(d.stack or {}) do
    if not frame.library and frame.what ~= "C" then
      parts[#parts + 1] = place_of(frame)
    end
  end
  return table.concat(parts, " < ")
end

-- Tasks with the same state, reason and stack together, the most numerous first.
function M.stacks(now, view)
  local groups, list = {}, {}
  for _, d in ipairs(M.tasks(now, view)) do
    local stack = stack_text(d)
    local key = table.concat({d.state, d.reason or "", stack}, "\0")
    local group = groups[key]
    if not group then
      group = {n = 0, longest = 0, state = d.state, reason = d.reason or "", stack = stack}
      groups[key], list[#list + 1] = group, group
    end
    group.n = group.n + 1
    group.longest = math.max(group.longest, d.since or 0)
  end
  table.sort(list, function(a, b)
    if a.n ~= b.n then
      return a.n > b.n
    end
    return a.stack .. a.reason .. a.state < b.stack .. b.reason .. b.state
  end)
  return list
end

local function stack_lines(now, view, width)
  local cells, lines = {}, {}
  for i, g in ipairs(M.stacks(now, view)) do
    cells[i] = {text.number(g.n), g.longest > 0 and text.seconds(g.longest) or "", g.state,
      text.clean(g.reason), g.stack}
  end
  for i, line in ipairs(text.table(STACKS, cells, width)) do
    lines[i] = {text = line, style = i == 1 and "head" or nil}
  end
  return lines
end

-- ---- hot spots and warnings ---------------------------------------------------------------------

local HOT = {
  {title = "SELF", right = true}, {title = "IN ALL", right = true}, {title = "WHERE"},
}

local function hot_lines(now, view, width)
  if not now.hot then
    return {{text = now.hot_message or "sampling...", style = "dim"}}
  end
  local cells, lines = {}, {}
  for _, spot in ipairs(now.hot.spots) do
    if view.filter == "" or spot.name:lower():find(view.filter:lower(), 1, true) then
      cells[#cells + 1] = {("%.1f %%"):format(spot.own * 100), ("%.1f %%"):format(spot.all * 100),
        text.clean(spot.name)}
    end
  end
  for i, line in ipairs(text.table(HOT, cells, width)) do
    lines[i] = {text = line, style = i == 1 and "head" or nil}
  end
  lines[#lines + 1] = {style = "dim", text = ("%s of CPU time, sampled"):format(
    text.seconds(now.hot.seconds))}
  return lines
end

local function warning_lines(now, _, width)
  local lines = {}
  for _, lint in ipairs(now.lints) do
    for _, line in ipairs(text.wrap(text.clean(lint), width)) do
      lines[#lines + 1] = {text = line, style = "warning"}
    end
  end
  if not lines[1] then
    lines[1] = {text = "nothing looks wrong", style = "dim"}
  end
  if not now.leaks then
    lines[#lines + 1] = {style = "dim",
      text = "l looks for tasks that wait on what no live task can reach"}
  end
  return lines
end

local BY_SCREEN = {
  tasks = task_lines, stacks = stack_lines, ["hot spots"] = hot_lines, warnings = warning_lines,
}

-- The lines of a screen; and which of them is chosen.
function M.lines(now, view, width)
  local lines, chosen = BY_SCREEN[view.screen](now, view, width)
  return lines, chosen
end

return M
