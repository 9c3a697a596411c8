-- SPDX-License-Identifier: MIT
-- pool_shared_line: the inside of a shared pool in one shard: what was submitted here, and how it
-- becomes a job.
--
-- A task is the future of a job that is prepared when it comes and launched when it has a permit.
-- Behind what every future has it holds {record, place, kind}. While it is WAITING its place is a
-- number in the line. Then it is one in `live`, and its kind is PERMITTED, or BESIDE the pool, or
-- the cancel scope in which its submitter runs it. The end of a job comes home to the shard that
-- submitted it, and its permit with it: so nothing that happens to it elsewhere can lose one.
--
-- For what waits here two tasks wait with the other shards, first come, first served: the runner
-- for permits, the porter for places in the queue, for submitters that wait for room. Both are
-- there only while they have something to wait for, and keep run alive. Where the queue has no
-- places, submitters wait for the runner.
--
-- Invariants: `here` counts the tasks in the line, which has holes where some were cancelled. While
-- there are any, the runner lives; while submitters wait, so does the porter, or the runner.

local cancel = require "ringlet.cancel"
local clock = require "ringlet.clock"
local core = require "ringlet.core"
local errors = require "ringlet.errors"
local fail = require "ringlet.fail"
local future = require "ringlet.future"
local jobs = require "ringlet.jobs"
local run_stop = require "ringlet.run_stop"
local shares = require "ringlet.pool_shared_state"
local task = require "ringlet.task"
local traced = require "ringlet.traced"

local submit, prepare, launch, revoke = core.submit, core.job_prepare, core.job_launch,
  core.job_revoke
local now, offer, take, waits = clock.now, core.offer, core.take, core.waits
local SUBMIT = core.reasons["pool submit"]
local count, ended, give_back = shares.count, shares.ended, shares.give_back

local M = {}

local RECORD, PLACE, KIND = jobs.OWNER, 6, 7
local WAITING, PERMITTED, BESIDE = 1, 2, 3
local OFFERS = 2 -- the side of a wait queue

local FULL = "EOVERLOAD: the pool is full"
local CLOSED = "ECLOSED: the pool was closed"
local DROPPED = "EOVERLOAD: dropped for a later task, the pool is full"

local Future, attend, dismiss

-- ---- what becomes of a task ---------------------------------------------------------------------

local function clear(f)
  f[RECORD], f[PLACE], f[KIND] = nil, nil, nil
end

local function has_failed(record, f, wanted, err, trace)
  count(record, "failed")
  if record.on_panic then
    local ok, second = pcall(record.on_panic, err, trace, f)
    if not ok then
      task.report(second, "", f)
    end
  elseif not wanted then
    task.report(err, trace or "", f)
  end
end

-- It has ended, and its future is settled.
local function tally(record, f, wanted)
  local ok, err, trace = future.outcome(f)
  if ok then
    record.done:add(1)
  elseif cancel.is_cancel(err) then
    count(record, "cancelled")
  else
    has_failed(record, f, wanted, err, trace)
  end
end

-- It is not live any more: whose it was, and whether it had a permit.
local function forget(f)
  local record, has_permit = f[RECORD], f[KIND] == PERMITTED
  record.live[f[PLACE]] = nil
  clear(f)
  return record, has_permit
end

-- A job has ended. Of one that ended well nobody need make the results here.
local function job_ended(f, ok)
  local record, has_permit = forget(f)
  if ok then
    record.done:add(1)
  else
    tally(record, f, f[3])
  end
  ended(record, has_permit)
end

-- It was launched, and no shard has begun it: none does.
local function revoked(f, reason)
  local record, has_permit = forget(f)
  future.abandon(f, cancel.error(reason))
  count(record, "cancelled")
  ended(record, has_permit)
end

local function make_live(record, f, kind)
  local n = record.last + 1
  record.last, record.live[n] = n, f
  f[PLACE], f[KIND] = n, kind
end

-- ---- what waits ---------------------------------------------------------------------------------

local function push(record, f)
  local tail = record.tail + 1
  record.line[tail], record.since[tail], record.tail = f, now(), tail
  record.here = record.here + 1
  f[PLACE], f[KIND] = tail, WAITING
end

