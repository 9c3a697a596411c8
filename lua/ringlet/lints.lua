-- SPDX-License-Identifier: MIT
-- lints: what looks wrong with tasks, from two readings of a run, one after the other: the warnings
-- of tokio-console. Pure functions of the readings.
--
-- A reading is {at = seconds of rl.now, tasks = list of descriptions (debug.tasks), counts = what
-- debug.tasks says of shards, leaks = list of {shard=, id=} if it is known}. A lint is {lint= its
-- name, shard=, id=, name=, seconds=, text=}. A task is the same in both readings if shard and
-- number are.
--
-- Invariant: a lint is a fact about the readings. What only may be wrong - long waits - is no lint.

local M = {}

-- The names, in the order in which they are listed.
M.LINTS = {"blocked in C", "never yielded", "waking itself", "lost its waker",
  "parked with no other reference"}

local function key_of(d)
  return d.shard .. "/" .. d.id
end

local function by_key(list)
  local found = {}
  for _, d in ipairs(list or {}) do
    found[key_of(d)] = d
  end
  return found
end

-- Readings that are nearer to each other say nothing about what a task has done in between; and by
-- how much the clock of a wait may be behind.
local APART, SLACK = 0.01, 0.003

local function is_active(d)
  return d.state == "runnable" or d.state == "running"
end

-- Was it able to run in both readings, without a wait in between? Then it did nothing else.
local function has_kept_on(before, d, elapsed)
  return before ~= nil and elapsed >= APART and is_active(before) and is_active(d)
    and (d.unparked or 0) >= elapsed - SLACK
end

local function never_yielded(before, d, elapsed)
  if has_kept_on(before, d, elapsed) and before.preempted and d.preempted then
    return ("it has computed for %.3f s or more, interrupted only by preemption"):format(elapsed),
      elapsed
  end
end

local function woke_itself(before, d, elapsed)
  if has_kept_on(before, d, elapsed) and before.was == "yield" and d.was == "yield"
    and not before.preempted and not d.preempted then
    return ("it has yielded for %.3f s or more and waited for nothing"):format(elapsed), elapsed
  end
end

local function lost_its_waker(_, d)
  if d.lost then
    return ("it waits (%s) on nothing that could ever wake it"):format(d.reason or "?"), d.since
  end
end

local function overran(before, d)
  if d.overran and not (before and before.overran) then
    return "it computed where it could not be interrupted: in a C function, or in compiled code"
  end
end

local RULES = {
  ["never yielded"] = never_yielded, ["waking itself"] = woke_itself,
  ["lost its waker"] = lost_its_waker, ["blocked in C"] = overran,
}

local function rank_of(lint)
  for i, name in ipairs(M.LINTS) do
    if name == lint then
      return i
    end
  end
end

local function in_order(a, b)
  local x, y = rank_of(a.lint), rank_of(b.lint)
  if x ~= y then
    return x < y
  elseif a.shard ~= b.shard then
    return a.shard < b.shard
  end
  return (a.id or 0) < (b.id or 0)
end

local function add(list, lint, d, text, seconds)
  list[#list + 1] = {
    lint = lint, shard = d.shard, id = d.id, name = d.name, text = text, seconds = seconds,
  }
end

-- Shards whose task does not let them answer.
local function add_silent(list, counts)
  for _, c in ipairs(counts or {}) do
    if c.silent then
      add(list, "blocked in C", {shard = c.shard, id = c.task}, "its shard does not answer"
        .. (c.seconds and (" for %.3f s"):format(c.seconds) or ""), c.seconds)
    end
  end
end

local function add_leaked(list, leaks, tasks)
  for _, leak in ipairs(leaks or {}) do
    local d = tasks[key_of(leak)]
    if d then
      add(list, "parked with no other reference", d,
        "no live task can reach what it waits on", d.since)
    end
  end
end

-- What is wrong in `after`, given what was before. Without a reading before it, fewer lints are
-- known.
function M.compare(before, after)
  local list, past, elapsed = {}, by_key(before and before.tasks), 0
  if before then
    elapsed = after.at - before.at
  end
  add_silent(list, after.counts)
  for _, d in ipairs(after.tasks) do
    for lint, rule in pairs(RULES) do
      local text, seconds = rule(past[key_of(d)], d, elapsed)
      if text then
        add(list, lint, d, text, seconds)
      end
    end
  end
  add_leaked(list, after.leaks, by_key(after.tasks))
  table.sort(list, in_order)
  return list
end

-- A lint as one line.
function M.text(lint)
  return ("%s: %s%s on shard %d: %s"):format(lint.lint, lint.id and "task " .. lint.id or "a task",
    lint.name and (' "%s"'):format(lint.name) or "", lint.shard, lint.text)
end

return M
