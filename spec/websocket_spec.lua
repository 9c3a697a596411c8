-- SPDX-License-Identifier: MIT
-- Handshakes of WebSockets, on both sides.
local H = require "spec.helper"
local http = require "ringlet.http"
local net = require "ringlet.net"
local rl = require "ringlet"
local websocket = require "ringlet.websocket"
local wire = require "spec.ws_wire"

local WAIT = 30 -- for what hangs

-- What a server answers to a request: the head of the answer.
local function answer_to(request, opts)
  local results
  local server = assert(http.serve("127.0.0.1:0", function(req)
    results = H.pack(req:websocket(opts))
  end))
  local conn = assert(net.connect(server:addr()))
  conn:write(request)
  local head = conn:read_until "\r\n\r\n"
  conn:close()
  server:stop(WAIT)
  return head .. "\r\n", results
end

H.both("a server's handshake", function(it)
  it("is that of RFC 6455, section 1.3", function()
    local server = wire.serve(function(ws) ws:recv() end)
    local conn, head = wire.raw_client(server)
    assert.is_truthy(head:find("\r\nUpgrade: websocket\r\n", 1, true))
    assert.is_truthy(head:find("\r\nConnection: Upgrade\r\n", 1, true))
    assert.is_truthy(head:find("\r\nSec-WebSocket-Accept: " .. wire.PROOF .. "\r\n", 1, true))
    assert.is_nil(head:find "Sec%-WebSocket%-Protocol")
    assert.is_nil(head:find "Content%-Length")
    conn:close()
    server:stop(WAIT)
  end)

  it("takes names in any case, and lists", function()
    local head = answer_to(wire.request{
      Upgrade = "foo, WebSocket", Connection = "keep-alive, UPGRADE",
    })
    assert.is_truthy(head:find "^HTTP/1.1 101 ")
  end)

  local refused = {
    {"another method", wire.request({}, "POST / HTTP/1.1"), 400},
    {"HTTP/1.0", wire.request({}, "GET / HTTP/1.0"), 400},
    {"no Upgrade", wire.request{Upgrade = false}, 426},
    {"another Upgrade", wire.request{Upgrade = "h2c"}, 426},
    {"no Connection", wire.request{Connection = false}, 400},
    {"another Connection", wire.request{Connection = "keep-alive"}, 400},
    {"no version", wire.request{["Sec-WebSocket-Version"] = false}, 426},
    {"an older version", wire.request{["Sec-WebSocket-Version"] = "8"}, 426},
    {"no key", wire.request{["Sec-WebSocket-Key"] = false}, 400},
    {"a short key", wire.request{["Sec-WebSocket-Key"] = "dGhlIHNhbXBsZSBub25jZQ"}, 400},
    {"a key of 15 bytes", wire.request{["Sec-WebSocket-Key"] = "AAAAAAAAAAAAAAAAAAAA"}, 400},
    {"a key that is no base64", wire.request{["Sec-WebSocket-Key"] = ("!"):rep(22) .. "=="}, 400},
    {"a body", wire.request{["Content-Length"] = "2"} .. "hi", 400},
  }
  for _, case in ipairs(refused) do
    it("refuses " .. case[1], function()
      local head, results = answer_to(case[2])
      assert.equal(case[3], tonumber(head:match "^HTTP/1%.[01] (%d+)"), head)
      assert.equal("EPROTO", results[3])
      assert.equal(case[3] == 426, head:find("\r\nSec-WebSocket-Version: 13\r\n", 1, true) ~= nil)
      assert.equal(case[3] == 426, head:find("\r\nUpgrade: websocket\r\n", 1, true) ~= nil)
    end)
  end

  it("looks at the origin", function()
    local list = {origin = {"http://a.example", "http://b.example:8080"}}
    local function status(origin, opts)
      local head, results = answer_to(wire.request{Origin = origin}, opts)
      local n = tonumber(head:match "^HTTP/1.1 (%d+)")
      assert.equal(n == 403 and "EACCES" or nil, results[3])
      return n
    end
    assert.equal(101, status("http://A.example", list))
    assert.equal(101, status("http://b.example:8080", list))
    assert.equal(101, status(false, list))
    assert.equal(403, status("http://b.example", list))
    assert.equal(403, status("null", list))
    local function starts_with_https(origin, req)
      return origin and origin:find "^https" and req.path == "/"
    end
    assert.equal(101, status("https://x", {origin = starts_with_https}))
    assert.equal(403, status("http://x", {origin = starts_with_https}))
    assert.equal(403, status(false, {origin = starts_with_https}))
    assert.equal(101, status("http://x"))
  end)

  it("agrees on the first subprotocol of the server's that is offered", function()
    local function agreed(offered, ours)
      local server, url = wire.serve(function(ws) ws:send(tostring(ws.protocol)) end,
        {protocols = ours})
      local ws = assert(websocket.connect(url, {protocols = offered}))
      local protocol = ws.protocol
      assert.equal(tostring(protocol), ws:recv())
      ws:close()
      server:stop(WAIT)
      return protocol
    end
    assert.equal("b", agreed({"a", "b", "c"}, {"x", "b", "a"}))
    assert.equal(nil, agreed({"A"}, {"a"}))
    assert.equal(nil, agreed(nil, {"a"}))
    assert.equal(nil, agreed({"a"}, nil))
  end)

  it("sends further fields", function()
    local head = answer_to(wire.request(), {headers = {["X-Room"] = " 7 ", Age = 3}})
    assert.is_truthy(head:find("\r\nAge: 3\r\nX-Room: 7\r\n", 1, true))
  end)

  it("is not begun twice, nor behind an answer", function()
    local codes = {}
    local server = assert(http.serve("127.0.0.1:0", function(req, res)
      if req.path == "/first" then
        res:send(200, "x")
        codes[1] = select(3, req:websocket())
      else
        local ws = req:websocket()
        codes[2] = select(3, req:websocket())
        codes[3] = select(3, res:send(200, "x"))
        ws:recv()
      end
    end))
    local conn = net.connect(server:addr())
    conn:write(wire.request({}, "GET /first HTTP/1.1"))
    assert.equal("HTTP/1.1 200 OK", conn:read_line())
    conn:close()
    conn = wire.raw_client(server)
    conn:close()
    server:stop(WAIT)
    assert.same({"EALREADY", "EALREADY", "EALREADY"}, codes)
  end)

  it("leaves those who look whether the client goes in peace", function()
    local results = rl.chan(4)
    local server = assert(http.serve("127.0.0.1:0", function(req, res)
      local gone = res:gone()
      local watcher = rl.go(function() results:send(tostring(gone:wait())) end)
      local ws = req:websocket()
      results:send((ws:recv()))
      watcher:join(WAIT)
    end))
    local conn = wire.raw_client(server)
    conn:write(wire.frame(1, "still here"))
    assert.equal("still here", results:recv(WAIT))
    assert.equal(0, #results)
    conn:close()
    assert.equal("true", results:recv(WAIT))
    server:stop(WAIT)
  end)

  it("checks its options", function()
    local errors = {}
    local server = assert(http.serve("127.0.0.1:0", function(req, res)
      for i, opts in ipairs{
        {nonsense = 1}, {max_message = 0}, {heartbeat = 0}, {protocols = {"a b"}},
        {protocols = {"a", "a"}}, {headers = {["X Y"] = "z"}}, {headers = {X = "a\r\nB: c"}},
        {headers = {Upgrade = "x"}}, {headers = {["Sec-WebSocket-Accept"] = "x"}},
      } do
        errors[i] = H.raises(req.websocket, req, opts)
      end
      res:send(200)
    end))
    local conn = net.connect(server:addr())
    conn:write(wire.request())
    assert.equal("HTTP/1.1 200 OK", conn:read_line())
    conn:close()
    server:stop(WAIT)
    assert.equal(9, #errors)
    assert.is_truthy(errors[1]:find "unknown option 'nonsense'", errors[1])
    assert.is_truthy(errors[2]:find "max_message", errors[2])
    assert.is_truthy(errors[7]:find "control character", errors[7])
  end)
end)

H.both("a client's handshake", function(it)
  it("sends what it must", function()
    local results, conn, head = wire.connect_to(wire.answer, {
      protocols = {"a", "b"}, origin = "http://me", headers = {Cookie = "k=v"},
    })
    assert.is_nil(results[1].protocol)
    assert.is_truthy(head:find "^GET /x%?y HTTP/1.1\r\nHost: 127.0.0.1:%d+\r\n")
    for _, line in ipairs{
      "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", "Origin: http://me",
      "Sec-WebSocket-Protocol: a, b", "Cookie: k=v",
    } do
      assert.is_truthy((head .. "\r\n"):find("\r\n" .. line .. "\r\n", 1, true), line)
    end
    assert.is_truthy((head .. "\r\n"):find "\r\nSec%-WebSocket%-Key: [%w+/]+==\r\n")
    conn:close()
    assert.equal("EOF", select(3, results[1]:recv()))
    results[1]:close()
  end)

  it("takes frames that come with the answer", function()
    local results, conn = wire.connect_to(function(head)
      return wire.answer(head) .. wire.frame(1, "at once", true)
    end)
    assert.equal("at once", results[1]:recv())
    conn:close()
    results[1]:close()
  end)

  it("passes over other answers of 1xx", function()
    local results, conn = wire.connect_to(function(head)
      return "HTTP/1.1 103 Early Hints\r\n\r\n" .. wire.answer(head)
    end)
    assert.equal("open", results[1]:state())
    conn:close()
    results[1]:close()
  end)

  local wrong = {
    {"another status", "EREFUSED", function()
      return "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"
    end},
    {"a proof of another key", "EPROTO", function(head)
      return wire.answer(head, nil, wire.PROOF)
    end},
    {"a subprotocol that was not offered", "EPROTO", function(head)
      return wire.answer(head, "Sec-WebSocket-Protocol: z\r\n")
    end},
    {"an extension", "EPROTO", function(head)
      return wire.answer(head, "Sec-WebSocket-Extensions: permessage-deflate\r\n")
    end},
    {"another Upgrade", "EPROTO", function(head)
      return (wire.answer(head):gsub("websocket", "h2c"))
    end},
    {"no Connection", "EPROTO", function(head)
      return (wire.answer(head):gsub("Connection: Upgrade\r\n", ""))
    end},
    {"no HTTP", "EPROTO", function() return "SSH-2.0-OpenSSH\r\n\r\n" end},
  }
  for _, case in ipairs(wrong) do
    it("refuses " .. case[1], function()
      local results, conn = wire.connect_to(case[3], {protocols = {"a"}})
      assert.is_nil(results[1])
      assert.equal(case[2], results[3])
      if case[2] == "EREFUSED" then
        assert.equal(403, results[4])
      end
      assert.equal("EOF", select(3, conn:read(WAIT)))
      conn:close()
    end)
  end

  it("fails when the server says nothing, or goes", function()
    local listener = net.listen("127.0.0.1:0")
    local url = "ws://" .. listener:addr()
    local from = rl.now()
    assert.equal("ETIMEDOUT", select(3, websocket.connect(url, {timeout = 0.1})))
    assert.is_true(rl.now() - from >= 0.1)
    listener:accept():close()
    rl.go(function()
      local conn = listener:accept()
      conn:read_until "\r\n\r\n"
      conn:close()
      conn = listener:accept()
      conn:read_until "\r\n\r\n"
      conn:write("HTTP/1.1 101 Sw")
      conn:close()
    end)
    assert.is_nil((websocket.connect(url)))
    assert.equal("EOF", select(3, websocket.connect(url)))
    listener:close()
    assert.equal("ECONNREFUSED", select(3, websocket.connect "ws://127.0.0.1:1/"))
  end)

  it("leaves nothing when it is cancelled", function()
    local listener = net.listen("127.0.0.1:0")
    local task = rl.go(websocket.connect, "ws://" .. listener:addr())
    local conn = listener:accept()
    conn:read_until "\r\n\r\n"
    task:cancel()
    assert.is_false((task:join()))
    assert.equal("EOF", select(3, conn:read(WAIT)))
    conn:close()
    listener:close()
  end)

  it("raises on what is no URL of a WebSocket", function()
    for url, text in pairs{
      ["http://x/"] = "ws://host:port/path", ["wss://x/"] = "TLS", ["ws://"] = "ws://host",
      ["ws:///x"] = "no host", ["ws://:80/"] = "no host", ["ws://x/#f"] = "fragment",
      ["ws://a b/"] = "percent-encoded", ["ws://u:p@x/"] = "passwords",
      ["ws://x:99999/"] = "no host",
      ["ws://x/\r\nA: b"] = "percent-encoded",
    } do
      H.raises_text(text, websocket.connect, url)
    end
    H.raises_text("bad URL", websocket.connect, nil)
    H.raises_text("unknown option", websocket.connect, "ws://x", {nonsense = 1})
    H.raises_text("not to be set", websocket.connect, "ws://x", {headers = {Host = "y"}})
    H.raises_text("origin", websocket.connect, "ws://x", {origin = "a\r\nb"})
  end)
end)
