-- SPDX-License-Identifier: MIT
--- Tests of code that runs in tasks: a busted `it` that is a task, a leak check, virtual time.
--
--     local t = require "ringlet.test"
--     describe("my server", function()
--       t.it("answers", function() ... end)                        -- 5 s at most
--       t.it("gives up", function() ... end, {backend = "sim"})    -- virtual time
--       it("keeps its promises", function()
--         t.seeds(100, function(seed) ... end, {faults = "..."})   -- 100 orders of events
--       end)
--     end)
--
-- A test fails when its function raises, when a root task fails and nobody joins it, when it takes
-- longer than `timeout`, and when it leaves something behind: tasks, handles, operations in flight.
-- Idle connections of HTTP clients are closed behind it, and count as nothing.
-- Of tasks that are leaked, because nothing can ever wake them, the failure has the stack and where
-- they were made: see `ringlet.leaks`.
-- @module ringlet.test

local rl = require "ringlet"
local run_stop = require "ringlet.run_stop"

local M = {}

--- Seconds a test may take unless it says otherwise; of virtual time, which costs nothing, more.
-- @tfield number TIMEOUT 5
-- @tfield number SIM_TIMEOUT 100,000
M.TIMEOUT, M.SIM_TIMEOUT = 5, 1e5
--- Seconds what a test started is given to end after its function returned.
-- @tfield number SETTLE 1
M.SETTLE = 1

local OWN = {timeout = true, leak = true}

-- The options of run among `opts`. Creation sites are recorded: a failing test wants them.
local function run_options(opts)
  local out = {debug = true}
  for k, v in pairs(opts) do
    if not OWN[k] then
      out[k] = v
    end
  end
  return out
end

local COUNTERS = {"tasks", "handles", "ops"}

