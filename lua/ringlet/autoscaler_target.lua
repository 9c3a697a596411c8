-- SPDX-License-Identifier: MIT
-- autoscaler_target: the policy "target": the size at which each metric would be at its target, as
-- the Kubernetes Horizontal Pod Autoscaler computes it.
--
-- The source is "Algorithm details" of the Kubernetes documentation of the autoscaler. What it says
-- of single pods (missing, unready) has no counterpart here: a metric is one number for the whole.
--
-- Invariants: `highest` and `lowest` are the recommendations of the last `down` and `up` seconds
-- that can still be the extreme one: each is strictly better than what came later.

local window = require "ringlet.autoscaler_window"

local M = {}

M.TOLERANCE = 0.1
M.DOWN, M.UP = 300, 0
-- A product such as 10 * (0.84 / 0.7) may come out above the whole number it should be.
local ROUNDING = 1e-9

-- ---- the best of the last `span` seconds --------------------------------------------------------

local function best_of(span, is_better)
  return {span = span, is_better = is_better, head = 1, tail = 0}
end

-- The best of v and what was recommended within the span; remembers v.
local function recommend(best, now, v)
  while best.head <= best.tail and best[best.head].t <= now - best.span + window.SLACK do
    best[best.head] = nil
    best.head = best.head + 1
  end
  while best.head <= best.tail and not best.is_better(best[best.tail].v, v) do
    best[best.tail] = nil
    best.tail = best.tail - 1
  end
  best.tail = best.tail + 1
  best[best.tail] = {t = now, v = v}
  return best[best.head].v
end

local function is_higher(a, b)
  return a > b
end

local function is_lower(a, b)
  return a < b
end

-- ---- the policy --------------------------------------------------------------------------------

local function by_name(a, b)
  return a.name < b.name
end

--- Forget what was recommended: the next size it is asked about is the first.
function M.restart(policy)
  policy.begun = false
  policy.highest = best_of(policy.spans.down, is_higher)
  policy.lowest = best_of(policy.spans.up, is_lower)
end

--- A policy.
-- @tparam table targets name = what the metric should be
-- @tparam number tolerance
-- @tparam table spans {up = seconds, down = seconds} of stabilization
function M.new(targets, tolerance, spans)
  local list = {}
  for name, target in pairs(targets) do
    list[#list + 1] = {name = name, target = target}
  end
  table.sort(list, by_name)
  local policy = {list = list, tolerance = tolerance, spans = spans}
  M.restart(policy)
  return policy
end

local function size_for(size, ratio, tolerance)
  if ratio >= 1 - tolerance - ROUNDING and ratio <= 1 + tolerance + ROUNDING then
    return size
  end
  return math.ceil(size * ratio * (ratio > 0 and 1 - ROUNDING or 1 + ROUNDING))
end

-- The largest size that any metric asks for, and why. When one is missing, it might have asked for
-- more than the others do: nothing below the present size is believed then.
local function raw(policy, size, metrics)
  local most, why, missing
  for _, one in ipairs(policy.list) do
    local v = metrics[one.name]
    if v == nil then
      missing = one.name
    else
      local wanted = size_for(size, v / one.target, policy.tolerance)
      if not most or wanted > most then
        most, why = wanted, ("%s %g, target %g"):format(one.name, v, one.target)
      end
    end
  end
  if missing and (not most or most < size) then
    return size, missing .. " is missing"
  end
  return most, why
end

--- The size the policy wants: between the lowest of `up` and the highest of `down` seconds.
-- @tparam integer size present one, more than 0
-- @tparam table metrics name = number
-- @tparam fun(n:number):integer clamp to the bounds
-- @treturn integer size
-- @treturn number what the metrics alone want
-- @treturn string why
function M.desire(policy, now, size, metrics, clamp)
  if not policy.begun then
    policy.begun = true
    recommend(policy.highest, now, size)
    recommend(policy.lowest, now, size)
  end
  local wanted, why = raw(policy, size, metrics)
  local allowed = clamp(wanted)
  local most = recommend(policy.highest, now, allowed)
  local least = recommend(policy.lowest, now, allowed)
  if size < least then
    return least, wanted, why
  elseif size > most then
    return most, wanted, why
  end
  return size, wanted, why
end

return M
