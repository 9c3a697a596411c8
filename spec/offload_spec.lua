-- SPDX-License-Identifier: MIT
-- Offload: blocking code on helper threads. On sim a call runs inline after a seeded delay; on
-- uring what must be known to block reads from a FIFO that the test writes to.

local H = require "spec.helper"
local gates = require "spec.fifo_gate"
local rl = require "ringlet"
local core = require "ringlet.core"
local shared = require "ringlet.shared"

local function nothing() end

local new_gate, pass = gates.new, gates.pass

-- Names of threads of this process that begin like this.
local function threads_named(prefix)
  local p = assert(io.popen(("cat /proc/%d/task/*/comm 2>/dev/null"):format(core.pid())))
  local n = 0
  for line in p:lines() do
    n = n + (line:sub(1, #prefix) == prefix and 1 or 0)
  end
  p:close()
  return n
end

-- Threads of pools that are over end in their own time.
local function no_helpers_are_left()
  H.eventually("no helper threads", function() return threads_named("ringlet-off") == 0 end)
end

-- As many calls as there are gates, which block; when they are let go, they have ended.
local function block(pool, n)
  local list, futures = {}, {}
  for i = 1, n do
    list[i] = new_gate()
    futures[i] = pool:submit(pass, list[i].name)
  end
  H.eventually(n .. " blocked calls", function() return pool:stats().running == n end)
  return function()
    for i = 1, n do
      list[i].open()
      assert.same({true, "go"}, {futures[i]:join()})
      list[i].remove()
    end
  end
end

H.both("offload", function(it, backend)
  it("runs a function with copies of its arguments and gives its results", function()
    local list = {1, 2, {3}}
    local got = H.pack(rl.offload(function(t, s, n)
      t[3][1] = 4
      return t, s .. "!", n, nil
    end, list, "text", nil))
    assert.equal(4, got.n)
    assert.same({1, 2, {4}}, got[1])
    assert.equal("text!", got[2])
    assert.equal(3, list[3][1])
    assert.equal(0, H.pack(rl.offload(nothing)).n)
    assert.is_nil(rl.offload(function() return nil end))
    assert.equal(7, rl.offload(function() return 7 end))
  end)

  it("copies upvalues", function()
    local base = {40}
    assert.equal(42, rl.offload(function(n) return base[1] + n end, 2))
  end)

  it("gives nil, message and code as values", function()
    local v, msg, code = rl.offload(io.open, "/nowhere/at/all")
    assert.is_nil(v)
    assert.truthy(msg:find("No such file", 1, true))
    assert.equal(2, code)
  end)

  it("carries large values both ways", function()
    local text = ("x"):rep(3 * 1024 * 1024)
    local copy, n = rl.offload(function(s) return s .. "y", #s end, text)
    assert.equal(text .. "y", copy)
    assert.equal(#text, n)
  end)

  it("raises the error of the function, as it is", function()
    local err = H.raises(rl.offload, function() error({code = 7}) end)
    assert.same({code = 7}, err)
    H.raises_text("spec/offload_spec.lua", rl.offload, function() error("boom") end)
    assert.is_nil(H.raises(rl.offload, function() error(nil) end))
  end)

  it("gives the helper's traceback with the future", function()
    local pool = rl.offload_pool{max_threads = 1}
    local f = pool:submit(function()
      local function deep() error("boom") end
      deep()
    end)
    local ok, err, trace = f:join()
    assert.is_false(ok)
    assert.truthy(err:find("boom", 1, true))
    assert.truthy(trace:find("stack traceback", 1, true))
    assert.truthy(trace:find("offload_spec.lua", 1, true))
    assert.equal(trace, f:traceback())
    assert.equal("failed", f:status())
    pool:close()
  end)

  it("puts the helper's traceback under that of a task that fails", function()
    local reported
    rl.on_error(function(_, trace) reported = trace end)
    local task = rl.go(function()
      rl.offload(function()
        local function in_the_helper() error("boom") end
        in_the_helper()
      end)
    end)
    H.eventually("a report", function() return reported ~= nil end)
    assert.truthy(reported:find("in a helper thread:\nstack traceback", 1, true))
    assert.equal(reported, task:traceback())
    rl.on_error(nil)
  end)

  it("says what cannot travel, on the way there and back", function()
    local co = coroutine.create(nothing)
    H.raises_text("job.args[2].x is a coroutine", rl.offload, nothing, 1, {x = co})
    H.raises_text("offload.results[2]", rl.offload, function()
      return 1, coroutine.create(print)
    end)
    local err = H.raises(rl.offload, function() error(coroutine.create(print)) end)
    assert.truthy(tostring(err):find("thread: ", 1, true))
    assert.equal(1, rl.offload(function() return 1 end))
  end)

  it("is not ended by os.exit", function()
    H.raises_text("os.exit is not allowed in offload", rl.offload, function() os.exit(3) end)
    H.raises_text("os.exit is not allowed in offload", rl.offload, os.exit, 3)
  end)

  it("contains endless recursion", function()
    H.raises_text("stack overflow", rl.offload, function()
      local function f() return 1 + f() end
      return f()
    end)
    assert.equal(1, rl.offload(function() return 1 end))
  end)

  it("keeps the state of a helper from call to call", function()
    local pool = rl.offload_pool{max_threads = 1}
    for i = 1, 3 do
      assert.equal(i, pool:run(function()
        rawset(_G, "calls", (rawget(_G, "calls") or 0) + 1)
        return rawget(_G, "calls")
      end))
    end
    assert.is_nil(rawget(_G, "calls"))
    pool:close()
  end)

  it("loads what it was told to beforehand", function()
    local pool = rl.offload_pool{max_threads = 1, preload = {"spec.luggage"}}
    assert.is_true(pool:run(function() return package.loaded["spec.luggage"] ~= nil end))
    pool:close()
    local bad = rl.offload_pool{preload = {"no.such.module"}}
    H.raises_text("no.such.module", bad.run, bad, nothing)
    bad:close()
  end)

  it("checks its arguments", function()
    H.raises_text("function expected, got nil", rl.offload)
    H.raises_text("unknown option 'threads'", rl.offload_pool, {threads = 1})
    H.raises_text("option 'max_threads' must be a whole number", rl.offload_pool,
      {max_threads = 0})
    H.raises_text("option 'max_threads' must be a whole number", rl.offload_pool,
      {max_threads = 1000})
    H.raises_text("option 'min_threads' must be", rl.offload_pool,
      {max_threads = 2, min_threads = 3})
    H.raises_text("option 'queue' must be", rl.offload_pool, {queue = -1})
    H.raises_text("option 'idle' must be", rl.offload_pool, {idle = -1})
    local pool = rl.offload_pool()
    H.raises_text("function expected", pool.run, pool, 1)
    H.raises_text("number expected", pool.resize, pool, "x")
    H.raises_text("offload pool expected", pool.stats, {})
  end)

  it("runs many calls with few threads", function()
    local pool = rl.offload_pool{max_threads = 3}
    local sum = 0
    rl.scope(function(s)
      for i = 1, 100 do
        s:go(function()
          local n = pool:run(function(n) return n end, i)
          sum = sum + n
        end)
      end
    end)
    assert.equal(5050, sum)
    local stats = pool:stats()
    assert.equal(100, stats.done)
    assert.is_true(stats.peak <= 3)
    assert.equal(0, stats.queued + stats.waiting + stats.running)
    assert.equal(3, pool:size())
    pool:close()
  end)

  it("selects on its futures", function()
    local pool = rl.offload_pool{max_threads = 2}
    local never = rl.chan()
    local i, ok, v = rl.select{{never}, {pool:submit(function() return "v" end)}}
    assert.same({2, true, "v"}, {i, ok, v})
    pool:close()
  end)

  it("reports a failure that nobody waits for", function()
    local pool = rl.offload_pool{max_threads = 1}
    local reported
    rl.on_error(function(err) reported = err end)
    pool:submit(function() error("unheard") end)
    H.collect()
    H.eventually("a report", function() return reported ~= nil end)
    assert.truthy(reported:find("unheard", 1, true))
    rl.on_error(nil)
    pool:close()
  end)

  it("takes no calls once it is closed", function()
    local pool = rl.offload_pool{name = "mine", max_threads = 2}
    assert.equal(1, pool:run(function() return 1 end))
    pool:close()
    pool:close()
    local v, msg, code = pool:run(nothing)
    assert.same({nil, "ECLOSED: closed", "ECLOSED"}, {v, msg, code})
    assert.equal("ECLOSED", select(3, pool:submit(nothing)))
    assert.equal("ECLOSED", select(3, pool:try_submit(nothing)))
    assert.truthy(tostring(pool):find("^ringlet.offload_pool: mine, %d of 2 threads"))
    H.eventually("threads: 0", function() return pool:threads() == 0 end)
  end)

  it("is used by jobs: a pool travels", function()
    local pool = rl.offload_pool{max_threads = 1}
    local ok, v = rl.spawn(function(p) return p:run(function() return 5 end) end, pool):join()
    assert.is_true(ok)
    assert.equal(5, v)
    assert.equal(1, pool:stats().done)
    pool:close()
  end)

  it("raises in a task that is cancelled already", function()
    local task = rl.go(function()
      rl.self():cancel()
      rl.offload(nothing)
    end)
    assert.is_true(rl.is_cancel(select(2, task:join())))
  end)

  it("is shared by all shards", function()
    local futures = {}
    if backend == "uring" then no_helpers_are_left() end
    for shard = 1, rl.shards() do
      for i = 1, 10 do
        futures[#futures + 1] = rl.spawn_on(shard, function(n)
          return rl.offload(function(k) return k end, n)
        end, i)
      end
    end
    for i, f in ipairs(futures) do
      local ok, v = f:join()
      assert.is_true(ok, v)
      assert.equal((i - 1) % 10 + 1, v)
    end
    if backend == "uring" then
      local n = threads_named("ringlet-off")
      assert.is_true(n >= 1 and n <= 2, n .. " threads")
    end
  end, {shards = 2, max_threads = 2})

  it("has each shard wait for room in one queue", function()
    local pool = rl.offload_pool{max_threads = 1, queue = 0}
    local futures = {}
    for shard = 1, rl.shards() do
      for _ = 1, 20 do
        futures[#futures + 1] = rl.spawn_on(shard, function(p)
          local f = p:submit(function() return 1 end)
          return (f:join())
        end, pool)
      end
    end
    for _, f in ipairs(futures) do
      assert.same({true, true}, {f:join()})
    end
    assert.equal(40, pool:stats().done)
    assert.is_true(pool:stats().peak == 1)
    pool:close()
  end, {shards = 2})
end)

-- Nothing runs before a task parks, so a burst of calls meets full queues without a race.
H.sim("offload, what waits", function(it)
  it("parks who finds the queue full, first come, first served", function()
    local pool = rl.offload_pool{max_threads = 1, queue = 2}
    local order = {}
    for i = 1, 3 do
      assert(pool:try_submit(nothing))
      local s = pool:stats()
      assert.same({1, i - 1, 0}, {s.running, s.queued, s.waiting})
    end
    local f, msg, code = pool:try_submit(nothing)
    assert.same({nil, "EAGAIN: try again", "EAGAIN"}, {f, msg, code})
    for i = 1, 5 do
      rl.go(function()
        pool:submit(nothing)
        order[#order + 1] = i
      end)
    end
    rl.yield()
    assert.same({}, order)
    assert.is_true(pool:stats().waiting >= 4)
    assert.equal("EAGAIN", select(3, pool:try_submit(nothing)))
    rl.sleep(1)
    assert.same({1, 2, 3, 4, 5}, order)
    assert.equal(8, pool:stats().done)
    pool:close()
  end)

  it("hands a queue of 0 over when a thread is free", function()
    local pool = rl.offload_pool{max_threads = 2, queue = 0}
    assert(pool:try_submit(nothing))
    assert(pool:try_submit(nothing))
    assert.equal("EAGAIN", select(3, pool:try_submit(nothing)))
    local f = pool:submit(function() return 3 end)
    assert.same({true, 3}, {f:join()})
    pool:close()
  end)

  it("gives up waiting for room at a timeout", function()
    local pool = rl.offload_pool{max_threads = 1, queue = 1}
    assert(pool:try_submit(nothing))
    assert(pool:try_submit(nothing))
    local ok, _, code = rl.timeout(0, function() return pool:submit(nothing) end)
    assert.same({nil, "ETIMEDOUT"}, {ok, code})
    assert.equal(0, pool:stats().waiting)
    rl.sleep(1)
    assert.equal(2, pool:stats().done)
    pool:close()
  end)

  it("withdraws a call that is cancelled before it began", function()
    local pool = rl.offload_pool{max_threads = 1, queue = 10}
    local first = pool:submit(nothing)
    local task = rl.go(function() pool:run(nothing) end)
    local f = pool:submit(nothing)
    rl.yield()
    assert.equal(2, pool:stats().queued)
    task:cancel("changed my mind")
    f:cancel("so have I")
    assert.same({true, "so have I"}, {rl.is_cancel(select(2, f:join()))})
    assert.same({true, "changed my mind"}, {rl.is_cancel(select(2, task:join()))})
    assert.equal(0, pool:stats().queued)
    assert.is_true(first:join())
    assert.equal(1, pool:stats().done)
    assert.equal(0, rl.stats().works)
    pool:close()
  end)

  it("admits who waits for room when a call is withdrawn", function()
    local pool = rl.offload_pool{max_threads = 1, queue = 1}
    pool:try_submit(nothing)
    local queued = pool:try_submit(nothing)
    local admitted
    rl.go(function()
      pool:submit(nothing)
      admitted = pool:stats().done
    end)
    rl.yield()
    assert.is_nil(admitted)
    queued:cancel()
    rl.yield()
    assert.equal(0, admitted)
    rl.sleep(1)
    pool:close()
  end)

  it("fails those that wait when it is closed", function()
    local pool = rl.offload_pool{max_threads = 1, queue = 1}
    local running = pool:try_submit(function() return "ran" end)
    local queued = pool:try_submit(nothing)
    local codes = {}
    for i = 1, 2 do
      rl.go(function() codes[i] = select(3, pool:run(nothing)) end)
    end
    local submitted = rl.go(function() return pool:submit(nothing):join() end)
    rl.yield()
    pool:close()
    rl.yield()
    assert.same({"ECLOSED", "ECLOSED"}, codes)
    local ok, err = queued:join()
    assert.is_false(ok)
    assert.equal("ECLOSED", rl.code(err))
    local _, joined, why = submitted:join()
    assert.is_false(joined)
    assert.equal("ECLOSED", rl.code(why))
    assert.same({true, "ran"}, {running:join()})
  end)

  it("starts more calls when it is made larger", function()
    local pool = rl.offload_pool{max_threads = 1, queue = 1}
    pool:try_submit(nothing)
    pool:try_submit(nothing)
    for _ = 1, 2 do
      rl.go(function() pool:submit(nothing) end)
    end
    rl.yield()
    assert.equal(2, pool:stats().waiting)
    pool:resize(3)
    local s = pool:stats()
    assert.same({3, 1, 0}, {s.running, s.queued, s.waiting})
    assert.same({active = 1, queue = 1}, pool:metrics())
    rl.sleep(1)
    assert.equal(4, pool:stats().done)
    assert.equal(3, pool:stats().peak)
    pool:close()
  end)
end)

H.on("uring", "offload, threads", function(it)
  it("blocks no task of the shard", function()
    local list, done, ticks = {}, 0, 0
    for i = 1, 8 do
      list[i] = new_gate()
      rl.go(function()
        assert.equal("go", rl.offload(pass, list[i].name))
        done = done + 1
      end)
    end
    H.eventually("eight calls", function() return rl.stats().works == 8 end)
    local ticker = rl.ticker(0.002)
    for _ = 1, 20 do
      rl.select{{ticker}}
      ticks = ticks + 1
    end
    ticker:stop()
    assert.equal(0, done)
    assert.equal(8, rl.stats().works)
    for i = 1, 8 do
      list[i].open()
    end
    H.eventually("all eight", function() return done == 8 end)
    for i = 1, 8 do
      list[i].remove()
    end
  end)

  it("never has more threads than asked, and all calls complete", function()
    local pool = rl.offload_pool{max_threads = 5, queue = 100}
    no_helpers_are_left()
    local let_go, done = block(pool, 5), 0
    for _ = 1, 95 do
      rl.go(function()
        pool:run(function() os.execute("sleep 0.005") end)
        done = done + 1
      end)
    end
    H.eventually("a full queue", function() return pool:stats().queued == 95 end)
    assert.equal(5, threads_named("ringlet-off"))
    let_go()
    while done < 95 do
      assert.is_true(threads_named("ringlet-off") <= 5)
      rl.sleep(0.01)
    end
    assert.equal(5, pool:stats().peak)
    pool:close()
    H.eventually("threads: 0", function() return pool:threads() == 0 end)
  end)

  it("shrinks when it is idle, and grows again", function()
    local pool = rl.offload_pool{max_threads = 4, min_threads = 1, idle = 0.02}
    for _ = 1, 2 do
      local let_go = block(pool, 4)
      assert.equal(4, pool:threads())
      let_go()
      assert.equal(4, pool:stats().peak)
      H.eventually("threads: 1", function() return pool:threads() == 1 end)
    end
    pool:close()
    H.eventually("threads: 0", function() return pool:threads() == 0 end)
  end)

  it("loses threads when it is made smaller", function()
    local pool = rl.offload_pool{max_threads = 4}
    local let_go = block(pool, 4)
    assert.equal(4, pool:threads())
    pool:resize(2)
    let_go()
    H.eventually("threads: 2", function() return pool:threads() == 2 end)
    assert.equal(1, pool:run(function() return 1 end))
    pool:close()
  end)

  it("lets a cancelled task go on at once; the result of what blocks is dropped", function()
    local gate, pool = new_gate(), rl.offload_pool{max_threads = 1}
    local task = rl.go(function() pool:run(pass, gate.name) end)
    H.eventually("running: 1", function() return pool:stats().running == 1 end)
    task:cancel("enough")
    assert.same({true, "enough"}, {rl.is_cancel(select(2, task:join()))})
    assert.equal(1, pool:stats().running)
    gate.open()
    H.eventually("running: 0", function() return pool:stats().running == 0 end)
    assert.equal(2, pool:run(function() return 2 end))
    pool:close()
    gate.remove()
  end)

  it("interrupts Lua code that is interpreted", function()
    local pool, begun = rl.offload_pool{max_threads = 1}, shared.atomic()
    local task = rl.go(function()
      pool:run(function(flag)
        if rawget(_G, "jit") then rawget(_G, "jit").off() end
        while true do
          pcall(function()
            flag:store(1)
            while true do end
          end)
        end
      end, begun)
    end)
    H.eventually("its loop", function() return begun:load() == 1 end)
    task:cancel()
    assert.is_true(rl.is_cancel(select(2, task:join())))
    H.eventually("running: 0", function() return pool:stats().running == 0 end)
    assert.equal(3, pool:run(function() return 3 end))
    pool:close()
  end)

  it("parks who finds the queue full", function()
    local gate, pool = new_gate(), rl.offload_pool{max_threads = 1, queue = 1}
    local running = pool:submit(pass, gate.name)
    local queued = assert(pool:try_submit(function() return 2 end))
    assert.equal("EAGAIN", select(3, pool:try_submit(nothing)))
    local ok, _, code = rl.timeout(0.01, function() return pool:submit(nothing) end)
    assert.same({nil, "ETIMEDOUT"}, {ok, code})
    local last
    local task = rl.go(function() last = pool:submit(function() return 3 end) end)
    rl.yield()
    assert.is_nil(last)
    gate.open()
    task:join()
    assert.same({true, "go"}, {running:join()})
    assert.same({true, 2}, {queued:join()})
    assert.same({true, 3}, {last:join()})
    pool:close()
    gate.remove()
  end)

  it("fails those that wait when it is closed", function()
    local gate, pool = new_gate(), rl.offload_pool{max_threads = 1, queue = 1}
    local running = pool:submit(pass, gate.name)
    H.eventually("running: 1", function() return pool:stats().running == 1 end)
    local queued = assert(pool:try_submit(nothing))
    local code
    local task = rl.go(function() code = select(3, pool:run(nothing)) end)
    rl.yield()
    pool:close()
    task:join()
    assert.equal("ECLOSED", code)
    assert.equal("ECLOSED", rl.code(select(2, queued:join())))
    gate.open()
    assert.same({true, "go"}, {running:join()})
    H.eventually("threads: 0", function() return pool:threads() == 0 end)
    gate.remove()
  end)

  it("runs a run of its own in a helper", function()
    assert.equal(6, rl.offload(function()
      local inner = require "ringlet"
      return inner.run(function()
        local ch = inner.chan()
        inner.go(function() ch:send(6) end)
        return ch:recv()
      end)
    end))
  end)
end)

describe("offload, its end", function()
  it("raises outside of a task", function()
    H.raises_text("not inside a task", rl.offload, nothing)
    local pool = rl.offload_pool()
    H.raises_text("not inside a task", pool.run, pool, nothing)
    H.raises_text("not inside a task", pool.try_submit, pool, nothing)
    assert.truthy(tostring(pool):find("ringlet.offload_pool: pool, 0 of 16 threads", 1, true))
  end)

  it("does not count a parked call as a deadlock, nor a call as a wake", function()
    local err = H.raises(H.run, function()
      rl.offload(nothing)
      rl.chan():recv()
    end)
    assert.truthy(tostring(err):find("deadlock", 1, true))
  end)

  it("repeats a run from its seed", function()
    local function order_of(seed)
      local order = {}
      H.run(function()
        for i = 1, 8 do
          rl.go(function()
            rl.offload(nothing)
            order[#order + 1] = i
          end)
        end
      end, {seed = seed})
      return table.concat(order, " ")
    end
    local seen, kinds = {}, 0
    for seed = 1, 5 do
      local order = order_of(seed)
      assert.equal(order, order_of(seed))
      kinds = kinds + (seen[order] and 0 or 1)
      seen[order] = true
    end
    assert.is_true(kinds > 1)
  end)

  it("checks max_threads of run", function()
    H.raises_text("max_threads must be a whole number from 1 to 999", rl.run, nothing,
      {max_threads = 0})
  end)

  for _, backend in ipairs(H.BACKENDS) do
    it("forgets calls that run when the run ends (" .. backend .. ")", function()
      if H.missing[backend] then
        pending(H.missing[backend])
        return
      end
      local pool = rl.offload_pool{max_threads = 1}
      for _ = 1, H.rounds(20, 5) do
        rl.run(function()
          for _ = 1, 5 do
            rl.daemon(function() pool:run(function() return ("x"):rep(1000) end) end)
          end
          rl.yield()
        end, {backend = backend})
      end
      rl.run(function() assert.equal(1, pool:run(function() return 1 end)) end,
        {backend = backend})
      pool:close()
    end)
  end

  it("leaves behind what blocks for ever", function()
    local gate = new_gate()
    local out, code = H.script(([[
      local begun = require("ringlet.shared").atomic()
      local ok, err = pcall(rl.run, function()
        rl.go(function()
          rl.offload(function(flag)
            flag:store(1)
            io.open(%q) -- nobody ever writes to it
          end, begun)
        end)
        while begun:load() == 0 do rl.sleep(0.005) end
        error("main has failed")
      end)
      print(ok, err:match("main has failed"))
    ]]):format(gate.name))
    gate.remove()
    assert.equal("false\tmain has failed", (out:gsub("%s+$", "")))
    assert.equal(0, code)
  end)
end)
