-- SPDX-License-Identifier: MIT
local rl = require "ringlet"
local shared = require "ringlet.shared"
local H = require "spec.helper"

local HERE = "spec/shared_chan_spec.lua:"

-- Selects of them are in shared_select_spec and mixed_select_spec.
require "spec.chan_cases"("shared channel", setmetatable({chan = shared.chan}, {__index = rl}))

H.both("shared channel", function(it)
  it("carries copies: scalars and texts of every length", function()
    for _, cap in ipairs{0, 1, 8} do
      local ch = shared.chan(cap)
      local function check(v)
        rl.go(function() ch:send(v) end)
        assert.equal(v, (ch:recv()))
        local task = rl.go(function() return ch:recv() end)
        rl.yield()
        ch:send(v)
        assert.same({true, v}, {task:join()})
      end
      for _, v in ipairs{true, 0, -1.5, 2 ^ 53, math.huge, 1e300, -7} do
        check(v)
      end
      for len = 0, 100 do
        check(("\0\255"):rep(len):sub(1, len))
      end
      check(("x"):rep(100000))
    end
  end)

  it("carries copies of tables, not the tables", function()
    for _, cap in ipairs{0, 1} do
      local ch, t = shared.chan(cap), {1, {2, x = "y"}}
      rl.go(function() ch:send(t) end)
      local copy = ch:recv()
      assert.same(t, copy)
      assert.is_false(rawequal(t, copy))
      local task = rl.go(function() return ch:recv() end)
      rl.yield()
      ch:send(t)
      assert.same({true, t}, {task:join()})
      task = rl.go(function() return rl.select{{rl.chan()}, {ch}} end)
      rl.yield()
      ch:send(t)
      assert.same({true, 2, t}, {task:join()})
    end
  end)

  it("raises for what cannot travel, and then waits for nothing", function()
    local ch, full = shared.chan(), shared.chan(1)
    full:send(1)
    for _, c in ipairs{ch, full} do
      H.raises(function() c:send(coroutine.create(print)) end)
      H.raises(function() c:try_send(coroutine.create(print)) end)
      H.raises(rl.select, {{rl.chan()}, {send = c, coroutine.create(print)}})
    end
    assert.equal("EAGAIN", select(3, ch:try_recv()))
    assert.equal(1, full:recv())
    assert.equal("EAGAIN", select(3, full:try_recv()))
  end)

  it("is one object in a shard, by whatever way it comes", function()
    local carrier, ch = shared.chan(1), shared.chan(1)
    carrier:send(ch)
    local same = carrier:recv()
    assert.is_true(rawequal(ch, same))
    carrier:send{inside = ch}
    assert.is_true(rawequal(ch, carrier:recv().inside))
  end)

  it("says what it is", function()
    local ch = shared.chan(3)
    ch:send(1)
    assert.equal("ringlet.shared.chan: 1/3", tostring(ch))
    ch:close()
    assert.equal("ringlet.shared.chan: 1/3 (closed)", tostring(ch))
  end)

  it("given up by hand is refused, and not met again in another channel", function()
    local ch = shared.chan(1)
    ch:send("lost")
    ch.__gc(ch)
    for _ = 1, 100 do
      local other = shared.chan(1)
      assert.is_true(other:send("v"))
      assert.equal("v", other:recv())
      other.__gc(other)
    end
    H.raises_text("channel expected", ch.recv, ch)
    H.raises_text("channel expected", ch.send, ch, 1)
  end)

  it("refuses a message that is no text", function()
    local ch = shared.chan()
    local err = H.raises(function() ch:close({}) end)
    assert.is_truthy(tostring(err):find(HERE, 1, true), tostring(err))
    H.raises(ch.close, ch, "EX: x", 5)
    ch:close()
  end)
end)

