-- SPDX-License-Identifier: MIT
-- The load of the soak that needs no network: failures, scopes, channels, select, timers, locks,
-- coroutines of one's own. Each function is one scenario.

local rl = require "ringlet"
local EXPECTED = require "spec.soak.servers".EXPECTED

local random = math.random

local M = {}

local function pause()
  rl.sleep(random(4) / 2000)
end

function M.failures()
  local ok, err = rl.go(function() pause() error(EXPECTED) end):join()
  assert(ok == false and err:find(EXPECTED, 1, true))
  rl.go(function() error(EXPECTED) end)
end

function M.failing_scope()
  local ok, err = pcall(rl.scope, function(s)
    s:go(rl.sleep, 100)
    s:go(function() pause() error(EXPECTED) end)
  end)
  assert(not ok and err:find(EXPECTED, 1, true), err)
end

function M.nested_timeouts()
  local ok, _, code = rl.timeout(0.005, function()
    rl.timeout(100, function() rl.scope(function(s) s:go(rl.sleep, 100) end) end)
  end)
  assert(ok == nil and code == "ETIMEDOUT", code)
  assert(rl.timeout(100, pause))
end

function M.pipeline()
  local first, second, sum = rl.chan(random(0, 3)), rl.chan(), 0
  rl.go(function()
    for i = 1, 50 do first:send(i) end
    first:close()
  end)
  rl.go(function()
    for v in first:iter() do second:send(v * 2) end
    second:close()
  end)
  for v in second:iter() do sum = sum + v end
  assert(sum == 2550, sum)
end

function M.select_and_cancel()
  local a, b, done, got = rl.chan(), rl.chan(1), rl.event(), 0
  local chooser = rl.go(function()
    while true do
      rl.select{{a}, {b}, {send = a, 1}, {done}}
      got = got + 1
    end
  end)
  for i = 1, random(10) do
    a:send(i, 0.001)
    b:try_send(i)
    rl.select({{a}, {rl.after(0.001)}}, 0.002)
  end
  chooser:cancel()
  chooser:join()
  a:close()
  b:close()
end

function M.waits_cancelled()
  local waits = {
    function() rl.chan():recv() end, function() rl.chan():send(1) end, function() rl.sleep(100) end,
    function() rl.event():wait() end, function() rl.after(0.5):wait() end,
    function() rl.select{{rl.chan()}, {rl.after(0.5)}} end,
    function() rl.semaphore(0):acquire(1) end, function() rl.barrier(2):wait() end,
    function() rl.scope(function(s) s:go(rl.sleep, 100) end) end,
    function() rl.shield(pause) rl.sleep(100) end,
  }
  local tasks = {}
  for i, fn in ipairs(waits) do
    tasks[i] = rl.go(fn)
  end
  pause()
  for _, task in ipairs(tasks) do
    task:cancel("soak")
  end
  for _, task in ipairs(tasks) do
    local ok, err = task:join(10)
    assert(ok == false and rl.is_cancel(err), err)
  end
end

function M.timers()
  local ticker, stopped = rl.ticker(0.001), rl.after(100)
  for _ = 1, random(4) do
    assert(ticker:recv(10))
  end
  ticker:stop()
  stopped:stop()
  rl.after(0.001) -- and forgotten
end

function M.locks()
  local mutex, inside, group = rl.mutex(), 0, rl.waitgroup()
  for i = 1, 8 do
    group:add(1)
    local task = rl.go(function()
      rl.finally(function()
        mutex:with(function()
          inside = inside + 1
          assert(inside == 1)
          rl.finally(pause, function() inside = inside - 1 end)
        end)
      end, function() group:done() end)
    end)
    if i % 3 == 0 then
      pause()
      task:cancel()
    end
  end
  group:wait()
end

function M.map_and_race()
  local squares = rl.map({1, 2, 3, 4, 5}, function(x) pause() return x * x end, {limit = 2})
  assert(squares[5] == 25)
  rl.race{function() rl.sleep(100) end, function() pause() return 1 end}
end

function M.generators()
  local sum = 0
  local numbers = coroutine.wrap(function()
    for i = 1, 5 do
      pause()
      coroutine.yield(i)
    end
  end)
  for _ = 1, 5 do sum = sum + numbers() end
  assert(sum == 15)
  local abandoned = coroutine.wrap(function() coroutine.yield(rl.yield()) end)
  abandoned()
end

-- Long enough to be preempted where the VM allows it.
function M.hog()
  local till, n = rl.now() + 0.015, 0
  while rl.now() < till do
    n = n + #tostring(n)
  end
end

function M.swallowed()
  local swallowed = 0
  local task = rl.go(function()
    while swallowed < 3 do
      if not pcall(rl.sleep, 100) then
        swallowed = swallowed + 1
      end
    end
  end)
  rl.yield()
  task:cancel()
  task:join()
  assert(swallowed == 3)
end

return M
