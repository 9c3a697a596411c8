-- SPDX-License-Identifier: MIT
-- permessage-deflate (RFC 7692): the handshake, messages by hand as its section 7.2.3 has them, and
-- what must not be.
local H = require "spec.helper"
local extensions = require "ringlet.websocket_extensions"
local http = require "ringlet.http"
local rl = require "ringlet"
local websocket = require "ringlet.websocket"
local wire = require "spec.ws_wire"

local has_zlib, zlib = pcall(require, "ringlet.zlib")

local frame, fragment, close_payload = wire.frame, wire.fragment, wire.close_payload
local WAIT = 30 -- for what hangs
local TEXT, BINARY, FRAGMENT = 0xc1, 0xc2, 0x41 -- with the first reserved bit

-- A describe block as H.both gives it, of tests that need the rock.
local function both(name, fn)
  H.both(name, function(it, backend)
    if has_zlib then
      return fn(it, backend)
    end
    pending(name .. ": ringlet-zlib is not built: zlib.h is missing")
  end)
end

local function hex(text)
  return (text:gsub("%x%x", function(two) return string.char(tonumber(two, 16)) end))
end

-- The server's field Sec-WebSocket-Extensions, or nil.
local function answer_to(offer, opts)
  local server = wire.serve(function(ws) ws:recv() end, {deflate = opts or true})
  local conn, head = wire.raw_client(server, {["Sec-WebSocket-Extensions"] = offer})
  conn:close()
  server:stop(WAIT)
  return head:match "\r\nSec%-WebSocket%-Extensions: ([^\r\n]*)\r\n"
end

-- A bare client that has agreed on compression, and its server, which echoes.
local function packed_client(handler, opts, offer)
  opts = opts or {}
  opts.deflate = opts.deflate or {threshold = 0}
  local server = wire.serve(handler or wire.echo, opts)
  local conn = wire.raw_client(server,
    {["Sec-WebSocket-Extensions"] = offer or "permessage-deflate"})
  return conn, server
end

-- The next frame of a server: its first byte and its payload.
local function read_frame(conn)
  local head = assert(conn:read_exactly(2, WAIT))
  local len = head:byte(2)
  if len == 126 then
    local a, b = conn:read_exactly(2):byte(1, 2)
    len = a * 256 + b
  end
  return head:byte(1), len > 0 and conn:read_exactly(len) or ""
end

describe("Sec-WebSocket-Extensions", function()
  it("is a list of extensions with parameters", function()
    assert.same({}, extensions.read "")
    assert.same({}, extensions.read " , ,")
    assert.same({{name = "a", params = {}}, {name = "b", params = {}}}, extensions.read "a, ,b")
    assert.same({{name = "a", params = {{name = "x"}, {name = "y", value = "1"}}}},
      extensions.read 'a ;x;\ty = "1" ')
    for _, text in ipairs{"a;", "a b", "a;x=", 'a;x="', 'a;x="1 2"', 'a;x=""', "=", "a;x=1 2",
      ";", "a;x==1", 'a;x="\\1"', "a/b", "a;;x"} do
      assert.is_nil(extensions.read(text), text)
    end
  end)
end)

