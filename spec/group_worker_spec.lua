-- SPDX-License-Identifier: MIT
-- What becomes of logical shards: heartbeats, failures, replacements, pauses.
local H = require "spec.helper"
local rl = require "ringlet"
local shared = require "ringlet.shared"

local TWO = {shards = 2}

local function init(i)
  return {index = i, log = {}}
end

local methods = {}
function methods.note(s, _, v) s.log[#s.log + 1] = v return #s.log end
function methods.log(s) return s.log end
function methods.hang(s) s.log[#s.log + 1] = "hang" rl.sleep(1e4) return "late" end
function methods.slow(s, _, t, v) rl.sleep(t) s.log[#s.log + 1] = v return v end
function methods.raise(_, _, text) rl.yield() error(text, 0) end
function methods.step(_, _, g, n, t)
  for _ = 1, n do
    rl.sleep(t)
    g:beat()
  end
  return n
end
function methods.stubborn()
  pcall(rl.sleep, 1e4)
  rl.shield(rl.sleep, 5)
  return "late"
end
function methods.gated(_, _, begun, open, v)
  begun:store(1)
  while open:load() == 0 do rl.sleep(0.002) end
  return v
end
function methods.suicide() rl.self():cancel("me") rl.sleep(1) end

local function group(more)
  local opts = {shards = 2, init = init, methods = methods, stateless = true,
    router = function(key) return key end}
  for k, v in pairs(more or {}) do opts[k] = v end
  return assert(rl.group(opts))
end

local function near(a, b)
  return math.abs(a - b) <= 2 * H.TICK
end

for _, shards in ipairs{1, 2} do
  local on = {shards = shards}
  H.sim(("a logical shard without progress, %d threads"):format(shards), function(it)
    it("fails: what had begun is lost, the rest is done once by its replacement", function()
      local failures = {}
      local g = group{heartbeat = 2, on_failed = function(i, why)
        failures[#failures + 1] = {i, why, rl.now()}
      end}
      local t, got = rl.now(), {}
      g:call(2, "note", "before")
      rl.go(function() got.hang = H.pack(g:call(2, "hang")) got.at = rl.now() - t end)
      rl.sleep(0.5)
      for v = 1, 20 do
        if v % 2 == 0 then
          assert.is_true(g:cast(2, "note", v))
        else
          rl.go(function() got[v] = g:call(2, "note", v) end)
          rl.yield()
        end
      end
      local other = g:call(1, "note", "other")
      rl.sleep(4)
      assert.equal("ELOST", got.hang[3])
      assert.is_truthy(got.hang[2]:find "^ELOST: .*no progress for 2 s")
      assert.is_true(near(got.at, 2), got.at)
      local log = g:call(2, "log")
      for v = 1, 20 do assert.equal(v, log[v]) end
      assert.equal(20, #log)
      for v = 1, 20, 2 do assert.equal(v, got[v]) end
      assert.equal(1, other)
      assert.same({{2, "no progress for 2 s"}}, {{failures[1][1], failures[1][2]}})
      assert.equal(1, #failures)
      local stats = g:stats()[2]
      assert.same({2, 1, "running"}, {stats.generation, stats.lost, stats.state})
      rl.sleep(2e4)
      assert.same({21, "other"}, {#g:call(2, "log") + 1, g:call(1, "log")[1]})
      g:stop()
    end, on)

    it("may be slow if its heart beats", function()
      local g = group{heartbeat = 2}
      assert.equal(10, g:call(1, "step", g, 10, 1.9))
      assert.equal(1, g:stats()[1].generation)
      assert.equal("ELOST", (select(3, g:call(1, "step", g, 1, 2.1))))
      g:stop()
    end, on)

    it("has its late results dropped, however it ends", function()
      local g = group{heartbeat = 1}
      local f = g:submit(1, methods.stubborn)
      local ok, err = f:join()
      assert.same({false, "ELOST"}, {ok, rl.code(err)})
      assert.equal(1, g:call(1, "note", "next"))
      rl.sleep(20)
      local stats = g:stats()[1]
      assert.same({1, 1, 0}, {stats.done, stats.lost, stats.failed})
      g:stop()
    end, on)

    it("fails again and again, and nothing is done twice", function()
      local g = group{heartbeat = 1}
      local codes = {}
      for i = 1, 3 do
        rl.go(function() codes[i] = select(3, g:call(1, "hang")) end)
        rl.yield()
        g:cast(1, "note", i)
      end
      rl.sleep(10)
      assert.same({"ELOST", "ELOST", "ELOST"}, codes)
      assert.same({3}, g:call(1, "log"))
      local stats = g:stats()[1]
      assert.same({4, 3, 4}, {stats.generation, stats.lost, stats.done})
      g:stop()
    end, on)

    it("stays failed when its replacement's init raises", function()
      local reports = {}
      rl.on_error(function(err) reports[#reports + 1] = tostring(err) end)
      local made = {}
      local g = group{heartbeat = 1, init = function(i)
        made[i] = (made[i] or 0) + 1
        if made[i] > 1 then error("no more", 0) end
        return {index = i, log = {}}
      end}
      local first = rl.go(g.call, g, 1, "hang")
      local second = rl.go(g.call, g, 1, "note", 1)
      rl.sleep(2)
      assert.equal("ELOST", (select(4, first:join())))
      assert.equal("ELOST", (select(4, second:join())))
      assert.equal("ELOST", (select(3, g:call(1, "note", 1))))
      assert.same({"failed", "running"}, g:status())
      assert.equal(1, g:call(2, "note", 1))
      assert.same({"no more"}, reports)
      assert.is_true(g:stop())
    end, on)

    it("is stopped by force while its replacement begins", function()
      local made = 0
      local g = group{shards = 1, heartbeat = 1, init = function(i)
        made = made + 1
        if made > 1 then rl.sleep(1e6) end
        return {index = i, log = {}}
      end}
      rl.go(g.call, g, 1, "hang")
      local second = rl.go(g.call, g, 1, "note", 1)
      rl.sleep(2)
      assert.equal("pending", g:status(1))
      assert.is_true(g:stop(0))
      assert.equal("ECLOSED", (select(4, second:join())))
    end, on)

    it("may fail while it is paused, and its replacement is", function()
      local g = group{heartbeat = 1}
      local hang = rl.go(g.call, g, 1, "hang")
      rl.sleep(0.1)
      g:pause(1)
      g:cast(1, "note", 1)
      rl.sleep(2)
      assert.equal("ELOST", (select(4, hang:join())))
      assert.same({"paused", 1}, {g:status(1), g:stats()[1].queued})
      g:resume(1)
      assert.same({1}, g:call(1, "log"))
      g:stop()
    end, on)
  end)
end

H.both("a logical shard whose method raises", function(it)
  it("goes on", function()
    local g = group()
    g:call(1, "note", 1)
    for i = 1, 3 do
      H.raises_text("oops " .. i, g.call, g, 1, "raise", "oops " .. i)
    end
    assert.same({1}, g:call(1, "log"))
    H.eventually("three that failed", function() return g:stats()[1].failed == 3 end)
    g:stop()
  end, TWO)

  it("fails if that is wanted: a new state, and nobody else's call is lost", function()
    local reasons = {}
    local g = group{fail_on_error = true, on_failed = function(_, why)
      reasons[#reasons + 1] = why
    end}
    g:call(2, "note", 1)
    local bad = rl.go(function() return H.raises(g.call, g, 2, "raise", "oops") end)
    local good = {}
    for i = 1, 5 do good[i] = rl.go(g.call, g, 2, "note", i) end
    assert.is_truthy(select(2, bad:join()):find "^oops\nremote stack")
    for i = 1, 5 do assert.same({true, i}, {good[i]:join()}) end
    H.eventually("on_failed", function() return reasons[1] end)
    assert.same({"a method raised: oops"}, reasons)
    assert.same({2, 0}, {g:stats()[2].generation, g:stats()[2].lost})
    g:stop()
  end, TWO)

  it("fails if the method cancels its own task", function()
    local g = group()
    local err = H.raises(g.call, g, 1, "suicide")
    assert.same({true, "me"}, {rl.is_cancel(err)})
    assert.equal(1, g:call(1, "note", 1))
    assert.equal(2, g:stats()[1].generation)
    g:stop()
  end, TWO)
end)

H.both("a paused logical shard", function(it)
  it("holds its queue, and goes on in order", function()
    local g = group()
    assert.is_true(g:pause(2))
    assert.same({"running", "paused"}, g:status())
    local calls = {}
    for i = 1, 5 do
      calls[i] = rl.go(g.call, g, 2, "note", i)
      rl.yield()
    end
    assert.equal(1, g:call(1, "note", 1))
    H.eventually("five that wait", function() return g:stats()[2].queued == 5 end)
    assert.is_true(g:resume(2))
    for i = 1, 5 do assert.same({true, i}, {calls[i]:join()}) end
    g:stop()
  end, TWO)

  it("lets the call that has begun go on", function()
    local g = group()
    local begun, open = shared.atomic(), shared.atomic()
    local first = rl.go(g.call, g, 1, "gated", begun, open, "first")
    H.eventually("the first has begun", function() return begun:load() == 1 end)
    g:pause(1)
    local second = rl.go(g.call, g, 1, "slow", 0, "second")
    rl.sleep(0.01)
    open:store(1)
    assert.same({true, "first"}, {first:join()})
    rl.sleep(0.01)
    assert.equal("parked", (second:status()))
    g:resume(1)
    assert.same({true, "second"}, {second:join()})
    g:stop()
  end, TWO)

  it("is one of many: all at once, or one that is not running", function()
    local g = group{shards = 4}
    g:pause(3)
    assert.is_true(g:pause())
    assert.same({"paused", "paused", "paused", "paused"}, g:status())
    H.raises_text("logical shard 3 is paused: it cannot become paused", g.pause, g, 3)
    assert.is_true(g:resume())
    assert.is_true(g:resume())
    assert.same({"running", "running", "running", "running"}, g:status())
    H.raises_text("logical shard 3 is running: it cannot become running", g.resume, g, 3)
    g:stop()
  end, TWO)

  it("withdraws what its callers do not want any more", function()
    local g = group()
    g:pause(1)
    local f = g:submit(1, methods.note, 1)
    local h = rl.go(g.call, g, 1, "note", 2)
    local last = rl.go(g.call, g, 1, "note", 3)
    H.eventually("three that wait", function() return g:stats()[1].queued == 3 end)
    f:cancel()
    h:cancel()
    H.eventually("one that waits", function() return g:stats()[1].queued == 1 end)
    g:resume(1)
    assert.same({true, 1}, {last:join()})
    assert.is_true((rl.is_cancel((select(2, f:join())))))
    g:stop()
  end, TWO)
end)

describe("a group that nobody resumes", function()
  it("is a deadlock for its callers", function()
    H.raises_text("group call on ringlet.group: stuck (2 logical shards)", H.run, function()
      local g = group{name = "stuck"}
      g:pause()
      g:call(1, "note", 1)
    end, TWO)
  end)

  it("is dropped with what it holds when the run ends", function()
    H.run(function()
      local g = group()
      g:pause()
      g:cast(1, "note", 1)
    end, TWO)
    H.run(function()
      assert.is_nil(rl.groups "stuck")
      local g = group{name = "stuck"}
      assert.equal(1, g:call(1, "note", 1))
    end, TWO)
  end)
end)
