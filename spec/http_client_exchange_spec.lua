-- SPDX-License-Identifier: MIT
-- One request and what servers make of it: responses in every form and every cut, malformed ones,
-- connections that end at every stage, and times.
local core = require "ringlet.core"
local rl = require "ringlet"
local H = require "spec.helper"
local S = require "spec.http_script"
local http = require "ringlet.http"
local net = require "ringlet.net"

local fails = S.fails

local CHUNKS = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

-- Name, bytes, what the body is, what must be true of it: how many connections two requests need,
-- the method if that is not GET, and whether the server closes behind it.
local GOOD = {
  {"a length", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello"},
  {"no body", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", ""},
  {"chunks", CHUNKS .. "3\r\nhel\r\n2;x=\"y\"\r\nlo\r\n0\r\n\r\n",
    "hello"},
  {"trailers", CHUNKS .. "5\r\nhello\r\n0\r\nX-T: 1\r\nx-t: 2\r\n\r\n", "hello",
    trailers = {["x-t"] = "1, 2"}},
  {"no chunks", CHUNKS .. "0\r\n\r\n", ""},
  {"no length", "HTTP/1.1 200 OK\r\n\r\nhello", "hello", connections = 2, closes = true},
  {"an old server", "HTTP/1.0 200 OK\r\n\r\nhello", "hello", connections = 2, closes = true},
  {"an old server with a length", "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello",
    connections = 2},
  {"an old server that keeps the connection",
    "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello", "hello"},
  {"close", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello", "hello",
    connections = 2},
  {"204", "HTTP/1.1 204 No Content\r\n\r\n", "", status = 204},
  {"304 with a length", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", "", status = 304},
  {"HEAD with a length", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "", method = "HEAD"},
  {"HEAD with chunks", CHUNKS, "", method = "HEAD"},
  {"HEAD without anything", "HTTP/1.1 200 OK\r\n\r\n", "", method = "HEAD"},
  {"informational ones before it", "HTTP/1.1 100 Continue\r\n\r\n"
    .. "HTTP/1.1 103 Early Hints\r\nA: b\r\n\r\n"
    .. "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello"},
}

-- Serve these bytes in pieces that `cut` makes of them: a list of positions behind which to pause.
local function serve_cut(case, cut)
  return function(conn)
    local from = 1
    for _, to in ipairs(cut) do
      conn:write(case[2]:sub(from, to))
      conn:flush()
      S.turns(4)
      from = to + 1
    end
    conn:write(case[2]:sub(from))
    return case.closes
  end
end

local function check(case, client, s, what)
  local res = assert(client:request(case.method or "GET", s.url))
  assert.equal(case[3], res.body, what)
  assert.equal(case.status or 200, res.status, what)
  assert.same(case.trailers or {}, res:trailers(), what)
end

H.both("a response with", function(it)
  for _, case in ipairs(GOOD) do
    it(case[1] .. " is read to its end", function()
      S.with(serve_cut(case, {}), function(client, s)
        check(case, client, s, case[1])
        check(case, client, s, case[1])
        assert.equal(case.connections or 1, s.connections)
      end)
    end)
  end
end)

H.sim("a response cut anywhere, with", function(it)
  for _, case in ipairs(GOOD) do
    it(case[1], function()
      local bytes, all = #case[2], {}
      for i = 1, bytes do all[i] = i end
      S.with(serve_cut(case, all), function(client, s)
        check(case, client, s, "byte by byte")
      end)
      for at = 1, bytes - 1, H.torture and 7 or 1 do
        S.with(serve_cut(case, {at}), function(client, s)
          check(case, client, s, "cut behind byte " .. at)
        end)
      end
    end)
  end

  it("and ended anywhere: what is short is never taken for whole", function()
    for _, case in ipairs(GOOD) do
      local whole = case.closes and select(2, case[2]:find "\r\n\r\n") or #case[2]
      for at = 1, whole - 1, H.torture and 7 or 1 do
        local function script(conn)
          conn:write(case[2]:sub(1, at))
          return true
        end
        S.with(script, function(client, s)
          local what = ("%s, ended behind byte %d"):format(case[1], at)
          local res, msg, code = client:request(case.method or "GET", s.url)
          assert.is_nil(res, what)
          assert.equal("EPROTO", code, what)
          assert.is_truthy(msg:find("bad response", 1, true), what)
          assert.equal(0, client:stats().open)
        end)
      end
    end
  end)

  it("and reset anywhere", function()
    local case = GOOD[3]
    for at = 0, #case[2] - 1 do
      local function script(conn)
        conn:write(case[2]:sub(1, at))
        conn:flush()
        S.turns(4)
        return "abort"
      end
      S.with(script, function(client, s)
        fails("ECONNRESET", client:get(s.url))
        assert.equal(0, client:stats().open)
      end)
    end
  end)
end)

-- ---- malformed ----------------------------------------------------------------------------------

local BAD = {
  {"another protocol", "SSH-2.0-OpenSSH\r\n"},
  {"another version", "HTTP/2.0 200 OK\r\n\r\n"},
  {"a status that is none", "HTTP/1.1 20 OK\r\n\r\n"},
  {"a status without a space", "HTTP/1.1 200OK\r\n\r\n"},
  {"a bare LF", "HTTP/1.1 200 OK\nContent-Length: 0\n\n"},
  {"a bare CR", "HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n"},
  {"a folded line", "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n"},
  {"a space before the colon", "HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n"},
  {"two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"},
  {"a length and chunks",
    "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
  {"a negative length", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"},
  {"a coding that we have not",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"},
  {"a bad chunk size", CHUNKS .. "x\r\n"},
  {"a chunk that goes on", CHUNKS .. "1\r\nab0\r\n\r\n"},
  {"a trailer that belongs into the head",
    CHUNKS .. "0\r\nContent-Length: 1\r\n\r\n"},
  {"a head that is too long",
    "HTTP/1.1 200 OK\r\n" .. ("A: " .. ("b"):rep(7000) .. "\r\n"):rep(10)},
  {"a line that is too long", "HTTP/1.1 200 OK\r\nA: " .. ("b"):rep(9000)},
  {"too many fields", "HTTP/1.1 200 OK\r\n" .. ("A: b\r\n"):rep(101)},
  {"informational ones without end", ("HTTP/1.1 102 Wait\r\n\r\n"):rep(65)},
  {"another protocol after all",
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"},
}

H.both("a response that has", function(it)
  for _, case in ipairs(BAD) do
    it(case[1] .. " is refused, and its connection closed", function()
      S.with(case[2], function(client, s)
        local msg = fails("EPROTO", client:get(s.url))
        assert.is_true(#msg > 20)
        assert.equal(0, client:stats().open)
        assert.equal(0, client:stats().retried)
        fails("EPROTO", client:request("POST", s.url))
        assert.equal(2, s.connections)
      end)
    end)
  end

  it("heads within the limits that were set is taken", function()
    local function head(name) return "HTTP/1.1 200 OK\r\nA: b\r\n" .. name .. ": " end
    local function with(limits, text, code)
      S.with(text, {limits = limits}, function(client, s)
        local res, msg, got = client:get(s.url)
        assert.equal(code, got, msg)
        assert.equal(code == nil, res ~= nil)
      end)
    end
    local three = "HTTP/1.1 200 OK\r\nA: b\r\nC: d\r\nContent-Length: 0\r\n\r\n"
    with({fields = 3}, three)
    with({fields = 2}, three, "EPROTO")
    with({head = #three}, three)
    with({head = #three - 1}, three, "EPROTO")
    local long = head "LongLong" .. ("x"):rep(90) .. "\r\nContent-Length: 0\r\n\r\n"
    with({line = 100}, long)
    with({line = 99}, long, "EPROTO")
  end)

  it("a body above the limit is refused as such, one of the limit taken", function()
    local bodies = {
      "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
      CHUNKS .. "3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
      "HTTP/1.1 200 OK\r\n\r\nhello",
    }
    for _, text in ipairs(bodies) do
      S.with(function(conn) conn:write(text) return true end, {max_body = 4}, function(client, s)
        local msg = fails("EMSGSIZE", client:get(s.url))
        assert.is_truthy(msg:find("more than 4 bytes", 1, true), msg)
        assert.equal(0, client:stats().open)
        assert.equal("hello", client:get(s.url, {max_body = 5}).body)
        assert.equal("hello", client:get(s.url, {max_body = math.huge}).body)
      end)
    end
  end)
end)

-- ---- again --------------------------------------------------------------------------------------

H.both("a connection that was used before", function(it)
  -- The first request of each connection is answered, the second is not.
  local function once(conn, request, s)
    local first = s.seen[#s.seen - 1]
    if first and first.connection == request.connection then
      return true
    end
    conn:write(S.OK)
  end

  it("and that the server has closed is not used again", function()
    S.with(function(conn) conn:write(S.OK) return true end, function(client, s)
      for _ = 1, 3 do
        assert.equal("ok", client:get(s.url).body)
        H.eventually("all but listening is over", function() return rl.stats().ops == 1 end)
      end
      assert.equal("ok", client:request("POST", s.url).body)
      assert.same({4, 0, 3}, {s.connections, client:stats().retried, client:stats().stale})
    end)
  end)

  it("and on which something came unasked is not used again", function()
    S.with(S.OK .. "HTTP/1.1 408 Request Timeout\r\n\r\n", function(client, s)
      assert.equal("ok", client:get(s.url).body)
      rl.sleep(0.01)
      assert.equal("ok", client:get(s.url).body)
      assert.equal(2, s.connections)
    end)
    local go = rl.event()
    local function late(conn)
      conn:write(S.OK)
      go:wait()
      conn:write "x"
    end
    S.with(late, function(client, s)
      assert.equal("ok", client:get(s.url).body)
      local before = core.measures(1).received
      go:set()
      H.eventually("it has come", function() return core.measures(1).received > before end)
      assert.equal("ok", client:get(s.url).body)
      assert.same({2, 1}, {s.connections, client:stats().stale})
    end)
  end)

  it("and that ends as the next request comes: idempotent ones are sent again", function()
    for _, method in ipairs{"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"} do
      local function script(conn, request, s)
        local first = s.seen[#s.seen - 1]
        if first and first.connection == request.connection then
          return true
        end
        conn:write(request.method == "HEAD" and "HTTP/1.1 200 OK\r\n\r\n" or S.OK)
      end
      S.with(script, function(client, s)
        local body = method == "PUT" and "b" or nil
        client:get(s.url)
        assert.equal(200, client:request(method, s.url, {body = body}).status)
        assert.same({2, 3, 1}, {s.connections, #s.seen, client:stats().retried})
      end)
    end
  end)

  it("and others are not", function()
    for _, method in ipairs{"POST", "PATCH", "FOO", "get"} do
      S.with(once, function(client, s)
        client:get(s.url)
        fails("EOF", client:request(method, s.url))
        assert.same({1, 2}, {s.connections, #s.seen})
        assert.equal("ok", client:request(method, s.url).body)
      end)
    end
  end)

  it("nor is one whose body was read from a function", function()
    S.with(once, function(client, s)
      client:get(s.url)
      local n = 0
      fails("EOF", client:request("PUT", s.url, {body = function()
        n = n + 1
        return n == 1 and "x" or nil
      end}))
      assert.equal(1, s.connections)
    end)
  end)

  it("nor one of whose response anything came", function()
    local function script(conn, request, s)
      local first = s.seen[#s.seen - 1]
      if first and first.connection == request.connection then
        conn:write "H"
        return true
      end
      conn:write(S.OK)
    end
    S.with(script, function(client, s)
      client:get(s.url)
      fails("EPROTO", client:get(s.url))
      assert.equal(1, s.connections)
    end)
  end)

  it("nor one on a new connection", function()
    S.with(function() return true end, function(client, s)
      fails("EOF", client:get(s.url))
      assert.same({1, 0}, {s.connections, client:stats().retried})
    end)
  end)

  it("all idle ones may be dead: a new one is opened in the end", function()
    local kill = false
    local function script(conn, _, s)
      if kill and s.connections == 3 then
        return true
      end
      while s.connections < 3 do rl.sleep(0.001) end
      conn:write(S.OK)
    end
    S.with(script, function(client, s)
      rl.map({1, 2, 3}, function() return assert(client:get(s.url)) end)
      assert.equal(3, client:stats().idle)
      kill = true
      assert.equal("ok", client:get(s.url).body)
      assert.same({4, 3, 1}, {s.connections, client:stats().retried, client:stats().open})
    end)
  end)
end)

-- ---- early responses ----------------------------------------------------------------------------

H.both("a response before the body was sent", function(it)
  local large = ("x"):rep(4000000)

  local function endless()
    return function() return ("y"):rep(20000) end
  end

  it("that refuses it ends the sending", function()
    local function script(conn, _, s)
      conn:write "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno"
      s.done:wait()
      return true
    end
    for _, body in ipairs{large, endless()} do
      S.with(script, function(client, s)
        s.without_body, s.done = true, rl.event()
        local res = assert(client:request("POST", s.url, {body = body}))
        assert.same({413, "no"}, {res.status, res.body})
        assert.equal(0, client:stats().open)
        s.done:set()
      end)
    end
  end)

  it("that refuses it ends the sending, also when it takes its time", function()
    local function script(conn, _, s)
      conn:write "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\n"
      s.go:wait()
      rl.sleep(0.05)
      conn:write "no"
      s.done:wait()
      return true
    end
    S.with(script, function(client, s)
      s.without_body, s.go, s.done = true, rl.event(), rl.event()
      local calls = 0
      local res = assert(client:stream("POST", s.url, {body = function()
        calls = calls + 1
        rl.sleep(0.001)
        return "x"
      end}))
      local before = calls
      s.go:set()
      assert.equal("no", res:read_all())
      assert.equal(before, calls)
      assert.equal(0, client:stats().open)
      s.done:set()
    end)
  end)

  it("that accepts it goes on beside it", function()
    local function echo(conn, request)
      local left = tonumber(request.fields["content-length"])
      conn:write("HTTP/1.1 200 OK\r\nContent-Length: ", left, "\r\n\r\n")
      while left > 0 do
        local data = conn:read()
        left = left - #data
        conn:write(data)
      end
    end
    S.with(echo, function(client, s)
      s.without_body = true
      local n = 0
      local function pieces()
        n = n + 1
        return n <= 200 and large:sub(1, 20000) or nil
      end
      for _, body in ipairs{large, pieces} do
        local res = assert(client:request("POST", s.url, {body = body, length = #large}))
        assert.is_true(res.body == large)
        assert.equal(1, client:stats().idle)
      end
      assert.equal(1, s.connections)
    end)
  end, {preempt = false}) -- the end of the body is known before that of its echo

  it("fails with the body's function, or raises what that raises", function()
    local function script(conn)
      conn:write(CHUNKS .. "1\r\na\r\n")
      while conn:read() do rl.yield() end
      return true
    end
    local err = {}
    for i = 1, 2 do
      S.with(script, function(client, s)
        s.without_body = true
        local n = 0
        local function body()
          n = n + 1
          if n <= 5 then
            rl.sleep(0.01)
            return "x"
          elseif i == 1 then
            error(err)
          end
          return nil, "EX: no", "EX"
        end
        if i == 1 then
          assert.equal(err, H.raises(client.request, client, "POST", s.url, {body = body}))
        else
          fails("EX", client:request("POST", s.url, {body = body}))
        end
        assert.equal(0, client:stats().open)
      end)
    end
  end)

  it("that ends before the request does ends both", function()
    local function script(conn)
      conn:write(CHUNKS)
      conn:flush()
      rl.sleep(0.05)
      conn:write "0\r\n\r\n"
      while conn:read() do rl.yield() end
      return true
    end
    S.with(script, function(client, s)
      s.without_body = true
      local res = client:request("POST", s.url, {body = function()
        rl.sleep(0.001)
        return "x"
      end})
      assert.same({200, ""}, {res.status, res.body})
      assert.equal(0, client:stats().open)
    end)
  end)
end)

-- ---- times --------------------------------------------------------------------------------------

-- fn fails with ETIMEDOUT after t seconds, not before, and says why.
local function times_out(t, text, fn)
  local began = rl.now()
  local msg = fails("ETIMEDOUT", fn())
  local took = rl.now() - began
  assert.is_true(took >= t and took <= t + H.TICK, ("%g s, not %g"):format(took, t))
  assert.is_truthy(msg:find(text, 1, true), msg)
end

H.sim("a request in time", function(it)
  local function silent(conn)
    conn:read()
    return true
  end

  -- A response in pieces, with a pause before each.
  local function slow(pause, ...)
    local pieces = {...}
    return function(conn)
      for _, piece in ipairs(pieces) do
        rl.sleep(pause)
        if not conn:write(piece) then return true end
      end
    end
  end

  it("waits for the first byte no longer than it was told", function()
    S.with(silent, function(client, s)
      times_out(2, "first_byte_timeout", function()
        return client:get(s.url, {first_byte_timeout = 2})
      end)
      assert.equal(0, client:stats().open)
    end)
    S.with(slow(1.999, S.OK), function(client, s)
      assert.equal("ok", client:get(s.url, {first_byte_timeout = 2}).body)
    end)
  end)

  it("waits between two pieces no longer than it was told", function()
    for _, first in ipairs{"HTTP/1.1 200", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na"} do
      S.with(function(conn)
        conn:write(first)
        conn:read()
        return true
      end, function(client, s)
        times_out(2, "read_timeout", function() return client:get(s.url, {read_timeout = 2}) end)
        times_out(30, "", function() return client:get(s.url, {timeout = 1e6}) end)
      end)
    end
    S.with(slow(1.999, "HTTP/1.1 200", " OK\r\n", "Content-Length: 2\r\n\r\n", "o", "k"),
      function(client, s)
        assert.equal("ok", client:get(s.url, {read_timeout = 2}).body)
      end)
  end)

  it("takes no longer than 30 s in all unless it was told so", function()
    local pieces = {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"}
    for i = 1, 10 do pieces[i + 1] = "x" end
    S.with(slow(4, (table.unpack or unpack)(pieces)), function(client, s) -- luacheck: ignore 113
      times_out(30, "GET took more than 30 s", function() return client:get(s.url) end)
      times_out(5, "GET took more than 5 s", function() return client:get(s.url, {timeout = 5}) end)
      assert.equal(("x"):rep(10), client:get(s.url, {timeout = 44.1}).body)
      times_out(43.9, "", function() return client:get(s.url, {timeout = 43.9}) end)
      assert.equal(("x"):rep(10), client:get(s.url, {timeout = math.huge}).body)
    end)
    S.with(silent, function(client, s)
      times_out(30, "GET took more than 30 s", function() return client:get(s.url) end)
    end)
  end)

  it("gives a stream 30 s for the head, and any time for the body", function()
    local pieces = {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"}
    for i = 1, 10 do pieces[i + 1] = "x" end
    S.with(slow(29.9, (table.unpack or unpack)(pieces)), function(client, s) -- luacheck: ignore 113
      assert.equal(("x"):rep(10), client:stream("GET", s.url):read_all())
      times_out(40, "GET took more than 40 s", function()
        return client:stream("GET", s.url, {timeout = 40}):read_all()
      end)
    end)
    S.with(silent, function(client, s)
      times_out(30, "", function() return client:stream("GET", s.url) end)
    end)
  end)

  it("waits for a connection no longer than it was told", function()
    S.with(slow(20, S.OK), {max_per_host = 1}, function(client, s)
      local other = rl.go(function() assert(client:get(s.url)) end)
      rl.yield()
      times_out(2, "acquire_timeout", function()
        return client:get(s.url, {acquire_timeout = 2})
      end)
      times_out(3, "GET took more than 3 s", function() return client:get(s.url, {timeout = 3}) end)
      fails("ETIMEDOUT", client:get(s.url, {acquire_timeout = 0}))
      other:join()
    end)
  end)

  it("waits for an opening no longer than it was told", function()
    local listener = assert(net.listen("127.0.0.1:0", {backlog = 1}))
    local conns = {}
    for i = 1, 3 do
      conns[i] = net.connect(listener:addr(), {timeout = 1})
    end
    local client = http.client{connect_timeout = 4}
    times_out(4, "connecting to", function() return client:get("http://" .. listener:addr()) end)
    times_out(3, "took more than 3 s", function()
      return client:get("http://" .. listener:addr(), {timeout = 3})
    end)
    for _, conn in pairs(conns) do conn:close() end
    listener:close()
    rl.sleep(10)
    client:close()
  end)

  it("gives a server that reads nothing no longer than it was told", function()
    local function deaf()
      rl.sleep(100)
      return true
    end
    local large = ("x"):rep(3000000)
    S.with(deaf, function(client, s)
      s.without_body = true
      for _, body in ipairs{large, function() return large end} do
        times_out(2, "write_timeout", function()
          return client:request("POST", s.url, {body = body, write_timeout = 2})
        end)
        times_out(3, "POST took more than 3 s", function()
          return client:request("POST", s.url, {body = body, timeout = 3})
        end)
      end
      times_out(30, "write_timeout", function()
        return client:request("POST", s.url, {body = large, timeout = 99})
      end)
      assert.equal(0, client:stats().open)
    end)
  end)

  it("waits a second for the word to go on", function()
    local function script(conn, request)
      local began = rl.now()
      request.body = conn:read_exactly(4)
      request.waited = rl.now() - began
      conn:write(S.OK)
    end
    S.with(script, function(client, s)
      s.without_body = true
      assert.equal("ok", client:request("POST", s.url, {body = "body", expect = true}).body)
      local waited = s.seen[1].waited
      assert.is_true(waited >= 1 - 0.001 and waited <= 1 + H.TICK, waited)
      times_out(0.5, "took more than 0.5 s", function()
        return client:request("POST", s.url, {body = "body", expect = true, timeout = 0.5})
      end)
    end)
  end)
end)

-- ---- cancelled ----------------------------------------------------------------------------------

H.both("a request that is cancelled", function(it)
  -- Where it waits, and what brings it there.
  local function first_byte() rl.sleep(9) return true end
  local PLACES = {
    {"for the response", first_byte, {}},
    {"for the rest of the head", function(conn)
      conn:write "HTTP/1.1 2"
      rl.sleep(9)
      return true
    end, {}},
    {"for the body", function(conn)
      conn:write "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nx"
      rl.sleep(9)
      return true
    end, {}},
    {"for the word to go on", first_byte, {body = "b", expect = true}},
    {"for its body's function", first_byte, {body = function() rl.sleep(9) end}},
    {"for room to write", first_byte, {body = ("x"):rep(8000000)}},
  }
  for _, place in ipairs(PLACES) do
    it("while it waits " .. place[1] .. " closes its connection", function()
      local gone
      S.with(function(...)
        local task = rl.self()
        gone = task
        return place[2](...)
      end, function(client, s)
        s.without_body = true
        local task = rl.go(function() client:request("POST", s.url, place[3]) end)
        H.eventually("it is under way", function() return gone and client:stats().busy == 1 end)
        rl.sleep(0.05)
        task:cancel()
        local ok, err = task:join()
        assert.is_false(ok)
        assert.is_true(rl.is_cancel(err))
        assert.same({0, 0}, {client:stats().busy, client:stats().open})
        gone:cancel()
      end)
    end)
  end

  it("while it waits for a connection leaves that to others", function()
    local go = rl.event()
    local function script(conn)
      go:wait()
      conn:write(S.OK)
    end
    S.with(script, {max_per_host = 1}, function(client, s)
      local first = rl.go(function() return client:get(s.url).body end)
      H.eventually("it has the connection", function() return s.seen[1] end)
      local second = rl.go(function() client:get(s.url) end)
      local third = rl.go(function() return client:get(s.url).body end)
      H.eventually("two wait", function() return client:stats().waiting == 2 end)
      second:cancel()
      go:set()
      assert.same({true, "ok"}, {first:join()})
      assert.is_false((second:join()))
      assert.same({true, "ok"}, {third:join()})
      assert.equal(1, s.connections)
    end)
  end)

  it("by a limit of time around it does the same", function()
    S.with(first_byte, function(client, s)
      fails("ETIMEDOUT", rl.timeout(0.02, client.get, client, s.url))
      assert.equal(0, client:stats().open)
      s.server:stop(0)
    end)
  end)
end)
