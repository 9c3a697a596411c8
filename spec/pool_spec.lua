-- SPDX-License-Identifier: MIT
-- Pools: submitting, each overflow rule at its boundary, errors, sizes, pausing, closing, runs.
-- Workers that are looked at, and heartbeats: pool_workers_spec; random operations:
-- pool_model_spec.
local H = require "spec.helper"
local rl = require "ringlet"

local HERE = "spec/pool_spec.lua:"

-- The order of turns is what most of this is about: nothing but parking ends them. (Within the
-- library nothing is preempted anyway.)
local function both(name, fn)
  H.both(name, function(it)
    fn(function(what, test) it(what, test, {preempt = false}) end)
  end)
end

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

describe("a pool's options", function()
  local function refuses(opts, text)
    local err = H.raises_text(text, function() rl.pool(opts) end)
    assert.truthy(tostring(err):find(HERE, 1, true), tostring(err))
  end

  it("need a size, of at least one or -1", function()
    refuses({}, "option 'size' is missing")
    refuses(nil, "option 'size' is missing")
    for _, n in ipairs {0, -2, 1.5, 0 / 0} do
      refuses({size = n}, "option 'size' must be a whole number of at least 1")
    end
    assert.equal(1, rl.pool({size = 1}):capacity())
    assert.equal(-1, rl.pool({size = -1}):capacity())
    assert.equal(-1, rl.pool({size = math.huge}):capacity())
  end)

  it("are checked, each", function()
    refuses({size = 1, queue = -1}, "option 'queue' must be a whole number of at least 0")
    refuses({size = 1, expiry = -1}, "option 'expiry' must be a number more than 0")
    refuses({size = 1, expiry = 0}, "option 'expiry'")
    refuses({size = 1, expiry = true}, "option 'expiry' must be a number of seconds, or false")
    refuses({size = 1, max_blocking = -1}, "option 'max_blocking'")
    refuses({size = 1, overflow = "drop"}, "option 'overflow' must be 'block' or 'reject'")
    refuses({size = 1, overflow = "drop_oldest"}, "needs a queue")
    refuses({size = -1, prealloc = true}, "option 'prealloc' needs a size")
    refuses({size = 1, heartbeat = 0}, "option 'heartbeat'")
    refuses({size = 1, fn = 1}, "option 'fn' must be a function")
    refuses({size = 1, workers = 1}, "unknown option 'workers'")
  end)

  it("allow a queue without an end", function()
    H.run(function()
      with_pool({size = 1, queue = math.huge, overflow = "reject"}, function(pool)
        local sum = 0
        for i = 1, 1000 do
          assert(pool:submit(function() sum = sum + i end))
        end
        assert.equal(999, pool:waiting())
        pool:join()
        assert.equal(500500, sum)
      end)
    end)
  end)

  it("take no functions that are none, and no tasks outside of a run", function()
    local pool = rl.pool {size = 1}
    local err = H.raises_text("function expected, got nil", function() pool:submit() end)
    assert.truthy(tostring(err):find(HERE, 1, true), tostring(err))
    err = H.raises_text("not inside a task", function() pool:submit(nothing) end)
    assert.truthy(tostring(err):find(HERE, 1, true), tostring(err))
    H.raises_text("not inside a task", rl.pool({size = 1, fn = nothing}).submit, pool)
    assert.equal(0, pool:stats().submitted)
    assert.is_true(pool:join())
    assert.is_true(pool:close(1))
  end)
end)

