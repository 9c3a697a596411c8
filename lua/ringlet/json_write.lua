-- SPDX-License-Identifier: MIT
-- json_write: Lua values as JSON text (RFC 8259): strictly, where what JSON has no text for is an
-- error, or leniently, where something is written for it.
--
-- A table with [1] is an array, and so is one that `list` has marked, which may be empty; others
-- are objects, whose keys are strings and come in order, so that equal values have equal text.

local utf8 = require "ringlet.utf8"

local M = {}

local DEPTH_MAX = 100

local List = {__name = "ringlet.json.list"}

-- Mark a table as an array.
function M.list(t)
  return setmetatable(t or {}, List)
end

-- null.
M.null = setmetatable({}, {__name = "ringlet.json.null"})

local ESCAPES = {['"'] = '\\"', ["\\"] = "\\\\", ["\b"] = "\\b", ["\f"] = "\\f", ["\n"] = "\\n",
  ["\r"] = "\\r", ["\t"] = "\\t"}

local function escape(c)
  return ESCAPES[c] or ("\\u%04x"):format(c:byte())
end

-- A string; bytes that are no UTF-8 become U+FFFD.
function M.string(s)
  if s:find '[%z\1-\31"\\\127-\255]' then
    s = utf8.clean(s):gsub('[%z\1-\31"\\\127]', escape)
  end
  return '"' .. s .. '"'
end

-- A number, without loss; raises on what is not finite.
function M.number(v)
  if v - v ~= 0 then
    error("JSON has no number " .. tostring(v), 2)
  elseif v % 1 == 0 and v > -1e15 and v < 1e15 then
    return ("%.0f"):format(v)
  end
  local short = ("%.15g"):format(v)
  return tonumber(short) == v and short or ("%.17g"):format(v)
end

-- Between two parts of a table.
local function pause(out)
  if out.breathe then
    out.breathe()
  end
end

local write

local function write_array(out, t, depth)
  out[#out + 1] = "["
  for i = 1, #t do
    if i > 1 then
      out[#out + 1] = ","
    end
    write(out, t[i], depth)
    pause(out)
  end
  out[#out + 1] = "]"
end

-- The same with keys that are all strings.
local function renamed(t)
  local copy = {}
  for k, v in pairs(t) do
    copy[tostring(k)] = v
  end
  return copy
end

local function write_object(out, t, depth)
  local keys = {}
  for k in pairs(t) do
    if type(k) ~= "string" then
      if not out.lenient then
        error(("a key of an object is a string, not a %s"):format(type(k)), 0)
      end
      return write_object(out, renamed(t), depth)
    end
    keys[#keys + 1] = k
  end
  table.sort(keys)
  out[#out + 1] = "{"
  for i, k in ipairs(keys) do
    out[#out + 1] = (i > 1 and "," or "") .. M.string(k) .. ":"
    write(out, t[k], depth)
    pause(out)
  end
  out[#out + 1] = "}"
end

-- What JSON has no text for.
local function write_odd(out, v, why)
  if not out.lenient then
    error(why, 0)
  end
  local kind = type(v)
  out[#out + 1] = (kind == "number" or kind == "nil") and "null" or M.string(kind)
end

function write(out, v, depth)
  local kind = type(v)
  if kind == "string" then
    out[#out + 1] = M.string(v)
  elseif kind == "number" and v - v == 0 then
    out[#out + 1] = M.number(v)
  elseif kind == "boolean" or v == M.null then
    out[#out + 1] = v == M.null and "null" or tostring(v)
  elseif kind ~= "table" then
    write_odd(out, v, "JSON has no " .. (kind == "number" and "number " .. tostring(v) or kind))
  elseif depth == 0 then
    write_odd(out, v, "the tables are nested too deep")
  elseif getmetatable(v) == List or v[1] ~= nil then
    write_array(out, v, depth - 1)
  else
    write_object(out, v, depth - 1)
  end
end

-- The text of a value; raises on what has none.
function M.text(v)
  local out = {}
  write(out, v, DEPTH_MAX)
  return table.concat(out)
end

-- The text of whatever value: null is written of what is no number, of functions their type, of
-- keys what tostring gives. `breathe`, if given, is called now and then.
function M.lenient(v, breathe)
  local out = {lenient = true, breathe = breathe}
  write(out, v, DEPTH_MAX)
  return table.concat(out)
end

return M
