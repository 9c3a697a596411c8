-- SPDX-License-Identifier: MIT
-- bpf_beacon: the memory in which this shard shows its state to programs in the kernel
-- (src/rt/beacon.h): an array with an element for each shard. A shard can show it in one place, so
-- all that look at it share one map, which the first that is made or comes here brings, and which
-- is kept as long as the shard lives. Two that were brought by different shards cannot be used at
-- once.
--
-- Invariant: while a shard shows itself, the memory is mapped.

local bpf_map = require "ringlet.bpf_map"
local core = require "ringlet.core"
local memory = require "ringlet.bpf_steer_memory"
local run = require "ringlet.run_stop"

local M = {}

-- The map that is known here: {map =, id =}.
local known

-- Where this shard shows itself: {id =, area =, users =}.
local shown

local BUSY = "EBUSY: this shard shows its state to a steering that another shard made"

--- The map to use.
-- @treturn ?bpf.map nil: none is known
-- @treturn string its name, or that of a new one
function M.known()
  if known then
    return known.map, known.id
  end
  return nil, ("%d.%.9f"):format((core.fleet()) or 0, core.now())
end

--- Let others here use a map, if it is the first.
function M.know(map, id)
  known = known or {map = assert(bpf_map.open(map:fd())), id = id}
end

--- Show this shard's state in a map's memory.
-- @treturn true
-- @fails "EBUSY", ...
function M.show(map, id)
  if shown and shown.id ~= id then
    return nil, BUSY, "EBUSY"
  elseif shown then
    shown.users = shown.users + 1
    return true
  end
  local area, msg, code = map:mmap()
  if not area then
    return nil, msg, code
  end
  shown = {id = id, area = area, users = 1}
  core.beacon(memory.beacon_address(area, (core.fleet())))
  return true
end

--- One of those that wanted it shown wants it no more.
function M.hide()
  if not shown then
    return
  end
  shown.users = shown.users - 1
  if shown.users == 0 then
    core.beacon(nil)
    shown.area:close()
    shown = nil
  end
end

run.endings[#run.endings + 1] = function()
  if shown then
    shown.users = 1
    M.hide()
  end
end

return M