-- The task that has waited longest in this shard's line, or nil. Its place is not free yet.
local function pop(record)
  if record.here == 0 then
    return nil
  end
  local line, since, head = record.line, record.since, record.head
  while not line[head] do
    line[head], since[head] = nil, nil
    head = head + 1
  end
  local f, waited = line[head], math.max(now() - since[head], 0)
  line[head], since[head] = nil, nil
  record.head, record.here = head + 1, record.here - 1
  shares.count_wait(record, waited)
  return f
end

local function free_place(record)
  if record.places then
    record.places:release()
  end
end

local function empty_line(record)
  record.line, record.since, record.head, record.tail, record.here = {}, {}, 1, 0, 0
end

-- It has waited, and ends before it began.
local function refuse(record, f, err)
  revoke(f[2])
  clear(f)
  future.put(f, false, err)
  ended(record)
end

-- All that waits here does.
local function refuse_all(record, err)
  local line, from, to = record.line, record.head, record.tail
  empty_line(record)
  for i = from, to do
    if line[i] then
      free_place(record)
      count(record, "cancelled")
      refuse(record, line[i], err)
    end
  end
end

-- What a submitter that waits has to offer, if there is one.
local function take_offered(record)
  local taken, f = take(record.room)
  if taken then
    record.blocked:sub(1)
    record.outstanding:add(1)
    return f
  end
end

-- ---- who waits for it ---------------------------------------------------------------------------

local runner = {obtain = shares.obtain, give_back = give_back}

function runner.is_wanted(record)
  return record.here > 0 or record.queue == 0 and waits(record.room, OFFERS)
end

function runner.serve(record)
  local f = pop(record)
  if f then
    free_place(record)
  elseif record.queue == 0 then
    f = take_offered(record)
  end
  if f then
    record.running:add(1)
    make_live(record, f, PERMITTED)
    launch(f)
  end
  return f
end

local porter = {give_back = free_place}

function porter.is_wanted(record)
  return record.queue > 0 and waits(record.room, OFFERS)
end

function porter.obtain(record)
  record.places:acquire()
end

function porter.serve(record)
  local f = take_offered(record)
  if f then
    push(record, f)
    attend(record, runner)
  end
  return f
end

local function serve(record, role, turn)
  local at = record.at
  while at[role].turn == turn and role.is_wanted(record) do
    role.obtain(record)
    if at[role].turn ~= turn or not role.serve(record) then
      role.give_back(record)
    end
  end
end

-- Only the end of a run cancels one that is wanted. What waits is cancelled with it; submitters are
-- tasks of their own, and some may be shielded.
local function fill(record, role, turn)
  local ok, err = pcall(serve, record, role, turn)
  if record.at[role].turn ~= turn then
    return
  end
  record.at[role].task = nil
  if not ok then
    refuse_all(record, err)
    if role.is_wanted(record) then
      attend(record, role)
    end
  end
end

-- Have somebody in a role.
function attend(record, role)
  local at = record.at[role]
  if not at.task then
    at.turn = at.turn + 1
    at.task = task.go(fill, record, role, at.turn)
  end
end

-- Those who have nothing to wait for any more go.
function dismiss(record)
  for role, at in pairs(record.at) do
    local h = at.task
    if h and not role.is_wanted(record) then
      at.task, at.turn = nil, at.turn + 1
      h:cancel("nothing waits any more")
    end
  end
end

-- ---- submitting ---------------------------------------------------------------------------------

local overflow = {}

local function reject(record)
  count(record, "rejected")
  return nil, FULL, "EOVERLOAD"
end
overflow.reject = reject

local function accept(record, f)
  push(record, f)
  attend(record, runner)
  return f
end

function overflow.block(record, f)
  core.check()
  if record.blocked:add(1) > record.max_blocking then
    record.blocked:sub(1)
    return reject(record)
  end
  attend(record, record.queue == 0 and runner or porter)
  local ok, code = offer(record.room, nil, SUBMIT, f)
  if ok then
    return f
  elseif ok == false then
    return nil, CLOSED, "ECLOSED"
  end
  record.blocked:sub(1)
  dismiss(record)
  return fail(code)
end

function overflow.spawn(record, f)
  record.beside:add(1)
  record.outstanding:add(1)
  count(record, "spawned")
  make_live(record, f, BESIDE)
  launch(f)
  return f
end

local function call(fn, ...)
  return fn(...)
end

local function call_copy(job)
  return call(core.job_copy(job))
end

