-- SPDX-License-Identifier: MIT
local rl = require "ringlet"
local t = require "ringlet.test"
local H = require "spec.helper"
local S = require "spec.http_script"
local http = require "ringlet.http"
local http_server = require "ringlet.http_server"
local wire = require "spec.wire"

local HERE = "spec/http_client_spec.lua:"
local fails = S.fails

H.both("http.get", function(it)
  it("gives the response", function()
    S.with(S.response("hello", "X-Two: a\r\nx-two: b\r\n"), function(client, s)
      local res = assert(client:get(s.url .. "/a?b=c#d"))
      assert.same({200, "OK", "hello"}, {res.status, res.reason, res.body})
      assert.equal(s.url .. "/a?b=c#d", res.url)
      assert.equal("a, b", res:header "X-TWO")
      assert.same({"a", "b"}, res:values "x-two")
      assert.same({["x-two"] = "a, b", ["content-length"] = "5"}, res:headers())
      assert.is_nil(res:header "none")
      assert.same({}, res:values "none")
      assert.equal("hello", res:read_all())
      assert.same({}, res:trailers())
      assert.equal("ringlet.client_response: 200 " .. res.url, tostring(res))
      assert.same({"GET /a?b=c HTTP/1.1", "Host: " .. s.addr, "User-Agent: ringlet",
        "Accept-Encoding: identity"}, s.seen[1].lines)
    end)
  end)

  it("uses a connection again", function()
    S.with(S.OK, function(client, s)
      for _ = 1, 5 do
        assert.equal("ok", client:get(s.url).body)
      end
      assert.equal(1, s.connections)
      local stats = client:stats()
      assert.same({1, 1, 1, 0, 5, 1}, {stats.hosts, stats.open, stats.idle, stats.busy,
        stats.requests, stats.opened})
    end)
  end)

  it("takes a status such as 404 for a response", function()
    S.with("HTTP/1.1 404 \r\nContent-Length: 0\r\n\r\n", function(client, s)
      local res = client:get(s.url)
      assert.same({404, "", ""}, {res.status, res.reason, res.body})
    end)
  end)

  it("works from the module, with one client for all", function()
    local s = S.serve(S.OK)
    assert.equal("ok", http.get(s.url).body)
    assert.equal("ok", http.request("GET", s.url).body)
    assert.equal("ok", http.stream("GET", s.url):read_all())
    assert.equal(200, http.get(s.url, {headers = {Connection = "close"}}).status)
    assert.equal(1, s.connections)
    s.stop()
  end)

  it("has short names for common methods", function()
    S.with(S.OK, function(client, s)
      for _, name in ipairs{"get", "post", "put", "delete"} do
        local opts = {body = name}
        assert.equal("ok", client[name](client, s.url, opts).body)
        assert.equal("ok", http[name](s.url, opts).body)
        for i = #s.seen - 1, #s.seen do
          assert.same({name:upper(), name}, {s.seen[i].method, s.seen[i].body})
        end
      end
    end)
    S.with("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", function(client, s)
      assert.same({"", "5"}, {client:head(s.url).body, http.head(s.url):header "content-length"})
      assert.equal("HEAD", s.seen[2].method)
    end)
  end)

  it("fails for what is no URL of ours", function()
    local client = http.client()
    fails("EINVAL", client:get "nonsense")
    fails("EINVAL", client:get "http:///a")
    fails("EINVAL", client:get("http://" .. ("x"):rep(300) .. "/"))
    fails("EINVAL", client:get "http://a\r\nb/")
    fails("EPROTONOSUPPORT", client:get "ftp://a/")
    assert.is_truthy(fails("EPROTONOSUPPORT", client:get "https://a/"):find("TLS", 1, true))
  end)

  it("says whom it could not reach", function()
    local s = S.serve(S.OK)
    s.stop()
    s.server:join()
    local client = http.client()
    local msg = fails("ECONNREFUSED", client:get(s.url))
    assert.is_truthy(msg:find("connecting to " .. s.addr, 1, true), msg)
    assert.equal(0, client:stats().open)
  end)
end)

-- ---- what is sent -------------------------------------------------------------------------------

