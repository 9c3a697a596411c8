---@meta ringlet
-- SPDX-License-Identifier: MIT
-- Written by tools/stubs from the comments in these files; edit those.
--   lua/ringlet/run.lua
--   lua/ringlet/task.lua
--   lua/ringlet/scope.lua
--   lua/ringlet/cancel.lua
--   lua/ringlet/errors.lua
--   lua/ringlet/time.lua
--   lua/ringlet/chan.lua
--   lua/ringlet/select.lua
--   lua/ringlet/sync.lua
--   lua/ringlet/map.lua
--   lua/ringlet/init.lua

---A task, from `rl.go` and its kin. `rl.select` takes it: the case gives what `join` returns.
---@class ringlet.task
---@field id integer number of the task, never used twice in a shard
local task = {}

---Wait until the task has ended. It may be called any number of times, by any number of tasks.
---
---Parks until the task has ended; not at all if it has.
---
---Raises when a task joins itself.
---
---Source: pthread_join(3).
---
---Returns true, its results.
---
---Or false when it failed, the error, unchanged; a cancellation for a cancelled task.
---
---Or nil, message, "ETIMEDOUT".
---@async
---@param t? number seconds
---@return boolean|nil
---@return any ...
---@overload fun(self: ringlet.task, t?: number): false, any
---@overload fun(self: ringlet.task, t?: number): nil, string, string
function task:join(t) end

---Cancel the task and everything in its scopes: it raises wherever it parks. Being cancelled is
---not a failure. Only the first cancel counts; a task that has ended is left alone.
---
---Does not park.
---
---Source: N. J. Smith, "Timeouts and cancellation for humans", 2018.
---@param reason? any `rl.is_cancel` gives it back
function task:cancel(reason) end

---Name the task, or ask for its name. Reports show it.
---
---Does not park.
---@param s? string the new name
---@return string|nil # the name
function task:name(s) end

---What the task is doing: "new", "runnable", "running", "parked", "done" or "failed".
---
---Does not park.
---@return string
---@return string|nil # what it is parked for: "chan receive", "sleep" and so on
function task:status() end

---Set a label of the task, or ask for one.
---
---Does not park.
---@param k string its name
---@param v? any the new value
---@return any # the value, nil if there is none
function task:label(k, v) end

---The task's Lua stack; of a task that failed, the stack at the error.
---
---Does not park.
---@return string # "" for a task that ended well
function task:traceback() end

---A scope of tasks, given to the function of `rl.scope`.
---@class ringlet.scope
local scope = {}

---Start a child of the scope. Its failure cancels the scope.
---
---Parks while the scope has as many children as its limit.
---
---Raises when the scope has ended.
---@async
---@param fn fun(...: any): any
---@param ... any its arguments
---@return ringlet.task
function scope:go(fn, ...) end

---Cancel everything in the scope; `rl.scope` then returns nil, a message and "ECANCELED". Only the
---first cancel counts.
---
---Does not park.
---@param reason? any `rl.is_cancel` gives it back
function scope:cancel(reason) end

---The error that is raised in a cancelled task.
---@class ringlet.cancelled
---@field reason any what `cancel` was given
local cancelled = {}

---What `rl.check` raises. Its `tostring` is the message.
---@class ringlet.error
---@field message string
---@field code string|nil "ENAME"
local error = {}

---A timer that fires once, from `rl.after`. `rl.select` takes it: the case gives when it fired.
---@class ringlet.timer
local timer = {}

---Wait until it fires.
---
---Parks until then; not at all if it has fired.
---@async
---@param t? number seconds
---@return number|nil # when it fired, in seconds of `rl.now`
---@return string|nil # message
---@return string|nil # "ETIMEDOUT"
---@overload fun(self: ringlet.timer, t?: number): nil, string, string
function timer:wait(t) end

---The same as `wait`.
---
---Parks until it fires.
---@async
---@param t? number seconds
---@return number|nil # when it fired, in seconds of `rl.now`
---@return string|nil # message
---@return string|nil # "ETIMEDOUT"
---@overload fun(self: ringlet.timer, t?: number): nil, string, string
function timer:recv(t) end

---Stop it: it does not fire any more, and one that has fired is no longer ready.
---
---Does not park.
---@return boolean # whether it was pending
function timer:stop() end

