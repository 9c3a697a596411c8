-- SPDX-License-Identifier: MIT
-- Filters of clsact outlive their process: the next one cleans what is nobody's, and nothing else.
local B = require "spec.bpf"
local gates = require "spec.fifo_gate"

if not B.library then
  describe("clsact", function() pending(require "ringlet.bpf_library".missing) end)
  return
end

local clsact = require "ringlet.bpf_clsact"

-- A machine with process 10, which began at 500, in PID namespace 1; time namespace 7. pid 1 is
-- seen.
local FIRST = "4026531836"

local function machine(changes)
  local m = {
    stats = {["10"] = "10 (a (b) c) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 500 20"},
    namespaces = {self = {pid = FIRST, time = "7"}, ["1"] = {pid = FIRST, time = "7"},
      ["10"] = {pid = FIRST, time = "7"}},
    living = {["1"] = true, ["10"] = true},
  }
  m.stats.self = m.stats["10"]
  for k, v in pairs(changes or {}) do m[k] = v end
  return {
    stat = function(pid) return m.stats[pid] end,
    alive = function(pid) return m.living[pid] or false end,
    namespace = function(pid, kind) return m.namespaces[pid] and m.namespaces[pid][kind] end,
    processes = function()
      local list = {}
      for pid in pairs(m.living) do list[#list + 1] = pid end
      return list
    end,
  }
end

describe("a filter of clsact", function()
  it("has a name that tells its owner", function()
    assert.equal("rl:1:10:500:" .. FIRST .. ":7:classify", clsact.name("classify", true, machine()))
    assert.equal("rl:0:10:500:" .. FIRST .. ":7:x", clsact.name("x", false, machine()))
    local real = clsact.name("classify", true, clsact.looker())
    assert.matches("^rl:1:%d+:%d+:%d+:%d*:classify$", real)
    assert.is_false(clsact.is_orphan(real, clsact.looker()))
  end)

  it("is an orphan only if its owner is known to be gone", function()
    local there = ("rl:1:10:500:%s:7:x"):format(FIRST)
    assert.is_false(clsact.is_orphan(there, machine()))
    assert.is_true(clsact.is_orphan(("rl:1:11:500:%s:7:x"):format(FIRST), machine()))
    assert.is_true(clsact.is_orphan(("rl:1:10:499:%s:7:x"):format(FIRST), machine()))
    -- In another time namespace other times are no proof.
    assert.is_false(clsact.is_orphan(("rl:1:10:499:%s:8:x"):format(FIRST), machine()))
    -- It lives, but /proc does not show it.
    assert.is_false(clsact.is_orphan(there, machine{stats = {}}))
  end)

  it("is never one that we have not named", function()
    for _, name in ipairs{"", "classify", "rl", "rl:", "rl:1:", "rl_x", "rl:2:11:500:1:7:x",
      "rl:1:11:500:1:7", "rl:1:x:500:1:7:x", "xrl:1:11:500:1:7:x", "rl:1:11::1:7:x"} do
      assert.is_false(clsact.is_orphan(name, machine()), name)
    end
  end)

  it("of another PID namespace is one if that is empty, and all can be seen", function()
    local name = "rl:1:10:500:4026539999:7:x"
    assert.is_true(clsact.is_orphan(name, machine()))
    local look = machine()
    local namespace = look.namespace
    look.namespace = function(pid, kind)
      if pid == "10" and kind == "pid" then return "4026539999" end
      return namespace(pid, kind)
    end
    assert.is_false(clsact.is_orphan(name, look))
    look.namespace = function(pid, kind)
      if pid == "10" then return nil end -- whose it is cannot be seen
      return namespace(pid, kind)
    end
    assert.is_false(clsact.is_orphan(name, look))
    look.namespace = function(pid, kind)
      if pid == "1" then return nil end -- /proc hides others
      return namespace(pid, kind)
    end
    assert.is_false(clsact.is_orphan(name, look))
    look.namespace = function(pid, kind) -- we are in one ourselves
      return kind == "pid" and "4026531111" or namespace(pid, kind)
    end
    assert.is_false(clsact.is_orphan(name, look))
    assert.is_false(clsact.is_orphan("rl:1:10:500::7:x", machine()))
  end)
end)

describe("a filter of clsact whose process was killed", function()
  local OPEN = [[
local bpf = require "ringlet.bpf"
local o = assert(bpf.load("spec/bpf/sample.bpf.o", {programs = {"count_tc"}}))
local function attach(hook)
  return assert(o:attach("count_tc", {dev = "lo", mode = "clsact", hook = hook}))
end
]]
  local KILL = "os.execute('kill -9 ' .. io.open '/proc/self/stat':read '*n')"

  local function filters(ns)
    local text = ns:sh "tc filter show dev lo ingress; tc filter show dev lo egress"
    return select(2, text:gsub("count_tc direct", "")), text
  end

  it("is removed by the next that comes there, with the qdisc when that is done", function()
    if B.lacks("tc", "netns", "command:tc") then return end
    B.with_namespaces(1, function(ns)
      B.run(OPEN .. "attach 'ingress' attach 'egress' attach 'egress'" .. KILL, ns.enter)
      assert.equal(3, (filters(ns)))
      local out, ok = B.run(OPEN .. [[
local link = attach "egress"
os.execute "tc filter show dev lo ingress; tc filter show dev lo egress"
link:detach()]], ns.enter)
      assert.is_true(ok, out)
      assert.equal(1, select(2, out:gsub("count_tc direct", "")))
      assert.equal(0, (filters(ns)))
      assert.is_nil((ns:sh "tc qdisc show dev lo":find "clsact"))
    end)
  end)

  it("is removed, and nothing of those who live, or of others", function()
    if B.lacks("tc", "netns", "command:tc") then return end
    B.with_namespaces(1, function(ns)
      ns:sh "tc qdisc add dev lo clsact"
      ns:sh("tc filter add dev lo ingress bpf direct-action object-file " .. B.SAMPLE ..
        " section tc 2>/dev/null || true")
      local others = select(2, ns:sh "tc filter show dev lo ingress":gsub("handle", ""))
      local gate = gates.new()
      finally(function()
        gate.open()
        gate.remove()
      end)
      local living = assert(io.popen(B.command(OPEN .. ("attach 'ingress' " ..
        "print 'attached' io.flush() io.open(%q):read '*l' o:close()"):format(gate.name),
        ns.enter)))
      assert.equal("attached", living:read "*l")
      assert.equal(1, (filters(ns)))
      B.run(OPEN .. "attach 'ingress' " .. KILL, ns.enter)
      assert.equal(2, (filters(ns)))
      local out, ok = B.run(OPEN .. "attach 'ingress' o:close()", ns.enter)
      assert.is_true(ok, out)
      assert.equal(1, (filters(ns)))
      assert.equal(others + 1, select(2, ns:sh "tc filter show dev lo ingress":gsub("handle", "")))
      assert.truthy(ns:sh "tc qdisc show dev lo":find "clsact")
      gate.open()
      assert.equal("", living:read "*a") -- it has ended
      living:close()
      assert.equal(0, (filters(ns)))
      assert.truthy(ns:sh "tc qdisc show dev lo":find "clsact") -- somebody else has made it
    end)
  end)
end)
