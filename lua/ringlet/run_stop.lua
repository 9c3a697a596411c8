-- SPDX-License-Identifier: MIT
-- run_stop: how a run is brought to its end: stopping, its grace, what hangs then, and giving up.
--
-- The first shard decides and the others are told. When the grace is over each shard says what
-- hangs there, before it hears that everything is cancelled: messages arrive in order. A shard that
-- does not answer is stuck in code that gives up no turn; it cannot be ended from outside, so after
-- some time the run goes on without it.

--- @module ringlet
-- @section Runs

local core = require "ringlet.core"
local hung = require "ringlet.hung"
local post = require "ringlet.post"
local task = require "ringlet.task"
local time = require "ringlet.time"

local M = {}

-- Seconds that a shard is given to answer, the grace if that is longer; and to say what hangs
-- there.
M.ANSWER = 5
local HUNG_WAIT = 0.5
-- And to end, when the run has given up.
M.GIVEN_UP = 2

-- The active run: {grace, worker, sim, on_hung; stopping, gave_up, ...}, nil outside of one.
M.active = nil

-- What servers do when the run is asked to stop: object -> fn(grace).
M.stoppers = setmetatable({}, {__mode = "k"})

-- What modules do when a run begins, on the first shard: before the others are started, and when
-- all of them are there; and when it is over in this shard: lists of functions.
M.beginnings = {}
M.gathered = {}
M.endings = {}

-- How modules give back what they keep only to use it again, as idle connections, when somebody
-- wants to see that nothing is left: a list of functions.
M.spares = {}

-- What modules do when every task is cancelled, with what waits to become one: a list of functions
-- of the reason.
M.cancels = {}

local function cancel_here(reason)
  if M.active then
    M.active.ending = true
  end
  for _, h in ipairs(task.all()) do
    h:cancel(reason)
  end
  for _, fn in ipairs(M.cancels) do
    fn(reason)
  end
end
post.on("cancel all", function(_, reason)
  cancel_here(reason)
end)

-- Have all tasks been cancelled, on the way to the end?
function M.ending()
  return M.active == nil or M.active.ending == true
end

-- Cancel every task of every shard.
function M.cancel_all(reason)
  cancel_here(reason)
  post.others("cancel all", reason)
end

-- Which shards answer, from their loops.

post.on("are you there", function(from, what)
  post.to(from, "it is", what, what == "hung" and hung.list() or nil)
end)

-- Ask all others. `answered(run, shard, list)` is called for each answer to `what`.
local answered = {}

local function ask_others(run, what)
  local own, size = core.fleet()
  local silent, n = {}, 0
  for i = 1, size do
    if i ~= own then
      silent[i], n = true, n + 1
    end
  end
  run.silent, run.silent_len = silent, n
  post.others("are you there", what)
end

post.on("it is", function(from, what, list)
  local run = M.active
  if not run or not run.silent then
    return
  elseif run.silent[from] then
    run.silent[from], run.silent_len = nil, run.silent_len - 1
  end
  answered[what](run, from, list)
end)

-- What hangs when the grace is over.

local function report_hung(run)
  local all = run.hung
  if not all then
    return
  end
  run.hung = nil
  for shard in pairs(run.silent) do
    all[#all + 1] = hung.silent(shard)
  end
  hung.report(all, run)
end
M.report_hung = report_hung

function answered.hung(run, from, list)
  local all = run.hung
  if not all then
    return
  end
  for _, entry in ipairs(list) do
    entry.shard = from
    all[#all + 1] = entry
  end
  if run.silent_len == 0 then
    report_hung(run)
  end
end

local function ask_what_hangs(run)
  run.hung = hung.list()
  ask_others(run, "hung")
  if run.silent_len == 0 then
    report_hung(run)
  else
    time.call_after(HUNG_WAIT, function()
      report_hung(run)
    end)
  end
end

-- Giving up. It is a matter of other shards alone: what is stuck on this one leaves no turn for
-- this.

local function give_up(run)
  run.gave_up = true
  core.brk()
end

function answered.end_all(run)
  if run.silent_len == 0 and run.giving_up and not run.stopping then
    time.cancel_call(run.giving_up)
  end
end

local function watch_the_end(run)
  local _, size = core.fleet()
  if size == 1 or run.sim or run.giving_up then
    return
  end
  run.giving_up = time.call_after(math.max(M.ANSWER, run.grace), function()
    give_up(run)
  end)
  if not run.hung then
    ask_others(run, "end_all")
  end
end

--- Cancel everything, servers included.
-- @local
function M.end_all(reason)
  local run = M.active
  M.cancel_all(reason)
  if run and not run.worker then
    watch_the_end(run)
  end
end

-- Stopping.

--- Has the run been asked to stop?
-- @treturn boolean false outside of a run
function M.stopping()
  return M.active ~= nil and M.active.stopping == true
end

local function stop_here(grace)
  M.active.stopping = true
  for _, fn in pairs(M.stoppers) do
    fn(grace)
  end
end

local function grace_is_over(run)
  if M.active == run then
    ask_what_hangs(run)
    M.end_all("stopped")
  end
end

--- Ask the run to stop. `stopping` is true from now on, on every shard; servers accept what is
-- queued and finish what they have; after the grace what hangs is reported and every task is
-- cancelled. A shard that then does not answer, because its task is stuck in a C function, is given
-- 5 seconds, or the grace if that is longer; `run` returns without it and says so. Without a run it
-- does nothing.
-- @tparam[opt] number grace seconds, by default the option of `run`; 0: cancel at once
function M.stop(grace)
  local run = M.active
  if not run then
    return
  elseif run.worker then
    run.stopping = true
    post.to(1, "stop", grace)
    return
  end
  run.stopping = true
  grace = grace or run.grace
  if grace <= 0 then
    M.end_all("stopped")
    return
  end
  time.call_after(grace, function()
    grace_is_over(run)
  end)
  post.others("stopping", grace)
  stop_here(grace)
end
post.on("stop", function(_, grace)
  M.stop(grace)
end)
post.on("stopping", function(_, grace)
  stop_here(grace)
end)

-- A signal came: the first stops the run, a second cancels at once.
function M.signalled()
  if M.active and M.active.stopping then
    M.active.interrupted_by_signal = true
    M.end_all("stopped by a second signal")
  else
    M.stop()
  end
end

return M
