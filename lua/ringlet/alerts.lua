-- SPDX-License-Identifier: MIT
-- alerts: rules over what is measured, told of when they have held for their time, and when they no
-- longer do.
--
-- As in Prometheus, a rule that holds is pending until it has held at every evaluation for its
-- `for` seconds, then it fires; at the first evaluation at which it does not hold it is resolved.
-- An incident begins when the first rule fires and is over when none does: it has one dump.
--
-- Invariants: `pending[rule]` is since when a rule holds; `firing[rule]` its alert. There is one
-- evaluation at a time.

--- Health.
-- @module ringlet.metrics

local cancel = require "ringlet.cancel"
local core = require "ringlet.core"
local evaluator = require "ringlet.evaluator"
local metrics_read = require "ringlet.metrics_read"
local options = require "ringlet.options"
local task = require "ringlet.task"
local traced = require "ringlet.traced"

local M = {}

-- What two sums of the same times may differ by.
local SLACK = 1e-9
local INTERVAL = 5
local HISTORY = 100

--- Rules that are evaluated, from `metrics.alerts`.
-- @type alerts
local Alerts = {__name = "ringlet.metrics.alerts"}
Alerts.__index = Alerts

-- ---- what a rule looks at -----------------------------------------------------------------------

-- The largest sample that is at least `age` seconds old, and forgets those older than it.
local function sample_before(list, age)
  local at = core.now() - age + SLACK
  while list[2] and list[2].at <= at do
    table.remove(list, 1)
  end
  return list[1] and list[1].at <= at and list[1].v or nil
end

