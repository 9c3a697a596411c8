-- SPDX-License-Identifier: MIT
-- bpf_steer_memory: what bpf/steer.h has in its maps, at which offsets: by shard, as plain loads
-- and stores of memory that the process shares with the programs.
--
-- Who writes what: a shard its beacon (the core does that) and its seat; whoever steers the terms;
-- marks and turns the programs alone.

local M = {}

M.SHARDS_MAX = 64

-- A weight of 1, as a cost.
local COST = 65536

local LINE = 64

-- A count as a number: of Lua 5.4 an integer.
local whole = rawget(math, "tointeger") or tonumber

-- Seconds of CLOCK_MONOTONIC, whose nanoseconds are exact for a hundred days.
local function seconds(ns)
  return tonumber(ns) / 1e9
end

-- ---- beacons ------------------------------------------------------------------------------------

--- What a shard publishes: nil if it never has.
-- @tparam area beacons
-- @tparam integer shard
-- @tparam number now seconds of CLOCK_MONOTONIC
function M.beacon(beacons, shard, now)
  local at = (shard - 1) * LINE
  local beat, since = beacons:u64(at), beacons:u64(at + 8)
  if beat == 0 then
    return nil
  end
  return {
    beat = math.max(0, now - seconds(beat)), running = since ~= 0 and now - seconds(since) or nil,
    task = since ~= 0 and whole(beacons:u64(at + 16)) or nil,
    runnable = whole(beacons:u32(at + 24)),
    idle = beacons:u32(at + 28) == 1, tasks = whole(beacons:u32(at + 32)),
    tid = whole(beacons:u32(at + 36)),
  }
end

--- Where a shard's beacon is, for the core.
function M.beacon_address(beacons, shard)
  return beacons:address((shard - 1) * LINE)
end

-- ---- seats --------------------------------------------------------------------------------------

--- Connections a shard has.
function M.live(seats, shard)
  return whole(seats:u32((shard - 1) * LINE + 8))
end

--- A seat is taken: all that was handed to it before is gone.
function M.begin_seat(seats, marks, shard, max)
  local at = (shard - 1) * LINE
  seats:u64(at, (M.handed(marks, shard)))
  seats:u32(at + 8, 0)
  seats:u32(at + 12, max)
end

--- `new` connections have come of those sent there, and so many live.
function M.count(seats, marks, shard, new, live)
  local at = (shard - 1) * LINE
  if new > 0 then
    local handed, floor = M.handed(marks, shard)
    local taken = math.max(whole(seats:u64(at)), floor) + new
    seats:u64(at, math.min(taken, handed))
  end
  seats:u32(at + 8, live)
end

-- ---- terms --------------------------------------------------------------------------------------

function M.is_open(terms, shard)
  return terms:u32((shard - 1) * 8 + 4) == 1
end

function M.set_open(terms, shard, is_open)
  terms:u32((shard - 1) * 8 + 4, is_open and 1 or 0)
end

function M.weight(terms, shard)
  local cost = terms:u32((shard - 1) * 8)
  return cost == 0 and 0 or math.floor(COST / cost * 1000 + 0.5) / 1000
end

function M.set_weight(terms, shard, weight)
  terms:u32((shard - 1) * 8, weight == 0 and 0 or math.floor(COST / weight + 0.5))
end

-- ---- marks and turns ----------------------------------------------------------------------------

--- What the programs count of a shard.
function M.mark(marks, shard)
  local at = (shard - 1) * LINE
  return {placed = whole(marks:u64(at)), migrated = whole(marks:u64(at + 8)),
    avoided = whole(marks:u64(at + 16))}
end

--- How many were sent to a shard, and how many of them are too old to be on their way.
function M.handed(marks, shard)
  local at = (shard - 1) * LINE
  return whole(marks:u64(at + 24)), whole(marks:u64(at + 32))
end

--- Connections a shard has, and those on their way to it.
function M.load(seats, marks, shard)
  local handed, floor = M.handed(marks, shard)
  local taken = whole(seats:u64((shard - 1) * LINE))
  return M.live(seats, shard), math.max(0, handed - math.max(taken, floor))
end

--- Choices that were left to the kernel.
function M.fallbacks(turns)
  return whole(turns:u64(16))
end

--- The programs look at the shards up to this one.
function M.set_size(turns, size)
  turns:u64(64, size)
end

function M.size(turns)
  return whole(turns:u64(64))
end

return M
