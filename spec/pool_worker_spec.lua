-- SPDX-License-Identifier: MIT
-- Workers of pools as users see them: their states, pausing and ending one, heartbeats; and what
-- the core does for them: resting, rousing, a backup.
local H = require "spec.helper"
local rl = require "ringlet"
local in_turn = require "spec.in_turn"
local states = require "ringlet.pool_states"

local HERE = "spec/pool_worker_spec.lua:"
local STATES = {"created", "pending", "running", "paused", "failed", "terminated"}

local function nothing() end

local function settle()
  for _ = 1, 8 do
    rl.yield()
  end
end

local function with_pool(opts, fn)
  local pool = rl.pool(opts)
  fn(pool)
  pool:close()
  assert.is_true(pool:join())
  settle()
  local s = pool:stats()
  assert.same({0, 0, 0, 0}, {s.running, s.queued, s.workers, s.idle})
  assert.same({}, pool:workers())
  assert.equal(s.submitted, s.done + s.failed + s.cancelled + s.rejected + s.dropped)
end

local function states_of(pool)
  local list = {}
  for i, w in ipairs(pool:workers()) do
    list[i] = w:state()
  end
  return table.concat(list, " ")
end

-- n tasks that have begun, and what lets them end.
local function begin(pool, n)
  local gate, futures = rl.event(), {}
  for i = 1, n do
    futures[i] = pool:submit(function()
      gate:wait()
      return i
    end)
  end
  settle()
  return gate, futures
end

