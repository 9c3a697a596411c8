---@meta ringlet.debug
-- SPDX-License-Identifier: MIT
-- Written by tools/stubs from the comments in these files; edit those.
--   lua/ringlet/debug.lua

---What every task does, waits for, and since when: lists, dumps, and SIGQUIT.
---
---    local tasks = require "ringlet.debug"
---    print(tasks.dump())                              -- by stack, the most numerous first
---    for _, d in ipairs(tasks.tasks {state = "waiting", sort = "wait", limit = 10}) do
---      print(d.id, d.name, d.reason, d.since, d.object)
---    end
---    tasks.on_quit()                                  -- Ctrl-\ writes a dump to stderr
---
---Every shard answers for itself, in slices of half a millisecond between which its tasks run. Each
---task that was live at the beginning is listed at most once; one that ends meanwhile is left out.
---Called outside of a task - in a hook -, only this shard answers, in one go.
---@class ringlet.debug
local M = {}

---@class ringlet.debug.tasks.opts
---@field shard? integer of this one alone
---@field state? string "running", "runnable", "waiting" or "new"
---@field reason? string such as "chan receive"
---"type=order", "type" (whatever its value), or a table of names and values
---@field label? string|table
---@field name? string
---@field after? number those that wait for so many seconds or more
---@field limit? integer so many at most, the first ones
---@field sort? string "wait": the longest first; "id": by shard and number ("id")
---@field stack? boolean false: without stacks (true)
---@field timeout? number seconds that a shard is given to answer (10)

---Describe tasks.
---
---A description is a table with
---
---- `id`, `shard`; `name` and `labels` (nil if it has none); `daemon`, a boolean; `priority` of one
---  that is not normal
---- `state`: "running", "runnable", "waiting" or "new" (it had no turn yet)
---- of one that waits `reason`, as in `task:status`; `since`, for how many seconds; `object`, on
---  what, as text; `others`, how many other tasks wait for the same (10,000 at most are counted);
---  `lost` = true if nothing can ever wake it
---- of one that runs or could `unparked`, how many seconds ago it last began to wait, or was made;
---  `preempted` = true if it was interrupted because it computes, else `was`, what it waits for its
---  turn after: a reason, or "yield"
---- `overran` = true if it once computed where it could not be interrupted
---- `site`: where it was created if that is recorded (`debug = true`, RINGLET_DEBUG=1), which
---  `created` = true says; else where its function is defined
---- `stack`: a list of frames, innermost first, {name=, file=, line=, defined=, what="Lua", "main"
---  or "C", library=true for one of ringlet itself, new=true for the function of a task that has
---  not begun}. Tasks with the same stack share one table
---- `key`: a string that is equal if what is shown of the stacks is
---
---Parks while other shards answer, and between slices.
---
---Returns a list of descriptions, for each shard {shard=, tasks= how many it has, listed= how many
---of them fit, ended= how many ended meanwhile}; {shard=, silent=true, task=, seconds=} for one
---that does not answer; {shard=, failed= text}.
---
---```lua
---local stuck = require("ringlet.debug").tasks {reason = "lock", sort = "wait", limit = 5}
---```
---@async
---@param opts? ringlet.debug.tasks.opts
---@return table
---@return table
function M.tasks(opts) end

---Describe one task.
---
---Parks while another shard answers.
---@async
---@param id integer
---@param shard? integer by default this one
---@return table|nil # as `tasks` gives it; nil when no such task lives
function M.task(id, shard) end

---@class ringlet.debug.dump.opts
---@field shard? integer this and the next as for `tasks`
---@field state? string
---@field reason? string
---@field label? string|table
---@field name? string
---@field after? number
---@field timeout? number (10)
---1: tasks with the same stack, reason and labels together, the most numerous first; 2: every task
---(1)
---@field debug? integer
---@field library? boolean with frames of ringlet itself (false)
---what the text is given to, piece by piece, in place of being returned: a function, or what has
---`write`, such as an open file
---@field to? function|table|userdata

---Write what all tasks do, as text. docs/guide/dumps.md has the format.
---
---Parks while other shards answer, and between slices.
---
---Source: the Go runtime, runtime/pprof: the profile "goroutine" with debug=1 and debug=2.
---
---Returns string.
---
---Or true with `to`.
---
---```lua
---local file = assert(io.open("tasks.txt", "w"))
---require("ringlet.debug").dump {debug = 2, to = file}
---file:close()
---```
---@async
---@param opts? ringlet.debug.dump.opts
---@return string|true
---@overload fun(opts?: ringlet.debug.dump.opts): true
function M.dump(opts) end

---Write a dump to stderr whenever SIGQUIT comes (Ctrl-\, `kill -QUIT`), instead of dying of it: in
---this run, and in those to come. Another one that comes before the dump is written is ignored.
---
---The first shard hears of the signal between two turns of its tasks; a task that computes is
---interrupted for it. If that is stuck in a C function the dump comes when that returns. Another
---shard that is stuck is listed as silent. Nothing happens on the sim backend.
---
---Does not park.
---
---Raises in a run, on another shard than the first.
---
---Source: the Go runtime, SIGQUIT; signal(7), signalfd(2).
---
---`opts`: as for `dump`, whose `to` is stderr by default; false: SIGQUIT is as it was
---@param opts? table|boolean
function M.on_quit(opts) end

---Tasks that wait on something which no live task can reach: `ringlet.leaks` finds them.
---
---Parks.
---@async
---@param opts? table as for `leaks.find`
---@return any ... what `leaks.find` gives
function M.leaks(opts) end

return M
