-- SPDX-License-Identifier: MIT
-- http_conditions: what a request asks of the state of a file: preconditions (RFC 9110 13) and
-- ranges (RFC 9110 14). Pure rules over header fields; http_static.lua acts on them.
--
-- A validator is a table: `tag` is the entity tag as it is sent, `mtime` the seconds of the last
-- change, `is_strong` whether both mean "the same bytes".

local core = require "ringlet.core"

local M = {}

local RANGES_MAX = 32

-- Does a list of entity tags have this one? "*" is any.
local function has_tag(list, tag, weak_too)
  if list:find "^%s*%*%s*$" then
    return true
  end
  local opaque, is_weak = tag:gsub("^W/", "")
  if is_weak > 0 and not weak_too then
    return false
  end
  for prefix, text in list:gmatch '(W?/?)("[^"]*")' do
    if text == opaque and (weak_too or prefix == "") then
      return true
    end
  end
  return false
end

-- The status that a GET or HEAD is answered with because of its preconditions, 304 or 412; or nil:
-- go on. In the order of RFC 9110 13.2.2.
function M.status(req, v)
  local list = req:header "if-match"
  local since = not list and req:header "if-unmodified-since"
  if list and not has_tag(list, v.tag) then
    return 412
  elseif since then
    local date = core.http_date(since)
    if date and v.mtime > date then
      return 412
    end
  end
  list = req:header "if-none-match"
  if list then
    return has_tag(list, v.tag, true) and 304 or nil
  end
  since = req:header "if-modified-since"
  local date = since and core.http_date(since)
  return date and v.mtime <= date and 304 or nil
end

-- Whether the range of a request counts: without If-Range, or if the file is still the one that the
-- client has a part of.
function M.allows_range(req, v)
  local what = req:header "if-range"
  if not what then
    return true
  elseif what:find '"' then
    return what == v.tag and v.is_strong
  end
  return v.is_strong and core.http_date(what) == v.mtime
end

-- "0-9", "10-", "-5" -> first, last; false, when it cannot be satisfied; nil, when it is malformed.
local function parse_range(spec, size)
  local first, last = spec:match "^%s*(%d*)%-(%d*)%s*$"
  if not first or first == "" and last == "" then
    return nil
  elseif first == "" then
    local n = math.min(tonumber(last), size)
    if n == 0 then
      return false
    end
    return size - n, size - 1
  end
  first, last = tonumber(first), tonumber(last) or math.huge
  if last < first then
    return nil
  elseif first >= size then
    return false
  end
  return first, math.min(last, size - 1)
end

-- Those that a list of ranges asks for and the file has; nil when the list is malformed or long.
local function parse_ranges(list, size)
  local ranges, n = {}, 0
  for spec in (list .. ","):gmatch "([^,]*)," do
    if spec:find "%S" then
      local first, last = parse_range(spec, size)
      n = n + 1
      if first == nil or n > RANGES_MAX then
        return nil
      elseif first then
        ranges[#ranges + 1] = {first, last}
      end
    end
  end
  return n > 0 and ranges or nil
end

-- One range that has the bytes of all and no others; nil if there is none.
local function joined(ranges)
  table.sort(ranges, function(a, b) return a[1] < b[1] end)
  local first, last = ranges[1][1], ranges[1][2]
  for i = 2, #ranges do
    if ranges[i][1] > last + 1 then
      return nil
    end
    last = math.max(last, ranges[i][2])
  end
  return first, last
end

-- What is to be sent of `size` bytes: first and last; nil: all of them; false: there is no such
-- range. Several ranges that leave gaps are answered with all, which RFC 9110 14.2 leaves to the
-- server: a body of many parts costs more than it saves, and is a way to attack.
function M.range(req, size)
  local unit, list = (req:header "range" or ""):match "^(%a+)=(.*)$"
  if not unit or unit:lower() ~= "bytes" or size == 0 and list:find "^%s*%-" then
    return nil
  end
  local ranges = parse_ranges(list, size)
  if not ranges then
    return nil
  elseif not ranges[1] then
    return false
  end
  return joined(ranges)
end

-- Does the client take this content coding (RFC 9110 12.5.3)?
function M.accepts(req, coding)
  local accepted
  for item in (req:header "accept-encoding" or ""):lower():gmatch "[^,]+" do
    local name, weight = item:match "^%s*([^%s;]+)%s*;%s*q=([%d.]+)%s*$"
    name = name or item:match "^%s*([^%s;]+)"
    local wanted = tonumber(weight or 1) ~= 0
    if name == coding or name == "x-" .. coding then
      return wanted
    elseif name == "*" then
      accepted = wanted
    end
  end
  return accepted or false
end

return M
