-- SPDX-License-Identifier: MIT
-- pool_workers: who runs what waits in a pool, and what waits for that.
--
-- Accepted tasks lie in a line. A worker takes one after the other from it, until there are none;
-- then it rests, as a daemon, so that run waits for what was submitted and for nothing else.
--
-- A worker is not roused for each task: the one that begins a task names another as its backup, who
-- is roused when the task parks. If it never does, the same worker takes the next task, which costs
-- no switch at all. While tasks do park the pool is eager: it rouses a worker for each, until one
-- was roused in vain.
--
-- To a task its worker is a task of its own: whoever looks at it (rl.self, a name, a scope, a
-- cancellation) makes the library give it a handle, and a worker that was given one takes nothing
-- any more.
--
-- Invariants:
-- - While a task in the line may run, a worker is coming (roused, and counted in `coming` until it
--   looks) or is the backup of one that runs, or the running code is about to look. The backup lies
--   on the stack still, and is roused as soon as that one gives up its turn, however it does.
-- - Nobody waits in `room` while the line has room: for `max - active` tasks, which run as soon as
--   there is a turn for them, and for `queue` more.
-- - `max` is how many may run now: none while the pool is paused, else its seats but for those that
--   paused workers have. `active` counts the tasks that workers have begun.
-- - Idle workers lie on a stack, the one that has rested longest at the bottom. A worker rests on a
--   queue of its own; what rouses it is true, or false: to end. One that was given up (failed,
--   terminated) is counted nowhere, though its coroutine may still have to hear of it.

local clock = require "ringlet.clock"
local core = require "ringlet.core"
local line = require "ringlet.pool_line"
local pool_task = require "ringlet.pool_task"
local run_stop = require "ringlet.run_stop"
local states = require "ringlet.pool_states"
local task = require "ringlet.task"
local time = require "ringlet.time"

local spawn, rest_on, rouse, take, yield = core.spawn, core.rest, core.rouse, core.take, core.yield
local set_backup = core.backup
local push, pop, perform, tell_drained = line.push, line.pop, pool_task.perform,
  pool_task.tell_drained
local now, PLACE = clock.now, pool_task.PLACE
local threads = core.tables()
local seen, lodgers = task.seen, task.lodgers
local jit = rawget(_G, "jit")
local WORK = core.reasons["pool work"]
-- After so many tasks in one turn a worker lets others have theirs.
local IN_A_ROW = 61
-- Seconds of what was recently.
local RECENT = 2

-- Compiled code puts the backup where the core has it, which is a third of a call's cost. By
-- worker, what to put there.
local has_ffi, ffi = pcall(require, "ffi")
local backup_at

local function use_ffi()
  local where, _ = core.backup_at(core.waitq())
  local slot = ffi.cast("void **", where)
  function set_backup(_, at)
    slot[0] = at
  end
  function backup_at(q)
    local _, at = core.backup_at(q)
    return ffi.cast("void *", at)
  end
end

if has_ffi and jit and jit.status() then
  use_ffi()
end

local M = {}

-- Its methods for users are in pool_worker.
local Worker = {__name = "ringlet.pool_worker"}
Worker.__index = Worker
M.Worker = Worker

-- ---- what waits ---------------------------------------------------------------------------------

-- Pools that hold run; nobody else may have them.
local holding = {} -- luacheck: ignore 241

-- A pool whose tasks wait while none may run has no worker that keeps run alive.
local function settle_hold(pool)
  local held = pool.max < 1 and pool.line.len > 0
  if held ~= pool.held then
    pool.held, holding[pool] = held, held or nil
    core.hold(held and 1 or -1)
  end
end

-- How many tasks of the line wait for nothing but a turn.
local function soon(pool)
  local free = pool.max - pool.active
  local len = pool.line.len
  return free <= 0 and 0 or free < len and free or len
end
M.soon = soon

-- Put a task at the end of the line; its place says since when it waits, 0 if it need not.
local function add(pool, f)
  local since = f[PLACE]
  if since > 0 then
    pool.waiters, pool.since_sum = pool.waiters + 1, pool.since_sum + since
  end
  push(pool.line, f)
  if pool.max < 1 then
    settle_hold(pool)
  end
