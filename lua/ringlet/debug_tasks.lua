-- SPDX-License-Identifier: MIT
-- debug_tasks: the tasks of this shard, as descriptions or as groups of equal ones.
--
-- Tasks are walked by slot, in slices of half a millisecond between which others have their turn.
-- Invariants: a task is visited at most once, because slots only go up; it was live when the walk
-- began, because what was made later has a higher id; what has ended meanwhile is left out and
-- counted. A walk keeps nothing alive: what it remembers of objects, it remembers weakly.

local core = require "ringlet.core"
local priorities = require "ringlet.priority"
local sort = require "ringlet.debug_sort"
local stacks = require "ringlet.stacks"
local task = require "ringlet.task"
local text = require "ringlet.debug_text"
local time = require "ringlet.time"

local now, info, next_task, stack = core.now, core.info, core.next_task, core.stack
local threads, handles = core.tables()

local M = {}

-- Seconds of a slice, tasks between two looks at the clock, and tasks in a slice at most.
local SLICE, LOOK, SLICE_TASKS = 0.0005, 16, 1024
-- How many others that wait on the same object are counted.
local OTHERS = 10000

local STATES = {new = "new", runnable = "runnable", running = "running", parked = "waiting"}

local function has_flag(flags, flag)
  return math.floor(flags / flag) % 2 == 1
end

-- The labels of a task: a table that is shared, or nil.
local function labels_at(slot, id)
  if task.labels_at then
    return task.labels_at(slot)
  end
  local h = handles[slot]
  return h and h[2] == id and h.labels or nil
end

local function name_at(slot, id)
  local h = handles[slot]
  local name = h and h[2] == id and h.label_name
  local lodger = not name and task.lodgers[slot]
  return name or lodger and lodger.f and lodger.pool.name or nil
end

-- ---- stacks ---------------------------------------------------------------------------------

-- Where the outermost function is defined that is a user's, or any in Lua if there is none.
local function definition_of(frames)
  local list = stacks.shown(frames)
  for i = #list, 1, -1 do
    local frame = list[i]
    if frame.what ~= "C" then
      return ("%s:%d"):format(frame.file, frame.defined)
    end
  end
end

local function record_of(frames)
  return {frames = frames, key = stacks.key(frames), defined = definition_of(frames)}
end

-- A task that has not begun, or whose coroutine is not there yet.
local function record_of_new(walk, slot)
  local fn = core.body(threads, slot)
  if not fn then
    return walk.nothing
  end
  local frames = stacks.of_function(fn)
  local key = "new " .. frames[1].name
  local rec = walk.new[key]
  if not rec then
    rec = record_of(frames)
    rec.key = key
    walk.new[key] = rec
  end
  return rec
end

-- What all tasks with this stack have in common: {frames, key, defined}. And the object, if asked.
local function record_at(walk, slot, state, wants_object)
  local co = threads[slot]
  if state == "new" or type(co) ~= "thread" then
    return record_of_new(walk, slot)
  end
  local number, object, name = stack(walk.book, co, 0, wants_object)
  local rec = walk.records[number]
  if not rec then
    rec = record_of(core.frames(walk.book, number))
    walk.records[number] = rec
  end
  return rec, object, name
end

-- ---- what a task waits for ------------------------------------------------------------------

-- What is said of an object is said once: {text, [reason] = how many wait for that reason}.
local function about(walk, object, name)
  local said = walk.objects[object]
  if not said then
    said = {text = stacks.object_text(object, name)}
    walk.objects[object] = said
  end
  return said
end

local function describe_wait(walk, d, slot, object, name)
  if object == nil then
    return
  elseif name == "cases" then
    d.object = stacks.object_text(object, name)
    return
  end
  local said = about(walk, object, name)
  said[d.reason] = said[d.reason] or core.waiters(slot, OTHERS)
  d.object, d.others = said.text, said[d.reason]
end

-- ---- descriptions ---------------------------------------------------------------------------

local function copy_of(labels)
  if not labels or next(labels) == nil then
    return nil
  end
  local copy = {}
  for k, v in pairs(labels) do
    copy[k] = v
  end
  return copy
end

