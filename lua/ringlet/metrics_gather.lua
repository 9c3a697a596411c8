-- SPDX-License-Identifier: MIT
-- metrics_gather: all there is to export, a slice at a time: inside a task its turn is given up
-- between two slices.

local core = require "ringlet.core"
local labels = require "ringlet.labels"
local names = require "ringlet.metrics_names"
local runtime = require "ringlet.metrics_runtime"
local time = require "ringlet.time"

local M = {}

local SLICE = 0.0004 -- seconds of work between two yields
local BATCH = 128    -- series read at once

-- A pace, for `rest`.
function M.pace()
  return {parks = core.inside(), due = core.now() + SLICE}
end

-- Take a break if a slice is over.
function M.rest(pace)
  if pace.parks and core.now() >= pace.due then
    time.yield()
    pace.due = core.now() + SLICE
  end
end

-- A reading of each shard.
function M.readings()
  local readings = {}
  local _, size = core.fleet()
  for index = 1, size or 1 do
    readings[#readings + 1] = runtime.reading(index)
  end
  return readings
end

-- A histogram of the runtime as `core.series_batch` gives those of programs: {bound, count, ...,
-- count =, sum =}.
function M.brief(h)
  local out, before = {count = h.count, sum = h.sum}, 0
  for i, pair in ipairs(h:cumulative()) do
    out[2 * i - 1], out[2 * i] = pair[1], pair[2] - before
    before = pair[2]
  end
  return out
end

local function plus(a, b)
  if type(a) == "number" then
    return a + b
  end
  for i = 2, #a, 2 do
    a[i] = a[i] + (b[i] or 0)
  end
  a.count, a.sum = a.count + b.count, a.sum + b.sum
  return a
end

-- A family that is found first: false if it is not wanted.
local function found_first(found, wanted, meta)
  local about = labels.parse(meta)
  about.text_name = names.of_user(about)
  local f = false
  if not wanted or wanted[about.name] or wanted[about.text_name] then
    f = {about = about, n = 0, sets = {}, values = {}, index = {}}
    found[#found + 1] = f
  end
  found[meta] = f
  return f
end

-- What a shard has, by family: sets of labels and their values; of those that were there, the sum.
-- Series of the first shard are all different: those of further ones are looked for.
local function gather(found, wanted, from, n, several)
  for at = 1, 3 * n, 3 do
    local set, value = from[at + 1], from[at + 2]
    local f = found[from[at]]
    if f == nil then
      f = found_first(found, wanted, from[at])
    end
    if f then
      local i = several and f.index[set]
      if i then
        f.values[i] = plus(f.values[i], value)
      else
        i = f.n + 1
        f.n, f.sets[i], f.values[i] = i, set, value
        if several then
          f.index[set] = i
        end
      end
    end
  end
end

-- What all shards have, by family, in the order of their making from the last to the first: a list
-- of {about=, n=, sets= texts, values=}.
function M.series(pace, wanted)
  local found, batch = {}, {}
  local _, size = core.fleet()
  for index = 1, size or 1 do
    local at, n
    repeat
      at, n = core.series_batch(index, at, BATCH, batch)
      gather(found, wanted, batch, n, size and size > 1)
      M.rest(pace)
    until not at
  end
  return found
end

return M
