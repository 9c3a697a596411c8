-- SPDX-License-Identifier: MIT
-- cli_vm: the entry of the command `ringlet`. LuaRocks installs what is for LuaJIT for "Lua 5.1",
-- and its commands are then run by an interpreter that the library cannot work in: LuaJIT is
-- started in its place, with the same paths. So this file runs on PUC Lua 5.1 too.

local M = {}

local function quoted(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

-- The command line that runs this script with LuaJIT.
function M.line(argv, path, cpath)
  local words = {
    "LUA_PATH=" .. quoted(path), "LUA_CPATH=" .. quoted(cpath), "exec luajit", quoted(argv[0]),
  }
  for i = 1, #argv do
    words[#words + 1] = quoted(argv[i])
  end
  return table.concat(words, " ")
end

-- Run the command; its status.
function M.main(argv)
  if rawget(_G, "jit") or _VERSION ~= "Lua 5.1" then
    return require("ringlet.cli").main(argv)
  elseif os.execute "command -v luajit >/dev/null" ~= 0 then
    io.stderr:write("ringlet: needs luajit or lua5.4: this is Lua 5.1, and there is no luajit\n")
    return 1
  end
  local status = os.execute(M.line(argv, package.path, package.cpath))
  return status > 0 and status < 256 and 1 or math.floor(status / 256)
end

return M
