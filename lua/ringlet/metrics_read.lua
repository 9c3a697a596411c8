-- SPDX-License-Identifier: MIT
-- metrics_read: readings of what the runtime and the program measure.
--
-- Nothing here asks a shard: each publishes its numbers where any other may read them
-- (src/rt/measure.h), so one that is stuck is read like the rest, and none is made to wait.
--
-- Invariant: of one reading, the numbers of a shard are of one moment: created - finished = live =
-- running + runnable + waiting.

--- Reading.
-- @module ringlet.metrics

local core = require "ringlet.core"
local histogram = require "ringlet.metrics_histogram"
local labels = require "ringlet.labels"
local runtime = require "ringlet.metrics_runtime"

local M = {}

-- name, and name without its unit -> entry
local entries = {}
for _, entry in ipairs(runtime.list) do
  entries[entry.name] = entry
  entries[entry.name:match("^[^:]+")] = entry
end

--- What `metrics.read` found: `reading[name]` is a number, or a histogram; nil if nothing of that
-- name was counted.
-- @type reading
local Snapshot = {__name = "ringlet.metrics.reading"}
Snapshot.__index = Snapshot

local function plus(a, b)
  if a == nil then
    return type(b) == "table" and histogram.new():add_(b) or b
  elseif type(b) == "table" then
    return a:add_(b)
  end
  return a + b
end

-- One family of a reading: what it is, and a list of {labels, shard, value}.
local function family(snap, name, about)
  local f = snap.found_[name]
  if not f then
    f = {about = about, series = {}}
    snap.found_[name] = f
    snap.order_[#snap.order_ + 1] = name
  end
  return f
end

local function put(f, set, shard, value)
  f.series[#f.series + 1] = {labels = set, shard = shard, value = value}
end

local function put_entry(snap, name, entry, shard)
  local value = entry.read(shard)
  if value == nil then
    return
  end
  local f = family(snap, name, entry)
  if not entry.label then
    put(f, {}, not entry.process and shard.index or nil, value)
    return
  end
  for set, v in pairs(value) do
    put(f, runtime.labels_of(entry, set), shard.index, v)
  end
end

-- The numbers of the program's own that one shard has.
local function put_user(snap, wanted, index)
  local parsed = {}
  local at, meta, set, value = core.next_series(index, nil)
  while at do
    local about = parsed[meta] or labels.parse(meta)
    parsed[meta] = about
    if not wanted or wanted[about.name] then
      value = about.kind == "histogram" and histogram.of(value) or value
      put(family(snap, about.name, about), set, index, value)
    end
    at, meta, set, value = core.next_series(index, at)
  end
end

local function sum_up(snap)
  for name, f in pairs(snap.found_) do
    local sum = #f.series == 0 and (f.about.kind == "histogram" and histogram.new() or 0) or nil
    for _, s in ipairs(f.series) do
      sum = plus(sum, s.value)
    end
    snap[name] = sum
  end
  return snap
end

local function wanted_of(names)
  if names == nil then
    return nil
  elseif type(names) ~= "table" then
    error("a list of names expected, got " .. type(names), 3)
  end
  local wanted = {}
  for _, name in ipairs(names) do
    if type(name) ~= "string" then
      error("the name of a metric is a string, not " .. type(name), 3)
    elseif name:sub(1, 1) == "/" and not entries[name] then
      error(("there is no metric '%s': see metrics.all"):format(name), 3)
    end
    wanted[name] = true
  end
  return wanted
end

local function put_shard(snap, wanted, index)
  local shard = runtime.reading(index)
  if not shard then
    return
  end
  snap.shards[#snap.shards + 1] = index
  for _, entry in ipairs(runtime.list) do
    if not entry.process or index == snap.shards[1] then
      local short = entry.name:match("^[^:]+")
      if not wanted or wanted[entry.name] then
        put_entry(snap, entry.name, entry, shard)
      end
      if wanted and wanted[short] and short ~= entry.name then
        put_entry(snap, short, entry, shard)
      end
    end
  end
  put_user(snap, wanted, index)
end

local function take(wanted, only)
  local snap = setmetatable({shards = {}, found_ = {}, order_ = {}, wanted_ = wanted}, Snapshot)
  if only then
    put_shard(snap, wanted, only)
    return sum_up(snap)
  end
  local _, size = core.fleet()
  for index = 1, size or 1 do
    put_shard(snap, wanted, index)
  end
  return sum_up(snap)
end

--- Read metrics, of all shards together. It makes nobody wait, and no shard.
--
-- Of each shard it is what that published last: before it slept, else at most about a millisecond
-- ago, or what was so when the task that runs there began, if that computes for longer. Of the
-- calling shard it is what is so now.
-- @tparam[opt] {string,...} names of what is wanted, those of the runtime with or without the unit;
-- all without it
-- @treturn reading
-- @raise when there is no such metric of the runtime
-- @source the package runtime/metrics of Go
function M.read(names)
  return take(wanted_of(names))
end

--- What one shard of them has.
-- @tparam integer index the shard's number, from 1
-- @treturn ?reading a fresh reading of the same names; nil if there is no such shard
function Snapshot:shard(index)
  local snap = take(self.wanted_, index)
  return snap.shards[1] and snap or nil
end

--- All numbers of one name: by label and by shard.
-- @tparam string name
-- @treturn {table,...} of {labels= a table, shard= its number or nil for the process, value=}
function Snapshot:series(name)
  local f = self.found_[name]
  local list = f and f.series or {}
  for _, s in ipairs(list) do
    if type(s.labels) == "string" then -- of the program's own there may be many: not before
      s.labels = labels.parse(s.labels)
    end
  end
  return list
end

--- What kind a metric is.
-- @tparam string name
-- @treturn ?string "integer", "float", "histogram", or of your own "counter", "gauge", "histogram"
function Snapshot:kind(name)
  local f = self.found_[name]
  return f and f.about.kind
end

--- The names that were found, those of the runtime first.
-- @treturn {string,...}
function Snapshot:names()
  local out = {}
  for i, name in ipairs(self.order_) do
    out[i] = name
  end
  return out
end

-- What is known of a name: help, unit, kind, cumulative.
function Snapshot:about_(name)
  local f = self.found_[name]
  return f and f.about
end

function Snapshot:__tostring()
  return ("ringlet.metrics.reading: %d metrics of %d shards"):format(#self.order_, #self.shards)
end

--- What the runtime measures.
-- @treturn {table,...} of {name=, kind= "integer", "float" or "histogram", unit=, help=,
-- cumulative= whether it only grows, label= the name of its label, "*" for those of tasks, or nil}
function M.all()
  local out = {}
  for i, entry in ipairs(runtime.list) do
    out[i] = {name = entry.name, kind = entry.kind, unit = entry.unit, help = entry.help,
      cumulative = entry.cumulative, label = entry.label}
  end
  return out
end

return M
