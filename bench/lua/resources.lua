-- SPDX-License-Identifier: MIT
-- Resource pools: what it costs to borrow an idle resource and to give it back.

local lib = dofile((arg[0]:match "^.*/" or "") .. "lib.lua")
local rl = lib.rl

local function rounds(pool, n)
  for _ = 1, n do
    local res = pool:acquire()
    pool:release(res)
  end
end

--- acquire and release by one task: nobody waits.
local function alone()
  local n = lib.scaled(10000000)
  local pool = rl.resources {open = function() return {} end}
  rounds(pool, 100000)
  local watch = lib.start()
  rounds(pool, n)
  watch.per_op("resources", n)
  lib.check(pool:stats().opened == 1, "one resource is enough")
  pool:close()
end

--- The same with a check that does not park.
local function checked()
  local n = lib.scaled(2000000)
  local pool = rl.resources {
    open = function() return {} end, check = function(res) return res end,
  }
  rounds(pool, 100000)
  local watch = lib.start()
  rounds(pool, n)
  watch.per_op("resources_checked", n)
  pool:close()
end

--- Eight tasks for four resources: each release hands over to one that waits.
local function contended()
  local n, tasks = lib.scaled(2000000), 8
  local pool = rl.resources {open = function() return {} end, max = 4}
  local function work(turns)
    for _ = 1, turns do
      local res = pool:acquire()
      rl.yield()
      pool:release(res)
    end
  end
  local watch = lib.start()
  rl.scope(function(s)
    for _ = 1, tasks do
      s:go(work, n / tasks)
    end
  end)
  watch.per_op("resources_contended", n)
  lib.check(pool:stats().opened == 4, "four resources are enough")
  pool:close()
end

lib.main {
  resources = function()
    alone()
    checked()
    contended()
  end,
}
