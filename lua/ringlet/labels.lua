-- SPDX-License-Identifier: MIT
-- labels: what tasks are for: sets of labels, known to the core by number.
--
-- A task made by a labelled one has its labels, at the cost of copying that number; the core counts
-- the tasks of each set (src/rt/measure.h). Invariant: sets are never modified once they have a
-- number, so those who share one may keep it.

local core = require "ringlet.core"
local utf8 = require "ringlet.utf8"

local M = {}

-- number -> {name = value}, number -> its text, and back: if that is still its text
local sets, texts, numbers = {}, {}, {}
local known, lost_max = 0, 64

local ESCAPES = {["\\"] = "\\\\", ['"'] = '\\"', ["\n"] = "\\n"}

-- A value as it is between the quotes.
function M.escape(value)
  return (utf8.clean(value):gsub('[\\"\n]', ESCAPES))
end

-- A set as text, the same for equal sets: k="v",k="v", in the order of the names.
function M.text(set)
  local names, out = {}, {}
  for k in pairs(set) do
    names[#names + 1] = tostring(k)
  end
  table.sort(names)
  for i, k in ipairs(names) do
    out[i] = k .. '="' .. tostring(set[k]):gsub('[\\"\n]', ESCAPES) .. '"'
  end
  return table.concat(out, ",")
end

-- The set that such a text is of, all values being strings.
function M.parse(text)
  local set, at = {}, 1
  while at <= #text do
    local name, from = text:match('^,?([^=]+)="()', at)
    local till = from
    while text:sub(till, till) ~= '"' do
      till = till + (text:sub(till, till) == "\\" and 2 or 1)
    end
    set[name] = text:sub(from, till - 1):gsub("\\(.)", function(c)
      return c == "n" and "\n" or c
    end)
    at = till + 1
  end
  return set
end

-- The labels of the live task in this slot: not to be modified; nil if it has none.
function M.at(slot)
  return sets[core.label(slot)]
end

-- Without what has lost its number. (A table that always loses one key as it gets one would be made
-- anew by Lua each time.)
local function forget_lost()
  numbers, known = {}, 0
  for number, text in pairs(texts) do
    numbers[text] = number
    known = known + 1
  end
  lost_max = math.max(known, 64)
end

-- The number of a set, by its text; 0 when tasks have too many sets. One that is new may take its
-- number from a set that no task has.
local function number_of(text, set)
  local number = numbers[text]
  if number and texts[number] == text then
    return number
  end
  number = core.new_label(text)
  if number > 0 then
    numbers[text], texts[number], sets[number] = number, text, set
    known = known + 1
    if known > 2 * lost_max then
      forget_lost()
    end
  end
  return number
end

-- Give that task one label more: its set then. When the core has no number for it, the task has the
-- label, counts for no set, and does not hand it on.
function M.put(slot, had, k, v)
  local set = {}
  for name, value in pairs(had or {}) do
    set[name] = value
  end
  set[k] = v
  core.relabel(slot, number_of(M.text(set), set))
  return set
end

return M