-- What `now` has more of than `before`, as text; nil when nothing.
local function excess(before, now)
  local found = {}
  for _, name in ipairs(COUNTERS) do
    local n = (now[name] or 0) - (before[name] or 0)
    if n > 0 then
      found[#found + 1] = ("%d %s"):format(n, name)
    end
  end
  return found[1] and table.concat(found, ", ") or nil
end

-- Which of the tasks that are left will never end, as text; nil when none.
local function leaked_text(before, now)
  if now.tasks > before.tasks then
    local leaks = require "ringlet.leaks"
    local list = leaks.find {shard = rl.shard(), again = true}
    return list[1] and leaks.text(list):gsub("%s+$", "") or nil
  end
end

-- Give what the test started its turns, then a little time, to end. What is left is a leak, but not
-- what is kept to be used again; of tasks that can never end the second value tells.
local function settle(before)
  for _, give_back in ipairs(run_stop.spares) do
    give_back()
  end
  local left = excess(before, rl.stats())
  for _ = 1, 100 do
    if not left then
      return nil
    end
    rl.yield()
    left = excess(before, rl.stats())
  end
  local leaked = left and leaked_text(before, rl.stats())
  if leaked then
    return left, leaked
  end
  local pause, waited = 0.001, 0
  while left and waited < M.SETTLE do
    rl.sleep(pause)
    waited, pause = waited + pause, pause * 2
    left = excess(before, rl.stats())
  end
  return left
end

-- The seed belongs into the message of a failure, whatever kind of value that is.
local function with_seed(err, seed)
  local note = ("\n(sim seed %s)"):format(seed)
  if type(err) == "table" and type(rawget(err, "message")) == "string" then
    err.message = err.message .. note
    return err
  end
  local text = tostring(err)
  if text:find("sim seed", 1, true) then
    return err
  end
  return text .. note
end

local function failure(state)
  if state.expired then
    return ("timed out after %g s; the test was at\n%s"):format(state.timeout, state.where)
  end
  if state.unhandled then
    return state.unhandled
  end
  if state.left then
    local leaked = state.leaked and "\nleaked, nothing can ever wake them:\n" .. state.leaked or ""
    return {message = ("left behind: %s still live after the test%s"):format(state.left, leaked)}
  end
end

local function traceback(task)
  local ok, text = pcall(task.traceback, task)
  return tostring(ok and text or "?")
end

-- Ends the whole run when the test takes too long: a stuck child must not outlive it either.
local function start_watchdog(state)
  local main = rl.self()
  rl.daemon(function()
    rl.sleep(state.timeout)
    state.expired, state.where = true, traceback(main)
    rl.stop(0)
  end)
end

local function body(state, fn)
  if state.timeout > 0 then
    start_watchdog(state)
    rl.yield()
  end
  rl.on_error(function(err)
    state.unhandled = state.unhandled or err
  end)
  local before = rl.stats()
  fn()
  if state.leak then
    state.left, state.leaked = settle(before)
    if state.left then
      rl.stop(0)
    end
  end
end

local function fail(err, opts)
  if opts.backend == "sim" then
    err = with_seed(err, opts.seed)
  end
  if type(err) == "table" and getmetatable(err) == nil and err.message then
    err = err.message
  end
  error(err, 0)
end

--- Run `fn` in a task of a run of its own, with a timeout and the leak check. It blocks, as
-- `rl.run` does.
-- @tparam fun() fn the test
-- @tparam[opt] table opts these, and what `rl.run` takes
-- @tparam[opt] number opts.timeout seconds, `TIMEOUT` or `SIM_TIMEOUT` by default; 0: no limit
-- @tparam[opt=true] boolean opts.leak the leak check
-- @tparam[opt="auto"] string opts.backend "uring", "sim" or "auto"
-- @tparam[opt=1] number opts.seed of the order of events (sim)
-- @tparam[opt] string opts.faults which faults are injected (sim): "short_read=0.1,enobufs=0.01"
-- @raise when the test fails; on the sim backend the message ends in the seed
function M.run(fn, opts)
  opts = opts or {}
  if opts.backend == "sim" and not opts.seed then
    local copy = {seed = 1}
    for k, v in pairs(opts) do copy[k] = v end
    opts = copy
  end
  local default = opts.backend == "sim" and M.SIM_TIMEOUT or M.TIMEOUT
  local state = {timeout = opts.timeout or default, leak = opts.leak ~= false}
  local ok, err = pcall(rl.run, function() body(state, fn) end, run_options(opts))
  rl.on_error(nil)
  local why = failure(state)
  if state.expired or (ok and why) then
    fail(why, opts)
  elseif not ok then
    fail(err, opts)
  end
end

--- Run `fn` under virtual time on the sim backend, as `run` does.
-- @tparam number seed decides the order of events
-- @tparam fun(seed:number) fn the test
-- @tparam[opt] table opts these, and what `rl.run` takes
-- @tparam[opt] number opts.timeout seconds, `TIMEOUT` or `SIM_TIMEOUT` by default; 0: no limit
-- @tparam[opt=true] boolean opts.leak the leak check
-- @tparam[opt] string opts.faults which faults are injected: "short_read=0.1,enobufs=0.01"
-- @raise when the test fails; the message ends in the seed
function M.sim(seed, fn, opts)
  local copy = {}
  for k, v in pairs(opts or {}) do copy[k] = v end
  copy.backend, copy.seed = "sim", seed
  M.run(function() fn(seed) end, copy)
end

--- Call `sim` with the seeds 1 to n. RINGLET_SEED in the environment runs that one alone.
-- @tparam integer n
-- @tparam fun(seed:number) fn the test
-- @tparam[opt] ringlet.test.sim.opts opts as for `sim`
-- @raise when a test fails; the message ends in the seed
function M.seeds(n, fn, opts)
  local only = tonumber(os.getenv("RINGLET_SEED") or "")
  for seed = only or 1, only or n do
    M.sim(seed, fn, opts)
  end
end

--- busted's `it`, with `fn` run by `run`.
-- @tparam string name what the test shows
-- @tparam fun() fn the test
-- @tparam[opt] ringlet.test.run.opts opts as for `run`
-- @raise outside of a spec that busted runs
function M.it(name, fn, opts)
  local busted = package.loaded.busted
  if type(busted) ~= "table" or not busted.it then
    error("ringlet.test.it works in a spec run by busted", 2)
  end
  busted.it(name, function() M.run(fn, opts) end)
end

return M
