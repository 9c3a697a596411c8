---@meta ringlet.router
-- SPDX-License-Identifier: MIT
-- Written by tools/stubs from the comments in these files; edit those.
--   lua/ringlet/router.lua

---A router. `tostring(r)` says its kind and the number of its nodes.
---@class ringlet.keyrouter
local keyrouter = {}

---The node of a key; of a bounded router, the one that `acquire` would give.
---
---Does not park.
---
---Raises when it is no key.
---@param key string|integer
---@return integer|string # its number, or its name
function keyrouter:get(key) end

---The number of the node of a key, also where nodes have names.
---
---Does not park.
---
---Raises when it is no key.
---@param key string|integer
---@return integer
function keyrouter:index(key) end

---The nodes, in order.
---
---Does not park.
---@return any[] # a new list
function keyrouter:nodes() end

---A router of the same kind and options for other nodes. Those that stay keep their weights, and
---the load that a bounded router has given them.
---
---Does not park.
---
---Raises as its constructor; of a jump router when the names do not begin alike.
---@param nodes integer|string[] how many, or their names
---@param weights? table other weights
---@return ringlet.keyrouter # a new one
function keyrouter:with(nodes, weights) end

---@class ringlet.range
---@field from_hash integer the first position
---@field to_hash integer the last position, which is included
---@field from_node integer|string whose they were
---@field to_node integer|string whose they are

---Which keys move from this ring to another: ranges of positions, in order, that do not overlap or
---touch unless their nodes differ. A key whose position (`router.hash`, or what the ring's own hash
---function gives) is in none of them stays.
---
---Does not park.
---
---Raises unless both are of the kind `ring`, of the same hash, and both of names or of numbers.
---@param new ringlet.keyrouter of the same hash
---@return ringlet.range[]
function keyrouter:diff(new) end

---Put a unit of load on the first node, from the key's on, that has room for it.
---
---Does not park.
---
---Raises when it is no key; unless the router is bounded; above 2^31 - 1 units.
---@param key string|integer
---@return integer|string # the node, for `release`
function keyrouter:acquire(key) end

---Take a unit of load from a node.
---
---Does not park.
---
---Raises when it has none, or there is no such node; unless the router is bounded.
---@param node integer|string what `acquire` gave
function keyrouter:release(node) end

---The load of every node.
---
---Does not park.
---
---Raises unless the router is bounded.
---@return table # units by node
function keyrouter:loads() end

---Routers: which of several nodes a key belongs to.
---
---A router is made for a number of nodes, which are then 1 to n, or for a list of names. It never
---changes; `r:with(nodes)` makes one for other nodes. Keys are strings, or integers, which count by
---their value: 1 and "1" are two keys. The same key goes to the same node in every process, on both
---VMs and on every machine.
---
---    local r = router.ring {"cache-a", "cache-b", "cache-c"}
---    r:get("user:1042")                                  -- one of the three
---    r = r:with {"cache-a", "cache-b", "cache-c", "cache-d"}
---
---How many keys change their node when the nodes change depends on the kind. The fewest are those
---of a node that went, or those that a node which came must take to have its share.
---
---* `mod`: almost all of them. A remainder; no weights.
---* `ring`: the fewest. Weights, any hash, and `r:diff` says which keys. A search in sorted points.
---* `jump`: the fewest, but nodes come and go at the end of the list alone. No memory, no weights.
---* `maglev`: little more than the fewest. The evenest; one read from a table; no weights.
---* `rendezvous`: the fewest. Even, with exact weights; asks every node.
---* `bounded`: a ring on which what is full overflows to the next node.
---@class ringlet.router
local M = {}

---The position of a key: the upper 32 bits of XXH64 with seed 0, or the first 32 bits of MD5, the
---most significant byte first, as ketama has them. An integer is hashed as its eight bytes, the
---least significant first.
---
---Does not park.
---
---Raises when it is no key, or of an unknown kind.
---
---Source: xxHash fast digest algorithm 0.2.0; RFC 1321.
---@param key string|integer
---@param kind? string "xxh64" (the default) or "md5"
---@return integer # from 0 to 2^32 - 1
function M.hash(key, kind) end

---@class ringlet.router.mod.opts
---"xxh64" (the default), "md5", or a function that gives a position for a key: an integer from 0 to
---2^32 - 1
---@field hash? string|function

