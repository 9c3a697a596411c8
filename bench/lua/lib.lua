-- SPDX-License-Identifier: MIT
-- What every Lua bench shares: the command line, clocks, and the `name value unit` lines.
-- The clocks come from the C module benchclock (bench/floor/clock.c, built by bench/run), so that a
-- figure never depends on when the runtime last read its own clock.

local rl = require "ringlet"

local lib = { rl = rl }

local has_clock, clock = pcall(require, "benchclock")
if not has_clock then
  clock = { wall = rl.now, cpu = os.clock }
  io.stderr:write("bench: benchclock is not on LUA_CPATH, using rl.now and os.clock\n")
end

lib.wall, lib.cpu = clock.wall, clock.cpu

local scale = tonumber(os.getenv "BENCH_SCALE") or 1

--- n times BENCH_SCALE, an integer of at least 1.
function lib.scaled(n)
  local value = math.floor(n * scale)
  return value < 1 and 1 or value
end

function lib.report(name, value, unit)
  print(string.format("%s %.4g %s", name, value, unit))
end

--- A stopwatch of wall and CPU time: per_op(name, n) reports ns, total(name) seconds.
function lib.start()
  local wall, cpu = lib.wall(), lib.cpu()
  return {
    per_op = function(name, operations)
      local wall_s, cpu_s = lib.wall() - wall, lib.cpu() - cpu
      lib.report(name, wall_s * 1e9 / operations, "ns")
      lib.report(name .. ".cpu", cpu_s * 1e9 / operations, "ns")
    end,
    total = function(name)
      local wall_s, cpu_s = lib.wall() - wall, lib.cpu() - cpu
      lib.report(name, wall_s, "s")
      lib.report(name .. ".cpu", cpu_s, "s")
    end,
  }
end

--- Resident bytes of this process after a full collection.
function lib.resident()
  collectgarbage()
  collectgarbage()
  local file = assert(io.open("/proc/self/statm"))
  local pages = tonumber(file:read("*l"):match("^%d+ (%d+)"))
  file:close()
  return pages * 4096
end

function lib.check(ok, what)
  if not ok then error("wrong result: " .. what, 2) end
end

--- A value goes to another task and comes back, over two unbuffered channels, so many times.
function lib.pingpong(rounds)
  local ping, pong = rl.chan(), rl.chan()
  local echo = rl.go(function()
    while true do
      local v = ping:recv()
      if v == nil then return end
      pong:send(v)
    end
  end)
  for i = 1, rounds do
    ping:send(i)
    if pong:recv() ~= i then lib.check(false, "pingpong") end
  end
  ping:close()
  echo:join()
end

--- The bench named by the first command-line argument.
function lib.choose(benches)
  local name = arg[1]
  local bench = benches[name]
  if not bench then
    local names = {}
    for known in pairs(benches) do names[#names + 1] = known end
    table.sort(names)
    io.stderr:write("usage: ", arg[0], " ", table.concat(names, "|"), "\n")
    os.exit(2)
  end
  return bench
end

--- Runs that bench inside rl.run; it gets the other arguments.
function lib.main(benches)
  rl.run(lib.choose(benches), nil, (table.unpack or unpack)(arg, 2)) -- luacheck: ignore 113
end

return lib
