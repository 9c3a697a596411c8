-- SPDX-License-Identifier: MIT
-- The bytes of Protocol Buffers: those of its documentation, and at the edges of what numbers do.
local protobuf = require "ringlet.protobuf"

local function hex(w)
  return (w:bytes():gsub(".", function(c) return ("%02x "):format(c:byte()) end):gsub(" $", ""))
end

local function writer()
  return protobuf.writer()
end

describe("protobuf", function()
  it("writes the examples of the documentation", function()
    assert.equal("08 96 01", hex(writer():int(1, 150)))
    assert.equal("12 07 74 65 73 74 69 6e 67", hex(writer():string(2, "testing")))
    assert.equal("1a 03 08 96 01", hex(writer():message(3, writer():int(1, 150))))
    assert.equal("32 06 03 8e 02 9e a7 05", hex(writer():packed(6, {3, 270, 86942})))
  end)

  it("writes varints at their edges", function()
    for n, bytes in pairs {
      [0] = "00", [1] = "01", [127] = "7f", [128] = "80 01", [16383] = "ff 7f",
      [16384] = "80 80 01", [2 ^ 32] = "80 80 80 80 10", [2 ^ 53] = "80 80 80 80 80 80 80 10",
      [-1] = "ff ff ff ff ff ff ff ff ff 01", [-150] = "ea fe ff ff ff ff ff ff ff 01",
      [-2 ^ 53] = "80 80 80 80 80 80 80 f0 ff 01",
    } do
      assert.equal("08 " .. bytes, hex(writer():int(1, n)))
      assert.equal(("0a %02x %s"):format(#bytes:gsub(" ?%x%x", "x"), bytes),
        hex(writer():packed(1, {n})))
    end
    local max, min = rawget(math, "maxinteger"), rawget(math, "mininteger")
    if max then
      assert.equal("08 ff ff ff ff ff ff ff ff 7f", hex(writer():int(1, max)))
      assert.equal("08 80 80 80 80 80 80 80 80 80 01", hex(writer():int(1, min)))
    end
  end)

  it("writes numbers of fields beyond 15", function()
    assert.equal("80 01 05", hex(writer():int(16, 5)))
  end)

  it("writes nothing for an empty list", function()
    assert.equal("", hex(writer():packed(1, {})))
  end)

  it("writes fixed64 and doubles as IEEE 754 has them", function()
    assert.equal("09 15 cd 5b 07 00 00 00 00", hex(writer():fixed64(1, 123456789)))
    for _, case in ipairs {
      {0, "00 00 00 00 00 00 00 00"}, {1, "00 00 00 00 00 00 f0 3f"},
      {-2, "00 00 00 00 00 00 00 c0"}, {0.1, "9a 99 99 99 99 99 b9 3f"},
      {math.pi, "18 2d 44 54 fb 21 09 40"}, {1 / 0, "00 00 00 00 00 00 f0 7f"},
      {-1 / 0, "00 00 00 00 00 00 f0 ff"}, {5e-324, "01 00 00 00 00 00 00 00"},
      {2.2250738585072014e-308, "00 00 00 00 00 00 10 00"},
      {1.7976931348623157e308, "ff ff ff ff ff ff ef 7f"}, {0 / 0, "00 00 00 00 00 00 f8 7f"},
      {-1 / (1 / 0), "00 00 00 00 00 00 00 80"},
    } do
      assert.equal("09 " .. case[2], hex(writer():double(1, case[1])))
    end
  end)

  it("writes fields in the order in which they are added", function()
    local w = writer():int(2, 1):string(1, "")
    assert.equal("10 01 0a 00", hex(w))
  end)
end)
