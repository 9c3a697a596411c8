-- SPDX-License-Identifier: MIT
-- Attaching programs of BPF, in network namespaces where devices are concerned; and that nothing
-- stays when they are detached, closed, collected, or their process is killed.
local B = require "spec.bpf"
local H = require "spec.helper"
local net = require "ringlet.net"
local rl = require "ringlet"

local ENOENT = 2

-- What a program run in a namespace begins with: hit() is one packet to lo.
local HEAD = [[
local rl, net, bpf = require "ringlet", require "ringlet.net", require "ringlet.bpf"
local function open(...)
  return assert(bpf.load("spec/bpf/sample.bpf.o", {programs = {...}}))
end
local function hit()
  rl.run(function()
    local l = assert(net.listen "127.0.0.1:0")
    local c = assert(net.connect(l:addr()))
    c:close()
    l:close()
  end, {backend = "uring"})
end
local function sh(command)
  local pipe = io.popen(command .. " 2>&1")
  local text = pipe:read "*a"
  pipe:close()
  return text
end
]]

local function in_namespace(program)
  local out
  B.with_namespaces(1, function(ns)
    local ok
    out, ok = B.run(HEAD .. program, ns.enter)
    assert.is_true(ok, out)
  end)
  return out
end

-- A listener, a connection to it and its other end; run fn with them.
local function with_listener(fn)
  rl.run(function()
    local l = assert(net.listen "127.0.0.1:0")
    local c = assert(net.connect(l:addr()))
    local s = assert(l:accept())
    fn(l, c, s)
    c:close() s:close() l:close()
  end, {backend = "uring"})
end

