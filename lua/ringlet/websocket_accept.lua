-- SPDX-License-Identifier: MIT
-- websocket_accept: the server's side of the handshake (RFC 6455 section 4.2). It belongs to the
-- class of requests: `req:websocket`.

local core = require "ringlet.core"
local deflate = require "ringlet.websocket_deflate"
local fail = require "ringlet.fail"
local head = require "ringlet.websocket_head"
local heartbeat = require "ringlet.net_heartbeat"
local options = require "ringlet.options"
local response = require "ringlet.http_response"
local socket = require "ringlet.websocket_socket"

local M = {}

-- Connection -> the core's part of its socket, whose handler may have dropped it and not returned.
local kept = setmetatable({}, {__mode = "k"})

-- What heartbeats are to a server that has the option `heartbeat`: pings, answered by pongs.
local PINGS = {}

function PINGS.beat(conn, load)
  core.ws_ping(kept[conn], ("%.14g"):format(load))
end

function PINGS.heard(conn)
  local x = kept[conn]
  local _, _, pong_at = core.ws_pulse(x)
  local _, ping = core.ws_stats(x)
  return pong_at, tonumber(ping)
end

-- 1013: try again later. (IANA, WebSocket Close Code Number Registry)
function PINGS.close(conn)
  core.ws_close(kept[conn], 1013, "")
end

local KNOWN = {origin = "function|table"}
for name, kind in pairs(socket.OPTIONS) do
  KNOWN[name] = kind
end

-- What is wrong with the request: a status and words, or nothing.
local function fault(req)
  if req.method ~= "GET" then
    return 400, "the method of a WebSocket handshake is GET"
  elseif req.version ~= "1.1" then
    return 400, "a WebSocket handshake needs HTTP/1.1"
  elseif not head.has(req:header "Upgrade", "websocket") then
    return 426, "this is for WebSockets"
  elseif not head.has(req:header "Connection", "upgrade") then
    return 400, "Connection does not have Upgrade"
  elseif req:header "Sec-WebSocket-Version" ~= "13" then
    return 426, "only version 13 of the WebSocket protocol is known"
  elseif not core.ws_accept_key(req:header "Sec-WebSocket-Key" or "") then
    return 400, "Sec-WebSocket-Key is not 16 bytes in base64"
  elseif core.http_body_left(req.x) then
    return 400, "a WebSocket handshake has no body"
  end
end

-- Answer no. What it gives is what `websocket` gives.
local function refuse(req, status, why)
  local res = response.new(req.x)
  res:header("Content-Type", "text/plain"):header("Connection", "close")
  if status == 426 then
    res:header("Upgrade", "websocket"):header("Sec-WebSocket-Version", "13")
  end
  local ok, msg, code = res:send(status, why .. "\n")
  req.answered = res.status
  if not ok then
    return nil, msg, code
  elseif status == 403 then
    return nil, "EACCES: " .. why, "EACCES"
  end
  return nil, "EPROTO: " .. why, "EPROTO"
end

-- Clients that are no browsers send no Origin; a list is no matter of theirs.
local function is_welcome(req, allowed)
  local origin = req:header "Origin"
  if type(allowed) == "function" then
    return allowed(origin, req)
  end
  for _, one in ipairs(allowed) do
    if origin and one:lower() == origin:lower() then
      return true
    end
  end
  return origin == nil
end

-- The first of ours that the client offers.
local function choose(req, protocols)
  local offered = {}
  for _, name in ipairs(head.list(req:header "Sec-WebSocket-Protocol")) do
    offered[name] = true
  end
  for _, name in ipairs(protocols or {}) do
    if offered[name] then
      return name
    end
  end
end

local function check(opts)
  opts = options.check(opts, KNOWN, 3)
  options.bounds(opts, socket.BOUNDS, 3)
  head.check_protocols(opts.protocols, 4)
  return opts, head.lines(opts.headers, 4), deflate.check(opts.deflate, 3)
end

-- The codec that is agreed on and its line of the answer; or nil, "", and what is wrong with the
-- offer.
local function agree(req, packing)
  if not packing then
    return nil, ""
  end
  local codec, said = deflate.accept(packing, req:header "Sec-WebSocket-Extensions")
  if codec then
    return codec, ("Sec-WebSocket-Extensions: %s\r\n"):format(said)
  end
  return nil, "", said
end

-- See Request:websocket.
function M.accept(req, opts)
  local lines, packing, protocol
  opts, lines, packing = check(opts)
  if not req.method then
    return nil, "ECLOSED: the request is over", "ECLOSED"
  end
  local status, why = fault(req)
  if status then
    return refuse(req, status, why)
  elseif opts.origin and not is_welcome(req, opts.origin) then
    return refuse(req, 403, "not from this origin")
  end
  local codec, line, wrong = agree(req, packing)
  if wrong then
    return refuse(req, 400, wrong)
  end
  lines = line .. lines
  protocol = choose(req, opts.protocols)
  if protocol then
    lines = ("Sec-WebSocket-Protocol: %s\r\n%s"):format(protocol, lines)
  end
  local ok, code = core.http_upgrade(req.x, ("Upgrade: websocket\r\nConnection: Upgrade\r\n" ..
    "Sec-WebSocket-Accept: %s\r\n%s"):format(core.ws_accept_key(req:header "Sec-WebSocket-Key"),
    lines))
  if not ok and code == core.EALREADY then
    return nil, "EALREADY: the request was answered", "EALREADY"
  elseif not ok then
    return fail(code)
  end
  req.answered = 101
  local ws, msg, name = socket.new(req.conn, "server", protocol, opts, codec)
  if not ws then
    return nil, msg, name
  end
  kept[req.conn] = ws.x
  heartbeat.expect(req.conn, PINGS)
  return ws
end

return M
