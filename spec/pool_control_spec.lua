-- SPDX-License-Identifier: MIT
-- Pools as a whole: sizes, pausing, closing, workers that expire, and what runs do with them.
local H = require "spec.helper"
local rl = require "ringlet"
local in_turn = require "spec.in_turn"

local HERE = "spec/pool_control_spec.lua:"

local function nothing() end

-- Let everything that is ready run.
local function settle()
  for _ = 1, 8 do
    rl.yield()
  end
end

-- Every task that was submitted is somewhere.
local function assert_adds_up(pool)
  local s = pool:stats()
  assert.equal(s.submitted, s.done + s.failed + s.cancelled + s.rejected + s.dropped + s.running
    + s.queued + s.blocked + s.beside)
end

-- A pool whose end is seen to: all of it has ended, and everything adds up.
local function with_pool(opts, fn)
  local pool = rl.pool(opts)
  fn(pool)
  pool:resume()
  pool:close()
  assert.is_true(pool:join())
  settle()
  local s = pool:stats()
  assert.same({0, 0, 0, 0, 0, 0},
    {s.running, s.queued, s.blocked, s.beside, s.workers, s.idle})
  assert_adds_up(pool)
end

-- Tasks that wait until they are let go: gate.task(i) notes that it began, and returns i.
local function new_gate()
  local gate = {began = {}, event = rl.event()}
  function gate.task(i)
    gate.began[#gate.began + 1] = i
    gate.event:wait()
    return i
  end
  function gate.open()
    gate.event:set()
  end
  return gate
end

-- Fill the pool with n tasks that wait, which begin.
local function fill(pool, gate, n)
  local futures = {}
  for i = 1, n do
    futures[i] = assert(pool:submit(gate.task, i))
  end
  settle()
  return futures
end

local function counts(pool)
  return {pool:running(), pool:waiting(), pool:free()}
end

local function is_refused(code, v, msg, got)
  assert.is_nil(v)
  assert.equal(code, got)
  assert.truthy(msg:find(code .. ": ", 1, true), msg)
end

local function is_cancelled(f)
  local ok, err = f:join()
  assert.is_false(ok)
  assert.is_true(rl.is_cancel(err))
end

in_turn.both("a pool's size", function(it)
  it("can grow, which wakes what waits, and shrink", function()
    with_pool({size = 2, queue = 1}, function(pool)
      local gate, blocked = new_gate(), 0
      fill(pool, gate, 3)
      for i = 4, 9 do
        rl.go(function()
          blocked = blocked + 1
          pool:submit(gate.task, i)
          blocked = blocked - 1
        end)
      end
      settle()
      assert.same({2, 7, 6}, {pool:running(), pool:waiting(), blocked})
      assert.is_true(pool:resize(3))
      settle()
      assert.same({3, 6, 5}, {pool:running(), pool:waiting(), blocked})
      assert.is_true(pool:resize(8))
      settle()
      assert.same({8, 1, 0}, {pool:running(), pool:waiting(), blocked})
      assert.same({1, 2, 3, 4, 5, 6, 7, 8}, gate.began)
      assert.is_true(pool:resize(2))
      assert.same({8, 1, 0}, counts(pool))
      assert.equal(2, pool:capacity())
      gate.open()
      pool:join()
      settle()
      assert.same({0, 0, 2}, counts(pool))
      assert.equal(2, pool:stats().workers)
      pool:resize(1)
      assert.equal(1, pool:stats().workers)
    end)
  end)

  it("stays what it is for what is no size, and where it is fixed", function()
    with_pool({size = 2}, function(pool)
      for _, n in ipairs {0, -1, -5} do
        assert.is_false(pool:resize(n))
      end
      assert.equal(2, pool:capacity())
      for _, n in ipairs {1.5, "3", math.huge, 0 / 0} do
        H.raises_text("whole number expected", pool.resize, pool, n)
      end
      assert.is_true(pool:resize(2))
    end)
  end)

  it("may be that of tasks that have not begun yet", function()
    with_pool({size = 3, queue = 9}, function(pool)
      local gate = new_gate()
      for i = 1, 3 do pool:submit(gate.task, i) end
      pool:resize(1)
      assert.same({1, 2, 0}, counts(pool))
      settle()
      assert.same({1}, gate.began)
      gate.open()
    end)
  end)
end)

in_turn.both("a paused pool", function(it)
  it("begins nothing until it is resumed", function()
    with_pool({size = 2, queue = 3, overflow = "reject"}, function(pool)
      local gate = new_gate()
      fill(pool, gate, 1)
      assert.is_true(pool:pause())
      assert.is_false(pool:pause())
      assert.same({1, 0, 0}, counts(pool))
      for i = 2, 4 do assert(pool:submit(gate.task, i)) end
      is_refused("EOVERLOAD", pool:submit(gate.task, 5))
      settle()
      assert.same({1, 3, 0}, counts(pool))
      assert.same({1}, gate.began)
      gate.open()
      settle()
      assert.same({0, 3, 0}, counts(pool))
      assert.is_true(pool:resume())
      assert.is_false(pool:resume())
      pool:join()
      assert.same({1, 2, 3, 4}, gate.began)
    end)
  end)

  it("keeps what was to begin in this turn", function()
    with_pool({size = 2}, function(pool)
      local gate = new_gate()
      pool:submit(gate.task, 1)
      pool:submit(gate.task, 2)
      pool:pause()
      settle()
      assert.same({0, 2, 0}, counts(pool))
      local third = rl.go(function() return pool:submit(gate.task, 3) end)
      settle()
      assert.equal(3, pool:waiting())
      pool:resume()
      gate.open()
      assert.is_true((third:join()))
      pool:join()
      assert.same({1, 2, 3}, gate.began)
    end)
  end)
end)

in_turn.both("a pool that is closed", function(it)
  it("takes nothing, tells who waits, and runs what it has", function()
    with_pool({size = 1, queue = 1}, function(pool)
      local gate, refused = new_gate(), {}
      local futures = fill(pool, gate, 2)
      for i = 1, 3 do
        rl.go(function()
          refused[i] = {pool:submit(gate.task, 9)}
        end)
      end
      settle()
      assert.equal(3, pool:stats().blocked)
      assert.is_true(pool:close())
      assert.is_true(pool:close())
      settle()
      for i = 1, 3 do
        assert.same({nil, "ECLOSED: the pool was closed", "ECLOSED"}, refused[i])
      end
      is_refused("ECLOSED", pool:submit(nothing))
      assert.same({4, 0}, {pool:stats().rejected, pool:stats().blocked})
      gate.open()
      assert.same({true, 1}, {futures[1]:join()})
      assert.same({true, 2}, {futures[2]:join()})
      settle()
      assert.equal(0, pool:stats().workers)
    end)
  end)

  it("counts no submitter that was cancelled just before", function()
    with_pool({size = 1}, function(pool)
      local gate = new_gate()
      fill(pool, gate, 1)
      local waiter = rl.go(function() pool:submit(nothing) end)
      settle()
      waiter:cancel()
      pool:close()
      settle()
      assert.same({0, 0, 1}, {pool:stats().blocked, pool:stats().rejected, pool:stats().cancelled})
      gate.open()
    end)
  end)

  it("within its grace has ended all", function()
    with_pool({size = 2, queue = 5}, function(pool)
      local gate = new_gate()
      local futures = fill(pool, gate, 4)
      rl.go(function() rl.yield() gate.open() end)
      assert.is_true(pool:close(60))
      for i = 1, 4 do assert.equal("done", futures[i]:status()) end
      assert.is_true(pool:close(60))
      assert.is_true(pool:close(0))
      settle()
      assert.equal(0, pool:stats().workers)
    end)
  end)

  it("cancels what it has when the grace is over", function()
    with_pool({size = 1, queue = 5, overflow = "spawn"}, function(pool)
      local gate = new_gate()
      local futures = fill(pool, gate, 8)
      is_refused("ETIMEDOUT", pool:close(0.002))
      for i = 2, 6 do
        local ok, err = futures[i]:join()
        assert.same({false, "ECLOSED"}, {ok, rl.code(err)})
      end
      is_cancelled(futures[1])
      is_cancelled(futures[7])
      is_cancelled(futures[8])
      assert.same({1}, {gate.began[1]})
      assert.equal(8, pool:stats().cancelled)
      assert.is_true(pool:close(60))
    end)
  end)

  it("cancels with no grace at all, in a second call, too", function()
    with_pool({size = 1, queue = 1}, function(pool)
      local gate = new_gate()
      local futures = fill(pool, gate, 2)
      pool:close()
      is_refused("ETIMEDOUT", pool:close(0))
      assert.equal("failed", futures[2]:status())
      is_cancelled(futures[1])
    end)
  end)

  it("runs what it has even if it was paused, or is paused then", function()
    with_pool({size = 2, queue = 5}, function(pool)
      local f = pool:submit(function() return 1 end)
      pool:pause()
      settle()
      assert.equal("pending", f:status())
      pool:close()
      assert.same({true, 1}, {f:join()})
      pool:reopen()
      f = pool:submit(function() return 2 end)
      pool:close()
      pool:pause()
      settle()
      assert.equal("pending", f:status())
      assert.is_true(pool:close(60))
      assert.same({true, 2}, {f:join()})
    end)
  end)

  it("can be opened again: default, with fn, and with prealloc", function()
    local sum = 0
    local function add(i) sum = sum + i end
    for _, opts in ipairs {{size = 10}, {size = 10, prealloc = true}, {size = 10, fn = add}} do
      sum = 0
      with_pool(opts, function(pool)
        assert.is_false(pool:reopen())
        for _ = 1, 2 do
          for i = 0, 999 do
            if opts.fn then assert(pool:submit(i)) else assert(pool:submit(add, i)) end
          end
          assert.is_true(pool:close(60))
          is_refused("ECLOSED", pool:submit(opts.fn and 1 or nothing))
          assert.equal(499500, sum)
          sum = 0
          assert.is_true(pool:reopen())
        end
      end)
    end
  end)

  it("join waits for all, and can time out", function()
    with_pool({size = 1, queue = 5, overflow = "spawn"}, function(pool)
      local gate = new_gate()
      fill(pool, gate, 7)
      is_refused("ETIMEDOUT", pool:join(0))
      is_refused("ETIMEDOUT", pool:join(0.002))
      local joined = 0
      for _ = 1, 3 do
        rl.go(function()
          pool:join()
          joined = joined + 1
        end)
      end
      local given_up = rl.go(pool.join, pool)
      settle()
      given_up:cancel()
      assert.equal(0, joined)
      gate.open()
      assert.is_true(pool:join())
      settle()
      assert.same({3, 0}, {joined, pool.awaited})
    end)
  end)
end)

H.sim("a worker without a task", function(it)
  it("ends after `expiry` seconds: 500 of them, to none", function()
    with_pool({size = 500, expiry = 3}, function(pool)
      local gate = new_gate()
      fill(pool, gate, 500)
      gate.open()
      pool:join()
      local from = rl.now()
      rl.sleep(2.9)
      assert.same({500, 500}, {pool:stats().workers, pool:stats().idle})
      rl.sleep(3 + 2 * H.TICK - (rl.now() - from))
      assert.same({0, 0}, {pool:stats().workers, pool:stats().idle})
      assert.same({true, 1}, {pool:submit(function() return 1 end):join()})
    end)
  end)

  it("is the one that has rested longest; those in use stay", function()
    with_pool({size = 3, expiry = 10}, function(pool)
      local gate = new_gate()
      fill(pool, gate, 3)
      gate.open()
      pool:join()
      local oldest = pool:workers()
      for _ = 1, 8 do
        rl.sleep(4)
        pool:submit(rl.yield):join()
      end
      assert.same({1, 1}, {#pool:workers(), pool:stats().workers})
      assert.equal(oldest[3], pool:workers()[1])
      assert.equal("terminated", oldest[1]:state())
    end)
  end)

  it("is there for ever with expiry = false", function()
    with_pool({size = 5, expiry = false}, function(pool)
      local gate = new_gate()
      fill(pool, gate, 5)
      gate.open()
      pool:join()
      local timers = rl.stats().timers
      rl.sleep(1e4)
      assert.equal(5, pool:stats().workers)
      assert.equal(timers, rl.stats().timers)
    end)
  end)

  it("costs no timer once it is gone, nor when the pool is closed", function()
    local before = rl.stats().timers
    local pool = rl.pool {size = 2, expiry = 5}
    pool:submit(nothing):join()
    assert.equal(before + 1, rl.stats().timers)
    rl.sleep(6)
    assert.equal(before, rl.stats().timers)
    pool:submit(nothing):join()
    pool:close()
    assert.equal(before, rl.stats().timers)
  end)

  it("keeps a pool that nobody has only until then", function()
    local gone = setmetatable({}, {__mode = "k"})
    local function abandon()
      local pool = rl.pool {size = 5, expiry = 5, queue = 10}
      gone[pool] = true
      for _ = 1, 10 do pool:submit(rl.sleep, 1) end
    end
    abandon()
    rl.sleep(9)
    H.collect()
    assert.is_nil(next(gone))
  end)

  it("waits a measured time for a worker", function()
    with_pool({size = 1, queue = 9}, function(pool)
      for _ = 1, 3 do pool:submit(rl.sleep, 1) end
      pool:join()
      local s = pool:stats()
      assert.is_true(math.abs(s.wait_mean - 1.5) < H.TICK, s.wait_mean)
      assert.is_true(math.abs(s.wait_max - 2) < H.TICK, s.wait_max)
    end)
  end)

  it("counts the time that its submitter waited", function()
    with_pool({size = 1}, function(pool)
      for _ = 1, 3 do pool:submit(rl.sleep, 1) end
      pool:join()
      assert.is_true(math.abs(pool:stats().wait_max - 1) < H.TICK, pool:stats().wait_max)
    end)
  end)
end)

describe("a run with a pool", function()
  local backends = H.BACKENDS

  it("ends when what was submitted has, not before, and does not wait for idle workers", function()
    for _, backend in ipairs(backends) do
      local done, pool = 0, nil
      H.run(function()
        pool = rl.pool {size = 2, queue = 10}
        for _ = 1, 7 do
          pool:submit(function()
            rl.yield()
            done = done + 1
          end)
        end
      end, {backend = backend})
      assert.equal(7, done)
      assert.same({0, 0}, {pool:stats().workers, pool:running()})
    end
  end)

  it("is one of many: a pool made outside of them serves each", function()
    local pool = rl.pool {size = 2, queue = 10, expiry = 100}
    for round = 1, 3 do
      for _, backend in ipairs(backends) do
        local log = {}
        H.run(function()
          for i = 1, 5 do pool:submit(function() rl.yield() log[i] = i end) end
        end, {backend = backend})
        assert.same({1, 2, 3, 4, 5}, log, round)
      end
    end
    assert.equal(30, pool:stats().done)
  end)

  it("cancels what the pool has when main fails, and runs nothing of it", function()
    for _, overflow in ipairs {"block", "spawn"} do
      local pool = rl.pool {size = 1, queue = 3, overflow = overflow}
      local began, futures, joined = 0, {}, {}
      local function task()
        began = began + 1
        rl.sleep(1000)
      end
      local err = H.raises(H.run, function()
        for i = 1, 4 do futures[i] = pool:submit(task) end
        rl.go(function()
          rl.shield(function() joined = {futures[3]:join()} end)
        end)
        local blocked = rl.go(function() futures[5] = pool:submit(task) end)
        rl.yield()
        rl.yield()
        assert.is_true(overflow == "spawn" or blocked:status() == "parked")
        error("main", 0)
      end)
      assert.equal("main", err)
      assert.equal(overflow == "spawn" and 2 or 1, began)
      for i = 1, overflow == "spawn" and 5 or 4 do is_cancelled(futures[i]) end
      assert.is_false(joined[1])
      assert_adds_up(pool)
      local s = pool:stats()
      assert.same({0, 0, 0, 0, 0}, {s.running, s.queued, s.blocked, s.beside, s.workers})
      assert.same({true, 1}, {H.run(function()
        return pool:submit(function() return 1 end):join()
      end)})
    end
  end)

  it("ends by rl.stop with tasks that run and wait, and with a paused pool", function()
    for _, paused in ipairs {false, true} do
      for _, grace in ipairs {0, 1} do
        local pool, began = rl.pool {size = 1, queue = 3}, 0
        local futures = {}
        H.run(function()
          if paused then pool:pause() end
          for i = 1, 3 do
            futures[i] = pool:submit(function()
              began = began + 1
              rl.sleep(1000)
            end)
          end
          rl.yield()
          rl.stop(grace)
          rl.sleep(1000)
        end, {on_hung = nothing})
        assert.equal(paused and 0 or 1, began)
        for i = 1, 3 do is_cancelled(futures[i]) end
        assert_adds_up(pool)
        assert.equal(0, pool:waiting())
      end
    end
  end)

  it("lets cleaning up use the pool", function()
    local pool, log = rl.pool {size = 1, queue = 3}, {}
    H.raises(H.run, function()
      pool:submit(nothing):join() -- an idle worker, which will be cancelled
      rl.go(function()
        rl.finally(function() rl.sleep(1000) end, function()
          for i = 1, 3 do
            log[i] = select(2, pool:submit(function()
              rl.self():name "marks its worker"
              rl.yield()
              return i
            end):join())
          end
        end)
      end)
      rl.yield()
      error "main"
    end)
    assert.same({1, 2, 3}, log)
  end)

  it("is kept by a paused pool whose tasks wait, until it is resumed", function()
    local log = {}
    H.run(function()
      local pool = rl.pool {size = 1, queue = 3}
      pool:pause()
      pool:submit(function() log[1] = rl.now() end)
      local from = rl.now()
      rl.daemon(function()
        rl.sleep(5)
        log[2] = from
        pool:resume()
      end)
    end)
    assert.is_true(log[1] - log[2] >= 5)
  end)

  it("is not kept by one whose tasks were cancelled, dropped or closed away", function()
    H.run(function()
      for _, way in ipairs {"cancel", "close", "resume"} do
        local pool = rl.pool {size = 1, queue = 2, overflow = "drop_oldest"}
        pool:pause()
        local f = pool:submit(nothing)
        local g = pool:submit(nothing)
        pool:submit(nothing)
        assert.equal("failed", f:status())
        if way == "cancel" then
          g:cancel()
          pool:close()
          pool:pause()
          pool:close(0)
        else
          pool[way](pool)
        end
      end
    end)
  end)

  it("that is stuck says which task of which pool waits for what", function()
    local text = H.raises(H.run, function()
      local pool, ch = rl.pool {size = 1, name = "db"}, rl.chan()
      pool:submit(function() ch:recv() end)
      pool:submit(nothing)
    end)
    assert.truthy(text:find("deadlock: all 2 tasks", 1, true), text)
    assert.truthy(text:find("task %d+ db: chan receive on ringlet.chan"), text)
    assert.truthy(text:find(
      "task %d+ %-: pool submit on ringlet.pool: db, 1 of 1 running, 1 waiting, for"), text)
    assert.truthy(text:find("at " .. HERE, 1, true), text)
    text = H.raises(H.run, function()
      local pool = rl.pool {size = 1, queue = 1, name = "held"}
      pool:pause()
      pool:submit(nothing)
    end)
    assert.truthy(text:find("\n  ringlet.pool: held, 0 of 1 running, 1 waiting, paused", 1, true),
      text)
  end)

  it("is kept by a paused pool that nobody has any more, and says so", function()
    local text = H.raises(H.run, function()
      local function abandon()
        local pool = rl.pool {size = 1, queue = 1, name = "nobody's"}
        pool:pause()
        pool:submit(nothing)
      end
      abandon()
      H.collect()
    end)
    assert.truthy(text:find("ringlet.pool: nobody's, 0 of 1 running, 1 waiting", 1, true), text)
    H.run(nothing)
  end)

  it("that gives up a task settles it", function()
    local pool, f = rl.pool {size = 1}, nil
    H.raises(H.run, function()
      f = pool:submit(function()
        rl.shield(function() rl.chan():recv() end)
      end)
      rl.yield()
    end)
    is_cancelled(f)
    assert_adds_up(pool)
    assert.equal(0, pool:running())
    assert.is_true(H.run(function() return (pool:submit(nothing):join()) end))
  end)
end)
