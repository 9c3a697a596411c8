-- SPDX-License-Identifier: MIT
-- The leak detector: how long a shard stands still for a search, and that beside a full collection
-- of the same state. Every task waits on a channel of its own: the most there is to follow.

local lib = dofile((arg[0]:match "^.*/" or "") .. "lib.lua")
local rl = lib.rl
local leaks = require "ringlet.leaks"

local ROUNDS = 5

-- Seconds of CPU of one call, the best of some; and what it gave.
local function best(fn)
  local least, got = math.huge, nil
  for _ = 1, ROUNDS do
    local cpu = lib.cpu()
    got = fn()
    least = math.min(least, lib.cpu() - cpu)
  end
  return least, got
end

local function park(n, held)
  for i = 1, n do
    local ch = rl.chan()
    if held then held[i] = ch end
    rl.go(function() ch:recv() end)
    if i % 1000 == 0 then rl.yield() end
  end
  rl.yield()
end

local function search(name, n, held)
  park(n, held)
  local collect = best(function() collectgarbage() end)
  local first = held and 0 or #leaks.find()
  local time, list = best(leaks.find)
  lib.check(#list == 0 and first == (held and 0 or n), "a search")
  lib.report(name, time * 1e3, "ms")
  lib.report(name .. "_gc", time / collect, "collections")
  io.stdout:flush()
  os.exit(0) -- ending the tasks is no part of it
end

lib.main {
  leaks_10k = function() search("leaks_10k", 1e4, {}) end,
  leaks_100k = function() search("leaks_100k", 1e5, {}) end,
  leaks_all_100k = function() search("leaks_all_100k", 1e5) end,
}
