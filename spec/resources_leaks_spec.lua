-- SPDX-License-Identifier: MIT
local rl = require "ringlet"
local H = require "spec.helper"
local P = require "spec.resource_pool"

local new_pool, finish = P.new, P.finish

H.sim("leaks of a resource pool", function(it)
  it("who has had a resource for too long: once, with its stack then, and now", function()
    local told = {}
    local pool, seen = new_pool{leak_after = 10, on_leak = function(event, text)
      told[#told + 1] = event
      event.text, event.at = text, rl.now()
    end}
    local t0 = rl.now()
    local function borrow()
      local r = pool:acquire()
      return r
    end
    local task = rl.go(function()
      local r = borrow()
      rl.sleep(9)
      local other = borrow() -- in time
      rl.sleep(9.99)
      pool:release(other)
      rl.sleep(50)
      pool:release(r)
    end)
    rl.sleep(9.99)
    assert.equal(0, #told)
    rl.sleep(0.01 + H.TICK)
    assert.equal(1, #told)
    task:join()
    rl.sleep(100)
    assert.equal(1, #told)
    local event = told[1]
    assert.near(10, event.at - t0, H.TICK)
    assert.near(10, event.seconds, H.TICK)
    assert.same({{1}, task, 1}, {event.resource, event.task, pool:stats().leaks})
    assert.is_truthy(event.traceback:find("leaks_spec.lua:%d+: in .-borrow"), event.traceback)
    assert.is_nil(event.traceback:find("ringlet/resources", 1, true))
    assert.is_truthy(event.where:find("resources_leaks_spec.lua", 1, true))
    assert.is_truthy(event.text:find("has been borrowed for 10.0", 1, true), event.text)
    finish(pool, seen)
  end)

  it("that of one who had to wait, too; told again for the next borrowing", function()
    local told = {}
    local pool, seen = new_pool{leak_after = 1, max = 1, on_leak = function(event)
      told[#told + 1] = event.task
      if #told == 2 then error("x") end -- goes to stderr, and no further
    end}
    local stderr = io.stderr
    io.stderr = {write = function() end} -- luacheck: ignore 122
    local a = rl.go(function()
      local r = pool:acquire()
      rl.sleep(2)
      pool:release(r)
    end)
    local b = rl.go(function()
      local r = pool:acquire()
      rl.sleep(2)
      pool:release(r)
    end)
    b:join()
    io.stderr = stderr -- luacheck: ignore 122
    assert.same({a, b}, told)
    finish(pool, seen)
  end)

  it("without on_leak, to stderr", function()
    local out = H.script[[
      rl.run(function()
        local pool = rl.resources{open = function() return {} end, leak_after = 1, name = "db"}
        pool:acquire()
        rl.sleep(5)
      end, {backend = "sim"})
    ]]
    assert.is_truthy(out:find("ringlet: ringlet.resources: db, 1 of 10 open, 0 idle, 0 waiting: a"
      .. " resource has been borrowed for 1.", 1, true), out)
  end)
end)
