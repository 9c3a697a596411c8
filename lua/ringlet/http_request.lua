-- SPDX-License-Identifier: MIT
-- http_request: a request as its handler sees it. It is a number by which the core knows the
-- message and a connection; whatever else there is to know is asked for when somebody looks.

--- @module ringlet.http

local content = require "ringlet.http_content"
local core = require "ringlet.core"
local evict = require "ringlet.net_evict"
local fail = require "ringlet.fail"
local http_query = require "ringlet.http_query"

local http_body, http_field = core.http_body, core.http_field

local M = {}

local READ_ALL_MAX = 1048576
local GONE = "ECLOSED: the request is over"

--- A request, given to the handler of `http.serve`. It is over when the handler has returned.
-- @type request
-- @tfield string method "GET", "POST" and so on, as it came
-- @tfield string target the request target, as it came
-- @tfield string path the path of the target, as it came: percent-encoded; "*" when OPTIONS is for
-- the whole server
-- @tfield ?string query what is behind "?" in the target, as it came
-- @tfield ?string host the target's authority or, without one, what the field Host says
-- @tfield string version "1.1" or "1.0"
-- @tfield ?{[string]=string} params what the parameters of the route's pattern stand for, decoded
-- @tfield ?string route the route's pattern
-- @tfield ?table span with `trace`: the request's span
-- @tfield ?string rest what the "*" of the route's pattern stands for, as it came
local Request = {__name = "ringlet.request"}

local LINE = {method = true, target = true, path = true, query = true, host = true, version = true}

local function load_line(req)
  local method, target, path, query, host, minor = core.http_line(req.x)
  if not method then
    return
  end
  req.method, req.target, req.path, req.query, req.host = method, target, path, query, host
  req.version = minor == 1 and "1.1" or "1.0"
end

function Request.__index(req, k)
  if LINE[k] and rawget(req, "method") == nil then
    load_line(req)
    return rawget(req, k)
  end
  return Request[k]
end

-- For the request with this number in the core, on a connection.
function M.new(x, conn)
  return setmetatable({x = x, conn = conn}, Request)
end

--- The value of a header field; of several with this name, all of them, joined by ", ".
-- @tparam string name in any case
-- @treturn ?string nil if there is none
-- @source RFC 9110 section 5.3
function Request:header(name)
  return (http_field(self.x, name))
end

--- All header fields.
-- @treturn {[string]=string} a new table: name in lower case -> value, several joined by ", "
function Request:headers()
  return content.by_name(core.http_fields(self.x) or {})
end

--- Say how this request's connection is used, for a server that evicts when it has too much to do;
-- or ask. `conn:class` says more; it holds for the requests that follow on it as well.
-- @tparam[opt] string name "short", "long" or "protected"
-- @treturn string the class it has now
-- @fails "ECLOSED", "ENOMEM"
-- @raise on another name
-- @usage if is_admin(req) then req:class "protected" end
function Request:class(name)
  if name ~= nil and not evict.KINDS[name] then
    error('"short", "long" or "protected" expected', 2)
  end
  return self.conn:class(name)
end

--- The address of the client.
-- @treturn string "host:port"
-- @fails "ECLOSED", "ENOTCONN"
function Request:peername()
  return self.conn:peername()
end

-- A piece of the body; false at its end; or failure values.
local function next_piece(req, t)
  local x = req.x
  local piece, code, why = http_body(x, t)
  while piece == true do
    piece, code, why = http_body(x, t, true)
  end
  if piece ~= nil then
    return piece
  end
  local _, msg, name = fail(code)
  if name == "ETIMEDOUT" then
    core.http_late(x)
  end
  return nil, why and name .. ": " .. why or msg, name
end

--- The next piece of the body, of whatever size it came in.
-- @parks until there is one
-- @tparam[opt] number t seconds, by default the server's `read_timeout`
-- @treturn ?string nil with "EOF" at its end
-- @fails "EOF"; "EPROTO" when it is malformed, or ends before it is complete; "ETIMEDOUT",
-- "ECONNRESET", "ECLOSED"
function Request:read(t)
  return content.read(next_piece(self, t))
end

--- The pieces of the body, for a loop. It stops only at the end of the body: when the client gives
-- up half way it raises.
-- @parks in each step, until there is a piece
-- @treturn fun():string
-- @raise in a step, what `read` fails with, as `rl.check` does
-- @usage for piece in req:chunks() do file:write(piece) end
function Request:chunks()
  return content.chunks(next_piece, self)
