-- SPDX-License-Identifier: MIT
--- What every task does, waits for, and since when: lists, dumps, and SIGQUIT.
--
--     local tasks = require "ringlet.debug"
--     print(tasks.dump())                              -- by stack, the most numerous first
--     for _, d in ipairs(tasks.tasks {state = "waiting", sort = "wait", limit = 10}) do
--       print(d.id, d.name, d.reason, d.since, d.object)
--     end
--     tasks.on_quit()                                  -- Ctrl-\ writes a dump to stderr
--
-- Every shard answers for itself, in slices of half a millisecond between which its tasks run. Each
-- task that was live at the beginning is listed at most once; one that ends meanwhile is left out.
-- Called outside of a task - in a hook -, only this shard answers, in one go.
-- @module ringlet.debug

local core = require "ringlet.core"
local dump = require "ringlet.debug_dump"
local gather = require "ringlet.debug_gather"
local options = require "ringlet.options"
local quit = require "ringlet.debug_quit"
local tasks = require "ringlet.debug_tasks"

local M = {}

local FILTERS = {
  shard = "number", state = "string", reason = "string", label = "string|table", name = "string",
  after = "number", timeout = "number",
}

local BOUNDS = {
  state = {"running", "runnable", "waiting", "new"}, sort = {"wait", "id"},
  shard = {min = 1, whole = true}, limit = {min = 0, whole = true},
  debug = {min = 1, max = 2, whole = true}, after = {min = 0}, timeout = {min = 0, infinite = true},
}

local function known(more)
  for name, kind in pairs(FILTERS) do
    more[name] = kind
  end
  return more
end

local LIST = known {limit = "number", sort = "string", stack = "boolean"}
local DUMP = known {debug = "number", library = "boolean", to = "function|table|userdata"}

-- The label that is wanted as {name = value}; value true: any.
local function label_of(wanted)
  if type(wanted) ~= "string" then
    return wanted
  end
  local name, value = wanted:match "^(.-)=(.*)$"
  return {[name or wanted] = value or true}
end

-- A checked copy.
local function checked(opts, names, level)
  options.check(opts, names, level + 1)
  opts = opts or {}
  options.bounds(opts, BOUNDS, level + 1)
  local _, size = core.fleet()
  if opts.shard and opts.shard > (size or 1) then
    error(("no such shard: %d (there are %d)"):format(opts.shard, size or 1), level + 1)
  end
  local copy = {}
  for k, v in pairs(opts) do
    copy[k] = v
  end
  copy.label = label_of(opts.label)
  return copy
end

