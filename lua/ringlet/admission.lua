-- SPDX-License-Identifier: MIT
-- admission: who is let in, by how its owner fares: a breaker for what must be refused for a while,
-- and limits for as long as something is too much.
--
-- The owner is asked for its figures by somebody who wants in, at most once in `every` seconds; so
-- nothing wakes up for it. Rules by what happened (failures, growth, health) open the breaker;
-- rules by what is (usage, wait) set `limit`, which lasts until the next figures. The state that
-- users see is made of both.
--
-- Invariants: `shown` is the state that was last told; users hear of a change when all is in order.
-- `trial` counts those that were let in one by one and have not ended.

local clock = require "ringlet.clock"
local core = require "ringlet.core"
local new_breaker = require("ringlet.breaker").new
local options = require "ringlet.options"
local run_stop = require "ringlet.run_stop"
local task = require "ringlet.task"
local traced = require "ringlet.traced"

--- @module ringlet
-- @section Guards

local now = clock.now

local M = {}

local EVERY = 0.1
local USAGE, WAIT, FAILURE_RATE, GROWTH, HEALTH = 0.9, 0.3, 0.35, 3, 0.95
local WINDOW, BUCKETS, GROWTH_WINDOW, OPEN_FOR = 300, 30, 5, 60
local MIN_CALLS, MIN_TASKS, FEW = 20, 100, 5

-- Samples of the tasks are taken at most so often in a window; timers may be late by so much.
local SAMPLES, LATE = 50, 0.002

--- Admission rules, from `rl.admission`. `tostring` tells the state.
-- @type admission
-- @tfield string name
local Admission = {__name = "ringlet.admission"}
Admission.__index = Admission

local all = setmetatable({}, {__mode = "k"})

