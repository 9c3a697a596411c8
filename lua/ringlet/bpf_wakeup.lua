-- SPDX-License-Identifier: MIT
-- bpf_wakeup: what `bpf.wakeup` returns: a handle, which travels. On each shard it stands for a
-- part (bpf_wakeup_part.lua); maps are shared by all of them.
--
-- What a program finds is a hint that something critical has come: the class of what a connection
-- brings is told, here as everywhere, when it is received (`classify` of net.serve).

local atomics = require "ringlet.shared_atomic"
local core = require "ringlet.core"
local devices = require "ringlet.bpf_wakeup_dev"
local options = require "ringlet.options"
local parts = require "ringlet.bpf_wakeup_part"
local place = require "ringlet.bpf_wakeup_place"
local routes_of = require "ringlet.bpf_wakeup_routes"
local travel = require "ringlet.travel"

local floor, max = math.floor, math.max

local M = {}

local BUDGET, ENTRIES = 10000, 16384
local SIGNAL_AFTER = 0.0005

--- @module ringlet.bpf

--- Tells shards, while they compute, that something critical has come: from `bpf.wakeup`. It may be
-- given to other shards, and works there. Every method but `close` and `__tostring` fails with
-- "ECLOSED" when it is closed.
-- @type bpf_wakeup
local Wakeup = {__name = "ringlet.bpf.wakeup"}
Wakeup.__index = Wakeup
travel.register_type("ringlet.bpf_wakeup", Wakeup)

-- The parts of this shard, by handles.
local by_handle = setmetatable({}, {__mode = "k"})

local function here(self)
  local part, msg, code = by_handle[self], nil, nil
  if not part or not part.object.x or self.config.alive:load() == 0 then
    part, msg, code = parts.here(self.config)
    by_handle[self] = part
  end
  return part, msg, code
end

-- ---- routes -------------------------------------------------------------------------------------

local function set_port(part, port, value)
  if value then
    return part.maps.ports:set(port, value)
  end
  part.maps.ports:delete(port)
  return true
end

local function set_path(part, path, value)
  local map = part.maps.routes
  for _, text in ipairs(routes_of.beginnings(path)) do
    local key = routes_of.key(text)
    if value then
      local ok, msg, code = map:set(key, value)
      if not ok then
        return nil, msg, code
      end
    else
      map:delete(key)
    end
  end
  return true
end

local function set_route(part, where, value)
  return (type(where) == "number" and set_port or set_path)(part, where, value)
end

--- Change a route while it runs, for every shard.
-- @tparam string|integer where a path of HTTP, "/pay" or "/bulk/*", or a port
-- @tparam[opt] string|table class "critical", "normal", "background", or {class =, shard =, task
-- =}; nil removes it. `shard`: whose word is raised, if it is not the one that the socket belongs
-- to; `task`: as `place` says for that task
-- @treturn true
-- @fails "ENOSPC" beyond 2000 paths, or 1024 ports; "ECLOSED"
-- @raise on what is no route
function Wakeup:route(where, class)
  routes_of.check(where)
  local value = class ~= nil and routes_of.value(class) or nil
  local part, msg, code = here(self)
  if not part then
    return nil, msg, code
  end
  return set_route(part, where, value)
end

-- ---- attaching ----------------------------------------------------------------------------------

local function is_spread(target)
  return type(target) == "table" and target.list ~= nil and target.spread ~= nil
end

-- A listener of this shard, or a descriptor. Raises at `level`.
local function socket_of(target, level)
  if type(target) == "table" and type(target.listener) == "userdata" then
    target = target.listener
  end
  if type(target) ~= "userdata" and type(target) ~= "number" then
    error("a listener, a server or a descriptor expected, got " .. type(target), level + 1)
  end
  return target
end

