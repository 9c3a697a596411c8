-- SPDX-License-Identifier: MIT
-- How requests and connections of HTTP servers end: in time, too late, half way, with a handler
-- that leaves others behind, is cancelled, or whose server is stopped. Nothing is left of any.
local H = require "spec.helper"
local http = require "ringlet.http"
local net = require "ringlet.net"
local rl = require "ringlet"

local GET = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
local LAST = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
local POST = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s"
local CHUNKED = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"

local function serve(handler, opts)
  return assert(http.serve("127.0.0.1:0", handler, opts))
end

local function connect(server)
  return assert(net.connect(server:addr()))
end

-- The next answer with a length: status, body, head.
local function answer(conn)
  local head = conn:read_until("\r\n\r\n")
  if not head then
    return nil
  end
  local length = tonumber(head:match "Content%-Length: (%d+)" or 0)
  local body = length > 0 and conn:read_exactly(length) or ""
  return tonumber(head:match "^HTTP/1.1 (%d+)"), body, head
end

local function quiet(fn)
  rl.on_error(function() end)
  local ok, err = pcall(fn)
  rl.on_error(nil)
  if not ok then
    error(err, 0)
  end
end

local function assert_no_connections(server)
  assert.equal(0, server:stats().live)
end

H.sim("a connection", function(it)
  it("ends after max_requests, however they came", function()
    local server = serve(function(_, res) res:send(200, "x") end, {max_requests = 3})
    local conn = connect(server)
    for i = 1, 3 do
      conn:write(GET)
      local _, _, head = answer(conn)
      assert.equal(i == 3, head:find("Connection: close", 1, true) ~= nil, i)
    end
    assert.equal("EOF", select(3, conn:read()))
    conn:close()
    conn = connect(server)
    conn:write(GET:rep(9))
    local all = conn:read_all()
    assert.equal(3, select(2, all:gsub("HTTP/1.1 200", "")))
    conn:close()
    server:stop(1)
  end)

  it("has the total limit it was given, also after requests and while a head comes", function()
    local server = serve(function(_, res) res:send(200, "x") end,
      {total_timeout = 5, head_timeout = 100})
    local conn, began = connect(server), rl.now()
    conn:write(GET)
    assert.equal(200, answer(conn))
    conn:write "GET / HT"
    assert.is_nil(answer(conn))
    assert.is_true(math.abs(rl.now() - began - 5) < H.TICK)
    conn:close()
    server:stop(1)
  end)

  it("has the limit of a head and, that being there, none again", function()
    local server = serve(function(_, res) rl.sleep(20) res:send(200, "x") end,
      {head_timeout = 4, idle_timeout = 50})
    local conn = connect(server)
    for _ = 1, 2 do
      conn:write(GET:sub(1, 9))
      conn:flush()
      rl.sleep(3.9)
      conn:write(GET:sub(10))
      assert.equal(200, answer(conn))
    end
    rl.sleep(40)
    conn:write(GET)
    assert.equal(200, answer(conn))
    local began = rl.now()
    conn:write(GET:sub(1, 9))
    assert.equal(408, answer(conn))
    assert.is_true(math.abs(rl.now() - began - 4) < H.TICK)
    conn:close()
    server:stop(1)
  end)

  it("that ends behind an answer gives a slow receiver all of it", function()
    local size = 4 * 1048576
    local server = serve(function(_, res) res:send(200, ("x"):rep(size)) end)
    local conn = connect(server)
    conn:write(LAST)
    local _, n = conn:read_until("\r\n\r\n"), 0
    while true do
      rl.sleep(3)
      local data, _, code = conn:read_exactly(262144)
      if not data then
        assert.equal("EOF", code)
        break
      end
      n = n + #data
    end
    assert.equal(size, n)
    conn:close()
    server:stop(1)
  end)

  it("lingers for two seconds behind its last answer", function()
    local server = serve(function(_, res) res:send(200, "x") end)
    for _, text in ipairs{LAST, "no HTTP\r\n\r\n"} do
      local conn = connect(server)
      conn:write(text)
      answer(conn)
      local began = rl.now()
      while server:stats().live > 0 do
        conn:write "more"
        rl.sleep(0.01)
        assert.is_true(rl.now() - began < 3)
      end
      assert.is_true(rl.now() - began > 1.9)
      conn:close()
    end
    server:stop(1)
  end)

  it("does not wait for a client that waits for the answer", function()
    local how = {}
    local server = serve(function(_, res)
      local gone = res:gone()
      how[#how + 1] = select(2, gone:wait(100)) and "there" or "gone"
      res:send(200, "late")
    end, {idle_timeout = 5})
    local conn = connect(server)
    conn:write(GET)
    assert.equal(200, answer(conn))
    assert.same({"there"}, how)
    conn:close()
    server:stop(1)
  end)

  it("is not answered without end when it receives nothing", function()
    local handled = 0
    local server = serve(function() handled = handled + 1 end, {write_high_water = 4096})
    local conn = connect(server)
    rl.go(function()
      for _ = 1, 2000 do
        if not conn:write(GET:rep(100)) then return end
      end
    end)
    rl.sleep(1)
    local most = handled
    assert.is_true(most < 100000, most)
    conn:abort()
    server:stop(1)
    assert_no_connections(server)
  end)
end)

H.both("a request", function(it)
  it("is over with its handler, and is not the next one of its connection", function()
    local first
    local server = serve(function(req, res)
      if not first then
        first = {req, res}
        res:send(200, "first")
        return
      end
      assert.same({nil, "ECLOSED: closed", "ECLOSED"}, {first[2]:send(200, "stolen")})
      assert.same({nil, "ECLOSED: closed", "ECLOSED"}, {first[1]:read()})
      assert.is_nil(first[1]:header "host")
      assert.equal("over", first[2]:state())
      res:send(200, req.path)
    end)
    local conn = connect(server)
    conn:write(GET .. "POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nxy")
    assert.equal("first", select(2, answer(conn)))
    local status, body = answer(conn)
    assert.equal("200 /2", status .. " " .. body)
    conn:close()
    server:stop(1)
  end)

  it("is over also when the place of its record is another connection's", function()
    local kept, entered, release = {}, rl.chan(1), rl.event()
    local server = serve(function(req, res)
      kept[#kept + 1] = {req, res}
      if #kept == 2 then
        entered:send(true)
        release:wait()
      end
      res:send(200, req.path)
    end)
    local first, second = connect(server), connect(server)
    first:write(GET)
    assert.equal("/", select(2, answer(first)))
    second:write "GET /second HTTP/1.1\r\nHost: a\r\n\r\n"
    entered:recv()
    local req, res = kept[1][1], kept[1][2]
    assert.equal(200, res.status)
    assert.equal("over", res:state())
    assert.is_nil(req:header "host")
    assert.same({nil, "ECLOSED: closed", "ECLOSED"}, {res:send(200, "stolen")})
    assert.same({nil, "ECLOSED: closed", "ECLOSED"}, {res:write "stolen"})
    release:set()
    assert.equal("/second", select(2, answer(second)))
    first:close()
    second:close()
    server:stop(1)
  end)

  it("is over for others that read its body", function()
    local code
    local server = serve(function(req, res)
      rl.go(function() code = select(3, req:read()) end)
      rl.yield()
      res:send(200, "x")
    end)
    local conn = connect(server)
    conn:write(POST:format(9, ""))
    assert.equal(200, answer(conn))
    conn:read()
    conn:close()
    server:stop(1)
    assert.equal("ECLOSED", code)
  end)

  it("is over for others that write its answer, and nobody waits behind them", function()
    local codes, n = {}, 0
    local server = serve(function(_, res)
      n = n + 1
      if n > 1 then
        res:send(200, ("y"):rep(200000))
        return
      end
      res:write(("x"):rep(200000))
      for i = 1, 3 do
        rl.go(function() codes[i] = select(3, res:write "late") end)
      end
      rl.yield()
    end)
    local conn = connect(server)
    conn:write(GET .. GET .. GET)
    assert.truthy(conn:read_until("\r\n0\r\n\r\n", 300000))
    for _ = 1, 2 do
      assert.equal(("y"):rep(200000), select(2, answer(conn)))
    end
    assert.same({"ECLOSED", "ECLOSED", "ECLOSED"}, codes)
    conn:close()
    server:stop(1)
    assert_no_connections(server)
  end)

  it("with a body that comes with its expectation keeps the connection", function()
    local server = serve(function(req, res) res:send(200, req:read_all()) end)
    local conn = connect(server)
    for _ = 1, 2 do
      conn:write "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nok"
      local status, body, head = answer(conn)
      assert.equal("200 ok", status .. " " .. body)
      assert.is_nil(head:find("close", 1, true))
    end
    conn:close()
    server:stop(1)
  end)

  it("whose expectation is not answered has the connection closed", function()
    local server = serve(function(_, res) res:send(200, "x") end)
    local conn = connect(server)
    conn:write "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
    local _, _, head = answer(conn)
    assert.truthy(head:find("Connection: close", 1, true))
    assert.equal("EOF", select(3, conn:read()))
    conn:close()
    server:stop(1)
  end)

  it("that is cut short in its trailers fails", function()
    local code
    local server = serve(function(req, res)
      code = select(3, req:read_all())
      res:send(400)
    end)
    local conn = connect(server)
    conn:write(CHUNKED .. "0\r\nTrail")
    conn:flush()
    rl.sleep(0.005)
    conn:write "er: x"
    conn:shutdown()
    assert.equal(400, answer(conn))
    assert.equal("EPROTO", code)
    conn:close()
    server:stop(1)
  end)

  it("to CONNECT is the last of its connection", function()
    local server = serve(function(_, res) res:send(200, "x") end)
    local conn = connect(server)
    conn:write("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n" .. GET)
    local all = conn:read_all()
    assert.equal(1, select(2, all:gsub("HTTP/1.1 200", "")))
    assert.truthy(all:find("Connection: close\r\n", 1, true))
    conn:close()
    server:stop(1)
  end)

  it("may have a body of any length, which nobody has to take", function()
    local got
    local server = serve(function(req, res) got = {req:read_all()} res:send(413, "") end)
    local conn = connect(server)
    conn:write "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9223372036854775807\r\n\r\n"
    assert.equal(413, answer(conn))
    assert.equal("EMSGSIZE", got[3])
    conn:close()
    server:stop(1)
  end)
end)

H.both("a response", function(it)
  it("has what was set last", function()
    local server = serve(function(_, res)
      res:add_header("A", "1"):add_header("B", "2"):add_header("a", "3"):header("A", "4")
      H.raises_text("a number of bytes expected", res.begin, res, 200, -1)
      H.raises_text("a number of bytes expected", res.begin, res, 200, 0.5)
      H.raises_text("a number of bytes expected", res.begin, res, 200, "7")
      res:send(200, "")
    end)
    local conn = connect(server)
    conn:write(LAST)
    local _, _, head = answer(conn)
    assert.truthy(head:find("B: 2\r\nA: 4$"), head)
    conn:close()
    server:stop(1)
  end)
end)

-- Handlers, each with the bytes that take it to a place where it waits.
local PARKS = {
  {"sleeps", GET, function() rl.sleep(1000) end},
  {"reads a body", POST:format(9, "abc"), function(req) req:read() req:read() end},
  {"reads all of a body", POST:format(9, "abc"), function(req) req:read_all() end},
  {"reads a body in chunks", CHUNKED .. "2\r\na",
    function(req) for _ in req:chunks() do end end},
  {"waits for the client to go", GET, function(_, res) res:gone():wait() end},
  {"writes to a client that reads nothing", GET, function(_, res)
    while res:write(("x"):rep(65536)) do end
  end},
  {"sends to one", GET:rep(2000), function(_, res) res:send(200, ("x"):rep(65536)) end},
  {"waits for a child", GET, function() rl.scope(function(s) s:go(rl.sleep, 1000) end) end},
}

for i = 1, #PARKS, H.torture and 3 or 1 do
  local name, text, handler = PARKS[i][1], PARKS[i][2], PARKS[i][3]

  H.both("a handler that " .. name, function(it, backend)
    local function start(opts)
      local handlers, entered = {}, rl.event()
      local server = serve(function(req, res)
        handlers[#handlers + 1] = rl.self()
        entered:set()
        return handler(req, res)
      end, opts)
      local conn = connect(server)
      conn:write(text)
      entered:wait()
      rl.sleep(0.005)
      return server, conn, handlers
    end

    it("is cancelled", function()
      quiet(function()
        local server, conn, handlers = start()
        handlers[#handlers]:cancel("enough")
        rl.sleep(0.005)
        local other = connect(server)
        other:write "no HTTP\r\n\r\n"
        assert.equal(400, answer(other))
        other:close()
        conn:close()
        server:stop(0)
        assert_no_connections(server)
      end)
    end)

    it("loses its client", function()
      quiet(function()
        local server, conn, handlers = start()
        conn:abort()
        rl.sleep(0.005)
        handlers[#handlers]:cancel("the test ends")
        server:stop(1)
        assert_no_connections(server)
      end)
    end)

    it("is stopped with its server", function()
      quiet(function()
        local server, conn = start()
        server:stop(backend == "sim" and 1 or 0.01)
        assert_no_connections(server)
        conn:close()
      end)
    end)

    it("takes too long", function()
      quiet(function()
        local server, conn = start{request_timeout = 0.02}
        rl.sleep(0.1)
        conn:close()
        server:stop(0)
        assert_no_connections(server)
      end)
    end)
  end)

  describe("a run with a handler that " .. name, function()
    it("ends in the middle", function()
      for _, backend in ipairs(H.BACKENDS) do
        if not H.missing[backend] then
          for pause = 0, 3 do
            local ok, err = pcall(rl.run, function()
              local server = serve(handler)
              local conn = connect(server)
              conn:write(text)
              for _ = 1, pause * 3 do rl.yield() end
              error "enough"
            end, {backend = backend, grace = 0, slice = H.torture and 1 or nil})
            assert.is_false(ok)
            assert.truthy(tostring(err):find("enough", 1, true), tostring(err))
          end
        end
      end
    end)
  end)
end

H.sim("a server that is stopped", function(it)
  local text = CHUNKED .. "2\r\nab\r\n0\r\n\r\n" .. GET

  it("ends whatever its clients have sent so far, and in time", function()
    quiet(function()
      for cut = 0, #text, H.torture and 7 or 1 do
        local server = serve(function(req, res) res:send(200, req:read_all()) end)
        local conn = connect(server)
        conn:write(text:sub(1, cut))
        conn:flush()
        if cut % 2 == 0 then rl.sleep(0.001) end
        local began = rl.now()
        server:stop(3)
        assert.is_true(rl.now() - began < 3 + H.TICK, cut)
        assert_no_connections(server)
        conn:close()
      end
    end)
  end)

  it("answers what it has, says that it closes, and takes no more", function()
    local server = serve(function(_, res) rl.sleep(1) res:send(200, "x") end)
    local conn = connect(server)
    conn:write(GET .. GET)
    rl.sleep(0.5)
    rl.go(server.stop, server, 10)
    rl.yield()
    assert.is_nil((net.connect(server:addr())))
    local _, _, head = answer(conn)
    assert.truthy(head:find("Connection: close", 1, true))
    assert.equal("EOF", select(3, conn:read()))
    conn:close()
    server:join()
  end)
end)

H.both("the workers of a server", function(it)
  it("are as many as handlers that wait, and few when none does", function()
    local release, entered = rl.event(), 0
    local server = serve(function(_, res)
      entered = entered + 1
      release:wait()
      res:send(200, "x")
    end)
    local before, conns = rl.stats().tasks, {}
    local function few()
      return rl.stats().tasks <= before + 16
    end
    for i = 1, 100 do
      conns[i] = connect(server)
      conns[i]:write(GET)
    end
    H.eventually("all have a handler", function() return entered == 100 end)
    assert.is_true(rl.stats().tasks <= before + 101)
    release:set()
    for i = 1, 100 do
      assert.equal(200, answer(conns[i]))
    end
    H.eventually("few are left", few)
    for _ = 1, H.rounds(50, 3) do
      for i = 1, 100 do conns[i]:write(GET) end
      for i = 1, 100 do answer(conns[i]) end
    end
    H.eventually("few are left again", few)
    for i = 1, 100 do conns[i]:close() end
    server:stop(1)
    assert_no_connections(server)
  end)
end)
