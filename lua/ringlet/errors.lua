-- SPDX-License-Identifier: MIT
-- errors: error values with a message and a code, and rl.check, which raises them.

--- From `nil, message, code` to an error and back.
-- @module ringlet
-- @section Errors

local travel = require "ringlet.travel"

local M = {}

--- What `rl.check` raises. Its `tostring` is the message.
-- @type error
-- @tfield string message
-- @tfield ?string code "ENAME"
local Error = {__name = "ringlet.error"}

travel.register_type("ringlet.error", Error)

function Error.__tostring(err)
  return err.message
end

-- An error value whose tostring is msg.
function M.new(msg, code)
  return setmetatable({message = tostring(msg), code = code}, Error)
end

--- Return all arguments if the first is true, else raise: `rl.check(net.connect(addr))`.
-- @param ... a value, a message and a code, as functions return them
-- @return ... the arguments
-- @raise an error, whose `tostring` is the message and whose `rl.code` is the code
function M.check(...)
  local v, msg, code = ...
  if v == nil or v == false then
    error(M.new(msg == nil and "check failed" or msg, code), 0)
  end
  return ...
end

--- The code of an error that `check` raised.
-- @tparam any err any value
-- @treturn ?string "ENAME"; nil for other values
function M.code(err)
  if getmetatable(err) == Error then
    return err.code
  end
end

return M
