-- SPDX-License-Identifier: MIT
-- Pools against a plain reference: short random sequences of operations, in virtual time. After
-- each operation everything that can happen has happened, and both must tell the same: what began
-- in which order, what became of each task and each submitter, what runs and waits. A failure names
-- the sequence; RINGLET_SEED=n in the environment runs that one alone.
local H = require "spec.helper"
local rl = require "ringlet"
local random = require "spec.model.random"

-- Of busted's environment, which is slow to ask.
local error, ipairs, math, pairs, table, tostring = error, ipairs, math, pairs, table, tostring

-- So many; where that takes long, as many as a minute has room for, but not fewer than the least.
local SEQUENCES, LEAST, SECONDS = 100000, 10000, 60
local SEQUENCES_A_RUN, OPERATIONS = 500, 4
local OVERFLOWS = {"block", "reject", "spawn", "drop_oldest", "caller_runs"}
local KINDS = {"wait", "wait", "wait", "mark", "quick", "error", "yield"}
local EXPIRY = 0.1

-- ---- the reference ------------------------------------------------------------------------------

-- A task is {id, kind, said, outcome; where = "line"|"worker"|"beside"|"caller"|"room", by_worker;
-- pauses, doomed: what its worker does then}. `said` is what its submitter was told.
local Model = {}
Model.__index = Model

local function new_model(opts)
  return setmetatable({
    size = opts.size, queue = opts.queue, overflow = opts.overflow,
    max_blocking = opts.max_blocking or math.huge, paused = false, closed = false, held = 0,
    active = 0, line = {}, room = {}, beside = 0, began = {}, tasks = {},
    counts = {done = 0, failed = 0, cancelled = 0, rejected = 0, dropped = 0},
  }, Model)
end

local function remove(list, x)
  for i, y in ipairs(list) do
    if y == x then
      return table.remove(list, i)
    end
  end
end

function Model:max()
  return self.paused and 0 or math.max(self.size - self.held, 0)
end

function Model:room_in_line()
  return #self.line < math.max(self:max() - self.active, 0) + self.queue
end

function Model:settle(task, outcome, count)
  task.outcome, task.where = outcome, nil
  self.counts[count or outcome] = self.counts[count or outcome] + 1
end

-- What runs ends.
function Model:ends(task, outcome)
  if task.where == "worker" then
    self.active = self.active - 1
    if task.pauses and not self.closed then
      self.held = self.held + 1
    end
  else
    self.beside = self.beside - 1
  end
  self:settle(task, outcome)
end