--- Attach it to a listener. What that accepts from then on is classified. A server on several
-- shards has a listener on each; one that was given `accept = "handover"` has not.
-- @parks when the server has several shards
-- @tparam listener|server|integer target
-- @tparam[opt] table opts
-- @tparam[opt=true] boolean opts.filter false: no socket filter, only tell whose these sockets are,
-- for programs on devices
-- @treturn bpf_wakeup itself
-- @fails "EPERM"; "EALREADY"; "EOPNOTSUPP" with "handover", and under the simulation; "EBUSY" when
-- another shard's wake-up has the word of this shard; "ECLOSED"
-- @source socket(7), SO_ATTACH_BPF
function Wakeup:attach(target, opts)
  opts = options.check(opts, {filter = "boolean"})
  local filter = opts.filter ~= false
  local ok, msg, code
  if is_spread(target) then
    ok, msg, code = parts.attach_server(self.config, target, filter)
  else
    local socket = socket_of(target, 2)
    ok, msg, code = here(self)
    if ok then
      ok, msg, code = ok:attach(socket, filter)
    end
  end
  if ok then
    return self
  end
  return nil, msg, code
end

--- Detach it from a listener, a server, or the device of that name. Connections that were accepted
-- keep it; they count no more for anything once it is closed.
-- @parks when the server has several shards
-- @tparam listener|server|integer|string target
-- @treturn true
-- @fails "ECLOSED"
function Wakeup:detach(target)
  if is_spread(target) then
    return parts.detach_server(self.config, target)
  end
  local socket = type(target) == "string" and target or socket_of(target, 2)
  local part, msg, code = here(self)
  if not part then
    return nil, msg, code
  elseif type(target) == "string" then
    devices.detach(part, target)
  else
    part:detach(socket)
  end
  return true
end

--- Attach it to a device, for UDP, for sockets that no filter is on, and for `preempt = "signal"`.
-- @tparam string dev "eth0"
-- @tparam[opt] table opts
-- @tparam[opt] string opts.mode "tcx" (Linux 6.6), "clsact" - by default what the kernel has of
-- them - or "xdp", "xdp generic", "xdp native"
-- @tparam[opt] integer opts.shard whose word is raised for what is nobody's socket
-- @tparam[opt] table opts.cpus list of CPUs, from 0, to which "xdp" may hand packets, see `place`
-- @treturn bpf_wakeup itself
-- @fails "EPERM: needs CAP_BPF and CAP_NET_ADMIN (...)"; "ENODEV" no such device; "EALREADY";
-- "EOPNOTSUPP" the device has no XDP; "ECLOSED"
-- @source tc-bpf(8)
function Wakeup:attach_dev(dev, opts)
  local part, msg, code
  opts = devices.check(dev, opts, 2)
  part, msg, code = here(self)
  if part then
    part, msg, code = devices.attach(part, dev, opts)
  end
  if part then
    return self
  end
  return nil, msg, code
end

-- ---- connections --------------------------------------------------------------------------------

--- The class of the last request that was seen on a connection.
-- @tparam conn|integer conn or a descriptor
-- @treturn ?string "critical", "normal", "background"; nil: it was never any but normal
-- @fails "ECLOSED"
function Wakeup:class(conn)
  local part, msg, code = here(self)
  if not part then
    return nil, msg, code
  end
  local cookie
  cookie, msg, code = place.cookie(conn, 2)
  if not cookie then
    return nil, msg, code
  end
  local mark = part.maps.marks:get(cookie) or part.maps.owners:get(parts.descriptor_of(conn))
  return mark and routes_of.NAMES[mark.class] or nil
end

--- Say which shards or CPUs a connection or a task is for, or ask. A bit stands for each, the
-- lowest for shard 1 and CPU 0. Programs on devices raise the word of a shard in the mask, its own
-- if that is one of them, and XDP hands the packets of a connection to the first CPU in it. Of a
-- task the mask counts for routes that have it.
-- @tparam conn|task|integer x a connection, a task or the id of one
-- @tparam[opt] integer|boolean mask false: any
-- @treturn ?integer the mask it has now
-- @fails "E2BIG" beyond 65536; "ECLOSED"
-- @raise when it is none of these, or no mask
function Wakeup:place(x, mask)
  place.check(x, mask, 2)
  local part, msg, code = here(self)
  if not part then
    return nil, msg, code
  end
  return place.place(part, x, mask)
