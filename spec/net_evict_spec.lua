-- SPDX-License-Identifier: MIT
-- Eviction: whom a server gives up when it has too much to do, and when.
local H = require "spec.helper"
local http = require "ringlet.http"
local net = require "ringlet.net"
local rl = require "ringlet"
local websocket = require "ringlet.websocket"

local ANY = "127.0.0.1:0"
local GET = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"

local function connect(server)
  return assert(net.connect(server:addr()))
end

-- A server whose load is `load()`, with what it evicted, in order: {conn, why, load, time}.
local function serve(load, opts, handler)
  local gone = {}
  local all = {metrics = load, on_evict = function(conn, why, at)
    gone[#gone + 1] = {conn, why, at, rl.now()}
  end}
  for k, v in pairs(opts or {}) do all[k] = v end
  local conns = {}
  local server = assert(net.serve(ANY, handler or {
    on_open = function(conn) conns[#conns + 1] = conn end,
    on_data = function(conn, data)
      if data == "beat" then
        conn:heard()
      elseif data == "busy" then
        rl.sleep(1e5)
      elseif data ~= "x" then
        conn:class(data)
      end
    end,
  }, {heartbeat = all}))
  return server, gone, conns
end

local function whys(gone)
  local list = {}
  for i, g in ipairs(gone) do list[i] = g[2] end
  return list
end

H.sim("a check", function(it)
  for _, case in ipairs{{0.85, 0}, {0.86, 1}} do
    it(("evicts at a load of more than 0.85: %g"):format(case[1]), function()
      local server, gone = serve(function() return case[1] end)
      local conn = connect(server)
      rl.sleep(60.1)
      assert.equal(case[2], #gone)
      assert.equal(case[2], server:stats().evicted)
      if case[2] == 1 then
        assert.same({"idle", 0.86}, {gone[1][2], gone[1][3]})
        assert.equal("EOF", select(3, conn:read(1)))
      end
      conn:close()
      server:stop(1)
    end)
  end

  it("is made each 60 s while connections live, and at no other time", function()
    local asked, load = {}, 0
    local server, gone = serve(function() asked[#asked + 1] = rl.now() return load end)
    rl.sleep(1000)
    assert.equal(0, #asked)
    local from = rl.now()
    local conn = connect(server)
    rl.sleep(0.1)
    rl.sleep(from + 59.9 - rl.now())
    load = 1
    assert.equal(0, #asked)
    rl.sleep(from + 60.1 - rl.now())
    assert.equal(1, #gone)
    assert.is_true(asked[1] - from >= 60 and asked[1] - from < 60.1)
    conn:close()
    load = 0
    local other = connect(server)
    rl.sleep(180.5)
    assert.equal(4, #asked)
    assert.is_true(math.abs(asked[4] - asked[3] - 60) < H.TICK)
    other:close()
    rl.sleep(1)
    local n = #asked
    rl.sleep(1000)
    assert.equal(n, #asked)
    server:stop(1)
  end)

  it("needs a load that is a number, and reports what is none", function()
    local errors, load = {}, "much"
    rl.on_error(function(err) errors[#errors + 1] = tostring(err) end)
    local server, gone = serve(function()
      if load == "raise" then error("no metrics") end
      return load
    end)
    local conn = connect(server)
    rl.sleep(61)
    load = "raise"
    rl.sleep(60)
    load = nil
    rl.sleep(60)
    assert.equal(0, #gone)
    assert.equal(2, #errors)
    assert.is_truthy(errors[1]:find("a number expected", 1, true))
    assert.is_truthy(errors[2]:find("no metrics", 1, true))
    conn:close()
    server:stop(1)
  end)

  it("looks at the connections by itself", function()
    local server = assert(net.serve(ANY, {on_data = function() end},
      {max_connections = 20, heartbeat = true}))
    local conns = {}
    for i = 1, 17 do conns[i] = connect(server) end -- 0.85
    rl.sleep(61)
    assert.equal(0, server:stats().evicted)
    conns[18] = connect(server)
    rl.sleep(60)
    assert.equal(1, server:stats().evicted)
    for i = 1, 18 do conns[i]:close() end
    server:stop(1)
  end)

  it("is not begun again while one goes on", function()
    local n = 0
    local server = serve(function() n = n + 1 rl.sleep(150) return 0 end)
    local conn = connect(server)
    rl.sleep(140)
    assert.equal(1, n)
    rl.sleep(120)
    assert.equal(2, n)
    conn:close()
    server:stop(1)
  end)
end)

H.sim("a round", function(it)
  it("takes at most a share of the connections, and a batch, the longest idle first", function()
    local server, gone, conns = serve(function() return 1 end, {share = 0.25, check = 10})
    local clients = {}
    for i = 1, 20 do
      clients[i] = connect(server)
      rl.sleep(0.1)
    end
    clients[1]:write "x" -- not so long any more
    rl.sleep(9)
    assert.equal(5, #gone)
    for i = 1, 5 do assert.equal(conns[i + 1], gone[i][1]) end
    for _, c in ipairs(clients) do c:close() end
    server:stop(1)

    server, gone = serve(function() return 1 end, {share = 1, batch = 3, check = 10})
    for i = 1, 20 do clients[i] = connect(server) end
    rl.sleep(10.5)
    assert.equal(3, #gone)
    rl.sleep(10)
    assert.equal(6, #gone)
    for _, c in ipairs(clients) do c:close() end
    server:stop(1)
  end)

  it("takes idle ones first, then those whose heartbeat is overdue", function()
    local server, gone, conns = serve(function() return 1 end, {share = 0.5, check = 100})
    local short, long, busy = connect(server), connect(server), connect(server)
    rl.sleep(0.1)
    long:write "long"
    rl.sleep(0.1)
    long:write "beat"
    busy:write "busy"
    rl.sleep(100)
    assert.same({"idle"}, whys(gone))
    assert.equal(conns[1], gone[1][1])
    rl.sleep(100)
    assert.same({"idle", "heartbeat"}, whys(gone))
    assert.equal(conns[2], gone[2][1])
    rl.sleep(300)
    assert.equal(2, #gone)
    for _, c in ipairs{short, long, busy} do c:close() end
    server:stop(0)
  end)

  -- A heartbeat is due after 10 s; nothing must have come for more than 5 s since.
  for _, case in ipairs{{14.9, 0}, {15.1, 1}} do
    it(("takes a long-lived one %g s behind its last heartbeat: %d"):format(case[1], case[2]),
      function()
        local server, gone = serve(function() return 1 end)
        local conn = connect(server)
        rl.sleep(0.1)
        conn:write "long"
        rl.sleep(60 - 0.1 - case[1])
        conn:write "beat"
        rl.sleep(case[1] + 0.05)
        assert.equal(case[2], #gone)
        conn:close()
        server:stop(1)
      end)
  end

  for _, case in ipairs{{4.9, 0}, {5.1, 1}} do
    it(("takes one whose heartbeat is overdue %g s behind its last byte: %d"):format(case[1],
      case[2]), function()
      local server, gone = serve(function() return 1 end)
      local conn = connect(server)
      rl.sleep(0.1)
      conn:write "long"
      rl.sleep(0.1)
      conn:write "beat"
      rl.sleep(60 - 0.2 - case[1])
      conn:write "x"
      rl.sleep(case[1] + 0.05)
      assert.equal(case[2], #gone)
      conn:close()
      server:stop(1)
    end)
  end

  it("takes no protected one while others live, busy ones too", function()
    local server, gone, conns = serve(function() return 1 end, {share = 1})
    local kept, other, busy = connect(server), connect(server), connect(server)
    rl.sleep(0.1)
    kept:write "protected"
    busy:write "busy"
    rl.sleep(200)
    assert.same({"idle"}, whys(gone))
    assert.equal("EOF", select(3, other:read(1)))
    busy:abort() -- its handler is still at work
    rl.sleep(100)
    assert.same({"idle"}, whys(gone))
    conns[3]:close()
    rl.sleep(100)
    assert.same({"idle", "protected"}, whys(gone))
    server:stop(0)
    for _, c in ipairs{kept, other, busy} do c:close() end
  end)

  it("takes protected ones when there are no others, if they are idle", function()
    local server, gone, conns = serve(function() return 1 end, {
      share = 1, classify = function() return "protected" end,
    })
    local a, b = connect(server), connect(server)
    rl.sleep(56)
    b:write "x"
    rl.sleep(4.5)
    assert.same({"protected"}, whys(gone))
    assert.equal(conns[1], gone[1][1])
    a:close()
    b:close()
    server:stop(1)
  end)

  it("asks classify, and says when that gave no class", function()
    local errors = {}
    rl.on_error(function(err) errors[#errors + 1] = tostring(err) end)
    local classes, n = {"long", "protected", nil, "other"}, 0
    local server, _, conns = serve(function() return 0 end, {classify = function()
      n = n + 1
      if n == 5 then error("no idea") end
      return classes[n]
    end})
    local clients = {}
    for i = 1, 5 do clients[i] = connect(server) end
    rl.sleep(0.1)
    local got = {}
    for i = 1, 5 do got[i] = conns[i]:class() end
    assert.same({"long", "protected", "short", "short", "short"}, got)
    assert.equal(2, #errors)
    assert.equal("protected", conns[5]:class("protected"))
    H.raises_text('"short", "long" or "protected" expected', conns[5].class, conns[5], "best")
    for i = 1, 5 do clients[i]:close() end
    assert.equal("ECLOSED", select(3, clients[1]:class()))
    assert.equal("ECLOSED", select(3, clients[1]:class("long")))
    server:stop(1)
  end)

  it("ends connections that have tasks, while they wait for their peer", function()
    local ends = {}
    local server, gone = serve(function() return 1 end, {share = 1}, function(conn)
      local first = conn:read()
      if first == "work" then rl.sleep(100) end
      ends[#ends + 1] = first or select(3, conn:read())
    end)
    local idle, working = connect(server), connect(server)
    working:write "work"
    rl.sleep(61)
    assert.same({"ECLOSED"}, ends)
    assert.equal(1, #gone)
    rl.sleep(60)
    assert.same({"ECLOSED", "work"}, ends)
    idle:close()
    working:close()
    server:stop(1)
  end)

  it("does not wait for on_evict, whatever that does", function()
    rl.on_error(function() end)
    local n = 0
    local server = serve(function() return 1 end, {share = 1, on_evict = function()
      n = n + 1
      if n == 1 then rl.sleep(1e4) elseif n == 2 then error("x") end
    end})
    local clients = {}
    for i = 1, 5 do clients[i] = connect(server) end
    rl.sleep(61)
    assert.equal(5, n)
    assert.equal(1, server:stats().live)
    for i = 1, 5 do clients[i]:close() end
    server:stop(1)
  end)

  it("takes HTTP connections between two requests, and no others", function()
    local release = rl.event()
    local server = assert(http.serve(ANY, function(req, res)
      if req.path == "/slow" then release:wait() end
      if req.path == "/body" then req:read_all() end
      res:send(200, "ok")
    end, {idle_timeout = 1e4, head_timeout = 1e4, read_timeout = 1e4,
      heartbeat = {share = 1, metrics = function() return 1 end}}))
    local kinds = {
      fresh = "", rests = GET, slow = GET:gsub("/ ", "/slow "), part = GET:sub(1, 20),
      body = "POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n12",
      next = GET .. GET:sub(1, 5),
    }
    local clients = {}
    for name, text in pairs(kinds) do
      clients[name] = connect(server)
      clients[name]:write(text)
    end
    rl.sleep(61)
    assert.equal(2, server:stats().evicted)
    assert.equal("", clients.fresh:read_all())
    assert.is_truthy(clients.rests:read_all():find("ok", 1, true))
    release:set()
    clients.part:write(GET:sub(21))
    clients.body:write "345"
    clients.next:write(GET:sub(6))
    for _, name in ipairs{"slow", "part", "body", "next"} do
      assert.is_truthy(clients[name]:read_until("ok", 1000, 1), name)
    end
    for _, c in pairs(clients) do c:close() end
    server:stop(1)
  end)
end)

H.sim("WebSockets", function(it)
  it("go when pings are not answered, after connections that rest", function()
    local load, conns, gone = 0.5, {}, {}
    local server = assert(http.serve(ANY, function(req, res)
      if not req:header "Upgrade" then return res:send(200, "ok") end
      conns[req.query] = req.conn
      local ws = req:websocket()
      while ws:recv() do end
    end, {idle_timeout = 1e4, heartbeat = {
      share = 0.4, metrics = function() return load end,
      on_evict = function(conn, why) gone[#gone + 1] = {conn, why} end,
    }}))
    local rests = connect(server)
    rests:write(GET)
    local answers = assert(websocket.connect("ws://" .. server:addr() .. "/?answers"))
    rl.daemon(answers.recv, answers)
    local mute = connect(server)
    mute:write("GET /?mute HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
      .. "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
    rl.sleep(14)
    assert.same({"long", "long"}, {conns.answers:class(), conns.mute:class()})
    assert.equal(1, (server:weight(conns.mute)))
    rl.sleep(2)
    assert.equal(0.5, (server:weight(conns.mute)))
    assert.equal(1, (server:weight(conns.answers)))
    assert.is_true(answers:stats().peer_load == load)
    load = 0.9
    rl.sleep(46)
    assert.same({"idle"}, whys(gone))
    rl.sleep(60)
    assert.same({{gone[1][1], "idle"}, {conns.mute, "heartbeat"}}, gone)
    assert.is_truthy(mute:read_all():find("\136\2\3\245", 1, true)) -- closed: 1013
    rl.sleep(120)
    assert.equal(2, #gone)
    assert.equal("open", answers:state())
    answers:close()
    rests:close()
    mute:close()
    server:stop(1)
  end)
end)

-- ---- against a model ----------------------------------------------------------------------------

-- What a connection does before the round, at random times: its class, whether it has heartbeats,
-- when it last was heard of and last sent something, whether its handler is at work.
local function draw(random)
  local c = {class = ({"short", "short", "long", "long", "protected"})[random(5)]}
  c.busy = random(10) == 1
  if c.class == "long" and random(4) > 1 then c.beat = random(58) end
  c.last = random(58)
  return c
end

-- For how long a connection could have gone; nil: it may not.
local function rank_of(c, now)
  local idle = now - c.last_at
  if c.class == "short" then
    return not c.busy and idle or nil
  elseif c.class == "long" then
    idle = math.min(idle, now - (c.heard_at or c.last_at) - 10)
  end
  return idle > 5 and idle or nil
end

-- Those that go, as a set, and their number.
local function expected(list, now, most)
  local ranked, others = {short = {}, long = {}, protected = {}}, 0
  for _, c in ipairs(list) do
    others = others + (c.class == "protected" and 0 or 1)
    c.rank = rank_of(c, now)
    if c.rank then table.insert(ranked[c.class], c) end
  end
  local order, out, n = others == 0 and {"protected"} or {"short", "long"}, {}, 0
  for _, class in ipairs(order) do
    table.sort(ranked[class], function(a, b) return a.rank > b.rank end)
    for _, c in ipairs(ranked[class]) do
      if n < most then
        out[c], n = true, n + 1
      end
    end
  end
  return out, n
end

-- The first in `a` that is not in `b`, nor as good as one that is in `b` alone: times are those of
-- a turn of the scheduler.
local function surplus(a, b)
  for c in pairs(a) do
    local is_found = b[c]
    for other in pairs(is_found and {} or b) do
      is_found = is_found or not a[other] and other.class == c.class
        and math.abs(other.rank - c.rank) < 0.001
    end
    if not is_found then return c end
  end
end


-- A server that knows of its connections what `list` says, in the order in which they come.
local function modelled(list, opts)
  local by_conn, evicted, opened = {}, {n = 0, set = {}}, 0
  opts.on_evict = function(conn)
    evicted.n, evicted.set[by_conn[conn]], evicted.at = evicted.n + 1, true, rl.now()
  end
  return assert(net.serve(ANY, {
    on_open = function(conn)
      opened = opened + 1
      by_conn[conn] = list[opened]
      list[opened].last_at = rl.now()
      conn:class(list[opened].class)
    end,
    on_data = function(conn, data)
      local c = by_conn[conn]
      c.last_at = rl.now()
      if data:find "h" then
        conn:heard()
        c.heard_at = rl.now()
      end
      if data:find "b" then rl.sleep(1e4) end
    end,
  }, {heartbeat = opts})), evicted
end

-- Let a minute pass in which each does what it should.
local function live(list, clients)
  local from = rl.now()
  for t = 1, 58 do
    for i, c in ipairs(list) do
      if c.beat == t then clients[i]:write "h" end
      if c.last == t then clients[i]:write "x" end
      if t == 58 and c.busy then clients[i]:write "b" end
    end
    rl.sleep(from + t - rl.now())
  end
end

-- One round over `count` connections; `only` is the class of all, if given. How many went.
local function compare(count, seed, share, only)
  math.randomseed(seed)
  local load, list, clients = 0, {}, {}
  local server, evicted = modelled(list, {
    share = share, batch = count, metrics = function() return load end,
  })
  for i = 1, count do
    list[i] = draw(math.random)
    list[i].class = only or list[i].class
    clients[i] = connect(server)
  end
  rl.sleep(1)
  live(list, clients)
  load = 1
  rl.sleep(5)
  local most = math.max(1, math.floor(count * share))
  -- The server reads its clock once a turn: what lies that near to a limit may fall on either side.
  local at, agrees = evicted.at or rl.now(), false
  for _, shift in ipairs{0, -H.TICK, H.TICK} do
    local want, wanted = expected(list, at + shift, most)
    agrees = agrees or wanted == evicted.n and surplus(evicted.set, want) == nil
  end
  assert.is_true(agrees, ("seed %d: others go than the model says"):format(seed))
  for _, client in ipairs(clients) do client:abort() end
  server:stop(0)
  return evicted.n
end

H.sim("of 10,000 connections", function(it)
  it("those go that a plain model names", function()
    assert.is_true(compare(H.torture and 200 or 10000, 11, 0.5) > 10)
  end, {timeout = 0})
end)

H.sim("of some connections", function(it)
  it("those go that a plain model names, whoever they are", function()
    for seed = 1, H.rounds(60, 3) do
      compare(1 + seed * 7 % 97, seed, ({0.05, 0.3, 1})[seed % 3 + 1],
        seed % 10 == 0 and "protected" or nil)
    end
  end, {timeout = 0})
end)
