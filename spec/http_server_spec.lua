-- SPDX-License-Identifier: MIT
-- HTTP servers, seen by clients that send bytes.
local H = require "spec.helper"
local http = require "ringlet.http"
local net = require "ringlet.net"
local rl = require "ringlet"

local GET = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
local LAST = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"

-- An answer without the line that has the date.
local function plain(text)
  return text and (text:gsub("\r\nDate: [^\r]*", ""))
end

local function serve(handler, opts)
  return assert(http.serve("127.0.0.1:0", handler, opts))
end

-- What the server at `server` sends to somebody who sends this and then waits for its end.
local function talk(server, text, t)
  local conn = assert(net.connect(server:addr()))
  conn:write(text)
  local answer, msg, code = conn:read_all(1048576, t or 30)
  conn:close()
  return plain(answer), msg, code
end

-- The same with a handler of its own; the server is stopped.
local function answer(handler, text, opts)
  local server = serve(handler, opts)
  local got, msg, code = talk(server, text)
  server:stop(1)
  return got, msg, code
end

local function hello(_, res)
  res:send(200, "hello")
end

local function head(status, reason, length, more)
  return ("HTTP/1.1 %d %s\r\nContent-Length: %d\r\n%s\r\n"):format(status, reason, length,
    more or "")
end

local CLOSE = "Connection: close\r\n"

