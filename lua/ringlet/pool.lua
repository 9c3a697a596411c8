-- SPDX-License-Identifier: MIT
-- pool: tasks that run at most so many at a time: its options, submitting, and its controls. What
-- waits and who runs it is in pool_workers.

--- Tasks that run at most so many at a time.
-- @module ringlet
-- @section Pools

local admission = require "ringlet.admission"
local control = require "ringlet.pool_control"
local core = require "ringlet.core"
local errors = require "ringlet.errors"
local fail = require "ringlet.fail"
local guests = require "ringlet.pool_guests"
local heartbeat = require "ringlet.pool_heartbeat"
local options = require "ringlet.options"
local pool_task = require "ringlet.pool_task"
local run_stop = require "ringlet.run_stop"
local shared = require "ringlet.pool_shared"
local workers = require "ringlet.pool_workers"
require "ringlet.pool_worker"

local SUBMIT, DRAIN = core.reasons["pool submit"], core.reasons.join
local accept, now, offers = workers.accept, require("ringlet.clock").now, core.offers
local new_task, tell_admission, PLACE = pool_task.new, pool_task.tell_admission, pool_task.PLACE
local check_park, offer = core.check, core.offer

local M = {}

local KNOWN = {
  size = "number", queue = "number", overflow = "string", expiry = "number|boolean",
  prealloc = "boolean", max_blocking = "number", on_panic = "function", name = "string",
  scope = "string", fn = "function", heartbeat = "number", on_failed = "function",
  tags = "table", admission = "boolean|table",
}
local BOUNDS = {
  queue = {min = 0, whole = true, infinite = true}, expiry = {above = 0},
  max_blocking = {min = 0, whole = true}, scope = {"shard", "shared"},
  overflow = {"block", "reject", "spawn", "drop_oldest", "caller_runs"},
  heartbeat = {above = 0},
}
local SIZE = {min = 1, whole = true, infinite = true}
local EXPIRY, UNLIMITED = 10, -1

local FULL = "EOVERLOAD: the pool is full"
local CLOSED = "ECLOSED: the pool was closed"
local DROPPED = "EOVERLOAD: dropped for a later task, the pool is full"
local SHUT = "ECLOSED: the pool was closed before the task began"

--- A pool of tasks, from `rl.pool`.
-- @type pool
local Pool = {__name = "ringlet.pool"}
Pool.__index = Pool

-- ---- submitting ---------------------------------------------------------------------------------

local overflow = {}

local function refuse(pool, f, msg, code)
  pool.submitted, pool.rejected = pool.submitted + 1, pool.rejected + 1
  tell_admission(f)
  return nil, msg, code
end

-- Raise unless the caller can park.
local function check_caller(f)
  local ok, err = pcall(check_park)
  if not ok then
    tell_admission(f)
    error(err, 0)
  end
end

function overflow.reject(pool, f)
  return refuse(pool, f, FULL, "EOVERLOAD")
end

-- What is counted is counted afterwards: offering raises where the caller cannot park.
function overflow.block(pool, f)
  if pool.max_blocking < math.huge and offers(pool.room) >= pool.max_blocking then
    return refuse(pool, f, FULL, "EOVERLOAD")
  elseif pool.admission then
    check_caller(f)
  end
  f[PLACE], pool.asked = now(), true
  local ok, code = offer(pool.room, nil, SUBMIT, f)
  if ok then
    return f
  elseif ok == false then
    return refuse(pool, f, CLOSED, "ECLOSED")
  end
  tell_admission(f)
  pool.submitted, pool.cancelled = pool.submitted + 1, pool.cancelled + 1
  return fail(code)
end

function overflow.spawn(pool, f)
  guests.spawn(pool, f)
  pool.submitted, pool.spawned = pool.submitted + 1, pool.spawned + 1
  return f
end

function overflow.caller_runs(pool, f)
  check_caller(f)
  pool.submitted, pool.caller_ran = pool.submitted + 1, pool.caller_ran + 1
  guests.run(pool, f)
  return f
end

function overflow.drop_oldest(pool, f)
  pool.submitted = pool.submitted + 1
  control.drop_oldest(pool, errors.new(DROPPED, "EOVERLOAD"))
  f[PLACE] = now()
  accept(pool, f)
  return f
end

