-- SPDX-License-Identifier: MIT
-- Alert rules in virtual time: when they fire and are resolved, to the second; dumps.
local H = require "spec.helper"
local metrics = require "ringlet.metrics"
local rl = require "ringlet"

local TASKS = "/tasks/live:tasks"

-- Evaluates by hand once a second; `values(second)` gives the snapshot. What happened, as text.
local function drive(opts, seconds, values)
  local log, dumps, second = {}, 0, 0
  opts.start = false
  opts.dump = function()
    dumps = dumps + 1
    return "dump " .. dumps
  end
  opts.on_alert = function(alert)
    log[#log + 1] = ("%d +%s %s"):format(second, alert.name, alert.dump)
  end
  opts.on_resolved = function(alert)
    log[#log + 1] = ("%d -%s"):format(second, alert.name)
  end
  local alerts = metrics.alerts(opts)
  for s = 0, seconds do
    second = s
    alerts:evaluate(values(s))
    rl.sleep(1)
  end
  return log, alerts
end

local function tasks(at)
  return function(s)
    return {[TASKS] = at(s)}
  end
end

H.sim("alerts", function(it)
  it("of many tasks fire after 120 s above 5,000, not at 5,000", function()
    assert.same({}, (drive({}, 300, tasks(function() return 5000 end))))
    assert.same({"120 +many tasks dump 1"}, (drive({}, 300, tasks(function() return 5001 end))))
    assert.same({"130 +many tasks dump 1", "200 -many tasks"}, (drive({}, 300, tasks(function(s)
      return s >= 10 and s < 200 and 5001 or 5000
    end))))
  end, {timeout = 1e5})

  it("that pause for one evaluation begin anew", function()
    assert.same({}, (drive({}, 238, tasks(function(s) return s == 119 and 5000 or 6000 end))))
    assert.same({"240 +many tasks dump 1"}, (drive({}, 240, tasks(function(s)
      return s == 119 and 5000 or 6000
    end))))
  end, {timeout = 1e5})

  it("of a flood want 30 s above 12,000 and +200 % in 5 min", function()
    -- From 4,000 to 12,001 at second 400: more than three times as many as 300 s before.
    assert.same({"430 +flood of tasks dump 1", "520 +many tasks dump 1", "700 -flood of tasks"},
      (drive({}, 720, tasks(function(s) return s < 400 and 4000 or 12001 end))))
    -- 200 % exactly is not more.
    assert.same({}, (drive({rules = {metrics.alert_rules()[2]}}, 720, tasks(function(s)
      return s < 400 and 4001 or 12003
    end))))
    -- Without a value that is 300 s old there is no growth.
    assert.same({}, (drive({rules = {metrics.alert_rules()[2]}}, 298, tasks(function(s)
      return s < 10 and 10 or 50000
    end))))
  end, {timeout = 1e5})

  it("have one dump an incident, which is over when none fires", function()
    local rules = {
      {name = "a", metric = "x", above = 0, ["for"] = 2},
      {name = "b", metric = "x", above = 5},
    }
    local log, alerts = drive({rules = rules}, 12, function(s)
      return {x = ({1, 1, 1, 9, 1, 1, 0, 0, 9, 9, 9, 0, 0})[s + 1]}
    end)
    assert.same({"2 +a dump 1", "3 +b dump 1", "4 -b", "6 -a", "8 +b dump 2", "10 +a dump 2",
      "11 -a", "11 -b"}, log)
    assert.same({evaluations = 13, fired = 4, resolved = 4, incidents = 2, active = 0, errors = 0},
      alerts:stats())
    assert.equal(4, #alerts:history())
    assert.equal("resolved", alerts:history()[1].state)
    assert.same({}, alerts:active_alerts())
    assert.equal("ringlet.metrics.alerts: 2 rules, 0 firing", tostring(alerts))
  end)

  it("compare shares of what was counted meanwhile: more than 1 % of errors", function()
    local rules = metrics.alert_rules {requests = "all", errors = "bad"}
    local log = drive({rules = {rules[3]}}, 300, function(s)
      -- 100 requests a second; from second 100 on 1 fails of each hundred, from 150 on 2 do
      return {all = 1e6 + 100 * s, bad = math.max(0, s - 100) + math.max(0, s - 150)}
    end)
    -- At second 156 it is 56 and 6 of 6,000, at 155 it was 60: so it is for a minute.
    assert.same({"216 +errors dump 1"}, log)
  end, {timeout = 1e5})

  it("look at the quantile of the last minute: p99 above 0.5 s", function()
    local h = metrics.histogram("alerts_took_seconds", {buckets = {0.5}})
    local rules = metrics.alert_rules {latency = "alerts_took_seconds"}
    local log = drive({rules = {rules[3]}}, 300, function(s)
      for i = 1, 100 do
        h:observe(s >= 100 and s < 200 and i > 97 and 0.6 or 0.1)
      end
      return metrics.read {"alerts_took_seconds"}
    end)
    -- 3 % are slow from second 100 on: they are more than 1 % of a minute's after 20 s, for another
    -- minute; less than that again 40 s after the end.
    local fired, resolved = log[1]:match "^(%d+) %+slow", log[2]:match "^(%d+) %-slow"
    assert.is_true(math.abs(fired - 180) <= 2 and math.abs(resolved - 240) <= 2)
  end, {timeout = 1e5})

  it("know how full the heap may be", function()
    local rules = metrics.alert_rules {heap_max = 1000}
    local log = drive({rules = {rules[3]}}, 70, function()
      return {["/gc/heap:bytes"] = 801}
    end)
    assert.same({"60 +heap dump 1"}, log)
  end)

  it("are evaluated by a daemon, at each interval, until stopped", function()
    local seen = {}
    local alerts = metrics.alerts {interval = 10, dump = false, rules = {
      {name = "x", value = function() seen[#seen + 1] = math.floor(rl.now()) return 0 end,
        above = 1},
    }}
    local from = math.floor(rl.now())
    rl.sleep(35)
    assert.same({from, from + 10, from + 20, from + 30}, seen)
    alerts:stop()
    alerts:stop()
    rl.sleep(100)
    assert.equal(4, #seen)
    alerts:start()
    rl.sleep(5)
    assert.equal(5, #seen)
    alerts:stop()
  end, {timeout = 1e5})

  it("go on when a function of theirs fails", function()
    local failures = {}
    rl.on_error(function(err) failures[#failures + 1] = tostring(err) end)
    local alerts = metrics.alerts {start = false, dump = function() error "no dump" end,
      on_alert = function() error "no alert" end,
      rules = {{name = "bad", value = function() error "no value" end, above = 0},
        {name = "good", metric = "x", above = 0}}}
    alerts:evaluate {x = 1}
    alerts:evaluate {x = 1}
    rl.on_error(nil)
    assert.equal(4, alerts:stats().errors)
    assert.equal(1, alerts:stats().fired)
    assert.matches("no value", failures[1])
    assert.matches("no dump", failures[2])
    assert.matches("no alert", failures[3])
  end)

  it("refuse rules that make no sense", function()
    for _, rule in ipairs {1, {}, {name = "a", metric = "x"}, {name = "a", above = 1},
      {metric = "x", above = 1}, {name = "a", metric = "x", above = 1, more = 1}} do
      assert.is_false((pcall(metrics.alerts, {rules = {rule}, start = false})))
    end
    H.raises_text("unknown option", metrics.alerts, {every = 1})
  end)
end)

describe("alerts", function()
  it("do not keep run alive, and find what the runtime has", function()
    local alerts
    H.run(function()
      alerts = metrics.alerts {interval = 1, dump = false, rules = {
        {name = "tasks", metric = TASKS, above = 3},
      }}
      for _ = 1, 5 do
        rl.go(rl.sleep, 2.5)
      end
    end)
    assert.equal(1, alerts:stats().fired)
    H.raises_text("not inside a task", alerts.start, alerts)
  end)
end)
