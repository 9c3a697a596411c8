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

local wait_any, refill, credit = core.wait_any, core.refill, core.credit()
local fetch, deliver, is_chan, CLOSED = chan.fetch, chan.deliver, chan.is, chan.CLOSED

-- Which of k ready cases: a small linear congruence, reseeded by run, so that sim repeats itself.
local seed = 1

-- Scratch: what the core is told, and the cases that were found ready.
local list, hot = {}, {}

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

-- A flag that somebody waits on the other side may be stale: then `commit` finds nobody.
local function recv_ready(s)
  return s.n > 0 or not s.open or s.swait
end

local function send_ready(s)
  return s.n < s.cap or not s.open or s.rwait or s.overflow ~= "block"
end

local function is_ready(c, i)
  local ch = c.send
  if ch ~= nil then
    if not is_chan(ch) then
      bad_case(i)
    elseif c[1] == nil then
      error("nil cannot be sent", 3)
    end
    return send_ready(ch.s)
  end
  local x = c[1]
  if is_chan(x) then
    return recv_ready(x.s)
  elseif (type(x) ~= "table" and type(x) ~= "userdata") or not x.poll_ then
    bad_case(i)
  end
  return (x:poll_(true))
end

local function drop_first(_, ...)
  return ...
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

-- Describe the cases to the core: triples index, queue, value offered.
local function describe(cases, n)
  local k = 0
  for i = 1, n do
    local c = cases[i]
    if c then
      local ch, x = c.send, c[1]
      list[k + 1] = i
      if ch then
        local s = ch.s
        s.easy, s.swait = false, true
        list[k + 2], list[k + 3] = ch, x
      else
        if is_chan(x) then
          local s = x.s
          s.easy, s.rwait = false, true
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

-- Wait until one of the cases is ready.
local function park(cases, n, t)
  if t and t <= 0 then
    return fail(core.ETIMEDOUT)
  end
  return woken(cases, wait_any(list, describe(cases, n), t))
end

local function sent(ch, v)
  local s = ch.s
  if not s.open then
    error("send on closed channel", 4)
  end
  return deliver(ch, s, v)
end

-- Carry out one of the first `ready` cases of hot; wait when nobody was there after all.
local function choose(cases, ready, n, t)
  while ready > 0 do
    local k = (ready == 1 or cases.ordered) and 1 or below(ready) + 1
    local i = hot[k]
    local c = cases[i]
    local ch, x = c.send, c[1]
    if ch then
      if sent(ch, x) then
        return i, true
      end
    elseif not is_chan(x) then
      return i, drop_first(x:poll_())
    else
      local s = x.s
      local got, v = fetch(x, s)
      if got then
        return i, v
      elseif not s.open then
        return i, chan.closed_values(s)
      end
    end
    for j = k + 1, ready do
      hot[j - 1] = hot[j]
    end
    ready = ready - 1
  end
  return park(cases, n, t)
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
  if t ~= nil then
    options.seconds(t)
  end
  local left = credit[1]
  if left <= 0 then
    local _, code = refill()
    if code then
      return fail(code)
    end
    left = credit[1]
  end
  local n, ready = #cases, 0
  for i = 1, n do
    local c = cases[i]
    if c then
      if type(c) ~= "table" then
        error("case " .. i .. " is neither a waitable {x} nor {send = channel, value}", 2)
      elseif is_ready(c, i) then
        ready = ready + 1
        hot[ready] = i
      end
    end
  end
  if ready > 0 then
    credit[1] = left - 1
    return choose(cases, ready, n, t)
  end
  return park(cases, n, t)
end

return M
