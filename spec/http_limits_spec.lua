-- SPDX-License-Identifier: MIT
-- Limits and times of HTTP servers at their boundaries: what is just inside is served, what is one
-- byte, request or tick outside is not, and is told so.
local H = require "spec.helper"
local http = require "ringlet.http"
local net = require "ringlet.net"
local rl = require "ringlet"

local GET = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
local EMPTY = "Content%-Length: 0\r\nConnection: close"

local function serve(opts, handler)
  return assert(http.serve("127.0.0.1:0", handler or function(req, res)
    res:send(200, tostring(#rl.check(req:read_all())))
  end, opts))
end

local function connect(server)
  return assert(net.connect(server:addr()))
end

-- The statuses that `server` answers with to somebody who sends this, maybe in pieces of so many
-- bytes, and then no more.
local function statuses(server, text, step)
  local conn, list = connect(server), {}
  step = step or #text
  for i = 1, #text, step do
    conn:write(text:sub(i, i + step - 1))
    conn:flush()
    rl.yield()
  end
  conn:shutdown()
  for status in (conn:read_all(1048576, 60) or ""):gmatch "HTTP/1.1 (%d+)" do
    list[#list + 1] = status
  end
  conn:close()
  return table.concat(list, " ")
end

-- With the limit at `max`, text(max) is served and text(max + 1) has `status`; also in pieces.
local function bounds(name, max, status, text)
  local server = serve{limits = {[name] = max}}
  for _, step in ipairs{1e9, H.torture and 701 or 7} do
    assert.equal("200", statuses(server, text(max), step), name)
    assert.equal(tostring(status), statuses(server, text(max + 1), step), name)
  end
  server:stop(1)
end

local function get(target, fields)
  return "GET " .. target .. " HTTP/1.1\r\nHost: a\r\n" .. fields .. "\r\n"
end

local function post(fields, body)
  return "POST / HTTP/1.1\r\nHost: a\r\n" .. fields .. "\r\n" .. body
end

H.both("a limit of a server is exact:", function(it)
  it("the target's", function()
    for _, max in ipairs{1, 10, 8000, 20000} do
      bounds("target", max, 414, function(n) return get("/" .. ("x"):rep(n - 1), "") end)
    end
  end)

  it("a line's", function()
    for _, max in ipairs{20, 8192, 30000} do
      bounds("line", max, 431, function(n) return get("/", "X: " .. ("x"):rep(n - 3) .. "\r\n") end)
    end
  end)

  it("the number of fields", function()
    for _, max in ipairs{1, 2, 100, 500} do
      bounds("fields", max, 431, function(n) return get("/", ("X: y\r\n"):rep(n - 1)) end)
    end
  end)

  it("the head's", function()
    for _, max in ipairs{60, 1024, 1025, 65536, 100000} do
      bounds("head", max, 431, function(n)
        local left = n - #get("/", "")
        local fields = ("X: " .. ("x"):rep(4995) .. "\r\n"):rep(math.floor(left / 5000 - 0.01))
        left = left - #fields
        return get("/", fields .. "Y: " .. ("y"):rep(left - 5) .. "\r\n")
      end)
    end
  end)

  it("that of a body with a length", function()
    for _, max in ipairs{0, 1, 5, 100000} do
      bounds("body", max, 413, function(n)
        return post(("Content-Length: %d\r\n"):format(n), ("x"):rep(n))
      end)
    end
  end)

  it("that of a body in chunks, told as soon as it is passed", function()
    rl.on_error(function() end)
    for _, max in ipairs{1, 5, 1000} do
      bounds("body", max, 413, function(n)
        return post("Transfer-Encoding: chunked\r\n",
          ("1\r\nx\r\n"):rep(n - 1) .. "1;e\r\nx\r\n0\r\n\r\n")
      end)
    end
    rl.on_error(nil)
  end)

  it("the number of requests", function()
    for _, max in ipairs{1, 2, 64, 65, 200} do
      local server = serve{max_requests = max}
      assert.equal(("200 "):rep(max):sub(1, -2), statuses(server, GET:rep(max)))
      assert.equal(("200 "):rep(max):sub(1, -2), statuses(server, GET:rep(max + 1)))
      server:stop(1)
    end
  end)

  it("what else has a status of its own", function()
    local server = serve()
    for text, status in pairs{
      [("M"):rep(32) .. " / HTTP/1.1\r\nHost: a\r\n\r\n"] = 200,
      [("M"):rep(33) .. " / HTTP/1.1\r\nHost: a\r\n\r\n"] = 501,
      ["GET / HTTP/1.0\r\n\r\n"] = 200, ["GET / HTTP/1.2\r\nHost: a\r\n\r\n"] = 505,
      [post("Expect: 100-continue\r\nContent-Length: 1\r\n", "x")] = 200,
      [post("Expect: 100-continues\r\nContent-Length: 1\r\n", "x")] = 417,
      [post("Transfer-Encoding: chunked\r\n", "0\r\n\r\n")] = 200,
      [post("Transfer-Encoding: x, chunked\r\n", "0\r\n\r\n")] = 501,
      [post("Content-Length: 0\r\n", "")] = 200, [post("Content-Length: -0\r\n", "")] = 400,
    } do
      assert.equal(tostring(status), statuses(server, text), text)
    end
    server:stop(1)
  end)

  it("the number of connections", function()
    local release = rl.event()
    local server = serve({max_connections = 2}, function(_, res) release:wait() res:send(200) end)
    local conns = {}
    for i = 1, 3 do
      conns[i] = connect(server)
      conns[i]:write(get("/", "Connection: close\r\n"))
      local live = math.min(i, 2)
      H.eventually("the connection", function() return server:stats().live == live end)
    end
    rl.sleep(0.01)
    assert.equal(2, server:stats().live)
    release:set()
    for i = 1, 3 do
      assert.truthy(conns[i]:read_all():find("200 OK", 1, true))
      conns[i]:close()
    end
    assert.equal(3, server:stats().accepted)
    server:stop(1)
  end)
end)

H.sim("requests that a client sends without waiting", function(it)
  it("are read while fewer bytes than read_high_water are not", function()
    local release, n = rl.event(), 0
    local server = serve({read_high_water = 4096}, function(_, res)
      n = n + 1
      release:wait()
      res:send(200)
    end)
    local conn, total = connect(server), 400000
    local sent = rl.go(function() conn:write(GET:rep(total)) conn:flush() end)
    rl.sleep(1)
    assert.equal(1, n)
    assert.equal("parked", sent:status())
    assert.is_true(conn:stats().bytes_out < GET:len() * total)
    sent:cancel()
    release:set()
    conn:abort()
    server:stop(1)
  end)
end)

-- What comes to somebody who sends `text` and then waits; after how many seconds.
local function wait_for_end(server, text)
  local conn, from = connect(server), rl.now()
  conn:write(text)
  local got = conn:read_until("\r\n\r\n", 100000, 1000)
  local seconds = rl.now() - from
  local rest = conn:read_all(1000, 1000)
  conn:close()
  return got, seconds, rest
end

local function about(want, got, what)
  assert.is_true(math.abs(want - got) < H.TICK, ("%s: %g s, not %g"):format(what, got, want))
end

local LATE = "HTTP/1.1 408 Request Timeout\r\nDate: [^\r]+\r\n" .. EMPTY .. "$"

H.sim("the time of a server", function(it)
  it("for a head is told with 408, once a byte of it has come", function()
    local server = serve{head_timeout = 4, idle_timeout = 9}
    for cut = 1, #GET - 1 do
      local got, seconds = wait_for_end(server, GET:sub(1, cut))
      assert.matches(LATE, got, "cut at " .. cut)
      about(4, seconds, "cut at " .. cut)
    end
    local refused = #GET - 1
    for text, want in pairs{[""] = 9, ["\r\n"] = 4} do
      local got, seconds = wait_for_end(server, text)
      assert.is_nil(got)
      about(want, seconds, "nothing")
    end
    assert.equal(refused, select(2, require "ringlet.core".http_counts(server.serve)))
    assert.equal(0, server:stats().live)
    server:stop(1)
  end)

  it("for a head is exact", function()
    local server = serve{head_timeout = 4}
    for pause, status in pairs{[4 - H.TICK] = "200", [4 + H.TICK] = "408"} do
      local conn = connect(server)
      conn:write(GET:sub(1, 9))
      conn:flush()
      rl.sleep(pause)
      conn:write(GET:sub(10))
      assert.equal(status, conn:read_until "\r\n\r\n":match "HTTP/1.1 (%d+)")
      conn:close()
    end
    server:stop(1)
  end)

  it("is told behind answers, and to those that are slow to take them", function()
    local server = serve({head_timeout = 4}, function(_, res) res:send(200, ("x"):rep(300000)) end)
    local conn = connect(server)
    conn:write(GET, GET:sub(1, 3))
    rl.sleep(6)
    assert.truthy(conn:read_exactly(300000))
    local rest = conn:read_all(100000, 100)
    assert.matches("HTTP/1.1 408 ", rest)
    conn:close()
    rl.sleep(10)
    assert.equal(0, server:stats().live)
    server:stop(1)
  end)

  it("ends a client that has sent half a head and takes nothing", function()
    local server = serve({head_timeout = 4, idle_timeout = 20}, function(_, res)
      res:send(200, ("x"):rep(60000))
    end)
    local conn = connect(server)
    conn:write(GET:rep(100), GET:sub(1, 3))
    rl.sleep(70)
    assert.equal(0, server:stats().live)
    conn:close()
    server:stop(1)
  end)

  it("between requests ends a connection without a word", function()
    local server = serve{idle_timeout = 9}
    local got, seconds, rest = wait_for_end(server, GET)
    assert.matches("^HTTP/1.1 200", got)
    assert.equal("0", rest)
    about(0, seconds, "answer")
    server:stop(1)
  end)

  it("for a head is over when idle_timeout is, if that is shorter", function()
    local server = serve{head_timeout = 50, idle_timeout = 9}
    local got, seconds = wait_for_end(server, GET:sub(1, 9))
    assert.matches(LATE, got)
    about(9, seconds, "half a head")
    server:stop(1)
  end)

  it("for all of a connection ends it without a word", function()
    for _, head_timeout in ipairs{5, 50} do
      local server = serve{head_timeout = head_timeout, total_timeout = 3}
      local got, seconds = wait_for_end(server, GET:sub(1, 9))
      assert.is_nil(got)
      about(3, seconds, "half a head")
      server:stop(1)
    end
  end)

  it("for a piece of a body is told with 408, unless the handler answers", function()
    local told = 0
    rl.on_error(function() told = told + 1 end)
    local half = post("Content-Length: 9\r\n", "half")
    local chunk = post("Transfer-Encoding: chunked\r\n", "4\r\nhalf\r\n")
    for idle in pairs{[3] = true, [75] = true} do
      local server = serve({read_timeout = 6, idle_timeout = idle}, function(req, res)
        if req.query == "chunks" then
          for _ in req:chunks() do end
        end
        local body, _, code = req:read_all()
        if req.query == "own" then res:send(400, code) end
        return body
      end)
      for _, text in ipairs{half, chunk, (half:gsub("/ ", "/?chunks ", 1))} do
        local got, seconds = wait_for_end(server, text)
        assert.matches(LATE, got)
        about(6, seconds, "half a body")
      end
      local got, _, rest = wait_for_end(server, (half:gsub("/ ", "/?own ", 1)))
      assert.matches("^HTTP/1.1 400 ", got)
      assert.equal("ETIMEDOUT", rest)
      rl.sleep(3)
      assert.equal(0, server:stats().live)
      server:stop(1)
    end
    assert.equal(2, told)
    rl.on_error(nil)
  end)

  it("is not over for a body that came in the end", function()
    local server = serve({}, function(req)
      while true do
        local piece, _, code = req:read(1)
        if not piece and code == "EOF" then return end
      end
    end)
    local conn = connect(server)
    conn:write(post("Content-Length: 9\r\n", "half"))
    rl.sleep(5)
    conn:write "other"
    assert.matches("^HTTP/1.1 500 ", conn:read_until "\r\n\r\n")
    conn:close()
    server:stop(1)
  end)

  it("is told as 400 or 413 when it is the body that is wrong", function()
    rl.on_error(function() end)
    local server = serve({limits = {body = 4}}, function(req) req:read_all() end)
    for body, status in pairs{
      ["5\r\nhalf!\r\n0\r\n\r\n"] = 413, ["zz\r\n"] = 400, ["1\r\nxy"] = 400,
    } do
      local got = wait_for_end(server, post("Transfer-Encoding: chunked\r\n", body))
      assert.equal(tostring(status), got:match "^HTTP/1.1 (%d+)", body)
      assert.truthy(got:find("Connection: close", 1, true))
    end
    server:stop(1)
    rl.on_error(nil)
  end)

  it("for a handler is exact", function()
    local server = serve({request_timeout = 3}, function(req, res)
      rl.sleep(tonumber(req.query))
      res:send(200)
    end)
    for query, status in pairs{[3 - H.TICK] = "200", [3 + H.TICK] = "503"} do
      local got = wait_for_end(server, (get("/?" .. query, "Connection: close\r\n")))
      assert.equal(status, got:match "^HTTP/1.1 (%d+)")
    end
    server:stop(1)
  end)

  it("in which a client takes nothing ends the answer", function()
    local code, seconds
    local server = serve({write_timeout = 5}, function(_, res)
      local from, ok
      repeat
        from = rl.now()
        ok, _, code = res:write(("x"):rep(65536))
      until not ok
      seconds = rl.now() - from
    end)
    local conn = connect(server)
    conn:write(GET)
    rl.sleep(8)
    assert.equal("ETIMEDOUT", code)
    about(5, seconds, "write")
    conn:abort()
    server:stop(1)
  end)
end)

