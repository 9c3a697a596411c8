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
-- Addresses are "host:port": "127.0.0.1:80", "[::1]:80", "localhost:80", ":80" (0.0.0.0 to listen on,
-- this host to connect to); port 0 lets the kernel choose. Text that is no address raises. Timeouts are
-- seconds. What fails returns `nil, "ENAME: message", "ENAME"`; at the end of a stream that is "EOF",
-- after one's own close "ECLOSED", when time is up "ETIMEDOUT".
-- @module ringlet.net

local core = require "ringlet.core"
local fail = require "ringlet.fail"
local options = require "ringlet.options"

local until_ = core.net_until

local net = {}

local NO_HOST = -2 -- ENOENT

--- A connection: what `connect` and `accept` return and handlers get.
-- One task may read and any number may write; writes are sent in the order of the calls and never mixed.
-- Collected without `close`, it is closed.
-- @type conn
local Conn = {}

local conn_read, conn_read_buffer = core.conn_read, core.conn_read_buffer
local conn_write, conn_write_turn = core.conn_write, core.conn_write_turn

--- Whatever has been received: at least one byte, as soon as there is any. Parks.
-- @param timeout seconds
-- @return a string, or nil, msg, code
function Conn:read(timeout)
  local data, code = conn_read(self, timeout)
  while data == true do
    data, code = conn_read(self, timeout)
  end
  if data then
    return data
  end
  return fail(code)
end

--- The same as a slice (see `ringlet.buffer`), valid until the next read of this connection. Parks.
-- @param timeout seconds
-- @return a slice, or nil, msg, code
function Conn:read_buffer(timeout)
  local slice, code = conn_read_buffer(self, timeout)
  while slice == true do
    slice, code = conn_read_buffer(self, timeout)
  end
  if slice then
    return slice
  end
  return fail(code)
end

--- Exactly `n` bytes. Parks. When it fails, at the end of the stream too, nothing was taken: what had
-- been received is there for the next read.
-- @param n bytes
-- @param timeout seconds, for all of it
-- @return a string, or nil, msg, code
function Conn:read_exactly(n, timeout)
  local data, code = core.conn_read_exactly(self, n, timeout)
  while data == true do
    data, code = core.conn_read_exactly(self, n, timeout, true)
  end
  if data then
    return data
  end
  return fail(code)
end

--- What comes before `delim`, which is taken as well. Parks. When it fails nothing was taken.
-- @param delim a string of 1 byte or more
-- @param max bytes at most (65536); if more come before `delim`, "EMSGSIZE"
-- @param timeout seconds, for all of it
-- @return a string without `delim`, or nil, msg, code
function Conn:read_until(delim, max, timeout)
  local data, code = core.conn_read_until(self, delim, max, timeout)
  while data == true do
    data, code = core.conn_read_until(self, delim, max, timeout, true)
  end
  if data then
    return data
  end
  return fail(code)
end

--- A line without its "\n" or "\r\n". Parks. When it fails nothing was taken: a last line that does not
-- end in a newline is left for `read`.
-- @param max bytes at most (65536); a longer line is "EMSGSIZE"
-- @param timeout seconds, for all of it
-- @return a string, or nil, msg, code
function Conn:read_line(max, timeout)
  local data, code = core.conn_read_line(self, max, timeout)
  while data == true do
    data, code = core.conn_read_line(self, max, timeout, true)
  end
  if data then
    return data
  end
  return fail(code)
end

--- Everything up to the end of the stream. Parks. When it fails nothing was taken.
-- @param max bytes at most (16 MiB); "EMSGSIZE" if there are more
-- @param timeout seconds, for all of it
-- @return a string, "" when there was nothing; or nil, msg, code
function Conn:read_all(max, timeout)
  local data, code = core.conn_read_all(self, max, timeout)
  while data == true do
    data, code = core.conn_read_all(self, max, timeout, true)
  end
  if data then
    return data
  end
  return fail(code)
end

local function next_line(conn)
  local line, msg, code = conn:read_line()
  if line then
    return line
  end
  if code ~= "EOF" then
    error(msg, 2)
  end
  local rest = conn:read_all()
  if rest ~= "" then
    return rest
  end
end

--- Iterate over the lines up to the end of the stream, whose last line needs no newline. Parks; raises
-- on an error.
function Conn:lines()
  return next_line, self
end

--- Send strings, numbers, slices, or lists of them, in this order. Returns when they are queued; parks
-- while 64 KiB or more are queued already, until half of that is sent. It takes all or, when it fails,
-- nothing. What is queued in one turn of the scheduler is sent by one operation.
-- @param ... what to send
-- @return true, or nil, msg, code
function Conn:write(...)
  local ok, code = conn_write(self, ...)
  if ok == true then
    ok, code = conn_write_turn(self, ...)
  end
  if ok then
    return true
  end
  return fail(code)
end

--- Park until everything written before has been given to the kernel.
-- @param timeout seconds
-- @return true, or nil, msg, code
function Conn:flush(timeout)
  local target, due = core.conn_accepted(self), until_(timeout)
  local ok, code = core.conn_flush(self, target, due)
  while ok == true do
    ok, code = core.conn_flush(self, target, due)
  end
  if ok then
    return true
  end
  return fail(code)
end

--- End the stream in this direction, behind what is queued; reading goes on.
-- @return true, or nil, msg, code
function Conn:shutdown()
  local ok, code = core.conn_shutdown(self)
  if ok then
    return true
  end
  return fail(code)
end

--- Close. Returns at once and does not park; what is queued is sent in the background for at most 5 s.
-- Tasks that wait for this connection get "ECLOSED". Idempotent; works while cancelled.
-- @return true
function Conn:close()
  local ok = core.conn_close(self)
  return ok
