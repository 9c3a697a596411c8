-- SPDX-License-Identifier: MIT
-- limiter_units: a rate as whole numbers, so that no token is ever late or early by a rounding.
--
-- A rate that is p / q tokens a second, as every rate is that people write down, gives back p units
-- in a tick of the clock if a token is `ticks a second * q` units. Times are whole ticks; so all
-- sums are sums of whole numbers, and exact up to 2^53.

local M = {}

--- Ticks of a second when nothing else is said: nanoseconds.
M.SECOND = 1e9
--- Up to where LuaJIT's numbers are exact.
M.EXACT = 2 ^ 53
-- Larger divisors are no fraction that somebody meant.
local DIVISOR_MAX = 1e6

-- The fraction with the smallest divisor that is x as a number: continued fractions.
local function fraction(x)
  local p0, q0, p, q, rest = 1, 0, math.floor(x), 1, x
  while p / q ~= x do
    rest = 1 / (rest - math.floor(rest))
    local a = math.floor(rest)
    p0, q0, p, q = p, q, a * p + p0, a * q + q0
    if q > DIVISOR_MAX or q ~= q then
      return x, 1
    end
  end
  return p, q
end

local function common_divisor(a, b)
  while b > 0 do
    a, b = b, math.fmod(a, b)
  end
  return a
end

--- What one tick gives back and what one token takes, in units.
-- @tparam number rate tokens a second
-- @tparam number most tokens that are counted together
-- @tparam number second ticks of a second
-- @treturn number units a tick
-- @treturn number units a token
function M.of(rate, most, second)
  local p, q = fraction(rate * 1.0)
  local token = second * q
  if p % 1 == 0 and p < M.EXACT then
    local divisor = common_divisor(token, p)
    p, token = p / divisor, token / divisor
  end
  if most * token > M.EXACT / 2 then
    return rate * 1.0, second * 1.0 -- rounded, in the last of 16 digits
  end
  return p * 1.0, token
end

return M
