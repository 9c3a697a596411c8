-- SPDX-License-Identifier: MIT
local rl = require "ringlet"
local H = require "spec.helper"

-- Is an object gone after `use(object)`? It lives on the stack of a task of its own, which ends:
-- stale slots of a living stack may keep anything alive. So may compiled code, which has immutable
-- upvalues as constants: there is none. What it started may have been preempted, and end later.
local function is_released(use)
  if H.jit then
    require("jit").off()
    require("jit").flush()
  end
  local weak = setmetatable({}, {__mode = "v"})
  local ok, err = rl.go(function()
    local object = {}
    weak[1] = object
    use(object)
  end):join()
  assert(ok, err)
  if H.jit then
    require("jit").on()
  end
  H.eventually("it is gone", function()
    rl.yield()
    H.collect()
    return weak[1] == nil or rl.sleep(0.3)
  end)
  return true
end

H.both("nothing is retained", function(it)
  it("by a channel after a receive", function()
    for _, cap in ipairs{0, 1, 5} do
      local ch = rl.chan(cap)
      assert.is_true(is_released(function(object)
        rl.go(function(o) ch:send(o) end, object)
        assert.equal(object, (ch:recv()))
      end))
      ch:close()
    end
  end)

  it("by a channel after a try_recv, anywhere in its ring", function()
    local ch = rl.chan(3)
    for _ = 1, 7 do
      assert.is_true(is_released(function(object)
        ch:send(object)
        ch:try_recv()
      end))
    end
  end)

  it("by a channel that dropped it", function()
    local ch = rl.chan(1, {overflow = "drop_oldest"})
    assert.is_true(is_released(function(object)
      ch:send(object)
      ch:send("newer")
    end))
    local newest = rl.chan(1, {overflow = "drop_newest"})
    newest:send("older")
    assert.is_true(is_released(function(object) newest:send(object) end))
  end)

  it("by a send that timed out or was cancelled", function()
    local ch = rl.chan()
    assert.is_true(is_released(function(object) ch:send(object, 0.001) end))
    assert.is_true(is_released(function(object)
      local task = rl.go(function(o) ch:send(o) end, object)
      rl.yield()
      task:cancel()
      task:join()
    end))
  end)

  it("by a select whose case did not fire", function()
    local a, b = rl.chan(1), rl.chan()
    assert.is_true(is_released(function(object)
      a:send(true)
      rl.select{{a}, {send = b, object}}
    end))
  end)

  it("by a parked select that ended", function()
    local a, b = rl.chan(), rl.chan()
    assert.is_true(is_released(function(object)
      local task = rl.go(function(o) rl.select{{a}, {send = b, o}} end, object)
      rl.yield()
      a:send(true)
      task:join()
    end))
  end)

  it("by a task that ended: function, arguments, results", function()
    assert.is_true(is_released(function(object)
      rl.go(function(o) rl.yield() return o end, object):join()
    end))
    assert.is_true(is_released(function(object)
      rl.go(function() rl.yield() assert(object) end):join()
    end))
  end)

  it("by a task that failed", function()
    rl.on_error(function() end) -- it may fail before it is joined
    assert.is_true(is_released(function(object)
      rl.go(function() rl.yield() error(object) end):join()
    end))
  end)

  it("by a task nobody joined", function()
    assert.is_true(is_released(function(object)
      rl.go(function(o) rl.yield() return o end, object)
      rl.yield()
      rl.yield()
    end))
  end)

  it("by a task that was cancelled", function()
    assert.is_true(is_released(function(object)
      local task = rl.go(function(o) rl.sleep(1000) return o end, object)
      rl.yield()
      task:cancel(object)
      task:join()
    end))
  end)

  it("by locals and labels of an ended task", function()
    assert.is_true(is_released(function(object)
      rl.go(function()
        rl.locals().x = object
        rl.yield()
      end):join()
    end))
  end)

  it("by a scope that was left", function()
    assert.is_true(is_released(function(object)
      rl.scope(function(s)
        s:go(function(o) rl.yield() return o end, object)
        return object
      end)
      pcall(rl.scope, function() error(object) end)
    end))
  end)

  it("by a timeout that was left", function()
    assert.is_true(is_released(function(object)
      rl.timeout(1000, function(o) return o end, object)
      rl.timeout(0.001, function(o) rl.sleep(1000) return o end, object)
    end))
  end)

  it("by map", function()
    assert.is_true(is_released(function(object)
      rl.map({object, object}, function(o) rl.yield() return o end)
    end))
  end)

  it("of channels, events and timers themselves", function()
    for _, make in ipairs{rl.chan, rl.event, rl.mutex, rl.waitgroup,
      function() return rl.after(0.001) end} do
      local weak = setmetatable({}, {__mode = "v"})
      local function scope()
        weak[1] = make()
      end
      scope()
      rl.sleep(0.003)
      H.collect()
      assert.is_nil(weak[1])
    end
  end)
end)

