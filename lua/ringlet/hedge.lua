-- SPDX-License-Identifier: MIT
-- hedge: a call that is made once more when its answer is late; the first answer wins.
--
-- The first attempt runs in the calling task, in a scope; the others are tasks of that scope, which
-- a timer or a failed attempt starts. So an answer in time costs a timer and no task, and to cancel
-- the scope ends whatever still runs, the calling task's own attempt included. A call is
-- {fn, n, arguments...; started, live, winner, failure, ...}: `live` attempts have not ended, and
-- `winner` is set once, to what pcall gave. `timer` is pending only while another attempt may come.

--- Trying again.
-- @module ringlet
-- @section Retries

local cancel = require "ringlet.cancel"
local core = require "ringlet.core"
local fail = require "ringlet.fail"
local options = require "ringlet.options"
local retry_budget = require "ringlet.retry_budget"
local scope = require "ringlet.scope"
local task = require "ringlet.task"
local time = require "ringlet.time"
local verdict = require "ringlet.verdict"

local unpack = table.unpack or rawget(_G, "unpack")
local WAIT = core.reasons.wait

local M = {}

local MAX = 2
-- Of how many answers the times are kept, after how many of them there is a percentile, and after
-- how many more it is found anew.
local SAMPLES, ENOUGH, RENEW = 200, 20, 10

local KNOWN = {delay = "number|string", max = "number", budget = "table"}
local BOUNDS = {delay = {min = 0}, max = {min = 1, whole = true}}

-- ---- the times of answers -----------------------------------------------------------------------

-- {n, next, quantile, value, stale; samples...}: a ring of the last SAMPLES seconds.
local function new_times(quantile)
  return {n = 0, at = 0, stale = 0, quantile = quantile, value = nil}
end

local function find_quantile(times)
  local sorted = {unpack(times, 1, times.n)}
  table.sort(sorted)
  return sorted[math.max(1, math.ceil(times.quantile * times.n))]
end

local function add_time(times, seconds)
  times.at = times.at % SAMPLES + 1
  times[times.at] = seconds
  times.n, times.stale = math.max(times.n, times.at), times.stale + 1
  if times.n >= ENOUGH and times.stale >= RENEW then
    times.value, times.stale = find_quantile(times), 0
  end
end

-- ---- calls --------------------------------------------------------------------------------------

--- A way of hedging, from `rl.hedger`: made once, for calls of many tasks.
-- @type hedger
local Hedger = {__name = "ringlet.hedger"}
Hedger.__index = Hedger

-- Seconds after which the next attempt is started, or nil.
local function delay_of(self)
  if self.times then
    return self.times.value
  end
  return self.delay
end

local attempt, start_next

local function stop_timer(call)
  if call.timer then
    time.cancel_call(call.timer)
    call.timer = nil
  end
end

-- Another attempt, if the answer is still not there by then.
local function arm(call)
  local self = call.hedger
  local t = delay_of(self)
  if t and t < math.huge and not call.over and call.started < self.max then
    call.timer = time.call_after(t, function()
      call.timer = nil
      start_next(call)
    end)
  end
end

-- In the run loop or in a task: whether another attempt was started.
function start_next(call)
  local self = call.hedger
  if call.over or call.started >= self.max or cancel.effective(call.scope.owner) then
    return false
  elseif self.budget and not self.budget:try_take() then
    self.over_budget = self.over_budget + 1
    return false
  end
  self.hedges = self.hedges + 1
  call.started, call.live = call.started + 1, call.live + 1
  call.scope:go(attempt, call, call.started)
  arm(call)
  return true
end

local function note_time(call, began)
  local times = call.hedger.times
  if times then
    add_time(times, core.now() - began)
  end
end

-- Nothing else is waited for: what runs is cancelled.
local function decide(call, ...)
  call.winner = {n = select("#", ...), ...}
  stop_timer(call)
  if call.live > 0 then
    call.scope:cancel("another attempt has answered")
  end
end

-- An attempt was cancelled, it alone or with the call; or what it called raised somebody else's
-- cancellation, which is its answer then.
local function cancelled(call, err)
  if not cancel.effective(task.self()) then
    decide(call, false, err)
    return
  end
  call.failure = call.failure or {n = 2, false, err}
  if call.live == 0 then
    core.wake_all(call.q, true)
  end
  error(err, 0)
end

local function conclude(call, number, began, ok, ...)
  local good = verdict.of(ok, ...)
  call.live = call.live - 1
  if good or call.winner then
    note_time(call, began) -- that of a loser is what it took at least
  end
  if call.winner then
    return
  elseif good then
    call.hedger.wins = call.hedger.wins + (number > 1 and 1 or 0)
    decide(call, ok, ...)
  elseif good == nil then
    cancelled(call, (...))
  else
    call.failure = {n = select("#", ...) + 1, ok, ...}
    stop_timer(call)
    if not start_next(call) then
      arm(call)
    end
  end
  if call.live == 0 then
    core.wake_all(call.q, true)
  end
end

function attempt(call, number)
  conclude(call, number, core.now(), pcall(call[1], unpack(call, 3, 2 + call[2])))
end

