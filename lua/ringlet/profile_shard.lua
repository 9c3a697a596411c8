-- SPDX-License-Identifier: MIT
-- profile_shard: a profile of the shard it is called on: begin, and finish, which gives what was
-- counted as plain tables that travel. Of waiting it is also who looks at the tasks.
--
-- Looking is sampling twice over: at moments that are not quite regular, so that nothing periodic
-- is always met in the same place, at LOOKS slots of tasks each time, one behind the other, round
-- and round. What is found counts for as many as were not looked at, and for the time since the
-- look before: sums are unbiased, and with up to LOOKS tasks only the moments are sampled.

local core = require "ringlet.core"
local fail = require "ringlet.fail"
local jobs = require "ringlet.jobs"
local run_stop = require "ringlet.run_stop"
local task = require "ringlet.task"
local time = require "ringlet.time"

local M = {}

-- How many slots are looked at in one go; a look is some microseconds.
local LOOKS = 100
-- How many sets of labels are told apart; number 0 stands for all others.
local SETS_MAX = 1000

local _, handles = core.tables()

-- ---- labels -------------------------------------------------------------------------------------

-- The name and labels of the task in a slot, as one table, or nil.
local function set_of(slot)
  local h = handles[slot]
  h = h and h[1] == slot and h
  local labels = task.labels_at and task.labels_at(slot) or h and h.labels
  local name = h and h.label_name
  if not name and not (labels and next(labels) ~= nil) then
    return nil
  end
  local set = {task = name or nil}
  for k, v in pairs(labels or {}) do
    set[k] = v
  end
  return set
end

local function key_of(set)
  local list = {}
  for k, v in pairs(set) do
    list[#list + 1] = tostring(k) .. "\0" .. type(v) .. tostring(v)
  end
  table.sort(list)
  return table.concat(list, "\0\0")
end

-- What numbers the labels of tasks, and the list of what the numbers mean.
local function numbering()
  local sets, numbers = {}, {}
  return function(slot)
    local set = set_of(slot)
    if not set then
      return 0
    end
    local key = key_of(set)
    if not numbers[key] and #sets < SETS_MAX then
      sets[#sets + 1] = set
      numbers[key] = #sets
    end
    return numbers[key] or 0
  end, sets
end

-- ---- who looks ----------------------------------------------------------------------------------

-- The next LOOKS slots, for what has passed since the last look. `from` counts from 0.
local function look(from, seconds)
  local size = core.profile_slots()
  local n = math.min(size, LOOKS)
  local weight = seconds * size / n
  from = from < size and from or 0
  local first = math.min(n, size - from)
  core.profile_look(from, first, weight)
  if first < n then
    core.profile_look(0, n - first, weight)
  end
  return (from + n) % size
end

local function look_on(state)
  local last, from = time.now(), 0
  while true do
    time.sleep(state.interval * (0.5 + core.random() / 2 ^ 31))
    local now = time.now()
    from = look(from, now - last)
    last = now
  end
end

-- ---- begin and finish ---------------------------------------------------------------------------

-- `active` is {sets, since, interval, looker} while there is one here. Not a variable: jobs call
-- these functions.
local here = {}

--- Begin.
-- @tparam table opts {kind=, period=, detail=, interval=, skip=, home=}: `skip` is the slot of a
-- task of the shard `home` that is not looked at
-- @treturn true
-- @fails "EBUSY"; "ENOSYS"
function M.begin(opts)
  local number, sets = numbering()
  local jit = rawget(_G, "jit")
  local detail = jit and jit.status() and opts.detail or "none"
  local skip = opts.home == jobs.shard() and opts.skip or 0
  local ok, code = core.profile_begin(opts.kind, opts.period, detail, skip, number)
  if not ok then
    return fail(code)
  end
  local state = {sets = sets, since = time.now(), interval = opts.interval}
  here.active = state
  if opts.kind == "offcpu" then
    state.looker = task.daemon(look_on, state)
  end
  return true
end

--- Finish.
-- @treturn ?table {frames=, stacks=, sets=, seconds=, shard=}; nil when there was none
function M.finish()
  local state = here.active
  here.active = nil
  if state and state.looker then
    state.looker:cancel()
  end
  local frames, stacks = core.profile_end()
  if not frames or not state then
    return nil
  end
  return {
    frames = frames, stacks = stacks, sets = state.sets, shard = jobs.shard(),
    seconds = time.now() - state.since,
  }
end

--- Take SIGPROF, or give it back; on the first shard.
function M.signal(on)
  local ok, code = core.profile_signal(on)
  if not ok then
    return fail(code)
  end
  return true
end

run_stop.endings[#run_stop.endings + 1] = M.finish

return M
