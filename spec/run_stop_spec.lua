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

-- A server under load on both shards gets SIGTERM. Prints what clients that had connected got. The
-- grace is longer than a script may take.
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
    local tasks, all = {}, {answered = 0, lost = 0, refused = 0}
    local function ask(i)
      local counts = {answered = 0, lost = 0, refused = 0}
      while true do
        local conn, _, code = net.connect(addr)
        if not conn then
          -- Reset: it came between the last accept and the close.
          local over = code == "ECONNREFUSED" or code == "ECONNRESET"
          counts.refused = counts.refused + (over and 1 or 0)
          return counts
        end
        conn:write(i, "\n")
        local ok = conn:read_line() == i .. " done"
        counts.answered = counts.answered + (ok and 1 or 0)
        counts.lost = counts.lost + (ok and 0 or 1)
        conn:close()
      end
    end
    for i = 1, 16 do tasks[i] = rl.go(ask, i) end
    for i = 1, 16 do
      local _, counts = tasks[i]:join()
      for name, n in pairs(counts) do all[name] = all[name] + n end
    end
    return all
  end
  rl.run(function()
    local server = assert(net.serve("127.0.0.1:0", KIND == "task" and task or served,
      {shards = 2, accept = HOW, max_connections = 20}))
    local a, b = rl.spawn_on(1, client, server:addr()), rl.spawn_on(2, client, server:addr())
    while server:stats().accepted <= 100 do rl.sleep(0.005) end
    local from = rl.now()
    kill("TERM")
    local _, one = a:join()
    local _, two = b:join()
    server:join()
    local accepted = server:stats().accepted
    local late = rl.now() - from >= 1 -- who has sent nothing by then is not waited for
    print(late or accepted == one.answered + two.answered, one.refused + two.refused,
      one.lost + two.lost <= 2)
  end, {signals = true, grace = 500, shards = 2})
]]

describe("SIGTERM under load on two shards", function()
  for _, how in ipairs{"reuseport", "handover"} do
    for _, kind in ipairs{"task", "on_data"} do
      real_it(("loses nothing that was accepted: %s, %s"):format(how, kind), function()
        local lost_few
        for _ = 1, 10 do -- more are lost where a thread stops between last accept and close
          local out, code = H.script(("local HOW, KIND = %q, %q\n"):format(how, kind) .. LOAD)
          assert.equal(0, code, out)
          lost_few = out:match "^true\t32\t(%a+)\n$"
          assert.truthy(lost_few, out)
          if lost_few == "true" then break end
        end
        assert.equal("true", lost_few)
      end)
    end
  end
end)

describe("a run of two shards that was asked to stop", function()
  real_it("lists what hangs on each, with its line, and ends", function()
    local out, code
    for _ = 1, 5 do -- a shard has half a second to say what hangs there, and may have no CPU
      out, code = H.script[[
        local dumps = require "ringlet.debug"
        local function parked()
          local n = 0
          for _, d in ipairs((dumps.tasks{})) do
            n = n + (d.name and d.name:find " one$" and d.state == "waiting" and 1 or 0)
          end
          return n
        end
        rl.run(function()
          rl.spawn_on(2, function()
            local rl = require "ringlet"
            rl.self():name("remote one")
            rl.chan():recv()
          end)
          rl.go(function() rl.sleep(1000) end):name("local one")
          rl.daemon(function() rl.sleep(1000) end):name("a daemon")
          repeat rl.sleep(0.005) until parked() == 2
          rl.stop(0.1)
        end, {shards = 2, backend = "uring"})
        print "ended"
      ]]
      assert.equal(0, code, out)
      if not out:find("silent", 1, true) and out:find("remote one", 1, true) then break end
    end
    assert.truthy(out:match "shard 1, task %d+ local one: sleep, for [%d.]+ s, at %S+:%d+\n", out)
    assert.truthy(out:match "shard 2, task %d+ remote one: chan receive on [^\n]+, at %S+:%d+\n",
      out)
    assert.truthy(out:match "stack traceback:.-stack traceback:")
    assert.is_nil(out:find("a daemon", 1, true))
    assert.truthy(out:find("ended\n", 1, true))
  end)

  real_it("ends at once at the second signal", function()
    local out, code = H.script(H.KILL .. [[
      pcall(rl.run, function()
        rl.go(function()
          rl.sleep(0.01) kill("TERM")
          while not rl.stopping() do rl.sleep(0.002) end
          kill("TERM")
        end)
        rl.spawn_on(2, function() require("ringlet").sleep(1000) end)
        rl.sleep(1000)
      end, {signals = true, grace = 500, shards = 2, backend = "uring"})
      print "ended"
    ]])
    assert.equal("ended\n", out)
    assert.equal(0, code)
  end)
end)

-- A worker is stuck in C at the end, until `free` is called; `FAILS` is how main ends. The
-- library's patience is shortened.
local STUCK = [[
  local run_stop = require "ringlet.run_stop"
  local patience, given_up = run_stop.ANSWER, run_stop.GIVEN_UP
  run_stop.ANSWER, run_stop.GIVEN_UP = 0.5, 0.3
  local is_stuck, told, path = require("ringlet.shared").atomic(), {}, os.tmpname()
  os.remove(path)
  os.execute("mkfifo " .. path)
  local kept
  local function free()
    kept = kept or io.open(path, "r+")
    os.remove(path)
  end
  local function hung(list)
    for _, e in ipairs(list) do
      local what = e.left and "left" or e.silent and "silent" or "?"
      told[#told + 1] = e.shard .. " " .. what
    end
  end
  local function run(main, ...)
    return rl.run(main, {shards = 2, grace = 0.2, on_hung = hung, stall_after = 0.1,
      on_overrun = function() end, backend = "uring"}, ...)
  end
  print(pcall(run, function()
    rl.spawn_on(2, function()
      ("x"):gsub(".", function() -- in here it cannot be preempted
        is_stuck:store(1)
        io.open(path)
      end)
    end)
    while is_stuck:load() == 0 do rl.sleep(0.005) end
    if FAILS then error("main failed", 0) end
    rl.stop()
    return "main's result"
  end))
  print(table.concat(told, ", "))
]]

describe("a worker shard stuck in C at the end of the run", function()
  real_it("is named, and left behind when it does not end; main's results are there", function()
    local out, code = H.script("local FAILS = false\n" .. STUCK .. "os.remove(path)")
    assert.equal("true\tmain's result\n2 silent, 2 left\n", out)
    assert.equal(0, code)
  end)

  real_it("is left behind when main has failed", function()
    local out, code = H.script("local FAILS = true\n" .. STUCK .. "os.remove(path)")
    assert.equal("false\tmain failed\n2 left\n", out)
    assert.equal(0, code)
  end)

  real_it("may come back later; meanwhile there are other runs", function()
    local out, code = H.script("local FAILS = false\n" .. STUCK .. [[
      run_stop.ANSWER, run_stop.GIVEN_UP = patience, given_up
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
        free()
        rl.run(function() rl.sleep(0.3) end)
      end
    ]])
    assert.equal("true\tmain's result\n2 silent, 2 left\nhi\ttrue\t2\nhi\ttrue\t2\n", out)
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
