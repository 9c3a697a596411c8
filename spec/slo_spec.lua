-- SPDX-License-Identifier: MIT
-- Objectives: the same numbers as PromQL has for the same series, burn rates at exact times.
local H = require "spec.helper"
local metrics = require "ringlet.metrics"
local rl = require "ringlet"

local function close(a, b)
  return math.abs(a - b) <= 1e-9 * math.max(1, math.abs(b))
end

-- Events of one minute each: {good, bad}; what had been counted at the end of each minute.
local function recorded(seed, minutes)
  math.randomseed(seed)
  local list, good, all = {}, {0}, {0}
  for i = 1, minutes do
    local g, b = math.random(0, 1000), math.random() < 0.3 and math.random(0, 200) or 0
    list[i] = {g, b}
    good[i + 1], all[i + 1] = good[i] + g, all[i] + g + b
  end
  return list, good, all
end

local function promtool(lines)
  local path = os.tmpname()
  local f = assert(io.open(path, "w"))
  f:write(table.concat(lines, "\n"), "\n")
  f:close()
  local p = io.popen("promtool test rules " .. path .. " 2>&1; echo code=$?")
  local out = p:read "*a"
  p:close()
  os.remove(path)
  return out
end

H.sim("an objective", function(it)
  it("has the ratio that PromQL has: rate(good[1h]) / rate(all[1h])", function()
    local list, good, all = recorded(11, 200)
    local slo = metrics.slo {objective = 0.99, window = 3600, resolution = 60, windows = {}}
    local start = math.ceil(rl.now() / 60) * 60
    rl.sleep(start - rl.now() + 1)
    local lines = {"evaluation_interval: 1m", "tests:", "  - interval: 1m", "    input_series:",
      "      - series: good", "        values: '" .. table.concat(good, " ") .. "'",
      "      - series: all", "        values: '" .. table.concat(all, " ") .. "'",
      "    promql_expr_test:"}
    for i, minute in ipairs(list) do
      slo:record(true, minute[1])
      slo:record(false, minute[2])
      rl.sleep(start + 60 * i + 1 - rl.now())
      if i >= 60 and i % 10 == 0 then
        local ratio = slo:ratio(3600)
        local before = i - 60
        assert.is_true(close(ratio, (good[i + 1] - good[before + 1])
          / (all[i + 1] - all[before + 1])))
        lines[#lines + 1] = "      - expr: abs(rate(good[1h]) / rate(all[1h]) - "
          .. ("%.17g"):format(ratio) .. ") < bool 1e-9"
        lines[#lines + 1] = "        eval_time: " .. i .. "m"
        lines[#lines + 1] = "        exp_samples: [{labels: '{}', value: 1}]"
      end
    end
    if os.execute "command -v promtool >/dev/null 2>&1" == (H.jit and 0 or true) then
      assert.matches("SUCCESS", promtool(lines))
    end
  end, {timeout = 100000})

  it("counts over any window, however long nothing came", function()
    local slo = metrics.slo {objective = 0.9, window = 600, resolution = 10, windows = {}}
    rl.sleep(10 - rl.now() % 10)
    assert.is_nil(slo:ratio(100))
    slo:record(false)
    rl.sleep(10.001)
    assert.equal(0, slo:ratio(100))
    assert.equal(0, slo:ratio(10))
    rl.sleep(10)
    assert.is_nil(slo:ratio(10))
    assert.equal(0, slo:ratio(20))
    slo:record(true, 3)
    rl.sleep(10)
    assert.equal(0.75, slo:ratio(600))
    assert.is_true(close(slo:burn(600), 2.5))
    assert.is_true(close(slo:budget(), -1.5))
    rl.sleep(1e6)
    assert.is_nil(slo:ratio(600))
    assert.equal(1, slo:budget())
    assert.same({good = 3, events = 4, budget = 1}, slo:stats())
    assert.equal("ringlet.metrics.slo: 3 of 4 events good, budget 1", tostring(slo))
  end, {timeout = 1e7})

  it("forgets what no window reaches, and only that", function()
    local slo = metrics.slo {objective = 0.5, window = 50, resolution = 1, windows = {}}
    rl.sleep(1 - rl.now() % 1 + 0.5)
    for i = 1, 1000 do
      slo:record(i % 4 > 0)
      rl.sleep(1)
      if i > 50 and i % 4 == 0 then
        assert.equal(0.75, slo:ratio(48))
      end
      assert.is_true(#slo.good <= 2 * 51 + 2)
    end
  end, {timeout = 1e5})

  it("alerts when both windows burn too fast, and stops with the short one", function()
    local slo = metrics.slo {objective = 0.999, resolution = 60}
    rl.sleep(60 - rl.now() % 60 + 1)
    local from, log = rl.now(), {}
    local was = ""
    for minute = 1, 120 do
      local failing = minute <= 20
      slo:record(true, failing and 900 or 1000)
      slo:record(false, failing and 100 or 0)
      rl.sleep(from + 60 * minute - rl.now())
      local names = {}
      for i, alert in ipairs(slo:alerts()) do
        names[i] = alert.severity .. alert.long
        assert.is_true(alert.burn_long >= alert.burn and alert.burn_short >= alert.burn)
      end
      local now = table.concat(names, " ")
      if now ~= was then
        log[#log + 1], was = minute .. ": " .. now, now
      end
    end
    -- 10 % of errors are a burn of 100: at once in both windows, of which nothing is older. Five
    -- minutes after the end the shortest window has none; after 29 the next has one of
    -- 30 that is bad.
    assert.same({"1: page3600 page21600 ticket259200", "25: page21600 ticket259200",
      "49: ticket259200"}, log)
  end, {timeout = 1e5})

  it("refuses what makes no sense", function()
    for _, opts in ipairs {{}, {objective = 1}, {objective = -0.1}, {objective = 0 / 0},
      {objective = 0.9, window = 0}, {objective = 0.9, resolution = 0},
      {objective = 0.9, windows = {{long = 1, short = 2, burn = 1}}},
      {objective = 0.9, windows = {{long = 1}}}, {objective = 0.9, windows = {1}},
      {objective = 0.9, more = 1}} do
      assert.is_false((pcall(metrics.slo, opts)))
    end
    local slo = metrics.slo {objective = 0.9, window = 60, windows = {}}
    H.raises_text("the window must be a number from 60 to 60", slo.ratio, slo, 61)
    H.raises_text("the window must be", slo.burn, slo, 0)
  end)
end)
