---@meta ringlet.bpf
-- SPDX-License-Identifier: MIT
-- Written by tools/stubs from the comments in these files; edit those.
--   lua/ringlet/bpf.lua
--   lua/ringlet/bpf_area.lua
--   lua/ringlet/bpf_link.lua
--   lua/ringlet/bpf_map.lua
--   lua/ringlet/bpf_metrics.lua
--   lua/ringlet/bpf_object.lua
--   lua/ringlet/bpf_probe.lua
--   lua/ringlet/bpf_program.lua
--   lua/ringlet/bpf_ring.lua
--   lua/ringlet/bpf_steer.lua
--   lua/ringlet/bpf_wakeup.lua

---Mapped memory of an array, from `map:mmap`. It stays mapped until it is closed or collected,
---even when its map is closed before. `area.size` is how many bytes it has.
---@class ringlet.bpf_area
local bpf_area = {}

---Where a byte of it is. Good until the area is closed or collected.
---
---Does not park.
---
---Raises beyond the end; on a closed area.
---@param offset? integer (0)
---@return userdata # light
function bpf_area:address(offset) end

---Read, or write, an integer of 64 bits; with acquire and release order.
---
---Does not park.
---
---Raises beyond the end; on a closed area; writing what is read-only.
---@param offset integer a multiple of 8
---@param value? integer
---@return integer # what is there now; beyond 2^53 as the values of maps are
function bpf_area:u64(offset, value) end

---The same of 32 bits.
---
---Does not park.
---
---Raises as `u64`.
---@param offset integer a multiple of 4
---@param value? integer
---@return integer
function bpf_area:u32(offset, value) end

---Where an element begins.
---
---Does not park.
---@param index integer from 0, as keys of arrays are
---@return integer
function bpf_area:offset(index) end

---Unmap it. Idempotent.
---
---Does not park.
---@return true
function bpf_area:close() end

---A program that is attached, from `object:attach`.
---@class ringlet.bpf_link
local bpf_link = {}

---Detach the program. Idempotent. Connections that were accepted while a socket filter was on
---their listener keep it.
---
---Does not park.
---@return true
function bpf_link:detach() end

---The same: `detach` under the name that all objects have.
---
---Does not park.
---@return true
function bpf_link:close() end

---Keep it attached beyond this process: under a path of a bpf file system.
---
---Does not park.
---@param path string
---@return true|nil
---@return string|nil # message
---@return string|nil # "EOPNOTSUPP" for sockets and clsact; as `map:pin`
---@overload fun(self: ringlet.bpf_link, path: string): nil, string, string
function bpf_link:pin(path) end

---A map, from `object:map` or `bpf.open_map`. Keys and values have the types that BTF tells:
---numbers, booleans, strings for arrays of char and of bytes, names for enums, lists, and tables
---for structs. A string of the right size is taken for any array or struct, as its bytes. Of a
---per-CPU map a value is a list with one for each possible CPU.
---@class ringlet.bpf_map
local bpf_map = {}

---The value of a key.
---
---Does not park.
---
---Raises when the key is not of the map's type.
---@param key any
---@return any # value
---@return string|nil # message
---@return string|nil # "ENOENT"; "ECLOSED"; "EPERM"
---@overload fun(self: ringlet.bpf_map, key: any): nil, string, string
function bpf_map:get(key) end

---Set the value of a key.
---
---Does not park.
---
---Raises when one is not of the map's type.
---@param key any
---@param value any
---@param flag? string "any"; "new": only if there is no such key; "exist": only if there is ("any")
---@return true|nil
---@return string|nil # message
---@return string|nil # "EEXIST"; "ENOENT"; "E2BIG" when the map is full; "ECLOSED"; "EPERM"
---@overload fun(self: ringlet.bpf_map, key: any, value: any, flag?: string): nil, string, string
function bpf_map:set(key, value, flag) end

---Remove a key.
---
---Does not park.
---
---Raises when the key is not of the map's type.
---@param key any
---@return true|nil
---@return string|nil # message
---@return string|nil # "ENOENT"; "EINVAL" for arrays; "ECLOSED"; "EPERM"
---@overload fun(self: ringlet.bpf_map, key: any): nil, string, string
function bpf_map:delete(key) end

---The value of a key, which is removed, in one step.
---
---Does not park.
---@param key any
---@return any # value
---@return string|nil # message
---@return string|nil # as `get`; "EINVAL" for kinds of maps that cannot
---@overload fun(self: ringlet.bpf_map, key: any): nil, string, string
function bpf_map:take(key) end

