-- SPDX-License-Identifier: MIT
-- autoscaler: an object that resizes a target by what its metrics say: its options, its task, what
-- it tells. An evaluation is in autoscaler_evaluation; what is wanted is found in autoscaler_rules
-- and autoscaler_target.
--
-- Invariant: one evaluation at a time (`busy`).

--- Changing the size of something by what is measured.
-- @module ringlet
-- @section Autoscaling

local core = require "ringlet.core"
local evaluation = require "ringlet.autoscaler_evaluation"
local evaluator = require "ringlet.evaluator"
local options = require "ringlet.options"
local policy = require "ringlet.autoscaler_target"
local rules = require "ringlet.autoscaler_rules"

local M = {}

local INTERVAL = 1
local HISTORY = 100

--- An autoscaler, from `rl.autoscaler`.
-- @type autoscaler
local Autoscaler = {__name = "ringlet.autoscaler"}
Autoscaler.__index = Autoscaler

-- ---- options: what is wrong is raised without a position, which the constructor adds ------------

local KNOWN = {
  target = "table|userdata", size = "function", resize = "function", metrics = "function",
  interval = "number", min = "number", max = "number", rules = "table", policy = "string",
  cooldown = "number|table", quorum = "number", targets = "table", tolerance = "number",
  stabilization = "table", history = "number", start = "boolean", on_scale = "function",
  on_error = "function",
}

local function check_number(name, v, least, is_whole)
  if v == nil then
    return
  elseif type(v) ~= "number" or v - v ~= 0 or v < least or is_whole and v ~= math.floor(v) then
    error(("option '%s' must be a %s of at least %g"):format(name,
      is_whole and "whole number" or "number", least), 0)
  end
end

-- {up =, down =} from such a table, or from one number for both.
local function up_and_down(name, v, up, down)
  if type(v) ~= "table" then
    check_number(name, v, 0)
    return {up = v or up, down = v or down}
  end
  for k, seconds in pairs(v) do
    if k ~= "up" and k ~= "down" then
      error(("option '%s' has 'up' and 'down', not '%s'"):format(name, tostring(k)), 0)
    end
    check_number(name .. "." .. k, seconds, 0)
  end
  return {up = v.up or up, down = v.down or down}
end

-- A function, or the target's method of that name.
local function method_of(opts, name)
  local target = opts.target
  if opts[name] then
    return opts[name]
  elseif target ~= nil and type(target[name]) == "function" then
    return function(...)
      return target[name](target, ...)
    end
  end
end

local function check_bounds(opts)
  check_number("min", opts.min, 0, true)
  check_number("max", opts.max, 1, true)
  local min = opts.min or 1
  if not opts.max then
    error("option 'max' is missing: the largest size", 0)
  elseif opts.max < min then
    error(("option 'max' is less than 'min' (%d)"):format(min), 0)
  end
  return math.floor(min), math.floor(opts.max)
end

local function new_policy(opts)
  local targets, n = opts.targets or {}, 0
  for name, v in pairs(targets) do
    n = n + 1
    if type(name) ~= "string" or type(v) ~= "number" or not (v > 0 and v < math.huge) then
      error("option 'targets' must be a table of name = number, more than 0", 0)
    end
  end
  if n == 0 then
    error("policy \"target\" needs 'targets', as in {cpu = 0.6}", 0)
  end
  check_number("tolerance", opts.tolerance, 0)
  local spans = up_and_down("stabilization", opts.stabilization, policy.UP, policy.DOWN)
  return policy.new(targets, opts.tolerance or policy.TOLERANCE, spans)
end

local OF_TARGET = {"targets", "tolerance", "stabilization"}

local function add_policy(self, opts)
  if opts.policy == "target" then
    self.policy = new_policy(opts)
    for i, rule in ipairs(self.rules) do
      if not rule.action then
        error(("rules[%d]: with policy \"target\" a rule has an 'action'"):format(i), 0)
      end
    end
    return
  elseif opts.policy and opts.policy ~= "rules" then
    error(("unknown policy '%s': rules or target"):format(opts.policy), 0)
  elseif #self.rules == 0 then
    error("option 'rules' is missing: a list of rules", 0)
  end
  for _, name in ipairs(OF_TARGET) do
    if opts[name] ~= nil then
      error(("option '%s' is for policy \"target\""):format(name), 0)
    end
  end