both("a pool", function(it)
  it("runs tasks with their arguments and gives their results", function()
    with_pool({size = 2}, function(pool)
      local function all(...) return select("#", ...), ... end
      for n = 0, 5 do
        local args = {}
        for i = 1, n do args[i] = i ~= 2 and i or nil end
        local unpack = table.unpack or unpack -- luacheck: ignore 113
        local got = H.pack(pool:submit(all, unpack(args, 1, n)):join())
        assert.equal(n + 2, got.n)
        assert.same({true, n}, {got[1], got[2]})
        for i = 1, n do assert.equal(args[i], got[i + 2]) end
      end
      assert.equal(1, H.pack(pool:submit(nothing):join()).n)
      assert.same({true}, {pool:submit(nothing):join()})
    end)
  end)

  it("runs at most so many at a time, in the order in which they came", function()
    with_pool({size = 3, queue = 10}, function(pool)
      local gate = new_gate()
      for i = 1, 8 do pool:submit(gate.task, i) end
      assert.same({3, 5, 0}, counts(pool)) -- at once, before one has begun
      settle()
      assert.same({1, 2, 3}, gate.began)
      assert.same({3, 5, 0}, counts(pool))
      gate.open()
      settle()
      assert.same({1, 2, 3, 4, 5, 6, 7, 8}, gate.began)
      assert.same({0, 0, 3}, counts(pool))
    end)
  end)

  it("runs another task while one waits, whoever submitted it", function()
    with_pool({size = 2}, function(pool)
      local ch = rl.chan()
      local a = pool:submit(function() return ch:recv() end)
      local b = pool:submit(function() ch:send "from b" return "sent" end)
      assert.same({true, "from b"}, {a:join()})
      assert.same({true, "sent"}, {b:join()})
    end)
  end)

  it("uses its workers again, and makes no more than it needs", function()
    with_pool({size = 10}, function(pool)
      for _ = 1, 100 do
        pool:submit(rl.yield):join()
      end
      assert.equal(1, pool:stats().workers)
      local gate = new_gate()
      fill(pool, gate, 10)
      assert.equal(10, pool:stats().workers)
      gate.open()
      pool:join()
      local before = rl.stats().created
      for _ = 1, 3 do
        gate = new_gate()
        fill(pool, gate, 10)
        gate.open()
        pool:join()
      end
      assert.equal(before, rl.stats().created)
      assert.same({10, 10}, {pool:stats().workers, #pool:workers()})
    end)
  end)

  it("needs no second worker for tasks that never park", function()
    with_pool({size = 100, queue = 1000}, function(pool)
      local sum = 0
      for i = 1, 1000 do pool:submit(function() sum = sum + i end) end
      pool:join()
      assert.equal(500500, sum)
      assert.is_true(pool:stats().workers <= 5, pool:stats().workers .. " workers")
    end)
  end)

  it("lets others have their turn while such tasks run", function()
    with_pool({size = 1, queue = 1000}, function(pool)
      local done, seen = 0, {}
      for _ = 1, 1000 do pool:submit(function() done = done + 1 end) end
      rl.go(function()
        while done < 1000 do
          seen[#seen + 1] = done
          rl.yield()
        end
      end):join()
      assert.is_true(#seen > 10, #seen .. " turns")
    end)
  end)

  it("runs tasks that tasks submit", function()
    with_pool({size = -1}, function(pool)
      local ok, inner = pool:submit(function()
        return (select(2, pool:submit(function() return pool:running() end):join()))
      end):join()
      assert.same({true, 2}, {ok, inner})
      assert.same({0, 0, -1}, counts(pool))
      assert.is_false(pool:resize(3))
      assert.same({-1, -1}, {pool:capacity(), pool:size()})
      local gate = new_gate()
      fill(pool, gate, 500)
      assert.same({500, 0, -1}, counts(pool))
      gate.open()
    end)
  end)

  it("with fn takes arguments alone", function()
    with_pool({size = 2, fn = function(a, b) return (a or 0) + (b or 0) end}, function(pool)
      assert.same({true, 3}, {pool:submit(1, 2):join()})
      assert.same({true, 0}, {pool:submit():join()})
      local sum = 0
      for i = 1, 100 do sum = sum + select(2, pool:submit(i):join()) end
      assert.equal(5050, sum)
    end)
    with_pool({size = 1, fn = error, on_panic = nothing}, function(pool)
      local ok, err = pool:submit("x", 0):join()
      assert.same({false, "x"}, {ok, err})
    end)
  end)

  it("with prealloc has all workers with the first task, and keeps its size", function()
    with_pool({size = 5, prealloc = true}, function(pool)
      assert.equal(0, pool:stats().workers)
      local gate = new_gate()
      pool:submit(gate.task, 1)
      assert.equal(5, pool:stats().workers)
      fill(pool, gate, 4)
      assert.same({5, 5}, {pool:stats().workers, pool:running()})
      assert.is_false(pool:resize(8))
      assert.equal(5, pool:capacity())
      gate.open()
    end)
  end)

  it("tells what it does", function()
    with_pool({size = 1, queue = 2, name = "db"}, function(pool)
      local gate = new_gate()
      fill(pool, gate, 2)
      assert.equal("ringlet.pool: db, 1 of 1 running, 1 waiting", tostring(pool))
      local metrics = pool:metrics()
      assert.same({1, 1, true}, {metrics.active, metrics.queue, metrics.wait >= 0})
      pool:pause()
      assert.equal("ringlet.pool: db, 1 of 1 running, 1 waiting, paused", tostring(pool))
      pool:close()
      assert.equal("ringlet.pool: db, 1 of 1 running, 1 waiting, closed", tostring(pool))
      gate.open()
    end)
    with_pool({size = -1}, function(pool)
      assert.equal("ringlet.pool: pool, 0 of any number running, 0 waiting", tostring(pool))
      assert.same({active = 0, queue = 0, wait = 0}, pool:metrics())
    end)
  end)

  it("can be what a select waits for", function()
    with_pool({size = 2}, function(pool)
      local gate = new_gate()
      local slow, fast = pool:submit(gate.task, 1), pool:submit(nothing)
      assert.same({2, true}, {rl.select {{slow}, {fast}}})
      gate.open()
      assert.same({1, true, 1}, {rl.select {{slow}}})
    end)
  end)
end)

both("a full pool", function(it)
  -- One of size 2 and a queue of 3 is full after five, whether or not they have begun.
  local function full(opts, fn)
    for _, begun in ipairs {true, false} do
      opts.size, opts.queue = 2, 3
      with_pool(opts, function(pool)
        local gate, futures = new_gate(), {}
        for i = 1, 5 do
          assert.same({math.min(i - 1, 2), math.max(i - 3, 0), math.max(3 - i, 0)}, counts(pool))
          futures[i] = assert(pool:submit(gate.task, i))
        end
        if begun then settle() end
        assert.same({2, 3, 0}, counts(pool))
        fn(pool, gate, futures)
        gate.open()
        pool:join()
      end)
    end
  end

  it("rejects, and takes tasks again when there is room", function()
    full({overflow = "reject"}, function(pool, gate, futures)
      is_refused("EOVERLOAD", pool:submit(gate.task, 6))
      is_refused("EOVERLOAD", pool:submit(gate.task, 7))
      assert.same({7, 2}, {pool:stats().submitted, pool:stats().rejected})
      futures[1]:cancel()
      settle()
      assert.same({2, 2, 0}, counts(pool))
      assert(pool:submit(gate.task, 8))
      is_refused("EOVERLOAD", pool:submit(gate.task, 9))
      gate.open()
      pool:join()
      assert.same({true, 2}, {futures[2]:join()})
      assert.equal(5, pool:stats().done)
    end)
  end)

  it("blocks the submitter until there is room", function()
    full({}, function(pool, gate, futures)
      local log = {}
      for i = 6, 8 do
        rl.go(function()
          local f = pool:submit(gate.task, i)
          log[#log + 1] = i
          assert.same({true, i}, {f:join()})
        end)
      end
      settle()
      assert.same({}, log)
      assert.same({2, 6, 0}, counts(pool))
      assert.equal(3, pool:stats().blocked)
      futures[5]:cancel() -- room in the line
      settle()
      assert.same({6}, log)
      futures[1]:cancel() -- a worker
      settle()
      assert.same({6, 7}, log)
      assert.equal(1, pool:stats().blocked)
      gate.open()
      pool:join()
      settle()
      assert.same({6, 7, 8}, log)
      assert.equal(6, pool:stats().done)
    end)
  end)

  it("runs it beside the pool", function()
    full({overflow = "spawn"}, function(pool, gate)
      local f = assert(pool:submit(gate.task, 6))
      assert.same({1, 1}, {pool:stats().spawned, pool:stats().beside})
      settle()
      assert.same({2, 3, 0}, counts(pool))
      table.sort(gate.began)
      assert.same({1, 2, 6}, gate.began)
      gate.open()
      assert.same({true, 6}, {f:join()})
      assert.equal(0, pool:stats().beside)
    end)
  end)

  it("drops the task that has waited longest", function()
    full({overflow = "drop_oldest"}, function(pool, gate, futures)
      local f = assert(pool:submit(gate.task, 6))
      assert.same({2, 3, 0}, counts(pool))
      local ok, err = futures[3]:join()
      assert.is_false(ok)
      assert.equal("EOVERLOAD", rl.code(err))
      assert.equal("EOVERLOAD: dropped for a later task, the pool is full", tostring(err))
      assert.equal("pending", futures[4]:status())
      pool:submit(gate.task, 7)
      assert.equal("failed", futures[4]:status())
      gate.open()
      assert.same({true, 6}, {f:join()})
      pool:join()
      assert.same({1, 2, 5, 6, 7}, gate.began)
      assert.same({5, 2}, {pool:stats().done, pool:stats().dropped})
    end)
  end)

  it("has the caller run it", function()
    full({overflow = "caller_runs"}, function(pool)
      local me, ran = rl.self(), nil
      local f = pool:submit(function(...)
        ran = rl.self()
        assert.equal(1, pool:stats().beside)
        rl.yield()
        return ...
      end, 6, 7)
      assert.equal(me, ran)
      assert.same({true, 6, 7}, {f:join()})
      assert.equal("done", f:status())
      assert.equal(1, pool:stats().caller_ran)
      rl.on_error(function(err) ran = err end) -- nobody can have waited
      local ok, err = pool:submit(error, "boom", 0):join()
      assert.same({false, "boom", "boom"}, {ok, err, ran})
    end)
  end)

  it("has no room at all with a size of one and no queue", function()
    local gate
    local function one(overflow, fn)
      with_pool({size = 1, overflow = overflow}, function(pool)
        gate = new_gate()
        pool:submit(gate.task, 1)
        fn(pool)
        gate.open()
      end)
    end
    one("reject", function(pool) is_refused("EOVERLOAD", pool:submit(nothing)) end)
    one("spawn", function(pool) assert.same({true}, {pool:submit(nothing):join()}) end)
    one("caller_runs", function(pool) assert.equal("done", pool:submit(nothing):status()) end)
  end)

  it("lets so many submitters wait and refuses the next", function()
    with_pool({size = 1, max_blocking = 1}, function(pool)
      local gate, got = new_gate(), nil
      fill(pool, gate, 1)
      local waiter = rl.go(function() got = pool:submit(gate.task, 2) end)
      settle()
      assert.same({1, 1, 0}, counts(pool))
      is_refused("EOVERLOAD", pool:submit(gate.task, 3))
      gate.open()
      waiter:join()
      assert.same({true, 2}, {got:join()})
      assert.equal(1, pool:stats().rejected)
      assert(pool:submit(nothing))
    end)
    with_pool({size = 1, max_blocking = 0}, function(pool)
      local gate = new_gate()
      fill(pool, gate, 1)
      is_refused("EOVERLOAD", pool:submit(nothing))
      gate.open()
    end)
  end)

  it("takes a submitter that waits no place, when it is cancelled or times out", function()
    with_pool({size = 1, max_blocking = 2}, function(pool)
      local gate = new_gate()
      fill(pool, gate, 1)
      local a = rl.go(function() pool:submit(gate.task, "a") end)
      local b = rl.go(function() return pool:submit(gate.task, "b") end)
      settle()
      a:cancel()
      is_cancelled(a)
      assert.equal(1, pool:stats().blocked)
      local ok, _, code = rl.timeout(0, pool.submit, pool, gate.task, "c")
      assert.same({nil, "ETIMEDOUT"}, {ok, code})
      ok, _, code = rl.timeout(0.002, pool.submit, pool, gate.task, "d")
      assert.same({nil, "ETIMEDOUT"}, {ok, code})
      assert.same({1, 3}, {pool:stats().blocked, pool:stats().cancelled})
      gate.open()
      assert.is_true((b:join()))
      pool:join()
      assert.same({1, "b"}, gate.began)
    end)
  end)

  it("keeps the task of a submitter that is cancelled when there is room already", function()
    with_pool({size = 1}, function(pool)
      local gate, f = new_gate(), nil
      local first = fill(pool, gate, 1)[1]
      local waiter = rl.go(function()
        f = pool:submit(gate.task, 2)
        rl.yield()
      end)
      settle()
      first:cancel()
      rl.yield() -- the worker ends, and the other task has its place
      waiter:cancel()
      is_cancelled(waiter)
      gate.open()
      assert.same({true, 2}, {f:join()})
    end)
  end)

  it("raises where a submitter cannot wait, and counts nothing", function()
    with_pool({size = 1}, function(pool)
      local gate = new_gate()
      fill(pool, gate, 1)
      H.raises_text("cannot park here", table.sort, {1, 2, 3}, function()
        pool:submit(nothing)
      end)
      assert.same({1, 0}, {pool:stats().submitted, pool:stats().blocked})
      gate.open()
    end)
  end)

  it("goes on with the cancellation that a caller is told of while it runs", function()
    with_pool({size = 1, overflow = "caller_runs"}, function(pool)
      local gate, f = new_gate(), nil
      fill(pool, gate, 1)
      local caller = rl.go(function()
        f = pool:submit(rl.sleep, 1000)
        return f
      end)
      settle()
      caller:cancel("enough")
      is_cancelled(caller)
      assert.is_nil(f)
      local ok, _, code = rl.timeout(0.001, pool.submit, pool, rl.sleep, 1000)
      assert.same({nil, "ETIMEDOUT"}, {ok, code})
      assert.equal(2, pool:stats().cancelled)
      -- but its own ends in its future
      local inner
      f = pool:submit(function()
        inner = rl.go(function() pool:close(0) end)
        rl.sleep(1000)
      end)
      inner:join()
      is_cancelled(f)
      rl.yield()
      pool:reopen()
    end)
  end)
end)

both("a pool's task that fails", function(it)
  it("fails its future, with the traceback, and nothing else", function()
    local told = {}
    rl.on_error(function(err, trace) told[#told + 1] = {err, trace} end)
    with_pool({size = 1, queue = 9}, function(pool)
      local function deep() error {code = 7} end
      local f = pool:submit(deep)
      local after = pool:submit(function() return "after" end)
      local ok, err, trace = f:join()
      assert.same({false, {code = 7}}, {ok, err})
      assert.truthy(trace:find(HERE, 1, true), trace)
      assert.equal(trace, f:traceback())
      assert.same({true, "after"}, {after:join()})
      assert.equal(1, pool:stats().failed)
      assert.equal(0, pool:running())
      assert.same({}, told)
      assert.equal(1, pool:stats().workers)
    end)
    rl.on_error(nil)
  end)

  it("is told of once: to whoever waits, else to on_error", function()
    local told = {}
    rl.on_error(function(err) told[#told + 1] = err end)
    with_pool({size = 2, queue = 9}, function(pool)
      pool:submit(error, "unheard", 0)
      settle()
      assert.same({"unheard"}, told)
      local f = pool:submit(error, "heard", 0)
      local ok, err = f:join()
      assert.same({false, "heard"}, {ok, err})
      pool:submit(error, "late", 0)
      settle()
      local g = pool:submit(error, nil)
      assert.is_false((g:join()))
    end)
    assert.same({"unheard", "late"}, told)
    rl.on_error(nil)
  end)

  it("is told of once to on_panic, which on_error then does not hear of", function()
    local told, panics = {}, {}
    rl.on_error(function(err) told[#told + 1] = err end)
    local function on_panic(err, trace, f)
      panics[#panics + 1] = err
      assert.truthy(trace:find("stack traceback", 1, true))
      assert.equal("failed", f:status())
      if err == "twice" then error("on_panic itself", 0) end
    end
    with_pool({size = 1, queue = 9, on_panic = on_panic}, function(pool)
      pool:submit(error, "a", 0)
      assert.is_false((pool:submit(error, "b", 0):join()))
      settle()
      assert.same({"a", "b"}, panics)
      assert.same({}, told)
      pool:submit(error, "twice", 0)
      settle()
      assert.same({"on_panic itself"}, told)
      assert.same({0, 3}, {pool:running(), pool:stats().failed})
    end)
    rl.on_error(nil)
  end)

  it("takes no worker with it, however it ends", function()
    rl.on_error(nothing)
    local ways = {
      function() error("x") end,
      function() error() end,
      function() string.rep("x", -1, {}) end,
      function() coroutine.yield(1) end,
      function() rl.self():cancel() rl.yield() end,
      function() for _ = 1, 200 do pcall(rl.self().cancel, rl.self()) pcall(rl.sleep, 1) end end,
      function() error(setmetatable({}, {__tostring = function() error "again" end})) end,
    }
    for overflow, size in pairs {block = 1, spawn = 1} do
      with_pool({size = size, overflow = overflow}, function(pool)
        local gate = new_gate()
        if overflow == "spawn" then fill(pool, gate, 1) end
        for i, way in ipairs(ways) do
          local ok, err = pool:submit(way):join()
          assert.is_false(ok, "way " .. i)
          assert.is_true(i == 2 or err ~= nil)
        end
        gate.open()
        pool:join()
        assert.equal(0, pool:running())
        assert.same({true, 1}, {pool:submit(function() return 1 end):join()})
        local s = pool:stats()
        assert.equal(#ways, s.failed + s.cancelled)
      end)
    end
    rl.on_error(nil)
  end)

  it("may fail its submitter, which runs it, and both are counted", function()
    local told = {}
    rl.on_error(function(err) told[#told + 1] = err end)
    with_pool({size = 1, overflow = "caller_runs"}, function(pool)
      local gate = new_gate()
      fill(pool, gate, 1)
      local caller = rl.go(function() pool:submit(coroutine.yield, 1) end)
      assert.is_false((caller:join()))
      assert.same({1, 0}, {pool:stats().failed, pool:stats().beside})
      gate.open()
    end)
    rl.on_error(nil)
    assert.equal(1, #told)
  end)
end)

both("a pool's task that is cancelled", function(it)
  it("never begins if it waited", function()
    with_pool({size = 1, queue = 9}, function(pool)
      local gate, futures = new_gate(), {}
      for i = 1, 5 do futures[i] = pool:submit(gate.task, i) end
      futures[1]:cancel("why") -- none has begun
      settle()
      futures[4]:cancel("why")
      local ok, err = futures[4]:join()
      assert.is_false(ok)
      assert.same({true, "why"}, {rl.is_cancel(err)})
      futures[4]:cancel() -- nothing more
      gate.open()
      pool:join()
      assert.same({2, 3, 5}, gate.began)
      assert.same({3, 2}, {pool:stats().done, pool:stats().cancelled})
    end)
  end)

  it("ends when it hears of it, if it runs, and is nobody's failure", function()
    local told = 0
    rl.on_error(function() told = told + 1 end)
    with_pool({size = 1, queue = 9, on_panic = function() told = told + 1 end}, function(pool)
      local gate = new_gate()
      local f = fill(pool, gate, 1)[1]
      local cleaned
      local g = pool:submit(function()
        local ok, err = pcall(gate.event.wait, gate.event)
        cleaned = rl.is_cancel(err)
        return ok
      end)
      f:cancel()
      is_cancelled(f)
      settle()
      g:cancel()
      assert.same({true, false}, {g:join()}) -- it returned for all that
      assert.is_true(cleaned)
      assert.same({1, 1, 0}, {pool:stats().done, pool:stats().cancelled, told})
    end)
    rl.on_error(nil)
  end)

  it("never begins if it is to run beside the pool", function()
    with_pool({size = 1, overflow = "spawn"}, function(pool)
      local gate = new_gate()
      fill(pool, gate, 1)
      local f, g = pool:submit(gate.task, 2), pool:submit(gate.task, 3)
      f:cancel()
      assert.equal("failed", f:status())
      settle()
      assert.same({1, 3}, gate.began)
      g:cancel()
      is_cancelled(g)
      assert.equal(0, pool:stats().beside)
      gate.open()
    end)
  end)

  it("leaves no heap of holes in the line", function()
    with_pool({size = 1, queue = math.huge}, function(pool)
      local gate = new_gate()
      fill(pool, gate, 2)
      for _ = 1, 5000 do pool:submit(nothing):cancel() end
      assert.same({1, 1, 0}, counts(pool))
      assert.is_true(#pool.line < 100, #pool.line .. " places")
      for i = 1, 200 do pool:submit(gate.task, i) end
      gate.open()
      pool:join()
      assert.equal(202, #gate.began)
    end)
  end)
end)

both("to a pool's task", function(it)
  it("nothing of another one is to be seen", function()
    rl.on_error(nothing)
    local leave = {
      function() rl.self():name "marked" end,
      function() rl.self():label("k", 1) end,
      function() rl.locals().x = 1 end,
      function() rl.scope(function(s) s:go(rl.yield) end) end,
      function() rl.timeout(1, rl.yield) end,
      function() rl.self():cancel() end, -- and does not hear of it
      function() rl.self():cancel() rl.yield() end,
      function() rl.self():name "x" error "y" end,
      function() rl.shield(rl.yield) end,
      function() local id = rl.self().id collectgarbage() return id end,
      function() pcall(error, {}) end,
    }
    with_pool({size = 1, queue = 99}, function(pool)
      local ids = {}
      for i = 1, #leave do
        pool:submit(leave[i]):join()
        local ok, name, label, x, id = pool:submit(function()
          local me = rl.self()
          rl.yield() -- raises if a cancellation is left
          return me:name(), me:label "k", rl.locals().x, me.id
        end):join()
        assert.is_true(ok, "after " .. i)
        assert.same({nil, nil, nil}, {name, label, x})
        assert.is_nil(ids[id], "an id was used twice")
        ids[id] = true
      end
    end)
    rl.on_error(nil)
  end)

  it("its arguments and results belong alone", function()
    with_pool({size = 1}, function(pool)
      local gone = setmetatable({}, {__mode = "v"})
      gone[1] = {}
      pool:submit(function(x) return {x} end, gone[1]):join()
      H.collect()
      assert.is_nil(gone[1])
    end)
  end)
end)

H.sim("a pool's waits", function(it)
  local function is_near(wanted, pool)
    local wait = pool:metrics().wait
    assert.is_true(math.abs(wait - wanted) < H.TICK, wait)
  end

  it("are those of what waits now, or of what began lately", function()
    with_pool({size = 1, queue = 9}, function(pool)
      local gate = new_gate()
      fill(pool, gate, 1)
      is_near(0, pool)
      local second = pool:submit(nothing)
      rl.sleep(1)
      local third = pool:submit(nothing)
      is_near(0.5, pool) -- 1 and 0
      rl.sleep(1)
      is_near(1.5, pool)
      third:cancel()
      is_near(2, pool)
      second:cancel()
      is_near(0, pool)
      pool:submit(nothing)
      rl.sleep(1)
      pool:submit(gate.task, 2)
      gate.open() -- the first ends after 1 s, the other after none
      settle()
      is_near(0, pool)
      gate.event:clear()
      fill(pool, gate, 2)
      is_near(0.5, pool) -- what began lately, because one waits
      rl.sleep(3)
      is_near(3, pool)
      gate.open()
    end)
  end)

  it("are over when nothing waits, whatever ended them", function()
    for _, overflow in ipairs {"block", "drop_oldest"} do
      with_pool({size = 1, queue = 1, overflow = overflow}, function(pool)
        local gate = new_gate()
        fill(pool, gate, 2)
        local waiter = rl.go(function() pool:submit(nothing) end)
        settle()
        assert.equal(overflow == "block" and 2 or 1, pool:waiting())
        waiter:cancel()
        settle()
        assert.equal(1, pool.waiters)
        rl.go(function() pool:submit(nothing) end)
        settle()
        pool:close(0)
        settle()
        assert.same({0, 0}, {pool.waiters, pool.since_sum})
      end)
    end
  end)
end)

H.sim("a pool's admission", function(it)
  -- An admission of which every call and result is noted.
  local function recorder(refuses)
    local log = {}
    return {log = log, allow = function()
      if refuses and refuses() then
        return nil, "EOPEN: no", "EOPEN", 7
      end
      return function(ok, err, code)
        log[#log + 1] = ("%s %s %s"):format(tostring(ok), tostring(err), tostring(code))
      end
    end}
  end

  it("is asked before each task, and may refuse it", function()
    local no = false
    local guard = recorder(function() return no end)
    with_pool({size = 1, admission = guard}, function(pool)
      assert.is_true((pool:submit(nothing):join()))
      no = true
      assert.same({nil, "EOPEN: no", "EOPEN", 7}, {pool:submit(nothing)})
      assert.same({"true nil nil"}, guard.log)
      assert.equal(1, pool:stats().rejected)
    end)
  end)

  it("is told once what came of each, wherever it ended", function()
    rl.on_error(nothing)
    local guard = recorder()
    local function told(...)
      settle()
      table.sort(guard.log)
      assert.same({...}, guard.log)
      for i = #guard.log, 1, -1 do guard.log[i] = nil end
    end
    with_pool({size = 1, queue = 1, overflow = "drop_oldest", admission = guard}, function(pool)
      pool:submit(function() return nil, "EX: x", "EX" end):join()
      told("false EX: x EX")
      pool:submit(error, "boom", 0):join()
      told("false boom nil")
      pool:submit(coroutine.yield):join()
      assert.equal(1, #guard.log)
      guard.log[1] = nil
      local gate = new_gate()
      local first = pool:submit(gate.task, 1)
      pool:submit(gate.task, 2)
      local third = pool:submit(gate.task, 3)
      told("nil nil nil") -- dropped
      third:cancel()
      told("nil nil nil")
      settle()
      first:cancel()
      settle()
      assert.is_truthy(guard.log[1]:find "^nil cancelled")
      guard.log[1] = nil
      fill(pool, gate, 2)
      pool:close(0)
      settle()
      assert.equal(2, #guard.log)
    end)
    for _, overflow in ipairs {"reject", "block", "spawn", "caller_runs"} do
      guard = recorder()
      with_pool({size = 1, overflow = overflow, admission = guard}, function(pool)
        local gate = new_gate()
        fill(pool, gate, 1)
        if overflow == "block" or overflow == "caller_runs" then
          pcall(table.sort, {1, 2, 3}, function() pool:submit(nothing) end)
          told("nil nil nil")
        end
        local f
        local submitter = rl.go(function() f = pool:submit(nothing) end)
        settle()
        if overflow == "block" then
          submitter:cancel()
          settle()
          rl.go(function() f = pool:submit(nothing) end)
          settle()
          pool:close()
          settle()
          assert.is_nil(f)
          told("nil nil nil", "nil nil nil")
        else
          told(overflow == "reject" and "nil nil nil" or "true nil nil")
        end
        gate.open()
      end)
    end
    rl.on_error(nil)
  end)

  it("is told of a task that is lost, once", function()
    rl.on_error(nothing)
    local guard = recorder()
    with_pool({size = 1, heartbeat = 1, admission = guard}, function(pool)
      pool:submit(function() pcall(rl.sleep, 9) end):join()
      settle()
      assert.equal(1, #guard.log)
      assert.is_truthy(guard.log[1]:find("^false ELOST"))
    end)
    rl.on_error(nil)
  end)

  it("goes by the pool's usage and waits", function()
    local told = {}
    local options = {half_open_calls = 1, every = 0, on_change = function(_, to, why)
      told[#told + 1] = to .. ": " .. why
    end}
    with_pool({size = 10, queue = 9, name = "db", admission = options}, function(pool)
      local gate = new_gate()
      fill(pool, gate, 8)
      assert(pool:submit(gate.task, 9)) -- 80 % were in use
      assert(pool:submit(gate.task, 10)) -- 90 %: one at a time
      is_refused("EOVERLOAD", pool:submit(gate.task, 11))
      assert.same({"half-open: 90 % in use"}, told)
      gate.open()
      pool:join()
      pool:pause()
      gate = new_gate()
      assert(pool:submit(gate.task, 12))
      pool:resume()
      settle()
      assert.equal("closed: no limit is exceeded", told[2])
      gate.open()
    end)
  end)

  it("lets nobody in while tasks wait for 300 ms, and again when none does", function()
    with_pool({size = 1, queue = 9, admission = {usage = false, every = 0}}, function(pool)
      local gate = new_gate()
      fill(pool, gate, 2)
      rl.sleep(0.299)
      assert(pool:submit(gate.task, 3))
      rl.sleep(0.2)
      local _, msg, code = pool:submit(gate.task, 4)
      assert.same({"EOVERLOAD: 'pool' lets nobody in: the wait is too long", "EOVERLOAD"},
        {msg, code})
      gate.open()
      pool:join()
      assert(pool:submit(nothing))
    end)
  end)

  it("is all of the rules with true, and opens by failures", function()
    rl.on_error(nothing)
    with_pool({size = 100, admission = true}, function(pool)
      for i = 1, 20 do pool:submit(i > 13 and error or nothing):join() end
      is_refused("EOPEN", pool:submit(nothing))
      rl.sleep(60)
      assert(pool:submit(nothing))
    end)
    rl.on_error(nil)
    H.raises_text("unknown option 'sise'", rl.pool, {size = 1, admission = {sise = 1}})
  end)
end)
