-- SPDX-License-Identifier: MIT
-- group_client: what a shard knows of the groups of its run, and the sending side of their calls.
--
-- Messages from one shard to another arrive in order, so all that is needed for the order per key
-- is that a shard's calls of a key take one way: to the thread of the key's logical shard; in a
-- bounded group, to its home, which alone knows the loads and passes them on. A call that may not
-- go yet waits in a line: of its logical shard, while that has `capacity` of this shard's calls in
-- its queue; or among the held ones, while a resize moves its key.
--
-- Invariants: while a line has room nobody stands in it. While a resize is under way, all calls of
-- a key that moves are held. An entry's `at` says where it is: "line", "held" or "sent"; one that
-- is `gone` is passed over.

local cancel = require "ringlet.cancel"
local core = require "ringlet.core"
local errors = require "ringlet.errors"
local fail = require "ringlet.fail"
local future = require "ringlet.future"
local post = require "ringlet.post"
local routing = require "ringlet.group_routing"
local run = require "ringlet.run_stop"
local task = require "ringlet.task"

local CALL = core.reasons["group call"]
local CLOSED = "ECLOSED: the group was stopped"
local FULL = "EAGAIN: the queue of the logical shard is full"
local WHOLE = 0 -- the line of a bounded group

local M = {}

local groups, names = {}, {} -- by id; by name
local pending, last = {}, 0  -- by number: entries whose end is to come

