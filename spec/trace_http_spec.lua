-- SPDX-License-Identifier: MIT
-- Spans of HTTP requests: the trace goes from client to server, whatever the fields say.
local rl = require "ringlet"
local H = require "spec.helper"
local http = require "ringlet.http"
local trace = require "ringlet.trace"

-- A server with spans and one without options for it, and what was exported.
local function with(fn, opts)
  local list = {}
  trace.export(function(span) list[#list + 1] = span end,
    {sampler = trace.sampler(opts or {healthy = 1})})
  local r = http.router()
  r:get("/users/:id", function(_, res) res:send(200, "ok") end)
  r:get("/busy", function(_, res) res:send(503, "busy") end)
  r:get("/gone", function(_, res) res:send(404, "gone") end)
  r:get("/raises", function() error "broken" end)
  r:get("/echo", function(req, res)
    res:send(200, (req:header "traceparent" or "-") .. " " .. (req:header "tracestate" or "-"))
  end)
  local server = assert(http.serve("127.0.0.1:0", r, {trace = true}))
  local client = http.client{trace = true}
  rl.on_error(function() end)
  local ok, err = pcall(fn, "http://" .. server:addr(), client, list)
  rl.on_error(nil)
  trace.export(nil)
  client:close()
  server:stop()
  server:join()
  if not ok then error(err, 0) end
  return list
end

-- The span at the server's end is over after the client has the response.
local function wait_for(n, list)
  H.eventually(n .. " spans", function() return #list >= n end)
end

local function by_kind(list, kind)
  local found = {}
  for _, span in ipairs(list) do
    if span.kind == kind then found[#found + 1] = span end
  end
  return found
end

H.both("http with spans", function(it)
  it("has one at each end, in one trace", function()
    local list = with(function(url, client, seen)
      trace.span("outer", function()
        assert.equal(200, client:get(url .. "/users/17?x=1").status)
      end)
      wait_for(3, seen)
    end)
    local server, asked = by_kind(list, "server")[1], by_kind(list, "client")[1]
    local outer = by_kind(list, "internal")[1]
    assert.equal(3, #list)
    assert.equal("GET /users/:id", server.name)
    assert.equal("GET", asked.name)
    assert.equal(asked.span_id, server.parent_id)
    assert.equal(outer.span_id, asked.parent_id)
    assert.equal(outer.trace_id, server.trace_id)
    local a = server.attributes
    assert.same({"GET", "/users/17", "x=1", "/users/:id", 200, "1.1", "ringlet"}, {
      a["http.request.method"], a["url.path"], a["url.query"], a["http.route"],
      a["http.response.status_code"], a["network.protocol.version"], a["user_agent.original"]})
    assert.is_truthy(a["client.address"])
    assert.equal(200, asked.attributes["http.response.status_code"])
    assert.is_truthy(asked.attributes["url.full"]:find("/users/17?x=1", 1, true))
  end)

  it("takes errors of the server for errors, and 404 for one of the client's alone", function()
    local list = with(function(url, client, seen)
      client:get(url .. "/busy")
      client:get(url .. "/raises")
      client:get(url .. "/gone")
      wait_for(6, seen)
    end)
    local seen = {}
    for _, span in ipairs(by_kind(list, "server")) do
      seen[#seen + 1] = span.name .. " " .. span.status .. " "
        .. tostring(span.attributes["error.type"])
    end
    table.sort(seen)
    assert.same({"GET /busy error 503", "GET /gone unset nil", "GET /raises error exception"}, seen)
    for _, span in ipairs(by_kind(list, "client")) do
      assert.equal("error", span.status)
    end
  end)

  it("keeps of many requests those with 5xx", function()
    local list = with(function(url, client, seen)
      for i = 1, 100 do
        client:get(url .. (i % 10 == 0 and "/busy" or "/users/1"))
      end
      wait_for(20, seen)
    end, {healthy = 0})
    assert.equal(10, #by_kind(list, "server"))
    assert.equal(10, #by_kind(list, "client"))
  end)

  it("hands on what came, and starts anew when that is wrong", function()
    local id = ("1f"):rep(16)
    local list = with(function(url, _, seen)
      local plain = http.client()
      local function ask(fields)
        assert(plain:get(url .. "/users/1", {headers = fields}))
      end
      ask{traceparent = "00-" .. id .. "-" .. ("2e"):rep(8) .. "-01", tracestate = "a=1"}
      ask{traceparent = "00-" .. id .. "-" .. ("0"):rep(16) .. "-01"}
      ask{traceparent = {"00-" .. id .. "-" .. ("2e"):rep(8) .. "-01",
        "00-" .. id .. "-" .. ("2e"):rep(8) .. "-01"}}
      ask{}
      wait_for(4, seen)
      plain:close()
    end)
    local spans = by_kind(list, "server")
    assert.equal(4, #spans)
    assert.equal(id, spans[1].trace_id)
    assert.equal(("2e"):rep(8), spans[1].parent_id)
    assert.equal("a=1", spans[1].state)
    for i = 2, 4 do
      assert.are_not.equal(id, spans[i].trace_id)
      assert.is_nil(spans[i].parent_id)
    end
  end)

  it("sends what the user gives instead, and nothing without an exporter", function()
    with(function(url, client, list)
      local own = "00-" .. ("3d"):rep(16) .. "-" .. ("4c"):rep(8) .. "-00"
      assert.equal(own .. " -", client:get(url .. "/echo", {headers = {traceparent = own}}).body)
      local text = client:get(url .. "/echo").body
      assert.is_truthy(text:find "^00%-%x+%-%x+%-01 %-$")
      wait_for(3, list)
      local n = #list
      trace.export(nil)
      assert.equal("- -", client:get(url .. "/echo").body)
      assert.equal(n, #list)
    end)
  end)

  it("has the failures of requests", function()
    local list = with(function(_, client)
      local res, _, code = client:get "http://127.0.0.1:1/"
      assert.is_nil(res)
      assert.equal("ECONNREFUSED", code)
    end)
    assert.equal("error", list[1].status)
    assert.equal("ECONNREFUSED", list[1].attributes["error.type"])
  end)
end)
