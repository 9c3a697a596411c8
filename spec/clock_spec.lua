-- SPDX-License-Identifier: MIT
-- The clock for what asks for it with every call.
local H = require "spec.helper"
local clock = require "ringlet.clock"
local rl = require "ringlet"

H.both("the clock", function(it)
  it("never runs backwards, nor ahead of rl.now", function()
    local last = clock.now()
    for _ = 1, 1000 do
      local now = clock.now()
      assert.is_true(now >= last and now <= rl.now())
      last = now
    end
  end)

  it("has moved on after a sleep, by as much", function()
    local before = clock.now()
    rl.sleep(0.01)
    assert.is_true(clock.now() - before >= 0.01)
    assert.is_true(clock.now() <= rl.now())
  end)
end)

H.on("uring", "the clock", function(it)
  it("moves for a task that does nothing but ask", function()
    local first, asked = clock.now(), 0
    while clock.now() == first and asked < 1e7 do
      asked = asked + 1
    end
    assert.is_true(clock.now() > first)
  end)
end)

describe("the clock", function()
  it("is that of rl.now outside of a run", function()
    for _ = 1, 2 do
      local before, now = rl.now(), clock.now()
      assert.is_true(before <= now and now <= rl.now())
      H.run(function() rl.sleep(1000) end)
    end
  end)
end)
