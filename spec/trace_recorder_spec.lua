-- SPDX-License-Identifier: MIT
-- The flight recorder: what is recorded, dumped, kept in files, and read from whatever file there
-- is.
local rl = require "ringlet"
local H = require "spec.helper"
local fifo_gate = require "spec.fifo_gate"
local core = require "ringlet.core"
local layout = require "ringlet.trace_layout"
local trace = require "ringlet.trace"

-- The events of a shard that are of one of these kinds, without times.
local function story(snap, kinds, shard)
  local list = {}
  for _, e in ipairs(snap:events(shard)) do
    if kinds[e.kind] then
      list[#list + 1] = e
    end
  end
  return list
end

local function kinds(...)
  local set = {}
  for _, kind in ipairs{...} do
    set[kind] = true
  end
  return set
end

local function find(snap, kind, field, value, shard)
  for _, e in ipairs(snap:events(shard)) do
    if e.kind == kind and (field == nil or e[field] == value) then
      return e
    end
  end
  error(("no event %s with %s = %s"):format(kind, tostring(field), tostring(value)), 2)
end

local function name_file()
  local path = os.tmpname()
  os.remove(path)
  return path
end

local function read_file(path)
  local f = assert(io.open(path, "rb"))
  local text = f:read "*a"
  f:close()
  return text
end

local function write_file(path, text)
  local f = assert(io.open(path, "wb"))
  f:write(text)
  f:close()
end

H.both("trace.start", function(it)
  it("records who makes, readies and runs whom", function()
    assert.is_true(trace.start())
    assert.is_true(trace.active())
    local main = rl.self().id
    local ch = rl.chan()
    local h = rl.go(function() ch:recv() end)
    rl.yield()
    ch:send(1)
    h:join()
    local snap = assert(trace.dump())
    trace.stop()
    local list = {}
    for _, e in ipairs(story(snap, kinds("create", "park", "ready", "run", "end"))) do
      if e.task == h.id then
        list[#list + 1] = e
      end
    end
    assert.same({"create", "run", "park", "ready", "run", "end"}, {list[1].kind, list[2].kind,
      list[3].kind, list[4].kind, list[5].kind, list[6].kind})
    assert.equal(main, list[1].by)
    assert.is_truthy(list[1].site:find("trace_recorder_spec.lua:%d+$"))
    assert.equal("chan receive", list[3].reason)
    assert.equal(main, list[4].by)
    assert.equal("fired", list[4].cause)
    assert.is_false(trace.active())
  end, {preempt = false}) -- a task that was interrupted runs again

  -- The longest that the shard slept.
  local function longest_sleep(snap)
    local longest, asleep = 0, nil
    for _, e in ipairs(snap:events()) do
      if e.kind == "sleep" then
        asleep = e.waits and e.time
      elseif e.kind == "wake" and asleep then
        longest, asleep = math.max(longest, e.time - asleep), nil
      end
    end
    return longest
  end

  it("has times that do not go backwards, of the shard's clock", function()
    local before, snap = rl.now(), nil
    trace.start()
    for _ = 1, 5 do rl.sleep(0.002) end
    H.eventually("it slept, and at once", function()
      rl.sleep(0.002)
      snap = assert(trace.dump())
      return longest_sleep(snap) >= 0.0015
    end)
    local after = rl.now()
    trace.stop()
    local last = 0
    for _, e in ipairs(snap:events()) do
      assert.is_true(e.time >= last)
      last = e.time
    end
    assert.is_true(snap.from >= before - 1e-3 and snap.to <= after + 1e-3)
    assert.is_true(snap.to - snap.from >= 0.01)
    assert.equal("timed out", find(snap, "ready", "cause", "timed out").cause)
  end)

  it("keeps names of tasks, and what they say", function()
    rl.self():name "before"
    trace.start()
    local h = rl.go(function()
      rl.self():name "worker"
      trace.log "a message that is longer than one record has room for"
      trace.log ""
      trace.log(17)
    end)
    h:join()
    local snap = trace.dump()
    trace.stop()
    assert.equal("worker", snap:name(1, h.id))
    assert.equal("before", snap:name(1, rl.self().id))
    local texts = {}
    for _, e in ipairs(story(snap, kinds "log")) do
      assert.equal(h.id, e.task)
      texts[#texts + 1] = e.text
    end
    assert.same({"a message that is longer than one record has room for", "", "17"}, texts)
  end)

  it("keeps spans, also those whose names found no room", function()
    trace.start{size = 2 ^ 20}
    for i = 1, 5000 do trace.begin("span " .. i):finish() end
    local snap = trace.dump()
    trace.stop()
    local n = 0
    for _, e in ipairs(story(snap, kinds("begin", "finish"))) do
      if e.kind == "begin" then
        n = n + 1
        assert.equal("span " .. n, e.name)
      end
    end
    assert.equal(5000, n)
  end)

  it("overwrites what is oldest", function()
    trace.start{size = 1024}
    for i = 1, 1000 do trace.log(tostring(i)) end
    local snap = trace.dump()
    trace.stop()
    local events = story(snap, kinds "log")
    assert.is_true(#events > 10 and #events < 64)
    assert.equal("1000", events[#events].text)
    assert.equal(tostring(1000 - #events + 1), events[1].text)
  end)

  it("gives the last seconds that are asked for", function()
    trace.start()
    for i = 1, 3 do trace.log(tostring(i)) end
    rl.sleep(0.03)
    local from = rl.now()
    rl.sleep(0.03)
    for i = 4, 5 do trace.log(tostring(i)) end
    local function logs(seconds)
      return #story(trace.dump(seconds), kinds "log")
    end
    assert.equal(5, logs())
    H.eventually("the last two are there", function() -- fewer, if it is asked a while too late
      local n = logs(rl.now() - from)
      assert.is_true(n <= 2, n)
      return n == 2
    end)
    trace.stop()
  end)

  it("can be asked after it was stopped, until it begins again", function()
    trace.start()
    trace.log "one"
    trace.stop()
    trace.stop()
    trace.log "unheard"
    assert.equal(1, #story(trace.dump(), kinds "log"))
    trace.start()
    assert.equal(0, #story(trace.dump(), kinds "log"))
    trace.stop()
  end)

  it("checks its options", function()
    H.raises_text("unknown option 'sise'", trace.start, {sise = 1})
    H.raises_text("option 'seconds'", trace.start, {seconds = 0})
    H.raises_text("option 'size'", trace.start, {size = 10})
    H.raises_text("option 'file'", trace.start, {file = 1})
    local ok, msg, code = trace.start{file = "/nonexistent/x"}
    assert.is_nil(ok)
    assert.equal("ENOENT", code)
    assert.is_truthy(msg:find("/nonexistent/x", 1, true))
    assert.is_false(trace.active())
  end)
end)

H.on("uring", "trace.start", function(it)
  it("records what goes to the kernel, and what comes back", function()
    local net = require "ringlet.net"
    trace.start()
    local server = assert(net.serve("127.0.0.1:0", function(conn) conn:write(conn:read()) end))
    local conn = assert(net.connect(server:addr()))
    conn:write "hello"
    conn:read()
    conn:close()
    server:stop()
    local snap = trace.dump()
    trace.stop()
    assert.equal(rl.self().id, find(snap, "submit", "op", "connect").task)
    assert.equal(0, find(snap, "done", "op", "connect").result)
    assert.equal(5, find(snap, "done", "result", 5).result)
  end)
end)

H.sim("trace.start", function(it)
  it("has virtual time, exactly", function()
    trace.start()
    local at = rl.now()
    trace.log "a"
    rl.sleep(1000)
    trace.log "b"
    local passed = rl.now() - at
    local logs = story(trace.dump(1e6), kinds "log")
    trace.stop()
    assert.is_true(math.abs(logs[2].time - logs[1].time - passed) < 1e-6)
  end)
end)

-- Until the second shard records, or does not.
local function wait_until_other(active)
  repeat
    local _, is = rl.spawn_on(2, function() return require "ringlet.trace".active() end):join()
  until is == active
end

describe("a recording", function()
  it("may be asked for before the run, and looked at after it", function()
    trace.start()
    assert.is_false(trace.active())
    H.run(function() trace.log "inside" end)
    assert.is_false(trace.active())
    assert.equal("inside", find(assert(trace.dump()), "log").text)
    H.run(function() assert.is_false(trace.active()) end)
  end)

  it("is of every shard", function()
    if H.missing.uring then return pending(H.missing.uring) end
    H.run(function()
      trace.start()
      wait_until_other(true)
      rl.spawn_on(2, function()
        require("ringlet").self():name "far away"
        require "ringlet.trace".log "from the other shard"
      end):join()
      local snap = trace.dump()
      assert.equal(2, snap.shards)
      local e = find(snap, "log", nil, nil, 2)
      assert.equal("from the other shard", e.text)
      assert.equal("far away", snap:name(2, e.task))
      assert.equal(1, find(snap, "job", nil, nil, 2).from)
      trace.stop()
      wait_until_other(false)
    end, {backend = "uring", shards = 2})
  end)

  it("shows a shard that is stuck", function()
    if H.missing.uring then return pending(H.missing.uring) end
    local gate = fifo_gate.new()
    H.run(function()
      trace.start()
      wait_until_other(true)
      local f = rl.spawn_on(2, function(name)
        require "ringlet.trace".log "going in"
        fifo_gate.pass(name)
      end, gate.name)
      local last
      H.eventually("it is in there", function()
        local all = trace.dump():events(2)
        last = all[#all]
        return last.kind == "log"
      end)
      assert.equal("going in", last.text)
      gate.open()
      f:join()
    end, {backend = "uring", shards = 2})
    gate.remove()
  end)
end)

H.both("a dump", function(it)
  it("lets others run", function()
    trace.start{size = 2 ^ 19}
    for i = 1, 5000 do trace.log(tostring(i)) end
    local turns, done = 0, false
    rl.go(function()
      while not done do
        turns = turns + 1
        rl.yield()
      end
    end)
    local snap = trace.dump()
    local first = turns
    local text = snap:chrome()
    done = true
    trace.stop()
    assert.is_true(first > 5, "turns while it was dumped: " .. first)
    assert.is_true(turns - first > 50, "turns while it was written: " .. turns - first)
    assert.is_true(#text > 3e5)
  end)

  it("may be made where nothing can park", function()
    trace.start()
    trace.log "x"
    local snap
    table.sort({1, 2}, function(a, b)
      snap = snap or trace.dump()
      return a < b
    end)
    trace.stop()
    assert.equal("x", find(snap, "log").text)
  end)

  it("is cancelled between its slices", function()
    trace.start()
    for i = 1, 5000 do trace.log(tostring(i)) end
    local h = rl.go(function() trace.dump():chrome() end)
    rl.yield()
    h:cancel()
    local ok, err = h:join()
    trace.stop()
    assert.is_false(ok)
    assert.is_true(rl.is_cancel(err))
  end)
end)

H.both("a file", function(it)
  it("has what was recorded, and what a snapshot saved", function()
    local path, saved = name_file(), name_file()
    assert.is_true(trace.start{file = path})
    local h = rl.go(function()
      rl.self():name "named"
      trace.span("inner", rl.sleep, 0.001)
    end)
    h:join()
    local snap = trace.dump()
    assert.is_true(snap:save(saved))
    for _, name in ipairs{path, saved} do
      local again = assert(trace.read(name))
      assert.is_false(again.truncated)
      assert.equal("named", again:name(1, h.id))
      assert.equal(snap.pid, again.pid)
      assert.equal("inner", find(again, "begin").name)
      assert.equal(find(snap, "begin").task, find(again, "begin").task)
      assert.is_true(math.abs(find(snap, "begin").time - find(again, "begin").time) < 1e-4)
    end
    assert.same(#snap:events(), #trace.read(saved):events())
    trace.stop()
    os.remove(path)
    os.remove(saved)
  end)

  it("keeps the one that was there", function()
    local path = name_file()
    write_file(path, "before")
    trace.start{file = path}
    trace.stop()
    assert.equal("before", read_file(path .. ".old"))
    os.remove(path)
    os.remove(path .. ".old")
  end)

  it("cannot be written where there is no directory", function()
    trace.start()
    local snap = trace.dump()
    trace.stop()
    local ok, _, code = snap:save "/nonexistent/x"
    assert.is_nil(ok)
    assert.equal("ENOENT", code)
    ok, _, code = snap:write_chrome "/nonexistent/x"
    assert.is_nil(ok)
    assert.equal("ENOENT", code)
  end)
end)

describe("a process that is killed", function()
  it("leaves its file, up to the last record", function()
    local path = name_file()
    local _, code = H.script(H.KILL .. ([[
      local trace = require "ringlet.trace"
      trace.start{file = %q}
      rl.run(function()
        rl.self():name "victim"
        for i = 1, 1000 do trace.log("step " .. i) end
        rl.go(function() kill(9) end)
        rl.sleep(100)
      end, {preempt = false})]]):format(path))
    assert.equal(137, code)
    local snap = assert(trace.read(path))
    local logs = story(snap, kinds "log")
    assert.equal(1000, #logs)
    assert.equal("step 1000", logs[1000].text)
    assert.equal("victim", snap:name(1, logs[1000].task))
    local events = snap:events()
    assert.equal("run", events[#events].kind) -- it was running
    os.remove(path)
  end)
end)

-- ---- files from anywhere ------------------------------------------------------------------------

local function sample(records)
  local path, text = name_file(), nil
  H.run(function()
    trace.start{file = path, size = records * 16}
    for i = 1, 40 do
      trace.span("span", function() trace.log("text " .. i) end)
    end
    text = read_file(path)
  end)
  os.remove(path)
  return text
end

-- What a file of these bytes has: how many events, or the code of the failure.
local function look(text)
  local path = name_file()
  write_file(path, text)
  local snap, msg, code = trace.read(path)
  os.remove(path)
  if not snap then
    assert.is_truthy(msg:find("^" .. code .. ": "))
    return code
  end
  local n = 0
  for shard = 1, snap.shards do
    n = n + #snap:events(shard)
  end
  snap:chrome{parked = true}
  return n, snap
end

describe("trace.read", function()
  it("refuses what is no recording", function()
    local text = sample(64)
    assert.equal("EPROTO", look "")
    assert.equal("EPROTO", look(("x"):rep(5000)))
    assert.equal("EPROTO", look(text:sub(1, 50)))
    assert.equal("EPROTO", look("RINGLET" .. text:sub(8)))
    assert.equal("EPROTO", look(text:sub(1, 8) .. "\2" .. text:sub(10)))
    local snap, _, code = trace.read "/nonexistent/x"
    assert.is_nil(snap)
    assert.equal("ENOENT", code)
    snap, _, code = trace.read "/tmp"
    assert.is_nil(snap)
    assert.is_string(code)
  end)

  it("takes of a file that was cut what is there", function()
    local text, last = sample(1024), nil
    for at = #text, 104, -997 do
      local n, snap = look(text:sub(1, at))
      assert.is_number(n)
      assert.equal(at < #text, snap.truncated)
      assert.is_true(not last or n <= last)
      last = n
    end
    assert.equal(0, last)
  end)

  it("survives any bytes", function()
    local text = sample(64)
    local seed = 17
    local function draw(n)
      seed = (seed * 16807) % 2147483647
      return seed % n + 1
    end
    local named = {EPROTO = true}
    for round = 1, H.rounds(600, 50) do
      local bytes = text
      for _ = 1, draw(8) do
        -- Mostly where numbers are that mean something.
        local at = draw(3) == 1 and draw(#text) or draw(2) == 1 and draw(104) or 4096 + draw(200)
        bytes = bytes:sub(1, at - 1) .. string.char(draw(256) - 1) .. bytes:sub(at + 1)
      end
      local ok, what = pcall(look, bytes)
      assert(ok, "round " .. round .. ": " .. tostring(what))
      assert(type(what) == "number" or named[what], tostring(what))
    end
  end)

  it("writes what it reads", function()
    local text = sample(64)
    local header, sections = layout.read(text)
    local parts = {}
    layout.write(header, sections, function(piece) parts[#parts + 1] = piece end)
    local again, copies = layout.read(table.concat(parts))
    assert.equal(header.wall, again.wall)
    assert.equal(header.ticks, again.ticks)
    assert.equal(sections[1].count, copies[1].count)
    assert.equal(table.concat(sections[1].chunks), table.concat(copies[1].chunks))
    assert.equal(sections[1].texts, copies[1].texts)
    assert.equal(sections[1].last_id, copies[1].last_id)
  end)

  it("knows its kinds by their numbers in C", function()
    assert.equal("nop", core.op_names[1])
    assert.equal(8, #core.op_names)
  end)
end)
