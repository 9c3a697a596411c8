-- SPDX-License-Identifier: MIT
-- autoscaler_rules: the rules of an autoscaler: checking them, feeding them, what they want.
--
-- A rule is a condition with a consequence (step, to or action). A condition compares one metric,
-- or counts how many of several conditions hold (quorum); it keeps `since`, when it began to hold,
-- and `held`, whether that is its `for` ago. Whatever it cannot see it takes for not holding.
--
-- Invariants: every condition is fed at every evaluation, also those of a quorum that is reached;
-- an action's `armed` is false from its call until its condition does not hold.

local options = require "ringlet.options"
local window = require "ringlet.autoscaler_window"

local M = {}

local KNOWN = {
  metric = "string", above = "number", below = "number", ["for"] = "number", window = "number",
  trend = "string", quorum = "number", of = "table", step = "number", to = "function",
  action = "function", name = "string",
}
local TRENDS = {growing = 1, shrinking = -1}
local OF_ONE_METRIC = {"metric", "above", "below", "trend", "window"}
local CONSEQUENCES = {"step", "to", "action"}

-- ---- checking: what is wrong is raised without a position, which the constructor adds -----------

local function whole(n)
  return n == math.floor(n) and n - n == 0
end

local function refuse(where, ...)
  error(where .. ": " .. string.format(...), 0)
end

local function how_many(rule, names)
  local n = 0
  for _, name in ipairs(names) do
    n = n + (rule[name] ~= nil and 1 or 0)
  end
  return n
end

local function check_fields(rule, where)
  if type(rule) ~= "table" then
    refuse(where, "a table expected, got %s", type(rule))
  end
  local ok, err = pcall(options.check, rule, KNOWN, -1)
  if not ok then
    refuse(where, "%s", err)
  end
  for name, least in pairs{above = -math.huge, below = -math.huge, ["for"] = 0, window = 0} do
    local v = rule[name]
    if v and (v ~= v or v < least or least == 0 and v == math.huge) then
      refuse(where, "'%s' must be a number%s", name, least == 0 and " of seconds" or "")
    end
  end
end

local function check_metric(rule, where, interval)
  if not rule.metric then
    refuse(where, "'metric', or 'quorum' and 'of', expected")
  elseif rule.quorum then
    refuse(where, "'quorum' needs 'of', a list of conditions")
  elseif rule.above and rule.below then
    refuse(where, "'above' or 'below' expected, not both")
  elseif not (rule.above or rule.below or rule.trend) then
    refuse(where, "'above', 'below' or 'trend' expected")
  elseif rule.trend and not TRENDS[rule.trend] then
    refuse(where, "'trend' must be \"growing\" or \"shrinking\"")
  elseif rule.window == 0 then
    refuse(where, "'window' must be more than 0")
  elseif rule.trend and (rule.window or 0) < 2 * interval then
    refuse(where, "'trend' needs a 'window' of at least two intervals (%g s)", 2 * interval)
  end
end

local function check_quorum(rule, where)
  local n = #rule.of
  if how_many(rule, OF_ONE_METRIC) > 0 then
    refuse(where, "metric, above, below, trend and window belong into the conditions of 'of'")
  elseif n == 0 then
    refuse(where, "'of' must be a list of conditions")
  elseif not rule.quorum or not whole(rule.quorum) or rule.quorum < 1 or rule.quorum > n then
    refuse(where, "'quorum' must be a whole number from 1 to %d", n)
  end
end

local function check_consequence(rule, where)
  if how_many(rule, CONSEQUENCES) ~= 1 then
    refuse(where, "one of 'step', 'to' and 'action' expected")
  elseif rule.step and (rule.step == 0 or not whole(rule.step)) then
    refuse(where, "'step' must be a whole number other than 0")
  end
end

-- ---- making ------------------------------------------------------------------------------------

-- "mean of cpu over 60 s > 0.75 for 10 s"
local function describe(c, rule)
  local text
  if c.of then
    local names = {}
    for i, one in ipairs(c.of) do
      names[i] = one.name
    end
    text = ("%d of (%s)"):format(c.quorum, table.concat(names, ", "))
  else
    local is_mean = c.window and not c.trend
    local mean = is_mean and ("mean of %s over %g s"):format(c.metric, rule.window) or c.metric
    local compared = c.above and (" > %g"):format(c.above) or c.below and (" < %g"):format(c.below)
    local trend = c.trend and ("%s over %g s"):format(rule.trend, rule.window)
    text = mean .. (compared or "") .. (compared and trend and " and " or trend and " " or "")
      .. (trend or "")
  end
  return rule["for"] and ("%s for %g s"):format(text, rule["for"]) or text
end

