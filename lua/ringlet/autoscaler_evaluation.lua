-- SPDX-License-Identifier: MIT
-- autoscaler_evaluation: one evaluation of an autoscaler: read, decide, resize; and its events.
--
-- Invariants: an evaluation resizes at most once; whatever users' functions raise becomes an event,
-- except for the cancellation of their task, which passes. `acted` is when the last resize was
-- done: the cooldowns count from there.

--- @module ringlet

local cancel = require "ringlet.cancel"
local core = require "ringlet.core"
local policy = require "ringlet.autoscaler_target"
local rules = require "ringlet.autoscaler_rules"
local task = require "ringlet.task"
local traced = require "ringlet.traced"
local window = require "ringlet.autoscaler_window"

local M = {}

--- Something that an autoscaler did, or that failed. Its `tostring` is a line for a log.
-- @type scaling_event
-- @tfield number time seconds of `rl.now`
-- @tfield string kind "up", "down", "action" (a rule's), "error"
-- @tfield ?integer from the size before; nil when asking for it failed
-- @tfield ?integer to the size that was asked for; the same as `from` for an action
-- @tfield ?string rule the name of the rule; "target" for that policy, "bounds" when the size was
-- not between min and max
-- @tfield string reason the values that led to it; for an error, what failed
-- @tfield table metrics name = number, as they were
-- @tfield any error what was raised, or the message
-- @tfield ?string code "ENAME" when a resize was refused with one
local Event = {__name = "ringlet.scaling_event"}
Event.__index = Event

function Event:__tostring()
  if self.kind == "error" then
    return ("error: %s: %s"):format(self.reason, tostring(self.error))
  elseif self.kind == "action" then
    return ("action: %s (%s)"):format(self.rule, self.reason)
  end
  return ("%s %d -> %d: %s (%s)"):format(self.kind, self.from, self.to, self.rule, self.reason)
end

-- ---- events ------------------------------------------------------------------------------------

-- Our cancellation is not the function's failure; that of another task, raised again by it, is.
local function pass_cancel(ok, ...)
  if not ok and cancel.is_cancel((...)) then
    local h = task.self()
    if h and cancel.effective(h) then
      error((...), 0)
    end
  end
  return ok, ...
end

-- A call of a function of the user's.
local function try(fn, ...)
  return pass_cancel(traced.call(fn, ...))
end

local function record(self, event)
  local events = self.events
  events[#events + 1] = setmetatable(event, Event)
  if #events > self.limit then
    table.remove(events, 1)
  end
  return event
end

-- Note what failed at the evaluation `at`. If the hook fails too, that goes where the errors of
-- tasks go.
local function failed(self, at, what, err, code)
  self.errors = self.errors + 1
  local event = record(self, {
    time = at.now, kind = "error", from = at.size, to = at.wanted, rule = at.rule, reason = what,
    metrics = at.metrics, error = err, code = code,
  })
  at.outcome = at.outcome or event
  if self.on_error then
    local ok, second, trace = try(self.on_error, event)
    if not ok then
      task.report(second, trace, task.self())
    end
  end
end

-- ---- an evaluation: `at` is {now =, metrics =, size =, wanted =, rule =, outcome =} -------------

-- The numbers among the metrics: what is no number, or not a number, is missing.
local function read_metrics(self, at, given)
  if not given then
    local ok, v, msg, code = try(self.metrics)
    if ok and type(v) == "table" then
      given = v
    else
      given = {}
      local err = not ok and v or msg or "a table expected, got " .. type(v)
      failed(self, at, "metrics", err, ok and code or nil)
    end
  end
  for name, v in pairs(given) do
    if type(v) == "number" and v == v then
      at.metrics[name] = v
    end
  end
end

local function read_size(self, at)
  local ok, n, msg, code = try(self.size)
  if ok and type(n) == "number" and n >= 0 and n - n == 0 and n == math.floor(n) then
    at.size = math.floor(n)
    self.last_size = at.size
  else
    local err = not ok and n or msg or "a whole number expected, got " .. tostring(n)
    failed(self, at, "size", err, ok and code or nil)
  end
end

local function act(self, at, rule)
  at.rule, at.wanted = rule.name, at.size
  local event = record(self, {
    time = at.now, kind = "action", from = at.size, to = at.size, rule = rule.name,
    reason = rules.reason(rule), metrics = at.metrics,
  })
  at.outcome = at.outcome or event
  local ok, err = try(rule.action, event)
  if ok then
    self.actions = self.actions + 1
  else
    failed(self, at, "action", err)
  end
end

local function scaled(self, at, reason)
  local kind = at.wanted > at.size and "up" or "down"
  self[kind .. "s"] = self[kind .. "s"] + 1
  self.acted, self.last_size = core.now(), at.wanted
  rules.restart(self.rules)
  at.outcome = record(self, {
    time = at.now, kind = kind, from = at.size, to = at.wanted, rule = at.rule, reason = reason,
    metrics = at.metrics,
  })
  if self.on_scale then
    local ok, err = try(self.on_scale, at.outcome)
    if not ok then
      failed(self, at, "on_scale", err)
    end
  end
end

-- A resize of the user's own may return nothing; one that is refused says why.
local function scale(self, at, wanted, rule, reason)
  at.rule, at.wanted = rule, wanted
  local ok, v, msg, code = try(self.resize, wanted)
  if not ok then
    failed(self, at, "resize", v)
  elseif not v and msg ~= nil then
    failed(self, at, "resize", msg, code)
  else
    scaled(self, at, reason)
  end
end

local function by_rules(self, at, held)
  local wishes = {}
  for _, rule in ipairs(held) do
    at.rule = rule.name
    local ok, step = try(rules.step_of, rule, at.size)
    if ok then
      wishes[#wishes + 1] = {step = step, rule = rule}
    else
      failed(self, at, "to", step)
    end
  end
  local wish = rules.choose(wishes, self.quorum)
  if wish then
    local wanted = at.size + wish.step
    return self.clamp(wanted), wanted, wish.rule.name, rules.reason(wish.rule)
  end
  return at.size, at.size
end

-- A size of 0 says nothing about a ratio: as with Kubernetes, it is off until somebody resizes it.
local function by_target(self, at)
  if at.size == 0 then
    return 0, 0
  end
  local size, wanted, reason = policy.desire(self.policy, at.now, at.size, at.metrics, self.clamp)
  return size, wanted, "target", reason
end

-- A resize in the future was made in another run, whose virtual time was another.
local function is_cooling(self, kind, now)
  local since = self.acted and now - self.acted or -1
  return since >= 0 and since < self.cooldown[kind] - window.SLACK
end

local function decide(self, at, held)
  local size, wanted, rule, reason
  if self.policy then
    size, wanted, rule, reason = by_target(self, at)
  else
    size, wanted, rule, reason = by_rules(self, at, held)
  end
  local kind = size > at.size and "up" or "down"
  if size == at.size then
    self.limited = self.limited + (self.clamp(wanted) ~= wanted and 1 or 0)
  elseif is_cooling(self, kind, at.now) then
    self["blocked_" .. kind] = self["blocked_" .. kind] + 1
  else
    scale(self, at, size, rule, reason)
  end
end

-- Evaluate once, with the metrics that are given or asked for. Returns what happened, or false.
function M.run(self, given)
  local at = {now = core.now(), metrics = {}}
  self.evaluations = self.evaluations + 1
  read_metrics(self, at, given)
  read_size(self, at)
  local held, actions = rules.feed(self.rules, at.now, at.metrics)
  for _, rule in ipairs(actions) do
    act(self, at, rule)
  end
  at.rule, at.wanted = nil, nil
  if at.size then
    local inside = self.clamp(at.size)
    if inside == at.size then
      decide(self, at, held)
    else
      local bound = inside == self.min and "min" or "max"
      scale(self, at, inside, "bounds", ("size %d, %s %d"):format(at.size, bound, inside))
    end
  end
  return at.outcome or false
end

return M
