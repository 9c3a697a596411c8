-- SPDX-License-Identifier: MIT
-- rl.multipool: which pool a task goes to, sums, controls.
local H = require "spec.helper"
local rl = require "ringlet"
local shared = require "ringlet.shared"

local FULL = {nil, "EOVERLOAD: the pool is full", "EOVERLOAD"}
local LONG = 30 -- seconds for what ends at once when nothing is in its way
local CLOSED = {nil, "ECLOSED: the pool was closed", "ECLOSED"}

local function new(opts)
  local all = {pools = 10, size = 5}
  for k, v in pairs(opts or {}) do all[k] = v end
  return rl.multipool(all)
end

-- Submit n tasks that wait for the gate.
local function fill(pools, gate, n)
  local futures = {}
  for i = 1, n do
    futures[i] = assert(pools:submit(function()
      gate:wait()
      return i
    end))
  end
  return futures
end

local function each(pools, what)
  local list = {}
  for i in ipairs(pools.pools) do list[i] = pools[what](pools, i) end
  return list
end

local function all_of(n, v)
  local list = {}
  for i = 1, n do list[i] = v end
  return list
end

H.both("several pools", function(it, backend)
  -- TestMultiPool of ants: 10 pools of 5, 50 tasks, then the next round after a reopening.
  for _, strategy in ipairs {"round_robin", "least_tasks"} do
    it("of 5 have 5 tasks each when 10 have 50: " .. strategy, function()
      local pools = new {strategy = strategy}
      for _ = 1, 2 do
        local gate = rl.event()
        local futures = fill(pools, gate, 50)
        assert.same({50, 0, 0, 50},
          {pools:running(), pools:free(), pools:waiting(), pools:capacity()})
        assert.same(all_of(10, 5), each(pools, "running"))
        assert.same(all_of(10, 0), each(pools, "free"))
        assert.same(all_of(10, 0), each(pools, "waiting"))
        assert.same(all_of(10, 5), each(pools, "capacity"))
        gate:set()
        assert.is_true(pools:close(LONG))
        assert.equal(0, pools:running())
        for i, f in ipairs(futures) do assert.same({true, i}, {f:join()}) end
        assert.same(CLOSED, {pools:submit(print)})
        assert.is_true(pools:reopen())
        assert.is_false(pools:reopen())
      end
      assert.is_true(pools:resize(10))
      assert.equal(100, pools:capacity())
      assert.is_true(pools:close(LONG))
    end)
  end

  it("take turns", function()
    local pools, gate = new {pools = 3, size = 4}, rl.event()
    fill(pools, gate, 4)
    assert.same({2, 1, 1}, each(pools, "running"))
    fill(pools, gate, 3)
    assert.same({3, 2, 2}, each(pools, "running"))
    gate:set()
    assert.is_true(pools:close(LONG))
  end)

  it("with the fewest tasks come first, those that wait counted too", function()
    local pools = new {
      pools = {{size = 1}, {size = 3}, {}}, size = 2, queue = 5, strategy = "least_tasks",
    }
    local gate = rl.event()
    fill(pools, gate, 9)
    assert.same({1, 3, 2}, each(pools, "running"))
    assert.same({2, 0, 1}, each(pools, "waiting"))
    assert.same({1, 3, 2}, each(pools, "capacity"))
    gate:set()
    assert.is_true(pools:close(LONG))
  end)

  it("take what the next one refuses, where the fewest tasks are", function()
    local gates = {rl.event(), rl.event(), rl.event()}
    local pools = new {pools = 3, size = 2, overflow = "reject"}
    local futures = {}
    for i = 1, 6 do futures[i] = pools:submit(function() gates[(i - 1) % 3 + 1]:wait() end) end
    assert.same(FULL, {pools:submit(print)}) -- the turn of the first
    gates[3]:set()
    assert.is_true((futures[3]:join()))
    assert.is_true((futures[6]:join()))
    assert.same({2, 2, 0}, each(pools, "running"))
    local gate = rl.event()
    fill(pools, gate, 1) -- that of the second, which is full
    assert.same({2, 2, 1}, each(pools, "running"))
    local stats = pools:stats()
    assert.same({8, 1, 1}, {stats.submitted, stats.rejected, stats.moved})
    fill(pools, gate, 1) -- that of the third, which has room
    assert.same(FULL, {pools:submit(print)})
    for _, g in ipairs(gates) do g:set() end
    gate:set()
    assert.is_true(pools:close(LONG))
    assert.equal(8, pools:stats().done)
  end)

  it("with the fewest tasks refuse when they are full", function()
    local pools, gate = new {
      pools = 2, size = 1, overflow = "reject", strategy = "least_tasks",
    }, rl.event()
    fill(pools, gate, 2)
    assert.same(FULL, {pools:submit(print)})
    assert.equal(0, pools:stats().moved)
    gate:set()
    assert.is_true(pools:close(LONG))
  end)

  it("with a function take arguments alone", function()
    for _, strategy in ipairs {"round_robin", "least_tasks"} do
      local pools = new {
        pools = 2, strategy = strategy, fn = function(...) return select("#", ...), ... end,
      }
      assert.same({true, 0}, {pools:submit():join()})
      assert.same({true, 3, 1, nil, nil}, {pools:submit(1, nil, nil):join()})
      local sum, futures = 0, {}
      for i = 1, 20 do futures[i] = pools:submit(i) end
      for i = 1, 20 do sum = sum + select(3, futures[i]:join()) end
      assert.equal(210, sum)
      assert.is_true(pools:close(LONG))
    end
  end)

  it("are paused, resumed and waited for together", function()
    local pools = new {pools = 2, size = 1, queue = 2}
    assert.is_true(pools:pause())
    assert.is_false(pools:pause())
    local futures = {}
    for i = 1, 4 do futures[i] = pools:submit(function() return i end) end
    assert.same({2, 2}, each(pools, "waiting"))
    assert.same({nil, "ETIMEDOUT: timed out", "ETIMEDOUT"}, {pools:join(0.01)})
    assert.is_true(pools:resume())
    assert.is_false(pools:resume())
    assert.is_true(pools:join())
    assert.is_true(pools:join(0))
    for i = 1, 4 do assert.same({true, i}, {futures[i]:join()}) end
    assert.is_true(pools:close(LONG))
  end)

  it("share one grace", function()
    local pools = new {pools = 3, size = 1}
    local futures, began = {}, rl.now()
    for i = 1, 3 do futures[i] = pools:submit(rl.sleep, 1000) end
    assert.same({nil, "ETIMEDOUT: timed out", "ETIMEDOUT"}, {pools:close(0.1)})
    assert.is_true(rl.now() - began < H.limit(0.2, backend))
    for i = 1, 3 do assert.is_true(rl.is_cancel((select(2, futures[i]:join())))) end
    assert.is_true(pools:close(LONG))
  end)

  it("tell what they do", function()
    local pools, gate = new {pools = 2, size = 2, queue = 1, name = "mail"}, rl.event()
    assert.equal("ringlet.multipool: mail, 2 pools, 0 of 4 running, 0 waiting", tostring(pools))
    fill(pools, gate, 5)
    assert.equal("ringlet.multipool: mail, 2 pools, 4 of 4 running, 1 waiting", tostring(pools))
    assert.truthy(tostring(pools:pool(2)):find("mail 2", 1, true))
    assert.same({active = 1, queue = 1}, pools:metrics())
    local stats = pools:stats()
    assert.same({4, 4, 1, 0, 5, 0, 0},
      {stats.capacity, stats.running, stats.queued, stats.blocked, stats.submitted,
        stats.rejected, stats.done})
    assert.same({2, 1, 3}, {stats.pools[1].running, stats.pools[1].queued,
      stats.pools[1].submitted})
    gate:set()
    assert.is_true(pools:close(LONG))
    assert.equal(5, pools:stats().done)
  end)

  it("without a limit have none together", function()
    local pools, gate = new {pools = {{}, {size = -1}}}, rl.event()
    assert.same({-1, -1, 5, -1}, {pools:capacity(), pools:free(), pools:free(1), pools:free(2)})
    fill(pools, gate, 3)
    assert.same({3, -1}, {pools:running(), pools:free()})
    assert.equal("ringlet.multipool: pool, 2 pools, 3 of any number running, 0 waiting",
      tostring(pools))
    assert.equal(0, pools:metrics().active)
    gate:set()
    assert.is_true(pools:close(LONG))
  end)

  it("may belong to all shards", function()
    local pools, calls = new {pools = 2, size = 1, queue = math.huge, scope = "shared"},
      shared.atomic()
    for _ = 1, 50 do assert(pools:submit(function() calls:add(1) end)) end
    assert.is_true(pools:join(LONG))
    assert.equal(50, calls:load())
    assert.same({25, 25}, {pools:pool(1):stats().done, pools:pool(2):stats().done})
    assert.is_true(pools:close(LONG))
  end, {shards = 2})
end)

