-- SPDX-License-Identifier: MIT
-- cli_top_hot: collapsed stacks of a CPU profile, summed up by function: the hot spots of `ringlet
-- top`. A pure function.

local M = {}

local function spot_of(spots, name)
  local spot = spots[name]
  if not spot then
    spot = {name = name, own = 0, all = 0}
    spots[name] = spot
    spots[#spots + 1] = spot
  end
  return spot
end

-- One stack: its last function has the time of its own, each function on it has it in all, once.
local function add(spots, stack, ns)
  local seen, last = {}, nil
  for name in stack:gmatch "[^;]+" do
    last = spot_of(spots, name)
    if not seen[name] then
      seen[name] = true
      last.all = last.all + ns
    end
  end
  if last then
    last.own = last.own + ns
  end
end

-- "outer;inner nanoseconds" lines as {seconds=, spots = {{name=, own=, all=}, ...}}, own and all
-- being parts of the whole, those that have the most of their own first.
function M.of(folded)
  local total, spots, list = 0, {}, {}
  for stack, ns in folded:gmatch "([^\n]+) (%d+)\n" do
    total = total + ns
    add(spots, stack, tonumber(ns))
  end
  for i, spot in ipairs(spots) do
    list[i] = {name = spot.name, own = spot.own / total, all = spot.all / total}
  end
  table.sort(list, function(a, b)
    if a.own ~= b.own then
      return a.own > b.own
    elseif a.all ~= b.all then
      return a.all > b.all
    end
    return a.name < b.name
  end)
  return {seconds = total / 1e9, spots = list}
end

return M
