-- SPDX-License-Identifier: MIT
-- Looking hosts up and opening listeners: what net.listen and net.serve share, on whichever shard.

local core = require "ringlet.core"
local fail = require "ringlet.fail"
local keepalive = require "ringlet.net_keepalive"

local M = {}

local NO_HOST, REFUSED, IN_USE = -2, -111, -98 -- ENOENT, ECONNREFUSED, EADDRINUSE

-- Of a Unix socket's file: for its owner alone.
local MODE = "600"

-- Look a host up; a lookup, or nil, code.
function M.resolve(host, port, passive, due)
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

-- What a lookup's code means to users.
function M.lookup_failed(host, code)
  if code == NO_HOST then
    return nil, "ENOENT: host not found: " .. host, "ENOENT"
  end
  return fail(code)
end

-- A file is left of a Unix socket that nobody listens on. Parks.
local function is_stale(host)
  local dial = core.net_dial(host, 0)
  if not dial then
    return false
  end
  local conn, code
  repeat
    conn, code = core.net_dial_wait(dial)
  until conn ~= true
  core.net_dial_close(dial)
  if conn then
    core.conn_abort(conn)
  end
  return code == REFUSED
end

local function listen_unix(host, opts)
  local mode = tonumber(opts.mode or MODE, 8)
  local listener, code = core.net_listen(host, 0, opts.backlog, false, false, mode)
  if not listener and code == IN_USE and host:find "^unix:/" and is_stale(host)
    and core.net_unlink(host:sub(6)) then
    listener, code = core.net_listen(host, 0, opts.backlog, false, false, mode)
  end
  return listener, code
end

--- Is this the address of a Unix socket, as net_split gives it?
function M.is_unix(host)
  return host:find "^unix:[/@]" ~= nil
end

-- A listener | nil, msg, code. `reuseport` is set for what several shards listen on.
function M.open(host, port, opts, reuseport)
  reuseport = reuseport or opts.reuseport
  if host == "" then
    host = "0.0.0.0"
  elseif host == "localhost" then
    host = "127.0.0.1"
  end
  local listener, code, lookup
  if M.is_unix(host) then
    listener, code = listen_unix(host, opts)
  elseif core.net_is_literal(host, port) then
    listener, code = core.net_listen(host, port, opts.backlog, reuseport, opts.v6only)
  else
    lookup, code = M.resolve(host, port, true)
    if not lookup then
      return M.lookup_failed(host, code)
    end
    listener, code = core.net_listen_resolved(lookup, opts.backlog, reuseport, opts.v6only)
  end
  if listener then
    keepalive.inherit(listener, opts.heartbeat)
    return listener
  end
  return fail(code)
end

return M
