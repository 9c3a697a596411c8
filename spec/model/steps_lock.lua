-- SPDX-License-Identifier: MIT
-- steps_lock: mutex, rwmutex, semaphore, cond. What a task has locked it gives back when it ends.

local rl = require "ringlet"

local S = {}

local function maker(op, fn)
  return {setup = true, run = function(w, s)
    w:call(op, {o = s.o, size = s.size}, function()
      w.objects[s.o] = fn(s)
    end)
  end}
end

-- Remember how to give back what a call took.
local function hold(w, op, c, fn, ...)
  local held, x, args = w:me().held, w.objects[c.o], {...}
  held[#held + 1] = function()
    w:call(op, c, fn, x, args[1])
  end
end

local function taken(r)
  return r.kind == "ok" and r[1] == true
end

-- Steps that take with `take` and give back with `give`; both are methods of a `kind`.
local function pair(kind, take, give, weight, parks)
  local op, back = kind .. "." .. take, kind .. "." .. give
  S[op] = {weight = weight, leaf = true,
    gen = function(ctx) return {o = ctx:object(kind), t = parks and ctx:timeout() or nil} end,
    run = function(w, s)
      local x = w.objects[s.o]
      local r = w:call(op, {o = s.o, t = s.t}, x[take], x, s.t)
      if taken(r) then
        hold(w, back, {o = s.o}, x[give])
      end
      w:go_on(r)
    end}
end

S.mutex = maker("mutex", rl.mutex)
pair("mutex", "lock", "unlock", 6, true)
pair("mutex", "try_lock", "unlock", 2)

S.rwmutex = maker("rwmutex", rl.rwmutex)
pair("rwmutex", "lock", "unlock", 3, true)
pair("rwmutex", "rlock", "runlock", 5, true)
pair("rwmutex", "try_lock", "unlock", 1)
pair("rwmutex", "try_rlock", "runlock", 2)

-- Give back one thing, not necessarily the last.
S["let go"] = {weight = 14, leaf = true,
  gen = function(ctx) return {which = ctx.r:int(1, 4)} end,
  run = function(w, s)
    local held = w:me().held
    if held[1] then
      table.remove(held, (s.which - 1) % #held + 1)(w)
    end
  end}

-- Unlock what another may hold, or nobody.
local function misuse(kind, give, weight)
  local op = kind .. "." .. give
  S[op] = {weight = weight, leaf = true,
    gen = function(ctx) return {o = ctx:object(kind)} end,
    run = function(w, s)
      w:step(op, {o = s.o}, w.objects[s.o][give], w.objects[s.o])
    end}
end
misuse("mutex", "unlock", 0.5)
misuse("rwmutex", "unlock", 0.3)
misuse("rwmutex", "runlock", 0.3)

S["rwmutex.downgrade"] = {weight = 2, leaf = true,
  gen = function(ctx) return {o = ctx:object "rwmutex"} end,
  run = function(w, s)
    local x = w.objects[s.o]
    local r = w:step("rwmutex.downgrade", {o = s.o}, x.downgrade, x)
    if r.kind == "ok" then
      hold(w, "rwmutex.runlock", {o = s.o}, x.runlock)
    end
  end}

local function with(kind, name, give)
  local op = kind .. "." .. name
  S[op] = {weight = 2,
    gen = function(ctx) return {o = ctx:object(kind), body = ctx:body(1, 2)} end,
    run = function(w, s)
      local x = w.objects[s.o]
      local c = w:mark(op, {o = s.o})
      local out = {o = s.o, give = give}
      local part = w:part(s.body, kind .. ".with.out", out)
      local r = w.history:outcome(pcall(x[name], x, function()
        w.history:returned(c, {kind = "ok", n = 1, true})
        return part()
      end))
      if c.ret then
        w:mark("with.end", {same = out.ok and r[1] == out.value or not out.ok and r.err == out.err})
      else
        w.history:returned(c, r)
      end
      w:go_on(r)
    end}
end
with("mutex", "with", "mutex.unlock")
with("rwmutex", "with", "rwmutex.unlock")
with("rwmutex", "rwith", "rwmutex.runlock")

S.semaphore = maker("semaphore", function(s) return rl.semaphore(s.size) end)

for _, take in ipairs {"acquire", "try_acquire"} do
  local op = "semaphore." .. take
  S[op] = {weight = take == "acquire" and 6 or 2, leaf = true,
    gen = function(ctx)
      return {o = ctx:object "semaphore", k = ctx.r:int(1, 3),
        t = take == "acquire" and ctx:timeout() or nil}
    end,
    run = function(w, s)
      local x = w.objects[s.o]
      local r = w:call(op, {o = s.o, k = s.k, t = s.t}, x[take], x, s.k, s.t)
      if taken(r) then
        hold(w, "semaphore.release", {o = s.o, k = s.k}, x.release, s.k)
      end
      w:go_on(r)
    end}
end

S["semaphore.release"] = {weight = 0.5, leaf = true,
  gen = function(ctx) return {o = ctx:object "semaphore", k = ctx.r:int(0, 2)} end,
  run = function(w, s)
    w:step("semaphore.release", {o = s.o, k = s.k}, w.objects[s.o].release, w.objects[s.o], s.k)
  end}

S["semaphore.available"] = {weight = 2, leaf = true,
  gen = function(ctx) return {o = ctx:object "semaphore"} end,
  run = function(w, s)
    local x = w.objects[s.o]
    w:step("semaphore.available", {o = s.o}, function()
      return x:available(), tostring(x)
    end)
  end}

-- A cond with a mutex of its own, named with a "m" behind; only these steps lock that.
S.cond = {setup = true,
  run = function(w, s)
    w:call("cond", {o = s.o}, function()
      w.objects[s.o .. "m"] = rl.mutex()
      w.objects[s.o] = rl.cond(w.objects[s.o .. "m"])
    end)
  end}

S["cond.wait"] = {weight = 5,
  gen = function(ctx)
    return {o = ctx:object "cond", t = ctx:timeout(), pause = ctx.r:chance(0.3)}
  end,
  run = function(w, s)
    local cond, mutex, o = w.objects[s.o], w.objects[s.o .. "m"], s.o .. "m"
    local r = w:step("loose.lock", {o = o}, mutex.lock, mutex)
    if not taken(r) then
      return
    end
    local waited = w:call("cond.wait", {o = s.o, m = o, t = s.t}, cond.wait, cond, s.t)
    if waited.kind ~= "raise" then
      if s.pause then
        w:call("sleep", {t = 0.001}, rl.sleep, 0.001)
      end
      w:call("loose.unlock", {o = o}, mutex.unlock, mutex)
    end
    w:go_on(waited)
  end}

for _, name in ipairs {"signal", "broadcast"} do
  local op = "cond." .. name
  S[op] = {weight = name == "signal" and 4 or 2, leaf = true,
    gen = function(ctx) return {o = ctx:object "cond"} end,
    run = function(w, s)
      w:step(op, {o = s.o}, w.objects[s.o][name], w.objects[s.o])
    end}
end

return S
