-- SPDX-License-Identifier: MIT
-- metrics_histogram: what a histogram has counted: 32 buckets for each power of two.
--
-- The core gives the buckets that are not empty, by number from 1 (src/base/histogram.h); this
-- knows their bounds. A histogram here is a value: it does not change when more is recorded.

--- Look inside.
-- @module ringlet.metrics

local SUB, LOW, OCTAVES = 32, -30, 72

--- What a histogram has counted, from `metrics.read`, or `value` of one of your own.
-- @type histogram
-- @tfield number count values
-- @tfield number sum of them
-- @tfield number under how many were less than 2^-30, 0 included
-- @tfield number over how many were 2^42 or more
local Histogram = {__name = "ringlet.metrics.histogram"}
Histogram.__index = Histogram

local M = {Histogram = Histogram}

-- The class of what the core gave; it becomes the value.
function M.of(raw)
  return setmetatable(raw, Histogram)
end

function M.new()
  return M.of {under = 0, over = 0, count = 0, sum = 0}
end

-- Where a bucket begins.
local function lower(bucket)
  local n = bucket - 1
  return (1 + n % SUB / SUB) * 2 ^ (math.floor(n / SUB) + LOW)
end

local function add_exact(into, from)
  if not from.exact then
    return
  end
  into.exact = into.exact or {}
  for i, pair in ipairs(from.exact) do
    local had = into.exact[i]
    into.exact[i] = {pair[1], pair[2] + (had and had[2] or 0)}
  end
end

-- Count what another has counted as well.
function Histogram:add_(other)
  for k, n in pairs(other) do
    if type(n) == "number" then
      self[k] = (self[k] or 0) + n
    end
  end
  add_exact(self, other)
  return self
end

-- Buckets in order: {number, count}.
local function sorted(h)
  local list = {}
  for k, n in pairs(h) do
    if type(k) == "number" then
      list[#list + 1] = {k, n}
    end
  end
  table.sort(list, function(a, b) return a[1] < b[1] end)
  return list
end

--- The value that a share of those counted do not exceed; off by less than 1.6 %.
-- @tparam number q from 0 to 1
-- @treturn number 0 if nothing was counted
-- @source HdrHistogram, by G. Tene
function Histogram:quantile(q)
  if type(q) ~= "number" or q < 0 or q > 1 then
    error("a quantile is a number from 0 to 1", 2)
  end
  local want, seen = math.max(1, math.ceil(q * self.count)), self.under
  if self.count == 0 or seen >= want then
    return 0
  end
  for _, bucket in ipairs(sorted(self)) do
    seen = seen + bucket[2]
    if seen >= want then
      return (lower(bucket[1]) + lower(bucket[1] + 1)) / 2
    end
  end
  return math.huge
end

--- The mean of those counted.
-- @treturn number 0 if nothing was counted
function Histogram:mean()
  return self.count > 0 and self.sum / self.count or 0
end

--- About the largest: the end of the last bucket that has something.
-- @treturn number 0 if nothing was counted
function Histogram:max()
  if self.over > 0 then
    return math.huge
  end
  local list = sorted(self)
  local last = list[#list]
  return last and lower(last[1] + 1) or 0
end

--- The buckets that are not empty, in order.
-- @treturn {table,...} of {from=, to=, count=}: from <= value < to
function Histogram:buckets()
  local out = {}
  if self.under > 0 then
    out[1] = {from = 0, to = 2 ^ LOW, count = self.under}
  end
  for _, bucket in ipairs(sorted(self)) do
    out[#out + 1] = {from = lower(bucket[1]), to = lower(bucket[1] + 1), count = bucket[2]}
  end
  if self.over > 0 then
    out[#out + 1] = {from = 2 ^ (LOW + OCTAVES), to = math.huge, count = self.over}
  end
  return out
end

--- How many were at most each bound: of a histogram of your own with the `buckets` that it was
-- given, else with powers of four.
-- @treturn {table,...} of {bound, count}, ascending; those above the last are missing
function Histogram:cumulative()
  local out, seen = {}, 0
  if self.exact then
    for i, pair in ipairs(self.exact) do
      seen = seen + pair[2]
      out[i] = {pair[1], seen}
    end
    return out
  end
  seen = self.under
  local list, at = sorted(self), 1
  for exponent = -20, 6, 2 do
    while list[at] and lower(list[at][1]) < 2 ^ exponent do
      seen = seen + list[at][2]
      at = at + 1
    end
    out[#out + 1] = {2 ^ exponent, seen}
  end
  return out
end

function Histogram:__tostring()
  return ("ringlet.metrics.histogram: %d values, mean %.3g, p99 %.3g"):format(self.count,
    self:mean(), self:quantile(0.99))
end

return M
