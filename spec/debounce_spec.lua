-- SPDX-License-Identifier: MIT
-- Many calls become one: debounce and throttle.
local H = require "spec.helper"
local rl = require "ringlet"

local HERE = "spec/debounce_spec.lua:"

-- A function that notes when it was called, with what.
local function recorder(takes)
  local log, zero = {}, rl.now()
  return function(...)
    log[#log + 1] = {at = rl.now() - zero, H.pack(...)}
    if takes then
      rl.sleep(takes)
    end
  end, log
end

-- Call d(i) at each of these seconds; then look at when the function was called with what.
local function play(d, log, times, wanted)
  local zero = rl.now()
  for i, t in ipairs(times) do
    rl.sleep(t - (rl.now() - zero))
    d(i)
  end
  while d:pending() or tostring(d):find "running" do
    rl.sleep(0.5)
  end
  local got = {}
  for i, call in ipairs(log) do
    local at = wanted[i] and wanted[i][1] or -1
    local is_near = call.at >= at and call.at <= at + H.TICK
    got[i] = {is_near and at or call.at, call[1][1]}
  end
  assert.same(wanted, got)
end

local function assert_clean()
  rl.yield()
  rl.yield()
  local s = rl.stats()
  assert.same({1, 2}, {s.timers, s.tasks})
end

H.sim("debounce", function(it)
  it("calls once, t seconds after the last call, with its arguments", function()
    local fn, log = recorder()
    play(rl.debounce(fn, 1), log, {0, 0.5, 1, 1.99, 2.5}, {{3.5, 5}})
    fn, log = recorder()
    local d = rl.debounce(fn, 1)
    d("a", nil, nil)
    rl.sleep(1.5)
    assert.same({n = 3, "a"}, log[1][1])
    assert_clean()
  end)

  it("calls again after t seconds of quiet, not less", function()
    local fn, log = recorder()
    play(rl.debounce(fn, 1), log, {0, 0.99, 2.01, 3.2}, {{1.99, 2}, {3.01, 3}, {4.2, 4}})
  end)

  it("with 'leading' calls at once, and at the end if there was more", function()
    local fn, log = recorder()
    play(rl.debounce(fn, 1, {leading = true}), log, {0, 2, 2.5, 2.9, 5},
      {{0, 1}, {2, 2}, {3.9, 4}, {5, 5}})
    assert_clean()
  end)

  it("with 'leading' alone calls at the first of each burst", function()
    local fn, log = recorder()
    play(rl.debounce(fn, 1, {leading = true, trailing = false}), log,
      {0, 0.5, 1.4, 2.39, 3.4, 4.5}, {{0, 1}, {3.4, 5}, {4.5, 6}})
    assert_clean()
  end)

  it("with 'max_wait' calls though calls do not stop", function()
    local fn, log = recorder()
    play(rl.debounce(fn, 1, {max_wait = 2.2}), log, {0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4},
      {{2.2, 5}, {4.4, 9}})
    fn, log = recorder()
    play(rl.debounce(fn, 1, {max_wait = 2.2, leading = true}), log, {0, 0.5, 1, 1.5, 2, 2.5},
      {{0, 1}, {2.2, 5}, {3.5, 6}})
    fn, log = recorder()
    play(rl.debounce(fn, 1, {max_wait = 2.2, leading = true, trailing = false}), log,
      {0, 0.5, 1, 1.5, 2, 2.5, 3}, {{0, 1}, {2.5, 6}})
  end)

  it("calls the function for one call at a time", function()
    local fn, log = recorder(5)
    play(rl.debounce(fn, 1), log, {0, 1.5, 2, 3}, {{1, 1}, {6, 4}})
    fn, log = recorder(5)
    play(rl.debounce(fn, 1, {leading = true}), log, {0, 2, 4.5}, {{0, 1}, {5.5, 3}})
    assert_clean()
  end)

  it("can be called by its own function", function()
    local n, d = 0, nil
    d = rl.debounce(function()
      n = n + 1
      if n < 3 then d() end
    end, 1)
    local began = rl.now()
    d()
    while d:pending() do rl.sleep(0.1) end
    assert.equal(3, n)
    assert.is_true(rl.now() - began >= 3)
    assert_clean()
  end)

  it("sets a timer once in t seconds, however many calls come", function()
    local fn, log = recorder()
    local d = rl.debounce(fn, 1)
    d(0)
    local parks = rl.stats().parks
    for i = 1, 990 do
      d(i)
      rl.sleep(0.001)
    end
    assert.is_nil(log[1])
    assert.is_true(rl.stats().parks - parks <= 990 + 5)
    d:cancel()
    assert_clean()
  end)

  it("cancel forgets what waits", function()
    local fn, log = recorder()
    local d = rl.debounce(fn, 1)
    d:cancel()
    d(1)
    assert.is_true(d:pending())
    d:cancel()
    assert.is_false(d:pending())
    assert_clean()
    d(2)
    d:cancel()
    d(3)
    rl.sleep(1.01)
    assert.same({n = 1, 3}, log[1][1])
    assert.equal(1, #log)
    local e = rl.debounce(fn, 1, {leading = true, trailing = false})
    e(4)
    rl.yield()
    e:cancel()
    e(5)
    rl.yield()
    assert.equal(3, #log)
    assert_clean()
  end)

  it("flush calls now", function()
    local fn, log = recorder()
    local d = rl.debounce(fn, 1)
    assert.is_false(d:flush())
    d(1)
    rl.yield()
    assert.is_true(d:flush())
    rl.yield()
    assert.equal(1, #log)
    assert.is_false(d:flush())
    d(2)
    assert.is_true(d:flush()) -- before its task has run
    rl.yield()
    assert.equal(2, #log)
    assert_clean()
    rl.sleep(5)
    assert.equal(2, #log)
  end)

  it("tells on_error of errors, and goes on", function()
    local errors = {}
    rl.on_error(function(err, trace) errors[#errors + 1] = {err, trace} end)
    local d = rl.debounce(function(v) error(v, 0) end, 1)
    d("a")
    rl.sleep(1.5)
    d("b")
    rl.sleep(1.5)
    assert.same({"a", "b"}, {errors[1][1], errors[2][1]})
    assert.is_truthy(errors[1][2]:find("debounce_spec", 1, true))
    assert.same({calls = 2, invocations = 2, failures = 2}, d:stats())
    assert_clean()
  end)

  it("takes somebody else's cancellation for nothing", function()
    local other = rl.go(rl.sleep, 100)
    rl.yield()
    other:cancel()
    local n = 0
    local d = rl.debounce(function()
      n = n + 1
      local _, err = other:join()
      error(err, 0)
    end, 1)
    d()
    rl.sleep(1.5)
    d()
    rl.sleep(1.5)
    assert.same({2, 0}, {n, d:stats().failures})
    assert_clean()
  end)

  it("tells its state", function()
    local d = rl.debounce(recorder(5), 1)
    assert.equal("ringlet.debouncer: debounce, idle, 0 calls became 0", tostring(d))
    d()
    assert.equal("ringlet.debouncer: debounce, pending, 1 calls became 0", tostring(d))
    rl.sleep(2)
    assert.equal("ringlet.debouncer: debounce, running, 1 calls became 1", tostring(d))
    rl.sleep(5)
    assert.equal("ringlet.debouncer: debounce, idle, 1 calls became 1", tostring(d))
  end)
end)

H.sim("throttle", function(it)
  local STREAM = {0, 0.3, 0.6, 0.9, 1.2, 1.5, 1.8, 2.1, 2.4}

  it("calls at once, then once in t seconds with the last arguments", function()
    local fn, log = recorder()
    play(rl.throttle(fn, 1), log, STREAM, {{0, 1}, {1, 4}, {2, 7}, {3, 9}})
    assert_clean()
  end)

  it("keeps the first call's arguments though others come before it is made", function()
    local fn, log = recorder()
    local d = rl.throttle(fn, 1)
    for i = 1, 9 do d(i) end
    assert.is_true(d:pending())
    rl.sleep(3)
    assert.same({1, 9}, {log[1][1][1], log[2][1][1]})
    for i = 1, 9 do d(i) end
    assert.is_true(d:flush()) -- both
    rl.yield()
    assert.same({1, 9}, {log[3] and log[3][1][1], log[4] and log[4][1][1]})
    assert_clean()
  end)

  it("without 'trailing' drops what comes too early", function()
    local fn, log = recorder()
    play(rl.throttle(fn, 1, {trailing = false}), log, STREAM, {{0, 1}, {1.2, 5}, {2.4, 9}})
  end)

  it("without 'leading' begins t seconds later", function()
    local fn, log = recorder()
    play(rl.throttle(fn, 1, {leading = false}), log, STREAM, {{1, 4}, {2, 7}, {3, 9}})
  end)

  it("never calls twice in t seconds, whatever calls come", function()
    for seed = 1, H.rounds(300, 20) do
      math.randomseed(seed)
      local last, n = -math.huge, 0
      local trailing = math.random(2) == 1
      local d = rl.throttle(function()
        if rl.now() - last < 1 - 1e-6 then
          error(("seed %d: twice in %g s"):format(seed, rl.now() - last))
        end
        last, n = rl.now(), n + 1
      end, 1, {trailing = trailing, leading = not trailing or math.random(2) == 1})
      local began = rl.now()
      for _ = 1, 30 do
        d()
        rl.sleep(math.random() * math.random(3) / 2)
      end
      local took = rl.now() - began
      rl.sleep(2)
      assert.is_true(n <= took + 2 and n >= took / 2.6)
    end
    assert_clean()
  end)
end)

H.on("uring", "debounce", function(it)
  it("becomes one call", function()
    local t, got, n = 0.005
    repeat -- on a busy machine the calls may take longer than that
      n = 0
      local d = rl.debounce(function(v) got, n = v, n + 1 end, t)
      for i = 1, 100 do d(i) end
      while d:pending() do rl.sleep(0.005) end
      assert.equal(100, got)
      t = 2 * t
    until n == 1 or t > 10
    assert.equal(1, n)
  end, {preempt = false})
end)

describe("debounce", function()
  it("is awaited by run", function()
    local got
    H.run(function() rl.debounce(function(v) got = v end, 60)(7) end)
    assert.equal(7, got)
  end)

  it("keeps no run that has nothing to wait for", function()
    local took
    H.run(function()
      local began = rl.now()
      rl.throttle(print, 1000, {trailing = false}):cancel()
      local d = rl.throttle(function() took = rl.now() - began end, 1000)
      d()
    end)
    assert.is_true(took < 0.01)
  end)

  it("is cancelled by a stop, and can be used in the next run", function()
    local got = {}
    local d = rl.debounce(function(v) got[#got + 1] = v end, 1000)
    local e = rl.debounce(function(v)
      got[#got + 1] = v
      rl.sleep(1e6)
    end, 1, {leading = true})
    H.run(function()
      d(1)
      e(2)
      rl.sleep(2)
      e(3)
      rl.stop(0)
    end)
    assert.same({2}, got)
    assert.is_false(d:pending() or e:pending())
    H.run(function()
      e(4)
      rl.sleep(0.5)
      assert.same({2, 4}, got) -- leading: the calls of the run before do not count
      rl.stop(0)
    end)
    assert.equal("ringlet.debouncer: debounce, idle, 3 calls became 2", tostring(e))
  end)

  it("refuses what makes no sense, at the caller's level", function()
    local wrong = {
      {rl.debounce, {nil, 1}, "function expected"}, {rl.debounce, {print}, "seconds expected"},
      {rl.debounce, {print, -1}, "the time must be a number of at least 0"},
      {rl.debounce, {print, 1, {max_wait = 0.5}}, "option 'max_wait'"},
      {rl.debounce, {print, 1, {trailing = false}}, "it is never called"},
      {rl.debounce, {print, 1, {x = 1}}, "unknown option 'x'"},
      {rl.throttle, {nil, 1}, "function expected"}, {rl.throttle, {print, "1"}, "seconds expected"},
      {rl.throttle, {print, 1, {leading = false, trailing = false}}, "it is never called"},
      {rl.throttle, {print, 1, {max_wait = 1}}, "unknown option 'max_wait'"},
    }
    for _, w in ipairs(wrong) do
      local fn, a = w[1], w[2]
      local err = H.raises_text(w[3], function() return (fn(a[1], a[2], a[3])) end)
      assert.is_truthy(err:find(HERE, 1, true), err)
    end
    local d = rl.debounce(print, 1)
    for _, call in ipairs{function() d() end, function() d:call() end} do
      local err = H.raises_text("not inside a task", call)
      assert.is_truthy(err:find(HERE, 1, true), err)
    end
    d:cancel()
    assert.is_false(d:flush())
  end)
end)
