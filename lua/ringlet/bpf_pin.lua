-- SPDX-License-Identifier: MIT
-- bpf_pin: maps, programs and links that stay: each gets a path in a file system of type bpf.

local bpf_fail = require "ringlet.bpf_fail"
local library = require "ringlet.bpf_library".library

local M = {}

local EPERM, EINVAL = -1, -22

--- Is a path below a mount of type bpf, by /proc/self/mountinfo?
-- @tparam string path
-- @treturn boolean
function M.is_bpffs(path)
  local file = io.open "/proc/self/mountinfo"
  local best, is_bpf = 0, false
  for line in file and file:lines() or function() end do
    local point, kind = line:match "^%S+ %S+ %S+ %S+ (%S+) .- %- (%S+)"
    local prefix = point == "/" and "/" or point and point .. "/"
    if prefix and #prefix >= best and path:sub(1, #prefix) == prefix then
      best, is_bpf = #prefix, kind == "bpf"
    end
  end
  if file then
    file:close()
  end
  return is_bpf
end

--- Why a path cannot be pinned to, if it is no matter of the kernel's. Failure values, or nothing.
-- @tparam string path
function M.refuse(path)
  if path:sub(1, 1) ~= "/" then
    return nil, "EINVAL: pinning needs an absolute path, not " .. path, "EINVAL"
  elseif not M.is_bpffs(path) then
    return nil, "EINVAL: " .. path .. " is in no bpf file system (mount -t bpf bpf /sys/fs/bpf)",
      "EINVAL"
  end
end

--- Pin a descriptor.
-- @tparam integer fd
-- @tparam string path
-- @treturn true
-- @fails "EINVAL" no bpf file system; "EEXIST"; "ENOENT" no such directory; "EPERM"
function M.pin(fd, path)
  if type(path) ~= "string" then
    error("path: string expected, got " .. type(path), 3)
  end
  local _, msg, name = M.refuse(path)
  if msg then
    return nil, msg, name
  end
  local ok, code = library.pin(fd, path)
  if ok then
    return true
  end
  return bpf_fail.give(code, "pinning to " .. path, (code == EPERM or code == EINVAL)
    and {"CAP_BPF"} or nil)
end

return M
