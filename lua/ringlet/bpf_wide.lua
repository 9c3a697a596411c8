-- SPDX-License-Identifier: MIT
-- bpf_wide: integers of 64 bits that a double cannot hold. Lua 5.4 has them: those of 2^63 and more
-- are negative there, as everywhere in Lua 5.4 (`math.ult`, `%u` of none). In LuaJIT they are the
-- ffi's int64_t and uint64_t, but only beyond 2^53, so that everyday values are plain numbers.

local M = {}

--- Tell the library how they are made and read.
-- @tparam table library ringlet.bpf_core
function M.teach(library)
  if not rawget(_G, "jit") then
    return
  end
  local ffi = require "ffi"
  local unsigned, signed = ffi.typeof "uint64_t", ffi.typeof "int64_t"
  local word = ffi.cast(unsigned, 4294967296)
  library.wide(function(low, high, is_signed)
    local v = ffi.cast(unsigned, high) * word + low
    return is_signed and ffi.cast(signed, v) or v
  end, function(v)
    if ffi.istype(unsigned, v) or ffi.istype(signed, v) then
      v = ffi.cast(unsigned, v)
      return tonumber(v % word), tonumber(v / word)
    end
  end)
end

return M
