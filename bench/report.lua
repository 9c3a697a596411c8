-- SPDX-License-Identifier: MIT
-- Turns what bench/run recorded into tables: report.lua <results.tsv>. A line of the input is
-- round, implementation, name, value, unit. Medians with quartiles; a ratio is that of the medians,
-- its quartiles are those of the ratios within one round. A target that only the better quartile
-- reaches is "met within spread".

local here = arg[0]:match "^.*/" or ""
local rows, statistics = dofile(here .. "rows.lua"), dofile(here .. "statistics.lua")
local number, summary, with_spread = statistics.number, statistics.summary, statistics.with_spread

local function read_results(path)
  local results, order = {}, {}
  for line in assert(io.open(path)):lines() do
    local round, impl, name, value, unit = line:match "^(%d+)\t(%S+)\t(%S+)\t(%S+)\t(%S+)$"
    if round and tonumber(value) then
      if not results[name] then
        results[name] = { unit = unit, impls = {}, order = {} }
        order[#order + 1] = name
      end
      local result = results[name]
      if not result.impls[impl] then
        result.impls[impl] = {}
        result.order[#result.order + 1] = impl
      end
      result.impls[impl][tonumber(round)] = tonumber(value)
    end
  end
  return results, order
end

local function verdict(s, limit)
  if s.median <= limit then return "met" end
  if s.q1 <= limit then return "met within spread" end
  return "**missed**"
end

local function print_target(row, result, target)
  local subject, limit, peer = target[1], target[2], target[3]
  local mine = summary(result.impls[subject])
  local cells = { row.title, subject, "no result", "-", "-", "-", "no result" }
  if mine then
    cells[3] = with_spread(mine) .. " " .. result.unit
    if peer then
      local ratio, theirs = statistics.ratio(result.impls[subject], result.impls[peer]),
        summary(result.impls[peer])
      cells[4] = theirs and peer .. " " .. with_spread(theirs) or peer .. ": no result"
      cells[5] = ratio and with_spread(ratio) or "-"
      cells[7] = ratio and verdict(ratio, limit) or "no result"
    else
      cells[7] = verdict(mine, limit)
    end
  end
  cells[6] = peer and string.format("<= %sx %s", number(limit), peer)
    or string.format("<= %s %s", number(limit), result.unit)
  print("| " .. table.concat(cells, " | ") .. " |")
end

local function print_targets(results)
  print "| What | Who | Median [quartiles] | Against | Ratio [quartiles] | Target | Verdict |"
  print "| --- | --- | --- | --- | --- | --- | --- |"
  for _, row in ipairs(rows) do
    local result = results[row.name]
    if result then
      for _, target in ipairs(row.targets) do print_target(row, result, target) end
    end
  end
end

local function print_everything(results, order)
  print "\nEverything that was recorded:\n"
  print "| Value | Who | Median [quartiles] | Unit | Rounds |"
  print "| --- | --- | --- | --- | --- |"
  for _, name in ipairs(order) do
    local result = results[name]
    table.sort(result.order)
    for _, impl in ipairs(result.order) do
      local s = summary(result.impls[impl])
      local cells = { name, impl, with_spread(s), result.unit, s.n }
      print("| " .. table.concat(cells, " | ") .. " |")
    end
  end
end

local results, order = read_results(arg[1])
print_targets(results)
print_everything(results, order)
