-- SPDX-License-Identifier: MIT
-- bpf.wakeup on live connections of this machine's loopback, whose device it does not touch.
local B = require "spec.bpf"
local core = require "ringlet.core"
local H = require "spec.helper"
local net = require "ringlet.net"
local rl = require "ringlet"

local bpf = B.bpf

local ROUTES = {["/pay"] = "critical", ["/bulk/*"] = "background"}

-- A spec that hangs fails.
local function within(fn, ...)
  assert(rl.timeout(30, fn, ...))
end

-- Run fn(w) in a run, with a wake-up that is closed afterwards.
local function run(opts, fn)
  local w = assert(bpf.wakeup(opts.wakeup or {routes = ROUTES}))
  local ok, err = pcall(rl.run, within, {shards = opts.shards, backend = "uring"}, fn, w)
  w:close()
  if not ok then
    error(err, 0)
  end
end

-- Answers each read with what the wake-up knows of the connection.
local function tell_class(w)
  return function(conn)
    while conn:read() do
      conn:write(tostring((w:class(conn))), " ", tostring(rl.shard()), "\n")
    end
  end
end

local function ask(conn, path)
  conn:write("GET " .. path .. " HTTP/1.1\r\nHost: a\r\n\r\n")
  return conn:read_line():match "^%S+"
end

local function lacks()
  return B.lacks("socket_filter", "uring")
end

