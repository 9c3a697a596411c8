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
local deadlock = require "ringlet.deadlock"
local health = require "ringlet.health"
local hung = require "ringlet.hung"
local jobs = require "ringlet.jobs"
local nest = require "ringlet.nest"
local offload = require "ringlet.offload"
local options = require "ringlet.options"
local placement = require "ringlet.placement"
local post = require "ringlet.post"
local select_ = require "ringlet.select"
local scheduling = require "ringlet.scheduling"
local stop = require "ringlet.run_stop"
local task = require "ringlet.task"

local pause = coroutine.yield
local unpack = table.unpack or rawget(_G, "unpack")

-- Our own code is not preempted: its steps belong together.
core.library((debug.getinfo(1, "S").source:gsub("run%.lua$", "")))

local M = {}

local KNOWN = {
  backend = "string", seed = "number", faults = "string", signals = "boolean", grace = "number",
  preempt = "boolean", debug = "boolean", slice = "number", on_overrun = "function",
  shards = "number|string", preload = "table", stealing = "boolean",
  max_threads = "number", pin = "boolean|table", numa = "boolean|string|table",
  stall_after = "number", on_stall = "function", on_hung = "function",
  admin = "boolean|string|table", sched = "table", starved = "number|boolean",
}
local SLICE = 0.010
local STALL_AFTER = 1
local STARVED = 0.05
local GRACE = 10
local DEADLOCK, BROKEN, PAUSED = 1, 2, 3
-- How often a run that is being ended may find itself stuck before it gives its tasks up.
local STUCK_MAX = 3

-- What every shard runs before anything else.
local inits = {}

-- Ctrl-C of a stock interpreter: it sets a hook that raises in whatever Lua code runs next.
-- That may be this file, a task, or nothing at all while the shard sleeps.
local function take_interrupt(run)
  if not run.interrupted and core.hooked() then
    core.unhook()
    run.interrupted = true
    stop.cancel_all("interrupted")
  end
end

local function is_interrupt(err)
  return type(err) == "string" and err:find("interrupted!$") ~= nil
end

local function interrupted()
  if stop.active and not stop.active.interrupted then
    stop.active.interrupted = true
    stop.cancel_all("interrupted")
  end
end

post.on("undaemon", core.undaemon)
post.on("close", core.fleet_closing)
post.on("who waits", function(from)
  post.to(from, "they wait", deadlock.lines())
end)
post.on("they wait", function(from, lines, n)
  if stop.active and stop.active.waiting then
    stop.active.waiting[from] = {lines, n}
  end
end)

-- What a deadlock looks like in every shard. The answers are there when all shards are quiet again;
-- a signal may end the wait for that before.
local function report_deadlock(run, seed)
  local shards = {[core.fleet()] = {deadlock.lines()}}
  local _, size = core.fleet()
  if size > 1 then
    run.waiting = shards
    post.others("who waits")
    repeat
      local why = core.loop()
      take_interrupt(run)
    until why ~= BROKEN or run.gave_up
  end
  return deadlock.report(shards, size, seed)
end

-- Loop until every task of every shard has ended.
local function drain(run, seed)
  local stuck = 0
  while true do
    local why = core.loop()
    take_interrupt(run)
    if run.gave_up then
      return
    elseif why == DEADLOCK then
      stuck = stuck + 1
      run.deadlock = run.deadlock or report_deadlock(run, seed)
      if stuck > STUCK_MAX then
        return
      end
      stop.cancel_all("deadlock")
    elseif why == 0 then
      if core.fleet_live() == 0 then
        return
      end
      core.undaemon()
      post.others("undaemon")
      stop.cancel_all("run has ended")
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
        stop.end_all("main has failed")
      end
    end
  end
end

