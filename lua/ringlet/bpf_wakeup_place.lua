-- SPDX-License-Identifier: MIT
-- bpf_wakeup_place: where connections and tasks belong, for programs on devices: the map
-- `placement`, and how such programs find a connection in it: tc by what its socket has stored, XDP
-- by its ends.

local core = require "ringlet.core"
local fail = require "ringlet.fail"
local library = require "ringlet.bpf_library".library
local routes = require "ringlet.bpf_wakeup_routes"

local M = {}

local function is_task(x)
  return type(x) == "table" and type(x.id) == "number"
end

local function descriptor(conn)
  if type(conn) == "number" then
    return conn
  end
  return core.net_fd(conn)
end

--- The cookie of a connection's socket. Raises at the caller's caller when it is none.
-- @treturn integer
-- @fails "ECLOSED"
function M.cookie(conn, level)
  if type(conn) ~= "userdata" and type(conn) ~= "number" then
    error("a connection or a descriptor expected, got " .. type(conn), level + 1)
  end
  local fd = descriptor(conn)
  if not fd then
    return nil, "ECLOSED: the connection is closed", "ECLOSED"
  end
  local cookie, code = library.socket_cookie(fd)
  if cookie then
    return cookie
  end
  return fail(code)
end

--- Raises at the caller's caller.
function M.check(x, mask, level)
  if type(x) ~= "number" and type(x) ~= "userdata" and not is_task(x) then
    error("a connection, a task or the id of one expected, got " .. type(x), level + 1)
  end
  local is_mask = type(mask) == "number" and mask % 1 == 0 and mask > 0 and mask < 2 ^ 64
  if mask ~= nil and mask ~= false and type(mask) ~= "cdata" and not is_mask then
    error("a mask is a whole number of more than 0, or false, not " .. tostring(mask), level + 1)
  end
end

-- Let programs find the connection, or no more.
local function tell(part, conn, cookie, is_placed)
  local owners, flows, fd = part.maps.owners, part.maps.flows, descriptor(conn)
  local flow, code = library.socket_flow(fd)
  if not flow then
    return fail(code)
  elseif not is_placed then
    flows:delete(flow)
    return true
  end
  local owner = owners:get(fd) or {shard = part.shard, filtered = 0}
  owner.cookie = cookie
  local ok, msg
  ok, msg, code = owners:set(fd, owner)
  if ok then
    return flows:set(flow, cookie)
  end
  return nil, msg, code
end

local function key_of(x)
  if type(x) == "userdata" then
    return M.cookie(x, 3)
  end
  return routes.TASK + (type(x) == "table" and x.id or x)
end

--- Set the mask of a connection, a task or an id, or ask for it.
-- @treturn ?integer
-- @fails as the maps do
function M.place(part, x, mask)
  local map = part.maps.placement
  local key, msg, code = key_of(x)
  local ok = key
  if key and mask then
    ok, msg, code = map:set(key, mask)
  elseif key and mask == false then
    map:delete(key)
  end
  if ok and mask ~= nil and type(x) == "userdata" then
    ok, msg, code = tell(part, x, key, mask ~= false)
  end
  if not ok then
    return nil, msg, code
  end
  return (map:get(key)) or nil
end

return M
