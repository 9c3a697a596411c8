-- SPDX-License-Identifier: MIT
-- scaling: what the specs of the autoscaler share: something to scale, evaluations by hand.
local rl = require "ringlet"

local M = {}

-- A target of `n`, which keeps what it was asked for. `refuse` makes it say no.
function M.new_target(n)
  local target = {n = n, asked = {}, now = {}}
  function target:size()
    return self.n
  end
  function target:resize(to)
    self.asked[#self.asked + 1] = to
    if self.refuse then
      return nil, "EBUSY: not now", "EBUSY"
    end
    self.n = to
    return true
  end
  function target:metrics()
    return self.now
  end
  return target
end

-- An autoscaler that is driven by hand, over a target of `size`.
function M.by_hand(size, opts)
  local target = M.new_target(size)
  local all = {target = target, max = 100, start = false}
  for k, v in pairs(opts) do all[k] = v end
  return rl.autoscaler(all), target
end

-- Evaluate with each of the metrics, a second apart; the sizes after each.
function M.sizes(a, target, series)
  local out = {}
  for i, metrics in ipairs(series) do
    a:evaluate(metrics)
    out[i] = target.n
    rl.sleep(1)
  end
  return out
end

-- Evaluate once a second for so long, with the metrics that fn gives for each second.
function M.drive(a, seconds, fn)
  for i = 1, seconds do
    a:evaluate(fn(i))
    rl.sleep(1)
  end
end

-- The options of one rule.
function M.rule(fields)
  return {rules = {fields}}
end

M.UP = {metric = "cpu", above = 0.8, step = 1}
M.DOWN = {metric = "cpu", below = 0.3, step = -1}

return M
