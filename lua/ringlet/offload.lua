-- SPDX-License-Identifier: MIT
-- offload: code that blocks or computes for long, on helper threads with Lua states of their own.
--
-- A call is a userdata of the core: submitted, perhaps in line for room in the queue, then waited
-- for until its results are there. A future has a number by which the core tells that its call has
-- come home; it is held weakly, so that nobody has to wait for what nobody wants.

--- Blocking code.
-- @module ringlet
-- @section Offload

local cancel = require "ringlet.cancel"
local core = require "ringlet.core"
local errors = require "ringlet.errors"
local fail = require "ringlet.fail"
local future = require "ringlet.future"
local options = require "ringlet.options"
local task = require "ringlet.task"
local traced = require "ringlet.traced"

local call_open, call_end = core.call_open, core.call_end
local submit, wait, results = core.offload_submit, core.offload_wait, core.offload_results

local M = {}

local MAX_THREADS, MAX_MAX, IDLE, QUEUE = 16, 999, 10, 1024

-- ---- in a helper's state ----

-- What cannot travel goes home as text.
local function finish(call, ok, ...)
  if ok then
    call_end(call, true, ...)
    return
  end
  local err, where = ...
  if not pcall(call_end, call, false, err, where) then
    call_end(call, false, tostring(err), where)
  end
end

local function perform(call, fn, ...)
  finish(call, traced.call(fn, ...))
end

-- Called once in a helper's state: what runs each call there.
function M.begin()
  rawset(os, "exit", function()
    error("os.exit is not allowed in offload", 2)
  end)
  return function(call)
    perform(call, call_open(call))
  end
end

-- ---- calls ----

local function check_function(fn, level)
  if type(fn) ~= "function" then
    error("function expected, got " .. type(fn), (level or 2) + 1)
  end
end

-- The call's results, or its error.
local function give(ok, ...)
  if ok then
    return ...
  elseif ok == nil then
    return fail(...)
  end
  local err, where = ...
  if where then
    task.blame(err, where)
  end
  error(err, 0)
end

-- Wait for a call; one whose waiter is cancelled is cancelled as well.
local function await(call, code)
  if not call then
    return fail(code)
  end
  local ok, why = wait(call)
  if ok == nil then
    core.offload_cancel(call)
    return fail(why)
  end
  return give(results(call))
end

-- Raise if the task is cancelled, before anything is submitted.
local function enter()
  local _, code = core.refill()
  if code then
    fail(code)
  end
end

local futures = setmetatable({}, {__mode = "v"})
local last = 0

-- Cancelled, the call is settled at once.
local Future = future.kind(function(f, reason)
  core.offload_cancel(f.call)
  future.put(f, false, cancel.error(reason))
end)

-- The run ends: what has not come by now never will.
function M.abandon_all(why)
  for _, f in pairs(futures) do
    if f[1] then
      future.put(f, false, why)
    end
  end
end

-- The results of a call, or its error; of one that never began, why, which is nothing to report.
local function settle(f, made, ok, ...)
  if not made then
    future.settle(f, false, ok)
  elseif ok == nil then
    local _, msg, code = fail(...)
    future.put(f, false, errors.new(msg, code))
  else
    future.settle(f, ok, ...)
  end
end

-- The core's word that a call with a future is home.
local function settled(number, call)
  local f = futures[number]
  if f and not f[1] then -- cancelled meanwhile
    return
  end
  settle(f or future.new(Future), pcall(results, call))
end

--- Helper threads of your own, from `rl.offload_pool`. A pool travels: a job may use it on its
-- shard.
-- @type offload_pool
local Pool = core.offloaded(settled)

local function new_future(pool, lines, fn, ...)
  repeat
    last = last % 2147483647 + 1
  until futures[last] == nil
  local number = last
  local call, lined = submit(pool, lines, number, fn, ...)
  if not call then
    return nil, lined
  end
  local f = future.new(Future)
  f.call = call
  futures[number] = f
  return f, lined
end

-- ---- pools ----

-- The pool of this run, and what `run` was told of it.
local default, default_max, default_preload

-- By `run`, at its beginning.
function M.configure(max_threads, preload)
  default, default_max, default_preload = nil, max_threads or MAX_THREADS, preload
end

-- How many helper threads of the run live.
function M.live_threads()
  return default and core.offload_stats(default).threads or 0
end

local function whole(n, min, max, what, level)
  if n ~= nil and (n < min or n > max or n % 1 ~= 0) then
    error(("%s must be a whole number from %d to %d"):format(what, min, max), (level or 2) + 1)
  end
end

-- Raise at the level of the caller's caller, or `level`, unless it is nil or a number of threads.
function M.check_threads(n, what, level)
  whole(n, 1, MAX_MAX, what, (level or 2) + 1)
end

--- Run fn on a helper thread: code that blocks in C or computes for long, while the tasks of this
-- shard go on. The function, its upvalues, its arguments and its results are copied.
--
-- All shards of a run share its helper threads, at most as many as `run` was told; a call that
-- finds all busy waits for its turn. Each thread has a Lua state of its own, in which globals
-- outlive a call, and in which `os.exit` raises.
--
-- Cancelled, the task goes on at once. A call that has not begun then never does. What is in C then
-- cannot be interrupted: it goes on and its results are dropped. Lua code raises, in a call as in
-- whatever it calls, where the VM interprets it: compiled loops and, on Lua 5.4, coroutines of its
-- own are not interrupted.
-- @parks until fn has returned
-- @tparam fun(...:any):any fn
-- @param ... its arguments
-- @return ... its results, copied
-- @raise the error of fn, copied; a task that fails with it has the traceback of the helper in its
-- own; what cannot travel, with the path to it; outside of a task
-- @source libuv, "Thread pool work scheduling"
function M.offload(fn, ...)
  check_function(fn)
  enter()
  default = default
    or core.offload_default(default_max, 0, IDLE, QUEUE, "default", default_preload)
  return await(submit(default, true, 0, fn, ...))
