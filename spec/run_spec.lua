-- SPDX-License-Identifier: MIT
local net = require "ringlet.net"
local rl = require "ringlet"
local H = require "spec.helper"

local HERE = "spec/run_spec.lua:"

for _, backend in ipairs(H.BACKENDS) do
  describe("run on " .. backend, function()
    local function run(main, ...)
      return rl.run(main, {backend = backend}, ...)
    end

    if H.missing[backend] then
      pending("is skipped: " .. H.missing[backend])
      return
    end

    it("returns what main returns, nils included", function()
      local got = H.pack(run(function() return 1, nil, "x", nil end))
      assert.same({n = 4, 1, nil, "x", nil}, got)
    end)

    it("returns nothing when main returns nothing", function()
      assert.equal(0, select("#", run(function() end)))
    end)

    it("passes the arguments after the options to main", function()
      local got = H.pack(run(function(...) return ... end, "a", nil, 3))
      assert.same({n = 3, "a", nil, 3}, got)
    end)

    it("raises main's error unchanged", function()
      local err = setmetatable({}, {__tostring = function() return "mine" end})
      assert.is_true(rawequal(err, H.raises(run, function() error(err) end)))
      assert.equal("text", H.raises(run, function() error("text", 0) end))
    end)

    it("raises main's nil and false errors", function()
      local got = H.pack(pcall(run, function() error(nil) end))
      assert.is_false(got[1])
      assert.equal(false, H.raises(run, function() error(false) end))
    end)

    it("waits for every task", function()
      local done = 0
      run(function()
        for i = 1, 10 do
          rl.go(function() rl.sleep(i * 0.001) done = done + 1 end)
        end
      end)
      assert.equal(10, done)
    end)

    it("waits for tasks started by tasks after main returned", function()
      local done
      run(function()
        rl.go(function()
          rl.yield()
          rl.go(function() rl.yield() done = true end)
        end)
      end)
      assert.is_true(done)
    end)

    it("cancels the others when main raises, and waits for them", function()
      local reasons, err = {}, {}
      local raised = H.raises(run, function()
        for i = 1, 3 do
          rl.go(function()
            local _, e = pcall(rl.sleep, 1000)
            reasons[i] = rl.is_cancel(e)
            error(e, 0)
          end)
        end
        rl.yield()
        error(err)
      end)
      assert.is_true(rawequal(err, raised))
      assert.same({true, true, true}, reasons)
      assert.equal(0, rl.stats().tasks)
    end)

    it("does not wait for a daemon, but cancels it and runs its cleanup", function()
      local cancelled
      run(function()
        rl.daemon(function()
          rl.finally(function() rl.sleep(1000) end, function() cancelled = true end)
        end)
        rl.yield()
      end)
      assert.is_true(cancelled)
      assert.equal(0, rl.stats().tasks)
    end)

    it("ends although a daemon waits forever", function()
      run(function()
        rl.daemon(function() rl.chan():recv() end)
        rl.yield()
      end)
      assert.equal(0, rl.stats().tasks)
    end)

    it("runs again, after success and after an error", function()
      assert.equal(1, run(function() rl.yield() return 1 end))
      assert.equal("bad", H.raises(run, function() rl.yield() error("bad", 0) end))
      assert.equal(2, run(function() rl.yield() return 2 end))
    end)

    it("leaves nothing behind", function()
      run(function()
        for _ = 1, 20 do
          rl.go(function() rl.sleep(0.001) end)
        end
      end)
      local s = rl.stats()
      assert.equal(0, s.tasks)
      assert.equal(0, s.ops)
      assert.equal(0, s.handles)
    end)

    it("runs in a coroutine that is no task", function()
      local co = coroutine.wrap(function()
        return run(function() rl.sleep(0.001) return "in" end)
      end)
      assert.equal("in", co())
    end)

    it("reports a deadlock of main", function()
      local err = H.raises(run, function() rl.chan():recv() end)
      assert.equal("deadlock", tostring(err):sub(1, 8))
      assert.equal(0, rl.stats().tasks)
    end)

    it("reports one at once, whatever timers were stopped", function()
      local began = rl.now()
      local err = H.raises(run, function()
        rl.after(1e6):stop()
        rl.timeout(1e6, rl.yield)
        rl.chan():recv()
      end)
      assert.equal("deadlock", tostring(err):sub(1, 8))
      assert.is_true(rl.now() - began < 100)
    end)

    it("ends tasks that hold the loop only with a timer without calling that a deadlock", function()
      local ch = rl.chan()
      run(function()
        rl.go(function() rl.sleep(0.005) ch:close() end)
        assert.is_nil(ch:recv())
      end)
    end)
  end)
