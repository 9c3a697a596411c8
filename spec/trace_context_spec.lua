-- SPDX-License-Identifier: MIT
-- Trace context, sentence by sentence of the W3C recommendation (level 1).
local H = require "spec.helper"
local context = require "ringlet.trace_context"

local T, S = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"

local function parent(version, trace_id, span_id, flags, rest)
  return ("%s-%s-%s-%s%s"):format(version or "00", trace_id or T, span_id or S, flags or "01",
    rest or "")
end

local function takes(text, state)
  return context.parse(text, state) ~= nil
end

describe("a traceparent", function()
  it("has ids and a flag", function()
    assert.same({trace_id = T, span_id = S, sampled = true}, context.parse(parent()))
    assert.is_false(context.parse(parent(nil, nil, nil, "00")).sampled)
    assert.is_false(context.parse(parent(nil, nil, nil, "fe")).sampled)
    assert.is_true(context.parse(parent(nil, nil, nil, "ff")).sampled)
  end)

  it("is strict", function()
    for _, text in ipairs{
      "", "00", parent():sub(1, -2), parent() .. "0", parent() .. "-", parent() .. "-00",
      " " .. parent(), parent() .. " ", parent():upper(), parent(nil, T:upper()),
      parent(nil, nil, S:upper()), parent(nil, nil, nil, "0A"), parent(nil, nil, nil, "0g"),
      parent(nil, ("0"):rep(32)), parent(nil, nil, ("0"):rep(16)), parent(nil, T:sub(2)),
      parent(nil, T .. "0"), parent(nil, nil, S:sub(2)), parent(nil, nil, S .. "0"),
      parent "ff", parent "0", parent "000", parent "0g", parent(nil, ("g"):rep(32)),
      parent():gsub("-", "_"), parent():gsub("-", ""), parent() .. "," .. parent(),
      "00-" .. T .. "-" .. S, parent(nil, nil, nil, ""), parent(nil, nil, nil, "1"),
    } do
      assert.is_false(takes(text), text)
    end
    assert.is_nil(context.parse(nil))
  end)

  it("of a later version may have more behind it", function()
    assert.is_true(takes(parent "01"))
    assert.is_true(takes(parent("cc", nil, nil, nil, "-what-the-future-will-be-like")))
    assert.is_true(takes(parent("cc", nil, nil, nil, "-")))
    assert.is_false(takes(parent("cc", nil, nil, nil, ".what")))
    assert.is_false(takes(parent("cc", nil, nil, "010")))
  end)
end)

describe("a tracestate", function()
  local function state(text)
    return context.parse(parent(), text).state
  end

  it("is handed on", function()
    assert.equal("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE",
      state "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE")
    assert.equal("a=1,b=2", state " a=1 ,\t, b=2\t,")
    assert.equal("a= x y", state "a= x y ")
    assert.equal("0tenant@sys=v", state "0tenant@sys=v")
    assert.equal("a_-*/9=~!", state "a_-*/9=~!")
    assert.is_nil(state "")
    assert.is_nil(state " , ")
    assert.is_nil(context.parse(parent(), nil).state)
  end)

  it("that is wrong goes alone", function()
    for _, text in ipairs{
      "a", "=1", "A=1", "1a=1", "a =1", "a=1,a=2", "a=b=c", "a=", "a=\1", "a=\127", "a=\195\164",
      "a@=1", "@a=1", "a@1=1", "a@b@c=1", "ab.c=1", ("a"):rep(257) .. "=1",
      "a=" .. ("x"):rep(257), ("a"):rep(242) .. "@b=1", "a@" .. ("b"):rep(15) .. "=1",
    } do
      local c = context.parse(parent(), text)
      assert.equal(T, c.trace_id)
      assert.is_nil(c.state, text)
    end
    assert.is_truthy(state(("a"):rep(255) .. "=1"))
    assert.is_truthy(state("a=" .. ("x"):rep(256)))
    assert.is_truthy(state(("a"):rep(241) .. "@" .. ("b"):rep(14) .. "=1"))
  end)

  it("has at most 32 members", function()
    local list = {}
    for i = 1, 32 do list[i] = "k" .. i .. "=v" end
    assert.equal(table.concat(list, ","), state(table.concat(list, ",")))
    list[33] = "k33=v"
    assert.is_nil(state(table.concat(list, ",")))
  end)

  it("is shortened to what must go on, long members first", function()
    local long = "long=" .. ("x"):rep(200)
    local list = {"first=1", long}
    for i = 1, 25 do list[#list + 1] = ("k%02d=%s"):format(i, ("v"):rep(14)) end
    local text = state(table.concat(list, ","))
    assert.is_true(#text <= 512)
    assert.is_falsy(text:find("long", 1, true))
    assert.equal("first=1,k01=", text:sub(1, 12))
  end)
end)

describe("a context", function()
  it("is written as it is read", function()
    local text, state = context.format(context.parse(parent(), "a=1"))
    assert.equal(parent(), text)
    assert.equal("a=1", state)
    assert.equal(parent(nil, nil, nil, "00"), (context.format(context.parse(
      parent("cc", nil, nil, "00", "-more")))))
  end)

  it("is read from no random bytes, and harms nobody", function()
    local seed, taken = 5, 0
    local function draw(n)
      seed = (seed * 16807) % 2147483647
      return seed % n + 1
    end
    for _ = 1, H.rounds(20000, 500) do
      local text = parent()
      for _ = 1, draw(3) do
        local at = draw(#text)
        text = text:sub(1, at - 1) .. string.char(draw(256) - 1) .. text:sub(at + 1)
      end
      local c = context.parse(text, text)
      if c then
        taken = taken + 1
        assert.is_truthy((context.format(c)):find "^00%-%x+%-%x+%-0[01]$")
        assert.equal(55, #context.format(c))
      end
    end
    assert.is_true(taken > 0)
  end)

  it("has fresh ids", function()
    H.run(function()
      local seen = {}
      for _ = 1, 1000 do
        local t, s = context.trace_id(), context.span_id()
        assert.is_truthy(t:find("^%x+$") and #t == 32 and s:find("^%x+$") and #s == 16)
        assert.is_nil(seen[t] or seen[s])
        seen[t], seen[s] = true, true
      end
    end)
  end)
end)
