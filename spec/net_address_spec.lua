-- SPDX-License-Identifier: MIT
-- Servers that limit how many connections an address has.
local H = require "spec.helper"
local core = require "ringlet.core"
local http = require "ringlet.http"
local net = require "ringlet.net"
local net_address = require "ringlet.net_address"
local rl = require "ringlet"
local shared = require "ringlet.shared"

local ANY = "127.0.0.1:0"
local WAIT = 30 -- for what hangs
local QUIET = {on_data = function(conn, data) conn:write(data) end}

-- A connection that was let in, or nil: it was reset at once.
local function try(server, addr)
  local conn, msg, code = net.connect(addr or server:addr())
  if not conn then
    assert.equal("ECONNRESET", code, msg) -- so soon that connect saw it
    return nil
  end
  conn:write "x"
  if conn:read(WAIT) then
    return conn
  end
  conn:close()
end

local function await_live(server, n)
  H.eventually(n .. " connections", function() return server:stats().live == n end)
end

for name, handler in pairs{
  ["a task"] = function(conn)
    while true do
      local data = conn:read()
      if not data then return end
      conn:write(data)
    end
  end,
  on_data = QUIET,
} do
  H.both("max_per_address with " .. name, function(it)
    it("resets what is above it, and counts that", function()
      local server = assert(net.serve(ANY, handler, {max_per_address = 3}))
      local conns = {}
      for i = 1, 3 do conns[i] = assert(try(server)) end
      for _ = 1, 2 do assert.is_nil(try(server)) end
      local stats = server:stats()
      assert.same({5, 3, 2}, {stats.accepted, stats.live, stats.refused})
      conns[2]:close()
      await_live(server, 2)
      conns[2] = assert(try(server))
      assert.is_nil(try(server))
      conns[1]:abort()
      conns[3]:shutdown()
      await_live(server, 1)
      conns[4], conns[5] = assert(try(server)), assert(try(server))
      assert.is_nil(try(server))
      for _, conn in pairs(conns) do conn:close() end
      await_live(server, 0)
      assert.equal(4, server:stats().refused)
      server:stop(1)
    end)
  end)
end

H.both("max_per_address", function(it)
  it("holds for HTTP as well", function()
    local server = assert(http.serve(ANY, function(_, res) res:send(200, "ok") end,
      {max_per_address = 1}))
    local text = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    local one = assert(net.connect(server:addr()))
    one:write(text)
    assert.is_truthy(one:read_until("ok", 1000, WAIT))
    assert.is_nil(try(server))
    one:write(text)
    assert.is_truthy(one:read_until("ok", 1000, WAIT))
    one:close()
    server:stop(1)
    assert.equal(1, server:stats().refused)
  end)

  it("is checked", function()
    H.raises_text("max_per_address", net.serve, ANY, print, {max_per_address = 0})
    H.raises_text("max_per_address", net.serve, ANY, print, {max_per_address = 1.5})
    H.raises_text("ipv6_prefix", net.serve, ANY, print, {ipv6_prefix = 129})
  end)
end)

H.on("uring", "max_per_address", function(it)
  it("tells addresses apart", function()
    local listener, why = net.listen "[::1]:0"
    if not listener then
      return pending("no IPv6: " .. why)
    end
    listener:close()
    local server = assert(net.serve("[::]:0", QUIET, {max_per_address = 1}))
    local port = server:addr():match "%d+$"
    local four = assert(try(server, "127.0.0.1:" .. port))
    local six = assert(try(server, "[::1]:" .. port))
    assert.is_nil(try(server, "127.0.0.1:" .. port))
    assert.is_nil(try(server, "[::1]:" .. port))
    four:close()
    await_live(server, 1)
    assert.is_nil(try(server, "[::1]:" .. port))
    four = assert(try(server, "127.0.0.1:" .. port))
    four:close()
    six:close()
    server:stop(1)
  end)
end)

