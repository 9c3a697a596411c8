-- SPDX-License-Identifier: MIT
-- fifo_gate: what blocks a thread in a C function until it is told to go on: it reads from a FIFO.
local M = {}

--- A gate that is closed: M.pass(gate.name) blocks until gate.open() was called.
function M.new()
  local name = os.tmpname()
  os.remove(name)
  assert(os.execute("mkfifo " .. name))
  local gate = {name = name}
  local f
  function gate.open()
    if f then return end
    f = assert(io.open(name, "r+")) -- opened so, it waits for no reader
    f:write("go\n")
    f:flush()
  end
  function gate.remove()
    if f then f:close() end
    os.remove(name)
  end
  return gate
end

--- Block. For another thread: it travels.
function M.pass(name)
  local f = assert(io.open(name))
  local line = f:read("*l")
  f:close()
  return line
end

return M
