-- SPDX-License-Identifier: MIT
-- limiter_rate: limiters of a rate: what all kinds of them have, waiting above all.
--
-- A kind keeps the account. It has, with times in whole nanoseconds of the clock:
--   start_(config, ns)     begin, full, with the numbers of the options
--   check_(rate, burst)    raise at the level of set_rate's caller
--   set_(rate, burst, ns)  take other numbers, and write them into the config
--   take_(ns, n)           take n tokens and return 0, or return in how many ns there are so many
--   delay_(ns, n)          in how many ns n more tokens have come, which may be more than a burst
--   free_(ns)              how many could be taken now
--   full_(ns)              whether it is as it was when it was made, as far as anybody can tell
--   rate_()                tokens a second
--   text_()                the same for tostring
-- Nobody takes tokens before there are some: so whoever leaves the line leaves nothing behind, and
-- those behind move up. Only the first of the line looks at the clock; it sleeps until its tokens
-- have come and then wakes the next.
--
-- Invariants: `queued` is the number of tokens that the line wants, `waiting` how many stand in it;
-- while somebody does nobody else is served.

--- Limits of rates.
-- @module ringlet
-- @section Limiters

local clock = require "ringlet.clock"
local core = require "ringlet.core"
local fail = require "ringlet.fail"
local keys = require "ringlet.limiter_keys"
local lines = require "ringlet.limiter_line"
local options = require "ringlet.options"
local run = require "ringlet.run_stop"

local floor, huge = math.floor, math.huge
local wait, waitq, wake = core.wait, core.waitq, core.wake
local late_now, exact_now, TIMED_OUT = clock.now, core.now, core.ETIMEDOUT
local REASON = core.reasons["limiter wait"]
local REFUSED = "EOVERLOAD: over the rate"
local TOO_MANY = "EOVERLOAD: more than there can ever be at once"

local M = {}

--- A limiter of a rate, from `rl.limiter`.
-- @type limiter
local Limiter = {__name = "ringlet.limiter"}
Limiter.__index = Limiter

local function now_ns()
  return floor(exact_now() * 1e9 + 0.5)
end

local function check_tokens(n)
  if type(n) ~= "number" or n < 0 or n % 1 ~= 0 then
    error("a whole number of tokens expected", 3)
  end
  return n
end

-- ---- refusing -----------------------------------------------------------------------------------

local function refuse(self, delay)
  self.refused = self.refused + 1
  if delay == huge then
    return nil, TOO_MANY, "EOVERLOAD", huge
  end
  return nil, REFUSED, "EOVERLOAD", delay / 1e9
end

-- In how many ns n tokens have come for somebody who would be the last of the line.
local function delay_behind_all(self, ns, n)
  if n > self.burst then
    return huge
  end
  return self:delay_(ns, self.queued + n)
end

--- Take n tokens if they are there and nobody waits for some.
--
-- The time is that of the scheduler's turn or later: after a long computation up to 32 calls may
-- see it late, and then refuse what is just due.
-- @tparam[opt=1] integer n
-- @treturn[1] true
-- @treturn[2] nil
-- @treturn[2] string message
-- @treturn[2] string "EOVERLOAD"
-- @treturn[2] number seconds until there will be so many, if nobody else takes them; `math.huge`
-- when there never are so many at once
-- @raise when n is no whole number of 0 or more
function Limiter:allow(n)
  if n == nil then
    n = 1
  else
    check_tokens(n)
  end
  local ns = floor(late_now() * 1e9 + 0.5)
  local delay
  if self.waiting == 0 then
    delay = self:take_(ns, n)
    if delay == 0 then
      self.allowed = self.allowed + 1
      return true
    end
  else
    delay = delay_behind_all(self, ns, n)
  end
  return refuse(self, delay)
end

-- ---- waiting ------------------------------------------------------------------------------------

-- Limiters in whose line somebody stands: what is left of it when the run is over is nobody's.
local busy = setmetatable({}, {__mode = "k"})

