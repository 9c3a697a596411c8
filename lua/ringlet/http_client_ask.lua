-- SPDX-License-Identifier: MIT
-- http_client_ask: what a user wants, as one table for all the connections that it may go to.
--
-- What an ask does not have itself it has from its client. One without options is plain: its head
-- is made once for each URL and method.

local auth = require "ringlet.http_client_auth"
local cookies = require "ringlet.http_cookies"
local core = require "ringlet.core"
local head = require "ringlet.http_client_head"
local options = require "ringlet.options"
local origins = require "ringlet.http_client_origin"

local now, until_ = core.now, core.net_until
local HUGE = math.huge

local M = {}

local JOINED_MAX = 16384 -- a body up to here goes out with its head
local NONE = {}
M.NONE = NONE

-- ---- heads --------------------------------------------------------------------------------------

local HAS_BODY = {POST = true, PUT = true, PATCH = true}

-- How the body ends. A method that means one says so even if there is none (RFC 9110 8.6).
local function framing_of(ask)
  local body = ask.body
  if type(body) == "function" and not ask.length then
    return "Transfer-Encoding: chunked"
  elseif body then
    return "Content-Length: " .. ("%.0f"):format(ask.length or #body)
  elseif HAS_BODY[ask.method] then
    return "Content-Length: 0"
  end
end

-- The lines that are the client's own.
local function lines_of(ask, origin)
  local lines, jar = {}, ask.client.cookies
  local credentials = ask.auth or ask.auth == nil and origin.auth
  local sent = jar and not head.has(ask.fields, "cookie") and cookies.header(jar, origin.url)
  lines[1] = sent and "Cookie: " .. sent or nil
  if credentials and not head.has(ask.fields, "authorization") then
    lines[#lines + 1] = "Authorization: " .. credentials
  end
  if origin.proxy and origin.proxy.authorization then
    lines[#lines + 1] = "Proxy-Authorization: " .. origin.proxy.authorization
  end
  lines[#lines + 1] = framing_of(ask)
  if ask.expect and ask.body then
    lines[#lines + 1] = "Expect: 100-continue"
  end
  return lines
end

local function compose(ask, origin)
  return head.text(ask.method, origin.target, origin.host, ask.usual, ask.fields,
    lines_of(ask, origin))
end

-- Give the request its head, and its body with it if that is short.
function M.write_head(ask, origin)
  if ask.is_plain then
    local text = origin.heads[ask.method]
    if not text then
      text = compose(ask, origin)
      origin.heads[ask.method] = text
    end
    ask.head = text
    return
  end
  local body = ask.body
  ask.head, ask.joined = compose(ask, origin), false
  if type(body) == "string" and #body <= JOINED_MAX and not ask.expect then
    ask.head, ask.joined = ask.head .. body, true
  end
end

-- ---- options of a request -----------------------------------------------------------------------

local REQUEST = {
  headers = "table", body = "string|function", length = "number", query = "string|table",
  expect = "boolean", auth = "string", timeout = "number", write_timeout = "number",
  first_byte_timeout = "number", read_timeout = "number", acquire_timeout = "number",
  max_body = "number", redirects = "number|boolean",
}
local SPAN = {above = 0, infinite = true}
local BOUNDS = {
  timeout = SPAN, write_timeout = SPAN, first_byte_timeout = SPAN, read_timeout = SPAN,
  acquire_timeout = {min = 0, infinite = true}, max_body = {min = 0, infinite = true},
  redirects = {min = 0, whole = true}, length = {min = 0, whole = true, max = 2 ^ 53},
}
M.BOUNDS = BOUNDS

local COPIED = {
  "timeout", "write_timeout", "first_byte_timeout", "read_timeout", "acquire_timeout", "max_body",
  "body", "length", "expect",
}

function M.redirects(v)
  if v == true or v == nil then
    return 10
  end
  return v or 0
end

-- What the fields of Connection say of the connection's end.
function M.says_close(fields)
  for _, field in ipairs(fields) do
    if field[1] == "connection" and field[2] and field[2]:lower():find "%f[%w]close%f[%W]" then
      return true
    end
  end
  return false
end

local function check_body(ask, level)
  if ask.length and not ask.body then
    error("option 'length' needs a body", level)
  elseif type(ask.body) == "string" and (ask.length or #ask.body) ~= #ask.body then
    error("option 'length' is not that of the body", level)
  end
end

-- Give the ask what the options of a request say.
local function take_options(ask, opts, level)
  options.check(opts, REQUEST, level)
  options.bounds(opts, BOUNDS, level)
  for _, name in ipairs(COPIED) do
    ask[name] = opts[name]
  end
  check_body(ask, level + 1)
  if opts.redirects ~= nil then
    ask.redirects = M.redirects(opts.redirects)
  end
  ask.fields = opts.headers and head.fields(opts.headers, level + 1) or NONE
  ask.close = M.says_close(ask.fields)
  ask.auth = opts.auth and auth.basic(opts.auth) or nil
  ask.is_plain = false
end

-- Begin a request: an ask, and where it goes to.
-- `level` is that of the user, for error.
function M.new(client, method, text, opts, level)
  if type(text) ~= "string" then
    error("URL expected, got " .. type(text), level)
  end
  local ask = setmetatable({method = method}, client.asks)
  if opts ~= nil then
    take_options(ask, opts, level + 1)
  end
  local origin, msg, code = origins.find(client, text, opts and opts.query)
  if not origin then
    return nil, msg, code
  end
  if ask.timeout < HUGE then
    ask.due, ask.expires = until_(ask.timeout), now() + ask.timeout
  end
  return ask, origin
end

return M
