-- SPDX-License-Identifier: MIT resources: pools of what is dear to open: what their users call.
-- What is idle is in resources_idle, who waits and what is being opened in resources_line, what
-- becomes of a pool when its run ends in resources_run, who keeps a resource for too long in
-- resources_leaks.
--
-- The way of a resource: opened by a daemon of the pool, handed to the longest waiter or put on
-- the stack of idle ones; borrowed, given back, and so on; at last closed by a task of the pool. A
-- user of it that need not wait and has nothing to check neither parks nor allocates.

--- Pools of connections and the like.
-- @module ringlet
-- @section Resources

local cancel = require "ringlet.cancel"
local clock = require "ringlet.clock"
local core = require "ringlet.core"
local fail = require "ringlet.fail"
local idle = require "ringlet.resources_idle"
local leaks = require "ringlet.resources_leaks"
local line = require "ringlet.resources_line"
local options = require "ringlet.options"
local pools = require "ringlet.resources_run"
local run_stop = require "ringlet.run_stop"
local scope = require "ringlet.scope"
local task = require "ringlet.task"

local now = clock.now
local refill, credit = core.refill, core.credit()
local HUGE = math.huge
local AGAIN, FULL = "EAGAIN: nothing is idle", "EOVERLOAD: too many wait already"
local CLOSE = core.reasons.close

local M = {}

--- A pool of resources, from `rl.resources`. `rl.autoscaler` takes it as a target.
-- @type resources
local Resources = {__name = "ringlet.resources"}
Resources.__index = Resources

-- ---- options
-- ------------------------------------------------------------------------------------

local KNOWN = {
  open = "function", close = "function", check = "function", keep = "function",
  on_leak = "function", name = "string",
  max = "number", min_idle = "number", max_idle = "number", max_uses = "number",
  max_waiting = "number", idle_timeout = "number", reuse_within = "number",
  max_lifetime = "number", jitter = "number", check_after = "number", acquire_timeout = "number",
  leak_after = "number", close_timeout = "number", backoff = "number", backoff_max = "number",
}
local WHOLE = {min = 0, whole = true}
local SPAN = {above = 0, infinite = true}
local BOUNDS = {
  max = {min = 1, whole = true}, min_idle = WHOLE, max_idle = WHOLE,
  max_uses = {min = 1, whole = true}, max_waiting = WHOLE, idle_timeout = SPAN,
  reuse_within = SPAN, max_lifetime = SPAN, jitter = {min = 0, max = 1},
  check_after = {min = 0, infinite = true}, acquire_timeout = {min = 0, infinite = true},
  leak_after = {above = 0}, close_timeout = SPAN, backoff = {above = 0}, backoff_max = {above = 0},
}

local function check_options(opts)
  opts = options.check(opts, KNOWN, 3)
  options.bounds(opts, BOUNDS, 3)
  local max = opts.max or 10
  if not opts.open then
    error("option 'open' is missing: what makes a resource", 3)
  elseif (opts.min_idle or 0) > max then
    error(("option 'min_idle' is more than 'max' (%d)"):format(max), 3)
  end
  return opts
end

-- ---- borrowing
-- ----------------------------------------------------------------------------------

-- Raise if the task is cancelled or we are in none.
local function enter()
  local _, code = refill()
  if code then
    fail(code)
  end
end

-- Call `check` on a resource that is nobody's, for at most t seconds: true, false, or nil when
-- time was up.
local function call_check(self, rec, t)
  if t then
    local ok, good = scope.timeout(t, self.do_check, rec.res)
    if not ok then
      return nil
    end
    return good
  end
  return self.do_check(rec.res) or false
end

-- A resource that failed its check, or was checked too late. `good` is nil then.
local function drop_checked(self, rec, ok, good)
  if not ok and not cancel.is_cancel(good) then
    self.last_failure = tostring(good)
  end
  idle.retire(self, rec, "check")
  if not ok and cancel.is_cancel(good) then
    error(good, 0)
  end
end

-- Check an idle resource where that is needed. It counts as borrowed meanwhile. Gives whether it
-- may be lent; nil when time is up. Whoever is cancelled while `check` waits leaves the resource
-- in a state that nobody knows: it is closed.
local function is_good(self, rec, at, t)
  if not self.do_check or at - rec.since < self.check_after then
    return true
  end
  self.borrowed = self.borrowed + 1
  local ok, good = pcall(call_check, self, rec, t)
  self.borrowed = self.borrowed - 1
  if ok and good and not self.closed then
    return true
  end
  drop_checked(self, rec, ok, good)
  if ok and good == nil then
    return nil
  end
  return false
