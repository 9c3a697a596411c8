-- SPDX-License-Identifier: MIT
-- Admission: each rule at its boundary, what follows from it, and that it is told once.
local rl = require "ringlet"
local H = require "spec.helper"

local HERE = "spec/admission_spec.lua:"

-- An admission whose figures are the table given with it, and the list of what it told.
local function new(opts)
  local figures, told = {}, {}
  local all = {
    every = 0, read = function() return figures end,
    on_change = function(from, to, why) told[#told + 1] = ("%s>%s: %s"):format(from, to, why) end,
  }
  for k, v in pairs(opts or {}) do all[k] = v end
  return rl.admission(all), figures, told
end

local function set(figures, more)
  for k, v in pairs(more) do figures[k] = v end
end

-- n calls, the last of which fail.
local function calls(a, n, failures)
  for i = 1, n do a:allow()(i <= n - failures) end
end

local function is_refused(a, code)
  local done, msg, got, seconds = a:allow()
  assert.same({nil, code}, {done, got})
  assert.equal(1, msg:find(code, 1, true))
  return seconds, msg
end

H.sim("a rule", function(it)
  it("by what is, holds from its threshold on, and no longer than that", function()
    for _, case in ipairs{
      {{usage = 0.89}, "closed"}, {{usage = 0.9}, "half-open"}, {{usage = 1}, "half-open"},
      {{wait = 0.299}, "closed"}, {{wait = 0.3}, "rejecting"}, {{wait = 3}, "rejecting"},
      {{usage = 0.95, wait = 0.5}, "rejecting"}, {{health = 0.95}, "closed"},
      {{health = 0.949}, "open"}, {{}, "closed"},
    } do
      local a, figures = new()
      set(figures, case[1])
      assert.equal(case[2], a:state())
      set(figures, {usage = 0.89, wait = 0.299, health = 1})
      assert.equal(case[2] == "open" and "open" or "closed", a:state())
    end
  end)

  it("by failures opens at 35 % of 5 minutes, with enough calls", function()
    for _, case in ipairs{{100, 34, "closed"}, {100, 35, "open"}, {20, 6, "closed"},
      {20, 7, "open"}, {19, 19, "closed"}} do
      local a = new()
      calls(a, case[1], case[2])
      assert.equal(case[3], a:state(), case[1] .. "/" .. case[2])
    end
  end)

  it("by failures forgets what is older than 5 minutes", function()
    for _, case in ipairs{{289.9, "open"}, {300.1, "closed"}} do
      local a = new()
      calls(a, 10, 3)
      rl.sleep(case[1])
      calls(a, 10, 4)
      assert.equal(case[2], a:state())
    end
  end)

  it("by growth opens at +300 % within 5 s, counted from enough tasks", function()
    for _, case in ipairs{
      {100, 399, 1, "closed"}, {100, 400, 1, "open"}, {1000, 3999, 1, "closed"},
      {1000, 4000, 1, "open"}, {10, 399, 1, "closed"}, {0, 400, 1, "open"},
      {100, 400, 4.9, "open"}, {100, 400, 5, "open"}, {100, 400, 5.1, "closed"},
    } do
      local a, figures = new()
      figures.tasks = case[1]
      a:state()
      rl.sleep(case[3])
      figures.tasks = case[2]
      assert.equal(case[4], a:state(), table.concat(case, " "))
    end
  end)

  it("by growth compares with the fewest of the window, however often it looks", function()
    local a, figures = new()
    for i = 0, 200 do -- +20 % a second: no more than doubled in 5 s
      figures.tasks = 200 + 4 * i
      assert.equal("closed", a:state())
      rl.sleep(0.05)
    end
    assert.is_true(#a.samples <= 52)
    for _ = 1, 30 do
      figures.tasks = figures.tasks * 1.1
      a:state()
      rl.sleep(0.1)
    end
    assert.equal("open", a:state())
    assert.equal(1, a:stats().opened)
  end)

  it("of which there is none when it is false, or when its figure is missing", function()
    local a, figures = new{usage = false, wait = false, failure_rate = false, growth = false,
      health = false}
    set(figures, {usage = 1, wait = 9, tasks = 100, health = 0})
    a:state()
    figures.tasks = 1e6
    calls(a, 100, 100)
    assert.equal("closed", a:state())
    local bare = rl.admission{}
    calls(bare, 19, 19)
    assert.equal("closed", bare:state())
    calls(bare, 1, 0)
    assert.equal("open", bare:state())
  end)
end)

H.sim("an admission", function(it)
  it("lets few in at a time while too much is in use", function()
    local a, figures, told = new{half_open_calls = 2}
    figures.usage = 0.9
    local one, two = a:allow(), a:allow()
    local seconds, msg = is_refused(a, "EOVERLOAD")
    assert.equal(0, seconds)
    assert.truthy(msg:find("too much is in use", 1, true))
    one(true)
    one(true)
    local three = a:allow()
    is_refused(a, "EOVERLOAD")
    two(nil)
    three(false)
    figures.usage = 0.89
    for _ = 1, 10 do assert.is_function((a:allow())) end
    assert.same({"closed>half-open: 90 % in use", "half-open>closed: no limit is exceeded"}, told)
    assert.equal(2, a:stats().overloads)
  end)

  it("lets nobody in while the wait is too long", function()
    local a, figures, told = new{every = 0.1}
    figures.wait = 0.3
    local seconds = is_refused(a, "EOVERLOAD")
    assert.near(0.1, seconds, 1e-9)
    figures.wait = 0
    is_refused(a, "EOVERLOAD")
    rl.sleep(0.1)
    a:allow()(true)
    assert.same({"closed>rejecting: a wait of 0.3 s", "rejecting>closed: no limit is exceeded"},
      told)
  end)

  it("is open for 60 s, then lets a few try: 59.9 s no, 60 s yes", function()
    local a, _, told = new{half_open_calls = 2}
    calls(a, 20, 7)
    assert.near(60, is_refused(a, "EOPEN"), 0.001)
    rl.sleep(59.9)
    assert.equal("open", a:state())
    rl.sleep(0.1)
    assert.equal("half-open", a:state())
    local one, two = a:allow(), a:allow()
    is_refused(a, "EOPEN")
    one(true)
    two(true)
    assert.equal("closed", a:state())
    assert.same({"closed>open: 7 of 20 calls failed", "open>half-open: open for 60 s",
      "half-open>closed: 2 calls succeeded"}, told)
  end)

  it("opens again when a try fails, or its health is still bad", function()
    local a, figures, told = new{open_for = 10}
    figures.health = 0.9
    assert.equal("open", a:state())
    rl.sleep(10)
    assert.equal("open", a:state())
    figures.health = 1
    rl.sleep(10)
    a:allow()(false)
    assert.equal("open", a:state())
    assert.equal(3, a:stats().opened)
    assert.same({"closed>open: health 90 %", "open>half-open: open for 10 s",
      "half-open>open: health 90 %", "open>half-open: open for 10 s",
      "half-open>open: a call failed"}, told)
  end)

  it("goes by both limits when it is half-open twice over", function()
    local a, figures = new{half_open_calls = 2, open_for = 1}
    calls(a, 20, 20)
    rl.sleep(1)
    figures.usage = 1
    local one, two = a:allow(), a:allow()
    assert.is_nil((a:allow()))
    one(true)
    two(true)
    assert.equal("half-open", a:state()) -- it is still in use
    figures.usage = 0.1
    assert.equal("closed", a:state())
  end)

  it("is open rather than anything else", function()
    local a, figures = new()
    calls(a, 20, 20)
    set(figures, {wait = 1, usage = 1})
    is_refused(a, "EOPEN")
    assert.equal("open", a:state())
  end)

  it("asks for figures at most as often as told, and has no timer", function()
    local asked, timers = 0, rl.stats().timers
    local a = rl.admission{every = 0.5, read = function()
      asked = asked + 1
      return {}
    end}
    assert.equal(0, asked)
    for _ = 1, 100 do a:allow()(true) end
    assert.equal(1, asked)
    rl.sleep(0.49)
    a:allow()
    assert.equal(1, asked)
    rl.sleep(0.01)
    a:allow()
    assert.equal(2, asked)
    assert.equal(timers, rl.stats().timers)
  end)

  it("is not broken by functions that raise: they are reported", function()
    local reports = {}
    rl.on_error(function(err) reports[#reports + 1] = tostring(err):gsub("^.-:%d+: ", "") end)
    local a = rl.admission{read = function() error "read" end,
      on_change = function() error "on" end}
    calls(a, 20, 20)
    assert.equal("open", a:state())
    rl.on_error(nil)
    assert.same({"read", "on"}, reports)
  end)

  it("does not mind figures that are no table", function()
    local a = rl.admission{read = function() return 7 end}
    assert.equal("closed", a:state())
  end)

  it("says what it is, and counts", function()
    local a, figures = new{name = "db"}
    figures.usage = 0.92
    assert.equal("ringlet.admission 'db': half-open (92 % in use)", tostring(a))
    calls(a, 3, 1)
    local stats = a:stats()
    stats.since = nil
    assert.same({state = "half-open", why = "92 % in use", changes = 1, requests = 3,
      successes = 2, failures = 1, refused = 0, overloads = 0, opened = 0}, stats)
  end)
end)

describe("an admission", function()
  it("of a module outlives a run, and nobody's place is kept", function()
    local a, figures = new{every = 1, half_open_calls = 1}
    figures.usage = 1
    H.run(function()
      rl.sleep(100)
      a:allow()
      is_refused(a, "EOVERLOAD")
    end)
    H.run(function()
      a:allow()(true)
      figures.usage = 0
      rl.sleep(1)
      assert.equal("closed", a:state())
    end)
  end)

  it("is forgotten with its last reference", function()
    local weak = setmetatable({}, {__mode = "k"})
    local a, figures = new()
    figures.usage = 1
    a:allow()(true)
    weak[a] = true
    a = nil -- luacheck: ignore 311
    H.collect()
    assert.is_nil(next(weak))
  end)

  it("says what is wrong with its options, at the caller's line", function()
    for _, case in ipairs{
      {{x = 1}, "unknown option 'x'"},
      {{usage = 90}, "option 'usage' must be a number from 0.0001 to 1, not 90"},
      {{wait = 0}, "option 'wait' must be a number more than 0, not 0"},
      {{read = 1}, "option 'read' must be a function, not a number"},
      {{every = -1}, "option 'every' must be a number of at least 0, not -1"},
    } do
      local err = H.raises_text(case[2], function() rl.admission(case[1]) end)
      assert.equal(1, tostring(err):find(HERE, 1, true), err)
    end
  end)
end)
