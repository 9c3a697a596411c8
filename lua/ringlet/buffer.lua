-- SPDX-License-Identifier: MIT
--- Bytes outside of Lua strings: slices of what a connection received, and buffers of one's own.
--
-- Making a Lua string of each message is most of what Lua costs a server. `conn:read_buffer()`
-- gives a *slice* instead: a view of the buffer the kernel wrote to. It has the methods below, can
-- be written to any connection without a copy, and is valid until the next read of its connection
-- or `release()`; using it later raises "slice is no longer valid".
--
--     local s = conn:read_buffer()
--     if s:starts("PING ") then conn:write("PONG ", s:slice(6)) end
--
-- Positions are those of strings: from 1, negative ones from the end.
-- @module ringlet.buffer

require "ringlet.vm"
local core = require "ringlet.core"

local M = {}

--- A buffer of one's own with a copy of a string: a slice that is valid until it is released.
-- @tparam string s the bytes
-- @treturn slice
function M.new(s)
  return core.buffer_new(s)
end

--- Is `v` a slice or a buffer? True for one that is no longer valid, too.
-- @tparam any v
-- @treturn boolean
function M.is(v)
  return core.buffer_is(v)
end

--- A view of bytes, from `conn:read_buffer` or `buffer.new`. Every method but `release` and
-- `is_valid` raises when it is no longer valid. `tostring(s)` is the same as `s:tostring()`.
-- @type slice

--- `#s`: the length in bytes.
-- @function __len
-- @treturn integer

--- The bytes as a Lua string.
-- @function tostring
-- @treturn string

--- Look for bytes, without patterns.
-- @function find
-- @tparam string what
-- @tparam[opt=1] integer init where to begin
-- @treturn ?integer where the first occurrence begins, nil when there is none
-- @treturn ?integer where it ends
-- @source the Lua manual, string.find with plain = true

--- The values of the bytes from i to j.
-- @function byte
-- @tparam[opt=1] integer i
-- @tparam[opt] integer j i by default
-- @treturn integer ... from 0 to 255
-- @source the Lua manual, string.byte

--- The bytes from i to j as a string.
-- @function sub
-- @tparam[opt=1] integer i
-- @tparam[opt=-1] integer j
-- @treturn string
-- @source the Lua manual, string.sub

--- The byte at i.
-- @function u8
-- @tparam[opt=1] integer i
-- @treturn integer from 0 to 255
-- @raise outside of the slice

--- The 16-bit number at i, most significant byte first.
-- @function u16be
-- @tparam[opt=1] integer i
-- @treturn integer
-- @raise outside of the slice

--- The 16-bit number at i, least significant byte first.
-- @function u16le
-- @tparam[opt=1] integer i
-- @treturn integer
-- @raise outside of the slice

--- The 32-bit number at i, most significant byte first.
-- @function u32be
-- @tparam[opt=1] integer i
-- @treturn integer
-- @raise outside of the slice

--- The 32-bit number at i, least significant byte first.
-- @function u32le
-- @tparam[opt=1] integer i
-- @treturn integer
-- @raise outside of the slice

--- The decimal integer that begins at i, with an optional minus sign and at most 15 digits.
-- @function number
-- @tparam[opt=1] integer i
-- @treturn ?integer nil when there is none, or it is longer
-- @treturn ?integer the position behind it

--- A part, from i to j, without a copy; valid as long as the whole is.
-- @function slice
-- @tparam[opt=1] integer i
-- @tparam[opt=-1] integer j
-- @treturn slice

--- Are these the bytes of the string s?
-- @function equals
-- @tparam string s
-- @treturn boolean

--- Does it begin with the bytes of the string s?
-- @function starts
-- @tparam string s
-- @treturn boolean

--- A copy that is valid until it is released.
-- @function retain
-- @treturn slice

--- End it early: the memory goes back at once, every slice of the same read ends. Idempotent.
-- @function release

--- Can it still be used?
-- @function is_valid
-- @treturn boolean

return M
