-- SPDX-License-Identifier: MIT
-- What the runtime measures: exact counts of known programs, and what must hold on every shard
-- while it is hammered, read from the same shard and from another, stuck or not.
local H = require "spec.helper"
local metrics = require "ringlet.metrics"
local net = require "ringlet.net"
local rl = require "ringlet"
local shared = require "ringlet.shared"

-- Where turns are counted: a task whose thread waits for a CPU is interrupted wherever it is.
local IN_TURN = {preempt = false}

local function one(name)
  return metrics.read {name} [name]
end

-- The values of one name by the value of its label.
local function by(snap, name, label)
  local out = {}
  for _, s in ipairs(snap:series(name)) do
    local key = s.labels[label]
    out[key] = (out[key] or 0) + (type(s.value) == "table" and s.value.count or s.value)
  end
  return out
end

local STATES = {"/tasks/running", "/tasks/runnable", "/tasks/waiting"}

-- Fails unless the numbers of this shard's reading agree with each other.
local function check_sums(snap, where)
  local sum = 0
  for _, name in ipairs(STATES) do
    assert(snap[name] >= 0, where .. ": " .. name .. " is negative")
    sum = sum + snap[name]
  end
  assert.equal(snap["/tasks/live"], snap["/tasks/created"] - snap["/tasks/finished"], where)
  assert.equal(snap["/tasks/live"], sum, where)
end

local NAMES = {"/tasks/live", "/tasks/created", "/tasks/finished", "/tasks/running",
  "/tasks/runnable", "/tasks/waiting", "/tasks/lifetime"}

