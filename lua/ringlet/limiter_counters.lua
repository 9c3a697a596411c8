-- SPDX-License-Identifier: MIT
-- limiter_counters: the sliding window, approximately, in two counters: the tokens of this window
-- of fixed times, and of the one before, of which the part counts that still lies in the last
-- `window` seconds. It takes the tokens of the window before for evenly spread.
--
-- Times are ticks, which are so long that limit * window is exact.
--
-- Invariants: begun <= now < begun + window after `advance`.

local limits = require "ringlet.limiter_rate"
local units_of = require "ringlet.limiter_units"

local ceil, floor, huge, max = math.ceil, math.floor, math.huge, math.max

local Counters = limits.kind "sliding_window"

local LIMIT, WINDOW = {min = 1, whole = true}, {above = 0}

function Counters.check_(limit, window)
  limits.check(limit, LIMIT, "the limit")
  limits.check(window, WINDOW, "the window", true)
end

local function measure(self, config)
  local tick, ns = 1, max(1, floor(config.window * 1e9 + 0.5))
  while config.limit * ns / tick > units_of.EXACT / 2 do
    tick = tick * 10
  end
  self.burst, self.tick, self.window = config.limit, tick, max(1, floor(ns / tick))
end

function Counters:start_(config, ns)
  measure(self, config)
  self.begun, self.before, self.count = floor(ns / self.tick), 0, 0
end

-- Go to the window of `ns`; how much of it has passed.
local function advance(self, ns)
  local window, now = self.window, floor(ns / self.tick)
  local passed = now - self.begun
  if passed >= window then
    local windows = floor(passed / window)
    self.before = windows == 1 and self.count or 0
    self.count, self.begun = 0, self.begun + windows * window
    return passed - windows * window
  elseif passed < 0 then -- the clock of another run
    self.begun = now
    return 0
  end
  return passed
end

function Counters:set_(limit, window, ns)
  advance(self, ns)
  local config = self.config
  config.limit, config.window = limit, window or config.window
  measure(self, config)
  self.begun = floor(ns / self.tick)
end

-- How much of a window has to pass before there is room for `room` beside the tokens of the one
-- before.
local function time_for(self, room, before)
  if before <= room then
    return 0
  end
  return self.window - floor(room * self.window / before)
end

local function delay(self, ns, n, passed)
  local room = self.burst - self.count - n
  local at = room >= 0 and time_for(self, room, self.before)
    or self.window + time_for(self, self.burst - n, self.count)
  if at <= passed then
    return 0
  end
  return (self.begun + at) * self.tick - ns
end

function Counters:take_(ns, n)
  if n > self.burst then
    return huge
  end
  local passed = advance(self, ns)
  local room = self.burst - self.count - n
  if room >= 0 and self.before * (self.window - passed) <= room * self.window then
    self.count = self.count + n
    return 0
  end
  return delay(self, ns, n, passed)
end

function Counters:delay_(ns, n)
  local passed, rounds = advance(self, ns), max(0, floor((n - 1) / self.burst))
  return delay(self, ns, n - rounds * self.burst, passed) + rounds * self.window * self.tick
end

function Counters:free_(ns)
  local passed = advance(self, ns)
  local old = ceil(self.before * (self.window - passed) / self.window)
  return max(0, self.burst - self.count - old)
end

function Counters:full_(ns)
  advance(self, ns)
  return self.before == 0 and self.count == 0
end

function Counters:rate_()
  return self.config.limit / self.config.window
end

function Counters:text_()
  return ("in about %g s"):format(self.config.window)
end

return Counters
