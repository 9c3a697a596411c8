-- SPDX-License-Identifier: MIT
-- otlp_encode: metrics and spans in the JSON of OTLP 1.0: data points and spans as text, each for
-- itself, and the bodies of requests around them.
--
-- Integers of 64 bits are strings there, enumerations numbers, ids hexadecimal, and numbers that
-- are not finite "NaN" and "Infinity": the JSON of protobuf, but for the ids.

local core = require "ringlet.core"
local gather = require "ringlet.metrics_gather"
local json = require "ringlet.json_write"
local labels = require "ringlet.labels"
local runtime = require "ringlet.metrics_runtime"

local M = {}

local CUMULATIVE = 2
local KINDS = {internal = 1, server = 2, client = 3, producer = 4, consumer = 5}
local STATUS = {unset = 0, ok = 1, error = 2}
local UNITS = {seconds = "s", bytes = "By"}

-- Seconds since the epoch as nanoseconds, in digits.
local function nanoseconds(t)
  local s = math.floor(t)
  return ("%.0f%09.0f"):format(s, math.min(math.floor((t - s) * 1e9), 999999999))
end
M.nanoseconds = nanoseconds

local function double(v)
  if v - v ~= 0 then
    return v ~= v and '"NaN"' or v > 0 and '"Infinity"' or '"-Infinity"'
  end
  return json.number(v)
end

local function any(v)
  local kind = type(v)
  if kind == "boolean" then
    return '{"boolValue":' .. tostring(v) .. "}"
  elseif kind ~= "number" then
    return '{"stringValue":' .. json.string(tostring(v)) .. "}"
  elseif v % 1 == 0 and v > -2 ^ 53 and v < 2 ^ 53 then
    return ('{"intValue":"%.0f"}'):format(v)
  end
  return '{"doubleValue":' .. double(v) .. "}"
end