end

local function build(opts)
  check_number("interval", opts.interval, 0)
  check_number("history", opts.history, 1, true)
  check_number("quorum", opts.quorum, 1, true)
  if opts.interval == 0 then
    error("option 'interval' must be more than 0", 0)
  end
  local self = setmetatable({
    interval = opts.interval or INTERVAL, quorum = opts.quorum or 1,
    size = method_of(opts, "size"), resize = method_of(opts, "resize"),
    metrics = method_of(opts, "metrics"), cooldown = up_and_down("cooldown", opts.cooldown, 0, 0),
    on_scale = opts.on_scale, on_error = opts.on_error, limit = opts.history or HISTORY,
    events = {}, busy = false, evaluations = 0, ups = 0, downs = 0, actions = 0, blocked_up = 0,
    blocked_down = 0, limited = 0, errors = 0,
  }, Autoscaler)
  if not self.size or not self.resize then
    error("option 'target' must have size() and resize(n), or give 'size' and 'resize'", 0)
  end
  self.min, self.max = check_bounds(opts)
  function self.clamp(n)
    return math.max(self.min, math.min(self.max, n))
  end
  self.rules = rules.new(opts.rules or {}, self.interval)
  add_policy(self, opts)
  if opts.start ~= false and not self.metrics then
    error("option 'metrics' is missing: a function that gives name = number", 0)
  end
  return self
end

-- ---- the object ---------------------------------------------------------------------------------

--- Look at the metrics once and act. The autoscaler's own task does this at each interval; by hand
-- it is for loops of one's own, and for tests.
-- @parks where the functions it was given do
-- @tparam[opt] table metrics name = number, instead of asking for them
-- @treturn scaling_event|false the scaling, else the first failure or action; false: nothing
-- happened
-- @fails "EBUSY" while another evaluation is under way
-- @raise when there is no function for metrics and none are given
function Autoscaler:evaluate(metrics)
  if metrics ~= nil and type(metrics) ~= "table" then
    error("metrics: a table of name = number expected, got " .. type(metrics), 2)
  elseif not metrics and not self.metrics then
    error("no metrics: give them, or the option 'metrics'", 2)
  elseif self.busy then
    return nil, "EBUSY: an evaluation is under way", "EBUSY"
  end
  self.busy = true
  local ok, outcome = pcall(evaluation.run, self, metrics)
  self.busy = false
  if not ok then
    error(outcome, 0)
  end
  return outcome
end

--- Evaluate at each interval, in a daemon: `run` does not wait for it. The time in which it was
-- stopped does not count: rules and the stabilization begin anew. While it runs, this does nothing.
--
-- Its timer keeps the run awake, so a deadlock of the other tasks is not reported meanwhile.
-- @treturn autoscaler itself
-- @raise outside of a task; when there is no function for metrics
function Autoscaler:start()
  if not self.metrics then
    error("no metrics: the option 'metrics' is missing", 2)
  elseif not core.inside() then
    error("not inside a task: an autoscaler runs while rl.run is active", 2)
  elseif not evaluator.is_running(self) then
    rules.restart(self.rules)
    if self.policy then
      policy.restart(self.policy)
    end
    evaluator.start(self, "autoscaler")
  end
  return self
end

--- Stop evaluating. A resize that is under way is completed. It may be called any number of times.
function Autoscaler:stop()
  evaluator.stop(self)
end

--- What it did and what failed, the oldest first; the option `history` says how many at most.
-- @treturn {scaling_event,...} a new list
function Autoscaler:history()
  return evaluator.history(self)
end

