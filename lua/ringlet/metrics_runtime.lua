-- SPDX-License-Identifier: MIT
-- metrics_runtime: what the runtime measures, under names in the style of Go's runtime/metrics.
--
-- Each entry says what it is and how it is had from one shard's reading: `numbers`, all published
-- at one moment (src/rt/measure.h), `waits` by reason, and what else there is. With `label`, `read`
-- gives {value of the label = value}. Values of shards add up, unless the entry is of the process.
-- What is not measured, because nobody has asked for it or may, is nil, and shown nowhere.

local core = require "ringlet.core"
local histogram = require "ringlet.metrics_histogram"
local kernel = require "ringlet.metrics_kernel"
local labels = require "ringlet.labels"
local offload = require "ringlet.offload"
local pool_control = require "ringlet.pool_control"

local M = {}

local function number(key)
  return function(shard)
    return shard.numbers[key]
  end
end

local function named_histogram(key)
  return function(shard)
    return histogram.of(core.histogram(shard.index, key))
  end
end

local function live(shard)
  return shard.numbers.created - shard.numbers.finished
end

local CHANNEL = {["chan receive"] = "receive", ["chan send"] = "send", select = "select"}

local function of_channels(give)
  return function(shard)
    local out = {}
    for reason, op in pairs(CHANNEL) do
      local h = shard:waits()[reason]
      if h then
        out[op] = give(h)
      end
    end
    return out
  end
end

local function by_operation(shard)
  local out = {}
  for key, n in pairs(shard.numbers) do
    local op = key:match("^op (%l+)$")
    if op and op ~= "nop" then
      out[op] = n
    end
  end
  return out
end

local function by_label(which)
  return function(shard)
    local out = {}
    local list = shard.labels()
    for i = 1, #list, 3 do
      out[list[i]] = list[i + which]
    end
    return out
  end
end

-- Of the pools of the shard that reads; other shards' are not seen from here.
local function of_pools(...)
  local keys = {...}
  return function(shard)
    local out = {}
    for pool in pairs(shard.is_here and pool_control.pools or {}) do
      local stats, n = pool:stats(), 0
      for _, key in ipairs(keys) do
        n = n + stats[key]
      end
      out[pool.name] = (out[pool.name] or 0) + n
    end
    return out
  end
end

local function stalled(shard)
  for _, stall in ipairs(core.fleet() and core.stalled() or {}) do
    if stall[1] == shard.index then
      return stall[2]
    end
  end
  return 0
end

local function starvations(which)
  return function(shard)
    return core.fleet() and (select(which, core.starvations(shard.index))) or 0
  end
end

