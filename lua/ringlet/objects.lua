-- SPDX-License-Identifier: MIT
-- objects: pools of objects that are used again, instead of being made and collected each time.
--
-- Idle objects are a stack: who was put last is taken first, so what nobody needs sinks to the
-- bottom and stays there. `low` is how deep the stack was at its lowest since the last garbage
-- collection cycle: the objects up to there were taken by nobody. seen[i] is how many of the
-- bottom ones have lain through i cycles; at the end of a cycle those that have lain through as
-- many as `trim` says are dropped.
--
-- A cycle ends in a finaliser, which runs wherever something is allocated: in new and reset, too.
-- So `get` and `put` read the stack after these, and allocate nothing until they are done.
--
-- A pool belongs to the Lua state it was made in, and goes with it.

--- Objects that are used again.
-- @module ringlet
-- @section Objects

local checks = require "ringlet.objects_debug"
local cycles = require "ringlet.cycles"
local options = require "ringlet.options"

local min = math.min

local M = {}

local MAX, TRIM = 1024, 2

-- An array that a burst made this long is not kept for ever.
local LONG = 64

--- A pool of objects, from `rl.objects` or `rl.tables`.
-- @type objects
local Objects = {__name = "ringlet.objects"}
Objects.__index = Objects

local KNOWN = {
  new = "function", reset = "function", max = "number", trim = "number|boolean",
  debug = "boolean", keep = "table|boolean", name = "string",
}

local IDLE = {min = 0, max = 1e9, whole = true}
local BOUNDS = {max = IDLE, trim = {min = 1, max = 1000, whole = true}}
M.BOUNDS = BOUNDS

local IS_OBJECT = {
  table = true, userdata = true, cdata = true, ["function"] = true, thread = true,
}

-- Check the options of a pool of some kind; raises at the caller's caller.
function M.check(opts, known, bounds)
  opts = options.check(opts, known, 3)
  options.bounds(opts, bounds, 3)
  if opts.trim == true then
    error("option 'trim' must be a number of cycles, or false", 3)
  end
  return opts
end

-- A pool, of options that are right. With trim = false it is `pool:trim()` that counts as a cycle.
function M.build(opts)
  local self = {
    new = opts.new, reset = opts.reset, max = opts.max or MAX, name = opts.name or "objects",
    list = {}, n = 0, low = 0, seen = {}, cycles = opts.trim or TRIM,
    hits = 0, misses = 0, news = 0, puts = 0, kept = 0, trimmed = 0,
  }
  for i = 1, self.cycles do
    self.seen[i] = 0
  end
  if checks.wanted(opts.debug) then
    checks.prepare(self, opts.keep)
    setmetatable(self, M.Checked)
  else
    setmetatable(self, Objects)
  end
  if opts.trim ~= false then
    cycles.watch(self)
  end
  return self
end

--- A pool of objects. It is this shard's: neither the pool nor what it gives is shared.
-- @tparam table opts
-- @tparam fun(...:any):any opts.new makes an object, when none is idle; it gets the arguments of
-- `get`. An object is a table, a userdata, a cdata, a function or a coroutine
-- @tparam[opt] fun(x:any) opts.reset called by `put`: makes it as good as new
-- @tparam[opt=1024] integer opts.max how many may lie idle; what is put beyond is dropped
-- @tparam[opt=2] integer|boolean opts.trim garbage collection cycles after which an object that
-- nobody took is dropped, from 1 to 1,000; false: they stay until `pool:trim` or `pool:clear`
-- @tparam[opt=false] boolean opts.debug look for objects that are put twice, used after they were
-- put, not of this pool, or not reset; RINGLET_DEBUG=1 does too. It is many times slower
-- @tparam[opt] table|boolean opts.keep names of fields that need not be as `new` made them when
-- `debug` looks; true: no field need be
-- @tparam[opt="objects"] string opts.name for `tostring` and errors
-- @treturn objects
-- @raise on an option that is missing, unknown or out of range
-- @source the Go type sync.Pool
-- @usage local requests = rl.objects {new = function() return {headers = {}} end}
function M.new(opts)
  opts = M.check(opts, KNOWN, BOUNDS)
  if not opts.new then
    error("option 'new' must be a function, not a nil", 2)
  end
  return M.build(opts)
end

-- Raise, at the user's call, unless `new` gave an object.
function M.expect(x)
  if not IS_OBJECT[type(x)] then
    checks.blame(checks.where(), "new gave a %s, which is no object", type(x))
  end
end

local function make(self, ...)
  self.misses = self.misses + 1
  local x = self.new(...)
  M.expect(x)
  self.news = self.news + 1
  return x
end

-- The idle object that was put last.
local function take(self, n)
  local list = self.list
  local x = list[n]
  list[n] = nil
  n = n - 1
  self.n = n
  if n < self.low then
    self.low = n
  end
  self.hits = self.hits + 1
  return x
