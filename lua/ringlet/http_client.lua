-- SPDX-License-Identifier: MIT
-- http_client: clients of HTTP. Connections are in http_client_hosts, one request on one of them is
-- in http_client_exchange, what comes of it in http_client_response; here is what leads from one to
-- the next: URLs, options, retries, redirects, cookies, proxies.
--
-- An `ask` is one request with all its redirects and retries. What it does not have itself it has
-- from its client's defaults. A plain one, without options, has its head from a cache by URL.
--
-- Invariant: a request is sent again by itself only if its method is idempotent, its body is still
-- here, and it went out on a connection that had been used before and on which nothing came back
-- before its end (RFC 9110 9.2.2).

--- HTTP/1.1: clients.
-- @module ringlet.http
-- @section Clients

local asks = require "ringlet.http_client_ask"
local cookies = require "ringlet.http_cookies"
local core = require "ringlet.core"
local exchange = require "ringlet.http_client_exchange"
local fail = require "ringlet.fail"
local head = require "ringlet.http_client_head"
local hosts = require "ringlet.http_client_hosts"
local options = require "ringlet.options"
local origins = require "ringlet.http_client_origin"
local proxies = require "ringlet.http_client_proxy"
local redirect = require "ringlet.http_client_redirect"
local response = require "ringlet.http_client_response"
local tunnels = require "ringlet.http_client_tunnel"

local now = core.now
local HUGE = math.huge

local M = {}

local DRAINED_MAX = 65536 -- so much of a redirect's body is read to keep its connection

--- A client, from `http.client`: options, and a pool of connections for each host. It is of one
-- shard. Made outside of a run, or in one, it may be used in the next.
-- @type http_client
local Client = {__name = "ringlet.http_client"}
Client.__index = Client

-- ---- one request --------------------------------------------------------------------------------

local IDEMPOTENT = {
  GET = true, HEAD = true, OPTIONS = true, PUT = true, DELETE = true, TRACE = true,
}

local SWITCHED = "EPROTO: the server switched to another protocol"

local function failed_in(link, ok, ...)
  if not ok then
    hosts.discard(link)
    error((...), 0)
  end
  return ...
end

-- A body's function may raise.
local function run(res, link, ask)
  if type(ask.body) == "function" then
    return failed_in(link, pcall(exchange.run, res, link.conn, ask))
  end
  return exchange.run(res, link.conn, ask)
end

local function time_left(ask)
  local left = ask.expires and math.max(ask.expires - now(), 0)
  local most = ask.acquire_timeout
  return left and most and math.min(left, most) or left or most
end

local function no_connection(ask, origin, msg, code)
  if code ~= "ETIMEDOUT" or msg:find(", connecting to ", 1, true) then
    return nil, msg, code
  elseif ask.expires and now() >= ask.expires - 1e-6 then
    msg = ("ETIMEDOUT: %s took more than %g s"):format(ask.method, ask.timeout)
  else
    msg = "ETIMEDOUT: no connection within acquire_timeout"
  end
  return nil, ("%s, waiting for a connection to %s"):format(msg, origin.addr), code
end

-- Send it, once more where that is allowed, and wait for the head of the response.
local function send(client, ask, origin)
  while true do
    local link, msg, code = hosts.borrow(client.hosts, origin.addr, time_left(ask))
    if not link then
      return no_connection(ask, origin, msg, code)
    end
    local res = response.new(origin.text, ask)
    client.requests = client.requests + 1
    local ok, is_lost
    ok, msg, code, is_lost = run(res, link, ask)
    if ok and res.status ~= 101 then
      response.attach(res, link)
      return res
    end
    hosts.discard(link)
    if ok then
      return nil, SWITCHED, "EPROTO"
    elseif code == core.ECANCEL then
      fail(code)
    elseif not is_lost or link.served == 0 or not IDEMPOTENT[ask.method] or ask.consumed then
      return nil, msg, code
    end
    client.retried = client.retried + 1
  end
end

-- ---- redirects, cookies -------------------------------------------------------------------------

local function keep_cookies(client, origin, res)
  for _, text in ipairs(client.cookies and res:values "set-cookie" or asks.NONE) do
    cookies.set(client.cookies, origin.url, text)
  end
end

-- The body of a response that nobody gets.
local function drain(res)
  if res.link then
    response.read_rest(res, DRAINED_MAX)
  end
end

