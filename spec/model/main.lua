-- SPDX-License-Identifier: MIT
-- main: `make model`: plays many seeds and says what they met.
--
--     luajit spec/model/main.lua [--once] [--stop] [first] last
--
-- --once: do not play each seed again; --stop: end at the first failure, and say before each seed
-- which it is, for crashes.
--
-- Fails when a seed fails, when select was not fair, and when so many seeds never met an operation
-- or a fault point. RINGLET_SEED=n plays that seed alone and prints its whole history.

local seeds = require "spec.model.seeds"

-- Seeds after which everything must have been met.
local ENOUGH = 300

local total = {seeds = 0, failed = {}, events = 0, ops = {}, faults = {}, picks = {}}

local function add_counts(r)
  total.events = total.events + #r.history.events
  for op, n in pairs(r.history.counts) do
    total.ops[op] = (total.ops[op] or 0) + n
  end
  for point, counts in pairs(r.faults) do
    local sum = total.faults[point] or {0, 0}
    total.faults[point] = {sum[1] + counts[1], sum[2] + counts[2]}
  end
  for n, places in pairs(r.model.picks) do
    total.picks[n] = total.picks[n] or {}
    for place, count in pairs(places) do
      total.picks[n][place] = (total.picks[n][place] or 0) + count
    end
  end
end

local function vm()
  return rawget(_G, "jit") and "luajit" or "lua5.4"
end

local function report_failure(seed, why)
  total.failed[#total.failed + 1] = seed
  io.write(("\nFAIL seed %d: %s\n  again: RINGLET_SEED=%d make model ABIS=%s\n"):format(seed, why,
    seed, vm()))
end

local function play(first, last, once, stop)
  for seed = first, last do
    if stop then
      io.write("\nseed ", seed, "\n")
      io.flush()
    end
    local r, why = seeds.try(seed, once)
    total.seeds = total.seeds + 1
    if r then
      add_counts(r)
    else
      report_failure(seed, why)
      if stop then
        return
      end
    end
    if not stop and total.seeds % 100 == 0 then
      io.write(("%s: %d seeds, %d events, %d failed\n"):format(vm(), total.seeds, total.events,
        #total.failed))
      io.flush()
    end
  end
end

local function sorted(t)
  local list = {}
  for k in pairs(t) do list[#list + 1] = k end
  table.sort(list)
  return list
end

-- What was never met.
local function print_ops(missing)
  io.write("operations:\n")
  local column = 0
  for _, op in ipairs(sorted(seeds.operations)) do
    local n = total.ops[op] or 0
    io.write(("  %-22s %7d"):format(op, n))
    column = column + 1
    io.write(column % 3 == 0 and "\n" or "")
    if n == 0 then
      missing[#missing + 1] = op
    end
  end
  io.write(column % 3 == 0 and "" or "\n")
end

local function print_faults(missing)
  io.write("fault points:             asked   fired\n")
  for _, point in ipairs(seeds.POINTS) do
    local counts = total.faults[point] or {0, 0}
    io.write(("  %-20s %9d %7d\n"):format(point, counts[1], counts[2]))
    if counts[2] == 0 then
      missing[#missing + 1] = point
    end
  end
end

-- Each of n ready cases wins one time in n, give or take five standard deviations.
local function print_picks()
  local unfair = 0
  for _, n in ipairs(sorted(total.picks)) do
    local sum, shares = 0, {}
    for place = 1, n do
      sum = sum + (total.picks[n][place] or 0)
    end
    local far = 5 * math.sqrt(sum * (1 / n) * (1 - 1 / n)) + 1
    for place = 1, n do
      local count = total.picks[n][place] or 0
      shares[place] = ("%d"):format(count)
      unfair = unfair + (math.abs(count - sum / n) > far and 1 or 0)
    end
    io.write(("select among %d ready cases: %s\n"):format(n, table.concat(shares, " ")))
  end
  return unfair == 0
end

local function main(args)
  local numbers, once, stop = {}, false, false
  for _, a in ipairs(args) do
    once, stop = once or a == "--once", stop or a == "--stop"
    numbers[#numbers + 1] = tonumber(a)
  end
  local only = tonumber(os.getenv "RINGLET_SEED" or "")
  if only then
    return seeds.show(only)
  end
  local last = table.remove(numbers) or 1000
  play(numbers[1] or 1, last, once, stop)
  local missing = {}
  print_ops(missing)
  print_faults(missing)
  local fair = print_picks()
  if #missing > 0 then
    io.write("never met: ", table.concat(missing, ", "), "\n")
  end
  if not fair then
    io.write("select is not fair\n")
  end
  io.write(("%s: %d seeds, %d events, %d failed%s\n"):format(vm(), total.seeds, total.events,
    #total.failed, total.failed[1] and ": " .. table.concat(total.failed, " ") or ""))
  return #total.failed == 0 and fair and (#missing == 0 or total.seeds < ENOUGH)
end

os.exit(main(arg) and 0 or 1)