end

describe("run", function()
  it("accepts nil for the options", function()
    assert.equal(7, rl.run(function(x) return x end, nil, 7))
    assert.equal(8, rl.run(function() return 8 end))
  end)

  it("refuses options that are no table, at the caller's level", function()
    for _, bad in ipairs{5, "sim", true, print} do
      local err = H.raises(function() rl.run(function() end, bad) end)
      assert.is_truthy(tostring(err):find(HERE, 1, true), tostring(err))
    end
  end)

  it("names an unknown option, at the caller's level", function()
    local err = H.raises(function() rl.run(function() end, {preemt = false}) end)
    assert.is_truthy(tostring(err):find("preemt", 1, true), tostring(err))
    assert.is_truthy(tostring(err):find(HERE, 1, true), tostring(err))
  end)

  it("refuses an option of the wrong kind and names it", function()
    for name, bad in pairs{seed = "x", grace = "soon", backend = 5, slice = {}} do
      local opts = {backend = "sim"}
      opts[name] = bad
      H.raises_text(name, rl.run, function() end, opts)
    end
  end)

  it("names an unknown backend", function()
    H.raises_text("warp", rl.run, function() end, {backend = "warp"})
  end)

  it("does not change the options", function()
    local opts = {backend = "sim", seed = 3}
    rl.run(function() end, opts)
    assert.same({backend = "sim", seed = 3}, opts)
  end)

  it("refuses what is no function", function()
    for _, bad in ipairs{5, "f", {}} do
      local err = H.raises(function() rl.run(bad) end)
      assert.is_truthy(tostring(err):find(HERE, 1, true), tostring(err))
    end
    H.raises(rl.run)
  end)

  it("is refused inside a task, and the outer run goes on", function()
    local after = H.run(function()
      local ok, err = pcall(rl.run, function() end)
      assert.is_false(ok)
      assert.is_truthy(tostring(err):find("run", 1, true), tostring(err))
      rl.sleep(1)
      return "alive"
    end)
    assert.equal("alive", after)
  end)

  it("is refused in a coroutine of a task", function()
    H.run(function()
      local co = coroutine.create(function() return rl.run(function() end) end)
      assert.is_false((coroutine.resume(co)))
    end)
  end)

  it("gives main the same seed's order twice and another seed's order at times", function()
    local function order(seed)
      local log = {}
      rl.run(function()
        for i = 1, 8 do
          rl.go(function() rl.sleep(1) log[#log + 1] = i end)
        end
      end, {backend = "sim", seed = seed})
      return table.concat(log, " ")
    end
    local first, different = order(1), false
    assert.equal(first, order(1))
    for seed = 2, 20 do
      different = different or order(seed) ~= first
    end
    assert.is_true(different)
  end)

  it("works when the modules are forgotten and required again", function()
    local out, code = H.script([[
      for name in pairs(package.loaded) do
        if name:find("^ringlet") then package.loaded[name] = nil end
      end
      local again = require "ringlet"
      print(again.run(function() again.sleep(0.001) return "again" end))
      print(rl.run(function() rl.sleep(0.001) return "first" end))
    ]])
    assert.equal("again\nfirst\n", out)
    assert.equal(0, code)
  end)
end)

describe("outside of run", function()
  local ev, ch = rl.event(), rl.chan()
  local parks = {
    sleep = function() rl.sleep(0) end,
    yield = function() rl.yield() end,
    recv = function() ch:recv() end,
    send = function() ch:send(1) end,
    select = function() rl.select{{ch}} end,
    ["event wait"] = function() ev:wait() end,
    lock = function() local m = rl.mutex() m:lock() m:lock() end,
    acquire = function() local s = rl.semaphore(1) s:acquire() s:acquire() end,
    scope = function() rl.scope(function() end) end,
    timeout = function() rl.timeout(1, function() end) end,
    map = function() rl.map({1}, function() end) end,
  }
  for name, fn in pairs(parks) do
    it(name .. " raises 'not inside a task'", function()
      H.raises_text("not inside a task", fn)
    end)
  end

  it("constructors work", function()
    for _, name in ipairs{"chan", "event", "mutex", "rwmutex", "waitgroup", "singleflight"} do
      assert.is_not_nil(rl[name]())
    end
    assert.is_not_nil(rl.semaphore(1))
    assert.is_not_nil(rl.barrier(1))
    assert.is_not_nil(rl.cond(rl.mutex()))
    assert.is_not_nil(rl.once(function() end))
  end)

  it("a channel's try functions work, and its values are there in the next run", function()
    local c = rl.chan(2)
    assert.is_true(c:try_send("a"))
    assert.is_true(c:try_send("b"))
    assert.equal(2, #c)
    assert.equal("a", c:try_recv())
    assert.equal("b", H.run(function() return c:recv() end))
  end)

  it("time can be read", function()
    assert.equal("number", type(rl.now()))
    assert.is_true(math.abs(rl.time() - os.time()) < 5)
  end)

  it("objects that tasks waited on work in a later run", function()
    local c = rl.chan()
    H.raises(H.run, function() c:recv() end)
    assert.equal(5, H.run(function()
      rl.go(function() c:send(5) end)
      return (c:recv())
    end))
  end)
end)

describe("deadlock", function()
  local function lines(err)
    local out = {}
    for line in tostring(err):gmatch("[^\n]+") do
      out[#out + 1] = line
    end
    return out
  end

  local function mentions(err, ...)
    for _, line in ipairs(lines(err)) do
      local all = true
      for i = 1, select("#", ...) do
        all = all and line:lower():find((select(i, ...)), 1, true)
      end
      if all then
        return true
      end
    end
    return false
  end

  it("lists a hundred tasks and counts the others", function()
    local err = H.raises(H.run, function()
      for _ = 1, 150 do
        rl.go(function() rl.chan():recv() end)
      end
      rl.scope(function(s) s:go(function() rl.event():wait() end) end)
    end)
    assert.is_true(mentions(err, "scope exit", "on ringlet.scope: 1 children"), tostring(err))
    assert.is_true(mentions(err, "and 52 more"), tostring(err))
    assert.equal(102, #lines(err))
  end)

  it("lists each task with its name and reason", function()
    local err = H.raises(H.run, function()
      rl.self():name("the main")
      rl.go(function() rl.self():name("reader") rl.chan():recv() end)
      rl.go(function() rl.self():name("writer") rl.chan():send(1) end)
      rl.go(function() rl.self():name("waiter") rl.event():wait() end)
      rl.go(function() rl.self():name("chooser") rl.select{{rl.chan()}, {rl.chan()}} end)
      local m = rl.mutex()
      m:lock()
      m:lock()
    end)
    assert.equal("deadlock", tostring(err):sub(1, 8))
    assert.is_true(mentions(err, "reader", "receive"), tostring(err))
    assert.is_true(mentions(err, "writer", "send"), tostring(err))
    assert.is_true(mentions(err, "reader", "on ringlet.chan: 0/0", "spec/run_spec.lua:"))
    assert.is_true(mentions(err, "the main", "on ringlet.mutex: locked", "spec/run_spec.lua:"))
    assert.is_true(mentions(err, "chooser", "on 2 cases", "spec/run_spec.lua:"))
    assert.is_true(mentions(err, "waiter", "event"), tostring(err))
    assert.is_true(mentions(err, "chooser", "select"), tostring(err))
    assert.is_true(mentions(err, "the main", "lock"), tostring(err))
  end)

  it("says where each task is", function()
    local err = H.raises(H.run, function() rl.chan():recv() end)
    assert.is_true(mentions(err, "run_spec.lua:"), tostring(err))
  end)

  it("is reported when main has returned and a task is stuck", function()
    local err = H.raises(H.run, function()
      rl.go(function() rl.chan():recv() end)
    end)
    assert.equal("deadlock", tostring(err):sub(1, 8))
  end)

  it("is reported when two tasks join each other", function()
    local err = H.raises(H.run, function()
      local a, b
      a = rl.go(function() rl.yield() b:join() end)
      b = rl.go(function() rl.yield() a:join() end)
    end)
    assert.equal("deadlock", tostring(err):sub(1, 8))
  end)

  it("is reported for a select without cases", function()
    local err = H.raises(H.run, function() rl.select{} end)
    assert.equal("deadlock", tostring(err):sub(1, 8))
  end)

  it("is reported for a select of disabled cases only", function()
    local err = H.raises(H.run, function() rl.select{false, false} end)
    assert.equal("deadlock", tostring(err):sub(1, 8))
  end)

  it("is not reported while a deadline is pending", function()
    H.run(function()
      local _, _, code = rl.chan():recv(1000)
      assert.equal("ETIMEDOUT", code)
    end)
  end)

  it("is reported even though a ticker runs that nobody waits for", function()
    local out = H.script[[
      local ok, err = pcall(rl.run, function()
        local tick = rl.ticker(1)
        rl.chan():recv()
        tick:stop()
      end, {backend = "sim"})
      print(ok, tostring(err):match("^deadlock"))
    ]]
    assert.equal("false\tdeadlock\n", out)
  end)

  it("runs the cleanups of the stuck tasks", function()
    local cleaned = 0
    H.raises(H.run, function()
      for _ = 1, 3 do
        rl.go(function()
          rl.finally(function() rl.chan():recv() end, function() cleaned = cleaned + 1 end)
        end)
      end
    end)
    assert.equal(3, cleaned)
    assert.equal(0, rl.stats().tasks)
  end)

  it("of a shielded task ends the run too, and the next one is clean", function()
    local err = H.raises(H.run, function()
      rl.go(function() rl.shield(function() rl.chan():recv() end) end)
    end)
    assert.equal("deadlock", tostring(err):sub(1, 8))
    assert.equal(0, rl.stats().tasks)
    local code = H.run(function()
      rl.go(rl.sleep, 1)
      return select(3, rl.timeout(2, rl.sleep, 10))
    end)
    assert.equal("ETIMEDOUT", code)
    assert.equal(0, rl.stats().tasks)
  end)

  it("carries the seed on the sim backend", function()
    local err = H.raises(rl.run, function() rl.chan():recv() end, {backend = "sim", seed = 4711})
    assert.is_truthy(tostring(err):find("4711", 1, true), tostring(err))
  end)
end)

describe("a timer that wakes nobody", function()
  it("is no deadlock while completions are on their way", function()
    for seed = 1, 20 do
      H.run(function()
        local listener = assert(net.listen("127.0.0.1:0"))
        local reader = rl.go(function()
          return assert(listener:accept()):read()
        end)
        local conn = assert(net.connect(listener:addr()))
        local timer = rl.after(0.0005)
        conn:write("x")
        assert.same({true, "x"}, {reader:join()})
        timer:stop()
        conn:close()
        listener:close()
      end, {seed = seed, faults = "delay=1"})
    end
  end)
end)

describe("stop", function()
  it("cancels every task at once without a grace", function()
    local log = {}
    pcall(H.run, function()
      rl.go(function()
        local _, e = pcall(rl.sleep, 1000)
        log[#log + 1] = {rl.is_cancel(e), rl.now()}
        error(e, 0)
      end)
      rl.yield()
      local t0 = rl.now()
      rl.go(function() rl.stop(0) end)
      pcall(rl.sleep, 500)
      log[#log + 1] = rl.now() - t0
    end)
    assert.equal(2, #log)
    for _, entry in ipairs(log) do
      if type(entry) == "table" then
        assert.is_true(entry[1])
      else
        assert.equal(0, entry)
      end
    end
    assert.equal(0, rl.stats().tasks)
  end)

  it("sets stopping, lets tasks drain, and cancels them after the grace", function()
    local before, after, drained, cancelled_at
    pcall(H.run, function()
      before = rl.stopping()
      local t0 = rl.now()
      rl.go(function() rl.sleep(3) drained = rl.now() - t0 end)
      rl.go(function()
        rl.finally(function() rl.sleep(1000) end, function() cancelled_at = rl.now() - t0 end)
      end)
      rl.yield()
      rl.stop(10)
      after = rl.stopping()
    end, {on_hung = function() end})
    assert.is_false(before)
    assert.is_true(after)
    assert.near(3, drained, H.TICK)
    assert.near(10, cancelled_at, H.TICK)
  end)

  it("is forgotten by the next run", function()
    pcall(H.run, function() rl.stop(0) end)
    assert.is_false(H.run(function() return rl.stopping() end))
  end)

  it("ends a run that drains in time without cancelling anything", function()
    local got
    H.run(function()
      rl.stop(100)
      rl.sleep(1)
      got = "drained"
    end)
    assert.equal("drained", got)
  end)
end)

describe("signals", function()
  it("Ctrl-C of a stock interpreter ends run with interrupted!", function()
    local out, code = H.script(H.KILL .. [[
      local cleaned
      local ok, err = pcall(rl.run, function()
        rl.go(function()
          rl.finally(function() rl.sleep(1000) end, function() cleaned = true end)
        end)
        rl.go(function() rl.sleep(0.02) kill("INT") end)
        rl.sleep(1000)
      end)
      print(ok, tostring(err):match("interrupted!"), cleaned, rl.stats().tasks)
      print(rl.run(function() rl.sleep(0.001) return "next" end))
    ]])
    assert.equal("false\tinterrupted!\ttrue\t0\nnext\n", out)
    assert.equal(0, code)
  end)

  it("Ctrl-C ends a script that does not catch it", function()
    local out, code = H.script(H.KILL .. [[
      rl.run(function()
        rl.go(function() rl.sleep(0.01) kill("INT") end)
        rl.sleep(1000)
      end)
    ]])
    assert.is_truthy(out:find("interrupted!", 1, true), out)
    assert.equal(1, code)
  end)

  it("signals = true: SIGTERM sets stopping, run drains and returns", function()
    local out, code = H.script(H.KILL .. [[
      local r = rl.run(function()
        rl.go(function() rl.sleep(0.01) kill("TERM") end)
        while not rl.stopping() do rl.sleep(0.005) end
        return "drained"
      end, {signals = true, grace = 10})
      print(r)
    ]])
    assert.equal("drained\n", out)
    assert.equal(0, code)
  end)

  it("signals = true: SIGINT does the same", function()
    local out, code = H.script(H.KILL .. [[
      local r = rl.run(function()
        rl.go(function() rl.sleep(0.01) kill("INT") end)
        while not rl.stopping() do rl.sleep(0.005) end
        return "drained"
      end, {signals = true, grace = 10})
      print(r)
    ]])
    assert.equal("drained\n", out)
    assert.equal(0, code)
  end)

  it("signals = true: tasks are cancelled after the grace", function()
    local out, code = H.script(H.KILL .. [[
      local cancelled
      pcall(rl.run, function()
        rl.go(function() rl.sleep(0.01) kill("TERM") end)
        rl.go(function()
          local _, e = pcall(rl.sleep, 1000)
          cancelled = rl.is_cancel(e)
          error(e, 0)
        end)
      end, {signals = true, grace = 0.05, on_hung = function() end})
      print(cancelled, rl.stats().tasks)
    ]])
    assert.equal("true\t0\n", out)
    assert.equal(0, code)
  end)

  it("signals = true: a second signal cancels at once", function()
    local out, code = H.script(H.KILL .. [[
      local cancelled
      local t0 = rl.now()
      pcall(rl.run, function()
        rl.go(function()
          rl.sleep(0.01) kill("TERM")
          while not rl.stopping() do rl.sleep(0.002) end
          kill("TERM")
        end)
        rl.go(function()
          local _, e = pcall(rl.sleep, 1000)
          cancelled = rl.is_cancel(e)
          error(e, 0)
        end)
      end, {signals = true, grace = 500})
      print(cancelled, rl.now() - t0 < 50)
    ]])
    assert.equal("true\ttrue\n", out)
    assert.equal(0, code)
  end)

  it("the dispositions are restored when run ends", function()
    local out, code = H.script(H.KILL .. [[
      rl.run(function() rl.sleep(0.001) end, {signals = true})
      print("ran")
      io.stdout:flush()
      kill("TERM")
      for _ = 1, 1e8 do end
      print("survived")
    ]])
    assert.equal("ran\n", (out:gsub("Terminated\n", "")))
    assert.equal(128 + 15, code)
  end)
end)

describe("the host", function()
  it("may exit inside a task", function()
    local out, code = H.script[[
      rl.run(function()
        rl.go(function() rl.chan():recv() end)
        rl.go(function() rl.sleep(1000) end)
        rl.sleep(0.001)
        io.stdout:write("bye\n")
        os.exit(3)
      end)
    ]]
    assert.equal("bye\n", out)
    assert.equal(3, code)
  end)

  it("may exit inside a task and close its state", function()
    local out, code = H.script[[
      rl.run(function()
        local ch = rl.chan()
        rl.go(function() ch:recv() end)
        rl.go(function() rl.sleep(1000) end)
        rl.sleep(0.001)
        io.stdout:write("bye\n")
        os.exit(4, true)
      end)
    ]]
    assert.equal("bye\n", out)
    assert.equal(4, code)
  end)

  it("ends cleanly after an uncaught error of main", function()
    local out, code = H.script[[
      rl.run(function()
        rl.go(function() rl.sleep(1000) end)
        rl.sleep(0.001)
        error("main failed")
      end)
    ]]
    assert.is_truthy(out:find("main failed", 1, true), out)
    assert.equal(1, code)
  end)

  it("gets nothing on stdout and stderr from a run", function()
    local out, code = H.script[[
      rl.run(function() rl.go(function() rl.sleep(0.001) end):join() end)
    ]]
    assert.equal("", out)
    assert.equal(0, code)
  end)

  it("chooses the backend with RINGLET_BACKEND", function()
    local out, code = H.script([[
      local t0 = os.time()
      rl.run(function() rl.sleep(1000) end)
      print(os.time() - t0 < 50)
    ]], "RINGLET_BACKEND=sim")
    assert.equal("true\n", out)
    assert.equal(0, code)
  end)

  it("is told when RINGLET_BACKEND names no backend", function()
    local out, code = H.script("rl.run(function() end)\n", "RINGLET_BACKEND=warp")
    assert.is_truthy(out:find("warp", 1, true), out)
    assert.equal(1, code)
  end)

  local has_ffi = pcall(require, "ffi")
  local fork_it = has_ffi and it or pending
  local why = has_ffi and "" or " (no fork without the ffi)"
  fork_it("is refused every call in a forked child" .. why,
    function()
      local out = H.script[[
        local ffi = require "ffi"
        ffi.cdef"int fork(void); int waitpid(int, int *, int); void _exit(int);"
        rl.run(function()
          rl.sleep(0.001)
          local pid = ffi.C.fork()
          if pid == 0 then
            local ok, err = pcall(rl.sleep, 0.001)
            io.stdout:write(tostring(ok), " ", tostring(err):match("fork") or tostring(err), "\n")
            io.stdout:flush()
            ffi.C._exit(0)
          end
          ffi.C.waitpid(pid, nil, 0)
          rl.sleep(0.001)
          print("parent goes on")
        end)
      ]]
      assert.equal("false fork\nparent goes on\n", out)
    end)
end)
