-- SPDX-License-Identifier: MIT
-- admin_server: a server of ringlet.http that does not keep run alive. Each request passes the
-- guard, then its parameters are checked, then its route answers.

--- @module ringlet.admin

local core = require "ringlet.core"
local errors = require "ringlet.errors"
local guard = require "ringlet.admin_guard"
local http_server = require "ringlet.http_server"
local options = require "ringlet.options"
local params = require "ringlet.admin_params"
local routes = require "ringlet.admin_routes"
local scope = require "ringlet.scope"

local M = {}

-- An admin endpoint has few clients.
local CONNECTIONS, IDLE, PARAMETERS = 64, 120, 32

--- A running endpoint, from `admin.serve`.
-- @type admin_server
local Admin = {__name = "ringlet.admin_server"}
Admin.__index = Admin

-- ---- requests -----------------------------------------------------------------------------------

local HEADERS = {
  {"Cache-Control", "no-store"}, {"X-Content-Type-Options", "nosniff"},
  {"X-Frame-Options", "DENY"}, {"Referrer-Policy", "no-referrer"},
  {"Cross-Origin-Resource-Policy", "same-origin"},
  {"Content-Security-Policy", "default-src 'none'"},
}

local function refuse(admin, res, status, text, fields)
  if status >= 400 then
    admin.refused = admin.refused + 1
  end
  for name, value in pairs(fields or {}) do
    res:header(name, value)
  end
  routes.answer(res, status, text)
end

local function methods_of(route)
  return route.GET and (route.POST and "GET, HEAD, POST" or "GET, HEAD") or "POST"
end

-- The function that answers; else nil, and why there is none: status, text, fields.
local function handler_of(admin, req, route)
  local method = req.method == "HEAD" and "GET" or req.method
  if not route then
    return nil, 404, "there is nothing here: see the page at /\n"
  elseif not route[method] then
    return nil, 405, "not with this method\n", {Allow = methods_of(route)}
  elseif method == "POST" and not admin.actions then
    return nil, 403, "actions are off: see the option 'actions' of admin.serve\n"
  end
  return route[method]
end

local function handle(admin, req, res)
  for _, field in ipairs(HEADERS) do
    res:header(field[1], field[2])
  end
  admin.requests = admin.requests + 1
  local route = routes.routes[req.path]
  local given, why = req:args(PARAMETERS)
  if not given then
    return refuse(admin, res, 400, why .. "\n")
  end
  local status, text, fields = guard.refusal(admin.guard, req, given, route and route.open)
  if status then
    return refuse(admin, res, status, text, fields)
  end
  local fn
  fn, status, text, fields = handler_of(admin, req, route)
  if not fn then
    return refuse(admin, res, status, text, fields)
  end
  local args
  args, text = params.check(given, route.params)
  if not args then
    return refuse(admin, res, 400, text .. "\n")
  end
  return fn(admin, req, res, args)
end

-- A client that has gone is nobody's failure.
local GONE = {ECONNRESET = true, EPIPE = true, ECLOSED = true}

local function handler(admin)
  return function(req, res)
    local ok, err = scope.pcall(handle, admin, req, res)
    if not ok and not GONE[errors.code(err)] then
      error(err, 0)
    end
  end
end

-- ---- methods ------------------------------------------------------------------------------------

--- The address it listens on, with the real port.
-- @treturn string "host:port" or "unix:/path"
function Admin:addr()
  return self.server:addr()
end

--- Where the page is. With a token, that is in it: for the eyes of who may look.
-- @treturn ?string nil for a Unix socket
function Admin:url()
  if self.guard.kind == "unix" or self.guard.kind == "abstract" then
    return nil
  end
  local token = self.guard.token and self.guard.token:gsub("[^%w]", function(c)
    return ("%%%02X"):format(c:byte())
  end)
  return "http://" .. self:addr() .. "/" .. (token and "?token=" .. token or "")
end

--- Stop. Requests that are being answered have a moment to end. Idempotent.
-- @parks until it has ended
-- @tparam[opt=0] number grace seconds for them
-- @treturn true
function Admin:stop(grace)
  return self.server:stop(grace or 0)
end

--- What was asked.
-- @treturn admin_server_stats a new table
-- @tfield[admin_server_stats] integer requests that came
-- @tfield[admin_server_stats] integer refused of them: by the guard, or because they made no sense
-- @tfield[admin_server_stats] integer live connections
function Admin:stats()
  return {requests = self.requests, refused = self.refused, live = self.server:stats().live}
end

function Admin:__tostring()
  return ("ringlet.admin_server: %s, %d requests"):format(self:addr(), self.requests)
end

--- @section end

-- ---- serving ------------------------------------------------------------------------------------

local KNOWN = {
  addr = "string", public = "boolean", token = "string", hosts = "table", actions = "boolean",
}
local TOKEN = "^[%w%-._~+/]+=*$"

-- What serve was given, as one table; raises at `level`.
function M.settings(addr, opts, level)
  if type(addr) == "table" and opts == nil then
    addr, opts = addr.addr, addr
  end
  opts = options.check(opts, KNOWN, level + 1)
  if type(addr) ~= "string" then
    error('an address is needed, "127.0.0.1:9000" or "unix:/path"', level + 1)
  end
  local kind, token = guard.kind_of(addr), opts.token
  if kind == "public" and not opts.public then
    error(("%s is not this host alone: use a loopback address or a Unix socket, or set "
      .. "public = true"):format(addr), level + 1)
  elseif token and (#token < 8 or not token:find(TOKEN)) then
    error("token: at least 8 letters, digits or any of -._~+/ expected", level + 1)
  end
  return {addr = addr, kind = kind, opts = opts}
end

-- In a directory that others may write to, they could put another socket in the place of ours.
local function check_directory(wanted)
  local path = wanted.kind == "unix" and wanted.addr:match "^unix:(.*)/[^/]*$"
  if not path or wanted.opts.public then
    return true
  end
  local ok, code = core.net_private_dir(path == "" and "/" or path)
  if ok then
    return true
  end
  local msg, name = core.errmsg(code)
  return nil, ("%s (the directory of %s: others may write to it, or it is none)"):format(msg,
    wanted.addr), name
end

-- Begin to serve what `settings` gave. Parks as net.serve.
function M.start(wanted)
  local ok, msg, code = check_directory(wanted)
  if not ok then
    return nil, msg, code
  end
  local opts = wanted.opts
  local admin = setmetatable({
    requests = 0, refused = 0, busy = {}, actions = opts.actions == true,
    guard = guard.new(opts, wanted.kind),
  }, Admin)
  admin.server, msg, code = http_server.serve(wanted.addr, handler(admin), {
    name = "admin", daemon = true, max_connections = CONNECTIONS, idle_timeout = IDLE,
    cancel_on_close = true, limits = {body = 0},
  })
  if not admin.server then
    return nil, msg, code
  end
  return admin
end

return M
