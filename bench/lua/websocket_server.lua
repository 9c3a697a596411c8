-- SPDX-License-Identifier: MIT
-- The WebSocket echo server of the benches; prints "port N" and serves until it is killed.
--   echo  every message goes back as it came

local lib = dofile((arg[0]:match "^.*/" or "") .. "lib.lua")
local http = require "ringlet.http"

local function echo(req)
  local ws = req:websocket()
  if not ws then return end
  while true do
    local data, kind = ws:recv()
    if not data then return end
    ws:send(data, kind)
  end
end

lib.main {
  echo = function()
    local server = assert(http.serve("127.0.0.1:0", echo, { max_connections = 19000 }))
    io.write("port ", server:addr():match "(%d+)$", "\n")
    io.flush()
  end,
}