H.both("a server", function(it)
  it("answers", function()
    assert.equal(head(200, "OK", 5, CLOSE) .. "hello", answer(hello, LAST))
  end)

  it("has the date of the second", function()
    local server = serve(hello)
    local conn = assert(net.connect(server:addr()))
    for _ = 1, 3 do
      local from = math.floor(rl.time() - 0.05) -- the server's clock may be a tick behind
      conn:write(GET)
      local date = conn:read_until("hello"):match "Date: (%u%l%l, %d%d %u%l%l %d%d%d%d [%d:]+ GMT)"
      local is_right = false
      for second = from, math.floor(rl.time()) do
        is_right = is_right or date == os.date("!%a, %d %b %Y %H:%M:%S GMT", second)
      end
      assert.is_true(is_right, date)
      rl.sleep(1)
    end
    conn:close()
    server:stop(1)
  end)

  it("keeps connections, and answers in order what comes at once", function()
    local server = serve(function(req, res) res:send(200, req.path) end)
    local many = {}
    for i = 1, 200 do
      many[i] = ("GET /%d HTTP/1.1\r\nHost: a\r\n\r\n"):format(i)
    end
    local got = talk(server, table.concat(many) .. LAST)
    local want = {}
    for i = 1, 200 do
      local path = "/" .. i
      want[i] = head(200, "OK", #path) .. path
    end
    assert.equal(table.concat(want) .. head(200, "OK", 1, CLOSE) .. "/", got)
    assert.equal(1, server:stats().accepted)
    server:stop(1)
  end)

  it("reads a request that comes byte by byte, and cut anywhere", function()
    local server = serve(function(req, res)
      res:send(200, table.concat({req.method, req.target, req:header "x-y", req:read_all()}, " "))
    end)
    local text = "POST /a?b HTTP/1.1\r\nHost: a\r\nX-Y: z\r\nConnection: close\r\n"
      .. "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nT: 1\r\n\r\n"
    local want = head(200, "OK", 18, CLOSE) .. "POST /a?b z abcde"
    want = want:gsub("Content%-Length: 18", "Content-Length: 17")
    for cut = 1, #text - 1, H.torture and 13 or 1 do
      local conn = assert(net.connect(server:addr()))
      conn:write(text:sub(1, cut))
      conn:flush()
      rl.yield()
      conn:write(text:sub(cut + 1))
      assert.equal(want, plain(conn:read_all()), "cut at " .. cut)
      conn:close()
    end
    local conn = assert(net.connect(server:addr()))
    for byte in text:gmatch "." do
      conn:write(byte)
      conn:flush()
      rl.yield()
    end
    assert.equal(want, plain(conn:read_all()))
    conn:close()
    server:stop(1)
  end)

  it("knows what was asked", function()
    local seen
    answer(function(req, res)
      seen = {req.method, req.target, req.path, req.query, req.host, req.version,
        req:header "ACCEPT", req:header "x", req:headers().host, tostring(req)}
      res:send(204)
    end, "GET /p/%20q?a=1&b HTTP/1.1\r\nHost: h:8\r\nAccept: x\r\nAccept: y\r\n"
      .. "Connection: close\r\n\r\n")
    assert.same({"GET", "/p/%20q?a=1&b", "/p/%20q", "a=1&b", "h:8", "1.1", "x, y", nil, "h:8",
      "ringlet.request: GET /p/%20q?a=1&b"}, seen)
  end)

  it("sends a body in pieces, in chunks or with the length it was told", function()
    assert.equal("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
      .. "1\r\na\r\n3\r\nbcd\r\n0\r\n\r\n",
      answer(function(_, res) res:write "a" res:write "" res:write "bcd" end, LAST))
    assert.equal(head(201, "Created", 4, CLOSE) .. "abcd", answer(function(_, res)
      assert.is_true(res:begin(201, 4))
      assert.is_true(res:write "abcd")
      assert.same({nil, "EMSGSIZE: more than Content-Length says", "EMSGSIZE"}, {res:write "e"})
      assert.is_true(res:finish())
      assert.same({nil, "EALREADY: the response was sent", "EALREADY"}, {res:finish()})
    end, LAST))
    assert.equal("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nab",
      answer(function(_, res) res:write "a" res:write "b" end, "GET / HTTP/1.0\r\n\r\n"))
  end)

  it("sends no body where there must be none", function()
    local last_head = LAST:gsub("GET", "HEAD")
    assert.equal(head(200, "OK", 5, CLOSE), answer(hello, last_head))
    assert.equal("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n",
      answer(function(_, res) res:send(204, "x") end, LAST))
    assert.equal("HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nConnection: close\r\n\r\n",
      (answer(function(_, res) res:header("ETag", '"x"'):send(304) end, LAST)
        :gsub("Connection: close\r\nETag: \"x\"", "ETag: \"x\"\r\nConnection: close")))
  end)

  it("keeps an HTTP/1.0 connection if it was asked to", function()
    local server = serve(hello)
    local old = "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
    assert.equal(head(200, "OK", 5, "Connection: keep-alive\r\n") .. "hello"
      .. head(200, "OK", 5, CLOSE) .. "hello", talk(server, old .. "GET / HTTP/1.0\r\n\r\n"))
    server:stop(1)
  end)

  it("has a path, whatever the target is", function()
    local server = serve(function(req, res)
      res:send(200, ("%s %s %s"):format(req.path, req.query or "-", req.host))
    end)
    for line, want in pairs{
      ["GET http://h"] = "/ - h", ["GET http://h?q"] = "/ q h", ["GET http://h/p?q"] = "/p q h",
      ["OPTIONS *"] = "* - a", ["OPTIONS http://h"] = "* - h", ["OPTIONS http://h?q"] = "/ q h",
      ["OPTIONS /"] = "/ - a", ["CONNECT a:1"] = " - a:1",
    } do
      local got = talk(server, line .. " HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
      assert.equal(want, got:match "\r\n\r\n(.*)$", line)
    end
    server:stop(1)
  end)

  it("keeps in a 500 what is not about the body that it has not", function()
    rl.on_error(function() end)
    local function fields(res)
      res:header("X-Request-Id", "r-1"):header("Content-Type", "text/css"):header("ETag", '"e"')
      res:header("Content-Length", 7):header("Set-Cookie", "a=b"):header("Date", "never")
      res:header("Cache-Control", "max-age=9"):header("Access-Control-Allow-Origin", "*")
    end
    local left = "X-Request-Id: r-1\r\nAccess-Control-Allow-Origin: *\r\n"
    local want = head(500, "Internal Server Error", 0, CLOSE .. left)
    assert.equal(want, answer(function(_, res) fields(res) end, LAST))
    assert.equal(want, answer(function(_, res) fields(res) error "x" end, LAST))
    assert.equal(want, answer(function(_, res) fields(res) error "x" end, LAST,
      {on_access = function() end}))
    assert.equal(head(503, "Service Unavailable", 0, CLOSE .. left), answer(function(_, res)
      fields(res)
      rl.sleep(1000)
    end, LAST, {request_timeout = 0.01}))
    assert.equal(head(500, "Internal Server Error", 0, CLOSE .. "X: y\r\n"), answer(
      function(_, res) res:header("Connection", "close"):header("X", "y") end, GET))
    rl.on_error(nil)
  end)

  it("tells where a handler raised, whatever it is wrapped in", function()
    local traces = {}
    rl.on_error(function(_, trace) traces[#traces + 1] = trace end)
    local function culprit() error "x" end
    local function handler() culprit() end
    for _, opts in ipairs{{}, {on_access = function() end}, {request_timeout = 9},
      {cancel_on_close = true}, {request_id = true, on_access = function() pcall(error, "x") end,
        request_timeout = 9, cancel_on_close = true}} do
      answer(handler, LAST, opts)
      local line = debug.getinfo(culprit, "S").linedefined
      assert.truthy(traces[#traces]:find("http_server_spec.lua:" .. line, 1, true), traces[#traces])
    end
    assert.equal(5, #traces)
    rl.on_error(nil)
  end)

  it("sends 500 for a handler that says nothing, and for one that raises", function()
    local errors = {}
    rl.on_error(function(err) errors[#errors + 1] = err end)
    assert.equal(head(500, "Internal Server Error", 0, CLOSE), answer(function() end, LAST))
    assert.equal(head(500, "Internal Server Error", 0, CLOSE),
      answer(function() error({"mine"}) end, LAST))
    assert.same({{"mine"}}, errors)
    rl.on_error(nil)
  end)

  it("cuts an answer off whose handler raises half way", function()
    local told = 0
    rl.on_error(function() told = told + 1 end)
    local got, _, code = answer(function(_, res) res:write "half" error "late" end, LAST)
    assert.is_true(got == nil and code == "ECONNRESET" or not got:find "0\r\n\r\n$", got)
    got, _, code = answer(function(_, res) res:begin(200, 9) res:write "half" end, LAST)
    assert.is_true(got == nil and code == "ECONNRESET" or #got < 9 + #head(200, "OK", 9), got)
    assert.equal(1, told)
    rl.on_error(nil)
  end)

  it("refuses what is no HTTP, and closes", function()
    local server = serve(hello)
    for text, status in pairs{
      ["GET / HTTP/1.1\r\n\r\n"] = 400, ["GET / HTTP/1.1\nHost: a\n\n"] = 400,
      ["GET / HTTP/1.1\r\nHost: a\r\nA : b\r\n\r\n"] = 400,
      ["GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"]
        = 400,
      ["GET / HTTP/2.0\r\nHost: a\r\n\r\n"] = 505,
      ["POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"] = 501,
      ["GET / HTTP/1.1\r\nHost: a\r\nExpect: magic\r\n\r\n"] = 417,
    } do
      local got = talk(server, text .. GET)
      assert.equal(status, tonumber(got:match "^HTTP/1.1 (%d+)"), text)
      assert.truthy(got:find "Connection: close\r\n\r\n$", got)
    end
    server:stop(1)
  end)

  it("has limits, each exact", function()
    local server = serve(function(req, res) res:send(200, tostring(#(req:read_all() or "?"))) end,
      {limits = {target = 10, line = 20, fields = 3, head = 100, body = 5}})
    local function status(text)
      return tonumber(talk(server, text):match "^HTTP/1.1 (%d+)")
    end
    local function get(target, fields)
      return "GET " .. target .. " HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" .. (fields or "")
        .. "\r\n"
    end
    assert.equal(200, status(get("/" .. ("x"):rep(9))))
    assert.equal(414, status(get("/" .. ("x"):rep(10))))
    assert.equal(200, status(get("/", "X: " .. ("x"):rep(17) .. "\r\n")))
    assert.equal(431, status(get("/", "X: " .. ("x"):rep(18) .. "\r\n")))
    assert.equal(431, status(get("/", "X: y\r\nZ: y\r\n")))
    assert.equal(200, status(get("/", "Content-Length: 5\r\n") .. "12345"))
    assert.equal(413, status(get("/", "Content-Length: 6\r\n") .. "123456"))
    server:stop(1)
  end)

  it("checks what a handler sets", function()
    answer(function(_, res)
      H.raises_text("control character", res.header, res, "A", "b\r\nC: d")
      H.raises_text("no name of a header field", res.header, res, "A b", "c")
      H.raises_text("not to be set", res.header, res, "Transfer-Encoding", "chunked")
      H.raises_text("a number of bytes expected", res.header, res, "Content-Length", "x")
      H.raises_text("a status from 200 to 599", res.send, res, 99)
      H.raises_text("a status from 200 to 599", res.send, res, 600, "")
      H.raises_text("a status from 200 to 599", res.send, res, 200.5)
      H.raises_text("from 200 to 599 expected, got 200", res.send, res, "200")
      H.raises_text("a status from 200 to 599", res.send, res)
      H.raises_text("string expected, got table", res.send, res, 200, {})
      H.raises_text("string expected, got number", res.send, res, 200, 1)
      H.raises_text("http_server_spec.lua", function() res:send(200, true) end)
      res:header("A", 1):header("a", 2):add_header("B", "x"):add_header("B", "y"):send(200, "")
      H.raises_text("was sent already", res.header, res, "A", "b")
      assert.same({nil, "EALREADY: the response was sent", "EALREADY"}, {res:send(200)})
    end, LAST)
    local got = answer(function(_, res)
      res:header("A", 1):header("a", 2):add_header("B", "x"):add_header("B", "y"):send(200, "")
    end, LAST)
    assert.equal(head(200, "OK", 0, CLOSE .. "a: 2\r\nB: x\r\nB: y\r\n"), got)
  end)

  it("tells a client that waits for it to go on, when somebody reads", function()
    local server = serve(function(req, res) res:send(200, req:read_all()) end)
    local conn = assert(net.connect(server:addr()))
    conn:write "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
    assert.equal("HTTP/1.1 100 Continue\r\n\r\n", conn:read_exactly(25))
    conn:write "ok"
    assert.equal(head(200, "OK", 2) .. "ok", plain(conn:read_until("ok") .. "ok"))
    conn:close()
    server:stop(1)
  end)

  it("does not tell it once the answer has begun", function()
    local got
    local server = serve(function(req, res)
      res:write "first"
      got = {req:read(0.02)}
    end)
    local conn = assert(net.connect(server:addr()))
    conn:write "PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
    assert.equal("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
      .. "5\r\nfirst\r\n0\r\n\r\n", plain(conn:read_all()))
    assert.equal("ETIMEDOUT", got[3])
    conn:close()
    server:stop(1)
  end)

  it("throws away a body that nobody reads, if it is not too long", function()
    local server = serve(hello)
    local post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s"
    assert.equal(head(200, "OK", 5) .. "hello" .. head(200, "OK", 5, CLOSE) .. "hello",
      talk(server, post:format(100, ("x"):rep(100)) .. LAST))
    assert.equal(head(200, "OK", 5) .. "hello", talk(server, post:format(1e6, ("x"):rep(10))))
    server:stop(1)
  end)

  it("says when a body is cut short", function()
    local codes = {}
    local server = serve(function(req, res)
      local ok, err = pcall(function() for _ in req:chunks() do end end)
      codes[#codes + 1] = ok or rl.code(err)
      codes[#codes + 1] = select(3, req:read_all())
      res:send(200)
    end)
    local closes = head(200, "OK", 0, CLOSE)
    for _, text in ipairs{"Content-Length: 9\r\n\r\nshort",
      "Transfer-Encoding: chunked\r\n\r\n5\r\nab",
      "Transfer-Encoding: chunked\r\n\r\nzz\r\n"} do
      local conn = assert(net.connect(server:addr()))
      conn:write("POST / HTTP/1.1\r\nHost: a\r\n" .. text)
      conn:shutdown()
      assert.equal(closes, plain(conn:read_all()))
      conn:close()
    end
    assert.same({"EPROTO", "EPROTO", "EPROTO", "EPROTO", "EPROTO", "EPROTO"}, codes)
    server:stop(1)
  end)

  it("leaves nothing of clients that vanish, at whatever byte", function()
    local text = "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nabcd" .. GET
    rl.on_error(function() end)
    local server = serve(function(req, res) res:send(200, req:read_all()) end)
    for cut = 0, #text, H.torture and 11 or 1 do
      local conn = assert(net.connect(server:addr()))
      conn:write(text:sub(1, cut))
      if cut % 2 == 0 then conn:flush() rl.yield() end
      if cut % 3 == 0 then conn:abort() else conn:close() end
    end
    server:stop(5)
    assert.equal(0, server:stats().live)
    rl.on_error(nil)
  end)

  it("can be given many requests at a time", function()
    local server = serve(function(req, res) rl.sleep(0.001) res:send(200, req.path) end)
    local wg, right = rl.waitgroup(), 0
    for i = 1, 50 do
      wg:go(function()
        local conn = assert(net.connect(server:addr()))
        for n = 1, 4 do
          conn:write(("GET /%d-%d HTTP/1.1\r\nHost: a\r\n\r\n"):format(i, n))
          local body = ("/%d-%d"):format(i, n)
          conn:read_until("\r\n\r\n")
          right = right + (conn:read_exactly(#body) == body and 1 or 0)
        end
        conn:close()
      end)
    end
    wg:wait()
    assert.equal(200, right)
    server:stop(1)
  end)
end)

H.on("uring", "a server", function(it)
  it("serves on all shards, each with a copy of the handler", function()
    local server = serve(function(_, res)
      res:send(200, "on " .. require "ringlet".shard())
    end, {shards = "all", accept = "handover", placement = "turn"})
    local seen = {}
    for _ = 1, 4 do
      seen[talk(server, LAST):match "on %d"] = true
    end
    assert.same({["on 1"] = true, ["on 2"] = true}, seen)
    server:stop(1)
  end, {shards = 2})
end)

-- One request on a connection that stays: body and head.
local function ask(conn)
  conn:write(GET)
  local got = conn:read_until "\r\n\r\n"
  return got and conn:read_exactly(tonumber(got:match "Content%-Length: (%d+)")), got
end

H.on("uring", "a server whose handler is a module", function(it)
  it("has one on each shard, and drains a shard behind the answers of its connections", function()
    local server = serve("spec.http_handler", {
      shards = "all", accept = "handover", placement = "turn", idle_timeout = 5,
    })
    local conns, counts = {{}, {}}, {}
    for _ = 1, 4 do
      local conn = assert(net.connect(server:addr()))
      local count, shard = ask(conn):match "(%d+) on (%d)"
      count, shard = tonumber(count), tonumber(shard)
      assert.equal(counts[shard] or count, count)
      counts[shard] = count + 1
      table.insert(conns[shard], conn)
    end
    assert.same({2, 2}, {#conns[1], #conns[2]})
    server:drain(2)
    assert.equal("draining", server:shards()[2])
    local body, got = ask(conns[1][1])
    assert.equal(counts[1] .. " on 1", body)
    assert.is_nil(got:find("Connection", 1, true))
    body, got = ask(conns[2][1])
    assert.equal(counts[2] .. " on 2", body)
    assert.truthy(got:find("Connection: close", 1, true))
    for _, conn in ipairs(conns[2]) do
      assert.equal("EOF", select(3, conn:read(20)))
      conn:close()
    end
    H.eventually("the shard's end", function() return server:shards()[2] == "ended" end)
    local conn = assert(net.connect(server:addr()))
    assert.equal(counts[1] + 1 .. " on 1", (ask(conn)))
    conn:close()
    conns[1][1]:close()
    conns[1][2]:close()
    server:stop(1)
  end, {shards = 2})
end)

H.sim("the time of a server", function(it)
  it("is up for a head that does not come to its end", function()
    local server = serve(hello, {head_timeout = 2, idle_timeout = 50})
    local conn, began = assert(net.connect(server:addr())), rl.now()
    for _ = 1, 100 do
      if not conn:write "x" then break end
      conn:flush()
      rl.sleep(0.1)
    end
    assert.matches("^HTTP/1.1 408 Request Timeout\r\n", conn:read_all())
    conn:close()
    assert.is_true(rl.now() - began >= 2 and rl.now() - began < 11)
    assert.equal(0, server:stats().live)
    server:stop(1)
  end)

  it("is up for a connection that says nothing between requests", function()
    local server = serve(hello, {idle_timeout = 5})
    local conn = assert(net.connect(server:addr()))
    conn:write(GET)
    local began = rl.now()
    conn:read_until("hello")
    local _, _, code = conn:read()
    assert.is_true(code == "EOF" or code == "ECONNRESET")
    assert.is_true(math.abs(rl.now() - began - 5) < H.TICK)
    conn:close()
    server:stop(1)
  end)

  it("is up for a handler", function()
    local cancelled
    local server = serve(function(_, res)
      local ok = pcall(rl.sleep, 10)
      cancelled = not ok
      rl.yield()
      res:send(200)
    end, {request_timeout = 3})
    local began = rl.now()
    assert.equal(head(503, "Service Unavailable", 0, CLOSE), talk(server, LAST))
    assert.is_true(math.abs(rl.now() - began - 3) < H.TICK)
    assert.is_true(cancelled)
    server:stop(1)
  end)

  it("ends a handler whose client has gone, if that is wanted", function()
    local how
    local server = serve(function()
      local ok, err = pcall(rl.sleep, 100)
      how = {ok, select(2, rl.is_cancel(err))}
      error(err, 0)
    end, {cancel_on_close = true})
    local conn = assert(net.connect(server:addr()))
    conn:write(GET)
    rl.sleep(1)
    conn:close()
    rl.sleep(1)
    assert.same({false, "the client has gone"}, how)
    server:stop(1)
  end)

  it("lets a handler see that its client has gone", function()
    local seen
    local server = serve(function(_, res)
      local i = rl.select{{res:gone()}, {rl.after(50)}}
      seen = i
    end)
    local conn = assert(net.connect(server:addr()))
    conn:write(GET)
    rl.sleep(1)
    conn:close()
    rl.sleep(1)
    assert.equal(1, seen)
    server:stop(1)
  end)

  it("is told by the access log, with the id of the request", function()
    local log = {}
    local server = serve(function(req, res)
      rl.sleep(0.5)
      if req.path == "/e" then error "x" end
      res:send(201)
    end, {request_id = true, on_access = function(req, res, info)
      log[#log + 1] = {req.path, info.status, info.ok, math.floor(info.seconds * 10), #req.id,
        res.status}
    end})
    rl.on_error(function() end)
    local got = talk(server, (LAST:gsub("Host", "X-Request-Id: mine\r\nHost")))
    assert.truthy(got:find "X%-Request%-Id: mine\r\n")
    talk(server, (LAST:gsub("/ ", "/e ")))
    rl.on_error(nil)
    assert.same({{"/", 201, true, 5, 4, 201}, {"/e", 500, false, 5, 16, 500}}, log)
    server:stop(1)
  end)

  it("is told by the access log of clients that go, and of WebSockets", function()
    local log = {}
    local server = serve(function(req)
      if req.path == "/ws" then
        local ws = req:websocket()
        if ws then ws:recv() end
        return
      end
      rl.sleep(2)
    end, {cancel_on_close = true, on_access = function(req, _, info)
      log[#log + 1] = req.path .. " " .. info.status
    end})
    rl.on_error(function() end)
    for i, way in ipairs{"close", "abort"} do
      local conn = assert(net.connect(server:addr()))
      conn:write(("GET /%d HTTP/1.1\r\nHost: a\r\n\r\n"):format(i))
      rl.sleep(1)
      conn[way](conn)
      rl.sleep(1)
    end
    talk(server, (LAST:gsub("/ ", "/ws ")))
    local conn = assert(net.connect(server:addr()))
    conn:write("GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n",
      "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
    conn:read_until "\r\n\r\n"
    conn:close()
    rl.sleep(1)
    rl.on_error(nil)
    assert.same({"/1 499", "/2 499", "/ws 426", "/ws 101"}, log)
    server:stop(1)
  end)

  it("is given to what is under way when it stops", function()
    local server = serve(function(_, res) rl.sleep(2) res:send(200, "done") end)
    local idle, busy = assert(net.connect(server:addr())), assert(net.connect(server:addr()))
    busy:write(GET)
    rl.sleep(1)
    rl.go(server.stop, server, 10)
    local began = rl.now()
    assert.equal(head(200, "OK", 4, CLOSE) .. "done", plain(busy:read_all()))
    assert.is_true(math.abs(rl.now() - began - 1) < H.TICK)
    idle:close()
    busy:close()
    server:join()
  end)
end)

H.both("the class of a request's connection", function(it)
  it("is asked and set, and holds for those that follow", function()
    local evicted, classes, load = {}, {}, 0
    local server = serve(function(req, res)
      classes[#classes + 1] = req:class()
      if req.path ~= "/" then req:class(req.path:sub(2)) end
      classes[#classes + 1] = req:class()
      H.raises_text('"short", "long" or "protected" expected', req.class, req, "other")
      res:send(200, "x")
    end, {heartbeat = {
      check = 0.1, share = 1, idle = 0, metrics = function() return load end,
      on_evict = function(_, why) evicted[#evicted + 1] = why end,
    }})
    local kept, short = assert(net.connect(server:addr())), assert(net.connect(server:addr()))
    for _, path in ipairs{"/protected", "/"} do
      kept:write(("GET %s HTTP/1.1\r\nHost: a\r\n\r\n"):format(path))
      kept:read_until "\r\n\r\nx"
    end
    short:write(GET)
    short:read_until "\r\n\r\nx"
    load = 1
    assert.equal("EOF", select(3, short:read(30)))
    assert.same({"short", "protected", "protected", "protected", "short", "short"}, classes)
    assert.equal("idle", evicted[1])
    kept:close()
    short:close()
    server:stop(1)
  end)
end)

describe("http.serve", function()
  it("checks what it is given", function()
    H.run(function()
      H.raises_text("a function, or the name of a module", http.serve, "127.0.0.1:0", 7)
      H.raises_text("unknown option 'x'", http.serve, "127.0.0.1:0", hello, {x = 1})
      H.raises_text("limits.body", http.serve, "127.0.0.1:0", hello, {limits = {body = -1}})
      H.raises_text("unknown option 'y'", http.serve, "127.0.0.1:0", hello, {limits = {y = 1}})
      H.raises_text("head_timeout", http.serve, "127.0.0.1:0", hello, {head_timeout = 0})
      H.raises_text("bad address", http.serve, "nowhere", hello)
    end)
  end)
end)
