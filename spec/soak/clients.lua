-- SPDX-License-Identifier: MIT
-- The load of the soak that uses the network. Each function is one scenario: it raises when
-- something is not as it must be, and leaves nothing behind.

local net = require "ringlet.net"
local rl = require "ringlet"
local servers = require "spec.soak.servers"

local BYTES = servers.BYTES
local LONG = 10 -- seconds: what takes longer is broken

local random = math.random

local M = {}

local function one_of(...)
  return (select(random(select("#", ...)), ...))
end

local function bytes(most)
  local n = random(most)
  local from = random(#BYTES - n)
  return BYTES:sub(from, from + n - 1)
end

local function open(addr, name)
  return assert(net.connect(addr[name], {timeout = LONG}))
end

local function open_echo(addr)
  return open(addr, one_of("task", "data", "slices"))
end

local function order(addr, line)
  local conn = open(addr, one_of("orders", "orders_data"))
  assert(conn:write(line, "\n"))
  return conn
end

local function finish(conn)
  return conn[one_of("close", "close", "abort")](conn)
end

local function expect(wanted, v, msg, code)
  if v or not (" " .. wanted .. " "):find(" " .. tostring(code) .. " ", 1, true) then
    error(("%s expected, got %s, %s"):format(wanted, tostring(v), tostring(msg)), 2)
  end
end

-- Cancel a task after a moment and see that it was, or had ended.
local function cancel_soon(task)
  rl.sleep(one_of(0, 0, 0.001, 0.003))
  task:cancel("soak")
  local ok, err = task:join(LONG)
  assert(ok or ok == false and rl.is_cancel(err), err)
end

function M.echo(addr)
  local conn = open_echo(addr)
  for _ = 1, random(5) do
    local text = bytes(20000)
    assert(conn:write(text))
    assert(conn:read_exactly(#text, LONG) == text, "the echo differs")
  end
  finish(conn)
end

function M.half_close(addr)
  local conn, text = open(addr, "task"), bytes(50000)
  assert(conn:write(text))
  assert(conn:shutdown())
  assert(conn:read_all(nil, LONG) == text, "the echo differs")
  conn:close()
end

function M.count(addr)
  local conn, text = order(addr, "count"), bytes(100000)
  rl.sleep(0.001)
  assert(conn:write(text) and conn:shutdown())
  assert(tonumber(conn:read_all(100, LONG)) == #text, "the count differs")
  conn:close()
end

function M.lines(addr)
  local conn = open(addr, "moody")
  assert(conn:read_line(10, LONG) == "hello")
  for i = 1, random(5) do
    assert(conn:write("line ", i, "\r\n"))
    assert(conn:read_line(100, LONG) == "line " .. i)
  end
  finish(conn)
end

function M.gone_at_once(addr)
  finish(open(addr, one_of("task", "data", "slices", "moody", "orders", "orders_data")))
end

function M.abort(addr)
  local conn = open_echo(addr)
  conn:write(bytes(200000))
  conn:abort()
  expect("ECLOSED", conn:read())
end

-- Never closed: the collector must do it.
function M.forgotten(addr)
  local conn = open_echo(addr)
  conn:write(bytes(1000))
  if random(2) == 1 then
    conn:read(LONG)
  end
end

function M.slow_reader(addr)
  local n = random(400000)
  local conn, got = order(addr, "flood " .. n), 0
  local enough = random(3) == 1 and n / 2 or n
  while got < enough do
    local data = assert(conn:read(LONG))
    assert(data == BYTES:sub(got + 1, got + #data), "the flood differs")
    got = got + #data
    rl.sleep(one_of(0, 0.001))
  end
  finish(conn)
end

function M.drip(addr)
  local n = random(20)
  local conn = order(addr, "drip " .. n)
  assert(conn:read_exactly(n, LONG) == BYTES:sub(1, n))
  expect("EOF", conn:read(LONG))
  conn:close()
end

function M.read_timeout(addr)
  local conn = order(addr, "hush 300")
  expect("ETIMEDOUT", conn:read(one_of(0, 0.002, 0.01)))
  expect("ETIMEDOUT", conn[one_of("read_exactly", "read_line", "read_all")](conn, 10, 0.002))
  finish(conn)
end

function M.write_timeout(addr)
  local conn = order(addr, "hush 300")
  local chunk, code = BYTES:sub(1, 65536), nil
  conn:setopt("sndbuf", 16384)
  conn:set_timeout{write = 0.01}
  for _ = 1, 1000 do
    local ok, _, why = conn:write(chunk)
    if not ok then
      code = why
      break
    end
  end
  -- Where somebody else has the processor for long, the peer may read on, or be gone already.
  local gone = {EPIPE = true, ECONNRESET = true}
  assert(code == "ETIMEDOUT" or gone[code], code)
  local ok, _, why = conn:flush(0.001)
  assert(ok or why == "ETIMEDOUT" or gone[why], why)
  finish(conn)
end

function M.cancel_read(addr)
  local conn = open_echo(addr)
  local how = one_of("read", "read_line", "read_all", "read_buffer")
  cancel_soon(rl.go(function() conn[how](conn) end))
  assert(conn:write("still\n"))
  assert(conn:read_line(100, LONG) == "still")
  finish(conn)
end

function M.cancel_write(addr)
  local conn = order(addr, "hush 100")
  conn:setopt("sndbuf", 16384)
  cancel_soon(rl.go(function()
    for _ = 1, 1000 do
      if not conn:write(BYTES:sub(1, 65536)) then
        return
      end
    end
    conn:flush()
  end))
  finish(conn)
end

function M.cancel_connect(addr)
  local name = one_of("nobody", "nobody", "task", "data")
  cancel_soon(rl.go(function() net.connect(addr[name]):close() end))
end

function M.connect_timeout(addr)
  expect("ETIMEDOUT", net.connect(addr.nobody, {timeout = one_of(0.001, 0.01, 0.05)}))
end

function M.refused(addr)
  expect("ECONNREFUSED", net.connect(addr.refused, {timeout = LONG}))
end

function M.names(addr)
  if random(3) == 1 then
    cancel_soon(rl.go(net.connect, "no-such-host.invalid:80"))
  elseif random(2) == 1 then
    expect("ENOENT EAGAIN", net.connect("no-such-host.invalid:80", {timeout = LONG}))
  else
    local conn = assert(net.connect("localhost" .. addr.task:match ":%d+$", {timeout = LONG}))
    finish(conn)
  end
end

function M.crowd(addr)
  local name = one_of("few", "few_data")
  rl.scope(function(s)
    for i = 1, 8 do
      s:go(function()
        local conn = open(addr, name)
        assert(conn:write(i, "\n"))
        assert(conn:read_line(10, LONG) == tostring(i))
        finish(conn)
      end)
    end
  end)
end

function M.limits_of_time(addr)
  local conn = open(addr, one_of("impatient", "impatient_data", "hurried"))
  conn:write("x")
  local echo = conn:read(LONG) -- nothing, when the server's limit came first
  if echo then
    assert(echo == "x")
    expect("EOF ECONNRESET", conn:read(LONG))
  end
  conn:close()
end

function M.told_to_end(addr)
  local conn = order(addr, one_of("bye", "reset", "fail", "half"))
  local data, _, code = conn:read(LONG)
  assert(data or code == "EOF" or code == "ECONNRESET", code)
  if data then
    expect("EOF ECONNRESET", conn:read(LONG))
  end
  finish(conn)
end

function M.close_under_reader(addr)
  local conn = open_echo(addr)
  local reader = rl.go(function() return conn:read() end)
  rl.sleep(one_of(0, 0.001))
  local raised = not pcall(conn.read, conn, 0.001)
  finish(conn)
  local ok, data, _, code = reader:join(LONG)
  assert(ok and not data and code == "ECLOSED", tostring(data) .. tostring(code))
  assert(raised, "two readers at once")
end

function M.duplex(addr)
  local conn, n = open_echo(addr), random(#BYTES)
  rl.scope(function(s)
    s:go(function()
      for from = 1, n, 50000 do
        assert(conn:write(BYTES:sub(from, math.min(from + 49999, n))))
      end
    end)
    local got = 0
    while got < n do
      local data = assert(conn:read(LONG))
      assert(data == BYTES:sub(got + 1, got + #data), "the echo differs")
      got = got + #data
    end
  end)
  finish(conn)
end

function M.writers(addr)
  local conn, left = open_echo(addr), 0
  for i = 1, 4 do
    for k = 1, 5 do
      left = left + 1
      rl.go(function() assert(conn:write({i, " ", k}, "\n")) end)
    end
  end
  for _ = 1, left do
    assert(conn:read_line(100, LONG):find "^%d %d$", "writes were mixed")
  end
  finish(conn)
end

-- A server that is stopped in the middle: every connection is opened and closed once.
function M.short_server()
  local opened, closed = 0, 0
  local function echo(conn)
    opened = opened + 1
    rl.finally(function()
      local data = conn:read()
      while data and conn:write(data) do
        data = conn:read()
      end
    end, function() closed = closed + 1 end)
  end
  local server = assert(net.serve("127.0.0.1:0", one_of(echo, {
    on_open = function() opened = opened + 1 end,
    on_data = function(conn, data)
      conn:write(data)
      rl.sleep(0.002)
    end,
    on_close = function() closed = closed + 1 end,
  })))
  local clients = {}
  for i = 1, 4 do
    clients[i] = rl.go(function()
      local conn = net.connect(server:addr())
      while conn and conn:write("x") and conn:read(LONG) do end
      if conn then
        finish(conn)
      end
    end)
  end
  rl.sleep(one_of(0, 0.001, 0.01))
  server:stop(one_of(0, 0.01))
  for _, client in ipairs(clients) do
    assert(client:join(LONG))
  end
  assert(opened == closed, ("%d opened, %d closed"):format(opened, closed))
end

function M.listener()
  local listener = assert(net.listen("127.0.0.1:0"))
  expect("ETIMEDOUT", listener:accept(0.001))
  cancel_soon(rl.go(listener.accept, listener))
  local a = assert(net.connect(listener:addr(), {timeout = LONG}))
  local b
  if random(2) == 1 then
    b = assert(listener:accept(LONG))
    b:close()
  else
    rl.go(function() expect("ECLOSED", listener:accept()) expect("ECLOSED", listener:accept()) end)
      :cancel()
  end
  listener:close()
  expect("ECLOSED", listener:accept())
  expect("EOF ECONNRESET", a:read(LONG))
  a:close()
end

function M.slices(addr)
  local conn, text = open_echo(addr), bytes(30000)
  assert(conn:write(text))
  local got = 0
  local kept
  while got < #text do
    local slice = assert(conn:read_buffer(LONG))
    assert(slice:equals(text:sub(got + 1, got + #slice)))
    got = got + #slice
    if not kept then
      kept = slice:retain()
      conn:write(slice:slice(1, 1), kept)
      text = text .. tostring(slice:slice(1, 1)) .. tostring(kept)
    end
  end
  finish(conn)
end

function M.too_long(addr)
  local conn = open_echo(addr)
  assert(conn:write(("x"):rep(300), "\n"))
  expect("EMSGSIZE", conn:read_line(100, LONG))
  assert(#conn:read_line(400, LONG) == 300)
  finish(conn)
end

function M.generator(addr)
  local conn = open_echo(addr)
  local words = coroutine.wrap(function()
    for line in conn:lines() do
      coroutine.yield(line)
    end
  end)
  for i = 1, random(3) do
    conn:write(i, "\n")
    assert(words() == tostring(i))
  end
  finish(conn)
end

function M.scope_with_timeout(addr)
  local conns = {}
  expect("ETIMEDOUT", rl.scope(function(s)
    for i = 1, 4 do
      s:go(function()
        conns[i] = open_echo(addr)
        rl.finally(function() conns[i]:read() end, function() conns[i]:write("bye") end)
      end)
    end
  end, {timeout = 0.01}))
  for _, conn in pairs(conns) do
    finish(conn)
  end
end

return M
