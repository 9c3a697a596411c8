-- SPDX-License-Identifier: MIT
-- steps_time: sleep and yield, timers that tasks share, tickers of one task.

local rl = require "ringlet"

local S = {}

local function some_time(ctx)
  return ctx.r:pick {0.001, 0.002, 0.005, 0.01, 0.02, 0.05}
end

S.sleep = {weight = 8, leaf = true,
  gen = function(ctx)
    return {t = ctx.r:chance(0.1) and 0 or some_time(ctx)}
  end,
  run = function(w, s)
    w:step("sleep", {t = s.t}, rl.sleep, s.t)
  end}

S.yield = {weight = 5, leaf = true,
  gen = function() return {} end,
  run = function(w)
    w:step("yield", {}, rl.yield)
  end}

S.after = {setup = true,
  run = function(w, s)
    w:call("after", {o = s.o, t = s.t}, function()
      w.objects[s.o] = rl.after(s.t)
      w.alarms[#w.alarms + 1] = w.objects[s.o]
    end)
  end}

S["timer.wait"] = {weight = 3,
  gen = function(ctx) return {o = ctx:object "timer", t = ctx:timeout() or 0.1} end,
  run = function(w, s)
    local x = w.objects[s.o]
    w:step("timer.wait", {o = s.o, t = s.t}, x.wait, x, s.t)
  end}

S["timer.stop"] = {weight = 1, leaf = true,
  gen = function(ctx) return {o = ctx:object "timer"} end,
  run = function(w, s)
    w:step("timer.stop", {o = s.o}, w.objects[s.o].stop, w.objects[s.o])
  end}

S["timer.reset"] = {weight = 2, leaf = true,
  gen = function(ctx) return {o = ctx:object "timer", t = some_time(ctx)} end,
  run = function(w, s)
    w:step("timer.reset", {o = s.o, t = s.t}, w.objects[s.o].reset, w.objects[s.o], s.t)
  end}

-- A ticker belongs to the task that made it.
S.ticker = {weight = 3,
  gen = function(ctx)
    return {t = ctx.r:pick {0.002, 0.005, 0.01, 0.03}, waits = ctx.r:int(1, 4),
      pause = some_time(ctx), reset = ctx.r:chance(0.3) and some_time(ctx) or nil,
      limit = ctx:timeout()}
  end,
  run = function(w, s)
    local ticker
    w.last_ticker = (w.last_ticker or 0) + 1
    local o = "ticker" .. w.last_ticker
    w:call("ticker", {o = o, t = s.t}, function()
      ticker = rl.ticker(s.t)
      w.alarms[#w.alarms + 1] = ticker
    end)
    for i = 1, s.waits do
      w:step("ticker.wait", {o = o, t = s.limit}, ticker.wait, ticker, s.limit)
      if i == 2 then
        w:step("sleep", {t = s.pause}, rl.sleep, s.pause)
        if s.reset then
          w:step("ticker.reset", {o = o, t = s.reset}, ticker.reset, ticker, s.reset)
        end
      end
    end
    w:step("ticker.stop", {o = o}, ticker.stop, ticker)
  end}

return S