H.sim("a task that waits for a shared channel", function(it)
  it("is cancelled like any other, and no value is lost", function()
    for round = 1, 40 do
      local ch = shared.chan(round % 3)
      local task = rl.go(function() return ch:recv() end)
      rl.yield()
      if round % 2 == 0 then
        task:cancel()
      end
      ch:send("v", 0)
      task:cancel()
      local ok, v = task:join()
      if not ok and round % 3 > 0 then
        v = ch:try_recv()
      end
      assert.is_true(v == "v" or not ok and round % 3 == 0)
    end
  end)

  it("in a select with a local channel, goes on with the one or the other", function()
    local a, b, sum = rl.chan(), shared.chan(), 0
    local tasks = {}
    for i = 1, 6 do
      tasks[i] = rl.go(function()
        for _ = 1, 100 do
          local _, v = rl.select{{a}, {b}}
          sum = sum + v
        end
      end)
    end
    for i = 1, 600 do
      if i % 2 == 0 then
        a:send(i)
      else
        b:send(i)
      end
    end
    for i = 1, 6 do
      assert.is_true((tasks[i]:join()))
    end
    assert.equal(600 * 601 / 2, sum)
  end)
end)

local THREE = {shards = 3}

-- Run fn(i, ...) as a job of each shard; returns what joins them all: what each gave, in order.
local function everywhere(n, fn, ...)
  local jobs = {}
  for i = 1, n do
    jobs[i] = rl.spawn_on((i - 1) % rl.shards() + 1, fn, i, ...)
  end
  return function()
    local out = {}
    for i = 1, n do
      out[i] = select(2, assert(jobs[i]:join()))
    end
    return out
  end
end

local function produce(i, ch, n)
  for k = 1, n do
    ch:send(k % 3 == 0 and ("%d %030d"):format(i, k) or i * 100000 + k)
  end
end

-- How often each value came, and whether those of each producer came in order.
local function consume(_, ch)
  local seen, last, in_order = {}, {}, true
  for v in ch:iter() do
    local i, k = math.floor((tonumber(v) or 0) / 100000), (tonumber(v) or 0) % 100000
    if type(v) == "string" then
      i, k = v:match "^(%d+) (%d+)$"
      i, k = tonumber(i), tonumber(k)
    end
    in_order = in_order and k > (last[i] or 0)
    last[i] = k
    seen[i * 100000 + k] = (seen[i * 100000 + k] or 0) + 1
  end
  return {seen = seen, in_order = in_order}
end

