-- SPDX-License-Identifier: MIT
-- bpf_metrics: what the kernel does for this process: connections, counted exactly, and how long
-- each shard's thread waits for a CPU each time. bpf/metrics.bpf.c counts; this reads its memory.
--
-- Invariants: an open one is a source of `metrics_kernel`, so what it counts is in
-- `ringlet.metrics` too; a closed one has nothing attached, and no shard notes sockets for it.
-- Offsets and sizes are those of bpf/metrics_types.h.

--- Count in the kernel.
-- @module ringlet.bpf
-- @section Metrics

local bpf_fail = require "ringlet.bpf_fail"
local core = require "ringlet.core"
local found = require "ringlet.bpf_library"
local histogram = require "ringlet.metrics_histogram"
local kernel = require "ringlet.metrics_kernel"
local options = require "ringlet.options"

local M = {}

local SHARDS_MAX = 64
local GENERATION, WITH_PIDS, WITH_CGROUP = 4, 8, 12    -- words of struct metrics
local COUNTS, COUNTS_SIZE = 16, 40                     -- where its lists of counts begin
local UNDER, OVER, SUM, BUCKETS = 0, 8, 16, 24         -- of struct delays
local BUCKETS_LEN = 40 * 32
local LISTENING = 3                                    -- enum role

-- What of struct counts is called what here, in its order, and which name it is counted for.
local FIELDS = {
  {"begun", "connects", "tcp_connect"}, {"established", "established", "tcp_connect"},
  {"failed", "failed", "tcp_connect"}, {"accepted", "accepts", "tcp_accept"},
  {"retransmits", "retransmits", "retransmit"},
}

-- The programs that count something.
local PROGRAMS = {
  tcp_connect = {"on_state"}, tcp_accept = {"on_state"}, retransmit = {"on_state", "on_retransmit"},
  runqlat = {"on_wakeup", "on_wakeup_new", "on_switch"},
}

--- What the kernel counts for this process, from `bpf.metrics`.
-- @type bpf_metrics
local Metrics = {__name = "ringlet.bpf.metrics"}
Metrics.__index = Metrics

-- ---- memory of the programs ---------------------------------------------------------------------

-- Of struct counts as a table: those that were asked for.
local function named(self, counts)
  local out = {}
  for _, field in ipairs(FIELDS) do
    if self.wanted[field[3]] then
      out[field[2]] = counts[field[1]]
    end
  end
  return out
end

-- The counts of a shard; 0: of no shard, SHARDS_MAX + 1: of the cgroup.
local function counts_at(self, index)
  local counts, at = {}, COUNTS + index * COUNTS_SIZE
  for i, field in ipairs(FIELDS) do
    counts[field[1]] = self.area:u64(at + 8 * (i - 1))
  end
  return counts
end

local function delays_at(self, index)
  local at, area = self.delays:offset(index), self.delays
  local h = histogram.new()
  h.under, h.over = area:u64(at + UNDER), area:u64(at + OVER)
  h.count, h.sum = h.under + h.over, area:u64(at + SUM) / 1e9
  for i = 1, BUCKETS_LEN do
    local n = area:u64(at + BUCKETS + 8 * (i - 1))
    if n > 0 then
      h[i], h.count = n, h.count + n
    end
  end
  return h
end

local function own_index()
  return core.fleet() or 1
end

local function counts_connections(self)
  return self.wanted.tcp_connect or self.wanted.tcp_accept or self.wanted.retransmit
end

-- ---- as a source of ringlet.metrics -------------------------------------------------------------

-- What threads do that are no shard's counts for the shard that reads.
function Metrics:shard_(index)
  if not counts_connections(self) or index > SHARDS_MAX then
    return nil
  end
  local counts = counts_at(self, index)
  if index == own_index() then
    for key, n in pairs(counts_at(self, 0)) do
      counts[key] = counts[key] + n
    end
  end
  return named(self, counts)
end

function Metrics:delays_(index)
  return self.wanted.runqlat and index <= SHARDS_MAX and delays_at(self, index) or nil
end

-- Sums by the labels that tasks had when they began to connect.
local function by_labels(self, index, give)
  local names, out = core.label_numbers(index), {}
  for key, counts in self.object:map "labels":iter() do
    local text = key.shard == index and names[key.label]
    if text then
      out[text] = give(counts)
    end
  end
  return out
end

function Metrics:labels_(index)
  return self.wanted.tcp_connect and by_labels(self, index, function(counts)
    return counts.begun
  end) or nil
end

-- The threads that are shards now. Programs look up again what they knew of threads.
function Metrics:sync_()
  local shards, changed = self.object:map "shards", false
  local _, size = core.fleet()
  for index = 1, SHARDS_MAX do
    local numbers = index <= (size or 1) and core.measures(index)
    local tid = numbers and numbers.tid or nil
    local had = self.tids[index]
    if tid ~= had then
      if had then
        shards:delete(had)
      end
      self.tids[index], changed = tid, true
    end
  end
  if not changed then
    return
  end
  for index, tid in pairs(self.tids) do
    shards:set(tid, index)
  end
  self.area:u32(GENERATION, (self.area:u32(GENERATION) + 1) % 2 ^ 32)
