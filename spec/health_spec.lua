-- SPDX-License-Identifier: MIT
-- Shards that make no progress: the hook, readiness, counters, and what others do meanwhile.
local H = require "spec.helper"
local fifo_gate = require "spec.fifo_gate"
local core = require "ringlet.core"
local metrics = require "ringlet.metrics"
local rl = require "ringlet"
local shared = require "ringlet.shared"

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

-- It is open in the end.
local function with_gate(fn)
  local gate = fifo_gate.new()
  return rl.finally(function() return fn(gate) end, function()
    gate.open()
    gate.remove()
  end)
end

-- The last of the events of the second shard, of this task if that is given. On a busy machine any
-- run may be told of as a stall, of any shard: it had no CPU.
local function last_of(events, over, task)
  for i = #events, 1, -1 do
    local e = events[i]
    if e.shard == 2 and e.over == over and (not task or e.task == task) then
      return e
    end
  end
end

-- Call fn until it gives true. For what is so unless the machine is busy just then.
local function in_one_of(tries, what, fn)
  for _ = 1, tries do
    if fn() then return end
  end
  error(("not in one of %d tries: %s"):format(tries, what), 2)
end

describe("a shard that makes no progress", function()
  real_it("flips readiness, is told of, and counted", function()
    -- One stall at a time is told of when it is over, and where its task was: that may be another,
    -- for want of a CPU.
    in_one_of(10, "told where", function()
      local is_told = false
      run(function(events)
        H.eventually("it is ready", rl.ready)
        local who, id = shared.atomic(), nil
        local f
        with_gate(function(gate)
          f = rl.spawn_on(2, function(name)
            who:store(require("ringlet").self().id)
            fifo_gate.pass(name)
            return true
          end, gate.name)
          id = H.eventually("the job", function()
            local n = who:load()
            return n ~= 0 and n
          end)
          local text = H.eventually("the second shard is not ready", function()
            local ok, msg, code = rl.ready()
            return not ok and code == "ESTALLED" and msg:match "^ESTALLED: shard 2.*"
          end)
          assert.matches("^ESTALLED: shard 2 has made no progress for [%d.]+ s %(task %d+", text)
          local begun = H.eventually("it is told of", function()
            return last_of(events, false, id)
          end)
          assert.is_true(begun.seconds >= 0.15)
          H.eventually("one that is stalled", function() return rl.stats().stalled == 1 end)
        end)
        assert(f:join())
        local over = H.eventually("it is over", function() return last_of(events, true) end)
        H.eventually("it is ready again", rl.ready)
        is_told = over.where ~= nil and over.task == id
        if is_told then
          assert.is_true(over.seconds >= last_of(events, false, id).seconds)
          assert.truthy(over.where:match "fifo_gate.lua:%d+$")
          assert.truthy(over.traceback:find("health_spec.lua", 1, true))
        end
        H.eventually("none that is stalled", function() return rl.stats().stalled == 0 end)
        local _, stalls = rl.spawn_on(2, function() return rl.stats().stalls end):join()
        assert.is_true(stalls >= 1)
      end)
      return is_told
    end)
  end)

  real_it("is told of by another, when it is the first", function()
    local out, code = H.script[[
      local path, over, told = os.tmpname(), false, false
      os.remove(path)
      os.execute("mkfifo " .. path)
      rl.run(function()
        rl.spawn_on(2, function() end):join()
        io.write((io.open(path):read "*a")) -- which is there when the other has told of it
        os.remove(path)
        while not over do rl.sleep(0.005) end
      end, {shards = 2, stall_after = 0.15, on_overrun = function() end, on_stall = function(e)
        local shard = require("ringlet").shard()
        if e.shard == 1 and e.over then
          over = true
        elseif e.shard == 1 and not told then
          told = true
          local f = io.open(path, "w")
          f:write(shard, " hears of ", e.shard, "\n")
          f:close()
        end
      end})
    ]]
    assert.equal("2 hears of 1\n", out)
    assert.equal(0, code)
  end)

  real_it("hears of itself when it is over, when it is alone", function()
    local _, events = run(function(events)
      local due = rl.now() + 30
      repeat -- the watchdog may have no CPU meanwhile
        os.execute "sleep 0.4"
        rl.sleep(0.05)
      until events[1] or rl.now() > due
    end, {shards = 1})
    assert.truthy(events[1], "never")
    for _, event in ipairs(events) do
      assert.same({1, true}, {event.shard, event.over})
    end
  end)

  real_it("has its jobs run by others meanwhile", function()
    run(function()
      with_gate(function(gate)
        local ran = shared.atomic()
        local blocker = rl.spawn_on(2, function(name)
          local rl = require "ringlet" -- luacheck: ignore 431
          local done, futures = {}, {}
          ("x"):gsub(".", function() -- in here it cannot be preempted
            for i = 1, 20 do
              futures[i] = rl.spawn(function()
                ran:add(1)
                return require("ringlet").shard()
              end)
            end
            fifo_gate.pass(name)
          end)
          for i = 1, 20 do
            local _, shard = futures[i]:join()
            done[shard] = (done[shard] or 0) + 1
          end
          return done[1], done[2]
        end, gate.name)
        H.eventually("20 jobs", function() return ran:load() == 20 end)
        gate.open()
        assert.same({true, 20}, {blocker:join()})
      end)
    end)
  end)

  real_it("is not one that is preempted, nor one that sleeps", function()
    in_one_of(20, "nothing is told of", function()
      local is_ready
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
        is_ready = rl.ready()
      end)
      return is_ready and not events[1]
    end)
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
      local path, called = os.tmpname(), false
      os.remove(path)
      os.execute("mkfifo " .. path)
      rl.run(function()
        local f = rl.spawn_on(2, function() io.open(path):close() end)
        while not called do rl.sleep(0.005) end
        local held = io.open(path, "r+")
        f:join()
        held:close()
        os.remove(path)
        print "goes on"
      end, {shards = 2, stall_after = 0.1, on_overrun = function() end, on_stall = function(e)
        called = called or e.shard == 2
        error("in the hook", 0)
      end})
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
        for i = #heard, 1, -1 do
          if heard[i].shard == 2 then return heard[i].over end
        end
      end)
      read = metrics.read():shard(2)
    end)
    off()
    assert.is_true(n >= 1 and seconds >= 0.02)
    assert.is_true(read["/sched/starvations:starvations"] >= n)
    assert.is_true(read["/sched/starved:seconds"] >= 0.02)
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
    local heard, stop, why = {}, shared.atomic(), nil
    local off = rl.on("starved", function(event) heard[#heard + 1] = event end)
    local _, stalls = starving(function(cpu, stalls)
      local f = rl.spawn_on(2, function()
        local rl = require "ringlet" -- luacheck: ignore 431
        local jit, due = rawget(_G, "jit"), rl.now() + 60
        if jit then
          jit.off(true, true)
        end
        while stop:load() == 0 and rl.now() < due do end
      end)
      rl.sleep(0.1)
      local function all_told()
        local begun, over = last_of(stalls, false), last_of(stalls, true)
        return why and last_of(heard, false) and begun and over
          and begun.waited > 0.1 and over.waited > 0.3
      end
      for n = 1, 4000 do
        if n % 200 == 1 then
          hog(cpu, 0.9)
        end
        rl.sleep(0.01)
        local _, text = rl.ready()
        why = text and text:match "shard 2.*which waits for a CPU" or why
        if all_told() then
          break
        end
      end
      assert.truthy(all_told(), "never")
      stop:store(1)
      assert(f:join())
    end, {starved = 0.1, stall_after = 0.4,
      sched = {shards = {{policy = "fifo", priority = 30}}}}) -- so the watchdog goes before the hog
    off()
    for _, stall in ipairs(stalls) do
      assert.is_true(stall.waited <= stall.seconds)
    end
  end)

  real_it("is not one that blocks, nor one that sleeps", function()
    -- Each tick a signal asks it to give up its turn, and that waits where others want the CPU.
    in_one_of(20, "it has hardly waited for a CPU", function()
      local _, stalls = run(function(stalls)
        assert(rl.spawn_on(2, function() os.execute "sleep 0.6" end):join())
        local due = rl.now() + 1 -- the watchdog may have had no CPU
        while not last_of(stalls, true) and rl.now() < due do rl.sleep(0.005) end
      end)
      local stall = last_of(stalls, true)
      return stall and stall.waited < 0.3
    end)
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
