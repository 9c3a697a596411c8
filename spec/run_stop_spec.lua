-- SPDX-License-Identifier: MIT
-- Stopping a run of several shards: what was accepted is served, what hangs is told of, what is
-- stuck is left behind.
local H = require "spec.helper"
local rl = require "ringlet"
local run_stop = require "ringlet.run_stop"

-- A test that needs threads.
local function real_it(name, fn)
  it(name, function()
    if H.missing.uring then
      return pending(H.missing.uring)
    end
    fn()
  end)
end

-- A server under load on both shards gets SIGTERM. Prints what clients that had connected got.
local LOAD = H.KILL .. [[
  local net = require "ringlet.net"
  local function work(conn, line)
    require("ringlet").sleep(0.003)
    conn:write(line, " done\n")
  end
  local function task(conn)
    local line = conn:read_line()
    if line then work(conn, line) end
  end
  local served = {on_data = function(conn, data)
    work(conn, data:match "%C+")
    conn:close()
  end}
  local function client(addr)
    local rl, net = require "ringlet", require "ringlet.net"
    local counts, tasks = {answered = 0, lost = 0, refused = 0}, {}
    local function ask(i)
      while true do
        local conn, _, code = net.connect(addr)
        if not conn then
          -- Reset: it came between the last accept and the close.
          local over = code == "ECONNREFUSED" or code == "ECONNRESET"
          counts.refused = counts.refused + (over and 1 or 0)
          return
        end
        conn:write(i, "\n")
        local ok = conn:read_line() == i .. " done"
        counts.answered = counts.answered + (ok and 1 or 0)
        counts.lost = counts.lost + (ok and 0 or 1)
        conn:close()
      end
    end
    for i = 1, 16 do tasks[i] = rl.go(ask, i) end
    for i = 1, 16 do tasks[i]:join() end
    return counts
  end
  local t0 = rl.now()
  rl.run(function()
    local server = assert(net.serve("127.0.0.1:0", KIND == "task" and task or served,
      {shards = 2, accept = HOW, max_connections = 20}))
    local a, b = rl.spawn_on(1, client, server:addr()), rl.spawn_on(2, client, server:addr())
    rl.sleep(0.2)
    kill("TERM")
    local _, one = a:join()
    local _, two = b:join()
    server:join()
    local accepted = server:stats().accepted
    print(accepted == one.answered + two.answered, one.refused + two.refused,
      one.lost + two.lost <= 2, accepted > 100)
  end, {signals = true, grace = 10, shards = 2})
  print(rl.now() - t0 < 8)
]]

describe("SIGTERM under load on two shards", function()
  for _, how in ipairs{"reuseport", "handover"} do
    for _, kind in ipairs{"task", "on_data"} do
      real_it(("loses nothing that was accepted: %s, %s"):format(how, kind), function()
        local out, code = H.script(("local HOW, KIND = %q, %q\n"):format(how, kind) .. LOAD)
        assert.equal("true\t32\ttrue\ttrue\ntrue\n", out)
        assert.equal(0, code)
      end)
    end
  end
end)

describe("a run of two shards that was asked to stop", function()
  real_it("lists what hangs on each, with its line, and ends", function()
    local out, code = H.script[[
      local t0 = rl.now()
      rl.run(function()
        rl.spawn_on(2, function()
          local rl = require "ringlet"
          rl.self():name("remote one")
          rl.chan():recv()
        end)
        rl.go(function() rl.sleep(1000) end):name("local one")
        rl.daemon(function() rl.sleep(1000) end):name("a daemon")
        rl.sleep(0.02)
        rl.stop(0.1)
      end, {shards = 2, backend = "uring"})
      print(rl.now() - t0 < 5)
    ]]
    assert.equal(0, code, out)
    assert.truthy(out:match "shard 1, task %d+ local one: sleep, for [%d.]+ s, at %S+:%d+\n")
    assert.truthy(out:match "shard 2, task %d+ remote one: chan receive on [^\n]+, at %S+:%d+\n")
    assert.truthy(out:match "stack traceback:.-stack traceback:")
    assert.is_nil(out:find("a daemon", 1, true))
    assert.truthy(out:find("true\n", 1, true))
  end)

  real_it("ends at once at the second signal", function()
    local out, code = H.script(H.KILL .. [[
      local t0 = rl.now()
      pcall(rl.run, function()
        rl.go(function()
          rl.sleep(0.01) kill("TERM")
          while not rl.stopping() do rl.sleep(0.002) end
          kill("TERM")
        end)
        rl.spawn_on(2, function() require("ringlet").sleep(1000) end)
        rl.sleep(1000)
      end, {signals = true, grace = 500, shards = 2, backend = "uring"})
      print(rl.now() - t0 < 10)
    ]])
    assert.equal("true\n", out)
    assert.equal(0, code)
  end)
end)

