-- SPDX-License-Identifier: MIT
--- Find leaked tasks: those that wait for what no live task can reach, and so for ever.
--
-- A task is leaked when it is parked without a time limit on objects of memory (channels, locks,
-- events, other tasks and so on) none of which can be reached: not from a task that is not leaked
-- itself, not from globals, loaded modules, timers or the caller of `run`. Nothing can wake it but
-- a cancellation. Tasks that wait for anything else, the kernel, another shard, a helper thread,
-- time, are never leaked, and neither are `main` and what is shielded. A handle of a task is a way
-- to end it, not to give it what it waits for: having one keeps no task from being leaked.
--
-- The search reads what the collector would, in one step in which no task of the shard runs, and
-- changes nothing: src/lua/lreach.c does it, docs/design/leak-detection.md says how long it takes.
-- @module ringlet.leaks

local core = require "ringlet.core"
local debug_text = require "ringlet.debug_text"
local gather = require "ringlet.debug_gather"
local here = require "ringlet.leaks_shard"
local options = require "ringlet.options"

local M = {}

-- Seconds after which a wait is suspect.
local AFTER = 60

local FIND = {shard = "number", timeout = "number", again = "boolean", reclaim = "boolean"}
local SUSPECTS = {shard = "number", timeout = "number", after = "number"}
local BOUNDS = {timeout = {min = 0, infinite = true}, after = {min = 0, infinite = true}}

-- A checked copy.
local function checked(opts, known)
  local copy, _, size = {}, core.fleet()
  for k, v in pairs(options.check(opts, known, 3)) do
    copy[k] = v
  end
  options.bounds(copy, BOUNDS, 3)
  options.bound(copy.shard, {min = 1, max = size or 1, whole = true}, "option 'shard'", 3)
  return copy
end

-- What fn of leaks_shard gives on each of the shards.
local function ask(fn, opts)
  local list = {}
  local counts = gather.all(fn, opts, function(found)
    for _, d in ipairs(found) do
      list[#list + 1] = d
    end
  end, fn)
  return list, counts
end

--- Find the leaked tasks. Each is reported once, unless asked for again.
--
-- The shard does nothing else meanwhile: it takes about as long as three full collections of what
-- the state has, less if there are no leaked tasks.
-- @parks until the other shards have answered; not at all with one
-- @tparam[opt] table opts
-- @tparam[opt] integer opts.shard this one alone; by default all
-- @tparam[opt=false] boolean opts.again those too that were reported already
-- @tparam[opt=false] boolean opts.reclaim cancel them: the wait raises, so that they clean up and
-- end. What is listed then is what is being reclaimed, whether it was reported before or not
-- @tparam[opt=10] number opts.timeout seconds that another shard is given to answer
-- @treturn table a list of descriptions as `tasks` of `ringlet.debug` gives them, by shards and
-- ages; `scope` is the task in which the scope was opened that a task is a child of
-- @treturn table for each shard {shard=, leaked= how many tasks are, reported before or not,
-- seconds= that it took}; {shard=, silent=true, task=, seconds=} for one that does not answer;
-- {shard=, failed= text}
-- @raise on an option that is unknown or out of range
-- @source V. Saioc, I. Rodriguez, U. A. Acar and others, "Dynamic partial deadlock detection and
-- recovery via garbage collection", ASPLOS 2025
function M.find(opts)
  return ask(here.find, checked(opts, FIND))
end

--- List tasks that have waited for long, the longest first: suspects, not a proof. Those that sleep
-- and the library's own are not among them.
-- @parks until the other shards have answered; not at all with one
-- @tparam[opt] table opts
-- @tparam[opt=60] number opts.after seconds
-- @tparam[opt] integer opts.shard this one alone; by default all
-- @tparam[opt=10] number opts.timeout seconds that another shard is given to answer
-- @treturn table a list of descriptions as `find` gives them; of each shard the longest first
-- @treturn table for each shard as `find` gives it, without `leaked`
-- @raise on an option that is unknown or out of range
function M.suspects(opts)
  opts = checked(opts, SUSPECTS)
  opts.after = opts.after or AFTER
  return ask(here.suspects, opts)
end

--- What `find` and `suspects` give, as text.
-- @tparam table list
-- @treturn string for each task what it waits for, its stack and where it was made, as in a dump
function M.text(list)
  local texts = {}
  for i, d in ipairs(list) do
    texts[i] = debug_text.task(d)
  end
  return table.concat(texts)
end

return M
