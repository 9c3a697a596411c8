---@meta ringlet.test
-- SPDX-License-Identifier: MIT
-- Written by tools/stubs from lua/ringlet/test.lua; edit that.

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
---@class ringlet.test
local M = {}

---Seconds what a test started is given to end after its function returned.
---@type number
M.SETTLE = nil

---Run `fn` in a task with a timeout and the leak check; raises when it fails.
---@param fn any the test
---@param opts any `timeout` in seconds (0: no limit), `leak = false` for no leak check, and what `rl.run` takes
function M.run(fn, opts) end

---Run `fn` under virtual time on the `sim` backend. The message of a failure carries the seed.
---@param seed any number that decides the order of events
---@param fn any the test, called with the seed
---@param opts any as for `run`; `faults` says which faults are injected
function M.sim(seed, fn, opts) end

---`sim` with the seeds 1 to `n`. `RINGLET_SEED` in the environment runs that one alone.
---@param n any
---@param fn any
---@param opts any
function M.seeds(n, fn, opts) end

---busted's `it`, with `fn` run by `run`.
---@param name any what the test shows
---@param fn any the test
---@param opts any as for `run`
function M.it(name, fn, opts) end

return M
