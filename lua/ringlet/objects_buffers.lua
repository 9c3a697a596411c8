-- SPDX-License-Identifier: MIT
-- objects_buffers: buffers of sizes that are powers of two times the smallest, a pool for each.
--
-- A request gets the smallest class it fits in, so at most half of a buffer is unused. With finer
-- classes that would be less, and fewer idle buffers would be found, which is what a pool is for.
--
-- A weak table says of which class a buffer is, 0 for one that is larger than any. The garbage
-- collector drops what is idle in each class by itself, so sizes that are out of fashion go.

--- @module ringlet
-- @section Objects

local objects = require "ringlet.objects"
local options = require "ringlet.options"
local tables = require "ringlet.tables"

local ceil = math.ceil

local M = {}

local MIN, MAX, PER_CLASS = 64, 65536, 64

-- Classes of this many times the smallest size are looked up, those beyond in steps.
local STEP, STEP_BITS = 256, 8

--- Buffers by size, from `rl.buffers`.
-- @type buffers
local Buffers = {__name = "ringlet.buffers"}
Buffers.__index = Buffers

local KNOWN = {
  min = "number", max = "number", per_class = "number", new = "function", reset = "function",
  trim = "number|boolean", debug = "boolean", name = "string",
}

local SIZE = {min = 1, max = 2 ^ 31, whole = true}
local BOUNDS = {
  min = SIZE, max = SIZE, per_class = objects.BOUNDS.max, trim = objects.BOUNDS.trim,
}

-- bits[i]: the smallest n with 2^n >= i.
local bits = {}
do
  local n = 0
  for i = 1, STEP do
    if i > 2 ^ n then
      n = n + 1
    end
    bits[i] = n
  end
end

-- The number of the smallest class of at least `size`.
local function class_of(min, size)
  local times, n = ceil(size / min), 1
  while times > STEP do
    times, n = ceil(times / STEP), n + STEP_BITS
  end
  return n + bits[times]
end

local function add_classes(self, opts)
  local new = opts.new or function(size)
    return tables.maker(size, 0)()
  end
  local i, size = 0, self.min
  repeat
    local this = size
    i = i + 1
    self.sizes[i] = this
    self.classes[i] = objects.build {
      new = opts.new and function() return new(this) end or tables.maker(this, 0),
      reset = opts.reset or not opts.new and tables.renew or nil,
      keep = opts.new and not opts.reset, max = opts.per_class or PER_CLASS, trim = opts.trim,
      debug = opts.debug, name = ("%s of %d"):format(self.name, this),
    }
    size = size * 2
  until this >= self.max
  self.new = new
end

--- Buffers pooled by size. What a size counts is up to `new`; without it, a buffer is an empty
-- table with room for so many values in a list, to be filled and given to `table.concat`. Buffers
-- of bytes are made by the ffi of LuaJIT, or by C.
-- @tparam[opt] table opts
-- @tparam[opt=64] integer opts.min size of the smallest class; each further one is twice as large
-- @tparam[opt=65536] integer opts.max the largest size that is pooled; the largest class is the
-- first that has it. What is larger is made for the request and dropped when it is put
-- @tparam[opt=64] integer opts.per_class how many of a class may lie idle
-- @tparam[opt] fun(size:integer):any opts.new makes a buffer
-- @tparam[opt] fun(buffer:any) opts.reset called by `put`; buffers of `new` are not reset without
-- @tparam[opt=2] integer|boolean opts.trim as for `objects`, for each class
-- @tparam[opt=false] boolean opts.debug as for `objects`
-- @tparam[opt="buffers"] string opts.name for `tostring` and errors
-- @treturn buffers
-- @raise on an option that is unknown or out of range
-- @source J. Evans, "A Scalable Concurrent malloc(3) Implementation for FreeBSD": size classes
function M.new(opts)
  opts = objects.check(opts, KNOWN, BOUNDS)
  local self = setmetatable({
    min = opts.min or MIN, max = opts.max or MAX, name = opts.name or "buffers",
    sizes = {}, classes = {}, class = setmetatable({}, {__mode = "k"}), large = 0, foreign = 0,
  }, Buffers)
  if self.min > self.max then
    error(("option 'min' must be at most 'max': %d is more than %d"):format(self.min, self.max), 2)
  end
  add_classes(self, opts)
  return self
end

