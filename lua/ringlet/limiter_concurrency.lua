-- SPDX-License-Identifier: MIT
-- limiter_concurrency: how many calls there may be at once, and who has to wait or is refused.
--
-- A permit is {limiter, class, start, calls at its start}; limiter is false once it was given back.
-- It is called to give it back. It is a table and no function, so that compiled code makes it.
-- Who waits is handed a permit, or false when its place is taken from it.
--
-- Invariants: running <= limit, but for what began before the limit fell; nobody waits whom the
-- limit and its share have room for; a line's entries are those whose tasks wait, and those that
-- are about to leave it because they were cancelled or timed out.

--- @module ringlet
-- @section Limiters

local algorithms = require "ringlet.limiter_algorithms"
local clock = require "ringlet.clock"
local core = require "ringlet.core"
local fail = require "ringlet.fail"
local options = require "ringlet.options"
local run = require "ringlet.run_stop"
local shares = require "ringlet.limiter_shares"
local verdict = require "ringlet.verdict"

local floor, huge = math.floor, math.huge
local clock_now, wait, waitq, wake, waits = clock.now, core.wait, core.waitq, core.wake, core.waits
local count, has_share = shares.count, shares.has_share
local REASON, TIMED_OUT = core.reasons["limiter wait"], core.ETIMEDOUT

local FULL = "EOVERLOAD: as many calls as there may be"
local LINE_FULL = "EOVERLOAD: as many calls wait as may"
local TOO_LONG = "EOVERLOAD: it would have to wait for too long"
local DISPLACED = "EOVERLOAD: a more important call took its place"

-- The weight of a round trip in their mean.
local WEIGHT = 0.05
-- Who is let into the line should hardly ever have to be turned away there: by the estimate it gets
-- through in this part of the target.
local EXPECTED = 0.75

local M = {}

--- A limiter of concurrency, from `rl.limiter` with `kind = "concurrency"`.
-- @type concurrency_limiter
local Limiter = {__name = "ringlet.concurrency_limiter"}
Limiter.__index = Limiter

local Permit = {__name = "ringlet.permit"}

function Permit:__tostring()
  local limiter = self[1]
  return limiter and ("ringlet.permit: %s, for %.3g s"):format(self[2].name,
    clock_now() - self[3]) or "ringlet.permit: given back"
end

-- ---- permits ------------------------------------------------------------------------------------

local function admit(self, class, now)
  local running = self.running + 1
  self.running, self.allowed = running, self.allowed + 1
  count(class, 1)
  return setmetatable({self, class, now, running}, Permit)
end

local function refuse(self, msg)
  self.refused = self.refused + 1
  return nil, msg, "EOVERLOAD"
end

local function class_of(self, priority)
  if priority == nil then
    return self.default
  end
  local class = self.by_name[priority]
  if not class then
    error(("unknown priority '%s'"):format(tostring(priority)), 3)
  end
  return class
end

local function take_out(self, entry)
  if entry.line then
    entry.line:remove(entry)
    self.classes.waiting = self.classes.waiting - 1
  end
end

-- Hand permits to those who wait.
local function serve(self)
  local classes = self.classes
  while classes.waiting > 0 and self.running < self.size do
    local class = shares.next_class(classes)
    if not class then
      return
    end
    local entry = class.line.first
    take_out(self, entry)
    if waits(entry.q, 1) then
      wake(entry.q, admit(self, class, clock_now()))
      shares.pass(classes, class)
    end
  end
end

-- The whole number of calls that the algorithm allows now.
local function follow(self)
  local size = floor(self.algorithm.limit)
  if size ~= self.size then
    self.size = size
    shares.resize(self.classes, size)
  end
end

local function measure(self, permit, ok, rtt)
  local now = clock_now()
  rtt = rtt or now - permit[3]
  if ok then
    self.succeeded = self.succeeded + 1
    self.rtt = self.rtt and self.rtt + WEIGHT * (rtt - self.rtt) or rtt
  else
    self.failed = self.failed + 1
  end
  self.algorithm:sample(permit[3], now, rtt, ok, permit[4])
  follow(self)
end

