-- SPDX-License-Identifier: MIT
-- run: a run from its first task to its last, whichever way it ends.
--
-- Invariants: whatever ends the run - main's return or error, a deadlock, an interrupt, a stop -
-- every task has ended and the backend is closed before run returns or raises.

--- Begin and end.
-- @module ringlet
-- @section Runs

local cancel = require "ringlet.cancel"
local core = require "ringlet.core"
local nest = require "ringlet.nest"
local options = require "ringlet.options"
local select_ = require "ringlet.select"
local task = require "ringlet.task"
local time = require "ringlet.time"

local unpack = table.unpack or rawget(_G, "unpack")

-- Our own code is not preempted: its steps belong together.
core.library((debug.getinfo(1, "S").source:gsub("run%.lua$", "")))

local M = {}

local KNOWN = {
  backend = "string", seed = "number", faults = "string", signals = "boolean", grace = "number",
  preempt = "boolean", debug = "boolean", slice = "number", on_overrun = "function",
}
local SLICE = 0.010
local GRACE = 10
local DEADLOCK, BROKEN = 1, 2
-- How often a run that is being ended may find itself stuck before it gives its tasks up.
local STUCK_MAX = 3

-- The active run: {main, stopping, interrupted, deadlock}
local active

local function cancel_all(reason)
  for _, h in ipairs(task.all()) do
    h:cancel(reason)
  end
end

-- Where a task waits: the innermost line of its stack that is not the library's.
local function where(h)
  for line in h:traceback():gmatch("[^\n]+") do
    local at = line:match("^%s*([^%[%s][^:]*:%d+): in")
    if at and not at:find("ringlet/[%w_/]+%.lua") and not at:find("lua/ringlet") then
      return at
    end
  end
  return h:traceback():match("not started: (.*)") or "?"
end

