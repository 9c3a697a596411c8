-- SPDX-License-Identifier: MIT
-- A server on several shards: on each a part, which is a server of net_server.lua; on the shard
-- that asked for it the object that controls them all.
--
-- Every shard of "reuseport" listens for itself. With "handover" the controlling shard alone
-- listens, and gives each connection away as it comes (src/rt/spread.h); the parts' listeners are
-- inlets.
--
-- Invariants: a part is known by its key, which is the same on all shards, until it is over; the
-- controlling shard then hears of it, once. A message to a part goes the way that connections for
-- it have gone, so it arrives behind them. Whatever ends the run ends each part on its own shard.

require "ringlet.net" -- the methods of listeners and connections
local core = require "ringlet.core"
local jobs = require "ringlet.jobs"
local net_listen = require "ringlet.net_listen"
local net_server = require "ringlet.net_server"
local post = require "ringlet.post"
local run = require "ringlet.run_stop"
local sync = require "ringlet.sync"
local task = require "ringlet.task"
local time = require "ringlet.time"

local M = {}

local GRACE = 10

-- key -> part, control: those of this shard.
local parts, controls = {}, {}
local last = 0

local Spread = {}
Spread.__index = Spread

-- Call the handler of a message on a shard; on this one at once.
local handlers = {}

local function on(name, fn)
  handlers[name] = fn
  post.on(name, function(_, ...)
    fn(...)
  end)
end

local function tell(shard, name, ...)
  if shard == core.fleet() then
    handlers[name](...)
  else
    post.to(shard, name, ...)
  end
end

-- Parts.

local function counted(server, has_ended)
  local part = server.part
  if part.seat then
    local accepted, waiting = core.net_listener_counts(server.listener)
    part.seat:count(accepted - waiting, server.live)
  end
  core.spread_note(part.spread, server.listener, server.live, server.errors, server.refused,
    net_server.heart_counts(server))
  if has_ended and part.is_inlet and core.spread_ended(part.spread) then
    tell(part.home, "server room", part.key)
  end
end

local function part_drained(server)
  tell(server.part.home, "server drained", server.part.key, (core.fleet()))
end

local function part_over(server)
  local part = server.part
  counted(server)
  if part.seat then
    part.seat:release()
  end
  core.spread_inlet(part.spread, nil)
  parts[part.key] = nil
  tell(part.home, "server over", part.key, (core.fleet()))
end

-- Begin a part here. `part` travels: {key, home, spread, max, addresses, is_inlet, host, port,
-- address}. The address it listens on | nil, msg, code.
function M.open(handlers_, opts, part)
  net_server.prepare(handlers_)
  local listener, msg, code
  if part.is_inlet then
    listener, code = core.net_inlet()
    msg = "ENOMEM: no memory"
  else
    listener, msg, code = net_listen.open(part.host, part.port, opts, true)
  end
  if not listener then
    return nil, msg, code
  end
  if opts.steer then
    part.seat, msg, code = opts.steer:seat_(listener, part.max, not part.address)
    if not part.seat then
      listener:close()
      return nil, msg, code
    end
  end
  part.address = part.address or listener:addr()
  part.counted, part.drained, part.over = counted, part_drained, part_over
  local server = net_server.start(listener, handlers_, opts, part)
  parts[part.key] = server
  if part.is_inlet then
    core.spread_inlet(part.spread, listener)
  end
  return part.address
end

-- Load the handler of a part here anew: true | nil, msg, code.
function M.reload(key)
  local part = parts[key]
  if not part then
    return nil, net_server.OVER, "ECLOSED"
  end
  return net_server.reload(part)
end

-- The listener of a part here, and whether that is an inlet; nil: there is no such part.
function M.listener(key)
  local server = parts[key]
  if server then
    return server.listener, server.part.is_inlet
  end
end

on("server stop", function(key, grace)
  if parts[key] then
    net_server.begin_stop(parts[key], grace)
  end
end)

on("server drain", function(key, moves)
  if parts[key] then
    net_server.begin_drain(parts[key], moves)
  end
end)

on("server end", function(key)
  if parts[key] then
    net_server.end_at_once(parts[key])
  end
end)

-- The control.

local function check_over(control)
  if control.live_parts == 0 and (not control.listener or control.accepted:is_set()) then
    controls[control.key], run.stoppers[control] = nil, nil
    control.over:set()
  end
end

on("server drained", function(key, shard)
  local control = controls[key]
  if control then
    control.drained[shard]:set()
  end
end)

on("server over", function(key, shard)
  local control = controls[key]
  if not control or control.state[shard] == "ended" then
    return
  end
  control.state[shard] = "ended"
  control.live_parts = control.live_parts - 1
  control.drained[shard]:set()
  core.spread_open(control.spread, shard, false)
  if control.live_parts == 0 and control.listener then
    control.listener:close()
  end
  check_over(control)
end)

on("server room", function(key)
  if controls[key] then
    controls[key].room:set()
  end
end)

