-- SPDX-License-Identifier: MIT
-- rl.pool with scope = "shared": permits on all shards, what waits, overflow, ends.
local H = require "spec.helper"
local rl = require "ringlet"
local shared = require "ringlet.shared"

local ONE, TWO, FOUR = {shards = 1}, {shards = 2}, {shards = 4}
-- A stalled task is preempted, and others come first: not where the order of tasks is looked at.
local ONE_IN_ORDER, TWO_IN_ORDER = {shards = 1, preempt = false}, {shards = 2, preempt = false}
local FULL = {nil, "EOVERLOAD: the pool is full", "EOVERLOAD"}
local CLOSED = {nil, "ECLOSED: the pool was closed", "ECLOSED"}
local BOUNDLESS = math.huge
local LONG = 30 -- seconds for what ends soon when nothing is in its way

local function new(opts)
  local all = {scope = "shared", size = 2}
  for k, v in pairs(opts or {}) do all[k] = v end
  return rl.pool(all)
end

-- A job that waits until the gate is not 0.
local function hold(gate, ...)
  gate:wait(0)
  return ...
end

-- Submit n tasks that hold, and let them begin.
local function fill(pool, gate, n)
  local futures = {}
  for i = 1, n do futures[i] = assert(pool:submit(hold, gate, i)) end
  return futures
end

local function sizes(pool)
  return {pool:running(), pool:free(), pool:waiting(), pool:capacity()}
end

-- All permits are there: as many tasks as the pool has room for run at a time, and then as many
-- wait as its queue has places. A permit may be on its way to a shard that has given up waiting for
-- it, and comes back.
local function is_whole(pool, queue)
  local size, gate = pool:capacity(), shared.atomic()
  assert.is_true(pool:join(LONG))
  assert.same({0, size, 0, size}, sizes(pool))
  local futures = fill(pool, gate, size)
  H.eventually("all permits are taken", function() return pool:running() == size end)
  assert.same({size, 0, 0, size}, sizes(pool))
  for _ = 1, queue or 0 do
    local ok, f = rl.timeout(LONG, pool.submit, pool, hold, gate)
    assert.is_truthy(ok and f)
  end
  assert.same({size, 0, queue or 0, size}, sizes(pool))
  assert.equal(0, pool:stats().blocked)
  gate:store(1)
  for _, f in ipairs(futures) do assert.is_true((f:join())) end
  assert.is_true(pool:join(LONG))
  assert.same({0, size, 0, size}, sizes(pool))
end

-- A count of what is inside, and the most that ever were.
local function meter()
  return {inside = shared.atomic(), most = shared.atomic(), calls = shared.atomic()}
end

local function pass(m, how)
  local n = m.inside:add(1)
  local most = m.most:load()
  while n > most and not m.most:cas(most, n) do most = m.most:load() end
  local ok, err = pcall(how == 2 and rl.sleep or rl.yield, 0.001)
  m.inside:sub(1)
  if not ok then error(err, 0) end
  return m.calls:add(1)
end

