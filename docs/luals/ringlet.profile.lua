---@meta ringlet.profile
-- SPDX-License-Identifier: MIT
-- Written by tools/stubs from the comments in these files; edit those.
--   lua/ringlet/profile.lua
--   lua/ringlet/profile_data.lua
--   lua/ringlet/profile_session.lua

---A profile, from `profile.cpu` and its kin, or from `stop`.
---@class ringlet.profile_data
---@field kind string "cpu", "offcpu" or "alloc"
---@field seconds number how long it was taken
---@field time number when it began, as `rl.time` tells it
---what a sample stands for: nanoseconds of CPU time, or bytes allocated; 0 of waiting
---@field period number
---@field shards table for each shard {shard=, seconds=}: which, and how long each was profiled
---a list of {stack=, labels=, count=, value=}: frames with the innermost first, {name=, file=,
---line=, defined=, what=, library=}; and samples and nanoseconds of CPU time, looks and nanoseconds
---of waiting, or objects and bytes
---@field samples table
local profile_data = {}

---Add another profile of the same kind to this one.
---
---Does not park.
---
---Raises when it is of another kind.
---@param other ringlet.profile_data
---@return ringlet.profile_data # this one
function profile_data:merge(other) end

---The sums over all samples.
---
---Does not park.
---@return number # count samples, looks or objects
---@return number # value nanoseconds or bytes
function profile_data:total() end

---In the format of pprof: `go tool pprof` and others read it. It has all frames and labels.
---
---Does not park.
---
---Source: github.com/google/pprof, proto/profile.proto.
---@return string # profile.proto, not compressed
function profile_data:pprof() end

---@class ringlet.profile_data.folded.opts
---@field library? boolean all frames of the library (false)
---@field labels? string[] which labels become the outermost frames

---As collapsed stacks: "outermost;...;innermost value", one a line, values in nanoseconds or
---bytes.
---
---Does not park.
---
---Source: github.com/brendangregg/FlameGraph.
---@param opts? ringlet.profile_data.folded.opts
---@return string
function profile_data:folded(opts) end

---@class ringlet.profile_data.svg.opts
---@field library? boolean all frames of the library (false)
---@field labels? string[] which labels become the outermost frames
---@field title? string

---As a flame graph: one SVG file with all it needs. Click a frame, or press Enter on it, to see
---it alone; Escape goes back; "/" searches.
---
---Does not park.
---
---Source: B. Gregg, "The Flame Graph", CACM 59 (6), 2016.
---@param opts? ringlet.profile_data.svg.opts
---@return string
function profile_data:svg(opts) end

---@class ringlet.profile_data.text.opts
---@field library? boolean functions of the library too (false)
---@field labels? string[] which labels become the outermost frames
---@field n? integer how many (30)

---As a table of functions, those that have the most of their own first.
---
---Does not park.
---@param opts? ringlet.profile_data.text.opts
---@return string
function profile_data:text(opts) end

---The functions, those that have the most of their own first: what `text` shows.
---
---Does not park.
---
---Returns a list of {name=, file=, defined=, flat=, cum=}: its own, and with what it calls, in
---nanoseconds or bytes.
---@param library? boolean functions of the library too (false)
---@return table
function profile_data:top(library) end

---Write it to a file, in the format that the name ends in.
---
---Does not park.
---
---Raises when the name ends in nothing of these.
---@param path string "....pb" (pprof), ".folded", ".svg" or ".txt"
---@param opts? table as for `folded`, `svg` or `text`
---@return true|nil
---@return string|nil # message
---@return string|nil # "EIO"
---@overload fun(self: ringlet.profile_data, path: string, opts?: table): nil, string, string
function profile_data:save(path, opts) end

---A profile that is being taken, from `profile.start`.
---@class ringlet.profiling
local profiling = {}

---End it. The profile has what was seen on all shards that could be reached.
---
---Parks with several shards; not to be cancelled meanwhile.
---@async
---@return ringlet.profile_data|nil
---@return string|nil # message
---@return string|nil # "ECLOSED" when it was stopped before
---@overload fun(self: ringlet.profiling): nil, string, string
function profiling:stop() end

---Profiles: where CPU time goes, what tasks wait for, and what allocates, by Lua stack.
---
---    local rl, profile = require "ringlet", require "ringlet.profile"
---    rl.run(function()
---      serve()
---      local p = rl.check(profile.cpu{seconds = 10})
---      io.stderr:write(p:text())
---      p:save("cpu.svg")            -- a flame graph; cpu.pb is for `go tool pprof`
---    end)
---
---One profile at a time is taken on a shard. Nothing is installed, and nothing costs, before.
---@class ringlet.profile
local M = {}

