-- SPDX-License-Identifier: MIT
-- http_client_redirect: where a response sends a client, and what the request becomes on its way
-- (RFC 9110 15.4).
--
-- Invariants: credentials and cookies that were set for one origin are not sent to another. A body
-- that came from a function is sent once: a redirect that would need it again is not followed.

local head = require "ringlet.http_client_head"
local url = require "ringlet.http_url"

local M = {}

local STATUS = {[301] = true, [302] = true, [303] = true, [307] = true, [308] = true}

-- What belongs to a body, and goes with it.
local OF_BODY = {
  ["content-type"] = true, ["content-encoding"] = true, ["content-language"] = true,
  ["content-location"] = true, ["digest"] = true, ["last-modified"] = true,
}

local SECRET = {authorization = true, cookie = true, ["proxy-authorization"] = true, host = true}

-- The method of the next request. POST becomes GET on 301 and 302, as everywhere (15.4.2, 15.4.3);
-- on 303 everything does but HEAD.
local function method_after(status, method)
  if status == 303 and method ~= "HEAD" then
    return "GET"
  elseif (status == 301 or status == 302) and method == "POST" then
    return "GET"
  end
  return method
end

local function is_same_origin(a, b)
  return a.scheme == b.scheme and a.host == b.host and a.port == b.port
end

local function target_of(from, location)
  local text = url.resolve(url.build(from), location)
  local parts, msg, code = url.parse(text)
  if parts and not parts.fragment then
    parts.fragment = from.fragment
  end
  return parts, msg, code
end

-- Count a redirect; nil, a message and a code: it is one too many.
local function count(request, to)
  local text = url.build(to)
  local key = request.method .. " " .. text
  request.seen = request.seen or {}
  request.hops = request.hops + 1
  if request.hops > request.redirects then
    return nil, ("ELOOP: more than %d redirects, the last to %s"):format(request.redirects, text),
      "ELOOP"
  elseif request.seen[key] and not request.client.cookies then
    return nil, "ELOOP: the redirects go in a circle, to " .. text, "ELOOP"
  end
  request.seen[key] = true
  return true
end

-- Change the request to the one that a response asks for: {url, method, fields, body, ...}, whose
-- `hops` and `seen` are the redirects so far. true: send it; false: the response is what the
-- user gets; or nil, a message and a code.
function M.follow(request, res)
  local location = STATUS[res.status] and request.redirects > 0 and res:header "location"
  if not location then
    return false
  end
  local method = method_after(res.status, request.method)
  local drops_body = method ~= request.method
  if type(request.body) == "function" and not drops_body then
    return false
  end
  local to, msg, code = target_of(request.url, location)
  if not to then
    return nil, ("%s, where %s redirects to"):format(msg, res.url), code
  end
  if drops_body then
    request.method, request.body, request.length, request.expect = method, false, false, false
    request.fields = head.without(request.fields, OF_BODY)
  end
  if is_same_origin(request.url, to) then
    to.user, to.password = to.user or request.url.user, to.password or request.url.password
  else
    request.fields = head.without(request.fields, SECRET)
    request.usual = head.without(request.usual, SECRET)
    request.auth = false
  end
  request.url = to
  return count(request, to)
end

return M
