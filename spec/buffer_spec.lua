-- SPDX-License-Identifier: MIT
local H = require "spec.helper"
local buffer = require "ringlet.buffer"

describe("ringlet.buffer", function()
  it("gives bytes, parts and lengths as strings do", function()
    local text = "hello, world"
    local b = buffer.new(text)
    assert.equal(#text, #b)
    assert.equal(text, tostring(b))
    assert.equal(text, b:tostring())
    for _, range in ipairs{{1, 5}, {8}, {-5, -1}, {0, 3}, {5, 3}, {-100, 100}, {13, 14}, {}} do
      assert.equal(text:sub(range[1] or 1, range[2] or -1), b:sub(range[1], range[2]))
      assert.equal(text:sub(range[1] or 1, range[2] or -1), tostring(b:slice(range[1], range[2])))
    end
    for i = -13, 13 do
      assert.equal(text:byte(i), (b:byte(i)))
    end
    assert.same({text:byte(2, 5)}, {b:byte(2, 5)})
    assert.same({text:byte()}, {b:byte()})
  end)

  it("finds plain bytes", function()
    local text = "a.b.\0c.b"
    local b = buffer.new(text)
    for _, what in ipairs{".", "b.", ".b", "\0", "zz", text, text .. "x", ""} do
      for init = -9, 10 do
        local want = {text:find(what, init, true)}
        if init <= #text then
          assert.same(want, {b:find(what, init)})
        end
      end
    end
  end)

  it("reads numbers of both byte orders", function()
    local b = buffer.new("\1\2\3\255")
    assert.equal(1, b:u8())
    assert.equal(255, b:u8(-1))
    assert.equal(0x0102, b:u16be())
    assert.equal(0x0201, b:u16le(1))
    assert.equal(0x03ff, b:u16be(3))
    assert.equal(0x010203ff, b:u32be())
    assert.equal(0xff030201, b:u32le())
    H.raises_text("outside the slice", b.u16be, b, 4)
    H.raises_text("outside the slice", b.u8, b, 5)
    H.raises_text("outside the slice", b.u32be, b, 2)
  end)

  it("reads decimal integers", function()
    local b = buffer.new("12 -7x 999999999999999 1234567890123456")
    assert.same({12, 3}, {b:number()})
    assert.same({-7, 6}, {b:number(4)})
    assert.is_nil(b:number(6))
    assert.same({999999999999999, 23}, {b:number(8)})
    assert.is_nil(b:number(24))
    assert.is_nil(b:number(100))
    assert.is_nil(buffer.new("-"):number())
    assert.is_nil(buffer.new(""):number())
  end)

  it("compares", function()
    local b = buffer.new("GET / HTTP/1.1")
    assert.is_true(b:starts("GET "))
    assert.is_false(b:starts("GET / HTTP/1.1 "))
    assert.is_true(b:starts(""))
    assert.is_true(b:slice(1, 3):equals("GET"))
    assert.is_false(b:equals("GET"))
  end)

  it("is over after release, and its parts are not", function()
    local b = buffer.new("abc")
    local part, copy = b:slice(2), b:retain()
    b:release()
    b:release()
    assert.is_false(b:is_valid())
    H.raises_text("no longer valid", b.tostring, b)
    assert.equal("bc", tostring(part))
    assert.equal("abc", tostring(copy))
    assert.is_true(buffer.is(b))
    assert.is_false(buffer.is("abc"))
    assert.is_false(buffer.is(io.stdout))
  end)

  it("raises on what is no slice", function()
    local b = buffer.new("x")
    for _, bad in ipairs{"x", 1, {}, io.stdout} do
      assert.is_false(pcall(b.sub, bad, 1))
      assert.is_false(pcall(b.release, bad))
    end
    assert.is_false(pcall(buffer.new))
    assert.is_false(pcall(buffer.new, {}))
  end)

  it("gives its memory back when collected", function()
    local before = H.kilobytes()
    for _ = 1, H.rounds(20000) do
      buffer.new(("x"):rep(1000)):slice(2, 10)
    end
    assert.is_true(H.kilobytes() < before + 500)
  end)
end)
