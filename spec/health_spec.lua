-- SPDX-License-Identifier: MIT
-- Shards that make no progress: the hook, readiness, counters, and what others do meanwhile.
local H = require "spec.helper"
local core = require "ringlet.core"
local metrics = require "ringlet.metrics"
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

describe("a shard that makes no progress", function()
  real_it("flips readiness, is told of, and counted", function()
    run(function(events)
      assert.is_true(rl.ready())
      local f = rl.spawn_on(2, function()
        os.execute "sleep 1"
        return rl.stats().tasks
      end)
      local since = rl.now()
      H.eventually("it is not ready", function() return not rl.ready() end)
      assert.is_true(rl.now() - since < 2)
      local ok, msg, code = rl.ready()
      assert.is_nil(ok)
      assert.equal("ESTALLED", code)
      assert.truthy(msg:match "^ESTALLED: shard 2 has made no progress for [%d.]+ s %(task %d+%)$")
      H.eventually("it is told of", function() return events[1] end)
      assert.equal(2, events[1].shard)
      assert.is_false(events[1].over)
      assert.is_true(events[1].seconds >= 0.15 and events[1].seconds < 0.8)
      assert.equal(1, rl.stats().stalled)
      assert.equal(0, rl.stats().stalls)
      assert(f:join())
      H.eventually("it is ready again, and told of", function() return rl.ready() and events[2] end)
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
      H.eventually("it is told of", function() return events[1] end)
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

-- May this process have what lets nobody else run?
local has_priority = core.sched_try("fifo", 20, false, false)

-- A busy program on a CPU, for so many seconds of CPU time. Where it may not have real-time
-- priority, it starves a shard that has its CPU only when nobody else wants it. A helper thread
-- starts it: that blocks for as long as it takes on a busy machine.
local function hog(cpu, seconds)
  rl.offload(os.execute, ("%s taskset -c %d %s -e 'while os.clock() < %g do end' &"):format(
    has_priority and "chrt -f 20" or "", cpu, H.interpreter(), seconds))
end

-- Shard 2 is on the last CPU, shard 1 on another, where there is one.
local function starving(main, opts)
  local cpus = core.topology().cpus
  local all = {
    pin = {cpus[1], cpus[#cpus]}, starved = 0.02,
    sched = not has_priority and {shards = {[2] = {policy = "idle"}}} or nil,
  }
  for k, v in pairs(opts or {}) do
    all[k] = v
  end
  return run(function(stalls)
    return main(cpus[#cpus], stalls)
  end, all)
end

-- Sleeps often, computes a little, until it was starved or half a minute has passed.
local function work()
  local rl = require "ringlet" -- luacheck: ignore 431
  local due = rl.now() + 30
  while rl.stats().starvations == 0 and rl.now() < due do
    rl.sleep(0.002)
  end
  rl.sleep(0.05)
  return rl.stats().starvations, rl.stats().starved
end

describe("a shard that gets no CPU", function()
  real_it("is told of when that is over, and counted", function()
    local heard, n, seconds, read = {}, nil, nil, nil
    local off = rl.on("starved", function(event) heard[#heard + 1] = event end)
    starving(function(cpu)
      local f = rl.spawn_on(2, work)
      local due = rl.now() + 25
      repeat -- a hog may be kept from its CPU as well
        hog(cpu, has_priority and 0.2 or 2)
        rl.sleep(0.5)
      until heard[1] or rl.now() > due
      local ok
      ok, n, seconds = f:join()
      assert.is_true(ok)
      H.eventually("the second shard's starvation is over", function()
        local last = heard[#heard]
        return last and last.over and last.shard == 2
      end)
      read = metrics.read():shard(2)
    end)
    off()
    assert.is_true(n >= 1 and seconds >= 0.02)
    assert.is_true(read["/sched/starvations:starvations"] >= n)
    assert.is_true(read["/sched/starved:seconds"] >= seconds)
    for _, event in ipairs(heard) do
      assert.is_true(event.shard == 1 or event.shard == 2)
      assert.is_true(event.seconds >= 0.02 and event.seconds < 60)
      assert.equal("boolean", type(event.over))
    end
  end)

  real_it("is told of by itself when it is alone", function()
    local heard
    local off = rl.on("starved", function(event) heard = heard or event end)
    local cpus = core.topology().cpus
    if not has_priority then
      off()
      return pending "this process may not have real-time priority"
    end
    run(function()
      local due = rl.now() + 30
      repeat -- the hog may be kept from its CPU as well
        hog(cpus[#cpus], 0.2)
        for _ = 1, 400 do
          rl.sleep(0.002)
        end
      until heard or rl.now() > due
      assert(heard, "never")
    end, {shards = 1, pin = {cpus[#cpus]}, starved = 0.02})
    off()
    assert.same({1, true}, {heard.shard, heard.over})
  end)

  real_it("is told of while it lasts, and known as the reason of a stall", function()
    local cpus = core.topology().cpus
    if #cpus < 2 then
      return pending "there is one CPU"
    elseif not has_priority then
      return pending "this process may not have real-time priority"
    end
    local heard, why = {}, nil
    local off = rl.on("starved", function(event)
      heard[#heard + 1] = event.shard == 2 and event or nil
    end)
    local _, stalls = starving(function(cpu, stalls)
      local f = rl.spawn_on(2, function()
        local rl = require "ringlet" -- luacheck: ignore 431
        local jit, due = rawget(_G, "jit"), rl.now() + 30
        if jit then
          jit.off(true, true)
        end
        while rl.stats().starvations == 0 and rl.now() < due do end
        rl.sleep(0.05)
      end)
      rl.sleep(0.1)
      for n = 1, 2000 do
        if n % 200 == 1 then
          hog(cpu, 0.9)
        end
        rl.sleep(0.01)
        why = why or select(2, rl.ready())
        if heard[1] and stalls[2] then
          break
        end
      end
      assert(f:join())
    end, {starved = 0.1, stall_after = 0.4,
      sched = {shards = {{policy = "fifo", priority = 30}}}}) -- so the watchdog goes before the hog
    off()
    assert.same({2, false}, {heard[1].shard, heard[1].over})
    assert.truthy(why and why:find("which waits for a CPU", 1, true), why)
    assert.is_false(stalls[1].over)
    assert.is_true(stalls[1].waited > 0.1 and stalls[1].waited <= stalls[1].seconds)
    assert.is_true(stalls[2].over)
    assert.is_true(stalls[2].waited > 0.3 and stalls[2].waited <= stalls[2].seconds)
  end)

  real_it("is not one that blocks, nor one that sleeps", function()
    local _, stalls = run(function(stalls)
      assert(rl.spawn_on(2, function() os.execute "sleep 0.6" end):join())
      H.eventually("a stall that is over", function() return stalls[1] and stalls[#stalls].over end)
    end)
    assert.is_true(stalls[#stalls].waited < 0.3)
  end)

  real_it("is nobody's matter without the option, or without preemption", function()
    for _, opts in ipairs{{starved = false}, {preempt = false}} do
      starving(function(cpu)
        local f = rl.spawn_on(2, function()
          local rl = require "ringlet" -- luacheck: ignore 431
          for _ = 1, 20 do rl.sleep(0.002) end
          return rl.stats().starvations, rl.stats().starved
        end)
        hog(cpu, 0.1)
        assert.same({true, 0, 0}, {f:join()})
      end, opts)
    end
  end)

  real_it("harms nothing while the others have not come", function()
    local cpus = core.topology().cpus
    for _ = 1, 5 do
      rl.run(hog, {backend = "uring"}, cpus[#cpus], 0.02)
      run(function() end, {shards = 4, pin = {cpus[#cpus]}, starved = 0.001, stall_after = 0.001,
        on_stall = false})
    end
  end)

  it("is told to hooks that take events of that name, and to no others", function()
    assert.equal("option 'starved' must be a number of at least 0, not -1",
      H.raises(rl.run, function() end, {backend = "sim", starved = -1}):match "option.*")
    H.run(function()
      rl.on("starved", error)()
      assert.equal(0, rl.stats().starvations)
      assert.equal(0, rl.stats().starved)
      assert.equal(0, metrics.read()["/sched/starved:seconds"])
    end, {starved = true})
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
