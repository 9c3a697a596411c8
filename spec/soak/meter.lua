-- SPDX-License-Identifier: MIT
-- What the soak measures: the counters that must come back to where they were, and memory.

local rl = require "ringlet"

local M = {}

-- What must be exactly as before, in the order it is printed.
M.COUNTERS = {"own_tasks", "daemons", "handles", "timers", "ops", "works", "fds", "threads"}

local function read_file(name)
  local file = assert(io.open(name))
  local text = file:read "*a"
  file:close()
  return text
end

local pid = read_file("/proc/self/stat"):match "^%d+"

-- Descriptors but pipes: this one is read from a pipe, whose other end may not be closed yet. And
-- threads but those with which the kernel serves a ring: it keeps the last.
local COUNT = ("ls -lU /proc/%s/fd 2>/dev/null | grep -c ' -> [^p]'; "
  .. "cat /proc/%s/task/*/comm 2>/dev/null | grep -cv ^iou-"):format(pid, pid)

--- Open descriptors, and threads.
function M.descriptors()
  local pipe = assert(io.popen(COUNT))
  local fds, threads = pipe:read "*l", pipe:read "*l"
  pipe:close()
  return tonumber(fds), tonumber(threads)
end

--- Counters and memory (kB) as they are now.
function M.read()
  local now = rl.stats()
  now.fds, now.threads = M.descriptors()
  now.rss_kb = tonumber(read_file("/proc/self/status"):match "VmRSS:%s*(%d+)")
  now.heap_kb = tonumber(read_file("/proc/self/smaps"):match "%[heap%]\n.-Rss:%s*(%d+)") or 0
  now.lua_kb = collectgarbage "count"
  now.own_tasks = now.tasks - now.daemons
  return now
end

--- What differs between two readings, as text; nil when nothing does.
-- @param ignored names of counters that may differ
function M.difference(was, now, ignored)
  local found = {}
  for _, name in ipairs(M.COUNTERS) do
    if was[name] ~= now[name] and not (ignored and ignored[name]) then
      found[#found + 1] = ("%s %d, not %d"):format(name, now[name], was[name])
    end
  end
  return found[1] and table.concat(found, "; ") or nil
end

--- The counters of a reading as text.
function M.text(reading)
  local words = {}
  for i, name in ipairs(M.COUNTERS) do
    words[i] = name .. " " .. reading[name]
  end
  return table.concat(words, ", ")
end

--- The line that fits `samples` ({t, kB} each) best: how much it rises from the first to the last,
-- and the distance of the highest from the lowest sample.
function M.fit(samples)
  local n, st, sy, stt, sty = #samples, 0, 0, 0, 0
  local low, high = math.huge, -math.huge
  for _, sample in ipairs(samples) do
    local t, y = sample[1], sample[2]
    st, sy, stt, sty = st + t, sy + y, stt + t * t, sty + t * y
    low, high = math.min(low, y), math.max(high, y)
  end
  local across = n * stt - st * st
  local slope = across > 0 and (n * sty - st * sy) / across or 0
  return slope * (samples[n][1] - samples[1][1]), high - low
end

return M