end

-- ---- the rest -----------------------------------------------------------------------------------

local COUNTERS = {"segments", "heads", "critical", "normal", "background", "over_budget", "raised",
  "marks", "early", "signals", "unowned", "redirected"}

local function zeros()
  local counts = {}
  for _, name in ipairs(COUNTERS) do
    counts[name] = 0
  end
  return counts
end

-- What all CPUs counted of a shard.
local function sum(of_cpus)
  local counts = zeros()
  for _, of_cpu in ipairs(of_cpus) do
    for name, n in pairs(counts) do
      counts[name] = n + of_cpu[name]
    end
  end
  return counts
end

-- shard -> counts: of those that there are, and those of which something is counted.
local function counts_of(part)
  local list = {}
  local size = max(select(2, core.fleet()) or 1, part.shard)
  for i, of_cpus in part.maps.counts:iter() do
    local counts = sum(of_cpus)
    if i < size or counts.segments > 0 then
      list[i + 1] = counts
    end
  end
  return list
end

--- Counters.
-- @treturn bpf_wakeup_stats a new table
-- @tfield[bpf_wakeup_stats] integer segments with a payload that were seen
-- @tfield[bpf_wakeup_stats] integer heads of these began like a request
-- @tfield[bpf_wakeup_stats] integer critical
-- @tfield[bpf_wakeup_stats] integer normal requests that nothing makes anything else
-- @tfield[bpf_wakeup_stats] integer background
-- @tfield[bpf_wakeup_stats] integer over_budget critical ones that the budget made normal
-- @tfield[bpf_wakeup_stats] integer raised times a word was
-- @tfield[bpf_wakeup_stats] integer marks times a connection got another class
-- @tfield[bpf_wakeup_stats] integer early requests that came with the handshake, which have no mark
-- @tfield[bpf_wakeup_stats] integer signals sent
-- @tfield[bpf_wakeup_stats] integer unowned packets of devices for no socket of a shard
-- @tfield[bpf_wakeup_stats] integer redirected packets that XDP handed to another CPU
-- @tfield[bpf_wakeup_stats] integer hints times this shard saw its word raised
-- @tfield[bpf_wakeup_stats] integer spurious of these, nothing came of so many
-- @tfield[bpf_wakeup_stats] integer runs of this shard's socket filter, and
-- @tfield[bpf_wakeup_stats] number ns in them: 0 unless the kernel counts (bpf.wakeup's option
-- `count`)
-- @tfield[bpf_wakeup_stats] table shards shard -> what is counted of it
-- @fails "ECLOSED"
function Wakeup:stats()
  local part, msg, code = here(self)
  if not part then
    return nil, msg, code
  end
  local all = zeros()
  all.shards = counts_of(part)
  for _, counts in pairs(all.shards) do
    for name, n in pairs(counts) do
      all[name] = all[name] + n
    end
  end
  all.hints, all.spurious = core.urgent_counts()
  all.runs, all.ns = part:cost()
  return all
end

--- Detach it everywhere and give up its maps, on every shard. Idempotent.
-- @treturn true
function Wakeup:close()
  parts.close(self.config)
  by_handle[self] = nil
  return true
end

Wakeup.__close = Wakeup.close

function Wakeup:__tostring()
  local n = 0
  for _ in pairs(by_handle[self] and by_handle[self].links or {}) do
    n = n + 1
  end
  return ("%s: %s"):format(Wakeup.__name, self.config.alive:load() == 0 and "closed"
    or ("attached to %d listeners here"):format(n))
end

-- ---- making one ---------------------------------------------------------------------------------

local KNOWN = {routes = "table", ports = "table", budget = "number", preempt = "string|boolean",
  signal_after = "number", connections = "number", count = "boolean"}
