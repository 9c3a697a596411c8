-- SPDX-License-Identifier: MIT
-- Peers of WebSockets that vanish: at every stage, by thousands, and nothing of them is left.
local H = require "spec.helper"
local net = require "ringlet.net"
local rl = require "ringlet"
local websocket = require "ringlet.websocket"
local wire = require "spec.ws_wire"

local frame, fragment = wire.frame, wire.fragment

local HEAD = wire.request{["Sec-WebSocket-Extensions"] = "permessage-deflate"}
local CLOSE = frame(8, wire.close_payload(1000))
local LONG = frame(2, ("x"):rep(30000))

-- What a client sends, and how many bytes of the answer it reads before it goes: during the
-- handshake, idle, in a frame, in a message, with an answer on its way, in the end's handshake.
local STAGES = {
  {""}, {HEAD:sub(1, 40)}, {HEAD, 0}, {HEAD, 30}, {HEAD, 238},
  {HEAD .. "\129"}, {HEAD .. LONG:sub(1, 20000), 238}, {HEAD .. fragment(1, "half"), 238},
  {HEAD .. fragment(1, "half") .. frame(9, "ping"), 244},
  {HEAD .. fragment(0x41, "\242\72\205"), 238},
  {HEAD .. frame(0xc1, "\242\72\205\201\201\7\0"), 240},
  {HEAD .. frame(0xc1, "rubbish"), 240}, {HEAD .. LONG, 238}, {HEAD .. LONG, 5000},
  {HEAD .. frame(1, "no UTF-8: \255"), 240}, {HEAD .. CLOSE, 0}, {HEAD .. CLOSE, 240},
  {HEAD .. frame(1, "bye"), 0}, {HEAD .. frame(1, "bye"), 240}, {"no request\r\n\r\n", 10},
}
-- Small streams: the memory that 50 at a time take is not what is measured here.
local DEFLATE = pcall(require, "ringlet.zlib") and {window = 9} or nil
local WAYS = {"close", "abort", "shutdown"}

-- Echoes; "bye" makes it close, which some do not answer.
local function handler(ws)
  for data, kind in ws:messages() do
    if data == "bye" then return ws:close(1000, "", 0.5) end
    if not ws:send(data, kind) then return end
  end
end

local function vanish(addr, random)
  local conn = net.connect(addr)
  if not conn then return end
  local stage = STAGES[random(#STAGES)]
  local text, wants = stage[1], stage[2]
  if random(3) == 1 and #text > 0 then
    text, wants = text:sub(1, random(#text)), nil
  end
  local way = WAYS[random(#WAYS)]
  conn:write(text)
  if random(3) == 1 then conn:flush(1) end
  if wants and wants > 0 then conn:read_exactly(wants, 0.2) end
  if random(4) == 1 then rl.sleep(random(20) / 1000) end
  conn[way](conn)
  conn:close()
end

-- Our own client's end: it vanishes in the middle of what it does.
local function vanish_client(url, random, opts)
  local task = rl.go(function()
    local ws = websocket.connect(url, opts)
    while ws and ws:send(("y"):rep(random(3000))) and ws:recv(1) do end
  end)
  rl.sleep(random(10) / 1000)
  task:cancel()
  task:join()
end

local function vanish_all(server, n, random)
  local left, tasks, url = n, {}, "ws://" .. server:addr()
  for i = 1, 50 do
    tasks[i] = rl.go(function()
      while left > 0 do
        left = left - 1
        if random(10) == 1 then
          vanish_client(url, random, {heartbeat = 1, deflate = random(2) == 1 and DEFLATE or nil})
        else
          vanish(server:addr(), random)
        end
      end
    end)
  end
  for i = 1, 50 do assert(tasks[i]:join()) end
end

local function resident()
  local f = assert(io.open "/proc/self/statm")
  local pages = tonumber(f:read "*l":match "^%d+ (%d+)")
  f:close()
  return pages * 4
end

local SEED, WORKERS = 19, 16 -- a crew keeps so many workers at most

-- What there is when nobody is there: the listening socket, and the timer of the test's limit.
local function wait_for_rest(server, timers)
  local rest, found = {handles = 1, ops = 1, timers = timers, live = 0}, nil
  pcall(H.eventually, "nothing is left", function()
    H.collect() -- sockets that were dropped without a word
    local stats = rl.stats()
    found = {handles = stats.handles, ops = stats.ops, timers = stats.timers,
      live = server:stats().live}
    for name, n in pairs(rest) do
      if found[name] ~= n then return rl.sleep(0.3) end
    end
    return true
  end)
  assert.same(rest, found)
end

-- The second half of the clients takes no more memory than the first, which has warmed everything
-- up: a worker more has a stack, and who lingers has buffers.
local function leave_nothing(n, opts, timers)
  return function()
    math.randomseed(SEED)
    rl.on_error(function() end)
    local server = wire.serve(function(ws)
      local ok, err = rl.pcall(handler, ws)
      if not ok and not tostring(err):find "^E%u+:" then error(err, 0) end
    end, opts, {head_timeout = 1, read_timeout = 1, idle_timeout = 1})
    local tasks = rl.stats().tasks
    vanish_all(server, n / 2, math.random)
    wait_for_rest(server, timers)
    local lua, rss = H.kilobytes(), resident()
    vanish_all(server, n / 2, math.random)
    wait_for_rest(server, timers)
    local lua_grown, rss_grown, now = H.kilobytes() - lua, resident() - rss, rl.stats().tasks
    assert.is_true(now <= tasks + WORKERS, now)
    assert.is_true(lua_grown < 64 + 8 * WORKERS, ("%g KiB of Lua"):format(lua_grown))
    assert.is_true(rss_grown < 8192, ("%g KiB resident"):format(rss_grown))
    local ws = assert(websocket.connect("ws://" .. server:addr()))
    ws:send "still there"
    assert.equal("still there", ws:recv(30))
    ws:close()
    server:stop(1)
  end
end

local OPTS = {heartbeat = 0.5, close_timeout = 0.5, deflate = DEFLATE}

H.sim("10,000 peers that vanish at every stage", function(it)
  it("leave nothing", leave_nothing(H.rounds(10000, 300), OPTS, 0), {timeout = 0})
end)

H.on("uring", "peers that vanish at every stage", function(it)
  it("leave nothing", leave_nothing(H.rounds(2000, 200), OPTS, 1), {timeout = 170})
end)