---The bytes of a value, by the bytes of its key.
---
---Does not park.
---
---Raises when the key has another size.
---@param key string
---@return string|nil # bytes; for a per-CPU map a list of them
---@return string|nil # message
---@return string|nil # as `get`
---@overload fun(self: ringlet.bpf_map, key: string): nil, string, string
function bpf_map:get_raw(key) end

---The same for `set`.
---
---Does not park.
---
---Raises when one has another size.
---@param key string
---@param value string for a per-CPU map a list of strings
---@param flag? string as for `set` ("any")
---@return true|nil
---@return string|nil # message
---@return string|nil # as `set`
---@overload fun(self: ringlet.bpf_map, key, value, flag?): nil, string, string
function bpf_map:set_raw(key, value, flag) end

---Put a value into a queue, a stack or a bloom filter.
---
---Does not park.
---@param value any
---@return true|nil
---@return string|nil # message
---@return string|nil # "E2BIG" when it is full; "ECLOSED"; "EPERM"
---@overload fun(self: ringlet.bpf_map, value: any): nil, string, string
function bpf_map:push(value) end

---Take the next value of a queue or stack.
---
---Does not park.
---@return any # value
---@return string|nil # message
---@return string|nil # "ENOENT" when it is empty; "ECLOSED"; "EPERM"
---@overload fun(self: ringlet.bpf_map): nil, string, string
function bpf_map:pop() end

---The next value of a queue or stack, which stays.
---
---Does not park.
---@return any # value
---@return string|nil # message
---@return string|nil # as `pop`
---@overload fun(self: ringlet.bpf_map): nil, string, string
function bpf_map:peek() end

---Go through the entries in batches, a call of the kernel each: `for keys, values in map:batch()
---do`. Entries that come or go meanwhile may be missed.
---
---Does not park.
---
---Raises when the map cannot be read, or is of a kind that has no batches.
---
---Source: bpf(2), BPF_MAP_LOOKUP_BATCH.
---@param n? integer entries in a batch (256)
---@return fun(): any # lists of keys and of values
function bpf_map:batch(n) end

---The same, and the entries are removed.
---
---Does not park.
---
---Raises as `batch`.
---@param n? integer entries in a batch (256)
---@return fun(): any # lists of keys and of values
function bpf_map:drain(n) end

---Set many, in one call of the kernel.
---
---Does not park.
---@param keys table list
---@param values table list, as long
---@return true|nil
---@return string|nil # message
---@return string|nil # as `set`; a fourth value is how many were set
---@overload fun(self: ringlet.bpf_map, keys: table, values: table): nil, string, string
function bpf_map:set_batch(keys, values) end

---Remove many, in one call of the kernel.
---
---Does not park.
---@param keys table list
---@return true|nil
---@return string|nil # message
---@return string|nil # as `delete`; a fourth value is how many were removed
---@overload fun(self: ringlet.bpf_map, keys: table): nil, string, string
function bpf_map:delete_batch(keys) end

---Go through the entries: `for key, value in map:iter() do`. Entries that come or go meanwhile may
---be missed.
---
---Does not park.
---
---Raises when the map cannot be read.
---@return fun(): any
function bpf_map:iter() end

---Map the memory of an array that has BPF_F_MMAPABLE.
---
---Does not park.
---@return ringlet.bpf_area|nil
---@return string|nil # message
---@return string|nil # "ENODEV" for other maps; "ECLOSED"; "EPERM"
---@overload fun(self: ringlet.bpf_map): nil, string, string
function bpf_map:mmap() end

---Its descriptor, which is the map's.
---
---Does not park.
---@return integer|nil
---@return string|nil # message
---@return string|nil # "ECLOSED"
---@overload fun(self: ringlet.bpf_map): nil, string, string
function bpf_map:fd() end

---Keep it beyond this process: under a path of a bpf file system.
---
---Does not park.
---
---Returns true.
---
---Or nil, message, "EINVAL" in no bpf file system; "EEXIST"; "ENOENT" no such directory; "ECLOSED";
---"EPERM".
---@param path string
---@return true|nil
---@return string|nil
---@return string|nil
---@overload fun(self: ringlet.bpf_map, path: string): nil, string, string
function bpf_map:pin(path) end

---@class ringlet.bpf_map_stats
---@field name string
---@field kind string "hash", "array", "lpm_trie", ...
---@field key_size integer bytes
---@field value_size integer bytes
---@field max_entries integer
---@field flags integer as in bpf(2)

---What it is.
---
---Does not park.
---@return ringlet.bpf_map_stats # a new table
function bpf_map:stats() end

---Give it up. What the kernel has of it stays as long as something uses it. Idempotent.
---
---Does not park.
---@return true
function bpf_map:close() end

