-- SPDX-License-Identifier: MIT
-- resources_run: pools of resources and the run: they outlive it, what is in them does not.
--
-- Invariants: pools are known weakly, here and by their timers, so that one nobody has any more is
-- collected. At the end of a run what is open is closed, outside of any task, for its connections
-- are the run's; then the pool is as it was when it was made. What a task of that run never gave
-- back may still be given back: that does nothing.

local idle = require "ringlet.resources_idle"
local leaks = require "ringlet.resources_leaks"
local line = require "ringlet.resources_line"
local run_stop = require "ringlet.run_stop"

local M = {}

local WEAK_KEYS, WEAK_VALUES = {__mode = "k"}, {__mode = "v"}

local pools = setmetatable({}, WEAK_KEYS)
local last = 0

-- A pool in which nothing is open.
local function empty(pool)
  pool.records, pool.idle, pool.idle_len, pool.openings = {}, {}, 0, {}
  pool.total, pool.borrowed, pool.spare, pool.closing = 0, 0, 0, 0
  pool.first, pool.last, pool.waiting, pool.ticket = nil, nil, 0, 0
  pool.due, pool.epoch = math.huge, (pool.epoch or 0) + 1
end

-- A function for a timer: fn(pool), as long as there is the pool.
local function weakly(weak, fn)
  return function()
    local pool = weak[1]
    if pool then
      fn(pool)
    end
  end
end

local function retry(pool)
  pool.retry = nil
  idle.settle(pool)
end

-- A new pool begins.
function M.begin(pool)
  empty(pool)
  local weak = setmetatable({pool}, WEAK_VALUES)
  pool.on_due = weakly(weak, idle.sweep)
  pool.on_retry = weakly(weak, retry)
  pool.on_leak_due = weakly(weak, leaks.look)
  last = last + 1
  pools[pool] = last
end

local function by_id(a, b)
  return a.id < b.id
end

-- Those that are open, in the order in which they were opened: that of a table's keys is no order.
local function open_ones(pool)
  local list = {}
  for _, rec in pairs(pool.records) do
    list[#list + 1] = rec
  end
  table.sort(list, by_id)
  return list
end

-- A `close` that parks raises here, and what it would have closed is closed by the run.
local function close_now(pool, rec)
  pool.closed_by.run = pool.closed_by.run + 1
  if rec.held then
    pool.gone = pool.gone or setmetatable({}, WEAK_KEYS)
    pool.gone[rec.res] = true
  end
  if pool.do_close then
    pcall(pool.do_close, rec.res, "run")
  end
end

local function end_run(pool)
  idle.disarm(pool)
  line.stop_backing_off(pool)
  leaks.stop(pool)
  local list = open_ones(pool)
  for _, rec in ipairs(list) do
    if not rec.closing then
      close_now(pool, rec)
    end
  end
  empty(pool)
end

run_stop.endings[#run_stop.endings + 1] = function()
  local list = {}
  for pool, id in pairs(pools) do
    if pool.total > 0 or pool.retry then
      list[#list + 1] = {id = id, pool = pool}
    end
  end
  table.sort(list, by_id)
  for _, entry in ipairs(list) do
    end_run(entry.pool)
  end
end

return M
