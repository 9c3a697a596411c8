-- SPDX-License-Identifier: MIT
-- hooks: functions that hear of what happens to tasks of this shard, for tools that keep books.
--
-- Who does not ask pays nothing: `create` hangs from the function that tells of new handles, the
-- others from the core's word, which it is asked for with the first hook. Invariant: of every task
-- for which `create` was called, and of every one that lived when the first `end` hook came, the
-- end is told exactly once.

--- Hear of what happens.
-- @module ringlet
-- @section Hooks

local core = require "ringlet.core"
local health = require "ringlet.health"
local options = require "ringlet.options"
local task = require "ringlet.task"
local traced = require "ringlet.traced"

local M = {}

local PARK, UNPARK, GC = 1, 2, 4
local BITS = {park = PARK, unpark = UNPARK, gc = GC}

-- event -> its hooks, {fn, on = boolean}, a new list with each change.
local hooks = {
  create = {}, ["end"] = {}, park = {}, unpark = {}, gc = {},
  stall = {}, starved = {}, overrun = {},
}
local remove

-- Call one; one that raises is told of once, and never called again.
local function call(event, hook, ...)
  local ok, err = xpcall(hook[1], traced.trap, ...)
  if not ok and hook.on then
    remove(event, hook)
    task.report(err, traced.trace() or "", task.self())
  end
end

local function fire(event, ...)
  local list = hooks[event]
  for i = 1, #list do
    call(event, list[i], ...)
  end
end

local function heard(bit, number, text)
  if bit == PARK then
    fire("park", number, text)
  elseif bit == UNPARK then
    fire("unpark", number)
  else
    fire("gc", number)
  end
end

local function bits()
  local sum = 0
  for event, bit in pairs(BITS) do
    sum = sum + (hooks[event][1] and bit or 0)
  end
  return sum
end

local function watch(h)
  core.watch_end(h[1])
end

local function on_end(h, ok, err)
  fire("end", h, ok, err)
end

-- Have the core tell what somebody wants to hear.
local function arrange(event)
  local wanted = hooks[event][1] ~= nil
  if event == "end" then
    task.tell(watch, wanted)
    task.on_end = wanted and on_end or nil
  elseif event == "stall" then
    health.heard = wanted and function(...) fire("stall", ...) end or nil
  elseif event == "starved" then
    health.heard_starved = wanted and function(...) fire("starved", ...) end or nil
  elseif event == "overrun" then
    task.heard_overrun = wanted and function(...) fire("overrun", ...) end or nil
  elseif BITS[event] then
    core.events(bits(), heard)
  end
end

function remove(event, hook)
  if not hook.on then
    return
  end
  hook.on = false
  if event == "create" then
    task.tell(hook[1], false)
  end
  local list = {}
  for _, other in ipairs(hooks[event]) do
    if other ~= hook then
      list[#list + 1] = other
    end
  end
  hooks[event] = list
  arrange(event)
end

-- Those that live already: their ends are told as well.
local function watch_all()
  for _, slot in ipairs(core.slots()) do
    core.watch_end(slot)
  end
end

--- Call a function whenever something happens on this shard. It must not park and should be quick;
-- when it raises, `on_error` hears of it and the hook is removed.
--
-- Events, and what the function is given: "create" (task), when a task is made; "end" (task, ok,
-- err), once for each task that was made since or lived then; "park" (id, reason), when a task
-- waits from now on; "unpark" (id), when one goes on; "stall" (event), as `opts.on_stall` of `run`;
-- "starved" (event), when the kernel gives a shard no CPU, though it could run, for `opts.starved`
-- of `run`, and when that is over: {shard=, seconds=, over=}, on the same shards as "stall";
-- "overrun" (task, text), as its `opts.on_overrun`; "gc" (kilobytes), when the collector has been
-- through everything in idle time.
--
-- A task that a server makes for a connection is told of as well, and that of a job, when it
-- begins; the workers of pools are not, for what they run are tasks of the pool.
-- @tparam string event
-- @tparam fun(...:any) fn
-- @treturn fun() takes the hook away again; idempotent
-- @raise on an event that there is not
-- @usage local off = rl.on("end", function(task, ok) if not ok then failed = failed + 1 end end)
function M.on(event, fn)
  if not hooks[event] then
    error("no such event: " .. tostring(event), 2)
  end
  options.callable(fn)
  local hook, list = {fn, on = true}, {}
  for i, other in ipairs(hooks[event]) do
    list[i] = other
    if other[1] == fn then -- twice the same: each is one of its own
      hook[1] = function(...)
        fn(...)
      end
    end
  end
  list[#list + 1] = hook
  hooks[event] = list
  if event == "create" then
    task.tell(hook[1], true, function(err)
      remove(event, hook)
      task.report(err, "in a hook of \"create\"", task.self())
    end)
  end
  arrange(event)
  if event == "end" and core.fleet() then
    watch_all()
  end
  return function()
    remove(event, hook)
  end
end

return M
