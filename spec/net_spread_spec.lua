-- SPDX-License-Identifier: MIT
-- Servers on several shards: net.serve with `shards`. A simulated shard has a network of its own,
-- so what is served there is asked for by a job on that shard.
local H = require "spec.helper"
local net = require "ringlet.net"
local rl = require "ringlet"
local tasks = require "ringlet.debug"
local gates = require "spec.fifo_gate"
local wire = require "spec.wire"

local ANY = wire.ANY

-- Says which shard serves.
local function who(conn)
  local data = conn:read()
  conn:write(require("ringlet").shard(), ":", data)
end

local ON_DATA = {
  on_data = function(conn, data)
    conn:write(require("ringlet").shard(), ":", data)
    conn:close()
  end,
}

local function ask(addr, text)
  local conn, msg, code = require("ringlet.net").connect(addr)
  if not conn then
    return nil, msg, code
  end
  conn:write(text)
  local got, why, name = conn:read_all()
  conn:close()
  return got, why, name
end

local function live_are(n, server)
  H.eventually(n .. " connections", function() return server:stats().live == n end)
end

-- How many answers each shard gave to `n` requests, one after another.
local function spread_of(addr, n)
  local seen = {0, 0, 0, 0}
  for _ = 1, n do
    local shard = tonumber(assert(ask(addr, "x")):match "^(%d):x$")
    seen[shard] = seen[shard] + 1
  end
  return seen
end

-- A shard that gets no CPU for a while is not passed over.
local TWO = {shards = 2, stall_after = 0}
local SERVE_TWO = {shards = 2}

for _, how in ipairs{"reuseport", "handover"} do
  for kind, handler in pairs{["a task"] = who, on_data = ON_DATA} do
    H.on("uring", ("a server on two shards, %s, with %s"):format(how, kind), function(it)
      it("serves on both, behind one object", function()
        local server = assert(net.serve(ANY, handler, {shards = "all", accept = how, name = "web"}))
        assert.equal(("ringlet.server: web, %s on 2 shards"):format(server:addr()),
          tostring(server))
        assert.same({"serving", "serving"}, server:shards())
        local seen = spread_of(server:addr(), 60)
        assert.is_true(seen[1] > 5 and seen[2] > 5, seen[1] .. " and " .. seen[2])
        live_are(0, server)
        local stats = server:stats()
        assert.equal(60, stats.accepted)
        assert.equal(0, stats.live)
        assert.equal(seen[1], stats.shards[1].accepted)
        assert.equal(seen[2], stats.shards[2].accepted)
        assert.is_true(server:stop(30))
        assert.is_true(server:join())
        assert.same({"ended", "ended"}, server:shards())
        assert.equal("ECONNREFUSED", select(3, net.connect(server:addr())))
      end, TWO)

      it("takes a shard out of service and loses nobody", function()
        local server = assert(net.serve(ANY, handler, {shards = 2, accept = how}))
        local lost, asked, done = 0, 0, false
        local clients = {}
        for i = 1, 8 do
          clients[i] = rl.go(function()
            while not done do
              asked = asked + 1
              if not ask(server:addr(), "y") then
                lost = lost + 1
              end
            end
          end)
        end
        local function go_on()
          local from = asked
          H.eventually("32 more", function() return asked >= from + 32 end)
        end
        go_on()
        assert.is_true(server:drain(2))
        local before = server:stats().shards[2].accepted
        go_on()
        done = true
        for i = 1, 8 do
          clients[i]:join()
        end
        assert.equal(before, server:stats().shards[2].accepted)
        assert.equal("ended", server:shards()[2])
        assert.equal("serving", server:shards()[1])
        -- Those of the moment of closing: see drain. Each client has one at the most; with
        -- handover there is none.
        assert.is_true(lost <= (how == "handover" and 0 or 8), lost)
        assert.same({10, 0, 0, 0}, spread_of(server:addr(), 10))
        assert.is_true(server:drain(1))
        assert.equal("ECONNREFUSED", select(3, net.connect(server:addr())))
        assert.is_true(server:join(30))
      end, TWO)

      it("fails as one when it cannot listen, and leaves nothing", function()
        local taken = assert(net.listen(ANY))
        local server, msg, code = net.serve(taken:addr(), handler, {shards = 2, accept = how})
        assert.same({nil, "EADDRINUSE: address already in use", "EADDRINUSE"}, {server, msg, code})
        taken:close()
      end, TWO)

      it("serves where it is told to, also if not here", function()
        local server = assert(net.serve(ANY, handler, {shards = {2}, accept = how}))
        assert.same({nil, "serving"}, server:shards())
        assert.same({0, 10, 0, 0}, spread_of(server:addr(), 10))
        H.raises_text("does not serve on shard 1", server.drain, server, 1)
        assert.is_true(server:stop(30))
      end, TWO)

      it("can be asked for by any shard, and is known there", function()
        local f = rl.spawn_on(2, function(h, accept, any)
          local rl = require "ringlet" -- luacheck: ignore 431
          local server = assert(require("ringlet.net").serve(any, h, {shards = 2, accept = accept}))
          rl.daemon(function()
            repeat rl.sleep(0.005) until server:stats().accepted == 1
            server:stop(30)
          end)
          return server:addr()
        end, handler, how, ANY)
        local _, addr = assert(f:join())
        assert.truthy(ask(addr, "x"))
      end, TWO)

      it("can be selected", function()
        local server = assert(net.serve(ANY, handler, {shards = 2, accept = how}))
        assert.equal("ETIMEDOUT", select(3, rl.select({{server}}, 0)))
        rl.go(function() server:stop() end)
        assert.same({1, true}, {rl.select({{server}}, 30)})
      end, TWO)
    end)
  end
