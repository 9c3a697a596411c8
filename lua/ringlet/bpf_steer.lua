-- SPDX-License-Identifier: MIT
-- bpf_steer: which shard a new connection goes to, decided in the kernel when its SYN comes, by
-- bpf/steer.bpf.c.
--
-- A steering travels: what is copied are its settings and the numbers of its descriptors, which are
-- the process's. Each shard opens them anew when it needs them (bpf_steer_handles). The parts of a
-- server that uses it have a seat each (bpf_steer_seat).

--- @module ringlet.bpf

local bpf = require "ringlet.bpf"
local bpf_beacon = require "ringlet.bpf_beacon"
local bpf_library = require "ringlet.bpf_library"
local core = require "ringlet.core"
local handles = require "ringlet.bpf_steer_handles"
local memory = require "ringlet.bpf_steer_memory"
local prefixes = require "ringlet.bpf_prefix"
local rules = require "ringlet.bpf_steer_rules"
local seat = require "ringlet.bpf_steer_seat"
local travel = require "ringlet.travel"

local M = {}

-- An Ethernet header, which a test run wants before the packet.
local ETHERNET = ("\0"):rep(14)
local NOW, NOBODY = ("\0"):rep(8), ("\0"):rep(8)
local ANYBODY = ("\0"):rep(16)

--- What steers new connections, from `bpf.steer`: an option of `net.serve` and `http.serve`. It
-- travels to other shards. Without `close` it lasts as long as somebody has it, or a server uses
-- it.
-- @type bpf_steering
local Steer = {__name = "ringlet.bpf.steering"}
Steer.__index = Steer
travel.register_type("ringlet.bpf_steer", Steer)

-- Load one of its programs, with the maps of another | nil, msg, code.
local function load_object(name, settings, maps)
  if not bpf_library.library then
    return bpf_library.fail()
  end
  local reuse = {}
  for map, handle in pairs(maps or {}) do
    reuse[map] = map ~= "socks" and {reuse = handle} or nil
  end
  return bpf.load(bpf_library.library.object(name), {globals = rules.globals(settings),
    maps = reuse})
end

local function set_weights(own, weights)
  for shard, weight in pairs(weights) do
    memory.set_weight(own.areas.terms, shard, weight)
  end
end

--- Change weights: a shard of weight 2 gets twice as many as one of weight 1, which is the default;
-- one of weight 0 gets what there is nobody else for. Of "hash" only those addresses go elsewhere
-- whose share has moved.
-- @tparam table weights shard -> 0, or from 0.01 to 100; others stay as they are
-- @treturn bpf_steering itself
-- @fails "ECLOSED"
-- @raise on what is no shard or weight
function Steer:weights(weights)
  rules.check_weights(weights, 2)
  local own, msg, code = handles.open(self)
  if not own then
    return nil, msg, code
  end
  set_weights(own, weights)
  return self
end

--- Say where a network's connections go from now on; those that there are stay.
-- @tparam string prefix "10.0.0.0/8", "2001:db8::/32" or an address; the longest that fits counts
-- @tparam ?integer|table shards one, or a list of them; nil: it is no tenant any more
-- @treturn bpf_steering itself
-- @fails "ECLOSED", "ENOSPC" (there are 4096), "ENOENT" (it was none)
-- @raise on what is no prefix or shard; when the policy is not "tenant"
function Steer:tenant(prefix, shards)
  if self.settings.policy ~= "tenant" then
    error('the policy is "' .. self.settings.policy .. '": it knows no tenants', 2)
  end
  local key, group = rules.tenant(prefix, shards, 2)
  local own, msg, code = handles.open(self)
  if not own then
    return nil, msg, code
  end
  local ok
  if group then
    ok, msg, code = own.maps.tenants:set(key, group)
  else
    ok, msg, code = own.maps.tenants:delete(key)
  end
  if not ok then
    return nil, msg, code
  end
  return self
end

-- ---- looking at it ------------------------------------------------------------------------------

-- What the programs answer, as a shard; nil: none.
local function shard_of(index)
  return index < memory.SHARDS_MAX and index + 1 or nil
end

--- Where a connection from an address would go now: the program is asked, nothing is placed. Of
-- "rr" and "least" the next one may be told something else.
-- @tparam string address "10.1.2.3" or "2001:db8::1"
-- @treturn[1] ?integer a shard; nil: none listens
-- @treturn[1] ?integer the shard it would be if none were stalled or full
-- @treturn[2] nil
-- @treturn[2] string message
-- @treturn[2] string "ECLOSED"; "EPERM", and others of `bpf.load`
-- @raise on what is no address
function Steer:where(address)
  local bytes = prefixes.address(address)
  if not bytes then
    error("an address expected", 2)
  end
  return self:ask_(bytes, NOW, NOBODY)
