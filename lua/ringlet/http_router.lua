-- SPDX-License-Identifier: MIT
-- http_router: handlers by method and path. The patterns of all routes are one tree, in
-- http_tree.lua; this is what is around it: methods, middleware, and requests without a route.
--
-- Invariants: of the routes whose pattern and method fit, the one wins that has the more specific
-- segment where they first differ: a literal before a parameter before a wildcard. Segments are
-- split before they are decoded, so an encoded slash is never one. What a request finds does not
-- depend on the order in which routes were added.

--- @module ringlet.http

local http_tree = require "ringlet.http_tree"
local options = require "ringlet.options"
local query = require "ringlet.http_query"
local travel = require "ringlet.travel"

local find_route, is_encoded = http_tree.find, query.is_encoded

local M = {}

--- Handlers by method and path, from `http.router`: a handler itself.
--
-- A pattern is a path: "/users" is that path, "/users/:id" any user, "/files/*rest" whatever lies
-- below "/files/". A parameter stands for one segment that is not empty, a wildcard for the rest,
-- which may be. Of several patterns that fit, the more specific wins.
--
-- HEAD is answered by the handler of GET, OPTIONS by the list of what there is; a path that exists
-- for other methods gives 405.
-- @type http_router
-- @tfield ?function not_found answers instead of an empty 404
-- @tfield ?function method_not_allowed answers instead of an empty 405; Allow is set by then
local Router = {__name = "ringlet.http_router"}
Router.__index = Router

travel.register_type("ringlet.http_router", Router)

-- ---- middleware ---------------------------------------------------------------------------------

-- Another table after each `use`: chains that were made before are made again.
local epoch = {}

local function is_callable(fn)
  local class = type(fn) == "table" and getmetatable(fn)
  return type(fn) == "function" or class and class.__call ~= nil
end

local function check_handler(fn, level)
  if not is_callable(fn) then
    error("a handler expected, got " .. type(fn), level + 1)
  end
end

