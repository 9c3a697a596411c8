-- SPDX-License-Identifier: MIT
-- websocket_socket: a WebSocket behind its handshake, at either end. The core reads and answers
-- frames as they come (src/rt/websocket.h); here are waiting, closing, and the heartbeat.
--
-- Invariants: `x` is the core's part, on which recv and select wait. Once something has failed with
-- another code than "ETIMEDOUT" of a wait, `close_code` is set and every call fails. The timer of a
-- heartbeat holds its socket weakly and is set only while the socket is open.
--
-- A codec packs messages, if the handshake agreed on one: `pack(data)` gives what is sent instead,
-- or nil; `unpack(data, max)` a message, or nil and what is wrong with it, "packing" or "length";
-- `close()` frees what it has. None of them parks.

--- @module ringlet.websocket

local core = require "ringlet.core"
local fail = require "ringlet.fail"
local options = require "ringlet.options"
local task = require "ringlet.task"
local time = require "ringlet.time"
local traced = require "ringlet.traced"

local ws_recv, ws_send, ws_take, until_ = core.ws_recv, core.ws_send, core.ws_take, core.net_until

local M = {}

local MAX_MESSAGE = 16 * 1024 * 1024
local HEARTBEAT_TIMEOUT, CLOSE_TIMEOUT = 5, 5
local WEAK = {__mode = "v"}

--- A WebSocket, from `connect` or `req:websocket`. One task may receive, any number may send;
-- messages are sent in the order of the calls. Pings are answered and pongs taken note of without
-- anybody's doing, unless a message waits that nobody takes. `rl.select` takes it: the case gives
-- what `recv` returns. Collected without `close`, its connection is closed.
-- @type ws
-- @tfield ?string protocol the subprotocol that was agreed on
-- @tfield boolean deflate whether compression was agreed on
-- @tfield ?integer close_code why it ended, once a call has told so: the peer's code, 1005 if it
-- gave none; 1002, 1007 or 1009 for what the peer did wrong; 1006 if the connection was lost
-- @tfield ?string close_reason the peer's words
local WebSocket = {__name = "ringlet.websocket"}
WebSocket.__index = WebSocket

-- What ended it, in the fields; the failure values of a code.
local function failed(self, code)
  local _, msg, name = fail(code)
  local close_code, reason, wrong = core.ws_verdict(self.x)
  if close_code then
    self.close_code, self.close_reason = close_code, reason
    if wrong then
      msg = name .. ": " .. wrong
    elseif name == "ETIMEDOUT" then
      msg = "ETIMEDOUT: nothing came back from the peer"
    end
  end
  return nil, msg, name
end

-- ---- messages -----------------------------------------------------------------------------------

-- What a message that was packed is, as recv gives it.
local function unpacked(self, data, text)
  local wrong
  data, wrong = self.codec:unpack(data, self.max_message)
  if data and text and not core.ws_is_text(data) then
    wrong = "text"
  end
  if not wrong then
    return data, text and "text" or "binary"
  end
  local _, code = core.ws_refuse(self.x, wrong)
  return failed(self, code)
end

--- The next message.
-- @parks until a whole one is here
-- @tparam[opt] number t seconds
-- @treturn string
-- @treturn string "text", which is UTF-8 then, or "binary"
-- @fails "ECLOSED" after either side has closed it; "EPROTO" when the peer did wrong, which closes
-- it; "EOF" or "ECONNRESET" when the peer has vanished; "ETIMEDOUT", with `close_code` set if it
-- was the heartbeat's
-- @raise when another task is receiving
-- @source RFC 6455 section 5.4, 6.2
function WebSocket:recv(t)
  local x = self.x
  local data, text, packed = ws_recv(x, t)
  while data == true do
    data, text, packed = ws_recv(x, t, true)
  end
  if packed then
    return unpacked(self, data, text)
  elseif data then
    return data, text and "text" or "binary"
  end
  return failed(self, text)
end

local function next_message(self)
  local data, kind = self:recv()
  if data then
    return data, kind
  elseif kind:find "^ECLOSED" then
    return nil
  end
  error(kind, 2)
end

--- Iterate over the messages until it is closed.
-- @parks in the loop, while there is none
-- @treturn fun(ws:ws):?string for a `for` loop: the message and its kind; raises the message
-- of a failure that is no closing
-- @treturn ws
function WebSocket:messages()
  return next_message, self
end

local KINDS = {text = true, binary = false}

-- Messages are packed in the order in which they go out: when it is their turn.
local function send_packed(self, data, text)
  local x = self.x
  local ok, code = core.ws_turn(x, data, text)
  if ok == true then
    ok, code = core.ws_turn(x, data, text, true)
  end
  if ok then
    local packed = self.codec:pack(data)
    ok, code = ws_send(x, packed or data, text, true, packed ~= nil)
  end
  if ok then
    return true
  end
  return failed(self, code)
