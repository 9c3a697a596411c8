-- SPDX-License-Identifier: MIT
-- One process of the soak: `<lua> spec/soak/main.lua <seconds> <seed>`, see spec/soak/run.
--
-- Rounds of some seconds: workers run scenarios drawn at random, then all is quiet, counters are
-- compared and memory is measured, with servers and some resident connections left open. Before
-- the first round and after the last not even these are there.

local rl = require "ringlet"
local meter = require "spec.soak.meter"
local net = require "ringlet.net"
local servers = require "spec.soak.servers"

local jit, unpack = rawget(_G, "jit"), table.unpack or rawget(_G, "unpack")

local SECONDS, SEED = tonumber(arg[1]) or 600, tonumber(arg[2]) or 1
local ROUND = math.min(5, SECONDS / 8)
local WORKERS, PAUSE = 24, 0.05  -- mean pause of a worker between two scenarios
local STUCK = 30                 -- seconds a scenario may take
local SETTLE = 20                -- seconds all may take to become quiet
local RESIDENTS = 60
local REPORT = math.max(ROUND, SECONDS / 20)

-- Over the second half memory is flat when the fitted line rises by less (kB), and no sample is
-- further from another: 25 bytes of Lua's or 280 of C's that one of the scenarios leaves each time
-- are too much. The heap of malloc keeps what a peak took, and the process as a whole breathes:
-- LuaJIT maps and unmaps what it compiled. A run of less than JUDGED seconds is still warming up.
local BOUNDS = {
  {2, "Lua's heap", 64, 256}, -- the column of a sample, its name, the bounds
  {3, "malloc's heap", 768, 1536},
  {4, "the process", 2048, 4096},
}
local JUDGED = 300

