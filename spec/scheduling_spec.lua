-- SPDX-License-Identifier: MIT
-- Scheduling classes of shards: what is asked for, who gets it, and that it is taken back. What
-- this process may not have is pending; what others may not have is tried without CAP_SYS_NICE.
local H = require "spec.helper"
local core = require "ringlet.core"
local process = require "spec.process"
local rl = require "ringlet"
local scheduling = require "ringlet.scheduling"

local function run(main, sched, opts)
  local all = {backend = "uring", sched = sched, on_overrun = function() end}
  for k, v in pairs(opts or {}) do all[k] = v end
  return rl.run(main, all)
end

-- A test on the real kernel; `class` is what this process has to be allowed.
local function real_it(name, class, fn)
  it(name, function()
    if H.missing.uring then
      return pending(H.missing.uring)
    end
    local ok, back
    if class then
      ok, back = core.sched_try(class.policy or "other", class.priority or false,
        class.nice or false, false)
    end
    if class and not (ok and back) then
      return pending("this process may not have it, or not leave it: " .. tostring(back))
    end
    fn()
  end)
end

local FIFO, LOWER, HIGHER = {policy = "fifo", priority = 13}, {nice = 5}, {nice = -5}

-- A shard's class without what every kernel answers differently.
local function class_of(shard)
  local s = rl.sched(shard)
  return {s.policy, s.priority or s.nice}
end

-- The class of the thread that runs the specs, outside of any run.
local function own_class()
  return run(function() return rl.sched() end)
end

describe("the option sched", function()
  local function refuses(text, sched, opts)
    local all = {backend = "sim", sched = sched}
    for k, v in pairs(opts or {}) do all[k] = v end
    local err = H.raises_text(text, function() rl.run(function() end, all) end)
    assert.truthy(err:match "^spec/scheduling_spec.lua:%d+: ", err)
  end

  it("raises what is wrong with it at the caller", function()
    refuses("option 'sched' must be a table, not a string", "fifo")
    refuses("unknown option 'class'", {class = "fifo"})
    refuses("option 'sched.policy' must be 'other' or 'batch' or 'idle' or 'fifo' or 'rr', not 'x'",
      {policy = "x"})
    refuses("option 'sched.priority' must be a whole number from 1 to 99, not 0",
      {policy = "rr", priority = 0})
    refuses("option 'sched.priority' must be a whole number from 1 to 99, not 1.5",
      {policy = "rr", priority = 1.5})
    refuses("option 'sched.nice' must be a whole number from -20 to 19, not 20", {nice = 20})
    refuses("option 'sched.slice' must be a number from 0.0001 to 0.1, not 1", {slice = 1})
    refuses("option 'sched.priority' does not go with the policy 'other'", {priority = 1})
    refuses("option 'sched.nice' does not go with the policy 'fifo'", {policy = "fifo", nice = 1})
    refuses("option 'sched.slice' does not go with the policy 'idle'",
      {policy = "idle", slice = 0.01})
    refuses("option 'optional' must be a boolean, not a number", {optional = 1})
  end)

  it("raises what is wrong with one shard's", function()
    refuses("option 'sched.shards' names shard 3: there are 2", {shards = {[3] = {}}}, {shards = 2})
    refuses("option 'sched.shards' names shard x", {shards = {x = {}}})
    refuses("option 'sched.shards[1]' must be a table or false, not a string", {shards = {"rr"}})
    refuses("option 'sched.shards[1].nice' must be a whole number", {shards = {{nice = 0.5}}})
    refuses("option 'sched.shards[1].priority' does not go with the policy 'batch'",
      {shards = {{policy = "batch", priority = 4}}})
    refuses("unknown option 'optional'", {shards = {{optional = true}}})
  end)

  it("leaves the highest priority to the watchdog", function()
    refuses("option 'sched.priority' of 99 leaves none to the watchdog",
      {policy = "fifo", priority = 99})
    refuses("98 at the most, or preempt = false", {shards = {{policy = "rr", priority = 99}}})
    rl.run(function() end, {backend = "sim", sched = {policy = "fifo", priority = 99},
      preempt = false})
  end)

  it("is nothing in virtual time", function()
    local before = own_class()
    rl.run(function()
      assert.same(before, rl.sched())
      assert.same(before, rl.sched(2))
    end, {backend = "sim", shards = 2, sched = {policy = "idle"}})
  end)
end)

