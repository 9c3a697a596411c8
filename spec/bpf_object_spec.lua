-- SPDX-License-Identifier: MIT
-- Loading object files of BPF: what is in them, what is set before, and files that are none.
local B = require "spec.bpf"
local H = require "spec.helper"

local function read(path)
  local file = assert(io.open(path, "rb"))
  local bytes = file:read "*a"
  file:close()
  return bytes
end

-- Loads what it is told to break, in a process of its own, so that a crash of libbpf's is seen.
local BROKEN = [[
local bpf = require "ringlet.bpf"
local file = assert(io.open("spec/bpf/sample.bpf.o", "rb"))
local bytes, loaded = file:read "*a", 0
file:close()
local function try(text)
  local o, msg, code = bpf.load(text, {name = "broken"})
  if o then
    loaded = loaded + 1
    o:close()
  else
    assert(type(msg) == "string" and msg:match "^(E[%u%d]+): " == code, msg)
  end
end
]]

describe("an object of BPF", function()
  local o

  after_each(function()
    if o then o:close() end
    o = nil
  end)

  it("is loaded from a file or from its bytes, and says what it has", function()
    if B.lacks("socket_filter", "tc", "xdp", "tp_btf", "raw_tp", "cgroup_skb") then return end
    for _, from in ipairs{B.SAMPLE, read(B.SAMPLE)} do
      o = assert(B.bpf.load(from))
      local maps, programs = o:list()
      assert.equal(13, #maps)
      assert.equal(10, #programs)
      assert.same({name = "counts", kind = "percpu_array"}, maps[1])
      assert.same({maps = 17, programs = 10, links = 0}, o:stats())
      o:close()
    end
    o = assert(B.bpf.load(B.SAMPLE, {name = "mine"}))
    assert.equal("ringlet.bpf.object: mine (10 programs, 17 maps)", tostring(o))
    assert.is_true(o:close())
    assert.is_true(o:close())
    assert.matches("closed$", tostring(o))
  end)

  it("has the programs that were asked for, and no others", function()
    if B.lacks "socket_filter" then return end
    o = assert(B.bpf.load(B.SAMPLE, {programs = {"watch", "drop_long"}}))
    assert.matches("ringlet.bpf.program: watch %(socket%)", tostring(o:program "watch"))
    assert.equal(o:program "watch", o:program "watch")
    assert.same({"nil", "ENOENT"}, {type(o:program "count_tc"), (select(3, o:program "count_tc"))})
    assert.equal("ENOENT", (select(3, o:program "nonsense")))
    assert.equal("ENOENT", (select(3, o:attach("nonsense", {socket = 0}))))
    H.raises_text("the object has no program nonsense", B.bpf.load, B.SAMPLE,
      {programs = {"nonsense"}})
  end)

  it("has variables: constants are set before it is loaded, others whenever", function()
    if B.lacks "socket_filter" then return end
    o = assert(B.bpf.load(B.SAMPLE, {programs = {"watch", "drop_long"},
      globals = {limit = 60, greeting = "hi", enabled = false, origin = {x = 1},
        seen_packets = 9}}))
    assert.equal(60, o:global "limit")
    assert.equal("hi", o:global "greeting")
    assert.equal(9, o:global "seen_packets")
    assert.is_false(o:global "enabled")
    assert.same({x = 1, y = 0}, o:global "origin")
    assert.is_true(o:global("enabled", true))
    assert.is_true(o:global("origin", {y = 7}))
    assert.is_true(o:global "enabled")
    assert.same({x = 0, y = 7}, o:global "origin")
    assert.equal(9, o:global "seen_packets")
    local msg, code = select(2, o:global("limit", 5))
    assert.same({"EPERM", true}, {code, msg:find("constant", 1, true) ~= nil})
    assert.equal("ENOENT", (select(3, o:global "nonsense")))
    H.raises_text("enabled must be a boolean", o.global, o, "enabled", 5)
    assert.equal(-1, (o:program "drop_long":run{data = ("x"):rep(74)}))
    assert.equal(0, (o:program "drop_long":run{data = ("x"):rep(75)}))
    local other = assert(B.bpf.load(B.SAMPLE, {programs = {"watch"}}))
    assert.same({5, "hello", 0, true}, {other:global "limit", other:global "greeting",
      other:global "seen_packets", other:global "enabled"})
    other:close()
  end)

  it("takes maps of others, and as large as they are wanted", function()
    if B.lacks "socket_filter" then return end
    local a = assert(B.bpf.load(B.SAMPLE, {programs = {"watch"}}))
    o = assert(B.bpf.load(B.SAMPLE, {programs = {"watch"},
      maps = {counts = {reuse = a:map "counts"}, things = {reuse = a:map "things":fd()},
        recent = {max_entries = 77}}}))
    a:map "things":set(1, {u8 = 3})
    assert.equal(3, o:map "things":get(1).u8)
    assert.equal(77, o:map "recent":stats().max_entries)
    local closed = a:map "counts"
    a:close()
    assert.equal("ECLOSED", (select(3, B.bpf.load(B.SAMPLE, {maps = {counts = {reuse = closed}}}))))
    local msg, code = select(2, B.bpf.load(B.SAMPLE, {programs = {"watch"},
      maps = {counts = {reuse = o:map "points"}}}))
    assert.equal(msg:match "^E%u+", code)
  end)

  it("raises on what it does not know", function()
    if B.lacks "socket_filter" then return end
    local cases = {
      {"bytes or path expected, got nil"}, {"unknown option 'nonsense'", {nonsense = 1}},
      {"option 'globals' must be a table", {globals = 1}},
      {"the object has no variable nonsense", {globals = {nonsense = 1}}},
      {"limit is out of range", {globals = {limit = -1}}},
      {"the object has no map nonsense", {maps = {nonsense = {}}}},
      {"unknown option 'size'", {maps = {things = {size = 1}}}},
      {"max_entries' must be a whole number", {maps = {things = {max_entries = 0}}}},
    }
    H.raises_text(cases[1][1], B.bpf.load)
    for i = 2, #cases do H.raises_text(cases[i][1], B.bpf.load, B.SAMPLE, cases[i][2]) end
    o = assert(B.bpf.load(B.SAMPLE, {programs = {"watch"}}))
    H.raises_text("name: string expected, got nil", o.map, o)
    H.raises_text("name: string expected, got number", o.program, o, 5)
    assert.equal("ENOENT", (select(3, o:map "nonsense")))
    assert.equal("ENOENT", (select(3, o:ring("events", {type = "struct nonsense"}))))
    assert.equal("EINVAL", (select(3, o:ring "things")))
    H.raises_text("unknown option 'kind'", o.ring, o, "events", {kind = "x"})
  end)

  it("says ECLOSED when it is closed", function()
    if B.lacks "socket_filter" then return end
    o = assert(B.bpf.load(B.SAMPLE, {programs = {"watch"}}))
    local program = o:program "watch"
    o:close()
    for _, call in ipairs{{"map", "things"}, {"program", "drop_long"}, {"ring", "events"},
      {"global", "limit"}, {"attach", "drop_long"}} do
      local v, msg, code = o[call[1]](o, call[2])
      assert.same({"nil", "ECLOSED: the object is closed", "ECLOSED"}, {type(v), msg, code},
        call[1])
    end
    for _, name in ipairs{"run", "stats", "fd", "pin", "attach"} do
      assert.equal("ECLOSED", (select(3, program[name](program))), name)
    end
    assert.matches(", closed$", tostring(program))
  end)

  it("is closed where its variable ends, in Lua 5.4", function()
    if H.jit or B.lacks "socket_filter" then return end
    local seen
    assert(load([[
      local bpf, sample, note = ...
      local o <close> = assert(bpf.load(sample, {programs = {"watch"}}))
      note(o)]]))(B.bpf, B.SAMPLE, function(x) seen = x end)
    assert.matches("closed$", tostring(seen))
  end)
end)

describe("a file that is no object of BPF", function()
  it("is refused with a reason", function()
    if B.lacks "socket_filter" then return end
    local bytes = read(B.SAMPLE)
    local program = read "/proc/self/exe"
    local cases = {
      {"", "EINVAL"}, {"\0\1\2", "EINVAL"}, {"\127ELF", "EINVAL"}, {("\127ELF"):rep(100), "EINVAL"},
      {"/nowhere/at/all", "ENOENT"}, {"spec/bpf_object_spec.lua", "EINVAL"}, {"/", "EINVAL"},
      {program, "EINVAL"}, {bytes:sub(1, 5000), "EINVAL"}, {bytes:sub(1, 64), "EINVAL"},
      {bytes:sub(1, 18) .. "\62" .. bytes:sub(20), "EINVAL"},
    }
    for i, c in ipairs(cases) do
      local x, msg, code = B.bpf.load(c[1])
      assert.same({"nil", c[2]}, {type(x), code}, "case " .. i)
      assert.matches("^" .. c[2] .. ": ", msg)
    end
    assert.truthy(select(2, B.bpf.load(program)):find("not for BPF", 1, true))
  end)

  it("may be cut off anywhere", function()
    if B.lacks "socket_filter" then return end
    local out, ok = B.run(BROKEN .. [[
for n = 0, #bytes - 1, 64 do try(bytes:sub(1, n)) end
print(loaded)]])
    assert.is_true(ok, out)
    assert.equal("0\n", out)
  end)

  it("may have any bytes wrong", function()
    if B.lacks "socket_filter" then return end
    local rounds = H.rounds(250, 20)
    local out, ok = B.run(BROKEN .. ([[
math.randomseed(7)
local headers = #bytes - 26 * 64
for i = 1, %d do
  local text = bytes
  for _ = 1, math.random(1, 4) do
    local at = i %% 3 == 0 and math.random(headers, #bytes) or i %% 3 == 1 and math.random(1, 64)
      or math.random(1, #bytes)
    text = text:sub(1, at - 1) .. string.char(math.random(0, 255)) .. text:sub(at + 1)
  end
  try(text)
end
print(loaded > 0)]]):format(rounds))
    assert.is_true(ok, out)
    assert.equal("true\n", out)
  end)
end)
