-- SPDX-License-Identifier: MIT
-- bpf_wakeup_routes: routes of a wake-up, as users write them and as the maps of bpf/wakeup.h have
-- them. A path is exact, or ends in "*" and stands for all that begin so. In the map, of which the
-- longest entry wins, an exact one stands with what may end it: so no program looks for its end.

local M = {}

local CLASSES = {critical = 1, normal = 2, background = 3}
local NAMES = {"critical", "normal", "background"}
M.NAMES = NAMES

local PATH, EXACT_MAX = 64, 63
local ENDS = {" ", "?"}
local SHARDS_MAX = 64

-- Keys in the map of placements: cookies of sockets are below.
M.TASK = 2 ^ 52

--- Check a path or a port. Raises at the caller's caller.
-- @param where
-- @tparam[opt=2] integer level
function M.check(where, level)
  level = (level or 2) + 1
  if type(where) == "number" then
    if where % 1 ~= 0 or where < 1 or where > 65535 then
      error("a port is a whole number from 1 to 65535, not " .. tostring(where), level)
    end
    return
  elseif type(where) ~= "string" then
    error("a path or a port expected, got " .. type(where), level)
  end
  local star = where:find("*", 1, true)
  if where:sub(1, 1) ~= "/" or where:find "[%z\1-\32?#\127]" or star and star < #where then
    error(('"%s": a path such as "/pay" or "/bulk/*" expected'):format(where), level)
  elseif #where > EXACT_MAX then
    error(('"%s": at most %d bytes expected'):format(where, EXACT_MAX), level)
  end
end

local function number_of(name, level)
  return CLASSES[name] or error(("class must be 'critical' or 'normal' or 'background', not %s")
    :format(type(name) == "string" and "'" .. name .. "'" or "a " .. type(name)), level + 1)
end

local KNOWN = {class = true, shard = true, task = true}

local function check_spec(spec, level)
  for name in pairs(spec) do
    if not KNOWN[name] then
      error(("unknown option '%s'"):format(tostring(name)), level + 1)
    end
  end
  local shard, task = spec.shard, spec.task
  if shard ~= nil and not (type(shard) == "number" and shard % 1 == 0 and shard >= 1
    and shard <= SHARDS_MAX) then
    error(("option 'shard' must be a whole number from 1 to %d"):format(SHARDS_MAX), level + 1)
  elseif task ~= nil and type(task) ~= "number" and type(task) ~= "table" then
    error("option 'task' must be a task or its id, not a " .. type(task), level + 1)
  end
end

--- What stands in the map for a route: {class=, shard=, place=}. Raises at the caller's caller.
-- @tparam string|table spec a class, or {class=, shard=, task=}
-- @tparam[opt=2] integer level
-- @treturn table
function M.value(spec, level)
  level = (level or 2) + 1
  if type(spec) ~= "table" then
    return {class = number_of(spec, level), shard = 0, place = 0}
  end
  check_spec(spec, level)
  local task = type(spec.task) == "table" and spec.task.id or spec.task
  return {class = number_of(spec.class, level), shard = spec.shard or 0,
    place = task and M.TASK + task or 0}
end

--- The beginnings that a path stands for: what the map's entries begin with.
-- @tparam string path
-- @treturn table list of strings
function M.beginnings(path)
  if path:sub(-1) == "*" then
    return {path:sub(1, -2)}
  end
  local list = {}
  for i, ending in ipairs(ENDS) do
    list[i] = path .. ending
  end
  return list
end

--- The key of a beginning.
-- @tparam string text
-- @treturn table
function M.key(text)
  return {bits = #text * 8, path = text .. ("\0"):rep(PATH - #text)}
end

return M