H.both("a shared pool", function(it)
  for _, shards in ipairs {1, 2, 4} do
    it(("runs each task once, never more than its size (%d shards)"):format(shards), function()
      local pool, m, rounds = new {size = 3, queue = 50}, meter(), H.rounds(2500, 25)
      local futures = {}
      for i = 1, 4 do
        futures[i] = rl.spawn_on((i - 1) % shards + 1, function()
          for n = 1, rounds do assert(pool:submit(pass, m, n % 3)) end
          return pool:join()
        end)
      end
      for i = 1, 4 do assert.same({true, true}, {futures[i]:join()}) end
      assert.equal(4 * rounds, m.calls:load())
      assert.is_true(m.most:load() <= 3, "at a time: " .. m.most:load())
      is_whole(pool)
      local stats = pool:stats()
      assert.same({4 * rounds + 3, 4 * rounds + 3, 0, 0, 0, 0},
        {stats.submitted, stats.done, stats.failed, stats.queued, stats.running, stats.blocked})
    end, {shards = shards, timeout = 90})
  end

  it("gives results", function()
    local pool, futures = new {size = 4, queue = BOUNDLESS}, {}
    for i = 1, 200 do
      futures[i] = pool:submit(function(a, b, ...)
        rl.yield()
        return a + b, select("#", ...)
      end, i, 1, nil, nil)
    end
    for i = 1, 200 do
      assert.same({true, i + 1, 2}, {futures[i]:join()})
    end
    is_whole(pool)
  end, TWO)

  it("tells what it has, the same on every shard", function()
    local pool, gate = new {name = "mail", queue = 5}, shared.atomic()
    assert.same({0, 2, 0, 2}, sizes(pool))
    fill(pool, gate, 3)
    assert.is_true((rl.spawn_on(2, function() pool:submit(hold, gate) end):join()))
    for shard = 1, 2 do
      local _, got, text = rl.spawn_on(shard, function() return sizes(pool), tostring(pool) end)
        :join()
      assert.same({2, 0, 2, 2}, got)
      assert.equal("ringlet.pool: mail, shared, 2 of 2 running, 2 waiting", text)
    end
    assert.same({active = 1, queue = 2}, pool:metrics())
    assert.equal(2, pool:size())
    gate:store(1)
    assert.is_true(pool:join())
    is_whole(pool)
  end, TWO)

  it("is one pool wherever it goes", function()
    local pool, other = new(), new()
    local ok, back = rl.spawn_on(2, function() return pool end):join()
    assert.is_true(ok)
    assert.is_true(back == pool)
    assert.is_false(other == pool)
    local _, wrapped = rl.spawn_on(2, function() return {new_pool = rl.pool {
      scope = "shared", size = 7, name = "theirs",
    }} end):join()
    assert.equal(7, wrapped.new_pool:capacity())
    is_whole(wrapped.new_pool)
  end, TWO)

  it("with a function takes arguments alone", function()
    local pool = new {fn = function(...) return select("#", ...), ... end}
    assert.same({true, 0}, {pool:submit():join()})
    assert.same({true, 2, nil, "x"}, {pool:submit(nil, "x"):join()})
    local ok, f = rl.spawn_on(2, function() return (select(3, pool:submit(1, 2):join())) end):join()
    assert.same({true, 1}, {ok, f})
    is_whole(pool)
  end, TWO)

  it("without a limit runs whatever comes", function()
    local pool, gate = new {size = -1}, shared.atomic()
    assert.same({0, -1, 0, -1}, sizes(pool))
    local futures = fill(pool, gate, 50)
    assert.same({50, -1, 0, -1}, sizes(pool))
    assert.is_false(pool:resize(3))
    assert.equal("ringlet.pool: pool, shared, 50 of any number running, 0 waiting", tostring(pool))
    gate:store(1)
    for _, f in ipairs(futures) do assert.is_true((f:join())) end
    assert.is_true(pool:join())
    assert.equal(0, pool:running())
  end, TWO)

  it("lets a task submit others", function()
    local pool = new {size = 1, queue = BOUNDLESS}
    local ok, f = pool:submit(function()
      pool:submit(function() return 2 end)
      return 1
    end):join()
    assert.same({true, 1}, {ok, f})
    is_whole(pool)
  end, TWO)
end)

H.on("uring", "the tasks of a shared pool", function(it)
  it("are stolen by shards that have nothing to do", function()
    local pool, where = new {queue = 2}, shared.atomic()
    for _ = 1, 4 do
      pool:submit(function() where:store(rl.shard()) end)
    end
    local due = rl.now() + 30
    while where:load() == 0 and rl.now() < due do end -- this shard has
    assert.equal(2, where:load())
    is_whole(pool)
  end, TWO_IN_ORDER)
end)

