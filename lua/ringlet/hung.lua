-- SPDX-License-Identifier: MIT
-- hung: tasks that had not ended when the grace was over, and shards that do not answer: what the
-- hook `on_hung` is given, and what is written without one.

local core = require "ringlet.core"
local deadlock = require "ringlet.deadlock"
local task = require "ringlet.task"

local M = {}

-- How many tasks of a shard are listed.
local LISTED = 100

local function is_daemon(h, flags)
  return math.floor(flags / core.DAEMON) % 2 == 1 and not task.workers[h]
end

-- Of a task that keeps the run from its end; nil of those of the library, and of a connection's
-- that waits for its client.
local function entry_of(h)
  local slot = h[1]
  local id, state, reason, since, flags = core.info(slot)
  local co = task.coroutine(h)
  if not co or is_daemon(h, flags) or (task.wards[slot] and reason == "read") then
    return nil
  end
  local object, where = deadlock.place(co)
  if where == "?" then
    return nil
  end
  return {
    id = id, name = h:name(), reason = reason ~= "" and reason or state, object = object,
    seconds = since, where = where, traceback = h:traceback(),
  }
end

-- What hangs on this shard: a list of {shard, id, name, reason, object, seconds, where, traceback}.
function M.list()
  local list, own = {}, (core.fleet())
  for _, h in ipairs(task.all()) do
    local entry = entry_of(h)
    if entry then
      entry.shard = own
      list[#list + 1] = entry
      if #list == LISTED then
        break
      end
    end
  end
  return list
end

-- What is known of a shard that does not answer: {shard, silent, id, seconds}.
function M.silent(shard)
  local entry = {shard = shard, silent = true}
  for _, stall in ipairs(core.stalled()) do
    if stall[1] == shard then
      entry.seconds, entry.id = stall[2], stall[3]
    end
  end
  return entry
end

local function line_of(e)
  local id = e.id and (" task %d"):format(e.id) or ""
  if e.left then
    return ("  shard %d did not end: its thread is left to itself"):format(e.shard)
  elseif e.silent then
    return ("  shard %d does not answer:%s runs%s"):format(e.shard, id ~= "" and id or " it",
      e.seconds and (" for %.3f s without a chance to be interrupted"):format(e.seconds) or "")
  end
  return ("  shard %d, task %d %s: %s%s, for %.3f s, at %s\n%s"):format(e.shard, e.id,
    e.name or "-", e.reason, e.object and " on " .. e.object or "", e.seconds, e.where, e.traceback)
end

-- Give what hangs to the run's hook, or write it.
function M.report(list, run)
  if not list[1] then
    return
  end
  local lines = {}
  for i, e in ipairs(list) do
    lines[i] = line_of(e)
  end
  local text = ("ringlet: not ended when the grace was over:\n%s"):format(table.concat(lines, "\n"))
  if not run.on_hung then
    io.stderr:write(text, "\n")
    return
  end
  local ok, err = pcall(run.on_hung, list, text)
  if not ok then
    io.stderr:write("ringlet: on_hung failed: ", tostring(err), "\n")
  end
end

-- Of shards that have not ended though the run has.
function M.report_left(shards, run)
  local list = {}
  for i, shard in ipairs(shards) do
    list[i] = {shard = shard, left = true}
  end
  M.report(list, run)
end

return M
