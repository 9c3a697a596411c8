-- SPDX-License-Identifier: MIT
-- limiter_line: a line of entries, first come, first served, from which anybody may step out.
--
-- Invariants: an entry stands in one line at most; `line.n` counts those that do.

local M = {}

local Line = {}
Line.__index = Line

function M.new()
  return setmetatable({first = false, last = false, n = 0}, Line)
end

function Line:push(entry)
  local last = self.last
  entry.line, entry.before, entry.behind = self, last, false
  if last then
    last.behind = entry
  else
    self.first = entry
  end
  self.last, self.n = entry, self.n + 1
end

function Line:remove(entry)
  if entry.line ~= self then
    return
  end
  local before, behind = entry.before, entry.behind
  if before then
    before.behind = behind
  else
    self.first = behind
  end
  if behind then
    behind.before = before
  else
    self.last = before
  end
  entry.line, entry.before, entry.behind = false, false, false
  self.n = self.n - 1
end

return M