end

-- Borrow an idle one, if there is one that is good. nil, true when time is up.
local function take(self, deadline)
  local at = now()
  local rec = idle.pop(self, at)
  while rec do
    local good = is_good(self, rec, at, deadline and math.max(deadline - core.now(), 0))
    if good then
      line.lend(self, rec, now())
      return rec
    elseif good == nil then
      return nil, true
    end
    at = now()
    rec = idle.pop(self, at)
  end
end

local function time_is_up(self)
  self.timeouts = self.timeouts + 1
  return fail(core.ETIMEDOUT)
end

local function lent(self, rec)
  if self.leak_after then
    leaks.watch(self, rec)
  end
  return rec.res
end

-- Wait in the line.
local function get_in_line(self, ticket, since, t)
  if self.closed then
    return nil, line.CLOSED, "ECLOSED"
  elseif self.waiting >= self.max_waiting then
    self.refused = self.refused + 1
    return nil, FULL, "EOVERLOAD"
  end
  local rec, msg, code, raised = line.wait(self, ticket, since, t)
  if rec then
    return lent(self, rec)
  elseif rec == false and raised then
    error(msg, 0)
  elseif rec == false then
    return nil, msg, code
  elseif msg == core.ETIMEDOUT then
    return time_is_up(self)
  end
  return fail(msg)
end

local function acquire_slow(self, t)
  enter()
  t = t or self.acquire_timeout
  self.ticket = self.ticket + 1
  local ticket, since = self.ticket, now()
  local deadline = t and t < HUGE and core.now() + t or nil
  local rec, late = take(self, deadline)
  if rec then
    line.fill(self)
    return lent(self, rec)
  elseif late then
    return time_is_up(self)
  end
  return get_in_line(self, ticket, since, deadline and math.max(deadline - core.now(), 0))
end

--- Borrow a resource: the one that was given back last, else a new one while there are fewer than
-- `max`, else the next that comes back. Who came first is served first. Give it back by `release`
-- or `discard`.
--
-- A new one is opened by a task of the pool. When something comes back before that is done, the
-- caller has it at once, and the new one is for the next; nor is it lost when the caller gives up.
-- What `open` fails with is for the caller for whom it was called.
-- @parks while there is none; and where `check` does
-- @tparam[opt] number t seconds, by default `acquire_timeout`
-- @treturn any a resource
-- @fails "ETIMEDOUT"; "ECLOSED"; "EOVERLOAD" when `max_waiting` wait already; what `open` failed
-- with; "ECANCELED" when the task in which it ran was cancelled
-- @raise what `open` raised, unchanged; outside of a task
-- @source the Java library HikariCP; the Go package database/sql, type DB
function Resources:acquire(t)
  if t ~= nil then
    options.seconds(t)
  end
  local left, n = credit[1], self.idle_len
  if left > 0 and n > self.min_idle and self.is_plain then
    local rec, at = self.idle[n], now()
    if at < rec.stale then
      credit[1] = left - 1
      self.idle[n] = false
      self.idle_len = n - 1
      rec.held, rec.since, rec.uses = true, at, rec.uses + 1
      self.borrowed = self.borrowed + 1
      self.acquired = self.acquired + 1
      return rec.res
    end
  end
  local res, msg, code = acquire_slow(self, t)
  return res, msg, code
end

--- Borrow an idle resource if there is one. Where there is none and a place is free, one is opened
-- in the background for who asks later.
-- @parks where `check` does
-- @treturn any a resource
-- @fails "EAGAIN", "ECLOSED"
-- @source the Go package github.com/jackc/puddle, Pool.TryAcquire
function Resources:try_acquire()
  if self.closed then
    return nil, line.CLOSED, "ECLOSED"
  end
  local rec = take(self)
  if rec then
    line.fill(self)
    return lent(self, rec)
  elseif self.closed then
    return nil, line.CLOSED, "ECLOSED"
  elseif run_stop.active then
    line.open_spare(self)
  end
  return nil, AGAIN, "EAGAIN"
end

-- ---- giving back
-- --------------------------------------------------------------------------------

