-- SPDX-License-Identifier: MIT
-- A small HTTP/1.1 server: `luajit examples/http_hello.lua 127.0.0.1:8080 2` (port 0: any free one;
-- then how many shards serve, or "auto": 1 unless told).
-- Keeps connections alive, answers pipelined requests, and stops gracefully on SIGTERM or Ctrl-C:
-- requests are finished, clients that are silent get 3 s, a second signal stops at once.
-- GET /stats tells how many tasks live and how much memory the process takes.
local rl = require "ringlet"
local net = require "ringlet.net"

local function memory_kb()
  local file = assert(io.open "/proc/self/status")
  local status = file:read "*a"
  file:close()
  return tonumber(status:match "VmRSS:%s*(%d+)")
end

local function stats()
  return ("tasks %d\nmemory_kb %d\nlua_kb %.0f\n"):format(rl.stats().tasks, memory_kb(),
    collectgarbage "count")
end

local function response(status, body, keep)
  return ("HTTP/1.1 %s\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n%s\r\n%s"):format(
    status, #body, keep and "" or "Connection: close\r\n", body)
end

local HELLO = response("200 OK", "Hello from ringlet!\n", true)

-- One task for each connection: what arrives in pieces or all at once is read request by request.
local function serve(conn)
  local keep = true
  while keep do
    local head = conn:read_until("\r\n\r\n", 8192)
    if not head then return end -- the client has gone, or sent no end of the header
    local method, path = head:match "^(%u+) (%S+) HTTP/1%.1\r\n"
    if not method then return conn:write(response("400 Bad Request", "", false)) end
    local fields = head:lower()
    if fields:find("\r\ntransfer-encoding:", 1, true) then
      return conn:write(response("501 Not Implemented", "", false))
    end
    local length = tonumber(fields:match "\r\ncontent%-length:%s*(%d+)") or 0
    if length > 65536 or length > 0 and not conn:read_exactly(length) then return end
    keep = not (fields:find "\r\nconnection:%s*close" or rl.stopping())
    local answer = path == "/stats" and response("200 OK", stats(), keep)
      or keep and HELLO or response("200 OK", "Hello from ringlet!\n", false)
    if not conn:write(answer) then return end
  end
end

rl.run(function()
  local server = assert(net.serve(arg[1] or "127.0.0.1:8080", serve, {shards = "all"}))
  print("listening on " .. server:addr())
  io.stdout:flush()
end, {signals = true, grace = 3, shards = tonumber(arg[2]) or arg[2] or 1})
