-- SPDX-License-Identifier: MIT
-- bpf_map: maps of BPF as objects of Lua. Keys and values are what BTF says of their types
-- (src/bpf/ltype.c); where it says nothing they are bytes, except that keys of arrays, and
-- descriptors in maps that hold those, are numbers.

--- Maps of BPF.
-- @module ringlet.bpf
-- @section Maps

local area = require "ringlet.bpf_area"
local bpf_fail = require "ringlet.bpf_fail"
local core = require "ringlet.core"
local library = require "ringlet.bpf_library".library
local pin = require "ringlet.bpf_pin"

local M = {}

--- A map, from `object:map` or `bpf.open_map`. Keys and values have the types that BTF tells:
-- numbers, booleans, strings for arrays of char and of bytes, names for enums, lists, and tables
-- for structs. A string of the right size is taken for any array or struct, as its bytes. Of a
-- per-CPU map a value is a list with one for each possible CPU.
-- @type bpf_map
local Map = {__name = "ringlet.bpf.map"}
Map.__index = Map

local RAW, UINT = 0, 4294967295
local EPERM, ENOENT, EEXIST, E2BIG, EINVAL, ENOSPC = -1, -2, -17, -7, -22, -28
local ENOTSUPP = -524 -- the kernel's own, for what a kind of map cannot do

local KINDS = {"hash", "array", "prog_array", "perf_event_array", "percpu_hash", "percpu_array",
  "stack_trace", "cgroup_array", "lru_hash", "lru_percpu_hash", "lpm_trie", "array_of_maps",
  "hash_of_maps", "devmap", "sockmap", "cpumap", "xskmap", "sockhash", "cgroup_storage",
  "reuseport_sockarray", "percpu_cgroup_storage", "queue", "stack", "sk_storage", "devmap_hash",
  "struct_ops", "ringbuf", "inode_storage", "task_storage", "bloom_filter", "user_ringbuf",
  "cgrp_storage", "arena"}

-- Maps whose keys are indices, and those whose values are descriptors.
local INDEXED = {array = true, prog_array = true, perf_event_array = true, percpu_array = true,
  cgroup_array = true, array_of_maps = true, devmap = true, sockmap = true, cpumap = true,
  xskmap = true, reuseport_sockarray = true}
local HOLDS = {prog_array = true, perf_event_array = true, cgroup_array = true,
  array_of_maps = true, hash_of_maps = true, sockmap = true, sockhash = true, xskmap = true,
  reuseport_sockarray = true}

-- What bpf_map_update_elem does with an entry that is there, or is not.
local FLAGS = {any = 0, new = 1, exist = 2}

local CLOSED = "ECLOSED: the map is closed"

local MESSAGES = {
  [ENOENT] = "ENOENT: no such entry", [EEXIST] = "EEXIST: there is such an entry",
  [E2BIG] = "E2BIG: the map is full, or has no such index",
  [ENOSPC] = "ENOSPC: the map is full",
}

local NAMES = {[ENOENT] = "ENOENT", [EEXIST] = "EEXIST", [E2BIG] = "E2BIG", [ENOSPC] = "ENOSPC"}

local function closed()
  return nil, CLOSED, "ECLOSED"
end

local function failed(self, code, doing)
  local msg = MESSAGES[code]
  if msg then
    return nil, msg, NAMES[code]
  elseif code == ENOTSUPP or code == EINVAL then
    return nil, ("EINVAL: a map of kind %s cannot do that (%s %s)"):format(self.kind, doing,
      self.name), "EINVAL"
  end
  return bpf_fail.give(code, doing .. " " .. self.name, code == EPERM and {"CAP_BPF"} or nil)
end

-- What a map that holds descriptors is given: a number, or what has one.
local function held(v)
  if type(v) == "userdata" then
    return core.net_fd(v)
  elseif type(v) == "table" and type(v.listener) == "userdata" then
    return core.net_fd(v.listener)
  elseif type(v) == "table" and type(v.fd) == "function" then
    return v:fd()
  end
  return v
end

local function raised(ok, ...)
  if not ok then
    error((...), 3)
  end
  return ...
end

-- Call a function of the library whose raises are the fault of who called the calling one.
local function blame(fn, ...)
  return raised(pcall(fn, ...))
end

-- The value of a key. Called last, as `write` is: who is blamed is the caller's caller.
local function read(self, doing, key, is_raw, takes)
  local x = self.x
  if not x then
    return closed()
  end
  local v, code = blame(library.map_get, x, key, is_raw, takes)
  if v == nil then
    return failed(self, code, doing)
  end
  return v
end

local function write(self, key, value, flag, is_raw)
  local x, flags = self.x, FLAGS[flag or "any"]
  if not flags then
    error("flag must be 'any', 'new' or 'exist', not " .. tostring(flag), 2)
  elseif not x then
    return closed()
  end
  if self.holds and not is_raw then
    local code
    value, code = held(value)
    if not value then
      return failed(self, code, "writing")
    end
  end
  local ok, code = blame(library.map_set, x, key, value, flags, is_raw)
  if ok then
    return true
  end
  return failed(self, code, "writing")
