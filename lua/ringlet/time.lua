-- SPDX-License-Identifier: MIT
-- time: sleeping, clocks, and timers that can be selected.

--- Clocks, sleeping, and timers that can be selected.
-- @module ringlet
-- @section Time

local core = require "ringlet.core"
local fail = require "ringlet.fail"
local options = require "ringlet.options"

local sleep, yield, TIMED_OUT = core.sleep, core.yield, core.ETIMEDOUT
local timer_set, timer_stop, timers = core.timer_set, core.timer_stop, core.timers()
local REASON = core.reasons["timer wait"]

local M = {}

--- Seconds of a monotonic clock; in a run on the sim backend, of its virtual time.
-- @function now
-- @treturn number seconds since some point in the past
-- @source clock_gettime(2), CLOCK_MONOTONIC
M.now = core.now

--- Seconds of the wall clock; in a run on the sim backend, of its virtual time.
-- @function time
-- @treturn number seconds since the epoch, 1970-01-01 UTC
-- @source clock_gettime(2), CLOCK_REALTIME
M.time = core.time

--- Let t seconds pass, never less.
-- @parks for t seconds; with 0 or less like `yield`
-- @tparam number t seconds
-- @source clock_nanosleep(2)
function M.sleep(t)
  if type(t) ~= "number" or t ~= t then
    error("seconds expected: a number", 2)
  end
  local _, code = sleep(t)
  if code and code ~= TIMED_OUT then
    fail(code)
  end
end

--- Give up the turn: everything that is ready runs first.
-- @parks until its next turn
-- @source sched_yield(2); the Go function runtime.Gosched
function M.yield()
  local _, code = yield()
  if code then
    fail(code)
  end
end

-- A timer's table is {slot | false, fired | false, queue | nil}: the core knows its first three
-- elements. A ticker's begins with its slot as well, but the core calls its `beat`.
local SLOT, FIRED, QUEUE = 1, 2, 3

-- Have the core fire `what` after t seconds; whether a run is active, so that this has a time.
local function set(self, t, what)
  local slot, running = timer_set(t)
  timers[slot] = what
  self[SLOT] = slot
  return running
end

-- Whether it was set.
local function stop(self)
  local slot = self[SLOT]
  if not slot then
    return false
  end
  self[SLOT] = false
  timers[slot] = false
  timer_stop(slot)
  return true
end

--- Call fn in the run loop, where it must not park, after t seconds.
-- @local
-- @treturn table for `cancel_call`
function M.call_after(t, fn)
  local self = {false}
  set(self, t, function(slot)
    if self[SLOT] == slot then
      self[SLOT] = false
      fn()
    end
  end)
  return self
end

--- Do not call it any more.
-- @local
M.cancel_call = stop

-- Wait for the value a timer holds or will give.
local function wait(self, t)
  if t ~= nil then
    options.seconds(t, 3)
  end
  local ready, v = self:poll_()
  if ready then
    core.check()
    return v
  end
  local code
  v, code = core.wait(self.q, t, REASON)
  if v == nil then
    return fail(code)
  end
  return v
end

--- A timer that fires once, from `rl.after`. `rl.select` takes it: the case gives when it fired.
-- @type timer
local Timer = {__name = "ringlet.timer"}
Timer.__index = Timer

local function arm(self, t)
  self[FIRED] = false
  if t ~= math.huge then
    set(self, t, self)
  end
end

--- A timer that fires once, after t seconds, and stays fired. Dropped without `stop`, it is kept
-- until it is due.
-- @tparam number t seconds; `math.huge`: never
-- @treturn timer made before `run`, it counts from the beginning of the run
-- @source the Go function time.After
function M.after(t)
  if type(t) ~= "number" or t ~= t then
    error("seconds expected: a number", 2)
  end
  local self = setmetatable({false, false}, Timer)
  arm(self, t)
  return self
end

--- Wait until it fires.
-- @parks until then; not at all if it has fired
-- @tparam[opt] number t seconds
-- @treturn number when it fired, in seconds of `rl.now`
-- @fails "ETIMEDOUT"
function Timer:wait(t)
  return wait(self, t)
