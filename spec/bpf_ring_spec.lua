-- SPDX-License-Identifier: MIT
-- Ring buffers of BPF: tasks that park for records, and no record lost.
local B = require "spec.bpf"
local H = require "spec.helper"
local rl = require "ringlet"

local DATA = ("x"):rep(64)
local LONG = 30 -- seconds for what is to come

-- A stalled task is preempted, and others come first: not where the order of tasks is looked at.
local IN_ORDER = {preempt = false}

-- An object, its ring buffer, and a function that has a program put n records into it.
local function open(kind)
  local o = assert(B.bpf.load(B.SAMPLE, {programs = {"watch"}}))
  local p = o:program "watch"
  local function emit(n)
    for _ = 1, n or 1 do assert(p:run{data = DATA}) end
  end
  return o, assert(o:ring("events", kind ~= "raw" and {type = "struct event"} or nil)), emit
end

H.on("uring", "a ring buffer of BPF", function(it)
  it("gives records in their order, by type", function()
    if B.lacks("socket_filter", "ringbuf") then return end
    local o, ring, emit = open()
    emit(3)
    for i = 0, 2 do assert.same({seq = i, len = 50, text = "packet"}, ring:recv(LONG)) end
    assert.same({nil, "EAGAIN: the ring buffer is empty", "EAGAIN"}, {ring:try_recv()})
    emit()
    assert.equal(3, ring:try_recv().seq)
    assert.same({records = 4, waiting = 0, size = 4096}, ring:stats())
    assert.equal(ring, o:ring "events")
    o:close()
  end)

  it("gives bytes without a type", function()
    if B.lacks("socket_filter", "ringbuf") then return end
    local o, ring, emit = open "raw"
    emit()
    local bytes = ring:recv(LONG)
    assert.equal(24, #bytes)
    assert.equal("packet", bytes:sub(9, 14))
    o:close()
  end)

  it("parks who finds none until one comes, and nobody else", function()
    if B.lacks("socket_filter", "ringbuf") then return end
    local o, ring, emit = open()
    local got, turns = {}, 0
    local t = rl.go(function()
      for _ = 1, 3 do got[#got + 1] = ring:recv(LONG).seq end
    end)
    for _ = 1, 3 do
      rl.sleep(0.01)
      turns = turns + 1
      emit()
    end
    assert.is_true(t:join(LONG))
    assert.same({0, 1, 2}, got)
    assert.equal(3, turns)
    o:close()
  end)

  it("gives those who wait one each, first come, first served", function()
    if B.lacks("socket_filter", "ringbuf") then return end
    local o, ring, emit = open()
    local got, tasks = {}, {}
    for i = 1, 5 do
      tasks[i] = rl.go(function() got[i] = ring:recv(LONG).seq end)
    end
    rl.yield()
    emit(5)
    for i = 1, 5 do assert.is_true(tasks[i]:join(LONG)) end
    assert.same({0, 1, 2, 3, 4}, got)
    o:close()
  end, IN_ORDER)

  it("goes on watching for those who were given none yet", function()
    if B.lacks("socket_filter", "ringbuf") then return end
    local o, ring, emit = open()
    local got, tasks = {}, {}
    for i = 1, 3 do
      tasks[i] = rl.go(function() got[i] = ring:recv(LONG).seq end)
    end
    for i = 1, 3 do
      rl.sleep(0.01)
      emit()
      assert.is_true(tasks[i]:join(LONG))
    end
    assert.same({0, 1, 2}, got)
    o:close()
  end, IN_ORDER)

  it("loses no record to who timed out or was cancelled", function()
    if B.lacks("socket_filter", "ringbuf") then return end
    local o, ring, emit = open()
    assert.same({nil, "ETIMEDOUT"}, {nil, (select(3, ring:recv(0.005)))})
    assert.equal("ETIMEDOUT", (select(3, ring:recv(0))))
    local t = rl.go(function() ring:recv() end)
    rl.sleep(0.005)
    t:cancel()
    t:join()
    emit(2)
    assert.equal(0, ring:recv(LONG).seq)
    local last = 0
    assert.equal("ETIMEDOUT", (select(3, rl.timeout(0.02, function()
      last = ring:recv().seq
      ring:recv()
    end))))
    emit()
    for seq = last + 1, 2 do assert.equal(seq, ring:recv(LONG).seq) end
    assert.same({nil, "EAGAIN"}, {nil, (select(3, ring:try_recv()))})
    o:close()
  end)

  it("can be selected on", function()
    if B.lacks("socket_filter", "ringbuf") then return end
    local o, ring, emit = open()
    local ch = rl.chan()
    local cases = {{ring}, {ch}}
    assert.equal("ETIMEDOUT", (select(3, rl.select(cases, 0.005))))
    emit()
    local i, e = rl.select(cases, LONG)
    assert.same({1, 0}, {i, e.seq})
    rl.go(function()
      rl.sleep(0.01)
      emit()
    end)
    i, e = rl.select(cases, LONG)
    assert.same({1, 1}, {i, e.seq})
    rl.go(function() ch:send "x" end)
    assert.same({2, "x"}, {rl.select(cases, LONG)})
    emit()
    assert.equal(2, ring:recv(LONG).seq)
    o:close()
    assert.same({1, nil, "ECLOSED"}, {1, nil, (select(4, rl.select({{ring}}, LONG)))})
  end)

  it("is iterated over until it is closed, whoever closes it", function()
    if B.lacks("socket_filter", "ringbuf") then return end
    local o, ring, emit = open()
    local got = {}
    local t = rl.go(function()
      for e in ring:iter() do got[#got + 1] = e.seq end
      return "done"
    end)
    emit(2)
    H.eventually("both records", function() return #got == 2 end)
    o:close()
    assert.same({true, "done"}, {t:join(LONG)})
    assert.same({0, 1}, got)
    assert.same({nil, "ECLOSED: the ring buffer is closed", "ECLOSED"}, {ring:recv()})
    assert.equal("ECLOSED", (select(3, ring:try_recv())))
    assert.is_true(ring:close())
    assert.matches("events, 4096 bytes, closed$", tostring(ring))
  end)

  it("loses what there is no room for, and goes on behind it", function()
    if B.lacks("socket_filter", "ringbuf") then return end
    local o, ring, emit = open()
    emit(1000)
    local last, n = -1, 0
    while true do
      local e = ring:try_recv()
      if not e then break end
      assert.equal(last + 1, e.seq)
      last, n = e.seq, n + 1
    end
    assert.equal(math.floor(4095 / 32), n)
    emit()
    assert.equal(1000, ring:recv(LONG).seq)
    o:close()
  end)

  it("gives each record once, through the end of the buffer and over again", function()
    if B.lacks("socket_filter", "ringbuf") then return end
    local o, ring, emit = open()
    local want, seed = 0, 1
    local t = rl.go(function()
      local n = 0
      while n < want or not o.finished do
        local e = ring:recv(LONG)
        if not e then break end
        assert.equal(n, e.seq)
        n = n + 1
        if n % 50 == 0 then rl.yield() end
      end
      return n
    end)
    for _ = 1, H.rounds(1000) do
      seed = seed * 16807 % 2147483647
      local n = 1 + seed % 20
      emit(n)
      want = want + n
      rl.yield()
      while ring:stats().waiting > 2000 do rl.yield() end
    end
    o.finished, want = true, want + 1
    emit() -- for who waits for one more
    assert.same({true, want}, {t:join(LONG)})
    o:close()
  end, {timeout = 90})

  it("does not keep run from ending", function()
    if B.lacks("socket_filter", "ringbuf") then return end
    local o, ring = open()
    local t = rl.daemon(function() ring:recv() end)
    H.eventually("it waits", function() return t:status() == "parked" end)
    t:cancel()
    o:close()
  end)
end)

describe("a ring buffer of BPF", function()
  it("outlives a run, and is watched again in the next", function()
    if B.lacks("socket_filter", "ringbuf", "uring") then return end
    local o, ring, emit = open()
    for round = 0, 2 do
      rl.run(function()
        rl.go(function()
          rl.sleep(0.005)
          emit()
        end)
        assert.equal(round, ring:recv(LONG).seq)
        rl.daemon(function() ring:recv() end)
        rl.sleep(0.002)
      end, {backend = "uring"})
    end
    o:close()
  end)

  it("is read without waiting in a simulated run", function()
    if B.lacks("socket_filter", "ringbuf") then return end
    local o, ring, emit = open()
    rl.run(function()
      emit()
      assert.equal(0, ring:recv(LONG).seq)
      assert.equal("EOPNOTSUPP", (select(3, ring:recv(LONG))))
      assert.equal(1, (rl.select({{ring}}, LONG)))
    end, {backend = "sim"})
    o:close()
  end)

  it("wants a task to wait in", function()
    if B.lacks("socket_filter", "ringbuf") then return end
    local o, ring, emit = open()
    emit()
    local ok, err = pcall(ring.recv, ring)
    assert.is_false(ok)
    assert.truthy(tostring(err):find("not inside a task", 1, true), tostring(err))
    assert.equal(0, ring:try_recv().seq)
    H.raises_text("seconds expected", ring.recv, ring, "soon")
    o:close()
  end)
end)
