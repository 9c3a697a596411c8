-- SPDX-License-Identifier: MIT
-- bpf.wakeup on devices: the tc and the XDP program on frames that never were on a wire
-- (BPF_PROG_TEST_RUN), then on veth between network namespaces.
local B = require "spec.bpf"
local H = require "spec.helper"

local bpf = B.bpf
local W = B.library and require "spec.wakeup"

local REST = " HTTP/1.1\r\nHost: a\r\n\r\n"
local PAY = "GET /pay" .. REST
local ROUTES = {["/pay"] = "critical", ["/bulk/*"] = "background"}
local NEXT, PASS = -1, 2

local function reused(w)
  local maps = {}
  for name, map in pairs(W.maps(w)) do maps[name] = {reuse = map} end
  return maps
end

-- Run fn(try, w): try(frame) is what tc and XDP, in turn, think of it.
local function with(how, opts, fn)
  local w = assert(bpf.wakeup{routes = ROUTES, budget = math.huge, ports = {[53] = "critical"}})
  local object = assert(bpf.load(B.library.object "wakeup_dev", {
    programs = {"wakeup_" .. how}, maps = reused(w), globals = {default_shard = opts.shard or 0},
  }))
  local function try(frame)
    local before = W.counts(w)
    local verdict = assert(object:program("wakeup_" .. how):run{data = frame})
    assert.equal(how == "tc" and NEXT or PASS, verdict)
    local after = W.counts(w)
    for _, name in ipairs{"critical", "background", "normal"} do
      if after[name] > before[name] then
        return name
      end
    end
    return after.unowned > before.unowned and "unowned" or nil
  end
  local ok, err = pcall(fn, try, w)
  object:close()
  w:close()
  if not ok then
    error(err, 0)
  end
end

local function lacks(how, ...)
  return B.lacks("socket_filter", how, ...)
end