H.both("shared channel between shards", function(it)
  it("brings each value of 4 producers to one of 4 consumers, once and in order", function()
    local n = H.rounds(1000, 50)
    for _, cap in ipairs{0, 1, 3, 1024} do
      local ch, total = shared.chan(cap), {}
      local consumed = everywhere(4, consume, ch)
      everywhere(4, produce, ch, n)()
      ch:close()
      for _, got in ipairs(consumed()) do
        assert.is_true(got.in_order)
        for v, times in pairs(got.seen) do
          total[v] = (total[v] or 0) + times
        end
      end
      for i = 1, 4 do
        for k = 1, n do
          assert.equal(1, total[i * 100000 + k])
        end
      end
    end
  end, THREE)

  it("closed while senders are at it, gives what was accepted and no more", function()
    for cap = 0, 4 do
      local ch = shared.chan(cap)
      local accepted = everywhere(4, function(i, c)
        local k = 0
        while pcall(c.send, c, i * 100000 + k + 1) do
          k = k + 1
        end
        return k
      end, ch)
      local consumed = everywhere(2, consume, ch)
      for _ = 1, 50 do
        ch:recv()
      end
      ch:close()
      local sent, received = 0, 50
      for _, k in ipairs(accepted()) do
        sent = sent + k
      end
      for _, got in ipairs(consumed()) do
        for _, times in pairs(got.seen) do
          received = received + times
        end
      end
      assert.equal(sent, received)
    end
  end, THREE)

  it("plays ping-pong", function()
    local a, b = shared.chan(), shared.chan()
    local job = rl.spawn_on(2, function()
      for v in a:iter() do
        b:send(v + 1)
      end
    end)
    for i = 1, 500 do
      a:send(i)
      assert.equal(i + 1, b:recv())
    end
    a:close()
    assert.is_true((job:join()))
  end, {shards = 2})

  it("is passed on by itself, and as an upvalue", function()
    local carrier, back = shared.chan(), shared.chan(1)
    local job = rl.spawn_on(2, function()
      local got = carrier:recv()
      got.ch:send{from = rl.shard(), back = back}
    end)
    local ch = shared.chan()
    carrier:send{ch = ch}
    local answer = ch:recv()
    assert.equal(2, answer.from)
    assert.is_true(rawequal(back, answer.back))
    assert.is_true((job:join()))
  end, {shards = 2})

  it("loses nothing when selects, timeouts and local channels race", function()
    local n = H.rounds(300, 30)
    local a, b, out = shared.chan(), shared.chan(2), shared.chan(16)
    local senders = everywhere(3, function(i, x, y)
      local quiet, sum = rl.chan(), 0
      for k = 1, n do
        local v = i * 1000 + k
        local how = rl.select({{quiet}, {send = x, v}, {send = y, v}}, k % 4 == 0 and 0.0001 or nil)
        sum = sum + (how and v or 0)
      end
      return sum
    end, a, b)
    local receivers = everywhere(3, function(_, x, y, results)
      local quiet, sum, how, v = rl.chan(), 0
      repeat
        how, v = rl.select({{quiet}, {x}, {y}}, 0.0002)
        sum = sum + (how and tonumber(v) or 0)
      until v == "end"
      results:send(sum)
    end, a, b, out)
    local sent, received = 0, 0
    for _, sum in ipairs(senders()) do
      sent = sent + sum
    end
    for _ = 1, 3 do
      rl.select{{send = a, "end"}}
    end
    receivers()
    for _ = 1, 3 do
      received = received + out:recv()
    end
    for v in function() return (b:try_recv()) end do
      received = received + v
    end
    assert.equal(sent, received)
  end, THREE)

  it("lets go of who is cancelled", function()
    local ch, ready = shared.chan(), shared.chan(1)
    local job = rl.spawn_on(2, function()
      local ok, err = pcall(function()
        rl.timeout(0.01, function() ready:send(true) ch:recv() end)
      end)
      return ok, err
    end)
    ready:recv()
    assert.is_true((job:join()))
    assert.equal("EAGAIN", select(3, ch:try_send(1)))
  end, {shards = 2})
end)

describe("a run of several shards", function()
  it("that is stuck on a shared channel says so, for each shard", function()
    local ch = shared.chan()
    local err = tostring(H.raises(H.run, function()
      rl.spawn_on(2, function() ch:recv() end):join()
    end, {shards = 2}))
    assert.is_truthy(err:find("chan receive on ringlet.shared.chan: 0/0", 1, true), err)
    assert.equal("EAGAIN", select(3, ch:try_send(1)))
  end)

  it("that fails takes its waiters from a shared channel", function()
    local ch, ready = shared.chan(), shared.chan()
    H.raises_text("enough", H.run, function()
      rl.spawn_on(2, function() ready:send(true) ch:recv() end)
      ready:recv()
      error("enough")
    end, {shards = 2})
    assert.equal("EAGAIN", select(3, ch:try_send(1)))
  end)
end)

describe("a shared channel outside of run", function()
  it("holds values from one run to the next", function()
    local ch = shared.chan(2)
    assert.is_true(ch:try_send("before"))
    H.run(function()
      assert.equal("before", ch:recv())
      ch:send("from inside")
    end)
    assert.equal("from inside", ch:try_recv())
    assert.equal("EAGAIN", select(3, ch:try_recv()))
    H.raises(ch.send, ch, 1)
    H.raises(ch.recv, ch)
    ch:close()
  end)

  it("has no waiter left of a run that was stuck", function()
    local ch = shared.chan()
    local err = H.raises(H.run, function() ch:recv() end)
    assert.is_truthy(tostring(err):find("chan receive on ringlet.shared.chan: 0/0", 1, true),
      tostring(err))
    assert.equal("EAGAIN", select(3, ch:try_send(1)))
  end)
end)