local BOUNDS = {budget = {above = 0, infinite = true}, preempt = {"flag", "signal"},
  signal_after = {min = 0}, connections = {min = 64, max = 2 ^ 20, whole = true}}

local function check(opts, level)
  opts = options.check(opts, KNOWN, level + 1)
  options.bounds(opts, BOUNDS, level + 1)
  if opts.preempt == true then
    error("option 'preempt' must be 'flag', 'signal' or false, not true", level + 1)
  end
  local routes = {}
  for _, name in ipairs{"routes", "ports"} do
    for where, spec in pairs(opts[name] or {}) do
      if type(where) ~= (name == "ports" and "number" or "string") then
        error(("option '%s': %s is none"):format(name, tostring(where)), level + 1)
      end
      routes_of.check(where, level + 1)
      routes[where] = routes_of.value(spec, level + 1)
    end
  end
  return opts, routes
end

local made = 0

local function config_of(opts)
  made = made + 1
  return {
    nonce = (floor(core.now() * 1e6) * 64 + made) % 2 ^ 32, alive = atomics.new(1),
    raise = opts.preempt ~= false, signals = opts.preempt == "signal",
    entries = opts.connections or ENTRIES,
  }
end

-- A tenth of a second's budget may come at once.
local function settings_of(opts, config)
  local budget = opts.budget or BUDGET
  local token_ns = floor(1e9 / budget)
  return {
    token_ns = token_ns, burst_ns = max(0, 1e8 - token_ns), raise = config.raise and 1 or 0,
    signal_ns = config.signals and floor((opts.signal_after or SIGNAL_AFTER) * 1e9 + 0.5) or 0,
    nonce = config.nonce,
  }
end

local function fill(part, opts, routes)
  local ok, msg, code = part:set(settings_of(opts, part.config))
  for where, value in pairs(routes) do
    if ok then
      ok, msg, code = set_route(part, where, value)
    end
  end
  if ok and opts.count then
    ok, msg, code = part:count()
  end
  return ok, msg, code
end

--- Make a wake-up: a program in the kernel that looks at what arrives for the listeners it is
-- attached to, and tells a shard that computes that something critical has come. What is critical
-- is handled first without it too (`classify` of net.serve), only found a little later.
-- @tparam[opt] table opts
-- @tparam[opt] table opts.routes classes of paths of HTTP: {["/pay"] = "critical", ["/bulk/*"] =
-- "background"}; the longest that matches counts
-- @tparam[opt] table opts.ports classes of ports, for what no path tells
-- @tparam[opt=10000] number opts.budget critical segments a second and shard, a tenth of them at
-- once; more are normal
-- @tparam[opt="flag"] string|boolean opts.preempt what is done about a critical segment: "flag", a
-- word in shared memory is raised, which the scheduler reads; "signal", programs on devices also
-- send the shard's thread a signal; false, connections are only marked
-- @tparam[opt=0.0005] number opts.signal_after seconds that a shard has run one task for at least
-- before it is signalled
-- @tparam[opt=16384] integer opts.connections that are marked; the oldest are forgotten
-- @tparam[opt=false] boolean opts.count have the kernel count what the programs cost: about 20 ns a
-- run
-- @treturn bpf_wakeup
-- @fails "EPERM: needs CAP_BPF (...)"; "ENOSYS" without libbpf; "ENOMEM"
-- @raise on unknown options
-- @usage local w = assert(bpf.wakeup{routes = {["/pay"] = "critical"}}):attach(server)
function M.new(opts)
  local routes
  opts, routes = check(opts, 2)
  local config = config_of(opts)
  local part, msg, code = parts.create(config)
  if not part then
    return nil, msg, code
  end
  local ok
  ok, msg, code = fill(part, opts, routes)
  if not ok then
    part:close()
    return nil, msg, code
  end
  local self = setmetatable({config = config}, Wakeup)
  by_handle[self] = part
  return self
end

return M
