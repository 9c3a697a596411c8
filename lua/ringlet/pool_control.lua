-- SPDX-License-Identifier: MIT
-- pool_control: what is done to all workers of a pool, and to all that waits in it, from outside:
-- sizes, pausing, closing, the end of a run.

local cancel = require "ringlet.cancel"
local core = require "ringlet.core"
local deadlock = require "ringlet.deadlock"
local guests = require "ringlet.pool_guests"
local line = require "ringlet.pool_line"
local pool_task = require "ringlet.pool_task"
local run_stop = require "ringlet.run_stop"
local workers = require "ringlet.pool_workers"

local M = {}

-- Every pool of this state, and how many there have been.
local pools, made = setmetatable({}, {__mode = "k"}), 0
M.pools = pools

local function is_older(a, b)
  return a.id < b.id
end

-- The keys of a set, the oldest first: the order in which things are done must not be that of
-- addresses, or a seed would not repeat its run.
local function by_age(set)
  local list = {}
  for one in pairs(set) do
    list[#list + 1] = one
  end
  table.sort(list, is_older)
  return list
end

-- Its workers, the oldest first.
function M.list(pool)
  return by_age(pool.all)
end

-- What waits is refused, or abandoned, with an error.
local function empty_line(pool, refuse, err)
  local f = line.pop(pool.line)
  while f do
    pool.cancelled = pool.cancelled + 1
    refuse(f, err)
    f = line.pop(pool.line)
  end
  workers.set_max(pool)
end

-- The task that has waited longest fails, with an error, for one that comes now.
function M.drop_oldest(pool, err)
  local f = line.nth(pool.line, workers.soon(pool) + 1)
  pool.dropped = pool.dropped + 1
  pool_task.refuse(f, err)
  line.drop(pool.line)
end

-- One in the line was cancelled.
function pool_task.on_dropped(pool)
  line.drop(pool.line)
  workers.set_max(pool)
  workers.dispatch(pool)
  pool_task.tell_drained(pool)
end

-- ---- sizes, pausing, closing --------------------------------------------------------------------

-- It has another size: more may run, or fewer rest.
function M.resize(pool, n)
  pool.seats = n
  workers.set_max(pool)
  workers.dispatch(pool)
  workers.dismiss(pool, math.max(0, math.min(pool.idle_len, pool.crew - n)))
end

function M.pause(pool, on)
  pool.paused = on
  workers.set_max(pool)
  workers.dispatch(pool)
end

-- Take no more. What was accepted runs: nothing is paused any more.
function M.close(pool)
  pool.closed, pool.paused = true, false
  core.fail_offers(pool.room, false)
  for _, w in ipairs(M.list(pool)) do
    if w.held then
      workers.release(pool, w)
      workers.retire(pool, w, "terminated")
      workers.wake(w, false)
    end
  end
  workers.set_max(pool)
  workers.dispatch(pool)
  if pool.line.len == 0 then
    workers.dismiss(pool, pool.idle_len)
  end
end

-- What waits fails with an error, what runs is cancelled.
function M.cancel_all(pool, err, reason)
  empty_line(pool, pool_task.refuse, err)
  for _, w in ipairs(M.list(pool)) do
    if w.f then
      w.f:cancel(reason)
    end
  end
  guests.cancel_all(pool, reason)
  pool_task.tell_drained(pool)
end

-- ---- runs ---------------------------------------------------------------------------------------

-- Every task of the run is cancelled, and what waits to become one with them.
run_stop.cancels[#run_stop.cancels + 1] = function(reason)
  for _, pool in ipairs(by_age(pools)) do
    if pool.line.len > 0 then
      empty_line(pool, pool_task.refuse, cancel.error(reason))
      pool_task.tell_drained(pool)
    end
  end
end

-- In a deadlock, what waits here counts as well.
deadlock.more[#deadlock.more + 1] = function()
  local lines = {}
  for _, pool in ipairs(by_age(pools)) do
    if pool.held then
      lines[#lines + 1] = "  " .. tostring(pool)
    end
  end
  return lines
end

-- What a pool has in a run, and leaves with it.
local function begin(pool)
  pool.line, pool.active, pool.crew, pool.all = line.new(), 0, 0, {}
  pool.idle, pool.idle_len, pool.timer, pool.pulse_timer = {}, 0, nil, nil
  pool.guests, pool.beside, pool.asked, pool.awaited = {}, 0, false, 0
  pool.waiters, pool.since_sum = 0, 0
  pool.stopped, pool.held, pool.coming, pool.backup, pool.eager = 0, false, 0, false, false
  pool.room, pool.drained = core.waitq(), core.waitq()
end

-- What has not ended never will.
local function give_up(pool)
  local err = cancel.error("the run has ended")
  empty_line(pool, pool_task.abandon, err)
  for _, set in ipairs {M.list(pool), by_age(pool.guests)} do
    for _, one in ipairs(set) do
      if one.f and one.f[1] then
        pool.cancelled = pool.cancelled + 1
        pool_task.abandon(one.f, err)
      end
      one.phase = "terminated"
    end
  end
  workers.set_max(pool)
end

local function is_at_rest(pool)
  return next(pool.all) == nil and next(pool.guests) == nil and pool.line.len == 0
    and not pool.asked and not pool.timer and not pool.pulse_timer
end

run_stop.endings[#run_stop.endings + 1] = function()
  for pool in pairs(pools) do
    if not is_at_rest(pool) then
      give_up(pool)
      begin(pool)
      workers.set_max(pool)
    end
  end
end

-- What a pool begins with.
function M.init(pool)
  made = made + 1
  pools[pool] = true
  pool.id, pool.last_id, pool.paused, pool.closed = made, 0, false, false
  pool.submitted, pool.done, pool.failed, pool.cancelled = 0, 0, 0, 0
  pool.rejected, pool.dropped, pool.lost, pool.spawned, pool.caller_ran = 0, 0, 0, 0, 0
  pool.waits, pool.wait_sum, pool.wait_max = 0, 0, 0
  pool.past_sum, pool.past_len = 0, 0
  pool.recent_sum, pool.recent_len, pool.recent_till = 0, 0, -math.huge
  begin(pool)
  workers.set_max(pool)
  return pool
end

return M
