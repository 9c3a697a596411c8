---@meta ringlet.test
-- SPDX-License-Identifier: MIT
-- Written by tools/stubs from the comments in these files; edit those.
--   lua/ringlet/test.lua

---Tests of code that runs in tasks: a busted `it` that is a task, a leak check, virtual time.
---
---    local t = require "ringlet.test"
---    describe("my server", function()
---      t.it("answers", function() ... end)                        -- 5 s at most
---      t.it("gives up", function() ... end, {backend = "sim"})    -- virtual time
---      it("keeps its promises", function()
---        t.seeds(100, function(seed) ... end, {faults = "..."})   -- 100 orders of events
---      end)
---    end)
---
---A test fails when its function raises, when a root task fails and nobody joins it, when it takes
---longer than `timeout`, and when it leaves something behind: tasks, handles, operations in flight.
---Idle connections of HTTP clients are closed behind it, and count as nothing.
---Of tasks that are leaked, because nothing can ever wake them, the failure has the stack and where
---they were made: see `ringlet.leaks`.
---@class ringlet.test
---@field TIMEOUT number 5
---@field SIM_TIMEOUT number 100,000
---Seconds what a test started is given to end after its function returned.
---@field SETTLE number 1
local M = {}

---@class ringlet.test.run.opts
---@field timeout? number seconds, `TIMEOUT` or `SIM_TIMEOUT` by default; 0: no limit
---@field leak? boolean the leak check (true)
---@field backend? string "uring", "sim" or "auto" ("auto")
---@field seed? number of the order of events (sim) (1)
---@field faults? string which faults are injected (sim): "short_read=0.1,enobufs=0.01"

---Run `fn` in a task of a run of its own, with a timeout and the leak check. It blocks, as
---`rl.run` does.
---
---Does not park.
---
---Raises when the test fails; on the sim backend the message ends in the seed.
---@param fn fun() the test
---@param opts? ringlet.test.run.opts these, and what `rl.run` takes
function M.run(fn, opts) end

---@class ringlet.test.sim.opts
---@field timeout? number seconds, `TIMEOUT` or `SIM_TIMEOUT` by default; 0: no limit
---@field leak? boolean the leak check (true)
---@field faults? string which faults are injected: "short_read=0.1,enobufs=0.01"

---Run `fn` under virtual time on the sim backend, as `run` does.
---
---Does not park.
---
---Raises when the test fails; the message ends in the seed.
---@param seed number decides the order of events
---@param fn fun(seed: number) the test
---@param opts? ringlet.test.sim.opts these, and what `rl.run` takes
function M.sim(seed, fn, opts) end

---Call `sim` with the seeds 1 to n. RINGLET_SEED in the environment runs that one alone.
---
---Does not park.
---
---Raises when a test fails; the message ends in the seed.
---@param n integer
---@param fn fun(seed: number) the test
---@param opts? ringlet.test.sim.opts as for `sim`
function M.seeds(n, fn, opts) end

---busted's `it`, with `fn` run by `run`.
---
---Does not park.
---
---Raises outside of a spec that busted runs.
---@param name string what the test shows
---@param fn fun() the test
---@param opts? ringlet.test.run.opts as for `run`
function M.it(name, fn, opts) end

return M
