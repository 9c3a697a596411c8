-- SPDX-License-Identifier: MIT
-- select: wait for the first of many.
--
-- A case is {x} or {send = ch, v}. The cases are tried in an order drawn at random (as Go does), or
-- as they stand when cases.ordered, and the first that needs no waiting is carried out; if there is
-- none, the task parks on all of them with one call to the core. The order is drawn while it is
-- looked at, so what is ready at once costs one draw. `cases` is never modified; its form is
-- checked when a table is seen for the first time.

--- Wait for the first of several things.
-- @module ringlet
-- @section Select

local chan = require "ringlet.chan"
local core = require "ringlet.core"
local fail = require "ringlet.fail"
local options = require "ringlet.options"
local shared = require "ringlet.shared_chan"

local wait_any, refill, credit = core.wait_any, core.refill, core.credit()
local fetch, deliver, is_chan, CLOSED = chan.fetch, chan.deliver, chan.is, chan.CLOSED
local is_shared, fetch_shared, deliver_shared = shared.is, shared.fetch, shared.deliver
local taken = core.taken

-- A small linear congruence, reseeded by run, so that sim repeats itself.
local seed = 1

-- n -> a permutation of 1..n, shuffled further as far as it is looked at.
local orders = {}

-- Scratch: what the core is told.
local list = {}

-- Tables found to be well-formed -> how many cases they had.
local checked = setmetatable({}, {__mode = "k"})

local M = {}

-- Forget what was waited for last: neither the scratch list nor `checked`, which is returned, must
-- look like somebody who has it.
function M.forget()
  for i in pairs(list) do
    list[i] = nil
  end
  return checked
end

function M.seed(n)
  seed = n % 2147483646 + 1
  orders = {}
end

local function below(k)
  seed = seed * 16807 % 2147483647
  return seed % k
end

local function new_order(n)
  local order = {}
  for i = 1, n do
    order[i] = i
  end
  orders[n] = order
  return order
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
    if v == true and not c.send and c[1].late then
      return i, drop_first(c[1]:poll_())
    elseif type(v) == "userdata" and is_shared(c[1]) and not c.send then
      return i, taken(v)
    end
    return i, ...
  elseif c.send then
    error("send on closed channel", 3)
  elseif code == CLOSED then
    return i, chan.closed_values(c[1].s)
  elseif code == core.ECLOSED and is_shared(c[1]) then
    return i, shared.closed_values(c[1])
  end
  return i, fail(code)
end

-- Describe the cases to the core: triples index, queue or shared channel, value offered. Returns
-- how many they are, and how many are shared channels.
local function describe(cases, n)
  local k, foreign = 0, 0
  for i = 1, n do
    local c = cases[i]
    if c then
      local ch, x = c.send, c[1]
      list[k + 1] = i
      if ch then
        local s = ch.s
        if s then
          s.easy, s.swait = false, true
        else
          foreign = foreign + 1
        end
        list[k + 2], list[k + 3] = ch, x
      else
        if is_chan(x) then
          local s = x.s
          s.easy, s.rwait = false, true
          list[k + 2] = x
        elseif is_shared(x) then
          foreign = foreign + 1
          list[k + 2] = x
        else
          list[k + 2] = x.q
        end
        list[k + 3] = nil
      end
      k = k + 3
    end
  end
  return k / 3, foreign
end

-- Wait until one of the cases is ready.
local function park(cases, n, t)
  if t and t <= 0 then
    return fail(core.ETIMEDOUT)
  end
  local k, foreign = describe(cases, n)
  return woken(cases, wait_any(list, k, t, foreign))
end

-- What became of a case that was tried.
local READY, ENDED, OTHER = 1, 2, 3

local function try_send_shared(ch, v)
  if v == nil then
    error("nil cannot be sent", 4)
  end
  local ok, _, closed = deliver_shared(ch, v)
  if closed then
    error("send on closed channel", 4)
  end
  return ok and READY, true
