-- SPDX-License-Identifier: MIT
-- slo: how much of a promise is kept: good events of all, over windows of time, and how fast the
-- errors that it allows are used up.
--
-- At each multiple of `resolution` seconds stands what had been counted until then, as a scraper
-- would have found it. The counts change with an event only, so they are written down when the next
-- one comes, or somebody asks: there is no timer. Invariant: `good[i]` and `total[i]` are those of
-- the tick `first + i - 1`, up to `last`; older ticks than the longest window has are dropped.

--- Health.
-- @module ringlet.metrics

local core = require "ringlet.core"
local options = require "ringlet.options"

local M = {}

local DAY = 86400

-- Alerts of the SRE workbook, chapter 5, table 5-8: 2 % of the budget of 30 days in an hour, 5 % in
-- six hours, 10 % in three days; each is over soon after the errors are.
local WINDOWS = {
  {long = 3600, short = 300, burn = 14.4, severity = "page"},
  {long = 6 * 3600, short = 1800, burn = 6, severity = "page"},
  {long = 3 * DAY, short = 6 * 3600, burn = 1, severity = "ticket"},
}

--- A service level objective, from `metrics.slo`.
-- @type slo
local Slo = {__name = "ringlet.metrics.slo"}
Slo.__index = Slo

-- Forget ticks that no window reaches; all of them at once, and not often.
local function drop_old(self)
  local keep = self.ticks_max
  local n = self.last - self.first + 1
  if n <= 2 * keep then
    return
  end
  local good, total = {}, {}
  for i = 1, keep do
    good[i], total[i] = self.good[n - keep + i], self.total[n - keep + i]
  end
  self.good, self.total, self.first = good, total, self.last - keep + 1
end

-- Write down what stood at the ticks until now. A clock that runs backwards is that of another run.
local function advance(self)
  local tick = math.floor(core.now() / self.resolution + 1e-9)
  if tick < self.last then
    self.first, self.last, self.good, self.total = tick, tick, {self.goods}, {self.events}
    return
  elseif tick - self.last > self.ticks_max then -- nothing came for longer than any window
    self.first, self.last = tick - self.ticks_max, tick - self.ticks_max
    self.good, self.total = {self.goods}, {self.events}
  end
  for t = self.last + 1, tick do
    local i = t - self.first + 1
    self.good[i], self.total[i] = self.goods, self.events
    self.last = t
  end
  drop_old(self)
end

--- Count events.
-- @tparam boolean ok were they good?
-- @tparam[opt=1] integer n how many
function Slo:record(ok, n)
  advance(self)
  n = n or 1
  self.events = self.events + n
  if ok then
    self.goods = self.goods + n
  end
end

-- Good events and all, from `seconds` before the last tick to it.
local function counts(self, seconds)
  advance(self)
  local i = math.max(1, self.last - self.first + 1 - math.floor(seconds / self.resolution + 0.5))
  local n = self.last - self.first + 1
  return self.good[n] - self.good[i], self.total[n] - self.total[i]
end

local function check_seconds(self, seconds, level)
  options.bound(seconds, {min = self.resolution, max = self.span}, "the window", level + 1)
end

--- The share of good events in the last so many seconds, to the last multiple of `resolution`.
-- @tparam number seconds up to the longest window
-- @treturn ?number from 0 to 1; nil when there were none
-- @source PromQL: rate(good[1h]) / rate(all[1h])
function Slo:ratio(seconds)
  check_seconds(self, seconds, 2)
  local good, total = counts(self, seconds)
  return total > 0 and good / total or nil
end

local function burn(self, seconds)
  local good, total = counts(self, seconds)
  return total > 0 and (total - good) / total / (1 - self.objective) or 0
end

--- How fast errors use up the budget: with 1 it lasts exactly for the objective's window.
-- @tparam number seconds of the past, up to the longest window
-- @treturn number 0 when there were no events
-- @source The Site Reliability Workbook, chapter 5
function Slo:burn(seconds)
  check_seconds(self, seconds, 2)
  return burn(self, seconds)
