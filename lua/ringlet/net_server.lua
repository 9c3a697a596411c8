-- SPDX-License-Identifier: MIT
-- Servers: what net.serve returns. One daemon accepts; then either each connection has a task, or a
-- crew of workers handles whatever arrives (see src/rt/crew.h).
--
-- Invariants: `live` counts connections accepted and not ended, and each ends once, in `ended`;
-- while `live` is at the limit accepting is paused; `empty` is set exactly while none lives. In C
-- every connection knows its server (`owner`). `conns` holds connections: with a handler that is a
-- function by the slot of their task, else by their own. `workers` are the other tasks that handle
-- connections. Whatever ends a server, `over` is the last that happens to it.
--
-- A server on several shards is one of these on each (a part: `part` has what it tells, and whom)
-- and an object for all of them (net_spread.lua).

local cancel = require "ringlet.cancel"
local core = require "ringlet.core"
local fail = require "ringlet.fail"
local net_address = require "ringlet.net_address"
local net_conn = require "ringlet.net_conn"
local net_heartbeat = require "ringlet.net_heartbeat"
local priority = require "ringlet.priority"
local run = require "ringlet.run_stop"
local sync = require "ringlet.sync"
local task = require "ringlet.task"
local time = require "ringlet.time"
local traced = require "ringlet.traced"

local threads = core.tables()
local next_news = core.net_next

local M = {}

local MAX_CONNECTIONS = 65536
M.MAX_CONNECTIONS = MAX_CONNECTIONS
local GRACE = 10
local BATCH = 64
-- Bits of an IPv6 address that tell whose it is: what one household gets.
local PREFIX = 64
-- While a server stops, a connection that has sent nothing yet is given that many seconds.
local FIRST = 1

--- @module ringlet.net

--- A running server, from `net.serve`.
-- @type server
local Server = {}
Server.__index = Server

-- What came of a handler: reports a failure that is no cancellation; true if there was none.
local function succeeded(server, ok, err, trace)
  if not ok and not cancel.is_cancel(err) then
    server.errors = server.errors + 1
    task.report(err, trace, task.self())
  end
  return ok
end

-- The end of a connection, whichever it was.
local function ended(server, conn)
  if server.addresses then
    server.addresses:leave(conn)
  end
  if server.heart then
    server.heart:leave(conn)
  end
  conn:close()
  server.live = server.live - 1
  if server.part then
    server.part.counted(server, true)
  end
  if server.live == 0 then
    server.empty:set()
  end
  server.room:set()
end

-- A task for each connection: the handler itself, with nothing below it, because a coroutine that
-- waits costs as much as its stack. It has no handle unless somebody asks; its connection is its
-- ward.

local servers = setmetatable({}, {__mode = "v"})

function task.on_ward_end(conn, ok, err)
  local server = servers[core.net_owner(conn)]
  if not server then -- it was over, and nobody has it any more
    conn:close()
    return
  end
  if not ok and not cancel.is_cancel(err) then
    server.errors = server.errors + 1
  end
  ended(server, conn)
end

local function start_task(server, conn)
  local slot = core.spawn(threads, 0, server.handler, conn)
  task.wards[slot] = conn
  core.watch_end(slot)
  task.tell_of(slot)
  core.net_claim(conn, server.id)
  if server.classifier then
    core.net_classify(conn, slot)
    core.priority(slot, core.net_priority(conn))
  end
end

-- Workers. A connection is served from the moment it is accepted until its end is handled.

-- Tell the handler of the end: an error's message and code, or nothing.
local function close_served(server, conn, code)
  core.net_crew_remove(conn, server.conns)
  local on_close = server.on_close
  if on_close then
    local _, msg, name
    if code and not server.quiet[code] then
      _, msg, name = fail(code)
    end
    succeeded(server, traced.call(on_close, conn, msg, name))
  end
  ended(server, conn)
end

-- While the server stops, whoever has been answered is not waited for.
local function close_answered(conn)
  local stats = core.conn_stats(conn)
  if stats and stats.queued_in == 0 and stats.bytes_in > 0 then
    conn:close()
  end
