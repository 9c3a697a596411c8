-- SPDX-License-Identifier: MIT
-- limiter_window: the sliding window: at most `limit` tokens in any `window` seconds.
--
-- It is a log of when the last `limit` tokens were taken: in a ring, so that the place of the n-th
-- token from now has when the token was taken that must have left the window by then. One that is
-- exactly one window old has left it.
--
-- Invariants: from `at` on, around the ring, the times do not decrease; places never used are
-- before all times. The ring grows as it is used, so a limit that is not reached costs no memory.

local limits = require "ringlet.limiter_rate"

local floor, huge, max, min = math.floor, math.huge, math.max, math.min

local Window = limits.kind "sliding_window"

local LIMIT, WINDOW = {min = 1, whole = true}, {above = 0}

local function check(limit, window)
  limits.check(limit, LIMIT, "the limit")
  limits.check(window, WINDOW, "the window", true)
end
Window.check_ = check

local function measure(self, config)
  self.burst, self.window = config.limit, max(1, floor(config.window * 1e9 + 0.5))
end

function Window:start_(config, ns) -- luacheck: no unused args
  measure(self, config)
  self.times, self.at = {}, 0 -- the place of the oldest, counted from 0
end

local function last_of(self)
  return self.times[(self.at - 1) % self.burst + 1]
end

-- A clock that went back is that of another run: all that is in the log was just now.
local function mind_clock(self, ns)
  local last = last_of(self)
  if last and last > ns then
    for i, t in pairs(self.times) do
      self.times[i] = min(t, ns)
    end
  end
end

-- When there is room for the n-th token from now, n <= limit.
local function time_of(self, n)
  local taken = self.times[(self.at + n - 1) % self.burst + 1]
  return taken and taken + self.window or -huge
end

function Window:set_(limit, window, ns)
  local times, kept = self.times, {}
  mind_clock(self, ns)
  for i = max(0, self.burst - limit), self.burst - 1 do
    kept[#kept + 1] = times[(self.at + i) % self.burst + 1]
  end
  local config = self.config
  config.limit, config.window = limit, window or config.window
  measure(self, config)
  self.times, self.at = kept, #kept % limit
end

function Window:take_(ns, n)
  local limit = self.burst
  if n > limit then
    return huge
  elseif n == 0 then
    return 0
  end
  mind_clock(self, ns)
  local times, at = self.times, self.at
  local taken = times[(at + n - 1) % limit + 1]
  if taken and ns - taken < self.window then
    return taken + self.window - ns
  end
  times[at + 1] = ns
  for i = 1, n - 1 do -- for one token there is no loop, which would be in the way of the caller's
    times[(at + i) % limit + 1] = ns
  end
  self.at = (at + n) % limit
  return 0
end

-- The token after a whole window of tokens comes a window after the first of those.
function Window:delay_(ns, n)
  if n == 0 then
    return 0
  end
  mind_clock(self, ns)
  local rounds = floor((n - 1) / self.burst)
  local first = max(time_of(self, n - rounds * self.burst), ns)
  return first + rounds * self.window - ns
end

function Window:free_(ns)
  mind_clock(self, ns)
  local low, high = 0, self.burst -- there is room for low, not for high + 1
  while low < high do
    local middle = floor((low + high + 1) / 2)
    if time_of(self, middle) <= ns then
      low = middle
    else
      high = middle - 1
    end
  end
  return low
end

function Window:full_(ns)
  mind_clock(self, ns)
  local last = last_of(self)
  return not last or last + self.window <= ns
end

function Window:rate_()
  return self.config.limit / self.config.window
end

function Window:text_()
  return ("in %g s"):format(self.config.window)
end

return Window
