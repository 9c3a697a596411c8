-- SPDX-License-Identifier: MIT
-- A server whose /pay stays fast while /report burns every core:
--
--   luajit examples/priorities/server.lua 127.0.0.1:8080 classify auto
--
-- (port 0: any free one). The second argument says who tells requests apart: "nothing" does; the
-- server, with "classify"; with "bpf" the kernel too, or as with "classify" where it may not. Then
-- how many shards serve. Stops on SIGTERM or Ctrl-C. compare.lua draws the difference.
local rl = require "ringlet"
local http = require "ringlet.http"

local ROUTES = {["/pay"] = "critical", ["/report"] = "background"}

-- Computes for some 10 ms: what each of 500 customers has bought.
local function report()
  -- What LuaJIT has compiled cannot be interrupted; on Lua 5.4 everything can.
  local jit = rawget(_G, "jit")
  if jit then jit.off(true) end
  local totals = {}
  for order = 1, 400000 do
    local customer = order * 7919 % 500 + 1
    totals[customer] = (totals[customer] or 0) + order % 97
  end
  return table.concat(totals, "\n") .. "\n"
end

local function answer(req, res)
  res:header("Content-Type", "text/plain")
  if req.path == "/report" then
    res:send(200, report())
  else
    res:send(200, "paid\n")
  end
end

-- Have the kernel look at what arrives. The server does all it did before without it.
local function look_early(server)
  local is_here, bpf = pcall(require, "ringlet.bpf")
  if not is_here then return nil, "the rock ringlet-bpf is not installed" end
  local wakeup, why = bpf.wakeup{routes = ROUTES}
  if not wakeup then return nil, why end
  return wakeup:attach(server)
end

local address, who, shards = arg[1] or "127.0.0.1:8080", arg[2] or "classify", arg[3] or "auto"

rl.run(function()
  local server = assert(http.serve(address, answer, {
    shards = "all", classify = who ~= "nothing" and {paths = ROUTES} or nil,
  }))
  if who == "bpf" then
    local attached, why = look_early(server)
    if not attached then print("without eBPF: " .. why) end
  end
  print("listening on " .. server:addr())
  io.stdout:flush()
end, {signals = true, grace = 3, shards = tonumber(shards) or shards})
