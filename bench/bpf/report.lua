-- SPDX-License-Identifier: MIT
-- Turns what bench/bpf/run recorded into tables: report.lua <results.tsv> <missing.tsv> [row...].
-- A line of the results is round, name, value, unit; of what is missing, name, reason. The table
-- has every row of rows.lua, or those that were asked for: also those that were not measured, with
-- the reason.

local here = arg[0]:match "^.*/" or ""
local rows, statistics = dofile(here .. "rows.lua"), dofile(here .. "../statistics.lua")
local number, with_spread = statistics.number, statistics.with_spread

local HEAD = { "What", "Gate", "With eBPF", "Verdict", "Without", "Verdict" }

local function read_results(path)
  local results, order = {}, {}
  for line in io.lines(path) do
    local round, name, value, unit = line:match "^(%d+)\t(%S+)\t(%S+)\t(%S+)$"
    if round and tonumber(value) then
      if not results[name] then
        results[name] = { unit = unit, rounds = {} }
        order[#order + 1] = name
      end
      results[name].rounds[tonumber(round)] = tonumber(value)
    end
  end
  return results, order
end

local function read_missing(path)
  local missing = {}
  for line in io.lines(path) do
    local name, reason = line:match "^(%S+)\t(.*)$"
    if name then missing[name] = reason end
  end
  return missing
end

-- Why there is no such value: what was said of it, or of the whole of which it is a part.
local function reason_of(missing, name)
  while name do
    if missing[name] then return missing[name] end
    name = name:match "^(.*)%.[^.]*$"
  end
  return "no result"
end

-- What is judged, as text and as {median=...}; nil and the reason when there is none.
local function measured(row, name, data)
  local result, base = data.results[name], data.results[row.of]
  if not result then return nil, "not measured: " .. reason_of(data.missing, name) end
  local own = statistics.summary(result.rounds)
  if not row.of then return own, number(own.median) .. " " .. result.unit end
  local ratio = base and statistics.ratio(result.rounds, base.rounds)
  if not ratio then return nil, "not measured: " .. reason_of(data.missing, row.of) end
  return ratio, ("%s (%s of %s %s)"):format(with_spread(ratio), number(own.median),
    number(statistics.summary(base.rounds).median), base.unit)
end

local function verdict(row, summary)
  local median = summary.median
  if row.most and median > row.most or row.least and median < row.least then return "**missed**" end
  return "met"
end

local function gate(row)
  local text = row.most and "<= " .. number(row.most) or ">= " .. number(row.least)
  if row.of then text = text .. "x " .. row.than end
  return row.aim and ("%s, aim %s"):format(text, number(row.aim)) or text
end

local function print_row(cells) print("| " .. table.concat(cells, " | ") .. " |") end

local function print_gates(data, wanted)
  print ""
  print_row(HEAD)
  print "| --- | --- | --- | --- | --- | --- |"
  for _, row in ipairs(rows) do
    if not next(wanted) or wanted[row.row] then
      local summary, text = measured(row, row.value, data)
      local judged = summary and verdict(row, summary) or "-"
      local cells = { row.title, gate(row), text, judged, "-", "-" }
      if row.user then
        summary, text = measured(row, row.user, data)
        cells[5] = text
        cells[6] = summary and (row.both and verdict(row, summary) or "for comparison") or "-"
      end
      print_row(cells)
    end
  end
end

local function print_everything(data)
  print "\nEverything that was recorded:\n"
  print "| Value | Median [quartiles] | Unit | Rounds |"
  print "| --- | --- | --- | --- |"
  for _, name in ipairs(data.order) do
    local result = data.results[name]
    local s = statistics.summary(result.rounds)
    print_row { name, with_spread(s), result.unit, s.n }
  end
end

-- How quiet it was: times of a machine that others use are not those of a quiet one.
local function print_foreign(data)
  local all, worst = {}, 0
  for _, name in ipairs(data.order) do
    if name:match "%.foreign$" then
      for _, value in pairs(data.results[name].rounds) do
        all[#all + 1] = value
        worst = math.max(worst, value)
      end
    end
  end
  local s = statistics.summary(all)
  if s then
    print(("- others used %.0f %% of the CPUs meanwhile (median; at worst %.0f %%)"):format(
      s.median * 100, worst * 100))
  end
end

local wanted = {}
for i = 3, #arg do wanted[arg[i]] = true end
local data = { missing = read_missing(arg[2]) }
data.results, data.order = read_results(arg[1])
print_foreign(data)
print_gates(data, wanted)
print_everything(data)
