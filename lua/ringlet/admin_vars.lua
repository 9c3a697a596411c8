-- SPDX-License-Identifier: MIT
-- admin_vars: all metrics as a table, for the live page and for `ringlet top`.
--
-- What the runtime measures is told summed and for each shard; the program's own is summed over the
-- shards, and cut where there is too much of it. Work is done in slices, between which other tasks
-- have their turn.

local core = require "ringlet.core"
local health = require "ringlet.health"
local histogram = require "ringlet.metrics_histogram"
local json = require "ringlet.admin_json"
local labels = require "ringlet.labels"
local runtime = require "ringlet.metrics_runtime"
local time = require "ringlet.time"

local M = {}

-- Seconds of work between two turns; series read at once; series, and sets of tasks' labels, that
-- are told at most.
local SLICE, BATCH, SERIES, SETS = 0.0005, 128, 1000, 200

-- A function to call now and then.
function M.breather()
  local due = core.now() + SLICE
  return function()
    if core.now() >= due then
      time.yield()
      due = core.now() + SLICE
    end
  end
end

-- ---- the runtime's ------------------------------------------------------------------------------

-- `buckets`: {end of a bucket, how many, ...}, from which readers make quantiles of a time.
local function brief(h, with_buckets)
  local buckets
  if with_buckets then
    buckets = json.list()
    for _, b in ipairs(h:buckets()) do
      buckets[#buckets + 1] = b.to
      buckets[#buckets + 1] = b.count
    end
  end
  return {count = h.count, sum = h.sum, p50 = h:quantile(0.5), p90 = h:quantile(0.9),
    p99 = h:quantile(0.99), max = h:max(), buckets = buckets}
end

local function plus(a, b)
  if type(b) == "table" then
    return (a or histogram.new()):add_(b)
  end
  return (a or 0) + b
end

local function told(v, with_buckets)
  return type(v) == "table" and brief(v, with_buckets) or v
end

-- Values by label: for each shard, and summed.
local function with_label(entry, readings)
  local sum, shards = {}, json.list()
  for i, shard in ipairs(readings) do
    local own = {}
    for k, v in pairs(entry.read(shard)) do
      own[k], sum[k] = told(v), plus(sum[k], v)
    end
    shards[i] = own
  end
  for k, v in pairs(sum) do
    sum[k] = told(v)
  end
  return {sum = sum, shards = shards, label = entry.label}
end

local function by_value(a, b)
  if a.value ~= b.value then
    return a.value > b.value
  end
  return a.text < b.text
end

-- Tasks by their labels: the most numerous sets.
local function by_set(entry, readings)
  local sum, list = {}, json.list()
  for _, shard in ipairs(readings) do
    for text, v in pairs(entry.read(shard)) do
      sum[text] = (sum[text] or 0) + v
    end
  end
  for text, v in pairs(sum) do
    if v > 0 then
      list[#list + 1] = {labels = labels.parse(text), value = v, text = text}
    end
  end
  table.sort(list, by_value)
  local more = math.max(#list - SETS, 0)
  for i = #list, SETS + 1, -1 do
    list[i] = nil
  end
  for _, set in ipairs(list) do
    set.text = nil
  end
  return {series = list, more = more, label = "*"}
end

local function plain(entry, readings)
  local sum, shards = nil, json.list()
  for i, shard in ipairs(readings) do
    local v = entry.read(shard)
    shards[i] = told(v)
    sum = plus(sum, v)
    if entry.process then
      return {sum = told(v)}
    end
  end
  return {sum = told(sum, true), shards = shards}
end

local function of_runtime(breathe)
  local readings, out = {}, {}
  local _, size = core.fleet()
  for index = 1, size or 1 do
    readings[#readings + 1] = runtime.reading(index)
  end
  for _, entry in ipairs(runtime.list) do
    local read = entry.label == "*" and by_set or entry.label and with_label or plain
    local about = read(entry, readings)
    about.kind, about.unit, about.cumulative = entry.kind, entry.unit, entry.cumulative or false
    out[entry.name] = about
    breathe()
  end
  return out, #readings
end

-- ---- the program's own --------------------------------------------------------------------------

local function family_of(found, meta)
  local f = found[meta]
  if not f then
    local about = labels.parse(meta)
    f = {name = about.name, kind = about.kind, help = about.help, sets = {}, n = 0, more = 0}
    found[meta] = f
    found[#found + 1] = f
  end
  return f
end

local function add(f, set, value)
  if type(value) == "table" then
    value = {count = value.count, sum = value.sum}
  end
  local had = f.sets[set]
  if had == nil and f.n >= SERIES then
    f.more = f.more + 1
  elseif had == nil then
    f.n, f.sets[set] = f.n + 1, value
  elseif type(had) == "table" then
    had.count, had.sum = had.count + value.count, had.sum + value.sum
  else
    f.sets[set] = had + value
  end
end

local function of_user(breathe)
  local found, batch = {}, {}
  local _, size = core.fleet()
  for index = 1, size or 1 do
    local at, n
    repeat
      at, n = core.series_batch(index, at, BATCH, batch)
      for i = 1, 3 * n, 3 do
        add(family_of(found, batch[i]), batch[i + 1], batch[i + 2])
      end
      breathe()
    until not at
  end
  local list = json.list()
  for i, f in ipairs(found) do
    local series = json.list()
    for set, value in pairs(f.sets) do
      series[#series + 1] = {labels = labels.parse(set), value = value}
    end
    list[i] = {name = f.name, kind = f.kind, help = f.help, series = series, more = f.more}
  end
  return list
end

-- ---- public -------------------------------------------------------------------------------------

--- Everything, to be written as JSON. docs/guide/admin.md has the fields.
-- @parks between slices
function M.read()
  local breathe = M.breather()
  local metrics, shards = of_runtime(breathe)
  local ready, why = health.ready()
  return {
    at = time.time(), now = core.now(), pid = core.pid(), shards = shards,
    ready = ready == true, why = why, metrics = metrics, user = of_user(breathe),
  }
end

return M
