-- SPDX-License-Identifier: MIT
-- `luarocks test` runs this with the interpreter it is set up for; the specs run under the VM that
-- stands for: LuaJIT for "Lua 5.1", which is what it counts as.

local abi = _VERSION == "Lua 5.1" and "luajit" or _VERSION == "Lua 5.4" and "lua5.4"
if not abi then
  io.stderr:write("ringlet needs LuaJIT 2.1 or Lua 5.4; this is ", _VERSION, "\n")
  os.exit(1)
end

local ok = os.execute("make --no-print-directory spec ABIS=" .. abi)
os.exit((ok == true or ok == 0) and 0 or 1)
