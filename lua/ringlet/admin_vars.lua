-- SPDX-License-Identifier: MIT
-- admin_vars: all metrics as a table, for the live page and for `ringlet top`.
--
-- What the runtime measures is told summed and for each shard; the program's own is summed over the
-- shards, and cut where there is too much of it. Work is done in slices, between which other tasks
-- have their turn.

local core = require "ringlet.core"
local gather = require "ringlet.metrics_gather"
local health = require "ringlet.health"
local histogram = require "ringlet.metrics_histogram"
local json = require "ringlet.json_write"
local labels = require "ringlet.labels"
local runtime = require "ringlet.metrics_runtime"
local time = require "ringlet.time"

local M = {}

-- Series of a family, and sets of tasks' labels, that are told at most.
local SERIES, SETS = 1000, 200

-- A function to call now and then.
function M.breather()
  local pace = gather.pace()
  return function()
    gather.rest(pace)
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
    for k, v in pairs(entry.read(shard) or {}) do
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
    for text, v in pairs(entry.read(shard) or {}) do
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
    if v == nil then
      return nil
    end
    shards[i] = told(v)
    sum = plus(sum, v)
    if entry.process then
      return {sum = told(v)}
    end
  end
  return {sum = told(sum, true), shards = shards}
end

local function of_runtime(breathe)
  local readings, out = gather.readings(), {}
  for _, entry in ipairs(runtime.list) do
    local read = entry.label == "*" and by_set or entry.label and with_label or plain
    local about = read(entry, readings)
    if about then
      about.kind, about.unit, about.cumulative = entry.kind, entry.unit, entry.cumulative or false
      out[entry.name] = about
    end
    breathe()
  end
  return out, #readings
end

-- ---- the program's own --------------------------------------------------------------------------

local function of_user()
  local list = json.list()
  for i, f in ipairs(gather.series(gather.pace())) do
    local series, about = json.list(), f.about
    for k = 1, math.min(f.n, SERIES) do
      local value = f.values[k]
      if type(value) == "table" then
        value = {count = value.count, sum = value.sum}
      end
      series[k] = {labels = labels.parse(f.sets[k]), value = value}
    end
    list[i] = {name = about.name, kind = about.kind, help = about.help, series = series,
      more = f.n - #series}
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
    ready = ready == true, why = why, metrics = metrics, user = of_user(),
  }
end

return M
