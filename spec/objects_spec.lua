-- SPDX-License-Identifier: MIT
local H = require "spec.helper"
local in_turn = require "spec.in_turn"
local rl = require "ringlet"
local traveller = require "ringlet.shared"

local newproxy = rawget(_G, "newproxy")

-- A pool whose objects are numbered. Unless told, it looks for no mistakes and leaves what is idle.
local function numbered(opts)
  local made = 0
  local all = {
    debug = false, trim = false,
    new = function()
      made = made + 1
      return {number = made}
    end,
  }
  for k, v in pairs(opts or {}) do
    all[k] = v
  end
  return rl.objects(all)
end

-- Put n new objects into a pool.
local function fill(pool, n)
  local held = {}
  for i = 1, n do
    held[i] = pool:get()
  end
  for i = 1, n do
    pool:put(held[i])
  end
end

-- Call fn while no garbage is collected but by collectgarbage().
local function by_hand(fn)
  H.collect()
  collectgarbage "stop"
  local ok, err = pcall(fn)
  collectgarbage "restart"
  assert(ok, err)
end

describe("a pool of objects", function()
  it("gives what was put last, and makes what is missing", function()
    local pool = numbered()
    local a, b = pool:get(), pool:get()
    assert.same({1, 2}, {a.number, b.number})
    pool:put(a)
    pool:put(b)
    assert.equal(b, pool:get())
    assert.equal(a, pool:get())
    assert.equal(3, pool:get().number)
  end)

  it("gives new the arguments of get, when it calls it", function()
    local pool = rl.objects {new = function(...) return H.pack(...) end, debug = false}
    local x = pool:get(1, nil, nil)
    assert.same({n = 3, 1}, x)
    pool:put(x)
    assert.equal(x, pool:get(7))
    assert.equal(1, x[1])
    assert.equal(0, pool:get().n)
  end)

  it("resets what is put", function()
    local pool = numbered {reset = function(x) x.user = nil end}
    local x = pool:get()
    x.user = "somebody"
    pool:put(x)
    assert.equal(nil, x.user)
    assert.equal(x, pool:get())
  end)

  it("keeps at most max", function()
    for max = 0, 3 do
      local pool = numbered {max = max}
      fill(pool, 5)
      assert.equal(max, pool:size())
      assert.equal(5 - max, pool:stats().dropped)
    end
    local pool = numbered()
    fill(pool, 1025)
    assert.equal(1024, pool:size())
  end)

  it("counts", function()
    local pool = numbered {max = 2, trim = false, reset = function(x) assert(not x.bad, "bad") end}
    local held = {pool:get(), pool:get(), pool:get(), pool:get()}
    for i = 1, 3 do
      pool:put(held[i])
    end
    pool:get()
    held[4].bad = true
    assert.is_false((pcall(pool.put, pool, held[4])))
    assert.equal(1, pool:clear())
    assert.same({
      idle = 0, max = 2, gets = 5, hits = 1, misses = 4, news = 4, puts = 4, dropped = 2,
      trimmed = 1,
    }, pool:stats())
    assert.is_true(pool:stats() ~= pool:stats())
  end)

  it("tells its state", function()
    local pool = numbered {name = "requests", max = 8}
    fill(pool, 2)
    pool:get()
    assert.equal("ringlet.objects: requests, 1 of 8 idle, 2 made for 3 gets", tostring(pool))
    assert.is_truthy(tostring(numbered()):find("objects: objects, 0 of 1024", 1, true))
  end)

  it("is trimmed, from what has lain longest, and cleared", function()
    local pool = numbered()
    fill(pool, 5)
    assert.equal(0, pool:trim(5))
    assert.equal(2, pool:trim(3))
    assert.same({5, 4, 3}, {pool:get().number, pool:get().number, pool:get().number})
    assert.equal(6, pool:get().number)
    fill(pool, 200)
    assert.equal(200, pool:clear())
    assert.equal(0, pool:clear())
    assert.equal(0, pool:size())
    fill(pool, 3)
    assert.equal(3, pool:size())
  end)

  it("takes userdata, functions and coroutines, and nothing that is no object", function()
    for _, x in ipairs {print, coroutine.create(print), io.stdout} do
      local pool = rl.objects {new = function() return x end}
      pool:put(pool:get())
      assert.equal(x, pool:get())
    end
    for _, x in ipairs {1, "x", true, false} do
      local pool = rl.objects {new = function() return x end}
      H.raises_text(("new gave a %s, which is no object"):format(type(x)), pool.get, pool)
      H.raises_text("objects_spec.lua", function() return (pool:get()) end)
    end
    local pool = rl.objects {new = function() end}
    H.raises_text("objects_spec.lua", function() return (pool:get()) end)
    H.raises_text("new gave a nil", pool.get, pool)
    assert.same({2, 0}, {pool:stats().misses, pool:stats().news})
    H.raises_text("an object expected, got nil", pool.put, pool)
    H.raises_text("objects_spec.lua", function() pool:put(nil) end)
  end)

  it("refuses options that it cannot use, at the line of the caller", function()
    local function refused(text, opts)
      H.raises_text(text, rl.objects, opts)
      H.raises_text("objects_spec.lua", function() return (rl.objects(opts)) end)
    end
    refused("option 'new' must be a function, not a nil")
    refused("option 'new' must be a function", {})
    refused("option 'new' must be a function, not a number", {new = 1})
    refused("unknown option 'size'", {new = print, size = 1})
    refused("option 'max' must be a whole number from 0", {new = print, max = -1})
    refused("option 'max' must be a whole number", {new = print, max = 1.5})
    refused("option 'max' must be a whole number", {new = print, max = 0 / 0})
    refused("option 'trim' must be a whole number from 1 to 1000", {new = print, trim = 0})
    refused("option 'trim' must be a number of cycles, or false", {new = print, trim = true})
    refused("option 'debug' must be a boolean", {new = print, debug = 1})
    local pool = numbered()
    H.raises_text("a number expected, got string", pool.trim, pool, "1")
    H.raises_text("the number of objects must be a whole number", pool.trim, pool, -1)
    H.raises_text("objects_spec.lua", function() pool:trim(0.5) end)
    H.raises_text("function expected, got nil", pool.with, pool)
    H.raises_text("objects_spec.lua", function() pool:with() end)
    assert.equal(0, pool:stats().gets)
  end)

  it("raises what new and reset raise, unchanged, and drops what was not reset", function()
    local broken = {}
    local fail_new, fail_reset = true, false
    local pool = rl.objects {
      new = function() if fail_new then error(broken) end return {} end,
      reset = function() if fail_reset then error(broken) end end,
    }
    assert.equal(broken, H.raises(pool.get, pool))
    assert.equal(broken, H.raises(pool.with, pool, print))
    fail_new, fail_reset = false, true
    local x = pool:get()
    assert.equal(broken, H.raises(pool.put, pool, x))
    assert.equal(broken, H.raises(pool.with, pool, function() end))
    assert.equal("mine", H.raises(pool.with, pool, function() error("mine", 0) end))
    assert.equal(0, pool:size())
    fail_reset = false
    pool:with(function() end)
    local s = pool:stats()
    assert.same({6, 4, 4, 3}, {s.gets, s.news, s.puts, s.dropped})
  end)

  it("lends an object to a function, and has it back however that ends", function()
    local pool = numbered {max = 4}
    assert.same({n = 4, 1, "a", nil, "b"}, H.pack(pool:with(function(x, a, b, c)
      assert.equal(0, pool:size())
      return x.number, a, b, c
    end, "a", nil, "b")))
    assert.equal(1, pool:size())
    local err = {}
    assert.equal(err, H.raises(pool.with, pool, function() error(err) end))
    assert.equal(1, pool:size())
    assert.equal(2, pool:with(function() return pool:with(function(x) return x.number end) end))
    assert.equal(2, pool:size())
  end)
end)

