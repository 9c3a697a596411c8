-- SPDX-License-Identifier: MIT
-- bpf_ring: ring buffers of BPF: programs put records in, a task takes them out and parks while
-- there is none.
--
-- Invariants: a record is taken only for somebody who is given it, so none is lost when a receiver
-- is cancelled or times out; while somebody waits, and only then, the descriptor is watched; what
-- the loop calls when it can be read gives records to those who wait, the longest first.

--- Ring buffers.
-- @module ringlet.bpf
-- @section Ring buffers

local bpf_fail = require "ringlet.bpf_fail"
local core = require "ringlet.core"
local fail = require "ringlet.fail"
local library = require "ringlet.bpf_library".library
local options = require "ringlet.options"

local M = {}

local RECV = core.reasons.recv
local WAIT = 1
local ECLOSED = core.ECLOSED

local credit, enter = core.credit(), core.refill

--- The reading end of a ring buffer, from `object:ring`. There is one for each.
-- @type bpf_ring
local Ring = {__name = "ringlet.bpf.ring"}
Ring.__index = Ring

local CLOSED = "ECLOSED: the ring buffer is closed"

local function take(self)
  local v = library.ring_take(self.x, self.kind)
  if v ~= nil then
    self.records = self.records + 1
  end
  return v
end

local arm

-- In the loop: it can be read, or cannot be watched any more.
local function readable(self, code)
  if code then
    core.wake_all(self.q, nil, code)
    return
  end
  while self.x and core.waits(self.q, WAIT) do
    local v = take(self)
    if v == nil then
      local _, why = arm(self)
      if why then
        core.wake_all(self.q, nil, why)
      end
      return
    end
    core.wake(self.q, v)
  end
end

-- What the loop calls does not keep an abandoned ring buffer alive.
local function caller(self)
  local held = setmetatable({self}, {__mode = "v"})
  return function(code)
    if held[1] then
      readable(held[1], code)
    end
  end
end

local function new_poll(self)
  local code
  self.poll, code = core.poll_new(self.number)
  return self.poll, code
end

-- Watch it: true | nil, code. A poll of a run that is over is replaced.
function arm(self)
  local ok, code
  if self.poll then
    ok, code = core.poll_arm(self.poll, self.call)
  end
  if not ok and (not self.poll or code == ECLOSED) then
    local poll
    poll, code = new_poll(self)
    if poll then
      ok, code = core.poll_arm(poll, self.call)
    end
  end
  return ok, code
end

local function closed(self)
  return self.x == nil
end

local function wait(self, t)
  local ok, code = arm(self)
  if not ok then
    return fail(code)
  end
  local v
  v, code = core.wait(self.q, t, RECV)
  if v ~= nil then
    return v
  end
  if self.poll and not core.waits(self.q, WAIT) then
    core.poll_disarm(self.poll)
  end
  if code == ECLOSED then
    return nil, CLOSED, "ECLOSED"
  end
  return fail(code)
end

--- Take the next record.
-- @parks while there is none
-- @tparam[opt] number t seconds
-- @return record as a value of its type, or its bytes
-- @fails "ECLOSED"; "ETIMEDOUT"; "EOPNOTSUPP" in a simulated run, unless one is there
-- @raise outside of a task, if none is there
function Ring:recv(t)
  if t ~= nil then
    options.seconds(t)
  end
  local left = credit[1]
  if left <= 0 then
    local _, code = enter()
    if code then
      return fail(code)
    end
    left = credit[1]
  end
  if closed(self) then
    return nil, CLOSED, "ECLOSED"
  end
  -- Those who wait were there first.
  local v = not core.waits(self.q, WAIT) and take(self) or nil
  if v ~= nil then
    credit[1] = left - 1
    return v
  end
  return wait(self, t)
end

--- Take the next record if there is one.
-- @return record
-- @fails "EAGAIN"; "ECLOSED"
function Ring:try_recv()
  if closed(self) then
    return nil, CLOSED, "ECLOSED"
  end
  local v = take(self)
  if v ~= nil then
    return v
  end
  return nil, "EAGAIN: the ring buffer is empty", "EAGAIN"
end

local function next_record(self)
  local v, msg, code = self:recv()
  if v == nil and code ~= "ECLOSED" then
    error(msg, 2)
  end
  return v
end

--- Records as they come, until it is closed: `for record in ring:iter() do`.
-- @parks
-- @treturn fun():any
-- @raise when it cannot be read
function Ring:iter()
  return next_record, self
end

-- For select: is a record there? It is taken, unless it is only asked for.
function Ring:poll_(peek)
  if closed(self) then
    return true, nil, CLOSED, "ECLOSED"
  elseif library.ring_ready(self.x) then
    return true, not peek and take(self) or nil
  end
  local ok, code = arm(self)
  if not ok then
    return true, fail(code)
  end
  return false
end

--- Counters.
-- @treturn bpf_ring_stats a new table
-- @tfield[bpf_ring_stats] integer records taken so far
-- @tfield[bpf_ring_stats] integer waiting bytes that wait to be taken, headers included
-- @tfield[bpf_ring_stats] integer size bytes that there is room for
function Ring:stats()
  local waiting, size = 0, self.size
  if self.x then
    waiting, size = library.ring_fill(self.x)
  end
  return {records = self.records, waiting = waiting, size = size}
end

--- Close this end. Whoever waits gets "ECLOSED". Idempotent.
-- @treturn true
function Ring:close()
  if self.x then
    library.ring_close(self.x)
    self.x = nil
    if self.poll then
      core.poll_close(self.poll)
      self.poll = nil
    end
    core.wake_all(self.q, nil, ECLOSED)
  end
  return true
end

Ring.__close = Ring.close

function Ring:__tostring()
  return ("%s: %s, %d bytes%s"):format(Ring.__name, self.name, self.size,
    self.x and "" or ", closed")
end

-- Of a map, with records of a type (a number of its object's, or nil); or failure values.
function M.new(map, kind)
  local x, code = library.ring_open(map.x)
  if not x then
    return bpf_fail.give(code, "reading the ring buffer " .. map.name)
  end
  local self = setmetatable({x = x, q = core.waitq(), name = map.name, kind = kind, records = 0,
    number = map.number, size = map.max_entries, object = map.object}, Ring)
  self.call = caller(self)
  return self
end

return M
