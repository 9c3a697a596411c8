-- SPDX-License-Identifier: MIT
--- WebSockets (RFC 6455). Here is the client; a server's are made by `req:websocket()` in a handler
-- of `ringlet.http`.
--
--     local rl, websocket = require "ringlet", require "ringlet.websocket"
--     rl.run(function()
--       local ws = assert(websocket.connect("ws://127.0.0.1:8080/chat", {timeout = 5}))
--       ws:send("hello")
--       print(ws:recv())
--       ws:close()
--     end)
--
-- Compression needs the rock ringlet-zlib. There is no TLS.
-- @module ringlet.websocket

require "ringlet.vm"
local content = require "ringlet.http_content"
local core = require "ringlet.core"
local deflate = require "ringlet.websocket_deflate"
local fail = require "ringlet.fail"
local head = require "ringlet.websocket_head"
local net = require "ringlet.net"
local options = require "ringlet.options"
local socket = require "ringlet.websocket_socket"

local until_ = core.net_until

local M = {}

-- ---- addresses ----------------------------------------------------------------------------------

local function bad_url(url, why, level)
  error(("bad URL %s: %s"):format(type(url) == "string" and ("%q"):format(url) or type(url), why),
    level + 1)
end

-- Authority, address for net.connect, request target. (RFC 6455 section 3)
local function parse(url, level)
  level = level + 1
  local scheme, rest = tostring(url):match "^(%a+)://(.+)$"
  scheme = scheme and scheme:lower()
  if type(url) ~= "string" or (scheme ~= "ws" and scheme ~= "wss") then
    bad_url(url, '"ws://host:port/path" expected', level)
  elseif scheme == "wss" then
    bad_url(url, "wss needs TLS, which there is none of here", level)
  elseif rest:find "[^!-~]" then
    bad_url(url, "spaces and other than ASCII characters must be percent-encoded", level)
  elseif rest:find("#", 1, true) then
    bad_url(url, "a WebSocket has no fragment", level)
  end
  local authority, target = rest:match "^([^/?]*)(.*)$"
  if authority:find("@", 1, true) then
    bad_url(url, "names and passwords do not belong there", level)
  end
  local addr = authority:find ":%d+$" and authority or authority .. ":80"
  if not core.net_split(addr) or authority:find "^:" or authority == "" then
    bad_url(url, "there is no host", level)
  end
  if target:sub(1, 1) ~= "/" then
    target = "/" .. target
  end
  return (authority:gsub(":80$", "")), addr, target
end

-- ---- the handshake ------------------------------------------------------------------------------

