-- SPDX-License-Identifier: MIT
-- What recording costs: a thing with it and without it, by turns in the same process; the ratio is
-- of the fastest of each.

local lib = dofile((arg[0]:match "^.*/" or "") .. "lib.lua")
local rl = lib.rl
local trace = require "ringlet.trace"

local TURNS = 9

local function spawn(n)
  local list = {}
  for _ = 1, n / 100 do
    for k = 1, 100 do list[k] = rl.go(function() end) end
    for k = 1, 100 do list[k]:join() end
  end
end

local function cpu_of(fn, n)
  collectgarbage()
  local from = lib.cpu()
  fn(n)
  return lib.cpu() - from
end

-- Reports how much more fn(n) takes while `on` is in force; `on` gives what ends that.
local function compare(name, fn, n, on)
  local without, with = math.huge, math.huge
  fn(n)
  for _ = 1, TURNS do
    without = math.min(without, cpu_of(fn, n))
    local off = on()
    fn(n) -- the ring's pages are there from now on
    with = math.min(with, cpu_of(fn, n))
    off()
  end
  lib.report(name, with / without, "ratio")
  lib.report(name .. ".each", with / n * 1e9, "ns")
end

local function record()
  trace.start()
  return trace.stop
end

lib.main {
  trace = function()
    compare("trace", lib.pingpong, lib.scaled(100000), record)
    compare("trace_spawn", spawn, lib.scaled(100000), record)
    compare("trace_hook", spawn, lib.scaled(100000), function()
      local n = 0
      return rl.on("create", function() n = n + 1 end)
    end)
  end,
  trace_dump = function()
    trace.start()
    lib.pingpong(200000) -- the ring is full
    trace.stop()
    local slices, last, over = {}, lib.cpu(), false -- CPU: others may use the core
    rl.go(function()
      while not over do
        rl.yield()
        local now = lib.cpu()
        slices[#slices + 1], last = now - last, now
      end
    end)
    local snap
    local function timed(name, fn)
      slices, last = {}, lib.cpu()
      local watch = lib.start()
      fn()
      watch.total(name)
      table.sort(slices)
      lib.report(name .. ".p99", slices[math.ceil(#slices * 0.99)] * 1000, "ms")
      lib.report(name .. ".worst", slices[#slices] * 1000, "ms")
    end
    timed("trace_dump", function() snap = trace.dump() end)
    timed("trace_chrome", function() lib.check(snap:write_chrome "/dev/null", "writing") end)
    over = true
  end,
}
