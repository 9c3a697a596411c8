-- SPDX-License-Identifier: MIT
local rl = require "ringlet"
local H = require "spec.helper"
local in_turn = require "spec.in_turn"

in_turn.both("map", function(it)
  it("gives the results in the order of the list", function()
    local got = rl.map({3, 1, 2}, function(x)
      for _ = 1, x do
        rl.yield()
      end
      return x * 10
    end)
    assert.same({30, 10, 20}, got)
  end)

  it("gives an empty list for an empty list", function()
    assert.same({}, rl.map({}, error))
  end)

  it("passes the item and its index", function()
    assert.same({"a1", "b2"}, rl.map({"a", "b"}, function(x, i) return x .. i end))
  end)

  it("runs all at the same time without a limit", function()
    local inside, most = 0, 0
    rl.map({1, 2, 3, 4, 5}, function()
      inside = inside + 1
      most = math.max(most, inside)
      rl.yield()
      inside = inside - 1
      return true
    end)
    assert.equal(5, most)
  end)

  it("keeps to its limit", function()
    local inside, most, list = 0, 0, {}
    for i = 1, 50 do
      list[i] = i
    end
    local got = rl.map(list, function(x)
      inside = inside + 1
      most = math.max(most, inside)
      rl.yield()
      inside = inside - 1
      return x
    end, {limit = 7})
    assert.equal(7, most)
    assert.same(list, got)
  end)

  it("starts in the order of the list", function()
    local log = {}
    rl.map({"a", "b", "c", "d"}, function(x)
      log[#log + 1] = x
      rl.yield()
      return x
    end, {limit = 2})
    assert.equal("a b c d", table.concat(log, " "))
  end)

  it("reports progress", function()
    local log = {}
    rl.map({1, 2, 3}, function(x) return x end, {progress = function(done, total)
      log[#log + 1] = done .. "/" .. total
    end})
    assert.same({"1/3", "2/3", "3/3"}, log)
  end)

  it("gives nil, message, code and index when the function does", function()
    local ended = 0
    local got = H.pack(rl.map({1, 2, 3}, function(x)
      if x == 2 then
        rl.yield()
        return nil, "ENOENT: gone", "ENOENT"
      end
      rl.finally(function() rl.sleep(1000) end, function() ended = ended + 1 end)
      return x
    end))
    assert.same({n = 4, nil, "ENOENT: gone", "ENOENT", 2}, got)
    assert.equal(2, ended)
  end)

  it("raises the function's error unchanged, after all ended", function()
    local e, ended = {}, 0
    local err = H.raises(rl.map, {1, 2, 3}, function(x)
      if x == 2 then
        rl.yield()
        error(e)
      end
      rl.finally(function() rl.sleep(1000) end, function() ended = ended + 1 end)
    end)
    assert.is_true(rawequal(e, err))
    assert.equal(2, ended)
  end)

  it("gives ETIMEDOUT when its time is up, after all ended", function()
    local ended = 0
    local v, msg, code = rl.map({1, 2}, function()
      rl.finally(function() rl.sleep(1000) end, function() ended = ended + 1 end)
    end, {timeout = 0.002})
    assert.same({nil, "string", "ETIMEDOUT"}, {v, type(msg), code})
    assert.equal(2, ended)
  end)

  it("keeps false results", function()
    assert.same({false, true}, rl.map({1, 2}, function(x) return x == 2 end))
  end)

  it("does not change its list", function()
    local list = {1, 2, 3}
    rl.map(list, function(x) return x + 1 end)
    assert.same({1, 2, 3}, list)
  end)

  it("is cancelled with its task, and its parts with it", function()
    local ended = 0
    local task = rl.go(rl.map, {1, 2, 3}, function()
      rl.finally(function() rl.sleep(1000) end, function() ended = ended + 1 end)
    end)
    rl.yield()
    rl.yield()
    task:cancel()
    local ok, err = task:join()
    assert.is_false(ok)
    assert.is_true((rl.is_cancel(err)))
    assert.equal(3, ended)
  end)

  it("names an unknown option and refuses wrong ones", function()
    H.raises_text("limitt", rl.map, {1}, print, {limitt = 1})
    H.raises(rl.map, {1}, print, {limit = 0})
    H.raises(rl.map, {1}, 5)
    H.raises(rl.map, 5, print)
  end)

  it("of 5,000 items with a limit leaves no task", function()
    local list, before = {}, rl.stats().tasks
    for i = 1, H.rounds(5000) do
      list[i] = i
    end
    assert.same(list, rl.map(list, function(x) rl.yield() return x end, {limit = 100}))
    assert.equal(before, rl.stats().tasks)
  end)
end)

in_turn.both("race", function(it)
  it("gives the results of the first to end", function()
    local got = H.pack(rl.race{
      function() rl.sleep(1000) return "slow" end,
      function() rl.yield() return "quick", 2 end,
    })
    local at = got[1] == "quick" and 1 or 2
    assert.same({"quick", 2}, {got[at], got[at + 1]})
  end)

  it("cancels the others and waits for them", function()
    local ended = 0
    local function loser()
      rl.finally(function() rl.sleep(1000) end, function() ended = ended + 1 end)
    end
    rl.race{loser, function() rl.yield() return true end, loser}
    assert.equal(2, ended)
  end)

  it("leaves no task", function()
    local before = rl.stats().tasks
    rl.race{function() rl.sleep(1000) end, function() rl.yield() return 1 end}
    assert.equal(before, rl.stats().tasks)
  end)

  it("is cancelled with its task", function()
    local ended = 0
    local function racer()
      rl.finally(function() rl.sleep(1000) end, function() ended = ended + 1 end)
    end
    local task = rl.go(rl.race, {racer, racer})
    rl.yield()
    rl.yield()
    task:cancel()
    assert.is_false((task:join()))
    assert.equal(2, ended)
  end)

  it("refuses what is no list of functions", function()
    H.raises(rl.race, 5)
    H.raises(rl.race, {5})
  end)
end)