M.list = {
  {"/tasks/live:tasks", "integer", "Tasks that have begun and not ended, daemons included.", live},
  {"/tasks/running:tasks", "integer", "Tasks that run: at most one a shard.", number "running"},
  {"/tasks/runnable:tasks", "integer", "Tasks that are ready to run.", number "runnable"},
  {"/tasks/waiting:tasks", "integer", "Tasks that are parked.", function(shard)
    return live(shard) - shard.numbers.running - shard.numbers.runnable
  end},
  {"/tasks/daemons:tasks", "integer", "Tasks that run does not wait for.", number "daemons"},
  {"/tasks/created:tasks", "counter", "Tasks that have begun.", number "created"},
  {"/tasks/finished:tasks", "counter", "Tasks that have ended.", number "finished"},
  {"/tasks/labelled:tasks", "integer", "Live tasks that have these labels.", by_label(1),
    label = "*"},
  {"/tasks/labelled-created:tasks", "counter", "Tasks that were given these labels.", by_label(2),
    label = "*"},
  {"/tasks/lifetime:seconds", "histogram", "From the beginning of a task to its end.",
    named_histogram "lifetimes"},
  {"/tasks/wait:seconds", "histogram", "How long tasks were parked, of waits that have ended.",
    function(shard) return shard:waits() end, label = "reason"},
  {"/sched/latencies:seconds", "histogram",
    "From ready to running, of one task in 64.", named_histogram "latencies"},
  {"/sched/turns:turns", "counter", "Rounds of the run loop.", number "turns"},
  {"/sched/polls:polls", "counter", "Looks for completions.", number "polls"},
  {"/sched/parks:parks", "counter", "Times that a task was parked.", number "parks"},
  {"/sched/preemptions:preemptions", "counter",
    "Tasks that computed for a slice and were made to wait.", number "preemptions"},
  {"/sched/overruns:overruns", "counter", "Times that a task could not be preempted.",
    number "overruns"},
  {"/sched/jobs:jobs", "counter", "Jobs begun.", number "jobs"},
  {"/sched/steals:steals", "counter", "Times that jobs were taken from another shard.",
    number "steals"},
  {"/sched/messages:messages", "counter", "Messages sent to other shards.", number "messages"},
  {"/sched/wakes:wakes", "counter", "Sleeping shards that were woken.", number "wakes"},
  {"/sched/stalled:seconds", "float", "For how long a shard has made no progress.", stalled},
  {"/sched/starvations:starvations", "counter",
    "Times that a shard could run and for `starved` got no CPU.", starvations(1)},
  {"/sched/starved:seconds", "float", "How long those lasted.", starvations(2), cumulative = true},
  {"/chan/parks:parks", "counter", "Channel operations and selects that had to wait, and have.",
    of_channels(function(h) return h.count end), label = "operation"},
  {"/chan/wait:seconds", "histogram", "How long they waited.",
    of_channels(function(h) return h end), label = "operation"},
  {"/pool/running:tasks", "integer", "Tasks that workers of pools run, of the shard that reads.",
    of_pools "running", label = "pool"},
  {"/pool/queued:tasks", "integer", "Tasks that wait for a worker, or for room.",
    of_pools("queued", "blocked"), label = "pool"},
  {"/pool/workers:tasks", "integer", "Workers that there are.", of_pools "workers", label = "pool"},
  {"/pool/submitted:tasks", "counter", "Tasks submitted to pools.", of_pools "submitted",
    label = "pool"},
  {"/pool/finished:tasks", "counter", "Tasks of pools that have ended, well or not.",
    of_pools("done", "failed", "cancelled", "lost"), label = "pool"},
  {"/pool/refused:tasks", "counter", "Tasks that a full or closed pool did not take, or dropped.",
    of_pools("rejected", "dropped"), label = "pool"},
  {"/io/operations:operations", "counter", "Operations handed to the kernel.", by_operation,
    label = "operation"},
  {"/io/in-flight:operations", "integer", "Operations that it has not completed.",
    number "in_flight"},
  {"/io/bytes:bytes", "counter", "Bytes of connections.", function(shard)
    return {received = shard.numbers.received, sent = shard.numbers.sent}
  end, label = "direction"},
  {"/io/syscalls:calls", "counter", "System calls that enter the ring.", number "enters"},
  {"/net/connections:connections", "integer", "Open connections.", number "connections"},
  {"/net/classified:messages", "counter",
    "Requests and other messages that servers with `classify` were sent.", function(shard)
      local n = shard.numbers
      return {critical = n.critical, normal = n.normal, background = n.background}
    end, label = "class"},
  {"/net/over-budget:messages", "counter",
    "Those of them that are normal because a `budget` was spent.", number "over budget"},
  {"/net/accept-queue:connections", "integer",
    "Connections that the kernel has for a listener, and nobody has accepted.",
    kernel.listening "queued", label = "listener"},
  {"/net/accept-queue-max:connections", "integer",
    "How many it keeps; more of them have to try again.", kernel.listening "max",
    label = "listener"},
  {"/tcp/connects:connections", "counter", "Connects that have begun (bpf.metrics).",
    kernel.counted "connects"},
  {"/tcp/connects-established:connections", "counter", "Connects that were answered (bpf.metrics).",
    kernel.counted "established"},
  {"/tcp/connects-failed:connections", "counter",
    "Connects that were refused, not answered or given up (bpf.metrics).",
    kernel.counted "failed"},
  {"/tcp/connects-labelled:connections", "counter",
    "Connects that tasks with these labels have begun (bpf.metrics).", kernel.labels, label = "*"},
  {"/tcp/accepts:connections", "counter",
    "Connections of others that have been established (bpf.metrics).", kernel.counted "accepts"},
  {"/tcp/retransmits:segments", "counter", "Segments sent again (bpf.metrics).",
    kernel.counted "retransmits"},
  {"/thread/cpu:seconds", "float", "Processor time of the shard's thread.", kernel.thread(1),
    cumulative = true},
  {"/thread/delay:seconds", "float", "How long it could have run, and waited for a CPU.",
    kernel.thread(2), cumulative = true},
  {"/thread/runs:runs", "counter", "How often it was given a CPU.", kernel.thread(3)},
  {"/thread/runqueue:seconds", "histogram", "How long it waited each time (bpf.metrics).",
    kernel.delays},
  {"/timers/live:timers", "integer", "Pending timeouts, sleeps, timers and tickers.",
    number "timers"},
  {"/gc/heap:bytes", "integer", "Memory of the Lua state.", number "heap"},
  {"/gc/pause:seconds", "histogram",
    "Steps of the collector that the scheduler takes in idle time.", named_histogram "collections"},
  {"/offload/works:jobs", "integer", "Calls on helper threads that are not done.", number "works"},
  {"/offload/threads:threads", "integer", "Helper threads that live.", function()
    return offload.live_threads()
  end, process = true},
  {"/process/cpu:seconds", "float", "Processor time of the process.", os.clock, process = true,
    cumulative = true},
  {"/process/shards:shards", "integer", "Shards of the run.", function()
    local _, size = core.fleet()
    return size or 1
  end, process = true},
}

for _, entry in ipairs(M.list) do
  entry.name, entry.kind, entry.help, entry.read = entry[1], entry[2], entry[3], entry[4]
  entry.cumulative = entry.cumulative or entry.kind == "counter" or entry.kind == "histogram"
  if entry.kind == "counter" then
    entry.kind = "integer"
  end
  entry.unit = entry.name:match(":(.*)$")
end

-- One shard's reading; nil when there is no such shard.
function M.reading(index)
  local numbers = core.measures(index)
  if not numbers then
    return nil
  end
  local waits, sets
  return {
    index = index, numbers = numbers, is_here = index == (core.fleet() or 1),
    labels = function()
      sets = sets or core.labels(index)
      return sets
    end,
    waits = function()
      if not waits then
        waits = core.wait_times(index)
        for _, h in pairs(waits) do
          histogram.of(h)
        end
      end
      return waits
    end,
  }
end

-- The labels of one value of an entry.
function M.labels_of(entry, value)
  if entry.label == "*" then
    return labels.parse(value)
  end
  return {[entry.label] = value}
end

return M
