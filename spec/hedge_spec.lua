-- SPDX-License-Identifier: MIT
-- Calls that are made once more when their answer is late.
local H = require "spec.helper"
local rl = require "ringlet"

local HERE = "spec/hedge_spec.lua:"

-- A function whose attempts take so many seconds and then do what `ends` says: "ok", "nil" or
-- "raise"; and what it noted: when each began, after which it was cancelled.
local function server(...)
  local plan, log = {...}, {began = {}, cancelled = {}, ended = {}}
  local zero = rl.now()
  return function(...)
    local i = #log.began + 1
    log.began[i] = rl.now() - zero
    local seconds, ends = plan[i][1], plan[i][2] or "ok"
    local ok, err = pcall(rl.sleep, seconds)
    if not ok then
      log.cancelled[#log.cancelled + 1] = i
      error(err, 0)
    end
    log.ended[#log.ended + 1] = i
    if ends == "raise" then
      error("attempt " .. i .. " raised", 0)
    elseif ends == "nil" then
      return nil, "EDOWN: attempt " .. i, "EDOWN", i
    end
    return i, ...
  end, log
end

local function assert_near(wanted, got)
  assert.is_true(got >= wanted and got <= wanted + H.TICK, ("%g, not %g"):format(got, wanted))
end

-- Nothing but the test's own task and watchdog is left.
local function assert_clean()
  local s = rl.stats()
  assert.same({1, 2}, {s.timers, s.tasks})
end

-- Make the call: its results, and what it took, checked.
local function call_took(seconds, opts, fn, ...)
  local began = rl.now()
  local got = H.pack(pcall(rl.hedge, opts, fn, ...))
  assert_near(seconds, rl.now() - began)
  assert_clean()
  return got
end

H.sim("hedge", function(it)
  it("makes one attempt when the answer comes in time", function()
    local fn, log = server({0.9})
    local created = rl.stats().created
    assert.same({n = 5, true, 1, "a", nil, nil}, call_took(0.9, {delay = 1}, fn, "a", nil, nil))
    assert.equal(1, #log.began)
    assert.equal(created, rl.stats().created) -- and no task
    fn = server({0})
    assert.same({n = 2, true, 1}, call_took(0, {delay = 1}, fn))
  end)

  it("makes another when it is late, and takes the first answer", function()
    local fn, log = server({10}, {1})
    assert.same({n = 4, true, 2, "a", nil}, call_took(2, {delay = 1}, fn, "a", nil))
    assert_near(1, log.began[2])
    assert.same({{1}, {2}}, {log.cancelled, log.ended})
  end)

  it("cancels the other when the first attempt wins after all", function()
    local fn, log = server({2}, {10})
    assert.same({n = 2, true, 1}, call_took(2, {delay = 1}, fn))
    assert.same({{2}, {1}}, {log.cancelled, log.ended})
  end)

  it("makes 'max' attempts, one each delay", function()
    local fn, log = server({10}, {10}, {10}, {0.5})
    assert.same({n = 2, true, 4}, call_took(3.5, {delay = 1, max = 4}, fn))
    for i = 1, 4 do
      assert_near(i - 1, log.began[i])
    end
    assert.same({{1, 2, 3}, {4}}, {log.cancelled, log.ended})
    fn, log = server({10}, {10})
    assert.same({n = 2, true, 1}, call_took(10, {delay = 1}, fn))
    assert.equal(2, #log.began)
    fn, log = server({10})
    assert.same({n = 2, true, 1}, call_took(10, {delay = 1, max = 1}, fn))
    assert.equal(1, #log.began)
  end)

  it("waits until those it cancelled have ended", function()
    local cleaned
    local n = 0
    local began = rl.now()
    local got = rl.hedge({delay = 1}, function()
      n = n + 1
      if n == 2 then
        return "second"
      end
      rl.finally(function() rl.sleep(10) end, function()
        rl.sleep(5)
        cleaned = true
      end)
    end)
    assert.same({"second", true}, {got, cleaned})
    assert_near(6, rl.now() - began)
    assert_clean()
  end)

  it("starts the next at once when one fails", function()
    for _, how in ipairs{"nil", "raise"} do
      local fn, log = server({0.25, how}, {1})
      assert.same({n = 2, true, 2}, call_took(1.25, {delay = 3}, fn))
      assert_near(0.25, log.began[2])
      fn, log = server({10}, {0.5, how}, {1})
      assert.same({n = 2, true, 3}, call_took(2.5, {delay = 1, max = 3}, fn))
      assert_near(1.5, log.began[3])
    end
  end)

  it("lets the others go on when one fails and none is left to start", function()
    local fn, log = server({5}, {1, "nil"})
    assert.same({n = 2, true, 1}, call_took(5, {delay = 1}, fn))
    assert.same({}, log.cancelled)
    fn = server({2, "raise"}, {5})
    assert.same({n = 2, true, 2}, call_took(6, {delay = 1}, fn))
  end)

  it("fails like the last when all have failed", function()
    local fn = server({0.5, "raise"}, {0.5, "nil"})
    assert.same({n = 5, true, nil, "EDOWN: attempt 2", "EDOWN", 2}, call_took(1, {delay = 9}, fn))
    fn = server({0.5, "nil"}, {0.5, "raise"})
    assert.same({n = 2, false, "attempt 2 raised"}, call_took(1, {delay = 9}, fn))
    fn = server({5, "raise"}, {1, "nil"})
    assert.same({n = 2, false, "attempt 1 raised"}, call_took(5, {delay = 1}, fn))
    fn = server({0, "nil"})
    assert.same({n = 5, true, nil, "EDOWN: attempt 1", "EDOWN", 1},
      call_took(0, {delay = 1, max = 1}, fn))
  end)

  it("raises the same error value", function()
    local err = {}
    assert.is_true(rawequal(err, H.raises(rl.hedge, {delay = 1}, error, err)))
  end)

  it("with a delay of 0 starts both", function()
    local fn, log = server({2}, {1})
    assert.same({n = 2, true, 2}, call_took(1, {delay = 0}, fn))
    assert.equal(2, #log.began)
  end)

  it("takes one of two answers of the same moment", function()
    local fn, log = server({2}, {1})
    local got = call_took(2, {delay = 1}, fn)
    assert.is_true(got[2] == 1 or got[2] == 2)
    assert.equal(2, #log.cancelled + #log.ended)
  end)
end)

H.sim("a hedge that is cancelled", function(it)
  it("cancels its attempts and waits for them, at any time", function()
    for _, at in ipairs{0.5, 1.5, 2.5} do
      local fn, log = server({10}, {10}, {10})
      local task = rl.go(rl.hedge, {delay = 1, max = 3}, fn)
      rl.sleep(at)
      task:cancel("why")
      local ok, err = task:join()
      assert.same({false, true, "why"}, {ok, rl.is_cancel(err)})
      assert.equal(math.ceil(at), #log.cancelled)
      assert.same({}, log.ended)
      assert_clean()
    end
  end)

  it("while only the later attempts run", function()
    local fn, log = server({1, "nil"}, {10})
    local task = rl.go(rl.hedge, {delay = 5}, fn)
    rl.sleep(2)
    task:cancel()
    assert.is_true(rl.is_cancel(select(2, task:join())))
    assert.same({{2}, {1}}, {log.cancelled, log.ended})
    assert_clean()
  end)

  it("by a timeout has that one's result", function()
    local fn = server({10}, {10})
    local ok, _, code = rl.timeout(1.5, rl.hedge, {delay = 1}, fn)
    assert.same({nil, "ETIMEDOUT"}, {ok, code})
    assert_clean()
  end)

  it("starts nothing more, though its attempts make a failure of it", function()
    for _, at in ipairs{0.5, 1.5} do
      local started = 0
      local task = rl.go(rl.hedge, {delay = 1, max = 9}, function()
        started = started + 1
        local mine = started
        pcall(rl.sleep, 10)
        rl.shield(rl.sleep, mine / 10) -- the first attempt is over when the second fails
        return nil, "EX: x", "EX"
      end)
      rl.sleep(at)
      task:cancel()
      assert.is_true(rl.is_cancel(select(2, task:join())))
      assert.equal(math.ceil(at), started)
      assert_clean()
    end
  end)

  it("takes somebody else's cancellation for an answer", function()
    local other = rl.go(rl.sleep, 100)
    rl.yield()
    other:cancel("other")
    local err = H.raises(rl.hedge, {delay = 1}, function()
      local _, e = other:join()
      error(e, 0)
    end)
    assert.same({true, "other"}, {rl.is_cancel(err)})
    rl.sleep(0)
    assert_clean()
  end)

  it("goes on when somebody cancels an attempt alone", function()
    local tasks = {}
    local began = rl.now()
    local caller = rl.go(function()
      return rl.hedge({delay = 1}, function()
        tasks[#tasks + 1] = rl.self()
        rl.sleep(5)
        return #tasks
      end)
    end)
    rl.sleep(2)
    tasks[2]:cancel()
    assert.same({true, 2}, {caller:join()})
    assert_near(5, rl.now() - began)
    caller = rl.go(function()
      return rl.hedge({delay = 9}, function()
        tasks[#tasks + 1] = rl.self()
        if #tasks == 3 then
          return nil, "EX: x", "EX"
        end
        rl.sleep(5)
      end)
    end)
    rl.sleep(1)
    tasks[4]:cancel()
    assert.same({true, nil, "EX: x", "EX"}, {caller:join()})
    assert_clean()
  end)
end)

H.sim("a hedger", function(it)
  it("counts", function()
    local h = rl.hedger{delay = 1, budget = rl.retry_budget{ratio = 0, min_per_second = 0.4}}
    assert.equal(1, h:call((server({0.5}))))
    assert.equal(2, h:call((server({9}, {1}))))
    assert.equal(1, h:call((server({2}, {9}))))
    h:call((server({1, "nil"}, {1, "nil"})))
    assert.equal("ringlet.hedger: after 1 s, 4 calls, 3 hedges, 1 wins", tostring(h))
    h:call((server({2}, {9})))
    h:call((server({0.5})))
    h:call((server({0.5, "nil"}, {1})))
    assert.same({calls = 7, hedges = 4, wins = 1, failures = 2, over_budget = 1, delay = 1},
      h:stats())
    assert_clean()
  end)

  it("starts nothing more when the budget is spent", function()
    local h = rl.hedger{delay = 1, budget = rl.retry_budget{ratio = 0, min_per_second = 0}}
    local fn, log = server({5})
    assert.equal(1, h:call(fn))
    fn = server({0.5, "nil"})
    assert.equal("EDOWN: attempt 1", (select(2, h:call(fn))))
    assert.equal(1, #log.began)
    assert_clean()
  end)

  it("finds a percentile of the answers' times", function()
    local h = rl.hedger{delay = "p95"}
    assert.equal("ringlet.hedger: after p95, 0 calls, 0 hedges, 0 wins", tostring(h))
    for i = 1, 19 do
      h:call(rl.sleep, i / 10)
    end
    assert.is_nil(h:stats().delay)
    h:call(rl.sleep, 2)
    assert_near(1.9, h:stats().delay) -- 19 of 20 were not longer
    local fn, log = server({10}, {1})
    assert.equal(2, h:call(fn))
    assert_near(1.9, log.began[2])
    assert_clean()
  end)

  it("counts a loser with what it took until then", function()
    local h = rl.hedger{delay = "p90"}
    for _ = 1, 20 do
      h:call(rl.sleep, 1)
    end
    for _ = 1, 5 do
      h:call((server({10}, {1})))
    end
    assert_near(2, h:stats().delay) -- of 30, 5 took 2 seconds or more
    for _ = 1, 200 do
      h:call(rl.sleep, 0.5)
    end
    assert_near(0.5, h:stats().delay)
  end)

  it("hedges as many calls as its percentile leaves", function()
    local h, n = rl.hedger{delay = "p90"}, H.rounds(3000, 1000)
    math.randomseed(1)
    for _ = 1, n do
      h:call(function() rl.sleep(math.random()) end)
    end
    local share = h:stats().hedges / n
    assert.is_true(share > 0.06 and share < 0.14, tostring(share))
    assert_clean()
  end)

  it("serves many tasks at a time", function()
    local h = rl.hedger{delay = 0.05, max = 3}
    math.randomseed(2)
    local sum, wg = 0, rl.waitgroup()
    for i = 1, H.rounds(1000, 50) do
      wg:go(function()
        local got, _, code = h:call(function(v)
          rl.sleep(math.random() / 5)
          if math.random(3) == 1 then
            return nil, "EX: x", "EX"
          end
          return v
        end, i)
        sum = sum + (got and 1 or 0)
        assert.is_true(got == i or code == "EX")
      end)
    end
    wg:wait()
    assert.equal(H.rounds(1000, 50), sum + h:stats().failures)
    assert_clean()
  end)
end)

H.on("uring", "hedge", function(it)
  it("takes the faster answer", function()
    H.eventually("the test's watchdog sleeps", function() return rl.stats().timers == 1 end)
    local n, before = 0, rl.stats()
    assert.equal(2, rl.hedge({delay = 0.005}, function()
      n = n + 1
      if n == 1 then
        rl.sleep(100)
      end
      return n
    end))
    local after = rl.stats()
    assert.same({before.tasks, before.timers}, {after.tasks, after.timers})
  end)
end)

describe("hedge", function()
  it("refuses options that make no sense, at the caller's level", function()
    local wrong = {
      {nil, "option 'delay' is missing"}, {{}, "option 'delay' is missing"},
      {{delay = -1}, "option 'delay'"}, {{delay = 1, max = 0}, "option 'max'"},
      {{delay = "95"}, "a percentile such as 'p95'"}, {{delay = "p100"}, "not 'p100'"},
      {{delay = "p0"}, "not 'p0'"}, {{delay = 1, budget = {}}, "must be a retry_budget"},
      {{delay = 1, x = 1}, "unknown option 'x'"},
    }
    for i = 1, 9 do
      local w = wrong[i]
      for _, call in ipairs{
        function() return (rl.hedger(w[1])) end,
        function() return (rl.hedge(w[1], print)) end,
      } do
        local err = tostring(H.raises_text(w[2], call))
        assert.is_truthy(err:find(HERE, 1, true), err)
      end
    end
    assert.is_truthy(H.raises_text("needs a hedger that is kept", function()
      return (rl.hedge({delay = "p95"}, print))
    end):find(HERE, 1, true))
    assert.is_truthy(H.raises_text("function expected, got nil", function()
      return (rl.hedge({delay = 1}))
    end):find(HERE, 1, true))
    H.raises_text("not inside a task", rl.hedge, {delay = 1}, print)
  end)
end)
