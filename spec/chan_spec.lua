-- SPDX-License-Identifier: MIT
local rl = require "ringlet"
local H = require "spec.helper"
local cases = require "spec.chan_cases"

cases("channel", rl)

H.both("channel", function(it)
  it("carries every kind of value, and the value itself", function()
    local ch = rl.chan(1)
    local values = {
      false, true, 0, -1.5, "", ("x"):rep(1000), {}, print, coroutine.create(print), io.stdout,
    }
    for i = 1, 10 do
      ch:send(values[i])
      assert.is_true(rawequal(values[i], (ch:recv())))
    end
  end)

  it("carries every kind of value unbuffered", function()
    local ch = rl.chan()
    local values = {false, true, 0, "", {}, print}
    for i = 1, 6 do
      rl.go(function() ch:send(values[i]) end)
      assert.is_true(rawequal(values[i], (ch:recv())))
      local task = rl.go(function() return ch:recv() end)
      rl.yield()
      ch:send(values[i])
      assert.is_true(rawequal(values[i], (select(2, task:join()))))
    end
  end)
end)
