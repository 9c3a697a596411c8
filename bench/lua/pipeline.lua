-- SPDX-License-Identifier: MIT
-- A script of wrk: 16 requests in one write.

local text

function init() -- luacheck: ignore 111
  text = wrk.format(nil, "/"):rep(16) -- luacheck: ignore 113
end

function request() -- luacheck: ignore 111
  return text
end
