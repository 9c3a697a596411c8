-- SPDX-License-Identifier: MIT
-- Profiles as they are taken: which stacks ticks are counted for, where waiting and allocations go,
-- on several shards, and that nothing is left behind.
local rl = require "ringlet"
local core = require "ringlet.core"
local profile = require "ringlet.profile"
local H = require "spec.helper"
local shared = require "ringlet.shared"

-- Hardly ever a tick of the real timer: those of these tests are made by hand.
local QUIET = {hz = 1}

-- Ticks are seen where hooks are.
local function interpreted(fn)
  if H.jit then
    require("jit").off(fn, true)
  end
  return fn
end

-- How many samples, and how much, have a frame of this name; or this one innermost.
local function of(p, name, innermost)
  local count, value = 0, 0
  for _, sample in ipairs(p.samples) do
    local has = false
    for i, frame in ipairs(sample.stack) do
      has = has or (frame.name == name and (i == 1 or not innermost))
    end
    count, value = count + (has and sample.count or 0), value + (has and sample.value or 0)
  end
  return count, value
end

-- The names of a stack without what came of ticking by hand, and what is outside of the test.
local function names_of(sample, outermost)
  local list = {}
  for _, frame in ipairs(sample.stack) do
    if frame.file ~= "" and frame.file ~= "[C]" and not frame.library then
      list[#list + 1] = frame.name
    end
    if frame.name == outermost then
      break
    end
  end
  return table.concat(list, " < ")
end

-- Does a handler of ours remain? SIGPROF is 27.
local function sigprof_is_caught()
  for line in io.lines "/proc/self/status" do
    local mask = line:match "^SigCgt:%s*%x*(%x%x%x%x%x%x%x)$"
    if mask then
      return math.floor(tonumber(mask, 16) / 2 ^ 26) % 2 == 1
    end
  end
end

local inner = interpreted(function(n)
  local x = core.profile_tick(n)
  return x, n
end)

local outer = interpreted(function(n)
  local x, y = inner(n)
  return x, y
end)

-- What a profile has seen depends on when its timer had a turn: call fn(seconds) with more and more
-- of them until it says that this was enough, and give its other results.
local function enough(seconds, fn)
  local found, a, b, c
  repeat
    found, a, b, c = fn(seconds)
    seconds = 2 * seconds
  until found or seconds > 20
  return a, b, c
end

-- Of this shard, however many there are, unless told otherwise.
local function start(kind, opts)
  local all = {shards = 1}
  for k, v in pairs(opts or {}) do all[k] = v end
  return rl.check(profile.start(kind, all))
end

H.both("cpu profiles, ticked by hand", function(it)
  it("count a tick for the stack of the running task", function()
    local s = start("cpu", QUIET)
    local function body()
      outer(3)
      outer(4)
    end
    interpreted(body)
    assert(rl.go(body):join())
    local p = s:stop()
    local count, value = of(p, "inner")
    assert.equal(7, count)
    assert.near(7e9, value, 1)
    local found
    for _, sample in ipairs(p.samples) do
      found = found or names_of(sample, "outer") == "inner < outer" and sample
    end
    assert(found, p:text())
  end)

  it("know the line and the function", function()
    local s = start("cpu", QUIET)
    outer(1)
    local info = debug.getinfo(inner, "S")
    for _, sample in ipairs(s:stop().samples) do
      for _, frame in ipairs(sample.stack) do
        if frame.name == "inner" then
          assert.equal(info.linedefined, frame.defined)
          assert(frame.line == info.linedefined + 1 or frame.line == info.linedefined + 2)
          assert.equal("Lua", frame.what)
          return
        end
      end
    end
    error "no such frame"
  end)

  it("count a tick for where a task gives up its turn, at the latest", function()
    local s = start("cpu", QUIET)
    local task = rl.go(interpreted(function()
      core.profile_tick(2)
      rl.sleep(0.001)
    end))
    task:name "sleeper"
    task:join()
    local p = s:stop()
    local count = 0
    for _, sample in ipairs(p.samples) do
      count = count + (sample.labels.task == "sleeper" and sample.count or 0)
    end
    assert.equal(2, count)
  end)

  it("go on into the task from a coroutine of it", function()
    local s = start("cpu", QUIET)
    local function generator()
      outer(1)
    end
    local function consumer()
      coroutine.wrap(generator)()
      return true
    end
    interpreted(generator)
    interpreted(consumer)
    rl.go(consumer):join()
    local p = s:stop()
    assert.equal(1, of(p, "outer"))
    local line = debug.getinfo(consumer, "S").linedefined
    local has = false
    for _, frame in ipairs(p.samples[1].stack) do
      has = has or frame.defined == line
    end
    assert(has, p:folded{library = true})
  end)

  it("have the names and labels of tasks, and the shard", function()
    local s = start("cpu", QUIET)
    for i = 1, 2 do
      local task = rl.go(outer, i)
      task:name("task " .. i)
      task:label("type", "order")
      task:join()
    end
    rl.go(outer, 4):join()
    local p, seen = s:stop(), {}
    for _, sample in ipairs(p.samples) do
      local key = ("%s %s %d"):format(tostring(sample.labels.task), tostring(sample.labels.type),
        sample.labels.shard)
      seen[key] = (seen[key] or 0) + sample.count
    end
    assert.same({["task 1 order 1"] = 1, ["task 2 order 1"] = 2, ["nil nil 1"] = 4}, seen)
  end)

  it("tell apart what no task does", function()
    local s = start("cpu", QUIET)
    local task = rl.go(function() error "x" end)
    rl.on_error(function() core.profile_tick(5) end)
    rl.yield()
    rl.on_error(nil)
    local p = s:stop()
    assert.equal(5, of(p, "(scheduler)", true))
    assert.equal("failed", task:status())
  end)

  it("are one at a time, and stopped once", function()
    local s = start("cpu", QUIET)
    local p, msg, code = profile.cpu()
    assert.same({nil, "EBUSY"}, {p, code})
    assert.matches("^EBUSY: ", msg)
    assert.equal("EBUSY", select(3, profile.start("alloc")))
    assert.equal("EBUSY", select(3, profile.start("offcpu")))
    assert(s:stop())
    assert.equal("ECLOSED", select(3, s:stop()))
    assert(start("alloc"):stop())
  end)

  it("cost nothing and leave nothing when they are over", function()
    assert.is_false(sigprof_is_caught())
    local s = start("cpu", QUIET)
    assert.is_true(sigprof_is_caught())
    s:stop()
    assert.is_false(sigprof_is_caught())
    outer(1)
    assert.same({}, start("cpu", QUIET):stop().samples)
  end)

  it("end with a cancellation of who takes one", function()
    local task = rl.go(function() return profile.cpu{seconds = 100, hz = 1} end)
    rl.yield()
    task:cancel()
    assert.is_false((task:join()))
    assert.is_false(sigprof_is_caught())
    assert(start("cpu", QUIET):stop())
  end)

  it("cannot be asked for what makes no sense", function()
    for _, opts in ipairs {
      {hz = 0}, {hz = 1001}, {hz = "99"}, {seconds = 0}, {seconds = 0 / 0}, {shards = 0},
      {shards = 1.5}, {shards = {}}, {shards = "some"}, {shards = {1, 99}}, {detail = "word"},
      {every = 1},
    } do
      local err = H.raises(function()
        local p = profile.cpu(opts)
        return p
      end)
      assert.matches("profile_spec", err)
    end
    assert.matches("kind", H.raises(profile.start, "gpu"))
    assert.matches("kind", H.raises(profile.start, {}))
    assert.matches("option 'every'", H.raises(profile.alloc, {every = 0}))
  end)
end)

describe("profiles and runs", function()
  it("raise outside of a task", function()
    assert.matches("not inside a task", H.raises(profile.cpu))
    assert.matches("not inside a task", H.raises(profile.start, "alloc"))
  end)

  it("end with the run", function()
    for _, kind in ipairs {"cpu", "alloc", "offcpu"} do
      rl.run(function() start(kind) end)
      assert.is_false(sigprof_is_caught())
      rl.run(function() assert(start(kind):stop()) end)
    end
  end)

  it("are taken of every shard", function()
    local p, seen = rl.run(function()
      return enough(0.2, function(seconds)
        local s, seen = start("offcpu", {hz = 1000, shards = "all"}), false
        rl.spawn_on(2, function() require("ringlet").sleep(seconds) end):join()
        local p = s:stop()
        for _, sample in ipairs(p.samples) do
          seen = seen or (sample.labels.shard == 2 and sample.stack[1].name == "(sleep)")
        end
        return seen, p, seen
      end)
    end, {shards = 2, backend = not H.missing.uring and "uring" or "sim"})
    assert.equal(2, #p.shards)
    assert(seen, p:folded())
  end)

  it("are taken of shards in turn where it must be, for the same time", function()
    rl.run(function()
      for _, kind in ipairs {"cpu", "alloc"} do
        -- A stall lengthens one turn, at the cost of the other.
        local p, own = enough(0.2, function(seconds)
          local p = rl.check(profile[kind]{seconds = seconds})
          table.sort(p.shards, function(a, b) return a.shard < b.shard end)
          local own, fair = (H.jit and 0.5 or 1) * seconds, #p.shards == 2
          for _, part in ipairs(p.shards) do fair = fair and part.seconds >= own * 0.7 end
          return fair, p, own
        end)
        assert.equal(2, #p.shards)
        for i = 1, 2 do
          assert.equal(i, p.shards[i].shard)
          assert(p.shards[i].seconds >= own * 0.7, tostring(p.shards[i].seconds))
        end
        assert(rl.check(profile[kind]{seconds = 0.01, shards = 2}).shards[1].shard == 2)
      end
    end, {shards = 2, backend = not H.missing.uring and "uring" or "sim"})
    assert.is_false(sigprof_is_caught())
  end)

  -- With LuaJIT the second shard's turn comes while it is busy, and is over before it is not.
  it("leave no shard on that was asked to begin when they ended", function()
    if H.missing.uring then return pending(H.missing.uring) end
    rl.run(function()
      local gate = shared.atomic()
      local busy = rl.spawn_on(2, function()
        while gate:load() == 0 do end
        return true
      end)
      rl.go(function()
        rl.sleep(0.3)
        gate:store(1)
      end)
      rl.check(profile.alloc{seconds = 0.05})
      assert.same({true, true}, {busy:join()})
      assert(start("alloc", {shards = 2}):stop())
    end, {shards = 2, backend = "uring", preempt = false})
  end)

  if H.jit then
    it("refuse when LuaJIT's profiler is in use", function()
      local other = require "jit.profile"
      other.start("i1000", function() end)
      rl.run(function()
        assert.equal("EBUSY", select(3, profile.start("cpu")))
        assert.equal("EBUSY", select(3, profile.start("alloc")))
      end)
      other.stop()
      rl.run(function() assert(start("cpu"):stop()) end)
    end)
  end
end)

-- ---- with the real timer ------------------------------------------------------------------------

local function hot70(n)
  local x = 1
  for i = 1, n do
    x = (x * 16807 + i) % 2147483647
  end
  return x
end

local function hot20(n)
  local x = 1
  for i = 1, n do
    x = (x * 16807 + i) % 2147483647
  end
  return x
end

local function hot10(n)
  local x = 1
  for i = 1, n do
    x = (x * 16807 + i) % 2147483647
  end
  return x
end

-- 70, 20 and 10 % of the work for so many seconds of CPU time.
local function work(seconds)
  local n, t0 = H.jit and 2000 or 500, os.clock()
  while os.clock() - t0 < seconds do
    hot70(7 * n)
    hot20(2 * n)
    hot10(n)
    rl.yield()
  end
end

local function on_uring(fn, opts)
  opts = opts or {}
  opts.backend = "uring"
  return rl.run(fn, opts)
end

-- A profile of such work with enough samples.
local function profile_work()
  return on_uring(function()
    return enough(1, function(seconds)
      local s = start("cpu", {hz = 250})
      work(seconds)
      local p = s:stop()
      return p:total() >= 100, p
    end)
  end)
end

-- Each share is within five standard deviations of what it is.
local function assert_shares(p)
  local all = p:total()
  assert(all >= 100, "samples: " .. all)
  for name, share in pairs {hot70 = 0.7, hot20 = 0.2, hot10 = 0.1} do
    local got = of(p, name, true) / all
    local bound = 5 * math.sqrt(share * (1 - share) / all) + 0.02
    assert(math.abs(got - share) < bound, ("%s: %.3f of %d\n%s"):format(name, got, all, p:text()))
  end
end

describe("cpu profiles of a real load", function()
  if H.missing.uring then
    pending("are skipped: " .. H.missing.uring)
    return
  elseif H.torture then
    pending "are skipped: the collector has it all"
    return
  end

  it("have its shares", function()
    assert_shares(profile_work())
  end)

  it("keep no task from being preempted", function()
    local over, in_time = false, false
    on_uring(function()
      local s = start("cpu", {hz = 1000})
      rl.go(interpreted(function()
        local due = rl.now() + 100
        while not over and rl.now() < due do end
        in_time = over
      end))
      local from = rl.now()
      for n = 1, 2000 do
        rl.yield()
        if n >= 100 and rl.now() - from > 10 then break end -- others have the CPUs
      end
      over = true
      s:stop()
    end, {slice = 0.001})
    assert.is_true(in_time)
  end)

  it("have them of tasks that are preempted", function()
    local function spin_a(till)
      local n = 0
      while os.clock() < till do n = n + 1 end
      return n
    end
    local function spin_b(till)
      local n = 0
      while os.clock() < till do n = n + 1 end
      return n
    end
    interpreted(spin_a)
    interpreted(spin_b)
    local preempted
    local p, turns_a, turns_b = on_uring(function()
      return enough(1, function(seconds)
        local before = rl.stats().preemptions
        local s, till = start("cpu", {hz = 250}), os.clock() + seconds
        local a, b = rl.go(spin_a, till), rl.go(spin_b, till)
        local _, n = a:join()
        local _, m = b:join()
        local p = s:stop()
        preempted = rl.stats().preemptions > before
        return preempted and p:total() > 100, p, n, m
      end)
    end, {slice = 0.002})
    assert.is_true(preempted)
    local lines, all = {}, p:total()
    for _, sample in ipairs(p.samples) do
      local defined = sample.stack[#sample.stack].defined
      lines[defined] = (lines[defined] or 0) + sample.count
    end
    assert(all > 100, p:text())
    local share = (lines[debug.getinfo(spin_a, "S").linedefined] or 0) / all
    assert.near(turns_a / (turns_a + turns_b), share, 0.2)
  end)

  if H.jit then
    it("have them without compiled code", function()
      local jit = require "jit"
      jit.off()
      local p = profile_work()
      jit.on()
      assert_shares(p)
    end)
  else
    it("name the C function that runs", function()
      local p = on_uring(function()
        return enough(0.3, function(seconds)
          local s, t0, text = start("cpu", {hz = 250}), os.clock(), ("x"):rep(100000) .. "y"
          while os.clock() - t0 < seconds do
            assert(text:find("x-y$") == 1)
          end
          local p = s:stop()
          return p:total() >= 20, p
        end)
      end)
      assert(of(p, "find", true) > 0.8 * p:total(), p:text())
    end)
  end
end)

-- ---- waiting ------------------------------------------------------------------------------------

H.sim("offcpu profiles", function(it_)
  -- The watchdog of a test is a task that waits.
  local function it(what, test)
    it_(what, test, {timeout = 0})
  end

  -- Call fn with what makes daemons, which are ended then.
  local function with_daemons(fn)
    local list = {}
    fn(function(body)
      list[#list + 1] = rl.go(body)
    end)
    for _, task in ipairs(list) do task:cancel() end
  end

  local function waiting(p)
    local sums = {}
    for _, sample in ipairs(p.samples) do
      local name = sample.stack[1].name
      sums[name] = (sums[name] or 0) + sample.value / 1e9
    end
    return sums
  end

  it("have the time of every task by its reason", function()
    local ch = rl.chan()
    with_daemons(function(daemon)
      for _ = 1, 10 do daemon(function() ch:recv() end) end
      for _ = 1, 5 do daemon(function() rl.sleep(1000) end) end
      local p = rl.check(profile.offcpu{seconds = 10})
      local sums = waiting(p)
      assert.near(100, sums["(chan receive)"], 1)
      assert.near(50, sums["(sleep)"], 0.5)
      assert.equal(2, #p.samples)
    end)
  end)

  it("have it for many more tasks than are looked at in one go", function()
    local ch, event = rl.chan(), rl.event()
    with_daemons(function(daemon)
      local n, seconds = H.rounds(2000, 200), H.torture and 1 or 20
      for i = 1, n do
        daemon(i % 4 == 0 and function() event:wait() end or function() ch:recv() end)
      end
      local p = rl.check(profile.offcpu{seconds = seconds})
      local sums, all = waiting(p), seconds * n
      local within = H.torture and 0.3 or 0.04
      assert.near(0.75 * all, sums["(chan receive)"], within * all)
      assert.near(0.25 * all, sums["(event wait)"], within * all)
    end)
  end)

  it("have it where waits are short and many", function()
    local lock = rl.mutex()
    with_daemons(function(daemon)
      for _ = 1, 3 do
        daemon(function()
          while true do
            lock:lock()
            rl.finally(function() rl.sleep(0.1) end, function() lock:unlock() end)
          end
        end)
      end
      local seconds = H.torture and 3 or 100
      local sums = waiting(rl.check(profile.offcpu{seconds = seconds}))
      local within = seconds * (H.torture and 0.5 or 0.1)
      assert.near(2 * seconds, sums["(lock)"], within)
      assert.near(seconds, sums["(sleep)"], within)
    end)
  end)

  it("leave out who takes them, and stop looking", function()
    local p = rl.check(profile.offcpu{seconds = 5})
    assert.equal("", p:folded{library=true})
    rl.yield()
    assert.equal(1, rl.stats().tasks)
    rl.sleep(1)
    assert.same({}, start("offcpu"):stop().samples)
  end)

  it("have the stack and the labels of who waits", function()
    local function waits_here()
      rl.sleep(100)
      return true
    end
    local function handler()
      waits_here()
      return true
    end
    local task = rl.go(handler)
    task:label("type", "order")
    local p = rl.check(profile.offcpu{seconds = 1})
    task:cancel()
    assert.matches("type=order;.*waits_here %(profile_spec.lua:%d+%);sleep.*;%(sleep%) %d+\n",
      p:folded{labels = {"type"}})
  end)
end)

-- ---- allocations --------------------------------------------------------------------------------

H.both("alloc profiles", function(it)
  local tables = interpreted(function(n)
    local list = {}
    for i = 1, n do
      list[i] = {i}
    end
    return list
  end)
  local text = interpreted(function(n)
    local s = ("x"):rep(n)
    return s
  end)

  it("have every byte and object, if asked", function()
    local s = start("alloc", {every = 1})
    text(1e6)
    local p = s:stop()
    local _, bytes = of(p, "text")
    assert(bytes >= 1e6 and bytes < 4.1e6, bytes)
    s = start("alloc", {every = 1})
    tables(1000)
    local objects, size = of(s:stop(), "tables")
    assert(objects >= 1000 and objects < 2300, objects)
    assert(size >= 1000 * 40, size)
  end)

  it("estimate them without a bias", function()
    local s = start("alloc", {every = 10000})
    local go = interpreted(function(n)
      for i = 1, n do text(3000 + i) tables(5) end
    end)
    go(1200)
    local p = s:stop()
    local _, estimate = of(p, "text")
    collectgarbage() -- LuaJIT makes no string that there is already
    s = start("alloc", {every = 1})
    go(1200)
    local _, truth = of(s:stop(), "text")
    assert.near(1, estimate / truth, 0.4)
  end)

  it("leave the allocator as it was", function()
    for _ = 1, 3 do
      local s = start("alloc", {every = 1})
      tables(10)
      s:stop()
    end
    collectgarbage()
    tables(1000)
    collectgarbage()
  end)
end)
