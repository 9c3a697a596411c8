-- SPDX-License-Identifier: MIT
-- multipool: several pools behind one `submit`, which picks one for each task.

--- Several pools behind one.
-- @module ringlet
-- @section Multipools

local core = require "ringlet.core"
local options = require "ringlet.options"
local pool = require "ringlet.pool"

local M = {}

local BOUNDS = {
  pools = {min = 1, max = 1024, whole = true}, strategy = {"round_robin", "least_tasks"},
}
local OWN = {pools = true, strategy = true, name = true}
local UNLIMITED = -1

--- Several pools, from `rl.multipool`. They are numbered from 1.
-- @type multipool
local Multi = {__name = "ringlet.multipool"}
Multi.__index = Multi

-- ---- submitting ---------------------------------------------------------------------------------

-- The pool with the fewest tasks that run or wait, of equal ones the first.
local function least(self)
  local best, fewest = nil, math.huge
  for _, p in ipairs(self.pools) do
    local n = p:running() + p:waiting()
    if n < fewest then
      best, fewest = p, n
    end
  end
  return best
end

local function next_of(self)
  local i = self.last % #self.pools + 1
  self.last = i
  return self.pools[i]
end

local function enter(self, ...)
  local is_robin = self.strategy == "round_robin"
  local first = is_robin and next_of(self) or least(self)
  self.submitted = self.submitted + 1
  local f, msg, code = first:submit(...)
  local second = code == "EOVERLOAD" and is_robin and least(self)
  if second and second ~= first then
    f, msg, code = second:submit(...)
    self.moved = self.moved + (f and 1 or 0)
  end
  if not f then
    self.rejected = self.rejected + 1
  end
  return f, msg, code
end

--- Submit a task to one of the pools. One that the next pool of a "round_robin" refuses because it
-- is full goes to the pool with the fewest tasks. Of pools with `fn`, it takes the arguments alone.
-- @parks where `submit` of the pool does
-- @tparam fun(...:any):any fn
-- @param ... its arguments
-- @treturn future
-- @fails "EOVERLOAD" when that one is full too; "ECLOSED"
-- @raise outside of a run
function Multi:submit(fn, ...)
  if type(fn) ~= "function" then
    error("function expected, got " .. type(fn), 2)
  end
  return enter(self, fn, ...)
end

-- ---- making -------------------------------------------------------------------------------------

-- What one pool is made with: the options for all of them, and those of its own.
local function options_of(opts, own, i)
  local each = {}
  for name, v in pairs(opts) do
    if not OWN[name] then
      each[name] = v
    end
  end
  for name, v in pairs(own) do
    if name == "fn" then
      error("option 'fn' is for all pools", 0)
    end
    each[name] = v
  end
  each.name = each.name or ("%s %d"):format(opts.name or "pool", i)
  return each
end

local function make(opts, own, i)
  if type(own) ~= "table" then
    error("options must be a table, not a " .. type(own), 0)
  end
  local made = pool.new(options_of(opts, own, i))
  return made
end

local function check(opts)
  if type(opts) ~= "table" then
    error("options must be a table, not a " .. type(opts), 3)
  elseif type(opts.pools) ~= "number" and type(opts.pools) ~= "table" then
    error("option 'pools' must be a number or a list of tables", 3)
  elseif type(opts.pools) == "table" and #opts.pools == 0 then
    error("option 'pools' must have at least one pool", 3)
  elseif opts.strategy ~= nil and type(opts.strategy) ~= "string" then
    error("option 'strategy' must be a string, not a " .. type(opts.strategy), 3)
  end
  options.bounds(opts, BOUNDS, 3)
end

