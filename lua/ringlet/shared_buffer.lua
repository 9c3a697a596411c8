-- SPDX-License-Identifier: MIT
-- shared_buffer: bytes that shards share: the constructor and the docs; see src/lua/lsbuffer.c.

--- @module ringlet.shared
-- @section Buffers

local core = require "ringlet.core"

local M = {}

--- A buffer with a copy of the bytes. It never changes, so a handle of it that is sent to another
-- shard copies nothing; the memory is given back when the last handle, or view of a part, is gone.
-- @tparam string|shared_buffer ... what is joined, one behind the other
-- @treturn shared_buffer
function M.new(...)
  return core.shared_buffer(...)
end

--- Bytes that shards share, from `shared.buffer`. `tostring(b)` is the same as `b:tostring()`, and
-- two buffers are equal (`==`) when their bytes are. Positions are those of strings.
-- @type shared_buffer

--- `#b`: the length in bytes.
-- @function __len
-- @treturn integer

--- The bytes as a Lua string.
-- @function tostring
-- @treturn string

--- The bytes from i to j as a string.
-- @function sub
-- @tparam[opt=1] integer i
-- @tparam[opt=-1] integer j
-- @treturn string
-- @source the Lua manual, string.sub

--- A part, from i to j, without a copy. It keeps the whole alive.
-- @function slice
-- @tparam[opt=1] integer i
-- @tparam[opt=-1] integer j
-- @treturn shared_buffer

--- Are these the bytes?
-- @function equals
-- @tparam string|shared_buffer what
-- @treturn boolean

return M