H.both("a shared pool that is full", function(it)
  -- Its size, its queue and, with "block", as many submitters as `max_blocking` are the boundary.
  local function filled(opts)
    local pool, gate = new(opts), shared.atomic()
    local futures = fill(pool, gate, pool:capacity() + (opts.queue or 0))
    return pool, gate, futures
  end

  it("rejects", function()
    local pool, gate = filled {overflow = "reject", queue = 3}
    assert.same({2, 0, 3, 2}, sizes(pool))
    assert.same(FULL, {pool:submit(print)})
    assert.same(FULL, {select(2, rl.spawn_on(2, function() return pool:submit(print) end):join())})
    assert.equal(2, pool:stats().rejected)
    gate:store(1)
    is_whole(pool)
    assert.is_true((pool:submit(hold, gate):join()))
    is_whole(pool)
  end, TWO)

  it("blocks, as many submitters as it may, and lets them in in the order of coming", function()
    for _, queue in ipairs {0, 2} do
      local pool, gate = filled {queue = queue, max_blocking = 3}
      local log, tasks = {}, {}
      for i = 1, 3 do
        tasks[i] = rl.go(function()
          local f = assert(pool:submit(hold, gate, i))
          log[#log + 1] = i
          return select(2, f:join())
        end)
        H.eventually("it is blocked", function() return pool:stats().blocked == i end)
      end
      assert.same({2, 0, queue + 3, 2}, sizes(pool))
      assert.equal(3, pool:stats().blocked)
      assert.same(FULL, {pool:submit(print)})
      assert.same({}, log)
      gate:store(1)
      for i = 1, 3 do assert.same({true, i}, {tasks[i]:join()}) end
      assert.same({1, 2, 3}, log)
      is_whole(pool)
    end
  end, TWO_IN_ORDER)

  it("bounds the queue and who waits over all shards", function()
    local pool, gate = filled {queue = 2, max_blocking = 2}
    local calls, futures = shared.atomic(), {}
    for i = 1, 4 do
      futures[i] = rl.spawn_on(i, function()
        local f, _, code = pool:submit(function() return calls:add(1) end)
        if not f then return code end
        return (f:join())
      end)
    end
    H.eventually("two refusals", function() return pool:stats().rejected == 2 end)
    assert.same({2, 0, 4, 2}, sizes(pool))
    gate:store(1)
    local codes = {}
    for i = 1, 4 do
      local _, code = futures[i]:join()
      codes[tostring(code)] = (codes[tostring(code)] or 0) + 1
    end
    assert.same({EOVERLOAD = 2, ["true"] = 2}, codes)
    assert.equal(2, calls:load())
    is_whole(pool)
  end, FOUR)

  it("runs tasks beside itself", function()
    local pool, gate, futures = filled {overflow = "spawn", queue = 1}
    local more = fill(pool, gate, 2)
    assert.same({2, 0, 1, 2}, sizes(pool))
    assert.equal(2, pool:stats().spawned)
    more[2]:cancel()
    assert.is_true(rl.is_cancel((select(2, more[2]:join()))))
    assert.same({nil, "ETIMEDOUT"}, {(pool:join(0)), (select(3, pool:join(0)))})
    gate:store(1)
    assert.same({true, 1}, {more[1]:join()})
    assert.same({true, 3}, {futures[3]:join()})
    is_whole(pool)
  end, TWO)

  it("has callers run them, with copies too", function()
    local pool, gate = filled {overflow = "caller_runs", size = 1}
    local list, own = {}, rl.self()
    local f = pool:submit(function(t)
      t[1] = rl.self().id
      return t
    end, list)
    assert.same({}, list)
    assert.same({true, {own.id}}, {f:join()})
    assert.equal(1, pool:stats().caller_ran)
    local err = {}
    rl.on_error(function(e) err[#err + 1] = e end)
    f = pool:submit(error, "broken", 0)
    assert.same({false, "broken"}, {(f:join()), (select(2, f:join()))})
    assert.same({"broken"}, err)
    rl.on_error(nil)
    f = nil
    local task = rl.go(function()
      local begun = shared.chan(1)
      rl.go(function()
        begun:recv()
        pool:close(0)
      end)
      f = pool:submit(function()
        begun:send(1)
        rl.sleep(1000)
      end)
      rl.sleep(0.001)
      return "not cancelled"
    end)
    assert.same({true, "not cancelled"}, {task:join()})
    assert.is_true(rl.is_cancel((select(2, f:join()))))
    pool:reopen()
    gate:store(1)
    is_whole(pool)
  end, TWO)

  it("drops the oldest that waits here", function()
    local pool, gate, futures = filled {overflow = "drop_oldest", queue = 2}
    local f = pool:submit(hold, gate, "new")
    local ok, err = futures[3]:join()
    assert.is_false(ok)
    assert.equal("EOVERLOAD", rl.code(err))
    assert.equal("EOVERLOAD: dropped for a later task, the pool is full", tostring(err))
    assert.same({2, 0, 2, 2}, sizes(pool))
    assert.same(FULL, {select(2, rl.spawn_on(2, function() return pool:submit(print) end):join())})
    gate:store(1)
    assert.same({true, "new"}, {f:join()})
    assert.same({true, 4}, {futures[4]:join()})
    assert.equal(1, pool:stats().dropped)
    is_whole(pool)
  end, TWO)

  it("lets go of submitters that give up", function()
    for _, queue in ipairs {0, 1} do
      local pool, gate = filled {queue = queue}
      assert.same({nil, "ETIMEDOUT"}, {(rl.timeout(0.01, pool.submit, pool, print)),
        (select(3, rl.timeout(0.01, pool.submit, pool, print)))})
      assert.equal(0, pool:stats().blocked)
      local waiting = rl.go(pool.submit, pool, print)
      rl.yield()
      waiting:cancel()
      waiting:join()
      assert.same({2, 0, queue, 2}, sizes(pool))
      gate:store(1)
      is_whole(pool, queue)
    end
  end, TWO)

  it("leaves nobody waiting for submitters that gave up", function()
    local pool = new {queue = 0}
    pool:pause()
    assert.is_nil((rl.timeout(0.01, pool.submit, pool, print)))
    assert.same({0, 2, 0, 2}, sizes(pool))
    H.eventually("nobody waits", function()
      local stats = rl.stats()
      return stats.daemons + 1 == stats.tasks
    end)
  end, ONE)

  it("is no place for a submitter that was cancelled before", function()
    local pool, gate = filled {queue = 1}
    local task
    task = rl.go(function()
      task:cancel()
      pool:submit(print)
    end)
    assert.is_true(rl.is_cancel((select(2, task:join()))))
    assert.same({2, 0, 1, 2}, sizes(pool))
    gate:store(1)
    is_whole(pool)
  end, ONE)
end)

H.both("tasks of a shared pool", function(it)
  it("that are cancelled while they wait never begin", function()
    local pool, gate, calls = new {queue = 3}, shared.atomic(), shared.atomic()
    fill(pool, gate, 2)
    local waiting = {}
    for i = 1, 3 do waiting[i] = pool:submit(function() return calls:add(1) end) end
    waiting[2]:cancel("why")
    local _, err = waiting[2]:join()
    assert.same({true, "why"}, {rl.is_cancel(err)})
    assert.same({2, 0, 2, 2}, sizes(pool))
    waiting[2]:cancel()
    waiting[1]:cancel()
    waiting[3]:cancel()
    assert.same({2, 0, 0, 2}, sizes(pool))
    gate:store(1)
    is_whole(pool, 3)
    assert.equal(0, calls:load())
    assert.equal(3, pool:stats().cancelled)
  end, TWO)

  it("that are cancelled while they run are, and give their permits back", function()
    local pool, gate = new(), shared.atomic()
    local futures = fill(pool, gate, 2)
    H.eventually("both", function() return pool:running() == 2 end)
    rl.sleep(0.01)
    for i = 1, 2 do
      futures[i]:cancel("enough")
      assert.same({true, "enough"}, {rl.is_cancel((select(2, futures[i]:join())))})
    end
    assert.equal(2, pool:stats().cancelled)
    is_whole(pool)
  end, TWO)

  it("that were submitted and not begun are revoked", function()
    local pool = new()
    local futures = {pool:submit(print), pool:submit(print)}
    for i = 1, 2 do
      futures[i]:cancel()
      assert.equal("failed", futures[i]:status())
    end
    assert.same({0, 2, 0, 2}, sizes(pool))
    is_whole(pool)
  end, ONE_IN_ORDER)

  it("that are cancelled at any point leave all permits", function()
    local pool, m = new {queue = 4, overflow = "reject"}, meter()
    for round = 1, H.rounds(300, 10) do
      local futures = {}
      for i = 1, 6 do futures[i] = pool:submit(pass, m, i % 3) end
      for _ = 1, round % 7 do rl.yield() end
      for i = 1, 6 do
        if (round + i) % 3 > 0 and futures[i] then futures[i]:cancel() end
      end
      assert.is_true(pool:join(LONG))
    end
    is_whole(pool, 4)
  end, {shards = 2, timeout = 90})

  it("are futures that can be waited for from the beginning to the end", function()
    local pool, gate = new {size = 1, queue = 2}, shared.atomic()
    local futures, tasks = fill(pool, gate, 3), {}
    for i, f in ipairs(futures) do
      tasks[i] = rl.go(f.join, f)
      tasks[3 + i] = rl.go(rl.select, {{f}})
    end
    rl.yield()
    assert.same({nil, "ETIMEDOUT"}, {(futures[3]:join(0.001)), (select(3, futures[3]:join(0)))})
    assert.equal("pending", futures[3]:status())
    gate:store(1)
    for i = 1, 3 do
      assert.same({true, true, i}, {tasks[i]:join()})
      assert.same({true, 1, true, i}, {tasks[3 + i]:join()})
    end
    is_whole(pool)
  end, TWO)

  it("that fail give their errors, and take nothing with them", function()
    local pool, told = new {size = 1, queue = 9}, {}
    rl.on_error(function(err, trace) told[#told + 1] = {err.n, trace} end)
    local futures = {}
    for i = 1, 4 do futures[i] = pool:submit(function(n) error {n = n} end, i) end
    local ok, err, trace = futures[4]:join()
    assert.same({false, {n = 4}}, {ok, err})
    assert.truthy(trace:find("pool_shared_spec.lua", 1, true))
    assert.is_true(pool:join())
    for i = 1, 3 do
      assert.equal(i, told[i][1])
      assert.truthy(told[i][2]:find("pool_shared_spec.lua", 1, true))
    end
    assert.equal(3, #told)
    rl.on_error(nil)
    assert.equal(4, pool:stats().failed)
    is_whole(pool)
  end, TWO)

  it("that fail are told to on_panic, once each, where they were submitted", function()
    local log, far = {}, shared.chan(10)
    local pool = new {queue = 9, on_panic = function(err, trace, f)
      log[#log + 1] = {err, type(trace), f:status()}
      far:try_send(rl.shard())
    end}
    for i = 1, 3 do pool:submit(error, i, 0) end
    pool:submit(rl.sleep, 9):cancel()
    assert.is_true(pool:join())
    table.sort(log, function(a, b) return a[1] < b[1] end)
    assert.same({{1, "string", "failed"}, {2, "string", "failed"}, {3, "string", "failed"}}, log)
    assert.is_true((rl.spawn_on(2, function()
      pool:submit(error, 4, 0)
      pool:join()
    end):join()))
    assert.same({1, 1, 1, 2}, {far:recv(), far:recv(), far:recv(), far:recv()})
    assert.equal(3, #log)
    assert.equal(4, pool:stats().failed)
    is_whole(pool)
  end, TWO)

  it("that cannot travel are refused where they are submitted", function()
    local pool, gate = new {size = 1, queue = 1}, shared.atomic()
    for _ = 1, 2 do
      local err = H.raises_text("job.args[2].x is a coroutine",
        pool.submit, pool, print, 1, {x = coroutine.create(print)})
      assert.truthy(tostring(err))
      fill(pool, gate, 1)
    end
    assert.same({1, 0, 1, 1}, sizes(pool))
    gate:store(1)
    is_whole(pool)
  end, ONE)
end)

H.both("a shared pool's controls", function(it)
  it("pause and resume it on all shards", function()
    local pool, m = new {queue = 4}, meter()
    assert.is_true(pool:pause())
    assert.is_false(pool:pause())
    local futures = {}
    for i = 1, 4 do
      futures[i] = rl.spawn_on(i % 2 + 1, function() return (pool:submit(pass, m, 1):join()) end)
    end
    H.eventually("four that wait", function() return pool:waiting() == 4 end)
    rl.sleep(0.01)
    assert.same({0, 2, 4, 2}, sizes(pool))
    assert.truthy(tostring(pool):find "paused$")
    assert.is_true((select(2, rl.spawn_on(2, function() return pool:resume() end):join())))
    assert.is_false(pool:resume())
    for i = 1, 4 do assert.same({true, true}, {futures[i]:join()}) end
    is_whole(pool)
  end, TWO)

  it("pause it while tasks wait for permits", function()
    local pool, gate, begun = new {size = 1, queue = 2}, shared.atomic(), shared.atomic()
    local futures = {}
    for i = 1, 3 do
      futures[i] = pool:submit(function()
        begun:add(1)
        gate:wait(0)
      end)
    end
    H.eventually("the first", function() return begun:load() == 1 end)
    pool:pause()
    gate:store(1)
    assert.is_true((futures[1]:join()))
    H.eventually("its end", function() return pool:running() == 0 end)
    rl.sleep(0.01)
    assert.equal(1, begun:load())
    assert.same({0, 1, 2, 1}, sizes(pool))
    futures[2]:cancel()
    futures[3]:cancel()
    assert.same({0, 1, 0, 1}, sizes(pool))
    pool:resume()
    is_whole(pool)
  end, TWO)

  it("resize it: more begin at once, fewer when tasks have ended", function()
    local pool, gate, later = new {size = 2, queue = 20}, shared.atomic(), shared.atomic()
    local first = fill(pool, gate, 2)
    fill(pool, later, 8)
    local function becomes(n)
      H.eventually(n .. " that run", function() return pool:running() == n end)
      rl.sleep(0.01)
    end
    assert.is_true(pool:resize(3))
    becomes(3)
    assert.same({3, 0, 7, 3}, sizes(pool))
    assert.is_true((select(2, rl.spawn_on(2, function() return pool:resize(8) end):join())))
    becomes(8)
    assert.same({8, 0, 2, 8}, sizes(pool))
    assert.is_true(pool:resize(6))
    assert.same({8, 0, 2, 6}, sizes(pool))
    gate:store(1)
    for i = 1, 2 do assert.is_true((first[i]:join())) end
    becomes(6)
    assert.same({6, 0, 2, 6}, sizes(pool))
    for _, n in ipairs {0, -1, 2 ^ 40} do assert.is_false(pool:resize(n)) end
    later:store(1)
    is_whole(pool)
    pool:resize(1)
    is_whole(pool, 20)
    pool:resize(4)
    is_whole(pool, 20)
  end, TWO)

  it("resize it from all sides", function()
    local pool, m, futures = new {size = 4, queue = BOUNDLESS}, meter(), {}
    for i = 1, 3 do
      futures[i] = rl.spawn_on(i, function()
        for n = 1, 200 do
          pool:resize((n * i) % 7 + 1)
          pool:submit(pass, m, n % 2)
        end
      end)
    end
    for i = 1, 3 do assert.is_true((futures[i]:join())) end
    assert.is_true(pool:join(LONG))
    assert.is_true(m.most:load() <= 7)
    pool:resize(5)
    is_whole(pool)
  end, {shards = 3, timeout = 90})

  it("close it: all shards refuse, who waits for room fails, what was accepted runs", function()
    local pool, gate, done = new {size = 1, queue = 1}, shared.atomic(), shared.atomic()
    local futures, blocked = fill(pool, gate, 2), {}
    for i = 1, 2 do
      blocked[i] = rl.spawn_on(i, function()
        local f, _, code = pool:submit(print)
        done:add(1)
        return f, code
      end)
    end
    H.eventually("two that are blocked", function() return pool:stats().blocked == 2 end)
    assert.is_true((select(2, rl.spawn_on(2, function() return pool:close() end):join())))
    for i = 1, 2 do assert.same({n = 3, true, nil, "ECLOSED"}, H.pack(blocked[i]:join())) end
    assert.same(CLOSED, {pool:submit(print)})
    assert.truthy(tostring(pool):find "closed$")
    assert.is_true(pool:close())
    assert.same({1, 0, 1, 1}, sizes(pool))
    gate:store(1)
    assert.is_true(pool:close(LONG))
    for i = 1, 2 do assert.same({true, i}, {futures[i]:join()}) end
    assert.is_true(pool:reopen())
    assert.is_false(pool:reopen())
    is_whole(pool)
  end, TWO)

  it("close it with a grace that is over: all shards' tasks end", function()
    local pool, gate = new {size = 2, queue = 4}, shared.atomic()
    local futures = {}
    for i = 1, 2 do
      futures[i] = rl.spawn_on(i, function()
        local list, out = {}, {}
        for n = 1, 3 do list[n] = pool:submit(hold, gate) end
        for n = 1, 3 do
          local ok, err = list[n]:join()
          out[n] = ok and "ended" or rl.is_cancel(err) and "cancelled" or rl.code(err)
        end
        table.sort(out)
        return table.concat(out, " ")
      end)
    end
    H.eventually("all six", function() return pool:waiting() == 4 and pool:running() == 2 end)
    assert.same({nil, "ETIMEDOUT: timed out", "ETIMEDOUT"}, {pool:close(0.01)})
    local all = {}
    for i = 1, 2 do
      for word in select(2, futures[i]:join()):gmatch "%S+" do all[word] = (all[word] or 0) + 1 end
    end
    assert.same({ECLOSED = 4, cancelled = 2}, all)
    assert.is_true(pool:close(LONG))
    pool:reopen()
    is_whole(pool)
  end, TWO)

  it("close it while it is paused: what waits still runs", function()
    local pool = new {queue = 2}
    pool:pause()
    local f = pool:submit(function() return "ran" end)
    assert.is_true(pool:close(LONG))
    assert.same({true, "ran"}, {f:join()})
    pool:reopen()
    is_whole(pool)
  end, ONE)

  it("wait for it", function()
    local pool, gate = new {queue = 2}, shared.atomic()
    assert.is_true(pool:join())
    assert.is_true(pool:join(0))
    fill(pool, gate, 4)
    assert.same({nil, "ETIMEDOUT: timed out", "ETIMEDOUT"}, {pool:join(0.01)})
    local waiting = rl.spawn_on(2, function() return pool:join() end)
    gate:store(1)
    assert.same({true, true}, {waiting:join()})
    is_whole(pool)
  end, TWO)
end)

H.sim("time in the queue of a shared pool", function(it)
  it("is counted", function()
    local pool = new {size = 1, queue = 2}
    for _ = 1, 3 do pool:submit(rl.sleep, 1) end
    assert.is_true(pool:join())
    local stats = pool:stats()
    assert.is_true(math.abs(stats.wait_max - 2) < H.TICK, stats.wait_max)
    assert.is_true(math.abs(stats.wait_mean - 1.5) < H.TICK, stats.wait_mean)
  end, TWO)
end)

-- Random submissions, cancellations, sizes, pauses and closings by every shard. Whatever they do,
-- each task that began has ended, none began twice, and all permits are there in the end.
local function act(pool, m, seed, steps)
  local futures, begun = {}, 0
  local function random(n)
    seed = seed * 16807 % 2147483647
    return seed % n + 1
  end
  for _ = 1, steps do
    local what = random(20)
    if what <= 11 then
      local f = select(2, rl.timeout(0.005, pool.submit, pool, pass, m, random(3)))
      if type(f) == "table" then
        futures[#futures + 1], begun = f, begun + 1
      end
    elseif what <= 14 and #futures > 0 then
      futures[random(#futures)]:cancel()
    elseif what == 15 then
      pool:resize(random(4))
    elseif what == 16 then
      pool:pause()
      rl.yield()
      pool:resume()
    elseif what == 17 then
      pool:close(random(3) == 1 and 0.002 or nil)
      pool:reopen()
    else
      rl.yield()
    end
  end
  pool:resume()
  local ended = 0
  for _, f in ipairs(futures) do
    local ok, err = f:join(LONG)
    if ok == nil then error "a task was lost" end
    if not ok and not rl.is_cancel(err) and not rl.code(err) then error(err, 0) end
    ended = ended + 1
  end
  return ended
end

H.both("random programs of a shared pool", function(it)
  for _, overflow in ipairs {"block", "reject", "spawn", "caller_runs", "drop_oldest"} do
    for _, shards in ipairs {1, 2, 4} do
      it(("leave all permits (%s, %d shards)"):format(overflow, shards), function()
        for round = 1, H.rounds(6, 1) do
          local pool, m = new {size = 2, queue = 3, overflow = overflow}, meter()
          local futures = {}
          for i = 1, shards do
            futures[i] = rl.spawn_on(i, act, pool, m, round * 100 + i, 60)
          end
          for i = 1, shards do
            local ok, err = futures[i]:join()
            assert.is_true(ok, ("seed %d: %s"):format(round * 100 + i, tostring(err)))
          end
          assert.is_true(pool:join(LONG), "round " .. round)
          assert.is_true(overflow == "spawn" or overflow == "caller_runs" or m.most:load() <= 4)
          pool:resume()
          pool:resize(3)
          is_whole(pool, 3)
        end
      end, {shards = shards, timeout = 90})
    end
  end
end)

describe("a shared pool and runs", function()
  local function in_run(fn, shards)
    return H.run(fn, {shards = shards or 2})
  end

  it("keeps run alive for what was accepted", function()
    local calls = shared.atomic()
    in_run(function()
      local pool = new {size = 1, queue = 5}
      for _ = 1, 4 do
        pool:submit(function()
          rl.sleep(0.001)
          calls:add(1)
        end)
      end
    end)
    assert.equal(4, calls:load())
  end)

  it("outlives them, with its counters", function()
    local pool = new {size = 2, queue = 2}
    assert.is_true(pool:resize(3))
    for round = 1, 3 do
      for _, shards in ipairs {1, 3} do
        in_run(function() is_whole(pool) end, shards)
      end
      assert.equal(6 * round, pool:stats().done)
    end
    pool:close()
    in_run(function() assert.same(CLOSED, {pool:submit(print)}) end)
    assert.is_true(pool:reopen())
    in_run(function() is_whole(pool) end)
  end)

  it("settles what waits when main fails, and is whole for the next", function()
    for shards = 1, 3 do
      local pool, futures, calls = new {size = 1, queue = 5}, {}, shared.atomic()
      local waiting
      H.raises_text("enough", in_run, function()
        futures[1] = pool:submit(rl.sleep, 100)
        for i = 2, 6 do futures[i] = pool:submit(function() calls:add(1) end) end
        waiting = rl.go(pool.submit, pool, print)
        rl.sleep(0.01)
        error("enough")
      end, shards)
      for i = 1, 6 do
        assert.equal("failed", futures[i]:status(), i)
        assert.is_true(rl.is_cancel((select(2, futures[i]:join()))), i)
      end
      assert.equal("failed", waiting:status())
      assert.equal(0, calls:load())
      in_run(function() is_whole(pool) end, shards)
    end
  end)

  it("is whole after a run that was stuck", function()
    local pool = new {size = 2, queue = 5}
    local far
    H.raises_text("deadlock", in_run, function()
      local ch = rl.chan()
      for _ = 1, 4 do
        pool:submit(function() rl.shield(function() rl.chan():recv() end) end)
      end
      far = rl.spawn_on(2, function()
        pool:submit(function() rl.shield(function() rl.chan():recv() end) end):join()
      end)
      ch:recv()
    end)
    assert.equal("failed", far:status())
    in_run(function() is_whole(pool) end)
  end)

  it("is whole after one that was paused until it was stuck", function()
    local pool = new {size = 2, queue = 5}
    local f
    pool:pause()
    H.raises_text("deadlock", in_run, function() f = pool:submit(print) end)
    assert.equal("failed", f:status())
    pool:resume()
    in_run(function() is_whole(pool) end)
  end)

  it("is collected when nobody has it", function()
    local weak = setmetatable({}, {__mode = "k"})
    in_run(function()
      for _ = 1, 5 do
        local pool
        local list = {}
        pool = new {on_panic = function() list[1] = pool end}
        weak[list] = true
        pool:submit(error, "x"):join()
        pool:join()
      end
    end)
    H.collect()
    assert.is_nil((next(weak)))
  end)

  it("takes nothing outside of one", function()
    H.raises_text("not inside a task", function() new():submit(print) end)
    H.raises_text("not inside a task", function() new {fn = print}:submit() end)
  end)
end)

describe("the options of a shared pool", function()
  local HERE = "spec/pool_shared_spec.lua:"

  it("are told apart from those of others, at the caller's line", function()
    local cases = {
      {"option 'size' is missing", {scope = "shared"}},
      {"option 'size' must be a whole number", {scope = "shared", size = 0}},
      {"option 'expiry' is for pools of one shard: a shared pool keeps no workers",
        {scope = "shared", size = 1, expiry = 1}},
      {"option 'prealloc' is for pools", {scope = "shared", size = 1, prealloc = false}},
      {"option 'heartbeat' is for pools", {scope = "shared", size = 1, heartbeat = 1}},
      {"unknown option 'sise'", {scope = "shared", size = 1, sise = 1}},
      {"option 'queue' must be", {scope = "shared", size = 1, queue = -1}},
      {"option 'max_blocking' must be", {scope = "shared", size = 1, max_blocking = -1}},
      {"option 'overflow' must be 'block'", {scope = "shared", size = 1, overflow = "wait"}},
      {"needs a queue", {scope = "shared", size = 1, overflow = "drop_oldest"}},
      {"coroutine", {scope = "shared", size = 1, on_panic = (function()
        local co = coroutine.create(print)
        return function() return co end
      end)()}},
    }
    for _, case in ipairs(cases) do
      local err = H.raises_text(case[1], function()
        local pool = rl.pool(case[2])
        return pool
      end)
      assert.equal(1, err:find(HERE, 1, true), err)
    end
    assert.equal(1, H.raises_text("function expected, got nil", function()
      local f = new():submit()
      return f
    end):find(HERE, 1, true))
    assert.equal(1, H.raises_text("whole number expected", function()
      local f = new():resize "x"
      return f
    end):find(HERE, 1, true))
  end)
end)
