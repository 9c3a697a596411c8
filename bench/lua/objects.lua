-- SPDX-License-Identifier: MIT
-- Object pools beside fresh objects. A use is what a server does with the record of a request: it
-- takes one, fills it, and lets it go when the request is answered; meanwhile others are in flight,
-- so records are stored, and no compiler can do without them. Both sides do the same with a record
-- and differ in where it comes from. The sides take turns, so that both meet the same machine.
--
-- "objects" is a record that is worth a pool: a dozen fields, two tables and a list of 64 in it. A
-- table of two fields may not be: "objects_tiny" is one that is stored as well, "objects_local" one
-- that does not leave the function that made it, which LuaJIT need not allocate.

local lib = dofile((arg[0]:match "^.*/" or "") .. "lib.lua")
local rl = lib.rl

local IN_FLIGHT, TURNS, LIST = 64, 10, 64

-- ---- a record of a request ----

local function new_record()
  return {
    id = 0, method = "", path = "", version = 0, status = 0, length = 0, started = 0, ended = 0,
    keep_alive = true, closed = false, headers = { host = "", accept = "", agent = "", type = "" },
    parameters = { user = "", page = "" },
    list = {
      0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
      0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
      0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
      0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    },
  }
end

-- Requests have different headers and parameters; all else is written by every use.
local function reset_record(x)
  rl.clear_table(x.headers)
  rl.clear_table(x.parameters)
end

local function use_record(x, i)
  x.id, x.method, x.path, x.version, x.status = i, "GET", "/index", 11, 200
  x.length, x.started, x.ended, x.keep_alive = 512, i, i + 1, i % 8 ~= 0
  local h, p, list = x.headers, x.parameters, x.list
  h.host, h.accept, h.agent, h.type = "example.org", "*/*", "bench", "text/html"
  p.user, p.page = "somebody", "first"
  list[i % LIST + 1] = i
  return list[(i + 7) % LIST + 1] + x.length
end

-- ---- a tiny one ----

local function new_pair()
  return { x = 0, y = 0 }
end

local function use_pair(x, i)
  x.x, x.y = i, i + 1
  return x.y - x.x
end

local function local_fresh(n)
  local sum = 0
  for i = 1, n do
    sum = sum + use_pair(new_pair(), i)
  end
  return sum
end

local function local_pooled()
  local pool = rl.objects { new = new_pair }
  return function(n)
    local sum = 0
    for i = 1, n do
      local x = pool:get()
      sum = sum + use_pair(x, i)
      pool:put(x)
    end
    return sum
  end
end

-- ---- the sides ----

local function fresh_uses(new, use)
  local flight = {}
  return function(n)
    local sum = 0
    for i = 1, n do
      local x = new()
      sum = sum + use(x, i)
      flight[i % IN_FLIGHT + 1] = x
    end
    return sum, #flight
  end
end

local function pooled_uses(new, use, reset)
  local pool, flight = rl.objects { new = new, reset = reset }, {}
  for i = 1, IN_FLIGHT do flight[i] = pool:get() end
  return function(n)
    local sum = 0
    for i = 1, n do
      local slot = i % IN_FLIGHT + 1
      pool:put(flight[slot])
      local x = pool:get()
      sum = sum + use(x, i)
      flight[slot] = x
    end
    return sum
  end
end

-- Bytes that n uses allocate, which are those that have to be collected.
local function bytes_of(side, n)
  local total, step = 0, 1000
  collectgarbage()
  collectgarbage "stop"
  for _ = 1, n / step do
    local before = collectgarbage "count"
    side(step)
    total = total + collectgarbage "count" - before
    collectgarbage()
    collectgarbage "stop"
  end
  collectgarbage "restart"
  return total * 1024 / n
end

local function time_of(side, n)
  local wall, cpu = lib.wall(), lib.cpu()
  side(n)
  return lib.wall() - wall, lib.cpu() - cpu
end

local function compare(name, sides)
  local n = lib.scaled(1000000 / TURNS)
  local wall, cpu, bytes = {}, {}, {}
  for which, side in pairs(sides) do
    side(n / 10)
    bytes[which] = bytes_of(side, 20000)
    wall[which], cpu[which] = 0, 0
  end
  lib.check(sides.fresh(n) == sides.pooled(n), "what came of the uses")
  for _ = 1, TURNS do
    for which, side in pairs(sides) do
      local w, c = time_of(side, n)
      wall[which], cpu[which] = wall[which] + w, cpu[which] + c
    end
  end
  for _, which in ipairs { "fresh", "pooled" } do
    lib.report(name .. "_" .. which, wall[which] * 1e9 / n / TURNS, "ns")
    lib.report(name .. "_" .. which .. ".cpu", cpu[which] * 1e9 / n / TURNS, "ns")
    lib.report(name .. "_" .. which .. ".collected", bytes[which], "B")
  end
  lib.report(name .. "_time", wall.pooled / wall.fresh, "x")
  lib.report(name .. "_cpu", cpu.pooled / cpu.fresh, "x")
  if bytes.fresh >= 1 then
    lib.report(name .. "_collected", bytes.pooled / bytes.fresh, "x")
  end
end

lib.main {
  objects = function()
    compare("objects", {
      fresh = fresh_uses(new_record, use_record),
      pooled = pooled_uses(new_record, use_record, reset_record),
    })
  end,
  objects_local = function()
    compare("objects_local", { fresh = local_fresh, pooled = local_pooled() })
  end,
  objects_tiny = function()
    compare("objects_tiny", {
      fresh = fresh_uses(new_pair, use_pair), pooled = pooled_uses(new_pair, use_pair),
    })
  end,
}
