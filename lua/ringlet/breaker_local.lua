-- SPDX-License-Identifier: MIT
-- breaker_local: how a breaker of one shard works. breaker_shared is the same for all shards.
--
-- `enter_` lets a call in and gives the bucket it is counted in, `leave_` takes its result. Nothing
-- here has a timer: what is due by the clock is seen to when somebody asks. `due` is when that is:
-- the end of the newest bucket or of the interval while closed, of being open, of the patience
-- while half-open; nil when nothing ever is.
--
-- Invariants: `mode` changes in `become_` alone, which begins a new generation; users hear of it
-- last, when all is in order. A bucket has a `done` exactly while it is the newest one of a closed
-- breaker without a slow-call rule.

local clock = require "ringlet.clock"
local core = require "ringlet.core"
local rules = require "ringlet.breaker_rules"
local run_stop = require "ringlet.run_stop"
local window = require "ringlet.breaker_window"

local now, is_open = clock.now, window.is_open

local M = {}

-- Those there are: in the next run their clock may be another one.
local all = setmetatable({}, {__mode = "k"})

local leave, catch_up, become

local function counts_of(self)
  return self.window:counts()
end

-- ---- the state ----------------------------------------------------------------------------------

-- One function for all that are let in: all it must know is the bucket.
local function new_done(self, bucket)
  return function(ok, err, code)
    if ok then
      leave(self, bucket, true)
    else
      self:report_(bucket, nil, ok, err, code)
    end
  end
end

-- A closed breaker has a new bucket.
local function arm(self)
  local s, w = self.settings, self.window
  if s.period then
    self.due = w:due()
  else
    self.due = s.interval and w.start + s.interval
  end
  if not s.slow_after then
    w.bucket.done = new_done(self, w.bucket)
  end
end

local function begin_open(self, seconds)
  self.opened = self.opened + 1
  self.open_for = seconds or rules.open_for(self.settings, self.reopened)
  self.due = self.since + self.open_for
end

local function begin_half_open(self)
  local patience = self.settings.half_open_for
  self.due = patience and self.since + patience
end

-- Change the state. An open one stays so for `seconds`, if that is not what the options say.
function become(self, mode, why, seconds)
  local from = self.mode
  if mode == "closed" then
    self.reopened = 0
  elseif mode == "open" and from == "half-open" then
    self.reopened = self.reopened + 1
  end
  self.since = core.now()
  self.window:clear(self.since)
  self.mode, self.why, self.generation = mode, why, self.generation + 1
  if mode == "closed" then
    arm(self)
  elseif mode == "open" then
    begin_open(self, seconds)
  else
    begin_half_open(self)
  end
  if from ~= mode then
    rules.tell(self, self.settings, from, mode, why)
  end
end
M.become_ = become

-- The run has ended: what was let in will tell no more, and its clock may have been simulated.
local function end_run(self, t)
  if self.mode == "half-open" and self.window:valid() > 0 then
    become(self, "half-open", self.why)
  end
  if self.due and not self.ended then
    self.ended, self.left, self.due = t, self.due - t, -math.huge
  end
end