-- With "handover": accept, for all, until the listener is closed or has finished.
local function hand_over(control)
  while true do
    local got = core.net_hand(control.listener, control.spread)
    if got == false then
      core.net_accept_pause(control.listener, true)
      control.room:wait()
      control.room:clear()
      core.net_accept_pause(control.listener, false)
    elseif not got then
      break
    end
  end
end

local function accept_task(control)
  local ok, err = pcall(hand_over, control)
  control.listener:close()
  control.accepted:set()
  check_over(control)
  if not ok then
    error(err, 0)
  end
end

local function finish_accepting(control, due)
  if control.listener then
    core.net_finish(control.listener)
    control.accepted:wait(due and math.max(0, due - time.now()))
    control.listener:close()
  end
end

local function tell_parts(control, name, ...)
  for _, shard in ipairs(control.list) do
    if control.state[shard] ~= "ended" then
      tell(shard, name, control.key, ...)
    end
  end
end

local function stop_task(control, due)
  local ok, err = pcall(finish_accepting, control, due)
  tell_parts(control, "server stop", math.max(0, due - time.now()))
  if not ok then
    error(err, 0)
  end
end

local function begin_stop(control, grace)
  if not control.stopping then
    control.stopping = true
    task.go(stop_task, control, time.now() + (grace or GRACE))
  end
end

function Spread:addr()
  return self.address
end

function Spread:stop(grace)
  if not self.over:is_set() then
    begin_stop(self, grace)
  end
  return self:join()
end

function Spread:join(timeout)
  return self.over:wait(timeout)
end

function Spread:poll_()
  return self.over:is_set(), true
end

-- Is it the last shard that new connections can go to?
local function is_last(control, shard)
  for _, other in ipairs(control.list) do
    if other ~= shard and control.state[other] == "serving" then
      return false
    end
  end
  return true
end

function Spread:drain(shard)
  shard = shard or core.fleet()
  local state = self.state[shard]
  if not state then
    error(("the server does not serve on shard %s"):format(tostring(shard)), 2)
  elseif state == "serving" and not self.stopping then
    local is_alone = is_last(self, shard)
    if is_alone then
      finish_accepting(self)
    end
    self.state[shard] = "draining"
    if self.steer then
      self.steer:expel_(shard)
    end
    core.spread_open(self.spread, shard, false)
    tell(shard, "server drain", self.key, self.steer ~= nil and not is_alone)
  end
  return self.drained[shard]:wait()
end

-- What a job on another shard gave; raises what it raised.
local function outcome(ok, first, ...)
  if not ok then
    error(first, 0)
  end
  return first, ...
end

local function reload_on(control, shard)
  if control.over:is_set() or shard == core.fleet() then
    return M.reload(control.key)
  end
  return outcome(jobs.spawn_on(shard, M.reload, control.key):join())
end

function Spread:reload(shard)
  net_server.check_reload(self.module)
  if shard and not self.state[shard] then
    error(("the server does not serve on shard %s"):format(tostring(shard)), 2)
  end
  for _, one in ipairs(shard and {shard} or self.list) do
    local ok, msg, code = reload_on(self, one)
    if not ok and (shard or code ~= "ECLOSED" or self.over:is_set()) then
      return nil, msg, code, one
    end
  end
  return true
end

function Spread:shards()
  local list = {}
  for shard, state in pairs(self.state) do
    list[shard] = state ~= "ended" and self.stopping and "stopping" or state
  end
  return list
end

Spread.heard, Spread.weight = net_server.heard, net_server.weight

-- In the order in which the core has them.
local COUNTERS = {
  "accepted", "live", "waiting", "errors", "shortages", "refused", "evicted", "late",
}

local function counts_of(control, shard)
  local counts, got = {}, {core.spread_counts(control.spread, shard)}
  for i, name in ipairs(COUNTERS) do
    counts[name] = got[i]
  end
  return counts
end

function Spread:stats()
  local all = {classes = {}, shards = {}}
  for _, name in ipairs(COUNTERS) do
    all[name] = 0
  end
  for _, shard in ipairs(self.list) do
    local counts = counts_of(self, shard)
    all.shards[shard] = counts
    for _, name in ipairs(COUNTERS) do
      all[name] = all[name] + counts[name]
    end
  end
  if self.listener then
    local _, waiting, shortages = core.net_listener_counts(self.listener)
    all.waiting, all.shortages = all.waiting + waiting, all.shortages + shortages
  end
  return all
end

