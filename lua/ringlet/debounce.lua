-- SPDX-License-Identifier: MIT
-- debounce: many calls become one, when they have stopped or not more often than each t seconds.
--
-- A call only notes its arguments and the time; a task calls the function when that is due. It is
-- there exactly while arguments wait or the function runs, so what waits keeps run alive and is
-- cancelled by a stop, and calls of the function never overlap. Woken too early, because further
-- calls came, it waits on: a timer is set once in t seconds and not with every call.
--
-- Invariants: `lead` are the arguments of the first call of a burst, which is due at once, `args`
-- those of the last call that waits, each else false. `last` is when the last call came, `since`
-- when the burst began or the function was last called; `hurry` says that nothing is to wait.

--- Collecting calls.
-- @module ringlet
-- @section Batches

local cancel = require "ringlet.cancel"
local core = require "ringlet.core"
local fail = require "ringlet.fail"
local options = require "ringlet.options"
local run_stop = require "ringlet.run_stop"
local task = require "ringlet.task"
local traced = require "ringlet.traced"

local unpack = table.unpack or rawget(_G, "unpack")
local now = core.now
local WAIT = core.reasons.wait
local NEVER = -math.huge
-- What two sums of the same times may differ by.
local SLACK = 1e-9

local M = {}

local KNOWN = {leading = "boolean", trailing = "boolean", max_wait = "number"}
local THROTTLE = {leading = "boolean", trailing = "boolean"}

--- A function that is called less often than it is asked for, from `rl.debounce` or `rl.throttle`.
-- `d(...)` is `d:call(...)`.
-- @type debouncer
local Debouncer = {__name = "ringlet.debouncer"}
Debouncer.__index = Debouncer

-- Those with a task, for the end of the run.
local active = {}

-- Have t seconds passed since then? Time that runs backwards is that of another run.
local function passed(since, t, at)
  return at - since >= t - SLACK or at < since
end

-- Seconds until what waits is due.
local function left(self)
  if self.lead or self.hurry then
    return 0
  end
  return math.min(self.last + self.t, self.since + self.max_wait) - now()
end

local function call_fn(self)
  local args = self.lead or self.args
  if self.lead then
    self.lead = false
  else
    self.args, self.hurry = false, false
  end
  self.since, self.invocations, self.running = now(), self.invocations + 1, true
  local ok, err, trace = traced.call(self.fn, unpack(args, 1, args.n))
  self.running = false
  if ok then
    return
  elseif not cancel.is_cancel(err) then
    self.failures = self.failures + 1
    task.report(err, trace, task.self())
  elseif cancel.effective(task.self()) then
    error(err, 0)
  end
end

local function loop(self)
  while self.lead or self.args do
    local t = left(self)
    if t <= SLACK then
      call_fn(self)
    else
      local ok, code = core.wait(self.q, t, WAIT)
      if ok == nil and code ~= core.ETIMEDOUT then
        fail(code)
      end
    end
  end
end

local function drop(self)
  self.lead, self.args, self.hurry = false, false, false
end

-- The task has ended, however.
local function ended(h)
  local self = h.debouncer
  drop(self)
  self.running, self.task, active[self] = false, nil, nil
end

local function begin(self)
  local h = task.go(loop, self)
  h.debouncer, h.on_end, self.task = self, ended, h
  h:name(self.name)
  active[self] = true
end

-- The first call of a burst? With a longest wait bursts end after that time, too; the function is
-- not called twice in t seconds then.
local function is_first(self, at)
  if self.max_wait == math.huge then
    return passed(self.last, self.t, at)
  end
  return passed(self.since, self.max_wait, at)
    or passed(self.last, self.t, at) and passed(self.since, self.t, at)
end

--- Ask for a call of the function with these arguments.
-- @param ... arguments; of calls that become one, the last ones count
-- @raise outside of `run`
function Debouncer:call(...)
  if not run_stop.active then
    error("not inside a task: it is called while rl.run is active", 2)
  end
  local at = now()
  local first = not (self.lead or self.args or self.running) and is_first(self, at)
  self.last, self.calls = at, self.calls + 1
  if first then
    self.since = at
  end
  if first and self.leading then
    self.lead = {n = select("#", ...), ...}
  elseif self.trailing then
    self.args = {n = select("#", ...), ...}
  else
    return
  end
  if not self.task then
    begin(self)
  end
