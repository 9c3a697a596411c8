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
--   lua/ringlet/admission.lua
--   lua/ringlet/autoscaler.lua
--   lua/ringlet/autoscaler_evaluation.lua
--   lua/ringlet/batcher.lua
--   lua/ringlet/breaker.lua
--   lua/ringlet/debounce.lua
--   lua/ringlet/future.lua
--   lua/ringlet/group.lua
--   lua/ringlet/health.lua
--   lua/ringlet/hedge.lua
--   lua/ringlet/hooks.lua
--   lua/ringlet/jobs.lua
--   lua/ringlet/limiter.lua
--   lua/ringlet/limiter_concurrency.lua
--   lua/ringlet/limiter_rate.lua
--   lua/ringlet/limiter_shared.lua
--   lua/ringlet/multipool.lua
--   lua/ringlet/objects.lua
--   lua/ringlet/objects_buffers.lua
--   lua/ringlet/objects_tables.lua
--   lua/ringlet/offload.lua
--   lua/ringlet/pool.lua
--   lua/ringlet/pool_shared.lua
--   lua/ringlet/pool_worker.lua
--   lua/ringlet/resources.lua
--   lua/ringlet/retry.lua
--   lua/ringlet/retry_budget.lua
--   lua/ringlet/run_stop.lua
--   lua/ringlet/scheduling.lua
--   lua/ringlet/tables.lua
--   lua/ringlet/travel.lua

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

---Set the priority of the task, or ask for it. What is critical is run before what is normal, and
---that before the background; nobody starves: after 16 runs of tasks of a higher priority in a row
---one of a lower one is due. While there are critical tasks, or background ones, a task that goes
---before the running one need not wait until that gives up its turn: it is interrupted after a
---millisecond or two, unless it is compiled code or C. The tasks it starts from then on have its
---priority.
---
---Does not park.
---
---Raises on another name.
---
---```lua
---rl.self():priority "background"
---```
---@param name? string "critical", "normal" or "background"
---@return string|nil # the priority; nil when the task is over
function task:priority(name) end

---Set a label of the task, or ask for one. The tasks it starts from then on have it too, as they
---have all of its labels: so tasks can be counted by what they are for, see `ringlet.metrics`. A
---shard counts up to 4,095 sets of labels: let their values be few.
---
---Does not park.
---
---Source: the pprof labels of Go's runtime.
---@param k string its name
---@param v? any the new value
---@return any # the value, nil if there is none
function task:label(k, v) end

---The task's Lua stack; of a task that failed, the stack at the error.
---
---Does not park.
---@return string # "" for a task that ended well, or was cancelled
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

---Admission rules, from `rl.admission`. `tostring` tells the state.
---@class ringlet.admission
---@field name string
local admission = {}

---Ask to be let in, and say later what came of it, as with `breaker:allow`.
---
---Does not park.
---@return fun(ok: any, err: any, code: any)|nil # done
---@return string|nil # message
---@return string|nil # "EOPEN": refused for a while; "EOVERLOAD": too much is in use, or waiting
---@return number|nil # seconds until it is worth another try
---@overload fun(self: ringlet.admission): nil, string, string, number|nil
function admission:allow() end

---The state now: "closed": all are let in; "half-open": a few at a time, because too much is in
---use, or to try after it was open; "rejecting": nobody, because the wait is too long; "open":
---nobody for `open_for` seconds.
---
---Does not park.
---@return string
function admission:state() end

---@class ringlet.admission_stats
---@field state string
---@field why string it is that: "92 % in use"
---@field since number when, on the clock of `rl.now`
---@field changes integer of the state
---@field requests integer let in
---@field successes integer of them
---@field failures integer of them
---@field refused integer all of them
---@field overloads integer those refused with "EOVERLOAD"
---@field opened integer times

---Counters since it was made.
---
---Does not park.
---@return ringlet.admission_stats # a new table
function admission:stats() end

---An autoscaler, from `rl.autoscaler`.
---@class ringlet.autoscaler
local autoscaler = {}

---Look at the metrics once and act. The autoscaler's own task does this at each interval; by hand
---it is for loops of one's own, and for tests.
---
---Parks where the functions it was given do.
---
---Raises when there is no function for metrics and none are given.
---
---Returns the scaling, else the first failure or action; false: nothing happened.
---
---Or nil, message, "EBUSY" while another evaluation is under way.
---@async
---@param metrics? table name = number, instead of asking for them
---@return ringlet.scaling_event|false|nil
---@return string|nil
---@return string|nil
---@overload fun(self: ringlet.autoscaler, metrics?: table): nil, string, string
function autoscaler:evaluate(metrics) end

---Evaluate at each interval, in a daemon: `run` does not wait for it. The time in which it was
---stopped does not count: rules and the stabilization begin anew. While it runs, this does nothing.
---
---Its timer keeps the run awake, so a deadlock of the other tasks is not reported meanwhile.
---
---Does not park.
---
---Raises outside of a task; when there is no function for metrics.
---@return ringlet.autoscaler # itself
function autoscaler:start() end

---Stop evaluating. A resize that is under way is completed. It may be called any number of times.
---
---Does not park.
function autoscaler:stop() end

---What it did and what failed, the oldest first; the option `history` says how many at most.
---
---Does not park.
---@return ringlet.scaling_event[] # a new list
function autoscaler:history() end

---@class ringlet.autoscaler_stats
---@field evaluations integer so far
---@field ups integer resizes to more
---@field downs integer resizes to less
---@field actions integer of rules, called without an error
---@field blocked_up integer evaluations that wanted more during a cooldown
---@field blocked_down integer evaluations that wanted less during a cooldown
---@field limited integer evaluations after which only min or max kept the size
---@field errors integer of functions it was given, refused resizes included

---Counters of the autoscaler.
---
---Does not park.
---@return ringlet.autoscaler_stats # a new table
function autoscaler:stats() end