-- A table of name = value as a list of attributes, in order.
function M.attributes(set)
  local names, out = {}, {}
  for name in pairs(set) do
    names[#names + 1] = name
  end
  table.sort(names)
  for i, name in ipairs(names) do
    out[i] = '{"key":' .. json.string(name) .. ',"value":' .. any(set[name]) .. "}"
  end
  return "[" .. table.concat(out, ",") .. "]"
end

-- ---- metrics ------------------------------------------------------------------------------------

local function point_head(set, times)
  return '{"attributes":' .. M.attributes(set) .. ',"startTimeUnixNano":"' .. times.start
    .. '","timeUnixNano":"' .. times.now .. '"'
end

local function number_point(set, times, v)
  return point_head(set, times) .. ',"asDouble":' .. double(v) .. "}"
end

-- From {bound, count, ..., count=, sum=}. What is counted meanwhile may be in a bucket and not in
-- `count` yet.
local function histogram_point(set, times, h)
  local bounds, counts, seen = {}, {}, 0
  for i = 1, #h, 2 do
    bounds[#bounds + 1] = double(h[i])
    counts[#counts + 1] = ('"%.0f"'):format(h[i + 1])
    seen = seen + h[i + 1]
  end
  local count = math.max(seen, h.count)
  counts[#counts + 1] = ('"%.0f"'):format(count - seen)
  return ('%s,"count":"%.0f","sum":%s,"bucketCounts":[%s],"explicitBounds":[%s]}'):format(
    point_head(set, times), count, double(h.sum), table.concat(counts, ","),
    table.concat(bounds, ","))
end

local HEADS = {
  gauge = '"gauge":{"dataPoints":[',
  counter = ('"sum":{"aggregationTemporality":%d,"isMonotonic":true,"dataPoints":['):format(
    CUMULATIVE),
  histogram = ('"histogram":{"aggregationTemporality":%d,"dataPoints":['):format(CUMULATIVE),
}

local function head_of(name, about, kind)
  local head = '{"name":' .. json.string(name) .. ',"description":' .. json.string(about.help or "")
  local unit = about.unit or ""
  return ('%s,"unit":%s,%s'):format(head, json.string(UNITS[unit] or unit), HEADS[kind])
end

local function add(points, head, kind, set, times, v)
  local text = kind == "histogram" and histogram_point(set, times, v) or number_point(set, times, v)
  points[#points + 1] = {head, text}
end

local function kind_of(entry)
  return entry.kind == "histogram" and "histogram" or entry.cumulative and "counter" or "gauge"
end

local function set_of(entry, shard, text)
  local set = text and runtime.labels_of(entry, text) or {}
  if not entry.process then
    set["ringlet.shard"] = shard.index
  end
  return set
end

local function add_entry(points, entry, shard, times)
  local kind = kind_of(entry)
  local name = "ringlet" .. entry.name:match "^[^:]+":gsub("/", ".")
  local head = head_of(name, entry, kind)
  local value = entry.read(shard)
  if value == nil then
    return
  end
  for text, v in pairs(entry.label and value or {[false] = value}) do
    add(points, head, kind, set_of(entry, shard, text),
      times, kind == "histogram" and gather.brief(v) or v)
  end
end

-- All metrics as a list of data points: {head of their metric, text}.
function M.points(started, pace)
  local times = {start = nanoseconds(started), now = nanoseconds(core.time())}
  local points, readings = {}, gather.readings()
  for _, entry in ipairs(runtime.list) do
    for i = 1, entry.process and 1 or #readings do
      add_entry(points, entry, readings[i], times)
      gather.rest(pace)
    end
  end
  for _, f in ipairs(gather.series(pace)) do
    local head = head_of(f.about.name, f.about, f.about.kind)
    for i = 1, f.n do
      add(points, head, f.about.kind, labels.parse(f.sets[i]), times, f.values[i])
      if i % 32 == 0 then
        gather.rest(pace)
      end
    end
  end
  return points
end

local function around(resource, signal, scope, list)
  return ('{"resource%s":[{"resource":{"attributes":%s},"scope%s":[{"scope":{"name":"ringlet"},'
    .. '"%s":[%s]}]}]}'):format(signal, resource, signal, scope, list)
end

-- The body of a request with data points: those of one metric follow each other.
function M.metrics_body(resource, points)
  local out, open = {}, nil
  for i, point in ipairs(points) do
    if point[1] ~= open then
      out[#out + 1] = (i > 1 and "]}}," or "") .. point[1]
      open = point[1]
    else
      out[#out + 1] = ","
    end
    out[#out + 1] = point[2]
  end
  if open then
    out[#out + 1] = "]}}"
  end
  return around(resource, "Metrics", "metrics", table.concat(out))
end

-- ---- spans --------------------------------------------------------------------------------------

local function event_text(event)
  return ('{"timeUnixNano":"%s","name":%s,"attributes":%s}'):format(event.time or "0",
    json.string(event.name), M.attributes(event.attributes or {}))
end

-- A span that has ended, as text.
function M.span(span)
  local events = {}
  for i, event in ipairs(span.events or {}) do
    events[i] = event_text(event)
  end
  local status = ('{"code":%d'):format(STATUS[span.status] or 0)
  if span.message then
    status = status .. ',"message":' .. json.string(span.message)
  end
  return ('{"traceId":"%s","spanId":"%s",%s%s"name":%s,"kind":%d,"startTimeUnixNano":"%s",'
    .. '"endTimeUnixNano":"%s","attributes":%s,"events":[%s],"status":%s}'):format(
    span.trace_id, span.span_id,
    span.parent_id and ('"parentSpanId":"%s",'):format(span.parent_id) or "",
    span.state and ('"traceState":%s,'):format(json.string(span.state)) or "",
    json.string(span.name), KINDS[span.kind] or 1, span.start, span.finish_time,
    M.attributes(span.attributes or {}), table.concat(events, ","), status .. "}")
end

-- The body of a request with spans.
function M.spans_body(resource, spans)
  return around(resource, "Spans", "spans", table.concat(spans, ","))
end

return M
