-- SPDX-License-Identifier: MIT
--- Routers: which of several nodes a key belongs to.
--
-- A router is made for a number of nodes, which are then 1 to n, or for a list of names. It never
-- changes; `r:with(nodes)` makes one for other nodes. Keys are strings, or integers, which count by
-- their value: 1 and "1" are two keys. The same key goes to the same node in every process, on both
-- VMs and on every machine.
--
--     local r = router.ring {"cache-a", "cache-b", "cache-c"}
--     r:get("user:1042")                                  -- one of the three
--     r = r:with {"cache-a", "cache-b", "cache-c", "cache-d"}
--
-- How many keys change their node when the nodes change depends on the kind. The fewest are those
-- of a node that went, or those that a node which came must take to have its share.
--
-- * `mod`: almost all of them. A remainder; no weights.
-- * `ring`: the fewest. Weights, any hash, and `r:diff` says which keys. A search in sorted points.
-- * `jump`: the fewest, but nodes come and go at the end of the list alone. No memory, no weights.
-- * `maglev`: little more than the fewest. The evenest; one read from a table; no weights.
-- * `rendezvous`: the fewest. Even, with exact weights; asks every node.
-- * `bounded`: a ring on which what is full overflows to the next node.
-- @module ringlet.router

require "ringlet.vm"
local core = require "ringlet.core"
local options = require "ringlet.options"
require "ringlet.run" -- tells the core which files are ours, so that misuse is blamed on others

local M = {}

local COUNT_MAX = 0x7fffffff
local NODES_MAX = 2 ^ 20
local POINTS_MAX = 2 ^ 24
local POSITIONS = 2 ^ 32
local EPSILON_ONE, EPSILON_MAX = 1000000, 1000 -- the core counts in millionths

--- A router. `tostring(r)` says its kind and the number of its nodes.
-- @type keyrouter
local Router = {__name = "ringlet.router"}
Router.__index = Router

-- ---- nodes --------------------------------------------------------------------------------------

local function is_whole(n, min, max)
  return type(n) == "number" and n >= min and n <= max and n == math.floor(n)
end

