-- SPDX-License-Identifier: MIT
local rl = require "ringlet"
local H = require "spec.helper"
local P = require "spec.resource_pool"
local in_turn = require "spec.in_turn"

local HERE = "spec/resources_spec.lua:"

local new_pool, finish, turns, fails = P.new, P.finish, P.turns, P.fails

-- A pool that opens nothing before the event was set.
local function gated_pool(gate, opts)
  local pool, seen
  opts.open = function()
    seen.live = seen.live + 1
    gate:wait()
    seen.opened = seen.opened + 1
    seen.log[#seen.log + 1] = "open " .. seen.opened
    return {seen.opened}
  end
  pool, seen = new_pool(opts)
  return pool, seen
end

in_turn.both("a resource pool", function(it)
  it("opens what is needed and reuses it, what came back last first", function()
    local pool, seen = new_pool()
    local a, b, c = pool:acquire(), pool:acquire(), pool:acquire()
    assert.same({1, 2, 3}, {a[1], b[1], c[1]})
    pool:release(a)
    pool:release(c)
    pool:release(b)
    assert.equal(b, pool:acquire())
    assert.equal(c, pool:acquire())
    assert.equal(a, pool:acquire())
    assert.equal(3, seen.opened)
    for _, r in ipairs{a, b, c} do pool:release(r) end
    finish(pool, seen)
  end)

  it("never has more than max, opening and closing ones included", function()
    local pool, seen = new_pool{max = 3}
    seen.open_time = 0.0001
    local wg = rl.waitgroup()
    for i = 1, 50 do
      wg:go(function()
        local r = pool:acquire()
        rl.yield()
        pool:release(r, i % 3 == 0)
      end)
    end
    wg:wait()
    assert.equal(3, seen.peak)
    assert.equal(50, pool:stats().acquired)
    finish(pool, seen)
  end)

  it("serves who waits in the order they came", function()
    local pool, seen = new_pool{max = 1}
    local r, log, wg = pool:acquire(), {}, rl.waitgroup()
    for i = 1, 5 do
      wg:go(function()
        local mine = pool:acquire()
        log[#log + 1] = i
        rl.yield()
        pool:release(mine)
      end)
    end
    turns()
    pool:release(r)
    -- It has been given to the first already: nobody overtakes.
    fails("EAGAIN", pool:try_acquire())
    wg:go(function()
      pool:release(pool:acquire())
      log[#log + 1] = 6
    end)
    wg:wait()
    assert.same({1, 2, 3, 4, 5, 6}, log)
    finish(pool, seen)
  end)

  it("a waiter that timed out or was cancelled never swallows a resource", function()
    local pool, seen = new_pool{max = 1}
    local r = pool:acquire()
    local got = {}
    local a = rl.go(function() fails("ETIMEDOUT", pool:acquire(0.001)) end)
    local b = rl.go(function() pool:acquire() end)
    local c = rl.go(function()
      got.c = pool:acquire()
      pool:release(got.c)
    end)
    rl.sleep(0.01)
    b:cancel()
    pool:release(r)
    assert.is_true((a:join()))
    assert.is_false((b:join()))
    assert.is_true((c:join()))
    assert.equal(r, got.c)
    assert.same({1, 1}, {pool:stats().timeouts, pool:stats().idle})
    finish(pool, seen)
  end)

  it("cancelled at the moment it is handed over is not lost", function()
    local pool, seen = new_pool{max = 1}
    local r = pool:acquire()
    local task = rl.go(function()
      local mine = pool:acquire()
      pool:release(mine)
    end)
    turns()
    pool:release(r)
    task:cancel()
    task:join()
    assert.equal(r, pool:acquire(30))
    pool:release(r)
    finish(pool, seen)
  end)

  it("a cancelled task gets none, even if one is idle", function()
    local pool, seen = new_pool()
    pool:release(pool:acquire())
    local task = rl.go(function()
      rl.self():cancel("why")
      pool:acquire()
    end)
    assert.is_true(rl.is_cancel(select(2, task:join())))
    assert.equal(0, pool:stats().borrowed)
    finish(pool, seen)
  end)

  it("release and discard work while cancelled", function()
    local pool, seen = new_pool()
    local task = rl.go(function()
      local a, b = pool:acquire(), pool:acquire()
      rl.self():cancel()
      pool:release(a)
      pool:discard(b)
      rl.yield()
    end)
    task:join()
    turns()
    assert.same({"open 1", "open 2", "close 2 broken"}, seen.log)
    finish(pool, seen)
  end)

  it("a discarded one makes room for a new one, for who waits", function()
    local pool, seen = new_pool{max = 1}
    local r = pool:acquire()
    local task = rl.go(function() return pool:acquire() end)
    turns()
    pool:discard(r)
    local ok, other = task:join()
    assert.same({true, {2}}, {ok, other})
    pool:release(other, true)
    turns()
    assert.same({"open 1", "close 1 broken", "open 2", "close 2 broken"}, seen.log)
    finish(pool, seen)
  end)

  it("try_acquire gives what is idle, else opens for who asks later", function()
    local pool, seen = new_pool{max = 1}
    fails("EAGAIN", pool:try_acquire())
    fails("EAGAIN", pool:try_acquire())
    turns()
    local r = pool:try_acquire()
    assert.same({1}, r)
    fails("EAGAIN", pool:try_acquire())
    turns()
    assert.equal(1, seen.opened)
    pool:release(r)
    pool:close()
    fails("ECLOSED", pool:try_acquire())
    finish(pool, seen)
  end)

  it("raises on what is not borrowed, at the caller's level", function()
    local pool, seen = new_pool()
    local r = pool:acquire()
    pool:release(r)
    for _, fn in ipairs{pool.release, pool.discard} do
      for res, text in pairs{[r] = "released twice", [{}] = "was not borrowed", x = "borrowed"} do
        local err = H.raises_text(text, function()
          fn(pool, res)
        end)
        assert.is_truthy(err:find(HERE, 1, true), err)
      end
      H.raises_text("not borrowed", fn, pool, nil)
    end
    local other, also = new_pool()
    local theirs = other:acquire()
    H.raises_text("not borrowed", pool.release, pool, theirs)
    other:release(theirs)
    finish(pool, seen)
    finish(other, also)
    H.raises_text("not borrowed", pool.release, pool, r)
  end)

  it("is used by a whole crowd, with failures, and nothing is left", function()
    local pool, seen = new_pool{max = 4, max_uses = 7, check = function(r)
      rl.yield()
      return r[1] % 5 ~= 0
    end}
    local wg, ok, refused = rl.waitgroup(), 0, 0
    for i = 1, 200 do
      wg:go(function()
        seen.failing = i % 9 == 0
        local r, _, code = pool:acquire(i % 4 == 0 and 0.0001 or nil)
        if not r then
          refused = refused + 1
          assert.is_true(code == "EX" or code == "ETIMEDOUT", code)
          return
        end
        rl.yield()
        ok = ok + 1
        pool:release(r, i % 11 == 0)
      end)
    end
    wg:wait()
    assert.equal(200, ok + refused)
    assert.is_true(seen.peak <= 4)
    finish(pool, seen)
  end)
end)

in_turn.both("with", function(it)
  it("lends for a call, and gives its results", function()
    local pool, seen = new_pool()
    local got = H.pack(pool:with(function(r, ...)
      assert.equal(1, pool:stats().borrowed)
      return r[1], ...
    end, nil, 3))
    assert.same({n = 3, 1, nil, 3}, got)
    assert.same({0, 1}, {pool:stats().borrowed, pool:stats().idle})
    finish(pool, seen)
  end)

  it("discards when the function raises or is cancelled, and raises that unchanged", function()
    local pool, seen = new_pool()
    local e = {}
    assert.is_true(rawequal(e, H.raises(pool.with, pool, function() rl.yield() error(e) end)))
    local task = rl.go(function() pool:with(function() rl.sleep(1000) end) end)
    turns()
    task:cancel("why")
    local _, err = task:join()
    assert.same({true, "why"}, {rl.is_cancel(err)})
    turns()
    assert.same({"open 1", "close 1 broken", "open 2", "close 2 broken"}, seen.log)
    finish(pool, seen)
  end)

  it("keeps it when `keep` says so", function()
    local pool, seen = new_pool{keep = function(r, err)
      return r[1] == 1 and (rl.is_cancel(err) or err == "mine")
    end}
    assert.equal("mine", H.raises(pool.with, pool, function() error("mine", 0) end))
    fails("ETIMEDOUT", rl.timeout(0.001, pool.with, pool, function() rl.sleep(1000) end))
    assert.equal(1, pool:stats().idle)
    H.raises(pool.with, pool, function() error("other") end)
    turns()
    assert.same({"open 1", "close 1 broken"}, seen.log)
    finish(pool, seen)
  end)

  it("tells of a `keep` that raises, and discards", function()
    local told
    rl.on_error(function(err) told = err end)
    local pool, seen = new_pool{keep = function() error("kept", 0) end}
    assert.equal("mine", H.raises(pool.with, pool, function() error("mine", 0) end))
    assert.equal("kept", told)
    finish(pool, seen)
    assert.equal("close 1 broken", seen.log[2])
  end)

  it("lets the function give it back itself", function()
    local pool, seen = new_pool{max = 1}
    assert.equal("x", pool:with(function(r) pool:discard(r) return "x" end))
    -- Given back, and borrowed by another when the function ends.
    local other
    pool:with(function(r)
      pool:release(r)
      other = pool:acquire()
    end)
    assert.equal(1, pool:stats().borrowed)
    pool:release(other)
    finish(pool, seen)
  end)

  it("fails as acquire does, and does not call the function", function()
    local pool, seen = new_pool{max = 1, acquire_timeout = 0.001}
    local r = pool:acquire()
    fails("ETIMEDOUT", pool:with(error, "called"))
    pool:release(r)
    pool:close()
    fails("ECLOSED", pool:with(error, "called"))
    H.raises_text("function expected", function() pool:with(nil) end)
    finish(pool, seen)
  end)
end)

in_turn.both("the check of an idle resource", function(it)
  it("comes before its reuse; what fails or raises is closed, and the next is tried", function()
    local verdict = {}
    local pool, seen = new_pool{check = function(r)
      rl.yield()
      if verdict[r[1]] == "raise" then error("bad") end
      return verdict[r[1]]
    end}
    local a, b, c = pool:acquire(), pool:acquire(), pool:acquire()
    pool:release(a)
    pool:release(b)
    pool:release(c)
    verdict = {true, false, "raise"}
    assert.equal(a, pool:acquire())
    verdict = {}
    pool:release(a)
    local d = pool:acquire()
    assert.same({4}, d)
    pool:release(d)
    assert.equal(3, pool:stats().closed.check)
    assert.is_truthy(pool:stats().last_failure:find("bad"))
    finish(pool, seen)
  end)

  it("is not made of what goes from hand to hand", function()
    local pool, seen = new_pool{max = 1, check = error}
    local r = pool:acquire()
    local task = rl.go(function() pool:release((pool:acquire())) end)
    turns()
    pool:release(r)
    assert.is_true((task:join()))
    finish(pool, seen)
  end)

  it("counts as a use of its place, and whoever came meanwhile is behind", function()
    local pool, seen = new_pool{max = 1, check = function() rl.yield() return false end}
    pool:release((pool:acquire()))
    local log, wg = {}, rl.waitgroup()
    for i = 1, 3 do
      wg:go(function()
        local r = pool:acquire()
        log[#log + 1] = i
        assert.equal(1, seen.peak)
        pool:release(r)
      end)
    end
    wg:wait()
    assert.same({1, 2, 3}, log)
    assert.same({"open 1", "close 1 check", "open 2"}, seen.log)
    finish(pool, seen)
  end)

  it("takes part of the caller's time; cancelled or late, the resource is closed", function()
    local pool, seen = new_pool{check = function() rl.sleep(1000) return true end}
    pool:release((pool:acquire()))
    fails("ETIMEDOUT", pool:acquire(0.001))
    turns()
    assert.equal("close 1 check", seen.log[2])
    pool:release((pool:acquire(30)))
    local task = rl.go(pool.acquire, pool)
    turns()
    task:cancel()
    assert.is_false((task:join()))
    assert.same({2, 0, 1}, {pool:stats().closed.check, pool:stats().borrowed,
      pool:stats().timeouts})
    finish(pool, seen)
  end)

  it("lends it to nobody yet: who gives it back once more is told so", function()
    local pool, seen = new_pool{check = function() rl.yield() return true end}
    local r = pool:acquire()
    pool:release(r)
    local task = rl.go(function() pool:release((pool:acquire())) end)
    rl.yield()
    assert.equal(1, pool:stats().borrowed)
    H.raises_text("released twice", pool.release, pool, r)
    assert.is_true((task:join()))
    finish(pool, seen)
  end)

  it("of a pool that is closed meanwhile ends in ECLOSED", function()
    for _, method in ipairs{"acquire", "try_acquire"} do
      local pool, seen = new_pool{check = function() rl.yield() return true end}
      pool:release((pool:acquire()))
      local task = rl.go(function() fails("ECLOSED", pool[method](pool)) end)
      rl.yield()
      pool:close()
      assert.is_true((task:join()))
      finish(pool, seen)
    end
  end)
end)

in_turn.both("closing a resource pool", function(it)
  it("fails who waits and who comes, closes what is idle, and the rest when it is back", function()
    local pool, seen = new_pool{max = 2}
    local a, b = pool:acquire(), pool:acquire()
    pool:release(a)
    a = pool:acquire()
    local task = rl.go(function() fails("ECLOSED", pool:acquire()) end)
    turns()
    pool:close()
    assert.is_true((task:join()))
    assert.is_true(pool:close())
    pool:release(b)
    fails("ECLOSED", pool:acquire())
    fails("ETIMEDOUT", pool:close(0.001))
    pool:release(a)
    finish(pool, seen)
    assert.is_truthy(tostring(pool):find("closed, 0 of 2 open", 1, true))
  end)

  it("closes what is being opened when that is done", function()
    local gate = rl.event()
    local pool, seen = gated_pool(gate, {})
    local task = rl.go(function() fails("ECLOSED", pool:acquire()) end)
    rl.yield()
    turns()
    pool:close()
    assert.is_true((task:join()))
    assert.same({1, 0}, {pool:stats().opening, pool:stats().waiting})
    gate:set()
    assert.is_true(pool:close(30))
    assert.same({"open 1", "close 1 closed"}, seen.log)
    finish(pool, seen)
  end)

  it("tells of what `close` raises, and goes on", function()
    local told = {}
    rl.on_error(function(err) told[#told + 1] = err end)
    local pool = rl.resources{max = 1, open = function() return {} end,
      close = function() error("shut", 0) end}
    for _ = 1, 3 do pool:discard((pool:acquire())) end
    assert.is_true(pool:close(30))
    assert.same({"shut", "shut", "shut"}, told)
  end)

  it("gives `close` its time, and then the place to the next", function()
    local told
    rl.on_error(function(err) told = err end)
    local pool = rl.resources{max = 1, open = function() return {} end, close_timeout = 0.01,
      close = function() rl.sleep(1000) end}
    pool:discard((pool:acquire()))
    fails("ETIMEDOUT", pool:acquire(0.001))
    local r = pool:acquire()
    assert.is_truthy(told:find("closing a resource took more than 0.01 s", 1, true), told)
    pool:release(r)
    assert.is_true(pool:close(30))
  end)

  it("works without a `close`", function()
    local pool = rl.resources{max = 2, open = function() return {} end}
    local a, b = pool:acquire(), pool:acquire()
    pool:release(a)
    pool:discard(b)
    assert.same({1, 1}, {pool:stats().open, pool:stats().closed.broken})
    assert.is_true(pool:close(0))
    assert.equal(0, pool:stats().open)
  end)
end)

in_turn.both("the size of a resource pool", function(it)
  it("grows for who waits, and shrinks by what is idle, then by what comes back", function()
    local pool, seen = new_pool{max = 1}
    local a = pool:acquire()
    local b = rl.go(function() return pool:acquire() end)
    local c = rl.go(function() return pool:acquire() end)
    turns()
    pool:resize(3)
    assert.equal(3, pool:size())
    b, c = select(2, b:join()), select(2, c:join())
    assert.same({2, 3}, {b[1], c[1]})
    pool:release(b)
    pool:resize(1)
    turns()
    assert.equal("close 2 resize", seen.log[4])
    pool:release(c)
    pool:release(a)
    turns()
    assert.same({"close 3 resize", 1}, {seen.log[5], pool:stats().idle})
    finish(pool, seen)
  end)

  it("what was being opened for more places than there are is closed", function()
    local gate = rl.event()
    local pool, seen = gated_pool(gate, {max = 3})
    local tasks = {}
    for i = 1, 3 do
      tasks[i] = rl.go(function()
        local r = pool:acquire()
        rl.yield()
        pool:release(r)
      end)
    end
    turns(2)
    pool:resize(1)
    gate:set()
    for i = 1, 3 do assert.is_true((tasks[i]:join())) end
    assert.equal(2, pool:stats().closed.resize)
    finish(pool, seen)
  end)

  it("is bounded", function()
    local pool, seen = new_pool{min_idle = 2, max = 4}
    for _, n in ipairs{0, -1, 1.5, 0 / 0, "x"} do
      local err = H.raises(function() pool:resize(n) end)
      assert.is_truthy(err:find(HERE, 1, true), err)
    end
    pool:resize(1)
    turns()
    assert.equal(1, pool:stats().open)
    pool:resize(4)
    turns()
    assert.equal(2, pool:stats().idle)
    finish(pool, seen)
  end)

  it("max_waiting: more are refused at once", function()
    local pool, seen = new_pool{max = 1, max_waiting = 2}
    local r = pool:acquire()
    local tasks = {}
    for i = 1, 2 do tasks[i] = rl.go(function() pool:release((pool:acquire())) end) end
    turns()
    fails("EOVERLOAD", pool:acquire())
    assert.equal(1, pool:stats().refused)
    pool:release(r)
    for i = 1, 2 do tasks[i]:join() end
    finish(pool, seen)
  end)
end)

H.sim("what a resource pool tells", function(it)
  it("its counters", function()
    local pool, seen = new_pool{max = 2, name = "db"}
    local a, b = pool:acquire(), pool:acquire()
    local task = rl.go(function() pool:release((pool:acquire())) end)
    rl.sleep(2)
    assert.same({active = 1, queue = 1, wait = 2}, {active = pool:metrics().active,
      queue = pool:metrics().queue, wait = math.floor(pool:metrics().wait + 0.5)})
    assert.equal("ringlet.resources: db, 2 of 2 open, 0 idle, 1 waiting", tostring(pool))
    pool:release(a)
    task:join()
    rl.sleep(2)
    pool:release(b)
    local s = pool:stats()
    assert.same({2, 2, 2, 0, 3, 2}, {s.max, s.open, s.idle, s.borrowed, s.acquired, s.opened})
    assert.near(2 / 3, s.wait_mean, 0.01)
    assert.near(2, s.wait_max, 0.01)
    assert.near(2, s.use_mean, 0.01)
    assert.near(4, s.use_max, 0.01)
    assert.same({active = 0, queue = 0, wait = 0}, pool:metrics())
    finish(pool, seen)
  end)
end)

describe("the options of a resource pool", function()
  it("are checked, at the caller's level", function()
    local function open() end
    for text, opts in pairs{
      ["'open' is missing"] = {}, ["unknown option 'opn'"] = {opn = open},
      ["'max' must be a whole number of at least 1"] = {open = open, max = 0},
      ["'min_idle' is more than 'max' (3)"] = {open = open, max = 3, min_idle = 4},
      ["(10)"] = {open = open, min_idle = 11},
      ["'idle_timeout' must be a number more than 0"] = {open = open, idle_timeout = 0},
      ["'jitter' must be a number from 0 to 1"] = {open = open, jitter = 1.1},
      ["'max_uses'"] = {open = open, max_uses = 0.5},
      ["'leak_after'"] = {open = open, leak_after = 0 / 0},
      ["'close' must be a function"] = {open = open, close = 1},
    } do
      local err = H.raises_text(text, function()
        local _ = rl.resources(opts)
      end)
      assert.is_truthy(err:find(HERE, 1, true), err)
    end
    local err = H.raises_text("'open' is missing", function()
      local _ = rl.resources()
    end)
    assert.is_truthy(err:find(HERE, 1, true), err)
  end)

  it("may be infinite where that makes sense", function()
    local pool = rl.resources{open = function() return {} end, idle_timeout = math.huge,
      max_lifetime = math.huge, acquire_timeout = math.huge, close_timeout = math.huge,
      close = function() end}
    H.run(function()
      pool:release((pool:acquire()))
      rl.sleep(1e6)
      assert.equal(1, pool:stats().idle)
      pool:close(1)
    end)
  end)
end)
