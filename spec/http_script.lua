-- SPDX-License-Identifier: MIT
-- http_script: servers of HTTP that do what a spec says, byte for byte, right or wrong.
local assert = require "luassert"
local http = require "ringlet.http"
local net = require "ringlet.net"
local rl = require "ringlet"

local M = {}

-- The body of a request in chunks, and how long each was.
local function read_chunks(conn)
  local pieces, sizes = {}, {}
  while true do
    local line = conn:read_line()
    local n = line and tonumber(line, 16)
    if not n then
      return nil
    elseif n == 0 then
      conn:read_line()
      return table.concat(pieces), sizes
    end
    pieces[#pieces + 1], sizes[#sizes + 1] = conn:read_exactly(n), n
    conn:read_line()
  end
end

local function request_of(head)
  local request = {head = head .. "\r\n\r\n", lines = {}, fields = {}}
  for line in (head .. "\r\n"):gmatch "(.-)\r\n" do
    local name, value = line:match "^([^: ]+): ?(.*)$"
    request.lines[#request.lines + 1] = line
    if name then request.fields[name:lower()] = value end
  end
  request.method, request.target = head:match "^(%S+) (%S+) HTTP/1.1"
  return request
end

--- The next request on a connection, nil at its end. `without_body`: its body is left there.
function M.read(conn, without_body)
  local head = conn:read_until "\r\n\r\n"
  if not head then
    return nil
  end
  local request = request_of(head)
  local length = tonumber(request.fields["content-length"])
  if without_body then
    return request
  elseif length then
    request.body = conn:read_exactly(length)
  elseif request.fields["transfer-encoding"] then
    request.body, request.sizes = read_chunks(conn)
  end
  return request
end

--- A response with a length.
function M.response(body, more)
  return ("HTTP/1.1 200 OK\r\n%sContent-Length: %d\r\n\r\n%s"):format(more or "", #body, body)
end

M.OK = M.response "ok"

local function answer(conn, script, request, s, n)
  local what = script
  if type(script) == "table" then
    what = script[#s.seen] or script[#script]
  end
  if type(what) == "function" then
    return what(conn, request, s, n)
  end
  conn:write(what)
end

local function handler_of(s, script)
  return function(conn)
    s.connections = s.connections + 1
    s.live = s.live + 1
    s.most = math.max(s.most, s.live)
    local n, ends = s.connections, nil
    while not ends do
      local request = M.read(conn, s.without_body)
      if not request then break end
      request.connection = n
      s.seen[#s.seen + 1] = request
      ends = answer(conn, script, request, s, n)
    end
    s.live = s.live - 1
    if ends == "abort" then conn:abort() end
  end
end

--- Serve a script: a text that answers each request, a list of what answers the first, the second
-- and so on, or a function(conn, request, s, number of the connection), which ends the connection
-- by true, or by "abort".
function M.serve(script)
  local s = {seen = {}, connections = 0, live = 0, most = 0}
  s.server = assert(net.serve("127.0.0.1:0", handler_of(s, script)))
  s.addr = s.server:addr()
  s.url = "http://" .. s.addr
  function s.stop()
    s.server:stop(0)
  end
  return s
end

--- Serve a script for a test: fn(client, s), after which nothing may be left.
function M.with(script, opts, fn)
  if not fn then
    opts, fn = nil, opts
  end
  local s, client = M.serve(script), http.client(opts)
  fn(client, s)
  local stats = client:stats()
  assert.equal(0, stats.busy, "connections that nobody gave back")
  assert.equal(0, stats.waiting)
  client:close()
  s.stop()
end

function M.fails(code, v, msg, got)
  assert.same({nil, "string", code}, {v, type(msg), got}, msg)
  assert.equal(code .. ":", msg:match "^(%S+)", "the message begins with the code")
  return msg
end

function M.turns(n)
  for _ = 1, n or 3 do rl.yield() end
end

return M
