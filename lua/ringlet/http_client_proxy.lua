-- SPDX-License-Identifier: MIT
-- http_client_proxy: which requests go through a proxy, and what that changes.

local auth = require "ringlet.http_client_auth"
local url = require "ringlet.http_url"

local M = {}

-- "a.org, .b.org" -> {"a.org", ".b.org"}
local function list_of(text)
  local list = {}
  for item in text:gmatch "[^,%s]+" do
    list[#list + 1] = item:lower()
  end
  return list
end

-- Of the options of a client: {addr, authorization, except}, nil without a proxy.
function M.new(opts, level)
  if not opts.proxy then
    return nil
  end
  local parts, msg = url.parse(opts.proxy)
  if not parts then
    error("option 'proxy': " .. msg, level)
  elseif parts.scheme ~= "http" then
    error("option 'proxy' must be an http:// URL", level)
  end
  local credentials = opts.proxy_auth
    or parts.user and parts.user .. ":" .. (parts.password or "") or nil
  local except = opts.no_proxy or {}
  return {
    addr = url.address(parts), authorization = credentials and auth.basic(credentials),
    except = type(except) == "table" and except or list_of(except),
  }
end

-- Does `rule` mean the host? "*": each does; "b.org" and ".b.org": it and what is below it.
local function matches(rule, host, port)
  local name, number = rule:match "^(.-):(%d+)$"
  if name and name ~= "" and not name:find(":", 1, true) then
    if tonumber(number) ~= port then
      return false
    end
    rule = name
  end
  rule = rule:gsub("^%.", ""):gsub("^%[(.*)%]$", "%1")
  return rule == "*" or rule == host or host:sub(-#rule - 1) == "." .. rule
end

-- Does the request for a URL go through the proxy?
function M.is_used(proxy, parts)
  for _, rule in ipairs(proxy.except) do
    if matches(rule:lower(), parts.host, parts.port) then
      return false
    end
  end
  return true
end

return M
