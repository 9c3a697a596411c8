-- SPDX-License-Identifier: MIT Servers: what net.serve returns. One daemon accepts; then either
-- each connection has a task, or a few workers handle whatever arrives (see src/rt/crew.h).
--
-- Invariants: `live` counts connections accepted and not ended, and each ends once, in `ended`;
-- while `live` is at the limit accepting is paused; `empty` is set exactly while no connection
-- lives.

local core = require "ringlet.core"
local fail = require "ringlet.fail"
local net_conn = require "ringlet.net_conn"
local rl = require "ringlet"

local next_news, lacks_worker = core.net_next, core.net_lacks_worker

local M = {}

local MAX_CONNECTIONS = 65536
local GRACE = 10

--- A running server, from `net.serve`.
-- @type server
local Server = {}
Server.__index = Server

-- The end of a connection, whichever it was.
local function ended(server, conn)
  conn:close()
  server.live = server.live - 1
  server.tasks[conn] = nil
  if server.live == 0 then
    server.empty:set()
  end
  server.room:set()
end

-- A task for each connection.

local function finish(server, conn, ok, err)
  ended(server, conn)
  if not ok then
    server.errors = server.errors + 1
    error(err, 0)
  end
end

local function run_handler(server, conn)
  return finish(server, conn, pcall(server.handler, conn))
end

local function start_task(server, conn)
  server.tasks[conn] = rl.go(run_handler, server, conn)
end

-- Workers. A connection is served from the moment it is accepted until its end is handled.

local function report(server, err)
  if rl.is_cancel(err) then
    return
  end
  server.errors = server.errors + 1
  rl.go(error, err, 0)
end

-- Call a handler; false when it failed, which has been reported then.
local function call(server, fn, ...)
  local ok, err = pcall(fn, ...)
  if not ok then
    report(server, err)
  end
  return ok
end

-- Tell the handler of the end: an error's message and code, or nothing.
local function close_served(server, conn, code)
  core.net_crew_remove(conn, server.conns)
  local on_close = server.on_close
  if on_close then
    local msg, name
    if code and not server.quiet[code] then
      msg, name = select(2, fail(code))
    end
    call(server, on_close, conn, msg, name)
  end
  ended(server, conn)
end

local start_worker

local function work(server)
  local crew, conns, on_data, buffers = server.crew, server.conns, server.on_data, server.buffers
  local conn, data, code
  while true do
    conn, data, code = next_news(crew, conn, conns, buffers)
    if conn == true then
      conn = nil
    elseif not conn then
      break
    else
      if lacks_worker(crew) then
        start_worker(server)
      end
      if not data then
        close_served(server, conn, code)
        conn = nil
      elseif not call(server, on_data, conn, data) then
        conn:close()
      end
    end
  end
  server.workers[rl.self()] = nil
  -- Cancelled, by whomever: another one is needed until the last connection has ended.
  if conn == nil and not server.stopped:is_set() then
    start_worker(server)
  end
end

function start_worker(server)
  server.workers[rl.daemon(work, server)] = true
end

local function open_served(server, conn)
  if not call(server, server.on_open, conn) then
    conn:close()
  end
  core.net_rest(conn)
end

local function start_served(server, conn)
  core.net_crew_add(server.crew, conn, server.conns)
  if server.on_open then
    server.tasks[conn] = rl.go(open_served, server, conn)
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

local function accept_all(server)
  while true do
    if server.live >= server.max then
      wait_for_room(server)
    end
    local conn = server.accept(server.listener)
    if not conn then
      break
    end
    server.live = server.live + 1
    server.empty:clear()
    net_conn.configure(conn, server.opts)
    server.start_conn(server, conn)
  end
end

--- The address it listens on, with the real port: "127.0.0.1:8080".
function Server:addr()
  return self.address
end

local function close_idle(server)
  for _, conn in pairs(server.conns) do
    if not core.net_is_busy(conn) then
      conn:close()
    end
  end
end

local function cancel_all(server)
  for conn, task in pairs(server.tasks) do
    task:cancel("server stopped")
    conn:abort()
  end
  for _, conn in pairs(server.conns) do
    conn:abort()
  end
  for task in pairs(server.workers) do
    task:cancel("server stopped")
  end
end

local function stop(server, grace)
  server.listener:close()
  while core.net_listener_ended(server.listener) == true do end
  if server.crew then
    close_idle(server)
  end
  if server.live > 0 and not server.empty:wait(grace) then
    cancel_all(server)
    server.empty:wait()
  end
  if server.crew then
    core.net_crew_stop(server.crew)
  end
  server.stopped:set()
end

--- Stop accepting, wait for the connections, then cancel what is left. Idle connections of an
-- `on_data` server are closed at once. Parks until the server has ended; idempotent.
-- @param grace seconds to wait (10)
-- @return true
function Server:stop(grace)
  if not self.stopping then
    self.stopping = true
    rl.go(stop, self, grace or GRACE)
  end
  return self:join()
end

--- Wait until the server has ended. Parks.
-- @param timeout seconds
-- @return true, or nil, msg, "ETIMEDOUT"
function Server:join(timeout)
  return self.stopped:wait(timeout)
end

--- Counters: `accepted`, `live` connections, `waiting` (accepted beyond the limit), `errors` of
-- handlers, `shortages` (accepting had to pause for lack of descriptors or memory).
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

function M.start(listener, handlers, opts, accept)
  local server = setmetatable({
    listener = listener, address = listener:addr(), name = opts.name, opts = opts,
    accept = accept, max = opts.max_connections or MAX_CONNECTIONS,
    live = 0, errors = 0, tasks = {}, workers = {}, conns = {}, quiet = QUIET,
    handler = handlers.run, on_open = handlers.on_open, on_data = handlers.on_data,
    on_close = handlers.on_close, buffers = opts.buffers,
    start_conn = handlers.run and start_task or start_served,
    room = rl.event(), empty = rl.event(), stopped = rl.event(),
  }, Server)
  core.net_hold(listener)
  if handlers.on_data then
    server.crew = core.net_crew()
    start_worker(server)
  end
  rl.daemon(accept_all, server)
  return server
end

return M