-- Send it, and what it is redirected to.
local function perform_plainly(client, ask, origin)
  while true do
    asks.write_head(ask, origin)
    local res, msg, code = send(client, ask, origin)
    if not res then
      return nil, msg, code
    end
    keep_cookies(client, origin, res)
    if res.status < 300 or res.status > 399 then
      return res
    end
    ask.url = origin.url
    local follows
    follows, msg, code = redirect.follow(ask, res)
    if follows == false then
      return res
    elseif not follows then
      res:close()
      return nil, msg, code
    end
    drain(res)
    ask.is_plain = false
    origin, msg, code = origins.of(client, ask.url)
    if not origin then
      return nil, msg, code
    end
  end
end

-- The same, within a span if the client has them.
local function perform(client, ask, origin)
  if client.traced then
    return client.traced.perform(perform_plainly, client, ask, origin)
  end
  return perform_plainly(client, ask, origin)
end

-- ---- requests -----------------------------------------------------------------------------------

-- The response with its body. `level` is that of the user, for error.
local function whole(client, method, text, opts, level)
  local ask, origin, code = asks.new(client, method, text, opts, level + 1)
  if not ask then
    return nil, origin, code
  end
  local res, msg
  res, msg, code = perform(client, ask, origin)
  if not res then
    return nil, msg, code
  end
  if res.is_read then
    res.body = res.piece or ""
    res.piece = false
    return res
  end
  local body
  body, msg, code = response.read_rest(res, ask.max_body)
  if not body then
    return nil, msg, code
  end
  res.body = body
  return res
end

-- The response as soon as its head is here. Without a time of its own, that is what the client's
-- total time is for.
local function stream(client, method, text, opts, level)
  local ask, origin, code = asks.new(client, method, text, opts, level + 1)
  if not ask then
    return nil, origin, code
  end
  if not (opts and opts.max_body) then
    ask.max_body = HUGE
  end
  local res, msg
  res, msg, code = perform(client, ask, origin)
  if not res then
    return nil, msg, code
  end
  if not (opts and opts.timeout) then
    ask.due, ask.expires = nil, nil
  end
  response.guard(res)
  return res
end

--- A GET.
-- @parks until the response is here with all of its body
-- @tparam string url "http://host:port/path?query"
-- @tparam[opt] table opts as of `request`
-- @treturn client_response
-- @fails as `request`
-- @raise as `request`
function Client:get(url, opts)
  local res, msg, code = whole(self, "GET", url, opts, 3)
  return res, msg, code
end

--- A HEAD: the response has no body.
-- @parks until the response is here
-- @tparam string url
-- @tparam[opt] table opts as of `request`
-- @treturn client_response
-- @fails as `request`
-- @raise as `request`
function Client:head(url, opts)
  local res, msg, code = whole(self, "HEAD", url, opts, 3)
  return res, msg, code
end

--- A POST: `opts.body` is what is sent.
-- @parks until the response is here with all of its body
-- @tparam string url
-- @tparam[opt] table opts as of `request`
-- @treturn client_response
-- @fails as `request`
-- @raise as `request`
function Client:post(url, opts)
  local res, msg, code = whole(self, "POST", url, opts, 3)
  return res, msg, code
end

--- A PUT: `opts.body` is what is sent.
-- @parks until the response is here with all of its body
-- @tparam string url
-- @tparam[opt] table opts as of `request`
-- @treturn client_response
-- @fails as `request`
-- @raise as `request`
function Client:put(url, opts)
  local res, msg, code = whole(self, "PUT", url, opts, 3)
  return res, msg, code
end

--- A DELETE.
-- @parks until the response is here with all of its body
-- @tparam string url
-- @tparam[opt] table opts as of `request`
-- @treturn client_response
-- @fails as `request`
-- @raise as `request`
function Client:delete(url, opts)
  local res, msg, code = whole(self, "DELETE", url, opts, 3)
  return res, msg, code
end

