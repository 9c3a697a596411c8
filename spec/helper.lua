-- SPDX-License-Identifier: MIT
-- What the specs share, and busted's --helper. `require "spec.helper"` gives the table.
--
-- RINGLET_GC_TORTURE=1 collects all the time, =generational so does Lua 5.4 in that mode. Without
-- LUA_PATH, the tree itself is put on the path.

local H = {}

local function on_path(where, what)
  return where:find(what, 1, true) ~= nil
end

local function set_paths()
  if pcall(require, "ringlet.core") then
    return
  end
  local vm = rawget(_G, "jit") and "luajit" or "lua5.4"
  for _, p in ipairs{"./lua/?/init.lua", "./lua/?.lua"} do
    if not on_path(package.path, p) then
      package.path = p .. ";" .. package.path
    end
  end
  package.cpath = ("./build/%s/?.so;"):format(vm) .. package.cpath
end

set_paths()

-- No pause between cycles, and before every call of the core - parks are such calls - a step as
-- large as a cycle or, every 32nd time, a full collection. It is there before the library's modules
-- make locals of the core's functions, and its source name is one of theirs: it is not preempted.
local function torture(how)
  local core = require "ringlet.core"
  local generational = how == "generational" and _VERSION == "Lua 5.4"
  if generational then
    collectgarbage("generational", 5, 20)
  else
    collectgarbage("setpause", 0)
    collectgarbage("setstepmul", 1000)
  end
  local library = package.searchpath("ringlet.run", package.path):gsub("run%.lua$", "torture.lua")
  local wrap = assert((rawget(_G, "loadstring") or load)([[
    local calls, collect = 0, collectgarbage
    return function(fn)
      return function(...)
        calls = calls + 1
        if calls % 32 == 0 then collect() else collect("step", 64) end
        return fn(...)
      end
    end]], "@" .. library))()
  local public = {now = true, time = true, stats = true} -- given to users as they are
  for name, fn in pairs(core) do
    if type(fn) == "function" and not public[name] then
      core[name] = wrap(fn)
    end
  end
end

local how = os.getenv "RINGLET_GC_TORTURE"
if how and how ~= "" then
  torture(how)
  H.torture = true
end

-- busted forgets what a spec file required; what its helper required stays.
local rl = require "ringlet"
local t = require "ringlet.test"

-- For what hangs; a machine may be slow, and compute something else as well. What is left may be
-- for another thread to end, which may have no CPU for a while.
t.TIMEOUT, t.SETTLE = 60, 10

H.jit = rawget(_G, "jit") ~= nil

-- Debian 12's LuaJIT is from before several mends of its register allocation in side traces. One of
-- luassert's comparison of large tables died so, in 3 % of the runs of a spec of pure Lua.
if H.jit then
  require("jit").off(require("luassert.util").deepcompare, true)
end

-- Is this a run of `make asan`? Then memory and times are not what they are otherwise.
H.sanitized = on_path(os.getenv "LD_PRELOAD" or "", "asan")

H.BACKENDS = {"sim", "uring"}

-- Timers fire at most one tick of the wheel (1.05 ms) after their time, also in virtual time; a few
-- in a row are this late at most.
H.TICK = 0.004

-- The backends that work here, and why not for those that do not.
H.missing = {}
for _, name in ipairs(H.BACKENDS) do
  local ok, err = pcall(rl.run, function() end, {backend = name})
  if not ok then
    H.missing[name] = tostring(err)
  end
end

-- A slice is of real time: where a machine runs something else for 10 ms, a task is interrupted in
-- its midst, however little it does. Tests that are about preemption or stalls say so; the others
-- go by what a turn is, and only a stall of seconds ends one.
local LONG_SLICE = 2
local ABOUT_TURNS = {"slice", "preempt", "stall_after", "on_stall", "starved", "on_overrun"}

local function slice_of(opts)
  for _, name in ipairs(ABOUT_TURNS) do
    if opts[name] ~= nil then
      return opts.slice
    end
  end
  return LONG_SLICE
end

-- A describe block on one backend. `fn` gets an `it` whose tests run in a task of that backend.
function H.on(backend, name, fn)
  local busted = require "busted"
  busted.describe(("%s (%s)"):format(name, backend), function()
    fn(function(what, test, opts)
      if H.missing[backend] then
        busted.pending(what .. ": " .. H.missing[backend])
        return
      end
      local all = {backend = backend}
      if H.torture and backend ~= "sim" then
        all.timeout, all.slice = 100, LONG_SLICE -- what takes a millisecond takes tens of them
      end
      for k, v in pairs(opts or {}) do all[k] = v end
      if backend ~= "sim" then
        all.slice = all.slice or slice_of(all)
      end
      t.it(what, test, all)
    end, backend)
  end)