for _, how in ipairs{"tc", "xdp"} do
  -- What no route tells is none of XDP's business.
  local normal = how == "tc" and "normal" or nil

  describe("the classifier of bpf.wakeup in " .. how, function()
    it("finds payloads behind every header", function()
      if lacks(how) then return end
      with(how, {shard = 1}, function(try)
        for _, o in ipairs{
          {}, {v6 = true}, {udp = true}, {v6 = true, udp = true}, {tags = 1}, {tags = 2},
          {v6 = true, tags = 2}, {options = 1}, {options = 10}, {words = 8}, {words = 15},
          {v6 = true, extensions = 1}, {v6 = true, extensions = 4}, {padding = ("\0"):rep(40)},
        } do
          for payload, class in pairs{[PAY] = "critical", ["GET /bulk/1" .. REST] = "background"} do
            o.payload = payload
            assert.equal(class, try(W.frame(o)))
          end
          o.payload = "GET /other" .. REST
          assert.equal(normal, try(W.frame(o)))
          o.payload = "nothing like it"
          assert.is_nil(try(W.frame(o)))
          o.payload = ""
          assert.is_nil(try(W.frame(o)))
        end
        assert.equal("critical", try(W.frame{udp = true, port = 53, payload = "\0\1\2\3\4"}))
        assert.equal("critical", try(W.frame{port = 53, payload = "x"}))
      end)
    end)

    it("leaves alone what it does not know", function()
      if lacks(how) then return end
      with(how, {shard = 1}, function(try)
        for _, o in ipairs{
          {tags = 3}, {v6 = true, extensions = 5}, {fragment = 0x2000}, {fragment = 100},
          {words = 4},
          {words = 0}, {len = 20}, {len = 40}, {len = 0x10}, {len = 1},
        } do
          o.payload = PAY
          assert.is_nil(try(W.frame(o)))
        end
        local arp = ("\2"):rep(12) .. "\8\6" .. ("\0"):rep(28)
        assert.is_nil(try(arp))
        assert.is_nil(try(W.frame{payload = PAY}:gsub("^(" .. ("."):rep(14) .. ").", "%1\96")))
      end)
    end)

    it("believes no length", function()
      if lacks(how) then return end
      with(how, {shard = 1}, function(try)
        local short = W.frame{payload = "GET /pay"}
        assert.is_nil(try(short))
        -- the header says that there is more than there is: nothing is read that is not there
        assert.is_nil(try(W.frame{payload = "GET /pay ", len = 1500}))
        assert.equal("critical", try(W.frame{payload = PAY .. ("x"):rep(100), len = 65535}))
        -- padding is not payload
        assert.is_nil(try(W.frame{payload = "", padding = PAY}))
        local frame = W.frame{payload = PAY, v6 = true, extensions = 2, tags = 1}
        for len = 60, #frame do try(frame:sub(1, len)) end -- the kernel runs nothing on less
        frame = W.frame{payload = PAY, options = 3}
        for len = 40, #frame do try(frame:sub(1, len)) end
      end)
    end)

    it("raises the word of the shard it was told, and of none otherwise", function()
      if lacks(how) then return end
      with(how, {shard = 3}, function(try, w)
        local words = W.maps(w).words:mmap()
        local before = words:u64(128)
        try(W.frame{payload = PAY})
        assert.equal(before + 1, words:u64(128))
        assert.equal(1, W.counts(w, 3).raised)
        words:close()
      end)
      with(how, {}, function(try, w)
        assert.equal("unowned", try(W.frame{payload = PAY}))
        assert.equal(0, W.counts(w).raised)
        assert.is_true(w:route("/task", {class = "critical", task = 7}))
        w:place(7, 2)
        assert.is_nil(try(W.frame{payload = "GET /task" .. REST}))
        assert.equal(1, W.counts(w, 2).raised)
      end)
    end)

    it("survives whatever comes", function()
      if lacks(how) then return end
      local seed = 20261122
      math.randomseed(seed)
      local random, paths = math.random, {"/pay", "/bulk/", "/x"}
      with(how, {shard = 1}, function(try)
        for round = 1, H.rounds(5000, 100) do
          local o = {payload = W.payload(random, paths):sub(1, 1200), tags = random(0, 2),
            udp = random(1, 4) == 1}
          local class = W.reference(o.payload, 8080, ROUTES, {})
          if random(1, 2) == 1 then
            o.v6, o.extensions = true, random(0, 4)
          else
            o.options = random(0, 10)
          end
          local frame = W.frame(o)
          if class == "normal" then class = normal end
          if #o.payload > 0 and try(frame) ~= class then
            error(("seed %d, round %d: %q is not %s"):format(seed, round, o.payload, class))
          end
          local at = random(15, #frame)
          try(frame:sub(1, at - 1) .. string.char(random(0, 255)) .. frame:sub(at + 1))
        end
      end)
    end)
  end)
end

-- ---- live ---------------------------------------------------------------------------------------

-- A server in a namespace, with a wake-up on its device; it ends when it is told to. `attach` is
-- Lua.
local function server(attach, more)
  return ([[
    local bpf, net, rl = require "ringlet.bpf", require "ringlet.net", require "ringlet"
    if rawget(_G, "jit") then jit.off() end -- compiled code is not preempted
    rl.run(function()
      local w = assert(bpf.wakeup{routes = {["/pay"] = "critical", ["/bulk/*"] = "background"},
        ports = {[53] = "critical"}, %s})
      local done, cool = rl.event(), false
      local server = net.serve("0.0.0.0:8080", function(conn)
        for line in conn:lines() do
          if line == "stop" then
            done:set()
            break
          elseif line:find "^GET" then
            conn:write(tostring((w:class(conn))), "\n")
          elseif line == "burn" then -- until another connection says "cool"
            local from = rl.now()
            while not cool and rl.now() - from < 60 do end
            conn:write "burnt\n"
          elseif line == "cool" then
            cool = true
            conn:write "\n"
          elseif line:find "^place" then
            conn:write(tostring(w:place(conn, tonumber(line:match "%%d+"))), "\n")
          elseif line == "stats" then
            local s, list = w:stats(), {}
            for k, v in pairs(s) do
              if type(v) == "number" then list[#list + 1] = k .. "=" .. v end
            end
            list[#list + 1] = "three=" .. (s.shards[3] and s.shards[3].raised or 0)
            conn:write(table.concat(list, " "), "\n")
          end
        end
      end)
      %s
      io.stdout:write "ready\n"
      io.stdout:flush()
      done:wait(120)
      server:stop(1)
      w:close()
    end, {slice = 0.01})]]):format(more or "", attach)
end

-- A client: asks each line and prints what came.
local CLIENT = [[
  local net, rl = require "ringlet.net", require "ringlet"
  local address, lines = %q, %q
  rl.run(function()
    local conn = assert(net.connect(address, {timeout = 60}))
    for line in lines:gmatch "[^\n]+" do
      conn:write(line:find "^GET" and line .. " HTTP/1.1\r\n" or line .. "\n")
      if line ~= "stop" then io.stdout:write(assert(conn:read_line(1000, 60)), "\n") end
    end
    conn:close()
  end)]]

-- Run a server in one of two namespaces that are connected; fn(ask, one, two) asks from the other.
local function live(attach, more, fn)
  B.with_namespaces(2, function(one, two)
    B.connect(one, two)
    local pipe = io.popen(B.command(server(attach, more), "exec timeout 150 " .. two.enter)
      .. " 2>/dev/null")
    local ready = pipe:read "*l"
    local function ask(lines)
      return B.run(CLIENT:format(two.address .. ":8080", lines), "timeout 90 " .. one.enter)
    end
    local ok, err = pcall(fn, ask, one, two, ready)
    if ready == "ready" then
      ask "stop"
    end
    pipe:close()
    if not ok then
      error(err, 0)
    end
  end)
end

local function stats_of(text)
  local s = {}
  for name, n in text:gmatch "(%w+)=(%d+)" do s[name] = tonumber(n) end
  for name, n in text:gmatch "([%w_]+)=(%d+)" do s[name] = tonumber(n) end
  return s
end

-- How many segments a namespace has sent again: each of them is counted as well. That happens when
-- an acknowledgement takes longer than usual.
local function sent_again(ns)
  local names, values = ns:sh "cat /proc/net/snmp":match "Tcp: ([^\n]+)\nTcp: ([^\n]+)"
  local value = values:gmatch "%S+"
  for name in names:gmatch "%S+" do
    local n = tonumber(value())
    if name == "RetransSegs" then
      return n
    end
  end
end

-- Fails unless s[name] is wanted[name], or more by what `ns` has sent again.
local function assert_counts(wanted, s, ns)
  local more = sent_again(ns)
  for name, n in pairs(wanted) do
    assert.is_true(s[name] >= n and s[name] <= n + more,
      ("%s: %d, and %d sent again"):format(name, s[name], more))
  end
end

describe("bpf.wakeup on a device", function()
  it("checks what it is given", function()
    if lacks "tc" then return end
    local w = assert(bpf.wakeup())
    H.raises_text("the name of a device expected, got nil", w.attach_dev, w)
    H.raises_text("option 'mode' must be 'tcx' or 'clsact' or 'xdp'", w.attach_dev, w, "lo",
      {mode = "tc"})
    H.raises_text("option 'shard' must be", w.attach_dev, w, "lo", {shard = 65})
    H.raises_text("option 'cpus': numbers from 0 to 63 expected", w.attach_dev, w, "lo",
      {cpus = {64}})
    H.raises_text("unknown option 'hook'", w.attach_dev, w, "lo", {hook = "egress"})
    H.raises_text("a connection, a task or the id of one expected", w.place, w, {}, 1)
    for _, mask in ipairs{0, -1, 1.5, "1", true} do
      H.raises_text("a mask is a whole number", w.place, w, 1, mask)
    end
    assert.equal("ENODEV", select(3, w:attach_dev "no such device"))
    assert.is_true(w:detach "no such device")
    w:close()
  end)

  for _, mode in ipairs{"tcx", "clsact"} do
    it(mode .. " classifies connections that have no filter", function()
      if lacks(mode, "uring", "netns") then return end
      live(('assert(w:attach_dev("veth0", {mode = %q})) assert(w:attach(server, {filter = false}))')
        :format(mode), nil, function(ask, one)
        local lines = {}
        for line in ask("GET /pay\nGET /other\nGET /bulk/1\nstats"):gmatch "[^\n]+" do
          lines[#lines + 1] = line
        end
        assert.same({"critical", "normal", "background"}, {lines[1], lines[2], lines[3]})
        local s = stats_of(lines[4])
        assert_counts({critical = 1, normal = 1, background = 1, raised = 1}, s, one)
        assert.equal(0, s.unowned)
      end)
    end)
  end

  it("leaves to the socket filter what has one", function()
    if lacks("tc", "uring", "netns") then return end
    live('assert(w:attach_dev "veth0") assert(w:attach(server))', nil, function(ask, one)
      local s = stats_of(ask "GET /pay\nstats")
      assert_counts({critical = 1, raised = 1, marks = 1}, s, one)
    end)
  end)

  it("raises the word of a shard for UDP", function()
    if lacks("tc", "uring", "netns", "command:python3") then return end
    live('assert(w:attach_dev("veth0", {shard = 3}))', nil, function(ask, one, two)
      one:sh(("python3 -c 'import socket; s = socket.socket(2, 2); "
        .. "[s.sendto(b\"x\", (\"%s\", 53)) for i in range(5)]'"):format(two.address))
      local s
      for _ = 1, 50 do -- a packet may wait for the kernel's thread
        s = stats_of(ask "stats")
        if s.three >= 5 then break end
      end
      assert.equal(5, s.three)
      assert.equal(5, s.critical)
    end)
  end)

  it("raises the word of a shard that a connection is placed at", function()
    if lacks("tc", "uring", "netns") then return end
    live('assert(w:attach_dev "veth0") assert(w:attach(server, {filter = false}))', nil,
      function(ask, one)
        local text = ask "GET /pay\nplace 4\nGET /pay\nGET /pay\nplace 5\nGET /pay\nstats"
        assert.matches("^critical\n4\ncritical\ncritical\n5\ncritical\n", text)
        local s = stats_of(text)
        assert_counts({raised = 4, three = 2}, s, one)
      end)
  end)

  it("signals the thread of a shard that runs one task for long, and no other", function()
    if lacks("tc", "send_signal_task", "uring", "netns") then return end
    live('assert(w:attach_dev "veth0") assert(w:attach(server))',
      'preempt = "signal", signal_after = 0.002', function(ask, one, two)
      local burner = io.popen(B.command(CLIENT:format(two.address .. ":8080", "burn"),
        "timeout 90 " .. one.enter))
      local s
      for _ = 1, 100 do
        s = stats_of(ask "GET /pay\nGET /pay\nstats")
        if s.signals > 0 then break end
      end
      ask "cool"
      assert.equal("burnt", burner:read "*l")
      burner:close()
      assert.is_true(s.signals >= 1 and s.signals <= s.critical, s.signals .. " signals")
      assert.equal(s.critical, s.raised)
    end)
  end)

  it("hands packets of a connection that is placed to a CPU", function()
    if lacks("xdp", "uring", "netns") then return end
    live('assert(w:attach_dev("veth0", {mode = "xdp generic", cpus = {0, 1}})) '
      .. 'assert(w:attach(server))', nil, function(ask, one)
      local text = ask "GET /pay\nplace 2\nGET /pay\nGET /pay\nstats"
      assert.matches("^critical\n2\ncritical\ncritical\n", text)
      local s = stats_of(text)
      assert.is_true(s.redirected >= 2, text)
      assert.is_true(s.redirected <= 20 + sent_again(one), text)
    end)
  end)

  it("detaches from a device, and attaches once", function()
    if lacks("tc", "uring", "netns", "command:bpftool") then return end
    live([[
      assert(w:attach_dev "veth0")
      assert(select(3, w:attach_dev "veth0") == "EALREADY")
      assert(w:detach "veth0")
      assert(w:detach "veth0")
      assert(w:attach_dev("veth0", {mode = "xdp generic"}))
      assert(w:detach "veth0")
      assert(w:attach(server))]], nil, function(ask, _, two, ready)
      assert.equal("ready", ready)
      assert.equal("", (two:sh "bpftool net show dev veth0 | grep -i wakeup || true"))
      assert.matches("^critical", (ask "GET /pay"))
    end)
  end)

  it("leaves a filter of clsact behind when it is killed, which the next start removes", function()
    if lacks("clsact", "uring", "netns", "command:bpftool", "command:tc") then return end
    B.with_namespaces(1, function(ns)
      local start = [[
        local bpf, rl = require "ringlet.bpf", require "ringlet"
        local w = assert(bpf.wakeup{routes = {["/pay"] = "critical"}})
        assert(w:attach_dev("lo", {mode = "clsact", shard = 1}))
        ]]
      local function filters()
        local _, n = ns:sh "tc filter show dev lo ingress":gsub("wakeup", "")
        return n
      end
      B.run(start .. "os.execute 'kill -9 $PPID'", ns.enter)
      local left = filters()
      assert.is_true(left > 0)
      B.run(start .. "os.execute 'kill -9 $PPID'", ns.enter)
      assert.equal(left, filters())
      local out, ok = B.run(start .. "w:close()", ns.enter)
      assert.is_true(ok, out)
      assert.equal(0, filters())
    end)
  end)
end)