---Start it anew.
---
---Does not park.
---@param t number seconds from now
---@return boolean # whether it was pending
function timer:reset(t) end

---A timer that fires again and again, from `rl.ticker`. `rl.select` takes it: the case gives when
---it ticked.
---@class ringlet.ticker
local ticker = {}

---Wait for the next tick.
---
---Parks until then; not at all if a tick is there.
---@async
---@param t? number seconds
---@return number|nil # when it ticked, in seconds of `rl.now`
---@return string|nil # message
---@return string|nil # "ETIMEDOUT"
---@overload fun(self: ringlet.ticker, t?: number): nil, string, string
function ticker:wait(t) end

---The same as `wait`.
---
---Parks until the next tick.
---@async
---@param t? number seconds
---@return number|nil # when it ticked, in seconds of `rl.now`
---@return string|nil # message
---@return string|nil # "ETIMEDOUT"
---@overload fun(self: ringlet.ticker, t?: number): nil, string, string
function ticker:recv(t) end

---Stop ticking. A tick that nobody took is dropped.
---
---Does not park.
function ticker:stop() end

---Tick with another period from now on.
---
---Does not park.
---@param t number seconds, more than 0
function ticker:reset(t) end

---A channel, from `rl.chan`. `rl.select` takes it, for receiving and for sending.
---@class ringlet.chan
---@operator len: integer
local chan = {}

---Send v. The longest waiter gets it, else it is buffered.
---
---Parks while there is no room; without a buffer, until somebody receives.
---
---Raises on a closed channel, and when it is closed meanwhile.
---
---Source: the Go specification, "Send statements".
---@async
---@param v any anything but nil
---@param t? number seconds
---@return true|nil
---@return string|nil # message
---@return string|nil # "ETIMEDOUT"
---@overload fun(self: ringlet.chan, v: any, t?: number): nil, string, string
function chan:send(v, t) end

---Receive: buffered values first, in the order in which they were sent.
---
---Parks while there is none.
---
---Source: the Go specification, "Receive operator".
---@async
---@param t? number seconds
---@return any # the value
---@return string|nil # message
---@return string|nil # "ECLOSED", or what `close` was given; "ETIMEDOUT"
---@overload fun(self: ringlet.chan, t?: number): nil, string, string
function chan:recv(t) end

---Send if that needs no waiting.
---
---Does not park.
---@param v any anything but nil
---@return true|nil
---@return string|nil # message
---@return string|nil # "EAGAIN", "ECLOSED"
---@overload fun(self: ringlet.chan, v: any): nil, string, string
function chan:try_send(v) end

---Receive if that needs no waiting.
---
---Does not park.
---@return any # the value
---@return string|nil # message
---@return string|nil # "EAGAIN"; "ECLOSED", or what `close` was given
---@overload fun(self: ringlet.chan): nil, string, string
function chan:try_recv() end

---Close: buffered values can still be received, then receivers get the end; senders raise. With a
---message, `recv` gives it at the end, and `iter` raises it.
---
---Does not park.
---
---Raises when it is closed already.
---
---Source: the Go specification, "Close".
---@param msg? string
---@param code? string
function chan:close(msg, code) end

---Iterate over what is received, until the channel is closed and empty.
---
---Parks in the loop, while there is no value.
---
---Source: the Go specification, "For range".
---@async
---@return fun(): any # for a `for` loop; it raises the message the channel was closed with
function chan:iter() end

---How many values the buffer holds at most.
---
---Does not park.
---@return integer
function chan:capacity() end

---How many values the overflow rule has dropped.
---
---Does not park.
---@return integer
function chan:dropped() end

---An event, from `rl.event`: tasks wait until it is set. `rl.select` takes it: the case gives
---true.
---@class ringlet.event
local event = {}

---Set it: everybody who waits goes on, and whoever comes later does not wait.
---
---Does not park.
function event:set() end

---Clear it: whoever comes from now on waits.
---
---Does not park.
function event:clear() end

---Is it set?
---
---Does not park.
---@return boolean
function event:is_set() end

---Wait until it is set.
---
---Parks until then; not at all if it is.
---@async
---@param t? number seconds
---@return true|nil
---@return string|nil # message
---@return string|nil # "ETIMEDOUT"
---@overload fun(self: ringlet.event, t?: number): nil, string, string
function event:wait(t) end

