-- SPDX-License-Identifier: MIT
-- steps_task: making, joining, cancelling and asking tasks. Tasks whose handle a program may use
-- are in world.handles, which only grows: {tid, handle}.

local rl = require "ringlet"

local S = {}

-- Record the start of a task; `start(body)` returns its handle.
local function start(w, op, s, c, begin, is_root, fn)
  local tid = w:new_tid()
  c.new = tid
  return w:step(op, c, function()
    local h = fn(w:body(tid, s, begin))
    w.handles[#w.handles + 1] = {tid = tid, handle = h}
    if is_root then
      w.roots[#w.roots + 1] = w.handles[#w.handles]
    end
  end)
end


-- One of the tasks made so far, by a number that the program chose.
local function target(w, s)
  return w.handles[(s.which - 1) % math.max(1, #w.handles) + 1]
end

local function gen_body(ctx)
  return {body = ctx:body(1, 5), swallows = ctx.r:chance(0.3) and ctx.r:int(1, 3) or 0}
end

for _, op in ipairs {"go", "daemon"} do
  S[op] = {weight = op == "go" and 4 or 1, gen = gen_body,
    run = function(w, s)
      start(w, op, s, {}, {}, true, rl[op])
    end}
end

S.join = {weight = 6,
  gen = function(ctx) return {which = ctx.r:int(1, 20), t = ctx:timeout()} end,
  run = function(w, s)
    local it = target(w, s)
    if it and it.tid ~= w:tid() then
      w:step("join", {target = it.tid, t = s.t}, it.handle.join, it.handle, s.t)
    end
  end}

S.cancel = {weight = 3, leaf = true,
  gen = function(ctx) return {which = ctx.r:int(1, 20), again = ctx.r:chance(0.3)} end,
  run = function(w, s)
    local it = target(w, s)
    for _ = 1, it and (s.again and 2 or 1) or 0 do
      local reason = "reason " .. w:fresh()
      w:step("cancel", {target = it.tid, reason = reason}, it.handle.cancel, it.handle, reason)
    end
  end}

-- A task that is cancelled before it ran.
S.stillborn = {weight = 1,
  gen = gen_body,
  run = function(w, s)
    S.go.run(w, s)
    local it = w.handles[#w.handles]
    local reason = "reason " .. w:fresh()
    w:step("cancel", {target = it.tid, reason = reason}, it.handle.cancel, it.handle, reason)
  end}

S.status = {weight = 2, leaf = true,
  gen = function(ctx) return {which = ctx.r:int(1, 20)} end,
  run = function(w, s)
    local it = target(w, s)
    if it then
      w:step("status", {target = it.tid}, function()
        return (it.handle:status())
      end)
    end
  end}

S.about = {weight = 1, leaf = true,
  gen = function() return {} end,
  run = function(w)
    local tid = w:tid()
    w:step("about", {}, function()
      local h = rl.self()
      h:name("task " .. tid)
      h:label("k", tid)
      local l = rl.locals()
      l.n = (l.n or 0) + 1
      w:me().locals = (w:me().locals or 0) + 1
      return h:name(), h:label "k", l.n == w:me().locals, rl.self() == h,
        #h:traceback() > 0 and rl.stopping() == false
    end)
  end}

S.fail = {weight = 1, leaf = true,
  gen = function() return {} end,
  run = function(w)
    local err = w:failure()
    w:mark("fail", {err = w.history:name_error(err)})
    error(err, 0)
  end}

S.check = {weight = 1, leaf = true,
  gen = function(ctx) return {ok = ctx.r:chance(0.5)} end,
  run = function(w, s)
    w:step("check", {ok = s.ok}, function()
      if s.ok then
        return rl.check(1, "never", "ENEVER", 4)
      end
      local ok, err = pcall(rl.check, nil, "a message", "ECODE")
      return ok, tostring(err), rl.code(err)
    end)
  end}

return S
