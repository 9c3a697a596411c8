-- SPDX-License-Identifier: MIT
-- Dumps: how long one of 100,000 tasks takes, and how late a ticker of 1 ms is meanwhile.

local lib = dofile((arg[0]:match "^.*/" or "") .. "lib.lua")
local rl = lib.rl
local tasks = require "ringlet.debug"

local TICK = 0.001

local function wait_deep(ch, depth)
  if depth > 0 then
    local v = wait_deep(ch, depth - 1)
    return v
  end
  return (ch:recv())
end

-- n tasks of three kinds: on one channel below a few calls, on channels of their own, asleep.
local function park(n)
  local gate, gates = rl.chan(), {}
  for i = 1, n do
    if i % 3 == 0 then
      rl.go(function() wait_deep(gate, 3) end)
    elseif i % 3 == 1 then
      gates[#gates + 1] = rl.chan()
      rl.go(function(ch) ch:recv() end, gates[#gates])
    else
      rl.go(function() rl.sleep(1000) end)
    end
  end
  rl.sleep(0.1)
end

-- Calls fn while a ticker runs: seconds of CPU, and the most of them between two ticks. CPU time,
-- because what the machine does beside this is no matter of the dump.
local function beside_ticker(fn)
  local worst, done, last = 0, false, nil
  local t = rl.go(function()
    while not done do
      local at = lib.cpu()
      worst = math.max(worst, last and at - last or 0)
      last = at
      rl.sleep(TICK)
    end
  end)
  rl.sleep(0.01)
  worst = 0
  local began = lib.cpu()
  fn()
  local seconds = lib.cpu() - began
  rl.sleep(TICK)
  done = true
  t:join()
  return seconds, worst
end

local function measure(name, fn)
  local seconds, worst = beside_ticker(fn)
  lib.report(name, seconds, "s")
  lib.report(name .. "_late", worst * 1e3, "ms")
end

--- 100,000 tasks: by stack, all of them, and as descriptions.
local function dumps()
  park(lib.scaled(100000))
  collectgarbage()
  measure("dump_none", function() rl.sleep(0.2) end)
  local text
  measure("dump", function() text = tasks.dump() end)
  lib.check(text:find "@ %[sleep", "dump")
  local bytes = 0
  measure("dump_all", function()
    tasks.dump {debug = 2, to = function(piece) bytes = bytes + #piece end}
  end)
  lib.check(bytes > lib.scaled(100000) * 50, "dump_all")
  measure("dump_list", function() tasks.tasks {stack = false} end)
  rl.stop(0)
end

lib.main {dumps = dumps}
