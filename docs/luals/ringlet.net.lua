---@meta ringlet.net
-- SPDX-License-Identifier: MIT
-- Written by tools/stubs from the comments in these files; edit those.
--   lua/ringlet/net.lua
--   lua/ringlet/net_conn.lua
--   lua/ringlet/net_server.lua

---A listening socket, from `net.listen`. Collected without `close`, it is closed.
---@class ringlet.listener
local listener = {}

---The next connection. Any number of tasks may wait. Lack of descriptors or memory is waited out.
---
---Parks until there is one.
---
---Source: accept(2).
---@async
---@param timeout? number seconds
---@return ringlet.conn|nil
---@return string|nil # message
---@return string|nil # "ECLOSED", "ETIMEDOUT"
---@overload fun(self: ringlet.listener, timeout?: number): nil, string, string
function listener:accept(timeout) end

---The address it listens on, with the real port.
---
---Does not park.
---
---Source: getsockname(2).
---@return string|nil # "host:port"
---@return string|nil # message
---@return string|nil # "ECLOSED"
---@overload fun(self: ringlet.listener): nil, string, string
function listener:addr() end

---Close. Tasks in `accept` get "ECLOSED"; connections nobody accepted are reset. Idempotent.
---
---Does not park.
---@return true
function listener:close() end

---A connection: what `connect` and `accept` return and handlers get. One task may read, any number
---may write; writes are sent in the order of the calls and never mixed. Collected without `close`,
---it is closed.
---
---Every call but `close` and `abort` can also fail with "ECLOSED", and those that move bytes with
---what ended the connection: "ECONNRESET", "ETIMEDOUT" and so on.
---@class ringlet.conn
local conn = {}

---Whatever has been received: at least one byte, as soon as there is any.
---
---Parks while there is none.
---
---Raises when another task is reading, or `on_data` does.
---
---Source: recv(2).
---@async
---@param timeout? number seconds, by default as `set_timeout` says
---@return string|nil
---@return string|nil # message
---@return string|nil # "EOF", "ETIMEDOUT", "ECONNRESET", "ECLOSED"
---@overload fun(self: ringlet.conn, timeout?: number): nil, string, string
function conn:read(timeout) end

---The same as a slice, which is valid until the next read of this connection.
---
---Parks while there is nothing.
---
---Raises when another task is reading, or `on_data` does.
---
---Source: recv(2).
---@async
---@param timeout? number seconds, by default as `set_timeout` says
---@return ringlet.slice|nil
---@return string|nil # message
---@return string|nil # "EOF", "ETIMEDOUT", "ECONNRESET", "ECLOSED"
---@overload fun(self: ringlet.conn, timeout?: number): nil, string, string
function conn:read_buffer(timeout) end

---Exactly n bytes. When it fails, at the end of the stream too, nothing was taken: what had been
---received is there for the next read.
---
---Parks until they are there.
---
---Raises when another task is reading, or `on_data` does.
---@async
---@param n integer bytes, at most 1 GiB
---@param timeout? number seconds for all of it, by default as `set_timeout` says
---@return string|nil
---@return string|nil # message
---@return string|nil # "EOF", "ETIMEDOUT", "ECONNRESET", "ECLOSED"
---@overload fun(self: ringlet.conn, n: integer, timeout?: number): nil, string, string
function conn:read_exactly(n, timeout) end

---What comes before `delim`, which is taken as well. When it fails nothing was taken.
---
---Parks until it is there.
---
---Raises when another task is reading, or `on_data` does.
---
---Returns what comes before `delim`.
---
---Or nil, message, "EMSGSIZE" when there are more than `max`; "EOF", "ETIMEDOUT", "ECONNRESET",
---"ECLOSED".
---@async
---@param delim string 1 byte or more
---@param max? integer bytes before `delim` (65536)
---@param timeout? number seconds for all of it, by default as `set_timeout` says
---@return string|nil
---@return string|nil
---@return string|nil
---@overload fun(self: ringlet.conn, delim, max?, timeout?): nil, string, string
function conn:read_until(delim, max, timeout) end

