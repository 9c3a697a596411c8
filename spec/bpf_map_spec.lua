-- SPDX-License-Identifier: MIT
-- Maps of BPF: every type that BTF can say, every kind of map, mapped memory, batches.
local B = require "spec.bpf"
local H = require "spec.helper"

local BIG = 2 ^ 53

-- 2^64 - 1 and 2^63 as this VM has them.
local function wide(text)
  if H.jit then
    return assert(loadstring("return " .. text .. "ULL"))() -- luacheck: ignore 113
  end
  return assert(load("return " .. text))()
end

local function must_raise(text, fn, ...)
  local args = H.pack(...)
  local ok, err = pcall(function()
    local v = fn((rawget(_G, "unpack") or table.unpack)(args, 1, args.n))
    return v
  end)
  assert.is_false(ok)
  assert.truthy(tostring(err):find(text, 1, true), tostring(err))
  assert.truthy(tostring(err):find("bpf_map_spec.lua:", 1, true), tostring(err))
end

describe("a map of BPF", function()
  local o

  -- Nothing of the programs is needed here.
  local function open(opts)
    opts = opts or {}
    opts.programs = {"watch"}
    o = assert(B.bpf.load(B.SAMPLE, opts))
    return o
  end

  after_each(function()
    if o then o:close() end
    o = nil
  end)

  it("gives back what it was given, for every type", function()
    if B.lacks "socket_filter" then return end
    local m = assert(open():map "things")
    local zero = {u8 = 0, s8 = 0, u16 = 0, s16 = 0, u32 = 0, s32 = 0, u64 = 0, s64 = 0, yes = false,
      colour = "RED", name = "", mac = ("\0"):rep(6), ports = {0, 0, 0}, at = {x = 0, y = 0},
      corners = {{x = 0, y = 0}, {x = 0, y = 0}}, inner = 0,
      either = {word = 0, bytes = "\0\0\0\0"}, low = 0, high = 0, small = 0}
    assert.is_true(m:set(1, {}))
    assert.same(zero, m:get(1))
    local v = {u8 = 255, s8 = -128, u16 = 65535, s16 = -32768, u32 = 2 ^ 32 - 1, s32 = -2 ^ 31,
      u64 = BIG, s64 = -BIG, yes = true, colour = "BLUE", name = "twelve bytes",
      mac = "\1\2\0\3\4\255", ports = {1, 2, 65535}, at = {x = -1, y = 1},
      corners = {{x = 1, y = 2}, {x = 3, y = 4}}, inner = 9, either = {word = 0x04030201},
      low = 7, high = 31, small = -8}
    assert.is_true(m:set(7, v))
    v.either.bytes = "\1\2\3\4"
    assert.same(v, m:get(7))
    assert.is_true(m:set(8, m:get_raw("\7\0\0\0")))
    assert.same(v, m:get(8))
  end)

  it("takes names and numbers for enums, strings and lists for bytes", function()
    if B.lacks "socket_filter" then return end
    local m = assert(open():map "things")
    assert.is_true(m:set(1, {colour = "GREEN", mac = {1, 2, 3}, ports = {5}, at = {y = 3},
      either = {bytes = "\255\0\0\0"}, corners = {"\1\0\0\0\2\0\0\0"}}))
    local v = m:get(1)
    assert.equal("GREEN", v.colour)
    assert.equal("\1\2\3\0\0\0", v.mac)
    assert.same({5, 0, 0}, v.ports)
    assert.same({x = 0, y = 3}, v.at)
    assert.equal(255, v.either.word)
    assert.same({x = 1, y = 2}, v.corners[1])
    m:set(1, {colour = -3})
    assert.equal("BLUE", m:get(1).colour)
    m:set(1, {colour = 5})
    assert.equal(5, m:get(1).colour)
  end)

  it("says which part of a value is wrong", function()
    if B.lacks "socket_filter" then return end
    local m = assert(open():map "things")
    local cases = {
      {"value.u8 is out of range", {u8 = 256}}, {"value.u8 is out of range", {u8 = -1}},
      {"value.s8 is out of range", {s8 = 128}}, {"value.u32 must be a whole number", {u32 = 1.5}},
      {"value.u32 must be a number, not a string", {u32 = "1"}},
      {"value.yes must be a boolean", {yes = 1}}, {"no name of the enum", {colour = "PINK"}},
      {"value.name has 13 bytes, there is room for 12", {name = "thirteen byte"}},
      {"value.mac has 5 bytes, its type has 6", {mac = "12345"}},
      {"value.ports has 4 elements, there is room for 3", {ports = {1, 2, 3, 4}}},
      {"value.ports[2] must be a number", {ports = {1, "x"}}},
      {"value.corners[2].y must be a number", {corners = {{}, {y = {}}}}},
      {"value has no field 'nonsense'", {nonsense = 1}},
      {"value.at has no field 'z'", {at = {z = 1}}},
      {"value.at must be a table or a string", {at = 1}},
      {"value.either is a union: give one field", {either = {word = 1, bytes = "abcd"}}},
      {"value.low is out of range", {low = 8}}, {"value.small is out of range", {small = 8}},
      {"value must be a table or a string, not a number", 5}, {"value has 3 bytes", "abc"},
      {"value.u64 must be a whole number of 64 bits", {u64 = 2 ^ 64}},
      {"value.u64 must be a whole number of 64 bits", {u64 = 0 / 0}},
    }
    for _, c in ipairs(cases) do must_raise(c[1], m.set, m, 1, c[2]) end
    must_raise("key must be a number, not a string", m.get, m, "x")
    must_raise("key must be a number, not a nil", m.get, m)
    must_raise("key is out of range", m.get, m, -1)
    must_raise("key has 3 bytes, its type has 4", m.get_raw, m, "abc")
    must_raise("flag must be", m.set, m, 1, {}, "maybe")
    assert.same({nil, "ENOENT: no such entry", "ENOENT"}, {m:get(1)})
  end)

  it("has all integers of 64 bits", function()
    if B.lacks "socket_filter" then return end
    local m = assert(open():map "recent")
    for _, n in ipairs{0, 1, BIG - 1, BIG, -1, -BIG} do
      assert.is_true(m:set(math.abs(n), n))
      local got = m:get(math.abs(n))
      assert.equal(n, got)
      assert.equal("number", type(got))
    end
    local max, half = wide "0xffffffffffffffff", wide "0x8000000000000000"
    assert.is_true(m:set(max, 5))
    assert.is_true(m:set(half, 6))
    assert.equal(5, m:get(max))
    assert.equal(6, m:get(half))
    local keys = {}
    for k in m:iter() do keys[tostring(k)] = true end
    assert.is_true(keys[tostring(max)])
    assert.is_true(keys[tostring(half)])
  end)

  it("keeps to its flags, and says that it is full", function()
    if B.lacks "socket_filter" then return end
    local m = assert(open{maps = {points = {max_entries = 2}}}:map "points")
    assert.equal(2, m:stats().max_entries)
    assert.same({nil, "ENOENT: no such entry", "ENOENT"}, {m:set({x = 1}, 1, "exist")})
    assert.is_true(m:set({x = 1}, 1, "new"))
    assert.equal("EEXIST", (select(3, m:set({x = 1}, 1, "new"))))
    assert.is_true(m:set({x = 1}, 2, "exist"))
    assert.is_true(m:set({x = -2, y = 3}, 3))
    assert.equal("E2BIG", (select(3, m:set({x = 4}, 1))))
    assert.equal(3, m:get{x = -2, y = 3})
    assert.equal(3, m:take{x = -2, y = 3})
    assert.equal("ENOENT", (select(3, m:delete{x = -2, y = 3})))
    assert.is_true(m:delete{x = 1})
  end)

  it("is bytes where BTF says nothing", function()
    if B.lacks "socket_filter" then return end
    local m = assert(open():map "plain")
    assert.is_true(m:set("key1", "value1"))
    assert.equal("value1", m:get "key1")
    for k, v in m:iter() do assert.same({"key1", "value1"}, {k, v}) end
    must_raise("key must be a string", m.get, m, 1)
    must_raise("value has 5 bytes, its type has 6", m.set, m, "key1", "12345")
  end)

  it("is a list for each CPU, if it is a per-CPU map", function()
    if B.lacks "socket_filter" then return end
    open()
    local n, m = B.library.cpus(), assert(o:map "counts")
    local list, points = {}, {}
    for i = 1, n do list[i], points[i] = i * 10, {x = i, y = -i} end
    assert.is_true(m:set(1, list))
    assert.same(list, m:get(1))
    assert.equal(n, #m:get(0))
    local spread = assert(o:map "spread")
    assert.is_true(spread:set(5, points))
    assert.same(points, spread:get(5))
    for k, v in spread:iter() do assert.same({5, points}, {k, v}) end
    must_raise("a list of at most", m.set, m, 1, 5)
    list[n + 1] = 1
    must_raise("a list of at most", m.set, m, 1, list)
  end)

  it("finds the longest prefix", function()
    if B.lacks("socket_filter", "lpm_trie") then return end
    local m = assert(open():map "routes")
    assert.is_true(m:set({len = 8, data = "a"  .. ("\0"):rep(7)}, 1))
    assert.is_true(m:set({len = 24, data = "abc" .. ("\0"):rep(5)}, 2))
    local function find(text)
      return (m:get{len = 64, data = text .. ("\0"):rep(8 - #text)})
    end
    assert.equal(2, find "abcd")
    assert.equal(1, find "abd")
    assert.is_nil(find "b")
    local n = 0
    for _ in m:iter() do n = n + 1 end
    assert.equal(2, n)
  end)

  it("may be a queue, a stack or a filter", function()
    if B.lacks "socket_filter" then return end
    open()
    local line, pile, seen = o:map "line", o:map "pile", o:map "seen"
    assert.equal("ENOENT", (select(3, line:pop())))
    for i = 1, 4 do
      assert.is_true(line:push{x = i})
      assert.is_true(pile:push(i))
    end
    assert.equal("E2BIG", (select(3, line:push{x = 5})))
    assert.same({x = 1, y = 0}, line:peek())
    assert.same({x = 1, y = 0}, line:pop())
    assert.same({x = 2, y = 0}, line:pop())
    assert.equal(4, pile:pop())
    assert.equal(3, pile:pop())
    assert.is_true(seen:push(5))
  end)

  it("iterates over all there is, in batches of any size, and forgets it by them", function()
    if B.lacks "socket_filter" then return end
    local m = assert(open{maps = {recent = {max_entries = 4096}}}:map "points")
    local keys, values, want = {}, {}, 0
    for i = 1, 100 do
      keys[i], values[i] = {x = i, y = -i}, i
      want = want + i
    end
    assert.is_true(m:set_batch(keys, values))
    for _, size in ipairs{1, 2, 7, 100, 1000} do
      local sum, n = 0, 0
      for ks, vs in m:batch(size) do
        assert.equal(#ks, #vs)
        for i = 1, #ks do
          assert.equal(ks[i].x, vs[i])
          sum, n = sum + vs[i], n + 1
        end
      end
      assert.same({want, 100}, {sum, n})
    end
    local sum = 0
    for k, v in m:iter() do sum = sum + v + k.y + v end
    assert.equal(want, sum)
    assert.is_true(m:delete_batch{keys[1], keys[2]})
    local msg, code, n = select(2, m:delete_batch{keys[3], keys[1], keys[4]})
    assert.equal("ENOENT", code)
    assert.matches("^ENOENT", msg)
    assert.equal(1, n)
    sum = 0
    for _, vs in m:drain(10) do
      for i = 1, #vs do sum = sum + vs[i] end
    end
    assert.equal(want - 6, sum)
    assert.equal("ENOENT", (select(3, m:get(keys[5]))))
    assert.is_true(m:set_batch({}, {}))
    must_raise("as many values", m.set_batch, m, {keys[1]}, {})
    local ok, err = pcall(m:batch(0))
    assert.is_false(ok)
    assert.truthy(tostring(err):find("a batch of 1 to", 1, true))
  end)

  it("has the same entries as a table, whatever happens to both", function()
    if B.lacks "socket_filter" then return end
    local m, model, count = assert(open():map "points"), {}, 0
    local seed = 12345
    local function below(n)
      seed = seed * 16807 % 2147483647
      return seed % n
    end
    for step = 1, H.rounds(20000) do
      local x, what = below(40), below(10)
      local key = {x = x, y = x * x}
      if what < 4 then
        assert.is_true(m:set(key, step), "step " .. step)
        count = model[x] and count or count + 1
        model[x] = step
      elseif what < 7 then
        assert.equal(model[x], (m:get(key)), "step " .. step)
      elseif what < 9 then
        local ok, v = true, nil
        if what == 7 then ok = m:delete(key) else v = m:take(key) end
        assert.equal(model[x] ~= nil, ok == true and (what == 7 or v ~= nil), "step " .. step)
        count = model[x] and count - 1 or count
        model[x] = nil
      elseif below(20) == 0 then
        local n = 0
        for k, v in m:iter() do
          n = n + 1
          assert.equal(model[k.x], v, "step " .. step)
        end
        assert.equal(count, n)
      end
    end
  end)

  it("shows its memory, if it is an array that can be mapped", function()
    if B.lacks("socket_filter", "mmapable") then return end
    local m = assert(open():map "words")
    local area = assert(m:mmap())
    assert.equal(64, area.size)
    assert.equal(24, area:offset(3))
    assert.equal(77, area:u64(8, 77))
    assert.equal(77, m:get(1))
    m:set(2, 2 ^ 40 + 5)
    assert.equal(2 ^ 40 + 5, area:u64(16))
    assert.equal(5, area:u32(16))
    assert.equal(6, area:u32(16, 6))
    assert.equal(2 ^ 40 + 6, m:get(2))
    assert.equal("userdata", type(area:address(8)))
    for _, bad in ipairs{-8, 4, 64, 1e9, 0 / 0} do must_raise("offset", area.u64, area, bad) end
    must_raise("offset", area.u32, area, 2)
    must_raise("whole number", area.u64, area, 0, 1.5)
    o:close()
    assert.equal(77, area:u64(8)) -- the memory stays
    assert.is_true(area:close())
    assert.is_true(area:close())
    must_raise("the area is closed", area.u64, area, 0)
    assert.matches("64 bytes, closed", tostring(area))
    open()
    local none, msg, code = o:map "things":mmap()
    assert.same({"nil", "ENODEV: things is no array with BPF_F_MMAPABLE", "ENODEV"},
      {type(none), msg, code})
  end)

  it("can be opened again by its descriptor, with its types", function()
    if B.lacks "socket_filter" then return end
    local m = assert(open():map "things")
    m:set(3, {name = "three"})
    local again = assert(B.bpf.open_map(m:fd()))
    o:close()
    assert.equal("three", again:get(3).name)
    assert.is_true(again:close())
    assert.equal("ECLOSED", (select(3, again:get(3))))
    assert.equal("EINVAL", (select(3, B.bpf.open_map(0))))
    assert.equal("EBADF", (select(3, B.bpf.open_map(987654))))
    assert.equal("ENOENT", (select(3, B.bpf.open_map "/nowhere/at/all")))
    H.raises_text("path or descriptor expected", B.bpf.open_map, {})
  end)

  it("holds sockets, by their descriptors", function()
    if B.lacks("sk_reuseport", "socket_filter") then return end
    open()
    local socks = o:map "socks"
    assert.is_nil(socks:get(0))
    local msg, code = select(2, socks:set(0, 0))
    assert.matches("^E%u+: ", msg)
    assert.equal(msg:match "^E%u+", code)
  end)

  it("is closed with its object; what is closed says so", function()
    if B.lacks "socket_filter" then return end
    local m = assert(open():map "things")
    assert.equal(m, o:map "things")
    assert.matches("ringlet.bpf.map: things %(hash, 1000 entries%)$", tostring(m))
    o:close()
    assert.matches("closed$", tostring(m))
    for _, call in ipairs{{"get", 1}, {"set", 1, {}}, {"delete", 1}, {"take", 1},
      {"get_raw", "abcd"}, {"set_raw", "abcd", ""}, {"push", 1}, {"pop"}, {"peek"}, {"mmap"},
      {"fd"}, {"pin", "/x"},
      {"set_batch", {}, {}}, {"delete_batch", {1}}} do
      local v, msg, code = m[call[1]](m, call[2], call[3])
      assert.same({"nil", "ECLOSED: the map is closed", "ECLOSED"}, {type(v), msg, code}, call[1])
    end
    for _ in m:iter() do error "nothing is there" end
    for _ in m:batch() do error "nothing is there" end
    assert.is_true(m:close())
    assert.equal(o:map "things", m)
  end)

  it("keeps its object, for the sake of its types", function()
    if B.lacks "socket_filter" then return end
    local m = assert(B.bpf.load(B.SAMPLE, {programs = {"watch"}})):map "things"
    H.collect()
    m:set(1, {name = "typed"})
    assert.equal("typed", m:get(1).name)
    m:close()
  end)

  it("is not kept by Lua when nobody has it", function()
    if B.lacks "socket_filter" then return end
    H.collect()
    local before = B.descriptors()
    for _ = 1, 20 do
      local x = assert(B.bpf.load(B.SAMPLE, {programs = {"watch"}}))
      assert(x:map "things")
      assert(x:map "words":mmap())
      assert(x:ring "events")
    end
    H.collect()
    assert.equal(before, B.descriptors())
  end)
end)
