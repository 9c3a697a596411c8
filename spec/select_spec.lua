-- SPDX-License-Identifier: MIT
local rl = require "ringlet"

require "spec.select_cases"("select", rl)
