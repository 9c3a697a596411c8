-- SPDX-License-Identifier: MIT
-- Jobs: rl.spawn, rl.spawn_on, rl.job, futures.
local H = require "spec.helper"
local rl = require "ringlet"
local shared = require "ringlet.shared"

local TWO, THREE = {shards = 2}, {shards = 3}
-- Where the order of turns is what is looked at, or somebody is to join before the job has failed:
-- a task whose thread waits for a CPU is interrupted wherever it is.
local IN_TURN = {shards = 2, preempt = false}

-- Submit a job to every shard and join it: what each gave, in order.
local function everywhere(fn, ...)
  local out = {}
  for i = 1, rl.shards() do
    out[i] = select(2, assert(rl.spawn_on(i, fn, ...):join()))
  end
  return out
end

H.both("a job", function(it)
  it("runs on the shard it is given to", function()
    assert.same({1, 2, 3}, everywhere(function() return require "ringlet".shard() end))
  end, THREE)

  it("runs somewhere", function()
    local f = rl.spawn(function(a, b) return a + b, rl.shard() end, 2, 3)
    local ok, sum, shard = f:join()
    assert.is_true(ok)
    assert.equal(5, sum)
    assert.is_true(shard == 1 or shard == 2)
  end, TWO)

  it("works in a run of one shard", function()
    assert.same({true, "x"}, {rl.spawn(function(v) return v end, "x"):join()})
    assert.equal(1, rl.shards())
    assert.equal(1, rl.shard())
  end, {shards = 1})

  it("gives back any number of results, nil among them", function()
    local got = H.pack(rl.spawn(function() return nil, 1, nil end):join())
    assert.same({n = 4, true, nil, 1, nil}, got)
    assert.same({n = 1, true}, H.pack(rl.spawn(function() end):join()))
    assert.same({n = 2, true, nil}, H.pack(rl.spawn(function() return nil end):join()))
  end, TWO)

  it("is given copies", function()
    local t = {1, {2}}
    local ok, same = rl.spawn_on(2, function(arg)
      arg[2][1] = "changed"
      return arg
    end, t):join()
    assert.is_true(ok)
    assert.equal(2, t[2][1])
    assert.equal("changed", same[2][1])
  end, TWO)

  it("has copies of its upvalues", function()
    local n = 1
    local function next_number()
      n = n + 1
      return n
    end
    assert.same({2, 2}, everywhere(next_number))
    assert.equal(1, n)
  end, TWO)

  it("may park, spawn tasks and submit jobs", function()
    local ok, sum = rl.spawn_on(2, function()
      local rl = require "ringlet" -- luacheck: ignore 431
      local ch = rl.chan()
      rl.go(function()
        rl.sleep(0.001)
        ch:send(20)
      end)
      local _, back = rl.spawn_on(1, function() return rl.shard() end):join()
      return ch:recv() + back
    end):join()
    assert.same({true, 21}, {ok, sum})
  end, TWO)

  it("keeps order: what one shard is given is begun in that order", function()
    local futures, out = {}, {}
    for i = 1, 50 do
      futures[i] = rl.spawn_on(2, function()
        seen = (rawget(_G, "seen") or 0) + 1 -- luacheck: ignore 111 113
        return seen -- luacheck: ignore 113
      end)
    end
    for i = 1, 50 do
      out[i] = select(2, futures[i]:join())
    end
    for i = 1, 50 do
      assert.equal(out[1] + i - 1, out[i])
    end
  end, IN_TURN)

  it("is prepared once and submitted often", function()
    local t = {1}
    local job = rl.job(function(list) list[1] = list[1] + 1; return list[1] end, t)
    t[1] = 100
    assert.equal("ringlet.job", tostring(job))
    for _ = 1, 3 do
      assert.same({true, 2}, {rl.spawn(job):join()})
    end
    assert.same({true, 2}, {rl.spawn_on(2, job):join()})
  end, TWO)

  it("may be many", function()
    local futures, sum = {}, 0
    for i = 1, 3000 do
      futures[i] = rl.spawn(function(v) return v end, i)
    end
    for i = 1, 3000 do
      local ok, v = futures[i]:join()
      assert.is_true(ok and v == i)
      sum = sum + v
    end
    assert.equal(3000 * 3001 / 2, sum)
  end, THREE)
end)

