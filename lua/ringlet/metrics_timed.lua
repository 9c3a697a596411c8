-- SPDX-License-Identifier: MIT
-- metrics_timed: functions that are measured with each call.

--- Measure.
-- @module ringlet.metrics

local core = require "ringlet.core"
local user = require "ringlet.metrics_user"

local M = {}

--- A function that is measured: how often it is called, how long it takes, how often it raises.
-- `f(...)` is `f:call(...)`.
-- @type timed
local Timed = {__name = "ringlet.metrics.timed"}
Timed.__index = Timed

--- Calls that have ended, those that raised included.
-- @treturn table {count=, errors=, mean=, max=, p50=, p90=, p99=}, seconds
function Timed:stats()
  local h = self.seconds:value()
  return {count = h.count, errors = self.errors, mean = h:mean(), max = self.max,
    p50 = h:quantile(0.5), p90 = h:quantile(0.9), p99 = h:quantile(0.99)}
end

local function note(self, from, ok, ...)
  local took = core.now() - from
  self.seconds:observe(took)
  self.max = math.max(self.max, took)
  if not ok then
    self.errors = self.errors + 1
    error((...), 0)
  end
  return ...
end

--- Call it.
-- @parks as the function does
-- @param ... its arguments
-- @return ... its results
function Timed:call(...)
  return note(self, core.now(), pcall(self.fn, ...))
end

Timed.__call = Timed.call

function Timed:__tostring()
  local s = self:stats()
  return ("ringlet.metrics.timed: %d calls, mean %.3g s, p99 %.3g s"):format(s.count, s.mean, s.p99)
end

--- Measure a function: call what this gives in its place. The time includes that for which its task
-- is parked.
-- @tparam function fn
-- @tparam[opt] string name of the histogram, seconds, that it also is
-- @treturn timed
function M.new(fn, name)
  if type(fn) ~= "function" then
    error("function expected, got " .. type(fn), 2)
  end
  local seconds = user.histogram(name or "timed_seconds", name and {} or {labels = {"function"}})
  if not name then
    local info = debug.getinfo(fn, "S")
    seconds = seconds:with(("%s:%d"):format(info.short_src, info.linedefined))
  end
  return setmetatable({fn = fn, seconds = seconds, errors = 0, max = 0}, Timed)
end

return M
