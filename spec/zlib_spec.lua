-- SPDX-License-Identifier: MIT
-- The optional rock ringlet-zlib.
local H = require "spec.helper"
local ok, zlib = pcall(require, "ringlet.zlib")

local function random_bytes(n, most)
  local out = {}
  for i = 1, n do out[i] = string.char(math.random(0, most)) end
  return table.concat(out)
end

describe("zlib", function()
  if not ok then
    return pending("ringlet-zlib is not built: zlib.h is missing")
  end

  it("gives back what it was given, in every format, level and window", function()
    local text = ("the quick brown fox "):rep(500) .. random_bytes(3000, 255)
    for _, format in ipairs{"zlib", "gzip", "raw"} do
      for _, level in ipairs{0, 1, 6, 9} do
        for _, window in ipairs{9, 12, 15} do
          local packed = zlib.compress(text, {format = format, level = level, window = window})
          assert.equal(text, zlib.decompress(packed, #text, {format = format}))
          if format ~= "raw" then
            assert.equal(text, zlib.decompress(packed, nil, {format = "auto"}))
          end
        end
      end
    end
    assert.equal("", zlib.decompress(zlib.compress ""))
  end)

  it("works in pieces of any length", function()
    math.randomseed(7)
    for round = 1, H.rounds(200, 20) do
      local text = random_bytes(math.random(0, 5000), round % 2 == 0 and 3 or 255)
      local deflater, inflater = zlib.deflater(), zlib.inflater()
      local packed, out, at = {}, {}, 1
      while at <= #text do
        local n = math.random(1, 1000)
        local how = math.random(1, 2) == 1 and deflater.write or deflater.flush
        packed[#packed + 1] = how(deflater, text:sub(at, at + n - 1))
        at = at + n
      end
      local stream = table.concat(packed) .. deflater:finish()
      at = 1
      while at <= #stream do
        local n = math.random(1, 300)
        out[#out + 1] = inflater:write(stream:sub(at, at + n - 1))
        at = at + n
      end
      assert.equal(text, table.concat(out), "seed 7, round " .. round)
      assert.is_true(inflater:finished())
      assert.equal(#stream, inflater:stats().bytes_in)
      assert.equal(#text, inflater:stats().bytes_out)
      assert.same({bytes_in = #text, bytes_out = #stream}, deflater:stats())
    end
  end)

  it("is bounded to the byte", function()
    local packed = zlib.compress(("x"):rep(10000))
    assert.equal(10000, #zlib.decompress(packed, 10000))
    local _, msg, code = zlib.decompress(packed, 9999)
    assert.equal("EMSGSIZE", code)
    assert.equal("EMSGSIZE: more than 9999 bytes", msg)
    assert.equal("", zlib.decompress(zlib.compress "", 0))
    assert.equal("EMSGSIZE", select(3, zlib.decompress(zlib.compress "x", 0)))
  end)

  it("takes no more memory than the bound, whatever it would become", function()
    local bomb = zlib.compress(("\0"):rep(64 * 1024 * 1024), {level = 9})
    assert.is_true(#bomb < 70000)
    local function peak()
      local f = io.open "/proc/self/status"
      local text = f:read "*a"
      f:close()
      return tonumber(text:match "VmHWM:%s*(%d+)")
    end
    H.collect()
    local clear = io.open("/proc/self/clear_refs", "w")
    if not clear or not clear:write "5" or not clear:close() then
      return pending "the peak of memory cannot be reset here"
    end
    local before = peak()
    assert.equal("EMSGSIZE", select(3, zlib.decompress(bomb, 1000000)))
    assert.is_true(peak() - before < 4000, peak() - before .. " KiB")
  end)

  it("tells what it cannot read", function()
    local packed = zlib.compress "hello"
    assert.equal("EPROTO", select(3, zlib.decompress "no zlib"))
    assert.equal("EPROTO", select(3, zlib.decompress(packed:sub(1, -2))))
    assert.equal("EPROTO", select(3, zlib.decompress(packed .. "x")))
    assert.equal("EPROTO", select(3, zlib.decompress(packed:sub(1, -2) .. "x")))
    assert.equal("EPROTO", select(3, zlib.decompress(packed, nil, {format = "gzip"})))
  end)

  it("stops at the end of a stream", function()
    local inflater = zlib.inflater()
    assert.equal("one", inflater:write(zlib.compress "one" .. "more"))
    assert.equal("", inflater:write "more")
    inflater:reset()
    assert.is_false(inflater:finished())
    assert.equal("two", inflater:write(zlib.compress "two"))
  end)

  it("goes on behind messages, with the same window", function()
    local deflater = zlib.deflater{format = "raw"}
    local inflater = zlib.inflater{format = "raw"}
    local first = deflater:flush("to be or not to be"):sub(1, -5)
    local second = deflater:flush("to be or not to be"):sub(1, -5)
    assert.is_true(#second < #first)
    assert.equal("to be or not to be", inflater:message(first))
    assert.equal("to be or not to be", inflater:message(second))
    assert.equal("EPROTO", select(3, zlib.inflater{format = "raw"}:message(second)))
  end)

  it("closes, and raises on what is closed or finished", function()
    local deflater, inflater = zlib.deflater(), zlib.inflater()
    assert.equal("ringlet.deflater: 0 bytes in, 0 out", tostring(deflater))
    assert.equal("ringlet.inflater: 0 bytes in, 0 out", tostring(inflater))
    deflater:finish()
    H.raises_text("finished", deflater.write, deflater, "x")
    deflater:reset()
    assert.is_true(#deflater:finish "x" > 0)
    for _, stream in ipairs{deflater, inflater} do
      assert.is_true(stream:close())
      assert.is_true(stream:close())
      H.raises_text("closed", stream.write, stream, "x")
      H.raises_text("closed", stream.reset, stream)
    end
  end)

  it("checks its options", function()
    H.raises_text("format", zlib.deflater, {format = "zip"})
    H.raises_text("auto", zlib.deflater, {format = "auto"})
    H.raises_text("window", zlib.deflater, {window = 8})
    H.raises_text("level", zlib.deflater, {level = 10})
    H.raises_text("unknown option", zlib.inflater, {level = 1})
    H.raises_text("window", zlib.inflater, {window = 16})
    H.raises_text("string expected", zlib.compress, 1)
    H.raises_text("max", zlib.decompress, "", -1)
    H.raises_text("max", zlib.decompress, "", "1")
  end)
end)
