-- SPDX-License-Identifier: MIT
-- Tail sampling: errors always, slow ones when asked, of the others the share that was asked for.
local H = require "spec.helper"
local context = require "ringlet.trace_context"
local sampler = require "ringlet.trace_sampler"

local function keeps(s, fields)
  local trace = {trace_id = context.trace_id(), failed = false, seconds = 0.01}
  for k, v in pairs(fields or {}) do trace[k] = v end
  return s:keeps(trace)
end

H.sim("a sampler", function(it)
  it("keeps every trace with an error", function()
    local s = sampler.new()
    for _ = 1, 5000 do
      assert.is_true(keeps(s, {failed = true}))
    end
    assert.same({kept = 5000, dropped = 0}, s:stats())
  end)

  -- Five standard deviations of a binomial distribution: one run in a million is outside.
  local function is_binomial(share, n, seen)
    local sigma = math.sqrt(n * share * (1 - share))
    return math.abs(seen - n * share) <= 5 * sigma + 1
  end

  it("keeps of the healthy the share that it is told", function()
    for _, share in ipairs{0.001, 0.01, 0.3, 0.9} do
      local s = sampler.new{healthy = share}
      local n, kept = H.rounds(20000, 2000), 0
      for _ = 1, n do
        kept = kept + (keeps(s) and 1 or 0)
      end
      assert.is_true(is_binomial(share, n, kept), ("%d of %d at %g"):format(kept, n, share))
    end
  end)

  it("keeps one in a thousand unless it is told", function()
    local s, n, kept = sampler.new(), H.rounds(100000, 2000), 0
    for _ = 1, n do
      kept = kept + (keeps(s) and 1 or 0)
    end
    assert.is_true(is_binomial(0.001, n, kept), kept .. " of " .. n)
  end)

  it("keeps all, or none", function()
    for _ = 1, 1000 do
      assert.is_true(keeps(sampler.new{healthy = 1}))
      assert.is_false(keeps(sampler.new{healthy = 0}))
      assert.is_false(keeps(sampler.new{healthy = 0, errors = 0}, {failed = true}))
    end
  end)

  it("keeps what was slow", function()
    local s = sampler.new{healthy = 0, slow = 0.5}
    assert.is_true(keeps(s, {seconds = 0.5}))
    assert.is_false(keeps(s, {seconds = 0.4999}))
  end)

  it("decides by the trace's id, alike everywhere", function()
    local a, b, less = sampler.new{healthy = 0.5}, sampler.new{healthy = 0.5},
      sampler.new{healthy = 0.1}
    for _ = 1, 2000 do
      local trace = {trace_id = context.trace_id(), failed = false, seconds = 0}
      local kept = a:keeps(trace)
      assert.equal(kept, b:keeps(trace))
      assert.is_true(kept or not less:keeps(trace))
    end
  end)

  it("checks its options", function()
    H.raises_text("unknown option", sampler.new, {share = 1})
    H.raises_text("option 'healthy'", sampler.new, {healthy = 1.1})
    H.raises_text("option 'errors'", sampler.new, {errors = -1})
    H.raises_text("option 'slow'", sampler.new, {slow = -1})
  end)
end)