describe("the plan", function()
  it("has a class for each shard that is to be in one", function()
    local plan = scheduling.plan({policy = "fifo", shards = {[2] = false, [3] = {nice = -4},
      [4] = {}}}, 5, true)
    assert.same({policy = "fifo", priority = 1}, plan.classes[1])
    assert.is_false(plan.classes[2])
    assert.same({policy = "other", nice = -4}, plan.classes[3])
    assert.is_false(plan.classes[4])
    assert.same({policy = "fifo", priority = 1}, plan.classes[5])
    assert.same({1, -4}, {plan.priority, plan.nice})
    plan = scheduling.plan({shards = {{policy = "rr", priority = 8},
      {policy = "fifo", priority = 9}, {nice = 3}}}, 3, true)
    assert.same({9, 0}, {plan.priority, plan.nice})
    assert.same({false, false}, scheduling.plan({optional = true}, 2, true).classes)
  end)
end)

describe("rl.sched", function()
  it("fails outside of a run and raises for no shard", function()
    assert.same({nil, "ECLOSED: no run is active", "ECLOSED"}, {rl.sched()})
    H.run(function()
      for _, shard in ipairs{0, 3, 1.5, "x"} do
        assert.equal(("spec/scheduling_spec.lua:%d: no such shard: %s of 2"):format(
          debug.getinfo(1, "l").currentline + 1, tostring(shard)),
          H.raises(function() rl.sched(shard) end))
      end
    end, {shards = 2})
  end)

  real_it("tells of every shard, from any", nil, function()
    run(function()
      local one, two = rl.sched(1), rl.sched(2)
      assert.same(one, rl.sched())
      assert.truthy(one.thread and two.thread and one.thread ~= two.thread)
      assert.same(one.policy, two.policy)
      local _, theirs = rl.spawn_on(2, function() return rl.sched() end):join()
      assert.same(two, theirs)
    end, nil, {shards = 2})
  end)
end)