--- Several pools behind one. A line that all submitters share is no line of all of them then: what
-- waits for one pool does not wait for another.
--
-- The other options are those of `rl.pool`, for each of the pools.
-- @tparam table opts
-- @tparam integer|{table} opts.pools how many; or a list with the options of each, which go before
-- those for all
-- @tparam[opt="round_robin"] string opts.strategy "round_robin": one after the other;
-- "least_tasks": the one in which the fewest tasks run and wait
-- @tparam[opt="pool"] string opts.name for `tostring`; the pools are called so, with their numbers
-- @treturn multipool
-- @raise on an option that is unknown or out of range
-- @source the Go package github.com/panjf2000/ants: MultiPool
-- @usage local pools = rl.multipool {pools = 4, size = 25, overflow = "reject"}
function M.new(opts)
  check(opts)
  local listed = type(opts.pools) == "table"
  local self = {
    pools = {}, strategy = opts.strategy or "round_robin", name = opts.name or "pool", last = 0,
    submitted = 0, rejected = 0, moved = 0,
  }
  for i = 1, listed and #opts.pools or opts.pools do
    local ok, made = pcall(make, opts, listed and opts.pools[i] or {}, i)
    if not ok then
      local text = tostring(made):gsub("^[^:]+:%d+: ", "")
      error((listed and ("pool %d: "):format(i) or "") .. text, 2)
    end
    self.pools[i] = made
  end
  if opts.fn then
    self.submit = enter
  end
  return setmetatable(self, Multi)
end

-- ---- sizes --------------------------------------------------------------------------------------