run.endings[#run.endings + 1] = function()
  for self in pairs(busy) do
    self.line, self.queued, self.waiting = lines.new(), 0, 0
  end
  busy = setmetatable({}, {__mode = "k"})
end

local function enter_line(self, n, deadline)
  local entry = {n = n, q = waitq(), deadline = deadline}
  self.line = self.line or lines.new()
  self.line:push(entry)
  self.queued, self.waiting = self.queued + n, self.waiting + 1
  busy[self] = true
  return entry
end

local function leave_line(self, entry)
  local line = self.line
  local was_first = line.first == entry
  line:remove(entry)
  self.queued, self.waiting = self.queued - entry.n, self.waiting - 1
  if not line.first then
    busy[self] = nil
  elseif was_first then
    wake(line.first.q, true)
  end
end

-- In how many ns it is the entry's turn, as far as can be told.
local function delay_of(self, entry, ns)
  local n, before = entry.n, entry.before
  while before do
    n, before = n + before.n, before.before
  end
  return self:delay_(ns, n)
end

local function time_out(self)
  self.timed_out = self.timed_out + 1
  return fail(TIMED_OUT)
end

-- Half a nanosecond is lost when seconds become nanoseconds.
local function is_too_late(deadline, ns, delay)
  return deadline and ns + delay > deadline + 0.5
end

-- What the entry's task does when it looks: 0: it has its tokens; else how long it may sleep, nil
-- for until it is woken; or false: it would take too long.
local function look(self, entry, ns)
  local is_first = self.line.first == entry
  local delay = is_first and self:take_(ns, entry.n) or delay_of(self, entry, ns)
  if delay > 0 and is_too_late(entry.deadline, ns, delay) then
    return false
  end
  return is_first and delay or nil
end

local function stand_in_line(self, entry)
  while true do
    local delay = look(self, entry, now_ns())
    if not delay and delay ~= nil then
      leave_line(self, entry)
      return time_out(self)
    elseif delay == 0 then
      leave_line(self, entry)
      self.allowed = self.allowed + 1
      return true
    end
    local ok, code = wait(entry.q, delay and delay / 1e9, REASON)
    if ok == nil and code ~= TIMED_OUT then
      leave_line(self, entry)
      return fail(code)
    end
  end
end

--- Wait for n tokens: first come, first served. Who is cancelled in the line leaves it, and those
-- behind move up.
-- @parks until there are so many; not at all if there are, and nobody waits
-- @tparam[opt=1] integer n
-- @tparam[opt] number t seconds
-- @treturn true
-- @fails "ETIMEDOUT" at once when it would take longer than t; "EOVERLOAD" at once when n is more
-- than there can ever be at once
-- @raise when n is no whole number of 0 or more
-- @source the Go package golang.org/x/time/rate, Limiter.WaitN
function Limiter:wait(n, t)
  n = n == nil and 1 or check_tokens(n)
  options.seconds(t)
  local _, code = core.refill()
  if code then
    return fail(code)
  end
  local ns = now_ns()
  if n > self.burst then
    return refuse(self, huge)
  elseif self.waiting == 0 and self:take_(ns, n) == 0 then
    self.allowed = self.allowed + 1
    return true
  end
  local deadline = t and ns + math.max(t, 0) * 1e9
  if is_too_late(deadline, ns, delay_behind_all(self, ns, n)) then
    return time_out(self)
  end
  return stand_in_line(self, enter_line(self, n, deadline))
end

-- ---- changing, keys -----------------------------------------------------------------------------

-- Whoever waits looks anew: all have another time now.
local function wake_line(self)
  local entry = self.line and self.line.first
  while entry do
    wake(entry.q, true)
    entry = entry.behind
  end
end

local function set_rate(self, rate, burst, ns)
  self:set_(rate, burst, ns)
  wake_line(self)
end

--- Change the rate, of all keys as well. What was taken stays taken. Those who wait are served at
-- the new rate; whom that would serve too late fails with "ETIMEDOUT" at once.
-- @tparam number rate tokens a second; of a sliding window, the limit
-- @tparam[opt] number burst the most tokens that are kept; of a sliding window, its length in
-- seconds; as it was, if left out
-- @raise when they are not of the kind that `rl.limiter` takes
function Limiter:set_rate(rate, burst)
  self.check_(rate, burst)
  local ns = now_ns()
  set_rate(self, rate, burst, ns)
  keys.each(self.keyed, set_rate, rate, burst, ns)
end

local function new_of_kind(kind, config)
  local self = setmetatable({
    config = config, allowed = 0, refused = 0, timed_out = 0, queued = 0, waiting = 0, line = false,
    keyed = false,
  }, kind)
  self:start_(config, now_ns())
  return self
end

--- The limiter of a key: of a user, an address, a route. It has the numbers of this one and an
-- account of its own. There are as many as the option `keys` says: one more takes the place of one
-- whose account is full again, of the one that was asked for the longest ago if there is none.
--
-- Keep the result only as long as the key's call takes: a limiter that somebody holds stays the
-- key's limiter.
-- @tparam any key anything but nil
-- @treturn limiter the same for the same key, while it is there
-- @raise when the key is nil
function Limiter:of(key)
  if key == nil then
    error("a key expected", 2)
  elseif not self.keyed then
    self.keyed = keys.new(self.config.keys)
  end
  local one = keys.find(self.keyed, key)
  if one then
    return one
  end
  one = new_of_kind(getmetatable(self), self.config)
  keys.add(self.keyed, key, one)
  return one
end

--- Counters and state of the limiter.
-- @treturn limiter_stats a new table
-- @tfield[limiter_stats] string kind of limiter
-- @tfield[limiter_stats] number rate tokens a second, on the average
-- @tfield[limiter_stats] number burst the most tokens at once
-- @tfield[limiter_stats] integer available tokens that are there now
-- @tfield[limiter_stats] integer allowed calls that got their tokens, those of the keys included
-- @tfield[limiter_stats] integer refused calls that got "EOVERLOAD", those of the keys included
-- @tfield[limiter_stats] integer timed_out calls that got "ETIMEDOUT", those of the keys included
-- @tfield[limiter_stats] integer waiting tasks that wait now, for a key included
-- @tfield[limiter_stats] integer keys that have a limiter now
-- @tfield[limiter_stats] integer dropped keys whose limiter was dropped
function Limiter:stats()
  local stats = {
    kind = self.kind, rate = self:rate_(), burst = self.burst, available = self:free_(now_ns()),
    allowed = self.allowed, refused = self.refused, timed_out = self.timed_out,
    waiting = self.waiting, keys = 0, dropped = 0,
  }
  if self.keyed then
    keys.add_stats(self.keyed, stats)
  end
  return stats
end

function Limiter:__tostring()
  local text = ("ringlet.limiter: %s, %d of %d available, %s"):format(self.kind,
    self:free_(now_ns()), self.burst, self:text_())
  if self.waiting > 0 then
    text = ("%s, %d waiting"):format(text, self.waiting)
  end
  return self.keyed and ("%s, %d keys"):format(text, self.keyed.n) or text
end

-- ---- kinds --------------------------------------------------------------------------------------

-- A class with the methods of all limiters, to which a kind adds its own.
function M.kind(name)
  local Kind = {}
  for key, value in pairs(Limiter) do
    Kind[key] = value
  end
  Kind.__index, Kind.kind = Kind, name
  return Kind
end

-- Raise at the level of a method's caller unless it is such a number, or nil and may be.
function M.check(v, bound, what, may_miss)
  if v == nil and may_miss then
    return
  elseif type(v) ~= "number" then
    error(what .. ": a number expected", 4)
  end
  options.bound(v, bound, what, 4)
end

M.new = new_of_kind

return M
