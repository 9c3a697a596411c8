-- SPDX-License-Identifier: MIT
-- Channels: unbuffered round trip, select over four, buffered streams.

local lib = dofile((arg[0]:match "^.*/" or "") .. "lib.lua")
local rl = lib.rl

--- A round trip over two unbuffered channels.
local function pingpong()
  local rounds = lib.scaled(1000000)
  lib.pingpong(math.floor(rounds / 10))
  local watch = lib.start()
  lib.pingpong(rounds)
  watch.per_op("pingpong", rounds)
end

local function produce(channel, count)
  for v = 0, count - 1 do channel:send(v) end
end

local function select_messages(capacity, messages)
  local each = math.floor(messages / 4)
  local cases = {}
  for i = 1, 4 do
    local channel = rl.chan(capacity)
    cases[i] = { channel }
    rl.go(produce, channel, each)
  end
  local sum, select_case = 0, rl.select
  for _ = 1, 4 * each do
    local _, v = select_case(cases)
    sum = sum + v
  end
  lib.check(sum == 4 * (each * (each - 1) / 2), "select")
end

--- A message received by one select over four channels, each with its own producer.
local function select_four()
  local messages = lib.scaled(2000000)
  select_messages(0, math.floor(messages / 10))
  local watch = lib.start()
  select_messages(0, messages)
  watch.per_op("select_0", messages)
  select_messages(128, math.floor(messages / 10))
  watch = lib.start()
  select_messages(128, messages)
  watch.per_op("select_128", messages)
end

local function consume(channel)
  local sum = 0
  while true do
    local v = channel:recv()
    if v == nil then return sum end
    sum = sum + v
  end
end

local function stream_messages(pairs_n, messages)
  local channel, each = rl.chan(128), math.floor(messages / pairs_n)
  local senders, receivers = {}, {}
  for p = 1, pairs_n do
    senders[p] = rl.go(produce, channel, each)
    receivers[p] = rl.go(consume, channel)
  end
  for p = 1, pairs_n do senders[p]:join() end
  channel:close()
  local sum = 0
  for p = 1, pairs_n do
    local ok, part = receivers[p]:join()
    lib.check(ok, "stream receiver")
    sum = sum + part
  end
  lib.check(sum == pairs_n * (each * (each - 1) / 2), "stream")
end

--- A message through one channel of 128, one to one and eight to eight.
local function stream()
  local messages = lib.scaled(4000000)
  stream_messages(1, math.floor(messages / 10))
  local watch = lib.start()
  stream_messages(1, messages)
  watch.per_op("stream_1x1", messages)
  stream_messages(8, math.floor(messages / 10))
  watch = lib.start()
  stream_messages(8, messages)
  watch.per_op("stream_8x8", messages)
end

lib.main { pingpong = pingpong, select = select_four, stream = stream }
