-- SPDX-License-Identifier: MIT
-- What the reports make of the values of several rounds: medians, quartiles, ratios. Values come as
-- {[round] = value}.

local M = {}

local function sorted_values(by_round)
  local values = {}
  for _, value in pairs(by_round or {}) do values[#values + 1] = value end
  table.sort(values)
  return values
end

-- Linear interpolation between closest ranks.
local function quantile(sorted, q)
  local position = 1 + (#sorted - 1) * q
  local low = math.floor(position)
  local high = math.min(low + 1, #sorted)
  return sorted[low] + (sorted[high] - sorted[low]) * (position - low)
end

--- {median=, q1=, q3=, n=}, nil of nothing.
function M.summary(by_round)
  local values = sorted_values(by_round)
  if #values == 0 then return nil end
  return { median = quantile(values, 0.5), q1 = quantile(values, 0.25),
           q3 = quantile(values, 0.75), n = #values }
end

--- The same of the subject's part of the peer's value: the ratio of the medians, and the quartiles
-- of the ratios within one round.
function M.ratio(subject, peer)
  local by_round = {}
  for round, value in pairs(subject or {}) do
    if peer and peer[round] then by_round[round] = value / peer[round] end
  end
  local ratios = M.summary(by_round)
  if not ratios then return nil end
  ratios.median = M.summary(subject).median / M.summary(peer).median
  return ratios
end

--- A number as people read it.
function M.number(value)
  if value >= 1000 then return (string.format("%.0f", value)) end
  return (string.format(value >= 100 and "%.0f" or value >= 10 and "%.1f" or "%.3g", value))
end

function M.with_spread(s)
  return string.format("%s [%s-%s]", M.number(s.median), M.number(s.q1), M.number(s.q3))
end

return M
