-- SPDX-License-Identifier: MIT
-- Slow clients: what thousands of connections that send their request a byte at a time do to the
-- answers that others get. Three processes: a server, slow clients, and honest ones, which are
-- this one. Prints the 99th percentile of the honest clients' times, with and without slow ones.
--
--     slowloris.lua [connections=5000] [seconds=2] [rounds=1]

local rl = require "ringlet"
local http = require "ringlet.http"
local net = require "ringlet.net"

local ROLE, A, B = arg[1], arg[2], arg[3]
local HONEST, PAUSE = 16, 0.004
local SECONDS = math.max(0.5, 2 * (tonumber(os.getenv "BENCH_SCALE") or 1))
local REQUEST = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
local SLOW = "GET / HTTP/1.1\r\nHost: a\r\nX-Slow: " .. ("x"):rep(1000)

local function say(...)
  io.stdout:write(...)
  io.stdout:write "\n"
  io.stdout:flush()
end

-- ---- the other two ------------------------------------------------------------------------------

local roles = {}

function roles.server()
  local server
  server = assert(http.serve("127.0.0.1:0", function(req, res)
    if req.path == "/live" then
      res:send(200, tostring(server:stats().live))
    else
      res:send(200, "hello")
    end
  end))
  say(server:addr())
end

-- One byte each 1 to 3 s. The server ends those that take 10 s for a head; each comes again.
local function slow_client(addr, k, n)
  rl.sleep(2 * k / n)
  while true do
    local conn = net.connect(addr, {timeout = 10})
    for i = 1, conn and #SLOW or 0 do
      if not conn:write(SLOW:sub(i, i)) then break end
      if select(3, conn:read(1 + i % 3)) ~= "ETIMEDOUT" then break end
    end
    if conn then conn:abort() end
    rl.sleep(0.1)
  end
end

function roles.slow()
  local n = tonumber(B)
  for k = 1, n do rl.go(slow_client, A, k, n) end
  say "begun"
end

if roles[ROLE] then
  rl.run(roles[ROLE], {backend = "uring"})
  return
end

-- ---- honest clients -----------------------------------------------------------------------------

local function honest_client(addr, till, times)
  local conn = assert(net.connect(addr, {timeout = 10, read_timeout = 10}))
  while rl.now() < till do
    local from = rl.now()
    assert(conn:write(REQUEST))
    assert(conn:read_until "hello")
    times[#times + 1] = rl.now() - from
    rl.sleep(PAUSE)
  end
  conn:close()
end

local function p99(addr, seconds)
  local times, tasks, till = {}, {}, rl.now() + seconds
  for i = 1, HONEST do tasks[i] = rl.go(honest_client, addr, till, times) end
  for i = 1, HONEST do assert(tasks[i]:join()) end
  table.sort(times)
  return times[math.ceil(#times * 0.99)], #times
end

local function live(addr)
  local conn = assert(net.connect(addr, {timeout = 10, read_timeout = 10}))
  conn:write "GET /live HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
  local n = tonumber(conn:read_all():match "(%d+)$")
  conn:close()
  return n
end

-- Wait until the server has at least, or at most, that many connections.
local function wait_for(addr, least, most)
  for _ = 1, 600 do
    local n = live(addr)
    if n >= least and n <= most then return n end
    rl.sleep(0.1)
  end
  error("the server's connections are not as many as expected")
end

-- A process of its own with this script, which says a line: what it said, and how to end it.
local stops = {}

local function start(role, ...)
  local command = ("ulimit -n 20000; echo $$; exec timeout 300 %s %s %s %s"):format(arg[-1],
    arg[0], role, table.concat({...}, " "))
  local pipe = assert(io.popen(command))
  local pid = pipe:read "*l"
  local function stop()
    if stops[pid] then
      stops[pid] = nil
      os.execute("kill " .. pid)
      pipe:close()
    end
  end
  stops[pid] = stop
  return pipe:read "*l", stop
end

local function median(list)
  table.sort(list)
  return list[math.ceil(#list / 2)]
end

local function main()
  local n, seconds, rounds = tonumber(ROLE) or 5000, tonumber(A) or SECONDS, tonumber(B) or 1
  local addr = start "server"
  local without, with = {}, {}
  p99(addr, 0.5)
  for _ = 1, rounds do
    without[#without + 1] = p99(addr, seconds)
    local _, stop_slow = start("slow", addr, n)
    local seen = wait_for(addr, n * 0.95, math.huge)
    with[#with + 1] = p99(addr, seconds)
    stop_slow()
    say(("%d slow connections: p99 %.3f ms, without %.3f ms"):format(seen, with[#with] * 1e3,
      without[#without] * 1e3))
    wait_for(addr, 0, 10)
  end
  say(("slowloris %.4g ratio"):format(median(with) / median(without)))
  say(("slowloris_p99 %.4g ms"):format(median(with) * 1e3))
  say(("slowloris_without_p99 %.4g ms"):format(median(without) * 1e3))
end

rl.run(function()
  rl.finally(main, function()
    for _, stop in pairs(stops) do stop() end
  end)
end, {backend = "uring"})