end

local start_worker

local function work(server)
  local crew, conns, on_data, buffers = server.crew, server.conns, server.on_data, server.buffers
  local conn, data, code, alone
  while true do
    conn, data, code, alone = next_news(crew, conn, conns, buffers)
    if conn == true then
      conn = nil
    elseif not conn then
      break
    else
      if alone then
        start_worker(server)
      end
      if not data then
        close_served(server, conn, code)
        conn = nil
      elseif not succeeded(server, traced.call(on_data, conn, data)) then
        conn:close()
      elseif server.stopping then
        close_answered(conn)
      end
    end
  end
  server.workers[task.self()] = nil
end

-- Workers of a protocol above start others as well.
function start_worker(server)
  local h = task.daemon(server.work, server)
  server.workers[h], task.workers[h] = true, true
  if server.classifier then -- until it has something to handle, whose priority it then gets
    core.priority(h[1], priority.CRITICAL)
  end
end

M.close_served, M.start_worker, M.succeeded = close_served, start_worker, succeeded

local function open_served(server, conn)
  if not succeeded(server, traced.call(server.on_open, conn)) then
    conn:close()
  elseif server.stopping then
    close_answered(conn)
  end
  core.net_rest(conn)
  server.workers[task.self()] = nil
end

local function start_served(server, conn)
  core.net_claim(conn, server.id)
  core.net_crew_add(server.crew, conn, server.conns)
  if server.classifier then
    core.net_classify(conn)
  end
  if server.on_open then
    local h = task.go(open_served, server, conn)
    core.priority(h[1], core.net_priority(conn))
    server.workers[h] = true
  else
    core.net_rest(conn)
  end
end

-- Accepting.

local function wait_for_room(server)
  core.net_accept_pause(server.listener, true)
  while server.live >= server.max do
    server.room:clear()
    server.room:wait()
  end
  core.net_accept_pause(server.listener, false)
end

local function begin(server, conn)
  server.live = server.live + 1
  server.empty:clear()
  if server.part then
    server.part.counted(server)
  end
  net_conn.configure(conn, server.opts)
  server.start_conn(server, conn)
  if server.heart then
    server.heart:enter(conn)
  end
end

-- Its address has enough of them.
local function refuse(server, conn)
  server.refused = server.refused + 1
  conn:abort()
  if server.part then
    server.part.counted(server, true)
  end
end

-- Until the listener is closed, or this task is cancelled. Now and then the others get a turn.
local function accept_all(server)
  for n = 1, math.huge do
    if server.live >= server.max then
      wait_for_room(server)
    elseif n % BATCH == 0 then
      time.yield()
    end
    local conn = server.listener:accept()
    if not conn then
      break
    end
    if not server.addresses or server.addresses:enter(conn) then
      begin(server, conn)
    else
      refuse(server, conn)
    end
  end
end

-- Stopping.

-- Nothing is left that could go on.
local function over(server)
  if server.crew then
    core.net_crew_stop(server.crew)
  end
  if server.heart then
    server.heart:stop()
  end
  if server.classifier then
    core.net_classifier_close(server.classifier)
  end
  run.stoppers[server] = nil
  server.drained:set()
  server.over:set()
  if server.part then
    server.part.over(server)
  end
end

-- Close connections that no handler is at work on; `fresh`: those too that have sent nothing yet.
local function close_idle(server, fresh)
  for _, conn in pairs(server.conns) do
    if not core.net_is_busy(conn) then
      local stats = not fresh and core.conn_stats(conn)
      if not stats or stats.bytes_in > 0 then
        conn:close()
      end
    end
  end
end

local function handles(server, h)
  local ward = server.handler and task.wards[h[1]]
  return server.workers[h] or ward and core.net_owner(ward) == server.id
end

local function cancel_all(server)
  core.net_abort_owned(server.id)
  for _, h in ipairs(task.all()) do
    if handles(server, h) then
      h:cancel("server stopped")
    end
  end
  if server.crew then
    start_worker(server) -- somebody must handle the ends
  end
end

local function wait_empty(server, grace)
  return server.live == 0 or server.empty:wait(grace)
