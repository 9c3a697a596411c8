---@meta ringlet.buffer
-- SPDX-License-Identifier: MIT
-- Written by tools/stubs from lua/ringlet/buffer.lua; edit that.

---Methods of slices and buffers
---@class ringlet.slice
local slice = {}

---Length in bytes: `#s`.
function slice:__len() end

---The bytes as a Lua string; `tostring(s)` does the same.
function slice:tostring() end

---Where `what` occurs at or after `init`, as plain bytes: first and last position, or nil.
---@param what any a string
---@param init any (1)
function slice:find(what, init) end

---The values of the bytes from `i` (1) to `j` (`i`), as `string.byte`.
function slice:byte() end

---The bytes from `i` (1) to `j` (-1) as a string, as `string.sub`.
function slice:sub() end

---The byte at `i` (1). Raises outside the slice, as the next four do.
function slice:u8() end

---The 16-bit number at `i` (1), most significant byte first.
function slice:u16be() end

---The 16-bit number at `i` (1), least significant byte first.
function slice:u16le() end

---The 32-bit number at `i` (1), most significant byte first.
function slice:u32be() end

---The 32-bit number at `i` (1), least significant byte first.
function slice:u32le() end

---The decimal integer that begins at `i` (1), with an optional minus sign and at most 15 digits.
---@return any # the number and the position behind it, or nil when there is none
function slice:number() end

---A part, from `i` (1) to `j` (-1), without a copy; valid as long as the whole is.
function slice:slice() end

---Are these the bytes of the string `s`?
function slice:equals() end

---Does it begin with the bytes of the string `s`?
function slice:starts() end

---A copy that is valid until it is released.
---@return any # buffer
function slice:retain() end

---End it early: the memory goes back at once, every slice of the same read ends. Idempotent.
function slice:release() end

---Can it still be used?
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
---@param s any the bytes
---@return any # buffer
function M.new(s) end

---Is `v` a slice or a buffer? True for one that is no longer valid, too.
---@param v any
function M.is(v) end

return M
