-- SPDX-License-Identifier: MIT
-- pool_line: futures in the order in which they came: a ring that grows.
--
-- What is taken out of the middle stays where it is, settled, until it is passed or swept: so
-- taking out needs no search. Invariants: `len` counts futures that are pending, `used` the places
-- from head to tail; there are never more than twice as many of these as of those, and a few.

local M = {}

local CAPACITY, FEW = 16, 16

-- One that has more places than this is not kept when it is empty.
M.LARGE = 1024

--- An empty line.
function M.new()
  local line = {head = 1, tail = 0, len = 0, used = 0, capacity = CAPACITY}
  for i = 1, CAPACITY do
    line[i] = false
  end
  return line
end

-- Move what is pending to the beginning of the ring, which has `capacity` places then.
local function sweep(line, capacity)
  local kept, n, at = {}, 0, line.head
  for _ = 1, line.used do
    local f = line[at]
    if f[1] then
      n = n + 1
      kept[n] = f
    end
    at = at < line.capacity and at + 1 or 1
  end
  for i = 1, capacity do
    line[i] = kept[i] or false
  end
  line.head, line.tail, line.used, line.capacity = 1, n, n, capacity
end

--- Add a future at the end.
function M.push(line, f)
  if line.used == line.capacity then
    sweep(line, line.len * 2 > line.capacity and line.capacity * 2 or line.capacity)
  end
  local tail = line.tail < line.capacity and line.tail + 1 or 1
  line[tail], line.tail = f, tail
  line.used, line.len = line.used + 1, line.len + 1
end

-- Pass what was taken out of the middle.
local function skip(line)
  while not line[line.head][1] do
    line[line.head] = false
    line.head = line.head < line.capacity and line.head + 1 or 1
    line.used = line.used - 1
  end
end

--- Take the first, or nil.
function M.pop(line)
  local len = line.len
  if len == 0 then
    return nil
  elseif line.used > len then
    skip(line)
  end
  local head = line.head
  local f = line[head]
  line[head] = false
  line.head = head < line.capacity and head + 1 or 1
  line.used, line.len = line.used - 1, len - 1
  return f
end

--- The n-th, or nil; it stays.
function M.nth(line, n)
  local at = line.head
  for _ = 1, line.used do
    local f = line[at]
    if f[1] then
      n = n - 1
      if n == 0 then
        return f
      end
    end
    at = at < line.capacity and at + 1 or 1
  end
end

--- One of them is settled, wherever it is.
function M.drop(line)
  local len = line.len - 1
  line.len = len
  if len == 0 or line.used > 2 * len + FEW then
    sweep(line, line.capacity)
  end
end

return M
