-- SPDX-License-Identifier: MIT
-- The server of the benches of priorities: /pay answers at once, /bulk computes first. It prints
-- "port N", and "critical N" where critical requests have a port of their own, and serves until it
-- is killed.
--
--   server.lua fifo       nothing tells requests apart
--   server.lua classify   the option `classify`: looks when a receive completes; no privileges
--   server.lua port       critical requests come on a port of their own
--   server.lua wakeup     classify, and a filter on the listener's sockets that looks before that
--   server.lua turns      classify, and whoever computes is let finish: no preemption
--   server.lua calibrate  prints how many steps of computing take a second of CPU: "steps N"
--
-- BENCH_STEPS says how many steps /bulk computes, the same for all that are compared. With
-- BENCH_INTERPRETED=1 LuaJIT compiles nothing. It ends with status 77, and says why, where a mode
-- cannot be measured.

local lib = dofile((arg[0]:match "^.*/" or "") .. "../lua/lib.lua")
local http = require "ringlet.http"
local rl = lib.rl

local LIMITS = { backlog = 4096, max_connections = 19000 }
local ROUTES = { ["/pay"] = "critical", ["/bulk"] = "background" }

if os.getenv "BENCH_INTERPRETED" and jit then jit.off() end

local function compute(steps)
  local sum = 0
  for i = 1, steps do
    sum = (sum + i * 3) % 1000003
  end
  return sum
end

-- The best of many: others may have disturbed the rest.
local function calibrate()
  local steps, best = 200000, math.huge
  for _ = 1, 50 do
    local from = lib.cpu()
    compute(steps)
    best = math.min(best, lib.cpu() - from)
  end
  io.write(("steps %.0f\n"):format(steps / best))
end

local function handler()
  local steps = assert(tonumber(os.getenv "BENCH_STEPS"), "BENCH_STEPS is not set")
  return function(req, res)
    if req.path == "/bulk" then compute(steps) end
    res:send(200, "done\n")
  end
end

local function with(more)
  local opts = {}
  for name, value in pairs(LIMITS) do opts[name] = value end
  for name, value in pairs(more) do opts[name] = value end
  return opts
end

local function serve(opts)
  return assert(http.serve("127.0.0.1:0", handler(), with(opts or {})))
end

local function say(name, server)
  io.write(name, " ", server:addr():match "(%d+)$", "\n")
  io.flush()
end

local function cannot(why)
  io.stderr:write(why, "\n")
  os.exit(77)
end

local modes = {}

function modes.fifo() say("port", serve()) end

function modes.classify() say("port", serve { classify = { paths = ROUTES } }) end

modes.turns = modes.classify

function modes.port()
  local bulk = serve { classify = { paths = { ["/*"] = "background" } } }
  local critical = serve { classify = { paths = { ["/*"] = "critical" } } }
  say("critical", critical)
  say("port", bulk)
end

function modes.wakeup()
  local is_here, bpf = pcall(require, "ringlet.bpf")
  if not is_here then cannot "ENOENT: the rock ringlet-bpf is not installed" end
  local wakeup, why = bpf.wakeup { routes = ROUTES }
  if not wakeup then cannot(why) end
  local server = serve { classify = { paths = ROUTES } }
  local attached, no = wakeup:attach(server)
  if not attached then cannot(no) end
  say("port", server)
end

if arg[1] == "calibrate" then
  calibrate()
  return
end
rl.run(lib.choose(modes), { preempt = arg[1] ~= "turns" })
