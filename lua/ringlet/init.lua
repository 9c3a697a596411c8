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
--
-- Whatever parks raises "not inside a task" outside of `run`, and the cancellation when its task is
-- cancelled. A timeout that is left out means no limit; one of 0 or less means not to wait: what
-- would have to park then fails with "ETIMEDOUT" at once.
-- @module ringlet
-- @section Counters

require "ringlet.vm"
local core = require "ringlet.core"
-- One instance a Lua state: whoever clears package.loaded (test runners do) gets the same again.
if core.loaded then
  for name, module in pairs(core.loaded) do
    package.loaded[name] = module
  end
  return core.loaded.ringlet
end

local admission = require "ringlet.admission"
local autoscaler = require "ringlet.autoscaler"
local batcher = require "ringlet.batcher"
local breaker = require "ringlet.breaker"
local cancel = require "ringlet.cancel"
local chan = require "ringlet.chan"
local debounce = require "ringlet.debounce"
local errors = require "ringlet.errors"
local group = require "ringlet.group"
local health = require "ringlet.health"
local hedge = require "ringlet.hedge"
local hooks = require "ringlet.hooks"
local jobs = require "ringlet.jobs"
local limiter = require "ringlet.limiter"
local map = require "ringlet.map"
local multipool = require "ringlet.multipool"
local objects = require "ringlet.objects"
local objects_buffers = require "ringlet.objects_buffers"
local objects_tables = require "ringlet.objects_tables"
local offload = require "ringlet.offload"
local pool = require "ringlet.pool"
local retry = require "ringlet.retry"
local retry_budget = require "ringlet.retry_budget"
local resources = require "ringlet.resources"
local run = require "ringlet.run"
local run_stop = require "ringlet.run_stop"
local scheduling = require "ringlet.scheduling"
local scope = require "ringlet.scope"
local select_ = require "ringlet.select"
local sync = require "ringlet.sync"
local tables = require "ringlet.tables"
local task = require "ringlet.task"
local time = require "ringlet.time"
-- What arrives from another shard has its methods.
require "ringlet.shared"
local travel = require "ringlet.travel"

local rl = {
  --- Name and version.
  -- @tfield string _VERSION
  _VERSION = "ringlet 0.1.0",

  run = run.run, stop = run_stop.stop, stopping = run_stop.stopping,
  shard_init = run.shard_init, ready = health.ready,
  spawn = jobs.spawn, spawn_on = jobs.spawn_on, job = jobs.job,
  shards = jobs.shards, shard = jobs.shard, sched = scheduling.sched,
  go = task.go, daemon = task.daemon, self = task.self, locals = task.locals,
  on_error = task.on_error, on = hooks.on,

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

  group = group.new, groups = group.named,
  pool = pool.new, multipool = multipool.new,

  offload = offload.offload, offload_pool = offload.pool,

  objects = objects.new, buffers = objects_buffers.new, tables = objects_tables.new,
  clear_table = tables.clear,

  retry = retry.retry, retrier = retry.new, retry_budget = retry_budget.new,
  hedge = hedge.hedge, hedger = hedge.new,
  batcher = batcher.new, debounce = debounce.new, throttle = debounce.throttle,

  register_type = travel.register_type,
  autoscaler = autoscaler.new,
  resources = resources.new,
  limiter = limiter.new,

  breaker = breaker.new, admission = admission.new,

  --- Counters of this shard.
  -- @function stats
  -- @treturn stats a new table
  -- @tfield[stats] integer tasks that live, daemons included
  -- @tfield[stats] integer daemons that live
  -- @tfield[stats] integer runnable tasks that are ready to run
  -- @tfield[stats] integer created tasks started so far
  -- @tfield[stats] integer finished tasks ended so far
  -- @tfield[stats] integer parks times that a task was parked
  -- @tfield[stats] integer turns of the scheduler
  -- @tfield[stats] integer polls looks for completions
  -- @tfield[stats] integer preemptions tasks that computed for a slice and were made to wait
  -- @tfield[stats] integer overruns times that a task could not be preempted
  -- @tfield[stats] integer stalls times in this run that this shard was stalled: a task gave up no
  -- turn for `stall_after`
  -- @tfield[stats] integer stalled shards of the run that are now
  -- @tfield[stats] integer starvations times in this run that this shard was ready to run and got
  -- no CPU for `starved`
  -- @tfield[stats] number starved seconds of that
  -- @tfield[stats] integer handles open connections, listeners and the like
  -- @tfield[stats] integer timers pending timeouts, sleeps, timers and tickers
  -- @tfield[stats] integer ops operations the kernel has not completed
  -- @tfield[stats] integer works jobs on helper threads
  -- @tfield[stats] integer submitted operations of this run
  -- @tfield[stats] integer completed operations of this run
  -- @tfield[stats] integer jobs begun on this shard in this run
  -- @tfield[stats] integer steals times in this run that it took jobs from another shard
  -- @tfield[stats] integer messages it sent to other shards in this run
  -- @tfield[stats] integer wakes sleeping shards that it woke in this run
  -- @tfield[stats] integer enters system calls `io_uring_enter` of this run
  -- @source io_uring_enter(2)
  stats = core.stats,
}

core.loaded = {ringlet = rl}
for name, module in pairs(package.loaded) do
  if name:find("^ringlet%.") and type(module) ~= "boolean" then
    core.loaded[name] = module
  end
end

return rl
