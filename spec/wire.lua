-- SPDX-License-Identifier: MIT
-- wire: what the specs of the network share: a pair of connections, bytes that show mistakes.
local net = require "ringlet.net"

local M = {ANY = "127.0.0.1:0"}

--- Both ends of a connection.
function M.pair(opts)
  local listener = assert(net.listen(M.ANY))
  local a = assert(net.connect(listener:addr(), opts))
  local b = assert(listener:accept())
  listener:close()
  return a, b
end

--- Close what there is.
function M.close(...)
  for i = 1, select("#", ...) do
    local what = select(i, ...)
    if what then
      what:close()
    end
  end
end

--- `n` bytes in which every cut and swap shows: the period is a prime number.
function M.pattern(n, salt)
  local out = {}
  for i = 1, math.min(n, 4093) do
    out[i] = string.char((i * 7 + (salt or 0) + math.floor(i / 251)) % 256)
  end
  return table.concat(out):rep(math.ceil(n / 4093)):sub(1, n)
end

return M