local function place(pool, f)
  local len, free = pool.line.len, pool.max - pool.active
  if len < free then
    f[PLACE] = 0
  elseif len < (free > 0 and free or 0) + pool.queue then
    f[PLACE] = now()
  else
    return overflow[pool.overflow](pool, f)
  end
  accept(pool, f)
  pool.submitted = pool.submitted + 1
  return f
end

local function enter(pool, f)
  if pool.closed then
    return refuse(pool, f, CLOSED, "ECLOSED")
  elseif not run_stop.active then
    error("not inside a task: a pool takes tasks while rl.run is active", 2)
  elseif pool.prealloc and pool.crew < pool.seats then
    workers.prealloc(pool)
  end
  if pool.admission then
    local admitted, msg, code, seconds = pool.admission:allow()
    if not admitted then
      refuse(pool, f)
      return nil, msg, code, seconds
    end
    f.admitted = admitted
  end
  return place(pool, f)
end

--- Submit a task. Of a pool with `fn`, it takes the arguments alone.
-- @parks while the pool is full and its `overflow` is "block"; where fn does if it is "caller_runs"
-- @tparam fun(...:any):any fn
-- @param ... its arguments
-- @treturn future
-- @fails "EOVERLOAD" when the pool is full; "ECLOSED"; what its admission fails with
-- @raise outside of a run
function Pool:submit(fn, ...)
  if type(fn) ~= "function" then
    error("function expected, got " .. type(fn), 2)
  end
  return enter(self, new_task(self, fn, ...))
end

local function submitter(fn)
  return function(self, ...)
    return enter(self, new_task(self, fn, ...))
  end
end

-- ---- making -------------------------------------------------------------------------------------

local function check_size(opts)
  local size = opts.size
  if size == nil then
    error("option 'size' is missing: how many tasks run at a time", 3)
  elseif size ~= UNLIMITED then
    options.bound(size, SIZE, "option 'size'", 3)
  end
  local unlimited = size == UNLIMITED or size == math.huge
  if unlimited and opts.prealloc then
    error("option 'prealloc' needs a size", 3)
  elseif opts.expiry == true then
    error("option 'expiry' must be a number of seconds, or false", 3)
  elseif opts.overflow == "drop_oldest" and (opts.queue or 0) == 0 then
    error("overflow 'drop_oldest' needs a queue", 3)
  end
  return unlimited
end

local function admission_of(pool, given)
  if type(given) == "table" and type(given.allow) == "function" then
    return given
  end
  local opts = {name = pool.name, read = function()
    local metrics = pool:metrics()
    return {usage = metrics.active, wait = metrics.wait,
      tasks = pool.active + pool.line.len + offers(pool.room) + pool.beside}
  end}
  for name, v in pairs(type(given) == "table" and given or {}) do
    opts[name] = v
  end
  return admission.new(opts)
end