local function site_of(slot, id)
  local h = handles[slot]
  local site = h and h[2] == id and h.site
  return site and site:gsub("^created at ", "") or nil
end

-- A table that has room for all fields.
local function blank()
  return {
    id = nil, shard = nil, name = nil, labels = nil, daemon = nil, priority = nil, state = nil,
    reason = nil,
    since = nil, object = nil, others = nil, lost = nil, preempted = nil, overran = nil,
    was = nil, unparked = nil, created = nil, site = nil, key = nil, stack = nil,
  }
end

local function describe_state(d, slot, state, since, flags)
  local priority = core.priority(slot)
  d.state, d.daemon = STATES[state], has_flag(flags, core.DAEMON)
  d.priority = priority ~= priorities.NORMAL and priorities.NAMES[priority] or nil
  d.since = (state == "parked" or state == "new") and since or nil
  d.unparked = not d.since and since or nil
  d.preempted = has_flag(flags, core.PREEMPTED) or nil
  d.overran = has_flag(flags, core.OVERRAN) or nil
  d.was = state == "runnable" and not d.preempted and core.was(slot) or nil
end

-- Where only one description is needed at a time it is always the same table.
local function describe(walk, slot, id, state, reason, since, flags)
  local d, parked = walk.scratch or blank(), state == "parked"
  local rec, object, name = record_at(walk, slot, state, parked)
  local site = site_of(slot, id)
  d.id, d.shard, d.name = id, walk.shard, name_at(slot, id)
  d.labels = copy_of(labels_at(slot, id))
  describe_state(d, slot, state, since, flags)
  d.reason, d.object, d.others = parked and reason or nil, nil, nil
  d.lost = parked and core.waiters(slot, 0) == nil or nil
  d.created, d.site, d.key = site ~= nil, site or rec.defined or "?", rec.key
  d.stack = walk.stack and rec.frames or nil
  if parked then
    describe_wait(walk, d, slot, object, name)
  end
  return d
end

-- ---- filters --------------------------------------------------------------------------------

local function label_fits(labels, wanted)
  for k, v in pairs(wanted) do
    local has = labels and labels[k]
    if has == nil or v ~= true and tostring(has) ~= tostring(v) then
      return false
    end
  end
  return true
end

local function fits(opts, slot, id, state, reason, since)
  return (not opts.id or opts.id == id)
    and (not opts.state or opts.state == STATES[state])
    and (not opts.reason or opts.reason == reason)
    and (not opts.after or state == "parked" and since >= opts.after)
    and (not opts.name or opts.name == name_at(slot, id))
    and (not opts.label or label_fits(labels_at(slot, id), opts.label))
end

-- ---- walking --------------------------------------------------------------------------------

-- `own`: the task that walks is there for that alone, and is no matter of the user's.
local function new_walk(opts, own)
  local skip = own and select(2, core.current()) or nil
  return {
    shard = core.fleet() or 1, stack = opts.stack ~= false,
    book = core.book(), records = {}, new = {},
    objects = setmetatable({}, {__mode = "k"}), nothing = record_of({}),
    last = core.last_id(), skip = skip, live = core.stats().tasks - (skip and 1 or 0),
    seen = 0, listed = 0,
  }
end

-- May the caller park? Not outside of a task, nor in a hook.
function M.can_park()
  return (pcall(core.check))
end

-- A function to call now and then: when a slice is over, and if it is told to, others have their
-- turn, where that is possible.
local function pauser()
  local due = now() + SLICE
  local can_park = M.can_park()
  return function(force)
    if can_park and (force or now() >= due) then
      time.yield()
      due = now() + SLICE
    end
  end
end

-- Call visit(slot, id) for each task.
local function each(walk, visit)
  local last, skip, pause, n = walk.last, walk.skip, pauser(), 0
  local slot, id = next_task(0)
  while slot do
    if id and id <= last and id ~= skip then
      walk.seen = walk.seen + 1
      visit(slot, id)
    end
    n = n + 1
    if n % LOOK == 0 then
      pause(n % SLICE_TASKS == 0)
    end
    slot, id = next_task(slot)
  end
end