end

H.on("uring", "max_connections of a server on two shards", function(it)
  for _, how in ipairs{"reuseport", "handover"} do
    it("is each one's half: " .. how, function()
      local server = assert(net.serve(ANY, who, {shards = 2, accept = how, max_connections = 3}))
      local conns = {}
      for i = 1, 16 do
        conns[i] = assert(net.connect(server:addr()))
      end
      local stats
      H.eventually("all that may live", function()
        stats = server:stats()
        local most = math.max(stats.shards[1].live, stats.shards[2].live)
        return how == "reuseport" and most >= 2 or stats.live >= 4
      end)
      assert.is_true(stats.shards[1].live <= 2 and stats.shards[2].live <= 2)
      assert.is_true(how == "reuseport" or stats.live == 4, stats.live)
      local readers = {}
      for i = 1, 16 do -- in any order: each ends when it is its turn
        readers[i] = rl.go(function()
          conns[i]:write("z")
          assert.truthy(conns[i]:read_all():match "^%d:z$")
          conns[i]:close()
        end)
      end
      for i = 1, 16 do
        assert(readers[i]:join())
      end
      assert.is_true(server:stop(30))
      assert.equal(16, server:stats().accepted)
    end, TWO)
  end
end)

H.on("uring", "handover", function(it)
  it("goes to the shard with the fewest connections, or in turn", function()
    for _, placement in ipairs{"fewest", "turn"} do
      local server = assert(net.serve(ANY, {on_data = function() end},
        {shards = 2, accept = "handover", placement = placement}))
      local conns = {}
      for i = 1, 10 do
        conns[i] = assert(net.connect(server:addr()))
      end
      live_are(10, server)
      assert.equal(5, server:stats().shards[1].live)
      assert.equal(5, server:stats().shards[2].live)
      for i = 1, 10 do
        conns[i]:close()
      end
      assert.is_true(server:stop(30))
    end
  end, TWO)

  it("passes a stalled shard over", function()
    local server = assert(net.serve(ANY, who,
      {shards = 2, accept = "handover", placement = "turn"}))
    local gate = gates.new()
    local f = rl.spawn_on(2, gates.pass, gate.name)
    H.eventually("a stalled shard", function() return select(2, tasks.tasks())[2].seconds end)
    assert.same({10, 0, 0, 0}, spread_of(server:addr(), 10))
    gate.open()
    assert(f:join())
    gate.remove()
    assert.is_true(server:stop(30))
  end, {shards = 2, stall_after = 0.1, on_overrun = function() end})
end)

H.both("a handler of a server on two shards", function(it)
  it("must travel: the error names the path", function()
    local co = coroutine.create(print)
    local deep = {x = {y = co}}
    H.raises_text("cannot travel: handler: upvalue 'deep'.x.y is a coroutine", net.serve, ANY,
      function() return deep end, SERVE_TWO)
    H.raises_text("cannot travel: handler.on_close: upvalue 'co'", net.serve, ANY,
      {on_data = who, on_close = function() return co end}, SERVE_TWO)
  end, TWO)

  it("fails to begin as one when a module is missing over there", function()
    package.loaded["spec.only here"] = {fn = function() end}
    local only = package.loaded["spec.only here"]
    H.raises_text("only here", net.serve, ANY, function() return only.fn end, SERVE_TWO)
    package.loaded["spec.only here"] = nil
  end, TWO)
end)