H.both("memory is bounded", function(it)
  -- `n` calls of `fn` leave no more than 110 KB behind, after a warm-up.
  local function check(n, fn)
    for i = 1, 1000 do
      fn(i)
    end
    local before = H.kilobytes()
    for i = 1, H.rounds(n) do
      fn(i)
    end
    local grown = H.kilobytes() - before
    assert.is_true(grown <= 110, ("grew by %.0f KB"):format(grown))
  end

  it("over 100,000 selects", function()
    local a, b = rl.chan(1), rl.chan(1)
    local cases = {{a}, {b}, {send = b, 1}}
    check(100000, function() rl.select(cases, 0) end)
  end, {timeout = 0})

  it("over 100,000 parked selects", function()
    local a, b, stop = rl.chan(), rl.chan(), false
    local task = rl.go(function()
      while not stop do
        a:send(1)
      end
      a:close()
    end)
    local cases = {{a}, {b}}
    check(100000, function() rl.select(cases) end)
    stop = true
    for _ in a:iter() do end -- luacheck: ignore
    task:join()
  end, {timeout = 0})

  it("over 100,000 tasks", function()
    check(100000, function() rl.go(rl.yield):join() end)
  end, {timeout = 0})

  it("over 10,000 failed tasks", function()
    -- A task that fails while its creator is preempted, just before it joins, is reported.
    rl.on_error(function() end)
    check(10000, function() rl.go(function() error("x", 0) end):join() end)
  end, {timeout = 0})

  it("over 10,000 cancelled tasks", function()
    check(10000, function()
      local task = rl.go(rl.sleep, 1000)
      rl.yield()
      task:cancel()
      task:join()
    end)
  end, {timeout = 0})

  it("over 100,000 timeouts that did not fire", function()
    check(100000, function() rl.timeout(1000, function() end) end)
  end, {timeout = 0})

  it("over 10,000 recvs that timed out", function()
    local ch = rl.chan()
    check(10000, function() ch:recv(0) rl.yield() end)
  end, {timeout = 0})

  it("over 10,000 events waited for in vain", function()
    local ev = rl.event()
    check(10000, function() ev:wait(0) end)
  end, {timeout = 0})

  it("over 10,000 scopes with children", function()
    check(10000, function()
      rl.scope(function(s) s:go(rl.yield) s:go(rl.yield) end)
    end)
  end, {timeout = 0})

  it("over 10,000 timers", function()
    check(10000, function() rl.after(1000):stop() end)
  end, {timeout = 0})
end)

describe("memory of runs", function()
  it("is given back when they end", function()
    local function once()
      H.run(function()
        for _ = 1, 100 do
          rl.go(rl.sleep, 1)
        end
      end)
    end
    for _ = 1, 10 do
      once()
    end
    local before = H.kilobytes()
    for _ = 1, H.rounds(200, 10) do
      once()
    end
    assert.is_true(H.kilobytes() - before <= 110)
  end)
end)

H.sim("under a collection at every step", function(it)
  it("channels, selects and timeouts work", function()
    local ch, out = rl.chan(2), {}
    local producer = rl.go(function()
      for i = 1, 30 do
        ch:send({i})
        collectgarbage()
      end
      ch:close()
    end)
    while true do
      local i, v, _, code = rl.select({{ch}, {rl.chan()}}, 10)
      collectgarbage()
      assert.equal(1, i)
      if code == "ECLOSED" then
        break
      end
      out[#out + 1] = v[1]
    end
    assert.is_true((producer:join()))
    assert.equal(30, #out)
  end)

  it("tasks nobody holds a handle of end", function()
    local ended = 0
    for _ = 1, 20 do
      rl.go(function()
        collectgarbage()
        rl.sleep(1)
        collectgarbage()
        ended = ended + 1
      end)
    end
    collectgarbage()
    rl.sleep(2)
    assert.equal(20, ended)
  end)

  it("handles of ended tasks stay good", function()
    local tasks = {}
    for i = 1, 20 do
      tasks[i] = rl.go(function() return i end)
    end
    rl.yield()
    rl.yield()
    for i = 1, 20 do
      collectgarbage()
      assert.same({true, i}, {tasks[i]:join()})
    end
  end)
end)