H.both("a job that fails", function(it)
  it("gives its error and the traceback of where it was", function()
    local f = rl.spawn_on(2, function() error({code = 7}) end)
    local ok, err, trace = f:join()
    assert.is_false(ok)
    assert.same({code = 7}, err)
    assert.truthy(trace:find("jobs_spec.lua", 1, true))
    assert.equal(trace, f:traceback())
    assert.equal("failed", f:status())
    assert.same({n = 3, false, err, trace}, H.pack(f:join()))
  end, IN_TURN)

  it("keeps the code of an error that check raised", function()
    local ok, err = rl.spawn_on(2, function()
      require "ringlet".check(nil, "EBOO: boo", "EBOO")
    end):join()
    assert.is_false(ok)
    assert.equal("EBOO", rl.code(err))
    assert.equal("EBOO: boo", tostring(err))
  end, IN_TURN)

  it("gives text for an error that cannot travel", function()
    local ok, err = rl.spawn_on(2, function() error(io.stdout) end):join()
    assert.is_false(ok)
    assert.truthy(tostring(err):find("file", 1, true))
  end, IN_TURN)

  it("fails for a result that cannot travel, with the path to it", function()
    local ok, err = rl.spawn_on(2, function() return 1, {a = coroutine.create(print)} end):join()
    assert.is_false(ok)
    assert.truthy(tostring(err):find("job.results[2].a is a coroutine", 1, true))
  end, IN_TURN)

  it("is told to on_error when nobody waits for it", function()
    local told = rl.chan(1)
    rl.on_error(function(err, trace, what) told:send {err, trace, tostring(what)} end)
    local f = rl.spawn_on(2, function() error("nobody", 0) end)
    local got = told:recv()
    rl.on_error(nil)
    assert.equal("nobody", got[1])
    assert.truthy(got[2]:find("jobs_spec.lua", 1, true))
    assert.equal("ringlet.future (failed)", got[3])
    assert.same({n = 3, false, "nobody", got[2]}, H.pack(f:join()))
  end, IN_TURN)

  it("is not told when somebody waits for it", function()
    local told
    rl.on_error(function() told = true end)
    assert.is_false((rl.spawn_on(2, error, "x"):join()))
    rl.on_error(nil)
    assert.is_nil(told)
  end, IN_TURN)

  it("does not take its shard with it", function()
    for _ = 1, 20 do
      assert.is_false((rl.spawn_on(2, error, "x"):join()))
    end
    assert.same({true, 2}, {rl.spawn_on(2, function() return require "ringlet".shard() end):join()})
  end, IN_TURN)
end)

H.both("what cannot travel", function(it)
  it("raises at the caller, with the path to it", function()
    local co = coroutine.create(print)
    H.raises_text("cannot travel: job.args[2].cb is a coroutine", rl.spawn, print, 1, {cb = co})
    H.raises_text("cannot travel: job.fn: upvalue 'co' is a coroutine", rl.spawn, function()
      return co
    end)
    H.raises_text("job.args[1] is a coroutine", rl.job, print, co)
    H.raises_text("jobs_spec.lua", function()
      local f = rl.spawn(print, co)
      return f
    end)
  end, TWO)

  it("is misuse for what is no function or no shard", function()
    H.raises_text("function expected, got number", rl.spawn, 1)
    H.raises_text("function expected, got nil", rl.spawn_on, 1)
    H.raises_text("no such shard: 3 (there are 2)", rl.spawn_on, 3, print)
    H.raises_text("no such shard: 0", rl.spawn_on, 0, print)
    H.raises_text("no such shard: x", rl.spawn_on, "x", print)
    H.raises_text("no such shard: 1.5", rl.spawn_on, 1.5, print)
  end, TWO)
end)

H.both("a future", function(it)
  it("is joined by many, again and again", function()
    local f = rl.spawn_on(2, function() require "ringlet".sleep(0.005); return "v" end)
    local n = 0
    rl.scope(function(s)
      for _ = 1, 5 do
        s:go(function()
          assert.same({true, "v"}, {f:join()})
          n = n + 1
        end)
      end
    end)
    assert.equal(5, n)
    assert.same({true, "v"}, {f:join()})
    assert.equal("done", f:status())
    assert.equal("", f:traceback())
  end, IN_TURN)

  it("times out and goes on", function()
    local gate = shared.chan()
    local f = rl.spawn_on(2, function() return (gate:recv()) end)
    assert.equal("pending", f:status())
    assert.equal("ringlet.future (pending)", tostring(f))
    assert.equal("ETIMEDOUT", select(3, f:join(0.001)))
    assert.equal("ETIMEDOUT", select(3, f:join(0)))
    gate:send(1)
    assert.same({true, 1}, {f:join()})
  end, TWO)

  it("is a case of select", function()
    local gate = shared.chan()
    local slow = rl.spawn_on(2, function() gate:recv() end)
    local fast = rl.spawn_on(2, function() return "a", "b" end)
    assert.same({2, true, "a", "b"}, {rl.select {{slow}, {fast}}})
    assert.same({1, true, "a", "b"}, {rl.select {{fast}}})
    assert.equal("ETIMEDOUT", select(3, rl.select({{slow}}, 0)))
    gate:send(true)
    assert.is_true((slow:join()))
  end, TWO)

  it("is forgotten without harm", function()
    for i = 1, 200 do
      rl.spawn(function(v) return v end, i)
    end
    H.collect()
    assert.same({true, 1}, {rl.spawn(function() return 1 end):join()})
  end, TWO)
end)