end

local function try_send(ch, v)
  local s = ch.s
  if not s then
    local how, ok = try_send_shared(ch, v)
    return how, ok
  elseif not s.open then
    error("send on closed channel", 3)
  elseif v == nil then
    error("nil cannot be sent", 3)
  end
  return deliver(ch, s, v) and READY, true
end

-- A receive from what is no channel of this shard alone.
local function try_other(x)
  if not is_shared(x) then
    return x:poll_(true) and OTHER
  end
  local got, v, closed = fetch_shared(x)
  if got then
    return READY, v
  end
  return closed and ENDED
end

-- Carry out a case if that needs no waiting: READY and a value, ENDED for a closed channel, OTHER
-- for a waitable that is no channel, which is only asked; nothing when it would have to wait.
local function try(c)
  local ch, x = c.send, c[1]
  if ch then
    return try_send(ch, x)
  elseif not is_chan(x) then
    return try_other(x)
  end
  local s = x.s
  local got, v = fetch(x, s)
  if got then
    return READY, v
  end
  return not s.open and ENDED
end

-- The results of select for a case that was carried out.
local function results(i, c, how, v)
  if how == READY then
    return i, v
  elseif how == ENDED then
    local x = c[1]
    if is_shared(x) then
      return i, shared.closed_values(x)
    end
    return i, chan.closed_values(x.s)
  end
  return i, drop_first(c[1]:poll_())
end

local function select_ordered(cases, n, t)
  for i = 1, n do
    local c = cases[i]
    if c then
      local how, v = try(c)
      if how then
        return results(i, c, how, v)
      end
    end
  end
  return park(cases, n, t)
end

local function select_fair(cases, n, t)
  local order = orders[n] or new_order(n)
  for k = 1, n do
    local j = k < n and k + below(n - k + 1) or k
    local i = order[j]
    order[j] = order[k]
    order[k] = i
    local c = cases[i]
    if c then
      local how, v = try(c)
      if how then
        return results(i, c, how, v)
      end
    end
  end
  return park(cases, n, t)
end

local function check_case(c, i)
  local x = type(c) == "table" and (c.send or c[1])
  local ok = is_chan(x) or is_shared(x)
  if not ok and type(c) == "table" and c.send == nil then
    ok = (type(x) == "table" or type(x) == "userdata") and x.poll_
  end
  if not ok then
    error("case " .. i .. " is neither a waitable {x} nor {send = channel, value}", 4)
  end
end

local function check(cases)
  if type(cases) ~= "table" then
    error("cases must be a table, not a " .. type(cases), 3)
  end
  for i = 1, #cases do
    if cases[i] then
      check_case(cases[i], i)
    end
  end
  checked[cases] = #cases
end

--- Wait for the first of several cases, and do that one alone. Of several that are ready, each has
-- the same chance. `cases` is not modified: build it once and use it again.
-- @parks until a case is ready
-- @tparam table cases
-- @tparam table|false cases.[integer] {x}: receive from a channel, or wait for a task, event,
-- ticker, timer or waitgroup; {send = ch, v}: send v; false: disabled, keeps its place
-- @tparam[opt=false] boolean cases.ordered prefer the first case that is ready
-- @tparam[opt] number t seconds; 0: do not wait
-- @treturn integer which case
-- @return ... what that case's `recv`, `join` or `wait` returns; true for a send
-- @fails "ETIMEDOUT"
-- @raise on a send to a closed channel or of nil; on what is no case
-- @usage
-- local i, v = rl.select {{jobs}, {send = results, r}, {deadline}}
-- @source the Go specification, "Select statements"
function M.select(cases, t)
  if type(cases) ~= "table" or checked[cases] ~= #cases then
    check(cases)
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
  credit[1] = left - 1
  if cases.ordered then
    return select_ordered(cases, #cases, t)
  end
  return select_fair(cases, #cases, t)
end

return M
