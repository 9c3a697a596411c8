-- SPDX-License-Identifier: MIT
-- retry: a call that is made again when it fails.
--
-- A call is a table {fn, n, arguments...; tried, deadline, last}: how often it was tried, when the
-- time for everything is up, the last delay. A call of few arguments and without limits of time has
-- no table until its first attempt has failed: what goes well at once costs little. Attempts follow
-- each other in tail calls, so that results are never packed. A cancellation is neither success nor
-- failure: it is raised at once.

--- Trying again.
-- @module ringlet
-- @section Retries

local core = require "ringlet.core"
local errors = require "ringlet.errors"
local options = require "ringlet.options"
local retry_budget = require "ringlet.retry_budget"
local scope = require "ringlet.scope"
local time = require "ringlet.time"
local verdict = require "ringlet.verdict"

local unpack = table.unpack or rawget(_G, "unpack")

local M = {}

local ATTEMPTS = 3
local BASE, FACTOR, MAX = 0.1, 2, 10
-- "Decorrelated jitter" draws from base to this many times the last delay.
local SPREAD = 3

-- What refuses with these says as its fourth value when to come again.
local REFUSALS = {EOVERLOAD = true, EOPEN = true, EAGAIN = true}

-- ---- options ------------------------------------------------------------------------------------

local KNOWN = {
  attempts = "number", backoff = "table|number|function", jitter = "string", timeout = "number",
  attempt_timeout = "number", budget = "table", retry_on = "table|function",
  on_retry = "function",
}
local BOUNDS = {
  backoff = {min = 0}, jitter = {"full", "equal", "decorrelated", "none"}, timeout = {min = 0},
  attempt_timeout = {above = 0},
}
local BACKOFF = {base = "number", factor = "number", max = "number"}
local BACKOFF_BOUNDS = {
  base = {above = 0}, factor = {min = 1}, max = {min = 0, infinite = true},
}

-- ---- how long to wait ---------------------------------------------------------------------------

-- From 0 to 1, 1 excluded; a seed of the sim repeats it.
local function random()
  return core.random() / 0x80000000
end

-- What the attempts so far would make it without jitter: retry, call -> seconds.
local function grown(self, call)
  return math.min(self.max, self.base * self.factor ^ (call.tried - 1))
end

local function asked(self, call)
  local t = self.backoff(call.tried)
  if type(t) ~= "number" or t < 0 or t ~= t then
    error("backoff must give seconds of at least 0, not " .. tostring(t), 0)
  end
  return t
end

local JITTER = {}

function JITTER.none(self, call)
  return self.plain(self, call)
end

function JITTER.full(self, call)
  return random() * self.plain(self, call)
end

function JITTER.equal(self, call)
  return (1 + random()) / 2 * self.plain(self, call)
end

function JITTER.decorrelated(self, call)
  local last = call.last or self.base
  local t = math.min(self.max, self.base + random() * (SPREAD * last - self.base))
  call.last = t
  return t
end

local function set_backoff(self, backoff, jitter, level)
  if type(backoff) == "function" then
    if jitter == "decorrelated" then
      error("jitter 'decorrelated' needs a backoff with 'base'", level + 1)
    end
    self.plain, self.backoff = asked, backoff
  elseif type(backoff) == "number" then
    self.plain, self.base, self.factor, self.max = grown, backoff, 1, backoff
  else
    backoff = options.check(backoff, BACKOFF, level + 1)
    options.bounds(backoff, BACKOFF_BOUNDS, level + 1)
    self.plain, self.base = grown, backoff.base or BASE
    self.factor, self.max = backoff.factor or FACTOR, backoff.max or MAX
    jitter = jitter or "full"
  end
  self.jitter = jitter or "none"
  self.delay = JITTER[self.jitter]
end

-- ---- whether to try again -----------------------------------------------------------------------

-- A list of codes as a function like the other.
local function by_codes(list, level)
  local set = {}
  for i, code in ipairs(list) do
    if type(code) ~= "string" then
      error(("retry_on[%d] must be a code, not a %s"):format(i, type(code)), level + 1)
    end
    set[code] = true
  end
  return function(_, code)
    return set[code] == true
  end
end

