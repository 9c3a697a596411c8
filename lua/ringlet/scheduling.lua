-- SPDX-License-Identifier: MIT
-- scheduling: which class of the kernel's scheduler each shard's thread is in, and the watchdog's.
--
-- `plan` is a function of what was asked for. Whether this machine allows it is found by trying on
-- a thread made for that, before the run begins. Invariants: the watchdog has a higher real-time
-- priority than every shard, or no shard has one; the caller's thread, which is shard 1, is given
-- nothing that cannot be taken back, unless it is to stay so.

--- Who gets a CPU.
-- @module ringlet
-- @section Scheduling

local core = require "ringlet.core"
local fail = require "ringlet.fail"
local options = require "ringlet.options"

local M = {}

local CLASS = {policy = "string", priority = "number", nice = "number", slice = "number"}
local KNOWN = {
  policy = "string", priority = "number", nice = "number", slice = "number", shards = "table",
  optional = "boolean", keep = "boolean",
}
local PRIORITY_MAX = 99
local BOUNDS = {
  policy = {"other", "batch", "idle", "fifo", "rr"},
  priority = {min = 1, max = PRIORITY_MAX, whole = true},
  nice = {min = -20, max = 19, whole = true},
  slice = {min = 0.0001, max = 0.1},
}
-- Which fields go with which policy.
local TAKES = {
  other = {nice = true, slice = true}, batch = {nice = true, slice = true}, idle = {},
  fifo = {priority = true}, rr = {priority = true},
}

local function is_realtime(class)
  return class.policy == "fifo" or class.policy == "rr"
end

-- The class in a table of options; nil: nothing is asked for.
local function class_of(opts, where, level)
  local class = {policy = opts.policy or "other"}
  local any = opts.policy ~= nil
  for name, bound in pairs(BOUNDS) do
    options.bound(opts[name], bound, ("option '%s.%s'"):format(where, name), level + 1)
  end
  for _, name in ipairs{"priority", "nice", "slice"} do
    if opts[name] ~= nil and not TAKES[class.policy][name] then
      error(("option '%s.%s' does not go with the policy '%s'"):format(where, name, class.policy),
        level + 1)
    end
    class[name] = opts[name]
    any = any or opts[name] ~= nil
  end
  if is_realtime(class) then
    class.priority = class.priority or 1
  end
  return any and class or nil
end

local function check_shards(given, shards, level)
  for i, entry in pairs(given) do
    if type(i) ~= "number" or i % 1 ~= 0 or i < 1 or i > shards then
      error(("option 'sched.shards' names shard %s: there are %d"):format(tostring(i), shards),
        level + 1)
    elseif entry ~= false and type(entry) ~= "table" then
      error(("option 'sched.shards[%d]' must be a table or false, not a %s"):format(i,
        type(entry)), level + 1)
    end
  end
end

-- The class of each shard that is asked to be in one, and the strongest of all, which the watchdog
-- has to go before.
function M.plan(opts, shards, watched, level)
  level = (level or 2) + 1
  opts = options.check(opts, KNOWN, level)
  local common, given = class_of(opts, "sched", level), opts.shards or {}
  check_shards(given, shards, level)
  local plan = {priority = 0, nice = 0, optional = opts.optional, keep = opts.keep, classes = {}}
  for i = 1, shards do
    local class = common
    if given[i] ~= nil then
      class = given[i] and class_of(options.check(given[i], CLASS, level),
        ("sched.shards[%d]"):format(i), level) or nil
    end
    plan.classes[i] = class or false
    plan.priority = math.max(plan.priority, class and class.priority or 0)
    plan.nice = math.min(plan.nice, class and class.nice or 0)
  end
  if watched and plan.priority == PRIORITY_MAX then
    error("option 'sched.priority' of 99 leaves none to the watchdog, which goes before the shards:"
      .. " 98 at the most, or preempt = false", level)
  end
  return plan
end

-- ---- what the machine allows --------------------------------------------------------------------

local function show(class)
  local text = class.policy
  for _, name in ipairs{"priority", "nice", "slice"} do
    if class[name] then
      text = ("%s, %s %g"):format(text, name, class[name])
    end
  end
  return text
end

local OPTIONAL = "; or sched.optional = true, to do without"

