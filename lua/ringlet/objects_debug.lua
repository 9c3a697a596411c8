-- SPDX-License-Identifier: MIT
-- objects_debug: pools that look for mistakes: put twice, used after put, of elsewhere, not reset.
--
-- Every object of such a pool has a record. While a table lies idle the record is its metatable, a
-- guard whose metamethods raise, and has what was in the table: whoever still uses it is told
-- where it was put. Other objects keep what they are, and have records in a weak table.
--
-- What a table was like when it was new is remembered as a shape: its plain values, and the shapes
-- of the plain tables in it. What `reset` leaves is compared with that.
--
-- Neither a record of a table that is in use nor a shape refers strongly to an object: LuaJIT has
-- no ephemerons, so a pool would keep alive what nobody has.

local tables = require "ringlet.tables"

local wipe = tables.wipe
local getinfo = debug.getinfo
-- Those of `debug` pass by a field __metatable.
local class_of, set_class = debug.getmetatable, debug.setmetatable

local M = {}

-- How deep tables in tables are looked at.
local DEPTH = 4

local OWN = "ringlet/objects[%w_]*%.lua$"

local WEAK_KEYS, WEAK = {__mode = "k"}, {__mode = "kv"}

-- Should a pool look for mistakes?
function M.wanted(asked)
  if asked == nil then
    return os.getenv("RINGLET_DEBUG") == "1"
  end
  return asked
end

-- Where the user called us: C functions and files of ours are on the way.
local function where()
  local level, info = 2, getinfo(2, "Sl")
  while info and (info.currentline <= 0 or info.source:find(OWN)) do
    level = level + 1
    info = getinfo(level, "Sl")
  end
  return info and ("%s:%d"):format(info.short_src, info.currentline) or "?"
end
M.where = where

local function blame(place, text, ...)
  error(place .. ": " .. text:format(...), 0)
end
M.blame = blame

-- ---- shapes ----

local function show(v)
  return type(v) == "string" and ("%q"):format(v) or tostring(v)
end

-- Tables that were `met` are values: there may be cycles.
local function shape_of(t, depth, met)
  met[t] = true
  local shape = {
    values = setmetatable({}, WEAK), tables = setmetatable({}, WEAK_KEYS),
  }
  for k, v in next, t do
    if depth > 1 and type(v) == "table" and not class_of(v) and not met[v] then
      shape.tables[k] = shape_of(v, depth - 1, met)
    else
      shape.values[k] = v
    end
  end
  return shape
end

-- What is in t that was not when it had the shape: a path and a text, or nothing.
local function leftover(t, shape, keep)
  for k, v in next, t do
    local inner = shape.tables[k]
    local is_kept = keep and keep[k]
    if not is_kept and inner and type(v) == "table" and not class_of(v) then
      local path, text = leftover(v, inner)
      if path then
        return ("%s.%s"):format(tostring(k), path), text
      end
    elseif not is_kept and v == v and (inner or shape.values[k] ~= v) then
      local was = inner and "a table" or show(shape.values[k])
      return tostring(k), ("is %s, and new gave %s"):format(show(v), was)
    end
  end
end

-- ---- guards ----

local Guard = {}

local function blame_use(r)
  blame(where(), "object of pool '%s' used after it was put at %s", r.pool.name, r.place)
end

local function stale(x)
  blame_use(class_of(x))
end

-- An operator may have the object on either side.
local function stale_operand(a, b)
  local r = class_of(a)
  if type(r) ~= "table" or rawget(r, "guard") ~= Guard then
    r = class_of(b)
  end
  blame_use(r)
end

local STALE = {"index", "newindex", "call", "len", "unm", "bnot", "pairs", "ipairs", "close"}
local STALE_OPERANDS = {
  "add", "sub", "mul", "div", "mod", "pow", "idiv", "band", "bor", "bxor", "shl", "shr", "concat",
  "lt", "le",
}

local function describe(x)
  local r = class_of(x)
  return ("idle object of pool '%s', put at %s"):format(r.pool.name, r.place)
