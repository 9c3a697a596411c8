-- SPDX-License-Identifier: MIT
-- A strict reader of Chrome trace events: what the format asks of each event, that slices of a
-- track nest, that every async slice and every flow has both its ends. Gives the events by phase.

local M = {}

local function fail(event, what)
  local parts = {}
  for k, v in pairs(event) do
    parts[#parts + 1] = tostring(k) .. "=" .. tostring(v)
  end
  error(what .. ": {" .. table.concat(parts, ", ") .. "}", 0)
end

local COMMON = {ph = "string", pid = "number", tid = "number", ts = "number", name = "string"}
local FIELDS = {
  X = {dur = "number", cat = "string", args = "table"},
  i = {s = "string", cat = "string", args = "table"},
  C = {args = "table"},
  M = {args = "table"},
  b = {cat = "string", id = "string", args = "table"},
  e = {cat = "string", id = "string", args = "table"},
  s = {cat = "string", id = "number"},
  f = {cat = "string", id = "number", bp = "string"},
}

local function check_fields(event)
  local own = FIELDS[event.ph]
  if not own then
    fail(event, "no such phase")
  end
  for name, kind in pairs(COMMON) do
    if type(event[name]) ~= kind then
      fail(event, name .. " must be a " .. kind)
    end
  end
  for name, kind in pairs(own) do
    if type(event[name]) ~= kind then
      fail(event, name .. " must be a " .. kind)
    end
  end
  for name in pairs(event) do
    if not COMMON[name] and not own[name] then
      fail(event, "no field " .. name .. " here")
    end
  end
  if event.ts < 0 or event.ts ~= event.ts or (event.dur or 0) < 0 then
    fail(event, "a time below 0")
  end
end

local META = {process_name = "string", thread_name = "string", thread_sort_index = "number"}

local function check_values(event)
  if event.ph == "M" then
    local kind = META[event.name]
    if not kind or type(event.args.name or event.args.sort_index) ~= kind then
      fail(event, "no such metadata")
    end
  elseif event.ph == "C" then
    for _, v in pairs(event.args) do
      if type(v) ~= "number" then
        fail(event, "a counter that is no number")
      end
    end
  elseif event.ph == "i" and not ({t = true, p = true, g = true})[event.s] then
    fail(event, "no such scope")
  elseif event.ph == "f" and event.bp ~= "e" then
    fail(event, "binds to nothing")
  end
end

-- Slices of one track lie within each other or apart; times are rounded to a nanosecond.
local function check_nesting(slices)
  table.sort(slices, function(a, b)
    if a.ts ~= b.ts then
      return a.ts < b.ts
    end
    return a.dur > b.dur
  end)
  local open = {}
  for _, slice in ipairs(slices) do
    while open[1] and open[#open].ts + open[#open].dur <= slice.ts + 0.002 do
      open[#open] = nil
    end
    local outer = open[#open]
    if outer and slice.ts + slice.dur > outer.ts + outer.dur + 0.002 then
      fail(slice, "ends after the slice it is in")
    end
    open[#open + 1] = slice
  end
end

-- Beginnings and ends of one id, in the order of the file, are nested as brackets are.
local function check_async(events)
  local open = {}
  for _, event in ipairs(events) do
    local key = event.cat .. "\0" .. event.id
    local stack = open[key] or {}
    open[key] = stack
    if event.ph == "b" then
      stack[#stack + 1] = event
    else
      local begun = table.remove(stack)
      if not begun or begun.name ~= event.name or begun.ts > event.ts then
        fail(event, "an end without its beginning")
      end
    end
  end
  for _, stack in pairs(open) do
    if stack[1] then
      fail(stack[1], "a beginning without an end")
    end
  end
end

local function check_flows(events, slices)
  local begun = {}
  for _, event in ipairs(events) do
    local key = event.cat .. "\0" .. event.id
    if event.ph == "s" then
      if begun[key] then
        fail(event, "begun twice")
      end
      begun[key] = event
    else
      if not begun[key] or begun[key].ts > event.ts then
        fail(event, "a flow without its beginning")
      end
      begun[key] = false
    end
    local found = false
    for _, slice in ipairs(slices) do
      if slice.tid == event.tid and slice.ts <= event.ts + 0.002
        and slice.ts + slice.dur >= event.ts - 0.002 then
        found = true
        break
      end
    end
    if not found then
      fail(event, "in no slice")
    end
  end
  for _, event in pairs(begun) do
    if event then
      fail(event, "a flow without an end")
    end
  end
end

-- Check a decoded document; returns its events by phase.
function M.check(doc)
  assert(type(doc.traceEvents) == "table", "no traceEvents")
  assert(doc.displayTimeUnit == "ns" or doc.displayTimeUnit == "ms", "no displayTimeUnit")
  local by, tracks, async, flows = {}, {}, {}, {}
  for _, event in ipairs(doc.traceEvents) do
    check_fields(event)
    check_values(event)
    by[event.ph] = by[event.ph] or {}
    table.insert(by[event.ph], event)
    if event.ph == "X" then
      tracks[event.tid] = tracks[event.tid] or {}
      table.insert(tracks[event.tid], event)
    elseif event.ph == "b" or event.ph == "e" then
      async[#async + 1] = event
    elseif event.ph == "s" or event.ph == "f" then
      flows[#flows + 1] = event
    end
  end
  for _, slices in pairs(tracks) do
    check_nesting(slices)
  end
  check_async(async)
  check_flows(flows, by.X or {})
  return by
end

return M
