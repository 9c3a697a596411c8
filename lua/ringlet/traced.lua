-- SPDX-License-Identifier: MIT
-- traced: calls whose failure comes with the traceback of the raise.

local M = {}

-- The traceback of the last raise. Nothing parks between it and its use.
local last

-- That of an error which is about to be raised again, and the error.
local kept, kept_of

local function trap(err)
  last = kept and rawequal(err, kept_of) and kept or debug.traceback("", 2):sub(2)
  kept, kept_of = nil, nil
  return err
end

-- For those to whom a call more matters: xpcall(fn, traced.trap, ...), and traced.trace() after a
-- failure.
M.trap = trap

function M.trace()
  return last
end

--- Raise again what such a call has failed with, for another one further out: that one finds the
-- traceback of the first raise.
function M.raise(err, trace)
  kept, kept_of = trace, err
  error(err, 0)
end

local function pass_on(ok, ...)
  if not ok then
    M.raise(...)
  end
  return ...
end

--- fn as it is, but what catches its errors and raises them again does not lose the traceback.
function M.keeping(fn)
  return function(...)
    return pass_on(M.call(fn, ...))
  end
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
