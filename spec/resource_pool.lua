-- SPDX-License-Identifier: MIT
-- What the specs of resource pools share.
local assert = require "luassert"
local rl = require "ringlet"

local M = {}

-- A pool whose resources are tables {n}, and what became of them: `log` has "open 1", "close 1
-- idle" and so on, `live` is how many are open.
function M.new(opts)
  local seen = {log = {}, live = 0, peak = 0, opened = 0}
  local all = {
    open = function()
      seen.live = seen.live + 1
      seen.peak = math.max(seen.peak, seen.live)
      if seen.open_time then
        rl.sleep(seen.open_time)
      end
      if seen.failing then
        seen.live = seen.live - 1
        return nil, "EX: no", "EX"
      end
      seen.opened = seen.opened + 1
      seen.log[#seen.log + 1] = "open " .. seen.opened
      return {seen.opened}
    end,
    close = function(res, why)
      seen.live = seen.live - 1
      seen.log[#seen.log + 1] = ("close %d %s"):format(res[1], why)
    end,
  }
  for k, v in pairs(opts or {}) do all[k] = v end
  return rl.resources(all), seen
end

-- Close it and see that nothing is left.
function M.finish(pool, seen)
  assert.is_true(pool:close(30))
  assert.equal(0, seen.live)
  local s = pool:stats()
  assert.same({0, 0, 0, 0}, {s.open, s.opening, s.closing, s.waiting})
end

function M.turns(n)
  for _ = 1, n or 3 do rl.yield() end
end

function M.fails(code, v, msg, got)
  assert.same({nil, "string", code}, {v, type(msg), got})
end

return M