both("a server's answer to an offer", function(it)
  local cases = {
    {"permessage-deflate", "permessage-deflate"},
    {"Permessage-Deflate", nil},
    {"x-webkit-deflate-frame", nil},
    {"foo, permessage-deflate; client_max_window_bits", "permessage-deflate"},
    {"permessage-deflate; server_no_context_takeover",
      "permessage-deflate; server_no_context_takeover"},
    {"permessage-deflate; client_no_context_takeover",
      "permessage-deflate; client_no_context_takeover"},
    {"permessage-deflate; server_max_window_bits=10",
      "permessage-deflate; server_max_window_bits=10"},
    {"permessage-deflate; server_max_window_bits=15",
      "permessage-deflate; server_max_window_bits=15"},
    {'permessage-deflate; server_max_window_bits="8"',
      "permessage-deflate; server_max_window_bits=8"},
    {"permessage-deflate; client_max_window_bits=9",
      "permessage-deflate; client_max_window_bits=9"},
    {"permessage-deflate; client_max_window_bits=15", "permessage-deflate"},
    -- Each of these is declined, and the one behind it taken.
    {"permessage-deflate; server_max_window_bits", nil},
    {"permessage-deflate; server_max_window_bits=7", nil},
    {"permessage-deflate; server_max_window_bits=16", nil},
    {"permessage-deflate; server_max_window_bits=010", nil},
    {"permessage-deflate; server_max_window_bits=1e1", nil},
    {"permessage-deflate; client_max_window_bits=16", nil},
    {"permessage-deflate; client_max_window_bits=x", nil},
    {"permessage-deflate; server_no_context_takeover=1", nil},
    {"permessage-deflate; unknown", nil},
    {"permessage-deflate; client_max_window_bits; client_max_window_bits", nil},
    {"permessage-deflate; server_no_context_takeover; server_no_context_takeover", nil},
    {"permessage-deflate; unknown=1, permessage-deflate; server_max_window_bits=11",
      "permessage-deflate; server_max_window_bits=11"},
  }
  it("takes the first one that it understands as a whole", function()
    for _, case in ipairs(cases) do
      assert.equal(case[2], answer_to(case[1]), case[1])
    end
  end)

  it("asks for what its options say, as far as the client lets it", function()
    local opts = {window = 10, no_context_takeover = true}
    local no_context = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
    assert.equal(no_context .. "; server_max_window_bits=10",
      answer_to("permessage-deflate", opts))
    assert.equal(no_context .. "; server_max_window_bits=10; client_max_window_bits=10",
      answer_to("permessage-deflate; client_max_window_bits", opts))
    assert.equal(no_context .. "; server_max_window_bits=9; client_max_window_bits=9", answer_to(
      "permessage-deflate; client_max_window_bits=9; server_max_window_bits=9", opts))
  end)

  it("is none when there is no offer, and none when it is off", function()
    assert.is_nil(answer_to(false))
    local server = wire.serve(function(ws) ws:send(tostring(ws.deflate)) end)
    local conn, head = wire.raw_client(server,
      {["Sec-WebSocket-Extensions"] = "permessage-deflate"})
    assert.is_nil(head:find "Extensions")
    assert.equal("false", select(2, read_frame(conn)))
    conn:close()
    server:stop(WAIT)
  end)

  it("is 400 to a field that is malformed", function()
    local results
    local server = assert(http.serve("127.0.0.1:0", function(req)
      results = H.pack(req:websocket{deflate = true})
    end))
    local conn = require("ringlet.net").connect(server:addr())
    conn:write(wire.request{["Sec-WebSocket-Extensions"] = "permessage-deflate; x="})
    assert.equal("HTTP/1.1 400 Bad Request", conn:read_line())
    conn:close()
    server:stop(WAIT)
    assert.equal("EPROTO", results[3])
  end)
end)

both("a client's offer", function(it)
  local function offer_and(answer, opts)
    local offered
    local results, conn = wire.connect_to(function(head)
      offered = head:match "\r\nSec%-WebSocket%-Extensions: ([^\r\n]*)"
      return wire.answer(head, answer and ("Sec-WebSocket-Extensions: %s\r\n"):format(answer))
    end, {deflate = opts == nil or opts})
    conn:close()
    if results[1] then
      results[1]:close()
      return offered, results[1].deflate
    end
    return offered, results[3], results[2]
  end

  it("says what its options say", function()
    assert.equal("permessage-deflate; client_max_window_bits", (offer_and(nil)))
    assert.equal("permessage-deflate; server_no_context_takeover; client_no_context_takeover; " ..
      "server_max_window_bits=12; client_max_window_bits=12",
      (offer_and(nil, {window = 12, no_context_takeover = true, level = 1, threshold = 0})) or "")
    assert.is_nil((offer_and(nil, false)))
  end)

  it("may be accepted in part, or not at all", function()
    for answer, opts in pairs{
      ["permessage-deflate"] = {},
      ["permessage-deflate; server_no_context_takeover; client_no_context_takeover"] = {},
      ["permessage-deflate; server_max_window_bits=8; client_max_window_bits=8"] = {},
      ["permessage-deflate; server_max_window_bits=9; client_max_window_bits=15"] = {window = 10},
    } do
      local _, agreed, msg = offer_and(answer, opts)
      assert.equal(true, agreed, msg)
    end
    assert.equal(false, select(2, offer_and(nil)))
  end)

  it("must not be accepted otherwise", function()
    for answer, opts in pairs{
      ["permessage-deflate; unknown"] = {},
      ["permessage-deflate; client_max_window_bits"] = {},
      ["permessage-deflate; server_max_window_bits=16"] = {},
      ["permessage-deflate; server_max_window_bits=11"] = {window = 10},
      ["permessage-deflate; server_no_context_takeover"] = false,
      ["permessage-deflate; client_no_context_takeover"] = {no_context_takeover = true},
      ["permessage-deflate, permessage-deflate"] = {},
      ["permessage-deflate; client_no_context_takeover; client_no_context_takeover"] = {},
      ["other"] = {}, ["permessage-deflate; x="] = {},
    } do
      local _, code, msg = offer_and(answer, opts)
      assert.equal("EPROTO", code, answer)
      assert.is_truthy(msg:find "^EPROTO: %a")
    end
  end)
end)

