-- SPDX-License-Identifier: MIT
-- trace_sched: RINGLET_TRACE=sched:1000 has every shard say once in 1000 ms, on stderr, what its
-- scheduler has to do, as GODEBUG=schedtrace=1000 does.
--
-- It is a timer, so while it is set a run in which nothing can go on is not found to be stuck.

local core = require "ringlet.core"
local jobs = require "ringlet.jobs"
local run_stop = require "ringlet.run_stop"
local time = require "ringlet.time"

local M = {}

local LINE = "SCHED %.0fms: shard=%d runq=%d injq=%d idle=%d parked=%d timers=%d inflight=%d "
  .. "steals=%d preempts=%d\n"

local began, timer

local function print_line(every)
  timer = time.call_after(every, function()
    print_line(every)
  end)
  io.stderr:write(LINE:format((core.now() - began) * 1000, jobs.shard(), core.sched()))
end

--- On this shard, from now to the end of the run, if the variable says so.
-- @tparam string how "sched:1000"; parts for others are left alone
function M.begin(how)
  local ms = tonumber(("," .. how .. ","):match ",sched:(%d+)," or nil)
  if ms and ms > 0 then
    began = core.now()
    timer = time.call_after(ms / 1000, function()
      print_line(ms / 1000)
    end)
  end
end

run_stop.endings[#run_stop.endings + 1] = function()
  if timer then
    time.cancel_call(timer)
    timer = nil
  end
end

return M