local function check_index(self, i)
  if i ~= nil and not self.pools[i] then
    error(("no such pool: %s (there are %d)"):format(tostring(i), #self.pools), 3)
  end
end

-- Ask one pool, or all of them for a sum; one that has no limit has none together with others.
local function ask(self, i, what)
  if i then
    return self.pools[i][what](self.pools[i])
  end
  local sum = 0
  for _, p in ipairs(self.pools) do
    local n = p[what](p)
    if n == UNLIMITED then
      return UNLIMITED
    end
    sum = sum + n
  end
  return sum
end

--- How many tasks run at a time, at most.
-- @tparam[opt] integer i of this pool alone
-- @treturn integer -1: as many as there are
-- @raise when there is no such pool
function Multi:capacity(i)
  check_index(self, i)
  return ask(self, i, "capacity")
end

--- How many tasks run now.
-- @tparam[opt] integer i in this pool alone
-- @treturn integer
-- @raise when there is no such pool
function Multi:running(i)
  check_index(self, i)
  return ask(self, i, "running")
end

--- How many more tasks could run now.
-- @tparam[opt] integer i in this pool alone
-- @treturn integer -1: as many as there are
-- @raise when there is no such pool
function Multi:free(i)
  check_index(self, i)
  return ask(self, i, "free")
end

--- How many tasks wait, those of submitters that wait for room included.
-- @tparam[opt] integer i for this pool alone
-- @treturn integer
-- @raise when there is no such pool
function Multi:waiting(i)
  check_index(self, i)
  return ask(self, i, "waiting")
end

--- One of the pools.
-- @tparam integer i
-- @treturn pool
-- @raise when there is no such pool
function Multi:pool(i)
  check_index(self, i == nil and 0 or i)
  return self.pools[i]
end

-- Tell all of them; whether any has changed.
local function tell(self, what, ...)
  local changed = false
  for _, p in ipairs(self.pools) do
    changed = p[what](p, ...) or changed
  end
  return changed
end

--- Give each of the pools another size. What runs goes on.
-- @tparam integer n for each; less than 1 changes nothing
-- @treturn boolean whether any was changed
function Multi:resize(n)
  if type(n) ~= "number" or n % 1 ~= 0 then
    error("whole number expected", 2)
  end
  return tell(self, "resize", n)
end

-- ---- pausing and ending -------------------------------------------------------------------------

--- Begin no more tasks. What runs goes on; what is submitted waits in the queues.
-- @treturn boolean false if all were paused already
function Multi:pause()
  return tell(self, "pause")
end

--- Begin tasks again.
-- @treturn boolean false if none was paused
function Multi:resume()
  return tell(self, "resume")
end

-- Call a method that waits, of each pool in turn, for t seconds at most together. The first failure
-- counts.
local function wait_each(self, what, t)
  local due = core.now() + t
  local failure, failure_code
  for _, p in ipairs(self.pools) do
    local ok, msg, code = p[what](p, math.max(due - core.now(), 0))
    if not ok then
      failure, failure_code = failure or msg, failure_code or code
    end
  end
  if failure then
    return nil, failure, failure_code
  end
  return true
end

--- Wait until no task runs or waits in any of the pools.
-- @parks until then; not at all if it is so
-- @tparam[opt] number t seconds
-- @treturn true
-- @fails "ETIMEDOUT"
function Multi:join(t)
  options.seconds(t)
  if t then
    local ok, msg, code = wait_each(self, "join", t)
    return ok, msg, code
  end
  tell(self, "join")
  return true
end

--- Close all of the pools, as `close` of a pool does; the grace is for all of them together.
-- @parks with a grace, until every task has ended or the grace is over
-- @tparam[opt] number grace seconds
-- @treturn true
-- @fails "ETIMEDOUT" when the grace was over first
function Multi:close(grace)
  options.seconds(grace)
  tell(self, "close")
  if not grace then
    return true
  end
  local ok, msg, code = wait_each(self, "close", grace)
  return ok, msg, code
end

--- Take tasks again, after `close`.
-- @treturn boolean false if none was closed
function Multi:reopen()
  return tell(self, "reopen")
end

-- ---- what it tells ------------------------------------------------------------------------------

local SUMS = {
  "running", "queued", "blocked", "done", "failed", "cancelled", "dropped", "spawned", "caller_ran",
}

--- Counters of all pools together, and of each.
-- @treturn multipool_stats a new table
-- @tfield[multipool_stats] integer capacity as of `capacity`
-- @tfield[multipool_stats] integer running tasks that run
-- @tfield[multipool_stats] integer queued tasks that wait
-- @tfield[multipool_stats] integer blocked submitters that wait for room
-- @tfield[multipool_stats] integer submitted tasks so far, refused ones included
-- @tfield[multipool_stats] integer moved tasks that went to the pool with the fewest, for the one
-- whose turn it was had refused them
-- @tfield[multipool_stats] integer rejected tasks that no pool has taken
-- @tfield[multipool_stats] integer done tasks that ended well
-- @tfield[multipool_stats] integer failed tasks
-- @tfield[multipool_stats] integer cancelled tasks
-- @tfield[multipool_stats] integer dropped tasks, for later ones
-- @tfield[multipool_stats] integer spawned tasks that ran beside their pools
-- @tfield[multipool_stats] integer caller_ran tasks that their submitters ran
-- @tfield[multipool_stats] {table} pools `stats` of each pool
function Multi:stats()
  local stats = {
    pools = {}, capacity = self:capacity(), submitted = self.submitted, moved = self.moved,
    rejected = self.rejected,
  }
  for _, name in ipairs(SUMS) do
    stats[name] = 0
  end
  for i, p in ipairs(self.pools) do
    local one = p:stats()
    stats.pools[i] = one
    for _, name in ipairs(SUMS) do
      stats[name] = stats[name] + one[name]
    end
  end
  return stats
end

--- What an autoscaler asks of its target: `active`, tasks that run for each that could, and
-- `queue`, tasks that wait.
-- @treturn table
function Multi:metrics()
  local capacity = self:capacity()
  return {
    active = capacity == UNLIMITED and 0 or self:running() / capacity, queue = self:waiting(),
  }
end

function Multi:__tostring()
  local capacity = self:capacity()
  return ("ringlet.multipool: %s, %d pools, %d of %s running, %d waiting"):format(self.name,
    #self.pools, self:running(), capacity == UNLIMITED and "any number" or capacity, self:waiting())
end

return M
