-- SPDX-License-Identifier: MIT
-- ref_net: what connections mean. When bytes arrive is the network's affair, so this is about what
-- arrives: the bytes written, in order, each once; and at the end of the stream all of them. A call
-- may fail only for a reason that is there: a fault that was asked for, an end that one side made.

local ref = require "spec.model.reference"
local task_rules = require "spec.model.ref_task"

local Model, ok = ref.Model, ref.ok
local EPS, TICK = Model.EPS, Model.TICK

-- How long a live network may keep bytes back, and how long close sends what is queued.
local SLOW, LINGER, LATE = 20, 4, 1.2

local calls, rets = {}, {}

-- ---- ends ---------------------------------------------------------------------------------------

-- One end of a connection: what it accepted to send, what it received, how it ended.
local function end_of(m, key, side)
  local name = key .. side
  if not m.streams[name] then
    m.streams[name] = {accepted = 0, received = 0, reads = 0}
  end
  return m.streams[name]
end

local function both(m, c)
  return end_of(m, c.key, c.side), end_of(m, c.key, c.side == "c" and "s" or "c")
end

local function close(m, e)
  e.closed_at = e.closed_at or m.now
  e.finished_at = e.finished_at or m.now
end

local function may_break(m, name)
  return (m.faults or ""):find(name, 1, true) ~= nil
end

-- Has somebody a reason to reset this connection?
local function may_reset(m, mine, peer)
  return may_break(m, "econnreset") or may_break(m, "enomem") or mine.aborted or peer.aborted
    or mine.closed_at or peer.closed_at or m.stopped or mine.limits or peer.limits or not peer.made
end

local function explain(m, c, mine, peer, name)
  if name == "ECLOSED" then
    m:check(mine.closed_at or m.stopped, "ECLOSED on a connection this side did not close")
  elseif name == "ECONNRESET" or name == "EPIPE" then
    m:check(may_reset(m, mine, peer) or mine.finished_at, "%s from nowhere", name)
  elseif name == "ENOMEM" then
    m:check(may_break(m, "enomem"), "ENOMEM from nowhere")
  elseif name == "ETIMEDOUT" then
    m:check(c.t or c.limits or mine.limits, "ETIMEDOUT without a timeout")
  elseif name == "EOF" then
    local never = c.side == "s" and not peer.made -- its connect gave up
    m:check(peer.finished_at or m.stopped or peer.limits or never,
      "an end of stream that the peer did not make")
  else
    m:check(name == "EMSGSIZE" and (c.op == "conn.read_until" or c.op == "conn.read_line"),
      "%s failed with %s", c.op, tostring(name))
  end
end

-- Everything was accepted, nothing went wrong: then all of it must arrive.
local function is_clean(m, mine, peer)
  return not may_break(m, "econnreset") and not may_break(m, "enomem") and not m.stopped
    and not peer.failed and not peer.aborted and not mine.aborted and not mine.limits
    and not peer.limits and (not peer.closed_at or m.now <= peer.closed_at + LINGER)
end

-- ---- calls on connections -----------------------------------------------------------------------

local function check_cancel_delivered(m, c, r)
  local w = c.waiter
  m:check(not w.heard or r.at <= w.heard + EPS, "a cancellation reached %s late", c.op)
end

local function check_time(m, c, r)
  if r.kind == "code" and r.code == "ETIMEDOUT" and c.t and not c.limits then
    m:check(r.at >= c.at + c.t - EPS, "%s timed out early", c.op)
  end
  if c.t and c.t > 0 then
    m:check(r.at <= c.at + c.t + TICK + EPS, "%s returned %.6f s after its timeout", c.op,
      r.at - c.at - c.t)
  end
end

-- A call that may wait for the network: anything may end it.
local function waits(m, c)
  local w = m:park({op = c.op, task = c.task, at = c.at}, {}, {fires = function() return 0 end,
    accept = function() end, deaf = true})
  w.c, c.waiter = c, w
end

-- Cancelled tasks hear of it at once, also here.
local function listen(m)
  for _, w in pairs(m.open) do
    if w.c.waiter == w and not w.heard and m:cancel_state(w.task) == "yes" then
      w.heard = m.now
    end
  end
end

