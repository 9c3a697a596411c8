-- SPDX-License-Identifier: MIT
-- shared_atomic: integers that shards share: the part that parks, and the docs.

--- @module ringlet.shared
-- @section Atomics

local core = require "ringlet.core"
local fail = require "ringlet.fail"
local options = require "ringlet.options"

local wait = core.shared_atomic_wait

local M = {}

--- An integer of 64 bits. LuaJIT's numbers are exact up to 2^53: what is given there must not be
-- beyond, and what is got from beyond is rounded.
-- @tparam[opt=0] integer value
-- @treturn shared_atomic
-- @source C11, 7.17; every operation is sequentially consistent
function M.new(value)
  return core.shared_atomic(value)
end

--- An integer that shards share, from `shared.atomic`. Nothing but `wait` parks.
-- @type shared_atomic
local Atomic = core.shared_atomic_class

--- The value.
-- @function load
-- @treturn integer

--- Set it.
-- @function store
-- @tparam integer n

--- Add to it. Beyond 64 bits it wraps around.
-- @function add
-- @tparam[opt=1] integer n
-- @treturn integer the sum

--- Take from it.
-- @function sub
-- @tparam[opt=1] integer n
-- @treturn integer the difference

--- Set it.
-- @function exchange
-- @tparam integer n
-- @treturn integer what it was

--- Compare and set: `n` if it is `expected`.
-- @function cas
-- @tparam integer expected
-- @tparam integer n
-- @treturn boolean whether it was done
-- @treturn ?integer what it is, when it was not

--- Wait until it is not `expected`. A change that is taken back at once may go unseen; look at the
-- value again before relying on it.
-- @parks while it is
-- @tparam integer expected
-- @tparam[opt] number t seconds
-- @treturn true
-- @fails "ETIMEDOUT"
-- @source futex(2)
function Atomic:wait(expected, t)
  options.seconds(t)
  local ok, code = wait(self, expected, t)
  if ok == nil then
    return fail(code)
  end
  return true
end

return M
