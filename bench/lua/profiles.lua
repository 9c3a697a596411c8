-- SPDX-License-Identifier: MIT
-- What profiles cost, and how true they are. The load is 70, 20 and 10 % of its work in three
-- functions, in chunks of some milliseconds; "_typical" is text and tables instead. Profiled and
-- unprofiled stretches alternate; the cost is the ratio of the lower quartiles of CPU time for a
-- chunk, which is long enough for a sample: so neither other processes are in it, nor what LuaJIT
-- compiles anew when a profile begins.
--
-- The error is that of the share that is off most, in points, over all samples at 99 Hz; with a
-- thousand samples chance alone makes it 1 to 2.

local lib = dofile((arg[0]:match "^.*/" or "") .. "lib.lua")
local rl = lib.rl
local profile = require "ringlet.profile"
local jit = rawget(_G, "jit")

local TURNS = 5

-- ---- loads --------------------------------------------------------------------------------------

local function hot70(n)
  local x = 1
  for i = 1, n do
    x = (x * 16807 + i) % 2147483647
  end
  return x
end

local function hot20(n)
  local x = 1
  for i = 1, n do
    x = (x * 16807 + i) % 2147483647
  end
  return x
end

local function hot10(n)
  local x = 1
  for i = 1, n do
    x = (x * 16807 + i) % 2147483647
  end
  return x
end

local function arithmetic(n)
  return function()
    hot70(7 * n)
    hot20(2 * n)
    hot10(n)
  end
end

local function encode(v)
  if type(v) == "table" then
    local out = {}
    for i = 1, #v do
      out[i] = encode(v[i])
    end
    return "[" .. table.concat(out, ",") .. "]"
  end
  return type(v) == "string" and '"' .. v .. '"' or tostring(v)
end

local function typical()
  local data = {}
  for i = 1, 50 do
    data[i] = { i, "item " .. i, { i, i + 1 } }
  end
  return function()
    for _ = 1, 200 do
      encode(data)
    end
  end
end

-- ---- measuring ----------------------------------------------------------------------------------

local function stretch(chunk, seconds, times)
  local t0 = lib.cpu()
  local now = t0
  while now - t0 < seconds do
    chunk()
    local after = lib.cpu()
    times[#times + 1] = after - now
    now = after
  end
end

local function quartile(list)
  table.sort(list)
  return list[math.floor(#list / 4) + 1]
end

-- Profiled and not, so many seconds of CPU time in all; what was counted, in one profile.
local function compare(chunk, kind, opts, seconds)
  local on, off, all = {}, {}, nil
  for _ = 1, TURNS do
    stretch(chunk, 0.1, {})
    stretch(chunk, seconds / TURNS / 2, off)
    local s = rl.check(profile.start(kind, opts))
    stretch(chunk, 0.1, {})
    stretch(chunk, seconds / TURNS, on)
    local p = s:stop()
    all = all and all:merge(p) or p
  end
  return quartile(on) / quartile(off), all
end

local function error_of(p)
  local _, all = p:total()
  local worst, want = 0, { hot70 = 70, hot20 = 20, hot10 = 10 }
  for _, entry in ipairs(p:top()) do
    if want[entry.name] then
      worst = math.max(worst, math.abs(entry.flat * 100 / all - want[entry.name]))
      want[entry.name] = nil
    end
  end
  lib.check(next(want) == nil, "a function is not in the profile")
  return worst
end

local function shares(name, n)
  local ratio, p = compare(arithmetic(n), "cpu", nil, 12)
  lib.report(name .. "_cost", ratio, "x")
  lib.report(name .. "_error", error_of(p), "points")
end

local benches = {}

function benches.profile_cpu()
  shares("profile_cpu", jit and 60000 or 20000)
end

function benches.profile_interpreted()
  if jit then
    jit.off()
  end
  shares("profile_interpreted", 20000)
end

function benches.profile_typical()
  local chunk = typical()
  lib.report("profile_typical_cost", (compare(chunk, "cpu", nil, 2)), "x")
  if jit then
    lib.report("profile_line_cost", (compare(chunk, "cpu", { detail = "line" }, 2)), "x")
  end
  lib.report("profile_alloc_cost", (compare(chunk, "alloc", nil, 2)), "x")
end

-- 100,000 tasks wait: CPU time the looks take, of each second; and the longest a look keeps the
-- shard from others.
function benches.profile_offcpu()
  local core = require "ringlet.core"
  local ch = rl.chan()
  for _ = 1, 100000 do
    rl.go(function() return (ch:recv()) end)
  end
  rl.yield()
  local look, longest = core.profile_look, 0
  core.profile_look = function(...)
    local t0 = lib.cpu()
    look(...)
    longest = math.max(longest, lib.cpu() - t0)
  end
  rl.sleep(1) -- the collector has had its idle time
  local t0 = lib.cpu()
  rl.sleep(2)
  local t1 = lib.cpu()
  rl.check(profile.offcpu { seconds = 2 })
  lib.report("profile_offcpu_cost", ((lib.cpu() - t1) - (t1 - t0)) / 2 * 100, "%")
  lib.report("profile_offcpu_look", longest * 1e6, "us")
  ch:close()
end

lib.main(benches)
