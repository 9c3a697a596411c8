-- SPDX-License-Identifier: MIT
-- ref_lock: what mutex, rwmutex, semaphore and cond mean.
--
-- Whoever waits stands in a line and is served in that order: nobody overtakes, so one who cannot
-- be served keeps those behind it waiting too. When one leaves the line in vain, those behind it
-- are served as soon as it has returned.

local ref = require "spec.model.reference"

local ok, raised = ref.ok, ref.raised

local calls, rets = {}, {}

-- Take if nobody waits and `x.can(entry)`; else stand in line.
local function serve(m, x)
  local entry = m:first(x.line)
  while entry and x.can(entry) do
    x.take(entry)
    m:wake(entry, ok(true))
    entry = m:first(x.line)
  end
end

local function try(m, x, entry)
  if m:first(x.line) or not x.can(entry) then
    return false
  end
  x.take(entry)
  return true
end

local function acquire(m, c, entry)
  local x = m.objects[c.o]
  if try(m, x, entry) then
    m:expect(c, ok(true))
  else
    m:park(c, {{x.line, entry}}, {ended = function(r)
      if r.kind ~= "ok" then
        serve(m, x)
      end
    end})
  end
end

local function try_acquire(m, c, entry)
  m:expect(c, ok(try(m, m.objects[c.o], entry)))
end

-- ---- mutex --------------------------------------------------------------------------------------

function calls.mutex(m, c)
  local x = {line = {}, held = false}
  function x.can() return not x.held end
  function x.take() x.held = true end
  m.objects[c.o] = x
end

calls["mutex.lock"] = function(m, c) acquire(m, c, {}) end
calls["mutex.with"] = function(m, c) acquire(m, c, {}) end
calls["mutex.try_lock"] = function(m, c) try_acquire(m, c, {}) end

local function unlock_mutex(m, x)
  x.held = false
  serve(m, x)
end

calls["mutex.unlock"] = function(m, c)
  local x = m.objects[c.o]
  if not x.held then
    m:expect(c, raised "unlock of unlocked mutex")
    return
  end
  unlock_mutex(m, x)
  m:expect(c, ok())
end

-- ---- rwmutex ------------------------------------------------------------------------------------

function calls.rwmutex(m, c)
  local x = {line = {}, readers = 0, writer = false}
  function x.can(entry)
    return not x.writer and (x.readers == 0 or not entry.write)
  end
  function x.take(entry)
    if entry.write then
      x.writer = true
    else
      x.readers = x.readers + 1
    end
  end
  m.objects[c.o] = x
end

calls["rwmutex.lock"] = function(m, c) acquire(m, c, {write = true}) end
calls["rwmutex.rlock"] = function(m, c) acquire(m, c, {}) end
calls["rwmutex.with"] = calls["rwmutex.lock"]
calls["rwmutex.rwith"] = calls["rwmutex.rlock"]
calls["rwmutex.try_lock"] = function(m, c) try_acquire(m, c, {write = true}) end
calls["rwmutex.try_rlock"] = function(m, c) try_acquire(m, c, {}) end

local function give_back(op, name, is_held, give)
  calls[op] = function(m, c)
    local x = m.objects[c.o]
    if not is_held(x) then
      m:expect(c, raised(name .. " of unlocked rwmutex"))
      return
    end
    give(x)
    serve(m, x)
    m:expect(c, ok())
  end
end

local function is_writing(x) return x.writer end
give_back("rwmutex.unlock", "unlock", is_writing, function(x) x.writer = false end)
give_back("rwmutex.downgrade", "downgrade", is_writing, function(x)
  x.writer, x.readers = false, 1
end)
give_back("rwmutex.runlock", "unlock", function(x) return x.readers > 0 end, function(x)
  x.readers = x.readers - 1
end)