H.both("the options of a server on several shards", function(it)
  it("are checked", function()
    for _, wrong in ipairs{0, 3, 1.5, "some", {1, 1}, {0}, {3}, {}} do
      H.raises_text("shards:", net.serve, ANY, who, {shards = wrong})
    end
    H.raises_text("accept:", net.serve, ANY, who, {accept = "both"})
    H.raises_text("placement:", net.serve, ANY, who, {placement = "best"})
  end, TWO)
end)

H.sim("a server on two simulated shards", function(it)
  it("accepts on each in that shard's network", function()
    local server = assert(net.serve(ANY, who, {shards = 2}))
    assert.equal("1:x", ask(server:addr(), "x"))
    local ok, got = rl.spawn_on(2, function(addr)
      local conn = assert(require("ringlet.net").connect(addr))
      conn:write("x")
      local all = conn:read_all()
      conn:close()
      return all
    end, server:addr()):join()
    assert.same({true, "2:x"}, {ok, got})
    assert.equal(2, server:stats().accepted)
    assert.is_true(server:drain(2))
    assert.is_true(server:stop(1))
  end, TWO)

  it("keeps what it hands over where it was accepted", function()
    local server = assert(net.serve(ANY, who, {shards = 2, accept = "handover"}))
    assert.same({6, 0, 0, 0}, spread_of(server:addr(), 6))
    assert.is_true(server:stop(1))
  end, TWO)
end)

H.both("a server whose run has one shard", function(it)
  it("is an ordinary one with shards = \"all\"; it can be drained", function()
    local server = assert(net.serve(ANY, who, {shards = "all"}))
    assert.same({"serving"}, server:shards())
    local conn = assert(net.connect(server:addr()))
    live_are(1, server)
    assert.is_true(server:drain())
    assert.same({"draining"}, server:shards())
    assert.equal("ECONNREFUSED", select(3, net.connect(server:addr())))
    conn:write("late")
    assert.equal("1:late", conn:read_all())
    conn:close()
    assert.is_true(server:join(30))
    assert.same({"ended"}, server:shards())
    assert.is_true(server:drain())
  end, {shards = 1})

  it("has its connections alone while it is drained, until it is stopped", function()
    local server = assert(net.serve(ANY, ON_DATA))
    local conn = assert(net.connect(server:addr()))
    live_are(1, server)
    assert.is_true(server:drain())
    assert.equal("ETIMEDOUT", select(3, server:join(0.1)))
    assert.is_true(server:stop(30))
    assert.equal("EOF", select(3, conn:read(30)))
    conn:close()
  end, {shards = 1})
end)

describe("a run with a server on two shards", function()
  it("ends when main fails, with connections open", function()
    if H.missing.uring then
      return pending(H.missing.uring)
    end
    local text = H.raises(H.run, function()
      local server = assert(net.serve(ANY, function(conn) conn:read() end, SERVE_TWO))
      for _ = 1, 10 do
        assert(net.connect(server:addr()))
      end
      live_are(10, server)
      error("main failed", 0)
    end, {backend = "uring", shards = 2})
    assert.equal("main failed", text)
  end)
end)

describe("a handler's error", function()
  it("goes to on_error of the shard where it happens", function()
    if H.missing.uring then
      return pending(H.missing.uring)
    end
    local out, code = H.script[[
      local net = require "ringlet.net"
      rl.shard_init(function()
        local rl = require "ringlet"
        rl.on_error(function(err)
          io.stderr:write(("on shard %d: %s\n"):format(rl.shard(), err))
        end)
      end)
      rl.run(function()
        local server = assert(net.serve("127.0.0.1:0", function() error("boo", 0) end,
          {shards = {2}}))
        local conn = assert(net.connect(server:addr()))
        conn:read()
        conn:close()
        server:stop()
      end, {shards = 2, backend = "uring"})
    ]]
    assert.equal("on shard 2: boo\n", out)
    assert.equal(0, code)
  end)
end)