-- One that is larger than any class.
local function make_large(self, size)
  local buffer = self.new(size)
  objects.expect(buffer)
  self.class[buffer] = 0
  self.large = self.large + 1
  return buffer
end

--- A buffer of at least a size. Its content is what `new` or `reset` left.
-- @parks where `new` does
-- @tparam number size at least 0
-- @return the buffer
-- @treturn integer its size: that of its class, or what was asked for above `max`
-- @raise what `new` raises
function Buffers:get(size)
  if type(size) ~= "number" or not (size >= 0 and size < 2 ^ 53) then
    error("a size expected, got " .. tostring(size), 2)
  end
  if size > self.max then
    return (make_large(self, size)), size
  end
  local n = size > self.min and class_of(self.min, size) or 1
  local class = self.classes[n]
  local is_new = class.n == 0
  local buffer = class:get()
  if is_new then
    self.class[buffer] = n
  end
  return buffer, self.sizes[n]
end

--- Put a buffer back, once, when nobody uses it any more. It is dropped if as many of its class as
-- may be are idle, and if it is larger than any class.
-- @parks where `reset` does
-- @param buffer from `get` of this pool
-- @raise when it is of elsewhere; what `reset` raises: the buffer is dropped then
function Buffers:put(buffer)
  local n = buffer ~= nil and self.class[buffer]
  if not n then
    error(("a buffer of pool '%s' expected"):format(self.name), 2)
  elseif n > 0 then
    self.classes[n]:put(buffer)
  end
end

--- Call fn with a buffer and its size, and put the buffer back however fn ends.
-- @parks where fn does
-- @tparam number size
-- @tparam fun(buffer:any,size:integer,...:any):any fn
-- @param ... more arguments of fn
-- @return ... fn's results
-- @raise what fn raises, unchanged; what `get` and `put` raise
function Buffers:with(size, fn, ...)
  options.callable(fn)
  local buffer, real = self:get(size)
  return objects.put_after(self, buffer, pcall(fn, buffer, real, ...))
end

-- The sum over the classes of what `fn` gives for each pool.
local function sum(self, fn)
  local total = 0
  for i, class in ipairs(self.classes) do
    total = total + fn(class, self.sizes[i])
  end
  return total
end

--- Drop idle buffers of every class, first those that have lain longest.
-- @tparam[opt] integer n how many of each class may stay; without it, do what the end of a garbage
-- collection cycle does
-- @treturn integer how many were dropped
function Buffers:trim(n)
  return sum(self, function(class)
    return class:trim(n)
  end)
end

--- Drop all idle buffers. Those that are in use may still be put.
-- @treturn integer how many were dropped
function Buffers:clear()
  return self:trim(0)
end

--- How many buffers are idle.
-- @treturn integer
function Buffers:size()
  return sum(self, function(class)
    return class:size()
  end)
end

--- Counters.
-- @treturn buffers_stats a new table
-- @tfield[buffers_stats] integer idle buffers
-- @tfield[buffers_stats] integer idle_size the sum of their sizes
-- @tfield[buffers_stats] integer gets so far
-- @tfield[buffers_stats] integer hits gets that found an idle buffer
-- @tfield[buffers_stats] integer misses gets that did not
-- @tfield[buffers_stats] integer large misses that were larger than any class
-- @tfield[buffers_stats] integer puts so far, of buffers of a class
-- @tfield[buffers_stats] integer dropped puts that were not kept
-- @tfield[buffers_stats] integer trimmed idle buffers that were dropped later
-- @tfield[buffers_stats] table classes a list of {size, idle}, from the smallest
function Buffers:stats()
  local all = {
    idle = 0, idle_size = 0, gets = self.large, hits = 0, misses = self.large, large = self.large,
    puts = 0, dropped = 0, trimmed = 0, classes = {},
  }
  for i, class in ipairs(self.classes) do
    local s = class:stats()
    for _, name in ipairs {"idle", "gets", "hits", "misses", "puts", "dropped", "trimmed"} do
      all[name] = all[name] + s[name]
    end
    all.idle_size = all.idle_size + s.idle * self.sizes[i]
    all.classes[i] = {size = self.sizes[i], idle = s.idle}
  end
  return all
end

function Buffers:__tostring()
  local s = self:stats()
  return ("ringlet.buffers: %s of %d to %d, %d idle, %d made for %d gets"):format(
    self.name, self.sizes[1], self.sizes[#self.sizes], s.idle, s.misses, s.gets)
end

return M
