-- SPDX-License-Identifier: MIT
-- Metrics: a scrape beside 10,000 tasks with 10,000 series, and what the program's own cost.
-- Usage: metrics.lua scrape|counter

local lib = dofile((arg[0]:match "^.*/" or "") .. "lib.lua")
local metrics = require "ringlet.metrics"
local rl = lib.rl

local TASKS, SERIES = 10000, 10000

-- A task that wants to run each millisecond: the most that it was late, in seconds of processor
-- time of this process, which is alone on its core here but for what else the machine does.
local function ticker()
  local t = {worst = 0, on = true}
  t.task = rl.go(function()
    local last = lib.cpu()
    while t.on do
      rl.yield()
      local now = lib.cpu()
      t.worst = math.max(t.worst, now - last)
      last = now
    end
  end)
  return t
end

local function median(list)
  table.sort(list)
  return list[math.ceil(#list / 2)]
end

local function scrape()
  local family = metrics.counter("bench_orders_total", {help = "Orders.", labels = {"kind", "id"}})
  for i = 1, SERIES do
    family:with("book", i):add(i)
  end
  local gate = rl.event()
  for i = 1, TASKS do
    local task = rl.go(gate.wait, gate)
    if i % 100 == 0 then
      task:label("type", "t" .. i / 100)
    end
  end
  rl.yield()
  local times, stalls, bytes = {}, {}, 0
  for i = 1, lib.scaled(30) do
    local t = ticker()
    rl.yield()
    local from = lib.cpu()
    bytes = 0
    metrics.write(function(text) bytes = bytes + #text end)
    times[i] = lib.cpu() - from
    t.on = false
    t.task:join()
    stalls[i] = t.worst
  end
  lib.check(bytes > 300000, "bytes of a scrape")
  gate:set()
  lib.report("scrape", median(times) * 1e3, "ms")
  lib.report("scrape_stall", median(stalls) * 1e3, "ms")
end

local function counter()
  local n = lib.scaled(20000000)
  local one = metrics.counter("bench_adds_total", {labels = {"kind"}}):with "a"
  local watch = lib.start()
  for _ = 1, n do
    one:add()
  end
  watch.per_op("counter_add", n)
  lib.check(one:value() == n, "adds")
  local seconds = metrics.histogram("bench_seconds", {labels = {"kind"}}):with "a"
  n = lib.scaled(3000000)
  watch = lib.start()
  for i = 1, n do
    seconds:observe(i % 1000 / 1000)
  end
  watch.per_op("histogram_observe", n)
  lib.check(seconds:value().count == n, "observations")
end

rl.run(({scrape = scrape, counter = counter})[arg[1]])
