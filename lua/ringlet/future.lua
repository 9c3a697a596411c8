-- SPDX-License-Identifier: MIT
-- future: what will come of something that was submitted: a job, a call on a helper thread or of a
-- group, a task of a pool.
--
-- A future is {pending, queue | false, ok, n, results...}. Whoever waits does so on the queue,
-- which is made then; of a job's future it is the job, which the core wakes. `pending` is false
-- once it is settled. Until then `ok` says whether anybody has waited for it or cancelled it, and
-- `n` is false; of a job it stays so until somebody asks for the results.

--- @module ringlet
-- @section Jobs

local cancel = require "ringlet.cancel"
local core = require "ringlet.core"
local fail = require "ringlet.fail"
local task = require "ringlet.task"

local unpack = table.unpack or rawget(_G, "unpack")
local wait = core.wait
local JOIN = core.reasons.join

local M = {}

--- The result of something that is still to come: of a job, from `rl.spawn`; of a task of a pool,
-- and of other things that are submitted. `rl.select` takes it: the case gives what `join` returns.
-- @type future
local Future = {__name = "ringlet.future"}
Future.__index = Future

local function queue_of(f)
  local q = f[2]
  if not q then
    q = core.waitq()
    f[2] = q
  end
  return q
end

-- Put in what became of it. `made` is false when what came cannot be made here: `ok` says why.
local function keep(f, made, ok, ...)
  if not made then
    f[3], f[4], f[5] = false, 1, ok
    return
  end
  local n = select("#", ...)
  f[3], f[4], f[5] = ok, n, (...)
  for i = 2, n do
    f[4 + i] = (select(i, ...))
  end
end

-- What join gives; a job's values are made once.
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
M.outcome = outcome

-- Tell of a failure, unless somebody wants the future or it was cancelled.
local function report_failure(f, wanted)
  local ok, err, trace = outcome(f)
  if not ok and not wanted and not cancel.is_cancel(err) then
    task.report(err, trace or "", f)
  end
end
M.report_failure = report_failure

-- A kind of futures: on_cancel(f, reason) is called when one is cancelled while it is pending. It
-- may settle it at once, or have it settled later.
function M.kind(on_cancel)
  local Kind = {}
  for name, value in pairs(Future) do
    Kind[name] = value
  end
  Kind.__index, Kind.on_cancel = Kind, on_cancel
  return Kind
end

-- A pending future of a kind. Until it is settled f[5] is what was given along.
function M.new(kind, of)
  return setmetatable({true, false, false, false, of}, kind)
end

-- It has ended, with true and results, or with false, an error and a traceback.
function M.put(f, ok, ...)
  f[1] = false
  keep(f, true, ok, ...)
  local q = f[2]
  if q then
    core.wake_all(q, true)
  end
end

-- The same; a failure that nobody has waited for is told of.
function M.settle(f, ok, ...)
  local wanted = f[3]
  M.put(f, ok, ...)
  if not ok then
    report_failure(f, wanted)
  end
end

-- The run is over, and nobody waits any more.
function M.abandon(f, why)
  f[1], f[3], f[4], f[5] = false, false, 1, why
end

--- Wait until it is settled. It may be called any number of times, by any number of tasks.
-- @parks until the job has ended; not at all if it has
-- @tparam[opt] number t seconds
-- @treturn[1] true
-- @return[1] ... its results; of what ran on another shard, copies
-- @treturn[2] false when it failed
-- @treturn[2] any the error; a cancellation for what was cancelled
-- @treturn[2] string the traceback of the task that ran it
-- @fails "ETIMEDOUT"
function Future:join(t)
  if self[1] then
    self[3] = true
    local ok, code = wait(queue_of(self), t, JOIN)
    if ok == nil then
      return fail(code)
    end
  end
  return outcome(self)
end

--- Cancel it: what has not begun never does; what has is cancelled as a task is, and ends when it
-- hears of it; how is told to nobody. What has ended is left alone.
-- @tparam[opt] any reason it travels
function Future:cancel(reason)
  if self[1] then
    self[3] = true
    self:on_cancel(reason)
  end
end

--- What became of it: "pending", "done" or "failed".
-- @treturn string
function Future:status()
  if self[1] then
    return "pending"
  end
  return (outcome(self)) and "done" or "failed"
end

--- The traceback of the task that ran it, where that failed.
-- @treturn string "" while it is pending or when it ended well
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
  self.q, self[3] = queue_of(self), true
  return false
end

return M
