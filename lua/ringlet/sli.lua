-- SPDX-License-Identifier: MIT
-- sli: how many of the tasks get on: an indicator of health that is exact, as the state of each
-- task is known.
--
-- A task blocks when it has been parked for longer than a while on what another task must give:
-- a value, a lock, a permit, its end. One that waits for the kernel or for time does not, nor does
-- one that is ready: that is what it is there for. Daemons do not count.

--- Health.
-- @module ringlet.metrics

local core = require "ringlet.core"
local options = require "ringlet.options"

local M = {}

local BLOCKING = {
  ["chan receive"] = true, ["chan send"] = true, select = true, join = true, ["scope exit"] = true,
  ["event wait"] = true, lock = true, ["semaphore acquire"] = true, ["waitgroup wait"] = true,
  ["cond wait"] = true, ["barrier wait"] = true, once = true, wait = true, ["group call"] = true,
  ["pool submit"] = true, ["resource acquire"] = true, ["limiter wait"] = true,
}

local function level_of(ratio)
  return ratio >= 0.85 and "ok" or ratio >= 0.70 and "alert" or "break"
end

--- The share of the tasks of this shard that do not block: `nonblocking / total`. A task blocks
-- that has been parked for `after` seconds on something that another task must give; one that
-- waits for the kernel or for time does not. Daemons do not count.
-- @tparam[opt] table opts
-- @tparam[opt=1] number opts.after seconds
-- @treturn sli a new table
-- @tfield[sli] integer total tasks
-- @tfield[sli] integer nonblocking of them
-- @tfield[sli] number ratio of the two, 1 without tasks
-- @tfield[sli] string level "ok" from 0.85 on, "alert" from 0.70 on (warn, and scale), else "break"
-- @tfield[sli] table blocked how many block, by what they are parked for
function M.read(opts)
  opts = options.check(opts, {after = "number"})
  options.bounds(opts, {after = {min = 0}})
  local parked, total = core.parked(opts.after or 1)
  local blocked, by = 0, {}
  for reason, n in pairs(parked) do
    if BLOCKING[reason] then
      blocked = blocked + n
      by[reason] = n
    end
  end
  local ratio = total > 0 and (total - blocked) / total or 1
  return {total = total, nonblocking = total - blocked, ratio = ratio, level = level_of(ratio),
    blocked = by}
end

return M
