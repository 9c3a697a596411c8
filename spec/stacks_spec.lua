-- SPDX-License-Identifier: MIT
-- Stacks as frames: names and places, what is the library's, and books, which have each once.
local H = require "spec.helper"
local core = require "ringlet.core"
local rl = require "ringlet"
local stacks = require "ringlet.stacks"
local task = require "ringlet.task"

local HERE = debug.getinfo(1, "S").short_src

local function line()
  return debug.getinfo(2, "l").currentline
end

local function shown(frames)
  local list = {}
  for i, frame in ipairs(stacks.shown(frames)) do
    list[i] = frame.line
  end
  return list
end

describe("the stack of a coroutine", function()
  it("has names, places and kinds, innermost first", function()
    local at = {}
    local function inner()
      at[1] = line() + 1
      coroutine.yield()
    end
    local co = coroutine.create(function()
      at[2] = line() + 1
      inner()
      at[3] = line()
    end)
    coroutine.resume(co)
    local frames = stacks.capture(co)
    assert.same({"C", "Lua", "Lua"}, {frames[1].what, frames[2].what, frames[3].what})
    assert.same({"yield", "inner"}, {frames[1].name, frames[2].name})
    assert.same({at[1], at[2]}, {frames[2].line, frames[3].line})
    assert.equal(HERE, frames[2].file)
    assert.equal(("%s:%d"):format(HERE, frames[3].defined), frames[3].name)
    assert.is_true(frames[2].defined < frames[2].line)
    assert.equal(HERE .. ":" .. at[1], stacks.place(frames))
    assert.equal(stacks.key(frames), stacks.key(stacks.capture(co)))
    assert.truthy(stacks.text(frames):find(("inner\n\t%s:%d\n"):format(HERE, at[1]), 1, true))
  end)

  it("is empty for one that has ended", function()
    local co = coroutine.create(function() end)
    coroutine.resume(co)
    assert.same({}, stacks.capture(co))
    assert.is_nil(stacks.place({}))
    assert.equal("", stacks.text({}))
  end)

  it("is cut after a hundred frames, and left as it was", function()
    local function deep(n)
      if n == 0 then
        return coroutine.yield()
      end
      local v = deep(n - 1)
      return v
    end
    local co = coroutine.create(deep)
    coroutine.resume(co, 150)
    for _ = 1, 3 do
      assert.equal(100, #stacks.capture(co))
    end
    assert.same({true, 7}, {coroutine.resume(co, 7)})
  end)

  it("is that of the caller", function()
    local function f()
      return stacks.here(), stacks.here(2)
    end
    local at = line() + 1
    local one, two = f()
    assert.equal(at, one[2].line)
    assert.equal(at, two[1].line)
  end)

  it("of a function is where it is defined", function()
    local at = line() + 1
    local frames = stacks.of_function(function() end)
    assert.same({at, true, 1}, {frames[1].line, frames[1].new, #frames})
    assert.truthy(stacks.text(frames):find("(not started)", 1, true))
  end)
end)

describe("a book", function()
  it("gives equal stacks one number, others another", function()
    local book, numbers = core.book(), {}
    local function wait(n)
      if n > 0 then
        local v = wait(n - 1)
        return v
      end
      coroutine.yield()
    end
    for i = 1, 3000 do
      local depth = i % 60
      local co = coroutine.create(wait)
      coroutine.resume(co, depth)
      local number = core.stack(book, co)
      assert.equal(numbers[depth] or number, number)
      numbers[depth] = number
    end
    local seen = {}
    for depth, number in pairs(numbers) do
      assert.is_nil(seen[number])
      seen[number] = true
      assert.equal(depth + 2, #core.frames(book, number))
    end
  end)

  it("knows a frame by its file and its lines", function()
    local book, numbers = core.book(), {}
    local make = rawget(_G, "loadstring") or load
    for i = 1, 400 do
      local fn = make("coroutine.yield()", ("@file%d.lua"):format(i % 200))
      local co = coroutine.create(fn)
      coroutine.resume(co)
      local number = core.stack(book, co)
      assert.equal(numbers[i % 200] or number, number)
      numbers[i % 200] = number
      assert.equal(("file%d.lua"):format(i % 200), core.frames(book, number)[2].file)
      assert.equal("main chunk", core.frames(book, number)[2].name)
    end
    H.raises_text("no such stack", core.frames, book, 0)
    H.raises_text("no such stack", core.frames, book, 201)
  end)
end)

H.both("the stack of a task", function(it)
  it("tells what it waits for, and where the user's code is", function()
    local ch, m = rl.chan(2), rl.mutex()
    m:lock()
    local at = line()
    local list = {
      rl.go(function() ch:recv() end),
      rl.go(function() m:lock() end),
      rl.go(function() rl.select {{ch}, {m and ch}} end),
      rl.go(function() rl.pcall(function() rl.sleep(1000) end) end),
    }
    for _, h in ipairs(list) do
      H.eventually("it waits", function() return h:status() == "parked" end)
    end
    local waits = {tostring(ch), tostring(m), "2 cases"}
    for i, h in ipairs(list) do
      local object, where = stacks.waits_for(task.coroutine(h))
      assert.equal(waits[i], object)
      assert.equal(("%s:%d"):format(HERE, at + 1 + i), where)
      local frames = stacks.capture(task.coroutine(h))
      assert.is_true(frames[1].library)
      h:cancel()
    end
  end)

  it("goes on in coroutines, also in those that run", function()
    local lines, at
    local t = rl.go(function()
      local outer = coroutine.wrap(function()
        local inner = coroutine.wrap(function()
          at = line() + 1
          lines = shown(stacks.capture(task.coroutine(rl.self())))
        end)
        inner()
      end)
      outer()
    end)
    t:join()
    assert.same({at, at + 2, at + 4}, lines)
  end)
end)
