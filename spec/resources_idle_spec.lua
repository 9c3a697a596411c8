-- SPDX-License-Identifier: MIT
local rl = require "ringlet"
local H = require "spec.helper"
local P = require "spec.resource_pool"

local new_pool, finish, turns, fails = P.new, P.finish, P.turns, P.fails

H.sim("time in a resource pool", function(it)
  it("idle_timeout: reused after 29.999 s, closed at 30 s", function()
    local pool, seen = new_pool()
    pool:release((pool:acquire()))
    rl.sleep(29.99)
    local r = pool:acquire()
    assert.same({1}, r)
    pool:release(r)
    local at = rl.now()
    rl.sleep(29.999)
    assert.equal(1, pool:stats().idle)
    rl.sleep(30 + H.TICK - (rl.now() - at))
    assert.same({0, 1}, {pool:stats().idle, pool:stats().closed.idle})
    assert.same({"open 1", "close 1 idle"}, seen.log)
    finish(pool, seen)
  end)

  it("idle_timeout closes what has been idle for so long, not what was used since", function()
    local closed = {}
    local t0 = rl.now()
    local pool = rl.resources{
      idle_timeout = 10, open = function() return {} end,
      close = function(r) closed[#closed + 1] = {r.name, math.floor(rl.now() - t0)} end,
    }
    local a, b = pool:acquire(), pool:acquire()
    a.name, b.name = "a", "b"
    pool:release(a)
    rl.sleep(3)
    pool:release(b)
    rl.sleep(5)
    pool:release((pool:acquire())) -- b, the warm one
    rl.sleep(30)
    assert.same({{"a", 10}, {"b", 18}}, closed)
    assert.is_true(pool:close(0))
  end)

  it("reuse_within: not reused after 30 s, closed at 90 s or when it is found", function()
    local pool, seen = new_pool{idle_timeout = 90, reuse_within = 30}
    local function idle_for(t)
      pool:release((pool:acquire()))
      rl.sleep(t)
      local r = pool:acquire()
      pool:release(r)
      return r[1]
    end
    assert.equal(1, idle_for(29.99))
    assert.equal(2, idle_for(30))
    assert.equal("close 1 idle", seen.log[2])
    rl.sleep(89.9)
    assert.equal(1, pool:stats().idle)
    rl.sleep(0.1 + H.TICK)
    assert.same({0, 2}, {pool:stats().idle, pool:stats().closed.idle})
    finish(pool, seen)
  end)

  it("max_lifetime: idle ones are closed then, borrowed ones when they come back", function()
    local pool, seen = new_pool{max_lifetime = 60, jitter = 0, idle_timeout = 1000}
    local a, b = pool:acquire(), pool:acquire()
    pool:release(b)
    rl.sleep(59.99)
    assert.equal(1, pool:stats().idle)
    rl.sleep(0.01 + H.TICK)
    assert.same({"open 1", "open 2", "close 2 lifetime"}, seen.log)
    pool:release(a)
    turns()
    assert.equal("close 1 lifetime", seen.log[4])
    finish(pool, seen)
  end)

  it("max_lifetime with jitter is shorter by up to 2.5 %, not the same for all", function()
    local pool, seen = new_pool{max_lifetime = 1000, idle_timeout = 1e6, max = 50}
    local list = {}
    for i = 1, 50 do list[i] = pool:acquire() end
    for i = 1, 50 do pool:release(list[i]) end
    rl.sleep(974.9)
    assert.equal(50, pool:stats().idle)
    rl.sleep(12.6)
    local half = pool:stats().idle
    assert.is_true(half > 5 and half < 45, half) -- the lifetimes are random, also here
    rl.sleep(12.5)
    assert.equal(0, pool:stats().idle)
    finish(pool, seen)
  end)

  it("max_uses: closed after so many, the 17th opens a new one", function()
    local pool, seen = new_pool{max_uses = 16}
    for i = 1, 40 do
      local r = pool:acquire()
      assert.equal(math.ceil(i / 16), r[1])
      pool:release(r)
    end
    assert.equal(2, pool:stats().closed.uses)
    finish(pool, seen)
  end)

  it("acquire_timeout: refused at 5 s, not before; an own one comes before it", function()
    local pool, seen = new_pool{max = 1, acquire_timeout = 5}
    local r = pool:acquire()
    for _, case in ipairs{{nil, 5}, {7, 7}} do
      local at = rl.now()
      fails("ETIMEDOUT", pool:acquire(case[1]))
      assert.near(case[2], rl.now() - at, H.TICK)
    end
    rl.go(function()
      rl.sleep(4.99)
      pool:release(r)
    end)
    assert.equal(r, pool:acquire())
    pool:release(r)
    finish(pool, seen)
  end)

  it("check_after: no check before 2 s idle", function()
    local checks = 0
    local pool, seen = new_pool{check_after = 2, check = function()
      checks = checks + 1
      return true
    end}
    for _, case in ipairs{{0, 0}, {1.99, 0}, {2, 1}, {1, 1}} do
      pool:release((pool:acquire()))
      rl.sleep(case[1])
      pool:release((pool:acquire()))
      assert.equal(case[2], checks)
    end
    finish(pool, seen)
  end)

  it("max_idle: the longest idle is closed", function()
    local pool, seen = new_pool{max_idle = 2}
    local list = {}
    for i = 1, 4 do list[i] = pool:acquire() end
    for i = 1, 4 do pool:release(list[i]) end
    turns()
    assert.equal(2, pool:stats().idle)
    assert.equal("close 1 surplus", seen.log[5])
    assert.equal("close 2 surplus", seen.log[6])
    assert.equal(list[4], pool:acquire())
    pool:release(list[4])
    assert.equal(1, pool:trim(1))
    assert.equal(1, pool:trim())
    finish(pool, seen)
  end)

  it("no timer is left while somebody waits, for then nothing is idle", function()
    local pool, seen = new_pool{max = 1}
    local before = rl.stats().timers
    pool:release((pool:acquire()))
    local r = pool:acquire()
    assert.equal(before + 1, rl.stats().timers)
    local task = rl.go(function() pool:release((pool:acquire())) end)
    turns()
    assert.equal(before, rl.stats().timers)
    pool:release(r)
    task:join()
    assert.equal(before + 1, rl.stats().timers)
    finish(pool, seen)
    assert.equal(before, rl.stats().timers)
  end)

  it("a pool that nobody uses wakes nobody", function()
    local pool, seen = new_pool{min_idle = 2, idle_timeout = 10}
    local a, b, c = pool:acquire(), pool:acquire(), pool:acquire()
    for _, r in ipairs{a, b, c} do pool:release(r) end
    rl.sleep(100)
    local timers, turn = rl.stats().timers, rl.stats().turns
    rl.sleep(1e4)
    assert.is_true(rl.stats().turns - turn <= 6, rl.stats().turns - turn)
    pool:close()
    assert.equal(timers, rl.stats().timers)
    finish(pool, seen)
  end)
end)

H.sim("min_idle", function(it)
  it("is filled from the beginning, and again when one is taken or closed", function()
    local pool, seen = new_pool{min_idle = 2, max = 3}
    turns()
    assert.equal(2, pool:stats().idle)
    local a = pool:acquire()
    turns()
    assert.same({2, 3}, {pool:stats().idle, seen.live})
    pool:discard(a)
    turns()
    assert.same({2, 2}, {pool:stats().idle, seen.live})
    finish(pool, seen)
  end)

  it("is kept by idle_timeout: only what is above is closed", function()
    local pool, seen = new_pool{min_idle = 2, idle_timeout = 10, max = 4}
    local list = {}
    for i = 1, 4 do list[i] = pool:acquire() end
    for i = 1, 4 do pool:release(list[i]) end
    rl.sleep(10 + H.TICK)
    assert.same({2, 2}, {pool:stats().idle, pool:stats().closed.idle})
    rl.sleep(1000)
    assert.equal(2, pool:stats().idle)
    -- One more, and the longest idle is over its time at once.
    local a, b, c = pool:acquire(), pool:acquire(), pool:acquire()
    pool:release(a)
    pool:release(b)
    pool:release(c)
    rl.sleep(10 + H.TICK)
    assert.equal(2, pool:stats().idle)
    finish(pool, seen)
  end)

  it("is filled again after a lifetime, for ever", function()
    local pool, seen = new_pool{min_idle = 1, max_lifetime = 10, jitter = 0}
    rl.sleep(95)
    assert.same({1, 10, 9}, {pool:stats().idle, seen.opened, pool:stats().closed.lifetime})
    finish(pool, seen)
  end)

  it("is tried again later and later while open fails, and from anew after it worked", function()
    local times, t0, failing = {}, rl.now(), true
    local pool = rl.resources{
      min_idle = 1, backoff = 1, backoff_max = 5,
      open = function()
        times[#times + 1] = math.floor(rl.now() - t0 + 0.5)
        if failing then return nil, "EX: no", "EX" end
        return {}
      end,
    }
    rl.sleep(24)
    assert.same({0, 1, 3, 7, 12, 17, 22}, times)
    -- Who asks is not kept waiting, and has the failure.
    fails("EX", pool:acquire())
    assert.equal(8, #times)
    failing = false
    rl.sleep(5)
    assert.equal(1, pool:stats().idle)
    failing, times = true, {}
    t0 = rl.now()
    pool:discard((pool:acquire()))
    rl.sleep(4)
    assert.same({0, 1, 3}, times)
    pool:close()
    rl.sleep(100)
    assert.equal(3, #times)
  end)

end)
