-- SPDX-License-Identifier: MIT
-- limiter_gcra: the generic cell rate algorithm, by virtual scheduling (ITU-T I.371, annex A).
--
-- All that is kept is `tat`, the theoretical arrival time: when the next token would be due if they
-- came at exactly the rate. What comes before it is early, and may be by (burst - 1) / rate. So a
-- bucket of `burst` tokens and this say the same; here the state is one number.
--
-- Times are units since `origin`, which moves before they become too large to be exact.
--
-- Invariant: tat is at most `full` after the time of the last look; if it is much more, it was set
-- by the clock of another run, and the limiter is as new.

local limits = require "ringlet.limiter_rate"
local units_of = require "ringlet.limiter_units"

local ceil, floor, huge, max = math.ceil, math.floor, math.huge, math.max
local ORIGIN_MAX = units_of.EXACT / 4

local Gcra = limits.kind "gcra"

local RATE, BURST = {above = 0}, {min = 1, whole = true}

function Gcra.check_(rate, burst)
  limits.check(rate, RATE, "the rate")
  limits.check(burst, BURST, "the burst", true)
end

local function measure(self, config)
  self.burst = config.burst
  self.per_ns, self.token = units_of.of(config.rate, config.burst, units_of.SECOND)
  self.full, self.second = config.burst * self.token, units_of.SECOND * self.per_ns
end

function Gcra:start_(config, ns)
  measure(self, config)
  self.origin, self.tat = ns, 0
end

-- The time in units, and the theoretical arrival time, which is not before it.
local function look(self, ns)
  local now, tat = (ns - self.origin) * self.per_ns, self.tat
  if now > ORIGIN_MAX then
    tat = tat - now
    self.origin, self.tat, now = ns, tat, 0
  end
  if tat < now then
    tat = now
  elseif tat - now > self.full then
    tat = tat - now > self.full + self.second and now or now + self.full
  end
  return now, tat
end

function Gcra:set_(rate, burst, ns)
  local now, tat = look(self, ns)
  local tokens = (self.full - (tat - now)) / self.token
  local config = self.config
  config.rate, config.burst = rate, burst or config.burst
  measure(self, config)
  self.origin, self.tat = ns, max(0, floor(self.full - tokens * self.token + 0.5))
end

function Gcra:take_(ns, n)
  local now, tat = look(self, ns)
  tat = tat + n * self.token
  local early = tat - now - self.full
  if early <= 0 then
    self.tat = tat
    return 0
  elseif n > self.burst then
    return huge
  end
  return ceil(early / self.per_ns)
end

function Gcra:delay_(ns, n)
  local now, tat = look(self, ns)
  return max(0, ceil((tat + n * self.token - now - self.full) / self.per_ns))
end

function Gcra:free_(ns)
  local now, tat = look(self, ns)
  return floor((self.full - (tat - now)) / self.token)
end

function Gcra:full_(ns)
  local now, tat = look(self, ns)
  return tat <= now
end

function Gcra:rate_()
  return self.config.rate
end

function Gcra:text_()
  return ("%g/s"):format(self.config.rate)
end

return Gcra
