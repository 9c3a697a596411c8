-- SPDX-License-Identifier: MIT
-- A run of several shards: how they begin, how they end, what goes wrong.
local H = require "spec.helper"
local rl = require "ringlet"

-- A run of its own, on one backend, outside of the test's.
local function on_each(name, fn)
  for _, backend in ipairs(H.BACKENDS) do
    describe(("%s (%s)"):format(name, backend), function()
      fn(function(what, test)
        it(what, function()
          if H.missing[backend] then
            pending(H.missing[backend])
            return
          end
          test(function(main, opts, ...)
            local all = {backend = backend, shards = 2}
            for k, v in pairs(opts or {}) do
              all[k] = v
            end
            return rl.run(main, all, ...)
          end, backend)
        end)
      end)
    end)
  end
end

-- How many threads of shards there are. The kernel's own for a ring come and go as they like.
local function threads()
  local p = io.popen("cat /proc/$PPID/task/*/comm 2>/dev/null")
  local n = select(2, p:read("*a"):gsub("ringlet%-%d+\n", ""))
  p:close()
  return n
end

on_each("shards", function(it_)
  it_("are as many as asked for, and main runs on the first", function(run)
    for _, n in ipairs {1, 2, 4, 8} do
      assert.same({n, 1}, {run(function() return rl.shards(), rl.shard() end, {shards = n})})
    end
    assert.is_true(run(rl.shards, {shards = "auto"}) >= 1)
  end)

  it_("give main's results and arguments as one shard does", function(run)
    assert.same({n = 3, 1, nil, "x"}, H.pack(run(function(...) return ... end, {}, 1, nil, "x")))
  end)

  it_("have states of their own", function(run)
    rawset(_G, "marked", "here")
    run(function()
      assert.same({true, nil}, {rl.spawn_on(2, function() return rawget(_G, "marked") end):join()})
      assert.same({true, "there"}, {rl.spawn_on(2, function()
        rawset(_G, "marked", "there")
        return rawget(_G, "marked")
      end):join()})
      assert.equal("here", rawget(_G, "marked"))
    end)
    rawset(_G, "marked", nil)
  end)

  it_("find the modules that the first finds", function(run)
    local path = package.path
    package.path = "./spec/?.lua;" .. path
    run(function()
      assert.same({true, package.path}, {rl.spawn_on(2, function() return package.path end):join()})
    end)
    package.path = path
  end)

  it_("require what is preloaded", function(run)
    run(function()
      assert.same({true, true}, {rl.spawn_on(2, function()
        return package.loaded["ringlet.buffer"] ~= nil
      end):join()})
    end, {preload = {"ringlet.buffer"}})
  end)

  it_("can be started and ended again and again", function(run)
    for i = 1, 20 do
      assert.equal(i, run(function(v) return select(2, rl.spawn_on(2, function(n)
        return n
      end, v):join()) end, nil, i))
    end
    for _ = 1, 1000 do -- a thread that was joined is listed for a moment
      if threads() == 0 then break end
      os.execute "sleep 0.02"
    end
    assert.equal(0, threads())
  end)
end)

on_each("the end of a run", function(it_)
  it_("waits for jobs and tasks of all shards", function(run)
    local name = os.tmpname()
    run(function()
      rl.spawn_on(2, function(file)
        local rl = require "ringlet" -- luacheck: ignore 431
        rl.sleep(0.01)
        rl.go(function()
          rl.sleep(0.01)
          rl.spawn_on(1, function()
            local f = io.open(file, "w")
            f:write("done")
            f:close()
          end)
        end)
      end, name)
    end)
    local f = io.open(name)
    assert.equal("done", f:read("*a"))
    f:close()
    os.remove(name)
  end)

  it_("does not wait for daemons, wherever they are", function(run)
    run(function()
      rl.daemon(function() rl.sleep(1e6) end)
      assert.is_true((rl.spawn_on(2, function()
        local rl = require "ringlet" -- luacheck: ignore 431
        rl.daemon(function() rl.sleep(1e6) end)
      end):join()))
    end)
  end)

  it_("cancels the tasks of all shards when main fails", function(run)
    local started = rl.now()
    local err = H.raises(run, function()
      rl.spawn_on(2, function() require "ringlet".sleep(1000) end)
      rl.go(function() rl.sleep(1000) end)
      rl.sleep(0.01)
      error({"main"})
    end)
    assert.same({"main"}, err)
    assert.is_true(rl.now() - started < 100)
  end)

  it_("comes with stop, called anywhere", function(run)
    run(function()
      rl.spawn_on(2, function()
        local rl = require "ringlet" -- luacheck: ignore 431
        rl.stop(0.05)
        while not rl.stopping() do
          rl.sleep(0.001)
        end
        rl.sleep(1000)
      end)
      while not rl.stopping() do
        rl.sleep(0.001)
      end
      rl.sleep(1000)
    end, {on_hung = function() end})
  end)

  it_("gives up what will not end", function(run)
    local text = H.raises(run, function()
      rl.spawn_on(2, function()
        local rl = require "ringlet" -- luacheck: ignore 431
        rl.shield(function() rl.chan():recv() end)
      end)
      rl.shield(function() rl.chan():recv() end)
    end)
    assert.truthy(tostring(text):find("deadlock", 1, true))
  end)
end)