function Permit.__call(permit, ok, rtt)
  local self = permit[1]
  if not self then
    return
  end
  permit[1] = false
  self.running = self.running - 1
  count(permit[2], -1)
  if ok == nil then
    self.ignored = self.ignored + 1
  else
    measure(self, permit, ok, rtt)
  end
  if self.classes.waiting > 0 then
    serve(self)
  end
end

-- ---- admission ----------------------------------------------------------------------------------

local function has_room(self, class)
  return self.running < self.size and has_share(class)
    and (self.classes.waiting == 0 or shares.ahead(self.classes, class) == 0)
end

--- Begin a call, if there is room for it now.
-- @tparam[opt] string|number priority one of `priorities`; by default "normal", or the first if
-- there is no such
-- @treturn fun(ok:boolean,rtt:number) done is called once when the call has ended, with whether it
-- succeeded, or with nil when that says nothing, as of a cancelled one; and with the seconds it
-- took, if those since this are not right. Called again it does nothing
-- @fails "EOVERLOAD"
-- @raise an unknown priority
function Limiter:allow(priority)
  local class = class_of(self, priority)
  if has_room(self, class) then
    return admit(self, class, clock_now())
  end
  return refuse(self, FULL)
end

-- How long somebody new would wait: all before it, and itself, at the rate at which calls end now.
local function expected_wait(self, class)
  return (shares.ahead(self.classes, class) + 1) * (self.rtt or 0) / self.size
end

-- Make room in the line by giving up the least important call in it.
local function displace(self, class)
  local entry = shares.lowest(self.classes, class)
  while entry do
    take_out(self, entry)
    if wake(entry.q, false) then
      return true
    end
    entry = shares.lowest(self.classes, class)
  end
  return self.classes.waiting < self.queue
end

-- Limiters with somebody in their lines: what is left there when the run is over is nobody's.
local busy = setmetatable({}, {__mode = "k"})