--- A pool of tasks.
--
-- What it refuses fails with "EOVERLOAD". An accepted task that fails never takes anything else
-- with it: its error and traceback are its future's; `on_panic` is told of it or, without that,
-- `on_error` of this shard if nobody has waited for the future. What was accepted keeps `run`
-- alive.
--
-- A task has its worker to itself: what it leaves there - a name, locals, a cancellation - no other
-- task sees.
-- @tparam table opts
-- @tparam integer opts.size how many tasks run at a time; -1: as many as there are
-- @tparam[opt=0] integer opts.queue how many may wait for a worker
-- @tparam[opt="block"] string opts.overflow what `submit` does when that many wait: "block", it
-- parks until there is room, first come, first served; "reject"; "spawn", the task runs beside the
-- pool; "drop_oldest", the task that has waited longest fails instead, with "EOVERLOAD";
-- "caller_runs", `submit` runs it
-- @tparam[opt] integer opts.max_blocking how many submitters may wait for room; one more is refused
-- @tparam[opt=10] number|boolean opts.expiry seconds without a task after which a worker ends;
-- false: never
-- @tparam[opt=false] boolean opts.prealloc all workers are made with the first task, and the size
-- stays what it is
-- @tparam[opt] fun(err:any,traceback:string,future:future) opts.on_panic called once for each task
-- that fails; must not park
-- @tparam[opt] fun(...:any):any opts.fn what every task runs: `submit` takes its arguments alone
-- @tparam[opt="shard"] string opts.scope "shared": its tasks run on any shard, at most `size` on
-- all together; the pool travels, so that every shard may submit
-- @tparam[opt="pool"] string opts.name for `tostring`, and for reports of what its tasks wait for
-- @tparam[opt] table opts.tags what every worker gets a copy of
-- @tparam[opt] number opts.heartbeat seconds after which a worker whose task neither ended nor
-- called `beat` is given up: the task fails with "ELOST" and is cancelled, what it still returns is
-- dropped, and another worker takes the seat
-- @tparam[opt] fun(worker:pool_worker) opts.on_failed called with such a worker; must not park
-- @tparam[opt] boolean|table opts.admission asked before each task, and told what came of it:
-- options of `rl.admission`, or true, with the pool's usage, waits and tasks as figures; or an
-- admission, which has figures of its own
-- @treturn pool
-- @raise on an option that is unknown or out of range
-- @source the Go package github.com/panjf2000/ants; java.util.concurrent.ThreadPoolExecutor
-- @usage local pool = rl.pool {size = 10, queue = 100, overflow = "reject"}
function M.new(opts)
  if type(opts) == "table" and opts.scope == "shared" then
    local pool = shared.new(opts)
    return pool
  end
  opts = options.check(opts, KNOWN)
  options.bounds(opts, BOUNDS)
  local unlimited = check_size(opts)
  local pool = control.init(setmetatable({
    seats = unlimited and math.huge or opts.size, queue = opts.queue or 0,
    overflow = opts.overflow or "block", expiry = opts.expiry == nil and EXPIRY or opts.expiry,
    max_blocking = opts.max_blocking or math.huge, on_panic = opts.on_panic,
    prealloc = opts.prealloc, name = opts.name or "pool", tags = opts.tags,
    heartbeat = opts.heartbeat, pulse = opts.heartbeat and heartbeat.pulse or false,
    on_failed = opts.on_failed,
  }, Pool))
  if opts.admission then
    pool.admission = admission_of(pool, opts.admission)
  end
  if opts.fn then
    pool.submit = submitter(opts.fn)
  end
  return pool
end

-- ---- sizes --------------------------------------------------------------------------------------

-- A number of tasks as users see it.
local function shown(n)
  return n == math.huge and UNLIMITED or n
end

--- How many tasks run at a time, at most.
-- @treturn integer -1: as many as there are
function Pool:capacity()
  return shown(self.seats)
end

--- The same as `capacity`, for an autoscaler.
-- @function Pool:size
-- @treturn integer
Pool.size = Pool.capacity

-- How many tasks workers run, or will when there is a turn for them.
local function running(pool)
  return pool.active + workers.soon(pool)
end

local function queued(pool)
  return pool.line.len - workers.soon(pool)
end

--- How many tasks its workers run now. One that was submitted counts from the start, if it need not
-- wait for another one.
-- @treturn integer
function Pool:running()
  return running(self)
end

--- How many more tasks could run now.
-- @treturn integer 0 while it is paused, or was made smaller than what runs; -1: as many as there
-- are
function Pool:free()
  return shown(math.max(self.max - running(self), 0))
end

--- How many tasks wait for a worker, those of submitters that wait for room included.
-- @treturn integer
function Pool:waiting()
  return queued(self) + offers(self.room)
end

--- Let more or fewer tasks run at a time. What runs goes on.
-- @tparam integer n less than 1 changes nothing
-- @treturn boolean whether it has that size now: false for less than 1, for a pool without a limit,
-- and for one with `prealloc`
function Pool:resize(n)
  if type(n) ~= "number" or n % 1 ~= 0 then
    error("whole number expected", 2)
  elseif n < 1 or self.seats == math.huge or self.prealloc then
    return false
  end
  control.resize(self, n)
  return true
end

--- Its workers, the oldest first.
-- @treturn {pool_worker,...} a new list
function Pool:workers()
  return control.list(self)
end

--- Tell, from inside a task, that it makes progress. A pool with `heartbeat` gives up workers of
-- whom it has not heard for that long.
-- @treturn boolean false unless a worker of this pool runs the calling task; also when it was given
-- up already
function Pool:beat()
  return heartbeat.beat(self)
end

-- ---- pausing and ending -------------------------------------------------------------------------

--- Begin no more tasks. What runs goes on; what is submitted waits in the queue.
-- @treturn boolean false if it was paused already
function Pool:pause()
  if self.paused then
    return false
  end
  control.pause(self, true)
  return true
end

--- Begin tasks again.
-- @treturn boolean false if it was not paused
function Pool:resume()
  if not self.paused then
    return false
  end
  control.pause(self, false)
  return true
end

