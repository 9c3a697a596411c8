-- SPDX-License-Identifier: MIT
-- Where new connections go: bpf.steer beside the kernel's own choice, a hash.
--
--   steer.lua balance   16 connections on 4 shards: the shard with most, divided by the mean; the
--                       median of 20 trials, and the worst
--   steer.lua stalled   one shard of 4 blocks 50 ms of every 100 ms: latency of 500 requests a
--                       second, each on a connection of its own
--   steer.lua closing   servers of one port replace each other, and shards are drained, while
--                       clients connect: connections lost of 100,000 with bpf.steer (resets), of
--                       20,000 without (hash_resets), and of 20,000 while listeners are just
--                       closed and opened (plain_resets)
--   steer.lua cost      what a choice among 4 and among 64 shards takes, by test run
--
-- It prints `name value unit`, and ends with status 77 where it cannot be measured. Servers run in
-- a process of their own, which is this file once more; they end when this process does.

local here = arg[0]:match "^.*/" or "./"
local lib = dofile(here .. "../lua/lib.lua")
local bpf = require "ringlet.bpf"
local http = require "ringlet.http"
local net = require "ringlet.net"
local rl = lib.rl

local SHARDS = 4
local TRIALS, CONNS = 20, 16
local RATE, SECONDS = 500, 5
local STALL, EVERY = 0.05, 0.1
local CONNECTS, CONNECTS_HASH, CLIENTS = lib.scaled(100000), lib.scaled(20000), 24
local GENERATION, CLOSING_LIMIT = 0.15, 45
local REPEAT = 100000
local CANNOT = 77

local function steering(mode)
  if mode == "hash" then
    return nil
  end
  local steer, msg = bpf.steer{policy = mode}
  if not steer then
    io.stderr:write(msg, "\n")
    os.exit(CANNOT)
  end
  return steer
end

-- ---- balance ------------------------------------------------------------------------------------

local function quiet(conn)
  conn:read()
end

-- How uneven CONNS connections are: the most that a shard has, by the mean.
local function unevenness(steer)
  local server = assert(net.serve("127.0.0.1:0", quiet, {shards = "all", steer = steer}))
  local conns, most = {}, 0
  for i = 1, CONNS do
    conns[i] = assert(net.connect(server:addr()))
  end
  while server:stats().accepted < CONNS do
    rl.sleep(0.001)
  end
  for _, counts in ipairs(server:stats().shards) do
    most = math.max(most, counts.accepted)
  end
  for i = 1, CONNS do
    conns[i]:abort()
  end
  server:stop(1)
  return most / (CONNS / SHARDS)
end

local function balance()
  for _, mode in ipairs{"hash", "least", "rr"} do
    local steer = steering(mode)
    rl.run(function()
      local trials = {}
      for i = 1, TRIALS do
        trials[i] = unevenness(steer)
      end
      table.sort(trials)
      lib.report(mode, (trials[TRIALS / 2] + trials[TRIALS / 2 + 1]) / 2, "x")
      lib.report(mode .. "_worst", trials[TRIALS], "x")
    end, {shards = SHARDS})
  end
end

-- ---- servers in a process of their own ----------------------------------------------------------

local function answer(_, res)
  res:send(200, "done\n")
end

-- Block the thread, without computing.
local function stall()
  while true do
    os.execute(("sleep %g"):format(STALL))
    require("ringlet").sleep(EVERY - STALL)
  end
end

local serve = {migrated = 0}

function serve.stalled(mode)
  local server = assert(http.serve("127.0.0.1:0", answer,
    {shards = "all", steer = steering(mode), backlog = 4096}))
  rl.spawn_on(2, stall)
  return server:addr()
end

local function count_migrated()
  if serve.steer then
    serve.migrated = serve.migrated + serve.steer:stats().migrated
    serve.steer:close()
  end
end

-- One generation of servers after the other on one port; the last shard of each is drained first.
local function replace(server, addr, mode)
  local old, steer
  while true do
    rl.sleep(GENERATION)
    server:drain(SHARDS)
    old, steer = server, steering(mode)
    server = assert(net.serve(addr, serve.handler, {shards = "all", steer = steer, backlog = 4096}))
    old:stop(1)
    count_migrated()
    serve.steer = steer
  end
end

serve.handler = {
  on_data = function(conn, data)
    conn:write(data)
  end,
}

function serve.closing(mode)
  serve.steer = steering(mode)
  local server = assert(net.serve("127.0.0.1:0", serve.handler,
    {shards = "all", steer = serve.steer, backlog = 4096}))
  rl.daemon(replace, server, server:addr(), mode)
  return server:addr()
end

-- A listener of its own on a shard, which is closed as it is, and opened anew.
local function plain_listener(addr, seconds)
  local rl, net = require "ringlet", require "ringlet.net" -- luacheck: ignore 431
  while true do
    local listener = assert(net.listen(addr, {reuseport = true, backlog = 4096}))
    rl.daemon(function()
      for conn in function() return listener:accept() end do
        rl.go(function()
          conn:write(conn:read(5) or "")
          conn:read(5)
          conn:close()
        end)
      end
    end)
    rl.sleep(seconds)
    listener:close()
  end
end