local function end_here(f, scope, ...)
  local wanted = f[3]
  cancel.pop(scope.owner, scope)
  local record, has_permit = forget(f)
  revoke(f[2])
  future.put(f, ...)
  tally(record, f, wanted)
  ended(record, has_permit)
end

function overflow.caller_runs(record, f)
  local scope = cancel.push(task.own(), {})
  record.beside:add(1)
  record.outstanding:add(1)
  count(record, "caller_ran")
  make_live(record, f, scope)
  end_here(f, scope, traced.call(call_copy, f[2]))
  return f
end

function overflow.drop_oldest(record, f)
  local oldest = pop(record)
  if not oldest then
    return reject(record)
  end
  count(record, "dropped")
  record.outstanding:add(1)
  refuse(record, oldest, errors.new(DROPPED, "EOVERLOAD"))
  return accept(record, f)
end

-- A permit for a task that need not wait.
local function at_once(record, state)
  return state == shares.OPEN and record.here == 0 and not waits(record.room, OFFERS)
    and record.permits:try_acquire()
end

local function has_place(record)
  local places = record.places
  if places then
    return not waits(record.room, OFFERS) and places:try_acquire()
  end
  return record.queue > 0
end

-- What was taken for a task that cannot travel goes back.
local function check_travel(record, undo, ok, err)
  if not ok then
    undo(record)
    error(err, 0)
  end
end

-- Submit fn(...).
-- @parks as `overflow` says
function M.enter(record, fn, ...)
  local state = record.state:load()
  if state % 2 == shares.CLOSED then
    count(record, "rejected")
    return nil, CLOSED, "ECLOSED"
  end
  local f = setmetatable({true, false, false, false, record, false, PERMITTED}, Future)
  if at_once(record, state) then
    check_travel(record, give_back, pcall(submit, nil, f, nil, fn, ...))
    make_live(record, f, PERMITTED)
    record.running:add(1)
    record.outstanding:add(1)
    record.submitted:add(1)
    return f
  elseif has_place(record) then
    check_travel(record, free_place, pcall(prepare, f, fn, ...))
    record.outstanding:add(1)
    record.submitted:add(1)
    return accept(record, f)
  elseif record.overflow ~= "reject" then
    prepare(f, fn, ...)
  end
  record.submitted:add(1)
  return overflow[record.overflow](record, f)
end

-- ---- from outside -------------------------------------------------------------------------------

Future = future.kind(function(f, reason)
  local record, kind = f[RECORD], f[KIND]
  if type(kind) == "table" then
    cancel.cancel_scope(kind, reason)
  elseif kind == WAITING then
    record.line[f[PLACE]] = false
    record.here = record.here - 1
    if record.here == 0 then
      empty_line(record)
    end
    free_place(record)
    count(record, "cancelled")
    refuse(record, f, cancel.error(reason))
    dismiss(record)
  elseif revoke(f[2]) then
    revoked(f, reason)
  else
    core.job_cancel(f[2], reason)
  end
end)

-- The pool was closed: nobody waits for room here any more.
function M.shut(record)
  record.blocked:sub(core.fail_offers(record.room, false))
  dismiss(record)
end

-- What waits here fails with an error, what was begun from here is cancelled, oldest first.
function M.end_all(record, err, reason)
  refuse_all(record, err)
  dismiss(record)
  local numbers = {}
  for n in pairs(record.live) do
    numbers[#numbers + 1] = n
  end
  table.sort(numbers)
  for _, n in ipairs(numbers) do
    record.live[n]:cancel(reason)
  end
end

-- What of a pool one shard has for itself.
local function reset(record)
  empty_line(record)
  record.live, record.last = {}, 0
  record.at = {[runner] = {turn = 0}, [porter] = {turn = 0}}
end

shares.on_record(function(record)
  record.job_ended, record.room = job_ended, core.waitq()
  record.waits_here, record.wait_us_here, record.wait_max_us = 0, 0, 0
  reset(record)
end)

-- Nothing of a run outlives it: what waits in the line then never runs.
run_stop.endings[#run_stop.endings + 1] = function()
  local is_first = (core.fleet()) == 1
  for record in pairs(shares.boxes) do
    for i = record.head, record.tail do
      local f = record.line[i]
      if f then
        clear(f)
        future.abandon(f, cancel.error("the run has ended"))
      end
    end
    reset(record)
    if is_first then
      shares.renew(record)
    end
  end
end

return M