end

--- Close at once: what is queued is lost, the peer gets a reset.
-- @return true
function Conn:abort()
  local ok = core.conn_abort(self)
  return ok
end

--- The peer's address as "host:port".
function Conn:peername()
  local name, code = core.conn_peername(self)
  if name then
    return name
  end
  return fail(code)
end

--- This side's address as "host:port".
function Conn:sockname()
  local name, code = core.conn_sockname(self)
  if name then
    return name
  end
  return fail(code)
end

local TIMEOUTS = {read = "number", write = "number", idle = "number"}

--- Set what applies to every later call without a timeout of its own; nil removes it.
-- @param t seconds for reads and writes, or a table: `read` and `write`, for each call; `idle`: without a
-- byte either way for this long while something waits for the peer, the connection fails with "ETIMEDOUT"
-- @return true, or nil, msg, code
function Conn:set_timeout(t)
  local read, write, idle = t, t, nil
  if type(t) == "table" then
    options.check(t, TIMEOUTS, 3)
    read, write, idle = t.read, t.write, t.idle
  end
  local ok, code = core.conn_limits(self, read, write, idle, false)
  if ok then
    return true
  end
  return fail(code)
end

--- Set a socket option: "nodelay", "keepalive" (booleans), "keepidle", "keepintvl", "keepcnt" (see
-- tcp(7)), "user_timeout" (ms), "sndbuf", "rcvbuf" (bytes).
-- @param name of the option
-- @param value boolean or integer
-- @return true, or nil, msg, code
function Conn:setopt(name, value)
  local ok, code = core.conn_setopt(self, name, value)
  if ok then
    return true
  end
  return fail(code)
end

--- Counters: `bytes_in`, `bytes_out`, `reads` and `writes` (operations), `queued_in` (received and not
-- read), `queued_out` (written and not sent).
function Conn:stats()
  local stats, code = core.conn_stats(self)
  if stats then
    return stats
  end
  return fail(code)
end

core.conn_class.__index = Conn

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

local CONN = {
  read_timeout = "number", write_timeout = "number", idle_timeout = "number",
  read_high_water = "number", write_high_water = "number",
}

local function with(base, more)
  for k, v in pairs(base) do
    more[k] = v
  end
  return more
end

-- Apply the options of a new connection.
local function configure(conn, opts)
  if opts.read_high_water or opts.write_high_water then
    core.conn_marks(conn, opts.read_high_water, opts.write_high_water)
  end
  core.conn_limits(conn, opts.read_timeout, opts.write_timeout, opts.idle_timeout, opts.total_timeout)
end

--- @section end

local CONNECT = with(CONN, {timeout = "number"})

--- Connect. Names are looked up by getaddrinfo on a helper thread; of several addresses one attempt follows
-- another after 250 ms or a failure, families by turns, and the first to answer wins (RFC 8305). Parks.
-- TCP_NODELAY is on.
-- @param addr "host:port"
-- @param opts `timeout` in seconds for all of it; `read_timeout`, `write_timeout`, `idle_timeout` as
-- `conn:set_timeout`; `read_high_water`, `write_high_water` in bytes (64 KiB)
-- @return a conn, or nil, msg, code: "ECONNREFUSED", "ENOENT" (no such host), ...
function net.connect(addr, opts)
  local host, port = parse(addr, 2)
  opts = options.check(opts, CONNECT, 3) or opts or {}
  local due, dial, code = until_(opts.timeout), nil, nil
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
  configure(conn, opts)
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
  opts = options.check(opts, LISTEN, 3) or opts or {}
  local listener, code, name = open_listener(host, port, opts)
  if listener then
    return listener
  elseif name then
    return lookup_failed(name, code)
  end
  return fail(code)
end

local SERVE = with(CONN, with(LISTEN, {
  total_timeout = "number", max_connections = "number", buffers = "boolean", shards = "number",
  name = "string",
}))

--- Serve connections. Does not park (but for a name that is not "localhost"). A running server keeps `run`
-- alive until `server:stop`.
--
-- With a function, each connection gets a task that runs it. With a table no task exists while a connection
-- is idle: `on_open(conn)` runs first, `on_data(conn, data)` for each piece received, one at a time for a
-- connection, and `on_close(conn, msg, code)` at the end (without a message for the peer's end of stream and
-- for one's own close). All of these may park. A connection is closed when its handler ends, and when a handler
-- raises; the error goes to `rl.on_error`.
-- @param addr "host:port"
-- @param handler a function, or a table with `on_data` and perhaps `on_open`, `on_close`
-- @param opts `max_connections` (65536; from there on clients wait in the backlog), `backlog` (1024),
-- `reuseport`, `v6only`; `idle_timeout`, `read_timeout`, `write_timeout` as `conn:set_timeout` and
-- `total_timeout` for each connection, in seconds; `read_high_water`, `write_high_water` in bytes;
-- `buffers = true`: `on_data` gets slices; `name` for dumps; `shards = 1`
-- @return a server, or nil, msg, code
function net.serve(addr, handler, opts)
  local server = require "ringlet.net.server"
  local host, port = parse(addr, 2)
  opts = options.check(opts, SERVE, 3) or opts or {}
  local handlers = server.handlers(handler, 3)
  if opts.shards and opts.shards ~= 1 then
    error("shards: only 1 is possible yet", 2)
  end
  if opts.max_connections and opts.max_connections < 1 then
    error("max_connections: at least 1 expected", 2)
  end
  local listener, code, name = open_listener(host, port, opts)
  if listener then
    return server.start(listener, handlers, opts, accept, configure)
  elseif name then
    return lookup_failed(name, code)
  end
  return fail(code)
end

return net
