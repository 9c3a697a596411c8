-- SPDX-License-Identifier: MIT
-- limiter_shared: a rate that shards share: the GCRA, whose state is one number, in a shared
-- atomic.
--
-- What travels is a handle: the numbers and the atomic. Behind it every shard has a limiter of its
-- own, with the line of those who wait there and counters, which handles find by the number of what
-- they share. Whoever reaches the atomic first has the tokens, so waiting is first come, first
-- served within a shard.
--
-- Times are ticks since the limiter was made; a tick is as long as it must be so that the units of
-- years are exact.

--- @module ringlet
-- @section Limiters

local atomics = require "ringlet.shared_atomic"
local core = require "ringlet.core"
local limits = require "ringlet.limiter_rate"
local travel = require "ringlet.travel"
local units_of = require "ringlet.limiter_units"

local ceil, floor, huge, max = math.ceil, math.floor, math.huge, math.max

local M = {}

local YEARS = 5 * 365 * 86400
local TICK_MAX = 1e6

-- ---- the account --------------------------------------------------------------------------------

local Shared = limits.kind "gcra"

-- Whole numbers for a rate: {tick =, per_tick =, token =}, nil if there are none.
local function measure(rate, burst)
  local tick = 1
  while tick <= TICK_MAX do
    local per_tick, token = units_of.of(rate, burst, units_of.SECOND / tick)
    local seconds = units_of.EXACT / per_tick * tick / units_of.SECOND
    if per_tick % 1 == 0 and token % 1 == 0 and seconds >= YEARS then
      return {tick = tick, per_tick = per_tick, token = token}
    end
    tick = tick * 10
  end
end

function Shared:start_(config)
  self.burst, self.tick, self.per_tick = config.burst, config.tick, config.per_tick
  self.token, self.full = config.token, config.burst * config.token
  self.second = units_of.SECOND / config.tick * config.per_tick
  self.atomic, self.origin = config.atomic, config.origin
end

-- The time in units, the theoretical arrival time, and what of it the atomic has. Other shards'
-- time may be a little ahead; what is far ahead was written by the clock of another run.
local function look(self, ns)
  local now, stored = floor((ns - self.origin) / self.tick) * self.per_tick, self.atomic:load()
  if stored - now > self.full + self.second then
    return now, now, stored
  end
  return now, max(stored, now), stored
end

function Shared:take_(ns, n)
  if n > self.burst then
    return huge
  end
  local now, tat, stored
  repeat
    now, tat, stored = look(self, ns)
    tat = tat + n * self.token
    if tat - now > self.full then
      return ceil((tat - now - self.full) / self.per_tick) * self.tick
    end
  until self.atomic:cas(stored, tat)
  return 0
end

function Shared:delay_(ns, n)
  local now, tat = look(self, ns)
  return max(0, ceil((tat + n * self.token - now - self.full) / self.per_tick) * self.tick)
end

function Shared:free_(ns)
  local now, tat = look(self, ns)
  return max(0, floor((self.full - (tat - now)) / self.token))
end

function Shared:rate_()
  return self.config.rate
end

function Shared:text_()
  return ("%g/s, shared"):format(self.config.rate)
end

-- ---- handles ------------------------------------------------------------------------------------

local Handle = {__name = "ringlet.limiter"}
Handle.__index = Handle
travel.register_type("ringlet.limiter", Handle)

-- The limiters of this shard: by handle, and by what the handles share.
local by_handle = setmetatable({}, {__mode = "k"})
local by_id = setmetatable({}, {__mode = "v"})
local made = 0

local function here(handle)
  local one = by_handle[handle]
  if not one then
    local config = handle.config
    one = by_id[config.id] or limits.new(Shared, config)
    by_id[config.id], by_handle[handle] = one, one
  end
  return one
end

function Handle:allow(n)
  return here(self):allow(n)
end

function Handle:wait(n, t)
  return here(self):wait(n, t)
end

function Handle:stats()
  return here(self):stats()
end

function Handle:__tostring()
  return tostring(here(self))
end

function Handle:set_rate(rate, burst) -- luacheck: no unused args
  error("a shared limiter keeps its rate", 2)
end

function Handle:of(key) -- luacheck: no unused args
  error("a shared limiter has no keys", 2)
end

-- A limiter that shards share; nil when the rate cannot be counted exactly.
-- `config` is {rate, burst}.
function M.new(config)
  local numbers = measure(config.rate, config.burst)
  if not numbers then
    return nil
  end
  config.tick, config.per_tick, config.token = numbers.tick, numbers.per_tick, numbers.token
  config.atomic, config.origin = atomics.new(0), floor(core.now() * 1e9 + 0.5)
  made = made + 1
  config.id = ("%s %d %d"):format(tostring(by_id), made, config.origin)
  return setmetatable({config = config}, Handle)
end

return M