-- ---- cycles ----

describe("idle objects", function()
  it("are dropped when two cycles, or as many as trim says, have passed over them", function()
    local function new() return {} end
    for cycles, opts in ipairs {{trim = 1}, {}, {trim = 3}, {trim = 4}} do
      opts.new = new
      local pool = rl.objects(opts)
      by_hand(function()
        fill(pool, 3)
        for _ = 1, cycles - 1 do
          collectgarbage()
          assert.equal(3, pool:size())
        end
        collectgarbage()
        assert.equal(0, pool:size())
        assert.equal(3, pool:stats().trimmed)
      end)
    end
  end)

  it("stay when somebody took them in between", function()
    local pool = numbered {trim = 2}
    by_hand(function()
      fill(pool, 5)
      for _ = 1, 10 do
        collectgarbage()
        local a, b = pool:get(), pool:get()
        pool:put(b)
        pool:put(a)
      end
      assert.equal(2, pool:size())
      assert.equal(3, pool:stats().trimmed)
      collectgarbage()
      collectgarbage()
      assert.equal(0, pool:size())
    end)
  end)

  it("stay with trim = false, until trim is called", function()
    local pool = numbered {trim = false}
    by_hand(function()
      fill(pool, 3)
      for _ = 1, 5 do
        collectgarbage()
      end
      assert.equal(3, pool:size())
      assert.equal(0, pool:trim())
      pool:put(pool:get())
      assert.equal(2, pool:trim())
      assert.equal(1, pool:trim())
    end)
  end)

  it("are freed", function()
    local pool, weak = numbered {trim = 2}, setmetatable({}, {__mode = "k"})
    local function use()
      local x = pool:get()
      weak[x] = true
      pool:put(x)
    end
    use()
    H.collect()
    H.collect()
    assert.equal(nil, next(weak))
    assert.equal(0, pool:size())
  end)

  it("are dropped while tasks run, without anybody asking", function()
    H.run(function()
      local pool = numbered {trim = 2}
      fill(pool, 10)
      local before, made = pool:size(), 0
      while pool:size() > 0 and made < 1e7 do
        made = made + #{{}, {}, {}, {}}
      end
      assert.same({10, 0}, {before, pool:size()})
    end)
  end)

  it("that a finaliser puts or takes while a cycle ends are not lost count of", function()
    local pool = numbered {trim = 1}
    local calls = 0
    local function use()
      calls = calls + 1
      pool:put(pool:get())
      fill(pool, 2)
    end
    for _ = 1, 20 do
      fill(pool, 3)
      if newproxy then
        getmetatable(newproxy(true)).__gc = use
      else
        setmetatable({}, {__gc = use})
      end
      collectgarbage()
      local seen = {}
      for i = 1, pool:size() do
        local x = pool.list[i]
        assert.is_true(x ~= nil and not seen[x])
        seen[x] = true
      end
    end
    H.collect()
    assert.equal(20, calls)
  end)
end)