end

-- The same block under virtual time and on the real kernel.
function H.both(name, fn)
  for _, backend in ipairs(H.BACKENDS) do
    H.on(backend, name, fn)
  end
end

-- The most that something may take which takes less than `seconds` when nothing is in its way: that
-- is known under virtual time only; elsewhere it is but sure that it does not hang.
function H.limit(seconds, backend)
  return backend == "sim" and seconds or 30
end

function H.sim(name, fn)
  H.on("sim", name, fn)
end

-- Under GC torture, fewer rounds: n, or a hundredth of it but not below `least`.
function H.rounds(n, least)
  return H.torture and math.max(least or 100, math.floor(n / 100)) or n
end

function H.collect()
  for _ = 1, 3 do
    collectgarbage()
  end
end

function H.kilobytes()
  H.collect()
  return collectgarbage("count")
end

-- What a call gave, with its number of values.
function H.pack(...)
  return {n = select("#", ...), ...}
end

-- Wait, in a task or outside of one, until `fact()` is true, and return what it gave. For what
-- another thread or process does: that takes as long as it takes; after 30 s the test fails with
-- `what` did not come.
function H.eventually(what, fact)
  local due = rl.now() + 30
  while true do
    local value = fact()
    if value then
      return value
    end
    if rl.now() > due then
      error("not within 30 s: " .. what, 2)
    end
    if rl.self() then
      rl.sleep(0.005)
    else
      os.execute "sleep 0.02"
    end
  end
end

-- The message of the error `fn(...)` raises; fails when it raises none.
function H.raises(fn, ...)
  local ok, err = pcall(fn, ...)
  if ok then
    error("nothing was raised", 2)
  end
  return err
end

-- Fails unless `fn(...)` raises an error whose text contains `text`.
function H.raises_text(text, fn, ...)
  local ok, err = pcall(fn, ...)
  if ok then
    error("nothing was raised", 2)
  end
  if not tostring(err):find(text, 1, true) then
    error(("raised %q, which has no %q"):format(tostring(err), text), 2)
  end
  return err
end

-- Run `fn` in a daemon-free run of its own, outside any test wrapper.
function H.run(fn, opts)
  local all = {backend = "sim", seed = 1}
  for k, v in pairs(opts or {}) do all[k] = v end
  return rl.run(fn, all)
end

local function interpreter()
  local i = 0
  while arg[i - 1] do
    i = i - 1
  end
  return arg[i]
end

H.interpreter = interpreter

local function quote(s)
  return "'" .. s:gsub("'", "'\\''") .. "'"
end

-- A script that waits for a process, on a busy machine, may be told that it computes for too long.
local function without_overruns(text)
  local out, skipping = {}, false
  for line in text:gmatch("[^\n]*\n?") do
    skipping = line:find("computed for more than two slices", 1, true) ~= nil
      or skipping and (line == "stack traceback:\n" or line:sub(1, 1) == "\t")
    out[#out + 1] = skipping and "" or line
  end
  return table.concat(out)
end

-- Run `source` as a script of the interpreter that runs the specs, at most 60 s. Returns what it
-- wrote to both streams and its exit code (128 + n: killed by signal n, as shells have it).
function H.script(source, env)
  local name = os.tmpname()
  local f = assert(io.open(name, "w"))
  f:write(("package.path, package.cpath = %q, %q\n"):format(package.path, package.cpath))
  f:write('local rl = require "ringlet"\n', source)
  f:close()
  local command = ("%s timeout -s KILL 60 %s %s 2>&1; echo; echo code=$?"):format(
    env or "", quote(interpreter()), quote(name))
  command = command:gsub("echo; echo code=%$%?", "c=$?; echo; echo code=$c")
  local p = assert(io.popen(command))
  local out = p:read("*a")
  p:close()
  os.remove(name)
  local text, code = out:match("^(.*)\ncode=(%d+)\n$")
  return without_overruns(text), tonumber(code)
end

-- Lua source: a function that sends this very process a signal.
H.KILL = [[
local function kill(sig)
  local p = io.popen("kill -" .. sig .. " $PPID")
  p:close()
end
]]

return H