---A line without its "\n" or "\r\n". When it fails nothing was taken: a last line that does not
---end in a newline is left for `read`.
---
---Parks until it is there.
---
---Raises when another task is reading, or `on_data` does.
---@async
---@param max? integer bytes of the line (65536)
---@param timeout? number seconds for all of it, by default as `set_timeout` says
---@return string|nil
---@return string|nil # message
---@return string|nil # "EMSGSIZE" when it is longer; "EOF", "ETIMEDOUT", "ECONNRESET", "ECLOSED"
---@overload fun(self: ringlet.conn, max?: integer, timeout?: number): nil, string, string
function conn:read_line(max, timeout) end

---Everything up to the end of the stream. When it fails nothing was taken.
---
---Parks until the peer has ended the stream.
---
---Raises when another task is reading, or `on_data` does.
---@async
---@param max? integer bytes (16777216)
---@param timeout? number seconds for all of it, by default as `set_timeout` says
---@return string|nil # "" when there was nothing
---@return string|nil # message
---@return string|nil # "EMSGSIZE" when there are more; "ETIMEDOUT", "ECONNRESET", "ECLOSED"
---@overload fun(self: ringlet.conn, max?: integer, timeout?: number): nil, string, string
function conn:read_all(max, timeout) end

---Iterate over the lines, as `read_line` gives them, up to the end of the stream; the last one
---needs no newline.
---
---Parks in the loop, while there is no line.
---@async
---@return fun(conn: ringlet.conn): string|nil # for a `for` loop; raises the message of a failure
---@return ringlet.conn
function conn:lines() end

---Send strings, numbers, slices, shared buffers, or lists of them, in this order. Returns when
---they are queued. It takes all or, when it fails, nothing. What is queued in one turn of the
---scheduler is sent by one operation.
---
---Parks while 64 KiB (`write_high_water`) or more are queued already, until half of that is sent.
---
---Raises on another type, and on a slice that is no longer valid.
---
---Source: send(2).
---@async
---@param ... string|number|ringlet.slice|ringlet.shared_buffer|table what to send
---@return true|nil
---@return string|nil # message
---@return string|nil # "EPIPE" after `shutdown`; "ECONNRESET", "ETIMEDOUT", "ECLOSED", "ENOMEM"
---@overload fun(self: ringlet.conn, ...): nil, string, string
function conn:write(...) end

---Wait until everything written before has been given to the kernel.
---
---Parks until then; not at all if it has.
---@async
---@param timeout? number seconds
---@return true|nil
---@return string|nil # message
---@return string|nil # "ETIMEDOUT", "ECONNRESET", "EPIPE", "ECLOSED"
---@overload fun(self: ringlet.conn, timeout?: number): nil, string, string
function conn:flush(timeout) end

---End the stream in this direction, behind what is queued; reading goes on.
---
---Does not park.
---
---Source: shutdown(2).
---@return true|nil
---@return string|nil # message
---@return string|nil # "ECLOSED", or what ended the connection
---@overload fun(self: ringlet.conn): nil, string, string
function conn:shutdown() end

---Close. What is queued is sent in the background, for at most 5 s. Tasks that wait for this
---connection get "ECLOSED". Idempotent; works while cancelled.
---
---Does not park.
---
---Source: close(2).
---@return true
function conn:close() end

---Close at once: what is queued is lost, the peer gets a reset.
---
---Does not park.
---
---Source: RFC 9293, 3.10.5; SO_LINGER in socket(7).
---@return true
function conn:abort() end

---The peer's address.
---
---Does not park.
---
---Source: getpeername(2).
---@return string|nil # "host:port"; of a Unix socket "unix:/path", mostly without a path: "unix:"
---@return string|nil # message
---@return string|nil # "ECLOSED", "ENOTCONN"
---@overload fun(self: ringlet.conn): nil, string, string
function conn:peername() end

---This side's address.
---
---Does not park.
---
---Source: getsockname(2).
---@return string|nil # "host:port"
---@return string|nil # message
---@return string|nil # "ECLOSED"
---@overload fun(self: ringlet.conn): nil, string, string
function conn:sockname() end

---Who is at the other end of a Unix socket: the process that connected or, for who connected, that
---listens.
---
---Does not park.
---
---Source: SO_PEERCRED in unix(7).
---@return table|nil # {pid=, uid=, gid=}
---@return string|nil # message
---@return string|nil # "EOPNOTSUPP" when it is no Unix socket; "ECLOSED"
---@overload fun(self: ringlet.conn): nil, string, string
function conn:credentials() end

