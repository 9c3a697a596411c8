-- SPDX-License-Identifier: MIT
-- pool_task: a submitted task, and what becomes of it.
--
-- A task is a future of the pool: behind what every future has it holds {pool, place, fn, number of
-- arguments, arguments...} until it is settled. Its place is a number in the line - since when it
-- waits there, 0 if it need not - or who runs it: a worker, or a guest of the pool. Of one that
-- runs beside the pool it is false until it begins.
--
-- Of a pool with admission a task has `admitted`, which is told once what came of it.
--
-- Invariant: a task is settled once. What its function returns after that is dropped.

local cancel = require "ringlet.cancel"
local core = require "ringlet.core"
local future = require "ringlet.future"
local task = require "ringlet.task"
local traced = require "ringlet.traced"
local verdict = require "ringlet.verdict"

local unpack = table.unpack or rawget(_G, "unpack")
local call, put = traced.call, future.put

local M = {}

local POOL, PLACE, FN, ARGS = 5, 6, 7, 8
M.POOL, M.PLACE = POOL, PLACE

-- What is done when a task in the line was cancelled: fn(pool).
M.on_dropped = nil

-- Its results are put where the task was.
local function clear(f)
  local n = f[ARGS]
  f[POOL], f[PLACE], f[FN], f[ARGS] = nil, nil, nil, nil
  for i = ARGS + 1, n > 0 and ARGS + n or 0 do
    f[i] = nil
  end
end

-- Tell the pool's admission: true, false, or nil if it says nothing of the work.
local function tell_admission(f, ok, err, code)
  local admitted = f.admitted
  if admitted then
    f.admitted = nil
    admitted(ok, err, code)
  end
end
M.tell_admission = tell_admission

-- It waits no more, if it did.
local function stop_waiting(f)
  local pool, since = f[POOL], f[PLACE]
  if type(since) == "number" and since > 0 then
    pool.waiters, pool.since_sum = pool.waiters - 1, pool.since_sum - since
    if pool.waiters == 0 then
      pool.since_sum = 0
    end
  end
end
M.stop_waiting = stop_waiting

-- It ends before it began, with an error, and is nobody's any more.
function M.refuse(f, err)
  stop_waiting(f)
  tell_admission(f)
  clear(f)
  put(f, false, err)
end

-- The run is over: nobody waits for it.
function M.abandon(f, err)
  stop_waiting(f)
  tell_admission(f)
  clear(f)
  future.abandon(f, err)
end

-- What runs is cancelled as a task is, or as a scope of one.
local function cancel_running(place, reason)
  if place.scope then
    cancel.cancel_scope(place.scope, reason)
  else
    task.at(place.slot):cancel(reason)
  end
end

-- Futures of pools. What has not begun is settled at once.
local Future = future.kind(function(f, reason)
  local pool, place = f[POOL], f[PLACE]
  if type(place) == "table" then
    cancel_running(place, reason)
    return
  end
  pool.cancelled = pool.cancelled + 1
  M.refuse(f, cancel.error(reason))
  if place then
    M.on_dropped(pool)
  end
end)

-- A task that is submitted. A table constructor with `...` is not compiled.
function M.new(pool, fn, ...)
  local n = select("#", ...)
  local f
  if n == 0 then
    f = {true, false, false, false, pool, false, fn, 0}
  elseif n == 1 then
    local a = ...
    f = {true, false, false, false, pool, false, fn, 1, a}
  elseif n == 2 then
    local a, b = ...
    f = {true, false, false, false, pool, false, fn, 2, a, b}
  else
    f = {true, false, false, false, pool, false, fn, n, ...}
  end
  return setmetatable(f, Future)
end

-- It has failed: whoever waits is told, and if that is not enough, once somebody else.
local function fail(pool, f, err, trace)
  tell_admission(f, false, err)
  clear(f)
  pool.failed = pool.failed + 1
  if not pool.on_panic then
    future.settle(f, false, err, trace)
    return
  end
  put(f, false, err, trace)
  local ok, second = pcall(pool.on_panic, err, trace or "", f)
  if not ok then
    task.report(second, "", f)
  end
end
M.fail = fail

local function judge(f, v, msg, code)
  tell_admission(f, verdict.of(true, v, msg, code), msg, code)
end

local function finish(pool, f, ok, ...)
  if not f[1] then -- it was given up
    return
  elseif ok then
    if pool.admission then
      judge(f, ...)
    end
    clear(f)
    pool.done = pool.done + 1
    put(f, true, ...)
  elseif cancel.is_cancel((...)) then
    tell_admission(f, nil, (...))
    clear(f)
    pool.cancelled = pool.cancelled + 1
    put(f, false, ...)
  else
    fail(pool, f, ...)
  end
end

-- Run it here and now.
function M.perform(pool, f)
  local fn, n = f[FN], f[ARGS]
  if n == 0 then
    finish(pool, f, call(fn))
  elseif n == 1 then
    finish(pool, f, call(fn, f[9]))
  elseif n == 2 then
    finish(pool, f, call(fn, f[9], f[10]))
  else
    finish(pool, f, call(fn, unpack(f, ARGS + 1, ARGS + n)))
  end
end

-- Somebody may wait until the pool has nothing to do.
function M.tell_drained(pool)
  if pool.awaited > 0 and pool.active == 0 and pool.line.len == 0 and pool.beside == 0 then
    core.wake_all(pool.drained, true)
  end
end

return M
