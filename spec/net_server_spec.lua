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
            assert.equal(text, conn:read_exactly(#text, 30))
          end
          conn:close()
        end)
      end
      for i = 1, 20 do
        clients[i]:join()
      end
      assert.equal(20, server:stats().accepted)
      assert.is_true(server:stop(30))
      assert.is_true(server:stop())
      assert.is_true(server:join())
      assert.equal(0, server:stats().live)
      assert.equal("ECONNREFUSED", select(3, net.connect(server:addr())))
    end)

    it("can be selected: it has ended", function()
      local server = assert(net.serve(ANY, handler, opts))
      assert.equal("ETIMEDOUT", select(3, rl.select({{server}}, 0)))
      rl.go(function() server:stop() end)
      assert.same({1, true}, {rl.select({{server}}, 30)})
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
      H.eventually("two that are served", function() return server:stats().live == 2 end)
      rl.sleep(0.05)
      assert.equal(2, server:stats().live)
      for i = 1, 6 do
        assert.equal(tostring(i), conns[i]:read(30))
        assert.is_true(server:stats().live <= 2)
        conns[i]:close()
      end
      assert.is_true(server:stop(30))
    end)

    it("closes idle connections after idle_timeout", function()
      local idle, got, code = 0.05
      repeat -- on a busy machine to be answered takes longer than that
        local o = {idle_timeout = idle}
        for k, v in pairs(opts or {}) do o[k] = v end
        local server = assert(net.serve(ANY, handler, o))
        local conn = assert(net.connect(server:addr()))
        conn:write("x")
        got = conn:read(30)
        code = select(3, conn:read(30))
        conn:close()
        assert.is_true(server:stop(30))
        idle = 2 * idle
      until got or idle > 10
      assert.same({"x", "EOF"}, {got, code})
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
      assert.is_nil((conn:read(30)))
      conn:close()
    end
    assert.is_true(server:stop(30))
    assert.equal(1, #errors)
    assert.is_truthy(errors[1]:find("handler failed", 1, true))
    assert.equal(1, server:stats().errors)
  end)

  it("survives errors in on_open, on_data and on_close", function()
    local errors, opened, closed = {}, 0, 0
    rl.on_error(function(err) errors[#errors + 1] = tostring(err) end)
    local server = assert(net.serve(ANY, {
      on_open = function(conn)
        local word = conn:read()
        opened = opened + 1
        if word == "open" then error("in on_open") end
      end,
      on_data = function(_, data) if data == "data" then error("in on_data") end end,
      on_close = function() closed = closed + 1 error("in on_close") end,
    }))
    for i, word in ipairs{"open", "data", "none"} do
      local conn = assert(net.connect(server:addr()))
      conn:write(word)
      H.eventually("on_open has read", function() return opened == i end)
      conn:write("data")
      assert.is_nil((conn:read(30)))
      conn:close()
    end
    assert.is_true(server:stop(30))
    assert.equal(3, closed)
    assert.equal(1 + 2 + 3, #errors)
  end)

  it("hands data of one connection over one at a time, and others do not wait", function()
    local log, inside, begun, go_on = {}, {}, false, rl.event()
    local server = assert(net.serve(ANY, {on_data = function(conn, data)
      local who = conn:peername()
      assert(not inside[who])
      inside[who] = true
      if data:sub(1, 4) == "slow" then
        begun = true
        go_on:wait()
      end
      log[#log + 1] = data
      inside[who] = false
      conn:write("ok")
    end}))
    local slow, quick = assert(net.connect(server:addr())), assert(net.connect(server:addr()))
    slow:write("slow")
    H.eventually("the slow one", function() return begun end)
    slow:write("after")
    for i = 1, 5 do
      quick:write("q" .. i)
      assert.equal("ok", quick:read(30))
    end
    go_on:set()
    assert.equal("okok", slow:read_exactly(4, 30))
    assert.same({"q1", "q2", "q3", "q4", "q5", "slow", "after"}, log)
    close(slow, quick)
    assert.is_true(server:stop(30))
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
    local function ended(n)
      H.eventually("the end of number " .. n, function() return #ends == n end)
    end
    local conn = assert(net.connect(server:addr()))
    conn:close()
    ended(1)
    conn = assert(net.connect(server:addr()))
    conn:write("close")
    assert.equal("EOF", select(3, conn:read(30)))
    conn:close()
    ended(2)
    conn = assert(net.connect(server:addr()))
    H.eventually("the third", function() return server:stats().live == 1 end)
    conn:abort()
    ended(3)
    assert.same({"fine", "fine", "ECONNRESET"}, ends)
    assert.is_true(server:stop(30))
  end)

  it("lets handlers of idle on_data connections read", function()
    local begun
    local server = assert(net.serve(ANY, {on_data = function(conn, data)
      begun = true
      conn:write(data, conn:read_exactly(3))
    end}))
    local conn = assert(net.connect(server:addr()))
    conn:write("abc")
    H.eventually("data", function() return begun end)
    conn:write("def")
    assert.equal("abcdef", conn:read_exactly(6, 30))
    conn:close()
    assert.is_true(server:stop(30))
  end)

  it("cancels handlers after the grace", function()
    local begun, cancelled = false, false
    local server = assert(net.serve(ANY, function(conn)
      begun = true
      local ok, err = pcall(conn.read, conn)
      cancelled = not ok
      error(err, 0)
    end))
    local conn = assert(net.connect(server:addr()))
    H.eventually("its handler", function() return begun end)
    local from = rl.now()
    assert.is_true(server:stop(0.1))
    assert.is_true(rl.now() - from < 30)
    assert.is_true(cancelled)
    assert.is_nil((conn:read(30)))
    conn:close()
  end)

  it("waits for no handler that closed its connection longer than the grace", function()
    local closed
    local server = assert(net.serve(ANY, function(conn)
      conn:close()
      closed = true
      rl.sleep(100)
    end))
    local conn = assert(net.connect(server:addr()))
    H.eventually("it has closed", function() return closed end)
    local from = rl.now()
    assert.is_true(server:stop(0.05))
    assert.is_true(rl.now() - from < 30)
    conn:close()
  end)

  it("cancels no task but its own, though slots are used again", function()
    local opened, begun
    local server = assert(net.serve(ANY, {
      on_open = function() opened = true end,
      on_data = function()
        begun = true
        rl.sleep(100)
      end,
    }))
    local conn = assert(net.connect(server:addr()))
    H.eventually("on_open", function() return opened end)
    rl.sleep(0.001) -- its task ends
    local tasks = {}
    for i = 1, 10 do
      tasks[i] = rl.go(rl.sleep, 0.2)
    end
    conn:write("x")
    H.eventually("on_data", function() return begun end)
    assert.is_true(server:stop(0.02))
    for i = 1, 10 do
      assert.is_true((tasks[i]:join()))
    end
    conn:close()
  end)

  it("closes on_data connections as soon as they are answered when it stops", function()
    local begun, ends = false, 0
    local server = assert(net.serve(ANY, {
      on_data = function(conn, data)
        begun = true
        rl.sleep(0.05)
        conn:write(data)
      end,
      on_close = function() ends = ends + 1 end,
    }))
    local busy, idle = assert(net.connect(server:addr())), assert(net.connect(server:addr()))
    busy:write("busy")
    H.eventually("both", function() return begun and server:stats().live == 2 end)
    local from = rl.now()
    assert.is_true(server:stop(50))
    assert.is_true(rl.now() - from < 30)
    assert.equal("busy", busy:read(30))
    assert.equal("EOF", select(3, busy:read(30)))
    assert.equal("EOF", select(3, idle:read(30)))
    assert.equal(2, ends)
    close(busy, idle)
  end)

  it("cancels on_data handlers after the grace", function()
    local begun
    local server = assert(net.serve(ANY, {on_data = function()
      begun = true
      rl.sleep(100)
    end}))
    local conn = assert(net.connect(server:addr()))
    conn:write("x")
    H.eventually("on_data", function() return begun end)
    assert.is_true(server:stop(0.1))
    assert.is_nil((conn:read(30)))
    conn:close()
  end)

  it("ends a connection after total_timeout", function()
    local total, n = 0.1
    repeat -- on a busy machine hardly anything is echoed in that time
      local server = assert(net.serve(ANY, echo, {total_timeout = total}))
      local conn = assert(net.connect(server:addr()))
      n = 0
      while conn:write(".") and conn:read(30) do
        n = n + 1
        rl.sleep(0.01)
      end
      assert.is_true(n < total / 0.01 + 2, n)
      conn:close()
      assert.is_true(server:stop(30))
      total = 2 * total
    until n > 2 or total > 10
    assert.is_true(n > 2, n)
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
        assert(conn:read(30) == "hi")
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
-- handler was cancelled, whether all connections ended, and how long that took. Clients see how
-- their connection ends, whatever the run does.
local STOPPED = H.KILL .. [[
  local net = require "ringlet.net"
  local answer, refused, working, cancelled, from = nil, nil, false, false, nil
  local begun, ended = 0, 0
  local function work(conn, line)
    working = true
    local ok, err = pcall(rl.sleep, WORK)
    cancelled = not ok
    if not ok then error(err, 0) end
    conn:write(line, " done\n")
  end
  local function task(conn)
    begun = begun + 1
    rl.finally(function()
      for line in conn:lines() do work(conn, line) end
    end, function() ended = ended + 1 end)
  end
  local on_data = {
    on_open = function() begun = begun + 1 end,
    on_data = function(conn, data) work(conn, data:match "%C+") end,
    on_close = function() ended = ended + 1 end,
  }
  local function client(addr, text)
    local conn = assert(net.connect(addr))
    conn:write(text)
    rl.shield(function()
      answer = conn:read_line() or answer
      conn:read()
    end)
  end
  local function refusal(addr) -- once the stopping server does not listen any more
    while true do
      local conn, _, code = net.connect(addr)
      if not conn then return code end
      conn:close()
      rl.sleep(0.005)
    end
  end
  local got = rl.run(function()
    local server = assert(net.serve("127.0.0.1:0", KIND == "task" and task or on_data))
    rl.daemon(client, server:addr(), "request\n")
    rl.daemon(client, server:addr(), "")
    rl.daemon(function()
      while not working or server:stats().live < 2 do rl.sleep(0.002) end
      from = rl.now()
      if GRACE == 0 then return rl.stop(0) end
      rl.shield(function()
        if HOW == "stop" then rl.stop(GRACE) else kill(HOW) end
        while not rl.stopping() do rl.sleep(0.001) end
        rl.sleep(0.001)
        refused = refusal(server:addr())
        if AGAIN then kill(HOW) end
      end)
    end)
    return "result"
  end, {signals = true, grace = GRACE, backend = "uring", on_hung = function() end})
  local took, stats = rl.now() - from, rl.stats()
  print(got, answer, refused, cancelled, begun >= 2 and ended >= begun,
    stats.tasks + stats.handles + stats.ops)
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
        assert.equal("result\trequest done\tECONNREFUSED\tfalse\ttrue\t0", line)
        assert.is_true(took < 30, took)
      end)
    end

    it("cancels what takes longer than the grace", function()
      local line, took = stopped("TERM", 0.2, 100)
      assert.equal("result\tnil\tECONNREFUSED\ttrue\ttrue\t0", line)
      assert.is_true(took > 0.15 and took < 30, took)
    end)

    it("ends at once at the second signal", function()
      local line, took = stopped("TERM", 500, 100, true)
      assert.equal("result\tnil\tECONNREFUSED\ttrue\ttrue\t0", line)
      assert.is_true(took < 30, took)
    end)

    it("ends at once when stopped without a grace", function()
      local line, took = stopped("stop", 0, 100)
      assert.equal("result\tnil\tnil\ttrue\ttrue\t0", line)
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
    server:stop(30)
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