---Something that an autoscaler did, or that failed. Its `tostring` is a line for a log.
---@class ringlet.scaling_event
---@field time number seconds of `rl.now`
---@field kind string "up", "down", "action" (a rule's), "error"
---@field from integer|nil the size before; nil when asking for it failed
---@field to integer|nil the size that was asked for; the same as `from` for an action
---the name of the rule; "target" for that policy, "bounds" when the size was not between min and
---max
---@field rule string|nil
---@field reason string the values that led to it; for an error, what failed
---@field metrics table name = number, as they were
---@field error any what was raised, or the message
---@field code string|nil "ENAME" when a resize was refused with one
local scaling_event = {}

---Collects what is submitted and has it done with one call, from `rl.batcher`.
---@class ringlet.batcher
local batcher = {}

---Submit an item. Its future gives what became of it: `true` and its result; `true`, nil, a
---message and a code if it or the whole call failed so; `false` and the error if the function
---raised. Cancelled while it waits, the item is taken out; later, only its result is dropped.
---
---Parks with "block", while there are `max_pending`.
---
---Raises outside of `run`.
---@async
---@param v any anything but nil
---@param t? number seconds to wait for room
---@return ringlet.future|nil
---@return string|nil # message
---@return string|nil # "EOVERLOAD" with "reject"; "ECLOSED"; "ETIMEDOUT"
---@overload fun(self: ringlet.batcher, v: any, t?: number): nil, string, string
function batcher:submit(v, t) end

---Submit an item and wait for its result.
---
---Parks until the batch is done.
---
---Raises what the function raised, unchanged; outside of a task.
---
---Returns its result.
---
---Or nil, message, "EOVERLOAD" with "reject"; "ECLOSED"; "ETIMEDOUT"; the code of the item or of
---the call.
---@async
---@param v any anything but nil
---@param t? number seconds; then the item is cancelled
---@return any
---@return string|nil
---@return string|nil
---@overload fun(self: ringlet.batcher, v: any, t?: number): nil, string, string
function batcher:call(v, t) end

---Do what waits now, without waiting for more.
---
---Does not park.
function batcher:flush() end

---Wait until nothing is pending and no call runs.
---
---Parks until then; not at all if it is so.
---@async
---@param t? number seconds
---@return true|nil
---@return string|nil # message
---@return string|nil # "ETIMEDOUT"
---@overload fun(self: ringlet.batcher, t?: number): nil, string, string
function batcher:wait(t) end

---Take no more items: what waits is done now. It may be called any number of times, and does not
---wait; `wait` does.
---
---Does not park.
---
---`grace`: seconds after which calls that are not done are cancelled, and their members fail with
---"ECLOSED"
---@param grace? number
function batcher:close(grace) end

---How many submitted items are not settled.
---
---Does not park.
---@return integer
function batcher:pending() end

---@class ringlet.batcher_stats
---@field calls integer of the function so far
---@field items integer it was given so far
---@field failures integer calls of which every item failed
---@field shared integer items that were not done since one with the same key was
---@field cancelled integer items
---@field rejected integer items
---@field pending integer items that are not settled
---@field running integer calls

---Counters of the batcher.
---
---Does not park.
---@return ringlet.batcher_stats # a new table
function batcher:stats() end

---A circuit breaker, from `rl.breaker`. Nothing wakes up for it: what is due by the clock, as an
---open breaker becoming half-open, happens when somebody asks it something.
---@class ringlet.breaker
---@field name string
local breaker = {}

---Call fn, unless the breaker is open. It has failed if it raises, or returns nil, a message and a
---code; the options `excluded` and `is_successful` may see it otherwise. To be cancelled is neither
---a success nor a failure.
---
---Parks where fn does.
---
---Raises what fn raises, unchanged.
---
---Returns its results, whatever they count as; or nil, a message, "EOPEN" and, while it is open,
---the seconds until it is half-open.
---
---Or nil, message, "EOPEN", and with what fn fails with.
---
---```lua
---local rows, msg, code = breaker:call(query, "select 1")
---```
---@async
---@param fn fun(...: any): any
---@param ... any its arguments
---@return any ...
---@overload fun(self: ringlet.breaker, fn: fun(...: any): any, ...: any): nil, string, string
function breaker:call(fn, ...) end

---Ask to be let in, and say later what came of it: `done(ok, [err, code])`, once, with true for a
---success, false for a failure, nil for neither. `err` and `code` are for the option `excluded`. In
---a half-open breaker who never calls it keeps its place, for `half_open_for` if that is given.
---
---Many calls have the same `done` while the breaker is closed and has no slow-call rule; it takes
---as many results as calls were let in. Otherwise each has its own, which ignores a second result.
---
---Does not park.
---
---Source: the two-step breaker of gobreaker.
---@return fun(ok: any, err: any, code: any)|nil # done
---@return string|nil # message
---@return string|nil # "EOPEN"
---@return number|nil # seconds until it is half-open; nil when it is, and others are trying
---@overload fun(self: ringlet.breaker): nil, string, string, number|nil
function breaker:allow() end

---The state now.
---
---Does not park.
---@return string # "closed", "open" or "half-open"
function breaker:state() end

---@class ringlet.breaker_counts
---@field requests integer calls let in
---@field successes integer of them
---@field failures integer of them
---@field excluded integer neutral ones: cancelled, or failed as `excluded` says
---@field slow integer ones, successes and failures
---@field consecutive_successes integer since the last failure
---@field consecutive_failures integer since the last success

---What was counted since the state changed, or in the window or interval. Calls that were let in
---and have no result yet are among the requests alone.
---
---Does not park.
---
---Source: gobreaker, type Counts.
---@return ringlet.breaker_counts # a new table
function breaker:counts() end

---@class ringlet.breaker_stats
---@field state string
---@field why string it is that: "6 failures in a row"
---@field since number when, on the clock of `rl.now`
---counts up with every change of the state, and whenever the counts are cleared; results of an
---older one are ignored
---@field generation integer
---@field disabled boolean by `disable`
---@field requests integer calls let in
---@field successes integer of them
---@field failures integer of them
---@field excluded integer neutral ones
---@field slow integer ones
---@field ignored integer results that came too late, or twice
---@field refused integer calls
---@field opened integer times

---Counters since it was made.
---
---Does not park.
---@return ringlet.breaker_stats # a new table
function breaker:stats() end

---Open it by hand. It becomes half-open when its time is over.
---
---Does not park.
---@param reason? string for `on_change` and `stats` ("by hand")
---@param seconds? number instead of `open_for`; `math.huge`: until `reset`
function breaker:trip(reason, seconds) end

---Close it by hand, and forget what was counted. What is under way counts no more.
---
---Does not park.
---@param reason? string ("by hand")
function breaker:reset(reason) end

---Close it and let nothing open it but `trip`; what happens is still counted.
---
---Does not park.
---
---Source: the state DISABLED of resilience4j.
function breaker:disable() end

---Have it do its work again after `disable`.
---
---Does not park.
function breaker:enable() end

---A function that is called less often than it is asked for, from `rl.debounce` or `rl.throttle`.
---`d(...)` is `d:call(...)`.
---@class ringlet.debouncer
local debouncer = {}

---Ask for a call of the function with these arguments.
---
---Does not park.
---
---Raises outside of `run`.
---@param ... any arguments; of calls that become one, the last ones count
function debouncer:call(...) end

---Forget what waits, and that there were calls.
---
---Does not park.
function debouncer:cancel() end

---Call the function with what waits, now. It does not wait for that call.
---
---Does not park.
---@return boolean # whether something waited
function debouncer:flush() end

---Does a call wait?
---
---Does not park.
---@return boolean
function debouncer:pending() end

---@class ringlet.debouncer_stats
---@field calls integer so far
---@field invocations integer calls of the function so far
---@field failures integer of those that raised

---Counters.
---
---Does not park.
---@return ringlet.debouncer_stats # a new table
function debouncer:stats() end

---The result of something that is still to come: of a job, from `rl.spawn`; of a task of a pool,
---and of other things that are submitted. `rl.select` takes it: the case gives what `join` returns.
---@class ringlet.future
local future = {}

---Wait until it is settled. It may be called any number of times, by any number of tasks.
---
---Parks until the job has ended; not at all if it has.
---
---Returns true, its results; of what ran on another shard, copies.
---
---Or false when it failed, the error; a cancellation for what was cancelled, the traceback of the
---task that ran it.
---
---Or nil, message, "ETIMEDOUT".
---@async
---@param t? number seconds
---@return boolean|nil
---@return any ...
---@overload fun(self: ringlet.future, t?: number): false, any, string
---@overload fun(self: ringlet.future, t?: number): nil, string, string
function future:join(t) end

---Cancel it: what has not begun never does; what has is cancelled as a task is, and ends when it
---hears of it; how is told to nobody. What has ended is left alone.
---
---Does not park.
---@param reason? any it travels
function future:cancel(reason) end

---What became of it: "pending", "done" or "failed".
---
---Does not park.
---@return string
function future:status() end

---The traceback of the task that ran it, where that failed.
---
---Does not park.
---@return string # "" while it is pending or when it ended well
function future:traceback() end

---A sharded group, from `rl.group`. It travels: any shard may call it.
---@class ringlet.group
---@field name string
local group = {}

---Call a method in the logical shard of a key and wait for what it gives.
---
---A caller that is cancelled, or whose time is up, withdraws a call that has not begun; one that
---has goes on, and its results are dropped.
---
---Parks until the method has ended.
---
---Raises the method's error, copied; a string has the remote traceback behind it. When there is no
---such method, and what cannot travel.
---
---Returns its results, copied.
---
---Or nil, message, "ECLOSED"; "ELOST" when the logical shard failed during the call; "ETIMEDOUT" of
---a handle with a timeout; "ECANCELED" when the group was stopped by force during the call.
---@async
---@param key any a string or an integer; with a router function, what that takes
---@param method string
---@param ... any what the method gets after the state and the key: copies
---@return any ...
---@overload fun(self: ringlet.group, key: any, method: string, ...: any): nil, string, string
function group:call(key, method, ...) end

---Call a method in the logical shard of a key, and do not wait. A failure goes to `on_error` of
---this shard.
---
---Does not park.
---
---Raises when there is no such method; what cannot travel.
---@param key any
---@param method string
---@param ... any what the method gets after the state and the key: copies
---@return true|nil
---@return string|nil # message
---@return string|nil # "ECLOSED"; "EAGAIN" when the queue is full
---@overload fun(self: ringlet.group, key: any, method: string, ...: any): nil, string, string
function group:cast(key, method, ...) end

---Run a function in the logical shard of a key, as fn(state, key, ...): it travels, and has its
---turn like a method.
---
---Parks while the queue is full.
---
---Raises what cannot travel, with the path to it.
---
---Returns as of `rl.spawn`; when the logical shard fails, or the group ends first, its error is one
---with a code.
---
---Or nil, message, "ECLOSED"; "ETIMEDOUT" of a handle with a timeout.
---@async
---@param key any
---@param fn fun(state: any, key: any, ...: any): any
---@param ... any its arguments
---@return ringlet.future|nil
---@return string|nil
---@return string|nil
---@overload fun(self: ringlet.group, key, fn, ...): nil, string, string
function group:submit(key, fn, ...) end

---Call a method in every logical shard, in its turn, without a key: fn(state, nil, ...).
---
---Parks until all have ended.
---
---Raises the first error of a method, when all have ended.
---@async
---@param method string
---@param ... any what it gets after the state and nil: copies
---@return any[]|nil # the first results, by logical shard
---@return string|nil # message
---@return string|nil # a code, as of `call`
---@return integer|nil # the logical shard that failed
---@overload fun(self: ringlet.group, method: string, ...: any): nil, string, string, integer
function group:each(method, ...) end

---@class ringlet.group.with.opts
---@field timeout? number seconds that `call`, `submit` and `each` wait at most

---The same group with other habits.
---
---Does not park.
---@param opts ringlet.group.with.opts
---@return ringlet.group # a new handle
function group:with(opts) end

---Change the number of logical shards. The keys that then belong elsewhere move there, with
---`export` and `import`; calls of these wait meanwhile, the others go on. When a key cannot be
---exported, nothing moves.
---
---Parks until everything has moved.
---
---Raises when n is no whole number of at least 1; the error of an `init`, and nothing has changed.
---
---Returns true.
---
---Or nil, message, "EOPNOTSUPP" when the group has a state that it cannot move, or its router has
---names; "EBUSY" while a logical shard is paused; "ECANCELED" when nothing has moved; "ELOST" when
---keys could not be imported; "ECLOSED".
---@async
---@param n integer
---@return true|nil
---@return string|nil
---@return string|nil
---@overload fun(self: ringlet.group, n: integer): nil, string, string
function group:resize(n) end

---Hold the queue of a logical shard, or of all that run. A call that has begun goes on.
---
---Parks until it is held.
---
---Raises when there is no such logical shard, or it does not run.
---@async
---@param i? integer which
---@return true|nil
---@return string|nil # message
---@return string|nil # "EBUSY" during a resize; "ECLOSED"
---@overload fun(self: ringlet.group, i?: integer): nil, string, string
function group:pause(i) end

---Let the queue of a logical shard go on, or those of all that are paused.
---
---Parks until it goes on.
---
---Raises when there is no such logical shard, or it is not paused.
---@async
---@param i? integer which
---@return true|nil
---@return string|nil # message
---@return string|nil # "EBUSY" during a resize; "ECLOSED"
---@overload fun(self: ringlet.group, i?: integer): nil, string, string
function group:resume(i) end

---Stop the group: calls are refused, what was accepted is done, the hook `stop` is called in each
---logical shard, and the group is no more. Any number of shards may ask for it.
---
---Parks until the group has ended.
---
---`grace`: seconds until it is forced, by default no limit: calls that wait then give "ECLOSED",
---those that run are cancelled. 0: at once
---
---Returns true.
---
---Or nil, message, "ETIMEDOUT" when it had to be forced after a grace of more than 0; it has ended
---then, too.
---@async
---@param grace? number
---@return true|nil
---@return string|nil
---@return string|nil
---@overload fun(self: ringlet.group, grace?: number): nil, string, string
function group:stop(grace) end

---In a method: say that progress is made, though the call goes on. Elsewhere it does nothing.
---
---Does not park.
function group:beat() end

---How many logical shards there are.
---
---Does not park.
---@return integer # 0 when it was stopped
function group:size() end

---The state of a logical shard, or of all.
---
---Parks until its thread answers.
---@async
---@param i? integer which
---@return string|string[] # "created", "pending", "running", "paused", "failed" or "terminated"
function group:status(i) end

---@class ringlet.group_stats
---@field id integer its number
---@field shard integer the thread that hosts it
---@field tags table
---@field capacity integer|nil
---@field state string
---@field queued integer calls that have not begun
---@field active boolean does a call run?
---@field done integer calls that returned
---@field failed integer calls that raised
---@field lost integer calls during which it failed
---@field mean_wait number seconds from the queue to the beginning of a call
---@field progress integer a count of beginnings, ends and beats
---@field generation integer 1, and one more for each replacement

---Metadata and counters of every logical shard.
---
---Parks until all threads have answered.
---@async
---@return ringlet.group_stats[] # by logical shard; empty when the group was stopped
function group:stats() end

---What `rl.autoscaler` asks of its target: `queue`, calls that have not begun; `active`, the part
---of the logical shards that run one; `p95` of the seconds that the last calls took, waiting
---included, once there was one.
---
---Parks until all threads have answered.
---@async
---@return table
function group:metrics() end

---A way of hedging, from `rl.hedger`: made once, for calls of many tasks.
---@class ringlet.hedger
local hedger = {}

---Call fn, and once more if the answer is late. The first attempt that goes well wins; the others
---are cancelled, and waited for. One that fails - raises, or returns nil, a message and a code -
---has the next one started at once. When all have failed, so does the call.
---
---The first attempt runs in the calling task, others in tasks of their own. All get the same
---arguments; so fn must be something that may be done twice.
---
---Parks until all attempts have ended.
---
---Raises what the last attempt to fail raised, unchanged; outside of a task.
---@async
---@param fn fun(...: any): any
---@param ... any its arguments
---@return any ... the results of the winner, all of them; when all have failed, of the last failure
function hedger:call(fn, ...) end

---@class ringlet.hedger_stats
---@field calls integer so far
---@field hedges integer attempts besides the first ones
---@field wins integer calls that were answered by such an attempt
---@field failures integer calls of which all attempts failed
---@field over_budget integer attempts that the budget refused
---seconds after which a call is hedged now; nil: it is not, since there were not enough answers to
---know
---@field delay number|nil

---Counters.
---
---Does not park.
---@return ringlet.hedger_stats # a new table
function hedger:stats() end

---A job made ready once, from `rl.job`: `rl.spawn` and `rl.spawn_on` take it in place of a
---function, and submit what was copied then.
---@class ringlet.job
local job = {}

---A limiter of concurrency, from `rl.limiter` with `kind = "concurrency"`.
---@class ringlet.concurrency_limiter
local concurrency_limiter = {}

---Begin a call, if there is room for it now.
---
---Does not park.
---
---Raises an unknown priority.
---
---`priority`: one of `priorities`; by default "normal", or the first if there is no such
---
---Returns done is called once when the call has ended, with whether it succeeded, or with nil when
---that says nothing, as of a cancelled one; and with the seconds it took, if those since this are
---not right. Called again it does nothing.
---
---Or nil, message, "EOVERLOAD".
---@param priority? string|number
---@return fun(ok: boolean, rtt: number)|nil
---@return string|nil
---@return string|nil
---@overload fun(self: ringlet.concurrency_limiter, priority?: string|number): nil, string, string
function concurrency_limiter:allow(priority) end

---Begin a call; wait in line if there is no room for it.
---
---Parks until there is room; not at all if there is.
---
---Raises an unknown priority.
---
---Returns done as of `allow`.
---
---Or nil, message, "ETIMEDOUT"; "EOVERLOAD" when the line is full, when it has to wait for longer
---than `queue_wait` or is expected to, and when a more important call takes its place in the full
---line.
---@async
---@param t? number seconds
---@param priority? string|number as of `allow`
---@return fun(ok: boolean, rtt: number)|nil
---@return string|nil
---@return string|nil
---@overload fun(self: ringlet.concurrency_limiter, t?, priority?): nil, string, string
function concurrency_limiter:acquire(t, priority) end

---Call fn with a permit, which it waits for as `acquire` does and gives back whatever becomes of
---fn. A call has failed if it raises, or returns nil, a message and a code; a cancelled one says
---nothing.
---
---Parks until there is room, and where fn does.
---
---Raises what fn raises, unchanged.
---
---Returns fn's results.
---
---Or nil, message, "EOVERLOAD".
---@async
---@param fn fun(...: any): any
---@param ... any its arguments
---@return any ...
---@overload fun(self: ringlet.concurrency_limiter, fn, ...): nil, string, string
function concurrency_limiter:call(fn, ...) end

---The same, for a call with a priority.
---
---Parks until there is room, and where fn does.
---
---Raises what fn raises, unchanged; an unknown priority.
---
---Returns fn's results.
---
---Or nil, message, "EOVERLOAD".
---@async
---@param priority string|number as of `allow`
---@param fn fun(...: any): any
---@param ... any its arguments
---@return any ...
---@overload fun(self: ringlet.concurrency_limiter, priority, fn, ...): nil, string, string
function concurrency_limiter:call_as(priority, fn, ...) end

---Set another limit, from which an algorithm goes on. Calls that run are left alone; those that
---wait go on if there is room now.
---
---Does not park.
---@param n integer 1 or more; with an algorithm, within `min_limit` and `max_limit`
function concurrency_limiter:set_limit(n) end

---@class ringlet.concurrency_stats
---@field algorithm string "fixed", "aimd" or "gradient"
---@field limit integer calls that there may be at once
---@field running integer calls that there are
---@field waiting integer calls in line
---@field allowed integer calls that were begun
---@field refused integer calls that got "EOVERLOAD"
---@field shed integer those of them that had a place in the line
---@field timed_out integer calls that got "ETIMEDOUT"
---@field succeeded integer calls that ended well
---@field failed integer calls that failed
---@field ignored integer calls whose end said nothing
---@field rtt number seconds that a successful call takes, recent ones first; 0 before there was one
---@field by_priority table name = {running =, waiting =}

---Counters and state of the limiter.
---
---Does not park.
---@return ringlet.concurrency_stats # a new table
function concurrency_limiter:stats() end

---A limiter of a rate, from `rl.limiter`.
---@class ringlet.limiter
local limiter = {}

---Take n tokens if they are there and nobody waits for some.
---
---The time is that of the scheduler's turn or later: after a long computation up to 32 calls may
---see it late, and then refuse what is just due.
---
---Does not park.
---
---Raises when n is no whole number of 0 or more.
---
---Returns true.
---
---Or nil, message, "EOVERLOAD", seconds until there will be so many, if nobody else takes them;
---`math.huge` when there never are so many at once.
---@param n? integer (1)
---@return true|nil
---@return string|nil
---@return string|nil
---@return number|nil
---@overload fun(self: ringlet.limiter, n?: integer): nil, string, string, number
function limiter:allow(n) end

---Wait for n tokens: first come, first served. Who is cancelled in the line leaves it, and those
---behind move up.
---
---Parks until there are so many; not at all if there are, and nobody waits.
---
---Raises when n is no whole number of 0 or more.
---
---Source: the Go package golang.org/x/time/rate, Limiter.WaitN.
---
---Returns true.
---
---Or nil, message, "ETIMEDOUT" at once when it would take longer than t; "EOVERLOAD" at once when n
---is more than there can ever be at once.
---@async
---@param n? integer (1)
---@param t? number seconds
---@return true|nil
---@return string|nil
---@return string|nil
---@overload fun(self: ringlet.limiter, n?: integer, t?: number): nil, string, string
function limiter:wait(n, t) end

---Change the rate, of all keys as well. What was taken stays taken. Those who wait are served at
---the new rate; whom that would serve too late fails with "ETIMEDOUT" at once.
---
---Does not park.
---
---Raises when they are not of the kind that `rl.limiter` takes.
---
---`burst`: the most tokens that are kept; of a sliding window, its length in seconds; as it was, if
---left out
---@param rate number tokens a second; of a sliding window, the limit
---@param burst? number
function limiter:set_rate(rate, burst) end

---The limiter of a key: of a user, an address, a route. It has the numbers of this one and an
---account of its own. There are as many as the option `keys` says: one more takes the place of one
---whose account is full again, of the one that was asked for the longest ago if there is none.
---
---Keep the result only as long as the key's call takes: a limiter that somebody holds stays the
---key's limiter.
---
---Does not park.
---
---Raises when the key is nil.
---@param key any anything but nil
---@return ringlet.limiter # the same for the same key, while it is there
function limiter:of(key) end

---@class ringlet.limiter_stats
---@field kind string of limiter
---@field rate number tokens a second, on the average
---@field burst number the most tokens at once
---@field available integer tokens that are there now
---@field allowed integer calls that got their tokens, those of the keys included
---@field refused integer calls that got "EOVERLOAD", those of the keys included
---@field timed_out integer calls that got "ETIMEDOUT", those of the keys included
---@field waiting integer tasks that wait now, for a key included
---@field keys integer that have a limiter now
---@field dropped integer keys whose limiter was dropped

---Counters and state of the limiter.
---
---Does not park.
---@return ringlet.limiter_stats # a new table
function limiter:stats() end

---Several pools, from `rl.multipool`. They are numbered from 1.
---@class ringlet.multipool
local multipool = {}

---Submit a task to one of the pools. One that the next pool of a "round_robin" refuses because it
---is full goes to the pool with the fewest tasks. Of pools with `fn`, it takes the arguments alone.
---
---Parks where `submit` of the pool does.
---
---Raises outside of a run.
---@async
---@param fn fun(...: any): any
---@param ... any its arguments
---@return ringlet.future|nil
---@return string|nil # message
---@return string|nil # "EOVERLOAD" when that one is full too; "ECLOSED"
---@overload fun(self: ringlet.multipool, fn: fun(...: any): any, ...: any): nil, string, string
function multipool:submit(fn, ...) end

---How many tasks run at a time, at most.
---
---Does not park.
---
---Raises when there is no such pool.
---@param i? integer of this pool alone
---@return integer # -1: as many as there are
function multipool:capacity(i) end

---How many tasks run now.
---
---Does not park.
---
---Raises when there is no such pool.
---@param i? integer in this pool alone
---@return integer
function multipool:running(i) end

---How many more tasks could run now.
---
---Does not park.
---
---Raises when there is no such pool.
---@param i? integer in this pool alone
---@return integer # -1: as many as there are
function multipool:free(i) end

---How many tasks wait, those of submitters that wait for room included.
---
---Does not park.
---
---Raises when there is no such pool.
---@param i? integer for this pool alone
---@return integer
function multipool:waiting(i) end

---One of the pools.
---
---Does not park.
---
---Raises when there is no such pool.
---@param i integer
---@return ringlet.pool
function multipool:pool(i) end

---Give each of the pools another size. What runs goes on.
---
---Does not park.
---@param n integer for each; less than 1 changes nothing
---@return boolean # whether any was changed
function multipool:resize(n) end

---Begin no more tasks. What runs goes on; what is submitted waits in the queues.
---
---Does not park.
---@return boolean # false if all were paused already
function multipool:pause() end

---Begin tasks again.
---
---Does not park.
---@return boolean # false if none was paused
function multipool:resume() end

---Wait until no task runs or waits in any of the pools.
---
---Parks until then; not at all if it is so.
---@async
---@param t? number seconds
---@return true|nil
---@return string|nil # message
---@return string|nil # "ETIMEDOUT"
---@overload fun(self: ringlet.multipool, t?: number): nil, string, string
function multipool:join(t) end

---Close all of the pools, as `close` of a pool does; the grace is for all of them together.
---
---Parks with a grace, until every task has ended or the grace is over.
---@async
---@param grace? number seconds
---@return true|nil
---@return string|nil # message
---@return string|nil # "ETIMEDOUT" when the grace was over first
---@overload fun(self: ringlet.multipool, grace?: number): nil, string, string
function multipool:close(grace) end

---Take tasks again, after `close`.
---
---Does not park.
---@return boolean # false if none was closed
function multipool:reopen() end

---@class ringlet.multipool_stats
---@field capacity integer as of `capacity`
---@field running integer tasks that run
---@field queued integer tasks that wait
---@field blocked integer submitters that wait for room
---@field submitted integer tasks so far, refused ones included
---tasks that went to the pool with the fewest, for the one whose turn it was had refused them
---@field moved integer
---@field rejected integer tasks that no pool has taken
---@field done integer tasks that ended well
---@field failed integer tasks
---@field cancelled integer tasks
---@field dropped integer tasks, for later ones
---@field spawned integer tasks that ran beside their pools
---@field caller_ran integer tasks that their submitters ran
---@field pools table `stats` of each pool

---Counters of all pools together, and of each.
---
---Does not park.
---@return ringlet.multipool_stats # a new table
function multipool:stats() end

---What an autoscaler asks of its target: `active`, tasks that run for each that could, and
---`queue`, tasks that wait.
---
---Does not park.
---@return table
function multipool:metrics() end

---A pool of objects, from `rl.objects` or `rl.tables`.
---@class ringlet.objects
local objects = {}

---An object: the one that was put last, or a new one when none is idle.
---
---Parks where `new` does.
---
---Raises what `new` raises; when it gives no object.
---@async
---@param ... any for `new`, if it is called
---@return any # the object
function objects:get(...) end

---Put an object back, once, when nobody uses it any more. It is reset; it is dropped if as many as
---may be are idle. One of elsewhere may be put as well, unless `debug` looks.
---
---Parks where `reset` does.
---
---Raises what `reset` raises: the object is dropped then.
---@async
---@param x any the object
function objects:put(x) end

---Call fn with an object, and put that back however fn ends.
---
---Parks where fn does.
---
---Raises what fn raises, unchanged; what `get` and `put` raise.
---@async
---@param fn fun(x: any, ...: any): any
---@param ... any more arguments of fn
---@return any ... fn's results
function objects:with(fn, ...) end

---Drop idle objects, first those that have lain longest.
---
---Does not park.
---
---`n`: how many may stay; without it, do what the end of a garbage collection cycle does: drop
---those that nobody took since the last but one (or as `trim` says)
---@param n? integer
---@return integer # how many were dropped
function objects:trim(n) end

---Drop all idle objects. Those that are in use may still be put.
---
---Does not park.
---@return integer # how many were dropped
function objects:clear() end

---How many objects are idle.
---
---Does not park.
---@return integer
function objects:size() end

---@class ringlet.objects_stats
---@field idle integer objects
---@field max integer how many may be idle
---@field gets integer so far
---@field hits integer gets that found an idle object
---@field misses integer gets that did not
---@field news integer objects that `new` gave
---@field puts integer so far
---@field dropped integer puts that were not kept: too many were idle, or the object was not reset
---@field trimmed integer idle objects that were dropped later

---Counters.
---
---Does not park.
---@return ringlet.objects_stats # a new table
function objects:stats() end

---Buffers by size, from `rl.buffers`.
---@class ringlet.buffers
local buffers = {}

---A buffer of at least a size. Its content is what `new` or `reset` left.
---
---Parks where `new` does.
---
---Raises what `new` raises.
---@async
---@param size number at least 0
---@return any # the buffer
---@return integer # its size: that of its class, or what was asked for above `max`
function buffers:get(size) end

---Put a buffer back, once, when nobody uses it any more. It is dropped if as many of its class as
---may be are idle, and if it is larger than any class.
---
---Parks where `reset` does.
---
---Raises when it is of elsewhere; what `reset` raises: the buffer is dropped then.
---@async
---@param buffer any from `get` of this pool
function buffers:put(buffer) end

---Call fn with a buffer and its size, and put the buffer back however fn ends.
---
---Parks where fn does.
---
---Raises what fn raises, unchanged; what `get` and `put` raise.
---@async
---@param size number
---@param fn fun(buffer: any, size: integer, ...: any): any
---@param ... any more arguments of fn
---@return any ... fn's results
function buffers:with(size, fn, ...) end

---Drop idle buffers of every class, first those that have lain longest.
---
---Does not park.
---
---`n`: how many of each class may stay; without it, do what the end of a garbage collection cycle
---does
---@param n? integer
---@return integer # how many were dropped
function buffers:trim(n) end

---Drop all idle buffers. Those that are in use may still be put.
---
---Does not park.
---@return integer # how many were dropped
function buffers:clear() end

---How many buffers are idle.
---
---Does not park.
---@return integer
function buffers:size() end

---@class ringlet.buffers_stats
---@field idle integer buffers
---@field idle_size integer the sum of their sizes
---@field gets integer so far
---@field hits integer gets that found an idle buffer
---@field misses integer gets that did not
---@field large integer misses that were larger than any class
---@field puts integer so far, of buffers of a class
---@field dropped integer puts that were not kept
---@field trimmed integer idle buffers that were dropped later
---@field classes table a list of {size, idle}, from the smallest

---Counters.
---
---Does not park.
---@return ringlet.buffers_stats # a new table
function buffers:stats() end

---Helper threads of your own, from `rl.offload_pool`. A pool travels: a job may use it on its
---shard.
---@class ringlet.offload_pool
local offload_pool = {}

---Run fn on a thread of the pool, as `rl.offload` does.
---
---Parks until fn has returned.
---
---Raises the error of fn, copied; what cannot travel, with the path to it; outside of a task.
---
---Returns its results, copied.
---
---Or nil, message, "ECLOSED" when the pool was closed before fn began.
---@async
---@param fn fun(...: any): any
---@param ... any its arguments
---@return any ...
---@overload fun(self: ringlet.offload_pool, fn: fun(...: any): any, ...: any): nil, string, string
function offload_pool:run(fn, ...) end

---Submit a call and go on. Its future is one as of `rl.spawn`; `cancel` settles it at once, as if
---the call had been cancelled. An error that nobody waits for goes to `on_error` of this shard.
---
---Parks while the queue is full; first come, first served.
---
---Raises what cannot travel, with the path to it; outside of a task.
---@async
---@param fn fun(...: any): any
---@param ... any its arguments
---@return ringlet.future|nil
---@return string|nil # message
---@return string|nil # "ECLOSED"
---@overload fun(self: ringlet.offload_pool, fn: fun(...: any): any, ...: any): nil, string, string
function offload_pool:submit(fn, ...) end

---Submit a call if there is room for it.
---
---Does not park.
---
---Raises what cannot travel, with the path to it; outside of a task.
---@param fn fun(...: any): any
---@param ... any its arguments
---@return ringlet.future|nil
---@return string|nil # message
---@return string|nil # "EAGAIN" when the queue is full, "ECLOSED"
---@overload fun(self: ringlet.offload_pool, fn: fun(...: any): any, ...: any): nil, string, string
function offload_pool:try_submit(fn, ...) end

---How many threads there are.
---
---Does not park.
---@return integer
function offload_pool:threads() end

---How many threads there may be.
---
---Does not park.
---@return integer
function offload_pool:size() end

---@class ringlet.offload_stats
---@field threads integer that there are
---@field max_threads integer that there may be
---@field idle integer threads without a call
---@field queued integer calls that wait for a thread
---@field waiting integer calls that wait for room in the queue
---@field running integer calls
---@field done integer calls that have run so far
---@field peak integer the most threads there were

---Counters.
---
---Does not park.
---@return ringlet.offload_stats # a new table
function offload_pool:stats() end

---What an autoscaler asks of its target: `active`, calls that run for each thread there may be,
---and `queue`, calls that wait.
---
---Does not park.
---@return table
function offload_pool:metrics() end

---Let there be more or fewer threads. Those that are too many end when they have no call.
---
---Does not park.
---@param n integer from 1 to 999
function offload_pool:resize(n) end

---Take no more calls. Those that wait fail with "ECLOSED", those that run end as ever; their
---threads end then. It may be called any number of times.
---
---Does not park.
function offload_pool:close() end

---A pool of tasks, from `rl.pool`.
---@class ringlet.pool
local pool = {}

---Submit a task. Of a pool with `fn`, it takes the arguments alone.
---
---Parks while the pool is full and its `overflow` is "block"; where fn does if it is "caller_runs".
---
---Raises outside of a run.
---@async
---@param fn fun(...: any): any
---@param ... any its arguments
---@return ringlet.future|nil
---@return string|nil # message
---@return string|nil # "EOVERLOAD" when the pool is full; "ECLOSED"; what its admission fails with
---@overload fun(self: ringlet.pool, fn: fun(...: any): any, ...: any): nil, string, string
function pool:submit(fn, ...) end

---How many tasks run at a time, at most.
---
---Does not park.
---@return integer # -1: as many as there are
function pool:capacity() end

---The same as `capacity`, for an autoscaler.
---
---Does not park.
---@return integer
function pool:size() end

---How many tasks its workers run now. One that was submitted counts from the start, if it need not
---wait for another one.
---
---Does not park.
---@return integer
function pool:running() end

---How many more tasks could run now.
---
---Does not park.
---
---Returns 0 while it is paused, or was made smaller than what runs; -1: as many as there are.
---@return integer
function pool:free() end

---How many tasks wait for a worker, those of submitters that wait for room included.
---
---Does not park.
---@return integer
function pool:waiting() end

---Let more or fewer tasks run at a time. What runs goes on.
---
---Does not park.
---
---Returns whether it has that size now: false for less than 1, for a pool without a limit, and for
---one with `prealloc`.
---@param n integer less than 1 changes nothing
---@return boolean
function pool:resize(n) end

---Its workers, the oldest first.
---
---Does not park.
---@return ringlet.pool_worker[] # a new list
function pool:workers() end

---Tell, from inside a task, that it makes progress. A pool with `heartbeat` gives up workers of
---whom it has not heard for that long.
---
---Does not park.
---
---Returns false unless a worker of this pool runs the calling task; also when it was given up
---already.
---@return boolean
function pool:beat() end

---Begin no more tasks. What runs goes on; what is submitted waits in the queue.
---
---Does not park.
---@return boolean # false if it was paused already
function pool:pause() end

---Begin tasks again.
---
---Does not park.
---@return boolean # false if it was not paused
function pool:resume() end

---Wait until no task runs or waits.
---
---Parks until then; not at all if it is so.
---@async
---@param t? number seconds
---@return true|nil
---@return string|nil # message
---@return string|nil # "ETIMEDOUT"
---@overload fun(self: ringlet.pool, t?: number): nil, string, string
function pool:join(t) end

---Take no more tasks: submitters that wait for room fail with "ECLOSED", what was accepted still
---runs, if need be because the pool is resumed. With a grace, wait until all of it has ended; when
---the grace is over, what waits fails with "ECLOSED" and what runs is cancelled. It may be called
---any number of times.
---
---Parks with a grace, until every task has ended or the grace is over.
---@async
---@param grace? number seconds
---@return true|nil
---@return string|nil # message
---@return string|nil # "ETIMEDOUT" when the grace was over first
---@overload fun(self: ringlet.pool, grace?: number): nil, string, string
function pool:close(grace) end

---Take tasks again, after `close`.
---
---Does not park.
---@return boolean # false if it was not closed
function pool:reopen() end

---@class ringlet.pool_stats
---@field capacity integer as of `capacity`
---@field running integer tasks that workers run
---@field queued integer tasks that wait for a worker
---@field blocked integer submitters that wait for room
---@field workers integer that there are
---@field idle integer workers without a task
---@field beside integer tasks that run beside the pool, or in their submitters
---tasks so far; each is running, queued, blocked or beside, or one of the next five
---@field submitted integer
---@field done integer tasks that ended well
---@field failed integer tasks
---@field cancelled integer tasks, those included that a closed pool did not begin
---@field rejected integer tasks, by a pool that was full or closed
---@field dropped integer tasks, for later ones
---@field lost integer tasks that failed because they made no progress
---@field spawned integer tasks that ran beside the pool
---@field caller_ran integer tasks that their submitters ran
---@field wait_mean number seconds that a task has waited for a worker, of those that had to
---@field wait_max number seconds that one has, at most

---Counters.
---
---Does not park.
---@return ringlet.pool_stats # a new table
function pool:stats() end

---What an autoscaler asks of its target: `active`, tasks that run for each that could, `queue`,
---tasks that wait, and `wait`, the seconds that they do: the mean of those that began in the last
---two seconds or, if that is more, of those that wait now; 0 when none does.
---
---Does not park.
---@return table
function pool:metrics() end

---A pool whose tasks run on any shard, from `rl.pool` with `scope = "shared"`. It travels: every
---shard has the same pool. Two of them are equal (`==`) when they are one.
---@class ringlet.shared_pool
local shared_pool = {}

---Submit a task: a job, which any shard may run. Of a pool with `fn`, it takes the arguments
---alone. The function, its upvalues and its arguments are copied now, as by `rl.spawn`.
---
---Parks while the pool is full and its `overflow` is "block"; where fn does if it is "caller_runs".
---
---Raises what cannot travel, with the path to it; outside of a run.
---@async
---@param fn fun(...: any): any
---@param ... any its arguments
---@return ringlet.future|nil
---@return string|nil # message
---@return string|nil # "EOVERLOAD" when the pool is full; "ECLOSED"
---@overload fun(self: ringlet.shared_pool, fn: fun(...: any): any, ...: any): nil, string, string
function shared_pool:submit(fn, ...) end

---How many tasks run at a time, at most, on all shards together.
---
---Does not park.
---@return integer # -1: as many as there are
function shared_pool:capacity() end

---The same as `capacity`, for an autoscaler.
---
---Does not park.
---@return integer
function shared_pool:size() end

---How many tasks have been begun and have not ended, on all shards. The end of one counts when the
---shard that submitted it has heard of it.
---
---Does not park.
---@return integer
function shared_pool:running() end

---How many more tasks could run now.
---
---Does not park.
---@return integer # 0 if it was made smaller than what runs; -1: as many as there are
function shared_pool:free() end

---How many tasks wait on all shards, those of submitters that wait for room included.
---
---Does not park.
---@return integer
function shared_pool:waiting() end

---Let more or fewer tasks run at a time. What runs goes on.
---
---Does not park.
---@param n integer less than 1 changes nothing
---@return boolean # whether it was changed: not of a pool without a limit
function shared_pool:resize(n) end

---Begin no more tasks, on any shard. What runs goes on; what is submitted waits in the queue.
---
---Does not park.
---@return boolean # false if it was paused already
function shared_pool:pause() end

---Begin tasks again.
---
---Does not park.
---@return boolean # false if it was not paused
function shared_pool:resume() end

---Wait until no task runs or waits, on any shard.
---
---Parks until then; not at all if it is so.
---@async
---@param t? number seconds
---@return true|nil
---@return string|nil # message
---@return string|nil # "ETIMEDOUT"
---@overload fun(self: ringlet.shared_pool, t?: number): nil, string, string
function shared_pool:join(t) end

---Take no more tasks, from any shard: submitters that wait for room fail with "ECLOSED", what was
---accepted still runs, if need be because the pool is resumed. With a grace, wait until all of it
---has ended; when the grace is over, what waits fails with "ECLOSED" and what runs is cancelled, on
---the other shards when they hear of it. It may be called any number of times.
---
---Parks with a grace, until every task has ended or the grace is over.
---@async
---@param grace? number seconds
---@return true|nil
---@return string|nil # message
---@return string|nil # "ETIMEDOUT" when the grace was over first
---@overload fun(self: ringlet.shared_pool, grace?: number): nil, string, string
function shared_pool:close(grace) end

---Take tasks again, after `close`.
---
---Does not park.
---@return boolean # false if it was not closed
function shared_pool:reopen() end

---@class ringlet.shared_pool_stats
---@field capacity integer as of `capacity`
---@field running integer tasks that were begun and have not ended
---@field queued integer tasks that wait to be begun
---@field blocked integer submitters that wait for room
---@field submitted integer tasks so far, those that were refused because the pool was full included
---@field done integer tasks that ended well
---@field failed integer tasks
---@field cancelled integer tasks, those that never began included
---@field rejected integer tasks, by a pool that was full or closed
---@field dropped integer tasks, for later ones
---@field spawned integer tasks that ran beside the pool
---@field caller_ran integer tasks that their submitters ran
---@field wait_mean number seconds that tasks have waited in the queue
---@field wait_max number seconds that one has, at most

---Counters, of all shards together.
---
---Does not park.
---@return ringlet.shared_pool_stats # a new table
function shared_pool:stats() end

---What an autoscaler asks of its target: `active`, tasks that run for each that could, and
---`queue`, tasks that wait.
---
---Does not park.
---@return table
function shared_pool:metrics() end

---A worker of a pool, as `pool:workers` and the hook `on_failed` give it. It runs one task after
---the other, each as if in a task of its own.
---@class ringlet.pool_worker
---@field id integer its number in the pool, never used twice
---@field tags table|nil its copy of the pool's option `tags`, to be changed as one likes
---@field since number when it was made, in seconds of `rl.now`
---@field done integer how many tasks have ended on it
local pool_worker = {}

---What it does: "created", it has had no turn yet; "pending", it waits for a task; "running";
---"paused"; "failed", its task made no progress and it was given up; "terminated".
---
---Does not park.
---@return string
function pool_worker:state() end

---Have it begin no more tasks. A task that it has begun goes on. Its seat stays empty: the pool
---runs one task less.
---
---Does not park.
---
---Raises unless it is pending or running.
function pool_worker:pause() end

---Have it begin tasks again.
---
---Does not park.
---
---Raises unless it is paused.
function pool_worker:resume() end

---End it: at once if it has no task, else after its task. The pool makes another one when it needs
---one.
---
---Does not park.
---@param force? boolean cancel its task (false)
---@return boolean # false if it has ended already
function pool_worker:destroy(force) end

---A pool of resources, from `rl.resources`. `rl.autoscaler` takes it as a target.
---@class ringlet.resources
local resources = {}

---Borrow a resource: the one that was given back last, else a new one while there are fewer than
---`max`, else the next that comes back. Who came first is served first. Give it back by `release`
---or `discard`.
---
---A new one is opened by a task of the pool. When something comes back before that is done, the
---caller has it at once, and the new one is for the next; nor is it lost when the caller gives up.
---What `open` fails with is for the caller for whom it was called.
---
---Parks while there is none; and where `check` does.
---
---Raises what `open` raised, unchanged; outside of a task.
---
---Source: the Java library HikariCP; the Go package database/sql, type DB.
---
---Returns a resource.
---
---Or nil, message, "ETIMEDOUT"; "ECLOSED"; "EOVERLOAD" when `max_waiting` wait already; what `open`
---failed with; "ECANCELED" when the task in which it ran was cancelled.
---@async
---@param t? number seconds, by default `acquire_timeout`
---@return any
---@return string|nil
---@return string|nil
---@overload fun(self: ringlet.resources, t?: number): nil, string, string
function resources:acquire(t) end

---Borrow an idle resource if there is one. Where there is none and a place is free, one is opened
---in the background for who asks later.
---
---Parks where `check` does.
---
---Source: the Go package github.com/jackc/puddle, Pool.TryAcquire.
---@async
---@return any # a resource
---@return string|nil # message
---@return string|nil # "EAGAIN", "ECLOSED"
---@overload fun(self: ringlet.resources): nil, string, string
function resources:try_acquire() end

---Give a resource back. The longest waiter has it next. It works while cancelled.
---
---Does not park.
---
---Raises when it is not borrowed from this pool, or was released already.
---@param res any what `acquire` gave
---@param broken? boolean true: it is closed, and its place is free (false)
function resources:release(res, broken) end

---Give a resource back that is not to be used again: it is closed, and its place is free.
---
---Does not park.
---
---Raises when it is not borrowed from this pool, or was released already.
---@param res any what `acquire` gave
function resources:discard(res) end

---Call fn with a resource, and give that back whatever becomes of fn. When fn raises, or its task
---is cancelled, nobody knows in what state it left the resource, an answer that nobody has read,
---say: it is discarded, unless `keep` says that it is good. fn may discard it itself.
---
---Parks as `acquire` does, and where fn does.
---
---Raises what fn raises, unchanged.
---
---Returns fn's results.
---
---Or nil, message, as `acquire` does.
---@async
---@param fn fun(res: any, ...: any): any
---@param ... any its further arguments
---@return any ...
---@overload fun(self: ringlet.resources, fn, ...): nil, string, string
function resources:with(fn, ...) end

---How many resources there may be: `max`.
---
---Does not park.
---@return integer
function resources:size() end

---Let there be more or fewer. Who waits has the new places; those that are too many are closed,
---the longest idle first, borrowed ones when they are given back.
---
---Does not park.
---@param n integer 1 or more
function resources:resize(n) end

---Close idle resources, the longest idle first.
---
---Does not park.
---@param keep? integer how many may stay idle (0)
---@return integer # how many were closed
function resources:trim(keep) end

---Close the pool: who waits and whoever comes fails with "ECLOSED"; what is idle is closed, what
---is borrowed when it is given back, what is being opened when that is done. It may be called any
---number of times.
---
---Parks with a grace, until everything is closed.
---@async
---@param grace? number seconds to wait for that; without it, `close` does not wait
---@return true|nil
---@return string|nil # message
---@return string|nil # "ETIMEDOUT" when something is open still
---@overload fun(self: ringlet.resources, grace?: number): nil, string, string
function resources:close(grace) end

---What an autoscaler asks of its target: `active`, the part of the places that is borrowed,
---`queue`, how many tasks wait, and `wait`, for how many seconds the longest of them has.
---
---Does not park.
---@return table
function resources:metrics() end

---@class ringlet.resources_stats
---@field max integer how many there may be
---@field open integer resources that are idle or borrowed
---@field idle integer resources
---@field borrowed integer resources, with those that are being checked
---@field opening integer resources that are being opened
---@field closing integer resources that are being closed
---@field waiting integer tasks
---@field acquired integer times that one was borrowed
---@field timeouts integer times that `acquire` failed with "ETIMEDOUT"
---@field refused integer times that `acquire` failed with "EOVERLOAD"
---@field opened integer resources so far
---@field failures integer times that `open` failed
---@field last_failure string what `open` or `check` failed with last, or ""
---how many were closed, by why: `idle` (idle_timeout or reuse_within), `lifetime`, `uses`, `check`,
---`broken` (discarded), `surplus` (max_idle or `trim`), `resize`, `closed` (the pool was), `run`
---(it ended)
---@field closed table
---@field leaks integer borrowings that were told of
---@field wait_mean number seconds that a borrower waited
---@field wait_max number the longest
---@field use_mean number seconds that one was borrowed for
---@field use_max number the longest

---Counters.
---
---Does not park.
---@return ringlet.resources_stats # a new table
function resources:stats() end

---A way of trying again, from `rl.retrier`: made once, for calls of many tasks.
---@class ringlet.retrier
local retrier = {}

---Call fn; again, if it fails, as the options say. A call fails when it raises or returns nil, a
---message and a code. A cancellation of the calling task is raised at once, also while it waits for
---the next attempt.
---
---Parks where fn does, and between attempts.
---
---Raises what the last attempt raised, unchanged.
---@async
---@param fn fun(...: any): any
---@param ... any its arguments
---@return any ... fn's results, all of them; of the last failure, too
function retrier:call(fn, ...) end

---@class ringlet.retrier_stats
---@field calls integer so far
---@field retries integer attempts besides the first ones
---@field recovered integer calls that went well after a retry
---@field failures integer calls that failed in the end; each for one of the following reasons
---@field exhausted integer no attempt was left
---@field unfit integer `retry_on` did not want a retry
---@field out_of_time integer the next attempt would have begun after `timeout`
---@field over_budget integer the budget had none left

---Counters.
---
---Does not park.
---@return ringlet.retrier_stats # a new table
function retrier:stats() end

---A budget of retries, from `rl.retry_budget`. Give one to all that call the same service: when it
---is down, retries add no more than their share to its load.
---@class ringlet.retry_budget
local retry_budget = {}

---A call has begun. `rl.retry` and `rl.hedge` say so themselves.
---
---Does not park.
function retry_budget:count() end

---Take a retry, if there is one. `rl.retry` and `rl.hedge` do so themselves.
---
---Does not park.
---@return boolean # false: there is none left, make no further attempt
function retry_budget:try_take() end

---How many retries would be granted now.
---
---Does not park.
---@return integer
function retry_budget:available() end

---@class ringlet.retry_budget_stats
---@field calls integer so far
---@field retries integer granted so far
---@field refused integer so far
---@field available integer retries that would be granted now

---Counters of the budget.
---
---Does not park.
---@return ringlet.retry_budget_stats # a new table
function retry_budget:stats() end

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

---Give a function to every shard, to be run in a task there before anything else. It may park. On
---the shard that calls `run` it is called as it is, before main; the others get a copy.
---
---Does not park.
---
---Raises during a run; what cannot travel, with the path to it, when the run begins.
---@param fn fun()
function M.shard_init(fn) end

---@class ringlet.run.opts
---"uring"; "sim": virtual time, a kernel in memory; "auto": what the variable RINGLET_BACKEND says,
---else "uring" ("auto")
---@field backend? string
---@field seed? number of the order of events (sim) (1)
---@field faults? string which faults are injected (sim): "short_read=0.1,enobufs=0.01"
---@field signals? boolean SIGINT and SIGTERM call `stop`, a second one cancels all (false)
---@field grace? number seconds between `stop` and the cancellation of every task (10)
---@field preempt? boolean interrupt tasks that compute (SIGURG; not on sim) (true)
---how many threads, each with a Lua state of its own, work for this run; "auto": as many as the CPU
---set and the cgroup's quota allow. The variable RINGLET_SHARDS gives another default (1)
---@field shards? integer|string
---each shard runs on one CPU: true, node by node; or a list of CPUs, a number or a list of numbers
---and "0-3" for each shard (false)
---@field pin? boolean|table
---where their memory comes from: "auto", the node of a pinned shard's CPUs; or a list of nodes, one
---for each shard (false)
---@field numa? boolean|string|table
---how many helper threads `offload` may use, all shards together; at most 999 (16)
---@field max_threads? integer
---names of modules that every other shard, and every helper thread of `offload`, requires at its
---start
---@field preload? table
---@field stealing? boolean idle shards take jobs that were submitted to others (true)
---@field slice? number seconds that a task may compute at a stretch (0.01)
---seconds after which a shard whose task gives up no turn is stalled: `ready` says so, and
---`on_stall`; 0: never. Not without `preempt`, nor on sim (1)
---@field stall_after? number
---called when a shard has stalled and when that is over, with {shard=, task= its number, seconds=
---that it has lasted, waited= how many of them it had no CPU, over=}, and then where="file:line"
---and traceback if the task could be interrupted; must not park. The first shard calls it; while
---that is stalled, another calls its copy. With one shard it is called only when the stall is over
---@field on_stall? fun(event: table)
---seconds after which a shard that is ready to run and gets no CPU is starved: hooks of "starved"
---hear of it, and it is counted; false or 0: never. Not without `preempt`, nor on sim (0.05)
---@field starved? number|boolean
---how the kernel schedules the shards' threads: {policy= "other", "batch", "idle", "fifo" or "rr",
---priority= 1 to 99 of the last two, 98 with `preempt`, nice= -20 to 19 and slice= seconds from
---0.0001 to 0.1 of the first two, shards= {[i] = the same for one shard, or false}, optional= go on
---without what the system refuses, keep= shard 1's thread stays so when the run ends}; not on sim
---@field sched? table
---called with what has not ended when the grace after `stop` is over: a list of {shard=, id=,
---name=, reason=, object=, seconds=, where=, traceback=} for tasks, {shard=, silent=true} for a
---shard that does not answer, {shard=, left=true} for one that was left behind; must not park. By
---default the text goes to stderr
---@field on_hung? fun(list: table, text: string)
---have an endpoint of `ringlet.admin`: true, on a Unix socket that the command `ringlet` finds; its
---address; or its options. The variable RINGLET_ADMIN, 1 or an address, does so as well (false)
---@field admin? boolean|string|table
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
---nothing can wake one; "interrupted!"; when the backend cannot be opened, or the system refuses
---what `pin`, `numa` or `sched` ask for.
---
---Source: the Go runtime: main, checkdead, asynchronous preemption (proposal 24543); signal(7).
---@param main fun(...: any): any
---@param opts? ringlet.run.opts
---@param ... any main's arguments
---@return any ... main's results; nothing when it was cancelled by `stop`
function M.run(main, opts, ...) end

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
---@field limit? integer tasks at a time; with `cores`, pieces of the list
---@field timeout? number seconds for all
---called after each call that went well; with `cores`, after each piece
---@field progress? fun(done: integer, total: integer)
---use all shards, for what computes: the list is cut into pieces, which are jobs as of `rl.spawn`;
---the items of a piece are done one after the other (false)
---@field cores? boolean

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
---times in this run that this shard was stalled: a task gave up no turn for `stall_after`
---@field stalls integer
---@field stalled integer shards of the run that are now
---times in this run that this shard was ready to run and got no CPU for `starved`
---@field starvations integer
---@field starved number seconds of that
---@field handles integer open connections, listeners and the like
---@field timers integer pending timeouts, sleeps, timers and tickers
---@field ops integer operations the kernel has not completed
---@field works integer jobs on helper threads
---@field submitted integer operations of this run
---@field completed integer operations of this run
---@field jobs integer begun on this shard in this run
---@field steals integer times in this run that it took jobs from another shard
---@field messages integer it sent to other shards in this run
---@field wakes integer sleeping shards that it woke in this run
---@field enters integer system calls `io_uring_enter` of this run

---Counters of this shard.
---
---Does not park.
---
---Source: io_uring_enter(2).
---@return ringlet.stats # a new table
function M.stats() end

---@class ringlet.admission.opts
---@field name? string for messages ("admission")
---gives {usage =, wait =, tasks =, health =}: shares from 0 to 1, seconds, a number, a share; it
---must not park
---@field read? fun(): table
---@field usage? number|boolean share in use from which a few are let in (0.9)
---@field wait? number|boolean seconds from which nobody is (0.3)
---@field failure_rate? number|boolean share of failures that opens it (0.35)
---@field window? number seconds in which these are counted (300)
---@field min_calls? integer ended calls below which the rate is not looked at (20)
---@field growth? number|boolean increase that opens it, by what there was: 3 is +300 % (3)
---@field growth_window? number seconds in which that happens (5)
---@field min_tasks? integer fewer than these count as these, before and after (100)
---@field health? number|boolean share below which it opens (0.95)
---@field open_for? number seconds that it is open (60)
---@field half_open_calls? integer how many are a few (5)
---@field every? number seconds at least between two looks at the figures (0.1)
---@field excluded? function|table as for `rl.breaker`
---called once after each change of the state
---@field on_change? fun(from: string, to: string, why: string, admission: ringlet.admission)

---Rules of admission for a pool, or whatever does work and has a queue. All of them are there
---unless told otherwise: a threshold, or false for none. They go by figures that the owner gives,
---those that are missing say nothing, and by the results that `done` is told.
---
---* `usage` of 90 % or more: a few at a time, until it is less.
---* a mean `wait` of 300 ms or more: nobody, until it is less. The owner must see to it that it
---  falls when nobody comes: what waits counts, and when nothing does it is 0.
---* `failure_rate` of 35 % or more in 5 minutes: nobody for `open_for` seconds, then a few to try.
---* `growth` of the tasks by 300 % or more within 5 s: the same.
---* `health` below 95 %: the same.
---
---An autoscaler or a limiter does what these do less roughly; these are a last line.
---
---Does not park.
---
---Raises options that make no sense.
---
---```lua
---local admission = rl.admission{usage = 0.95, growth = false, read = figures}
---```
---@param opts? ringlet.admission.opts
---@return ringlet.admission
function M.admission(opts) end

---@class ringlet.autoscaler.opts
---what has `size()`, `resize(n)` and perhaps `metrics()`; resize may park, and gives nil, a message
---and a code to refuse
---@field target? table|userdata
---@field size? fun(): integer instead of the target's
---@field resize? fun(n: integer): any instead of the target's
---@field metrics? fun(): table gives a table of name = number, instead of the target's
---@field interval? number seconds between two evaluations (1)
---@field min? integer smallest size (1)
---@field max integer largest size
---@field rules? table list of rules; with policy "target", of rules with an action
---@field policy? string "rules" or "target" ("rules")
---seconds from a resize to the next one; {up =, down =}: to a next one up, and down (0)
---@field cooldown? number|table
---@field quorum? integer how many rules must want the same direction (1)
---@field targets? table name = what the metric should be (policy "target")
---a ratio of metric and target this close to 1 changes nothing (policy "target") (0.1)
---@field tolerance? number
---@field stabilization? table {up = 0, down = 300} seconds (policy "target")
---@field history? integer events that are kept (100)
---@field start? boolean false: `start` or `evaluate` are called by hand (true)
---@field on_scale? fun(event: ringlet.scaling_event) called after each resize
---called after each failure of a function it was given; a failure of this one goes to `rl.on_error`
---@field on_error? fun(event: ringlet.scaling_event)

---An autoscaler. Made inside a task it starts to evaluate when that parks; `stop` ends it.
---
---A rule is a table: a condition, and one of `step = n` (add n, which may be negative),
---`to = fn(size)` (gives the new size) and `action = fn(event)` (called once when the condition has
---come, and again only after it has gone). The condition is `metric = name` with `above = x`,
---`below = x` (both strict) or `trend = "growing"` or `"shrinking"`, or `quorum = n` with
---`of = {condition, ...}`. With `["for"] = seconds` it must have held at every evaluation of that
---time. With `window = seconds` the mean of these seconds is compared, once there are so many; with
---a trend it is the last value that is compared, and the least-squares line through the window that
---must rise or fall. `name` is for events. A metric that is missing, or not a number, makes a
---condition not hold and its times begin anew; so does every resize, but not for actions.
---
---Up goes before down, then the larger step, and there is at most one resize at an evaluation. A
---size that somebody else put outside of min and max is put back at once, cooldown or not.
---
---The policy "target" wants `ceil(size * metric / target)`, of several metrics the largest; when
---one is missing, nothing below the present size. It resizes to the lowest such size of `up`
---seconds, or to the highest of `down` seconds.
---
---Does not park.
---
---Raises options that make no sense.
---
---Source: Kubernetes documentation, "Horizontal Pod Autoscaling", algorithm details.
---@param opts ringlet.autoscaler.opts
---@return ringlet.autoscaler
function M.autoscaler(opts) end

---@class ringlet.batcher.opts
---@field fn fun(list: any[]): any does what is in the list; it may keep it
---@field size? integer items in a call, at most (100)
---seconds that the first item waits for others; 0: for what the tasks that are ready now submit;
---`math.huge`: until there are `size`, or `flush` (0.01)
---@field delay? number
---calls at a time; what is due then waits for its turn, and takes items until it is full. By
---default there is no limit
---@field concurrency? integer
---@field max_pending? integer items that are not settled, at most (10000)
---what `submit` does when there are so many: "block", wait for room; "reject", fail with
---"EOVERLOAD" ("block")
---@field overflow? string
---items with the same key - not nil - are one item of a call: the first
---@field key? fun(v: any): any
---@field name? string for `tostring`, messages and the tasks ("batcher")

---A batcher: `fn` is called with a list of what was submitted, `size` items at most, not later
---than `delay` seconds after the first of them.
---
---fn returns a list of results in the order of the items; with it, perhaps, a table of failures,
---index = {message, code}, for items that have no result. `true` is the result of each. When it
---returns nil, a message and a code, or raises, every item fails so. It runs in a task of its own,
---which no member's cancellation reaches.
---
---Does not park.
---
---Raises options that make no sense.
---
---Source: the JavaScript library DataLoader.
---@param opts ringlet.batcher.opts
---@return ringlet.batcher
function M.batcher(opts) end

---@class ringlet.breaker.opts
---@field name? string for messages ("breaker")
---@field scope? string "shard" or "shared" ("shard")
---@field failures? integer in a row that open it; 6 when there is no other rule
---@field rate? number share of failures that opens it: 0.5
---@field slow_after? number seconds from which a call counts as slow
---@field slow_rate? number share of slow calls that opens it (0.5)
---@field min_calls? integer ended calls below which no rate is looked at (20)
---seconds after which a call is forgotten; 10 with a rate, else they never are
---@field window? number
---@field buckets? integer the window moves on by one of so many parts (10)
---instead of a window: seconds after which everything counted by the closed breaker is forgotten at
---once
---@field interval? number
---@field open_for? number seconds that it is open (60)
---@field backoff? number each time it opens again, it is open so many times longer (1)
---@field open_max? number seconds that it is open at most, with a backoff
---@field half_open_calls? integer how many may try; all must succeed to close it (1)
---@field half_open_for? number seconds after which it opens again if these have not ended
---is this a success? `call` asks it, with true and the results, or with false and the error
---@field is_successful? fun(ok: boolean, ...): boolean
---failures that say nothing: a list of codes, or a function of the error or message, and the code
---@field excluded? function|table
---@field ready_to_trip? fun(counts: ringlet.breaker_counts): boolean asked after each failure
---called once after each change of the state
---@field on_change? fun(from: string, to: string, why: string, breaker: ringlet.breaker)

---A circuit breaker: it lets calls through while they succeed (closed), refuses them for a while
---when they fail (open), then lets a few try (half-open): if these succeed it closes, and if one
---fails or is slow it opens again.
---
---Without a rule it opens at the sixth failure in a row. The rules by rate look at the calls that
---have ended in the window, from `min_calls` on: failures, and calls that took `slow_after` or
---longer, by all of them. Any rule that holds opens it.
---
---Functions it was given must not park. One that raises is reported as the failure of a task is,
---and what it should have decided is decided without it.
---
---With `scope = "shared"` all shards to which it travels have one breaker. Functions among its
---options are copied there; `on_change` is called on the shard that made the change.
---
---Does not park.
---
---Raises options that make no sense.
---
---Source: gobreaker v2, whose generations, buckets and half-open rule these are; resilience4j for
---the slow-call rate; Hystrix for the defaults of the window.
---
---```lua
---local breaker = rl.breaker{name = "db", rate = 0.5, window = 30, slow_after = 2}
---```
---@param opts? ringlet.breaker.opts
---@return ringlet.breaker
function M.breaker(opts) end

---@class ringlet.debounce.opts
---call it at once for the first call, and again at the end if there were more (false)
---@field leading? boolean
---@field trailing? boolean call it at the end (true)
---@field max_wait? number seconds after which it is called though calls do not stop

---A function that is called once when calls have stopped for t seconds, with the arguments of the
---last of them. It runs in a task of its own, one call at a time; what it raises goes to
---`rl.on_error`. What waits keeps `run` alive.
---
---Does not park.
---
---Raises options that make no sense.
---
---Source: the JavaScript library Lodash, debounce.
---@param fn fun(...: any)
---@param t number seconds
---@param opts? ringlet.debounce.opts
---@return ringlet.debouncer # it can be called like a function
function M.debounce(fn, t, opts) end

---@class ringlet.throttle.opts
---@field leading? boolean call it at once for the first call (true)
---@field trailing? boolean call it after t seconds if there were more calls (true)

---A function that is called at most once in t seconds: for the first call at once, then with the
---arguments of the last one.
---
---Does not park.
---
---Raises options that make no sense.
---
---Source: the JavaScript library Lodash, throttle.
---@param fn fun(...: any)
---@param t number seconds
---@param opts? ringlet.throttle.opts
---@return ringlet.debouncer # it can be called like a function
function M.throttle(fn, t, opts) end

---@class ringlet.group.opts
---@field name? string no other group of the run has it
---@field shards? integer how many logical shards; with a router object that says it, too
---"mod", "ring", "jump", "maglev", "rendezvous" or "bounded", a router of `ringlet.router`, or
---fn(key, n) -> from 1 to n. With "bounded" the load is the calls in flight; a key without any may
---go to another logical shard ("ring")
---@field router? string|ringlet.keyrouter|function
---@field init? fun(index: integer): any makes a logical shard's state; may park
---@field methods? table name = fn(state, key, ...); may park
---the keys that a state has: a list, or what `pairs` of a table by key gives
---@field keys? fun(state: any): any
---@field export? fun(state: any, key: any): any takes a key out of a state: gives its value
---@field import? fun(state: any, key: any, value: any) puts a key into another state
---@field stateless? boolean there is nothing to move when the group is resized (false)
---@field stop? fun(state: any) called at the end of each logical shard
---@field capacity? integer how many calls of one thread wait in one logical shard's queue
---seconds: a logical shard that has a call and makes no progress for so long has failed, and is
---replaced by a new one, with a new state
---@field heartbeat? number
---@field fail_on_error? boolean a method that raises fails its logical shard (false)
---@field on_failed? fun(index: integer, reason: string) called in a task of this shard
---@field tags? table|function metadata of every logical shard, or fn(index) -> metadata

---A group: a number of logical shards on the run's threads, each with a state of its own, made by
---`init`, and a queue that is served by one call at a time: the next begins when the one before has
---ended, however often that parks. A key belongs to one logical shard; calls of one caller and key
---are done in order. The i-th logical shard lives on thread `(i - 1) % rl.shards() + 1`.
---
---The functions among the options, but `on_failed` and `tags`, travel to every thread once: their
---upvalues are copies there. A group does not keep a run alive, calls in flight do; `rl.stop` stops
---it gracefully.
---
---Parks until every logical shard is running.
---
---Raises the error of an `init`; what cannot travel, with the path to it; outside of a task.
---
---Source: V. Mirrokni, M. Thorup, M. Zadimoghaddam, "Consistent hashing with bounded loads", 2016.
---@async
---@param opts ringlet.group.opts
---@return ringlet.group|nil
---@return string|nil # message
---@return string|nil # "EEXIST" when the name is taken
---@overload fun(opts: ringlet.group.opts): nil, string, string
function M.group(opts) end

---The group of this name, wherever it was made.
---
---Does not park.
---@param name string
---@return ringlet.group|nil # nil when there is none, or no more
function M.groups(name) end

---May this run be given more work? It looks at all shards and never waits for one: ask it for a
---readiness probe.
---
---Does not park.
---
---Returns true.
---
---Or nil, message, "ESTALLED", a shard has made no progress for `stall_after`; "ESTOPPING", the run
---was asked to stop; "ECLOSED", there is no run.
---@return boolean|nil
---@return string|nil
---@return string|nil
---@overload fun(): nil, string, string
function M.ready() end

---@class ringlet.hedger.opts
---@field delay number|string seconds after which the next attempt is started; or "p95" and the like
---@field max? integer attempts, with the first (2)
---@field budget? table an `rl.retry_budget`; when it is spent no call is hedged

---A way of hedging: the options of `rl.hedge`, looked at once, for `hedger:call(fn, ...)`.
---
---With a percentile as the delay, so many of 100 calls are answered without a second attempt. It is
---that of the last 200 attempts; before there were 20 no call is hedged. An attempt that lost
---counts with the time it took until then.
---
---Does not park.
---
---Raises options that make no sense.
---
---Source: J. Dean, L. A. Barroso, "The tail at scale", 2013.
---@param opts ringlet.hedger.opts
---@return ringlet.hedger
function M.hedger(opts) end

---Call fn, and once more if the answer is late: the first answer wins. It is
---`rl.hedger(opts):call(fn, ...)`; a percentile as the delay needs a hedger that is kept.
---
---Parks until all attempts have ended.
---
---Raises what the last attempt to fail raised, unchanged; options that make no sense; outside of a
---task.
---
---Source: J. Dean, L. A. Barroso, "The tail at scale", 2013.
---@async
---@param opts ringlet.hedger.opts as for `rl.hedger`
---@param fn fun(...: any): any
---@param ... any its arguments
---@return any ... the results of the winner, all of them; when all have failed, of the last failure
function M.hedge(opts, fn, ...) end

---Call a function whenever something happens on this shard. It must not park and should be quick;
---when it raises, `on_error` hears of it and the hook is removed.
---
---Events, and what the function is given: "create" (task), when a task is made; "end" (task, ok,
---err), once for each task that was made since or lived then; "park" (id, reason), when a task
---waits from now on; "unpark" (id), when one goes on; "stall" (event), as `opts.on_stall` of `run`;
---"starved" (event), when the kernel gives a shard no CPU, though it could run, for `opts.starved`
---of `run`, and when that is over: {shard=, seconds=, over=}, on the same shards as "stall";
---"overrun" (task, text), as its `opts.on_overrun`; "gc" (kilobytes), when the collector has been
---through everything in idle time.
---
---A task that a server makes for a connection is told of as well, and that of a job, when it
---begins; the workers of pools are not, for what they run are tasks of the pool.
---
---Does not park.
---
---Raises on an event that there is not.
---
---```lua
---local off = rl.on("end", function(task, ok) if not ok then failed = failed + 1 end end)
---```
---@param event string
---@param fn fun(...: any)
---@return fun() # takes the hook away again; idempotent
function M.on(event, fn) end

---Prepare a job: copy the function and its arguments once, to submit them often.
---
---Does not park.
---
---Raises what cannot travel, with the path to it.
---@param fn fun(...: any): any
---@param ... any its arguments
---@return ringlet.job
function M.job(fn, ...) end

---Submit a job: any shard may run it, the first that has nothing better to do. The function, its
---upvalues and its arguments are copied.
---
---A job that assigns an upvalue is told so on stderr, once for each function. An error that nobody
---has waited for when it comes goes to `on_error` of this shard.
---
---Does not park.
---
---Raises what cannot travel, with the path to it; outside of `run`.
---
---Source: R. D. Blumofe, C. E. Leiserson, "Scheduling multithreaded computations by work stealing",
---1999.
---@param fn fun(...: any): any|ringlet.job
---@param ... any its arguments
---@return ringlet.future
function M.spawn(fn, ...) end

---Submit a job to one shard, which alone runs it.
---
---Does not park.
---
---Raises when there is no such shard; what cannot travel, with the path to it; outside of `run`.
---@param shard integer from 1 to `rl.shards()`
---@param fn fun(...: any): any|ringlet.job
---@param ... any its arguments
---@return ringlet.future
function M.spawn_on(shard, fn, ...) end

---How many shards the run has.
---
---Does not park.
---@return integer # 1 outside of a run
function M.shards() end

---Which shard this is.
---
---Does not park.
---@return integer # from 1; the one that called `run` is 1
function M.shard() end

---@class ringlet.limiter.opts
---@field kind? string "token_bucket", "gcra", "sliding_window" or "concurrency" ("token_bucket")
---@field rate? number tokens a second (token_bucket, gcra)
---the most tokens that are kept; by default those of a second, at least 1 (token_bucket, gcra)
---@field burst? integer
---@field fill? integer tokens at first; by default the burst (token_bucket)
---tokens in a window (sliding_window); calls at once (concurrency without an algorithm)
---@field limit? integer
---@field window? number seconds (sliding_window)
---@field approximate? boolean two counters instead of a log (sliding_window) (false)
---@field keys? integer of how many keys there is a limiter at most (rates) (10000)
---@field scope? string "shared": all shards take from one account (gcra) ("shard")
---@field algorithm? string "fixed", "aimd" or "gradient" (concurrency, as all below) ("fixed")
---@field initial? integer limit that an algorithm begins with (20)
---@field min_limit? integer the least that an algorithm sets (1)
---@field max_limit? integer the most that an algorithm sets (1000)
---@field queue? integer calls that may wait in line (1024)
---seconds after which a call in line is refused; one that would probably wait for longer is refused
---at once
---@field queue_wait? number
---@field tolerance? number how much longer than without a queue calls may take (gradient) (1.06)
---@field backoff? number what the limit is multiplied by when calls fail (0.9)
---@field timeout? number seconds; a call that takes longer counts as failed for the algorithm
---a list of {name, share}, the most important first, the shares not increasing; by default
---{{"critical", 1}, {"normal", 1}, {"background", 0.5}}
---@field priorities? table

---A limiter: of how many there may be in a time, or of how many there may be at once.
---
---Rates. `token_bucket`: tokens drip in at the rate, up to the burst; it is full at first.
---`gcra`: the same decisions from one number; with `scope = "shared"` the handle travels, and all
---shards take from one account. `sliding_window`: at most `limit` in any `window` seconds, by a log
---of the last `limit` times; what is exactly one window old is out. With `approximate` it takes two
---counters instead of a log: those of this and of the last window of fixed times, the last one
---counting for the part of it that is not yet one window old. Times are whole nanoseconds and the
---sums exact, for a rate that is a fraction as people write them: 1000, 0.1, 1/60.
---
---Concurrency. The limit is fixed; or `aimd` adds one in each round trip in which at least half of
---the limit was in use, and takes a tenth away when calls fail or take longer than `timeout`; or
---`gradient` compares what calls take with what they took without a queue behind them. It measures
---that now and then, with less than the limit for as many calls as that takes. Calls have a
---priority: a class of calls and those below it may together use its share of the limit; in the
---line the more important ones are first, but no class is passed by more than 8 times in a row.
---
---Does not park.
---
---Raises options that make no sense.
---
---Source: ITU-T I.371, annex A (gcra); D.-M. Chiu and R. Jain, "Analysis of the increase and
---decrease algorithms for congestion avoidance", 1989 (aimd); Netflix concurrency-limits
---(gradient); "Site Reliability Engineering", chapter 21 (priorities).
---@param opts ringlet.limiter.opts
---@return ringlet.limiter|ringlet.concurrency_limiter
function M.limiter(opts) end

---@class ringlet.multipool.opts
---how many; or a list with the options of each, which go before those for all
---@field pools integer|table
---"round_robin": one after the other; "least_tasks": the one in which the fewest tasks run and wait
---("round_robin")
---@field strategy? string
---@field name? string for `tostring`; the pools are called so, with their numbers ("pool")

---Several pools behind one. A line that all submitters share is no line of all of them then: what
---waits for one pool does not wait for another.
---
---The other options are those of `rl.pool`, for each of the pools.
---
---Does not park.
---
---Raises on an option that is unknown or out of range.
---
---Source: the Go package github.com/panjf2000/ants: MultiPool.
---
---```lua
---local pools = rl.multipool {pools = 4, size = 25, overflow = "reject"}
---```
---@param opts ringlet.multipool.opts
---@return ringlet.multipool
function M.multipool(opts) end

---@class ringlet.objects.opts
---makes an object, when none is idle; it gets the arguments of `get`. An object is a table, a
---userdata, a cdata, a function or a coroutine
---@field new fun(...: any): any
---@field reset? fun(x: any) called by `put`: makes it as good as new
---@field max? integer how many may lie idle; what is put beyond is dropped (1024)
---garbage collection cycles after which an object that nobody took is dropped, from 1 to 1,000;
---false: they stay until `pool:trim` or `pool:clear` (2)
---@field trim? integer|boolean
---look for objects that are put twice, used after they were put, not of this pool, or not reset;
---RINGLET_DEBUG=1 does too. It is many times slower (false)
---@field debug? boolean
---names of fields that need not be as `new` made them when `debug` looks; true: no field need be
---@field keep? table|boolean
---@field name? string for `tostring` and errors ("objects")

---A pool of objects. It is this shard's: neither the pool nor what it gives is shared.
---
---Does not park.
---
---Raises on an option that is missing, unknown or out of range.
---
---Source: the Go type sync.Pool.
---
---```lua
---local requests = rl.objects {new = function() return {headers = {}} end}
---```
---@param opts ringlet.objects.opts
---@return ringlet.objects
function M.objects(opts) end

---@class ringlet.buffers.opts
---@field min? integer size of the smallest class; each further one is twice as large (64)
---the largest size that is pooled; the largest class is the first that has it. What is larger is
---made for the request and dropped when it is put (65536)
---@field max? integer
---@field per_class? integer how many of a class may lie idle (64)
---@field new? fun(size: integer): any makes a buffer
---@field reset? fun(buffer: any) called by `put`; buffers of `new` are not reset without
---@field trim? integer|boolean as for `objects`, for each class (2)
---@field debug? boolean as for `objects` (false)
---@field name? string for `tostring` and errors ("buffers")

---Buffers pooled by size. What a size counts is up to `new`; without it, a buffer is an empty
---table with room for so many values in a list, to be filled and given to `table.concat`. Buffers
---of bytes are made by the ffi of LuaJIT, or by C.
---
---Does not park.
---
---Raises on an option that is unknown or out of range.
---
---Source: J. Evans, "A Scalable Concurrent malloc(3) Implementation for FreeBSD": size classes.
---@param opts? ringlet.buffers.opts
---@return ringlet.buffers
function M.buffers(opts) end

---@class ringlet.tables.opts
---@field array? integer how many values of a list a new table has room for (0)
---@field hash? integer how many other fields (0)
---@field max? integer as for `objects` (1024)
---@field trim? integer|boolean as for `objects` (2)
---@field debug? boolean as for `objects` (false)
---@field name? string ("tables")

---A pool of empty tables. `put` makes a table empty again and takes its metatable away; it keeps
---its memory, and what was in it is not kept alive.
---
---Does not park.
---
---Raises on an option that is unknown or out of range.
---
---```lua
---local lists = rl.tables {array = 64}
---```
---@param opts? ringlet.tables.opts
---@return ringlet.objects
function M.tables(opts) end

---Run fn on a helper thread: code that blocks in C or computes for long, while the tasks of this
---shard go on. The function, its upvalues, its arguments and its results are copied.
---
---All shards of a run share its helper threads, at most as many as `run` was told; a call that
---finds all busy waits for its turn. Each thread has a Lua state of its own, in which globals
---outlive a call, and in which `os.exit` raises.
---
---Cancelled, the task goes on at once. A call that has not begun then never does. What is in C then
---cannot be interrupted: it goes on and its results are dropped. Lua code raises, in a call as in
---whatever it calls, where the VM interprets it: compiled loops and, on Lua 5.4, coroutines of its
---own are not interrupted.
---
---Parks until fn has returned.
---
---Raises the error of fn, copied; a task that fails with it has the traceback of the helper in its
---own; what cannot travel, with the path to it; outside of a task.
---
---Source: libuv, "Thread pool work scheduling".
---@async
---@param fn fun(...: any): any
---@param ... any its arguments
---@return any ... its results, copied
function M.offload(fn, ...) end

---@class ringlet.offload_pool.opts
---@field max_threads? integer how many threads there may be; at most 999 (16)
---@field min_threads? integer how many of those that were started stay when idle (0)
---@field idle? number seconds without a call after which a thread ends (10)
---@field queue? integer how many calls may wait for a thread (1024)
---@field preload? string[] modules that every helper's state requires at its start
---@field name? string for `tostring` ("pool")

---A pool of helper threads of its own, for what must not take those of others.
---
---Does not park.
---
---Raises on an option that is unknown or out of range.
---@param opts? ringlet.offload_pool.opts
---@return ringlet.offload_pool
function M.offload_pool(opts) end

---@class ringlet.pool.opts
---@field size integer how many tasks run at a time; -1: as many as there are
---@field queue? integer how many may wait for a worker (0)
---what `submit` does when that many wait: "block", it parks until there is room, first come, first
---served; "reject"; "spawn", the task runs beside the pool; "drop_oldest", the task that has waited
---longest fails instead, with "EOVERLOAD"; "caller_runs", `submit` runs it ("block")
---@field overflow? string
---@field max_blocking? integer how many submitters may wait for room; one more is refused
---@field expiry? number|boolean seconds without a task after which a worker ends; false: never (10)
---all workers are made with the first task, and the size stays what it is (false)
---@field prealloc? boolean
---called once for each task that fails; must not park
---@field on_panic? fun(err: any, traceback: string, future: ringlet.future)
---@field fn? fun(...: any): any what every task runs: `submit` takes its arguments alone
---"shared": its tasks run on any shard, at most `size` on all together; the pool travels, so that
---every shard may submit ("shard")
---@field scope? string
---@field name? string for `tostring`, and for reports of what its tasks wait for ("pool")
---@field tags? table what every worker gets a copy of
---seconds after which a worker whose task neither ended nor called `beat` is given up: the task
---fails with "ELOST" and is cancelled, what it still returns is dropped, and another worker takes
---the seat
---@field heartbeat? number
---@field on_failed? fun(worker: ringlet.pool_worker) called with such a worker; must not park
---asked before each task, and told what came of it: options of `rl.admission`, or true, with the
---pool's usage, waits and tasks as figures; or an admission, which has figures of its own
---@field admission? boolean|table

---A pool of tasks.
---
---What it refuses fails with "EOVERLOAD". An accepted task that fails never takes anything else
---with it: its error and traceback are its future's; `on_panic` is told of it or, without that,
---`on_error` of this shard if nobody has waited for the future. What was accepted keeps `run`
---alive.
---
---A task has its worker to itself: what it leaves there - a name, locals, a cancellation - no other
---task sees.
---
---Does not park.
---
---Raises on an option that is unknown or out of range.
---
---Source: the Go package github.com/panjf2000/ants; java.util.concurrent.ThreadPoolExecutor.
---
---```lua
---local pool = rl.pool {size = 10, queue = 100, overflow = "reject"}
---```
---@param opts ringlet.pool.opts
---@return ringlet.pool
function M.pool(opts) end

---@class ringlet.resources.opts
---gives a resource, which is neither nil nor false, and of which there is but one; or nil, a
---message and a code. It runs in a task of the pool, may park, and is not interrupted when nobody
---waits any more: it needs a limit of its own, as `net.connect` has
---@field open fun(): any
---closes one; `why` is a name as in `stats().closed`. It runs in a task of the pool and may park;
---until it has returned the place is taken. What it raises goes to `rl.on_error`. At the end of a
---run it is called outside of any task: then it cannot park, and what it raises is dropped
---@field close? fun(res: any, why: string)
---is an idle resource still good? It runs in the task that acquires and may park. When it gives nil
---or false, or raises, the resource is closed and the next one is tried
---@field check? fun(res: any): boolean
---is a resource still good after the function of `with` raised `err`, which may be a cancellation?
---It must not park
---@field keep? fun(res: any, err: any): boolean
---@field max? integer how many there may be (10)
---so many are kept idle: opened in the background, not closed by `idle_timeout` (0)
---@field min_idle? integer
---@field max_idle? integer more are not kept: the longest idle is closed; by default no limit
---@field max_uses? integer how often one is borrowed before it is closed; by default no limit
---@field max_waiting? integer how many tasks may wait; by default no limit
---@field idle_timeout? number seconds after which an idle one is closed (30)
---seconds after which an idle one is not reused any more, if that is less than `idle_timeout`
---@field reuse_within? number
---seconds from its opening after which one is closed, when it is given back at the latest; by
---default no limit
---@field max_lifetime? number
---each lifetime is shorter by a random part, this at most, so that not all end at once; from 0 to 1
---(0.025)
---@field jitter? number
---@field check_after? number seconds idle before a check is needed (0)
---@field acquire_timeout? number seconds that `acquire` waits at most; by default no limit
---seconds after which whoever has not given a resource back is told of. With it each `acquire`
---takes a traceback, which costs some microseconds
---@field leak_after? number
---called once for each such, with {resource=, task=, seconds= that it has had it, traceback= when
---it acquired it, where= the task is now}; must not park. By default the text goes to stderr
---@field on_leak? fun(event: table, text: string)
---@field close_timeout? number seconds that `close` may take; then it is cancelled (5)
---seconds from a failure to open one for `min_idle` to the next attempt, doubled each time (0.1)
---@field backoff? number
---@field backoff_max? number seconds that this may become (30)
---@field name? string for `tostring` and reports ("resources")

---A pool of resources: of connections, or of whatever is dear to open and serves one task at a
---time. It is of one shard.
---
---There are never more than `max` of them, with those that are being opened and closed. What is
---idle is reused last in, first out, so that few are kept warm and the others time out.
---
---Made outside of a run, it opens nothing until it is used. When the run ends what is open is
---closed: the next run begins with none. A pool that is dropped without `close` is collected, and
---what is idle in it with it.
---
---Does not park.
---
---Raises on an option that is unknown or out of range.
---
---Source: the Java library HikariCP, its configuration; the Go package database/sql.
---@param opts ringlet.resources.opts
---@return ringlet.resources
function M.resources(opts) end

---@class ringlet.retrier.opts
---@field attempts? integer at most, with the first; `math.huge`: no limit (3)
---{base = 0.1, factor = 2, max = 10}, seconds; or the seconds; or fn(attempt), which gives them
---after the first, second, ... attempt
---@field backoff? table|number|function
---@field jitter? string "full", "equal", "decorrelated" or "none"
---seconds for everything: an attempt is ended there, and none is waited for that would begin then
---@field timeout? number
---@field attempt_timeout? number seconds for each attempt, which then fails with "ETIMEDOUT"
---@field budget? table an `rl.retry_budget`; when it is spent the failure is given back at once
---a list of codes; or fn(why, code, attempt, after), which says of a failure - the error or the
---message, the code, how many attempts there were, the fourth value - whether to try again, or
---after how many seconds. By default every failure is tried again
---@field retry_on? table|function
---called before each wait
---@field on_retry? fun(attempt: integer, why: any, delay: number, code: string|nil)

---A way of trying again: the options of `rl.retry`, looked at once, for `retrier:call(fn, ...)`.
---
---The delay before attempt n + 1 is `min(max, base * factor ^ (n - 1))`; or a number of seconds; or
---what a function says. Jitter makes of such a delay a random one: "full", from 0 to it; "equal",
---from half of it to it; "decorrelated", from base to three times the last one and at most max;
---"none". It is "full" unless the backoff is a number or a function. After a refusal - of a limiter
---or a breaker, "EOVERLOAD" or "EOPEN" - that says as its fourth value when to come again, the
---delay is as long at least.
---
---Does not park.
---
---Raises options that make no sense.
---
---Source: M. Brooker, "Exponential backoff and jitter", AWS Architecture Blog, 2015.
---@param opts? ringlet.retrier.opts
---@return ringlet.retrier
function M.retrier(opts) end

---Call fn; again, if it fails. It is `rl.retrier(opts):call(fn, ...)`; what is called often makes
---its retrier once.
---
---Parks where fn does, and between attempts.
---
---Raises what the last attempt raised, unchanged; options that make no sense.
---
---Source: M. Brooker, "Exponential backoff and jitter", AWS Architecture Blog, 2015.
---@async
---@param opts? ringlet.retrier.opts as for `rl.retrier`
---@param fn fun(...: any): any
---@param ... any its arguments
---@return any ... fn's results, all of them; of the last failure, too
function M.retry(opts, fn, ...) end

---@class ringlet.retry_budget.opts
---@field ratio? number retries for each call, from 0 to 1 (0.1)
---retries a second that need no calls, so that who calls rarely may retry at all (1)
---@field min_per_second? number
---@field window? number seconds (10)

---A budget for the retries of many calls, of this shard: of the calls and retries of the last
---`window` seconds, retries may be `ratio` of the calls and `min_per_second * window` besides. The
---window is counted in tenths: what is in it is between nine and ten tenths of it old, at most.
---
---Does not park.
---
---Raises options that make no sense.
---
---Source: Finagle documentation, "Retries", RetryBudget; gRPC proposal A6, "Retry throttling".
---@param opts? ringlet.retry_budget.opts
---@return ringlet.retry_budget
function M.retry_budget(opts) end

---Has the run been asked to stop?
---
---Does not park.
---@return boolean # false outside of a run
function M.stopping() end

---Ask the run to stop. `stopping` is true from now on, on every shard; servers accept what is
---queued and finish what they have; after the grace what hangs is reported and every task is
---cancelled. A shard that then does not answer, because its task is stuck in a C function, is given
---5 seconds, or the grace if that is longer; `run` returns without it and says so. Without a run it
---does nothing.
---
---Does not park.
---@param grace? number seconds, by default the option of `run`; 0: cancel at once
function M.stop(grace) end

---How the kernel schedules a shard's thread now, whoever decided it.
---
---Does not park.
---
---Raises when there is no such shard.
---
---Source: sched(7), sched_getattr(2).
---
---Returns {policy= "other", "batch", "idle", "fifo", "rr", or another that was given from outside,
---priority= of "fifo" and "rr", nice=, slice= seconds, of "other" and "batch" where the kernel
---tells, thread= its number}.
---
---Or nil, message, "ECLOSED", no run is active; "ESRCH", the shard has ended.
---@param shard? integer its number; this one without it
---@return table|nil
---@return string|nil
---@return string|nil
---@overload fun(shard?: integer): nil, string, string
function M.sched(shard) end

---Make a table empty, whatever its metatable is, and keep its memory. The metatable stays.
---
---Does not park.
---
---Raises when it is no table.
---
---```lua
---local request = {headers = {host = "example.org"}}
---rl.clear_table(request.headers)
---```
---@param t table
function M.clear_table(t) end

---Let tables with this metatable travel to other shards. Each shard must have registered a
---metatable under the name: put the call into a module, and preload or require that there; a module
---that has the name of the type is loaded when the first such table arrives. The
---metatable itself then travels by its name too. A name that is registered again stands for the new
---metatable; tables with the old one still travel under it.
---
---Does not park.
---
---Raises when it is no name, or no table.
---
---```lua
---local Point = rl.register_type("shapes.point", {})
---```
---@param name string the same in every shard
---@param metatable table
---@return table # the metatable
function M.register_type(name, metatable) end

return M
