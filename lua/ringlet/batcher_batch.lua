-- SPDX-License-Identifier: MIT
-- batcher_batch: the batches of a batcher: from the first item of one to its last result.
--
-- A batch has a task from its first item on: it waits until the batch is full, due or flushed, then
-- for its turn, calls the function and settles the members. So what waits keeps run alive, a stop
-- cancels it, and a batch that is full before its task has run never parks. Until it begins it
-- takes items, as long as it is not full: the batcher's `batch` is the one that does.
--
-- Invariants: `unsettled` counts members, and places that were handed to submitters who wait for
-- room; nobody waits for room while there is some. `running` counts the batches that were given a
-- turn; it stays while a turn is handed on. `batches` has those whose task has not ended, by
-- number; `live` is how many. items[i] and futures[i] of a batch belong together; of items with the
-- same key there is one, and further members follow by `twin`.

local cancel = require "ringlet.cancel"
local core = require "ringlet.core"
local fail = require "ringlet.fail"
local future = require "ringlet.future"
local run_stop = require "ringlet.run_stop"
local task = require "ringlet.task"
local time = require "ringlet.time"
local traced = require "ringlet.traced"

local wait, wake = core.wait, core.wake
local WAIT = core.reasons.wait
-- Where a future that is not settled has its batch.
local OF = 5

local M = {}

-- Batchers with batches, for the end of the run.
local active = {}

-- Who waits for the end of all is told of it.
local function tell_idle(self)
  if self.unsettled == 0 and self.live == 0 then
    core.wake_all(self.idle, true)
  end
end

-- So many members are settled: who waits for room has it.
local function leave(self, n)
  self.unsettled = self.unsettled - n
  while self.unsettled < self.max_pending and wake(self.room, true) do
    self.unsettled = self.unsettled + 1
  end
  tell_idle(self)
end
M.leave = leave

-- It takes no more items.
local function shut(batch)
  if batch.of.batch == batch then
    batch.of.batch = false
  end
end

-- It waits no more, if it did.
local function send(batch)
  batch.due = true
  wake(batch.q, true)
end
M.send = send

-- Where in the list of futures a member is, and the twin before it.
local function find(futures, f)
  for i, member in ipairs(futures) do
    local before
    while member and member ~= f do
      before, member = member, member.twin
    end
    if member then
      return i, before
    end
  end
end

-- A member that was cancelled leaves, and its item with it unless it has a twin.
local function drop(batch, f)
  local i, before = find(batch.futures, f)
  local twin, key = f.twin, f.key
  if before then
    before.twin = twin
    return
  elseif key ~= nil then
    batch.by_key[key] = twin
  end
  if twin then
    batch.futures[i], twin.key = twin, key
  else
    table.remove(batch.futures, i)
    table.remove(batch.items, i)
  end
end

-- Cancelled, a member is settled at once. Its item is done all the same if the batch has begun.
local Future = future.kind(function(f, reason)
  local batch = f[OF]
  local self = batch.of
  self.cancelled = self.cancelled + 1
  if not batch.begun then
    drop(batch, f)
    f.twin = nil
    if not batch.items[1] then
      shut(batch)
      send(batch)
    end
  end
  future.put(f, false, cancel.error(reason))
  leave(self, 1)
end)

-- Settle the members of an item that were not cancelled; gives how many they were, and whether
-- somebody wants them.
local function settle(f, ok, ...)
  local n, wanted = 0, false
  while f do
    local twin = f.twin
    if f[1] then
      n, wanted = n + 1, wanted or f[3]
      future.put(f, ok, ...)
    end
    if twin then
      f.twin = nil
    end
    f = twin
  end
  return n, wanted
end

local function settle_all(batch, ok, ...)
  local n, wanted = 0, false
  for _, f in ipairs(batch.futures) do
    local k, heard = settle(f, ok, ...)
    n, wanted = n + k, wanted or heard
  end
  leave(batch.of, n)
  return wanted
end

-- An error that nobody hears of is told once, not by each member.
local function fail_all(batch, err, trace)
  local self, first = batch.of, batch.futures[1]
  self.failures = self.failures + 1
  if not settle_all(batch, false, err, trace) and first and not cancel.is_cancel(err) then
    task.report(err, trace or "", first)
  end
end

-- Is there a result or a failure for each item, and none besides? The list of items may have been
-- changed by the function.
local function misfit(batch, results, failures)
  local n = #batch.futures
  for i = 1, n do
    if results[i] == nil and failures[i] == nil then
      return ("no result for item %d of %d"):format(i, n)
    end
  end
  if results[n + 1] ~= nil then
    return ("more than %d results"):format(n)
  end
end

