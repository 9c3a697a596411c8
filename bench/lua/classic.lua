-- SPDX-License-Identifier: MIT
-- The classic task benchmarks: thread ring, prime sieve, skynet.

local lib = dofile((arg[0]:match "^.*/" or "") .. "lib.lua")
local rl = lib.rl

local function ring_member(id, input, output, finished)
  while true do
    local token = input:recv()
    if token == nil then return end
    if token == 0 then finished:send(id) else output:send(token - 1) end
  end
end

--- A token passed 5,000,000 times around 503 tasks over unbuffered channels.
local function ring()
  local size, hops = 503, lib.scaled(5000000)
  local links, tasks, finished = {}, {}, rl.chan()
  for i = 1, size do links[i] = rl.chan() end
  for i = 1, size do
    tasks[i] = rl.go(ring_member, i, links[i], links[i % size + 1], finished)
  end
  local watch = lib.start()
  links[1]:send(hops)
  local winner = finished:recv()
  watch.total("ring")
  lib.check(winner == hops % size + 1, "ring")
  for i = 1, size do links[i]:close() end
  for i = 1, size do tasks[i]:join() end
end

local function generate(output)
  local i = 2
  while true do
    output:send(i)
    i = i + 1
  end
end

local function filter(input, output, prime)
  while true do
    local i = input:recv()
    if i % prime ~= 0 then output:send(i) end
  end
end

--- 2000 primes with one task for each; the tasks never end, so they are daemons.
local function sieve()
  local n = lib.scaled(2000)
  local watch = lib.start()
  local input, prime = rl.chan(), nil
  rl.daemon(generate, input)
  for _ = 1, n do
    prime = input:recv()
    local output = rl.chan()
    rl.daemon(filter, input, output, prime)
    input = output
  end
  watch.total("sieve")
  lib.check(n ~= 2000 or prime == 17389, "sieve")
end

local function skynet_node(output, number, size)
  if size == 1 then
    output:send(number)
    return
  end
  local results, child, sum = rl.chan(), size / 10, 0
  for i = 0, 9 do rl.go(skynet_node, results, number + i * child, child) end
  for _ = 1, 10 do sum = sum + results:recv() end
  output:send(sum)
end

--- The sum of a tree of tasks, ten children each, with a million leaves.
local function skynet()
  local leaves = lib.scaled(10) < 10 and 100000 or 1000000
  local watch = lib.start()
  local result = rl.chan()
  rl.go(skynet_node, result, 0, leaves)
  local sum = result:recv()
  watch.total("skynet")
  lib.check(sum == leaves * (leaves - 1) / 2, "skynet")
end

lib.main { ring = ring, sieve = sieve, skynet = skynet }
