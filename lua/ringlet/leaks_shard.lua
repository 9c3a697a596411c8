-- SPDX-License-Identifier: MIT
-- leaks_shard: what `ringlet.leaks` finds on one shard: whom it suspects, which of them nothing
-- reaches, and what is told of them.
--
-- Invariants: nothing parks between asking who is suspect and following references; a task is known
-- by its slot and its id, so that what is remembered of it keeps nothing alive.

local core = require "ringlet.core"
local descriptions = require "ringlet.debug_tasks"
local jobs = require "ringlet.jobs"
local nest = require "ringlet.nest"
local pool_control = require "ringlet.pool_control"
local select_ = require "ringlet.select"
local task = require "ringlet.task"

local info, threads = core.info, (core.tables())

local M = {}

-- slot -> id of the task there that was reported, or that was cancelled for being leaked.
local reported, reclaimed = {}, {}

-- Waits for what comes from outside or with time: of no interest however long they take.
local AT_REST = {sleep = true, accept = true, server = true, ["pool work"] = true, yield = true}

-- The files of what users call that parks. Tasks whose function is in another file of ours are the
-- library's own.
local CALLED = {
  chan = true, future = true, map = true, scope = true, select = true, sync = true, task = true,
  time = true,
}

-- ---- who is suspect -----------------------------------------------------------------------------

local function is_timed(s)
  return s.limit_call and s.limit_call[1] and not s.cancelled
end

-- Does something else than what it waits for end the wait of the task with this handle: a time
-- limit of a scope around it? Main and what is shielded by a user count as if.
local function is_held(h)
  if h.main then
    return true
  end
  local s, own = h.scope, true
  while true do
    while s do
      if is_timed(s) or own and s.shield and not s.ours then
        return true
      elseif s.shield and not own then
        return false
      end
      s = s.outer
    end
    s, own = h.parent, false
    if not s then
      return false
    end
    h = s.owner
  end
end

local function suspects(tables)
  local handles, list, n = tables[2], core.suspects(), 0
  for i = 1, #list do
    local slot = list[i]
    local h = handles[slot]
    list[i] = nil
    if not (h and is_held(h)) then
      n = n + 1
      list[n] = slot
    end
  end
  return list
end

-- A task of the library's: none of its frames is of a user. What wakes it may be known by number.
local function is_ours(frames)
  local last
  for _, frame in ipairs(frames) do
    if frame.what ~= "C" then
      if not frame.library then
        return false
      end
      last = frame
    end
  end
  return last ~= nil and not CALLED[last.file:match("([%w_]+)%.lua$")]
end

-- What was read of stacks: those that are the same are read once, as {frames, ours}.
local function new_walk()
  return {book = core.book(), records = {}}
end

local function record_at(walk, slot)
  local number = core.stack(walk.book, threads[slot])
  local rec = walk.records[number]
  if not rec then
    local frames = core.frames(walk.book, number)
    rec = {frames = frames, ours = is_ours(frames)}
    walk.records[number] = rec
  end
  return rec
end

-- What the library remembers, weakly, for its own ends: nobody is woken through it.
local function hidden()
  return {nest.parked, task.workers, jobs.seen, pool_control.pools, select_.forget()}
end

-- The slots of those that nothing reaches, and their ids by slot. A task that was reported is known
-- to be none of ours.
local function search(walk)
  local tables, unseen = task.kept(), hidden()
  local list = suspects(tables)
  while true do
    local left, kept, ids = core.reach(list, tables, {}, unseen), {}, {}
    for i = 1, #left do
      local slot = left[i]
      local id = info(slot)
      if reported[slot] == id or not record_at(walk, slot).ours then
        kept[#kept + 1], ids[slot] = slot, id
      end
    end
    if #kept == #left then
      return kept, ids
    end
    list = kept
  end
end

local function sort(slots, ids)
  table.sort(slots, function(a, b)
    return ids[a] < ids[b]
  end)
end

-- ---- what is given ------------------------------------------------------------------------------

-- What is told of the shard: how many tasks are leaked, reported or not; how long it stood still.
local function counts_of(leaked, since)
  return {shard = core.fleet() or 1, leaked = leaked, seconds = core.now() - since}
end

local function describe(slots)
  local list = descriptions.of(slots)
  for i, slot in ipairs(slots) do
    local parent = task.at(slot).parent
    list[i].scope = parent and parent.owner.id
  end
  return list
end

-- The leaked tasks of this shard, and the counts of it; does not park. `opts` are those of
-- `leaks.find`.
function M.find(opts)
  local since, walk, wanted = core.now(), new_walk(), {}
  local slots, ids = search(walk)
  for _, slot in ipairs(slots) do
    local id = ids[slot]
    if opts.again or opts.reclaim and reclaimed[slot] ~= id or reported[slot] ~= id then
      wanted[#wanted + 1] = slot
    end
    reported[slot] = id
  end
  sort(wanted, ids)
  local list, counts = describe(wanted), counts_of(#slots, since)
  for _, slot in ipairs(opts.reclaim and wanted or {}) do
    reclaimed[slot] = ids[slot]
    task.at(slot):cancel("leaked")
  end
  return list, counts
end

-- Those that have waited for `opts.after` seconds, the longest first; does not park.
function M.suspects(opts)
  local since, walk, slots, waits, ids = core.now(), new_walk(), {}, {}, {}
  for _, slot in ipairs(core.slots()) do
    local id, state, reason, waited = info(slot)
    if state == "parked" and waited >= opts.after and not AT_REST[reason]
      and not record_at(walk, slot).ours then
      slots[#slots + 1], waits[slot], ids[slot] = slot, waited, id
    end
  end
  table.sort(slots, function(a, b)
    return waits[a] > waits[b] or waits[a] == waits[b] and ids[a] < ids[b]
  end)
  return describe(slots), {shard = core.fleet() or 1, seconds = core.now() - since}
end

return M