end

local function new_record(pool)
  local r = {guard = Guard, pool = pool, __tostring = describe, __metatable = "idle object"}
  for _, name in ipairs(STALE) do
    r["__" .. name] = stale
  end
  for _, name in ipairs(STALE_OPERANDS) do
    r["__" .. name] = stale_operand
  end
  return r
end

-- The record of an idle table, if it is one of this pool.
local function guard_of(pool, x)
  local r = type(x) == "table" and class_of(x)
  return r and rawget(r, "guard") == Guard and rawget(r, "pool") == pool and r or nil
end

-- Give an idle table back what was in it.
local function fill(x, r)
  set_class(x, r.class)
  for k, v in next, r.contents do
    rawset(x, k, v)
  end
  r.class, r.contents, r.place, r.__gc = nil, nil, nil, nil
end

-- An idle table that is collected is finalised as it would be in use.
local function finalise(x)
  local r = class_of(x)
  local class = r.class
  local gc = rawget(class, "__gc")
  -- Given a metatable with __gc, it would be finalised once more.
  rawset(class, "__gc", nil)
  fill(x, r)
  rawset(class, "__gc", gc)
  gc(x)
end

local function empty(x, r, place)
  local contents = {}
  for k, v in next, x do
    contents[k] = v
  end
  wipe(x)
  r.contents, r.class, r.place = contents, class_of(x), place
  r.__gc = r.class and rawget(r.class, "__gc") and finalise or nil
  set_class(x, r)
end

-- ---- pools ----

-- Make a pool one that looks for mistakes. `keep`: true, or a list of names.
function M.prepare(pool, keep)
  pool.records = setmetatable({}, WEAK_KEYS)
  pool.keep = keep
  if type(keep) == "table" then
    pool.keep = {}
    for _, name in ipairs(keep) do
      pool.keep[name] = true
    end
  end
end

local function admit(pool, x)
  local r = new_record(pool)
  if type(x) == "table" and pool.keep ~= true then
    r.shape = shape_of(x, DEPTH, {})
  end
  pool.records[x] = r
  return x
end

local function bring_out(pool, x)
  local r = guard_of(pool, x)
  if not r then -- no table
    pool.records[x].place = nil
    return x
  end
  if next(x) ~= nil then
    blame(where(), "object of pool '%s' was written to, with rawset, after it was put at %s",
      pool.name, r.place)
  end
  fill(x, r)
  pool.records[x] = r
  return x
end

-- The record of an object that may be put.
local function record_to_put(pool, x, place)
  if x == nil then
    blame(place, "an object expected, got nil")
  end
  local r = guard_of(pool, x) or pool.records[x]
  if not r then
    blame(place, "pool '%s' did not make the object that is put", pool.name)
  elseif r.place then
    blame(place, "object of pool '%s' put twice: it was put at %s", pool.name, r.place)
  end
  return r
end

local function put(pool, lay, x, place)
  local r = record_to_put(pool, x, place)
  pool.puts = pool.puts + 1
  if pool.reset then
    pool.reset(x)
  end
  if type(x) ~= "table" then
    r.place = place
  else
    local path, text
    if r.shape then
      path, text = leftover(x, r.shape, pool.keep)
    end
    if path then
      blame(place, "object of pool '%s' is not reset: field %s %s", pool.name, path, text)
    end
    pool.records[x] = nil
    empty(x, r, place)
  end
  lay(pool, x)
end

-- The class of pools that look: `Objects` with other ways in and out. `make`, `take` and `lay` are
-- those of objects.lua.
function M.class(Objects, make, take, lay)
  local Checked = {}
  for name, value in pairs(Objects) do
    Checked[name] = value
  end
  Checked.__index = Checked

  function Checked:get(...)
    local n = self.n
    if n > 0 then
      return bring_out(self, take(self, n))
    end
    return admit(self, make(self, ...))
  end

  function Checked:put(x)
    put(self, lay, x, where())
  end

  return Checked
end

return M
