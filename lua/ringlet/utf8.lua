-- SPDX-License-Identifier: MIT
-- utf8: texts that others read are UTF-8 (RFC 3629), whatever bytes somebody gave.

local M = {}

local REPLACEMENT = "\239\191\189" -- U+FFFD

-- The characters that are not ASCII: no overlong ones, no surrogates, none beyond U+10FFFF.
local FORMS = {
  "^[\194-\223][\128-\191]",
  "^\224[\160-\191][\128-\191]",
  "^[\225-\236\238\239][\128-\191][\128-\191]",
  "^\237[\128-\159][\128-\191]",
  "^\240[\144-\191][\128-\191][\128-\191]",
  "^[\241-\243][\128-\191][\128-\191][\128-\191]",
  "^\244[\128-\143][\128-\191][\128-\191]",
}

-- Where the character that begins at `at` ends; nil: none does.
local function last_byte(s, at)
  for _, form in ipairs(FORMS) do
    local _, last = s:find(form, at)
    if last then
      return last
    end
  end
end

-- The same text if it is UTF-8; else with U+FFFD for each byte that is not.
function M.clean(s)
  local at, from, out = s:find "[\128-\255]", 1, {}
  while at do
    local last = last_byte(s, at)
    if not last then
      out[#out + 1] = s:sub(from, at - 1) .. REPLACEMENT
      from = at + 1
    end
    at = s:find("[\128-\255]", (last or at) + 1)
  end
  return out[1] and table.concat(out) .. s:sub(from) or s
end

-- The character with this number.
function M.char(n)
  if n < 0x80 then
    return string.char(n)
  elseif n < 0x800 then
    return string.char(0xc0 + math.floor(n / 64), 0x80 + n % 64)
  elseif n < 0x10000 then
    return string.char(0xe0 + math.floor(n / 4096), 0x80 + math.floor(n / 64) % 64, 0x80 + n % 64)
  end
  return string.char(0xf0 + math.floor(n / 262144), 0x80 + math.floor(n / 4096) % 64,
    0x80 + math.floor(n / 64) % 64, 0x80 + n % 64)
end

return M
