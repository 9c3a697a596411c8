-- SPDX-License-Identifier: MIT
-- Shards: what two cores are worth, what stealing gives, a job's round trip, a sleeping shard's
-- wake. Each run is its own rl.run; these programs use all cores.

local lib = dofile((arg[0]:match "^.*/" or "") .. "lib.lua")
local rl = lib.rl

-- Computes for about n steps; travels.
local function burn(n)
  local x = 0
  for i = 1, n do
    x = (x + i * 7) % 1000003
  end
  return x
end

-- n costs, Pareto distributed (alpha 1.5), the same in every run.
local function pareto_costs(n, least)
  local costs, seed = {}, 42
  for i = 1, n do
    seed = seed * 16807 % 2147483647
    costs[i] = math.floor(math.min(least / (seed / 2147483647) ^ (1 / 1.5), least * 300))
  end
  return costs
end

-- Wall time of all costs as jobs, each submitted by the first shard.
local function run_jobs(shards, costs)
  return rl.run(function()
    for i = 1, shards * 20 do rl.spawn_on((i - 1) % shards + 1, burn, 200000):join() end
    local began, futures = lib.wall(), {}
    for i, cost in ipairs(costs) do futures[i] = rl.spawn(burn, cost) end
    for _, f in ipairs(futures) do lib.check(f:join(), "pareto") end
    return lib.wall() - began
  end, {shards = shards})
end

--- 2,000 jobs whose costs differ a lot: time on two shards, of that on one.
local function pareto()
  local costs = pareto_costs(lib.scaled(2000), rawget(_G, "jit") and 60000 or 15000)
  local one, two = run_jobs(1, costs), run_jobs(2, costs)
  lib.report("pareto", two / one, "x")
  lib.report("pareto.one", one * 1e3, "ms")
end

-- Jobs of one cost arrive in waves, as many as keep both cores busy for 95 % of the time; `share`
-- of them are submitted by a task of the first shard, the others by one of the second. Wall time,
-- mean latency, CPU time.
local WAVE, LOAD = 0.004, 0.95

local function submit(count, steps, each_wave, pause)
  local rl = require "ringlet" -- luacheck: ignore 431
  local total, begun, sent = 0, rl.now(), 0
  rl.scope(function(s)
    for wave = 1, math.ceil(count / each_wave) do
      for _ = sent + 1, math.min(count, math.floor(wave * each_wave + 0.5)) do
        local f, at = rl.spawn(burn, steps), rl.now()
        s:go(function()
          assert(f:join())
          total = total + rl.now() - at
        end)
        sent = sent + 1
      end
      rl.sleep(begun + wave * pause - rl.now())
    end
  end)
  return total
end

local function run_share(share, stealing, n, cost)
  local mine = math.floor(n * share + 0.5)
  return rl.run(function()
    for i = 1, 40 do rl.spawn_on(i % 2 + 1, burn, 200000):join() end
    local before = lib.cpu()
    for _ = 1, 20 do burn(cost) end
    local waves = 2 * WAVE * LOAD / ((lib.cpu() - before) / 20)
    local began, cpu = lib.wall(), lib.cpu()
    local other = rl.spawn_on(2, submit, n - mine, cost, waves * (1 - share), WAVE)
    local total = submit(mine, cost, waves * share, WAVE)
    local _, more = other:join()
    return lib.wall() - began, (total + more) / n, lib.cpu() - cpu
  end, {shards = 2, stealing = stealing})
end

--- Stealing on and off: 90 % of the jobs in one place, and spread evenly.
local function steal()
  local n, cost = lib.scaled(4000), rawget(_G, "jit") and 60000 or 15000
  local time_on, latency_on = run_share(0.9, true, n, cost)
  local time_off, latency_off = run_share(0.9, false, n, cost)
  lib.report("steal_time", time_on / time_off, "x")
  lib.report("steal_latency", latency_on / latency_off, "x")
  local _, _, even_on = run_share(0.5, true, n, cost)
  local _, _, even_off = run_share(0.5, false, n, cost)
  lib.report("steal_even", even_on / even_off, "x")
end

local function echo_job(v) return v end

--- A small job's round trip, 64 in flight, on two shards and on one: CPU of the process each.
local function job()
  for _, shards in ipairs {2, 1} do
    rl.run(function()
      local each = math.floor(lib.scaled(200000) / 64)
      local function rounds(n)
        rl.scope(function(s)
          for _ = 1, 64 do
            s:go(function()
              for i = 1, n do
                local _, v = rl.spawn(echo_job, i):join()
                lib.check(v == i, "job")
              end
            end)
          end
        end)
      end
      rounds(math.floor(each / 10))
      local cpu, wall = lib.cpu(), lib.wall()
      rounds(each)
      local n = each * 64
      local suffix = shards == 1 and ".alone" or ""
      lib.report("job" .. suffix, (lib.cpu() - cpu) * 1e9 / n, "ns")
      lib.report("job.wall" .. suffix, (lib.wall() - wall) * 1e9 / n, "ns")
    end, {shards = shards})
  end
end

-- Send n values from the second shard to the first; wall time.
local function stream(n, capacity, value)
  local ch = require "ringlet.shared".chan(capacity)
  local began = lib.wall()
  local sender = rl.spawn_on(2, function(to, count, v)
    for i = 1, count do to:send(v or i) end
    to:close()
  end, ch, n, value)
  local got = 0
  while ch:recv() ~= nil do got = got + 1 end
  lib.check(got == n and sender:join(), "xchan")
  return lib.wall() - began
end

--- A shared channel between two shards: small numbers, and strings of 64 bytes.
local function xchan()
  rl.run(function()
    local n, text = lib.scaled(2000000), ("x"):rep(64)
    stream(n / 10, 1024)
    lib.report("xchan", stream(n, 1024) * 1e9 / n, "ns")
    stream(n / 10, 1024, text)
    lib.report("xchan_text", stream(n, 1024, text) * 1e9 / n, "ns")
  end, {shards = 2})
end

--- A message to a shard that sleeps, and one back, as futures of jobs given to it: round trip.
local function wake()
  rl.run(function()
    local n = lib.scaled(5000)
    for _ = 1, n / 10 do rl.spawn_on(2, echo_job, 1):join() end
    local began = lib.wall()
    for _ = 1, n do rl.spawn_on(2, echo_job, 1):join() end
    lib.report("wake", (lib.wall() - began) * 1e9 / n, "ns")
  end, {shards = 2, pin = {0, 1}})
end

lib.choose {pareto = pareto, steal = steal, job = job, wake = wake, xchan = xchan}()
