-- SPDX-License-Identifier: MIT
-- resources_line: who waits for a resource of a pool, and the opening of new ones.
--
-- Invariants:
-- * `total`, the places taken, is how many are open, being opened and being closed: never more
--   than `max`, unless `resize` has just made that less.
-- * Whoever came first is at the head of the line, and gets what is given back or was opened next.
--   Nobody waits while something is idle.
-- * `open` is called in a daemon of its own, once for each waiter while there are places, and not
--   in the waiter's task: its result is for the longest waiter, so what comes back meanwhile
--   serves the waiter at once, and a waiter that gives up leaves an opening that others can use. A
--   failure is for the waiter whose opening it was.
-- * An opening has one waiter or is `spare`; a waiter has at most one opening. When one of them is
--   gone, the other goes to the longest waiter without an opening, or to a spare opening.
-- * A waiter that timed out or was cancelled is in no queue of the core any more when its task has
--   not run yet: it is left out.

local cancel = require "ringlet.cancel"
local clock = require "ringlet.clock"
local core = require "ringlet.core"
local idle = require "ringlet.resources_idle"
local task = require "ringlet.task"
local time = require "ringlet.time"
local traced = require "ringlet.traced"

local waitq, waits, wake = core.waitq, core.waits, core.wake
local now = clock.now

local M = {}

local TWICE = "open gave a resource that the pool has already"
local CANCELLED, CLOSED = "ECANCELED: the opening was cancelled", "ECLOSED: the pool is closed"
M.CLOSED = CLOSED

-- ---- the line
-- -----------------------------------------------------------------------------------

-- Put it behind all that came before it. Who finds out late that it has to wait may have come
-- before others.
local function link(pool, w)
  local before = pool.last
  while before and before.ticket > w.ticket do
    before = before.prev
  end
  local after
  if before then
    after, before.next = before.next, w
  else
    after, pool.first = pool.first, w
  end
  w.prev, w.next = before, after
  if after then
    after.prev = w
  else
    pool.last = w
  end
  pool.waiting = pool.waiting + 1
end

local function unlink(pool, w)
  local before, after = w.prev, w.next
  if before then
    before.next = after
  else
    pool.first = after
  end
  if after then
    after.prev = before
  else
    pool.last = before
  end
  w.linked = false
  pool.waiting = pool.waiting - 1
end

local function assign(pool, o, w)
  if not o.waiter then
    pool.spare = pool.spare - 1
  end
  o.waiter, w.opening = w, o
end

-- The opening of a waiter that has left is for the longest waiter without one.
local function pass_on(pool, o)
  o.waiter = false
  pool.spare = pool.spare + 1
  local w = pool.first
  while w and (w.opening or not waits(w.q, 1)) do
    w = w.next
  end
  if w then
    assign(pool, o, w)
  end
end

-- The waiter has left the line.
function M.leave(pool, w)
  if not w.linked then
    return
  end
  unlink(pool, w)
  local o = w.opening
  if o then
    w.opening = false
    pass_on(pool, o)
  end
end

-- The longest waiter that is there.
local function first(pool)
  local w = pool.first
  while w and not waits(w.q, 1) do
    M.leave(pool, w)
    w = pool.first
  end
  return w
end

-- ---- giving
-- -------------------------------------------------------------------------------------

-- It has a borrower from now on.
function M.lend(pool, rec, at)
  rec.held, rec.since, rec.uses = true, at, rec.uses + 1
  pool.borrowed = pool.borrowed + 1
  pool.acquired = pool.acquired + 1
end

local function hand(pool, rec, w, at)
  local waited = at - w.since
  pool.wait_total = pool.wait_total + waited
  pool.wait_max = math.max(pool.wait_max, waited)
  M.leave(pool, w)
  M.lend(pool, rec, at)
  wake(w.q, rec)
end

-- A resource that nobody has: close it, or give it to the longest waiter, or keep it.
function M.give(pool, rec, at)
  if pool.closed then
    idle.retire(pool, rec, "closed")
  elseif pool.total - pool.closing > pool.max then
    idle.retire(pool, rec, "resize")
  elseif at >= rec.expires then
    idle.retire(pool, rec, "lifetime")
  elseif rec.uses >= pool.max_uses then
    idle.retire(pool, rec, "uses")
  else
    local w = pool.first and first(pool)
    if w then
      hand(pool, rec, w, at)
    else
      idle.push(pool, rec, at)
    end
  end
end

-- The longest waiter, or `w`, fails with these.
local function refuse(pool, w, msg, code, raised)
  M.leave(pool, w)
  wake(w.q, false, msg, code, raised)
end

