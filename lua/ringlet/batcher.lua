-- SPDX-License-Identifier: MIT
-- batcher: what many submit is collected, and done with one call: options, submitting, closing. A
-- batch, and the invariants, are in batcher_batch.

--- Collecting calls.
-- @module ringlet
-- @section Batches

local batches = require "ringlet.batcher_batch"
local core = require "ringlet.core"
local fail = require "ringlet.fail"
local future = require "ringlet.future"
local options = require "ringlet.options"
local run_stop = require "ringlet.run_stop"
local time = require "ringlet.time"

local wait = core.wait
local WAIT = core.reasons.wait

local M = {}

local SIZE, DELAY, MAX_PENDING = 100, 0.01, 10000

local KNOWN = {
  fn = "function", size = "number", delay = "number", max_pending = "number",
  concurrency = "number", overflow = "string", key = "function", name = "string",
}
local BOUNDS = {
  size = {min = 1, whole = true}, delay = {min = 0, infinite = true},
  max_pending = {min = 1, whole = true}, concurrency = {min = 1, whole = true},
  overflow = {"block", "reject"},
}

--- Collects what is submitted and has it done with one call, from `rl.batcher`.
-- @type batcher
local Batcher = {__name = "ringlet.batcher"}
Batcher.__index = Batcher

local function closed(self)
  return nil, self.closed_text, "ECLOSED"
end

-- A place for one more member; parks for at most t seconds if there is none.
local function enter(self, t)
  if self.unsettled < self.max_pending then
    self.unsettled = self.unsettled + 1
    return true
  elseif self.overflow == "reject" then
    self.rejected = self.rejected + 1
    return nil, self.full_text, "EOVERLOAD"
  end
  local ok, code = wait(self.room, t, WAIT)
  if ok == nil then
    return fail(code)
  elseif not ok then
    return closed(self)
  end
  return true
end

-- A member for v: its future, or nil, msg, code.
local function submit(self, v, t)
  if self.is_closed then
    return closed(self)
  elseif not run_stop.active then
    error("not inside a task: items are submitted while rl.run is active", 3)
  end
  local key
  if self.key then
    key = self.key(v)
  end
  local ok, msg, code = enter(self, t)
  if not ok then
    return nil, msg, code
  elseif self.is_closed then
    batches.leave(self, 1)
    return closed(self)
  end
  return batches.add(self, v, key)
end

local function check_item(v, t, level)
  if v == nil then
    error("nil cannot be submitted", level + 1)
  end
  options.seconds(t, level + 1)
end

--- Submit an item. Its future gives what became of it: `true` and its result; `true`, nil, a
-- message and a code if it or the whole call failed so; `false` and the error if the function
-- raised. Cancelled while it waits, the item is taken out; later, only its result is dropped.
-- @parks with "block", while there are `max_pending`
-- @tparam any v anything but nil
-- @tparam[opt] number t seconds to wait for room
-- @treturn future
-- @fails "EOVERLOAD" with "reject"; "ECLOSED"; "ETIMEDOUT"
-- @raise outside of `run`
function Batcher:submit(v, t)
  check_item(v, t, 2)
  local f, msg, code = submit(self, v, t)
  return f, msg, code
end

local function give(ok, ...)
  if not ok then
    error((...), 0)
  end
  return ...
end

--- Submit an item and wait for its result.
-- @parks until the batch is done
-- @tparam any v anything but nil
-- @tparam[opt] number t seconds; then the item is cancelled
-- @return its result
-- @fails "EOVERLOAD" with "reject"; "ECLOSED"; "ETIMEDOUT"; the code of the item or of the call
-- @raise what the function raised, unchanged; outside of a task
function Batcher:call(v, t)
  check_item(v, t, 2)
  core.check()
  local deadline = t and core.now() + t
  local f, msg, code = submit(self, v, t)
  if not f then
    return nil, msg, code
  end
  f[2], f[3] = core.waitq(), true
  local ok, why = wait(f[2], deadline and math.max(deadline - core.now(), 0), WAIT)
  if ok == nil then
    f:cancel("not waited for any more")
    return fail(why)
  end
  return give(future.outcome(f))
end

--- Do what waits now, without waiting for more.
function Batcher:flush()
  local batch = self.batch
  if batch then
    batches.send(batch)
  end
end

