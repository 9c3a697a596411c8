-- SPDX-License-Identifier: MIT
-- websocket_head: what both ends of a handshake need: lists in header fields, and checks of what
-- goes into them.

local M = {}

local TOKEN = "^[%w!#$%%&'*+%-.^_`|~]+$"

-- The elements of a comma-separated list, in order. (RFC 9110 5.6.1; quoted strings do not occur.)
function M.list(value)
  local out = {}
  for element in (value or ""):gmatch "[^,]+" do
    element = element:match "^%s*(.-)%s*$"
    if element ~= "" then
      out[#out + 1] = element
    end
  end
  return out
end

-- Does a list have this element, in any case?
function M.has(value, lower)
  for _, element in ipairs(M.list(value)) do
    if element:lower() == lower then
      return true
    end
  end
  return false
end

-- Check the option `protocols`: a list of different tokens. Raises at `level`.
function M.check_protocols(protocols, level)
  local seen = {}
  for i, name in ipairs(protocols or {}) do
    if type(name) ~= "string" or not name:find(TOKEN) or seen[name] then
      error(("protocols: names expected, each once; element %d is %q"):format(i, tostring(name)),
        level + 1)
    end
    seen[name] = true
  end
end

-- What the handshake itself says.
local OURS = {
  host = true, upgrade = true, connection = true, origin = true, ["content-length"] = true,
  ["transfer-encoding"] = true,
}

-- The option `headers` as lines, in the order of the names. Raises at `level`.
function M.lines(headers, level)
  local lines = {}
  for name, value in pairs(headers or {}) do
    if type(name) ~= "string" or not name:find(TOKEN) then
      error(("headers: no name of a field: %q"):format(tostring(name)), level + 1)
    elseif OURS[name:lower()] or name:lower():find "^sec%-websocket%-" then
      error(("headers: %s is not to be set"):format(name), level + 1)
    elseif type(value) ~= "string" and type(value) ~= "number" then
      error(("headers: the value of %s is a %s, not a string"):format(name, type(value)), level + 1)
    elseif tostring(value):find "[%z\1-\8\10-\31\127]" then
      error(("headers: the value of %s holds a control character"):format(name), level + 1)
    end
    lines[#lines + 1] = ("%s: %s\r\n"):format(name, (tostring(value):match "^[ \t]*(.-)[ \t]*$"))
  end
  table.sort(lines)
  return table.concat(lines)
end

return M