-- There a client has the address that it connects to.
H.sim("max_per_address", function(it)
  it("takes the networks of IPv6 for addresses", function()
    for _, case in ipairs{{nil, 1}, {128, 2}} do
      local server = assert(net.serve("[::]:0", QUIET,
        {max_per_address = 1, ipv6_prefix = case[1]}))
      local port, n, conns = server:addr():match "%d+$", 0, {}
      for _, host in ipairs{"2001:db8::1", "2001:db8::2"} do
        local conn = try(server, ("[%s]:%s"):format(host, port))
        n = n + (conn and 1 or 0)
        conns[#conns + 1] = conn
      end
      local other = assert(try(server, ("[2001:db8:0:1::1]:%s"):format(port)))
      assert.equal(case[2], n)
      for _, conn in ipairs(conns) do conn:close() end
      other:close()
      server:stop(1)
    end
  end)

  it("is what a plain model says, whoever comes and goes", function()
    math.randomseed(3)
    local server = assert(net.serve("0.0.0.0:0", QUIET, {max_per_address = 3}))
    local port, live, refused = server:addr():match "%d+$", {}, 0
    for round = 1, H.rounds(2000, 100) do
      local k = math.random(5)
      live[k] = live[k] or {}
      if math.random(5) > 2 then
        local conn = try(server, ("127.0.0.%d:%s"):format(k, port))
        assert.equal(#live[k] < 3, conn ~= nil, round)
        refused = refused + (conn and 0 or 1)
        table.insert(live[k], conn)
      elseif live[k][1] then
        local conn = table.remove(live[k], math.random(#live[k]))
        local how = ({"close", "abort", "shutdown"})[math.random(3)]
        conn[how](conn)
        rl.sleep(0.01)
        conn:close()
      end
    end
    assert.equal(refused, server:stats().refused)
    for _, list in pairs(live) do
      for _, conn in ipairs(list) do conn:close() end
    end
    server:stop(1)
  end)
end)

H.sim("the network of a peer", function(it)
  local function network(addr, bits)
    local listener = assert(net.listen(addr))
    local conn = assert(net.connect(listener:addr()))
    local key = core.conn_network(conn, bits)
    conn:close()
    listener:close()
    return key
  end

  it("is its IPv4 address, or a part of its IPv6 address", function()
    local function differ(a, b, bits)
      return network(a, bits) ~= network(b, bits)
    end
    assert.is_true(differ("10.0.0.1:0", "10.0.0.2:0", 64))
    assert.is_false(differ("[2001:db8::1]:0", "[2001:db8::2]:0", 64))
    assert.is_true(differ("[2001:db8::1]:0", "[2001:db8::2]:0", 128))
    assert.is_true(differ("[2001:db8:0:1::1]:0", "[2001:db8:0:2::1]:0", 64))
    assert.is_false(differ("[2001:db8:0:1::1]:0", "[2001:db8:0:2::1]:0", 48))
    assert.is_true(differ("[a00:1::]:0", "10.0.0.1:0", 32))
  end)
end)

describe("a counter of connections", function()
  local SEED, KEYS, MAX = 5, 6, 4

  -- Every number that is left, of either kind.
  local function left(counter)
    return counter.dict and counter.dict:size() or next(counter.counts) ~= nil and 1 or 0
  end

  for _, kind in ipairs{"own", "shared"} do
    it("counts as a plain model does, and knows nobody without connections: " .. kind, function()
      math.randomseed(SEED)
      local dict = kind == "shared" and shared.dict() or nil
      local counter, model, n = net_address.counter(MAX, dict), {}, 0
      for round = 1, H.rounds(100000) do
        local key = "k" .. math.random(KEYS)
        local count = model[key] or 0
        local where = ("seed %d, round %d"):format(SEED, round)
        if math.random(2) == 1 then
          local let_in = counter:take(key)
          if let_in ~= (count < MAX) then error(where) end
          if let_in then model[key], n = count + 1, n + 1 end
        elseif count > 0 then
          counter:give(key)
          model[key], n = count > 1 and count - 1 or nil, n - 1
        end
        if n == 0 and left(counter) > 0 then error(where) end
      end
      for key, count in pairs(model) do
        for _ = 1, count do counter:give(key) end
      end
      assert.equal(0, left(counter))
    end)
  end
end)

-- On several shards: the limit is one for all of them.
describe("max_per_address on two shards", function()
  for _, accept in ipairs{"reuseport", "handover"} do
    it("is exact: " .. accept, function()
      if H.missing.uring then
        return pending(H.missing.uring)
      end
      local opened, refused, most, stats = 0, 0, 0, nil
      rl.run(function()
        local now = 0
        local server = assert(net.serve(ANY, {
          on_data = function(conn, data) conn:write(data) end,
        }, {shards = "all", accept = accept, max_per_address = 10}))
        local function client()
          for _ = 1, 20 do
            local conn, _, code = net.connect(server:addr())
            assert.is_true(conn ~= nil or code == "ECONNRESET", code) -- at once, that is
            if conn then conn:write "x" end
            if conn and conn:read(WAIT) then
              opened, now = opened + 1, now + 1
              most = math.max(most, now)
              rl.yield()
              now = now - 1
            else
              refused = refused + 1
            end
            if conn then conn:close() end
          end
        end
        local tasks = {}
        for i = 1, 30 do tasks[i] = rl.go(client) end
        for i = 1, 30 do assert(tasks[i]:join()) end
        await_live(server, 0)
        local conns = {}
        for i = 1, 10 do conns[i] = assert(try(server)) end
        assert.is_nil(try(server))
        for i = 1, 10 do conns[i]:close() end
        server:stop(WAIT)
        stats = server:stats()
      end, {backend = "uring", shards = 2, preempt = false}) -- the clients share counters
      assert.equal(600, opened + refused)
      assert.is_true(most <= 10 and opened > 0, most)
      assert.equal(refused + 1, stats.refused)
      assert.equal(611, stats.accepted)
      assert.equal(0, stats.live)
    end)
  end
end)