-- A worker is stuck in C at the end; `END` is how main ends. The library's patience is shortened.
local STUCK = [[
  require("ringlet.run_stop").ANSWER, require("ringlet.run_stop").GIVEN_UP = 0.5, 0.3
  local t0, told = rl.now(), {}
  local function hung(list)
    for _, e in ipairs(list) do
      told[#told + 1] = ("%d %s"):format(e.shard, e.left and "left" or e.silent and "silent" or "?")
    end
  end
  local function run(main, ...)
    return rl.run(main, {shards = 2, grace = 0.2, on_hung = hung, stall_after = 0.1,
      on_overrun = function() end, backend = "uring"}, ...)
  end
  print(pcall(run, function()
    rl.spawn_on(2, function() os.execute "sleep 3" end)
    rl.sleep(0.05)
    if FAILS then error("main failed", 0) end
    rl.stop()
    return "main's result"
  end))
  print(rl.now() - t0 < 2.5, table.concat(told, ", "))
]]

describe("a worker shard stuck in C at the end of the run", function()
  real_it("is named, and left behind when it does not end; main's results are there", function()
    local out, code = H.script("local FAILS = false\n" .. STUCK)
    assert.equal("true\tmain's result\ntrue\t2 silent, 2 left\n", out)
    assert.equal(0, code)
  end)

  real_it("is left behind when main has failed", function()
    local out, code = H.script("local FAILS = true\n" .. STUCK)
    assert.equal("false\tmain failed\ntrue\t2 left\n", out)
    assert.equal(0, code)
  end)

  real_it("may come back later; meanwhile there are other runs", function()
    local out, code = H.script("local FAILS = false\n" .. STUCK .. [[
      local net = require "ringlet.net"
      for _ = 1, 2 do
        print(run(function()
          local server = assert(net.serve("127.0.0.1:0", function(c) c:write("hi") end,
            {shards = 2}))
          local conn = assert(net.connect(server:addr()))
          local got = conn:read_all()
          conn:close()
          server:stop()
          return got, rl.spawn_on(2, rl.shard):join()
        end))
        rl.run(function() rl.sleep(1.5) end)
      end
    ]])
    assert.equal("true\tmain's result\ntrue\t2 silent, 2 left\nhi\ttrue\t2\nhi\ttrue\t2\n", out)
    assert.equal(0, code)
  end)

  real_it("is waited for while it may still end", function()
    assert(run_stop.ANSWER >= 5)
    local out, code = H.script[[
      print(rl.run(function()
        rl.spawn_on(2, function() os.execute "sleep 0.3" end)
        return "done"
      end, {shards = 2, grace = 0.1, on_overrun = function() end, backend = "uring"}))
    ]]
    assert.equal("done\n", out)
    assert.equal(0, code)
  end)
end)

describe("stop", function()
  it("has the hook told of what hangs, once, under virtual time too", function()
    local calls, entries, text = 0, nil, nil
    pcall(H.run, function()
      rl.go(function() rl.sleep(1000) end):name("sleeper")
      rl.go(function()
        local ok = pcall(rl.spawn_on, 2, function() end)
        assert(ok)
      end)
      rl.yield()
      rl.stop(10)
    end, {shards = 2, on_hung = function(list, t) calls, entries, text = calls + 1, list, t end})
    assert.equal(1, calls)
    assert.equal(1, #entries)
    assert.equal("sleeper", entries[1].name)
    assert.equal("sleep", entries[1].reason)
    assert.near(10, entries[1].seconds, 0.1)
    assert.truthy(entries[1].where:find("run_stop_spec.lua:", 1, true))
    assert.truthy(text:find("sleeper", 1, true))
  end)

  it("says nothing when all ends within the grace", function()
    local called = false
    H.run(function()
      rl.go(function() rl.sleep(3) end)
      rl.yield()
      rl.stop(10)
    end, {on_hung = function() called = true end})
    assert.is_false(called)
  end)
end)