both("a message that is compressed", function(it)
  -- RFC 7692 sections 7.2.3.1 to 7.2.3.6: all of them are "Hello".
  local examples = {
    ["one block"] = frame(TEXT, hex "f248cdc9c90700"),
    ["fragments"] = fragment(FRAGMENT, hex "f248cd") .. frame(0x80, hex "c9c90700"),
    ["fragments with a ping between"] = fragment(FRAGMENT, hex "f248cd") .. frame(9, "")
      .. frame(0x80, hex "c9c90700"),
    ["nothing in the first fragment"] = fragment(FRAGMENT, "") .. frame(0x80, hex "f248cdc9c90700"),
    ["a stored block"] = frame(TEXT, hex "000500faff48656c6c6f00"),
    ["a last block"] = frame(TEXT, hex "f348cdc9c9070000"),
    ["two blocks"] = frame(TEXT, hex "f24805000000ffffcac9c90700"),
    ["not at all"] = frame(1, "Hello"),
  }
  for name, bytes in pairs(examples) do
    it("is what it was: " .. name, function()
      local got = rl.chan(2)
      local conn, server = packed_client(function(ws)
        for _ = 1, 2 do got:send(H.pack(ws:recv())) end
      end)
      conn:write(bytes)
      assert.same({n = 2, "Hello", "text"}, got:recv(WAIT))
      conn:write((frame(TEXT, hex "f248cdc9c90700")))
      assert.same({n = 2, "Hello", "text"}, got:recv(WAIT))
      conn:close()
      server:stop(WAIT)
    end)
  end

  it("goes on with the window of the one before, and of a last block", function()
    local got = rl.chan(9)
    local conn, server = packed_client(function(ws)
      for data in ws:messages() do got:send(data) end
    end)
    conn:write(frame(TEXT, hex "f248cdc9c90700"), frame(TEXT, hex "f200110000"),
      frame(TEXT, hex "f348cdc9c9070000"), frame(TEXT, hex "f200110000"))
    for _ = 1, 4 do assert.equal("Hello", got:recv(WAIT)) end
    conn:close()
    server:stop(WAIT)
  end)

  it("is empty when it is one byte 0, or none", function()
    local conn, server = packed_client()
    conn:write(frame(TEXT, "\0"), frame(BINARY, ""), (frame(1, "")))
    for i = 1, 3 do
      local first, data = read_frame(conn)
      assert.equal(i == 2 and 0x82 or 0x81, first)
      assert.equal("", data)
    end
    conn:close()
    server:stop(WAIT)
  end)

  it("is sent so from the threshold on", function()
    local conn, server = packed_client(nil, {deflate = {threshold = 100}})
    conn:write(frame(1, ("x"):rep(99)), (frame(1, ("x"):rep(100))))
    assert.equal(0x81, (read_frame(conn)))
    local first, data = read_frame(conn)
    assert.equal(TEXT, first)
    assert.equal(("x"):rep(100), zlib.inflater{format = "raw"}:message(data))
    conn:close()
    server:stop(WAIT)
  end)

  it("keeps a window only if both sides let it", function()
    local text = "what is said twice is said better"
    local function lengths(offer, opts)
      local conn, server = packed_client(nil, {deflate = opts}, offer)
      conn:write(frame(1, text), (frame(1, text)))
      local _, one = read_frame(conn)
      local _, two = read_frame(conn)
      conn:close()
      server:stop(WAIT)
      return #one, #two
    end
    local one, two = lengths(nil, {threshold = 0})
    assert.is_true(two < one)
    one, two = lengths("permessage-deflate; server_no_context_takeover", {threshold = 0})
    assert.equal(one, two)
    one, two = lengths(nil, {threshold = 0, no_context_takeover = true})
    assert.equal(one, two)
    one, two = lengths("permessage-deflate; client_no_context_takeover", {threshold = 0})
    assert.is_true(two < one)
  end)

  it("is sent as it is for a window that zlib does not have, or when that is shorter", function()
    local conn, server = packed_client(nil, nil, "permessage-deflate; server_max_window_bits=8")
    conn:write((frame(1, ("x"):rep(100))))
    assert.equal(0x81, (read_frame(conn)))
    conn:close()
    server:stop(WAIT)
    conn, server = packed_client(nil, {deflate = {threshold = 0, no_context_takeover = true}})
    conn:write((frame(1, "q")))
    assert.equal(0x81, (read_frame(conn)))
    conn:close()
    server:stop(WAIT)
  end)

  it("can be one of a select's cases", function()
    local conn, server = packed_client(function(ws)
      local i, data, kind = rl.select({{ws}}, WAIT)
      ws:send(("%d %s %s"):format(i, data, kind), "binary")
    end)
    conn:write((frame(BINARY, hex "f248cdc9c90700")))
    local first, data = read_frame(conn)
    assert.equal(BINARY, first)
    assert.equal("1 Hello binary", zlib.inflater{format = "raw"}:message(data))
    conn:close()
    server:stop(WAIT)
  end)
end)