---What the kernel counts for this process, from `bpf.metrics`.
---@class ringlet.bpf_metrics
local bpf_metrics = {}

---@class ringlet.bpf_reading
---@field connects integer|nil that have begun: a SYN was sent, or should have been
---@field established integer|nil of them, those that were answered
---@field failed integer|nil of them, those that were refused, not answered, or given up
---@field accepts integer|nil connections of others that were established
---@field retransmits integer|nil segments sent again, of connections that are counted
---@field runqueue table|nil histogram of seconds that shards' threads waited for a CPU
---@field shards table the same by number of the shard
---@field other table the same of threads that are no shard's, without `runqueue`; in the sums above
---list of the same with `shard` and `id`, of up to 4096 tasks, the last to connect
---@field tasks table
---@field labels table the same by set of labels of tasks, as text
---@field processes table the same by number of those of `pids`; not in the sums
---@field cgroup table|nil the same of `cgroup`; not in the sums

---What has been counted since it was made.
---
---Does not park.
---@return ringlet.bpf_reading|nil # a new table
---@return string|nil # message
---@return string|nil # "ECLOSED"
---@overload fun(self: ringlet.bpf_metrics): nil, string, string
function bpf_metrics:read() end

---@class ringlet.bpf_cost
---@field runs integer
---@field ns number in all of them

---What counting costs: of each program, how often the kernel has run it and for how long, from the
---first `stats` on.
---
---Does not park.
---
---Source: bpf(2), BPF_ENABLE_STATS.
---@return table|nil # a new table, by name of the program
---@return string|nil # message
---@return string|nil # "ECLOSED"; "EPERM"
---@overload fun(self: ringlet.bpf_metrics): nil, string, string
function bpf_metrics:stats() end

---Detach everything. What was counted is gone from `ringlet.metrics`. Idempotent.
---
---Does not park.
---@return true
function bpf_metrics:close() end

---A loaded object file, from `bpf.load`. Closing it detaches its programs and gives up its maps.
---When it is collected that happens too, so keep it as long as it is to work.
---@class ringlet.bpf_object
local bpf_object = {}

---A map of it, always the same.
---
---Does not park.
---@param name string
---@return ringlet.bpf_map|nil
---@return string|nil # message
---@return string|nil # "ENOENT" there is none of that name; "ECLOSED"
---@overload fun(self: ringlet.bpf_object, name: string): nil, string, string
function bpf_object:map(name) end

---A program of it that was loaded, always the same.
---
---Does not park.
---@param name string
---@return ringlet.bpf_program|nil
---@return string|nil # message
---@return string|nil # "ENOENT" there is none of that name, or it was not asked for; "ECLOSED"
---@overload fun(self: ringlet.bpf_object, name: string): nil, string, string
function bpf_object:program(name) end

---@class ringlet.bpf_object.ring.opts
---that its records have: "struct event"; without, they are strings. A record that is shorter than
---its type is a string too
---@field type? string

---The reading end of a ring buffer of it, always the same.
---
---Does not park.
---
---Returns bpf_ring.
---
---Or nil, message, "ENOENT" there is no such map, or type; "EINVAL" it is no ring buffer;
---"ECLOSED".
---@param name string of the map
---@param opts? ringlet.bpf_object.ring.opts
---@return ringlet.bpf_ring|nil
---@return string|nil
---@return string|nil
---@overload fun(self: ringlet.bpf_object, name, opts?): nil, string, string
function bpf_object:ring(name, opts) end

---What it has.
---
---Does not park.
---@return table # list of {name=, kind=} of maps, without those of its variables
---@return table # list of {name=, section=} of programs
function bpf_object:list() end

---Read a variable of it, or write one that is no constant.
---
---Does not park.
---
---Raises when the value is not of its type.
---@param name string
---@param value? any
---@return any # its value; true when it was written
---@return string|nil # message
---@return string|nil # "ENOENT" there is none of that name; "EPERM" a constant; "ECLOSED"
---@overload fun(self: ringlet.bpf_object, name: string, value?: any): nil, string, string
function bpf_object:global(name, value) end

