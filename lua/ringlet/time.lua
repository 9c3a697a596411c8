-- SPDX-License-Identifier: MIT
-- time: sleeping, clocks, and timers that can be selected.

local core = require "ringlet.core"
local fail = require "ringlet.fail"
local options = require "ringlet.options"

local sleep, yield, TIMED_OUT = core.sleep, core.yield, core.ETIMEDOUT
local REASON = core.reasons["timer wait"]

local M = {}

--- Seconds of a monotonic clock (virtual on the sim backend).
-- @treturn number
M.now = core.now

--- Wall clock seconds since the epoch.
-- @treturn number
M.time = core.time

--- Let t seconds pass, never less; 0 or less: give up the turn. Parks.
-- @tparam number t seconds
function M.sleep(t)
  if type(t) ~= "number" or t ~= t then
    error("seconds expected: a number", 2)
  end
  local _, code = sleep(t)
  if code and code ~= TIMED_OUT then
    fail(code)
  end
end

--- Give up the turn: everything that is ready runs first. Parks.
function M.yield()
  local _, code = yield()
  if code then
    fail(code)
  end
end

local function stop(self)
  return self.alarm and core.alarm_stop(self.alarm) or false
end

-- Wait for the value a timer holds or will give.
local function wait(self, t)
  options.seconds(t, 3)
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

-- A timer that fires once, from `rl.after`.
local Timer = {__name = "ringlet.timer"}
Timer.__index = Timer

local function arm(self, t)
  self.fired = nil
  if t ~= math.huge then
    core.alarm_set(self.alarm, t)
  end
end

--- A timer that fires once after t seconds and stays fired. Selectable.
-- @tparam number t seconds
-- @treturn timer
function M.after(t)
  if type(t) ~= "number" or t ~= t then
    error("seconds expected: a number", 2)
  end
  local self = setmetatable({q = core.waitq()}, Timer)
  self.alarm = core.alarm(function()
    self.fired = core.now()
    core.wake_all(self.q, self.fired)
  end)
  arm(self, t)
  return self
end

--- Wait until it fires. Parks.
-- @tparam[opt] number t seconds
-- @treturn number when it fired, or nil, message, "ETIMEDOUT"
function Timer:wait(t)
  return wait(self, t)
end

Timer.recv = Timer.wait

--- Stop it: it does not fire any more.
-- @treturn boolean whether it was pending
function Timer:stop()
  self.fired = nil
  return stop(self)
end

--- Start it anew.
-- @tparam number t seconds
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
  return self.fired ~= nil, self.fired
end

function Timer:__tostring()
  return "ringlet.timer: " .. (self.fired and "fired" or "pending or stopped")
end

-- A timer that fires again and again, from `rl.ticker`.
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
  core.alarm_set(self.alarm, math.max(self.due - now, 0))
end

-- A tick nobody waits for is kept, and no further one is due until it was consumed: a ticker nobody
-- looks at causes no wake-ups and does not hide a deadlock.
local function tick(self)
  local now = core.now()
  if core.wake(self.q, now) then
    next_beat(self, now)
  else
    self.tick = now
  end
end

local function start(self, t)
  self.period, self.tick, self.due = t, nil, core.now() + t
  core.alarm_set(self.alarm, t)
end

--- A ticker: a tick each t seconds; a slow consumer finds one tick, not a heap. Selectable.
-- @tparam number t seconds
-- @treturn ticker
function M.ticker(t)
  check_period(t)
  local self = setmetatable({q = core.waitq()}, Ticker)
  self.alarm = core.alarm(function()
    tick(self)
  end)
  start(self, t)
  return self
end

--- Wait for the next tick. Parks.
-- @tparam[opt] number t seconds
-- @treturn number when it ticked, or nil, message, "ETIMEDOUT"
function Ticker:wait(t)
  return wait(self, t)
end

Ticker.recv = Ticker.wait

--- Stop ticking.
function Ticker:stop()
  stop(self)
  self.tick = nil
end

--- Tick with another period from now on.
-- @tparam number t seconds
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