end

-- ---- public -------------------------------------------------------------------------------------

local CLOSED = "ECLOSED: the metrics are closed"

local function shard_of(self, index)
  local shard = counts_connections(self) and named(self, counts_at(self, index)) or {}
  shard.runqueue = self.wanted.runqlat and delays_at(self, index) or nil
  return shard
end

local function add(into, from)
  for key, v in pairs(from) do
    if type(v) == "table" then
      into[key] = (into[key] or histogram.new()):add_(v)
    else
      into[key] = (into[key] or 0) + v
    end
  end
end

local function shards_of(self, reading)
  local shards = {}
  for index in pairs(self.seen) do
    shards[index] = shard_of(self, index)
    add(reading, shards[index])
  end
  return shards
end

local function tasks_of(self)
  local list = {}
  for key, counts in self.object:map "tasks":iter() do
    local about = named(self, counts)
    about.shard, about.id = key.shard, key.task
    list[#list + 1] = about
  end
  table.sort(list, function(a, b)
    return a.shard < b.shard or a.shard == b.shard and a.id < b.id
  end)
  return list
end

local function labels_of(self)
  local out = {}
  for index in pairs(self.seen) do
    for text, counts in pairs(by_labels(self, index, function(c) return named(self, c) end)) do
      out[text] = out[text] or {}
      add(out[text], counts)
    end
  end
  return out
end

local function processes_of(self)
  local out = {}
  for _, pid in ipairs(self.pids) do
    local counts = self.object:map "pids":get(pid)
    out[pid] = counts and named(self, counts)
  end
  return out
end

--- What has been counted since it was made.
-- @treturn bpf_reading a new table
-- @tfield[bpf_reading] ?integer connects that have begun: a SYN was sent, or should have been
-- @tfield[bpf_reading] ?integer established of them, those that were answered
-- @tfield[bpf_reading] ?integer failed of them, those that were refused, not answered, or given up
-- @tfield[bpf_reading] ?integer accepts connections of others that were established
-- @tfield[bpf_reading] ?integer retransmits segments sent again, of connections that are counted
-- @tfield[bpf_reading] ?table runqueue histogram of seconds that shards' threads waited for a CPU
-- @tfield[bpf_reading] table shards the same by number of the shard
-- @tfield[bpf_reading] table other the same of threads that are no shard's, without `runqueue`; in
-- the sums above
-- @tfield[bpf_reading] table tasks list of the same with `shard` and `id`, of up to 4096 tasks, the
-- last to connect
-- @tfield[bpf_reading] table labels the same by set of labels of tasks, as text
-- @tfield[bpf_reading] table processes the same by number of those of `pids`; not in the sums
-- @tfield[bpf_reading] ?table cgroup the same of `cgroup`; not in the sums
-- @fails "ECLOSED"
function Metrics:read()
  if self.closed then
    return nil, CLOSED, "ECLOSED"
  end
  self:sync_()
  for index in pairs(self.tids) do
    self.seen[index] = true
  end
  local reading = {}
  local shards = shards_of(self, reading)
  reading.shards = shards
  local other = counts_connections(self) and named(self, counts_at(self, 0)) or {}
  add(reading, other)
  reading.other, reading.tasks, reading.labels = other, tasks_of(self), labels_of(self)
  reading.processes = processes_of(self)
  if self.cgroup then
    reading.cgroup = named(self, counts_at(self, SHARDS_MAX + 1))
  end
  return reading
end

--- What counting costs: of each program, how often the kernel has run it and for how long, from the
-- first `stats` on.
-- @treturn {[string]=bpf_cost} a new table, by name of the program
-- @tfield[bpf_cost] integer runs
-- @tfield[bpf_cost] number ns in all of them
-- @fails "ECLOSED"; "EPERM"
-- @source bpf(2), BPF_ENABLE_STATS
function Metrics:stats()
  if self.closed then
    return nil, CLOSED, "ECLOSED"
  end
  local out = {}
  for _, name in ipairs(self.programs) do
    local stats, msg, code = self.object:program(name):stats()
    if not stats then
      return nil, msg, code
    end
    out[name] = {runs = stats.runs, ns = stats.ns}
  end
  return out
end

--- Detach everything. What was counted is gone from `ringlet.metrics`. Idempotent.
-- @treturn true
function Metrics:close()
  if not self.closed then
    self.closed = true
    kernel.remove(self)
    self.object:close()
    self.area:close()
    self.delays:close()
  end
  return true
end

Metrics.__close = Metrics.close

function Metrics:__tostring()
  return ("%s: %s%s"):format(Metrics.__name, table.concat(self.names, ", "),
    self.closed and ", closed" or "")
end

-- ---- making -------------------------------------------------------------------------------------

local KNOWN = {pids = "table", cgroup = "string"}

-- What is wanted, in order; the rest are options.
local function check(list, level)
  if type(list) ~= "table" then
    error("a list of names expected, got " .. type(list), level + 1)
  end
  local names, wanted, opts = {}, {}, {}
  for i, name in ipairs(list) do
    if not PROGRAMS[name] then
      error(("there is no '%s': tcp_connect, tcp_accept, retransmit, runqlat"):format(
        tostring(name)), level + 1)
    end
    names[i], wanted[name] = name, true
  end
  if not names[1] then
    error("what is to be counted? tcp_connect, tcp_accept, retransmit, runqlat", level + 1)
  end
  for key, v in pairs(list) do
    if type(key) ~= "number" then
      opts[key] = v
    end
  end
  options.check(opts, KNOWN, level + 1)
  for _, pid in ipairs(opts.pids or {}) do
    if type(pid) ~= "number" or pid < 1 or pid % 1 ~= 0 then
      error("option 'pids' must be a list of numbers of processes", level + 1)
    end
  end
  return names, wanted, opts
end

local function programs_of(wanted)
  local list, has = {}, {}
  for what in pairs(wanted) do
    for _, name in ipairs(PROGRAMS[what]) do
      if not has[name] then
        has[name] = true
        list[#list + 1] = name
      end
    end
  end
  table.sort(list)
  return list
end

-- Whom to look at, but for this process.
local function watch_others(self, opts)
  for _, pid in ipairs(self.pids) do
    local zero = {begun = 0, established = 0, failed = 0, accepted = 0, retransmits = 0}
    local ok, msg, code = self.object:map "pids":set(pid, zero)
    if not ok then
      return nil, msg, code
    end
  end
  self.area:u32(WITH_PIDS, self.pids[1] and 1 or 0)
  if opts.cgroup then
    local fd, code = found.library.open_cgroup(opts.cgroup)
    if not fd then
      return bpf_fail.give(code, "opening the cgroup " .. opts.cgroup)
    end
    local ok, msg, name = self.object:map "cgroups":set(0, fd)
    found.library.close_fd(fd)
    if not ok then
      return nil, msg, name
    end
    self.cgroup = opts.cgroup
    self.area:u32(WITH_CGROUP, 1)
  end
  return true
end

-- Sockets that listen already: what is connected to them inherits their notes.
local function note_listeners(self)
  local notes = self.object:map "notes"
  for index in pairs(self.tids) do
    for _, socket in ipairs(core.listening(index)) do
      notes:set(socket.fd, {task = 0, shard = index, label = 0, role = LISTENING, pid = 0})
    end
  end
end

local function attach_all(self)
  for _, name in ipairs(self.programs) do
    local link, msg, code = self.object:attach(name)
    if not link then
      return nil, msg, code
    end
  end
  return true
end

local function begin(self, opts)
  local msg, code, ok
  self.area, msg, code = self.object:map "metrics.bss":mmap()
  if self.area then
    self.delays, msg, code = self.object:map "delays":mmap()
  end
  if not self.delays then
    return nil, msg, code
  end
  ok, msg, code = self.object:program "enrol":run()
  if not ok then
    return nil, msg, code
  end
  ok, msg, code = watch_others(self, opts)
  if not ok then
    return nil, msg, code
  end
  self:sync_()
  if counts_connections(self) then
    note_listeners(self)
  end
  return attach_all(self)
end

--- Count in the kernel, from now on until `close`: for this process, in `ringlet.metrics` as well.
-- A list of what: "tcp_connect", "tcp_accept", "retransmit", "runqlat".
-- @tparam table list of those names, and options
-- @tparam[opt] {integer,...} list.pids numbers of other processes whose connections are counted
-- @tparam[opt] string list.cgroup path of a cgroup whose processes' connections are
-- @treturn bpf_metrics
-- @fails "EPERM" without CAP_BPF and CAP_PERFMON; what needs none is in `ringlet.metrics` anyway;
-- "ENOSYS" without libbpf; "EINVAL" when this kernel lacks something; "ENOENT" no such cgroup
-- @raise on an unknown name
-- @source include/trace/events/sock.h and sched.h of Linux; runqlat(8) of bcc, by B. Gregg
-- @usage local m = assert(bpf.metrics {"tcp_connect", "runqlat"})
function M.new(list)
  local names, wanted, opts = check(list, 2)
  if not found.library then
    return found.fail()
  end
  local self = setmetatable({names = names, wanted = wanted, programs = programs_of(wanted),
    pids = opts.pids or {}, tids = {}, seen = {}}, Metrics)
  local chosen = {"enrol"}
  for i, name in ipairs(self.programs) do
    chosen[i + 1] = name
  end
  local ok, msg, code
  self.object, msg, code = require "ringlet.bpf_object".load(found.library.object "metrics",
    {programs = chosen, name = "metrics"})
  if not self.object then
    return nil, msg, code
  end
  ok, msg, code = begin(self, opts)
  if not ok then
    self.object:close()
    return nil, msg, code
  end
  if self.wanted.tcp_connect or self.wanted.retransmit then
    self.notes_fd = self.object:map "notes":fd()
  end
  kernel.add(self)
  return self
end

return M
