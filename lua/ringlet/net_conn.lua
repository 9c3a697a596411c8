-- SPDX-License-Identifier: MIT
-- Connections: the methods of what ringlet.net gives its users, thin wrappers of src/lua/lconn.c.

local core = require "ringlet.core"
local evict = require "ringlet.net_evict"
local fail = require "ringlet.fail"
local heartbeat = require "ringlet.net_heartbeat"
local keepalive = require "ringlet.net_keepalive"
local options = require "ringlet.options"
local priority = require "ringlet.priority"

local until_ = core.net_until

local M = {}

--- @module ringlet.net

--- A connection: what `connect` and `accept` return and handlers get. One task may read, any number
-- may write; writes are sent in the order of the calls and never mixed. Collected without `close`,
-- it is closed.
--
-- Every call but `close` and `abort` can also fail with "ECLOSED", and those that move bytes with
-- what ended the connection: "ECONNRESET", "ETIMEDOUT" and so on.
-- @type conn
local Conn = {}

local conn_read, conn_read_buffer = core.conn_read, core.conn_read_buffer
local conn_write, conn_write_turn = core.conn_write, core.conn_write_turn

-- A read with a timeout of its own.
local function read_timed(read, conn, timeout)
  local data, code = read(conn, timeout)
  while data == true do
    data, code = read(conn, timeout)
  end
  if data then
    return data
  end
  return fail(code)
end

-- A coroutine that waits costs as much as its stack, and most wait in `read`: so there are few and
-- small frames below it, and the timeout is not passed on when there is none.

--- Whatever has been received: at least one byte, as soon as there is any.
-- @parks while there is none
-- @tparam[opt] number timeout seconds, by default as `set_timeout` says
-- @treturn string
-- @fails "EOF", "ETIMEDOUT", "ECONNRESET", "ECLOSED"
-- @raise when another task is reading, or `on_data` does
-- @source recv(2)
function Conn:read(timeout)
  if timeout ~= nil then
    return read_timed(conn_read, self, timeout)
  end
  local data, code = conn_read(self)
  while data == true do
    data, code = conn_read(self)
  end
  if data then
    return data
  end
  return fail(code)
end

--- The same as a slice, which is valid until the next read of this connection.
-- @parks while there is nothing
-- @tparam[opt] number timeout seconds, by default as `set_timeout` says
-- @treturn slice
-- @fails "EOF", "ETIMEDOUT", "ECONNRESET", "ECLOSED"
-- @raise when another task is reading, or `on_data` does
-- @source recv(2)
function Conn:read_buffer(timeout)
  if timeout ~= nil then
    return read_timed(conn_read_buffer, self, timeout)
  end
  local slice, code = conn_read_buffer(self)
  while slice == true do
    slice, code = conn_read_buffer(self)
  end
  if slice then
    return slice
  end
  return fail(code)
end

--- Exactly n bytes. When it fails, at the end of the stream too, nothing was taken: what had been
-- received is there for the next read.
-- @parks until they are there
-- @tparam integer n bytes, at most 1 GiB
-- @tparam[opt] number timeout seconds for all of it, by default as `set_timeout` says
-- @treturn string
-- @fails "EOF", "ETIMEDOUT", "ECONNRESET", "ECLOSED"
-- @raise when another task is reading, or `on_data` does
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

--- What comes before `delim`, which is taken as well. When it fails nothing was taken.
-- @parks until it is there
-- @tparam string delim 1 byte or more
-- @tparam[opt=65536] integer max bytes before `delim`
-- @tparam[opt] number timeout seconds for all of it, by default as `set_timeout` says
-- @treturn string what comes before `delim`
-- @fails "EMSGSIZE" when there are more than `max`; "EOF", "ETIMEDOUT", "ECONNRESET", "ECLOSED"
-- @raise when another task is reading, or `on_data` does
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

--- A line without its "\n" or "\r\n". When it fails nothing was taken: a last line that does not
-- end in a newline is left for `read`.
-- @parks until it is there
-- @tparam[opt=65536] integer max bytes of the line
-- @tparam[opt] number timeout seconds for all of it, by default as `set_timeout` says
-- @treturn string
-- @fails "EMSGSIZE" when it is longer; "EOF", "ETIMEDOUT", "ECONNRESET", "ECLOSED"
-- @raise when another task is reading, or `on_data` does
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

--- Everything up to the end of the stream. When it fails nothing was taken.
-- @parks until the peer has ended the stream
-- @tparam[opt=16777216] integer max bytes
-- @tparam[opt] number timeout seconds for all of it, by default as `set_timeout` says
-- @treturn string "" when there was nothing
-- @fails "EMSGSIZE" when there are more; "ETIMEDOUT", "ECONNRESET", "ECLOSED"
-- @raise when another task is reading, or `on_data` does
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

