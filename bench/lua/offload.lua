-- SPDX-License-Identifier: MIT
-- Offload: calls on helper threads, a string there and a string back.

local lib = dofile((arg[0]:match "^.*/" or "") .. "lib.lua")
local rl = lib.rl

local function echo(s) return s end

--- One call after another from each of 64 tasks, on as many helper threads.
local function calls(tasks, threads, n)
  local pool = rl.offload_pool {max_threads = threads}
  local each = math.floor(n / tasks)
  rl.scope(function(s)
    for _ = 1, tasks do
      s:go(function()
        for _ = 1, each do pool:run(echo, "a string of 24 bytes....") end
      end)
    end
  end)
  pool:close()
end

local function offload()
  local n = lib.scaled(200000)
  calls(64, 2, n / 10)
  local watch = lib.start()
  calls(64, 2, n)
  watch.per_op("offload", n)
end

local function offload_1()
  local n = lib.scaled(20000)
  calls(1, 1, n / 10)
  local watch = lib.start()
  calls(1, 1, n)
  watch.per_op("offload_1", n)
end

lib.main {offload = offload, offload_1 = offload_1}
