-- SPDX-License-Identifier: MIT
-- pool_guests: tasks of a full pool that run beside its workers: in tasks of their own, or in that
-- of their submitter, in a cancel scope.
--
-- Invariant: `beside` counts them from the moment they were submitted, and `guests` holds each
-- until it has ended, {pool, f, id, slot | scope}.

local cancel = require "ringlet.cancel"
local core = require "ringlet.core"
local pool_task = require "ringlet.pool_task"
local task = require "ringlet.task"

local perform, PLACE = pool_task.perform, pool_task.PLACE
local lodgers = task.lodgers

local M = {}

local function enter(pool, f)
  pool.last_id, pool.beside = pool.last_id + 1, pool.beside + 1
  local guest = {pool = pool, f = f, id = pool.last_id}
  pool.guests[guest] = true
  return guest
end

local function leave(guest)
  local pool = guest.pool
  pool.guests[guest] = nil
  pool.beside = pool.beside - 1
  pool_task.tell_drained(pool)
end

-- The task that it ran in ended before it returned.
local function lost(guest, err, trace)
  local f = guest.f
  if f[1] then
    pool_task.fail(guest.pool, f, err, trace)
  end
  leave(guest)
end

-- Nobody but the future is told.
local function lost_spawned(guest, err, trace)
  lost(guest, err, trace)
  return true
end

-- The submitter has failed as well, and what it ran for others with it.
local function lost_submitter(guest, err, trace)
  lost(guest, err, trace)
  local outer = guest.outer
  return outer and outer:lost_(err, trace)
end

local function run_spawned(guest)
  local f, slot = guest.f, (core.current())
  if f[1] then -- it was not cancelled before it began
    guest.slot, f[PLACE], guest.lost_ = slot, guest, lost_spawned
    lodgers[slot] = guest
    perform(guest.pool, f)
    lodgers[slot] = false
  end
  leave(guest)
end

-- Run it in a task of its own.
function M.spawn(pool, f)
  task.go(run_spawned, enter(pool, f))
end

-- Run it in the calling task. A cancellation that comes from outside goes on from here.
function M.run(pool, f)
  local h = task.own()
  local slot, guest = h[1], enter(pool, f)
  guest.scope, guest.lost_, guest.outer = cancel.push(h, {}), lost_submitter, lodgers[slot]
  f[PLACE], lodgers[slot] = guest, guest
  perform(pool, f)
  lodgers[slot] = guest.outer
  cancel.pop(h, guest.scope)
  leave(guest)
  local why = cancel.effective(h)
  if why and not f[3] and rawequal(f[5], why) then
    error(why, 0)
  end
end

local function is_older(a, b)
  return a.id < b.id
end

-- Cancel all of them, the oldest first.
function M.cancel_all(pool, reason)
  local list = {}
  for guest in pairs(pool.guests) do
    list[#list + 1] = guest
  end
  table.sort(list, is_older)
  for _, guest in ipairs(list) do
    guest.f:cancel(reason)
  end
end

return M