end

-- The kernel steers nothing new here any more.
local function leave(server)
  local seat = server.part and server.part.seat
  if seat then
    seat:leave()
  end
end

-- Without parking, because the run is being ended and this task with it.
local function end_at_once(server)
  server.stopping = true
  leave(server)
  server.listener:close()
  cancel_all(server)
  task.daemon(function()
    local ok, err = pcall(wait_empty, server)
    over(server)
    if not ok then
      error(err, 0)
    end
  end)
end

-- Take what the kernel has queued, unless it can move that to another shard's listener, then listen
-- no more. False when that took until `due`.
local function finish_accepting(server, due)
  core.net_finish(server.listener, server.moves)
  local ok = server.accepted:wait(due and math.max(0, due - time.now()))
  server.listener:close()
  while core.net_listener_ended(server.listener) == true do end
  return ok
end

-- Let what was accepted come to its end, as long as the grace lasts.
local function settle(server, due)
  if server.crew then
    close_idle(server)
    wait_empty(server, math.max(0, math.min(FIRST, due - time.now())))
    close_idle(server, true)
  end
  if not wait_empty(server, math.max(0, due - time.now())) then
    cancel_all(server)
    wait_empty(server)
  end
  over(server)
end

local function stop(server, due)
  if server.crew then
    close_idle(server)
  end
  finish_accepting(server, due)
  settle(server, due)
end

-- The connections are left alone.
local function drain(server)
  finish_accepting(server)
  server.drained:set()
  if server.part then
    server.part.drained(server)
  end
  wait_empty(server)
  if not server.stopping then
    over(server)
  end
end

local function accept_task(server)
  local ok, err = pcall(accept_all, server)
  server.accepted:set()
  if not server.stopping and not server.draining then
    end_at_once(server)
  end
  if not ok then
    error(err, 0)
  end
end

-- Whatever becomes of a task that ends a server, the server ends.
local function ending_task(fn, server, ...)
  local ok, err = pcall(fn, server, ...)
  if not ok then
    end_at_once(server)
    error(err, 0)
  end
end

function M.begin_stop(server, grace)
  if not server.stopping then
    server.stopping = true
    leave(server)
    if server.protocol then
      server.protocol.stop(server)
    end
    task.go(ending_task, stop, server, time.now() + (grace or GRACE))
  end
end

function M.begin_drain(server, moves)
  if not server.stopping and not server.draining then
    server.draining, server.moves = true, moves
    leave(server)
    if server.protocol then
      server.protocol.drain(server)
    end
    task.go(ending_task, drain, server)
  end
end

M.end_at_once = end_at_once

--- The address it listens on, with the real port.
-- @treturn string "host:port"
function Server:addr()
  return self.address
end

--- Stop accepting, wait for the connections, then cancel what is left. What the kernel has queued
-- by then is still accepted. Connections of an `on_data` server are closed as soon as all they sent
-- is handled, idle ones at once, those that have sent nothing yet after a second; a handler that is
-- a function decides itself. When the run is stopped, its servers are, with the run's grace; when
-- it is ended, every `on_close` is still called. Idempotent: the first call sets the grace.
-- @parks until the server has ended
-- @tparam[opt=10] number grace seconds to wait
-- @treturn true
function Server:stop(grace)
  if not self.over:is_set() then
    M.begin_stop(self, grace)
  end
  return self:join()
end

--- Wait until the server has ended.
-- @parks until then; not at all if it has
-- @tparam[opt] number timeout seconds
-- @treturn true
-- @fails "ETIMEDOUT"
function Server:join(timeout)
  return self.over:wait(timeout)
end

