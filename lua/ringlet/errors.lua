-- SPDX-License-Identifier: MIT
-- errors: error values with a message and a code, and rl.check, which raises them.

local M = {}

local Error = {__name = "ringlet.error"}

function Error.__tostring(err)
  return err.message
end

--- An error value whose tostring is msg.
function M.new(msg, code)
  return setmetatable({message = tostring(msg), code = code}, Error)
end

--- Its arguments, if the first is true; raises an error whose tostring is msg otherwise.
-- @param v
-- @param msg
-- @param code
-- @return its arguments
function M.check(...)
  local v, msg, code = ...
  if v == nil or v == false then
    error(M.new(msg == nil and "check failed" or msg, code), 0)
  end
  return ...
end

--- The code of an error value, if it has one.
-- @param err any value
-- @treturn ?string
function M.code(err)
  if getmetatable(err) == Error then
    return err.code
  end
end

return M
