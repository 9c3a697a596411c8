-- SPDX-License-Identifier: MIT
-- steps_select: select over all kinds of cases.

local rl = require "ringlet"

local S = {}

local KINDS = {"recv", "send", "event", "waitgroup", "timer", "task", "off"}
local WEIGHTS = {recv = 8, send = 6, event = 2, waitgroup = 1, timer = 2, task = 2, off = 2}

local function gen_case(ctx)
  local kind = ctx.r:weighted(KINDS, WEIGHTS)
  if kind == "off" then
    return {kind = kind}
  elseif kind == "task" then
    return {kind = kind, which = ctx.r:int(1, 20)}
  end
  return {kind = kind, o = ctx:object((kind == "recv" or kind == "send") and "chan" or kind)}
end

-- The case as select wants it, and as the history shows it.
local function make(w, case)
  if case.kind == "send" then
    local v = w:fresh()
    return {send = w.objects[case.o], v}, {"send", case.o, v}
  elseif case.kind == "task" then
    local it = w.handles[(case.which - 1) % math.max(1, #w.handles) + 1]
    if not it or it.tid == w:tid() then
      return false, {"off"}
    end
    return {it.handle}, {"task", it.tid}
  elseif case.kind == "off" then
    return false, {"off"}
  end
  return {w.objects[case.o]}, {case.kind, case.o}
end

local function gen(ctx)
  local cases = {}
  for i = 1, ctx.r:int(1, 5) do
    cases[i] = gen_case(ctx)
  end
  return {cases = cases, ordered = ctx.r:chance(0.3), t = ctx:timeout() or 0.05,
    n = ctx.r:int(1, 2)}
end

S.select = {weight = 14, gen = gen, leaf = true,
  run = function(w, s)
    for _ = 1, s.n do
      local cases, shown = {ordered = s.ordered or nil}, {}
      for i, case in ipairs(s.cases) do
        cases[i], shown[i] = make(w, case)
      end
      w:step("select", {cases = shown, ordered = s.ordered, t = s.t}, rl.select, cases, s.t)
    end
  end}

-- A ticker as a case, beside a channel: the ticker is this task's own.
S["select.ticker"] = {weight = 2,
  gen = function(ctx)
    return {o = ctx:object "chan", period = ctx.r:pick {0.002, 0.005, 0.02}, n = ctx.r:int(1, 3)}
  end,
  run = function(w, s)
    local ticker
    w.last_ticker = (w.last_ticker or 0) + 1
    local o = "ticker" .. w.last_ticker
    w:call("ticker", {o = o, t = s.period}, function()
      ticker = rl.ticker(s.period)
      w.alarms[#w.alarms + 1] = ticker
    end)
    local cases = {{ticker}, {w.objects[s.o]}}
    for _ = 1, s.n do
      local shown = {{"ticker", o}, {"recv", s.o}}
      w:step("select", {cases = shown, ordered = false, t = 0.1}, rl.select, cases, 0.1)
    end
    w:step("ticker.stop", {o = o}, ticker.stop, ticker)
  end}

return S
