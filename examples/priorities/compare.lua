-- SPDX-License-Identifier: MIT
-- What priorities do to the latency of /pay while /report burns every core:
--
--   luajit examples/priorities/compare.lua latency.svg 6 auto
--
-- starts server.lua thrice, each time with another who tells requests apart; asks for /pay 100
-- times a second for so many seconds, and in the middle two thirds for as many /report as there
-- is room for; prints a table, and draws the picture. The last argument is how many shards serve.
-- Latency counts from when a request was due. Where the kernel does not let it, "bpf" is left out.
local rl = require "ringlet"
local http = require "ringlet.http"

local here = debug.getinfo(1, "S").source:match "^@(.*/)" or ""
local plots = dofile(here .. "plot.lua")

local FILE, SECONDS, SHARDS = arg[1] or "latency.svg", tonumber(arg[2]) or 6, arg[3] or "auto"
local PAY_EVERY, REPORTERS = 0.01, 16
local NAMES = {nothing = "first come, first served", classify = "with priorities",
  bpf = "with priorities and eBPF"}

-- ---- the server -------------------------------------------------------------------------------

local function interpreter()
  local i = -1
  while arg[i - 1] do i = i - 1 end
  return arg[i]
end

-- A server in a process of its own, with this one's paths: its address, and a function that ends
-- it; nil and why it does not do what was asked. It is nice: its clients would be other machines.
local function start_server(who)
  local paths = ("package.path, package.cpath = %q, %q"):format(package.path, package.cpath)
  local command = ("echo $$; exec timeout 120 nice -n 5 %s -e '%s' %sserver.lua 127.0.0.1:0 %s %s")
    :format(interpreter(), paths, here, who, SHARDS)
  local pipe = assert(io.popen(command))
  local pid, first = pipe:read "*l", pipe:read "*l"
  local function stop()
    os.execute("kill " .. pid)
    pipe:close()
  end
  local addr = first and first:match "^listening on (.*)$"
  if addr then
    return addr, stop
  end
  stop()
  return nil, first or "the server did not start"
end

-- ---- clients ----------------------------------------------------------------------------------

local function pay(client, url, from, due, points)
  local res = rl.check(client:get(url))
  assert(res.status == 200 and res.body == "paid\n")
  points[#points + 1] = {due - from, rl.now() - due}
end

local function reporter(client, url, from, till, counts)
  rl.sleep(from - rl.now())
  while rl.now() < till do
    assert(rl.check(client:get(url)).status == 200)
    counts.reports = counts.reports + 1
  end
end

-- The points of /pay, and how many reports there were in a second.
local function measure(addr)
  local url, client = "http://" .. addr, http.client()
  rl.check(client:get(url .. "/pay"))
  local points, counts, from = {}, {reports = 0}, rl.now()
  rl.scope(function(s)
    for _ = 1, REPORTERS do
      s:go(reporter, client, url .. "/report", from + SECONDS / 6, from + SECONDS * 5 / 6, counts)
    end
    for due = from, from + SECONDS, PAY_EVERY do
      rl.sleep(due - rl.now())
      s:go(pay, client, url .. "/pay", from, due, points)
    end
  end)
  client:close()
  return points, counts.reports / (SECONDS * 2 / 3)
end

-- ---- what came of it --------------------------------------------------------------------------

-- Of the time in which there were reports.
local function summary(points)
  local latencies = {}
  for _, point in ipairs(points) do
    if point[1] >= SECONDS / 6 and point[1] < SECONDS * 5 / 6 then
      latencies[#latencies + 1] = point[2] * 1000
    end
  end
  table.sort(latencies)
  return plots.quantile(latencies, 0.5), plots.quantile(latencies, 0.99)
end

local function write(series)
  local file = assert(io.open(FILE, "w"))
  assert(file:write(plots.svg{
    title = "Latency of /pay, 100 a second", seconds = SECONDS, series = series,
    load = {name = REPORTERS .. " clients ask for /report", from = SECONDS / 6,
      till = SECONDS * 5 / 6},
  }))
  file:close()
  print("drawn in " .. FILE)
end

rl.run(function()
  local series = {}
  print("                            p50 ms   p99 ms   reports/s")
  for _, who in ipairs{"nothing", "classify", "bpf"} do
    local addr, stop = start_server(who)
    if addr then
      local points, rate = rl.finally(function() return measure(addr) end, stop)
      local p50, p99 = summary(points)
      print(("%-26s %7.2f  %7.2f  %10.0f"):format(NAMES[who], p50, p99, rate))
      series[#series + 1] = {points = points,
        name = ("%s: p50 %.1f ms, p99 %.1f ms"):format(NAMES[who], p50, p99)}
    else
      print(("%-26s %s"):format(NAMES[who], stop))
    end
  end
  write(series)
end, {preempt = false}) -- nobody else has anything to do while it waits for a server
