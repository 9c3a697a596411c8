-- SPDX-License-Identifier: MIT
-- scope: structured concurrency: rl.scope, rl.timeout, rl.shield, rl.finally, rl.pcall.
--
-- Invariants: a scope is popped only after its children have ended; an error leaves as the same
-- value; a cancellation is caught only by the scope it belongs to.

--- Structured concurrency, time limits, cleaning up.
-- @module ringlet
-- @section Scopes

local cancel = require "ringlet.cancel"
local core = require "ringlet.core"
local fail = require "ringlet.fail"
local options = require "ringlet.options"
local task = require "ringlet.task"
local time = require "ringlet.time"

local SCOPE = core.reasons["scope exit"]

local M = {}

--- A scope of tasks, given to the function of `rl.scope`.
-- @type scope
local Scope = {__name = "ringlet.scope"}
Scope.__index = Scope

function Scope:__tostring()
  return ("ringlet.scope: %d children"):format(self.count)
end

local function arm(s, t)
  if t == math.huge then
    return
  end
  if t <= 0 then
    s.timed_out = true
    cancel.cancel_scope(s, "timed out")
    return
  end
  s.limit_call = time.call_after(t, function()
    s.timed_out = not s.cancelled
    cancel.cancel_scope(s, "timed out")
  end)
end

local function leave(s)
  if s.limit_call then
    time.cancel_call(s.limit_call)
  end
  cancel.pop(s.owner, s)
end

local function leave_timeout(s, ok, ...)
  leave(s)
  if ok then
    return true, ...
  end
  if s.timed_out and rawequal((...), s.cancelled) then
    return fail(core.ETIMEDOUT)
  end
  error((...), 0)
end

--- Run fn in the calling task for at most t seconds: then whatever it waits for raises a
-- cancellation, which ends here.
-- @parks where fn does
-- @tparam number t seconds; 0 or less: time is up where fn first parks
-- @tparam fun(...:any):any fn
-- @param ... its arguments
-- @treturn true
-- @return ... fn's results
-- @fails "ETIMEDOUT"
-- @raise what fn raises, unchanged; outside of a task
-- @source N. J. Smith, "Timeouts and cancellation for humans", 2018
function M.timeout(t, fn, ...)
  if type(t) ~= "number" or t ~= t then
    error("seconds expected: a number", 2)
  elseif type(fn) ~= "function" then
    error("function expected, got " .. type(fn), 2)
  end
  local s = cancel.push(task.own(), {})
  arm(s, t)
  return leave_timeout(s, pcall(fn, ...))
end

local function leave_shield(s, ok, ...)
  leave(s)
  if not ok then
    error((...), 0)
  end
  return ...
end

--- Run fn so that no cancellation from outside reaches it. It is raised where the task parks next,
-- after fn.
-- @parks where fn does
-- @tparam fun(...:any):any fn
-- @param ... its arguments
-- @return ... fn's results
-- @raise what fn raises, unchanged; outside of a task
-- @source N. J. Smith, "Timeouts and cancellation for humans", 2018
function M.shield(fn, ...)
  if type(fn) ~= "function" then
    error("function expected, got " .. type(fn), 2)
  end
  return leave_shield(cancel.push(task.own(), {shield = true}), pcall(fn, ...))
end

-- The same for a wait of the library's.
function M.shield_wait(fn, ...)
  return leave_shield(cancel.push(task.own(), {shield = true, ours = true}), pcall(fn, ...))
end

local function finally(cleanup, ok, ...)
  if core.inside() then
    local clean, err = pcall(M.shield, cleanup)
    if not clean and (ok or cancel.is_cancel((...))) then
      error(err, 0)
    end
  else
    cleanup()
  end
  if not ok then
    error((...), 0)
  end
  return ...
end

--- Run fn, then cleanup, whatever became of fn; cleanup is shielded from cancellation.
-- @parks where fn or cleanup does
-- @tparam fun():any fn
-- @tparam fun() cleanup
-- @return ... fn's results
-- @raise fn's error, unchanged, after cleanup; else cleanup's
function M.finally(fn, cleanup)
  if type(fn) ~= "function" or type(cleanup) ~= "function" then
    error("two functions expected", 2)
  end
  return finally(cleanup, pcall(fn))
