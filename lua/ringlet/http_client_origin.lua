-- SPDX-License-Identifier: MIT
-- http_client_origin: what a URL means to a client: where to connect to and what to ask for there.
--
-- An origin is {url, text, addr, host, target, proxy, auth, heads}: `text` is the URL without its
-- credentials, `addr` whom to connect to, which may be a proxy or a Unix socket, `host` the value
-- of Host, `heads` the heads of plain requests by method. A client remembers those of the last URLs
-- it was given.

local auth = require "ringlet.http_client_auth"
local core = require "ringlet.core"
local head = require "ringlet.http_client_head"
local proxies = require "ringlet.http_client_proxy"
local url = require "ringlet.http_url"

local M = {}

local REMEMBERED = 256

local HTTPS = "EPROTONOSUPPORT: https is not supported yet: this client has no TLS"

local function with_query(parts, query)
  local text = type(query) == "table" and url.query(query) or query
  if text ~= "" then
    parts.query = parts.query and parts.query ~= "" and parts.query .. "&" .. text or text
  end
end

-- Of a URL that was taken apart.
function M.of(client, parts)
  if parts.scheme == "https" then
    return nil, HTTPS, "EPROTONOSUPPORT"
  end
  local origin = {
    url = parts, text = url.build(parts), addr = url.address(parts), host = url.authority(parts),
    target = parts.path .. (parts.query and "?" .. parts.query or ""), proxy = false, heads = {},
    auth = parts.user and auth.basic(parts.user .. ":" .. (parts.password or "")) or false,
  }
  if client.unix then
    origin.addr = client.unix
  elseif client.proxy and proxies.is_used(client.proxy, parts) then
    origin.proxy, origin.addr = client.proxy, client.proxy.addr
    origin.target = "http://" .. origin.host .. origin.target
  end
  if not client.unix and not core.net_split(origin.addr) then
    return nil, ("EINVAL: %q is no address of a host"):format(origin.addr), "EINVAL"
  elseif not head.is_target(origin.target) then
    return nil, ("EINVAL: %q is no target of a request"):format(origin.target), "EINVAL"
  end
  return origin
end

-- Of the text of a URL that is not known yet.
local function learn(client, text)
  local parts, msg, code = url.parse(text)
  if not parts then
    return nil, msg, code
  end
  local origin
  origin, msg, code = M.of(client, parts)
  if origin then
    if client.origins_len >= REMEMBERED then
      client.origins, client.origins_len = {}, 0
    end
    client.origins[text] = origin
    client.origins_len = client.origins_len + 1
  end
  return origin, msg, code
end

-- Of the text of a URL, to which a query may be added.
function M.find(client, text, query)
  if not query then
    local origin, msg, code = client.origins[text], nil, nil
    if not origin then
      origin, msg, code = learn(client, text)
    end
    return origin, msg, code
  end
  local parts, msg, code = url.parse(text)
  if not parts then
    return nil, msg, code
  end
  with_query(parts, query)
  text = url.build(parts)
  local user, password = parts.user, parts.password
  parts, msg, code = url.parse(text)
  if not parts then
    return nil, msg, code
  end
  parts.user, parts.password = user, password
  return M.of(client, parts)
end

return M