describe("the states of workers", function()
  it("have these transitions", function()
    local wanted = {
      created = "pending terminated", pending = "running paused terminated",
      running = "pending paused failed terminated",
      paused = "pending running failed terminated", failed = "terminated", terminated = "",
    }
    for _, from in ipairs(STATES) do
      local may = {}
      for _, to in ipairs(STATES) do
        if states.may(from, to) then may[#may + 1] = to end
        local w = {id = 3, phase = from}
        if states.may(from, to) then
          states.move(w, to)
          assert.equal(to, w.phase)
        else
          H.raises_text(("worker 3 is %s: it cannot become %s"):format(from, to), states.move, w,
            to)
          assert.equal(from, w.phase)
        end
      end
      assert.equal(wanted[from], table.concat(may, " "))
    end
  end)
end)

in_turn.both("a worker", function(it)
  it("is created, waits, runs, waits, ends", function()
    with_pool({size = 2, tags = {zone = "a", list = {}}}, function(pool)
      assert.same({}, pool:workers())
      local gate = rl.event()
      pool:submit(gate.wait, gate)
      local w = pool:workers()[1]
      assert.same({"created", 0}, {w:state(), w.done})
      assert.is_true(w.since <= rl.now() and w.since > rl.now() - 1)
      settle()
      assert.equal("running", w:state())
      gate:set()
      settle()
      assert.same({"pending", 1}, {w:state(), w.done})
      assert.equal("ringlet.pool_worker: 1 of pool, pending, 1 tasks done", tostring(w))
      w.tags.zone = "b"
      begin(pool, 2):set()
      local other = pool:workers()[2]
      assert.same({2, "a"}, {other.id, other.tags.zone})
      settle()
      pool:close()
      assert.same({"terminated", "terminated"}, {w:state(), other:state()})
    end)
  end)

  it("that is paused begins nothing, and its seat stays empty", function()
    with_pool({size = 2, queue = 9}, function(pool)
      begin(pool, 2):set()
      settle()
      local a, b = pool:workers()[1], pool:workers()[2]
      a:pause()
      assert.equal("paused", a:state())
      assert.equal(1, pool:free())
      local gate = begin(pool, 3)
      assert.same({1, 2, 0}, {pool:running(), pool:waiting(), pool:free()})
      assert.same({2, 2}, {pool:capacity(), #pool:workers()})
      assert.equal("paused running", states_of(pool))
      b:pause()
      assert.equal("paused", b:state()) -- its task goes on
      assert.equal(1, pool:running())
      gate:set()
      settle()
      assert.same({0, 2, 0}, {pool:running(), pool:waiting(), pool:free()})
      b:resume()
      settle()
      assert.same({0, 0, 1}, {pool:running(), pool:waiting(), pool:free()})
      a:resume()
      assert.equal("pending pending", states_of(pool))
      assert.equal(2, pool:free())
      assert.equal(5, a.done + b.done)
    end)
  end)

  it("is paused and resumed while its task runs", function()
    with_pool({size = 1, queue = 9}, function(pool)
      local gate = begin(pool, 1)
      local w = pool:workers()[1]
      w:pause()
      w:resume()
      assert.equal("running", w:state())
      gate:set()
      settle()
      assert.equal("pending", w:state())
      gate = begin(pool, 1)
      w:pause()
      gate:set()
      local f = pool:submit(nothing)
      settle()
      assert.equal("pending", f:status())
      w:resume()
      assert.same({true}, {f:join()})
      assert.equal(1, #pool:workers())
    end)
  end)

  it("is paused between being roused and its turn", function()
    with_pool({size = 1, queue = 9}, function(pool)
      pool:submit(nothing):join()
      local w = pool:workers()[1]
      local f = pool:submit(nothing)
      w:pause()
      settle()
      assert.same({"paused", "pending", 1}, {w:state(), f:status(), pool:waiting()})
      w:resume()
      settle()
      assert.equal("done", f:status())
      f = pool:submit(nothing)
      w:pause()
      w:resume()
      settle()
      assert.equal("done", f:status())
    end)
  end)

  it("raises for what is no transition, at the caller's line", function()
    with_pool({size = 2}, function(pool)
      pool:submit(nothing)
      local w = pool:workers()[1]
      local err = H.raises_text("worker 1 is created: it cannot become paused",
        function() w:pause() end)
      assert.truthy(tostring(err):find(HERE, 1, true), tostring(err))
      settle()
      H.raises_text("worker 1 is pending: it cannot become pending", w.resume, w)
      w:pause()
      H.raises_text("worker 1 is paused: it cannot become paused", w.pause, w)
      w:resume()
      assert.is_true(w:destroy())
      H.raises_text("worker 1 is terminated: it cannot become paused", w.pause, w)
      err = H.raises_text("worker 1 is terminated: it cannot become pending",
        function() w:resume() end)
      assert.truthy(tostring(err):find(HERE, 1, true), tostring(err))
      assert.is_false(w:destroy())
      assert.is_false(w:destroy(true))
    end)
  end)

  it("that is paused does not keep a pool from being closed", function()
    with_pool({size = 1, queue = 3}, function(pool)
      pool:submit(nothing):join()
      local w = pool:workers()[1]
      w:pause()
      local f = pool:submit(function() return 1 end)
      pool:close()
      assert.equal("terminated", w:state())
      assert.same({true, 1}, {f:join()})
      pool:reopen()
      local gate
      gate, f = begin(pool, 1)
      pool:workers()[1]:pause()
      pool:close()
      gate:set()
      assert.same({true, 1}, {f[1]:join()})
    end)
  end)

  it("keeps its seat empty, however the task ended that it had", function()
    local ends = {
      function(gate) rl.self():name "marked" gate:wait() end,
      function(gate) gate:wait() rl.self():cancel() end,
      function(gate) gate:wait() coroutine.yield() end,
      function(gate) gate:wait() error "x" end,
      function(gate) pcall(gate.wait, gate) end, -- cancelled
    }
    rl.on_error(nothing)
    for i, way in ipairs(ends) do
      with_pool({size = 1, queue = 3}, function(pool)
        local gate = rl.event()
        local first = pool:submit(way, gate)
        settle()
        local w = pool:workers()[1]
        w:pause()
        if i == #ends then first:cancel() end
        gate:set()
        local f = pool:submit(function() return rl.self():name() end)
        settle()
        assert.same({"paused", "pending", 0}, {w:state(), f:status(), pool:free()})
        w:resume()
        assert.same({true}, {f:join()})
        settle()
        assert.equal("terminated", w:state()) -- somebody looked at it
        assert.equal(2, w.done)
      end)
    end
    rl.on_error(nil)
  end)

  it("is ended: at once without a task, after its task with one", function()
    with_pool({size = 2, queue = 9}, function(pool)
      begin(pool, 2):set()
      settle()
      local a, b = pool:workers()[1], pool:workers()[2]
      assert.is_true(a:destroy())
      assert.same({"terminated", 1, 1}, {a:state(), #pool:workers(), pool:stats().idle})
      local gate, futures = begin(pool, 3)
      assert.equal(2, #pool:workers()) -- one was made
      assert.is_true(b:destroy())
      assert.equal("running", b:state())
      gate:set()
      settle()
      for i = 1, 3 do assert.same({true, i}, {futures[i]:join()}) end
      assert.equal("terminated", b:state())
    end)
  end)

  it("is ended by force: its task is cancelled, and others go on", function()
    with_pool({size = 1, queue = 9}, function(pool)
      local gate, futures = begin(pool, 2)
      local w = pool:workers()[1]
      assert.is_true(w:destroy())
      assert.is_true(w:destroy(true))
      local ok, err = futures[1]:join()
      assert.is_false(ok)
      assert.same({true, "the worker was destroyed"}, {rl.is_cancel(err)})
      gate:set()
      assert.same({true, 2}, {futures[2]:join()})
      assert.equal("terminated", w:state())
      assert.equal(2, pool:workers()[1].id)
    end)
  end)

  it("is ended on its way to a task, which another one then runs", function()
    with_pool({size = 1, queue = 9}, function(pool)
      local f = pool:submit(function() return 1 end) -- its worker was just made
      assert.is_true(pool:workers()[1]:destroy())
      assert.same({true, 1}, {f:join()})
      f = pool:submit(function() return 2 end) -- and this one roused
      assert.is_true(pool:workers()[1]:destroy())
      assert.same({true, 2}, {f:join()})
      local w = pool:workers()[1]
      w:pause()
      f = pool:submit(function() return 3 end)
      settle()
      assert.equal("pending", f:status())
      assert.is_true(w:destroy())
      assert.same({true, 3}, {f:join()})
    end)
  end)

  it("may be paused or ended by the task of another one, as its backup", function()
    for _, way in ipairs {"pause", "destroy"} do
      with_pool({size = 2, queue = 9}, function(pool)
        begin(pool, 2):set()
        settle()
        for i = 1, 4 do
          local gate, log = rl.event(), {}
          pool:submit(function()
            for _, w in ipairs(pool:workers()) do
              if w:state() == "pending" then w[way](w) end
            end
            log[#log + 1] = "a"
            if i % 2 == 0 then gate:wait() end
          end)
          local f = pool:submit(function() log[#log + 1] = "b" end)
          settle()
          if way == "destroy" or i % 2 == 1 then
            assert.equal("done", f:status())
          else
            assert.equal("pending", f:status()) -- the other seat is empty
          end
          gate:set()
          f:join()
          for _, w in ipairs(pool:workers()) do
            if w:state() == "paused" then w:resume() end
          end
          settle()
          assert.same({"a", "b"}, log)
          assert.equal(2, pool:free())
        end
      end)
    end
  end)

  it("lets a pool be made smaller while it is paused", function()
    with_pool({size = 3, queue = 9}, function(pool)
      begin(pool, 3):set()
      settle()
      local list = pool:workers()
      list[1]:pause()
      list[2]:pause()
      pool:resize(1)
      assert.same({0, 2}, {pool:free(), #pool:workers()})
      local f = pool:submit(nothing)
      settle()
      assert.equal("pending", f:status())
      list[1]:resume()
      settle()
      assert.equal("terminated", list[1]:state()) -- one too many
      assert.equal("pending", f:status())
      list[2]:resume()
      assert.is_true((f:join()))
      assert.equal(1, pool:free())
    end)
  end)
end)

describe("a paused worker", function()
  it("keeps a run whose tasks wait for it alone", function()
    local log = {}
    H.run(function()
      local pool = rl.pool {size = 1, queue = 3}
      pool:submit(nothing):join()
      local w = pool:workers()[1]
      w:pause()
      pool:submit(function() log[#log + 1] = "ran" end)
      rl.daemon(function()
        rl.sleep(5)
        log[#log + 1] = "resumed"
        w:resume()
      end)
    end)
    assert.same({"resumed", "ran"}, log)
    local text = H.raises(H.run, function()
      local pool = rl.pool {size = 1, queue = 3}
      pool:submit(nothing):join()
      pool:workers()[1]:pause()
      pool:submit(nothing)
    end)
    assert.truthy(text:find("ringlet.pool: pool, 0 of 1 running, 1 waiting", 1, true), text)
  end)

  it("does not keep a run from its end", function()
    local pool = rl.pool {size = 1}
    H.raises_text("main", H.run, function()
      pool:submit(nothing):join()
      pool:workers()[1]:pause()
      error "main"
    end)
    assert.same({true, 1}, {H.run(function()
      return pool:submit(function() return 1 end):join()
    end)})
  end)
end)
