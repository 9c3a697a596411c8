-- SPDX-License-Identifier: MIT
local net = require "ringlet.net"
local rl = require "ringlet"
local shared = require "ringlet.shared"
local H = require "spec.helper"

local HERE = "spec/shared_buffer_spec.lua:"

describe("a shared buffer", function()
  it("has the bytes of what it was made of", function()
    local hello = shared.buffer("hello")
    assert.equal("hello", hello:tostring())
    assert.equal("hello", tostring(hello))
    assert.equal(5, #hello)
    assert.equal("hello, hello\0!", shared.buffer(hello, ", ", hello, "\0!"):tostring())
    assert.equal(0, #shared.buffer())
    assert.equal("", shared.buffer(""):tostring())
  end)

  it("has positions as strings have", function()
    local s = "0123456789"
    local b = shared.buffer(s)
    for i = -12, 12 do
      for j = -12, 12 do
        assert.equal(s:sub(i, j), b:sub(i, j))
        assert.equal(s:sub(i, j), b:slice(i, j):tostring())
      end
      assert.equal(s:sub(i), b:sub(i))
    end
    assert.equal(s, b:sub())
  end)

  it("is equal to one with the same bytes", function()
    local a, b = shared.buffer("ab"), shared.buffer("xaby")
    assert.is_true(a == b:slice(2, 3))
    assert.is_false(a == b)
    assert.is_true(a:equals("ab"))
    assert.is_true(a:equals(b:slice(2, 3)))
    assert.is_false(a:equals("abc"))
  end)

  it("views keep the bytes alive", function()
    local view = shared.buffer(("x"):rep(1e6), "tail"):slice(-4):slice(2)
    H.collect()
    assert.equal("ail", view:tostring())
  end)

  it("tells misuse at the caller's line", function()
    local b = shared.buffer("x")
    for _, case in ipairs{
      {"strings and buffers expected, got a number", shared.buffer, "x", 1},
      {"strings and buffers expected, got a userdata", shared.buffer, shared.atomic()},
      {"a string or a buffer expected", b.equals, b, 1},
      {"the first position must be a whole number", b.sub, b, "x"},
      {"the last position must be a whole number", b.slice, b, 1, {}},
      {"buffer expected, got string", b.sub, "x", 1},
    } do
      local err = H.raises_text(case[1], function() case[2](case[3], case[4], case[5]) end)
      assert.equal(1, err:find(HERE, 1, true))
    end
  end)
end)

H.both("a buffer of several shards", function(it)
  it("travels as a handle, and its views with it", function()
    local b = shared.buffer(("0123456789"):rep(1000))
    local future = rl.spawn_on(2, function(whole, view)
      return whole:slice(11, 15), view, #whole, whole:slice(5, 9) == view
    end, b, b:slice(5, 9))
    local ok, part, view, len, equal = future:join()
    assert.is_true(ok)
    assert.equal("01234", part:tostring())
    assert.equal("45678", view:tostring())
    assert.equal(10000, len)
    assert.is_true(equal)
  end, {shards = 2})
end)

H.both("a buffer that is written to connections", function(it)
  it("arrives whole, among other values, also when its handles are gone", function()
    local listener = assert(net.listen("127.0.0.1:0"))
    local body = ("0123456789"):rep(30000)
    rl.go(function()
      local conn = assert(listener:accept())
      local b = shared.buffer(body)
      assert(conn:write("head ", b, 12, {b:slice(1, 3), b:slice(-2000)}))
      assert(conn:write(shared.buffer()))
      assert(conn:write(b:slice(2, 5)))
      b = nil -- luacheck: ignore
      H.collect()
      conn:close()
    end)
    local conn = assert(net.connect(listener:addr()))
    local got = conn:read_all(1e6)
    assert.is_true(got == "head " .. body .. "12" .. "012" .. body:sub(-2000) .. "1234")
    conn:close()
    listener:close()
  end)

  it("is kept for as long as a connection that is closed needs it", function()
    local listener = assert(net.listen("127.0.0.1:0"))
    rl.go(function()
      local conn = assert(listener:accept())
      conn:write(shared.buffer(("x"):rep(4e6)))
      conn:abort()
    end)
    local conn = assert(net.connect(listener:addr()))
    rl.sleep(0.01)
    H.collect()
    conn:close()
    listener:close()
  end)
end)