end

--- The value of a key.
-- @param key
-- @return value
-- @fails "ENOENT"; "ECLOSED"; "EPERM"
-- @raise when the key is not of the map's type
function Map:get(key)
  return read(self, "reading", key)
end

--- Set the value of a key.
-- @param key
-- @param value
-- @tparam[opt="any"] string flag "any"; "new": only if there is no such key; "exist": only if there
-- is
-- @treturn true
-- @fails "EEXIST"; "ENOENT"; "E2BIG" when the map is full; "ECLOSED"; "EPERM"
-- @raise when one is not of the map's type
function Map:set(key, value, flag)
  return write(self, key, value, flag)
end

--- Remove a key.
-- @param key
-- @treturn true
-- @fails "ENOENT"; "EINVAL" for arrays; "ECLOSED"; "EPERM"
-- @raise when the key is not of the map's type
function Map:delete(key)
  local x = self.x
  if not x then
    return closed()
  end
  local ok, code = blame(library.map_delete, x, key)
  if ok then
    return true
  end
  return failed(self, code, "deleting from")
end

--- The value of a key, which is removed, in one step.
-- @param key
-- @return value
-- @fails as `get`; "EINVAL" for kinds of maps that cannot
function Map:take(key)
  return read(self, "taking from", key, false, true)
end

--- The bytes of a value, by the bytes of its key.
-- @tparam string key
-- @treturn string bytes; for a per-CPU map a list of them
-- @fails as `get`
-- @raise when the key has another size
function Map:get_raw(key)
  return read(self, "reading", key, true)
end

--- The same for `set`.
-- @tparam string key
-- @tparam string value for a per-CPU map a list of strings
-- @tparam[opt="any"] string flag as for `set`
-- @treturn true
-- @fails as `set`
-- @raise when one has another size
function Map:set_raw(key, value, flag)
  return write(self, key, value, flag, true)
end

-- ---- queues and stacks --------------------------------------------------------------------------

--- Put a value into a queue, a stack or a bloom filter.
-- @param value
-- @treturn true
-- @fails "E2BIG" when it is full; "ECLOSED"; "EPERM"
function Map:push(value)
  return self:set(nil, value)
end

--- Take the next value of a queue or stack.
-- @return value
-- @fails "ENOENT" when it is empty; "ECLOSED"; "EPERM"
function Map:pop()
  return self:take(nil)
end

--- The next value of a queue or stack, which stays.
-- @return value
-- @fails as `pop`
function Map:peek()
  return self:get(nil)
end

-- ---- many entries -------------------------------------------------------------------------------

local CHUNK = 256

local function batch_step(self, state)
  while not state.done do
    if not self.x then
      return nil
    end
    local keys, values, cursor = library.map_read_batch(self.x, state.cursor, state.n, state.raw,
      state.takes)
    if keys then
      state.cursor, state.done = cursor, cursor == nil
      if #keys > 0 then
        return keys, values
      end
    elseif values == ENOSPC and state.n < 65536 then
      state.n = state.n * 2 -- a bucket has more
    else
      local _, msg = failed(self, values, "reading")
      error(msg, 2)
    end
  end
end

--- Go through the entries in batches, a call of the kernel each: `for keys, values in map:batch()
-- do`. Entries that come or go meanwhile may be missed.
-- @tparam[opt=256] integer n entries in a batch
-- @treturn fun():any lists of keys and of values
-- @raise when the map cannot be read, or is of a kind that has no batches
-- @source bpf(2), BPF_MAP_LOOKUP_BATCH
function Map:batch(n)
  local state = {n = n or CHUNK}
  return function()
    return batch_step(self, state)
  end
end

--- The same, and the entries are removed.
-- @tparam[opt=256] integer n entries in a batch
-- @treturn fun():any lists of keys and of values
-- @raise as `batch`
function Map:drain(n)
  local state = {n = n or CHUNK, takes = true}
  return function()
    return batch_step(self, state)
  end
end

local function write_batch(self, keys, values, flags)
  if not self.x then
    return closed()
  elseif #keys == 0 then
    return true
  end
  local ok, code, n = blame(library.map_write_batch, self.x, keys, values, flags)
  if ok then
    return true
  end
  local _, msg, name = failed(self, code, values and "writing" or "deleting from")
  return nil, msg, name, n
end

--- Set many, in one call of the kernel.
-- @tparam table keys list
-- @tparam table values list, as long
-- @treturn true
-- @fails as `set`; a fourth value is how many were set
function Map:set_batch(keys, values)
  return write_batch(self, keys, values, 0)
end

--- Remove many, in one call of the kernel.
-- @tparam table keys list
-- @treturn true
-- @fails as `delete`; a fourth value is how many were removed
function Map:delete_batch(keys)
  return write_batch(self, keys, nil, 0)
end

