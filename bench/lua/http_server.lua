-- SPDX-License-Identifier: MIT
-- The HTTP servers of the benches, with Date and the default limits and timeouts; each prints "port
-- N" and serves until it is killed.
--   http    a Lua handler per request
--   files   the directory that BENCH_FILES names

local lib = dofile((arg[0]:match "^.*/" or "") .. "lib.lua")
local http = require "ringlet.http"

local function serve(handler)
  local opts = { backlog = 4096, max_connections = 19000 }
  local server = assert(http.serve("127.0.0.1:0", handler, opts))
  io.write("port ", server:addr():match "(%d+)$", "\n")
  io.flush()
end

lib.main {
  http = function()
    serve(function(_, res) res:send(200, "hello, world") end)
  end,
  files = function() serve(http.static(os.getenv "BENCH_FILES")) end,
}
