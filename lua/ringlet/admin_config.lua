-- SPDX-License-Identifier: MIT
-- admin_config: what this process is: versions, the options of its run, limits, what is loaded.
-- Nothing of the environment is told, and no secret: of the option `admin` only that it is set.

local core = require "ringlet.core"
local json = require "ringlet.json_write"
local run_stop = require "ringlet.run_stop"

local M = {}

local function first_line(path)
  local file = io.open(path)
  local line = file and file:read "*l"
  if file then
    file:close()
  end
  return line
end

-- "Max open files  1024  4096  files" -> {["open files"] = {soft =, hard =}}
local function limits()
  local out, file = {}, io.open "/proc/self/limits"
  for line in file and file:lines() or function() end do
    local name, soft, hard = line:match "^Max (.-)%s%s+(%S+)%s+(%S+)"
    if name then
      out[name] = {soft = tonumber(soft) or soft, hard = tonumber(hard) or hard}
    end
  end
  if file then
    file:close()
  end
  return out
end

local function loaded()
  local list = json.list()
  for name, module in pairs(package.loaded) do
    if name:find "^ringlet%." and not name:find "_" and module ~= core then
      list[#list + 1] = name
    end
  end
  table.sort(list)
  return list
end

local function options_of(run)
  local out = {}
  for name, v in pairs(run and run.opts or {}) do
    out[name] = name == "admin" and true or v
  end
  return out
end

local function jit_of()
  local jit = rawget(_G, "jit")
  return jit and {version = jit.version, on = jit.status() == true, arch = jit.arch} or nil
end

--- All of it, to be written as JSON.
function M.read()
  local _, size = core.fleet()
  local run = run_stop.active
  return {
    ringlet = package.loaded.ringlet._VERSION, lua = _VERSION, jit = jit_of(),
    kernel = first_line "/proc/sys/kernel/osrelease", pid = core.pid(), shards = size or 1,
    backend = run and run.sim and "sim" or "uring", options = options_of(run), limits = limits(),
    modules = loaded(),
  }
end

return M
