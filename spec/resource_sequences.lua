-- SPDX-License-Identifier: MIT
-- resource_sequences: random sequences of operations on a pool of resources and on the reference.
-- Not part of a spec, because busted makes looking up a global slow.
local reference = require "spec.resource_reference"
local rl = require "ringlet"

local floor = math.floor

-- A pool and the reference, side by side. `open` and `close` wait at gates until an operation lets
-- them end; `timed` are those who wait for a second at most.
local function new_pair(max, min_idle)
  local s = {
    ref = reference(max, min_idle), max = max, got = {}, tasks = {}, held = {}, timed = {},
    open_gates = {}, close_gates = {}, n = 0, opened = 0, closed = 0, live = 0, all = {},
  }
  s.pool = rl.resources{
    max = max, min_idle = min_idle, idle_timeout = math.huge, close_timeout = math.huge,
    backoff = 1e9, backoff_max = 1e9,
    open = function()
      local gate = {event = rl.event()}
      s.live = s.live + 1
      assert(s.live <= s.max, "more than max")
      table.insert(s.open_gates, gate)
      gate.event:wait()
      if not gate.ok then
        s.live = s.live - 1
        return nil, "EX: no", "EX"
      end
      s.opened = s.opened + 1
      s.all[s.opened] = {n = s.opened}
      return s.all[s.opened]
    end,
    close = function(res)
      s.closed = s.closed + 1
      assert(not res.closed, "closed twice")
      res.closed = true
      local gate = {event = rl.event()}
      table.insert(s.close_gates, gate)
      gate.event:wait()
      s.live = s.live - 1
    end,
    check = function(res) return not res.bad end,
  }
  return s
end

local function note(s, who, res, code)
  s.got[who] = res and res.n or code
  if res then
    table.insert(s.held, res)
  end
end

-- Of those with a limit, whoever came first gives up first: at the same time chance would decide.
local function begin_acquire(s, timed)
  s.n = s.n + 1
  local who = s.n
  local t = timed and 1 + 0.01 * who or nil
  s.got[who] = "waiting"
  s.tasks[who] = rl.go(function()
    local res, _, code = s.pool:acquire(t)
    note(s, who, res, code)
  end)
  s.ref:acquire(who)
  s.timed[who] = timed
end

local function take_gate(gates, k, ok)
  local gate = table.remove(gates, k)
  gate.ok = ok
  gate.event:set()
end

local function give_back(s, r, broken)
  local res = table.remove(s.held, r(#s.held))
  s.pool:release(res, broken)
  s.ref:release(res.n, broken)
end

-- What may happen. Each gets a random generator r(n) -> 1..n, and gives false where there is
-- nothing to do it to. Those in QUICK may follow each other before tasks have run.
local OPS, QUICK = {}, {release = true, discard = true, cancel = true, try = true, resize = true}

function OPS.acquire(s)
  begin_acquire(s)
end

function OPS.acquire_timed(s)
  begin_acquire(s, true)
end

function OPS.try(s)
  s.n = s.n + 1
  local res, _, code = s.pool:try_acquire()
  note(s, s.n, res, code)
  s.ref:try(s.n)
end

function OPS.release(s, r)
  return s.held[1] ~= nil and give_back(s, r, false)
end

function OPS.discard(s, r)
  return s.held[1] ~= nil and give_back(s, r, true)
end

function OPS.open_ends(s, r)
  if not s.open_gates[1] then return false end
  local k, ok = r(#s.open_gates), r(3) > 1
  take_gate(s.open_gates, k, ok)
  s.ref:open_ends(k, ok)
end

function OPS.close_ends(s, r)
  if not s.close_gates[1] then return false end
  local k = r(#s.close_gates)
  take_gate(s.close_gates, k)
  s.ref:close_ends(k)
end

function OPS.cancel(s, r)
  local who = s.ref.line[r(math.max(#s.ref.line, 1))]
  if not who then return false end
  s.tasks[who]:cancel()
  s.got[who] = "cancelled"
  s.ref:leave({who}, "cancelled")
end

function OPS.time_passes(s)
  if not next(s.timed) then return false end
  rl.sleep(1.01 + 0.01 * s.n)
  for who = 1, s.n do
    if s.timed[who] and s.ref.got[who] == "waiting" then
      s.ref:leave({who}, "ETIMEDOUT")
    end
  end
end

function OPS.spoil(s, r)
  local res = s.all[s.ref.idle[r(math.max(#s.ref.idle, 1))]]
  if not res then return false end
  res.bad = true
  s.ref.bad[res.n] = true
end

function OPS.resize(s, r)
  local n = r(4)
  s.max = math.max(s.max, n)
  s.pool:resize(n)
  s.ref:resize(n)
end

function OPS.close(s, r)
  if r(4) > 1 then return false end
  s.pool:close()
  s.ref:close()
end

local NAMES = {
  "acquire", "acquire", "acquire", "acquire_timed", "try", "release", "release", "release",
  "discard", "open_ends", "open_ends", "open_ends", "open_ends", "close_ends", "close_ends",
  "cancel", "time_passes", "spoil", "resize", "close",
}

local function digest()
  for _ = 1, 3 do rl.yield() end
end

-- Nil where both are the same, else what differs.
local function difference(s)
  local ref, stats = s.ref, s.pool:stats()
  for who = 1, s.n do
    if s.got[who] ~= ref.got[who] then
      return ("%d got %s, not %s"):format(who, tostring(s.got[who]), tostring(ref.got[who]))
    end
  end
  local real = {stats.idle, stats.borrowed, stats.opening, stats.closing, stats.waiting}
  local wanted = {#ref.idle, ref.borrowed, #ref.openings, #ref.closing, #ref.line}
  for i, name in ipairs{"idle", "borrowed", "opening", "closing", "waiting"} do
    if real[i] ~= wanted[i] then return ("%d %s, not %d"):format(real[i], name, wanted[i]) end
  end
end

-- Let everything end; what is left?
local function left(s)
  s.pool:close()
  repeat
    digest()
    local is_busy = s.open_gates[1] or s.close_gates[1] or s.held[1]
    while s.held[1] do s.pool:release(table.remove(s.held)) end
    while s.open_gates[1] do take_gate(s.open_gates, 1, true) end
    while s.close_gates[1] do take_gate(s.close_gates, 1) end
  until not is_busy
  local stats = s.pool:stats()
  if stats.open + stats.opening + stats.closing + stats.waiting > 0 or s.opened ~= s.closed then
    return ("%s, %d opened, %d closed"):format(tostring(s.pool), s.opened, s.closed)
  end
end

-- Play the sequence of this seed; raises where the two disagree, or something is left.
return function(seed, length)
  local x = seed * 7919 % 2147483646 + 1
  local function r(n)
    x = x * 16807 % 2147483647
    return floor(x / 2147483647 * n) + 1
  end
  for _ = 1, 3 do r(1) end
  local s, log = new_pair(r(3), r(4) == 1 and 1 or 0), {}
  local function agree(what)
    if what then
      error(("sequence %d: %s after %s"):format(seed, what, table.concat(log, " ")), 0)
    end
  end
  digest()
  for _ = 1, length do
    local name = NAMES[r(log[1] and #NAMES or 5)] -- there is nothing to release at first
    if log[1] and not (QUICK[name] and QUICK[log[#log]] and r(2) == 1) then
      digest()
    end
    if OPS[name](s, r) ~= false then
      log[#log + 1] = name
    end
  end
  digest()
  agree(difference(s) or left(s))
end