H.both("a request of a client", function(it)
  it("has the fields that it was given, in place of the usual ones", function()
    S.with(S.OK, {headers = {["X-All"] = "1", ["X-Mine"] = "0"}}, function(client, s)
      client:get(s.url, {headers = {
        ["X-Mine"] = 2, ["x-list"] = {"a", "b"}, ["User-Agent"] = "me", ["Accept-Encoding"] = false,
        Host = "other", ["X-Trim"] = "  t\t",
      }})
      assert.same({"GET / HTTP/1.1", "X-All: 1", "Host: other", "User-Agent: me", "X-Mine: 2",
        "X-Trim: t", "x-list: a", "x-list: b"}, s.seen[1].lines)
    end)
  end)

  it("refuses fields that would end a line, a head or a body", function()
    local client = http.client()
    local function refuses(text, headers)
      local err = H.raises_text(text, client.get, client, "http://a/", {headers = headers})
      assert.is_truthy(err, text)
    end
    refuses("control character", {A = "b\r\nC: d"})
    refuses("control character", {A = "b\0"})
    refuses("no name of a header field", {["A B"] = "c"})
    refuses("no name of a header field", {["A:"] = "c"})
    refuses("no name of a header field", {"a"})
    refuses("is a boolean, not a string", {A = true})
    refuses("not to be set", {["content-length"] = 1})
    refuses("not to be set", {["Transfer-Encoding"] = "chunked"})
    refuses("not to be set", {Expect = "100-continue"})
    local function at_my_line()
      client:get("http://a/", {headers = {A = "\n"}})
    end
    assert.is_truthy(H.raises(at_my_line):find(HERE, 1, true))
  end)

  it("encodes what may not stand in a target", function()
    S.with(S.OK, function(client, s)
      client:get(s.url .. "/a b/\195\164?c=%20\"")
      assert.equal("/a%20b/%C3%A4?c=%20%22", s.seen[1].target)
    end)
  end)

  it("has a query of a table or a text behind that of the URL", function()
    S.with(S.OK, function(client, s)
      client:get(s.url, {query = {b = "x y&", a = {1, 2}, c = true, d = false}})
      client:get(s.url .. "/p?z=1", {query = "y=a b"})
      client:get(s.url .. "/p", {query = {}})
      assert.equal("/?a=1&a=2&b=x%20y%26&c", s.seen[1].target)
      assert.equal("/p?z=1&y=a%20b", s.seen[2].target)
      assert.equal("/p", s.seen[3].target)
    end)
  end)

  it("has credentials of the URL, or of its options", function()
    S.with(S.OK, function(client, s)
      local with_user = s.url:gsub("//", "//us%%65r:pass@")
      assert.equal(s.url .. "/", client:get(with_user).url)
      client:get(with_user, {query = "a"})
      client:get(s.url, {auth = "Aladdin:open sesame"})
      client:get(s.url, {auth = "a:b", headers = {Authorization = "Bearer c"}})
      client:get(s.url, {auth = "ab:c"})
      client:get(s.url, {auth = "abc:d"})
      local sent = {}
      for i, request in ipairs(s.seen) do sent[i] = request.fields.authorization end
      assert.same({"Basic dXNlcjpwYXNz", "Basic dXNlcjpwYXNz", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
        "Bearer c", "Basic YWI6Yw==", "Basic YWJjOmQ="}, sent)
    end)
  end)

  it("has a body: a text", function()
    local large = wire.pattern(300000)
    S.with(S.OK, function(client, s)
      client:request("POST", s.url, {body = "abc"})
      client:request("PUT", s.url, {body = large})
      client:request("POST", s.url)
      client:request("DELETE", s.url)
      assert.same({"abc", "3"}, {s.seen[1].body, s.seen[1].fields["content-length"]})
      assert.equal(large, s.seen[2].body)
      assert.equal("0", s.seen[3].fields["content-length"])
      assert.is_nil(s.seen[4].fields["content-length"])
      assert.equal(1, s.connections)
    end)
  end)

  local function pieces(...)
    local list, i = {...}, 0
    return function()
      i = i + 1
      return list[i]
    end
  end

  it("has a body: what a function gives, in chunks or of a length", function()
    S.with(S.OK, function(client, s)
      client:request("POST", s.url, {body = pieces("abc", "", ("x"):rep(100000), "d")})
      client:request("POST", s.url, {body = pieces("abc", "", "de"), length = 5})
      client:request("POST", s.url, {body = pieces()})
      assert.same({3, 100000, 1}, s.seen[1].sizes)
      assert.is_nil(s.seen[1].fields["content-length"])
      assert.same({"abcde", nil}, {s.seen[2].body, s.seen[2].fields["transfer-encoding"]})
      assert.equal("", s.seen[3].body)
      assert.equal(1, s.connections)
    end)
  end)

  it("is given up when the body's function fails, raises, or gives the wrong length", function()
    S.with(S.OK, function(client, s)
      local function post(body, length)
        return client:request("POST", s.url, {body = body, length = length})
      end
      fails("EX", post(function() return nil, "EX: no", "EX" end))
      fails("EMSGSIZE", post(pieces "abc", 2))
      fails("EMSGSIZE", post(pieces "abc", 4))
      local err = {}
      assert.equal(err, H.raises(post, function() error(err) end))
      H.raises_text("gave a number", post, pieces(1))
      assert.equal(0, client:stats().open)
      assert.equal("ok", client:get(s.url).body)
      for _, request in ipairs(s.seen) do
        assert.is_nil(request.body) -- the end of none has come
      end
    end)
  end)

  it("asks first when it is told to, and sends no body that nobody wants", function()
    local sent
    local function script(conn, request)
      if request.target == "/no" then
        conn:write "HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n"
      else
        conn:write "HTTP/1.1 102 Wait\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"
        sent = conn:read_exactly(4)
        conn:write(S.OK)
      end
    end
    S.with(script, function(client, s)
      s.without_body = true
      local opts = {body = "body", expect = true}
      assert.equal("ok", client:request("PUT", s.url, opts).body)
      assert.equal("body", sent)
      assert.equal("100-continue", s.seen[1].fields.expect)
      assert.equal(417, client:request("PUT", s.url .. "/no", opts).status)
      assert.equal(0, client:stats().open) -- nobody knows whether it still waits for a body
      assert.equal(1, s.connections)
      client:get(s.url .. "/no", {expect = true})
      assert.is_nil(s.seen[3].fields.expect)
    end)
  end)

  it("closes the connection when it says so", function()
    S.with(S.OK, function(client, s)
      client:get(s.url, {headers = {Connection = "x, close"}})
      client:get(s.url, {headers = {Connection = "keep-alive"}})
      client:get(s.url)
      assert.equal(2, s.connections)
    end)
  end)

  it("must have a method, options and times that can be", function()
    local client = http.client()
    local function refuses(text, ...)
      H.raises_text(text, client.request, client, ...)
    end
    refuses("no method", "A B", "http://a/")
    refuses("no method", nil, "http://a/")
    refuses("http.tunnel", "CONNECT", "http://a/")
    refuses("URL expected", "GET", nil)
    refuses("unknown option 'foo'", "GET", "http://a/", {foo = 1})
    refuses("must be a number more than 0", "GET", "http://a/", {timeout = 0})
    refuses("needs a body", "POST", "http://a/", {length = 1})
    refuses("not that of the body", "POST", "http://a/", {length = 1, body = "ab"})
    for _, name in ipairs{"get", "head", "post", "put", "delete", "request", "stream"} do
      local first = (name == "request" or name == "stream") and "GET" or 1
      local function call() client[name](client, first, 1) end
      assert.is_truthy(H.raises(call):find(HERE, 1, true), name)
      local function call_module() http[name](first, 1) end
      assert.is_truthy(H.raises(call_module):find(HERE, 1, true), name)
    end
  end)
end)

