-- SPDX-License-Identifier: MIT
-- http_query: percent-encoding, and parameters as forms send them ("a=1&b=2").

local M = {}

M.MAX = 1000

local bytes = {}

for _, digits in ipairs{"0123456789abcdef", "0123456789ABCDEF"} do
  for i = 0, 255 do
    local high, low = math.floor(i / 16) + 1, i % 16 + 1
    bytes[digits:sub(high, high) .. digits:sub(low, low)] = string.char(i)
  end
end

local function byte_of(digits)
  return bytes[digits] or string.char(tonumber(digits, 16))
end

-- Percent-decode; "%" without two digits behind it stays.
function M.decode(text)
  if not text:find("%", 1, true) then
    return text
  end
  return (text:gsub("%%(%x%x)", byte_of))
end

-- Is every "%" followed by two hexadecimal digits?
function M.is_encoded(text)
  return not text:find("%", 1, true) or not text:gsub("%%%x%x", ""):find("%", 1, true)
end

local function decode_field(text)
  if text:find("+", 1, true) then
    text = text:gsub("%+", " ")
  end
  return M.decode(text)
end

local function add(args, name, value)
  local had = args[name]
  if had == nil then
    args[name] = value
  elseif type(had) == "table" then
    had[#had + 1] = value
  else
    args[name] = {had, value}
  end
end

-- "a=1&b=2&b=3" -> {a = "1", b = {"2", "3"}}, by the parser of application/x-www-form-urlencoded in
-- the URL standard. Fails with EMSGSIZE beyond `max` parameters.
function M.parse(text, max)
  local args, n = {}, 0
  for field in text:gmatch "[^&]+" do
    n = n + 1
    if n > max then
      return nil, ("EMSGSIZE: more than %d parameters"):format(max), "EMSGSIZE"
    end
    local name, value = field:match "^([^=]*)=(.*)$"
    add(args, decode_field(name or field), decode_field(value or ""))
  end
  return args
end

return M
