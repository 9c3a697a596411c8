-- SPDX-License-Identifier: MIT
-- Pools of all shards: what a place in one costs, beside jobs that need none.

local lib = dofile((arg[0]:match "^.*/" or "") .. "lib.lua")
local rl = lib.rl

local SIZE = 2

local function nothing() end

-- Computes for about n steps; travels.
local function burn(n)
  local x = 0
  for i = 1, n do
    x = (x + i * 7) % 1000003
  end
  return x
end

-- Submit n jobs, then join them all: wall time.
local function run(submit, n, fn, arg_)
  local began, futures = lib.wall(), {}
  for i = 1, n do
    futures[i] = submit(fn, arg_)
  end
  for i = 1, n do
    lib.check(futures[i]:join(), "pool_shared")
  end
  return lib.wall() - began
end

local function compare(name, n, fn, arg_)
  local pool = rl.pool {scope = "shared", size = SIZE, queue = math.huge}
  local function through_pool(...)
    return pool:submit(...)
  end
  run(through_pool, n / 10, fn, arg_)
  run(rl.spawn, n / 10, fn, arg_)
  local pooled, plain = run(through_pool, n, fn, arg_), run(rl.spawn, n, fn, arg_)
  lib.report(name, pooled / plain, "x")
  lib.report(name .. ".pooled", pooled * 1e9 / n, "ns")
  lib.report(name .. ".plain", plain * 1e9 / n, "ns")
  lib.check(pool:stats().done == math.floor(n) + math.floor(n / 10), "pool_shared: done")
end

-- As many steps as take about that many seconds.
local function steps_of(seconds)
  local n = 1000000
  burn(n)
  local began = lib.cpu()
  burn(n)
  return math.floor(n * seconds / (lib.cpu() - began))
end

--- 100,000 small jobs, and 200 that compute for a millisecond, on two shards.
local function pool_shared()
  rl.run(function()
    compare("pool_shared", lib.scaled(100000), nothing)
    compare("pool_shared_busy", lib.scaled(200), burn, steps_of(0.001))
  end, {shards = 2})
end

lib.choose {pool_shared = pool_shared}()