--- A request, its redirects followed, and the response with all of its body, which is in
-- `res.body`. A status such as 404 or 500 is no failure.
--
-- When the server has closed an idle connection just as the request was sent on it, an idempotent
-- request is sent again on another one.
-- @parks until the response is here with all of its body
-- @tparam string method "POST"
-- @tparam string url "http://host:port/path?query", also with "user:password@" for Basic
-- authentication
-- @tparam[opt] table opts options of the client of the same name are taken from it by default
-- @tparam[opt] {[string]=any} opts.headers name -> value, or a list of several; `false` removes a
-- field that is sent otherwise
-- @tparam[opt] string|function opts.body a function gives a piece with each call, and nil at
-- the end; nil, a message and a code fail the request
-- @tparam[opt] integer opts.length of the body that a function gives; without it, it goes in chunks
-- @tparam[opt] string|table opts.query added to the URL's; a table as `url.query` takes it
-- @tparam[opt=false] boolean opts.expect wait up to 1 s for the server to say that it wants the
-- body (Expect: 100-continue)
-- @tparam[opt] string opts.auth "user:password" for Basic authentication
-- @tparam[opt=30] number opts.timeout seconds for all of it: waiting for a connection, redirects,
-- the body
-- @tparam[opt] number opts.acquire_timeout seconds to wait for a connection
-- @tparam[opt=30] number opts.write_timeout seconds in which the server takes nothing of the
-- request
-- @tparam[opt] number opts.first_byte_timeout seconds from the request to the first byte of the
-- response
-- @tparam[opt=30] number opts.read_timeout seconds between two pieces of the response
-- @tparam[opt=16777216] number opts.max_body bytes; of `stream` by default no limit
-- @tparam[opt=10] integer|boolean opts.redirects how many are followed; false: none
-- @treturn client_response
-- @fails "ETIMEDOUT"; "ECONNREFUSED", "ENOENT" (no such host) and others of `net.connect`; "EOF",
-- "ECONNRESET", "EPIPE" when the server closes the connection without a response; "EPROTO" when the
-- response is malformed or shorter than it says; "EMSGSIZE" when the body is larger than
-- `max_body`; "ELOOP" for too many redirects; "EINVAL", "EPROTONOSUPPORT" for URLs; "ECLOSED" when
-- the client is
-- @raise on a method, header field or option that cannot be; what the body's function raises;
-- outside of a task
-- @source RFC 9110, RFC 9112
function Client:request(method, url, opts)
  head.check_method(method, 3)
  local res, msg, code = whole(self, method, url, opts, 3)
  return res, msg, code
end

--- A request whose response is given as soon as its head is here; the body is read by `res:chunks`,
-- `res:read` or `res:read_all`, and `res:close` ends it. The client's `timeout` is for the head
-- alone; `opts.timeout` is for the body, too.
-- @parks until the head of the response is here
-- @tparam string method "GET"
-- @tparam string url
-- @tparam[opt] table opts as of `request`
-- @treturn client_response
-- @fails as `request`
-- @raise as `request`
function Client:stream(method, url, opts)
  head.check_method(method, 3)
  local res, msg, code = stream(self, method, url, opts, 3)
  return res, msg, code
end

--- A connection to a host through the client's proxy (CONNECT). It is the caller's, and no part of
-- the pool.
-- @parks until the proxy has answered
-- @tparam string addr "host:port"
-- @tparam[opt=30] number t seconds for all of it, by default the client's `timeout`
-- @treturn conn
-- @fails "ECONNREFUSED" when the proxy refuses it, with its status; else as `request`
-- @raise when the client has no proxy; on text that is no address
-- @source RFC 9110 section 9.3.6
function Client:tunnel(addr, t)
  options.seconds(t)
  if not self.proxy then
    error("tunnel: the client has no proxy", 2)
  elseif not core.net_split(addr) then
    error(("bad address %s: \"host:port\" expected"):format(tostring(addr)), 2)
  end
  local conn, msg, code = tunnels.open(self, addr, t or self.asks.__index.timeout)
  return conn, msg, code
end

-- ---- the client ---------------------------------------------------------------------------------

--- Close what is idle; what is in use is closed when it comes back. Requests fail from now on.
-- Idempotent.
-- @treturn true
function Client:close()
  hosts.close(self.hosts)
  return true
end

--- Close the connections that are idle now. The client goes on; the next request opens a new one.
-- @treturn true
function Client:close_idle()
  hosts.close_idle(self.hosts)
  return true
end

--- Counters.
-- @treturn http_client_stats a new table
-- @tfield[http_client_stats] integer hosts with which there are connections
-- @tfield[http_client_stats] integer open connections
-- @tfield[http_client_stats] integer idle connections
-- @tfield[http_client_stats] integer busy connections
-- @tfield[http_client_stats] integer opening connections that are being opened, or wait for a place
-- @tfield[http_client_stats] integer waiting requests that wait for a connection
-- @tfield[http_client_stats] integer requests sent, with retries and redirects
-- @tfield[http_client_stats] integer opened connections so far, of those hosts
-- @tfield[http_client_stats] integer stale connections that were found closed when they were to be
-- used again
-- @tfield[http_client_stats] integer retried requests that were sent again
function Client:stats()
  local stats = hosts.stats(self.hosts)
  stats.requests, stats.retried = self.requests, self.retried
  return stats
end

function Client:__tostring()
  local stats = hosts.stats(self.hosts)
  return ("ringlet.http_client: %d connections to %d hosts, %d idle, %d requests waiting"):format(
    stats.open, stats.hosts, stats.idle, stats.waiting)
