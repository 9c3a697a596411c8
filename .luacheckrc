-- SPDX-License-Identifier: MIT

std = "min" -- what Lua 5.1, LuaJIT and 5.4 have in common
read_globals = {
  "table.unpack", "table.pack", "table.move", "package.searchpath", "coroutine.close",
}
max_line_length = 100
cache = false

exclude_files = { "build*/**", "docs/luals/**" }

files["spec"] = { std = "min+busted" }
files["bench"] = { std = "max" }
files["rockspec"] = { std = "rockspec" }
files[".busted"] = { allow_defined_top = true }
