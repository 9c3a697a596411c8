-- SPDX-License-Identifier: MIT
-- Tasks of pools that make no progress, and their workers.
local H = require "spec.helper"
local rl = require "ringlet"

local HERE = "spec/pool_heartbeat_spec.lua:"

local function nothing() end

local function settle()
  for _ = 1, 8 do
    rl.yield()
  end
end

local function with_pool(opts, fn)
  local pool = rl.pool(opts)
  fn(pool)
  pool:close()
  assert.is_true(pool:join())
  settle()
  local s = pool:stats()
  assert.same({0, 0, 0, 0}, {s.running, s.queued, s.workers, s.idle})
  assert.same({}, pool:workers())
  assert.equal(s.submitted, s.done + s.failed + s.cancelled + s.rejected + s.dropped)
end

local function states_of(pool)
  local list = {}
  for i, w in ipairs(pool:workers()) do
    list[i] = w:state()
  end
  return table.concat(list, " ")
end

H.sim("a heartbeat", function(it)
  local function lost(f)
    local ok, err, trace = f:join()
    assert.is_false(ok)
    assert.equal("ELOST", rl.code(err))
    return tostring(err), trace
  end

  it("fails a worker whose task makes no progress for so long, and no sooner", function()
    local failed, told = {}, 0
    rl.on_error(function() told = told + 1 end)
    local opts = {size = 2, queue = 9, heartbeat = 2, expiry = 100, on_failed = function(w)
      failed[#failed + 1] = w
      assert.equal("failed", w:state())
    end}
    with_pool(opts, function(pool)
      local hears, from = 0, rl.now()
      local f = pool:submit(function()
        pcall(rl.sleep, 1000)
        hears = rl.now() - from
        return "late"
      end)
      local ok, late = pool:submit(function() rl.sleep(1.99) return "in time" end):join()
      assert.same({true, "in time"}, {ok, late})
      local text, trace = lost(f)
      assert.equal("ELOST: the task made no progress for 2 s", text)
      assert.truthy(trace:find(HERE, 1, true), trace)
      assert.is_true(rl.now() - from < 2 + H.TICK, rl.now() - from)
      settle()
      assert.is_true(hears >= 2 and hears < 2 + H.TICK, hears)
      assert.same({1, 0}, {#failed, told})
      assert.equal("terminated", failed[1]:state())
      assert.same({1, 1, 1}, {pool:stats().lost, pool:stats().failed, pool:stats().done})
      assert.is_false(failed[1]:destroy(true))
    end)
    rl.on_error(nil)
  end)

  it("is told of progress", function()
    with_pool({size = 1, heartbeat = 2}, function(pool)
      local others
      local f = pool:submit(function()
        for _ = 1, 10 do
          rl.sleep(1.9)
          assert.is_true(pool:beat())
        end
        others = {(select(2, rl.go(function() return pool:beat() end):join()))}
        return "slow"
      end)
      assert.same({true, "slow"}, {f:join()})
      assert.same({false}, others)
      assert.is_false(pool:beat())
      local other = rl.pool {size = 1, heartbeat = 1}
      assert.same({true, false}, {pool:submit(function() return other:beat() end):join()})
      assert.equal(0, pool:stats().lost)
    end)
  end)

  it("replaces the capacity at once, and loses no task that has not begun", function()
    with_pool({size = 1, queue = 9, heartbeat = 2, expiry = 999}, function(pool)
      local log, knows = {}, nil
      local f = pool:submit(function()
        rl.shield(rl.sleep, 50)
        knows = pool:beat()
      end)
      local futures = {}
      for i = 1, 3 do
        futures[i] = pool:submit(function()
          log[#log + 1] = i
          return i
        end)
      end
      lost(f)
      for i = 1, 3 do assert.same({true, i}, {futures[i]:join()}) end
      assert.same({1, 2, 3}, log)
      assert.is_true(rl.now() < 100)
      assert.same({1, 1}, {pool:stats().lost, pool:stats().workers})
      assert.equal("failed pending", states_of(pool))
      rl.sleep(60)
      assert.is_false(knows)
      assert.equal("pending", states_of(pool))
    end)
  end)

  it("counts what ends late once", function()
    rl.on_error(nothing)
    local panics = 0
    local function on_panic() panics = panics + 1 end
    for _, late in ipairs {"return", "error", "yield", "swallow"} do
      with_pool({size = 1, queue = 9, heartbeat = 1, on_panic = on_panic}, function(pool)
        panics = 0
        local f = pool:submit(function()
          pcall(rl.sleep, 100)
          if late == "error" then error "late" end
          if late == "yield" then coroutine.yield() end
          for _ = 1, late == "swallow" and 200 or 0 do pcall(rl.sleep, 1) end
        end)
        lost(f)
        assert.is_true((pool:submit(nothing):join()))
        rl.sleep(1)
        lost(f)
        assert.same({1, 1, 1, 1}, {panics, pool:stats().failed, pool:stats().done,
          pool:stats().workers})
      end)
    end
    rl.on_error(nil)
  end)

  it("fails a paused worker, too, and one that was to end", function()
    local told = 0
    rl.on_error(function() told = told + 1 end)
    with_pool({size = 2, queue = 9, heartbeat = 1}, function(pool)
      local a, b = pool:submit(rl.sleep, 100), pool:submit(rl.sleep, 100)
      settle()
      pool:workers()[1]:pause()
      pool:workers()[2]:destroy()
      lost(a)
      lost(b)
      assert.equal(2, pool:free())
      assert.is_true((pool:submit(nothing):join()))
      assert.same({2, 1}, {pool:stats().lost, told}) -- nobody waited for the second one
    end)
    rl.on_error(nil)
  end)

  it("reports an error of on_failed", function()
    local told = {}
    rl.on_error(function(err) told[#told + 1] = err end)
    with_pool({size = 1, heartbeat = 1, on_failed = function() error("hook", 0) end}, function(pool)
      lost(pool:submit(rl.sleep, 100))
    end)
    rl.on_error(nil)
    assert.same({"hook"}, told)
  end)

  it("has a timer only while something runs", function()
    local timers = rl.stats().timers
    with_pool({size = 3, heartbeat = 2, expiry = false}, function(pool)
      assert.equal(timers, rl.stats().timers)
      for _ = 1, 3 do pool:submit(rl.sleep, 1) end
      settle()
      assert.equal(timers + 3 + 1, rl.stats().timers)
      pool:join()
      rl.sleep(2)
      assert.equal(timers, rl.stats().timers)
    end)
    assert.equal(timers, rl.stats().timers)
  end)
end)