--- Iterate over the lines, as `read_line` gives them, up to the end of the stream; the last one
-- needs no newline.
-- @parks in the loop, while there is no line
-- @treturn fun(conn:conn):?string for a `for` loop; raises the message of a failure
-- @treturn conn
function Conn:lines()
  return next_line, self
end

--- Send strings, numbers, slices, shared buffers, or lists of them, in this order. Returns when
-- they are queued. It takes all or, when it fails, nothing. What is queued in one turn of the
-- scheduler is sent by one operation.
-- @parks while 64 KiB (`write_high_water`) or more are queued already, until half of that is sent
-- @tparam string|number|slice|shared_buffer|table ... what to send
-- @treturn true
-- @fails "EPIPE" after `shutdown`; "ECONNRESET", "ETIMEDOUT", "ECLOSED", "ENOMEM"
-- @raise on another type, and on a slice that is no longer valid
-- @source send(2)
-- @function write

-- Without a name for self: it would be one more slot, and the stack would grow for it.
local function write_values(...)
  local ok, code = conn_write(...)
  if ok == true then
    ok, code = conn_write_turn(...)
  end
  if ok then
    return true
  end
  return fail(code)
end
Conn.write = write_values

--- Wait until everything written before has been given to the kernel.
-- @parks until then; not at all if it has
-- @tparam[opt] number timeout seconds
-- @treturn true
-- @fails "ETIMEDOUT", "ECONNRESET", "EPIPE", "ECLOSED"
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
-- @treturn true
-- @fails "ECLOSED", or what ended the connection
-- @source shutdown(2)
function Conn:shutdown()
  local ok, code = core.conn_shutdown(self)
  if ok then
    return true
  end
  return fail(code)
end

--- Close. What is queued is sent in the background, for at most 5 s. Tasks that wait for this
-- connection get "ECLOSED". Idempotent; works while cancelled.
-- @treturn true
-- @source close(2)
function Conn:close()
  local ok = core.conn_close(self)
  return ok
end

--- Close at once: what is queued is lost, the peer gets a reset.
-- @treturn true
-- @source RFC 9293, 3.10.5; SO_LINGER in socket(7)
function Conn:abort()
  local ok = core.conn_abort(self)
  return ok
end

--- The peer's address.
-- @treturn string "host:port"; of a Unix socket "unix:/path", mostly without a path: "unix:"
-- @fails "ECLOSED", "ENOTCONN"
-- @source getpeername(2)
function Conn:peername()
  local name, code = core.conn_peername(self)
  if name then
    return name
  end
  return fail(code)
end

--- This side's address.
-- @treturn string "host:port"
-- @fails "ECLOSED"
-- @source getsockname(2)
function Conn:sockname()
  local name, code = core.conn_sockname(self)
  if name then
    return name
  end
  return fail(code)
end

--- Who is at the other end of a Unix socket: the process that connected or, for who connected, that
-- listens.
-- @treturn table {pid=, uid=, gid=}
-- @fails "EOPNOTSUPP" when it is no Unix socket; "ECLOSED"
-- @source SO_PEERCRED in unix(7)
function Conn:credentials()
  local pid, uid, gid = core.conn_credentials(self)
  if pid then
    return {pid = pid, uid = uid, gid = gid}
  end
  return fail(uid)
end

local TIMEOUTS = {read = "number", write = "number", idle = "number"}

--- Set what applies to every later call without a timeout of its own; nil removes it.
-- @tparam ?|number|table|nil t seconds for reads and for writes, more than 0; or each by its name
-- @tparam[opt] number t.read seconds for each read
-- @tparam[opt] number t.write seconds for each write
-- @tparam[opt] number t.idle seconds: without a byte either way for this long, while something
-- waits for the peer, the connection fails with "ETIMEDOUT"
-- @treturn true
-- @fails "ECLOSED", "ENOMEM"
-- @raise on what is no positive number, and on an unknown name
function Conn:set_timeout(t)
  local read, write, idle = t, t, nil
  if type(t) == "table" then
    options.check(t, TIMEOUTS)
    read, write, idle = t.read, t.write, t.idle
  end
  local ok, code = core.conn_limits(self, read, write, idle, false)
  if ok then
    return true
  end
  return fail(code)
end

