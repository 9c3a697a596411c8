-- SPDX-License-Identifier: MIT
-- shared_dict: a table that shards share. It is all in the core (src/rt/sdict.c); here are the
-- constructor and the docs.

--- @module ringlet.shared
-- @section Dicts

local core = require "ringlet.core"
local options = require "ringlet.options"

local CAPACITY_MAX = 2 ^ 31

local M = {}

local KNOWN = {capacity = "number", evict = "boolean"}

--- A dict: string keys, and values that travel. Each operation is atomic, none parks. A value is
-- copied in and copied out: changing a table that was stored or got changes nothing in the dict.
--
-- A dict without a capacity, or with one above 1,024, is made of parts with a lock each, so that
-- shards seldom meet; what is evicted then is what was not used for longest in one of the parts.
-- @tparam[opt] table opts
-- @tparam[opt] integer opts.capacity keys at most; the dict never has more. No limit by default
-- @tparam[opt=true] boolean opts.evict when it is full, the least recently used key goes; false:
-- what would add a key fails with "ENOSPC"
-- @treturn shared_dict
-- @usage local cache = shared.dict{capacity = 10000}
function M.new(opts)
  opts = options.check(opts, KNOWN)
  local capacity = opts.capacity
  if capacity and not (capacity >= 1 and capacity <= CAPACITY_MAX and capacity % 1 == 0) then
    error("option 'capacity' must be a whole number of at least 1", 2)
  end
  return core.shared_dict(capacity or 0, opts.evict ~= false)
end

--- A dict, from `shared.dict`. Keys are strings of at most 64 KiB. A key has one value, or a list
-- of values. A time to live is in seconds, more than 0; it counts on the monotonic clock of the
-- shard. What has expired is invisible at once, and given back when somebody comes across it, or
-- when room is needed.
-- @type shared_dict

--- A copy of the value.
-- @function get
-- @tparam string key
-- @treturn ?any nil when there is none
-- @fails "EINVAL": it is a list
-- @source the directive lua_shared_dict of ngx_lua, whose operations these are

--- Set the value, whatever the key had.
-- @function set
-- @tparam string key
-- @tparam any value anything that travels, but nil
-- @tparam[opt] number ttl seconds; for ever by default
-- @treturn true
-- @fails "ENOSPC": it is full, and does not evict
-- @raise on what cannot travel

--- Set the value if there is none.
-- @function add
-- @tparam string key
-- @tparam any value anything that travels, but nil
-- @tparam[opt] number ttl seconds; for ever by default
-- @treturn true
-- @fails "EEXIST", "ENOSPC"
-- @raise on what cannot travel

--- Set the value if there is one.
-- @function replace
-- @tparam string key
-- @tparam any value anything that travels, but nil
-- @tparam[opt] number ttl seconds; for ever by default
-- @treturn true
-- @fails "ENOENT"
-- @raise on what cannot travel

--- Compare and set: put `new` if the value is `old`. What one may compare are numbers, strings,
-- booleans and shared objects.
-- @function cas
-- @tparam string key
-- @tparam any old nil: there is no value
-- @tparam any new nil: delete the key
-- @tparam[opt] number ttl seconds; for ever by default
-- @treturn boolean whether it was done
-- @treturn ?any what is there, when it was not
-- @fails "EINVAL": it is a list; "ENOSPC"

--- Add to a number.
-- @function incr
-- @tparam string key
-- @tparam[opt=1] number n
-- @tparam[opt] number init what to begin with when there is no value
-- @tparam[opt] number ttl seconds that a number begun so lives; one that was there keeps its own
-- @treturn number the sum
-- @fails "ENOENT": there is none, and no `init`; "EINVAL": it is no number; "ENOSPC"
-- @usage local hits = dict:incr("hits:" .. peer, 1, 0, 60)

--- Delete the key.
-- @function delete
-- @tparam string key
-- @treturn boolean whether it was there

--- How long the key still lives.
-- @function ttl
-- @tparam string key
-- @treturn ?number seconds, `math.huge` for ever; nil when it is not there

--- Let the key live that long from now on.
-- @function expire
-- @tparam string key
-- @tparam[opt] number ttl seconds; for ever by default
-- @treturn boolean whether it is there

--- Add a value at the end of the key's list, which is made if the key is not there.
-- @function push
-- @tparam string key
-- @tparam any value anything that travels, but nil
-- @treturn integer the length of the list now
-- @fails "EINVAL": it is no list; "ENOSPC"

--- Add a value at the front of the key's list.
-- @function push_left
-- @tparam string key
-- @tparam any value anything that travels, but nil
-- @treturn integer the length of the list now
-- @fails "EINVAL": it is no list; "ENOSPC"

--- Take the first value of the key's list. With its last value the key goes.
-- @function pop
-- @tparam string key
-- @treturn ?any nil when there is no list
-- @fails "EINVAL": it is no list

--- Take the last value of the key's list.
-- @function pop_right
-- @tparam string key
-- @treturn ?any nil when there is no list
-- @fails "EINVAL": it is no list

--- The length of the key's list.
-- @function len
-- @tparam string key
-- @treturn integer 0 when there is none
-- @fails "EINVAL": it is no list

--- Keys that are there, in no particular order. Others may change the dict while the list is made.
-- @function keys
-- @tparam[opt=1024] integer max how many at most
-- @treturn {string}

--- Delete all keys.
-- @function clear
-- @treturn integer how many there were

--- Delete what has expired.
-- @function purge
-- @treturn integer how many these were

--- How many keys there are, with what has expired and was not deleted yet.
-- @function size
-- @treturn integer

--- How many keys it can have.
-- @function capacity
-- @treturn ?integer nil: no limit

--- Counters since it was made.
-- @function stats
-- @treturn dict_stats a new table
-- @tfield[dict_stats] integer size keys there are
-- @tfield[dict_stats] integer hits times that `get` or `pop` found the key
-- @tfield[dict_stats] integer misses times that they did not
-- @tfield[dict_stats] integer evictions keys that went because others came
-- @tfield[dict_stats] integer expired keys whose time to live was over

return M