end

-- The task of the submitter that waits longest goes into the line, if there is room; whether it
-- did.
local function let_one_in(pool)
  local free = pool.max - pool.active
  if not pool.asked or pool.line.len >= (free > 0 and free or 0) + pool.queue then
    return false
  end
  local taken, f, more = take(pool.room)
  pool.asked = more or false
  if taken then
    pool.submitted = pool.submitted + 1
    add(pool, f)
  end
  return taken
end

-- The task that is about to run has waited. What was recently is kept by halves of a while.
local function note_wait(pool, f)
  local t = now()
  local waited = t - f[PLACE]
  pool_task.stop_waiting(f)
  pool.waits, pool.wait_sum = pool.waits + 1, pool.wait_sum + waited
  if waited > pool.wait_max then
    pool.wait_max = waited
  end
  if t >= pool.recent_till then
    pool.past_sum, pool.past_len = pool.recent_sum, pool.recent_len
    if t >= pool.recent_till + RECENT / 2 then
      pool.past_sum, pool.past_len = 0, 0
    end
    pool.recent_sum, pool.recent_len, pool.recent_till = 0, 0, t + RECENT / 2
  end
  pool.recent_sum, pool.recent_len = pool.recent_sum + waited, pool.recent_len + 1
end

-- How long tasks wait now: the mean of those that began lately, or, if that is more, of those that
-- wait. 0 when none waits.
function M.wait_now(pool)
  if pool.waiters == 0 and core.offers(pool.room) == 0 then
    return 0
  end
  local t = now()
  local n, sum = pool.recent_len + pool.past_len, pool.recent_sum + pool.past_sum
  if n == 0 or t >= pool.recent_till + RECENT / 2 then
    n, sum = 1, 0
  end
  return math.max(sum / n, pool.waiters > 0 and t - pool.since_sum / pool.waiters or 0)
end

-- ---- idle workers -------------------------------------------------------------------------------

local arm_expiry

-- It lies on the stack no more.
local function forget_idle(pool, w)
  local idle = pool.idle
  for i = pool.idle_len, 1, -1 do
    if idle[i] == w then
      table.remove(idle, i)
      pool.idle_len, w.lies = pool.idle_len - 1, false
      return
    end
  end
end
M.forget_idle = forget_idle

local function lie_down(pool, w)
  if pool.line.capacity > line.LARGE and pool.line.len == 0 then
    pool.line = line.new()
  end
  local n = pool.idle_len + 1
  pool.idle[n], pool.idle_len = w, n
  w.lies, w.idle_at = true, now()
  if n == 1 and pool.expiry then
    arm_expiry(pool)
  end
end
M.lie_down = lie_down

-- The worker is the pool's no more, whether or not its coroutine knows.
local function retire(pool, w, phase)
  states.move(w, phase)
  pool.crew = pool.crew - 1
  pool.all[w] = nil
end

-- Make a worker that rests go its way; whether it does. One that was cancelled ends.
local function wake(w, go)
  w.lies = false
  return not w.begun or rouse(w.q, go)
end
M.wake = wake

-- The n workers that have rested longest end.
local function dismiss(pool, n)
  local idle, len = pool.idle, pool.idle_len
  for i = 1, n do
    retire(pool, idle[i], "terminated")
    wake(idle[i], false)
  end
  for i = 1, len do
    idle[i] = idle[i + n]
  end
  pool.idle_len = len - n
  if pool.idle_len == 0 and pool.timer then
    time.cancel_call(pool.timer)
    pool.timer = nil
  end
end

local function set_expiry(pool)
  local left = pool.idle[1].idle_at + pool.expiry - core.now()
  pool.timer = time.call_after(math.max(left, 0), function()
    pool.timer = nil
    local n, due = 0, core.now() - pool.expiry
    while n < pool.idle_len and pool.idle[n + 1].idle_at <= due do
      n = n + 1
    end
    dismiss(pool, n)
    arm_expiry(pool)
  end)
end

-- Those that have rested for `expiry` are to end.
function arm_expiry(pool)
  if not pool.timer and pool.idle_len > 0 then
    set_expiry(pool)
  end
