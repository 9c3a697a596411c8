-- SPDX-License-Identifier: MIT
-- seeds: play one seed, twice, and check its history against the reference.

local play = require "spec.model.play"
local program = require "spec.model.program"
local ref = require "spec.model.reference"
for _, name in ipairs {"task", "chan", "time", "sync", "lock", "net"} do
  require("spec.model.ref_" .. name)
end

-- Events shown before a failure, and after it.
local BEFORE, AFTER = 40, 6

-- Where two histories part.
local function difference(a, b)
  for i = 1, math.max(#a, #b) do
    if a[i] ~= b[i] then
      return ("not the same when the seed is played again:\n  %s\n  %s"):format(tostring(a[i]),
        tostring(b[i]))
    end
  end
end

-- The same for the counts of fault points.
local function other_faults(a, b)
  for point, counts in pairs(a) do
    if counts[1] ~= b[point][1] or counts[2] ~= b[point][2] then
      return ("%s is asked %d times, but %d times when the seed is played again"):format(point,
        counts[1], b[point][1])
    end
  end
end

-- Play a seed again: what is not the same?
local function play_again(seed, lines, faults)
  local history, more = play.play(program.generate(seed))
  return difference(lines, history:lines()) or other_faults(faults, more)
end

local function check(p, history, err)
  if err then
    return "the run failed: " .. err, #history.events
  end
  return ref.replay(history, p.faults)
end

-- Play a seed: {history, faults, model} when all is well, or nil, what is wrong.
local function try(seed, once)
  local p = program.generate(seed)
  local history, faults, err = play.play(p)
  local lines = history:lines() -- before the check, which leaves its notes in the events
  local wrong, at, model = check(p, history, err)
  if wrong then
    local from, to = math.max(1, at - BEFORE), math.min(#lines, at + AFTER)
    return nil, ("%s\n(event %d, faults: %s)\n%s"):format(wrong, at, p.faults or "none",
      table.concat(lines, "\n", from, to))
  end
  local parted = not once and play_again(seed, lines, faults)
  if parted then
    return nil, parted
  end
  return {history = history, faults = faults, model = model}
end

-- Play a seed once and print its whole history.
local function show(seed)
  local p = program.generate(seed)
  local history, _, err = play.play(p)
  io.write(table.concat(history:lines(), "\n"), "\n")
  local wrong, at = check(p, history, err)
  io.write(("seed %d, faults: %s\n%s\n"):format(seed, p.faults or "none",
    wrong and ("FAIL at event %d: %s"):format(at, wrong) or "as it should be"))
  return not wrong
end

-- Calls that a good program need not make: "left" is a failure.
local operations = {}
for op in pairs(ref.calls) do
  operations[op] = op ~= "left" or nil
end

return {try = try, show = show, operations = operations, POINTS = program.POINTS}