-- The end of what `with` calls: the lock goes back. If somebody else has unlocked it, that raises.
local function with_out(m, c)
  local x = m.objects[c.o]
  local give = {}
  for k, v in pairs(c) do give[k] = v end
  calls[c.give](m, give)
  x.with_raises = give.expect and give.expect.kind == "raise"
  m.tasks[c.task].with_raises = x.with_raises
end
calls["mutex.with.out"], calls["rwmutex.with.out"] = with_out, with_out

calls["with.end"] = function(m, c)
  m:check(c.same or m.tasks[c.task].with_raises, "with changed what its function gave")
end

-- ---- semaphore ----------------------------------------------------------------------------------

function calls.semaphore(m, c)
  local x = {line = {}, n = c.size, size = c.size}
  function x.can(entry) return x.n >= entry.k end
  function x.take(entry) x.n = x.n - entry.k end
  m.objects[c.o] = x
end

calls["semaphore.acquire"] = function(m, c) acquire(m, c, {k = c.k}) end
calls["semaphore.try_acquire"] = function(m, c) try_acquire(m, c, {k = c.k}) end

calls["semaphore.release"] = function(m, c)
  local x = m.objects[c.o]
  if x.n + c.k > x.size then
    m:expect(c, raised "released more than acquired")
    return
  end
  x.n = x.n + c.k
  serve(m, x)
  m:expect(c, ok())
end

calls["semaphore.available"] = function(m, c)
  local x = m.objects[c.o]
  m:expect(c, ok(x.n, ("ringlet.semaphore: %d/%d"):format(x.n, x.size)))
end

-- ---- cond ---------------------------------------------------------------------------------------

-- The mutex of a cond is locked again at a moment that is no event, so only this is checked: nobody
-- returns with it while another has it.

function calls.cond(m, c)
  m.objects[c.o] = {waiters = {}}
  m.objects[c.o .. "m"] = {holder = nil}
end

local function locked(m, x, task)
  m:check(not x.holder, "two tasks hold a mutex: %s and %s", tostring(x.holder), tostring(task))
  x.holder = task
end

calls["loose.lock"] = function(m, c)
  m:park(c, {}, {late = true, fires = function(r)
    return r.kind == "ok" and c.at
  end, accept = function() end})
end

rets["loose.lock"] = function(m, c, r)
  if r.kind == "ok" then
    locked(m, m.objects[c.o], c.task)
  end
end

local function unlocked(m, x, task)
  m:check(x.holder == task, "a mutex that %s holds is unlocked by %s", tostring(x.holder),
    tostring(task))
  x.holder = nil
end

calls["loose.unlock"] = function(m, c)
  unlocked(m, m.objects[c.o], c.task)
  m:expect(c, ok())
end

-- What cond.wait does: give the mutex up, wait for a signal, take it again whatever ended the wait.
calls["cond.wait"] = function(m, c)
  unlocked(m, m.objects[c.m], c.task)
  if m:cancel_state(c.task) == "yes" then
    m:expect(c, nil)
    return
  end
  m:park(c, {{m.objects[c.o].waiters}}, {late = true})
  c.expect = nil
end

rets["cond.wait"] = function(m, c, r)
  m:check(r.kind ~= "ok" or r[1] == true, "cond.wait gave %s", tostring(r[1]))
  m:check(r.kind ~= "code" or r.at >= c.at + c.t - ref.Model.EPS, "cond.wait timed out early")
  locked(m, m.objects[c.m], c.task)
end

calls["cond.signal"] = function(m, c)
  local first = m:first(m.objects[c.o].waiters)
  if first then
    m:wake(first, ok(true))
  end
  m:expect(c, ok())
end

calls["cond.broadcast"] = function(m, c)
  m:wake_all(m.objects[c.o].waiters, ok(true))
  m:expect(c, ok())
end

ref.rules(calls, rets, {"mutex.lock", "mutex.with", "rwmutex.lock", "rwmutex.rlock", "rwmutex.with",
  "rwmutex.rwith", "semaphore.acquire", "loose.lock"})
