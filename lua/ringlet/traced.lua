-- SPDX-License-Identifier: MIT
-- traced: calls whose failure comes with the traceback of the raise.

local M = {}

-- The traceback of the last raise. Nothing parks between it and its use.
local last

local function trap(err)
  last = debug.traceback("", 2):sub(2)
  return err
end

-- For those to whom a call more matters: xpcall(fn, traced.trap, ...), and traced.trace() after a
-- failure.
M.trap = trap

function M.trace()
  return last
end

local function add_trace(ok, ...)
  if ok then
    return true, ...
  end
  local trace = last
  last = nil
  return false, (...), trace
end

--- Call fn: true and its results, or false, the error and its traceback.
-- @parks where fn does
function M.call(fn, ...)
  return add_trace(xpcall(fn, trap, ...))
end

return M
