-- SPDX-License-Identifier: MIT
-- http_client_hosts: the connections of an HTTP client: a pool of resources for each host, which
-- has most of the rules, and a limit over all of them.
--
-- A resource is a link, {conn, host, served}: a connection with the number of requests that it has
-- served. Whoever borrows one gets it with nothing on the way in either direction.
--
-- Invariants: `used`, the places taken, is how many connections are open, being opened and being
-- closed, over all hosts: never more than `max_total`. A host is hungry while an opening of its
-- pool waits for a place. A place that becomes free is for the hungry host whose borrower has
-- waited longest; so is a connection that comes back, unless its own host has one who has waited
-- longer. While a host is hungry nothing stays idle: it is closed, the longest idle first.

local core = require "ringlet.core"
local fail = require "ringlet.fail"
local net = require "ringlet.net"
local resources = require "ringlet.resources"
local run_stop = require "ringlet.run_stop"

local http_is_idle, http_drop = core.http_is_idle, core.http_drop
local now, waits = core.now, core.waits
local HUGE = math.huge
local REASON = core.reasons["resource acquire"]

local M = {}

local SWEEP_FROM = 64
local CLOSED = "ECLOSED: the client is closed"
local NOBODY = "ECANCELED: nobody waits for the connection any more"

-- ---- places -------------------------------------------------------------------------------------

-- Since when the first borrower of a host waits.
local function waits_since(host)
  local first = host.pool.first
  return first and first.since or HUGE
end

-- The hungry host whose borrower has waited longest, or nil.
local function most_urgent(places)
  local found, since = nil, HUGE
  for _, host in ipairs(places.hungry) do
    local at = waits_since(host)
    if at < since and waits(host.queue, 1) then
      found, since = host, at
    end
  end
  return found
end

-- One opening of a host waits no more.
local function leave(places, host)
  host.hungry = host.hungry - 1
  local list = places.hungry
  for i = 1, host.hungry == 0 and #list or 0 do
    if list[i] == host then
      table.remove(list, i)
      return
    end
  end
end

local function give_place(places)
  local host = most_urgent(places)
  if host then
    leave(places, host)
    core.wake(host.queue, true)
  else
    places.used = places.used - 1
  end
end

-- Close the longest idle connection of all hosts, if there is one.
local function make_room(hosts)
  local found, since = nil, HUGE
  for _, host in pairs(hosts.by_key) do
    local pool = host.pool
    local at = pool.idle_len > 0 and pool.idle[1].since or HUGE
    if at < since or found and at == since and host.id < found.id then
      found, since = host, at
    end
  end
  if found then
    found.pool:trim(found.pool.idle_len - 1)
  end
end

-- An opening whose borrower has been served, or has given up, waits no more.
local function end_surplus(places, host)
  while host.hungry > host.pool.waiting and waits(host.queue, 1) do
    leave(places, host)
    core.wake(host.queue, false)
  end
end

