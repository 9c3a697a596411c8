-- SPDX-License-Identifier: MIT
-- chan: channels.
--
-- The buffer and all rules live here, where the JIT can compile them; the core's wait queue holds
-- who waits (side one receivers, side two senders, each with the value it offers). A channel is a
-- userdata, because LuaJIT honours __len only there; its metatable is its state table, whose own
-- metatable has the methods.
--
-- Invariants: while a task waits to receive, `rwait` is true, and `swait` while one waits to send;
-- whoever parks sets them first, and who finds nobody left clears them. `easy` is true exactly
-- while the channel is open, blocks when full, and neither is set: then a send needs only room, a
-- recv only a value. No receiver waits while a value is buffered, no sender while there is room.
--
-- An unbuffered channel is nothing but its wait queue: its send and recv are one call of the core
-- each, put into its state table in place of the general ones. Its flags only say that somebody may
-- wait. They are true, and nobody touches them, until select or try_ asks in vain; from then on
-- every send and recv sets them.

--- Pass values between tasks.
-- @module ringlet
-- @section Channels

local core = require "ringlet.core"
local fail = require "ringlet.fail"
local options = require "ringlet.options"
local raised = require "ringlet.errors"

local wait, offer, wake, take = core.wait, core.offer, core.wake, core.take
local meet_send, meet_receive = core.send, core.receive
local refill, credit = core.refill, core.credit()
local RECV, SEND = core.reasons["chan receive"], core.reasons["chan send"]
local CLOSED, NAME = "closed", "ringlet.chan"
local CAPACITY_MAX = 2 ^ 24

local M = {CLOSED = CLOSED}

--- A channel, from `rl.chan`. `rl.select` takes it, for receiving and for sending.
-- @type chan
local Chan = {__name = NAME, overflow = "block", drops = 0}

local function push(s, v)
  local at = s.head + s.n
  if at > s.cap then
    at = at - s.cap
  end
  s[at] = v
  s.n = s.n + 1
end

local function pop(s)
  local head = s.head
  local v = s[head]
  s[head] = false
  s.n = s.n - 1
  s.head = head < s.cap and head + 1 or 1
  return v
end

local function settle(s)
  s.easy = s.open and not s.rwait and not s.swait and s.cap > 0 and s.overflow == "block"
end

local function closed_values(s)
  return nil, s.message or "ECLOSED: channel is closed", s.code or "ECLOSED"
end
M.closed_values = closed_values

-- Before anything that may park: are we in a task, and not cancelled?
local function enter()
  local _, code = refill()
  if code then
    fail(code)
  end
end

-- send of an unbuffered channel, with and without a word to select.
local function send_meeting(ch, v, t)
  if v == nil then
    error("nil cannot be sent", 2)
  elseif t ~= nil then
    options.seconds(t, 2)
  end
  local ok, code = meet_send(ch, v, t)
  if ok then
    return true
  elseif code == CLOSED then
    error("send on closed channel", 2)
  end
  return fail(code)
end

local function send_told(ch, v, t)
  ch.s.swait = true
  return send_meeting(ch, v, t)
end

-- recv of an unbuffered channel, likewise.
local function recv_meeting(ch, t)
  if t ~= nil then
    options.seconds(t, 2)
  end
  local v, code = meet_receive(ch, t)
  if v ~= nil then
    return v
  elseif code == CLOSED then
    return closed_values(ch.s)
  end
  return fail(code)
end

local function recv_told(ch, t)
  ch.s.rwait = true
  return recv_meeting(ch, t)
end

-- Before a flag is cleared: from now on it has to be set.
local function tell(s)
  if s.send == send_meeting then
    s.send, s.recv = send_told, recv_told
  end
end

-- Give v to a receiver that waits.
local function hand(ch, s, v)
  local handed, more = wake(ch, v)
  if not more then
    tell(s)
    s.rwait = false
    settle(s)
  end
  return handed
end

-- Deliver without waiting: true; false when there is no room.
local function deliver(ch, s, v)
  if s.rwait and hand(ch, s, v) then
    return true
  elseif s.n < s.cap then
    push(s, v)
    return true
  elseif s.overflow == "block" then
    return false
  end
  s.drops = s.drops + 1
  if s.overflow == "drop_oldest" and s.cap > 0 then
    pop(s)
    push(s, v)
  end
  return true
