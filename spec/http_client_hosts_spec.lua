-- SPDX-License-Identifier: MIT
-- The connections of a client: how long they are used, how many there are, who has the next.
local rl = require "ringlet"
local H = require "spec.helper"
local S = require "spec.http_script"
local in_turn = require "spec.in_turn"
local http = require "ringlet.http"

local fails = S.fails

local function get(client, s, path)
  return assert(client:get(s.url .. (path or ""))).body
end

-- n requests at the same time.
local function at_once(n, client, s)
  local done = rl.waitgroup()
  for _ = 1, n do
    done:go(function() get(client, s) end)
  end
  done:wait()
end

local function slowly(t)
  return function(conn)
    rl.sleep(t)
    conn:write(S.OK)
  end
end

-- A script that answers once gate.open:set() was called.
local function gated()
  local gate = {open = rl.event()}
  function gate.script(conn)
    gate.open:wait()
    conn:write(S.OK)
  end
  return gate
end

-- How many connections the servers have in the end: they hear of it later than the client.
local function live_are(wanted, list)
  local function live()
    local all = {}
    for i, s in ipairs(list) do all[i] = s.live end
    return all
  end
  H.eventually("connections: " .. table.concat(wanted, " "), function()
    return table.concat(live(), " ") == table.concat(wanted, " ")
  end)
end

H.sim("an idle connection", function(it)
  it("is used again within 30 s, and not after that", function()
    S.with(S.OK, function(client, s)
      for _ = 1, 3 do
        get(client, s)
        rl.sleep(29.9)
      end
      assert.equal(1, s.connections)
      rl.sleep(0.1)
      get(client, s)
      assert.equal(2, s.connections)
      rl.sleep(30.1)
      get(client, s)
      assert.equal(3, s.connections)
    end)
  end)

  it("is closed when that is asked for, and the client goes on", function()
    S.with({slowly(5), S.OK}, function(client, s)
      local slow = rl.go(get, client, s)
      rl.sleep(1)
      get(client, s)
      assert.is_true(client:close_idle())
      rl.sleep(1)
      assert.same({0, 1, 1}, {client:stats().idle, client:stats().busy, s.live})
      assert(slow:join())
      get(client, s)
      assert.same({1, 2}, {client:stats().idle, s.connections})
    end)
  end)

  it("is closed after 90 s", function()
    S.with(S.OK, function(client, s)
      get(client, s)
      rl.sleep(89.9)
      assert.same({1, 1}, {client:stats().idle, s.live})
      rl.sleep(0.1 + H.TICK)
      assert.same({0, 0}, {client:stats().idle, s.live})
    end)
  end)

  it("has the times that it was given", function()
    S.with(S.OK, {idle_timeout = 5, reuse_within = 2}, function(client, s)
      get(client, s)
      rl.sleep(1.9)
      get(client, s)
      rl.sleep(2)
      get(client, s)
      assert.equal(2, s.connections)
      rl.sleep(4.9)
      assert.equal(1, client:stats().idle)
      rl.sleep(0.1 + H.TICK)
      assert.equal(0, client:stats().open)
    end)
  end)

  it("wakes nobody before its time", function()
    S.with(S.OK, function(client, s)
      get(client, s)
      local began = rl.now()
      rl.sleep(80)
      assert.is_true(rl.now() - began <= 80 + H.TICK)
    end)
  end)
end)

H.both("an idle connection that the server closes", function(it)
  it("is closed at once, and found out when it is needed", function()
    local close = rl.event()
    local function script(conn)
      conn:write(S.OK)
      conn:flush()
      close:wait()
      return true
    end
    S.with(script, function(client, s)
      get(client, s)
      local handles = rl.stats().handles
      close:set()
      H.eventually("both ends closed", function() return rl.stats().handles == handles - 2 end)
      get(client, s)
      assert.same({2, 1}, {s.connections, client:stats().stale})
    end)
  end)
end)