---Mutual exclusion, from `rl.mutex`. The longest waiter has it next. It is not recursive, and any
---task may unlock it.
---@class ringlet.mutex
local mutex = {}

---Lock it.
---
---Parks while it is locked.
---@async
---@param t? number seconds
---@return true|nil
---@return string|nil # message
---@return string|nil # "ETIMEDOUT"
---@overload fun(self: ringlet.mutex, t?: number): nil, string, string
function mutex:lock(t) end

---Lock it if that needs no waiting.
---
---Does not park.
---@return boolean # whether the caller has it now
function mutex:try_lock() end

---Unlock it: the longest waiter has it now.
---
---Does not park.
---
---Raises when it is not locked.
function mutex:unlock() end

---Call fn with the mutex held; unlock it whatever becomes of fn.
---
---Parks while it is locked, and where fn does.
---
---Raises what fn raises, unchanged.
---@async
---@param fn fun(...: any): any
---@param ... any its arguments
---@return any ... fn's results
function mutex:with(fn, ...) end

---Many readers or one writer, from `rl.rwmutex`. A waiting writer keeps new readers out.
---@class ringlet.rwmutex
local rwmutex = {}

---Lock for writing if that needs no waiting.
---
---Does not park.
---@return boolean # whether the caller has it now
function rwmutex:try_lock() end

---Lock for reading if that needs no waiting.
---
---Does not park.
---@return boolean # whether the caller has it now
function rwmutex:try_rlock() end

---Lock for writing.
---
---Parks while others read or write.
---@async
---@param t? number seconds
---@return true|nil
---@return string|nil # message
---@return string|nil # "ETIMEDOUT"
---@overload fun(self: ringlet.rwmutex, t?: number): nil, string, string
function rwmutex:lock(t) end

---Lock for reading.
---
---Parks while another writes or waits to.
---@async
---@param t? number seconds
---@return true|nil
---@return string|nil # message
---@return string|nil # "ETIMEDOUT"
---@overload fun(self: ringlet.rwmutex, t?: number): nil, string, string
function rwmutex:rlock(t) end

---Unlock what was locked for writing.
---
---Does not park.
---
---Raises when it is not.
function rwmutex:unlock() end

---Unlock what was locked for reading.
---
---Does not park.
---
---Raises when it is not.
function rwmutex:runlock() end

---From writing to reading, without letting another writer in between.
---
---Does not park.
---
---Raises when it is not locked for writing.
function rwmutex:downgrade() end

---Call fn with the write lock held; unlock it whatever becomes of fn.
---
---Parks while others read or write, and where fn does.
---
---Raises what fn raises, unchanged.
---@async
---@param fn fun(...: any): any
---@param ... any its arguments
---@return any ... fn's results
function rwmutex:with(fn, ...) end

---Call fn with a read lock held; unlock it whatever becomes of fn.
---
---Parks while another writes or waits to, and where fn does.
---
---Raises what fn raises, unchanged.
---@async
---@param fn fun(...: any): any
---@param ... any its arguments
---@return any ... fn's results
function rwmutex:rwith(fn, ...) end

---A weighted semaphore, from `rl.semaphore`.
---@class ringlet.semaphore
local semaphore = {}

---Take k tokens if that needs no waiting.
---
---Does not park.
---@param k? integer (1)
---@return boolean # whether the caller has them now
function semaphore:try_acquire(k) end

---Take k tokens. A large request is not starved by small ones that come later.
---
---Parks while there are fewer, or others wait.
---@async
---@param k? integer (1)
---@param t? number seconds
---@return true|nil
---@return string|nil # message
---@return string|nil # "ETIMEDOUT"
---@overload fun(self: ringlet.semaphore, k?: integer, t?: number): nil, string, string
function semaphore:acquire(k, t) end

---Give k tokens back.
---
---Does not park.
---
---Raises when more come back than were taken.
---@param k? integer (1)
function semaphore:release(k) end

---Tokens that nobody holds.
---
---Does not park.
---@return integer
function semaphore:available() end

---A counter to wait on, from `rl.waitgroup`. `rl.select` takes it: the case gives true.
---@class ringlet.waitgroup
local waitgroup = {}

