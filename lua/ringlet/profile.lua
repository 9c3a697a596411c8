-- SPDX-License-Identifier: MIT
--- Profiles: where CPU time goes, what tasks wait for, and what allocates, by Lua stack.
--
--     local rl, profile = require "ringlet", require "ringlet.profile"
--     rl.run(function()
--       serve()
--       local p = rl.check(profile.cpu{seconds = 10})
--       io.stderr:write(p:text())
--       p:save("cpu.svg")            -- a flame graph; cpu.pb is for `go tool pprof`
--     end)
--
-- One profile at a time is taken on a shard. Nothing is installed, and nothing costs, before.
-- @module ringlet.profile

require "ringlet.vm"
local core = require "ringlet.core"
local jobs = require "ringlet.jobs"
local options = require "ringlet.options"
local session = require "ringlet.profile_session"

local M = {}

local COMMON = {seconds = "number", shards = "number|string|table"}
local KNOWN = {
  cpu = {hz = "number", detail = "string"},
  offcpu = {hz = "number"},
  alloc = {every = "number", detail = "string"},
}
local BOUNDS = {
  seconds = {above = 0}, hz = {min = 1, max = 1000}, every = {min = 1},
  detail = {"line", "function"},
}

-- Seconds that a shard is profiled at a time, where shards take turns and no end is known.
local TURN = 2

for _, known in pairs(KNOWN) do
  for name, kind in pairs(COMMON) do
    known[name] = kind
  end
end

local function list_of(shards, level)
  if shards == nil or shards == "all" then
    local list = {}
    for i = 1, jobs.shards() do
      list[i] = i
    end
    return list
  end
  local list = type(shards) == "number" and {shards} or shards
  if type(list) ~= "table" or not list[1] then
    error("option 'shards' must be \"all\", a number or a list of numbers", level + 1)
  end
  for _, i in ipairs(list) do
    options.bound(i, {min = 1, max = jobs.shards(), whole = true}, "a shard", level + 1)
  end
  return list
end

local function check(kind, opts, level)
  opts = options.check(opts, KNOWN[kind], level + 1)
  options.bounds(opts, BOUNDS, level + 1)
  core.check()
  return opts, list_of(opts.shards, level + 1)
end

-- What profile_shard.begin takes.
local function setting(kind, opts)
  local hz = opts.hz or (kind == "cpu" and 99 or 20)
  return {
    kind = kind, detail = opts.detail or "function", interval = 1 / hz,
    period = kind == "cpu" and 1 / hz or kind == "alloc" and (opts.every or 524288) or 0,
  }
end

-- Tail-called, so its caller is whoever called the library.
local function take(kind, opts)
  local list
  opts, list = check(kind, opts, 2)
  return session.take(opts.seconds or 10, setting(kind, opts), list)
end

--- Where CPU time goes: the stack of the running task, so many times in a second of CPU time of
-- each shard's thread.
--
-- A sample is in the function and line that run, and in C functions on Lua 5.4. LuaJIT: compiled
-- code tells where it is where the function changes, so functions are right and lines are not (with
-- `detail = "line"` they are those of the next line); and shards take turns, because one Lua state
-- of a process can be profiled at a time: each gets its part of the time. What is not a task's is
-- "(scheduler)".
-- @parks for so many seconds; a cancellation ends it
-- @tparam[opt] table opts
-- @tparam[opt=10] number opts.seconds how long
-- @tparam[opt=99] number opts.hz samples in a second of CPU time, 1 to 1000
-- @tparam[opt="all"] integer|string|table opts.shards which: "all", a number, or a list
-- @tparam[opt="function"] string opts.detail of LuaJIT's compiled code: "function", or
-- "line", which costs more
-- @treturn profile_data
-- @fails "EBUSY" while another profile is being taken, or when SIGPROF is in use; "ENOSYS" when
-- LuaJIT was built without its profiler; "ELOST" when a shard does not answer
-- @raise outside of a task
-- @source timer_create(2), CLOCK_THREAD_CPUTIME_ID; LuaJIT, "Low-level profiler"
function M.cpu(opts)
  return take("cpu", opts)
end

--- What tasks wait for: their stacks, with the reason to wait innermost, by time.
--
-- Tasks are looked at some times a second, up to 100 of them in one go, in turn; what is found
-- counts for what lies between. So times are estimates without a bias; with up to 100 tasks a
-- shard, only moments are sampled. A task that is ready to run waits too: "(runnable)".
-- @parks for so many seconds; a cancellation ends it
-- @tparam[opt] table opts
-- @tparam[opt=10] number opts.seconds how long
-- @tparam[opt=20] number opts.hz looks in a second, 1 to 1000
-- @tparam[opt="all"] integer|string|table opts.shards which: "all", a number, or a list
-- @treturn profile_data
-- @fails "EBUSY" while another profile is being taken; "ELOST" when a shard does not answer
-- @raise outside of a task
function M.offcpu(opts)
  return take("offcpu", opts)
end

--- What allocates: bytes and objects of Lua's, by stack.
--
-- One in so many bytes is sampled and stands for the others, so sums are estimates without a bias.
-- The stack is that of the next moment at which one can be taken: on Lua 5.4 the function that
-- allocates, there or at its next line; LuaJIT as for `cpu`.
-- @parks for so many seconds; a cancellation ends it
-- @tparam[opt] table opts
-- @tparam[opt=10] number opts.seconds how long
-- @tparam[opt=524288] number opts.every a sample in so many bytes; 1: all that is allocated
-- @tparam[opt="all"] integer|string|table opts.shards which: "all", a number, or a list
-- @tparam[opt="function"] string opts.detail of LuaJIT's compiled code: "function", or
-- "line", which costs more
-- @treturn profile_data
-- @fails "EBUSY" while another profile is being taken, or, with LuaJIT, when SIGPROF is in use;
-- "ENOSYS" when LuaJIT was built without its profiler; "ELOST" when a shard does not answer
-- @raise outside of a task
-- @source the Go runtime, mprof.go
function M.alloc(opts)
  return take("alloc", opts)
end

--- Begin a profile that goes on until it is stopped, or the run ends.
-- @parks with several shards; not to be cancelled meanwhile
-- @tparam[opt="cpu"] string kind "cpu", "offcpu" or "alloc"
-- @tparam[opt] table opts as for that function; but `seconds` is how long each shard has at a time,
-- where they take turns, and 2
-- @treturn profiling
-- @fails as that function does
-- @raise outside of a task
function M.start(kind, opts)
  kind = kind or "cpu"
  if not KNOWN[kind] then
    error("the kind must be 'cpu', 'offcpu' or 'alloc'", 2)
  end
  local list
  opts, list = check(kind, opts, 2)
  return session.start(setting(kind, opts), list, opts.seconds or TURN)
end

return M
