-- SPDX-License-Identifier: MIT An echo server, and a client that tries it: `luajit
-- examples/echo.lua`, or with an address to serve there until Ctrl-C: `luajit examples/echo.lua
-- 127.0.0.1:7000`.

local rl = require "ringlet"
local net = require "ringlet.net"

-- One task for each connection; it costs nothing but memory while it waits in read.
local function echo(conn)
  while true do
    local data = conn:read()
    if not data then return end -- the end of the stream, or an error
    conn:write(data)
  end
end

local function try(addr)
  local conn = assert(net.connect(addr, {timeout = 5}))
  conn:write("hello, ", "world\n")
  print(conn:read_line())
  conn:close()
end

rl.run(function()
  local server = assert(net.serve(arg[1] or "127.0.0.1:0", echo, {idle_timeout = 300}))
  print("echo on " .. server:addr())
  if not arg[1] then
    try(server:addr())
    server:stop(1)
  end
end, {signals = true})
