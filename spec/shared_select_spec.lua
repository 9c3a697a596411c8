-- SPDX-License-Identifier: MIT
-- Selects of shared channels alone. Their many rounds take long enough for a process of their own.
local rl = require "ringlet"
local shared = require "ringlet.shared"

local kind = setmetatable({chan = shared.chan}, {__index = rl})

require "spec.select_cases"("select of shared channels", kind)