local WRONG = {
  {"the bit on a continuation", fragment(FRAGMENT, hex "f248cd") .. frame(0xc0, hex "c9c90700"),
    1002},
  {"the bit on a ping", frame(0xc9, ""), 1002},
  {"the bit on a close", frame(0xc8, close_payload(1000)), 1002},
  {"another bit", frame(0xe1, ""), 1002},
  {"what cannot be inflated", frame(TEXT, "\255\255\255\255"), 1007},
  {"a window that there is not", frame(TEXT, hex "f200110000"), 1007},
  {"text that is not UTF-8", has_zlib and frame(TEXT, hex "000100feffff00"), 1007},
  {"a message of 1,501 bytes", has_zlib and frame(BINARY, zlib.deflater{format = "raw"}:flush(
    ("x"):rep(1501)):sub(1, -5)), 1009},
  {"a bomb of 64 MiB", has_zlib and frame(BINARY, zlib.deflater{format = "raw"}:flush(
    ("\0"):rep(64 * 1024 * 1024)):sub(1, 1500)), 1009},
  {"more compressed bytes than a message can have", fragment(0x42, ("x"):rep(1000))
    .. frame(0x80, ("x"):rep(1000)), 1009},
}

both("a peer that compresses", function(it)
  for _, case in ipairs(WRONG) do
    it("is refused for " .. case[1], function()
      local seen = rl.chan(1)
      local conn, server = packed_client(function(ws)
        local results = H.pack(ws:recv())
        results.close_code, results.send = ws.close_code, select(3, ws:send("x"))
        results.again = select(3, ws:recv())
        seen:send(results)
      end, {max_message = 1500})
      conn:write((case[2]))
      assert.equal(frame(8, close_payload(case[3]), true), conn:read_exactly(4, WAIT))
      assert.equal("EOF", select(3, conn:read(WAIT)))
      local got = seen:recv(WAIT)
      assert.equal("EPROTO", got[3], got[2])
      assert.equal(case[3], got.close_code)
      assert.equal("EPROTO", got.send)
      assert.equal("EPROTO", got.again)
      conn:close()
      server:stop(WAIT)
    end)
  end

  it("may use the limit to the last byte, also if it does not get shorter", function()
    math.randomseed(3)
    local out = {}
    for i = 1, 1500 do out[i] = string.char(math.random(0, 255)) end
    local noise = table.concat(out)
    local got = rl.chan(2)
    local conn, server = packed_client(function(ws)
      for data in ws:messages() do got:send(data) end
    end, {max_message = 1500})
    local deflater = zlib.deflater{format = "raw"}
    conn:write(frame(BINARY, deflater:flush(noise):sub(1, -5)),
      (frame(BINARY, deflater:flush(("x"):rep(1500)):sub(1, -5))))
    assert.equal(noise, got:recv(WAIT))
    assert.equal(("x"):rep(1500), got:recv(WAIT))
    conn:close()
    server:stop(WAIT)
  end)
end)