-- A copy of a list of names, by name too.
local function read_names(nodes, level)
  local names, by_name = {}, {}
  for i, name in ipairs(nodes) do
    if type(name) ~= "string" then
      error(("a node's name is a string, not a %s"):format(type(name)), level + 1)
    elseif by_name[name] then
      error(("two nodes have the name '%s'"):format(name), level + 1)
    end
    names[i], by_name[name] = name, i
  end
  if #names == 0 or #names > NODES_MAX then
    error(("a router needs 1 to %d nodes, not %d"):format(NODES_MAX, #names), level + 1)
  end
  return names, by_name
end

-- Fills in `n`, and `names` and `by_name` of a router whose nodes have names; else they are false.
local function set_nodes(r, nodes, max, level)
  r.names, r.by_name = false, false
  if type(nodes) == "table" then
    r.names, r.by_name = read_names(nodes, level + 1)
    r.n = #r.names
  elseif type(nodes) ~= "number" then
    error(("nodes are a number or a list of names, not a %s"):format(type(nodes)), level + 1)
  elseif not is_whole(nodes, 1, max) then
    error(("a router needs 1 to %d nodes, not %s"):format(max, nodes), level + 1)
  else
    r.n = nodes
  end
end

-- What nodes are known by in hashes: a number by its digits.
local function labels_of(r)
  if r.names then
    return r.names
  end
  local labels = {}
  for i = 1, r.n do
    labels[i] = ("%d"):format(i)
  end
  return labels
end

local function index_of(r, node)
  if r.by_name then
    return r.by_name[node]
  end
  return is_whole(node, 1, r.n) and node or nil
end

local function is_named(r)
  return r.names ~= false
end

local function node_at(r, i)
  return r.names and r.names[i] or i
end

-- ---- hashes -------------------------------------------------------------------------------------

local HASHES = {xxh64 = true, md5 = true}

local function check_hash_name(name, level)
  if not HASHES[name] then
    error(("unknown hash '%s': it is \"xxh64\", \"md5\" or a function"):format(tostring(name)),
      level + 1)
  end
end

-- The position that a hash function of the user's gives a key.
local function call_hash(hash, key, level)
  core.router_hash(key) -- refuses what is no key
  local position = hash(key)
  if not is_whole(position, 0, POSITIONS - 1) then
    error(("the hash function gave %s, not an integer from 0 to 2^32 - 1"):format(
      tostring(position)), level + 1)
  end
  return position
end

-- function(key, level) -> position
local function position_function(hash)
  if type(hash) == "function" then
    return function(key, level) return (call_hash(hash, key, level + 1)) end
  end
  local md5 = hash == "md5"
  return function(key) return (core.router_hash(key, md5)) end
end

-- Sets `find` and `find_node`: function(key) -> index, and -> node.
local function set_finders(r)
  local hash, names, router = r.hash, r.names, r.router
  if type(hash) == "string" then
    r.find = core.router_finder(router, hash == "md5")
    r.find_node = names and core.router_finder(router, hash == "md5", names) or r.find
    return
  end
  function r.find(key)
    return (core.router_find(router, call_hash(hash, key, 2)))
  end
  r.find_node = not names and r.find or function(key)
    return names[core.router_find(router, call_hash(hash, key, 2))]
  end
end

-- ---- kinds --------------------------------------------------------------------------------------

-- The weight of each node, in order. What names no node is an error unless it came from another
-- router.
local function weights_of(r, opts, level)
  local list, given = {}, opts.weights or {}
  for node, weight in pairs(given) do
    if not index_of(r, node) and not opts.is_inherited then
      error(("option 'weights': there is no node '%s'"):format(tostring(node)), level + 1)
    elseif type(weight) ~= "number" or not (weight > 0 and weight < math.huge) then
      error(("option 'weights': '%s' must be above 0"):format(tostring(weight)), level + 1)
    end
  end
  for i = 1, r.n do
    list[i] = given[node_at(r, i)] or 1
  end
  return list
end

-- The points of a ring: node x has its k-th, from 0, at the hash of "x-k".
local function points_of(r, labels, opts, level)
  local vnodes = opts.vnodes or 128
  if not is_whole(vnodes, 1, POINTS_MAX) then
    error("option 'vnodes' must be a whole number of at least 1", level + 1)
  end
  local counts, total = weights_of(r, opts, level + 1), 0
  for i, weight in ipairs(counts) do
    counts[i] = math.max(1, math.floor(vnodes * weight + 0.5))
    total = total + counts[i]
  end
  if total > POINTS_MAX then
    error(("a ring of more than %d points"):format(POINTS_MAX), level + 1)
  end
  local points, len = {}, 0
  for i = 1, r.n do
    for k = 0, counts[i] - 1 do
      points[len + 1], points[len + 2] = r.position(("%s-%d"):format(labels[i], k), level + 1), i
      len = len + 2
    end
  end
  return points
end

local function make_ring(r, opts, level)
  local labels = labels_of(r)
  return core.router_ring(labels, points_of(r, labels, opts, level + 1))
end

local function make_bounded(r, opts, level)
  local epsilon = opts.epsilon or 0.25
  if not (epsilon > 0 and epsilon <= EPSILON_MAX) then
    error(("option 'epsilon' must be above 0 and at most %d"):format(EPSILON_MAX), level + 1)
  end
  local labels = labels_of(r)
  local points = points_of(r, labels, opts, level + 1)
  return core.router_ring(labels, points,
    math.max(1, math.floor(epsilon * EPSILON_ONE + 0.5)))
end

local function make_maglev(r, opts, level)
  local router = core.router_maglev(labels_of(r), opts.size or 65537)
  if not router then
    error("option 'size' must be a prime, at most 2^24, and not below the number of nodes",
      level + 1)
  end
  return router
end

local KINDS = {
  mod = {
    max = COUNT_MAX, known = {hash = "string|function"},
    make = function(r) return core.router_mod(r.n) end,
  },
  jump = {
    max = COUNT_MAX, known = {hash = "string|function"},
    make = function(r) return core.router_jump(r.n) end,
  },
  ring = {
    known = {hash = "string|function", vnodes = "number", weights = "table"}, make = make_ring,
  },
  bounded = {
    known = {hash = "string|function", vnodes = "number", weights = "table", epsilon = "number"},
    make = make_bounded,
  },
  maglev = {
    max = 65535, known = {hash = "string|function", size = "number"}, make = make_maglev,
  },
  rendezvous = {
    known = {hash = "string|function", weights = "table"},
    make = function(r, opts, level)
      return core.router_rendezvous(labels_of(r), weights_of(r, opts, level + 1))
    end,
  },
}

-- Make a router; `level` is that of who is to blame, as seen from the caller.
local function make(kind, nodes, opts, level)
  local what = KINDS[kind]
  local r = {kind = kind, opts = opts}
  set_nodes(r, nodes, what.max or NODES_MAX, level + 1)
  r.hash = opts.hash or "xxh64"
  if type(r.hash) == "string" then
    check_hash_name(r.hash, level + 1)
  end
  r.position = position_function(r.hash)
  r.router = what.make(r, opts, level + 1)
  set_finders(r)
  return setmetatable(r, Router)
end

-- The same for options as a user gives them, which are copied.
local function construct(kind, nodes, opts, level)
  local copy = {}
  for name, value in pairs(options.check(opts, KINDS[kind].known, level + 1)) do
    copy[name] = value
  end
  if copy.weights then
    local weights = {}
    for node, weight in pairs(copy.weights) do
      weights[node] = weight
    end
    copy.weights = weights
  end
  return (make(kind, nodes, copy, level + 1))
end

-- ---- constructors -------------------------------------------------------------------------------

--- The position of a key: the upper 32 bits of XXH64 with seed 0, or the first 32 bits of MD5, the
-- most significant byte first, as ketama has them. An integer is hashed as its eight bytes, the
-- least significant first.
-- @tparam string|integer key
-- @tparam[opt] string kind "xxh64" (the default) or "md5"
-- @treturn integer from 0 to 2^32 - 1
-- @raise when it is no key, or of an unknown kind
-- @source xxHash fast digest algorithm 0.2.0; RFC 1321
function M.hash(key, kind)
  kind = kind or "xxh64"
  check_hash_name(kind, 2)
  return core.router_hash(key, kind == "md5")
end

--- The remainder: position modulo the number of nodes. One node more moves nearly all keys.
-- @tparam integer|{string,...} nodes how many, or their names
-- @tparam[opt] table opts
-- @tparam[opt] string|function opts.hash "xxh64" (the default), "md5", or a function that gives a
--   position for a key: an integer from 0 to 2^32 - 1
-- @treturn keyrouter
-- @raise when there is no node, or two of one name
function M.mod(nodes, opts)
  return (construct("mod", nodes, opts, 2))
end

--- Consistent hashing: every node has points on a circle of 2^32 positions, the k-th (from 0) of
-- node x at the hash of "x-k"; a key belongs to the first point at or after its position. With 128
-- points a node's share is off by 9 % (one standard deviation); the error falls with the root of
-- their number.
-- @tparam integer|{string,...} nodes how many, or their names
-- @tparam[opt] table opts
-- @tparam[opt] string|function opts.hash "xxh64" (the default), "md5", or a function that gives a
--   position for a key, and for the names of points
-- @tparam[opt=128] integer opts.vnodes points of a node of weight 1
-- @tparam[opt] table opts.weights by node; those that are left out have weight 1
-- @treturn keyrouter
-- @raise when there is no node or two of one name, a weight of 0 or less or of no node, more than
-- 2^24 points
-- @source Karger et al., Consistent hashing and random trees, 1997
function M.ring(nodes, opts)
  return (construct("ring", nodes, opts, 2))
end

--- Jump consistent hash: even to the key, without memory; nodes come and go at the end of the list
-- alone.
-- @tparam integer|{string,...} nodes how many, or their names
-- @tparam[opt] table opts
-- @tparam[opt] string|function opts.hash as of `router.mod`
-- @treturn keyrouter
-- @raise when there is no node, or two of one name
-- @source Lamping and Veach, A fast, minimal memory, consistent hash algorithm, 2014
function M.jump(nodes, opts)
  return (construct("jump", nodes, opts, 2))
end

--- Maglev's table: shares are even to one entry. The order of names does not matter.
-- @tparam integer|{string,...} nodes how many, or their names; at most 65,535
-- @tparam[opt] table opts
-- @tparam[opt] string|function opts.hash as of `router.mod`
-- @tparam[opt=65537] integer opts.size entries: a prime; a hundred for each node, or more
-- @treturn keyrouter
-- @raise when there is no node, two of one name, or the size is none
-- @source Eisenbud et al., Maglev: a fast and reliable software network load balancer, 2016
function M.maglev(nodes, opts)
  return (construct("maglev", nodes, opts, 2))
end

--- Highest random weight: each node has a score for a key, the highest wins. Even, and with exact
-- weights; for few nodes, as it asks all.
-- @tparam integer|{string,...} nodes how many, or their names
-- @tparam[opt] table opts
-- @tparam[opt] string|function opts.hash as of `router.mod`
-- @tparam[opt] table opts.weights by node; those that are left out have weight 1
-- @treturn keyrouter
-- @raise when there is no node or two of one name, a weight of 0 or less or of no node
-- @source Thaler and Ravishankar, Using name-based mappings to increase hit rates, 1998;
-- Schindelhauer and Schomaker, Weighted distributed hash tables, 2005
function M.rendezvous(nodes, opts)
  return (construct("rendezvous", nodes, opts, 2))
end

--- Consistent hashing with bounded loads: a ring that passes over nodes which are full. Take a node
-- with `r:acquire(key)` and give it back with `r:release(node)`. With m units of load on n nodes,
-- the one that is acquired included, it never brings a node above ceil((1 + epsilon) * m / n);
-- with weights, above that part of m that its points are of all. Units stay where they are: after
-- others were released a node may hold more than the bound of then, and gets no more until it does
-- not.
-- @tparam integer|{string,...} nodes how many, or their names
-- @tparam[opt] table opts
-- @tparam[opt=0.25] number opts.epsilon to six decimals
-- @tparam[opt] string|function opts.hash as of `router.ring`
-- @tparam[opt=128] integer opts.vnodes points of a node of weight 1
-- @tparam[opt] table opts.weights by node; those that are left out have weight 1
-- @treturn keyrouter
-- @raise as `router.ring`; when epsilon is not above 0
-- @source Mirrokni, Thorup and Zadimoghaddam, Consistent hashing with bounded loads, 2016
function M.bounded(nodes, opts)
  return (construct("bounded", nodes, opts, 2))
end

--- A router of the kind that has this name.
-- @tparam string name "mod", "ring", "jump", "maglev", "rendezvous" or "bounded"
-- @tparam integer|{string,...} nodes how many, or their names
-- @tparam[opt] table opts those of the kind
-- @treturn keyrouter
-- @raise as the constructor of the kind; when there is none
function M.new(name, nodes, opts)
  if type(name) ~= "string" or not KINDS[name] then
    error(("unknown router '%s'"):format(tostring(name)), 2)
  end
  return (construct(name, nodes, opts, 2))
end

-- ---- methods ------------------------------------------------------------------------------------

--- The node of a key; of a bounded router, the one that `acquire` would give.
-- @tparam string|integer key
-- @treturn integer|string its number, or its name
-- @raise when it is no key
function Router:get(key)
  return self.find_node(key)
end

--- The number of the node of a key, also where nodes have names.
-- @tparam string|integer key
-- @treturn integer
-- @raise when it is no key
function Router:index(key)
  return self.find(key)
end

--- The nodes, in order.
-- @treturn {any,...} a new list
function Router:nodes()
  local list = {}
  for i = 1, self.n do
    list[i] = node_at(self, i)
  end
  return list
end

-- Jump knows nodes by their place alone: one that came or went within the list would change the
-- place of all behind it.
local function check_tail(from, to, level)
  if is_named(from) ~= is_named(to) then
    error("a jump router of names stays one, as one of numbers does", level + 1)
  end
  for i = 1, from.names and math.min(from.n, to.n) or 0 do
    if from.names[i] ~= to.names[i] then
      error(("a jump router grows and shrinks at the end only: node %d was '%s', not '%s'"):format(
        i, from.names[i], to.names[i]), level + 1)
    end
  end
end

--- A router of the same kind and options for other nodes. Those that stay keep their weights, and
-- the load that a bounded router has given them.
-- @tparam integer|{string,...} nodes how many, or their names
-- @tparam[opt] table weights other weights
-- @treturn keyrouter a new one
-- @raise as its constructor; of a jump router when the names do not begin alike
function Router:with(nodes, weights)
  local opts = {}
  for name, value in pairs(self.opts) do
    opts[name] = value
  end
  if weights == nil then
    opts.is_inherited = true
  elseif type(weights) ~= "table" or not KINDS[self.kind].known.weights then
    error(("a %s router takes no weights"):format(self.kind), 2)
  else
    opts.weights, opts.is_inherited = {}, nil
    for node, weight in pairs(weights) do
      opts.weights[node] = weight
    end
  end
  local r = make(self.kind, nodes, opts, 2)
  if self.kind == "jump" then
    check_tail(self, r, 2)
  elseif self.kind == "bounded" then
    for i = 1, self.n do
      local k = index_of(r, node_at(self, i))
      if k then
        core.router_carry(r.router, k, self.router, i)
      end
    end
  end
  return r
end

local NO_RANGES = {
  mod = "its nodes own remainders, not ranges",
  jump = "its nodes own no ranges of positions",
  maglev = "its nodes own entries of a table all over the positions",
  rendezvous = "its nodes own no ranges of positions",
  bounded = "who owns a key depends on the loads",
}

--- Which keys move from this ring to another: ranges of positions, in order, that do not overlap or
-- touch unless their nodes differ. A key whose position (`router.hash`, or what the ring's own hash
-- function gives) is in none of them stays.
-- @tparam keyrouter new of the same hash
-- @treturn {range,...}
-- @tfield[range] integer from_hash the first position
-- @tfield[range] integer to_hash the last position, which is included
-- @tfield[range] integer|string from_node whose they were
-- @tfield[range] integer|string to_node whose they are
-- @raise unless both are of the kind `ring`, of the same hash, and both of names or of numbers
function Router:diff(new)
  if getmetatable(new) ~= Router then
    error("a router expected", 2)
  end
  for _, r in ipairs {self, new} do
    if NO_RANGES[r.kind] then
      error(("a %s router has no diff: %s"):format(r.kind, NO_RANGES[r.kind]), 2)
    end
  end
  if self.hash ~= new.hash then
    error("the rings have different hashes: any key may move", 2)
  elseif is_named(self) ~= is_named(new) then
    error("one ring has names, the other numbers: no node of one is in the other", 2)
  end
  local flat, ranges = core.router_diff(self.router, new.router), {}
  for i = 1, #flat, 4 do
    ranges[#ranges + 1] = {
      from_hash = flat[i], to_hash = flat[i + 1],
      from_node = node_at(self, flat[i + 2]), to_node = node_at(new, flat[i + 3]),
    }
  end
  return ranges
end

local function check_bounded(r)
  if r.kind ~= "bounded" then
    error(("a %s router has no loads: only a bounded one has"):format(r.kind), 3)
  end
end

--- Put a unit of load on the first node, from the key's on, that has room for it.
-- @tparam string|integer key
-- @treturn integer|string the node, for `release`
-- @raise when it is no key; unless the router is bounded; above 2^31 - 1 units
function Router:acquire(key)
  check_bounded(self)
  local i = core.router_acquire(self.router, self.position(key, 2))
  if not i then
    error("more than 2^31 - 1 units of load", 2)
  end
  return node_at(self, i)
end

--- Take a unit of load from a node.
-- @tparam integer|string node what `acquire` gave
-- @raise when it has none, or there is no such node; unless the router is bounded
function Router:release(node)
  check_bounded(self)
  local i = index_of(self, node)
  if not i then
    error(("there is no node '%s'"):format(tostring(node)), 2)
  elseif not core.router_release(self.router, i) then
    error(("node '%s' has no load to release"):format(tostring(node)), 2)
  end
end

--- The load of every node.
-- @treturn table units by node
-- @raise unless the router is bounded
function Router:loads()
  check_bounded(self)
  local loads = {}
  for i = 1, self.n do
    loads[node_at(self, i)] = core.router_load(self.router, i)
  end
  return loads
end

function Router:__tostring()
  return ("ringlet.router: %s, %d nodes"):format(self.kind, self.n)
end

return M
