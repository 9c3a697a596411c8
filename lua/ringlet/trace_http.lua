-- SPDX-License-Identifier: MIT
-- trace_http: spans of HTTP requests, as http_server and http_client have them with `trace = true`.
-- Names and attributes are those of OpenTelemetry's semantic conventions for HTTP, 1.23.

require "ringlet.trace"
local context = require "ringlet.trace_context"
local core = require "ringlet.core"
local head = require "ringlet.http_client_head"
local span = require "ringlet.trace_span"

local begin = span.begin

local M = {}

-- ---- servers ------------------------------------------------------------------------------------

local function served(s, req, res, ok, ...)
  local status = res.status or 500
  s:set("http.response.status_code", status)
  if req.route then
    s.name = s.method .. " " .. req.route
    s:set("http.route", req.route)
  end
  if not ok then
    s:set("error.type", "exception"):fail((...))
  elseif status >= 500 then
    s:set("error.type", tostring(status)):fail()
  end
  s:finish()
  if not ok then
    error((...), 0)
  end
  return ...
end

--- A handler whose requests have spans.
function M.handler(handler)
  return function(req, res)
    if not span.exporting() and not core.tracing() then
      return handler(req, res)
    end
    local parent = context.parse(req:header "traceparent", req:header "tracestate")
    local s = begin(req.method, {
      ["http.request.method"] = req.method, ["url.path"] = req.path, ["url.query"] = req.query,
      ["url.scheme"] = "http", ["server.address"] = req.host,
      ["network.protocol.version"] = req.version, ["user_agent.original"] = req:header "user-agent",
      ["client.address"] = req:peername(),
    }, {kind = "server", parent = parent or false})
    s.method = req.method
    req.span = s
    return served(s, req, res, pcall(handler, req, res))
  end
end

-- ---- clients ------------------------------------------------------------------------------------

-- The user's fields, and those that hand the trace on unless he has given his own.
local function with_context(s, ask)
  local parent, state = s:context()
  if not parent or head.has(ask.fields, "traceparent") or head.has(ask.usual, "traceparent") then
    return
  end
  local fields = {}
  for i, field in ipairs(ask.fields) do
    fields[i] = field
  end
  fields[#fields + 1] = {"traceparent", "traceparent: " .. parent}
  if state then
    fields[#fields + 1] = {"tracestate", "tracestate: " .. state}
  end
  ask.fields, ask.is_plain = fields, false
end

local function asked(s, ok, res, msg, code)
  if not ok then
    s:set("error.type", "exception"):fail(res):finish()
    error(res, 0)
  elseif not res then
    s:set("error.type", code):fail(msg)
  else
    s:set("http.response.status_code", res.status)
    if res.status >= 400 then
      s:set("error.type", tostring(res.status)):fail()
    end
  end
  s:finish()
  return res, msg, code
end

--- Have perform(client, ask, origin) done within a span: it ends when the head of the last response
-- is here.
function M.perform(perform, client, ask, origin)
  local s = begin(ask.method, {
    ["http.request.method"] = ask.method, ["server.address"] = origin.addr,
    ["url.full"] = origin.text,
  }, {kind = "client"})
  with_context(s, ask)
  return asked(s, pcall(perform, client, ask, origin))
end

return M
