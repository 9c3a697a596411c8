-- SPDX-License-Identifier: MIT
-- Pools with debug = true.
local H = require "spec.helper"
local rl = require "ringlet"

local HERE = "spec/objects_debug_spec.lua:"

local function line()
  return debug.getinfo(2, "l").currentline
end

local function debugged(opts)
  local all = {
    debug = true, name = "requests", trim = false, new = function() return {headers = {}} end,
  }
  for k, v in pairs(opts or {}) do
    all[k] = v
  end
  return rl.objects(all)
end

-- The error of fn is `text`, where "%d" are lines of this file; it is told as of the line `at`.
local function raises_at(at, text, ...)
  local fn = select(select("#", ...), ...)
  local lines = {...}
  lines[#lines] = nil
  for i, n in ipairs(lines) do
    lines[i] = HERE .. n
  end
  local unpack = table.unpack or rawget(_G, "unpack")
  assert.equal(HERE .. at .. ": " .. text:format(unpack(lines)), H.raises(fn))
end

describe("an object that is put twice", function()
  it("is told of, with the places of both", function()
    local x = io.tmpfile()
    x:close()
    for _, new in ipairs {function() return {} end, function() return x end} do
      local pool = debugged {new = new}
      local object = pool:get()
      pool:put(object) local first = line()
      local second
      local function again()
        second = line() + 1
        pool:put(object)
      end
      local err = H.raises(again)
      assert.equal(("%s%d: object of pool 'requests' put twice: it was put at %s%d"):format(
        HERE, second, HERE, first), err)
      assert.same({1, 1}, {pool:size(), pool:stats().puts})
      assert.equal(object, pool:get())
      pool:put(object)
      assert.equal(1, pool:size())
    end
  end)

  it("is told of when it was dropped in between, too", function()
    for _, drop in ipairs {"clear", "trim"} do
      local pool = debugged {max = drop == "clear" and 1 or 0}
      local object = pool:get()
      pool:put(object)
      pool[drop](pool)
      H.raises_text("put twice", pool.put, pool, object)
    end
  end)
end)

describe("an object of elsewhere", function()
  it("is refused at the line of the put", function()
    local pool, other = debugged(), debugged {name = "answers"}
    local theirs = other:get()
    local at = line() + 1
    raises_at(at, "pool 'requests' did not make the object that is put", function() pool:put {} end)
    H.raises_text("did not make", pool.put, pool, theirs)
    H.raises_text("did not make", pool.put, pool, io.stdout)
    H.raises_text("did not make", pool.put, pool, 7)
    other:put(theirs)
    H.raises_text("did not make", pool.put, pool, theirs)
    assert.same({0, 0}, {pool:size(), pool:stats().puts})
    H.raises_text("an object expected, got nil", pool.put, pool)
  end)
end)

describe("an object that is used after it was put", function()
  local function put_one(opts)
    local pool = debugged(opts)
    local x = pool:get()
    x.user = nil
    pool:put(x)
    return x, line() - 1, pool
  end

  it("raises, with the place of the put, whether it is read or written", function()
    local x, put = put_one()
    local text = "object of pool 'requests' used after it was put at %s"
    raises_at(line(), text, put, function() return x.headers end)
    raises_at(line(), text, put, function() x.user = 1 end)
    raises_at(line(), text, put, function() x.headers = 1 end)
    raises_at(line(), text, put, function() x() end)
    raises_at(line(), text, put, function() return x + 1 end)
    raises_at(line(), text, put, function() return "s" .. x end)
    raises_at(line(), text, put, function() return x < x end)
    if not H.jit then
      raises_at(line(), text, put, function() return #x end)
      raises_at(line(), text, put, function() for k in pairs(x) do print(k) end end)
      raises_at(line(), text, put, function() for k in ipairs(x) do print(k) end end)
    end
    H.raises_text("protected metatable", setmetatable, x, {})
    assert.equal("idle object of pool 'requests', put at " .. HERE .. put, tostring(x))
  end)

  it("raises from code of another pool's user, too, until the next get", function()
    local x, _, pool = put_one()
    H.raises(function() return x.headers end)
    local y = pool:get()
    assert.equal(x, y)
    assert.same({}, x.headers)
    x.user = 1
    assert.equal(1, rawget(y, "user"))
  end)

  it("is found out at the next get if it was written with rawset", function()
    local x, put, pool = put_one()
    rawset(x, "user", 1)
    local text = "object of pool 'requests' was written to, with rawset, after it was put at "
    local at = line() + 1
    assert.equal(HERE .. at .. ": " .. text .. HERE .. put, H.raises(function() pool:get() end))
    assert.same({0, 2}, {pool:size(), pool:stats().gets})
    pool:get()
  end)

  it("has its metatable and all fields again when it is taken", function()
    local class = {__index = {hello = function(self) return self.name end}, __metatable = false}
    local key = {}
    local pool = debugged {new = function()
      return setmetatable({name = "x", [1] = "one", [key] = false, list = {1, 2, nil, 4}}, class)
    end}
    local x = pool:get()
    local list = x.list
    pool:put(x)
    H.raises(function() return x:hello() end)
    assert.equal(x, pool:get())
    assert.equal(class, debug.getmetatable(x))
    assert.same({"x", "x", "one", false, 4}, {x:hello(), x.name, x[1], x[key], x.list[4]})
    assert.equal(list, x.list)
  end)

  it("names the place of `with`, and of a put from another function", function()
    local pool, kept = debugged()
    local at = line() + 1
    pool:with(function(x) kept = x end)
    H.raises_text("put at " .. HERE .. at, function() return kept.x end)
    at = line() + 1
    pcall(pool.with, pool, function() error "x" end)
    H.raises_text("put at " .. HERE .. at, function() return kept.x end)
  end)
end)

describe("an object that is not reset", function()
  local function left(path, value, set, opts)
    local pool = debugged(opts)
    local x = pool:get()
    set(x)
    local at = line() + 1
    local err = H.raises(function() pool:put(x) end)
    assert.equal(("%s%d: object of pool 'requests' is not reset: field %s is %s"):format(HERE, at,
      path, value), err)
    assert.same({0, 1}, {pool:size(), pool:stats().dropped})
  end

  it("is told of, with the field", function()
    left("user", '"bob", and new gave nil', function(x) x.user = "bob" end)
    left("headers.host", '"a", and new gave nil', function(x) x.headers.host = "a" end)
    left("headers", "1, and new gave a table", function(x) x.headers = 1 end)
    left("1", "true, and new gave nil", function(x) x[1] = true end)
    left("user", '"bob", and new gave nil', function(x) x.user = "bob" x.body = "" end,
      {reset = function(x) x.body = nil end})
    left("status", "404, and new gave 200", function(x) x.status = 404 end,
      {new = function() return {status = 200} end})
    left("a.b.c", "2, and new gave 1", function(x) x.a.b.c = 2 end,
      {new = function() return {a = {b = {c = 1}}} end})
  end)

  it("is fine when it is as it was, whatever it was in between", function()
    local pool = debugged {
      new = function() return {n = 0, list = {}, user = "", nan = 0 / 0} end,
      reset = function(x)
        x.n, x.list, x.user = 0, {}, nil -- another empty list; and less than new gave
      end,
    }
    for _ = 1, 3 do
      local x = pool:get()
      x.n, x.list[1], x.user = 7, "x", "bob"
      pool:put(x)
    end
    assert.equal(1, pool:stats().news)
  end)

  it("is fine in the fields that are kept", function()
    local pool = debugged {keep = {"uses", "headers"}}
    local x = pool:get()
    x.uses, x.headers.host = 1, "a"
    pool:put(x)
    pool:get().user = 1
    H.raises_text("field user", pool.put, pool, x)
    pool = debugged {keep = true}
    x = pool:get()
    x.user = 1
    pool:put(x)
    assert.equal(1, pool:get().user)
  end)

  it("may be put when it has been", function()
    local pool = debugged()
    local x = pool:get()
    x.user = 1
    H.raises(pool.put, pool, x)
    x.user = nil
    pool:put(x)
    assert.equal(1, pool:size())
  end)

  it("is not looked for in what has a metatable, nor deeper than four tables", function()
    local other = setmetatable({}, {})
    local pool = debugged {new = function() return {o = other, a = {a = {a = {a = {}}}}} end}
    local x = pool:get()
    other.x, x.a.a.a.a.x = 1, 1
    pool:put(x)
    x = pool:get()
    x.o = {}
    H.raises_text("field o", pool.put, pool, x)
  end)
end)

describe("a pool with debug", function()
  it("is one with RINGLET_DEBUG=1", function()
    local source = [[
      local pool = rl.objects {new = function() return {} end, name = "here"}
      local x = pool:get()
      pool:put(x)
      print(pcall(pool.put, pool, x))
      local off = rl.objects {new = function() return {} end, debug = false}
      x = off:get()
      off:put(x)
      print(pcall(off.put, off, x))
    ]]
    local out = H.script(source, "RINGLET_DEBUG=1")
    local text = "^false\t.*object of pool 'here' put twice: it was put at.*\ntrue\n$"
    assert.is_truthy(out:find(text), out)
    assert.equal("true\ntrue\n", (H.script(source, "RINGLET_DEBUG=0")))
  end)

  it("raises what reset and new raise, and counts as ever", function()
    local broken = {}
    local pool = debugged {
      new = function(fail) if fail then error(broken) end return {} end,
      reset = function(x) if x.fail then error(broken) end end,
    }
    assert.equal(broken, H.raises(pool.get, pool, true))
    local x = pool:get()
    x.fail = true
    assert.equal(broken, H.raises(pool.put, pool, x))
    x.fail = nil
    pool:put(x)
    assert.equal("ringlet.objects: requests, 1 of 1024 idle, 1 made for 2 gets", tostring(pool))
    H.raises_text("new gave a number", debugged({new = function() return 1 end}).get, debugged {
      new = function() return 1 end,
    })
    H.raises_text(HERE, function() return (debugged({new = function() return 1 end}):get()) end)
  end)

  it("keeps nothing alive that is dropped or never put, cycles in it or not", function()
    local pool = debugged {keep = {"fn"}, new = function()
      local x = {}
      x.self, x.list = x, {x}
      return x
    end}
    local weak = setmetatable({}, {__mode = "k"})
    local function use()
      local a, b, c = pool:get(), pool:get(), pool:get()
      weak[a], weak[b], weak[c] = true, true, true
      c.fn = function() return c end
      pool:put(a)
      pool:put(c)
    end
    use()
    pool:clear()
    H.collect()
    assert.equal(nil, next(weak))
  end)

  if not H.jit then
    it("lets idle objects be finalised as those in use are", function()
      local told = {}
      local class = {__gc = function(x) told[#told + 1] = x.name end}
      local pool = debugged {new = function() return setmetatable({name = "x"}, class) end}
      pool:put(pool:get())
      pool:clear()
      H.collect()
      assert.same({"x"}, told)
      pool:get()
      H.collect()
      assert.same({"x", "x"}, told)
    end)
  end
end)