---Add n to the counter. At 0 everybody who waits goes on.
---
---Does not park.
---
---Raises when the counter would become negative.
---@param n integer may be negative
function waitgroup:add(n) end

---Take 1 from the counter.
---
---Does not park.
---
---Raises when the counter would become negative.
function waitgroup:done() end

---Start a root task that counts until it has ended, however it ends.
---
---Does not park.
---
---Raises outside of `run`.
---@param fn fun(...: any): any
---@param ... any its arguments
---@return ringlet.task
function waitgroup:go(fn, ...) end

---Wait until the counter is 0.
---
---Parks until then; not at all if it is.
---@async
---@param t? number seconds
---@return true|nil
---@return string|nil # message
---@return string|nil # "ETIMEDOUT"
---@overload fun(self: ringlet.waitgroup, t?: number): nil, string, string
function waitgroup:wait(t) end

---A condition variable, from `rl.cond`.
---@class ringlet.cond
local cond = {}

---Unlock the mutex, wait for a signal, lock it again, also when time is up or the task is
---cancelled. There are no wake-ups without a signal; the condition may have changed again though.
---
---Parks until it was signalled and the mutex is free.
---
---Raises when the mutex is not locked.
---@async
---@param t? number seconds
---@return true|nil
---@return string|nil # message
---@return string|nil # "ETIMEDOUT"
---@overload fun(self: ringlet.cond, t?: number): nil, string, string
function cond:wait(t) end

---Wake the longest waiter, if there is one.
---
---Does not park.
function cond:signal() end

---Wake everybody who waits now.
---
---Does not park.
function cond:broadcast() end

---A meeting point, from `rl.barrier`, which can be used again and again.
---@class ringlet.barrier
local barrier = {}

---Wait until n tasks have come. Whoever gives up does not count.
---
---Parks until the last has come.
---@async
---@param t? number seconds
---@return integer|nil # in which place this task came, from 1 to n
---@return string|nil # message
---@return string|nil # "ETIMEDOUT"
---@overload fun(self: ringlet.barrier, t?: number): nil, string, string
function barrier:wait(t) end

---Suppresses duplicate calls, from `rl.singleflight`.
---@class ringlet.singleflight
local singleflight = {}

---Call fn, unless a call under the same key is under way: then share its results. fn runs in a
---task of its own, so that the first caller's cancellation does not take the others' result.
---
---Parks until fn has ended.
---
---Raises fn's error, unchanged, in every caller.
---@async
---@param key any anything but nil
---@param fn fun(...: any): any
---@param ... any its arguments
---@return any ... fn's results
function singleflight:call(key, fn, ...) end

---Let the next call under this key run anew.
---
---Does not park.
---@param key any
function singleflight:forget(key) end

---Tasks, channels, select, timers and scopes on io_uring.
---
---    local rl = require "ringlet"
---    rl.run(function()
---      local ch = rl.chan()
---      rl.go(function() ch:send("hello") end)
---      print(ch:recv())
---    end)
---
---Expected failure is `nil, "ENAME: message", "ENAME"`; misuse raises. Times are seconds.
---
---Whatever parks raises "not inside a task" outside of `run`, and the cancellation when its task is
---cancelled. A timeout that is left out means no limit; one of 0 or less means not to wait: what
---would have to park then fails with "ETIMEDOUT" at once.
---@class ringlet
---Name and version.
---@field _VERSION string
local M = {}

---@class ringlet.run.opts
---"uring"; "sim": virtual time, a kernel in memory; "auto": what the variable RINGLET_BACKEND says,
---else "uring" ("auto")
---@field backend? string
---@field seed? number of the order of events (sim) (1)
---@field faults? string which faults are injected (sim): "short_read=0.1,enobufs=0.01"
---@field signals? boolean SIGINT and SIGTERM call `stop`, a second one cancels all (false)
---@field grace? number seconds between `stop` and the cancellation of every task (10)
---@field preempt? boolean interrupt tasks that compute (SIGURG; not on sim) (true)
---@field slice? number seconds that a task may compute at a stretch (0.01)
---@field debug? boolean record where tasks are created; RINGLET_DEBUG=1 does too (false)
---called when a task cannot be preempted; by default the text goes to stderr
---@field on_overrun? fun(text: string, task: ringlet.task|nil)

