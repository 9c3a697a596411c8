-- SPDX-License-Identifier: MIT
-- The transitions in the life of a logical shard.
local H = require "spec.helper"
local states = require "ringlet.group_states"

local ALL = {"created", "pending", "running", "paused", "terminated", "failed"}

local LEGAL = {
  created = "pending terminated", pending = "running failed terminated",
  running = "paused failed terminated", paused = "running failed terminated",
  failed = "pending terminated", terminated = "",
}

describe("the states of a logical shard", function()
  it("follow each other as the table says", function()
    for _, from in ipairs(ALL) do
      for _, to in ipairs(ALL) do
        local w = {index = 3, state = from}
        local legal = (" " .. LEGAL[from] .. " "):find(" " .. to .. " ", 1, true) ~= nil
        assert.equal(legal, states.may(from, to))
        if legal then
          states.move(w, to)
          assert.equal(to, w.state)
        else
          assert.equal(("logical shard 3 is %s: it cannot become %s"):format(from, to),
            H.raises(states.move, w, to))
          assert.equal(from, w.state)
        end
      end
    end
  end)
end)