--- Give a function to every shard, to be run in a task there before anything else. It may park. On
-- the shard that calls `run` it is called as it is, before main; the others get a copy.
-- @tparam fun() fn
-- @raise during a run; what cannot travel, with the path to it, when the run begins
function M.shard_init(fn)
  if type(fn) ~= "function" then
    error("function expected, got " .. type(fn), 2)
  elseif stop.active then
    error("shard_init comes before run", 2)
  end
  inits[#inits + 1] = fn
end

local function call_inits()
  for _, fn in ipairs(inits) do
    fn()
  end
end

-- How many shards, and where they are: the option, else the variable RINGLET_SHARDS, else one. The
-- machine is asked only if that is needed.
local function plan_of(opts)
  local env = os.getenv("RINGLET_SHARDS")
  local wanted = {shards = opts.shards, pin = opts.pin, numa = opts.numa}
  if wanted.shards == nil and env and env ~= "" then
    wanted.shards = tonumber(env) or env
  end
  local plain = type(wanted.shards or 1) == "number" and not wanted.pin and not wanted.numa
  return placement.plan(wanted, plain and placement.NO_FACTS or placement.facts(), 3)
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
  if not sim and opts.signals then
    core.signals(function()
      stop.signalled()
    end)
  end
  return sim and seed or nil
end

-- How long the others are waited for. What does not end is told of.
local function end_of(run)
  return run.gave_up and stop.GIVEN_UP or math.max(stop.ANSWER, run.grace)
end

local function close(run)
  for _, fn in ipairs(stop.endings) do
    fn()
  end
  if not run.worker then
    post.others("close")
    stop.report_hung(run)
  end
  task.abandon_all(run.deadlock or "the run has ended")
  jobs.abandon_all("the run has ended")
  offload.abandon_all("the run has ended")
  core.fleet_unwatch()
  core.signals(nil)
  nest.restore()
  if run.placed then
    core.place_restore(run.placed)
  end
  if run.scheduled then
    core.sched_restore(run.scheduled)
  end
  local _, missing = core.close(end_of(run))
  hung.report_left(missing, run)
end

local function check(main, opts)
  if type(main) ~= "function" then
    error("function expected, got " .. type(main), 3)
  elseif stop.active then
    error("run inside a run", 3)
  end
  local checked = options.check(opts, KNOWN, 3)
  offload.check_threads(checked.max_threads, "max_threads", 3)
  options.bound(checked.starved, {min = 0}, "option 'starved'", 3)
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

-- Everything that a run needs on this thread before its first task.
local function begin(run, opts)
  local seed = open(opts)
  stop.active = run
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
  offload.configure(opts.max_threads, opts.preload)
  nest.install()
  health.set_hook(opts.on_stall)
  local printed = os.getenv("RINGLET_TRACE")
  if printed then
    require("ringlet.trace_sched").begin(printed)
  end
  run.sim, run.on_hung = seed ~= nil, opts.on_hung
  return seed
end

local function starved_of(opts)
  return opts.starved == false and 0 or type(opts.starved) == "number" and opts.starved or STARVED
end

local function watch(opts, sim, classes)
  if not sim and opts.preempt ~= false then
    core.fleet_watch(opts.slice or SLICE, opts.stall_after or STALL_AFTER, starved_of(opts),
      classes and classes.priority, classes and classes.nice)
  end
end

-- The scheduling classes of the shards, which are allowed; nil: none is asked for, or time is
-- virtual.
local function classes_of(opts, plan)
  if not opts.sched then
    return nil
  end
  local watched = opts.preempt ~= false
  local classes = scheduling.plan(opts.sched, plan.shards, watched, 3)
  if backend_of(opts) == "sim" then
    return nil
  end
  scheduling.try(classes, watched, 3)
  return classes
end

-- The options that the other shards go by.
local TOLD = {"backend", "seed", "faults", "grace", "preempt", "debug", "slice", "max_threads",
  "preload", "stall_after", "on_stall", "starved"}

-- The first shard's thread is its caller's: it goes back to where it was when the run ends.
local function place_all(run, plan)
  local cpus, nodes = plan.cpus, plan.nodes
  if cpus[1] or nodes[1] then
    run.placed = core.place_save()
    local ok, code, what = core.place(cpus[1], nodes[1])
    if not ok and (what ~= "node" or plan.strict) then
      return ("cannot place shard 1 (%s): %s"):format(what, core.errmsg(code))
    end
  end
  for i = 2, plan.shards do
    if cpus[i] or nodes[i] then
      core.fleet_place(i, cpus[i], nodes[i], plan.strict)
    end
  end
end

local function start_others(run, opts, plan, classes)
  local told = {}
  for _, name in ipairs(TOLD) do
    told[name] = opts[name]
  end
  local why = place_all(run, plan)
  if classes then
    scheduling.prepare(classes)
  end
  if not why and plan.shards > 1 then
    local sent, ok, text = pcall(core.fleet_start, opts.preload, told, inits)
    why = not sent and tostring(ok) or ok == nil and core.errmsg(text) or not ok and text
  end
  if classes and not why then
    run.scheduled, why = scheduling.enter(classes)
  end
  if why then
    stop.active = nil
    close(run)
    error("ringlet: cannot start the shards: " .. why, 3)
  end
end

-- The endpoint of the option or of the variable RINGLET_ADMIN. Virtual time is not disturbed by a
-- variable.
local function start_admin(opts, sim)
  local wanted, env = opts.admin, os.getenv("RINGLET_ADMIN")
  if wanted == nil and not sim and env and env ~= "" and env ~= "0" then
    wanted = env == "1" or env
  end
  if wanted then
    task.daemon(require("ringlet.admin_run").begin, wanted)
  end
end

local function start_main(main, ...)
  if not inits[1] then
    return task.go(main, ...)
  end
  return task.go(function(...)
    call_inits()
    return main(...)
  end, ...)
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
-- @tparam[opt=1] integer|string opts.shards how many threads, each with a Lua state of its own,
-- work for this run; "auto": as many as the CPU set and the cgroup's quota allow. The variable
-- RINGLET_SHARDS gives another default
-- @tparam[opt=false] boolean|table opts.pin each shard runs on one CPU: true, node by node; or a
-- list of CPUs, a number or a list of numbers and "0-3" for each shard
-- @tparam[opt=false] boolean|string|table opts.numa where their memory comes from: "auto", the node
-- of a pinned shard's CPUs; or a list of nodes, one for each shard
-- @tparam[opt=16] integer opts.max_threads how many helper threads `offload` may use, all shards
-- together; at most 999
-- @tparam[opt] table opts.preload names of modules that every other shard, and every helper thread
-- of `offload`, requires at its start
-- @tparam[opt=true] boolean opts.stealing idle shards take jobs that were submitted to others
-- @tparam[opt=0.01] number opts.slice seconds that a task may compute at a stretch
-- @tparam[opt=1] number opts.stall_after seconds after which a shard whose task gives up no turn is
-- stalled: `ready` says so, and `on_stall`; 0: never. Not without `preempt`, nor on sim
-- @tparam[opt] fun(event:table) opts.on_stall called when a shard has stalled and when that is
-- over, with {shard=, task= its number, seconds= that it has lasted, waited= how many of them it
-- had no CPU, over=}, and then where="file:line" and traceback if the task could be interrupted;
-- must not park. The first shard calls it; while that is stalled, another calls its copy. With one
-- shard it is called only when the stall is over
-- @tparam[opt=0.05] number|boolean opts.starved seconds after which a shard that is ready to run
-- and gets no CPU is starved: hooks of "starved" hear of it, and it is counted; false or 0: never.
-- Not without `preempt`, nor on sim
-- @tparam[opt] table opts.sched how the kernel schedules the shards' threads: {policy= "other",
-- "batch", "idle", "fifo" or "rr", priority= 1 to 99 of the last two, 98 with `preempt`, nice= -20
-- to 19 and slice= seconds from 0.0001 to 0.1 of the first two, shards= {[i] = the same for one
-- shard, or false}, optional= go on without what the system refuses, keep= shard 1's thread stays
-- so when the run ends}; not on sim
-- @tparam[opt] fun(list:table,text:string) opts.on_hung called with what has not ended when the
-- grace after `stop` is over: a list of {shard=, id=, name=, reason=, object=, seconds=, where=,
-- traceback=} for tasks, {shard=, silent=true} for a shard that does not answer, {shard=,
-- left=true} for one that was left behind; must not park. By default the text goes to stderr
-- @tparam[opt=false] boolean|string|table opts.admin have an endpoint of `ringlet.admin`: true, on
-- a Unix socket that the command `ringlet` finds; its address; or its options. The variable
-- RINGLET_ADMIN, 1 or an address, does so as well
-- @tparam[opt=false] boolean opts.debug record where tasks are created; RINGLET_DEBUG=1 does too
-- @tparam[opt] fun(text:string,task:?task) opts.on_overrun called when a task cannot be preempted;
-- by default the text goes to stderr
-- @param ... main's arguments
-- @return ... main's results; nothing when it was cancelled by `stop`
-- @raise main's error, unchanged; "deadlock: ..." with a line for each task when all are parked and
-- nothing can wake one; "interrupted!"; when the backend cannot be opened, or the system refuses
-- what `pin`, `numa` or `sched` ask for
-- @source the Go runtime: main, checkdead, asynchronous preemption (proposal 24543); signal(7)
function M.run(main, opts, ...)
  opts = check(main, opts)
  local plan = plan_of(opts)
  local classes = classes_of(opts, plan)
  local run = {grace = opts.grace or GRACE, opts = opts}
  local seed = begin(run, opts)
  for _, fn in ipairs(stop.beginnings) do
    fn()
  end
  core.fleet_open(plan.shards, opts.stealing ~= false)
  watch(opts, seed, classes)
  start_others(run, opts, plan, classes)
  for _, fn in ipairs(stop.gathered) do
    fn()
  end
  start_admin(opts, seed)
  local h = start_main(main, ...)
  h.main = true
  h.on_end = main_ended(run)
  task.anchor(h)
  local ok, err = pcall(drain, run, seed)
  if not ok and is_interrupt(err) then
    interrupted()
    ok, err = pcall(drain, run, seed)
  end
  stop.active = nil
  close(run)
  if not ok then
    error(err, 0)
  end
  return results(run, h)
end

-- What a shard but the first does, from its beginning to its end; called in a new state by lfleet.
function M.worker(opts, given)
  local run = {grace = opts.grace or GRACE, worker = true}
  inits = given
  local seed = begin(run, opts)
  core.fleet_join()
  watch(opts, seed)
  local h = task.go(function()
    call_inits()
    core.fleet_ready()
  end)
  h.main = true
  h.on_end = function(_, ok, err)
    if not ok then
      core.fleet_ready(tostring(err) .. "\n" .. h:traceback())
    end
  end
  task.anchor(h)
  local why = core.loop()
  while why == BROKEN or why == PAUSED do
    if why == PAUSED then
      pause()
    end
    why = core.loop()
  end
  stop.active = nil
  close(run)
end

return M
