-- SPDX-License-Identifier: MIT
-- What the programs of bpf.metrics cost, and whether they count right.
--
--   lua bench/bpf/metrics.lua runqueue     an event of the scheduler, and a ping-pong that does
--                                          nothing but switch, with them and without
--   lua bench/bpf/metrics.lua connects     100,000 connects, counted by who makes them and in the
--                                          kernel
-- BENCH_SCALE=0.1 makes a tenth of it. Lines are `name value unit`; status 77: not to be measured
-- here, and stderr has the reason.

local bpf = require "ringlet.bpf"
local net = require "ringlet.net"
local rl = require "ringlet"

local unpack = table.unpack or rawget(_G, "unpack")
local scale = tonumber(os.getenv "BENCH_SCALE") or 1
local ROUNDS, TRIPS = 5, math.ceil(20000 * scale)
local CONNECTS, CLIENTS = math.ceil(100000 * scale), 32
local REFUSED_EVERY, NOWHERE = 1000, "127.0.0.1:1" -- one of so many goes to where nobody listens

local function report(name, value, unit)
  print(("%s %.6g %s"):format(name, value, unit))
end

local function counter(list)
  local m, msg, code = bpf.metrics(list)
  if not m then
    io.stderr:write(msg, "\n")
    os.exit(code == "EPERM" and 77 or code == "ENOSYS" and 77 or 1)
  end
  return m
end

local function median(list)
  table.sort(list)
  return list[math.ceil(#list / 2)]
end

-- ---- run queue ----------------------------------------------------------------------------------

-- A byte to `cat` and back, again and again: two wake-ups and two switches each. Seconds.
local function ping_pong(to, from)
  local begun = rl.now()
  for _ = 1, TRIPS do
    to:write "x"
    from:read(1)
  end
  return rl.now() - begun
end

local function with_cat(fn)
  local dir = os.tmpname()
  os.remove(dir)
  local a, b = dir .. ".a", dir .. ".b"
  assert(os.execute(("mkfifo %s %s && (cat -u <%s >%s &)"):format(a, b, a, b)))
  local to, from = assert(io.open(a, "w")), assert(io.open(b, "r"))
  os.remove(a)
  os.remove(b)
  to:setvbuf "no"
  fn(to, from)
  to:close()
  from:close()
end

-- ns of one run of one program, and of all.
local function costs(m)
  local runs, ns, each = 0, 0, {}
  for name, stats in pairs(m:stats()) do
    runs, ns = runs + stats.runs, ns + stats.ns
    each[name] = stats.runs > 0 and stats.ns / stats.runs or 0
  end
  return ns / runs, each
end

local function runqueue()
  local plain, counted, events, switches, wakeups = {}, {}, {}, {}, {}
  with_cat(function(to, from)
    ping_pong(to, from)
    for i = 1, ROUNDS do
      plain[i] = ping_pong(to, from)
      local m = counter {"runqlat"}
      counted[i] = ping_pong(to, from)
      m:stats()
      ping_pong(to, from)
      local each
      events[i], each = costs(m)
      switches[i], wakeups[i] = each.on_switch, each.on_wakeup
      m:close()
    end
  end)
  report("event", median(events), "ns")
  report("switch", median(switches), "ns")
  report("wakeup", median(wakeups), "ns")
  report("trip_without", median(plain) / TRIPS * 1e9, "ns")
  report("trip_with", median(counted) / TRIPS * 1e9, "ns")
  -- On a busy machine the fastest rounds say most.
  report("trip_ratio", math.min(unpack(counted)) / math.min(unpack(plain)), "x")
end

-- ---- connections --------------------------------------------------------------------------------

-- Make CONNECTS connections and reset them, so that no port is kept; what became of them.
local function connect_all(addr, refusing)
  local made = {connects = 0, established = 0, failed = 0}
  rl.scope(function(s)
    for _ = 1, CLIENTS do
      s:go(function()
        while made.connects < CONNECTS do
          made.connects = made.connects + 1
          local to = made.connects % REFUSED_EVERY == 0 and refusing or addr
          local conn = net.connect(to)
          if conn then
            made.established = made.established + 1
            conn:abort()
          else
            made.failed = made.failed + 1
          end
        end
      end)
    end
  end)
  return made
end

local function connects()
  local m = counter {"tcp_connect", "tcp_accept", "retransmit"}
  local server = net.serve("127.0.0.1:0", function(conn) conn:read() end)
  m:stats()
  local begun = rl.now()
  local made = connect_all(server:addr(), NOWHERE)
  local seconds = rl.now() - begun
  local reading, missed = m:read(), 0
  made.accepts = made.established
  for _, name in ipairs {"connects", "established", "failed", "accepts"} do
    report(name, reading[name], "connections")
    missed = missed + math.abs(reading[name] - made[name])
  end
  report("made", made.connects, "connections")
  report("missed", missed, "connections")
  report("retransmits", reading.retransmits, "segments")
  report("rate", made.connects / seconds, "connects/s")
  local state = m:stats().on_state
  report("connection", state.ns / made.connects, "ns")
  server:stop(0)
  m:close()
end

local ROWS = {runqueue = runqueue, connects = connects}
local row = ROWS[arg[1] or ""]
if not row then
  io.stderr:write "usage: metrics.lua runqueue|connects\n"
  os.exit(2)
end
-- What loads programs computes for longer than a slice, and so does a ping-pong.
rl.run(row, {on_overrun = function() end, stall_after = 0})
