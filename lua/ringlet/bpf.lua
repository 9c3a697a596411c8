-- SPDX-License-Identifier: MIT
--- eBPF: programs that run in the kernel, loaded and steered from Lua. It is the rock ringlet-bpf,
-- which needs the library libbpf; nothing else of ringlet needs it.
--
--     local bpf = require "ringlet.bpf"
--     local can = bpf.probe()
--     print(can.socket_filter, can.reason)
--
-- Without privileges, and without libbpf, every function gives `nil, message, code`; nothing else
-- changes.
-- @module ringlet.bpf

local found = require "ringlet.bpf_library"
local map = require "ringlet.bpf_map"
local metrics = require "ringlet.bpf_metrics"
local object = require "ringlet.bpf_object"
local probe = require "ringlet.bpf_probe"

local M = {
  load = object.load,
  metrics = metrics.new,
  open_map = map.open,
  probe = probe.probe,
}

-- Functions whose modules are read when they are first asked for.
local LAZY = {
  wakeup = {"ringlet.bpf_wakeup", "new"},
  steer = {"ringlet.bpf_steer", "new"},
}

if not found.library then
  for name in pairs(M) do
    M[name] = found.fail
  end
end

return setmetatable(M, {__index = function(_, name)
  local at = LAZY[name]
  if not at then
    return nil
  end
  M[name] = found.library and require(at[1])[at[2]] or found.fail
  return M[name]
end})