-- What is told of the shard: how many tasks, how many of them are listed, how many ended meanwhile.
local function counts_of(walk)
  return {
    shard = walk.shard, tasks = walk.seen, listed = walk.listed,
    ended = math.max(walk.live - walk.seen, 0),
  }
end

-- Give each description to fn, in the order of slots. Parks, if there are many and it can. With
-- `reuse` the description is fn's only until it returns. fn(description, walk) may set walk.floor:
-- from then on only tasks that wait for so long are described.
function M.each(opts, own, fn, reuse)
  local walk = new_walk(opts, own)
  walk.scratch = reuse and blank() or nil
  each(walk, function(slot, id)
    local _, state, reason, since, flags = info(slot)
    if fits(opts, slot, id, state, reason, since) then
      walk.listed = walk.listed + 1
      if not walk.floor or state == "parked" and since >= walk.floor then
        fn(describe(walk, slot, id, state, reason, since, flags), walk)
      end
    end
  end)
  return counts_of(walk)
end

local function by_wait(a, b)
  local x, y = a.since or -1, b.since or -1
  if x ~= y then
    return x > y
  end
  return sort.by_id(a, b)
end

-- Sort descriptions as asked, and keep as many as asked.
function M.sorted(list, opts)
  return sort.first(list, opts.sort == "wait" and by_wait or sort.by_id, opts.limit, pauser())
end

-- All descriptions, and the counts of the shard. Of those that wait longest only about as many are
-- made as are wanted: the first of a hundred thousand cost little more than of a thousand.
function M.list(opts, own)
  local list, kept = {}, opts.sort == "wait" and opts.limit
  local counts = M.each(opts, own, function(d, walk)
    list[#list + 1] = d
    if kept and #list > 2 * kept + LOOK then
      list = M.sorted(list, opts)
      walk.floor = list[kept] and list[kept].since
    end
  end)
  return M.sorted(list, opts), counts
end

-- The descriptions of the tasks in these slots; does not park.
function M.of(slots)
  local walk, list = new_walk({}), {}
  for i, slot in ipairs(slots) do
    list[i] = describe(walk, slot, info(slot))
  end
  return list
end

-- ---- groups ---------------------------------------------------------------------------------

-- The group of tasks in this state, with these labels and this stack. Labels are compared by their
-- text, which is made once for each table.
local function group_at(walk, rec, what, labels)
  local said = ""
  if labels then
    said = walk.texts[labels]
    if not said then
      said = text.labels(labels)
      walk.texts[labels] = said
    end
  end
  local of_stack = walk.groups[rec.key]
  if not of_stack then
    of_stack = {}
    walk.groups[rec.key] = of_stack
  end
  local of_state = of_stack[what]
  if not of_state then
    of_state = {}
    of_stack[what] = of_state
  end
  local group = of_state[said]
  if not group then
    group = {count = 0, labels = said, stack = rec.frames, key = rec.key}
    of_state[said] = group
    walk.list[#walk.list + 1] = group
  end
  return group
end

local function add_to_group(walk, slot, id, state, reason, since, flags)
  local rec = record_at(walk, slot, state)
  local parked, preempted = state == "parked", has_flag(flags, core.PREEMPTED)
  local what = parked and reason or preempted and "preempted" or STATES[state]
  local group = group_at(walk, rec, what, labels_at(slot, id))
  if group.count == 0 then
    group.state, group.reason = STATES[state], parked and reason or nil
    group.preempted, group.min, group.max = preempted or nil, since, since
  end
  group.count = group.count + 1
  if since < group.min then
    group.min = since
  elseif since > group.max then
    group.max = since
  end
end

-- The tasks by stack, state, reason and labels: a list of {count, state, reason, preempted, min,
-- max, labels, stack, key}, and the counts of the shard.
function M.groups(opts, own)
  local walk = new_walk(opts, own)
  walk.groups, walk.list, walk.texts = {}, {}, setmetatable({}, {__mode = "k"})
  each(walk, function(slot, id)
    local _, state, reason, since, flags = info(slot)
    if fits(opts, slot, id, state, reason, since) then
      walk.listed = walk.listed + 1
      add_to_group(walk, slot, id, state, reason, since, flags)
    end
  end)
  return walk.list, counts_of(walk)
end

return M
