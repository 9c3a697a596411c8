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

-- `n` clients in all, and seconds after which the server has given all up. The second half of them
-- leaves no more than the first, which has warmed everything up; a crew keeps up to 16 workers.
local WORKERS = 16

local function leave_nothing(n, opts, patience)
  return function()
    math.randomseed(SEED)
    local reported = 0
    rl.on_error(function() reported = reported + 1 end)
    local server = assert(http.serve(ANY, handler, opts))
    local function counts()
      rl.sleep(patience)
      local stats, lua = rl.stats(), H.kilobytes()
      return {handles = stats.handles, ops = stats.ops, timers = stats.timers,
        live = server:stats().live}, lua, resident(), stats.tasks
    end
    local tasks = rl.stats().tasks
    V.vanish_all(server:addr(), n / 2, math.random)
    local before, lua, rss = counts()
    V.vanish_all(server:addr(), n / 2, math.random)
    local after, lua_after, rss_after, tasks_after = counts()
    assert.same(before, after)
    assert.is_true(tasks_after <= tasks + WORKERS, tasks_after)
    assert.equal(0, after.live)
    assert.is_true(lua_after - lua < 64, ("%g KiB of Lua"):format(lua_after - lua))
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
    leave_nothing(H.rounds(2000, 200), {head_timeout = 1, read_timeout = 1, idle_timeout = 1}, 3)()
  end, {timeout = 90})
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

describe("5,000 slow clients", function()
  -- Machines that do something else as well are given three tries, and a millisecond.
  local function measure()
    local env = ("LUA_PATH='%s' LUA_CPATH='%s'"):format(package.path, package.cpath)
    env = env .. " " .. env:gsub("PATH=", "PATH_5_4=")
    local out, code = H.script([[
      arg[0], arg[1], arg[2], arg[3] = "bench/lua/slowloris.lua", 5000, 1, 1
      dofile(arg[0])
    ]], env)
    local with, without = out:match "p99 ([%d.]+) ms, without ([%d.]+) ms"
    assert.equal(0, code, out)
    return tonumber(with), tonumber(without), out
  end

  it("do not make the answers of others twice as late", function()
    if H.missing.uring then
      return pending(H.missing.uring)
    end
    local with, without, out
    for _ = 1, 3 do
      with, without, out = measure()
      if with <= 2 * math.max(without, 1) then return end
    end
    error(out)
  end)
end)