---@class ringlet.conn.set_timeout.t
---@field read? number seconds for each read
---@field write? number seconds for each write
---seconds: without a byte either way for this long, while something waits for the peer, the
---connection fails with "ETIMEDOUT"
---@field idle? number

---Set what applies to every later call without a timeout of its own; nil removes it.
---
---Does not park.
---
---Raises on what is no positive number, and on an unknown name.
---
---`t`: seconds for reads and for writes, more than 0; or each by its name
---@param t number|ringlet.conn.set_timeout.t|nil
---@return true|nil
---@return string|nil # message
---@return string|nil # "ECLOSED", "ENOMEM"
---@overload fun(self: ringlet.conn, t: number|ringlet.conn.set_timeout.t|nil): nil, string, string
function conn:set_timeout(t) end

---Set a socket option: "nodelay", "keepalive" (booleans), "keepidle", "keepintvl" (seconds),
---"keepcnt", "user_timeout" (ms), "sndbuf", "rcvbuf" (bytes).
---
---Does not park.
---
---Raises on an unknown option.
---
---Source: tcp(7), socket(7).
---@param name string of the option
---@param value boolean|integer
---@return true|nil
---@return string|nil # message
---@return string|nil # "EINVAL", "ECLOSED", ...
---@overload fun(self: ringlet.conn, name: string, value: boolean|integer): nil, string, string
function conn:setopt(name, value) end

---@class ringlet.conn.keepalive.t
---@field idle? integer seconds without a byte after which it is asked (1)
---@field interval? integer seconds between two questions (1)
---@field count? integer questions without an answer (4)
---seconds without an answer or acknowledgement after which it is dead, by default `idle + interval
---* count`; 0: `count` alone decides
---@field timeout? number

---Have the kernel find out that the peer is dead, also while nothing is sent: it is asked, and
---when it does not answer, or does not acknowledge what was sent, the connection fails with
---"ETIMEDOUT".
---
---`timeout` holds for what was sent, too: also a peer that lives, but takes nothing for so long, is
---given up.
---
---Does not park.
---
---Raises on what is out of range, and on an unknown name.
---
---Source: tcp(7); RFC 9293, 3.8.4; RFC 5482.
---
---```lua
---conn:keepalive{idle = 30, interval = 5, count = 3}
---```
---@param t boolean|ringlet.conn.keepalive.t|nil false: no more; nil or true: by default
---@return true|nil
---@return string|nil # message
---@return string|nil # "ECLOSED", ...
---@overload fun(self: ringlet.conn, t: boolean|ringlet.conn.keepalive.t|nil): nil, string, string
function conn:keepalive(t) end

---Say how this connection is used, for a server that evicts when it has too much to do; or ask.
---"short" ones, as those of HTTP, rest between two exchanges and go first; "long" ones go when
---their heartbeat is overdue; "protected" ones only when there are no others.
---
---Does not park.
---
---Raises on another name.
---@param name? string "short", "long" or "protected"
---@return string|nil # the class it has now
---@return string|nil # message
---@return string|nil # "ECLOSED", "ENOMEM"
---@overload fun(self: ringlet.conn, name?: string): nil, string, string
function conn:class(name) end

---Set the priority with which what this connection brings is handled, or ask for it. Once set, it
---is not told from the bytes any more (`classify` of `net.serve`). The task of a connection that
---has one gets it too.
---
---Does not park.
---
---Raises on another name.
---@param name? string "critical", "normal" or "background", see `task:priority`
---@return string|nil # the priority it has now
---@return string|nil # message
---@return string|nil # "ECLOSED"
---@overload fun(self: ringlet.conn, name?: string): nil, string, string
function conn:priority(name) end

---A heartbeat of the peer has come. From the first one on - or from the beginning, if the server
---sends some - one is expected every 10 s (`every`); when it is more than 5 s late (`late`) the
---weight of the connection is halved, and doubled again by the next that is not.
---
---Does not park.
---@param load? number what the peer told of its load
---@return boolean # whether it is a connection of a server with `heartbeat`
function conn:heard(load) end