end

local KNOWN = {
  timeout = "number", connect_timeout = "number", write_timeout = "number",
  first_byte_timeout = "number", read_timeout = "number", acquire_timeout = "number",
  max_body = "number", redirects = "number|boolean", headers = "table", cookies = "table",
  proxy = "string", proxy_auth = "string", no_proxy = "string|table", unix = "string",
  limits = "table",
  idle_timeout = "number", reuse_within = "number", max_uses = "number",
  max_idle_per_host = "number", max_per_host = "number", max_total = "number", trace = "boolean",
}
local SPAN, COUNT = {above = 0, infinite = true}, {min = 1, whole = true}
local BOUNDS = {
  connect_timeout = SPAN, idle_timeout = SPAN, reuse_within = SPAN, max_uses = COUNT,
  max_idle_per_host = {min = 0, whole = true}, max_per_host = COUNT, max_total = COUNT,
}
local LIMITS = {line = "number", fields = "number", head = "number"}
local LIMIT = {min = 1, whole = true, max = 2 ^ 30}

local function limits_of(limits, level)
  options.check(limits, LIMITS, level)
  for name, v in pairs(limits) do
    options.bound(v, LIMIT, "limits." .. name, level)
  end
  return core.http_limits(limits)
end

-- What the asks of a client have unless they say otherwise.
local function defaults_of(client, opts, level)
  local usual = opts.headers and head.fields(opts.headers, level + 1) or asks.NONE
  return {
    client = client, usual = usual, fields = asks.NONE, close = asks.says_close(usual),
    is_plain = not opts.cookies, expect = false, hops = 0, joined = false,
    limits = limits_of(opts.limits or asks.NONE, level + 1),
    timeout = opts.timeout or 30, write_timeout = opts.write_timeout or 30,
    first_byte_timeout = opts.first_byte_timeout, read_timeout = opts.read_timeout or 30,
    acquire_timeout = opts.acquire_timeout, max_body = opts.max_body or 16777216,
    redirects = asks.redirects(opts.redirects),
  }
end

local function pools_of(opts)
  return {
    idle_timeout = opts.idle_timeout or 90, reuse_within = opts.reuse_within or 30,
    max_uses = opts.max_uses, max_idle = opts.max_idle_per_host or 64,
    max = opts.max_per_host or 256,
  }
end

local function check_options(opts)
  opts = options.check(opts, KNOWN, 3)
  options.bounds(opts, asks.BOUNDS, 3)
  options.bounds(opts, BOUNDS, 3)
  if opts.cookies and getmetatable(opts.cookies) ~= cookies.Cookies then
    error("option 'cookies' must be a jar of http.cookies", 3)
  elseif opts.unix and not opts.unix:find "^[/@]." then
    error("option 'unix' must be the path of a socket, or the name of an abstract one: @name", 3)
  elseif opts.unix and opts.proxy then
    error("option 'unix' leaves no use for 'proxy'", 3)
  end
  return opts
end

--- A client. `http.get` and the like are methods of one that has no options of its own.
-- @tparam[opt] table opts
-- @tparam[opt=30] number opts.timeout seconds for a request, with all of its redirects and the body
-- @tparam[opt=10] number opts.connect_timeout seconds for opening a connection, the lookup included
-- @tparam[opt=30] number opts.write_timeout seconds in which a server takes nothing of a request
-- @tparam[opt] number opts.first_byte_timeout seconds from the request to the first byte of the
-- response
-- @tparam[opt=30] number opts.read_timeout seconds between two pieces of a response
-- @tparam[opt] number opts.acquire_timeout seconds to wait for a connection
-- @tparam[opt=16777216] number opts.max_body bytes of a response, but those of `stream`
-- @tparam[opt=10] integer|boolean opts.redirects how many are followed; false: none
-- @tparam[opt] {[string]=any} opts.headers for all requests, as those of `request`
-- @tparam[opt] table opts.cookies a jar from `http.cookies`; without one, cookies are ignored
-- @tparam[opt] string opts.proxy "http://user:password@host:port"
-- @tparam[opt] string opts.proxy_auth "user:password" for the proxy
-- @tparam[opt] string|table opts.no_proxy hosts that are not reached through it: "a.org" and what
-- is below it, "a.org:8080", "*"; a list, or separated by commas
-- @tparam[opt] string opts.unix the path of a Unix socket to which all connections are made, or
-- "@name"; the host of a URL is what the server is told
-- @tparam[opt] table opts.limits of the head of a response: {line=8192, fields=100, head=65536}
-- @tparam[opt=90] number opts.idle_timeout seconds after which an idle connection is closed
-- @tparam[opt=30] number opts.reuse_within seconds after which an idle connection is not used again
-- @tparam[opt] integer opts.max_uses requests on a connection; by default no limit
-- @tparam[opt=64] integer opts.max_idle_per_host idle connections that are kept for a host
-- @tparam[opt=256] integer opts.max_per_host connections to a host; further requests wait in line
-- @tparam[opt=1024] integer opts.max_total connections; an idle one to another host is closed for a
-- new one
-- @tparam[opt=false] boolean opts.trace each request is a span, and its header fields hand the
-- trace on (`ringlet.trace`)
-- @treturn http_client
-- @raise on an option that is unknown or out of range
-- @source the Go package net/http, type Transport
function M.client(opts)
  opts = check_options(opts)
  local client = {
    cookies = opts.cookies, proxy = proxies.new(opts, 3), unix = opts.unix and "unix:" .. opts.unix,
    origins = {}, origins_len = 0, requests = 0, retried = 0,
    traced = opts.trace and require "ringlet.trace_http",
    hosts = hosts.new(pools_of(opts), opts.max_total or 1024,
      {timeout = opts.connect_timeout or 10}),
  }
  client.asks = {__index = defaults_of(client, opts, 3)}
  return setmetatable(client, Client)
