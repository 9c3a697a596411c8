-- SPDX-License-Identifier: MIT
-- fail: from the negative codes of the C core to what users see: `nil, "ENAME: text", "ENAME"`, or
-- the raise of a cancellation. Every wrapper of a parking call ends in it.

local core = require "ringlet.core"

local messages, names = {}, {}

--- Turn a code into failure values; raises the cancel error for the cancel code.
-- @tparam integer code negative
-- @treturn nil
-- @treturn string "ENAME: text"
-- @treturn string "ENAME"
return function(code)
  if code == core.ECANCEL then
    require("ringlet.cancel").raise()
  end
  local msg = messages[code]
  if not msg then
    messages[code], names[code] = core.errmsg(code)
    msg = messages[code]
  end
  return nil, msg, names[code]
end
