-- SPDX-License-Identifier: MIT
local rl = require "ringlet"
local H = require "spec.helper"
local S = require "spec.scaling"

local by_hand, sizes, drive, rule, UP, DOWN = S.by_hand, S.sizes, S.drive, S.rule, S.UP, S.DOWN

H.sim("a condition", function(it)
  it("has to hold for the whole time: 59.9 s no, 60 s yes, alone or 2 of 3 or all", function()
    local low = {cpu = 0.85, queue = 1000, p95 = 2}
    local high = {cpu = 0.86, queue = 1001, p95 = 2.1}
    for quorum = 1, 3 do
      for bits = 0, 7 do
        local metrics, n = {}, 0
        for i, name in ipairs{"cpu", "queue", "p95"} do
          local is_high = math.floor(bits / 2 ^ (i - 1)) % 2 == 1
          metrics[name] = (is_high and high or low)[name]
          n = n + (is_high and 1 or 0)
        end
        local a, target = by_hand(1, rule{quorum = quorum, step = 1, of = {
          {metric = "cpu", above = 0.85, ["for"] = 60},
          {metric = "queue", above = 1000, ["for"] = 60},
          {metric = "p95", above = 2, ["for"] = 60},
        }})
        a:evaluate(metrics)
        rl.sleep(59.9)
        a:evaluate(metrics)
        assert.equal(1, target.n)
        rl.sleep(0.1)
        a:evaluate(metrics)
        assert.equal(n >= quorum and 2 or 1, target.n, ("%d of 3, bits %d"):format(quorum, bits))
      end
    end
  end)

  it("that pauses for one evaluation begins anew", function()
    local a, target = by_hand(1, rule{metric = "cpu", above = 0.85, ["for"] = 60, step = 1})
    drive(a, 59, function() return {cpu = 0.9} end)
    a:evaluate{cpu = 0.85}
    drive(a, 60, function() return {cpu = 0.9} end)
    assert.equal(1, target.n)
    a:evaluate{cpu = 0.9}
    assert.equal(2, target.n)
  end)

  it("is strict", function()
    local a, target = by_hand(5, {rules = {UP, DOWN}})
    local series = {{cpu = 0.8}, {cpu = 0.3}, {cpu = 0.8 + 1e-12}, {cpu = 0.3 - 1e-12}}
    assert.same({5, 5, 6, 5}, sizes(a, target, series))
  end)

  it("begins anew after a resize, whichever rule it was", function()
    local a, target = by_hand(1, {rules = {
      {metric = "cpu", above = 0.85, ["for"] = 10, step = 1},
      {metric = "queue", above = 5, step = 1},
    }})
    drive(a, 10, function() return {cpu = 0.9, queue = 0} end)
    a:evaluate{queue = 6, cpu = 0.9}
    assert.equal(2, target.n)
    drive(a, 10, function() return {cpu = 0.9, queue = 0} end)
    assert.equal(2, target.n)
    rl.sleep(1)
    a:evaluate{cpu = 0.9}
    assert.equal(3, target.n)
  end)

  it("begins anew inside a quorum, too", function()
    local a, target = by_hand(1, rule{quorum = 1, step = 1, of = {
      {metric = "x", above = 0, ["for"] = 2}, {metric = "y", above = 0, window = 2},
    }})
    local x, y = {x = 1}, {y = 1}
    assert.same({1, 1, 2, 2, 2, 3}, sizes(a, target, {x, x, x, x, x, x}))
    assert.same({3, 3, 4, 4, 4, 5}, sizes(a, target, {y, y, y, y, y, y}))
  end)

  it("may be a quorum of quorums, and has a time of its own", function()
    local a, target = by_hand(1, rule{quorum = 2, step = 1, ["for"] = 2, of = {
      {metric = "a", above = 0},
      {quorum = 1, of = {{metric = "b", above = 0}, {metric = "c", above = 0}}},
    }})
    local hold = {a = 1, c = 1}
    local series = {{a = 1}, {b = 1, c = 1}, hold, {a = 1, b = 0}, hold, hold}
    assert.same({1, 1, 1, 1, 1, 1}, sizes(a, target, series))
    a:evaluate(hold)
    assert.equal(2, target.n)
  end)

  it("does not hold while its metric is missing or not a number", function()
    local a, target = by_hand(5, {rules = {
      {metric = "cpu", above = -math.huge, ["for"] = 2, step = 1},
      {metric = "cpu", below = math.huge, ["for"] = 2, step = -1},
    }})
    local fine = {cpu = 1}
    for _, hole in ipairs{{}, {cpu = 0 / 0}, {cpu = "1"}, {cpu = true}} do
      assert.same({5, 5, 5, 5}, sizes(a, target, {fine, fine, hole, fine}))
      a:evaluate{}
    end
    assert.same({5, 5, 6}, sizes(a, target, {fine, fine, fine}))
  end)
end)

