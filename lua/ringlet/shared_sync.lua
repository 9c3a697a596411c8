-- SPDX-License-Identifier: MIT
-- shared_sync: semaphores, barriers and onces for tasks of any shards: what parks, and the docs.

--- @module ringlet.shared
-- @section Synchronization

local cancel = require "ringlet.cancel"
local core = require "ringlet.core"
local fail = require "ringlet.fail"
local options = require "ringlet.options"

local unpack = table.unpack or rawget(_G, "unpack")
local acquire, meet = core.shared_acquire, core.shared_meet
local begin, finish, give_up = core.shared_begin, core.shared_finish, core.shared_give_up

local M = {}

local function pack(...)
  return {n = select("#", ...), ...}
end

--- A semaphore of n tokens for tasks of any shards.
-- @tparam integer n 0 or more
-- @treturn shared_semaphore
-- @source E. W. Dijkstra, EWD 74
function M.semaphore(n)
  return core.shared_semaphore(n)
end

--- A weighted semaphore, from `shared.semaphore`. Waiters are served first come, first served.
-- @type shared_semaphore
local Semaphore = core.shared_semaphore_class

--- Take k tokens. A large request is not starved by small ones that come later, and they go on when
-- it gives up.
-- @parks while there are fewer, or others wait
-- @tparam[opt=1] integer k
-- @tparam[opt] number t seconds
-- @treturn true
-- @fails "ETIMEDOUT"
-- @raise when there are never so many
function Semaphore:acquire(k, t)
  options.seconds(t)
  local ok, code = acquire(self, k, t)
  if ok == nil then
    return fail(code)
  end
  return true
end

--- Take k tokens if that needs no waiting.
-- @function try_acquire
-- @tparam[opt=1] integer k
-- @treturn boolean whether the caller has them now

--- Give k tokens back. Any task may do that.
-- @function release
-- @tparam[opt=1] integer k
-- @raise when more come back than were taken

--- Tokens that nobody holds.
-- @function available
-- @treturn integer

local function release_after(self, ok, ...)
  self:release()
  if not ok then
    error((...), 0)
  end
  return ...
end

--- Call fn with a token; give it back whatever becomes of fn.
-- @parks while there is none, or others wait, and where fn does
-- @tparam fun(...:any):any fn
-- @param ... its arguments
-- @return ... fn's results
-- @raise what fn raises, unchanged
function Semaphore:with(fn, ...)
  self:acquire()
  return release_after(self, pcall(fn, ...))
end

--- A meeting point of n tasks of any shards, which can be used again and again.
-- @tparam integer n 1 or more
-- @treturn shared_barrier
-- @source pthread_barrier_wait(3)
function M.barrier(n)
  return core.shared_barrier(n)
end

--- A meeting point, from `shared.barrier`.
-- @type shared_barrier
local Barrier = core.shared_barrier_class

local function time_left(due)
  return due and math.max(0, due - core.now())
end

--- Wait until n tasks have come. Whoever gives up does not count.
-- @parks until the last has come
-- @tparam[opt] number t seconds
-- @treturn integer in which place this task came, from 1 to n
-- @fails "ETIMEDOUT"
function Barrier:wait(t)
  options.seconds(t)
  local due = t and core.now() + t
  local place, code = meet(self, t)
  -- Another gave up at the very moment when the last one came.
  while place == nil and code == core.EAGAIN do
    place, code = meet(self, time_left(due))
  end
  if place == nil then
    return fail(code)
  end
  return place
end

--- Something that is done once, by whoever comes first on any shard.
-- @treturn shared_once
-- @source the Go function sync.OnceValues
function M.once()
  return core.shared_once()
end

--- Something that is done once, from `shared.once`.
-- @type shared_once
local Once = core.shared_once_class

-- It is the caller's turn. What cannot travel is an error for everybody but who caused it.
local function do_once(turn, fn, ...)
  local got = pack(pcall(fn, ...))
  if not got[1] and cancel.is_cancel(got[2]) then
    give_up(turn)
    error(got[2], 0)
  end
  local sent, err = pcall(finish, turn, unpack(got, 1, got.n))
  if not sent then
    finish(turn, false, got[1] and tostring(err) or tostring(got[2]))
  end
  if not got[1] or not sent then
    error(got[1] and err or got[2], 0)
  end
  return unpack(got, 2, got.n)
end

local function settled(ok, ...)
  if not ok then
    error((...), 0)
  end
  return ...
end

--- Call fn, unless that was done before: then its results are given, or its error is raised, as
-- copies. When the task that does it is cancelled, the next one does it.
-- @parks while another does it, and where fn does
-- @tparam fun(...:any):any fn
-- @param ... its arguments
-- @return ... the results of the one call
-- @raise the error of the one call; where an error cannot travel, its text
function Once:call(fn, ...)
  if type(fn) ~= "function" then
    error("function expected, got " .. type(fn), 2)
  end
  local turn, code = begin(self)
  while turn == true do
    turn, code = begin(self)
  end
  if turn then
    return do_once(turn, fn, ...)
  elseif turn == nil then
    return fail(code)
  end
  return settled(core.shared_result(self))
end

--- Is it done?
-- @function is_done
-- @treturn boolean

return M