-- Seconds until the next attempt; nil: there is none, and why, as the name of a counter.
local function next_delay(self, call, why, code, after)
  if call.tried >= self.attempts then
    return nil, "exhausted"
  end
  local wanted = self.retry_on == nil or self.retry_on(why, code, call.tried, after)
  if not wanted then
    return nil, "unfit"
  end
  local t = type(wanted) == "number" and math.max(wanted, 0) or self.delay(self, call)
  if REFUSALS[code] and type(after) == "number" and after > t then
    t = after
  end
  if call.deadline and core.now() + t >= call.deadline then
    return nil, "out_of_time"
  elseif self.budget and not self.budget:try_take() then
    return nil, "over_budget"
  end
  return t
end

-- ---- calls --------------------------------------------------------------------------------------

--- A way of trying again, from `rl.retrier`: made once, for calls of many tasks.
-- @type retrier
local Retrier = {__name = "ringlet.retrier"}
Retrier.__index = Retrier

-- What `rl.timeout` gave, as pcall would have given it.
local function without_timeout(ok, done, ...)
  if ok and done then
    return true, ...
  end
  return ok, done, ...
end

-- The seconds this attempt may take, or nil.
local function limit_of(self, call)
  local t = self.attempt_timeout
  if call.deadline then
    return math.min(t or math.huge, math.max(call.deadline - core.now(), 0))
  end
  return t
end

local attempt

-- The reasons why a failure is given back are counted under their names.
local function give_up(self, reason, ...)
  self.failures = self.failures + 1
  self[reason] = self[reason] + 1
  return verdict.give(...)
end

local function conclude(self, call, ok, ...)
  local good = verdict.of(ok, ...)
  if good then
    if call.tried > 1 then
      self.recovered = self.recovered + 1
    end
    return ...
  elseif good == nil then
    error((...), 0)
  end
  local v, msg, code, after = ...
  local why = msg
  if not ok then
    why, code, after = v, errors.code(v), nil
  end
  local t, reason = next_delay(self, call, why, code, after)
  if not t then
    return give_up(self, reason, ok, ...)
  end
  self.retries = self.retries + 1
  if self.on_retry then
    self.on_retry(call.tried, why, t, code)
  end
  time.sleep(t)
  return attempt(self, call)
end

function attempt(self, call)
  call.tried = call.tried + 1
  local t = limit_of(self, call)
  if t then
    return conclude(self, call, without_timeout(pcall(scope.timeout, t, call[1],
      unpack(call, 3, 2 + call[2]))))
  end
  return conclude(self, call, pcall(call[1], unpack(call, 3, 2 + call[2])))
end

-- What the first attempt of a call without a table gave.
local function conclude_first(self, fn, n, a, b, ok, ...)
  if verdict.of(ok, ...) then
    return ...
  end
  return conclude(self, {fn, n, a, b, tried = 1}, ok, ...)
end

local function start(self, fn, ...)
  self.calls = self.calls + 1
  if self.budget then
    self.budget:count()
  end
  local n = select("#", ...)
  if n <= 2 and not self.timeout and not self.attempt_timeout then
    local a, b = ...
    return conclude_first(self, fn, n, a, b, pcall(fn, ...))
  end
  local call = {fn, n, ...}
  call.tried = 0
  call.deadline = self.timeout and core.now() + self.timeout
  return attempt(self, call)
end

--- Call fn; again, if it fails, as the options say. A call fails when it raises or returns nil, a
-- message and a code. A cancellation of the calling task is raised at once, also while it waits for
-- the next attempt.
-- @parks where fn does, and between attempts
-- @tparam fun(...:any):any fn
-- @param ... its arguments
-- @return ... fn's results, all of them; of the last failure, too
-- @raise what the last attempt raised, unchanged
function Retrier:call(fn, ...)
  options.callable(fn)
  return start(self, fn, ...)
end

--- Counters.
-- @treturn retrier_stats a new table
-- @tfield[retrier_stats] integer calls so far
-- @tfield[retrier_stats] integer retries attempts besides the first ones
-- @tfield[retrier_stats] integer recovered calls that went well after a retry
-- @tfield[retrier_stats] integer failures calls that failed in the end; each for one of the
-- following reasons
-- @tfield[retrier_stats] integer exhausted no attempt was left
-- @tfield[retrier_stats] integer unfit `retry_on` did not want a retry
-- @tfield[retrier_stats] integer out_of_time the next attempt would have begun after `timeout`
-- @tfield[retrier_stats] integer over_budget the budget had none left
function Retrier:stats()
  return {
    calls = self.calls, retries = self.retries, recovered = self.recovered,
    failures = self.failures, exhausted = self.exhausted, unfit = self.unfit,
    out_of_time = self.out_of_time, over_budget = self.over_budget,
  }
