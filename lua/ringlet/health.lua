-- SPDX-License-Identifier: MIT
-- health: shards that make no progress, and whether the run is ready for more work.
--
-- A stall begins: a shard that is not stalled calls the hook. It is over: the shard itself knows
-- where its task was, and the hook is called on the first shard (src/lua/lhealth.c). A shard that
-- is starved of its CPU is told of alike.

--- Is all well?
-- @module ringlet
-- @section Health

local core = require "ringlet.core"
local deadlock = require "ringlet.deadlock"
local post = require "ringlet.post"
local run_stop = require "ringlet.run_stop"

local M = {}

-- The hook of the run, on this shard; what was noted of the last stall here.
local on_stall, noted

-- Not a field: what lies in a module travels by its name.
function M.set_hook(fn)
  on_stall, noted = fn, nil
end

-- Hears of stalls as well: what is called with the event.
M.heard = nil
-- The same for shards that are starved.
M.heard_starved = nil

local function call_hook(event)
  if M.heard then
    M.heard(event)
  end
  if not on_stall then
    return
  end
  local ok, err = pcall(on_stall, event)
  if not ok then
    io.stderr:write("ringlet: on_stall failed: ", tostring(err), "\n")
  end
end
post.on("stall over", function(_, event)
  call_hook(event)
end)

local function call_starved(event)
  if M.heard_starved then
    M.heard_starved(event)
  end
end
post.on("starved", function(_, event)
  call_starved(event)
end)

core.health(function(shard, seconds, over, id, waited)
  local event = {shard = shard, seconds = seconds, over = over, task = id, waited = waited}
  if not over then
    call_hook(event)
    return
  end
  if noted and noted.task == id then
    event.where, event.traceback = noted.where, noted.traceback
  end
  noted = nil
  if shard == 1 then
    call_hook(event)
  else
    post.to(1, "stall over", event)
  end
end, function(slot, co)
  -- Until the watchdog has seen that it is over, every run seems to have stalled: the first did.
  local trace = not noted and type(co) == "thread" and debug.traceback(co)
  if not trace then
    noted = noted or {}
    return
  end
  local _, where = deadlock.place(co)
  noted = {task = core.info(slot), where = where ~= "?" and where or nil, traceback = trace}
end, function(shard, seconds, over)
  local event = {shard = shard, seconds = seconds, over = over}
  if over and shard ~= 1 then
    post.to(1, "starved", event)
  else
    call_starved(event)
  end
end)

--- May this run be given more work? It looks at all shards and never waits for one: ask it for a
-- readiness probe.
-- @treturn boolean true
-- @fails "ESTALLED", a shard has made no progress for `stall_after`; "ESTOPPING", the run was asked
-- to stop; "ECLOSED", there is no run
function M.ready()
  if not core.fleet() then
    return nil, "ECLOSED: no run is active", "ECLOSED"
  elseif run_stop.stopping() then
    return nil, "ESTOPPING: the run is being stopped", "ESTOPPING"
  end
  local stall = core.stalled()[1]
  if stall then
    return nil, ("ESTALLED: shard %d has made no progress for %.3f s (task %d%s)"):format(stall[1],
      stall[2], stall[3], stall[4] and ", which waits for a CPU" or ""), "ESTALLED"
  end
  return true
end

return M