local function advice(code, class)
  local msg, name = core.errmsg(code)
  if name ~= "EPERM" then
    return msg
  elseif is_realtime(class) then
    return ("%s: it needs CAP_SYS_NICE, or an RLIMIT_RTPRIO of %d (rtprio in limits.conf(5), "
      .. "LimitRTPRIO= of a service), and real-time CPU time in its cgroup%s"):format(msg,
      class.priority, OPTIONAL)
  end
  return ("%s: it needs CAP_SYS_NICE, or an RLIMIT_NICE of %d (nice in limits.conf(5), "
    .. "LimitNICE= of a service)%s"):format(msg, 20 - (class.nice or 0), OPTIONAL)
end

local function arguments(class)
  return class.policy, class.priority or false, class.nice or false, class.slice or false
end

-- Why shard i cannot be in its class; nil: it can.
local function refusal(plan, i)
  local class = plan.classes[i]
  local ok, back = core.sched_try(arguments(class))
  if not ok then
    return ("shard %d (%s): %s"):format(i, show(class), advice(back, class))
  elseif i == 1 and not back and not plan.keep then
    return ("shard 1 (%s): its thread is the caller's, and could not go back when the run ends "
      .. "without CAP_SYS_NICE or RLIMIT_NICE: sched.keep = true, to let it stay so, or start "
      .. "the program with nice(1) or chrt(1)%s"):format(show(class), OPTIONAL)
  end
end

local function drop(plan, which)
  plan.priority, plan.nice = 0, 0
  for i, class in ipairs(plan.classes) do
    if class and which(class, i) then
      plan.classes[i] = false
    elseif class then
      plan.priority = math.max(plan.priority, class.priority or 0)
      plan.nice = math.min(plan.nice, class.nice or 0)
    end
  end
end

local function refuse(plan, why, which, level)
  if not plan.optional then
    error("ringlet: cannot schedule " .. why, level + 1)
  end
  drop(plan, which)
end

-- Try all of a plan; raises what is refused, or takes it out of the plan if it is optional.
function M.try(plan, watched, level)
  level = (level or 2) + 1
  for i = 1, #plan.classes do
    local why = plan.classes[i] and refusal(plan, i)
    if why then
      refuse(plan, why, function(_, k) return k == i end, level)
    end
  end
  if watched and plan.priority > 0 then
    local above = {policy = "fifo", priority = plan.priority + 1}
    local ok, code = core.sched_try(arguments(above))
    if not ok then
      refuse(plan, ("the watchdog before the shards (%s): %s; or preempt = false"):format(
        show(above), advice(code, above)), is_realtime, level)
    end
  end
end

-- Before the other shards are started: what their threads will be in.
function M.prepare(plan)
  for i = 2, #plan.classes do
    if plan.classes[i] then
      core.fleet_sched(i, arguments(plan.classes[i]))
    end
  end
end

-- The calling thread, as shard 1; after all other threads were started, which would begin with its
-- class. Returns what `core.sched_restore` needs at the end, or nil and why not.
function M.enter(plan)
  local class = plan.classes[1]
  if not class then
    return nil
  end
  local saved = core.sched_save()
  local ok, code = core.sched_set(arguments(class))
  if not ok then
    return nil, ("cannot schedule shard 1 (%s): %s"):format(show(class), advice(code, class))
  end
  return not plan.keep and saved or nil
end

--- How the kernel schedules a shard's thread now, whoever decided it.
-- @tparam[opt] integer shard its number; this one without it
-- @treturn table {policy= "other", "batch", "idle", "fifo", "rr", or another that was given from
-- outside, priority= of "fifo" and "rr", nice=, slice= seconds, of "other" and "batch" where the
-- kernel tells, thread= its number}
-- @fails "ECLOSED", no run is active; "ESRCH", the shard has ended
-- @raise when there is no such shard
-- @source sched(7), sched_getattr(2)
function M.sched(shard)
  local own, size = core.fleet()
  if not own then
    return nil, "ECLOSED: no run is active", "ECLOSED"
  end
  shard = shard or own
  if type(shard) ~= "number" or shard % 1 ~= 0 or shard < 1 or shard > size then
    error(("no such shard: %s of %d"):format(tostring(shard), size), 2)
  end
  local policy, priority, nice, slice, thread = core.sched_of(shard)
  if not policy then
    return fail(priority)
  end
  return {
    policy = policy, priority = priority > 0 and priority or nil, nice = nice,
    slice = slice > 0 and slice or nil, thread = thread,
  }
end

return M
