-- SPDX-License-Identifier: MIT
-- program: from a seed, a random program over every operation. It is data only, so the same seed is
-- the same program; play.lua runs it.

local random = require "spec.model.random"
local steps = require "spec.model.steps"

local Context = {}
Context.__index = Context

local NAMES, WEIGHTS, LEAF_NAMES = {}, {}, {}
for name, step in pairs(steps) do
  if not step.setup then
    NAMES[#NAMES + 1] = name
    WEIGHTS[name] = step.weight
    if step.leaf then
      LEAF_NAMES[#LEAF_NAMES + 1] = name
    end
  end
end
table.sort(NAMES)
table.sort(LEAF_NAMES)

-- Deep programs are about nesting, so bodies get shorter.
local DEPTH_MAX, STEPS_MAX = 3, 120

-- A timeout that never comes: what is left of it at the end shows.
local LONG = 500

-- A timeout: often none, often the same few, so that things happen at one instant.
function Context:timeout()
  local r = self.r
  if r:chance(0.08) then
    return r:pick {0, 0, -1}
  elseif not self.leaf and r:chance(0.3) then
    return r:chance(0.3) and LONG or nil
  end
  return r:pick {0.001, 0.001, 0.002, 0.005, 0.005, 0.01, 0.02, 0.05}
end

function Context:object(kind)
  return self.r:pick(self.objects[kind])
end

function Context:step()
  self.steps = self.steps + 1
  local leaf = self.leaf or self.depth >= DEPTH_MAX or self.steps > STEPS_MAX
  local op = self.r:weighted(leaf and LEAF_NAMES or NAMES, self.weights)
  local s = steps[op].gen(self)
  s.op = op
  return s
end

function Context:body(least, most)
  local list = {}
  self.depth = self.depth + 1
  for i = 1, self.r:int(least, most) do
    list[i] = self:step()
  end
  self.depth = self.depth - 1
  return list
end

-- Steps that end by themselves, within their timeouts.
function Context:leaf_body(least, most)
  local was = self.leaf
  self.leaf = true
  local list = self:body(least, most)
  self.leaf = was
  return list
end

-- Each program is about some operations more than others.
local function weigh(r)
  local weights = {}
  for _, name in ipairs(NAMES) do
    weights[name] = WEIGHTS[name] * r:pick {0.2, 1, 1, 3}
  end
  return weights
end

local function add(ctx, setup, kind, s)
  local list = ctx.objects[kind] or {}
  ctx.objects[kind] = list
  s.op, s.o = s.op or kind, kind .. #list + 1
  list[#list + 1] = s.o
  setup[#setup + 1] = s
end

local function gen_objects(ctx, setup)
  local r = ctx.r
  for _ = 1, r:int(1, 4) do
    local overflow = r:chance(0.3) and r:pick {"drop_oldest", "drop_newest", "block"} or nil
    add(ctx, setup, "chan", {cap = r:pick {0, 0, 1, 1, 2, 128}, overflow = overflow})
  end
  for _ = 1, 2 do
    add(ctx, setup, "timer", {op = "after", t = r:pick {0, 0.005, 0.02, 0.1}})
    add(ctx, setup, "event", {})
  end
  for _, kind in ipairs {"mutex", "rwmutex", "waitgroup", "singleflight", "cond"} do
    add(ctx, setup, kind, {})
  end
  add(ctx, setup, "gowaitgroup", {op = "waitgroup"})
  add(ctx, setup, "semaphore", {size = r:int(0, 4)})
  add(ctx, setup, "barrier", {size = r:int(1, 3)})
  for _ = 1, 2 do
    add(ctx, setup, "once", {body = ctx:leaf_body(0, 2)})
  end
end

local POINTS = {"short_write", "short_read", "econnreset", "enobufs", "enomem", "cq_overflow",
  "cancel_race", "multishot_end", "delay", "eintr"}
local MOST = {econnreset = 0.03, enomem = 0.05, enobufs = 0.2}

-- A third of the programs run without faults, a third with harmless ones only.
local function gen_faults(r)
  local mode, parts = r:int(1, 3), {}
  if mode == 1 then
    return nil
  end
  for _, point in ipairs(POINTS) do
    local fatal = point == "econnreset" or point == "enomem"
    if r:chance(0.6) and (mode == 3 or not fatal) then
      parts[#parts + 1] = ("%s=%.3f"):format(point, (MOST[point] or 0.3) * r:int(1, 10) / 10)
    end
  end
  return #parts > 0 and table.concat(parts, ",") or nil
end

local function generate(seed)
  local r = random.new(seed)
  local ctx = setmetatable({r = r, depth = 0, steps = 0, objects = {}}, Context)
  ctx.weights = weigh(r)
  local program = {seed = seed, faults = gen_faults(r), setup = {}, tasks = {}, teardown = {}}
  gen_objects(ctx, program.setup)
  for i = 1, r:int(3, 7) do
    ctx.depth = 0
    program.tasks[i] = {op = r:chance(0.15) and "daemon" or "go", body = ctx:body(2, 9),
      swallows = r:chance(0.3) and r:int(1, 3) or 0}
  end
  steps.serve.plan(ctx, program)
  return program
end

return {generate = generate, POINTS = POINTS}