describe("a program of BPF on a socket", function()
  local o

  after_each(function()
    if o then o:close() end
    o = nil
  end)

  it("sees what comes to a listener, a connection, or a descriptor", function()
    if B.lacks("socket_filter", "uring") then return end
    o = assert(B.bpf.load(B.SAMPLE, {programs = {"watch"}}))
    with_listener(function(l, c, s)
      local core = require "ringlet.core"
      for _, socket in ipairs{s, core.net_fd(s)} do
        local link = assert(o:attach("watch", {socket = socket}))
        local before = o:global "seen_packets"
        c:write "hello"
        assert.equal("hello", s:read())
        assert.is_true(o:global "seen_packets" > before)
        assert.equal("ringlet.bpf.link: watch, attached to socket", tostring(link))
        assert.is_true(link:detach())
        local seen = o:global "seen_packets" -- a kernel that is late may send a segment twice
        assert.is_true(link:detach())
        assert.equal("ringlet.bpf.link: watch, detached", tostring(link))
        assert.same({nil, "ECLOSED"}, {nil, (select(3, link:pin "/x"))})
        c:write "hello"
        assert.equal("hello", s:read())
        assert.equal(seen, o:global "seen_packets")
      end
      local link = assert(o:program "watch":attach{socket = l})
      local c2 = assert(net.connect(l:addr()))
      local s2 = assert(l:accept())
      link:detach()
      local before = o:global "seen_packets"
      c2:write "hello"
      s2:read()
      assert.is_true(o:global "seen_packets" > before) -- it has inherited the filter
      c2:close() s2:close()
    end)
  end)

  it("is taken from a server, and from each of its connections", function()
    if B.lacks("socket_filter", "uring") then return end
    o = assert(B.bpf.load(B.SAMPLE, {programs = {"watch"}}))
    rl.run(function()
      local server = assert(net.serve("127.0.0.1:0", function(conn) conn:write(conn:read()) end))
      assert(o:attach("watch", {socket = server}))
      local c = assert(net.connect(server:addr()))
      c:write "hello"
      assert.equal("hello", c:read())
      assert.is_true(o:global "seen_packets" >= 1)
      c:close()
      server:stop(0)
    end, {backend = "uring"})
  end)

  it("does not touch a socket that has taken the number of a closed one", function()
    if B.lacks("socket_filter", "uring") then return end
    o = assert(B.bpf.load(B.SAMPLE, {programs = {"watch", "drop_long"}}))
    local core = require "ringlet.core"
    with_listener(function(l)
      local link, second, list = nil, nil, {}
      for _ = 1, 100 do -- the kernel may give the number to an accepted connection
        local first = assert(net.connect(l:addr()))
        local fd = core.net_fd(first)
        link = assert(o:attach("watch", {socket = first}))
        list[#list + 1] = assert(l:accept())
        first:abort()
        H.eventually("the descriptor is closed", function()
          return select(3, io.open("/proc/self/fd/" .. fd)) == ENOENT
        end)
        second = assert(net.connect(l:addr()))
        list[#list + 1], list[#list + 2] = second, assert(l:accept())
        if core.net_fd(second) == fd then break end
      end
      assert.equal(second:sockname(), list[#list]:peername())
      local other = assert(o:attach("watch", {socket = second}))
      link:detach()
      local before = o:global "seen_packets"
      list[#list]:write "hello"
      assert.equal("hello", second:read())
      assert.is_true(o:global "seen_packets" > before)
      other:detach()
      for _, c in ipairs(list) do c:close() end
    end)
  end)

  it("chooses among listeners", function()
    if B.lacks("sk_reuseport", "uring") then return end
    o = assert(B.bpf.load(B.SAMPLE, {programs = {"pick"}}))
    rl.run(function()
      local a = assert(net.listen("127.0.0.1:0", {reuseport = true}))
      local b = assert(net.listen(a:addr(), {reuseport = true}))
      assert(o:map "socks":set(1, b))
      local link = assert(o:attach("pick", {reuseport = a}))
      local list = {}
      for i = 1, 10 do
        list[i] = assert(net.connect(a:addr()))
        list[i + 10] = assert(b:accept(20))
      end
      assert.equal(10, o:global "seen_packets")
      assert.is_true(link:detach())
      list[#list + 1] = assert(net.connect(a:addr()))
      assert.equal(10, o:global "seen_packets")
      for _, c in ipairs(list) do c:close() end
      a:close() b:close()
    end, {backend = "uring"})
  end)

  it("is refused where there is no such socket", function()
    if B.lacks("socket_filter", "sk_reuseport", "uring") then return end
    o = assert(B.bpf.load(B.SAMPLE, {programs = {"watch", "pick"}}))
    assert.equal("ENOTSOCK", (select(3, o:attach("watch", {socket = 0}))))
    assert.equal("EBADF", (select(3, o:attach("watch", {socket = 98765}))))
    assert.matches("attaching watch to socket", (select(2, o:attach("watch", {socket = 0}))))
    H.raises_text("a listener, a server, a connection or a descriptor expected, got table",
      o.attach, o, "watch", {socket = {}})
    H.raises_text("option 'socket' must be", o.attach, o, "watch", {socket = "x"})
    with_listener(function(l, c)
      c:close()
      assert.equal("ECLOSED", (select(3, o:attach("watch", {socket = c}))))
      assert.is_string((select(3, o:attach("pick", {socket = l}))))
    end)
    rl.run(function()
      local l = assert(net.listen "127.0.0.1:0")
      assert.equal("EOPNOTSUPP", (select(3, o:attach("watch", {socket = l}))))
      l:close()
    end, {backend = "sim"})
  end)
end)

describe("a program of BPF on a device", function()
  it("sees packets by tcx, by clsact and by XDP, until it is detached", function()
    if B.lacks("tc", "tcx", "xdp", "netns", "uring", "command:ip") then return end
    local out = in_namespace [[
for _, spec in ipairs{{dev = "lo"}, {dev = 1, hook = "egress", mode = "tcx"},
  {dev = "lo", mode = "clsact"}, {dev = "lo", mode = "clsact", hook = "egress", priority = 5},
  {xdp = "lo", mode = "generic"}, {xdp = 1}} do
  local name = spec.dev and "count_tc" or "count_xdp"
  local o = open(name)
  local link = assert(o:attach(name, spec))
  hit()
  local seen = o:global "seen_packets" > 3
  link:detach()
  hit() -- late packets of those before have passed
  local n = o:global "seen_packets"
  hit()
  print(seen, o:global "seen_packets" == n)
  o:close()
end]]
    assert.equal(("true\ttrue\n"):rep(6), out)
  end)

  it("runs natively on veth", function()
    if B.lacks("xdp", "netns", "command:ip") then return end
    B.with_namespaces(2, function(a, b)
      B.connect(a, b)
      local out, ok = B.run(HEAD .. ([[
local o = open "count_xdp"
print(assert(o:attach("count_xdp", {xdp = "veth0", mode = "native"})))
rl.run(function() net.connect("%s:9", {timeout = 30}) end, {backend = "uring"})
print(o:global "seen_packets" > 0)
print(select(3, o:attach("count_xdp", {xdp = "lo", mode = "native"})))]]):format(b.address),
        a.enter)
      assert.is_true(ok, out)
      assert.equal("ringlet.bpf.link: count_xdp, attached to xdp veth0\ntrue\nEOPNOTSUPP\n", out)
    end)
  end)

  it("is refused where there is no such device, mode or hook", function()
    if B.lacks("tc", "xdp") then return end
    local o = assert(B.bpf.load(B.SAMPLE, {programs = {"count_tc", "count_xdp"}}))
    assert.same({nil, "ENODEV: no such device (attaching count_tc to dev nowhere0)", "ENODEV"},
      {o:attach("count_tc", {dev = "nowhere0"})})
    assert.equal("ENODEV", (select(3, o:attach("count_tc", {dev = "nowhere0", mode = "clsact"}))))
    assert.equal("ENODEV", (select(3, o:attach("count_xdp", {xdp = "nowhere0"}))))
    H.raises_text("option 'mode' must be", o.attach, o, "count_tc", {dev = "lo", mode = "native"})
    H.raises_text("option 'hook' must be", o.attach, o, "count_tc", {dev = "lo", hook = "in"})
    H.raises_text("unknown option 'hook'", o.attach, o, "count_xdp", {xdp = "lo", hook = "ingress"})
    H.raises_text("options must be a table", o.attach, o, "count_tc", 5)
    o:close()
  end)

  it("leaves nothing behind, however it ends", function()
    if B.lacks("tc", "tcx", "xdp", "netns", "command:ip", "command:bpftool") then return end
    local ATTACH = [[
local o = open("count_tc", "count_xdp", "count_raw", "watch")
assert(o:attach("count_tc", {dev = "lo"}))
assert(o:attach("count_xdp", {xdp = "lo", mode = "generic"}))
assert(o:attach("count_raw"))
io.write(sh "grep -hs link_id /proc/$PPID/fdinfo/*")
io.stdout:flush()
]]
    local ENDS = {"o:close()", "", "os.exit(0, false)", "o = nil collectgarbage() collectgarbage()",
      "os.execute('kill -9 ' .. io.open '/proc/self/stat':read '*n')"}
    for _, ends in ipairs(ENDS) do
      B.with_namespaces(1, function(ns)
        local said = B.run(HEAD .. ATTACH .. ends, ns.enter)
        local ids = {}
        for id in said:gmatch "link_id:%s*(%d+)" do ids[id] = true end
        assert.truthy(next(ids), said)
        -- Of the links of the host, ours alone count: others run as well.
        local function left()
          local links, listed = B.output "bpftool link"
          for id in links:gmatch "(%d+): %S" do
            if ids[id] then return id end
          end
          local devices, shown = B.output(ns.enter .. " bpftool net")
          return devices:match "count_%w+"
            or not (listed and shown) and "something that ended while it was listed" or nil
        end
        for _ = 1, 1000 do
          if not left() then break end
          os.execute "sleep 0.02"
        end
        assert.is_nil(left(), ends)
      end)
    end
  end)
end)

describe("a program of BPF elsewhere", function()
  local o

  after_each(function()
    if o then o:close() end
    o = nil
  end)

  local function counts(name, spec, act)
    o = assert(B.bpf.load(B.SAMPLE, {programs = {name}}))
    local link = assert(o:attach(name, spec))
    act()
    local n = o:global "seen_packets"
    assert.is_true(n > 0, name)
    link:detach()
    act() -- what other CPUs were in the middle of is over
    n = o:global "seen_packets"
    act()
    assert.equal(n, o:global "seen_packets")
    o:close()
  end

  it("is attached where its section says", function()
    if B.lacks("tp_btf", "raw_tp") then return end
    local function act() os.execute "true" end
    counts("count_raw", nil, act)
    counts("count_switch", {}, act)
    o = assert(B.bpf.load(B.SAMPLE, {programs = {"count_switch"}}))
    assert.equal("ringlet.bpf.link: count_switch, attached to tp_btf/sched_switch",
      tostring(o:attach "count_switch"))
  end)

  it("is attached to a function of a binary", function()
    if B.lacks "raw_tp" then return end
    local path = B.sh "readlink -f /proc/self/exe":gsub("%s+$", "")
    o = assert(B.bpf.load(B.SAMPLE, {programs = {"count_uprobe"}}))
    local link, msg = o:attach("count_uprobe", {uprobe = path, offset = 0x4000})
    if not link then return pending("no uprobes: " .. msg) end
    local none, why, code = o:attach("count_uprobe", {uprobe = "/nowhere/at/all", symbol = "main"})
    assert.same({"nil", "ENOENT", true}, {type(none), code, why:find("uprobe", 1, true) ~= nil})
    H.raises_text("option 'pid' must be", o.attach, o, "count_uprobe", {uprobe = path, pid = -2})
  end)

  it("is attached to a control group", function()
    if B.lacks("cgroup_skb", "uring") then return end
    local root = B.sh "awk '$3 == \"cgroup2\" {print $2; exit}' /proc/mounts":gsub("%s+$", "")
    if root == "" then return pending "no cgroup2 is mounted" end
    counts("count_cgroup", {cgroup = root}, function() with_listener(function() end) end)
    o = assert(B.bpf.load(B.SAMPLE, {programs = {"count_cgroup"}}))
    assert.equal("ENOENT", (select(3, o:attach("count_cgroup", {cgroup = "/nowhere"}))))
  end)

  it("says why a tracepoint cannot be had", function()
    if B.lacks "raw_tp" then return end
    o = assert(B.bpf.load(B.SAMPLE, {programs = {"count_tp"}}))
    local link, msg, code = o:attach "count_tp"
    if link then return end
    assert.is_string(code)
    assert.truthy(msg:find("tp/syscalls/sys_enter_getppid", 1, true))
  end)

  it("is detached with its object", function()
    if B.lacks("raw_tp") then return end
    o = assert(B.bpf.load(B.SAMPLE, {programs = {"count_raw"}}))
    local a, b = assert(o:attach "count_raw"), assert(o:attach "count_raw")
    assert.equal(2, o:stats().links)
    a:detach()
    assert.equal(1, o:stats().links)
    o:close()
    assert.matches("detached$", tostring(b))
    assert.is_true(b:detach())
  end)
end)