--- Wait until nothing is pending and no call runs.
-- @parks until then; not at all if it is so
-- @tparam[opt] number t seconds
-- @treturn true
-- @fails "ETIMEDOUT"
function Batcher:wait(t)
  options.seconds(t)
  core.check()
  if self.unsettled == 0 and self.live == 0 then
    return true
  end
  local ok, code = wait(self.idle, t, WAIT)
  if ok == nil then
    return fail(code)
  end
  return true
end

--- Take no more items: what waits is done now. It may be called any number of times, and does not
-- wait; `wait` does.
-- @tparam[opt] number grace seconds after which calls that are not done are cancelled, and their
-- members fail with "ECLOSED"
function Batcher:close(grace)
  options.seconds(grace)
  self.is_closed = true
  core.wake_all(self.room, false)
  self:flush()
  if grace and self.live > 0 then
    batches.stop_grace(self)
    if grace <= 0 then
      batches.give_up(self)
    elseif grace < math.huge then
      self.grace = time.call_after(grace, function()
        self.grace = nil
        batches.give_up(self)
      end)
    end
  end
end

--- How many submitted items are not settled.
-- @treturn integer
function Batcher:pending()
  return self.unsettled
end

--- Counters of the batcher.
-- @treturn batcher_stats a new table
-- @tfield[batcher_stats] integer calls of the function so far
-- @tfield[batcher_stats] integer items it was given so far
-- @tfield[batcher_stats] integer failures calls of which every item failed
-- @tfield[batcher_stats] integer shared items that were not done since one with the same key was
-- @tfield[batcher_stats] integer cancelled items
-- @tfield[batcher_stats] integer rejected items
-- @tfield[batcher_stats] integer pending items that are not settled
-- @tfield[batcher_stats] integer running calls
function Batcher:stats()
  return {
    calls = self.calls, items = self.items, failures = self.failures, shared = self.shared,
    cancelled = self.cancelled, rejected = self.rejected, pending = self.unsettled,
    running = self.running,
  }
end

function Batcher:__tostring()
  return ("ringlet.batcher: %s, %d pending, %d calls running%s"):format(self.name, self.unsettled,
    self.running, self.is_closed and ", closed" or "")
end

--- A batcher: `fn` is called with a list of what was submitted, `size` items at most, not later
-- than `delay` seconds after the first of them.
--
-- fn returns a list of results in the order of the items; with it, perhaps, a table of failures,
-- index = {message, code}, for items that have no result. `true` is the result of each. When it
-- returns nil, a message and a code, or raises, every item fails so. It runs in a task of its own,
-- which no member's cancellation reaches.
-- @tparam table opts
-- @tparam fun(list:any[]):any opts.fn does what is in the list; it may keep it
-- @tparam[opt=100] integer opts.size items in a call, at most
-- @tparam[opt=0.01] number opts.delay seconds that the first item waits for others; 0: for what the
-- tasks that are ready now submit; `math.huge`: until there are `size`, or `flush`
-- @tparam[opt] integer opts.concurrency calls at a time; what is due then waits for its turn, and
-- takes items until it is full. By default there is no limit
-- @tparam[opt=10000] integer opts.max_pending items that are not settled, at most
-- @tparam[opt="block"] string opts.overflow what `submit` does when there are so many: "block",
-- wait for room; "reject", fail with "EOVERLOAD"
-- @tparam[opt] fun(v:any):any opts.key items with the same key - not nil - are one item of a call:
-- the first
-- @tparam[opt="batcher"] string opts.name for `tostring`, messages and the tasks
-- @treturn batcher
-- @raise options that make no sense
-- @source the JavaScript library DataLoader
function M.new(opts)
  opts = options.check(opts, KNOWN)
  options.bounds(opts, BOUNDS)
  local size = opts.size or SIZE
  local max_pending = opts.max_pending or math.max(MAX_PENDING, size)
  if not opts.fn then
    error("option 'fn' is missing: what is called with a list of items", 2)
  elseif max_pending < size then
    error("option 'max_pending' is less than 'size'", 2)
  end
  local name = opts.name or "batcher"
  local self = setmetatable({
    fn = opts.fn, size = size, delay = opts.delay or DELAY, max_pending = max_pending,
    concurrency = opts.concurrency or math.huge, overflow = opts.overflow or "block",
    key = opts.key, name = name, last = 0, is_closed = false, calls = 0, items = 0, failures = 0,
    shared = 0, cancelled = 0, rejected = 0, full_text = "EOVERLOAD: " .. name .. " is full",
    closed_text = "ECLOSED: " .. name .. " is closed",
  }, Batcher)
  batches.reset(self)
  return self
end

return M