end
M.deliver = deliver

-- Take the value of a sender that waits: true, v; false when there is none.
local function take_offer(ch, s)
  local taken, v, more = take(ch)
  if not more then
    tell(s)
    s.swait = false
    settle(s)
  end
  return taken, v
end

-- Fetch without waiting: true, v; false when there is nothing.
local function fetch(ch, s)
  if s.n > 0 then
    local v = pop(s)
    if s.swait then
      local taken, more = take_offer(ch, s)
      if taken then
        push(s, more)
      end
    end
    return true, v
  elseif s.swait then
    return take_offer(ch, s)
  end
  return false
end
M.fetch = fetch

-- Wait with v in hand until a receiver takes it.
local function send_wait(ch, s, v, t)
  s.easy, s.swait = false, true
  local ok, code = offer(ch, t, SEND, v)
  if ok then
    return true
  elseif code == CLOSED then
    error("send on closed channel", 3)
  end
  return fail(code)
end

local function send_slow(ch, s, v, t)
  if v == nil then
    error("nil cannot be sent", 3)
  elseif s.cap == nil then
    error("channel expected", 3)
  elseif t ~= nil then
    options.seconds(t, 3)
  end
  local left = credit[1]
  if left <= 0 then
    enter()
    left = credit[1]
  end
  if not s.open then
    error("send on closed channel", 3)
  elseif deliver(ch, s, v) then
    credit[1] = left - 1
    return true
  end
  local ok, msg, code = send_wait(ch, s, v, t)
  return ok, msg, code
end

--- Send v. The longest waiter gets it, else it is buffered.
-- @parks while there is no room; without a buffer, until somebody receives
-- @tparam any v anything but nil
-- @tparam[opt] number t seconds
-- @treturn true
-- @fails "ETIMEDOUT"
-- @raise on a closed channel, and when it is closed meanwhile
-- @source the Go specification, "Send statements"
function Chan.send(ch, v, t)
  local s = ch.s
  local left = credit[1]
  if left > 0 and s.easy and s.n < s.cap and v ~= nil then
    credit[1] = left - 1
    local at = s.head + s.n
    if at > s.cap then
      at = at - s.cap
    end
    s[at] = v
    s.n = s.n + 1
    return true
  end
  local ok, msg, code = send_slow(ch, s, v, t)
  return ok, msg, code
end

local function recv_wait(ch, s, t)
  s.easy, s.rwait = false, true
  local v, code = wait(ch, t, RECV)
  if v ~= nil then
    return v
  elseif code == CLOSED then
    return closed_values(s)
  end
  return fail(code)
end

local function recv_slow(ch, s, t)
  if t ~= nil then
    options.seconds(t, 3)
  end
  local left = credit[1]
  if left <= 0 then
    enter()
    left = credit[1]
  end
  local got, v = fetch(ch, s)
  if got then
    credit[1] = left - 1
    return v
  elseif not s.open then
    return closed_values(s)
  end
  return recv_wait(ch, s, t)
end

--- Receive: buffered values first, in the order in which they were sent.
-- @parks while there is none
-- @tparam[opt] number t seconds
-- @treturn any the value
-- @fails "ECLOSED", or what `close` was given; "ETIMEDOUT"
-- @source the Go specification, "Receive operator"
function Chan.recv(ch, t)
  local s = ch.s
  local left, n = credit[1], s.n
  if left > 0 and n > 0 and s.easy then
    credit[1] = left - 1
    local head = s.head
    local v = s[head]
    s[head] = false
    s.n = n - 1
    s.head = head < s.cap and head + 1 or 1
    return v
  end
  return recv_slow(ch, s, t)
end

--- Send if that needs no waiting.
-- @tparam any v anything but nil
-- @treturn true
-- @fails "EAGAIN", "ECLOSED"
function Chan.try_send(ch, v)
  local s = ch.s
  if v == nil then
    error("nil cannot be sent", 2)
  elseif not s.open then
    return nil, "ECLOSED: channel is closed", "ECLOSED"
  elseif deliver(ch, s, v) then
    return true
  end
  return nil, "EAGAIN: channel is full", "EAGAIN"
