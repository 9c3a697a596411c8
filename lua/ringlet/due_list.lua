-- SPDX-License-Identifier: MIT
-- due_list: what is due when, for things that all have the same period: whoever had its turn goes
-- to the end, so the list stays in order by itself, whatever its length.
--
-- Things are small whole numbers. Invariants: the list is doubly linked through `before` and
-- `after`, in which 0 stands for its two ends; `at[i]` is set exactly while i is on it.

local M = {}

local List = {}
List.__index = List

function M.new()
  return setmetatable({at = {}, before = {[0] = 0}, after = {[0] = 0}}, List)
end

--- Take i off, if it is on.
function List:remove(i)
  local before, after = self.before, self.after
  if self.at[i] then
    after[before[i]], before[after[i]] = after[i], before[i]
    self.at[i], before[i], after[i] = nil, nil, nil
  end
end

--- Put i at the end: it is due at `t`, which no other on the list is behind.
function List:push(i, t)
  local before, after = self.before, self.after
  self:remove(i)
  local last = before[0]
  before[i], after[i], after[last], before[0] = last, 0, i, i
  self.at[i] = t
end

--- The first and when it is due; nothing when the list is empty.
function List:first()
  local i = self.after[0]
  if i ~= 0 then
    return i, self.at[i]
  end
end

--- The first, if it is due by `t`.
function List:due(t)
  local i = self.after[0]
  if i ~= 0 and self.at[i] <= t then
    return i
  end
end

return M
