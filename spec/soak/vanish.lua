-- SPDX-License-Identifier: MIT
-- Clients that vanish at every stage of a request, over loopback: `<lua> spec/soak/vanish.lua`;
-- RINGLET_VANISH (10000) is how many. They go in parts. After each part the server, which runs on,
-- has as many tasks, timers, handles, operations and descriptors as after the first; after all it
-- answers as it did, its memory has not grown, and once it has stopped nothing at all is left.

local http = require "ringlet.http"
local meter = require "spec.soak.meter"
local net = require "ringlet.net"
local rl = require "ringlet"
local vanish = require "spec.vanish"

local CLIENTS = tonumber(os.getenv "RINGLET_VANISH") or 10000
local PARTS = 6
local SEED = tonumber(arg[1]) or 1
local PATIENCE = 4     -- seconds after which the server has given all up
local RISE_MAX = 2048  -- kB from the third part to the last
local WORKERS = 16     -- of a crew, which stay
local OPTIONS = {head_timeout = 1, read_timeout = 1, write_timeout = 1, idle_timeout = 1}

local failures = 0

local function fail(...)
  failures = failures + 1
  print("FAIL " .. table.concat({...}, ": "))
end

local function read()
  if rawget(_G, "jit") then
    rawget(_G, "jit").flush()
  end
  collectgarbage()
  collectgarbage()
  return meter.read()
end

-- Workers come and go with the load; all else must be as it was.
local ANY_NUMBER = {own_tasks = true, daemons = true}

local function one_part(server, n, i, was)
  vanish.vanish_all(server:addr(), n, math.random)
  rl.sleep(PATIENCE)
  local now = read()
  print(("part %d: %d accepted; %s; kB: lua %.0f, all %d"):format(i, server:stats().accepted,
    meter.text(now), now.lua_kb, now.rss_kb))
  local different = was and meter.difference(was, now, ANY_NUMBER)
  if different then
    fail("part " .. i, different)
  elseif server:stats().live > 0 then
    fail("part " .. i, server:stats().live .. " connections are left")
  end
  return now
end

local function ask(addr)
  local conn = assert(net.connect(addr))
  conn:write(vanish.request("/", "Connection: close\r\n"))
  local answer = conn:read_all()
  conn:close()
  return answer and answer:find "ok$"
end

local function serve_them()
  local server = assert(http.serve("127.0.0.1:0", vanish.handler, OPTIONS))
  local tasks, first, middle, last = rl.stats().tasks, nil, nil, nil
  for i = 1, PARTS do
    last = one_part(server, math.ceil(CLIENTS / PARTS), i, first)
    first, middle = first or last, middle or i * 2 >= PARTS and last or nil
  end
  if last.tasks > tasks + WORKERS then
    fail("tasks", last.tasks .. " are left")
  end
  if last.rss_kb - middle.rss_kb > RISE_MAX then
    fail("memory", middle.rss_kb .. " kB after half of them", last.rss_kb .. " kB after all")
  end
  if not ask(server:addr()) then
    fail "a client that stays is not answered"
  end
  assert(server:stop(5))
end

local function main()
  math.randomseed(SEED)
  local before = read()
  serve_them()
  rl.sleep(0.1)
  local different = meter.difference(before, read(), {fds = true, threads = true})
  if different then
    fail("after the stop", different)
  end
end

rl.on_error(function() end) -- of handlers whose client went
rl.run(main, {backend = "uring"})
os.exit(failures == 0)