H.sim("a window", function(it)
  local MEAN = rule{metric = "cpu", above = 0.75, window = 60, step = 1}

  it("of a minute is not moved by 10 s at 100 %", function()
    local a, target = by_hand(1, MEAN)
    drive(a, 300, function(i) return {cpu = i > 100 and i <= 110 and 1 or 0.5} end)
    assert.equal(1, target.n)
  end)

  it("of a minute sees steady 76 %, and not 75 %", function()
    local a, target = by_hand(1, MEAN)
    drive(a, 61, function() return {cpu = 0.75} end)
    assert.equal(1, target.n)
    local b, other = by_hand(1, MEAN)
    drive(b, 60, function() return {cpu = 0.76} end)
    assert.equal(1, other.n)
    b:evaluate{cpu = 0.76}
    assert.equal(2, other.n)
  end)

  it("has no mean before it is full: 59.9 s no, 60 s yes", function()
    local a, target = by_hand(1, MEAN)
    a:evaluate{cpu = 1}
    rl.sleep(59.9)
    a:evaluate{cpu = 1}
    assert.equal(1, target.n)
    rl.sleep(0.1)
    a:evaluate{cpu = 1}
    assert.equal(2, target.n)
  end)

  it("is the mean of exactly its samples", function()
    local a, target = by_hand(1, rule{metric = "x", above = 2, window = 3, step = 1})
    local series = {{x = 100}, {x = 1}, {x = 2}, {x = 3}, {x = 1}, {x = 2.1}, {x = 3.1}}
    assert.same({1, 1, 1, 1, 1, 2, 2}, sizes(a, target, series))
  end)

  it("begins anew where a sample is missing, and after a resize", function()
    local a, target = by_hand(1, rule{metric = "x", above = 0, window = 3, step = 1})
    local x = {x = 1}
    assert.same({1, 1, 1, 1, 1, 1, 1, 2}, sizes(a, target, {x, x, x, {}, x, x, x, x}))
    assert.same({2, 2, 2, 3}, sizes(a, target, {x, x, x, x}))
  end)

  it("of five minutes shrinks on few requests", function()
    local a, target = by_hand(4, rule{metric = "qps", below = 10, window = 300, step = -1})
    drive(a, 300, function(i) return {qps = i == 150 and 100 or 9} end)
    assert.equal(4, target.n)
    a:evaluate{qps = 9}
    assert.equal(3, target.n)
  end)

  it("keeps a thousand samples at most, however often it is fed, and their mean", function()
    local window = require "ringlet.autoscaler_window"
    local w = window.new(10)
    for i = 0, 40000 do
      w:add(i / 1000, i)
    end
    assert.is_true(w:full(40))
    assert.is_true(w.tail - w.head < 1001)
    assert.near(35000, w:mean(), 20)
    assert.equal(1, w:trend())
  end)
end)

H.sim("a trend", function(it)
  local GROWING = rule{metric = "queue", above = 1000, trend = "growing", window = 10, step = 2}

  it("queue above 1000 and growing: two more", function()
    local a, target = by_hand(1, GROWING)
    drive(a, 11, function(i) return {queue = 900 + 10 * i} end)
    assert.equal(3, target.n)
  end)

  it("wants both: large and not growing is no reason, growing and not large neither", function()
    for _, fn in ipairs{
      function() return {queue = 5000} end, function(i) return {queue = 5000 - i} end,
      function(i) return {queue = i} end, function() return {queue = 0.1 + 0.2} end,
    } do
      local a, target = by_hand(1, GROWING)
      drive(a, 40, fn)
      assert.equal(1, target.n)
    end
  end)

  it("is that of the least-squares line: one outlier at the end does not turn it", function()
    local a, target = by_hand(1, GROWING)
    drive(a, 10, function(i) return {queue = 9000 - 500 * i} end)
    a:evaluate{queue = 4600}
    assert.equal(1, target.n)
    local b, other = by_hand(1, GROWING)
    drive(b, 10, function(i) return {queue = 2000 + 500 * i} end)
    b:evaluate{queue = 6000}
    assert.equal(3, other.n)
  end)

  it("may shrink, and stand alone", function()
    local opts = rule{metric = "queue", trend = "shrinking", window = 5, step = -1}
    local a, target = by_hand(3, opts)
    drive(a, 20, function() return {queue = 7} end)
    drive(a, 3, function(i) return {queue = 7 - i} end)
    assert.equal(2, target.n)
  end)

  it("does not see rounding", function()
    local window = require "ringlet.autoscaler_window"
    for _, v in ipairs{0, 0.1, 1 / 3, 1e300, -7.7} do
      local w = window.new(1)
      for i = 0, 5000 do
        w:add(i / 3000, v)
      end
      assert.equal(0, w:trend())
    end
  end)
end)
