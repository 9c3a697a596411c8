-- SPDX-License-Identifier: MIT
-- Heartbeats of a server's connections: when they are sent, and what late ones do.
local H = require "spec.helper"
local heartbeat = require "ringlet.net_heartbeat"
local net = require "ringlet.net"
local rl = require "ringlet"

local ANY = "127.0.0.1:0"

-- A server whose clients send "beat" and, behind a space, their load.
local function serve(opts, more)
  local all = {heartbeat = opts}
  for k, v in pairs(more or {}) do all[k] = v end
  local conns = {}
  local server = assert(net.serve(ANY, {
    on_open = function(conn) conns[#conns + 1] = conn end,
    on_data = function(conn, data)
      for load in data:gmatch "beat ?([%d.]*)" do conn:heard(tonumber(load)) end
    end,
  }, all))
  return server, conns
end

local function connect(server)
  local conn = assert(net.connect(server:addr()))
  rl.sleep(0.1) -- the server has it
  return conn
end

H.sim("heartbeats", function(it)
  it("are sent each 10 s and carry the load", function()
    local sent, load = {}, 0.25
    local server, conns = serve{
      beat = function(conn, told) sent[#sent + 1] = {conn, rl.now(), told} end,
      metrics = function() return load end,
    }
    local from = rl.now()
    local a = connect(server)
    rl.sleep(2.9)
    local b = connect(server)
    rl.sleep(9)
    load = 0.5
    rl.sleep(11)
    assert.equal(4, #sent)
    for i, want in ipairs{{1, 10, 0.25}, {2, 13, 0.5}, {1, 20, 0.5}, {2, 23, 0.5}} do
      assert.equal(conns[want[1]], sent[i][1])
      assert.is_true(math.abs(from + want[2] - sent[i][2]) < 0.1, i)
      assert.equal(want[3], sent[i][3])
    end
    a:close()
    rl.sleep(10)
    assert.equal(conns[2], sent[5][1])
    assert.equal(5, #sent)
    b:close()
    server:stop(1)
  end)

  it("tell how many of the connections are used, unless something else is asked", function()
    local told
    local server = serve({beat = function(_, load) told = load end}, {max_connections = 4})
    local conn = connect(server)
    rl.sleep(10)
    assert.equal(0.25, told)
    conn:close()
    server:stop(1)
  end)

  for _, case in ipairs{{4.9, 1, 0}, {5.1, 0.5, 1}} do
    local late, weight, count = case[1], case[2], case[3]
    it(("that are %g s late leave a weight of %g"):format(late, weight), function()
      local told = {}
      local server, conns = serve{on_weight = function(conn, w, load)
        told[#told + 1] = {conn, w, load}
      end}
      local conn = connect(server)
      assert.same({1}, {server:weight(conns[1])})
      conn:write "beat 0.3"
      rl.sleep(10 + late)
      conn:write "beat 0.4"
      rl.sleep(0.1)
      local w, load, age = server:weight(conns[1])
      assert.same({weight, 0.4}, {w, load})
      assert.is_true(math.abs(age - 0.1) < 0.1)
      assert.equal(count, server:stats().late)
      rl.sleep(9.9)
      conn:write "beat" -- in time
      rl.sleep(0.1)
      assert.equal(1, (conns[1]:weight()))
      local want = count == 1 and {{conns[1], 0.5, 0.3}, {conns[1], 1, nil}} or {}
      assert.same(want, told)
      conn:close()
      server:stop(1)
    end)
  end

  it("that do not come halve the weight each time, down to a sixteenth", function()
    local told = {}
    local server, conns = serve{beat = function() end, on_weight = function(_, w)
      told[#told + 1] = {rl.now(), w}
    end}
    local from = rl.now()
    local conn = connect(server)
    rl.sleep(100)
    assert.equal(4, #told)
    for i = 1, 4 do
      assert.is_true(math.abs(from + i * 15 - told[i][1]) < 0.1)
      assert.equal(2 ^ -i, told[i][2])
    end
    assert.equal(1 / 16, (conns[1]:weight()))
    assert.equal(6, server:stats().late)
    conn:write "beat" -- late itself: nothing is better yet
    rl.sleep(5)
    assert.equal(1 / 16, (conns[1]:weight()))
    conn:write "beat"
    rl.sleep(0.1)
    assert.equal(1 / 8, (conns[1]:weight()))
    conn:close()
    server:stop(1)
  end)

  it("are late after exactly the time that was set", function()
    local at
    local server = serve{every = 1, late = 0.25, on_weight = function() at = at or rl.now() end}
    local conn = connect(server)
    conn:write "beat"
    rl.sleep(0.1)
    local from = rl.now()
    conn:write "beat"
    rl.sleep(3)
    assert.is_true(at > from + 1.25 and at < from + 1.3, at - from)
    conn:close()
    server:stop(1)
  end)

  it("are expected from the first one on, and of nobody else", function()
    local server, conns = serve(true)
    local a, b = connect(server), connect(server)
    a:write "beat"
    rl.sleep(100)
    assert.is_true((server:weight(conns[1])) < 1)
    assert.equal(1, (server:weight(conns[2])))
    assert.equal(1, (a:weight()))
    assert.is_false(a:heard(1))
    assert.is_true(server:heard(conns[2], 0.1))
    a:close()
    b:close()
    rl.sleep(0.1)
    assert.is_false(conns[1]:heard(1))
    server:stop(1)
  end)

  it("go to others while one waits for its peer", function()
    local sent, gate = {}, rl.event()
    local server, conns = serve{beat = function(conn)
      sent[#sent + 1] = {conn, rl.now()}
      if #sent == 1 then gate:wait() end
    end}
    local from = rl.now()
    local clients = {connect(server), connect(server), connect(server)}
    rl.sleep(25)
    local n = 0
    for _, s in ipairs(sent) do
      if s[1] == conns[1] then
        n = n + 1
      else
        local phase = (s[2] - from) % 10
        assert.is_true(phase < 0.5, phase)
      end
    end
    assert.equal(1, n)
    assert.equal(1 + 2 * 2, #sent)
    gate:set()
    rl.sleep(10)
    n = 0
    for _, s in ipairs(sent) do n = n + (s[1] == conns[1] and 1 or 0) end
    assert.is_true(n >= 2)
    for _, c in ipairs(clients) do c:close() end
    server:stop(1)
  end)

  it("that cannot be sent end their connection, and are reported", function()
    local errors = {}
    rl.on_error(function(err) errors[#errors + 1] = tostring(err) end)
    local server = serve{beat = function() error("no beat") end}
    local conn = connect(server)
    assert.equal("EOF", select(3, conn:read(20)))
    assert.equal(1, #errors)
    assert.is_truthy(errors[1]:find("no beat", 1, true))
    assert.equal(1, server:stats().errors)
    conn:close()
    server:stop(1)
  end)

  it("can park for ever: the server ends all the same", function()
    local server = serve{beat = function() rl.sleep(1e6) end}
    local conn = connect(server)
    rl.sleep(11)
    conn:close()
    local from = rl.now()
    server:stop(1)
    assert.is_true(rl.now() - from < 3)
  end)

  it("need one timer, however many connections there are, and none without one", function()
    local idle = rl.stats().timers
    local server = serve{beat = function() end}
    assert.equal(idle, rl.stats().timers)
    local clients = {}
    for i = 1, 300 do clients[i] = assert(net.connect(server:addr())) end
    rl.sleep(1)
    assert.equal(idle + 1, rl.stats().timers)
    rl.sleep(100)
    assert.equal(idle + 1, rl.stats().timers)
    for i = 1, 300 do clients[i]:close() end
    rl.sleep(1)
    assert.equal(idle, rl.stats().timers)
    local polls = rl.stats().polls
    rl.sleep(10000)
    assert.is_true(rl.stats().polls - polls < 10)
    server:stop(1)
  end)

  it("wake nobody up while they are in time, but to send", function()
    local n = 0
    local server = serve{beat = function(conn)
      n = n + 1
      conn:heard()
    end, check = math.huge}
    local clients = {}
    for i = 1, 100 do clients[i] = assert(net.connect(server:addr())) end
    rl.sleep(5)
    local turns = rl.stats().turns
    rl.sleep(1000)
    assert.equal(10000, n)
    assert.is_true(rl.stats().turns - turns < 3000, rl.stats().turns - turns)
    for i = 1, 100 do clients[i]:close() end
    server:stop(1)
  end)

  it("work where connections have tasks", function()
    local sent = 0
    local server = assert(net.serve(ANY, function(conn)
      while conn:read() do conn:heard(0.5) end
    end, {heartbeat = {beat = function(conn) sent = sent + 1 conn:write "?" end}}))
    local conn = connect(server)
    assert.equal("?", conn:read(11))
    conn:write "!"
    assert.equal("?", conn:read(11))
    rl.sleep(20)
    assert.equal(1, server:stats().late)
    conn:close()
    rl.sleep(0.1)
    server:stop(1)
    assert.equal(4, sent)
  end)

  it("can be asked for by a protocol, which closes its connections itself", function()
    local sent, closed, load = 0, nil, 0.5
    local server = assert(net.serve(ANY, function(conn)
      assert.is_true(heartbeat.expect(conn, {
        beat = function(c)
          assert.equal(conn, c)
          sent = sent + 1
        end,
        close = function(c, why)
          closed = why
          c:write "bye"
        end,
      }))
      assert.equal("long", conn:class())
      while conn:read() do end
    end, {heartbeat = {metrics = function() return load end}}))
    local conn = connect(server)
    rl.sleep(50)
    assert.equal(5, sent)
    load = 0.9
    rl.sleep(11)
    assert.equal("heartbeat", closed)
    assert.equal("bye", conn:read_all())
    conn:close()
    assert.is_false(heartbeat.expect(conn, {}))
    server:stop(1)
  end)

  for _, case in ipairs{{4.9, {1, 1, 1}, 0}, {5.1, {0.5, 1, 1}, 1}, {99, {0.5, 0.25, 0.5}, 2}} do
    it(("that are answers are asked for; one comes after %g s"):format(case[1]), function()
      local n, answered, got = 0, nil, {}
      local server, conns = serve(true)
      local conn = connect(server)
      heartbeat.expect(conns[1], {
        beat = function()
          n = n + 1
          local after = (n == 1 or n == 2 and case[1] == 99) and case[1] or 0.1
          if after < 99 then
            rl.daemon(function()
              rl.sleep(after)
              answered = rl.now()
            end)
          end
        end,
        heard = function() return answered, 0.5 end,
      })
      rl.sleep(15.05)
      got[1] = conns[1]:weight()
      rl.sleep(10)
      got[2] = conns[1]:weight()
      rl.sleep(10)
      got[3] = conns[1]:weight()
      assert.same(case[2], got)
      assert.equal(case[3], server:stats().late)
      conn:close()
      server:stop(1)
    end)
  end

  it("do what a plain model says", function()
    local SEED = 7
    math.randomseed(SEED)
    local said = {}
    local server, conns = serve{on_weight = function(conn, w) said[conn] = w end}
    local clients, model = {}, {}
    for i = 1, 20 do clients[i] = connect(server) end
    for i = 1, 20 do
      conns[i]:heard()
      model[i] = {heard = rl.now(), due = rl.now() + 15, weight = 1, missed = false}
    end
    local function pass(m, now)
      while m.due < now do
        m.due, m.weight, m.missed = m.due + 15, math.max(1 / 16, m.weight / 2), true
      end
    end
    for _ = 1, H.rounds(20000, 500) do
      rl.sleep(math.random() * 1.5)
      local i, now = math.random(20), rl.now()
      local m = model[i]
      pass(m, now)
      if not m.missed then m.weight = math.min(1, m.weight * 2) end
      m.heard, m.due, m.missed = now, now + 15, false
      conns[i]:heard()
      local k = math.random(20)
      pass(model[k], now)
      assert.equal(model[k].weight, (server:weight(conns[k])), "seed " .. SEED)
      assert.equal(model[i].weight, said[conns[i]] or 1)
    end
    for i = 1, 20 do clients[i]:close() end
    server:stop(1)
  end, {timeout = 0})
end)

H.both("the option heartbeat", function(it)
  it("is checked", function()
    local function bad(text, opts)
      H.raises_text(text, net.serve, ANY, print, {heartbeat = opts})
    end
    bad("heartbeat", 1)
    bad("unknown option 'evry'", {evry = 1})
    bad("every", {every = 0})
    bad("late", {late = -1})
    bad("share", {share = 2})
    bad("batch", {batch = 0.5})
    bad("beat", {beat = 1})
    bad("unknown option 'idl'", {keepalive = {idl = 1}})
    bad("count", {keepalive = {count = 0}})
    local http = require "ringlet.http"
    H.raises_text("heartbeats of its own", http.serve, ANY, print, {heartbeat = {beat = print}})
  end)

  it("is nothing when it is false", function()
    local server = assert(net.serve(ANY, print, {heartbeat = false}))
    assert.equal(0, server:stats().evicted)
    server:stop(0)
  end)

end)

describe("a run that ends", function()
  it("ends heartbeats that are being sent, and nothing is left of them in the next", function()
    local sent, left = 0, nil
    for _ = 1, 2 do
      H.run(function()
        local server, conns = serve{every = 1, beat = function() sent = sent + 1 rl.sleep(10) end}
        connect(server)
        rl.sleep(2)
        left = left or conns[1]
        assert(left == conns[1] or not left:heard(1))
        rl.stop(0)
      end)
    end
    assert.equal(2, sent)
    assert.is_false(left:heard(1))
    assert.equal(1, (left:weight()))
  end)
end)
