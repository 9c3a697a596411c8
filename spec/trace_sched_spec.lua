-- SPDX-License-Identifier: MIT
-- RINGLET_TRACE=sched: one line for each shard, of a form that can be relied on.
local H = require "spec.helper"

local LINE = "^SCHED (%d+)ms: shard=(%d+) runq=(%d+) injq=(%d+) idle=(%d+) parked=(%d+) "
  .. "timers=(%d+) inflight=(%d+) steals=(%d+) preempts=(%d+)$"
local FIELDS = {"ms", "shard", "runq", "injq", "idle", "parked", "timers", "inflight", "steals",
  "preempts"}

local function lines_of(text)
  local list = {}
  for line in text:gmatch "[^\n]+" do
    local values, entry = {line:match(LINE)}, {}
    assert(values[1], "not of the form: " .. line)
    for i, name in ipairs(FIELDS) do entry[name] = tonumber(values[i]) end
    list[#list + 1] = entry
  end
  return list
end

describe("RINGLET_TRACE=sched", function()
  it("has a line for each shard and interval", function()
    if H.missing.uring then return pending(H.missing.uring) end
    local out, code = H.script([[rl.run(function()
      for i = 1, 7 do rl.go(rl.sleep, 1000) end
      for _ = 1, 8 do rl.sleep(0.05) end
      rl.spawn_on(2, function() require "ringlet".sleep(0.05) end):join()
      os.exit(0)
    end, {shards = 2})]], "RINGLET_TRACE=sched:40")
    assert.equal(0, code)
    -- A thread's timers fire in their order, however late: one of 40 ms at each sleep of 50 ms, and
    -- perhaps just when the sleeper was woken.
    local per, complete = {0, 0}, 0
    for _, line in ipairs(lines_of(out)) do
      per[line.shard] = per[line.shard] + 1
      assert.is_true(line.ms >= 40 * per[line.shard] - 10) -- late on a busy machine, never early
      local live = line.parked + line.runq
      assert.is_true(live <= (line.shard == 1 and 8 or 1), live)
      complete = complete + (live == 8 and line.parked >= 7 and 1 or 0)
      assert.is_true(line.idle <= 1)
      assert.is_true(line.timers >= line.parked)
    end
    assert.is_true(complete >= 8, complete)
    assert.is_true(per[2] >= 1)
  end)

  it("agrees with the counters", function()
    local out = H.script([[rl.run(function()
      for i = 1, 5 do rl.go(rl.sleep, 10) end
      local s
      rl.go(function() rl.sleep(0.95) s = rl.stats() end)
      rl.sleep(1.5)
      io.stderr:write(("%d %d\n"):format(s.tasks, s.timers))
      rl.stop(0)
    end, {backend = "sim"})]], "RINGLET_TRACE=sched:1000")
    local line, rest = out:match "^(SCHED[^\n]+)\n(.*)"
    local entry = lines_of(line)[1]
    local _, timers = rest:match "^(%d+) (%d+)"
    assert.equal(6, entry.parked) -- that which asked at 0.95 has ended
    assert.is_true(math.abs(entry.timers - tonumber(timers)) <= 1)
  end)

  it("is silent when the variable says something else", function()
    for _, value in ipairs{"", "sched", "sched:0", "sched:x", "other:100"} do
      local out, code = H.script("rl.run(function() rl.sleep(0.01) end)",
        "RINGLET_TRACE=" .. value)
      assert.same({"", 0}, {out, code})
    end
  end)
end)
