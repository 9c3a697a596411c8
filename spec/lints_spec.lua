-- SPDX-License-Identifier: MIT
-- What two readings say is wrong with tasks: each lint with what has it and what does not.
local H = require "spec.helper"
local lints = require "ringlet.lints"
local rl = require "ringlet"
local tasks = require "ringlet.debug"

-- Names of the lints of one task that is as `before`, then as `after`, a second later.
local function of(before, after, more)
  local function reading(at, d)
    local list = {}
    if d then
      d.id, d.shard = 7, 1
      list[1] = d
    end
    return {at = at, tasks = list}
  end
  local second = reading(11, after)
  for k, v in pairs(more or {}) do
    second[k] = v
  end
  local names = {}
  for i, lint in ipairs(lints.compare(before ~= false and reading(10, before) or nil, second)) do
    names[i] = lint.lint
  end
  return table.concat(names, ", ")
end

local function computes(unparked)
  return {state = "runnable", preempted = true, unparked = unparked, was = "lock"}
end

local function yields(unparked)
  return {state = "runnable", was = "yield", unparked = unparked}
end

describe("a lint", function()
  it("tells what never yielded", function()
    assert.equal("never yielded", of(computes(4), computes(5)))
    assert.equal("never yielded", of(computes(0), computes(1)))
    assert.equal("", of(computes(4), computes(0.9))) -- it has waited in between
    assert.equal("", of({state = "waiting", reason = "lock", since = 4}, computes(5)))
    assert.equal("", of(nil, computes(5)))
    assert.equal("", of(computes(4), computes(4.009), {at = 10.009}))
    assert.equal("", of(false, computes(5)))
    assert.equal("", of({state = "runnable", unparked = 4, was = "lock"}, computes(5)))
  end)

  it("tells what wakes itself", function()
    assert.equal("waking itself", of(yields(4), yields(5)))
    assert.equal("", of(yields(4), yields(0.5)))
    assert.equal("", of(yields(4), computes(5)))
    assert.equal("", of(yields(4), {state = "runnable", was = "chan receive", unparked = 5}))
    assert.equal("", of(yields(4), {state = "waiting", reason = "sleep", since = 0}))
  end)

  it("tells what is blocked in C, when it is new", function()
    local waits = {state = "waiting", reason = "sleep", since = 1, overran = true}
    assert.equal("blocked in C", of({state = "new"}, waits))
    assert.equal("blocked in C", of(nil, waits))
    assert.equal("", of(waits, waits))
    local silent = {{shard = 1, tasks = 1}, {shard = 2, silent = true, task = 9, seconds = 1.5}}
    assert.equal("blocked in C", of(nil, nil, {counts = silent}))
    local list = lints.compare(nil, {at = 1, tasks = {}, counts = silent})
    assert.equal("blocked in C: task 9 on shard 2: its shard does not answer for 1.500 s",
      lints.text(list[1]))
  end)

  it("tells what lost its waker", function()
    local waits = {state = "waiting", reason = "read", since = 3, lost = true}
    assert.equal("lost its waker", of(nil, waits))
    waits.lost = nil
    assert.equal("", of(nil, waits))
  end)

  it("tells what nothing else refers to, if that is known", function()
    local waits = {state = "waiting", reason = "chan receive", since = 3}
    assert.equal("parked with no other reference", of(nil, waits, {leaks = {{shard = 1, id = 7}}}))
    assert.equal("", of(nil, waits, {leaks = {{shard = 1, id = 8}, {shard = 2, id = 7}}}))
    assert.equal("", of(nil, waits))
  end)

  it("is listed with the worst first, then by shard and number", function()
    local after = {at = 1, tasks = {
      {id = 3, shard = 1, state = "waiting", reason = "read", lost = true},
      {id = 2, shard = 2, state = "new", overran = true, name = "x"},
      {id = 5, shard = 1, state = "new", overran = true},
      {id = 4, shard = 1, state = "new", overran = true},
    }, leaks = {{shard = 1, id = 3}}}
    local ids = {}
    for i, lint in ipairs(lints.compare(nil, after)) do
      ids[i] = lint.id
    end
    assert.equal("4 5 2 3 3", table.concat(ids, " "))
    assert.truthy(lints.text(lints.compare(nil, after)[3]):find(
      '^blocked in C: task 2 "x" on shard 2: '))
  end)
end)

H.on("uring", "real readings", function(it)
  local function reading()
    local list, counts = tasks.tasks {stack = false}
    return {at = rl.now(), tasks = list, counts = counts}
  end

  it("show what only yields, and leave others alone", function()
    local ch, done = rl.chan(), false
    local spins = rl.go(function()
      while not done do rl.yield() end
    end)
    spins:name "spins"
    local waits = rl.go(function() ch:recv() end)
    local sleeps = rl.go(function()
      while not done do rl.sleep(0.001) end
    end)
    rl.yield()
    local names = {}
    local function look()
      local before, due = reading(), rl.now() + 0.05
      while rl.now() < due do
        rl.yield()
      end
      for _, lint in ipairs(lints.compare(before, reading())) do
        if lint.id == spins.id or lint.id == waits.id or lint.id == sleeps.id then
          names[#names + 1] = (lint.name or "?") .. " " .. lint.lint
        end
      end
    end
    H.eventually("a lint", function() -- a look may take so long that it says nothing
      look()
      return names[1]
    end)
    assert.same({"spins waking itself"}, names)
    done = true
    waits:cancel()
    sleeps:join()
  end, {preempt = false}) -- what is preempted just when it is looked at does not wake itself
end)