describe("a run with scheduling classes", function()
  real_it("has them, each shard its own, and takes the caller's back", HIGHER, function()
    local before = own_class()
    for _ = 1, 2 do
      run(function()
        assert.same({"batch", 7}, class_of(1))
        assert.same({"other", -2}, class_of(2))
        assert.same({"idle", before.nice}, class_of(3))
        assert.same({before.policy, before.nice}, class_of(4))
      end, {policy = "batch", nice = 7, shards = {[2] = {nice = -2}, [3] = {policy = "idle"},
        [4] = false}}, {shards = 4})
      assert.same(before, own_class())
    end
  end)

  real_it("has slices where the kernel has them", LOWER, function()
    run(function()
      local slice = rl.sched().slice
      if slice then
        assert.is_true(slice == 0.003 or slice == rl.sched(2).slice)
      end
    end, {shards = {{slice = 0.003}}}, {shards = 2})
  end)

  real_it("has real-time priorities, and a watchdog above them", FIFO, function()
    local before = own_class()
    run(function()
      assert.same({"fifo", 10}, class_of(1))
      assert.same({"rr", 12}, class_of(2))
      local classes = process.output[[
        for t in /proc/$PPID/task/*; do
          echo $(cat $t/comm) $(chrt -p ${t##*/}) # one line
        done]]
      assert.truthy(classes:find "ringlet%-watch[^\n]*SCHED_FIFO[^\n]*priority: 13\n", classes)
    end, {policy = "fifo", priority = 10, shards = {[2] = {policy = "rr", priority = 12}}},
      {shards = 2})
    assert.same(before, own_class())
  end)

  real_it("starts ordinary threads and processes", FIFO, function()
    run(function()
      assert.equal("fifo", rl.sched().policy)
      assert.truthy(process.output "chrt -p $$":find("SCHED_OTHER", 1, true))
      local classes = rl.offload(function()
        local p = io.popen[[for t in /proc/$PPID/task/*; do
          echo $(cat $t/comm) $(chrt -p ${t##*/} | head -1); done]]
        local text = p:read "*a"
        p:close()
        return text
      end)
      assert.truthy(classes:find "ringlet%-off[^\n]*SCHED_OTHER", classes)
    end, FIFO)
  end)

  real_it("takes the caller's back however it ends", LOWER, function()
    local before = own_class()
    assert.equal("mine", H.raises(run, function() error("mine", 0) end, LOWER))
    assert.same(before, own_class())
    H.raises_text("deadlock", run, function() rl.chan():recv() end, LOWER)
    assert.same(before, own_class())
    run(function() rl.stop(0) rl.sleep(1) end, LOWER)
    assert.same(before, own_class())
    H.raises_text("cannot start the shards", run, function() end, LOWER,
      {shards = 2, preload = {"spec.no_such_module"}})
    assert.same(before, own_class())
    H.raises_text("in the init", function()
      local out, code = H.script([[
        local core = require "ringlet.core"
        rl.shard_init(function() if rl.shard() == 2 then error("in the init", 0) end end)
        local ok, err = pcall(rl.run, function() end, {shards = 2, sched = {nice = 5}})
        rl.run(function() print(ok, err, rl.sched().nice) end)
      ]])
      assert.equal(0, code)
      error(out:match("false\t.*\t" .. before.nice .. "\n$") and out or "not restored: " .. out, 0)
    end)
  end)

  real_it("leaves the caller's if it is to stay so", LOWER, function()
    local out = H.script[[
      rl.run(function() end, {sched = {nice = 5, keep = true}})
      rl.run(function() print(rl.sched().nice) end)
    ]]
    assert.equal("5\n", out)
  end)

  real_it("keeps the nice value unless another is asked for", LOWER, function()
    local out = H.script([[
      rl.run(function() print(rl.sched().nice) end, {sched = {policy = "batch"}})
      rl.run(function() print(rl.sched().nice) end)
    ]], "nice -n 3")
    local nice = math.min(own_class().nice + 3, 19)
    assert.equal(("%d\n%d\n"):format(nice, nice), out)
  end)
end)

