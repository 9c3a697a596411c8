-- SPDX-License-Identifier: MIT
-- What `make bench-bpf` must reach. A row of the table:
--   row      which row of bench/bpf/run records its values
--   value    the value that is judged: the one with eBPF where there is one
--   user     the same without privileges, if there is such a way; judged too where `both` is true,
--            for comparison otherwise
--   of, than what both are divided by, and its name; without it they are judged as they are
--   most     they are at most that; or least, at least
--   aim      what the ratio would better be, said beside the gate

local rows = {}

local function under_load(row, what)
  local function compare(name, title, gate)
    gate.row, gate.title, gate.both = row, what .. ": " .. title, true
    gate.value, gate.user = row .. ".wakeup." .. name, row .. ".classify." .. name
    gate.of, gate.than = row .. ".fifo." .. name, "FIFO"
    rows[#rows + 1] = gate
  end
  return compare
end

local compare = under_load("persistent", "64 bulk connections x 100 us, persistent critical ones")
compare("p50_us", "p50", { most = 0.05 })
compare("p90_us", "p90", { most = 0.05 })
compare("p99_us", "p99", { most = 0.4, aim = 0.27 })
compare("bulk", "bulk throughput", { least = 0.95 })

compare = under_load("fresh", "the same, a fresh connection per critical request")
compare("p50_us", "p50", { most = 0.05 })
compare("p99_us", "p99", { most = 0.27 })

compare = under_load("computing", "8 tasks computing 5 ms each, interpreted")
compare("p99_us", "p99", { most = 0.15 })

local function add(row) rows[#rows + 1] = row end

add { row = "balance", title = "16 connections on 4 shards: max/mean", value = "balance.least",
      user = "balance.hash", most = 1.10 }
add { row = "stalled", title = "one shard of 4 stalled half the time: p95",
      value = "stalled.least.p95_us", of = "stalled.hash.p95_us", than = "hash", most = 0.05 }
add { row = "stalled", title = "one shard of 4 stalled half the time: p99",
      value = "stalled.least.p99_us", of = "stalled.hash.p99_us", than = "hash", most = 0.2 }
add { row = "closing", title = "resets while a listener is closed, 100,000 connects",
      value = "closing.resets", user = "closing.hash_resets", most = 0 }
add { row = "classifier", title = "the classifier for a segment, by test run",
      value = "classifier.test_run", most = 300 }
add { row = "classifier", title = "the classifier for a segment, in place",
      value = "classifier.in_place", most = 450 }
add { row = "runqueue", title = "a run-queue event", value = "runqueue.event", most = 250 }
add { row = "connects", title = "connects not counted, or counted too often, of 100,000",
      value = "connects.missed", most = 0 }

return rows