-- What is not borrowed comes back. Only what a run that has ended had lent may do so.
local function check_gone(self, res, rec)
  if rec then
    error("resource released twice", 4)
  elseif res == nil or not (self.gone and self.gone[res]) then
    error("release of what was not borrowed from this pool", 4)
  end
end

local function give_back(self, res, broken)
  local rec = self.records[res]
  if not rec or not rec.held then
    check_gone(self, res, rec)
    return
  end
  local at = now()
  local used = at - rec.since
  rec.held = false
  self.borrowed = self.borrowed - 1
  self.released = self.released + 1
  self.use_total = self.use_total + used
  if used > self.use_max then
    self.use_max = used
  end
  if self.leak_after then
    leaks.unwatch(self, rec)
  end
  if broken then
    idle.retire(self, rec, "broken")
  else
    line.give(self, rec, at)
  end
end

--- Give a resource back. The longest waiter has it next. It works while cancelled.
-- @tparam any res what `acquire` gave
-- @tparam[opt=false] boolean broken true: it is closed, and its place is free
-- @raise when it is not borrowed from this pool, or was released already
function Resources:release(res, broken)
  give_back(self, res, broken)
end

--- Give a resource back that is not to be used again: it is closed, and its place is free.
-- @tparam any res what `acquire` gave
-- @raise when it is not borrowed from this pool, or was released already
function Resources:discard(res)
  give_back(self, res, true)
end

-- Does `keep` say that a resource is good, though the function that used it raised?
local function is_kept(self, res, err)
  if not self.do_keep then
    return false
  end
  local ok, good = pcall(self.do_keep, res, err)
  if not ok then
    task.report(good, "", task.self())
  end
  return ok and good
end

local function leave_with(self, rec, uses, ok, ...)
  if rec.held and rec.uses == uses then -- fn may have given it back itself
    give_back(self, rec.res, not ok and not is_kept(self, rec.res, (...)))
  end
  if not ok then
    error((...), 0)
  end
  return ...
end

--- Call fn with a resource, and give that back whatever becomes of fn. When fn raises, or its task
-- is cancelled, nobody knows in what state it left the resource, an answer that nobody has read,
-- say: it is discarded, unless `keep` says that it is good. fn may discard it itself.
-- @parks as `acquire` does, and where fn does
-- @tparam fun(res:any,...:any):any fn
-- @param ... its further arguments
-- @return ... fn's results
-- @fails as `acquire` does
-- @raise what fn raises, unchanged
function Resources:with(fn, ...)
  options.callable(fn)
  local res, msg, code = self:acquire()
  if res == nil then
    return nil, msg, code
  end
  local rec = self.records[res]
  return leave_with(self, rec, rec.uses, pcall(fn, res, ...))
end

-- ---- the pool
-- -----------------------------------------------------------------------------------

-- Give the pool its fields. Each is there from the beginning.
local function new(opts)
  return setmetatable({
    do_open = opts.open, do_close = opts.close, do_check = opts.check, do_keep = opts.keep,
    on_leak = opts.on_leak, name = opts.name or "resources",
    max = opts.max or 10, min_idle = opts.min_idle or 0, min_idle_wanted = opts.min_idle or 0,
    max_idle = opts.max_idle or HUGE,
    max_uses = opts.max_uses or HUGE, max_waiting = opts.max_waiting or HUGE,
    idle_timeout = opts.idle_timeout or 30,
    fresh_for = math.min(opts.idle_timeout or 30, opts.reuse_within or HUGE),
    max_lifetime = opts.max_lifetime or HUGE, jitter = opts.jitter or 0.025,
    check_after = (opts.check_after or 0) - idle.ROUNDING, acquire_timeout = opts.acquire_timeout,
    leak_after = opts.leak_after, close_timeout = opts.close_timeout or 5,
    backoff_min = opts.backoff or 0.1, backoff_max = opts.backoff_max or 30,
    is_plain = not opts.check and not opts.leak_after,
    closed = false, closers = core.waitq(),
    last_id = 0, acquired = 0, released = 0, timeouts = 0, refused = 0, opened = 0, failures = 0,
    leaks = 0, wait_total = 0, wait_max = 0, use_total = 0, use_max = 0,
    closed_by = {idle = 0, lifetime = 0, uses = 0, check = 0, broken = 0, surplus = 0, resize = 0,
      closed = 0, run = 0},
  }, Resources)
