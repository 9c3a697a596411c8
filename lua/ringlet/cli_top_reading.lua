-- SPDX-License-Identifier: MIT
-- cli_top_reading: what an admin endpoint answers (/debug/vars, /debug/tasks, /debug/config) as one
-- reading for `ringlet top`: a table that its pictures are made of.
--
-- A reading is {at= seconds, target=, pid=, command=, vm=, uptime=, total= {live=, ...}, shards= {{
-- index=, live=, ..., latency=, runqueue= while bpf.metrics measures it, delay= and runs= of its
-- thread, stalled=, silent=}, ...}, latency=, pause=, labels= {{text=, n=}},
-- reasons= likewise, tasks= descriptions, counts=, listed= how many tasks were read, lints= texts}.
-- Of one from another version what is missing is nil, and shown as such.

local processes = require "ringlet.cli_processes"
local text = require "ringlet.cli_text"

local M = {}

local TASKS = 1000   -- tasks that are read
local LABELS = 12    -- sets of labels, and reasons, that are told

-- Before the first reading.
M.NOTHING = {tasks = {}, shards = {}, total = {}, labels = {}, reasons = {}, lints = {}}

local NUMBERS = {
  live = "/tasks/live:tasks", running = "/tasks/running:tasks", runnable = "/tasks/runnable:tasks",
  waiting = "/tasks/waiting:tasks", created = "/tasks/created:tasks",
  finished = "/tasks/finished:tasks", turns = "/sched/turns:turns", parks = "/sched/parks:parks",
  preemptions = "/sched/preemptions:preemptions", steals = "/sched/steals:steals",
  connections = "/net/connections:connections", syscalls = "/io/syscalls:calls",
  timers = "/timers/live:timers", heap = "/gc/heap:bytes", threads = "/offload/threads:threads",
  cpu = "/process/cpu:seconds", stalled = "/sched/stalled:seconds",
  delay = "/thread/delay:seconds", runs = "/thread/runs:runs",
}

-- What is told by direction or by operation.
local PARTS = {
  received = {"/io/bytes:bytes", "received"}, sent = {"/io/bytes:bytes", "sent"},
  operations = {"/io/operations:operations"},
}

local LATENCY, PAUSE = "/sched/latencies:seconds", "/gc/pause:seconds"
local RUNQUEUE = "/thread/runqueue:seconds"
local LABELLED = "/tasks/labelled:tasks"

local function total_of(metrics)
  local total = {}
  for key, name in pairs(NUMBERS) do
    total[key] = metrics[name] and metrics[name].sum
  end
  for key, part in pairs(PARTS) do
    local values = metrics[part[1]] and metrics[part[1]].sum or {}
    local sum = part[2] and values[part[2]] or 0
    for _, v in pairs(part[2] and {} or values) do
      sum = sum + v
    end
    total[key] = sum
  end
  return total
end

local function shard_of(metrics, i)
  local shard = {index = i}
  for key, name in pairs(NUMBERS) do
    local values = metrics[name] and metrics[name].shards
    shard[key] = values and values[i]
  end
  local latencies = metrics[LATENCY] and metrics[LATENCY].shards
  local waits = metrics[RUNQUEUE] and metrics[RUNQUEUE].shards
  shard.latency, shard.runqueue = latencies and latencies[i], waits and waits[i]
  return shard
end

local function labels_of(metrics)
  local list = {}
  for i, set in ipairs(metrics[LABELLED] and metrics[LABELLED].series or {}) do
    if i <= LABELS then
      list[i] = {text = text.labels(set.labels), n = set.value}
    end
  end
  return list
end

-- What tasks wait for, the most frequent first.
local function reasons_of(tasks)
  local counts, list = {}, {}
  for _, d in ipairs(tasks) do
    local reason = d.reason
    if reason and not counts[reason] then
      counts[reason] = {text = reason, n = 0}
      list[#list + 1] = counts[reason]
    end
    if reason then
      counts[reason].n = counts[reason].n + 1
    end
  end
  table.sort(list, function(a, b)
    if a.n ~= b.n then
      return a.n > b.n
    end
    return a.text < b.text
  end)
  for i = #list, LABELS + 1, -1 do
    list[i] = nil
  end
  return list
end

local function mark_silent(shards, counts)
  for _, c in ipairs(counts) do
    if c.silent and shards[c.shard] then
      shards[c.shard].silent = true
    end
  end
end

local function vm_of(config)
  return config and (config.jit and config.jit.version or config.lua)
end

-- A reading of answers, of which but the first may be missing.
function M.of(vars, answer, config, target)
  local metrics, shards = vars.metrics or {}, {}
  for i = 1, vars.shards or 0 do
    shards[i] = shard_of(metrics, i)
  end
  local tasks, counts = answer and answer.tasks or {}, answer and answer.counts or {}
  mark_silent(shards, counts)
  local is_here = target.unix ~= nil or target.text:find "^127%." ~= nil
  return {
    at = vars.now or vars.at, target = target.pid and tostring(target.pid) or target.text,
    pid = vars.pid, command = is_here and vars.pid and processes.command(vars.pid) or nil,
    uptime = is_here and vars.pid and processes.uptime(vars.pid) or nil, vm = vm_of(config),
    total = total_of(metrics), shards = shards, latency = metrics[LATENCY] and metrics[LATENCY].sum,
    pause = metrics[PAUSE] and metrics[PAUSE].sum, labels = labels_of(metrics),
    reasons = reasons_of(tasks), tasks = tasks, counts = counts, listed = #tasks, lints = {},
  }
end

-- The tasks of further answers that are not in the first.
local function merge(answer, more)
  local seen = {}
  for _, d in ipairs(answer.tasks) do
    seen[d.shard .. "/" .. d.id] = true
  end
  for _, d in ipairs(more.tasks) do
    if not seen[d.shard .. "/" .. d.id] then
      answer.tasks[#answer.tasks + 1] = d
    end
  end
end

-- The tasks: all, or those that wait longest and those that are active.
local function tasks_of(client)
  local answer, msg = client:json("/debug/tasks", {format = "json", sort = "wait", limit = TASKS})
  if not answer or #answer.tasks < TASKS then
    return answer, msg
  end
  for _, state in ipairs {"running", "runnable"} do
    local more
    more, msg = client:json("/debug/tasks", {format = "json", state = state, limit = TASKS / 5})
    if not more then
      return nil, msg
    end
    merge(answer, more)
  end
  return answer
end

-- Ask a process; nil and a message.
function M.take(client)
  local vars, msg = client:json "/debug/vars"
  if not vars then
    return nil, msg
  end
  local answer
  answer, msg = tasks_of(client)
  if not answer then
    return nil, msg
  end
  if not client.config then
    client.config, msg = client:json "/debug/config"
    if not client.config then
      return nil, msg
    end
  end
  return M.of(vars, answer, client.config, client.target)
end

-- The leaked tasks; nil and a message.
function M.leaks(client)
  local answer, msg = client:json("/debug/leaks", {format = "json"})
  return answer and answer.leaks, msg
end

return M
