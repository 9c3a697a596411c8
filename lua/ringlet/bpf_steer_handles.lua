-- SPDX-License-Identifier: MIT
-- bpf_steer_handles: a shard's own handles of a steering: descriptors of its maps, their memory,
-- and where it was made the object. What one shard closes or collects no other misses, and what
-- serves has handles of its own, so that closing the steering takes nothing from it.

local bpf_beacon = require "ringlet.bpf_beacon"
local bpf_map = require "ringlet.bpf_map"

local M = {}

-- Maps, and the bytes of their values.
local MAPS = {beacons = 64, seats = 64, terms = 8, marks = 64, turns = 128, tenants = 8, socks = 8}
local MAPPED = {"beacons", "seats", "terms", "marks", "turns"}

-- A steering -> {maps = {name = map}, areas = {name = area}}; and, where it was made, its object.
local handles = setmetatable({}, {__mode = "k"})
local objects = setmetatable({}, {__mode = "k"})

M.BUSY = "EBUSY: the steering has a server already"
local CLOSED = "ECLOSED: the steering was closed"

--- Give handles back. Idempotent.
function M.drop(own)
  for _, area in pairs(own.areas) do
    area:close()
  end
  for _, map in pairs(own.maps) do
    map:close()
  end
end

-- A number that was a map's is nothing, or something else, when it was closed where it was made.
local function gone(msg, code)
  if code == "EBADF" or code == "EINVAL" then
    return nil, CLOSED, "ECLOSED"
  end
  return nil, msg, code
end

--- New handles, the caller's.
-- @treturn table {maps = {name = map}, areas = {name = area}}
-- @fails "ECLOSED", ...
function M.new(steer)
  if steer.closed then
    return nil, CLOSED, "ECLOSED"
  end
  local own = {maps = {}, areas = {}}
  local msg, code
  for name, size in pairs(MAPS) do
    own.maps[name], msg, code = bpf_map.open(steer.fds[name])
    if not own.maps[name] or own.maps[name].value_size ~= size then
      M.drop(own)
      return gone(msg, own.maps[name] and "EINVAL" or code)
    end
  end
  for _, name in ipairs(MAPPED) do
    own.areas[name], msg, code = own.maps[name]:mmap()
    if not own.areas[name] then
      M.drop(own)
      return nil, msg, code
    end
  end
  return own
end

--- This shard's, which others here use too.
function M.open(steer)
  if handles[steer] then
    return handles[steer]
  end
  local own, msg, code = M.new(steer)
  if not own then
    return nil, msg, code
  end
  handles[steer] = own
  bpf_beacon.know(own.maps.beacons, steer.beacon)
  return own
end

--- Make a steering of a loaded object: fills `fds`.
function M.adopt(steer, object)
  for name in pairs(MAPS) do
    steer.fds[name] = object:map(name):fd()
  end
  steer.fds.program = object:program("steer"):fd()
  objects[steer] = object
  return M.open(steer)
end

--- Give up those of this shard. Idempotent.
function M.close(steer)
  local own, object = handles[steer], objects[steer]
  handles[steer], objects[steer] = nil, nil
  if own then
    if own.where then
      own.where:close()
    end
    M.drop(own)
  end
  if object then
    object:close()
  end
end

return M
