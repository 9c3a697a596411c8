-- SPDX-License-Identifier: MIT
-- json_write: Lua values as JSON text (RFC 8259), strictly: what JSON has no text for is an error.
--
-- A table with [1] is an array, and so is one that `list` has marked, which may be empty; others
-- are objects, whose keys are strings and come in order, so that equal values have equal text.

local labels = require "ringlet.labels"

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
  if s:find '[%c"\\\127-\255]' then
    s = labels.utf8(s):gsub('[%c"\\]', escape)
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

local write

local function write_array(out, t, depth)
  out[#out + 1] = "["
  for i = 1, #t do
    if i > 1 then
      out[#out + 1] = ","
    end
    write(out, t[i], depth)
  end
  out[#out + 1] = "]"
end

local function write_object(out, t, depth)
  local keys = {}
  for k in pairs(t) do
    if type(k) ~= "string" then
      error(("a key of an object is a string, not a %s"):format(type(k)), 0)
    end
    keys[#keys + 1] = k
  end
  table.sort(keys)
  out[#out + 1] = "{"
  for i, k in ipairs(keys) do
    out[#out + 1] = (i > 1 and "," or "") .. M.string(k) .. ":"
    write(out, t[k], depth)
  end
  out[#out + 1] = "}"
end

function write(out, v, depth)
  local kind = type(v)
  if kind == "string" then
    out[#out + 1] = M.string(v)
  elseif kind == "number" then
    out[#out + 1] = M.number(v)
  elseif kind == "boolean" or v == M.null then
    out[#out + 1] = v == M.null and "null" or tostring(v)
  elseif kind ~= "table" then
    error("JSON has no " .. kind, 0)
  elseif depth == 0 then
    error("the tables are nested too deep", 0)
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

return M
