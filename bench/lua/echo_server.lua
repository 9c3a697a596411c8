-- SPDX-License-Identifier: MIT
-- The echo servers of the network benches; prints "port N" and serves until it is killed.
--   task            a task for each connection, Lua strings
--   task_buffer     a task for each connection, slices of provided buffers
--   on_data         no task while idle, Lua strings
--   on_data_buffer  no task while idle, slices
-- On as many shards as RINGLET_SHARDS says, with a task for each connection and Lua strings:
--   one             one shard
--   reuseport       each shard listens
--   handover        one listens and hands connections over

local lib = dofile((arg[0]:match "^.*/" or "") .. "lib.lua")
local net = require "ringlet.net"

local function serve(handler, buffers, accept)
  local options = { backlog = 4096, max_connections = 19000 }
  if accept then options.shards, options.accept = "all", accept end
  if buffers then options.buffers = true end
  local server = assert(net.serve("127.0.0.1:0", handler, options))
  io.write("port ", tostring(server:addr()):match "(%d+)$", "\n")
  io.flush()
end

local function echo_strings(conn)
  while true do
    local s = conn:read()
    if not s then return end
    conn:write(s)
  end
end

local function echo_slices(conn)
  while true do
    local slice = conn:read_buffer()
    if not slice then return end
    conn:write(slice)
  end
end

local function echo_data(conn, data)
  conn:write(data)
end

lib.main {
  task = function() serve(echo_strings) end,
  task_buffer = function() serve(echo_slices) end,
  one = function() serve(echo_strings) end,
  reuseport = function() serve(echo_strings, false, "reuseport") end,
  handover = function() serve(echo_strings, false, "handover") end,
  on_data = function() serve { on_data = echo_data } end,
  on_data_buffer = function() serve({ on_data = echo_data }, true) end,
}