both("both ends", function(it)
  local options = {
    true, {threshold = 0}, {level = 1, window = 9, threshold = 0},
    {level = 9, no_context_takeover = true, threshold = 0},
    {window = 12, no_context_takeover = true},
  }
  it("understand each other, whatever the options of each", function()
    local seed = 11
    math.randomseed(seed)
    for i, ours in ipairs(options) do
      for j, theirs in ipairs(options) do
        local server, url = wire.serve(wire.echo, {deflate = theirs})
        local ws = assert(websocket.connect(url, {deflate = ours, close_timeout = WAIT}))
        assert.is_true(ws.deflate)
        for round = 1, H.rounds(12, 3) do
          local word = tostring(math.random(1, 1000))
          local data = word:rep(math.random(0, 4) ^ 6)
          local kind = round % 2 == 0 and "text" or "binary"
          assert.is_true(ws:send(data, kind))
          local got, got_kind = ws:recv(WAIT)
          assert.is_true(got == data and got_kind == kind, ("seed %d, %d, %d, %d"):format(seed, i,
            j, round))
        end
        ws:close()
        assert.equal(1000, ws.close_code)
        server:stop(WAIT)
      end
    end
  end)

  -- Compression must happen in the order of sending, although senders wait for room.
  it("keep the order when many tasks send and have to wait", function()
    local got = {}
    local done = rl.event()
    local server, url = wire.serve(function(ws)
      rl.sleep(0.05)
      for data in ws:messages() do got[#got + 1] = data end
      done:set()
    end, {deflate = {threshold = 0}})
    local ws = assert(websocket.connect(url, {
      deflate = {threshold = 0, level = 1}, write_high_water = 1000,
    }))
    local tasks = {}
    for t = 1, 10 do
      tasks[t] = rl.go(function()
        for n = 1, 20 do
          local noise = {}
          for k = 1, 500 do noise[k] = string.char(math.random(32, 126)) end
          assert(ws:send(t .. " " .. n .. " " .. table.concat(noise)))
        end
      end)
    end
    for _, task in ipairs(tasks) do assert.is_true((task:join())) end
    ws:close()
    assert.is_true(done:wait(WAIT))
    assert.equal(200, #got)
    local last = {}
    for _, data in ipairs(got) do
      local t, n = data:match "^(%d+) (%d+) "
      assert.equal((last[t] or 0) + 1, tonumber(n))
      last[t] = tonumber(n)
    end
    server:stop(WAIT)
  end)

  it("keep no stream while they are idle, without a window to keep", function()
    local server, url = wire.serve(wire.echo, {deflate = {no_context_takeover = true}})
    local ws = assert(websocket.connect(url, {deflate = true}))
    ws:send(("x"):rep(10000))
    assert.equal(10000, #ws:recv())
    assert.is_nil(ws.codec.deflater)
    assert.is_nil(ws.codec.inflater)
    ws:close()
    server:stop(WAIT)
  end)

  it("give their streams back when they are closed", function()
    local server, url = wire.serve(wire.echo, {deflate = true})
    local ws = assert(websocket.connect(url, {deflate = true}))
    ws:send(("x"):rep(10000))
    assert.equal(10000, #ws:recv())
    local deflater = ws.codec.deflater
    assert.is_truthy(deflater)
    ws:close()
    assert.is_nil(ws.codec.deflater)
    H.raises_text("closed", deflater.write, deflater, "x")
    assert.equal("ECLOSED", select(3, ws:send(("x"):rep(10000))))
    server:stop(WAIT)
  end)

  it("raise on text that is not UTF-8, and on unknown options, where it was asked for", function()
    local server, url = wire.serve(wire.echo)
    local ws = assert(websocket.connect(url, {deflate = true}))
    assert.is_false(ws.deflate)
    ws:close()
    server:stop(WAIT)
    server, url = wire.serve(wire.echo, {deflate = true})
    ws = assert(websocket.connect(url, {deflate = true}))
    local err = H.raises(ws.send, ws, "\255")
    assert.is_truthy(err:find "UTF%-8")
    err = H.raises(function() ws:send "\255" end)
    -- Under torture there is a frame more in Lua 5.4.
    assert.is_truthy(H.torture or err:find "deflate_spec.lua:%d+: text must be UTF%-8", err)
    for name, opts in pairs{
      level = {level = 0}, window = {window = 8}, threshold = {threshold = -1},
      ["unknown option"] = {nonsense = 1}, boolean = {no_context_takeover = 1},
    } do
      err = H.raises(function() websocket.connect(url, {deflate = opts}) end)
      assert.is_truthy(err:find("websocket_deflate_spec.lua:%d+: .*" .. name), err)
    end
    ws:close()
    server:stop(WAIT)
  end)
end)

H.sim("without the rock", function(it)
  it("the option raises, and says which rock it is", function()
    local loaded, preload = package.loaded["ringlet.zlib"], package.preload["ringlet.zlib"]
    package.loaded["ringlet.zlib"] = nil
    package.preload["ringlet.zlib"] = function() error "module 'ringlet.zlib' not found" end
    local err = H.raises(function() websocket.connect("ws://127.0.0.1:1", {deflate = true}) end)
    assert.equal("ECONNREFUSED", select(3, websocket.connect "ws://127.0.0.1:1"))
    package.loaded["ringlet.zlib"], package.preload["ringlet.zlib"] = loaded, preload
    assert.is_truthy(err:find "websocket_deflate_spec.lua:%d+: option 'deflate' needs the rock",
      err)
    assert.is_truthy(err:find("ringlet-zlib", 1, true))
  end)
end)
