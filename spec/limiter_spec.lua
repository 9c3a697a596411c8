-- SPDX-License-Identifier: MIT
-- Limiters of rates as users see them. Their arithmetic is in limiter_rate_spec.lua, concurrency in
-- limiter_concurrency_spec.lua.
local rl = require "ringlet"
local H = require "spec.helper"

local HERE = "spec/limiter_spec.lua:"

local KINDS = {
  token_bucket = {rate = 10, burst = 3}, gcra = {kind = "gcra", rate = 10, burst = 3},
  window = {kind = "sliding_window", limit = 3, window = 0.3},
  counters = {kind = "sliding_window", limit = 3, window = 0.3, approximate = true},
  shared = {kind = "gcra", rate = 10, burst = 3, scope = "shared"},
}

-- The same, a thousand times slower: nothing comes while a test runs, however long that takes.
local SLOW = {}
for name, opts in pairs(KINDS) do
  local slow = {}
  for k, v in pairs(opts) do slow[k] = v end
  slow.rate, slow.window = opts.rate and opts.rate / 1000, opts.window and opts.window * 1000
  SLOW[name] = slow
end

local function each_kind(fn, kinds)
  for _, name in ipairs{"token_bucket", "gcra", "window", "counters", "shared"} do
    fn(name, rl.limiter((kinds or KINDS)[name]))
  end
end

