-- SPDX-License-Identifier: MIT
-- limiter_bucket: the token bucket: tokens drip in at the rate, up to the burst.
--
-- Invariants: 0 <= units <= full; `units` is what there was at `last`. A clock that went back -
-- that of another run - gives nothing and takes nothing.

local limits = require "ringlet.limiter_rate"
local units_of = require "ringlet.limiter_units"

local ceil, floor, huge, max, min = math.ceil, math.floor, math.huge, math.max, math.min

local Bucket = limits.kind "token_bucket"

local RATE, BURST = {above = 0}, {min = 1, whole = true}

function Bucket.check_(rate, burst)
  limits.check(rate, RATE, "the rate")
  limits.check(burst, BURST, "the burst", true)
end

local function measure(self, config)
  self.burst = config.burst
  self.per_ns, self.token = units_of.of(config.rate, config.burst, units_of.SECOND)
  self.full = config.burst * self.token
end

function Bucket:start_(config, ns)
  measure(self, config)
  self.units = min(config.fill or config.burst, config.burst) * self.token
  self.last = ns
end

-- What there is at `ns`.
local function refill(self, ns)
  local units, passed = self.units, ns - self.last
  if passed > 0 and units < self.full then
    units = units + passed * self.per_ns
    if units > self.full then
      units = self.full
    end
    self.units = units
  end
  self.last = ns
  return units
end

function Bucket:set_(rate, burst, ns)
  local tokens = refill(self, ns) / self.token
  local config = self.config
  config.rate, config.burst = rate, burst or config.burst
  measure(self, config)
  self.units = min(floor(tokens * self.token + 0.5), self.full)
end

function Bucket:take_(ns, n)
  local units, needed = refill(self, ns), n * self.token
  if needed <= units then
    self.units = units - needed
    return 0
  elseif n > self.burst then
    return huge
  end
  return ceil((needed - units) / self.per_ns)
end

function Bucket:delay_(ns, n)
  return max(0, ceil((n * self.token - refill(self, ns)) / self.per_ns))
end

function Bucket:free_(ns)
  return floor(refill(self, ns) / self.token)
end

function Bucket:full_(ns)
  return refill(self, ns) >= self.full
end

function Bucket:rate_()
  return self.config.rate
end

function Bucket:text_()
  return ("%g/s"):format(self.config.rate)
end

return Bucket
