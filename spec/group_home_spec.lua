-- SPDX-License-Identifier: MIT
-- Groups as a whole: resizing, bounded groups, stopping.
local H = require "spec.helper"
local client = require "ringlet.group_client"
local gates = require "spec.gate"
local ledger = require "spec.ledger"
local rl = require "ringlet"
local router = require "ringlet.router"
local shared = require "ringlet.shared"
local test = require "ringlet.test"

local TWO, FOUR = {shards = 2}, {shards = 4}

local function by_key(key)
  return key
end

-- Wait until a logical shard runs a call, and as many wait behind it.
local function until_busy(g, index, queued)
  H.eventually("a call runs, and others wait behind it", function()
    local s = g:stats()[index]
    return s.active and s.queued == queued
  end)
end

-- Wait until calls of keys that move are held back.
local function until_moving(g)
  H.eventually("the resize moves keys", function() return client.find(g.id).moving end)
end

-- ---- resizing -----------------------------------------------------------------------------------

-- A store: a value for each key, with a log of what moved.
local store = {
  init = function(i) return {index = i, values = {}, imported = {}, exported = {}} end,
  methods = {
    set = function(s, key, v) s.values[key] = v return s.index end,
    get = function(s, key) return s.values[key], s.index end,
    hold = function(s, key, gate, v)
      gates.pass(gate)
      s.values[key] = v
      return s.index
    end,
    moved = function(s) return {s.exported, s.imported} end,
    all = function(s) return s.values end,
  },
  keys = function(s)
    local list = {}
    for key in pairs(s.values) do list[#list + 1] = key end
    table.sort(list)
    return list
  end,
  export = function(s, key)
    local v = s.values[key]
    s.values[key] = nil
    s.exported[#s.exported + 1] = key
    return v
  end,
  import = function(s, key, v)
    s.values[key] = v
    s.imported[#s.imported + 1] = key
  end,
}

local function new_store(more)
  local opts = {}
  for k, v in pairs(store) do opts[k] = v end
  for k, v in pairs(more) do opts[k] = v end
  return assert(rl.group(opts))
end

H.both("a resize", function(it)
  it("moves only the keys whose logical shard changes", function()
    for _, kind in ipairs{"ring", "mod", "jump", "maglev", "rendezvous"} do
      local g = new_store{shards = 4, router = kind}
      for key = 1, 60 do g:call(key, "set", key * key) end
      for _, n in ipairs{6, 3, 3, 1, 4} do
        local before, after = router.new(kind, g:size()), router.new(kind, n)
        local moved_before, moving = 0, 0
        for _, m in ipairs(g:each("moved")) do moved_before = moved_before + #m[2] end
        for key = 1, 60 do moving = moving + (before:get(key) ~= after:get(key) and 1 or 0) end
        assert.is_true(g:resize(n))
        assert.equal(n, g:size())
        for key = 1, 60 do
          assert.same({key * key, after:get(key)}, {g:call(key, "get")})
        end
        if n > before.n then
          local moved = 0
          for _, m in ipairs(g:each("moved")) do moved = moved + #m[2] end
          assert.equal(moving, moved - moved_before)
        end
      end
      g:stop()
    end
  end, TWO)

  it("under load keeps the order, loses nothing and doubles nothing", function()
    local g, n, sent = ledger.group(2), H.rounds(1000, 100), 0
    local futures = ledger.load(g, n, 50)
    for _, size in ipairs{5, 3, 8, 1, 4} do
      assert.is_true(g:resize(size))
      rl.sleep(0.01)
    end
    for _, f in ipairs(futures) do sent = sent + select(2, assert(f:join())) end
    assert.same({4 * n, 4 * n}, {sent, ledger.sum(g, "total")})
    assert.equal(n >= 1000 and 50 or ledger.sum(g, "keys"), ledger.sum(g, "keys"))
    g:stop()
  end, FOUR)

  it("under load goes well with bounded queues", function()
    local g, n, sent = ledger.group(2, {capacity = 3}), H.rounds(400, 100), 0
    local futures = ledger.load(g, n, 30)
    for _, size in ipairs{5, 3, 6} do assert.is_true(g:resize(size)) end
    for _, f in ipairs(futures) do sent = sent + select(2, assert(f:join())) end
    assert.same({sent, 30}, {ledger.sum(g, "total"), ledger.sum(g, "keys")})
    g:stop()
  end, FOUR)

  -- Under GC torture the busy thread sends faster than the others can do.
  local function unless_tortured(what, fn, opts)
    if H.torture then
      pending(what .. ": the busy thread never lets up under GC torture")
    else
      it(what, fn, opts)
    end
  end
  unless_tortured("waits for what a busy thread still sends by the old plan", function()
    local g = ledger.group(1, {router = function(key, n) return (key - 1) % n + 1 end})
    local f = rl.spawn_on(3, function(h)
      local number = 0
      repeat
        for _ = 1, 30 do -- reads no messages meanwhile
          number = number + 1
          assert(h:cast(2, "write", "busy", number, 0))
          for k = 1, 3000 do math.sin(k) end
        end
        rl.yield()
      until rl.groups "enough"
      rl.check(h:each("total"))
      return number
    end, g)
    repeat rl.yield() until g:call(2, "keys") > 0
    for _, size in ipairs{2, 1, 2, 1, 2} do assert.is_true(g:resize(size)) end
    local enough = assert(rl.group{name = "enough", shards = 1})
    local ok, number = f:join()
    enough:stop()
    assert.is_true(ok)
    assert.equal(number, ledger.sum(g, "total"))
    g:stop()
  end, {shards = 3, preempt = false})

  it("takes waiting calls along", function()
    local g = new_store{shards = 1, router = function(key, n) return (key - 1) % n + 1 end}
    local gate = gates.new()
    local first = rl.go(g.call, g, 1, "hold", gate, "a")
    gates.reached(gate)
    local second = rl.go(g.call, g, 2, "set", "b")
    rl.yield()
    local f = g:submit(2, function(s, _, x) return s.values[2], s.index, x end, 7)
    until_busy(g, 1, 2)
    local h = rl.go(g.resize, g, 2)
    until_moving(g)
    gates.open(gate)
    assert.same({true, true}, {h:join()})
    assert.same({true, 1}, {first:join()})
    assert.same({true, 2}, {second:join()})
    assert.same({true, "b", 2, 7}, {f:join()})
    g:stop()
  end, TWO)

  it("can be asked for on any thread, and by several at once", function()
    local g = new_store{shards = 1}
    for key = 1, 20 do g:call(key, "set", key) end
    local futures = {}
    local function resize(h, n) return h:resize(n) end
    for i = 1, 6 do futures[i] = rl.spawn_on(i % 2 + 1, resize, g, i) end
    for _, f in ipairs(futures) do assert.same({true, true}, {f:join()}) end
    for key = 1, 20 do assert.equal(key, (g:call(key, "get"))) end
    g:stop()
  end, TWO)

  it("is refused when the state cannot move", function()
    local g = assert(rl.group{shards = 2, methods = store.methods, init = store.init})
    assert.equal("EOPNOTSUPP", (select(3, g:resize(3))))
    assert.equal(2, g:size())
    g:stop()
    g = assert(rl.group{shards = 2, stateless = true, router = by_key})
    assert.is_true(g:resize(3))
    assert.equal(3, #g:status())
    g:stop()
  end, TWO)

  it("is refused when the router has names, or somebody is paused", function()
    local g = new_store{router = router.jump{"a", "b"}}
    assert.equal("EOPNOTSUPP", (select(3, g:resize(3))))
    g:stop()
    g = new_store{shards = 2}
    g:pause(2)
    assert.equal("EBUSY", (select(3, g:resize(3))))
    g:resume(2)
    assert.is_true(g:resize(3))
    g:stop()
    assert.equal("ECLOSED", (select(3, g:resize(3))))
  end, TWO)

  it("keeps others from pausing", function()
    local g, gate = new_store{shards = 1}, gates.new()
    rl.go(g.call, g, 1, "hold", gate)
    gates.reached(gate)
    local h = rl.go(g.resize, g, 2)
    until_moving(g)
    assert.equal("EBUSY", (select(3, g:pause())))
    gates.open(gate)
    assert.same({true, true}, {h:join()})
    g:stop()
  end, TWO)

  it("that fails to export changes nothing", function()
    local g = new_store{shards = 3, export = function(s, key)
      if key == 17 then error("not this one", 0) end
      return store.export(s, key)
    end}
    for key = 1, 30 do g:call(key, "set", -key) end
    local n, msg, code = 3, nil, nil
    while not code do
      n = n + 1
      msg, code = select(2, g:resize(n))
    end
    local r = router.ring(n - 1)
    assert.same({"ECANCELED", "ECANCELED: nothing has moved: not this one"}, {code, msg})
    assert.equal(r.n, g:size())
    for key = 1, 30 do assert.same({-key, r:get(key)}, {g:call(key, "get")}) end
    g:stop()
  end, TWO)

  it("whose values cannot travel changes nothing", function()
    local g = new_store{shards = 1, export = function(s, key)
      local v = store.export(s, key)
      return key == 5 and coroutine.wrap(print) or v
    end, import = function(s, key, v)
      s.values[key] = type(v) == "number" and v or "was put back"
    end, router = function(key, n) return key % n + 1 end}
    for key = 1, 8 do g:call(key, "set", key) end
    assert.is_truthy((select(2, g:resize(2))):find "cannot travel: value%[2%] is a ")
    for key = 1, 8 do
      assert.same({key == 5 and "was put back" or key, 1}, {g:call(key, "get")})
    end
    g:stop()
  end, TWO)

  it("tells of keys that could not be imported", function()
    local reports = {}
    rl.on_error(function(err) reports[#reports + 1] = tostring(err) end)
    local g = new_store{shards = 1, router = function(key, n) return key % n + 1 end,
      import = function(s, key, v)
        if key == 3 then error("full", 0) end
        store.import(s, key, v)
      end}
    for key = 1, 8 do g:call(key, "set", key) end
    assert.same({nil, "ELOST: 1 keys could not be imported", "ELOST"}, {g:resize(2)})
    assert.same({"import of key 3: full"}, reports)
    assert.same({2, 5}, {g:size(), (g:call(5, "get"))})
    g:stop()
  end, TWO)

  it("whose new logical shards cannot begin changes nothing", function()
    local g = new_store{shards = 2, init = function(i)
      if i == 4 then error("no fourth") end
      return store.init(i)
    end}
    for key = 1, 10 do g:call(key, "set", key) end
    H.raises_text("no fourth", g.resize, g, 5)
    assert.same({2, {"running", "running"}}, {g:size(), g:status()})
    for key = 1, 10 do assert.equal(key, (g:call(key, "get"))) end
    assert.is_true(g:resize(3))
    g:stop()
  end, TWO)

  it("withdraws a held call", function()
    local g = new_store{shards = 1, router = function(key, n) return (key - 1) % n + 1 end}
    local gate = gates.new()
    rl.go(g.call, g, 1, "hold", gate)
    gates.reached(gate)
    local h = rl.go(g.resize, g, 2)
    until_moving(g)
    assert.equal("ETIMEDOUT", (select(3, g:with{timeout = 0.01}:call(2, "set", "never"))))
    local later = rl.go(g.submit, g, 4, function() return "never" end)
    rl.yield()
    assert.equal("parked", (later:status())) -- until the resize is over
    gates.open(gate)
    assert.same({true, true}, {h:join()})
    assert.same({true, "never"}, {select(2, later:join()):join()})
    assert.is_nil((g:call(2, "get")))
    g:stop()
  end, TWO)
end)

describe("a resize under load", function()
  it("goes well in any order of events", function()
    test.seeds(H.rounds(20, 2), function()
      local g, sent = ledger.group(2, {capacity = 5}), 0
      local futures = ledger.load(g, 80, 12)
      for _, size in ipairs{3, 1, 4} do
        assert.is_true(g:resize(size))
        rl.sleep(0.003)
      end
      for _, f in ipairs(futures) do sent = sent + select(2, assert(f:join())) end
      assert.same({240, 240, 12}, {sent, ledger.sum(g, "total"), ledger.sum(g, "keys")})
      g:stop()
    end, {shards = 3})
  end)
end)

-- ---- bounded ------------------------------------------------------------------------------------

local count = {
  init = function(i) return {index = i, keys = {}, inside = 0} end,
  methods = {
    work = function(s, key, caller, number, t)
      local due = (s.keys[key] or {})[caller]
      s.inside = s.inside + 1
      assert(s.inside == 1, "two at a time")
      if t > 0 then rl.sleep(t) else rl.yield() end
      s.inside = s.inside - 1
      return s.index, due, number
    end,
    index = function(s) return s.index end,
  },
}

local function bounded(shards, epsilon)
  return assert(rl.group{shards = shards, stateless = true, init = count.init,
    methods = count.methods, router = router.bounded(shards, {epsilon = epsilon})})
end

-- Wait until so many calls wait in the queues of a group that is paused; how many in each.
local function until_queued(g, n)
  return H.eventually(n .. " calls wait", function()
    local per, sum = {}, 0
    for i, s in ipairs(g:stats()) do
      per[i], sum = s.queued, sum + s.queued
    end
    return sum == n and per
  end)
end

H.both("a bounded group", function(it)
  it("spreads the calls in flight, and pins keys that have some", function()
    local g = bounded(4, 0.25)
    g:pause()
    local calls = {}
    for key = 1, 40 do calls[#calls + 1] = rl.go(g.call, g, key, "work", 1, 1, 0) end
    for _, queued in ipairs(until_queued(g, 40)) do
      assert.is_true(queued <= 13, queued)
    end
    for key = 1, 3 do -- behind their first
      for _ = 1, 20 do calls[#calls + 1] = rl.go(g.call, g, key, "work", 1, 1, 0) end
    end
    until_queued(g, 100)
    g:resume()
    local at = {}
    for i, h in ipairs(calls) do
      local ok, index = h:join()
      assert.is_true(ok)
      local key = i <= 40 and i or math.floor((i - 41) / 20) + 1
      at[key] = at[key] or index
      assert.equal(at[key], index)
    end
    g:stop()
  end, TWO)

  it("keeps the order of a key while calls of it are in flight", function()
    local log, callers = {}, rl.waitgroup()
    local g = assert(rl.group{shards = 3, stateless = true, router = "bounded", methods = {
      write = function(_, _, n) rl.sleep(0.001 * (n % 3)) return n end,
    }})
    for key = 1, 6 do
      log[key] = {}
      for n = 1, 20 do
        callers:go(function()
          local got = g:call(key, "write", n)
          table.insert(log[key], got)
        end)
      end
    end
    assert.same({n = 1, false}, H.pack(#g:each("write", 0) ~= 3))
    callers:wait()
    for key = 1, 6 do
      for n = 1, 20 do assert.equal(n, log[key][n]) end
    end
    g:stop()
  end, TWO)

  it("grows, and shrinks when what must go has ended", function()
    local g = bounded(2)
    local results = {}
    for i = 1, 2 do
      results[i] = rl.spawn_on(i, function(h, me)
        for n = 1, 100 do assert(h:call(n % 10, "work", me, n, 0)) end
        return true
      end, g, i)
    end
    for _, n in ipairs{5, 3, 4, 1, 2} do assert.is_true(g:resize(n)) end
    for i = 1, 2 do assert.same({true, true}, {results[i]:join()}) end
    assert.same({1, 2}, g:each("index"))
    g:stop()
  end, TWO)

  it("can be withdrawn from, and bounded", function()
    local g = assert(rl.group{shards = 1, stateless = true, capacity = 2, router = "bounded",
      methods = {
        slow = function(_, _, t) rl.sleep(t) return t end,
        hold = function(_, _, gate) gates.pass(gate) end,
      }})
    local gate = gates.new()
    g:cast(1, "hold", gate)
    gates.reached(gate)
    assert.equal("ETIMEDOUT", (select(3, g:with{timeout = 0.01}:call(1, "slow", 1e5))))
    until_busy(g, 1, 0)
    assert.is_true(g:cast(1, "slow", 0))
    assert.is_true(g:cast(2, "slow", 0))
    assert.equal("EAGAIN", (select(3, g:cast(3, "slow", 0))))
    gates.open(gate)
    assert.equal(0, g:call(1, "slow", 0))
    local f = g:submit(1, function() rl.sleep(1e5) end)
    until_busy(g, 1, 0)
    f:cancel("enough")
    assert.is_true((rl.is_cancel((select(2, f:join())))))
    g:stop()
    H.raises_text("bounded group", rl.group, {shards = 1, router = "bounded", keys = print,
      export = print, import = print})
  end, TWO)
end)

-- ---- stopping -----------------------------------------------------------------------------------

-- A group whose calls and stops are told to another, which is not stopped.
local function told()
  local log = assert(rl.group{shards = 1, init = function() return {} end, methods = {
    add = function(s, _, v) s[#s + 1] = v end,
    all = function(s) return s end,
  }})
  local g = assert(rl.group{
    shards = 3, router = by_key, init = function(i) return {index = i, log = log} end,
    methods = {
      slow = function(s, _, t, v) rl.sleep(t) s.log:cast(1, "add", v) return v end,
      hold = function(s, _, gate, v) gates.pass(gate) s.log:cast(1, "add", v) return v end,
    },
    stop = function(s) s.log:call(1, "add", "stop " .. s.index) end,
  })
  return g, log
end

-- Seconds that are enough to let go on what waits, also where somebody else has the CPU.
local GRACE = 3

local function sorted(list)
  table.sort(list)
  return table.concat(list, ", ")
end

H.both("a stop", function(it)
  it("finishes what was accepted, then calls the hooks", function()
    local g, log = told()
    local calls = {}
    for i = 1, 3 do calls[i] = rl.go(g.call, g, 1, "slow", 0.01, "call " .. i) end
    g:cast(2, "slow", 0.03, "cast")
    rl.yield()
    local stop = rl.go(g.stop, g)
    rl.sleep(0.01)
    assert.equal("ECLOSED", (select(3, g:call(1, "slow", 0, "late"))))
    assert.same({true, true}, {stop:join()})
    for i = 1, 3 do assert.same({true, "call " .. i}, {calls[i]:join()}) end
    assert.equal("call 1, call 2, call 3, cast, stop 1, stop 2, stop 3",
      sorted(log:call(1, "all")))
    assert.is_true(g:stop())
    log:stop()
  end, TWO)

  it("runs what a pause held", function()
    local g, log = told()
    g:pause()
    for key = 1, 3 do g:cast(key, "slow", 0, "held " .. key) end
    assert.is_true(g:stop())
    assert.equal("held 1, held 2, held 3, stop 1, stop 2, stop 3", sorted(log:call(1, "all")))
    log:stop()
  end, TWO)

  it("at once refuses what waits and cancels what runs", function()
    local g, log = told()
    local running = rl.go(g.call, g, 2, "slow", 1e3, "never")
    rl.yield()
    until_busy(g, 2, 0)
    local waiting = rl.go(g.call, g, 2, "slow", 0, "never")
    local f = g:submit(2, function() return "never" end)
    local future = rl.go(f.join, f)
    until_busy(g, 2, 2)
    assert.is_true(g:stop(0))
    assert.equal("ECANCELED", (select(4, running:join())))
    assert.equal("ECLOSED", (select(4, waiting:join())))
    assert.equal("ECLOSED", rl.code((select(3, future:join()))))
    assert.equal("stop 1, stop 2, stop 3", sorted(log:call(1, "all")))
    log:stop(0)
  end, TWO)

  it("is forced after its grace", function()
    local g, log = told()
    local gate = gates.new()
    local quick = rl.go(g.call, g, 1, "hold", gate, "quick")
    local slow = rl.go(g.call, g, 2, "slow", 1e3, "never")
    gates.reached(gate)
    until_busy(g, 2, 0)
    local stop = rl.go(g.stop, g, GRACE)
    H.eventually("it takes no more", function() return select(3, g:cast(1, "slow", 0)) end)
    gates.open(gate)
    assert.same({true, "quick"}, {quick:join()})
    local done, ok, _, code = stop:join()
    assert.same({true, nil, "ETIMEDOUT"}, {done, ok, code})
    assert.equal("ECANCELED", (select(4, slow:join())))
    assert.is_true(g:stop())
    log:stop()
  end, TWO)

  it("may be asked for by several, from anywhere", function()
    local g, log = told()
    g:cast(1, "slow", 0.02, "cast")
    local futures = {}
    for i = 1, 4 do futures[i] = rl.spawn_on(i % 2 + 1, function(h) return h:stop() end, g) end
    for i = 1, 4 do assert.same({true, true}, {futures[i]:join()}) end
    assert.equal("cast, stop 1, stop 2, stop 3", sorted(log:call(1, "all")))
    log:stop()
  end, TWO)

  it("waits for a resize, and ends one that hangs by force", function()
    local g = new_store{shards = 1}
    local slow = rl.go(g.call, g, 1, "hold", gates.new())
    rl.yield()
    until_busy(g, 1, 0)
    local resize = rl.go(g.resize, g, 2)
    until_moving(g)
    assert.equal("ETIMEDOUT", (select(3, g:stop(0.02))))
    assert.equal("ECANCELED", (select(4, slow:join())))
    assert.is_true((resize:join()))
  end, TWO)

  it("tells an error of the hook to on_error", function()
    local reports = {}
    rl.on_error(function(err) reports[#reports + 1] = tostring(err):match "[^:]*$" end)
    local g = assert(rl.group{shards = 2, stop = function() error("oops") end})
    assert.is_true(g:stop())
    H.eventually("both are told of", function() return #reports == 2 end)
    assert.same({"oops", "oops"}, {reports[1]:match "oops", reports[2]:match "oops"})
  end, TWO)
end)

-- Submit to ten keys until that is refused, and tell when all were accepted once; wait for all that
-- was accepted.
local function submit_until_closed(g, begun)
  local futures, code = {}, nil
  repeat
    for key = 1, 10 do
      local f, msg
      f, msg, code = g:submit(key, function(s)
        rl.sleep(0.002)
        s.n = (s.n or 0) + 1
        return s.index
      end)
      futures[#futures + 1] = f
      assert(f or msg)
    end
    if #futures == 10 then begun:add(1) end
    rl.sleep(0.001)
  until code
  for _, f in ipairs(futures) do assert(f:join()) end
  return #futures, code
end

describe("the stop of a run under load", function()
  for _, backend in ipairs(H.BACKENDS) do
    it(("finishes everything that was accepted (%s)"):format(backend), function()
      if H.missing[backend] then
        pending(H.missing[backend])
        return
      end
      local got, left = {}, nil
      rl.run(function()
        local g = assert(rl.group{name = "loaded", shards = 5, init = store.init})
        local jobs, begun = {}, shared.atomic(0)
        for i = 1, 3 do jobs[i] = rl.spawn_on(i, submit_until_closed, g, begun) end
        H.eventually("all three submit", function() return begun:load() == 3 end)
        rl.stop(60)
        for i = 1, 3 do got[i] = {jobs[i]:join()} end
        H.eventually("the group is gone", function() return g:size() == 0 end)
        left = g:size()
      end, {backend = backend, shards = 3, seed = 1})
      for i = 1, 3 do
        assert.same({true, "ECLOSED"}, {got[i][1], got[i][3]})
        assert.is_true(got[i][2] >= 10)
      end
      assert.equal(0, left)
    end)
  end
end)
