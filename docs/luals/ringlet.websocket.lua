---@meta ringlet.websocket
-- SPDX-License-Identifier: MIT
-- Written by tools/stubs from the comments in these files; edit those.
--   lua/ringlet/websocket.lua
--   lua/ringlet/websocket_socket.lua

---A WebSocket, from `connect` or `req:websocket`. One task may receive, any number may send;
---messages are sent in the order of the calls. Pings are answered and pongs taken note of without
---anybody's doing, unless a message waits that nobody takes. `rl.select` takes it: the case gives
---what `recv` returns. Collected without `close`, its connection is closed.
---@class ringlet.ws
---@field protocol string|nil the subprotocol that was agreed on
---@field deflate boolean whether compression was agreed on
---why it ended, once a call has told so: the peer's code, 1005 if it gave none; 1002, 1007 or 1009
---for what the peer did wrong; 1006 if the connection was lost
---@field close_code integer|nil
---@field close_reason string|nil the peer's words
local ws = {}

---The next message.
---
---Parks until a whole one is here.
---
---Raises when another task is receiving.
---
---Source: RFC 6455 section 5.4, 6.2.
---
---Returns string, "text", which is UTF-8 then, or "binary".
---
---Or nil, message, "ECLOSED" after either side has closed it; "EPROTO" when the peer did wrong,
---which closes it; "EOF" or "ECONNRESET" when the peer has vanished; "ETIMEDOUT", with `close_code`
---set if it was the heartbeat's.
---@async
---@param t? number seconds
---@return string|nil
---@return string
---@return string|nil
---@overload fun(self: ringlet.ws, t?: number): nil, string, string
function ws:recv(t) end

---Iterate over the messages until it is closed.
---
---Parks in the loop, while there is none.
---
---Returns for a `for` loop: the message and its kind; raises the message of a failure that is no
---closing, ws.
---@async
---@return fun(ws: ringlet.ws): string|nil
---@return ringlet.ws
function ws:messages() end

---Send a message. It is queued when this returns.
---
---Parks while 64 KiB (`write_high_water`) or more are queued already, until half of that is sent.
---
---Raises on text that is not UTF-8.
---
---Source: RFC 6455 section 6.1.
---
---Returns true.
---
---Or nil, message, "ECLOSED" once either side has closed it; "EPROTO", "EOF", "ECONNRESET",
---"EPIPE", "ETIMEDOUT".
---@async
---@param data string
---@param kind? string "text" or "binary" ("text")
---@return true|nil
---@return string|nil
---@return string|nil
---@overload fun(self: ringlet.ws, data: string, kind?: string): nil, string, string
function ws:send(data, kind) end

---Send a ping. The peer's pong is counted in `stats`.
---
---Does not park.
---
---Source: RFC 6455 section 5.5.2.
---@param data? string at most 125 bytes ("")
---@return true|nil
---@return string|nil # message
---@return string|nil # "ENOBUFS" when far too much is queued; else as `send`
---@overload fun(self: ringlet.ws, data?: string): nil, string, string
function ws:ping(data) end

---Close it: tell the peer, wait until the peer has answered, and end the connection. What the peer
---sends meanwhile is dropped, and who waits in `recv` gets "ECLOSED". Idempotent. A task that is
---cancelled does not wait.
---
---Parks until the peer has answered, or t seconds.
---
---Raises on a code that must not be sent.
---
---Source: RFC 6455 section 7.1, 7.4.
---
---`code`: why: 1000 done, 1001 going away, 1008 against the rules, 1011 failed, 3000 to 4999 as you
---like (1000)
---@async
---@param code? integer
---@param reason? string at most 123 bytes ("")
---@param t? number seconds to wait for the peer, by default `close_timeout`; 0: do not wait
---@return true
function ws:close(code, reason, t) end

---End the connection at once, without a word.
---
---Does not park.
---@return true
function ws:abort() end

---The address of the peer.
---
---Does not park.
---@return string|nil # "host:port"
---@return string|nil # message
---@return string|nil # "ECLOSED", "ENOTCONN"
---@overload fun(self: ringlet.ws): nil, string, string
function ws:peername() end

---How far it has come.
---
---Does not park.
---@return string # "open", "closing" (one side has said that it ends) or "closed"
function ws:state() end

---@class ringlet.ws_stats
---@field messages_in integer received whole, also one that nobody took yet
---@field messages_out integer
---@field bytes_in integer content of those messages, compressed if they were
---@field bytes_out integer
---@field pings_in integer
---@field pongs_in integer
---@field queued_in integer bytes received and not taken
---@field queued_out integer bytes that were not sent yet
---@field peer_load number|boolean what the peer's last heartbeat said of its load; false: nothing
---@field last_pong number|boolean when the last pong came, in seconds of `rl.now`; false: none did

---Counters.
---
---Does not park.
---@return ringlet.ws_stats # a new table
function ws:stats() end

---WebSockets (RFC 6455). Here is the client; a server's are made by `req:websocket()` in a handler
---of `ringlet.http`.
---
---    local rl, websocket = require "ringlet", require "ringlet.websocket"
---    rl.run(function()
---      local ws = assert(websocket.connect("ws://127.0.0.1:8080/chat", {timeout = 5}))
---      ws:send("hello")
---      print(ws:recv())
---      ws:close()
---    end)
---
---Compression needs the rock ringlet-zlib. There is no TLS.
---@class ringlet.websocket
local M = {}

---@class ringlet.websocket.connect.opts
---@field protocols? table subprotocols that are offered, the preferred one first
---@field headers? table further header fields: name -> value
---@field origin? string the header field Origin
---@field timeout? number seconds for all of it
---@field max_message? integer bytes; a longer message closes it with 1009 (16777216)
---@field max_frame? integer bytes of one frame, by default `max_message`
---offer to compress messages (permessage-deflate); needs the rock ringlet-zlib (false)
---@field deflate? boolean|table
---@field deflate.level? integer 1 (fast) to 9 (small) (6)
---@field deflate.window? integer 9 to 15: either side looks back 2^window bytes (15)
---each message by itself, on both sides: idle sockets keep nothing (false)
---@field deflate.no_context_takeover? boolean
---@field deflate.threshold? integer bytes from which on messages are compressed (256)
---@field heartbeat? number seconds: a ping goes out that often, with the load
---seconds after which a pong is overdue: then it ends, with "ETIMEDOUT" (5)
---@field heartbeat_timeout? number
---@field load? fun(): number what a heartbeat tells the peer; by default how many bytes are queued
---@field close_timeout? number seconds that `close` waits for the peer (5)
---@field write_timeout? number seconds for each `send`
---bytes received and not read, from which on the kernel is not asked for more (65536)
---@field read_high_water? integer
---@field write_high_water? integer bytes queued, from which on `send` parks (65536)

---Connect to a server.
---
---Parks until the handshake is done.
---
---Raises on a URL or option it does not know, on wss, on `deflate` without its rock; outside of a
---task.
---
---Source: RFC 6455 section 4.1, RFC 7692.
---
---Returns ws.
---
---Or nil, message, "EREFUSED" when the server answers another status than 101, which is the fourth
---value; "EPROTO" when its answer is none to a WebSocket handshake; "ETIMEDOUT", "EOF", and what
---`net.connect` fails with.
---@async
---@param url string "ws://host:port/path?query"
---@param opts? ringlet.websocket.connect.opts
---@return ringlet.ws|nil
---@return string|nil
---@return string|nil
---@overload fun(url: string, opts?: ringlet.websocket.connect.opts): nil, string, string
function M.connect(url, opts) end

return M
