-- SPDX-License-Identifier: MIT
-- group_worker: a logical shard on the thread that hosts it: its mailbox, who serves it, and what
-- becomes of it when it fails.
--
-- A mailbox holds calls, and items, which are functions of ours that have their turn like calls. It
-- is served by one task, which lives while there is something to do: an idle logical shard keeps no
-- run alive, one that works does.
--
-- Invariants: `task` is who serves, in this generation; whoever served an earlier one finds itself
-- replaced when what it does returns, and its result is dropped. A call is settled once, whoever
-- comes first: its end, the loss of its worker, its withdrawal.

local cancel = require "ringlet.cancel"
local core = require "ringlet.core"
local post = require "ringlet.post"
local run = require "ringlet.run_stop"
local states = require "ringlet.group_states"
local task = require "ringlet.task"
local time = require "ringlet.time"
local traced = require "ringlet.traced"

local unparcel, now = core.unparcel, core.now
local TIMES = 128 -- calls whose times are kept

local M = {}

local LOST = "ELOST: the logical shard failed during the call"
local DEAD = "ELOST: the logical shard has failed, and so has its replacement"
local CLOSED = "ECLOSED: the group was stopped"

-- slot of a task -> the worker that it serves
local serving = {}

run.endings[#run.endings + 1] = function()
  serving = {}
end

-- The worker that the running task serves.
function M.served()
  local slot = core.current()
  return slot and serving[slot]
end

-- ---- the mailbox --------------------------------------------------------------------------------

local function push(w, item)
  w.last = w.last + 1
  w.queue[w.last] = item
end

local function push_first(w, item)
  w.first = w.first - 1
  w.queue[w.first] = item
end

local function pop(w)
  while w.first <= w.last do
    local item = w.queue[w.first]
    w.queue[w.first] = nil
    w.first = w.first + 1
    if not item.settled then
      return item
    end
  end
end

-- Room for one more of whoever sent it. Few words for many calls, but none is kept back while the
-- sender may wait for it.
local function give_credit(w, call)
  local group = w.group
  if group.capacity and not call.free then
    local due = w.credits[call.origin] + 1
    w.credits[call.origin] = due
    if due >= group.credit_step or w.queued == 0 then
      w.credits[call.origin] = 0
      post.to(call.origin, "group credit", group.id, w.index, due)
    end
  end
end

local function leave_queue(w, call)
  w.queued = w.queued - 1
  give_credit(w, call)
end

-- ---- how calls end ------------------------------------------------------------------------------

-- Tell the caller, once: "ok" and results, "raised" with an error and a traceback, "refused" with a
-- message and a code, "cancelled" with a reason. Of a cast only failures are told.
local function settle(w, call, how, ...)
  if call.settled then
    return
  end
  call.settled = true
  local group = w.group
  w.calls[call.origin][call.id] = nil
  if how ~= "ok" or not call.cast then
    local name = call.cast and "group trouble" or "group result"
    local number = call.cast and group.id or call.id
    local sent, err = pcall(post.to, call.origin, name, number, how, ...)
    if not sent then -- of an error the text travels; of results, why they do not
      local raised = how == "raised"
      post.to(call.origin, name, number, "raised", tostring(raised and (...) or err),
        raised and select(2, ...) or "")
    end
  end
  if group.bounded then
    post.to(group.home, "group release", group.id, call.origin, call.id)
  end
end

-- Give up the calls that have not begun.
local function refuse_all(w, msg, code)
  for i = w.first, w.last do
    local call = w.queue[i]
    if call.parcel and not call.settled then
      leave_queue(w, call)
      settle(w, call, "refused", msg, code)
    end
  end
end

local function note_time(w, call)
  w.timed = w.timed + 1
  w.times[(w.timed - 1) % TIMES + 1] = now() - call.came
end

-- ---- doing one thing ----------------------------------------------------------------------------

local function apply(state, fn, ...)
  return fn(state, ...)
end

local function perform(w, call)
  local fn = call.method and w.group.methods[call.method] or apply
  return fn(w.user, unparcel(call.parcel))
end

local fail -- forward: a worker that fails begins anew

-- Its task was cancelled: by the future of the call, by a forced stop, with the whole run, or by
-- itself, which is a failure.
local function settle_cancelled(w, call, err)
  if call.cancelled then
    settle(w, call, "cancelled", call.reason)
  elseif w.group.killed or run.ending() then
    settle(w, call, "refused", "ECANCELED: the group was stopped during the call", "ECANCELED")
  else
    settle(w, call, "raised", err, "")
    fail(w, "its task was cancelled")
  end
end

local function settle_raised(w, call, err, trace)
  if w.task.cancelled and cancel.is_cancel(err) then
    settle_cancelled(w, call, err)
    return
  end
  w.failed = w.failed + 1
  settle(w, call, "raised", err, trace)
  if w.group.fail_on_error then
    fail(w, "a method raised: " .. tostring(err))
  end
end

-- After a call: is the worker still the one that began it?
local function ended(w, call, generation, ok, ...)
  if w.generation ~= generation then
    return
  end
  w.current = nil
  note_time(w, call)
  if ok then
    w.done = w.done + 1
    settle(w, call, "ok", ...)
  else
    settle_raised(w, call, ...)
  end
end

local function do_call(w, call)
  leave_queue(w, call)
  w.began, w.waited = w.began + 1, w.waited + now() - call.came
  ended(w, call, w.generation, traced.call(perform, w, call))
end

-- An item: fn(w) in its turn, then done(ok, result or error).
local function item_ended(w, item, generation, ok, result)
  if w.generation == generation then
    w.current = nil
    item.settled = true
    item.done(ok, result)
  end
end

local function do_item(w, item)
  item_ended(w, item, w.generation, traced.call(item.fn, w))
end

-- ---- progress -----------------------------------------------------------------------------------

-- Progress was made: the heart beats.
function M.beat(w)
  w.progress = w.progress + 1
  w.seen = now()
end

local function arm(w, t)
  w.alarm = time.call_after(t, function()
    w.alarm = nil
    if w.current then
      local left = w.seen + w.group.heartbeat - now()
      if left > 0 then
        arm(w, left)
      else
        fail(w, ("no progress for %g s"):format(w.group.heartbeat))
      end
    end
  end)
end

local function disarm(w)
  if w.alarm then
    time.cancel_call(w.alarm)
    w.alarm = nil
  end
end

-- ---- serving ------------------------------------------------------------------------------------

local function may_serve(w)
  return w.state == "running" and not w.task.cancelled
end

local function serve(w, generation)
  while w.generation == generation and may_serve(w) do
    local item = pop(w)
    if not item then
      break
    end
    w.current = item
    M.beat(w)
    if w.group.heartbeat and not w.alarm then
      arm(w, w.group.heartbeat)
    end
    if item.parcel then
      do_call(w, item)
    else
      do_item(w, item)
    end
    if w.generation == generation then
      M.beat(w)
    end
  end
end

local function drop_all(w)
  refuse_all(w, CLOSED, "ECLOSED")
  w.queue, w.first, w.last = {}, 1, 0
end

-- Have the mailbox served, if there is anything in it.
local function start(w)
  if w.task or w.state ~= "running" or w.first > w.last then
    return
  elseif run.ending() then
    drop_all(w)
    return
  end
  local h = task.go(serve, w, w.generation)
  local slot = h[1]
  w.task = h
  serving[slot] = w
  h.on_end = function()
    serving[slot] = nil
    if w.task == h then
      w.task = nil
      disarm(w)
      start(w)
    end
  end
  task.anchor(h)
end

-- ---- from init to failure -----------------------------------------------------------------------

local function init(w)
  return w.group.init and w.group.init(w.index)
end

-- The end of init, unless it is out of date.
local function begun(w, generation, done, ok, state, trace)
  if w.generation ~= generation or w.state ~= "pending" then
    return
  end
  w.starter = nil
  if ok then
    w.user = state
    states.move(w, "running")
    done(true)
    start(w)
    return
  end
  states.move(w, "failed")
  if cancel.is_cancel(state) then
    done(false, CLOSED, "")
  else
    done(false, state, trace)
  end
end

-- Run init in a task of its own; then done(true), or done(false, error, traceback).
local function begin(w, done)
  states.move(w, "pending")
  w.starter = task.go(function(generation)
    begun(w, generation, done, traced.call(init, w))
  end, w.generation)
  w.starter:name(("%s %d: init"):format(w.group.name, w.index))
end

local function die(w, err, trace)
  w.dead = true
  refuse_all(w, DEAD, "ELOST")
  for i = w.first, w.last do
    local item = w.queue[i]
    if item.fn and not item.settled then
      item.settled = true
      item.done(false, DEAD)
    end
  end
  w.queue, w.first, w.last = {}, 1, 0
  if not w.group.killed then
    post.to(w.group.home, "group trouble", w.group.id, "raised", err, trace)
  end
end

-- A replacement with a new state does what has not begun.
local function replace(w)
  local held = w.hold
  begin(w, function(ok, err, trace)
    if not ok then
      die(w, err, trace)
    elseif held then
      states.move(w, "paused")
    end
  end)
end

function fail(w, reason)
  local item, h = w.current, w.task
  states.move(w, "failed")
  w.generation, w.current, w.task, w.user = w.generation + 1, nil, nil, nil
  disarm(w)
  if item and item.parcel and not item.settled then
    w.lost = w.lost + 1
    settle(w, item, "refused", LOST .. ": " .. reason, "ELOST")
  elseif item and item.fn then
    item.settled = true
    item.done(false, LOST .. ": " .. reason)
  end
  if h then
    h:cancel("the logical shard has failed")
  end
  post.to(w.group.home, "group failed", w.group.id, w.index, reason)
  if w.state == "failed" and not run.ending() then
    replace(w)
  end
end

-- ---- what the host does with it -----------------------------------------------------------------

-- A new logical shard of a group on this thread. `done` as of begin.
function M.new(group, index, done)
  local w = {
    group = group, index = index, state = "created", generation = 1, hold = false,
    queue = {}, first = 1, last = 0, queued = 0, calls = {}, credits = {},
    progress = 0, seen = now(), began = 0, waited = 0, done = 0, failed = 0, lost = 0,
    times = {}, timed = 0,
  }
  local _, size = core.fleet()
  for i = 1, size do
    w.calls[i], w.credits[i] = {}, 0
  end
  begin(w, done)
  return w
end

-- A call came: {origin, id, method or nil, cast, parcel}; one that was taken from another logical
-- shard is `free`: it took no room of this one's queue.
function M.accept(w, call)
  call.came = call.came or now()
  w.calls[call.origin][call.id] = call
  w.queued = w.queued + 1
  if w.dead or w.group.killed or w.state == "terminated" then
    leave_queue(w, call)
    settle(w, call, "refused", w.dead and DEAD or CLOSED, w.dead and "ELOST" or "ECLOSED")
    return
  end
  push(w, call)
  start(w)
end

-- Have fn(w) run in its turn, after what is in the mailbox or, if it is to be `first`, before that.
-- done(true, result) or done(false, error).
function M.enqueue(w, fn, done, first)
  if w.dead or w.state == "terminated" then
    done(false, DEAD)
    return
  end
  local add = first and push_first or push
  add(w, {fn = fn, done = done})
  start(w)
end

-- The key of a call that has not begun; nil for one that is bound to its logical shard.
local function key_of(call)
  local ok, first, second = pcall(unparcel, call.parcel)
  if not ok then
    return nil
  elseif call.method then
    return first
  end
  return second
end

-- Take the calls that have not begun and belong elsewhere by `find` out of the mailbox:
-- give(index, call) for each, in order.
function M.take(w, find, give)
  local kept, last = {}, 0
  for i = w.first, w.last do
    local item = w.queue[i]
    local key = item.parcel and not item.settled and key_of(item)
    local to = key ~= nil and key ~= false and find(key) or w.index
    if to ~= w.index then
      leave_queue(w, item)
      w.calls[item.origin][item.id] = nil
      give(to, {origin = item.origin, id = item.id, method = item.method, cast = item.cast,
        parcel = item.parcel, came = item.came, free = true})
    else
      last = last + 1
      kept[last] = item
    end
  end
  w.queue, w.first, w.last = kept, 1, last
end

-- The caller does not wait any more: what has not begun never does. With `reason` (in a table) what
-- has begun is cancelled.
function M.withdraw(w, origin, id, reason)
  local call = w.calls[origin][id]
  if not call then
    return
  elseif w.current ~= call then
    leave_queue(w, call)
    settle(w, call, "cancelled", reason and reason[1])
  elseif reason then
    call.cancelled, call.reason = true, reason[1]
    w.task:cancel(reason[1])
  end
end

-- Hold the queue, or go on.
function M.set(w, to)
  states.move(w, to)
  w.hold = to == "paused"
  start(w)
end

-- A forced stop, after group.killed was set: refuse what waits, cancel what runs.
function M.kill(w)
  refuse_all(w, CLOSED, "ECLOSED")
  if w.current and w.current.parcel then
    w.task:cancel("the group was stopped")
  elseif w.starter then
    w.starter:cancel("the group was stopped")
  end
end

local function call_stop(w)
  if w.group.stop then
    w.group.stop(w.user)
  end
end

-- The end, in its turn: the hook, then terminated. `done` is called without arguments.
function M.finish(w, done)
  if w.state == "paused" then
    M.set(w, "running")
  end
  if w.dead or w.state == "terminated" then
    w.state = "terminated"
    done()
    return
  end
  M.enqueue(w, call_stop, function(ok, err)
    if not ok then
      post.to(w.group.home, "group trouble", w.group.id, "raised", err, "")
    end
    w.generation = w.generation + 1
    states.move(w, "terminated")
    drop_all(w)
    done()
  end)
end

-- Numbers of a logical shard, and the times of its last calls.
function M.stats(w)
  return {
    id = w.index, state = w.state, queued = w.queued, done = w.done, failed = w.failed,
    lost = w.lost, active = w.current ~= nil and w.current.parcel ~= nil, progress = w.progress,
    generation = w.generation, mean_wait = w.began > 0 and w.waited / w.began or 0,
  }, w.times
end

return M
