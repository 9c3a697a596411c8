-- SPDX-License-Identifier: MIT
-- Timers: create and cancel with a million pending, the CPU of firing, the lateness of a ticker.

local lib = dofile((arg[0]:match "^.*/" or "") .. "lib.lua")
local rl = lib.rl

local function permutation(n)
  local order = {}
  for i = 1, n do order[i] = i end
  for i = n, 2, -1 do
    local j = math.random(i)
    order[i], order[j] = order[j], order[i]
  end
  return order
end

--- Create and cancel batches of 100,000 while a million others stay pending.
local function create_cancel(pending)
  local batch, repeats = 100000, 5
  local held, extra, delays, order = {}, {}, {}, permutation(batch)
  for i = 1, pending do held[i] = rl.after(3600 + math.random() * 3600) end
  for i = 1, batch do delays[i], extra[i] = 60 + math.random() * 3600, false end
  local create, cancel = 0, 0
  for _ = 1, repeats do
    local begin = lib.wall()
    for i = 1, batch do extra[i] = rl.after(delays[i]) end
    create = create + lib.wall() - begin
    begin = lib.wall()
    for i = 1, batch do extra[order[i]]:stop() end
    cancel = cancel + lib.wall() - begin
  end
  lib.report("timer_create", create * 1e9 / (batch * repeats), "ns")
  lib.report("timer_cancel", cancel * 1e9 / (batch * repeats), "ns")
  for i = 1, pending do held[i]:stop() end
end

-- Rests until shortly before the timers are due, so that the collector has its idle time first.
local function rest_until_due(begin, lead)
  lib.check(lib.wall() - begin < lead - 0.3, "creating them took longer than their lead")
  collectgarbage()
  rl.sleep(lead - 0.2 - (lib.wall() - begin))
end

--- Timers due within one second, nobody waiting for them.
local function fire_timers(n)
  local lead, timers = 2.5, {}
  local begin = lib.wall()
  for i = 1, n do timers[i] = rl.after(lead + math.random() - (lib.wall() - begin)) end
  rest_until_due(begin, lead)
  local cpu = lib.cpu()
  rl.sleep(lead + 1.1 - (lib.wall() - begin))
  lib.report("timer_fire", (lib.cpu() - cpu) * 1e9 / n, "ns")
  for i = 1, n, 1000 do
    lib.check(rl.select({ { timers[i] } }, 0) == 1, "a timer has not fired")
  end
end

--- As many sleeping tasks; the figure includes running each to its end.
local function fire_sleepers(n)
  local lead, woken = 4, 0
  local begin = lib.wall()
  local function sleeper(due)
    rl.sleep(due - (lib.wall() - begin))
    woken = woken + 1
  end
  for _ = 1, n do rl.go(sleeper, lead + math.random()) end
  rl.yield()
  rest_until_due(begin, lead)
  local cpu = lib.cpu()
  while woken < n do rl.sleep(0.1) end
  lib.report("sleep_wake", (lib.cpu() - cpu) * 1e9 / n, "ns")
end

local function timer()
  math.randomseed(1)
  create_cancel(lib.scaled(1000000))
  collectgarbage()
  fire_timers(lib.scaled(500000))
  collectgarbage()
  fire_sleepers(lib.scaled(500000))
end

--- How late a 1 ms ticker is beside a task that computes without end. The due time of a tick is the
-- first multiple of the period after the previous wake.
local function ticker()
  if rawget(_G, "jit") then rawget(_G, "jit").off() end
  local stop, period, late = false, 0.001, {}
  local hog = rl.go(function()
    while not stop do end
  end)
  local duration, last = lib.scaled(3000) / 1000, 0
  local origin, ticks = lib.wall(), rl.ticker(period)
  local cases = { { ticks } }
  while last < duration do
    rl.select(cases)
    local at = lib.wall() - origin
    local due = (math.floor(last / period) + 1) * period
    late[#late + 1] = math.max(0, at - due) * 1000
    last = at
  end
  stop = true
  ticks:stop()
  hog:join()
  table.sort(late)
  lib.report("ticker_p50", late[math.floor(#late / 2) + 1], "ms")
  lib.report("ticker_p99", late[math.floor(#late * 0.99) + 1], "ms")
end

lib.main { timer = timer, ticker = ticker }
