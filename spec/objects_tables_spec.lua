-- SPDX-License-Identifier: MIT
local H = require "spec.helper"
local rl = require "ringlet"

describe("rl.clear_table", function()
  it("empties a table, in place", function()
    local t = {1, 2, nil, 4, x = 1, [{}] = 2, [false] = 3, [0.5] = 4}
    rl.clear_table(t)
    assert.equal(nil, next(t))
    assert.equal(0, #t)
    t[1], t.x = 1, 2
    rl.clear_table(t)
    assert.equal(nil, next(t))
    rl.clear_table(t)
    for i = 1, 1000 do
      t[i], t["k" .. i] = i, i
    end
    rl.clear_table(t)
    assert.equal(nil, next(t))
  end)

  it("calls no metamethods, and leaves the metatable", function()
    local function never() error "called" end
    local mt = {
      __index = never, __newindex = never, __pairs = never, __len = never, __metatable = "no",
    }
    local t = setmetatable({1, 2, x = 3}, mt)
    rl.clear_table(t)
    assert.equal(nil, next(t))
    assert.equal(mt, debug.getmetatable(t))
  end)

  it("refuses what is no table, at the line of the caller", function()
    for _, x in ipairs {1, "x", print} do
      H.raises_text("a table expected, got " .. type(x), rl.clear_table, x)
    end
    H.raises_text("objects_tables_spec.lua", function() rl.clear_table() end)
  end)
end)

describe("a pool of tables", function()
  it("gives empty ones, whatever was in them", function()
    local pool = rl.tables {array = 8, hash = 4, debug = false, trim = false}
    local t = pool:get()
    assert.equal(nil, next(t))
    t[1], t.x, t[t] = 1, 2, 3
    pool:put(t)
    assert.equal(t, pool:get())
    assert.equal(nil, next(t))
    assert.is_true(pool:get() ~= pool:get())
  end)

  it("takes their metatables away, protected or not", function()
    local pool = rl.tables {trim = false}
    local function never() error "called" end
    for _, protect in ipairs {"nil", "no", false} do
      local mt = {__newindex = never, __index = never, __pairs = never}
      if protect ~= "nil" then
        mt.__metatable = protect
      end
      local t = pool:get()
      t.x = 1
      pool:put(setmetatable(t, mt))
      t = pool:get()
      assert.equal(nil, debug.getmetatable(t))
      assert.equal(nil, next(t))
      pool:put(t)
      assert.equal(1, pool:stats().news)
    end
  end)

  it("keeps nothing alive that was in them", function()
    local pool, weak = rl.tables {trim = false}, setmetatable({}, {__mode = "k"})
    local function use()
      local t, x = pool:get(), {}
      t[1], t.x, t[x], weak[x] = x, x, x, true
      pool:put(t)
    end
    use()
    H.collect()
    assert.equal(nil, next(weak))
    assert.equal(1, pool:size())
  end)

  it("has new ones with room", function()
    local function cost(opts, fill)
      local t = rl.tables(opts):get()
      for _ = 1, 5 do
        fill {} -- what the compiler needs is not counted
      end
      collectgarbage()
      collectgarbage "stop"
      local before = collectgarbage "count"
      fill(t)
      local kilobytes = collectgarbage "count" - before
      collectgarbage "restart"
      return kilobytes
    end
    local names = {}
    for i = 1, 1000 do
      names[i] = "name" .. i
    end
    local function list(t) for i = 1, 1000 do t[i] = i end end
    local function fields(t) for i = 1, 1000 do t[names[i]] = i end end
    assert.is_true(cost({array = 1000}, list) < 1)
    assert.is_true(cost({hash = 1000}, fields) < 1)
    assert.is_true(cost(nil, list) > 7 and cost(nil, fields) > 7)
    assert.is_true(cost({array = 1000, hash = 1000}, function(t) list(t) fields(t) end) < 1)
    rl.tables {array = 65536, hash = 65536}:get()
  end)

  it("has the options, the state and the methods of a pool of objects", function()
    local pool = rl.tables {max = 2, name = "lists", trim = false}
    assert.equal("ringlet.objects: lists, 0 of 2 idle, 0 made for 0 gets", tostring(pool))
    assert.is_truthy(tostring(rl.tables()):find("objects: tables, 0 of 1024", 1, true))
    assert.equal("x", pool:with(function(t, x) t[1] = x return t[1] end, "x"))
    assert.same({1, 1, 1}, {pool:size(), pool:clear(), pool:stats().trimmed})
    local function refused(text, opts)
      H.raises_text(text, rl.tables, opts)
      H.raises_text("objects_tables_spec.lua", function() return (rl.tables(opts)) end)
    end
    refused("unknown option 'new'", {new = print})
    refused("option 'array' must be a whole number from 0 to 65536", {array = 65537})
    refused("option 'hash' must be a whole number from 0 to 65536", {hash = -1})
    refused("option 'max' must be a whole number", {max = 0.5})
    refused("option 'trim' must be a number of cycles, or false", {trim = true})
  end)

  it("finds mistakes with debug", function()
    local pool = rl.tables {debug = true, trim = false}
    local t = pool:get()
    t.x = setmetatable(t, {})
    pool:put(t)
    H.raises_text("pool 'tables' used after it was put at", function() return t.x end)
    H.raises_text("put twice", pool.put, pool, t)
    assert.equal(t, pool:get())
    assert.equal(nil, debug.getmetatable(t))
  end)
end)
