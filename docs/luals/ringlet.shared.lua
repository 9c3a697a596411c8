---@meta ringlet.shared
-- SPDX-License-Identifier: MIT
-- Written by tools/stubs from the comments in these files; edit those.
--   lua/ringlet/shared.lua
--   lua/ringlet/shared_atomic.lua
--   lua/ringlet/shared_buffer.lua
--   lua/ringlet/shared_chan.lua
--   lua/ringlet/shared_dict.lua
--   lua/ringlet/shared_sync.lua

---An integer that shards share, from `shared.atomic`. Nothing but `wait` parks.
---@class ringlet.shared_atomic
local shared_atomic = {}

---The value.
---
---Does not park.
---@return integer
function shared_atomic:load() end

---Set it.
---
---Does not park.
---@param n integer
function shared_atomic:store(n) end

---Add to it. Beyond 64 bits it wraps around.
---
---Does not park.
---@param n? integer (1)
---@return integer # the sum
function shared_atomic:add(n) end

---Take from it.
---
---Does not park.
---@param n? integer (1)
---@return integer # the difference
function shared_atomic:sub(n) end

---Set it.
---
---Does not park.
---@param n integer
---@return integer # what it was
function shared_atomic:exchange(n) end

---Compare and set: `n` if it is `expected`.
---
---Does not park.
---@param expected integer
---@param n integer
---@return boolean # whether it was done
---@return integer|nil # what it is, when it was not
function shared_atomic:cas(expected, n) end

---Wait until it is not `expected`. A change that is taken back at once may go unseen; look at the
---value again before relying on it.
---
---Parks while it is.
---
---Source: futex(2).
---@async
---@param expected integer
---@param t? number seconds
---@return true|nil
---@return string|nil # message
---@return string|nil # "ETIMEDOUT"
---@overload fun(self: ringlet.shared_atomic, expected: integer, t?: number): nil, string, string
function shared_atomic:wait(expected, t) end

---Bytes that shards share, from `shared.buffer`. `tostring(b)` is the same as `b:tostring()`, and
---two buffers are equal (`==`) when their bytes are. Positions are those of strings.
---@class ringlet.shared_buffer
---@operator len: integer
local shared_buffer = {}

---The bytes as a Lua string.
---
---Does not park.
---@return string
function shared_buffer:tostring() end

---The bytes from i to j as a string.
---
---Does not park.
---
---Source: the Lua manual, string.sub.
---@param i? integer (1)
---@param j? integer (-1)
---@return string
function shared_buffer:sub(i, j) end

---A part, from i to j, without a copy. It keeps the whole alive.
---
---Does not park.
---@param i? integer (1)
---@param j? integer (-1)
---@return ringlet.shared_buffer
function shared_buffer:slice(i, j) end

---Are these the bytes?
---
---Does not park.
---@param what string|ringlet.shared_buffer
---@return boolean
function shared_buffer:equals(what) end

---A shared channel, from `shared.chan`; `rl.select` takes it like any channel. Values that are
---sent are copied; a handle of it may be sent itself.
---@class ringlet.shared_chan
---@operator len: integer
local shared_chan = {}

---Send a copy of v. The longest waiter gets it, else it is buffered.
---
---Parks while there is no room; without a buffer, until somebody receives.
---
---Raises on a closed channel, and when it is closed meanwhile; on what cannot travel.
---
---Source: the Go specification, "Send statements".
---@async
---@param v any anything that travels, but nil
---@param t? number seconds
---@return true|nil
---@return string|nil # message
---@return string|nil # "ETIMEDOUT"
---@overload fun(self: ringlet.shared_chan, v: any, t?: number): nil, string, string
function shared_chan:send(v, t) end

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
---@overload fun(self: ringlet.shared_chan, t?: number): nil, string, string
function shared_chan:recv(t) end

---Send if that needs no waiting.
---
---Does not park.
---
---Raises on what cannot travel.
---@param v any anything that travels, but nil
---@return true|nil
---@return string|nil # message
---@return string|nil # "EAGAIN", "ECLOSED"
---@overload fun(self: ringlet.shared_chan, v: any): nil, string, string
function shared_chan:try_send(v) end

