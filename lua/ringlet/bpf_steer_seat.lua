-- SPDX-License-Identifier: MIT
-- bpf_steer_seat: a shard's part in a steering, from when its listener is there until it takes no
-- more: its socket among those the program chooses from, its state shown, its connections counted.
--
-- Invariants: a seat is in the array exactly while it is open, so nothing new comes to a listener
-- that is being drained. Who is first attaches the program, to the group of listeners; it ends with
-- the group, so nobody detaches it: by then it might be another server's, which listens there too.
--
-- What was sent to the shard is `handed`, the kernel's count; what has come of it `taken`, ours. A
-- connection that was not counted, or was too late, must not make `taken` run ahead.

local beacon = require "ringlet.bpf_beacon"
local core = require "ringlet.core"
local fail = require "ringlet.fail"
local handles = require "ringlet.bpf_steer_handles"
local library = require "ringlet.bpf_library".library
local memory = require "ringlet.bpf_steer_memory"
local run = require "ringlet.run_stop"

local M = {}

local Seat = {}
Seat.__index = Seat

-- What has attached programs here. Collected while the socket is open, one would detach the
-- program; at the end of the run no socket is.
local links = {}
run.endings[#run.endings + 1] = function()
  links = {}
end

local function attach(steer, fd)
  local link, code = library.link_socket(steer.fds.program, fd, "reuseport")
  if not link then
    return fail(code)
  end
  links[#links + 1] = link
  return true
end

local function enter_socket(self, steer, fd, is_first)
  local ok, msg, code = true, nil, nil
  if is_first then
    ok, msg, code = attach(steer, fd)
  end
  if ok then
    ok, msg, code = self.own.maps.socks:set(self.shard - 1, fd, "new")
  end
  if code == "EEXIST" then
    return nil, handles.BUSY, "EBUSY"
  end
  return ok, msg, code
end

local function enter(self, steer, fd, max, is_first)
  local areas = self.own.areas
  local ok, msg, code = enter_socket(self, steer, fd, is_first)
  if not ok then
    return nil, msg, code
  end
  self.in_array = true
  memory.begin_seat(areas.seats, areas.marks, self.shard, max)
  ok, msg, code = beacon.show(self.own.maps.beacons, steer.beacon)
  if not ok then
    return nil, msg, code
  end
  self.is_shown = true
  memory.set_open(areas.terms, self.shard, true)
  return true
end

--- Take part, on this shard, with a listener.
-- @tparam bpf_steering steer
-- @tparam listener listener
-- @tparam integer max connections, from which on there should come none
-- @tparam boolean is_first of its server
-- @treturn table seat
-- @fails "ECLOSED", "EBUSY", ...
function M.new(steer, listener, max, is_first)
  local own, msg, code = handles.new(steer)
  if not own then
    return nil, msg, code
  end
  local self = setmetatable({own = own, shard = (core.fleet()), begun = 0}, Seat)
  local ok
  ok, msg, code = enter(self, steer, core.net_fd(listener), max, is_first)
  if ok then
    return self
  end
  self:leave()
  self:release()
  return nil, msg, code
end

--- Tell how many connections have come and how many live. Once it has left, the place may be
-- another server's.
function Seat:count(begun, live)
  local areas = self.own.areas
  if not self.is_released and (self.in_array or not memory.is_open(areas.terms, self.shard)) then
    memory.count(areas.seats, areas.marks, self.shard, begun - self.begun, live)
    self.begun = begun
  end
end

--- Nothing new comes from now on. Idempotent.
function Seat:leave()
  if self.in_array then
    self.in_array = nil
    memory.set_open(self.own.areas.terms, self.shard, false)
    self.own.maps.socks:delete(self.shard - 1)
  end
end

--- Its listener is closed, and its last connection over. Idempotent.
function Seat:release()
  if self.is_released then
    return
  end
  self:leave()
  self.is_released = true
  if self.is_shown then
    beacon.hide()
  end
  handles.drop(self.own)
end

return M
