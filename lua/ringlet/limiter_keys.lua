-- SPDX-License-Identifier: MIT
-- limiter_keys: one limiter for each key, in bounded memory.
--
-- A limiter whose account is full is like a new one: nobody can tell that it was dropped. So, once
-- there are some, each new key drops up to two full ones of those that were asked for the longest
-- ago, and the keys that there are are about those that are limited now. Only when there is no room
-- is one dropped that is not full. A limiter that somebody holds, or waits in, is found again under
-- its key though it was dropped.
--
-- Invariants: every limiter in the line is in the map; `n` counts those in the line. What is in the
-- map alone is held by somebody, or about to be collected.

local core = require "ringlet.core"
local lines = require "ringlet.limiter_line"

local M = {}

local KEPT = 256  -- that are dropped only for want of room
local LOOKS = 2   -- at the oldest, for each new key
local SEARCH = 32 -- among the oldest for a full one, when there is no room

local WEAK = {__mode = "v"}

--- @tparam integer max keys that are kept
function M.new(max)
  return {
    map = setmetatable({}, WEAK), line = lines.new(), max = max, n = 0, dropped = 0,
    allowed = 0, refused = 0, timed_out = 0,
  }
end

-- What it has counted goes to the sum.
local function drop(keyed, entry)
  local one = entry.one
  keyed.line:remove(entry)
  keyed.n, keyed.dropped = keyed.n - 1, keyed.dropped + 1
  keyed.allowed = keyed.allowed + one.allowed
  keyed.refused = keyed.refused + one.refused
  keyed.timed_out = keyed.timed_out + one.timed_out
  one.allowed, one.refused, one.timed_out = 0, 0, 0
end

local function is_idle(one, ns)
  return one.waiting == 0 and one:full_(ns)
end

local function drop_idle(keyed, ns)
  for _ = 1, LOOKS do
    local entry = keyed.line.first
    if keyed.n < KEPT or not is_idle(entry.one, ns) then
      return
    end
    drop(keyed, entry)
  end
end

local function make_room(keyed, ns)
  local oldest = keyed.line.first
  local entry, looks = oldest, 0
  while entry and looks < SEARCH do
    if is_idle(entry.one, ns) then
      drop(keyed, entry)
      return
    end
    entry, looks = entry.behind, looks + 1
  end
  drop(keyed, oldest)
end

local function enter(keyed, one)
  local ns = math.floor(core.now() * 1e9 + 0.5)
  drop_idle(keyed, ns)
  if keyed.n >= keyed.max then
    make_room(keyed, ns)
  end
  keyed.line:push(one.entry)
  keyed.n = keyed.n + 1
end

--- The limiter of a key, which is now the one that was asked for last; nil if there is none.
function M.find(keyed, key)
  local one = keyed.map[key]
  if one then
    local entry = one.entry
    if entry.line then
      keyed.line:remove(entry)
      keyed.line:push(entry)
    else
      enter(keyed, one)
    end
  end
  return one
end

--- Add the limiter of a key that has none.
function M.add(keyed, key, one)
  one.entry = {one = one}
  enter(keyed, one)
  keyed.map[key] = one
end

--- Call fn(limiter, ...) for each, in the order in which they were asked for.
function M.each(keyed, fn, ...)
  if not keyed then
    return
  end
  local entry = keyed.line.first
  while entry do
    fn(entry.one, ...)
    entry = entry.behind
  end
  for _, one in pairs(keyed.map) do
    if not one.entry.line then
      fn(one, ...)
    end
  end
end

--- Add to the counters of the limiter of all keys.
function M.add_stats(keyed, stats)
  stats.keys, stats.dropped = keyed.n, keyed.dropped
  local function add(one)
    stats.allowed = stats.allowed + one.allowed
    stats.refused = stats.refused + one.refused
    stats.timed_out = stats.timed_out + one.timed_out
    stats.waiting = stats.waiting + (one.waiting or 0)
  end
  add(keyed)
  M.each(keyed, add)
end

return M
