-- SPDX-License-Identifier: MIT
-- Priorities of tasks and connections, and what tells them.
local H = require "spec.helper"
local core = require "ringlet.core"
local http = require "ringlet.http"
local in_turn = require "spec.in_turn"
local metrics = require "ringlet.metrics"
local net = require "ringlet.net"
local rl = require "ringlet"
local wire = require "spec.wire"

local ANY = wire.ANY

-- Tasks that write their names in the order in which they run.
local function recorder()
  local log = {}
  return log, function(name, priority)
    local h = rl.go(function() log[#log + 1] = name end)
    if priority then
      h:priority(priority)
    end
    return h
  end
end

H.both("the priority of a task", function(it)
  it("is normal, and that of who started it", function()
    assert.equal("normal", rl.self():priority())
    assert.equal("background", rl.self():priority "background")
    local child = rl.go(function()
      local grandchild = rl.go(function() return rl.self():priority() end)
      return rl.self():priority(), select(2, grandchild:join())
    end)
    assert.same({n = 3, true, "background", "background"}, H.pack(child:join()))
    rl.scope(function(s)
      assert.equal("background", select(2, s:go(function() return rl.self():priority() end):join()))
    end)
    rl.self():priority "normal"
    assert.equal("normal", select(2, rl.go(function() return rl.self():priority() end):join()))
  end)

  it("orders what is runnable", function()
    local log, spawn = recorder()
    spawn("b", "background")
    spawn("n")
    spawn("c", "critical")
    spawn("b2", "background")
    local moved = spawn("moved", "background")
    spawn("c2", "critical")
    assert.equal("critical", moved:priority "critical")
    rl.sleep(0.01)
    assert.equal("c c2 moved n b b2", table.concat(log, " "))
    assert.is_nil(moved:priority())
    assert.is_nil(moved:priority "critical")
  end)

  it("may change while it is parked, runs, or is over", function()
    local event = rl.event()
    local parked = rl.go(function()
      event:wait()
      return rl.self():priority()
    end)
    rl.yield()
    assert.equal("critical", parked:priority "critical")
    assert.equal("critical", parked:priority())
    event:set()
    assert.same({n = 2, true, "critical"}, H.pack(parked:join()))
    assert.is_nil(parked:priority())
    for _, name in ipairs{"critical", "background", "normal"} do
      assert.equal(name, rl.self():priority(name))
    end
  end)

  it("refuses what is none", function()
    H.raises_text("priority must be 'critical' or 'normal' or 'background', not 'high'",
      function() rl.self():priority "high" end)
    H.raises_text("not a number", function() rl.self():priority(0) end)
    local where = H.raises(function() rl.self():priority {} end)
    assert.matches("priority_spec.lua", where, 1, true)
  end)

  it("lets 64 that wait be overtaken", function()
    for _, name in ipairs{"normal", "critical"} do
      local log, spawn = recorder()
      for i = 1, 64 do spawn(i) end
      spawn("urgent", name)
      rl.sleep(0.01)
      assert.equal(name == "critical" and "urgent" or 1, log[1])
      assert.equal(name == "critical" and 64 or "urgent", log[65])
    end
  end)

  it("starves nobody: one run in seventeen is of a lower one", function()
    local runs, most, stop = 0, 0, false
    for _ = 1, 3 do
      rl.go(function()
        while not stop do
          runs = runs + 1
          rl.yield()
        end
      end):priority "critical"
    end
    for _ = 1, 10 do
      local before = runs
      rl.yield()
      most = math.max(most, runs - before)
    end
    stop = true
    assert.equal(16, most)
  end)

  it("changes nothing about ends", function()
    local kept = {}
    for _, name in ipairs{"critical", "background"} do
      local h = rl.go(function() rl.sleep(100) end)
      h:priority(name)
      rl.yield()
      h:cancel()
      assert.is_false((h:join()))
      local new = rl.go(function() kept[#kept + 1] = name end)
      new:priority(name)
      new:cancel()
      new:join()
      rl.self():priority(name)
      assert.equal("ETIMEDOUT", select(3, rl.timeout(0.002, function() rl.sleep(1) end)))
      assert.equal("ETIMEDOUT", select(3, rl.chan():recv(0.002)))
    end
    rl.self():priority "normal"
  end)

  it("is shown where it is not normal", function()
    local dumps = require "ringlet.debug"
    local plain = rl.go(function() rl.sleep(1) end)
    local low = rl.go(function() rl.sleep(1) end)
    low:priority "background"
    rl.yield()
    assert.is_nil(dumps.task(plain.id).priority)
    assert.equal("background", dumps.task(low.id).priority)
    local dump = dumps.dump {debug = 2}
    assert.matches(("task %d on shard 1, background ["):format(low.id), dump, 1, true)
    assert.matches(("task %d on shard 1 ["):format(plain.id), dump, 1, true)
    plain:cancel()
    low:cancel()
  end)

  it("leaves nothing behind that makes turns end", function()
    H.raises_text("boom", rl.scope, function(s)
      s:go(function()
        rl.self():priority "critical"
        error "boom"
      end)
      rl.sleep(1)
    end)
    local t = rl.go(function() rl.sleep(0.001) end)
    t:priority "background"
    t:join()
  end)
end)

-- ---- the option ---------------------------------------------------------------------------------

H.sim("the option classify", function(it)
  it("is checked, at the caller's level", function()
    local bad = {
      [{pathes = {}}] = "unknown option 'classify.pathes'",
      [{paths = "x"}] = "classify.paths: table expected",
      [{ports = 80}] = "classify.ports: table expected",
      [{paths = {["/pay"] = "urgent"}}] = [[classify.paths["/pay"] must be 'critical']],
      [{paths = {["/pay"] = true}}] = "not a boolean",
      [{paths = {pay = "critical"}}] = 'classify.paths["pay"]: a path such as "/pay" or "/bulk/*"',
      [{paths = {["/a b"] = "critical"}}] = "a path such as",
      [{paths = {["/a?b"] = "critical"}}] = "a path such as",
      [{paths = {["/a#b"] = "critical"}}] = "a path such as",
      [{paths = {["/*/b"] = "critical"}}] = "a path such as",
      [{paths = {[1] = "critical"}}] = "a path such as",
      [{paths = {["/" .. ("x"):rep(63)] = "critical"}}] = "at most 63 bytes",
      [{ports = {[0] = "critical"}}] = "classify.ports: numbers of ports expected",
      [{ports = {[80.5] = "critical"}}] = "classify.ports: numbers of ports expected",
      [{ports = {["80"] = "critical"}}] = "classify.ports: numbers of ports expected",
      [{ports = {[80] = "x"}}] = "classify.ports[80] must be",
      [{fn = "x"}] = "classify.fn: function expected",
      [{budget = 0}] = "classify.budget: a number of messages a second, more than 0",
      [{budget = "9"}] = "classify.budget",
      [{budget = 0 / 0}] = "classify.budget",
    }
    for option, text in pairs(bad) do
      H.raises_text(text, http.serve, ANY, print, {classify = option})
      local err = H.raises_text(text, function() net.serve(ANY, print, {classify = option}) end)
      assert.matches("^spec/priority_spec.lua", err)
    end
    H.raises_text("classify", net.serve, ANY, function() end, {classify = true})
  end)

  it("has paths of up to 63 bytes, a star not counted", function()
    local paths = {["/" .. ("x"):rep(62)] = "critical", ["/" .. ("y"):rep(61) .. "*"] = "critical"}
    local server = assert(net.serve(ANY, print, {classify = {paths = paths}}))
    server:stop()
  end)
end)

-- ---- servers ------------------------------------------------------------------------------------

local PATHS = {["/pay"] = "critical", ["/bulk/*"] = "background", ["/plain"] = "normal"}

local function request(path)
  return ("GET %s HTTP/1.1\r\nHost: h\r\n\r\n"):format(path)
end

-- Connections that have sent something already when the server gets to look at any of it.
local function at_once(server, paths)
  local conns = {}
  for i = 1, #paths do
    conns[i] = assert(net.connect(server:addr()))
  end
  rl.sleep(0.02)
  for i, path in ipairs(paths) do
    conns[i]:write(request(path))
  end
  return conns
end

local function close_all(conns, server)
  for _, conn in ipairs(conns) do conn:close() end
  return server:stop(1)
end

-- What each kind of server is, given what it does with a request's path.
local SERVERS = {
  ["a task for each"] = function(note, opts, at)
    return net.serve(at or ANY, function(conn)
      while true do
        local text = conn:read_until("\r\n\r\n", 4096)
        if not text then
          return
        end
        note(text:match " (%S+)", conn)
        conn:write "done"
      end
    end, opts)
  end,
  ["on_data"] = function(note, opts, at)
    return net.serve(at or ANY, {on_data = function(conn, data)
      note(data:match " (%S+)", conn)
      conn:write "done"
    end}, opts)
  end,
  ["HTTP"] = function(note, opts, at)
    return http.serve(at or ANY, function(req, res)
      note(req.path, nil)
      res:send(200, "done")
    end, opts)
  end,
}

for name, serve in pairs(SERVERS) do
  H.both("a classified server, " .. name, function(it)
    it("handles each request with the priority of its path", function()
      local seen = {}
      local server = assert(serve(function(path)
        seen[#seen + 1] = path .. "=" .. rl.self():priority()
      end, {classify = {paths = PATHS}}))
      local conn = assert(net.connect(server:addr()))
      for _, path in ipairs{"/pay", "/bulk/1", "/", "/pay?x=1", "/plain", "/pays", "/pay"} do
        conn:write(request(path))
        assert.is_string(conn:read_until("done", 4096, 5))
      end
      assert.equal("/pay=critical /bulk/1=background /=normal /pay"
        .. (name == "HTTP" and "" or "?x=1") .. "=critical /plain=normal /pays=normal "
        .. "/pay=critical", table.concat(seen, " "))
      assert.same({critical = 3, normal = 3, background = 1, over = 0}, server:stats().classes)
      assert.is_true(close_all({conn}, server))
      assert.same({critical = 3, normal = 3, background = 1, over = 0}, server:stats().classes)
    end)

    it("is told by its port, a function, and its parts", function()
      local seen, asked = {}, {}
      local function note(path) seen[#seen + 1] = path .. "=" .. rl.self():priority() end
      local listener = assert(net.listen(ANY))
      local port = tonumber(listener:addr():match ":(%d+)$")
      listener:close()
      rl.sleep(0.01)
      local function say(bytes, conn)
        asked[#asked + 1] = bytes:match " (%S+)"
        assert(type(conn:peername()) == "string")
        return bytes:find "odd" and "critical" or nil
      end
      local at = "127.0.0.1:" .. port
      local server = assert(serve(note, {classify = {ports = {[port] = "background",
        [1] = "normal"}, paths = PATHS, fn = say}}, at))
      local conn = assert(net.connect(at))
      for _, path in ipairs{"/pay", "/odd", "/even"} do
        conn:write(request(path))
        assert.is_string(conn:read_until("done", 4096, 5))
      end
      assert.equal("/pay=critical /odd=critical /even=background", table.concat(seen, " "))
      assert.equal("/odd /even", table.concat(asked, " "))
      assert.is_true(close_all({conn}, server))
    end)

    it("goes on as if nothing was told when its function fails", function()
      local seen, errors = {}, 0
      local ways = {
        raises = function() error "wrong" end,
        ["raises nil"] = function() error() end,
        parks = function() rl.sleep(0.001) end,
        yields = function() coroutine.yield() end,
        ["gives nonsense"] = function() return "high" end,
        ["gives a number"] = function() return 0 end,
      }
      local n = 0
      for way, fn in pairs(ways) do
        local server = assert(serve(function(path)
          seen[#seen + 1] = path .. "=" .. rl.self():priority()
        end, {classify = {fn = fn}}))
        n = n + 1
        local hook = rl.on_error(function() errors = errors + 1 end)
        local conn = assert(net.connect(server:addr()))
        conn:write(request "/x")
        assert.is_string(conn:read_until("done", 4096, 5), way)
        assert.equal(n, errors, way)
        assert.equal(1, server:stats().errors)
        assert.is_true(close_all({conn}, server))
        rl.on_error(hook)
      end
      assert.equal(("/x=normal "):rep(n), table.concat(seen, " ") .. " ")
    end)

    it("bears a function that starts tasks, sets the priority, closes or stops it all", function()
      local served
      local ways = {
        function(_, conn) conn:priority "background" return "critical" end,
        function(_, conn) conn:close() return "critical" end,
        function(_, conn) conn:abort() end,
        function() rl.go(function() rl.yield() end) return "critical" end,
        function() rl.go(function() served:stop(1) end) return "critical" end,
        function() collectgarbage() return "critical" end,
      }
      for _, fn in ipairs(ways) do
        local server = assert(serve(function() end, {classify = {fn = fn}}))
        served = server
        local conn = assert(net.connect(server:addr()))
        conn:write(request "/x")
        conn:read_until("done", 4096, 5)
        assert.is_true(close_all({conn}, server))
      end
    end)

    it("keeps what was set", function()
      local seen = {}
      local server = assert(serve(function(path, conn)
        seen[#seen + 1] = path .. "=" .. rl.self():priority()
        if conn then
          assert.equal("background", conn:priority "background")
        end
      end, {classify = {paths = PATHS}}))
      local conn = assert(net.connect(server:addr()))
      for _ = 1, 2 do
        conn:write(request "/pay")
        assert.is_string(conn:read_until("done", 4096, 5))
      end
      local second = name == "HTTP" and "critical" or "background"
      assert.equal("/pay=critical /pay=" .. second, table.concat(seen, " "))
      assert.is_true(close_all({conn}, server))
    end)

    it("drains and stops as ever", function()
      for _, how in ipairs{"stop", "drain", "abandon"} do
        local server = assert(serve(function() rl.sleep(0.01) end, {classify = {paths = PATHS}}))
        local conns = at_once(server, {"/pay", "/bulk/1", "/", "/pay"})
        rl.sleep(0.005)
        if how == "stop" then
          server:stop(1)
        elseif how == "drain" then
          server:drain(1)
        else
          server:stop(0)
        end
        close_all(conns, server)
        assert.equal(0, server:stats().live)
      end
    end)
  end)
end

-- On the real kernel all that was sent at once is there at once, or nearly: by the same shard it is
-- sent in groups. Each request takes longer than a shard with a classifier goes without a look.
in_turn.on("uring", "requests that wait in line", function(it)
  -- Where the handling of `path` begins, from 1.
  local function place(path, serve, paths, classify)
    local n, at = 0, nil
    local server = assert(serve(function(handled)
      n = n + 1
      at = at or handled == path and n
      local till = rl.now() + 1e-4
      repeat until rl.now() >= till
    end, {classify = classify}))
    local conns = at_once(server, paths)
    for _, conn in ipairs(conns) do
      assert(conn:read_until("done", 4096, 30))
    end
    assert.is_true(close_all(conns, server))
    return at
  end

  for name, serve in pairs(SERVERS) do
    it("are overtaken by a critical one, and not in a plain server: " .. name, function()
      local paths = {}
      for i = 1, 64 do paths[i] = "/bulk/" .. i end
      paths[65] = "/pay"
      local plain = place("/pay", serve, paths, nil)
      local first = place("/pay", serve, paths, {paths = PATHS})
      assert.is_true(plain > 32 and first <= 24, ("plain %d, classified %d"):format(plain, first))
    end)

    it("get their share of a flood, and more with a budget: " .. name, function()
      local paths = {"/bulk/1"}
      for i = 2, 60 do paths[i] = "/pay" end
      local free = place("/bulk/1", serve, paths, {paths = PATHS})
      local bounded = place("/bulk/1", serve, paths,
        {paths = {["/pay"] = "critical", ["/bulk/*"] = "normal"}, budget = 1})
      assert.is_true(free <= 34 and bounded <= 8, ("free %d, bounded %d"):format(free, bounded))
    end)
  end
end)

local CLASSIFIED = {"/net/classified:messages", "/net/over-budget:messages"}

-- What servers have told apart since then, as the metrics have it.
local function classified(before)
  local out = {}
  for i, s in ipairs(metrics.read(CLASSIFIED):series "/net/classified:messages") do
    out[s.labels.class] = s.value - before:series "/net/classified:messages"[i].value
  end
  return out
end

H.both("a classified server", function(it)
  it("tells apart requests of one connection that came at once", function()
    local seen, before = {}, metrics.read(CLASSIFIED)
    local server = assert(http.serve(ANY, function(req, res)
      seen[#seen + 1] = req.path .. "=" .. rl.self():priority()
      res:send(200, "done")
    end, {classify = {paths = PATHS}}))
    local conn = assert(net.connect(server:addr()))
    conn:write(request "/bulk/1" .. request "/pay" .. request "/" .. request "/bulk/2")
    for _ = 1, 4 do
      assert.is_string(conn:read_until("done", 4096, 5))
    end
    assert.equal("/bulk/1=background /pay=critical /=normal /bulk/2=background",
      table.concat(seen, " "))
    assert.same({critical = 1, normal = 1, background = 2, over = 0}, server:stats().classes)
    assert.same({critical = 1, normal = 1, background = 2}, classified(before))
    assert.is_true(close_all({conn}, server))
  end)

  it("counts what its budget made normal", function()
    local before = metrics.read(CLASSIFIED)
    local server = assert(http.serve(ANY, function(_, res) res:send(200, "done") end,
      {classify = {paths = PATHS, budget = 0.001}}))
    local conn = assert(net.connect(server:addr()))
    conn:write((request "/pay"):rep(3))
    for _ = 1, 3 do
      assert.is_string(conn:read_until("done", 4096, 10))
    end
    assert.same({critical = 1, normal = 2, background = 0, over = 2}, server:stats().classes)
    assert.same({critical = 1, normal = 2, background = 0}, classified(before))
    local name = "/net/over-budget:messages"
    assert.equal(2, metrics.read(CLASSIFIED)[name] - before[name])
    assert.is_true(close_all({conn}, server))
  end)

  it("waits for a path that comes in parts", function()
    local seen, before = {}, metrics.read(CLASSIFIED)
    local server = assert(http.serve(ANY, function(_, res)
      seen[#seen + 1] = rl.self():priority()
      res:send(200, "done")
    end, {classify = {paths = PATHS}}))
    local text = request "/pay"
    for at = 1, #text - 1, 5 do
      local conn = assert(net.connect(server:addr()))
      conn:write(text:sub(1, at))
      rl.sleep(0.005)
      conn:write(text:sub(at + 1))
      assert.is_string(conn:read_until("done", 4096, 5))
      conn:close()
    end
    for _, got in ipairs(seen) do
      assert.equal("critical", got)
    end
    assert.equal(#seen, server:stats().classes.critical)
    assert.equal(0, server:stats().classes.normal)
    assert.same({critical = #seen, normal = 0, background = 0}, classified(before))
    assert.is_true(server:stop(1))
  end)

  it("has a WebSocket with the priority of its request", function()
    local websocket = require "ringlet.websocket"
    local server = assert(http.serve(ANY, function(req)
      local ws = assert(req:websocket())
      local before = rl.self():priority()
      for message in ws:messages() do
        ws:send(message .. before .. rl.self():priority())
      end
    end, {classify = {paths = PATHS}}))
    local ws = assert(websocket.connect("ws://" .. server:addr() .. "/pay"))
    for i = 1, 3 do
      ws:send(i .. ":")
      assert.equal(i .. ":criticalcritical", (ws:recv(5)))
    end
    assert.equal(1, server:stats().classes.critical)
    assert.equal(0, server:stats().classes.normal)
    ws:close()
    server:stop(1)
  end)

  it("starts a handler with the priority of what came before it ran", function()
    local first
    local server = assert(net.serve(ANY, function(conn)
      first = first or rl.self():priority()
      conn:read(5)
    end, {classify = {paths = PATHS}}))
    local busy = true
    for _ = 1, 4 do
      rl.go(function() while busy do rl.yield() end end)
    end
    local conn = assert(net.connect(server:addr()))
    conn:write(request "/pay")
    busy = false
    rl.sleep(0.02)
    assert.is_string(first)
    conn:close()
    assert.is_true(server:stop(1))
  end)

  it("says the priority of a connection, whatever its state", function()
    local a, b = wire.pair()
    assert.equal("normal", a:priority())
    assert.equal("critical", a:priority "critical")
    assert.equal("critical", a:priority())
    H.raises_text("priority must be", function() a:priority "x" end)
    a:write "x"
    assert.equal("x", b:read(1))
    b:close()
    assert.is_nil(a:read(1))
    assert.equal("background", a:priority "background")
    a:close()
    assert.equal("ECLOSED", select(3, a:priority()))
    assert.equal("ECLOSED", select(3, a:priority "normal"))
  end)

  it("counts no classes without the option", function()
    local server = assert(net.serve(ANY, print))
    assert.same({}, server:stats().classes)
    server:stop()
  end)
end)

-- ---- runs and shards ----------------------------------------------------------------------------

describe("a run that ends with a classifier", function()
  for _, backend in ipairs(H.BACKENDS) do
    it("leaves the next one clean, on " .. backend, function()
      if H.missing[backend] then
        return pending(H.missing[backend])
      end
      local kept
      for _ = 1, 3 do
        H.run(function()
          kept = assert(net.serve(ANY, {on_data = function(conn) conn:write "done" end},
            {daemon = true, classify = {paths = PATHS, fn = function() return "critical" end}}))
          local conn = assert(net.connect(kept:addr()))
          conn:write(request "/x")
          conn:read_until("done", 100, 5)
          rl.self():priority "critical"
        end, {backend = backend})
        H.run(function()
          assert.equal("normal", rl.self():priority())
          assert.equal("normal", select(2, rl.go(function()
            return rl.self():priority()
          end):join()))
        end, {backend = backend})
      end
      assert.is_table(kept:stats().classes)
      kept = nil
      H.collect()
    end)
  end

  it("does not mind that it raised", function()
    for _ = 1, 3 do
      H.raises_text("boom", H.run, function()
        local server = assert(net.serve(ANY, print, {classify = {paths = PATHS}}))
        assert(net.connect(server:addr())):write(request "/pay")
        rl.self():priority "background"
        error "boom"
      end)
      H.collect()
    end
  end)
end)

describe("classify on several shards", function()
  for _, backend in ipairs(H.BACKENDS) do
    it("travels with its function, on " .. backend, function()
      if H.missing[backend] then
        return pending(H.missing[backend])
      end
      H.run(function()
        local mark = "vip"
        local expected = {["/pay"] = "critical", ["/vip"] = "background", ["/"] = "normal"}
        local server = assert(net.serve(ANY, function(conn)
          while conn:read_until("\r\n\r\n", 4096) do
            conn:write(rl.self():priority() .. " done")
          end
        end, {shards = "all", classify = {paths = {["/pay"] = "critical"}, fn = function(bytes)
          return bytes:find(mark, 1, true) and "background" or nil
        end}}))
        for _ = 1, 8 do
          local conn = assert(net.connect(server:addr()))
          for path, wanted in pairs(expected) do
            conn:write(request(path))
            assert.equal(wanted, (conn:read_until(" done", 100, 5)))
          end
          conn:close()
        end
        assert.is_true(server:stop(1))
      end, {backend = backend, shards = 2})
    end)
  end
end)

-- ---- interrupting -------------------------------------------------------------------------------

-- Computes for about `seconds` in interpreted code, or until `stop()`; for how long it did.
local function spin(seconds, stop)
  local t0 = core.now()
  while core.now() - t0 < seconds and not stop() do
    for _ = 1, 200 do end -- luacheck: ignore
  end
  return core.now() - t0
end

if H.jit then
  require("jit").off(spin, true)
end

H.on("uring", "a task that computes", function(it)
  local SLICE = 0.2

  -- Seconds until a request of `path` is handled while somebody computes, with a long slice.
  local function delay(path, priority)
    local came, sent
    local server = assert(net.serve(ANY, {on_data = function() came = core.now() end},
      {classify = {paths = PATHS}}))
    local conn = assert(net.connect(server:addr()))
    rl.sleep(0.01)
    rl.self():priority(priority)
    conn:write(request(path))
    conn:flush()
    sent = core.now()
    spin(0.1, function() return came ~= nil end)
    rl.self():priority "normal"
    rl.sleep(0.001)
    close_all({conn}, server)
    return came - sent
  end

  it("is interrupted for what is critical, and a critical one is not", function()
    local best = math.huge
    for _ = 1, 5 do
      best = math.min(best, delay("/pay", "normal"))
    end
    assert.is_true(best < 0.06, "seconds: " .. best)
    assert.is_true(delay("/bulk/1", "critical") >= 0.095)
  end, {slice = SLICE, timeout = 60})

  it("is left alone when nobody goes before it", function()
    local helper = rl.go(function() rl.sleep(10) end)
    helper:priority "critical" -- so that ticks come
    rl.sleep(0.01)
    local before = rl.stats().preemptions
    spin(0.03, function() return false end)
    assert.is_true(rl.stats().preemptions - before <= 1)
    helper:cancel()
  end, {slice = SLICE})
end)
