-- SPDX-License-Identifier: MIT
-- pool_heartbeat: tasks that make no progress, and the workers that are given up for them.
--
-- Each worker notes when its task began or last told of progress. There is one timer, for the
-- worker that is due first, and none while nothing runs: it is set when a task begins and there is
-- none.
--
-- Invariant: a worker that failed is counted nowhere; its task was settled, and was cancelled so
-- that it ends when it hears of it. Tasks that have not begun are in the line, where others find
-- them.

local control = require "ringlet.pool_control"
local core = require "ringlet.core"
local errors = require "ringlet.errors"
local pool_task = require "ringlet.pool_task"
local states = require "ringlet.pool_states"
local task = require "ringlet.task"
local time = require "ringlet.time"
local workers = require "ringlet.pool_workers"

local M = {}

local LOST = "ELOST: the task made no progress for %g s"

local function tell_failed(pool, w)
  if pool.on_failed then
    local ok, err = pcall(pool.on_failed, w)
    if not ok then
      task.report(err, "", w)
    end
  end
end

local function give_up(pool, w)
  local f, h = w.f, task.at(w.slot)
  local trace = h:traceback()
  states.move(w, "failed")
  pool.active, pool.crew, pool.lost = pool.active - 1, pool.crew - 1, pool.lost + 1
  h:cancel("the task made no progress")
  pool_task.fail(pool, f, errors.new(LOST:format(pool.heartbeat), "ELOST"), trace)
  tell_failed(pool, w)
  workers.dispatch(pool)
  pool_task.tell_drained(pool)
end

local arm

-- Give up those that are due; be there again for the next one.
local function check(pool)
  local now, first = core.now(), math.huge
  pool.pulse_timer = nil
  for _, w in ipairs(control.list(pool)) do
    local due = w.f and w.phase ~= "failed" and w.beat_at + pool.heartbeat or math.huge
    if due <= now then
      give_up(pool, w)
    else
      first = math.min(first, due)
    end
  end
  if first < math.huge and not pool.pulse_timer then
    arm(pool, first - now)
  end
end

function arm(pool, t)
  pool.pulse_timer = time.call_after(t, function()
    check(pool)
  end)
end

-- A worker begins a task, or its task makes progress.
function M.pulse(pool, w)
  w.beat_at = core.now()
  if not pool.pulse_timer then
    arm(pool, pool.heartbeat)
  end
end

-- The running task, if it is one of a worker of the pool that was not given up, makes progress.
function M.beat(pool)
  local slot = core.current()
  local w = slot and task.lodgers[slot]
  if not w or w.pool ~= pool or not w.f or w.phase == "failed" or not w.phase then
    return false
  end
  w.beat_at = core.now()
  return true
end

return M