end

-- ---- a worker's life ----------------------------------------------------------------------------

local work

local function copy(tags)
  if not tags then
    return nil
  end
  local own = {}
  for k, v in pairs(tags) do
    own[k] = v
  end
  return own
end

-- Give the worker a coroutine, which has yet to begin.
local function give_life(pool, w)
  local slot = spawn(threads, 0, work, pool, w)
  task.tell_of(slot) -- a handle that hooks have is none that a user has
  w.slot, w.begun, seen[slot], lodgers[slot] = slot, false, false, w
end

local function start_worker(pool)
  local id = pool.last_id + 1
  local w = setmetatable({
    id = id, pool = pool, phase = "created", since = now(), done = 0, f = false, lies = false,
    held = false, halt = false, coming = false, idle_at = 0, q = core.waitq(),
    tags = copy(pool.tags), backup_at = false,
  }, Worker)
  w.backup_at = backup_at and backup_at(w.q)
  give_life(pool, w)
  pool.last_id, pool.crew, pool.all[w] = id, pool.crew + 1, true
  return w
end

-- The worker that began to rest last, roused, or nil. Those that were cancelled meanwhile end.
local function rouse_idle(pool)
  local n = pool.idle_len
  if n == 0 then
    return nil
  end
  local w = pool.idle[n]
  pool.idle[n], pool.idle_len = nil, n - 1
  return wake(w, true) and w or rouse_idle(pool)
end

-- See that workers are coming for the tasks that may run: for each, if the pool is eager, else one.
local function summon(pool)
  local wanted = soon(pool)
  if not pool.eager and wanted > 0 then
    wanted = pool.backup and 0 or 1
  end
  if pool.coming < wanted then
    local w = rouse_idle(pool) or start_worker(pool)
    w.coming, pool.coming = true, pool.coming + 1
    return summon(pool)
  end
end

-- The same, by a worker that is about to begin a task, when others may run.
local function prepare(pool)
  local w = pool.idle[pool.idle_len]
  if pool.eager or not w or not w.begun then
    summon(pool)
  elseif pool.coming == 0 and not pool.backup and pool.active < pool.max then
    pool.backup = w
    set_backup(w.q, w.backup_at)
  end
end

-- The worker is here, or will not come.
local function arrive(pool, w)
  if w.coming then
    w.coming, pool.coming = false, pool.coming - 1
  end
  if pool.backup == w then
    pool.backup = false
  end
end
M.arrive = arrive

-- Something has changed: more may run, or wait.
local function dispatch(pool)
  while let_one_in(pool) do end
  summon(pool)
end
M.dispatch = dispatch

-- Is it to take no more tasks?
local function is_done(w)
  return w.halt or seen[w.slot]
end


-- Let others have their turn, after many tasks in a row.
local function breathe(pool, w)
  w.coming, pool.coming = true, pool.coming + 1
  yield()
  arrive(pool, w)
end

-- Take the next task.
local function begin(pool, w)
  local line_ = pool.line
  local f = pop(line_)
  if not f then
    return nil
  end
  if f[PLACE] > 0 then
    note_wait(pool, f)
  end
  if pool.held then
    settle_hold(pool)
  end
  pool.active = pool.active + 1
  if line_.len > 0 then
    prepare(pool)
  end
  w.f, f[PLACE], w.phase = f, w, "running"
  if pool.pulse then
    pool.pulse(pool, w)
  end
  return f
end

-- Run what waits, until there is nothing, or the worker is to take no more.
local function run_tasks(pool, w)
  local slot, left = w.slot, IN_A_ROW
  while pool.active < pool.max and not w.halt and not seen[slot] do
    local f = begin(pool, w)
    if not f then
      return
    end
    perform(pool, f)
    w.f, w.done = false, w.done + 1
    pool.active = pool.active - 1
    if w.phase == "failed" then -- it was given up, and counted as that
      pool.active = pool.active + 1
      return
    elseif pool.asked and not w.halt then
      let_one_in(pool)
    end
    left = left - 1
    if left == 0 then
      breathe(pool, w)
      left = IN_A_ROW
    end
  end
