-- SPDX-License-Identifier: MIT
-- limiter_algorithms: how many calls at once are right, judged by what becomes of them.
--
-- An algorithm has `limit`, a number that may have a fraction, and is told of each call's end:
--   sample(start, now, rtt, ok, at_once)   at_once: how many ran when it began, itself included
-- Lost calls are those that failed: a peer that is overloaded answers by failing or not at all. The
-- limit is lowered for them once in a round trip: what began before the last cut says nothing new.
--
-- Invariant: min <= limit <= max.

local max, min = math.max, math.min

local M = {}

-- ---- fixed --------------------------------------------------------------------------------------

local Fixed = {name = "fixed"}
Fixed.__index = Fixed

function M.fixed(config)
  return setmetatable({limit = config.limit}, Fixed)
end

function Fixed:sample() -- luacheck: ignore 212
end

-- ---- AIMD ---------------------------------------------------------------------------------------

-- One more in each round trip in which the limit was in use, a tenth less for what was lost.
local Aimd = {name = "aimd"}
Aimd.__index = Aimd

local BACKOFF = 0.9

function M.aimd(config)
  return setmetatable({
    limit = config.initial, min = config.min_limit, max = config.max_limit,
    backoff = config.backoff or BACKOFF, timeout = config.timeout or math.huge, cut_at = -math.huge,
  }, Aimd)
end

local function cut(self, start, now, backoff)
  if start >= self.cut_at then
    self.limit, self.cut_at = max(self.min, self.limit * backoff), now
    return true
  end
  return false
end

function Aimd:sample(start, now, rtt, ok, at_once)
  if not ok or rtt > self.timeout then
    cut(self, start, now, self.backoff)
  elseif at_once * 2 >= self.limit then
    self.limit = min(self.max, self.limit + 1 / self.limit)
  end
end

-- ---- gradient -----------------------------------------------------------------------------------

-- More calls than a peer works on at once wait for each other there. So the limit is multiplied,
-- for each window of samples in which it was in use, by tolerance * base / mean: the mean round
-- trip now, and that without a queue. Below what the peer can do it grows by the tolerance, and it
-- comes to rest where calls take `tolerance` times as long as alone.
--
-- Means, because the shortest of times that vary says nothing of them; and a window is as long as
-- their spread demands. The base is measured by probes: one window with less than the limit. Only
-- so is a peer that has become slower told from one whose queue we filled: it is as slow with less.
-- One that is much faster says that even less may be too much: the next window is followed by
-- another. Nothing here takes the lesser of two noisy values, which would make the base, and then
-- the limit, smaller and smaller.
local Gradient = {name = "gradient"}
Gradient.__index = Gradient

local TOLERANCE = 1.06
local RATIO_MIN = 0.5
local GROWTHS = 4    -- windows without a queue, after which it grows faster
local GROWTH_MAX = 1.5
-- How far the mean of a window may be off, by its standard error: of one in which the limit grows
-- fast, of any, and of a probe, as an error of the base stays for long.
local GROWTH_ERROR, ERROR, PROBE_ERROR = 0.1, 0.05, 0.03
local SAMPLES_MIN, SAMPLES_MAX = 30, 1000
local LEAST = 4      -- samples in a window for each call at once: those that end first are short
local COLD = 3       -- the same for what is left out before the first window,
local SETTLE = 2     -- and where the limit has jumped
local PROBE = 0.6    -- of the limit
local MUCH_FASTER, AS_SLOW = 0.75, 0.85
local GAP_MIN, GAP_MAX = 2, 20 -- windows from one probe to the next: few while the limit moves
local GAP_GROWTH = 1.5
local MOVED = 1.25   -- since the last probe
local BASE_WEIGHT = 0.4 -- of a probe in the base
local IDLE_WEIGHT = 0.1 -- of a window in which less than half of the limit was in use
local IN_USE = 0.9

