-- SPDX-License-Identifier: MIT
-- pool_shared: pools that belong to all shards: options, submitting, controls. What shards share of
-- one is in pool_shared_state, what waits in pool_shared_line.

--- Pools that belong to all shards, from `rl.pool` with `scope = "shared"`.
-- @module ringlet
-- @section Shared pools

local errors = require "ringlet.errors"
local line = require "ringlet.pool_shared_line"
local options = require "ringlet.options"
local post = require "ringlet.post"
local run_stop = require "ringlet.run_stop"
local shares = require "ringlet.pool_shared_state"
local travel = require "ringlet.travel"

local enter, find = line.enter, shares.find
local CLOSED, PAUSED, MOST = shares.CLOSED, shares.PAUSED, shares.MOST

local M = {}

-- What is given for pools of one shard alone comes with the reason why not.
local WORKERS = "a shared pool keeps no workers"
local NOT_SHARED = {
  expiry = WORKERS, prealloc = WORKERS, heartbeat = WORKERS, on_failed = WORKERS, tags = WORKERS,
  admission = "ask one where you submit",
}
local KNOWN = {
  size = "number", queue = "number", overflow = "string", max_blocking = "number",
  on_panic = "function", name = "string", scope = "string", fn = "function",
}
local BOUNDS = {
  queue = {min = 0, whole = true, infinite = true}, max_blocking = {min = 0, whole = true},
  overflow = {"block", "reject", "spawn", "drop_oldest", "caller_runs"},
}
local SIZE = {min = 1, max = MOST - 1, whole = true}
local UNLIMITED = -1

local SHUT = "ECLOSED: the pool was closed before the task began"

--- A pool whose tasks run on any shard, from `rl.pool` with `scope = "shared"`. It travels: every
-- shard has the same pool. Two of them are equal (`==`) when they are one.
-- @type shared_pool
local Pool = {__name = "ringlet.pool"}
Pool.__index = Pool

local function check_run()
  if not run_stop.active then
    error("not inside a task: tasks are submitted while rl.run is active", 3)
  end
end

--- Submit a task: a job, which any shard may run. Of a pool with `fn`, it takes the arguments
-- alone. The function, its upvalues and its arguments are copied now, as by `rl.spawn`.
-- @parks while the pool is full and its `overflow` is "block"; where fn does if it is "caller_runs"
-- @tparam fun(...:any):any fn
-- @param ... its arguments
-- @treturn future
-- @fails "EOVERLOAD" when the pool is full; "ECLOSED"
-- @raise what cannot travel, with the path to it; outside of a run
function Pool:submit(fn, ...)
  if type(fn) ~= "function" then
    error("function expected, got " .. type(fn), 2)
  end
  check_run()
  local f, msg, code = enter(find(self.box), fn, ...)
  return f, msg, code
end

-- The same of a pool with `fn`.
local function submit_arguments(self, ...)
  check_run()
  local record = find(self.box)
  local f, msg, code = enter(record, record.fn, ...)
  return f, msg, code
end

-- ---- sizes --------------------------------------------------------------------------------------

local function size_of(record)
  local size = record.size:load()
  return size < MOST and size or math.huge
end

-- A number of tasks as users see it.
local function shown(n)
  return n == math.huge and UNLIMITED or n
end

local function queued(record)
  local n = record.outstanding:load() - record.running:load() - record.beside:load()
  return math.max(n, 0) -- another shard may be about to count one
end

--- How many tasks run at a time, at most, on all shards together.
-- @treturn integer -1: as many as there are
function Pool:capacity()
  return shown(size_of(find(self.box)))
end

--- The same as `capacity`, for an autoscaler.
-- @function Pool:size
-- @treturn integer
Pool.size = Pool.capacity

--- How many tasks have been begun and have not ended, on all shards. The end of one counts when the
-- shard that submitted it has heard of it.
-- @treturn integer
function Pool:running()
  return find(self.box).running:load()
end

--- How many more tasks could run now.
-- @treturn integer 0 if it was made smaller than what runs; -1: as many as there are
function Pool:free()
  local record = find(self.box)
  return shown(math.max(size_of(record) - record.running:load(), 0))
end

--- How many tasks wait on all shards, those of submitters that wait for room included.
-- @treturn integer
function Pool:waiting()
  local record = find(self.box)
  return queued(record) + record.blocked:load()
end

--- Let more or fewer tasks run at a time. What runs goes on.
-- @tparam integer n less than 1 changes nothing
-- @treturn boolean whether it was changed: not of a pool without a limit
function Pool:resize(n)
  if type(n) ~= "number" or n % 1 ~= 0 then
    error("whole number expected", 2)
  end
  local record = find(self.box)
  if n < 1 or n >= MOST or record.size:load() == MOST then
    return false
  end
  shares.resize(record, n)
  return true
end

-- ---- pausing and ending -------------------------------------------------------------------------

--- Begin no more tasks, on any shard. What runs goes on; what is submitted waits in the queue.
-- @treturn boolean false if it was paused already
function Pool:pause()
  return shares.set(find(self.box), PAUSED, true)
end

--- Begin tasks again.
-- @treturn boolean false if it was not paused
function Pool:resume()
  return shares.set(find(self.box), PAUSED, false)
end

--- Wait until no task runs or waits, on any shard.
-- @parks until then; not at all if it is so
-- @tparam[opt] number t seconds
-- @treturn true
-- @fails "ETIMEDOUT"
function Pool:join(t)
  options.seconds(t)
  local ok, msg, code = shares.drain(find(self.box), t)
  return ok, msg, code
end

post.on("pool closed", function(_, pool)
  line.shut(find(pool.box))
end)

