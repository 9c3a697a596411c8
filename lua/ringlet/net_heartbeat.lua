-- SPDX-License-Identifier: MIT
-- net_heartbeat: which connections of a server are alive and how they fare, on one shard. Level 1
-- is the kernel's (net_keepalive.lua); here are heartbeats of the application, which carry a load,
-- and the clock of the checks that evict (net_evict.lua).
--
-- A connection is known by its index, which the core gives. What is kept of it lies in lists by
-- index: a connection has no table, and a server one timer, set for whatever comes next. Each of
-- `beats`, who is to be sent a heartbeat, `asks`, who must have answered by then, and `lates`,
-- whose heartbeat will be late, has one period for all, so it is in order by itself.
--
-- Heartbeats either come by themselves and are told of by `heard`, or are answers to ours (pongs):
-- then nobody need tell of each, the protocol is asked when the time of an answer is over.
--
-- Invariants: `conns` has every connection from `enter` to `leave`; `heard[i]` is set exactly while
-- heartbeats are expected of it, and then it is on `lates`, unless `ways[i]` says how to ask; no
-- timer is set while none lives.
-- Users' functions run in tasks of our own, which may park: before each round the timer is set
-- again, so that others do not wait for one that does.

local cancel = require "ringlet.cancel"
local core = require "ringlet.core"
local evict = require "ringlet.net_evict"
local keepalive = require "ringlet.net_keepalive"
local net_load = require "ringlet.net_load"
local new_list = require("ringlet.due_list").new
local options = require "ringlet.options"
local run_stop = require "ringlet.run_stop"
local task = require "ringlet.task"
local time = require "ringlet.time"
local traced = require "ringlet.traced"

local M = {}

local EVERY, LATE, CHECK = 10, 5, 60
-- Heartbeats due within so many seconds are sent together, and so long others wait for a function
-- that parks.
local TOGETHER = 0.1
-- A weight is halved and doubled between these.
local LEAST, FULL = 1 / 16, 1
-- Times of timers are rounded.
local EPSILON = 1e-6

local Heart = {}
Heart.__index = Heart

-- owner of connections -> heart
local hearts = {}

