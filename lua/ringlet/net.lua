-- SPDX-License-Identifier: MIT
--- TCP and Unix sockets: connections, listeners and servers.
--
--     local rl, net = require "ringlet", require "ringlet.net"
--     rl.run(function()
--       net.serve("127.0.0.1:7000", function(conn)
--         for line in conn:lines() do conn:write(line, "\n") end
--       end)
--     end)
--
-- Addresses are "host:port": "127.0.0.1:80", "[::1]:80", "localhost:80", ":80" (0.0.0.0 to listen
-- on, this host to connect to); port 0 lets the kernel choose. Those of Unix sockets are
-- "unix:/path" and, of the abstract name space, which has no permissions, "unix:@name"; the path
-- has 107 bytes at most. Text that is no address raises.
-- Timeouts are seconds. What fails returns `nil, "ENAME: message", "ENAME"`; at the end of a
-- stream that is "EOF", after one's own close "ECLOSED", when time is up "ETIMEDOUT".
-- Other codes are the names of errno(3): "ECONNRESET", "EPIPE", "EMFILE" and so on.
-- @module ringlet.net

require "ringlet.vm"
local core = require "ringlet.core"
local fail = require "ringlet.fail"
local net_conn = require "ringlet.net_conn"
local net_heartbeat = require "ringlet.net_heartbeat"
local net_listen = require "ringlet.net_listen"
local options = require "ringlet.options"
local priority = require "ringlet.priority"

local until_ = core.net_until

local net = {}

-- Addresses, names, options that several functions share.

local function parse(addr, level)
  local host, port = core.net_split(addr)
  if not host then
    local what = type(addr) == "string" and ("%q"):format(addr) or type(addr)
    local wanted = type(addr) == "string" and addr:find "^unix:[/@]"
      and "a path of at most 107 bytes" or '"host:port"'
    error(("bad address %s: %s expected"):format(what, wanted), level + 1)
  end
  return host, port
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
-- wins. TCP_NODELAY is on.
-- @parks until connected
-- @tparam string addr "host:port" or "unix:/path"
-- @tparam[opt] table opts
-- @tparam[opt] number opts.timeout seconds for all of it, the lookup included
-- @tparam[opt] number opts.read_timeout seconds for each read, as `conn:set_timeout`
-- @tparam[opt] number opts.write_timeout seconds for each write
-- @tparam[opt] number opts.idle_timeout seconds without a byte either way
-- @tparam[opt=65536] integer opts.read_high_water bytes received and not read, from which on the
-- kernel is not asked for more
-- @tparam[opt=65536] integer opts.write_high_water bytes queued, from which on `conn:write` parks
-- @treturn conn
-- @fails "ECONNREFUSED", "ENOENT" (no such host), "ETIMEDOUT", ...; of several addresses, the
-- first failure
-- @raise on an address or option it does not know; outside of a task
-- @source RFC 8305; getaddrinfo(3); connect(2); tcp(7)
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
    lookup, code = net_listen.resolve(host, port, false, due)
    if not lookup then
      return net_listen.lookup_failed(host, code)
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

--- A listening socket, from `net.listen`. Collected without `close`, it is closed.
-- @type listener
local Listener = {}

local function accept(listener, due)
  local conn, code
  repeat
    conn, code = core.net_accept(listener, due)
  until conn ~= true
  return conn, code
end

--- The next connection. Any number of tasks may wait. Lack of descriptors or memory is waited out.
-- @parks until there is one
-- @tparam[opt] number timeout seconds
-- @treturn conn
-- @fails "ECLOSED", "ETIMEDOUT"
-- @source accept(2)
function Listener:accept(timeout)
  local conn, code = accept(self, timeout and until_(timeout))
  if conn then
    return conn
  end
  return fail(code)
end

--- The address it listens on, with the real port.
-- @treturn string "host:port"
-- @fails "ECLOSED"
-- @source getsockname(2)
function Listener:addr()
  local addr, code = core.net_listener_addr(self)
  if addr then
    return addr
  end
  return fail(code)
end

--- Close. Tasks in `accept` get "ECLOSED"; connections nobody accepted are reset. Idempotent.
-- @treturn true
function Listener:close()
  local ok = core.net_listener_close(self)
  return ok
end

core.listener_class.__index = Listener

--- @section end

local LISTEN = {backlog = "number", reuseport = "boolean", v6only = "boolean", mode = "string"}

local function check_mode(mode, level)
  if mode and not mode:find "^0?[0-7][0-7][0-7]$" then
    error('mode: three octal digits expected, as in "660"', level + 1)
  end
end

