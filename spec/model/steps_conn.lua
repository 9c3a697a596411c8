-- SPDX-License-Identifier: MIT
-- steps_conn: what a task does with its connection, world:me().conn.

local rl = require "ringlet"
local bytes = require "spec.model.bytes"

local S = {}
local M = {steps = S}

-- A connection that was reset before anybody looked has no name: "?1", "?2", ...
function M.new_link(w, conn, side, limits)
  local key = side == "c" and conn:sockname() or side == "s" and conn:peername()
  return {conn = conn, key = key or "?" .. w:fresh(), side = side, limits = limits, wrote = 0,
    got = 0, nameless = not key}
end

local function other(side)
  return side == "c" and "s" or "c"
end

-- Record a call on the task's connection. fn(link, conn) -> what it returns.
local function on_conn(w, op, c, fn)
  local link = w:me().conn
  if not link then
    return
  end
  c.key, c.side, c.limits = link.key, link.side, link.limits or nil
  return w:step(op, c, fn, link, link.conn)
end

-- Check what was read against the stream; `extra` is what was taken without being returned.
local function take(link, data, extra, ...)
  if not data then
    return nil, extra, ...
  end
  local whole = data .. (extra or "")
  local name = link.key .. other(link.side)
  local same = link.nameless or whole == bytes.of(name, link.got, #whole)
  link.got = link.got + #whole
  return #whole, same
end

local function read_step(op, gen, fn)
  S[op] = {setup = true,
    gen = function(ctx)
      local s = gen and gen(ctx) or {}
      s.t = ctx:timeout()
      return s
    end,
    run = function(w, s)
      on_conn(w, op, {t = s.t, n = s.n}, function(link, conn)
        return fn(link, conn, s)
      end)
    end}
end

local function plus(extra, data, ...)
  if data then
    return data, extra
  end
  return nil, ...
end

read_step("conn.read", nil, function(link, conn, s)
  return take(link, plus(nil, conn:read(s.t)))
end)

read_step("conn.read_buffer", nil, function(link, conn, s)
  local slice, msg, code = conn:read_buffer(s.t)
  if not slice then
    return nil, msg, code
  end
  local n, same = take(link, slice:tostring())
  if s.t then
    slice:release()
  end
  return n, same
end)

read_step("conn.read_exactly", function(ctx)
  return {n = ctx.r:pick {1, 10, 500, 3000}}
end, function(link, conn, s)
  return take(link, plus(nil, conn:read_exactly(s.n, s.t)))
end)

read_step("conn.read_until", nil, function(link, conn, s)
  return take(link, plus(";", conn:read_until(";", 200, s.t)))
end)

read_step("conn.read_line", nil, function(link, conn, s)
  return take(link, plus("\n", conn:read_line(100, s.t)))
end)

S["conn.lines"] = {setup = true,
  gen = function(ctx) return {n = ctx.r:int(1, 3)} end,
  run = function(w, s)
    for _ = 1, s.n do
      on_conn(w, "conn.lines", {}, function(link, conn)
        local next_line, x = conn:lines()
        local line = next_line(x)
        if not line then
          return nil, "EOF: end", "EOF"
        end
        -- The last line of a stream has no newline.
        local rest = bytes.of(link.key .. other(link.side), link.got + #line, 1)
        return take(link, line, rest == "\n" and "\n" or "")
      end)
    end
  end}

S["conn.write"] = {setup = true,
  gen = function(ctx)
    return {n = ctx.r:pick {1, 10, 100, 1000, 1000, 5000, 70000}, many = ctx.r:chance(0.3)}
  end,
  run = function(w, s)
    local me = w:me()
    if not me.conn then
      return
    end
    on_conn(w, "conn.write", {n = s.n, from = me.conn.wrote}, function(link, conn)
      local data = bytes.of(link.key .. link.side, link.wrote, s.n)
      local ok, msg, code
      if s.many then
        local half = math.floor(s.n / 2)
        ok, msg, code = conn:write(data:sub(1, half), {data:sub(half + 1)})
      else
        ok, msg, code = conn:write(data)
      end
      if ok then
        link.wrote = link.wrote + s.n
        return ok
      end
      return nil, msg, code
    end)
  end}

S["conn.flush"] = {setup = true,
  gen = function(ctx) return {t = ctx:timeout()} end,
  run = function(w, s)
    on_conn(w, "conn.flush", {t = s.t}, function(_, conn)
      return conn:flush(s.t)
    end)
  end}

for _, name in ipairs {"shutdown", "close", "abort"} do
  S["conn." .. name] = {setup = true,
    gen = function() return {} end,
    run = function(w)
      on_conn(w, "conn." .. name, {}, function(_, conn)
        return conn[name](conn)
      end)
    end}
end

S["conn.ask"] = {setup = true,
  gen = function() return {} end,
  run = function(w)
    on_conn(w, "conn.ask", {}, function(link, conn)
      local stats = conn:stats()
      if not stats then
        return "closed"
      end
      conn:setopt("nodelay", true)
      local peer = conn:peername()
      return not peer or peer ~= conn:sockname(), stats.bytes_out <= link.wrote,
        stats.bytes_out + stats.queued_out == link.wrote or stats.queued_out == 0
    end)
  end}

S["conn.set_timeout"] = {setup = true,
  gen = function(ctx) return {t = ctx.r:pick {0.01, 0.05}} end,
  run = function(w, s)
    local link = w:me().conn
    if link then
      link.limits = true
      on_conn(w, "conn.set_timeout", {t = s.t}, function(_, conn)
        return conn:set_timeout(s.t)
      end)
    end
  end}

-- A task more on the same connection.
S["conn.share"] = {setup = true,
  gen = function(ctx) return {body = M.gen_body(ctx, 2, false, true), swallows = 0} end,
  run = function(w, s)
    local link = w:me().conn
    if not link then
      return
    end
    local tid = w:new_tid()
    w.tasks[tid].conn = link
    w:step("go", {new = tid}, function()
      local h = rl.go(w:body(tid, s))
      w.handles[#w.handles + 1] = {tid = tid, handle = h}
      w.roots[#w.roots + 1] = w.handles[#w.handles]
    end)
  end}

-- Send everything back until the end, or for so many rounds.
local ROUNDS = 200

S["conn.echo"] = {setup = true,
  gen = function() return {} end,
  run = function(w)
    local link = w:me().conn
    for _ = 1, link and ROUNDS or 0 do
      local r = on_conn(w, "conn.read", {}, function(_, conn)
        return take(link, plus(nil, conn:read()))
      end)
      if r.kind ~= "ok" then
        return
      end
      r = on_conn(w, "conn.write", {n = r[1], from = link.wrote}, function(_, conn)
        local ok, msg, code = conn:write(bytes.of(link.key .. link.side, link.wrote, r[1]))
        if ok then
          link.wrote = link.wrote + r[1]
          return ok
        end
        return nil, msg, code
      end)
      if r.kind ~= "ok" then
        return
      end
    end
  end}

-- Finish one's own direction and read the other to its end.
S["conn.read_all"] = {setup = true,
  gen = function() return {} end,
  run = function(w)
    on_conn(w, "conn.shutdown", {}, function(_, conn)
      return conn:shutdown()
    end)
    on_conn(w, "conn.read_all", {t = 60}, function(link, conn)
      return take(link, plus(nil, conn:read_all(nil, 60)))
    end)
  end}

local NAMES = {"conn.read", "conn.read_buffer", "conn.read_exactly", "conn.read_until",
  "conn.read_line", "conn.lines", "conn.write", "conn.flush", "conn.shutdown", "conn.close",
  "conn.abort", "conn.ask", "conn.set_timeout", "conn.share", "sleep", "fail"}
local WEIGHTS = {["conn.read"] = 6, ["conn.read_buffer"] = 3, ["conn.read_exactly"] = 3,
  ["conn.read_until"] = 3, ["conn.read_line"] = 3, ["conn.lines"] = 1, ["conn.write"] = 14,
  ["conn.flush"] = 3, ["conn.shutdown"] = 0.5, ["conn.close"] = 0.5, ["conn.abort"] = 0.5,
  ["conn.ask"] = 2, ["conn.set_timeout"] = 0.5, ["conn.share"] = 1, sleep = 2, fail = 0.2}

-- Steps for one end of a connection: more than half end by an echo or by reading everything.
function M.gen_body(ctx, n, client, inner)
  local list = {}
  local steps = require "spec.model.steps"
  for i = 1, n do
    local op = ctx.r:weighted(NAMES, WEIGHTS)
    if inner and (op == "conn.share" or op == "conn.write") then
      op = "conn.read" -- two writers would have to agree who sends which byte
    end
    list[i] = steps[op].gen(ctx)
    list[i].op = op
  end
  if not inner and ctx.r:chance(0.6) then
    list[#list + 1] = {op = client and "conn.read_all" or "conn.echo"}
  end
  return list
end

-- Run steps with a link, which is closed at the end.
function M.use(w, link, body)
  if not link then
    return
  end
  local me = w:me()
  me.conn = link
  me.held[#me.held + 1] = function()
    w:call("conn.close", {key = link.key, side = link.side}, link.conn.close, link.conn)
  end
  w:run_steps(body)
end

return M
