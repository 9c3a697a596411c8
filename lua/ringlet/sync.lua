-- SPDX-License-Identifier: MIT
-- sync: mutex, rwmutex, semaphore, waitgroup, once, cond, barrier, event, singleflight.
--
-- Each is a few fields and a wait queue of the core. What is waited for is handed over by whoever
-- gives it up, so nobody can overtake a waiter, and a waiter that timed out or was cancelled has
-- nothing.

--- Locks, counters, meeting points. Waiters are served first come, first served.
-- @module ringlet
-- @section Synchronization

local cancel = require "ringlet.cancel"
local core = require "ringlet.core"
local fail = require "ringlet.fail"
local options = require "ringlet.options"
local scope = require "ringlet.scope"
local task = require "ringlet.task"

local unpack = table.unpack or rawget(_G, "unpack")
local reasons = core.reasons
local wake, waitq = core.wake, core.waitq

local M = {}

local function pack(...)
  return {n = select("#", ...), ...}
end

-- Wait on self.q; true or failure values.
local function wait_on(self, t, reason)
  local ok, code = core.wait(self.q, t, reason)
  if ok == nil then
    return fail(code)
  end
  return ok
end

-- Raise if the task is cancelled or we are in none; for calls that may park but need not.
local function enter()
  local _, code = core.refill()
  if code then
    fail(code)
  end
end

local function whole(n, min, what, level)
  if type(n) ~= "number" or n < min or n ~= math.floor(n) then
    error(("%s must be a whole number of at least %d"):format(what, min), (level or 2) + 1)
  end
end

local function unlock_after(unlock, self, ok, ...)
  unlock(self)
  if not ok then
    error((...), 0)
  end
  return ...
end

local function class(name)
  local C = {__name = "ringlet." .. name}
  C.__index = C
  return C
end

--- An event, from `rl.event`: tasks wait until it is set. `rl.select` takes it: the case gives
-- true.
-- @type event
local Event = class "event"

--- An event, which is clear at first.
-- @treturn event
function M.event()
  return setmetatable({q = waitq(), on = false}, Event)
end

--- Set it: everybody who waits goes on, and whoever comes later does not wait.
function Event:set()
  self.on = true
  core.wake_all(self.q, true)
end

--- Clear it: whoever comes from now on waits.
function Event:clear()
  self.on = false
end

--- Is it set?
-- @treturn boolean
function Event:is_set()
  return self.on
end

--- Wait until it is set.
-- @parks until then; not at all if it is
-- @tparam[opt] number t seconds
-- @treturn true
-- @fails "ETIMEDOUT"
function Event:wait(t)
  options.seconds(t)
  enter()
  if self.on then
    return true
  end
  return wait_on(self, t, reasons["event wait"])
end

function Event:poll_()
  return self.on, true
end

function Event:__tostring()
  return "ringlet.event: " .. (self.on and "set" or "clear")
end

--- Mutual exclusion, from `rl.mutex`. The longest waiter has it next. It is not recursive, and any
-- task may unlock it.
-- @type mutex
local Mutex = class "mutex"

--- A mutex, which is unlocked at first.
-- @treturn mutex
-- @source pthread_mutex_lock(3); the Go type sync.Mutex
function M.mutex()
  return setmetatable({q = waitq(), held = false}, Mutex)
end

--- Lock it.
-- @parks while it is locked
-- @tparam[opt] number t seconds
-- @treturn true
-- @fails "ETIMEDOUT"
function Mutex:lock(t)
  options.seconds(t)
  enter()
  if not self.held then
    self.held = true
    return true
  end
  return wait_on(self, t, reasons.lock)
end

--- Lock it if that needs no waiting.
-- @treturn boolean whether the caller has it now
function Mutex:try_lock()
  if self.held then
    return false
  end
  self.held = true
  return true
end

--- Unlock it: the longest waiter has it now.
-- @raise when it is not locked
function Mutex:unlock()
  if not self.held then
    error("unlock of unlocked mutex", 2)
  end
  self.held = wake(self.q, true)
end

--- Call fn with the mutex held; unlock it whatever becomes of fn.
-- @parks while it is locked, and where fn does
-- @tparam fun(...:any):any fn
-- @param ... its arguments
-- @return ... fn's results
-- @raise what fn raises, unchanged
function Mutex:with(fn, ...)
  self:lock()
  return unlock_after(self.unlock, self, pcall(fn, ...))
end

function Mutex:__tostring()
  return "ringlet.mutex: " .. (self.held and "locked" or "unlocked")
end

-- Waiters that want different things wait in a line of entries, each with a queue of its own.

