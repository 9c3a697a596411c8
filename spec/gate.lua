-- SPDX-License-Identifier: MIT
-- gate: a place where a call, on whichever shard, says that it has come and waits until it may go
-- on. So specs hold something up for as long as they look, not for a time that may be over.

local shared = require "ringlet.shared"

local M = {}

--- One that is shut. It travels.
function M.new()
  return {came = shared.chan(100), opened = shared.chan()}
end

--- Say so, and wait.
function M.pass(gate)
  gate.came:send(true)
  gate.opened:recv()
end

--- Wait until somebody has come.
function M.reached(gate)
  gate.came:recv()
end

--- Let everybody go on.
function M.open(gate)
  gate.opened:close()
end

return M
