-- SPDX-License-Identifier: MIT
-- Random graphs of tasks, channels and tables for the leak detector, and which tasks of one are
-- leaked by a reference model: reachability over numbers, which knows nothing of the detector.
--
-- A graph is {objects, tasks, roots}. An object is {kind, refs}: "chan", empty, of which tasks
-- receive; "full", a channel with its refs in the buffer, to which they send; "event" or "table". A
-- task is {kind, refs, on = objects waited for, offers = an object that is sent, joins = a task}.
-- Refs are numbers of objects.

local rl = require "ringlet"

local M = {}

local KINDS = {"recv", "recv", "recv", "send", "send", "select", "select", "event", "join", "join",
  "sleep", "timed"}
local OBJECTS = {"chan", "chan", "full", "full", "event", "table", "table"}
local LEAVES = {chan = true, event = true}
local LIVE = {sleep = true, timed = true}

local function numbers(random, n, most)
  local list = {}
  for i = 1, random(0, most) do
    list[i] = random(n)
  end
  return list
end

local function some(random, objects, kind)
  local fit = {}
  for i, o in ipairs(objects) do
    if o.kind == kind then
      fit[#fit + 1] = i
    end
  end
  return fit[1] and fit[random(#fit)]
end

local function new_task(random, objects, tasks)
  local t = {kind = KINDS[random(#KINDS)], refs = numbers(random, #objects, 2), on = {}}
  if t.kind == "join" then
    t.joins = random(tasks)
  elseif t.kind == "select" then
    for i = 1, random(3) do
      t.on[i] = some(random, objects, random(2) == 1 and "chan" or "full")
    end
  elseif t.kind ~= "sleep" then
    t.on[1] = some(random, objects,
      t.kind == "event" and "event" or t.kind == "send" and "full" or "chan")
  end
  if t.kind == "send" and random(2) == 1 then
    t.offers = random(#objects)
  end
  return t
end

-- random(n), random(a, b): as math.random.
function M.new(random)
  local g = {objects = {{kind = "chan"}, {kind = "event"}, {kind = "full"}}, tasks = {}}
  for i = 4, random(4, 12) do
    g.objects[i] = {kind = OBJECTS[random(#OBJECTS)]}
  end
  for _, o in ipairs(g.objects) do
    o.refs = LEAVES[o.kind] and {} or numbers(random, #g.objects, 2)
  end
  for i = 1, random(1, 10) do
    g.tasks[i] = false
  end
  for i = 1, #g.tasks do
    g.tasks[i] = new_task(random, g.objects, #g.tasks)
    if g.tasks[i].joins == i then
      g.tasks[i].kind, g.tasks[i].joins = "recv", nil
      g.tasks[i].on[1] = some(random, g.objects, "chan")
    end
  end
  g.roots = numbers(random, #g.objects, 2)
  return g
end

-- ---- the reference ------------------------------------------------------------------------------

-- number of a task -> true, of those that are leaked.
function M.leaked(g)
  local found, live = {}, {}
  local function find(refs)
    for _, n in ipairs(refs) do
      if not found[n] then
        found[n] = true
        find(g.objects[n].refs)
      end
    end
  end
  local function is_woken(t)
    for _, n in ipairs(t.on) do
      if found[n] then
        return true
      end
    end
    return LIVE[t.kind] or t.joins and live[t.joins]
  end
  find(g.roots)
  local more = true
  while more do
    more = false
    for i, t in ipairs(g.tasks) do
      if not live[i] and is_woken(t) then
        live[i], more = true, true
        find(t.refs)
        find(t.on)
        find {t.offers}
      end
    end
  end
  local list = {}
  for i = 1, #g.tasks do
    list[i] = not live[i] or nil
  end
  return list
end

-- ---- the program --------------------------------------------------------------------------------

local function fill(objects, g)
  for i, o in ipairs(g.objects) do
    for k, n in ipairs(o.refs) do
      if o.kind == "full" then
        objects[i]:send(objects[n])
      else
        objects[i][k] = objects[n]
      end
    end
  end
end

local function make(o)
  if o.kind == "chan" or o.kind == "full" then
    return rl.chan(#o.refs)
  elseif o.kind == "event" then
    return rl.event()
  end
  return {}
end

local WAIT = {
  recv = function(on) on[1]:recv() end,
  send = function(on, v) on[1]:send(v) end,
  event = function(on) on[1]:wait() end,
  join = function(box) box[1]:join() end,
  sleep = function() rl.sleep(1e4) end,
  timed = function(on) on[1]:recv(1e4) end,
  select = function(on) rl.select(on) end,
}

-- Start a task: as an argument, as extra arguments, or as an upvalue it has its refs. Cancelled, it
-- returns, which is cheaper than failing.
local function start(kind, n, on, v, refs)
  local wait = WAIT[kind]
  if n % 3 == 0 then
    return rl.go(function(mine)
      pcall(wait, on, v)
      return mine
    end, refs)
  elseif n % 3 == 1 then
    return rl.go(function(...)
      pcall(wait, on, v)
      return ...
    end, refs[1], refs[2])
  end
  return rl.go(function()
    pcall(wait, on, v)
    return refs
  end)
end

-- The cases of a select: those with a full channel send.
local function cases_of(g, objects, refs)
  local list = {}
  for i, n in ipairs(refs) do
    list[i] = g.objects[n].kind == "full" and {send = objects[n], true} or {objects[n]}
  end
  return list
end

local function pick(objects, refs)
  local list = {}
  for i, n in ipairs(refs) do
    list[i] = objects[n]
  end
  return list
end

-- Build it: what is to be held, and the handles.
function M.build(g)
  local objects, handles, boxes = {}, {}, {}
  for i, o in ipairs(g.objects) do
    objects[i] = make(o)
  end
  fill(objects, g)
  for i, t in ipairs(g.tasks) do
    boxes[i] = t.kind == "select" and cases_of(g, objects, t.on) or pick(objects, t.on)
    handles[i] = start(t.kind, i, boxes[i], t.offers and objects[t.offers] or true,
      pick(objects, t.refs))
  end
  for i, t in ipairs(g.tasks) do
    if t.joins then
      boxes[i][1] = handles[t.joins]
    end
  end
  return pick(objects, g.roots), handles
end

return M