-- The middleware of a router and those around it, outermost first.
local function gather(router, list)
  if router.parent then
    gather(router.parent, list)
  end
  for _, fn in ipairs(router.middleware) do
    list[#list + 1] = fn
  end
end

local function chain(list, i, handler)
  local around = list[i]
  if not around then
    return handler
  end
  local inner = chain(list, i + 1, handler)
  return function(req, res)
    return around(req, res, function()
      return inner(req, res)
    end)
  end
end

-- What to call for a route; `owners` are the routers that it was added to, outermost first.
local function compiled(route)
  if route.epoch ~= epoch then
    local list = {}
    for _, router in ipairs(route.owners) do
      gather(router, list)
    end
    route.call, route.epoch = chain(list, 1, route.handler), epoch
  end
  return route.call
end

--- Let a function see every request before its handler, and those without one as well. It goes on
-- by `next()`, or answers itself. What was added first is called first; that of a group is called
-- within that of the router.
-- @tparam fun(req:request,res:response,next:function) fn
-- @treturn http_router itself
-- @usage r:use(function(req, res, next)
--   res:header("Server", "mine")
--   return next()
-- end)
function Router:use(fn)
  check_handler(fn, 2)
  table.insert(self.middleware, fn)
  epoch = {}
  return self
end

-- ---- routes -------------------------------------------------------------------------------------

local function insert(router, method, pattern, handler, owners, level)
  local route = {handler = handler, owners = owners, pattern = pattern}
  local ok, why = http_tree.add(router.root.tree, method, pattern, route)
  if not ok then
    error(why, level + 1)
  end
end

-- Add a route of this router; blame goes to the caller's caller.
local function add(router, method, pattern, handler)
  if type(pattern) ~= "string" or pattern:sub(1, 1) ~= "/" then
    error('a pattern begins with "/", got ' .. tostring(pattern), 3)
  end
  check_handler(handler, 3)
  if router.prefix ~= "" and pattern == "/" then
    pattern = ""
  end
  insert(router, method, router.prefix .. pattern, handler, {router}, 3)
end

--- Add a route.
-- @tparam string method "GET"; "*" is any that has no route of its own
-- @tparam string pattern "/users/:id", "/files/*rest"
-- @tparam function|table handler called with the request and the response; what is callable will do
-- @treturn http_router itself
-- @raise when there is this route, or a pattern that differs only in the name of a parameter
function Router:handle(method, pattern, handler)
  if type(method) ~= "string" or not method:find "^[%w!#$%%&'*+%-.^_`|~]+$" then
    error("a method expected, got " .. tostring(method), 2)
  end
  add(self, method, pattern, handler)
  return self
end

--- Add a route for GET, and for HEAD unless that has one.
-- @tparam string pattern
-- @tparam function|table handler
-- @treturn http_router itself
-- @raise as `handle`
function Router:get(pattern, handler)
  add(self, "GET", pattern, handler)
  return self
end

--- Add a route for POST.
-- @tparam string pattern
-- @tparam function|table handler
-- @treturn http_router itself
-- @raise as `handle`
function Router:post(pattern, handler)
  add(self, "POST", pattern, handler)
  return self
end

--- Add a route for PUT.
-- @tparam string pattern
-- @tparam function|table handler
-- @treturn http_router itself
-- @raise as `handle`
function Router:put(pattern, handler)
  add(self, "PUT", pattern, handler)
  return self
end

--- Add a route for DELETE.
-- @tparam string pattern
-- @tparam function|table handler
-- @treturn http_router itself
-- @raise as `handle`
function Router:delete(pattern, handler)
  add(self, "DELETE", pattern, handler)
  return self
end

--- Add a route for PATCH.
-- @tparam string pattern
-- @tparam function|table handler
-- @treturn http_router itself
-- @raise as `handle`
function Router:patch(pattern, handler)
  add(self, "PATCH", pattern, handler)
  return self
end

--- Add a route for HEAD, where that of GET will not do.
-- @tparam string pattern
-- @tparam function|table handler
-- @treturn http_router itself
-- @raise as `handle`
function Router:head(pattern, handler)
  add(self, "HEAD", pattern, handler)
  return self
end

--- Add a route for OPTIONS, instead of the answer that lists the methods.
-- @tparam string pattern
-- @tparam function|table handler
-- @treturn http_router itself
-- @raise as `handle`
function Router:options(pattern, handler)
  add(self, "OPTIONS", pattern, handler)
  return self
end

--- Add a route for every method that has none of its own.
-- @tparam string pattern
-- @tparam function|table handler
-- @treturn http_router itself
-- @raise as `handle`
function Router:any(pattern, handler)
  add(self, "*", pattern, handler)
  return self
end

local function check_prefix(prefix)
  if type(prefix) ~= "string" or not prefix:find "^/." or prefix:sub(-1) == "/"
    or prefix:find "*" then
    error('a prefix is a path like "/api", got ' .. tostring(prefix), 3)
  end
end

--- A router for paths that begin alike, with middleware of its own; its routes are this router's.
-- @tparam string prefix "/api"; it may have parameters
-- @tparam[opt] fun(group:http_router) fn called with it at once
-- @treturn http_router the group
function Router:group(prefix, fn)
  check_prefix(prefix)
  if fn ~= nil then
    options.callable(fn)
  end
  local group = setmetatable({
    prefix = self.prefix .. prefix, parent = self, root = self.root, middleware = {},
  }, Router)
  if fn then
    fn(group)
  end
  return group
end

local function mount_router(self, prefix, other)
  for _, r in ipairs(http_tree.routes(other.root.tree)) do
    local owners = {self}
    for _, owner in ipairs(r.route.owners) do
      owners[#owners + 1] = owner
    end
    local pattern = prefix ~= "" and r.pattern == "/" and "" or r.pattern
    insert(self, r.method, prefix .. pattern, r.route.handler, owners, 3)
  end
end

--- Put what another handler serves below a prefix. Of a router, the routes that it has by now are
-- added, with its middleware; any other handler gets every request below the prefix, and finds what
-- is behind it in `req.rest`.
-- @tparam string prefix "/api"
-- @tparam http_router|function|table other
-- @treturn http_router itself
-- @raise as `handle`
-- @usage r:mount("/assets", http.static "public")
function Router:mount(prefix, other)
  check_prefix(prefix)
  check_handler(other, 2)
  prefix = self.prefix .. prefix
  if getmetatable(other) == Router then
    if other.root == self.root then
      error("a router cannot be mounted on itself", 2)
    end
    mount_router(self, prefix, other)
  else
    insert(self, "*", prefix .. "/*rest", other, {self}, 2)
  end
  return self
end

-- ---- requests without a route -------------------------------------------------------------------

local function allow_text(methods)
  local list = {}
  if methods.GET then
    methods.HEAD = true
  end
  methods.OPTIONS = true
  for name in pairs(methods) do
    list[#list + 1] = name
  end
  table.sort(list)
  return table.concat(list, ", ")
end

local function not_found(_, res)
  return res:send(404)
end

local function method_not_allowed(_, res)
  return res:send(405)
end

local function bad_request(_, res)
  return res:send(400)
end

local function no_content(_, res)
  return res:send(204)
end

-- The same path with a slash at its end or without, if that has a route; nil if not, or if it would
-- mean another host.
local function other_path(root, req, path)
  if root.strict or path == "/" or path:find "^//" then
    return
  end
  local other = path:sub(-1) == "/" and path:sub(1, -2) or path .. "/"
  return find_route(root.tree, req.method, other) and other
end

local function redirect(to)
  return function(req, res)
    return res:header("Location", to .. (req.query and "?" .. req.query or "")):send(308)
  end
end

-- What answers a request that has no route.
local function answer_of(root, req, res, path)
  local counts = root.counts
  local methods = http_tree.methods(root.tree, path)
  if next(methods) then
    res:header("Allow", allow_text(methods))
    if req.method == "OPTIONS" then
      return no_content
    end
    counts.not_allowed = counts.not_allowed + 1
    return root.method_not_allowed or method_not_allowed
  end
  local other = other_path(root, req, path)
  if other then
    return redirect(other)
  end
  counts.not_found = counts.not_found + 1
  return root.not_found or not_found
end

local function server_options(root, _, res)
  res:header("Allow", allow_text(http_tree.methods(root.tree)))
  return no_content
end

local function answer(root, req, res, choose, path)
  local handler = choose(root, req, res, path)
  return compiled{handler = handler, owners = {root}}(req, res)
end

local function malformed()
  return bad_request
end

function Router.__call(self, req, res)
  local root, path = self.root, req.path
  root.counts.requests = root.counts.requests + 1
  if path == "*" then
    return answer(root, req, res, server_options)
  elseif path == "" then
    path = "/"
  elseif not is_encoded(path) then
    return answer(root, req, res, malformed)
  end
  local route, params, rest = find_route(root.tree, req.method, path)
  if not route then
    return answer(root, req, res, answer_of, path)
  end
  req.params, req.rest, req.route = params, rest, route.pattern
  return (route.epoch == epoch and route.call or compiled(route))(req, res)
end

-- ---- making one ---------------------------------------------------------------------------------

--- The routes, sorted by pattern and method.
-- @treturn {table} a new list of {method=, pattern=}
function Router:routes()
  local list = {}
  for i, r in ipairs(http_tree.routes(self.root.tree)) do
    list[i] = {method = r.method, pattern = r.pattern}
  end
  return list
end

--- What it did so far on this shard.
-- @treturn http_router_stats a new table
-- @tfield[http_router_stats] integer routes
-- @tfield[http_router_stats] integer requests all
-- @tfield[http_router_stats] integer not_found requests for paths that have no route
-- @tfield[http_router_stats] integer not_allowed requests for paths with routes of other methods
function Router:stats()
  local counts = self.root.counts
  return {
    routes = #http_tree.routes(self.root.tree), requests = counts.requests,
    not_found = counts.not_found, not_allowed = counts.not_allowed,
  }
end

function Router:__tostring()
  return ("ringlet.http_router: %d routes"):format(#http_tree.routes(self.root.tree))
end

local KNOWN = {slash = "string"}
local BOUNDS = {slash = {"redirect", "strict"}}

--- Make a router.
-- @tparam[opt] table opts
-- @tparam[opt="redirect"] string opts.slash what becomes of "/users/" when there is a route for
-- "/users" alone, and the reverse: "redirect" (308) or "strict" (404)
-- @treturn http_router
-- @usage local r = http.router()
-- r:get("/users/:id", function(req, res) res:send(200, req.params.id) end)
-- http.serve("127.0.0.1:8080", r)
function M.router(opts)
  opts = options.check(opts, KNOWN)
  options.bounds(opts, BOUNDS)
  local router = setmetatable({
    prefix = "", middleware = {}, tree = http_tree.new(), strict = opts.slash == "strict",
    counts = {requests = 0, not_found = 0, not_allowed = 0},
  }, Router)
  router.root = router
  return router
end

return M
