-- SPDX-License-Identifier: MIT
-- websocket_extensions: the header field Sec-WebSocket-Extensions, read (RFC 6455 section 9.1).

local M = {}

local TOKEN = "^([%w!#$%%&'*+%-.^_`|~]+)[ \t]*()"

-- Reads the value of a parameter at `at`, a token or one in quotes: the value and where it ends.
local function value_at(text, at)
  if text:sub(at, at) ~= '"' then
    return text:match(TOKEN, at)
  end
  local quoted, after = text:match('^"([^"\\]*)"[ \t]*()', at)
  if quoted and quoted:find "^[%w!#$%%&'*+%-.^_`|~]+$" then
    return quoted, after
  end
end

-- Reads the parameters of an extension behind its name: where they end, or nil.
local function params_at(text, at, params)
  while text:sub(at, at) == ";" do
    local name, value
    name, at = text:match(TOKEN, text:match("^;[ \t]*()", at))
    if not name then
      return nil
    end
    if text:sub(at, at) == "=" then
      value, at = value_at(text, text:match("^=[ \t]*()", at))
      if not value then
        return nil
      end
    end
    params[#params + 1] = {name = name, value = value}
  end
  return at
end

-- {{name=, params={{name=, value=}}}} in order; nil when it is malformed.
function M.read(text)
  local list, at = {}, 1
  while true do
    at = text:match("^[ \t,]*()", at)
    if at > #text then
      return list
    end
    local name
    name, at = text:match(TOKEN, at)
    if not name then
      return nil
    end
    local one = {name = name, params = {}}
    at = params_at(text, at, one.params)
    if not at or not text:find("^,", at) and at <= #text then
      return nil
    end
    list[#list + 1] = one
  end
end

return M
