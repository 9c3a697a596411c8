-- SPDX-License-Identifier: MIT
-- limiter_shares: the priorities of calls and what part of a limit each may use; who of those that
-- wait is next.
--
-- A class's calls and those of all classes below it may together use its share. So what is above a
-- share is kept for more important calls, and these do not crowd out the others.
--
-- Invariants: a group counts the calls of its class and of all below; a class's `groups` are those
-- with a share of less than 1 that count it. `passed` is how often a class with somebody in its
-- line saw another served.

local lines = require "ringlet.limiter_line"

local floor, max = math.floor, math.max

local M = {}

local DEFAULT = {{"critical", 1}, {"normal", 1}, {"background", 0.5}}
-- So often may others be served before who waits.
local PASSED_MAX = 8

local function check_class(item, i, seen, above)
  local name, share = type(item) == "table" and item[1], type(item) == "table" and item[2]
  if type(name) ~= "string" and type(name) ~= "number" then
    error(("option 'priorities': item %d must be {name, share}"):format(i), 0)
  elseif type(share) ~= "number" or not (share > 0 and share <= above) then
    error(("option 'priorities': the share of '%s' must be more than 0 and at most %g")
      :format(name, above), 0)
  elseif seen[name] then
    error(("option 'priorities': '%s' is there twice"):format(name), 0)
  end
  return name, share
end

--- Classes from a list of {name, share}, the most important first; raises without a position.
-- @tparam ?table list
-- @treturn table the classes in this order
-- @treturn table the same by name
function M.new(list)
  local classes, by_name, groups, above = {}, {}, {}, 1
  for i, item in ipairs(list or DEFAULT) do
    local name, share = check_class(item, i, by_name, above)
    above = share
    local class = {name = name, rank = i, groups = {}, line = lines.new(), running = 0, passed = 0}
    if share < 1 then
      groups[#groups + 1] = {share = share, n = 0, room = 0}
    end
    for j, group in ipairs(groups) do
      class.groups[j] = group
    end
    classes[i], by_name[name] = class, class
  end
  if #classes == 0 then
    error("option 'priorities' must be a list of {name, share}", 0)
  end
  classes.groups, classes.waiting = groups, 0
  return classes, by_name
end

--- The limit is another one.
function M.resize(classes, limit)
  for _, group in ipairs(classes.groups) do
    group.room = max(1, floor(group.share * limit))
  end
end

--- Do the shares of the class have room for one more?
function M.has_share(class)
  local groups = class.groups
  for i = 1, #groups do
    if groups[i].n >= groups[i].room then
      return false
    end
  end
  return true
end

--- n more calls of the class, or fewer.
function M.count(class, n)
  class.running = class.running + n
  local groups = class.groups
  for i = 1, #groups do
    groups[i].n = groups[i].n + n
  end
end

--- How many stand in the lines of this class and the more important ones.
function M.ahead(classes, class)
  local n = 0
  for i = 1, class.rank do
    n = n + classes[i].line.n
  end
  return n
end

--- The class whose first is next: the most important one with somebody in its line whose share has
-- room, but one that was passed by often enough comes before it.
function M.next_class(classes)
  local best
  for i = 1, #classes do
    local class = classes[i]
    if class.line.first and M.has_share(class) then
      if class.passed >= PASSED_MAX then
        return class
      end
      best = best or class
    end
  end
  return best
end

--- Somebody of this class was served.
function M.pass(classes, served)
  for i = 1, #classes do
    local class = classes[i]
    class.passed = class ~= served and class.line.first and class.passed + 1 or 0
  end
end

--- The last of the least important line, if that is below the class.
function M.lowest(classes, class)
  for i = #classes, class.rank + 1, -1 do
    if classes[i].line.last then
      return classes[i].line.last
    end
  end
end

return M
