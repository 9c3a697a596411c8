-- SPDX-License-Identifier: MIT
-- Selects of shared channels beside those of one shard.
local rl = require "ringlet"
local shared = require "ringlet.shared"

-- Every second channel is of this shard alone.
local made = 0
local function either(...)
  made = made + 1
  return (made % 2 == 0 and rl.chan or shared.chan)(...)
end

require "spec.select_cases"("select of both kinds", setmetatable({chan = either}, {__index = rl}))