end

-- Let an object lie idle, if there is room.
local function lay(self, x)
  local n = self.n
  if n < self.max then
    n = n + 1
    self.list[n] = x
    self.n = n
    self.kept = self.kept + 1
  end
end

--- An object: the one that was put last, or a new one when none is idle.
-- @parks where `new` does
-- @param ... for `new`, if it is called
-- @return the object
-- @raise what `new` raises; when it gives no object
function Objects:get(...)
  local n = self.n
  if n == 0 then
    return make(self, ...)
  end
  return take(self, n)
end

--- Put an object back, once, when nobody uses it any more. It is reset; it is dropped if as many as
-- may be are idle. One of elsewhere may be put as well, unless `debug` looks.
-- @parks where `reset` does
-- @param x the object
-- @raise what `reset` raises: the object is dropped then
function Objects:put(x)
  if x == nil then
    error("an object expected, got nil", 2)
  end
  local reset = self.reset
  self.puts = self.puts + 1
  if reset then
    reset(x)
  end
  lay(self, x)
end

-- Put x into self, a pool of any kind, after a call; give what that gave.
local function put_after(self, x, ok, ...)
  if ok then
    self:put(x)
    return ...
  end
  pcall(self.put, self, x) -- what fn raised is told, not what comes of it
  error((...), 0)
end
M.put_after = put_after

--- Call fn with an object, and put that back however fn ends.
-- @parks where fn does
-- @tparam fun(x:any,...:any):any fn
-- @param ... more arguments of fn
-- @return ... fn's results
-- @raise what fn raises, unchanged; what `get` and `put` raise
function Objects:with(fn, ...)
  options.callable(fn)
  local x = self:get()
  return put_after(self, x, pcall(fn, x, ...))
end

-- Drop the k objects that have lain longest.
local function drop(self, k)
  if k == 0 then
    return 0
  end
  local list, n, seen = self.list, self.n, self.seen
  local left = n - k
  for i = 1, left do
    list[i] = list[i + k]
  end
  for i = left + 1, n do
    list[i] = nil
  end
  for i = 1, self.cycles do
    seen[i] = seen[i] > k and seen[i] - k or 0
  end
  self.n, self.low = left, self.low > k and self.low - k or 0
  self.trimmed = self.trimmed + k
  if left == 0 and n > LONG then
    self.list = {} -- allocates: a cycle may end here
  end
  return k
end

-- A cycle is over. This runs in a finaliser.
function Objects:cycle_()
  local seen, low = self.seen, self.low
  for i = self.cycles, 2, -1 do
    seen[i] = min(seen[i - 1], low)
  end
  seen[1] = self.n
  local k = drop(self, seen[self.cycles])
  self.low = self.n
  return k
end

--- Drop idle objects, first those that have lain longest.
-- @tparam[opt] integer n how many may stay; without it, do what the end of a garbage collection
-- cycle does: drop those that nobody took since the last but one (or as `trim` says)
-- @treturn integer how many were dropped
function Objects:trim(n)
  if n == nil then
    return self:cycle_()
  elseif type(n) ~= "number" then
    error("a number expected, got " .. type(n), 2)
  end
  options.bound(n, IDLE, "the number of objects")
  return drop(self, self.n > n and self.n - n or 0)
end

--- Drop all idle objects. Those that are in use may still be put.
-- @treturn integer how many were dropped
function Objects:clear()
  return drop(self, self.n)
end

--- How many objects are idle.
-- @treturn integer
function Objects:size()
  return self.n
end

--- Counters.
-- @treturn objects_stats a new table
-- @tfield[objects_stats] integer idle objects
-- @tfield[objects_stats] integer max how many may be idle
-- @tfield[objects_stats] integer gets so far
-- @tfield[objects_stats] integer hits gets that found an idle object
-- @tfield[objects_stats] integer misses gets that did not
-- @tfield[objects_stats] integer news objects that `new` gave
-- @tfield[objects_stats] integer puts so far
-- @tfield[objects_stats] integer dropped puts that were not kept: too many were idle, or the object
-- was not reset
-- @tfield[objects_stats] integer trimmed idle objects that were dropped later
function Objects:stats()
  return {
    idle = self.n, max = self.max, gets = self.hits + self.misses, hits = self.hits,
    misses = self.misses, news = self.news, puts = self.puts, dropped = self.puts - self.kept,
    trimmed = self.trimmed,
  }
end

function Objects:__tostring()
  return ("ringlet.objects: %s, %d of %d idle, %d made for %d gets"):format(
    self.name, self.n, self.max, self.news, self.hits + self.misses)
end

M.Checked = checks.class(Objects, make, take, lay)

return M