local function new_condition(rule, where, interval)
  check_fields(rule, where)
  local c = {wait = rule["for"] or 0, held = false}
  if rule.of then
    check_quorum(rule, where)
    c.quorum, c.of = math.floor(rule.quorum), {}
    for i, one in ipairs(rule.of) do
      local inner = ("%s.of[%d]"):format(where, i)
      c.of[i] = new_condition(one, inner, interval)
      if how_many(one, CONSEQUENCES) > 0 then
        refuse(inner, "a condition has no 'step', 'to' or 'action'")
      end
    end
  else
    check_metric(rule, where, interval)
    c.metric, c.above, c.below, c.trend = rule.metric, rule.above, rule.below, TRENDS[rule.trend]
    c.window = rule.window and window.new(rule.window)
  end
  c.name = rule.name or describe(c, rule)
  return c
end

--- Check and compile a list of rules; raises a message without a position.
-- @tparam table list what users write
-- @tparam number interval seconds between evaluations
-- @treturn table compiled rules
function M.new(list, interval)
  local compiled = {}
  for i, rule in ipairs(list) do
    local where = ("rules[%d]"):format(i)
    local c = new_condition(rule, where, interval)
    check_consequence(rule, where)
    c.step, c.to = rule.step and math.floor(rule.step), rule.to
    c.action, c.armed = rule.action, true
    compiled[i] = c
  end
  for k in pairs(list) do
    if not compiled[k] then
      error("rules: a list of rules expected", 0)
    end
  end
  return compiled
end

-- ---- feeding -----------------------------------------------------------------------------------

local feed

-- Whether it holds at this moment. A sample that is missing leaves a hole: the window begins anew.
local function compare(c, now, v)
  if v == nil then
    if c.window then
      c.window:restart()
    end
    return false
  end
  if c.window then
    c.window:add(now, v)
    if not c.window:full(now) then
      return false
    elseif c.trend then
      if c.window:trend() ~= c.trend then
        return false
      end
    else
      v = c.window:mean()
    end
  end
  c.value = v
  if c.above then
    return v > c.above
  elseif c.below then
    return v < c.below
  end
  return true
end

local function count(c, now, metrics)
  local n = 0
  for _, one in ipairs(c.of) do
    n = n + (feed(one, now, metrics) and 1 or 0)
  end
  return n >= c.quorum
end

-- Give it the metrics of `now`; whether it has held for its time.
function feed(c, now, metrics)
  local holds
  if c.of then
    holds = count(c, now, metrics)
  else
    holds = compare(c, now, metrics[c.metric])
  end
  if not holds then
    c.since, c.held = nil, false
    return false
  end
  c.since = c.since or now
  c.held = now - c.since >= c.wait - window.SLACK
  return c.held
end

--- Give every rule the metrics of `now`.
-- @treturn table the rules with a step or a `to` that have held for their time
-- @treturn table the actions that have just come to
function M.feed(rules, now, metrics)
  local steps, actions = {}, {}
  for _, rule in ipairs(rules) do
    local held = feed(rule, now, metrics)
    if rule.action then
      if held and rule.armed then
        actions[#actions + 1] = rule
      end
      rule.armed = not held
    elseif held then
      steps[#steps + 1] = rule
    end
  end
  return steps, actions
end

local function restart(c)
  c.since, c.held = nil, false
  if c.window then
    c.window:restart()
  end
  for _, one in ipairs(c.of or {}) do
    restart(one)
  end
end

--- Begin anew, after the size changed: what was measured before is about another size. An action
-- watches a symptom, not the size, and goes on.
function M.restart(rules)
  for _, rule in ipairs(rules) do
    if not rule.action then
      restart(rule)
    end
  end
end

-- ---- deciding ----------------------------------------------------------------------------------

--- By how much a rule wants to change the size; raises when its `to` does or gives no size.
function M.step_of(rule, size)
  if rule.step then
    return rule.step
  end
  local wanted = rule.to(size)
  if type(wanted) ~= "number" or not whole(wanted) then
    error(("rule '%s': 'to' must give a whole number, not %s"):format(rule.name,
      type(wanted) == "number" and tostring(wanted) or "a " .. type(wanted)), 0)
  end
  return math.floor(wanted) - size
end

--- The largest step, up before down, of a direction in which at least `quorum` rules agree.
-- @tparam table wishes list of {step =, rule =}
-- @treturn ?table one of them
function M.choose(wishes, quorum)
  local up, down, ups, downs = nil, nil, 0, 0
  for _, wish in ipairs(wishes) do
    if wish.step > 0 then
      ups = ups + 1
      up = (not up or wish.step > up.step) and wish or up
    elseif wish.step < 0 then
      downs = downs + 1
      down = (not down or wish.step < down.step) and wish or down
    end
  end
  return ups >= quorum and up or downs >= quorum and down or nil
end

local function values_of(c, out)
  if not c.of then
    out[#out + 1] = ("%s %g"):format(c.metric, c.value)
    return
  end
  for _, one in ipairs(c.of) do
    if one.held then
      values_of(one, out)
    end
  end
end

--- Why a rule that holds does: the values it compared.
function M.reason(rule)
  local out = {}
  values_of(rule, out)
  return table.concat(out, ", ")
end

return M
