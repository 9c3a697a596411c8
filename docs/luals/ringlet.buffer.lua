---@meta ringlet.buffer
-- SPDX-License-Identifier: MIT
-- Written by tools/stubs from the comments in these files; edit those.
--   lua/ringlet/buffer.lua

---A view of bytes, from `conn:read_buffer` or `buffer.new`. Every method but `release` and
---`is_valid` raises when it is no longer valid. `tostring(s)` is the same as `s:tostring()`.
---@class ringlet.slice
---@operator len: integer
local slice = {}

---The bytes as a Lua string.
---
---Does not park.
---@return string
function slice:tostring() end

---Look for bytes, without patterns.
---
---Does not park.
---
---Source: the Lua manual, string.find with plain = true.
---@param what string
---@param init? integer where to begin (1)
---@return integer|nil # where the first occurrence begins, nil when there is none
---@return integer|nil # where it ends
function slice:find(what, init) end

---The values of the bytes from i to j.
---
---Does not park.
---
---Source: the Lua manual, string.byte.
---@param i? integer (1)
---@param j? integer i by default
---@return any ... from 0 to 255
function slice:byte(i, j) end

---The bytes from i to j as a string.
---
---Does not park.
---
---Source: the Lua manual, string.sub.
---@param i? integer (1)
---@param j? integer (-1)
---@return string
function slice:sub(i, j) end

---The byte at i.
---
---Does not park.
---
---Raises outside of the slice.
---@param i? integer (1)
---@return integer # from 0 to 255
function slice:u8(i) end

---The 16-bit number at i, most significant byte first.
---
---Does not park.
---
---Raises outside of the slice.
---@param i? integer (1)
---@return integer
function slice:u16be(i) end

---The 16-bit number at i, least significant byte first.
---
---Does not park.
---
---Raises outside of the slice.
---@param i? integer (1)
---@return integer
function slice:u16le(i) end

---The 32-bit number at i, most significant byte first.
---
---Does not park.
---
---Raises outside of the slice.
---@param i? integer (1)
---@return integer
function slice:u32be(i) end

---The 32-bit number at i, least significant byte first.
---
---Does not park.
---
---Raises outside of the slice.
---@param i? integer (1)
---@return integer
function slice:u32le(i) end

---The decimal integer that begins at i, with an optional minus sign and at most 15 digits.
---
---Does not park.
---@param i? integer (1)
---@return integer|nil # nil when there is none, or it is longer
---@return integer|nil # the position behind it
function slice:number(i) end

---A part, from i to j, without a copy; valid as long as the whole is.
---
---Does not park.
---@param i? integer (1)
---@param j? integer (-1)
---@return ringlet.slice
function slice:slice(i, j) end

---Are these the bytes of the string s?
---
---Does not park.
---@param s string
---@return boolean
function slice:equals(s) end

---Does it begin with the bytes of the string s?
---
---Does not park.
---@param s string
---@return boolean
function slice:starts(s) end

---A copy that is valid until it is released.
---
---Does not park.
---@return ringlet.slice
function slice:retain() end

---End it early: the memory goes back at once, every slice of the same read ends. Idempotent.
---
---Does not park.
function slice:release() end

---Can it still be used?
---
---Does not park.
---@return boolean
function slice:is_valid() end

---Bytes outside of Lua strings: slices of what a connection received, and buffers of one's own.
---
---Making a Lua string of each message is most of what Lua costs a server. `conn:read_buffer()`
---gives a *slice* instead: a view of the buffer the kernel wrote to. It has the methods below, can
---be written to any connection without a copy, and is valid until the next read of its connection
---or `release()`; using it later raises "slice is no longer valid".
---
---    local s = conn:read_buffer()
---    if s:starts("PING ") then conn:write("PONG ", s:slice(6)) end
---
---Positions are those of strings: from 1, negative ones from the end.
---@class ringlet.buffer
local M = {}

---A buffer of one's own with a copy of a string: a slice that is valid until it is released.
---
---Does not park.
---@param s string the bytes
---@return ringlet.slice
function M.new(s) end

---Is `v` a slice or a buffer? True for one that is no longer valid, too.
---
---Does not park.
---@param v any
---@return boolean
function M.is(v) end

return M
