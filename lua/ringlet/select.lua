-- SPDX-License-Identifier: MIT
-- select: wait for the first of many.
--
-- A case is {x} or {send = ch, v}. One pass asks every case whether it is ready and chooses among
-- those that are (each with equal chance, or the first when cases.ordered); if none is, the task
-- parks on all of them with one call to the core. `cases` is never modified.

local chan = require "ringlet.chan"
local core = require "ringlet.core"
local fail = require "ringlet.fail"
local options = require "ringlet.options"

local wait_any, waiting, refill, credit = core.wait_any, core.waiting, core.refill, core.credit()
local fetch, deliver, CLOSED = chan.fetch, chan.deliver, chan.CLOSED

-- Which of k ready cases: a small linear congruence, reseeded by run, so that sim repeats itself.
local seed = 1

local M = {}

function M.seed(n)
  seed = n % 2147483646 + 1
end

local function below(k)
  seed = seed * 16807 % 2147483647
  return seed % k
end

local function bad_case(i)
  error("case " .. i .. " is neither a waitable {x} nor {send = channel, value}", 4)
end

-- Is a case ready? For a waitable that is no channel the answer carries its values.
local function recv_ready(ch, s)
  if s.n > 0 or not s.open then
    return true
  end
  local _, senders = waiting(ch)
  return senders
end

local function send_ready(ch, s)
  if s.n < s.cap or not s.open or s.overflow ~= "block" then
    return true
  end
  return (waiting(ch))
end

local function is_ready(c, i)
  local ch = c.send
  if ch ~= nil then
    if not chan.is(ch) then
      bad_case(i)
    elseif c[1] == nil then
      error("nil cannot be sent", 3)
    end
    return send_ready(ch, ch.s)
  end
  local x = c[1]
  if type(x) == "userdata" and chan.is(x) then
    return recv_ready(x, x.s)
  elseif (type(x) ~= "table" and type(x) ~= "userdata") or not x.poll_ then
    bad_case(i)
  end
  return (x:poll_(true))
end

local function drop_first(_, ...)
  return ...
end

-- Carry out a ready case.
local function commit(i, c)
  local ch = c.send
  if ch then
    if not ch.s.open then
      error("send on closed channel", 3)
    end
    deliver(ch, ch.s, c[1])
    return i, true
  end
  local x = c[1]
  if not chan.is(x) then
    return i, drop_first(x:poll_())
  end
  local got, v = fetch(x, x.s)
  if got then
    return i, v
  end
  return i, chan.closed_values(x.s)
end

-- What a waker gave.
local function woken(cases, i, ...)
  local v, code = ...
  if i == nil then
    return fail(v)
  end
  local c = cases[i]
  if v ~= nil then
    return i, ...
  elseif c.send then
    error("send on closed channel", 3)
  elseif code == CLOSED then
    return i, chan.closed_values(c[1].s)
  end
  return i, fail(code)
end

local list = {}

-- Describe the cases to the core: triples index, queue, value offered.
local function describe(cases, n)
  local k = 0
  for i = 1, n do
    local c = cases[i]
    if c then
      local ch, x = c.send, c[1]
      list[k + 1] = i
      if ch then
        ch.s.easy = false
        list[k + 2], list[k + 3] = ch, x
      else
        if chan.is(x) then
          x.s.easy = false
          list[k + 2] = x
        else
          list[k + 2] = x.q
        end
        list[k + 3] = nil
      end
      k = k + 3
    end
  end
  return k / 3
end

--- Wait for the first of several cases. Parks.
-- @tparam table cases {x}: receive from a channel, or wait for a task, event, ticker, timer or
-- server; {send = ch, v}: send; false: disabled. `cases.ordered = true` prefers the first ready
-- case
-- @tparam[opt] number t seconds; 0: do not wait
-- @treturn integer the case, or nil, message, "ETIMEDOUT"
-- @return what that case's recv, join or wait returns; true for a send
function M.select(cases, t)
  if type(cases) ~= "table" then
    error("cases must be a table, not a " .. type(cases), 2)
  end
  options.seconds(t)
  if credit[1] <= 0 then
    local ok, code = refill()
    if ok == nil then
      return fail(code)
    end
  end
  local n, ready, pick = #cases, 0, 0
  local ordered = cases.ordered
  for i = 1, n do
    local c = cases[i]
    if c then
      if type(c) ~= "table" then
        error("case " .. i .. " is neither a waitable {x} nor {send = channel, value}", 2)
      elseif is_ready(c, i) then
        ready = ready + 1
        if ready == 1 or (not ordered and below(ready) == 0) then
          pick = i
        end
      end
    end
  end
  if pick > 0 then
    return commit(pick, cases[pick])
  elseif t and t <= 0 then
    return fail(core.ETIMEDOUT)
  end
  return woken(cases, wait_any(list, describe(cases, n), t))
end

return M