--- Set a socket option: "nodelay", "keepalive" (booleans), "keepidle", "keepintvl" (seconds),
-- "keepcnt", "user_timeout" (ms), "sndbuf", "rcvbuf" (bytes).
-- @tparam string name of the option
-- @tparam boolean|integer value
-- @treturn true
-- @fails "EINVAL", "ECLOSED", ...
-- @raise on an unknown option
-- @source tcp(7), socket(7)
function Conn:setopt(name, value)
  local ok, code = core.conn_setopt(self, name, value)
  if ok then
    return true
  end
  return fail(code)
end

--- Have the kernel find out that the peer is dead, also while nothing is sent: it is asked, and
-- when it does not answer, or does not acknowledge what was sent, the connection fails with
-- "ETIMEDOUT".
--
-- `timeout` holds for what was sent, too: also a peer that lives, but takes nothing for so long, is
-- given up.
-- @tparam ?|boolean|table|nil t false: no more; nil or true: by default
-- @tparam[opt=1] integer t.idle seconds without a byte after which it is asked
-- @tparam[opt=1] integer t.interval seconds between two questions
-- @tparam[opt=4] integer t.count questions without an answer
-- @tparam[opt] number t.timeout seconds without an answer or acknowledgement after which it is
-- dead, by default `idle + interval * count`; 0: `count` alone decides
-- @treturn true
-- @fails "ECLOSED", ...
-- @raise on what is out of range, and on an unknown name
-- @source tcp(7); RFC 9293, 3.8.4; RFC 5482
-- @usage conn:keepalive{idle = 30, interval = 5, count = 3}
function Conn:keepalive(t)
  keepalive.check(t, 2)
  return keepalive.set(core.conn_setopt, self, t)
end

--- Say how this connection is used, for a server that evicts when it has too much to do; or ask.
-- "short" ones, as those of HTTP, rest between two exchanges and go first; "long" ones go when
-- their heartbeat is overdue; "protected" ones only when there are no others.
-- @tparam[opt] string name "short", "long" or "protected"
-- @treturn string the class it has now
-- @fails "ECLOSED", "ENOMEM"
-- @raise on another name
function Conn:class(name)
  if name ~= nil and not evict.KINDS[name] then
    error('"short", "long" or "protected" expected', 2)
  end
  local kind, code = core.conn_kind(self, name and evict.KINDS[name])
  if kind then
    return evict.NAMES[kind]
  end
  return fail(code)
end

--- Set the priority with which what this connection brings is handled, or ask for it. Once set, it
-- is not told from the bytes any more (`classify` of `net.serve`). The task of a connection that
-- has one gets it too.
-- @tparam[opt] string name "critical", "normal" or "background", see `task:priority`
-- @treturn string the priority it has now
-- @fails "ECLOSED"
-- @raise on another name
function Conn:priority(name)
  local number = name ~= nil and priority.number(name, "priority", 2) or nil
  local got, code = core.net_priority(self, number)
  if got then
    return priority.NAMES[got]
  end
  return fail(code)
end

--- A heartbeat of the peer has come. From the first one on - or from the beginning, if the server
-- sends some - one is expected every 10 s (`every`); when it is more than 5 s late (`late`) the
-- weight of the connection is halved, and doubled again by the next that is not.
-- @tparam[opt] number load what the peer told of its load
-- @treturn boolean whether it is a connection of a server with `heartbeat`
function Conn:heard(load)
  return heartbeat.heard(self, load)
end

--- How much this connection can be given, as its heartbeats tell.
-- @treturn number from 1/16 to 1
-- @treturn ?number the load that the last heartbeat told
-- @treturn ?number seconds since that
function Conn:weight()
  return heartbeat.weight(self)
end

--- Counters of the connection.
-- @treturn conn_stats a new table
-- @tfield[conn_stats] integer bytes_in
-- @tfield[conn_stats] integer bytes_out
-- @tfield[conn_stats] integer reads completions that brought bytes
-- @tfield[conn_stats] integer writes operations
-- @tfield[conn_stats] integer queued_in bytes received and not read
-- @tfield[conn_stats] integer queued_out bytes written and not sent
-- @fails "ECLOSED" when its run has ended
function Conn:stats()
  local stats, code = core.conn_stats(self)
  if stats then
    return stats
  end
  return fail(code)
end

core.conn_class.__index = Conn

--- @section end

-- The options of a connection, for options.check.
M.OPTIONS = {
  read_timeout = "number", write_timeout = "number", idle_timeout = "number",
  read_high_water = "number", write_high_water = "number",
}

-- Apply the options of a new connection.
function M.configure(conn, opts)
  if opts.read_high_water or opts.write_high_water then
    core.conn_marks(conn, opts.read_high_water, opts.write_high_water)
  end
  core.conn_limits(conn, opts.read_timeout, opts.write_timeout, opts.idle_timeout,
    opts.total_timeout)
end

return M
