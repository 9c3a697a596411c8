-- SPDX-License-Identifier: MIT
-- breaker_cells: the rolling window of a breaker that shards share: what breaker_window is for one.
--
-- A generation has a sum for each thing that is counted, and with a window a ring of cells besides,
-- one for each bucket. A cell holds the number of its bucket with the count: so whoever adds to it
-- sees by the same compare-and-swap whether the bucket is still there. Who sets a cell to a later
-- bucket takes the old count from the sum.
--
-- Between adding to a cell and to its sum, and between setting a cell and taking from the sum,
-- others see a sum that is off by what is under way; when nothing is, all sums are exact.

local core = require "ringlet.core"

local M = {}

local FIELDS = {"requests", "successes", "failures", "excluded", "slow"}
M.FIELDS = FIELDS

-- A cell is number * COUNT + count. LuaJIT's numbers hold it exactly, and numbers that far apart
-- are never in use at the same time.
local COUNT, NUMBERS = 2 ^ 32, 2 ^ 20

local function tag(age)
  return age % NUMBERS * COUNT
end

-- Is the bucket of the cell's value a later one than that of age? By the shorter way around.
local function is_later(value, age)
  local ahead = (math.floor(value / COUNT) - age) % NUMBERS
  return ahead > 0 and ahead < NUMBERS / 2
end

-- What a generation counts in: {sums =, rings = {field = {cell, ...}} or nil}. It travels.
function M.new(n, has_window)
  local cells = {sums = {}, rings = has_window and {} or nil}
  for _, field in ipairs(FIELDS) do
    cells.sums[field] = core.shared_atomic(0)
    if has_window then
      local ring = {}
      for i = 1, n do
        ring[i] = core.shared_atomic(tag(i - 1))
      end
      cells.rings[field] = ring
    end
  end
  return cells
end

-- Set a cell to the bucket of age, if it is not there yet. Gives the count it had.
local function move(cell, age)
  local value = cell:load()
  while value - value % COUNT ~= tag(age) and not is_later(value, age) do
    local done, seen = cell:cas(value, tag(age))
    if done then
      return value % COUNT
    end
    value = seen
  end
  return 0
end

-- Have every cell stand for a bucket of the window that ends with age. `dropped(field, n)` is told
-- what has left it.
function M.roll(cells, n, age, dropped)
  for field, ring in pairs(cells.rings) do
    for i = 1, n do
      local of_slot = age - (age - (i - 1)) % n
      local count = of_slot >= 0 and move(ring[i], of_slot) or 0
      if count > 0 then
        cells.sums[field]:sub(count)
        dropped(field, count)
      end
    end
  end
end

-- Count one in the bucket of age. False when that has left the window.
function M.add(cells, n, field, age)
  if cells.rings then
    local cell = cells.rings[field][age % n + 1]
    local value, done = cell:load(), false
    while not done do
      if value - value % COUNT ~= tag(age) then
        return false
      end
      local was = value
      done, value = cell:cas(was, was + 1)
    end
  end
  cells.sums[field]:add(1)
  return true
end

function M.sum(cells, field)
  return math.max(0, cells.sums[field]:load())
end

return M
