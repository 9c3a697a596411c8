-- SPDX-License-Identifier: MIT
-- Hooks: every task that is made ends once, as far as hooks are told; and they harm nobody.
local rl = require "ringlet"
local H = require "spec.helper"
local core = require "ringlet.core"

-- Books of what lives.
local function keep_books()
  local books = {made = {}, ended = {}, n = 0, twice = 0}
  local off = {
    rl.on("create", function(task)
      books.twice = books.twice + (books.made[task.id] and 1 or 0)
      books.made[task.id], books.n = task, books.n + 1
    end),
    rl.on("end", function(task, ok, err)
      books.twice = books.twice + (books.ended[task.id] and 1 or 0)
      books.ended[task.id] = {ok, err}
    end),
  }
  function books.close()
    off[1]()
    off[2]()
  end
  return books
end

-- Has each task that was made either ended or is alive? While one of them is ending, neither may be
-- true.
local function adds_up(books, living)
  for id in pairs(books.made) do
    if (living[id] == true) == (books.ended[id] ~= nil) then
      return false
    end
  end
  return true
end

local function alive()
  local ids = {}
  for _, slot in ipairs(core.slots()) do
    ids[core.info(slot)] = true
  end
  return ids
end

H.both("rl.on", function(it)
  it("tells of each task once when it is made and once when it ends", function()
    local books = keep_books()
    rl.on_error(function() end)
    local list = {}
    for i = 1, 200 do
      list[i] = rl.go(function()
        if i % 3 == 0 then rl.sleep(i / 1e5) end
        if i % 5 == 0 then error "x" end
        if i % 7 == 0 then rl.self():cancel(); rl.yield() end
        if i % 11 == 0 then rl.go(rl.yield) end
      end)
    end
    local daemon = rl.daemon(rl.sleep, 100)
    rl.scope(function(s) s:go(rl.yield) end)
    rl.spawn(function() return 1 end):join()
    local p = rl.pool{size = 2}
    p:submit(rl.yield):join()
    for _, h in ipairs(list) do h:join() end
    rl.on_error(nil)
    H.eventually("the books add up", function() return adds_up(books, alive()) end)
    assert.equal(0, books.twice)
    assert.is_true(books.n >= 200 + 10 + 2)
    p:close()
    daemon:cancel()
    daemon:join()
    books.close()
    local n = books.n
    rl.go(rl.yield):join()
    assert.equal(n, books.n)
  end)

  it("tells how a task ended, also of one that was there before", function()
    local there = rl.event()
    local before = rl.go(function() there:wait(); return 1 end)
    rl.yield()
    local books = keep_books()
    there:set()
    rl.on_error(function() end)
    local failed = rl.go(error, "bad")
    before:join()
    failed:join()
    rl.on_error(nil)
    books.close()
    assert.same({true}, books.ended[before.id])
    assert.same({false, "bad"}, books.ended[failed.id])
    assert.is_nil(books.made[before.id])
  end)

  it("tells who parks, why, and who goes on", function()
    local log = {}
    local id
    local off_park = rl.on("park", function(task, reason)
      if task == id then log[#log + 1] = "park " .. reason end
    end)
    local off_unpark = rl.on("unpark", function(task)
      if task == id then log[#log + 1] = "unpark" end
    end)
    local ch = rl.chan()
    local h = rl.go(function()
      id = rl.self().id
      ch:recv()
      rl.sleep(0.001)
    end)
    H.eventually("it waits", function() return log[1] end)
    ch:send(1)
    h:join()
    off_park()
    off_unpark()
    off_unpark()
    assert.same({"park chan receive", "unpark", "park sleep", "unpark"}, log)
  end)

  it("takes a hook away that raises, and says so once", function()
    local heard, calls = {}, {create = 0, ["end"] = 0, park = 0}
    rl.on_error(function(err) heard[#heard + 1] = tostring(err):match "hook of %a+" end)
    for _, event in ipairs{"create", "end", "park"} do
      rl.on(event, function()
        calls[event] = calls[event] + 1
        error("hook of " .. event)
      end)
    end
    for _ = 1, 3 do rl.go(rl.sleep, 0.001):join() end
    rl.on_error(nil)
    table.sort(heard)
    assert.same({"hook of create", "hook of end", "hook of park"}, heard)
    assert.same({create = 1, ["end"] = 1, park = 1}, calls)
  end)

  it("has several for one event, in their order", function()
    local log = {}
    local function note(what) return function() log[#log + 1] = what end end
    local same = note "same"
    local offs = {rl.on("create", note "a"), rl.on("create", same), rl.on("create", same),
      rl.on("create", note "b")}
    rl.go(rl.yield):join()
    assert.same({"a", "same", "same", "b"}, log)
    offs[2]()
    rl.go(rl.yield):join()
    assert.same({"a", "same", "same", "b", "a", "same", "b"}, log)
    for _, off in ipairs(offs) do off() end
    rl.go(rl.yield):join()
    assert.equal(7, #log)
  end)

  it("cannot park", function()
    local err
    local off = rl.on("park", function() err = err or select(2, pcall(rl.sleep, 1)) end)
    rl.sleep(0.001)
    off()
    assert.is_truthy(tostring(err):find("not inside a task", 1, true))
  end)

  it("checks what it is given", function()
    H.raises_text("no such event: begin", rl.on, "begin", print)
    H.raises_text("function expected", rl.on, "create")
  end)
end)

H.on("uring", "rl.on", function(it)
  it("tells of stalls when they are over", function()
    local me, event = rl.self().id, nil
    local off = rl.on("stall", function(e)
      event = e.task == me and e or event -- a busy machine may stall others
    end)
    H.eventually("one is told of", function()
      os.execute "sleep 0.4" -- not seen when the watchdog has no CPU meanwhile
      rl.sleep(0.01)
      return event
    end)
    off()
    assert.is_true(event.over)
  end, {stall_after = 0.1})

  it("tells when the collector is through", function()
    local kilobytes
    local off = rl.on("gc", function(n) kilobytes = n end)
    local keep = {}
    for i = 1, 20000 do keep[i] = {i} end
    H.eventually("it is through", function() return kilobytes end)
    off()
    assert.is_true(kilobytes > 100 and #keep > 0)
  end)
end)

describe("rl.on outside of a run", function()
  it("hears of the runs to come, also of what they give up", function()
    local books = keep_books()
    H.run(function() rl.go(rl.yield) end)
    pcall(H.run, function()
      rl.go(function() rl.chan():recv() end)
      rl.chan():recv()
    end)
    books.close()
    assert.is_true(books.n >= 4)
    for id in pairs(books.made) do
      assert.is_truthy(books.ended[id], "task " .. id)
    end
    assert.equal(0, books.twice)
  end)
end)
