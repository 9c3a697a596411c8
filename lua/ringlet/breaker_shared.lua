-- SPDX-License-Identifier: MIT
-- breaker_shared: how a breaker works that shards share. What it does is what breaker_local does.
--
-- A breaker is {name, settings, version, dict} and travels. `version` is the number of the
-- generation, and the dict has a record under it: the state, why, since when, when it is due, and
-- the atomics in which this generation counts. Records never change. Each shard keeps the one it
-- has seen last, and looks at the version with every call.
--
-- A change is a record for the next number: whoever adds it first has decided; whoever then moves
-- the version on, which one alone can, tells of it and takes the old record away. So a shard that
-- stops in between stops nobody. A result that comes too late finds a later version, or is added to
-- atomics that nobody reads any more.
--
-- Rejected: one record under compare-and-swap for everything, which copies it twice with each
-- call; counts by shard, in which an idle shard's would never be forgotten.

local cells = require "ringlet.breaker_cells"
local core = require "ringlet.core"
local rules = require "ringlet.breaker_rules"
local run_stop = require "ringlet.run_stop"

local now = core.now -- that of all shards

local M = {}

-- The record a breaker has seen last, with the number of the generation in it.
local views = setmetatable({}, {__mode = "k"})

-- A clock that is behind by more than this is that of another run.
local BEHIND = 1

local function key(generation)
  return ("%d"):format(generation)
end

local function view_of(self)
  local generation = self.version:load()
  local view = views[self]
  while not view or view.generation ~= generation do
    view = self.dict:get(key(generation))
    if view then
      views[self] = view
    else
      generation = self.version:load() -- it has moved on meanwhile
    end
  end
  return view
end

-- ---- the state ----------------------------------------------------------------------------------

local function due_of(s, mode, since, open_for)
  if mode == "open" then
    return since + open_for
  elseif mode == "half-open" then
    return s.half_open_for and since + s.half_open_for
  end
  return s.interval and since + s.interval
end

local function new_record(s, generation, from, mode, why, reopened, seconds)
  local since = now()
  local open_for = mode == "open" and (seconds or rules.open_for(s, reopened)) or nil
  return {
    generation = generation, from = from, mode = mode, why = why, reopened = reopened,
    since = since, open_for = open_for, due = due_of(s, mode, since, open_for),
    cells = cells.new(s.buckets, s.period ~= nil and mode == "closed"),
    failures_run = core.shared_atomic(0), successes_run = core.shared_atomic(0),
    places = core.shared_atomic(mode == "half-open" and s.half_open_calls or 0),
  }
end

local function add_total(self, field, n)
  self.dict:incr(field, n, 0)
end

local function count_of_totals(self)
  return function(field, n)
    add_total(self, field, n)
  end
end

local function announce(self, old, record)
  self.dict:delete(key(old.generation))
  for _, field in ipairs(cells.FIELDS) do
    local n = cells.sum(old.cells, field)
    if n > 0 then
      add_total(self, field, n)
    end
  end
  if record.mode == "open" then
    add_total(self, "opened", 1)
  end
  if record.from ~= record.mode then
    rules.tell(self, self.settings, record.from, record.mode, record.why)
  end
end

-- From the generation of `old` to the next one. Returns whether it is as the caller wants it.
local function change(self, old, mode, why, seconds)
  local s, generation = self.settings, old.generation + 1
  local reopened = old.reopened
  if mode == "closed" then
    reopened = 0
  elseif mode == "open" and old.mode == "half-open" then
    reopened = reopened + 1
  end
  local record = new_record(s, generation, old.mode, mode, why, reopened, seconds)
  local is_mine = self.dict:add(key(generation), record) == true
  if not is_mine then
    record = self.dict:get(key(generation))
  end
  if record and self.version:cas(old.generation, generation) then
    announce(self, old, record)
  elseif is_mine and self.version:load() > generation then
    self.dict:delete(key(generation)) -- came when all had moved on
  end
  return is_mine
end

-- Change the state by hand: this one must come about.
function M:become_(mode, why, seconds)
  repeat until change(self, view_of(self), mode, why, seconds)
end

local function catch_up(self, view)
  local s, mode = self.settings, view.mode
  if mode == "open" then
    change(self, view, "half-open", rules.why_half_open(view.open_for))
  elseif mode == "half-open" then
    change(self, view, "open", ("no verdict within %g s"):format(s.half_open_for))
  else
    change(self, view, "closed", view.why)
  end
end

-- The newest bucket of the window; what has left it is discarded, once by this shard.
local function roll(self, view, t)
  local s = self.settings
  local age = math.max(view.age or 0, math.floor((t - view.since) / s.period))
  if age ~= view.age then
    view.age = age
    cells.roll(view.cells, s.buckets, age, count_of_totals(self))
  end
end

local function is_due(view, t)
  return view.due and t >= view.due or view.since - t > BEHIND
end

local function do_what_is_due(self, view, t)
  while is_due(view, t) do
    if view.since - t > BEHIND then
      change(self, view, view.mode, view.why, view.open_for)
    else
      catch_up(self, view)
    end
    view, t = view_of(self), now()
  end
  return view, t
end

