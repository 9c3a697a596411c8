-- SPDX-License-Identifier: MIT
-- steps_scope: scopes with children, timeout, shield, finally, pcall, map, race.

local rl = require "ringlet"

local S = {}

local function scope_id(w)
  w.last_scope = (w.last_scope or 0) + 1
  return w.last_scope
end

-- Call fn(...) as `op`, whose call was recorded in c already.
local function finish(w, c, fn, ...)
  local r = w.history:outcome(pcall(fn, ...))
  w.history:returned(c, r)
  return w:go_on(r)
end

S.timeout = {weight = 3,
  gen = function(ctx)
    return {t = ctx:timeout() or 500, body = ctx:body(1, 4)}
  end,
  run = function(w, s)
    local c = w:mark("timeout", {t = s.t})
    finish(w, c, rl.timeout, s.t, w:part(s.body, "timeout.out"))
  end}

-- What is shielded must end by itself: a leaf body, each wait of which has a timeout.
S.shield = {weight = 2,
  gen = function(ctx) return {body = ctx:leaf_body(1, 3)} end,
  run = function(w, s)
    local c = w:mark("shield")
    finish(w, c, rl.shield, w:part(s.body, "shield.out"))
  end}

S.finally = {weight = 2,
  gen = function(ctx) return {body = ctx:body(1, 3), cleanup = ctx:leaf_body(1, 2)} end,
  run = function(w, s)
    local c = w:mark("finally")
    finish(w, c, rl.finally, w:part(s.body, "finally.out"), function()
      w:mark("cleanup.in")
      w:part(s.cleanup, "cleanup.out")()
    end)
  end}

S.pcall = {weight = 2,
  gen = function(ctx) return {body = ctx:body(1, 3)} end,
  run = function(w, s)
    local c = w:mark("pcall")
    local body = w:part(s.body, "pcall.out")
    local r = w.history:outcome(pcall(rl.pcall, body))
    if r.kind == "ok" and not r[1] then
      r[2] = w.history:name_error(r[2])
    end
    w.history:returned(c, r)
    w:go_on(r)
  end}

local function gen_children(ctx)
  local list = {}
  for i = 1, ctx.r:int(1, 4) do
    list[i] = {body = ctx:body(1, 3), swallows = ctx.r:chance(0.2) and 1 or 0}
  end
  return list
end

S.scope = {weight = 4,
  gen = function(ctx)
    return {
      children = gen_children(ctx), body = ctx:body(0, 2),
      limit = ctx.r:chance(0.4) and ctx.r:int(1, 2) or nil,
      timeout = ctx.r:chance(0.3) and ctx.r:pick {0, 0.005, 0.02, 0.05, 500} or nil,
      cancel = ctx.r:pick {0, 0, 0, 0, 1, 2}, child_cancels = ctx.r:chance(0.1),
    }
  end,
  run = function(w, s)
    local sid = scope_id(w)
    local c = w:mark("scope", {scope = sid, limit = s.limit, t = s.timeout})
    local inner
    local function stop()
      w:step("scope.cancel", {scope = sid, reason = "scope " .. sid}, inner.cancel, inner,
        "scope " .. sid)
    end
    local body = w:part(s.body, "scope.body", {scope = sid})
    local function spawn(child)
      local tid = w:new_tid()
      w:step("scope.go", {scope = sid, new = tid}, function()
        local h = inner:go(w:body(tid, child, {scope = sid}))
        w.handles[#w.handles + 1] = {tid = tid, handle = h}
      end)
    end
    local function fn(it)
      inner = it
      local ok, err = pcall(function()
        for _, child in ipairs(s.children) do
          spawn(child)
        end
        if s.child_cancels then
          w.cancel_scope = stop
        end
        body()
        for _ = 1, s.cancel do
          stop()
        end
      end)
      local r = w.history:outcome(ok, err)
      w:mark("scope.out", {scope = sid, ok = ok, err = not ok and r.err or nil,
        cancel = r.kind == "cancel", reason = r.reason})
      if not ok then
        error(err, 0)
      end
      return sid
    end
    finish(w, c, rl.scope, fn, {limit = s.limit, timeout = s.timeout})
  end}

-- Cancel the scope that was opened last by whichever task, if it is still open.
S["scope.stop"] = {weight = 1,
  gen = function() return {} end,
  run = function(w)
    if w.cancel_scope then
      local stop = w.cancel_scope
      w.cancel_scope = nil
      stop()
    end
  end}

-- A task of map or race: known by the scope it is in.
local function child_body(w, s, sid, i)
  local tid = w:new_tid()
  return w:body(tid, s, {scope = sid, index = i, hidden = true})()
end

S.map = {weight = 2,
  gen = function(ctx)
    local items = {}
    for i = 1, ctx.r:int(0, 4) do
      items[i] = {body = ctx:leaf_body(0, 3), swallows = 0,
        code = ctx.r:chance(0.1) and "ETOLD" or nil}
    end
    return {items = items, limit = ctx.r:chance(0.5) and ctx.r:int(1, 2) or nil,
      timeout = ctx.r:chance(0.3) and ctx.r:pick {0.005, 0.02} or nil}
  end,
  run = function(w, s)
    local sid = scope_id(w)
    local done = 0
    local c = w:mark("map", {scope = sid, limit = s.limit, t = s.timeout, items = #s.items})
    finish(w, c, function()
      local list, msg, code, index = rl.map(s.items, function(item, i)
        return child_body(w, item, sid, i)
      end, {limit = s.limit, timeout = s.timeout, progress = function(n, total)
        done = done + 1
        assert(n == done and total == #s.items, "progress")
      end})
      if list then
        return list
      end
      return nil, msg, code, index
    end)
  end}

S.race = {weight = 1,
  gen = function(ctx)
    local runners = {}
    for i = 1, ctx.r:int(1, 3) do
      runners[i] = {body = ctx:leaf_body(0, 3), swallows = 0}
    end
    return {runners = runners}
  end,
  run = function(w, s)
    local sid = scope_id(w)
    local c = w:mark("race", {scope = sid, items = #s.runners})
    local fns = {}
    for i, runner in ipairs(s.runners) do
      fns[i] = function()
        return child_body(w, runner, sid, i)
      end
    end
    finish(w, c, rl.race, fns)
  end}

return S