end

--- The share of the error budget of the window that is left.
-- @treturn number 1 when nothing has failed, less than 0 when the objective is missed
function Slo:budget()
  return 1 - burn(self, self.window)
end

--- The alerts that hold now: in both windows of such a pair errors use up the budget at least as
-- fast as its `burn` says.
-- @treturn {table,...} of {severity=, long=, short=, burn=, burn_long=, burn_short=}
function Slo:alerts()
  local out = {}
  for _, w in ipairs(self.windows) do
    local long, short = burn(self, w.long), burn(self, w.short)
    if long >= w.burn and short >= w.burn then
      out[#out + 1] = {severity = w.severity, long = w.long, short = w.short, burn = w.burn,
        burn_long = long, burn_short = short}
    end
  end
  return out
end

--- What it has counted.
-- @treturn slo_stats a new table
-- @tfield[slo_stats] integer good events
-- @tfield[slo_stats] integer events good and bad ones
-- @tfield[slo_stats] ?number ratio of the window
-- @tfield[slo_stats] number budget that is left
function Slo:stats()
  return {good = self.goods, events = self.events, ratio = self:ratio(self.window),
    budget = self:budget()}
end

function Slo:__tostring()
  return ("ringlet.metrics.slo: %g of %g events good, budget %.3g"):format(self.goods, self.events,
    self:budget())
end

local KNOWN = {objective = "number", window = "number", resolution = "number", windows = "table"}
local BOUNDS = {window = {above = 0}, resolution = {above = 0}}
local PAIR = {long = "number", short = "number", burn = "number", severity = "string"}

local function pairs_of(opts, level)
  for i, w in ipairs(opts.windows or {}) do
    if type(w) ~= "table" then
      error("option 'windows' is a list of tables", level + 1)
    end
    options.check(w, PAIR, level + 1)
    if not (w.long and w.short and w.burn) or w.short > w.long then
      error(("window %d has 'long', a 'short' that is not longer, and 'burn'"):format(i), level + 1)
    end
  end
  return opts.windows or WINDOWS
end

--- A service level objective: such a share of the events is to be good, over a window of time.
-- Events are those of this shard.
-- @tparam table opts
-- @tparam number opts.objective from 0 to less than 1, such as 0.999
-- @tparam[opt=2592000] number opts.window seconds, by default 30 days
-- @tparam[opt=60] number opts.resolution seconds between two of the times that are written down
-- @tparam[opt] {table,...} opts.windows of alerts: {long=, short=, burn=, severity=}, by default
-- those of the SRE workbook for 30 days: 14.4 in 1 h and 5 min, 6 in 6 h and 30 min, 1 in 3 days
-- and 6 h
-- @treturn slo
-- @raise options that make no sense
-- @source The Site Reliability Workbook, chapter 5, "Alerting on SLOs"
-- @usage
-- local slo = metrics.slo {objective = 0.999}
-- slo:record(res.status < 500)
function M.new(opts)
  opts = options.check(opts, KNOWN)
  options.bounds(opts, BOUNDS)
  local objective = opts.objective
  if not objective or not (objective >= 0 and objective < 1) then
    error("option 'objective' must be a number from 0 to less than 1", 2)
  end
  local windows = pairs_of(opts, 2)
  local self = {objective = objective, window = opts.window or 30 * DAY,
    resolution = opts.resolution or 60, windows = windows, goods = 0, events = 0}
  self.span = self.window
  for _, w in ipairs(windows) do
    self.span = math.max(self.span, w.long)
  end
  self.ticks_max = math.ceil(self.span / self.resolution) + 1
  self.last = math.floor(core.now() / self.resolution + 1e-9)
  self.first, self.good, self.total = self.last, {0}, {0}
  return setmetatable(self, Slo)
end

return M
