-- SPDX-License-Identifier: MIT
-- net_keepalive: have the kernel find out that a peer is dead. A quiet connection is probed; what
-- was sent and not acknowledged in time ends it. Connections inherit it all from their listener, so
-- it costs a server nothing for each of them.

local core = require "ringlet.core"
local fail = require "ringlet.fail"
local options = require "ringlet.options"

local M = {}

local KNOWN = {idle = "number", interval = "number", count = "number", timeout = "number"}
-- What the kernel takes: tcp(7), MAX_TCP_KEEPIDLE and so on.
local SECONDS = {min = 1, max = 32767, whole = true}
local BOUNDS = {
  idle = SECONDS, interval = SECONDS, count = {min = 1, max = 127, whole = true},
  timeout = {min = 0, max = 2147483},
}
local IDLE, INTERVAL, COUNT = 1, 1, 4

local OFF = {{"keepalive", false}, {"user_timeout", 0}}

--- Check what conn:keepalive is given; raises for the caller's caller.
function M.check(t, level)
  level = (level or 2) + 1
  if t ~= nil and type(t) ~= "boolean" then
    options.bounds(options.check(t, KNOWN, level), BOUNDS, level)
  end
end

--- The socket options that are meant, {name, value} each.
function M.settings(t)
  if t == false then
    return OFF
  end
  t = type(t) == "table" and t or {}
  local idle, interval, count = t.idle or IDLE, t.interval or INTERVAL, t.count or COUNT
  local timeout = t.timeout or idle + interval * count
  return {
    {"keepidle", idle}, {"keepintvl", interval}, {"keepcnt", count},
    {"user_timeout", math.ceil(timeout * 1000)}, {"keepalive", true},
  }
end

--- Set them, with core.conn_setopt or core.net_listener_setopt. true | nil, msg, code.
function M.set(setopt, x, t)
  for _, option in ipairs(M.settings(t)) do
    local ok, code = setopt(x, option[1], option[2])
    if not ok then
      return fail(code)
    end
  end
  return true
end

--- For a new listener of a server with the option `heartbeat`.
function M.inherit(listener, heartbeat)
  local t = nil
  if type(heartbeat) == "table" then
    t = heartbeat.keepalive
  end
  if heartbeat and t ~= false then
    M.set(core.net_listener_setopt, listener, t)
  end
end

return M
