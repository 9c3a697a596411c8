-- SPDX-License-Identifier: MIT
-- jobs: work for any shard: submitting, futures, and what runs them.
--
-- A future is {pending, job, ok, n, results...}. `pending` is false once the job has ended, and
-- then whoever waits for it is woken, both by the core; `n` is false until somebody asks for the
-- results. Until then `ok` says whether anybody has waited for it or cancelled it.
-- A job begins as a task that calls `run_job`; `running` has the jobs by the slots of their tasks.

--- Work for every core.
-- @module ringlet
-- @section Jobs

local cancel = require "ringlet.cancel"
local core = require "ringlet.core"
local fail = require "ringlet.fail"
local task = require "ringlet.task"

local unpack = table.unpack or rawget(_G, "unpack")
local job_open, job_end, job_slot = core.job_open, core.job_end, core.job_slot
local submit, wait = core.submit, core.wait
local JOIN = core.reasons.join

local M = {}

--- The result of a job that is still to come, from `rl.spawn`. `rl.select` takes it: the case gives
-- what `join` returns.
-- @type future
local Future = {__name = "ringlet.future"}
Future.__index = Future

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

local function keep(f, made, ok, ...)
  if not made then -- what came cannot be made here: `ok` says why
    f[3], f[4], f[5] = false, 1, ok
    return
  end
  local n = select("#", ...)
  f[3], f[4], f[5] = ok, n, (...)
  for i = 2, n do
    f[4 + i] = (select(i, ...))
  end
end

-- What join gives; the values are made once.
local function outcome(f)
  local n = f[4]
  if not n then
    keep(f, pcall(core.job_results, f[2]))
    n = f[4]
  end
  if n == 1 then
    return f[3], f[5]
  end
  return f[3], unpack(f, 5, 4 + n)
end

-- Tell of a failure, unless somebody wants the future or it was cancelled.
local function report_failure(f, wanted)
  local ok, err, trace = outcome(f)
  if not ok and not wanted and not cancel.is_cancel(err) then
    task.report(err, trace or "", f)
  end
end

-- A job has failed, and nobody waits for it now.
local function unheard(f)
  report_failure(f, f[3])
end

core.jobs(run_job, unheard, cancel_job, running)

-- The run ends: what has not come by now never will.
function M.abandon_all(why)
  for _, f in ipairs(core.job_futures()) do
    if type(f) == "table" then
      f[1], f[3], f[4], f[5] = false, false, 1, why
    end
  end
end

-- A future of something that is no job: on_cancel(f, reason) is called if it is cancelled while it
-- is pending; `settle` ends it, with true and results, or with false, an error and a traceback.
function M.promise(on_cancel)
  return setmetatable({true, core.waitq(), false, false, on_cancel = on_cancel}, Future)
end

function M.settle(f, ok, ...)
  local wanted = f[3]
  f[1] = false
  keep(f, true, ok, ...)
  core.wake_all(f[2], true)
  report_failure(f, wanted)
end

-- Functions that were looked at, and where one was found to assign an upvalue.
local seen, told = setmetatable({}, {__mode = "k"}), {}

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

--- Wait until the job has ended. It may be called any number of times, by any number of tasks.
-- @parks until the job has ended; not at all if it has
-- @tparam[opt] number t seconds
-- @treturn[1] true
-- @return[1] ... its results, copied
-- @treturn[2] false when it failed
-- @treturn[2] any the error, copied; a cancellation for a cancelled job
-- @treturn[2] string the traceback of the task that ran it
-- @fails "ETIMEDOUT"
function Future:join(t)
  if self[1] then
    self[3] = true
    local ok, code = wait(self[2], t, JOIN)
    if ok == nil then
      return fail(code)
    end
  end
  return outcome(self)
end

-- For the futures of ringlet.offload.
M.Future, M.keep, M.outcome = Future, keep, outcome

--- Cancel the job: one that has not begun never does; one that has is cancelled as a task is, and
-- ends when it hears of it; how is told to nobody. A job that has ended is left alone.
-- @tparam[opt] any reason it travels
function Future:cancel(reason)
  if not self[1] then
    return
  end
  self[3] = true
  if self.on_cancel then
    self.on_cancel(self, reason)
  elseif core.job_revoke(self[2]) then
    self[1], self[3], self[4], self[5] = false, false, 1, cancel.error(reason)
  else
    core.job_cancel(self[2], reason)
  end
end

--- What became of the job: "pending", "done" or "failed".
-- @treturn string
function Future:status()
  if self[1] then
    return "pending"
  end
  return (outcome(self)) and "done" or "failed"
end

--- The traceback of the task that ran the job, where that failed.
-- @treturn string "" of a job that is pending or ended well
function Future:traceback()
  if self[1] then
    return ""
  end
  local ok, _, trace = outcome(self)
  return not ok and trace or ""
end

function Future:__tostring()
  return ("ringlet.future (%s)"):format(self:status())
end

-- What select asks of a waitable, and what it waits on. Who wakes it gives nothing along.
Future.late = true

function Future:poll_()
  if not self[1] then
    return true, outcome(self)
  end
  self.q, self[3] = self[2], true
  return false
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
