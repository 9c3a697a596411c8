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
-- @param s the bytes
-- @return buffer
function M.new(s)
  return core.buffer_new(s)
end

--- Is `v` a slice or a buffer? True for one that is no longer valid, too.
function M.is(v)
  return core.buffer_is(v)
end

--- Methods of slices and buffers
-- @type slice

--- Length in bytes: `#s`.
-- @function __len

--- The bytes as a Lua string; `tostring(s)` does the same.
-- @function tostring

--- Where `what` occurs at or after `init`, as plain bytes: first and last position, or nil.
-- @function find
-- @param what a string
-- @param init (1)

--- The values of the bytes from `i` (1) to `j` (`i`), as `string.byte`.
-- @function byte

--- The bytes from `i` (1) to `j` (-1) as a string, as `string.sub`.
-- @function sub

--- The byte at `i` (1). Raises outside the slice, as the next four do.
-- @function u8

--- The 16-bit number at `i` (1), most significant byte first.
-- @function u16be

--- The 16-bit number at `i` (1), least significant byte first.
-- @function u16le

--- The 32-bit number at `i` (1), most significant byte first.
-- @function u32be

--- The 32-bit number at `i` (1), least significant byte first.
-- @function u32le

--- The decimal integer that begins at `i` (1), with an optional minus sign and at most 15 digits.
-- @function number
-- @return the number and the position behind it, or nil when there is none

--- A part, from `i` (1) to `j` (-1), without a copy; valid as long as the whole is.
-- @function slice

--- Are these the bytes of the string `s`?
-- @function equals

--- Does it begin with the bytes of the string `s`?
-- @function starts

--- A copy that is valid until it is released.
-- @function retain
-- @return buffer

--- End it early: the memory goes back at once, every slice of the same read ends. Idempotent.
-- @function release

--- Can it still be used?
-- @function is_valid

return M
