-- SPDX-License-Identifier: MIT
-- http_handler: a handler that is a module, for servers that are given its name: each shard has its
-- own, with its own count.
local rl = require "ringlet"

local count = 0

return function(_, res)
  count = count + 1
  res:send(200, ("%d on %d"):format(count, rl.shard()))
end