H.both("cancelling a job", function(it)
  it("that has begun raises in it where it parks", function()
    local begun, raised = shared.chan(1), shared.chan(1)
    local f = rl.spawn_on(2, function()
      local rl = require "ringlet" -- luacheck: ignore 431
      begun:send(true)
      local _, err = pcall(rl.sleep, 1000)
      raised:try_send((rl.is_cancel(err)))
      error(err, 0)
    end)
    begun:recv()
    f:cancel("enough")
    local ok, err = f:join()
    assert.is_false(ok)
    assert.same({true, "enough"}, {rl.is_cancel(err)})
    assert.is_true(raised:recv())
  end, TWO)

  it("that has not begun keeps it from beginning", function()
    local mark = rl.spawn_on(1, function() began = true end) -- luacheck: ignore 111
    mark:cancel({why = "late"})
    local ok, err = mark:join()
    assert.is_false(ok)
    local is, reason = rl.is_cancel(err)
    assert.same({true, {why = "late"}}, {is, reason})
    rl.sleep(0.01)
    assert.is_nil(rawget(_G, "began"))
  end, IN_TURN)

  it("that has ended changes nothing", function()
    local f = rl.spawn_on(2, function() return 1 end)
    f:join()
    f:cancel()
    assert.same({true, 1}, {f:join()})
  end, TWO)

  it("wakes who waits for it, and is told to nobody", function()
    local told
    rl.on_error(function() told = true end)
    local begun = shared.chan(1)
    local f = rl.spawn_on(2, function()
      begun:send(true)
      require "ringlet".sleep(1000)
    end)
    local waiter = rl.go(function() return (f:join()) end)
    begun:recv()
    H.eventually("somebody who waits", function() return waiter:status() == "parked" end)
    f:cancel()
    assert.same({true, false}, {waiter:join()})
    rl.on_error(nil)
    assert.is_nil(told)
  end, TWO)

  it("races with its end", function()
    for i = 1, 100 do
      local f = rl.spawn(function(v) require "ringlet".yield(); return v end, i)
      if i % 3 > 0 then
        rl.yield()
      end
      f:cancel("race")
      local ok, v = f:join()
      assert.is_true(ok and v == i or not ok and rl.is_cancel(v))
    end
  end, THREE)
end)

H.on("uring", "stealing", function(it)
  -- Jobs that compute, all given to the first shard, which computes as well.
  local function burn(n)
    local x = 0
    for i = 1, n do
      x = x + i % 7
    end
    return require "ringlet".shard(), x
  end

  local function by_shard(futures)
    local counts = {}
    for _, f in ipairs(futures) do
      local _, shard = f:join()
      counts[shard] = (counts[shard] or 0) + 1
    end
    return counts
  end

  it("takes jobs of a shard that is busy", function()
    H.eventually("a job on the other shard", function()
      local futures = {}
      for i = 1, 200 do
        futures[i] = rl.spawn(burn, 200000)
      end
      return by_shard(futures)[2]
    end)
  end, {shards = 2, timeout = 60})

  it("can be turned off", function()
    local futures = {}
    for i = 1, 20 do
      futures[i] = rl.spawn(burn, 100)
    end
    assert.same({[1] = 20}, by_shard(futures))
  end, {shards = 2, stealing = false})

  it("does not let the overflow of a deque starve", function()
    local futures = {}
    for i = 1, 5000 do
      futures[i] = rl.spawn(function(v) return v end, i)
    end
    for i = 1, 5000 do
      assert.equal(i, select(2, futures[i]:join()))
    end
  end, {shards = 2, timeout = 60})

  it("begins a job beside tasks that never rest", function()
    local stop
    for _ = 1, 2 do
      rl.go(function()
        while not stop do
          rl.yield()
        end
      end)
    end
    assert.same({true, 1}, {rl.spawn(function() return 1 end):join(30)})
    stop = true
  end, {shards = 1})
end)

H.both("map over all cores", function(it)
  it("keeps the order and tells of progress", function()
    local list, last = {}, nil
    for i = 1, 1000 do
      list[i] = i
    end
    local got = rl.map(list, function(v, i) return v * 2 + i end, {
      cores = true, progress = function(done, total) last = {done, total} end,
    })
    for i = 1, 1000 do
      assert.equal(3 * i, got[i])
    end
    assert.same({1000, 1000}, last)
    assert.same({}, rl.map({}, print, {cores = true}))
    assert.same({"a"}, rl.map({"a"}, function(v) return v end, {cores = true}))
  end, TWO)

  it("ends with the first failure", function()
    local function fails(v)
      if v == 77 then
        return nil, "EBAD: bad", "EBAD"
      end
      return v
    end
    local list = {}
    for i = 1, 100 do
      list[i] = i
    end
    assert.same({n = 4, nil, "EBAD: bad", "EBAD", 77}, H.pack(rl.map(list, fails, {cores = true})))
    assert.equal("boo", H.raises(rl.map, list, function() error("boo", 0) end, {cores = true}))
  end, TWO)

  it("times out and leaves nothing behind", function()
    local function slow()
      require "ringlet".sleep(1000)
    end
    assert.equal("ETIMEDOUT", select(3, rl.map({1, 2, 3}, slow, {cores = true, timeout = 0.02})))
  end, TWO)
end)

describe("outside of a run", function()
  it("there are no jobs", function()
    H.raises_text("not inside a task", rl.spawn, print)
    assert.equal(1, rl.shards())
    assert.equal(1, rl.shard())
  end)
end)
