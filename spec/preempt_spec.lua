-- SPDX-License-Identifier: MIT
local rl = require "ringlet"
local H = require "spec.helper"

if H.missing.uring then
  describe("preemption", function()
    pending("is skipped: " .. H.missing.uring)
  end)
  return
end

-- Interpreted code sees hooks on both VMs.
local function interpreted(fn)
  if H.jit then
    require("jit").off(fn, true)
  end
  return fn
end

-- Computes for about `seconds` of CPU time, never parks. Returns when `stop()` says so, as when the
-- watchdog has done something: that may itself have to wait for a CPU.
local spin = interpreted(function(seconds, stop)
  local t0, n = os.clock(), 0
  while os.clock() - t0 < seconds do
    for _ = 1, 1000 do
      n = n + 1
    end
    if stop and stop() then
      break
    end
  end
  return n
end)

local function run(fn, opts)
  local all = {backend = "uring"}
  for k, v in pairs(opts or {}) do all[k] = v end
  return rl.run(fn, all)
end

describe("preemption", function()
  it("lets others run beside a task that computes", function()
    local ticks = run(function()
      local n, stop = 0, false
      rl.go(function()
        while not stop do
          rl.sleep(0.001)
          n = n + 1
        end
      end)
      rl.yield()
      spin(30, function() return n >= 5 end)
      stop = true
      return n
    end)
    assert.is_true(ticks >= 5, "ticks: " .. ticks)
  end)

  it("is counted", function()
    local before = rl.stats().preemptions
    run(function()
      rl.go(rl.yield)
      spin(30, function() return rl.stats().preemptions > before end)
    end)
    assert.is_true(rl.stats().preemptions > before)
  end)

  it("does not happen with preempt = false", function()
    local ran = run(function()
      local other = false
      rl.go(function() other = true end)
      spin(0.1)
      return other
    end, {preempt = false})
    assert.is_false(ran)
  end)

  it("does not happen on sim", function()
    local ran = H.run(function()
      local other = false
      rl.go(function() other = true end)
      spin(0.1)
      return other
    end)
    assert.is_false(ran)
  end)

  it("does not happen below 10 ms", function()
    run(function()
      local due, quick = rl.now() + 30, 0
      while quick < 20 and rl.now() < due do
        local other, from = false, rl.now()
        rl.yield()
        local task = rl.go(function() other = true end)
        spin(0.001)
        local ran = other
        if rl.now() - from < 0.008 then -- or the machine has made it longer
          quick = quick + 1
          assert.is_false(ran)
        end
        task:join()
      end
      assert.is_true(quick > 0)
    end, {slice = H.torture and 1 or nil})
  end)

  it("keeps all values of the computation", function()
    local sum = interpreted(function()
      local a, b, c, t = 1, 2.5, "x", {}
      for i = 1, 3000000 do
        a = a + i % 7
        if i % 100000 == 0 then
          t[#t + 1] = c .. i
        end
        b = b + 0.5
      end
      return a, b, #t, t[30]
    end)
    local expected = {sum()}
    local got = run(function()
      local stop = false
      rl.go(function()
        while not stop do
          rl.yield()
        end
      end)
      local tasks = {}
      for i = 1, 3 do
        tasks[i] = rl.go(sum)
      end
      local out = {}
      for i = 1, 3 do
        local _, a, b, c, d = tasks[i]:join()
        out[i] = {a, b, c, d}
      end
      stop = true
      return out
    end)
    for i = 1, 3 do
      assert.same(expected, got[i])
    end
  end)

  it("is no cancel point", function()
    local finished = run(function()
      local done = false
      local task = rl.go(function()
        spin(0.1)
        done = true
        rl.sleep(1000)
      end)
      rl.go(function() task:cancel() end)
      assert.is_false((task:join()))
      return done
    end)
    assert.is_true(finished)
  end)

  it("leaves a coroutine inside a task alone", function()
    local function try()
      local other = false
      local task = rl.go(function() other = true end)
      local inner = coroutine.wrap(function()
        local before = other
        spin(0.1)
        coroutine.yield("mine", before, other) -- once it is left, the task may be preempted again
      end)
      local got, before, after = inner()
      task:join()
      assert.equal("mine", got)
      assert.equal(before, after)
      return not before
    end
    local shown = run(function()
      for _ = 1, 100 do
        if try() then return true end -- it was not preempted on its way there
      end
    end)
    assert.is_true(shown)
  end)

  it("stays out of places that cannot yield", function()
    run(function()
      rl.go(rl.yield)
      local list = {}
      for i = 1, 50 do
        list[i] = (i * 37) % 50
      end
      table.sort(list, interpreted(function(a, b)
        spin(0.0005)
        return a < b
      end))
      for i = 1, 50 do
        assert.equal(i - 1, list[i])
      end
      local s = ("abc"):gsub(".", interpreted(function(c) spin(0.03) return c .. c end))
      assert.equal("aabbcc", s)
    end)
  end)

  it("does not come inside table.remove, which is bytecode on LuaJIT", function()
    if H.jit then
      require("jit").off(table.remove)
      finally(function() require("jit").on(table.remove) end)
    end
    local before, due = rl.stats().preemptions, rl.now() + 30
    local remove = interpreted(function(list)
      for _ = 1, 1000 do
        table.remove(list, 1)
      end
    end)
    repeat
      local list = {}
      for i = 1, 20000 do list[i] = i end
      run(function()
        local a, b = rl.go(remove, list), rl.go(remove, list)
        a:join()
        b:join()
      end, {slice = 0.001, on_overrun = function() end})
      assert.equal(18000, #list)
      for i, v in ipairs(list) do
        if v ~= 2000 + i then error(("%d at %d"):format(v, i)) end
      end
    until rl.stats().preemptions - before >= 50 or rl.now() > due
    assert.is_true(rl.stats().preemptions > before)
  end)

  it("leaves a user's own hook alone", function()
    local hits = 0
    local hook = interpreted(function() hits = hits + 1 end)
    run(function()
      rl.go(rl.yield)
      debug.sethook(hook, "", 1000)
      spin(0.1)
      local now, mask, count = debug.gethook()
      debug.sethook()
      assert.equal(hook, now)
      assert.same({"", 1000}, {mask, count})
    end)
    assert.is_true(hits > 10, "hits: " .. hits)
  end)

  it("leaves no hook behind", function()
    run(function()
      rl.go(rl.yield)
      spin(0.1)
    end)
    assert.is_nil((debug.gethook()))
  end)

  it("leaves the disposition of SIGURG as it was", function()
    local status = io.open("/proc/self/status"):read("*a"):match("SigCgt:%s*(%x+)")
    run(function() spin(0.03) end)
    assert.equal(status, io.open("/proc/self/status"):read("*a"):match("SigCgt:%s*(%x+)"))
  end)

  it("keeps a ticker near its time beside an endless loop", function()
    local late = run(function()
      local least, stop, due = math.huge, false, rl.now() + 30 -- a busy machine makes some late
      local hog = rl.go(interpreted(function()
        while not stop and rl.now() < due do end
      end))
      repeat
        local t0 = rl.now()
        rl.sleep(0.001)
        least = math.min(least, rl.now() - t0 - 0.001)
      until least < 0.1 or rl.now() > due
      stop = true
      hog:join()
      return least
    end)
    assert.is_true(late < (H.torture and 1 or 0.1), "late by " .. late)
  end)

  it("of 4 tasks that compute gives each its share", function()
    -- Of turns: how much CPU time each has had in one of its slices is the machine's matter.
    local turns = run(function()
      local n, total, last, due = {0, 0, 0, 0}, 0, 0, rl.now() + 30
      for i = 1, 4 do
        rl.go(interpreted(function()
          while total < 41 and rl.now() < due do
            if last ~= i then
              last, total = i, total + 1
              n[i] = n[i] + 1
            end
          end
        end))
      end
      while total < 41 and rl.now() < due do rl.sleep(0.01) end
      return n
    end)
    local least, most = math.min(turns[1], turns[2], turns[3], turns[4]),
      math.max(turns[1], turns[2], turns[3], turns[4])
    assert.is_true(least >= 8 and most - least <= 3, table.concat(turns, " "))
  end)

  it("stops watching when tasks idle: no wake-ups", function()
    run(function()
      spin(0.02)
      rl.sleep(0.1)
      local before = rl.stats().turns
      rl.sleep(0.1)
      assert.is_true(rl.stats().turns - before <= 10)
    end)
  end)

  if H.jit then
    it("reports a compiled loop that overruns, once", function()
      local before, most = rl.stats().overruns, 3e8
      repeat -- the watchdog has to have a CPU meanwhile
        run(function()
          rl.go(rl.yield)
          local n = 0
          for _ = 1, most do
            n = n + 1
          end
          return n
        end, {on_overrun = function() end})
        most = 2 * most
      until rl.stats().overruns > before or most > 2e10
      assert.equal(1, rl.stats().overruns - before)
    end)
  end
end)