end

--- A pool of resources: of connections, or of whatever is dear to open and serves one task at a
-- time. It is of one shard.
--
-- There are never more than `max` of them, with those that are being opened and closed. What is
-- idle is reused last in, first out, so that few are kept warm and the others time out.
--
-- Made outside of a run, it opens nothing until it is used. When the run ends what is open is
-- closed: the next run begins with none. A pool that is dropped without `close` is collected, and
-- what is idle in it with it.
-- @tparam table opts
-- @tparam fun():any opts.open gives a resource, which is neither nil nor false, and of which there
-- is but one; or nil, a message and a code. It runs in a task of the pool, may park, and is not
-- interrupted when nobody waits any more: it needs a limit of its own, as `net.connect` has
-- @tparam[opt] fun(res:any,why:string) opts.close closes one; `why` is a name as in
-- `stats().closed`. It runs in a task of the pool and may park; until it has returned the place is
-- taken. What it raises goes to `rl.on_error`. At the end of a run it is called outside of any
-- task: then it cannot park, and what it raises is dropped
-- @tparam[opt] fun(res:any):boolean opts.check is an idle resource still good? It runs in the task
-- that acquires and may park. When it gives nil or false, or raises, the resource is closed and
-- the next one is tried
-- @tparam[opt] fun(res:any,err:any):boolean opts.keep is a resource still good after the function
-- of `with` raised `err`, which may be a cancellation? It must not park
-- @tparam[opt=10] integer opts.max how many there may be
-- @tparam[opt=0] integer opts.min_idle so many are kept idle: opened in the background, not closed
-- by `idle_timeout`
-- @tparam[opt] integer opts.max_idle more are not kept: the longest idle is closed; by default no
-- limit
-- @tparam[opt] integer opts.max_uses how often one is borrowed before it is closed; by default no
-- limit
-- @tparam[opt] integer opts.max_waiting how many tasks may wait; by default no limit
-- @tparam[opt=30] number opts.idle_timeout seconds after which an idle one is closed
-- @tparam[opt] number opts.reuse_within seconds after which an idle one is not reused any more, if
-- that is less than `idle_timeout`
-- @tparam[opt] number opts.max_lifetime seconds from its opening after which one is closed, when
-- it is given back at the latest; by default no limit
-- @tparam[opt=0.025] number opts.jitter each lifetime is shorter by a random part, this at most,
-- so that not all end at once; from 0 to 1
-- @tparam[opt=0] number opts.check_after seconds idle before a check is needed
-- @tparam[opt] number opts.acquire_timeout seconds that `acquire` waits at most; by default no
-- limit
-- @tparam[opt] number opts.leak_after seconds after which whoever has not given a resource back is
-- told of. With it each `acquire` takes a traceback, which costs some microseconds
-- @tparam[opt] fun(event:table,text:string) opts.on_leak called once for each such, with
-- {resource=, task=, seconds= that it has had it, traceback= when it acquired it, where= the task
-- is now}; must not park. By default the text goes to stderr
-- @tparam[opt=5] number opts.close_timeout seconds that `close` may take; then it is cancelled
-- @tparam[opt=0.1] number opts.backoff seconds from a failure to open one for `min_idle` to the
-- next attempt, doubled each time
-- @tparam[opt=30] number opts.backoff_max seconds that this may become
-- @tparam[opt="resources"] string opts.name for `tostring` and reports
-- @treturn resources
-- @raise on an option that is unknown or out of range
-- @source the Java library HikariCP, its configuration; the Go package database/sql
function M.new(opts)
  local self = new(check_options(opts))
  pools.begin(self)
  if run_stop.active then
    line.fill(self)
  end
  return self
end

--- How many resources there may be: `max`.
-- @treturn integer
function Resources:size()
  return self.max
end

--- Let there be more or fewer. Who waits has the new places; those that are too many are closed,
-- the longest idle first, borrowed ones when they are given back.
-- @tparam integer n 1 or more
function Resources:resize(n)
  if type(n) ~= "number" then
    error("number expected, got " .. type(n), 2)
  end
  options.bound(n, BOUNDS.max, "the number of resources")
  self.max = n
  self.min_idle = math.min(self.min_idle_wanted, n)
  local surplus = self.total - self.closing - n
  if surplus > 0 then
    idle.trim(self, math.max(self.idle_len - surplus, 0), "resize")
  end
  if run_stop.active then
    idle.settle(self)
  end
