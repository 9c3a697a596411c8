-- SPDX-License-Identifier: MIT
-- What the core does for workers of pools: resting, rousing, a backup.
local H = require "spec.helper"
local core = require "ringlet.core"
local rl = require "ringlet"

local function nothing() end

local function settle()
  for _ = 1, 8 do
    rl.yield()
  end
end

local WORK = core.reasons["pool work"]

-- A task that rests once, and what it got.
local function resting(q)
  local got = {}
  local task = rl.go(function() got[1], got[2] = core.rest(q, WORK) end)
  rl.yield()
  return got, task
end

describe("who rests", function()
  it("is ended by the end of the run, which does not wait", function()
    local got = H.run(function()
      local q = core.waitq()
      local result = resting(q)
      core.rouse(core.waitq(), true)
      return result
    end)
    assert.same({nil, core.ECANCEL}, got)
  end)
end)

H.both("the core, for workers:", function(it)
  it("who rests is a daemon, and no more when it is roused", function()
    local q, before = core.waitq(), rl.stats().daemons
    local got, task = resting(q)
    assert.equal(before + 1, rl.stats().daemons)
    assert.same({"parked", "pool work"}, {task:status()})
    assert.is_true(core.rouse(q, "v"))
    assert.equal(before, rl.stats().daemons)
    assert.is_false(core.rouse(q, "v"))
    task:join()
    assert.same({"v"}, got)
  end)

  it("who rests and is cancelled is told, and is a daemon no more when it has ended", function()
    local q, before = core.waitq(), rl.stats().daemons
    local got, task = resting(q)
    task:cancel()
    assert.is_false(core.rouse(q, true))
    task:join()
    assert.same({nil, core.ECANCEL}, got)
    assert.equal(before, rl.stats().daemons)
    task = rl.go(function() return core.rest(q, WORK) end)
    task:cancel() -- before it rests
    assert.same({true, nil, core.ECANCEL}, {task:join()})
    assert.equal(before, rl.stats().daemons)
  end)

  it("who was a daemon is one still", function()
    local q, before = core.waitq(), rl.stats().daemons
    local task = rl.daemon(function() core.rest(q, WORK) end)
    rl.yield()
    assert.equal(before + 1, rl.stats().daemons)
    core.rouse(q, true)
    task:join()
    assert.equal(before, rl.stats().daemons)
  end)

  it("a backup is roused when the task parks, yields or ends", function()
    local ways = {function() rl.sleep(0.001) end, rl.yield, nothing, function() error "x" end}
    rl.on_error(nothing)
    for i, way in ipairs(ways) do
      local q = core.waitq()
      local got, task = resting(q)
      local other = rl.go(function()
        core.backup(q)
        assert.same({}, got)
        way()
      end)
      rl.yield()
      rl.yield()
      assert.same({true}, got, i)
      other:join()
      task:join()
    end
    rl.on_error(nil)
  end)

  it("a backup is not roused when the task rests itself, or takes it back", function()
    local q, mine = core.waitq(), core.waitq()
    local got, task = resting(q)
    local other = rl.go(function()
      core.backup(q)
      core.rest(mine, WORK)
      core.backup(q)
      core.backup(nil)
      rl.yield()
    end)
    settle()
    core.rouse(mine, true)
    settle()
    assert.same({}, got)
    other:join()
    core.rouse(q, 1)
    task:join()
  end)

  it("a backup that rests no more is none", function()
    local q = core.waitq()
    local other = rl.go(function()
      core.backup(q)
      rl.yield()
    end)
    assert.is_true((other:join()))
    local got, task = resting(q)
    rl.go(function()
      core.backup(q)
      core.rouse(q, "first")
    end):join()
    task:join()
    assert.same({"first"}, got)
  end)
end)
