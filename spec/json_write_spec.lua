-- SPDX-License-Identifier: MIT
-- JSON text: comes back as it was, and what has no text is refused.
local H = require "spec.helper"
local json = require "ringlet.json_write"
local read = require "ringlet.json_read".decode

local function random_value(depth)
  local kind = math.random(depth > 0 and 6 or 4)
  if kind == 1 then
    local bytes = {}
    for i = 1, math.random(0, 12) do
      bytes[i] = string.char(math.random(0, 127))
    end
    return table.concat(bytes)
  elseif kind == 2 then
    return math.random(-1000, 1000) * 10 ^ math.random(-20, 20)
  elseif kind == 3 then
    return math.random(2) == 1
  elseif kind == 4 then
    return math.random(-2 ^ 30, 2 ^ 30)
  end
  local t = {}
  for i = 1, math.random(0, 4) do
    t[kind == 5 and i or "k" .. i] = random_value(depth - 1)
  end
  return t
end

describe("JSON text", function()
  it("is what it should be", function()
    assert.equal('{"a":[1,2.5,true],"b":{},"c":[],"d":null}',
      json.text {a = {1, 2.5, true}, b = {}, c = json.list(), d = json.null})
    assert.equal('"\\"\\\\\\n\\t\\u0000\\u001f/\\u007fgr\195\188n\239\191\189"',
      json.text '"\\\n\t\0\31/\127gr\195\188n\255')
    for v, text in pairs {[0] = "0", [1e15] = "1e+15", [0.1] = "0.1", [2 ^ 53] = "9007199254740992",
      [-1.5e-7] = "-1.5e-07", [1 / 3] = "0.33333333333333331"} do
      assert.equal(tonumber(text), tonumber(json.text(v)))
      assert.equal(v, read(json.text(v)))
    end
  end)

  it("comes back as the value it was of", function()
    math.randomseed(3)
    for round = 1, H.rounds(20000, 200) do
      local v = random_value(3)
      assert.same(v, read(json.text(v)), "seed 3, round " .. round)
    end
  end)

  it("is not of what JSON has no text for", function()
    local round = {}
    round.a = round
    for _, v in ipairs {print, 0 / 0, math.huge, {[2] = 1}, {a = 1, [true] = 2}, round, {print}} do
      assert.is_false((pcall(json.text, v)))
    end
    assert.is_false((pcall(json.text)))
  end)

  it("is of anything, leniently", function()
    assert.equal('{"2":1,"a":[null,null,null,"function"],"true":{}}', json.lenient {
      a = {0 / 0, math.huge, -math.huge, print}, [2] = 1, [true] = {}})
    assert.equal("null", json.lenient(nil))
    local round = {}
    round[1] = round
    assert.equal(("["):rep(100) .. '"table"' .. ("]"):rep(100), json.lenient(round))
  end)

  it("gives up the turn between its parts, if that is wanted", function()
    local n = 0
    assert.equal('{"a":[1,2],"b":3}', json.lenient({a = {1, 2}, b = 3}, function() n = n + 1 end))
    assert.equal(4, n)
  end)
end)
