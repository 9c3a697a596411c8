-- SPDX-License-Identifier: MIT
-- A service that is slow, and how metrics and a profile show what makes it so.
--
--   luajit examples/faults/slow.lua
--
-- The fault: one request in ten joins its lines one by one, which copies all of them each time: it
-- computes for long, and every other request waits for its turn. See docs/guide/looking-inside.md

local rl = require "ringlet"
local metrics = require "ringlet.metrics"
local profile = require "ringlet.profile"

local function page(i)
  return "line " .. i
end

local function report()
  local text = ""
  for i = 1, 4000 do
    text = text .. page(i) .. "\n"       -- the fault: table.concat would copy each line once
  end
  return text
end

local latency = metrics.histogram("request_seconds", {help = "Of requests.", labels = {"path"}})

local function request(path, due)
  if path == "/report" then
    report()
  else
    page(1)
  end
  latency:with(path):observe(rl.now() - due)
end

local function serve(stop)
  for i = 1, math.huge do
    if stop.now then break end
    rl.go(request, i % 10 == 0 and "/report" or "/page", rl.now())
    rl.sleep(0.001)
  end
end

rl.run(function()
  local stop = {}
  local load = rl.go(serve, stop)
  local found = rl.check(profile.cpu {seconds = 1})
  stop.now = true
  load:join()
  for _, s in ipairs(metrics.read {"request_seconds"}:series "request_seconds") do
    print(("%-8s p50 %.1f ms, p99 %.1f ms"):format(s.labels.path, 1e3 * s.value:quantile(0.5),
      1e3 * s.value:quantile(0.99)))
  end
  io.write(found:text())
end)
