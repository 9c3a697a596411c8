-- SPDX-License-Identifier: MIT
-- Counters, gauges and histograms of the program's own: series, labels, limits, misuse; quantiles.
local H = require "spec.helper"
local metrics = require "ringlet.metrics"
local rl = require "ringlet"

describe("a counter", function()
  it("counts, and is the same when asked for again", function()
    local c = metrics.counter("user_hits_total", {help = "Hits."})
    c:add()
    c:add(2.5)
    assert.equal(3.5, c:value())
    assert.equal(c, metrics.counter("user_hits_total", {help = "Hits."}))
    assert.equal(3.5, metrics.read {"user_hits_total"} .user_hits_total)
    assert.equal("ringlet.metrics.family: counter user_hits_total, 1 series", tostring(c))
    H.raises_text("a counter only goes up", c.add, c, -1)
    H.raises_text("only a gauge goes down", c.sub, c, 1)
    H.raises_text("only a gauge is set", c.set, c, 1)
    H.raises_text("only a histogram observes", c.observe, c, 1)
    H.raises_text("a number expected, got x", c.add, c, "x")
    H.raises_text("a number expected, got ", c.add, c, 0 / 0)
  end)

  it("that is another by the same name is refused, at the caller's line", function()
    metrics.counter("user_one_total", {help = "One."})
    for _, make in ipairs {
      function() metrics.gauge("user_one_total", {help = "One."}) end,
      function() metrics.counter("user_one_total", {help = "Two."}) end,
      function() metrics.counter("user_one_total", {help = "One.", labels = {"a"}}) end,
    } do
      assert.matches("^spec/metrics_user_spec.lua:%d+: the metric 'user_one_total' exists",
        H.raises(make))
    end
  end)

  it("is not called what no scraper takes", function()
    for _, name in ipairs {"", "1a", "a-b", "a b", "gr\195\188n"} do
      H.raises_text("the name of a metric is of letters", metrics.counter, name)
    end
    H.raises_text("the library's", metrics.counter, "ringlet_tasks")
    for _, label in ipairs {"", "__name", "le", "shard", "a-b", 1} do
      H.raises_text("is no name for a label", metrics.counter, "user_bad_total", {labels = {label}})
    end
    H.raises_text("unknown option 'label'", metrics.counter, "user_bad_total", {label = "a"})
  end)
end)

describe("series", function()
  it("are by the values of the labels, in order or by name", function()
    local c = metrics.counter("user_by_total", {labels = {"kind", "code"}})
    c:with("a", 1):add()
    c:with{kind = "a", code = "1"}:add()
    c:with("a", 2):add(5)
    assert.equal(2, c:with("a", "1"):value())
    assert.equal(2, c.count)
    assert.equal('ringlet.metrics.series: user_by_total{code="2",kind="a"} = 5',
      tostring(c:with("a", 2)))
    H.raises_text("has the label 'code', which is missing", c.with, c, "a")
    H.raises_text("has no label '3'", c.with, c, "a", 1, 2)
    H.raises_text("has no label 'more'", c.with, c, {kind = "a", code = 1, more = 2})
  end)

  it("beyond the limit are counted together", function()
    local c = metrics.counter("user_many_total", {labels = {"id"}, max = 10})
    for i = 1, 1000 do
      c:with(i):add()
    end
    assert.equal(11, c.count)
    assert.equal(1, c:with(10):value())
    assert.equal(990, c:with("other"):value())
    assert.equal(1000, metrics.read {"user_many_total"} .user_many_total)
  end)

  it("that were removed are not shown, and keep their number", function()
    local c = metrics.counter("user_gone_total", {labels = {"id"}})
    local read = function() return metrics.read {"user_gone_total"} .user_gone_total end
    c:with(1):add(3)
    c:with(2):add(4)
    c:remove(1)
    c:remove(9)
    assert.equal(4, read())
    c:with(1):add(1)
    assert.equal(8, read())
  end)

  it("of gauges are set, and go both ways", function()
    local g = metrics.gauge("user_level", {labels = {"tank"}}):with "a"
    g:set(5)
    g:add(2)
    g:sub(10)
    g:sub()
    assert.equal(-4, g:value())
    H.raises_text("a number expected, got nil", g.set, g)
  end)
end)

describe("a histogram", function()
  it("has exact buckets, mean and quantiles", function()
    local h = metrics.histogram("user_took", {buckets = {1, 10, 100}})
    for i = 1, 100 do
      h:observe(i)
    end
    h:observe(1000)
    local v = h:value()
    assert.same({{1, 1}, {10, 10}, {100, 100}}, v:cumulative())
    assert.equal(101, v.count)
    assert.equal(6050, v.sum)
    assert.equal(6050 / 101, v:mean())
    for q, exact in pairs {[0.01] = 2, [0.5] = 51, [0.9] = 91, [0.98] = 99, [1] = 1000} do
      assert.is_true(math.abs(v:quantile(q) - exact) <= exact * 0.016, q)
    end
    assert.is_true(v:max() >= 1000 and v:max() < 1032)
    H.raises_text("from 0 to 1", v.quantile, v, 2)
    H.raises_text("it has no number to add to", h.add, h, 1)
    H.raises_text("ascending", metrics.histogram, "user_bad", {buckets = {1, 1}})
  end)

  it("is a value of its own when it was read", function()
    local h = metrics.histogram("user_then")
    h:observe(1)
    local was = h:value()
    h:observe(2)
    assert.equal(1, was.count)
    assert.equal(0, metrics.histogram("user_none"):value():quantile(0.5))
  end)

  it("has quantiles within 2 % of the sorted list, whatever is counted", function()
    math.randomseed(7)
    for round = 1, 50 do
      local h = metrics.histogram("user_random", {labels = {"round"}}):with(round)
      local list = {}
      for i = 1, 200 do
        list[i] = math.exp(math.random() * 30 - 15)
        h:observe(list[i])
      end
      table.sort(list)
      local v = h:value()
      for p = 1, 100 do
        local exact = list[math.ceil(p / 100 * 200)]
        assert.is_true(math.abs(v:quantile(p / 100) - exact) <= 0.02 * exact,
          ("seed 7, round %d, p %d"):format(round, p))
      end
      local seen = 0
      for _, bucket in ipairs(v:buckets()) do
        assert.is_true(bucket.from < bucket.to)
        seen = seen + bucket.count
      end
      assert.equal(200, seen)
    end
  end)
end)

H.both("series", function(it)
  it("measure how long a function takes, also when it raises", function()
    local h = metrics.histogram("user_timed_seconds", {labels = {"backend"}}):with(rl.now())
    assert.same({n = 2, 1, 2}, H.pack(h:time(function() rl.sleep(0.01) return 1, 2 end)))
    assert.equal("no", H.raises(h.time, h, function() error("no", 0) end))
    local v = h:value()
    assert.equal(2, v.count)
    assert.is_true(v.sum >= 0.01)
  end)
end)