on_each("a deadlock", function(it_)
  it_("is found when all shards wait for ever, and lists the tasks of each", function(run)
    local text = H.raises(run, function()
      rl.spawn_on(2, function()
        local rl = require "ringlet" -- luacheck: ignore 431
        rl.self():name("far")
        rl.chan():recv()
      end):join()
    end)
    assert.truthy(text:find("^deadlock: all 2 tasks are parked"))
    assert.truthy(text:find("task %d+ %-: join"))
    assert.truthy(text:find("shard 2:\n  task %d+ far: chan receive"))
  end)

  it_("is told with the tasks of all, though a signal ends the wait for their lists", function(run)
    local core = require "ringlet.core"
    local loop, broken = core.loop, false
    core.loop = function()
      broken = not broken
      return broken and 2 or loop() -- BROKEN of ringlet.run
    end
    finally(function() core.loop = loop end)
    local text = H.raises(run, function()
      rl.spawn_on(2, function() require "ringlet".chan():recv() end):join()
    end)
    assert.truthy(text:find "^deadlock: all 2 tasks are parked", text)
    assert.truthy(text:find "shard 2:\n  task %d+ %-: chan receive", text)
  end)

  it_("ends jobs that cannot be cancelled, and their futures", function(run)
    local futures = {}
    H.raises_text("deadlock", run, function()
      for i = 1, 4 do
        futures[i] = rl.spawn(function() rl.shield(function() rl.chan():recv() end) end)
      end
      rl.chan():recv()
    end)
    for i = 1, 4 do assert.equal("failed", futures[i]:status()) end
  end)

  it_("is none while a timer of any shard runs", function(run)
    run(function()
      local got = rl.spawn_on(2, function()
        local rl = require "ringlet" -- luacheck: ignore 431
        rl.sleep(0.05)
        return "v"
      end)
      assert.same({true, "v"}, {got:join()})
    end)
  end)

  it_("is none while a daemon elsewhere may bring something", function(run)
    run(function()
      local ch = rl.chan(1)
      rawset(_G, "on_mark", function(v) ch:send(v) end)
      rl.spawn_on(2, function()
        local rl = require "ringlet" -- luacheck: ignore 431
        rl.daemon(function()
          rl.sleep(0.02)
          rl.spawn_on(1, function() rawget(_G, "on_mark")("late") end)
        end)
      end):join()
      assert.equal("late", ch:recv())
    end)
    rawset(_G, "on_mark", nil)
  end)
end)

on_each("what goes wrong at the start", function(it_)
  it_("is told: a module that is not there", function(run)
    H.raises_text("no_such_module", run, print, {preload = {"no_such_module"}})
    H.raises_text("cannot start the shards", run, print, {preload = {"no_such_module"}})
    assert.equal(1, run(function() return 1 end))
  end)

  it_("is told: options that are none", function(run)
    H.raises_text("'shards' must be", run, print, {shards = 0})
    H.raises_text("'shards' must be", run, print, {shards = 1.5})
    H.raises_text("'shards' must be", run, print, {shards = "some"})
    H.raises_text("'shards' must be", run, print, {shards = 65})
    H.raises_text("option 'preload'", run, print, {preload = 1})
    H.raises_text("option 'pin'", run, print, {pin = {}})
    H.raises_text("99999", run, print, {pin = {99999}})
  end)
end)

