-- SPDX-License-Identifier: MIT
-- Overload, in real time: what becomes of a service's latency when it is offered far more than it
-- can do, or short work beside long, and how its guards change that.
--
-- Load is open: a call has a time at which it is due, whatever became of those before it, and its
-- latency counts from that. The service has so many servers, and a queue of whatever waits for
-- them.

local lib = dofile((arg[0]:match "^.*/" or "") .. "lib.lua")
local rl = lib.rl

local SERVERS, SERVICE_S = 8, 0.02
local CAPACITY = SERVERS / SERVICE_S
local UNLOADED = 0.3 -- of the capacity
local BURST = 50     -- times the capacity

local function exponential(mean)
  return -mean * math.log(1 - math.random())
end

-- ---- the service --------------------------------------------------------------------------------

local function new_service()
  local servers = rl.semaphore(SERVERS)
  return function()
    servers:acquire()
    rl.sleep(exponential(SERVICE_S))
    servers:release()
    return true
  end
end

-- ---- load ---------------------------------------------------------------------------------------

-- One call that was due at `due`: what it is told, and after how long.
local function one_call(call, due, seen)
  local ok = call()
  local list = ok and seen.admitted or seen.refused
  local n = list.n + 1
  list.n, list.due[n], list.took[n] = n, due, lib.wall() - due
  seen.pending = seen.pending - 1
end

-- Calls at so many a second, Poisson, for so many seconds from now; does not wait for their ends.
local function offer(call, rate, seconds, seen)
  local due = lib.wall()
  local till = due + seconds
  while due < till and seen.pending < seen.most do
    local now = lib.wall()
    while due <= now and due < till do
      seen.pending = seen.pending + 1
      rl.go(one_call, call, due, seen)
      due = due + exponential(1 / rate)
    end
    rl.sleep(math.max(0, math.min(due - now, 0.001)))
  end
end

-- `most`: who has so many calls pending at once is drowning, and is offered no more.
local function new_record(most)
  local function list()
    return {n = 0, due = {}, took = {}}
  end
  return {admitted = list(), refused = list(), pending = 0, most = most or math.huge}
end

local function drain(seen, seconds)
  local till = lib.wall() + seconds
  while seen.pending > 0 and lib.wall() < till do rl.sleep(0.01) end
end

-- ---- what came of it ----------------------------------------------------------------------------