run.endings[#run.endings + 1] = function()
  for self in pairs(busy) do
    for _, class in ipairs(self.classes) do
      while class.line.first do
        take_out(self, class.line.first)
      end
    end
  end
  busy = setmetatable({}, {__mode = "k"})
end

local function shed(self, msg)
  self.shed = self.shed + 1
  return refuse(self, msg)
end

local function stand_in_line(self, class, t)
  local entry = {q = waitq()}
  class.line:push(entry)
  self.classes.waiting = self.classes.waiting + 1
  busy[self] = true
  local target = self.queue_wait
  local permit, code = wait(entry.q, math.min(t or huge, target), REASON)
  take_out(self, entry)
  if self.classes.waiting == 0 then
    busy[self] = nil
  end
  if permit then
    return permit
  elseif permit == false then
    return shed(self, DISPLACED)
  end
  if code == TIMED_OUT and target < (t or huge) then
    return shed(self, TOO_LONG)
  elseif code == TIMED_OUT then
    self.timed_out = self.timed_out + 1
  end
  return fail(code)
end

--- Begin a call; wait in line if there is no room for it.
-- @parks until there is room; not at all if there is
-- @tparam[opt] number t seconds
-- @tparam[opt] string|number priority as of `allow`
-- @treturn fun(ok:boolean,rtt:number) done as of `allow`
-- @fails "ETIMEDOUT"; "EOVERLOAD" when the line is full, when it has to wait for longer than
-- `queue_wait` or is expected to, and when a more important call takes its place in the full line
-- @raise an unknown priority
function Limiter:acquire(t, priority)
  options.seconds(t)
  local class = class_of(self, priority)
  local _, code = core.refill()
  if code then
    return fail(code)
  elseif has_room(self, class) then
    return admit(self, class, clock_now())
  elseif expected_wait(self, class) > EXPECTED * self.queue_wait then
    return refuse(self, TOO_LONG)
  elseif t and t <= 0 then
    self.timed_out = self.timed_out + 1
    return fail(TIMED_OUT)
  elseif self.classes.waiting >= self.queue and not displace(self, class) then
    return refuse(self, LINE_FULL)
  end
  return stand_in_line(self, class, t)
end

-- ---- calls --------------------------------------------------------------------------------------

local function end_call(done, ...)
  done(verdict.of(...))
  return verdict.give(...)
end

local function call(self, priority, fn, ...)
  local done, msg, code = self:acquire(nil, priority)
  if not done then
    return nil, msg, code
  end
  return end_call(done, pcall(fn, ...))
end

--- Call fn with a permit, which it waits for as `acquire` does and gives back whatever becomes of
-- fn. A call has failed if it raises, or returns nil, a message and a code; a cancelled one says
-- nothing.
-- @parks until there is room, and where fn does
-- @tparam fun(...:any):any fn
-- @param ... its arguments
-- @return ... fn's results
-- @fails "EOVERLOAD"
-- @raise what fn raises, unchanged
function Limiter:call(fn, ...)
  options.callable(fn)
  return call(self, nil, fn, ...)
end

--- The same, for a call with a priority.
-- @parks until there is room, and where fn does
-- @tparam string|number priority as of `allow`
-- @tparam fun(...:any):any fn
-- @param ... its arguments
-- @return ... fn's results
-- @fails "EOVERLOAD"
-- @raise what fn raises, unchanged; an unknown priority
function Limiter:call_as(priority, fn, ...)
  options.callable(fn)
  class_of(self, priority)
  return call(self, priority, fn, ...)
end

-- ---- the object ---------------------------------------------------------------------------------

-- What is in force but for a probe.
local function limit_of(self)
  local algorithm = self.algorithm
  return floor(algorithm.whole or algorithm.limit)
end

--- Set another limit, from which an algorithm goes on. Calls that run are left alone; those that
-- wait go on if there is room now.
-- @tparam integer n 1 or more; with an algorithm, within `min_limit` and `max_limit`
function Limiter:set_limit(n)
  local algorithm = self.algorithm
  local bound = {min = algorithm.min or 1, max = algorithm.max, whole = true}
  if type(n) ~= "number" then
    error("the limit: a number expected", 2)
  end
  options.bound(n, bound, "the limit")
  algorithm.limit, algorithm.whole = n, false
  follow(self)
  serve(self)
end

--- Counters and state of the limiter.
-- @treturn concurrency_stats a new table
-- @tfield[concurrency_stats] string algorithm "fixed", "aimd" or "gradient"
-- @tfield[concurrency_stats] integer limit calls that there may be at once
-- @tfield[concurrency_stats] integer running calls that there are
-- @tfield[concurrency_stats] integer waiting calls in line
-- @tfield[concurrency_stats] integer allowed calls that were begun
-- @tfield[concurrency_stats] integer refused calls that got "EOVERLOAD"
-- @tfield[concurrency_stats] integer shed those of them that had a place in the line
-- @tfield[concurrency_stats] integer timed_out calls that got "ETIMEDOUT"
-- @tfield[concurrency_stats] integer succeeded calls that ended well
-- @tfield[concurrency_stats] integer failed calls that failed
-- @tfield[concurrency_stats] integer ignored calls whose end said nothing
-- @tfield[concurrency_stats] number rtt seconds that a successful call takes, recent ones first; 0
-- before there was one
-- @tfield[concurrency_stats] table by_priority name = {running =, waiting =}
function Limiter:stats()
  local by_priority = {}
  for _, class in ipairs(self.classes) do
    by_priority[class.name] = {running = class.running, waiting = class.line.n}
  end
  return {
    algorithm = self.algorithm.name, limit = limit_of(self), running = self.running,
    waiting = self.classes.waiting, allowed = self.allowed, refused = self.refused,
    shed = self.shed, timed_out = self.timed_out, succeeded = self.succeeded,
    failed = self.failed, ignored = self.ignored, rtt = self.rtt or 0, by_priority = by_priority,
  }
end

function Limiter:__tostring()
  return ("ringlet.limiter: concurrency (%s), %d of %d running, %d waiting"):format(
    self.algorithm.name, self.running, limit_of(self), self.classes.waiting)
end

-- Raises without a position.
function M.new(config)
  local classes, by_name = shares.new(config.priorities)
  local self = setmetatable({
    algorithm = algorithms[config.algorithm](config), size = 0, running = 0,
    queue = config.queue, queue_wait = config.queue_wait,
    classes = classes, by_name = by_name, default = by_name.normal or classes[1], rtt = false,
    allowed = 0, refused = 0, shed = 0, timed_out = 0, succeeded = 0, failed = 0, ignored = 0,
  }, Limiter)
  follow(self)
  return self
end

return M
