-- SPDX-License-Identifier: MIT
-- Pools: a million tasks that do nothing but tell a waitgroup, through a pool of 100 and of 2.

local lib = dofile((arg[0]:match "^.*/" or "") .. "lib.lua")
local rl = lib.rl

-- The most memory that was ever resident, as the kernel counts it.
local function peak_kib()
  local file = assert(io.open "/proc/self/status")
  local kib = file:read("*a"):match "VmHWM:%s*(%d+)"
  file:close()
  return tonumber(kib)
end

local function submit_all(pool, n)
  local left = rl.waitgroup()
  left:add(n)
  local function task() left:done() end
  for _ = 1, n do pool:submit(task) end
  left:wait()
end

--- Submitting parks while all workers are busy; nothing waits in a queue.
local function through(name, size)
  local n = lib.scaled(1000000)
  local pool = rl.pool {size = size}
  submit_all(pool, n / 10)
  local watch = lib.start()
  submit_all(pool, n)
  watch.per_op(name, n)
  lib.report(name .. ".rss", peak_kib(), "KiB")
  lib.check(pool:stats().done == n + n / 10, "tasks done")
  pool:close()
end

lib.main {
  pool_100 = function() through("pool_100", 100) end,
  pool_2 = function() through("pool_2", 2) end,
}
