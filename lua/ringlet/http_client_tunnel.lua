-- SPDX-License-Identifier: MIT
-- http_client_tunnel: a connection to somewhere through a proxy: CONNECT, after whose answer the
-- connection is no longer one of HTTP (RFC 9110 9.3.6).

local core = require "ringlet.core"
local exchange = require "ringlet.http_client_exchange"
local fail = require "ringlet.fail"
local net = require "ringlet.net"

local M = {}

local function request_of(client, addr, timeout)
  local lines = {"CONNECT " .. addr .. " HTTP/1.1", "Host: " .. addr}
  if client.proxy.authorization then
    lines[3] = "Proxy-Authorization: " .. client.proxy.authorization
  end
  local ask = setmetatable({
    method = "CONNECT", head = table.concat(lines, "\r\n") .. "\r\n\r\n", timeout = timeout,
  }, client.asks)
  if timeout < math.huge then
    ask.due, ask.expires = core.net_until(timeout), core.now() + timeout
  end
  return ask
end

local function refused(res, addr)
  return nil, ("ECONNREFUSED: the proxy answered %d %s to a tunnel to %s"):format(
    res.status, res.reason, addr), "ECONNREFUSED"
end

-- A connection to "host:port" through the client's proxy, within so many seconds.
function M.open(client, addr, timeout)
  local ask = request_of(client, addr, timeout)
  local within = math.min(timeout, client.hosts.connect.timeout)
  local conn, msg, code = net.connect(client.proxy.addr, {timeout = within})
  if not conn then
    return nil, msg, code
  end
  local res = {}
  local ok
  ok, msg, code = exchange.run(res, conn, ask)
  if ok and res.status >= 200 and res.status <= 299 then
    return conn
  end
  core.http_drop(conn)
  if ok then
    return refused(res, addr)
  elseif code == core.ECANCEL then
    fail(code)
  end
  return nil, msg, code
end

return M