--- Take one shard out of service, while the others go on: accept what is queued for it, then refuse
-- connections. Those it has are left alone; it ends with the last of them. Of `http.serve` they end
-- behind the answer to their next request, or when that does not come for `idle_timeout`.
--
-- A client whose handshake ends in the moment between the last accept and the close is reset,
-- unless the kernel may move it to another listener: `net.ipv4.tcp_migrate_req`, or the option
-- `steer`, with which the kernel also moves what is queued, as long as another shard serves.
-- @parks until the shard accepts no more
-- @tparam[opt] integer shard one that serves; this one by default
-- @treturn true
-- @raise when the server does not serve there
-- @source M. Iwashima, "Socket migration for SO_REUSEPORT", Linux 5.14
function Server:drain(shard)
  local own = core.fleet()
  if (shard or own) ~= own then
    error(("the server does not serve on shard %s"):format(tostring(shard)), 2)
  end
  M.begin_drain(self)
  if self.stopping then
    return self:join()
  end
  return self.drained:wait()
end

-- Of servers whose handler can be loaded again: raises for others, at the caller of the method.
function M.check_reload(module)
  if not module then
    error("only a handler that is the name of a module can be loaded again", 3)
  end
end

local OVER = "ECLOSED: the server has ended there"
M.OVER = OVER

-- One shard's: true | nil, msg, code.
function M.reload(server)
  if server.over:is_set() then
    return nil, OVER, "ECLOSED"
  end
  return server.protocol.reload(server)
end

--- Load the handler anew: of `http.serve` with the name of a module. The module is required as if
-- it had not been loaded yet - the modules that it requires are not - and handles the requests that
-- begin from then on; those under way end with the handler they began with, and so do WebSockets.
-- If it cannot be loaded, or is no handler, all goes on with the handler there was. Of several
-- shards one does it after the other, up to the first that fails.
-- @parks when it serves on other shards, until each has done it
-- @tparam[opt] integer shard one that serves; all by default
-- @treturn[1] true
-- @treturn[2] nil
-- @treturn[2] string what is wrong with the module
-- @treturn[2] string "EINVAL", or "ECLOSED" when the server has ended
-- @treturn[2] integer on which shard
-- @raise when the handler is no module, and when the server does not serve on that shard
-- @usage assert(server:reload())
function Server:reload(shard)
  M.check_reload(self.module)
  local own = core.fleet()
  if (shard or own) ~= own then
    error(("the server does not serve on shard %s"):format(tostring(shard)), 2)
  end
  local ok, msg, code = M.reload(self)
  if not ok then
    return nil, msg, code, own
  end
  return true
end

--- What became of it on each shard.
-- @treturn {[integer]=string} shard -> "serving", "draining" (it accepts no more; connections
-- live), "stopping" or "ended"
function Server:shards()
  local state = self.over:is_set() and "ended" or self.stopping and "stopping"
    or self.draining and "draining" or "serving"
  return {[(core.fleet()) or 1] = state}
end

--- What select asks of a waitable: has it ended?
-- @local
function Server:poll_()
  return self.over:is_set(), true
end

--- A heartbeat of a connection has come: the same as `conn:heard`.
-- @tparam conn conn
-- @tparam[opt] number load
-- @treturn boolean whether its server has heartbeats
function Server:heard(conn, load) -- luacheck: ignore 212
  return conn:heard(load)
end

--- The weight of a connection: the same as `conn:weight`.
-- @tparam conn conn
-- @treturn number from 1/16 to 1
-- @treturn ?number the load that the last heartbeat told
-- @treturn ?number seconds since that
function Server:weight(conn) -- luacheck: ignore 212
  return conn:weight()
end

M.heard, M.weight = Server.heard, Server.weight

-- Evicted connections and late heartbeats.
function M.heart_counts(server)
  local heart = server.heart
  if heart then
    return heart.evicted, heart.late
  end
  return 0, 0
end