local function request(authority, target, key, opts, lines, packing)
  local out = {
    ("GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"):format(target,
      authority),
    ("Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n"):format(key),
  }
  if opts.protocols and opts.protocols[1] then
    out[3] = ("Sec-WebSocket-Protocol: %s\r\n"):format(table.concat(opts.protocols, ", "))
  end
  if packing then
    out[#out + 1] = ("Sec-WebSocket-Extensions: %s\r\n"):format(deflate.offer(packing))
  end
  if opts.origin then
    out[#out + 1] = ("Origin: %s\r\n"):format(opts.origin)
  end
  out[#out + 1] = lines .. "\r\n"
  return table.concat(out)
end

local function answer(conn, t)
  local status, fields, why = core.ws_response(conn, t)
  while status == true do
    status, fields, why = core.ws_response(conn, t, true)
  end
  if status then
    return status, content.by_name(fields)
  end
  local _, msg, name = fail(fields)
  return nil, why and name .. ": " .. why or msg, name
end

-- What is wrong with an answer of 101, or nothing. (RFC 6455 section 4.1)
local function fault(fields, key, protocols, offered)
  local protocol = fields["sec-websocket-protocol"]
  if (fields.upgrade or ""):lower() ~= "websocket" then
    return "Upgrade is not websocket"
  elseif not head.has(fields.connection, "upgrade") then
    return "Connection does not have Upgrade"
  elseif fields["sec-websocket-accept"] ~= core.ws_accept_key(key) then
    return "Sec-WebSocket-Accept does not fit the key"
  elseif fields["sec-websocket-extensions"] and not offered then
    return "an extension that was not offered"
  elseif protocol then
    for _, name in ipairs(protocols or {}) do
      if name == protocol then
        return nil
      end
    end
    return "a subprotocol that was not offered"
  end
end

local function shake(conn, text, key, opts, packing, due)
  local ok, msg, code = conn:write(text)
  if not ok then
    return nil, msg, code
  end
  local t = due and math.max(0, due / 1e9 - core.now())
  local status, fields, name = answer(conn, t)
  if not status then
    return nil, fields, name
  elseif status ~= 101 then
    return nil, ("EREFUSED: the server answered %d"):format(status), "EREFUSED", status
  end
  local wrong, codec = fault(fields, key, opts.protocols, packing), nil
  local agreed = fields["sec-websocket-extensions"]
  if not wrong and agreed then
    codec, wrong = deflate.agree(packing, agreed)
  end
  if wrong then
    return nil, "EPROTO: " .. wrong, "EPROTO"
  end
  return socket.new(conn, "client", fields["sec-websocket-protocol"], opts, codec)
end

-- The connection ends unless the handshake succeeds, whatever becomes of it.
local function settle(conn, ok, ws, ...)
  if ok and ws then
    return ws
  end
  conn:close()
  if not ok then
    error(ws, 0)
  end
  return nil, ...
end

-- ---- connect ------------------------------------------------------------------------------------

local CONNECT = {
  origin = "string", timeout = "number", write_timeout = "number", read_high_water = "number",
  write_high_water = "number",
}
for name, kind in pairs(socket.OPTIONS) do
  CONNECT[name] = kind
end

local function check(opts)
  opts = options.check(opts, CONNECT, 3)
  options.bounds(opts, socket.BOUNDS, 3)
  head.check_protocols(opts.protocols, 4)
  if opts.origin and opts.origin:find "[^!-~]" then
    error("origin: scheme and host expected, as in \"http://example.org\"", 3)
  end
  return opts, head.lines(opts.headers, 4), deflate.check(opts.deflate, 3)
end

--- Connect to a server.
-- @parks until the handshake is done
-- @tparam string url "ws://host:port/path?query"
-- @tparam[opt] table opts
-- @tparam[opt] table opts.protocols subprotocols that are offered, the preferred one first
-- @tparam[opt] table opts.headers further header fields: name -> value
-- @tparam[opt] string opts.origin the header field Origin
-- @tparam[opt] number opts.timeout seconds for all of it
-- @tparam[opt=16777216] integer opts.max_message bytes; a longer message closes it with 1009
-- @tparam[opt] integer opts.max_frame bytes of one frame, by default `max_message`
-- @tparam[opt=false] boolean|table opts.deflate offer to compress messages (permessage-deflate);
-- needs the rock ringlet-zlib
-- @tparam[opt=6] integer opts.deflate.level 1 (fast) to 9 (small)
-- @tparam[opt=15] integer opts.deflate.window 9 to 15: either side looks back 2^window bytes
-- @tparam[opt=false] boolean opts.deflate.no_context_takeover each message by itself, on both
-- sides: idle sockets keep nothing
-- @tparam[opt=256] integer opts.deflate.threshold bytes from which on messages are compressed
-- @tparam[opt] number opts.heartbeat seconds: a ping goes out that often, with the load
-- @tparam[opt=5] number opts.heartbeat_timeout seconds after which a pong is overdue: then it ends,
-- with "ETIMEDOUT"
-- @tparam[opt] fun():number opts.load what a heartbeat tells the peer; by default how many bytes
-- are queued
-- @tparam[opt=5] number opts.close_timeout seconds that `close` waits for the peer
-- @tparam[opt] number opts.write_timeout seconds for each `send`
-- @tparam[opt=65536] integer opts.read_high_water bytes received and not read, from which on the
-- kernel is not asked for more
-- @tparam[opt=65536] integer opts.write_high_water bytes queued, from which on `send` parks
-- @treturn ws
-- @fails "EREFUSED" when the server answers another status than 101, which is the fourth value;
-- "EPROTO" when its answer is none to a WebSocket handshake; "ETIMEDOUT", "EOF", and what
-- `net.connect` fails with
-- @raise on a URL or option it does not know, on wss, on `deflate` without its rock; outside of a
-- task
-- @source RFC 6455 section 4.1, RFC 7692
function M.connect(url, opts)
  local authority, addr, target = parse(url, 2)
  local lines, packing
  opts, lines, packing = check(opts)
  local due = until_(opts.timeout)
  local conn, msg, code = net.connect(addr, {
    timeout = opts.timeout, write_timeout = opts.write_timeout,
    read_high_water = opts.read_high_water, write_high_water = opts.write_high_water,
  })
  if not conn then
    return nil, msg, code
  end
  local key = core.ws_new_key()
  local text = request(authority, target, key, opts, lines, packing)
  return settle(conn, pcall(shake, conn, text, key, opts, packing, due))
end

return M
