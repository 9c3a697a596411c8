-- SPDX-License-Identifier: MIT
-- options: one table of named, documented, checked fields.

local M = {}

local EMPTY = {}

local function fits(kind, v)
  for name in kind:gmatch("[^|]+") do
    if type(v) == name then
      return true
    end
  end
  return false
end

--- Check an options table; raises at the caller's caller on anything unknown or of a wrong type.
-- @tparam ?table opts
-- @tparam table known name = "type" or "type|type"
-- @tparam[opt=2] integer level of the caller to blame, as seen from the caller of `check`
-- @treturn table opts, or an empty table
function M.check(opts, known, level)
  level = (level or 2) + 1
  if opts == nil then
    return EMPTY
  end
  if type(opts) ~= "table" then
    error("options must be a table, not a " .. type(opts), level)
  end
  for name, v in pairs(opts) do
    local kind = known[name]
    if not kind then
      error("unknown option '" .. tostring(name) .. "'", level)
    elseif not fits(kind, v) then
      error(("option '%s' must be a %s, not a %s"):format(name, kind:gsub("|", " or "), type(v)),
        level)
    end
  end
  return opts
end

--- Check a timeout: nil, or a number of seconds that is one.
function M.seconds(t, level)
  if t ~= nil and (type(t) ~= "number" or t ~= t) then
    error("seconds expected: a number or nil", (level or 2) + 1)
  end
end

return M
