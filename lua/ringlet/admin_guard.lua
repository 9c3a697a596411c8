-- SPDX-License-Identifier: MIT
-- admin_guard: who may ask an admin endpoint, and from where.
--
-- Invariants: nothing but the probes is answered without the token, where there is one. On loopback
-- a request must name this host, or a page of another site whose name was made to lead here (DNS
-- rebinding) could read the answers. What changes something is a POST, and comes from our own page
-- or from no page at all; what merely costs something is not done for other sites' pages either.

local core = require "ringlet.core"

local M = {}

local COOKIE = "ringlet_admin"
-- Browsers that are let in at the same time, and for how many seconds.
local SESSIONS, SESSION_SECONDS = 64, 12 * 3600

-- ---- where it listens ---------------------------------------------------------------------------

local function host_of(addr)
  return addr:match "^%[(.*)%]:%d+$" or addr:match "^(.*):%d+$"
end

local function is_loopback(host)
  return host == "localhost" or host == "::1" or host:find "^127%.%d+%.%d+%.%d+$" ~= nil
end

--- What kind of address it is: "unix", "abstract", "loopback" or "public".
function M.kind_of(addr)
  if addr:find "^unix:@" then
    return "abstract"
  elseif addr:find "^unix:/" then
    return "unix"
  end
  local host = host_of(addr)
  return host and is_loopback(host:lower()) and "loopback" or "public"
end

-- ---- secrets ------------------------------------------------------------------------------------

-- The time it takes tells nothing about how much of them is equal.
local function are_equal(given, secret)
  local differences = math.abs(#given - #secret)
  for i = 1, #given do
    local at = (i - 1) % #secret + 1
    differences = differences + math.abs(given:byte(i) - secret:byte(at))
  end
  return differences == 0
end

-- Bytes that nobody can guess, in hexadecimal.
local function random_name()
  local source = io.open("/dev/urandom", "rb")
  local bytes = source and source:read(24) or ("%d%d"):format(core.random(), core.random())
  if source then
    source:close()
  end
  return (bytes:gsub(".", function(c)
    return ("%02x"):format(c:byte())
  end))
end
M.random_name = random_name

local function forget_old(guard, now)
  local oldest, count = nil, 0
  for id, since in pairs(guard.sessions) do
    if now - since > SESSION_SECONDS then
      guard.sessions[id] = nil
    else
      count = count + 1
      oldest = (not oldest or since < guard.sessions[oldest]) and id or oldest
    end
  end
  if count >= SESSIONS then
    guard.sessions[oldest] = nil
  end
end

-- The field Set-Cookie that lets this browser in from now on.
local function new_session(guard)
  local id, now = random_name(), core.now()
  forget_old(guard, now)
  guard.sessions[id] = now
  return ("%s=%s; Path=/; Max-Age=%d; HttpOnly; SameSite=Strict"):format(COOKIE, id,
    SESSION_SECONDS)
end

local function session_of(guard, req)
  for name, value in (req:header "cookie" or ""):gmatch "([^=;%s]+)=([^;]*)" do
    local since = name == COOKIE and guard.sessions[value]
    if since and core.now() - since <= SESSION_SECONDS then
      return true
    end
  end
  return false
end

-- ---- requests -----------------------------------------------------------------------------------

-- The host that the request names, without the port.
local function named_host(req)
  local host = (req.host or ""):lower()
  return host:match "^%[(.*)%]:?%d*$" or host:match "^(.-):%d+$" or host
end

local function is_this_host(guard, req)
  if guard.kind ~= "loopback" and not guard.hosts then
    return true
  end
  local host = named_host(req)
  return guard.kind == "loopback" and is_loopback(host)
    or guard.hosts ~= nil and guard.hosts[host] == true
end

-- Of an abstract name, which no permissions protect.
local function is_same_user(guard, req)
  if guard.kind ~= "abstract" then
    return true
  end
  local peer = req.conn:credentials()
  return peer ~= nil and (peer.uid == core.user() or peer.uid == 0)
end

-- Is it from our own page, from no page, or a user's way to our page?
local function is_from_here(req)
  local site, origin = req:header "sec-fetch-site", req:header "origin"
  if site and site ~= "same-origin" and site ~= "none" then
    return req.method == "GET" and req.path == "/"
  end
  return not origin or req.method == "GET" or origin:match "^https?://(.*)$" == req.host
end

--- A guard: for options of admin.serve, and the kind of address.
function M.new(opts, kind)
  local hosts
  for _, host in ipairs(opts.hosts or {}) do
    hosts = hosts or {}
    hosts[host:lower()] = true
  end
  return {token = opts.token, hosts = hosts, kind = kind, public = opts.public, sessions = {}}
end

--- Has it the token? nil; or what to answer: status, text, and a field of the head with its value.
-- The token in the query of the page's address is exchanged for a cookie, so that it is neither in
-- the history of the browser nor in later requests.
local function without_token(guard, req, args)
  if not guard.token then
    return nil
  end
  local bearer = (req:header "authorization" or ""):match "^[Bb]earer +(%S+)%s*$"
  local given = bearer or type(args.token) == "string" and args.token
  if given and are_equal(given, guard.token) then
    if not bearer and req.path == "/" then
      return 303, "", {["Set-Cookie"] = new_session(guard), Location = "/"}
    end
    return nil
  elseif not given and session_of(guard, req) then
    return nil
  end
  return 401, "a token is needed: Authorization: Bearer ..., or ?token=... behind the address\n",
    {["WWW-Authenticate"] = "Bearer"}
end

--- Why a request is refused: status, text, fields of the head; nil: it is not. `open`: what it asks
-- for needs no token.
function M.refusal(guard, req, args, open)
  if not is_this_host(guard, req) then
    return 403, "this host is not called that: see the option 'hosts' of admin.serve\n"
  elseif not is_same_user(guard, req) then
    return 403, "you are another user\n"
  elseif not is_from_here(req) then
    return 403, "not for a page of another site\n"
  elseif not open then
    return without_token(guard, req, args)
  end
end

return M
