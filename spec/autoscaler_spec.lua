-- SPDX-License-Identifier: MIT
local rl = require "ringlet"
local H = require "spec.helper"
local S = require "spec.scaling"

local HERE = "spec/autoscaler_spec.lua:"

local new_target, by_hand, sizes, drive = S.new_target, S.by_hand, S.sizes, S.drive
local rule, UP, DOWN = S.rule, S.UP, S.DOWN

local function kinds(a)
  local out = {}
  for i, event in ipairs(a:history()) do
    out[i] = event.kind
  end
  return out
end

H.sim("a decision", function(it)
  it("is the largest step, and up goes before down", function()
    for _, case in ipairs{
      {{1, 3, 2}, 13}, {{-1, -3, -2}, 7}, {{-5, 1}, 11}, {{1, -5, 2}, 12}, {{-1}, 9},
    } do
      local rules = {}
      for i, step in ipairs(case[1]) do
        rules[i] = {metric = "x", above = 0, step = step}
      end
      local a, target = by_hand(10, {rules = rules})
      a:evaluate{x = 1}
      assert.equal(case[2], target.n)
      assert.equal(1, #target.asked)
    end
  end)

  it("with a quorum needs as many rules of its direction", function()
    local a, target = by_hand(5, {quorum = 2, rules = {
      {metric = "a", above = 0, step = 1}, {metric = "b", above = 0, step = 2},
      {metric = "c", above = 0, step = -1}, {metric = "d", above = 0, step = -1},
    }})
    a:evaluate{a = 1, c = 1}
    assert.equal(5, target.n)
    a:evaluate{a = 1, c = 1, d = 1}
    assert.equal(4, target.n)
    a:evaluate{a = 1, b = 1, c = 1, d = 1}
    assert.equal(6, target.n)
  end)

  it("asks `to` for the size", function()
    local a, target = by_hand(3, rule{metric = "x", above = 0, to = function(n) return n * 2 end})
    a:evaluate{x = 1}
    assert.equal(6, target.n)
    assert.equal("up", a:history()[1].kind)
  end)

  it("stays between min and max, and counts when they kept the size", function()
    local a, target = by_hand(4, {min = 2, max = 5, rules = {
      {metric = "x", above = 0, step = 3}, {metric = "x", below = 0, step = -3},
    }})
    local up, down = {x = 1}, {x = -1}
    assert.same({5, 5, 2, 2, 2}, sizes(a, target, {up, up, down, down, down}))
    assert.equal(3, a:stats().limited)
    assert.same({5, 2}, target.asked)
  end)

  it("never goes below 1 by default", function()
    local a, target = by_hand(1, {rules = {DOWN}})
    a:evaluate{cpu = 0}
    assert.equal(1, target.n)
  end)

  it("brings back a size that somebody put outside, during a cooldown too", function()
    local a, target = by_hand(4, {min = 2, max = 5, cooldown = 1000, rules = {UP}})
    a:evaluate{cpu = 1}
    target.n = 9
    local event = a:evaluate{}
    assert.same({"bounds", "down", 9, 5}, {event.rule, event.kind, event.from, event.to})
    target.n = 0
    a:evaluate{}
    assert.equal(2, target.n)
  end)
end)

H.sim("the cooldown", function(it)
  it("blocks until exactly its end, and what is blocked is counted", function()
    local a, target = by_hand(1, {cooldown = 30, rules = {UP, DOWN}})
    a:evaluate{cpu = 1}
    rl.sleep(29.9)
    a:evaluate{cpu = 1}
    a:evaluate{cpu = 0}
    assert.equal(2, target.n)
    rl.sleep(0.1)
    a:evaluate{cpu = 1}
    assert.equal(3, target.n)
    local stats = a:stats()
    assert.same({1, 1, 2}, {stats.blocked_up, stats.blocked_down, stats.ups})
  end)

  it("differs for up and down, and both count from the last resize of any kind", function()
    local a, target = by_hand(5, {cooldown = {up = 10, down = 20}, rules = {UP, DOWN}})
    local log = {}
    drive(a, 60, function(i)
      log[i] = target.n
      return {cpu = i <= 25 and 1 or 0}
    end)
    -- up after 0, 10 and 20 s, down after 40 s
    assert.same({5, 6, 6, 7, 7, 8, 8, 7},
      {log[1], log[2], log[11], log[12], log[21], log[22], log[41], log[42]})
    assert.equal(7, target.n)
  end)

  it("of one direction alone leaves the other free", function()
    local a, target = by_hand(5, {cooldown = {down = 100}, rules = {UP, DOWN}})
    local up, down = {cpu = 1}, {cpu = 0}
    assert.same({6, 7, 7, 8}, sizes(a, target, {up, up, down, up}))
  end)

  it("is not begun by a resize that was refused", function()
    local a, target = by_hand(1, {cooldown = 100, rules = {UP}})
    target.refuse = true
    a:evaluate{cpu = 1}
    target.refuse = nil
    rl.sleep(1)
    a:evaluate{cpu = 1}
    assert.equal(2, target.n)
  end)
end)

H.sim("the articles' examples", function(it)
  it("p95 above 2 s opens a breaker, once each time", function()
    local opened = {}
    local a, target = by_hand(3, rule{
      name = "slow", metric = "p95", above = 2,
      action = function(event) opened[#opened + 1] = event end,
    })
    drive(a, 10, function(i) return {p95 = (i > 2 and i < 5 or i > 7) and 2.5 or 2} end)
    assert.equal(2, #opened)
    assert.same({"action", "slow", 3, 3, 2.5},
      {opened[1].kind, opened[1].rule, opened[1].from, opened[1].to, opened[1].metrics.p95})
    assert.same({}, target.asked)
    assert.equal(2, a:stats().actions)
  end)

  it("an action is not called again because of a resize", function()
    local calls = 0
    local a = by_hand(1, {rules = {
      {metric = "p95", above = 2, action = function() calls = calls + 1 end},
      {metric = "p95", above = 2, step = 1},
    }})
    drive(a, 5, function() return {p95 = 3} end)
    assert.equal(1, calls)
    assert.equal(5, a:stats().ups)
    calls = 0
    a = by_hand(1, {cooldown = 3, rules = {
      {metric = "p95", above = 2, ["for"] = 2, action = function() calls = calls + 1 end},
      {metric = "p95", above = 2, step = 1},
    }})
    drive(a, 10, function() return {p95 = 3} end)
    assert.equal(1, calls)
    assert.equal(4, a:stats().ups)
  end)

  it("active above 80 % grows, below 30 % shrinks, and in between an hour is quiet", function()
    local rules = {
      {metric = "active", above = 0.8, step = 1}, {metric = "active", below = 0.3, step = -1},
    }
    for _, load in ipairs{0.3, 0.31, 0.5, 0.79, 0.8} do
      local a, target = by_hand(3, {rules = rules})
      drive(a, H.rounds(3600, 600), function() return {active = load} end)
      assert.same({}, target.asked)
      assert.same({}, a:history())
    end
  end)

  it("do not oscillate: each constant load ends at one size, from both sides", function()
    local rules = {
      {metric = "active", above = 0.8, step = 1}, {metric = "active", below = 0.3, step = -1},
    }
    for load = 0.1, 9, H.torture and 3 or 0.37 do
      for _, size in ipairs{1, 12} do
        local a, target = by_hand(size, {max = 20, rules = rules})
        drive(a, 600, function() return {active = math.min(1, load / target.n)} end)
        local active = load / target.n
        assert.is_true(active <= 0.8 and (active >= 0.3 or target.n == 1), "load " .. load)
        local stats, moved = a:stats(), math.abs(target.n - size)
        assert.equal(moved, stats.ups + stats.downs)
        assert.is_true(stats.ups == 0 or stats.downs == 0)
      end
    end
  end)

  it("do not follow a load that swings faster than their time", function()
    local a, target = by_hand(5, {rules = {
      {metric = "cpu", above = 0.8, ["for"] = 60, step = 1},
      {metric = "cpu", below = 0.3, ["for"] = 60, step = -1},
    }})
    drive(a, 3600, function(i) return {cpu = i % 50 < 25 and 1 or 0} end)
    assert.same({}, target.asked)
  end)
end)

H.sim("an autoscaler", function(it)
  it("runs by itself, at its interval, first when its maker parks", function()
    local target = new_target(1)
    target.now = {cpu = 1}
    local a = rl.autoscaler{target = target, max = 100, interval = 10, rules = {UP}}
    assert.equal(1, target.n)
    rl.sleep(35)
    assert.equal(5, target.n)
    assert.equal(4, a:stats().evaluations)
    a:stop()
  end)

  it("takes functions, instead of the target's or without one", function()
    local n, cpu = 1, 1
    local target = new_target(50)
    local a = rl.autoscaler{
      target = target, size = function() return n end, resize = function(to) n = to end,
      metrics = function() return {cpu = cpu} end, max = 3, rules = {UP},
    }
    rl.sleep(5)
    a:stop()
    assert.equal(3, n)
    assert.same({}, target.asked)
    local b = rl.autoscaler{size = function() return n end, resize = function(to) n = to end,
      max = 9, rules = {UP}, start = false}
    b:evaluate{cpu = 1}
    assert.equal(4, n)
  end)

  it("stops, twice, and starts again without counting the time between", function()
    local target = new_target(1)
    target.now = {cpu = 1}
    local a = rl.autoscaler{target = target, max = 9,
      rules = {{metric = "cpu", above = 0.5, ["for"] = 10, step = 1}}}
    rl.sleep(5.5)
    a:stop()
    a:stop()
    local evaluations = a:stats().evaluations
    rl.sleep(100)
    assert.equal(evaluations, a:stats().evaluations)
    assert.equal(a, a:start())
    a:start()
    rl.sleep(9.5)
    assert.equal(1, target.n)
    rl.sleep(1)
    assert.equal(2, target.n)
    a:stop()
    rl.sleep(1)
  end)

  it("may be stopped by its own hook", function()
    local target, a = new_target(1), nil
    target.now = {cpu = 1}
    a = rl.autoscaler{target = target, max = 9, rules = {UP}, on_scale = function() a:stop() end}
    rl.sleep(10)
    assert.equal(2, target.n)
  end)

  it("completes a resize that parks, and is stopped after it", function()
    local target = new_target(1)
    target.now = {cpu = 1}
    local resize = target.resize
    function target:resize(n)
      rl.sleep(5)
      return resize(self, n)
    end
    local a = rl.autoscaler{target = target, max = 9, rules = {UP}}
    rl.sleep(1)
    a:stop()
    assert.same({n = 3, nil, "EBUSY: an evaluation is under way", "EBUSY"}, H.pack(a:evaluate()))
    rl.sleep(10)
    assert.equal(2, target.n)
    assert.equal(1, a:stats().evaluations)
  end)

  it("counts its cooldown from the end of a resize", function()
    local a, target = by_hand(1, {cooldown = 10, rules = {UP}})
    function target:resize(n)
      rl.sleep(30)
      self.n = n
    end
    a:evaluate{cpu = 1}
    a:evaluate{cpu = 1}
    assert.equal(2, target.n)
    rl.sleep(10)
    a:evaluate{cpu = 1}
    assert.equal(3, target.n)
  end)

  it("tells what it did", function()
    local seen = {}
    local a, target = by_hand(2, {
      rules = {{name = "busy", metric = "cpu", above = 0.8, step = 2}, DOWN},
      on_scale = function(event) seen[#seen + 1] = event end,
    })
    local metrics = {cpu = 0.9, other = 1, junk = "x"}
    local at = rl.now()
    local event = a:evaluate(metrics)
    metrics.cpu = 0.5
    assert.equal(event, seen[1])
    assert.same({"up", 2, 4, "busy", "cpu 0.9", at}, {event.kind, event.from, event.to, event.rule,
      event.reason, event.time})
    assert.same({cpu = 0.9, other = 1}, event.metrics)
    assert.equal("up 2 -> 4: busy (cpu 0.9)", tostring(event))
    assert.equal(false, a:evaluate(metrics))
    assert.equal("down 4 -> 3: cpu < 0.3 (cpu 0)", tostring(a:evaluate{cpu = 0}))
    assert.same({event, seen[2]}, a:history())
    assert.equal(3, target.n)
    assert.equal("ringlet.autoscaler: 3 in 1 to 100, stopped", tostring(a))
  end)

  it("names rules after what they say", function()
    local names = {}
    local function named(fields)
      fields.action = function(event) names[#names + 1] = event.rule .. " | " .. event.reason end
      local a = by_hand(1, rule(fields))
      drive(a, 20, function(i) return {x = i, y = -i} end)
    end
    named{metric = "x", above = 0.5, ["for"] = 3}
    named{metric = "x", above = 1, window = 4}
    named{metric = "x", above = 2, trend = "growing", window = 4}
    named{metric = "y", trend = "shrinking", window = 4}
    named{quorum = 1, of = {{metric = "x", above = 1}, {metric = "y", above = 0, name = "why"}}}
    assert.same({
      "x > 0.5 for 3 s | x 4", "mean of x over 4 s > 1 | x 3.5", "x > 2 and growing over 4 s | x 5",
      "y shrinking over 4 s | y -5", "1 of (x > 1, why) | x 2",
    }, names)
  end)

  it("keeps so many events, the newest", function()
    local a = by_hand(1, {history = 5, rules = {UP}})
    drive(a, 20, function() return {cpu = 1} end)
    local list = a:history()
    assert.equal(5, #list)
    assert.same({20, 21}, {list[5].from, list[5].to})
    list[1] = nil
    assert.equal(5, #a:history())
  end)

  it("does not keep run alive, and is cancelled with it", function()
    local target = new_target(1)
    local a, before = nil, rl.stats().tasks
    local task = rl.go(function()
      a = rl.autoscaler{target = target, max = 9, rules = {UP}}
    end)
    task:join()
    rl.sleep(3.5)
    assert.equal(before + 1, rl.stats().tasks)
    assert.equal(4, a:stats().evaluations)
    a:stop()
  end)
end)

H.sim("a failure", function(it)
  -- Runs for ten seconds in which the function fails, and says what came of it.
  local function failing(opts, text)
    local target, errors = new_target(1), {}
    target.now = {cpu = 1}
    local all = {target = target, max = 9, rules = {UP},
      on_error = function(event) errors[#errors + 1] = event end}
    for k, v in pairs(opts) do all[k] = v end
    local a = rl.autoscaler(all)
    rl.sleep(9.5)
    a:stop()
    assert.equal(10, a:stats().evaluations)
    assert.equal(#errors, a:stats().errors)
    assert.is_truthy(tostring(errors[1]):find(text, 1, true), tostring(errors[1]))
    return errors, target, a
  end

  it("of the metrics is an event, and the loop goes on", function()
    for _, case in ipairs{
      {function() error("no metrics", 0) end, "error: metrics: no metrics"},
      {function() return nil, "ETIMEDOUT: x", "ETIMEDOUT" end, "error: metrics: ETIMEDOUT: x"},
      {function() return 5 end, "a table expected, got number"},
      {function() end, "a table expected, got nil"},
    } do
      local errors, target = failing({metrics = case[1]}, case[2])
      assert.equal(10, #errors)
      assert.equal("error", errors[1].kind)
      assert.equal(1, target.n)
    end
  end)

  it("of the size is an event, and nothing is resized", function()
    for _, case in ipairs{
      {function() error({}) end, "error: size: table"},
      {function() return nil, "EAGAIN: x", "EAGAIN" end, "error: size: EAGAIN: x"},
      {function() return 1.5 end, "a whole number expected, got 1.5"},
      {function() return "1" end, "a whole number expected"},
      {function() return 0 / 0 end, "a whole number expected"},
      {function() return -1 end, "a whole number expected"},
    } do
      local errors, target = failing({size = case[1]}, case[2])
      assert.equal(10, #errors)
      assert.same({}, target.asked)
    end
  end)

  it("of the resize is an event, and it is tried again", function()
    local errors, _, a = failing({resize = function() error("broken", 0) end}, "broken")
    assert.equal(10, #errors)
    assert.same({1, 2, "resize", "cpu > 0.8"},
      {errors[1].from, errors[1].to, errors[1].reason, errors[1].rule})
    assert.equal(0, a:stats().ups)
    errors = failing({resize = function() return nil, "EOVERLOAD: full", "EOVERLOAD" end}, "full")
    assert.same({"EOVERLOAD: full", "EOVERLOAD"}, {errors[1].error, errors[1].code})
    errors = failing({resize = function() return false, "no" end}, "error: resize: no")
    assert.is_nil(errors[1].code)
  end)

  it("of `to`, an action or a hook is an event", function()
    local function boom() error("boom", 0) end
    failing({rules = {{metric = "cpu", above = 0, to = boom}}}, "error: to: boom")
    failing({rules = {{metric = "cpu", above = 0, to = function() return 1.5 end}}},
      "rule 'cpu > 0': 'to' must give a whole number, not 1.5")
    failing({rules = {{metric = "cpu", above = 0, to = function() end}}}, "not a nil")
    local errors = failing({rules = {{metric = "cpu", above = 0, action = boom}}}, "action: boom")
    assert.equal(1, #errors)
    local _, target, a = failing({on_scale = boom}, "error: on_scale: boom")
    assert.equal(9, target.n)
    assert.same({"up", "error", "up"}, {kinds(a)[1], kinds(a)[2], kinds(a)[3]})
  end)

  it("of on_error itself goes to rl.on_error", function()
    local a = by_hand(1, {rules = {UP}, metrics = function() error("first", 0) end,
      on_error = function() error("second", 0) end})
    local seen
    rl.on_error(function(err, trace) seen = {err, type(trace)} end)
    local event = a:evaluate()
    rl.on_error(nil)
    assert.same({"second", "string"}, seen)
    assert.equal("error: metrics: first", tostring(event))
  end)

  it("of one rule leaves the others", function()
    local a, target = by_hand(1, {rules = {
      {metric = "cpu", above = 0, to = function() error("boom") end}, UP,
    }})
    assert.equal("up", a:evaluate{cpu = 1}.kind)
    assert.equal(2, target.n)
    assert.same({"error", "up"}, kinds(a))
  end)

  it("is no cancellation: that passes, and leaves nothing behind", function()
    for _, where in ipairs{"metrics", "resize", "on_scale", "action"} do
      local target = new_target(1)
      local function park() rl.sleep(100) end
      local opts = {target = target, max = 9, start = false,
        metrics = function() return {cpu = 1} end, rules = {UP}}
      if where == "action" then
        opts.rules = {{metric = "cpu", above = 0, action = park}}
      else
        opts[where] = park
      end
      local a = rl.autoscaler(opts)
      local before = rl.stats()
      local task = rl.go(function() a:evaluate() end)
      rl.sleep(1)
      assert.equal("EBUSY", (select(3, a:evaluate())))
      task:cancel("enough")
      local ok, err = task:join()
      assert.is_false(ok)
      assert.is_true((rl.is_cancel(err)), where)
      assert.equal(0, a:stats().errors)
      local after = rl.stats()
      assert.same({before.tasks, before.timers}, {after.tasks, after.timers})
      assert.is_not.equal(nil, (a:evaluate{}))
    end
  end)

  it("with another task's cancellation is a failure", function()
    failing({metrics = function()
      local other = rl.go(rl.sleep, 1)
      other:cancel("not ours")
      local _, err = other:join()
      error(err, 0)
    end}, "error: metrics: cancelled: not ours")
  end)

  it("of a timeout around an evaluation is that timeout's", function()
    local a = by_hand(1, {rules = {UP}, metrics = function() rl.sleep(100) end})
    assert.equal("ETIMEDOUT", (select(3, rl.timeout(1, a.evaluate, a))))
    assert.equal(0, a:stats().errors)
  end)
end)

describe("an autoscaler and runs", function()
  it("a run ends while it is running, and the next one can start it again", function()
    local target, a = new_target(1), nil
    target.now = {cpu = 1}
    local took = H.run(function()
      a = rl.autoscaler{target = target, max = 9, rules = {UP}}
      local t0 = rl.now()
      rl.sleep(3.5)
      return rl.now() - t0
    end)
    assert.near(3.5, took, H.TICK)
    assert.equal(5, target.n)
    assert.equal("ringlet.autoscaler: 5 in 1 to 9, stopped", tostring(a))
    H.run(function()
      a:start()
      rl.sleep(1.5)
    end)
    assert.equal(7, target.n)
    a:stop()
  end)

  it("a run ends in the middle of a resize", function()
    local target = new_target(1)
    target.now = {cpu = 1}
    function target.resize() rl.sleep(1e6) end
    H.run(function()
      rl.autoscaler{target = target, max = 9, rules = {UP}}
      rl.sleep(5)
    end)
    assert.equal(0, rl.stats().tasks)
  end)

  it("is made and evaluated outside of run, but not started", function()
    local target = new_target(1)
    local a = rl.autoscaler{target = target, max = 9, rules = {UP}}
    assert.equal("ringlet.autoscaler: ? in 1 to 9, stopped", tostring(a))
    assert.equal("up", a:evaluate{cpu = 1}.kind)
    H.raises_text("not inside a task", a.start, a)
    a:stop()
  end)
end)

describe("misuse of an autoscaler", function()
  local target = new_target(1)

  local function refused(text, opts)
    local all = {target = target, max = 9, rules = {UP}}
    for k, v in pairs(opts) do
      all[k] = v ~= "NONE" and v or nil
    end
    local err = H.raises(function() rl.autoscaler(all) end)
    assert.is_truthy(tostring(err):find(HERE, 1, true), tostring(err))
    assert.is_truthy(tostring(err):find(text, 1, true), tostring(err))
  end

  it("names what is wrong with the options, at the caller's line", function()
    refused("unknown option 'maximum'", {maximum = 5})
    refused("option 'max' must be a number, not a string", {max = "5"})
    refused("option 'max' is missing", {max = "NONE"})
    refused("option 'max' must be a whole number of at least 1", {max = 1.5})
    refused("option 'max' must be a whole number", {max = math.huge})
    refused("option 'max' is less than 'min' (10)", {min = 10})
    refused("option 'min' must be a whole number of at least 0", {min = -1})
    refused("option 'interval' must be more than 0", {interval = 0})
    refused("option 'interval' must be a number of at least 0", {interval = 0 / 0})
    refused("option 'cooldown' must be a number of at least 0", {cooldown = -1})
    refused("option 'cooldown' has 'up' and 'down', not 'upp'", {cooldown = {upp = 1}})
    refused("option 'cooldown.up' must be a number", {cooldown = {up = "1"}})
    refused("option 'quorum' must be a whole number of at least 1", {quorum = 0})
    refused("option 'history' must be a whole number of at least 1", {history = 0})
    refused("option 'target' must have size() and resize(n)", {target = {}})
    refused("option 'target' must have size() and resize(n)", {target = "NONE"})
    refused("option 'metrics' is missing",
      {target = {size = target.size, resize = target.resize}})
    refused("unknown policy 'best': rules or target", {policy = "best"})
    refused("option 'rules' is missing", {rules = "NONE"})
    refused("option 'rules' is missing", {rules = {}})
    refused("a list of rules expected", {rules = {cpu = UP}})
    refused("option 'targets' is for policy \"target\"", {targets = {cpu = 1}})
    refused("policy \"target\" needs 'targets'", {policy = "target"})
    refused("policy \"target\" needs 'targets'", {policy = "target", targets = {}})
    refused("'targets' must be a table of name = number, more than 0",
      {policy = "target", targets = {cpu = 0}})
    refused("option 'tolerance' must be a number of at least 0",
      {policy = "target", targets = {cpu = 1}, tolerance = -0.1})
    refused("option 'stabilization.down' must be a number of at least 0",
      {policy = "target", targets = {cpu = 1}, stabilization = {down = -1}})
    refused("rules[1]: with policy \"target\" a rule has an 'action'",
      {policy = "target", targets = {cpu = 1}})
  end)

  it("names what is wrong with a rule, and which it is", function()
    local function bad(text, fields)
      refused(text, {rules = {UP, fields}})
    end
    bad("rules[2]: a table expected, got number", 5)
    bad("rules[2]: unknown option 'abvoe'", {metric = "x", abvoe = 1, step = 1})
    bad("rules[2]: option 'above' must be a number, not a string", {metric = "x", above = "1"})
    bad("rules[2]: 'above' must be a number", {metric = "x", above = 0 / 0, step = 1})
    bad("rules[2]: 'for' must be a number of seconds",
      {metric = "x", above = 1, ["for"] = -1, step = 1})
    bad("rules[2]: 'window' must be more than 0", {metric = "x", above = 1, window = 0, step = 1})
    bad("rules[2]: 'metric', or 'quorum' and 'of', expected", {above = 1, step = 1})
    bad("rules[2]: 'above', 'below' or 'trend' expected", {metric = "x", step = 1})
    bad("rules[2]: 'above' or 'below' expected, not both",
      {metric = "x", above = 1, below = 2, step = 1})
    bad("rules[2]: 'trend' must be \"growing\" or \"shrinking\"",
      {metric = "x", trend = "up", window = 9, step = 1})
    bad("rules[2]: 'trend' needs a 'window' of at least two intervals (2 s)",
      {metric = "x", trend = "growing", window = 1, step = 1})
    bad("rules[2]: one of 'step', 'to' and 'action' expected", {metric = "x", above = 1})
    bad("rules[2]: one of 'step', 'to' and 'action' expected",
      {metric = "x", above = 1, step = 1, action = print})
    for _, step in ipairs{0, 0.5, 0 / 0, math.huge} do
      bad("rules[2]: 'step' must be a whole number other than 0",
        {metric = "x", above = 1, step = step})
    end
    bad("rules[2]: 'quorum' needs 'of'", {metric = "x", quorum = 2, above = 1, step = 1})
    bad("rules[2]: 'of' must be a list of conditions", {quorum = 1, of = {}, step = 1})
    bad("rules[2]: 'quorum' must be a whole number from 1 to 2", {quorum = 3, of = {UP, UP}})
    bad("rules[2]: metric, above, below, trend and window belong into the conditions",
      {quorum = 1, of = {{metric = "x", above = 1}}, window = 5, step = 1})
    bad("rules[2].of[1]: a condition has no 'step'", {quorum = 1, of = {UP}, step = 1})
    bad("rules[2].of[2]: unknown option 'x'",
      {quorum = 1, of = {{metric = "x", above = 1}, {x = 1}}, step = 1})
  end)

  it("is told by the methods, too", function()
    local a = rl.autoscaler{size = print, resize = print, max = 2, rules = {UP}, start = false}
    H.raises_text(HERE, function() a:evaluate(5) end)
    H.raises_text("a table of name = number expected", function() a:evaluate(5) end)
    H.raises_text("no metrics: give them, or the option 'metrics'", function() a:evaluate() end)
    H.raises_text("the option 'metrics' is missing", function() a:start() end)
    H.raises(rl.autoscaler)
    H.raises(rl.autoscaler, 5)
  end)
end)

-- Whatever comes, the size stays within its bounds and no two resizes are closer than the cooldown.
describe("random metrics", function()
  local function one_run(seed)
    local x = seed * 7919 + 1
    local function random(n)
      x = (x * 1103515245 + 12345) % 2147483648
      return math.floor(x / 65536) % n
    end
    local function pick(list)
      return list[random(#list) + 1]
    end
    local function random_rule()
      local fields = {metric = pick{"a", "b"}, ["for"] = pick{false, 0, 1, 7} or nil,
        window = pick{false, false, 3} or nil}
      if random(2) == 0 then
        fields.above = random(10)
      else
        fields.below = random(10)
      end
      if random(4) == 0 then
        fields.to = function(n) return n + random(9) - 4 end
      else
        fields.step = pick{-5, -2, -1, 1, 2, 5}
      end
      return fields
    end
    local min = random(4)
    local max = min + 1 + random(10)
    local up, down = random(6), random(6)
    local opts = {min = min, max = max, cooldown = {up = up, down = down}, history = 1000}
    if seed % 2 == 0 then
      opts.policy, opts.targets = "target", {a = 3, b = 5}
      opts.stabilization = {up = random(3), down = random(8)}
    else
      opts.rules = {}
      for i = 1, 1 + random(4) do
        opts.rules[i] = random_rule()
      end
    end
    local a, target = by_hand(min + random(max - min), opts)
    local size = target.n
    for _ = 1, 120 do
      target.refuse = random(5) == 0
      a:evaluate{a = pick{0 / 0, 0, 1, 3, 5, 9}, b = pick{false, 0, 2, 5, 9, math.huge} or nil}
      assert.is_true(target.n >= min and target.n <= max)
      rl.sleep(pick{0.3, 1, 1, 2.5})
    end
    local last
    for _, event in ipairs(a:history()) do
      if event.kind ~= "error" then
        assert.equal(size, event.from)
        assert.is_true((event.to > event.from) == (event.kind == "up"))
        local cooldown = event.kind == "up" and up or down
        assert.is_true(not last or event.time - last >= cooldown - 1e-6)
        size, last = event.to, event.time
      else
        assert.equal("EBUSY", event.code)
      end
    end
    assert.equal(size, target.n)
    return a:stats()
  end

  it("never push the size out of its bounds, or through a cooldown", function()
    local total = {ups = 0, downs = 0, blocked_up = 0, blocked_down = 0, limited = 0, errors = 0}
    for seed = 1, H.rounds(200, 20) do
      H.run(function()
        local stats = one_run(seed)
        for name, n in pairs(total) do
          total[name] = n + stats[name]
        end
      end, {seed = seed})
    end
    for name, n in pairs(total) do
      assert.is_true(n > 0, name .. " never happened")
    end
  end)
end)
