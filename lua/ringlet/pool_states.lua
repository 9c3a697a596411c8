-- SPDX-License-Identifier: MIT
-- pool_states: the life of a pool's worker, as a table of the transitions there are.
--
--   created     it was made, and has had no turn yet
--   pending     it waits for a task
--   running     it runs a task
--   paused      it takes no task; one that it has begun goes on
--   failed      its task made no progress: it is given up, and another has its place
--   terminated  for good

local M = {}

local NEXT = {
  created = {pending = true, terminated = true},
  pending = {running = true, paused = true, terminated = true},
  running = {pending = true, paused = true, failed = true, terminated = true},
  paused = {pending = true, running = true, failed = true, terminated = true},
  failed = {terminated = true},
  terminated = {},
}
M.NEXT = NEXT

-- Is there a way from one state to the other?
function M.may(from, to)
  return NEXT[from][to] == true
end

-- Change the worker's state; raises what is no transition, at the caller's caller or `level`.
function M.move(worker, to, level)
  local from = worker.phase
  if not NEXT[from][to] then
    error(("worker %d is %s: it cannot become %s"):format(worker.id, from, to), (level or 2) + 1)
  end
  worker.phase = to
end

return M