function M.gradient(config)
  return setmetatable({
    limit = config.initial, min = config.min_limit, max = config.max_limit,
    tolerance = config.tolerance or TOLERANCE, backoff = config.backoff or BACKOFF,
    timeout = config.timeout or math.huge, cut_at = -math.huge,
    base = false, starting = true, growths = 0, whole = false, probed = config.initial,
    last_mean = 0, gap = GAP_MIN, windows = 0,
    skip = COLD * config.initial, sum = 0, squares = 0, n = 0, peak = 0,
  }, Gradient)
end

-- The next window begins after so many samples.
local function begin_window(self, skip)
  self.skip, self.sum, self.squares, self.n, self.peak = skip, 0, 0, 0, 0
end

local function begin_probe(self)
  self.whole, self.probed = self.limit, self.limit
  self.limit = max(self.min, self.limit * PROBE)
  begin_window(self, SETTLE * self.whole)
end

local function end_probe(self, mean)
  local is_much_faster = mean < MUCH_FASTER * self.last_mean
  local is_slower = mean > AS_SLOW * self.last_mean and self.base < MUCH_FASTER * mean
  self.limit, self.whole = self.whole, false
  local weight = (self.starting or is_slower) and 1 or BASE_WEIGHT
  self.base = self.base + weight * (mean - self.base)
  self.windows, self.gap = 0, is_much_faster and 1 or min(GAP_MAX, self.gap * GAP_GROWTH)
  if self.starting and not is_much_faster then
    self.starting, self.growths = false, GROWTHS
  end
  begin_window(self, SETTLE * self.limit)
end

local function adapt(self, mean)
  local ratio = max(RATIO_MIN, self.tolerance * self.base / mean)
  if ratio < 1 then
    self.growths = 0
  else
    self.growths = self.growths + 1
    if self.growths > GROWTHS then
      ratio = GROWTH_MAX
    end
  end
  self.limit = max(self.min, min(self.max, self.limit * min(ratio, GROWTH_MAX)))
end

-- A window in which the limit was in use.
local function use(self, mean)
  local is_first, can_probe = not self.base, self.limit * PROBE >= self.min
  self.base, self.last_mean = self.base or mean, mean
  if not can_probe then -- fewer there cannot be: this is a probe
    self.base = self.base + BASE_WEIGHT * (mean - self.base)
    self.starting = false
  end
  if not is_first then
    adapt(self, mean)
  end
  self.windows = self.windows + 1
  if max(self.limit / self.probed, self.probed / self.limit) > MOVED then
    self.gap = min(self.gap, GAP_MIN)
  end
  if can_probe and (is_first or self.windows >= self.gap) then
    begin_probe(self)
  else
    begin_window(self, 0)
  end
end

local function end_window(self)
  local mean, peak = self.sum / self.n, self.peak
  if self.whole then
    end_probe(self, mean)
  elseif peak >= IN_USE * self.limit - 1 then
    use(self, mean)
  else
    if self.base and peak <= self.limit / 2 then
      self.base = self.base + IDLE_WEIGHT * (mean - self.base)
    end
    begin_window(self, 0)
  end
end

-- Is the mean as exact as it has to be?
local function is_enough(self)
  local n = self.n
  if n < SAMPLES_MIN or n < LEAST * self.limit then
    return false
  elseif n >= SAMPLES_MAX then
    return true
  end
  local mean = self.sum / n
  local allowed = (self.whole or not self.base) and PROBE_ERROR
    or self.growths > GROWTHS and GROWTH_ERROR or ERROR
  return self.squares / n - mean * mean <= n * (allowed * mean) ^ 2
end

function Gradient:sample(start, now, rtt, ok, at_once)
  if not ok or rtt > self.timeout then
    if cut(self, start, now, self.backoff) and self.whole then
      self.whole = max(self.min, self.whole * self.backoff)
    end
    return
  elseif self.skip > 0 then
    self.skip = self.skip - 1
    return
  end
  self.sum, self.squares, self.n = self.sum + rtt, self.squares + rtt * rtt, self.n + 1
  if at_once > self.peak then
    self.peak = at_once
  end
  if is_enough(self) then
    end_window(self)
  end
end

return M