end

-- ---- the client of the module -------------------------------------------------------------------

local default

-- The one of this shard.
local function own()
  default = default or M.client()
  return default
end

--- A GET by the module's own client.
-- @parks until the response is here with all of its body
-- @tparam string url
-- @tparam[opt] table opts as of `http_client:request`
-- @treturn client_response
-- @fails as `http_client:request`
-- @raise as `http_client:request`
-- @usage local res = rl.check(http.get "http://example.com/")
-- print(res.status, res:header "content-type", #res.body)
function M.get(url, opts)
  local res, msg, code = whole(own(), "GET", url, opts, 3)
  return res, msg, code
end

--- A HEAD by the module's own client.
-- @parks until the response is here
-- @tparam string url
-- @tparam[opt] table opts as of `http_client:request`
-- @treturn client_response
-- @fails as `http_client:request`
-- @raise as `http_client:request`
function M.head(url, opts)
  local res, msg, code = whole(own(), "HEAD", url, opts, 3)
  return res, msg, code
end

--- A POST by the module's own client: `opts.body` is what is sent.
-- @parks until the response is here with all of its body
-- @tparam string url
-- @tparam[opt] table opts as of `http_client:request`
-- @treturn client_response
-- @fails as `http_client:request`
-- @raise as `http_client:request`
function M.post(url, opts)
  local res, msg, code = whole(own(), "POST", url, opts, 3)
  return res, msg, code
end

--- A PUT by the module's own client: `opts.body` is what is sent.
-- @parks until the response is here with all of its body
-- @tparam string url
-- @tparam[opt] table opts as of `http_client:request`
-- @treturn client_response
-- @fails as `http_client:request`
-- @raise as `http_client:request`
function M.put(url, opts)
  local res, msg, code = whole(own(), "PUT", url, opts, 3)
  return res, msg, code
end

--- A DELETE by the module's own client.
-- @parks until the response is here with all of its body
-- @tparam string url
-- @tparam[opt] table opts as of `http_client:request`
-- @treturn client_response
-- @fails as `http_client:request`
-- @raise as `http_client:request`
function M.delete(url, opts)
  local res, msg, code = whole(own(), "DELETE", url, opts, 3)
  return res, msg, code
end

--- A request by the module's own client, and the response with its body.
-- @parks until the response is here with all of its body
-- @tparam string method "POST"
-- @tparam string url
-- @tparam[opt] table opts as of `http_client:request`
-- @treturn client_response
-- @fails as `http_client:request`
-- @raise as `http_client:request`
function M.request(method, url, opts)
  head.check_method(method, 3)
  local res, msg, code = whole(own(), method, url, opts, 3)
  return res, msg, code
end

--- A request by the module's own client, and the response as soon as its head is here.
-- @parks until the head of the response is here
-- @tparam string method "GET"
-- @tparam string url
-- @tparam[opt] table opts as of `http_client:request`
-- @treturn client_response
-- @fails as `http_client:request`
-- @raise as `http_client:request`
-- @usage local res = rl.check(http.stream("GET", "http://example.com/large"))
-- for piece in res:chunks() do file:write(piece) end
function M.stream(method, url, opts)
  head.check_method(method, 3)
  local res, msg, code = stream(own(), method, url, opts, 3)
  return res, msg, code
end

M.Client = Client

return M
