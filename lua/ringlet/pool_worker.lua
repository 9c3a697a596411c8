-- SPDX-License-Identifier: MIT
-- pool_worker: what users do with a pool's worker. Its life is in pool_workers.

--- Tasks that run at most so many at a time.
-- @module ringlet
-- @section Pools

local core = require "ringlet.core"
local states = require "ringlet.pool_states"
local workers = require "ringlet.pool_workers"

--- A worker of a pool, as `pool:workers` and the hook `on_failed` give it. It runs one task after
-- the other, each as if in a task of its own.
-- @type pool_worker
-- @tfield integer id its number in the pool, never used twice
-- @tfield ?table tags its copy of the pool's option `tags`, to be changed as one likes
-- @tfield number since when it was made, in seconds of `rl.now`
-- @tfield integer done how many tasks have ended on it
local Worker = workers.Worker

--- What it does: "created", it has had no turn yet; "pending", it waits for a task; "running";
-- "paused"; "failed", its task made no progress and it was given up; "terminated".
-- @treturn string
function Worker:state()
  return self.phase
end

-- It may be on its way: another one has to go.
local function stand_aside(pool, w)
  if pool.backup == w then
    core.backup(nil)
  end
  workers.arrive(pool, w)
end

--- Have it begin no more tasks. A task that it has begun goes on. Its seat stays empty: the pool
-- runs one task less.
-- @raise unless it is pending or running
function Worker:pause()
  local pool = self.pool
  states.move(self, "paused")
  self.halt = true
  if self.lies then
    stand_aside(pool, self)
    workers.forget_idle(pool, self)
    workers.hold(pool, self)
  end
end

--- Have it begin tasks again.
-- @raise unless it is paused
function Worker:resume()
  local pool = self.pool
  if self.phase ~= "paused" then
    states.move(self, "pending")
  elseif not self.held then -- it has not come to rest yet
    self.phase, self.halt = self.f and "running" or "pending", self.doomed
    return
  end
  workers.release(pool, self)
  if pool.crew > pool.seats then
    workers.retire(pool, self, "terminated")
    workers.wake(self, false)
  else
    states.move(self, "pending")
    workers.lie_down(pool, self)
  end
  workers.dispatch(pool)
end

--- End it: at once if it has no task, else after its task. The pool makes another one when it needs
-- one.
-- @tparam[opt=false] boolean force cancel its task
-- @treturn boolean false if it has ended already
function Worker:destroy(force)
  local pool = self.pool
  if self.phase == "failed" or self.phase == "terminated" then
    return false
  elseif self.f then
    self.halt, self.doomed = true, true
    if force then
      self.f:cancel("the worker was destroyed")
    end
    return true
  end
  stand_aside(pool, self)
  self.halt = true
  if self.held then
    workers.release(pool, self)
  elseif self.lies then
    workers.forget_idle(pool, self)
  end
  workers.retire(pool, self, "terminated")
  workers.wake(self, false)
  workers.dispatch(pool)
  return true
end

function Worker:__tostring()
  return ("ringlet.pool_worker: %d of %s, %s, %d tasks done"):format(self.id, self.pool.name,
    self.phase, self.done)
end

return Worker
