-- SPDX-License-Identifier: MIT
-- Servers: net.serve, and whole connections under faults.
local H = require "spec.helper"
local net = require "ringlet.net"
local rl = require "ringlet"
local t = require "ringlet.test"
local wire = require "spec.wire"

local ANY, pair, close, pattern = wire.ANY, wire.pair, wire.close, wire.pattern

local function echo(conn)
  while true do
    local data = conn:read()
    if not data then
      return
    end
    conn:write(data)
  end
end

local HANDLERS = {
  ["a task"] = {echo},
  ["on_data"] = {{on_data = function(conn, data) conn:write(data) end}},
  ["on_data with slices"] = {
    {on_data = function(conn, data) conn:write(data) end}, {buffers = true},
  },
}

for name, spec in pairs(HANDLERS) do
  H.both("serving with " .. name, function(it)
    local handler, opts = spec[1], spec[2]

    it("echoes for many at a time", function()
      local server = assert(net.serve(ANY, handler, opts))
      local clients = {}
      for i = 1, 20 do
        clients[i] = rl.go(function()
          local conn = assert(net.connect(server:addr()))
          for k = 1, 10 do
            local text = pattern(i * k * 13, i)
            conn:write(text)
            assert.equal(text, conn:read_exactly(#text, 3))
          end
          conn:close()
        end)
      end
      for i = 1, 20 do
        clients[i]:join()
      end
      assert.equal(20, server:stats().accepted)
      assert.is_true(server:stop(1))
      assert.is_true(server:stop())
      assert.is_true(server:join())
      assert.equal(0, server:stats().live)
      assert.equal("ECONNREFUSED", select(3, net.connect(server:addr())))
    end, {timeout = 30})

    it("can be selected: it has ended", function()
      local server = assert(net.serve(ANY, handler, opts))
      assert.equal("ETIMEDOUT", select(3, rl.select({{server}}, 0)))
      rl.go(function() server:stop() end)
      assert.same({1, true}, {rl.select({{server}}, 5)})
      assert.same({1, true}, {rl.select({{server}}, 0)})
    end)

    it("lets clients beyond max_connections wait", function()
      local o = {max_connections = 2}
      for k, v in pairs(opts or {}) do o[k] = v end
      local server = assert(net.serve(ANY, handler, o))
      local conns = {}
      for i = 1, 6 do
        conns[i] = assert(net.connect(server:addr()))
        conns[i]:write(i)
      end
      rl.sleep(0.05)
      assert.equal(2, server:stats().live)
      for i = 1, 6 do
        assert.equal(tostring(i), conns[i]:read(1))
        assert.is_true(server:stats().live <= 2)
        conns[i]:close()
      end
      assert.is_true(server:stop(1))
    end)

    it("closes idle connections after idle_timeout", function()
      local o = {idle_timeout = 0.05}
      for k, v in pairs(opts or {}) do o[k] = v end
      local server = assert(net.serve(ANY, handler, o))
      local conn = assert(net.connect(server:addr()))
      conn:write("x")
      assert.equal("x", conn:read(1))
      assert.equal("EOF", select(3, conn:read(1)))
      conn:close()
      assert.is_true(server:stop(1))
    end)
  end)
end

H.both("a server", function(it)
  it("closes the connection when its handler ends or raises, and reports the error", function()
    local errors = {}
    rl.on_error(function(err) errors[#errors + 1] = tostring(err) end)
    local server = assert(net.serve(ANY, function(conn)
      if conn:read() == "boom" then error("handler failed") end
    end))
    for _, word in ipairs{"fine", "boom"} do
      local conn = assert(net.connect(server:addr()))
      conn:write(word)
      assert.is_nil((conn:read(1)))
      conn:close()
    end
    assert.is_true(server:stop(1))
    assert.equal(1, #errors)
    assert.is_truthy(errors[1]:find("handler failed", 1, true))
    assert.equal(1, server:stats().errors)
  end)

  it("survives errors in on_open, on_data and on_close", function()
    local errors, closed = {}, 0
    rl.on_error(function(err) errors[#errors + 1] = tostring(err) end)
    local server = assert(net.serve(ANY, {
      on_open = function(conn) if conn:read() == "open" then error("in on_open") end end,
      on_data = function(_, data) if data == "data" then error("in on_data") end end,
      on_close = function() closed = closed + 1 error("in on_close") end,
    }))
    for _, word in ipairs{"open", "data", "none"} do
      local conn = assert(net.connect(server:addr()))
      conn:write(word)
      rl.sleep(0.01)
      conn:write("data")
      assert.is_nil((conn:read(1)))
      conn:close()
    end
    assert.is_true(server:stop(1))
    assert.equal(3, closed)
    assert.equal(1 + 2 + 3, #errors)
  end)

  it("hands data of one connection over one at a time, and others do not wait", function()
    local log, inside = {}, {}
    local server = assert(net.serve(ANY, {on_data = function(conn, data)
      local who = conn:peername()
      assert(not inside[who])
      inside[who] = true
      if data:sub(1, 4) == "slow" then rl.sleep(0.2) end
      log[#log + 1] = data
      inside[who] = false
      conn:write("ok")
    end}))
    local slow, quick = assert(net.connect(server:addr())), assert(net.connect(server:addr()))
    slow:write("slow")
    rl.sleep(0.02)
    slow:write("after")
    for i = 1, 5 do
      quick:write("q" .. i)
      assert.equal("ok", quick:read(0.1))
    end
    assert.equal("okok", slow:read_exactly(4, 1))
    assert.same({"q1", "q2", "q3", "q4", "q5", "slow", "after"}, log)
    close(slow, quick)
    assert.is_true(server:stop(1))
  end)

  it("tells on_close how a connection ended", function()
    local ends = {}
    local server = assert(net.serve(ANY, {
      on_data = function(conn, data) if data == "close" then conn:close() end end,
      on_close = function(conn, msg, code)
        ends[#ends + 1] = code or "fine"
        assert.is_table(conn:stats())
        assert.is_true(code ~= nil == (msg ~= nil))
      end,
    }))
    local conn = assert(net.connect(server:addr()))
    conn:close()
    rl.sleep(0.02)
    conn = assert(net.connect(server:addr()))
    conn:write("close")
    assert.equal("EOF", select(3, conn:read(1)))
    conn:close()
    conn = assert(net.connect(server:addr()))
    rl.sleep(0.02)
    conn:abort()
    rl.sleep(0.02)
    assert.same({"fine", "fine", "ECONNRESET"}, ends)
    assert.is_true(server:stop(1))
  end)

  it("lets handlers of idle on_data connections read", function()
    local server = assert(net.serve(ANY, {on_data = function(conn, data)
      conn:write(data, conn:read_exactly(3))
    end}))
    local conn = assert(net.connect(server:addr()))
    conn:write("abc")
    rl.sleep(0.02)
    conn:write("def")
    assert.equal("abcdef", conn:read_exactly(6, 1))
    conn:close()
    assert.is_true(server:stop(1))
  end)

  it("cancels handlers after the grace", function()
    local cancelled = false
    local server = assert(net.serve(ANY, function(conn)
      local ok, err = pcall(conn.read, conn)
      cancelled = not ok
      error(err, 0)
    end))
    local conn = assert(net.connect(server:addr()))
    rl.sleep(0.02)
    local from = rl.now()
    assert.is_true(server:stop(0.1))
    assert.is_true(rl.now() - from < 30)
    assert.is_true(cancelled)
    assert.is_nil((conn:read(1)))
    conn:close()
  end)

  it("waits for no handler that closed its connection longer than the grace", function()
    local server = assert(net.serve(ANY, function(conn)
      conn:close()
      rl.sleep(100)
    end))
    local conn = assert(net.connect(server:addr()))
    rl.sleep(0.02)
    local from = rl.now()
    assert.is_true(server:stop(0.05))
    assert.is_true(rl.now() - from < 30)
    conn:close()
  end)

  it("cancels no task but its own, though slots are used again", function()
    local server = assert(net.serve(ANY, {
      on_open = function() end, on_data = function() rl.sleep(100) end,
    }))
    local conn = assert(net.connect(server:addr()))
    rl.sleep(0.02)
    local tasks = {}
    for i = 1, 10 do
      tasks[i] = rl.go(rl.sleep, 0.2)
    end
    conn:write("x")
    rl.sleep(0.02)
    assert.is_true(server:stop(0.02))
    for i = 1, 10 do
      assert.is_true((tasks[i]:join()))
    end
    conn:close()
  end)

  it("closes on_data connections as soon as they are answered when it stops", function()
    local ends = 0
    local server = assert(net.serve(ANY, {
      on_data = function(conn, data)
        rl.sleep(0.05)
        conn:write(data)
      end,
      on_close = function() ends = ends + 1 end,
    }))
    local busy, idle = assert(net.connect(server:addr())), assert(net.connect(server:addr()))
    busy:write("busy")
    rl.sleep(0.02)
    local from = rl.now()
    assert.is_true(server:stop(50))
    assert.is_true(rl.now() - from < 30)
    assert.equal("busy", busy:read(1))
    assert.equal("EOF", select(3, busy:read(1)))
    assert.equal("EOF", select(3, idle:read(1)))
    assert.equal(2, ends)
    close(busy, idle)
  end)

  it("cancels on_data handlers after the grace", function()
    local server = assert(net.serve(ANY, {on_data = function() rl.sleep(100) end}))
    local conn = assert(net.connect(server:addr()))
    conn:write("x")
    rl.sleep(0.02)
    assert.is_true(server:stop(0.1))
    assert.is_nil((conn:read(1)))
    conn:close()
  end)

  it("ends a connection after total_timeout", function()
    local server = assert(net.serve(ANY, echo, {total_timeout = 0.1}))
    local conn = assert(net.connect(server:addr()))
    local n = 0
    while conn:write(".") and conn:read(1) do
      n = n + 1
      rl.sleep(0.01)
    end
    assert.is_true(n > 2 and n < 12, n)
    conn:close()
    assert.is_true(server:stop(1))
  end)
end)

describe("a run", function()
  it("is kept alive by a server, and ends when that is stopped", function()
    local served = false
    H.run(function()
      local server = assert(net.serve(ANY, function(conn)
        conn:write("hi")
        served = true
      end))
      rl.daemon(function()
        rl.sleep(1)
        local conn = assert(net.connect(server:addr()))
        assert(conn:read(1) == "hi")
        conn:close()
        server:stop()
      end)
    end)
    assert.is_true(served)
  end)

  it("ends only when a closed connection has sent what it had", function()
    local got
    H.run(function()
      local a, b = pair()
      rl.daemon(function() got = b:read_all() end)
      a:write(pattern(200000))
      a:close()
    end)
    assert.equal(true, got == nil or got == pattern(200000))
  end)
end)

-- A server whose run is stopped while one client waits for an answer, which takes `WORK` seconds,
-- and another one is idle. Prints what became of the request, what a new client gets, whether a
-- handler was cancelled, how many connections ended, and how long that took.
local STOPPED = H.KILL .. [[
  local net = require "ringlet.net"
  local answer, refused, cancelled, ended, from = nil, nil, false, 0, nil
  local function work(conn, line)
    local ok, err = pcall(rl.sleep, WORK)
    cancelled = not ok
    if not ok then error(err, 0) end
    conn:write(line, " done\n")
  end
  local function task(conn)
    rl.finally(function()
      for line in conn:lines() do work(conn, line) end
    end, function() ended = ended + 1 end)
  end
  local on_data = {
    on_data = function(conn, data) work(conn, data:match "%C+") end,
    on_close = function() ended = ended + 1 end,
  }
  local function client(addr, text)
    local conn = assert(net.connect(addr))
    conn:write(text)
    answer = conn:read_line() or answer
    conn:read()
  end
  local got = rl.run(function()
    local server = assert(net.serve("127.0.0.1:0", KIND == "task" and task or on_data))
    rl.daemon(client, server:addr(), "request\n")
    rl.daemon(client, server:addr(), "")
    rl.daemon(function()
      rl.sleep(0.05)
      from = rl.now()
      if HOW == "stop" then rl.stop(GRACE) else kill(HOW) end
      while not rl.stopping() do rl.sleep(0.001) end
      rl.sleep(0.02)
      refused = select(3, net.connect(server:addr()))
      if AGAIN then kill(HOW) end
    end)
    return "result"
  end, {signals = true, grace = GRACE, backend = "uring", on_hung = function() end})
  local took, stats = rl.now() - from, rl.stats()
  print(got, answer, refused, cancelled, ended, stats.tasks + stats.handles + stats.ops)
  print(took)
]]

for _, kind in ipairs{"task", "on_data"} do
  describe("a run with a server, its handler " .. kind, function()
    local function stopped(how, grace, work, again)
      if H.missing.uring then
        return pending(H.missing.uring)
      end
      local out, code = H.script(("local KIND, HOW, GRACE, WORK, AGAIN = %q, %q, %g, %g, %s\n")
        :format(kind, how, grace, work, tostring(again)) .. STOPPED)
      assert.equal(0, code, out)
      local line, took = out:match("^(.-)\n(.-)\n$")
      return line, tonumber(took)
    end

    -- A function does not tell us that its connection is idle: it is cancelled after the grace.
    local grace = kind == "task" and 0.5 or 50

    for _, how in ipairs{"TERM", "INT", "stop"} do
      it("lets requests finish and closes idle connections: " .. how, function()
        local line, took = stopped(how, grace, 0.2)
        assert.equal("result\trequest done\tECONNREFUSED\tfalse\t2\t0", line)
        assert.is_true(took > 0.1 and took < 30, took)
      end)
    end

    it("cancels what takes longer than the grace", function()
      local line, took = stopped("TERM", 0.2, 100)
      assert.equal("result\tnil\tECONNREFUSED\ttrue\t2\t0", line)
      assert.is_true(took > 0.15 and took < 30, took)
    end)

    it("ends at once at the second signal", function()
      local line, took = stopped("TERM", 500, 100, true)
      assert.equal("result\tnil\tECONNREFUSED\ttrue\t2\t0", line)
      assert.is_true(took < 30, took)
    end)

    it("ends at once when stopped without a grace", function()
      local line, took = stopped("stop", 0, 100)
      assert.equal("result\tnil\tnil\ttrue\t2\t0", line)
      assert.is_true(took < 30, took)
    end)
  end)
end

describe("under faults", function()
  -- Every reply is right as far as it goes, and nothing is left.
  local function exchange(seed)
    local broken = 0
    rl.on_error(function(err) error(err, 0) end)
    local handlers = {echo, HANDLERS["on_data"][1], HANDLERS["on_data with slices"][1]}
    local server = net.serve(ANY, handlers[seed % 3 + 1], {buffers = seed % 3 == 2 or nil})
    if not server then return end
    local tasks = {}
    for i = 1, 5 do
      tasks[i] = rl.go(function()
        local conn = net.connect(server:addr())
        if not conn then
          broken = broken + 1
          return
        end
        local sent, got = pattern(3000 + i * 100, i + seed), {}
        local writer = rl.go(function()
          for k = 1, #sent, 130 do
            if not conn:write(sent:sub(k, k + 129)) then
              conn:abort()
              break
            end
          end
          conn:shutdown()
        end)
        repeat
          local data = conn:read()
          got[#got + 1] = data
        until not data
        local text = table.concat(got)
        assert(sent:sub(1, #text) == text, "an echo differs")
        broken = broken + (#text == #sent and 0 or 1)
        writer:join()
        conn:close()
      end)
    end
    for i = 1, 5 do
      tasks[i]:join()
    end
    server:stop(1)
    return broken
  end

  it("that pass no byte is lost", function()
    t.seeds(H.rounds(150, 10), function(seed)
      assert.equal(0, exchange(seed))
    end, {faults = "short_read=0.2,short_write=0.2,enobufs=0.1,delay=0.05,cq_overflow=0.1,"
      .. "multishot_end=0.2,cancel_race=0.5,eintr=0.05", timeout = 60})
  end)

  it("of every kind nothing is left", function()
    t.seeds(H.rounds(150, 10), exchange, {faults = "all=0.03", timeout = 60})
  end)
end)
