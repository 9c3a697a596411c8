-- SPDX-License-Identifier: MIT
-- Routers: the time of a lookup among 10 nodes with the call from Lua, which keys move from 10 to
-- 11, the balance of a ring. Each kind is a bench of its own: LuaJIT compiles a lookup for the kind
-- it has seen, and a program has one, not six after each other.

local lib = dofile((arg[0]:match "^.*/" or "") .. "lib.lua")
local router = require "ringlet.router"

local NODES, KEYS = 10, 1024

local function names_of(n)
  local names = {}
  for i = 1, n do names[i] = ("node-%d"):format(i) end
  return names
end

-- Strings of 16 bytes.
local function keys_of(n)
  local keys = {}
  for i = 1, n do keys[i] = ("user:%011d"):format(i) end
  return keys
end

local function lookups(name, r)
  local n, keys, sum = lib.scaled(5000000), keys_of(KEYS), 0
  for i = 1, 1000 do sum = sum + r:get(keys[i % KEYS + 1]) + r:get(i) end
  local watch = lib.start()
  for i = 1, n do sum = sum + r:get(keys[i % KEYS + 1]) end
  watch.per_op(name, n)
  watch = lib.start()
  for i = 1, n do sum = sum + r:get(i) end
  watch.per_op(name .. "_int", n)
  lib.check(sum > 2 * n and sum < 2 * n * NODES, "the nodes that were found")
end

-- A call into C with a string that is hashed, without a lookup: the floor of those with one.
local function hash()
  local n, keys, sum = lib.scaled(5000000), keys_of(KEYS), 0
  local position = router.hash
  for i = 1, 1000 do sum = sum + position(keys[i % KEYS + 1]) end
  local watch = lib.start()
  for i = 1, n do sum = sum + position(keys[i % KEYS + 1]) end
  watch.per_op("router_hash", n)
  lib.check(sum > 0, "positions")
end

local function moved(kind, keys)
  local ten = router.new(kind, names_of(NODES))
  local eleven, count = ten:with(names_of(NODES + 1)), 0
  for i = 1, #keys do
    if ten:get(keys[i]) ~= eleven:get(keys[i]) then count = count + 1 end
  end
  lib.report("router_moved_" .. kind, 100 * count / #keys, "%")
end

-- One standard deviation of the nodes' shares of the keys, by their mean.
local function imbalance(keys)
  local r, counts, squares = router.ring(NODES), {}, 0
  for i = 1, NODES do counts[i] = 0 end
  for i = 1, #keys do
    local node = r:get(keys[i])
    counts[node] = counts[node] + 1
  end
  for i = 1, NODES do squares = squares + (counts[i] * NODES / #keys - 1) ^ 2 end
  lib.report("router_imbalance", 100 * math.sqrt(squares / NODES), "%")
end

local function balance()
  local keys = keys_of(1000000)
  for _, kind in ipairs { "mod", "ring", "jump", "maglev", "rendezvous" } do moved(kind, keys) end
  imbalance(keys)
end

local benches = { router_hash = hash, router_balance = balance }
for _, kind in ipairs { "mod", "ring", "jump", "maglev", "rendezvous", "bounded" } do
  benches["router_" .. kind] = function() lookups("router_" .. kind, router.new(kind, NODES)) end
end

lib.main(benches)
