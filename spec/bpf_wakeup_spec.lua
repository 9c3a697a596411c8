-- SPDX-License-Identifier: MIT
-- bpf.wakeup: its options and routes; its socket filter on segments that never were on a wire
-- (BPF_PROG_TEST_RUN), compared with a classifier in plain Lua. Live traffic is in
-- bpf_wakeup_live_spec.lua, devices in bpf_wakeup_dev_spec.lua.
local B = require "spec.bpf"
local H = require "spec.helper"
local rl = require "ringlet"

local bpf = B.bpf
local W = B.library and require "spec.wakeup"

local REST = " HTTP/1.1\r\nHost: a\r\n\r\n"
local EVERY = {budget = math.huge}

-- Run fn(w) with a wake-up, which is closed afterwards.
local function with(opts, fn)
  local w = assert(bpf.wakeup(opts))
  local ok, err = pcall(fn, w)
  w:close()
  if not ok then
    error(err, 0)
  end
end

local function options(more)
  local opts = {budget = math.huge}
  for k, v in pairs(more) do opts[k] = v end
  return opts
end

describe("bpf.wakeup", function()
  it("checks its options", function()
    if B.lacks "socket_filter" then return end
    H.raises_text("unknown option 'route'", bpf.wakeup, {route = {}})
    H.raises_text("option 'routes' must be a table", bpf.wakeup, {routes = "/pay"})
    H.raises_text("option 'preempt' must be 'flag' or 'signal', not 'no'", bpf.wakeup,
      {preempt = "no"})
    H.raises_text("option 'preempt' must be 'flag', 'signal' or false, not true", bpf.wakeup,
      {preempt = true})
    for _, budget in ipairs{0, -1, 0 / 0} do
      H.raises_text("option 'budget' must be a number more than 0", bpf.wakeup, {budget = budget})
    end
    H.raises_text("option 'connections' must be a whole number from 64", bpf.wakeup,
      {connections = 1})
    H.raises_text("option 'signal_after'", bpf.wakeup, {signal_after = -1})
    H.raises_text("class must be 'critical' or 'normal' or 'background', not 'urgent'", bpf.wakeup,
      {routes = {["/pay"] = "urgent"}})
    H.raises_text("a port is a whole number", bpf.wakeup, {ports = {[0] = "critical"}})
    H.raises_text("option 'ports': /pay is none", bpf.wakeup, {ports = {["/pay"] = "critical"}})
    H.raises_text("option 'routes': 80 is none", bpf.wakeup, {routes = {[80] = "critical"}})
  end)

  it("refuses what is no path", function()
    if B.lacks "socket_filter" then return end
    with(EVERY, function(w)
      for _, path in ipairs{"pay", "", "*", "/a*b", "/a b", "/a?b", "/a#b", "/a\0", "/\127"} do
        H.raises_text("a path such as", w.route, w, path, "critical")
      end
      H.raises_text("at most 63 bytes", w.route, w, "/" .. ("a"):rep(63), "critical")
      assert.is_true(w:route("/" .. ("a"):rep(62), "critical"))
      H.raises_text("a path or a port expected", w.route, w, {}, "critical")
      H.raises_text("unknown option 'priority'", w.route, w, "/pay", {priority = 1})
      H.raises_text("option 'shard' must be", w.route, w, "/pay", {class = "critical", shard = 0})
      H.raises_text("class must be", w.route, w, "/pay", {shard = 1})
      H.raises_text("option 'task' must be", w.route, w, "/pay", {class = "critical", task = "x"})
    end)
  end)

  it("gives the reason without privileges", function()
    if B.lacks("socket_filter", "command:setpriv") then return end
    local program = [[
      local bpf = require "ringlet.bpf"
      print(bpf.wakeup{routes = {["/pay"] = "critical"}})]]
    local out = B.run(program, B.as_nobody())
    assert.matches("nil%s+EPERM: needs CAP_BPF %(load of the socket filter wakeup%)%s+EPERM", out)
  end)

  it("needs CAP_BPF alone", function()
    if B.lacks("socket_filter", "command:setpriv", "uring") then return end
    local out = B.run([[
      local bpf, net, rl = require "ringlet.bpf", require "ringlet.net", require "ringlet"
      rl.run(function()
        local server = net.serve("127.0.0.1:0", function(conn) conn:write((conn:read())) end)
        local w = assert(bpf.wakeup{routes = {["/pay"] = "critical"}}):attach(server)
        local conn = net.connect(server:addr())
        conn:write "GET /pay HTTP/1.1"
        conn:read()
        print(w:stats().critical, w:attach_dev "lo")
        conn:close()
        server:stop(0)
      end)]], B.as_nobody "bpf")
    assert.matches("1%s+nil%s+EPERM: needs CAP_NET_ADMIN %(load of the tc wakeup_tc%)%s+EPERM", out)
  end)

  it("tells its state and closes once", function()
    if B.lacks "socket_filter" then return end
    local w = assert(bpf.wakeup())
    assert.equal("ringlet.bpf.wakeup: attached to 0 listeners here", tostring(w))
    assert.is_true(w:close())
    assert.is_true(w:close())
    assert.equal("ringlet.bpf.wakeup: closed", tostring(w))
    for _, call in ipairs{"stats", "class", "place", "detach", "attach"} do
      local ok, _, code = w[call](w, 0)
      assert.is_nil(ok)
      assert.equal("ECLOSED", code, call)
    end
    assert.equal("ECLOSED", select(3, w:route("/pay", "critical")))
    assert.equal("ECLOSED", select(3, w:attach_dev "lo"))
  end)

  it("gives up its maps when it is collected", function()
    if B.lacks "socket_filter" then return end
    -- That this process holds. It may be about to close its end of the pipe: ls may miss that.
    local function programs()
      local _, n = B.output "ls -l /proc/$PPID/fd":gsub("bpf%-prog", "")
      return n
    end
    H.collect()
    local before = programs()
    do
      local list = {}
      for i = 1, 3 do list[i] = assert(bpf.wakeup()) end
      assert.equal(before + #list, programs())
    end
    H.collect()
    assert.equal(before, programs())
  end)
end)

describe("the classifier of bpf.wakeup", function()
  local routes = {["/pay"] = "critical", ["/bulk/*"] = "background", ["/bulk/now"] = "critical",
    ["/plain"] = "normal"}

  it("knows paths, exact and by their beginnings; the longest counts", function()
    if B.lacks "socket_filter" then return end
    with(options{routes = routes}, function(w)
      for path, class in pairs{
        ["/pay"] = "critical", ["/pay?a=1"] = "critical", ["/pays"] = "normal",
        ["/pay/"] = "normal",
        ["/pa"] = "normal", ["/"] = "normal", ["/PAY"] = "normal", ["/bulk/"] = "background",
        ["/bulk/x"] = "background", ["/bulk"] = "normal", ["/bulk/now"] = "critical",
        ["/bulk/nowhere"] = "background", ["/plain"] = "normal",
      } do
        for _, method in ipairs{"GET", "POST", "DELETE", "OPTIONS", "PROPFIND"} do
          local got, is_head = W.classify(w, method .. " " .. path .. REST)
          assert.equal(class, got, method .. " " .. path)
          assert.is_true(is_head)
        end
      end
    end)
  end)

  it("leaves alone what is no request", function()
    if B.lacks "socket_filter" then return end
    with(options{routes = {["/*"] = "critical"}}, function(w)
      for _, payload in ipairs{
        "", "x", "GET", "GET ", "GET /", "GET /pay", "get /pay HTTP/1.1", "GET  /pay HTTP/1.1",
        "GET\t/pay HTTP/1.1", " GET /pay HTTP/1.1", "\r\nGET /pay HTTP/1.1",
        "GET http://a/pay HTTP/1.1", "GET pay HTTP/1.1", "G3T /pay HTTP/1.1", "TOOLONGAA /pay HTTP",
        "HTTP/1.1 200 OK\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\22\3\1\2\0\1\0\1\252\3\3",
        ("\0"):rep(100), ("\255"):rep(100), ("A"):rep(100), (" "):rep(100), ("/"):rep(100),
      } do
        local class, is_head = W.classify(w, payload)
        assert.is_nil(class, payload)
        assert.is_false(is_head, payload)
      end
      assert.equal("critical", (W.classify(w, "GET /pay H")))
      assert.equal("critical", (W.classify(w, "A /pay HT")))
    end)
  end)

  it("goes by ports what no path tells", function()
    if B.lacks "socket_filter" then return end
    with(options{routes = routes, ports = {[8081] = "critical", [9000] = "background"}}, function(w)
      assert.equal("critical", (W.classify(w, "\0\1\2", 8081)))
      assert.equal("critical", (W.classify(w, "GET /other" .. REST, 8081)))
      assert.equal("background", (W.classify(w, "GET /bulk/x" .. REST, 8081)))
      assert.equal("critical", (W.classify(w, "GET /pay" .. REST, 9000)))
      assert.equal("background", (W.classify(w, "x", 9000)))
      assert.is_nil((W.classify(w, "x", 9001)))
      assert.is_nil((W.classify(w, "", 8081)))
    end)
  end)

  it("changes its routes while it runs", function()
    if B.lacks "socket_filter" then return end
    with(options{routes = routes}, function(w)
      assert.is_true(w:route("/pay", nil))
      assert.is_true(w:route("/pay", nil))
      assert.equal("normal", (W.classify(w, "GET /pay" .. REST)))
      assert.is_true(w:route("/pay*", "background"))
      assert.equal("background", (W.classify(w, "GET /payment" .. REST)))
      assert.is_true(w:route("/pay", {class = "critical"}))
      assert.equal("critical", (W.classify(w, "GET /pay" .. REST)))
      assert.equal("background", (W.classify(w, "GET /payment" .. REST)))
      assert.is_true(w:route(8081, "critical"))
      assert.equal("critical", (W.classify(w, "x", 8081)))
      assert.is_true(w:route(8081, nil))
      assert.is_nil((W.classify(w, "x", 8081)))
    end)
  end)

  it("says when no more routes fit", function()
    if B.lacks "socket_filter" then return end
    with(EVERY, function(w)
      local n = 0
      repeat
        n = n + 1
        local ok = w:route(("/p%d"):format(n), "critical")
      until not ok or n > 5000
      assert.equal(2049, n)
      local _, _, code = w:route("/more", "critical")
      assert.equal("ENOSPC", code)
    end)
  end)

  it("raises the word of its shard, of another, or of a task's", function()
    if B.lacks "socket_filter" then return end
    with(options{routes = {["/here"] = "critical", ["/there"] = {class = "critical", shard = 3},
      ["/task"] = {class = "critical", task = 77}}}, function(w)
      local area = assert(require "ringlet.bpf_wakeup_part".here(w.config).maps.words:mmap())
      local function words(path)
        W.run(w, W.segment("GET " .. path .. REST))
        return {area:u64(0), area:u64(64), area:u64(128), area:u64(192)}
      end
      assert.same({1, 0, 0, 0}, words "/here")
      assert.is_true(area:u64(8) > 0 and area:u64(8) <= rl.now() * 1e9 + 1e9)
      assert.same({1, 0, 1, 0}, words "/there")
      assert.same({2, 0, 1, 0}, words "/task")
      assert.equal(10, w:place(77, 10))
      assert.same({2, 1, 1, 0}, words "/task")
      assert.equal(9, w:place(77, 9))
      assert.same({3, 1, 1, 0}, words "/task")
      assert.is_nil(w:place(77, false))
      assert.same({4, 1, 1, 0}, words "/task")
      area:close()
    end)
  end)

  it("raises none with preempt = false", function()
    if B.lacks "socket_filter" then return end
    with(options{routes = routes, preempt = false}, function(w)
      assert.equal("critical", (W.classify(w, "GET /pay" .. REST)))
      assert.equal(0, w:stats().raised)
    end)
  end)

  it("keeps to its budget, with a tenth of a second's at once", function()
    if B.lacks "socket_filter" then return end
    with({routes = routes, budget = 0.01}, function(w) -- the next token is far away
      local got = {}
      for i = 1, 5 do got[i] = W.classify(w, "GET /pay" .. REST) end
      assert.same({"critical", "over", "over", "over", "over"}, got)
      assert.equal("background", (W.classify(w, "GET /bulk/1" .. REST)))
      local s = w:stats()
      assert.same({1, 1, 4}, {s.critical, s.raised, s.over_budget})
    end)
    with({routes = routes, budget = 1000}, function(w)
      local from = rl.now()
      W.run(w, W.segment("GET /pay" .. REST), 50)
      assert.equal(0, w:stats().over_budget)
      W.run(w, W.segment("GET /pay" .. REST), 100000) -- some 20 ms
      local most = 100 + 1000 * (rl.now() - from) + 2
      local s = w:stats()
      assert.equal(s.segments, s.critical + s.over_budget) -- an interrupted run is run again
      assert.is_true(s.segments >= 100050 and s.critical >= 100)
      assert.is_true(s.critical <= most, "a flood gets through")
    end)
  end)

  it("lets no more through than the budget, however many come", function()
    if B.lacks "socket_filter" then return end
    with({routes = routes, budget = 2000}, function(w)
      local from = rl.now()
      for _ = 1, 20 do W.run(w, W.segment("GET /pay" .. REST), 20000) end
      local most = 200 + 2000 * (rl.now() - from) + 2
      local s = w:stats()
      assert.equal(s.segments, s.critical + s.over_budget)
      assert.is_true(s.segments >= 400000)
      assert.is_true(s.critical <= most, ("%d critical, at most %g"):format(s.critical, most))
      assert.equal(s.critical, s.raised)
    end)
  end)

  it("marks connections, and what becomes of them", function()
    if B.lacks "socket_filter" then return end
    with(options{routes = routes}, function(w)
      W.run(w, W.segment("GET /pay" .. REST), 10) -- one socket for all ten
      assert.equal(1, w:stats().marks)
      W.run(w, W.segment("GET /other" .. REST), 10)
      assert.equal(1, w:stats().marks)
      W.run(w, W.segment("GET /bulk/" .. REST), 10)
      assert.equal(2, w:stats().marks)
    end)
  end)

  it("forgets the oldest marks", function()
    if B.lacks "socket_filter" then return end
    with(options{routes = routes, connections = 64}, function(w)
      for _ = 1, 500 do W.run(w, W.segment("GET /pay" .. REST)) end
      local n = 0
      for _ in require "ringlet.bpf_wakeup_part".here(w.config).maps.marks:iter() do n = n + 1 end
      assert.equal(500, w:stats().marks)
      assert.is_true(n > 0 and n <= 500)
    end)
  end)

  it("reads options of TCP over, and headers that lie not at all", function()
    if B.lacks "socket_filter" then return end
    with(options{routes = routes}, function(w)
      for words = 5, 15 do
        assert.equal("critical", (W.classify(w, "GET /pay" .. REST, 8080, words)))
      end
      local segment = W.segment("GET /pay" .. REST)
      for words = 0, 15 do -- the header says it has so many words
        local lying = segment:sub(1, 26) .. string.char(words * 16) .. segment:sub(28)
        assert.equal(-1, W.run(w, lying))
      end
      for len = 14, #segment do -- the segment ends anywhere
        assert.equal(-1, W.run(w, segment:sub(1, len)))
      end
    end)
  end)

  it("agrees with plain Lua where a request is split", function()
    if B.lacks "socket_filter" then return end
    with(options{routes = routes, ports = {}}, function(w)
      for _, path in ipairs{"/pay", "/bulk/now", "/bulk/later", "/" .. ("x"):rep(100)} do
        local text = "POST " .. path .. "?x=1" .. REST
        for at = 1, #text do
          for _, piece in ipairs{text:sub(1, at), text:sub(at + 1)} do
            local class, is_head = W.reference(piece, 8080, routes, {})
            local got, was_head = W.classify(w, piece)
            assert.equal(class, got, piece)
            assert.equal(is_head, was_head, piece)
          end
        end
      end
    end)
  end)

  it("agrees with plain Lua on whatever comes", function()
    if B.lacks "socket_filter" then return end
    local many = {["/pay"] = "critical", ["/pay*"] = "background", ["/pay/now*"] = "critical",
      ["/a"] = "background", ["/a/b/c"] = "critical", ["/*"] = "normal",
      ["/" .. ("l"):rep(60)] = "critical", ["/" .. ("l"):rep(61) .. "*"] = "background"}
    local paths, ports = {"", "/"}, {[8081] = "background"}
    for path in pairs(many) do paths[#paths + 1] = path end
    table.sort(paths)
    local seed = 20261121
    math.randomseed(seed)
    with(options{routes = many, ports = ports}, function(w)
      for round = 1, H.rounds(10000, 200) do
        local payload, port = W.payload(math.random, paths), 8080 + math.random(0, 1)
        local class, is_head = W.reference(payload, port, many, ports)
        if payload == "" then class = nil end
        local got, was_head = W.classify(w, payload, port)
        if class ~= got or is_head ~= was_head then
          error(("seed %d, round %d, %q: %s, not %s"):format(seed, round, payload, got, class))
        end
      end
    end)
  end)

  it("costs what it may", function()
    if B.lacks "socket_filter" then return end
    if H.sanitized then return pending "times are not what they are otherwise" end
    with(options{routes = routes}, function(w)
      local program = require "ringlet.bpf_wakeup_part".here(w.config).object:program "wakeup"
      local o = assert(bpf.load(B.SAMPLE, {programs = {"drop_long"}}))
      local function best_of(p, best)
        local _, _, ns = p:run{data = W.segment("GET /pay" .. REST), repeat_ = 20000}
        return math.min(best, ns)
      end
      -- Machines differ: it is compared with a program that does next to nothing.
      local best, least = math.huge, math.huge
      for _ = 1, 40 do
        best, least = best_of(program, best), math.max(1, best_of(o:program "drop_long", least))
        if best <= 25 * least then break end
      end
      o:close()
      assert.is_true(best <= 25 * least, ("%g ns a segment, %g for nothing; see "
        .. "bench/bpf/classifier.lua"):format(best, least))
    end)
  end)
end)