describe("http.client", function()
  it("refuses options that it does not know, or that are out of range", function()
    local function refuses(text, opts)
      local err = H.raises_text(text, function() http.client(opts) end)
      assert.is_truthy(err:find(HERE, 1, true), err)
    end
    refuses("unknown option 'x'", {x = 1})
    refuses("max_total", {max_total = 0})
    refuses("idle_timeout", {idle_timeout = 0})
    refuses("max_uses", {max_uses = 1.5})
    refuses("redirects", {redirects = -1})
    refuses("limits.head", {limits = {head = 0}})
    refuses("unknown option 'body'", {limits = {body = 1}})
    refuses("a jar of http.cookies", {cookies = {}})
    refuses("control character", {headers = {A = "\n"}})
    refuses("http:// URL", {proxy = "https://a"})
    refuses("EINVAL", {proxy = "a"})
  end)

  it("is told from what there is by its text", function()
    local client = http.client()
    assert.equal("ringlet.http_client: 0 connections to 0 hosts, 0 idle, 0 requests waiting",
      tostring(client))
  end)

  it("may be made outside of a run, and used in several", function()
    local client = http.client()
    for _ = 1, 2 do
      H.run(function()
        local s = S.serve(S.OK)
        assert.equal("ok", client:get(s.url).body)
        assert.equal("ok", client:get(s.url).body)
        assert.equal(1, s.connections)
        assert.equal(1, client:stats().open)
        s.stop()
      end)
      assert.equal(0, client:stats().open)
    end
  end)

  it("needs a task", function()
    H.raises_text("not inside a task", http.get, "http://127.0.0.1:1/")
  end)
end)

