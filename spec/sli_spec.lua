-- SPDX-License-Identifier: MIT
-- The share of the tasks that do not block: exact, at exact times.
local H = require "spec.helper"
local metrics = require "ringlet.metrics"
local rl = require "ringlet"

H.sim("nonblocking", function(it)
  it("counts tasks that wait for others, from the given time on", function()
    local gate, ch = rl.event(), rl.chan()
    for _ = 1, 3 do
      rl.go(gate.wait, gate)
    end
    rl.go(ch.recv, ch)
    local sleeper = rl.go(rl.sleep, 5)
    rl.daemon(gate.wait, gate)
    rl.yield()
    assert.same({total = 6, nonblocking = 6, ratio = 1, level = "ok", blocked = {}},
      metrics.nonblocking())
    rl.sleep(0.99)
    assert.equal(6, metrics.nonblocking().nonblocking)
    rl.sleep(0.02)
    assert.same({total = 6, nonblocking = 2, ratio = 2 / 6, level = "break",
      blocked = {["event wait"] = 3, ["chan receive"] = 1}}, metrics.nonblocking())
    assert.equal(1, metrics.nonblocking{after = 2}.ratio)
    gate:set()
    rl.yield()
    rl.yield()
    assert.same({total = 3, nonblocking = 2, ratio = 2 / 3, level = "break",
      blocked = {["chan receive"] = 1}}, metrics.nonblocking())
    ch:send(1)
    sleeper:join()
  end)

  it("has its levels at 85 and 70 %", function()
    local gate = rl.event()
    for level, blocked in pairs {ok = 15, alert = 30, ["break"] = 31} do
      for i = 1, 99 do
        if i <= blocked then rl.go(gate.wait, gate) else rl.go(rl.sleep, 3) end
      end
      rl.sleep(1.1)
      local sli = metrics.nonblocking()
      assert.equal(level, sli.level)
      assert.equal((100 - blocked) / 100, sli.ratio)
      rl.sleep(3)
      gate:set()
      rl.yield()
      rl.yield()
      gate:clear()
    end
    H.raises_text("option 'after'", metrics.nonblocking, {after = -1})
  end)
end)
