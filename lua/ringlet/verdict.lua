-- SPDX-License-Identifier: MIT
-- verdict: what became of a call, for whatever counts or repeats calls.
--
-- A call has failed if it raises, or returns nil, a message and a code. A cancellation says nothing
-- about what was called: it is neither.

local cancel = require "ringlet.cancel"

local M = {}

--- Judge what pcall gave.
-- @tparam boolean ok
-- @param v the first result, or the error
-- @param msg
-- @param code
-- @treturn ?boolean true: it succeeded; false: it failed; nil: it was cancelled
function M.of(ok, v, msg, code) -- luacheck: no unused args
  if ok then
    return v ~= nil or code == nil
  elseif cancel.is_cancel(v) then
    return nil
  end
  return false
end

--- Return what pcall gave: the results, or the raise of the same error.
function M.give(ok, ...)
  if ok then
    return ...
  end
  error((...), 0)
end

return M
