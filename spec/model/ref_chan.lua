-- SPDX-License-Identifier: MIT
-- ref_chan: what channels and select mean.
--
-- A channel is a list of at most `cap` values, receivers who wait and senders who wait with a
-- value. A sender gives its value to the longest receiver, else puts it behind the others, else
-- waits. A receiver takes the first value, and the longest sender's moves up; so nobody waits in
-- vain.

local ref = require "spec.model.reference"

local Model, ok, code, raised = ref.Model, ref.ok, ref.code, ref.raised
local EPS = Model.EPS

local calls, rets = {}, {}

local CLOSED = raised "send on closed channel"

local function put(list, v)
  list[#list + 1] = v
end

-- What a receiver gets from `v`, or at the end; a select gets its index before.
local function given(entry, v)
  return entry.index and ok(entry.index, v) or ok(v)
end

local function ended(ch)
  return code(ch.code or "ECLOSED", ch.msg or "ECLOSED: channel is closed")
end

-- Deliver without waiting?
local function deliver(m, ch, v)
  local receiver = m:first(ch.receivers)
  if receiver then
    m:wake(receiver, given(receiver, v))
  elseif #ch.buffer < ch.cap then
    put(ch.buffer, v)
  elseif ch.overflow == "block" then
    return false
  else
    ch.drops = ch.drops + 1
    if ch.overflow == "drop_oldest" and ch.cap > 0 then
      table.remove(ch.buffer, 1)
      put(ch.buffer, v)
    end
  end
  return true
end

-- Take without waiting: true and the value.
local function fetch(m, ch)
  local v = table.remove(ch.buffer, 1)
  local sender = m:first(ch.senders)
  if sender then
    m:wake(sender, given(sender, true))
    if v ~= nil then
      put(ch.buffer, sender.v)
    else
      v = sender.v
    end
  end
  return v ~= nil, v
end

function calls.chan(m, c)
  m.objects[c.o] = {buffer = {}, receivers = {}, senders = {}, cap = c.cap, open = true, drops = 0,
    overflow = c.overflow or "block"}
end

calls["chan.send"] = function(m, c)
  local ch = m.objects[c.o]
  if not ch.open then
    m:expect(c, CLOSED)
  elseif deliver(m, ch, c.v) then
    m:expect(c, ok(true))
  else
    m:park(c, {{ch.senders, {v = c.v}}})
  end
end

calls["chan.recv"] = function(m, c)
  local ch = m.objects[c.o]
  local got, v = fetch(m, ch)
  if got then
    m:expect(c, ok(v))
  elseif not ch.open then
    m:expect(c, ended(ch))
  else
    m:park(c, {{ch.receivers}})
  end
end

calls["chan.try_send"] = function(m, c)
  local ch = m.objects[c.o]
  if not ch.open then
    m:expect(c, code("ECLOSED"))
  else
    m:expect(c, deliver(m, ch, c.v) and ok(true) or code("EAGAIN"))
  end
end

calls["chan.try_recv"] = function(m, c)
  local ch = m.objects[c.o]
  local got, v = fetch(m, ch)
  m:expect(c, got and ok(v) or ch.open and code("EAGAIN") or ended(ch))
end

calls["chan.close"] = function(m, c)
  local ch = m.objects[c.o]
  if not ch.open then
    m:expect(c, raised "close of closed channel")
    return
  end
  ch.open, ch.msg, ch.code = false, c.msg, c.code
  m:expect(c, ok())
  m:wake_all(ch.receivers, function(entry)
    return entry.index and ok(entry.index, nil, ended(ch).msg, ended(ch).code)
      or entry.iter and m:end_of_iter(ch) or ended(ch)
  end)
  m:wake_all(ch.senders, CLOSED)
end

calls["chan.iter"] = function(m, c)
  m:expect(c, ok())
end

-- The end of an iterator: nothing, or the message that close was given, raised.
function Model:end_of_iter(ch)
  return ch.msg and function(r)
    self:check(r.kind == "raise", "iter did not raise what close was given")
  end or ok(nil)
end

calls["chan.next"] = function(m, c)
  local ch = m.objects[c.o]
  local got, v = fetch(m, ch)
  if got then
    m:expect(c, ok(v))
  elseif not ch.open then
    m:expect(c, m:end_of_iter(ch))
  else
    m:park(c, {{ch.receivers, {iter = true}}})
  end
end

calls["chan.ask"] = function(m, c)
  local ch = m.objects[c.o]
  m:expect(c, ok(#ch.buffer, ch.cap, ch.drops,
    ("ringlet.chan: %d/%d%s"):format(#ch.buffer, ch.cap, ch.open and "" or " (closed)")))
end

calls["chan.misuse"] = function(m, c)
  m:expect(c, raised "nil cannot be sent")
end

-- ---- select -------------------------------------------------------------------------------------

-- Is a case ready: "yes", "no", or "maybe" when that is the clock's to say? How it waits, when not.
local ready = {}

function ready.off()
  return "no"
end

function ready.recv(m, case, i)
  local ch = m.objects[case[2]]
  local is = #ch.buffer > 0 or not ch.open or m:first(ch.senders) ~= nil
  return is and "yes" or "no", {ch.receivers, {index = i}}
end

function ready.send(m, case, i)
  local ch = m.objects[case[2]]
  local is = #ch.buffer < ch.cap or not ch.open or ch.overflow ~= "block"
    or m:first(ch.receivers) ~= nil
  return is and "yes" or "no", {ch.senders, {index = i, v = case[3]}}
end

function ready.event(m, case, i)
  local event = m.objects[case[2]]
  return event.on and "yes" or "no", {event.waiters, {index = i}}
end

function ready.waitgroup(m, case, i)
  local group = m.objects[case[2]]
  return group.n == 0 and "yes" or "no", {group.waiters, {index = i}}
end

function ready.task(m, case, i)
  local task = m.tasks[case[2]]
  return task.ended and "yes" or "no", {task.joiners, {index = i}}
end

function ready.timer(m, case)
  return m:timer_state(m.objects[case[2]])
end

function ready.ticker(m, case)
  return m:ticker_state(m.objects[case[2]])
end

-- Carry out a ready case: what select returns.
local function commit(m, case, i)
  local kind = case[1]
  if kind == "recv" then
    local ch = m.objects[case[2]]
    local got, v = fetch(m, ch)
    return got and ok(i, v) or ok(i, nil, ended(ch).msg, ended(ch).code)
  elseif kind == "send" then
    local ch = m.objects[case[2]]
    if not ch.open then
      return CLOSED
    end
    deliver(m, ch, case[3])
    return ok(i, true)
  elseif kind == "task" then
    return require("spec.model.ref_task").join_outcome(m.tasks[case[2]], i)
  end
  return ok(i, true)
end

local CLOCKS = {timer = true, ticker = true}

-- Which case was it? A send on a closed channel raises without saying.
local function chosen(c, states)
  local r = c.ret
  if r and r.kind == "ok" then
    return r[1]
  elseif r and r.kind == "raise" then
    for i, case in ipairs(c.cases) do
      if case[1] == "send" and states[i] == "yes" then
        return i
      end
    end
  end
end

-- Sends on closed channels among the ready cases: a raise may be any of them.
local function may_raise(m, c, i)
  local case = c.cases[i]
  return case[1] == "send" and not m.objects[case[2]].open
end

local function check_choice(m, c, states, pick, first_yes)
  m:check(states[pick] ~= "no", "select took case %d, which is not ready", pick)
  if c.ordered then
    m:check(not first_yes or pick <= first_yes, "an ordered select took case %d before case %s",
      pick, tostring(first_yes))
  end
end

-- Count who wins among ready cases, to see later that select is fair.
local function count(m, c, states, pick)
  local n, place = 0, 0
  for i, state in ipairs(states) do
    if state == "maybe" then
      return
    end
    n = n + (state == "yes" and 1 or 0)
    place = i == pick and n or place
  end
  if not c.ordered and n > 1 then
    m.picks[n] = m.picks[n] or {}
    m.picks[n][place] = (m.picks[n][place] or 0) + 1
  end
end

local function select_waits(m, c, queues)
  local function by_clock(r)
    local case = r.kind == "ok" and c.cases[r[1]]
    return case and CLOCKS[case[1]] and r[2]
  end
  m:park(c, queues, {fires = by_clock, accept = function(r)
    m:clock_fired(c, r, m.objects[c.cases[r[1]][2]], r[2])
  end})
end

function calls.select(m, c)
  local states, queues, first_yes = {}, {}, nil
  for i, case in ipairs(c.cases) do
    local state, queue = ready[case[1]](m, case, i)
    states[i] = state
    queues[#queues + 1] = queue
    first_yes = first_yes or state == "yes" and i or nil
  end
  local pick = chosen(c, states)
  local now = c.ret and c.ret.at <= c.at + EPS
  if pick and now and states[pick] ~= "no" and c.ret.kind ~= "raise" then
    check_choice(m, c, states, pick, first_yes)
    count(m, c, states, pick)
    if CLOCKS[c.cases[pick][1]] then
      m:expect(c, function(r)
        m:clock_fired(c, r, m.objects[c.cases[pick][2]], r[2])
      end)
    else
      m:expect(c, commit(m, c.cases[pick], pick))
    end
  elseif first_yes then
    local raises
    for i = 1, #states do
      raises = raises or states[i] == "yes" and may_raise(m, c, i)
    end
    m:check(raises, "select did not take a ready case")
    m:expect(c, CLOSED)
  else
    select_waits(m, c, queues)
  end
end

rets.select = function(m, c, r)
  local case = r.kind == "ok" and c.cases[r[1]]
  m:check(r.kind ~= "ok" or case and case[1] ~= "off", "select took a disabled case")
  m:check(not case or not CLOCKS[case[1]] or r[2] <= r.at + EPS, "a timer fired in the future")
end

ref.rules(calls, rets, {"chan.send", "chan.recv", "chan.next", "select"})
