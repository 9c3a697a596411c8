-- SPDX-License-Identifier: MIT
-- A strict reader of JSON (RFC 8259) for specs: `read(text)` gives the value, or raises. null is
-- `read.null`; arrays and objects are plain tables.

local M = {null = {}}

local ESCAPES = {b = "\b", f = "\f", n = "\n", r = "\r", t = "\t", ['"'] = '"', ["\\"] = "\\",
  ["/"] = "/"}

local value

local function skip(s, at)
  return s:match("^[ \t\r\n]*()", at)
end

local function fail(what, at)
  error(("%s at byte %d"):format(what, at), 0)
end

local function utf8_of(code)
  if code < 0x80 then
    return string.char(code)
  elseif code < 0x800 then
    return string.char(0xc0 + math.floor(code / 64), 0x80 + code % 64)
  end
  return string.char(0xe0 + math.floor(code / 4096), 0x80 + math.floor(code / 64) % 64,
    0x80 + code % 64)
end

local function string_at(s, at)
  local out = {}
  while true do
    local plain, next_at = s:match('^([^%c"\\]*)()', at)
    out[#out + 1] = plain
    local c = s:sub(next_at, next_at)
    if c == '"' then
      return table.concat(out), next_at + 1
    elseif c ~= "\\" then
      fail("a string does not end, or has a control character", next_at)
    end
    local hex = s:match("^u(%x%x%x%x)", next_at + 1)
    if hex then
      out[#out + 1], at = utf8_of(tonumber(hex, 16)), next_at + 6
    else
      out[#out + 1] = ESCAPES[s:sub(next_at + 1, next_at + 1)] or fail("bad escape", next_at)
      at = next_at + 2
    end
  end
end

local function members(s, at, close, member)
  local t, first = {}, true
  at = skip(s, at)
  while s:sub(at, at) ~= close do
    if not first then
      at = s:sub(at, at) == "," and skip(s, at + 1) or fail("a comma is missing", at)
    end
    first = false
    at = skip(s, member(t, at))
  end
  return t, at + 1
end

function value(s, at)
  local c = s:sub(at, at)
  if c == '"' then
    return string_at(s, at + 1)
  elseif c == "[" then
    return members(s, at + 1, "]", function(t, from)
      local v, to = value(s, from)
      t[#t + 1] = v
      return to
    end)
  elseif c == "{" then
    return members(s, at + 1, "}", function(t, from)
      if s:sub(from, from) ~= '"' then fail("a key is missing", from) end
      local k, to = string_at(s, from + 1)
      to = skip(s, to)
      if s:sub(to, to) ~= ":" or t[k] ~= nil then fail("no colon, or a key twice", to) end
      t[k], to = value(s, skip(s, to + 1))
      return to
    end)
  end
  for text, v in pairs {["true"] = true, ["false"] = false, null = M.null} do
    if s:sub(at, at + #text - 1) == text then
      return v, at + #text
    end
  end
  local number, to = s:match("^(%-?%d+%.?%d*[eE]?[+-]?%d*)()", at)
  if not number or number:find "^%-?0%d" or not tonumber(number) then fail("no value", at) end
  return tonumber(number), to
end

function M.read(text)
  local v, at = value(text, skip(text, 1))
  if skip(text, at) <= #text then
    fail("something follows the value", at)
  end
  return v
end

return M
