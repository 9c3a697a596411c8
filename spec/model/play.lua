-- SPDX-License-Identifier: MIT
-- play: runs a program (see program.lua) and records its history. A program is data: objects and,
-- for each task, a list of steps {op = name, ...}. What a step does is in the steps_*.lua files.

local rl = require "ringlet"
local core = require "ringlet.core"
local history = require "spec.model.history"
local steps = require "spec.model.steps"

local World = {}
World.__index = World

-- When everything is cancelled, and how long tasks and connections may take to end after that.
local HORIZON, PATIENCE = 1.5, 200

-- The number of the running task in the history.
function World:tid()
  local h = rl.self()
  if not h then
    return 0
  end
  local tid = self.tids[h.id]
  if not tid then
    tid = self:new_tid()
    self.tids[h.id] = tid
    self:mark("worker")
  end
  return tid
end

function World:new_tid()
  self.last_tid = self.last_tid + 1
  self.tasks[self.last_tid] = {held = {}, tickers = {}}
  return self.last_tid
end

function World:me()
  return self.tasks[self:tid()]
end

-- A value nobody sent before.
function World:fresh()
  self.last_value = self.last_value + 1
  return self.last_value
end

local Error = {__tostring = function(e) return "failure " .. e.n end}

-- An error value of its own.
function World:failure()
  return setmetatable({n = self:fresh()}, Error)
end

function World:mark(op, c)
  c = c or {}
  c.op, c.task = op, c.task or self:tid()
  self.history:call(c)
  return c
end

-- Call fn and record it; the outcome.
function World:call(op, c, fn, ...)
  c.op, c.task = op, self:tid()
  self.history:call(c)
  return self.history:returned(c, self.history:outcome(pcall(fn, ...)))
end

-- The same; a cancellation goes on, unless the task still may swallow one.
function World:step(op, c, fn, ...)
  return self:go_on(self:call(op, c, fn, ...))
end

function World:go_on(r)
  local me = self:me()
  if r.kind == "cancel" then
    me.swallows = (me.swallows or 0) - 1
    if me.swallows < 0 then
      error(r.raw, 0)
    end
  end
  return r
end

function World:run_steps(list)
  for _, s in ipairs(list) do
    steps[s.op].run(self, s)
  end
end

-- Give back what the task holds: none of this parks.
function World:let_go()
  local held = self:me().held
  while held[1] do
    table.remove(held)(self)
  end
end

-- The function of a task: its steps, between a begin and an end that tell how it went.
function World:body(tid, s, c)
  return function()
    self.tids[rl.self().id] = tid
    c = c or {}
    self:mark("begin", c)
    self.tasks[tid].swallows = s.swallows
    local ok, err = pcall(self.run_steps, self, s.body)
    self:let_go()
    local value = self:fresh()
    local r = self.history:outcome(ok, err)
    self:mark("end", {
      ok = ok, value = ok and value or nil, code = ok and s.code or nil,
      err = not ok and r.err or nil, cancel = r.kind == "cancel", reason = r.reason,
    })
    if not ok then
      error(err, 0)
    elseif s.code then
      return nil, s.code .. ": as told", s.code
    end
    return value
  end
end

-- Run a part of a task inside of `wrap` (timeout, shield, a lock, ...): `out` is recorded when the
-- part has ended, before `wrap` undoes what it did.
function World:part(list, out, c)
  return function()
    local ok, err = pcall(self.run_steps, self, list)
    local value = self:fresh()
    local r = self.history:outcome(ok, err)
    c = c or {}
    c.ok, c.value = ok, ok and value or nil
    c.err, c.cancel, c.reason = not ok and r.err or nil, r.kind == "cancel", r.reason
    self:mark(out, c)
    if not ok then
      error(err, 0)
    end
    return value
  end
end

local function unended(self)
  for _, root in ipairs(self.roots) do
    if root.handle:status() ~= "done" and root.handle:status() ~= "failed" then
      return root
    end
  end
end

local function end_all(self)
  for _, root in ipairs(self.roots) do
    self:call("cancel", {target = root.tid, reason = "horizon " .. root.tid}, root.handle.cancel,
      root.handle, "horizon " .. root.tid)
  end
  for _ = 1, 100 do
    local root = unended(self)
    if not root then
      return
    end
    self:call("cancel", {target = root.tid, reason = "horizon " .. root.tid}, root.handle.cancel,
      root.handle, "horizon " .. root.tid)
    self:call("join", {target = root.tid, t = PATIENCE, last = true}, root.handle.join, root.handle,
      PATIENCE)
  end
end

local COUNTERS = {"tasks", "handles", "ops", "timers", "works"}

local function settle(self)
  local before, left = self.before
  for _ = 1, 200 do
    local now = rl.stats()
    left = nil
    for _, name in ipairs(COUNTERS) do
      if now[name] ~= before[name] then
        left = (left or "") .. (" %s %d, were %d"):format(name, now[name], before[name])
      end
    end
    if not left then
      return
    end
    rl.sleep(0.1)
  end
  self:mark("left", {what = left})
end

local function main(self, program)
  rl.yield()
  self.before = rl.stats()
  self.tids[rl.self().id] = self:new_tid()
  self:mark("begin", {main = true})
  rl.on_error(function(err, _, task)
    self:mark("on_error", {err = self.history:name_error(err), of = task and self.tids[task.id],
      task = 0})
  end)
  for _, s in ipairs(program.setup) do
    steps[s.op].run(self, s)
  end
  for _, s in ipairs(program.tasks) do
    steps[s.op].run(self, s)
  end
  self:call("sleep", {t = HORIZON}, rl.sleep, HORIZON)
  self:mark("horizon")
  end_all(self)
  for _, s in ipairs(program.teardown) do
    steps[s.op].run(self, s)
  end
  for _, ticker in ipairs(self.alarms) do
    ticker:stop()
  end
  settle(self)
  self.faults = core.faults()
end

-- Play `program`; returns the history, the counts of the fault points, and the error of the run.
local function play(program)
  local self = setmetatable({
    history = history.new(), tids = {}, tasks = {[0] = {held = {}, tickers = {}}}, last_tid = 0,
    last_value = 0, objects = {}, handles = {}, roots = {}, alarms = {}, conns = {}, streams = 0,
    program = program,
  }, World)
  local ok, err = pcall(rl.run, main, {
    backend = "sim", seed = program.seed, faults = program.faults, preempt = false,
    on_overrun = function() end,
  }, self, program)
  rl.on_error(nil)
  return self.history, self.faults or {}, not ok and tostring(err) or nil
end

return {play = play}