-- Everybody who waits fails: the pool was closed.
function M.refuse_all(pool)
  local w = pool.first
  while w do
    refuse(pool, w, CLOSED, "ECLOSED")
    w = pool.first
  end
end

-- ---- opening
-- ------------------------------------------------------------------------------------

local function forget(pool, o)
  for i, other in ipairs(pool.openings) do
    if other == o then
      table.remove(pool.openings, i)
      break
    end
  end
  local w = o.waiter
  if w then
    w.opening = false
  else
    pool.spare = pool.spare - 1
  end
  return w
end

-- Nobody waits for what could not be opened: try again later, each time later.
local function back_off(pool)
  if pool.retry or pool.closed or pool.idle_len + pool.spare >= pool.min_idle then
    return
  end
  pool.backoff = math.min(pool.backoff and 2 * pool.backoff or pool.backoff_min, pool.backoff_max)
  pool.retry = time.call_after(pool.backoff, pool.on_retry)
end

local function stop_backing_off(pool)
  if pool.retry then
    time.cancel_call(pool.retry)
  end
  pool.retry, pool.backoff = nil, nil
end
M.stop_backing_off = stop_backing_off

local function opened(pool, o, res)
  forget(pool, o)
  stop_backing_off(pool)
  pool.opened = pool.opened + 1
  M.give(pool, idle.record(pool, res), now())
  idle.settle(pool)
end

local function not_opened(pool, o, msg, code, raised, trace)
  local w = forget(pool, o)
  pool.total = pool.total - 1
  pool.failures = pool.failures + 1
  pool.last_failure = tostring(msg)
  if w then
    refuse(pool, w, msg, code, raised)
  else
    back_off(pool)
    if raised then
      task.report(msg, trace, task.self())
    end
  end
  idle.settle(pool)
end

local function open_one(pool, o)
  local epoch = pool.epoch
  local ok, res, msg, code = traced.call(pool.do_open)
  if pool.epoch ~= epoch then
    return
  elseif not ok and cancel.is_cancel(res) then
    not_opened(pool, o, CANCELLED, "ECANCELED")
  elseif not ok then
    not_opened(pool, o, res, nil, true, msg)
  elseif not res then
    not_opened(pool, o, msg or "EIO: open gave nothing", code or "EIO")
  elseif pool.records[res] then
    not_opened(pool, o, TWICE, nil, true, "")
  else
    opened(pool, o, res)
  end
end

local function start_opening(pool, w)
  local o = {waiter = false}
  pool.openings[#pool.openings + 1] = o
  pool.total = pool.total + 1
  pool.spare = pool.spare + 1
  if w then
    assign(pool, o, w)
  end
  task.daemon(open_one, pool, o)
end

-- An opening for nobody: one is there, or that of a waiter which gave up a moment ago.
local function find_spare(pool)
  for _, o in ipairs(pool.openings) do
    if o.waiter and not waits(o.waiter.q, 1) then
      M.leave(pool, o.waiter)
    end
    if not o.waiter then
      return o
    end
  end
end

-- See to it that a waiter has an opening; false when there is no place for one.
local function open_for(pool, w)
  if w.opening then
    return true
  end
  local o = find_spare(pool)
  if o then
    assign(pool, o, w)
    return true
  elseif pool.total < pool.max then
    start_opening(pool, w)
    return true
  end
  return false
end

-- Open what is missing to min_idle.
function M.fill(pool)
  if pool.retry or pool.closed then
    return
  end
  while pool.idle_len + pool.spare < pool.min_idle and pool.total < pool.max do
    start_opening(pool)
  end
end

-- A place may have become free: who waits has it first.
function idle.settle(pool)
  if pool.closed then
    if pool.total == 0 then
      core.wake_all(pool.closers, true)
    end
    return
  end
  local w = pool.first
  while w do
    local next = w.next
    if not waits(w.q, 1) then
      M.leave(pool, w)
    elseif not open_for(pool, w) then
      break
    end
    w = next
  end
  M.fill(pool)
end

-- Have one opened that nobody waits for, for who will ask again.
function M.open_spare(pool)
  if not find_spare(pool) and pool.total < pool.max then
    start_opening(pool)
  end
end

-- ---- waiting
-- ------------------------------------------------------------------------------------

local REASON = core.reasons["resource acquire"]

-- Get in line, in the place of `ticket`, and wait. Gives what core.wait does: a record; false and
-- why not; nil and a code.
function M.wait(pool, ticket, since, t)
  local w = {q = waitq(), ticket = ticket, since = since, linked = true, opening = false}
  link(pool, w)
  open_for(pool, w)
  idle.disarm(pool)
  local rec, msg, code, raised = core.wait(w.q, t, REASON)
  M.leave(pool, w)
  return rec, msg, code, raised
end

return M
