-- SPDX-License-Identifier: MIT
-- Connections: reading, slices, writing, closing.
local H = require "spec.helper"
local net = require "ringlet.net"
local rl = require "ringlet"
local wire = require "spec.wire"

local ANY, pair, close, pattern = wire.ANY, wire.pair, wire.close, wire.pattern

local LONG = 20 -- seconds for what is to come

-- A stalled task is preempted, and others come first: not where something happens in one turn.
local IN_ONE_TURN = {preempt = false}

H.both("reading", function(it, backend)
  it("gives what has arrived", function()
    local a, b = pair()
    a:write("hello")
    assert.equal("hello", b:read())
    close(a, b)
  end)

  it("parks until bytes arrive", function()
    local a, b = pair()
    local got
    local reader = rl.go(function() got = b:read() end)
    rl.sleep(0.01)
    assert.is_nil(got)
    a:write("late")
    reader:join()
    assert.equal("late", got)
    close(a, b)
  end)

  it("gives a parked reader its bytes through coroutines of its own", function()
    local a, b = pair()
    local got = {}
    local reader = rl.go(function()
      local next_read = coroutine.wrap(function()
        for _ = 1, 2 do
          coroutine.yield(b:read())
          coroutine.yield(b:read(LONG))
          coroutine.yield(b:read_buffer():tostring())
        end
      end)
      for i = 1, 6 do
        got[i] = next_read()
      end
    end)
    for i = 1, 6 do
      H.eventually("it reads", function() return reader:status() == "parked" end)
      a:write(i)
      H.eventually("what was written", function() return got[i] end)
    end
    reader:join()
    assert.same({"1", "2", "3", "4", "5", "6"}, got)
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
    local feeder = rl.go(function()
      while a:write(".") do rl.sleep(0.02) end
    end)
    local from = rl.now()
    assert.equal("ETIMEDOUT", select(3, b:read_line(nil, 0.1)))
    assert.is_true(rl.now() - from < H.limit(0.3, backend))
    feeder:cancel()
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
    local writer = rl.go(function() a:write(text) a:close() end)
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
      local writer = rl.go(function()
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
    local first = rl.go(function() return b:read() end)
    H.eventually("it reads", function() return first:status() == "parked" end)
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
      function() b:set_timeout{raed = 1} end, function() b:read("soon") end,
      function() b:read_line(nil, 0 / 0) end, function() b:flush({}) end,
      function() local _ = b.read(nil) return _ end,
    } do
      local err = H.raises(bad)
      -- Under torture there is a frame more in Lua 5.4.
      assert.is_truthy(H.torture or tostring(err):find("_spec.lua:", 1, true), tostring(err))
    end
    assert.equal("ETIMEDOUT", select(3, b:read(-1)))
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
    assert.equal("two", b:read(LONG))
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
        local s = assert(b:read_buffer(LONG))
        b:write(s)
        got[#got + 1] = tostring(s)
      until #table.concat(got) == #text
      assert.equal(text, table.concat(got))
      assert.equal(text, a:read_exactly(#text, LONG))
    end
    a:write("abc")
    local s = b:read_buffer()
    b:write("<", s, {s:slice(2), 7, ">"}, s:retain())
    assert.equal("<abcbc7>abc", a:read_exactly(11, LONG))
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
  end, IN_ONE_TURN)

  it("parks above the high-water mark, in order", function()
    local a, b = pair()
    local chunk, order, accepted = ("x"):rep(60000), {}, 0
    local writers = {}
    for i = 1, 200 do
      writers[i] = rl.go(function()
        assert.is_true(a:write(("%04d"):format(i), chunk))
        accepted = accepted + 1
      end)
    end
    rl.sleep(0.05)
    assert.is_true(accepted < 200)
    for i = 1, 200 do
      order[i] = tonumber(b:read_exactly(4, LONG))
      assert.equal(chunk, b:read_exactly(60000, LONG))
    end
    for i = 1, 200 do
      assert.equal(i, order[i])
      writers[i]:join()
    end
    assert.equal(200, accepted)
    close(a, b)
  end, IN_ONE_TURN)

  it("takes nothing when it times out", function()
    local a, b = pair()
    a:set_timeout{write = 0.05}
    local chunk, sent = ("x"):rep(50000), 0
    local ok, msg, code
    repeat
      ok, msg, code = a:write(chunk)
      sent = sent + (ok and #chunk or 0)
    until not ok
    assert.equal("ETIMEDOUT", code)
    assert.is_string(msg)
    local reader = rl.go(function()
      local got = 0
      while got < sent do
        got = got + #assert(b:read(LONG))
      end
      assert.equal("ETIMEDOUT", select(3, b:read(0.05)))
    end)
    assert.is_true(a:flush(LONG))
    reader:join()
    assert.equal(sent, a:stats().bytes_out)
    close(a, b)
  end)

  it("flushes", function()
    local a, b = pair()
    assert.is_true(a:flush())
    a:write("x")
    assert.equal(1, a:stats().queued_out)
    assert.is_true(a:flush(LONG))
    assert.equal(0, a:stats().queued_out)
    assert.equal(1, a:stats().bytes_out)
    close(a, b)
  end, IN_ONE_TURN)

  it("fails once the peer is gone", function()
    local a, b = pair()
    b:abort()
    local ok, code
    H.eventually("a failure", function()
      local wrote, _, why = a:write("x")
      ok, code = wrote, why
      return not ok
    end)
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

H.both("a write of a list that waited for its turn", function(it)
  it("finds an empty queue", function()
    local a, b = pair{write_high_water = 100}
    local reader = rl.go(function() return b:read_exactly(5000 + 4) end)
    assert.is_true(a:write(pattern(5000)))
    assert.is_true(a:write({"a", "b"}, "cd"))
    local ok, got = reader:join()
    assert.is_true(ok)
    assert.is_true(got == pattern(5000) .. "abcd")
    close(a, b)
  end)

  it("is refused when the list changed meanwhile; the next one has its turn", function()
    local a, b = pair{write_high_water = 100}
    local list = {"a"}
    -- All in one turn: what is queued is sent behind it.
    rl.go(function() a:write(pattern(5000)) end)
    local bad = rl.go(function() return pcall(a.write, a, list) end)
    local good = rl.go(function() return a:write({"next"}) end)
    rl.go(function() list[1] = print end)
    assert.is_true(b:read_exactly(5004) == pattern(5000) .. "next")
    local _, ok = bad:join()
    assert.is_false(ok)
    assert.same({true, true}, {good:join()})
    close(a, b)
  end, IN_ONE_TURN)
end)

H.both("closing", function(it)
  it("is idempotent and ends every wait", function()
    local a, b = pair()
    local results = {}
    local reader = rl.go(function() results.read = select(3, b:read()) end)
    local chunk = ("x"):rep(70000)
    local writer = rl.go(function()
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
    for _, name in ipairs{"read", "read_buffer", "read_line", "read_all", "write", "flush",
      "shutdown", "peername", "sockname"} do
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
    assert.equal("bye", b:read(LONG))
    assert.equal("EOF", select(3, b:read(LONG)))
    close(b)
  end)

  it("works while cancelled", function()
    local a, b = pair()
    local task = rl.go(function()
      pcall(b.read, b)
      b:close()
    end)
    rl.yield()
    task:cancel()
    assert.equal("EOF", select(3, a:read(LONG)))
    close(a)
  end)

  it("resets by abort", function()
    local a, b = pair()
    b:write("lost")
    assert.equal("lost", a:read(LONG))
    b:abort()
    assert.equal("ECONNRESET", select(3, a:read(LONG)))
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

H.both("a connection", function(it, backend)
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
    local n = backend == "sim" and 4 or 0 -- in real time a stall is idle time too
    local a, b = pair{idle_timeout = 0.1}
    local from = rl.now()
    rl.go(function()
      for _ = 1, n do
        rl.sleep(0.05)
        b:write(".")
      end
    end)
    for _ = 1, n do
      assert.equal(".", a:read())
    end
    assert.equal("ETIMEDOUT", select(3, a:read()))
    assert.is_true(rl.now() - from >= 0.08 + 0.05 * n)
    assert.equal("ETIMEDOUT", select(3, a:write("x")))
    close(a, b)
  end)

  it("receives no more than the high-water mark allows", function()
    local a, b = pair()
    rl.go(function()
      while a:write(("x"):rep(10000)) do end
    end)
    b:read()
    local queued
    H.eventually("the end of what is received", function()
      rl.sleep(0.1)
      local was = queued
      queued = b:stats().queued_in
      assert.is_true(queued < 2000000, queued)
      return queued > 0 and queued == was
    end)
    a:abort()
    close(b)
  end)

  it("keeps its bytes when a reader is cancelled at any moment", function()
    local a, b = pair()
    local sent, got = pattern(20000), {}
    local writer = rl.go(function()
      for i = 1, #sent, 100 do
        a:write(sent:sub(i, i + 99))
        if i % 700 == 1 then rl.sleep(0.001) end
      end
      a:close()
    end)
    local over = false
    while not over do
      local reader = rl.go(function()
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
