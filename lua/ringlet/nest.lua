-- SPDX-License-Identifier: MIT
-- luacheck: ignore 122 (replacing fields of coroutine is what this file is for)
-- nest: coroutines of the user's inside a task. While run is active coroutine.resume, wrap, status
-- and close are these, so that a park inside a generator parks the whole task: the generator's
-- yield is recognised as ours, passed further up, and what ends the wait is passed down again.

local core = require "ringlet.core"

local raw = {}
for _, name in ipairs {"resume", "wrap", "status", "close", "create"} do
  raw[name] = coroutine[name]
end

local M = {}

-- Coroutines that are parked inside: to others they are not suspended.
local parked = setmetatable({}, {__mode = "k"})
M.parked = parked

local after

local function again(co, ...)
  parked[co] = nil
  local saved = core.enter(co)
  return after(co, saved, raw.resume(co, ...))
end

function after(co, saved, ok, ...)
  if core.leave(saved) and ok and raw.status(co) ~= "dead" then
    parked[co] = true
    return again(co, core.pass(...))
  end
  return ok, ...
end

local function resume(co, ...)
  if parked[co] then
    return false, "cannot resume non-suspended coroutine"
  elseif not core.inside() or type(co) ~= "thread" then
    return raw.resume(co, ...)
  end
  local saved = core.enter(co)
  return after(co, saved, raw.resume(co, ...))
end

local function unwrap(ok, ...)
  if not ok then
    error((...), 0)
  end
  return ...
end

local function wrap(fn)
  local co = raw.create(fn)
  return function(...)
    return unwrap(resume(co, ...))
  end
end

local function status(co)
  return parked[co] and "normal" or raw.status(co)
end

local function close(co)
  if parked[co] then
    error("cannot close a normal coroutine", 2)
  end
  return raw.close(co)
end

local before

--- Put ours in place, for the time of a run.
function M.install()
  before = {
    resume = coroutine.resume, wrap = coroutine.wrap,
    status = coroutine.status, close = coroutine.close,
  }
  coroutine.resume, coroutine.wrap, coroutine.status = resume, wrap, status
  if raw.close then
    coroutine.close = close
  end
end

--- Restore what was there.
function M.restore()
  for name, fn in pairs(before or {}) do
    coroutine[name] = fn
  end
  before = nil
end

return M