-- By what share a value has grown over the last `window` seconds: 2 is +200 %; nil while there is
-- none that old.
local function growth(rule, v)
  local list = rule.samples
  local before = sample_before(list, rule.growth_window)
  list[#list + 1] = {at = core.now(), v = v}
  return before and before > 0 and v / before - 1 or nil
end

-- What has been counted since: of numbers the difference, of histograms too.
local function since(rule, key, v)
  local list = rule.seen[key] or {}
  rule.seen[key] = list
  local before = sample_before(list, rule.window)
  list[#list + 1] = {at = core.now(), v = v}
  before = before or list[1].v
  if type(v) ~= "table" then
    return v - before
  end
  local diff = setmetatable({}, getmetatable(v))
  for k, n in pairs(v) do
    if type(n) == "number" then
      diff[k] = n - (before[k] or 0)
    end
  end
  return diff
end

local VALUES = {
  metric = function(rule, snap)
    return snap[rule.metric]
  end,
  share = function(rule, snap)
    local part = since(rule, 1, snap[rule.share[1]] or 0)
    local whole = since(rule, 2, snap[rule.share[2]] or 0)
    return whole > 0 and part / whole or nil
  end,
  quantile = function(rule, snap)
    local h = snap[rule.histogram]
    h = h and since(rule, 1, h)
    return h and h.count > 0 and h:quantile(rule.quantile) or nil
  end,
}

local function value_of(rule, snap)
  if rule.value then
    return rule.value(snap)
  end
  return VALUES[rule.kind](rule, snap)
end

-- Does it hold, and with which value?
local function holds(rule, snap)
  local v = value_of(rule, snap)
  if type(v) ~= "number" then
    return false
  end
  local enough = true
  if rule.growth then
    local grown = growth(rule, v)
    enough = grown ~= nil and grown > rule.growth
  end
  return enough and (not rule.above or v > rule.above) and (not rule.below or v < rule.below), v
end

-- ---- telling ------------------------------------------------------------------------------------

local function call(self, fn, ...)
  if not fn then
    return
  end
  local ok, err, trace = traced.call(fn, ...)
  if not ok and cancel.is_cancel(err) then
    error(err, 0)
  elseif not ok then
    self.errors = self.errors + 1
    task.report(err, trace, core.inside() and task.self() or nil)
  end
end

local function keep(self, alert)
  local list = self.events
  list[#list + 1] = alert
  if #list > HISTORY then
    table.remove(list, 1)
  end
end

local function dump_of(self)
  if self.dump == false then
    return nil
  elseif self.dump then
    return self.dump()
  end
  local has, debug_ = pcall(require, "ringlet.debug")
  return has and debug_.dump and debug_.dump() or nil
end

local function fire(self, rule, v)
  local alert = {name = rule.name, severity = rule.severity, value = v, since = self.pending[rule],
    at = core.now(), state = "firing"}
  self.firing[rule] = alert
  self.fired = self.fired + 1
  if self.active == 0 then
    self.incidents = self.incidents + 1
    call(self, function() self.text = dump_of(self) end)
  end
  self.active = self.active + 1
  alert.incident, alert.dump = self.incidents, self.text
  keep(self, alert)
  call(self, self.on_alert, alert)
end

local function resolve(self, rule)
  local alert = self.firing[rule]
  self.firing[rule] = nil
  self.active = self.active - 1
  if self.active == 0 then
    self.text = nil
  end
  alert.state, alert.resolved = "resolved", core.now()
  self.resolved = self.resolved + 1
  call(self, self.on_resolved, alert)
end

local function evaluate_rule(self, rule, snap)
  local ok, is_true, v = pcall(holds, rule, snap)
  if not ok then
    self.errors = self.errors + 1
    task.report(is_true, "in the rule " .. rule.name, core.inside() and task.self() or nil)
    is_true = false
  end
  if not is_true then
    self.pending[rule] = nil
    if self.firing[rule] then
      resolve(self, rule)
    end
    return
  end
  local now = core.now()
  self.pending[rule] = self.pending[rule] or now
  if self.firing[rule] then
    self.firing[rule].value = v
  elseif now - self.pending[rule] >= rule["for"] - SLACK then
    fire(self, rule, v)
  end
end

-- ---- public -------------------------------------------------------------------------------------

--- Evaluate all rules now, as is done at each interval.
-- @parks when `on_alert`, `on_resolved` or `dump` do
-- @tparam[opt] table snap name = value, instead of what `metrics.read` gives
-- @treturn alerts itself
function Alerts:evaluate(snap)
  if self.busy then
    return self
  end
  self.busy = true
  self.evaluations = self.evaluations + 1
  local ok, err = pcall(function()
    snap = snap or metrics_read.read(self.names)
    for _, rule in ipairs(self.rules) do
      evaluate_rule(self, rule, snap)
    end
  end)
  self.busy = false
  if not ok then
    error(err, 0)
  end
  return self
end

--- Evaluate at each interval, in a daemon: `run` does not wait for it.
-- @treturn alerts itself
-- @raise outside of a task
function Alerts:start()
  if not core.inside() then
    error("not inside a task: alerts are evaluated while rl.run is active", 2)
  elseif not evaluator.is_running(self) then
    evaluator.start(self, "alerts")
  end
  return self
end

--- Stop evaluating. It may be called any number of times.
function Alerts:stop()
  evaluator.stop(self)
end

local function by_time(a, b)
  return a.at < b.at or a.at == b.at and a.name < b.name
end

--- The alerts that are firing, the oldest first.
-- @treturn {table,...} a new list
function Alerts:active_alerts()
  local out = {}
  for _, alert in pairs(self.firing) do
    out[#out + 1] = alert
  end
  table.sort(out, by_time)
  return out
end

--- Alerts that have fired, the oldest first, at most 100.
-- @treturn {table,...} a new list
function Alerts:history()
  return evaluator.history(self)
end

--- Counters.
-- @treturn alerts_stats a new table
-- @tfield[alerts_stats] integer evaluations so far
-- @tfield[alerts_stats] integer fired alerts
-- @tfield[alerts_stats] integer resolved alerts
-- @tfield[alerts_stats] integer incidents times that a rule fired when none did
-- @tfield[alerts_stats] integer active alerts that fire now
-- @tfield[alerts_stats] integer errors of functions it was given
function Alerts:stats()
  return {evaluations = self.evaluations, fired = self.fired, resolved = self.resolved,
    incidents = self.incidents, active = self.active, errors = self.errors}
end

function Alerts:__tostring()
  return ("ringlet.metrics.alerts: %d rules, %d firing"):format(#self.rules, self.active)
end

-- ---- rules --------------------------------------------------------------------------------------

local RULE = {
  name = "string", severity = "string", metric = "string", value = "function", share = "table",
  histogram = "string", quantile = "number", above = "number", below = "number", growth = "number",
  growth_window = "number", window = "number", ["for"] = "number",
}

local function names_in(rule)
  local out = {rule.metric or rule.histogram}
  for _, name in ipairs(rule.share or {}) do
    out[#out + 1] = name
  end
  return out
end

local function rule_of(given, level)
  if type(given) ~= "table" then
    error("a rule is a table", level + 1)
  end
  options.check(given, RULE, level + 1)
  local rule = {samples = {}, seen = {}}
  for k, v in pairs(given) do
    rule[k] = v
  end
  rule.kind = given.metric and "metric" or given.share and "share" or given.histogram and "quantile"
  if not (rule.kind or rule.value) or not rule.name or not (rule.above or rule.below) then
    error("a rule has a name, 'above' or 'below', and 'metric', 'share', 'histogram' or 'value'",
      level + 1)
  end
  rule.severity, rule["for"] = rule.severity or "warning", rule["for"] or 0
  rule.window, rule.growth_window = rule.window or 60, rule.growth_window or 300
  rule.quantile = rule.quantile or 0.99
  return rule
end

local TASKS = "/tasks/live:tasks"

--- The rules that `metrics.alerts` has by default: more than 5,000 tasks for 2 min; more than
-- 12,000 for 30 s that are 200 % more than 5 min before; and of what is named in `opts`, a latency
-- of more than 0.5 s, more than 1 % of errors, a heap of more than 80 %.
-- @tparam[opt] table opts
-- @tparam[opt] string opts.latency name of a histogram of seconds
-- @tparam[opt] string opts.requests name of a counter
-- @tparam[opt] string opts.errors name of a counter of those that failed
-- @tparam[opt] number opts.heap_max bytes that the heaps of all shards may have
-- @treturn {table,...} a new list
function M.defaults(opts)
  opts = options.check(opts,
    {latency = "string", requests = "string", errors = "string", heap_max = "number"})
  local list = {
    {name = "many tasks", severity = "warning", metric = TASKS, above = 5000, ["for"] = 120},
    {name = "flood of tasks", severity = "critical", metric = TASKS, above = 12000, ["for"] = 30,
      growth = 2, growth_window = 300},
  }
  if opts.latency then
    list[#list + 1] = {name = "slow", severity = "warning", histogram = opts.latency,
      quantile = 0.99, above = 0.5, ["for"] = 60}
  end
  if opts.requests and opts.errors then
    list[#list + 1] = {name = "errors", severity = "critical", share = {opts.errors, opts.requests},
      above = 0.01, ["for"] = 60}
  end
  if opts.heap_max then
    list[#list + 1] = {name = "heap", severity = "warning", metric = "/gc/heap:bytes",
      above = 0.8 * opts.heap_max, ["for"] = 60}
  end
  return list
end

local KNOWN = {rules = "table", interval = "number", on_alert = "function",
  on_resolved = "function", dump = "function|boolean", start = "boolean"}

--- Rules that are evaluated each interval, and who is told. Made inside a task it starts when that
-- parks.
--
-- A rule is {name=, severity=, above= or below=, ["for"]= seconds}, with one of: `metric`, the name
-- of a number; `share = {part, whole}`, two counters of which the increase over `window` (60 s) is
-- compared; `histogram`, of which the `quantile` (0.99) of the last `window` seconds is; `value`, a
-- function of a snapshot. With `growth = 2` it must also be 200 % more than `growth_window` (300)
-- seconds before. An alert is {name=, severity=, value=, since=, at=, state=, incident=, dump=}.
-- @tparam[opt] table opts
-- @tparam[opt] {table,...} opts.rules by default those of `alert_rules`
-- @tparam[opt=5] number opts.interval seconds
-- @tparam[opt] fun(alert:table) opts.on_alert called when a rule begins to fire
-- @tparam[opt] fun(alert:table) opts.on_resolved called when it no longer does
-- @tparam[opt] function|boolean opts.dump called once an incident; false: not at all; by default
-- the tasks as `ringlet.debug` dumps them
-- @tparam[opt=true] boolean opts.start false: `start` or `evaluate` are called by hand
-- @treturn alerts
-- @raise options and rules that make no sense
-- @source Prometheus documentation, "Alerting rules"
function M.new(opts)
  opts = options.check(opts, KNOWN)
  options.bounds(opts, {interval = {above = 0}})
  local self = {rules = {}, names = {}, interval = opts.interval or INTERVAL, pending = {},
    firing = {}, events = {}, active = 0, evaluations = 0, fired = 0, resolved = 0, incidents = 0,
    errors = 0, on_alert = opts.on_alert, on_resolved = opts.on_resolved}
  if opts.dump ~= nil and opts.dump ~= true then
    self.dump = opts.dump
  end
  for i, given in ipairs(opts.rules or M.defaults()) do
    local rule = rule_of(given, 2)
    self.rules[i] = rule
    for _, name in ipairs(names_in(rule)) do
      self.names[#self.names + 1] = name
    end
    if rule.value then
      self.all = true
    end
  end
  if self.all then
    self.names = nil
  end
  setmetatable(self, Alerts)
  if opts.start ~= false and core.inside() then
    self:start()
  end
  return self
end

return M