end

--- Receive if that needs no waiting.
-- @treturn any the value
-- @fails "EAGAIN"; "ECLOSED", or what `close` was given
function Chan.try_recv(ch)
  local s = ch.s
  local got, v = fetch(ch, s)
  if got then
    return v
  elseif not s.open then
    return closed_values(s)
  end
  return nil, "EAGAIN: channel is empty", "EAGAIN"
end

--- Close: buffered values can still be received, then receivers get the end; senders raise. With a
-- message, `recv` gives it at the end, and `iter` raises it.
-- @tparam[opt] string msg
-- @tparam[opt] string code
-- @raise when it is closed already
-- @source the Go specification, "Close"
function Chan.close(ch, msg, code)
  local s = ch.s
  if not s.open then
    error("close of closed channel", 2)
  end
  s.open, s.easy, s.rwait, s.swait = false, false, false, false
  s.message, s.code = msg, code
  core.shut(ch)
  core.wake_all(ch, nil, CLOSED)
  core.fail_offers(ch, nil, CLOSED)
end

--- Iterate over what is received, until the channel is closed and empty.
-- @parks in the loop, while there is no value
-- @treturn fun():any for a `for` loop; it raises the message the channel was closed with
-- @source the Go specification, "For range"
function Chan.iter(ch)
  return function()
    local v, msg, code = ch:recv()
    if v == nil and ch.s.message then
      error(raised.new(msg, code), 0)
    end
    return v
  end
end

--- How many values the buffer holds at most.
-- @treturn integer
function Chan.capacity(ch)
  return ch.s.cap
end

--- How many values the overflow rule has dropped.
-- @treturn integer
function Chan.dropped(ch)
  return ch.s.drops
end

--- `#ch`: how many values the buffer holds.
-- @treturn integer
function Chan.__len(ch)
  return ch.s.n
end

function Chan.__tostring(ch)
  local s = ch.s
  return ("ringlet.chan: %d/%d%s"):format(s.n, s.cap, s.open and "" or " (closed)")
end

local methods = {__index = Chan}
local OVERFLOW = {block = true, drop_oldest = true, drop_newest = true}

-- Is this a channel?
function M.is(v)
  return type(v) == "userdata" and getmetatable(v) == NAME
end

-- What a channel is made of: capacity and overflow rule; misuse is blamed on the caller's caller.
function M.check(capacity, opts)
  capacity = capacity == nil and 0 or capacity
  if type(capacity) ~= "number" or capacity < 0 or capacity > CAPACITY_MAX
    or capacity ~= math.floor(capacity) then
    error("capacity must be a whole number from 0 to " .. CAPACITY_MAX, 3)
  end
  local overflow = options.check(opts, {overflow = "string"}, 3).overflow or "block"
  if not OVERFLOW[overflow] then
    error("overflow must be block, drop_oldest or drop_newest", 3)
  end
  return capacity, overflow
end

--- A channel.
-- @tparam[opt=0] integer capacity values it buffers, at most 2^24; 0: sender and receiver meet
-- @tparam[opt] table opts
-- @tparam[opt="block"] string opts.overflow when the buffer is full: "block", a sender parks;
-- "drop_oldest" makes room; "drop_newest" drops what is sent
-- @treturn chan
-- @source the Go specification, "Channel types"; C. A. R. Hoare, "Communicating sequential
-- processes", 1978
function M.new(capacity, opts)
  local overflow
  capacity, overflow = M.check(capacity, opts)
  local s = setmetatable({
    s = false, n = 0, head = 1, cap = capacity, easy = overflow == "block", open = true,
    rwait = false, swait = false, send = nil, recv = nil,
    __index = false, __len = Chan.__len, __tostring = Chan.__tostring, __metatable = NAME,
  }, methods)
  s.s, s.__index = s, s
  if capacity == 0 and overflow == "block" then
    s.send, s.recv, s.easy = send_meeting, recv_meeting, false
    s.rwait, s.swait = true, true
  elseif overflow ~= "block" then
    s.overflow = overflow
  end
  return core.setmetatable(core.waitq(), s)
end

return M