--- Counters of the server. Those of other shards are as of the last connection that began or ended
-- there.
-- @treturn server_stats a new table
-- @tfield[server_stats] integer accepted connections taken so far, refused ones too
-- @tfield[server_stats] integer live connections
-- @tfield[server_stats] integer waiting accepted beyond the limit
-- @tfield[server_stats] integer errors of handlers
-- @tfield[server_stats] integer shortages times that accepting paused for lack of descriptors or
-- memory
-- @tfield[server_stats] integer refused connections closed at once because of `max_per_address`
-- @tfield[server_stats] integer evicted connections given up because of the load
-- @tfield[server_stats] integer late heartbeats that came too late, or not at all
-- @tfield[server_stats] table classes with `classify`, on one shard: {critical =, normal =,
-- background =} messages so far, and `over`, those that the budget made normal; else empty
-- @tfield[server_stats] table shards shard -> these counters of that shard
function Server:stats()
  local accepted, waiting, shortages = core.net_listener_counts(self.listener)
  local own, all = {}, {}
  for _, t in ipairs{own, all} do
    t.accepted, t.waiting, t.shortages = accepted - waiting, waiting, shortages
    t.live, t.errors, t.refused = self.live, self.errors, self.refused
    t.evicted, t.late = M.heart_counts(self)
  end
  all.classes = self.classifier and priority.counts(self.classifier) or {}
  all.shards = {[(core.fleet()) or 1] = own}
  return all
end

function Server:__tostring()
  return ("ringlet.server: %s%s"):format(self.name and self.name .. ", " or "", self.address)
end

-- Before anything listens: raises what is wrong with handlers that only their protocol knows.
function M.prepare(handlers)
  if handlers.protocol then
    require(handlers.protocol).prepare(handlers)
  end
end

-- What net.serve was given, as a table; raises at `level`.
function M.handlers(handler, level)
  if type(handler) == "function" then
    return {run = handler}
  end
  if type(handler) == "table" and handler.protocol then
    return handler
  elseif type(handler) ~= "table" or type(handler.on_data) ~= "function" then
    error("a function or a table with on_data expected", level)
  end
  for k, v in pairs(handler) do
    if (k == "on_open" or k == "on_data" or k == "on_close") and type(v) ~= "function" then
      error(k .. ": function expected", level)
    end
  end
  return handler
end

local QUIET = {}
for _, code in ipairs(core.net_quiet) do
  QUIET[code] = true
end

local served = 0

local function add_care(server, opts, part)
  if opts.max_per_address then
    server.addresses = net_address.new(opts.max_per_address, opts.ipv6_prefix or PREFIX,
      part and part.addresses)
  end
  if opts.heartbeat then
    server.heart = net_heartbeat.new(server, opts.heartbeat)
  end
end

-- Connections are accepted as soon as they come, and what they bring is told apart.
local function add_classifier(server, classify, accepting)
  accepting:priority "critical"
  server.classifier = priority.classifier(server.id, classify, server.address,
    function(slot, handler)
      return task.wards[handler] or server.conns[slot]
    end, function(err)
      server.errors = server.errors + 1
      task.report(err)
    end)
end

-- Start serving a listener. `part`, of a server on several shards: {address, max, addresses,
-- counted(server, has_ended), drained(server), over(server)}, the functions being told of it.
function M.start(listener, handlers, opts, part)
  served = served + 1
  local server = setmetatable({
    id = served, listener = listener, address = part and part.address or listener:addr(),
    name = opts.name, opts = opts, part = part,
    max = part and part.max or opts.max_connections or MAX_CONNECTIONS, live = 0, errors = 0,
    refused = 0, quiet = QUIET, workers = {}, conns = {}, buffers = opts.buffers,
    stopping = false, draining = false,
    on_open = handlers.on_open, on_data = handlers.on_data,
    on_close = handlers.on_close, start_conn = handlers.run and start_task or start_served,
    room = sync.event(), empty = sync.event(), over = sync.event(), accepted = sync.event(),
    drained = sync.event(),
  }, Server)
  server.handler = handlers.run
  servers[served] = server
  add_care(server, opts, part)
  server.q = server.over.q -- where select waits
  if not opts.daemon then
    core.net_hold(listener)
  end
  if server.start_conn == start_served then
    server.crew = core.net_crew()
    server.protocol = handlers.protocol and require(handlers.protocol)
    server.work = server.protocol and server.protocol.attach(server, handlers) or work
    start_worker(server)
  end
  if not part then
    run.stoppers[server] = function(grace)
      M.begin_stop(server, grace)
    end
  end
  local accepting = task.daemon(accept_task, server)
  if opts.classify then
    add_classifier(server, opts.classify, accepting)
  end
  return server
end

return M
