-- SPDX-License-Identifier: MIT
-- bpf_wakeup_dev: the programs of a wake-up on devices: tc and XDP (bpf/wakeup_dev.bpf.c). Each is
-- an object of its own, with the maps of the part that attached it; it is detached when that ends.

local bpf = require "ringlet.bpf"
local bpf_fail = require "ringlet.bpf_fail"
local library = require "ringlet.bpf_library".library
local options = require "ringlet.options"

local M = {}

local KNOWN = {mode = "string", shard = "number", cpus = "table"}
local MODES = {"tcx", "clsact", "xdp", "xdp generic", "xdp native"}
local BOUNDS = {mode = MODES, shard = {min = 1, max = 64, whole = true}}
local CPU_QUEUE = 256 -- packets
local CPUS_MAX = 64

--- Check what `attach_dev` was given. Raises at the caller's caller.
-- @treturn table the options
function M.check(dev, opts, level)
  level = level + 1
  if type(dev) ~= "string" then
    error("the name of a device expected, got " .. type(dev), level)
  end
  opts = options.check(opts, KNOWN, level)
  options.bounds(opts, BOUNDS, level)
  for _, cpu in ipairs(opts.cpus or {}) do
    if type(cpu) ~= "number" or cpu % 1 ~= 0 or cpu < 0 or cpu >= CPUS_MAX then
      error(("option 'cpus': numbers from 0 to %d expected"):format(CPUS_MAX - 1), level)
    end
  end
  return opts
end

local function load(part, opts, is_xdp, link_len)
  local maps = {}
  for name, map in pairs(part.maps) do
    maps[name] = {reuse = map}
  end
  return bpf.load(library.object "wakeup_dev", {
    name = "wakeup_dev", maps = maps, programs = {is_xdp and "wakeup_xdp" or "wakeup_tc"},
    globals = {
      default_shard = opts.shard or 0, signals = part.config.signals and 1 or 0,
      link_len = link_len,
    },
  })
end

local function allow(object, cpus)
  local map = object:map "cpus"
  for _, cpu in ipairs(cpus or {}) do
    local ok, msg, code = map:set(cpu, CPU_QUEUE)
    if not ok then
      return nil, msg, code
    end
  end
  return true
end

local function start(object, dev, opts, is_xdp)
  local ok, msg, code = allow(object, opts.cpus)
  if ok and is_xdp then
    ok, msg, code = object:attach("wakeup_xdp", {xdp = dev, mode = opts.mode:match "^xdp (.+)"})
  elseif ok then
    ok, msg, code = object:attach("wakeup_tc", {dev = dev, mode = opts.mode})
  end
  return ok, msg, code
end

-- Attach to a device: true | nil, msg, code.
function M.attach(part, dev, opts)
  if part.devices[dev] then
    return nil, ("EALREADY: %s has the wake-up already"):format(dev), "EALREADY"
  end
  local is_xdp = opts.mode ~= nil and opts.mode:sub(1, 3) == "xdp"
  local link_len, err = library.link_len(dev)
  if not link_len then
    return bpf_fail.give(err, "attaching the wake-up to " .. dev)
  end
  local object, msg, code = load(part, opts, is_xdp, link_len)
  if not object then
    return nil, msg, code
  end
  local ok
  ok, msg, code = start(object, dev, opts, is_xdp)
  if not ok then
    object:close()
    return nil, msg, code
  end
  part:use(dev, object)
  return true
end

-- Idempotent.
function M.detach(part, dev)
  local object = part.devices[dev]
  if object then
    object:close()
    part.devices[dev] = nil
    part:rest()
  end
end

return M