describe("bpf.wakeup on a listener", function()
  it("sees the requests of what it accepts", function()
    if lacks() then return end
    run({}, function(w)
      for _, address in ipairs{"127.0.0.1:0", "[::1]:0"} do
        local server = net.serve(address, tell_class(w))
        assert.equal(w, w:attach(server))
        local conn = assert(net.connect(server:addr()))
        assert.equal("nil", ask(conn, "/other"))
        assert.equal("critical", ask(conn, "/pay"))
        assert.equal("normal", ask(conn, "/other"))
        assert.equal("background", ask(conn, "/bulk/1"))
        assert.equal("background", ask(conn, "/bulk/1"))
        conn:close()
        server:stop()
      end
      local s = w:stats()
      assert.same({10, 10, 2, 4, 4, 2, 6}, {s.segments, s.heads, s.critical, s.normal, s.background,
        s.raised, s.marks})
      assert.equal(0, s.early)
    end)
  end)

  it("sees those of a listener, and not those of others", function()
    if lacks() then return end
    run({}, function(w)
      local listener, other = net.listen "127.0.0.1:0", net.listen "127.0.0.1:0"
      w:attach(listener)
      for _, l in ipairs{listener, other} do
        local conn = net.connect(l:addr())
        local peer = l:accept()
        conn:write "GET /pay HTTP/1.1\r\n"
        peer:read()
        assert.equal(l == listener and "critical" or nil, w:class(peer))
        assert.is_nil(w:class(conn))
        peer:close()
        assert.equal("ECLOSED", select(3, w:class(peer)))
        conn:close()
        l:close()
      end
      assert.equal(1, w:stats().segments)
      assert.equal("ECLOSED", select(3, w:attach(listener)))
    end)
  end)

  it("keeps every byte, in segments of any size", function()
    if lacks() then return end
    run({}, function(w)
      local server = net.serve("127.0.0.1:0", function(conn)
        conn:write(conn:read_exactly(tonumber(conn:read_line())))
      end)
      w:attach(server)
      for _, size in ipairs{1, 100, 65535, 3000000} do
        local conn = net.connect(server:addr())
        local body = ("GET /pay HTTP/1.1\r\n"):rep(math.ceil(size / 19)):sub(1, size)
        conn:write(size .. "\n")
        conn:write(body)
        assert.equal(body, conn:read_exactly(size))
        conn:close()
      end
      server:stop()
      local s = w:stats()
      assert.is_true(s.segments >= 8)
      assert.equal(s.heads, s.critical + s.over_budget)
    end)
  end)

  it("says what it cannot be attached to", function()
    if lacks() then return end
    run({shards = 2}, function(w)
      H.raises_text("a listener, a server or a descriptor expected, got nil", w.attach, w)
      H.raises_text("unknown option 'filters'", w.attach, w, 1, {filters = true})
      H.raises_text("a connection or a descriptor expected, got string", w.class, w, "x")
      assert.equal("EBADF", select(3, w:attach(987654)))
      local server = net.serve("127.0.0.1:0", print, {shards = "all", accept = "handover"})
      assert.equal("EOPNOTSUPP", select(3, w:attach(server)))
      server:stop()
      local unix = net.listen(("unix:@ringlet bpf wakeup %d"):format(core.pid()))
      local _, msg, code = w:attach(unix)
      assert.same({"EOPNOTSUPP: not a socket of TCP, whose headers the filter reads", "EOPNOTSUPP"},
        {msg, code})
      unix:close()
      assert.equal("ringlet.bpf.wakeup: attached to 0 listeners here", tostring(w))
    end)
  end)

  it("is attached once, and detached", function()
    if lacks() then return end
    run({}, function(w)
      local server = net.serve("127.0.0.1:0", tell_class(w))
      assert.equal(w, w:attach(server))
      local _, msg, code = w:attach(server)
      assert.same({"EALREADY: it has the wake-up already", "EALREADY"}, {msg, code})
      assert.equal("ringlet.bpf.wakeup: attached to 1 listeners here", tostring(w))
      assert.is_true(w:detach(server))
      assert.is_true(w:detach(server))
      local conn = net.connect(server:addr())
      assert.equal("nil", ask(conn, "/pay"))
      assert.equal(w, w:attach(server))
      local later = net.connect(server:addr())
      assert.equal("critical", ask(later, "/pay"))
      assert.equal("nil", ask(conn, "/pay"))
      assert.is_true(w:close())
      assert.equal("nil", ask(later, "/pay")) -- the class fails: it is closed
      conn:close()
      later:close()
      server:stop()
    end)
  end)

  it("goes on without its handle, until the server ends", function()
    if lacks() then return end
    rl.run(within, {backend = "uring"}, function()
      local listener = net.listen "127.0.0.1:0"
      local seen = setmetatable({}, {__mode = "k"})
      do
        local w = bpf.wakeup{routes = ROUTES}:attach(listener)
        seen[w] = true
      end
      H.collect()
      assert.is_nil(next(seen))
      local used = require "ringlet.bpf_wakeup_part".used()
      assert.equal(1, #used)
      local conn = net.connect(listener:addr())
      local peer = listener:accept()
      conn:write "GET /pay HTTP/1.1\r\n"
      peer:read()
      assert.equal(1, used[1].maps.words:get(0).urgent)
      conn:close()
      peer:close()
      listener:close()
    end)
    assert.equal(0, #require "ringlet.bpf_wakeup_part".used())
  end)

  it("serves one run after another", function()
    if lacks() then return end
    local w = assert(bpf.wakeup{routes = ROUTES})
    for i = 1, 3 do
      rl.run(within, {backend = "uring"}, function()
        local server = net.serve("127.0.0.1:0", tell_class(w))
        assert.equal(w, w:attach(server))
        local conn = net.connect(server:addr())
        assert.equal("critical", ask(conn, "/pay"))
        conn:close()
        server:stop()
      end)
      assert.equal(i, w:stats().critical)
    end
    w:close()
  end)

  it("tells the scheduler, which looks", function()
    if lacks() then return end
    run({shards = 2}, function(w)
      local server = net.serve("127.0.0.1:0", function(conn)
        while conn:read() do conn:write "ok\n" end
      end, {classify = {paths = ROUTES}})
      w:attach(server)
      local address, done = server:addr(), false
      local client = rl.spawn_on(2, function()
        local rl2, net2 = require "ringlet", require "ringlet.net"
        local conn = assert(net2.connect(address))
        for _ = 1, 100 do
          conn:write "GET /pay HTTP/1.1\r\n\r\n"
          conn:read_line()
          rl2.sleep(0.001)
        end
        conn:close()
      end)
      rl.go(function()
        while not done do
          for _ = 1, 1000 do math.sqrt(2) end -- never gives up its turn by itself
        end
      end)
      client:join()
      done = true
      local s = w:stats()
      assert.equal(100, s.critical)
      assert.equal(100, s.raised)
      assert.is_true(s.hints > 0 and s.hints <= 100, s.hints .. " hints")
      assert.is_true(s.spurious <= s.hints)
      server:stop()
    end)
  end)
end)

describe("bpf.wakeup and requests that come with the handshake", function()
  it("raises the word, and marks nobody", function()
    if lacks() or B.lacks("netns", "command:python3") then return end
    B.with_namespaces(1, function(ns)
      ns:sh "sysctl -qw net.ipv4.tcp_fastopen=1027" -- TFO on both sides, without cookies
      local out = B.run([[
        local bpf, net, rl = require "ringlet.bpf", require "ringlet.net", require "ringlet"
        rl.run(function()
          local server = net.serve("127.0.0.1:8099", function(conn) conn:write((conn:read())) end)
          local w = assert(bpf.wakeup{routes = {["/pay"] = "critical"}}):attach(server)
          rl.offload(os.execute, "exec python3 -c '" .. [=[
import socket
for i in range(3):
    s = socket.socket()
    s.sendto(b"GET /pay HTTP/1.1\r\n\r\n", 0x20000000, ("127.0.0.1", 8099))
    assert s.recv(100)
    s.close()]=] .. "'")
          local s = w:stats()
          print(s.critical, s.raised, s.early, s.marks)
          server:stop(0)
          w:close()
        end)]], "timeout 20 " .. ns.enter)
      local critical, raised, early, marks = out:match "(%d+)%s+(%d+)%s+(%d+)%s+(%d+)"
      assert.same({"3", "3"}, {critical, raised}, out)
      assert.is_true(tonumber(early) >= 1, out)
      assert.equal(3, early + marks, out)
    end)
  end)
end)

H.sim("bpf.wakeup", function(it)
  it("has nothing to be attached to", function()
    if B.lacks "socket_filter" then return end
    local w = assert(bpf.wakeup())
    local server = net.serve("127.0.0.1:0", print)
    local ok, _, code = w:attach(server)
    assert.same({nil, "EOPNOTSUPP"}, {ok, code})
    server:stop(0)
    w:close()
  end)
end)

describe("bpf.wakeup on several shards", function()
  it("raises the word of the shard that has the connection", function()
    if lacks() then return end
    run({shards = 3}, function(w)
      local server = net.serve("127.0.0.1:0", tell_class(w), {shards = "all"})
      assert.equal(w, w:attach(server))
      assert.equal("EALREADY", select(3, w:attach(server)))
      local of_shard = {0, 0, 0}
      for _ = 1, 40 do
        local conn = net.connect(server:addr())
        conn:write "GET /pay HTTP/1.1\r\n\r\n"
        local class, shard = conn:read_line():match "^(%S+) (%d)$"
        assert.equal("critical", class)
        of_shard[tonumber(shard)] = of_shard[tonumber(shard)] + 1
        conn:close()
      end
      local s = w:stats()
      for shard, n in ipairs(of_shard) do
        assert.equal(n, s.shards[shard].critical, "shard " .. shard)
        assert.equal(n, s.shards[shard].raised)
      end
      assert.is_true(w:detach(server))
      local conn = net.connect(server:addr())
      assert.equal("nil", ask(conn, "/pay"))
      conn:close()
      assert.equal(w, w:attach(server))
      server:stop()
      assert.equal("ECLOSED", select(3, w:attach(server)))
    end)
  end)

  it("works where it is given to", function()
    if lacks() then return end
    run({shards = 2}, function(w)
      local text, class = rl.spawn_on(2, function(got)
        local net2 = require "ringlet.net"
        local listener = net2.listen "127.0.0.1:0"
        assert(got:attach(listener))
        local conn = net2.connect(listener:addr())
        local peer = listener:accept()
        conn:write "GET /pay HTTP/1.1\r\n"
        peer:read()
        local is = got:class(peer)
        assert(got:route("/late", "background"))
        conn:close()
        peer:close()
        listener:close()
        return tostring(got), is
      end, w):join()
      assert.is_true(text)
      assert.equal("ringlet.bpf.wakeup: attached to 1 listeners here", class)
      local s = w:stats()
      assert.equal(1, s.shards[2].raised)
      assert.equal(0, s.shards[1].segments)
    end)
  end)

  it("is closed everywhere by whoever closes it", function()
    if lacks() then return end
    run({shards = 2}, function(w)
      local server = net.serve("127.0.0.1:0", tell_class(w), {shards = "all"})
      w:attach(server)
      assert.is_true(rl.spawn_on(2, function(got) return got:close() end, w):join())
      assert.equal("ECLOSED", select(3, w:stats()))
      rl.spawn_on(1, function() end):join() -- what was sent before has been done
      assert.equal(0, #require "ringlet.bpf_wakeup_part".used())
      server:stop()
    end)
  end)

  it("shares the word with others of its shard, and not with those of another", function()
    if lacks() then return end
    run({shards = 2}, function(w)
      local second = assert(bpf.wakeup{routes = {["/second"] = "critical"}})
      local one, two = net.serve("127.0.0.1:0", tell_class(w)),
        net.serve("127.0.0.1:0", tell_class(second))
      assert.equal(w, w:attach(one))
      assert.equal(second, second:attach(two))
      local a, b = net.connect(one:addr()), net.connect(two:addr())
      local words = require "ringlet.bpf_wakeup_part".used()[1].maps.words:mmap()
      local before = words:u64(0)
      assert.equal("critical", ask(a, "/pay"))
      assert.equal("critical", ask(b, "/second"))
      assert.equal("normal", ask(b, "/pay"))
      assert.equal(before + 2, words:u64(0))
      words:close()
      local ok, code = rl.spawn_on(2, function(theirs, address)
        local own = require "ringlet.bpf".wakeup()
        local listener = require "ringlet.net".listen(address)
        assert(own:attach(listener))
        local other = require "ringlet.net".listen(address)
        local _, _, code = theirs:attach(other)
        listener:close()
        other:close()
        own:close()
        return code
      end, w, "127.0.0.1:0"):join()
      assert.same({true, "EBUSY"}, {ok, code})
      a:close()
      b:close()
      second:close()
      one:stop()
      two:stop()
    end)
  end)
end)

describe("bpf.wakeup and the end of its process", function()
  it("leaves nothing behind when it is killed", function()
    if lacks() or B.lacks "command:bpftool" then return end
    B.with_namespaces(1, function(ns)
      local program = [[
        local bpf, net, rl = require "ringlet.bpf", require "ringlet.net", require "ringlet"
        rl.run(function()
          local server = net.serve("127.0.0.1:0", function(conn) conn:read() end)
          local w = assert(bpf.wakeup{routes = {["/pay"] = "critical"}})
          assert(w:attach(server))
          local tc = w:attach_dev("lo", {mode = "tcx"})
          local conn = net.connect(server:addr())
          conn:write "GET /pay HTTP/1.1\r\n\r\n"
          conn:read()
          local ids = {}
          local parts = require "ringlet.bpf_wakeup_part"
          ids[1] = parts.here(w.config).object:program "wakeup":stats().id
          if tc then
            ids[2] = parts.here(w.config).devices.lo:program "wakeup_tc":stats().id
          end
          io.stdout:write("ids ", table.concat(ids, " "), "\n")
          io.stdout:flush()
          os.execute "kill -9 $PPID"
        end)]]
      local out = B.run(program, ns.enter)
      local ids = 0
      for id in (out:match "ids ([%d ]+)" or error(out)):gmatch "%d+" do
        ids = ids + 1
        H.eventually("program " .. id .. " is freed", function() -- a little later
          return not select(2, B.output("bpftool prog show id " .. id))
        end)
      end
      assert.is_true(ids >= 1)
      assert.equal("", (ns:sh "bpftool net show dev lo | grep -i wakeup || true"))
    end)
  end)
end)
