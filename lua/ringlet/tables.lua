-- SPDX-License-Identifier: MIT
-- tables: tables with room, and tables made empty: LuaJIT has functions for it, Lua 5.4 does not.

--- @module ringlet
-- @section Objects

local set_class = debug.setmetatable

local M = {}

local rawload = rawget(_G, "load")

local has_new, table_new = pcall(require, "table.new")
local has_clear, table_clear = pcall(require, "table.clear")

-- In Lua 5.4 a constructor's code says how large its table is, so it grows with that. Beyond this a
-- table grows as it is filled.
local LARGEST = 65536

local function with_room(array, hash)
  local code = "return {" .. ("x=nil,"):rep(hash) .. ("nil,"):rep(array) .. "}"
  return assert(rawload(code, "=table with room"))
end

-- A function that makes tables with room for so many values in a list, and so many other fields.
function M.maker(array, hash)
  if has_new then
    return function()
      return table_new(array, hash)
    end
  end
  local make
  return function()
    make = make or with_room(array > LARGEST and 0 or array, hash)
    return make()
  end
end

-- Fields that are there are assigned and traversed without metamethods.
local function clear_fields(t)
  for k in next, t do
    t[k] = nil
  end
end

M.wipe = has_clear and table_clear or clear_fields

--- Make a table empty, whatever its metatable is, and keep its memory. The metatable stays.
-- @tparam table t
-- @raise when it is no table
-- @usage local request = {headers = {host = "example.org"}}
-- rl.clear_table(request.headers)
function M.clear(t)
  if type(t) ~= "table" then
    error("a table expected, got " .. type(t), 2)
  end
  M.wipe(t)
end

local wipe = M.wipe

-- As good as a new one: a metatable that somebody gave it goes as well, also one that is protected.
function M.renew(t)
  if getmetatable(t) ~= nil then
    set_class(t, nil)
  end
  wipe(t)
end

return M