--- Listen. SO_REUSEADDR is on. The file of a Unix socket that nobody listens on any more is removed
-- first, and the new one when the listener is closed; make sure that nobody else may write to its
-- directory.
-- @parks for the lookup of a name that is not "localhost", and when there is a file already
-- @tparam string addr "host:port" or "unix:/path"
-- @tparam[opt] table opts
-- @tparam[opt=1024] integer opts.backlog connections that wait to be accepted
-- @tparam[opt=false] boolean opts.reuseport several sockets may listen on the address
-- @tparam[opt=false] boolean opts.v6only no IPv4 on an IPv6 address
-- @tparam[opt="600"] string opts.mode octal permissions of a Unix socket's file, less the umask
-- @treturn listener
-- @fails "EADDRINUSE", "EACCES", "EADDRNOTAVAIL", "ENOENT" (no such host), ...
-- @raise on an address or option it does not know; outside of `run`
-- @source listen(2), socket(7), ipv6(7), unix(7)
function net.listen(addr, opts)
  local host, port = parse(addr, 2)
  opts = options.check(opts, LISTEN)
  check_mode(opts.mode, 2)
  return net_listen.open(host, port, opts)
end

local SERVE = with(net_conn.OPTIONS, with(LISTEN, {
  total_timeout = "number", max_connections = "number", buffers = "boolean", name = "string",
  shards = "number|string|table", accept = "string", placement = "string",
  max_per_address = "number", ipv6_prefix = "number", heartbeat = "boolean|table",
  daemon = "boolean", classify = "table", steer = "table",
}))

local SERVE_BOUNDS = {
  max_per_address = {min = 1, whole = true}, ipv6_prefix = {min = 1, max = 128, whole = true},
}

local ACCEPT = {reuseport = true, handover = true}
local PLACEMENT = {fewest = true, turn = true}

-- The shards that the option names, in order; nil: this one alone. Raises for net.serve's caller.
local function shards_of(wanted)
  local own, size = core.fleet()
  local list = {}
  if wanted == nil or wanted == 1 or not own then
    return nil
  elseif wanted == "all" then
    wanted = size
  end
  if type(wanted) == "number" then
    for i = 1, wanted <= size and wanted % 1 == 0 and wanted or 0 do
      list[i] = (own + i - 2) % size + 1
    end
  elseif type(wanted) == "table" then
    local seen = {}
    for i, shard in ipairs(wanted) do
      list[i] = not seen[shard] and type(shard) == "number" and shard % 1 == 0 and shard >= 1
        and shard <= size and shard or nil
      seen[shard] = true
    end
    if #list < #wanted then
      list = {}
    end
  end
  if not list[1] then
    error(('shards: "all", or some of the %d there are expected'):format(size), 3)
  end
  return (list[2] or list[1] ~= own) and list or nil
end

local function check_serve(opts, handlers)
  options.bounds(opts, SERVE_BOUNDS, 3)
  net_heartbeat.check(opts.heartbeat, 3)
  priority.check(opts.classify, 3)
  check_mode(opts.mode, 3)
  if handlers.protocol and type(opts.heartbeat) == "table" and opts.heartbeat.beat then
    error("heartbeat.beat: the protocol has heartbeats of its own, or none", 3)
  end
  if opts.max_connections and opts.max_connections < 1 then
    error("max_connections: at least 1 expected", 3)
  elseif opts.accept and not ACCEPT[opts.accept] then
    error('accept: "reuseport" or "handover" expected', 3)
  elseif opts.placement and not PLACEMENT[opts.placement] then
    error('placement: "fewest" or "turn" expected', 3)
  end
end

local function check_steer(host, opts)
  if not opts.steer then
    return
  elseif type(opts.steer.begin_) ~= "function" then
    error("steer: what bpf.steer gives expected", 3)
  elseif opts.accept == "handover" or net_listen.is_unix(host) then
    error('steer: the kernel steers to listeners of their own; accept = "handover" has one', 3)
  elseif opts.shards == nil or opts.shards == 1 then
    error('steer: several shards expected, as shards = "all"', 3)
  end
end

-- Only one socket can listen on the address of a Unix socket.
local function for_unix(host, opts)
  if not net_listen.is_unix(host) then
    return opts
  elseif opts.accept == "reuseport" then
    error('accept: "handover" is the only way for a Unix socket', 3)
  end
  return with(opts, {accept = "handover"})
end

