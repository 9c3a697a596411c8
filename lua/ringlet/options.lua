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

local function bound_text(bound)
  local text = bound.whole and "a whole number" or "a number"
  if bound.above then
    return ("%s more than %g"):format(text, bound.above)
  elseif bound.max then
    return ("%s from %g to %g"):format(text, bound.min, bound.max)
  end
  return ("%s of at least %g"):format(text, bound.min)
end

local function is_within(bound, v)
  local is_whole = v % 1 == 0 or v == math.huge
  return v == v and (v ~= math.huge or bound.infinite) and (not bound.whole or is_whole)
    and v >= (bound.min or -math.huge) and v <= (bound.max or math.huge)
    and v > (bound.above or -math.huge)
end

--- Check one value: a number against a bound, a string against a list of names. Raises at the
-- caller's caller.
-- @tparam any v a number, or a string of a list; other values are no matter of a bound
-- @tparam table bound {min=, max=, above=, whole=, infinite=}, or a list of names
-- @tparam string what it is, for the message
-- @tparam[opt=2] integer level as for `check`
function M.bound(v, bound, what, level)
  if type(v) == "number" and not bound[1] then
    if not is_within(bound, v) then
      error(("%s must be %s, not %s"):format(what, bound_text(bound), v), (level or 2) + 1)
    end
  elseif type(v) == "string" and bound[1] then
    for _, name in ipairs(bound) do
      if v == name then
        return
      end
    end
    error(("%s must be '%s', not '%s'"):format(what, table.concat(bound, "' or '"), v),
      (level or 2) + 1)
  end
end

--- Check the values of an options table whose names and types are right.
-- @tparam table opts
-- @tparam table bounds name = as for `bound`
-- @tparam[opt=2] integer level as for `check`
function M.bounds(opts, bounds, level)
  for name, bound in pairs(bounds) do
    M.bound(opts[name], bound, "option '" .. name .. "'", (level or 2) + 1)
  end
end

--- Check a function. Raises at the caller's caller.
function M.callable(fn, level)
  if type(fn) ~= "function" then
    error("function expected, got " .. type(fn), (level or 2) + 1)
  end
end

--- Check a timeout: nil, or a number of seconds that is one.
function M.seconds(t, level)
  if t ~= nil and (type(t) ~= "number" or t ~= t) then
    error("seconds expected: a number or nil", (level or 2) + 1)
  end
end

return M
