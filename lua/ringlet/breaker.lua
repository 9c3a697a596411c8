-- SPDX-License-Identifier: MIT
-- breaker: circuit breakers, as users see them. How one works is in breaker_local, and for all
-- shards in breaker_shared; what opens it in breaker_rules.
--
-- Both kinds are one class with other methods behind: those whose names end in an underscore.

--- Guards: to fail at once instead of waiting for what is down, or for what has too much to do.
-- @module ringlet
-- @section Guards

local core = require "ringlet.core"
local engine = require "ringlet.breaker_local"
local options = require "ringlet.options"
local rules = require "ringlet.breaker_rules"
local shared_engine = require "ringlet.breaker_shared"
local travel = require "ringlet.travel"
local verdict = require "ringlet.verdict"

local M = {}

--- A circuit breaker, from `rl.breaker`. Nothing wakes up for it: what is due by the clock, as an
-- open breaker becoming half-open, happens when somebody asks it something.
-- @type breaker
-- @tfield string name
local Breaker = {__name = "ringlet.breaker"}
Breaker.__index = Breaker

local function leave_with(self, place, began, ...)
  local took = began and core.now() - began
  self:leave_(place, rules.judge(self, self.settings, ...), took)
  return verdict.give(...)
end

--- Call fn, unless the breaker is open. It has failed if it raises, or returns nil, a message and a
-- code; the options `excluded` and `is_successful` may see it otherwise. To be cancelled is neither
-- a success nor a failure.
-- @parks where fn does
-- @tparam fun(...:any):any fn
-- @param ... its arguments
-- @return ... its results, whatever they count as; or nil, a message, "EOPEN" and, while it is
-- open, the seconds until it is half-open
-- @fails "EOPEN", and with what fn fails with
-- @raise what fn raises, unchanged
-- @usage local rows, msg, code = breaker:call(query, "select 1")
function Breaker:call(fn, ...)
  options.callable(fn)
  local place, msg, code, seconds = self:enter_()
  if not place then
    return nil, msg, code, seconds
  end
  return leave_with(self, place, self.settings.slow_after and core.now(), pcall(fn, ...))
end

--- Ask to be let in, and say later what came of it: `done(ok, [err, code])`, once, with true for a
-- success, false for a failure, nil for neither. `err` and `code` are for the option `excluded`. In
-- a half-open breaker who never calls it keeps its place, for `half_open_for` if that is given.
--
-- Many calls have the same `done` while the breaker is closed and has no slow-call rule; it takes
-- as many results as calls were let in. Otherwise each has its own, which ignores a second result.
-- @treturn[1] fun(ok:any,err:any,code:any) done
-- @treturn[2] nil
-- @treturn[2] string message
-- @treturn[2] string "EOPEN"
-- @treturn[2] ?number seconds until it is half-open; nil when it is, and others are trying
-- @source the two-step breaker of gobreaker
function Breaker:allow()
  return self:allow_()
end

-- A `done` of one call alone: it has begun at a time, or has one of few places. Refusals must not
-- come by a function in which closures are made: those are not compiled.
local function new_done(self, place, began)
  local is_used = false
  return function(ok, err, code)
    if not is_used then
      is_used = true
      self:report_(place, began, ok, err, code)
    end
  end
end

function Breaker:allow_one_()
  local place, msg, code, seconds = self:enter_()
  if not place then
    return nil, msg, code, seconds
  end
  return new_done(self, place, self.settings.slow_after and core.now())
end

-- What `done` was told.
function Breaker:report_(place, began, ok, err, code)
  if ok then
    ok = true
  elseif ok == false and rules.is_excluded(self, self.settings, err, code) then
    ok = nil
  end
  self:leave_(place, ok, began and core.now() - began)
end

--- The state now.
-- @treturn string "closed", "open" or "half-open"
function Breaker:state()
  return self:look_()
end

--- What was counted since the state changed, or in the window or interval. Calls that were let in
-- and have no result yet are among the requests alone.
-- @treturn breaker_counts a new table
-- @tfield[breaker_counts] integer requests calls let in
-- @tfield[breaker_counts] integer successes of them
-- @tfield[breaker_counts] integer failures of them
-- @tfield[breaker_counts] integer excluded neutral ones: cancelled, or failed as `excluded` says
-- @tfield[breaker_counts] integer slow ones, successes and failures
-- @tfield[breaker_counts] integer consecutive_successes since the last failure
-- @tfield[breaker_counts] integer consecutive_failures since the last success
-- @source gobreaker, type Counts
function Breaker:counts()
  self:look_()
  return self:counts_()
end

--- Counters since it was made.
-- @treturn breaker_stats a new table
-- @tfield[breaker_stats] string state
-- @tfield[breaker_stats] string why it is that: "6 failures in a row"
-- @tfield[breaker_stats] number since when, on the clock of `rl.now`
-- @tfield[breaker_stats] integer generation counts up with every change of the state, and whenever
-- the counts are cleared; results of an older one are ignored
-- @tfield[breaker_stats] boolean disabled by `disable`
-- @tfield[breaker_stats] integer requests calls let in
-- @tfield[breaker_stats] integer successes of them
-- @tfield[breaker_stats] integer failures of them
-- @tfield[breaker_stats] integer excluded neutral ones
-- @tfield[breaker_stats] integer slow ones
-- @tfield[breaker_stats] integer ignored results that came too late, or twice
-- @tfield[breaker_stats] integer refused calls
-- @tfield[breaker_stats] integer opened times
function Breaker:stats()
  local state = self:look_()
  local stats = self:totals_()
  stats.state, stats.disabled = state, self:is_disabled_()
  stats.why, stats.since, stats.generation = self:change_()
  return stats
