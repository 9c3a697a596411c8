-- SPDX-License-Identifier: MIT
-- What travels between Lua states: within one state, where a parcel is made and read, and to a
-- fresh one (core.visit).
local core = require "ringlet.core"
local rl = require "ringlet"
local H = require "spec.helper"
local luggage = require "spec.luggage"

local load = rawget(_G, "loadstring") or load
local unpack = table.unpack or rawget(_G, "unpack")
local math_type = rawget(math, "type") or function() end

local function copy(...)
  return core.unparcel(core.parcel(...))
end

-- Call fn(...) in a fresh Lua state.
local function visit(fn, ...)
  return core.unparcel(core.visit(core.parcel(fn, ...)))
end

local function same_number(a, b)
  if a ~= a then return b ~= b end
  return a == b and 1 / a == 1 / b and math_type(a) == math_type(b)
end

-- Both ways in which a value travels: alone, and as one of several.
local function both_ways(v)
  local one, other = core.copy(v), copy(v)
  return one, other
end

describe("scalars", function()
  it("are as they were", function()
    local got = H.pack(copy(nil, true, false, "x", nil))
    assert.same({n = 5, nil, true, false, "x", nil}, got)
    assert.same({n = 0}, H.pack(copy()))
    for _, v in ipairs{true, false, "", "a", ("b"):rep(22), ("c"):rep(23)} do
      assert.same({v, v}, {both_ways(v)})
    end
    assert.is_nil(core.copy(nil))
  end)

  it("keep every number what it is", function()
    local numbers = {0, 1, -1, 0.5, -0.0, 1 / 0, -1 / 0, 0 / 0, 2 ^ 31, -2 ^ 31, 2 ^ 53, 1e308,
      5e-324}
    if math_type(1) then
      local limits = {math.maxinteger, math.mininteger, 1.0, -7} -- luacheck: ignore 143
      for _, n in ipairs(limits) do numbers[#numbers + 1] = n end
    end
    for _, n in ipairs(numbers) do
      local a, b = both_ways(n)
      assert.is_true(same_number(n, a) and same_number(n, b), tostring(n))
      assert.is_true(same_number(n, copy({n})[1]), tostring(n))
    end
  end)

  it("keep strings of any bytes and any length", function()
    local bytes = {}
    for i = 0, 255 do bytes[i + 1] = string.char(i) end
    bytes = table.concat(bytes)
    for _, n in ipairs{0, 1, 21, 22, 23, 24, 127, 128, 129, 255, 256, 257, 65536} do
      local s = bytes:rep(math.ceil(n / 256)):sub(1, n)
      local a, b = both_ways(s)
      assert.is_true(s == a and s == b, n)
      assert.is_true(copy({[s] = s})[s] == s, n)
    end
  end)

  it("of 10 MB are written once, however often they are mentioned", function()
    local s = ("0123456789"):rep(H.rounds(1000000, 1000))
    local got = copy({s, s, [s] = s}, s)
    assert.is_true(got[1] == s and got[2] == s and got[s] == s)
  end)

  it("are many", function()
    local list = {}
    for i = 1, 5000 do list[i] = i end
    assert.same(list, {copy(unpack(list))})
  end)
end)

describe("tables", function()
  it("are copies", function()
    local t = {1, 2, 3, a = {b = "c"}, [10] = false, [1.5] = "f", [true] = {}, [-1] = -1}
    local got = copy(t)
    assert.same(t, got)
    assert.is_false(rawequal(t, got) or rawequal(t.a, got.a))
    assert.same(t, (core.copy(t)))
    assert.same({{}, {{}}}, {copy({}, {{}})})
  end)

  it("keep holes and list parts in any order of making", function()
    local t = {}
    for i = 20, 1, -1 do t[i] = i end
    t[7] = nil
    assert.same(t, copy(t))
    assert.same({1, nil, 3, nil, 5}, copy({1, nil, 3, nil, 5}))
  end)

  it("keep cycles and what they share, between arguments too", function()
    local shared = {}
    local cycle = {shared, shared}
    cycle.self, cycle[cycle] = cycle, "me"
    local got, other = copy(cycle, shared)
    assert.equal(got, got.self)
    assert.equal("me", got[got])
    assert.is_true(rawequal(got[1], got[2]) and rawequal(got[1], other))
  end)

  it("are of any depth", function()
    local n = H.rounds(1000000)
    local t = {}
    for _ = 2, n do t = {t} end
    local got, depth = copy(t), 0
    while got do got, depth = got[1], depth + 1 end
    assert.equal(n, depth)
  end)

  it("read no metatable of others", function()
    local t = setmetatable({},
      {__metatable = false, __index = error, __pairs = error, __len = error})
    H.raises_text("value[1] is a table with a metatable", core.parcel, t)
  end)
end)

-- ---- random graphs ------------------------------------------------------------------------------

local function generator(seed)
  local state = seed
  return function(n)
    state = (state * 16807) % 2147483647
    return state % n + 1
  end
end

-- A table with up to 40 tables in it, each with its number in `id`, linked at random.
local function random_graph(random)
  local nodes = {}
  for i = 1, random(40) do nodes[i] = {id = i} end
  local function value()
    local kind = random(8)
    if kind <= 4 then return nodes[random(#nodes)] end
    return ({random(9), "s" .. random(9), random(2) == 1, random(99) / 7})[kind - 4]
  end
  for _, node in ipairs(nodes) do
    for _ = 1, random(6) - 1 do
      local key = value()
      if key ~= "id" then node[key] = value() end
    end
    for i = 1, random(4) - 1 do node[i] = value() end
  end
  return nodes[1]
end

local function describe_value(v)
  return type(v) == "table" and "node " .. v.id or type(v) .. " " .. tostring(v)
end

-- Every node reachable from `t` once, as sorted lines; fails when two tables have one number.
local function describe_graph(t)
  local lines, seen, todo = {}, {}, {t}
  while #todo > 0 do
    local node = table.remove(todo)
    if seen[node.id] == nil then
      seen[node.id] = node
      for k, v in pairs(node) do
        lines[#lines + 1] = ("%d: %s = %s"):format(node.id, describe_value(k), describe_value(v))
        if type(k) == "table" then todo[#todo + 1] = k end
        if type(v) == "table" then todo[#todo + 1] = v end
      end
    end
    assert.is_true(rawequal(seen[node.id], node), "two copies of one table")
  end
  table.sort(lines)
  return table.concat(lines, "\n")
end

describe("random graphs", function()
  it("arrive as they were", function()
    for seed = 1, H.rounds(1000) do
      local t = random_graph(generator(seed))
      assert.equal(describe_graph(t), describe_graph(copy(t)), "seed " .. seed)
    end
  end)

  it("arrive in another state as they were", function()
    for seed = 1, 5 do
      local t = random_graph(generator(seed))
      assert.equal(describe_graph(t), describe_graph(visit(function(x) return x end, t)))
    end
  end)
end)

-- ---- functions ----------------------------------------------------------------------------------

describe("functions", function()
  it("have copies of their upvalues", function()
    local n, t, s = 5, {1}, "s"
    local function fn(x)
      t[1] = t[1] + x
      return n, t[1], s
    end
    local got = copy(fn)
    assert.same({5, 3, "s"}, {got(2)})
    assert.same({5, 5, "s"}, {got(2)})
    assert.equal(1, t[1])
    assert.is_false(rawequal(got, fn))
  end)

  it("of one code are apart", function()
    local function counter(n)
      return function() n = n + 1 return n end
    end
    local a, b = copy(counter(10)), copy(counter(20))
    local c, d = copy(counter(30), counter(40))
    assert.same({11, 21, 31, 41}, {a(), b(), c(), d()})
    assert.same({12, 22, 32, 42}, {a(), b(), c(), d()})
  end)

  it("share the upvalues that they shared", function()
    local n, other = 0, 100
    local function inc() n, other = n + 1, other + 1 end
    local function get() return other, n end
    local t = copy({inc = inc, deep = {get = get}})
    t.inc()
    t.inc()
    assert.same({102, 2}, {t.deep.get()})
    assert.same({100, 0}, {get()})
  end)

  it("are recursive, by themselves and mutually", function()
    local function fact(n) return n <= 1 and 1 or n * fact(n - 1) end
    assert.equal(3628800, copy(fact)(10))
    local odd
    local function even(n) return n == 0 or odd(n - 1) end
    function odd(n) return n > 0 and even(n - 1) end
    assert.is_true(copy(even)(10))
    assert.is_false(copy(odd)(10))
  end)

  it("have functions inside, varargs, and constants of every kind", function()
    local up = "up"
    local function outer(...)
      local n = select("#", ...)
      local t = {1, 2.5, "x", {y = {false}}, nil, true, [-3] = 1e100}
      return function(k) up = up .. k return up, n, t[4].y[1], t[-3], 123456789, 0.1 end
    end
    local fn = copy(outer)(1, nil, nil)
    assert.same({"upa", 3, false, 1e100, 123456789, 0.1}, {fn("a")})
    assert.equal("upab", (fn("b")))
  end)

  it("have many upvalues, but no more than a function can have parameters", function()
    local function with_upvalues(n)
      local names = {}
      for i = 1, n do names[i] = "u" .. i end
      local list = table.concat(names, ",")
      -- No function has more than 200 locals: the rest is those of one further out.
      local outer = table.concat(names, ",", 1, math.min(n, 150))
      local inner = n > 150 and "local " .. table.concat(names, ",", 151) .. " = ... " or ""
      return load("local " .. outer .. " = ... return (function(...) " .. inner ..
        "return function() return {" .. list .. "} end end)(select(151, ...))")
    end
    local args = {}
    for i = 1, 250 do args[i] = i end
    for _, n in ipairs{0, 1, 2, 59} do
      local fn = with_upvalues(math.max(n, 1))(unpack(args))
      assert.equal(math.max(n, 1), #copy(fn)())
    end
    if not H.jit then -- LuaJIT has 60
      assert.equal(200, #copy(with_upvalues(200)(unpack(args)))())
      H.raises_text("more than 200 upvalues", core.parcel, with_upvalues(230)(unpack(args)))
    end
  end)

  it("see the globals of where they are", function()
    _G.travel_spec = 1 -- luacheck: ignore 122
    local function fn() return _G.travel_spec, travel_spec end -- luacheck: ignore 113
    assert.same({1, 1}, {copy(fn)()})
    assert.same({n = 2}, H.pack(visit(function() return rawget(_G, "travel_spec"), nil end)))
    _G.travel_spec = nil -- luacheck: ignore 122
    assert.equal(_G, (copy(_G)))
  end)

  it("keep their lines", function()
    local function fails() error("here") end
    local _, before = pcall(fails)
    local _, after = pcall(copy(fails))
    assert.equal(before, after)
    assert.is_truthy(after:find("travel_spec.lua:%d+: here"))
    local info = debug.getinfo(copy(fails), "S")
    assert.equal(debug.getinfo(fails, "S").linedefined, info.linedefined)
  end)

  it("keep the names of their locals and upvalues", function()
    local up = 1
    local function fn(a, b) local c = a + b return c + up end
    local got = copy(fn)
    assert.equal("b", debug.getlocal(got, 2))
    assert.equal("up", (debug.getupvalue(got, 1)))
  end)

  it("without debug information travel too", function()
    local n = 3
    local fn = load(string.dump(function(x) n = n + x return n end, true))
    debug.setupvalue(fn, 1, 10)
    assert.equal(11, copy(fn)(1))
    assert.equal(12, copy(fn)(2))
  end)

  it("are table keys and values", function()
    local function fn() return 1 end
    local got = copy({[fn] = fn})
    local k, v = next(got)
    assert.equal(k, v)
    assert.equal(1, k())
  end)

  it("of many codes are forgotten and known again", function()
    for i = 1, H.rounds(2000) do
      local n = i
      local fn = load("local n = ... return function() return n, " .. i .. " end")(n)
      assert.same({i, i}, {copy(fn)()})
    end
    local function fn() return "still" end
    assert.equal("still", copy(fn)())
  end)

  it("run compiled", function()
    local k = 3
    local function sum(n)
      local s = 0
      for i = 1, n do s = s + i % k end
      return s
    end
    local want = sum(1000)
    for _ = 1, H.rounds(200, 20) do
      k = 3
      assert.equal(want, copy(sum)(1000))
      k = 4
      assert.is_false(copy(sum)(1000) == want)
    end
  end)

  it("run compiled with upvalues that nothing assigns", function()
    local function adder(k)
      return function(n)
        local s = 0
        for _ = 1, n do s = s + k end
        return s
      end
    end
    for k = 1, H.rounds(200, 20) do
      assert.equal(k * 200, copy(adder(k))(200))
    end
  end)

  it("see them through an environment that leads there", function()
    local env = setmetatable({mine = 1}, {__index = _G})
    local fn = load("return tostring, mine")
    if H.jit then
      setfenv(fn, env) -- luacheck: ignore 113
    else
      debug.setupvalue(fn, 1, env)
    end
    assert.same({n = 2, tostring}, H.pack(copy(fn)()))
  end)

  it("with an environment of their own: an upvalue, or an error", function()
    if H.jit then
      local fn = setfenv(function() return x end, {x = 1}) -- luacheck: ignore 113
      H.raises_text("value[1].fn is a function with an environment of its own", core.parcel,
        {fn = fn})
    else
      local env = {x = 1}
      local fn = load("x = x + 1 return x", "chunk", "t", env)
      local got = copy(fn)
      assert.same({2, 3}, {got(), got()})
      assert.equal(1, env.x)
    end
  end)
end)

describe("assigned_upvalues", function()
  local a, b, c, t = 1, 2, 3, {} -- luacheck: ignore 231 241

  it("names what a function assigns", function()
    assert.is_nil(core.assigned_upvalues(function() return a, b end))
    assert.is_nil(core.assigned_upvalues(function() t.x = a end))
    assert.same({"b"}, core.assigned_upvalues(function() b = a end))
    local fns = {
      function(v) b = v end, function() b = "s" end, function() b = 1 end, function() b = nil end,
    }
    for _, fn in ipairs(fns) do
      assert.same({"b"}, core.assigned_upvalues(fn))
    end
  end)

  it("sees functions inside", function()
    local function fn()
      local x = {1, k = "v", n = 1.5, [true] = false}
      local function one() return function() c, x = x, a end end
      local function two() b = 1 x = nil end
      local y = 0
      local function three() y = 1 local z = 0 return function() z = y return z end end
      return one, two, three, 1e99, "text"
    end
    local names = core.assigned_upvalues(fn)
    table.sort(names)
    assert.same({"b", "c"}, names)
  end)

  it("has none of C functions", function()
    assert.is_nil(core.assigned_upvalues(print))
  end)
end)

-- ---- by name ------------------------------------------------------------------------------------

describe("by name", function()
  it("travel modules, and functions found in them", function()
    local list = {_G, string, table, package, rl, require "ringlet.test", luggage, print,
      pairs, math.floor, string.format, string.len, io.open, rl.sleep, rl.go, rl.chan, rl.select,
      luggage.count, luggage.point}
    for i, v in ipairs(list) do
      assert.equal(v, (copy(v)), i)
      assert.equal(v, (core.copy(v)), i)
      assert.equal(v, copy({{v}})[1][1], i)
    end
  end)

  it("are those of the state where they arrive", function()
    luggage.data.calls = 41
    local got = H.pack(visit(function(fn, m)
      return fn(), fn(), m.data.calls, require("spec.luggage") == m
    end, luggage.count, luggage))
    assert.same({n = 4, 1, 2, 2, true}, got)
    assert.equal(41, luggage.data.calls)
  end)

  it("are upvalues", function()
    local format, sleep, m = string.format, rl.sleep, luggage
    assert.equal("7 true true", visit(function(n)
      return format("%d %s %s", n, tostring(sleep == require("ringlet").sleep),
        tostring(m == require "spec.luggage"))
    end, 7))
  end)

  it("keep their names while a run has put others in their places", function()
    local wrap = coroutine.wrap
    H.run(function()
      assert.equal(coroutine.wrap, (copy(wrap)))
      assert.equal(coroutine.wrap, (copy(coroutine.wrap)))
      assert.is_false(rawequal(wrap, coroutine.wrap))
    end)
  end)

  it("keep them when nothing has travelled before the run", function()
    local out = H.script [[
      local wrap, copy = coroutine.wrap, require("ringlet.core").copy
      rl.run(function() print(copy(wrap) == coroutine.wrap) end, {backend = "sim"})
    ]]
    assert.equal("true\n", out)
  end)

  it("are modules that were loaded just now", function()
    local fn = function() return "late" end
    local late = {fn = fn, data = {}}
    copy({fn = function() end}) -- code that is known
    package.loaded["spec.late"] = late -- luacheck: ignore 122
    local got = copy({late, late.fn})
    package.loaded["spec.late"] = nil -- luacheck: ignore 122
    assert.is_true(rawequal(late, got[1]) and rawequal(fn, got[2]))
  end)

  it("are modules of which a part was on its way", function()
    local function known() return "known" end
    copy(known)
    local module = {known = known}
    package.loaded["spec.part"] = module -- luacheck: ignore 122
    local got = copy({{module}})
    package.loaded["spec.part"] = nil -- luacheck: ignore 122
    assert.is_true(rawequal(module, got[1][1]) or got[1][1].known() == "known")
  end)

  it("are not the user's own globals", function()
    function _G.travel_spec_fn() return "mine" end -- luacheck: ignore 122
    local fn = _G.travel_spec_fn
    local got = copy(fn)
    _G.travel_spec_fn = nil -- luacheck: ignore 122
    assert.is_false(rawequal(got, fn))
    assert.equal("mine", got())
  end)

  it("fail where the module cannot be loaded", function()
    local module = {fn = function() end, cfn = print}
    package.loaded["spec.nowhere"] = module -- luacheck: ignore 122
    local a, b = core.parcel(print, {x = {module}}), core.parcel(print, module.fn)
    package.loaded["spec.nowhere"] = nil -- luacheck: ignore 122
    H.raises_text("cannot arrive: value[2].x needs the module 'spec.nowhere'", core.visit, a)
    H.raises_text("cannot arrive: value[2] needs the module 'spec.nowhere'", core.visit, b)
  end)

  it("hold nothing alive", function()
    local weak = setmetatable({}, {__mode = "k"})
    do
      local module = {fn = function() return weak end}
      package.loaded["spec.gone"] = module -- luacheck: ignore 122
      copy(module.fn)
      package.loaded["spec.gone"] = nil -- luacheck: ignore 122
      weak[module], weak[module.fn] = true, true
    end
    H.collect()
    assert.is_nil(next(weak))
  end)
end)

describe("types", function()
  it("arrive with their metatable", function()
    local p = luggage.point(3, 4)
    local got = copy(p)
    assert.equal(luggage.Point, getmetatable(got))
    assert.equal(25, got:norm())
    assert.equal(25, visit(function(m, q)
      return require("spec.luggage") == m and getmetatable(q) == m.Point and q:norm()
    end, luggage, p))
  end)

  it("travel by name themselves", function()
    local Point = luggage.Point
    assert.equal(Point, (copy(Point)))
    assert.equal(Point, copy(function() return Point end)())
  end)

  it("have cycles, and a metatable that is protected", function()
    local class = rl.register_type("spec.protected", {__metatable = "no"})
    local x = {}
    x.self = setmetatable(x, class)
    local got = copy(x)
    assert.equal(got, got.self)
    assert.equal(class, debug.getmetatable(got))
  end)

  it("are those of the last registration", function()
    local old = rl.register_type("spec.again", {})
    local x = setmetatable({}, old)
    local new = rl.register_type("spec.again", {})
    assert.equal(new, getmetatable(copy(x)))
    assert.equal(new, getmetatable(copy(setmetatable({}, new))))
  end)

  it("that are not registered there are an error", function()
    rl.register_type("spec.here", {})
    local x = setmetatable({}, rl.register_type("spec.here", {}))
    H.raises_text("cannot arrive: value[2].a needs the type 'spec.here'", core.visit,
      core.parcel(print, {a = {x}}))
  end)

  it("have a name and a metatable", function()
    H.raises_text("the name of a type expected", rl.register_type)
    H.raises_text("the name of a type expected", rl.register_type, "", {})
    H.raises_text("a metatable expected", rl.register_type, "x")
    local class = {}
    assert.equal(class, rl.register_type("spec.given", class))
  end)
end)

-- ---- shared objects -----------------------------------------------------------------------------

-- A parcel is such an object.
describe("shared objects", function()
  it("arrive as the same", function()
    local p = core.parcel(1)
    assert.equal(p, (copy(p)))
    assert.equal(p, (core.copy(p)))
    local t = copy({p, [p] = p})
    assert.is_true(t[1] == p and t[p] == p)
  end)

  it("are counted", function()
    local p = core.parcel(1)
    assert.equal(1, core.parcel_refs(p))
    local q = core.parcel(p, {p}, function() return p end)
    assert.equal(2, core.parcel_refs(p))
    core.unparcel(q)
    assert.equal(2, core.parcel_refs(p))
    q = nil -- luacheck: ignore 311
    H.collect()
    assert.equal(1, core.parcel_refs(p))
  end)

  it("are one and the same in another state", function()
    local p = core.parcel("inside")
    local got, inside = visit(function(x, y)
      return x, require("ringlet.core").unparcel(y[1])
    end, p, {p})
    assert.is_true(rawequal(p, got))
    assert.equal("inside", inside)
    H.collect()
    assert.equal(1, core.parcel_refs(p))
  end)

  it("are given up when a value is refused half way", function()
    local p = core.parcel(1)
    for _ = 1, 10 do
      H.raises(core.parcel, p, {p}, coroutine.create(print))
    end
    assert.equal(1, core.parcel_refs(p))
    assert.equal(p, (copy(p)))
  end)

  it("are not faked by other userdata", function()
    H.raises_text("value[1] is a userdata", core.parcel, io.stdout)
    H.raises(core.unparcel, io.stdout)
    H.raises(core.unparcel, {})
    H.raises(core.unparcel, "\1\2\3")
  end)
end)

-- ---- what does not travel -----------------------------------------------------------------------

describe("an error names the path", function()
  local co = coroutine.create(print)

  local function refused(value)
    return H.raises(core.parcel, value):gsub("^.-: cannot travel: ", "")
  end

  it("to what cannot travel", function()
    local file = io.stdout
    local function up() return file end
    local function inner() return function() return up end end
    local nameless = setmetatable({}, {})
    local cases = {
      {co, "value[1] is a coroutine"},
      {{co}, "value[1][1] is a coroutine"},
      {{args = {1, {cb = co}}}, "value[1].args[2].cb is a coroutine"},
      {{["weird key"] = {_x1 = co}}, 'value[1]["weird key"]._x1 is a coroutine'},
      {{[1.5] = co}, "value[1][1.5] is a coroutine"},
      {{[true] = co}, "value[1][true] is a coroutine"},
      {{[co] = 1}, "value[1]: a key is a coroutine"},
      {up, "value[1]: upvalue 'file' is a userdata"},
      {inner, "value[1]: upvalue 'up': upvalue 'file' is a userdata"},
      {{up = up}, "value[1].up: upvalue 'file' is a userdata"},
      {{nameless}, "value[1][1] is a table with a metatable that rl.register_type does not know"},
      {setmetatable({}, {__name = "Some"}),
        "value[1] is a table with a metatable (Some) that rl.register_type does not know"},
      {rl.chan().recv and {x = rl.event()}, "value[1].x is "},
      {("x"):gmatch("."), "value[1] is a C function that is in no module"},
      {rl.chan().iter, "value[1] is a function inside ringlet"},
    }
    for i, case in ipairs(cases) do
      for _ = 1, 2 do -- the second time the code is known
        local said = refused(case[1])
        assert.equal(case[2], said:sub(1, #case[2]), i)
      end
    end
  end)

  it("in a cycle and from the last argument", function()
    local t = {}
    t.t, t.list = t, {t, {t}}
    t.list[2].co = co
    assert.is_truthy(H.raises(core.parcel, 1, {}, t):find("value[3].list[2].co is", 1, true))
  end)

  it("to the end when it is long", function()
    local t = {co}
    for _ = 1, H.rounds(1000) do t = {x = t} end
    assert.is_truthy(refused(t):find("^value%[1%]%.%.%..*%.x%.x%[1%] is a coroutine$"))
  end)

  it("of light userdata and cdata", function()
    if H.jit then
      assert.equal("value[1] is a cdata", refused(require("ffi").new("int[1]")))
    end
    local up = debug.upvalueid(refused, 1) -- luacheck: ignore 143
    if type(up) == "userdata" then
      assert.is_truthy(refused(up):find("value[1] is a ", 1, true))
    end
  end)

  it("at the caller's line", function()
    local err = H.raises(core.parcel, co)
    assert.is_truthy(err:find("travel_spec.lua:%d+: cannot travel") or
      err:find("helper.lua:%d+: cannot travel"), err)
  end)
end)

describe("another state", function()
  it("runs what it is given, and gives results", function()
    local n = 10
    local function add(x) return x + n end
    assert.same({n = 3, 15, nil, "t"}, H.pack(visit(function(x, t)
      return add(x), nil, t.x
    end, 5, {x = "t"})))
  end)

  it("is fresh", function()
    assert.same({nil, "ringlet 0.1.0"}, {visit(function()
      return rawget(_G, "describe"), require("ringlet")._VERSION
    end)})
  end)

  it("has the paths and arguments of this one", function()
    local path, cpath, zero = visit(function() return package.path, package.cpath, arg[0] end)
    assert.same({package.path, package.cpath, arg[0]}, {path, cpath, zero})
  end)

  it("loads what is preloaded, or says why not", function()
    local function loaded() return package.loaded["spec.luggage"] ~= nil end
    assert.is_false(core.unparcel(core.visit(core.parcel(loaded))))
    assert.is_true(core.unparcel(core.visit(core.parcel(loaded), {"spec.luggage"})))
    H.raises_text("module 'spec.nowhere' not found", core.visit, core.parcel(loaded),
      {"spec.nowhere"})
    H.raises_text("list of names", core.visit, core.parcel(loaded), {1, {}})
  end)

  it("reports what was raised there, and what cannot come back", function()
    H.raises_text("oops", core.visit, core.parcel(function() error("oops") end))
    H.raises_text("result[2] is a coroutine", core.visit,
      core.parcel(function() return 1, coroutine.create(print) end))
    H.raises_text("empty", core.visit, core.parcel())
  end)

  it("may be within another", function()
    local got = visit(function(fn, depth) return fn(fn, depth) end, function(fn, depth)
      local c = require "ringlet.core"
      if depth == 0 then return "bottom" end
      return c.unparcel(c.visit(c.parcel(fn, fn, depth - 1)))
    end, 3)
    assert.equal("bottom", got)
  end)
end)

describe("while something is sent", function()
  it("a metamethod may send", function()
    local inside = 0
    local env = setmetatable({}, {__index = function(_, key)
      if key == "_G" then
        assert(copy({{}, {2}, function() return key end})[2][1] == 2)
        inside = inside + 1
      end
      return _G[key]
    end})
    local fn = load("return tostring")
    if H.jit then
      setfenv(fn, env) -- luacheck: ignore 113
    else
      debug.setupvalue(fn, 1, env)
    end
    local shared = {}
    local got = copy({1, shared, fn, {3}, shared})
    assert.equal(tostring, got[3]())
    assert.same({1, 3}, {got[1], got[4][1]})
    assert.is_true(rawequal(got[2], got[5]))
    assert.equal(1, inside)
  end)

  it("a finalizer may send", function()
    local sent = 0
    local function trash()
      local newproxy = rawget(_G, "newproxy")
      local object = newproxy and newproxy(true) or setmetatable({}, {__gc = true})
      getmetatable(object).__gc = function()
        assert(copy({1, {2}, function() return 3 end})[2][1] == 2)
        sent = sent + 1
      end
    end
    for i = 1, H.rounds(500) do
      trash()
      local got = copy({i, {i}, function() return i end}, load("return " .. i))
      assert.same({i, i}, {got[1], got[3]()})
    end
    H.collect()
    assert.is_true(sent > 0)
  end)
end)