-- The next entry that is there, by its key: keys that vanish meanwhile may begin it all again, so
-- no more are given than there can be.
local function next_entry(self, state)
  while self.x and state.left > 0 do
    local key = library.map_next(self.x, state.key)
    if not key then
      return nil
    end
    state.key, state.left = key, state.left - 1
    local value = library.map_get(self.x, self.raw_key and key or library.map_key(self.x, key))
    if value ~= nil then
      return library.map_key(self.x, key), value
    end
  end
end

local BATCHES = {hash = true, lru_hash = true, percpu_hash = true, lru_percpu_hash = true,
  lpm_trie = true, array = true, percpu_array = true}

local function batched(self)
  local step, i, keys, values = self:batch(), 0, {}, {}
  return function()
    i = i + 1
    if keys[i] == nil then
      keys, values = step()
      i = 1
      if not keys then
        keys, values = {}, {}
        return nil
      end
    end
    return keys[i], values[i]
  end
end

--- Go through the entries: `for key, value in map:iter() do`. Entries that come or go meanwhile may
-- be missed.
-- @treturn fun():any
-- @raise when the map cannot be read
function Map:iter()
  if self.x and BATCHES[self.kind] then
    local keys, code = library.map_read_batch(self.x, nil, 1)
    if keys or code == ENOSPC then
      return batched(self)
    end
  end
  local state = {left = self.max_entries}
  return function()
    return next_entry(self, state)
  end
end

-- ---- the rest -----------------------------------------------------------------------------------

--- Map the memory of an array that has BPF_F_MMAPABLE.
-- @treturn bpf_area
-- @fails "ENODEV" for other maps; "ECLOSED"; "EPERM"
function Map:mmap()
  if not self.x then
    return closed()
  end
  return area.new(self.x, self.name)
end

--- Its descriptor, which is the map's.
-- @treturn integer
-- @fails "ECLOSED"
function Map:fd()
  if not self.x then
    return closed()
  end
  return self.number
end

--- Keep it beyond this process: under a path of a bpf file system.
-- @tparam string path
-- @treturn true
-- @fails "EINVAL" in no bpf file system; "EEXIST"; "ENOENT" no such directory; "ECLOSED"; "EPERM"
function Map:pin(path)
  if not self.x then
    return closed()
  end
  return pin.pin(self.number, path)
end

--- What it is.
-- @treturn bpf_map_stats a new table
-- @tfield[bpf_map_stats] string name
-- @tfield[bpf_map_stats] string kind "hash", "array", "lpm_trie", ...
-- @tfield[bpf_map_stats] integer key_size bytes
-- @tfield[bpf_map_stats] integer value_size bytes
-- @tfield[bpf_map_stats] integer max_entries
-- @tfield[bpf_map_stats] integer flags as in bpf(2)
function Map:stats()
  return {name = self.name, kind = self.kind, key_size = self.key_size,
    value_size = self.value_size, max_entries = self.max_entries, flags = self.flags}
end

--- Give it up. What the kernel has of it stays as long as something uses it. Idempotent.
-- @treturn true
function Map:close()
  if self.x then
    library.map_close(self.x)
    self.x = nil
  end
  return true
end

Map.__close = Map.close

function Map:__tostring()
  return ("%s: %s (%s, %d entries)%s"):format(Map.__name, self.name, self.kind, self.max_entries,
    self.x and "" or ", closed")
end

-- A map has its object, so that its types stay as long as it does.
local function new(x, name, object)
  local info = library.map_info(x)
  local kind = M.kind(info.type)
  local holds = HOLDS[kind]
  local key_type, value_type = info.key_type, info.value_type
  if key_type == RAW and INDEXED[kind] and info.key_size == 4 then
    key_type = UINT
  end
  if holds or kind == "cpumap" or kind == "devmap" then
    value_type = UINT
  end
  library.map_set_types(x, key_type, value_type)
  return setmetatable({x = x, name = name, kind = kind, holds = holds, number = info.fd,
    object = object,
    key_size = info.key_size, value_size = info.value_size, max_entries = info.max_entries,
    flags = info.flags}, Map)
end

-- What a type of map is called.
function M.kind(number)
  return KINDS[number] or "kind " .. number
end

-- A map of a loaded object, as `object_maps` described it; or failure values.
function M.of(object, info)
  local x, code = library.map_of(object.x, info.name, info.key_type, info.value_type)
  if not x then
    return bpf_fail.give(code, "the map " .. info.name)
  end
  return new(x, info.name, object)
end

--- A map that was pinned, or that something else in this process has open: what its objects, on
-- whichever shard, give as `map:fd()`.
-- @tparam string|integer from path or descriptor
-- @treturn bpf_map
-- @fails "ENOENT"; "EPERM"; "EINVAL" when it is something else; "ENOSYS"
function M.open(from)
  if type(from) ~= "string" and type(from) ~= "number" then
    error("path or descriptor expected, got " .. type(from), 2)
  end
  local name = type(from) == "string" and (from:match "[^/]+$" or from) or "map " .. from
  local x, code = library.map_open(from)
  if x then
    return new(x, name)
  end
  return bpf_fail.give(code, "opening the map " .. from, {"CAP_BPF"})
end

return M
