-- SPDX-License-Identifier: MIT
local rl = require "ringlet"
local H = require "spec.helper"

local HERE = "spec/scope_spec.lua:"

-- Where the order of turns is what is looked at: a task whose thread waits for a CPU is interrupted
-- wherever it is, also between reading a counter and adding to it.
local IN_TURN = {preempt = false}

H.both("scope", function(it)
  it("gives true and the function's results, nils included", function()
    assert.same({n = 4, true, 1, nil, 3}, H.pack(rl.scope(function() return 1, nil, 3 end)))
    assert.same({n = 1, true}, H.pack(rl.scope(function() end)))
  end)

  it("waits for its children", function()
    local done = 0
    rl.scope(function(s)
      for i = 1, 10 do
        s:go(function() rl.sleep(i * 0.0002) done = done + 1 end)
      end
    end)
    assert.equal(10, done)
  end, IN_TURN)

  it("passes arguments to a child and gives a task to join", function()
    rl.scope(function(s)
      local task = s:go(function(...) return select("#", ...), ... end, "a", nil)
      assert.same({n = 4, true, 2, "a", nil}, H.pack(task:join()))
    end)
  end)

  it("waits for children started by children", function()
    local log = {}
    rl.scope(function(s)
      s:go(function()
        rl.yield()
        s:go(function() rl.yield() log[#log + 1] = "grandchild" end)
        log[#log + 1] = "child"
      end)
    end)
    assert.same({"child", "grandchild"}, log)
  end, IN_TURN)

  it("raises the function's error unchanged, after its children ended", function()
    local e, ended = {}, false
    local err = H.raises(rl.scope, function(s)
      s:go(function() rl.finally(function() rl.sleep(1000) end, function() ended = true end) end)
      rl.yield()
      error(e)
    end)
    assert.is_true(rawequal(e, err))
    assert.is_true(ended)
  end)

  it("raises a child's error unchanged and cancels the rest", function()
    local e, reasons = {}, {}
    local err = H.raises(rl.scope, function(s)
      s:go(function()
        local _, c = pcall(rl.sleep, 1000)
        reasons[#reasons + 1] = rl.is_cancel(c)
        error(c, 0)
      end)
      s:go(function() rl.yield() error(e) end)
      local _, c = pcall(rl.sleep, 1000)
      reasons[#reasons + 1] = rl.is_cancel(c)
      error(c, 0)
    end)
    assert.is_true(rawequal(e, err))
    assert.same({true, true}, reasons)
  end, IN_TURN)

  it("raises a child's error although the child was joined", function()
    local joined
    local err = H.raises(rl.scope, function(s)
      local task = s:go(function() rl.yield() error("child", 0) end)
      joined = H.pack(pcall(task.join, task))
      rl.sleep(1000)
    end)
    assert.equal("child", err)
    assert.is_truthy(joined)
  end)

  it("raises the first of two errors", function()
    local err = H.raises(rl.scope, function(s)
      s:go(function() rl.yield() error("first", 0) end)
      s:go(function() rl.yield() rl.yield() error("second", 0) end)
    end)
    assert.equal("first", err)
  end, IN_TURN)

  it("raises the first error although a cancelled sibling fails in its cleanup", function()
    local err = H.raises(rl.scope, function(s)
      s:go(function()
        rl.finally(function() rl.sleep(1000) end, function() error("cleanup", 0) end)
      end)
      s:go(function() rl.yield() error("first", 0) end)
    end)
    assert.equal("first", err)
  end)

  it("does not hand a child's error to on_error", function()
    local seen
    rl.on_error(function(err) seen = err end)
    H.raises(rl.scope, function(s)
      s:go(function() error("child", 0) end)
      rl.sleep(1000)
    end)
    assert.is_nil(seen)
  end)

  it("with a cancelled child is not failed", function()
    local ok, v = rl.scope(function(s)
      local task = s:go(rl.sleep, 1000)
      rl.yield()
      task:cancel()
      return "fine"
    end)
    assert.same({true, "fine"}, {ok, v})
  end)

  it("gives ETIMEDOUT when its time is up, after its children ended", function()
    local ended = false
    local v, msg, code = rl.scope(function(s)
      s:go(function() rl.finally(function() rl.sleep(1000) end, function() ended = true end) end)
      rl.sleep(1000)
    end, {timeout = 0.002})
    assert.is_nil(v)
    assert.equal("string", type(msg))
    assert.equal("ETIMEDOUT", code)
    assert.is_true(ended)
  end, IN_TURN)

  it("times out while it waits for its children", function()
    local _, _, code = rl.scope(function(s)
      s:go(rl.sleep, 1000)
      return "main part done"
    end, {timeout = 0.002})
    assert.equal("ETIMEDOUT", code)
  end)

  it("keeps to its limit of children", function()
    local running, most, total = 0, 0, 0
    rl.scope(function(s)
      for _ = 1, 100 do
        s:go(function()
          running = running + 1
          most = math.max(most, running)
          rl.yield()
          running = running - 1
          total = total + 1
        end)
      end
    end, {limit = 10})
    assert.equal(10, most)
    assert.equal(100, total)
  end, IN_TURN)

  it("parks go at the limit until a child ended", function()
    local log = {}
    rl.scope(function(s)
      for i = 1, 3 do
        s:go(function() rl.yield() log[#log + 1] = "end " .. i end)
        log[#log + 1] = "went " .. i
      end
    end, {limit = 1})
    assert.same({"went 1", "end 1", "went 2", "end 2", "went 3", "end 3"}, log)
  end, IN_TURN)

  it("refuses go after it ended", function()
    local kept
    rl.scope(function(s) kept = s end)
    local err = H.raises(function() kept:go(function() end) end)
    assert.is_truthy(tostring(err):find(HERE, 1, true), tostring(err))
  end)

  it("can be nested", function()
    local log = {}
    rl.scope(function(outer)
      outer:go(function()
        rl.scope(function(inner)
          inner:go(function() rl.yield() log[#log + 1] = "inner" end)
        end)
        log[#log + 1] = "outer"
      end)
    end)
    assert.same({"inner", "outer"}, log)
  end)

  it("leaves the tasks of the shard alone", function()
    local root
    pcall(rl.scope, function()
      root = rl.go(function() rl.sleep(0.001) return "root" end)
      error("x")
    end)
    assert.same({true, "root"}, {root:join()})
  end)

  it("names an unknown option", function()
    H.raises_text("limitt", rl.scope, function() end, {limitt = 1})
    local err = H.raises(function() rl.scope(function() end, {nope = 1}) end)
    assert.is_truthy(tostring(err):find(HERE, 1, true), tostring(err))
  end)

  it("refuses a limit below 1", function()
    H.raises(rl.scope, function() end, {limit = 0})
    H.raises(rl.scope, function() end, {limit = -1})
    H.raises(rl.scope, function() end, {limit = "x"})
  end)

  it("of 1,000 children that all fail raises one error and leaves no task", function()
    local before = rl.stats().tasks
    local err = H.raises(rl.scope, function(s)
      for i = 1, 1000 do
        s:go(function() error(i, 0) end)
      end
    end)
    assert.equal(1, err)
    assert.equal(before, rl.stats().tasks)
  end, IN_TURN)
end)

H.sim("cancelling", function(it)
  it("a task reaches all its scopes' children, through layers", function()
    local ended = 0
    local function tree(depth)
      rl.finally(function()
        if depth == 0 then
          rl.sleep(1000)
        end
        rl.scope(function(s)
          for _ = 1, 3 do
            s:go(tree, depth - 1)
          end
        end)
      end, function() ended = ended + 1 end)
    end
    local root = rl.go(tree, 3)
    for _ = 1, 20 do
      rl.yield()
    end
    local t0 = rl.now()
    root:cancel("all")
    local ok, err = root:join()
    assert.is_false(ok)
    assert.same({true, "all"}, {rl.is_cancel(err)})
    assert.equal(1 + 3 + 9 + 27, ended)
    assert.equal(t0, rl.now())
  end)

  it("a child does not touch its scope or its siblings", function()
    local ok, v = rl.scope(function(s)
      local a = s:go(rl.sleep, 1000)
      local b = s:go(function() rl.sleep(1) return "b" end)
      rl.yield()
      a:cancel()
      return select(2, b:join())
    end)
    assert.same({true, "b"}, {ok, v})
  end)

  it("is over when the scope was left: the next wait works", function()
    rl.timeout(1, function() rl.sleep(1000) end)
    local t0 = rl.now()
    rl.sleep(2)
    assert.near(2, rl.now() - t0, H.TICK)
  end)

  it("is raised at every park point until its scope exits", function()
    local raised = 0
    rl.timeout(1, function()
      for _ = 1, 5 do
        local ok, err = pcall(rl.sleep, 1000)
        if not ok and rl.is_cancel(err) then
          raised = raised + 1
        end
      end
    end)
    assert.equal(5, raised)
    rl.sleep(1)
  end)

  it("an outer task wins over a timeout inside", function()
    local inner
    local task = rl.go(function()
      inner = H.pack(pcall(rl.timeout, 50, rl.sleep, 1000))
      rl.sleep(1000)
    end)
    rl.yield()
    task:cancel("outer")
    local ok, err = task:join()
    assert.is_false(ok)
    assert.same({true, "outer"}, {rl.is_cancel(err)})
    assert.is_false(inner[1])
    assert.same({true, "outer"}, {rl.is_cancel(inner[2])})
  end)

  it("an outer task wins over a timeout that fired before it", function()
    local inner
    local task = rl.go(function()
      inner = H.pack(pcall(rl.timeout, 5, function()
        rl.shield(rl.sleep, 10)
        rl.sleep(1000)
      end))
      rl.sleep(1000)
    end)
    rl.sleep(7)
    task:cancel("outer")
    local _, err = task:join()
    assert.same({true, "outer"}, {rl.is_cancel(err)})
    assert.is_false(inner[1])
    assert.same({true, "outer"}, {rl.is_cancel(inner[2])})
  end)

  it("an outer task wins over a timeout whose cancel was swallowed", function()
    local reasons = {}
    local task = rl.go(function()
      return rl.timeout(5, function()
        for i = 1, 3 do
          local _, err = pcall(rl.sleep, 1000)
          reasons[i] = select(2, rl.is_cancel(err))
          if i == 1 then
            rl.shield(rl.sleep, 10)
          end
        end
        rl.sleep(1000)
      end)
    end)
    rl.sleep(7)
    task:cancel("outer")
    local ok, err = task:join()
    assert.is_false(ok)
    assert.same({true, "outer"}, {rl.is_cancel(err)})
    assert.are_not.equal("outer", reasons[1])
    assert.same({"outer", "outer"}, {reasons[2], reasons[3]})
  end)

  it("100 interlocked tasks ends them all", function()
    local tasks, ended = {}, 0
    for i = 1, 100 do
      tasks[i] = rl.go(function()
        rl.finally(function() rl.sleep(1000) end, function()
          ended = ended + 1
          tasks[i % 100 + 1]:cancel()
          tasks[(i + 49) % 100 + 1]:cancel()
        end)
      end)
    end
    rl.yield()
    tasks[1]:cancel()
    for i = 1, 100 do
      assert.is_false((tasks[i]:join()))
    end
    assert.equal(100, ended)
  end)

  it("leaving a scope waits for children that take their time over it", function()
    local log = {}
    local task = rl.go(function()
      rl.finally(function()
        rl.scope(function(s)
          s:go(function()
            rl.finally(function() rl.sleep(1000) end, function()
              rl.shield(rl.sleep, 2)
              log[#log + 1] = "child cleaned"
            end)
          end)
          rl.sleep(1000)
        end)
      end, function() log[#log + 1] = "scope left" end)
    end)
    rl.yield()
    rl.yield()
    task:cancel()
    task:join()
    assert.same({"child cleaned", "scope left"}, log)
  end)

  it("a scope with go parked at its limit starts nothing more", function()
    local started = 0
    local task = rl.go(function()
      rl.scope(function(s)
        for _ = 1, 10 do
          s:go(function() started = started + 1 rl.sleep(1000) end)
        end
      end, {limit = 2})
    end)
    rl.sleep(1)
    task:cancel()
    assert.is_false((task:join()))
    assert.equal(2, started)
  end)
end)

H.sim("a scope that is cancelled", function(it)
  it("twice was cancelled all the same", function()
    local ok, _, code = rl.scope(function(s)
      s:cancel("once")
      s:cancel("twice")
      return "fine"
    end)
    assert.is_nil(ok)
    assert.equal("ECANCELED", code)
  end)

  it("wakes its tasks in the order of their age, whatever their addresses", function()
    local order, expected = {}, {}
    rl.scope(function(s)
      for i = 1, 100 do
        expected[i] = i
        s:go(function()
          pcall(rl.sleep, 1)
          order[#order + 1] = i
        end)
      end
      rl.yield()
      s:cancel()
    end)
    assert.same(expected, order)
  end)
end)

H.both("timeout", function(it)
  it("gives true and the results in time", function()
    assert.same({n = 4, true, 1, nil, 3}, H.pack(rl.timeout(60, function() return 1, nil, 3 end)))
  end)

  it("passes arguments", function()
    assert.same({n = 4, true, "a", nil, "c"},
      H.pack(rl.timeout(60, function(...) return ... end, "a", nil, "c")))
  end)

  it("gives nil, message, ETIMEDOUT when time is up", function()
    local v, msg, code = rl.timeout(0.002, rl.sleep, 1000)
    assert.is_nil(v)
    assert.equal("string", type(msg))
    assert.equal("ETIMEDOUT", code)
  end)

  it("runs the function in the calling task", function()
    local id = rl.self().id
    rl.timeout(60, function() assert.equal(id, rl.self().id) end)
  end)

  it("raises the function's error unchanged", function()
    local e = {}
    assert.is_true(rawequal(e, H.raises(rl.timeout, 60, function() rl.yield() error(e) end)))
  end)

  it("interrupts a wait on a channel and leaves the channel whole", function()
    local ch = rl.chan()
    assert.equal("ETIMEDOUT", select(3, rl.timeout(0.002, function() ch:recv() end)))
    local task = rl.go(function() return ch:recv() end)
    ch:send("v")
    assert.same({true, "v"}, {task:join()})
  end)

  it("whose function swallowed the cancel says ETIMEDOUT or gives the results", function()
    local got = H.pack(rl.timeout(0.002, function()
      pcall(rl.sleep, 1000)
      return "swallowed"
    end))
    assert.is_true(got[3] == "ETIMEDOUT" or got[2] == "swallowed")
    rl.sleep(0)
  end)

  it("whose function fails in its cleanup raises that", function()
    local err = H.raises(rl.timeout, 0.002, function()
      rl.finally(function() rl.sleep(1000) end, function() error("cleanup", 0) end)
    end)
    assert.equal("cleanup", err)
  end)
end)

H.sim("timeout", function(it)
  it("fires at exactly its time", function()
    local t0 = rl.now()
    rl.timeout(7, rl.sleep, 1000)
    assert.near(7, rl.now() - t0, H.TICK)
  end)

  it("inside a shorter one does not extend it", function()
    local t0, inner = rl.now(), nil
    local _, _, code = rl.timeout(2, function()
      inner = H.pack(rl.timeout(10, rl.sleep, 1000))
    end)
    assert.equal("ETIMEDOUT", code)
    assert.near(2, rl.now() - t0, H.TICK)
    assert.is_nil(inner)
  end)

  it("inside a longer one fires alone", function()
    local t0 = rl.now()
    local got = H.pack(rl.timeout(10, function()
      local _, _, code = rl.timeout(2, rl.sleep, 1000)
      rl.sleep(1)
      return code
    end))
    assert.same({n = 2, true, "ETIMEDOUT"}, got)
    assert.near(3, rl.now() - t0, H.TICK)
  end)

  it("of 0 or less cancels the first wait at once", function()
    local t0 = rl.now()
    for _, t in ipairs{0, -1} do
      local ran = false
      local _, _, code = rl.timeout(t, function() ran = true rl.sleep(5) end)
      assert.equal("ETIMEDOUT", code)
      assert.is_boolean(ran)
    end
    assert.near(0, rl.now() - t0, H.TICK)
  end)

  it("takes an endless time", function()
    assert.same({true, "v"}, {rl.timeout(math.huge, function() rl.sleep(1) return "v" end)})
  end)

  it("refuses what is no time", function()
    H.raises(rl.timeout, "soon", function() end)
    H.raises(rl.timeout, nil, function() end)
    H.raises(rl.timeout, 0 / 0, function() end)
    H.raises(rl.timeout, 1)
  end)

  it("in 100 layers ends at the shortest", function()
    local t0, soonest = rl.now(), math.huge
    local function layer(n)
      if n == 0 then
        rl.sleep(1000)
      end
      local t = 10 + (n * 37) % 100
      soonest = math.min(soonest, t)
      rl.timeout(t, layer, n - 1)
    end
    layer(99)
    assert.equal(11, soonest)
    assert.near(11, rl.now() - t0, H.TICK)
  end)

  it("cancels the scopes inside", function()
    local ended = 0
    rl.timeout(1, function()
      rl.scope(function(s)
        for _ = 1, 5 do
          s:go(function()
            rl.finally(function() rl.sleep(1000) end, function() ended = ended + 1 end)
          end)
        end
      end)
    end)
    assert.equal(5, ended)
  end)

  it("leaves no timer behind", function()
    local before = rl.stats().timers
    for _ = 1, 100 do
      rl.timeout(1000, function() end)
    end
    assert.equal(before, rl.stats().timers)
  end)

  it("and a value at the same instant: the value is delivered or stays", function()
    for _ = 1, 50 do
      local ch = rl.chan(1)
      rl.go(function() rl.sleep(1) ch:send("v") end)
      local v = ch:recv(1)
      if v == nil then
        v = ch:recv(1)
      end
      assert.equal("v", v)
    end
  end)
end)

H.sim("shield", function(it)
  it("gives the function's results", function()
    assert.same({n = 3, 1, nil, 3}, H.pack(rl.shield(function(...) return ... end, 1, nil, 3)))
  end)

  it("raises the function's error unchanged", function()
    local e = {}
    assert.is_true(rawequal(e, H.raises(rl.shield, function() error(e) end)))
  end)

  it("keeps a cancel out until it is left", function()
    local log = {}
    local t0 = rl.now()
    local task = rl.go(function()
      rl.shield(function()
        rl.sleep(5)
        log[#log + 1] = rl.now() - t0
      end)
      rl.sleep(1000)
      log[#log + 1] = "not reached"
    end)
    rl.sleep(1)
    task:cancel()
    assert.is_false((task:join()))
    assert.equal(1, #log)
    assert.near(5, log[1], H.TICK)
    assert.near(5, rl.now() - t0, H.TICK)
  end)

  it("keeps an outer timeout out", function()
    local t0 = rl.now()
    local _, _, code = rl.timeout(1, function()
      rl.shield(rl.sleep, 3)
      rl.sleep(1000)
    end)
    assert.equal("ETIMEDOUT", code)
    assert.near(3, rl.now() - t0, H.TICK)
  end)

  it("works in a task that is cancelled already", function()
    local slept
    local task = rl.go(function()
      pcall(rl.sleep, 1000)
      local t0 = rl.now()
      rl.shield(rl.sleep, 2)
      slept = rl.now() - t0
    end)
    rl.yield()
    task:cancel()
    task:join()
    assert.near(2, slept, H.TICK)
  end)

  it("does not keep out a timeout inside", function()
    rl.shield(function()
      assert.equal("ETIMEDOUT", select(3, rl.timeout(1, rl.sleep, 1000)))
    end)
  end)
end)

H.sim("finally", function(it)
  it("gives the results and runs the cleanup once", function()
    local n = 0
    local got = H.pack(rl.finally(function() return 1, nil, 3 end, function() n = n + 1 end))
    assert.same({n = 3, 1, nil, 3}, got)
    assert.equal(1, n)
  end)

  it("runs the cleanup and raises the error unchanged", function()
    local e, n = {}, 0
    local err = H.raises(rl.finally, function() error(e) end, function() n = n + 1 end)
    assert.is_true(rawequal(e, err))
    assert.equal(1, n)
  end)

  it("runs the cleanup when cancelled, and the cleanup may wait", function()
    local waited
    local task = rl.go(function()
      rl.finally(function() rl.sleep(1000) end, function()
        local t0 = rl.now()
        rl.sleep(2)
        waited = rl.now() - t0
      end)
    end)
    rl.yield()
    task:cancel("r")
    local _, err = task:join()
    assert.near(2, waited, H.TICK)
    assert.same({true, "r"}, {rl.is_cancel(err)})
  end)

  it("runs nested cleanups from the inside out", function()
    local log = {}
    rl.finally(function()
      rl.finally(function() end, function() log[#log + 1] = "inner" end)
    end, function() log[#log + 1] = "outer" end)
    assert.same({"inner", "outer"}, log)
  end)

  it("raises the cleanup's error when the function succeeded", function()
    local err = H.raises(rl.finally, function() end, function() error("cleanup", 0) end)
    assert.equal("cleanup", err)
  end)

  it("works across parks of the function", function()
    local log = {}
    rl.finally(function()
      rl.sleep(1)
      log[#log + 1] = "body"
    end, function() log[#log + 1] = "cleanup" end)
    assert.same({"body", "cleanup"}, log)
  end)
end)

H.sim("rl.pcall", function(it)
  it("is pcall for results and errors", function()
    assert.same({n = 4, true, 1, nil, 3}, H.pack(rl.pcall(function(...) return ... end, 1, nil, 3)))
    local e = {}
    local ok, err = rl.pcall(error, e)
    assert.is_false(ok)
    assert.is_true(rawequal(e, err))
  end)

  it("does not catch a cancel", function()
    local after = false
    local task = rl.go(function()
      rl.pcall(rl.sleep, 1000)
      after = true
    end)
    rl.yield()
    task:cancel("through")
    local ok, err = task:join()
    assert.is_false(ok)
    assert.same({true, "through"}, {rl.is_cancel(err)})
    assert.is_false(after)
  end)

  it("does not catch the cancel of a timeout", function()
    local got = H.pack(rl.timeout(1, function()
      rl.pcall(rl.sleep, 1000)
      return "not reached"
    end))
    assert.equal("ETIMEDOUT", got[3])
  end)
end)

H.sim("a random tree of scopes and timeouts", function(it)
  it("of 30 layers ends at its earliest deadline with everything cleaned up", function()
    for seed = 1, 20 do
      local x = seed
      local function random(n)
        x = (x * 1103515245 + 12345) % 2147483648
        return math.floor(x / 65536) % n + 1
      end
      local entered, left, soonest = 0, 0, math.huge
      local function layer(n)
        entered = entered + 1
        rl.finally(function()
          if n == 0 then
            rl.sleep(10000)
          elseif random(2) == 1 then
            local t = random(100)
            soonest = math.min(soonest, t)
            rl.timeout(t, layer, n - 1)
          else
            rl.scope(function(s) s:go(layer, n - 1) end)
          end
        end, function() left = left + 1 end)
      end
      local t0 = rl.now()
      local ok, _, code = rl.timeout(101, layer, 30)
      if soonest < math.huge then
        assert.is_true(ok)
        assert.near(soonest, rl.now() - t0, H.TICK)
      else
        assert.equal("ETIMEDOUT", code)
      end
      assert.equal(31, entered)
      assert.equal(31, left)
    end
  end)
end)

H.sim("a wait in the background of cancels", function(it)
  it("100,000 children leave nothing in their parent", function()
    local n = H.rounds(100000)
    rl.scope(function(s)
      for _ = 1, 100 do
        s:go(function() end):join()
      end
      local before = H.kilobytes()
      for _ = 1, n do
        s:go(function() end):join()
      end
      assert.is_true(H.kilobytes() - before < 110)
    end)
  end, {timeout = 0})
end)
