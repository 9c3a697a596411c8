-- SPDX-License-Identifier: MIT
local rl = require "ringlet"
local shared = require "ringlet.shared"
local H = require "spec.helper"
local in_turn = require "spec.in_turn"

local HERE = "spec/shared_sync_spec.lua:"

local function is_timeout(v, msg, code)
  assert.same({nil, "ETIMEDOUT: timed out", "ETIMEDOUT"}, {v, msg, code})
end

local function raise_here(cases)
  for _, case in ipairs(cases) do
    local err = H.raises_text(case[1], function() case[2](case[3], case[4], case[5]) end)
    assert.equal(1, err:find(HERE, 1, true))
  end
end

-- Join all; the results of each.
local function join_all(tasks)
  local all = {}
  for i, task in ipairs(tasks) do
    all[i] = H.pack(task:join())
    assert.is_true(all[i][1], tostring(all[i][2]))
  end
  return all
end

in_turn.both("a shared semaphore", function(it)
  it("has its tokens", function()
    local s = shared.semaphore(3)
    assert.is_true(s:acquire())
    assert.is_true(s:acquire(2))
    assert.equal(0, s:available())
    assert.is_false(s:try_acquire())
    assert.is_true(s:try_acquire(0))
    s:release(3)
    assert.equal("ringlet.shared.semaphore: 3/3", tostring(s))
    assert.is_true(s:try_acquire(3))
    s:release(3)
  end)

  it("serves in the order of coming, whatever the size", function()
    local s, log, wg = shared.semaphore(4), {}, rl.waitgroup()
    s:acquire(3)
    for _, k in ipairs{4, 1, 2} do
      wg:go(function()
        s:acquire(k)
        log[#log + 1] = k
        rl.yield()
        s:release(k)
      end)
    end
    rl.yield()
    assert.is_false(s:try_acquire())
    s:release(3)
    wg:wait()
    assert.same({4, 1, 2}, log)
    assert.equal(4, s:available())
  end)

  it("a large request that gives up lets the small ones behind it go", function()
    local s, log, wg = shared.semaphore(4), {}, rl.waitgroup()
    s:acquire(3)
    local big = rl.go(function() s:acquire(4) end)
    rl.go(function() is_timeout(s:acquire(2, 0.01)) end)
    rl.yield()
    wg:go(function()
      s:acquire(1)
      log[#log + 1] = "small"
    end)
    rl.sleep(0.02)
    assert.same({}, log)
    big:cancel()
    wg:wait()
    assert.same({"small"}, log)
    s:release(4)
  end)

  it("times out and is cancelled without taking anything", function()
    local s = shared.semaphore(1)
    s:acquire()
    is_timeout(s:acquire(1, 0))
    is_timeout(s:acquire(1, 0.01))
    local task = rl.go(s.acquire, s)
    rl.yield()
    task:cancel()
    task:join()
    s:release()
    assert.equal(1, s:available())
  end)

  it("with gives the token back whatever becomes of the function", function()
    local s, err = shared.semaphore(1), {}
    assert.same({1, nil, 3}, {s:with(function(...) return ... end, 1, nil, 3)})
    local ok, got = pcall(s.with, s, function() error(err) end)
    assert.is_false(ok)
    assert.equal(err, got)
    assert.equal(1, s:available())
  end)

  it("tells misuse at the caller's line", function()
    local s = shared.semaphore(1)
    raise_here{
      {"the number of tokens must be", shared.semaphore},
      {"the number of tokens must be 0 or more", shared.semaphore, -1},
      {"tokens must be a whole number", s.acquire, s, 0.5},
      {"tokens must be 0 or more", s.try_acquire, s, -1},
      {"the semaphore never has so many", s.acquire, s, 2},
      {"released more than acquired", s.release, s},
      {"seconds expected", s.acquire, s, 1, "1"},
      {"semaphore expected, got table", s.release, {}},
    }
  end)
end)

in_turn.both("a shared barrier", function(it)
  it("opens when all have come, and tells each its place", function()
    local b, tasks, places = shared.barrier(3), {}, {}
    for round = 1, 3 do
      for i = 1, 3 do tasks[i] = rl.go(b.wait, b) end
      for i, got in ipairs(join_all(tasks)) do places[i] = got[2] end
      assert.same({1, 2, 3}, places, "round " .. round)
    end
    assert.equal("ringlet.shared.barrier: 0/3", tostring(b))
    assert.equal(1, shared.barrier(1):wait())
    assert.equal(1, shared.barrier(1):wait(0))
  end)

  it("does not count who gives up", function()
    local b = shared.barrier(3)
    is_timeout(b:wait(0))
    is_timeout(b:wait(0.01))
    local first, second = rl.go(b.wait, b), rl.go(b.wait, b)
    rl.yield()
    first:cancel()
    first:join()
    assert.equal("ringlet.shared.barrier: 1/3", tostring(b))
    local third = rl.go(b.wait, b)
    rl.yield()
    assert.equal(3, b:wait())
    assert.same({1, 2}, {select(2, second:join()), (select(2, third:join()))})
  end)

  it("tells misuse at the caller's line", function()
    local b = shared.barrier(2)
    raise_here{
      {"the number of tasks must be at least 1", shared.barrier, 0},
      {"the number of tasks must be a whole number", shared.barrier, "2"},
      {"seconds expected", b.wait, b, "1"},
      {"barrier expected", b.wait, {}},
    }
  end)
end)

in_turn.both("a shared once", function(it)
  it("calls one function, and gives all its results", function()
    local o, calls, tasks = shared.once(), 0, {}
    assert.is_false(o:is_done())
    for i = 1, 4 do
      tasks[i] = rl.go(o.call, o, function(...)
        calls = calls + 1
        rl.sleep(0.01)
        return i, ...
      end, nil, {i})
    end
    for _, got in ipairs(join_all(tasks)) do
      assert.same({n = 4, true, 1, nil, {1}}, got)
    end
    assert.equal(1, calls)
    assert.is_true(o:is_done())
    assert.same({1, nil, {1}}, {o:call(error)})
    assert.equal("ringlet.shared.once: done", tostring(o))
  end)

  it("gives all its error", function()
    local o, err = shared.once(), {why = "broken"}
    local ok, got = pcall(o.call, o, function() error(err) end)
    assert.is_false(ok)
    assert.equal(err, got)
    ok, got = pcall(o.call, o, function() return 1 end)
    assert.is_false(ok)
    assert.same(err, got)
  end)

  it("an error that cannot travel is its text", function()
    local o = shared.once()
    local err = setmetatable({}, {__tostring = function() return "strange" end})
    assert.is_false((pcall(o.call, o, function() error(err) end)))
    local ok, got = pcall(o.call, o, print)
    assert.is_false(ok)
    assert.equal("strange", got)
  end)

  it("results that cannot travel are an error for all", function()
    local o = shared.once()
    H.raises_text("result[2]", o.call, o, function() return coroutine.create(print) end)
    H.raises_text("result[2]", o.call, o, print)
  end)

  it("goes to the next one when its task is cancelled", function()
    local o, log = shared.once(), {}
    local function work(i)
      log[#log + 1] = i
      rl.sleep(i == 1 and 1000 or 0.01)
      return i
    end
    local first = rl.go(o.call, o, work, 1)
    local others = {rl.go(o.call, o, work, 2), rl.go(o.call, o, work, 3)}
    rl.yield()
    first:cancel()
    for _, got in ipairs(join_all(others)) do
      assert.same({n = 2, true, 2}, got)
    end
    assert.same({1, 2}, log)
  end)

  it("who waits can be cancelled", function()
    local o, gate = shared.once(), rl.event()
    local first = rl.go(o.call, o, function() gate:wait() return "done" end)
    rl.yield()
    assert.same({nil, "ETIMEDOUT"}, {(rl.timeout(0.01, o.call, o, print)),
      (select(3, rl.timeout(0.001, o.call, o, print)))})
    gate:set()
    assert.same({true, "done"}, {first:join()})
  end)

  it("tells misuse at the caller's line", function()
    local o = shared.once()
    raise_here{
      {"function expected, got nil", o.call, o},
      {"once expected", o.call, {}, print},
    }
  end)
end)

H.sim("the turn of a task that is not resumed any more", function(it)
  it("is given up when the task is collected", function()
    local o = shared.once()
    local task = rl.go(o.call, o, function()
      while true do pcall(rl.sleep, 1) end
    end)
    rl.yield()
    local other = rl.go(o.call, o, function() return "the next one" end)
    rl.yield()
    task:cancel()
    assert.is_false((task:join()))
    task = nil -- luacheck: ignore
    H.collect()
    assert.same({true, "the next one"}, {other:join(10)})
  end)
end)

H.both("semaphores, barriers and onces of several shards", function(it)
  it("are one for all", function()
    local s, b, o, held = shared.semaphore(2), shared.barrier(6), shared.once(), shared.atomic()
    local calls, futures = shared.atomic(), {}
    for i = 1, 6 do
      futures[i] = rl.spawn_on((i - 1) % 3 + 1, function(sem, barrier, once, now, count, rounds)
        for _ = 1, rounds do
          sem:with(function()
            assert(now:add(1) <= 2)
            rl.yield()
            now:sub(1)
          end)
        end
        local place = barrier:wait()
        return place, once:call(function()
          rl.yield()
          return count:add(1)
        end)
      end, s, b, o, held, calls, H.rounds(100, 10))
    end
    local places = {}
    for _, got in ipairs(join_all(futures)) do
      places[got[2]] = true
      assert.equal(1, got[3])
    end
    assert.equal(6, #places)
    assert.equal(2, s:available())
    assert.equal(1, calls:load())
  end, {shards = 3})

  it("a shard that ends leaves nobody waiting for it", function()
    local s, b, a = shared.semaphore(1), shared.barrier(2), shared.atomic()
    s:acquire()
    for i = 2, 3 do
      rl.spawn_on(i, function(sem, barrier, cell)
        rl.daemon(sem.acquire, sem)
        rl.daemon(barrier.wait, barrier)
        rl.daemon(cell.wait, cell, 2)
        cell:add(1)
      end, s, b, a):join()
    end
    a:wait(0)
    a:wait(1)
    s:release()
  end, {shards = 3})
end)
