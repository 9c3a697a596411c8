-- SPDX-License-Identifier: MIT
local rl = require "ringlet"
local H = require "spec.helper"

H.sim("sleep", function(it)
  it("takes exactly its time", function()
    for _, t in ipairs{0.001, 0.5, 1, 60, 3600, 86400 * 365} do
      local t0 = rl.now()
      rl.sleep(t)
      assert.near(t, rl.now() - t0, H.TICK)
      assert.is_true(rl.now() - t0 >= t - 1e-6)
    end
  end, {timeout = 0})

  it("of 0 or less takes no time but lets others run", function()
    for _, t in ipairs{0, -1, -1e300} do
      local ran = false
      rl.go(function() ran = true end)
      local t0 = rl.now()
      rl.sleep(t)
      assert.equal(t0, rl.now())
      assert.is_true(ran)
    end
  end)

  it("wakes tasks in the order of their times", function()
    local log, wg = {}, rl.waitgroup()
    for _, n in ipairs{7, 3, 10, 1, 9, 5, 2, 8, 4, 6} do
      wg:go(function() rl.sleep(n) log[#log + 1] = n end)
    end
    wg:wait()
    assert.same({1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, log)
  end)

  it("wakes 1,000 tasks at random times, none early, in order", function()
    local x, last, woken, wg = 42, 0, 0, rl.waitgroup()
    local t0 = rl.now()
    for _ = 1, 1000 do
      x = (x * 1103515245 + 12345) % 2147483648
      local t = x % 100000 / 100
      wg:go(function()
        rl.sleep(t)
        local now = rl.now() - t0
        assert.near(t, now, H.TICK)
        assert.is_true(now >= last)
        last, woken = now, woken + 1
      end)
    end
    wg:wait()
    assert.equal(1000, woken)
  end, {timeout = 0})

  it("does not let time move while a task is ready", function()
    local t0 = rl.now()
    local sleeper = rl.go(rl.sleep, 0.001)
    for _ = 1, 1000 do
      rl.yield()
      assert.equal(t0, rl.now())
    end
    sleeper:join()
    assert.is_true(rl.now() > t0)
  end)

  it("takes an endless time until cancelled", function()
    local task = rl.go(rl.sleep, math.huge)
    rl.sleep(1e9)
    task:cancel()
    assert.is_false((task:join()))
  end, {timeout = 0})

  it("takes huge times", function()
    for _, t in ipairs{2 ^ 53, 2 ^ 63, 2 ^ 64, 1e300} do
      local task = rl.go(rl.sleep, t)
      rl.yield()
      task:cancel()
      assert.is_false((task:join()))
    end
  end)

  it("refuses what is no time", function()
    H.raises(rl.sleep, "soon")
    H.raises(rl.sleep, {})
    H.raises(rl.sleep, 0 / 0)
    H.raises(rl.sleep)
    local err = H.raises(function() rl.sleep({}) end)
    assert.is_truthy(tostring(err):find("spec/time_spec.lua:", 1, true), tostring(err))
  end)

  it("100,000 times by 1,000 tasks leaves no timer", function()
    local before, wg = rl.stats().timers, rl.waitgroup()
    for i = 1, 1000 do
      wg:go(function()
        for _ = 1, H.rounds(100, 2) do
          rl.sleep(i % 10 / 100)
        end
      end)
    end
    wg:wait()
    assert.equal(before, rl.stats().timers)
  end, {timeout = 0})
end)

H.on("uring", "sleep", function(it)
  it("is never early, and not late by much", function()
    for _, t in ipairs{0.001, 0.005, 0.02} do
      local t0 = rl.now()
      rl.sleep(t)
      local took = rl.now() - t0
      assert.is_true(took >= t - 1e-6, ("%g took %g"):format(t, took))
      assert.is_true(took < t + 30, ("%g took %g"):format(t, took))
    end
  end)

  it("of 10 tasks at once takes as long as the longest", function()
    H.eventually("less than one after the other", function() -- unless the machine is in the way
      local t0, wg = rl.now(), rl.waitgroup()
      for i = 1, 10 do
        wg:go(rl.sleep, i * 0.02)
      end
      wg:wait()
      return rl.now() - t0 < 1
    end)
  end)

  it("fires while two tasks hammer a channel", function()
    local ch, stop, fired = rl.chan(), false, 0
    local a = rl.go(function()
      while not stop do
        ch:send(true)
      end
      ch:close()
    end)
    local b = rl.go(function()
      for _ in ch:iter() do
        fired = fired + 0
      end
    end)
    for _ = 1, 100 do
      rl.sleep(0.0002)
      fired = fired + 1
    end
    stop = true
    a:join()
    b:join()
    assert.equal(100, fired)
  end)

  it("fires while a task does nothing but yield", function()
    local stop = false
    local hog = rl.go(function()
      while not stop do
        rl.yield()
      end
    end)
    for _ = 1, 20 do
      rl.sleep(0.0002)
    end
    stop = true
    assert.is_true((hog:join()))
  end)

  it("idles without turns", function()
    H.eventually("it idles", function() -- the collector has its share of the first idle time
      local before = rl.stats().turns
      rl.sleep(0.05)
      return rl.stats().turns - before <= 10
    end)
  end, {timeout = 0})
end)

H.both("now and time", function(it)
  it("now never goes back", function()
    local last = rl.now()
    for _ = 1, 1000 do
      local now = rl.now()
      assert.is_true(now >= last)
      last = now
    end
  end)

  it("differ by a constant", function()
    local function apart() -- when nothing comes between the two: it makes the first look early
      local most = -math.huge
      for _ = 1, 100 do most = math.max(most, rl.time() - rl.now()) end
      return most
    end
    local d = apart()
    rl.sleep(0.002)
    assert.near(d, apart(), 0.05)
  end)
end)

describe("virtual time", function()
  it("starts at the same instant in every run", function()
    local function start()
      return H.run(function() return rl.now(), rl.time() end)
    end
    local a, b = {start()}, {start()}
    assert.same(a, b)
  end)
end)

H.both("after", function(it)
  it("fires once and wait gives a time", function()
    local t0 = rl.now()
    local timer = rl.after(0.002)
    local at = timer:wait()
    assert.equal("number", type(at))
    assert.is_true(rl.now() - t0 >= 0.002 - 1e-6)
    assert.is_false(timer:stop())
  end)

  it("stop gives true once and it never fires after", function()
    local timer
    H.eventually("one is stopped before it fires", function()
      timer = rl.after(0.002)
      return timer:stop()
    end)
    assert.is_false(timer:stop())
    rl.sleep(0.004)
    assert.equal("ETIMEDOUT", select(3, rl.select({{timer}}, 0)))
  end)

  it("wakes every waiter", function()
    local timer, n, wg = rl.after(0.002), 0, rl.waitgroup()
    for _ = 1, 3 do
      wg:go(function() timer:wait() n = n + 1 end)
    end
    assert.is_true(wg:wait(30))
    assert.equal(3, n)
  end)
end)

H.sim("after", function(it)
  it("fires at exactly its time", function()
    local t0 = rl.now()
    rl.after(5):wait()
    assert.near(5, rl.now() - t0, H.TICK)
  end)

  it("of 0 or less fires at once", function()
    local t0 = rl.now()
    rl.after(0):wait()
    rl.after(-1):wait()
    assert.near(0, rl.now() - t0, H.TICK)
  end)

  it("fires 10 in the order of their times", function()
    local log, wg = {}, rl.waitgroup()
    for _, n in ipairs{3, 9, 1, 10, 5, 2, 8, 4, 7, 6} do
      local timer = rl.after(n)
      wg:go(function() timer:wait() log[#log + 1] = n end)
    end
    wg:wait()
    assert.same({1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, log)
  end)

  it("reset gives true while it is pending and moves it", function()
    local t0 = rl.now()
    local timer = rl.after(5)
    rl.sleep(3)
    assert.is_true(timer:reset(5))
    timer:wait()
    assert.near(8, rl.now() - t0, H.TICK)
  end)

  it("reset to an earlier time fires earlier", function()
    local t0 = rl.now()
    local timer = rl.after(100)
    local task = rl.go(function() timer:wait() end)
    rl.sleep(1)
    timer:reset(2)
    task:join()
    assert.near(3, rl.now() - t0, H.TICK)
  end)

  it("reset gives false after it fired and starts it again", function()
    local t0 = rl.now()
    local timer = rl.after(1)
    timer:wait()
    assert.is_false(timer:reset(2))
    timer:wait()
    assert.near(3, rl.now() - t0, H.TICK)
  end)

  it("reset leaves no old firing behind", function()
    local timer = rl.after(1)
    rl.sleep(2)
    timer:reset(10)
    assert.equal("ETIMEDOUT", select(3, rl.select({{timer}}, 0)))
    local t0 = rl.now()
    timer:wait()
    assert.near(10, rl.now() - t0, H.TICK)
  end)

  it("stop leaves no old firing behind", function()
    local timer = rl.after(1)
    rl.sleep(2)
    timer:stop()
    assert.equal("ETIMEDOUT", select(3, rl.select({{timer}}, 5)))
  end)

  it("stopped before the end of the run does not hold it", function()
    local t0 = rl.now()
    local timer = rl.after(1e6)
    timer:stop()
    assert.equal(t0, rl.now())
  end)

  it("stop wakes nobody: a waiter of a stopped one waits for a reset", function()
    local timer = rl.after(5)
    local t0, at = rl.now(), nil
    local task = rl.go(function() timer:wait() at = rl.now() - t0 end)
    rl.yield()
    timer:stop()
    rl.sleep(20)
    assert.is_nil(at)
    timer:reset(1)
    task:join()
    assert.near(21, at, H.TICK)
  end)

  it("adjusted at random fires at its last time", function()
    local x = 7
    local function random(n)
      x = (x * 1103515245 + 12345) % 2147483648
      return math.floor(x / 65536) % n + 1
    end
    local timers, due, fired = {}, {}, {}
    local t0, wg = rl.now(), rl.waitgroup()
    for i = 1, 100 do
      due[i] = 1000 + random(1000)
      timers[i] = rl.after(due[i])
      wg:go(function() timers[i]:wait() fired[i] = rl.now() - t0 end)
    end
    for _ = 1, 500 do
      rl.sleep(1)
      local i = random(100)
      local t = 600 + random(1000)
      assert.is_true(timers[i]:reset(t))
      due[i] = rl.now() - t0 + t
    end
    wg:wait()
    for i = 1, 100 do
      assert.near(due[i], fired[i], H.TICK)
    end
  end, {timeout = 0})

  it("100,000 of 0 all fire", function()
    local n, fired = H.rounds(100000), 0
    for _ = 1, n / 100 do
      local wg = rl.waitgroup()
      for _ = 1, 100 do
        local timer = rl.after(0)
        wg:go(function() timer:wait() fired = fired + 1 end)
      end
      wg:wait()
    end
    assert.equal(n, fired)
  end, {timeout = 0})

  it("dropped without stop is collected", function()
    for _ = 1, 100 do
      rl.after(1)
    end
    rl.sleep(2)
    H.collect()
    assert.is_true(rl.stats().timers <= 1)
  end)

  it("refuses what is no time", function()
    H.raises(rl.after, "soon")
    H.raises(rl.after)
    H.raises(rl.after, 0 / 0)
  end)
end)

H.sim("ticker", function(it)
  it("ticks at exact times", function()
    local t0 = rl.now()
    local tick = rl.ticker(2)
    for i = 1, 10 do
      assert.equal("number", type((tick:recv())))
      assert.near(2 * i, rl.now() - t0, H.TICK)
    end
    tick:stop()
  end)

  it("drops ticks of a slow consumer", function()
    local t0 = rl.now()
    local tick = rl.ticker(1)
    rl.sleep(5.5)
    tick:recv()
    assert.near(5.5, rl.now() - t0, H.TICK)
    tick:recv()
    assert.near(6, rl.now() - t0, H.TICK)
    tick:recv()
    assert.near(7, rl.now() - t0, H.TICK)
    tick:stop()
  end)

  it("stop ends it, with no tick left over", function()
    local tick = rl.ticker(1)
    tick:recv()
    rl.sleep(1.5)
    tick:stop()
    assert.equal("ETIMEDOUT", select(3, rl.select({{tick}}, 10)))
    tick:stop()
  end)

  it("reset starts a new period from now, also after stop", function()
    local tick = rl.ticker(10)
    rl.sleep(5)
    local t0 = rl.now()
    tick:reset(2)
    tick:recv()
    assert.near(2, rl.now() - t0, H.TICK)
    tick:recv()
    assert.near(4, rl.now() - t0, H.TICK)
    tick:stop()
    rl.sleep(1)
    t0 = rl.now()
    tick:reset(3)
    tick:recv()
    assert.near(3, rl.now() - t0, H.TICK)
    tick:stop()
  end)

  it("reset drops a tick that waited", function()
    local tick = rl.ticker(1)
    rl.sleep(1.5)
    tick:reset(10)
    local t0 = rl.now()
    tick:recv()
    assert.near(10, rl.now() - t0, H.TICK)
    tick:stop()
  end)

  it("recv with a timeout says ETIMEDOUT and loses no tick", function()
    local tick = rl.ticker(2)
    local v, msg, code = tick:recv(1)
    assert.same({nil, "string", "ETIMEDOUT"}, {v, type(msg), code})
    local t0 = rl.now()
    assert.is_not_nil((tick:recv(5)))
    assert.near(1, rl.now() - t0, H.TICK)
    tick:stop()
  end)

  it("wait is recv", function()
    local t0 = rl.now()
    local tick = rl.ticker(1)
    assert.equal("number", type((tick:wait())))
    assert.near(1, rl.now() - t0, H.TICK)
    tick:stop()
  end)

  it("refuses a period of 0 or less", function()
    for _, bad in ipairs{0, -1, 0 / 0, "x", {}} do
      H.raises(rl.ticker, bad)
    end
    H.raises(rl.ticker)
    local tick = rl.ticker(1)
    H.raises(tick.reset, tick, 0)
    H.raises(tick.reset, tick, -1)
    tick:stop()
  end)
end)

H.on("uring", "ticker", function(it)
  it("makes 10 ticks, none early", function()
    local t0 = rl.now()
    local tick = rl.ticker(0.005)
    for _ = 1, 10 do
      tick:recv()
    end
    local took = rl.now() - t0
    tick:stop()
    assert.is_true(took >= 0.045, "took " .. took)
  end)
end)

describe("a run with timers nobody waits for", function()
  it("ends at once", function()
    local took = H.run(function()
      rl.ticker(1)
      rl.after(1e6)
      return 0
    end)
    assert.equal(0, took)
    assert.equal(0, rl.stats().tasks)
  end)
end)
