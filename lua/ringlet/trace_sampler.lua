-- SPDX-License-Identifier: MIT
-- trace_sampler: which traces are worth keeping, decided when the outermost span here has ended,
-- for only then is it known how the story went.
--
-- A healthy trace is drawn by its id, which is random: every service that keeps the same share
-- keeps the same traces.

--- @module ringlet.trace

local options = require "ringlet.options"

local M = {}

local HEALTHY, ERRORS = 0.001, 1
local DIGITS = 13 -- of the end of an id: 52 bits, which a number holds

--- Keeps some traces and drops the others, from `trace.sampler`.
-- @type sampler
local Sampler = {__name = "ringlet.sampler"}
Sampler.__index = Sampler

local KNOWN = {healthy = "number", errors = "number", slow = "number"}
local SHARE = {min = 0, max = 1}
local BOUNDS = {healthy = SHARE, errors = SHARE, slow = {min = 0, infinite = true}}

--- A sampler, for `trace.export`.
-- @tparam[opt] table opts
-- @tparam[opt=0.001] number opts.healthy the share that is kept of traces without an error
-- @tparam[opt=1] number opts.errors of those with one: a span whose status is "error", which that
-- of a request answered with 5xx is
-- @tparam[opt] number opts.slow seconds: a trace that took as long is kept
-- @treturn sampler
-- @source OpenTelemetry: tail sampling; consistent probability sampling (OTEP 235)
function M.new(opts)
  opts = options.check(opts, KNOWN)
  options.bounds(opts, BOUNDS)
  return setmetatable({
    healthy = opts.healthy or HEALTHY, errors = opts.errors or ERRORS,
    slow = opts.slow or math.huge, kept_n = 0, dropped_n = 0,
  }, Sampler)
end

-- A number in [0, 1) that is the trace's.
local function draw(trace_id)
  return tonumber(trace_id:sub(-DIGITS), 16) / 16 ^ DIGITS
end

--- Is this trace kept?
-- @tparam table trace {trace_id=, failed= whether a span of it had an error, seconds=}
-- @treturn boolean
function Sampler:keeps(trace)
  local share = self.healthy
  if trace.failed then
    share = math.max(share, self.errors)
  end
  local kept = trace.seconds >= self.slow or share >= 1 or draw(trace.trace_id) < share
  self.kept_n, self.dropped_n = self.kept_n + (kept and 1 or 0), self.dropped_n + (kept and 0 or 1)
  return kept
end

--- Counters.
-- @treturn sampler_stats a new table
-- @tfield[sampler_stats] integer kept traces
-- @tfield[sampler_stats] integer dropped traces
function Sampler:stats()
  return {kept = self.kept_n, dropped = self.dropped_n}
end

function Sampler:__tostring()
  return ("ringlet.sampler: %g of healthy, %g of failed traces"):format(self.healthy, self.errors)
end

return M
