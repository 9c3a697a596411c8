-- SPDX-License-Identifier: MIT
-- Counts primes on one core and on all, with progress: luajit examples/primes.lua [limit]

local rl = require "ringlet"

local limit = tonumber(arg and arg[1]) or 2e6
local PIECE = 20000

-- How many primes there are from first to last.
local function count(first, last)
  local n = 0
  for i = math.max(first, 2), last do
    local is_prime = i % 2 ~= 0 or i == 2
    for k = 3, math.floor(i ^ 0.5), 2 do
      if i % k == 0 then
        is_prime = false
        break
      end
    end
    n = n + (is_prime and 1 or 0)
  end
  return n
end

local function count_all(shards)
  return rl.run(function()
    local pieces, total, began = {}, 0, rl.now()
    for first = 1, limit, PIECE do
      pieces[#pieces + 1] = first
    end
    local counts = assert(rl.map(pieces, function(first)
      return count(first, math.min(first + PIECE - 1, limit))
    end, {
      cores = true,
      progress = function(done, all)
        io.stderr:write(("\r%d shards: %3.0f %%"):format(rl.shards(), 100 * done / all))
      end,
    }))
    for _, n in ipairs(counts) do
      total = total + n
    end
    io.stderr:write "\n"
    return rl.now() - began, total, rl.shards()
  end, {shards = shards})
end

local alone, total = count_all(1)
local together, same, shards = count_all "auto"
assert(total == same)
print(("%d primes up to %d"):format(total, limit))
print(("one core: %.2f s; %d shards: %.2f s, %.2f times as fast"):format(
  alone, shards, together, alone / together))
