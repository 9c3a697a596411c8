-- SPDX-License-Identifier: MIT
-- Random programs against a reference (see docs/design/model-testing.md), and what they found in
-- lua/ringlet/sync.lua: one behaviour that several of its objects share.
local H = require "spec.helper"
local rl = require "ringlet"
local t = require "ringlet.test"

-- Whoever waits in vain has left at that instant, not when its task runs again.
describe("a waiter that left in vain", function()
  it("does not count for a barrier", function()
    t.seeds(20, function()
      local barrier = rl.barrier(2)
      local first = rl.go(function() return barrier:wait(0.01) end)
      local second = rl.go(function()
        rl.sleep(0.01)
        return barrier:wait(1)
      end)
      local _, _, _, code = first:join()
      assert.equal("ETIMEDOUT", code)
      assert.is_nil(select(2, second:join()))
    end)
  end)

  H.sim("when it is cancelled", function(it_)
    it_("keeps no reader out", function()
      local rw = rl.rwmutex()
      rw:rlock()
      local writer = rl.go(function() rw:lock() end)
      rl.yield()
      writer:cancel()
      assert.is_true(rw:try_rlock())
      rw:runlock()
      rw:runlock()
      assert.is_true(rw:try_lock())
      rw:unlock()
    end)

    it_("leaves its tokens to others", function()
      local semaphore = rl.semaphore(2)
      semaphore:acquire(1)
      local waiter = rl.go(function() semaphore:acquire(2) end)
      rl.yield()
      waiter:cancel()
      assert.is_true(semaphore:try_acquire(1))
      semaphore:release(2)
    end)
  end)
end)

H.sim("a waitgroup that others took too much from", function(it_)
  it_("tells on_error and does not end the run", function()
    local told
    rl.on_error(function(err) told = tostring(err) end)
    local group = rl.waitgroup()
    local task = group:go(function() rl.sleep(0.01) return "value" end)
    group:done()
    assert.same({true, "value"}, {task:join()})
    rl.on_error(nil)
    assert.is_truthy(told:find("negative waitgroup counter", 1, true))
  end)
end)

-- `make model` plays many more.
describe("random programs", function()
  local seeds = require "spec.model.seeds"
  local only = tonumber(os.getenv "RINGLET_SEED" or "")

  it("do what the reference says, and the same when they are played again", function()
    for seed = only or 1, only or H.rounds(60, 3) do
      local played, why = seeds.try(seed)
      assert(played, ("seed %d: %s"):format(seed, tostring(why)))
    end
  end)
end)