end

-- The program that only answers | nil, msg, code.
local function answerer(self)
  local own, msg, code = handles.open(self)
  if not own then
    return nil, msg, code
  elseif not own.where then
    own.where, msg, code = load_object("steer_where", self.settings, own.maps)
    if not own.where then
      return nil, msg, code
    end
  end
  return own.where:program "where"
end

-- At some time, without some shards: 8 bytes each.
function Steer:ask_(bytes, now_ns, excluded)
  local program, msg, code = answerer(self)
  if not program then
    return nil, msg, code
  end
  local got
  got, msg, code = program:run{data = ETHERNET .. bytes .. now_ns .. excluded}
  if not got then
    return nil, msg, code
  end
  return shard_of(got % 256), shard_of(math.floor(got / 256))
end

-- ns that a choice takes, on average of n.
function Steer:cost_(n)
  local program, msg, code = answerer(self)
  if not program then
    return nil, msg, code
  end
  local got, _, ns = program:run{data = ETHERNET .. ANYBODY .. NOW .. NOBODY, repeat_ = n}
  return got and ns
end

--- What has been placed. New connections are counted when their SYN comes, so more than are ever
-- accepted.
-- @treturn bpf_steering_stats a new table
-- @tfield[bpf_steering_stats] integer placed connections that a shard was chosen for, migrated ones
-- too
-- @tfield[bpf_steering_stats] integer migrated moved to another shard because their listener was
-- closed before they were accepted
-- @tfield[bpf_steering_stats] integer avoided times that a shard would have been chosen and was
-- not, because it was stalled or full
-- @tfield[bpf_steering_stats] integer fallbacks times that the kernel chose by its hash, since no
-- shard took part
-- @tfield[bpf_steering_stats] table shards shard -> {placed =, migrated =, avoided =, live =,
-- handed =}: the same of the shards that take part, or did; connections it has, and those on their
-- way to it
-- @fails "ECLOSED"
function Steer:stats()
  local own, msg, code = handles.open(self)
  if not own then
    return nil, msg, code
  end
  local areas = own.areas
  local all = {placed = 0, migrated = 0, avoided = 0, shards = {},
    fallbacks = memory.fallbacks(areas.turns)}
  for shard = 1, memory.size(areas.turns) do
    local mark = memory.mark(areas.marks, shard)
    if memory.is_open(areas.terms, shard) or mark.placed > 0 then
      mark.live, mark.handed = memory.load(areas.seats, areas.marks, shard)
      all.shards[shard] = mark
      for _, name in ipairs{"placed", "migrated", "avoided"} do
        all[name] = all[name] + mark[name]
      end
    end
  end
  return all
end

--- What the shards tell the kernel: as the program sees it.
-- @treturn table shard -> bpf_steering_state, of the shards that have taken part
-- @tfield[bpf_steering_state] boolean open it takes connections
-- @tfield[bpf_steering_state] boolean stalled it gets none for now: neither idle nor heard of for
-- `stall_ms`
-- @tfield[bpf_steering_state] number weight
-- @tfield[bpf_steering_state] integer live connections
-- @tfield[bpf_steering_state] ?number beat seconds since its loop turned, or a task's turn began
-- @tfield[bpf_steering_state] ?number running seconds that a task's turn lasts
-- @tfield[bpf_steering_state] ?integer task which one
-- @tfield[bpf_steering_state] ?integer runnable tasks in its run queues
-- @tfield[bpf_steering_state] ?boolean idle it sleeps in the kernel
-- @tfield[bpf_steering_state] ?integer tasks that it has
-- @tfield[bpf_steering_state] ?integer tid of its thread
-- @fails "ECLOSED"
function Steer:state()
  local own, msg, code = handles.open(self)
  if not own then
    return nil, msg, code
  end
  local areas, all, now = own.areas, {}, core.now()
  local stall = self.settings.stall_ms / 1000
  for shard = 1, memory.size(areas.turns) do
    local state = memory.beacon(areas.beacons, shard, now) or {}
    state.open, state.live = memory.is_open(areas.terms, shard), memory.live(areas.seats, shard)
    state.weight = memory.weight(areas.terms, shard)
    state.stalled = stall > 0 and state.idle == false
      and (state.beat > stall or (state.running or 0) > stall)
    all[shard] = state
  end
  return all
end

--- Has it been closed?
-- @treturn boolean
function Steer:is_closed()
  return self.closed == true
end

--- Let it go: nothing new can use it. A server that uses it is steered until it ends. Idempotent.
-- @treturn true
function Steer:close()
  self.closed = true
  handles.close(self)
  return true
end

