-- SPDX-License-Identifier: MIT
-- Examples that need a server which is not ours do what they say, with the real one.
local rl = require "ringlet"
local H = require "spec.helper"
local net = require "ringlet.net"

local function output_of(command)
  local p = io.popen(command)
  local text = p:read "*a"
  p:close()
  return text
end

local REDIS = "timeout -s KILL 60 redis-server --bind 127.0.0.1 --port %d --save '' "
  .. "--appendonly no --logfile '' >/dev/null 2>&1 & echo $!"

-- Does it answer?
local function is_redis(addr)
  local conn = net.connect(addr, {timeout = 1, read_timeout = 1})
  if not conn then return false end
  conn:write("PING\r\n")
  local line = conn:read_line()
  conn:close()
  return line == "+PONG"
end

-- Start a server of its own that keeps nothing: its address and its process; nil when it does not
-- answer within ten seconds.
local function start_redis()
  local listener = assert(net.listen "127.0.0.1:0")
  local addr = listener:addr()
  listener:close()
  local pid = output_of(REDIS:format(addr:match ":(%d+)$")):match "%d+"
  for _ = 1, 200 do
    if is_redis(addr) then return addr, pid end
    rl.sleep(0.05)
  end
end

describe("examples/redis_pool.lua", function()
  it("shares few connections among many tasks, and replaces one that was killed", function()
    if output_of("command -v redis-server") == "" then
      return pending "redis-server is not installed"
    elseif H.missing.uring then
      return pending(H.missing.uring)
    end
    local addr, pid = rl.run(start_redis, {backend = "uring"})
    assert.is_truthy(addr, "redis-server does not answer")
    finally(function()
      os.execute("kill " .. pid)
    end)
    local out, code = H.script(("arg = {%q} dofile 'examples/redis_pool.lua'"):format(addr))
    assert.equal(0, code, out)
    assert.equal("64 tasks, 1280 uses, at most 4 connections\na killed connection was replaced\n"
      .. "ringlet.resources: redis, closed, 0 of 4 open, 0 idle, 0 waiting\n", out)
  end)
end)
