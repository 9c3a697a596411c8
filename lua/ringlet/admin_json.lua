-- SPDX-License-Identifier: MIT
-- admin_json: values as JSON, written only. What is not UTF-8 becomes U+FFFD, and a number that
-- JSON does not have becomes null, so what comes out is always JSON (RFC 8259).

local labels = require "ringlet.labels"

local M = {}

local List = {}

--- A table that is written as an array, also when it is empty. One with [1] is anyway.
function M.list(t)
  return setmetatable(t or {}, List)
end

local ESCAPES = {['"'] = '\\"', ["\\"] = "\\\\", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t"}

local function escape(c)
  return ESCAPES[c] or ("\\u%04x"):format(c:byte())
end

local function put_string(out, s)
  out[#out + 1] = '"' .. labels.utf8(s):gsub('[%c"\\]', escape) .. '"'
end

local function put_number(out, v)
  if v ~= v or v == math.huge or v == -math.huge then
    out[#out + 1] = "null"
  elseif v % 1 == 0 and v < 2 ^ 53 and v > -2 ^ 53 then
    out[#out + 1] = ("%d"):format(v)
  else
    out[#out + 1] = ("%.14g"):format(v)
  end
end

local put

-- Between two parts of a table.
local function pause(out)
  if out.breathe then
    out.breathe()
  end
end

local function put_list(out, t)
  out[#out + 1] = "["
  for i = 1, #t do
    if i > 1 then
      out[#out + 1] = ","
    end
    put(out, t[i])
    pause(out)
  end
  out[#out + 1] = "]"
end

-- In the order of the names, so that equal tables are equal texts.
local function put_object(out, t)
  local names = {}
  for k in pairs(t) do
    names[#names + 1] = tostring(k)
  end
  table.sort(names)
  out[#out + 1] = "{"
  for i, k in ipairs(names) do
    if i > 1 then
      out[#out + 1] = ","
    end
    put_string(out, k)
    out[#out + 1] = ":"
    local v = t[k]
    if v == nil then
      v = t[tonumber(k)]
    end
    put(out, v)
    pause(out)
  end
  out[#out + 1] = "}"
end

function put(out, v)
  local kind = type(v)
  if kind == "string" then
    put_string(out, v)
  elseif kind == "number" then
    put_number(out, v)
  elseif kind == "boolean" or kind == "nil" then
    out[#out + 1] = tostring(v):gsub("nil", "null")
  elseif kind ~= "table" then
    put_string(out, kind)
  elseif v[1] ~= nil or getmetatable(v) == List then
    put_list(out, v)
  else
    put_object(out, v)
  end
end

--- A value as JSON. Of what JSON does not have, as functions, the type is written. `breathe` is
-- called now and then.
-- @treturn string
function M.text(v, breathe)
  local out = {breathe = breathe}
  put(out, v)
  return table.concat(out)
end

return M
