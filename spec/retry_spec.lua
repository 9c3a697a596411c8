-- SPDX-License-Identifier: MIT
-- Calls that are made again.
local core = require "ringlet.core"
local H = require "spec.helper"
local rl = require "ringlet"

local HERE = "spec/retry_spec.lua:"
local NONE = {base = 1, factor = 1}

-- A function that fails `failures` times, then gives its arguments; and how often it was called.
local function flaky(failures)
  local calls = {n = 0}
  return function(...)
    calls.n = calls.n + 1
    if calls.n <= failures then
      return nil, "EDOWN: call " .. calls.n, "EDOWN"
    end
    return ...
  end, calls
end

local function down()
  return nil, "EDOWN: down", "EDOWN"
end

-- The delays between the attempts of a call that fails.
local function delays_of(opts, attempts, fn)
  local delays = {}
  opts.attempts = attempts
  function opts.on_retry(_, _, delay)
    delays[#delays + 1] = delay
  end
  rl.retry(opts, fn or down)
  return delays
end

-- Until a task waits for something.
local function let_wait(task)
  H.eventually("it waits", function() return task:status() == "parked" end)
end

-- How many timers there are before a test begins: that of its own limit.
local function timers_before()
  H.eventually("the limit is set", function() return rl.stats().timers == 1 end)
  return 1
end

local function assert_clean()
  local s = rl.stats()
  assert.equal(0, s.timers - 1) -- that of the test's own limit
end

local function assert_took(seconds, since)
  local t = rl.now() - since
  assert.is_true(t >= seconds and t <= seconds + H.TICK, ("took %g s"):format(t))
end

-- What random numbers are drawn: the least, or the greatest.
local function with_random(v, fn)
  local random = core.random
  core.random = function() return v end -- luacheck: ignore 122
  finally(function() core.random = random end) -- luacheck: ignore 122
  fn()
  core.random = random -- luacheck: ignore 122
end

H.both("retry", function(it)
  it("gives the results of a call that goes well, all of them", function()
    local fn, calls = flaky(0)
    assert.same({n = 3, 1, nil, nil}, H.pack(rl.retry({}, fn, 1, nil, nil)))
    assert.same({n = 0}, H.pack(rl.retry(nil, fn)))
    assert.same({n = 1}, H.pack(rl.retry(nil, fn, nil)))
    assert.same({n = 2, false, "x"}, H.pack(rl.retry(nil, fn, false, "x")))
    assert.equal(4, calls.n)
  end)

  it("calls again with the same arguments, however many, until it goes well", function()
    local fn, calls = flaky(2)
    assert.same({n = 3, 1, nil, 3}, H.pack(rl.retry({backoff = 0}, fn, 1, nil, 3)))
    assert.equal(3, calls.n)
    for _, opts in ipairs{{backoff = 0}, {backoff = 0, timeout = 1}} do
      assert.same({n = 0}, H.pack(rl.retry(opts, (flaky(2)))))
      assert.same({n = 1, nil}, H.pack(rl.retry(opts, (flaky(2)), nil)))
      assert.same({n = 2, 1, nil}, H.pack(rl.retry(opts, (flaky(2)), 1, nil)))
      assert.same({n = 3, nil, nil, 3}, H.pack(rl.retry(opts, (flaky(2)), nil, nil, 3)))
    end
  end)

  it("gives the last failure as it is: values", function()
    local fn, calls = flaky(9)
    local got = H.pack(rl.retry({backoff = 0}, function()
      local _, msg, code = fn()
      return nil, msg, code, 5, nil
    end))
    assert.same({n = 5, nil, "EDOWN: call 3", "EDOWN", 5, nil}, got)
    assert.equal(3, calls.n)
  end)

  it("gives the last failure as it is: an error", function()
    local raised = {}
    local err = H.raises(rl.retry, {backoff = 0, attempts = 4}, function()
      raised[#raised + 1] = {}
      error(raised[#raised])
    end)
    assert.equal(4, #raised)
    assert.is_true(rawequal(raised[4], err))
  end)

  it("takes one attempt literally", function()
    local fn, calls = flaky(9)
    rl.retry({attempts = 1}, fn)
    assert.equal(1, calls.n)
  end)

  it("does not take false, or nil without a code, for a failure", function()
    local n = 0
    assert.is_nil(rl.retry({}, function() n = n + 1 return nil, "no more" end))
    assert.is_false(rl.retry({}, function() n = n + 1 return false, "x", "EX" end))
    assert.equal(2, n)
  end)
end)

H.sim("backoff", function(it)
  it("grows by its factor up to its maximum", function()
    assert.same({0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10, 10},
      delays_of({backoff = {}, jitter = "none"}, 10))
    assert.same({1, 3, 9, 20, 20},
      delays_of({backoff = {base = 1, factor = 3, max = 20}, jitter = "none"}, 6))
    local delays = delays_of({backoff = {max = 1}, jitter = "none"}, 2000)
    assert.equal(1, delays[1999])
  end)

  it("is a number, exactly, or what a function says", function()
    local began = rl.now()
    assert.same({0.25, 0.25}, delays_of({backoff = 0.25}, 3))
    assert_took(0.5, began)
    assert.same({2, 3, 4}, delays_of({backoff = function(n) return n + 1 end}, 4))
    H.raises_text("backoff must give seconds of at least 0, not -1", delays_of,
      {backoff = function() return -1 end}, 2)
    H.raises_text("not nil", delays_of, {backoff = function() end}, 2)
  end)

  it("is waited for", function()
    local began, at = rl.now(), {}
    rl.retry({backoff = {base = 1}, jitter = "none", attempts = 4}, function()
      at[#at + 1] = rl.now() - began
      return down()
    end)
    for i, t in ipairs{0, 1, 3, 7} do
      assert.is_true(at[i] >= t and at[i] <= t + H.TICK)
    end
    assert_took(7, began)
  end)
end)

H.sim("jitter", function(it)
  local GREATEST = 0x7fffffff

  it("full goes from 0 to the delay", function()
    local opts = {backoff = {base = 1, factor = 2}, jitter = "full"}
    with_random(0, function() assert.same({0, 0, 0}, delays_of(opts, 4)) end)
    with_random(GREATEST, function()
      for i, t in ipairs(delays_of(opts, 4)) do
        assert.is_true(t < 2 ^ (i - 1) and t > 2 ^ (i - 1) - 1e-8)
      end
    end)
  end)

  it("equal goes from half of the delay to all of it", function()
    local opts = {backoff = {base = 1, factor = 2}, jitter = "equal"}
    with_random(0, function() assert.same({0.5, 1, 2}, delays_of(opts, 4)) end)
    with_random(GREATEST, function()
      for i, t in ipairs(delays_of(opts, 4)) do
        assert.is_true(t < 2 ^ (i - 1) and t > 2 ^ (i - 1) - 1e-8)
      end
    end)
  end)

  it("decorrelated goes from the base to three times the last", function()
    local opts = {backoff = {base = 1, max = 20}, jitter = "decorrelated"}
    with_random(0, function() assert.same({1, 1, 1}, delays_of(opts, 4)) end)
    with_random(GREATEST, function()
      for i, t in ipairs(delays_of(opts, 4)) do
        local most = math.min(20, 3 ^ i)
        assert.is_true(t <= most and t > most - 1e-6)
      end
    end)
    with_random(2 ^ 30, function() assert.same({2, 3.5, 5.75}, delays_of(opts, 4)) end)
  end)

  it("is spread evenly over its range", function()
    local function mean(jitter)
      local sum, least, most = 0, math.huge, 0
      local delays = delays_of({backoff = NONE, jitter = jitter}, H.rounds(20001, 2001))
      for _, t in ipairs(delays) do
        sum, least, most = sum + t, math.min(least, t), math.max(most, t)
      end
      return sum / #delays, least, most
    end
    local full, low, high = mean "full"
    assert.is_true(math.abs(full - 0.5) < 0.03 and low < 0.01 and high > 0.99 and high < 1)
    local equal
    equal, low, high = mean "equal"
    assert.is_true(math.abs(equal - 0.75) < 0.03 and low >= 0.5 and high > 0.99 and high < 1)
  end)

  it("is full by default, but not of a number or a function", function()
    with_random(2 ^ 30, function()
      assert.same({0.05, 0.1}, delays_of({}, 3))
      assert.same({1, 1}, delays_of({backoff = 1}, 3))
      assert.same({0.5, 0.5}, delays_of({backoff = 1, jitter = "full"}, 3))
      assert.same({0.5, 1}, delays_of({backoff = function(n) return n end, jitter = "full"}, 3))
    end)
  end)
end)

describe("jitter", function()
  it("repeats with the seed, and differs with another", function()
    local function of(seed)
      local delays
      H.run(function() delays = delays_of({}, 6) end, {seed = seed})
      return delays
    end
    assert.same(of(7), of(7))
    assert.are_not.same(of(7), of(8))
  end)
end)

H.sim("the time for everything", function(it)
  it("lets no attempt begin when it is up", function()
    for timeout, wanted in pairs{[2.9] = 3, [3] = 3, [3.1] = 4} do
      local fn, calls = flaky(99)
      local began = rl.now()
      local _, msg = rl.retry({attempts = 99, backoff = 1, timeout = timeout}, fn)
      assert.equal("EDOWN: call " .. wanted, msg)
      assert.equal(wanted, calls.n)
      assert_took(wanted - 1, began) -- at once, and not when the time is up
      assert_clean()
    end
  end)

  it("ends an attempt that is under way", function()
    local began = rl.now()
    local n = 0
    local v, _, code = rl.retry({attempts = 99, backoff = 1, timeout = 3}, function()
      n = n + 1
      rl.sleep(n)
      return down()
    end)
    assert.same({nil, "ETIMEDOUT", 2}, {v, code, n})
    assert_took(3, began)
    assert_clean()
  end)

  it("is that of one attempt with 'attempt_timeout'", function()
    local began, n = rl.now(), 0
    local v, _, code = rl.retry({attempts = 3, backoff = 1, attempt_timeout = 5}, function()
      n = n + 1
      rl.sleep(100)
    end)
    assert.same({nil, "ETIMEDOUT", 3}, {v, code, n})
    assert_took(17, began)
    assert.equal(7, rl.retry({attempt_timeout = 5}, function() rl.sleep(4.9) return 7 end))
    assert.same({n = 0}, H.pack(rl.retry({attempt_timeout = 5}, function() end)))
    assert_clean()
  end)

  it("is the sooner of both", function()
    local began = rl.now()
    assert.is_nil((rl.retry({attempt_timeout = 2, timeout = 3, backoff = 0.5}, rl.sleep, 9)))
    assert_took(3, began)
    assert_clean()
  end)

  it("of 0 lets go well what does not wait", function()
    assert.equal(7, rl.retry({timeout = 0}, function() return 7 end))
    assert.equal("ETIMEDOUT", select(3, rl.retry({timeout = 0}, rl.sleep, 1)))
  end)
end)

H.both("a cancellation", function(it)
  it("is never tried again", function()
    local n = 0
    local task = rl.go(rl.retry, {backoff = 0}, function()
      n = n + 1
      rl.sleep(1000)
    end)
    let_wait(task)
    task:cancel("why")
    local ok, err = task:join()
    assert.is_false(ok)
    assert.same({true, "why"}, {rl.is_cancel(err)})
    assert.equal(1, n)
  end)

  it("ends the wait for the next attempt", function()
    local before = timers_before()
    local fn, calls = flaky(9)
    local task = rl.go(rl.retry, {backoff = 1000}, fn)
    let_wait(task)
    assert.equal(before + 1, rl.stats().timers)
    task:cancel()
    assert.is_true(rl.is_cancel(select(2, task:join())))
    assert.equal(1, calls.n)
    assert.equal(before, rl.stats().timers)
  end)

  it("from outside is none of 'attempt_timeout'", function()
    local before = timers_before()
    local n = 0
    local ok, _, code = rl.timeout(0.01, rl.retry, {attempt_timeout = 1000, backoff = 0}, function()
      n = n + 1
      rl.sleep(1000)
    end)
    assert.same({nil, "ETIMEDOUT", 1}, {ok, code, n})
    assert.equal(before, rl.stats().timers)
  end)

  it("of something that was called is raised", function()
    local other = rl.go(rl.sleep, 1000)
    rl.yield()
    other:cancel()
    local n = 0
    local err = H.raises(rl.retry, {backoff = 0}, function()
      n = n + 1
      local _, e = other:join()
      error(e, 0)
    end)
    assert.is_true(rl.is_cancel(err))
    assert.equal(1, n)
  end)
end)

H.sim("what is tried again", function(it)
  local function tries(retry_on, fn)
    local n = 0
    pcall(rl.retry, {retry_on = retry_on, attempts = 3, backoff = 0}, function()
      n = n + 1
      return fn()
    end)
    return n
  end

  it("is in a list of codes, returned or raised", function()
    assert.equal(3, tries({"EOTHER", "EDOWN"}, down))
    assert.equal(1, tries({"EOTHER"}, down))
    assert.equal(1, tries({}, down))
    assert.equal(3, tries({"EDOWN"}, function() rl.check(down()) end))
    assert.equal(1, tries({"EOTHER"}, function() rl.check(down()) end))
    assert.equal(1, tries({"EDOWN"}, function() error("EDOWN: a text", 0) end))
  end)

  it("is what a function says", function()
    local seen = {}
    local function ask(...)
      seen[#seen + 1] = H.pack(...)
      return select(3, ...) < 2
    end
    assert.equal(2, tries(ask, down))
    assert.same({{n = 4, "EDOWN: down", "EDOWN", 1}, {n = 4, "EDOWN: down", "EDOWN", 2}}, seen)
    seen = {}
    tries(ask, function() error("why", 0) end)
    assert.same({n = 4, "why", nil, 1}, seen[1])
    seen = {}
    tries(ask, function() return nil, "EX: x", "EX", "more" end)
    assert.same({n = 4, "EX: x", "EX", 1, "more"}, seen[1])
  end)

  it("may be said after how many seconds", function()
    assert.same({7, 7}, delays_of({retry_on = function() return 7 end}, 3))
    assert.same({0}, delays_of({retry_on = function() return -1 end}, 2))
  end)

  it("waits as long as a refusal says, at least", function()
    local function refuse(code, after)
      return function() return nil, code .. ": no", code, after end
    end
    assert.same({5}, delays_of({backoff = 1}, 2, refuse("EOVERLOAD", 5)))
    assert.same({5}, delays_of({backoff = 1}, 2, refuse("EOPEN", 5)))
    assert.same({1}, delays_of({backoff = 1}, 2, refuse("EOPEN", 0.5)))
    assert.same({1}, delays_of({backoff = 1}, 2, refuse("EDOWN", 5)))
    assert.same({1}, delays_of({backoff = 1}, 2, refuse("EOPEN", "5")))
    local began = rl.now()
    assert.same({}, delays_of({backoff = 1, timeout = 4}, 2, refuse("EOPEN", 5)))
    assert.equal(began, rl.now())
  end)

  it("is told of before the wait", function()
    local seen, fn = {}, flaky(2)
    local began = rl.now()
    rl.retry({backoff = 1, on_retry = function(...)
      seen[#seen + 1] = {H.pack(...), math.floor(rl.now() - began)}
    end}, fn)
    assert.same({{{n = 4, 1, "EDOWN: call 1", 1, "EDOWN"}, 0},
      {{n = 4, 2, "EDOWN: call 2", 1, "EDOWN"}, 1}}, seen)
  end)
end)

H.sim("a retrier", function(it)
  it("counts, and says why calls failed", function()
    local r = rl.retrier{backoff = 1, timeout = 2.5, attempts = 3,
      retry_on = {"EDOWN"}, budget = rl.retry_budget{min_per_second = 0.7, ratio = 0}}
    assert.equal(1, r:call(flaky(0), 1))
    assert.equal(1, r:call(flaky(2), 1))
    r:call(down)
    r:call(function() return nil, "EX: x", "EX" end)
    r:call(function() rl.sleep(2) return down() end)
    r:call(flaky(2), 1)
    r:call(flaky(1), 1)
    r:call(down)
    assert.same({calls = 8, retries = 7, recovered = 3, failures = 4, exhausted = 1, unfit = 1,
      out_of_time = 1, over_budget = 1}, r:stats())
    assert.equal("ringlet.retrier: 3 attempts, 8 calls, 7 retries, 4 failures", tostring(r))
    assert.equal("ringlet.retrier: inf attempts, 0 calls, 0 retries, 0 failures",
      tostring(rl.retrier{attempts = math.huge}))
  end)

  it("keeps to a budget that others share, when everything fails", function()
    local budget = rl.retry_budget{ratio = 0.1, min_per_second = 0, window = 1000}
    local a, b = rl.retrier{budget = budget, backoff = 0}, rl.retrier{budget = budget, backoff = 0}
    local fn, calls = flaky(1e9)
    for _ = 1, 500 do
      local began = rl.now()
      a:call(fn)
      b:call(fn)
      assert.equal(began, rl.now())
    end
    assert.equal(1100, calls.n)
    assert.equal(100, a:stats().retries + b:stats().retries)
  end)

  it("serves many tasks at a time", function()
    local r = rl.retrier{attempts = 5, backoff = {base = 0.5}}
    local results = rl.map({0, 1, 2, 3, 4, 5}, function(failures)
      local fn = flaky(failures)
      return (r:call(fn, failures)) or "failed"
    end)
    assert.same({0, 1, 2, 3, 4, "failed"}, results)
    assert_clean()
  end)
end)

describe("retry", function()
  it("needs no run when the first attempt decides", function()
    assert.equal(7, rl.retry({}, function() return 7 end))
    assert.equal("EX", select(3, rl.retry({attempts = 1}, function() return nil, "x", "EX" end)))
    H.raises_text("not inside a task", rl.retry, {backoff = 1}, down)
  end)

  it("refuses options that make no sense, at the caller's level", function()
    local wrong = {
      {{attempts = 0}, "at least 1"}, {{attempts = 1.5}, "whole number"},
      {{timeout = -1}, "option 'timeout'"},
      {{attempt_timeout = 0}, "more than 0"}, {{tries = 1}, "unknown option 'tries'"},
      {{jitter = "half"}, "'full' or 'equal'"}, {{backoff = -1}, "option 'backoff'"},
      {{backoff = {base = 0}}, "option 'base'"}, {{backoff = {bas = 1}}, "unknown option 'bas'"},
      {{backoff = {factor = 0.5}}, "option 'factor'"}, {{budget = {}}, "must be a retry_budget"},
      {{retry_on = {1}}, "retry_on[1] must be a code"},
      {{backoff = print, jitter = "decorrelated"}, "needs a backoff with 'base'"},
    }
    for _, w in ipairs(wrong) do
      for _, call in ipairs{
        function() return (rl.retrier(w[1])) end,
        function() return (rl.retry(w[1], down)) end,
      } do
        local err = tostring(H.raises_text(w[2], call))
        assert.is_truthy(err:find(HERE, 1, true), err)
      end
    end
    local err = H.raises_text("function expected, got nil", function() return (rl.retry({})) end)
    assert.is_truthy(err:find(HERE, 1, true), err)
    local r = rl.retrier()
    err = H.raises_text("function expected, got number", function() return (r:call(1)) end)
    assert.is_truthy(err:find(HERE, 1, true), err)
  end)
end)