---Receive if that needs no waiting.
---
---Does not park.
---@return any # the value
---@return string|nil # message
---@return string|nil # "EAGAIN"; "ECLOSED", or what `close` was given
---@overload fun(self: ringlet.shared_chan): nil, string, string
function shared_chan:try_recv() end

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
function shared_chan:close(msg, code) end

---Iterate over what is received, until the channel is closed and empty.
---
---Parks in the loop, while there is no value.
---
---Source: the Go specification, "For range".
---@async
---@return fun(): any # for a `for` loop; it raises the message the channel was closed with
function shared_chan:iter() end

---How many values the buffer holds at most.
---
---Does not park.
---@return integer
function shared_chan:capacity() end

---How many values the overflow rule has dropped.
---
---Does not park.
---@return integer
function shared_chan:dropped() end

---A dict, from `shared.dict`. Keys are strings of at most 64 KiB. A key has one value, or a list
---of values. A time to live is in seconds, more than 0; it counts on the monotonic clock of the
---shard. What has expired is invisible at once, and given back when somebody comes across it, or
---when room is needed.
---@class ringlet.shared_dict
local shared_dict = {}

---A copy of the value.
---
---Does not park.
---
---Source: the directive lua_shared_dict of ngx_lua, whose operations these are.
---@param key string
---@return any # nil when there is none
---@return string|nil # message
---@return string|nil # "EINVAL": it is a list
---@overload fun(self: ringlet.shared_dict, key: string): nil, string, string
function shared_dict:get(key) end

---Set the value, whatever the key had.
---
---Does not park.
---
---Raises on what cannot travel.
---@param key string
---@param value any anything that travels, but nil
---@param ttl? number seconds; for ever by default
---@return true|nil
---@return string|nil # message
---@return string|nil # "ENOSPC": it is full, and does not evict
---@overload fun(self: ringlet.shared_dict, key, value, ttl?): nil, string, string
function shared_dict:set(key, value, ttl) end

---Set the value if there is none.
---
---Does not park.
---
---Raises on what cannot travel.
---@param key string
---@param value any anything that travels, but nil
---@param ttl? number seconds; for ever by default
---@return true|nil
---@return string|nil # message
---@return string|nil # "EEXIST", "ENOSPC"
---@overload fun(self: ringlet.shared_dict, key, value, ttl?): nil, string, string
function shared_dict:add(key, value, ttl) end

---Set the value if there is one.
---
---Does not park.
---
---Raises on what cannot travel.
---@param key string
---@param value any anything that travels, but nil
---@param ttl? number seconds; for ever by default
---@return true|nil
---@return string|nil # message
---@return string|nil # "ENOENT"
---@overload fun(self: ringlet.shared_dict, key, value, ttl?): nil, string, string
function shared_dict:replace(key, value, ttl) end

---Compare and set: put `new` if the value is `old`. What one may compare are numbers, strings,
---booleans and shared objects.
---
---Does not park.
---@param key string
---@param old any nil: there is no value
---@param new any nil: delete the key
---@param ttl? number seconds; for ever by default
---@return boolean|nil # whether it was done
---@return any # what is there, when it was not
---@return string|nil # "EINVAL": it is a list; "ENOSPC"
---@overload fun(self: ringlet.shared_dict, key, old, new, ttl?): nil, string, string
function shared_dict:cas(key, old, new, ttl) end

---Add to a number.
---
---Does not park.
---
---```lua
---local hits = dict:incr("hits:" .. peer, 1, 0, 60)
---```
---@param key string
---@param n? number (1)
---@param init? number what to begin with when there is no value
---@param ttl? number seconds that a number begun so lives; one that was there keeps its own
---@return number|nil # the sum
---@return string|nil # message
---@return string|nil # "ENOENT": there is none, and no `init`; "EINVAL": it is no number; "ENOSPC"
---@overload fun(self: ringlet.shared_dict, key, n?, init?, ttl?): nil, string, string
function shared_dict:incr(key, n, init, ttl) end

---Delete the key.
---
---Does not park.
---@param key string
---@return boolean # whether it was there
function shared_dict:delete(key) end

