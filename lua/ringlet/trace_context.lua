-- SPDX-License-Identifier: MIT
-- trace_context: the header fields by which a trace goes on from one service to the next, and
-- nothing else: parsing, formatting, and fresh ids.
--
-- What does not follow the recommendation to the letter is as if it were not there: a request never
-- fails because of it. A traceparent that is wrong takes its tracestate with it, a wrong tracestate
-- goes alone.

--- Trace context.
-- @module ringlet.trace
-- @section Context

local core = require "ringlet.core"

local M = {}

local NO_TRACE, NO_SPAN = ("0"):rep(32), ("0"):rep(16)
local MEMBERS_MAX, KEY_MAX, VALUE_MAX = 32, 256, 256
local TENANT_MAX, SYSTEM_MAX = 241, 14
local STATE_MAX, MEMBER_LONG = 512, 128 -- characters that must go on; of a member that goes first

-- ---- ids ----------------------------------------------------------------------------------------

local random = core.random

-- 28 bits in 7 digits.
local function digits()
  return ("%07x"):format(random() % 268435456)
end

local function fresh(n, nothing)
  local id
  repeat
    id = ""
    while #id < n do
      id = id .. digits()
    end
    id = id:sub(1, n)
  until id ~= nothing
  return id
end

-- 32 and 16 hexadecimal digits, not all of them 0. In a run.
function M.trace_id()
  return fresh(32, NO_TRACE)
end

function M.span_id()
  return fresh(16, NO_SPAN)
end

-- ---- traceparent --------------------------------------------------------------------------------

local function is_hex(s, n)
  return #s == n and not s:find "[^0-9a-f]"
end

-- The parts of a traceparent, nil when it is none. Later versions may have more behind them.
local function parts_of(text)
  local version, trace_id, span_id, flags, rest = text:match "^(..)%-(%w+)%-(%w+)%-(%w%w)(.*)$"
  if not version or not is_hex(version, 2) or version == "ff" then
    return nil
  elseif rest ~= "" and (version == "00" or rest:sub(1, 1) ~= "-") then
    return nil
  elseif is_hex(trace_id, 32) and is_hex(span_id, 16) and is_hex(flags, 2)
    and trace_id ~= NO_TRACE and span_id ~= NO_SPAN then
    return trace_id, span_id, flags
  end
end

-- ---- tracestate ---------------------------------------------------------------------------------

local KEY_CHARS = "^[a-z0-9_%-*/]*$"

local function is_key(key)
  local tenant, system = key:match "^([^@]*)@([^@]*)$"
  if tenant then
    return #tenant >= 1 and #tenant <= TENANT_MAX and tenant:find "^[a-z0-9]" and #system >= 1
      and #system <= SYSTEM_MAX and system:find "^[a-z]" and tenant:find(KEY_CHARS)
      and system:find(KEY_CHARS) and true or false
  end
  return #key >= 1 and #key <= KEY_MAX and key:find "^[a-z]" ~= nil and key:find(KEY_CHARS) ~= nil
end

-- Printable, without "," and "=", and no space at its end, which was cut off.
local function is_value(value)
  return #value >= 1 and #value <= VALUE_MAX and not value:find "[^ -+%-./0-9:;<>-~]"
end

-- The members of a tracestate, nil when one of them is wrong.
local function members_of(text)
  local list, seen = {}, {}
  for member in (text .. ","):gmatch "([^,]*)," do
    member = member:gsub("^[ \t]+", ""):gsub("[ \t]+$", "")
    if member ~= "" then
      local key, value = member:match "^([^=]*)=(.*)$"
      if not key or not is_key(key) or not is_value(value) or seen[key]
        or #list == MEMBERS_MAX then
        return nil
      end
      seen[key] = true
      list[#list + 1] = member
    end
  end
  return list
end

local function length_of(list)
  local n = math.max(#list - 1, 0)
  for _, member in ipairs(list) do
    n = n + #member
  end
  return n
end

-- Cut what is longer than must go on: long members first, then those at the end.
local function shortened(list)
  for i = #list, 1, -1 do
    if length_of(list) > STATE_MAX and #list[i] > MEMBER_LONG then
      table.remove(list, i)
    end
  end
  while length_of(list) > STATE_MAX do
    list[#list] = nil
  end
  return list
end

-- ---- both ---------------------------------------------------------------------------------------

--- What two header fields say of the trace that a request belongs to.
-- @tparam ?string traceparent several fields of this name, joined by ",", are none
-- @tparam[opt] string tracestate several are joined by ","
-- @treturn ?table {trace_id=, span_id=, sampled= boolean, state= string or nil}; nil when
-- traceparent is missing or wrong
-- @source W3C Trace Context, level 1 (2021), sections 3.2 and 3.3
function M.parse(traceparent, tracestate)
  local trace_id, span_id, flags = parts_of(traceparent or "")
  if not trace_id then
    return nil
  end
  local members = tracestate and members_of(tracestate)
  return {
    trace_id = trace_id, span_id = span_id, sampled = tonumber(flags, 16) % 2 == 1,
    state = members and members[1] and table.concat(shortened(members), ",") or nil,
  }
end

--- The header fields that hand a trace on.
-- @tparam table context as `parse` gives it
-- @treturn string traceparent
-- @treturn ?string tracestate, nil when there is none
-- @source W3C Trace Context, level 1 (2021)
function M.format(context)
  return ("00-%s-%s-%s"):format(context.trace_id, context.span_id,
    context.sampled and "01" or "00"), context.state
end

return M
