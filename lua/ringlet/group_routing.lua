-- SPDX-License-Identifier: MIT
-- group_routing: from a group's key to its logical shard.
--
-- What the shards tell each other is a plan, {kind, n, names, opts} or {fn, n}, from which each
-- makes the same function. A router of the kind "bounded" knows loads, so one shard alone, the
-- group's home, has it: there a key is pinned to its logical shard while calls of it are in flight,
-- and the load of a logical shard is its calls in flight.

local core = require "ringlet.core"
local router = require "ringlet.router"

local M = {}

local DEFAULT = "ring"
local ROUTER = getmetatable(router.mod(1))

local function is_whole(n)
  return type(n) == "number" and n >= 1 and n == math.floor(n)
end
M.is_whole = is_whole

local function of_router(r, n)
  if n and n ~= r.n then
    error(("the router has %d nodes, the group %d logical shards"):format(r.n, n), 0)
  end
  local opts = {}
  for name, value in pairs(r.opts) do
    opts[name] = value
  end
  opts.is_inherited = nil
  return {kind = r.kind, n = r.n, names = r.names, opts = opts}
end

-- The options of a router for n nodes: weights of others are left out.
local function opts_for(plan)
  if not plan.opts or not plan.opts.weights or plan.names then
    return plan.opts
  end
  local opts, weights = {}, {}
  for name, value in pairs(plan.opts) do
    opts[name] = value
  end
  for node, weight in pairs(plan.opts.weights) do
    weights[node] = node <= plan.n and weight or nil
  end
  opts.weights = weights
  return opts
end

-- The router of a plan that has one.
function M.router(plan)
  return router.new(plan.kind, plan.names or plan.n, opts_for(plan))
end

-- A plan from the options `router` and `shards`. Raises without a position.
function M.plan(given, n)
  if getmetatable(given) == ROUTER then
    return of_router(given, n)
  elseif not is_whole(n) then
    error("option 'shards' must be a whole number of at least 1", 0)
  elseif type(given) == "function" then
    return {fn = given, n = n}
  end
  local plan = {kind = given or DEFAULT, n = n}
  M.router(plan) -- raises when there is none of that name
  return plan
end

-- The same for another number of logical shards; nil and why not.
function M.resized(plan, n)
  if plan.names then
    return nil, "the nodes of its router have names"
  end
  return {kind = plan.kind, fn = plan.fn, n = n, opts = plan.opts}
end

function M.is_bounded(plan)
  return plan.kind == "bounded"
end

-- function(key) -> index, of a plan that is not bounded; raises what is no key.
function M.finder(plan)
  if not plan.fn then
    return M.router(plan).find
  end
  local fn, n = plan.fn, plan.n
  return function(key)
    local index = fn(key, n)
    if not is_whole(index) or index > n then
      error(("the router gave %s, not a whole number from 1 to %d"):format(tostring(index), n), 4)
    end
    return index
  end
end

-- ---- pins of a bounded group, at its home -------------------------------------------------------

-- A router with one unit of load, which others can be given.
local function unit()
  local one = router.bounded(1)
  one:acquire(0)
  return one.router
end

-- Pins: {router, n, by key {key, index, calls}, by ticket -> pin}. A ticket is a call's.
function M.pins(plan)
  return {router = M.router(plan), n = plan.n, unit = unit(), keys = {}, tickets = {}}
end

-- Does this key stay where it is, though there shall be fewer logical shards?
function M.is_pinned_above(pins, key, n)
  local pin = pins.keys[key]
  return pin ~= nil and pin.index > n
end

-- From now on there are others. What is pinned stays so, and its load with it.
function M.resize_pins(pins, plan)
  pins.router, pins.n = pins.router:with(plan.n), plan.n
end

-- The logical shard of a call: that of the key's other calls, else the first that has room.
function M.pin(pins, ticket, key)
  local pin = pins.keys[key]
  if not pin then
    pin = {key = key, index = pins.router:acquire(key), calls = 0}
    pins.keys[key] = pin
  elseif pin.index <= pins.n then
    core.router_carry(pins.router.router, pin.index, pins.unit, 1)
  end
  pin.calls = pin.calls + 1
  pins.tickets[ticket] = pin
  return pin.index
end

-- A call has ended.
function M.unpin(pins, ticket)
  local pin = pins.tickets[ticket]
  if not pin then
    return
  end
  pins.tickets[ticket] = nil
  pin.calls = pin.calls - 1
  if pin.calls == 0 then
    pins.keys[pin.key] = nil
  end
  if pin.index <= pins.n then
    core.router_release(pins.router.router, pin.index) -- had load unless a shrink was taken back
  end
end

-- Where the call of a ticket is, or nil.
function M.pinned_at(pins, ticket)
  local pin = pins.tickets[ticket]
  return pin and pin.index
end

return M