---Attach a program. `spec` says where:
---
---    {socket = listener}              -- a socket filter: a listener (what it accepts inherits
---it), a
---                                     -- connection, a server of one shard, or a descriptor
---    {reuseport = listener}           -- sk_reuseport: the group of that listener
---    {dev = "eth0", hook = "ingress", mode = "tcx"}    -- tc; hook "ingress" or "egress"; mode
---"tcx",
---                                     -- "clsact", by default what the kernel has
---    {xdp = "eth0", mode = "native"}  -- xdp; mode "generic" or "native", by default the driver's
---choice
---    {cgroup = "/sys/fs/cgroup/x"}    -- cgroup_skb and the like
---    {uprobe = "/usr/bin/x", symbol = "main", pid = -1, offset = 0, at_return = false}
---    {}                               -- where the program's section says: tp_btf/, raw_tp/, tp/,
---iter/
---
---Does not park.
---@param name string of the program
---@param spec? table
---@return ringlet.bpf_link|nil
---@return string|nil # message
---@return string|nil # "EPERM"; "ENOENT"; "ENODEV" no such interface; "EOPNOTSUPP"; "ECLOSED"; ...
---@overload fun(self: ringlet.bpf_object, name: string, spec?: table): nil, string, string
function bpf_object:attach(name, spec) end

---Detach its programs, give up its maps and programs. Idempotent. What others hold of them stays.
---
---Does not park.
---@return true
function bpf_object:close() end

---@class ringlet.bpf_object_stats
---@field maps integer
---@field programs integer loaded or not
---@field links integer programs that are attached, through this object

---What it has.
---
---Does not park.
---@return ringlet.bpf_object_stats # a new table
function bpf_object:stats() end

---A program, from `object:program`.
---@class ringlet.bpf_program
local bpf_program = {}

---Its descriptor, which is the object's.
---
---Does not park.
---@return integer|nil
---@return string|nil # message
---@return string|nil # "ECLOSED"
---@overload fun(self: ringlet.bpf_program): nil, string, string
function bpf_program:fd() end

---Attach it, as `object:attach`.
---
---Does not park.
---@param spec? table
---@return ringlet.bpf_link
function bpf_program:attach(spec) end

---@class ringlet.bpf_program.run.opts
---@field data? string what it is given as a packet
---@field ctx? string what it is given as its context
---@field repeat_? integer how often (1)
---@field cpu? integer where; for tracing programs

---Run it without anything happening: what it would have done is given back. Not every type can.
---
---Does not park.
---
---Source: bpf(2), BPF_PROG_TEST_RUN.
---@param opts? ringlet.bpf_program.run.opts
---@return integer|nil # what it returned
---@return string # the packet afterwards
---@return number|string # ns that one run took, on average
---@return string|nil # the context afterwards
---@overload fun(self: ringlet.bpf_program, opts?): nil, string, string
function bpf_program:run(opts) end

---@class ringlet.bpf_program_stats
---@field runs integer
---@field ns number in all of them
---@field missed integer runs that the kernel left out, since it was in one already
---@field instructions integer after the verifier
---@field jited boolean it is machine code
---@field id integer the kernel's, for bpftool

---Counters. The kernel counts runs and time only while somebody has asked for it: from the first
---`stats` of the object until it is closed, for about 20 ns a run of every program of the machine.
---
---Does not park.
---
---Source: bpf(2), BPF_ENABLE_STATS.
---@return ringlet.bpf_program_stats|nil # a new table
---@return string|nil # message
---@return string|nil # "ECLOSED"; "EPERM": counting needs CAP_SYS_ADMIN
---@overload fun(self: ringlet.bpf_program): nil, string, string
function bpf_program:stats() end

---Keep it beyond this process: under a path of a bpf file system.
---
---Does not park.
---@param path string
---@return true|nil
---@return string|nil # message
---@return string|nil # "ECLOSED"; as `map:pin`
---@overload fun(self: ringlet.bpf_program, path: string): nil, string, string
function bpf_program:pin(path) end

---The reading end of a ring buffer, from `object:ring`. There is one for each.
---@class ringlet.bpf_ring
local bpf_ring = {}

---Take the next record.
---
---Parks while there is none.
---
---Raises outside of a task, if none is there.
---@async
---@param t? number seconds
---@return any # record as a value of its type, or its bytes
---@return string|nil # message
---@return string|nil # "ECLOSED"; "ETIMEDOUT"; "EOPNOTSUPP" in a simulated run, unless one is there
---@overload fun(self: ringlet.bpf_ring, t?: number): nil, string, string
function bpf_ring:recv(t) end

---Take the next record if there is one.
---
---Does not park.
---@return any # record
---@return string|nil # message
---@return string|nil # "EAGAIN"; "ECLOSED"
---@overload fun(self: ringlet.bpf_ring): nil, string, string
function bpf_ring:try_recv() end

---Records as they come, until it is closed: `for record in ring:iter() do`.
---
---Parks.
---
---Raises when it cannot be read.
---@async
---@return fun(): any
function bpf_ring:iter() end

---@class ringlet.bpf_ring_stats
---@field records integer taken so far
---@field waiting integer bytes that wait to be taken, headers included
---@field size integer bytes that there is room for

