-- SPDX-License-Identifier: MIT
-- reference: a plain statement of what the operations mean, replayed along a history.
--
-- The replay takes the events in order. A call either has its effect at once, and then `expect`
-- says what it must return, or it waits: then `park` puts it into the queues of what it waits for,
-- and whoever wakes it says what it must return, at that very instant, since time moves only while
-- all tasks wait. What the clock does is not an event, so it is read from how a wait ended: a
-- waiter that ended by time counts as gone from its deadline on, and its return must be neither
-- early nor late. The rules of each kind of object are in the ref_*.lua files; none has anything
-- of ringlet in it.

local Model = {}
Model.__index = Model

-- Timers fire at most one tick of the wheel late; doubles have a little less than nanoseconds.
local TICK, EPS = 0.001048576, 1e-6
local FOREVER = math.huge

Model.TICK, Model.EPS, Model.FOREVER = TICK, EPS, FOREVER

local calls, rets = {}, {}

local function new()
  return setmetatable({now = 0, objects = {}, tasks = {}, open = {}, scopes = {}, at = 0,
    picks = {}, streams = {}, reports = {}}, Model)
end

function Model:fail(text, ...)
  error({model = text:format(...), at = self.index}, 0)
end

function Model:check(ok, text, ...)
  if not ok then
    self:fail(text, ...)
  end
end

-- ---- outcomes -----------------------------------------------------------------------------------

local function ok(...)
  return {kind = "ok", n = select("#", ...), ...}
end

local function code(name, msg)
  return {kind = "code", code = name, msg = msg}
end

local function raised(text)
  return {kind = "raise", err = text}
end

local CANCEL = {kind = "cancel"}

