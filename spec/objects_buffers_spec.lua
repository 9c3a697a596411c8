-- SPDX-License-Identifier: MIT
local H = require "spec.helper"
local rl = require "ringlet"

-- A pool of buffers that say how large they are. Unless told, it leaves what is idle.
local function sized(opts)
  local all = {new = function(size) return {size = size} end, trim = false}
  for k, v in pairs(opts or {}) do
    all[k] = v
  end
  return rl.buffers(all)
end

-- The size of the class of a request: doubled by hand.
local function class_size(min, max, size)
  if size > max then
    return size
  end
  local class = min
  while class < size do
    class = class * 2
  end
  return class
end

describe("a pool of buffers", function()
  it("gives one of the smallest class that has the size", function()
    local pool = sized()
    for size, want in pairs {
      [0] = 64, [1] = 64, [64] = 64, [65] = 128, [128] = 128, [128.5] = 256, [4096] = 4096,
      [4097] = 8192, [32769] = 65536, [65536] = 65536, [65537] = 65537, [1e6] = 1e6,
    } do
      local buffer, real = pool:get(size)
      assert.same({want, want}, {real, buffer.size}, size)
    end
  end)

  it("has classes of twice the size of the one before, up to the first that has max", function()
    for _, range in ipairs {{1, 1}, {1, 2}, {1, 1e6}, {3, 100}, {100, 1000}, {7, 7 * 512},
      {2, 2 ^ 20}, {1, 2 ^ 31}, {4096, 4097}} do
      local min, max = range[1], range[2]
      local pool = sized {min = min, max = max}
      local sizes = {0, min, min + 1, max - 1, max, max + 1}
      for n = 0, 31 do
        for d = -1, 1 do
          sizes[#sizes + 1] = math.max(0, min * 2 ^ n + d)
        end
      end
      for _, size in ipairs(sizes) do
        local buffer, real = pool:get(size)
        assert.same({class_size(min, max, size), real}, {real, buffer.size})
        pool:put(buffer)
      end
      local classes = pool:stats().classes
      assert.equal(min, classes[1].size)
      assert.is_true(classes[#classes].size >= max and classes[#classes].size < 2 * max)
    end
  end)

  it("gives what was put for another request of its class alone", function()
    local pool = sized()
    local a = pool:get(100)
    local b = pool:get(1000)
    pool:put(a)
    pool:put(b)
    assert.equal(2, pool:size())
    assert.is_true(pool:get(64) ~= a)
    assert.equal(b, (pool:get(513)))
    assert.equal(a, (pool:get(65)))
    assert.equal(0, pool:size())
  end)

  it("keeps nothing larger than its classes, and so many of each", function()
    local pool = sized {min = 10, max = 20, per_class = 2}
    local held = {}
    for i = 1, 4 do
      held[i], held[i + 4], held[i + 8] = pool:get(10), pool:get(20), pool:get(21)
    end
    for i = 1, 12 do
      pool:put(held[i])
    end
    assert.same({
      idle = 4, idle_size = 60, gets = 12, hits = 0, misses = 12, large = 4, puts = 8, dropped = 4,
      trimmed = 0, classes = {{size = 10, idle = 2}, {size = 20, idle = 2}},
    }, pool:stats())
    local text = "ringlet.buffers: buffers of 10 to 20, 4 idle, 12 made for 12 gets"
    assert.equal(text, tostring(pool))
    assert.equal(2, pool:trim(1))
    assert.equal(2, pool:clear())
    assert.equal(4, pool:stats().trimmed)
  end)

  it("takes only its own back", function()
    local pool, other = sized {name = "bytes"}, sized()
    for _, x in ipairs {{}, print, 7, (other:get(1)), false} do
      H.raises_text("a buffer of pool 'bytes' expected", pool.put, pool, x)
    end
    H.raises_text("a buffer of pool 'bytes' expected", pool.put, pool)
    H.raises_text("objects_buffers_spec.lua", function() pool:put {} end)
  end)

  it("resets what is put, if it is told how", function()
    local pool = sized {reset = function(b) assert(not b.bad, "bad") b.used = nil end}
    local b = pool:get(1)
    b.used = 1
    pool:put(b)
    assert.equal(nil, (pool:get(1)).used)
    b.bad = true
    H.raises_text("bad", pool.put, pool, b)
    assert.equal(0, pool:size())
  end)

  it("without new has tables with room, emptied when they are put", function()
    local pool = rl.buffers {debug = false, trim = false}
    local list, size = pool:get(3)
    assert.same({{}, 64}, {list, size})
    for i = 1, 10 do
      list[i] = "x"
    end
    assert.equal("xxxxxxxxxx", table.concat(list))
    pool:put(list)
    assert.equal(list, (pool:get(64)))
    assert.equal(nil, next(list))
    assert.equal("table", type((pool:get(65536))))
    assert.equal("table", type((pool:get(65537))))
  end)

  it("lends one to a function, and has it back however that ends", function()
    local pool = sized()
    assert.same({128, 128, "x"}, {pool:with(100, function(b, size, x) return b.size, size, x end,
      "x")})
    assert.equal("mine", H.raises(pool.with, pool, 100, function() error("mine", 0) end))
    assert.same({1, 1}, {pool:size(), pool:stats().misses})
    H.raises_text("function expected", pool.with, pool, 100)
    H.raises_text("a size expected, got nil", pool.with, pool, nil, print)
  end)

  it("drops what two cycles have passed over", function()
    local pool = rl.buffers()
    H.collect()
    collectgarbage "stop"
    pool:put((pool:get(1)))
    pool:put((pool:get(1000)))
    collectgarbage()
    pool:put((pool:get(1)))
    collectgarbage()
    local once = pool:size()
    collectgarbage()
    local twice = pool:size()
    collectgarbage "restart"
    assert.same({1, 0}, {once, twice})
    pool = sized()
    pool:put((pool:get(1)))
    H.collect()
    assert.equal(1, pool:size())
    assert.same({0, 1}, {pool:trim(), pool:trim()})
  end)

  it("refuses what it cannot use, at the line of the caller", function()
    local function refused(text, opts)
      H.raises_text(text, rl.buffers, opts)
      H.raises_text("objects_buffers_spec.lua", function() return (rl.buffers(opts)) end)
    end
    refused("unknown option 'keep'", {keep = true})
    refused("option 'min' must be a whole number from 1", {min = 0})
    refused("option 'max' must be a whole number from 1", {max = 2 ^ 31 + 1})
    refused("option 'min' must be at most 'max': 64 is more than 63", {max = 63})
    refused("option 'per_class' must be a whole number from 0", {per_class = -1})
    refused("option 'trim' must be a number of cycles, or false", {trim = true})
    refused("option 'new' must be a function", {new = true})
    local pool = rl.buffers()
    for _, size in ipairs {-1, 0 / 0, math.huge, "1", {}} do
      H.raises_text("a size expected, got ", pool.get, pool, size)
    end
    H.raises_text("objects_buffers_spec.lua", function() return (pool:get()) end)
    pool = rl.buffers {new = function() return 1 end}
    H.raises_text("new gave a number, which is no object", pool.get, pool, 1)
    H.raises_text("new gave a number, which is no object", pool.get, pool, 1e6)
    H.raises_text("objects_buffers_spec.lua", function() return (pool:get(1)) end)
    H.raises_text("objects_buffers_spec.lua", function() return (pool:get(1e6)) end)
  end)

  it("finds mistakes with debug, at the line of the caller", function()
    local pool = sized {debug = true, name = "bytes"}
    local b = pool:get(100)
    pool:put(b)
    local place = "put at spec/objects_buffers_spec.lua:" .. debug.getinfo(1, "l").currentline - 1
    H.raises_text("pool 'bytes of 128' put twice: it was " .. place, pool.put, pool, b)
    H.raises_text(place, function() return b.size end)
    pool:with(100, function() end)
    H.raises_text("put at spec/objects_buffers_spec.lua:" .. debug.getinfo(1, "l").currentline - 1,
      function() return b.size end)
    b = pool:get(128)
    b.left = true -- no reset, so nothing need be reset
    pool:put(b)
    pool = sized {debug = true, reset = function() end}
    b = pool:get(100)
    b.left = true
    H.raises_text("is not reset: field left is true", pool.put, pool, b)
  end)

  if H.jit then
    it("may be of bytes", function()
      local ffi = require "ffi"
      for _, debugged in ipairs {false, true} do
        local pool = rl.buffers {
          new = function(size) return ffi.new("uint8_t[?]", size) end, debug = debugged,
        }
        local b, size = pool:get(1000)
        assert.equal(1024, ffi.sizeof(b))
        assert.equal(1024, size)
        ffi.fill(b, size, 7)
        pool:put(b)
        assert.is_true(rawequal(b, (pool:get(600))))
        pool:put(b)
        if debugged then
          H.raises_text("put twice", pool.put, pool, b)
        end
      end
    end)
  end
end)

-- ---- against a model ----

local SEED = 43

describe("a pool of buffers under random operations", function()
  local random = math.random

  -- One list a class, keyed by its size.
  local function sequence()
    local min = random(1, 8)
    local max, per_class = random(min, 100), random(0, 3)
    local pool = sized {min = min, max = max, per_class = per_class, trim = false, debug = false}
    local idle, held, sizes, count = {}, {}, {}, 0
    for _ = 1, random(5, 15) do
      local what, n = random(12), #held
      if what <= 6 or n == 0 then
        local size = random(0, 120)
        local buffer, real = pool:get(size)
        local list = size <= max and idle[real]
        local want = list and table.remove(list)
        count = count - (want and 1 or 0)
        assert(real == class_size(min, max, size) and buffer.size == real, "another size")
        assert(not want or want == buffer, "another buffer")
        held[n + 1], sizes[n + 1] = buffer, size
      elseif what <= 11 then
        local buffer, size = held[n], sizes[n]
        held[n], sizes[n] = nil, nil
        pool:put(buffer)
        local list = idle[buffer.size] or {}
        idle[buffer.size] = list
        if size <= max and #list < per_class then
          list[#list + 1], count = buffer, count + 1
        end
      else
        assert(pool:clear() == count, "another number was dropped")
        idle, count = {}, 0
      end
      assert(pool:size() == count, "another number is idle")
    end
  end

  it("does what a list for each size does", function()
    math.randomseed(SEED)
    for i = 1, H.rounds(20000) do
      local ok, err = pcall(sequence)
      if not ok then
        error(("sequence %d of seed %d: %s"):format(i, SEED, err))
      end
    end
  end)
end)
