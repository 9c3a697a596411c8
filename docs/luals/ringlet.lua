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
--   lua/ringlet/autoscaler.lua
--   lua/ringlet/autoscaler_evaluation.lua
--   lua/ringlet/group.lua
--   lua/ringlet/health.lua
--   lua/ringlet/jobs.lua
--   lua/ringlet/offload.lua
--   lua/ringlet/run_stop.lua
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

---The result of a job that is still to come, from `rl.spawn`. `rl.select` takes it: the case gives
---what `join` returns.
---@class ringlet.future
local future = {}

---Wait until the job has ended. It may be called any number of times, by any number of tasks.
---
---Parks until the job has ended; not at all if it has.
---
---Returns true, its results, copied.
---
---Or false when it failed, the error, copied; a cancellation for a cancelled job, the traceback of
---the task that ran it.
---
---Or nil, message, "ETIMEDOUT".
---@async
---@param t? number seconds
---@return boolean|nil
---@return any ...
---@overload fun(self: ringlet.future, t?: number): false, any, string
---@overload fun(self: ringlet.future, t?: number): nil, string, string
function future:join(t) end

---Cancel the job: one that has not begun never does; one that has is cancelled as a task is, and
---ends when it hears of it; how is told to nobody. A job that has ended is left alone.
---
---Does not park.
---@param reason? any it travels
function future:cancel(reason) end

---What became of the job: "pending", "done" or "failed".
---
---Does not park.
---@return string
function future:status() end

---The traceback of the task that ran the job, where that failed.
---
---Does not park.
---@return string # "" of a job that is pending or ended well
function future:traceback() end

---A job made ready once, from `rl.job`: `rl.spawn` and `rl.spawn_on` take it in place of a
---function, and submit what was copied then.
---@class ringlet.job
local job = {}

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
---that it has lasted, over=}, and then where="file:line" and traceback if the task could be
---interrupted; must not park. The first shard calls it; while that is stalled, another calls its
---copy. With one shard it is called only when the stall is over
---@field on_stall? fun(event: table)
---called with what has not ended when the grace after `stop` is over: a list of {shard=, id=,
---name=, reason=, object=, seconds=, where=, traceback=} for tasks, {shard=, silent=true} for a
---shard that does not answer, {shard=, left=true} for one that was left behind; must not park. By
---default the text goes to stderr
---@field on_hung? fun(list: table, text: string)
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

---Let tables with this metatable travel to other shards. Each shard must have registered a
---metatable under the name: put the call into a module, and preload or require that there. The
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