end

function Retrier:__tostring()
  return ("ringlet.retrier: %g attempts, %d calls, %d retries, %d failures"):format(self.attempts,
    self.calls, self.retries, self.failures)
end

local function build(opts, level)
  opts = options.check(opts, KNOWN, level + 1)
  options.bounds(opts, BOUNDS, level + 1)
  if opts.attempts ~= math.huge then
    options.bound(opts.attempts, {min = 1, whole = true}, "option 'attempts'", level + 1)
  end
  if opts.budget and not retry_budget.is(opts.budget) then
    error("option 'budget' must be a retry_budget", level + 1)
  end
  local retry_on = opts.retry_on
  if type(retry_on) == "table" then
    retry_on = by_codes(retry_on, level + 1)
  end
  local self = setmetatable({
    attempts = opts.attempts or ATTEMPTS, timeout = opts.timeout,
    attempt_timeout = opts.attempt_timeout, budget = opts.budget, retry_on = retry_on,
    on_retry = opts.on_retry, calls = 0, retries = 0, recovered = 0, failures = 0, exhausted = 0,
    unfit = 0, out_of_time = 0, over_budget = 0,
  }, Retrier)
  set_backoff(self, opts.backoff, opts.jitter, level + 1)
  return self
end

--- A way of trying again: the options of `rl.retry`, looked at once, for `retrier:call(fn, ...)`.
--
-- The delay before attempt n + 1 is `min(max, base * factor ^ (n - 1))`; or a number of seconds; or
-- what a function says. Jitter makes of such a delay a random one: "full", from 0 to it; "equal",
-- from half of it to it; "decorrelated", from base to three times the last one and at most max;
-- "none". It is "full" unless the backoff is a number or a function. After a refusal - of a limiter
-- or a breaker, "EOVERLOAD" or "EOPEN" - that says as its fourth value when to come again, the
-- delay is as long at least.
-- @tparam[opt] table opts
-- @tparam[opt=3] integer opts.attempts at most, with the first; `math.huge`: no limit
-- @tparam[opt] table|number|function opts.backoff {base = 0.1, factor = 2, max = 10}, seconds; or
-- the seconds; or fn(attempt), which gives them after the first, second, ... attempt
-- @tparam[opt] string opts.jitter "full", "equal", "decorrelated" or "none"
-- @tparam[opt] number opts.timeout seconds for everything: an attempt is ended there, and none is
-- waited for that would begin then
-- @tparam[opt] number opts.attempt_timeout seconds for each attempt, which then fails with
-- "ETIMEDOUT"
-- @tparam[opt] table opts.budget an `rl.retry_budget`; when it is spent the failure is given
-- back at once
-- @tparam[opt] table|function opts.retry_on a list of codes; or fn(why, code, attempt, after),
-- which says of a failure - the error or the message, the code, how many attempts there were, the
-- fourth value - whether to try again, or after how many seconds. By default every failure is tried
-- again
-- @tparam[opt] fun(attempt:integer,why:any,delay:number,code:?string) opts.on_retry called before
-- each wait
-- @treturn retrier
-- @raise options that make no sense
-- @source M. Brooker, "Exponential backoff and jitter", AWS Architecture Blog, 2015
function M.new(opts)
  local self = build(opts, 2)
  return self
end

--- Call fn; again, if it fails. It is `rl.retrier(opts):call(fn, ...)`; what is called often makes
-- its retrier once.
-- @parks where fn does, and between attempts
-- @tparam ?ringlet.retrier.opts opts as for `rl.retrier`
-- @tparam fun(...:any):any fn
-- @param ... its arguments
-- @return ... fn's results, all of them; of the last failure, too
-- @raise what the last attempt raised, unchanged; options that make no sense
-- @source M. Brooker, "Exponential backoff and jitter", AWS Architecture Blog, 2015
function M.retry(opts, fn, ...)
  local self = build(opts, 2)
  options.callable(fn)
  return start(self, fn, ...)
end

return M