-- ---- beside our server --------------------------------------------------------------------------

H.both("a client and our server", function(it)
  it("understand each other, both ways in chunks", function()
    local server = assert(http_server.serve("127.0.0.1:0", function(req, res)
      for piece in req:chunks() do
        res:write(piece)
      end
    end))
    local client = http.client()
    local sent = wire.pattern(200000)
    local at = 0
    local res = assert(client:request("POST", "http://" .. server:addr(), {body = function()
      local piece = sent:sub(at + 1, at + 7001)
      at = at + #piece
      return piece ~= "" and piece or nil
    end}))
    assert.equal("chunked", res:header "transfer-encoding")
    assert.is_true(res.body == sent)
    assert.equal(1, client:stats().idle)
    client:close()
    server:stop(0)
  end)

  it("ten thousand requests of a hundred tasks go over eight connections", function()
    local most, live = 0, 0
    local server = assert(http_server.serve("127.0.0.1:0", function(req, res)
      live = live + 1
      most = math.max(most, live)
      if req.path == "/9" then rl.yield() end
      live = live - 1
      res:send(200, req.path)
    end))
    local client = http.client{max_per_host = 8, max_idle_per_host = 8}
    local url, done, n = "http://" .. server:addr(), rl.waitgroup(), H.rounds(10000, 1000)
    for i = 1, 100 do
      done:go(function()
        for k = 1, n / 100 do
          local path = "/" .. (i + k) % 10
          assert(assert(client:get(url .. path)).body == path)
        end
      end)
    end
    done:wait()
    local stats = client:stats()
    assert.same({8, 8, 8, n}, {stats.opened, stats.open, stats.idle, stats.requests})
    assert.is_true(most <= 8)
    client:close()
    server:stop(0)
  end, {preempt = false}) -- it counts
end)

describe("a client under faults", function()
  it("gives whole responses or failures, and leaves nothing", function()
    local body = wire.pattern(40000)
    t.seeds(H.rounds(40, 4), function()
      local s, client = S.serve(S.response(body)), http.client{max_per_host = 4, timeout = 10}
      local done = rl.waitgroup()
      for i = 1, 12 do
        done:go(function()
          local res, msg, code = client:request(i % 2 == 0 and "GET" or "PUT", s.url,
            {body = i % 3 == 0 and body or nil})
          if res then
            assert.is_true(res.body == body)
          else
            assert.is_truthy(code, msg)
          end
        end)
      end
      done:wait()
      assert.same({0, 0}, {client:stats().busy, client:stats().waiting})
      client:close()
      s.stop()
    end, {faults = "short_write=0.3,short_read=0.3,enobufs=0.05,econnreset=0.02"})
  end)
end)

H.both("a client of a Unix socket", function(it)
  it("speaks over it, whatever the host of the URL is", function()
    local path = os.tmpname()
    os.remove(path)
    local seen = {}
    local server = assert(http.serve("unix:" .. path, function(req, res)
      seen[#seen + 1] = {req.host, req.target}
      if req.path == "/away" then
        res:header("Location", "http://other.example/b")
        return res:send(302, "")
      end
      res:send(200, "here")
    end))
    local client = http.client{unix = path}
    assert.equal("here", client:get("http://localhost/a?b").body)
    assert.equal("here", client:get("http://example.com:8080/away").body)
    assert.same({{"localhost", "/a?b"}, {"example.com:8080", "/away"}, {"other.example", "/b"}},
      seen)
    assert.equal(1, client:stats().opened)
    client:close()
    server:stop(0)
  end)

  it("fails when there is none, and is refused what is no path", function()
    local res, _, code = http.client{unix = "/nonexistent/x"}:get "http://localhost/"
    assert.is_nil(res)
    assert.equal("ENOENT", code)
    H.raises_text("option 'unix' must be the path of a socket", http.client, {unix = "x"})
    H.raises_text("option 'unix' leaves no use for 'proxy'", http.client,
      {unix = "/x", proxy = "http://localhost:1"})
  end)
end)
