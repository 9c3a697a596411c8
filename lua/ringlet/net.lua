-- SPDX-License-Identifier: MIT
--- TCP: connections, listeners and servers.
--
--     local rl, net = require "ringlet", require "ringlet.net"
--     rl.run(function()
--       net.serve("127.0.0.1:7000", function(conn)
--         for line in conn:lines() do conn:write(line, "\n") end
--       end)
--     end)
--
-- Addresses are "host:port": "127.0.0.1:80", "[::1]:80", "localhost:80", ":80" (0.0.0.0 to listen
-- on, this host to connect to); port 0 lets the kernel choose. Text that is no address raises.
-- Timeouts are seconds. What fails returns `nil, "ENAME: message", "ENAME"`; at the end of a
-- stream that is "EOF", after one's own close "ECLOSED", when time is up "ETIMEDOUT".
-- @module ringlet.net

require "ringlet.vm"
local core = require "ringlet.core"
local fail = require "ringlet.fail"
local net_conn = require "ringlet.net_conn"
local options = require "ringlet.options"

local until_ = core.net_until

local net = {}

local NO_HOST = -2 -- ENOENT

-- Addresses, names, options that several functions share.

local function parse(addr, level)
  local host, port = core.net_split(addr)
  if not host then
    error(("bad address %s: \"host:port\" expected"):format(
      type(addr) == "string" and ("%q"):format(addr) or type(addr)), level + 1)
  end
  return host, port
end

-- Look a host up; a lookup, or nil, code.
local function resolve(host, port, passive, due)
  local lookup, code = core.net_resolve(host, port, passive)
  if not lookup then
    return nil, code
  end
  local ok
  repeat
    ok, code = core.net_resolve_wait(lookup, due)
  until ok ~= true
  if ok then
    return lookup
  end
  core.net_resolve_close(lookup)
  return nil, code
end

local function lookup_failed(host, code)
  if code == NO_HOST then
    return nil, "ENOENT: host not found: " .. host, "ENOENT"
  end
  return fail(code)
end

local function with(base, more)
  for k, v in pairs(base) do
    more[k] = v
  end
  return more
end

--- @section end

local CONNECT = with(net_conn.OPTIONS, {timeout = "number"})

--- Connect. Names are looked up by getaddrinfo on a helper thread; of several addresses one
-- attempt follows another after 250 ms or a failure, families by turns, and the first to answer
-- wins (RFC 8305). Parks. TCP_NODELAY is on.
-- @param addr "host:port"
-- @param opts `timeout` in seconds for all of it; `read_timeout`, `write_timeout`, `idle_timeout`
-- as `conn:set_timeout`; `read_high_water`, `write_high_water` in bytes (64 KiB)
-- @return a conn, or nil, msg, code: "ECONNREFUSED", "ENOENT" (no such host), ...
function net.connect(addr, opts)
  local host, port = parse(addr, 2)
  opts = options.check(opts, CONNECT)
  local due = until_(opts.timeout)
  local dial, code
  host = host == "" and "127.0.0.1" or host
  if core.net_is_literal(host, port) then
    dial, code = core.net_dial(host, port)
  else
    local lookup
    lookup, code = resolve(host, port, false, due)
    if not lookup then
      return lookup_failed(host, code)
    end
    dial, code = core.net_dial_resolved(lookup)
  end
  if not dial then
    return fail(code)
  end
  local conn
  repeat
    conn, code = core.net_dial_wait(dial, due)
  until conn ~= true
  core.net_dial_close(dial)
  if not conn then
    return fail(code)
  end
  net_conn.configure(conn, opts)
  return conn
end

--- A listener. Collected without `close`, it is closed.
-- @type listener
local Listener = {}

local function accept(listener, due)
  local conn, code
  repeat
    conn, code = core.net_accept(listener, due)
  until conn ~= true
  return conn, code
end

--- The next connection. Parks. Any number of tasks may wait.
-- @param timeout seconds
-- @return a conn, or nil, msg, code
function Listener:accept(timeout)
  local conn, code = accept(self, timeout and until_(timeout))
  if conn then
    return conn
  end
  return fail(code)
end

--- The address it listens on, with the real port.
function Listener:addr()
  local addr, code = core.net_listener_addr(self)
  if addr then
    return addr
  end
  return fail(code)
end

--- Close. Tasks in `accept` get "ECLOSED"; connections nobody accepted are reset. Idempotent.
-- @return true
function Listener:close()
  local ok = core.net_listener_close(self)
  return ok
end

core.listener_class.__index = Listener

--- @section end

local LISTEN = {backlog = "number", reuseport = "boolean", v6only = "boolean"}

-- A listener, or nil, code, host
local function open_listener(host, port, opts)
  if host == "" then
    host = "0.0.0.0"
  elseif host == "localhost" then
    host = "127.0.0.1"
  end
  if core.net_is_literal(host, port) then
    return core.net_listen(host, port, opts.backlog, opts.reuseport, opts.v6only)
  end
  local lookup, code = resolve(host, port, true)
  if not lookup then
    return nil, code, host
  end
  return core.net_listen_resolved(lookup, opts.backlog, opts.reuseport, opts.v6only)
end

--- Listen. Parks only for a name that is not "localhost".
-- @param addr "host:port"
-- @param opts `backlog` (1024), `reuseport` (false), `v6only` (false)
-- @return a listener, or nil, msg, code
function net.listen(addr, opts)
  local host, port = parse(addr, 2)
  opts = options.check(opts, LISTEN)
  local listener, code, name = open_listener(host, port, opts)
  if listener then
    return listener
  elseif name then
    return lookup_failed(name, code)
  end
  return fail(code)
end

local SERVE = with(net_conn.OPTIONS, with(LISTEN, {
  total_timeout = "number", max_connections = "number", buffers = "boolean", shards = "number",
  name = "string",
}))

--- Serve connections. Does not park (but for a name that is not "localhost"). A running server
-- keeps `run` alive until `server:stop`.
--
-- With a function, each connection gets a task that runs it. With a table no task exists while a
-- connection is idle: `on_open(conn)` runs first, `on_data(conn, data)` for each piece received,
-- one at a time for a connection, and `on_close(conn, msg, code)` at the end (without a message
-- for the peer's end of stream and for one's own close). All of these may park. A connection is
-- closed when its handler ends, and when a handler raises; the error goes to `rl.on_error`.
-- @param addr "host:port"
-- @param handler a function, or a table with `on_data` and perhaps `on_open`, `on_close`
-- @param opts `max_connections` (65536; from there on clients wait in the backlog), `backlog`
-- (1024), `reuseport`, `v6only`; `idle_timeout`, `read_timeout`, `write_timeout` as
-- `conn:set_timeout` and `total_timeout` for each connection, in seconds; `read_high_water`,
-- `write_high_water` in bytes; `buffers = true`: `on_data` gets slices; `name` for dumps; `shards
-- = 1`
-- @return a server, or nil, msg, code
function net.serve(addr, handler, opts)
  local server = require "ringlet.net_server"
  local host, port = parse(addr, 2)
  opts = options.check(opts, SERVE)
  local handlers = server.handlers(handler, 3)
  if opts.shards and opts.shards ~= 1 then
    error("shards: only 1 is possible yet", 2)
  end
  if opts.max_connections and opts.max_connections < 1 then
    error("max_connections: at least 1 expected", 2)
  end
  local listener, code, name = open_listener(host, port, opts)
  if listener then
    return server.start(listener, handlers, opts)
  elseif name then
    return lookup_failed(name, code)
  end
  return fail(code)
end

return net
