-- SPDX-License-Identifier: MIT
local rl = require "ringlet"
local H = require "spec.helper"
local in_turn = require "spec.in_turn"

local HERE = "spec/sync_spec.lua:"

-- Run each of `fns` in a task of its own and wait for all.
local function all(n, fn)
  local wg = rl.waitgroup()
  for i = 1, n do
    wg:go(fn, i)
  end
  wg:wait()
end

local function is_timeout(v, msg, code)
  assert.same({nil, "string", "ETIMEDOUT"}, {v, type(msg), code})
end

in_turn.both("mutex", function(it)
  it("lets one in at a time: 10 tasks, 1,000 rounds each", function()
    local m, inside, total = rl.mutex(), 0, 0
    all(10, function(i)
      for round = 1, H.rounds(1000, 50) do
        m:lock()
        inside = inside + 1
        assert.equal(1, inside)
        if (round + i) % 3 == 0 then
          rl.yield()
        end
        inside = inside - 1
        total = total + 1
        m:unlock()
      end
    end)
    assert.equal(10 * H.rounds(1000, 50), total)
  end, {preempt = true})

  it("lock gives true", function()
    local m = rl.mutex()
    assert.is_true(m:lock())
    m:unlock()
  end)

  it("is handed over in the order the tasks came", function()
    local m, log, wg = rl.mutex(), {}, rl.waitgroup()
    m:lock()
    for i = 1, 5 do
      wg:go(function()
        m:lock()
        log[#log + 1] = i
        rl.yield()
        m:unlock()
      end)
    end
    rl.yield()
    m:unlock()
    wg:wait()
    assert.same({1, 2, 3, 4, 5}, log)
  end)

  it("is got within 10 rounds of a hog", function()
    local m, rounds, stop = rl.mutex(), 0, false
    local hog = rl.go(function()
      while not stop do
        m:lock()
        rounds = rounds + 1
        rl.yield()
        m:unlock()
        if rounds > 1000 then
          break
        end
      end
    end)
    rl.yield()
    local before = rounds
    m:lock()
    local needed = rounds - before
    stop = true
    m:unlock()
    hog:join()
    assert.is_true(needed <= 10, "needed " .. needed)
  end)

  it("try_lock takes it only when it is free", function()
    local m = rl.mutex()
    assert.is_true(m:try_lock())
    local task = rl.go(function() return m:try_lock() end)
    local _, got = task:join()
    assert.is_falsy(got)
    m:unlock()
    assert.is_true(m:try_lock())
    m:unlock()
  end)

  it("raises when an unlocked one is unlocked, at the caller's level", function()
    local m = rl.mutex()
    local err = H.raises_text("unlock of unlocked mutex", function() m:unlock() end)
    assert.is_truthy(tostring(err):find(HERE, 1, true), tostring(err))
    m:lock()
    m:unlock()
    H.raises_text("unlock of unlocked mutex", m.unlock, m)
  end)

  it("lock with a timeout says ETIMEDOUT and leaves the queue", function()
    local m = rl.mutex()
    m:lock()
    local task = rl.go(function() is_timeout(m:lock(0.001)) end)
    assert.is_true((task:join()))
    m:unlock()
    assert.is_true(m:try_lock())
    m:unlock()
  end)

  it("with runs a function locked and gives its results", function()
    local m = rl.mutex()
    local got = H.pack(m:with(function(...)
      assert.is_falsy((m:try_lock()))
      return ...
    end, 1, nil, 3))
    assert.same({n = 3, 1, nil, 3}, got)
    assert.is_true(m:try_lock())
    m:unlock()
  end)

  it("with unlocks when the function raises, and raises its error unchanged", function()
    local m, e = rl.mutex(), {}
    assert.is_true(rawequal(e, H.raises(m.with, m, function() rl.yield() error(e) end)))
    assert.is_true(m:try_lock())
    m:unlock()
  end)

  it("with unlocks when the task is cancelled", function()
    local m = rl.mutex()
    local task = rl.go(function() m:with(rl.sleep, 1000) end)
    rl.yield()
    task:cancel()
    task:join()
    assert.is_true(m:try_lock())
    m:unlock()
  end)

  it("a cancelled waiter leaves the queue right", function()
    local m, log = rl.mutex(), {}
    m:lock()
    local a = rl.go(function() m:lock() log[#log + 1] = "a" m:unlock() end)
    local b = rl.go(function() m:lock() log[#log + 1] = "b" m:unlock() end)
    rl.yield()
    a:cancel()
    m:unlock()
    a:join()
    assert.is_true((b:join()))
    assert.same({"b"}, log)
    assert.is_true(m:try_lock())
    m:unlock()
  end)

  it("cancelled at the moment it is handed over is not lost", function()
    local m = rl.mutex()
    m:lock()
    local task = rl.go(function() m:lock() m:unlock() end)
    rl.yield()
    m:unlock()
    task:cancel()
    task:join()
    assert.is_true(m:lock(10))
    m:unlock()
  end)
end)

in_turn.both("rwmutex", function(it)
  it("lets readers in together", function()
    local rw, inside, most = rl.rwmutex(), 0, 0
    all(5, function()
      rw:rlock()
      inside = inside + 1
      most = math.max(most, inside)
      rl.yield()
      inside = inside - 1
      rw:runlock()
    end)
    assert.equal(5, most)
  end)

  it("keeps writers apart from each other and from readers", function()
    local rw, readers, writers = rl.rwmutex(), 0, 0
    all(10, function(i)
      for round = 1, H.rounds(200, 20) do
        if (i + round) % 4 == 0 then
          rw:lock()
          writers = writers + 1
          assert.same({1, 0}, {writers, readers})
          rl.yield()
          assert.same({1, 0}, {writers, readers})
          writers = writers - 1
          rw:unlock()
        else
          rw:rlock()
          readers = readers + 1
          assert.equal(0, writers)
          rl.yield()
          assert.equal(0, writers)
          readers = readers - 1
          rw:runlock()
        end
      end
    end)
  end, {preempt = true})

  it("a waiting writer keeps new readers out", function()
    local rw, log = rl.rwmutex(), {}
    rw:rlock()
    local wg = rl.waitgroup()
    wg:go(function() rw:lock() log[#log + 1] = "writer" rw:unlock() end)
    rl.yield()
    wg:go(function() rw:rlock() log[#log + 1] = "reader" rw:runlock() end)
    assert.is_falsy((rw:try_rlock()))
    rl.yield()
    assert.same({}, log)
    rw:runlock()
    wg:wait()
    assert.same({"writer", "reader"}, log)
  end)

  it("readers that waited for a writer come in together", function()
    local rw, inside, most, wg = rl.rwmutex(), 0, 0, rl.waitgroup()
    rw:lock()
    for _ = 1, 4 do
      wg:go(function()
        rw:rlock()
        inside = inside + 1
        most = math.max(most, inside)
        rl.yield()
        inside = inside - 1
        rw:runlock()
      end)
    end
    rl.yield()
    rw:unlock()
    wg:wait()
    assert.equal(4, most)
  end)

  it("a writer that gives up lets the readers behind it in", function()
    local rw = rl.rwmutex()
    rw:rlock()
    local writer = rl.go(function() return rw:lock() end)
    rl.yield()
    local reader = rl.go(function() return rw:rlock() end)
    rl.yield()
    writer:cancel()
    writer:join()
    assert.same({true, true}, {reader:join()})
    rw:runlock()
    rw:runlock()
    assert.is_true(rw:try_lock())
    rw:unlock()
  end)

  it("a writer that times out lets the readers behind it in", function()
    local rw = rl.rwmutex()
    rw:rlock()
    local writer = rl.go(function() return rw:lock(0.002) end)
    rl.yield()
    local reader = rl.go(function() return rw:rlock() end)
    rl.yield()
    assert.equal("ETIMEDOUT", select(4, writer:join()))
    assert.same({true, true}, {reader:join()})
    rw:runlock()
    rw:runlock()
  end)

  it("try_lock and try_rlock take it only when they can", function()
    local rw = rl.rwmutex()
    assert.is_true(rw:try_rlock())
    assert.is_true(rw:try_rlock())
    assert.is_falsy((rw:try_lock()))
    rw:runlock()
    assert.is_falsy((rw:try_lock()))
    rw:runlock()
    assert.is_true(rw:try_lock())
    assert.is_falsy((rw:try_rlock()))
    assert.is_falsy((rw:try_lock()))
    rw:unlock()
  end)

  it("raises for an unlock of what is not locked, each kind", function()
    local rw = rl.rwmutex()
    H.raises_text("unlock of unlocked", rw.unlock, rw)
    H.raises_text("unlock of unlocked", rw.runlock, rw)
    rw:rlock()
    H.raises_text("unlock of unlocked", rw.unlock, rw)
    rw:runlock()
    H.raises_text("unlock of unlocked", rw.runlock, rw)
    rw:lock()
    H.raises_text("unlock of unlocked", rw.runlock, rw)
    rw:unlock()
    H.raises_text("unlock of unlocked", rw.unlock, rw)
  end)

  it("lock and rlock with a timeout say ETIMEDOUT", function()
    local rw = rl.rwmutex()
    rw:lock()
    assert.is_true((rl.go(function() is_timeout(rw:rlock(0.001)) end):join()))
    assert.is_true((rl.go(function() is_timeout(rw:lock(0.001)) end):join()))
    rw:unlock()
    assert.is_true(rw:try_lock())
    rw:unlock()
  end)

  it("downgrade turns the writer into a reader without letting another writer in", function()
    local rw, log, wg = rl.rwmutex(), {}, rl.waitgroup()
    rw:lock()
    wg:go(function() rw:lock() log[#log + 1] = "writer" rw:unlock() end)
    rl.yield()
    rw:downgrade()
    rl.yield()
    assert.same({}, log)
    rw:runlock()
    wg:wait()
    assert.same({"writer"}, log)
  end)

  it("downgrade lets waiting readers in", function()
    local rw, wg, read = rl.rwmutex(), rl.waitgroup(), 0
    rw:lock()
    for _ = 1, 3 do
      wg:go(function() rw:rlock() read = read + 1 rw:runlock() end)
    end
    rl.yield()
    rw:downgrade()
    wg:wait()
    assert.equal(3, read)
    rw:runlock()
    assert.is_true(rw:try_lock())
    rw:unlock()
  end)

  it("with and rwith give the results and unlock after an error", function()
    local rw, e = rl.rwmutex(), {}
    assert.same({n = 3, 1, nil, 3}, H.pack(rw:with(function(...) return ... end, 1, nil, 3)))
    assert.same({n = 3, 1, nil, 3}, H.pack(rw:rwith(function(...)
      assert.is_true(rw:try_rlock())
      rw:runlock()
      return ...
    end, 1, nil, 3)))
    assert.is_true(rawequal(e, H.raises(rw.with, rw, function() error(e) end)))
    assert.is_true(rawequal(e, H.raises(rw.rwith, rw, function() error(e) end)))
    assert.is_true(rw:try_lock())
    rw:unlock()
  end)
end)

in_turn.both("semaphore", function(it)
  it("lets n in", function()
    local s, inside, most = rl.semaphore(3), 0, 0
    all(10, function()
      s:acquire()
      inside = inside + 1
      most = math.max(most, inside)
      rl.yield()
      inside = inside - 1
      s:release()
    end)
    assert.equal(3, most)
    assert.equal(3, s:available())
  end)

  it("counts weights", function()
    local s = rl.semaphore(10)
    assert.is_true(s:acquire(7))
    assert.equal(3, s:available())
    assert.is_true(s:try_acquire(3))
    assert.is_falsy((s:try_acquire(1)))
    s:release(10)
    assert.equal(10, s:available())
  end)

  it("try_acquire goes true, false, true, false", function()
    local s, got = rl.semaphore(2), {}
    s:acquire(1)
    got[1] = s:try_acquire(1) and true or false
    got[2] = s:try_acquire(1) and true or false
    s:release(2)
    got[3] = s:try_acquire(2) and true or false
    got[4] = s:try_acquire(1) and true or false
    assert.same({true, false, true, false}, got)
    s:release(2)
  end)

  it("a large request is not starved by small ones", function()
    local s, got_big, small = rl.semaphore(2), false, 0
    s:acquire(1)
    local big = rl.go(function() s:acquire(2) got_big = true s:release(2) end)
    rl.yield()
    local tasks = {}
    for i = 1, 5 do
      tasks[i] = rl.go(function() s:acquire(1) small = small + 1 rl.yield() s:release(1) end)
    end
    rl.yield()
    assert.same({0, false}, {small, got_big})
    assert.is_falsy((s:try_acquire(1)))
    s:release(1)
    big:join()
    for i = 1, 5 do
      tasks[i]:join()
    end
    assert.same({5, true, 2}, {small, got_big, s:available()})
  end)

  it("a queued large request that is cancelled lets those behind it in", function()
    local s = rl.semaphore(2)
    s:acquire(1)
    local big = rl.go(function() s:acquire(2) end)
    rl.yield()
    local small = rl.go(function() return s:acquire(1) end)
    rl.yield()
    big:cancel()
    big:join()
    assert.same({true, true}, {small:join()})
    s:release(2)
    assert.equal(2, s:available())
  end)

  it("a queued large request that times out lets those behind it in", function()
    local s = rl.semaphore(2)
    s:acquire(1)
    local big = rl.go(function() return s:acquire(2, 0.002) end)
    rl.yield()
    local small = rl.go(function() return s:acquire(1) end)
    assert.equal("ETIMEDOUT", select(4, big:join()))
    assert.same({true, true}, {small:join()})
    s:release(2)
    assert.equal(2, s:available())
  end)

  it("a request larger than all there is fails at its deadline and blocks nobody", function()
    local s = rl.semaphore(2)
    local ok, v, _, code = pcall(s.acquire, s, 3, 0.002)
    assert.is_true(not ok or (v == nil and code == "ETIMEDOUT"))
    assert.is_true(s:acquire(2))
    s:release(2)
  end)

  it("raises when more is released than was acquired", function()
    local s = rl.semaphore(1)
    local err = H.raises(function() s:release() end)
    assert.is_truthy(tostring(err):find(HERE, 1, true), tostring(err))
    s:acquire()
    H.raises(s.release, s, 2)
    s:release()
    assert.equal(1, s:available())
  end)

  it("a cancelled waiter takes nothing", function()
    local s = rl.semaphore(1)
    s:acquire()
    local task = rl.go(function() s:acquire() end)
    rl.yield()
    s:release()
    task:cancel()
    local ended = task:join()
    assert.is_true(ended or s:available() == 1)
  end)

  it("loses no token in a mix of acquires, timeouts and cancels", function()
    local s, tasks = rl.semaphore(5), {}
    for i = 1, 60 do
      tasks[i] = rl.go(function()
        local k = i % 4 + 1
        if s:acquire(k, i % 3 == 0 and 0.001 or nil) then
          rl.finally(rl.yield, function() s:release(k) end)
        end
      end)
      if i % 5 == 0 then
        rl.yield()
        tasks[i - 1]:cancel()
      end
    end
    for i = 1, 60 do
      tasks[i]:join()
    end
    assert.equal(5, s:available())
  end, {preempt = true})

  it("refuses what is no count", function()
    H.raises(rl.semaphore, -1)
    H.raises(rl.semaphore, "x")
    H.raises(rl.semaphore, 1.5)
    local s = rl.semaphore(1)
    H.raises(s.acquire, s, -1)
    H.raises(s.acquire, s, "x")
    H.raises(s.release, s, -1)
    assert.equal(1, s:available())
  end)
end)

in_turn.both("waitgroup", function(it)
  it("wait returns when the counter is zero", function()
    local wg, done = rl.waitgroup(), 0
    wg:add(3)
    for _ = 1, 3 do
      rl.go(function() rl.yield() done = done + 1 wg:done() end)
    end
    assert.is_true(wg:wait())
    assert.equal(3, done)
  end)

  it("wait of an empty one returns at once", function()
    assert.is_true(rl.waitgroup():wait())
  end)

  it("wakes every waiter", function()
    local wg, woken, others = rl.waitgroup(), 0, rl.waitgroup()
    wg:add(1)
    for _ = 1, 5 do
      others:go(function() wg:wait() woken = woken + 1 end)
    end
    rl.yield()
    assert.equal(0, woken)
    wg:done()
    others:wait()
    assert.equal(5, woken)
  end)

  it("can be reused 8 times", function()
    local wg = rl.waitgroup()
    for round = 1, 8 do
      local done = 0
      for _ = 1, round do
        wg:go(function() rl.yield() done = done + 1 end)
      end
      wg:wait()
      assert.equal(round, done)
    end
  end)

  it("go passes arguments, gives the task, and counts down when it fails", function()
    rl.on_error(function() end)
    local wg, got = rl.waitgroup(), nil
    local task = wg:go(function(...) got = H.pack(...) error("x", 0) end, 1, nil)
    wg:wait()
    assert.same({n = 2, 1, nil}, got)
    assert.same({false, "x"}, {task:join()})
  end)

  it("go counts down when the task is cancelled", function()
    local wg = rl.waitgroup()
    local task = wg:go(rl.sleep, 1000)
    rl.yield()
    task:cancel()
    wg:wait()
    assert.is_false((task:join()))
  end)

  it("go counts down when the task is cancelled before it ran", function()
    local wg = rl.waitgroup()
    wg:go(rl.sleep, 1000):cancel()
    assert.is_true(wg:wait(10))
  end)

  it("raises for a negative counter, at the caller's level", function()
    local wg = rl.waitgroup()
    local err = H.raises_text("negative waitgroup counter", function() wg:done() end)
    assert.is_truthy(tostring(err):find(HERE, 1, true), tostring(err))
    H.raises_text("negative waitgroup counter", wg.add, wg, -1)
    wg:add(2)
    H.raises_text("negative waitgroup counter", wg.add, wg, -3)
  end)

  it("add with a negative number counts down", function()
    local wg = rl.waitgroup()
    wg:add(5)
    wg:add(-5)
    assert.is_true(wg:wait(0))
  end)

  it("wait with a timeout says ETIMEDOUT", function()
    local wg = rl.waitgroup()
    wg:add(1)
    is_timeout(wg:wait(0.001))
    wg:done()
    assert.is_true(wg:wait())
  end)

  it("does not wake early", function()
    local wg, woken = rl.waitgroup(), false
    wg:add(2)
    local task = rl.go(function() wg:wait() woken = true end)
    rl.yield()
    wg:done()
    rl.yield()
    rl.yield()
    assert.is_false(woken)
    wg:done()
    task:join()
  end)
end)

in_turn.both("once", function(it)
  it("runs the function once and gives its results to every caller", function()
    local n = 0
    local f = rl.once(function() n = n + 1 return "r", nil, n end)
    for _ = 1, 3 do
      assert.same({n = 3, "r", nil, 1}, H.pack(f()))
    end
    assert.equal(1, n)
  end)

  it("makes callers that come meanwhile wait for the result", function()
    local n, got = 0, {}
    local f = rl.once(function() n = n + 1 rl.sleep(0.001) return "r" end)
    all(10, function(i) got[i] = f() end)
    assert.equal(1, n)
    assert.equal(10, #got)
    for i = 1, 10 do
      assert.equal("r", got[i])
    end
  end)

  it("raises the same error to every caller", function()
    local n, e = 0, {}
    local f = rl.once(function() n = n + 1 rl.yield() error(e) end)
    local caught = 0
    all(5, function()
      if rawequal(e, H.raises(f)) then
        caught = caught + 1
      end
    end)
    assert.is_true(rawequal(e, H.raises(f)))
    assert.same({5, 1}, {caught, n})
  end)

  it("raises a nil error to every caller too", function()
    local n = 0
    local f = rl.once(function() n = n + 1 error(nil) end)
    assert.is_false((pcall(f)))
    assert.is_false((pcall(f)))
    assert.equal(1, n)
  end)

  it("survives that the first caller is cancelled: nobody hangs", function()
    local gate = rl.event()
    local f = rl.once(function() gate:wait() return "r" end)
    local first = rl.go(function() return f() end)
    rl.yield()
    local second = rl.go(function() return f() end)
    rl.yield()
    first:cancel()
    first:join()
    gate:set()
    local v, _, code = second:join(10)
    assert.is_true(v ~= nil and code ~= "ETIMEDOUT")
  end)

  it("lets go of the function after it ran", function()
    local weak = setmetatable({}, {__mode = "v"})
    local f
    do
      local big = {}
      weak[1] = big
      f = rl.once(function() return #big end)
    end
    assert.equal(0, f())
    H.collect()
    assert.is_nil(weak[1])
    assert.equal(0, f())
  end)

  it("refuses what is no function", function()
    H.raises(rl.once, 5)
  end)
end)

in_turn.both("cond", function(it)
  it("signal wakes exactly one waiter, in the order they came", function()
    local m = rl.mutex()
    local c, log = rl.cond(m), {}
    for i = 1, 3 do
      rl.go(function()
        m:lock()
        c:wait()
        log[#log + 1] = i
        m:unlock()
      end)
    end
    rl.yield()
    for i = 1, 3 do
      assert.equal(i - 1, #log)
      m:lock()
      c:signal()
      m:unlock()
      rl.yield()
      rl.yield()
      assert.equal(i, #log)
    end
    assert.same({1, 2, 3}, log)
  end)

  it("wait unlocks while it waits and holds the lock when it returns", function()
    local m = rl.mutex()
    local c, held = rl.cond(m), nil
    local task = rl.go(function()
      m:lock()
      assert.is_true(c:wait())
      held = not m:try_lock()
      m:unlock()
    end)
    rl.yield()
    assert.is_true(m:try_lock())
    c:signal()
    rl.yield()
    assert.is_nil(held)
    m:unlock()
    task:join()
    assert.is_true(held)
  end)

  it("broadcast wakes each waiter once", function()
    local m = rl.mutex()
    local c, woken, wg = rl.cond(m), 0, rl.waitgroup()
    for _ = 1, 10 do
      wg:go(function()
        m:lock()
        c:wait()
        woken = woken + 1
        m:unlock()
      end)
    end
    rl.yield()
    m:lock()
    c:broadcast()
    m:unlock()
    wg:wait()
    assert.equal(10, woken)
  end)

  it("a signal nobody waits for is lost, and a later waiter does not steal one", function()
    local m = rl.mutex()
    local c = rl.cond(m)
    c:signal()
    local log = {}
    local a = rl.go(function() m:lock() c:wait() log[#log + 1] = "early" m:unlock() end)
    rl.yield()
    c:signal()
    local b = rl.go(function() m:lock() c:wait() log[#log + 1] = "late" m:unlock() end)
    a:join()
    rl.yield()
    rl.yield()
    assert.same({"early"}, log)
    c:signal()
    b:join()
    assert.same({"early", "late"}, log)
  end)

  it("wait with a timeout says ETIMEDOUT and holds the lock", function()
    local m = rl.mutex()
    local c = rl.cond(m)
    m:lock()
    is_timeout(c:wait(0.001))
    assert.is_falsy((m:try_lock()))
    m:unlock()
  end)

  it("a cancelled waiter holds the lock in its cleanup, so with unlocks once", function()
    local m = rl.mutex()
    local c = rl.cond(m)
    local task = rl.go(function() m:with(function() c:wait() end) end)
    rl.yield()
    task:cancel("r")
    local _, err = task:join()
    assert.same({true, "r"}, {rl.is_cancel(err)})
    assert.is_true(m:try_lock())
    m:unlock()
  end)

  it("a cancelled waiter does not swallow a signal", function()
    local m = rl.mutex()
    local c = rl.cond(m)
    local a = rl.go(function() m:with(function() c:wait() end) end)
    local b = rl.go(function() m:with(function() c:wait() end) return "b" end)
    rl.yield()
    a:cancel()
    c:signal()
    a:join()
    assert.same({true, "b"}, {b:join(10)})
  end)

  it("wait without the lock raises", function()
    local m = rl.mutex()
    local c = rl.cond(m)
    H.raises(c.wait, c)
    assert.is_true(m:try_lock())
    m:unlock()
  end)
end)

in_turn.both("barrier", function(it)
  it("lets n tasks go together, each with an index of its own", function()
    local b, passed, seen = rl.barrier(4), 0, {}
    local wg = rl.waitgroup()
    for i = 1, 3 do
      wg:go(function() seen[b:wait()] = i passed = passed + 1 end)
    end
    rl.yield()
    rl.yield()
    assert.equal(0, passed)
    seen[b:wait()] = "last"
    wg:wait()
    assert.equal(3, passed)
    for k = 1, 4 do
      assert.is_not_nil(seen[k])
    end
    assert.equal(4, #seen)
  end)

  it("is used again for the next round", function()
    local b, log = rl.barrier(3), {}
    all(3, function()
      for round = 1, 8 do
        b:wait()
        log[#log + 1] = round
      end
    end)
    assert.equal(24, #log)
    for i, round in ipairs(log) do
      assert.equal(math.ceil(i / 3), round)
    end
  end)

  it("of 1 lets everyone through with index 1", function()
    local b = rl.barrier(1)
    assert.equal(1, b:wait())
    assert.equal(1, b:wait())
  end)

  it("wait with a timeout says ETIMEDOUT and is not counted", function()
    local b = rl.barrier(2)
    is_timeout(b:wait(0.001))
    local task = rl.go(function() return b:wait() end)
    rl.yield()
    assert.equal("number", type(b:wait(10)))
    assert.is_true((task:join()))
  end)

  it("a cancelled waiter is not counted", function()
    local b = rl.barrier(2)
    local task = rl.go(function() b:wait() end)
    rl.yield()
    task:cancel()
    task:join()
    is_timeout(b:wait(0.001))
  end)

  it("refuses a count below 1", function()
    H.raises(rl.barrier, 0)
    H.raises(rl.barrier, -1)
    H.raises(rl.barrier)
  end)
end)

in_turn.both("event", function(it)
  it("wait parks until it is set", function()
    local ev, woken = rl.event(), false
    local task = rl.go(function() assert.is_true(ev:wait()) woken = true end)
    rl.yield()
    rl.yield()
    assert.is_false(woken)
    ev:set()
    task:join()
    assert.is_true(woken)
  end)

  it("stays set until it is cleared", function()
    local ev = rl.event()
    assert.is_false(ev:is_set())
    ev:set()
    assert.is_true(ev:is_set())
    assert.is_true(ev:wait())
    assert.is_true(ev:wait())
    ev:clear()
    assert.is_false(ev:is_set())
    is_timeout(ev:wait(0.001))
  end)

  it("set wakes every waiter", function()
    local ev, n, wg = rl.event(), 0, rl.waitgroup()
    for _ = 1, 10 do
      wg:go(function() ev:wait() n = n + 1 end)
    end
    rl.yield()
    ev:set()
    wg:wait()
    assert.equal(10, n)
  end)

  it("set wakes those that waited, although it is cleared at once", function()
    local ev = rl.event()
    local task = rl.go(function() return ev:wait() end)
    rl.yield()
    ev:set()
    ev:clear()
    assert.same({true, true}, {task:join()})
  end)

  it("set twice is set, clear twice is clear", function()
    local ev = rl.event()
    ev:set()
    ev:set()
    assert.is_true(ev:is_set())
    ev:clear()
    ev:clear()
    assert.is_false(ev:is_set())
  end)

  it("wait with timeout 0 does not wait", function()
    local ev = rl.event()
    is_timeout(ev:wait(0))
    ev:set()
    assert.is_true(ev:wait(0))
  end)
end)

in_turn.both("singleflight", function(it)
  it("runs one call for all callers of a key at a time", function()
    local sf, calls, got = rl.singleflight(), 0, {}
    all(10, function(i)
      got[i] = sf:call("key", function()
        calls = calls + 1
        rl.sleep(0.001)
        return "value"
      end)
    end)
    assert.equal(1, calls)
    for i = 1, 10 do
      assert.equal("value", got[i])
    end
  end)

  it("runs again when the call is over", function()
    local sf, calls = rl.singleflight(), 0
    for i = 1, 3 do
      assert.equal(i, (sf:call("key", function() calls = calls + 1 return calls end)))
    end
  end)

  it("keeps keys apart", function()
    local sf, calls = rl.singleflight(), 0
    all(6, function(i)
      local key = i % 3
      assert.equal(key, (sf:call(key, function() calls = calls + 1 rl.yield() return key end)))
    end)
    assert.equal(3, calls)
  end)

  it("raises the same error to all callers and none hangs", function()
    local sf, e, caught, calls = rl.singleflight(), {}, 0, 0
    all(5, function()
      local err = H.raises(sf.call, sf, "key", function() calls = calls + 1 rl.yield() error(e) end)
      if rawequal(e, err) then
        caught = caught + 1
      end
    end)
    assert.same({5, 1}, {caught, calls})
    assert.equal("next", (sf:call("key", function() return "next" end)))
  end)

  it("does not leave the others hanging when the first caller is cancelled", function()
    local sf, gate = rl.singleflight(), rl.event()
    local function work() gate:wait() return "v" end
    local first = rl.go(function() return sf:call("key", work) end)
    rl.yield()
    local second = rl.go(function() return sf:call("key", work) end)
    rl.yield()
    first:cancel()
    first:join()
    gate:set()
    local ended, _, code = second:join(10)
    assert.is_true(ended ~= nil and code ~= "ETIMEDOUT")
  end)

  it("passes arguments", function()
    local sf = rl.singleflight()
    assert.equal(5, (sf:call("key", function(a, b) return a + b end, 2, 3)))
  end)
end)

H.sim("timeouts of sync objects", function(it)
  local waits = {
    mutex = function()
      local m = rl.mutex()
      m:lock()
      return function(t) return m:lock(t) end
    end,
    rwmutex = function()
      local m = rl.rwmutex()
      m:lock()
      return function(t) return m:lock(t) end
    end,
    ["rwmutex for reading"] = function()
      local m = rl.rwmutex()
      m:lock()
      return function(t) return m:rlock(t) end
    end,
    semaphore = function()
      local s = rl.semaphore(1)
      s:acquire()
      return function(t) return s:acquire(1, t) end
    end,
    waitgroup = function()
      local wg = rl.waitgroup()
      wg:add(1)
      return function(t) return wg:wait(t) end
    end,
    cond = function()
      local m = rl.mutex()
      m:lock()
      local c = rl.cond(m)
      return function(t) return c:wait(t) end
    end,
    barrier = function()
      local b = rl.barrier(2)
      return function(t) return b:wait(t) end
    end,
    event = function()
      local ev = rl.event()
      return function(t) return ev:wait(t) end
    end,
  }
  for name, make in pairs(waits) do
    it(name .. " ends after exactly its time", function()
      local wait, t0 = make(), rl.now()
      is_timeout(wait(3))
      assert.near(3, rl.now() - t0, H.TICK)
    end)

    it(name .. " refuses what is no time", function()
      local wait = make()
      H.raises(wait, "soon")
      H.raises(wait, 0 / 0)
    end)
  end
end)

H.sim("workers with a mutex, a semaphore and a condition", function(it)
  for seed = 1, 10 do
    it("conserve the items of a bounded buffer, seed " .. seed, function()
      local m = rl.mutex()
      local not_full, not_empty = rl.cond(m), rl.cond(m)
      local items, most, sum, taken = {}, 0, 0, 0
      local wg = rl.waitgroup()
      for p = 1, 3 do
        wg:go(function()
          for i = 1, 20 do
            m:lock()
            while #items == 4 do
              not_full:wait()
            end
            items[#items + 1] = p * 100 + i
            most = math.max(most, #items)
            not_empty:signal()
            m:unlock()
            rl.sleep(0.01)
          end
        end)
      end
      for _ = 1, 2 do
        wg:go(function()
          for _ = 1, 30 do
            m:lock()
            while #items == 0 do
              not_empty:wait()
            end
            sum = sum + table.remove(items, 1)
            taken = taken + 1
            not_full:signal()
            m:unlock()
            rl.sleep(0.02)
          end
        end)
      end
      wg:wait()
      assert.same({60, 0}, {taken, #items})
      assert.equal((100 + 200 + 300) * 20 + 3 * 210, sum)
      assert.equal(4, most)
    end, {seed = seed})
  end
end)