-- Have a place, or wait for one. false: nobody needs it any more.
local function take_place(hosts, host)
  local places = hosts.places
  if places.used < hosts.max_total then
    places.used = places.used + 1
    return true
  elseif host.hungry == 0 then
    places.hungry[#places.hungry + 1] = host
  end
  host.hungry = host.hungry + 1
  make_room(hosts)
  local ok, code = core.wait(host.queue, nil, REASON)
  if ok == nil then
    leave(places, host)
    fail(code)
  end
  return ok
end

-- ---- opening and closing ------------------------------------------------------------------------

local function open(hosts, host)
  local places = hosts.places
  while not take_place(hosts, host) do
    if not host.pool.first then
      return nil, NOBODY, "ECANCELED"
    end
  end
  local ok, conn, msg, code = pcall(net.connect, host.addr, hosts.connect)
  if ok and conn then
    return {conn = conn, host = host, places = places, served = 0}
  end
  give_place(places)
  if not ok then
    error(conn, 0)
  end
  return nil, ("%s, connecting to %s"):format(msg, host.addr), code
end

local function close(link)
  http_drop(link.conn)
  give_place(link.places)
end

-- ---- hosts --------------------------------------------------------------------------------------

local function is_unused(host)
  local pool = host.pool
  return pool.total == 0 and pool.waiting == 0 and host.hungry == 0
end

-- Forget hosts with which there is no connection, each time that their number has doubled.
local function sweep(hosts)
  local left = 0
  for key, host in pairs(hosts.by_key) do
    if is_unused(host) then
      hosts.by_key[key] = nil
    else
      left = left + 1
    end
  end
  hosts.count, hosts.sweep_at = left, math.max(2 * left, SWEEP_FROM)
end

local function add_host(hosts, addr)
  if hosts.count >= hosts.sweep_at then
    sweep(hosts)
  end
  hosts.last_id = hosts.last_id + 1
  local host = {
    id = hosts.last_id, addr = addr, queue = core.waitq(), hungry = 0, hosts = hosts,
  }
  local opts = {name = addr, close = close}
  for name, v in pairs(hosts.rules) do
    opts[name] = v
  end
  function opts.open()
    return open(hosts, host)
  end
  host.pool = resources.new(opts)
  hosts.by_key[addr] = host
  hosts.count = hosts.count + 1
  return host
end

-- ---- borrowing ----------------------------------------------------------------------------------

-- A connection to "host:port" on which nothing is on the way, within t seconds.
function M.borrow(hosts, addr, t)
  if hosts.closed then
    return nil, CLOSED, "ECLOSED"
  end
  local host = hosts.by_key[addr] or add_host(hosts, addr)
  local pool = host.pool
  if host.hungry > 0 then
    make_room(hosts)
  end
  local due = t and t < HUGE and now() + t
  while true do
    local link, msg, code = pool:acquire(t)
    if not link then
      end_surplus(hosts.places, host)
      return nil, msg, code
    elseif link.served == 0 or http_is_idle(link.conn) then
      return link
    end
    hosts.stale = hosts.stale + 1
    pool:discard(link)
    t = due and math.max(due - now(), 0)
  end
end

-- A connection on which a response was read to its end.
function M.give_back(link)
  local host = link.host
  local hosts = host.hosts
  link.served = link.served + 1
  if #hosts.places.hungry == 0 then
    host.pool:release(link)
    return
  end
  local other = most_urgent(hosts.places)
  if other and other ~= host and waits_since(other) < waits_since(host) then
    host.pool:discard(link)
    return
  end
  host.pool:release(link)
  end_surplus(hosts.places, host)
  if other then
    make_room(hosts)
  end
end

-- A connection that is not to be used any more. It ends at once.
function M.discard(link)
  http_drop(link.conn)
  link.host.pool:discard(link)
end

-- ---- all of them --------------------------------------------------------------------------------

local all = setmetatable({}, {__mode = "k"})

local function begin(hosts)
  hosts.by_key, hosts.count, hosts.sweep_at = {}, 0, SWEEP_FROM
  hosts.places = {used = 0, hungry = {}}
end

-- The connections end with the run.
run_stop.endings[#run_stop.endings + 1] = function()
  for hosts in pairs(all) do
    begin(hosts)
  end
end

-- `rules` are options of resources, the same for each host; `connect` are options of net.connect.
function M.new(rules, max_total, connect)
  local hosts = {
    rules = rules, max_total = max_total, connect = connect, closed = false, stale = 0, last_id = 0,
  }
  begin(hosts)
  all[hosts] = true
  return hosts
end

local SUMS = {"open", "idle", "opening", "waiting", "opened"}

-- What there is, over all hosts.
function M.stats(hosts)
  local sum = {hosts = 0, open = 0, idle = 0, opening = 0, waiting = 0, opened = 0}
  for _, host in pairs(hosts.by_key) do
    local stats = host.pool:stats()
    for _, name in ipairs(SUMS) do
      sum[name] = sum[name] + stats[name]
    end
    sum.hosts = sum.hosts + (stats.open > 0 and 1 or 0)
  end
  sum.busy, sum.stale = sum.open - sum.idle, hosts.stale
  return sum
end

-- Close what is idle now.
function M.close_idle(hosts)
  for _, host in pairs(hosts.by_key) do
    host.pool:trim(0)
  end
end

-- Connections that are kept to be used again are nobody's leak.
run_stop.spares[#run_stop.spares + 1] = function()
  for hosts in pairs(all) do
    M.close_idle(hosts)
  end
end

-- Close what is idle now, and what is borrowed when it comes back.
function M.close(hosts)
  hosts.closed = true
  for _, host in pairs(hosts.by_key) do
    host.pool:close()
    end_surplus(hosts.places, host)
  end
end

return M
