-- SPDX-License-Identifier: MIT
-- ws_wire: what the specs of WebSockets share: servers, pairs, and peers that speak the protocol by
-- hand, rightly or wrongly.
local bits = rawget(_G, "bit") or load [[
  return {bxor = function(a, b) return a ~ b end}]]()
local core = require "ringlet.core"
local http = require "ringlet.http"
local net = require "ringlet.net"
local rl = require "ringlet"
local websocket = require "ringlet.websocket"

local M = {}

local KEY = "dGhlIHNhbXBsZSBub25jZQ=="
M.KEY, M.PROOF = KEY, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

--- A server, every request of which is a WebSocket for `handler(ws, req)`; and its URL.
function M.serve(handler, opts, server_opts)
  local server = assert(http.serve("127.0.0.1:0", function(req)
    local ws = req:websocket(opts)
    if ws then
      handler(ws, req)
    end
  end, server_opts))
  return server, "ws://" .. server:addr() .. "/"
end

--- Send every message back.
function M.echo(ws)
  for data, kind in ws:messages() do
    ws:send(data, kind)
  end
end

-- A frame that begins with this byte.
local function frame_of(first, data, unmasked)
  local n, len = #data
  local mask = unmasked and 0 or 128
  if n < 126 then
    len = string.char(n + mask)
  elseif n < 65536 then
    len = string.char(126 + mask, math.floor(n / 256), n % 256)
  else
    len = string.char(127 + mask, 0, 0, 0, 0, math.floor(n / 2 ^ 24), math.floor(n / 65536) % 256,
      math.floor(n / 256) % 256, n % 256)
  end
  if unmasked then
    return string.char(first) .. len .. data
  end
  local key, i = {1, 2, 3, 4}, 0
  data = data:gsub(".", function(c)
    i = i % 4 + 1
    return string.char(bits.bxor(c:byte(), key[i]))
  end)
  return string.char(first) .. len .. "\1\2\3\4" .. data
end

--- A frame, masked by default. `first` is its first byte, or below 16 the opcode of a last frame.
function M.frame(first, data, unmasked)
  return frame_of(first < 16 and first + 128 or first, data, unmasked)
end

--- One that is not the last of its message.
function M.fragment(op, data)
  return frame_of(op, data)
end

--- The payload of a close frame.
function M.close_payload(code, reason)
  return string.char(math.floor(code / 256), code % 256) .. (reason or "")
end

--- The head of a handshake, with fields replaced (false: left out).
function M.request(changes, line)
  local fields = {
    Host = "x", Upgrade = "websocket", Connection = "Upgrade", ["Sec-WebSocket-Key"] = KEY,
    ["Sec-WebSocket-Version"] = "13",
  }
  for name, value in pairs(changes or {}) do
    fields[name] = value or nil
  end
  local lines = {line or "GET / HTTP/1.1"}
  for name, value in pairs(fields) do
    lines[#lines + 1] = name .. ": " .. value
  end
  return table.concat(lines, "\r\n") .. "\r\n\r\n"
end

--- A bare connection to a server, behind the handshake.
function M.raw_client(server, changes)
  local conn = assert(net.connect(server:addr()))
  conn:write(M.request(changes))
  local head = assert(conn:read_until "\r\n\r\n")
  assert(head:find "^HTTP/1.1 101 Switching Protocols\r\n", head)
  return conn, head .. "\r\n"
end

-- The answer to a handshake.
local function answer(head, more, proof)
  local key = head:match "Sec%-WebSocket%-Key: ([^\r\n]+)"
  return ("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" ..
    "Sec-WebSocket-Accept: %s\r\n%s\r\n"):format(proof or core.ws_accept_key(key), more or "")
end

--- What `connect` gives when the server answers with `answer(head)`; and the server's bare end.
function M.connect_to(answer_of, opts)
  local listener = assert(net.listen("127.0.0.1:0"))
  local results
  local task = rl.go(function()
    results = {websocket.connect("ws://" .. listener:addr() .. "/x?y", opts)}
  end)
  local conn = assert(listener:accept())
  local head = assert(conn:read_until "\r\n\r\n")
  conn:write(answer_of(head))
  task:join()
  listener:close()
  return results, conn, head
end

--- A client's socket and its bare peer.
function M.client(opts)
  local results, conn = M.connect_to(answer, opts)
  return assert(results[1], results[2]), conn
end

M.answer = answer

return M
