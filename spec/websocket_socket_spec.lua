-- SPDX-License-Identifier: MIT
-- WebSockets behind the handshake: messages, the end in all its forms, heartbeats, limits, peers
-- that do wrong or vanish.
local H = require "spec.helper"
local net = require "ringlet.net"
local rl = require "ringlet"
local websocket = require "ringlet.websocket"
local wire = require "spec.ws_wire"

local frame, fragment, close_payload = wire.frame, wire.fragment, wire.close_payload

-- Seconds for what comes; it may take long where somebody else has the CPU.
local LONG = 30

-- A client's and a server's socket of one connection; `finish()` ends both and the server.
local function pair(client_opts, server_opts)
  local got, done = rl.chan(1), rl.event()
  local server, url = wire.serve(function(ws)
    got:send(ws)
    done:wait()
  end, server_opts)
  local a = assert(websocket.connect(url, client_opts))
  local b = got:recv()
  return a, b, function()
    done:set()
    a:close(nil, nil, 1)
    server:stop(1)
  end
end

H.both("messages", function(it)
  it("come back as they were, at every length that matters", function()
    local server, url = wire.serve(wire.echo)
    local ws = assert(websocket.connect(url))
    for _, n in ipairs{0, 1, 2, 125, 126, 127, 500, 512, 4096, 65535, 65536, 65537, 1000000} do
      local data = ("0123456789abcdef"):rep(math.ceil(n / 16)):sub(1, n)
      assert.is_true(ws:send(data, n % 2 == 0 and "binary" or "text"))
      local back, kind = ws:recv(LONG)
      assert.is_true(back == data, "length " .. n)
      assert.equal(n % 2 == 0 and "binary" or "text", kind)
    end
    assert.equal(13, ws:stats().messages_in)
    assert.equal(ws:stats().bytes_in, ws:stats().bytes_out)
    ws:close()
    server:stop(1)
  end)

  it("keep their order, however many are on the way", function()
    local a, b, finish = pair()
    local n = H.torture and 300 or 3000
    local sender = rl.go(function()
      for i = 1, n do
        a:send(("%d:%s"):format(i, ("x"):rep(i % 300)))
      end
    end)
    for i = 1, n do
      assert.equal(("%d:%s"):format(i, ("x"):rep(i % 300)), (b:recv(LONG)))
    end
    sender:join()
    finish()
  end)

  it("wait for a slow reader, on both sides of it", function()
    local a, b, finish = pair()
    local sent = 0
    local sender = rl.go(function()
      for _ = 1, 400 do
        a:send(("x"):rep(65536), "binary")
        sent = sent + 1
      end
    end)
    rl.sleep(0.2)
    assert.is_true(sent < 400, "nothing holds the sender back")
    assert.is_true(b:stats().queued_in < 400000)
    for _ = 1, 400 do
      assert.equal(65536, #b:recv(LONG))
    end
    sender:join()
    finish()
  end)

  it("fail to be sent to a peer that does not read, when write_timeout is over", function()
    local a, _, finish = pair({write_timeout = 0.1, close_timeout = 0})
    local code
    for _ = 1, 400 do
      code = select(3, a:send(("x"):rep(65536), "binary"))
      if code then break end
    end
    assert.equal("ETIMEDOUT", code)
    a:abort()
    finish()
  end)

  it("are put together from fragments, with control frames between them", function()
    local server = wire.serve(wire.echo)
    local conn = wire.raw_client(server)
    conn:write(fragment(1, "Hel"), frame(9, "ping"), fragment(0, ""), frame(10, "pong"))
    conn:write(frame(0x80, "lo"))
    assert.equal(frame(10, "ping", true), conn:read_exactly(6))
    assert.equal(frame(1, "Hello", true), conn:read_exactly(7))
    conn:close()
    server:stop(1)
  end)

  it("arrive byte by byte", function()
    local server = wire.serve(wire.echo)
    local conn = wire.raw_client(server)
    local text = fragment(2, "ab") .. frame(0x80, ("c"):rep(126)) .. frame(1, "ä")
    for i = 1, #text do
      conn:write(text:sub(i, i))
      rl.sleep(0.001)
    end
    assert.equal(frame(2, "ab" .. ("c"):rep(126), true) .. frame(1, "ä", true),
      conn:read_exactly(132 + 4))
    conn:close()
    server:stop(1)
  end)

  it("are raised on that cannot be sent", function()
    local a, _, finish = pair()
    H.raises_text("UTF-8", a.send, a, "\255")
    H.raises_text("UTF-8", a.send, a, "half \195")
    H.raises_text("string expected", a.send, a, 1)
    H.raises_text("kind", a.send, a, "x", "blob")
    H.raises_text("125 bytes", a.ping, a, ("x"):rep(126))
    assert.is_true(a:send("\255", "binary"))
    finish()
  end)

  it("end a loop when it is closed, and raise in it when it is lost", function()
    local a, b, finish = pair()
    local got = {}
    local reader = rl.go(function()
      for data in b:messages() do got[#got + 1] = data end
      return "end"
    end)
    a:send("1")
    a:send("2")
    a:close()
    assert.equal("end", select(2, reader:join()))
    assert.same({"1", "2"}, got)
    finish()
    a, b, finish = pair()
    reader = rl.go(function() return pcall(function() for _ in b:messages() do end end) end)
    rl.yield()
    a:abort()
    local _, ok, err = reader:join()
    assert.is_false(ok)
    assert.is_truthy(tostring(err):find "ECONNRESET", err)
    finish()
  end)
end)

H.both("waiting", function(it)
  it("has timeouts, after which the message still comes", function()
    local a, b, finish = pair()
    assert.equal("ETIMEDOUT", select(3, b:recv(0)))
    assert.equal("ETIMEDOUT", select(3, b:recv(0.01)))
    assert.is_nil(b.close_code)
    a:send("late")
    assert.equal("late", (b:recv(LONG)))
    finish()
  end)

  it("is for one task at a time", function()
    local a, b, finish = pair()
    local reader = rl.go(function() return b:recv() end)
    rl.yield()
    H.raises_text("another task is receiving", b.recv, b)
    a:send("for the first")
    assert.equal("for the first", select(2, reader:join()))
    finish()
  end)

  it("gives each message once, whoever is woken for it and whoever looks", function()
    local a, b, finish = pair()
    local got, left = {}, 200
    local function note(data)
      got[#got + 1], left = data, left - 1
    end
    local reader = rl.go(function()
      while left > 0 do
        local data = b:recv(0.01)
        if data then note(data) end
      end
    end)
    rl.go(function()
      for i = 1, 200 do
        a:send(tostring(i))
        if i % 3 == 0 then rl.sleep(0.0005) end
      end
    end)
    while left > 0 do
      rl.sleep(0.0002)
      local i, data = rl.select({{b}}, 0)
      if i then note(data) end
    end
    assert.is_true(reader:join())
    table.sort(got, function(x, y) return tonumber(x) < tonumber(y) end)
    for i = 1, 200 do
      assert.equal(tostring(i), got[i])
    end
    finish()
  end)

  it("can be one of a select's cases", function()
    local a, b, finish = pair()
    local ch = rl.chan()
    local cases = {{ch}, {b}}
    assert.equal("ETIMEDOUT", select(3, rl.select(cases, 0)))
    assert.equal("ETIMEDOUT", select(3, rl.select(cases, 0.01)))
    a:send("now")
    a:send("\1", "binary")
    assert.same({n = 3, 2, "now", "text"}, H.pack(rl.select(cases)))
    assert.same({n = 3, 2, "\1", "binary"}, H.pack(rl.select(cases)))
    rl.go(function() ch:send("other") end)
    assert.same({n = 2, 1, "other"}, H.pack(rl.select(cases)))
    a:close(1000, nil, 0)
    assert.same({n = 4, 2, nil, "ECLOSED: closed", "ECLOSED"}, H.pack(rl.select(cases)))
    assert.equal(1000, b.close_code)
    finish()
  end)

  it("is woken in a select by half of a message not at all", function()
    local server = wire.serve(function(ws)
      local i, data = rl.select{{ws}}
      ws:send(i .. data)
    end)
    local conn = wire.raw_client(server)
    conn:write(fragment(1, "one "))
    assert.equal("ETIMEDOUT", select(3, conn:read(0.02)))
    conn:write(frame(0x80, "two"))
    assert.equal(frame(1, "1one two", true), conn:read_exactly(10))
    conn:close()
    server:stop(1)
  end)

  it("ends by cancellation, and all goes on behind it", function()
    local a, b, finish = pair()
    local task = rl.go(b.recv, b)
    rl.yield()
    task:cancel()
    assert.is_false((task:join()))
    local ok, _, code = rl.timeout(0.01, b.recv, b)
    assert.is_nil(ok)
    assert.equal("ETIMEDOUT", code)
    a:send("x")
    assert.equal("x", (b:recv()))
    local sender = rl.go(function()
      while true do a:send(("y"):rep(100000)) end
    end)
    rl.sleep(0.05)
    sender:cancel()
    assert.is_false((sender:join()))
    assert.equal(("y"):rep(100000), (b:recv(LONG)))
    finish()
  end)
end)

H.both("the end", function(it, backend)
  local codes = {1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1014, 3000, 4999}
  it("tells every code and the reason, both ways", function()
    for i, code in ipairs(codes) do
      local a, b, finish = pair()
      if i % 2 == 0 then a, b = b, a end
      local reason = ("ü"):rep(61) .. (i % 3 == 0 and "!" or "")
      local reader = rl.go(function() return b:recv() end)
      assert.is_true(a:close(code, reason))
      assert.same({n = 4, true, nil, "ECLOSED: closed", "ECLOSED"}, H.pack(reader:join()))
      assert.equal(code, b.close_code)
      assert.equal(reason, b.close_reason)
      assert.equal(code, a.close_code)
      assert.equal("ECLOSED", select(3, a:send("x")))
      assert.equal("ECLOSED", select(3, b:send("x")))
      assert.equal("ECLOSED", select(3, a:recv()))
      assert.equal("ECLOSED", select(3, a:ping()))
      finish()
    end
  end)

  it("has 1005 for a close without a code", function()
    local seen = rl.chan(1)
    local server = wire.serve(function(ws)
      seen:send{ws:recv(), ws.close_code, ws.close_reason}
    end)
    local conn = wire.raw_client(server)
    conn:write(frame(8, ""))
    assert.equal(frame(8, "", true), conn:read_exactly(2))
    local got = seen:recv()
    assert.equal(1005, got[#got - 1])
    assert.equal("EOF", select(3, conn:read(LONG)))
    conn:close()
    server:stop(1)
  end)

  it("raises on what must not be sent", function()
    local a, _, finish = pair()
    for _, code in ipairs{0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65536, -1} do
      H.raises_text("no code", a.close, a, code)
    end
    H.raises_text("reason", a.close, a, 1000, ("x"):rep(124))
    H.raises_text("reason", a.close, a, 1000, "\255")
    assert.equal("open", a:state())
    finish()
  end)

  it("comes with the handler's: 1000 when it returns, 1011 when it raises", function()
    local old = rl.on_error(function() end)
    local how = 0
    local server, url = wire.serve(function()
      how = how + 1
      if how == 2 then error "broken" end
    end)
    for i, code in ipairs{1000, 1011} do
      local ws = assert(websocket.connect(url))
      assert.equal("ECLOSED", select(3, ws:recv()))
      assert.equal(code, ws.close_code, i)
      ws:close()
    end
    server:stop(1)
    rl.on_error(old)
  end)

  it("comes with the handler's also when that has dropped its socket", function()
    local server = require "ringlet.http".serve("127.0.0.1:0", function(req)
      req:websocket()
      H.collect()
      rl.sleep(0.01)
      H.collect()
    end)
    local ws = assert(websocket.connect("ws://" .. server:addr()))
    assert.equal("ECLOSED", select(3, ws:recv()))
    assert.equal(1000, ws.close_code)
    ws:close()
    server:stop(1)
  end)

  it("comes with the server's: 1001 when it stops", function()
    local server, url = wire.serve(wire.echo)
    local ws = assert(websocket.connect(url))
    ws:send("x")
    assert.equal("x", (ws:recv()))
    local stopper = rl.go(server.stop, server, 5)
    assert.equal("ECLOSED", select(3, ws:recv()))
    assert.equal(1001, ws.close_code)
    ws:close()
    stopper:join()
  end)

  it("may be asked for again and again, by several tasks", function()
    local a, _, finish = pair()
    local first, second = rl.go(a.close, a, 4000), rl.go(a.close, a, 4001)
    assert.same({true, true}, {first:join()})
    assert.same({true, true}, {second:join()})
    assert.is_true(a:close())
    assert.equal(4000, a.close_code)
    assert.equal("closed", a:state())
    finish()
  end)

  it("wakes who receives, and drops what still comes", function()
    local a, b, finish = pair()
    local reader = rl.go(function() return select(3, a:recv()) end)
    rl.yield()
    for _ = 1, 50 do b:send(("z"):rep(3000)) end
    assert.is_true(a:close())
    local _, code = reader:join()
    assert.is_true(code == "ECLOSED" or code == nil)
    finish()
  end)

  it("does not wait in a task that is cancelled", function()
    local ws, conn = wire.client({close_timeout = 1000})
    local took
    local task = rl.go(function()
      pcall(rl.sleep, 100)
      local from = rl.now()
      ws:close(1001)
      took = rl.now() - from
    end)
    rl.yield()
    task:cancel()
    task:join()
    assert.is_true(took < H.limit(1, backend))
    assert.equal(8, #conn:read_exactly(8))
    assert.equal("EOF", select(3, conn:read(LONG)))
    conn:close()
  end)

  it("is reached when the socket is collected", function()
    local ws, conn = wire.client({heartbeat = 50})
    assert.equal("open", ws:state())
    ws = nil -- luacheck: ignore 311
    rl.yield()
    H.collect()
    H.collect()
    assert.equal("EOF", select(3, conn:read(LONG)))
    conn:close()
  end)

  it("says how far it is", function()
    local a, b, finish = pair({protocols = {"p"}}, {protocols = {"p"}})
    assert.equal("ringlet.websocket: client, p, open", tostring(a))
    assert.equal("ringlet.websocket: server, p, open", tostring(b))
    assert.is_truthy(a:peername():find "^127.0.0.1:")
    a:close()
    assert.equal("closed", a:state())
    assert.equal("ECLOSED", select(3, a:peername()))
    finish()
  end)
end)

-- ---- what peers do wrong ------------------------------------------------------------------------

local WRONG = {
  {"a reserved bit", frame(0xc1, "x"), 1002},
  {"the second one", frame(0xa1, "x"), 1002},
  {"the third one", frame(0x91, "x"), 1002},
  {"opcode 3", frame(3, "x"), 1002},
  {"opcode 7", frame(7, "x"), 1002},
  {"opcode 11", frame(11, ""), 1002},
  {"opcode 15", frame(15, ""), 1002},
  {"no mask", frame(1, "x", true), 1002},
  {"a ping of 126 bytes", frame(9, ("x"):rep(126)), 1002},
  {"a ping in fragments", fragment(9, "x"), 1002},
  {"a length that could be shorter", "\129\254\0\5\0\0\0\0hello", 1002},
  {"the same in eight bytes", "\130\255\0\0\0\0\0\0\0\5\0\0\0\0hello", 1002},
  {"a length of 2^63", "\130\255\128\0\0\0\0\0\0\0\0\0\0\0", 1002},
  {"a continuation of nothing", frame(0x80, "x"), 1002},
  {"a message in a message", fragment(1, "x") .. frame(1, "y"), 1002},
  {"a close of one byte", frame(8, "x"), 1002},
  {"close code 0", frame(8, close_payload(0)), 1002},
  {"close code 999", frame(8, close_payload(999)), 1002},
  {"close code 1004", frame(8, close_payload(1004)), 1002},
  {"close code 1005", frame(8, close_payload(1005)), 1002},
  {"close code 1006", frame(8, close_payload(1006)), 1002},
  {"close code 1015", frame(8, close_payload(1015)), 1002},
  {"close code 2999", frame(8, close_payload(2999)), 1002},
  {"close code 5000", frame(8, close_payload(5000)), 1002},
  {"a close reason that is no UTF-8", frame(8, close_payload(1000, "\255")), 1007},
  {"a text that is no UTF-8", frame(1, "a\255b"), 1007},
  {"a text that ends in a character", frame(1, "\226\130"), 1007},
  {"a surrogate", frame(1, "\237\160\128"), 1007},
  {"a frame of 1,001 bytes", frame(2, ("x"):rep(1001)), 1009},
  {"a message of 1,501 bytes",
    fragment(2, ("x"):rep(1000)) .. frame(0x80, ("x"):rep(501)), 1009},
  {"a frame of 2^62 bytes", "\130\255\64\0\0\0\0\0\0\0\0\0\0\0", 1009},
}

H.both("a peer", function(it, backend)
  for _, case in ipairs(WRONG) do
    it("is refused for " .. case[1], function()
      local seen = rl.chan(1)
      local server = wire.serve(function(ws)
        local results = H.pack(ws:recv())
        results.close_code, results.send = ws.close_code, select(3, ws:send("x"))
        seen:send(results)
      end, {max_frame = 1000, max_message = 1500})
      local conn = wire.raw_client(server)
      conn:write((case[2]))
      assert.equal(frame(8, close_payload(case[3]), true), conn:read_exactly(4, LONG))
      assert.equal("EOF", select(3, conn:read(LONG)))
      local got = seen:recv(LONG)
      assert.equal("EPROTO", got[3])
      assert.is_truthy(got[2]:find "^EPROTO: %a")
      assert.equal(case[3], got.close_code)
      assert.equal("EPROTO", got.send)
      conn:close()
      server:stop(1)
    end)
  end

  it("may use the limits to the last byte", function()
    local server = wire.serve(wire.echo, {max_frame = 1000, max_message = 1500})
    local conn = wire.raw_client(server)
    conn:write(frame(2, ("x"):rep(1000)))
    assert.equal(1004, #conn:read_exactly(1004))
    conn:write(fragment(2, ("x"):rep(1000)), frame(0x80, ("x"):rep(500)))
    assert.equal(1504, #conn:read_exactly(1504))
    conn:close()
    server:stop(1)
  end)

  it("that is a server must not mask", function()
    local ws, conn = wire.client()
    conn:write(frame(1, "x"))
    assert.equal("EPROTO", select(3, ws:recv(LONG)))
    assert.equal(1002, ws.close_code)
    ws:close()
    conn:close()
  end)

  -- What a client has sent when it vanishes, and how.
  local stages = {
    "", "\129", frame(1, "hello"):sub(1, 4), frame(1, "hello"):sub(1, 8),
    fragment(1, "half"), frame(1, "whole"), frame(9, "ping"),
    frame(8, close_payload(1000)), frame(2, ("x"):rep(60000)):sub(1, 50000),
  }
  it("may vanish at every stage and leaves nothing", function()
    local old = rl.on_error(function() end)
    local ended = 0
    local server = wire.serve(function(ws)
      repeat local data = ws:recv() until not data
      ended = ended + 1
    end)
    for i = 0, 2 * #stages - 1 do
      local conn = wire.raw_client(server)
      conn:write(stages[i % #stages + 1])
      conn:flush()
      if i >= #stages then conn:abort() else conn:close() end
    end
    H.eventually("none is left", function() return server:stats().live == 0 end)
    assert.equal(2 * #stages, ended)
    server:stop(1)
    rl.on_error(old)
  end)

  it("may vanish in the middle of the handshake", function()
    local server = wire.serve(wire.echo)
    local head = wire.request()
    for _, n in ipairs{0, 1, 20, #head - 1} do
      local conn = assert(net.connect(server:addr()))
      conn:write(head:sub(1, n))
      conn:close()
    end
    server:stop(1)
    assert.equal(0, server:stats().live)
  end)

  it("that is silent when asked to close is given up", function()
    local ws, conn = wire.client({close_timeout = 0.1})
    local from = rl.now()
    assert.is_true(ws:close())
    assert.is_true(rl.now() - from >= 0.1 and rl.now() - from < H.limit(0.2, backend))
    assert.equal(1006, ws.close_code)
    conn:close()
  end)

  it("that floods with pings and does not read is bounded", function()
    local sizes = 0
    local server = wire.serve(function(ws)
      for _ = 1, 100 do
        ws:recv(0.005)
        sizes = math.max(sizes, ws:stats().queued_out)
      end
    end)
    local conn = wire.raw_client(server)
    local ping = frame(9, ("p"):rep(125)):rep(100)
    rl.timeout(0.4, function()
      while conn:write(ping) do end
    end)
    assert.is_true(sizes < 65536 + 16384 + 256)
    conn:abort()
    server:stop(0)
  end)
end)

-- ---- heartbeats ---------------------------------------------------------------------------------

H.sim("a heartbeat", function(it)
  it("goes out each interval and carries the load", function()
    local load = 0.25
    local a, b, finish = pair({heartbeat = 10, load = function() return load end})
    rl.sleep(9.99)
    assert.equal(0, b:stats().pings_in)
    rl.sleep(0.02)
    assert.equal(1, b:stats().pings_in)
    assert.equal(0.25, b:stats().peer_load)
    assert.equal(1, a:stats().pongs_in)
    assert.is_true(math.abs(a:stats().last_pong - rl.now()) < 0.02)
    load = 3
    rl.sleep(90)
    assert.equal(10, b:stats().pings_in)
    assert.equal(3, b:stats().peer_load)
    assert.equal("open", a:state())
    finish()
  end)

  it("carries what is queued when nothing else is said", function()
    local _, b, finish = pair({heartbeat = 1})
    rl.sleep(1.01)
    assert.equal(0, b:stats().peer_load)
    finish()
  end)

  it("ends it when a pong is overdue, at that time", function()
    local ws, conn = wire.client({heartbeat = 10, heartbeat_timeout = 5})
    local from = rl.now()
    local results = H.pack(ws:recv())
    local took = rl.now() - from
    assert.same({n = 3, nil, "ETIMEDOUT: nothing came back from the peer", "ETIMEDOUT"}, results)
    assert.is_true(took >= 15 and took < 15 + 2 * H.TICK, took)
    assert.equal(1006, ws.close_code)
    assert.equal("ETIMEDOUT", select(3, ws:send("x")))
    ws:close()
    conn:close()
  end)

  it("takes a pong that comes in time, and none that was there before", function()
    local ws, conn = wire.client({heartbeat = 10, heartbeat_timeout = 5})
    rl.sleep(9)
    conn:write(frame(10, "early", true))
    rl.sleep(5.9)
    conn:write(frame(10, "in time", true))
    rl.sleep(10)
    assert.equal("open", ws:state())
    rl.sleep(0.2)
    assert.equal("closed", ws:state())
    ws:close()
    conn:close()
  end)

  it("may have a timeout longer than its interval", function()
    local ws, conn = wire.client({heartbeat = 1, heartbeat_timeout = 3.5})
    for _ = 1, 5 do
      rl.sleep(3)
      conn:write(frame(10, "", true))
    end
    assert.equal("open", ws:state())
    local from = rl.now()
    assert.equal("ETIMEDOUT", select(3, ws:recv()))
    assert.is_true(rl.now() - from > 2.4 and rl.now() - from < 4.6, rl.now() - from)
    ws:close()
    conn:close()
  end)

  it("gives a peer time whose messages nobody takes", function()
    local ws, conn = wire.client({heartbeat = 10, heartbeat_timeout = 5})
    conn:write(frame(1, "unread", true))
    rl.sleep(100)
    assert.equal("open", ws:state())
    assert.equal("unread", (ws:recv()))
    assert.equal("ETIMEDOUT", select(3, ws:recv()))
    ws:close()
    conn:close()
  end)

  it("is told of when its load raises", function()
    local told
    local old = rl.on_error(function(err) told = tostring(err) end)
    local _, b, finish = pair({heartbeat = 1, load = function() error "no load" end})
    rl.sleep(1.01)
    rl.on_error(old)
    assert.is_truthy(told:find "no load")
    assert.equal(0, b:stats().peer_load)
    finish()
  end)
end)

describe("a heartbeat", function()
  it("does not keep the run going", function()
    local took
    H.run(function()
      local from = rl.now()
      local ws, conn = wire.client({heartbeat = 1000})
      assert.equal("open", ws:state())
      conn:close()
      took = rl.now() - from
    end)
    assert.is_true(took < 100)
    H.run(function() assert.is_true(rl.now() < 100) end)
  end)
end)
