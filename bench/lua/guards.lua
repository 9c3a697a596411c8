-- SPDX-License-Identifier: MIT
-- Breakers: what a call pays that is let in, and one that is refused.

local lib = dofile((arg[0]:match "^.*/" or "") .. "lib.lua")
local rl = lib.rl

local function let_in(name, count, breakers)
  local n, of = lib.scaled(count), #breakers
  for i = 1, 1000 do breakers[i % of + 1]:allow()(true) end
  local watch = lib.start()
  for i = 1, n do
    local done = breakers[i % of + 1]:allow()
    done(true)
  end
  watch.per_op(name, n)
  lib.check(breakers[1]:state() == "closed", "a breaker that opened")
end

local function refused(name, count, breaker)
  breaker:trip("bench", math.huge)
  local n, let = lib.scaled(count), 0
  local watch = lib.start()
  for _ = 1, n do
    if breaker:allow() then let = let + 1 end
  end
  watch.per_op(name, n)
  lib.check(let == 0, "an open breaker that let somebody in")
end

local function called(name, count, breaker)
  local function fn(x) return x end
  local n, sum = lib.scaled(count), 0
  local watch = lib.start()
  for i = 1, n do sum = sum + breaker:call(fn, i) end
  watch.per_op(name, n)
  lib.check(sum == n * (n + 1) / 2, "the results of calls")
end

-- A hundred of them, as a client has one for each host.
local function many(opts)
  local list = {}
  for i = 1, 100 do list[i] = rl.breaker(opts) end
  return list
end

local RATE = { rate = 0.5, window = 30 }

lib.main {
  breaker = function() let_in("breaker", 5e6, { rl.breaker() }) end,
  breaker_rate = function() let_in("breaker_rate", 5e6, { rl.breaker(RATE) }) end,
  breaker_many = function() let_in("breaker_many", 5e6, many(RATE)) end,
  breaker_slow = function() let_in("breaker_slow", 1e6, { rl.breaker { slow_after = 1 } }) end,
  breaker_shared = function()
    let_in("breaker_shared", 5e5, { rl.breaker { scope = "shared" } })
  end,
  breaker_refused = function() refused("breaker_refused", 5e6, rl.breaker()) end,
  breaker_call = function() called("breaker_call", 5e6, rl.breaker()) end,
  admission = function() let_in("admission", 5e6, { rl.admission() }) end,
}