--- Counters of the autoscaler.
-- @treturn autoscaler_stats a new table
-- @tfield[autoscaler_stats] integer evaluations so far
-- @tfield[autoscaler_stats] integer ups resizes to more
-- @tfield[autoscaler_stats] integer downs resizes to less
-- @tfield[autoscaler_stats] integer actions of rules, called without an error
-- @tfield[autoscaler_stats] integer blocked_up evaluations that wanted more during a cooldown
-- @tfield[autoscaler_stats] integer blocked_down evaluations that wanted less during a cooldown
-- @tfield[autoscaler_stats] integer limited evaluations after which only min or max kept the size
-- @tfield[autoscaler_stats] integer errors of functions it was given, refused resizes included
function Autoscaler:stats()
  return {
    evaluations = self.evaluations, ups = self.ups, downs = self.downs, actions = self.actions,
    blocked_up = self.blocked_up, blocked_down = self.blocked_down, limited = self.limited,
    errors = self.errors,
  }
end

function Autoscaler:__tostring()
  return ("ringlet.autoscaler: %s in %d to %d, %s"):format(self.last_size or "?", self.min,
    self.max, evaluator.is_running(self) and "running" or "stopped")
end

--- An autoscaler. Made inside a task it starts to evaluate when that parks; `stop` ends it.
--
-- A rule is a table: a condition, and one of `step = n` (add n, which may be negative),
-- `to = fn(size)` (gives the new size) and `action = fn(event)` (called once when the condition has
-- come, and again only after it has gone). The condition is `metric = name` with `above = x`,
-- `below = x` (both strict) or `trend = "growing"` or `"shrinking"`, or `quorum = n` with
-- `of = {condition, ...}`. With `["for"] = seconds` it must have held at every evaluation of that
-- time. With `window = seconds` the mean of these seconds is compared, once there are so many; with
-- a trend it is the last value that is compared, and the least-squares line through the window that
-- must rise or fall. `name` is for events. A metric that is missing, or not a number, makes a
-- condition not hold and its times begin anew; so does every resize, but not for actions.
--
-- Up goes before down, then the larger step, and there is at most one resize at an evaluation. A
-- size that somebody else put outside of min and max is put back at once, cooldown or not.
--
-- The policy "target" wants `ceil(size * metric / target)`, of several metrics the largest; when
-- one is missing, nothing below the present size. It resizes to the lowest such size of `up`
-- seconds, or to the highest of `down` seconds.
-- @tparam table opts
-- @tparam[opt] table|userdata opts.target what has `size()`, `resize(n)` and perhaps `metrics()`;
-- resize may park, and gives nil, a message and a code to refuse
-- @tparam[opt] fun():integer opts.size instead of the target's
-- @tparam[opt] fun(n:integer):any opts.resize instead of the target's
-- @tparam[opt] fun():table opts.metrics gives a table of name = number, instead of the target's
-- @tparam[opt=1] number opts.interval seconds between two evaluations
-- @tparam[opt=1] integer opts.min smallest size
-- @tparam integer opts.max largest size
-- @tparam[opt] table opts.rules list of rules; with policy "target", of rules with an action
-- @tparam[opt="rules"] string opts.policy "rules" or "target"
-- @tparam[opt=0] number|table opts.cooldown seconds from a resize to the next one; {up =, down =}:
-- to a next one up, and down
-- @tparam[opt=1] integer opts.quorum how many rules must want the same direction
-- @tparam[opt] table opts.targets name = what the metric should be (policy "target")
-- @tparam[opt=0.1] number opts.tolerance a ratio of metric and target this close to 1 changes
-- nothing (policy "target")
-- @tparam[opt] table opts.stabilization {up = 0, down = 300} seconds (policy "target")
-- @tparam[opt=100] integer opts.history events that are kept
-- @tparam[opt=true] boolean opts.start false: `start` or `evaluate` are called by hand
-- @tparam[opt] fun(event:scaling_event) opts.on_scale called after each resize
-- @tparam[opt] fun(event:scaling_event) opts.on_error called after each failure of a function it
-- was given; a failure of this one goes to `rl.on_error`
-- @treturn autoscaler
-- @raise options that make no sense
-- @source Kubernetes documentation, "Horizontal Pod Autoscaling", algorithm details
function M.new(opts)
  opts = options.check(opts, KNOWN)
  local ok, self = pcall(build, opts)
  if not ok then
    error(self, 2)
  end
  if opts.start ~= false and core.inside() then
    self:start()
  end
  return self
end

return M