end

--- Send a message. It is queued when this returns.
-- @parks while 64 KiB (`write_high_water`) or more are queued already, until half of that is sent
-- @tparam string data
-- @tparam[opt="text"] string kind "text" or "binary"
-- @treturn true
-- @fails "ECLOSED" once either side has closed it; "EPROTO", "EOF", "ECONNRESET", "EPIPE",
-- "ETIMEDOUT"
-- @raise on text that is not UTF-8
-- @source RFC 6455 section 6.1
function WebSocket:send(data, kind)
  local text = kind == nil or KINDS[kind]
  if type(data) ~= "string" then
    error("string expected, got " .. type(data), 2)
  elseif text == nil then
    error(('kind: "text" or "binary" expected, got %s'):format(tostring(kind)), 2)
  end
  if self.codec then
    return send_packed(self, data, text)
  end
  local ok, code = ws_send(self.x, data, text)
  if ok == true then
    ok, code = ws_send(self.x, data, text, true)
  end
  if ok then
    return true
  end
  return failed(self, code)
end

--- Send a ping. The peer's pong is counted in `stats`.
-- @tparam[opt=""] string data at most 125 bytes
-- @treturn true
-- @fails "ENOBUFS" when far too much is queued; else as `send`
-- @source RFC 6455 section 5.5.2
function WebSocket:ping(data)
  data = data or ""
  if type(data) ~= "string" or #data > 125 then
    error("a string of at most 125 bytes expected", 2)
  end
  local ok, code = core.ws_ping(self.x, data)
  if ok then
    return true
  end
  return failed(self, code)
end

-- ---- the heartbeat ------------------------------------------------------------------------------

local function load_of(self)
  local fn = self.load
  if not fn then
    return (core.ws_stats(self.x)).queued_out
  end
  local ok, load, trace = traced.call(fn)
  if not ok then
    task.report(load, trace, self)
  end
  return ok and tonumber(load) or 0
end

local tick

local function arm(self, now)
  local due = self.next_ping
  if self.pong_due and self.pong_due < due then
    due = self.pong_due
  end
  self.timer = time.call_after(math.max(due - now, 0), self.tick)
end

-- Has the pong come that is due for the longest time? Pings behind it may still be on their way.
local function note_pong(self, pong_at)
  local asked = self.asked
  if asked and pong_at and pong_at >= asked then
    self.asked = self.last_ping > pong_at and self.last_ping or nil
    self.pong_due = self.asked and self.asked + self.heartbeat_timeout
  end
end

-- A message that nobody takes may be before the pong: then the peer is given time.
function tick(self)
  local open, unread, pong_at = core.ws_pulse(self.x)
  local now = core.now()
  self.timer = nil
  if not open then
    return
  end
  note_pong(self, pong_at)
  if self.pong_due and now >= self.pong_due then
    if not unread then
      core.ws_fail(self.x, core.ETIMEDOUT)
      return
    end
    self.pong_due = now + self.heartbeat_timeout
  end
  if now >= self.next_ping then
    self.last_ping, self.next_ping = now, now + self.heartbeat
    core.ws_ping(self.x, ("%.14g"):format(load_of(self)))
    if not self.asked then
      self.asked, self.pong_due = now, now + self.heartbeat_timeout
    end
  end
  arm(self, now)
end

local function start_heartbeat(self, opts)
  local ref = setmetatable({self}, WEAK)
  self.heartbeat = opts.heartbeat
  self.heartbeat_timeout = opts.heartbeat_timeout or HEARTBEAT_TIMEOUT
  self.load = opts.load
  self.next_ping = core.now() + opts.heartbeat
  self.tick = function()
    local ws = ref[1]
    if ws then
      tick(ws)
    end
  end
  arm(self, core.now())
end

-- ---- the end ------------------------------------------------------------------------------------

-- Wait for the peer. Gives the code of what went wrong.
local function wait_for_end(self, due)
  local ok, code
  repeat
    ok, code = core.ws_ended(self.x, due)
  until ok ~= true
  return code
end

-- The connection ends, and with it the timer.
local function finish(self)
  if self.timer then
    time.cancel_call(self.timer)
    self.timer = nil
  end
  if self.codec then
    self.codec:close()
  end
  self.conn:close()
  local code, reason = core.ws_verdict(self.x)
  self.close_code, self.close_reason = code, reason
end

