-- SPDX-License-Identifier: MIT
-- A service that hangs, and how a dump of its tasks shows why.
--
--   luajit examples/faults/hangs.lua
--
-- The fault: two kinds of tasks take the same two locks in opposite order. The timer goes on, so
-- the runtime sees no deadlock: the service lives, and does nothing. The story is in
-- docs/guide/looking-inside.md.

local rl = require "ringlet"
local tasks = require "ringlet.debug"

local stock, ledger = rl.mutex(), rl.mutex()

local function sell()
  stock:lock()
  rl.sleep(0.01)
  ledger:lock()                          -- the fault: who restocks has it, and wants the other
  ledger:unlock()
  stock:unlock()
end

local function restock()
  ledger:lock()
  rl.sleep(0.01)
  stock:lock()
  stock:unlock()
  ledger:unlock()
end

rl.run(function()
  for _ = 1, 20 do
    rl.go(sell):label("type", "order")
  end
  rl.go(restock):name "restock"
  rl.sleep(0.2)
  io.write(tasks.dump())
  rl.stop(0)
end)
