-- SPDX-License-Identifier: MIT
-- Connecting and listening.
local H = require "spec.helper"
local net = require "ringlet.net"
local rl = require "ringlet"
local wire = require "spec.wire"

local ANY, close = wire.ANY, wire.close

H.both("connecting", function(it)
  it("is refused where nobody listens", function()
    local listener = assert(net.listen(ANY))
    local a = assert(net.connect(listener:addr()))
    local b = assert(listener:accept(30))
    -- A client's port is nobody else's while it has it.
    local conn, msg, code = net.connect(b:peername())
    assert.is_nil(conn)
    assert.equal("ECONNREFUSED", code)
    assert.equal("ECONNREFUSED: connection refused", msg)
    close(a, b, listener)
  end)

  it("looks names up, and tries every address", function()
    local listener = assert(net.listen("localhost:0"))
    local port = listener:addr():match ":(%d+)$"
    local a = assert(net.connect("localhost:" .. port))
    local b = assert(listener:accept(30))
    a:write("x")
    assert.equal("x", b:read())
    close(a, b)
    a = assert(net.connect(":" .. port))
    b = assert(listener:accept(30))
    close(a, b, listener)
  end)

  it("says so when there is no such host", function()
    local conn, msg, code = net.connect("no-such-host.invalid:80", {timeout = 50})
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
    local b = assert(listener:accept(30))
    assert.is_truthy(a:peername():match "^%[::1%]:%d+$")
    close(a, b, listener)
  end)

  it("raises on what is no address or option", function()
    for _, bad in ipairs{"", "80", "host", "::1:80", "[::1]", "a b:1", "x:99999"} do
      local err = H.raises(function() net.connect(bad) end)
      assert.is_truthy(tostring(err):find("_spec.lua:", 1, true), tostring(err))
      assert.is_false(pcall(net.listen, bad))
    end
    assert.is_false(pcall(net.connect, nil))
    assert.is_false(pcall(net.connect, "127.0.0.1:1", {timout = 1}))
    assert.is_false(pcall(net.listen, ANY, {backlog = "x"}))
    assert.is_false(pcall(net.serve, ANY, {}))
    assert.is_false(pcall(net.serve, ANY, {on_data = 1}))
    assert.is_false(pcall(net.serve, ANY, print, {shards = rl.shards() + 1}))
    assert.is_false(pcall(net.serve, ANY, print, {max_conections = 2}))
  end)

  it("leaves nothing when cancelled at any moment", function()
    local listener = assert(net.listen(ANY))
    local addr = listener:addr():gsub("127.0.0.1", "localhost")
    for i = 1, 20 do
      local task = rl.go(function()
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
    local peer = assert(listener:accept(30))
    close(conn, peer, silent, listener)
    for _, filler in pairs(fillers) do
      close(filler)
    end
  end)

  it("times out", function()
    local silent = assert(net.listen(ANY, {backlog = 1}))
    local fillers, msg, code = {}, nil, nil
    for i = 1, 4 do
      fillers[i], msg, code = net.connect(silent:addr(), {timeout = 0.5})
    end
    assert.equal("ETIMEDOUT: timed out", msg)
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
      tasks[i] = rl.go(function()
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
  end, {preempt = false}) -- they share a counter

  it("says when an address is in use", function()
    local listener = assert(net.listen(ANY))
    assert.equal("EADDRINUSE", select(3, net.listen(listener:addr())))
    close(listener)
  end)
end)