H.both("metrics of the runtime", function(it)
  it("count tasks by what they do", function()
    local before = metrics.read()
    local gate = rl.event()
    for _ = 1, 7 do
      rl.go(gate.wait, gate)
    end
    rl.yield()
    rl.go(function() end)
    rl.go(function() end)
    check_sums(metrics.read(NAMES), "now")
    local now = metrics.read()
    assert.equal(1, now["/tasks/running:tasks"])
    assert.equal(2, now["/tasks/runnable:tasks"] - before["/tasks/runnable:tasks"])
    assert.equal(7, now["/tasks/waiting:tasks"] - before["/tasks/waiting:tasks"])
    assert.equal(9, now["/tasks/created:tasks"] - before["/tasks/created:tasks"])
    gate:set()
    rl.yield()
    rl.yield()
    local after = metrics.read()
    assert.equal(9, after["/tasks/finished:tasks"] - before["/tasks/finished:tasks"])
    assert.equal(before["/tasks/live:tasks"], after["/tasks/live:tasks"])
    assert.equal(9, after["/tasks/lifetime:seconds"].count
      - before["/tasks/lifetime:seconds"].count)
  end, IN_TURN)

  it("have names with and without the unit", function()
    local snap = metrics.read {"/tasks/live", "/tasks/live:tasks"}
    assert.equal(snap["/tasks/live"], snap["/tasks/live:tasks"])
    assert.same({"/tasks/live", "/tasks/live:tasks"},
      (function(list) table.sort(list) return list end)(snap:names()))
    assert.equal("integer", snap:kind "/tasks/live")
    assert.is_nil(snap["/tasks/created"])
    assert.matches("2 metrics of 1 shards", tostring(snap))
    H.raises_text("there is no metric '/tasks/dead'", metrics.read, {"/tasks/dead"})
    H.raises_text("a list of names expected", metrics.read, "/tasks/live")
    H.raises_text("is a string, not number", metrics.read, {1})
  end)

  it("are all read when none is asked for", function()
    local snap = metrics.read()
    local found = {}
    for _, name in ipairs(snap:names()) do
      found[name] = true
    end
    for _, about in ipairs(metrics.all()) do
      local may_lack = about.name:find "^/thread/" or about.help:find "bpf.metrics"
      assert(found[about.name] or about.label or may_lack, about.name)
      assert.matches("^/%l+/[%l%-]+:%l+$", about.name)
      assert.is_true(#about.help > 0 and about.unit ~= nil)
    end
  end)

  it("count the timers and bytes of the heap", function()
    local before = metrics.read {"/timers/live"} ["/timers/live"]
    local timer = rl.after(100)
    assert.equal(before + 1, one "/timers/live")
    timer:stop()
    assert.equal(before, one "/timers/live")
    local heap, counted = one "/gc/heap" / 1024, collectgarbage "count"
    assert.is_true(math.abs(heap - counted) < 0.2 * counted)
  end)

  it("count the tasks of pools by their names", function()
    local name = 'a"b ' .. tostring {}
    local pool = rl.pool {name = name, size = 2, queue = 3, overflow = "reject"}
    local gate = rl.event()
    for _ = 1, 7 do
      pool:submit(gate.wait, gate)
    end
    local function of(what)
      return by(metrics.read(), "/pool/" .. what .. ":tasks", "pool") [name]
    end
    rl.yield()
    assert.same({2, 3, 5, 2, 0}, {of "running", of "queued", of "submitted" - of "refused",
      of "refused", of "finished"})
    gate:set()
    pool:close(30)
    assert.same({0, 0, 5}, {of "running", of "queued", of "finished"})
    assert.is_truthy(metrics.text {names = {"/pool/finished"}} :find(
      ('ringlet_pool_finished_total{shard="1",pool="%s"} 5\n'):format(name:gsub('"', '\\"')),
      1, true))
  end, IN_TURN)

  it("have channel operations that waited", function()
    local before = by(metrics.read(), "/chan/parks:parks", "operation")
    local ch = rl.chan()
    rl.go(function()
      for _ = 1, 5 do
        ch:recv()
      end
    end)
    for i = 1, 5 do
      ch:send(i)
    end
    local main = rl.self()
    rl.go(function()
      H.eventually("a select that waits", function() return main:status() == "parked" end)
      ch:send(6)
    end)
    rl.select {{ch}}
    local now = by(metrics.read(), "/chan/parks:parks", "operation")
    local function more(op)
      return (now[op] or 0) - (before[op] or 0)
    end
    assert.equal(1, more "select")
    assert.is_true(more "receive" + more "send" >= 5)
  end)
end)

H.sim("metrics of known programs", function(it)
  it("have the times that tasks waited, to 1.6 %", function()
    local name = "/tasks/wait:seconds"
    local function sleeps()
      for _, s in ipairs(metrics.read {name} :series(name)) do
        if s.labels.reason == "sleep" then
          return s.value.count, s.value.sum
        end
      end
      return 0, 0
    end
    local count, sum = sleeps()
    for i = 1, 10 do
      rl.go(rl.sleep, i)
    end
    rl.sleep(20)
    local count_now, sum_now = sleeps()
    assert.equal(11, count_now - count)
    assert.is_true(math.abs(sum_now - sum - 75) < 11 * H.TICK)
  end)

  it("have the lifetimes of tasks", function()
    local before = one "/tasks/lifetime"
    for i = 1, 100 do
      rl.go(rl.sleep, i / 10)
    end
    rl.sleep(11)
    local now = one "/tasks/lifetime"
    assert.equal(100, now.count - before.count)
    assert.is_true(math.abs(now.sum - before.sum - 505) < 100 * H.TICK)
  end)

  it("of labels are by set", function()
    for i = 1, 6 do
      rl.go(rl.sleep, 1):label("type", i % 3 == 0 and "mail" or "order")
    end
    assert.same({mail = 2, order = 4}, by(metrics.read(), "/tasks/labelled:tasks", "type"))
    rl.sleep(2)
    assert.same({mail = 0, order = 0}, by(metrics.read(), "/tasks/labelled:tasks", "type"))
    assert.is_true(by(metrics.read(), "/tasks/labelled-created:tasks", "type").order >= 4)
  end)
end)

-- Tasks of every kind begin, wait and end until it is over.
local function hammer(over)
  while over:load() == 0 do
    local ch = rl.chan(2)
    rl.scope(function(s)
      for i = 1, 20 do
        s:go(function()
          ch:send(i)
          if i % 3 == 0 then
            rl.sleep(0.0005)
          end
        end)
      end
      for _ = 1, 20 do
        ch:recv()
      end
    end)
  end
end

-- Computes, and gives up no turn, until 2 tells it. True; nil if nobody did so in half a minute.
local function hog(stage)
  local due = os.time() + 30
  stage:store(1)
  while stage:load() == 1 do
    if os.time() > due then
      return nil
    end
  end
  return true
end

describe("metrics of several shards", function()
  for _, shards in ipairs {1, 2, 3} do
    it(("agree on each of %d while they are hammered"):format(shards), function()
      rl.run(function()
        local over = shared.atomic(0)
        for i = 2, shards do
          rl.spawn_on(i, hammer, over)
        end
        rl.go(hammer, over)
        for _ = 1, 150 do
          local all = metrics.read(NAMES)
          check_sums(all, "all")
          assert.equal(shards, #all.shards)
          for i = 1, shards do
            check_sums(all:shard(i), "shard " .. i)
          end
          rl.sleep(0.001)
        end
        over:store(1)
        assert.is_nil(metrics.read(NAMES):shard(shards + 1))
      end, {shards = shards})
    end)
  end

  it("tell of one that is stuck", function()
    rl.run(function()
      local stage = shared.atomic(0)
      local busy = rl.spawn_on(2, hog, stage)
      H.eventually("one that is stuck", function() return stage:load() == 1 end)
      local snap = metrics.read(NAMES)
      stage:store(2)
      check_sums(assert(snap:shard(2)), "stuck")
      assert.same({true, true}, {busy:join()})
    end, {shards = 2, preempt = false, on_stall = function() end})
  end)

  it("add up what they count of the program's own", function()
    local name = "spec_added_total"
    local function count(n, of)
      require "ringlet.metrics".counter(of, {help = "x", labels = {"who"}}):with("a"):add(n)
    end
    rl.run(function()
      count(3, name)
      rl.spawn_on(2, count, 4, name):join()
      local snap
      H.eventually("what the other has counted", function()
        snap = metrics.read {name}
        return snap[name] == 7
      end)
      assert.equal("counter", snap:kind(name))
      assert.equal(4, snap:shard(2)[name])
      assert.matches('spec_added_total{who="a"} 7\n', metrics.text {names = {name}})
    end, {shards = 2})
  end)
end)

-- ---- what the kernel tells ----------------------------------------------------------------------

-- Recv-Q and Send-Q of a listening socket, as ss(8) has them.
local function queues_of(port)
  local pipe = io.popen(("ss -Hlnt 'sport = :%s' 2>/dev/null"):format(port))
  local queued, max = pipe:read("*a"):match "^LISTEN%s+(%d+)%s+(%d+)"
  pipe:close()
  return tonumber(queued), tonumber(max)
end

H.on("uring", "metrics of the kernel", function(it)
  it("tell what waits to be accepted, as ss does", function()
    local listener = assert(net.listen("127.0.0.1:0", {backlog = 6}))
    local addr, conns = listener:addr(), {}
    local function told()
      local snap = metrics.read()
      return by(snap, "/net/accept-queue:connections", "listener") [addr],
        by(snap, "/net/accept-queue-max:connections", "listener") [addr]
    end
    assert.same({0, 6}, {told()})
    for i = 1, 5 do
      conns[i] = assert(net.connect(addr))
    end
    H.eventually("five that wait", function() return told() == 5 end)
    assert.same({5, 6}, {told()})
    local queued, max = queues_of(addr:match ":(%d+)$")
    if queued then
      assert.same({queued, max}, {told()})
    end
    conns[6] = assert(listener:accept())
    -- One accept takes them all.
    H.eventually("none that waits", function() return told() == 0 end)
    assert.matches('ringlet_net_accept_queue{shard="1",listener="' .. addr .. '"} 0\n',
      metrics.text {names = {"/net/accept-queue"}})
    listener:close()
    H.eventually("no listener", function() return told() == nil end)
    for _, conn in ipairs(conns) do
      conn:close()
    end
  end)

  it("tell what waits at listeners of another shard, which is stuck", function()
    local stage, over = shared.atomic(0), shared.chan()
    local addresses = shared.chan(1)
    local listening = rl.spawn_on(2, function()
      local listener = assert(require "ringlet.net".listen "127.0.0.1:0")
      addresses:send(listener:addr())
      over:recv()
      listener:close()
    end)
    local addr = addresses:recv()
    local conn = assert(net.connect(addr))
    local busy = rl.spawn_on(2, hog, stage)
    H.eventually("one that is stuck", function() return stage:load() == 1 end)
    local mine
    H.eventually("one that waits", function()
      for _, s in ipairs(metrics.read():series "/net/accept-queue:connections") do
        mine = s.labels.listener == addr and s or mine
      end
      return mine and mine.value == 1
    end)
    stage:store(2)
    assert.equal(2, mine.shard)
    assert.same({true, true}, {busy:join()})
    over:send(true)
    assert.is_true((listening:join()))
    conn:close()
  end, {shards = 2, preempt = false})

  it("tell how long threads run and wait for a CPU", function()
    rl.sleep(0.001) -- the kernel adds up what a thread computed at a tick, and when it waits
    local from, before, after = os.clock(), metrics.read(), nil
    if not before["/thread/runs:runs"] then
      return -- a kernel without schedstat
    end
    H.eventually("0.05 s of this thread's computing, and another run of it", function()
      for _ = 1, 1e5 do end
      after = metrics.read()
      return after["/thread/cpu:seconds"] - before["/thread/cpu:seconds"] >= 0.05
        and after["/thread/runs:runs"] > before["/thread/runs:runs"]
    end)
    assert.is_true(os.clock() - from >= 0.03) -- of all threads; before it may be a tick of 10 ms
    assert.is_true(after["/thread/delay:seconds"] >= before["/thread/delay:seconds"])
    assert.equal("float", after:kind "/thread/delay:seconds")
  end)
end)

H.sim("metrics of the kernel", function(it)
  it("are not there where there is none", function()
    local listener = net.listen ":80"
    local snap = metrics.read()
    assert.is_nil(snap["/thread/runs:runs"])
    assert.is_nil(snap["/thread/delay:seconds"])
    assert.same({}, snap:series "/net/accept-queue:connections")
    assert.matches("# TYPE ringlet_thread_delay_seconds_total counter\n#", metrics.text())
    listener:close()
  end)
end)

describe("metrics", function()
  it("are those of the table in docs/guide/metrics.md", function()
    local documented = {}
    for line in io.lines "docs/guide/metrics.md" do
      local name, kind, label, help = line:match "^| `(/[^`]+)` | ([^|]*) | ([^|]*) | (.*) |$"
      if not name then
        name, kind, help = line:match "^| `(/[^`]+)` | ([^|]*) |  | (.*) |$"
      end
      if name then
        documented[#documented + 1] = {name, kind, label or "", help}
      end
    end
    local there = {}
    for i, about in ipairs(metrics.all()) do
      local grows = about.cumulative and about.kind ~= "histogram" and ", grows" or ""
      there[i] = {about.name, about.kind .. grows,
        about.label == "*" and "those of tasks" or about.label or "", about.help}
    end
    assert.same(there, documented)
  end)

  it("take no memory by being read, over 1000 runs", function()
    local function runs(n)
      for _ = 1, n do
        H.run(function()
          rl.go(rl.sleep, 0.001):label("type", "leak")
          rl.sleep(0.002)
          metrics.read()
        end)
      end
      return H.kilobytes()
    end
    local n = H.rounds(1000, 20)
    runs(n / 10)
    local before = runs(n / 10)
    assert.is_true(runs(n) - before < 64)
  end)

  it("can be read outside of a run", function()
    local snap = metrics.read {"/tasks/live", "/process/shards"}
    assert.equal(0, snap["/tasks/live"])
    assert.equal(1, snap["/process/shards"])
    assert.same({1}, snap.shards)
  end)
end)

H.sim("timed", function(it)
  it("counts calls, errors and how long they took", function()
    local f = metrics.timed(function(t, fails)
      rl.sleep(t)
      if fails then
        error("no", 0)
      end
      return t, "done"
    end)
    assert.same({n = 2, 1, "done"}, H.pack(f(1)))
    assert.equal("no", H.raises(f, 3, true))
    local s = f:stats()
    assert.equal(2, s.count)
    assert.equal(1, s.errors)
    assert.is_true(math.abs(s.mean - 2) < H.TICK and math.abs(s.max - 3) < H.TICK)
    assert.is_true(math.abs(s.p50 - 1) < 0.02 and math.abs(s.p99 - 3) < 0.06)
    assert.matches("^ringlet.metrics.timed: 2 calls, mean 2 s", tostring(f))
    H.raises_text("function expected", metrics.timed, 1)
  end)

  it("has a histogram by its name", function()
    local f = metrics.timed(rl.sleep, "spec_timed_seconds")
    f(0.25)
    local h = one "spec_timed_seconds"
    assert.equal(1, h.count)
    assert.is_true(math.abs(h.sum - 0.25) < H.TICK)
  end)
end)
