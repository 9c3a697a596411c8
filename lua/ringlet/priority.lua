-- SPDX-License-Identifier: MIT
-- priority: who goes first: the names of priorities, and the `classify` option of servers, which
-- tells the priority of what a connection brings from its first bytes. The core does it, when they
-- are received (src/rt/classify.c); only a user's function is called from here, in the loop.

local core = require "ringlet.core"

local M = {}

-- As the core numbers them.
local NAMES = {[0] = "critical", "normal", "background"}
local NUMBERS = {critical = 0, normal = 1, background = 2}
M.NAMES, M.NUMBERS = NAMES, NUMBERS
M.CRITICAL, M.NORMAL = 0, 1

local ROUTE_MAX = 63
local OPTIONS = {paths = true, ports = true, fn = true, budget = true}

-- The number of a priority; raises.
function M.number(name, what, level)
  local number = NUMBERS[name]
  if not number then
    error(("%s must be 'critical' or 'normal' or 'background', not %s"):format(what,
      type(name) == "string" and "'" .. name .. "'" or "a " .. type(name)), level + 1)
  end
  return number
end

-- ---- the option ---------------------------------------------------------------------------------

local function check_path(path, name, level)
  local what = ("classify.paths[%q]"):format(tostring(path))
  if type(path) ~= "string" or path:sub(1, 1) ~= "/" or path:find "[%z\1-\32?#\127]"
    or path:find("*", 1, true) and path:find("*", 1, true) < #path then
    error(what .. ': a path such as "/pay" or "/bulk/*" expected', level + 1)
  elseif #path > ROUTE_MAX then
    error(("%s: at most %d bytes expected"):format(what, ROUTE_MAX), level + 1)
  end
  M.number(name, what, level + 1)
end

-- Raises when `classify` is no such option.
function M.check(classify, level)
  if classify == nil then
    return
  end
  for name in pairs(classify) do
    if not OPTIONS[name] then
      error(("unknown option 'classify.%s'"):format(tostring(name)), level + 1)
    end
  end
  for _, name in ipairs{"paths", "ports"} do
    if classify[name] ~= nil and type(classify[name]) ~= "table" then
      error(("classify.%s: table expected"):format(name), level + 1)
    end
  end
  for path, name in pairs(classify.paths or {}) do
    check_path(path, name, level + 1)
  end
  for port, name in pairs(classify.ports or {}) do
    if type(port) ~= "number" or port % 1 ~= 0 or port < 1 or port > 65535 then
      error("classify.ports: numbers of ports expected", level + 1)
    end
    M.number(name, ("classify.ports[%d]"):format(port), level + 1)
  end
  if classify.fn ~= nil and type(classify.fn) ~= "function" then
    error("classify.fn: function expected", level + 1)
  end
  local budget = classify.budget
  if budget ~= nil and not (type(budget) == "number" and budget > 0) then
    error("classify.budget: a number of messages a second, more than 0, expected", level + 1)
  end
end

-- {{path, is_prefix, number}, ...}
local function routes_of(paths)
  local routes = {}
  for path, name in pairs(paths or {}) do
    local prefix = path:match "^(.*)%*$"
    routes[#routes + 1] = {prefix or path, prefix ~= nil, NUMBERS[name]}
  end
  return routes
end

-- What the core asks, with the answer as a number. `conn_of(slot, task)` finds the connection.
local function asker(fn, conn_of)
  return function(bytes, slot, handler)
    local name = fn(bytes, conn_of(slot, handler))
    if name == nil then
      return nil
    end
    return NUMBERS[name] or error(("classify.fn: 'critical', 'normal', 'background' or nil "
      .. "expected, not %s"):format(tostring(name)), 0)
  end
end

local function port_of(address)
  return tonumber(address:match ":(%d+)$")
end

--- Make the classifier of a server, for the connections that it claims as `owner`; they begin with
-- the class of its port.
-- @local
-- @tparam integer owner
-- @tparam table classify the option
-- @tparam string address the server's
-- @tparam fun(slot:integer,task:integer) conn_of
-- @tparam function failed called with the errors of `classify.fn`
-- @treturn userdata of the core
function M.classifier(owner, classify, address, conn_of, failed)
  local port = port_of(address)
  local base = port and classify.ports and classify.ports[port]
  return core.net_classifier(owner, NUMBERS[base or "normal"], routes_of(classify.paths),
    classify.fn and asker(classify.fn, conn_of) or nil, classify.budget, failed)
end

-- What a classifier has counted: a new table.
function M.counts(classifier)
  local critical, normal, background, over = core.net_classifier_counts(classifier)
  return {critical = critical, normal = normal, background = background, over = over}
end

return M