end

local function pass_cancel(ok, ...)
  if not ok and cancel.is_cancel((...)) then
    error((...), 0)
  end
  return ok, ...
end

--- The pcall of Lua, but it lets cancellations through.
-- @parks where fn does
-- @tparam fun(...:any):any fn
-- @param ... its arguments
-- @treturn boolean whether fn returned
-- @return ... its results, or its error
-- @raise the cancellation of the task
function M.pcall(fn, ...)
  return pass_cancel(pcall(fn, ...))
end

--- Start a child of the scope. Its failure cancels the scope.
-- @parks while the scope has as many children as its limit
-- @tparam fun(...:any):any fn
-- @param ... its arguments
-- @treturn task
-- @raise when the scope has ended
function Scope:go(fn, ...)
  if type(fn) ~= "function" then
    error("function expected, got " .. type(fn), 2)
  elseif self.done then
    error("the scope has ended", 2)
  end
  while self.limit and self.count >= self.limit do
    local ok, code = core.wait(self.room, nil, SCOPE)
    if ok == nil then
      fail(code)
    end
  end
  local h = task.child(self, fn, ...)
  self.children[h] = true
  self.count = self.count + 1
  cancel.refresh(h)
  return h
end

--- Cancel everything in the scope; `rl.scope` then returns nil, a message and "ECANCELED". Only the
-- first cancel counts.
-- @tparam[opt] any reason `rl.is_cancel` gives it back
function Scope:cancel(reason)
  self.stopped = self.stopped or not self.cancelled
  cancel.cancel_scope(self, reason)
end

-- The shield of a wait that is part of what a user's call does, `ours`, protects nobody's code.
local function wait_children(scope)
  local shield = cancel.push(scope.owner, {shield = true, ours = true})
  while scope.count > 0 do
    core.wait(scope.empty, nil, SCOPE)
  end
  cancel.pop(scope.owner, shield)
end

local function leave_scope(s, ok, ...)
  if not ok and not s.failure and not cancel.is_cancel((...)) then
    s.failure = {(...)}
  end
  if not ok then
    cancel.cancel_scope(s, "the scope failed")
  end
  wait_children(s)
  s.done = true
  leave(s)
  local outer = cancel.effective(s.owner)
  if outer then
    error(outer, 0)
  elseif s.failure then
    error(s.failure[1], 0)
  elseif s.timed_out then
    return fail(core.ETIMEDOUT)
  elseif s.stopped then
    return nil, "ECANCELED: the scope was cancelled", "ECANCELED"
  elseif not ok then
    error((...), 0)
  end
  return true, ...
end

--- Run fn(s) in the calling task; return when it and all tasks started by `s:go` have ended. The
-- first failure of any cancels the others.
-- @parks until all of them have ended
-- @tparam fun(s:scope):any fn
-- @tparam[opt] table opts
-- @tparam[opt] number opts.timeout seconds for everything
-- @tparam[opt] integer opts.limit children at a time
-- @treturn true
-- @return ... fn's results
-- @fails "ETIMEDOUT"; "ECANCELED" after `s:cancel`
-- @raise the first failure, unchanged, after all have ended; outside of a task
-- @source N. J. Smith, "Notes on structured concurrency", 2018; libdill, "Structured concurrency"
function M.scope(fn, opts)
  if type(fn) ~= "function" then
    error("function expected, got " .. type(fn), 2)
  end
  opts = options.check(opts, {timeout = "number", limit = "number"})
  if opts.limit and (opts.limit < 1 or opts.limit ~= math.floor(opts.limit)) then
    error("option 'limit' must be a whole number of at least 1", 2)
  elseif opts.timeout and opts.timeout ~= opts.timeout then
    error("option 'timeout' is not a number", 2)
  end
  local s = setmetatable({
    children = {}, count = 0, limit = opts.limit, room = core.waitq(), empty = core.waitq(),
  }, Scope)
  cancel.push(task.own(), s)
  if opts.timeout then
    arm(s, opts.timeout)
  end
  return leave_scope(s, pcall(fn, s))
end

return M
