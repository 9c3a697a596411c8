-- SPDX-License-Identifier: MIT
-- random: numbers from a seed, the same on every Lua.

local Random = {}
Random.__index = Random

local MODULUS = 2147483647

local function new(seed)
  local self = setmetatable({state = (seed * 7919 + 17) % (MODULUS - 1) + 1}, Random)
  for _ = 1, 5 do
    self:next()
  end
  return self
end

-- Park and Miller: every product is exact in a double.
function Random:next()
  self.state = self.state * 16807 % MODULUS
  return self.state
end

-- A whole number from a to b.
function Random:int(a, b)
  return a + math.floor(self:next() / MODULUS * (b - a + 1))
end

function Random:chance(p)
  return self:next() / MODULUS < p
end

function Random:pick(list)
  return list[self:int(1, #list)]
end

-- A key of `weights` (key -> weight); `keys` lists them in a fixed order.
function Random:weighted(keys, weights)
  local total = 0
  for _, key in ipairs(keys) do
    total = total + weights[key]
  end
  local at = self:next() / MODULUS * total
  for _, key in ipairs(keys) do
    at = at - weights[key]
    if at < 0 then
      return key
    end
  end
  return keys[#keys]
end

function Random:shuffle(list)
  for i = #list, 2, -1 do
    local j = self:int(1, i)
    list[i], list[j] = list[j], list[i]
  end
  return list
end

return {new = new}