run.endings[#run.endings + 1] = function()
  for _, entry in pairs(pending) do
    local f = entry.future
    if f then
      future.abandon(f, "the run has ended")
    end
  end
  groups, names, pending = {}, {}, {}
end

-- The thread that hosts a logical shard.
local function thread_of(index)
  local _, size = core.fleet()
  return (index - 1) % size + 1
end
M.thread_of = thread_of

function M.find(id)
  return groups[id]
end

function M.named(name)
  return names[name]
end

-- ---- a group becomes known, and is forgotten ----------------------------------------------------

-- Go by this plan from now on.
function M.follow(group, plan)
  group.plan, group.n = plan, plan.n
  group.find = not group.bounded and routing.finder(plan) or nil
end

-- From its definition: the options of rl.group that travel, with id, home and plan.
function M.add(group)
  group.lines, group.workers = {}, {}
  group.bounded = routing.is_bounded(group.plan)
  group.fences, group.on_fences = {}, {}
  if group.capacity then
    group.credit_step = math.max(1, math.floor(group.capacity / 4))
  end
  M.follow(group, group.plan)
  groups[group.id], names[group.name] = group, group
end

function M.forget(group)
  groups[group.id] = nil
  if names[group.name] == group then
    names[group.name] = nil
  end
end

-- ---- lines --------------------------------------------------------------------------------------

local function line_of(group, entry)
  local place = group.bounded and WHOLE or entry.index
  local line = group.lines[place]
  if not line then
    local room = (group.capacity or math.huge) * (group.bounded and group.n or 1)
    line = {room = room, most = room, first = 1, last = 0}
    group.lines[place] = line
  end
  return line
end

local function send(group, entry, line)
  entry.at = "sent"
  line.room = line.room - 1
  if group.bounded then
    post.to(group.home, "group place", group.id, entry.id, entry.method, entry.cast, entry.fixed,
      entry.key, entry.parcel)
  else
    post.to(thread_of(entry.index), "group call", group.id, entry.index, (core.fleet()), entry.id,
      entry.method, entry.cast, entry.parcel)
  end
  if entry.admitted then
    core.wake(entry.admitted, true)
  end
end

-- As many as there is room for, or all.
local function advance(group, line, all)
  while line.first <= line.last and (all or line.room > 0) do
    local entry = line[line.first]
    line[line.first] = nil
    line.first = line.first + 1
    if not entry.gone then
      send(group, entry, line)
    end
  end
end

local function stand(line, entry)
  entry.at = "line"
  line.last = line.last + 1
  line[line.last] = entry
end

local function go(group, entry)
  local line = line_of(group, entry)
  if line.room > 0 then
    send(group, entry, line)
  else
    stand(line, entry)
  end
end

post.on("group credit", function(_, id, index, n)
  local group = groups[id]
  local line = group and group.lines[group.bounded and WHOLE or index]
  if line then
    line.room = math.min(line.room + n, line.most)
    advance(group, line)
  end
end)

-- Tell the origin of a call that nobody will do it.
function M.refuse(origin, id, number, cast, msg, code)
  if cast then
    post.to(origin, "group trouble", id, "refused", msg, code)
  else
    post.to(origin, "group result", number, "refused", msg, code)
  end
end

-- ---- accepting ----------------------------------------------------------------------------------

local function must_hold(group, entry)
  return group.moving and not group.bounded
    and entry.fixed == nil and group.moving(entry.key) ~= entry.index
end

local function hold(group, entry)
  entry.at = "held"
  group.held[#group.held + 1] = entry
end

-- Is there room at once for what does not wait?
local function has_room(group, entry)
  if not group.capacity then
    return true
  elseif entry.at_hold then
    return #group.held < group.capacity
  end
  return line_of(group, entry).room > 0
end

-- Send an entry on its way: {method, key, parcel, index, fixed, cast, future}; index is the logical
-- shard, which is not known in a bounded group but for `fixed` entries. True, or nil, a message and
-- a code.
function M.accept(group, entry)
  if group.closed then
    return nil, CLOSED, "ECLOSED"
  end
  entry.at_hold = must_hold(group, entry)
  if entry.cast and not has_room(group, entry) then
    return nil, FULL, "EAGAIN"
  end
  last = last % 0x7fffffff + 1
  entry.id = last
  if not entry.cast then
    pending[entry.id] = entry
  end
  if entry.at_hold then
    hold(group, entry)
  else
    go(group, entry)
  end
  return true
end

-- The caller does not want it any more.
local function withdraw(group, entry, reason)
  if entry.at ~= "sent" then
    entry.gone = true
  elseif group.bounded then
    post.to(group.home, "group misplace", group.id, entry.id, reason)
  else
    local index = entry.fixed or group.find(entry.key) -- a resize may have moved it
    post.to(thread_of(index), "group withdraw", group.id, index, (core.fleet()), entry.id, reason)
  end
end

-- The future of an entry is cancelled. One that is sent may have begun: its end is still to come.
function M.cancel(group, entry, reason)
  if entry.at ~= "sent" then
    pending[entry.id] = nil
    future.settle(entry.future, false, cancel.error(reason))
  end
  withdraw(group, entry, {reason})
end

-- ---- waiting ------------------------------------------------------------------------------------

-- Before anything that may park: are we in a task, and not cancelled?
function M.enter()
  local _, code = core.refill()
  if code then
    fail(code)
  end
end

-- Wait on an entry's queue; true, or nil, a message and a code, or the raise of a cancellation; the
-- entry is withdrawn then.
local function wait(group, entry, q, t)
  local ok, code = core.wait(q, t, CALL)
  if ok == nil then
    pending[entry.id] = nil
    withdraw(group, entry)
    return fail(code)
  end
  return true
end

-- Wait for an entry's end: entry.how and its values from 1 to n.
function M.wait(group, entry, t)
  if entry.how then
    return true
  end
  entry.q = core.waitq()
  return wait(group, entry, entry.q, t)
end

-- Wait while a resize is under way.
function M.steady(group, t)
  while group.moving do
    local ok, code = core.wait(group.settled, t, CALL)
    if ok == nil then
      return fail(code)
    end
  end
  return true
end

-- Wait until an entry has gone to its logical shard.
function M.admit(group, entry, t)
  if entry.at == "sent" then
    return true
  end
  entry.admitted = core.waitq()
  return wait(group, entry, entry.admitted, t)
end

local function settle_future(entry, how, ...)
  local f = entry.future
  if how == "ok" then
    future.settle(f, true, ...)
  elseif how == "cancelled" then
    future.settle(f, false, cancel.error((...)))
  elseif how == "raised" then
    future.settle(f, false, ...)
  else
    local msg, code = ...
    future.settle(f, false, errors.new(msg, code), "")
  end
end

post.on("group result", function(_, number, how, ...)
  local entry = pending[number]
  if not entry then
    return
  end
  pending[number] = nil
  if entry.future then
    settle_future(entry, how, ...)
    return
  end
  entry.how, entry.n = how, select("#", ...)
  for i = 1, entry.n do
    entry[i] = (select(i, ...))
  end
  if entry.q then
    core.wake(entry.q, true)
  end
end)

-- What users have of a group: set by group.lua.
M.handle_of = nil

-- What nobody waits for has failed.
post.on("group trouble", function(_, id, how, err, trace)
  local group = groups[id]
  if how == "cancelled" or cancel.is_cancel(err) then
    return
  elseif how == "refused" then
    trace = ""
  end
  task.report(err, trace or "", group and M.handle_of(group) or "ringlet.group")
end)

-- ---- a resize, and the end ----------------------------------------------------------------------

-- What was sent to the old logical shards ends here: a fence to every thread.
function M.fence(group, version)
  local _, size = core.fleet()
  for i = 1, size do
    post.to(i, "group fence", group.id, version)
  end
end

-- Those in the lines that must not go to where they were going are held, the others go on.
local function sort_lines(group)
  for _, line in pairs(group.lines) do
    local kept = {}
    for i = line.first, line.last do
      local entry = line[i]
      line[i] = nil
      if entry.fixed and not entry.gone then
        send(group, entry, line)
      elseif must_hold(group, entry) then
        hold(group, entry)
      elseif not entry.gone then
        kept[#kept + 1] = entry
      end
    end
    line.first, line.last = 1, #kept
    for i, entry in ipairs(kept) do
      line[i] = entry
    end
  end
end

-- Hold the calls of keys that will be elsewhere by this plan.
function M.prepare(group, plan)
  group.held, group.settled = {}, core.waitq()
  group.moving = not group.bounded and routing.finder(plan) or function() end
  if not group.bounded then
    sort_lines(group)
  end
end

-- Go by this plan, and let go what was held.
function M.settle(group, plan)
  local held, before = group.held, group.n
  group.held, group.moving = nil, nil
  M.follow(group, plan)
  for i = plan.n + 1, before do
    group.lines[i] = nil
  end
  local whole = group.capacity and group.lines[WHOLE]
  if whole then
    local more = (plan.n - before) * group.capacity
    whole.room, whole.most = whole.room + more, whole.most + more
    advance(group, whole)
  end
  for _, entry in ipairs(held) do
    if not entry.gone then
      entry.index = group.find(entry.key)
      go(group, entry)
    end
  end
  core.wake_all(group.settled, true)
end

-- Take no more calls; what stands in the lines goes.
function M.close(group)
  group.closed = true
  for _, line in pairs(group.lines) do
    advance(group, line, true)
  end
end

return M