local function on_conn(op, more)
  calls[op] = function(m, c)
    listen(m)
    waits(m, c)
    local mine = both(m, c)
    mine.reading = (op == "conn.read" or op == "conn.read_buffer") and c or mine.reading
  end
  rets[op] = function(m, c, r)
    local mine, peer = both(m, c)
    mine.limits = mine.limits or c.limits
    mine.reading = mine.reading ~= c and mine.reading or nil
    if c.waiter then
      check_cancel_delivered(m, c, r)
    end
    check_time(m, c, r)
    if r.kind == "code" then
      explain(m, c, mine, peer, r.code)
    elseif r.kind == "cancel" then
      m:check_cancelled(r, c.task)
    elseif r.kind == "raise" and r.err:match "^(E%u+): " then
      explain(m, c, mine, peer, r.err:match "^(E%u+): ") -- lines raises what the others return
    elseif r.kind == "raise" then
      m:check(r.err:find "another task", "%s raised %s", op, r.err)
    end
    more(m, c, r, mine, peer)
  end
end

local function received(m, c, r, mine, peer)
  if r.kind == "ok" then
    m:check(r[2] == true, "%s gave other bytes than were written, at %d", c.op, mine.received)
    mine.received = mine.received + r[1]
    -- Whether the last line of a stream ended in a newline cannot be told from what lines gave.
    if c.op == "conn.lines" and mine.received == peer.accepted + 1 then
      mine.received = peer.accepted
    end
    local nameless = c.key:sub(1, 1) == "?"
    m:check(nameless or mine.received <= peer.accepted, "%d bytes were received, %d were written",
      mine.received, peer.accepted)
  end
end

local WHOLE = {["conn.read"] = true, ["conn.read_buffer"] = true, ["conn.lines"] = true}

local function all_there(m, c, mine, peer)
  if is_clean(m, mine, peer) then
    m:check(mine.received == peer.accepted, "%s came to the end of stream after %d bytes of %d",
      c.op, mine.received, peer.accepted)
  end
end

local function read(m, c, r, mine, peer)
  received(m, c, r, mine, peer)
  if r.kind == "code" and r.code == "EOF" and WHOLE[c.op] then
    all_there(m, c, mine, peer)
  elseif r.kind == "ok" and c.op == "conn.read_all" then
    all_there(m, c, mine, peer)
  elseif r.kind == "code" and r.code == "ETIMEDOUT" and c.t and c.t >= SLOW then
    m:check(not (peer.finished_at and peer.finished_at < c.at + c.t - SLOW)
      or not is_clean(m, mine, peer), "the end of a stream never came")
  end
end

for _, name in ipairs {"read", "read_buffer", "read_exactly", "read_until", "read_line", "lines",
  "read_all"} do
  on_conn("conn." .. name, read)
end

on_conn("conn.write", function(m, c, r, mine)
  if r.kind == "ok" then
    m:check(c.from == mine.accepted, "a write was accepted at %d, after %d bytes", c.from,
      mine.accepted)
    m:check(not mine.closed_at, "a write to a closed connection was accepted")
    mine.accepted, mine.accepted_at = mine.accepted + c.n, m.now
  elseif r.kind == "code" then
    mine.failed = true
  end
end)

on_conn("conn.flush", function(_, _, r, mine)
  if r.kind == "code" and r.code ~= "ETIMEDOUT" then
    mine.failed = true
  end
end)

on_conn("conn.shutdown", function(m, _, r, mine)
  if r.kind == "ok" then
    mine.finished_at = mine.finished_at or m.now
  elseif r.kind == "code" then
    mine.failed = true
  end
end)

on_conn("conn.set_timeout", function(_, _, _, mine)
  mine.limits = true
end)

calls["conn.close"] = function(m, c)
  close(m, (both(m, c)))
end

calls["conn.abort"] = function(m, c)
  local mine = both(m, c)
  mine.aborted = true
  close(m, mine)
  m:expect(c, ok(true))
end

calls["conn.ask"] = function(m, c)
  m:expect(c, function(r)
    m:check(r[1] == "closed" or r[1] == true and r[2] and r[3], "the counters of a connection lie")
    local mine = both(m, c)
    m:check(r[1] ~= "closed" or mine.closed_at or m.stopped, "a connection closed by itself")
  end)
end