---Counters.
---
---Does not park.
---@return ringlet.bpf_ring_stats # a new table
function bpf_ring:stats() end

---Close this end. Whoever waits gets "ECLOSED". Idempotent.
---
---Does not park.
---@return true
function bpf_ring:close() end

---What steers new connections, from `bpf.steer`: an option of `net.serve` and `http.serve`. It
---travels to other shards. Without `close` it lasts as long as somebody has it, or a server uses
---it.
---@class ringlet.bpf_steering
local bpf_steering = {}

---Change weights: a shard of weight 2 gets twice as many as one of weight 1, which is the default;
---one of weight 0 gets what there is nobody else for. Of "hash" only those addresses go elsewhere
---whose share has moved.
---
---Does not park.
---
---Raises on what is no shard or weight.
---@param weights table shard -> 0, or from 0.01 to 100; others stay as they are
---@return ringlet.bpf_steering|nil # itself
---@return string|nil # message
---@return string|nil # "ECLOSED"
---@overload fun(self: ringlet.bpf_steering, weights: table): nil, string, string
function bpf_steering:weights(weights) end

---Say where a network's connections go from now on; those that there are stay.
---
---Does not park.
---
---Raises on what is no prefix or shard; when the policy is not "tenant".
---@param prefix string "10.0.0.0/8", "2001:db8::/32" or an address; the longest that fits counts
---@param shards? integer|table one, or a list of them; nil: it is no tenant any more
---@return ringlet.bpf_steering|nil # itself
---@return string|nil # message
---@return string|nil # "ECLOSED", "ENOSPC" (there are 4096), "ENOENT" (it was none)
---@overload fun(self: ringlet.bpf_steering, prefix, shards?): nil, string, string
function bpf_steering:tenant(prefix, shards) end

---Where a connection from an address would go now: the program is asked, nothing is placed. Of
---"rr" and "least" the next one may be told something else.
---
---Does not park.
---
---Raises on what is no address.
---@param address string "10.1.2.3" or "2001:db8::1"
---@return integer|nil # a shard; nil: none listens
---@return integer|string|nil # the shard it would be if none were stalled or full
---@return string|nil # "ECLOSED"; "EPERM", and others of `bpf.load`
---@overload fun(self: ringlet.bpf_steering, address: string): nil, string, string
function bpf_steering:where(address) end

---@class ringlet.bpf_steering_stats
---@field placed integer connections that a shard was chosen for, migrated ones too
---moved to another shard because their listener was closed before they were accepted
---@field migrated integer
---times that a shard would have been chosen and was not, because it was stalled or full
---@field avoided integer
---@field fallbacks integer times that the kernel chose by its hash, since no shard took part
---shard -> {placed =, migrated =, avoided =, live =, handed =}: the same of the shards that take
---part, or did; connections it has, and those on their way to it
---@field shards table

---What has been placed. New connections are counted when their SYN comes, so more than are ever
---accepted.
---
---Does not park.
---@return ringlet.bpf_steering_stats|nil # a new table
---@return string|nil # message
---@return string|nil # "ECLOSED"
---@overload fun(self: ringlet.bpf_steering): nil, string, string
function bpf_steering:stats() end

---@class ringlet.bpf_steering_state
---@field open boolean it takes connections
---@field stalled boolean it gets none for now: neither idle nor heard of for `stall_ms`
---@field weight number
---@field live integer connections
---@field beat number|nil seconds since its loop turned, or a task's turn began
---@field running number|nil seconds that a task's turn lasts
---@field task integer|nil which one
---@field runnable integer|nil tasks in its run queues
---@field idle boolean|nil it sleeps in the kernel
---@field tasks integer|nil that it has
---@field tid integer|nil of its thread

---What the shards tell the kernel: as the program sees it.
---
---Does not park.
---@return table|nil # shard -> bpf_steering_state, of the shards that have taken part
---@return string|nil # message
---@return string|nil # "ECLOSED"
---@overload fun(self: ringlet.bpf_steering): nil, string, string
function bpf_steering:state() end

---Has it been closed?
---
---Does not park.
---@return boolean
function bpf_steering:is_closed() end

---Let it go: nothing new can use it. A server that uses it is steered until it ends. Idempotent.
---
---Does not park.
---@return true
function bpf_steering:close() end

---Tells shards, while they compute, that something critical has come: from `bpf.wakeup`. It may be
---given to other shards, and works there. Every method but `close` and `__tostring` fails with
---"ECLOSED" when it is closed.
---@class ringlet.bpf_wakeup
local bpf_wakeup = {}

