-- SPDX-License-Identifier: MIT
local H = require "spec.helper"
local net = require "ringlet.net"
local rl = require "ringlet"
local t = require "ringlet.test"

local ANY = "127.0.0.1:0"

-- Both ends of a connection.
local function pair(opts)
  local listener = assert(net.listen(ANY))
  local a = assert(net.connect(listener:addr(), opts))
  local b = assert(listener:accept())
  listener:close()
  return a, b
end

local function close(...)
  for i = 1, select("#", ...) do
    local what = select(i, ...)
    if what then
      what:close()
    end
  end
end

-- Run `fn` in a task that can be joined; its results or error come from join.
local function spawn(fn, ...)
  return rl.go(fn, ...)
end

local function pattern(n, salt)
  local out = {}
  for i = 1, n do
    out[i] = string.char((i * 7 + (salt or 0) + math.floor(i / 251)) % 256)
  end
  return table.concat(out)
end

H.both("reading", function(it)
  it("gives what has arrived", function()
    local a, b = pair()
    a:write("hello")
    assert.equal("hello", b:read())
    close(a, b)
  end)

  it("parks until bytes arrive", function()
    local a, b = pair()
    local got
    local reader = spawn(function() got = b:read() end)
    rl.sleep(0.01)
    assert.is_nil(got)
    a:write("late")
    reader:join()
    assert.equal("late", got)
    close(a, b)
  end)

  it("ends with EOF, again and again", function()
    local a, b = pair()
    a:write("last")
    a:close()
    assert.equal("last", b:read())
    for _ = 1, 3 do
      local data, msg, code = b:read()
      assert.is_nil(data)
      assert.equal("EOF", code)
      assert.equal("EOF: end of stream", msg)
    end
    close(b)
  end)

  it("times out and leaves the bytes in place", function()
    local a, b = pair()
    assert.equal("ETIMEDOUT", select(3, b:read(0.01)))
    assert.equal("ETIMEDOUT", select(3, b:read(0)))
    a:write("abc")
    assert.equal("ETIMEDOUT", select(3, b:read_exactly(4, 0.02)))
    assert.equal("ETIMEDOUT", select(3, b:read_until("x", nil, 0.02)))
    assert.equal("ETIMEDOUT", select(3, b:read_line(nil, 0.02)))
    assert.equal("ETIMEDOUT", select(3, b:read_all(nil, 0.02)))
    a:write("d")
    assert.equal("abcd", b:read_exactly(4))
    close(a, b)
  end)

  it("counts the timeout over all of a read", function()
    local a, b = pair()
    local feeder = spawn(function()
      for _ = 1, 20 do
        a:write(".")
        rl.sleep(0.02)
      end
    end)
    local from = rl.now()
    assert.equal("ETIMEDOUT", select(3, b:read_line(nil, 0.1)))
    assert.is_true(rl.now() - from < 0.3)
    feeder:join()
    close(a, b)
  end)

  it("takes exactly n bytes, or none", function()
    local a, b = pair()
    a:write("abcdef")
    assert.equal("ab", b:read_exactly(2))
    assert.equal("", b:read_exactly(0))
    assert.equal("cde", b:read_exactly(3))
    a:write("g")
    a:close()
    assert.equal("EOF", select(3, b:read_exactly(3)))
    assert.equal("fg", b:read_exactly(2))
    close(b)
  end)

  it("takes more at once than the high-water mark", function()
    local a, b = pair()
    local text = pattern(500000)
    local writer = spawn(function() a:write(text) a:close() end)
    assert.equal(text:sub(1, 300000), b:read_exactly(300000))
    assert.equal(text:sub(300001), b:read_all())
    assert.equal("", b:read_all())
    writer:join()
    close(b)
  end)

  it("splits at delimiters, wherever the bytes are cut", function()
    for cut = 1, 12 do
      local a, b = pair()
      local text = "one||two|||three"
      local writer = spawn(function()
        a:write(text:sub(1, cut))
        rl.sleep(0.005)
        a:write(text:sub(cut + 1))
      end)
      assert.equal("one", b:read_until("||"))
      assert.equal("two", b:read_until("||"))
      writer:join()
      assert.equal("|three", b:read_exactly(6))
      close(a, b)
    end
  end)

  it("reads lines with both kinds of ends", function()
    local a, b = pair()
    a:write("unix\ndos\r\n\r\n\n\rx\nrest")
    a:close()
    local lines = {}
    for line in b:lines() do
      lines[#lines + 1] = line
    end
    assert.same({"unix", "dos", "", "", "\rx", "rest"}, lines)
    close(b)
  end)

  it("limits lines and leaves a longer one in place", function()
    local a, b = pair()
    a:write("12345\n123456\r\n")
    assert.equal("12345", b:read_line(5))
    local line, msg, code = b:read_line(5)
    assert.is_nil(line)
    assert.equal("EMSGSIZE", code)
    assert.is_string(msg)
    assert.equal("EMSGSIZE", select(3, b:read_until("\r\n", 5)))
    assert.equal("123456", b:read_line(6))
    a:write(("x"):rep(200))
    assert.equal("EMSGSIZE", select(3, b:read_until("\n", 100)))
    assert.equal("EMSGSIZE", select(3, b:read_all(199)))
    assert.equal(200, #b:read_exactly(200))
    close(a, b)
  end)

  it("leaves a last line without an end for read", function()
    local a, b = pair()
    a:write("tail")
    a:close()
    assert.equal("EOF", select(3, b:read_line()))
    assert.equal("tail", b:read())
    close(b)
  end)

  it("raises for a second reader", function()
    local a, b = pair()
    local first = spawn(function() return b:read() end)
    rl.yield()
    H.raises_text("another task is reading", b.read, b)
    a:write("x")
    first:join()
    close(a, b)
  end)

  it("raises on misuse, at the caller", function()
    local a, b = pair()
    for _, bad in ipairs{
      function() b:read_exactly(-1) end, function() b:read_exactly(1.5) end,
      function() b:read_exactly("x") end, function() b:read_until("") end,
      function() b:read_until(1) end, function() b:read_line(-1) end,
      function() b:write({}, function() end) end, function() b:write(nil) end,
      function() b:write{{}} end, function() b:setopt("nosuch", true) end,
      function() b:setopt("nodelay", "on") end, function() b:set_timeout(-1) end,
      function() b:set_timeout{raed = 1} end, function() net.Conn = b.read(nil) end,
    } do
      local err = H.raises(bad)
      assert.is_truthy(tostring(err):find("net_spec.lua", 1, true), tostring(err))
    end
    assert.is_false(pcall(b.read, b, -1))
    assert.is_false(pcall(b.read, b, 0 / 0))
    assert.is_false(pcall(b.read, b, "soon"))
    close(a, b)
  end)
end)

H.both("slices", function(it)
  it("are views of what arrived", function()
    local a, b = pair()
    a:write("GET /x\r\n")
    local s = b:read_buffer()
    assert.is_true(s:starts("GET "))
    assert.equal("/x", s:sub(5, 6))
    assert.equal("GET /x\r\n", tostring(s))
    close(a, b)
  end)

  it("end with the next read, release or close", function()
    local a, b = pair()
    a:write("one")
    local s = b:read_buffer()
    local part, kept = s:slice(1, 2), s:retain()
    a:write("two")
    assert.equal("two", b:read(1))
    H.raises_text("no longer valid", s.tostring, s)
    H.raises_text("no longer valid", part.tostring, part)
    H.raises_text("no longer valid", a.write, a, s)
    assert.equal("one", tostring(kept))
    a:write("three")
    s = b:read_buffer()
    part = s:slice(2)
    part:release()
    H.raises_text("no longer valid", s.tostring, s)
    a:write("four")
    s = b:read_buffer()
    b:close()
    H.raises_text("no longer valid", s.tostring, s)
    close(a)
  end)

  it("can be written, and stay intact until sent", function()
    local a, b = pair()
    local text = pattern(3000)
    for _ = 1, 50 do
      a:write(text)
      local got = {}
      repeat
        local s = assert(b:read_buffer(1))
        b:write(s)
        got[#got + 1] = tostring(s)
      until #table.concat(got) == #text
      assert.equal(text, table.concat(got))
      assert.equal(text, a:read_exactly(#text, 1))
    end
    a:write("abc")
    local s = b:read_buffer()
    b:write("<", s, {s:slice(2), 7, ">"}, s:retain())
    assert.equal("<abcbc7>abc", a:read_exactly(11, 1))
    close(a, b)
  end)

  it("of an earlier run are over", function()
    local a, b = pair()
    a:write("x")
    H.leftover = b:read_buffer()
    close(a, b)
  end)

  it("of an earlier run raise", function()
    local s = H.leftover
    if s then
      H.raises_text("no longer valid", s.tostring, s)
      s:release()
    end
    local a, b = pair()
    a:write("y")
    local fresh = b:read_buffer()
    assert.is_true(not s or not s:is_valid())
    assert.equal("y", tostring(fresh))
    close(a, b)
  end)
end)

H.both("writing", function(it)
  it("takes strings, numbers and lists", function()
    local a, b = pair()
    assert.is_true(a:write("a", 1, {"b", 2}, {}, ""))
    assert.is_true(a:write())
    assert.equal("a1b2", b:read_exactly(4))
    close(a, b)
  end)

  it("sends what was written in one turn at once", function()
    local a, b = pair()
    for i = 1, 20 do
      a:write(i % 10)
    end
    assert.equal(20, #b:read_exactly(20))
    assert.equal(1, a:stats().writes)
    close(a, b)
  end)

  it("parks above the high-water mark, in order", function()
    local a, b = pair()
    local chunk, order, accepted = ("x"):rep(60000), {}, 0
    local writers = {}
    for i = 1, 200 do
      writers[i] = spawn(function()
        assert.is_true(a:write(("%04d"):format(i), chunk))
        accepted = accepted + 1
      end)
    end
    rl.sleep(0.05)
    assert.is_true(accepted < 200)
    for i = 1, 200 do
      order[i] = tonumber(b:read_exactly(4, 2))
      assert.equal(chunk, b:read_exactly(60000, 2))
    end
    for i = 1, 200 do
      assert.equal(i, order[i])
      writers[i]:join()
    end
    assert.equal(200, accepted)
    close(a, b)
  end, {timeout = 20})

  it("takes nothing when it times out", function()
    local a, b = pair()
    a:set_timeout{write = 0.05}
    local chunk, sent = ("x"):rep(50000), 0
    local ok, code
    repeat
      ok, _, code = a:write(chunk)
      sent = sent + (ok and #chunk or 0)
    until not ok
    assert.equal("ETIMEDOUT", code)
    local reader = spawn(function()
      local got = 0
      while got < sent do
        got = got + #assert(b:read(1))
      end
      assert.equal("ETIMEDOUT", select(3, b:read(0.05)))
    end)
    assert.is_true(a:flush(2))
    reader:join()
    assert.equal(sent, a:stats().bytes_out)
    close(a, b)
  end)

  it("flushes", function()
    local a, b = pair()
    assert.is_true(a:flush())
    a:write("x")
    assert.equal(1, a:stats().queued_out)
    assert.is_true(a:flush(1))
    assert.equal(0, a:stats().queued_out)
    assert.equal(1, a:stats().bytes_out)
    close(a, b)
  end)

  it("fails once the peer is gone", function()
    local a, b = pair()
    b:abort()
    local ok, code
    for _ = 1, 100 do
      ok, _, code = a:write("x")
      if not ok then break end
      rl.sleep(0.001)
    end
    assert.is_nil(ok)
    assert.is_true(code == "EPIPE" or code == "ECONNRESET", code)
    close(a)
  end)

  it("ends one direction by shutdown", function()
    local a, b = pair()
    a:write("question")
    assert.is_true(a:shutdown())
    assert.is_true(a:shutdown())
    assert.equal("EPIPE", select(3, a:write("more")))
    assert.equal("question", b:read_all())
    b:write("answer")
    assert.equal("answer", a:read())
    close(a, b)
  end)
end)

H.both("closing", function(it)
  it("is idempotent and ends every wait", function()
    local a, b = pair()
    local results = {}
    local reader = spawn(function() results.read = select(3, b:read()) end)
    local chunk = ("x"):rep(70000)
    local writer = spawn(function()
      repeat
        local ok, _, code = b:write(chunk)
        results.write = code
      until not ok
    end)
    rl.sleep(0.05)
    assert.is_true(b:close())
    assert.is_true(b:close())
    reader:join()
    writer:join()
    assert.same({read = "ECLOSED", write = "ECLOSED"}, results)
    for _, name in ipairs{"read", "read_buffer", "read_line", "read_all", "write", "flush", "shutdown",
      "peername", "sockname"} do
      assert.equal("ECLOSED", select(3, b[name](b)), name)
    end
    assert.equal("ECLOSED", select(3, b:read_exactly(0)))
    assert.is_table(b:stats())
    assert.is_truthy(tostring(b):find("closed"))
    a:abort()
    b:abort()
    close(a)
  end)

  it("sends what is queued", function()
    local a, b = pair()
    local text = pattern(300000)
    a:write(text)
    a:close()
    assert.equal(text, b:read_all())
    close(b)
  end)

  it("happens when the connection is collected", function()
    local a, b = pair()
    a:write("bye")
    a = nil -- luacheck: ignore
    H.collect()
    assert.equal("bye", b:read(1))
    assert.equal("EOF", select(3, b:read(1)))
    close(b)
  end)

  it("works while cancelled", function()
    local a, b = pair()
    local task = spawn(function()
      pcall(b.read, b)
      b:close()
    end)
    rl.yield()
    task:cancel()
    assert.equal("EOF", select(3, a:read(1)))
    close(a)
  end)

  it("resets by abort", function()
    local a, b = pair()
    b:write("lost")
    rl.sleep(0.01)
    local reader = spawn(function() return a:read() end)
    reader:join()
    b:abort()
    assert.equal("ECONNRESET", select(3, a:read(1)))
    close(a)
  end)

  it("is done by the run for what was left open", function()
    H.left = {pair()}
    H.left[1]:write("unsent")
    H.left[3] = assert(net.listen(ANY))
  end, {leak = false})

  it("was done by the run for what was left open", function()
    local a, b, listener = H.left[1], H.left[2], H.left[3]
    assert.equal("ECLOSED", select(3, a:read()))
    assert.equal("ECLOSED", select(3, b:write("x")))
    assert.equal("ECLOSED", select(3, b:stats()))
    assert.equal("ECLOSED", select(3, listener:accept()))
    assert.is_true(a:close() and listener:close())
  end)
end)

H.both("a connection", function(it)
  it("knows its names, options and counters", function()
    local a, b = pair()
    assert.equal(a:sockname(), b:peername())
    assert.equal(b:sockname(), a:peername())
    assert.is_truthy(a:peername():match "^127%.0%.0%.1:%d+$")
    assert.is_truthy(tostring(a):match "^ringlet%.conn: .*%(fd %d+, 127%.0%.0%.1:%d+%)$")
    assert.is_true(a:setopt("nodelay", false))
    assert.is_true(a:setopt("keepalive", true))
    assert.is_true(a:setopt("sndbuf", 65536))
    a:write("12345")
    b:read_exactly(3)
    assert.same({bytes_in = 5, bytes_out = 0, reads = 1, writes = 0, queued_in = 2, queued_out = 0},
      b:stats())
    close(a, b)
  end)

  it("has default timeouts", function()
    local a, b = pair{read_timeout = 0.02}
    assert.equal("ETIMEDOUT", select(3, a:read()))
    assert.equal("ETIMEDOUT", select(3, a:read_line()))
    a:set_timeout(0.03)
    assert.equal("ETIMEDOUT", select(3, a:read_exactly(3)))
    a:set_timeout(nil)
    b:write("x")
    assert.equal("x", a:read())
    close(a, b)
  end)

  it("fails when it idles for too long", function()
    local a, b = pair{idle_timeout = 0.1}
    local from = rl.now()
    spawn(function()
      for _ = 1, 4 do
        rl.sleep(0.05)
        b:write(".")
      end
    end)
    for _ = 1, 4 do
      assert.equal(".", a:read())
    end
    assert.equal("ETIMEDOUT", select(3, a:read()))
    assert.is_true(rl.now() - from >= 0.28)
    assert.equal("ETIMEDOUT", select(3, a:write("x")))
    close(a, b)
  end)

  it("receives no more than the high-water mark allows", function()
    local a, b = pair()
    spawn(function()
      while a:write(("x"):rep(10000)) do end
    end)
    b:read()
    rl.sleep(0.1)
    local queued = b:stats().queued_in
    assert.is_true(queued < 2000000, queued)
    rl.sleep(0.1)
    assert.equal(queued, b:stats().queued_in)
    a:abort()
    close(b)
  end)

  it("keeps its bytes when a reader is cancelled at any moment", function()
    local a, b = pair()
    local sent, got = pattern(20000), {}
    local writer = spawn(function()
      for i = 1, #sent, 100 do
        a:write(sent:sub(i, i + 99))
        if i % 700 == 1 then rl.sleep(0.001) end
      end
      a:close()
    end)
    local over = false
    while not over do
      local reader = spawn(function()
        while true do
          local data, _, code = b:read_exactly(37)
          if not data then
            assert.equal("EOF", code)
            over = true
            return
          end
          got[#got + 1] = data
        end
      end)
      rl.sleep(0.0007)
      reader:cancel()
      reader:join()
    end
    got[#got + 1] = b:read_all()
    writer:join()
    assert.equal(sent, table.concat(got))
    close(b)
  end)
end)

H.both("connecting", function(it)
  it("is refused where nobody listens", function()
    local listener = assert(net.listen(ANY))
    local addr = listener:addr()
    listener:close()
    rl.sleep(0.01)
    local conn, msg, code = net.connect(addr)
    assert.is_nil(conn)
    assert.equal("ECONNREFUSED", code)
    assert.equal("ECONNREFUSED: connection refused", msg)
  end)

  it("looks names up, and tries every address", function()
    local listener = assert(net.listen("localhost:0"))
    local port = listener:addr():match ":(%d+)$"
    local a = assert(net.connect("localhost:" .. port))
    local b = assert(listener:accept(1))
    a:write("x")
    assert.equal("x", b:read())
    close(a, b)
    a = assert(net.connect(":" .. port))
    b = assert(listener:accept(1))
    close(a, b, listener)
  end)

  it("says so when there is no such host", function()
    local conn, msg, code = net.connect("no-such-host.invalid:80", {timeout = 4})
    assert.is_nil(conn)
    assert.is_string(msg)
    assert.is_true(code == "ENOENT" or code == "EAGAIN", code)
  end)

  it("works over IPv6", function()
    local listener, _, code = net.listen("[::1]:0")
    if not listener then
      assert.is_true(code == "EADDRNOTAVAIL" or code == "EAFNOSUPPORT")
      return
    end
    local a = assert(net.connect(listener:addr()))
    local b = assert(listener:accept(1))
    assert.is_truthy(a:peername():match "^%[::1%]:%d+$")
    close(a, b, listener)
  end)

  it("raises on what is no address or option", function()
    for _, bad in ipairs{"", "80", "host", "::1:80", "[::1]", "a b:1", "x:99999"} do
      local err = H.raises(function() net.connect(bad) end)
      assert.is_truthy(tostring(err):find("net_spec.lua", 1, true), tostring(err))
      assert.is_false(pcall(net.listen, bad))
    end
    assert.is_false(pcall(net.connect, nil))
    assert.is_false(pcall(net.connect, "127.0.0.1:1", {timout = 1}))
    assert.is_false(pcall(net.listen, ANY, {backlog = "x"}))
    assert.is_false(pcall(net.serve, ANY, {}))
    assert.is_false(pcall(net.serve, ANY, {on_data = 1}))
    assert.is_false(pcall(net.serve, ANY, print, {shards = 2}))
    assert.is_false(pcall(net.serve, ANY, print, {max_conections = 2}))
  end)

  it("leaves nothing when cancelled at any moment", function()
    local listener = assert(net.listen(ANY))
    local addr = listener:addr():gsub("127.0.0.1", "localhost")
    for i = 1, 20 do
      local task = spawn(function()
        local conn = net.connect(addr)
        rl.sleep(1)
        close(conn)
      end)
      rl.sleep(i * 0.0002)
      task:cancel()
      task:join()
    end
    H.collect()
    local conn = listener:accept(0.01)
    while conn do
      conn:close()
      conn = listener:accept(0.01)
    end
    close(listener)
  end)
end)

H.sim("connecting", function(it)
  it("goes on to the next address after a quarter of a second", function()
    local silent = assert(net.listen("[::1]:7777", {backlog = 1}))
    local listener = assert(net.listen("127.0.0.1:7777"))
    local fillers = {}
    for i = 1, 2 do
      fillers[i] = net.connect("[::1]:7777", {timeout = 0.1})
    end
    local from = rl.now()
    local conn = assert(net.connect("localhost:7777"))
    assert.is_true(rl.now() - from < 0.4)
    local peer = assert(listener:accept(1))
    close(conn, peer, silent, listener)
    for _, filler in pairs(fillers) do
      close(filler)
    end
  end)

  it("times out", function()
    local silent = assert(net.listen(ANY, {backlog = 1}))
    local fillers, code = {}, nil
    for i = 1, 4 do
      fillers[i], _, code = net.connect(silent:addr(), {timeout = 0.5})
    end
    assert.equal("ETIMEDOUT", code)
    close(silent)
    for _, filler in pairs(fillers) do
      close(filler)
    end
  end)
end)

H.both("a listener", function(it)
  it("serves several acceptors and ends their wait when closed", function()
    local listener = assert(net.listen(ANY))
    local got, codes = 0, {}
    local tasks = {}
    for i = 1, 3 do
      tasks[i] = spawn(function()
        while true do
          local conn, _, code = listener:accept()
          if not conn then
            codes[#codes + 1] = code
            return
          end
          got = got + 1
          conn:close()
        end
      end)
    end
    for _ = 1, 10 do
      close(assert(net.connect(listener:addr())))
    end
    while got < 10 do
      rl.sleep(0.001)
    end
    assert.equal("ETIMEDOUT", select(3, listener:accept(0.02)))
    listener:close()
    for i = 1, 3 do
      tasks[i]:join()
    end
    assert.same({"ECLOSED", "ECLOSED", "ECLOSED"}, codes)
    assert.equal("ECLOSED", select(3, listener:addr()))
    H.collect()
  end)

  it("says when an address is in use", function()
    local listener = assert(net.listen(ANY))
    assert.equal("EADDRINUSE", select(3, net.listen(listener:addr())))
    close(listener)
  end)
end)

local function echo(conn)
  while true do
    local data = conn:read()
    if not data then
      return
    end
    conn:write(data)
  end
end

local HANDLERS = {
  ["a task"] = {echo},
  ["on_data"] = {{on_data = function(conn, data) conn:write(data) end}},
  ["on_data with slices"] = {{on_data = function(conn, data) conn:write(data) end}, {buffers = true}},
}

for name, spec in pairs(HANDLERS) do
  H.both("serving with " .. name, function(it)
    local handler, opts = spec[1], spec[2]

    it("echoes for many at a time", function()
      local server = assert(net.serve(ANY, handler, opts))
      local clients = {}
      for i = 1, 20 do
        clients[i] = spawn(function()
          local conn = assert(net.connect(server:addr()))
          for k = 1, 10 do
            local text = pattern(i * k * 13, i)
            conn:write(text)
            assert.equal(text, conn:read_exactly(#text, 3))
          end
          conn:close()
        end)
      end
      for i = 1, 20 do
        clients[i]:join()
      end
      assert.equal(20, server:stats().accepted)
      assert.is_true(server:stop(1))
      assert.is_true(server:stop())
      assert.is_true(server:join())
      assert.equal(0, server:stats().live)
      assert.equal("ECONNREFUSED", select(3, net.connect(server:addr())))
    end)

    it("lets clients beyond max_connections wait", function()
      local o = {max_connections = 2}
      for k, v in pairs(opts or {}) do o[k] = v end
      local server = assert(net.serve(ANY, handler, o))
      local conns = {}
      for i = 1, 6 do
        conns[i] = assert(net.connect(server:addr()))
        conns[i]:write(i)
      end
      rl.sleep(0.05)
      assert.equal(2, server:stats().live)
      for i = 1, 6 do
        assert.equal(tostring(i), conns[i]:read(1))
        assert.is_true(server:stats().live <= 2)
        conns[i]:close()
      end
      assert.is_true(server:stop(1))
    end)

    it("closes idle connections after idle_timeout", function()
      local o = {idle_timeout = 0.05}
      for k, v in pairs(opts or {}) do o[k] = v end
      local server = assert(net.serve(ANY, handler, o))
      local conn = assert(net.connect(server:addr()))
      conn:write("x")
      assert.equal("x", conn:read(1))
      assert.equal("EOF", select(3, conn:read(1)))
      conn:close()
      assert.is_true(server:stop(1))
    end)
  end)
end

H.both("a server", function(it)
  it("closes the connection when its handler ends or raises, and reports the error", function()
    local errors = {}
    rl.on_error(function(err) errors[#errors + 1] = tostring(err) end)
    local server = assert(net.serve(ANY, function(conn)
      if conn:read() == "boom" then error("handler failed") end
    end))
    for _, word in ipairs{"fine", "boom"} do
      local conn = assert(net.connect(server:addr()))
      conn:write(word)
      assert.is_nil((conn:read(1)))
      conn:close()
    end
    assert.is_true(server:stop(1))
    assert.equal(1, #errors)
    assert.is_truthy(errors[1]:find("handler failed", 1, true))
    assert.equal(1, server:stats().errors)
  end)

  it("survives errors in on_open, on_data and on_close", function()
    local errors, closed = {}, 0
    rl.on_error(function(err) errors[#errors + 1] = tostring(err) end)
    local server = assert(net.serve(ANY, {
      on_open = function(conn) if conn:read() == "open" then error("in on_open") end end,
      on_data = function(_, data) if data == "data" then error("in on_data") end end,
      on_close = function() closed = closed + 1 error("in on_close") end,
    }))
    for _, word in ipairs{"open", "data", "none"} do
      local conn = assert(net.connect(server:addr()))
      conn:write(word)
      rl.sleep(0.01)
      conn:write("data")
      assert.is_nil((conn:read(1)))
      conn:close()
    end
    assert.is_true(server:stop(1))
    assert.equal(3, closed)
    assert.equal(1 + 2 + 3, #errors)
  end)

  it("hands data of one connection over one at a time, and others do not wait", function()
    local log, inside = {}, {}
    local server = assert(net.serve(ANY, {on_data = function(conn, data)
      local who = conn:peername()
      assert(not inside[who])
      inside[who] = true
      if data:sub(1, 4) == "slow" then rl.sleep(0.2) end
      log[#log + 1] = data
      inside[who] = false
      conn:write("ok")
    end}))
    local slow, quick = assert(net.connect(server:addr())), assert(net.connect(server:addr()))
    slow:write("slow")
    rl.sleep(0.02)
    slow:write("after")
    for i = 1, 5 do
      quick:write("q" .. i)
      assert.equal("ok", quick:read(0.1))
    end
    assert.equal("okok", slow:read_exactly(4, 1))
    assert.same({"q1", "q2", "q3", "q4", "q5", "slow", "after"}, log)
    close(slow, quick)
    assert.is_true(server:stop(1))
  end)

  it("tells on_close how a connection ended", function()
    local ends = {}
    local server = assert(net.serve(ANY, {
      on_data = function(conn, data) if data == "close" then conn:close() end end,
      on_close = function(conn, msg, code)
        ends[#ends + 1] = code or "fine"
        assert.is_table(conn:stats())
        assert.is_true(code ~= nil == (msg ~= nil))
      end,
    }))
    local conn = assert(net.connect(server:addr()))
    conn:close()
    rl.sleep(0.02)
    conn = assert(net.connect(server:addr()))
    conn:write("close")
    assert.equal("EOF", select(3, conn:read(1)))
    conn:close()
    conn = assert(net.connect(server:addr()))
    rl.sleep(0.02)
    conn:abort()
    rl.sleep(0.02)
    assert.same({"fine", "fine", "ECONNRESET"}, ends)
    assert.is_true(server:stop(1))
  end)

  it("lets handlers of idle on_data connections read", function()
    local server = assert(net.serve(ANY, {on_data = function(conn, data)
      conn:write(data, conn:read_exactly(3))
    end}))
    local conn = assert(net.connect(server:addr()))
    conn:write("abc")
    rl.sleep(0.02)
    conn:write("def")
    assert.equal("abcdef", conn:read_exactly(6, 1))
    conn:close()
    assert.is_true(server:stop(1))
  end)

  it("cancels handlers after the grace", function()
    local cancelled = false
    local server = assert(net.serve(ANY, function(conn)
      local ok, err = pcall(conn.read, conn)
      cancelled = not ok
      error(err, 0)
    end))
    local conn = assert(net.connect(server:addr()))
    rl.sleep(0.02)
    local from = rl.now()
    assert.is_true(server:stop(0.1))
    assert.is_true(rl.now() - from < 1)
    assert.is_true(cancelled)
    assert.is_nil((conn:read(1)))
    conn:close()
  end)

  it("cancels on_data handlers after the grace", function()
    local server = assert(net.serve(ANY, {on_data = function() rl.sleep(100) end}))
    local conn = assert(net.connect(server:addr()))
    conn:write("x")
    rl.sleep(0.02)
    assert.is_true(server:stop(0.1))
    assert.is_nil((conn:read(1)))
    conn:close()
  end)

  it("ends a connection after total_timeout", function()
    local server = assert(net.serve(ANY, echo, {total_timeout = 0.1}))
    local conn = assert(net.connect(server:addr()))
    local n = 0
    while conn:write(".") and conn:read(1) do
      n = n + 1
      rl.sleep(0.01)
    end
    assert.is_true(n > 2 and n < 12, n)
    conn:close()
    assert.is_true(server:stop(1))
  end)
end)

describe("a run", function()
  it("is kept alive by a server, and ends when that is stopped", function()
    local served = false
    H.run(function()
      local server = assert(net.serve(ANY, function(conn)
        conn:write("hi")
        served = true
      end))
      rl.daemon(function()
        rl.sleep(1)
        local conn = assert(net.connect(server:addr()))
        assert(conn:read(1) == "hi")
        conn:close()
        server:stop()
      end)
    end)
    assert.is_true(served)
  end)

  it("ends only when a closed connection has sent what it had", function()
    local got
    H.run(function()
      local a, b = pair()
      rl.daemon(function() got = b:read_all() end)
      a:write(pattern(200000))
      a:close()
    end)
    assert.equal(true, got == nil or got == pattern(200000))
  end)
end)

describe("under faults", function()
  -- Every reply is right as far as it goes, and nothing is left.
  local function exchange(seed)
    local broken = 0
    rl.on_error(function(err) error(err, 0) end)
    local handlers = {echo, HANDLERS["on_data"][1], HANDLERS["on_data with slices"][1]}
    local server = net.serve(ANY, handlers[seed % 3 + 1], {buffers = seed % 3 == 2 or nil})
    if not server then return end
    local tasks = {}
    for i = 1, 5 do
      tasks[i] = rl.go(function()
        local conn = net.connect(server:addr())
        if not conn then
          broken = broken + 1
          return
        end
        local sent, got = pattern(3000 + i * 100, i + seed), {}
        local writer = rl.go(function()
          for k = 1, #sent, 130 do
            if not conn:write(sent:sub(k, k + 129)) then
              conn:abort()
              break
            end
          end
          conn:shutdown()
        end)
        repeat
          local data = conn:read()
          got[#got + 1] = data
        until not data
        local text = table.concat(got)
        assert(sent:sub(1, #text) == text, "an echo differs")
        broken = broken + (#text == #sent and 0 or 1)
        writer:join()
        conn:close()
      end)
    end
    for i = 1, 5 do
      tasks[i]:join()
    end
    server:stop(1)
    return broken
  end

  it("that pass no byte is lost", function()
    t.seeds(H.rounds(150, 10), function(seed)
      assert.equal(0, exchange(seed))
    end, {faults = "short_read=0.2,short_write=0.2,enobufs=0.1,delay=0.05,cq_overflow=0.1,multishot_end=0.2,"
      .. "cancel_race=0.5,eintr=0.05", timeout = 60})
  end)

  it("of every kind nothing is left", function()
    t.seeds(H.rounds(150, 10), exchange, {faults = "all=0.03", timeout = 60})
  end)
end)
