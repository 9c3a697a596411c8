-- SPDX-License-Identifier: MIT
-- What is said of a wrong option.
local H = require "spec.helper"
local options = require "ringlet.options"

local function said(fn, ...)
  return (tostring(H.raises(fn, ...)):gsub("^.-:%d+: ", ""))
end

describe("bounds", function()
  local function of(bound, v)
    return options.bounds({x = v}, {x = bound})
  end

  it("take what is within, and both ends", function()
    of({min = 0, max = 1}, 0)
    of({min = 0, max = 1}, 1)
    of({above = 0}, 1e-9)
    of({whole = true, min = 1}, 1)
    of({min = 0, infinite = true}, math.huge)
    of({min = 0, whole = true, infinite = true}, math.huge)
    of({"a", "b"}, "b")
    options.bounds({}, {x = {min = 0}})
  end)

  it("say what they want of a number", function()
    assert.equal("option 'x' must be a number from 0 to 1, not 1.5",
      said(of, {min = 0, max = 1}, 1.5))
    assert.equal("option 'x' must be a whole number of at least 1, not 0.5",
      said(of, {whole = true, min = 1}, 0.5))
    assert.equal("option 'x' must be a number more than 0, not -2", said(of, {above = 0}, -2))
    assert.equal("option 'x' must be a number of at least 0, not " .. math.huge,
      said(of, {min = 0}, math.huge))
    assert.truthy(said(of, {min = 0}, 0 / 0):find "^option 'x' must be a number of at least 0")
  end)

  it("list the names there are", function()
    assert.equal("option 'x' must be 'a' or 'b', not 'c'", said(of, {"a", "b"}, "c"))
  end)

  it("leave other types to the check of types", function()
    of({min = 0}, false)
    of({"a", "b"}, nil)
  end)
end)

describe("verdict", function()
  local verdict = require "ringlet.verdict"
  local cancel = require "ringlet.cancel"

  it("tells success, failure and neither", function()
    assert.is_true(verdict.of(true))
    assert.is_true(verdict.of(true, nil))
    assert.is_true(verdict.of(true, false, "x", "y"))
    assert.is_false(verdict.of(true, nil, "EX: x", "EX"))
    assert.is_false(verdict.of(false, "raised"))
    assert.is_nil(verdict.of(false, cancel.error("why")))
  end)
end)

describe("traced", function()
  local traced = require "ringlet.traced"

  it("gives results, or the error with the traceback of the raise", function()
    assert.same({n = 3, true, 1, nil}, H.pack(traced.call(function(...) return ... end, 1, nil)))
    local function culprit() error({code = 7}) end
    local ok, err, trace = traced.call(function() culprit() return 1 end)
    assert.is_false(ok)
    assert.equal(7, err.code)
    assert.truthy(trace:find "culprit" or trace:find "options_spec")
  end)
end)
