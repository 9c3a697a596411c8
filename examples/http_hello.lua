-- SPDX-License-Identifier: MIT
-- A small HTTP/1.1 server: `luajit examples/http_hello.lua 127.0.0.1:8080 2` (port 0: any free one;
-- then how many shards serve, or "auto": 1 unless told).
-- Stops gracefully on SIGTERM or Ctrl-C: connections between two requests are closed, requests that
-- are under way get 3 s, a second signal stops at once.
-- GET /stats tells how many tasks live and how much memory the process takes.
local rl = require "ringlet"
local http = require "ringlet.http"

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

local function answer(req, res)
  res:header("Content-Type", "text/plain")
  res:send(200, req.path == "/stats" and stats() or "Hello from ringlet!\n")
end

rl.run(function()
  local server = assert(http.serve(arg[1] or "127.0.0.1:8080", answer, {
    shards = "all", limits = {body = 65536},
  }))
  print("listening on " .. server:addr())
  io.stdout:flush()
end, {signals = true, grace = 3, shards = tonumber(arg[2]) or arg[2] or 1})
