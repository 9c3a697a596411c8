-- SPDX-License-Identifier: MIT
-- Runs of two shards, one after the other, that end in each way there is: every thread, descriptor
-- and byte of a run goes with it. `<lua> spec/soak/rounds.lua`; RINGLET_ROUNDS (200) is how many.

local rl = require "ringlet"
local meter = require "spec.soak.meter"

local ROUNDS = tonumber(os.getenv "RINGLET_ROUNDS") or 200
local RISE_MAX = 1024 -- kB over the second half: 10 for each run, of 100
local PARTS = 10

-- Each is given the number of the round, and true if its run is to raise.
local ENDS = {
  {"with results", false, function(i)
    local any, there = rl.spawn(function(a, b) return a + b end, i, 1),
      rl.spawn_on(2, function(t) return #t end, {1, 2, 3})
    assert(select(2, any:join()) == i + 1)
    assert(select(2, there:join()) == 3)
  end},
  {"with jobs that nobody waits for", false, function()
    for k = 1, 50 do
      rl.spawn(function(n) return ("x"):rep(n) end, k)
    end
  end},
  {"with an error", true, function()
    local f = rl.spawn_on(2, function() error "expected" end)
    local ok, err = f:join()
    assert(not ok)
    error(err, 0)
  end},
  {"stopped", false, function()
    rl.spawn_on(2, function()
      require "ringlet".sleep(1000)
    end)
    rl.sleep(0.001)
    rl.stop(0)
    rl.sleep(1000)
  end},
  {"in a deadlock", true, function()
    rl.spawn_on(2, function()
      local chan = require "ringlet".chan()
      chan:recv()
    end):join()
  end},
}

local failures = 0

local function fail(...)
  failures = failures + 1
  print("FAIL " .. table.concat({...}, ": "))
end

local function one(i)
  local how = ENDS[(i - 1) % #ENDS + 1]
  local ok, err = pcall(rl.run, how[3], {shards = 2}, i)
  if ok == how[2] then
    fail(how[1], tostring(err))
  end
end

local function read()
  if rawget(_G, "jit") then
    rawget(_G, "jit").flush()
  end
  collectgarbage()
  collectgarbage()
  return meter.read()
end

local function main()
  local started, half = rl.now(), nil
  local now
  for i = 1, ROUNDS do
    one(i)
    if i % math.max(1, math.floor(ROUNDS / PARTS)) == 0 then
      now = read()
      half = half or i * 2 >= ROUNDS and now or nil
      print(("%5.0f runs, %5.2f ms each: threads %d, fds %d, kB: lua %.0f, all %d"):format(i,
        (rl.now() - started) * 1000 / i, now.threads, now.fds, now.lua_kb, now.rss_kb))
    end
  end
  for _, name in ipairs{"threads", "fds"} do
    if now[name] ~= half[name] then
      fail(name, half[name] .. " after half of the runs", now[name] .. " after all")
    end
  end
  if now.rss_kb - half.rss_kb > RISE_MAX then
    fail("memory", half.rss_kb .. " kB after half of the runs", now.rss_kb .. " kB after all")
  end
  os.exit(failures == 0)
end

rl.on_error(function() end)
main()