end

Debouncer.__call = Debouncer.call

--- Forget what waits, and that there were calls.
function Debouncer:cancel()
  drop(self)
  self.last, self.since = NEVER, NEVER
  core.wake(self.q, true)
end

--- Call the function with what waits, now. It does not wait for that call.
-- @treturn boolean whether something waited
function Debouncer:flush()
  if not self:pending() then
    return false
  end
  self.hurry = self.args ~= false
  core.wake(self.q, true)
  return true
end

--- Does a call wait?
-- @treturn boolean
function Debouncer:pending()
  return (self.lead or self.args) ~= false
end

--- Counters.
-- @treturn debouncer_stats a new table
-- @tfield[debouncer_stats] integer calls so far
-- @tfield[debouncer_stats] integer invocations calls of the function so far
-- @tfield[debouncer_stats] integer failures of those that raised
function Debouncer:stats()
  return {calls = self.calls, invocations = self.invocations, failures = self.failures}
end

function Debouncer:__tostring()
  local state = self.running and "running" or self:pending() and "pending" or "idle"
  return ("ringlet.debouncer: %s, %s, %d calls became %d"):format(self.name, state, self.calls,
    self.invocations)
end

local function forget(self)
  drop(self)
  self.running, self.task = false, nil
  self.last, self.since, self.q = NEVER, NEVER, core.waitq()
end

-- What waits when a run is over is nobody's any more.
run_stop.endings[#run_stop.endings + 1] = function()
  for self in pairs(active) do
    forget(self)
  end
  active = {}
end

local function build(name, fn, t, leading, trailing, max_wait)
  local self = setmetatable({
    name = name, fn = fn, t = t, leading = leading, trailing = trailing, max_wait = max_wait,
    calls = 0, invocations = 0, failures = 0,
  }, Debouncer)
  forget(self)
  return self
end

local function check(fn, t, level)
  options.callable(fn, level + 1)
  if type(t) ~= "number" then
    error("seconds expected: a number", level + 1)
  end
  options.bound(t, {min = 0}, "the time", level + 1)
end

local function check_edges(leading, trailing, level)
  if not leading and not trailing then
    error("without 'leading' and 'trailing' it is never called", level + 1)
  end
end

--- A function that is called once when calls have stopped for t seconds, with the arguments of the
-- last of them. It runs in a task of its own, one call at a time; what it raises goes to
-- `rl.on_error`. What waits keeps `run` alive.
-- @tparam fun(...:any) fn
-- @tparam number t seconds
-- @tparam[opt] table opts
-- @tparam[opt=false] boolean opts.leading call it at once for the first call, and again at the end
-- if there were more
-- @tparam[opt=true] boolean opts.trailing call it at the end
-- @tparam[opt] number opts.max_wait seconds after which it is called though calls do not stop
-- @treturn debouncer it can be called like a function
-- @raise options that make no sense
-- @source the JavaScript library Lodash, debounce
function M.new(fn, t, opts)
  check(fn, t, 2)
  opts = options.check(opts, KNOWN)
  options.bounds(opts, {max_wait = {min = t, infinite = true}})
  local trailing = opts.trailing ~= false
  check_edges(opts.leading, trailing, 2)
  return build("debounce", fn, t, opts.leading or false, trailing, opts.max_wait or math.huge)
end

--- A function that is called at most once in t seconds: for the first call at once, then with the
-- arguments of the last one.
-- @tparam fun(...:any) fn
-- @tparam number t seconds
-- @tparam[opt] table opts
-- @tparam[opt=true] boolean opts.leading call it at once for the first call
-- @tparam[opt=true] boolean opts.trailing call it after t seconds if there were more calls
-- @treturn debouncer it can be called like a function
-- @raise options that make no sense
-- @source the JavaScript library Lodash, throttle
function M.throttle(fn, t, opts)
  check(fn, t, 2)
  opts = options.check(opts, THROTTLE)
  local leading, trailing = opts.leading ~= false, opts.trailing ~= false
  check_edges(leading, trailing, 2)
  return build("throttle", fn, t, leading, trailing, t)
end

return M
