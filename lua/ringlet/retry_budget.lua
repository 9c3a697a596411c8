-- SPDX-License-Identifier: MIT
-- retry_budget: how many retries, or hedges, there may be for the calls there were.
--
-- The window is a ring of PARTS parts, each with its calls and its retries; `calls` and `retries`
-- are their sums. `part` is the number of the present part since the clock's beginning; of a part
-- that has left the window nothing is left in the sums. A retry is granted only if with it there
-- are at most ratio * calls + reserve in the window: so in no window are there ever more.

--- Trying again.
-- @module ringlet
-- @section Retries

local clock = require "ringlet.clock"
local options = require "ringlet.options"

local M = {}

local PARTS = 10
local RATIO, MIN_PER_SECOND, WINDOW = 0.1, 1, 10
-- Products such as 0.1 * 30 are a little less than what they stand for.
local SLACK = 1e-9

local KNOWN = {ratio = "number", min_per_second = "number", window = "number"}
local BOUNDS = {
  ratio = {min = 0, max = 1}, min_per_second = {min = 0}, window = {above = 0},
}

--- A budget of retries, from `rl.retry_budget`. Give one to all that call the same service: when it
-- is down, retries add no more than their share to its load.
-- @type retry_budget
local Budget = {__name = "ringlet.retry_budget"}
Budget.__index = Budget

local function clear(self, part)
  for i = 1, PARTS do
    self.calls_of[i], self.retries_of[i] = 0, 0
  end
  self.calls, self.retries, self.part = 0, 0, part
end

-- Drop what has left the window. A clock that runs backwards is that of another run.
local function advance(self, part)
  local passed = part - self.part
  if passed >= PARTS or passed < 0 then
    return clear(self, part)
  end
  for p = self.part + 1, part do
    local i = p % PARTS + 1
    self.calls = self.calls - self.calls_of[i]
    self.retries = self.retries - self.retries_of[i]
    self.calls_of[i], self.retries_of[i] = 0, 0
  end
  self.part = part
end

-- The index of the present part.
local function present(self)
  local now = clock.now() * self.per_second
  local part = now - now % 1
  if part ~= self.part then
    advance(self, part)
  end
  return part % PARTS + 1
end

--- A call has begun. `rl.retry` and `rl.hedge` say so themselves.
function Budget:count()
  local i = present(self)
  self.calls, self.calls_of[i] = self.calls + 1, self.calls_of[i] + 1
  self.all_calls = self.all_calls + 1
end

local function left(self)
  return self.ratio * self.calls + self.reserve - self.retries + SLACK
end

--- Take a retry, if there is one. `rl.retry` and `rl.hedge` do so themselves.
-- @treturn boolean false: there is none left, make no further attempt
function Budget:try_take()
  local i = present(self)
  if left(self) < 1 then
    self.refused = self.refused + 1
    return false
  end
  self.retries, self.retries_of[i] = self.retries + 1, self.retries_of[i] + 1
  self.all_retries = self.all_retries + 1
  return true
end

--- How many retries would be granted now.
-- @treturn integer
function Budget:available()
  present(self)
  return math.max(0, math.floor(left(self)))
end

--- Counters of the budget.
-- @treturn retry_budget_stats a new table
-- @tfield[retry_budget_stats] integer calls so far
-- @tfield[retry_budget_stats] integer retries granted so far
-- @tfield[retry_budget_stats] integer refused so far
-- @tfield[retry_budget_stats] integer available retries that would be granted now
function Budget:stats()
  return {
    calls = self.all_calls, retries = self.all_retries, refused = self.refused,
    available = self:available(),
  }
end

function Budget:__tostring()
  return ("ringlet.retry_budget: %d retries left, %g %% of calls"):format(self:available(),
    100 * self.ratio)
end

--- A budget for the retries of many calls, of this shard: of the calls and retries of the last
-- `window` seconds, retries may be `ratio` of the calls and `min_per_second * window` besides. The
-- window is counted in tenths: what is in it is between nine and ten tenths of it old, at most.
-- @tparam[opt] table opts
-- @tparam[opt=0.1] number opts.ratio retries for each call, from 0 to 1
-- @tparam[opt=1] number opts.min_per_second retries a second that need no calls, so that who calls
-- rarely may retry at all
-- @tparam[opt=10] number opts.window seconds
-- @treturn retry_budget
-- @raise options that make no sense
-- @source Finagle documentation, "Retries", RetryBudget; gRPC proposal A6, "Retry throttling"
function M.new(opts)
  opts = options.check(opts, KNOWN)
  options.bounds(opts, BOUNDS)
  local window = opts.window or WINDOW
  local self = setmetatable({
    ratio = opts.ratio or RATIO, per_second = PARTS / window,
    reserve = (opts.min_per_second or MIN_PER_SECOND) * window, calls_of = {}, retries_of = {},
    all_calls = 0, all_retries = 0, refused = 0,
  }, Budget)
  clear(self, 0)
  return self
end

--- Is this a budget?
-- @local
function M.is(x)
  return getmetatable(x) == Budget
end

return M
