-- SPDX-License-Identifier: MIT
-- autoscaler_window: the samples of the last `span` seconds, their mean and their trend.
--
-- Invariants: items[head..tail] are {t = time, sum =, n =}, oldest first, none older than the span;
-- samples closer together than a thousandth of the span share one, so there are at most PARTS + 1.
-- `since` is when the first sample came after the window was made or restarted: the window is full,
-- and only then has a mean, when that is a whole span ago.

local M = {}

local PARTS = 1000
-- The clock's nanoseconds, as the difference of two floats, are exact to much less than this.
M.SLACK = 1e-6
-- What sums of equal numbers differ by, relative to the numbers, is no trend.
local FLAT = 1e-9

local Window = {}
Window.__index = Window

function M.new(span)
  local self = setmetatable({span = span}, Window)
  self:restart()
  return self
end

function Window:restart()
  self.items, self.head, self.tail, self.since = {}, 1, 0, nil
end

-- A sample exactly one span old is out, so a full window of one sample a second holds `span`.
local function drop_old(self, now)
  local limit = now - self.span + M.SLACK
  while self.head <= self.tail and self.items[self.head].t <= limit do
    self.items[self.head] = nil
    self.head = self.head + 1
  end
end

function Window:add(now, v)
  self.since = self.since or now
  drop_old(self, now)
  local last = self.items[self.tail]
  if last and now - last.t < self.span / PARTS then
    last.sum, last.n = last.sum + v, last.n + 1
    return
  end
  self.tail = self.tail + 1
  self.items[self.tail] = {t = now, sum = v, n = 1}
end

function Window:full(now)
  return self.since ~= nil and now - self.since >= self.span - M.SLACK
end

-- The arithmetic mean of the samples.
function Window:mean()
  local sum, n = 0, 0
  for i = self.head, self.tail do
    sum, n = sum + self.items[i].sum, n + self.items[i].n
  end
  return sum / n
end

-- 1 when the least-squares line through the samples rises, -1 when it falls, 0 when it does neither
-- or there are not two points to draw it through.
function Window:trend()
  local first = self.items[self.head]
  if self.tail <= self.head then
    return 0
  end
  -- Relative to the first sample, which keeps equal samples at exactly 0.
  local t0, v0, peak = first.t, first.sum / first.n, 0
  local w, x, y, xx, xy = 0, 0, 0, 0, 0
  for i = self.head, self.tail do
    local item = self.items[i]
    local dt, mean = item.t - t0, item.sum / item.n
    local dv = mean - v0
    w, x, y = w + item.n, x + item.n * dt, y + item.n * dv
    xx, xy = xx + item.n * dt * dt, xy + item.n * dt * dv
    peak = math.max(peak, math.abs(mean))
  end
  local rise = (w * xy - x * y) / (w * xx - x * x) * self.span
  if rise > FLAT * peak then
    return 1
  end
  return rise < -FLAT * peak and -1 or 0
end

return M