-- One task computes, on the one CPU there is, at real-time priority: others have their turns all
-- the same, though nothing ordinary runs there.
describe("a shard at real-time priority", function()
  real_it("is preempted by the watchdog", FIFO, function()
    local cpus = core.topology().cpus
    local out, code = H.script([[
      rl.run(function()
        local jit = rawget(_G, "jit")
        if jit then jit.off(true, true) end
        local turns, due = 0, os.clock() + 10
        rl.go(function()
          for _ = 1, 5 do
            rl.sleep(0.01)
            turns = turns + 1
          end
        end)
        while turns < 5 and os.clock() < due do end
        print(turns)
        rl.stop(0)
      end, {sched = {policy = "fifo", priority = 10}, on_overrun = function() end})
    ]], "taskset -c " .. cpus[#cpus])
    assert.equal("5\n", out)
    assert.equal(0, code)
  end)
end)

-- Programs that have no CAP_SYS_NICE; root's are made to have none.
describe("without privileges", function()
  local PREFIX = "setpriv --bounding-set=-sys_nice --inh-caps=-sys_nice"

  local function plain_it(name, fn)
    it(name, function()
      local limits = process.read "/proc/self/limits"
      local none = limits:find "nice priority +0 +0 " and limits:find "realtime priority +0 +0 "
      if H.missing.uring then
        return pending(H.missing.uring)
      elseif not none then
        return pending "the limits of this process allow real-time priorities or lower nice values"
      end
      local is_root = process.output "id -u" == "0\n"
      if is_root and process.output(PREFIX .. " true 2>&1 || echo no") ~= "" then
        return pending "setpriv(1) is not there, or may not take a capability away"
      end
      fn(is_root and PREFIX or "")
    end)
  end

  local function refusal(sched, prefix)
    local out, code = H.script(([[
      local ok, err = pcall(rl.run, function() print "runs" end, %s)
      print(ok, (tostring(err):gsub("^[^:]+:%%d+: ", "")))
      rl.run(function() print(rl.sched().policy, rl.sched().nice) end)
    ]]):format(sched), prefix)
    assert.equal(0, code)
    return out
  end

  plain_it("real-time priority is refused, with what to do", function(prefix)
    local out = refusal('{sched = {policy = "fifo", priority = 10}}', prefix)
    assert.truthy(out:find("false\tringlet: cannot schedule shard 1 (fifo, priority 10): EPERM", 1,
      true), out)
    assert.truthy(out:find("it needs CAP_SYS_NICE, or an RLIMIT_RTPRIO of 10", 1, true), out)
    assert.truthy(out:find("sched.optional = true", 1, true), out)
    assert.truthy(out:find "\nother\t%d+\n$", out)
    assert.is_nil(out:find("runs", 1, true))
    out = refusal('{shards = 2, sched = {shards = {[2] = {policy = "rr"}}}}', prefix)
    assert.truthy(out:find("cannot schedule shard 2 (rr, priority 1): EPERM", 1, true), out)
  end)

  plain_it("a lower nice value is refused, with what to do", function(prefix)
    local out = refusal("{sched = {nice = -3}}", prefix)
    assert.truthy(out:find("cannot schedule shard 1 (other, nice -3): EPERM", 1, true), out)
    assert.truthy(out:find("an RLIMIT_NICE of 23", 1, true), out)
  end)

  plain_it("the caller's thread is given nothing that cannot be taken back", function(prefix)
    local nice = own_class().nice
    if nice == 19 then
      return pending "this process has the highest nice value: none is to be taken back"
    end
    local unchanged = ("other\t%d\n"):format(nice)
    for _, sched in ipairs{"{nice = 19}", '{policy = "idle"}'} do
      local out = refusal("{sched = " .. sched .. "}", prefix)
      assert.truthy(out:find("its thread is the caller's, and could not go back", 1, true), out)
      assert.equal(unchanged, out:match "\n([^\n]*\n)$")
    end
    assert.equal("runs\ntrue\tnil\nother\t19\n",
      refusal("{sched = {nice = 19, keep = true}}", prefix))
    assert.equal("runs\ntrue\tnil\n" .. unchanged,
      refusal('{sched = {policy = "batch"}}', prefix))
  end)

  plain_it("other shards may be given it", function(prefix)
    local out = H.script([[
      rl.run(function()
        print(rl.sched(1).nice, rl.sched(2).nice, rl.sched(3).policy)
      end, {shards = 3, sched = {shards = {[2] = {nice = 19}, [3] = {policy = "idle"}}}})
    ]], prefix)
    assert.equal(("%d\t19\tidle\n"):format(own_class().nice), out)
  end)

  plain_it("a run goes on without what is optional", function(prefix)
    local out = H.script([[
      rl.run(function()
        for i = 1, 3 do
          local s = rl.sched(i)
          print(s.policy, s.nice)
        end
      end, {shards = 3, sched = {policy = "fifo", optional = true, shards = {[2] = {nice = 19},
        [3] = {nice = -4}}}})
    ]], prefix)
    local nice = own_class().nice
    assert.equal(("other\t%d\nother\t19\nother\t%d\n"):format(nice, nice), out)
  end)
end)