-- Wait until nothing runs or waits; t = nil: as long as it takes.
local function drain(pool, t)
  local due = t and core.now() + t
  while pool.active > 0 or pool.line.len > 0 or pool.beside > 0 do
    check_park()
    pool.awaited = pool.awaited + 1
    local ok, code = core.wait(pool.drained, due and math.max(due - core.now(), 0), DRAIN)
    pool.awaited = pool.awaited - 1
    if ok == nil then
      return fail(code)
    end
  end
  return true
end

--- Wait until no task runs or waits.
-- @parks until then; not at all if it is so
-- @tparam[opt] number t seconds
-- @treturn true
-- @fails "ETIMEDOUT"
function Pool:join(t)
  options.seconds(t)
  return drain(self, t)
end

--- Take no more tasks: submitters that wait for room fail with "ECLOSED", what was accepted still
-- runs, if need be because the pool is resumed. With a grace, wait until all of it has ended; when
-- the grace is over, what waits fails with "ECLOSED" and what runs is cancelled. It may be called
-- any number of times.
-- @parks with a grace, until every task has ended or the grace is over
-- @tparam[opt] number grace seconds
-- @treturn true
-- @fails "ETIMEDOUT" when the grace was over first
function Pool:close(grace)
  options.seconds(grace)
  control.close(self)
  if not grace then
    return true
  end
  local ok, msg, code = drain(self, grace)
  if ok then
    return true
  end
  control.cancel_all(self, errors.new(SHUT, "ECLOSED"), "the pool was closed")
  return nil, msg, code
end

--- Take tasks again, after `close`.
-- @treturn boolean false if it was not closed
function Pool:reopen()
  local was = self.closed
  self.closed = false
  return was
end

-- ---- what it tells ------------------------------------------------------------------------------

--- Counters.
-- @treturn pool_stats a new table
-- @tfield[pool_stats] integer capacity as of `capacity`
-- @tfield[pool_stats] integer running tasks that workers run
-- @tfield[pool_stats] integer queued tasks that wait for a worker
-- @tfield[pool_stats] integer blocked submitters that wait for room
-- @tfield[pool_stats] integer workers that there are
-- @tfield[pool_stats] integer idle workers without a task
-- @tfield[pool_stats] integer beside tasks that run beside the pool, or in their submitters
-- @tfield[pool_stats] integer submitted tasks so far; each is running, queued, blocked or beside,
-- or one of the next five
-- @tfield[pool_stats] integer done tasks that ended well
-- @tfield[pool_stats] integer failed tasks
-- @tfield[pool_stats] integer cancelled tasks, those included that a closed pool did not begin
-- @tfield[pool_stats] integer rejected tasks, by a pool that was full or closed
-- @tfield[pool_stats] integer dropped tasks, for later ones
-- @tfield[pool_stats] integer lost tasks that failed because they made no progress
-- @tfield[pool_stats] integer spawned tasks that ran beside the pool
-- @tfield[pool_stats] integer caller_ran tasks that their submitters ran
-- @tfield[pool_stats] number wait_mean seconds that a task has waited for a worker, of those that
-- had to
-- @tfield[pool_stats] number wait_max seconds that one has, at most
function Pool:stats()
  local blocked = offers(self.room)
  return {
    capacity = shown(self.seats), running = running(self), queued = queued(self),
    blocked = blocked, workers = self.crew, idle = self.idle_len, beside = self.beside,
    submitted = self.submitted + blocked, done = self.done, failed = self.failed,
    cancelled = self.cancelled, rejected = self.rejected, dropped = self.dropped,
    lost = self.lost, spawned = self.spawned, caller_ran = self.caller_ran,
    wait_mean = self.waits > 0 and self.wait_sum / self.waits or 0, wait_max = self.wait_max,
  }
end

--- What an autoscaler asks of its target: `active`, tasks that run for each that could, `queue`,
-- tasks that wait, and `wait`, the seconds that they do: the mean of those that began in the last
-- two seconds or, if that is more, of those that wait now; 0 when none does.
-- @treturn table
function Pool:metrics()
  return {active = running(self) / self.seats, queue = self:waiting(),
    wait = workers.wait_now(self)}
end

function Pool:__tostring()
  return ("ringlet.pool: %s, %d of %s running, %d waiting%s"):format(self.name,
    running(self), self.seats == math.huge and "any number" or self.seats, self:waiting(),
    self.closed and ", closed" or self.paused and ", paused" or "")
end

return M
