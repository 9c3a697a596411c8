-- SPDX-License-Identifier: MIT
-- pool_shared_state: what the shards share of a pool that belongs to all of them, and what one
-- knows of it.
--
-- What travels is {box = dict}. The dict has the options, the objects that the shards share, and
-- what is counted seldom. Each state makes one record of a dict; the dict's userdata keeps it, so
-- that it lives as long as there is a pool here and a cycle of the two is collected.
--
-- Permits are a semaphore of MOST tokens, `size` of which are there. Who begins a task takes one;
-- in the end it is given back to whoever has waited longest, on whatever shard. A pool made smaller
-- owes what it cannot take at once: a permit that comes back pays that first.
--
-- Invariants: size + debt = permits there + permits taken. `outstanding` counts what was accepted
-- and has not ended, `running` what of it has a permit, `beside` what runs without one; the rest is
-- queued, and has a place each if the queue has an end. What accepts increments before what ends
-- decrements.

local core = require "ringlet.core"
require "ringlet.shared_atomic"
local sync = require "ringlet.shared_sync"

local atomic, semaphore = core.shared_atomic, sync.semaphore

local M = {}

local MOST = 2 ^ 31
M.MOST = MOST

-- How many waits are told at once.
local WAITS = 64

-- The bits of `state`.
M.OPEN, M.CLOSED, M.PAUSED = 0, 1, 2
local CLOSED, PAUSED = M.CLOSED, M.PAUSED

-- Each dict here, and its record; and the other way round, for whoever wants all: a userdata that
-- is about to be finalized, as are those in its record, is no weak value any more, but still a key.
local records = setmetatable({}, {__mode = "kv"})
local boxes = setmetatable({}, {__mode = "kv"})
M.boxes = boxes

local anchor = rawget(debug, "setfenv") or rawget(debug, "setuservalue")

-- What lasts longer than a run.
local function new_lasting(size)
  return {
    state = atomic(M.OPEN), size = atomic(size), submitted = atomic(), done = atomic(),
    waits = atomic(), wait_us = atomic(),
  }
end

-- What a run begins with.
local function new_current(size, queue)
  local permits = semaphore(MOST)
  permits:try_acquire(MOST - size)
  return {
    permits = permits, debt = atomic(), places = queue > 0 and queue < MOST and semaphore(queue),
    running = atomic(), outstanding = atomic(), beside = atomic(), blocked = atomic(),
    emptied = atomic(),
  }
end

local function put_in(record, ...)
  for i = 1, select("#", ...) do
    for name, value in pairs((select(i, ...))) do
      record[name] = value
    end
  end
  return record
end

local on_record

-- fn(record) adds what only this shard has.
function M.on_record(fn)
  on_record = fn
end

local function add_record(box, ...)
  local record = put_in({box = box}, ...)
  on_record(record)
  records[box], boxes[record] = record, box
  anchor(box, record)
  return record
end

--- Make a pool.
-- @tparam table given checked options, all of which travel
-- @treturn shared_dict
-- @raise what cannot travel
function M.new(given)
  local box = core.shared_dict(0, true)
  local lasting, current = new_lasting(given.size), new_current(given.size, given.queue)
  box:set("options", given)
  box:set("lasting", lasting)
  box:set("current", current)
  add_record(box, given, lasting, current)
  return box
end

-- The record of a dict.
function M.find(box)
  return records[box]
    or add_record(box, box:get("options"), box:get("lasting"), box:get("current"))
end

-- A run is over. What its shards had of the pool, even one that was left behind, nobody has now.
function M.renew(record)
  local current = new_current(record.size:load(), record.queue)
  record.box:set("current", current)
  put_in(record, current)
end

-- ---- permits ------------------------------------------------------------------------------------

-- Pay one of what is owed, if anything is.
local function pay(record)
  local debt = record.debt
  local n = debt:load()
  while n > 0 do
    local done, is = debt:cas(n, n - 1)
    if done then
      return true
    end
    n = is
  end
  return false
end

-- A permit comes back.
local function give_back(record)
  if not pay(record) then
    record.permits:release()
  end
end
M.give_back = give_back

-- Take a permit, unless the pool is paused.
-- @parks until then
function M.obtain(record)
  local state, permits = record.state, record.permits
  while true do
    local s = state:load()
    if s < PAUSED then
      permits:acquire()
      if state:load() < PAUSED then
        return
      end
      give_back(record)
    else
      state:wait(s)
    end
  end
end

local function add_permits(record, n)
  while n > 0 and pay(record) do
    n = n - 1
  end
  record.permits:release(n)
end

-- What nobody has is taken now; what comes back, when it does.
local function take_owed(record)
  while record.debt:load() > 0 and record.permits:try_acquire() do
    give_back(record)
  end
end

-- Another size. Whoever sees a smaller one sees the debt too, so that two changes at once never
-- leave more permits than the larger of the sizes.
function M.resize(record, n)
  local size = record.size
  while true do
    local old = size:load()
    local less = math.max(old - n, 0)
    record.debt:add(less)
    if size:cas(old, n) then
      add_permits(record, math.max(n - old, 0))
      break
    end
    add_permits(record, less)
  end
  take_owed(record)
end

-- ---- its state ----------------------------------------------------------------------------------

local function has(state, bit)
  return bit == PAUSED and state >= PAUSED or bit == CLOSED and state % 2 == CLOSED
end

-- Is it closed, or paused?
function M.is(record, bit)
  return has(record.state:load(), bit)
end

-- Set or clear a bit: false if that was done already.
function M.set(record, bit, on)
  local state = record.state
  while true do
    local s = state:load()
    if has(s, bit) == on then
      return false
    elseif state:cas(s, on and s + bit or s - bit) then
      return true
    end
  end
end

-- ---- counting -----------------------------------------------------------------------------------

function M.count(record, name, n)
  record.box:incr(name, n or 1, 0)
end

function M.counted(record, name)
  return record.box:get(name) or 0
end

-- How long tasks have waited is summed up here and told to the others now and then.
function M.flush_waits(record)
  local max = record.wait_max_us
  record.waits:add(record.waits_here)
  record.wait_us:add(record.wait_us_here)
  record.waits_here, record.wait_us_here = 0, 0
  while max > 0 do
    local other = record.box:get("wait_max_us")
    if other and other >= max or record.box:cas("wait_max_us", other, max) then
      record.wait_max_us = 0
      return
    end
  end
end

-- A task has waited in the queue for that long.
function M.count_wait(record, seconds)
  local us = math.floor(seconds * 1e6 + 0.5)
  record.waits_here, record.wait_us_here = record.waits_here + 1, record.wait_us_here + us
  if us > record.wait_max_us then
    record.wait_max_us = us
  end
  if record.here == 0 or record.waits_here >= WAITS then
    M.flush_waits(record)
  end
end

-- Something accepted has ended.
function M.ended(record, has_permit)
  if has_permit == true then
    record.running:sub(1)
    give_back(record)
  elseif has_permit == false then
    record.beside:sub(1)
  end
  if record.outstanding:sub(1) == 0 then
    record.emptied:add(1)
  end
end

-- Wait until nothing that was accepted is left; t = nil: as long as it takes.
function M.drain(record, t)
  local due = t and core.now() + t
  while true do
    local turn = record.emptied:load()
    if record.outstanding:load() == 0 then
      return true
    end
    local ok, msg, code = record.emptied:wait(turn, due and math.max(due - core.now(), 0))
    if not ok then
      return ok, msg, code
    end
  end
end

return M