local function deadlock_report(seed)
  local lines = {}
  for _, h in ipairs(task.all()) do
    local id, state, reason, since = core.info(h[1])
    lines[#lines + 1] = ("  task %d %s: %s%s, for %.3f s, at %s"):format(
      id, h.label_name or "-", reason ~= "" and reason or state,
      h.q_name and " on " .. h.q_name or "", since, where(h))
      .. (h.site and "\n    " .. h.site:gsub("\n", "\n    ") or "")
  end
  return ("deadlock: all %d tasks are parked and nothing can wake one%s\n%s"):format(
    #lines, seed and " (sim seed " .. seed .. ")" or "", table.concat(lines, "\n"))
end

-- Ctrl-C of a stock interpreter: it sets a hook that raises in whatever Lua code runs next.
-- That may be this file, a task, or nothing at all while the shard sleeps.
local function take_interrupt(run)
  if not run.interrupted and core.hooked() then
    core.unhook()
    run.interrupted = true
    cancel_all("interrupted")
  end
end

local function is_interrupt(err)
  return type(err) == "string" and err:find("interrupted!$") ~= nil
end

local function interrupted()
  if active and not active.interrupted then
    active.interrupted = true
    cancel_all("interrupted")
  end
end

-- Loop until every task has ended.
local function drain(run, seed)
  local stuck = 0
  while true do
    local why = core.loop()
    take_interrupt(run)
    if why == DEADLOCK then
      stuck = stuck + 1
      run.deadlock = run.deadlock or deadlock_report(seed)
      if stuck > STUCK_MAX then
        return
      end
      cancel_all("deadlock")
    elseif why == 0 then
      if core.stats().tasks == 0 then
        return
      end
      core.undaemon()
      cancel_all("run has ended")
    elseif why ~= BROKEN then
      run.failure = run.failure or core.errmsg(why)
      return
    end
  end
end

local function main_ended(run)
  return function(_, ok, err)
    if not ok then
      run.raised = {err}
      if not cancel.is_cancel(err) or not run.stopping then
        M.end_all("main has failed")
      end
    end
  end
end

-- Cancel everything, servers included.
function M.end_all(reason)
  cancel_all(reason)
end

local function backend_of(opts)
  local name = opts.backend or "auto"
  local env = os.getenv("RINGLET_BACKEND")
  if name == "auto" and env and env ~= "" then
    name = env
  end
  if name ~= "auto" and name ~= "uring" and name ~= "sim" then
    error(("unknown backend '%s': uring, sim or auto"):format(name), 3)
  end
  return name
end

local function open(opts)
  local name = backend_of(opts)
  local seed = opts.seed or 1
  local ok, code, why = core.open(name ~= "auto" and name or nil, seed, opts.faults)
  if not ok then
    local msg, ename = core.errmsg(code)
    error(("ringlet: cannot open the %s backend: %s (%s)"):format(name, why or msg, ename), 3)
  end
  local sim = ok == "sim"
  select_.seed(sim and seed or core.random())
  if not sim and opts.preempt ~= false then
    core.watch(opts.slice or SLICE)
  end
  if not sim and opts.signals then
    core.signals(function()
      M.signalled()
    end)
  end
  return sim and seed or nil
end

local function close(run)
  task.abandon_all(run.deadlock or "the run has ended")
  core.watch(nil)
  core.signals(nil)
  nest.restore()
  return core.close()
end

local function check(main, opts)
  if type(main) ~= "function" then
    error("function expected, got " .. type(main), 3)
  elseif active then
    error("run inside a run", 3)
  end
  local checked = options.check(opts, KNOWN, 3)
  return checked
end

local function results(run, h)
  if run.interrupted then
    error("interrupted!", 0)
  elseif run.raised and not (run.deadlock and cancel.is_cancel(run.raised[1]))
    and not (run.stopping and cancel.is_cancel(run.raised[1])) then
    error(run.raised[1], 0)
  elseif run.deadlock then
    error(run.deadlock, 0)
  elseif run.failure then
    error(run.failure, 0)
  end
  if not h.failed then
    return unpack(h, 4, 3 + h[3])
  end
end

--- Run main as the first task of this thread; return its results when every task has ended.
--
-- When main raises, the others are cancelled and awaited. Ctrl-C of a stock interpreter cancels
-- every task. It blocks the thread, so a run inside a run raises.
-- @tparam fun(...:any):any main
-- @tparam[opt] table opts
-- @tparam[opt="auto"] string opts.backend "uring"; "sim": virtual time, a kernel in memory; "auto":
-- what the variable RINGLET_BACKEND says, else "uring"
-- @tparam[opt=1] number opts.seed of the order of events (sim)
-- @tparam[opt] string opts.faults which faults are injected (sim): "short_read=0.1,enobufs=0.01"
-- @tparam[opt=false] boolean opts.signals SIGINT and SIGTERM call `stop`, a second one cancels all
-- @tparam[opt=10] number opts.grace seconds between `stop` and the cancellation of every task
-- @tparam[opt=true] boolean opts.preempt interrupt tasks that compute (SIGURG; not on sim)
-- @tparam[opt=0.01] number opts.slice seconds that a task may compute at a stretch
-- @tparam[opt=false] boolean opts.debug record where tasks are created; RINGLET_DEBUG=1 does too
-- @tparam[opt] fun(text:string,task:?task) opts.on_overrun called when a task cannot be preempted;
-- by default the text goes to stderr
-- @param ... main's arguments
-- @return ... main's results; nothing when it was cancelled by `stop`
-- @raise main's error, unchanged; "deadlock: ..." with a line for each task when all are parked and
-- nothing can wake one; "interrupted!"; when the backend cannot be opened
-- @source the Go runtime: main, checkdead, asynchronous preemption (proposal 24543); signal(7)
function M.run(main, opts, ...)
  opts = check(main, opts)
  local run = {grace = opts.grace or GRACE}
  local seed = open(opts)
  active = run
  task.note_sites(opts.debug or os.getenv("RINGLET_DEBUG") == "1")
  task.on_overrun = opts.on_overrun or function(text)
    io.stderr:write("ringlet: ", text, "\n")
  end
  task.on_failure = function(e)
    if is_interrupt(e) then
      interrupted()
      return true
    end
  end
  nest.install()
  local h = task.go(main, ...)
  h.main = true
  h.on_end = main_ended(run)
  task.anchor(h)
  local ok, err = pcall(drain, run, seed)
  if not ok and is_interrupt(err) then
    interrupted()
    ok, err = pcall(drain, run, seed)
  end
  active = nil
  close(run)
  if not ok then
    error(err, 0)
  end
  return results(run, h)
end

--- Has the run been asked to stop?
-- @treturn boolean false outside of a run
function M.stopping()
  return active ~= nil and active.stopping == true
end

--- Ask the run to stop. `stopping` is true from now on, servers stop accepting, and after the grace
-- every task is cancelled. Without a run it does nothing.
-- @tparam[opt] number grace seconds, by default the option of `run`; 0: cancel at once
function M.stop(grace)
  if not active then
    return
  end
  local run = active
  run.stopping = true
  grace = grace or run.grace
  if grace <= 0 then
    M.end_all("stopped")
    return
  end
  time.call_after(grace, function()
    M.end_all("stopped")
  end)
  for _, fn in pairs(M.stoppers) do
    fn(grace)
  end
end

-- What servers do when the run is asked to stop: object -> fn(grace).
M.stoppers = setmetatable({}, {__mode = "k"})

-- A signal came: the first stops the run, a second cancels at once.
function M.signalled()
  if active and active.stopping then
    active.interrupted_by_signal = true
    M.end_all("stopped by a second signal")
  else
    M.stop()
  end
end

return M