---Run main as the first task of this thread; return its results when every task has ended.
---
---When main raises, the others are cancelled and awaited. Ctrl-C of a stock interpreter cancels
---every task. It blocks the thread, so a run inside a run raises.
---
---Does not park.
---
---Raises main's error, unchanged; "deadlock: ..." with a line for each task when all are parked and
---nothing can wake one; "interrupted!"; when the backend cannot be opened.
---
---Source: the Go runtime: main, checkdead, asynchronous preemption (proposal 24543); signal(7).
---@param main fun(...: any): any
---@param opts? ringlet.run.opts
---@param ... any main's arguments
---@return any ... main's results; nothing when it was cancelled by `stop`
function M.run(main, opts, ...) end

---Has the run been asked to stop?
---
---Does not park.
---@return boolean # false outside of a run
function M.stopping() end

---Ask the run to stop. `stopping` is true from now on, servers stop accepting, and after the grace
---every task is cancelled. Without a run it does nothing.
---
---Does not park.
---@param grace? number seconds, by default the option of `run`; 0: cancel at once
function M.stop(grace) end

---Start a root task of this shard. It runs when the caller parks, after those readied before it.
---
---`run` waits for it. An error that no joiner is waiting for goes to `on_error`.
---
---Does not park.
---
---Raises outside of `run`.
---
---Source: the Go specification, "Go statements".
---@param fn fun(...: any): any
---@param ... any its arguments
---@return ringlet.task
function M.go(fn, ...) end

---Start a task that `run` does not wait for: it is cancelled when the others have ended.
---
---Does not park.
---
---Raises outside of `run`.
---@param fn fun(...: any): any
---@param ... any its arguments
---@return ringlet.task
function M.daemon(fn, ...) end

---The running task.
---
---Does not park.
---@return ringlet.task|nil # nil outside of a task
function M.self() end

---A table of the running task's own, made when first asked for.
---
---Does not park.
---
---Raises outside of a task.
---@return table
function M.locals() end

---Say what happens to the error of a root task that nobody joins, and of a handler of a server. It
---is called once for each, when it happens, and must not park.
---
---Does not park.
---
---`fn`: nil restores the default, which writes to stderr
---@param fn? fun(err: any, traceback: string, task: ringlet.task)
function M.on_error(fn) end

---Run fn in the calling task for at most t seconds: then whatever it waits for raises a
---cancellation, which ends here.
---
---Parks where fn does.
---
---Raises what fn raises, unchanged; outside of a task.
---
---Source: N. J. Smith, "Timeouts and cancellation for humans", 2018.
---
---Returns true, fn's results.
---
---Or nil, message, "ETIMEDOUT".
---@async
---@param t number seconds; 0 or less: time is up where fn first parks
---@param fn fun(...: any): any
---@param ... any its arguments
---@return true|nil
---@return any ...
---@overload fun(t: number, fn: fun(...: any): any, ...: any): nil, string, string
function M.timeout(t, fn, ...) end

---Run fn so that no cancellation from outside reaches it. It is raised where the task parks next,
---after fn.
---
---Parks where fn does.
---
---Raises what fn raises, unchanged; outside of a task.
---
---Source: N. J. Smith, "Timeouts and cancellation for humans", 2018.
---@async
---@param fn fun(...: any): any
---@param ... any its arguments
---@return any ... fn's results
function M.shield(fn, ...) end

---Run fn, then cleanup, whatever became of fn; cleanup is shielded from cancellation.
---
---Parks where fn or cleanup does.
---
---Raises fn's error, unchanged, after cleanup; else cleanup's.
---@async
---@param fn fun(): any
---@param cleanup fun()
---@return any ... fn's results
function M.finally(fn, cleanup) end

---The pcall of Lua, but it lets cancellations through.
---
---Parks where fn does.
---
---Raises the cancellation of the task.
---@async
---@param fn fun(...: any): any
---@param ... any its arguments
---@return boolean # whether fn returned
---@return any ... its results, or its error
function M.pcall(fn, ...) end

---@class ringlet.scope.opts
---@field timeout? number seconds for everything
---@field limit? integer children at a time