-- Of the calls that were due in a time, and how many those were.
local function percentile(list, p, from, till)
  local values = {}
  for i = 1, list.n do
    if list.due[i] >= (from or 0) and list.due[i] < (till or math.huge) then
      values[#values + 1] = list.took[i]
    end
  end
  table.sort(values)
  return values[math.max(1, math.ceil(#values * p))] or 0, #values
end

local function ended_in(list, from, till)
  local n = 0
  for i = 1, list.n do
    local at = list.due[i] + list.took[i]
    if at >= from and at < till then n = n + 1 end
  end
  return n
end

-- Seconds from the end of the burst to the beginning of the first quarter of a second from which
-- on, in each, no more than 5 % were refused and half were faster than the p90 of the unloaded
-- service.
local function recovery(seen, from, till, unloaded_p90)
  local recovered
  for at = from, till - 0.25, 0.25 do
    local median, n = percentile(seen.admitted, 0.5, at, at + 0.25)
    local _, refused = percentile(seen.refused, 0.5, at, at + 0.25)
    local is_well = n > 0 and median <= unloaded_p90 and refused <= 0.05 * (n + refused)
    recovered = is_well and (recovered or at) or nil
  end
  return recovered and recovered - from or till - from
end

-- The latencies without overload.
local function unloaded(seconds)
  local seen = new_record()
  local call = new_service()
  offer(call, UNLOADED * CAPACITY, seconds, seen)
  drain(seen, 2)
  return percentile(seen.admitted, 0.99), percentile(seen.admitted, 0.9)
end

-- Seconds in which this thread was ready to run and the machine had others to run: what is slower
-- for that is not our doing.
local function stolen()
  local file = assert(io.open("/proc/thread-self/schedstat"))
  local waited = file:read("*l"):match("^%d+ (%d+)")
  file:close()
  return waited / 1e9
end

-- ---- burst --------------------------------------------------------------------------------------

local function play_burst(name, call, seconds, p99, p90, most)
  local seen = new_record(most)
  offer(call, UNLOADED * CAPACITY, 2, seen)
  local begin, stolen_before = lib.wall(), stolen()
  offer(call, BURST * CAPACITY, seconds, seen)
  local over, lost = lib.wall(), stolen() - stolen_before
  seen.most = math.huge
  offer(call, UNLOADED * CAPACITY, 3, seen)
  local till = lib.wall()
  drain(seen, 2)
  local admitted_p99, n = percentile(seen.admitted, 0.99, begin, over)
  local refused_p99, refused = percentile(seen.refused, 0.99, begin, over)
  lib.report(name .. "_p99", admitted_p99 * 1000, "ms")
  lib.report(name .. "_ratio", admitted_p99 / p99, "times")
  lib.report(name .. "_refusal_p99", refused_p99 * 1000, "ms")
  lib.report(name .. "_refusal_p50", percentile(seen.refused, 0.5, begin, over) * 1000, "ms")
  lib.report(name .. "_refused", 100 * refused / math.max(1, n + refused), "%")
  local goodput = ended_in(seen.admitted, begin, over) / (over - begin)
  lib.report(name .. "_goodput", 100 * goodput / CAPACITY, "%")
  lib.report(name .. "_stolen", 100 * lost / (over - begin), "%")
  lib.report(name .. "_recovery", recovery(seen, over, till, p90), "s")
end

--- 50 times the capacity for 10 s, behind a limiter and without one. Without, everybody waits: it
-- is offered for a twentieth of the time, or there were a task for each of 200,000 calls.
local function burst()
  local seconds = 10 * math.min(1, lib.scaled(100) / 100)
  local p99, p90 = unloaded(math.max(3, seconds))
  lib.report("burst_unloaded_p99", p99 * 1000, "ms")
  local service = new_service()
  local limiter = rl.limiter {
    kind = "concurrency", algorithm = "gradient", queue_wait = p99 / 2,
  }
  play_burst("burst", function() return limiter:call(service) end, seconds, p99, p90)
  lib.report("burst_limit", 100 * limiter:stats().limit / SERVERS, "%")
  play_burst("burst_bare", new_service(), seconds / 20, p99, p90, 20000)
end

-- ---- mixed --------------------------------------------------------------------------------------

-- A backend with so many connections; 95 % of the tasks need one for 1 ms, 5 % for 300 ms. What
-- tasks contend for is these connections, so nothing here depends on how fast the machine is.
-- Without limits for each class the long ones have nearly all of the connections now and then, and
-- a short one waits for the first of them to end. With limits, which are no more than the
-- connections in sum, the short ones have some that no long one takes, and the long ones wait
-- instead. Both get the same tasks at the same times.
local CONNECTIONS, SHORT_SEATS = 16, 4
local SHORT_S, LONG_S, LONG_SHARE, LOAD = 0.001, 0.3, 0.05, 0.7

local function new_backend()
  local connections = rl.semaphore(CONNECTIONS)
  return function(list, due, seconds)
    connections:acquire()
    rl.sleep(seconds)
    connections:release()
    list.n = list.n + 1
    list.due[list.n], list.took[list.n] = due, lib.wall() - due
  end
end

-- Who is to run short and long tasks, and what came of them.
local function new_setup(short_pool, long_pool)
  local seen = new_record()
  local backend = new_backend()
  return {pools = {short_pool, long_pool}, short = seen.admitted, long = seen.refused,
    submit = function(is_long, due)
      if is_long then
        long_pool:submit(backend, seen.refused, due, LONG_S)
      else
        short_pool:submit(backend, seen.admitted, due, SHORT_S)
      end
    end}
end

local function offer_mixed(setups, seconds)
  local rate = LOAD * CONNECTIONS / ((1 - LONG_SHARE) * SHORT_S + LONG_SHARE * LONG_S)
  local due = lib.wall()
  local till = due + seconds
  while due < till do
    rl.sleep(math.max(0, due - lib.wall()))
    local is_long = math.random() < LONG_SHARE
    for _, setup in ipairs(setups) do setup.submit(is_long, due) end
    due = due + exponential(1 / rate)
  end
end

local function report_mixed(name, setup)
  for _, pool in ipairs(setup.pools) do pool:close(10) end
  local short = percentile(setup.short, 0.99)
  lib.report(name .. "_p50", percentile(setup.short, 0.5) * 1000, "ms")
  lib.report(name .. "_p99", short * 1000, "ms")
  lib.report(name .. "_long_p99", percentile(setup.long, 0.99) * 1000, "ms")
  return short
end

--- Short and long tasks: one pool without limits, beside a pool for each class.
local function mixed()
  local one = rl.pool {size = -1, name = "one"}
  local unlimited = new_setup(one, one)
  local classes = new_setup(
    rl.pool {size = SHORT_SEATS, queue = math.huge, name = "short"},
    rl.pool {size = CONNECTIONS - SHORT_SEATS, queue = math.huge, name = "long"})
  offer_mixed({unlimited, classes}, math.max(5, lib.scaled(20)))
  local bare, limited = report_mixed("mixed_one", unlimited), report_mixed("mixed", classes)
  lib.report("mixed_ratio", limited / bare, "times")
end

lib.main {burst = burst, mixed = mixed}
