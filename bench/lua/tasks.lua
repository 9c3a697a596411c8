-- SPDX-License-Identifier: MIT
-- Tasks: spawn and join, a million at once, the memory of a parked one, the switch.

local lib = dofile((arg[0]:match "^.*/" or "") .. "lib.lua")
local rl = lib.rl

local function noop() end

local function spawn_batch(tasks, n)
  for i = 1, n do tasks[i] = rl.go(noop) end
  for i = 1, n do tasks[i]:join() end
end

--- Spawn and join in batches of 1000.
local function spawn_join()
  local batch, batches, tasks = 1000, lib.scaled(1000), {}
  for _ = 1, math.max(1, math.floor(batches / 10)) do spawn_batch(tasks, batch) end
  local watch = lib.start()
  for _ = 1, batches do spawn_batch(tasks, batch) end
  watch.per_op("spawn_join", batches * batch)
end

local function scope_batch(s)
  for _ = 1, 1000 do s:go(noop) end
end

--- The same batches, joined by leaving a scope.
local function spawn_scope()
  local batch, batches = 1000, lib.scaled(1000)
  for _ = 1, math.max(1, math.floor(batches / 10)) do rl.scope(scope_batch) end
  local watch = lib.start()
  for _ = 1, batches do rl.scope(scope_batch) end
  watch.per_op("spawn_scope", batches * batch)
end

--- A million tasks spawned before the first is joined.
local function spawn_1m()
  local n = lib.scaled(1000000)
  local watch = lib.start()
  spawn_batch({}, n)
  watch.per_op("spawn_1m", n)
end

--- Resident memory of a million tasks, each parked on one channel.
local function parked()
  local n = lib.scaled(1000000)
  local gate, ready, done = rl.chan(), 0, 0
  local function wait_at_gate()
    ready = ready + 1
    gate:recv()
    done = done + 1
  end
  rl.go(noop):join()
  local before = lib.resident()
  for _ = 1, n do rl.go(wait_at_gate) end
  while ready < n do rl.yield() end
  rl.yield()
  lib.report("parked", (lib.resident() - before) / n, "B")
  gate:close()
  while done < n do rl.yield() end
end

local function yield_among(count, total)
  local tasks, yield = {}, rl.yield
  local function spin()
    for _ = 1, math.floor(total / count) do yield() end
  end
  for i = 1, count do tasks[i] = rl.go(spin) end
  for i = 1, count do tasks[i]:join() end
end

--- One yield with 2 and with 1000 runnable tasks.
local function yield()
  local total = lib.scaled(4000000)
  yield_among(1000, math.floor(total / 10))
  local watch = lib.start()
  yield_among(2, total)
  watch.per_op("yield_2", total)
  watch = lib.start()
  yield_among(1000, total)
  watch.per_op("yield_1000", total)
end

lib.main {
  spawn_join = spawn_join,
  spawn_scope = spawn_scope,
  spawn_1m = spawn_1m,
  parked = parked,
  yield = yield,
}