describe("the sentinel", function()
  local path = package.searchpath("ringlet.cycles", package.path)

  -- cycles.lua once more, and a function that says how many sentinels it has made.
  local function counted()
    local made, set = 0, setmetatable
    finally(function()
      _G.newproxy, _G.setmetatable = newproxy, set -- luacheck: ignore 122
    end)
    if newproxy then
      _G.newproxy = function(v) -- luacheck: ignore 122
        made = made + 1
        return newproxy(v)
      end
    else
      _G.setmetatable = function(t, mt) -- luacheck: ignore 122
        made = made + (mt and mt.__gc and 1 or 0)
        return set(t, mt)
      end
    end
    return dofile(path), function() return made end
  end

  it("is one for all, once a cycle", function()
    local cycles, made = counted()
    local told = 0
    local watcher = {cycle_ = function() told = told + 1 end}
    by_hand(function()
      cycles.watch(watcher)
      cycles.watch(watcher)
      local another = {cycle_ = watcher.cycle_}
      cycles.watch(another)
      assert.equal(1, made())
      for i = 1, 5 do
        collectgarbage()
        assert.same({i + 1, 2 * i}, {made(), told})
      end
      assert.is_truthy(another)
    end)
  end)

  it("goes with the last who watches, and comes with the next", function()
    local cycles, made = counted()
    by_hand(function()
      local function watch()
        local pool = {cycle_ = function() end}
        cycles.watch(pool)
        return setmetatable({pool}, {__mode = "v"})
      end
      local weak = watch()
      H.collect()
      assert.equal(nil, weak[1])
      local before = made()
      H.collect()
      assert.equal(before, made())
      watch()
      assert.equal(before + 1, made())
    end)
  end)

  it("does no harm when the state is closed", function()
    local out, code = H.script [[
      local pool = rl.objects {new = function() return {} end}
      local debugged = rl.objects {new = function() return {} end, debug = true}
      for _, p in ipairs {pool, debugged, rl.buffers()} do p:put(p:get(1)) end
      print(pool:size())
      os.exit(0, true)
    ]]
    assert.same({"1\n", 0}, {out, code})
  end)
end)

