-- SPDX-License-Identifier: MIT
-- Shards that make no progress: the hook, readiness, counters, and what others do meanwhile.
local H = require "spec.helper"
local rl = require "ringlet"

-- A run of its own, on threads. `events` gets what the hook of the first shard was told.
local function run(main, opts)
  local events = {}
  local all = {backend = "uring", shards = 2, stall_after = 0.15, on_overrun = function() end,
    on_stall = function(event) events[#events + 1] = event end}
  for k, v in pairs(opts or {}) do
    all[k] = v
  end
  if all.on_stall == false then
    all.on_stall = nil
  end
  return rl.run(function() return main(events) end, all), events
end

local function real_it(name, fn)
  it(name, function()
    if H.missing.uring then
      return pending(H.missing.uring)
    end
    fn()
  end)
end

local function until_(fact, seconds)
  local due = rl.now() + (seconds or 5)
  while not fact() do
    assert(rl.now() < due, "never")
    rl.sleep(0.005)
  end
end

describe("a shard that makes no progress", function()
  real_it("flips readiness, is told of, and counted", function()
    run(function(events)
      assert.is_true(rl.ready())
      local f = rl.spawn_on(2, function()
        os.execute "sleep 1"
        return rl.stats().tasks
      end)
      local since = rl.now()
      until_(function() return not rl.ready() end)
      assert.is_true(rl.now() - since < 2)
      local ok, msg, code = rl.ready()
      assert.is_nil(ok)
      assert.equal("ESTALLED", code)
      assert.truthy(msg:match "^ESTALLED: shard 2 has made no progress for [%d.]+ s %(task %d+%)$")
      until_(function() return events[1] end)
      assert.equal(2, events[1].shard)
      assert.is_false(events[1].over)
      assert.is_true(events[1].seconds >= 0.15 and events[1].seconds < 0.8)
      assert.equal(1, rl.stats().stalled)
      assert.equal(0, rl.stats().stalls)
      assert(f:join())
      until_(function() return rl.ready() and events[2] end)
      assert.is_true(events[2].over)
      assert.equal(2, events[2].shard)
      assert.equal(events[1].task, events[2].task)
      assert.is_true(events[2].seconds > 0.9)
      assert.truthy(events[2].where:match "health_spec.lua:%d+$")
      assert.truthy(events[2].traceback:find("health_spec.lua", 1, true))
      assert.equal(0, rl.stats().stalled)
      assert.equal(1, select(2, rl.spawn_on(2, function() return rl.stats().stalls end):join()))
      assert.equal(2, #events)
    end)
  end)

  real_it("is told of by another, when it is the first", function()
    local out, code = H.script[[
      rl.run(function()
        rl.sleep(0.05)
        os.execute "sleep 0.5"
        rl.sleep(0.1)
      end, {shards = 2, stall_after = 0.15, on_overrun = function() end, on_stall = function(e)
        io.write(require("ringlet").shard(), " hears of ", e.shard, " ", tostring(e.over), "\n")
        io.flush()
      end})
    ]]
    assert.equal("2 hears of 1 false\n1 hears of 1 true\n", out)
    assert.equal(0, code)
  end)

  real_it("hears of itself when it is over, when it is alone", function()
    local _, events = run(function(events)
      os.execute "sleep 0.4"
      until_(function() return events[1] end)
    end, {shards = 1})
    assert.equal(1, #events)
    assert.is_true(events[1].over)
    assert.equal(1, events[1].shard)
  end)

  real_it("has its jobs run by others meanwhile", function()
    run(function()
      local began = rl.now()
      local blocker = rl.spawn_on(2, function()
        local rl = require "ringlet" -- luacheck: ignore 431
        local done, futures = {}, {}
        for i = 1, 20 do
          futures[i] = rl.spawn(function() return require("ringlet").shard() end)
        end
        os.execute "sleep 0.6"
        for i = 1, 20 do
          local _, shard = futures[i]:join()
          done[shard] = (done[shard] or 0) + 1
        end
        return done[1], done[2]
      end)
      local _, first, second = blocker:join()
      assert.same({20, nil}, {first, second})
      assert.is_true(rl.now() - began < 5)
    end)
  end)

  real_it("is not one that is preempted, nor one that sleeps", function()
    local _, events = run(function()
      local f = rl.spawn_on(2, function()
        local rl = require "ringlet" -- luacheck: ignore 431
        local jit = rawget(_G, "jit")
        if jit then
          jit.off(true, true) -- compiled code sees no hooks
        end
        local due, n = rl.now() + 0.4, 0
        while rl.now() < due do
          n = n + 1
        end
        rl.sleep(0.3)
        return n
      end)
      assert(f:join())
      assert.is_true(rl.ready())
    end)
    assert.same({}, events)
  end)

  real_it("is none without stall_after, or without preemption", function()
    for _, opts in ipairs{{stall_after = 0}, {preempt = false}} do
      local _, events = run(function()
        local f = rl.spawn_on(2, function() os.execute "sleep 0.3" end)
        rl.sleep(0.2)
        assert.is_true(rl.ready())
        f:join()
      end, opts)
      assert.same({}, events)
    end
  end)

  real_it("needs no hook; an error in one is told and harms nothing", function()
    run(function()
      assert(rl.spawn_on(2, function() os.execute "sleep 0.3" end):join())
      rl.sleep(0.02)
    end, {on_stall = false})
    local out, code = H.script[[
      rl.run(function()
        rl.spawn_on(2, function() os.execute "sleep 0.3" end):join()
        rl.sleep(0.05)
        print "goes on"
      end, {shards = 2, stall_after = 0.1, on_overrun = function() end,
        on_stall = function() error("in the hook", 0) end})
    ]]
    assert.truthy(out:find("ringlet: on_stall failed: in the hook", 1, true))
    assert.truthy(out:find("goes on", 1, true))
    assert.equal(0, code)
  end)
end)

describe("ready", function()
  it("is false outside of a run, and while it stops", function()
    assert.same({nil, "ECLOSED: no run is active", "ECLOSED"}, {rl.ready()})
    for _, shards in ipairs{1, 2} do
      H.run(function()
        assert.is_true(rl.ready())
        rl.stop(10)
        assert.same({nil, "ESTOPPING: the run is being stopped", "ESTOPPING"}, {rl.ready()})
        local _, _, _, code = rl.spawn_on(shards, rl.ready):join()
        assert.equal("ESTOPPING", code)
      end, {shards = shards})
    end
  end)
end)
