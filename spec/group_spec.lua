-- SPDX-License-Identifier: MIT
-- rl.group: calls, casts, submissions, each; order; what callers see of failures.
local H = require "spec.helper"
local gates = require "spec.gate"
local ledger = require "spec.ledger"
local rl = require "ringlet"
local router = require "ringlet.router"

local TWO, FOUR = {shards = 2}, {shards = 4}

local function init(i)
  return {index = i, n = 0}
end

local methods = {}
function methods.where(s, key) return s.index, rl.shard(), key end
function methods.add(s, _, d) s.n = s.n + (d or 1) return s.n end
function methods.raise(_, _, err) error(err, 0) end
function methods.slow(s, _, t) rl.sleep(t) s.n = s.n + 1 return s.n end
function methods.hold(s, _, gate) gates.pass(gate) s.n = s.n + 1 return s.n end
function methods.give(_, _, ...) return ... end

local function group(more)
  local opts = {shards = 3, init = init, methods = methods, stateless = true}
  for k, v in pairs(more or {}) do opts[k] = v end
  return rl.group(opts)
end

-- What goes to on_error while fn runs.
local function reported(fn)
  local list = {}
  rl.on_error(function(err, trace) list[#list + 1] = {tostring(err), trace} end)
  fn()
  return list
end

H.both("a group", function(it)
  it("calls a method in the logical shard of a key", function()
    local g = assert(group{shards = 5})
    local r = router.ring(5)
    for key = 1, 40 do
      local index, shard, same = g:call(key, "where")
      assert.same({r:get(key), (index - 1) % 2 + 1, key}, {index, shard, same})
    end
    assert.same({index = r:get "k"}, {index = (g:call("k", "where"))})
    g:stop()
  end, TWO)

  it("works on one thread", function()
    local g = assert(group{shards = 7})
    for key = 1, 20 do
      assert.equal(1, (select(2, g:call(key, "where"))))
    end
    assert.equal(7, g:size())
    g:stop()
  end, {shards = 1})

  it("has more threads than logical shards, or fewer", function()
    for _, n in ipairs{1, 9} do
      local g = assert(group{shards = n})
      local seen = g:each("where")
      for i = 1, n do assert.equal(i, seen[i]) end
      g:stop()
    end
  end, FOUR)

  it("keeps a state for each logical shard", function()
    local g = assert(group{router = function(key) return key end})
    g:call(1, "add", 10)
    g:call(1, "add", 5)
    g:call(3, "add", 1)
    assert.same({15, 0, 1}, g:each("add", 0))
    g:stop()
  end, TWO)

  it("gives any number of results, nil among them, and takes copies", function()
    local g = assert(group())
    local t = {1}
    assert.same({n = 0}, H.pack(g:call("k", "give")))
    assert.same({n = 3, nil, 2, nil}, H.pack(g:call("k", "give", nil, 2, nil)))
    local got = g:call("k", "give", t)
    assert.same(t, got)
    assert.is_false(rawequal(t, got))
    assert.same({nil, "ENOENT: x", "ENOENT"}, {g:call("k", "give", nil, "ENOENT: x", "ENOENT")})
    g:stop()
  end, TWO)

  it("raises the method's error: a string with the remote traceback", function()
    local g = assert(group{methods = {bad = function() error("oops") end, raise = methods.raise}})
    for key = 1, 4 do
      local err = H.raises(g.call, g, key, "bad")
      assert.is_truthy(err:find("group_spec.lua:%d+: oops\nremote stack traceback:\n"), err)
      assert.same({why = "x"}, H.raises(g.call, g, key, "raise", {why = "x"}))
      assert.is_nil(H.raises(g.call, g, key, "raise", nil))
    end
    assert.equal(1, H.raises(g.call, g, 1, "raise", 1))
    g:stop()
  end, TWO)

  it("says why a result cannot travel", function()
    local g = assert(group{methods = {bad = function() return coroutine.create(print) end}})
    H.raises_text("is a coroutine", g.call, g, "k", "bad")
    assert.equal(1, g:stats()[router.ring(3):get "k"].done)
    g:stop()
  end, TWO)

  it("casts without waiting, and tells failures to on_error", function()
    local g = assert(group())
    local list = reported(function()
      for key = 1, 6 do assert.is_true(g:cast(key, "add")) end
      assert.is_true(g:cast("k", "raise", "oops"))
      local sum = 0
      for _, n in ipairs(g:each("add", 0)) do sum = sum + n end
      assert.equal(6, sum)
      g:stop()
    end)
    assert.equal(1, #list)
    assert.equal("oops", list[1][1])
    assert.is_truthy(list[1][2]:find "stack traceback")
  end, TWO)

  it("submits a travelling function", function()
    local g = assert(group{router = "mod"})
    local r = router.mod(3)
    local factor = 3
    local futures = {}
    for key = 1, 6 do
      futures[key] = g:submit(key, function(s, k, x)
        rl.yield()
        return s.index, k, x * factor
      end, 5)
    end
    for key, f in ipairs(futures) do
      assert.same({true, r:get(key), key, 15}, {f:join()})
      assert.equal("done", f:status())
    end
    local f = g:submit("k", function() error("oops") end)
    local ok, err, trace = f:join()
    assert.is_false(ok)
    assert.is_truthy(tostring(err):find "oops")
    assert.is_truthy(trace:find "stack traceback")
    g:stop()
  end, TWO)

  it("gives futures that select takes, and that can be cancelled", function()
    local g = assert(group{shards = 1})
    local quick = g:submit("k", function() return 1 end)
    assert.same({1, true, 1}, {rl.select{{quick}}})
    local running = g:submit("k", function() rl.sleep(1000) end)
    local waiting = g:submit("k", function() return 2 end)
    local last = g:submit("k", function() return 3 end)
    assert.equal("ETIMEDOUT", (select(3, rl.select({{running}, {waiting}}, 0.02))))
    waiting:cancel("not wanted")
    running:cancel("too slow")
    for f, why in pairs{[waiting] = "not wanted", [running] = "too slow"} do
      local ok, err = f:join()
      assert.is_false(ok)
      assert.same({true, why}, {rl.is_cancel(err)})
    end
    assert.same({true, 3}, {last:join()})
    assert.equal("running", g:status(1))
    g:stop()
  end, TWO)

  it("calls every logical shard, in order, without a key", function()
    local g = assert(group{methods = {
      index = function(s, key, x) return s.index * x, key end,
      raise = function(s, _, at)
        rl.yield()
        if s.index >= at then error("at " .. s.index, 0) end
      end,
    }})
    assert.same({10, 20, 30}, g:each("index", 10))
    H.raises_text("at 2\n", g.each, g, "raise", 2)
    assert.same({n = 1, {}}, H.pack(g:each("raise", 4)))
    g:stop()
  end, TWO)

  it("travels, and is found by its name", function()
    local g = assert(group{name = "travellers"})
    assert.equal("ringlet.group: travellers (3 logical shards)", tostring(g))
    for i = 1, 2 do
      local ok, n, size, text = rl.spawn_on(i, function(h)
        h:call("k", "add", 1)
        return rl.groups("travellers"):call("k", "add", 1), h:size(), tostring(h)
      end, g):join()
      assert.same({true, 2 * i, 3, tostring(g)}, {ok, n, size, text})
    end
    g:stop()
    assert.is_nil(rl.groups "travellers")
    assert.equal("ECLOSED", (select(3, g:call("k", "add"))))
    assert.equal(0, g:size())
  end, TWO)

  it("may be made and stopped on any thread", function()
    local ok, g = rl.spawn_on(2, function(i, m)
      return assert(rl.group{name = "elsewhere", shards = 3, init = i, methods = m})
    end, init, methods):join()
    assert.is_true(ok)
    assert.equal(7, g:call("k", "add", 7))
    assert.equal(7, rl.groups("elsewhere"):call("k", "add", 0))
    assert.is_true(g:stop())
    assert.is_nil(rl.groups "elsewhere")
  end, TWO)

  it("has a name that no other has", function()
    local g = assert(group{name = "one"})
    assert.equal("EEXIST", (select(3, group{name = "one"})))
    local _, code = rl.spawn_on(2, function()
      return (select(3, rl.group{name = "one", shards = 1}))
    end):join()
    assert.equal("EEXIST", code)
    assert.equal(1, g:call("k", "add"))
    g:stop()
    g = assert(group{name = "one"})
    local other = assert(group())
    assert.are_not.equal(g.name, other.name)
    g:stop()
    other:stop()
  end, TWO)

  it("whose init raises is not made, and nothing is left", function()
    local before = rl.stats().tasks
    local err = H.raises(rl.group, {name = "bad", shards = 4, init = function(i)
      rl.yield()
      if i == 3 then error("no " .. i) end
      return i
    end})
    assert.is_truthy(err:find("no 3\nremote stack traceback"), err)
    assert.equal(before, rl.stats().tasks)
    assert.is_nil(rl.groups "bad")
    local g = assert(group{name = "bad"})
    g:stop()
  end, TWO)

  it("is not kept when whoever makes it is cancelled", function()
    local gate = gates.new()
    local maker = rl.go(rl.group, {name = "half", shards = 2, init = function()
      gates.pass(gate)
    end})
    gates.reached(gate)
    maker:cancel()
    assert.is_true((rl.is_cancel(select(2, maker:join()))))
    gates.open(gate)
    local g = H.eventually("its name is free", function() return group{name = "half"} end)
    assert.equal(g.id, rl.groups("half").id)
    g:stop()
  end, TWO)

  it("is nothing that a run waits for, but calls in flight are", function()
    local g = assert(group())
    g:cast("k", "slow", 0.01)
    g.name = "left to the end of the run"
  end, TWO)

  it("calls another group, and other logical shards", function()
    local outer = assert(group{router = function(key) return key end, methods = {
      pass = function(s, key, g, step, n)
        return n == 0 and s.index or g:call(key + step, "pass", g, step, n - 1)
      end,
    }})
    assert.equal(2, outer:call(1, "pass", outer, 1, 1))
    assert.equal(3, outer:call(1, "pass", outer, 1, 2))
    H.raises_text("waits for that shard itself", outer.call, outer, 1, "pass", outer, 0, 1)
    assert.same({1, 2, 3}, outer:each("pass", outer, 0, 0))
    H.raises_text("waits for that shard itself", function()
      assert(outer:submit(1, function(_, _, g) return g:each("pass", g, 0, 0) end, outer):join())
    end)
    outer:stop()
  end, TWO)

  it("refuses misuse at the caller's line", function()
    local g = assert(group())
    for text, fn in pairs{
      ["has no method 'nothing'"] = function() g:call("k", "nothing") end,
      ["has no method 'false'"] = function() g:cast("k") end,
      ["a key expected"] = function() g:call(nil, "add") end,
      ["function expected, got string"] = function() g:submit("k", "add") end,
      ["unknown option 'x'"] = function() rl.group{x = 1} end,
      ["option 'shards' must be a whole number"] = function() rl.group{shards = 0} end,
      ["option 'capacity'"] = function() rl.group{shards = 1, capacity = 0.5} end,
      ["option 'heartbeat'"] = function() rl.group{shards = 1, heartbeat = 0} end,
      ["option 'methods'"] = function() rl.group{shards = 1, methods = {1}} end,
      ["belong together"] = function() rl.group{shards = 1, export = print} end,
      ["unknown router 'x'"] = function() rl.group{shards = 1, router = "x"} end,
      ["the router has 2 nodes"] = function() rl.group{shards = 1, router = router.mod(2)} end,
      ["a whole number of at least 1 expected"] = function() g:resize(0) end,
      ["no logical shard 4"] = function() g:pause(4) end,
      ["is a coroutine"] = function() g:call("k", "add", coroutine.create(print)) end,
      ["is running: it cannot become running"] = function() g:resume(1) end,
      ["upvalue 'file'"] = function()
        local file = io.stdout
        rl.group{shards = 1, methods = {m = function() return file end}}
      end,
    } do
      local err = H.raises_text(text, fn)
      assert.is_truthy(err:find "group_spec.lua:%d+: ", err)
    end
    H.raises_text("group expected", g.call, {}, "k", "add")
    H.raises_text("group expected", g.cast, nil, "k", "add")
    g:stop()
  end, TWO)

  it("sends keys of one path where its router says", function()
    for _, kind in ipairs{"mod", "ring", "jump", "maglev", "rendezvous"} do
      local g, r = assert(group{router = kind, shards = 5}), router.new(kind, 5)
      local own = assert(rl.group{init = init, methods = methods,
        router = router.new(kind, {"a", "b", "c"})})
      for key = 1, 30 do
        assert.equal(r:get(key), (g:call(key, "where")))
        assert.equal(router.new(kind, {"a", "b", "c"}):index(key), (own:call(key, "where")))
      end
      g:stop()
      own:stop()
    end
    local g = assert(group{router = function(key, n)
      return key == "bad" and n + 1 or #key % n + 1
    end})
    assert.equal(3, (g:call("xx", "where")))
    H.raises_text("the router gave 4", g.call, g, "bad", "where")
    g:stop()
  end, TWO)

  it("keeps the order per key, one call at a time", function()
    local g = ledger.group(8)
    local n, sent = H.rounds(1000, 100), 0
    for _, f in ipairs(ledger.load(g, n, 50)) do
      sent = sent + select(2, assert(f:join()))
    end
    assert.equal(4 * n, sent)
    assert.equal(sent, ledger.sum(g, "total"))
    g:stop()
  end, FOUR)

  it("keeps it with bounded queues", function()
    for _, capacity in ipairs{1, 7} do
      local g = ledger.group(3, {capacity = capacity})
      local n, sent = H.rounds(200, 40), 0
      for _, f in ipairs(ledger.load(g, n, 20)) do
        sent = sent + select(2, assert(f:join()))
      end
      assert.equal(sent, ledger.sum(g, "total"))
      g:stop()
    end
  end, FOUR)
end)

H.both("a caller", function(it, backend)
  it("that is cancelled withdraws a call that has not begun", function()
    local g = assert(group{shards = 1})
    local gate = gates.new()
    local first = rl.go(g.call, g, "k", "hold", gate)
    gates.reached(gate)
    local second = rl.go(g.call, g, "k", "add", 100)
    H.eventually("the second waits", function() return g:stats()[1].queued == 1 end)
    second:cancel()
    assert.is_false((second:join()))
    H.eventually("it waits no more", function() return g:stats()[1].queued == 0 end)
    gates.open(gate)
    assert.same({true, 1}, {first:join()})
    assert.equal(2, g:call("k", "add", 1))
    g:stop()
  end, TWO)

  it("that is cancelled does not cancel one that has", function()
    local g = assert(group{shards = 2, router = function() return 2 end})
    local gate = gates.new()
    local first = rl.go(g.call, g, "k", "hold", gate)
    gates.reached(gate)
    first:cancel()
    assert.is_false((first:join()))
    gates.open(gate)
    assert.equal(2, g:call("k", "add", 1))
    g:stop()
  end, TWO)

  it("may be timed by rl.timeout, or by its handle", function()
    local g = assert(group{shards = 2, router = function() return 2 end})
    local gate = gates.new()
    H.eventually("it is timed when it has begun, too", function()
      assert.equal("ETIMEDOUT", (select(3, rl.timeout(0.01, g.call, g, "k", "hold", gate))))
      return (gate.came:try_recv())
    end)
    local quick = g:with{timeout = 0.01}
    local t = rl.now()
    assert.equal("ETIMEDOUT", (select(3, quick:call("k", "add", 100))))
    assert.equal("ETIMEDOUT", (select(3, quick:each("add", 100))))
    assert.is_true(rl.now() - t < H.limit(0.08, backend))
    gates.open(gate)
    assert.equal(2, g:call("k", "add", 1))
    assert.same({0, 3}, {g:call("k", "give", 0), g:call("k", "add", 1)})
    g:stop()
  end, TWO)
end)

H.sim("a queue with a capacity", function(it)
  it("refuses casts when it is full", function()
    local g = assert(group{shards = 1, capacity = 2})
    assert.is_true(g:cast("k", "slow", 1))
    rl.sleep(0.5) -- it has begun: it is not in the queue any more
    assert.is_true(g:cast("k", "slow", 1))
    assert.is_true(g:cast("k", "slow", 1))
    assert.equal("EAGAIN", (select(3, g:cast("k", "slow", 1))))
    assert.equal(2, g:stats()[1].queued)
    rl.sleep(1)
    assert.is_true(g:cast("k", "slow", 1))
    assert.equal("EAGAIN", (select(3, g:cast("k", "slow", 1))))
    assert.equal(5, g:call("k", "add", 1))
    g:stop()
  end, TWO)

  it("makes calls and submissions wait, first come, first served", function()
    local g, log = assert(group{shards = 1, capacity = 1}), {}
    for i = 1, 5 do
      rl.go(function()
        local n = g:call("k", "slow", 1)
        log[#log + 1] = {i, n}
      end)
    end
    rl.sleep(0.5)
    local t = rl.now()
    local f = g:submit("k", function(s) return s.n end)
    assert.is_true(math.abs(rl.now() - t - 3.5) < 0.02)
    assert.same({true, 5}, {f:join()})
    assert.same({{1, 1}, {2, 2}, {3, 3}, {4, 4}, {5, 5}}, log)
    g:stop()
  end, TWO)

  it("gives up in time", function()
    local g = assert(group{shards = 1, capacity = 1})
    g:cast("k", "slow", 1)
    rl.sleep(0.1)
    g:cast("k", "slow", 1)
    local quick = g:with{timeout = 0.1}
    assert.equal("ETIMEDOUT", (select(3, quick:submit("k", function() return 1 end))))
    assert.equal("ETIMEDOUT", (select(3, quick:call("k", "add", 100))))
    assert.equal(3, g:call("k", "add"))
    g:stop()
  end, TWO)
end)

H.sim("a noisy key", function(it)
  it("slows nobody but its own logical shard", function()
    local g = assert(group{shards = 4, router = function(key) return key end})
    for _ = 1, 50 do g:cast(1, "slow", 0.1) end
    rl.sleep(0.01)
    for key = 2, 4 do
      for _ = 1, 10 do
        local t = rl.now()
        g:call(key, "slow", 0.01)
        assert.is_true(math.abs(rl.now() - t - 0.01) <= H.TICK)
      end
    end
    local t = rl.now()
    assert.equal(51, g:call(1, "add"))
    assert.is_true(rl.now() - t > 4)
    g:stop()
  end, {shards = 1})
end)

H.sim("the numbers of a group", function(it)
  it("are kept for each logical shard", function()
    local g = assert(group{shards = 3, capacity = 10, router = function(key) return key end,
      tags = function(i) return {zone = i % 2} end})
    g:cast(1, "slow", 1)
    g:cast(1, "slow", 1)
    g:cast(1, "slow", 1)
    g:call(2, "add")
    pcall(g.call, g, 2, "raise", "x")
    local stats = g:stats()
    assert.same({1, 1, {zone = 1}, 10, "running", true, 2, 0}, {stats[1].id, stats[1].shard,
      stats[1].tags, stats[1].capacity, stats[1].state, stats[1].active, stats[1].queued,
      stats[1].done})
    assert.same({2, 2, {zone = 0}, false, 1, 1, 0, 1}, {stats[2].id, stats[2].shard, stats[2].tags,
      stats[2].active, stats[2].done, stats[2].failed, stats[2].lost, stats[2].generation})
    local m = g:metrics()
    assert.equal(2, m.queue)
    assert.is_true(math.abs(m.active - 1 / 3) < 1e-9 and m.p95 < 0.01)
    rl.sleep(3.1)
    stats, m = g:stats(), g:metrics()
    assert.same({0, 3}, {stats[1].queued, stats[1].done})
    assert.is_true(math.abs(stats[1].mean_wait - 1) < 0.01)
    assert.is_true(math.abs(m.p95 - 3) < 0.01)
    assert.equal(0, m.active)
    g:stop()
    assert.same({{}, {queue = 0, active = 0}}, {g:stats(), g:metrics()})
  end, TWO)

  it("are what an autoscaler wants", function()
    local g = assert(group{shards = 1})
    local a = rl.autoscaler{target = g, max = 4, rules = {{metric = "queue", above = 3, step = 1}}}
    for key = 1, 40 do g:cast(key, "slow", 0.5) end
    rl.sleep(10)
    assert.equal(4, g:size())
    a:stop()
    g:stop()
  end, TWO)
end)
