-- SPDX-License-Identifier: MIT
-- HTTP servers and clients that mean no good, or vanish.
local H = require "spec.helper"
local V = require "spec.vanish"
local http = require "ringlet.http"
local net = require "ringlet.net"
local rl = require "ringlet"

local ANY = "127.0.0.1:0"

local request, handler = V.request, V.handler

-- ---- those who vanish ---------------------------------------------------------------------------

local function resident()
  local f = assert(io.open "/proc/self/statm")
  local pages = tonumber(f:read "*l":match "^%d+ (%d+)")
  f:close()
  return pages * 4
end

local SEED = 17

-- `n` clients in all, and seconds after which the server has given all up, if nothing stalls. The
-- second half of them leaves no more than the first, which has warmed everything up; a crew keeps
-- up to 16 workers.
local WORKERS = 16

local function leave_nothing(n, opts, patience, kilobytes)
  return function()
    math.randomseed(SEED)
    local reported = 0
    rl.on_error(function() reported = reported + 1 end)
    local server = assert(http.serve(ANY, handler, opts))
    local function kept()
      local stats = rl.stats()
      return {handles = stats.handles, ops = stats.ops, timers = stats.timers,
        live = server:stats().live}
    end
    local function counts()
      local was, now
      rl.sleep(patience)
      H.eventually("the end of all clients", function()
        rl.sleep(0.5)
        was, now = now, kept()
        return now.live == 0 and was and was.handles == now.handles and was.ops == now.ops
      end)
      return now, H.kilobytes(), resident(), rl.stats().tasks
    end
    local tasks = rl.stats().tasks
    V.vanish_all(server:addr(), n / 2, math.random)
    local before, lua, rss = counts()
    V.vanish_all(server:addr(), n / 2, math.random)
    local after, lua_after, rss_after, tasks_after = counts()
    assert.same(before, after)
    assert.is_true(tasks_after <= tasks + WORKERS, tasks_after)
    assert.equal(0, after.live)
    assert.is_true(lua_after - lua < (kilobytes or 64), ("%g KiB of Lua"):format(lua_after - lua))
    -- The address sanitizer keeps what is freed for a while.
    assert.is_true(rss_after - rss < 4096 or H.sanitized,
      ("%g KiB resident"):format(rss_after - rss))
    assert.is_true(server:stats().accepted > n / 2)
    local conn = assert(net.connect(server:addr()))
    conn:write(request("/", "Connection: close\r\n"))
    assert.is_truthy(conn:read_all():find "ok$")
    conn:close()
    server:stop(1)
  end
end

H.sim("10,000 clients that vanish at every stage of a request", function(it)
  it("leave nothing", leave_nothing(H.rounds(10000, 300), nil, 100), {timeout = 0})
  it("leave nothing, when few are let in and heartbeats are on",
    leave_nothing(H.rounds(3000, 300), {max_per_address = 30, max_connections = 40,
      cancel_on_close = true, heartbeat = {check = 1, metrics = function() return 1 end}}, 100),
    {timeout = 0})
end)

H.on("uring", "clients that vanish at every stage of a request", function(it)
  it("leave nothing", function()
    -- In real time the second half may have more workers, and code is compiled at any time.
    local opts = {head_timeout = 1, read_timeout = 1, idle_timeout = 1}
    leave_nothing(H.rounds(2000, 200), opts, 2, 256)()
  end, {timeout = 150})
end)

-- ---- those who are slow -------------------------------------------------------------------------

H.sim("clients that send a request a byte at a time", function(it)
  it("are ended after head_timeout, however many there are, and others are answered", function()
    local n = H.torture and 50 or 5000
    local server = assert(http.serve(ANY, handler, {head_timeout = 10}))
    local text, ended = request("/", "X: " .. ("x"):rep(100) .. "\r\n"), {}
    local function slow(k)
      rl.sleep(k / n)
      local conn, from = assert(net.connect(server:addr())), nil
      for i = 1, #text do
        if not conn:write(text:sub(i, i)) then break end
        from = from or rl.now()
        local data, _, code = conn:read(1)
        if data or code ~= "ETIMEDOUT" then break end
      end
      ended[#ended + 1] = rl.now() - from
      conn:close()
    end
    local tasks = {}
    for i = 1, n do tasks[i] = rl.go(slow, i) end
    local honest = assert(net.connect(server:addr()))
    for _ = 1, 100 do
      local from = rl.now()
      honest:write(request "/")
      assert.is_truthy(honest:read_until("ok", 1000, 5))
      assert.is_true(rl.now() - from < 0.01)
      rl.sleep(0.1)
    end
    for i = 1, n do assert(tasks[i]:join()) end
    for _, seconds in ipairs(ended) do
      assert.is_true(seconds >= 10 - H.TICK and seconds <= 11.1, seconds)
    end
    honest:close()
    rl.sleep(1)
    assert.equal(0, server:stats().live)
    server:stop(1)
  end, {timeout = 0})
end)

-- ---- what they cost the others ------------------------------------------------------------------

-- CPU time of an answer to an honest client, by its sending and the server's: real times are for
-- bench/lua/slowloris.lua, because whatever else the machine does makes them longer.
local function cost_of_answer(server)
  local conn, n = assert(net.connect(server:addr())), 1000
  local from = os.clock()
  for _ = 1, n do
    conn:write(request "/")
    assert(conn:read_until "ok")
  end
  local took = os.clock() - from
  conn:close()
  return took / n
end

-- `count` clients that have sent a part of a head.
local function slow_clients(server, count)
  local conns = {}
  for i = 1, count do
    conns[i] = assert(net.connect(server:addr()))
    conns[i]:write "GET / HTTP/1.1\r\nX-Slow: "
  end
  H.eventually("the slow clients", function() return server:stats().live == count end)
  return conns
end

-- Each has two descriptors here.
local function most_clients(backend)
  local f = assert(io.open "/proc/self/limits")
  local limit = tonumber(f:read "*a":match "Max open files%s+(%d+)") or math.huge
  f:close()
  return backend == "sim" and 5000 or math.min(5000, math.floor(limit * 0.4))
end

H.both("5,000 slow clients", function(it, backend)
  if H.torture then return end

  it("do not make the answers of others twice as dear", function()
    local server = assert(http.serve(ANY, handler, {head_timeout = 1e6, max_connections = 10000}))
    local without, with, a_byte = math.huge, math.huge, math.huge
    for _ = 1, 5 do without = math.min(without, cost_of_answer(server)) end
    local conns = slow_clients(server, most_clients(backend))
    for _ = 1, 15 do -- the least: others may use the caches
      with = math.min(with, cost_of_answer(server))
      local from = os.clock()
      for _, conn in ipairs(conns) do conn:write "x" end
      rl.sleep(0.02)
      a_byte = math.min(a_byte, (os.clock() - from) / #conns)
      if with <= 2 * without and a_byte <= 4 * without then break end
    end
    local text = ("CPU time: %g s an answer, %g s without them, %g s for a byte of theirs"):format(
      with, without, a_byte)
    assert.is_true(with <= 2 * without, text)
    assert.is_true(a_byte <= 4 * without, text)
    for _, conn in ipairs(conns) do conn:abort() end
    server:stop(10)
  end, {preempt = false, timeout = 120})
end)
