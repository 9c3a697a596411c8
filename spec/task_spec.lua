-- SPDX-License-Identifier: MIT
local rl = require "ringlet"
local H = require "spec.helper"
local in_turn = require "spec.in_turn"

local HERE = "spec/task_spec.lua:"

in_turn.both("go", function(it)
  it("starts a task after its spawner parks", function()
    local log = {}
    rl.go(function() log[#log + 1] = "child" end)
    log[#log + 1] = "spawner"
    rl.yield()
    assert.same({"spawner", "child"}, log)
  end)

  it("runs tasks in the order they were spawned", function()
    local log = {}
    for i = 1, 100 do
      rl.go(function() log[i] = #log + 1 end)
    end
    rl.yield()
    assert.equal(100, #log)
    for i = 1, 100 do
      assert.equal(i, log[i])
    end
  end)

  it("passes arguments, nils included", function()
    local got
    rl.go(function(...) got = H.pack(...) end, 1, nil, "x", nil):join()
    assert.same({n = 4, 1, nil, "x", nil}, got)
  end)

  it("takes turns with yield", function()
    local log = {}
    local function hop(name)
      for i = 1, 3 do
        log[#log + 1] = name .. i
        rl.yield()
      end
    end
    local a, b = rl.go(hop, "a"), rl.go(hop, "b")
    a:join()
    b:join()
    assert.equal("a1 b1 a2 b2 a3 b3", table.concat(log, " "))
  end)

  it("starts a task from a task's task", function()
    local depth = 0
    local function nest(n)
      depth = depth + 1
      if n > 0 then
        assert(rl.go(nest, n - 1):join())
      end
    end
    assert(rl.go(nest, 99):join())
    assert.equal(100, depth)
  end)

  it("starts 10,000 tasks that all end", function()
    local n, before = 0, rl.stats().tasks
    for _ = 1, 10000 do
      rl.go(function() n = n + 1 end)
    end
    while n < 10000 do
      rl.yield()
    end
    rl.yield()
    assert.equal(before, rl.stats().tasks)
  end)

  it("counts tasks created and finished", function()
    local before = rl.stats()
    for _ = 1, 10 do
      rl.go(function() end):join()
    end
    local after = rl.stats()
    assert.equal(10, after.created - before.created)
    assert.equal(10, after.finished - before.finished)
  end)

  it("raises at the caller's level for what is no function", function()
    for _, bad in ipairs{1, "f", {}, true} do
      local err = H.raises(function() rl.go(bad) end)
      assert.is_truthy(tostring(err):find(HERE, 1, true), tostring(err))
    end
  end)

  it("does not mix up the state of reused coroutines", function()
    for i = 1, 200 do
      local task = rl.go(function(x)
        if i % 7 == 0 then
          error({i}, 0)
        elseif i % 5 == 0 then
          rl.sleep(0)
        end
        return x, i
      end, "v")
      local ok, a, b = task:join()
      if i % 7 == 0 then
        assert.is_false(ok)
        assert.equal(i, a[1])
      else
        assert.same({true, "v", i}, {ok, a, b})
      end
    end
  end)
end)

in_turn.both("join", function(it)
  it("gives true and the results, nils included", function()
    local task = rl.go(function() return 1, nil, 3, nil end)
    assert.same({n = 5, true, 1, nil, 3, nil}, H.pack(task:join()))
  end)

  it("gives the results of a task that ended long ago, each time", function()
    local task = rl.go(function() return "r", nil, 2, nil end)
    rl.yield()
    rl.yield()
    for _ = 1, 3 do
      assert.same({n = 5, true, "r", nil, 2, nil}, H.pack(task:join()))
    end
  end)

  it("gives true alone for a task without results", function()
    assert.same({n = 1, true}, H.pack(rl.go(function() end):join()))
  end)

  it("gives false and the error value itself", function()
    local e = {}
    local task = rl.go(function() rl.yield() error(e) end)
    local ok, err = task:join()
    assert.is_false(ok)
    assert.is_true(rawequal(e, err))
  end)

  it("gives a nil error as false, nil", function()
    local task = rl.go(function() rl.yield() error() end)
    local ok, err = task:join()
    assert.is_false(ok)
    assert.is_nil(err)
  end)

  it("wakes every joiner", function()
    local task = rl.go(function() rl.sleep(0.001) return "r" end)
    local got = {}
    local joiners = {}
    for i = 1, 5 do
      joiners[i] = rl.go(function() local _, v = task:join() got[i] = v end)
    end
    for i = 1, 5 do
      joiners[i]:join()
    end
    assert.same({"r", "r", "r", "r", "r"}, got)
  end)

  it("times out and leaves the task running", function()
    local ev = rl.event()
    local task = rl.go(function() ev:wait() return "late" end)
    local v, msg, code = task:join(0.002)
    assert.is_nil(v)
    assert.equal("string", type(msg))
    assert.equal("ETIMEDOUT", code)
    ev:set()
    assert.same({true, "late"}, {task:join()})
  end)

  it("with timeout 0 does not wait", function()
    local ev = rl.event()
    local task = rl.go(function() ev:wait() return 1 end)
    local _, _, code = task:join(0)
    assert.equal("ETIMEDOUT", code)
    ev:set()
    assert.same({true, 1}, {task:join()})
    assert.same({true, 1}, {task:join(0)})
  end)

  it("of 1,000 tasks at once", function()
    local tasks = {}
    for i = 1, 1000 do
      tasks[i] = rl.go(function() return i end)
    end
    local sum = 0
    for i = 1, 1000 do
      local _, v = tasks[i]:join()
      sum = sum + v
    end
    assert.equal(500500, sum)
  end)
end)

H.sim("join", function(it)
  it("times out after exactly its time", function()
    local task = rl.go(function() rl.sleep(10) end)
    local t0 = rl.now()
    task:join(3)
    assert.near(3, rl.now() - t0, H.TICK)
    task:join()
    assert.near(10, rl.now() - t0, H.TICK)
  end)

  it("can be cancelled and leaves the other joiners", function()
    local task = rl.go(function() rl.sleep(10) return "r" end)
    local a = rl.go(function() return task:join() end)
    local b = rl.go(function() return task:join() end)
    rl.yield()
    a:cancel()
    assert.is_false((a:join()))
    assert.same({true, true, "r"}, {b:join()})
  end)

  it("refuses a negative or wrong timeout", function()
    local task = rl.go(function() end)
    H.raises(task.join, task, "soon")
    H.raises(task.join, task, {})
    task:join()
  end)

  it("of the running task itself raises or times out", function()
    local task = rl.self()
    local ok, v, _, code = pcall(task.join, task, 1)
    assert.is_true(not ok or (v == nil and code == "ETIMEDOUT"))
  end)
end)

in_turn.both("cancel", function(it)
  it("raises at the park point, with the reason", function()
    local seen
    local task = rl.go(function()
      local _, err = pcall(rl.sleep, 1000)
      seen = {rl.is_cancel(err)}
      error(err, 0)
    end)
    rl.yield()
    task:cancel("enough")
    task:join()
    assert.same({true, "enough"}, seen)
  end)

  it("makes join give false and a cancel error", function()
    local task = rl.go(rl.sleep, 1000)
    rl.yield()
    task:cancel("why")
    local ok, err = task:join()
    assert.is_false(ok)
    assert.same({true, "why"}, {rl.is_cancel(err)})
  end)

  it("without a reason is still a cancel", function()
    local task = rl.go(rl.sleep, 1000)
    rl.yield()
    task:cancel()
    local _, err = task:join()
    assert.is_true((rl.is_cancel(err)))
  end)

  it("reaches a task parked on anything", function()
    local m, s, wg = rl.mutex(), rl.semaphore(1), rl.waitgroup()
    m:lock()
    s:acquire()
    wg:add(1)
    local full = rl.chan(1)
    full:send(1)
    local forever = rl.go(rl.sleep, 1000)
    local waits = {
      function() rl.chan():recv() end,
      function() rl.chan():send(1) end,
      function() full:send(2) end,
      function() rl.select{{rl.chan()}, {send = full, 1}} end,
      function() rl.select{} end,
      function() rl.event():wait() end,
      function() m:lock() end,
      function() s:acquire() end,
      function() wg:wait() end,
      function() forever:join() end,
      function() rl.barrier(2):wait() end,
      function() rl.sleep(1000) end,
      function() rl.after(1000):wait() end,
    }
    for i, fn in ipairs(waits) do
      local task = rl.go(fn)
      rl.yield()
      rl.yield()
      task:cancel(i)
      local ok, err = task:join()
      assert.is_false(ok, "wait " .. i)
      assert.same({true, i}, {rl.is_cancel(err)})
    end
    forever:cancel()
    forever:join()
    assert.equal(1, #full)
    m:unlock()
    s:release()
    wg:done()
  end)

  it("before its first run lets it get to its first park point at most", function()
    local passed = false
    local task = rl.go(function() rl.sleep(1000) passed = true end)
    task:cancel()
    local ok, err = task:join()
    assert.is_false(ok)
    assert.is_true((rl.is_cancel(err)))
    assert.is_false(passed)
  end)

  it("of an ended task does nothing", function()
    local task = rl.go(function() return 1 end)
    task:join()
    task:cancel()
    assert.same({true, 1}, {task:join()})
  end)

  it("of a ready task is raised at its next park point", function()
    local reached = 0
    local task = rl.go(function()
      rl.yield()
      reached = 1
      rl.sleep(1000)
      reached = 2
    end)
    rl.yield()
    task:cancel()
    assert.is_false((task:join()))
    assert.is_true(reached < 2)
  end)

  it("of the running task is raised at its own next park point", function()
    local log = {}
    local task = rl.go(function()
      rl.self():cancel("self")
      log[#log + 1] = "still here"
      rl.sleep(0)
      log[#log + 1] = "not here"
    end)
    local _, err = task:join()
    assert.same({true, "self"}, {rl.is_cancel(err)})
    assert.same({"still here"}, log)
  end)

  it("keeps the first reason", function()
    local task = rl.go(rl.sleep, 1000)
    rl.yield()
    task:cancel("first")
    task:cancel("second")
    local _, err = task:join()
    assert.same({true, "first"}, {rl.is_cancel(err)})
  end)

  it("is sticky: a swallowed cancel is raised at the next park point too", function()
    local raised = 0
    local task = rl.go(function()
      for _ = 1, 5 do
        local ok, err = pcall(rl.sleep, 1000)
        if not ok and rl.is_cancel(err) then
          raised = raised + 1
        end
      end
      return "done"
    end)
    rl.yield()
    task:cancel()
    task:join()
    assert.equal(5, raised)
  end)

  it("does not touch other tasks", function()
    local a = rl.go(rl.sleep, 1000)
    local b = rl.go(function() rl.sleep(0.001) return "b" end)
    rl.yield()
    a:cancel()
    assert.same({true, "b"}, {b:join()})
    a:join()
  end)

  it("does not touch the root tasks the cancelled one started", function()
    local inner
    local outer = rl.go(function()
      inner = rl.go(function() rl.sleep(0.002) return "in" end)
      rl.sleep(1000)
    end)
    rl.yield()
    rl.yield()
    outer:cancel()
    outer:join()
    assert.same({true, "in"}, {inner:join()})
  end)

  it("unlinks the waiter: a later value goes to someone else", function()
    local ch = rl.chan()
    local a = rl.go(function() return ch:recv() end)
    local b = rl.go(function() return ch:recv() end)
    rl.yield()
    a:cancel()
    ch:send("v")
    assert.is_false((a:join()))
    assert.same({true, "v"}, {b:join()})
  end)

  it("of a task that just got a value does not lose the value", function()
    local ch, kept = rl.chan(), nil
    local task = rl.go(function()
      kept = ch:recv()
      rl.sleep(1000)
    end)
    rl.yield()
    assert.is_true(ch:try_send("v"))
    task:cancel()
    task:join()
    assert.is_true(kept == "v" or ch:try_recv() == "v")
  end)

  it("lets try functions, unlock and close work", function()
    local m, ch, out = rl.mutex(), rl.chan(1), {}
    m:lock()
    local task = rl.go(function()
      pcall(rl.sleep, 1000)
      out[1] = ch:try_send(1)
      out[2] = ch:try_recv()
      m:unlock()
      out[3] = m:try_lock()
      m:unlock()
      ch:close()
    end)
    rl.yield()
    task:cancel()
    assert.same({true}, {task:join()})
    assert.same({true, 1, true}, out)
    assert.equal("ECLOSED", select(3, ch:try_recv()))
  end)
end)

H.sim("a task that swallows its cancel", function(it)
  it("gives up its turn from the second raise on", function()
    local others, at = 0, {}
    local other = rl.go(function()
      while others < 50 do
        others = others + 1
        rl.yield()
      end
    end)
    local task = rl.go(function()
      for i = 1, 10 do
        pcall(rl.sleep, 1000)
        at[i] = others
      end
    end)
    rl.yield()
    task:cancel()
    task:join()
    other:join()
    for i = 3, 10 do
      assert.is_true(at[i] > at[i - 1], "no turn for others before raise " .. i)
    end
  end)

  it("100 times is reported and not resumed again", function()
    local reported, swallowed = nil, 0
    rl.on_error(function(err) reported = err end)
    local task = rl.go(function()
      while true do
        pcall(rl.sleep, 1000)
        swallowed = swallowed + 1
        if swallowed > 1000 then
          error("runaway", 0)
        end
      end
    end)
    rl.yield()
    task:cancel()
    local guard = 0
    while task:status() ~= "failed" and not reported and guard < 2000 do
      guard = guard + 1
      rl.yield()
    end
    assert.is_true(swallowed <= 100, "swallowed " .. swallowed)
    assert.is_true(swallowed >= 99, "swallowed " .. swallowed)
    local ok, err = task:join(1)
    assert.is_false(ok)
    assert.is_truthy(tostring(reported or err):find("task_spec.lua", 1, true))
  end)
end)

H.sim("a task's error", function(it)
  it("nobody joins goes to on_error once, when it happens", function()
    local seen = {}
    rl.on_error(function(err) seen[#seen + 1] = err end)
    local e = {}
    local task = rl.go(function() error(e) end)
    rl.yield()
    assert.equal(1, #seen)
    assert.is_true(rawequal(e, seen[1]))
    local ok, err = task:join()
    assert.is_false(ok)
    assert.is_true(rawequal(e, err))
    assert.equal(1, #seen)
  end)

  it("a parked joiner gets does not go to on_error", function()
    local seen = {}
    rl.on_error(function(err) seen[#seen + 1] = err end)
    local task = rl.go(function() rl.sleep(1) error("x", 0) end)
    local ok, err = task:join()
    assert.same({false, "x"}, {ok, err})
    assert.same({}, seen)
  end)

  it("does not touch the other tasks", function()
    rl.on_error(function() end)
    local b = rl.go(function() rl.sleep(1) return "b" end)
    rl.go(function() error("a") end)
    assert.same({true, "b"}, {b:join()})
  end)

  it("that is a cancel does not go to on_error", function()
    local seen = {}
    rl.on_error(function(err) seen[#seen + 1] = err end)
    local task = rl.go(rl.sleep, 1000)
    rl.yield()
    task:cancel()
    rl.yield()
    rl.yield()
    task:join()
    assert.same({}, seen)
  end)

  it("in the handler of errors does not end the run", function()
    local called = 0
    rl.on_error(function()
      called = called + 1
      error("handler")
    end)
    rl.go(function() error("a", 0) end)
    rl.go(function() error("b", 0) end)
    rl.sleep(1)
    assert.equal(2, called)
  end)

  it("runs out of stack and is an error like another", function()
    local function deep() return 1 + deep() end
    local ok, err = rl.go(function() rl.yield() return deep() end):join()
    assert.is_false(ok)
    assert.is_truthy(tostring(err):find("stack overflow", 1, true))
  end)
end)

describe("the default handler of errors", function()
  it("writes the message and the failing coroutine's traceback to stderr", function()
    local out, code = H.script[[
      local function culprit() error("the message") end
      rl.run(function()
        rl.go(function() culprit() end)
        rl.sleep(0.001)
        print("main goes on")
      end)
    ]]
    assert.is_truthy(out:find("the message", 1, true), out)
    assert.is_truthy(out:find("culprit", 1, true), out)
    assert.is_truthy(out:find("main goes on", 1, true), out)
    assert.equal(0, code)
  end)
end)

H.sim("a task handle", function(it)
  it("has ids that are never used twice", function()
    local seen = {}
    for _ = 1, 100 do
      local task = rl.go(function() end)
      assert.is_nil(seen[task.id])
      seen[task.id] = true
      task:join()
    end
  end)

  it("keeps its id after the end", function()
    local task = rl.go(function() end)
    local id = task.id
    task:join()
    assert.equal(id, task.id)
  end)

  it("is the one self gives", function()
    local inside
    local task = rl.go(function() inside = rl.self() end)
    task:join()
    assert.equal(task.id, inside.id)
    assert.equal(task, inside)
  end)

  it("keeps a name, and says it", function()
    local task = rl.go(rl.sleep, 1)
    task:name("worker 7")
    assert.equal("worker 7", task:name())
    assert.is_truthy(tostring(task):find("worker 7", 1, true), tostring(task))
    task:join()
  end)

  it("keeps labels", function()
    local task = rl.go(rl.sleep, 1)
    task:label("user", "ada")
    task:label("job", 7)
    assert.equal("ada", task:label("user"))
    assert.equal(7, task:label("job"))
    assert.is_nil(task:label("none"))
    task:join()
  end)

  it("tells its status through its life", function()
    local ev, inside = rl.event(), nil
    local task = rl.go(function()
      inside = rl.self():status()
      ev:wait()
    end)
    local fresh = task:status()
    rl.yield()
    local parked = task:status()
    ev:set()
    local ready = task:status()
    task:join()
    local ended = task:status()
    assert.equal("running", inside)
    for _, s in ipairs{fresh, parked, ready, ended} do
      assert.equal("string", type(s))
    end
    assert.are_not.equal(parked, ready)
    assert.are_not.equal(parked, ended)
    assert.are_not.equal(ready, ended)
    assert.same({"new", "parked", "runnable", "done"}, {fresh, parked, ready, ended})
  end)

  it("shows where a parked task is", function()
    local function waiting_place() rl.sleep(1) return 1 end
    local task = rl.go(function() return (waiting_place()) end)
    rl.yield()
    local text = task:traceback()
    assert.is_truthy(text:find("task_spec.lua", 1, true), text)
    task:join()
    assert.equal("string", type(task:traceback() or ""))
  end)

  it("shows where the running task is", function()
    assert.is_truthy(rl.self():traceback():find("task_spec.lua", 1, true))
  end)

  it("shows where a failed task failed", function()
    local function culprit() error("x", 0) end
    local task = rl.go(function() rl.yield() culprit() end)
    task:join()
    local text = task:traceback()
    assert.is_truthy(text and text:find("task_spec.lua", 1, true), tostring(text))
  end)

  it("raises for methods on something else", function()
    local task = rl.go(function() end)
    H.raises(task.join, {})
    H.raises(task.cancel, 5)
    H.raises(task.status, rl.chan())
    task:join()
  end)

  it("has no other fields", function()
    local task = rl.go(function() end)
    assert.is_nil(task.nonsense)
    task:join()
  end)
end)

H.sim("locals", function(it)
  it("are one table for each task", function()
    rl.locals().x = 1
    local task = rl.go(function()
      local before = rl.locals().x
      rl.locals().x = 2
      rl.yield()
      return before, rl.locals().x
    end)
    local ok, before, after = task:join()
    assert.same({true, 2}, {ok, after})
    assert.is_true(before == nil or before == 1)
    assert.equal(1, rl.locals().x)
  end)

  it("do not survive into a reused coroutine", function()
    rl.go(function() rl.locals().secret = 1 end):join()
    for _ = 1, 10 do
      local _, v = rl.go(function() return rl.locals().secret end):join()
      assert.is_nil(v)
    end
  end)
end)

H.sim("check and code", function(it)
  it("passes good values through", function()
    assert.same({n = 4, 1, nil, 3, nil}, H.pack(rl.check(1, nil, 3, nil)))
    assert.same({n = 1, "v"}, H.pack(rl.check("v")))
  end)

  it("raises an error that reads as the message and keeps the code", function()
    local err = H.raises(rl.check, nil, "ENOENT: no such file", "ENOENT")
    assert.equal("ENOENT: no such file", tostring(err))
    assert.equal("ENOENT", rl.code(err))
  end)

  it("carries the code of a real timeout", function()
    local err = H.raises(function() rl.check(rl.chan():recv(1)) end)
    assert.equal("ETIMEDOUT", rl.code(err))
  end)

  it("gives nil for what has no code", function()
    for _, v in ipairs{"text", 5, {}, true} do
      assert.is_nil(rl.code(v))
    end
    assert.is_nil(rl.code(nil))
  end)

  it("is no cancel", function()
    assert.is_false((rl.is_cancel(H.raises(rl.check, nil, "m", "C"))))
    assert.is_false((rl.is_cancel("text")))
    assert.is_false((rl.is_cancel(nil)))
    assert.is_false((rl.is_cancel({})))
  end)
end)

H.sim("a daemon", function(it)
  it("is a task like another", function()
    local task = rl.daemon(function(a) rl.sleep(1) return a end, "d")
    assert.same({true, "d"}, {task:join()})
  end)
end)