local SCENARIOS = {}
for _, file in ipairs{"clients", "tasks"} do
  for name, fn in pairs(require("spec.soak." .. file)) do
    SCENARIOS[#SCENARIOS + 1] = {name = name, fn = fn, runs = 0}
  end
end
table.sort(SCENARIOS, function(a, b) return a.name < b.name end)

local started = rl.now()
local runs, expected, failures = 0, 0, 0

-- Lua 5.4 formats a float as %d only if it is whole.
local function say(format, ...)
  io.stdout:write(format:gsub("%%d", "%%.0f"):format(...), "\n")
  io.stdout:flush()
end

local function fail(what)
  failures = failures + 1
  if failures <= 20 then
    say("FAIL at %.1f s: %s", rl.now() - started, what)
  end
end

local function on_error(err, trace)
  if tostring(err):find(servers.EXPECTED, 1, true) then
    expected = expected + 1
  else
    fail(tostring(err) .. "\n" .. tostring(trace))
  end
end

local function run_scenario(scenario, addr)
  scenario.runs = scenario.runs + 1
  runs = runs + 1
  local trace
  local ok, done = xpcall(rl.timeout, function(err)
    trace = debug.traceback(tostring(err), 2)
    return err
  end, STUCK, scenario.fn, addr)
  if not ok then
    fail(scenario.name .. ": " .. tostring(done) .. "\n" .. trace)
  elseif not done then
    fail(scenario.name .. ": took longer than " .. STUCK .. " s")
  end
end

local function work(addr, till)
  while rl.now() < till do
    run_scenario(SCENARIOS[math.random(#SCENARIOS)], addr)
    rl.sleep(math.random() * 2 * PAUSE)
  end
end

-- Connections that are open all the time and used once a round.

local function open_residents(addr)
  local conns = {}
  for i = 1, RESIDENTS do
    local name = i % 3 == 0 and "task" or i % 3 == 1 and "data" or "slices"
    conns[i] = assert(net.connect(addr[name]))
  end
  return conns
end

local function use_residents(conns)
  for i, conn in ipairs(conns) do
    if not conn:write("resident ", i, "\n") or conn:read_line(100, 10) ~= "resident " .. i then
      fail "a resident connection broke"
    end
  end
end

-- Wait until nothing differs from `was`; what still does is a leak.
local function settle(was, ignored)
  local till = rl.now() + SETTLE
  local now, left
  repeat
    if jit then
      jit.flush() -- how much code is compiled just now is chance
    end
    collectgarbage()
    collectgarbage()
    now = meter.read()
    left = was and meter.difference(was, now, ignored)
    if left then
      rl.sleep(0.2)
    end
  until not left or rl.now() > till
  return now, left
end

-- The highest of each counter while the load is on.
local function watch_peak(peak, till)
  while rl.now() < till do
    rl.sleep(0.5)
    local now = meter.read()
    for name, v in pairs(now) do
      peak[name] = math.max(peak[name] or 0, v)
    end
  end
end

local function round(addr, residents, till, peak)
  rl.scope(function(s)
    s:go(use_residents, residents)
    s:go(watch_peak, peak, till)
    for _ = 1, WORKERS do
      s:go(work, addr, till)
    end
  end)
end

local function report(now, peak)
  say("%4.0f s %8d runs; quiet: tasks %d ops %d fds %d, kB: lua %d malloc %d all %d; peak: "
    .. "tasks %d ops %d fds %d", rl.now() - started, runs, now.tasks, now.ops, now.fds,
    now.lua_kb, now.heap_kb, now.rss_kb, peak.tasks or 0, peak.ops or 0, peak.fds or 0)
end

-- Between rounds helper threads wait for their end, and servers keep some workers.
local LATER = {threads = true, daemons = true}

local function rounds(addr, residents)
  local samples, peak, reported = {}, {}, rl.now()
  local till = started + SECONDS
  rl.sleep(0.5) -- for what the start left behind
  local level = settle(nil)
  repeat
    round(addr, residents, math.min(rl.now() + ROUND, till), peak)
    local now, left = settle(level, LATER)
    if left then
      fail("after a round: " .. left)
    end
    samples[#samples + 1] = {rl.now() - started, now.lua_kb, now.heap_kb, now.rss_kb}
    if rl.now() - reported >= REPORT then
      reported = rl.now()
      report(now, peak)
    end
  until rl.now() >= till
  report(meter.read(), peak)
  return samples
end

-- The verdict on memory over the second half.
local function judge(samples, column, what, rise_max, spread_max)
  local half = {}
  for _, sample in ipairs(samples) do
    if sample[1] >= SECONDS / 2 then
      half[#half + 1] = {sample[1], sample[column]}
    end
  end
  local rise, spread = meter.fit(half)
  local flat = rise <= rise_max and spread <= spread_max
  say("%s, second half, %d samples: rises %d kB (at most %d), max - min %d kB (at most %d): %s",
    what, #half, rise, rise_max, spread, spread_max,
    SECONDS < JUDGED and "too short to judge" or flat and "flat" or "NOT FLAT")
  if not flat and SECONDS >= JUDGED then
    failures = failures + 1
  end
end

local function main()
  rl.on_error(on_error)
  local before = settle(nil)
  say("before: %s", meter.text(before))
  local addr, stop = servers.start()
  local residents = open_residents(addr)
  use_residents(residents)
  local samples = rounds(addr, residents)
  for _, conn in ipairs(residents) do
    conn:close()
  end
  stop()
  local after, left = settle(before)
  say("after:  %s", meter.text(after))
  if left then
    fail("left behind: " .. left)
  end
  for _, bound in ipairs(BOUNDS) do
    judge(samples, unpack(bound))
  end
end

math.randomseed(SEED)
say("%s, %d s, seed %d, %d scenarios", jit and jit.version or _VERSION, SECONDS, SEED, #SCENARIOS)
local fds = meter.descriptors()
rl.run(main, {backend = "uring", on_overrun = function() end})
if meter.descriptors() ~= fds then
  fail(("descriptors after the run: %d, not %d"):format(meter.descriptors(), fds))
end
local words = {}
for i, scenario in ipairs(SCENARIOS) do
  words[i] = scenario.name .. " " .. scenario.runs
end
say("runs: %s; failures on purpose: %d", table.concat(words, ", "), expected)
say("%s", failures == 0 and "passed" or ("FAILED: %d failures"):format(failures))
os.exit(failures == 0 and 0 or 1, true)
