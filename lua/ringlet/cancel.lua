-- SPDX-License-Identifier: MIT
-- cancel: cancel scopes, without any policy of who opens them.
--
-- A cancel scope is a task (its handle) or a table {owner, outer, children, cancelled, shield}
-- pushed on its owner by timeout, scope and shield. `cancelled` holds the error value that is
-- raised for it.
--
-- Invariants: handle.scope is the innermost scope the task has pushed; a child's handle.parent is
-- the scope it was spawned in; the core's cancel flag of a task is set exactly while `effective`
-- finds something, so park points need to look at one bit only. The outermost cancelled scope in
-- reach wins; a shield ends the reach.

--- Tell a cancellation from other errors.
-- @module ringlet
-- @section Cancellation

local core = require "ringlet.core"
local travel = require "ringlet.travel"

local M = {}

--- The error that is raised in a cancelled task.
-- @type cancelled
-- @tfield any reason what `cancel` was given
local Cancelled = {__name = "ringlet.cancelled"}

travel.register_type("ringlet.cancelled", Cancelled)

function Cancelled.__tostring(err)
  return err.reason == nil and "cancelled" or "cancelled: " .. tostring(err.reason)
end

-- The error value of a cancellation.
function M.error(reason)
  return setmetatable({reason = reason}, Cancelled)
end

--- Is this value the error of a cancellation?
-- @tparam any err any value
-- @treturn boolean
-- @treturn any the reason given to `cancel`
function M.is_cancel(err)
  if getmetatable(err) == Cancelled then
    return true, err.reason
  end
  return false
end

-- The error value to raise in this task, or nil.
local function effective(h)
  local found
  local s = h.scope
  while true do
    while s do
      found = s.cancelled or found
      if s.shield then
        return found
      end
      s = s.outer
    end
    found = h.cancelled or found
    s = h.parent
    if not s then
      return found
    end
    -- The scope the task was spawned in, then on outwards in the task that owns it.
    h = s.owner
  end
end
M.effective = effective

local function refresh(h)
  if h[1] then
    core.cancel(h[1], effective(h) ~= nil)
  end
end
M.refresh = refresh

local function is_older(a, b)
  return a.id < b.id
end

-- The children of a scope by age: the order in which tasks are cancelled must not be that of their
-- addresses, or a seed would not repeat its run.
local function children_of(s)
  local list = {}
  for child in pairs(s.children or {}) do
    list[#list + 1] = child
  end
  table.sort(list, is_older)
  return list
end

-- The task and everything spawned in scopes of it.
local function refresh_tree(h)
  refresh(h)
  local s = h.scope
  while s do
    for _, child in ipairs(children_of(s)) do
      refresh_tree(child)
    end
    s = s.outer
  end
end

-- Cancel a pushed scope; the first cancel stands.
function M.cancel_scope(s, reason)
  if not s.cancelled then
    s.cancelled = M.error(reason)
    refresh_tree(s.owner)
  end
end

-- Cancel a task; the first cancel stands.
function M.cancel_task(h, reason)
  if h[1] and not h.cancelled then
    h.cancelled = M.error(reason)
    refresh_tree(h)
  end
end

-- Push a scope on the running task's handle.
function M.push(h, s)
  s.owner, s.outer = h, h.scope
  h.scope = s
  if s.shield then
    refresh(h)
  end
  return s
end

-- Pop it: what is pushed later must be popped already.
function M.pop(h, s)
  h.scope = s.outer
  refresh(h)
end

-- Raise the cancellation of the running task.
function M.raise()
  local h = require("ringlet.task").self()
  error(effective(h) or M.error("cancelled"), 0)
end

return M