---Change a route while it runs, for every shard.
---
---Does not park.
---
---Raises on what is no route.
---
---`class`: "critical", "normal", "background", or {class =, shard =, task =}; nil removes it.
---`shard`: whose word is raised, if it is not the one that the socket belongs to; `task`: as
---`place` says for that task
---@param where string|integer a path of HTTP, "/pay" or "/bulk/*", or a port
---@param class? string|table
---@return true|nil
---@return string|nil # message
---@return string|nil # "ENOSPC" beyond 2000 paths, or 1024 ports; "ECLOSED"
---@overload fun(self: ringlet.bpf_wakeup, where, class?): nil, string, string
function bpf_wakeup:route(where, class) end

---@class ringlet.bpf_wakeup.attach.opts
---false: no socket filter, only tell whose these sockets are, for programs on devices (true)
---@field filter? boolean

---Attach it to a listener. What that accepts from then on is classified. A server on several
---shards has a listener on each; one that was given `accept = "handover"` has not.
---
---Parks when the server has several shards.
---
---Source: socket(7), SO_ATTACH_BPF.
---
---Returns itself.
---
---Or nil, message, "EPERM"; "EALREADY"; "EOPNOTSUPP" with "handover", and under the simulation;
---"EBUSY" when another shard's wake-up has the word of this shard; "ECLOSED".
---@async
---@param target ringlet.listener|ringlet.server|integer
---@param opts? ringlet.bpf_wakeup.attach.opts
---@return ringlet.bpf_wakeup|nil
---@return string|nil
---@return string|nil
---@overload fun(self: ringlet.bpf_wakeup, target, opts?): nil, string, string
function bpf_wakeup:attach(target, opts) end

---Detach it from a listener, a server, or the device of that name. Connections that were accepted
---keep it; they count no more for anything once it is closed.
---
---Parks when the server has several shards.
---@async
---@param target ringlet.listener|ringlet.server|integer|string
---@return true|nil
---@return string|nil # message
---@return string|nil # "ECLOSED"
---@overload fun(self: ringlet.bpf_wakeup, target): nil, string, string
function bpf_wakeup:detach(target) end

---@class ringlet.bpf_wakeup.attach_dev.opts
---"tcx" (Linux 6.6), "clsact" - by default what the kernel has of them - or "xdp", "xdp generic",
---"xdp native"
---@field mode? string
---@field shard? integer whose word is raised for what is nobody's socket
---@field cpus? table list of CPUs, from 0, to which "xdp" may hand packets, see `place`

---Attach it to a device, for UDP, for sockets that no filter is on, and for `preempt = "signal"`.
---
---Does not park.
---
---Source: tc-bpf(8).
---
---Returns itself.
---
---Or nil, message, "EPERM: needs CAP_BPF and CAP_NET_ADMIN (...)"; "ENODEV" no such device;
---"EALREADY"; "EOPNOTSUPP" the device has no XDP; "ECLOSED".
---@param dev string "eth0"
---@param opts? ringlet.bpf_wakeup.attach_dev.opts
---@return ringlet.bpf_wakeup|nil
---@return string|nil
---@return string|nil
---@overload fun(self: ringlet.bpf_wakeup, dev, opts?): nil, string, string
function bpf_wakeup:attach_dev(dev, opts) end

---The class of the last request that was seen on a connection.
---
---Does not park.
---@param conn ringlet.conn|integer or a descriptor
---@return string|nil # "critical", "normal", "background"; nil: it was never any but normal
---@return string|nil # message
---@return string|nil # "ECLOSED"
---@overload fun(self: ringlet.bpf_wakeup, conn: ringlet.conn|integer): nil, string, string
function bpf_wakeup:class(conn) end

---Say which shards or CPUs a connection or a task is for, or ask. A bit stands for each, the
---lowest for shard 1 and CPU 0. Programs on devices raise the word of a shard in the mask, its own
---if that is one of them, and XDP hands the packets of a connection to the first CPU in it. Of a
---task the mask counts for routes that have it.
---
---Does not park.
---
---Raises when it is none of these, or no mask.
---@param x ringlet.conn|ringlet.task|integer a connection, a task or the id of one
---@param mask? integer|boolean false: any
---@return integer|nil # the mask it has now
---@return string|nil # message
---@return string|nil # "E2BIG" beyond 65536; "ECLOSED"
---@overload fun(self: ringlet.bpf_wakeup, x, mask?): nil, string, string
function bpf_wakeup:place(x, mask) end

