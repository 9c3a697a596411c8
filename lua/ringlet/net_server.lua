-- SPDX-License-Identifier: MIT
-- Servers: what net.serve returns. One daemon accepts; then either each connection has a task, or a
-- crew of workers handles whatever arrives (see src/rt/crew.h).
--
-- Invariants: `live` counts connections accepted and not ended, and each ends once, in `ended`;
-- while `live` is at the limit accepting is paused; `empty` is set exactly while none lives. In C
-- every connection knows its server (`owner`). `conns` holds connections: with a handler that is a
-- function by the slot of their task, else by their own. `workers` are the other tasks that handle
-- connections. Whatever ends a server, `over` is the last that happens to it.

local cancel = require "ringlet.cancel"
local core = require "ringlet.core"
local fail = require "ringlet.fail"
local net_conn = require "ringlet.net_conn"
local run = require "ringlet.run"
local sync = require "ringlet.sync"
local task = require "ringlet.task"
local time = require "ringlet.time"

local threads = core.tables()
local next_news = core.net_next

local M = {}

local MAX_CONNECTIONS = 65536
local GRACE = 10
local BATCH = 64

--- @module ringlet.net

--- A running server, from `net.serve`.
-- @type server
local Server = {}
Server.__index = Server

-- Calling handlers. The traceback is that of the raise; nothing parks between it and its use.

local last_trace

local function trace(err)
  last_trace = debug.traceback("", 2)
  return err
end

-- What xpcall gave: reports a failure that is no cancellation; true if there was none.
local function succeeded(server, ok, err)
  if not ok and not cancel.is_cancel(err) then
    server.errors = server.errors + 1
    task.report(err, last_trace, task.self())
  end
  return ok
end

-- The end of a connection, whichever it was.
local function ended(server, conn)
  conn:close()
  server.live = server.live - 1
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
  core.net_claim(conn, server.id)
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
    succeeded(server, xpcall(on_close, trace, conn, msg, name))
  end
  ended(server, conn)
end

-- While the server stops, whoever has been answered is not waited for.
local function close_answered(conn)
  local stats = core.conn_stats(conn)
  if stats and stats.queued_in == 0 then
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
      elseif not succeeded(server, xpcall(on_data, trace, conn, data)) then
        conn:close()
      elseif server.stopping then
        close_answered(conn)
      end
    end
  end
  server.workers[task.self()] = nil
end

function start_worker(server)
  server.workers[task.daemon(work, server)] = true
end

local function open_served(server, conn)
  if not succeeded(server, xpcall(server.on_open, trace, conn)) then
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
  if server.on_open then
    server.workers[task.go(open_served, server, conn)] = true
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
    server.live = server.live + 1
    server.empty:clear()
    net_conn.configure(conn, server.opts)
    server.start_conn(server, conn)
  end
end

-- Stopping.

-- Nothing is left that could go on.
local function over(server)
  if server.crew then
    core.net_crew_stop(server.crew)
  end
  run.stoppers[server] = nil
  server.over:set()
end

local function close_idle(server)
  for _, conn in pairs(server.conns) do
    if not core.net_is_busy(conn) then
      conn:close()
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

-- Without parking, because the run is being ended and this task with it.
local function end_at_once(server)
  server.stopping = true
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

local function drain(server, grace)
  server.listener:close()
  while core.net_listener_ended(server.listener) == true do end
  if server.crew then
    close_idle(server)
  end
  if not wait_empty(server, grace) then
    cancel_all(server)
    wait_empty(server)
  end
  over(server)
end

local function accept_task(server)
  local ok, err = pcall(accept_all, server)
  if not server.stopping then
    end_at_once(server)
  end
  if not ok then
    error(err, 0)
  end
end

local function stop_task(server, grace)
  local ok, err = pcall(drain, server, grace)
  if not ok then
    end_at_once(server)
    error(err, 0)
  end
end

local function begin_stop(server, grace)
  if not server.stopping then
    server.stopping = true
    task.go(stop_task, server, grace or GRACE)
  end
end

--- The address it listens on, with the real port.
-- @treturn string "host:port"
function Server:addr()
  return self.address
end

--- Stop accepting, wait for the connections, then cancel what is left. Connections of an `on_data`
-- server are closed as soon as all they sent is handled, idle ones at once; a handler that is a
-- function decides itself. When the run is stopped, its servers are, with the run's grace; when it
-- is ended, every `on_close` is still called. Idempotent: the first call sets the grace.
-- @parks until the server has ended
-- @tparam[opt=10] number grace seconds to wait
-- @treturn true
function Server:stop(grace)
  if not self.over:is_set() then
    begin_stop(self, grace)
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

--- What select asks of a waitable: has it ended?
-- @local
function Server:poll_()
  return self.over:is_set(), true
end

--- Counters of the server.
-- @treturn server_stats a new table
-- @tfield[server_stats] integer accepted connections handled so far
-- @tfield[server_stats] integer live connections
-- @tfield[server_stats] integer waiting accepted beyond the limit
-- @tfield[server_stats] integer errors of handlers
-- @tfield[server_stats] integer shortages times that accepting paused for lack of descriptors or
-- memory
function Server:stats()
  local accepted, waiting, shortages = core.net_listener_counts(self.listener)
  return {
    accepted = accepted - waiting, live = self.live, waiting = waiting, errors = self.errors,
    shortages = shortages,
  }
end

function Server:__tostring()
  return ("ringlet.server: %s%s"):format(self.name and self.name .. ", " or "", self.address)
end

-- What net.serve was given, as a table; raises at `level`.
function M.handlers(handler, level)
  if type(handler) == "function" then
    return {run = handler}
  end
  if type(handler) ~= "table" or type(handler.on_data) ~= "function" then
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

-- Start serving a listener.
function M.start(listener, handlers, opts)
  served = served + 1
  local server = setmetatable({
    id = served, listener = listener, address = listener:addr(), name = opts.name, opts = opts,
    max = opts.max_connections or MAX_CONNECTIONS, live = 0, errors = 0, quiet = QUIET,
    workers = {}, conns = {}, buffers = opts.buffers, stopping = false,
    on_open = handlers.on_open, on_data = handlers.on_data,
    on_close = handlers.on_close, start_conn = handlers.run and start_task or start_served,
    room = sync.event(), empty = sync.event(), over = sync.event(),
  }, Server)
  server.handler = handlers.run
  servers[served] = server
  server.q = server.over.q -- where select waits
  core.net_hold(listener)
  if handlers.on_data then
    server.crew = core.net_crew()
    start_worker(server)
  end
  run.stoppers[server] = function(grace)
    begin_stop(server, grace)
  end
  task.daemon(accept_task, server)
  return server
end

return M