end

-- How many may run now.
local function set_max(pool)
  pool.max = pool.paused and 0 or math.max(pool.seats - pool.stopped, 0)
  settle_hold(pool)
end
M.set_max = set_max

-- A paused worker keeps its seat empty, until somebody resumes or ends it.
local function hold(pool, w)
  w.held = true
  pool.stopped = pool.stopped + 1
  set_max(pool)
  dispatch(pool)
end
M.hold = hold

-- It keeps it no more. Whoever says so wakes it, or lays it down.
local function release(pool, w)
  w.held, w.halt = false, false
  pool.stopped = pool.stopped - 1
  set_max(pool)
end
M.release = release

-- Park until there is something to do. False: it is to end; nil: the run ends.
local function park(pool, w)
  local go = rest_on(w.q, WORK)
  if w.lies then -- nobody took it from the stack
    forget_idle(pool, w)
  elseif go == nil and w.held then
    release(pool, w)
  end
  return go
end

-- A worker that is paused keeps its seat, also if its coroutine may not be used again; whether it
-- does.
local function stays_paused(pool, w)
  if w.phase ~= "paused" or w.doomed or pool.closed or run_stop.ending() then
    return false
  end
  hold(pool, w)
  return true
end

-- What it does between tasks: lie on the stack, or keep its seat empty. False: it ends.
local function rest(pool, w)
  pool.backup = false -- no task has parked
  if stays_paused(pool, w) then
    if seen[w.slot] then
      lodgers[w.slot] = false
      give_life(pool, w)
      return false
    end
  elseif is_done(w) or pool.closed or pool.crew > pool.seats then
    return false
  else
    w.phase = "pending"
    lie_down(pool, w)
  end
  return park(pool, w)
end

-- Its coroutine ends.
local function leave(pool, w)
  lodgers[w.slot] = false
  arrive(pool, w)
  if w.phase == "failed" then
    states.move(w, "terminated")
    pool.all[w] = nil
  elseif w.phase ~= "terminated" then
    retire(pool, w, "terminated")
  end
  dispatch(pool)
  if pool.crew == 0 and pool.pulse_timer then
    time.cancel_call(pool.pulse_timer)
    pool.pulse_timer = nil
  elseif pool.closed and pool.line.len == 0 then
    dismiss(pool, pool.idle_len)
  end
  tell_drained(pool)
end

function work(pool, w)
  local slot, go = w.slot, true
  w.begun = true
  if w.phase == "created" then
    w.phase = "pending"
  end
  if w.lies or w.held then -- it was made before there was something to do
    go = park(pool, w)
  end
  while go and w.phase ~= "terminated" do
    local done = w.done
    pool.eager = pool.eager or pool.active > 0 -- tasks that are parked
    arrive(pool, w)
    run_tasks(pool, w)
    pool.eager = pool.eager and w.done > done
    if pool.awaited > 0 then
      tell_drained(pool)
    end
    go = w.phase ~= "failed" and rest(pool, w)
  end
  if w.slot == slot then -- else it goes on in another coroutine
    leave(pool, w)
  end
end

-- Its coroutine has ended in the middle of a task, which took it for its own: it yielded to nobody,
-- or swallowed its cancellation for too long. Whoever waits for that task is told.
function Worker:lost_(err, trace)
  local pool, f = self.pool, self.f
  if f and self.phase ~= "failed" then
    self.f, self.done, pool.active = false, self.done + 1, pool.active - 1
    pool_task.fail(pool, f, err, trace)
  end
  if stays_paused(pool, self) then
    give_life(pool, self)
  else
    leave(pool, self)
  end
  return f ~= false
end

-- All workers are there before the first task.
function M.prealloc(pool)
  for _ = pool.crew + 1, pool.seats do
    local w = start_worker(pool)
    w.lies = true
    lie_down(pool, w)
  end
end

-- A task that there is room for, whose place is 0 or since when it waits.
function M.accept(pool, f)
  add(pool, f)
  if pool.eager or pool.coming == 0 then
    summon(pool)
  end
end

M.retire, M.dismiss = retire, dismiss

return M
