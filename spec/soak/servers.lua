-- SPDX-License-Identifier: MIT
-- The servers of the soak: echoes of every kind, some with limits, and two that do as they are told
-- by the first line of a connection: flood, drip, fall silent, reset, fail.

local net = require "ringlet.net"
local rl = require "ringlet"

local M = {}

local ANY = "127.0.0.1:0"

-- Bytes in which every cut and swap shows: the period is a prime number.
local function pattern(n)
  local out = {}
  for i = 1, 4093 do
    out[i] = string.char((i * 7 + math.floor(i / 251)) % 256)
  end
  return table.concat(out):rep(math.ceil(n / 4093)):sub(1, n)
end

M.BYTES = pattern(2 ^ 20)
M.EXPECTED = "expected failure"

local function echo(conn)
  while true do
    local data = conn:read()
    if not data or not conn:write(data) then
      return
    end
  end
end

local ECHO = {on_data = function(conn, data) conn:write(data) end}

-- Every word a client may say first. `rest` is what arrived behind that line.
local ORDERS = {}

function ORDERS.flood(conn, n)
  for from = 1, n, 16384 do
    if not conn:write(M.BYTES:sub(from, math.min(from + 16383, n))) then
      return
    end
  end
end

function ORDERS.drip(conn, n)
  for i = 1, n do
    if not conn:write(M.BYTES:sub(i, i)) then
      return
    end
    rl.sleep(0.001)
  end
end

function ORDERS.hush(_, ms)
  rl.sleep(ms / 1000)
end

function ORDERS.reset(conn)
  conn:abort()
end

function ORDERS.bye(conn)
  conn:write("bye\n")
end

function ORDERS.fail()
  error(M.EXPECTED)
end

function ORDERS.half(conn)
  conn:write("half")
  conn:shutdown()
  conn:read_all(2 ^ 21, 5)
end

function ORDERS.count(conn, _, rest)
  local all = conn:read_all(2 ^ 21, 5)
  if all then
    conn:write(#rest + #all)
  end
end

local function obey(conn, line, rest)
  local word, n = line:match "^(%a+) ?(%d*)$"
  ORDERS[word](conn, tonumber(n), rest)
end

local function follow(conn)
  local line = conn:read_line(100, 5)
  if line then
    obey(conn, line, "")
  end
end

local FOLLOW = {on_data = function(conn, data)
  local line, rest = data:match "^(%C*)\n(.*)$"
  obey(conn, line, rest)
  conn:close()
end}

-- An address that never answers: nobody accepts, and the queue is full.
local function unanswering(keep)
  local listener = assert(net.listen(ANY, {backlog = 1}))
  keep[#keep + 1] = listener
  for _ = 1, 16 do
    local conn = net.connect(listener:addr(), {timeout = 0.1})
    if not conn then
      return listener:addr()
    end
    keep[#keep + 1] = conn
  end
  error("the backlog does not fill")
end

--- Start all. Returns what clients need, and a function that stops everything.
function M.start()
  local servers, addr, keep = {}, {}, {}
  local function serve(name, handler, opts)
    servers[name] = assert(net.serve(ANY, handler, opts))
    addr[name] = servers[name]:addr()
  end
  local opened, closed = 0, 0
  serve("task", echo)
  serve("data", ECHO)
  serve("slices", ECHO, {buffers = true})
  serve("few", echo, {max_connections = 4})
  serve("few_data", ECHO, {max_connections = 3})
  serve("impatient", echo, {idle_timeout = 0.03})
  serve("impatient_data", ECHO, {idle_timeout = 0.03})
  serve("hurried", echo, {total_timeout = 0.05})
  serve("orders", follow)
  serve("orders_data", FOLLOW)
  serve("moody", {
    on_open = function(conn)
      opened = opened + 1
      conn:write("hello\n")
    end,
    on_data = ECHO.on_data,
    on_close = function()
      closed = closed + 1
      if closed % 50 == 0 then
        error(M.EXPECTED)
      end
    end,
  })
  addr.nobody = unanswering(keep)
  addr.refused = "127.0.0.1:1"
  return addr, function()
    for _, server in pairs(servers) do
      server:stop(2)
    end
    for _, what in ipairs(keep) do
      what:close()
    end
    assert(opened == closed, ("%d on_open, %d on_close"):format(opened, closed))
  end
end

return M