-- The first attempt, and the end of the others: in the calling task.
local function run(call)
  arm(call)
  attempt(call, 1)
  while call.live > 0 and not call.winner do
    local ok, code = core.wait(call.q, nil, WAIT)
    if ok == nil then
      fail(code)
    end
  end
end

local function leave_run(call, ok, ...)
  call.over = true
  stop_timer(call)
  if not ok then
    error((...), 0)
  end
end

local function start(self, fn, ...)
  self.calls = self.calls + 1
  if self.budget then
    self.budget:count()
  end
  local call = {fn, select("#", ...), ...}
  call.hedger, call.started, call.live, call.q = self, 1, 1, core.waitq()
  scope.scope(function(s)
    call.scope = s
    leave_run(call, pcall(run, call))
  end)
  local last = call.winner
  if not last then
    self.failures = self.failures + 1
    last = call.failure
  end
  return verdict.give(unpack(last, 1, last.n))
end

--- Call fn, and once more if the answer is late. The first attempt that goes well wins; the others
-- are cancelled, and waited for. One that fails - raises, or returns nil, a message and a code -
-- has the next one started at once. When all have failed, so does the call.
--
-- The first attempt runs in the calling task, others in tasks of their own. All get the same
-- arguments; so fn must be something that may be done twice.
-- @parks until all attempts have ended
-- @tparam fun(...:any):any fn
-- @param ... its arguments
-- @return ... the results of the winner, all of them; when all have failed, of the last failure
-- @raise what the last attempt to fail raised, unchanged; outside of a task
function Hedger:call(fn, ...)
  options.callable(fn)
  return start(self, fn, ...)
end

--- Counters.
-- @treturn hedger_stats a new table
-- @tfield[hedger_stats] integer calls so far
-- @tfield[hedger_stats] integer hedges attempts besides the first ones
-- @tfield[hedger_stats] integer wins calls that were answered by such an attempt
-- @tfield[hedger_stats] integer failures calls of which all attempts failed
-- @tfield[hedger_stats] integer over_budget attempts that the budget refused
-- @tfield[hedger_stats] ?number delay seconds after which a call is hedged now; nil: it is not,
-- since there were not enough answers to know
function Hedger:stats()
  return {
    calls = self.calls, hedges = self.hedges, wins = self.wins, failures = self.failures,
    over_budget = self.over_budget, delay = delay_of(self),
  }
end

function Hedger:__tostring()
  local t = delay_of(self)
  return ("ringlet.hedger: after %s, %d calls, %d hedges, %d wins"):format(
    t and ("%.4g s"):format(t) or self.name, self.calls, self.hedges, self.wins)
end

-- "p95" -> 0.95
local function quantile_of(text, level)
  local percent = tonumber(text:match "^p(%d+%.?%d*)$")
  if not percent or percent <= 0 or percent >= 100 then
    error(("option 'delay' must be seconds, or a percentile such as 'p95', not '%s'"):format(text),
      level + 1)
  end
  return percent / 100
end

local function build(opts, level)
  opts = options.check(opts, KNOWN, level + 1)
  options.bounds(opts, BOUNDS, level + 1)
  if opts.delay == nil then
    error("option 'delay' is missing: seconds, or a percentile such as 'p95'", level + 1)
  elseif opts.budget and not retry_budget.is(opts.budget) then
    error("option 'budget' must be a retry_budget", level + 1)
  end
  local self = setmetatable({
    delay = opts.delay, name = opts.delay, max = opts.max or MAX, budget = opts.budget, calls = 0,
    hedges = 0, wins = 0, failures = 0, over_budget = 0,
  }, Hedger)
  if type(opts.delay) == "string" then
    self.times = new_times(quantile_of(opts.delay, level + 1))
  end
  return self
end

--- A way of hedging: the options of `rl.hedge`, looked at once, for `hedger:call(fn, ...)`.
--
-- With a percentile as the delay, so many of 100 calls are answered without a second attempt. It is
-- that of the last 200 attempts; before there were 20 no call is hedged. An attempt that lost
-- counts with the time it took until then.
-- @tparam table opts
-- @tparam number|string opts.delay seconds after which the next attempt is started; or "p95" and
-- the like
-- @tparam[opt=2] integer opts.max attempts, with the first
-- @tparam[opt] table opts.budget an `rl.retry_budget`; when it is spent no call is hedged
-- @treturn hedger
-- @raise options that make no sense
-- @source J. Dean, L. A. Barroso, "The tail at scale", 2013
function M.new(opts)
  local self = build(opts, 2)
  return self
end

--- Call fn, and once more if the answer is late: the first answer wins. It is
-- `rl.hedger(opts):call(fn, ...)`; a percentile as the delay needs a hedger that is kept.
-- @parks until all attempts have ended
-- @tparam ringlet.hedger.opts opts as for `rl.hedger`
-- @tparam fun(...:any):any fn
-- @param ... its arguments
-- @return ... the results of the winner, all of them; when all have failed, of the last failure
-- @raise what the last attempt to fail raised, unchanged; options that make no sense; outside of a
-- task
-- @source J. Dean, L. A. Barroso, "The tail at scale", 2013
function M.hedge(opts, fn, ...)
  local self = build(opts, 2)
  options.callable(fn)
  if self.times then
    error("a percentile needs a hedger that is kept: rl.hedger", 2)
  end
  return start(self, fn, ...)
end

return M
