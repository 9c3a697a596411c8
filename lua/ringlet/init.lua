-- SPDX-License-Identifier: MIT

--- Tasks, channels, select, timers and scopes on io_uring.
--
--     local rl = require "ringlet"
--     rl.run(function()
--       local ch = rl.chan()
--       rl.go(function() ch:send("hello") end)
--       print(ch:recv())
--     end)
--
-- Expected failure is `nil, "ENAME: message", "ENAME"`; misuse raises. Times are seconds.
-- @module ringlet

require "ringlet.vm"
local core = require "ringlet.core"
-- One instance a Lua state: whoever clears package.loaded (test runners do) gets the same again.
if core.loaded then
  for name, module in pairs(core.loaded) do
    package.loaded[name] = module
  end
  return core.loaded.ringlet
end

local cancel = require "ringlet.cancel"
local chan = require "ringlet.chan"
local errors = require "ringlet.errors"
local map = require "ringlet.map"
local run = require "ringlet.run"
local scope = require "ringlet.scope"
local select_ = require "ringlet.select"
local sync = require "ringlet.sync"
local task = require "ringlet.task"
local time = require "ringlet.time"

local rl = {
  _VERSION = "ringlet 0.1.0",

  run = run.run, stop = run.stop, stopping = run.stopping,
  go = task.go, daemon = task.daemon, self = task.self, locals = task.locals,
  on_error = task.on_error,

  scope = scope.scope, timeout = scope.timeout, shield = scope.shield,
  finally = scope.finally, pcall = scope.pcall,
  is_cancel = cancel.is_cancel, check = errors.check, code = errors.code,

  sleep = time.sleep, yield = time.yield, now = time.now, time = time.time,
  ticker = time.ticker, after = time.after,

  chan = chan.new, select = select_.select,

  event = sync.event, mutex = sync.mutex, rwmutex = sync.rwmutex, semaphore = sync.semaphore,
  waitgroup = sync.waitgroup, once = sync.once, cond = sync.cond, barrier = sync.barrier,
  singleflight = sync.singleflight,

  map = map.map, race = map.race,

  --- Counters of this shard: tasks, created, finished, parks, turns, polls, timers, ops, handles,
  -- ...
  -- @treturn table
  stats = core.stats,
}

core.loaded = {ringlet = rl}
for name, module in pairs(package.loaded) do
  if name:find("^ringlet%.") and type(module) ~= "boolean" then
    core.loaded[name] = module
  end
end

return rl
