-- SPDX-License-Identifier: MIT
-- What many submit, done with one call.
local H = require "spec.helper"
local rl = require "ringlet"

local HERE = "spec/batcher_spec.lua:"

-- Where the order of turns is what is looked at: a task whose thread waits for a CPU is interrupted
-- wherever it is.
local IN_TURN = {preempt = false}

-- A batcher that doubles numbers and notes its calls: {at = seconds since, ...items}.
local function doubler(opts, takes)
  local calls, zero = {}, rl.now()
  local all = {fn = function(list)
    local call = {at = rl.now() - zero}
    calls[#calls + 1] = call
    local results = {}
    for i, v in ipairs(list) do
      call[i], results[i] = v, v * 2
    end
    if takes then
      rl.sleep(takes)
    end
    return results
  end}
  for k, v in pairs(opts) do all[k] = v end
  return rl.batcher(all), calls
end

-- What the calls were given, without their times.
local function items_of(calls)
  local list = {}
  for i, call in ipairs(calls) do
    list[i] = table.concat(call, " ")
  end
  return list
end

local function assert_near(wanted, got)
  assert.is_true(got >= wanted and got <= wanted + H.TICK, ("%g, not %g"):format(got, wanted))
end

local function assert_clean(b)
  for _ = 1, 5 do
    rl.yield()
  end
  local s = rl.stats()
  assert.same({1, 2}, {s.timers, s.tasks})
  if b then
    assert.same({0, 0}, {b:pending(), b:stats().running})
  end
end

local function submit_all(b, from, to)
  local futures = {}
  for i = from, to do
    futures[#futures + 1] = b:submit(i)
  end
  return futures
end

H.both("a batcher", function(it)
  it("calls once for what was submitted together, and gives each its own", function()
    local b, calls = doubler{delay = 0}
    local results = rl.map({1, 2, 3, 4, 5}, function(v) return b:call(v) end)
    assert.same({2, 4, 6, 8, 10}, results)
    assert.same({"1 2 3 4 5"}, items_of(calls))
  end, IN_TURN)

  it("calls at once when there are 'size' items", function()
    local b, calls = doubler{size = 3, delay = 1000}
    local futures = submit_all(b, 1, 7)
    for i = 1, 6 do
      assert.same({true, i * 2}, {futures[i]:join()})
    end
    assert.same({"1 2 3", "4 5 6"}, items_of(calls))
    assert.equal("pending", futures[7]:status())
    b:flush()
    assert.same({true, 14}, {futures[7]:join()})
  end, IN_TURN)

  it("is awaited by run", function()
    local b, calls = doubler{delay = 0.01}
    b:submit(1)
    b:wait()
    assert.same({"1"}, items_of(calls))
  end)
end)

H.sim("the delay", function(it)
  it("is from the first item, not from the last", function()
    local b, calls = doubler{delay = 1}
    for i = 1, 4 do
      b:submit(i)
      rl.sleep(0.3)
    end
    assert.same({"1 2 3 4"}, items_of(calls))
    assert_near(1, calls[1].at)
    assert_clean(b)
    b:submit(5)
    rl.sleep(0.99)
    assert.equal(1, #calls)
    rl.sleep(0.02)
    assert.equal(2, #calls)
    assert_clean(b)
  end)

  it("without end waits for 'size' or a flush", function()
    local b, calls = doubler{delay = math.huge, size = 2}
    local f = b:submit(1)
    rl.sleep(1e4)
    assert.equal(0, #calls)
    b:submit(2)
    f:join()
    b:submit(3)
    b:flush()
    b:flush()
    assert.is_true(b:wait())
    assert.same({"1 2", "3"}, items_of(calls))
    b:flush()
    assert_clean(b)
  end)
end)

H.sim("the results", function(it)
  local function with(fn)
    return rl.batcher{fn = fn, delay = 0}
  end

  local function outcomes(fn, n)
    local b, got = with(fn), {}
    local futures = submit_all(b, 1, n or 3)
    for i, f in ipairs(futures) do
      got[i] = H.pack(f:join())
    end
    assert_clean(b)
    return got, b
  end

  it("may be false, or failures", function()
    local got, b = outcomes(function()
      return {false, nil, 3}, {[2] = {"EGONE: 2", "EGONE"}}
    end)
    assert.same({{n = 2, true, false}, {n = 4, true, nil, "EGONE: 2", "EGONE"}, {n = 2, true, 3}},
      got)
    assert.equal(0, b:stats().failures)
    assert.same({n = 4, true, nil, "why", "EFAILED"}, outcomes(function()
      return {}, {"why"}
    end, 1)[1])
    local c = with(function() return {}, {{"EGONE: x", "EGONE"}} end)
    assert.same({n = 3, nil, "EGONE: x", "EGONE"}, H.pack(c:call(1)))
  end)

  it("are true for all when it is true", function()
    assert.same({n = 2, true, true}, outcomes(function() return true end)[3])
  end)

  it("are the failure of all when the call fails", function()
    local got, b = outcomes(function() return nil, "EDOWN: down", "EDOWN" end)
    for i = 1, 3 do
      assert.same({n = 4, true, nil, "EDOWN: down", "EDOWN"}, got[i])
    end
    assert.equal(1, b:stats().failures)
    assert.same({n = 3, nil, "EDOWN: down", "EDOWN"}, H.pack(b:call(1)))
  end)

  it("are the error of all when it raises", function()
    local err = {}
    local got, b = outcomes(function() error(err) end)
    for i = 1, 3 do
      assert.is_false(got[i][1])
      assert.is_true(rawequal(err, got[i][2]))
      assert.is_truthy(got[i][3]:find("batcher_spec", 1, true))
    end
    assert.is_true(rawequal(err, H.raises(b.call, b, 1)))
    assert.equal(2, b:stats().failures)
  end)

  it("must be as many as the items", function()
    local function said(fn)
      local got = outcomes(fn)
      assert.equal(got[1][2], got[3][2])
      assert.is_false(got[3][1])
      return got[1][2]
    end
    local head = "the function of batcher gave "
    assert.equal(head .. "no result for item 3 of 3", said(function() return {1, 2} end))
    assert.equal(head .. "no result for item 2 of 3", said(function() return {1, nil, 3} end))
    assert.equal(head .. "more than 3 results", said(function() return {1, 2, 3, 4} end))
    assert.equal(head .. "a nil instead of a list of results", said(function() end))
    assert.equal(head .. "a number instead of a list of results", said(function() return 1 end))
  end)

  it("do not depend on what becomes of the list", function()
    local got = outcomes(function(list)
      for i = #list, 1, -1 do list[i] = nil end
      return {1, 2, 3}
    end)
    assert.same({n = 2, true, 3}, got[3])
  end)

  it("tell of an error that nobody hears of once", function()
    local told = 0
    rl.on_error(function(err)
      told = told + 1
      assert.equal("why", err)
    end)
    local b = with(function() error("why", 0) end)
    submit_all(b, 1, 5)
    b:wait()
    assert.equal(1, told)
    local f = b:submit(1)
    assert.is_false((f:join()))
    assert.equal(1, told)
    assert_clean(b)
  end)
end)

H.sim("concurrency", function(it)
  it("limits calls at a time; what waits for its turn takes items", function()
    local b, calls = doubler({concurrency = 1, delay = 0, size = 3}, 10)
    b:submit(1)
    rl.sleep(1)
    b:submit(2)
    rl.sleep(1)
    b:submit(3)
    assert.equal("ringlet.batcher: batcher, 3 pending, 1 calls running", tostring(b))
    b:submit(4)
    b:submit(5)
    b:wait()
    assert.same({"1", "2 3 4", "5"}, items_of(calls))
    for i = 1, 3 do
      assert_near((i - 1) * 10, calls[i].at)
    end
    assert_clean(b)
  end)

  it("runs so many, first come, first served", function()
    local running, most, order = 0, 0, {}
    local b = rl.batcher{size = 1, concurrency = 2, fn = function(list)
      running, most = running + 1, math.max(most, running + 1)
      order[#order + 1] = list[1]
      rl.sleep(1)
      running = running - 1
      return true
    end}
    submit_all(b, 1, 7)
    b:wait()
    assert.same({2, {1, 2, 3, 4, 5, 6, 7}}, {most, order})
    assert_clean(b)
  end)

  it("has no limit by default", function()
    local b, calls = doubler({size = 1}, 5)
    submit_all(b, 1, 4)
    rl.sleep(1)
    assert.same({4, 4}, {#calls, b:stats().running})
    b:wait()
    assert_clean(b)
  end)
end)

H.sim("a full batcher", function(it)
  it("lets submitters wait for room, in their order", function()
    local b, calls = doubler({size = 2, max_pending = 2, delay = 1}, 10)
    local at, zero = {}, rl.now()
    rl.scope(function(s)
      for i = 1, 5 do
        s:go(function()
          b:submit(i)
          at[i] = rl.now() - zero
        end)
      end
    end)
    for i, t in ipairs{0, 0, 10, 10, 20} do
      assert_near(t, at[i])
    end
    b:wait()
    assert.same({"1 2", "3 4", "5"}, items_of(calls))
    assert_clean(b)
  end)

  it("lets them wait as long as they say", function()
    local b, calls = doubler({size = 1, max_pending = 1}, 10)
    b:submit(1)
    local began = rl.now()
    assert.equal("ETIMEDOUT", select(3, b:submit(2, 3)))
    assert.equal("ETIMEDOUT", select(3, b:call(3, 3)))
    assert.equal("ETIMEDOUT", select(3, b:submit(4, 0)))
    assert_near(6, rl.now() - began)
    assert.equal("ETIMEDOUT", select(3, b:call(5, 10))) -- got in after 4 s, waited 6 s more
    assert_near(16, rl.now() - began)
    b:wait()
    assert.same({"1", "5"}, items_of(calls))
    assert_clean(b)
  end)

  it("forgets a submitter that was cancelled", function()
    local b, calls = doubler({size = 1, max_pending = 1}, 10)
    b:submit(1)
    local two = rl.go(b.submit, b, 2)
    local three = rl.go(b.submit, b, 3)
    rl.sleep(1)
    two:cancel()
    assert.is_true(rl.is_cancel(select(2, two:join())))
    three:join()
    b:wait()
    assert.same({"1", "3"}, items_of(calls))
    assert_clean(b)
  end)

  it("refuses if it was told to", function()
    local b, calls = doubler({size = 2, max_pending = 2, overflow = "reject", name = "db"}, 10)
    submit_all(b, 1, 2)
    assert.same({n = 3, nil, "EOVERLOAD: db is full", "EOVERLOAD"}, H.pack(b:submit(3)))
    assert.same({n = 3, nil, "EOVERLOAD: db is full", "EOVERLOAD"}, H.pack(b:call(3)))
    rl.sleep(11)
    assert.equal(10, b:call(5))
    assert.same({"1 2", "5"}, items_of(calls))
    assert.same({calls = 2, items = 3, failures = 0, shared = 0, cancelled = 0, rejected = 2,
      pending = 0, running = 0}, b:stats())
    assert_clean(b)
  end)
end)

H.sim("a member that is cancelled", function(it)
  it("is taken out of the batch that waits", function()
    local b, calls = doubler{delay = 1}
    local futures = submit_all(b, 1, 4)
    futures[1]:cancel("why")
    futures[3]:cancel()
    assert.equal(2, b:pending())
    assert.same({true, "why"}, {rl.is_cancel(select(2, futures[1]:join()))})
    assert.same({true, 4}, {futures[2]:join()})
    assert.same({true, 8}, {futures[4]:join()})
    assert.same({"2 4"}, items_of(calls))
    assert.equal(2, b:stats().cancelled)
    assert_clean(b)
  end)

  it("alone, leaves no call and no timer", function()
    local b, calls = doubler{delay = 1000}
    local task = rl.go(b.call, b, 1)
    rl.yield()
    rl.yield()
    task:cancel("why")
    assert.same({true, "why"}, {rl.is_cancel(select(2, task:join()))})
    assert_clean(b)
    assert.equal("ETIMEDOUT", select(3, b:call(2, 5)))
    assert_clean(b)
    local ok, _, code = rl.timeout(5, b.call, b, 3)
    assert.same({nil, "ETIMEDOUT"}, {ok, code})
    assert_clean(b)
    assert.equal(0, #calls)
    b:submit(4):cancel() -- before its task has run
    assert_clean(b)
    assert.equal(0, #calls)
  end)

  it("leaves its place to another", function()
    local b, calls = doubler{delay = 1, size = 2}
    b:submit(1):cancel()
    b:submit(2)
    b:submit(3)
    b:submit(4)
    b:wait()
    assert.same({"2 3", "4"}, items_of(calls))
    assert_clean(b)
  end)

  it("lets who waits for room in", function()
    local b, calls = doubler{delay = 1, size = 1, max_pending = 1, concurrency = 1}
    local f = b:submit(1)
    local task = rl.go(b.call, b, 2)
    rl.yield()
    rl.yield()
    f:cancel()
    assert.same({true, 4}, {task:join()})
    assert.equal("2", items_of(calls)[#calls])
    assert_clean(b)
  end)

  it("is let go while the call runs on for the others", function()
    local b, calls = doubler({delay = 0}, 10)
    local began = rl.now()
    local one, two = b:submit(1), b:submit(2)
    rl.sleep(1)
    one:cancel()
    assert.is_false((one:join()))
    assert.equal(1, b:pending())
    assert.same({true, 4}, {two:join()})
    assert_near(10, rl.now() - began)
    assert.same({"1 2"}, items_of(calls))
    assert_clean(b)
  end)

  it("waiting for its turn, leaves no call", function()
    local b, calls = doubler({size = 1, concurrency = 1}, 10)
    b:submit(1)
    local f = b:submit(2)
    rl.sleep(1)
    f:cancel()
    b:submit(3)
    b:wait()
    assert.same({"1", "3"}, items_of(calls))
    assert_clean(b)
  end)
end)

H.sim("keys", function(it)
  local function loader(takes)
    return doubler({delay = 1, key = function(v) return v < 100 and v % 10 or nil end}, takes)
  end

  it("make one item of those that are the same", function()
    local b, calls = loader()
    local futures = {}
    for i, v in ipairs{1, 2, 11, 21, 12, 100, 100} do
      futures[i] = b:submit(v)
    end
    local got = {}
    for i, f in ipairs(futures) do
      got[i] = select(2, f:join())
    end
    assert.same({2, 4, 2, 2, 4, 200, 200}, got)
    assert.same({"1 2 100 100"}, items_of(calls))
    assert.equal(3, b:stats().shared)
    b:submit(1)
    b:wait()
    assert.equal(2, #calls)
    assert_clean(b)
  end)

  it("keep an item as long as somebody wants it", function()
    for first = 1, 3 do
      for second = 1, 3 do
        local b, calls = loader()
        local futures = {b:submit(1), b:submit(11), b:submit(21)}
        b:submit(2)
        futures[first]:cancel()
        futures[second]:cancel()
        local left = first == second and 3 or 2
        assert.equal(left, b:pending())
        for i, f in ipairs(futures) do
          assert.equal(i ~= first and i ~= second, (f:join()))
        end
        b:wait()
        assert.same({"1 2"}, items_of(calls))
        assert_clean(b)
      end
    end
  end)

  it("go on to the next when the first is cancelled", function()
    local b, calls = loader()
    b:submit(2)
    b:submit(3):cancel()
    local first, second = b:submit(1), b:submit(11)
    first:cancel()
    local third, other = b:submit(21), b:submit(33)
    assert.same({true, 2}, {second:join()})
    assert.same({true, 2}, {third:join()})
    assert.same({true, 66}, {other:join()})
    assert.same({"2 1 33"}, items_of(calls))
    assert_clean(b)
  end)

  it("go with the last of them", function()
    local b, calls = loader()
    for _, f in ipairs{b:submit(1), b:submit(11)} do
      f:cancel()
    end
    b:submit(21)
    b:submit(2)
    b:wait()
    assert.same({"21 2"}, items_of(calls))
    assert_clean(b)
  end)

  it("settle the others when one is cancelled during the call", function()
    local b = loader(5)
    local futures = {b:submit(1), b:submit(11), b:submit(21)}
    rl.sleep(2)
    futures[2]:cancel()
    assert.same({true, 2}, {futures[1]:join()})
    assert.is_false((futures[2]:join()))
    assert.same({true, 2}, {futures[3]:join()})
    assert_clean(b)
  end)
end)

H.sim("close", function(it)
  it("does what waits now, and takes no more", function()
    local b, calls = doubler{delay = 1000, name = "db"}
    local f = b:submit(1)
    b:close()
    b:close()
    assert.same({n = 3, nil, "ECLOSED: db is closed", "ECLOSED"}, H.pack(b:submit(2)))
    assert.same({n = 3, nil, "ECLOSED: db is closed", "ECLOSED"}, H.pack(b:call(2)))
    assert.same({true, 2}, {f:join()})
    assert.is_true(b:wait())
    assert.equal(1, #calls)
    assert.equal("ringlet.batcher: db, 0 pending, 0 calls running, closed", tostring(b))
    assert_clean(b)
  end)

  it("refuses those that wait for room, also who was just let in", function()
    local b, calls = doubler({size = 1, max_pending = 1}, 10)
    local one = b:submit(1)
    local two, three = rl.go(b.submit, b, 2), rl.go(b.submit, b, 3)
    one:join() -- the second was given its place then, but has not run
    assert.equal(1, b:pending())
    b:close()
    assert.equal("ECLOSED", (select(4, two:join())))
    assert.equal("ECLOSED", (select(4, three:join())))
    b:wait()
    assert.equal(1, #calls)
    assert_clean(b)
  end)

  it("gives up after its grace", function()
    for grace, wanted in pairs{[9] = "ECLOSED", [11] = "done", [0] = "ECLOSED", [-1] = "ECLOSED"} do
      local b = doubler({size = 1, concurrency = 1}, 5)
      local one, two = b:submit(1), b:submit(2)
      local zero = rl.now()
      b:close(100)
      b:close(grace)
      local _, v, _, code = two:join()
      assert.equal(wanted, code or "done")
      assert.equal(wanted == "done" and 4 or nil, v)
      assert_near(math.min(math.max(grace, 0), 10), rl.now() - zero)
      assert.equal(grace <= 0 and "ECLOSED" or nil, (select(4, one:join())))
      assert_clean(b)
    end
  end)

  it("needs no run", function()
    local b = rl.batcher{fn = print}
    b:close(5)
  end)
end)

H.sim("wait", function(it)
  it("is for all that is pending", function()
    local b = doubler({delay = 1}, 5)
    assert.is_true(b:wait(0))
    b:submit(1)
    assert.equal("ETIMEDOUT", select(3, b:wait(5.5)))
    assert.is_true(b:wait(1))
    assert_clean(b)
  end)
end)

describe("a batcher", function()
  it("is awaited by run, when nobody else is", function()
    local b, calls
    H.run(function()
      b, calls = doubler{delay = 10}
      b:submit(1)
    end)
    assert.same({"1"}, items_of(calls))
  end)

  it("is cancelled by a stop, and can be used in the next run", function()
    local b, futures, calls, t
    H.run(function()
      b, calls = doubler({delay = 1000, size = 2}, 1000)
      futures = submit_all(b, 1, 3)
      rl.sleep(1)
      t = rl.now()
      rl.stop(0)
    end)
    for i = 1, 3 do
      assert.is_true(rl.is_cancel(select(2, futures[i]:join())))
    end
    assert.same({"1 2"}, items_of(calls))
    H.run(function()
      assert.is_true(rl.now() < t) -- it did not wait
      assert.same({0, 0}, {b:pending(), b:stats().running})
      futures = submit_all(b, 1, 2)
      b:wait()
    end)
    assert.same({true, 2}, {futures[1]:join()})
  end)

  it("full and not begun when a stop comes, settles its members", function()
    local futures
    H.run(function()
      local b = doubler{size = 2, delay = 1000}
      futures = submit_all(b, 1, 3)
      rl.stop(0)
    end)
    for i = 1, 3 do
      assert.are_not.equal("pending", futures[i]:status())
    end
  end)

  it("is usable after a run that gave its tasks up", function()
    local b, futures
    rl.on_error(function() end)
    finally(function() rl.on_error(nil) end)
    local err = H.raises(H.run, function()
      b = rl.batcher{delay = math.huge, size = 3, fn = function(list)
        while #list == 3 do pcall(rl.event().wait, rl.event()) end
        return true
      end}
      futures = submit_all(b, 1, 4)
      rl.event():wait()
    end)
    assert.is_truthy(tostring(err):find("deadlock", 1, true))
    for i = 1, 4 do
      assert.equal("failed", futures[i]:status())
    end
    H.run(function()
      assert.equal(0, b:pending())
      b:submit(1)
      b:flush()
      assert.is_true(b:wait(1))
    end)
  end)

  it("is submitted to in a run only", function()
    local b = rl.batcher{fn = print}
    for _, call in ipairs{function() return (b:submit(1)) end, function() b:submit(1) end} do
      H.raises_text("not inside a task", call)
    end
    H.raises_text("not inside a task", b.call, b, 1)
    H.raises_text("not inside a task", b.wait, b)
    assert.equal(0, b:pending())
    b:flush()
  end)

  it("refuses what makes no sense, at the caller's level", function()
    local fn = print
    local wrong = {
      {nil, "option 'fn' is missing"}, {{fn = fn, size = 0}, "option 'size'"},
      {{fn = fn, delay = -1}, "option 'delay'"}, {{fn = fn, overflow = "x"}, "'block' or 'reject'"},
      {{fn = fn, concurrency = 0.5}, "option 'concurrency'"},
      {{fn = fn, size = 5, max_pending = 4}, "'max_pending' is less than 'size'"},
      {{fn = fn, x = 1}, "unknown option 'x'"},
    }
    for i = 1, 7 do
      local w = wrong[i]
      local err = H.raises_text(w[2], function() return (rl.batcher(w[1])) end)
      assert.is_truthy(err:find(HERE, 1, true), err)
    end
    local b = rl.batcher{fn = fn}
    for _, call in ipairs{
      function() return (b:submit()) end, function() return (b:call()) end,
      function() return (b:submit(1, "x")) end, function() return (b:wait("x")) end,
      function() b:close("x") end,
    } do
      local err = tostring(H.raises(call))
      assert.is_truthy(err:find(HERE, 1, true), err)
    end
  end)
end)

-- Submit, cancel, flush and wait at random, with calls that fail now and then: what becomes of each
-- item, in which order, is what a list says.
H.sim("a batcher in random use", function(it)
  local function round(seed)
    math.randomseed(seed)
    local seen, futures, cancelled, wanted = {}, {}, {}, 0
    local size, limit = math.random(4), math.random(2) == 1 and math.random(2) or nil
    local running = 0
    local b = rl.batcher{size = size, delay = math.random(0, 2), concurrency = limit,
      max_pending = size + math.random(0, 3),
      fn = function(list)
        running = running + 1
        assert(running <= (limit or 99) and #list >= 1 and #list <= size)
        local results, failures = {}, {}
        for i, v in ipairs(list) do
          seen[#seen + 1] = v
          if v % 3 == 0 then failures[i] = {"E3: 3", "E3"} else results[i] = -v end
        end
        rl.sleep(math.random(0, 2))
        running = running - 1
        return results, failures
      end}
    for i = 1, 20 do
      local what = math.random(8)
      if what <= 4 then
        futures[i] = b:submit(i)
        wanted = wanted + 1
      elseif what == 5 then
        rl.sleep(math.random())
      elseif what == 6 then
        b:flush()
      elseif next(futures) then
        local k = math.random(i)
        if futures[k] and futures[k]:status() == "pending" then
          futures[k]:cancel()
          cancelled[k] = true
        end
      end
    end
    b:wait()
    local last, done = 0, {}
    for _, v in ipairs(seen) do
      assert(v > last or limit ~= 1, "order")
      assert(not done[v], "twice")
      last, done[v] = v, true
    end
    for k, f in pairs(futures) do
      local ok, v, _, code = f:join()
      assert(ok == not cancelled[k])
      assert(cancelled[k] or done[k] and (v == -k or k % 3 == 0 and code == "E3"))
    end
    for _ = 1, 3 do rl.yield() end
    local s = b:stats()
    assert(s.pending == 0 and s.running == 0 and s.items == #seen and rl.stats().tasks == 2)
  end

  it("does each item once, and leaves nothing", function()
    for seed = 1, H.rounds(3000, 100) do
      local ok, err = pcall(round, seed)
      if not ok then
        error(("seed %d: %s"):format(seed, tostring(err)), 0)
      end
    end
  end)
end)
