-- SPDX-License-Identifier: MIT
-- A service that leaks, and how the leak detector names who and where.
--
--   luajit examples/faults/leaks.lua
--
-- The fault: of three answers one is read, and the other two can never be sent: their tasks wait
-- for ever. See docs/guide/looking-inside.md

local rl = require "ringlet"
local leaks = require "ringlet.leaks"
local metrics = require "ringlet.metrics"

local function fastest()
  local answers = rl.chan()              -- the fault: rl.chan(3) would have room for all of them
  for mirror = 1, 3 do
    rl.go(function()
      rl.sleep(mirror / 1000)
      answers:send(mirror)
    end):name("mirror " .. mirror)
  end
  return answers:recv()
end

rl.run(function()
  for _ = 1, 5 do
    fastest()
    rl.sleep(0.01)
    print("live tasks", metrics.read {"/tasks/live"} ["/tasks/live"])
  end
  local list = leaks.find()
  print(#list .. " leaked")
  io.write(leaks.text({list[1]}))
  leaks.find {reclaim = true}
  rl.sleep(0.01)
  print("live tasks", metrics.read {"/tasks/live"} ["/tasks/live"])
end, {debug = true})