---How much this connection can be given, as its heartbeats tell.
---
---Does not park.
---@return number # from 1/16 to 1
---@return number|nil # the load that the last heartbeat told
---@return number|nil # seconds since that
function conn:weight() end

---@class ringlet.conn_stats
---@field bytes_in integer
---@field bytes_out integer
---@field reads integer completions that brought bytes
---@field writes integer operations
---@field queued_in integer bytes received and not read
---@field queued_out integer bytes written and not sent

---Counters of the connection.
---
---Does not park.
---@return ringlet.conn_stats|nil # a new table
---@return string|nil # message
---@return string|nil # "ECLOSED" when its run has ended
---@overload fun(self: ringlet.conn): nil, string, string
function conn:stats() end

---A running server, from `net.serve`.
---@class ringlet.server
local server = {}

---The address it listens on, with the real port.
---
---Does not park.
---@return string # "host:port"
function server:addr() end

---Stop accepting, wait for the connections, then cancel what is left. What the kernel has queued
---by then is still accepted. Connections of an `on_data` server are closed as soon as all they sent
---is handled, idle ones at once, those that have sent nothing yet after a second; a handler that is
---a function decides itself. When the run is stopped, its servers are, with the run's grace; when
---it is ended, every `on_close` is still called. Idempotent: the first call sets the grace.
---
---Parks until the server has ended.
---@async
---@param grace? number seconds to wait (10)
---@return true
function server:stop(grace) end

---Wait until the server has ended.
---
---Parks until then; not at all if it has.
---@async
---@param timeout? number seconds
---@return true|nil
---@return string|nil # message
---@return string|nil # "ETIMEDOUT"
---@overload fun(self: ringlet.server, timeout?: number): nil, string, string
function server:join(timeout) end

---Take one shard out of service, while the others go on: accept what is queued for it, then refuse
---connections. Those it has are left alone; it ends with the last of them. Of `http.serve` they end
---behind the answer to their next request, or when that does not come for `idle_timeout`.
---
---A client whose handshake ends in the moment between the last accept and the close is reset,
---unless the kernel may move it to another listener: `net.ipv4.tcp_migrate_req`, or the option
---`steer`, with which the kernel also moves what is queued, as long as another shard serves.
---
---Parks until the shard accepts no more.
---
---Raises when the server does not serve there.
---
---Source: M. Iwashima, "Socket migration for SO_REUSEPORT", Linux 5.14.
---@async
---@param shard? integer one that serves; this one by default
---@return true
function server:drain(shard) end

---Load the handler anew: of `http.serve` with the name of a module. The module is required as if
---it had not been loaded yet - the modules that it requires are not - and handles the requests that
---begin from then on; those under way end with the handler they began with, and so do WebSockets.
---If it cannot be loaded, or is no handler, all goes on with the handler there was. Of several
---shards one does it after the other, up to the first that fails.
---
---Parks when it serves on other shards, until each has done it.
---
---Raises when the handler is no module, and when the server does not serve on that shard.
---
---```lua
---assert(server:reload())
---```
---@async
---@param shard? integer one that serves; all by default
---@return true|nil
---@return string|nil # what is wrong with the module
---@return string|nil # "EINVAL", or "ECLOSED" when the server has ended
---@return integer|nil # on which shard
---@overload fun(self: ringlet.server, shard?: integer): nil, string, string, integer
function server:reload(shard) end

---What became of it on each shard.
---
---Does not park.
---
---Returns shard -> "serving", "draining" (it accepts no more; connections live), "stopping" or
---"ended".
---@return table
function server:shards() end

---A heartbeat of a connection has come: the same as `conn:heard`.
---
---Does not park.
---@param conn ringlet.conn
---@param load? number
---@return boolean # whether its server has heartbeats
function server:heard(conn, load) end

---The weight of a connection: the same as `conn:weight`.
---
---Does not park.
---@param conn ringlet.conn
---@return number # from 1/16 to 1
---@return number|nil # the load that the last heartbeat told
---@return number|nil # seconds since that
function server:weight(conn) end