--- Serve connections. A running server keeps `run` alive until `server:stop`.
--
-- With a function, each connection gets a task that runs it. With a table no task exists while a
-- connection is idle: the handlers run one at a time for a connection, in tasks drawn from a crew.
-- All of them may park. A connection is closed when its function ends, and when a handler raises;
-- the error goes to `rl.on_error`.
--
-- With `shards` the server works on several shards, and the one object that is returned is for all
-- of them. The handlers are copied to the other shards as jobs are, and their errors go to
-- `on_error` there, which `rl.shard_init` may set. It fails when one shard cannot listen.
-- @parks for the lookup of a name that is not "localhost", and when a Unix socket's file is there
-- already; with other shards, until they listen
-- @tparam string addr "host:port" or "unix:/path"
-- @tparam fun(conn:conn)|table handler
-- @tparam[opt] fun(conn:conn) handler.on_open before the first `on_data`
-- @tparam fun(conn:conn,data:string|slice) handler.on_data for each piece received
-- @tparam[opt] fun(conn:conn,msg:?string,code:?string) handler.on_close at the end; without a
-- message for the peer's end of stream and for one's own close
-- @tparam[opt] table opts
-- @tparam[opt=65536] integer opts.max_connections from there on clients wait in the backlog; of
-- several shards each has an equal part of it, rounded up
-- @tparam[opt] integer opts.max_per_address connections that one client address may have, on all
-- shards together; more are reset at once, and counted as `refused`
-- @tparam[opt=64] integer opts.ipv6_prefix bits of an IPv6 address that tell whose it is, for that
-- @tparam[opt] boolean|table opts.heartbeat look after connections, in three levels; true, or
-- {keepalive =, every =, late =, beat =, on_weight =, check =, max_load =, metrics =, batch =,
-- share =, idle =, classify =, on_evict =}, which the guide "Many connections" explains
-- @tparam[opt=1024] integer opts.backlog connections that wait to be accepted
-- @tparam[opt=false] boolean opts.reuseport several sockets may listen on the address
-- @tparam[opt=false] boolean opts.v6only no IPv4 on an IPv6 address
-- @tparam[opt="600"] string opts.mode octal permissions of a Unix socket's file, less the umask
-- @tparam[opt] number opts.read_timeout seconds for each read, as `conn:set_timeout`
-- @tparam[opt] number opts.write_timeout seconds for each write
-- @tparam[opt] number opts.idle_timeout seconds without a byte either way
-- @tparam[opt=65536] integer opts.read_high_water bytes received and not read, from which on the
-- kernel is not asked for more
-- @tparam[opt=65536] integer opts.write_high_water bytes queued, from which on `conn:write` parks
-- @tparam[opt] number opts.total_timeout seconds a connection may live
-- @tparam[opt=false] boolean opts.buffers `on_data` gets slices instead of strings
-- @tparam[opt] table opts.classify {paths =, ports =, fn =, budget =}: priorities for what comes,
-- told from its first bytes when they are received. `paths`: of requests of HTTP, {["/pay"] =
-- "critical", ["/bulk/*"] = "background"}; the longest that matches counts. `ports`: of servers,
-- for what nothing else tells. `fn(bytes, conn)` gives a priority or nil for what no path tells; it
-- is called in the loop, and must not park. `budget`: critical messages a second (any number); more
-- are normal. What is critical is handled first, and interrupts what computes, see `task:priority`
-- @tparam[opt=false] boolean opts.daemon it does not keep run alive
-- @tparam[opt] string opts.name for dumps
-- @tparam[opt=1] integer|string|table opts.shards where connections are served: "all"; a
-- list of shards; or a number of them, of which this one is the first
-- @tparam[opt="reuseport"] string opts.accept with several shards: "reuseport", each accepts for
-- itself; "handover", this one accepts and hands over to the others, as always of Unix sockets
-- @tparam[opt="fewest"] string opts.placement of "handover": to the shard with the "fewest"
-- connections, or in "turn"; a stalled one is passed over
-- @tparam[opt] table opts.steer what `bpf.steer` gives, with several shards: the kernel places new
-- connections as that says, instead of by a hash; where one shard serves it changes nothing
-- @treturn server
-- @fails "EADDRINUSE", "EACCES", "EADDRNOTAVAIL", "ENOENT" (no such host), ...
-- @raise on an address, handler or option it does not know; when a handler cannot travel, with the
-- path to what cannot; outside of `run`
-- @source listen(2), accept(2), socket(7) on SO_REUSEPORT, ipv6(7)
function net.serve(addr, handler, opts)
  local server = require "ringlet.net_server"
  local host, port = parse(addr, 2)
  opts = options.check(opts, SERVE)
  local handlers = server.handlers(handler, 3)
  check_serve(opts, handlers)
  check_steer(host, opts)
  opts = for_unix(host, opts)
  local shards = shards_of(opts.shards)
  if shards then
    local spread = require "ringlet.net_spread"
    return spread.serve(host, port, handlers, opts, shards)
  end
  server.prepare(handlers)
  local listener, msg, code = net_listen.open(host, port, opts)
  if not listener then
    return nil, msg, code
  end
  return server.start(listener, handlers, opts)
end

return net
