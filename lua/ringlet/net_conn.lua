-- SPDX-License-Identifier: MIT
-- Connections: the methods of what ringlet.net gives its users, thin wrappers of src/lua/lconn.c.

local core = require "ringlet.core"
local fail = require "ringlet.fail"
local options = require "ringlet.options"

local until_ = core.net_until

local M = {}

--- @module ringlet.net

--- A connection: what `connect` and `accept` return and handlers get. One task may read and any
-- number may write; writes are sent in the order of the calls and never mixed. Collected without
-- `close`, it is closed.
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

--- Exactly `n` bytes. Parks. When it fails, at the end of the stream too, nothing was taken: what
-- had been received is there for the next read.
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

--- A line without its "\n" or "\r\n". Parks. When it fails nothing was taken: a last line that
-- does not end in a newline is left for `read`.
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

--- Iterate over the lines up to the end of the stream, whose last line needs no newline. Parks;
-- raises on an error.
function Conn:lines()
  return next_line, self
end

--- Send strings, numbers, slices, or lists of them, in this order. Returns when they are queued;
-- parks while 64 KiB or more are queued already, until half of that is sent. It takes all or, when
-- it fails, nothing. What is queued in one turn of the scheduler is sent by one operation.
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

--- Close. Returns at once and does not park; what is queued is sent in the background for at most
-- 5 s. Tasks that wait for this connection get "ECLOSED". Idempotent; works while cancelled.
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
-- @param t seconds for reads and writes, or a table: `read` and `write`, for each call; `idle`:
-- without a byte either way for this long while something waits for the peer, the connection fails
-- with "ETIMEDOUT"
-- @return true, or nil, msg, code
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

--- Counters: `bytes_in`, `bytes_out`, `reads` and `writes` (operations), `queued_in` (received and
-- not read), `queued_out` (written and not sent).
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

--- Apply the options of a new connection.
-- @local
function M.configure(conn, opts)
  if opts.read_high_water or opts.write_high_water then
    core.conn_marks(conn, opts.read_high_water, opts.write_high_water)
  end
  core.conn_limits(conn, opts.read_timeout, opts.write_timeout, opts.idle_timeout,
    opts.total_timeout)
end

return M
