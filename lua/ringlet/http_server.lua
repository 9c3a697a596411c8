-- SPDX-License-Identifier: MIT
-- http_server: servers of HTTP. One is a server of net_server.lua whose workers are given requests
-- instead of bytes: the core parses them, and tells a worker when a whole head is there. Between
-- two requests a connection has neither a task nor memory of its own here.
--
-- What few servers want - a limit of time, an access log, request ids, cancelling - wraps the
-- handler once, when the server starts; a plain handler is called as it is.

--- @module ringlet.http

local core = require "ringlet.core"
local net = require "ringlet.net"
local net_server = require "ringlet.net_server"
local options = require "ringlet.options"
local request = require "ringlet.http_request"
local response = require "ringlet.http_response"
local scope = require "ringlet.scope"
local task = require "ringlet.task"
local traced = require "ringlet.traced"

local http_next, trap = core.http_next, traced.trap
local new_request, new_response = request.new, response.new
local answer_for = response.answer_for
local close_served, start_worker = net_server.close_served, net_server.start_worker
local succeeded = net_server.succeeded

local M = {}

local HEAD_TIMEOUT, IDLE_TIMEOUT, READ_TIMEOUT, WRITE_TIMEOUT = 10, 75, 30, 30

-- ---- workers ------------------------------------------------------------------------------------

local function work(server)
  local crew, conns, serve = server.crew, server.conns, server.serve
  local x, conn, more, ok, err
  while true do
    x, conn, more = http_next(crew, conns, serve, x, ok)
    if not x then
      break
    elseif x == 0 then
      close_served(server, conn, more)
      x = nil
    elseif x == true then
      x = nil
    else
      if more then
        start_worker(server)
      end
      local res = new_response(x)
      ok, err = xpcall(server.on_request, trap, new_request(x, conn), res)
      if not ok then
        succeeded(server, false, err, traced.trace())
      end
      if not res.status and res.fields then
        answer_for(res)
      end
    end
  end
  server.workers[task.self()] = nil
end

-- ---- what few want ------------------------------------------------------------------------------

local function with_timeout(handler, seconds)
  return function(req, res)
    local ok, msg, code = scope.timeout(seconds, handler, req, res)
    if not ok and code == "ETIMEDOUT" then
      if res:state() == "none" then
        response.drop_content(res)
        res:header("Connection", "close"):send(503)
      else
        error(("the handler of %s took longer than %g s"):format(req.path or "?", seconds), 0)
      end
      return nil, msg, code
    end
  end
end

local function with_cancel(handler)
  return function(req, res)
    local owner = task.self()
    local function watch()
      if res:gone():wait() then
        req.abandoned = true
        owner:cancel("the client has gone")
      end
    end
    if core.http_body_left(req.x) then
      return handler(req, res)
    end
    local watcher = task.daemon(watch)
    return scope.finally(function()
      return handler(req, res)
    end, function()
      watcher:cancel()
    end)
  end
end

local function random_id()
  return ("%08x%08x"):format(core.random(), core.random())
end

local function with_id(handler, make)
  return function(req, res)
    local given = req:header("x-request-id")
    req.id = given and given:find "^[%w%-._]+$" and #given <= 128 and given or make()
    res:header("X-Request-Id", req.id)
    return handler(req, res)
  end
end

-- For the log. What the handler has not answered is answered now, if there is anybody to see it.
local GONE = 499

local function status_of(req, res)
  if not (res.status or req.answered or req.abandoned) then
    answer_for(res)
  end
  return res.status or req.answered or GONE
end

local function told(on_access, req, res, began, ok, err, trace)
  on_access(req, res, {
    status = status_of(req, res), seconds = core.now() - began, ok = ok,
  })
  if not ok then
    traced.raise(err, trace)
  end
end

local function with_access(handler, on_access)
  return function(req, res)
    told(on_access, req, res, core.now(), traced.call(handler, req, res))
  end
end

local function wrap(handler, opts)
  if opts.request_timeout or opts.cancel_on_close then
    handler = traced.keeping(handler)
  end
  if opts.request_timeout then
    handler = with_timeout(handler, opts.request_timeout)
  end
  if opts.cancel_on_close then
    handler = with_cancel(handler)
  end
  if opts.request_id then
    handler = with_id(handler, opts.request_id ~= true and opts.request_id or random_id)
  end
  if opts.on_access then
    handler = with_access(handler, opts.on_access)
  end
  if opts.trace then
    handler = require "ringlet.trace_http".handler(handler)
  end
  return handler
end

-- ---- handlers -----------------------------------------------------------------------------------

local function is_callable(x)
  local class = type(x) == "table" and getmetatable(x)
  return type(x) == "function" or class and class.__call ~= nil
end

-- The handler that a module is; raises.
local function load_handler(name)
  local handler = require(name)
  if not is_callable(handler) then
    error(("the module %s is no handler but a %s"):format(name, type(handler)), 0)
  end
  return handler
end

-- What a handler may be: a function, something that is called like one, or a module that is one.
local function function_of(handler)
  if type(handler) == "string" then
    handler = load_handler(handler)
  end
  if type(handler) == "function" then
    return handler
  end
  return function(req, res)
    return handler(req, res)
  end
end

-- For net_server: what can be loaded again; nil when the handler is no module.
function M.module_of(handlers)
  return type(handlers.on_request) == "string" and handlers.on_request or nil
end

-- For net_server: raises now what would fail when the server listens already.
function M.prepare(handlers)
  function_of(handlers.on_request)
end