function serve.plain()
  local first = assert(net.listen("127.0.0.1:0", {reuseport = true}))
  local addr = first:addr()
  rl.daemon(plain_listener, addr, math.huge)
  rl.sleep(0.05)
  first:close()
  for shard = 2, SHARDS do
    rl.spawn_on(shard, plain_listener, addr, GENERATION)
  end
  return addr
end

-- Until stdin ends.
local function run_server(what, mode)
  rl.run(function()
    io.write(serve[what](mode), "\n")
    io.flush()
    rl.offload(io.read, "*a")
    count_migrated()
    io.write(serve.migrated, "\n")
    io.flush()
    os.exit(0)
  end, {shards = SHARDS})
end

local function interpreter()
  local i = 0
  while arg[i - 1] do
    i = i - 1
  end
  return arg[i]
end

-- Calls fn(address) while such a server runs. How many connections moved to another listener.
local function with_server(what, mode, fn)
  local out, fifo = os.tmpname(), os.tmpname()
  os.remove(fifo)
  assert(os.execute("mkfifo " .. fifo))
  os.execute(("timeout -k 1 %d %s %s serve %s %s <%s >%s &"):format(CLOSING_LIMIT + 15,
    interpreter(), arg[0], what, mode, fifo, out))
  local stdin, addr = assert(io.open(fifo, "w")), nil
  for _ = 1, 500 do
    local file = io.open(out)
    addr = file:read "*l"
    file:close()
    if addr then
      break
    end
    os.execute "sleep 0.02"
  end
  local ok, err = pcall(fn, assert(addr, "the server did not start"))
  stdin:close()
  local migrated
  for _ = 1, 100 do
    local file = io.open(out)
    migrated = file:read "*a":match "\n(%d+)\n"
    file:close()
    if migrated then
      break
    end
    os.execute "sleep 0.02"
  end
  os.remove(out)
  os.remove(fifo)
  assert(ok, err)
  return migrated
end

-- ---- a stalled shard ----------------------------------------------------------------------------

local function stalled()
  steering "least" -- or it cannot be measured
  local load = here .. "../../build/bench/bpf/load"
  for _, mode in ipairs{"hash", "least"} do
    with_server("stalled", mode, function(addr)
      local p = assert(io.popen(("%s -p %s -c 0 -r %d -f -t %d"):format(load, addr:match "%d+$",
        RATE, SECONDS)))
      for line in p:lines() do
        local name, value, unit = line:match "^(%S+) (%S+) (%S+)$"
        if name and name:find "^p%d" then
          print(("%s.%s %s %s"):format(mode, name, value, unit))
        end
      end
      assert(p:close(), "the load client failed")
    end)
  end
end

-- ---- closing ------------------------------------------------------------------------------------

-- One connection: true when its byte came back.
local function echo(addr)
  local conn = net.connect(addr, {timeout = 5})
  if not conn then
    return false
  end
  conn:write "x"
  local got = conn:read(5)
  conn:abort() -- so that it leaves no TIME_WAIT
  return got == "x"
end

local function lost_of(addr, wanted)
  local left, lost, done, due = wanted, 0, 0, rl.now() + CLOSING_LIMIT
  local clients = {}
  for i = 1, CLIENTS do
    clients[i] = rl.go(function()
      while left > 0 and rl.now() < due do
        left = left - 1
        lost = lost + (echo(addr) and 0 or 1)
        done = done + 1
      end
    end)
  end
  for _, client in ipairs(clients) do
    client:join()
  end
  return lost, done
end

local function closing()
  steering "least"
  for _, mode in ipairs{"plain", "hash", "least"} do
    local wanted = mode == "least" and CONNECTS or CONNECTS_HASH
    local what = mode == "plain" and mode or "closing"
    local migrated = with_server(what, mode, function(addr)
      rl.run(function()
        local from = rl.now()
        local lost, done = lost_of(addr, wanted)
        local prefix = mode == "least" and "" or mode .. "_"
        lib.report(prefix .. "resets", lost, "connections")
        print(("%sconnects %d connections"):format(prefix, done))
        lib.report(prefix .. "rate", done / (rl.now() - from), "1/s")
      end)
    end)
    if mode == "least" then
      print(("migrated %s connections"):format(migrated or 0))
    end
  end
end

-- ---- cost ---------------------------------------------------------------------------------------

-- ns of a choice among so many shards, which all take part.
local function cost_of(policy, shards)
  local steer = assert(bpf.steer{policy = policy})
  local areas = require("ringlet.bpf_steer_handles").open(steer).areas
  areas.turns:u64(64, shards)
  for i = 1, shards do
    areas.terms:u32((i - 1) * 8 + 4, 1)
  end
  local ns = assert(steer:cost_(REPEAT))
  steer:close()
  return ns
end

local function cost()
  steering "least" -- or it cannot be measured
  for _, policy in ipairs{"least", "hash", "rr"} do
    for _, shards in ipairs{4, 64} do
      lib.report(("%s_%d"):format(policy, shards), cost_of(policy, shards), "ns")
    end
  end
end

-- ---- the command line ---------------------------------------------------------------------------

local programs = {balance = balance, stalled = stalled, closing = closing, cost = cost}

if arg[1] == "serve" then
  run_server(arg[2], arg[3])
elseif programs[arg[1]] then
  programs[arg[1]]()
else
  io.stderr:write "usage: steer.lua balance|stalled|closing|cost\n"
  os.exit(2)
end
