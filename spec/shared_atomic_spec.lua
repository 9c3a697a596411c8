-- SPDX-License-Identifier: MIT
local rl = require "ringlet"
local shared = require "ringlet.shared"
local H = require "spec.helper"

local INT_MIN, INT_MAX = rawget(math, "mininteger"), rawget(math, "maxinteger")
local HERE = "spec/shared_atomic_spec.lua:"

describe("a shared atomic", function()
  it("adds, sets and compares", function()
    local a = shared.atomic()
    assert.equal(0, a:load())
    assert.equal(1, a:add())
    assert.equal(6, a:add(5))
    assert.equal(5, a:sub())
    assert.equal(-5, a:sub(10))
    a:store(7)
    assert.equal(7, a:exchange(8))
    assert.is_true(a:cas(8, 9))
    assert.same({false, 9}, {a:cas(8, 10)})
    assert.equal("ringlet.shared.atomic: 9", tostring(a))
    assert.equal(-3, shared.atomic(-3):load())
  end)

  it("is exact up to 2^53, and wraps around at 64 bits", function()
    local a = shared.atomic(2 ^ 53)
    assert.equal(2 ^ 53, a:load())
    assert.equal(2 ^ 53 - 1, a:sub(1))
    if H.jit then
      H.raises_text("exact", a.add, a, 2 ^ 54)
    else
      a:store(INT_MAX)
      assert.equal(INT_MIN, a:add(1))
      assert.is_true(a:cas(INT_MIN, INT_MAX))
    end
  end)

  it("tells misuse at the caller's line", function()
    local a = shared.atomic()
    for _, case in ipairs{
      {"what to add must be a whole number", a.add, a, 1.5},
      {"what to add must be a whole number", a.add, a, "1"},
      {"what to take away must be a whole number", a.sub, a, 0 / 0},
      {"the new value must be a whole number", a.store, a},
      {"the new value must be a whole number", a.store, a, math.huge},
      {"the expected value must be a whole number", a.cas, a, nil, 1},
      {"the value must be a whole number", shared.atomic, {}},
      {"atomic expected, got table", a.load, {}},
      {"not inside a task", a.wait, a, 1},
    } do
      local err = H.raises_text(case[1], function() case[2](case[3], case[4], case[5]) end)
      assert.equal(1, err:find(HERE, 1, true))
    end
  end)
end)

H.both("waiting for an atomic", function(it)
  it("does not park when something else is there", function()
    assert.is_true(shared.atomic(1):wait(0))
  end)

  it("ends when the value changes, for whoever waits for that", function()
    local a, log, wg = shared.atomic(1), {}, rl.waitgroup()
    for i = 1, 3 do
      wg:go(function()
        assert.is_true(a:wait(1))
        log[#log + 1] = i
      end)
    end
    rl.yield()
    a:store(1)
    rl.yield()
    assert.same({}, log)
    a:add(1)
    wg:wait()
    assert.same({1, 2, 3}, log)
  end)

  it("is ended by each kind of change", function()
    for _, change in ipairs{
      function(a) a:store(2) end, function(a) a:add(1) end, function(a) a:sub(1) end,
      function(a) a:exchange(5) end, function(a) a:cas(1, 2) end,
    } do
      local a = shared.atomic(1)
      local task = rl.go(a.wait, a, 1)
      rl.yield()
      change(a)
      assert.is_true((task:join()))
    end
  end)

  it("times out, and can be cancelled", function()
    local a = shared.atomic(1)
    assert.same({nil, "ETIMEDOUT: timed out", "ETIMEDOUT"}, {a:wait(1, 0)})
    assert.same({nil, "ETIMEDOUT: timed out", "ETIMEDOUT"}, {a:wait(1, 0.01)})
    local task = rl.go(a.wait, a, 1)
    rl.yield()
    task:cancel("enough")
    local ok, err = task:join()
    assert.is_false(ok)
    assert.is_true(rl.is_cancel(err))
    a:add(1)
  end)
end)

H.both("an atomic of several shards", function(it)
  it("counts, and wakes who waits elsewhere", function()
    local a, futures = shared.atomic(), {}
    local rounds = H.rounds(1000, 50)
    for i = 1, 3 do
      futures[i] = rl.spawn_on(i, function(cell, n)
        local me = rl.shard() - 1
        for _ = 1, n do
          local v = cell:load()
          while v % 3 ~= me do
            cell:wait(v)
            v = cell:load()
          end
          cell:add(1)
        end
      end, a, rounds)
    end
    for _, f in ipairs(futures) do
      assert.is_true((f:join()))
    end
    assert.equal(3 * rounds, a:load())
  end, {shards = 3})
end)
