-- SPDX-License-Identifier: MIT
-- steps_chan: channels.

local rl = require "ringlet"

local S = {}

S.chan = {setup = true,
  run = function(w, s)
    w:call("chan", {o = s.o, cap = s.cap, overflow = s.overflow}, function()
      w.objects[s.o] = rl.chan(s.cap, s.overflow and {overflow = s.overflow})
    end)
  end}

S["chan.send"] = {weight = 10, leaf = true,
  gen = function(ctx) return {o = ctx:object "chan", t = ctx:timeout(), n = ctx.r:int(1, 2)} end,
  run = function(w, s)
    local ch = w.objects[s.o]
    for _ = 1, s.n do
      local v = w:fresh()
      w:step("chan.send", {o = s.o, v = v, t = s.t}, ch.send, ch, v, s.t)
    end
  end}

S["chan.recv"] = {weight = 10, leaf = true,
  gen = function(ctx) return {o = ctx:object "chan", t = ctx:timeout(), n = ctx.r:int(1, 2)} end,
  run = function(w, s)
    local ch = w.objects[s.o]
    for _ = 1, s.n do
      w:step("chan.recv", {o = s.o, t = s.t}, ch.recv, ch, s.t)
    end
  end}

S["chan.try_send"] = {weight = 5, leaf = true,
  gen = function(ctx) return {o = ctx:object "chan"} end,
  run = function(w, s)
    local v = w:fresh()
    w:step("chan.try_send", {o = s.o, v = v}, w.objects[s.o].try_send, w.objects[s.o], v)
  end}

S["chan.try_recv"] = {weight = 5, leaf = true,
  gen = function(ctx) return {o = ctx:object "chan"} end,
  run = function(w, s)
    w:step("chan.try_recv", {o = s.o}, w.objects[s.o].try_recv, w.objects[s.o])
  end}

S["chan.close"] = {weight = 1, leaf = true,
  gen = function(ctx)
    local with = ctx.r:chance(0.4)
    return {o = ctx:object "chan", msg = with and "told why", code = with and "EWHY"}
  end,
  run = function(w, s)
    local ch = w.objects[s.o]
    w:step("chan.close", {o = s.o, msg = s.msg or nil, code = s.code or nil}, ch.close, ch,
      s.msg or nil, s.code or nil)
  end}

-- One step of an iterator.
S["chan.iter"] = {weight = 2,
  gen = function(ctx) return {o = ctx:object "chan", n = ctx.r:int(1, 3)} end,
  run = function(w, s)
    local fn
    w:call("chan.iter", {o = s.o}, function()
      fn = w.objects[s.o]:iter()
    end)
    for _ = 1, s.n do
      w:step("chan.next", {o = s.o}, fn)
    end
  end}

S["chan.next"] = {setup = true}

S["chan.ask"] = {weight = 4, leaf = true,
  gen = function(ctx) return {o = ctx:object "chan"} end,
  run = function(w, s)
    local ch = w.objects[s.o]
    w:step("chan.ask", {o = s.o}, function()
      return #ch, ch:capacity(), ch:dropped(), tostring(ch)
    end)
  end}

S["chan.misuse"] = {weight = 1, leaf = true,
  gen = function(ctx) return {o = ctx:object "chan"} end,
  run = function(w, s)
    w:step("chan.misuse", {o = s.o}, w.objects[s.o].try_send, w.objects[s.o], nil)
  end}

return S
