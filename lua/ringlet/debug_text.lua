-- SPDX-License-Identifier: MIT
-- debug_text: descriptions of tasks, and groups of them, as text in the style of Go's debug=2 and
-- debug=1. docs/guide/dumps.md has the format; tools read it, so it changes with a word in the
-- changelog only. These functions know nothing of a run.

local json = require "ringlet.json_write"
local stacks = require "ringlet.stacks"

local M = {}

local function quoted(v)
  return json.string(tostring(v))
end

-- {"type":"order"}, in the order of names; "" of none.
function M.labels(labels)
  if not labels then
    return ""
  end
  local names, list = {}, {}
  for k in pairs(labels) do
    names[#names + 1] = k
  end
  table.sort(names, function(a, b)
    return tostring(a) < tostring(b)
  end)
  for i, k in ipairs(names) do
    list[i] = quoted(k) .. ":" .. quoted(labels[k])
  end
  return list[1] and "{" .. table.concat(list, ", ") .. "}" or ""
end

local function wait_text(seconds)
  if seconds >= 60 then
    local minutes = math.floor(seconds / 60)
    return ("%d minute%s"):format(minutes, minutes > 1 and "s" or "")
  end
  return ("%.3f s"):format(seconds)
end

local function span_text(min, max)
  if max - min < 0.0005 then
    return ("%.3f s"):format(max)
  end
  return ("%.3f..%.3f s"):format(min, max)
end

-- What a task or group does: "chan receive, 0.200 s", "runnable, preempted".
local function doing(d, wait)
  if d.reason then
    return d.reason .. ", " .. wait
  end
  return d.state .. (d.preempted and ", preempted" or "")
end

local function wait_line(d)
  if d.lost then
    return "nothing will ever wake it\n"
  elseif not d.object then
    return ""
  end
  local n = d.others or 0
  return ("waits on %s%s\n"):format(d.object,
    n == 1 and ", as 1 other does" or n > 1 and (", as %d others do"):format(n) or "")
end

-- One task: a headline, what it waits on, its stack, where it was made, and an empty line. `stack`
-- is the text of its stack, if that is at hand.
function M.task(d, library, stack)
  local labels = M.labels(d.labels)
  return ("task %d%s on shard %d%s%s [%s]:\n%s%s%s%s at %s\n\n"):format(d.id,
    d.name and " " .. quoted(d.name) or "", d.shard, d.daemon and ", daemon" or "",
    d.priority and ", " .. d.priority or "", doing(d, d.reason and wait_text(d.since)),
    labels ~= "" and "labels " .. labels .. "\n" or "", wait_line(d),
    stack or stacks.text(d.stack or {}, library), d.created and "created" or "defined", d.site)
end

-- One group: how many, what they do, how long, and below that what they have in common.
function M.group(g, library)
  local lines = {("%d @ [%s]"):format(g.count, doing(g, span_text(g.min, g.max)))}
  if g.labels ~= "" then
    lines[2] = "# labels: " .. g.labels
  end
  for _, frame in ipairs(stacks.shown(g.stack, library)) do
    lines[#lines + 1] = ("#\t%s%s\t%s"):format(frame.name, frame.new and " (not started)" or "",
      stacks.place_of(frame))
  end
  return table.concat(lines, "\n") .. "\n\n"
end

local function by_count(a, b)
  if a.count ~= b.count then
    return a.count > b.count
  end
  local x, y = a.reason or a.state, b.reason or b.state
  if x ~= y then
    return x < y
  elseif a.key ~= b.key then
    return a.key < b.key
  end
  return a.labels < b.labels
end

local function name_of(g)
  return table.concat({g.preempted and "preempted" or g.reason or g.state, g.labels, g.key}, "\0")
end

-- Groups of several shards as one list, the most numerous first: equal ones become one.
function M.merged(lists)
  local all, by_name = {}, {}
  for _, list in ipairs(lists) do
    for _, g in ipairs(list) do
      local name = name_of(g)
      local found = by_name[name]
      if found then
        found.count = found.count + g.count
        found.min, found.max = math.min(found.min, g.min), math.max(found.max, g.max)
      else
        all[#all + 1], by_name[name] = g, g
      end
    end
  end
  table.sort(all, by_count)
  return all
end

local function shard_line(c)
  local line = ("# shard %d: "):format(c.shard)
  if c.silent then
    return line .. "silent" .. (c.task and (": task %d runs for %.3f s without a chance to be "
      .. "interrupted"):format(c.task, c.seconds) or "")
  elseif c.failed then
    return line .. "failed: " .. c.failed
  end
  return line .. ("%d task%s%s%s"):format(c.tasks, c.tasks == 1 and "" or "s",
    c.listed < c.tasks and (", %d of them listed"):format(c.listed) or "",
    c.ended > 0 and (", %d more ended meanwhile"):format(c.ended) or "")
end

-- How many tasks are listed, and a line for each shard.
function M.counts(counts)
  local total, lines = 0, {}
  for i, c in ipairs(counts) do
    total = total + (c.listed or 0)
    lines[i] = shard_line(c)
  end
  return ("tasks: total %d\n%s\n\n"):format(total, table.concat(lines, "\n"))
end

return M
