-- SPDX-License-Identifier: MIT
-- debug_sort: the first of a long list, sorted, without keeping others from their turn.
--
-- A merge sort from below: runs that are in order are merged two by two. So a list that is in order
-- already is looked at once, and a sorted list is a pure function of the list.

local M = {}

-- How many steps are made between two pauses.
local STEPS = 512

-- Which of two tasks comes first, by shard and number.
function M.by_id(a, b)
  if a.shard ~= b.shard then
    return a.shard < b.shard
  end
  return a.id < b.id
end

-- Where each run ends, in order.
local function runs_of(list, before, step)
  local ends = {}
  for i = 1, #list do
    step()
    if i == #list or before(list[i + 1], list[i]) then
      ends[#ends + 1] = i
    end
  end
  return ends
end

-- Merge from[a..b] and from[b+1..c] into to[a..c].
local function merge(from, to, a, b, c, before, step)
  local i, j = a, b + 1
  for k = a, c do
    step()
    if j > c or i <= b and not before(from[j], from[i]) then
      to[k], i = from[i], i + 1
    else
      to[k], j = from[j], j + 1
    end
  end
end

local function merge_all(from, to, ends, before, step)
  local merged, a = {}, 1
  for r = 1, #ends, 2 do
    local b, c = ends[r], ends[r + 1] or ends[r]
    merge(from, to, a, b, c, before, step)
    merged[#merged + 1], a = c, c + 1
  end
  return merged
end

-- The first `limit` (nil: all) of the list, sorted by before(a, b), as a list. `pause` is called
-- now and then.
function M.first(list, before, limit, pause)
  local n = 0
  local function step()
    n = n + 1
    if n % STEPS == 0 then
      pause()
    end
  end
  local ends, other = runs_of(list, before, step), {}
  while #ends > 1 do
    ends = merge_all(list, other, ends, before, step)
    list, other = other, list
  end
  for i = #list, (limit or #list) + 1, -1 do
    list[i] = nil
  end
  return list
end

return M
