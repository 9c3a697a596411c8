-- SPDX-License-Identifier: MIT
-- bpf_area: the memory of an array of BPF, mapped into the process. A program's write is seen by a
-- plain load, without a call of the kernel, and the other way round.

--- Mapped memory.
-- @module ringlet.bpf
-- @section Mapped memory

local bpf_fail = require "ringlet.bpf_fail"
local library = require "ringlet.bpf_library".library

local M = {}

--- Mapped memory of an array, from `map:mmap`. It stays mapped until it is closed or collected,
-- even when its map is closed before. `area.size` is how many bytes it has.
-- @type bpf_area
local Area = {__name = "ringlet.bpf.area"}
Area.__index = Area

--- Where a byte of it is. Good until the area is closed or collected.
-- @tparam[opt=0] integer offset
-- @treturn userdata light
-- @raise beyond the end; on a closed area
function Area:address(offset)
  local at = library.area_address(self.x, offset)
  return at
end

--- Read, or write, an integer of 64 bits; with acquire and release order.
-- @tparam integer offset a multiple of 8
-- @tparam[opt] integer value
-- @treturn integer what is there now; beyond 2^53 as the values of maps are
-- @raise beyond the end; on a closed area; writing what is read-only
function Area:u64(offset, value)
  local v
  if value == nil then
    v = library.area_u64(self.x, offset)
  else
    v = library.area_u64(self.x, offset, value)
  end
  return v
end

--- The same of 32 bits.
-- @tparam integer offset a multiple of 4
-- @tparam[opt] integer value
-- @treturn integer
-- @raise as `u64`
function Area:u32(offset, value)
  local v
  if value == nil then
    v = library.area_u32(self.x, offset)
  else
    v = library.area_u32(self.x, offset, value)
  end
  return v
end

--- Where an element begins.
-- @tparam integer index from 0, as keys of arrays are
-- @treturn integer
function Area:offset(index)
  return index * self.each
end

--- Unmap it. Idempotent.
-- @treturn true
function Area:close()
  self.is_closed = true
  library.area_close(self.x)
  return true
end

Area.__close = Area.close

function Area:__tostring()
  return ("%s: %d bytes%s"):format(Area.__name, self.size, self.is_closed and ", closed" or "")
end

local ENODEV = -19

-- The memory of a map, or failure values.
function M.new(x, name)
  local area, size, each = library.area_open(x)
  if area then
    return setmetatable({x = area, size = size, each = each}, Area)
  elseif size == ENODEV then
    return nil, "ENODEV: " .. name .. " is no array with BPF_F_MMAPABLE", "ENODEV"
  end
  return bpf_fail.give(size, "mapping the memory of " .. name)
end

return M