---@class ringlet.server_stats
---@field accepted integer connections taken so far, refused ones too
---@field live integer connections
---@field waiting integer accepted beyond the limit
---@field errors integer of handlers
---@field shortages integer times that accepting paused for lack of descriptors or memory
---@field refused integer connections closed at once because of `max_per_address`
---@field evicted integer connections given up because of the load
---@field late integer heartbeats that came too late, or not at all
---with `classify`, on one shard: {critical =, normal =, background =} messages so far, and `over`,
---those that the budget made normal; else empty
---@field classes table
---@field shards table shard -> these counters of that shard

---Counters of the server. Those of other shards are as of the last connection that began or ended
---there.
---
---Does not park.
---@return ringlet.server_stats # a new table
function server:stats() end

---TCP and Unix sockets: connections, listeners and servers.
---
---    local rl, net = require "ringlet", require "ringlet.net"
---    rl.run(function()
---      net.serve("127.0.0.1:7000", function(conn)
---        for line in conn:lines() do conn:write(line, "\n") end
---      end)
---    end)
---
---Addresses are "host:port": "127.0.0.1:80", "[::1]:80", "localhost:80", ":80" (0.0.0.0 to listen
---on, this host to connect to); port 0 lets the kernel choose. Those of Unix sockets are
---"unix:/path" and, of the abstract name space, which has no permissions, "unix:@name"; the path
---has 107 bytes at most. Text that is no address raises.
---Timeouts are seconds. What fails returns `nil, "ENAME: message", "ENAME"`; at the end of a
---stream that is "EOF", after one's own close "ECLOSED", when time is up "ETIMEDOUT".
---Other codes are the names of errno(3): "ECONNRESET", "EPIPE", "EMFILE" and so on.
---@class ringlet.net
local M = {}

---@class ringlet.net.connect.opts
---@field timeout? number seconds for all of it, the lookup included
---@field read_timeout? number seconds for each read, as `conn:set_timeout`
---@field write_timeout? number seconds for each write
---@field idle_timeout? number seconds without a byte either way
---bytes received and not read, from which on the kernel is not asked for more (65536)
---@field read_high_water? integer
---@field write_high_water? integer bytes queued, from which on `conn:write` parks (65536)

---Connect. Names are looked up by getaddrinfo on a helper thread; of several addresses one
---attempt follows another after 250 ms or a failure, families by turns, and the first to answer
---wins. TCP_NODELAY is on.
---
---Parks until connected.
---
---Raises on an address or option it does not know; outside of a task.
---
---Source: RFC 8305; getaddrinfo(3); connect(2); tcp(7).
---
---Returns conn.
---
---Or nil, message, "ECONNREFUSED", "ENOENT" (no such host), "ETIMEDOUT", ...; of several addresses,
---the first failure.
---@async
---@param addr string "host:port" or "unix:/path"
---@param opts? ringlet.net.connect.opts
---@return ringlet.conn|nil
---@return string|nil
---@return string|nil
---@overload fun(addr: string, opts?: ringlet.net.connect.opts): nil, string, string
function M.connect(addr, opts) end

---@class ringlet.net.listen.opts
---@field backlog? integer connections that wait to be accepted (1024)
---@field reuseport? boolean several sockets may listen on the address (false)
---@field v6only? boolean no IPv4 on an IPv6 address (false)
---@field mode? string octal permissions of a Unix socket's file, less the umask ("600")

---Listen. SO_REUSEADDR is on. The file of a Unix socket that nobody listens on any more is removed
---first, and the new one when the listener is closed; make sure that nobody else may write to its
---directory.
---
---Parks for the lookup of a name that is not "localhost", and when there is a file already.
---
---Raises on an address or option it does not know; outside of `run`.
---
---Source: listen(2), socket(7), ipv6(7), unix(7).
---@async
---@param addr string "host:port" or "unix:/path"
---@param opts? ringlet.net.listen.opts
---@return ringlet.listener|nil
---@return string|nil # message
---@return string|nil # "EADDRINUSE", "EACCES", "EADDRNOTAVAIL", "ENOENT" (no such host), ...
---@overload fun(addr: string, opts?: ringlet.net.listen.opts): nil, string, string
function M.listen(addr, opts) end

