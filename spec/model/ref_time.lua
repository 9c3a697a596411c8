-- SPDX-License-Identifier: MIT
-- ref_time: what sleeping, timers and tickers mean.
--
-- A timer has arms: {from, due, to}; it fires at its due time, at most a tick late, unless it was
-- stopped or armed anew before (at `to`). A ticker has beats, at start + k * period: a tick shows
-- at a beat, or a tick late; one is kept for whoever comes late, and no beat is shown twice.

local ref = require "spec.model.reference"

local Model, ok = ref.Model, ref.ok
local EPS, TICK, FOREVER = Model.EPS, Model.TICK, Model.FOREVER

local calls, rets = {}, {}

function calls.sleep(m, c)
  if c.t <= 0 then
    m:park({op = c.op, task = c.task, at = c.at, ret = c.ret}, {})
    m.open[c.task] = nil
    m:expect(c, ok())
    return
  end
  m:park(c, {}, {
    fires = function(r)
      return r.kind == "ok" and c.at + c.t
    end,
    accept = function(r)
      m:check(r.at >= c.at + c.t - EPS, "sleep ended %.6f s early", c.at + c.t - r.at)
      m:check(r.at <= c.at + c.t + TICK + EPS, "sleep ended %.6f s late", r.at - c.at - c.t)
    end,
  })
  m.open[c.task].due = c.at + c.t
end

-- A task that yields is ready already: a cancellation shows at the next park, or not at all here.
function calls.yield(m, c)
  m:expect(c, ok())
end

-- ---- timers -------------------------------------------------------------------------------------

local function arm(m, x, t)
  x.arm = {from = m.now, due = m.now + math.max(t, 0), to = FOREVER}
  x.arms[#x.arms + 1] = x.arm
end

function calls.after(m, c)
  local x = {arms = {}, timer = true}
  m.objects[c.o] = x
  arm(m, x, c.t)
end

-- Has it fired and is that still to be seen?
function Model:timer_state(x)
  if not x.arm then
    return "no"
  elseif self.now > x.arm.due + TICK + EPS then
    return "yes"
  end
  return self.now >= x.arm.due - EPS and "maybe" or "no"
end

-- A wait gave the time v at which x fired: could it?
function Model:clock_fired(c, r, x, v)
  if not x.timer then
    return self:ticked(c, r, x, v)
  end
  self:check(type(v) == "number" and v <= r.at + EPS, "a timer gave %s", tostring(v))
  for _, a in ipairs(x.arms) do
    if v >= a.due - EPS and v <= a.due + TICK + EPS and v <= a.to + EPS and a.to >= c.at - EPS then
      self:check(math.max(v, c.at) >= r.at - EPS, "a timer's waiter was woken late")
      return
    end
  end
  self:fail("a timer fired at %.6f, when it was not due", v)
end

-- Did it return what it waited for, without waiting?
local function at_once(c)
  return c.ret and c.ret.kind == "ok" and c.ret.at <= c.at + EPS
end

-- It was waited for from c.at to `at` in vain: could it be?
local function waited_in_vain(m, c, x, at)
  for _, a in ipairs(x.arms) do
    local fired = a.due + TICK + EPS
    m:check(not (fired < a.to - EPS and fired < at - EPS and a.to > c.at + EPS),
      "a timer was due at %.6f, and a wait for it from %.6f to %.6f timed out", a.due, c.at, at)
  end
end

calls["timer.wait"] = function(m, c)
  local x = m.objects[c.o]
  local state = m:timer_state(x)
  local function fired(r)
    m:check(r.kind == "ok", "a wait for a timer that has fired gave %s", r.kind)
    m:clock_fired(c, r, x, r[1])
  end
  if state == "yes" or state == "maybe" and at_once(c) then
    m:expect(c, fired)
  elseif not m:refuses(c) then
    m:park(c, {}, {fires = function(r)
      return r.kind == "ok" and r[1]
    end, accept = fired})
  end
end

rets["timer.wait"] = function(m, c, r)
  if r.code == "ETIMEDOUT" and c.t > 0 then
    waited_in_vain(m, c, m.objects[c.o], c.at + c.t)
  end
end

-- Stop: was it pending?
local function stop(m, x)
  local state = x.arm and m:timer_state(x) or "yes"
  if x.arm then
    x.arm.to = m.now
  end
  x.arm = nil
  return function(r)
    m:check(r.kind == "ok" and (state == "maybe" or r[1] == (state == "no")),
      "a timer says it was%s pending", r[1] and "" or " not")
  end
end

calls["timer.stop"] = function(m, c)
  m:expect(c, stop(m, m.objects[c.o]))
end

calls["timer.reset"] = function(m, c)
  local x = m.objects[c.o]
  m:expect(c, stop(m, x))
  arm(m, x, c.t)
end

-- ---- tickers ------------------------------------------------------------------------------------

local function start(m, x, t)
  x.period, x.start, x.last = t, m.now, 0
end

function calls.ticker(m, c)
  local x = {}
  m.objects[c.o] = x
  start(m, x, c.t)
  m:expect(c, ok())
end

-- The number of the last beat at or before a time.
local function beat(x, at)
  return math.floor((at - x.start) / x.period + EPS)
end

-- The next beat to be shown is number last + 1, or a later one.
function Model:ticker_state(x)
  local due = x.start + (x.last + 1) * x.period
  if self.now > due + TICK + EPS then
    return "yes"
  end
  return self.now >= due - EPS and "maybe" or "no"
end

function Model:ticked(c, r, x, v)
  self:check(type(v) == "number" and v <= r.at + EPS, "a ticker gave %s", tostring(v))
  local k = beat(x, v)
  self:check(k > x.last, "a ticker showed a beat twice, or one that was not due")
  self:check(v - (x.start + k * x.period) <= TICK + EPS, "a tick %.6f s behind its beat",
    v - (x.start + k * x.period))
  self:check(k == x.last + 1, "a ticker left out a beat")
  self:check(math.max(v, c.at) >= r.at - EPS, "a ticker's waiter was woken late")
  -- Beats that passed before this one was taken are dropped.
  x.last = math.max(k, beat(x, r.at))
end

calls["ticker.wait"] = function(m, c)
  local x = m.objects[c.o]
  local state = m:ticker_state(x)
  local function ticked(r)
    m:check(r.kind == "ok", "a wait for a tick that is due gave %s", r.kind)
    m:ticked(c, r, x, r[1])
  end
  if state == "yes" or state == "maybe" and at_once(c) then
    m:expect(c, ticked)
  elseif not m:refuses(c) then
    m:park(c, {}, {fires = function(r)
      return r.kind == "ok" and r[1]
    end, accept = ticked})
  end
end

rets["ticker.wait"] = function(m, c, r)
  local x = m.objects[c.o]
  local due = x.start + (x.last + 1) * x.period + TICK + EPS
  m:check(r.code ~= "ETIMEDOUT" or c.t <= 0 or due >= c.at + c.t - EPS,
    "a tick was due, and a wait for it timed out")
end

calls["ticker.stop"] = function(m, c)
  m:expect(c, ok())
end

calls["ticker.reset"] = function(m, c)
  m:expect(c, ok())
  start(m, m.objects[c.o], c.t)
end

ref.rules(calls, rets, {"sleep", "yield"})