function Steer:__tostring()
  if self.closed then
    return "ringlet.bpf.steering: closed"
  end
  local s = self.settings
  local stall = s.stall_ms > 0 and (", stalled after %g ms"):format(s.stall_ms) or ""
  return ("ringlet.bpf.steering: %s%s"):format(s.policy, stall)
end

-- ---- for net_spread -----------------------------------------------------------------------------

-- A server begins on the shards of a list.
function Steer:begin_(shards)
  local own, msg, code = handles.open(self)
  if not own then
    return nil, msg, code
  end
  local size = memory.size(own.areas.turns)
  for shard = 1, size do
    if own.maps.socks:get(shard - 1) then
      return nil, handles.BUSY, "EBUSY"
    end
  end
  for _, shard in ipairs(shards) do
    size = math.max(size, shard)
  end
  memory.set_size(own.areas.turns, size)
  return true
end

-- A part listens, on this shard: its seat | nil, msg, code.
function Steer:seat_(listener, max, is_first)
  return seat.new(self, listener, max, is_first)
end

-- Nothing new for a shard, whether it listens to us or not.
function Steer:expel_(shard)
  local own = handles.open(self)
  if own then
    memory.set_open(own.areas.terms, shard, false)
    own.maps.socks:delete(shard - 1)
  end
end

-- ---- making -------------------------------------------------------------------------------------

-- Fill the maps of a new one.
local function begin(own, weights, tenants)
  for shard = 1, memory.SHARDS_MAX do
    memory.set_weight(own.areas.terms, shard, 1)
  end
  set_weights(own, weights)
  for _, tenant in ipairs(tenants) do
    local ok, msg, code = own.maps.tenants:set(tenant[1], tenant[2])
    if not ok then
      return nil, msg, code
    end
  end
  return true
end

--- Place the new connections of a server on its shards, in the kernel (SK_REUSEPORT): to the shard
-- with the fewest ("least"), in turn ("rr"), by the address they come from ("hash": the same shard
-- as long as there are the same), or to the shards of their tenant. A shard that is stalled is
-- passed over: a task's turn, or a turn of its loop, has lasted longer than `stall_ms`, and it is
-- not idle; so is one that has its `max_connections`. When a shard is drained, what is queued there
-- moves to others.
--
-- One steering is one server's at one time. It needs CAP_BPF; without it, `accept = "handover"`
-- places connections by their number as well, a hop later, and the default is the kernel's hash.
-- @tparam[opt] table opts
-- @tparam[opt="least"] string opts.policy "least", "hash", "rr" or "tenant"
-- @tparam[opt=3] number|boolean opts.stall_ms from when on a shard is stalled; false: never
-- @tparam[opt] table opts.weights shard -> weight, as for `weights`
-- @tparam[opt] table opts.tenants network -> shard or list of shards, as for `tenant`; makes that
-- the policy
-- @tparam[opt="least"] string opts.within of "tenant": how one of a tenant's shards is chosen:
-- "least", "hash" or "rr"
-- @tparam[opt="least"] string opts.others of "tenant": how it goes for an address that is no
-- tenant's, among all shards
-- @tparam[opt=32] integer opts.ipv4_prefix of "hash": bits of an address that count
-- @tparam[opt=64] integer opts.ipv6_prefix of "hash": the same of IPv6
-- @tparam[opt=0] integer opts.seed of "hash": another one spreads addresses otherwise
-- @treturn bpf_steering
-- @fails "EPERM" (needs CAP_BPF), "ENOSYS" (the rock, or libbpf, is not there), ...
-- @raise on an option it does not know
-- @source M. KaFai Lau, BPF_PROG_TYPE_SK_REUSEPORT, Linux 4.19; K. Iwashima, "Socket migration for
-- SO_REUSEPORT", Linux 5.14; D. Thaler and C. Ravishankar, "Using name-based mappings to increase
-- hit rates", 1998 (rendezvous hashing); C. Waldspurger, "Lottery and stride scheduling", 1995
-- @usage
-- local steer = bpf.steer{policy = "least"} -- nil without privileges
-- net.serve("0.0.0.0:8080", handler, {shards = "all", steer = steer})
function M.new(opts)
  local settings = rules.settings(opts)
  opts = opts or {}
  local weights, tenants = opts.weights or {}, rules.tenants(opts.tenants or {}, 2)
  rules.check_weights(weights, 2)
  local beacons, id = bpf_beacon.known()
  local object, msg, code = load_object("steer", settings, {beacons = beacons})
  if not object then
    return nil, msg, code
  end
  local self = setmetatable({settings = settings, fds = {}, beacon = id, closed = false}, Steer)
  local own, ok
  own, msg, code = handles.adopt(self, object)
  if own then
    ok, msg, code = begin(own, weights, tenants)
  end
  if not ok then
    self:close()
    return nil, msg, code
  end
  return self
end

return M
