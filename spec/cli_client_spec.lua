-- SPDX-License-Identifier: MIT
-- The command `ringlet` and a process that it talks to: another one, started with RINGLET_ADMIN=1.
local H = require "spec.helper"
local P = require "spec.process"
local T = require "spec.terminal"
local json = require "ringlet.json_read"

-- It waits for fifty tasks that wait, one that computes, one that only yields, and one that nobody
-- can wake. What is compiled cannot be interrupted, so that is not.
local APP = [[
local rl = require "ringlet"
local function compute()
  if rawget(_G, "jit") then require("jit").off(true, true) end
  local x = 0
  while not rl.stopping() do
    for i = 1, 1e4 do x = x + i % 3 end
  end
end
rl.run(function()
  local ch = rl.chan()
  for i = 1, 50 do
    local task = rl.go(function() ch:recv() end)
    task:name("worker " .. i)
    task:label("type", i % 5 == 0 and "mail" or "order")
  end
  rl.go(function() rl.chan():recv() end):name "lost"
  if arg[1] == "busy" then
    rl.go(compute):name "computing"
    rl.go(function() while not rl.stopping() do rl.yield() end end):name "yielding"
  end
  local admin = require "ringlet.admin"
  while not admin.current() do rl.sleep(0.01) end
  print("pid " .. require("ringlet.core").pid())
  io.stdout:flush()
  rl.sleep(170)
  ch:close()
end, {signals = true, grace = 0})
]]

local dir, pid, process

local function environment()
  return "env XDG_RUNTIME_DIR=" .. dir .. " RINGLET_BACKEND= "
end

local function start(...)
  dir = P.output "mktemp -d":match "%S+"
  pid, process = P.start(environment() .. "RINGLET_ADMIN=1 " .. P.script(APP, ...), "pid (%d+)")
end

local function stop()
  if process then
    local said = P.stop(process)
    process = nil
    assert.equal("pid " .. pid .. "\n", said)
  end
  os.execute("rm -rf " .. dir)
end

-- What it writes to both streams, and its status.
local function ringlet(args, also)
  local line = "%s %s timeout -s KILL 60 %s bin/ringlet %s 2>&1 </dev/null; echo code=$?"
  local out = P.output(line:format(environment(), also or "", H.interpreter(), args))
  local all, code = out:match "^(.*)code=(%d+)\n$"
  return all, tonumber(code)
end

local function succeeds(args)
  local all, code = ringlet(args)
  assert.equal(0, code, all)
  return all
end

local function has(all, what)
  assert.truthy(all:find(what, 1, true), ("no %q in %s"):format(what, all))
end