---How long the key still lives.
---
---Does not park.
---@param key string
---@return number|nil # seconds, `math.huge` for ever; nil when it is not there
function shared_dict:ttl(key) end

---Let the key live that long from now on.
---
---Does not park.
---@param key string
---@param ttl? number seconds; for ever by default
---@return boolean # whether it is there
function shared_dict:expire(key, ttl) end

---Add a value at the end of the key's list, which is made if the key is not there.
---
---Does not park.
---@param key string
---@param value any anything that travels, but nil
---@return integer|nil # the length of the list now
---@return string|nil # message
---@return string|nil # "EINVAL": it is no list; "ENOSPC"
---@overload fun(self: ringlet.shared_dict, key: string, value: any): nil, string, string
function shared_dict:push(key, value) end

---Add a value at the front of the key's list.
---
---Does not park.
---@param key string
---@param value any anything that travels, but nil
---@return integer|nil # the length of the list now
---@return string|nil # message
---@return string|nil # "EINVAL": it is no list; "ENOSPC"
---@overload fun(self: ringlet.shared_dict, key: string, value: any): nil, string, string
function shared_dict:push_left(key, value) end

---Take the first value of the key's list. With its last value the key goes.
---
---Does not park.
---@param key string
---@return any # nil when there is no list
---@return string|nil # message
---@return string|nil # "EINVAL": it is no list
---@overload fun(self: ringlet.shared_dict, key: string): nil, string, string
function shared_dict:pop(key) end

---Take the last value of the key's list.
---
---Does not park.
---@param key string
---@return any # nil when there is no list
---@return string|nil # message
---@return string|nil # "EINVAL": it is no list
---@overload fun(self: ringlet.shared_dict, key: string): nil, string, string
function shared_dict:pop_right(key) end

---The length of the key's list.
---
---Does not park.
---@param key string
---@return integer|nil # 0 when there is none
---@return string|nil # message
---@return string|nil # "EINVAL": it is no list
---@overload fun(self: ringlet.shared_dict, key: string): nil, string, string
function shared_dict:len(key) end

---Keys that are there, in no particular order. Others may change the dict while the list is made.
---
---Does not park.
---@param max? integer how many at most (1024)
---@return table
function shared_dict:keys(max) end

---Delete all keys.
---
---Does not park.
---@return integer # how many there were
function shared_dict:clear() end

---Delete what has expired.
---
---Does not park.
---@return integer # how many these were
function shared_dict:purge() end

---How many keys there are, with what has expired and was not deleted yet.
---
---Does not park.
---@return integer
function shared_dict:size() end

---How many keys it can have.
---
---Does not park.
---@return integer|nil # nil: no limit
function shared_dict:capacity() end

---@class ringlet.dict_stats
---@field size integer keys there are
---@field hits integer times that `get` or `pop` found the key
---@field misses integer times that they did not
---@field evictions integer keys that went because others came
---@field expired integer keys whose time to live was over

---Counters since it was made.
---
---Does not park.
---@return ringlet.dict_stats # a new table
function shared_dict:stats() end

---A weighted semaphore, from `shared.semaphore`. Waiters are served first come, first served.
---@class ringlet.shared_semaphore
local shared_semaphore = {}

---Take k tokens. A large request is not starved by small ones that come later, and they go on when
---it gives up.
---
---Parks while there are fewer, or others wait.
---
---Raises when there are never so many.
---@async
---@param k? integer (1)
---@param t? number seconds
---@return true|nil
---@return string|nil # message
---@return string|nil # "ETIMEDOUT"
---@overload fun(self: ringlet.shared_semaphore, k?: integer, t?: number): nil, string, string
function shared_semaphore:acquire(k, t) end

---Take k tokens if that needs no waiting.
---
---Does not park.
---@param k? integer (1)
---@return boolean # whether the caller has them now
function shared_semaphore:try_acquire(k) end

---Give k tokens back. Any task may do that.
---
---Does not park.
---
---Raises when more come back than were taken.
---@param k? integer (1)
function shared_semaphore:release(k) end

---Tokens that nobody holds.
---
---Does not park.
---@return integer
function shared_semaphore:available() end

