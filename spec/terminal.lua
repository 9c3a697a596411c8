-- SPDX-License-Identifier: MIT
-- terminal: a program in a terminal of its own (`script` of util-linux), for specs that type at it.
-- Keys are sent when the program has shown what they are for, however long that takes: those sent
-- earlier may arrive in a mode that the program has not chosen.
local P = require "spec.process"

local M = {}
M.__index = M

local LIMIT = 150 -- seconds until a program is killed, and with it a spec fails

-- Start a shell command in a terminal of 100 columns and 30 rows. It is to be closed, or to end.
function M.open(command)
  local fifo, out, body = P.output "mktemp -u":match "%S+", os.tmpname(), os.tmpname()
  P.write(body, ("trap : INT\nstty rows 30 cols 100\n%s\necho code=$?\n"):format(command))
  os.execute("mkfifo " .. fifo)
  local keys = assert(io.open(fifo, "r+b")) -- both ways: nobody waits for the other to open it
  local pid = P.output(("timeout -s KILL %d env TERM=xterm script -qec 'sh %s' /dev/null "
    .. "<%s >%s 2>&1 & echo $!"):format(LIMIT, body, fifo, out)):match "%d+"
  return setmetatable({pid = pid, keys = keys, seen = 1, out = out, files = {fifo, out, body}}, M)
end

function M:text()
  return P.read(self.out)
end

-- Wait until something is shown, after what was waited for before.
function M:shows(what)
  repeat
    local alive = P.is_alive(self.pid)
    local _, last = self:text():find(what, self.seen, true)
    if last then
      self.seen = last + 1
      return
    end
    P.pause()
  until not alive
  error(("%q is not shown: %q"):format(what, self:text()), 2)
end

function M:type(keys)
  self.keys:write(keys)
  self.keys:flush()
end

-- Wait until the program has ended, and close: all that it has shown, its status.
function M:ends()
  self:shows "code="
  self:shows "\n"
  local all = self:text()
  self:close()
  return all, tonumber(all:match "code=(%d+)")
end

function M:close()
  if self.keys then
    os.execute("kill " .. self.pid .. " 2>/dev/null")
    self.keys:close()
    self.keys = nil
    for _, path in ipairs(self.files) do os.remove(path) end
  end
end

return M
