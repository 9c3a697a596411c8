-- SPDX-License-Identifier: MIT
local rl = require "ringlet"
local H = require "spec.helper"
local P = require "spec.resource_pool"
local play = require "spec.resource_sequences"

local new_pool, finish, fails = P.new, P.finish, P.fails

H.both("the opening of a resource", function(it)
  it("fails for the caller, with what open gave", function()
    local pool, seen = new_pool{max = 1}
    seen.failing = true
    assert.same({n = 3, nil, "EX: no", "EX"}, H.pack(pool:acquire()))
    assert.same({n = 3, nil, "EX: no", "EX"}, H.pack(pool:acquire()))
    assert.same({2, "EX: no", 0}, {pool:stats().failures, pool:stats().last_failure,
      pool:stats().opening})
    seen.failing = false
    pool:release((assert(pool:acquire())))
    finish(pool, seen)
  end)

  it("raises what open raised, unchanged", function()
    local e = {}
    local pool, seen = new_pool{open = function() error(e, 0) end}
    assert.is_true(rawequal(e, H.raises(pool.acquire, pool)))
    finish(pool, seen)
  end)

  it("that gives nothing, or what the pool has already, is a failure", function()
    local same, what = {}, nil
    local pool = rl.resources{open = function() return what end, max = 2}
    assert.equal("EIO", (select(3, pool:acquire())))
    what = false
    assert.equal("EIO", (select(3, pool:acquire())))
    what = same
    assert.equal(same, pool:acquire())
    H.raises_text("has already", pool.acquire, pool)
    pool:release(same)
    assert.is_true(pool:close(10))
  end)

  it("that failed gives its place to the next, each failure to the one it was for", function()
    local pool, seen = new_pool{max = 1}
    seen.failing, seen.open_time = true, 0.0001
    local codes, wg = {}, rl.waitgroup()
    for i = 1, 3 do
      wg:go(function()
        codes[i] = select(3, pool:acquire())
      end)
    end
    wg:wait()
    assert.same({"EX", "EX", "EX"}, codes)
    assert.equal(3, pool:stats().failures)
    finish(pool, seen)
  end)

  it("is not lost when who asked for it gives up: the next has it", function()
    local gate, opened = rl.event(), 0
    local pool = rl.resources{max = 1, open = function()
      gate:wait()
      opened = opened + 1
      return {opened}
    end}
    local a = rl.go(function() pool:acquire() end)
    local b = rl.go(function() return pool:acquire() end)
    fails("ETIMEDOUT", pool:acquire(0.001))
    a:cancel()
    a:join()
    gate:set()
    local ok, r = b:join()
    assert.same({true, {1}}, {ok, r})
    assert.equal(1, opened)
    pool:release(r)
    assert.equal(r, pool:acquire(-1))
    fails("ETIMEDOUT", pool:acquire(-1))
    pool:release(r)
    assert.is_true(pool:close(10))
  end)
end)

H.sim("a resource pool beside a reference", function(it)
  for _, case in ipairs{{100000, 3}, {1000, 60}} do
    it(("%d sequences of %d operations"):format(case[1], case[2]), function()
      for seed = 1, H.rounds(case[1]) do
        play(seed, case[2])
      end
    end, {timeout = 0, debug = false})
  end
end)
