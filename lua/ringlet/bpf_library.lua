-- SPDX-License-Identifier: MIT
-- bpf_library: the C library of the rock ringlet-bpf, which needs libbpf; where one of both is
-- missing it is nil, and `missing` says why.

local wide = require "ringlet.bpf_wide"

local M = {}

local ok, found = pcall(require, "ringlet.bpf_core")
if ok then
  wide.teach(found)
  M.library = found
else
  local why = tostring(found):match "libbpf[^\n]*" or "ringlet.bpf_core is not installed"
  M.missing = "ENOSYS: the rock ringlet-bpf, or the library libbpf, is not there: " .. why
end

--- What every entry gives where the library is missing.
-- @treturn nil
-- @treturn string
-- @treturn string "ENOSYS"
function M.fail()
  return nil, M.missing, "ENOSYS"
end

return M
