-- SPDX-License-Identifier: MIT
-- Limiters: what asking costs, where most calls are let through and where most are refused.

local lib = dofile((arg[0]:match "^.*/" or "") .. "lib.lua")
local rl = lib.rl

local NEVER, ENDLESS = 1e-3, 1e9

-- Limiters that let every call through, and none after the first ones.
local RATES = {
  {"token_bucket", {rate = 1e6, burst = ENDLESS}, {rate = NEVER}},
  {"gcra", {kind = "gcra", rate = 1e6, burst = ENDLESS}, {kind = "gcra", rate = NEVER}},
  {"sliding_window", {kind = "sliding_window", limit = 1000, window = 1e-9},
    {kind = "sliding_window", limit = 1000, window = 1000}},
  {"two_counters", {kind = "sliding_window", limit = ENDLESS, window = 1, approximate = true},
    {kind = "sliding_window", limit = 1000, window = 1000, approximate = true}},
  {"shared", {kind = "gcra", rate = 1e6, burst = ENDLESS, scope = "shared"},
    {kind = "gcra", rate = NEVER, scope = "shared"}},
}

-- A loop of its own for each measurement, as a program has a place of its own for each limiter:
-- what was compiled for one kind would be in the way of another.
local function loop(what)
  local source = "local limiter, n, keys = ... for i = 1, n do local _ = i " .. what .. " end"
  return assert((rawget(_G, "loadstring") or load)(source, "@bench/lua/limiters.lua"))
end

local ASK, ASK_AND_END = "limiter:allow()", "limiter:allow()(true)"

local function measure(name, what, limiter, n, keys)
  local fn = loop(what)
  fn(limiter, n / 10, keys)
  collectgarbage()
  local watch = lib.start()
  fn(limiter, n, keys)
  watch.per_op(name, n)
  rl.yield()
end

local function rates(n)
  for _, item in ipairs(RATES) do
    measure("limiter_" .. item[1], ASK, rl.limiter(item[2]), n)
    measure("limiter_" .. item[1] .. "_refused", ASK, rl.limiter(item[3]), n)
  end
end

-- A permit is asked for and given back.
local function concurrency(n)
  for _, algorithm in ipairs {"fixed", "aimd", "gradient"} do
    local opts = {kind = "concurrency", algorithm = algorithm}
    opts[algorithm == "fixed" and "limit" or "initial"] = 20
    local limiter = rl.limiter(opts)
    measure("limiter_" .. algorithm, ASK_AND_END, limiter, n)
    for _ = 1, 1000 do limiter:allow() end
    measure("limiter_" .. algorithm .. "_refused", ASK, limiter, n)
  end
end

local function of_keys(n)
  local limiter, keys = rl.limiter {rate = 1, burst = ENDLESS}, {}
  for i = 1, 1000 do keys[i] = "192.0.2." .. i end
  measure("limiter_key", "limiter:of(keys[i % 1000 + 1]):allow()", limiter, n, keys)
end

local function limiter()
  local n = lib.scaled(rawget(_G, "jit") and 2e6 or 5e5)
  rates(n)
  concurrency(n)
  of_keys(n)
end

lib.main {limiter = limiter}
