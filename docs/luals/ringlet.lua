---@meta ringlet
-- SPDX-License-Identifier: MIT
-- Written by tools/stubs from lua/ringlet/init.lua; edit that.

---Tasks, channels, select, timers and scopes on io_uring.
---
---    local rl = require "ringlet"
---    rl.run(function()
---      local ch = rl.chan()
---      rl.go(function() ch:send("hello") end)
---      print(ch:recv())
---    end)
---
---Expected failure is `nil, "ENAME: message", "ENAME"`; misuse raises. Times are seconds.
---@class ringlet
local M = {}

return M