---@class ringlet.profile.cpu.opts
---@field seconds? number how long (10)
---@field hz? number samples in a second of CPU time, 1 to 1000 (99)
---@field shards? integer|string|table which: "all", a number, or a list ("all")
---of LuaJIT's compiled code: "function", or "line", which costs more ("function")
---@field detail? string

---Where CPU time goes: the stack of the running task, so many times in a second of CPU time of
---each shard's thread.
---
---A sample is in the function and line that run, and in C functions on Lua 5.4. LuaJIT: compiled
---code tells where it is where the function changes, so functions are right and lines are not (with
---`detail = "line"` they are those of the next line); and shards take turns, because one Lua state
---of a process can be profiled at a time: each gets its part of the time. What is not a task's is
---"(scheduler)".
---
---Parks for so many seconds; a cancellation ends it.
---
---Raises outside of a task.
---
---Source: timer_create(2), CLOCK_THREAD_CPUTIME_ID; LuaJIT, "Low-level profiler".
---
---Returns profile_data.
---
---Or nil, message, "EBUSY" while another profile is being taken, or when SIGPROF is in use;
---"ENOSYS" when LuaJIT was built without its profiler; "ELOST" when a shard does not answer.
---@async
---@param opts? ringlet.profile.cpu.opts
---@return ringlet.profile_data|nil
---@return string|nil
---@return string|nil
---@overload fun(opts?: ringlet.profile.cpu.opts): nil, string, string
function M.cpu(opts) end

---@class ringlet.profile.offcpu.opts
---@field seconds? number how long (10)
---@field hz? number looks in a second, 1 to 1000 (20)
---@field shards? integer|string|table which: "all", a number, or a list ("all")

---What tasks wait for: their stacks, with the reason to wait innermost, by time.
---
---Tasks are looked at some times a second, up to 100 of them in one go, in turn; what is found
---counts for what lies between. So times are estimates without a bias; with up to 100 tasks a
---shard, only moments are sampled. A task that is ready to run waits too: "(runnable)".
---
---Parks for so many seconds; a cancellation ends it.
---
---Raises outside of a task.
---
---Returns profile_data.
---
---Or nil, message, "EBUSY" while another profile is being taken; "ELOST" when a shard does not
---answer.
---@async
---@param opts? ringlet.profile.offcpu.opts
---@return ringlet.profile_data|nil
---@return string|nil
---@return string|nil
---@overload fun(opts?: ringlet.profile.offcpu.opts): nil, string, string
function M.offcpu(opts) end

---@class ringlet.profile.alloc.opts
---@field seconds? number how long (10)
---@field every? number a sample in so many bytes; 1: all that is allocated (524288)
---@field shards? integer|string|table which: "all", a number, or a list ("all")
---of LuaJIT's compiled code: "function", or "line", which costs more ("function")
---@field detail? string

---What allocates: bytes and objects of Lua's, by stack.
---
---One in so many bytes is sampled and stands for the others, so sums are estimates without a bias.
---The stack is that of the next moment at which one can be taken: on Lua 5.4 the function that
---allocates, there or at its next line; LuaJIT as for `cpu`.
---
---Parks for so many seconds; a cancellation ends it.
---
---Raises outside of a task.
---
---Source: the Go runtime, mprof.go.
---
---Returns profile_data.
---
---Or nil, message, "EBUSY" while another profile is being taken, or, with LuaJIT, when SIGPROF is
---in use; "ENOSYS" when LuaJIT was built without its profiler; "ELOST" when a shard does not
---answer.
---@async
---@param opts? ringlet.profile.alloc.opts
---@return ringlet.profile_data|nil
---@return string|nil
---@return string|nil
---@overload fun(opts?: ringlet.profile.alloc.opts): nil, string, string
function M.alloc(opts) end

---Begin a profile that goes on until it is stopped, or the run ends.
---
---Parks with several shards; not to be cancelled meanwhile.
---
---Raises outside of a task.
---
---`opts`: as for that function; but `seconds` is how long each shard has at a time, where they take
---turns, and 2
---@async
---@param kind? string "cpu", "offcpu" or "alloc" ("cpu")
---@param opts? table
---@return ringlet.profiling|nil
---@return string|nil # message
---@return string|nil # as that function does
---@overload fun(kind?: string, opts?: table): nil, string, string
function M.start(kind, opts) end

return M
