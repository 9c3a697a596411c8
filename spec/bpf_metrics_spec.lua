-- SPDX-License-Identifier: MIT
-- What the kernel counts for this process, against what the process does: to the connection, and,
-- of waits for a CPU, against the sums that the kernel keeps anyway.
local busted = require "busted"
local H = require "spec.helper"
local B = require "spec.bpf"
local E = require "spec.exposition"
local metrics = require "ringlet.metrics"
local net = require "ringlet.net"
local rl = require "ringlet"

local bpf = B.bpf
local ALL = {"tcp_connect", "tcp_accept", "retransmit", "runqlat"}

-- A block on the real kernel, pending where that does not let us count.
local function block(name, fn)
  H.on("uring", name, function(it)
    fn(function(what, test, opts)
      local why = B.missing "tp_btf"
      if why then
        busted.pending(what .. ": " .. why)
        return
      end
      local all = {on_overrun = function() end} -- loading is no slice's work
      for k, v in pairs(opts or {}) do all[k] = v end
      it(what, test, all)
    end)
  end)
end

local function with(list, fn)
  local m = assert(bpf.metrics(list))
  local ok, err = rl.pcall(fn, m)
  m:close()
  if not ok then
    error(err, 0)
  end
end

local NOWHERE = "127.0.0.1:1" -- nobody listens there

local function serve(fn)
  local server = net.serve("127.0.0.1:0", function(conn) conn:read() end)
  local ok, err = rl.pcall(fn, server:addr())
  server:stop(0)
  if not ok then
    error(err, 0)
  end
end

-- Connect so often, and reset: no port is kept.
local function connect(addr, n)
  for _ = 1, n do
    assert(net.connect(addr)):abort()
  end
end

-- Who connects may be told before the listener is. It must be open then: afterwards nobody arrives.
local function await_accepts(m, n)
  H.eventually(n .. " accepts", function() return m:read().accepts == n end)
end

local function attached(ids)
  local n = 0
  for _, id in ipairs(ids) do
    local _, is_there = B.output("bpftool prog show id " .. id)
    n = n + (is_there and 1 or 0)
  end
  return n
end

describe("bpf.metrics", function()
  it("takes a list of names it knows, and options", function()
    if B.lacks() then
      return
    end
    H.raises_text("a list of names expected, got nil", bpf.metrics)
    H.raises_text("what is to be counted?", bpf.metrics, {})
    H.raises_text("there is no 'connect'", bpf.metrics, {"connect"})
    H.raises_text("there is no '1'", bpf.metrics, {1})
    H.raises_text("unknown option 'pid'", bpf.metrics, {"runqlat", pid = 1})
    H.raises_text("option 'pids' must be a list", bpf.metrics, {"runqlat", pids = {"x"}})
    H.raises_text("option 'cgroup' must be a string", bpf.metrics, {"runqlat", cgroup = 1})
  end)

  it("says which capability it lacks; what needs none is measured", function()
    if B.lacks "command:setpriv" then
      return
    end
    local text = B.run([[
      local rl, bpf = require "ringlet", require "ringlet.bpf"
      rl.run(function()
        print(bpf.metrics {"tcp_connect"})
        local snap = require "ringlet.metrics".read()
        print(snap["/tcp/connects:connections"], snap["/thread/runs:runs"] > 0)
      end, {on_overrun = type})]], B.as_nobody "bpf")
    assert.matches("^nil\tEPERM: needs CAP_PERFMON %(.+%)\tEPERM\nnil\ttrue\n$", text)
  end)
end)

-- A program that connects once, and prints this of `of`, its counts or a part of them, when a wait
-- of its thread was among them.
local function counting(part, prints)
  return ([[
      local rl, bpf = require "ringlet", require "ringlet.bpf"
      local net = require "ringlet.net"
      rl.run(function()
        local m = assert(bpf.metrics {"tcp_connect", "runqlat"})
        net.connect "127.0.0.1:1"
        local of
        for _ = 1, 3000 do
          rl.sleep(0.01)
          of = m:read()%s
          if of.runqueue.count > 0 then break end
        end
        print(%s)
      end, {on_overrun = type})]]):format(part, prints)
end

