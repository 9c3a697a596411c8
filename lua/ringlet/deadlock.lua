-- SPDX-License-Identifier: MIT
-- deadlock: what run says when nothing can go on: who waits for what, since when, made where.

local core = require "ringlet.core"
local stacks = require "ringlet.stacks"
local task = require "ringlet.task"

local unpack = table.unpack or rawget(_G, "unpack")

local M = {}

-- How many tasks are listed.
local LISTED = 100

-- The object a parked task waits for and the innermost line of its stack that is not ours.
function M.place(co)
  local object, where = stacks.waits_for(co)
  return object, where or "?"
end

local function line_of(h)
  local id, state, reason, since = core.info(h[1])
  local co = task.coroutine(h)
  local object, where
  if co then
    object, where = M.place(co)
  else
    where = h:traceback()
  end
  local lodger = task.lodgers[h[1]]
  local name = h:name() or lodger and lodger.f and lodger.pool.name or "-"
  return ("  task %d %s: %s%s, for %.3f s, at %s"):format(id, name,
    reason ~= "" and reason or state, object and " on " .. object or "", since, where)
    .. (h.site and "\n    " .. h.site or "")
end

-- What else keeps a run from its end: functions that give a list of lines.
M.more = {}

-- A line for each task of this shard that is parked, and how many those are.
function M.lines()
  local all, lines = task.all(), {}
  for i = 1, math.min(#all, LISTED) do
    lines[i] = line_of(all[i])
  end
  if #all > LISTED then
    lines[#lines + 1] = ("  and %d more"):format(#all - LISTED)
  end
  for _, fn in ipairs(M.more) do
    for _, line in ipairs(fn()) do
      lines[#lines + 1] = line
    end
  end
  return lines, #all
end

--- The message of a deadlock: a headline, and a line for each task.
-- @tparam table shards shard -> {lines, number of tasks}
-- @tparam integer size how many shards there are
-- @tparam ?integer seed of the sim backend
function M.report(shards, size, seed)
  local total, text = 0, {}
  for i = 1, size do
    local lines, n = unpack(shards[i] or {{"  (no answer)"}, 0})
    total = total + n
    if i > 1 and n > 0 then
      text[#text + 1] = ("  shard %d:"):format(i)
    end
    text[#text + 1] = table.concat(lines, "\n")
  end
  return ("deadlock: all %d tasks are parked and nothing can wake one%s\n%s"):format(
    total, seed and " (sim seed " .. seed .. ")" or "", table.concat(text, "\n"))
end

return M
