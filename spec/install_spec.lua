-- SPDX-License-Identifier: MIT
-- The installed library works from outside of the tree, whichever way it was installed, and refuses
-- an interpreter it cannot run in with one clear error.

local is_jit = rawget(_G, "jit") ~= nil
local abi = is_jit and "luajit" or "lua5.4"
local version = is_jit and "5.1" or "5.4"

-- Runs a command in a clean environment. Returns its output and whether it ended with 0.
local function run(command)
  local pipe = assert(io.popen("{ env -i PATH=\"$PATH\" HOME=/nonexistent " .. command ..
    "; } 2>&1; echo status=$?"))
  local text = pipe:read "*a"
  pipe:close()
  local output, status = text:match "^(.*)status=(%d+)\n$"
  return output, status == "0"
end

local function quote(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

local function has(command)
  return (run("sh -c " .. quote("command -v " .. command))) ~= ""
end

local function interpreter()
  local i = 0
  while arg[i - 1] do i = i - 1 end
  return arg[i]
end

local PROGRAM = [[
local rl = require "ringlet"
require "ringlet.net"
local sum = rl.run(function()
  local ch = rl.chan()
  rl.go(function() for i = 1, 10 do ch:send(i) end ch:close() end)
  local total = 0
  for v in ch:iter() do total = total + v end
  return total
end, {backend = "sim"})
local where = package.searchpath("ringlet.core", package.cpath)
print(sum, where)]]

-- The same of the rock ringlet-zlib.
local ZLIB_PROGRAM = [[
local zlib = require "ringlet.zlib"
local where = package.searchpath("ringlet.zlib_core", package.cpath)
print(zlib.decompress(zlib.compress(("x"):rep(55)), 100) == ("x"):rep(55) and 55, where)]]

-- And of ringlet-bpf, whatever may be loaded here.
local BPF_PROGRAM = [[
local p = require "ringlet.bpf".probe()
local where = package.searchpath("ringlet.bpf_core", package.cpath)
print(p.libbpf and (p.ok or p.reason) and 55, where)]]

-- A filter that lets io_uring_setup fail with EPERM, as containers do it. Needs the ffi.
local FORBID = [[
local ffi = require "ffi"
ffi.cdef [=[struct insn { uint16_t code; uint8_t jt, jf; uint32_t k; };
struct prog { unsigned short n; struct insn *insns; };
int prctl(int, unsigned long, unsigned long, unsigned long, unsigned long);]=]
local insns = ffi.new("struct insn[4]", {
  {0x20, 0, 0, 0}, {0x15, 0, 1, 425}, {0x06, 0, 0, 0x00050001}, {0x06, 0, 0, 0x7fff0000}})
local prog = ffi.new("struct prog[1]", {{4, insns}})
assert(ffi.C.prctl(38, 1, 0, 0, 0) == 0)
assert(ffi.C.prctl(22, 2, ffi.cast("unsigned long", prog), 0, 0) == 0)
]]

describe("the installed library", function()
  local tmp, tree

  setup(function()
    tmp = assert(io.popen "mktemp -d":read "*l")
    tree = assert(io.popen "pwd":read "*l")
  end)

  teardown(function()
    os.execute("rm -rf " .. quote(tmp))
  end)

  -- A program, run in / with nothing on the path but what was installed under `prefix`.
  local function try(prefix, program)
    local share = ("%s/share/lua/%s"):format(prefix, version)
    return run(("sh -c %s"):format(quote(("cd / && LUA_PATH=%s LUA_CPATH=%s %s -e %s"):format(
      quote(share .. "/?.lua;" .. share .. "/?/init.lua"),
      quote(("%s/lib/lua/%s/?.so"):format(prefix, version)), interpreter(), quote(program)))))
  end

  local function works(prefix, program, library)
    local output, ok = try(prefix, program or PROGRAM)
    assert.is_true(ok, output)
    assert.equal(("55\t%s/lib/lua/%s/ringlet/%s.so\n"):format(prefix, version, library or "core"),
      output)
  end

  -- The command, which finds what was installed with it.
  local function commands(prefix)
    local output, ok = run(("sh -c %s"):format(quote(("cd / && %s/bin/ringlet version")
      :format(prefix))))
    assert.is_true(ok, output)
    assert.matches(is_jit and "^ringlet [%d.]+, LuaJIT" or "^ringlet [%d.]+, Lua 5.4", output)
  end

  it("works when installed by make", function()
    local output, ok = run(("make -C %s install ABIS=%s PREFIX=%s/made"):format(quote(tree), abi,
      quote(tmp)))
    assert.is_true(ok, output)
    works(tmp .. "/made")
    commands(tmp .. "/made")
  end)

  it("works when installed by luarocks", function()
    if not has "luarocks" then return pending "luarocks is not installed" end
    if is_jit and not has "lua5.1" then return pending "luarocks for 5.1 needs lua5.1" end
    -- `luarocks make` leaves objects beside the sources: it gets a copy.
    local copy = tmp .. "/copy"
    os.execute(("mkdir %s && cd %s && cp -r src lua bin rockspec bpf %s"):format(quote(copy),
      quote(tree), quote(copy)))
    local function install(name)
      -- Without optimizing: it is soon done, also on a busy machine.
      local command = "cd %s && luarocks --lua-version=%s make rockspec/%s-scm-1.rockspec " ..
        "--tree %s/rock CFLAGS='-O0 -fPIC'"
      local output, ok = run("sh -c " .. quote(command:format(copy, version, name, tmp)))
      assert.is_true(ok, output)
    end
    install "ringlet"
    works(tmp .. "/rock")
    commands(tmp .. "/rock")
    for name, rock in pairs{
      ["zlib.h"] = {"ringlet-zlib", ZLIB_PROGRAM, "zlib_core"},
      ["bpf/libbpf.h"] = {"ringlet-bpf", BPF_PROGRAM, "bpf_core"},
    } do
      local header = io.open("/usr/include/" .. name)
      if header then
        header:close()
        install(rock[1])
        works(tmp .. "/rock", rock[2], rock[3])
      end
    end
  end)

  it("is refused by PUC Lua 5.1 with one clear error", function()
    if not has "lua5.1" then return pending "lua5.1 is not installed" end
    for _, module in ipairs{"ringlet", "ringlet.net", "ringlet.buffer", "ringlet.test"} do
      local output, ok = run(("LUA_PATH=%s LUA_CPATH=%s lua5.1 -e %s"):format(
        quote(tree .. "/lua/?.lua;" .. tree .. "/lua/?/init.lua"),
        quote(tree .. "/build/luajit/?.so"),
        quote(("print(select(2, pcall(require, %q)))"):format(module))))
      assert.is_true(ok, output)
      assert.truthy(output:find("ringlet needs LuaJIT 2.1 or Lua 5.4", 1, true), output)
      assert.truthy(output:find("Lua 5.1", 1, true), output)
      assert.is_nil(output:find("undefined symbol", 1, true), output)
    end
  end)

  if is_jit then
    it("says what to do where io_uring is forbidden", function()
      local script = assert(io.open(tmp .. "/forbidden.lua", "w"))
      script:write(FORBID, 'print(select(2, pcall(require "ringlet".run, function() end)))')
      script:close()
      local output, ok = run(("LUA_PATH=%s LUA_CPATH=%s %s %s/forbidden.lua"):format(
        quote(tree .. "/lua/?.lua;" .. tree .. "/lua/?/init.lua"),
        quote(tree .. "/build/luajit/?.so"), interpreter(), tmp))
      assert.is_true(ok, output)
      for _, words in ipairs{"io_uring is forbidden here", "sysctl kernel.io_uring_disabled",
        "seccomp profile", "EPERM"} do
        assert.truthy(output:find(words, 1, true), output)
      end
    end)
  end
end)
