-- SPDX-License-Identifier: MIT
-- vm: refuses interpreters the library cannot work in, with an error that says so. What people
-- require loads this before anything in C, which other interpreters cannot even load.

if not rawget(_G, "jit") and _VERSION ~= "Lua 5.4" then
  error(("ringlet needs LuaJIT 2.1 or Lua 5.4: this is %s, which cannot yield across pcall. "
    .. "Run your script with `luajit` or `lua5.4`."):format(_VERSION), 0)
end

return {}
