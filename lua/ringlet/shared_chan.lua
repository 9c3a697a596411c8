-- SPDX-License-Identifier: MIT
-- shared_chan: channels that pass values from any shard to any other.
--
-- The buffer, who waits and all rules are the core's (src/rt/schan.c), because tasks of several
-- threads meet there; an operation is one call. These wrappers check what users give, ask now and
-- then whether the task may go on (see chan.lua), and turn codes into what users see. What travels
-- as more than a scalar or a text comes from a wait as a token, which `taken` turns into the value.

--- Pass values between shards.
-- @module ringlet.shared
-- @section Channels

local chan = require "ringlet.chan"
local core = require "ringlet.core"
local fail = require "ringlet.fail"
local options = require "ringlet.options"
local raised = require "ringlet.errors"

local send, receive, taken = core.schan_send, core.schan_recv, core.taken
local try_send, try_receive = core.schan_try_send, core.schan_try_recv
local ended, state, close = core.schan_end, core.schan_state, core.schan_close
local refill, credit = core.refill, core.credit()
local ECLOSED = core.ECLOSED
local NAME = "ringlet.shared.chan"
local OVERFLOW = {block = 0, drop_oldest = 1, drop_newest = 2}

local M = {}

--- A shared channel, from `shared.chan`; `rl.select` takes it like any channel. Values that are
-- sent are copied; a handle of it may be sent itself.
-- @type shared_chan
local Chan = core.schan_class()

local function closed_values(ch)
  local message, code = ended(ch)
  return nil, message or "ECLOSED: channel is closed", code or "ECLOSED"
end
M.closed_values = closed_values

-- Before anything that may park: are we in a task, and not cancelled?
local function enter()
  local _, code = refill()
  if code then
    fail(code)
  end
  return credit[1]
end

--- Send a copy of v. The longest waiter gets it, else it is buffered.
-- @parks while there is no room; without a buffer, until somebody receives
-- @tparam any v anything that travels, but nil
-- @tparam[opt] number t seconds
-- @treturn true
-- @fails "ETIMEDOUT"
-- @raise on a closed channel, and when it is closed meanwhile; on what cannot travel
-- @source the Go specification, "Send statements"
function Chan.send(ch, v, t)
  local left = credit[1]
  if left <= 0 then
    left = enter()
  end
  credit[1] = left - 1
  if v == nil then
    error("nil cannot be sent", 2)
  elseif t ~= nil then
    options.seconds(t, 2)
  end
  local ok, code = send(ch, v, t)
  if ok then
    return true
  elseif code == ECLOSED then
    error("send on closed channel", 2)
  end
  return fail(code)
end

--- Receive: buffered values first, in the order in which they were sent.
-- @parks while there is none
-- @tparam[opt] number t seconds
-- @treturn any the value
-- @fails "ECLOSED", or what `close` was given; "ETIMEDOUT"
-- @source the Go specification, "Receive operator"
function Chan.recv(ch, t)
  local left = credit[1]
  if left <= 0 then
    left = enter()
  end
  credit[1] = left - 1
  if t ~= nil then
    options.seconds(t, 2)
  end
  local v, code = receive(ch, t)
  if v == nil then
    if code == ECLOSED then
      return closed_values(ch)
    end
    return fail(code)
  elseif type(v) == "userdata" then
    v = taken(v)
  end
  return v
end

--- Send if that needs no waiting.
-- @tparam any v anything that travels, but nil
-- @treturn true
-- @fails "EAGAIN", "ECLOSED"
-- @raise on what cannot travel
function Chan.try_send(ch, v)
  if v == nil then
    error("nil cannot be sent", 2)
  end
  local ok, code = try_send(ch, v)
  if ok then
    return true
  elseif code == ECLOSED then
    return nil, "ECLOSED: channel is closed", "ECLOSED"
  end
  return nil, "EAGAIN: channel is full", "EAGAIN"
end

--- Receive if that needs no waiting.
-- @treturn any the value
-- @fails "EAGAIN"; "ECLOSED", or what `close` was given
function Chan.try_recv(ch)
  local v, code = try_receive(ch)
  if v ~= nil then
    return v
  elseif code == ECLOSED then
    return closed_values(ch)
  end
  return nil, "EAGAIN: channel is empty", "EAGAIN"
end

local function check_text(name, v)
  if v ~= nil and type(v) ~= "string" then
    error(name .. " must be a string or nil, not a " .. type(v), 3)
  end
end

--- Close: buffered values can still be received, then receivers get the end; senders raise. With a
-- message, `recv` gives it at the end, and `iter` raises it.
-- @tparam[opt] string msg
-- @tparam[opt] string code
-- @raise when it is closed already
-- @source the Go specification, "Close"
function Chan.close(ch, msg, code)
  check_text("the message", msg)
  check_text("the code", code)
  if not close(ch, msg, code) then
    error("close of closed channel", 2)
  end
end

--- Iterate over what is received, until the channel is closed and empty.
-- @parks in the loop, while there is no value
-- @treturn fun():any for a `for` loop; it raises the message the channel was closed with
-- @source the Go specification, "For range"
function Chan.iter(ch)
  return function()
    local v, msg, code = ch:recv()
    if v == nil and ended(ch) then
      error(raised.new(msg, code), 0)
    end
    return v
  end
end

--- How many values the buffer holds at most.
-- @treturn integer
function Chan.capacity(ch)
  local _, capacity = state(ch)
  return capacity
end

--- How many values the overflow rule has dropped.
-- @treturn integer
function Chan.dropped(ch)
  local _, _, _, dropped = state(ch)
  return dropped
end

--- `#ch`: how many values the buffer holds.
-- @treturn integer
function Chan.__len(ch)
  return (state(ch))
end

function Chan.__tostring(ch)
  local n, capacity, closed = state(ch)
  return ("ringlet.shared.chan: %d/%d%s"):format(n, capacity, closed and " (closed)" or "")
end

Chan.__metatable = NAME

-- For select: carry out a receive, or a send, if that needs no waiting. Each returns whether it
-- did, the value, and whether the channel is closed.
function M.fetch(ch)
  local v, code = try_receive(ch)
  return v ~= nil, v, code == ECLOSED
end

function M.deliver(ch, v)
  local ok, code = try_send(ch, v)
  return ok, nil, code == ECLOSED
end

require "ringlet.shared_chan_jit"(Chan, NAME)

-- Is this a shared channel?
function M.is(v)
  return type(v) == "userdata" and getmetatable(v) == NAME
end

--- A channel that shards share.
-- @tparam[opt=0] integer capacity values it buffers, at most 2^24; 0: sender and receiver meet
-- @tparam[opt] table opts
-- @tparam[opt="block"] string opts.overflow when the buffer is full: "block", a sender parks;
-- "drop_oldest" makes room; "drop_newest" drops what is sent
-- @treturn shared_chan
-- @source the Go specification, "Channel types"; D. Vyukov, "Bounded MPMC queue"
function M.new(capacity, opts)
  local overflow
  capacity, overflow = chan.check(capacity, opts)
  local ch = core.schan(capacity, OVERFLOW[overflow])
  return ch
end

return M