local function show(r)
  local parts = {r.kind, r.code, r.err, r.reason}
  for i = 1, r.n or 0 do
    parts[#parts + 1] = tostring(r[i])
  end
  local out = {}
  for i = 1, 4 + (r.n or 0) do
    out[#out + 1] = parts[i] and tostring(parts[i])
  end
  return table.concat(out, " ")
end

local function same(a, b)
  if a.kind ~= b.kind then
    return false
  elseif a.kind == "ok" then
    for i = 1, math.max(a.n or 0, b.n or 0) do
      if a[i] ~= b[i] then
        return false
      end
    end
    return true
  elseif a.kind == "code" then
    return a.code == b.code and (a.msg == nil or b.msg == nil or a.msg == b.msg)
  elseif a.kind == "raise" then
    return a.err == b.err
  end
  return true
end

-- ---- waiters ------------------------------------------------------------------------------------

-- When the clock ended this wait, if it did: its return says so.
function Model:ended_by_clock(w)
  local r = w.c.ret
  if not r then
    return nil
  elseif w.fires and w.fires(r) then
    return w.fires(r)
  elseif r.kind == "code" and r.code == "ETIMEDOUT" and w.due < FOREVER then
    return w.due
  elseif r.kind == "cancel" and not w.deaf then
    return self:earliest_alarm(w.task)
  end
end

local function drop(queue, w)
  for i = #queue, 1, -1 do
    if queue[i].w == w then
      table.remove(queue, i)
    end
  end
end

function Model.unlink(_, w)
  for _, queue in ipairs(w.queues) do
    drop(queue, w)
  end
  w.queues = {}
end

-- Has the clock ended it by now?
function Model:is_gone(w)
  local at = self:ended_by_clock(w)
  return at and at <= self.now + EPS
end

-- The longest waiter of a queue: its entry.
function Model:first(queue)
  while queue[1] and self:is_gone(queue[1].w) do
    self:unlink(queue[1].w)
  end
  return queue[1]
end

-- The call c waits: in `queues` (a list of {queue, entry}), until `c.t` has passed. `more`:
-- fires(r) -> when the outcome r came from something that has no queue; accept(r), which checks
-- that; deaf = true: no cancellation reaches it; late = true: it may return later than it was
-- woken.
function Model:park(c, queues, more)
  local w = more or {}
  w.c, w.task, w.queues = c, c.task, {}
  w.due = c.t and c.at + c.t or FOREVER
  for _, q in ipairs(queues) do
    local entry = q[2] or {}
    entry.w = w
    table.insert(q[1], entry)
    table.insert(w.queues, q[1])
  end
  self.open[c.task] = w
  if c.t and c.t <= 0 then
    self:unlink(w)
    self.open[c.task] = nil
    c.expect = code "ETIMEDOUT"
  end
  return w
end

-- Whatever entry is woken must return `r`, now.
function Model:wake(entry, r)
  local w = entry.w
  self:unlink(w)
  w.pending, w.pending_at = r, self.now
end

function Model:wake_all(queue, r)
  local entry = self:first(queue)
  while entry do
    self:wake(entry, type(r) == "function" and r(entry) or r)
    entry = self:first(queue)
  end
end

-- on_error is to hear of this error next.
function Model:must_report(err)
  table.insert(self.reports, err)
end

function Model.expect(_, c, r)
  c.expect = r
end

-- ---- the replay ---------------------------------------------------------------------------------

function Model:check_cancelled(r, task)
  local state, reasons = self:cancel_state(task)
  self:check(state ~= "no", "a cancellation was raised, but nothing is cancelled")
  for _, reason in ipairs(reasons) do
    if reason == r.reason then
      return
    end
  end
  self:fail("cancelled with %q, but the reason is %s", tostring(r.reason),
    table.concat(reasons, " or "))
end

function Model:match(c, wanted, r)
  if type(wanted) == "function" then
    wanted(r)
  elseif not same(wanted, r) then
    self:fail("%s returned %s, but must return %s", c.op, show(r), show(wanted))
  end
  if r.kind == "cancel" then
    self:check_cancelled(r, c.task)
  end
end

local function end_of_time(self, w, r)
  self:check(r.at >= w.due - EPS, "%s timed out %.6f s early", w.c.op, w.due - r.at)
  self:check(w.late or r.at <= w.due + TICK + EPS, "%s timed out %.6f s late", w.c.op, r.at - w.due)
end

local function end_of_wait(self, w, r)
  local c = w.c
  self:unlink(w)
  self.open[c.task] = nil
  if w.pending then
    self:match(c, w.pending, r)
    self:check(w.late or r.at <= w.pending_at + EPS, "%s returned %.6f s after it was woken", c.op,
      r.at - w.pending_at)
  elseif w.fires and w.fires(r) then
    w.accept(r)
  elseif r.kind == "code" and r.code == "ETIMEDOUT" and w.due < FOREVER then
    end_of_time(self, w, r)
  elseif r.kind == "cancel" and not w.deaf then
    self:check_cancelled(r, c.task)
  else
    self:fail("%s returned %s, but nothing woke it", c.op, show(r))
  end
  if w.ended then
    w.ended(r)
  end
end

local function replay_ret(self, c)
  local w, r = self.open[c.task], c.ret
  self.now = r.at
  if w and w.c == c then
    end_of_wait(self, w, r)
  elseif c.expect then
    self:match(c, c.expect, r)
    self:check(r.at <= c.at + EPS, "%s need not wait, but took %.6f s", c.op, r.at - c.at)
  end
  if rets[c.op] then
    rets[c.op](self, c, r)
  end
end

-- May this call park? Then a cancelled task hears of it here. True: it did.
local PARKS = {}

local function hears_cancel(self, c)
  local state = self:cancel_state(c.task)
  if not PARKS[c.op] or not c.ret or state == "no" then
    return false
  elseif state == "yes" then
    self:expect(c, CANCEL)
    c.cancelled = true
    return true
  end
  c.cancelled = c.ret.kind == "cancel"
  return c.cancelled
end

local function replay_call(self, c)
  self.now = c.at
  self:check(not self.reports[1] or c.op == "on_error", "the failure %s was not reported",
    tostring(self.reports[1]))
  local task = self.tasks[c.task]
  self:check(not (task and self.open[c.task]), "a task that waits calls %s", c.op)
  self:check(not (task and task.ended), "a task that ended calls %s", c.op)
  if not hears_cancel(self, c) then
    local fn = calls[c.op]
    self:check(fn, "no rule for %s", c.op)
    fn(self, c)
  end
  self:sweep()
end

-- Whoever waits in a task that is now cancelled is woken by that.
function Model:sweep()
  if not self.dirty then
    return
  end
  self.dirty = false
  local waiting = {}
  for _, w in pairs(self.open) do
    waiting[#waiting + 1] = w
  end
  for _, w in ipairs(waiting) do
    if not w.pending and not w.deaf and not self:is_gone(w)
      and self:cancel_state(w.task) == "yes" then
      self:wake({w = w}, CANCEL)
    end
  end
end

local function finish(self)
  self:check(not self.reports[1], "the failure %s was not reported", tostring(self.reports[1]))
  for tid, w in pairs(self.open) do
    self:fail("task %s never returned from %s", tostring(tid), w.c.op)
  end
  for tid, task in pairs(self.tasks) do
    self:check(task.ended or task.main or task.worker, "task %s never ended", tostring(tid))
  end
end

-- Replay a history: nil, or what is wrong with it and the number of the event.
local function replay(history, faults)
  local self = new()
  self.faults = faults
  local good, err = pcall(function()
    for i, event in ipairs(history.events) do
      self.index = i
      if event.call then
        replay_call(self, event.call)
      else
        replay_ret(self, event.ret)
        self:sweep()
      end
    end
    self.index = #history.events
    finish(self)
  end)
  if good then
    return nil, nil, self
  elseif type(err) == "table" and err.model then
    return err.model, err.at
  end
  return "the model itself failed: " .. tostring(err), self.index
end

-- Add rules: calls and returns by name; `parks` names those that a cancelled task may not begin.
local function rules(more_calls, more_rets, parks)
  for op, fn in pairs(more_calls) do
    assert(not calls[op], op)
    calls[op] = fn
  end
  for op, fn in pairs(more_rets or {}) do
    rets[op] = fn
  end
  for _, op in ipairs(parks or {}) do
    PARKS[op] = true
  end
end

return {Model = Model, replay = replay, rules = rules, calls = calls, ok = ok, code = code,
  raised = raised, CANCEL = CANCEL}