describe("a process with RINGLET_ADMIN=1", function()
  if H.missing.uring then
    return pending(H.missing.uring)
  end

  lazy_setup(start)
  lazy_teardown(stop)

  it("is listed", function()
    local all = succeeds "ps"
    assert.matches("^ *PID  SHARDS  TASKS  +UP  VM +COMMAND\n *" .. pid .. " +%d+ +%d+ +", all)
    has(all, H.jit and "LuaJIT 2.1" or "Lua 5.4")
  end)

  it("is the one that is meant when there is no other", function()
    has(succeeds "dump", "40 @ [chan receive")
  end)

  it("is meant by its number and by its socket", function()
    has(succeeds("dump " .. pid), "40 @ [chan receive")
    has(succeeds(("dump %s/ringlet/%s.sock"):format(dir, pid)), "40 @ [chan receive")
    has(succeeds(("dump unix:%s/ringlet/%s.sock"):format(dir, pid)), "40 @ [chan receive")
  end)

  it("dumps its tasks: together, one by one, some of them, as JSON", function()
    has(succeeds "dump --all", '"worker 50" on shard 1 [chan receive')
    local some = succeeds "dump --all --label type=mail --state waiting"
    assert.equal(10, select(2, some:gsub("on shard 1 %[chan receive", "")), some)
    assert.equal(1, select(2, succeeds "dump -a --name lost":gsub("on shard", "")))
    local answer = assert(json.decode(succeeds "dump --json --label type=mail"))
    assert.equal(10, #answer.tasks)
    assert.equal("mail", answer.tasks[1].labels.type)
  end)

  it("writes into a file what is asked for", function()
    local path = dir .. "/dump.txt"
    local said = succeeds("dump -o " .. path)
    assert.matches("^" .. path:gsub("%p", "%%%0") .. ": %d+ bytes\n$", said)
    has(P.read(path), "40 @ [chan receive")
    local all, code = ringlet("dump -o /nonexistent/x")
    assert.equal(1, code)
    assert.matches("^ringlet: /nonexistent/x: No such file or directory\n$", all)
  end)

  it("tells its leaks", function()
    local all = succeeds "leaks"
    has(all, "leaked tasks: 1\n")
    has(all, "chan receive")
    assert.equal("lost", assert(json.decode(succeeds "leaks --json")).leaks[1].name)
  end)

  it("tells what it measures", function()
    local all = succeeds "metrics"
    has(all, "ringlet_tasks_live{shard=\"1\"} ")
    all = succeeds "metrics --grep labelled"
    for line in all:gmatch "[^\n]+" do has(line, "labelled") end
  end)

  it("is shown by top", function()
    local all = succeeds "top --once --leaks"
    has(all, "ringlet top  " .. pid)
    has(all, "type=order 40")
    has(all, "type=mail 10")
    has(all, "[1 tasks]")
    has(all, "worker 17")
    has(all, '! parked with no other reference: task ')
    assert.is_nil(all:find "\27")
    all = succeeds "top --count 2 --every 0.1 --screen stacks --filter mail --rows 40"
    assert.equal(2, select(2, all:gsub("ringlet top", "")))
    has(all, "\n   10  ")
  end)

  it("refuses what makes no sense, in its own words", function()
    local all, code = ringlet "dump --state nonsense"
    assert.equal(1, code)
    assert.equal("ringlet: " .. pid .. ": state: running or runnable or waiting or new expected\n",
      all)
  end)

  it("records what its shards do", function()
    local path = dir .. "/trace.json"
    local all, code = ringlet("trace --seconds 0.2 -o " .. path)
    if all:find("is not available here", 1, true) then
      assert.equal(1, code)
      return pending "this build has no ringlet.trace"
    end
    assert.equal(0, code, all)
    assert.truthy(json.decode(P.read(path)).traceEvents)
  end)
end)

describe("a busy process", function()
  if H.missing.uring then
    return pending(H.missing.uring)
  end

  lazy_setup(function() start "busy" end)
  lazy_teardown(stop)

  it("is profiled, in each form", function()
    has(succeeds "profile --seconds 0.5", "profile: CPU time")
    for name, begins in pairs {["p.svg"] = "<?xml", ["p.folded"] = "", ["p.pb"] = "\10",
      ["p.txt"] = "profile"} do
      local text = H.eventually(name .. " has samples", function()
        succeeds(("profile --cpu -s 0.5 -o %s/%s"):format(dir, name))
        local all = P.read(dir .. "/" .. name)
        return #all > 0 and all -- nothing is folded of a process that had no CPU
      end)
      assert.equal(begins, text:sub(1, #begins), name)
    end
    has(succeeds "profile --offcpu -s 0.3 --format folded", "(chan receive) ")
  end)

  it("is shown with its hot spots and with what looks wrong", function()
    -- It may have had no CPU while it was sampled, or lost it in the midst of a turn.
    local all
    local function shows(...)
      all = succeeds "top --once --screen hot"
      for _, pattern in ipairs {...} do
        if not all:find(pattern) then return false end
      end
      return true
    end
    local ok, err = pcall(H.eventually, "all of it", function()
      return shows("SELF +IN ALL  WHERE\n *%d+%.%d %% ",
        '! never yielded: task %d+ "computing" on shard 1',
        '! waking itself: task %d+ "yielding" on shard 1')
    end)
    assert.is_true(ok, ("%s: %s"):format(tostring(err), all))
  end)
end)

describe("processes that cannot be talked to", function()
  before_each(function() dir = P.output "mktemp -d":match "%S+" end)
  after_each(function() os.execute("rm -rf " .. dir) end)

  it("are told of: there is none", function()
    local all, code = ringlet "dump"
    assert.equal(1, code)
    assert.matches("^ringlet: there is no process to talk to: start one with RINGLET_ADMIN=1", all)
    all, code = ringlet "ps"
    assert.equal(0, code)
    assert.matches("^no process was started with RINGLET_ADMIN=1", all)
  end)

  it("are told of: they are dead, and their sockets can be removed", function()
    os.execute(("mkdir %s/ringlet"):format(dir))
    P.write(dir .. "/ringlet/999999999.sock", "")
    local all, code = ringlet "ps"
    assert.equal(0, code)
    assert.equal(("stale  %s/ringlet/999999999.sock: there is no process 999999999 any more\n")
      :format(dir), all)
    all, code = ringlet "ps --clean"
    assert.equal(0, code)
    assert.equal(("removed %s/ringlet/999999999.sock\n"):format(dir), all)
    assert.equal("", P.output(("ls %s/ringlet"):format(dir)))
  end)
end)

-- A token, over TCP.
local GUARDED = [[
local rl, admin = require "ringlet", require "ringlet.admin"
rl.run(function()
  print("on " .. assert(admin.serve("127.0.0.1:0", {token = "abcdefghijkl"})):addr())
  io.stdout:flush()
  rl.sleep(170)
end, {signals = true, grace = 0})
]]

describe("an endpoint with a token", function()
  it("answers to who has it", function()
    if H.missing.uring then return pending(H.missing.uring) end
    dir = "/nonexistent"
    local addr, guarded = P.start(environment() .. P.script(GUARDED), "on ([%d.]+:%d+)")
    finally(function() P.stop(guarded) end)
    local all, code = ringlet("metrics " .. addr)
    assert.equal(1, code)
    assert.equal("ringlet: " .. addr .. " does not let you: a token is needed: Authorization: "
      .. "Bearer ..., or ?token=... behind the address (see --token)\n", all)
    has(succeeds("metrics --token abcdefghijkl " .. addr), "ringlet_tasks_live")
    all, code = ringlet("top --once http://" .. addr .. "/", "RINGLET_ADMIN_TOKEN=abcdefghijkl")
    assert.equal(0, code, all)
    has(all, "ringlet top  " .. addr)
  end)
end)

-- ---- a terminal ---------------------------------------------------------------------------------

describe("ringlet top in a terminal", function()
  local terminal

  local function top(also)
    local command = "stty -g; %s %s %s bin/ringlet top %s; code=$?; stty -g; (exit $code)"
    terminal = T.open(command:format(environment(), also or "", H.interpreter(), pid))
    terminal:shows "\27[?1049h"
  end

  -- The screen that was there is shown again, and its mode is the same.
  local function is_as_it_was(all)
    local before, after = all:match "^%s*([%x:]+)\r?\n",
      all:match "\27%[%?1049l%s*([%x:]+)\r?\ncode="
    assert.truthy(before)
    assert.equal(before, after)
  end

  lazy_setup(function()
    if not H.missing.uring then start() end
  end)
  lazy_teardown(stop)
  after_each(function()
    if terminal then terminal:close() end
    terminal = nil
  end)

  it("is drawn, follows keys, and leaves the terminal as it was", function()
    if P.lacks "script" then return end
    top()
    terminal:shows "[1 tasks]"
    terminal:type "2"
    terminal:shows "[2 stacks]"
    terminal:type "/mail\r"
    terminal:shows 'with "mail"'
    terminal:type "q"
    local all, code = terminal:ends()
    assert.equal(0, code)
    is_as_it_was(all)
  end)

  it("has no colours when they are not wanted", function()
    if P.lacks "script" then return end
    for env, coloured in pairs {[""] = true, ["NO_COLOR=1"] = false} do
      top(env)
      terminal:shows "[1 tasks]"
      terminal:type "q"
      assert.equal(coloured, terminal:ends():find("\27[1;36m", 1, true) ~= nil)
    end
  end)

  it("ends with Ctrl-C, and the terminal is as it was", function()
    if P.lacks "script" then return end
    top()
    terminal:type "\3"
    local all, code = terminal:ends()
    assert.equal(130, code)
    is_as_it_was(all)
  end)

  it("follows keys that were typed before it was there", function()
    if P.lacks "script" then return end
    local command = "echo ready; read line; %s %s bin/ringlet top %s"
    terminal = T.open(command:format(environment(), H.interpreter(), pid))
    terminal:shows "ready"
    terminal:type "\n2q"
    local all, code = terminal:ends()
    assert.equal(0, code)
    has(all, "\27[?1049h")
  end)
end)