local function line_wait(self, entry, t, reason)
  entry.q = waitq()
  self.line[#self.line + 1] = entry
  local ok, code = core.wait(entry.q, t, reason)
  if ok ~= nil then
    return ok
  end
  for i, e in ipairs(self.line) do
    if e == entry then
      table.remove(self.line, i)
      break
    end
  end
  self:settle()
  return fail(code)
end

-- A waiter whose time is up, or that was cancelled, has left before its task has run again: entries
-- without one do not count. Is there still somebody in the line?
local function line_has(self)
  local line = self.line
  while line[1] and not core.waits(line[1].q, 1) do
    table.remove(line, 1)
  end
  return line[1] ~= nil
end

-- Serve from the head while `serve(self, entry)` says so.
local function line_settle(self, serve)
  local entry = self.line[1]
  while entry do
    if core.waits(entry.q, 1) then
      if not serve(self, entry) then
        return
      end
      table.remove(self.line, 1)
      wake(entry.q, true)
    else
      table.remove(self.line, 1)
    end
    entry = self.line[1]
  end
end

--- Many readers or one writer, from `rl.rwmutex`. A waiting writer keeps new readers out.
-- @type rwmutex
local RW = class "rwmutex"

--- A readers-writer mutex.
-- @treturn rwmutex
-- @source pthread_rwlock_rdlock(3); the Go type sync.RWMutex
function M.rwmutex()
  return setmetatable({line = {}, readers = 0, writer = false}, RW)
end

local function rw_serve(self, entry)
  if self.writer or (entry.write and self.readers > 0) then
    return false
  elseif entry.write then
    self.writer = true
  else
    self.readers = self.readers + 1
  end
  return true
end

--- Serve who waits.
-- @local
function RW:settle()
  line_settle(self, rw_serve)
end

--- Lock for writing if that needs no waiting.
-- @treturn boolean whether the caller has it now
function RW:try_lock()
  if self.writer or self.readers > 0 or line_has(self) then
    return false
  end
  self.writer = true
  return true
end

--- Lock for reading if that needs no waiting.
-- @treturn boolean whether the caller has it now
function RW:try_rlock()
  if self.writer or line_has(self) then
    return false
  end
  self.readers = self.readers + 1
  return true
end

--- Lock for writing.
-- @parks while others read or write
-- @tparam[opt] number t seconds
-- @treturn true
-- @fails "ETIMEDOUT"
function RW:lock(t)
  options.seconds(t)
  enter()
  if self:try_lock() then
    return true
  end
  return line_wait(self, {write = true}, t, reasons.lock)
end

--- Lock for reading.
-- @parks while another writes or waits to
-- @tparam[opt] number t seconds
-- @treturn true
-- @fails "ETIMEDOUT"
function RW:rlock(t)
  options.seconds(t)
  enter()
  if self:try_rlock() then
    return true
  end
  return line_wait(self, {}, t, reasons.lock)
end

--- Unlock what was locked for writing.
-- @raise when it is not
function RW:unlock()
  if not self.writer then
    error("unlock of unlocked rwmutex", 2)
  end
  self.writer = false
  self:settle()
end

--- Unlock what was locked for reading.
-- @raise when it is not
function RW:runlock()
  if self.readers == 0 then
    error("unlock of unlocked rwmutex", 2)
  end
  self.readers = self.readers - 1
  self:settle()
end

--- From writing to reading, without letting another writer in between.
-- @raise when it is not locked for writing
function RW:downgrade()
  if not self.writer then
    error("downgrade of unlocked rwmutex", 2)
  end
  self.writer, self.readers = false, 1
  self:settle()
end

--- Call fn with the write lock held; unlock it whatever becomes of fn.
-- @parks while others read or write, and where fn does
-- @tparam fun(...:any):any fn
-- @param ... its arguments
-- @return ... fn's results
-- @raise what fn raises, unchanged
function RW:with(fn, ...)
  self:lock()
  return unlock_after(self.unlock, self, pcall(fn, ...))
end

--- Call fn with a read lock held; unlock it whatever becomes of fn.
-- @parks while another writes or waits to, and where fn does
-- @tparam fun(...:any):any fn
-- @param ... its arguments
-- @return ... fn's results
-- @raise what fn raises, unchanged
function RW:rwith(fn, ...)
  self:rlock()
  return unlock_after(self.runlock, self, pcall(fn, ...))
end

function RW:__tostring()
  return ("ringlet.rwmutex: %s"):format(self.writer and "writing" or self.readers .. " reading")
end

--- A weighted semaphore, from `rl.semaphore`.
-- @type semaphore
local Semaphore = class "semaphore"

--- A semaphore of n tokens.
-- @tparam integer n 0 or more
-- @treturn semaphore
-- @source E. W. Dijkstra, EWD 74; the Go package golang.org/x/sync/semaphore
function M.semaphore(n)
  whole(n, 0, "the number of tokens")
  return setmetatable({line = {}, n = n, size = n}, Semaphore)
end

local function semaphore_serve(self, entry)
  if entry.k > self.n then
    return false
  end
  self.n = self.n - entry.k
  return true
end

--- Serve who waits.
-- @local
function Semaphore:settle()
  line_settle(self, semaphore_serve)
end

--- Take k tokens if that needs no waiting.
-- @tparam[opt=1] integer k
-- @treturn boolean whether the caller has them now
function Semaphore:try_acquire(k)
  k = k or 1
  whole(k, 0, "tokens")
  if line_has(self) or self.n < k then
    return false
  end
  self.n = self.n - k
  return true
end

--- Take k tokens. A large request is not starved by small ones that come later.
-- @parks while there are fewer, or others wait
-- @tparam[opt=1] integer k
-- @tparam[opt] number t seconds
-- @treturn true
-- @fails "ETIMEDOUT"
function Semaphore:acquire(k, t)
  options.seconds(t)
  k = k or 1
  whole(k, 0, "tokens")
  enter()
  if self:try_acquire(k) then
    return true
  end
  return line_wait(self, {k = k}, t, reasons["semaphore acquire"])
end

--- Give k tokens back.
-- @tparam[opt=1] integer k
-- @raise when more come back than were taken
function Semaphore:release(k)
  k = k or 1
  whole(k, 0, "tokens")
  if self.n + k > self.size then
    error("released more than acquired", 2)
  end
  self.n = self.n + k
  self:settle()
end

--- Tokens that nobody holds.
-- @treturn integer
function Semaphore:available()
  return self.n
end

function Semaphore:__tostring()
  return ("ringlet.semaphore: %d/%d"):format(self.n, self.size)
end

--- A counter to wait on, from `rl.waitgroup`. `rl.select` takes it: the case gives true.
-- @type waitgroup
local WaitGroup = class "waitgroup"

--- A waitgroup, whose counter is 0 at first.
-- @treturn waitgroup
-- @source the Go type sync.WaitGroup
function M.waitgroup()
  return setmetatable({q = waitq(), n = 0}, WaitGroup)
end

--- Add n to the counter. At 0 everybody who waits goes on.
-- @tparam integer n may be negative
-- @raise when the counter would become negative
function WaitGroup:add(n)
  whole(n, -math.huge, "n")
  if self.n + n < 0 then
    error("negative waitgroup counter", 2)
  end
  self.n = self.n + n
  if self.n == 0 then
    core.wake_all(self.q, true)
  end
end

--- Take 1 from the counter.
-- @raise when the counter would become negative
function WaitGroup:done()
  if self.n == 0 then
    error("negative waitgroup counter", 2)
  end
  self:add(-1)
end

--- Start a root task that counts until it has ended, however it ends.
-- @tparam fun(...:any):any fn
-- @param ... its arguments
-- @treturn task
-- @raise outside of `run`
function WaitGroup:go(fn, ...)
  local h = task.go(fn, ...)
  self:add(1)
  h.on_end = function()
    -- This runs outside of any task: nobody is there to raise to.
    local ok, err = pcall(self.done, self)
    if not ok then
      task.report(err, "", h)
    end
  end
  task.anchor(h)
  return h
end

--- Wait until the counter is 0.
-- @parks until then; not at all if it is
-- @tparam[opt] number t seconds
-- @treturn true
-- @fails "ETIMEDOUT"
function WaitGroup:wait(t)
  options.seconds(t)
  enter()
  if self.n == 0 then
    return true
  end
  return wait_on(self, t, reasons["waitgroup wait"])
end

function WaitGroup:poll_()
  return self.n == 0, true
end

function WaitGroup:__tostring()
  return "ringlet.waitgroup: " .. self.n
end

--- A function that calls fn once, whoever calls it first; everybody gets fn's results, or its
-- error. It parks while another's call is under way. When the first caller is cancelled, the next
-- one calls fn again.
-- @tparam fun(...:any):any fn gets the arguments of the first call
-- @treturn fun(...:any):any
-- @source the Go function sync.OnceValues
function M.once(fn)
  if type(fn) ~= "function" then
    error("function expected, got " .. type(fn), 2)
  end
  local results, running
  local q = waitq()
  return function(...)
    while running and not results do
      local ok, code = core.wait(q, nil, reasons.once)
      if ok == nil then
        fail(code)
      end
    end
    if not results then
      running = true
      local got = pack(pcall(fn, ...))
      running = false
      if got[1] or not cancel.is_cancel(got[2]) then
        results, fn = got, nil
      end
      core.wake_all(q, true)
      if not results then
        error(got[2], 0)
      end
    end
    if not results[1] then
      error(results[2], 0)
    end
    return unpack(results, 2, results.n)
  end
end

--- A condition variable, from `rl.cond`.
-- @type cond
local Cond = class "cond"

--- A condition variable of a mutex.
-- @tparam mutex m
-- @treturn cond
-- @source pthread_cond_wait(3); C. A. R. Hoare, "Monitors", 1974
function M.cond(m)
  if getmetatable(m) ~= Mutex then
    error("mutex expected", 2)
  end
  return setmetatable({q = waitq(), m = m}, Cond)
end

--- Unlock the mutex, wait for a signal, lock it again, also when time is up or the task is
-- cancelled. There are no wake-ups without a signal; the condition may have changed again though.
-- @parks until it was signalled and the mutex is free
-- @tparam[opt] number t seconds
-- @treturn true
-- @fails "ETIMEDOUT"
-- @raise when the mutex is not locked
function Cond:wait(t)
  options.seconds(t)
  core.check()
  self.m:unlock()
  local ok, code = core.wait(self.q, t, reasons["cond wait"])
  scope.shield_wait(self.m.lock, self.m)
  if ok == nil then
    return fail(code)
  end
  return ok
end

--- Wake the longest waiter, if there is one.
function Cond:signal()
  wake(self.q, true)
end

--- Wake everybody who waits now.
function Cond:broadcast()
  core.wake_all(self.q, true)
end

--- A meeting point, from `rl.barrier`, which can be used again and again.
-- @type barrier
local Barrier = class "barrier"

--- A barrier of n tasks.
-- @tparam integer n 1 or more
-- @treturn barrier
-- @source pthread_barrier_wait(3)
function M.barrier(n)
  whole(n, 1, "the number of tasks")
  return setmetatable({n = n, line = {}}, Barrier)
end

--- Nobody is served before all have come.
-- @local
function Barrier.settle() end

-- Who timed out or was cancelled does not count, even before its task has run again.
local function drop_gone(self)
  local here = {}
  for _, entry in ipairs(self.line) do
    if core.waits(entry.q, 1) then
      here[#here + 1] = entry
    end
  end
  self.line = here
end

--- Wait until n tasks have come. Whoever gives up does not count.
-- @parks until the last has come
-- @tparam[opt] number t seconds
-- @treturn integer in which place this task came, from 1 to n
-- @fails "ETIMEDOUT"
function Barrier:wait(t)
  options.seconds(t)
  enter()
  if #self.line + 1 >= self.n then
    drop_gone(self)
  end
  if #self.line + 1 < self.n then
    return line_wait(self, {}, t, reasons["barrier wait"])
  end
  local line = self.line
  self.line = {}
  for i, entry in ipairs(line) do
    wake(entry.q, i)
  end
  return self.n
end

--- Suppresses duplicate calls, from `rl.singleflight`.
-- @type singleflight
local Flight = class "singleflight"

--- A singleflight.
-- @treturn singleflight
-- @source the Go package golang.org/x/sync/singleflight
function M.singleflight()
  return setmetatable({calls = {}}, Flight)
end

local function fly(self, key, call, fn, ...)
  local results = pack(pcall(fn, ...))
  if self.calls[key] == call then
    self.calls[key] = nil
  end
  return results
end

--- Call fn, unless a call under the same key is under way: then share its results. fn runs in a
-- task of its own, so that the first caller's cancellation does not take the others' result.
-- @parks until fn has ended
-- @tparam any key anything but nil
-- @tparam fun(...:any):any fn
-- @param ... its arguments
-- @return ... fn's results
-- @raise fn's error, unchanged, in every caller
function Flight:call(key, fn, ...)
  if key == nil or type(fn) ~= "function" then
    error("a key and a function expected", 2)
  end
  local call = self.calls[key]
  if not call then
    call = {}
    self.calls[key] = call
    call.task = task.go(fly, self, key, call, fn, ...)
  end
  local ok, results = call.task:join()
  if not ok then
    error(results, 0)
  elseif not results[1] then
    error(results[2], 0)
  end
  return unpack(results, 2, results.n)
end

--- Let the next call under this key run anew.
-- @tparam any key
function Flight:forget(key)
  self.calls[key] = nil
end

return M
