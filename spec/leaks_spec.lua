-- SPDX-License-Identifier: MIT
-- The leak detector: a corpus of programs, random graphs against a model, and what it leaves alone.
local assert = require "luassert"
local H = require "spec.helper"
local rl = require "ringlet"
local shared = require "ringlet.shared"
local corpus = require "spec.leak_corpus"
local graphs = require "spec.leak_graphs"
local leaks = require "ringlet.leaks"

-- Everything has its turn, and what comes by the network is there.
local function settle()
  for _ = 1, 5 do
    for _ = 1, 10 do
      rl.yield()
    end
    rl.sleep(0.01)
  end
end

-- What a program of the corpus is given.
local function new_kit()
  local t = {held = {}, expected = {}, cleanups = {}}
  function t.expect(h)
    t.expected[h.id] = true
    return h
  end
  function t.sound(fn, ...) return rl.go(fn, ...) end
  function t.leak(fn, ...) return t.expect(rl.go(fn, ...)) end
  function t.after(fn) t.cleanups[#t.cleanups + 1] = fn end
  function t.last(fn, ...) t.start = {fn, ...} end
  return t
end

local function ids_of(list)
  local ids = {}
  for _, d in ipairs(list) do
    ids[d.id] = true
  end
  return ids
end

-- Run a program; what was found, what was expected.
local function check(program)
  local found, expected, failure
  local ok, err = pcall(H.run, function()
    local t = new_kit()
    rl.on_error(function(e) failure = failure or e end)
    local kept = program(t)
    settle()
    if t.start then
      rl.go(t.start[1], t.start[2])
      t.start = nil
    end
    local list = leaks.find()
    found, expected = ids_of(list), t.expected
    for _, cleanup in ipairs(t.cleanups) do
      cleanup()
    end
    t.held = {kept, t.held}
    rl.stop(0)
  end)
  rl.on_error(nil)
  -- What is shielded cannot be ended.
  assert(ok or tostring(err):find "deadlock", err)
  assert(not failure, failure)
  return expected, found
end

describe("the leak corpus: leaking programs", function()
  it("has at least 35", function()
    assert.is_true(#corpus.leaking >= 35)
  end)

  for _, case in ipairs(corpus.leaking) do
    it(case[1], function()
      local expected, found = check(case[2])
      assert.is_not_nil(next(expected))
      assert.same(expected, found)
    end)
  end
end)

describe("the leak corpus: sound programs", function()
  it("has at least 35", function()
    assert.is_true(#corpus.sound >= 35)
  end)

  for _, case in ipairs(corpus.sound) do
    it(case[1], function()
      assert.same({{}, {}}, {check(case[2])})
    end)
  end
end)



-- ---- random graphs ------------------------------------------------------------------------------

-- A generator of its own, the same on both VMs.
local function generator(seed)
  local state = seed % 2147483646 + 1
  return function(a, b)
    state = state * 16807 % 2147483647
    if not b then
      a, b = 1, a
    end
    return a + state % (b - a + 1)
  end
end

-- Build `n` graphs side by side, find, and compare each with the model; then end all.
local function compare(seed, n)
  local list, roots, handles = {}, {}, {}
  for i = 1, n do
    list[i] = graphs.new(generator(seed * 1000 + i))
    roots[i], handles[i] = graphs.build(list[i])
  end
  for _ = 1, 5 do
    rl.yield()
  end
  local found = ids_of(leaks.find())
  for i, g in ipairs(list) do
    local leaked = graphs.leaked(g)
    for k, h in ipairs(handles[i]) do
      if leaked[k] ~= found[h.id] then
        error(("task %d of graph %d of seed %d: leaked is %s, found is %s"):format(k, i, seed,
          tostring(leaked[k]), tostring(found[h.id])))
      end
    end
  end
  for _, own in ipairs(handles) do
    for _, h in ipairs(own) do
      h:cancel()
    end
  end
  return roots
end

describe("leaks.find on random graphs", function()
  it("agrees with a model of reachability, graph by graph", function()
    for seed = 1, H.rounds(20, 1) do
      H.run(function() compare(seed, 1) end)
    end
  end)

  it("agrees with it on ten thousand, many side by side", function()
    for seed = 101, 100 + H.rounds(25, 1) do
      H.run(function() compare(seed, H.torture and 20 or 400) end)
    end
  end)
end)

-- ---- the interface ------------------------------------------------------------------------------

-- A task that is leaked, in a few turns.
local function leak()
  rl.go(function() rl.chan():recv() end)
end

-- More than it takes: a task whose thread waits for a CPU is interrupted, and needs another turn.
local function turns(n)
  for _ = 1, n or 20 do
    rl.yield()
  end
end

local function reclaim()
  leaks.find {reclaim = true}
  turns()
end

H.both("leaks.find", function(it)
  it("describes what it finds, with the stack and where the task was made", function()
    local line = debug.getinfo(1, "l").currentline
    local h = rl.go(function()
      rl.chan(3):recv()
    end)
    h:name("worker")
    h:label("type", "order")
    turns()
    local d = leaks.find()[1]
    assert.same({h.id, 1, "worker", "waiting", "chan receive", "ringlet.chan: 0/3", false, true},
      {d.id, d.shard, d.name, d.state, d.reason, d.object, d.daemon, d.created})
    assert.same({type = "order"}, d.labels)
    assert.is_true(d.since >= 0)
    assert.matches("leaks_spec%.lua:" .. line + 1, d.site)
    local frames = {}
    for _, frame in ipairs(d.stack) do
      frames[#frames + 1] = not frame.library and frame.line or nil
    end
    assert.same({line + 2}, frames)
    assert.matches('^task %d+ "worker" on shard 1 %[chan receive, .-%]:\nlabels [^\n]+\nwaits on '
      .. "ringlet%.chan: 0/3\n.-leaks_spec%.lua:" .. line + 2 .. "\ncreated at .-:" .. line + 1,
      leaks.text {d})
    reclaim()
  end)

  it("says where the function is defined when nothing was recorded", function()
    local d
    local line = debug.getinfo(1, "l").currentline + 1
    local function worker()
      rl.event():wait()
    end
    assert.is_nil(worker == nil or nil)
    require("ringlet.task").note_sites(false)
    rl.go(worker)
    turns()
    d = leaks.find()[1]
    assert.is_false(d.created)
    assert.matches("leaks_spec%.lua:" .. line .. "$", d.site)
    reclaim()
  end)

  it("reports each once, unless it is asked again", function()
    leak()
    leak()
    turns()
    assert.equal(2, #leaks.find())
    assert.equal(0, #leaks.find())
    leak()
    turns()
    assert.equal(1, #leaks.find())
    for _ = 1, 3 do
      assert.equal(3, #leaks.find {again = true})
    end
    assert.equal(0, #leaks.find())
    reclaim()
  end)

  it("lists them by age", function()
    for _ = 1, 20 do
      leak()
    end
    turns()
    local list = leaks.find()
    for i = 2, 20 do
      assert.is_true(list[i - 1].id < list[i].id)
    end
    reclaim()
  end)

  it("reclaims them: their cleanups run, and they are gone", function()
    local before, cleaned, seen = rl.stats().tasks, 0, nil
    for _ = 1, 3 do
      rl.go(function()
        rl.finally(function()
          local _, err = pcall(rl.chan().recv, rl.chan())
          seen = select(2, rl.is_cancel(err))
          error(err, 0)
        end, function()
          rl.yield()
          cleaned = cleaned + 1
        end)
      end)
    end
    turns()
    assert.equal(3, #leaks.find())
    assert.equal(3, #leaks.find {reclaim = true})
    turns(20)
    assert.same({3, "leaked", before}, {cleaned, seen, rl.stats().tasks})
    assert.equal(0, #leaks.find {again = true})
  end, {preempt = false}) -- they share a counter

  it("reclaims a scope's child, and its scope goes on", function()
    local got
    rl.go(function()
      got = {rl.scope(function(s)
        s:go(function() rl.chan():recv() end)
        return "all"
      end)}
    end)
    turns()
    assert.equal(2, #leaks.find())
    reclaim()
    turns()
    assert.is_not_nil(got == nil or got)
    assert.equal(0, #leaks.find {again = true})
  end)

  it("finalizes nothing, and leaves weak tables as they are", function()
    local finalized, weak = 0, setmetatable({}, {__mode = "v"})
    local keys = setmetatable({}, {__mode = "k"})
    local function guarded()
      local mt = {__gc = function() finalized = finalized + 1 end}
      local newproxy = rawget(_G, "newproxy")
      if not newproxy then
        return setmetatable({}, mt)
      end
      local u = newproxy(true)
      getmetatable(u).__gc = mt.__gc
      return u
    end
    rl.go(function()
      local mine, record = guarded(), {}
      weak[1], keys[record] = record, true
      rl.chan():recv()
      return mine, record
    end)
    turns()
    assert.equal(1, #leaks.find())
    H.collect()
    assert.equal(1, #leaks.find {again = true})
    H.collect()
    assert.same({0, true, true}, {finalized, weak[1] ~= nil, next(keys) ~= nil})
    reclaim()
    turns(20)
    H.collect()
    assert.equal(1, finalized)
  end)

  it("leaves the program alone: work goes on between searches", function()
    local jobs, results, sum, n = rl.chan(4), rl.chan(), 0, H.rounds(2000, 100)
    for _ = 1, 10 do
      rl.go(function()
        for v in jobs:iter() do
          results:send(v)
        end
      end)
    end
    rl.go(function()
      for i = 1, n do
        jobs:send(i)
      end
      jobs:close()
    end)
    local found = 0
    for i = 1, n do
      if i % 50 == 0 then
        leak()
        rl.yield()
        found = found + #leaks.find {reclaim = i % 100 == 0}
      end
      sum = sum + results:recv()
    end
    turns()
    found = found + #leaks.find()
    assert.equal(n * (n + 1) / 2, sum)
    assert.is_true(found >= n / 50)
    reclaim()
  end)

  it("can be asked between two turns, where nothing may park", function()
    local found
    leak()
    turns()
    require("ringlet.time").call_after(0.001, function() found = #leaks.find() end)
    H.eventually("the timer", function() return found end)
    assert.equal(1, found)
    reclaim()
  end)

  it("does not take main for leaked, whatever it waits for", function()
    local main, found = rl.self(), nil
    rl.go(function()
      turns()
      found = #leaks.find()
      main:cancel("found")
    end)
    local ok, err = pcall(rl.select, {})
    assert.same({false, true, "found"}, {ok, rl.is_cancel(err)})
    assert.equal(0, found)
  end, {leak = false})

  it("leaves the collector as it was", function()
    collectgarbage("stop")
    leak()
    turns()
    leaks.find()
    local before = collectgarbage("count")
    for _ = 1, 10 do
      leaks.find()
    end
    assert.is_true(H.torture or collectgarbage("count") > before) -- torture collects by itself
    collectgarbage("restart")
    reclaim()
  end)

  it("raises on what it does not know", function()
    H.raises_text("unknown option 'fast'", leaks.find, {fast = true})
    H.raises_text("option 'shard' must be a whole number from 1 to 1", leaks.find, {shard = 2})
    H.raises_text("unknown option 'again'", leaks.suspects, {again = true})
    H.raises_text("option 'after' must be", leaks.suspects, {after = -1})
  end)
end)

describe("leaks.find", function()
  it("finds nothing outside of a run", function()
    assert.same({}, leaks.find())
    assert.same({}, leaks.suspects())
  end)

  it("knows calls on helper threads, whose futures are known by number", function()
    local got
    local until_gone = os.tmpname()
    H.run(function()
      local pool = rl.offload_pool {max_threads = 1}
      local f = pool:submit(function(path)
        for _ = 1, 3000 do
          local file = io.open(path)
          if not file then
            return 7
          end
          file:close()
          os.execute "sleep 0.01"
        end
      end, until_gone)
      local task = rl.go(function(future) got = select(2, future:join()) end, f)
      f, pool = nil, nil -- luacheck: ignore
      H.eventually("somebody who waits", function() return task:status() == "parked" end)
      assert.same({}, leaks.find())
      assert.is_nil(got)
      os.remove(until_gone)
    end, {backend = "uring"})
    assert.equal(7, got)
  end)

  it("is no stall and no overrun, however long it takes", function()
    local out = H.script [[
      local leaks, told = require "ringlet.leaks", {}
      rl.run(function()
        local held = {}
        collectgarbage("stop") -- its own pauses are no matter of this
        rl.go(function() rl.chan():recv() end)
        for i = 1, 12000 do
          held[i] = rl.chan()
          rl.go(function() held[i]:recv() end)
          if i % 100 == 0 then rl.yield() end
        end
        rl.yield()
        rl.sleep(0.05)
        told = {}
        local cpu = os.clock()
        local n = #leaks.find()
        io.write(n, " ", tostring(os.clock() - cpu > 0.009)) -- two slices
        rl.yield()
        io.write(" ", #told)
        os.exit(0)
      end, {backend = "uring", slice = 0.004, on_overrun = function(text)
        told[#told + 1] = text
      end})]]
    assert.equal("1 true 0", out)
  end)

  it("asks every shard", function()
    local function leak_there()
      local ringlet = require "ringlet"
      ringlet.go(function() ringlet.chan():recv() end)
      ringlet.yield()
      ringlet.yield()
    end
    H.run(function()
      leak()
      rl.spawn_on(2, leak_there):join()
      rl.spawn_on(3, leak_there):join()
      turns()
      local list, counts = leaks.find {shard = 2}
      assert.same({1, 2}, {#list, list[1].shard})
      assert.same({1, 2, 1}, {#counts, counts[1].shard, counts[1].leaked})
      list = leaks.find()
      assert.same({2, 1, 3}, {#list, list[1].shard, list[2].shard})
      assert.matches("on shard 3", leaks.text(list))
      assert.equal(3, #leaks.find {again = true})
      assert.equal(3, #leaks.find {reclaim = true})
      rl.sleep(0.1)
      assert.equal(0, #leaks.find {again = true})
    end, {shards = 3})
  end)

  it("tells which shards do not answer in time", function()
    H.run(function()
      local stage = shared.atomic(0)
      local busy = rl.spawn_on(2, function()
        local due = os.time() + 30
        stage:store(1)
        while stage:load() == 1 and os.time() < due do end
      end)
      H.eventually("a shard that is busy", function() return stage:load() == 1 end)
      local list, counts = leaks.find {timeout = 0.05}
      stage:store(2)
      assert.same({0, 2, 0, 2, true},
        {#list, #counts, counts[1].leaked, counts[2].shard, counts[2].silent})
      assert.is_true((busy:join()))
    end, {shards = 2, backend = "uring", preempt = false})
  end)
end)

H.sim("leaks.suspects", function(it)
  it("lists who has waited for long, the longest first", function()
    local held = {rl.chan(), rl.event()}
    rl.go(function() held[1]:recv() end):name("first")
    rl.sleep(10)
    rl.go(function() held[2]:wait() end):name("second")
    rl.go(function() rl.sleep(1000) end)
    rl.sleep(30)
    rl.go(function() held[2]:wait() end):name("third")
    rl.sleep(1)
    local list = leaks.suspects {after = 20}
    assert.same({2, "first", "second"}, {#list, list[1].name, list[2].name})
    assert.is_true(math.abs(list[1].since - 41) < 0.1)
    assert.equal(3, #leaks.suspects {after = 0.5})
    assert.equal(0, #leaks.suspects())
    rl.stop(0)
  end, {leak = false})
end)
