-- SPDX-License-Identifier: MIT
-- jobs: work for any shard: submitting, futures, and what runs them.
--
-- A job begins as a task that calls `run_job`; `running` has the jobs by the slots of their tasks.

--- Work for every core.
-- @module ringlet
-- @section Jobs

local cancel = require "ringlet.cancel"
local core = require "ringlet.core"
local future = require "ringlet.future"
local task = require "ringlet.task"

local job_open, job_end, job_slot = core.job_open, core.job_end, core.job_slot
local submit = core.submit

local M = {}

-- One that has not begun never does; one that has is told, and ends when it hears of it.
local Future = future.kind(function(f, reason)
  if core.job_revoke(f[2]) then
    future.abandon(f, cancel.error(reason))
  else
    core.job_cancel(f[2], reason)
  end
end)

local running = task.jobs

local function send(shard, parcel, ...)
  return submit(shard, setmetatable({true, false, false, false}, Future), parcel, ...)
end

-- What runs a job, in a task of its own.

local function finish(job, slot, ...)
  job_end(job, true, ...)
  running[slot] = false
end

local function perform(job, slot, fn, ...)
  finish(job, slot, fn(...))
end

local function run_job(job)
  task.tell_of(job_slot(job))
  perform(job, job_slot(job), job_open(job))
end

-- The task of a job has failed: the error goes home, as it is or, if it cannot travel, as text.
function task.on_job_failed(job, err, trace)
  if not pcall(job_end, job, false, err, trace) then
    job_end(job, false, tostring(err), trace)
  end
end

local function cancel_job(slot, parcel)
  task.at(slot):cancel((core.opened(parcel)))
end

-- The origin's side.

-- Where the future of a job that somebody submitted for others has a table with `job_ended`, which
-- is called with the future and whether it ended well.
local OWNER = 5
M.OWNER = OWNER

-- A job has failed, and nobody waits for it now; or it has an owner.
local function hear_end(f, ok)
  local owner = f[OWNER]
  if owner then
    owner.job_ended(f, ok)
  else
    future.report_failure(f, f[3])
  end
end

core.jobs(run_job, hear_end, cancel_job, running)

-- The run ends: what has not come by now never will.
function M.abandon_all(why)
  for _, f in ipairs(core.job_futures()) do
    if type(f) == "table" then
      future.abandon(f, why)
    end
  end
end

-- Functions that were looked at, and where one was found to assign an upvalue.
local seen, told = setmetatable({}, {__mode = "k"}), {}
M.seen = seen

-- A job that assigns an upvalue assigns its copy: say so once for each such function.
local function tell_assigned(fn)
  seen[fn] = true
  local names = core.assigned_upvalues(fn)
  local info = names and names[1] and debug.getinfo(fn, "S")
  local where = info and info.short_src .. ":" .. info.linedefined
  if where and not told[where] then
    told[where] = true
    io.stderr:write(("ringlet: the job at %s assigns its upvalue '%s': upvalues are copies, what a "
      .. "job assigns it alone sees\n"):format(where, names[1]))
  end
end

local function check_function(fn, level)
  if type(fn) ~= "function" then
    error("function expected, got " .. type(fn), level + 1)
  elseif not seen[fn] then
    tell_assigned(fn)
  end
end

--- A job made ready once, from `rl.job`: `rl.spawn` and `rl.spawn_on` take it in place of a
-- function, and submit what was copied then.
-- @type job
local Job = {__name = "ringlet.job"}
Job.__index = Job

function Job.__tostring()
  return "ringlet.job"
end

--- Prepare a job: copy the function and its arguments once, to submit them often.
-- @tparam fun(...:any):any fn
-- @param ... its arguments
-- @treturn job
-- @raise what cannot travel, with the path to it
function M.job(fn, ...)
  check_function(fn, 2)
  return setmetatable({core.parcel_job(fn, ...)}, Job)
end

local function start(shard, fn, ...)
  if getmetatable(fn) == Job then
    return send(shard, fn[1])
  end
  check_function(fn, 3)
  return send(shard, nil, fn, ...)
end

--- Submit a job: any shard may run it, the first that has nothing better to do. The function, its
-- upvalues and its arguments are copied.
--
-- A job that assigns an upvalue is told so on stderr, once for each function. An error that nobody
-- has waited for when it comes goes to `on_error` of this shard.
-- @tparam fun(...:any):any|job fn
-- @param ... its arguments
-- @treturn future
-- @raise what cannot travel, with the path to it; outside of `run`
-- @source R. D. Blumofe, C. E. Leiserson, "Scheduling multithreaded computations by work stealing",
-- 1999
function M.spawn(fn, ...)
  local f = start(nil, fn, ...)
  return f
end

--- Submit a job to one shard, which alone runs it.
-- @tparam integer shard from 1 to `rl.shards()`
-- @tparam fun(...:any):any|job fn
-- @param ... its arguments
-- @treturn future
-- @raise when there is no such shard; what cannot travel, with the path to it; outside of `run`
function M.spawn_on(shard, fn, ...)
  local _, size = core.fleet()
  if type(shard) ~= "number" or shard < 1 or shard > (size or shard) or shard % 1 ~= 0 then
    error(("no such shard: %s (there are %d)"):format(tostring(shard), size or 0), 2)
  end
  local f = start(shard, fn, ...)
  return f
end

--- How many shards the run has.
-- @treturn integer 1 outside of a run
function M.shards()
  local _, size = core.fleet()
  return size or 1
end

--- Which shard this is.
-- @treturn integer from 1; the one that called `run` is 1
function M.shard()
  return (core.fleet()) or 1
end

return M