-- ---- shards and tasks ----

describe("a pool", function()
  it("is of use in run after run, and outside of them", function()
    local pool = numbered()
    pool:put(pool:get())
    for _ = 1, 3 do
      H.run(function()
        local x = pool:get()
        assert.equal(1, x.number)
        pool:put(x)
      end)
      assert.equal(1, pool:size())
    end
  end)

  it("goes with its shard, and what is idle with it", function()
    local name = os.tmpname()
    finally(function() os.remove(name) end)
    local function job()
      local function finalise()
        local f = io.open(name, "a")
        f:write "x"
        f:close()
      end
      local proxy = rawget(_G, "newproxy")
      local pool = require("ringlet").objects {trim = false, new = function()
        if not proxy then
          return setmetatable({}, {__gc = finalise})
        end
        local x = proxy(true)
        getmetatable(x).__gc = finalise
        return x
      end}
      local held = {}
      for i = 1, 7 do held[i] = pool:get() end
      for i = 1, 7 do pool:put(held[i]) end
      rawset(_G, "kept_pool", pool)
      return pool:size()
    end
    local ok, n = rl.run(function()
      return rl.spawn_on(2, job):join()
    end, {shards = 2, backend = "sim"})
    assert.same({true, 7}, {ok, n})
    local f = io.open(name)
    assert.equal("xxxxxxx", f:read "*a")
    f:close()
  end)

  it("does not travel, and the error says so", function()
    local pool, buffers = numbered(), rl.buffers()
    H.run(function()
      H.raises_text("upvalue 'pool' is a table with a metatable (ringlet.objects)", rl.spawn,
        function() return pool:get() end)
      H.raises_text("ringlet.buffers", rl.spawn, print, buffers)
      H.raises_text("ringlet.objects", function() traveller.chan(1):send {pool = pool} end)
    end)
  end)
end)

in_turn.both("a pool of objects", function(it)
  it("has an object back when its user is cancelled, or out of time", function()
    local pool = numbered()
    local task = rl.go(pool.with, pool, function() rl.sleep(1000) end)
    rl.yield()
    assert.same({0, 1}, {pool:size(), pool:stats().gets})
    task:cancel()
    assert.is_false((task:join()))
    assert.equal(1, pool:size())
    local _, _, code = rl.timeout(0.001, pool.with, pool, function() rl.sleep(1000) end)
    assert.equal("ETIMEDOUT", code)
    assert.same({1, 1}, {pool:size(), pool:stats().news})
  end)

  it("may have a new and a reset that park, and are cancelled there", function()
    local pool = numbered {
      new = function() rl.sleep(0.005) return {} end, reset = function() rl.sleep(0.005) end,
    }
    local held = {}
    local a = rl.go(function() held[1] = pool:get() end)
    local b = rl.go(function() held[2] = pool:get() end)
    a:join()
    b:join()
    assert.is_true(held[1] ~= held[2])
    a = rl.go(pool.put, pool, held[1])
    b = rl.go(pool.put, pool, held[2])
    rl.yield()
    b:cancel()
    assert.same({true, false}, {(a:join()), (b:join())})
    assert.same({1, 1}, {pool:size(), pool:stats().dropped})
    assert.equal(held[1], pool:get())
    local c = rl.go(pool.get, pool)
    rl.yield()
    c:cancel()
    assert.is_false((c:join()))
    assert.same({4, 2}, {pool:stats().gets, pool:stats().news})
  end)
end)