describe("the options of several pools", function()
  it("are checked, at the caller's line", function()
    local made = rl.multipool {pools = 2, size = 1}
    local cases = {
      {"options must be a table", function() local p = rl.multipool() return p end},
      {"option 'pools' must be a number or a list", {size = 1}},
      {"option 'pools' must be a whole number from 1 to 1024, not 0", {pools = 0, size = 1}},
      {"option 'pools' must be a whole number from 1 to 1024, not -1", {pools = -1, size = 1}},
      {"option 'pools' must have at least one", {pools = {}, size = 1}},
      {"option 'strategy' must be 'round_robin' or 'least_tasks', not 'x'",
        {pools = 1, size = 1, strategy = "x"}},
      {"option 'strategy' must be a string", {pools = 1, size = 1, strategy = 1}},
      {"option 'size' is missing", {pools = 1}},
      {"unknown option 'sise'", {pools = 1, size = 1, sise = 1}},
      {"pool 2: option 'size' must be", {pools = {{}, {size = 0}}, size = 1}},
      {"pool 1: options must be a table", {pools = {1}, size = 1}},
      {"pool 1: option 'fn' is for all pools", {pools = {{fn = print}}, size = 1}},
      {"no such pool: 3 (there are 2)", function() local n = made:running(3) return n end},
      {"no such pool: 0 (there are 2)", function() local n = made:free(0) return n end},
      {"no such pool: -1 (there are 2)", function() local n = made:waiting(-1) return n end},
      {"no such pool: 1.5 (there are 2)", function() local n = made:capacity(1.5) return n end},
      {"no such pool: x (there are 2)", function() local n = made:pool "x" return n end},
      {"no such pool", function() local n = made:pool() return n end},
      {"whole number expected", function() local n = made:resize() return n end},
      {"function expected, got nil", function() local n = made:submit() return n end},
      {"seconds expected", function() local n = made:close "x" return n end},
      {"seconds expected", function() local n = made:join "x" return n end},
    }
    for _, case in ipairs(cases) do
      local fn = case[2]
      if type(fn) == "table" then
        fn = function()
          local p = rl.multipool(case[2])
          return p
        end
      end
      local err = H.raises_text(case[1], fn)
      assert.equal(1, err:find("spec/multipool_spec.lua:", 1, true), err)
    end
  end)
end)