---The remainder: position modulo the number of nodes. One node more moves nearly all keys.
---
---Does not park.
---
---Raises when there is no node, or two of one name.
---@param nodes integer|string[] how many, or their names
---@param opts? ringlet.router.mod.opts
---@return ringlet.keyrouter
function M.mod(nodes, opts) end

---@class ringlet.router.ring.opts
---"xxh64" (the default), "md5", or a function that gives a position for a key, and for the names of
---points
---@field hash? string|function
---@field vnodes? integer points of a node of weight 1 (128)
---@field weights? table by node; those that are left out have weight 1

---Consistent hashing: every node has points on a circle of 2^32 positions, the k-th (from 0) of
---node x at the hash of "x-k"; a key belongs to the first point at or after its position. With 128
---points a node's share is off by 9 % (one standard deviation); the error falls with the root of
---their number.
---
---Does not park.
---
---Raises when there is no node or two of one name, a weight of 0 or less or of no node, more than
---2^24 points.
---
---Source: Karger et al., Consistent hashing and random trees, 1997.
---@param nodes integer|string[] how many, or their names
---@param opts? ringlet.router.ring.opts
---@return ringlet.keyrouter
function M.ring(nodes, opts) end

---@class ringlet.router.jump.opts
---@field hash? string|function as of `router.mod`

---Jump consistent hash: even to the key, without memory; nodes come and go at the end of the list
---alone.
---
---Does not park.
---
---Raises when there is no node, or two of one name.
---
---Source: Lamping and Veach, A fast, minimal memory, consistent hash algorithm, 2014.
---@param nodes integer|string[] how many, or their names
---@param opts? ringlet.router.jump.opts
---@return ringlet.keyrouter
function M.jump(nodes, opts) end

---@class ringlet.router.maglev.opts
---@field hash? string|function as of `router.mod`
---@field size? integer entries: a prime; a hundred for each node, or more (65537)

---Maglev's table: shares are even to one entry. The order of names does not matter.
---
---Does not park.
---
---Raises when there is no node, two of one name, or the size is none.
---
---Source: Eisenbud et al., Maglev: a fast and reliable software network load balancer, 2016.
---@param nodes integer|string[] how many, or their names; at most 65,535
---@param opts? ringlet.router.maglev.opts
---@return ringlet.keyrouter
function M.maglev(nodes, opts) end

---@class ringlet.router.rendezvous.opts
---@field hash? string|function as of `router.mod`
---@field weights? table by node; those that are left out have weight 1

---Highest random weight: each node has a score for a key, the highest wins. Even, and with exact
---weights; for few nodes, as it asks all.
---
---Does not park.
---
---Raises when there is no node or two of one name, a weight of 0 or less or of no node.
---
---Source: Thaler and Ravishankar, Using name-based mappings to increase hit rates, 1998;
---Schindelhauer and Schomaker, Weighted distributed hash tables, 2005.
---@param nodes integer|string[] how many, or their names
---@param opts? ringlet.router.rendezvous.opts
---@return ringlet.keyrouter
function M.rendezvous(nodes, opts) end

---@class ringlet.router.bounded.opts
---@field epsilon? number to six decimals (0.25)
---@field hash? string|function as of `router.ring`
---@field vnodes? integer points of a node of weight 1 (128)
---@field weights? table by node; those that are left out have weight 1

---Consistent hashing with bounded loads: a ring that passes over nodes which are full. Take a node
---with `r:acquire(key)` and give it back with `r:release(node)`. With m units of load on n nodes,
---the one that is acquired included, it never brings a node above ceil((1 + epsilon) * m / n);
---with weights, above that part of m that its points are of all. Units stay where they are: after
---others were released a node may hold more than the bound of then, and gets no more until it does
---not.
---
---Does not park.
---
---Raises as `router.ring`; when epsilon is not above 0.
---
---Source: Mirrokni, Thorup and Zadimoghaddam, Consistent hashing with bounded loads, 2016.
---@param nodes integer|string[] how many, or their names
---@param opts? ringlet.router.bounded.opts
---@return ringlet.keyrouter
function M.bounded(nodes, opts) end

---A router of the kind that has this name.
---
---Does not park.
---
---Raises as the constructor of the kind; when there is none.
---@param name string "mod", "ring", "jump", "maglev", "rendezvous" or "bounded"
---@param nodes integer|string[] how many, or their names
---@param opts? table those of the kind
---@return ringlet.keyrouter
function M.new(name, nodes, opts) end

return M
