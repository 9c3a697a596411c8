-- SPDX-License-Identifier: MIT
-- group_states: the life of a logical shard, as a table of the transitions there are.
--
--   created     it has a number and a thread
--   pending     `init` runs
--   running     calls are done, one after the other
--   paused      the queue is held; a call that has begun goes on
--   failed      it made no progress, or raised where that counts; a replacement is on its way,
--               unless its `init` failed too
--   terminated  for good

local M = {}

local NEXT = {
  created = {pending = true, terminated = true},
  pending = {running = true, failed = true, terminated = true},
  running = {paused = true, failed = true, terminated = true},
  paused = {running = true, failed = true, terminated = true},
  failed = {pending = true, terminated = true},
  terminated = {},
}

-- Is there a way from one state to the other?
function M.may(from, to)
  return NEXT[from][to] == true
end

-- Change worker.state; raises what is no transition.
function M.move(worker, to)
  if not M.may(worker.state, to) then
    error(("logical shard %d is %s: it cannot become %s"):format(worker.index, worker.state, to), 0)
  end
  worker.state = to
end

return M
