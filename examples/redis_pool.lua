-- SPDX-License-Identifier: MIT
-- A pool of Redis connections, and a crowd that shares it: luajit examples/redis_pool.lua
-- [127.0.0.1:6379]. It writes keys that begin with "ringlet:" and removes them.

local rl = require "ringlet"
local net = require "ringlet.net"

local addr = arg[1] or "127.0.0.1:6379"
local CONNECTIONS, TASKS, ROUNDS = 4, 64, 20

-- ---- the protocol (RESP2): a command is an array of strings -------------------------------------

local function encode(...)
  local parts = {("*%d\r\n"):format(select("#", ...))}
  for i = 1, select("#", ...) do
    local word = tostring((select(i, ...)))
    parts[i + 1] = ("$%d\r\n%s\r\n"):format(#word, word)
  end
  return table.concat(parts)
end

-- What fails is raised: then `with` discards the connection, which may have an answer left in it.
local function read_reply(conn)
  local line = rl.check(conn:read_line())
  local kind, rest = line:sub(1, 1), line:sub(2)
  if kind == "-" then
    error("redis: " .. rest, 0)
  elseif kind == ":" then
    return tonumber(rest)
  elseif kind == "$" and rest ~= "-1" then
    return rl.check(conn:read_exactly(tonumber(rest) + 2)):sub(1, -3)
  elseif kind == "*" and rest ~= "-1" then
    local list = {}
    for i = 1, tonumber(rest) do
      list[i] = read_reply(conn)
    end
    return list
  end
  return kind == "+" and rest or nil
end

local function command(conn, ...)
  rl.check(conn:write(encode(...)))
  return read_reply(conn)
end

-- ---- the pool -----------------------------------------------------------------------------------

local function connect(name)
  local conn, msg, code = net.connect(addr, {timeout = 5, read_timeout = 5})
  if not conn then
    return nil, msg, code
  end
  command(conn, "CLIENT", "SETNAME", name)
  return conn
end

local pool = rl.resources {
  name = "redis", max = CONNECTIONS, idle_timeout = 60, acquire_timeout = 5, leak_after = 30,
  open = function() return connect "ringlet-pool" end,
  close = function(conn) conn:close() end,
  check = function(conn) return command(conn, "PING") == "PONG" end,
}

-- Three commands in one write, then their three answers.
local function work(conn, key)
  rl.check(conn:write(encode("SET", key, 1), encode("INCRBY", key, 41), encode("DEL", key)))
  assert(read_reply(conn) == "OK")
  assert(read_reply(conn) == 42)
  assert(read_reply(conn) == 1)
end

-- ---- what the server sees -----------------------------------------------------------------------

local function connections_of_the_pool(watch)
  local _, n = command(watch, "CLIENT", "LIST"):gsub(" name=ringlet%-pool ", "")
  return n
end

rl.run(function()
  local watch = assert(connect "ringlet-watch")
  local most, done = 0, rl.waitgroup()
  for i = 1, TASKS do
    done:go(function()
      for _ = 1, ROUNDS do
        rl.check(pool:with(function(conn)
          work(conn, "ringlet:" .. i)
          return true
        end))
      end
    end)
  end
  repeat
    most = math.max(most, connections_of_the_pool(watch))
  until done:wait(0.001)
  print(("%d tasks, %d uses, at most %d connections"):format(TASKS, TASKS * ROUNDS, most))

  -- The server drops the connection that is used next. Its check fails, and a new one is opened.
  local id = pool:with(command, "CLIENT", "ID")
  command(watch, "CLIENT", "KILL", "ID", id)
  local other = pool:with(command, "CLIENT", "ID")
  print(id ~= other and "a killed connection was replaced" or "it lives")

  assert(pool:close(5))
  watch:close()
  print(tostring(pool))
end)