block("bpf.metrics", function(it)
  it("needs two capabilities, not root", function()
    if B.lacks "command:setpriv" then
      return
    end
    local text = B.run(counting("", "of.connects, of.runqueue.count > 0, m:close()"),
      B.as_nobody("bpf", "perfmon"))
    assert.equal("1\ttrue\ttrue\n", text)
  end)

  it("knows its process and threads in a namespace of numbers of its own", function()
    local enter = "unshare --pid --fork --mount-proc"
    if not select(2, B.output(enter .. " true")) then
      busted.pending "no namespace of processes can be made"
      return
    end
    local text = B.run(counting(".shards[1]",
      'require "ringlet.core".pid(), of.connects, of.runqueue.count > 0'), enter)
    assert.equal("1\t1\ttrue\n", text)
  end)

  it("counts connects exactly, whatever becomes of them", function()
    with(ALL, function(m)
      local n = H.rounds(1000, 50)
      serve(function(addr)
        rl.scope(function(s)
          for _ = 1, 4 do
            s:go(connect, addr, n / 2)
          end
          for _ = 1, n / 10 do
            s:go(net.connect, NOWHERE)
          end
        end)
        await_accepts(m, 2 * n)
      end)
      local reading = m:read()
      assert.equal(2.1 * n, reading.connects)
      assert.equal(2 * n, reading.established)
      assert.equal(0.1 * n, reading.failed)
      assert.equal(2 * n, reading.accepts)
      assert.equal(reading.connects, reading.shards[1].connects)
      assert.same({connects = 0, established = 0, failed = 0, accepts = 0, retransmits = 0},
        reading.other)
    end)
  end)

  it("counts one that is given up as failed, one under way as neither", function()
    with({"tcp_connect"}, function(m)
      -- The queue is full with two: the third's SYN is not answered.
      local listener = assert(net.listen("127.0.0.1:0", {backlog = 1}))
      local addr = listener:addr()
      local first, second = assert(net.connect(addr)), assert(net.connect(addr))
      local third = rl.go(net.connect, addr)
      H.eventually("a third connect", function() return m:read().connects == 3 end)
      local reading = m:read()
      assert.equal(2, reading.established)
      assert.equal(0, reading.failed)
      third:cancel()
      H.eventually("one that failed", function() return m:read().failed == 1 end)
      assert.equal(2, m:read().established)
      first:abort()
      second:abort()
      listener:close()
    end)
  end)

  it("counts by task and by the labels it had when it began to connect", function()
    with({"tcp_connect"}, function(m)
      local ids, tasks, labelled = {}, {}, rl.event()
      serve(function(addr)
        for i = 1, 3 do
          tasks[i] = rl.go(function()
            labelled:wait()
            connect(addr, i)
            net.connect(NOWHERE)
          end)
          tasks[i]:label("type", i < 3 and "mail" or "order")
          ids[tasks[i].id] = i
        end
        labelled:set()
        connect(addr, 10)
        for i = 1, 3 do
          assert.is_true((tasks[i]:join()))
        end
        assert.is_nil(metrics.text{names = {"/tcp/connects-labelled"}}:match "type=\"none\"")
        local text = metrics.text {names = {"/tcp/connects-labelled"}}
        assert.matches('ringlet_tcp_connects_labelled_total{type="mail"} 5\n', text)
        assert.matches('ringlet_tcp_connects_labelled_total{type="order"} 4\n', text)
      end)
      local reading, seen = m:read(), 0
      assert.same({connects = 5, established = 3, failed = 2}, reading.labels['type="mail"'])
      assert.same({connects = 4, established = 3, failed = 1}, reading.labels['type="order"'])
      for _, about in ipairs(reading.tasks) do
        if ids[about.id] then
          assert.same({shard = 1, id = about.id, connects = ids[about.id] + 1,
            established = ids[about.id], failed = 1}, about)
          seen = seen + 1
        end
      end
      assert.equal(3, seen)
      assert.equal(19, reading.connects)
    end)
  end)

  it("counts for the shard that connects", function()
    with(ALL, function(m)
      serve(function(addr)
        local work = function(to, n)
          local net_ = require "ringlet.net"
          for _ = 1, n do
            assert(net_.connect(to)):abort()
          end
        end
        local one, two = rl.spawn_on(1, work, addr, 30), rl.spawn_on(2, work, addr, 70)
        one:join()
        two:join()
        await_accepts(m, 100)
      end)
      H.eventually("a wait of the other shard's thread", function()
        rl.spawn_on(2, function() end):join()
        return m:read().shards[2].runqueue.count > 0
      end)
      local reading = m:read()
      assert.equal(30, reading.shards[1].connects)
      assert.equal(70, reading.shards[2].connects)
      assert.equal(100, reading.connects)
      assert.equal(100, reading.shards[1].accepts)
      local snap = metrics.read {"/tcp/connects", "/thread/runqueue"}
      assert.equal(70, snap:shard(2)["/tcp/connects"])
      assert.equal(100, snap["/tcp/connects"])
      assert.is_true(snap:shard(2)["/thread/runqueue"].count > 0)
    end)
  end, {shards = 2})

  it("counts what arrives at listeners that were there before it, and after", function()
    local before = net.serve("127.0.0.1:0", function(conn) conn:read() end)
    with({"tcp_accept"}, function(m)
      connect(before:addr(), 7)
      serve(function(addr)
        connect(addr, 5)
        await_accepts(m, 12)
      end)
      local reading = m:read()
      assert.equal(12, reading.accepts)
      assert.is_nil(reading.connects)
      assert.is_nil(reading.runqueue)
    end)
    before:stop(0)
  end)

  it("counts nothing of others, unless it is asked to", function()
    local program = [[
      local rl, net = require "ringlet", require "ringlet.net"
      for _ = 1, go and 3000 or 0 do
        if io.open(go) then break end
        os.execute "sleep 0.02"
      end
      rl.run(function()
        for _ = 1, 20 do net.connect "127.0.0.1:1" end
      end)]]
    with({"tcp_connect"}, function(m)
      B.run(program)
      assert.equal(0, m:read().connects)
    end)
    local go = os.tmpname()
    os.remove(go)
    local pid = tonumber(B.sh(B.command(("go = %q"):format(go) .. program) ..
      " >/dev/null 2>&1 & echo $!"))
    with({"tcp_connect", pids = {pid}}, function(m)
      assert(io.open(go, "w")):close()
      net.connect(NOWHERE)
      H.eventually("20 connects of the other", function()
        return m:read().processes[pid].failed == 20
      end)
      os.remove(go)
      assert.equal(20, m:read().processes[pid].connects)
      assert.equal(1, m:read().connects)
    end)
  end)

  it("counts for a cgroup", function()
    local root = (B.output "findmnt -n -t cgroup2 -o TARGET | head -1"):gsub("%s+$", "")
    local dir = ("%s/ringlet-spec-%d"):format(root, require "ringlet.core".pid())
    local _, ok = B.output("mkdir " .. dir)
    if root == "" or not ok then
      busted.pending "no cgroup can be made"
      return
    end
    with({"tcp_connect", cgroup = dir}, function(m)
      B.run([[
        local rl, net = require "ringlet", require "ringlet.net"
        rl.run(function()
          for _ = 1, 9 do net.connect "127.0.0.1:1" end
        end)]], ("sh -c 'echo $$ >%s/cgroup.procs; exec \"$@\"' sh"):format(dir))
      net.connect(NOWHERE)
      local reading = m:read()
      assert.same({connects = 9, established = 0, failed = 9}, reading.cgroup)
      assert.equal(1, reading.connects)
    end)
    H.eventually("an empty cgroup", function() return select(2, B.output("rmdir " .. dir)) end)
    local m, _, code = bpf.metrics {"tcp_connect", cgroup = dir}
    assert.is_nil(m)
    assert.equal("ENOENT", code)
  end)

  it("counts segments that are sent again", function()
    with({"retransmit"}, function(m)
      local listener = assert(net.listen("127.0.0.1:0", {backlog = 1}))
      local addr = listener:addr()
      local first, second = assert(net.connect(addr)), assert(net.connect(addr))
      assert.equal(0, m:read().retransmits)
      local from = rl.now()
      local third = rl.go(net.connect, addr)
      H.eventually("a second SYN", function() return m:read().retransmits > 0 end)
      third:cancel()
      third:join()
      local n, most = m:read().retransmits, 1.1 * (rl.now() - from) -- one a second, if not fewer
      assert.is_true(n >= 1 and n <= most, ("%d, not %g"):format(n, most))
      assert.equal(n, metrics.read {"/tcp/retransmits"} ["/tcp/retransmits"])
      first:abort()
      second:abort()
      listener:close()
    end)
  end)
end)