local function settle_each(batch, results, failures)
  local n = 0
  for i, f in ipairs(batch.futures) do
    local failure = failures[i]
    if failure == nil then
      n = n + settle(f, true, results[i])
    elseif type(failure) == "table" then
      n = n + settle(f, true, nil, failure[1], failure[2])
    else
      n = n + settle(f, true, nil, tostring(failure), "EFAILED")
    end
  end
  leave(batch.of, n)
end

local NONE = {}

-- What traced.call gave.
local function finish(batch, ok, results, failures, code)
  local self = batch.of
  if not ok then
    return fail_all(batch, results, failures)
  elseif results == nil and code ~= nil then
    self.failures = self.failures + 1
    settle_all(batch, true, nil, failures, code)
    return
  elseif results == true then
    settle_all(batch, true, true)
    return
  end
  local has_list = type(results) == "table"
  failures = type(failures) == "table" and failures or NONE
  local why = has_list and misfit(batch, results, failures)
    or not has_list and "a " .. type(results) .. " instead of a list of results"
  if why then
    fail_all(batch, ("the function of %s gave %s"):format(self.name, why), "")
  else
    settle_each(batch, results, failures)
  end
end

-- Wait until it is full, due or flushed, then for its turn.
local function await(batch)
  local self = batch.of
  if not batch.due and self.delay > 0 then
    local ok, code = wait(batch.q, self.delay < math.huge and self.delay or nil, WAIT)
    if ok == nil and code ~= core.ETIMEDOUT then
      fail(code)
    end
  end
  batch.due = true
  if self.running < self.concurrency then
    self.running = self.running + 1
  elseif batch.items[1] then
    local ok, code = wait(self.turn, nil, WAIT)
    if ok == nil then
      fail(code)
    end
  else
    return
  end
  batch.has_turn = true
end

local function end_turn(batch)
  local self = batch.of
  if batch.has_turn and not wake(self.turn, true) then
    self.running = self.running - 1
  end
end

-- What the task of a batch does.
local function perform(batch)
  await(batch)
  shut(batch)
  if batch.items[1] then
    local self = batch.of
    batch.begun = true
    self.calls, self.items = self.calls + 1, self.items + #batch.items
    finish(batch, traced.call(self.fn, batch.items))
  end
end

-- Let no grace end any more.
local function stop_grace(self)
  if self.grace then
    time.cancel_call(self.grace)
    self.grace = nil
  end
end
M.stop_grace = stop_grace

-- The task of a batch has ended, however: members that are still there fail. Outside of any task.
local function ended(task_of, ok, err)
  local batch = task_of.batch
  local self = batch.of
  shut(batch)
  if not ok then
    batch.begun = true
    settle_all(batch, false, err, task_of.trace)
  end
  end_turn(batch)
  self.batches[batch.number], self.live = nil, self.live - 1
  if self.live == 0 then
    active[self] = nil
    stop_grace(self)
    tell_idle(self)
  end
end

local function new_batch(self)
  local number = self.last + 1
  local batch = {
    of = self, number = number, items = {}, futures = {}, by_key = self.key and {},
    q = core.waitq(), due = false, begun = false, has_turn = false,
  }
  local h = task.go(perform, batch)
  h.batch, h.on_end, batch.task = batch, ended, h
  h:name(self.name)
  self.last, self.live, self.batches[number] = number, self.live + 1, batch
  self.batch, active[self] = batch, true
  return batch
end

-- A new member: its future.
function M.add(self, v, key)
  local batch = self.batch or new_batch(self)
  local f = future.new(Future, batch)
  if key ~= nil then
    local head = batch.by_key[key]
    if head then
      self.shared = self.shared + 1
      f.twin, head.twin = head.twin, f
      return f
    end
    batch.by_key[key], f.key = f, key
  end
  local n = #batch.items + 1
  batch.items[n], batch.futures[n] = v, f
  if n >= self.size then
    shut(batch)
    send(batch)
  end
  return f
end

-- The grace is over: what is not done will not be.
function M.give_up(self)
  local numbers = {}
  for number in pairs(self.batches) do
    numbers[#numbers + 1] = number
  end
  table.sort(numbers)
  for _, number in ipairs(numbers) do
    local batch = self.batches[number]
    batch.begun = true
    settle_all(batch, true, nil, self.closed_text, "ECLOSED")
    batch.task:cancel(self.closed_text)
  end
end

-- As it is without batches. What was there is nobody's any more when a run has ended.
local function reset(self)
  self.batch, self.batches, self.live, self.grace = false, {}, 0, nil
  self.unsettled, self.running = 0, 0
  self.room, self.turn, self.idle = core.waitq(), core.waitq(), core.waitq()
end
M.reset = reset

run_stop.endings[#run_stop.endings + 1] = function()
  for self in pairs(active) do
    for _, batch in pairs(self.batches) do
      for _, f in ipairs(batch.futures) do
        while f do
          future.abandon(f, "the run has ended")
          f = f.twin
        end
      end
    end
    reset(self)
  end
  active = {}
end

return M