in_turn.both("connections to a host", function(it)
  it("serve as many requests as they may", function()
    S.with(S.OK, {max_uses = 16}, function(client, s)
      for i = 1, 33 do
        get(client, s)
        assert.equal(math.ceil(i / 16), s.connections)
      end
      assert.equal(16, #s.seen - 17)
    end)
  end)

  it("are kept while idle, but no more than max_idle_per_host", function()
    local five = rl.event()
    local function script(conn, _, s)
      if #s.seen == 5 then five:set() end
      five:wait()
      conn:write(S.OK)
    end
    S.with(script, {max_idle_per_host = 2}, function(client, s)
      at_once(5, client, s)
      assert.equal(5, s.connections)
      assert.equal(2, client:stats().idle)
      live_are({2}, {s})
      for _ = 1, H.rounds(1000, 50) do get(client, s) end
      assert.equal(2, client:stats().idle)
      assert.equal(5, s.connections)
    end)
  end)

  it("may be none while idle", function()
    S.with(S.OK, {max_idle_per_host = 0}, function(client, s)
      get(client, s)
      get(client, s)
      assert.same({2, 0}, {s.connections, client:stats().open})
    end)
  end)

  it("are never more than max_per_host, and who waits is served in turn", function()
    local order = {}
    local function script(conn, request)
      order[#order + 1] = request.target
      rl.sleep(0.002)
      conn:write(S.OK)
    end
    S.with(script, {max_per_host = 1}, function(client, s)
      local done, expected = rl.waitgroup(), {}
      for i = 1, 10 do
        expected[i] = "/" .. i
        done:go(function() get(client, s, "/" .. i) end)
        rl.yield()
      end
      done:wait()
      assert.same(expected, order)
      assert.same({1, 1}, {s.connections, s.most})
    end)
  end)

  it("go to the next who waits, also when one ends instead", function()
    local most, watched = 0, nil
    local function script(conn, request)
      most = math.max(most, watched.hosts.places.used)
      rl.sleep(0.002)
      conn:write(request.target == "/bad" and "nonsense" or S.OK)
    end
    S.with(script, {max_per_host = 2}, function(client, s)
      local done, bad = rl.waitgroup(), 0
      watched = client
      for i = 1, 30 do
        done:go(function()
          local res = client:get(s.url .. (i % 3 == 0 and "/bad" or ""))
          bad = bad + (res and 0 or 1)
        end)
      end
      done:wait()
      assert.equal(10, bad)
      assert.equal(2, most)
    end)
  end)

  it("fail for who wanted them when they cannot be opened", function()
    local s = S.serve(S.OK)
    s.stop()
    s.server:join()
    local client = http.client{max_per_host = 2}
    local done, failed = rl.waitgroup(), 0
    for _ = 1, 5 do
      done:go(function()
        fails("ECONNREFUSED", client:get(s.url))
        failed = failed + 1
      end)
    end
    done:wait()
    assert.equal(5, failed)
    assert.same({0, 0}, {client:stats().open, client:stats().waiting})
    client:close()
  end)
end)

in_turn.both("connections to all hosts", function(it)
  -- Servers of the same script.
  local function several(n, script, opts, fn)
    local list, client = {}, http.client(opts)
    for i = 1, n do list[i] = S.serve(script) end
    fn(client, list)
    local stats = client:stats()
    assert.same({0, 0}, {stats.busy, stats.waiting})
    client:close()
    for _, s in ipairs(list) do s.stop() end
  end

  it("are never more than max_total: the longest idle makes room", function()
    several(3, S.OK, {max_total = 2}, function(client, list)
      get(client, list[1])
      get(client, list[2])
      assert.same({2, 2}, {client:stats().open, client:stats().hosts})
      get(client, list[3])
      live_are({0, 1, 1}, list)
      get(client, list[2])
      get(client, list[1])
      live_are({1, 1, 0}, list)
      assert.equal(2, client:stats().open)
    end)
  end)

  it("go to whoever has waited longest, of whatever host", function()
    local order, live, most, all_wait = {}, 0, 0, rl.event()
    local function script(conn, request)
      order[#order + 1] = request.target
      live = live + 1
      most = math.max(most, live)
      all_wait:wait()
      rl.sleep(0.002)
      live = live - 1
      conn:write(S.OK)
    end
    several(3, script, {max_total = 1}, function(client, list)
      local done, expected = rl.waitgroup(), {}
      for i = 1, 18 do
        expected[i] = "/" .. i
        done:go(function() get(client, list[i * 7 % 3 + 1], "/" .. i) end)
        H.eventually("a place in the line", function()
          return #order == 1 and client:stats().waiting == i - 1
        end)
      end
      all_wait:set()
      done:wait()
      assert.same(expected, order)
      assert.equal(1, most)
      assert.equal(1, client:stats().open)
    end)
  end)

  it("whose waiters give up leave nothing behind", function()
    local gate = gated()
    several(2, gate.script, {max_total = 1}, function(client, list)
      local first = rl.go(get, client, list[1])
      rl.yield()
      local a = rl.go(function() client:get(list[2].url) end)
      S.turns()
      fails("ETIMEDOUT", client:get(list[2].url, {acquire_timeout = 0.001}))
      a:cancel()
      a:join()
      gate.open:set()
      assert.same({true, "ok"}, {first:join()})
      assert.equal("ok", get(client, list[1]))
      assert.equal(1, list[1].connections)
      assert.equal("ok", get(client, list[2]))
      assert.equal("ok", get(client, list[1]))
      assert.equal(1, client:stats().open)
    end)
  end)

  it("that come back to who wanted another one leave nobody waiting for a place", function()
    local gate = gated()
    several(2, gate.script, {max_total = 2}, function(client, list)
      local done = rl.waitgroup()
      for _, i in ipairs{1, 2, 2, 2} do
        done:go(function() get(client, list[i]) end)
        rl.yield()
      end
      S.turns()
      assert.equal(1, #client.hosts.places.hungry)
      gate.open:set()
      done:wait()
      assert.same({}, client.hosts.places.hungry)
      assert.same({1, 2, 0}, {list[1].connections, list[2].connections, client:stats().opening})
    end)
  end)

  it("that cannot be opened give their place to the next", function()
    several(1, S.OK, {max_total = 1}, function(client, list)
      local dead = S.serve(S.OK)
      dead.stop()
      dead.server:join()
      for _ = 1, 3 do
        fails("ECONNREFUSED", client:get(dead.url))
        assert.equal("ok", get(client, list[1]))
      end
    end)
  end)

  it("of hosts that are not used any more are forgotten", function()
    several(H.torture and 20 or 150, S.OK, {max_idle_per_host = 0}, function(client, list)
      for _, s in ipairs(list) do get(client, s) end
      local n = 0
      for _ in pairs(client.hosts.by_key) do n = n + 1 end
      assert.is_true(n <= 64)
      assert.equal(0, client:stats().hosts)
    end)
  end)

  -- Whatever 40 tasks do with 4 hosts, the limits hold and everything comes back.
  it("hold their limits under random load", function()
    local seed = 20261
    local random = seed
    local function next_random(n)
      random = (random * 1103515245 + 12345) % 2 ^ 31
      return math.floor(random / 65536) % n
    end
    local live, most = 0, 0
    local function script(conn, request)
      local what = tonumber(request.target:match "%d+")
      if what == 1 then return true end
      if what == 2 then conn:write "x" return true end
      if what == 3 then rl.sleep(0.001) end
      conn:write(S.response("ok", what == 4 and "Connection: close\r\n" or ""))
    end
    several(4, script, {max_total = 6, max_per_host = 3, max_idle_per_host = 2, max_uses = 5},
      function(client, list)
        local watcher = rl.daemon(function()
          while true do
            live = client.hosts.places.used
            most = math.max(most, live)
            rl.yield()
            rl.sleep(0.0003)
          end
        end)
        local done = rl.waitgroup()
        for _ = 1, 40 do
          done:go(function()
            for _ = 1, H.rounds(50, 5) do
              local opts = {timeout = next_random(6) == 0 and 0.0005 or 5}
              client:get(list[next_random(4) + 1].url .. "/" .. next_random(8), opts)
            end
          end)
        end
        done:wait()
        watcher:cancel()
        H.eventually("two connections a host at most, seed " .. seed, function()
          for _, s in ipairs(list) do
            if s.live > 2 then return false end
          end
          return true
        end)
        local stats = client:stats()
        assert.is_true(most <= 6, "seed " .. seed)
        assert.equal(stats.open, client.hosts.places.used, "seed " .. seed)
      end)
  end, {preempt = true})
end)

in_turn.both("a client that is closed", function(it)
  it("serves nobody, and closes what is in use when that comes back", function()
    local gate = gated()
    local function script(conn, request, s)
      if #s.seen == 1 then conn:write(S.OK) else gate.script(conn, request) end
    end
    S.with(script, function(client, s)
      get(client, s)
      local task = rl.go(get, client, s)
      H.eventually("a second request", function() return #s.seen == 2 end)
      assert.is_true(client:close())
      fails("ECLOSED", client:get(s.url))
      gate.open:set()
      assert.same({true, "ok"}, {task:join()})
      assert.equal(0, client:stats().open)
      assert.is_true(client:close())
    end)
  end)
end)
