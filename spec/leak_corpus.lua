-- SPDX-License-Identifier: MIT
-- Programs for the leak detector: {name, program}. A program is called in a task with t, by which
-- it makes tasks: t.leak those that are leaked when it has returned and everything had its turn,
-- t.sound those that are not. What it returns is held by a live task.
--
-- The names of the first ones are those of the corpora that they stand for: the tests of Go's leak
-- detector (GOLF), its patterns, and the kernels of GoKer.

local rl = require "ringlet"
local net = require "ringlet.net"
local shared = require "ringlet.shared"

local M = {leaking = {}, sound = {}}

local function leaking(name, program)
  M.leaking[#M.leaking + 1] = {name, program}
end

local function sound(name, program)
  M.sound[#M.sound + 1] = {name, program}
end

-- ---- leaking: one wait each ---------------------------------------------------------------------

leaking("NilRecv", function(t)
  t.leak(function() rl.select {false} end)
end)

leaking("NilSend", function(t)
  t.leak(function() rl.select {false, false} end)
end)

leaking("SelectNoCases", function(t)
  t.leak(function() rl.select {} end)
end)

leaking("ChanRecv", function(t)
  t.leak(function() rl.chan():recv() end)
end)

leaking("ChanSend", function(t)
  t.leak(function() rl.chan():send(1) end)
end)

leaking("ChanSend, full buffer", function(t)
  t.leak(function()
    local ch = rl.chan(1)
    ch:send(1)
    ch:send(2)
  end)
end)

leaking("Select", function(t)
  t.leak(function() rl.select {{rl.chan()}, {send = rl.chan(), 1}, {rl.event()}} end)
end)

leaking("Select, ordered", function(t)
  t.leak(function() rl.select {{rl.chan(3)}, {rl.event()}, ordered = true} end)
end)

leaking("WaitGroup", function(t)
  t.leak(function()
    local wg = rl.waitgroup()
    wg:add(1)
    wg:wait()
  end)
end)

leaking("MutexStack x1000", function(t)
  for _ = 1, 1000 do
    t.leak(function()
      local m = rl.mutex()
      m:lock()
      m:lock()
    end)
  end
end)

leaking("MutexHeap", function(t)
  local record = {lock = rl.mutex()}
  record.lock:lock()
  for _ = 1, 3 do
    t.leak(function() record.lock:lock() end)
  end
end)

leaking("RWMutex, reader", function(t)
  local m = rl.rwmutex()
  m:lock()
  t.leak(function() m:rlock() end)
end)

leaking("RWMutex, writer", function(t)
  local m = rl.rwmutex()
  m:rlock()
  t.leak(function() m:lock() end)
end)

leaking("Cond", function(t)
  local m = rl.mutex()
  local c = rl.cond(m)
  t.leak(function()
    m:lock()
    c:wait()
  end)
end)

leaking("Mixed", function(t)
  local ch, wg = rl.chan(), rl.waitgroup()
  wg:add(2)
  t.leak(function()
    ch:recv()
    wg:done()
  end)
  t.leak(function()
    wg:wait()
    ch:send(1)
  end)
end)

leaking("semaphore", function(t)
  t.leak(function() rl.semaphore(0):acquire() end)
end)

leaking("event", function(t)
  t.leak(function() rl.event():wait() end)
end)

leaking("barrier", function(t)
  local b = rl.barrier(3)
  t.leak(function() b:wait() end)
  t.leak(function() b:wait() end)
end)

leaking("once", function(t)
  local f = rl.once(function() rl.chan():recv() end)
  t.leak(f)
  t.leak(function() f() end)
end)

leaking("a timer that never fires", function(t)
  t.leak(function() rl.after(math.huge):wait() end)
end)

leaking("a timer that was stopped", function(t)
  t.leak(function()
    local timer = rl.after(10)
    timer:stop()
    timer:wait()
  end)
end)

-- ---- leaking: patterns --------------------------------------------------------------------------

leaking("NoCloseRange", function(t)
  local jobs = rl.chan()
  for _ = 1, 3 do
    t.leak(function()
      for job in jobs:iter() do
        assert(job)
      end
    end)
  end
  for i = 1, 5 do
    jobs:send(i)
  end
end)

leaking("MethodContractViolation", function(t)
  local Worker = {}
  Worker.__index = Worker
  function Worker:start()
    t.leak(function()
      while rl.select {{self.jobs}, {self.done}} == 1 do end
    end)
  end
  function Worker:stop() self.done:close() end
  local w = setmetatable({jobs = rl.chan(), done = rl.chan()}, Worker)
  w:start()
  w.jobs:send(1)
end)

leaking("DoubleSend", function(t)
  local ch = rl.chan()
  t.leak(function()
    ch:send("failed")
    ch:send("result") -- the return after the first was forgotten
  end)
  ch:recv()
end)

leaking("EarlyReturn", function(t)
  local ch = rl.chan()
  t.leak(function() ch:send(1) end)
  if rl.now() then
    return
  end
  ch:recv()
end)

leaking("NCastLeak", function(t)
  local ch = rl.chan()
  for i = 1, 10 do
    local start = i == 1 and t.sound or t.leak -- the first one's value is taken
    start(function() ch:send(i) end)
  end
  ch:recv()
end)

leaking("Timeout x100", function(t)
  for _ = 1, 100 do
    local ch = rl.chan()
    t.leak(function()
      rl.sleep(2)
      ch:send("too late")
    end)
    assert(rl.select({{ch}}, 0.001) == nil)
  end
  rl.sleep(5)
end)

leaking("SpawnGC", function(t)
  for _ = 1, 10 do
    for _ = 1, 10 do
      local ch = rl.chan()
      t.leak(function() ch:recv() end)
    end
    rl.yield()
    collectgarbage()
  end
end)

leaking("DaisyChain", function(t)
  local first = rl.chan()
  local left = first
  for _ = 1, 50 do
    local right, to = rl.chan(), left
    t.leak(function() to:send(1 + right:recv()) end)
    left = right
  end
end)

leaking("a cycle of two", function(t)
  local a, b = rl.chan(), rl.chan()
  t.leak(function() a:recv(); b:send(1) end)
  t.leak(function() b:recv(); a:send(1) end)
end)

leaking("joined by others", function(t)
  local h = t.leak(function() rl.chan():recv() end)
  local second = t.leak(function() h:join() end)
  t.leak(function() rl.select {{second}, {h}} end)
end)

leaking("a scope's child, and who waits for it", function(t)
  t.leak(function()
    rl.scope(function(s)
      t.expect(s:go(function() rl.chan():recv() end))
    end)
  end)
end)

leaking("a scope's child, while its scope does something else", function(t)
  t.sound(function()
    rl.scope(function(s)
      t.expect(s:go(function() rl.chan():recv() end))
      rl.sleep(1000)
    end)
  end)
end)

leaking("a scope at its limit", function(t)
  t.leak(function()
    rl.scope(function(s)
      t.expect(s:go(function() rl.chan():recv() end))
      s:go(function() end)
    end, {limit = 1})
  end)
end)

leaking("a waitgroup's task, and who waits for the group", function(t)
  local wg = rl.waitgroup()
  t.expect(wg:go(function() rl.chan():recv() end))
  t.leak(function() wg:wait() end)
end)

leaking("singleflight", function(t)
  local flight = rl.singleflight()
  for _ = 1, 2 do
    t.leak(function() flight:call("key", function() rl.chan():recv() end) end)
  end
  rl.yield()
  t.expect(flight.calls.key.task)
end)

leaking("map", function(t)
  t.leak(function()
    rl.map({1, 2}, function()
      t.expect(rl.self())
      rl.chan():recv()
    end)
  end)
end)

-- ---- leaking: kernels of GoKer ------------------------------------------------------------------

leaking("GoKer: double lock", function(t)
  local m = rl.mutex()
  t.leak(function()
    m:lock()
    if rl.now() > 0 then
      m:lock()
    end
  end)
end)

leaking("GoKer: AB-BA", function(t)
  local a, b = rl.mutex(), rl.mutex()
  t.leak(function() a:lock(); rl.yield(); b:lock() end)
  t.leak(function() b:lock(); rl.yield(); a:lock() end)
end)

leaking("GoKer: channel and context", function(t)
  local results, cancelled = rl.chan(), rl.event()
  t.leak(function() results:send("one") end) -- does not look at the context
  t.sound(function() rl.select {{send = results, "two"}, {cancelled}} end)
  cancelled:set()
end)

leaking("GoKer: channel and WaitGroup", function(t)
  local wg, errors = rl.waitgroup(), rl.chan()
  for i = 1, 3 do
    wg:add(1)
    t.leak(function()
      errors:send(i)
      wg:done()
    end)
  end
  t.leak(function()
    wg:wait() -- before anybody receives
    errors:recv()
  end)
end)

leaking("GoKer: lost wake-up of a cond", function(t)
  local m = rl.mutex()
  local c = rl.cond(m)
  c:signal()
  t.leak(function() m:with(function() c:wait() end) end)
end)

leaking("GoKer: a mutex that is taken again after a cond", function(t)
  local m = rl.mutex()
  local c = rl.cond(m)
  t.leak(function() m:lock(); c:wait() end)
  t.leak(function() m:lock(); c:signal(); rl.chan():recv() end)
end)

leaking("GoKer: readers, a writer, and a reader again", function(t)
  local m = rl.rwmutex()
  t.leak(function()
    m:rlock()
    rl.yield()
    m:rlock() -- behind the writer, which waits for the first
  end)
  t.leak(function() m:lock() end)
end)

leaking("GoKer: lock and channel", function(t)
  local m, ch = rl.mutex(), rl.chan()
  t.leak(function() m:lock(); ch:send(1) end)
  t.leak(function() m:lock(); ch:recv() end)
end)

leaking("GoKer: a closed done channel that nobody closes twice", function(t)
  local stop, acks = rl.chan(), rl.chan()
  t.leak(function()
    stop:recv()
    acks:send(true)
  end)
  stop:close()
end)

leaking("GoKer: a pipeline whose end left", function(t)
  local a, b = rl.chan(), rl.chan()
  t.leak(function() for i = 1, 10 do a:send(i) end end)
  t.leak(function() for v in a:iter() do b:send(v) end end)
  b:recv()
end)

-- ---- leaking: what looks like a reference and is none -------------------------------------------

leaking("the coroutine is in a live table", function(t)
  t.leak(function()
    t.held[#t.held + 1] = coroutine.running()
    rl.chan():recv()
  end)
end)

leaking("the handle is in a live table", function(t)
  return t.leak(function() rl.chan():recv() end)
end)

leaking("named, labelled, with locals", function(t)
  local h = t.leak(function()
    rl.locals().ch = rl.chan()
    rl.locals().ch:recv()
  end)
  h:name("worker")
  h:label("type", "order")
end)

leaking("a daemon", function(t)
  t.expect(rl.daemon(function() rl.chan():recv() end))
end)

leaking("in a coroutine of its own", function(t)
  t.leak(function()
    for _ in coroutine.wrap(function() rl.chan():recv() end) do end
  end)
end)

leaking("a channel in a channel", function(t)
  local inner, outer = rl.chan(), rl.chan(1)
  outer:send(inner)
  t.leak(function() inner:recv() end)
  t.leak(function()
    local mine = outer:recv()
    rl.chan():recv()
    return mine
  end)
end)

leaking("a value that is offered in vain", function(t)
  local ch, other = rl.chan(), rl.chan()
  t.leak(function() ch:send(other) end)
  t.leak(function() other:recv() end)
end)

leaking("a task of a pool, and who waits for it", function(t)
  local pool = rl.pool {size = 1}
  local f = pool:submit(function()
    t.expect(rl.self())
    rl.chan():recv()
  end)
  rl.yield()
  t.leak(function() f:join() end)
end)

leaking("after many selects on the same channels", function(t)
  local a, b = rl.chan(), rl.chan()
  for _ = 1, 5 do
    t.leak(function()
      while true do
        rl.select {{a}, {b}}
      end
    end)
  end
  for _ = 1, 20 do
    a:send(1)
    b:send(1)
  end
end)

leaking("what is weakly held, and collected", function(t)
  local ch, key = rl.chan(), {}
  t.leak(function() ch:recv() end)
  local weak = setmetatable({[key] = {ch}}, {__mode = "k"})
  weak[1] = setmetatable({{ch}}, {__mode = "v"})
  key = nil -- luacheck: ignore
  rl.yield()
  collectgarbage()
  collectgarbage()
  return weak
end)

-- ---- sound: reachable ---------------------------------------------------------------------------

sound("NoLeakGlobal", function(t)
  local ch = rl.chan()
  rawset(_G, "leak_corpus_channel", ch)
  t.after(function() rawset(_G, "leak_corpus_channel", nil) end)
  t.sound(function() ch:recv() end)
end)

local function hold(name, holder)
  sound(name, function(t)
    local ch = rl.chan()
    t.sound(function() ch:recv() end)
    return holder(ch, t)
  end)
end

hold("in a table", function(ch) return {{{ch}}} end)
hold("a key", function(ch) return {[ch] = 1} end)
hold("a key of a table with weak values", function(ch)
  return setmetatable({[ch] = 1}, {__mode = "v"})
end)
hold("a value of a table with weak keys", function(ch)
  return setmetatable({key = ch}, {__mode = "k"})
end)
hold("an upvalue", function(ch) return function() return ch end end)
hold("in a metatable", function(ch) return setmetatable({}, {__index = {ch}}) end)
hold("the buffer of a channel", function(ch)
  local outer = rl.chan(1)
  outer:send(ch)
  return outer
end)
hold("a module", function(ch, t)
  package.loaded["leak corpus"] = {ch}
  t.after(function() package.loaded["leak corpus"] = nil end)
end)
hold("the registry", function(ch, t)
  debug.getregistry()["leak corpus"] = ch
  t.after(function() debug.getregistry()["leak corpus"] = nil end)
end)
hold("a suspended coroutine", function(ch)
  local co = coroutine.create(function()
    local mine = ch
    coroutine.yield()
    return mine
  end)
  coroutine.resume(co)
  return co
end)
hold("a coroutine that has not begun", function(ch)
  return coroutine.create(function() return ch end)
end)
hold("an argument of a generator", function(ch)
  local co = coroutine.create(function(...) coroutine.yield() return ... end)
  coroutine.resume(co, 1, ch)
  return co
end)
hold("what a type's values share", function(ch, t)
  local before = debug.getmetatable(true)
  debug.setmetatable(true, {__index = {ch}})
  t.after(function() debug.setmetatable(true, before) end)
end)
hold("the error handler", function(ch, t)
  rl.on_error(function() return ch end)
  t.after(function() rl.on_error(nil) end)
end)
hold("a userdata", function(ch)
  local u = rl.chan()
  local set = rawget(debug, "setuservalue") or rawget(debug, "setfenv")
  set(u, {ch}) -- luacheck: ignore
  return u
end)

-- Held by a live task in the function `body`, which gets the channel.
local function live(name, body)
  sound(name, function(t)
    local ch = rl.chan()
    t.sound(function() ch:recv() end)
    rl.yield()
    t.sound(body, ch)
  end)
end

live("a local of a sleeping task", function(ch)
  local mine = {ch}
  rl.sleep(1000)
  return mine
end)
live("an argument of a sleeping task", function(ch)
  rl.sleep(1000)
  return ch
end)
live("an extra argument of a sleeping task", function(...)
  rl.sleep(1000)
  return ...
end)
live("a frame far up", function(ch)
  local function down(n)
    if n > 0 then
      return 1 + down(n - 1)
    end
    rl.sleep(1000)
    return 0
  end
  return down(100), ch
end)
live("a temporary of an expression", function(ch)
  local function slow()
    rl.sleep(1000)
    return 1
  end
  return {ch, slow()}
end)
live("below pcall", function(ch)
  pcall(function()
    rl.sleep(1000)
    return ch
  end)
end)
live("below a metamethod", function(ch)
  local mt = {__index = function(self)
    rl.sleep(1000)
    return self
  end}
  return setmetatable({ch}, mt).x
end)
live("below an iterator", function(ch)
  for _ in function(held) rl.sleep(1000) return held end, ch do end
end)
live("in a coroutine of a sleeping task", function(ch)
  coroutine.wrap(function()
    local mine = {ch}
    rl.sleep(1000)
    return mine
  end)()
end)
live("locals of a sleeping task", function(ch)
  rl.locals().ch = ch
  ch = nil -- luacheck: ignore
  rl.sleep(1000)
end)
live("offered with a time limit", function(ch)
  rl.chan():send(ch, 1000)
end)

sound("an argument of a task that has not begun", function(t)
  local ch = rl.chan()
  t.sound(function() ch:recv() end)
  t.last(function(held) return held:close() end, ch)
end)

sound("a chain of waits that ends in a live task", function(t)
  local first = rl.chan()
  local left = first
  for _ = 1, 50 do
    local right, from = rl.chan(), left
    t.sound(function() from:recv(); right:send(1) end)
    left = right
  end
  return first
end)

sound("subscribers in a registry", function(t)
  local topics = {news = {}}
  for i = 1, 5 do
    local ch = rl.chan(2)
    topics.news[i] = ch
    t.sound(function() for _ in ch:iter() do end end)
  end
  return topics
end)

-- Who waits keeps them alive, so the publisher has them.
for _, mode in ipairs {"k", "v", "kv"} do
  sound("subscribers in a registry that is weak: " .. mode, function(t)
    local topic = setmetatable({}, {__mode = mode})
    for i = 1, 5 do
      local ch = rl.chan()
      topic[ch], topic[i] = true, ch
      t.sound(function() ch:recv() end)
    end
    return topic
  end)
end

sound("an ephemeron whose key is live", function(t)
  local ch, key = rl.chan(), {}
  t.sound(function() ch:recv() end)
  return {setmetatable({[key] = {ch}}, {__mode = "k"}), key}
end)

-- ---- sound: what else ends a wait ---------------------------------------------------------------

local function waits(name, body)
  sound(name, function(t) t.sound(body) end)
end

waits("sleeping", function() rl.sleep(1000) end)
waits("receiving with a time limit", function() rl.chan():recv(1000) end)
waits("a select with a time limit", function() rl.select({{rl.chan()}}, 1000) end)
waits("joining with a time limit", function()
  rl.go(function() rl.sleep(1000) end):join(500)
end)
waits("in a timeout", function() rl.timeout(1000, function() rl.chan():recv() end) end)
waits("in a timeout around a scope", function()
  rl.timeout(1000, function()
    rl.scope(function(s) s:go(function() rl.chan():recv() end) end)
  end)
end)
waits("in a scope with a time limit", function()
  rl.scope(function(s) s:go(function() rl.chan():recv() end) end, {timeout = 1000})
end)
waits("a timer", function() rl.after(1000):wait() end)
waits("a timer in a select", function() rl.select {{rl.after(1000)}, {rl.chan()}} end)
waits("a ticker", function() rl.ticker(1000):recv() end)
waits("shielded", function() rl.shield(function() rl.chan():recv() end) end)
waits("a cleanup", function() rl.finally(function() end, function() rl.chan():recv() end) end)
waits("a channel that shards share", function() shared.chan():recv() end)
waits("a select with a channel that shards share", function()
  rl.select {{rl.chan()}, {shared.chan()}}
end)
waits("a semaphore that shards share", function()
  local s = shared.semaphore(1)
  s:acquire()
  s:acquire()
end)
waits("a job", function() rl.spawn(function() require("ringlet").sleep(1000) end):join() end)
waits("a job in a select", function()
  rl.select {{rl.spawn(function() require("ringlet").sleep(1000) end)}}
end)
waits("a connection that says nothing", function()
  local listener = net.listen("127.0.0.1:0")
  local conn = net.connect(listener:addr())
  conn:read()
end)
waits("a listener that nobody calls", function() net.listen("127.0.0.1:0"):accept() end)
waits("a server", function()
  net.serve("127.0.0.1:0", function(conn) conn:read() end):join()
end)

sound("a server at its limit that nobody has", function(t)
  local addr = net.serve("127.0.0.1:0", function(conn) conn:read() end,
    {max_connections = 1}):addr()
  for _ = 1, 3 do
    t.sound(function() net.connect(addr):read() end)
  end
end)

sound("joining, by way of others, a sleeping task", function(t)
  local h = t.sound(function() rl.sleep(1000) end)
  for _ = 1, 5 do
    local before = h
    h = t.sound(function() before:join() end)
  end
end)

sound("a waitgroup of sleeping tasks", function(t)
  local wg = rl.waitgroup()
  wg:go(function() rl.sleep(1000) end)
  t.sound(function() wg:wait() end)
end)

sound("a scope of sleeping tasks", function(t)
  t.sound(function()
    rl.scope(function(s) s:go(function() rl.sleep(1000) end) end)
  end)
end)

sound("a mutex that a sleeping task has", function(t)
  local m = rl.mutex()
  t.sound(function() m:with(rl.sleep, 1000) end)
  t.sound(function() m:lock() end)
end)

sound("a cond that a sleeping task signals", function(t)
  local m = rl.mutex()
  local c = rl.cond(m)
  t.sound(function() m:lock(); c:wait() end)
  t.sound(function() rl.sleep(1000); c:signal() end)
end)

sound("tasks of a pool", function(t)
  local pool = rl.pool {size = 2}
  for _ = 1, 4 do
    local f = pool:submit(function() rl.sleep(1000) end)
    t.sound(function() f:join() end)
  end
  pool:submit(function() end)
end)

sound("a pool at rest that nobody has", function()
  local pool = rl.pool {size = 3}
  for _ = 1, 3 do
    pool:submit(function() rl.yield() end):join()
  end
end)

sound("blocked submitters of a pool", function(t)
  local pool = rl.pool {size = 1, queue = 1}
  for _ = 1, 4 do
    t.sound(function() pool:submit(function() rl.sleep(1000) end) end)
  end
end)

sound("resources that are in use", function(t)
  local pool = rl.resources {open = function() return {} end, max = 1}
  t.sound(function() pool:with(function() rl.sleep(1000) end) end)
  t.sound(function() pool:with(function() end) end)
end)

sound("a limiter", function(t)
  local limiter = rl.limiter {rate = 0.01, burst = 1}
  for _ = 1, 3 do
    t.sound(function() limiter:wait(1) end)
  end
end)

sound("a batcher", function(t)
  local batcher = rl.batcher {size = 10, delay = 1000, fn = function(list) return list end}
  t.sound(function() batcher:call(1) end)
end)

sound("singleflight of what sleeps", function(t)
  local flight = rl.singleflight()
  for _ = 1, 2 do
    t.sound(function() flight:call("key", rl.sleep, 1000) end)
  end
end)

sound("a call on a pool of helper threads that nobody has", function(t)
  local f = rl.offload_pool({max_threads = 1}):submit(function() return 1 end)
  t.sound(function() f:join() end)
end)

sound("methods of a group", function(t)
  local group = rl.group {name = "sleepers", shards = 1, methods = {sleep = function()
    require("ringlet").sleep(1000)
  end}}
  t.sound(function() group:call(1, "sleep") end)
  t.sound(function() group:call(1, "sleep") end)
end)

sound("a debounced function", function(t)
  local debounced = rl.debounce(function() end, 1000)
  debounced(1)
  t.sound(function() rl.sleep(1) end)
end)

sound("a closure that a timer calls", function(t)
  local ch = rl.chan()
  require("ringlet.time").call_after(1000, function() ch:close() end)
  t.sound(function() ch:recv() end)
end)

return M