---Call fn with a token; give it back whatever becomes of fn.
---
---Parks while there is none, or others wait, and where fn does.
---
---Raises what fn raises, unchanged.
---@async
---@param fn fun(...: any): any
---@param ... any its arguments
---@return any ... fn's results
function shared_semaphore:with(fn, ...) end

---A meeting point, from `shared.barrier`.
---@class ringlet.shared_barrier
local shared_barrier = {}

---Wait until n tasks have come. Whoever gives up does not count.
---
---Parks until the last has come.
---@async
---@param t? number seconds
---@return integer|nil # in which place this task came, from 1 to n
---@return string|nil # message
---@return string|nil # "ETIMEDOUT"
---@overload fun(self: ringlet.shared_barrier, t?: number): nil, string, string
function shared_barrier:wait(t) end

---Something that is done once, from `shared.once`.
---@class ringlet.shared_once
local shared_once = {}

---Call fn, unless that was done before: then its results are given, or its error is raised, as
---copies. When the task that does it is cancelled, the next one does it.
---
---Parks while another does it, and where fn does.
---
---Raises the error of the one call; where an error cannot travel, its text.
---@async
---@param fn fun(...: any): any
---@param ... any its arguments
---@return any ... the results of the one call
function shared_once:call(fn, ...) end

---Is it done?
---
---Does not park.
---@return boolean
function shared_once:is_done() end

---What shards share: objects that several of them hold at once, by handles that travel. Everything
---else that goes to another shard is copied. They are made anywhere, also outside of `run`.
---@class ringlet.shared
local M = {}

---An integer of 64 bits. LuaJIT's numbers are exact up to 2^53: what is given there must not be
---beyond, and what is got from beyond is rounded.
---
---Does not park.
---
---Source: C11, 7.17; every operation is sequentially consistent.
---@param value? integer (0)
---@return ringlet.shared_atomic
function M.atomic(value) end

---A buffer with a copy of the bytes. It never changes, so a handle of it that is sent to another
---shard copies nothing; the memory is given back when the last handle, or view of a part, is gone.
---
---Does not park.
---@param ... string|ringlet.shared_buffer what is joined, one behind the other
---@return ringlet.shared_buffer
function M.buffer(...) end

---@class ringlet.shared.chan.opts
---when the buffer is full: "block", a sender parks; "drop_oldest" makes room; "drop_newest" drops
---what is sent ("block")
---@field overflow? string

---A channel that shards share.
---
---Does not park.
---
---Source: the Go specification, "Channel types"; D. Vyukov, "Bounded MPMC queue".
---@param capacity? integer values it buffers, at most 2^24; 0: sender and receiver meet (0)
---@param opts? ringlet.shared.chan.opts
---@return ringlet.shared_chan
function M.chan(capacity, opts) end

---@class ringlet.shared.dict.opts
---@field capacity? integer keys at most; the dict never has more. No limit by default
---when it is full, the least recently used key goes; false: what would add a key fails with
---"ENOSPC" (true)
---@field evict? boolean

---A dict: string keys, and values that travel. Each operation is atomic, none parks. A value is
---copied in and copied out: changing a table that was stored or got changes nothing in the dict.
---
---A dict without a capacity, or with one above 1,024, is made of parts with a lock each, so that
---shards seldom meet; what is evicted then is what was not used for longest in one of the parts.
---
---Does not park.
---
---```lua
---local cache = shared.dict{capacity = 10000}
---```
---@param opts? ringlet.shared.dict.opts
---@return ringlet.shared_dict
function M.dict(opts) end

---A semaphore of n tokens for tasks of any shards.
---
---Does not park.
---
---Source: E. W. Dijkstra, EWD 74.
---@param n integer 0 or more
---@return ringlet.shared_semaphore
function M.semaphore(n) end

---A meeting point of n tasks of any shards, which can be used again and again.
---
---Does not park.
---
---Source: pthread_barrier_wait(3).
---@param n integer 1 or more
---@return ringlet.shared_barrier
function M.barrier(n) end

---Something that is done once, by whoever comes first on any shard.
---
---Does not park.
---
---Source: the Go function sync.OnceValues.
---@return ringlet.shared_once
function M.once() end

return M