end

--- Open it by hand. It becomes half-open when its time is over.
-- @tparam[opt="by hand"] string reason for `on_change` and `stats`
-- @tparam[opt] number seconds instead of `open_for`; `math.huge`: until `reset`
function Breaker:trip(reason, seconds)
  if reason ~= nil and type(reason) ~= "string" then
    error("a reason is a string, not a " .. type(reason), 2)
  elseif seconds ~= nil and not (type(seconds) == "number" and seconds > 0) then
    error("seconds expected: a number more than 0", 2)
  end
  self:look_()
  self:become_("open", reason or "by hand", seconds)
end

--- Close it by hand, and forget what was counted. What is under way counts no more.
-- @tparam[opt="by hand"] string reason
function Breaker:reset(reason)
  if reason ~= nil and type(reason) ~= "string" then
    error("a reason is a string, not a " .. type(reason), 2)
  end
  self:look_()
  self:become_("closed", reason or "by hand")
end

--- Close it and let nothing open it but `trip`; what happens is still counted.
-- @source the state DISABLED of resilience4j
function Breaker:disable()
  self:disable_(true)
  if self:look_() ~= "closed" then
    self:become_("closed", "disabled")
  end
end

--- Have it do its work again after `disable`.
function Breaker:enable()
  self:disable_(false)
end

local function details(self, state)
  local counts = self:counts_()
  if state == "open" then
    local why, _, _, due = self:change_()
    return (" (%s), for %.3g s"):format(why, math.max(0, due - core.now()))
  elseif state == "half-open" then
    return (", %d of %d calls let in"):format(counts.requests - counts.excluded,
      self.settings.half_open_calls)
  end
  return (", %d of %d calls failed"):format(counts.failures, counts.failures + counts.successes)
end

function Breaker:__tostring()
  local state = self:look_()
  return ("ringlet.breaker '%s': %s%s%s"):format(self.name, state, details(self, state),
    self:is_disabled_() and ", disabled" or "")
end

-- The two kinds: their metatables look the same to users.
local function kind(mechanism)
  local Kind = {}
  for _, part in ipairs{Breaker, mechanism} do
    for name, value in pairs(part) do
      Kind[name] = value
    end
  end
  Kind.__index = Kind
  return Kind
end

local Local, Shared = kind(engine), kind(shared_engine)
travel.register_type("ringlet.breaker", Shared)

--- A circuit breaker: it lets calls through while they succeed (closed), refuses them for a while
-- when they fail (open), then lets a few try (half-open): if these succeed it closes, and if one
-- fails or is slow it opens again.
--
-- Without a rule it opens at the sixth failure in a row. The rules by rate look at the calls that
-- have ended in the window, from `min_calls` on: failures, and calls that took `slow_after` or
-- longer, by all of them. Any rule that holds opens it.
--
-- Functions it was given must not park. One that raises is reported as the failure of a task is,
-- and what it should have decided is decided without it.
--
-- With `scope = "shared"` all shards to which it travels have one breaker. Functions among its
-- options are copied there; `on_change` is called on the shard that made the change.
-- @tparam[opt] table opts
-- @tparam[opt="breaker"] string opts.name for messages
-- @tparam[opt="shard"] string opts.scope "shard" or "shared"
-- @tparam[opt] integer opts.failures in a row that open it; 6 when there is no other rule
-- @tparam[opt] number opts.rate share of failures that opens it: 0.5
-- @tparam[opt] number opts.slow_after seconds from which a call counts as slow
-- @tparam[opt=0.5] number opts.slow_rate share of slow calls that opens it
-- @tparam[opt=20] integer opts.min_calls ended calls below which no rate is looked at
-- @tparam[opt] number opts.window seconds after which a call is forgotten; 10 with a rate, else
-- they never are
-- @tparam[opt=10] integer opts.buckets the window moves on by one of so many parts
-- @tparam[opt] number opts.interval instead of a window: seconds after which everything counted
-- by the closed breaker is forgotten at once
-- @tparam[opt=60] number opts.open_for seconds that it is open
-- @tparam[opt=1] number opts.backoff each time it opens again, it is open so many times longer
-- @tparam[opt] number opts.open_max seconds that it is open at most, with a backoff
-- @tparam[opt=1] integer opts.half_open_calls how many may try; all must succeed to close it
-- @tparam[opt] number opts.half_open_for seconds after which it opens again if these have not ended
-- @tparam[opt] fun(ok:boolean,...):boolean opts.is_successful is this a success? `call` asks it,
-- with true and the results, or with false and the error
-- @tparam[opt] function|table opts.excluded failures that say nothing: a list of codes, or a
-- function of the error or message, and the code
-- @tparam[opt] fun(counts:breaker_counts):boolean opts.ready_to_trip asked after each failure
-- @tparam[opt] fun(from:string,to:string,why:string,breaker:breaker) opts.on_change called once
-- after each change of the state
-- @treturn breaker
-- @raise options that make no sense
-- @source gobreaker v2, whose generations, buckets and half-open rule these are; resilience4j for
-- the slow-call rate; Hystrix for the defaults of the window
-- @usage local breaker = rl.breaker{name = "db", rate = 0.5, window = 30, slow_after = 2}
function M.new(opts)
  local settings = rules.settings(opts)
  local self = {name = settings.name, settings = settings}
  if settings.scope == "shared" then
    setmetatable(self, Shared)
  else
    setmetatable(self, Local)
  end
  self:begin_()
  return self
end

return M
