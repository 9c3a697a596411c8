-- SPDX-License-Identifier: MIT
-- resources_leaks: who has borrowed a resource for longer than `leak_after`.
--
-- Invariants: the borrowed are in a list, the longest first; whoever was told of is in it no more,
-- so that is done once. The timer is set for the head of the list; it may fire too early for what
-- is there then, never too late.

local core = require "ringlet.core"
local idle = require "ringlet.resources_idle"
local stacks = require "ringlet.stacks"
local task = require "ringlet.task"
local time = require "ringlet.time"

local M = {}

local ROUNDING = idle.ROUNDING

-- The stack of whoever called the library.
local function callers()
  local level = 3
  local info = debug.getinfo(level, "S")
  while info and stacks.is_ours(info) do
    level = level + 1
    info = debug.getinfo(level, "S")
  end
  return debug.traceback("", level):sub(2)
end

local function arm(pool)
  local head = pool.leak_head
  if head and not pool.leak_call then
    local due = head.since + pool.leak_after - ROUNDING
    pool.leak_call = time.call_after(math.max(due - core.now(), 0), pool.on_leak_due)
  end
end

-- It has been borrowed just now, by the running task.
function M.watch(pool, rec)
  rec.task, rec.trace = task.self(), callers()
  local tail = pool.leak_tail
  rec.older, rec.newer, rec.watched = tail, nil, true
  if tail then
    tail.newer = rec
  else
    pool.leak_head = rec
  end
  pool.leak_tail = rec
  arm(pool)
end

local function unlink(pool, rec)
  local older, newer = rec.older, rec.newer
  if older then
    older.newer = newer
  else
    pool.leak_head = newer
  end
  if newer then
    newer.older = older
  else
    pool.leak_tail = older
  end
  rec.older, rec.newer, rec.watched = nil, nil, false
end

-- It is back.
function M.unwatch(pool, rec)
  if rec.watched then
    unlink(pool, rec)
  end
  rec.task, rec.trace = nil, nil
end

local function text_of(pool, event)
  local h = event.task
  return ("%s: a resource has been borrowed for %.3f s by %s; it was acquired at\n%s%s"):format(
    tostring(pool), event.seconds, h and tostring(h) or "no task", event.traceback,
    event.where ~= "" and "\nand the task is at\n" .. event.where or "")
end

local function tell(pool, rec, at)
  local h = rec.task
  local event = {
    resource = rec.res, task = h, seconds = at - rec.since, traceback = rec.trace,
    where = h and h:traceback() or "",
  }
  pool.leaks = pool.leaks + 1
  if not pool.on_leak then
    io.stderr:write("ringlet: ", text_of(pool, event), "\n")
    return
  end
  local ok, err = pcall(pool.on_leak, event, text_of(pool, event))
  if not ok then
    io.stderr:write("ringlet: on_leak failed: ", tostring(err), "\n")
  end
end

-- The timer's time has come.
function M.look(pool)
  local at = core.now()
  pool.leak_call = nil
  local rec = pool.leak_head
  while rec and rec.since + pool.leak_after - ROUNDING <= at do
    unlink(pool, rec)
    tell(pool, rec, at)
    rec = pool.leak_head
  end
  arm(pool)
end

-- Watch nobody any more.
function M.stop(pool)
  if pool.leak_call then
    time.cancel_call(pool.leak_call)
  end
  pool.leak_call, pool.leak_head, pool.leak_tail = nil, nil, nil
end

return M