---@class ringlet.bpf_wakeup_stats
---@field segments integer with a payload that were seen
---@field heads integer of these began like a request
---@field critical integer
---@field normal integer requests that nothing makes anything else
---@field background integer
---@field over_budget integer critical ones that the budget made normal
---@field raised integer times a word was
---@field marks integer times a connection got another class
---@field early integer requests that came with the handshake, which have no mark
---@field signals integer sent
---@field unowned integer packets of devices for no socket of a shard
---@field redirected integer packets that XDP handed to another CPU
---@field hints integer times this shard saw its word raised
---@field spurious integer of these, nothing came of so many
---@field runs integer of this shard's socket filter, and
---@field ns number in them: 0 unless the kernel counts (bpf.wakeup's option `count`)
---@field shards table shard -> what is counted of it

---Counters.
---
---Does not park.
---@return ringlet.bpf_wakeup_stats|nil # a new table
---@return string|nil # message
---@return string|nil # "ECLOSED"
---@overload fun(self: ringlet.bpf_wakeup): nil, string, string
function bpf_wakeup:stats() end

---Detach it everywhere and give up its maps, on every shard. Idempotent.
---
---Does not park.
---@return true
function bpf_wakeup:close() end

---eBPF: programs that run in the kernel, loaded and steered from Lua. It is the rock ringlet-bpf,
---which needs the library libbpf; nothing else of ringlet needs it.
---
---    local bpf = require "ringlet.bpf"
---    local can = bpf.probe()
---    print(can.socket_filter, can.reason)
---
---Without privileges, and without libbpf, every function gives `nil, message, code`; nothing else
---changes.
---@class ringlet.bpf
local M = {}

---A map that was pinned, or that something else in this process has open: what its objects, on
---whichever shard, give as `map:fd()`.
---
---Does not park.
---@param from string|integer path or descriptor
---@return ringlet.bpf_map|nil
---@return string|nil # message
---@return string|nil # "ENOENT"; "EPERM"; "EINVAL" when it is something else; "ENOSYS"
---@overload fun(from: string|integer): nil, string, string
function M.open_map(from) end

---@class ringlet.bpf.metrics.list
---@field pids? integer[] numbers of other processes whose connections are counted
---@field cgroup? string path of a cgroup whose processes' connections are

---Count in the kernel, from now on until `close`: for this process, in `ringlet.metrics` as well.
---A list of what: "tcp_connect", "tcp_accept", "retransmit", "runqlat".
---
---Does not park.
---
---Raises on an unknown name.
---
---Source: include/trace/events/sock.h and sched.h of Linux; runqlat(8) of bcc, by B. Gregg.
---
---Returns bpf_metrics.
---
---Or nil, message, "EPERM" without CAP_BPF and CAP_PERFMON; what needs none is in `ringlet.metrics`
---anyway; "ENOSYS" without libbpf; "EINVAL" when this kernel lacks something; "ENOENT" no such
---cgroup.
---
---```lua
---local m = assert(bpf.metrics {"tcp_connect", "runqlat"})
---```
---@param list ringlet.bpf.metrics.list of those names, and options
---@return ringlet.bpf_metrics|nil
---@return string|nil
---@return string|nil
---@overload fun(list: ringlet.bpf.metrics.list): nil, string, string
function M.metrics(list) end

---@class ringlet.bpf.load.opts
---@field globals? table variables that are set before it is loaded: name = value
---@field maps? table name = {max_entries = n, reuse = map or descriptor, pin = path}
---@field programs? table names of those to load; the others are left out
---@field name? string what it is called in messages and by the kernel

---Load an object file of BPF: relocated for this kernel (CO-RE), verified, ready to attach.
---
---Does not park.
---
---Raises on unknown names and values of wrong types.
---
---Source: libbpf, bpf_object__open_mem.
---
---Returns bpf_object.
---
---Or nil, message, "ENOSYS" without libbpf; "EPERM" with the capability that is missing; "EINVAL"
---no object file, or the verifier refuses, with what it says; "ENOENT" no such file; "E2BIG",
---"ENOMEM".
---@param from string the file's bytes, or its path
---@param opts? ringlet.bpf.load.opts
---@return ringlet.bpf_object|nil
---@return string|nil
---@return string|nil
---@overload fun(from: string, opts?: ringlet.bpf.load.opts): nil, string, string
function M.load(from, opts) end

---@class ringlet.bpf_probe
---@field ok boolean programs can be loaded at all: socket filters, which need the least
---@field reason string|nil why not: "EPERM: needs CAP_BPF (load of socket_filter)"
---@field reasons table the same for each of what follows that is false
---@field socket_filter boolean
---@field sk_reuseport boolean
---@field cgroup_skb boolean
---@field tc boolean
---@field tcx boolean tc by a link, which ends with the process
---@field xdp boolean
---@field raw_tp boolean
---@field tp_btf boolean
---@field fentry boolean
---@field send_signal_task boolean a program can send a signal to a task of its choice
---@field ringbuf boolean
---@field mmapable boolean arrays that can be mapped
---@field lpm_trie boolean
---@field btf boolean the kernel's types can be read, for CO-RE
---@field jit boolean programs are compiled
---@field libbpf string its version
---@field kernel string its release

---What this machine allows, to this thread, each found by a real load of something tiny. Takes
---some 10 ms, for most of which it reads the kernel's types.
---
---Does not park.
---@return ringlet.bpf_probe|nil # a new table
---@return string|nil # message
---@return string|nil # "ENOSYS" without libbpf
---@overload fun(): nil, string, string
function M.probe() end

---@class ringlet.bpf.steer.opts
---@field policy? string "least", "hash", "rr" or "tenant" ("least")
---@field stall_ms? number|boolean from when on a shard is stalled; false: never (3)
---@field weights? table shard -> weight, as for `weights`
---@field tenants? table network -> shard or list of shards, as for `tenant`; makes that the policy
---of "tenant": how one of a tenant's shards is chosen: "least", "hash" or "rr" ("least")
---@field within? string
---of "tenant": how it goes for an address that is no tenant's, among all shards ("least")
---@field others? string
---@field ipv4_prefix? integer of "hash": bits of an address that count (32)
---@field ipv6_prefix? integer of "hash": the same of IPv6 (64)
---@field seed? integer of "hash": another one spreads addresses otherwise (0)

---Place the new connections of a server on its shards, in the kernel (SK_REUSEPORT): to the shard
---with the fewest ("least"), in turn ("rr"), by the address they come from ("hash": the same shard
---as long as there are the same), or to the shards of their tenant. A shard that is stalled is
---passed over: a task's turn, or a turn of its loop, has lasted longer than `stall_ms`, and it is
---not idle; so is one that has its `max_connections`. When a shard is drained, what is queued there
---moves to others.
---
---One steering is one server's at one time. It needs CAP_BPF; without it, `accept = "handover"`
---places connections by their number as well, a hop later, and the default is the kernel's hash.
---
---Does not park.
---
---Raises on an option it does not know.
---
---Source: M. KaFai Lau, BPF_PROG_TYPE_SK_REUSEPORT, Linux 4.19; K. Iwashima, "Socket migration for
---SO_REUSEPORT", Linux 5.14; D. Thaler and C. Ravishankar, "Using name-based mappings to increase
---hit rates", 1998 (rendezvous hashing); C. Waldspurger, "Lottery and stride scheduling", 1995.
---
---```lua
---local steer = bpf.steer{policy = "least"} -- nil without privileges
---net.serve("0.0.0.0:8080", handler, {shards = "all", steer = steer})
---```
---@param opts? ringlet.bpf.steer.opts
---@return ringlet.bpf_steering|nil
---@return string|nil # message
---@return string|nil # "EPERM" (needs CAP_BPF), "ENOSYS" (the rock, or libbpf, is not there), ...
---@overload fun(opts?: ringlet.bpf.steer.opts): nil, string, string
function M.steer(opts) end

---@class ringlet.bpf.wakeup.opts
---classes of paths of HTTP: {["/pay"] = "critical", ["/bulk/*"] = "background"}; the longest that
---matches counts
---@field routes? table
---@field ports? table classes of ports, for what no path tells
---critical segments a second and shard, a tenth of them at once; more are normal (10000)
---@field budget? number
---what is done about a critical segment: "flag", a word in shared memory is raised, which the
---scheduler reads; "signal", programs on devices also send the shard's thread a signal; false,
---connections are only marked ("flag")
---@field preempt? string|boolean
---seconds that a shard has run one task for at least before it is signalled (0.0005)
---@field signal_after? number
---@field connections? integer that are marked; the oldest are forgotten (16384)
---@field count? boolean have the kernel count what the programs cost: about 20 ns a run (false)

---Make a wake-up: a program in the kernel that looks at what arrives for the listeners it is
---attached to, and tells a shard that computes that something critical has come. What is critical
---is handled first without it too (`classify` of net.serve), only found a little later.
---
---Does not park.
---
---Raises on unknown options.
---
---```lua
---local w = assert(bpf.wakeup{routes = {["/pay"] = "critical"}}):attach(server)
---```
---@param opts? ringlet.bpf.wakeup.opts
---@return ringlet.bpf_wakeup|nil
---@return string|nil # message
---@return string|nil # "EPERM: needs CAP_BPF (...)"; "ENOSYS" without libbpf; "ENOMEM"
---@overload fun(opts?: ringlet.bpf.wakeup.opts): nil, string, string
function M.wakeup(opts) end

return M
