---@meta ringlet.leaks
-- SPDX-License-Identifier: MIT
-- Written by tools/stubs from the comments in these files; edit those.
--   lua/ringlet/leaks.lua

---Find leaked tasks: those that wait for what no live task can reach, and so for ever.
---
---A task is leaked when it is parked without a time limit on objects of memory (channels, locks,
---events, other tasks and so on) none of which can be reached: not from a task that is not leaked
---itself, not from globals, loaded modules, timers or the caller of `run`. Nothing can wake it but
---a cancellation. Tasks that wait for anything else, the kernel, another shard, a helper thread,
---time, are never leaked, and neither are `main` and what is shielded. A handle of a task is a way
---to end it, not to give it what it waits for: having one keeps no task from being leaked.
---
---The search reads what the collector would, in one step in which no task of the shard runs, and
---changes nothing: src/lua/lreach.c does it, docs/design/leak-detection.md says how long it takes.
---@class ringlet.leaks
local M = {}

---@class ringlet.leaks.find.opts
---@field shard? integer this one alone; by default all
---@field again? boolean those too that were reported already (false)
---cancel them: the wait raises, so that they clean up and end. What is listed then is what is being
---reclaimed, whether it was reported before or not (false)
---@field reclaim? boolean
---@field timeout? number seconds that another shard is given to answer (10)

---Find the leaked tasks. Each is reported once, unless asked for again.
---
---The shard does nothing else meanwhile: it takes about as long as three full collections of what
---the state has, less if there are no leaked tasks.
---
---Parks until the other shards have answered; not at all with one.
---
---Raises on an option that is unknown or out of range.
---
---Source: V. Saioc, I. Rodriguez, U. A. Acar and others, "Dynamic partial deadlock detection and
---recovery via garbage collection", ASPLOS 2025.
---
---Returns a list of descriptions as `tasks` of `ringlet.debug` gives them, by shards and ages;
---`scope` is the task in which the scope was opened that a task is a child of, for each shard
---{shard=, leaked= how many tasks are, reported before or not, seconds= that it took}; {shard=,
---silent=true, task=, seconds=} for one that does not answer; {shard=, failed= text}.
---@async
---@param opts? ringlet.leaks.find.opts
---@return table
---@return table
function M.find(opts) end

---@class ringlet.leaks.suspects.opts
---@field after? number seconds (60)
---@field shard? integer this one alone; by default all
---@field timeout? number seconds that another shard is given to answer (10)

---List tasks that have waited for long, the longest first: suspects, not a proof. Those that sleep
---and the library's own are not among them.
---
---Parks until the other shards have answered; not at all with one.
---
---Raises on an option that is unknown or out of range.
---@async
---@param opts? ringlet.leaks.suspects.opts
---@return table # a list of descriptions as `find` gives them; of each shard the longest first
---@return table # for each shard as `find` gives it, without `leaked`
function M.suspects(opts) end

---What `find` and `suspects` give, as text.
---
---Does not park.
---@param list table
---@return string # for each task what it waits for, its stack and where it was made, as in a dump
function M.text(list) end

return M