end

local KNOWN = {
  max_threads = "number", min_threads = "number", idle = "number", queue = "number",
  preload = "table", name = "string",
}

--- A pool of helper threads of its own, for what must not take those of others.
-- @tparam[opt] table opts
-- @tparam[opt=16] integer opts.max_threads how many threads there may be; at most 999
-- @tparam[opt=0] integer opts.min_threads how many of those that were started stay when idle
-- @tparam[opt=10] number opts.idle seconds without a call after which a thread ends
-- @tparam[opt=1024] integer opts.queue how many calls may wait for a thread
-- @tparam[opt] {string,...} opts.preload modules that every helper's state requires at its start
-- @tparam[opt="pool"] string opts.name for `tostring`
-- @treturn offload_pool
-- @raise on an option that is unknown or out of range
function M.pool(opts)
  opts = options.check(opts, KNOWN)
  local max = opts.max_threads or MAX_THREADS
  M.check_threads(max, "option 'max_threads'")
  whole(opts.min_threads, 0, max, "option 'min_threads'")
  whole(opts.queue, 0, 1e9, "option 'queue'")
  local idle = opts.idle or IDLE
  if idle ~= idle or idle < 0 or idle > 1e9 then
    error("option 'idle' must be a number of seconds", 2)
  end
  local pool = core.offload_new(max, opts.min_threads or 0, idle, opts.queue or QUEUE,
    opts.name or "pool", opts.preload)
  return pool
end

--- Run fn on a thread of the pool, as `rl.offload` does.
-- @parks until fn has returned
-- @tparam fun(...:any):any fn
-- @param ... its arguments
-- @return ... its results, copied
-- @fails "ECLOSED" when the pool was closed before fn began
-- @raise the error of fn, copied; what cannot travel, with the path to it; outside of a task
function Pool:run(fn, ...)
  check_function(fn)
  enter()
  return await(submit(self, true, 0, fn, ...))
end

--- Submit a call and go on. Its future is one as of `rl.spawn`; `cancel` settles it at once, as if
-- the call had been cancelled. An error that nobody waits for goes to `on_error` of this shard.
-- @parks while the queue is full; first come, first served
-- @tparam fun(...:any):any fn
-- @param ... its arguments
-- @treturn future
-- @fails "ECLOSED"
-- @raise what cannot travel, with the path to it; outside of a task
function Pool:submit(fn, ...)
  check_function(fn)
  enter()
  local f, lined = new_future(self, true, fn, ...)
  if not f then
    return fail(lined)
  end
  if lined then
    local ok, code = core.offload_room(f.call)
    if ok == nil then
      f[1] = false
      core.offload_cancel(f.call)
      return fail(code)
    end
  end
  return f
end

--- Submit a call if there is room for it.
-- @tparam fun(...:any):any fn
-- @param ... its arguments
-- @treturn future
-- @fails "EAGAIN" when the queue is full, "ECLOSED"
-- @raise what cannot travel, with the path to it; outside of a task
function Pool:try_submit(fn, ...)
  check_function(fn)
  local f, code = new_future(self, false, fn, ...)
  if not f then
    return fail(code)
  end
  return f
end

--- How many threads there are.
-- @treturn integer
function Pool:threads()
  return core.offload_stats(self).threads
end

--- How many threads there may be.
-- @treturn integer
function Pool:size()
  return core.offload_stats(self).max_threads
end

--- Counters.
-- @treturn offload_stats a new table
-- @tfield[offload_stats] integer threads that there are
-- @tfield[offload_stats] integer max_threads that there may be
-- @tfield[offload_stats] integer idle threads without a call
-- @tfield[offload_stats] integer queued calls that wait for a thread
-- @tfield[offload_stats] integer waiting calls that wait for room in the queue
-- @tfield[offload_stats] integer running calls
-- @tfield[offload_stats] integer done calls that have run so far
-- @tfield[offload_stats] integer peak the most threads there were
function Pool:stats()
  return core.offload_stats(self)
end

--- What an autoscaler asks of its target: `active`, calls that run for each thread there may be,
-- and `queue`, calls that wait.
-- @treturn table
function Pool:metrics()
  local s = core.offload_stats(self)
  return {active = s.running / s.max_threads, queue = s.queued + s.waiting}
end

--- Let there be more or fewer threads. Those that are too many end when they have no call.
-- @tparam integer n from 1 to 999
function Pool:resize(n)
  if type(n) ~= "number" then
    error("number expected, got " .. type(n), 2)
  end
  M.check_threads(n, "the number of threads")
  core.offload_resize(self, n)
end

--- Take no more calls. Those that wait fail with "ECLOSED", those that run end as ever; their
-- threads end then. It may be called any number of times.
function Pool:close()
  core.offload_shut(self)
end

function Pool:__tostring()
  local s = core.offload_stats(self)
  return ("ringlet.offload_pool: %s, %d of %d threads, %d calls waiting"):format(
    core.offload_name(self), s.threads, s.max_threads, s.queued + s.waiting)
end

return M
