-- SPDX-License-Identifier: MIT
-- What bpf.wakeup's classifier costs for a segment. Prints lines `name value unit`:
--   test_run          the dearest kind of segment, run by hand (BPF_PROG_TEST_RUN)
--   test_run_KIND     each kind; an empty program takes some 40 ns of it
--   in_place          on live connections of loopback, as the kernel counts it (BPF_ENABLE_STATS):
--                     requests that are critical, and acknowledgements
--   in_place_KIND     requests of one kind
-- The least of several rounds. Ends with status 77 where it cannot be measured.

package.path = "./?.lua;" .. package.path

local function cannot(why)
  io.stderr:write(why, "\n")
  os.exit(77)
end

local bpf = require "ringlet.bpf"
local net = require "ringlet.net"
local rl = require "ringlet"

local ROUTES = {["/pay"] = "critical", ["/health"] = "critical", ["/bulk/*"] = "background"}
local REST = " HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n"
local RUNS, ROUNDS = 20000, 40
local REQUESTS, SLICES = 200, 40

local w, why = bpf.wakeup{routes = ROUTES, budget = math.huge}
if not w then
  cannot(why)
end

local W = require "spec.wakeup"
local parts = require "ringlet.bpf_wakeup_part"

-- What disturbs a run only makes it longer, so the least of some is what it costs.
local function least(list)
  table.sort(list)
  return list[1]
end

local function say(name, value, unit)
  print(("%s %.0f %s"):format(name, value, unit))
end

-- ---- by hand ------------------------------------------------------------------------------------

local KINDS = {
  {"ack", ""}, {"body", ("x"):rep(500)}, {"unlisted", "GET /other/thing" .. REST},
  {"background", "GET /bulk/1" .. REST}, {"critical", "GET /pay" .. REST},
  {"long", "POST /" .. ("a"):rep(300) .. REST},
}

local program = parts.here(w.config).object:program "wakeup"
local times = {}
for _ = 1, ROUNDS do
  for _, kind in ipairs(KINDS) do
    local _, _, ns = assert(program:run{data = W.segment(kind[2]), repeat_ = RUNS})
    times[kind[1]] = times[kind[1]] or {}
    table.insert(times[kind[1]], ns)
  end
end

local worst = 0
for _, kind in ipairs(KINDS) do
  local ns = least(times[kind[1]])
  worst = math.max(worst, ns)
  say("test_run_" .. kind[1], ns, "ns")
end
say("test_run", worst, "ns")
w:close()

-- ---- in place -----------------------------------------------------------------------------------

-- Counting costs too, so it begins only now.
w = assert(bpf.wakeup{routes = ROUTES, budget = math.huge, count = true})

local function measure(conn, path)
  local slices = {}
  local request = "GET " .. path .. REST
  for i = 1, SLICES do
    local before = w:stats()
    for _ = 1, REQUESTS do
      conn:write(request)
      conn:read_exactly(2)
    end
    local after = w:stats()
    slices[i] = (after.ns - before.ns) / (after.runs - before.runs)
  end
  return least(slices)
end

rl.run(function()
  local server = net.serve("127.0.0.1:0", function(conn)
    while conn:read() do conn:write "ok" end
  end)
  assert(w:attach(server))
  local conn = assert(net.connect(server:addr()))
  for _, kind in ipairs{{"unlisted", "/other"}, {"background", "/bulk/1"}} do
    say("in_place_" .. kind[1], measure(conn, kind[2]), "ns")
  end
  say("in_place", measure(conn, "/pay"), "ns")
  conn:close()
  server:stop(1)
end)

w:close()
