-- SPDX-License-Identifier: MIT
-- process: programs that specs start: servers of others to talk to, our examples to be talked to.
local busted = require "busted"
local core = require "ringlet.core"
local H = require "spec.helper"
local net = require "ringlet.net"
local rl = require "ringlet"

local M = {}

function M.output(command)
  local p = io.popen(command)
  local text = p:read "*a"
  p:close()
  return text
end

-- pending, with the reason, unless all programs are here and io_uring works.
function M.lacks(...)
  for _, name in ipairs{...} do
    if M.output("command -v " .. name) == "" then
      busted.pending(name .. " is not installed")
      return true
    end
  end
  if H.missing.uring then
    busted.pending(H.missing.uring)
    return true
  end
  return false
end

local function is_closed(addr)
  local conn = net.connect(addr, {timeout = 1})
  if conn then conn:close() end
  return not conn
end

-- An address for a server that is not ours. It is below those the kernel gives to clients: one of
-- these would be taken by somebody else's connection, or by one to itself. Processes that look for
-- one at the same time begin at different ports.
local tried = 0
function M.free_address()
  for _ = 1, 100 do
    tried = tried + 1
    local addr = "127.0.0.1:" .. 20000 + (core.pid() * 101 + tried) % 10000
    local listener = net.listen(addr)
    if listener then
      listener:close()
      -- It is closed when the ring has been told.
      H.eventually(addr .. " is free again", function() return is_closed(addr) end)
      return addr
    end
  end
  error "no port is free"
end

local function pause()
  if rl.self() then rl.sleep(0.02) else os.execute "sleep 0.02" end
end
M.pause = pause

local function read(path)
  local f = io.open(path, "rb")
  local text = f and f:read "*a" or ""
  if f then f:close() end
  return text
end
M.read = read

function M.write(path, text)
  local f = assert(io.open(path, "wb"))
  f:write(text)
  f:close()
  return path
end

function M.is_alive(pid)
  return M.output(("kill -0 %s 2>/dev/null && echo yes"):format(pid)) ~= ""
end

-- Start a program in the background, for three minutes at most, and wait until what it has written
-- matches `pattern`. What the pattern captures; the process, to be given to M.stop.
function M.start(command, pattern)
  local out = os.tmpname()
  local pid = M.output(("timeout -s KILL 180 %s >%s 2>&1 </dev/null & echo $!")
    :format(command, out)):match "%d+"
  local process = {pid = pid, out = out}
  local found, alive
  for _ = 1, 3000 do
    alive = M.is_alive(pid)
    found = read(out):match(pattern)
    if found or not alive then break end
    pause()
  end
  if not found then
    local text = read(out)
    M.stop(process)
    error(command .. " did not start: " .. text, 2)
  end
  return found, process
end

-- End it; what it has written.
function M.stop(process)
  os.execute("kill " .. process.pid .. " 2>/dev/null")
  for _ = 1, 500 do
    if not M.is_alive(process.pid) then break end
    pause()
  end
  local text = read(process.out)
  os.remove(process.out)
  return text
end

-- The command line of a Lua script, given as text, which can be run once.
function M.script(text, ...)
  local script = os.tmpname()
  M.write(script, ("package.path, package.cpath = %q, %q\nos.remove(%q)\n%s"):format(
    package.path, package.cpath, script, text))
  return table.concat({H.interpreter(), script, ...}, " ")
end

-- The command line of an example.
function M.example(name, ...)
  return M.script(("dofile 'examples/%s.lua'\n"):format(name), ...)
end

-- Start an example that serves: its address, the process.
function M.serve(name, ...)
  return M.start(M.example(name, ...), "on %S-([%d.]+:%d+)")
end

-- A port that was free just now.
function M.port()
  return rl.run(function()
    return M.free_address():match "%d+$"
  end, {backend = "uring"})
end

return M