end

--- Close idle resources, the longest idle first.
-- @tparam[opt=0] integer keep how many may stay idle
-- @treturn integer how many were closed
function Resources:trim(keep)
  options.bound(keep or 0, WHOLE, "the number to keep")
  local n = idle.trim(self, keep or 0, "surplus")
  if n > 0 then
    line.fill(self)
  end
  return n
end

--- Close the pool: who waits and whoever comes fails with "ECLOSED"; what is idle is closed, what
-- is borrowed when it is given back, what is being opened when that is done. It may be called any
-- number of times.
-- @parks with a grace, until everything is closed
-- @tparam[opt] number grace seconds to wait for that; without it, `close` does not wait
-- @treturn true
-- @fails "ETIMEDOUT" when something is open still
function Resources:close(grace)
  options.seconds(grace)
  if not self.closed then
    self.closed = true
    line.stop_backing_off(self)
    line.refuse_all(self)
    idle.trim(self, 0, "closed")
    idle.disarm(self)
  end
  if grace == nil or self.total == 0 then
    return true
  end
  enter()
  local ok, code = core.wait(self.closers, grace, CLOSE)
  if ok == nil then
    return fail(code)
  end
  return true
end

--- What an autoscaler asks of its target: `active`, the part of the places that is borrowed,
-- `queue`, how many tasks wait, and `wait`, for how many seconds the longest of them has.
-- @treturn table
function Resources:metrics()
  local first = self.first
  return {
    active = self.borrowed / self.max, queue = self.waiting,
    wait = first and math.max(core.now() - first.since, 0) or 0,
  }
end

local function mean(total, n)
  return n > 0 and total / n or 0
end

--- Counters.
-- @treturn resources_stats a new table
-- @tfield[resources_stats] integer max how many there may be
-- @tfield[resources_stats] integer open resources that are idle or borrowed
-- @tfield[resources_stats] integer idle resources
-- @tfield[resources_stats] integer borrowed resources, with those that are being checked
-- @tfield[resources_stats] integer opening resources that are being opened
-- @tfield[resources_stats] integer closing resources that are being closed
-- @tfield[resources_stats] integer waiting tasks
-- @tfield[resources_stats] integer acquired times that one was borrowed
-- @tfield[resources_stats] integer timeouts times that `acquire` failed with "ETIMEDOUT"
-- @tfield[resources_stats] integer refused times that `acquire` failed with "EOVERLOAD"
-- @tfield[resources_stats] integer opened resources so far
-- @tfield[resources_stats] integer failures times that `open` failed
-- @tfield[resources_stats] string last_failure what `open` or `check` failed with last, or ""
-- @tfield[resources_stats] table closed how many were closed, by why: `idle` (idle_timeout or
-- reuse_within), `lifetime`, `uses`, `check`, `broken` (discarded), `surplus` (max_idle or
-- `trim`), `resize`, `closed` (the pool was), `run` (it ended)
-- @tfield[resources_stats] integer leaks borrowings that were told of
-- @tfield[resources_stats] number wait_mean seconds that a borrower waited
-- @tfield[resources_stats] number wait_max the longest
-- @tfield[resources_stats] number use_mean seconds that one was borrowed for
-- @tfield[resources_stats] number use_max the longest
function Resources:stats()
  local closed = {}
  for why, n in pairs(self.closed_by) do
    closed[why] = n
  end
  return {
    max = self.max, open = self.idle_len + self.borrowed, idle = self.idle_len,
    borrowed = self.borrowed, opening = #self.openings, closing = self.closing,
    waiting = self.waiting, acquired = self.acquired, timeouts = self.timeouts,
    refused = self.refused, opened = self.opened, failures = self.failures,
    last_failure = self.last_failure or "", closed = closed, leaks = self.leaks,
    wait_mean = mean(self.wait_total, self.acquired), wait_max = self.wait_max,
    use_mean = mean(self.use_total, self.released), use_max = self.use_max,
  }
end

function Resources:__tostring()
  return ("ringlet.resources: %s, %s%d of %d open, %d idle, %d waiting"):format(self.name,
    self.closed and "closed, " or "", self.idle_len + self.borrowed, self.max, self.idle_len,
    self.waiting)
end

return M
