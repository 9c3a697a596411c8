-- SPDX-License-Identifier: MIT
-- resources_idle: what lies in a pool of resources: the stack of idle ones, the timer for what is
-- next due there, and how a resource is closed.
--
-- A record is {res, id, held, closing, since, stale, expires, uses}: `since` when it was borrowed
-- or became idle; `stale` when, being idle, it is no longer reused; `expires` when its lifetime is
-- over.
--
-- Invariants: the stack is sorted by `since`, the longest idle at the bottom. `due` is when the
-- timer fires, never later than the first idle resource has to be closed; it may be earlier,
-- because what was idle then is often borrowed meanwhile. A resource that is being closed has its
-- place until `close` has returned. The timer knows the pool weakly: one that was dropped is
-- collected.

local clock = require "ringlet.clock"
local core = require "ringlet.core"
local scope = require "ringlet.scope"
local task = require "ringlet.task"
local time = require "ringlet.time"
local traced = require "ringlet.traced"

local now = clock.now
local HUGE = math.huge

local M = {}

-- Two times that are the same nanosecond may differ by less than this.
local ROUNDING = 5e-10
M.ROUNDING = ROUNDING

-- What gives a place that became free to the next: fn(pool). Set by resources_line.
M.settle = nil

-- ---- closing
-- ------------------------------------------------------------------------------------

local function free_place(pool, rec)
  pool.closing = pool.closing - 1
  pool.total = pool.total - 1
  pool.records[rec.res] = nil
  M.settle(pool)
end

-- Shielded: what a cancelled task gives back is closed like everything else, and in bounded time.
local function close_bounded(pool, rec, why)
  local ok, msg, code = scope.shield(scope.timeout, pool.close_timeout, pool.do_close, rec.res, why)
  if ok == nil and code == "ETIMEDOUT" then
    error(("%s: closing a resource took more than %g s: %s"):format(
      tostring(pool), pool.close_timeout, msg), 0)
  end
end

local function close_one(pool, rec, why, epoch)
  local ok, err, trace = traced.call(close_bounded, pool, rec, why)
  if not ok then
    task.report(err, trace, task.self())
  end
  if pool.epoch == epoch then
    free_place(pool, rec)
  end
end

-- Close a resource that is neither idle nor borrowed any more.
function M.retire(pool, rec, why)
  rec.closing = true
  pool.closed_by[why] = pool.closed_by[why] + 1
  pool.closing = pool.closing + 1
  if pool.do_close then
    task.go(close_one, pool, rec, why, pool.epoch)
  else
    free_place(pool, rec)
  end
end

-- ---- the timer
-- ----------------------------------------------------------------------------------

-- Have it fire at `due`, if that is earlier than it would.
local function arm(pool, due)
  if due >= pool.due then
    return
  end
  if pool.due_call then
    time.cancel_call(pool.due_call)
  end
  pool.due = due
  pool.due_call = time.call_after(math.max(due - core.now(), 0), pool.on_due)
end

-- Nothing is idle: a run in which all tasks wait for each other is not kept from saying so.
function M.disarm(pool)
  if pool.due_call then
    time.cancel_call(pool.due_call)
    pool.due_call, pool.due = nil, HUGE
  end
end

local function arm_next(pool)
  local idle, n, due = pool.idle, pool.idle_len, HUGE
  for i = 1, n do
    due = math.min(due, idle[i].expires)
  end
  if n > pool.min_idle then
    due = math.min(due, idle[1].since + pool.idle_timeout)
  end
  arm(pool, due)
end

-- Take out of the stack what `wanted(rec, left)` says, `left` being how many are idle still, and
-- close it. Returns how many.
local function weed(pool, why, wanted)
  local idle, n, kept, out = pool.idle, pool.idle_len, 0, {}
  for i = 1, n do
    local rec = idle[i]
    if wanted(rec, n - #out) then
      out[#out + 1] = rec
    else
      kept = kept + 1
      idle[kept] = rec
    end
  end
  for i = kept + 1, n do
    idle[i] = false
  end
  pool.idle_len = kept
  for _, rec in ipairs(out) do
    M.retire(pool, rec, why)
  end
  return #out
end

-- The timer's time has come: close what is due.
function M.sweep(pool)
  local at = core.now()
  pool.due_call, pool.due = nil, HUGE
  weed(pool, "lifetime", function(rec)
    return rec.expires <= at
  end)
  weed(pool, "idle", function(rec, left)
    return left > pool.min_idle and rec.since + pool.idle_timeout - ROUNDING <= at
  end)
  arm_next(pool)
  M.settle(pool)
end

-- ---- the stack
-- ----------------------------------------------------------------------------------

-- Close the longest idle until `keep` are left; how many that were.
function M.trim(pool, keep, why)
  return weed(pool, why, function(_, left)
    return left > keep
  end)
end

-- Put a resource that nobody waits for on the stack.
function M.push(pool, rec, at)
  local idle, n = pool.idle, pool.idle_len + 1
  rec.since = at
  local stale, expires = at + pool.fresh_for - ROUNDING, rec.expires
  rec.stale = stale < expires and stale or expires
  idle[n] = rec
  pool.idle_len = n
  if expires < pool.due or n > pool.min_idle and idle[1].since + pool.idle_timeout < pool.due then
    arm_next(pool)
  end
  if n > pool.max_idle then
    M.trim(pool, pool.max_idle, "surplus")
  end
end

-- Take the one that became idle last, unless it lay there for too long: then all below did, too,
-- or will be found.
function M.pop(pool, at)
  local n = pool.idle_len
  while n > 0 do
    local rec = pool.idle[n]
    pool.idle[n] = false
    n = n - 1
    pool.idle_len = n
    if at < rec.stale then
      return rec
    end
    M.retire(pool, rec, at < rec.expires and "idle" or "lifetime")
    n = pool.idle_len
  end
end

-- A record of what `open` gave.
function M.record(pool, res)
  local at = now()
  pool.last_id = pool.last_id + 1
  local span = pool.max_lifetime
  if span < HUGE and pool.jitter > 0 then
    span = span * (1 - pool.jitter * core.random() / 2 ^ 31)
  end
  local rec = {
    res = res, id = pool.last_id, uses = 0, held = false, closing = false,
    since = at, stale = HUGE, expires = at + span - ROUNDING,
  }
  pool.records[res] = rec
  return rec
end

return M