--- Describe tasks.
--
-- A description is a table with
--
-- - `id`, `shard`; `name` and `labels` (nil if it has none); `daemon`, a boolean; `priority` of one
--   that is not normal
-- - `state`: "running", "runnable", "waiting" or "new" (it had no turn yet)
-- - of one that waits `reason`, as in `task:status`; `since`, for how many seconds; `object`, on
--   what, as text; `others`, how many other tasks wait for the same (10,000 at most are counted);
--   `lost` = true if nothing can ever wake it
-- - of one that runs or could `unparked`, how many seconds ago it last began to wait, or was made;
--   `preempted` = true if it was interrupted because it computes, else `was`, what it waits for its
--   turn after: a reason, or "yield"
-- - `overran` = true if it once computed where it could not be interrupted
-- - `site`: where it was created if that is recorded (`debug = true`, RINGLET_DEBUG=1), which
--   `created` = true says; else where its function is defined
-- - `stack`: a list of frames, innermost first, {name=, file=, line=, defined=, what="Lua", "main"
--   or "C", library=true for one of ringlet itself, new=true for the function of a task that has
--   not begun}. Tasks with the same stack share one table
-- - `key`: a string that is equal if what is shown of the stacks is
-- @parks while other shards answer, and between slices
-- @tparam[opt] table opts
-- @tparam[opt] integer opts.shard of this one alone
-- @tparam[opt] string opts.state "running", "runnable", "waiting" or "new"
-- @tparam[opt] string opts.reason such as "chan receive"
-- @tparam[opt] string|table opts.label "type=order", "type" (whatever its value), or a table of
-- names and values
-- @tparam[opt] string opts.name
-- @tparam[opt] number opts.after those that wait for so many seconds or more
-- @tparam[opt] integer opts.limit so many at most, the first ones
-- @tparam[opt="id"] string opts.sort "wait": the longest first; "id": by shard and number
-- @tparam[opt=true] boolean opts.stack false: without stacks
-- @tparam[opt=10] number opts.timeout seconds that a shard is given to answer
-- @treturn table a list of descriptions
-- @treturn table for each shard {shard=, tasks= how many it has, listed= how many of them fit,
-- ended= how many ended meanwhile}; {shard=, silent=true, task=, seconds=} for one that does not
-- answer; {shard=, failed= text}
-- @usage
-- local stuck = require("ringlet.debug").tasks {reason = "lock", sort = "wait", limit = 5}
function M.tasks(opts)
  opts = checked(opts, LIST, 2)
  local all = {}
  local counts = gather.all(tasks.list, opts, function(list)
    for _, d in ipairs(list) do
      all[#all + 1] = d
    end
  end, tasks.list)
  return tasks.sorted(all, opts), counts
end

--- Describe one task.
-- @parks while another shard answers
-- @tparam integer id
-- @tparam[opt] integer shard by default this one
-- @treturn ?table as `tasks` gives it; nil when no such task lives
function M.task(id, shard)
  if type(id) ~= "number" then
    error("number expected, got " .. type(id), 2)
  end
  local opts = checked({shard = shard or core.fleet() or 1}, LIST, 2)
  opts.id = id
  local found
  gather.all(tasks.list, opts, function(list)
    found = list[1]
  end, tasks.list)
  return found
end

--- Write what all tasks do, as text. docs/guide/dumps.md has the format.
-- @parks while other shards answer, and between slices
-- @tparam[opt] table opts
-- @tparam[opt] integer opts.shard this and the next as for `tasks`
-- @tparam[opt] string opts.state
-- @tparam[opt] string opts.reason
-- @tparam[opt] string|table opts.label
-- @tparam[opt] string opts.name
-- @tparam[opt] number opts.after
-- @tparam[opt=10] number opts.timeout
-- @tparam[opt=1] integer opts.debug 1: tasks with the same stack, reason and labels together, the
-- most numerous first; 2: every task
-- @tparam[opt=false] boolean opts.library with frames of ringlet itself
-- @tparam[opt] function|table|userdata opts.to what the text is given to, piece by piece, in place
-- of being returned: a function, or what has `write`, such as an open file
-- @treturn[1] string
-- @treturn[2] true with `to`
-- @source the Go runtime, runtime/pprof: the profile "goroutine" with debug=1 and debug=2
-- @usage
-- local file = assert(io.open("tasks.txt", "w"))
-- require("ringlet.debug").dump {debug = 2, to = file}
-- file:close()
function M.dump(opts)
  return dump.write(checked(opts, DUMP, 2))
end

--- Write a dump to stderr whenever SIGQUIT comes (Ctrl-\, `kill -QUIT`), instead of dying of it: in
-- this run, and in those to come. Another one that comes before the dump is written is ignored.
--
-- The first shard hears of the signal between two turns of its tasks; a task that computes is
-- interrupted for it. If that is stuck in a C function the dump comes when that returns. Another
-- shard that is stuck is listed as silent. Nothing happens on the sim backend.
-- @tparam[opt] table|boolean opts as for `dump`, whose `to` is stderr by default; false: SIGQUIT is
-- as it was
-- @raise in a run, on another shard than the first
-- @source the Go runtime, SIGQUIT; signal(7), signalfd(2)
function M.on_quit(opts)
  if (core.fleet() or 1) ~= 1 then
    error("on_quit is for the first shard", 2)
  end
  if opts == false then
    quit.stop()
    return
  end
  quit.start(checked(opts ~= true and opts or nil, DUMP, 2))
end

--- Tasks that wait on something which no live task can reach: `ringlet.leaks` finds them.
-- @parks
-- @tparam[opt] table opts as for `leaks.find`
-- @return ... what `leaks.find` gives
function M.leaks(opts)
  return require("ringlet.leaks").find(opts)
end

return M
