-- SPDX-License-Identifier: MIT
local rl = require "ringlet"
local H = require "spec.helper"
local P = require "spec.resource_pool"

local new_pool, turns, fails = P.new, P.turns, P.fails

describe("a resource pool and the run", function()
  it("made outside, opens nothing before it is used in one", function()
    local pool, seen = new_pool{min_idle = 1}
    fails("EAGAIN", pool:try_acquire())
    H.raises_text("not inside a task", pool.acquire, pool)
    pool:resize(5)
    assert.equal(0, seen.opened)
    H.run(function()
      local r = pool:acquire()
      turns()
      assert.equal(1, pool:stats().idle)
      pool:release(r)
    end)
    assert.equal(0, seen.live)
  end)

  it("what is open is closed at its end, and the next begins with none", function()
    local pool, seen = new_pool()
    local kept, other
    H.run(function()
      other, kept = pool:acquire(), pool:acquire()
      pool:release(other)
      rl.daemon(function()
        pool:with(function() rl.sleep(1000) end)
      end)
      seen.open_time = 1000
      rl.daemon(function() pool:acquire() end)
      rl.daemon(function() pool:acquire() end)
      rl.yield()
    end)
    assert.equal(2, pool:stats().closed.run + pool:stats().closed.broken)
    local s = pool:stats()
    assert.same({0, 0, 0, 0}, {s.open, s.waiting, s.opening, s.closing})
    seen.open_time = nil
    H.run(function()
      H.raises_text("not borrowed", pool.release, pool, other)
      pool:release(kept) -- the run before had lent it
      local r = pool:acquire()
      assert.equal(3, r[1])
      pool:release(r)
      rl.sleep(31)
      assert.equal(1, pool:stats().closed.idle)
    end)
  end)

  it("a leak that it did not live to see does not hide the next", function()
    local leaks = 0
    local pool = rl.resources{open = function() return {} end, leak_after = 10,
      on_leak = function() leaks = leaks + 1 end}
    H.run(function()
      pool:acquire()
      rl.sleep(5)
    end)
    H.run(function()
      local r = pool:acquire()
      rl.sleep(9)
      assert.equal(0, leaks)
      rl.sleep(2)
      assert.equal(1, leaks)
      pool:release(r)
    end)
  end)

  it("filling a pool does not keep it from its end", function()
    local pools, t0 = {}, nil
    H.run(function()
      t0 = rl.now()
      pools[1] = rl.resources{min_idle = 1, open = function() rl.sleep(100) return {} end}
      pools[2] = rl.resources{min_idle = 2, open = function() return {} end, max_lifetime = 10}
      pools[3] = rl.resources{min_idle = 2, open = function() return nil end}
      rl.sleep(25)
      t0 = rl.now() - t0
    end)
    assert.near(25, t0, H.TICK)
    local a, b, c = pools[1]:stats(), pools[2]:stats(), pools[3]:stats()
    assert.same({0, 6, 0}, {a.opened, b.opened, c.open})
  end)

  it("a pool that waits in vain is a deadlock, and is named in its report", function()
    local err = H.raises(H.run, function()
      local pool = rl.resources{open = function() return {} end, max = 1, name = "db",
        idle_timeout = 1e6}
      pool:release((pool:acquire()))
      pool:acquire()
      pool:acquire()
    end)
    assert.is_truthy(err:find("resource acquire on ringlet.resources: db, 1 of 1 open", 1, true),
      err)
  end)

  it("what is being opened when it ends is cancelled; who waits is told", function()
    local code
    H.run(function()
      local pool = rl.resources{open = function() rl.sleep(1e6) end}
      rl.go(function()
        code = rl.shield(function() return select(3, pool:acquire()) end)
      end)
      rl.sleep(1)
      rl.stop(0)
    end)
    assert.equal("ECANCELED", code)
  end)

  it("one that nobody has any more is collected, whatever it was about to do", function()
    local weak = setmetatable({}, {__mode = "v"})
    H.run(function()
      weak[1] = rl.resources{open = function() return {} end, min_idle = 2, max_lifetime = 10}
      weak[2] = rl.resources{open = function() return nil, "EX: x", "EX" end, min_idle = 1}
      weak[3] = rl.resources{open = function() return {} end, leak_after = 5}
      weak[3]:release((weak[3]:acquire()))
      rl.sleep(1)
      rl.go(turns):join() -- another coroutine takes the place of those that used it
      H.collect()
      assert.same({}, {weak[1], weak[2], weak[3]})
      rl.sleep(100)
    end)
  end)
end)
