-- SPDX-License-Identifier: MIT
local rl = require "ringlet"
local H = require "spec.helper"
local S = require "spec.scaling"

local new_target, by_hand, drive = S.new_target, S.by_hand, S.drive

H.sim("the policy \"target\"", function(it)
  local NOW = {stabilization = {down = 0}}

  local function with(opts)
    local all = {policy = "target"}
    for k, v in pairs(opts) do all[k] = v end
    return all
  end

  it("is ceil(size * metric / target), nothing within the tolerance, in min to max", function()
    local nan = 0 / 0
    for i, case in ipairs{
      -- size, targets, metrics, wanted, and other options
      {2, {cpu = 100}, {cpu = 200}, 4},
      {4, {cpu = 100}, {cpu = 50}, 2},
      {3, {cpu = 0.5}, {cpu = 0.6}, 4},
      {10, {cpu = 0.7}, {cpu = 0.84}, 12},
      {2, {cpu = 0.6}, {cpu = 2.1}, 7}, -- 7.0000000000000009 without care
      {20, {cpu = 0.8}, {cpu = 0.72}, 20}, -- a ratio of 0.89999999999999991
      {3, {cpu = 0.6}, {cpu = 0.9}, 5},
      {5, {cpu = 0.6}, {cpu = 0.31}, 3},
      {5, {cpu = 0.6}, {cpu = 0.3}, 3},
      {10, {cpu = 100}, {cpu = 110}, 10}, -- the tolerance's edges belong to it
      {10, {cpu = 100}, {cpu = 110.1}, 12},
      {10, {cpu = 100}, {cpu = 90}, 10},
      {10, {cpu = 100}, {cpu = 89.9}, 9},
      {10, {cpu = 0.7}, {cpu = 0.77}, 10},
      {10, {cpu = 100}, {cpu = 104}, 10},
      {10, {cpu = 100}, {cpu = 104}, 11, {tolerance = 0}},
      {10, {cpu = 100}, {cpu = 130}, 10, {tolerance = 0.3}},
      {10, {cpu = 100}, {cpu = 100}, 10, {tolerance = 0}},
      {10, {cpu = 100}, {cpu = 1000}, 20, {max = 20}},
      {10, {cpu = 100}, {cpu = math.huge}, 20, {max = 20}},
      {10, {cpu = 100}, {cpu = 1}, 3, {min = 3}},
      {10, {cpu = 100}, {cpu = 0}, 1},
      {10, {cpu = 100}, {cpu = 0}, 0, {min = 0}},
      {0, {cpu = 100}, {cpu = 500}, 0, {min = 0}},
      {0, {cpu = 100}, {cpu = math.huge}, 0, {min = 0}},
      {4, {cpu = 100, queue = 10}, {cpu = 50, queue = 30}, 12}, -- the largest wins
      {4, {cpu = 100, queue = 10}, {cpu = 50, queue = 5}, 2},
      {4, {cpu = 100, queue = 10}, {cpu = 50, queue = 10}, 4},
      {4, {cpu = 100, queue = 10}, {cpu = 50}, 4}, -- one is missing: not down, but up
      {4, {cpu = 100, queue = 10}, {cpu = 50, queue = nan}, 4},
      {4, {cpu = 100, queue = 10}, {cpu = 200}, 8},
      {4, {cpu = 100, queue = 10}, {queue = 20}, 8},
      {4, {cpu = 100, queue = 10}, {}, 4},
      {4, {cpu = 100}, {cpu = nan}, 4},
      {4, {cpu = 100}, {other = 1000}, 4},
    } do
      local opts = with{targets = case[2], stabilization = NOW.stabilization}
      for k, v in pairs(case[5] or {}) do opts[k] = v end
      local a, target = by_hand(case[1], opts)
      a:evaluate(case[3])
      assert.equal(case[4], target.n, "case " .. i)
    end
  end)

  it("shrinks to the highest of the last 300 s: after 299.9 s not, after 300 s", function()
    local a, target = by_hand(10, with{targets = {cpu = 100}})
    a:evaluate{cpu = 50}
    rl.sleep(299.9)
    a:evaluate{cpu = 50}
    assert.equal(10, target.n)
    rl.sleep(0.1)
    a:evaluate{cpu = 50}
    assert.equal(5, target.n)
  end)

  it("shrinks by steps as the peaks leave the window", function()
    local a, target = by_hand(10, with{targets = {cpu = 10}, stabilization = {down = 10}})
    local wanted = {10, 8, 3, 6, 2, 4, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}
    local log = {}
    for i, n in ipairs(wanted) do
      a:evaluate{cpu = n / target.n * 10}
      log[i] = target.n
      rl.sleep(1)
    end
    assert.same({10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 8, 6, 6, 4, 4, 1, 1, 1}, log)
  end)

  it("grows at once by default, and with `up` to the lowest of the window", function()
    local a, target = by_hand(2, with{targets = {cpu = 10}})
    a:evaluate{cpu = 20}
    assert.equal(4, target.n)
    local b, other = by_hand(2, with{targets = {cpu = 10}, stabilization = {up = 5}})
    local log = {}
    for i, n in ipairs{4, 8, 6, 7, 9, 9, 9, 9} do
      b:evaluate{cpu = n / other.n * 10}
      log[i] = other.n
      rl.sleep(1)
    end
    assert.same({2, 2, 2, 2, 2, 6, 6, 7}, log)
  end)

  it("does not shrink when the metrics come back after a silence", function()
    local a, target = by_hand(10, with{targets = {cpu = 10}, stabilization = {down = 5}})
    drive(a, 20, function() return {} end)
    a:evaluate{cpu = 1}
    assert.equal(10, target.n)
    rl.sleep(5)
    a:evaluate{cpu = 1}
    assert.equal(1, target.n)
  end)

  it("begins anew with a start: what was wanted before a stop is forgotten", function()
    local target = new_target(10)
    target.now = {cpu = 10}
    local a = rl.autoscaler(with{target = target, max = 20, targets = {cpu = 10}})
    rl.sleep(400)
    a:stop()
    target.now, target.n = {cpu = 5}, 8
    rl.sleep(400)
    a:start()
    rl.sleep(290)
    assert.same({}, target.asked)
    rl.sleep(20)
    assert.same({4}, target.asked)
    a:stop()
  end)

  it("keeps to the cooldown", function()
    local a, target = by_hand(2, with{targets = {cpu = 10}, cooldown = 10})
    a:evaluate{cpu = 20}
    rl.sleep(9.9)
    a:evaluate{cpu = 20}
    assert.equal(4, target.n)
    rl.sleep(0.1)
    local event = a:evaluate{cpu = 20}
    assert.equal(8, target.n)
    assert.equal("up 4 -> 8: target (cpu 20, target 10)", tostring(event))
    assert.equal(1, a:stats().blocked_up)
  end)

  it("counts when a bound kept the size, and calls actions", function()
    local called = 0
    local a = by_hand(4, with{targets = {cpu = 10}, max = 4, rules = {
      {metric = "cpu", above = 90, action = function() called = called + 1 end},
    }})
    a:evaluate{cpu = 100}
    assert.equal(1, a:stats().limited)
    assert.equal(1, called)
  end)

  it("follows a day without swinging", function()
    local a, target = by_hand(2, with{targets = {cpu = 0.6}, max = 50})
    local turns, last = 0, nil
    for minute = 0, 24 * 60, H.torture and 20 or 1 do
      local load = 10 + 8 * math.sin(minute / 1440 * 2 * math.pi)
      local event = a:evaluate{cpu = load / target.n}
      if event then
        turns = turns + (last and last ~= event.kind and 1 or 0)
        last = event.kind
      end
      assert.is_true(load / target.n <= 0.6 * 1.1 + 1e-9)
      rl.sleep(H.torture and 1200 or 60)
    end
    assert.is_true(turns <= 2, "turns: " .. turns)
  end)
end)