-- The record now, and the time where it matters.
local function look(self)
  local view, t = view_of(self), nil
  if view.due or view.cells.rings then
    view, t = do_what_is_due(self, view, now())
    if view.cells.rings then
      roll(self, view, t)
    end
  end
  return view, t
end

function M:look_()
  return look(self).mode
end

-- The run has ended: what was let in will tell no more.
run_stop.endings[#run_stop.endings + 1] = function()
  if run_stop.active and run_stop.active.worker then
    return
  end
  for self in pairs(views) do
    local view = view_of(self)
    if view.mode == "half-open" and view.places:load() < self.settings.half_open_calls then
      change(self, view, "half-open", view.why)
    end
  end
end

-- ---- calls --------------------------------------------------------------------------------------

-- Take one of the places of a half-open breaker.
local function take_place(places)
  local free = places:load()
  while free > 0 do
    local done, seen = places:cas(free, free - 1)
    if done then
      return true
    end
    free = seen
  end
  return false
end

local function refuse(self, view, t)
  add_total(self, "refused", 1)
  if view.mode == "open" then
    return nil, self.settings.is_open, "EOPEN", view.due - t
  end
  return nil, self.settings.is_full, "EOPEN"
end

-- What a call is counted in: {view, age} with a window, else the view itself.
local function place_of(view)
  return view.cells.rings and {view = view, age = view.age} or view
end

function M:enter_()
  local view, t = look(self)
  if view.mode == "open" or view.mode == "half-open" and not take_place(view.places) then
    return refuse(self, view, t)
  elseif cells.add(view.cells, self.settings.buckets, "requests", view.age) then
    return place_of(view)
  end
  -- A shard whose clock was read a moment later has moved the window on.
  return self:enter_()
end

function M:allow_()
  return self:allow_one_()
end

local function counts_of(self)
  return self:counts_()
end

local function run_of(view, field)
  local run = view[field .. "_run"]:load()
  return view.cells.rings and math.min(run, cells.sum(view.cells, field)) or run
end

local function judge_closed(self, view, ok)
  local s = self.settings
  if (s.has_rate or not ok) and not self:is_disabled_() then
    local all = view.cells
    local why = s.has_rate and rules.why_by_rate(s, cells.sum(all, "failures"),
      cells.sum(all, "successes"), cells.sum(all, "slow"))
    if not (why or ok) then
      why = rules.why_by_failure(self, s, run_of(view, "failures"), counts_of)
    end
    if why then
      change(self, view, "open", why)
    end
  end
end

local function judge_half_open(self, view, ok, is_slow)
  local s = self.settings
  if not ok then
    change(self, view, "open", "a call failed")
  elseif is_slow then
    change(self, view, "open", "a call was slow")
  elseif view.successes_run:load() >= s.half_open_calls then
    change(self, view, "closed", rules.why_closed(s))
  end
end

-- A neutral call gives its place back.
local function exclude(view, n, age)
  if cells.add(view.cells, n, "excluded", age) and view.mode == "half-open" then
    view.places:add(1)
  end
end

local function count(view, n, age, ok, is_slow)
  if not cells.add(view.cells, n, ok and "successes" or "failures", age) then
    return false
  end
  if is_slow then
    cells.add(view.cells, n, "slow", age)
  end
  local run, other = view.failures_run, view.successes_run
  if ok then
    run, other = other, run
  end
  run:add(1)
  if other:load() ~= 0 then
    other:store(0)
  end
  return true
end

function M:leave_(place, ok, took)
  local view, age = place.view or place, place.age
  local s = self.settings
  local is_slow = took and took >= s.slow_after
  if look(self).generation ~= view.generation then
    add_total(self, "ignored", 1)
  elseif ok == nil then
    exclude(view, s.buckets, age)
  elseif not count(view, s.buckets, age, ok, is_slow) then
    add_total(self, "ignored", 1)
  elseif view.mode == "half-open" then
    judge_half_open(self, view, ok, is_slow)
  else
    judge_closed(self, view, ok)
  end
end

-- ---- what is known ------------------------------------------------------------------------------

function M:counts_()
  local view = view_of(self)
  local sum = {}
  for _, field in ipairs(cells.FIELDS) do
    sum[field] = cells.sum(view.cells, field)
  end
  sum.consecutive_failures = run_of(view, "failures")
  sum.consecutive_successes = run_of(view, "successes")
  return sum
end

function M:totals_()
  local view, sum = view_of(self), {}
  for _, field in ipairs(cells.FIELDS) do
    sum[field] = (self.dict:get(field) or 0) + cells.sum(view.cells, field)
  end
  for _, field in ipairs{"refused", "ignored", "opened"} do
    sum[field] = self.dict:get(field) or 0
  end
  return sum
end

function M:change_()
  local view = view_of(self)
  return view.why, view.since, view.generation, view.due
end

function M:disable_(on)
  self.dict:set("disabled", on)
end

function M:is_disabled_()
  return self.dict:get("disabled") == true
end

function M.begin_(self)
  self.version, self.dict = core.shared_atomic(1), core.shared_dict(0, true)
  self.dict:set(key(1), new_record(self.settings, 1, "closed", "closed", "new", 0))
end

return M