-- For net_server: the module that is the handler is loaded anew, or all stays as it was. Loading
-- cannot park, so no request sees it half done.
function M.reload(server)
  local name = server.module
  local old = package.loaded[name]
  package.loaded[name] = nil
  local ok, handler = pcall(load_handler, name)
  if not ok then
    package.loaded[name] = old
    return nil, ("EINVAL: the handler was not loaded: %s"):format(tostring(handler)), "EINVAL"
  end
  server.on_request = wrap(function_of(handler), server.http)
  return true
end

-- For net_server: make a server one of HTTP. `handlers` may have come from another shard.
function M.attach(server, handlers)
  local opts = handlers.http
  server.http, server.module = opts, M.module_of(handlers)
  server.on_request = wrap(function_of(handlers.on_request), opts)
  server.serve = core.http_serve(opts.limits or {}, opts.head_timeout or HEAD_TIMEOUT,
    opts.max_requests or 0)
  return work
end

-- For net_server: the server stops.
function M.stop(server)
  core.http_stop(server.serve, server.id, true)
end

-- For net_server: it accepts no more. WebSockets go on.
function M.drain(server)
  core.http_stop(server.serve, server.id, false)
end

-- ---- http.serve ---------------------------------------------------------------------------------

-- Those of ours; others are net.serve's.
local KNOWN = {
  limits = "table", head_timeout = "number", max_requests = "number", request_timeout = "number",
  cancel_on_close = "boolean", request_id = "boolean|function", on_access = "function",
  trace = "boolean",
}
local BOUNDS = {
  head_timeout = {above = 0, infinite = true}, max_requests = {min = 1, whole = true},
  request_timeout = {above = 0},
}
local LIMITS = {
  target = "number", line = "number", fields = "number", head = "number", body = "number",
}
local LIMIT = {min = 1, whole = true, max = 2 ^ 31}

local function check_limits(limits)
  options.check(limits, LIMITS, 4)
  for name, v in pairs(limits) do
    options.bound(v, name == "body" and {min = 0, whole = true} or LIMIT, "limits." .. name, 4)
  end
end

-- The options of ours, and those of net.serve.
local function split(opts)
  local own, others = {}, {}
  for name, v in pairs(opts) do
    if KNOWN[name] then
      own[name] = v
    else
      others[name] = v
    end
  end
  options.check(own, KNOWN, 3)
  options.bounds(own, BOUNDS, 3)
  check_limits(own.limits or {})
  others.idle_timeout = others.idle_timeout or IDLE_TIMEOUT
  others.read_timeout = others.read_timeout or READ_TIMEOUT
  others.write_timeout = others.write_timeout or WRITE_TIMEOUT
  return own, others
end

--- Serve HTTP/1.1. The handler is called once for each request, in a task of a crew; it may park.
-- Requests of one connection are handled one after the other, also when the client sends the next
-- before the last was answered. Between two requests a connection has no task.
--
-- A handler that returns without an answer has status 500 sent; so has one that raises, whose error
-- goes to `on_error`. Header fields that it had set are sent too, but not those about a body that
-- there is none of now: Content-*, ETag, Last-Modified, Accept-Ranges, Cache-Control, Expires, Age,
-- Location, Set-Cookie. If what it read of the request's body was malformed, too large, or did not
-- come in time, the status is 400, 413 or 408. If it raises after the head was sent, the connection
-- is reset: the client sees that the body is not whole. What it wrote when it returns is the whole
-- body.
--
-- What is no HTTP, more than one of the limits, or not complete `head_timeout` after it began (408)
-- is answered by the server itself and never seen by the handler. The server stops as one of
-- `net.serve` does: connections between two requests are closed, others with the answer under way.
-- @parks as `net.serve`
-- @tparam string addr "host:port"
-- @tparam fun(req:request,res:response)|string handler or the name of a module that is one, which
-- every shard loads for itself and `server:reload` loads again
-- @tparam[opt] table opts those of `net.serve`; by default `idle_timeout` is 75 (between two
-- requests), `read_timeout` (of a piece of a body) and `write_timeout` are 30
-- @tparam[opt=10] number opts.head_timeout seconds from the first byte of a head to its last
-- @tparam[opt] number opts.request_timeout seconds for a handler: then it is cancelled and, if it
-- has not answered, 503 is sent
-- @tparam[opt] integer opts.max_requests of a connection, which then is closed
-- @tparam[opt] table opts.limits {target = 8000, line = 8192, fields = 100, head = 65536, body =
-- any}: bytes of a request target, of a line of the head, number of fields, bytes of the head and
-- of the body; above them 414, 431, 431, 431 and 413
-- @tparam[opt=false] boolean opts.cancel_on_close the handler of a request without a body is
-- cancelled when the client closes the connection
-- @tparam[opt=false] boolean|function opts.request_id each request has an `id`, which the answer
-- has as X-Request-Id: the client's, else a random one, or what the function gives
-- @tparam[opt] fun(req:request,res:response,info:table) opts.on_access called after each request,
-- with {status =, seconds =, ok = whether the handler returned}; the status is 499 when the client
-- has gone without an answer
-- @tparam[opt=false] boolean opts.trace each request has a span, `req.span`, within the trace that
-- its header fields name (`ringlet.trace`)
-- @treturn server
-- @fails as `net.serve`
-- @raise as `net.serve`; what a module raises that is loaded here
-- @source RFC 9110, RFC 9112
-- @usage http.serve("127.0.0.1:8080", function(req, res) res:send(200, "hello\n") end)
function M.serve(addr, handler, opts)
  if type(handler) ~= "string" and not is_callable(handler) then
    error("a function, or the name of a module that is one, expected", 2)
  elseif opts ~= nil and type(opts) ~= "table" then
    error("options must be a table, not a " .. type(opts), 2)
  end
  local own, others = split(opts or {})
  local server, msg, code = net.serve(addr,
    {protocol = "ringlet.http_server", on_request = handler, http = own}, others)
  return server, msg, code
end

return M