-- Bytes that were written long ago, and somebody who waits for them.
function calls.horizon(m)
  local names = {}
  for name in pairs(m.streams) do
    names[#names + 1] = name
  end
  for _, name in ipairs(names) do
    local key, side = name:match "^(.*)(.)$"
    local peer, mine = m.streams[name], end_of(m, key, side == "c" and "s" or "c")
    local waits_now = mine.reading or mine.served and not mine.inside and not mine.gone
    if waits_now and peer.accepted > mine.received and not mine.closed_at
      and is_clean(m, mine, peer) then
      m:check(peer.accepted_at > m.now - LATE, "%d bytes never reached who waits for them",
        peer.accepted - mine.received)
    end
  end
end

-- ---- making connections -------------------------------------------------------------------------

function calls.serve(m, c)
  m.objects[c.o] = {served = c.data and c.all and not c.limits}
end
calls.listen = calls.serve

local function made(m, c, r, side)
  if r.kind == "ok" then
    local e = end_of(m, r[1], side)
    e.made = true
  end
  if r.kind == "code" and r.code == "ETIMEDOUT" then
    m:check(c.t and r.at >= c.at + c.t - EPS, "%s timed out early", c.op)
  end
end

function calls.connect(m, c)
  listen(m)
  waits(m, c)
end

function rets.connect(m, c, r)
  check_time(m, c, r)
  made(m, c, r, "c")
  if r.kind == "ok" then
    end_of(m, r[1], "s").served = m.objects[c.o].served
  end
  if r.kind == "code" and r.code ~= "ETIMEDOUT" then
    m:check(m.stopped or (may_break(m, "enomem") and r.code == "ENOMEM"), "connect failed with %s",
      r.code)
  end
end

calls["listener.accept"] = calls.connect

rets["listener.accept"] = function(m, c, r)
  check_time(m, c, r)
  made(m, c, r, "s")
  if r.kind == "code" and r.code ~= "ETIMEDOUT" then
    m:check(r.code == "ECLOSED" and m.stopped or may_break(m, "enomem"), "accept failed with %s",
      r.code)
  end
end

calls["listener.close"] = function(m)
  m.stopped = true
end

-- ---- servers ------------------------------------------------------------------------------------

calls["handler.in"] = function(m, c)
  local task = task_rules.new_task(m, c.task)
  task.begun, task.worker, task.maybe = true, true, "server stopped"
  local mine = end_of(m, c.key, "s")
  mine.made, mine.limits = true, c.limits
end

calls["handler.out"] = function(m, c)
  m.tasks[c.task].ended = true
  close(m, end_of(m, c.key, "s"))
  if not c.ok and not c.cancel then
    m:must_report(c.err)
  end
end

calls["data.open"] = function(m, c)
  local e = end_of(m, c.key, "s")
  m:check(not e.open and not e.inside and not e.gone, "on_open came late or twice")
  e.open = true
end

calls["data.in"] = function(m, c)
  local mine, peer = end_of(m, c.key, "s"), end_of(m, c.key, "c")
  m:check(not mine.inside, "on_data was called while it ran")
  m:check(not mine.gone, "on_data was called after on_close")
  mine.inside, mine.limits = true, c.limits
  received(m, c, {kind = "ok", c.n, c.same}, mine, peer)
end

calls["data.out"] = function(m, c)
  local mine = end_of(m, c.key, "s")
  mine.inside = false
  if c.err then
    mine.aborted = true -- with whatever was not read
    m:must_report(c.err)
    close(m, mine)
  end
end

calls["data.close"] = function(m, c)
  local mine, peer = end_of(m, c.key, "s"), end_of(m, c.key, "c")
  m:check(not mine.gone, "on_close was called twice")
  m:check(not mine.inside, "on_close was called while on_data ran")
  if not c.code and not mine.closed_at and peer.finished_at then
    all_there(m, c, mine, peer)
  end
  mine.gone = true
  close(m, mine)
end

calls["server.stop"] = function(m, c)
  m.stopped = true
  m:park({op = c.op, task = c.task, at = c.at}, {}, {fires = function() return 0 end,
    accept = function() end}).c = c
end

calls["server.join"] = function(m, c)
  m:expect(c, ok(true))
end

calls["server.select"] = function(m, c)
  m:expect(c, ok(1, true))
end

calls["server.stats"] = function(m, c)
  m:expect(c, ok(0, 0, true))
end

ref.rules(calls, rets)