run_stop.endings[#run_stop.endings + 1] = function()
  local t = core.now()
  for self in pairs(all) do
    end_run(self, t)
  end
end

-- A clock that is behind is another one: what was left then is left now.
local function resume(self)
  local back = math.max(0, self.ended - core.now())
  self.due = self.ended + self.left - back
  self.since = self.since - back
  self.window:shift(back)
  self.ended = nil
end

local function is_still_early(self, t)
  if self.ended then
    resume(self)
    return t < self.due
  end
  return false
end

-- At the time t something is due.
function catch_up(self, t)
  local s, mode = self.settings, self.mode
  if is_still_early(self, t) then
    return
  elseif mode == "open" then
    become(self, "half-open", rules.why_half_open(self.open_for))
  elseif mode == "half-open" then
    become(self, "open", ("no verdict within %g s"):format(s.half_open_for))
  elseif s.period then
    self.window:roll(t)
    arm(self)
  else
    self.window:clear(t)
    self.generation = self.generation + 1
    arm(self)
  end
end

-- Do what is due.
local function look(self, t)
  local due = self.due
  if due and t >= due then
    catch_up(self, t)
  end
end

-- The state now.
function M:look_()
  look(self, core.now())
  return self.mode
end

-- ---- calls --------------------------------------------------------------------------------------

-- The bucket of a call that is let in; or nil, a message, "EOPEN" and perhaps seconds.
function M:enter_()
  local t = now()
  look(self, t)
  local mode, w, s = self.mode, self.window, self.settings
  if mode == "closed" or mode == "half-open" and w:valid() < s.half_open_calls then
    local bucket = w.bucket
    bucket.requests = bucket.requests + 1
    return bucket
  end
  self.refused = self.refused + 1
  if mode == "open" then
    return nil, s.is_open, "EOPEN", self.due - t
  end
  return nil, s.is_full, "EOPEN"
end

-- What `done` gives to many; else as above.
function M:allow_()
  local due = self.due
  if due then
    look(self, now())
  end
  local bucket = self.window.bucket
  local done = bucket.done
  if done then
    bucket.requests = bucket.requests + 1
    return done
  end
  return self:allow_one_()
end

local function judge_closed(self, ok)
  local s, w = self.settings, self.window
  if self.disabled then
    return
  end
  local why = s.has_rate and rules.why_by_rate(s, w:results())
  if not (why or ok) then
    why = rules.why_by_failure(self, s, w.failures_run, counts_of)
  end
  if why and self.mode == "closed" then
    become(self, "open", why)
  end
end

local function judge_half_open(self, ok, is_slow)
  local s = self.settings
  if not ok then
    become(self, "open", "a call failed")
  elseif is_slow then
    become(self, "open", "a call was slow")
  elseif self.window.successes_run >= s.half_open_calls then
    become(self, "closed", rules.why_closed(s))
  end
end

-- Does the bucket still wait for a result, when what is due is done?
local function is_awaited(self, bucket)
  if self.due then
    look(self, now())
  end
  return is_open(bucket)
end

-- The result of a call: true, false, or nil for neutral; and how long it took, if that counts.
function leave(self, bucket, ok, took)
  local w, s = self.window, self.settings
  if not is_awaited(self, bucket) then
    self.ignored = self.ignored + 1
    return
  elseif ok == nil then
    w:exclude(bucket)
    return
  end
  local is_slow = took and took >= s.slow_after
  if is_slow then
    w:slow(bucket)
  end
  if ok then
    w:success(bucket)
  else
    w:failure(bucket)
  end
  if self.mode == "half-open" then
    judge_half_open(self, ok, is_slow)
  elseif s.has_rate or not ok then
    judge_closed(self, ok)
  end
end
M.leave_ = leave

-- ---- what is known ------------------------------------------------------------------------------

function M:counts_()
  return self.window:counts()
end

-- Sums since it was made, and what `stats` needs besides.
function M:totals_()
  local sum = self.window:totals()
  sum.refused, sum.ignored, sum.opened = self.refused, self.ignored, self.opened
  return sum
end

-- Why and since when the state is what it is, its number, when something is due.
function M:change_()
  return self.why, self.since, self.generation, self.due
end

function M:disable_(on)
  self.disabled = on
end

function M:is_disabled_()
  return self.disabled
end

-- What a new breaker has besides its settings.
function M.begin_(self)
  local s = self.settings
  self.mode, self.why, self.generation = "closed", "new", 1
  self.opened, self.reopened, self.refused, self.ignored = 0, 0, 0, 0
  self.disabled, self.due = false, false
  self.since = core.now()
  self.window = window.new(s.buckets, s.period, self.since)
  arm(self)
  all[self] = true
end

return M