--- Close it: tell the peer, wait until the peer has answered, and end the connection. What the peer
-- sends meanwhile is dropped, and who waits in `recv` gets "ECLOSED". Idempotent. A task that is
-- cancelled does not wait.
-- @parks until the peer has answered, or t seconds
-- @tparam[opt=1000] integer code why: 1000 done, 1001 going away, 1008 against the rules, 1011
-- failed, 3000 to 4999 as you like
-- @tparam[opt=""] string reason at most 123 bytes
-- @tparam[opt] number t seconds to wait for the peer, by default `close_timeout`; 0: do not wait
-- @treturn true
-- @raise on a code that must not be sent
-- @source RFC 6455 section 7.1, 7.4
function WebSocket:close(code, reason, t)
  options.seconds(t, 2)
  core.ws_close(self.x, code or 1000, reason or "")
  t = t or self.close_timeout
  local err
  if t > 0 then
    err = wait_for_end(self, until_(t))
  end
  finish(self)
  if err == core.ECANCEL then
    fail(err)
  end
  return true
end

--- End the connection at once, without a word.
-- @treturn true
function WebSocket:abort()
  self.conn:abort()
  finish(self)
  return true
end

-- ---- looking ------------------------------------------------------------------------------------

--- The address of the peer.
-- @treturn string "host:port"
-- @fails "ECLOSED", "ENOTCONN"
function WebSocket:peername()
  return self.conn:peername()
end

--- How far it has come.
-- @treturn string "open", "closing" (one side has said that it ends) or "closed"
function WebSocket:state()
  return core.ws_state(self.x)
end

--- Counters.
-- @treturn ws_stats a new table
-- @tfield[ws_stats] integer messages_in received whole, also one that nobody took yet
-- @tfield[ws_stats] integer messages_out
-- @tfield[ws_stats] integer bytes_in content of those messages, compressed if they were
-- @tfield[ws_stats] integer bytes_out
-- @tfield[ws_stats] integer pings_in
-- @tfield[ws_stats] integer pongs_in
-- @tfield[ws_stats] integer queued_in bytes received and not taken
-- @tfield[ws_stats] integer queued_out bytes that were not sent yet
-- @tfield[ws_stats] number|boolean peer_load what the peer's last heartbeat said of its load;
-- false: nothing
-- @tfield[ws_stats] number|boolean last_pong when the last pong came, in seconds of `rl.now`;
-- false: none did
function WebSocket:stats()
  local stats, ping = core.ws_stats(self.x)
  local _, _, last_pong = core.ws_pulse(self.x)
  stats.peer_load, stats.last_pong = tonumber(ping) or false, last_pong or false
  return stats
end

function WebSocket:__tostring()
  local protocol = self.protocol and ", " .. self.protocol or ""
  return ("ringlet.websocket: %s%s, %s"):format(self.role, protocol, self:state())
end

function WebSocket.__close(self)
  self:close(nil, nil, 0)
end

-- What select asks of a waitable. Who wakes it gives nothing along.
WebSocket.late = true

function WebSocket:poll_(peek)
  local data, text, packed = ws_take(self.x, peek)
  if data == false then
    return false, nil, "EAGAIN: another task took the message", "EAGAIN"
  elseif data == true then
    return true
  elseif packed then
    return true, unpacked(self, data, text)
  elseif data then
    return true, data, text and "text" or "binary"
  end
  return true, failed(self, text)
end

-- ---- making -------------------------------------------------------------------------------------

-- The options of both ends, for options.check, and their bounds.
M.OPTIONS = {
  protocols = "table", headers = "table", max_message = "number", max_frame = "number",
  heartbeat = "number", heartbeat_timeout = "number", load = "function", close_timeout = "number",
  deflate = "boolean|table",
}
M.BOUNDS = {
  max_message = {min = 1, whole = true, max = 2 ^ 40}, max_frame = {min = 1, whole = true},
  heartbeat = {above = 0}, heartbeat_timeout = {above = 0}, close_timeout = {min = 0},
}

-- Bytes of a frame, where only messages are bounded: a packed one may be longer than it will be.
local ANY = 2 ^ 53

-- A socket on a connection whose handshake is done, with a codec or none: or failure values.
function M.new(conn, role, protocol, opts, codec)
  local max = opts.max_message or MAX_MESSAGE
  local x, code = core.ws_new(conn, role == "client", max, opts.max_frame or codec and ANY or max,
    codec ~= nil)
  if not x then
    return fail(code)
  end
  local self = setmetatable({
    x = x, q = x, conn = conn, role = role, protocol = protocol, deflate = codec ~= nil,
    close_timeout = opts.close_timeout or CLOSE_TIMEOUT, codec = codec, max_message = max,
  }, WebSocket)
  if opts.heartbeat then
    start_heartbeat(self, opts)
  end
  return self
end

return M