---Run fn(s) in the calling task; return when it and all tasks started by `s:go` have ended. The
---first failure of any cancels the others.
---
---Parks until all of them have ended.
---
---Raises the first failure, unchanged, after all have ended; outside of a task.
---
---Source: N. J. Smith, "Notes on structured concurrency", 2018; libdill, "Structured concurrency".
---
---Returns true, fn's results.
---
---Or nil, message, "ETIMEDOUT"; "ECANCELED" after `s:cancel`.
---@async
---@param fn fun(s: ringlet.scope): any
---@param opts? ringlet.scope.opts
---@return true|nil
---@return any ...
---@overload fun(fn: fun(s: ringlet.scope): any, opts?: ringlet.scope.opts): nil, string, string
function M.scope(fn, opts) end

---Is this value the error of a cancellation?
---
---Does not park.
---@param err any any value
---@return boolean
---@return any # the reason given to `cancel`
function M.is_cancel(err) end

---Return all arguments if the first is true, else raise: `rl.check(net.connect(addr))`.
---
---Does not park.
---
---Raises an error, whose `tostring` is the message and whose `rl.code` is the code.
---@param ... any a value, a message and a code, as functions return them
---@return any ... the arguments
function M.check(...) end

---The code of an error that `check` raised.
---
---Does not park.
---@param err any any value
---@return string|nil # "ENAME"; nil for other values
function M.code(err) end

---Seconds of a monotonic clock; in a run on the sim backend, of its virtual time.
---
---Does not park.
---
---Source: clock_gettime(2), CLOCK_MONOTONIC.
---@return number # seconds since some point in the past
function M.now() end

---Seconds of the wall clock; in a run on the sim backend, of its virtual time.
---
---Does not park.
---
---Source: clock_gettime(2), CLOCK_REALTIME.
---@return number # seconds since the epoch, 1970-01-01 UTC
function M.time() end

---Let t seconds pass, never less.
---
---Parks for t seconds; with 0 or less like `yield`.
---
---Source: clock_nanosleep(2).
---@async
---@param t number seconds
function M.sleep(t) end

---Give up the turn: everything that is ready runs first.
---
---Parks until its next turn.
---
---Source: sched_yield(2); the Go function runtime.Gosched.
---@async
function M.yield() end

---A timer that fires once, after t seconds, and stays fired. Dropped without `stop`, it is kept
---until it is due.
---
---Does not park.
---
---Source: the Go function time.After.
---@param t number seconds; `math.huge`: never
---@return ringlet.timer # made before `run`, it counts from the beginning of the run
function M.after(t) end

---A ticker: a tick each t seconds. A slow consumer finds one tick, not a heap; the beat is kept.
---
---Does not park.
---
---Source: the Go function time.NewTicker.
---@param t number seconds, more than 0
---@return ringlet.ticker # made before `run`, it counts from the beginning of the run
function M.ticker(t) end

---@class ringlet.chan.opts
---when the buffer is full: "block", a sender parks; "drop_oldest" makes room; "drop_newest" drops
---what is sent ("block")
---@field overflow? string

---A channel.
---
---Does not park.
---
---Source: the Go specification, "Channel types"; C. A. R. Hoare, "Communicating sequential
---processes", 1978.
---@param capacity? integer values it buffers, at most 2^24; 0: sender and receiver meet (0)
---@param opts? ringlet.chan.opts
---@return ringlet.chan
function M.chan(capacity, opts) end

---@class ringlet.select.cases
---{x}: receive from a channel, or wait for a task, event, ticker, timer or waitgroup; {send = ch,
---v}: send v; false: disabled, keeps its place
---@field [integer] table|false
---@field ordered? boolean prefer the first case that is ready (false)

---Wait for the first of several cases, and do that one alone. Of several that are ready, each has
---the same chance. `cases` is not modified: build it once and use it again.
---
---Parks until a case is ready.
---
---Raises on a send to a closed channel or of nil; on what is no case.
---
---Source: the Go specification, "Select statements".
---
---Returns which case, what that case's `recv`, `join` or `wait` returns; true for a send.
---
---Or nil, message, "ETIMEDOUT".
---
---```lua
---local i, v = rl.select {{jobs}, {send = results, r}, {deadline}}
---```
---@async
---@param cases ringlet.select.cases
---@param t? number seconds; 0: do not wait
---@return integer|nil
---@return any ...
---@overload fun(cases: ringlet.select.cases, t?: number): nil, string, string
function M.select(cases, t) end