-- ---- run queue ----------------------------------------------------------------------------------

-- Of those that this process may run on.
local function first_cpu()
  local file = assert(io.open "/proc/self/status")
  local text = file:read "*a"
  file:close()
  return text:match "Cpus_allowed_list:%s*(%d+)"
end

block("the run queue", function(it)
  local SUMS = {"/thread/delay", "/thread/runs"}

  -- A reading, and the kernel's sums at that: the thread was not switched to while they were read.
  local function read_both(m)
    local h, sums
    H.eventually("readings at a time", function()
      sums, h = metrics.read(SUMS), m:read().runqueue
      return metrics.read(SUMS)["/thread/runs"] == sums["/thread/runs"]
    end)
    return h, sums["/thread/delay"], sums["/thread/runs"]
  end

  it("is measured as the kernel sums it up", function()
    with({"runqlat"}, function(m)
      local from, delay, runs = read_both(m)
      H.eventually("100 waits", function() return m:read().runqueue.count >= from.count + 100 end)
      local now, delay_now, runs_now = read_both(m)
      local n = now.count - from.count
      assert.is_true(n >= 100 and n <= runs_now - runs, n)
      local sum, expected = now.sum - from.sum, delay_now - delay
      -- The kernel's own clock of a CPU stands still while that wakes up, for some 10 us each time.
      assert.is_true(sum <= 1.1 * expected + 0.002 + n * 4e-5 and sum >= 0.5 * expected - 0.002,
        ("%g s, not %g"):format(sum, expected))
      assert.is_true(delay_now >= delay) -- the same if that clock never moved meanwhile
      local least, most = 0, 0
      for _, bucket in ipairs(now:buckets()) do
        least, most = least + bucket.from * bucket.count, most + bucket.to * bucket.count
      end
      assert.is_true(least <= now.sum and now.sum <= most)
      assert.is_true(most <= 1.04 * least + 1e-6)
    end)
  end)

  it("shows a thread that shares its CPU with one that never sleeps", function()
    if B.lacks "command:taskset" then
      return
    end
    local text = B.run([[
      local rl, bpf = require "ringlet", require "ringlet.bpf"
      local metrics = require "ringlet.metrics"
      local SUMS = {"/thread/delay", "/thread/runs"}
      local spinner = io.popen("exec timeout 50 sh -c 'while :; do :; done' & echo $!")
      local pid = spinner:read "*l"
      rl.run(function()
        local m, due = assert(bpf.metrics {"runqlat"}), rl.now() + 30
        local function both()
          local h, sums
          repeat
            sums, h = metrics.read(SUMS), m:read().runqueue
          until metrics.read(SUMS)["/thread/runs"] == sums["/thread/runs"] or rl.now() > due
          return h, sums["/thread/delay"]
        end
        local from, told = both()
        local h, delay
        repeat
          h, delay = both()
        until h.sum - from.sum > 0.2 and h:max() > 0.001 or rl.now() > due
        local sum = h.sum - from.sum
        print(sum > 0.2, h:max() > 0.001, math.abs(sum / (delay - told) - 1) < 0.2)
        m:close()
      end, {on_overrun = type})
      os.execute("kill " .. pid)]], "taskset -c " .. first_cpu())
    assert.equal("true\ttrue\ttrue\n", text)
  end)

  it("knows the shards of every run, made before or within it", function()
    local text = H.script([[
      local bpf = require "ringlet.bpf"
      local m = assert(bpf.metrics {"runqlat"})
      for run = 1, 2 do
        local before = m:read().shards
        rl.run(function()
          for i = 1, 2 do
            local had, waited = before[i] and before[i].runqueue.count or 0, false
            for _ = 1, 1000 do
              rl.spawn_on(i, function() require "ringlet".sleep(0.02) end):join()
              waited = m:read().shards[i].runqueue.count > had
              if waited then break end
            end
            io.write(tostring(waited), " ")
          end
        end, {shards = 2})
      end
      print(#m:read().tasks, m:close())]])
    assert.equal("true true true true 0\ttrue\n", text)
  end)
end)

-- ---- beginning and end --------------------------------------------------------------------------

block("bpf.metrics, in other ways", function(it)
  it("is in ringlet.metrics while it is open, and in its texts", function()
    assert.is_nil(metrics.read()["/tcp/connects:connections"])
    with(ALL, function(m)
      net.connect(NOWHERE)
      H.eventually("a wait", function() return m:read().runqueue.count > 0 end)
      for _, format in ipairs {"prometheus", "openmetrics"} do
        local f = E.parse(metrics.text {format = format}, format)
        local name, suffix = "ringlet_tcp_connects", "_total"
        if format == "prometheus" then
          name, suffix = name .. suffix, ""
        end
        assert.equal(1, E.value(f, name, {shard = "1"}, suffix))
        assert.equal("histogram", f.ringlet_thread_runqueue_seconds.type)
        assert.is_true(E.value(f, "ringlet_thread_runqueue_seconds", {shard = "1"}, "_count") > 0)
      end
      local snap = metrics.read()
      assert.equal("integer", snap:kind "/tcp/connects:connections")
      assert.equal("ringlet.bpf.metrics: tcp_connect, tcp_accept, retransmit, runqlat", tostring(m))
    end)
    assert.is_nil(metrics.read()["/tcp/connects:connections"])
    assert.is_nil(metrics.text():match "ringlet_tcp_connects_total{")
    assert.equal(0, #metrics.read():series "/thread/runqueue:seconds")
  end)

  it("shows what was asked for alone", function()
    with({"tcp_accept"}, function()
      local snap = metrics.read()
      assert.equal(0, snap["/tcp/accepts:connections"])
      assert.is_nil(snap["/tcp/connects:connections"])
      assert.is_nil(snap["/thread/runqueue:seconds"])
    end)
  end)

  it("can be there twice", function()
    with({"tcp_connect"}, function(first)
      net.connect(NOWHERE)
      with({"tcp_connect"}, function(second)
        net.connect(NOWHERE)
        assert.equal(2, first:read().connects)
        assert.equal(1, second:read().connects)
        assert.equal(1, metrics.read()["/tcp/connects:connections"])
      end)
      rl.self():label("type", "twice")
      net.connect(NOWHERE)
      assert.equal(3, metrics.read()["/tcp/connects:connections"])
      assert.same({connects = 1, established = 0, failed = 1}, first:read().labels['type="twice"'])
    end)
  end)

  it("leaves nothing attached: closed, closed twice, or killed", function()
    if B.lacks "command:bpftool" then
      return
    end
    local m = assert(bpf.metrics(ALL))
    local ids = {}
    for _, name in ipairs(m.programs) do
      ids[#ids + 1] = m.object:program(name):stats().id
    end
    assert.equal(5, attached(ids))
    assert.is_true(m:close())
    assert.is_true(m:close())
    assert.matches(", closed$", tostring(m))
    assert.equal("ECLOSED", (select(3, m:read())))
    assert.equal("ECLOSED", (select(3, m:stats())))
    H.eventually("nothing attached", function() return attached(ids) == 0 end)
    local text = B.run([[
      local bpf = require "ringlet.bpf"
      local m = assert(bpf.metrics {"runqlat", "tcp_connect"})
      for _, name in ipairs(m.programs) do print(m.object:program(name):stats().id) end
      io.stdout:flush()
      io.popen "kill -9 $PPID":close()]])
    ids = {}
    for id in text:gmatch "(%d+)\n" do
      ids[#ids + 1] = id
    end
    assert.equal(4, #ids)
    H.eventually("nothing attached", function() return attached(ids) == 0 end)
  end)

  it("tells what it costs", function()
    with({"runqlat"}, function(m)
      local stats
      H.eventually("20 runs of each", function()
        stats = m:stats()
        return stats.on_switch.runs >= 20 and stats.on_wakeup.runs >= 20
      end)
      for _, name in ipairs {"on_switch", "on_wakeup", "on_wakeup_new"} do
        assert.is_true(stats[name].runs >= 0 and stats[name].ns >= 0)
      end
    end)
  end)
end)
