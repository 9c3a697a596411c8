-- SPDX-License-Identifier: MIT
-- objects_tables: pools of tables.

--- @module ringlet
-- @section Objects

local objects = require "ringlet.objects"
local tables = require "ringlet.tables"

local M = {}

local KNOWN = {
  array = "number", hash = "number", max = "number", trim = "number|boolean", debug = "boolean",
  name = "string",
}

local ROOM = {min = 0, max = 65536, whole = true}
local BOUNDS = {
  array = ROOM, hash = ROOM, max = objects.BOUNDS.max, trim = objects.BOUNDS.trim,
}

--- A pool of empty tables. `put` makes a table empty again and takes its metatable away; it keeps
-- its memory, and what was in it is not kept alive.
-- @tparam[opt] table opts
-- @tparam[opt=0] integer opts.array how many values of a list a new table has room for
-- @tparam[opt=0] integer opts.hash how many other fields
-- @tparam[opt=1024] integer opts.max as for `objects`
-- @tparam[opt=2] integer|boolean opts.trim as for `objects`
-- @tparam[opt=false] boolean opts.debug as for `objects`
-- @tparam[opt="tables"] string opts.name
-- @treturn objects
-- @raise on an option that is unknown or out of range
-- @usage local lists = rl.tables {array = 64}
function M.new(opts)
  opts = objects.check(opts, KNOWN, BOUNDS)
  return objects.build {
    new = tables.maker(opts.array or 0, opts.hash or 0), reset = tables.renew, max = opts.max,
    trim = opts.trim, debug = opts.debug, name = opts.name or "tables",
  }
end

return M
