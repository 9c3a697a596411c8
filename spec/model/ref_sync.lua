-- SPDX-License-Identifier: MIT
-- ref_sync: what events, waitgroups, barriers, once and singleflight mean.

local ref = require "spec.model.reference"

local Model, ok, raised = ref.Model, ref.ok, ref.raised

local calls, rets = {}, {}

local function set(entry)
  return entry.index and ok(entry.index, true) or ok(true)
end

-- ---- event --------------------------------------------------------------------------------------

function calls.event(m, c)
  m.objects[c.o] = {on = false, waiters = {}}
end

calls["event.set"] = function(m, c)
  local x = m.objects[c.o]
  x.on = true
  m:wake_all(x.waiters, set)
  m:expect(c, ok())
end

calls["event.clear"] = function(m, c)
  m.objects[c.o].on = false
  m:expect(c, ok())
end

calls["event.is_set"] = function(m, c)
  m:expect(c, ok(m.objects[c.o].on))
end

calls["event.wait"] = function(m, c)
  local x = m.objects[c.o]
  if x.on then
    m:expect(c, ok(true))
  else
    m:park(c, {{x.waiters}})
  end
end

-- ---- waitgroup ----------------------------------------------------------------------------------

function calls.waitgroup(m, c)
  m.objects[c.o] = {n = 0, waiters = {}}
end

function Model:waitgroup_add(x, n)
  x.n = x.n + n
  if x.n == 0 then
    self:wake_all(x.waiters, set)
  end
end

local function add(m, c, n)
  local x = m.objects[c.o]
  if x.n + n < 0 then
    m:expect(c, raised "negative waitgroup counter")
  else
    m:waitgroup_add(x, n)
    m:expect(c, ok())
  end
end

calls["waitgroup.add"] = function(m, c)
  add(m, c, c.n)
end

calls["waitgroup.done"] = function(m, c)
  add(m, c, -1)
end

calls["waitgroup.go"] = function(m, c)
  local task = require("spec.model.ref_task").new_task(m, c.new)
  task.waitgroup = m.objects[c.o]
  m:waitgroup_add(task.waitgroup, 1)
  m:expect(c, ok())
end

calls["waitgroup.wait"] = function(m, c)
  local x = m.objects[c.o]
  if x.n == 0 then
    m:expect(c, ok(true))
  else
    m:park(c, {{x.waiters}})
  end
end

-- ---- barrier ------------------------------------------------------------------------------------

function calls.barrier(m, c)
  m.objects[c.o] = {size = c.size, line = {}}
end

calls["barrier.wait"] = function(m, c)
  local x = m.objects[c.o]
  local here = {}
  for _, entry in ipairs(x.line) do
    if not m:is_gone(entry.w) then
      here[#here + 1] = entry
    end
  end
  if #here + 1 < x.size then
    m:park(c, {{x.line}})
    return
  end
  for place, entry in ipairs(here) do
    m:wake(entry, ok(place))
  end
  m:expect(c, ok(x.size))
end

-- ---- once ---------------------------------------------------------------------------------------

function calls.once(m, c)
  m.objects[c.o] = {waiters = {}}
end

local function result(out)
  return out.ok and ok(out.value) or raised(out.err)
end

calls["once.call"] = function(m, c)
  local x = m.objects[c.o]
  if x.out then
    m:expect(c, result(x.out))
  elseif not x.caller then
    x.caller = c
    c.runs = true
  elseif not m:refuses(c) then
    m:park(c, {{x.waiters}}, {late = true})
  end
end

calls["once.in"] = function(m, c)
  local x = m.objects[c.o]
  m:check(not x.running and not x.out, "a once ran twice")
  x.running = c
end

-- A call that was cancelled does not count; whoever waits is next.
calls["once.out"] = function(m, c)
  local x = m.objects[c.o]
  x.running, x.caller = nil, nil
  if not c.cancel then
    x.out = c
    m:wake_all(x.waiters, result(c))
    return
  end
  while m:first(x.waiters) do
    local w = x.waiters[1].w
    m:unlink(w)
    m.open[w.task] = nil
    w.c.runs = true -- or it finds that another did
  end
end

rets["once.call"] = function(m, c, r)
  local x = m.objects[c.o]
  if c.runs and r.kind ~= "cancel" then
    m:check(x.out, "a once returned, but its function has not")
    m:match(c, result(x.out), r)
  end
end

-- ---- singleflight -------------------------------------------------------------------------------

function calls.singleflight(m, c)
  m.objects[c.o] = {flights = {}}
end

calls["singleflight.call"] = function(m, c)
  local x = m.objects[c.o]
  local flight = x.flights[c.key]
  if not flight then
    flight = {waiters = {}}
    x.flights[c.key] = flight
    require("spec.model.ref_task").new_task(m, c.new).flight = flight
  end
  if not m:refuses(c) then
    m:park(c, {{flight.waiters}})
  end
end

calls["flight.in"] = function(m, c)
  local task = m.tasks[c.task]
  m:check(task and task.flight and not task.begun, "a flight that nobody called runs")
  task.begun = true
end

calls["flight.out"] = function(m, c)
  local x, task = m.objects[c.o], m.tasks[c.task]
  if x.flights[c.key] == task.flight then
    x.flights[c.key] = nil
  end
  task.ended, task.ok = true, true
  m:wake_all(task.flight.waiters, result(c))
end

calls["singleflight.forget"] = function(m, c)
  m.objects[c.o].flights[c.key] = nil
  m:expect(c, ok())
end

ref.rules(calls, rets, {"event.wait", "waitgroup.wait", "barrier.wait"})