function Spread:__tostring()
  return ("ringlet.server: %s%s on %d shards"):format(self.name and self.name .. ", " or "",
    self.address, #self.list)
end

-- Opening.

-- Open a part on another shard: a future. The paths of what cannot travel begin with what the user
-- gave.
local function submit(control, shard, given, opts, part)
  local ok, f = pcall(jobs.spawn_on, shard, M.open, given, opts, part)
  if not ok then
    error((tostring(f):gsub("job%.args%[1%]%.run", "handler"):gsub("job%.args%[1%]", "handler")
      :gsub("job%.args%[2%]", "opts")), 0)
  end
  control.futures[shard] = f
end

local function open_one(control, shard, given, opts, part)
  if shard == core.fleet() then
    return M.open(given, opts, part)
  elseif not control.futures[shard] then
    submit(control, shard, given, opts, part)
  end
  return outcome(control.futures[shard]:join())
end

-- A copy of what all parts have in common.
local function part_of(common)
  local part = {}
  for k, v in pairs(common) do
    part[k] = v
  end
  return part
end

-- Open every part: true | nil, msg, code. The first says which port it is for those that listen.
local function open_parts(control, given, opts, common)
  local first = control.list[1]
  local address, msg, code = open_one(control, first, given, opts, part_of(common))
  if not address then
    return nil, msg, code
  end
  control.address, common.address = address, address
  if not common.is_inlet then
    common.host, common.port = core.net_split(address)
  end
  for i = 2, #control.list do
    if control.list[i] ~= core.fleet() then
      submit(control, control.list[i], given, opts, part_of(common))
    end
  end
  for i = 2, #control.list do
    address, msg, code = open_one(control, control.list[i], given, opts, part_of(common))
    if not address then
      return nil, msg, code
    end
  end
  return true
end

-- Some shard failed, or this task was cancelled meanwhile: end what others have begun, or will
-- have.
local function undo(control)
  for shard, f in pairs(control.futures) do
    if f:status() == "pending" then
      f:cancel()
    end
    f:join()
    tell(shard, "server end", control.key)
  end
  tell(core.fleet(), "server end", control.key)
  if control.listener then
    control.listener:close()
  end
end

-- Everything that net.serve was given but what is for the control alone.
local function options_of(opts)
  local out = {}
  for k, v in pairs(opts) do
    if k ~= "shards" and k ~= "accept" and k ~= "placement" then
      out[k] = v
    end
  end
  return out
end

local function clean(given)
  return {run = given.run, on_open = given.on_open, on_data = given.on_data,
    on_close = given.on_close, protocol = given.protocol, on_request = given.on_request,
    http = given.http}
end

local function new_control(opts, shards)
  last = last + 1
  local own = core.fleet()
  local max = opts.max_connections or net_server.MAX_CONNECTIONS
  local control = setmetatable({
    key = own .. "." .. last, list = shards, state = {}, drained = {}, futures = {},
    live_parts = #shards, name = opts.name, daemon = opts.daemon, stopping = false,
    max = math.ceil(max / #shards), over = sync.event(), accepted = sync.event(),
    room = sync.event(),
  }, Spread)
  control.spread = core.spread(control.max, opts.placement ~= "turn")
  if not core.net_is_alone() then -- a simulated network has no kernel to steer
    control.steer = opts.steer
  end
  control.q = control.over.q
  for _, shard in ipairs(shards) do
    control.state[shard], control.drained[shard] = "serving", sync.event()
  end
  return control
end

-- A simulated shard has a network of its own: what is accepted stays where it was.
local function open_seats(control)
  for _, shard in ipairs(control.list) do
    core.spread_open(control.spread, shard, not core.net_is_alone() or shard == core.fleet())
  end
end

local function start(control)
  run.stoppers[control] = function(grace)
    begin_stop(control, grace)
  end
  if control.listener then
    if not control.daemon then
      core.net_hold(control.listener)
    end
    open_seats(control)
    task.daemon(accept_task, control)
  end
  return control
end

local function contains(list, value)
  for _, v in ipairs(list) do
    if v == value then
      return true
    end
  end
  return false
end

-- What net.serve does when several shards serve, or another one.
function M.serve(host, port, given, opts, shards)
  local own = core.fleet()
  local control = new_control(opts, shards)
  control.module = given.protocol and require(given.protocol).module_of(given)
  local common = {key = control.key, home = own, spread = control.spread, max = control.max,
    host = host, port = port,
    addresses = opts.max_per_address and core.shared_dict(0, false) or nil}
  local is_handover = opts.accept == "handover"
  if is_handover and core.net_is_alone() and not contains(shards, own) then
    error("shards: simulated shards cannot hand connections over", 3)
  end
  if control.steer then
    local ok, msg, code = control.steer:begin_(shards)
    if not ok then
      return nil, msg, code
    end
  end
  opts, given = options_of(opts), clean(given)
  opts.steer = control.steer
  if is_handover then
    local msg, code
    control.listener, msg, code = net_listen.open(host, port, opts)
    if not control.listener then
      return nil, msg, code
    end
    common.is_inlet, common.address = true, control.listener:addr()
  end
  controls[control.key] = control
  local ok, done, msg, code = pcall(open_parts, control, given, opts, common)
  if ok and done then
    return start(control)
  end
  controls[control.key] = nil
  task.go(undo, control):join()
  if not ok then
    error(done, 0)
  end
  return nil, msg, code
end

return M