end

--- The same as `wait`.
-- @function Timer:recv
-- @parks until it fires
-- @tparam[opt] number t seconds
-- @treturn number when it fired, in seconds of `rl.now`
-- @fails "ETIMEDOUT"
Timer.recv = Timer.wait

--- Stop it: it does not fire any more, and one that has fired is no longer ready.
-- @treturn boolean whether it was pending
function Timer:stop()
  self[FIRED] = false
  return stop(self)
end

--- Start it anew.
-- @tparam number t seconds from now
-- @treturn boolean whether it was pending
function Timer:reset(t)
  if type(t) ~= "number" or t ~= t then
    error("seconds expected: a number", 2)
  end
  local was = self:stop()
  arm(self, t)
  return was
end

function Timer:poll_()
  local at = self[FIRED]
  if at then
    return true, at
  elseif not self.q then
    self.q = core.waitq()
    self[QUEUE] = self.q
  end
  return false
end

function Timer:__tostring()
  return "ringlet.timer: " .. (self[FIRED] and "fired" or self[SLOT] and "pending" or "stopped")
end

--- A timer that fires again and again, from `rl.ticker`. `rl.select` takes it: the case gives when
-- it ticked.
-- @type ticker
local Ticker = {__name = "ringlet.ticker"}
Ticker.__index = Ticker

local function check_period(t)
  if type(t) ~= "number" or t <= 0 or t ~= t or t == math.huge then
    error("the period must be a positive number of seconds", 3)
  end
end

-- The next beat after now: late ticks are dropped, the beat is kept.
local function next_beat(self, now)
  self.due = self.due + self.period * math.max(1, math.floor((now - self.due) / self.period + 1))
  set(self, math.max(self.due - now, 0), self.beat)
end

-- A tick nobody waits for is kept, and no further one is due until it was consumed: a ticker nobody
-- looks at causes no wake-ups and does not hide a deadlock.
local function tick(self)
  local now = core.now()
  self[SLOT] = false
  self.due = self.due or now
  if core.wake(self.q, now) then
    next_beat(self, now)
  else
    self.tick = now
  end
end

local function start(self, t)
  self.period, self.tick = t, nil
  self.due = set(self, t, self.beat) and core.now() + t or nil
end

--- A ticker: a tick each t seconds. A slow consumer finds one tick, not a heap; the beat is kept.
-- @tparam number t seconds, more than 0
-- @treturn ticker made before `run`, it counts from the beginning of the run
-- @source the Go function time.NewTicker
function M.ticker(t)
  check_period(t)
  local self = setmetatable({false, q = core.waitq()}, Ticker)
  self.beat = function(slot)
    if self[SLOT] == slot then
      tick(self)
    end
  end
  start(self, t)
  return self
end

--- Wait for the next tick.
-- @parks until then; not at all if a tick is there
-- @tparam[opt] number t seconds
-- @treturn number when it ticked, in seconds of `rl.now`
-- @fails "ETIMEDOUT"
function Ticker:wait(t)
  return wait(self, t)
end

--- The same as `wait`.
-- @function Ticker:recv
-- @parks until the next tick
-- @tparam[opt] number t seconds
-- @treturn number when it ticked, in seconds of `rl.now`
-- @fails "ETIMEDOUT"
Ticker.recv = Ticker.wait

--- Stop ticking. A tick that nobody took is dropped.
function Ticker:stop()
  stop(self)
  self.tick = nil
end

--- Tick with another period from now on.
-- @tparam number t seconds, more than 0
function Ticker:reset(t)
  check_period(t)
  stop(self)
  start(self, t)
end

function Ticker:poll_(peek)
  local v = self.tick
  if v and not peek then
    self.tick = nil
    next_beat(self, core.now())
  end
  return v ~= nil, v
end

function Ticker:__tostring()
  return ("ringlet.ticker: each %g s"):format(self.period)
end

return M
