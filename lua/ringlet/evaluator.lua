-- SPDX-License-Identifier: MIT
-- evaluator: what an object with `evaluate` and `interval` has in common with others of its kind: a
-- daemon that calls `evaluate` at each interval from start to stop.
--
-- Invariant: `task` and `halt` are there from start to stop. Each start makes new ones, so a loop
-- that was stopped while it evaluates ends after that.

local sync = require "ringlet.sync"
local task = require "ringlet.task"

local M = {}

local function loop(self, halt)
  repeat
    self:evaluate()
  until halt:wait(self.interval)
end

-- Does its daemon run? One of a run that is over does not.
function M.is_running(self)
  return self.task ~= nil and self.task[1] ~= false
end

-- Inside a task, when it does not run. `name` is for dumps.
function M.start(self, name)
  self.halt = sync.event()
  self.task = task.daemon(loop, self, self.halt)
  self.task:name(name)
end

function M.stop(self)
  if self.halt then
    self.halt:set()
    self.halt, self.task = nil, nil
  end
end

-- A new list of what it has kept.
function M.history(self)
  local list = {}
  for i, event in ipairs(self.events) do
    list[i] = event
  end
  return list
end

return M