---@class ringlet.net.serve.handler
---@field on_open? fun(conn: ringlet.conn) before the first `on_data`
---@field on_data fun(conn: ringlet.conn, data: string|ringlet.slice) for each piece received
---at the end; without a message for the peer's end of stream and for one's own close
---@field on_close? fun(conn: ringlet.conn, msg: string|nil, code: string|nil)

---@class ringlet.net.serve.opts
---from there on clients wait in the backlog; of several shards each has an equal part of it,
---rounded up (65536)
---@field max_connections? integer
---connections that one client address may have, on all shards together; more are reset at once, and
---counted as `refused`
---@field max_per_address? integer
---@field ipv6_prefix? integer bits of an IPv6 address that tell whose it is, for that (64)
---look after connections, in three levels; true, or {keepalive =, every =, late =, beat =,
---on_weight =, check =, max_load =, metrics =, batch =, share =, idle =, classify =, on_evict =},
---which the guide "Many connections" explains
---@field heartbeat? boolean|table
---@field backlog? integer connections that wait to be accepted (1024)
---@field reuseport? boolean several sockets may listen on the address (false)
---@field v6only? boolean no IPv4 on an IPv6 address (false)
---@field mode? string octal permissions of a Unix socket's file, less the umask ("600")
---@field read_timeout? number seconds for each read, as `conn:set_timeout`
---@field write_timeout? number seconds for each write
---@field idle_timeout? number seconds without a byte either way
---bytes received and not read, from which on the kernel is not asked for more (65536)
---@field read_high_water? integer
---@field write_high_water? integer bytes queued, from which on `conn:write` parks (65536)
---@field total_timeout? number seconds a connection may live
---@field buffers? boolean `on_data` gets slices instead of strings (false)
---{paths =, ports =, fn =, budget =}: priorities for what comes, told from its first bytes when
---they are received. `paths`: of requests of HTTP, {["/pay"] = "critical", ["/bulk/*"] =
---"background"}; the longest that matches counts. `ports`: of servers, for what nothing else tells.
---`fn(bytes, conn)` gives a priority or nil for what no path tells; it is called in the loop, and
---must not park. `budget`: critical messages a second (any number); more are normal. What is
---critical is handled first, and interrupts what computes, see `task:priority`
---@field classify? table
---@field daemon? boolean it does not keep run alive (false)
---@field name? string for dumps
---where connections are served: "all"; a list of shards; or a number of them, of which this one is
---the first (1)
---@field shards? integer|string|table
---with several shards: "reuseport", each accepts for itself; "handover", this one accepts and hands
---over to the others, as always of Unix sockets ("reuseport")
---@field accept? string
---of "handover": to the shard with the "fewest" connections, or in "turn"; a stalled one is passed
---over ("fewest")
---@field placement? string
---what `bpf.steer` gives, with several shards: the kernel places new connections as that says,
---instead of by a hash; where one shard serves it changes nothing
---@field steer? table

---Serve connections. A running server keeps `run` alive until `server:stop`.
---
---With a function, each connection gets a task that runs it. With a table no task exists while a
---connection is idle: the handlers run one at a time for a connection, in tasks drawn from a crew.
---All of them may park. A connection is closed when its function ends, and when a handler raises;
---the error goes to `rl.on_error`.
---
---With `shards` the server works on several shards, and the one object that is returned is for all
---of them. The handlers are copied to the other shards as jobs are, and their errors go to
---`on_error` there, which `rl.shard_init` may set. It fails when one shard cannot listen.
---
---Parks for the lookup of a name that is not "localhost", and when a Unix socket's file is there
---already; with other shards, until they listen.
---
---Raises on an address, handler or option it does not know; when a handler cannot travel, with the
---path to what cannot; outside of `run`.
---
---Source: listen(2), accept(2), socket(7) on SO_REUSEPORT, ipv6(7).
---@async
---@param addr string "host:port" or "unix:/path"
---@param handler fun(conn: ringlet.conn)|ringlet.net.serve.handler
---@param opts? ringlet.net.serve.opts
---@return ringlet.server|nil
---@return string|nil # message
---@return string|nil # "EADDRINUSE", "EACCES", "EADDRNOTAVAIL", "ENOENT" (no such host), ...
---@overload fun(addr, handler, opts?): nil, string, string
function M.serve(addr, handler, opts) end

return M
