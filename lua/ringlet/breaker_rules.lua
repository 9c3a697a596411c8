-- SPDX-License-Identifier: MIT
-- breaker_rules: what a breaker goes by: its options, what a result counts as, when to open.
--
-- Settings are plain data and functions of the user's, so that those of a shared breaker travel.
-- A function of the user's that raises is reported and changes nothing: what it should have decided
-- is decided as if it were not there.

local cancel = require "ringlet.cancel"
local errors = require "ringlet.errors"
local options = require "ringlet.options"
local task = require "ringlet.task"
local traced = require "ringlet.traced"
local verdict = require "ringlet.verdict"

local M = {}

local FAILURES = 6
local WINDOW, BUCKETS, MIN_CALLS, SLOW_RATE = 10, 10, 20, 0.5
local OPEN_FOR = 60

local KNOWN = {
  name = "string", scope = "string", failures = "number", rate = "number", slow_after = "number",
  slow_rate = "number", min_calls = "number", window = "number", buckets = "number",
  interval = "number", open_for = "number", backoff = "number", open_max = "number",
  half_open_calls = "number", half_open_for = "number", is_successful = "function",
  excluded = "function|table", ready_to_trip = "function", on_change = "function",
}
local SHARE = {min = 0.0001, max = 1}
local WHOLE = {min = 1, whole = true}
local BOUNDS = {
  scope = {"shard", "shared"}, failures = WHOLE, rate = SHARE, slow_after = {min = 0},
  slow_rate = SHARE, min_calls = WHOLE, window = {above = 0}, interval = {above = 0},
  buckets = {min = 1, max = 1000, whole = true}, open_for = {above = 0, infinite = true},
  backoff = {min = 1}, open_max = {above = 0, infinite = true}, half_open_calls = WHOLE,
  half_open_for = {above = 0, infinite = true},
}

-- Options that say nothing without another one.
local NEEDS = {
  {"slow_rate", "slow_after"}, {"buckets", "window", "rate", "slow_after"},
  {"min_calls", "rate", "slow_after"}, {"open_max", "backoff"},
}

local function check_company(opts, level)
  for _, needs in ipairs(NEEDS) do
    local found = opts[needs[1]] == nil
    for i = 2, #needs do
      found = found or opts[needs[i]] ~= nil
    end
    if not found then
      error(("option '%s' needs '%s'"):format(needs[1],
        table.concat(needs, "' or '", 2)), level + 1)
    end
  end
  if opts.window and opts.interval then
    error("options 'window' and 'interval' exclude each other", level + 1)
  end
end

-- A set of codes, from a list.
local function set_of(codes, level)
  local set = {}
  for i, code in ipairs(codes) do
    if type(code) ~= "string" then
      error(("option 'excluded' must be a function or a list of codes: [%d] is a %s"):format(i,
        type(code)), level + 1)
    end
    set[code] = true
  end
  return set
end

local function add_counting(s, opts)
  local has_rate = opts.rate or opts.slow_after
  s.interval = opts.interval
  s.window = opts.window or has_rate and not opts.interval and WINDOW or nil
  s.buckets = s.window and (opts.buckets or BUCKETS) or 1
  s.period = s.window and s.window / s.buckets
  s.failures = opts.failures or not (has_rate or opts.ready_to_trip) and FAILURES or nil
  s.rate, s.slow_after = opts.rate, opts.slow_after
  s.slow_rate = opts.slow_after and (opts.slow_rate or SLOW_RATE)
  s.min_calls = opts.min_calls or MIN_CALLS
  s.has_rate = has_rate ~= nil
end

--- Check options and fill in what was left out.
-- @tparam ?table opts
-- @tparam[opt=2] integer level as of options.check
-- @treturn table settings
function M.settings(opts, level)
  level = (level or 2) + 1
  opts = options.check(opts, KNOWN, level)
  options.bounds(opts, BOUNDS, level)
  check_company(opts, level)
  local name = opts.name or "breaker"
  local s = {
    name = name, scope = opts.scope or "shard",
    open_for = opts.open_for or OPEN_FOR, backoff = opts.backoff or 1,
    open_max = opts.open_max or math.huge, half_open_calls = opts.half_open_calls or 1,
    half_open_for = opts.half_open_for, is_successful = opts.is_successful,
    ready_to_trip = opts.ready_to_trip, on_change = opts.on_change,
    is_open = ("EOPEN: the breaker '%s' is open"):format(name),
    is_full = ("EOPEN: too many requests while the breaker '%s' is half-open"):format(name),
  }
  s.excluded = opts.excluded
  if type(opts.excluded) == "table" then
    s.excluded = set_of(opts.excluded, level)
  end
  add_counting(s, opts)
  return s
end

-- ---- functions of the user's --------------------------------------------------------------------

local function guard(breaker, ok, v, trace)
  if not ok then
    if not cancel.is_cancel(v) then
      task.report(v, trace, breaker)
    end
    return nil, false
  end
  return v, true
end

-- What fn gives and true; nil and false when it raised, which is reported.
local function try(breaker, fn, ...)
  return guard(breaker, traced.call(fn, ...))
end

--- Is a failure neutral?
function M.is_excluded(breaker, s, err, code)
  local excluded = s.excluded
  if not excluded then
    return false
  end
  code = code or errors.code(err)
  if type(excluded) == "table" then
    return code ~= nil and excluded[code] == true
  end
  return try(breaker, excluded, err, code) and true or false
end

local function is_neutral(breaker, s, ok, v, msg, code)
  if ok then
    return M.is_excluded(breaker, s, msg, code)
  end
  return M.is_excluded(breaker, s, v)
end

--- What the results of pcall count as: true, false, or nil for neutral.
function M.judge(breaker, s, ok, ...)
  local good = verdict.of(ok, ...)
  if good == nil or not good and is_neutral(breaker, s, ok, ...) then
    return nil
  end
  if s.is_successful then
    local said, answered = try(breaker, s.is_successful, ok, ...)
    if answered then
      return said and true or false
    end
  end
  return good
end

--- Tell of a change.
function M.tell(breaker, s, from, to, why)
  if s.on_change then
    try(breaker, s.on_change, from, to, why, breaker)
  end
end

-- ---- when to open -------------------------------------------------------------------------------

--- Why to open now, by the rates; nil when there is no reason.
function M.why_by_rate(s, failures, successes, slow)
  local calls = failures + successes
  if calls < s.min_calls then
    return nil
  elseif s.rate and failures / calls >= s.rate then
    return ("%d of %d calls failed"):format(failures, calls)
  elseif s.slow_rate and slow / calls >= s.slow_rate then
    return ("%d of %d calls were slow"):format(slow, calls)
  end
end

--- Why to open now, after a failure, by the other rules. `counts()` is for ready_to_trip.
function M.why_by_failure(breaker, s, run, counts)
  if s.failures and run >= s.failures then
    return run == 1 and "a call failed" or ("%d failures in a row"):format(run)
  elseif s.ready_to_trip and try(breaker, s.ready_to_trip, counts(breaker)) then
    return "ready_to_trip"
  end
end

--- How long to be open when it was half-open so often in between.
function M.open_for(s, reopened)
  return math.min(s.open_for * s.backoff ^ reopened, math.max(s.open_max, s.open_for))
end

function M.why_half_open(seconds)
  return ("open for %g s"):format(seconds)
end

function M.why_closed(s)
  local n = s.half_open_calls
  return n == 1 and "a call succeeded" or ("%d calls succeeded"):format(n)
end

return M
