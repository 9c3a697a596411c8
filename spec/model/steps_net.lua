-- SPDX-License-Identifier: MIT
-- steps_net: servers, clients and what they do with a connection. A link is one end of a
-- connection: {conn, key, side, wrote, got}; key, the client's address, names the connection at
-- both ends.

local rl = require "ringlet"
local net = require "ringlet.net"
local bytes = require "spec.model.bytes"
local conn_steps = require "spec.model.steps_conn"

local S = {}
for op, step in pairs(conn_steps.steps) do
  S[op] = step
end

local new_link = conn_steps.new_link

-- The steps of a server's handler, one list for each connection by turns.
local function pick_body(w, s)
  w.served = (w.served or 0) + 1
  return s.bodies[w.served % #s.bodies + 1]
end

local function serve_conn(w, s, conn)
  local link = new_link(w, conn, "s", s.limits)
  w.tids[rl.self().id] = w:new_tid()
  w:mark("handler.in", {key = link.key, limits = link.limits or nil})
  w:me().conn = link
  local ok, err = pcall(w.run_steps, w, pick_body(w, s))
  w:let_go()
  local r = w.history:outcome(ok, err)
  w:mark("handler.out", {key = link.key, ok = ok, err = not ok and r.err or nil,
    cancel = r.kind == "cancel", reason = r.reason})
  if not ok then
    error(err, 0)
  end
end

-- Echo what comes; sometimes it takes its time.
local function data_handlers(w, s)
  local links = {}
  local function link_of(conn)
    links[conn] = links[conn] or new_link(w, conn, "s", s.limits)
    return links[conn]
  end
  local function close_unless(ok, link, c)
    if ok.kind ~= "ok" then
      c.failed = true
      link.conn:close()
      w:mark("conn.close", {key = link.key, side = "s"})
    end
  end
  return {
    on_open = s.open and function(conn)
      w:mark("data.open", {key = link_of(conn).key})
      w:call("sleep", {t = 0.001}, rl.sleep, 0.001)
    end or nil,
    on_data = function(conn, data)
      local link = link_of(conn)
      data = s.buffers and data:tostring() or data
      local n = #data
      local same = link.nameless or data == bytes.of(link.key .. "c", link.got, n)
      w:mark("data.in", {key = link.key, n = n, same = same, limits = link.limits or nil})
      link.got = link.got + n
      if s.slow then
        w:call("sleep", {t = 0.002}, rl.sleep, 0.002)
      end
      local text = bytes.of(link.key .. "s", link.wrote, n)
      local out = {}
      local r = w:call("conn.write", {key = link.key, side = "s", n = n, from = link.wrote},
        conn.write, conn, text)
      if r.kind == "ok" then
        link.wrote = link.wrote + n
      end
      close_unless(r, link, out)
      local err = s.fails and link.got % 7 == 0 and r.kind == "ok" and w:failure()
      w:mark("data.out", {key = link.key, err = err and w.history:name_error(err)})
      if r.kind == "cancel" then
        error(r.raw, 0)
      elseif err then
        error(err, 0)
      end
    end,
    on_close = function(conn, _, code)
      w:mark("data.close", {key = link_of(conn).key, code = code})
      links[conn] = nil
    end,
  }
end

S.serve = {setup = true,
  run = function(w, s)
    local all = not s.opts.max_connections or nil
    w:call("serve", {o = s.o, data = s.data, all = all, limits = s.limits}, function()
      local handler = s.data and data_handlers(w, s) or function(conn)
        serve_conn(w, s, conn)
      end
      w.objects[s.o] = rl.check(net.serve("127.0.0.1:0", handler, s.opts))
      w.objects[s.o .. "addr"] = w.objects[s.o]:addr()
      return w.objects[s.o .. "addr"]
    end)
  end}

S.listen = {setup = true,
  run = function(w, s)
    w:call("listen", {o = s.o}, function()
      w.objects[s.o] = rl.check(net.listen("127.0.0.1:0", {backlog = s.backlog}))
      w.objects[s.o .. "addr"] = w.objects[s.o]:addr()
      return w.objects[s.o .. "addr"]
    end)
  end}

S["listener.accept"] = {setup = true,
  run = function(w, s)
    local link
    local listener = w.objects[s.o]
    w:step("listener.accept", {o = s.o, t = s.t}, function()
      local conn, msg, code = listener:accept(s.t)
      if not conn then
        return nil, msg, code
      end
      link = new_link(w, conn, "s")
      return link.key
    end)
    conn_steps.use(w, link, s.body)
  end}

S["listener.close"] = {setup = true,
  run = function(w, s)
    w:step("listener.close", {o = s.o}, w.objects[s.o].close, w.objects[s.o])
  end}

S.connect = {setup = true,
  run = function(w, s)
    local link
    w:step("connect", {o = s.o, t = s.t}, function()
      local opts = {timeout = s.t}
      for k, v in pairs(s.opts or {}) do opts[k] = v end
      local conn, msg, code = net.connect(w.objects[s.o .. "addr"], opts)
      if not conn then
        return nil, msg, code
      end
      link = new_link(w, conn, "c", s.opts and s.opts.idle_timeout ~= nil)
      return link.key
    end)
    conn_steps.use(w, link, s.body)
  end}

S["server.stop"] = {setup = true,
  run = function(w, s)
    local server = w.objects[s.o]
    w:call("server.stop", {o = s.o, t = s.grace}, server.stop, server, s.grace)
    w:call("server.join", {o = s.o}, server.join, server, 100)
    w:call("server.select", {o = s.o}, rl.select, {{server}}, 0)
    w:call("server.stats", {o = s.o}, function()
      local stats = server:stats()
      return stats.live, stats.waiting, stats.accepted >= 0
    end)
  end}

local function gen_opts(r, server)
  local opts = {}
  if r:chance(0.3) then
    opts.read_high_water, opts.write_high_water = r:pick {100, 5000}, r:pick {100, 5000}
  end
  if r:chance(0.1) then
    opts.idle_timeout = r:pick {0.05, 1}
  end
  if server and r:chance(0.2) then
    opts.max_connections = r:int(1, 2)
  end
  return opts
end

local function gen_server(ctx, s)
  local r = ctx.r
  s.data, s.open, s.slow, s.fails = r:chance(0.5), r:chance(0.5), r:chance(0.3), r:chance(0.2)
  s.opts, s.bodies = gen_opts(r, true), {}
  s.limits = s.opts.idle_timeout ~= nil
  if s.data then
    s.opts.buffers = r:chance(0.5)
    s.buffers = s.opts.buffers
  end
  for i = 1, 3 do
    s.bodies[i] = conn_steps.gen_body(ctx, r:int(2, 6))
  end
end

-- Add servers, listeners and clients to a program.
function S.serve.plan(ctx, program)
  local r, doors = ctx.r, {}
  local function add(op, s)
    s.op, s.o = op, op .. #doors + 1
    program.setup[#program.setup + 1] = s
    doors[#doors + 1] = s.o
    return s
  end
  if r:chance(0.6) then
    gen_server(ctx, add("serve", {}))
    program.teardown[1] = {op = "server.stop", o = doors[1], grace = r:pick {0, 0.05, 1}}
  end
  if r:chance(0.25) then
    local s = add("listen", {backlog = r:int(1, 4)})
    for _ = 1, r:int(1, 3) do
      program.tasks[#program.tasks + 1] = {op = "go", swallows = 0, body = {
        {op = "listener.accept", o = s.o, t = r:pick {0.01, 0.5},
          body = conn_steps.gen_body(ctx, 3)},
      }}
    end
    table.insert(program.teardown, {op = "listener.close", o = s.o})
  end
  for _ = 1, #doors > 0 and r:int(1, 4) or 0 do
    program.tasks[#program.tasks + 1] = {op = "go", swallows = 0, body = {
      {op = "connect", o = r:pick(doors), t = r:pick {false, 0.02, 5} or nil, opts = gen_opts(r),
        body = conn_steps.gen_body(ctx, r:int(2, 8), true)},
    }}
  end
  r:shuffle(program.tasks)
end

return S