---An event, which is clear at first.
---
---Does not park.
---@return ringlet.event
function M.event() end

---A mutex, which is unlocked at first.
---
---Does not park.
---
---Source: pthread_mutex_lock(3); the Go type sync.Mutex.
---@return ringlet.mutex
function M.mutex() end

---A readers-writer mutex.
---
---Does not park.
---
---Source: pthread_rwlock_rdlock(3); the Go type sync.RWMutex.
---@return ringlet.rwmutex
function M.rwmutex() end

---A semaphore of n tokens.
---
---Does not park.
---
---Source: E. W. Dijkstra, EWD 74; the Go package golang.org/x/sync/semaphore.
---@param n integer 0 or more
---@return ringlet.semaphore
function M.semaphore(n) end

---A waitgroup, whose counter is 0 at first.
---
---Does not park.
---
---Source: the Go type sync.WaitGroup.
---@return ringlet.waitgroup
function M.waitgroup() end

---A function that calls fn once, whoever calls it first; everybody gets fn's results, or its
---error. It parks while another's call is under way. When the first caller is cancelled, the next
---one calls fn again.
---
---Does not park.
---
---Source: the Go function sync.OnceValues.
---@param fn fun(...: any): any gets the arguments of the first call
---@return fun(...: any): any
function M.once(fn) end

---A condition variable of a mutex.
---
---Does not park.
---
---Source: pthread_cond_wait(3); C. A. R. Hoare, "Monitors", 1974.
---@param m ringlet.mutex
---@return ringlet.cond
function M.cond(m) end

---A barrier of n tasks.
---
---Does not park.
---
---Source: pthread_barrier_wait(3).
---@param n integer 1 or more
---@return ringlet.barrier
function M.barrier(n) end

---A singleflight.
---
---Does not park.
---
---Source: the Go package golang.org/x/sync/singleflight.
---@return ringlet.singleflight
function M.singleflight() end

---@class ringlet.map.opts
---@field limit? integer tasks at a time
---@field timeout? number seconds for all
---@field progress? fun(done: integer, total: integer) called after each call that went well
---@field cores? boolean true needs shards, which this version does not have: raises (false)

---Call fn(item, index) for every item, each in a task of its own. The first failure cancels the
---others: that is a first result of nil with a code as the third, or an error.
---
---Parks until all calls have ended.
---
---Raises what fn raises, unchanged; outside of a task.
---
---Source: the Go package golang.org/x/sync/errgroup.
---@async
---@param list any[]
---@param fn fun(item: any, index: integer): any
---@param opts? ringlet.map.opts
---@return any[]|nil # fn's first results, in the order of the list
---@return string|nil # message
---@return string|nil # fn's code, or "ETIMEDOUT"
---@return integer|nil # the index of the item that failed
---@overload fun(list, fn, opts?): nil, string, string, integer|nil
function M.map(list, fn, opts) end

---Call every function in a task of its own; the first to end wins, the others are cancelled.
---
---Parks until all have ended.
---
---Raises the first error of any of them, unchanged; outside of a task.
---@async
---@param fns function[]
---@return any ... the winner's results
function M.race(fns) end

---@class ringlet.stats
---@field tasks integer that live, daemons included
---@field daemons integer that live
---@field runnable integer tasks that are ready to run
---@field created integer tasks started so far
---@field finished integer tasks ended so far
---@field parks integer times that a task was parked
---@field turns integer of the scheduler
---@field polls integer looks for completions
---@field preemptions integer tasks that computed for a slice and were made to wait
---@field overruns integer times that a task could not be preempted
---@field handles integer open connections, listeners and the like
---@field timers integer pending timeouts, sleeps, timers and tickers
---@field ops integer operations the kernel has not completed
---@field works integer jobs on helper threads
---@field submitted integer operations of this run
---@field completed integer operations of this run
---@field enters integer system calls `io_uring_enter` of this run

---Counters of this shard.
---
---Does not park.
---
---Source: io_uring_enter(2).
---@return ringlet.stats # a new table
function M.stats() end

return M
