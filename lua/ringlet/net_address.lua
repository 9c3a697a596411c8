-- SPDX-License-Identifier: MIT
-- net_address: how many connections each client address has, for servers that limit them.
--
-- Invariants: a connection that was let in is counted until `leave`, whatever its socket says by
-- then of its peer; an address without connections is not known. Servers on several shards count in
-- one shared dict, whose numbers change by compare and set: no shard ever sees one above the limit.

local core = require "ringlet.core"

local M = {}

-- Counters: take(key) says whether there is room for one more, give(key) takes one back.

local Own = {}
Own.__index = Own

function Own:take(key)
  local n = self.counts[key] or 0
  if n >= self.max then
    return false
  end
  self.counts[key] = n + 1
  return true
end

function Own:give(key)
  local n = self.counts[key]
  self.counts[key] = n > 1 and n - 1 or nil
end

local Shared = {}
Shared.__index = Shared

-- Without memory for a number nobody is let in.
function Shared:take(key)
  local n = self.dict:get(key)
  while (n or 0) < self.max do
    local done, now = self.dict:cas(key, n, (n or 0) + 1)
    if done ~= false then
      return done == true
    end
    n = now
  end
  return false
end

function Shared:give(key)
  local n = self.dict:get(key)
  while n do
    local done, now = self.dict:cas(key, n, n > 1 and n - 1 or nil)
    if done ~= false then
      return
    end
    n = now
  end
end

--- Counts of connections by key; with a dict those of all who have it.
function M.counter(max, dict)
  if dict then
    return setmetatable({max = max, dict = dict}, Shared)
  end
  return setmetatable({max = max, counts = {}}, Own)
end

local Addresses = {}
Addresses.__index = Addresses

--- For a server: at most `max` connections of an address. Of IPv6 `bits` bits tell whose it is.
function M.new(max, bits, dict)
  return setmetatable({bits = bits, keys = {}, counter = M.counter(max, dict)}, Addresses)
end

--- May this connection go on? One whose peer is gone already may not: nobody can tell whose it is.
function Addresses:enter(conn)
  local key = core.conn_network(conn, self.bits)
  if key and self.counter:take(key) then
    self.keys[conn] = key
    return true
  end
  return false
end

--- It has ended.
function Addresses:leave(conn)
  self.counter:give(self.keys[conn])
  self.keys[conn] = nil
end

return M
