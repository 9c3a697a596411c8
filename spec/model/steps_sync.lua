-- SPDX-License-Identifier: MIT
-- steps_sync: events, waitgroups, once, barriers, singleflight.

local rl = require "ringlet"

local S = {}

-- A step that makes object s.o with fn(s).
local function maker(op, fn)
  return {setup = true, run = function(w, s)
    w:call(op, {o = s.o, size = s.size}, function()
      w.objects[s.o] = fn(s)
    end)
  end}
end

-- A step that calls a method without arguments, with a timeout if it may park.
local function method(kind, name, weight, parks)
  local op = kind .. "." .. name
  S[op] = {weight = weight, leaf = true,
    gen = function(ctx) return {o = ctx:object(kind), t = parks and ctx:timeout() or nil} end,
    run = function(w, s)
      w:step(op, {o = s.o, t = s.t}, w.objects[s.o][name], w.objects[s.o], s.t)
    end}
end

S.event = maker("event", rl.event)
method("event", "set", 2)
method("event", "clear", 2)
method("event", "is_set", 1)
method("event", "wait", 3, true)

S.waitgroup = maker("waitgroup", rl.waitgroup)
method("waitgroup", "wait", 3, true)
method("waitgroup", "done", 2)

S["waitgroup.add"] = {weight = 2, leaf = true,
  gen = function(ctx) return {o = ctx:object "waitgroup", n = ctx.r:int(-1, 2)} end,
  run = function(w, s)
    w:step("waitgroup.add", {o = s.o, n = s.n}, w.objects[s.o].add, w.objects[s.o], s.n)
  end}

-- On a waitgroup of its own: one that others take from would become negative.
S["waitgroup.go"] = {weight = 2,
  gen = function(ctx)
    return {body = ctx:body(1, 3), swallows = 0, o = ctx:object "gowaitgroup"}
  end,
  run = function(w, s)
    local tid = w:new_tid()
    w:step("waitgroup.go", {o = s.o, new = tid}, function()
      local h = w.objects[s.o]:go(w:body(tid, s))
      w.handles[#w.handles + 1] = {tid = tid, handle = h}
      w.roots[#w.roots + 1] = w.handles[#w.handles]
    end)
  end}

S["gowaitgroup.wait"] = {weight = 2, leaf = true,
  gen = function(ctx) return {o = ctx:object "gowaitgroup", t = ctx:timeout()} end,
  run = function(w, s)
    w:step("waitgroup.wait", {o = s.o, t = s.t}, w.objects[s.o].wait, w.objects[s.o], s.t)
  end}

S["gowaitgroup.done"] = {weight = 0.3, leaf = true,
  gen = function(ctx) return {o = ctx:object "gowaitgroup"} end,
  run = function(w, s)
    w:step("waitgroup.done", {o = s.o}, w.objects[s.o].done, w.objects[s.o])
  end}

S.barrier = maker("barrier", function(s) return rl.barrier(s.size) end)
method("barrier", "wait", 6, true)

-- The function of a once is that of whoever makes it, at the beginning: s.body are its steps.
S.once = {setup = true,
  run = function(w, s)
    w:call("once", {o = s.o}, function()
      w.objects[s.o] = rl.once(function()
        w:mark("once.in", {o = s.o})
        return w:part(s.body, "once.out", {o = s.o})()
      end)
    end)
  end}

S["once.call"] = {weight = 3,
  gen = function(ctx) return {o = ctx:object "once"} end,
  run = function(w, s)
    w:step("once.call", {o = s.o}, w.objects[s.o])
  end}

S.singleflight = maker("singleflight", rl.singleflight)

S["singleflight.call"] = {weight = 3,
  gen = function(ctx)
    return {o = ctx:object "singleflight", key = ctx.r:pick {"a", "b"}, body = ctx:leaf_body(0, 2)}
  end,
  run = function(w, s)
    local tid = w:new_tid()
    local flight = w.objects[s.o]
    w:step("singleflight.call", {o = s.o, key = s.key, new = tid}, flight.call, flight, s.key,
      function()
        w.tids[rl.self().id] = tid
        w:mark("flight.in", {o = s.o, key = s.key})
        w.tasks[tid].swallows = 0
        return w:part(s.body, "flight.out", {o = s.o, key = s.key})()
      end)
  end}

S["singleflight.forget"] = {weight = 1, leaf = true,
  gen = function(ctx) return {o = ctx:object "singleflight", key = ctx.r:pick {"a", "b"}} end,
  run = function(w, s)
    w:step("singleflight.forget", {o = s.o, key = s.key}, w.objects[s.o].forget, w.objects[s.o],
      s.key)
  end}

return S
