-- SPDX-License-Identifier: MIT
-- clock: the time, for what asks for it with every call.
--
-- Reading a clock costs more than all else that a limiter does. The shard reads it whenever it
-- enters the kernel and at least every 16 turns; what it read last is two instructions away for
-- compiled code. Every 32nd call reads anew, so that a task which does nothing but ask sees time
-- pass. So this is late by what a task computes between two looks, at most; it never runs ahead of
-- `rl.now`, nor backwards.

local core = require "ringlet.core"

local M = {}

local LOOKS = 32

-- Outside of a run, and in an interpreter without an ffi, it is the clock itself.
M.now = core.now

local function add_fast_clock(ffi)
  local now_at, read_at, shard_at = core.clock()
  local now_ns = ffi.cast("const int64_t *", now_at)
  local read = ffi.cast("int64_t (*)(void *)", read_at)
  local shard = ffi.cast("void *", shard_at)
  local now, looks = core.now, LOOKS
  function M.now()
    local ns = now_ns[0]
    if ns == 0 then -- no run
      return now()
    end
    looks = looks - 1
    if looks <= 0 then
      looks = LOOKS
      ns = read(shard)
    end
    return tonumber(ns) / 1e9
  end
end

local has_ffi, ffi = pcall(require, "ffi")
local jit = rawget(_G, "jit")
if has_ffi and jit and jit.status() then
  add_fast_clock(ffi)
end

return M
