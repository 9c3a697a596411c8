-- SPDX-License-Identifier: MIT
-- top_reading: two readings of a shop that does not exist, as `ringlet top` has them: for the specs
-- of its pictures, and for the one in the docs.

local M = {}

local function total(t)
  local all = {
    live = 10213, running = 2, runnable = 14, waiting = 10197, created = 90000, finished = 79787,
    turns = 500000, parks = 1000000, preemptions = 20, overruns = 0, steals = 40,
    connections = 1002, received = 2 ^ 30, sent = 2 ^ 31, operations = 7e6, syscalls = 31000,
    timers = 312, threads = 3, heap = 123 * 2 ^ 20, cpu = 61.5, stalled = 0,
  }
  for k, v in pairs(t) do
    all[k] = v
  end
  return all
end

local function frame(name, file, line)
  return {name = name, file = file, line = line, defined = line - 2, what = "Lua"}
end

local RECV = {name = "recv", file = "lua/ringlet/chan.lua", line = 120, defined = 100, what = "Lua",
  library = true}
local TAKE = {RECV, frame("take", "shop/orders.lua", 41), frame("worker", "shop/orders.lua", 88)}
local SEND = {frame("deliver", "shop/mail.lua", 17), frame("mailer", "shop/mail.lua", 60)}
local SPIN = {frame("reprice", "shop/prices.lua", 203)}

local function tasks()
  return {
    {id = 17, shard = 1, state = "runnable", name = "prices", unparked = 4.2, preempted = true,
      labels = {type = "prices"}, site = "shop/main.lua:31", stack = SPIN, daemon = false},
    {id = 23, shard = 1, state = "waiting", reason = "chan receive", since = 312.5,
      name = "worker 1", labels = {type = "order"},
      object = "ringlet.chan: 0 of 16", site = "shop/main.lua:12", stack = TAKE,
      daemon = false},
    {id = 24, shard = 2, state = "waiting", reason = "chan receive", since = 0.25,
      name = "worker 2", labels = {type = "order"},
      object = "ringlet.chan: 0 of 16", site = "shop/main.lua:12", stack = TAKE,
      daemon = false},
    {id = 31, shard = 2, state = "waiting", reason = "write", since = 9.75, name = "mailer",
      labels = {type = "mail", to = "\27[2Jeve"}, site = "shop/main.lua:20", stack = SEND,
      daemon = true},
    {id = 40, shard = 2, state = "running", unparked = 0.0004, was = "sleep",
      site = "shop/main.lua:55", stack = {frame("tick", "shop/main.lua", 57)}, daemon = false},
  }
end

local function shards()
  return {
    {index = 1, live = 5113, running = 1, runnable = 14, waiting = 5098, connections = 502,
      heap = 71 * 2 ^ 20, stalled = 1.3, latency = {p99 = 0.0042}},
    {index = 2, live = 5100, running = 1, runnable = 0, waiting = 5099, connections = 500,
      heap = 52 * 2 ^ 20, stalled = 0, latency = {p99 = 0.00021}},
  }
end

-- The reading before the last, and the last.
function M.two()
  local before = {
    at = 100, target = "4242", shards = shards(), tasks = {}, labels = {}, reasons = {}, lints = {},
    total = total{},
  }
  local now = {
    at = 102, target = "4242", command = "luajit shop/main.lua", vm = "LuaJIT 2.1.0-beta3",
    uptime = 3725, shards = shards(), tasks = tasks(), listed = 5,
    labels = {{text = "type=order", n = 5000}, {text = "type=mail", n = 213}},
    reasons = {{text = "chan receive", n = 2}, {text = "write", n = 1}},
    latency = {p50 = 12e-6, p99 = 0.0042}, pause = {p50 = 1e-4, p99 = 3e-4},
    lints = {"never yielded: task 17 \"prices\" on shard 1: it has computed for 2.000 s or more, "
      .. "interrupted only by preemption"},
    total = total{created = 90240, finished = 80023, turns = 510000, parks = 1040000,
      received = 2 ^ 30 + 3 * 2 ^ 20, sent = 2 ^ 31 + 16 * 2 ^ 20, operations = 7.1e6,
      syscalls = 31500, cpu = 63.2},
  }
  return before, now
end

return M
