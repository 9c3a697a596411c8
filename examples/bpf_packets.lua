-- SPDX-License-Identifier: MIT
-- A program in the kernel that sees what the clients of a server send, before the server does: a
-- task parks for what it tells of new clients, and its map of counters is read at the end. Needs
-- the rock ringlet-bpf and CAP_BPF; says so, and serves on, without.
--
--     sudo luajit examples/bpf_packets.lua

local rl = require "ringlet"
local net = require "ringlet.net"
local bpf = require "ringlet.bpf"

local here = arg[0]:match "^(.*/)" or "./"

local function watch(server)
  local object, msg = bpf.load(here .. "bpf/packets.bpf.o", {globals = {limit = 1000}})
  if not object then
    print("nobody watches: " .. msg)
    return nil
  end
  rl.check(object:attach("count", {socket = server}))
  local news = rl.check(object:ring("news", {type = "struct first"}))
  rl.daemon(function()
    for first in news:iter() do
      print("a client begins with " .. first.text:match "^%C*")
    end
  end)
  return object
end

local function client(addr, words)
  local conn = rl.check(net.connect(addr))
  for word in words:gmatch "%S+" do
    conn:write(word, "\n")
    conn:read_line()
  end
  conn:close()
end

rl.run(function()
  local server = rl.check(net.serve("127.0.0.1:0", function(conn)
    for line in conn:lines() do conn:write(line, "\n") end
  end))
  local object = watch(server)
  client(server:addr(), "one two three")
  client(server:addr(), "GET /pay")
  client(server:addr(), ("x"):rep(2000))
  rl.sleep(0.05)
  if object then
    local packets, bytes = 0, 0
    for _, traffic in object:map "clients":iter() do
      packets, bytes = packets + traffic.packets, bytes + traffic.bytes
    end
    print(("%d packets, %d bytes; %d packets were too long"):format(packets, bytes,
      object:global "too_long"))
    object:close()
  end
  server:stop(0)
end)