-- What shard_init was given stays with the process: each case is a script.
describe("shard_init", function()
  local function script(source)
    local out, code = H.script(source)
    assert.equal(0, code, out)
    return out
  end

  it("runs on every shard before anything else, and may park", function()
    local out = script [[
      local base = 7
      rl.shard_init(function()
        local rl = require "ringlet"
        rl.sleep(0.001)
        mark = base * rl.shard()
      end)
      rl.run(function()
        for i = 1, 3 do print(select(2, rl.spawn_on(i, function() return mark end):join())) end
      end, {shards = 3})
    ]]
    assert.equal("7\n14\n21\n", out)
  end)

  it("keeps the run from beginning when it fails", function()
    local out = script [[
      rl.shard_init(function()
        if require "ringlet".shard() == 2 then error("not here", 0) end
      end)
      for i = 1, 2 do
        local ok, err = pcall(rl.run, function() print("never") end, {shards = 2})
        print(ok, (err:match("[^\n]*")))
      end
    ]]
    assert.equal(("false\tringlet: cannot start the shards: not here\n"):rep(2),
      (out:gsub("[^\t]*ringlet: cannot", "ringlet: cannot")))
  end)

  it("says what cannot travel", function()
    local out = script [[
      local co = coroutine.create(print)
      rl.shard_init(function() return co end)
      print(pcall(rl.run, print, {shards = 2}))
    ]]
    assert.truthy(out:find("cannot travel: .*upvalue 'co' is a coroutine"))
  end)

  for _, backend in ipairs{"sim", "uring"} do
    it("that cannot arrive fails the run, not the process: " .. backend, function()
      if H.missing[backend] then
        return pending(H.missing[backend])
      end
      local out, code = H.script([[
        package.loaded["only.here"] = {fn = function() end}
        local fn = package.loaded["only.here"].fn
        rl.shard_init(function() fn() end)
        local ok, err = pcall(rl.run, function() end, {shards = 2})
        print(ok, err:match "^ringlet: cannot start the shards: cannot arrive",
          err:match "only.here")
        print(rl.run(function() return "one shard goes" end, {shards = 1}))
      ]], "RINGLET_BACKEND=" .. backend)
      assert.equal(0, code, out)
      assert.equal("false\tringlet: cannot start the shards: cannot arrive\tonly.here\n"
        .. "one shard goes\n", out)
    end)
  end

  it("is misuse during a run", function()
    H.raises_text("function expected", rl.shard_init, 1)
    assert.truthy(H.raises(rl.run, function() rl.shard_init(print) end):find("before run", 1, true))
  end)
end)

describe("threads of shards (uring)", function()
  it("have names", function()
    rl.run(function()
      local p = io.popen("cat /proc/$PPID/task/*/comm")
      local names = p:read("*a")
      p:close()
      assert.truthy(names:find("ringlet-2\n", 1, true))
      assert.truthy(names:find("ringlet-3\n", 1, true))
    end, {shards = 3, backend = "uring"})
  end)

  it("are pinned, and the caller's is what it was afterwards", function()
    -- The caller's CPUs and the second shard's.
    local function allowed()
      local p = io.popen([[for t in /proc/$PPID /proc/$PPID/task/*; do
        [ $t = /proc/$PPID -o "$(cat $t/comm)" = ringlet-2 ] && grep -h Cpus_allowed_list $t/status
        done 2>/dev/null]])
      local text = p:read("*a")
      p:close()
      return text:match "^Cpus_allowed_list:%s+(%S+)\n(.*)$"
    end
    local before = allowed()
    rl.run(function()
      local one, rest = allowed()
      assert.matches("^%d+$", one)
      assert.matches("^Cpus_allowed_list:%s+%d+\n$", rest)
    end, {shards = 2, pin = true, backend = "uring"})
    assert.equal(before, (allowed()))
  end)

  it("sleep while there is nothing to do", function()
    local function switches()
      local p = io.popen([[for t in /proc/$PPID/task/*; do
        [ "$(cat $t/comm)" = ringlet-2 ] && cat $t/status; done]])
      local text = p:read("*a")
      p:close()
      return tonumber(text:match("\nvoluntary_ctxt_switches:%s+(%d+)"))
    end
    -- It may still have been about to go to sleep, or something may have interrupted its sleep.
    rl.run(function()
      local before, now
      for _ = 1, 20 do
        before = switches()
        rl.sleep(0.5)
        now = switches()
        if now - before <= 4 then break end
      end
      assert.is_true(now - before <= 4, now - before)
    end, {shards = 2, backend = "uring"})
  end)
end)

-- What the handler of SIGURG needs has to be there before the thread hears it: the first time, that
-- would be allocated, perhaps in the midst of an allocation.
describe("threads that begin", function()
  it("bear a storm of SIGURG", function()
    if H.missing.uring then
      return pending(H.missing.uring)
    end
    local out, code = H.script [[
      local pid = io.open("/proc/self/stat"):read("*n")
      os.execute(("(while kill -URG %d 2>/dev/null; do :; done) &"):format(pid))
      for _ = 1, 100 do
        rl.run(function()
          rl.spawn_on(2, function() end):join()
          rl.offload(type, 1)
        end, {shards = 2})
      end
      io.write "done"]]
    assert.same({"done", 0}, {out, code})
  end)
end)
