-- SPDX-License-Identifier: MIT
-- profile_text: profiles as texts: tables of functions, collapsed stacks; and what is left out.
--
-- Works on {frames, value, count}, innermost frame first. A function is told from others by its
-- file and first line, one of C and a frame that stands for something else by the name.

local M = {}

-- C that the library calls is the library's.
local function is_ours(stack, i)
  local frame, caller = stack[i], stack[i + 1]
  return frame.library or (frame.what == "C" and frame.file ~= "" and caller and caller.library)
end

--- What the library does for its caller as one frame, that of the outermost of its functions.
-- @tparam table stack frames, innermost first
-- @treturn table another list
function M.without_library(stack)
  local list = {}
  for i, frame in ipairs(stack) do
    local inner = is_ours(stack, i) and stack[i + 1] and is_ours(stack, i + 1)
    if not inner then
      list[#list + 1] = frame
    end
  end
  return list
end

--- With a frame for each of these labels outside of all others, the first outermost.
function M.with_labels(frames, labels, names)
  if not names or not names[1] then
    return frames
  end
  local list = {}
  for i, frame in ipairs(frames) do
    list[i] = frame
  end
  for i = #names, 1, -1 do
    local name = ("%s=%s"):format(names[i], tostring(labels[names[i]]))
    list[#list + 1] = {name = name, file = "", line = -1, defined = -1, what = "C"}
  end
  return list
end

--- "handler (app.lua:12)"
function M.label(frame)
  local place = ("%s:%d"):format(frame.file:match "[^/]*$", frame.defined)
  if frame.defined < 0 or frame.name == place then
    return frame.name
  end
  return ("%s (%s)"):format(frame.name, place)
end

--- What tells its function from others.
function M.function_key(frame)
  return frame.defined < 0 and frame.name or frame.file .. ":" .. frame.defined
end

local SCALES = {
  nanoseconds = {{1e9, "s"}, {1e6, "ms"}, {1e3, "us"}, {0, "ns"}},
  bytes = {{2 ^ 30, "GiB"}, {2 ^ 20, "MiB"}, {2 ^ 10, "KiB"}, {0, "B"}},
}

--- "1.25 s", "512 KiB"
function M.amount(value, unit)
  for _, scale in ipairs(SCALES[unit]) do
    if value >= scale[1] then
      return ("%.4g %s"):format(value / math.max(scale[1], 1), scale[2])
    end
  end
end

-- ---- tables -------------------------------------------------------------------------------------

local function entry_of(frame, all)
  local key = M.function_key(frame)
  local entry = all[key]
  if not entry then
    entry = {
      name = frame.name, file = frame.file, defined = frame.defined, flat = 0, cum = 0,
      label = M.label(frame),
    }
    all[key] = entry
    all[#all + 1] = entry
  end
  return entry
end

--- The functions, those that have the most of their own first. One that calls itself counts once.
function M.functions(rows)
  local all = {}
  for _, row in ipairs(rows) do
    local seen = {}
    for i, frame in ipairs(row.frames) do
      local entry = entry_of(frame, all)
      entry.flat = entry.flat + (i == 1 and row.value or 0)
      entry.cum = entry.cum + (seen[entry] and 0 or row.value)
      seen[entry] = true
    end
  end
  table.sort(all, function(a, b)
    if a.flat ~= b.flat then return a.flat > b.flat end
    if a.cum ~= b.cum then return a.cum > b.cum end
    return a.label < b.label
  end)
  local list = {}
  for i, entry in ipairs(all) do
    list[i] = entry
  end
  return list
end

--- The same as a text, as `go tool pprof -top` has it.
function M.top(rows, unit, n)
  local total, lines = 0, {"      flat  flat%   sum%        cum   cum%"}
  for _, row in ipairs(rows) do
    total = total + row.value
  end
  local sum = 0
  for i, entry in ipairs(M.functions(rows)) do
    if i > n then
      break
    end
    sum = sum + entry.flat
    lines[#lines + 1] = ("%10s %5.1f%% %5.1f%% %10s %5.1f%%  %s"):format(
      M.amount(entry.flat, unit), entry.flat * 100 / total, sum * 100 / total,
      M.amount(entry.cum, unit), entry.cum * 100 / total, entry.label)
  end
  return table.concat(lines, "\n") .. "\n"
end

-- ---- collapsed stacks ---------------------------------------------------------------------------

local function folded_name(frame)
  return (M.label(frame):gsub("[;\r\n]", ","))
end

--- "outermost;...;innermost value", a line for each stack, sorted.
function M.folded(rows)
  local sums, lines = {}, {}
  for _, row in ipairs(rows) do
    local names, n = {}, #row.frames
    for i, frame in ipairs(row.frames) do
      names[n + 1 - i] = folded_name(frame)
    end
    local key = table.concat(names, ";")
    sums[key] = (sums[key] or 0) + row.value
  end
  for key, value in pairs(sums) do
    lines[#lines + 1] = ("%s %.0f\n"):format(key, value)
  end
  table.sort(lines)
  return table.concat(lines)
end

return M