run_stop.endings[#run_stop.endings + 1] = function()
  for self in pairs(all) do
    self.due, self.samples, self.trial = -math.huge, {}, {n = 0}
  end
end

-- ---- the state ----------------------------------------------------------------------------------

local function try(self, fn, ...)
  local ok, v, trace = traced.call(fn, ...)
  if ok then
    return v
  end
  task.report(v, trace, self)
end

local function state_of(self)
  local mode = self.breaker:state()
  if mode == "open" then
    return mode
  end
  return self.limit or mode
end

-- Tell of a change, once.
local function show(self, why)
  local to = state_of(self) -- which may show a change itself
  local from = self.shown
  if from ~= to then
    self.shown, self.why, self.since = to, why, core.now()
    self.changes = self.changes + 1
    if self.on_change then
      try(self, self.on_change, from, to, why, self)
    end
  end
end

-- ---- rules --------------------------------------------------------------------------------------

-- Fewest tasks in the window of growth, without this sample; nil when there is no other.
local function fewest(self, t)
  local kept, least = {}, nil
  for _, sample in ipairs(self.samples) do
    if t - sample[1] <= self.growth_window + LATE then
      kept[#kept + 1] = sample
      least = math.min(least or sample[2], sample[2])
    end
  end
  self.samples = kept
  return least
end

local function take_sample(self, t, tasks)
  local last = self.samples[#self.samples]
  if not last or t - last[1] >= self.growth_window / SAMPLES then
    self.samples[#self.samples + 1] = {t, tasks}
  else
    last[2] = math.min(last[2], tasks)
  end
end

local function why_by_growth(self, t, tasks)
  local least = fewest(self, t)
  take_sample(self, t, tasks)
  local base = least and math.max(least, self.min_tasks)
  if base and tasks / base - 1 >= self.growth then
    return ("from %g to %g tasks in %g s"):format(least, tasks, self.growth_window)
  end
end

-- Why to open the breaker.
local function why_open(self, t, figures)
  local why
  if self.growth and figures.tasks then
    why = why_by_growth(self, t, figures.tasks)
  end
  if not why and self.health and figures.health and figures.health < self.health then
    why = ("health %.3g %%"):format(figures.health * 100)
  end
  return why
end

-- Whom to limit, and why.
local function limit_of(self, figures)
  if self.wait and figures.wait and figures.wait >= self.wait then
    return "rejecting", ("a wait of %.4g s"):format(figures.wait)
  elseif self.usage and figures.usage and figures.usage >= self.usage then
    return "half-open", ("%.3g %% in use"):format(figures.usage * 100)
  end
  return false, "no limit is exceeded"
end

local function read(self)
  local figures = self.read and try(self, self.read)
  return type(figures) == "table" and figures or {}
end

-- Ask for the figures and go by them.
local function evaluate(self)
  local t = core.now()
  self.due = t + self.every
  local figures = read(self)
  local why = why_open(self, t, figures)
  if why and self.breaker:state() ~= "open" then
    self.breaker:trip(why)
  end
  local limit, limit_why = limit_of(self, figures)
  self.limit = limit
  show(self, limit_why)
end

local function look(self)
  if core.now() >= self.due then
    evaluate(self)
  end
end

-- ---- letting in ---------------------------------------------------------------------------------

local function new_done(trial, done)
  local is_used = false
  trial.n = trial.n + 1
  return function(ok, err, code)
    if not is_used then
      is_used = true
      trial.n = trial.n - 1
      done(ok, err, code)
    end
  end
end

local function refuse(self, message)
  self.refused = self.refused + 1
  return nil, message, "EOVERLOAD", math.max(0, self.due - core.now())
end

local function allow_limited(self)
  local trial, is_open = self.trial, self.breaker:state() == "open"
  if not is_open and self.limit == "rejecting" then
    return refuse(self, self.is_rejecting)
  elseif not is_open and trial.n >= self.half_open_calls then
    return refuse(self, self.is_full)
  end
  local done, msg, code, seconds = self.breaker:allow()
  if not done then
    return nil, msg, code, seconds
  end
  return new_done(trial, done)
end

--- Ask to be let in, and say later what came of it, as with `breaker:allow`.
-- @treturn[1] fun(ok:any,err:any,code:any) done
-- @treturn[2] nil
-- @treturn[2] string message
-- @treturn[2] string "EOPEN": refused for a while; "EOVERLOAD": too much is in use, or waiting
-- @treturn[2] ?number seconds until it is worth another try
function Admission:allow()
  if now() >= self.due then
    evaluate(self)
  end
  if self.limit then
    return allow_limited(self)
  end
  return self.breaker:allow()
end

--- The state now: "closed": all are let in; "half-open": a few at a time, because too much is in
-- use, or to try after it was open; "rejecting": nobody, because the wait is too long; "open":
-- nobody for `open_for` seconds.
-- @treturn string
function Admission:state()
  look(self)
  return state_of(self)
end

--- Counters since it was made.
-- @treturn admission_stats a new table
-- @tfield[admission_stats] string state
-- @tfield[admission_stats] string why it is that: "92 % in use"
-- @tfield[admission_stats] number since when, on the clock of `rl.now`
-- @tfield[admission_stats] integer changes of the state
-- @tfield[admission_stats] integer requests let in
-- @tfield[admission_stats] integer successes of them
-- @tfield[admission_stats] integer failures of them
-- @tfield[admission_stats] integer refused all of them
-- @tfield[admission_stats] integer overloads those refused with "EOVERLOAD"
-- @tfield[admission_stats] integer opened times
function Admission:stats()
  local state, of = self:state(), self.breaker:stats()
  return {
    state = state, why = self.why, since = self.since, changes = self.changes,
    requests = of.requests, successes = of.successes, failures = of.failures, opened = of.opened,
    refused = of.refused + self.refused, overloads = self.refused,
  }
end

function Admission:__tostring()
  local state = self:state()
  return ("ringlet.admission '%s': %s (%s)"):format(self.name, state, self.why)
end

-- ---- making -------------------------------------------------------------------------------------

local KNOWN = {
  name = "string", read = "function", usage = "number|boolean", wait = "number|boolean",
  failure_rate = "number|boolean", growth = "number|boolean", health = "number|boolean",
  window = "number", growth_window = "number", min_calls = "number", min_tasks = "number",
  half_open_calls = "number", open_for = "number", every = "number",
  excluded = "function|table", on_change = "function",
}
local SHARE, WHOLE, SECONDS = {min = 0.0001, max = 1}, {min = 1, whole = true}, {above = 0}
local BOUNDS = {
  usage = SHARE, wait = SECONDS, failure_rate = SHARE, growth = SECONDS, health = SHARE,
  window = SECONDS, growth_window = SECONDS, min_calls = WHOLE, min_tasks = WHOLE,
  half_open_calls = WHOLE, open_for = SECONDS, every = {min = 0},
}

-- A threshold: as given, the usual one, or false.
local function threshold(v, usual)
  if v == nil or v == true then
    return usual
  end
  return v
end

local function never()
  return false
end

local function breaker_of(self, opts)
  local rate = threshold(opts.failure_rate, FAILURE_RATE)
  return new_breaker{
    name = self.name, rate = rate or nil, ready_to_trip = not rate and never or nil,
    window = opts.window or WINDOW, buckets = BUCKETS, excluded = opts.excluded,
    min_calls = rate and (opts.min_calls or MIN_CALLS) or nil, open_for = opts.open_for or OPEN_FOR,
    half_open_calls = self.half_open_calls,
    on_change = function(_, _, why)
      show(self, why)
    end,
  }
end

--- Rules of admission for a pool, or whatever does work and has a queue. All of them are there
-- unless told otherwise: a threshold, or false for none. They go by figures that the owner gives,
-- those that are missing say nothing, and by the results that `done` is told.
--
-- * `usage` of 90 % or more: a few at a time, until it is less.
-- * a mean `wait` of 300 ms or more: nobody, until it is less. The owner must see to it that it
--   falls when nobody comes: what waits counts, and when nothing does it is 0.
-- * `failure_rate` of 35 % or more in 5 minutes: nobody for `open_for` seconds, then a few to try.
-- * `growth` of the tasks by 300 % or more within 5 s: the same.
-- * `health` below 95 %: the same.
--
-- An autoscaler or a limiter does what these do less roughly; these are a last line.
-- @tparam[opt] table opts
-- @tparam[opt="admission"] string opts.name for messages
-- @tparam[opt] fun():table opts.read gives {usage =, wait =, tasks =, health =}: shares from 0 to
-- 1, seconds, a number, a share; it must not park
-- @tparam[opt=0.9] number|boolean opts.usage share in use from which a few are let in
-- @tparam[opt=0.3] number|boolean opts.wait seconds from which nobody is
-- @tparam[opt=0.35] number|boolean opts.failure_rate share of failures that opens it
-- @tparam[opt=300] number opts.window seconds in which these are counted
-- @tparam[opt=20] integer opts.min_calls ended calls below which the rate is not looked at
-- @tparam[opt=3] number|boolean opts.growth increase that opens it, by what there was: 3 is +300 %
-- @tparam[opt=5] number opts.growth_window seconds in which that happens
-- @tparam[opt=100] integer opts.min_tasks fewer than these count as these, before and after
-- @tparam[opt=0.95] number|boolean opts.health share below which it opens
-- @tparam[opt=60] number opts.open_for seconds that it is open
-- @tparam[opt=5] integer opts.half_open_calls how many are a few
-- @tparam[opt=0.1] number opts.every seconds at least between two looks at the figures
-- @tparam[opt] function|table opts.excluded as for `rl.breaker`
-- @tparam[opt] fun(from:string,to:string,why:string,admission:admission) opts.on_change called once
-- after each change of the state
-- @treturn admission
-- @raise options that make no sense
-- @usage local admission = rl.admission{usage = 0.95, growth = false, read = figures}
function M.new(opts)
  opts = options.check(opts, KNOWN)
  options.bounds(opts, BOUNDS)
  local name = opts.name or "admission"
  local self = setmetatable({
    name = name, read = opts.read, on_change = opts.on_change,
    usage = threshold(opts.usage, USAGE), wait = threshold(opts.wait, WAIT),
    growth = threshold(opts.growth, GROWTH), health = threshold(opts.health, HEALTH),
    growth_window = opts.growth_window or GROWTH_WINDOW, min_tasks = opts.min_tasks or MIN_TASKS,
    half_open_calls = opts.half_open_calls or FEW, every = opts.every or EVERY,
    limit = false, due = -math.huge, samples = {}, trial = {n = 0}, refused = 0, changes = 0,
    shown = "closed", why = "new", since = core.now(),
    is_rejecting = ("EOVERLOAD: '%s' lets nobody in: the wait is too long"):format(name),
    is_full = ("EOVERLOAD: '%s' lets few in: too much is in use"):format(name),
  }, Admission)
  self.breaker = breaker_of(self, opts)
  all[self] = true
  return self
end

return M
