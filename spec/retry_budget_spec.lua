-- SPDX-License-Identifier: MIT
-- How many retries there may be.
local H = require "spec.helper"
local rl = require "ringlet"

local function count(budget, n)
  for _ = 1, n do
    budget:count()
  end
end

-- How many retries it gives.
local function drain(budget)
  local n = 0
  while budget:try_take() do
    n = n + 1
  end
  return n
end

-- To a moment within a part of a window that is counted in seconds.
local function align()
  rl.sleep(math.ceil(rl.now()) + 0.5 - rl.now())
end

H.sim("a retry budget", function(it)
  it("gives a tenth of the calls, no more", function()
    local budget = rl.retry_budget{min_per_second = 0}
    count(budget, 9)
    assert.is_false(budget:try_take())
    count(budget, 1)
    assert.equal(1, budget:available())
    assert.is_true(budget:try_take())
    assert.is_false(budget:try_take())
    count(budget, 990)
    assert.equal(99, drain(budget))
    assert.same({calls = 1000, retries = 100, refused = 3, available = 0}, budget:stats())
    budget = rl.retry_budget{ratio = 0.29, min_per_second = 0}
    count(budget, 100) -- 0.29 * 100 is less than 29
    assert.equal(29, drain(budget))
  end)

  it("gives what is left over to who calls rarely", function()
    assert.equal(10, drain(rl.retry_budget()))
    assert.equal(6, drain(rl.retry_budget{min_per_second = 3, window = 2}))
    local budget = rl.retry_budget{min_per_second = 1, window = 5}
    count(budget, 100)
    assert.equal(15, drain(budget))
  end)

  it("forgets calls and retries a window later", function()
    local budget = rl.retry_budget{min_per_second = 0, ratio = 1}
    align()
    count(budget, 5)
    rl.sleep(9)
    assert.equal(5, budget:available())
    assert.is_true(budget:try_take())
    rl.sleep(1)
    assert.equal(0, budget:available()) -- the calls are gone, the retry is not
    count(budget, 1)
    assert.equal(0, budget:available())
    rl.sleep(9)
    assert.equal(1, budget:available())
    rl.sleep(1)
    assert.equal(0, budget:available())
    rl.sleep(1000)
    assert.equal(0, budget:available())
  end)

  -- A list of all that happened, looked through each time.
  it("agrees with a list of all calls and retries, in 10^5 random operations", function()
    for seed = 1, H.rounds(100, 5) do
      math.randomseed(seed)
      local ratio = math.random(0, 10) / 10
      local budget = rl.retry_budget{ratio = ratio, min_per_second = 0.5, window = 4}
      local events = {}
      local function allowed()
        local part, calls, retries = math.floor(rl.now() / 0.4), 0, 0
        for _, e in ipairs(events) do
          if e.part > part - 10 then
            calls, retries = calls + e.call, retries + 1 - e.call
          end
        end
        return ratio * calls + 2 - retries + 1e-9 >= 1
      end
      for step = 1, 1000 do
        local what, part = math.random(10), math.floor(rl.now() / 0.4)
        if what <= 5 then
          budget:count()
          events[#events + 1] = {part = part, call = 1}
        elseif what <= 9 then
          local want = allowed()
          if budget:try_take() ~= want then
            error(("seed %d, step %d: it gave %s"):format(seed, step, tostring(not want)))
          elseif want then
            events[#events + 1] = {part = part, call = 0}
          end
        else
          rl.sleep(math.random() * math.random(2))
        end
        if #events > 200 and events[50].part <= part - 10 then
          local rest = {}
          for i = 51, #events do rest[#rest + 1] = events[i] end
          events = rest
        end
      end
    end
  end)
end)

describe("a retry budget", function()
  it("outlives a run, also when the next one's clock is behind", function()
    local budget = rl.retry_budget{min_per_second = 0, ratio = 1}
    H.run(function()
      rl.sleep(1e6)
      count(budget, 3)
      assert.equal(3, budget:available())
    end)
    H.run(function()
      assert.equal(0, budget:available())
      count(budget, 2)
      assert.equal(2, drain(budget))
    end)
  end)

  it("tells its state", function()
    assert.equal("ringlet.retry_budget: 10 retries left, 10 % of calls",
      tostring(rl.retry_budget()))
  end)

  it("refuses options that make no sense, at the caller's level", function()
    local here = "spec/retry_budget_spec.lua:"
    local wrong = {{ratio = 2}, {ratio = -1}, {window = 0}, {min_per_second = -1}, {x = 1}}
    for _, opts in ipairs(wrong) do
      local err = H.raises(function() return (rl.retry_budget(opts)) end)
      assert.is_truthy(tostring(err):find(here, 1, true), tostring(err))
    end
  end)
end)