-- Start a task that waits, and tell when and how that ended.
local function waiter(limiter, log, name, n, t)
  return rl.go(function()
    local ok, _, code = limiter:wait(n, t)
    log[#log + 1] = name .. (ok and "" or " " .. code)
  end)
end

H.both("allow", function(it)
  it("lets a burst through, and says when to come again", function()
    each_kind(function(name, l)
      for _ = 1, 3 do
        assert.same({n = 1, true}, H.pack(l:allow()), name)
      end
      local v, msg, code, after = l:allow()
      assert.same({nil, "EOVERLOAD: over the rate", "EOVERLOAD"}, {v, msg, code}, name)
      assert.is_true(after > 0 and after <= 600, name .. after)
    end, SLOW)
  end)

  it("takes several at once, all or none", function()
    each_kind(function(name, l)
      assert.is_true(l:allow(2), name)
      assert.equal("EOVERLOAD", select(3, l:allow(2)), name)
      assert.is_true(l:allow(1), name)
      assert.is_true(l:allow(0), name)
    end, SLOW)
  end)

  it("more than there can ever be: never", function()
    each_kind(function(name, l)
      local v, msg, code, after = l:allow(4)
      assert.same({nil, "EOVERLOAD: more than there can ever be at once", "EOVERLOAD", math.huge},
        {v, msg, code, after}, name)
      assert.same({v, msg, code, after}, {l:wait(4)}, name)
      assert.is_true(l:allow(3), name)
    end)
  end)

  it("raises for what is no number of tokens, at the caller's level", function()
    local l = rl.limiter{rate = 1}
    for _, n in ipairs{-1, 0.5, 0 / 0, "1", {}} do
      local err = H.raises_text("a whole number of tokens expected", function() l:allow(n) end)
      assert.is_truthy(tostring(err):find(HERE, 1, true), tostring(err))
      H.raises_text("a whole number of tokens expected", function() l:wait(n) end)
    end
    H.raises_text("seconds expected", function() l:wait(1, "1") end)
  end)
end)

H.sim("boundaries:", function(it)
  it("one in 60 s: not after 59.9 s, but after 60 s", function()
    for _, opts in ipairs{
      {rate = 1 / 60}, {kind = "gcra", rate = 1 / 60},
      {kind = "sliding_window", limit = 1, window = 60},
      {kind = "gcra", rate = 1 / 60, scope = "shared"},
    } do
      local l = rl.limiter(opts)
      assert.is_true(l:allow())
      rl.sleep(59.9)
      local v, _, _, after = l:allow()
      assert.is_nil(v)
      assert.near(0.1, after, H.TICK)
      rl.sleep(after)
      assert.is_true(l:allow())
      assert.is_nil((l:allow()))
    end
  end)

  it("what allow says is when wait gets it", function()
    each_kind(function(name, l)
      assert.is_true(l:allow(3))
      local _, _, _, after = l:allow(2)
      local begin = rl.now()
      assert.is_true(l:wait(2), name)
      assert.is_true(rl.now() - begin >= after and rl.now() - begin < after + H.TICK, name)
    end)
  end)

  it("wait takes what is due at the end of t, and gives up at once what is later", function()
    for _, opts in ipairs{KINDS.token_bucket, KINDS.gcra, KINDS.window} do
      local l = rl.limiter(opts)
      assert.is_true(l:wait(3))
      local due = select(4, l:allow())
      local begin = rl.now()
      assert.equal("ETIMEDOUT", select(3, l:wait(1, due - 1e-6)))
      assert.equal(begin, rl.now()) -- at once
      assert.is_true(l:wait(1, due))
    end
  end)
end)

H.both("wait", function(it)
  it("does not park when there is something", function()
    each_kind(function(name, l)
      local other = rl.go(function() return l:stats().allowed end)
      assert.is_true(l:wait(3), name)
      assert.same({true, 1}, {other:join()})
    end)
  end)

  it("with 0 seconds does not wait", function()
    local l = rl.limiter{rate = 0.001}
    assert.is_true(l:wait(1, 0))
    assert.equal("ETIMEDOUT", select(3, l:wait(1, 0)))
    assert.equal("ETIMEDOUT", select(3, l:wait(1, -1)))
  end)

  it("parks and raises as all that parks", function()
    local l = rl.limiter{rate = 0.001}
    l:allow()
    local task = rl.go(l.wait, l)
    rl.yield()
    assert.equal("parked", (task:status()))
    task:cancel("enough")
    local ok, err = task:join()
    assert.is_false(ok)
    assert.is_true((rl.is_cancel(err)))
    assert.equal("ETIMEDOUT", select(3, rl.timeout(0.01, l.wait, l)))
    assert.equal(0, l:stats().waiting)
  end)

  it("many cancelled at once leave nobody stuck", function()
    local l, log, tasks = rl.limiter{rate = 1000, burst = 1}, {}, {}
    l:allow()
    for i = 1, 10 do
      tasks[i] = waiter(l, log, i)
      rl.yield()
    end
    for i = 1, 9 do
      tasks[i]:cancel()
    end
    assert.is_true((tasks[10]:join()))
    assert.equal("10", log[#log])
    assert.equal(0, l:stats().waiting)
  end)
end)

H.sim("set_rate", function(it)
  it("serves those who wait at the new rate", function()
    local l, log = rl.limiter{rate = 0.001, burst = 2}, {}
    l:allow(2)
    waiter(l, log, "a")
    local b = waiter(l, log, "b", 2)
    rl.yield()
    local begin = rl.now()
    l:set_rate(10)
    b:join()
    assert.near(0.3, rl.now() - begin, H.TICK)
    assert.same({"a", "b"}, log)
  end)

  it("fails at once whom it would now serve too late", function()
    local l, log = rl.limiter{rate = 10, burst = 2}, {}
    l:allow(2)
    waiter(l, log, "a", 1, 100)
    waiter(l, log, "b", 1, 1)
    rl.yield()
    l:set_rate(0.1)
    rl.yield()
    assert.same({"b ETIMEDOUT"}, log)
    rl.sleep(11)
    assert.same({"b ETIMEDOUT", "a"}, log)
  end)

  it("changes the keys as well, and raises for what is no rate", function()
    local l = rl.limiter{rate = 1, burst = 1}
    local key = l:of "a"
    l:set_rate(100, 50)
    assert.equal(50, key:stats().burst)
    assert.equal(50, l:of("b"):stats().available)
    for _, rate in ipairs{0, -1, 0 / 0, math.huge, "1"} do
      local err = H.raises(function() l:set_rate(rate) end)
      assert.is_truthy(tostring(err):find(HERE, 1, true), tostring(err))
    end
    H.raises_text("the burst must be", function() l:set_rate(1, 0) end)
    local w = rl.limiter{kind = "sliding_window", limit = 2, window = 1}
    w:set_rate(5, 10)
    assert.same({5, 0.5}, {w:stats().burst, w:stats().rate})
    H.raises_text("the limit must be", function() w:set_rate(1.5) end)
  end)
end)

H.sim("wait", function(it)
  it("is first come, first served, also for a small one behind a large one", function()
    local l, log = rl.limiter{rate = 1000, burst = 5}, {}
    assert.is_true(l:allow(5))
    local last
    for i, n in ipairs{5, 1, 3, 1} do
      last = waiter(l, log, i, n)
      rl.yield()
    end
    assert.equal(4, l:stats().waiting)
    assert.equal("EOVERLOAD", select(3, l:allow()))
    last:join()
    assert.same({"1", "2", "3", "4"}, log)
  end)

  it("says ETIMEDOUT at once when those in front take too long", function()
    local l, log = rl.limiter{rate = 20, burst = 1}, {}
    assert.is_true(l:allow())
    waiter(l, log, "a")
    rl.yield()
    local begin = rl.now()
    assert.same({nil, "ETIMEDOUT: timed out", "ETIMEDOUT"}, {l:wait(1, 0.09)})
    assert.is_true(rl.now() - begin < 0.04)
    assert.is_true(l:wait(1, 5))
    assert.same({"a"}, log)
    assert.equal(1, l:stats().timed_out)
  end)

  it("cancelled, leaves its tokens to those behind it", function()
    local l, log = rl.limiter{rate = 50, burst = 10}, {}
    l:allow(10)
    local begin = rl.now()
    local first = waiter(l, log, "first", 10)
    rl.yield()
    local second = waiter(l, log, "second", 1)
    rl.yield()
    first:cancel()
    first:join()
    second:join()
    assert.same({"second"}, log)
    assert.is_true(rl.now() - begin < 0.15)
    assert.equal(0, l:stats().waiting)
  end)
end)

H.both("keys", function(it)
  it("have an account each", function()
    local l = rl.limiter{rate = 0.001, burst = 2, keys = 10}
    assert.is_true(l:of("a"):allow(2))
    assert.is_nil((l:of("a"):allow()))
    assert.is_true(l:of("b"):allow(2))
    assert.is_true(l:allow(2))
    assert.equal(l:of "a", l:of "a")
    local stats = l:stats()
    assert.same({3, 1, 2}, {stats.allowed, stats.refused, stats.keys})
    H.raises_text("a key expected", l.of, l)
  end)

  it("are bounded; a full account goes before a limited one, the oldest first", function()
    local l = rl.limiter{rate = 0.001, burst = 2, keys = 3}
    for _, key in ipairs{"a", "b", "c"} do
      l:of(key):allow(2)
    end
    H.collect()
    l:of "a"
    l:of("d"):allow(2) -- all are limited: b is the oldest
    H.collect()
    assert.equal(3, l:stats().keys)
    assert.is_nil((l:of("a"):allow()))
    assert.is_nil((l:of("c"):allow()))
    assert.is_nil((l:of("d"):allow()))
    assert.is_true(l:of("b"):allow()) -- forgotten
    H.collect()
    l:of "e" -- full
    l:of("f"):allow(2) -- in e's place
    H.collect()
    assert.is_nil((l:of("f"):allow(2)))
    assert.is_nil((l:of("d"):allow())) -- the oldest, but limited
    assert.equal(3, l:stats().keys)
  end)

  it("that somebody holds stay what they are, though dropped", function()
    local l = rl.limiter{rate = 0.001, burst = 1, keys = 1}
    local a = l:of "a"
    a:allow()
    l:of("b"):allow()
    H.collect()
    assert.equal(a, l:of "a")
    assert.is_nil((l:of("a"):allow()))
    assert.equal(1, l:stats().keys)
  end)

  it("count in the sum after they were dropped", function()
    local l = rl.limiter{rate = 0.001, burst = 1, keys = 2}
    for i = 1, 100 do
      l:of(i):allow()
    end
    H.collect()
    local stats = l:stats()
    assert.same({100, 2, 98}, {stats.allowed, stats.keys, stats.dropped})
  end)
end)

H.sim("keys", function(it)
  it("whose accounts are full again go by themselves", function()
    local l = rl.limiter{rate = 1, burst = 1}
    for i = 1, 500 do
      l:of(i):allow()
    end
    assert.equal(500, l:stats().keys)
    rl.sleep(2)
    for i = 1, 500 do
      l:of("new" .. i):allow()
    end
    assert.equal(500, l:stats().keys)
    rl.sleep(2)
    for i = 1, 250 do
      l:of("newer" .. i):allow()
    end
    assert.equal(256, l:stats().keys)
  end)
end)

H.both("a shared limiter", function(it)
  local SHARED = {kind = "gcra", rate = 0.001, burst = 100, scope = "shared"}

  it("is one account on all shards", function()
    local l = rl.limiter(SHARED)
    local function take()
      local n = 0
      for _ = 1, 80 do
        n = n + (l:allow() and 1 or 0)
      end
      return n
    end
    local others, sum = {}, 0
    for shard = 1, rl.shards() do
      others[shard] = rl.spawn_on(shard, take)
    end
    for _, job in ipairs(others) do
      local ok, n = job:join()
      assert.is_true(ok, n)
      sum = sum + n
    end
    assert.equal(math.min(100, 80 * rl.shards()), sum)
    assert.equal(100 - sum, l:stats().available)
  end, {shards = 2})

  it("waits", function()
    local l = rl.limiter{kind = "gcra", rate = 100, burst = 1, scope = "shared"}
    local ok, waited = rl.spawn_on(2, function()
      local begin = rl.now()
      l:wait()
      l:wait()
      return rl.now() - begin
    end):join()
    assert.is_true(ok, waited)
    assert.is_true(waited > 0.0099, waited)
    assert.is_truthy(tostring(l):find("100/s, shared", 1, true))
  end, {shards = 2})

  it("keeps its rate, has no keys and needs a rate that can be counted", function()
    local l = rl.limiter(SHARED)
    H.raises_text("keeps its rate", l.set_rate, l, 1)
    H.raises_text("no keys", l.of, l, 1)
    H.raises_text("exactly", rl.limiter, {kind = "gcra", rate = math.pi, scope = "shared"})
  end)
end)

H.sim("random tasks that wait, give up, are cancelled or see the rate change", function(it)
  local function play(seed)
    math.randomseed(seed)
    local rate, burst = math.random(1, 50), math.random(1, 5)
    local l = rl.limiter{kind = seed % 2 == 0 and "gcra" or nil, rate = rate, burst = burst}
    local taken, begin, tasks = 0, rl.now(), {}
    for i = 1, math.random(2, 8) do
      local n, t = math.random(1, burst), math.random(3) == 1 and math.random() * 0.2 or nil
      tasks[i] = rl.go(function()
        local asked = rl.now()
        local ok, _, code = l:wait(n, t)
        if ok then
          taken = taken + n
          -- Never faster than burst and rate; never later than it was willing to wait.
          assert.is_true(taken <= burst + (rl.now() - begin) * rate + 1e-6, "seed " .. seed)
          assert.is_true(not t or rl.now() - asked <= t + H.TICK, "seed " .. seed)
        else
          assert.equal("ETIMEDOUT", code)
          assert.equal(asked, rl.now(), "seed " .. seed)
        end
      end)
      if math.random(3) == 1 then
        rl.sleep(math.random() * 0.1)
      end
      if math.random(4) == 1 then
        tasks[math.random(i)]:cancel()
      end
    end
    for _, task in ipairs(tasks) do
      local ok, err = task:join()
      assert.is_true(ok or (rl.is_cancel(err)), tostring(err))
    end
    assert.same({0, 0, nil}, {l:stats().waiting, l.queued, l.line and l.line.first or nil})
  end

  it("never exceed the rate, keep their deadlines and leave nothing", function()
    for seed = 1, H.rounds(3000, 100) do
      play(seed)
    end
  end)
end)

describe("a limiter", function()
  it("works outside of run, and in several runs", function()
    each_kind(function(name, l)
      assert.is_true(l:allow(), name)
      for _ = 1, 2 do
        H.run(function()
          l:allow(l:stats().available)
          assert.is_true(l:wait(1), name)
        end)
      end
      assert.equal(0, l:stats().waiting)
    end)
  end)

  it("is not kept waiting by those whose run ended", function()
    local l = rl.limiter{rate = 0.001, burst = 1}
    H.run(function()
      l:allow()
      rl.daemon(l.wait, l)
      rl.yield()
      assert.equal(1, l:stats().waiting)
    end)
    assert.equal(0, l:stats().waiting)
    H.raises_text("not inside a task", l.wait, l)
  end)

  it("tells its state", function()
    local l = rl.limiter{rate = 10, burst = 3}
    assert.equal("ringlet.limiter: token_bucket, 3 of 3 available, 10/s", tostring(l))
    l:of "a"
    assert.equal("ringlet.limiter: token_bucket, 3 of 3 available, 10/s, 1 keys", tostring(l))
    l = rl.limiter{kind = "sliding_window", limit = 3, window = 60}
    assert.equal("ringlet.limiter: sliding_window, 3 of 3 available, in 60 s", tostring(l))
    local stats = l:stats()
    assert.same({"sliding_window", 0.05, 3}, {stats.kind, stats.rate, stats.available})
  end)

  it("refuses options that make no sense, at the caller's level", function()
    for text, opts in pairs{
      ["option 'rate' is missing"] = {}, ["option 'rate' must be"] = {rate = 0},
      ["option 'burst' must be"] = {rate = 1, burst = 0.5},
      ["option 'kind' must be"] = {kind = "leaky"}, ["unknown option 'size'"] = {size = 1},
      ["option 'window' is missing"] = {kind = "sliding_window", limit = 1},
      ["option 'limit' is not for kind 'gcra'"] = {kind = "gcra", rate = 1, limit = 1},
      ["scope \"shared\" is for kind"] = {rate = 1, scope = "shared"},
      ["option 'keys' must be"] = {rate = 1, keys = 0},
      ["option 'limit' is missing, or"] = {kind = "concurrency"},
      ["option 'initial' is for an algorithm"] = {kind = "concurrency", limit = 1, initial = 1},
      ["option 'limit' is for a fixed limit"] = {
        kind = "concurrency", limit = 1, algorithm = "aimd",
      },
      ["'min_limit' is more"] = {
        kind = "concurrency", algorithm = "aimd", min_limit = 3, max_limit = 2,
      },
    } do
      local err = H.raises_text(text, function() rl.limiter(opts) end)
      assert.is_truthy(tostring(err):find(HERE, 1, true), tostring(err))
    end
  end)
end)
