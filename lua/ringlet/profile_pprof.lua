-- SPDX-License-Identifier: MIT
-- profile_pprof: a profile as profile.proto has it, which pprof and many others read.
--
-- A location is a function and a line in it; strings, functions and locations are numbered in the
-- order in which they come, so the same profile gives the same bytes.
-- Source: github.com/google/pprof, proto/profile.proto

local profile_text = require "ringlet.profile_text"
local protobuf = require "ringlet.protobuf"

local M = {}

-- Numbers of fields.
local PROFILE = {
  sample_type = 1, sample = 2, location = 4, func = 5, string_table = 6, time_nanos = 9,
  duration_nanos = 10, period_type = 11, period = 12, comment = 13, default_sample_type = 14,
}
local TYPE = {type = 1, unit = 2}
local SAMPLE = {location_id = 1, value = 2, label = 3}
local LABEL = {key = 1, str = 2, num = 3}
local LOCATION = {id = 1, line = 4}
local LINE = {function_id = 1, line = 2}
local FUNCTION = {id = 1, name = 2, system_name = 3, filename = 4, start_line = 5}

-- Numbers for strings, the empty one being 0.
local function strings()
  local numbers, list = {[""] = 0}, {""}
  return function(s)
    if not numbers[s] then
      numbers[s] = #list
      list[#list + 1] = s
    end
    return numbers[s]
  end, list
end

local function value_type(number, pair)
  return protobuf.writer():int(TYPE.type, number(pair[1])):int(TYPE.unit, number(pair[2]))
end

-- Functions and locations by number, written when they are first met.
local function places(out, number)
  local functions, locations, functions_n, locations_n = {}, {}, 0, 0
  local function function_id(frame)
    local key = profile_text.function_key(frame)
    if not functions[key] then
      functions_n = functions_n + 1
      functions[key] = functions_n
      local name = number(frame.name)
      local w = protobuf.writer():int(FUNCTION.id, functions_n):int(FUNCTION.name, name)
      w:int(FUNCTION.system_name, name):int(FUNCTION.filename, number(frame.file))
      out:message(PROFILE.func, w:int(FUNCTION.start_line, math.max(frame.defined, 0)))
    end
    return functions[key]
  end
  return function(frame)
    local id = locations[frame]
    if not id then
      locations_n = locations_n + 1
      id, locations[frame] = locations_n, locations_n
      local line = protobuf.writer():int(LINE.function_id, function_id(frame))
      line:int(LINE.line, math.max(frame.line, 0))
      out:message(PROFILE.location,
        protobuf.writer():int(LOCATION.id, id):message(LOCATION.line, line))
    end
    return id
  end
end

local function sorted_keys(labels)
  local keys = {}
  for k in pairs(labels) do
    keys[#keys + 1] = k
  end
  table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
  return keys
end

local function add_labels(w, labels, number)
  for _, k in ipairs(sorted_keys(labels)) do
    local v = labels[k]
    local label = protobuf.writer():int(LABEL.key, number(tostring(k)))
    if type(v) == "number" and v % 1 == 0 then
      label:int(LABEL.num, v)
    else
      label:int(LABEL.str, number(tostring(v)))
    end
    w:message(SAMPLE.label, label)
  end
end

local function add_sample(out, sample, place, number)
  local ids = {}
  for i, frame in ipairs(sample.stack) do
    ids[i] = place(frame)
  end
  local values = {math.floor(sample.count + 0.5), math.floor(sample.value + 0.5)}
  local w = protobuf.writer():packed(SAMPLE.location_id, ids):packed(SAMPLE.value, values)
  add_labels(w, sample.labels, number)
  out:message(PROFILE.sample, w)
end

local function comment_of(p)
  local list = {}
  for i, entry in ipairs(p.shards) do
    list[i] = ("shard %d: %.3f s"):format(entry.shard, entry.seconds)
  end
  return "ringlet, " .. table.concat(list, ", ")
end

--- The bytes of a profile.
-- @tparam table p a profile
-- @tparam table kind of profile_data.KINDS
-- @treturn string
function M.encode(p, kind)
  local out, number, list = protobuf.writer(), strings()
  for _, pair in ipairs(kind.types) do
    out:message(PROFILE.sample_type, value_type(number, pair))
  end
  local place = places(out, number)
  for _, sample in ipairs(p.samples) do
    add_sample(out, sample, place, number)
  end
  out:int(PROFILE.time_nanos, p.time * 1e9):int(PROFILE.duration_nanos, p.seconds * 1e9)
  out:message(PROFILE.period_type, value_type(number, kind.period)):int(PROFILE.period, p.period)
  out:int(PROFILE.comment, number(comment_of(p)))
  out:int(PROFILE.default_sample_type, number(kind.types[2][1]))
  for _, s in ipairs(list) do
    out:string(PROFILE.string_table, s)
  end
  return out:bytes()
end

return M
