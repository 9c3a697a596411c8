-- SPDX-License-Identifier: MIT
-- json_read: JSON text (RFC 8259) as a Lua value. null is nil; arrays and objects are tables.
--
-- Invariant: whatever the text is, it gives a value or nil and a message; nothing is raised.

local utf8 = require "ringlet.utf8"

local M = {}

local DEPTH_MAX = 100

local ESCAPES = {
  ['"'] = '"', ["\\"] = "\\", ["/"] = "/", b = "\b", f = "\f", n = "\n", r = "\r", t = "\t",
}
local WORDS = {["true"] = true, ["false"] = false}

local function fail(at, what)
  error({at = at, what = what}, 0)
end

-- The character of an escape whose letter is at `at`, and where it ends.
local function escaped(text, at)
  local plain = ESCAPES[text:sub(at, at)]
  if plain then
    return plain, at + 1
  end
  local n = tonumber(text:match("^u(%x%x%x%x)", at) or fail(at, "no such escape"), 16)
  local low = n >= 0xd800 and n < 0xdc00 and text:match("^\\u([dD][c-fC-F]%x%x)", at + 5)
  if low then
    return utf8.char((n - 0xd800) * 1024 + tonumber(low, 16) - 0xdc00 + 0x10000), at + 11
  end
  return utf8.char(n), at + 5
end

local function string_at(text, at)
  local from, parts = at + 1, nil
  while true do
    local stop = text:find('[%z\1-\31"\\]', from) or fail(at, "a string without an end")
    local piece, c = text:sub(from, stop - 1), text:sub(stop, stop)
    if c == '"' then
      return parts and table.concat(parts) .. piece or piece, stop + 1
    elseif c ~= "\\" then
      fail(stop, "a control character")
    end
    parts = parts or {}
    parts[#parts + 1] = piece
    parts[#parts + 1], from = escaped(text, stop + 1)
  end
end

local function skip(text, at)
  return text:find("[^ \t\r\n]", at) or fail(at, "it ends too soon")
end

local value_at

-- What follows an element at `at`: the next one's place, or nil and where the whole ends.
local function following(text, at, closing)
  at = skip(text, at)
  local c = text:sub(at, at)
  if c == "," then
    return skip(text, at + 1)
  elseif c == closing then
    return nil, at + 1
  end
  return fail(at, "',' or '" .. closing .. "' expected")
end

local function array_at(text, at, depth)
  local list, n, stop = {}, 0, nil
  at = skip(text, at + 1)
  if text:sub(at, at) == "]" then
    return list, at + 1
  end
  while at do
    n = n + 1
    list[n], at = value_at(text, at, depth)
    at, stop = following(text, at, "]")
  end
  return list, stop
end

local function object_at(text, at, depth)
  local fields, stop = {}, nil
  at = skip(text, at + 1)
  if text:sub(at, at) == "}" then
    return fields, at + 1
  end
  while at do
    if text:sub(at, at) ~= '"' then
      fail(at, "a name expected")
    end
    local name
    name, at = string_at(text, at)
    at = skip(text, at)
    if text:sub(at, at) ~= ":" then
      fail(at, "':' expected")
    end
    if fields[name] ~= nil then
      fail(at, "a name twice")
    end
    fields[name], at = value_at(text, skip(text, at + 1), depth)
    at, stop = following(text, at, "}")
  end
  return fields, stop
end

function value_at(text, at, depth)
  local c = text:sub(at, at)
  if depth > DEPTH_MAX then
    fail(at, "too deep")
  elseif c == '"' then
    return string_at(text, at)
  elseif c == "{" then
    return object_at(text, at, depth + 1)
  elseif c == "[" then
    return array_at(text, at, depth + 1)
  end
  local word = text:match("^%l+", at)
  if word == "null" then
    return nil, at + 4
  elseif word then
    return WORDS[word] == nil and fail(at, "no value") or WORDS[word], at + #word
  end
  local number = text:match("^%-?%d[%d.eE+-]*", at)
  if not tonumber(number) or number:find "^%-?0%d" then
    fail(at, "no value")
  end
  return tonumber(number), at + #number
end

local function whole(text)
  local value, at = value_at(text, skip(text, 1), 0)
  at = text:find("[^ \t\r\n]", at)
  if at then
    fail(at, "more than one value")
  end
  return value
end

-- The value; or nil and a message.
function M.decode(text)
  local ok, value = pcall(whole, text)
  if ok then
    return value
  end
  return nil, type(value) == "table" and ("bad JSON at byte %d: %s"):format(value.at, value.what)
    or tostring(value)
end

return M
