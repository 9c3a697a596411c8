-- SPDX-License-Identifier: MIT
-- ref_task: what tasks, cancellation and scopes mean.
--
-- A cancellation belongs to a task, a timeout or a scope. It reaches whatever is inside, up to a
-- shield; the outermost one wins. It is there until the owner is left.

local ref = require "spec.model.reference"

local unpack = table.unpack or rawget(_G, "unpack")
local Model, ok, code = ref.Model, ref.ok, ref.code
local EPS, TICK = Model.EPS, Model.TICK

local function new_task(m, tid, parent)
  m.tasks[tid] = {id = tid, parent = parent, joiners = {}}
  return m.tasks[tid]
end

-- ---- cancellation -------------------------------------------------------------------------------

-- Visit everything that could be cancelled around a task, the innermost first.
local function around(m, tid, visit)
  local task = m.tasks[tid]
  local s = task and task.scope
  while task do
    while s do
      visit(s)
      if s.shield then
        return
      end
      s = s.outer
    end
    visit(task)
    s = task.parent
    task = s and m.tasks[s.owner]
  end
end

-- "yes", "no", or "maybe" while an alarm may or may not have fired; and the reasons it may have.
function Model:cancel_state(tid)
  local state, reasons = "no", {}
  around(self, tid, function(x)
    if x.reasons then
      state, reasons = "yes", {unpack(x.reasons)}
    end
    local due = not x.reasons and x.due
    if due and self.now > due + TICK + EPS then
      state, reasons = "yes", {"timed out"}
    elseif due and self.now >= due - EPS or x.maybe and not x.reasons then
      state = state == "no" and "maybe" or state
      reasons[#reasons + 1] = x.maybe or "timed out"
    end
  end)
  return state, reasons
end

-- From when on an alarm around this task may have cancelled it.
function Model:earliest_alarm(tid)
  local at
  around(self, tid, function(x)
    local due = x.maybe and 0 or not x.reasons and x.due
    at = due and math.min(due, at or due) or at
  end)
  return at
end

-- The first cancellation stands.
local function cancel(m, x, reason)
  if not x.reasons then
    x.reasons = {reason}
    if x.due and m.now >= x.due - EPS then
      x.reasons[2] = "timed out" -- at one instant: either came first
    end
    m.dirty = true
  end
end

local function push(m, c, s)
  local task = m.tasks[c.task]
  s.owner, s.owner_task, s.outer = c.task, task, task.scope
  task.scope = s
  return s
end

local function pop(m, c)
  local task = m.tasks[c.task]
  local s = task.scope
  task.scope = s.outer
  return s
end

-- ---- tasks --------------------------------------------------------------------------------------

local calls, rets = {}, {}

local function starts(m, c)
  if c.ret.kind ~= "ok" then
    m:fail("%s failed", c.op)
  end
  new_task(m, c.new)
  m:expect(c, ok())
end

calls.go, calls.daemon = starts, starts

function calls.begin(m, c)
  local task = m.tasks[c.task]
  if c.hidden then
    m:check(not task, "a task begins twice")
    task = new_task(m, c.task, m.scopes[c.scope])
    task.index = c.index
    table.insert(m.scopes[c.scope].children, task)
    m:check_limit(m.scopes[c.scope])
  elseif c.main then
    task = new_task(m, c.task)
    task.main = true
  end
  m:check(task and not task.begun, "a task begins that nobody made")
  task.begun = true
end

function calls.worker(m, c)
  local task = new_task(m, c.task)
  task.worker, task.maybe = true, "server stopped"
end

-- What join gives: the values, or false and the very error; for select, behind the case's index.
local function join_outcome(task, index)
  local values = task.ok and {true, task.value} or {false, task.err}
  if index then
    table.insert(values, 1, index)
  end
  return ok(unpack(values))
end

calls["end"] = function(m, c)
  local task = m.tasks[c.task]
  task.ended, task.ended_at = true, m.now
  task.ok, task.value, task.err, task.code = c.ok, c.value, c.err, c.code
  task.cancelled = c.cancel
  m:check(not task.scope, "a task ended inside of a scope")
  local joined = m:first(task.joiners) ~= nil
  m:wake_all(task.joiners, function(entry)
    return join_outcome(task, entry.index)
  end)
  if task.waitgroup and task.waitgroup.n == 0 then
    m:must_report "negative waitgroup counter" -- others took too much
  elseif task.waitgroup then
    m:waitgroup_add(task.waitgroup, -1)
  end
  if task.parent then
    m:leave_parent(task)
  elseif not c.ok and not c.cancel and not joined and not task.main then
    m:must_report(c.err)
  end
end

function calls.on_error(m, c)
  local err = table.remove(m.reports, 1)
  m:check(err == c.err, "on_error was given %s, but %s failed", tostring(c.err), tostring(err))
end

function calls.join(m, c)
  local task = m.tasks[c.target]
  if task.ended then
    m:expect(c, join_outcome(task))
  elseif not m:refuses(c) then
    m:park(c, {{task.joiners}})
  end
end

function rets.join(m, c, r)
  m:check(not (c.last and r.code == "ETIMEDOUT"), "task %s did not end when it was cancelled",
    tostring(c.target))
end

-- A call that need not wait works while cancelled; one that would wait does not.
function Model:refuses(c)
  local state = self:cancel_state(c.task)
  if state == "yes" or state == "maybe" and c.ret and c.ret.kind == "cancel" then
    self:expect(c, ref.CANCEL)
    return true
  end
  return false
end

function calls.cancel(m, c)
  local task = m.tasks[c.target]
  m:expect(c, ok())
  if not task.ended then
    cancel(m, task, c.reason)
  end
end

function calls.status(m, c)
  local task = m.tasks[c.target]
  local w = m.open[c.target]
  if task.ended then
    m:expect(c, ok(task.ok and "done" or "failed"))
  elseif c.target == c.task then
    m:expect(c, ok "running")
  elseif not task.begun then
    m:expect(c, ok "new")
  elseif w and not w.pending and not m:is_gone(w) and not w.late and not w.c.cancelled
    and w.c.op ~= "yield" and not (w.c.op == "sleep" and w.c.t <= 0)
    and m:cancel_state(c.target) == "no" then
    m:expect(c, function(r)
      m:check(r[1] == "parked" or w.fires, "a task that waits is %s", tostring(r[1]))
    end)
  elseif w and w.pending and not w.late then
    m:expect(c, ok "runnable")
  end
end

function calls.about(m, c)
  m:expect(c, ok("task " .. c.task, c.task, true, true, true))
end

function calls.check(m, c)
  m:expect(c, c.ok and ok(1, "never", "ENEVER", 4) or ok(false, "a message", "ECODE"))
end

function calls.fail() end

function calls.left(m, c)
  m:fail("left behind at the end:%s", c.what)
end

-- ---- scopes -------------------------------------------------------------------------------------

function Model:check_limit(s)
  local n = 0
  for _, child in ipairs(s.children) do
    n = n + (child.ended and 0 or 1)
  end
  self:check(n <= s.limit, "%d children in a scope with limit %d", n, s.limit)
end

local function arm(m, s, t)
  if t and t <= 0 then
    s.reasons, s.timed_out = {"timed out"}, true
  elseif t then
    s.due = m.now + t
  end
  s.deadline = t and m.now + t
end

local function open_scope(m, c)
  local s = push(m, c, {children = {}, limit = c.limit or math.huge, race = c.op == "race"})
  m.scopes[c.scope] = s
  arm(m, s, c.t)
end

calls.scope, calls.map, calls.race = open_scope, open_scope, open_scope

calls["scope.body"] = function() end

calls["scope.go"] = function(m, c)
  local s = m.scopes[c.scope]
  local n = 0
  for _, child in ipairs(s.children) do
    n = n + (child.ended and 0 or 1)
  end
  if n < s.limit then
    m:expect(c, ok())
    table.insert(s.children, new_task(m, c.new, s))
  elseif not m:refuses(c) then
    s.room = {}
    m:park(c, {{s.room}}, {ended = function(r)
      if r.kind == "ok" then
        table.insert(s.children, new_task(m, c.new, s))
        m:check_limit(s)
      end
    end})
  end
end

function Model:leave_parent(task)
  local s = task.parent
  if not task.ok and not task.cancelled and not s.failure then
    s.failure = task.err
    cancel(self, s, "a task of the scope failed")
  end
  if task.code and not s.code then
    s.code = task
    cancel(self, s, "map failed")
  end
  if task.ok then
    s.winner = s.winner or task
  end
  if s.race and task.ok then
    cancel(self, s, "race is over")
  end
  self:sweep()
  local room = s.room and self:first(s.room)
  if room then
    self:wake(room, ok())
  end
  s.last_end = self.now
end

calls["scope.cancel"] = function(m, c)
  local s = m.scopes[c.scope]
  m:expect(c, ok())
  if not s.left then
    if not s.reasons then
      s.stopped, s.either = true, s.due and m.now >= s.due - EPS
    end
    cancel(m, s, c.reason)
  end
end

calls["scope.out"] = function(m, c)
  local s = m.scopes[c.scope]
  s.out = c
  if not c.ok then
    if not c.cancel and not s.failure then
      s.failure = c.err
    end
    cancel(m, s, "the scope failed")
  end
  s.last_end = m.now
end

-- The scope is left; true if it had to raise.
local function leave(m, c, r)
  local s = pop(m, c)
  s.left = true
  for _, child in ipairs(s.children) do
    m:check(child.ended, "a scope was left before its task %s ended", tostring(child.id))
  end
  if m:cancel_state(c.task) == "yes" or r.kind == "cancel" then
    m:match(c, ref.CANCEL, r)
    return s, true
  elseif s.failure then
    m:match(c, ref.raised(s.failure), r)
    return s, true
  end
  return s, false
end

-- Did it return that its time was up? Then that must be so.
local function timed_out(m, s, r)
  local late = s.deadline and r.at > s.deadline + TICK + EPS
  if r.kind == "code" and r.code == "ETIMEDOUT" then
    m:check(s.deadline and r.at >= s.deadline - EPS, "a scope timed out early")
    m:check(not s.stopped or s.either, "a cancelled scope timed out")
    return true
  end
  m:check(not late or s.stopped or s.reasons and s.reasons[1] ~= "timed out",
    "a scope did not time out")
  return false
end

function rets.scope(m, c, r)
  local s, done = leave(m, c, r)
  m:check(s.out, "a scope was left before its function ended")
  m:check(r.at <= s.last_end + EPS, "a scope was left late")
  if done or timed_out(m, s, r) then
    return
  elseif s.stopped then
    m:match(c, code "ECANCELED", r)
  else
    m:check(s.out.ok, "the scope's function failed and the scope did not")
    m:match(c, ok(true, c.scope), r)
  end
end

function rets.map(m, c, r)
  local s, done = leave(m, c, r)
  if done then
    return
  elseif s.code then
    m:match(c, code(s.code.code), r)
    m:check(r[4] == s.code.index, "map blames item %s", tostring(r[4]))
    return
  elseif timed_out(m, s, r) then
    return
  end
  m:check(r.kind == "ok", "map failed without a reason")
  m:check(#s.children == c.items, "map ran %d tasks for %d items", #s.children, c.items)
  for _, child in ipairs(s.children) do
    m:check(r[1][child.index] == child.value, "map put a result in the wrong place")
  end
end

function rets.race(m, c, r)
  local s, done = leave(m, c, r)
  if not done then
    m:match(c, ok(s.winner and s.winner.value), r)
  end
end

-- ---- timeout, shield, finally, pcall ------------------------------------------------------------

function calls.timeout(m, c)
  arm(m, push(m, c, {}), c.t)
end

function calls.shield(m, c)
  push(m, c, {shield = true})
  m.dirty = true
end

calls["cleanup.in"] = calls.shield

calls["timeout.out"] = function(m, c)
  local s = pop(m, c)
  m.tasks[c.task].part = {out = c, scope = s}
end

calls["shield.out"], calls["cleanup.out"] = calls["timeout.out"], function(m, c)
  pop(m, c)
  m.tasks[c.task].cleanup = c
end

calls["finally.out"] = function(m, c)
  c.open = {}
  m.tasks[c.task].finals = {out = c, outer = m.tasks[c.task].finals}
end

calls["pcall.out"] = function(m, c)
  m.tasks[c.task].part = {out = c}
end

function calls.finally() end
function calls.pcall() end

-- The outcome of a part, unchanged.
local function passed_on(m, c, r, out)
  if out.ok then
    m:match(c, ok(out.value), r)
  else
    m:check((r.kind == "raise" or r.kind == "cancel") and r.err == out.err,
      "%s changed the error of its function", c.op)
  end
end

function rets.timeout(m, c, r)
  local part = m.tasks[c.task].part
  local out, s = part.out, part.scope
  if out.ok then
    m:match(c, ok(true, out.value), r)
  elseif r.kind == "code" then
    m:match(c, code "ETIMEDOUT", r)
    m:check(out.cancel and out.reason == "timed out", "timeout turned an error into ETIMEDOUT")
    m:check(r.at >= s.deadline - EPS, "timeout ended its function early")
  else
    m:check(r.err == out.err, "timeout changed the error of its function")
    if r.kind == "cancel" then
      m:check(r.reason ~= "timed out" or m:cancel_state(c.task) ~= "no",
        "the cancellation of a timeout left it")
    end
  end
end

function rets.shield(m, c, r)
  passed_on(m, c, r, m.tasks[c.task].part.out)
end

function rets.finally(m, c, r)
  local task = m.tasks[c.task]
  local finals, cleanup = task.finals, task.cleanup
  task.finals = finals.outer
  m:check(cleanup, "finally ran no cleanup")
  task.cleanup = nil
  if cleanup.ok or not finals.out.ok and not finals.out.cancel then
    passed_on(m, c, r, finals.out)
  else
    passed_on(m, c, r, cleanup)
  end
end

function rets.pcall(m, c, r)
  local out = m.tasks[c.task].part.out
  if out.ok then
    m:match(c, ok(true, out.value), r)
  elseif out.cancel then
    m:check(r.kind == "cancel" and r.err == out.err, "pcall swallowed a cancellation")
  else
    m:match(c, ok(false, out.err), r)
  end
end

ref.rules(calls, rets)

return {push = push, pop = pop, cancel = cancel, new_task = new_task, join_outcome = join_outcome}
