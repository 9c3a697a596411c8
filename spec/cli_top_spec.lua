-- SPDX-License-Identifier: MIT
-- The pictures of `ringlet top`, compared whole, and the keys that change them.
-- spec/cli_client_spec has it in a terminal, with a process.
local H = require "spec.helper"
local frame = require "ringlet.cli_top_frame"
local hot = require "ringlet.cli_top_hot"
local rows = require "ringlet.cli_top_rows"
local terminal = require "ringlet.cli_terminal"
local text = require "ringlet.cli_text"
local views = require "ringlet.cli_top_view"

local two = dofile "spec/top_reading.lua".two

local PICTURE = [[
ringlet top  4242  luajit shop/main.lua  LuaJIT 2.1.0-beta3, 2 shards  up 1h02m
tasks     10,213: 2 running, 14 runnable, 10,197 waiting; +120/s -118/s
labels    type=order 5,000  type=mail 213
waits     chan receive 2  write 1
run loop  latency p50 12 us, p99 4.2 ms; 5,000 turns/s, 20,000 parks/s, 0 preemptions/s, 0 steals/s
I/O       1,002 connections, 1.5 MiB/s in, 8.0 MiB/s out; 50,000 operations/s, 250 system calls/s
memory    123 MiB heap, collector p99 300 us; CPU 85 %; 312 timers, 3 helper threads
SHARD  TASKS  RUNNING  RUNNABLE  WAITING  LATENCY  CONNS      HEAP  STATE
    1  5,113        1        14    5,098   4.2 ms    502  71.0 MiB  stalled for 1.3 s
    2  5,100        1         0    5,099   210 us    500  52.0 MiB
! never yielded: task 17 "prices" on shard 1: it has computed for 2.000 s or more, interrupted onl~
[1 tasks]  2 stacks   3 hot spots   4 warnings (1)   by wait
ID  SHARD  STATE        FOR  WAITS FOR     NAME      LABELS                AT
23      1  waiting    5m12s  chan receive  worker 1  type=order            orders.lua:41 take
31      2  waiting    9.8 s  write         mailer    to=?[2Jeve type=mail  mail.lua:17 deliver
24      2  waiting   250 ms  chan receive  worker 2  type=order            orders.lua:41 take
17      1  runnable   4.2 s                prices    type=prices           prices.lua:203 reprice
40      2  running   400 us                                                main.lua:57 tick
5 of 10,213 tasks were read
]]

local function lines_of(opts, width, height)
  local before, now = two()
  local view = views.new {}
  for k, v in pairs(opts) do view[k] = v end
  return frame.lines(now, before, view, width, height), now, view
end

local function shown(opts, width, height)
  return (terminal.plain(lines_of(opts, width, height)))
end

describe("a picture of ringlet top", function()
  it("is this", function()
    assert.equal(PICTURE, shown({}, 99))
  end)

  it("has how long threads wait for a CPU where that is known: p99, else the mean", function()
    local before, now = two()
    now.shards[1].delay, now.shards[1].runs = 3, 500
    assert.is_nil(terminal.plain(frame.lines(now, nil, views.new {}, 99)):find "CPU WAIT")
    before.shards[1].delay, before.shards[1].runs = 1, 100
    now.shards[2].runqueue = {p99 = 0.00012}
    local all = terminal.plain(frame.lines(now, before, views.new {}, 110))
    assert.truthy(all:find("LATENCY  CPU WAIT  CONNS      HEAP  STATE\n", 1, true), all)
    assert.truthy(all:find(" 4.2 ms    5.0 ms    502  71.0 MiB  stalled for 1.3 s\n", 1, true), all)
    assert.truthy(all:find(" 210 us    120 us    500  52.0 MiB", 1, true), all)
  end)

  it("has the stack of the chosen task", function()
    local all = shown({chosen = {shard = 1, id = 23}, open = true}, 99)
    assert.truthy(all:find("worker 1  type=order            orders.lua:41 take\n"
      .. "      made at shop/main.lua:12, waits on ringlet.chan: 0 of 16\n"
      .. "      orders.lua:41 take\n      orders.lua:88 worker\n", 1, true), all)
  end)

  it("has tasks with the same stack together", function()
    local all = shown({screen = "stacks"}, 99)
    assert.truthy(all:find("TASKS  LONGEST  STATE     WAITS FOR     STACK\n"
      .. "    2    5m12s  waiting   chan receive  orders.lua:41 take < orders.lua:88 worker\n"
      .. "    1    9.8 s  waiting   write         mail.lua:17 deliver < mail.lua:60 mailer\n", 1,
      true), all)
  end)

  it("has hot spots, or why there are none", function()
    local before, now = two()
    local view = views.new {screen = "hot spots"}
    now.hot = hot.of "f;g 900000000\nf 100000000\n"
    local all = terminal.plain(frame.lines(now, before, view, 99))
    assert.truthy(all:find("  SELF   IN ALL  WHERE\n90.0 %   90.0 %  g\n10.0 %  100.0 %  f\n"
      .. "1.0 s of CPU time, sampled\n", 1, true), all)
    now.hot, now.hot_message = nil, "another profile is being taken"
    all = terminal.plain(frame.lines(now, before, view, 99))
    assert.truthy(all:find("another profile is being taken\n", 1, true), all)
  end)

  it("has what looks wrong, and says when nothing does", function()
    assert.truthy(shown({screen = "warnings"}, 60):find("has computed\n  for 2.000 s or more, "
      .. "interrupted only by preemption\n", 1, true))
    local before, now = two()
    now.lints = {}
    local all = terminal.plain(frame.lines(now, before, views.new {screen = "warnings"}, 99))
    assert.truthy(all:find("nothing looks wrong\n", 1, true))
  end)

  it("has only what the filter lets pass, in the order that is wanted", function()
    local _, now = two()
    local function ids(opts)
      local view, list = views.new {}, {}
      for k, v in pairs(opts) do view[k] = v end
      for i, d in ipairs(rows.tasks(now, view)) do list[i] = d.id end
      return list
    end
    assert.same({23, 31, 24, 17, 40}, ids {})
    assert.same({17, 23, 24, 31, 40}, ids {sort = "id"})
    assert.same({40, 17, 23, 24, 31}, ids {sort = "state"})
    assert.same({31, 17, 23, 24, 40}, ids {sort = "name"})
    assert.same({31, 23, 24, 17, 40}, ids {sort = "label"})
    assert.same({23, 24}, ids {filter = "TYPE=Order"})
    assert.same({31}, ids {filter = "mail.lua"})
    assert.same({}, ids {filter = "nothing"})
  end)

  it("fits into any terminal and moves no cursor", function()
    for _, screen in ipairs(rows.SCREENS) do
      for width = 1, 140, 11 do
        for height = 2, 50, 5 do
          local lines = lines_of({screen = screen, chosen = {shard = 2, id = 40}}, width, height)
          local bad = #lines ~= height and "height"
          for _, line in ipairs(lines) do
            bad = bad or (text.width(line.text) > width or line.text:find "%c") and line.text
          end
          assert.falsy(bad, ("%s, %d x %d: %s"):format(screen, width, height, tostring(bad)))
        end
      end
    end
  end)

  it("keeps the chosen task in sight", function()
    local before, now = two()
    for i = 1, 100 do
      now.tasks[#now.tasks + 1] = {id = 100 + i, shard = 1, state = "waiting", reason = "sleep",
        since = 1, stack = {}}
    end
    local view = views.new {sort = "id"}
    view.chosen = {shard = 1, id = 180}
    local all = terminal.plain(frame.lines(now, before, view, 98, 30))
    assert.truthy(all:find "\n180 ")
    assert.truthy(all:find "\n ID  SHARD")
    assert.is_nil(all:find "\n17 ")
  end)

  it("is without numbers for which two readings are needed when there is one", function()
    local _, now = two()
    local all = terminal.plain(frame.lines(now, nil, views.new {}, 99))
    assert.truthy(all:find("+-/s --/s", 1, true), all)
  end)

  it("has colours unless they are not wanted", function()
    local lines = lines_of({}, 80, 24)
    assert.truthy(terminal.paint(lines, true):find("\27[1;31m!", 1, true))
    assert.is_nil(terminal.paint(lines, false):find "\27%[1;3")
    assert.is_nil(terminal.plain(lines):find "\27")
  end)
end)

describe("keys", function()
  it("are what a terminal sends for them", function()
    assert.same({"up", "down", "pageup", "home", "end", "esc", "enter", "backspace", "\195\169",
      "q"},
      views.keys "\27[A\27OB\27[5~\27[H\27OF\27\r\127\195\169\4")
    assert.same({}, views.keys "\27[1;5C")
    assert.same({"\255"}, views.keys "\255")
  end)

  local function pressed(typed)
    local _, now = two()
    local view, wanted = views.new {}, nil
    for _, key in ipairs(views.keys(typed)) do wanted = views.press(view, key, now) end
    return view, wanted
  end

  it("change what is seen", function()
    assert.equal("stacks", pressed("2").screen)
    assert.equal("warnings", pressed("\t\t\t").screen)
    assert.equal("state", pressed("s").sort)
    assert.is_true(pressed("r").reverse)
    assert.is_true(pressed(" ").paused)
    assert.is_false(pressed("  ").paused)
    assert.equal("ab", pressed("/abc\127\r").filter)
    assert.equal("", pressed("/ab\27").filter)
    assert.equal("", pressed("/ab\r\27").filter)
    assert.same({shard = 2, id = 31}, pressed("jj").chosen)
    assert.is_true(pressed("j\r").open)
    assert.same({shard = 2, id = 40}, pressed("\27[F").chosen)
    assert.equal(0.25, pressed("+++++").every)
    assert.equal(60, pressed("----------").every)
  end)

  it("ask for what is beyond it", function()
    assert.equal("quit", select(2, pressed "q"))
    assert.equal("leaks", select(2, pressed "l"))
    assert.is_nil((select(2, pressed "/q")))
  end)

  it("in any order leave something to be seen", function()
    local random, seed = math.random, 7
    math.randomseed(seed)
    local keys = {"up", "down", "enter", "esc", "/", "x", "backspace", "s", "r", " ", "?", "1",
      "2", "3", "4", "\t", "home", "end", "pagedown", "+", "-", "l", "j"}
    local before, now = two()
    for _ = 1, H.rounds(300, 10) do
      local view, pressed_keys = views.new {}, {}
      for i = 1, 20 do
        local key = keys[random(#keys)]
        pressed_keys[i] = key
        views.press(view, key, now)
      end
      local ok, lines = pcall(frame.lines, now, before, view, 80, 24)
      assert.is_true(ok, table.concat(pressed_keys, " ") .. ": " .. tostring(lines))
      assert.equal(24, #lines)
    end
  end)
end)

describe("hot spots", function()
  it("are sums of stacks by function; one that calls itself counts once", function()
    local found = hot.of "a;b 300000000\na;b;b;c 100000000\na 600000000\n"
    assert.equal(1, found.seconds)
    assert.same({name = "a", own = 0.6, all = 1}, found.spots[1])
    assert.same({name = "b", own = 0.3, all = 0.4}, found.spots[2])
    assert.same({name = "c", own = 0.1, all = 0.1}, found.spots[3])
  end)

  it("are none when nothing ran", function()
    assert.same({seconds = 0, spots = {}}, hot.of "")
  end)
end)