-- ---- against a model ----

-- The plain one: a list of {object, cycles that passed over it}, from the bottom.
local Model = {}
Model.__index = Model

function Model.get(m)
  local entry = table.remove(m)
  return entry and entry[1]
end

function Model.put(m, x)
  if #m < m.max then
    m[#m + 1] = {x, 0}
  end
end

function Model.cycle(m)
  for i = #m, 1, -1 do
    m[i][2] = m[i][2] + 1
    if m[i][2] >= m.trim then
      table.remove(m, i)
    end
  end
end

function Model.keep(m, n)
  while #m > n do
    table.remove(m, 1)
  end
end

local SEED = 41

describe("a pool under random operations", function()
  local random, fail_new, fail_reset = math.random, false, false

  local function new()
    if fail_new then error "new" end
    return {}
  end

  local function reset()
    if fail_reset then error "reset" end
  end

  local function get(pool, model, held)
    local want = model:get()
    if not want and random(8) == 1 then
      fail_new = true
      assert.is_false((pcall(pool.get, pool)))
      fail_new = false
      return
    end
    local x = pool:get()
    if want and x ~= want then
      error "another object than the one that was put last"
    end
    held[#held + 1] = x
  end

  local function put(pool, model, held)
    local n = #held
    if n == 0 then
      return
    end
    local i = random(n)
    local x = held[i]
    held[i] = held[n]
    held[n] = nil
    if random(10) == 1 then
      fail_reset = true
      if pcall(pool.put, pool, x) then error "reset did not fail" end
      fail_reset = false
    else
      pool:put(x)
      model:put(x)
    end
  end

  local function sequence(debugged)
    local max, trim = random(0, 5), random(1, 4)
    local pool = rl.objects {new = new, reset = reset, max = max, trim = trim, debug = debugged}
    local model, held = setmetatable({max = max, trim = trim}, Model), {}
    for _ = 1, random(4, 14) do
      local what = random(12)
      if what <= 5 then
        get(pool, model, held)
      elseif what <= 9 then
        put(pool, model, held)
      elseif what <= 11 then
        pool:trim()
        model:cycle()
      else
        local n = random(0, 3)
        pool:trim(n)
        model:keep(n)
      end
      if pool:size() ~= #model then
        error(("%d idle, the model has %d"):format(pool:size(), #model))
      end
    end
    local s = pool:stats()
    if s.puts - s.dropped - s.trimmed - s.hits ~= s.idle or s.hits + s.misses ~= s.gets then
      error "the counters do not add up"
    end
  end

  local function all(n, debugged)
    math.randomseed(SEED)
    for i = 1, n do
      if i % 500 == 1 then -- cycles end when we say so
        collectgarbage "restart"
        collectgarbage()
        collectgarbage "stop"
      end
      local ok, err = pcall(sequence, debugged)
      if not ok then
        collectgarbage "restart"
        error(("sequence %d of seed %d: %s"):format(i, SEED, err))
      end
    end
    collectgarbage "restart"
  end

  it("does what a plain list with ages does", function()
    all(H.rounds(100000), false)
  end)

  it("does so with debug, too", function()
    all(H.rounds(10000), true)
  end)
end)
