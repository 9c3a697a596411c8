-- SPDX-License-Identifier: MIT
-- Lists and dumps of tasks: what is said of each, how they are grouped, and what changes meanwhile.
local H = require "spec.helper"
local core = require "ringlet.core"
local gates = require "spec.fifo_gate"
local rl = require "ringlet"
local tasks = require "ringlet.debug"

local HERE = debug.getinfo(1, "S").short_src

-- The number of a line that ends with this mark.
local function line_of(mark)
  local n = 0
  for line in io.lines(HERE) do
    n = n + 1
    if line:find("-- @" .. mark .. "$") then
      return n
    end
  end
end

local function place(mark)
  return HERE .. ":" .. line_of(mark)
end

-- A dump with debug=1 as a list of {count, what, min, max, labels, stack = {{name, place}, ...}},
-- and what is said of each shard.
local function parse_groups(text)
  local head, rest = text:match "^tasks: total (%d+\n.-)\n\n(.*)$"
  local shards, groups = {}, {}
  for shard, said in head:gmatch "# shard (%d+): ([^\n]+)" do
    shards[tonumber(shard)] = said
  end
  for block in rest:gmatch "(.-)\n\n" do
    local count, what = block:match "^(%d+) @ %[(.-)%]"
    local reason, span = what:match "^(.-), ([%d.]+ s)$"
    local g = {count = tonumber(count), what = reason or what, stack = {}}
    if span then
      g.min, g.max = span:match "^([%d.]-)%.%.([%d.]+) s$"
      g.min = tonumber(g.min or span:match "^[%d.]+")
      g.max = tonumber(g.max or g.min)
    end
    g.labels = block:match "\n# labels: ([^\n]+)"
    for name, at in block:gmatch "\n#\t([^\t\n]+)\t([^\n]+)" do
      g.stack[#g.stack + 1] = {name, at}
    end
    groups[#groups + 1] = g
  end
  return groups, tonumber(head:match "^%d+"), shards
end

-- A dump with debug=2: id -> {name, shard, what, text}; raises if a task is there twice.
local function parse_tasks(text)
  local all, n = {}, 0
  for block in text:gmatch "(task %d+.-)\n\n" do
    local id, name, shard, daemon, what = block:match
      '^task (%d+)(.-) on shard (%d+)(,? ?d?a?e?m?o?n?) %[(.-)%]:\n'
    id = tonumber(id)
    assert(not all[id .. "/" .. shard], "twice: " .. block)
    all[id .. "/" .. shard] = true
    all[id] = {name = name:match '^ "(.*)"$', shard = tonumber(shard), what = what, text = block,
      daemon = daemon ~= ""}
    n = n + 1
  end
  return all, n
end

local function parked(list)
  H.eventually("all wait", function()
    for _, h in ipairs(list) do
      if h:status() ~= "parked" then
        return false
      end
    end
    return true
  end)
end

-- n tasks that wait until what is returned is closed. Cancelling so many takes long on Lua 5.4.
local function park(n, list)
  local gate = rl.chan()
  for i = 1, n do
    list[i] = rl.go(function() gate:recv() end)
    if i % 200 == 0 then
      rl.yield()
    end
  end
  parked(list)
  return gate
end

local function end_all(list)
  for _, h in ipairs(list) do
    h:cancel()
  end
  for _, h in ipairs(list) do
    h:join()
  end
end

H.both("a dump by stack", function(it)
  it("has 1,000 tasks of 3 kinds in 3 groups, with counts, reasons and lines", function()
    local ch, m, list, from = rl.chan(), rl.mutex(), {}, rl.now()
    m:lock()
    local function receive()
      local v = ch:recv() -- @receive
      return v
    end
    local function worker()
      receive() -- @worker
    end
    for i = 1, 1000 do
      list[i] = rl.go(i <= 600 and worker or i <= 900 and function()
        m:lock() -- @locks
        m:unlock()
      end or function()
        rl.sleep(1000) -- @sleeps
      end)
      list[i]:label("kind", "one of three")
    end
    parked(list)
    rl.sleep(0.2)
    local groups, total, shards = parse_groups(tasks.dump {state = "waiting", label = "kind"})
    assert.equal(1000, total)
    assert.equal(("%d tasks, 1000 of them listed"):format(rl.stats().tasks), shards[1])
    assert.equal(3, #groups)
    assert.same({600, 300, 100}, {groups[1].count, groups[2].count, groups[3].count})
    assert.same({"chan receive", "lock", "sleep"}, {groups[1].what, groups[2].what, groups[3].what})
    assert.equal(place "receive", groups[1].stack[1][2])
    assert.equal("receive", groups[1].stack[1][1])
    assert.equal(place "worker", groups[1].stack[2][2])
    assert.equal(2, #groups[1].stack)
    assert.equal(place "locks", groups[2].stack[1][2])
    assert.equal(place "sleeps", groups[3].stack[1][2])
    local most = rl.now() - from + 0.001 -- the text has milliseconds
    for _, g in ipairs(groups) do
      assert.is_true(g.min >= 0.199 and g.max <= most and g.min <= g.max)
    end
    end_all(list)
  end)

  it("says how long the shortest wait and the longest", function()
    local ch = rl.chan()
    local function wait() ch:recv() end
    local first = rl.go(wait)
    parked {first}
    rl.sleep(0.2)
    local between = rl.now()
    local second = rl.go(wait)
    parked {second}
    rl.sleep(0.1)
    local groups = parse_groups(tasks.dump {reason = "chan receive"})
    local most = rl.now() - between + 0.001
    assert.equal(1, #groups)
    assert.is_true(groups[1].min > 0.09 and groups[1].min <= most)
    assert.is_true(groups[1].max > 0.29 and groups[1].max - groups[1].min > 0.19)
    end_all {first, second}
  end)

  it("keeps other labels and other states apart", function()
    local ch, list = rl.chan(), {}
    local function wait() ch:recv() end
    for i = 1, 6 do
      list[i] = rl.go(wait)
      if i > 1 then
        list[i]:label("type", i > 3 and "order" or 'a "b"\n')
      end
      list[i]:label("kind", "apart")
    end
    local fresh = parse_groups(tasks.dump {state = "new"})
    assert.equal(3, #fresh)
    assert.truthy(fresh[1].stack[1][1]:find("(not started)", 1, true))
    parked(list)
    local groups = parse_groups(tasks.dump {label = "kind=apart"})
    assert.same({3, 2, 1}, {groups[1].count, groups[2].count, groups[3].count})
    assert.equal('{"kind":"apart", "type":"order"}', groups[1].labels)
    assert.equal('{"kind":"apart", "type":"a \\"b\\"\\n"}', groups[2].labels)
    assert.equal('{"kind":"apart"}', groups[3].labels)
    end_all(list)
  end, {preempt = false}) -- they have no turn before the first dump

  it("shows frames of the library when asked, or when there are no others", function()
    local t = rl.go(rl.sleep, 100)
    t:label("kind", "bare")
    parked {t}
    local with = tasks.dump {library = true, state = "running"}
    assert.truthy(with:find("debug_dump.lua", 1, true))
    assert.is_nil(tasks.dump {state = "running"}:find("debug_dump.lua", 1, true))
    local text = tasks.dump {reason = "sleep", label = "kind"}
    assert.truthy(text:find("time.lua", 1, true))
    end_all {t}
  end)
end)

H.both("a dump of every task", function(it)
  it("has id, name, labels, state, wait, object, site and stack of each", function()
    local before = rl.stats().tasks
    local ch, list = rl.chan(3), {}
    for i = 1, 4 do
      list[i] = rl.go(function() -- @made
        ch:recv() -- @object
      end)
    end
    list[1]:name 'a "job"'
    list[1]:label("type", "order")
    list[1]:label("n", 7)
    list[5] = rl.daemon(function() rl.sleep(90) end)
    parked(list)
    local text = tasks.dump {debug = 2}
    local all, n = parse_tasks(text)
    assert.equal(before + 5, n)
    local one = all[list[1].id]
    assert.equal('a \\"job\\"', one.name)
    assert.truthy(one.what:match "^chan receive, %d+%.%d%d%d s$")
    assert.truthy(one.text:find('labels {"n":"7", "type":"order"}\n', 1, true))
    assert.truthy(one.text:find("waits on " .. tostring(ch) .. ", as 3 others do\n", 1, true))
    assert.truthy(one.text:find("\n\t" .. place "object" .. "\n", 1, true))
    assert.truthy(one.text:find("\ncreated at " .. HERE .. ":", 1, true))
    assert.is_false(one.daemon)
    assert.is_true(all[list[5].id].daemon)
    assert.equal("running", all[rl.self().id].what)
    assert.truthy(text:find(("\n\ntasks: total %d\n# shard 1: %d tasks\n"):format(n, n)))
    end_all(list)
  end)

  it("is given to a function or a file, piece by piece", function()
    local pieces, written = {}, {}
    local gate = park(200, {})
    local live = rl.stats().tasks
    assert.is_true(tasks.dump {debug = 2, to = function(piece) pieces[#pieces + 1] = piece end})
    assert.is_true(#pieces > 3)
    local file = {write = function(_, piece) written[#written + 1] = piece end}
    assert.is_true(tasks.dump {debug = 2, to = file})
    local _, n = parse_tasks(table.concat(pieces))
    assert.equal(live, n)
    _, n = parse_tasks(table.concat(written))
    assert.equal(live, n)
    gate:close()
  end)

  it("counts minutes", function()
    local text = require("ringlet.debug_text").task
    local d = {id = 1, shard = 2, state = "waiting", reason = "lock", since = 59.9994, site = "f:1"}
    assert.equal("task 1 on shard 2 [lock, 59.999 s]:\ndefined at f:1\n\n", text(d))
    d.since = 60
    assert.truthy(text(d):find("[lock, 1 minute]", 1, true))
    d.since, d.lost = 359, true
    assert.truthy(text(d):find("[lock, 5 minutes]:\nnothing will ever wake it\n", 1, true))
  end)
end)

H.both("a description", function(it, backend)
  it("tells the state", function()
    local ch = rl.chan()
    local waits = rl.go(function() ch:recv() end) -- @definition
    parked {waits}
    rl.sleep(0.25)
    local new = rl.go(function() end)
    local yields = rl.go(function() rl.yield() end)
    local me = tasks.task(rl.self().id)
    assert.same({"running", nil, nil, false}, {me.state, me.reason, me.since, me.daemon})
    local d = tasks.task(waits.id)
    assert.same({"waiting", "chan receive", tostring(ch), 0, 1},
      {d.state, d.reason, d.object, d.others, d.shard})
    assert.is_true(d.since >= 0.25 and d.since < H.limit(0.35, backend))
    assert.is_nil(d.lost)
    assert.equal(place "definition", ("%s:%d"):format(d.stack[#d.stack].file,
      d.stack[#d.stack].defined))
    assert.equal("new", tasks.task(new.id).state)
    assert.is_nil(tasks.task(new.id).reason)
    new:join()
    assert.is_nil(tasks.task(new.id))
    d = tasks.task(yields.id)
    assert.same({"runnable", "yield"}, {d.state, d.was})
    assert.is_nil(d.since)
    assert.is_true(d.unparked >= 0 and d.unparked < H.limit(0.2, backend))
    end_all {waits, yields}
  end, {preempt = false}) -- the states stay as they are meanwhile

  it("tells the creation site, or where the function is defined", function()
    local function body() rl.sleep(10) end -- @body
    local t = rl.go(body) -- @creation
    parked {t}
    local d = tasks.task(t.id)
    assert.is_true(d.created)
    assert.equal(place "creation", d.site:match "^[^,]+")
    end_all {t}
    require("ringlet.task").note_sites(false)
    t = rl.go(body)
    assert.equal(place "body", tasks.task(t.id).site)
    parked {t}
    d = tasks.task(t.id)
    assert.is_false(d.created)
    assert.equal(place "body", d.site)
    end_all {t}
  end)

  it("follows a task into its coroutines", function()
    local t = rl.go(function()
      local outer = coroutine.wrap(function()
        local co = coroutine.create(function()
          rl.sleep(10) -- @inner
        end)
        coroutine.resume(co) -- @middle
      end)
      outer() -- @outer
    end)
    parked {t}
    local lines = {}
    for _, frame in ipairs(tasks.task(t.id).stack) do
      if not frame.library then
        lines[#lines + 1] = frame.line
      end
    end
    assert.same({line_of "inner", line_of "middle", line_of "outer"}, lines)
    end_all {t}
  end)

  it("is a table of one's own", function()
    local t = rl.go(function() rl.sleep(10) end)
    t:label("type", "order")
    rl.yield()
    tasks.task(t.id).labels.type = "other"
    assert.equal("order", t:label "type")
    end_all {t}
  end)
end)

H.sim("tasks that are asked for", function(it)
  it("are those that fit, sorted, so many", function()
    local ch, list = rl.chan(), {}
    for i = 1, 5 do
      list[i] = rl.go(function() ch:recv() end)
      list[i]:name(i % 2 == 0 and "even" or "odd")
      list[i]:label("n", i)
      rl.sleep(1)
    end
    list[6] = rl.go(function() rl.sleep(100) end)
    rl.sleep(0.5)
    local function ids(opts)
      local found = {}
      for _, d in ipairs(tasks.tasks(opts)) do
        for j, h in ipairs(list) do
          if h.id == d.id then
            found[#found + 1] = j
          end
        end
      end
      return table.concat(found, " ")
    end
    assert.equal("1 2 3 4 5", ids {reason = "chan receive"})
    assert.equal("6", ids {reason = "sleep"})
    assert.equal("2 4", ids {name = "even"})
    assert.equal("3", ids {label = "n=3"})
    assert.equal("3", ids {label = {n = 3}})
    assert.equal("1 2 3 4 5", ids {label = "n"})
    assert.equal("", ids {label = "m"})
    assert.equal("1 2 3", ids {after = 2.9})
    assert.equal("1 2 3 4 5 6", ids {sort = "wait", state = "waiting"})
    assert.equal("1 2", ids {reason = "chan receive", sort = "wait", limit = 2})
    assert.equal("", ids {limit = 0})
    assert.is_nil(tasks.tasks({stack = false})[1].stack)
    assert.is_table(tasks.tasks()[1].stack)
    local _, counts = tasks.tasks {name = "even"}
    assert.same({shard = 1, tasks = rl.stats().tasks, listed = 2, ended = 0}, counts[1])
    end_all(list)
  end)

  it("lists the longest waits as a list of all begins", function()
    local ch, list = rl.chan(), {}
    math.randomseed(3)
    for i = 1, 1000 do
      -- Slots are used again: in the end their order is not that of the waits.
      local at = i <= 200 and i or math.random(200)
      if list[at] then
        list[at]:cancel()
        list[at]:join()
      end
      list[at] = rl.go(function() ch:recv() end)
      rl.sleep(math.random(0, 3) / 10)
    end
    local all, counts = tasks.tasks {sort = "wait", reason = "chan receive"}
    for _, limit in ipairs {0, 1, 2, 5, 17, 100, #all - 1, #all, #all + 1} do
      local some, of = tasks.tasks {sort = "wait", reason = "chan receive", limit = limit}
      assert.equal(math.min(limit, #all), #some)
      for i, d in ipairs(some) do
        assert.equal(all[i].id, d.id, ("%d of the first %d"):format(i, limit))
      end
      assert.equal(counts[1].listed, of[1].listed)
    end
    end_all(list)
  end)

  it("are refused when they are asked for wrongly", function()
    H.raises_text("unknown option 'stat'", tasks.tasks, {stat = "new"})
    H.raises_text("option 'state' must be", tasks.tasks, {state = "parked"})
    H.raises_text("option 'limit' must be", tasks.tasks, {limit = 0.5})
    H.raises_text("no such shard: 65", tasks.dump, {shard = 65})
    H.raises_text("option 'debug' must be", tasks.dump, {debug = 3})
    H.raises_text("number expected", tasks.task, "7")
    local _, err = pcall(tasks.dump, {debug = 0})
    assert.truthy(err:find "debug_spec.lua:%d+: option 'debug'" or err:find "^option 'debug'")
  end)
end)

H.both("while a dump is made", function(it)
  it("others have their turns", function()
    local turns, done = 0, false
    local gate = park(5000, {})
    local other = rl.go(function()
      while not done do
        turns = turns + 1
        rl.yield()
      end
    end)
    rl.yield()
    turns = 0
    local live = rl.stats().tasks
    local _, n = parse_tasks(tasks.dump {debug = 2})
    done = true
    assert.equal(live, n)
    assert.is_true(turns >= 4)
    other:join()
    gate:close()
  end)

  it("tasks end and are made: each is there once at most, and counted", function()
    local list, made, pieces = {}, {}, {}
    local seed = 1
    local function random(n)
      seed = seed * 16807 % 2147483647
      return seed % n + 1
    end
    local gate = park(1500, list)
    local ended, live = {}, rl.stats().tasks
    tasks.dump {debug = 2, to = function(piece)
      pieces[#pieces + 1] = piece
      for _ = 1, 20 do
        local h = list[random(#list)]
        ended[h.id] = true
        h:cancel()
        h:join()
        made[#made + 1] = rl.go(function() gate:recv() end)
      end
    end}
    local text = table.concat(pieces)
    local all, n = parse_tasks(text)
    for _, h in ipairs(made) do
      assert.is_nil(all[h.id])
    end
    for _, h in ipairs(list) do
      assert.is_true(all[h.id] ~= nil or ended[h.id])
    end
    local listed, gone = text:match "# shard 1: (%d+) tasks, (%d+) more ended meanwhile"
    assert.equal(n, tonumber(listed))
    assert.equal(live, n + tonumber(gone))
    assert.is_true(tonumber(gone) > 50)
    gate:close()
  end)

  it("it can be cancelled, and leaves nothing behind", function()
    local gate = park(3000, {})
    local t = rl.go(tasks.dump, {debug = 2})
    rl.yield()
    t:cancel()
    local ok, err = t:join()
    assert.is_false(ok)
    assert.is_true(rl.is_cancel(err))
    gate:close()
  end, {preempt = false}) -- it is not over after one turn
end)

for _, backend in ipairs(H.BACKENDS) do
  describe(("several shards (%s)"):format(backend), function()
    local function on_shards(what, fn, opts)
      it(what, function()
        if H.missing[backend] then
          return pending(H.missing[backend])
        end
        local all = {backend = backend, shards = 3, on_overrun = function() end, stall_after = 0}
        for k, v in pairs(opts or {}) do
          all[k] = v
        end
        rl.run(fn, all)
      end)
    end

    -- Jobs that park on every shard, and a function that ends them.
    local function park_everywhere()
      local futures = {}
      for i = 1, 3 do
        for _ = 1, i do
          futures[#futures + 1] = rl.spawn_on(i, function()
            require("ringlet").self():name("on " .. require("ringlet").shard())
            require("ringlet").sleep(1000) -- @parked
          end)
        end
      end
      H.eventually("six sleep", function() return #tasks.tasks {reason = "sleep"} == 6 end)
      return function()
        for _, f in ipairs(futures) do
          f:cancel()
          f:join()
        end
      end
    end

    on_shards("are asked all, or one", function()
      local stop = park_everywhere()
      local list, counts = tasks.tasks {reason = "sleep"}
      local of_shard = {0, 0, 0}
      for _, d in ipairs(list) do
        of_shard[d.shard] = of_shard[d.shard] + 1
        assert.equal("on " .. d.shard, d.name)
      end
      assert.same({1, 2, 3}, of_shard)
      assert.same({1, 2, 3}, {counts[1].listed, counts[2].listed, counts[3].listed})
      assert.same({2, 3}, {counts[2].tasks, counts[3].tasks}) -- not those that answer
      assert.equal(3, #tasks.tasks {shard = 3})
      local id = tasks.tasks({shard = 2})[1].id
      assert.equal("on 2", tasks.task(id, 2).name)
      stop()
    end)

    on_shards("are grouped together, and dumped one after the other", function()
      local stop = park_everywhere()
      local groups, total, shards = parse_groups(tasks.dump {reason = "sleep"})
      assert.equal(6, total)
      assert.equal(1, #groups)
      assert.equal(6, groups[1].count)
      assert.equal(place "parked", groups[1].stack[1][2])
      assert.equal("3 tasks", shards[3])
      local _, n = parse_tasks(tasks.dump {debug = 2})
      assert.equal(7, n)
      local all
      all, n = parse_tasks(tasks.dump {debug = 2, shard = 3})
      assert.equal(3, n)
      for _, t in pairs(all) do
        assert.is_true(t == true or t.shard == 3)
      end
      stop()
    end)

    if backend == "uring" then
      on_shards("do not wait for one that is stuck", function()
        local gate = gates.new()
        local stuck = rl.spawn_on(2, gates.pass, gate.name)
        local list, counts, shards
        H.eventually("a silent shard", function()
          list, counts = tasks.tasks()
          return counts[2].silent and counts[2].task
        end)
        assert.equal(1, #list)
        assert.is_true(counts[2].seconds > 0.2)
        H.eventually("an answer of the third", function() -- it may get no CPU for so long, too
          shards = select(3, parse_groups(tasks.dump()))
          return shards[3] == "0 tasks"
        end)
        assert.truthy(shards[2]:match
          "^silent: task %d+ runs for %d+%.%d+ s without a chance to be interrupted$")
        gate.open()
        assert(stuck:join())
        gate.remove()
      end, {stall_after = 0.2})
    end
  end)
end

describe("without a task", function()
  it("outside of a run there is nothing", function()
    assert.same({}, (tasks.tasks()))
    assert.equal("tasks: total 0\n# shard 1: 0 tasks\n\n", tasks.dump())
    assert.is_nil(tasks.task(1))
  end)

  it("a hook is told of this shard, in one go", function()
    local text
    rl.on_error(function() text = tasks.dump {debug = 2} end)
    rl.run(function()
      local gate = park(2000, {})
      rl.go(error, "x")
      rl.yield()
      gate:close()
    end, {backend = "sim"})
    rl.on_error(nil)
    local _, n = parse_tasks(text)
    assert.equal(2002, n)
  end)
end)

describe("the leak detector", function()
  it("is asked by leaks()", function()
    local before = package.loaded["ringlet.leaks"]
    package.loaded["ringlet.leaks"] = {find = function(opts) return opts, "found" end}
    local opts = {}
    local a, b = tasks.leaks(opts)
    package.loaded["ringlet.leaks"] = before
    assert.equal(opts, a)
    assert.equal("found", b)
  end)
end)

-- Lua source: answered() is true when the dump is written that was asked for after before().
local ANSWERED = [[
local asked
local function before() asked = rl.stats() end
local function answered()
  local now = rl.stats()
  return now.created > asked.created and now.tasks == asked.tasks
end
]]

local function real_it(name, fn)
  it(name, function()
    if H.missing.uring then
      return pending(H.missing.uring)
    end
    fn()
  end)
end

describe("SIGQUIT", function()
  real_it("writes dumps, and the run goes on", function()
    local out, code = H.script(H.KILL .. ANSWERED .. [[
      local tasks = require "ringlet.debug"
      local function quit()
        before()
        kill "QUIT"
        repeat rl.sleep(0.005) until answered()
      end
      tasks.on_quit()
      rl.run(function()
        local ch = rl.chan()
        for _ = 1, 5 do rl.daemon(function() ch:recv() end) end
        rl.yield()
        quit()
        io.stderr:write "changed\n"
        rl.self():name "main"
        tasks.on_quit {debug = 2, reason = "none"}
        tasks.on_quit {debug = 2, name = "main"}
        quit()
        io.stderr:write "on\n"
      end)]])
    assert.equal(0, code)
    local first, second = out:match "^(.*)changed\n(.*)on\n"
    local groups = parse_groups(first)
    assert.equal(5, groups[1].count)
    assert.equal("chan receive", groups[1].what)
    local _, n = parse_tasks(second)
    assert.equal(1, n)
  end)

  real_it("comes while a task computes", function()
    local out, code = H.script(H.KILL .. ANSWERED .. [[
      if jit then jit.off(true, true) end
      require("ringlet.debug").on_quit()
      rl.run(function()
        before()
        kill "QUIT"
        while not answered() do
          for _ = 1, 1e4 do end
        end
        io.stderr:write "computed\n"
      end, {shards = 2})]])
    assert.equal(0, code)
    local dump = out:match "^(.*)computed\n"
    local groups = parse_groups(dump)
    assert.equal("runnable, preempted", groups[1].what)
  end)

  real_it("is as it was when that is asked for, and after the run", function()
    for _, what in ipairs{"in", "after"} do
      local out, code = H.script(H.KILL .. ([[
        local tasks = require "ringlet.debug"
        local what = %q
        tasks.on_quit(true)
        rl.run(function()
          if what == "in" then
            tasks.on_quit(false)
            kill "QUIT"
            rl.sleep(1)
          end
        end)
        kill "QUIT"
        io.write "not reached"]]):format(what))
      assert.is_nil(out:find("not reached", 1, true))
      assert.equal(131, code) -- 128 + SIGQUIT
    end
  end)

  real_it("is a matter of the first shard", function()
    rl.run(function()
      local ok, err = rl.spawn_on(2, function()
        require("ringlet.debug").on_quit()
      end):join()
      assert.is_false(ok)
      assert.truthy(tostring(err):find("on_quit is for the first shard", 1, true))
    end, {shards = 2})
  end)
end)

describe("a long list", function()
  it("is sorted as table.sort does it, without keeping others from their turn", function()
    local sort = require "ringlet.debug_sort"
    local seed = 42
    local function random(n)
      seed = seed * 16807 % 2147483647
      return seed % n
    end
    for round = 1, H.rounds(300) do
      local list, copy, pauses = {}, {}, 0
      local n = round == 1 and 100000 or random(200)
      for i = 1, n do
        list[i] = random(round % 3 == 0 and 5 or 1e9)
        copy[i] = list[i]
      end
      table.sort(copy)
      local limit = round % 2 == 0 and random(100) or nil
      local got = sort.first(list, function(a, b) return a < b end, limit, function()
        pauses = pauses + 1
      end)
      assert.equal(math.min(n, limit or n), #got)
      for i = 1, #got do
        if got[i] ~= copy[i] then
          error("round " .. round)
        end
      end
      assert.is_true(round > 1 or pauses > 1000)
    end
  end)
end)

H.sim("the core's view of tasks", function(it)
  it("goes from one to the next, past empty slots", function()
    local list, found = {}, {}
    for i = 1, 10 do
      list[i] = rl.go(function() rl.sleep(10) end)
    end
    rl.yield()
    end_all {list[2], list[9]}
    local slot, id = core.next_task(0)
    while slot do
      found[#found + 1] = id
      slot, id = core.next_task(slot)
    end
    assert.equal(rl.stats().tasks, #found)
    assert.is_nil((core.next_task(1e6)))
    end_all(list)
  end)
end)