post.on("pool over", function(_, pool)
  line.end_all(find(pool.box), errors.new(SHUT, "ECLOSED"), "the pool was closed")
end)

--- Take no more tasks, from any shard: submitters that wait for room fail with "ECLOSED", what was
-- accepted still runs, if need be because the pool is resumed. With a grace, wait until all of it
-- has ended; when the grace is over, what waits fails with "ECLOSED" and what runs is cancelled, on
-- the other shards when they hear of it. It may be called any number of times.
-- @parks with a grace, until every task has ended or the grace is over
-- @tparam[opt] number grace seconds
-- @treturn true
-- @fails "ETIMEDOUT" when the grace was over first
function Pool:close(grace)
  options.seconds(grace)
  local record = find(self.box)
  if shares.set(record, CLOSED, true) then
    line.shut(record)
    post.others("pool closed", self)
  end
  shares.set(record, PAUSED, false)
  if not grace then
    return true
  end
  local ok, msg, code = shares.drain(record, grace)
  if not ok then
    line.end_all(record, errors.new(SHUT, "ECLOSED"), "the pool was closed")
    post.others("pool over", self)
  end
  return ok, msg, code
end

--- Take tasks again, after `close`.
-- @treturn boolean false if it was not closed
function Pool:reopen()
  return shares.set(find(self.box), CLOSED, false)
end

-- ---- what it tells ------------------------------------------------------------------------------

--- Counters, of all shards together.
-- @treturn shared_pool_stats a new table
-- @tfield[shared_pool_stats] integer capacity as of `capacity`
-- @tfield[shared_pool_stats] integer running tasks that were begun and have not ended
-- @tfield[shared_pool_stats] integer queued tasks that wait to be begun
-- @tfield[shared_pool_stats] integer blocked submitters that wait for room
-- @tfield[shared_pool_stats] integer submitted tasks so far, those that were refused because the
-- pool was full included
-- @tfield[shared_pool_stats] integer done tasks that ended well
-- @tfield[shared_pool_stats] integer failed tasks
-- @tfield[shared_pool_stats] integer cancelled tasks, those that never began included
-- @tfield[shared_pool_stats] integer rejected tasks, by a pool that was full or closed
-- @tfield[shared_pool_stats] integer dropped tasks, for later ones
-- @tfield[shared_pool_stats] integer spawned tasks that ran beside the pool
-- @tfield[shared_pool_stats] integer caller_ran tasks that their submitters ran
-- @tfield[shared_pool_stats] number wait_mean seconds that tasks have waited in the queue
-- @tfield[shared_pool_stats] number wait_max seconds that one has, at most
function Pool:stats()
  local record = find(self.box)
  shares.flush_waits(record)
  local stats, waits = {}, record.waits:load()
  for _, name in ipairs {"failed", "cancelled", "rejected", "dropped", "spawned", "caller_ran"} do
    stats[name] = shares.counted(record, name)
  end
  stats.capacity, stats.running, stats.queued = self:capacity(), self:running(), queued(record)
  stats.blocked, stats.submitted = record.blocked:load(), record.submitted:load()
  stats.done = record.done:load()
  stats.wait_mean = waits > 0 and record.wait_us:load() / waits / 1e6 or 0
  stats.wait_max = shares.counted(record, "wait_max_us") / 1e6
  return stats
end

--- What an autoscaler asks of its target: `active`, tasks that run for each that could, and
-- `queue`, tasks that wait.
-- @treturn table
function Pool:metrics()
  local record = find(self.box)
  return {active = record.running:load() / size_of(record), queue = self:waiting()}
end

function Pool:__tostring()
  local record = find(self.box)
  local size = size_of(record)
  return ("ringlet.pool: %s, shared, %d of %s running, %d waiting%s"):format(record.name,
    self:running(), size == math.huge and "any number" or ("%d"):format(size), self:waiting(),
    shares.is(record, CLOSED) and ", closed" or shares.is(record, PAUSED) and ", paused" or "")
end

function Pool.__eq(a, b)
  return rawequal(a.box, b.box)
end

-- ---- making -------------------------------------------------------------------------------------

local PoolOfOne = {}
for name, value in pairs(Pool) do
  PoolOfOne[name] = value
end
PoolOfOne.__index, PoolOfOne.submit = PoolOfOne, submit_arguments

travel.register_type("ringlet.pool", Pool)
travel.register_type("ringlet.pool.fn", PoolOfOne)

local function check(opts)
  for name, why in pairs(NOT_SHARED) do
    if opts[name] ~= nil then
      error(("option '%s' is for pools of one shard: %s"):format(name, why), 4)
    end
  end
  options.check(opts, KNOWN, 4)
  options.bounds(opts, BOUNDS, 4)
  if opts.size == nil then
    error("option 'size' is missing: how many tasks run at a time", 4)
  elseif opts.size ~= UNLIMITED and opts.size ~= math.huge then
    options.bound(opts.size, SIZE, "option 'size'", 4)
  end
  if opts.overflow == "drop_oldest" and (opts.queue or 0) == 0 then
    error("overflow 'drop_oldest' needs a queue", 4)
  end
end

-- From the options of `rl.pool`; raises at its caller.
function M.new(opts)
  check(opts)
  local limited = opts.size ~= UNLIMITED and opts.size ~= math.huge
  local ok, box = pcall(shares.new, {
    size = limited and opts.size or MOST, queue = opts.queue or 0,
    overflow = opts.overflow or "block", max_blocking = opts.max_blocking or math.huge,
    on_panic = opts.on_panic, fn = opts.fn, name = opts.name or "pool",
  })
  if not ok then
    error("a shared pool travels, its options with it: " .. tostring(box), 3)
  end
  return setmetatable({box = box}, opts.fn and PoolOfOne or Pool)
end

return M