run_stop.endings[#run_stop.endings + 1] = function()
  hearts = {}
end

-- ---- options ------------------------------------------------------------------------------------

local KNOWN = {
  keepalive = "boolean|table", every = "number", late = "number", beat = "function",
  on_weight = "function", check = "number", max_load = "number", metrics = "function",
  batch = "number", share = "number", idle = "number", classify = "function",
  on_evict = "function",
}
local BOUNDS = {
  every = {above = 0}, late = {above = 0}, check = {above = 0, infinite = true},
  max_load = {min = 0, infinite = true}, batch = {min = 1, whole = true},
  share = {min = 0, max = 1}, idle = {min = 0},
}

--- Check the option `heartbeat` of net.serve; raises at `level`.
function M.check(given, level)
  level = level + 1
  if type(given) == "table" then
    options.bounds(options.check(given, KNOWN, level), BOUNDS, level)
    keepalive.check(given.keepalive, level)
  end
end

-- ---- users' functions ---------------------------------------------------------------------------

-- true and two values that fn gives; false when it raised, which is told as other errors of
-- handlers are.
function Heart:try(fn, ...)
  local ok, v, more = traced.call(fn, ...)
  if ok then
    return true, v, more
  end
  if not cancel.is_cancel(v) then
    self.server.errors = self.server.errors + 1
    task.report(v, more, task.self())
  end
  return false
end

local function run(self, fn, ...)
  local ok, err = pcall(fn, self, ...)
  self.tasks[task.self()] = nil
  if not ok then
    error(err, 0)
  end
end

--- Run fn(heart, ...) in a task that ends with the server.
function Heart:start(fn, ...)
  self.tasks[task.daemon(run, self, fn, ...)] = true
end

-- ---- the timer ----------------------------------------------------------------------------------

local function next_due(self)
  local _, beat = self.beats:first()
  local _, late = self.lates:first()
  local _, ask = self.asks:first()
  return math.min(beat or math.huge, late or math.huge, ask or math.huge,
    self.check_at or math.huge)
end

local fired

-- Wake up for what comes next, at `least` or later.
local function arm(self, least)
  local at = math.max(next_due(self), least or 0)
  if at >= self.armed then
    return
  elseif self.timer then
    time.cancel_call(self.timer)
  end
  self.armed = at
  self.timer = time.call_after(math.max(0, at - core.now()), function()
    fired(self)
  end)
end

local function disarm(self)
  if self.timer then
    time.cancel_call(self.timer)
  end
  self.timer, self.armed, self.check_at = nil, math.huge, nil
end

-- ---- weights ------------------------------------------------------------------------------------

local function set_weight(self, i, weight)
  self.weights[i] = weight ~= FULL and weight or nil
  if self.opts.on_weight then
    self:try(self.opts.on_weight, self.conns[i], weight, self.loads[i])
  end
end

-- A heartbeat is late.
local function miss(self, i)
  local weight = self.weights[i] or FULL
  self.missed[i] = true
  self.late = self.late + 1
  if weight > LEAST then
    set_weight(self, i, weight / 2)
  end
end

-- After that many seconds without a heartbeat it is late.
local function patience(self)
  return self.every + self.grace + EPSILON
end

-- From now on heartbeats are expected of it.
local function expect(self, i, now)
  self.heard[i] = now
  self.lates:push(i, now + patience(self))
end

local function note_late(self)
  local now = core.now()
  local i = self.lates:due(now)
  while i do
    self.lates:push(i, now + patience(self))
    miss(self, i)
    i = self.lates:due(now)
  end
end

-- The heart of a connection and its index there; nothing when it has none.
local function find(conn)
  local self = hearts[core.net_owner(conn)]
  local i = self and core.conn_index(conn)
  if i and self.conns[i] == conn then
    return self, i
  end
end

-- One has come in time.
local function recover(self, i)
  if self.weights[i] then
    set_weight(self, i, math.min(FULL, self.weights[i] * 2))
  end
end

--- A heartbeat has come; `load` is what it told. Was somebody interested?
function M.heard(conn, load)
  local self, i = find(conn)
  if not self then
    return false
  end
  local now, heard = core.now(), self.heard[i]
  if heard and not self.missed[i] and now - heard > patience(self) then
    miss(self, i) -- the timer is about to tell
  end
  local missed = self.missed[i]
  self.missed[i], self.loads[i] = nil, load
  expect(self, i, now)
  arm(self)
  if not missed then
    recover(self, i)
  end
  return true
end

-- Whoever was sent a heartbeat has had the time to answer.
local function ask(self)
  local i = self.asks:due(core.now())
  while i do
    local sent = self.asks.at[i] - self.grace - EPSILON
    local ok, at, load = self:try(self.ways[i].heard, self.conns[i])
    self.asks:remove(i)
    if ok and at and at >= sent then
      self.heard[i], self.loads[i] = at, load
      recover(self, i)
    else
      miss(self, i)
    end
    i = self.asks:due(core.now())
  end
end

--- Weight, load as told, seconds since then; 1 for one that no heartbeats are expected of.
function M.weight(conn)
  local self, i = find(conn)
  if not self or not self.heard[i] then
    return FULL
  end
  return self.weights[i] or FULL, self.loads[i], core.now() - self.heard[i]
end

-- ---- sending ------------------------------------------------------------------------------------

-- One whose function has parked is on no list meanwhile.
local function send_one(self, i)
  local conn, way, at, now = self.conns[i], self.ways[i], self.beats.at[i], core.now()
  self.beats:remove(i)
  if way.heard then
    self.asks:push(i, now + self.grace + EPSILON)
  end
  if not self:try(way.beat, conn, net_load.to_tell(self)) then
    conn:close()
  elseif self.conns[i] == conn and self.ways[i] == way then
    self.beats:push(i, math.max(at + self.every, core.now()))
  end
end

local function send(self)
  local till = core.now() + TOGETHER
  local i = self.beats:due(till)
  while i do
    send_one(self, i)
    i = self.beats:due(till)
  end
end

-- ---- checks -------------------------------------------------------------------------------------

local function check(self)
  local now = core.now()
  if not self.check_at or self.check_at > now + EPSILON then
    return
  end
  self.check_at = math.max(self.check_at, now - EPSILON) + self.check_every
  if self.checking then
    return
  end
  self.checking = true
  local load = net_load.measure(self, self.since_check)
  if load and load > self.max_load then
    evict.round(self, load)
  end
  self.checking = false
end

local function attend(self)
  arm(self, core.now() + TOGETHER)
  note_late(self)
  ask(self)
  send(self)
  check(self)
  arm(self)
end

function fired(self)
  self.timer, self.armed = nil, math.huge
  self:start(attend)
end

-- ---- connections --------------------------------------------------------------------------------

local function classify(self, conn)
  local ok, class
  if self.opts.classify then
    ok, class = self:try(self.opts.classify, conn)
    if ok and class ~= nil and not evict.KINDS[class] then
      self:try(error, ("classify: %q is no class"):format(tostring(class)), 0)
      class = nil
    end
  end
  return class or self.opts.beat and "long" or "short"
end

-- For net_server: a connection has begun.
function Heart:enter(conn)
  local i = core.conn_index(conn)
  if not i then
    return
  end
  if self.n == 0 then
    self.check_at = core.now() + self.check_every
    self.since_check = net_load.begin()
  end
  self.n, self.conns[i], self.top = self.n + 1, conn, math.max(self.top, i)
  core.conn_kind(conn, evict.KINDS[classify(self, conn)])
  if self.own_way then
    M.expect(conn, self.own_way)
  end
  arm(self)
end

-- For net_server: it has ended.
function Heart:leave(conn)
  local i = core.conn_index(conn)
  if not i or self.conns[i] ~= conn then
    return
  end
  self.beats:remove(i)
  self.lates:remove(i)
  self.asks:remove(i)
  self.conns[i], self.heard[i], self.missed[i], self.weights[i] = nil, nil, nil, nil
  self.loads[i], self.ways[i] = nil, nil
  self.n = self.n - 1
  if self.n == 0 then
    disarm(self)
    self.top = 0
  end
end

--- For protocols: from now on this connection is a long-lived one, of which heartbeats are
-- expected. What they are is in `way`, a table that many may have: beat(conn, load) sends one, each
-- `every` seconds; heard(conn) -> when the last answer to it came and the load that it told, if
-- `M.heard` is not called for each; close(conn, why) is called before it is evicted. All are
-- optional, but `heard` needs `beat`. False when its server has no heartbeats.
function M.expect(conn, way)
  local self, i = find(conn)
  if not self then
    return false
  end
  local now = core.now()
  if core.conn_kind(conn) == evict.KINDS.short then
    core.conn_kind(conn, evict.KINDS.long)
  end
  self.ways[i], self.heard[i] = way, now
  self.asks:remove(i)
  self.lates:remove(i)
  self.beats:remove(i)
  if way.beat then
    self.beats:push(i, now + self.every)
  end
  if not way.heard then
    expect(self, i, now)
  end
  arm(self)
  return true
end

-- ---- life ---------------------------------------------------------------------------------------

--- For a server, which has this option.
function M.new(server, given)
  local opts = type(given) == "table" and given or {}
  local self = setmetatable({
    server = server, opts = opts, n = 0, top = 0, tasks = {}, conns = {}, heard = {}, missed = {},
    weights = {}, loads = {}, ways = {}, own_way = opts.beat and {beat = opts.beat},
    beats = new_list(), lates = new_list(), asks = new_list(), late = 0, evicted = 0,
    every = opts.every or EVERY, grace = opts.late or LATE, check_every = opts.check or CHECK,
    armed = math.huge, checking = false,
  }, Heart)
  net_load.init(self)
  evict.init(self, opts)
  hearts[server.id] = self
  return self
end

-- For net_server: it is over.
function Heart:stop()
  disarm(self)
  hearts[self.server.id] = nil
  for h in pairs(self.tasks) do
    h:cancel("server stopped")
  end
end

return M
