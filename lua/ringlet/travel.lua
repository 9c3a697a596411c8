-- SPDX-License-Identifier: MIT
-- travel: what of the codec users see. What travels and how is in src/lua/lcodec.h.

--- What travels from one shard to another.
-- @module ringlet
-- @section Travel

local core = require "ringlet.core"

local M = {}

--- Let tables with this metatable travel to other shards. Each shard must have registered a
-- metatable under the name: put the call into a module, and preload or require that there; a module
-- that has the name of the type is loaded when the first such table arrives. The
-- metatable itself then travels by its name too. A name that is registered again stands for the new
-- metatable; tables with the old one still travel under it.
-- @tparam string name the same in every shard
-- @tparam table metatable
-- @treturn table the metatable
-- @raise when it is no name, or no table
-- @usage local Point = rl.register_type("shapes.point", {})
function M.register_type(name, metatable)
  if type(name) ~= "string" or name == "" then
    error("the name of a type expected", 2)
  elseif type(metatable) ~= "table" then
    error("a metatable expected", 2)
  end
  core.register_type(name, metatable)
  return metatable
end

return M