function Model:begins(task, where)
  if where == "worker" then
    self.active, task.by_worker = self.active + 1, true
    self.began[#self.began + 1] = task.id
  else
    self.beside = self.beside + 1
  end
  task.where = where
  if task.kind == "quick" then
    self:ends(task, "done")
  elseif task.kind == "error" or task.kind == "yield" then
    self:ends(task, "failed")
  end
end

function Model:goes_on()
  repeat
    local moved = false
    while self.room[1] and self:room_in_line() do
      self.room[1].said, self.room[1].where = "future", "line"
      self.line[#self.line + 1] = table.remove(self.room, 1)
      moved = true
    end
    while self.line[1] and self.active < self:max() do
      self:begins(table.remove(self.line, 1), "worker")
      moved = true
    end
  until not moved
end

local overflow = {}

function overflow.reject(model, task)
  task.said = "EOVERLOAD"
  model:settle(task, "rejected")
end

function overflow.block(model, task)
  if #model.room >= model.max_blocking then
    return overflow.reject(model, task)
  end
  task.where = "room"
  model.room[#model.room + 1] = task
end

function overflow.spawn(model, task)
  task.said = "future"
  model:begins(task, "beside")
end

-- Its end is that of the submitter, if its coroutine ends with it.
function overflow.caller_runs(model, task)
  model:begins(task, "caller")
  if task.kind == "yield" then
    task.said = "raised"
  elseif task.outcome then
    task.said = "future"
  end
end

function overflow.drop_oldest(model, task)
  local soon = math.min(math.max(model:max() - model.active, 0), #model.line)
  model:settle(table.remove(model.line, soon + 1), "dropped")
  task.said, task.where = "future", "line"
  model.line[#model.line + 1] = task
end

function Model:submit(task)
  self.tasks[task.id] = task
  if self.closed then
    task.said = "ECLOSED"
    self:settle(task, "rejected")
  elseif self:room_in_line() then
    task.said, task.where = "future", "line"
    self.line[#self.line + 1] = task
  else
    overflow[self.overflow](self, task)
  end
end

function Model:cancel(task)
  if task.where == "line" then
    remove(self.line, task)
    self:settle(task, "cancelled")
  elseif task.where then
    self:ends(task, "cancelled")
  end
end

function Model:cancel_submitter(task)
  if task.where == "room" then
    remove(self.room, task)
    self:settle(task, "cancelled")
  else
    self:ends(task, "cancelled")
  end
  task.said = "raised"
end

function Model:close()
  self.closed, self.paused, self.held = true, false, 0
  for _, task in ipairs(self.room) do
    task.said = "ECLOSED"
    self:settle(task, "rejected")
  end
  self.room = {}
end

-- And cancel everything.
function Model:close_now()
  self:close()
  for _, task in ipairs(self.line) do
    self:settle(task, "closed", "cancelled")
  end
  self.line = {}
  for _, task in pairs(self.tasks) do
    if task.where then
      task.said = "future"
      self:ends(task, "cancelled")
    end
  end
end

function Model:waiting()
  return #self.line + #self.room
end

-- ---- the real one -------------------------------------------------------------------------------

local Real = {}
Real.__index = Real

local function new_real(opts)
  return setmetatable({
    pool = rl.pool {size = opts.size, queue = opts.queue, overflow = opts.overflow,
      max_blocking = opts.max_blocking, expiry = EXPIRY},
    began = {}, said = {}, futures = {}, gates = {}, submitters = {},
  }, Real)
end

local run = {}

function run.wait(gate)
  local ok, how = gate:recv()
  if ok == "error" then
    error("let go", 0)
  end
  return ok, how
end

function run.mark(gate)
  rl.self():name "marked"
  return run.wait(gate)
end

function run.quick() end

function run.error()
  error("at once", 0)
end

function run.yield()
  coroutine.yield()
end

local function submit_one(self, id, kind, gate)
  local f, _, code = self.pool:submit(function()
    self.began[#self.began + 1] = id
    return run[kind](gate)
  end)
  self.said[id], self.futures[id] = f and "future" or code, f
end

function Real:submit(task)
  local id, kind, gate = task.id, task.kind, rl.chan(1)
  self.gates[id] = gate
  self.submitters[id] = rl.go(function()
    submit_one(self, id, kind, gate)
  end)
end

local function settle()
  for _ = 1, 8 do
    rl.yield()
  end
end

local function outcome_of(f)
  if f:status() == "pending" then
    return nil
  end
  local ok, err = f:join()
  if ok then
    return "done"
  elseif rl.is_cancel(err) then
    return "cancelled"
  end
  local code = rl.code(err)
  return code == "EOVERLOAD" and "dropped" or code == "ECLOSED" and "closed" or "failed"
end

-- ---- both ---------------------------------------------------------------------------------------

local operations = {}

local function pick(rnd, list)
  return list[1] and list[rnd(#list)]
end

local function tasks_where(model, fits)
  local list = {}
  for _, task in ipairs(model.tasks) do
    if fits(task) then
      list[#list + 1] = task
    end
  end
  return list
end

function operations.submit(rnd, model, real)
  for _ = 1, rnd(4) > 2 and rnd(3) or 1 do
    local task = {id = #model.tasks + 1, kind = KINDS[rnd(#KINDS)]}
    model:submit(task)
    real:submit(task)
  end
end

-- One that waits to be let go is.
function operations.let_go(rnd, model, real)
  local task = pick(rnd, tasks_where(model, function(t)
    return t.where and t.where ~= "line" and t.where ~= "room"
  end))
  if task then
    local well = rnd(3) > 1
    if task.where == "caller" then
      task.said = "future"
    end
    model:ends(task, well and "done" or "failed")
    real.gates[task.id]:send(well and "well" or "error")
  end
end

function operations.cancel(rnd, model, real)
  local task = pick(rnd, tasks_where(model, function(t)
    return real.futures[t.id] ~= nil and (t.where or rnd(4) == 1)
  end))
  if task then
    model:cancel(task)
    real.futures[task.id]:cancel()
  end
end

function operations.cancel_submitter(rnd, model, real)
  local task = pick(rnd, tasks_where(model, function(t)
    return t.where == "room" or t.where == "caller"
  end))
  if task then
    model:cancel_submitter(task)
    real.submitters[task.id]:cancel()
  end
end

function operations.resize(rnd, model, real)
  model.size = rnd(4)
  real.pool:resize(model.size)
end

function operations.pause(_, model, real)
  model.paused = true
  real.pool:pause()
end

function operations.resume(_, model, real)
  model.paused = false
  real.pool:resume()
end

function operations.close(rnd, model, real)
  if rnd(2) == 1 then
    model:close()
    real.pool:close()
  else
    model:close_now()
    real.pool:close(0)
  end
end

function operations.reopen(_, model, real)
  model.closed = false
  real.pool:reopen()
end

-- The worker of a task, and the task.
local function running_worker(rnd, model, real)
  local w = pick(rnd, real.pool:workers())
  for id, f in pairs(real.futures) do
    if w and w.f == f then
      return w, model.tasks[id]
    end
  end
  return w
end

function operations.pause_worker(rnd, model, real)
  local w, task = running_worker(rnd, model, real)
  if not w or w:state() == "paused" or model.closed then
    return
  elseif task then
    task.pauses = not task.doomed
  else
    model.held = model.held + 1
  end
  w:pause()
end

function operations.resume_worker(rnd, model, real)
  local w, task = running_worker(rnd, model, real)
  if not w or w:state() ~= "paused" then
    return
  elseif task then
    task.pauses = false
  else
    model.held = model.held - 1
  end
  w:resume()
end

function operations.destroy_worker(rnd, model, real)
  local w, task = running_worker(rnd, model, real)
  if not w then
    return
  end
  local force = rnd(2) == 1
  if w:state() == "paused" and not task then
    model.held = model.held - 1
  elseif task then
    task.pauses, task.doomed = false, true
    if force then
      model:cancel(task)
    end
  end
  w:destroy(force)
end

-- Idle workers end, all others stay.
function operations.wait(rnd, _, real)
  local long = rnd(2) == 1
  rl.sleep(long and EXPIRY * 1.1 or EXPIRY * 0.4)
  local s = real.pool:stats()
  if long and s.idle > 0 then
    error(("%d idle workers after the expiry"):format(s.idle), 0)
  end
end

local NAMES = {
  "submit", "submit", "submit", "submit", "submit", "submit", "submit", "let_go", "let_go",
  "let_go",
  "cancel", "cancel", "cancel_submitter", "resize", "pause", "resume", "close", "reopen",
  "pause_worker", "resume_worker", "destroy_worker", "wait",
}

local function differ(what, wanted, got)
  if wanted ~= got then
    error(("%s: %s, not %s"):format(what, tostring(got), tostring(wanted)), 0)
  end
end

local function compare_tasks(model, real)
  for id, task in ipairs(model.tasks) do
    local said = real.said[id]
    if not said and real.submitters[id]:status() == "failed" then
      said = "raised"
    end
    differ("submitter " .. id, task.said, said)
    if real.futures[id] then
      differ("task " .. id, task.outcome, outcome_of(real.futures[id]))
    end
  end
end

-- Of tasks beside the pool it is not said when they begin.
local function compare_order(model, real)
  local i = 0
  for _, id in ipairs(real.began) do
    if model.tasks[id].by_worker then
      i = i + 1
      differ("the begin " .. i, model.began[i], id)
    end
  end
  differ("how many began", #model.began, i)
end

local function compare(model, real)
  local pool = real.pool
  compare_tasks(model, real)
  local s = pool:stats()
  differ("running", model.active, s.running)
  differ("waiting", model:waiting(), pool:waiting())
  differ("blocked", #model.room, s.blocked)
  differ("beside", model.beside, s.beside)
  differ("free", math.max(model:max() - model.active, 0), pool:free())
  for name, n in pairs(model.counts) do
    differ(name, n, s[name])
  end
  compare_order(model, real)
  if s.workers > math.max(model.size, s.running + model.held) then
    error(("%d workers"):format(s.workers), 0)
  end
end

local function step(name, rnd, model, real)
  operations[name](rnd, model, real)
  model:goes_on()
  settle()
  compare(model, real)
end

-- Let everything go; nothing is left.
local function finish(model, real)
  real.pool:close(0)
  settle()
  settle()
  local s = real.pool:stats()
  differ("tasks at the end", 0, s.running + s.queued + s.blocked + s.beside)
  differ("workers at the end", 0, s.workers)
  differ("submitted", #model.tasks, s.submitted)
  differ("ended", s.submitted, s.done + s.failed + s.cancelled + s.rejected + s.dropped)
end

local function sequence(seed)
  local numbers = random.new(seed)
  local function rnd(n)
    return numbers:int(1, n)
  end
  local opts = {size = rnd(3), queue = rnd(4) - 1, overflow = OVERFLOWS[rnd(#OVERFLOWS)]}
  if rnd(2) == 1 then
    opts.max_blocking = rnd(3) - 1
  end
  if opts.overflow == "drop_oldest" then
    opts.queue = math.max(opts.queue, 1)
  end
  local model, real, names = new_model(opts), new_real(opts), {}
  local ok, err = pcall(function()
    for i = 1, OPERATIONS do
      names[i] = NAMES[rnd(#NAMES)]
      step(names[i], rnd, model, real)
    end
    finish(model, real)
  end)
  if not ok then
    error(("sequence %d, size %d, queue %d, %s: after %s: %s"):format(seed, opts.size, opts.queue,
      opts.overflow, table.concat(names, ", "), tostring(err)), 0)
  end
end

-- A run of some sequences; nothing of them is left when it ends.
local function run_sequences(from, to)
  H.run(function()
    rl.on_error(function() end)
    local before = rl.stats()
    for seed = from, to do
      sequence(seed)
    end
    local after = rl.stats()
    differ("tasks", before.tasks, after.tasks)
    differ("timers", before.timers, after.timers)
    differ("daemons", before.daemons, after.daemons)
  end)
  rl.on_error(nil)
end

describe("a pool", function()
  local jit, traceback = rawget(_G, "jit"), debug.traceback

  -- Most of the time would go into tracebacks, and on LuaJIT into compiling short runs of much
  -- code.
  setup(function()
    debug.traceback = function() return "" end -- luacheck: ignore 122
    if jit then jit.off() end
  end)
  teardown(function()
    debug.traceback = traceback -- luacheck: ignore 122
    if jit then jit.on() end
  end)

  it("does what the reference does, whatever is done to it", function()
    local only = tonumber(os.getenv "RINGLET_SEED" or "")
    if only then
      run_sequences(only, only)
      return
    end
    local due = rl.now() + SECONDS
    for from = 1, H.rounds(SEQUENCES, 1000), SEQUENCES_A_RUN do
      if from > LEAST and rl.now() > due then
        break
      end
      run_sequences(from, from + SEQUENCES_A_RUN - 1)
    end
  end)
end)