end

--- The whole body.
-- @parks until it is here
-- @tparam[opt=1048576] integer max bytes
-- @treturn string
-- @fails "EMSGSIZE" when it is longer; else as `read`
function Request:read_all(max)
  max = max or READ_ALL_MAX
  local unread, length = core.http_body_left(self.x)
  if unread == nil then
    return nil, GONE, "ECLOSED"
  elseif length and length > max then
    return content.too_large(max)
  end
  return content.rest(next_piece, self, max)
end

--- The parameters of the query, "?a=1&b=2&b=3".
-- @tparam[opt=1000] integer max parameters
-- @treturn {[string]=string|table} a new table: name -> value, decoded; a name that occurs several
-- times has a list of values
-- @fails "EMSGSIZE" when there are more
-- @source URL standard, application/x-www-form-urlencoded
function Request:args(max)
  return http_query.parse(self.query or "", max or http_query.MAX)
end

local FORM = "application/x-www-form-urlencoded"

--- The fields of a form in the body, of the media type application/x-www-form-urlencoded.
-- @parks until the body is here
-- @tparam[opt=1048576] integer max bytes
-- @treturn {[string]=string|table} as `args`
-- @fails "EINVAL" when the body is of another media type; "EMSGSIZE" when it is longer, or has more
-- than 1000 fields; else as `read`
-- @source URL standard, application/x-www-form-urlencoded
function Request:form(max)
  local media = (self:header "content-type" or ""):match "^%s*([^%s;]*)"
  if media:lower() ~= FORM then
    return nil, "EINVAL: the body is no " .. FORM, "EINVAL"
  end
  local body, msg, code = self:read_all(max)
  if not body then
    return nil, msg, code
  end
  return http_query.parse(body, http_query.MAX)
end

--- The fields behind a body in chunks, once it was read to its end.
-- @treturn {[string]=string} a new table: name in lower case -> value
function Request:trailers()
  return content.by_name(core.http_trailers(self.x) or {})
end

--- Make a WebSocket of it. A request that is none for one, or not from where it should be, is
-- answered with 400, 403 or 426. The handler's task serves the socket: when the handler returns it
-- is closed with 1000, or with 1011 when it raises.
-- @tparam[opt] table opts
-- @tparam[opt] table opts.protocols subprotocols that are known, the preferred one first: the first
-- that the client offers is agreed on
-- @tparam[opt] fun(origin:?string,req:request):boolean|table opts.origin whom to let in: a list of
-- origins, which is no matter of clients that send none; or a function
-- @tparam[opt] table opts.headers further header fields of the answer: name -> value
-- @tparam[opt=16777216] integer opts.max_message bytes; a longer message closes it with 1009
-- @tparam[opt] integer opts.max_frame bytes of one frame, by default `max_message`
-- @tparam[opt=false] boolean|table opts.deflate compress messages for clients that offer it
-- (permessage-deflate); needs the rock ringlet-zlib
-- @tparam[opt=6] integer opts.deflate.level 1 (fast) to 9 (small)
-- @tparam[opt=15] integer opts.deflate.window 9 to 15: either side looks back 2^window bytes
-- @tparam[opt=false] boolean opts.deflate.no_context_takeover each message by itself, on both
-- sides: idle sockets keep nothing
-- @tparam[opt=256] integer opts.deflate.threshold bytes from which on messages are compressed
-- @tparam[opt] number opts.heartbeat seconds: a ping goes out that often, with the load
-- @tparam[opt=5] number opts.heartbeat_timeout seconds after which a pong is overdue: then it ends,
-- with "ETIMEDOUT"
-- @tparam[opt] fun():number opts.load what a heartbeat tells the peer; by default how many bytes
-- are queued
-- @tparam[opt=5] number opts.close_timeout seconds that `close` waits for the peer
-- @treturn ws
-- @fails "EPROTO" when it is no handshake, "EACCES" when its origin is refused, "EALREADY" when it
-- was answered; "ECLOSED", "ECONNRESET" when the client has gone
-- @raise on an option it does not know, on `deflate` without its rock
-- @source RFC 6455 section 4.2, RFC 7692
function Request:websocket(opts)
  return require("ringlet.websocket_accept").accept(self, opts)
end

function Request:__tostring()
  return ("ringlet.request: %s %s"):format(self.method or "over", self.target or "")
end

M.Request = Request

return M
