-- SPDX-License-Identifier: MIT
-- in_turn: H.both and H.on for tests in which it matters whose turn it is. A task may be preempted
-- at any line of the spec when its thread has had no CPU for a slice, as on a busy machine; then
-- one that was started has not come to where it parks. Here nobody is preempted.
local H = require "spec.helper"

local M = {}

local function in_turn(it)
  return function(what, test, opts)
    local all = {preempt = false}
    for k, v in pairs(opts or {}) do all[k] = v end
    it(what, test, all)
  end
end

function M.on(backend, name, fn)
  H.on(backend, name, function(it)
    fn(in_turn(it), backend)
  end)
end

function M.both(name, fn)
  H.both(name, function(it, backend)
    fn(in_turn(it), backend)
  end)
end

return M
