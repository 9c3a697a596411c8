-- SPDX-License-Identifier: MIT
-- What a call costs more when it goes through a retrier, a hedger or a batcher and all is well.

local lib = dofile((arg[0]:match "^.*/" or "") .. "lib.lua")
local rl = lib.rl

local function echo(v) return v end

local function calls(policy, n)
  for i = 1, n do
    if policy:call(echo, i) ~= i then error "wrong result" end
  end
end

--- Successful calls through a policy that is kept.
local function measure(name, policy, n)
  calls(policy, n / 10)
  local watch = lib.start()
  calls(policy, n)
  watch.per_op(name, n)
end

local function retry()
  measure("retry", rl.retrier {budget = rl.retry_budget()}, lib.scaled(2000000))
end

local function hedge()
  measure("hedge", rl.hedger {delay = 1}, lib.scaled(500000))
end

local function double(list)
  local results = {}
  for i = 1, #list do results[i] = 2 * list[i] end
  return results
end

local function batches(batcher, n)
  for from = 1, n, 100 do
    local futures = {}
    for i = 1, 100 do futures[i] = batcher:submit(from + i) end
    for i = 1, 100 do
      local _, v = futures[i]:join()
      if v ~= 2 * (from + i) then error "wrong result" end
    end
  end
end

--- An item submitted and joined, 100 of them in a call.
local function batcher()
  local b, n = rl.batcher {fn = double, size = 100}, lib.scaled(2000000)
  batches(b, n / 10)
  local watch = lib.start()
  batches(b, n)
  watch.per_op("batcher", n)
end

lib.main {retry = retry, hedge = hedge, batcher = batcher}
