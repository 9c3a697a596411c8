-- SPDX-License-Identifier: MIT
local rl = require "ringlet"
local H = require "spec.helper"

local unpack = table.unpack or unpack -- luacheck: ignore

-- Where the order of turns is what is looked at: a task whose thread waits for a CPU is interrupted
-- wherever it is.
local IN_TURN = {preempt = false}

H.both("a coroutine in a task", function(it)
  it("is a generator that waits", function()
    local gen = coroutine.wrap(function()
      for i = 1, 3 do
        rl.sleep(0.001)
        coroutine.yield(i, i * i)
      end
    end)
    local log = {}
    for i, sq in gen do
      log[#log + 1] = i .. ":" .. sq
    end
    assert.same({"1:1", "2:4", "3:9"}, log)
  end)

  it("receives and sends on channels", function()
    local a, b = rl.chan(), rl.chan()
    rl.go(function()
      for i = 1, 5 do
        a:send(i)
      end
      a:close()
    end)
    rl.go(function()
      local co = coroutine.create(function()
        for v in a:iter() do
          b:send(v * 2)
          coroutine.yield(v)
        end
        b:close()
      end)
      while coroutine.status(co) ~= "dead" do
        assert(coroutine.resume(co))
      end
    end)
    local got = {}
    for v in b:iter() do
      got[#got + 1] = v
    end
    assert.same({2, 4, 6, 8, 10}, got)
  end)

  it("gives its own yields and results to resume, nils included", function()
    local co = coroutine.create(function(...)
      rl.yield()
      local got = H.pack(coroutine.yield(1, nil, ...))
      rl.yield()
      return got.n, nil
    end)
    assert.same({n = 5, true, 1, nil, "a", nil}, H.pack(coroutine.resume(co, "a", nil)))
    assert.same({n = 3, true, 3, nil}, H.pack(coroutine.resume(co, nil, "b", nil)))
    assert.equal("dead", coroutine.status(co))
  end)

  it("lets other tasks run while it waits", function()
    local log = {}
    rl.go(function() log[#log + 1] = "other" end)
    coroutine.wrap(function()
      rl.yield()
      log[#log + 1] = "inner"
    end)()
    log[#log + 1] = "outer"
    assert.same({"other", "inner", "outer"}, log)
  end, IN_TURN)

  it("works 20 levels deep", function()
    local function nest(n)
      if n == 0 then
        rl.sleep(0.001)
        return "bottom"
      end
      local co = coroutine.create(nest)
      local ok, v = coroutine.resume(co, n - 1)
      assert(ok, v)
      return v
    end
    assert.equal("bottom", nest(20))
  end)

  it("yields through levels to the right one", function()
    local inner = coroutine.wrap(function()
      rl.yield()
      coroutine.yield("inner 1")
      rl.yield()
      coroutine.yield("inner 2")
    end)
    local outer = coroutine.wrap(function()
      coroutine.yield("outer " .. inner())
      rl.yield()
      coroutine.yield("outer " .. inner())
    end)
    assert.equal("outer inner 1", outer())
    assert.equal("outer inner 2", outer())
  end)

  it("gives an error after a wait to resume, and stays dead", function()
    local e = {}
    local co = coroutine.create(function() rl.yield() error(e) end)
    local ok, err = coroutine.resume(co)
    assert.is_false(ok)
    assert.is_true(rawequal(e, err))
    assert.equal("dead", coroutine.status(co))
    assert.is_false((coroutine.resume(co)))
  end)

  it("gives an error after a wait through wrap", function()
    local e = {}
    assert.is_true(rawequal(e, H.raises(coroutine.wrap(function() rl.yield() error(e) end))))
    assert.is_truthy(tostring(H.raises(coroutine.wrap(function() rl.yield() error("text") end)))
      :find("text", 1, true))
  end)

  it("is normal, not suspended, for another task while it waits", function()
    local ev = rl.event()
    local co = coroutine.create(function() ev:wait() return "r" end)
    local task = rl.go(function() return coroutine.resume(co) end)
    rl.yield()
    assert.equal("normal", coroutine.status(co))
    local ok, err = coroutine.resume(co)
    assert.is_false(ok)
    assert.equal("string", type(err))
    ev:set()
    assert.same({true, true, "r"}, {task:join()})
    assert.equal("dead", coroutine.status(co))
  end, IN_TURN)

  it("is suspended after a yield of its own and can be resumed by another task", function()
    local co = coroutine.create(function()
      rl.yield()
      coroutine.yield(1)
      rl.yield()
      return 2
    end)
    assert.same({true, 1}, {coroutine.resume(co)})
    assert.equal("suspended", coroutine.status(co))
    assert.same({true, true, 2}, {rl.go(coroutine.resume, co):join()})
  end)

  it("sees its own task as self", function()
    local id = rl.self().id
    assert.equal(id, coroutine.wrap(function() rl.yield() return rl.self().id end)())
  end)

  it("gets the cancel of its task", function()
    local seen, passed
    local task = rl.go(function()
      local co = coroutine.create(function() rl.sleep(1000) passed = true end)
      local ok, err = coroutine.resume(co)
      seen = {ok, rl.is_cancel(err)}
      error(err, 0)
    end)
    rl.yield()
    task:cancel("r")
    local _, err = task:join()
    assert.same({true, "r"}, {rl.is_cancel(err)})
    assert.same({false, true, "r"}, seen)
    assert.is_nil(passed)
  end)

  it("waits with a timeout", function()
    local got = H.pack(coroutine.wrap(function() return rl.chan():recv(0.001) end)())
    assert.equal("ETIMEDOUT", got[3])
  end)

  it("runs scopes and timeouts", function()
    local v = coroutine.wrap(function()
      local _, x = rl.scope(function(s)
        local task = s:go(function() rl.yield() return 5 end)
        return select(2, task:join())
      end)
      local _, _, code = rl.timeout(0.001, rl.sleep, 1000)
      return x .. code
    end)()
    assert.equal("5ETIMEDOUT", v)
  end)

  it("left suspended is dropped without harm", function()
    for _ = 1, 100 do
      local co = coroutine.wrap(function()
        rl.yield()
        coroutine.yield()
      end)
      co()
    end
    H.collect()
    rl.yield()
    assert.equal("running", rl.self():status())
  end)

  it("in another task's coroutine keeps each wait apart", function()
    local log, wg = {}, rl.waitgroup()
    for i = 1, 10 do
      wg:go(function()
        local gen = coroutine.wrap(function()
          for k = 1, 3 do
            rl.yield()
            coroutine.yield(i * 10 + k)
          end
        end)
        for _ = 1, 3 do
          local v = gen()
          log[#log + 1] = v
        end
      end)
    end
    wg:wait()
    assert.equal(30, #log)
    for k = 1, 3 do
      for i = 1, 10 do
        assert.equal(i * 10 + k, log[(k - 1) * 10 + i])
      end
    end
  end, IN_TURN)

  it("can be a plain one, without any wait", function()
    local co = coroutine.wrap(function(a) local b = coroutine.yield(a + 1) return b * 2 end)
    assert.equal(2, co(1))
    assert.equal(10, co(5))
  end)

  it("knows whether it can yield and which one is running", function()
    local co
    co = coroutine.create(function()
      rl.yield()
      assert.equal(co, (coroutine.running()))
      local isyieldable = rawget(coroutine, "isyieldable")
      assert.is_true(not isyieldable or isyieldable())
      return "checked"
    end)
    assert.same({true, "checked"}, {coroutine.resume(co)})
  end)

  if not H.jit then
    it("is closed with its pending closes", function()
      local closed
      local co = coroutine.create(load([[
        local rl, note = ...
        local x <close> = setmetatable({}, {__close = function() note() end})
        rl.yield()
        coroutine.yield(1)
      ]]))
      assert.is_true(coroutine.resume(co, rl, function() closed = true end))
      assert.is_true(coroutine.close(co))
      assert.is_true(closed)
      assert.equal("dead", coroutine.status(co))
    end)

    it("cannot be closed while it waits", function()
      local ev = rl.event()
      local co = coroutine.create(function() ev:wait() return "r" end)
      local task = rl.go(function() return coroutine.resume(co) end)
      rl.yield()
      assert.is_false((pcall(coroutine.close, co)))
      ev:set()
      assert.same({true, true, "r"}, {task:join()})
    end, IN_TURN)
  end
end)

describe("the coroutine library", function()
  it("is the host's again after run", function()
    local before = {coroutine.resume, coroutine.wrap, coroutine.status, coroutine.close}
    H.run(function() rl.yield() end)
    assert.same(before, {coroutine.resume, coroutine.wrap, coroutine.status, coroutine.close})
    H.raises(H.run, function() error("x") end)
    assert.same(before, {coroutine.resume, coroutine.wrap, coroutine.status, coroutine.close})
  end)

  it("kept from before run passes user yields on as ever", function()
    local resume = coroutine.resume
    H.run(function()
      local co = coroutine.create(function() coroutine.yield(1) return 2 end)
      assert.same({true, 1}, {resume(co)})
      assert.same({true, 2}, {resume(co)})
    end)
  end)

  it("of a coroutine made before run works in it", function()
    local co = coroutine.create(function() rl.sleep(1) return "r" end)
    local wrapped = coroutine.wrap(function() coroutine.yield(1) return 2 end)
    assert.equal(1, wrapped())
    H.run(function()
      assert.same({true, "r"}, {coroutine.resume(co)})
      assert.equal(2, wrapped())
    end)
  end)
end)

H.both("a wait", function(it)
  it("works in pcall and xpcall", function()
    assert.same({true, "r"}, {pcall(function() rl.yield() return "r" end)})
    assert.same({true, "r"}, {xpcall(function() rl.yield() return "r" end, print)})
    local ok, err = xpcall(function() rl.yield() error("x", 0) end, function(e) return e .. "!" end)
    assert.same({false, "x!"}, {ok, err})
    local deep = {pcall(pcall, pcall, function() rl.yield() error("deep", 0) end)}
    assert.same({true, true, false, "deep"}, deep)
  end)

  it("works in metamethods", function()
    local mt = {
      __index = function(_, k) rl.yield() return k end,
      __newindex = function(t, k, v) rl.yield() rawset(t, k, v) end,
      __call = function(_, a) rl.yield() return a end,
      __add = function() rl.yield() return "add" end,
      __concat = function() rl.yield() return "concat" end,
      __unm = function() rl.yield() return "unm" end,
      __eq = function() rl.yield() return true end,
      __lt = function() rl.yield() return true end,
      __le = function() rl.yield() return true end,
    }
    local a, b = setmetatable({}, mt), setmetatable({}, mt)
    assert.equal("key", a.key)
    a.x = 5
    assert.equal(5, rawget(a, "x"))
    assert.equal("arg", a("arg"))
    assert.equal("add", a + b)
    assert.equal("concat", a .. b)
    assert.equal("unm", -a)
    assert.is_true(a == b)
    assert.is_true(a < b)
    assert.is_true(a <= b)
  end)

  it("works in iterators", function()
    local log = {}
    for i in function(_, i)
      rl.yield()
      if i < 3 then
        return i + 1
      end
    end, nil, 0 do
      log[#log + 1] = i
    end
    assert.same({1, 2, 3}, log)
  end)

  it("works in a tail call and in varargs", function()
    local function f(...) return rl.sleep(0), ... end
    assert.equal(3, (select("#", f(1, 2))))
    local ch = rl.chan(1)
    ch:send("v")
    local function g() return ch:recv() end
    assert.equal("v", g())
    assert.same({1, 2}, {unpack({1, 2})})
  end)

  local function no_yield_places()
    local places = {
      ["table.sort"] = function(f)
        table.sort({3, 1, 2}, function(a, b) f() return a < b end)
      end,
      ["string.gsub"] = function(f)
        return ("x"):gsub("x", function() f() return "y" end)
      end,
      ["load"] = function(f)
        local ok, err = load(function() f() end)
        if not ok then
          error(err, 0)
        end
      end,
      ["require"] = function(f)
        package.loaded["spec.none"] = nil
        package.preload["spec.none"] = function() f() return true end
        local ok, err = pcall(require, "spec.none")
        package.preload["spec.none"] = nil
        package.loaded["spec.none"] = nil
        if not ok then
          error(err, 0)
        end
      end,
    }
    if not H.jit then
      places["tostring"] = function(f)
        return tostring(setmetatable({}, {__tostring = function() f() return "x" end}))
      end
    end
    return places
  end

  local parks = {
    recv = function(ch) return ch:recv() end,
    send = function(ch) return ch:send(1) end,
    select = function(ch) return rl.select{{ch}, {send = ch, 1}} end,
    sleep = function() return rl.sleep(1) end,
    yield = function() return rl.yield() end,
    event = function(_, ev) return ev:wait() end,
    scope = function() return rl.scope(function(s) s:go(rl.sleep, 1) end) end,
  }
  for place, call in pairs(no_yield_places()) do
    for name, park in pairs(parks) do
      it(("%s in a callback of %s raises and links nothing"):format(name, place), function()
        local ch, ev = rl.chan(), rl.event()
        local before = rl.stats()
        local ok, err = pcall(call, function() park(ch, ev) end)
        assert.is_false(ok)
        assert.is_truthy(tostring(err):find("yield", 1, true) or tostring(err):find("park", 1, true)
          or tostring(err):find("wait", 1, true), tostring(err))
        assert.equal("EAGAIN", select(3, ch:try_send(1)))
        assert.equal("EAGAIN", select(3, ch:try_recv()))
        local after = rl.stats()
        assert.equal(before.ops, after.ops)
        assert.equal(before.timers, after.timers)
        rl.sleep(0)
      end, {leak = name ~= "scope", preempt = false})
    end
  end

  it("that need not park works in a callback", function()
    local ch = rl.chan(1)
    ch:send("v")
    local got
    table.sort({2, 1}, function(a, b)
      got = got or ch:recv()
      return a < b
    end)
    assert.equal("v", got)
  end)

  it("in a finalizer raises and harms nothing", function()
    local done
    local function finalizer()
      done = {pcall(rl.sleep, 1)}
    end
    if H.jit then
      local p = newproxy(true) -- luacheck: ignore
      getmetatable(p).__gc = finalizer
    else
      setmetatable({}, {__gc = finalizer})
    end
    H.collect()
    assert.is_not_nil(done)
    assert.is_false(done[1])
    rl.sleep(0)
  end)
end)
