-- SPDX-License-Identifier: MIT
-- Machines of all sizes as tables of facts; then this one, in processes of their own.
local H = require "spec.helper"
local placement = require "ringlet.placement"

-- {0-3}; {0-7} on two nodes, of which CPU 0 may not be used; four CPUs, of two nodes with odd names
local SMALL = {cpus = {0, 1, 2, 3}, nodes = {{0, 1, 2, 3, id = 0}}}
local LARGE = {
  cpus = {1, 2, 3, 4, 5, 6, 7},
  nodes = {{0, 2, 4, 6, id = 0}, {1, 3, 5, 7, id = 1}},
}
local ODD = {
  cpus = {0, 1, 2, 3, 9},
  nodes = {{0, 1, id = 2}, {2, 3, id = 5}, {id = 7}, {100, id = 8}},
}

local function with_quota(facts, quota)
  return {cpus = facts.cpus, nodes = facts.nodes, quota = quota}
end

-- As `run` calls it: what is wrong is told at the line that called this.
local function plan(opts, facts)
  local p = placement.plan(opts, facts)
  return p
end

-- "0 1,2 -": the CPUs of each shard
local function cpus_of(p)
  local out = {}
  assert.equal(p.shards, #p.cpus)
  assert.equal(p.shards, #p.nodes)
  for i, cpus in ipairs(p.cpus) do
    out[i] = cpus and table.concat(cpus, ",") or "-"
  end
  return table.concat(out, " ")
end

local function nodes_of(p)
  local out = {}
  for i, node in ipairs(p.nodes) do
    out[i] = node and tostring(node) or "-"
  end
  return table.concat(out, " ")
end

local function refused(text, opts, facts)
  local function caller()
    local p = plan(opts, facts or SMALL)
    return p
  end
  local err = H.raises_text(text, caller)
  local line = debug.getinfo(caller, "S").linedefined + 1
  assert.matches("^[^:]*spec/placement_spec%.lua:" .. line .. ": option '", err)
end

describe("how many shards", function()
  it("is one unless asked", function()
    assert.equal(1, plan({}, SMALL).shards)
  end)

  it("is what is asked, whatever the machine has", function()
    assert.equal(1, plan({shards = 1}, SMALL).shards)
    assert.equal(9, plan({shards = 9}, with_quota(SMALL, 1)).shards)
    assert.equal("8", tostring(plan({shards = 2^3}, SMALL).shards))
  end)

  it("is with auto the CPUs that may be used", function()
    assert.equal(4, plan({shards = "auto"}, SMALL).shards)
    assert.equal(7, plan({shards = "auto"}, LARGE).shards)
  end)

  it("is with auto no more than the quota rounded up, and one at least", function()
    local want = {[0.05] = 1, [1] = 1, [1.01] = 2, [2.5] = 3, [3.999] = 4, [4] = 4, [64] = 4}
    for quota, shards in pairs(want) do
      assert.equal(shards, plan({shards = "auto"}, with_quota(SMALL, quota)).shards)
    end
  end)

  it("is with auto no more than there are places to pin to", function()
    assert.equal(2, plan({shards = "auto", pin = {0, 2}}, SMALL).shards)
    assert.equal(1, plan({shards = "auto", pin = {{0, 1, 2}}}, SMALL).shards)
    assert.equal(4, plan({shards = "auto", pin = {0, 0, 0, 0, 0}}, SMALL).shards)
    assert.equal(3, plan({shards = "auto", pin = true, numa = {0}}, LARGE).shards)
    assert.equal(3, plan({shards = "auto", pin = true, numa = {0, 0}}, LARGE).shards)
    assert.equal(7, plan({shards = "auto", pin = true, numa = {0, 1}}, LARGE).shards)
    assert.equal(2, plan({shards = "auto", pin = true}, with_quota(LARGE, 2)).shards)
  end)

  it("has a limit", function()
    local many = {cpus = {}, nodes = {{id = 0}}}
    for i = 1, 4096 do
      many.cpus[i] = i - 1
    end
    assert.equal(64, plan({shards = "auto"}, many).shards)
    assert.equal(64, plan({shards = 64}, many).shards)
    refused("from 1 to 64", {shards = 65})
  end)

  it("is refused when it is none", function()
    for _, bad in ipairs{0, -1, 1.5, 0/0, math.huge, "4", "all", true, false, {}} do
      refused("option 'shards' must be \"auto\" or a whole number", {shards = bad})
    end
    refused("not \"all\"", {shards = "all"})
  end)
end)

describe("pinning", function()
  it("does not happen unless asked", function()
    assert.equal("- -", cpus_of(plan({shards = 2}, SMALL)))
    assert.equal("- -", cpus_of(plan({shards = 2, pin = false, numa = "auto"}, LARGE)))
  end)

  it("gives each shard a CPU, node by node", function()
    assert.equal("0 1 2 3", cpus_of(plan({shards = 4, pin = true}, SMALL)))
    assert.equal("2 4 6 1 3 5 7", cpus_of(plan({shards = "auto", pin = true}, LARGE)))
    assert.equal("2 4", cpus_of(plan({shards = 2, pin = true}, LARGE)))
  end)

  it("uses CPUs that no node claims last", function()
    assert.equal("0 1 2 3 9", cpus_of(plan({shards = 5, pin = true}, ODD)))
  end)

  it("begins again when there are more shards than CPUs", function()
    assert.equal("0 1 2 3 0 1", cpus_of(plan({shards = 6, pin = true}, SMALL)))
    assert.equal("3 1 3", cpus_of(plan({shards = 3, pin = {3, 1}}, SMALL)))
    assert.equal("0,1 2 0,1", cpus_of(plan({shards = 3, pin = {{0, 1}, {2}}}, SMALL)))
  end)

  it("takes a list in its order, numbers and strings", function()
    assert.equal("3 0 1 2 2", cpus_of(plan({shards = 5, pin = {3, "0-1,2", 2}}, SMALL)))
    assert.equal("1", cpus_of(plan({shards = 1, pin = {2^0, 2}}, SMALL)))
  end)

  it("takes a list of lists as the set of each shard", function()
    assert.equal("0,1 2,3", cpus_of(plan({shards = 2, pin = {{0, 1}, {"2-3"}}}, SMALL)))
    assert.equal("0,1", cpus_of(plan({shards = 1, pin = {{0, 1}, {2}}}, SMALL)))
  end)

  it("names the CPUs that may not be used, and those that may", function()
    refused("names CPU 4-6,9, which this process may not use: it may use 0-3",
      {pin = {0, "4-5", 9, 6, 5}})
    refused("names CPU 0, which this process may not use: it may use 1-7", {pin = {{1}, {0, 2}}},
      LARGE)
  end)

  it("is refused when it is no list of CPUs", function()
    refused("must be true, false or a list of CPUs, not \"0-3\"", {pin = "0-3"})
    refused("must be true, false or a list of CPUs, not 3", {pin = 3})
    refused("empty list", {pin = {}})
    refused("empty list", {pin = {{0}, {}}})
    refused("empty list", {pin = {cpu = 1}})
    refused("mixes", {pin = {{0}, 1}})
    refused("is no CPU", {pin = {1, {0}}})
    for _, bad in ipairs{-1, 1.5, 0/0, math.huge, "", " ", "a", "3-1", "1,", true} do
      refused("is no CPU: a number or a string", {pin = {bad}})
      refused("is no CPU: a number or a string", {pin = {{0, bad}}})
    end
    refused("has \"0-99999999\", which is no CPU", {pin = {"0-99999999"}})
  end)
end)

describe("memory", function()
  it("is left alone unless asked", function()
    assert.equal("- -", nodes_of(plan({shards = 2, pin = true}, LARGE)))
    assert.equal("- -", nodes_of(plan({shards = 2, pin = true, numa = false}, LARGE)))
  end)

  it("prefers with auto the node of the CPU", function()
    local p = plan({shards = "auto", pin = true, numa = "auto"}, LARGE)
    assert.equal("2 4 6 1 3 5 7", cpus_of(p))
    assert.equal("0 0 0 1 1 1 1", nodes_of(p))
    assert.equal("1 0", nodes_of(plan({shards = 2, pin = {3, 2}, numa = "auto"}, LARGE)))
    assert.equal("2 2 5 5 -", nodes_of(plan({shards = 5, pin = true, numa = "auto"}, ODD)))
  end)

  it("prefers with auto none for a set on several nodes", function()
    assert.equal("0 - 1",
      nodes_of(plan({shards = 3, pin = {{2, 4}, {4, 5}, {"5"}}, numa = "auto"}, LARGE)))
  end)

  it("is left alone with auto where there is one node, or no pinning", function()
    assert.equal("- -", nodes_of(plan({shards = 2, pin = true, numa = "auto"}, SMALL)))
    assert.equal("- -", nodes_of(plan({shards = 2, numa = "auto"}, LARGE)))
  end)

  it("comes from the nodes of a list in turn", function()
    assert.equal("1 0 1", nodes_of(plan({shards = 3, numa = {1, 0}}, LARGE)))
    assert.equal("0 0", nodes_of(plan({shards = 2, numa = {0}}, SMALL)))
    local p = plan({shards = 2, pin = {2, 4}, numa = {1}}, LARGE)
    assert.equal("2 4|1 1", cpus_of(p) .. "|" .. nodes_of(p))
  end)

  it("of a list has its shards pinned to the same node", function()
    local p = plan({shards = 6, pin = true, numa = {1, 0}}, LARGE)
    assert.equal("1 2 3 4 5 6|1 0 1 0 1 0", cpus_of(p) .. "|" .. nodes_of(p))
    p = plan({shards = 5, pin = true, numa = {0}}, LARGE)
    assert.equal("2 4 6 2 4|0 0 0 0 0", cpus_of(p) .. "|" .. nodes_of(p))
    p = plan({shards = 4, pin = true, numa = {0, 0, 1}}, LARGE)
    assert.equal("2 4 1 6|0 0 1 0", cpus_of(p) .. "|" .. nodes_of(p))
  end)

  it("may be on a node without CPUs, to which nothing is pinned", function()
    assert.equal("7", nodes_of(plan({shards = 1, numa = {7}}, ODD)))
    assert.equal("7", nodes_of(plan({shards = 1, pin = {0}, numa = {7}}, ODD)))
    refused("names node 7, on which this process may use no CPU", {pin = true, numa = {7}}, ODD)
    refused("names node 8, on which this process may use no CPU", {pin = true, numa = {2, 8}}, ODD)
  end)

  it("is refused when it is no list of nodes", function()
    refused("must be \"auto\", false or a list of nodes, not \"on\"", {numa = "on"})
    refused("not true", {numa = true})
    refused("not 0", {numa = 0})
    refused("empty list", {numa = {}})
    refused("names node 1, which this machine does not have: it has 0", {numa = {0, 1}})
    refused("names node \"0\", which this machine does not have: it has 2,5,7-8", {numa = {"0"}},
      ODD)
    refused("names node 0.5", {numa = {0.5}})
  end)
end)

describe("a plan", function()
  it("changes neither options nor facts", function()
    local opts = {shards = "auto", pin = {{"2-3"}, {1, 4}}, numa = {1, 0}, other = 1}
    local facts = with_quota(LARGE, 1.5)
    assert.equal("2,3 1,4", cpus_of(plan(opts, facts)))
    assert.same({shards = "auto", pin = {{"2-3"}, {1, 4}}, numa = {1, 0}, other = 1}, opts)
    assert.same({1, 2, 3, 4, 5, 6, 7}, facts.cpus)
    assert.same({{0, 2, 4, 6, id = 0}, {1, 3, 5, 7, id = 1}}, facts.nodes)
  end)

  it("blames the caller it is told to", function()
    local err = H.raises(function()
      placement.plan({shards = 0}, SMALL, 1)
    end)
    assert.matches("spec/placement_spec%.lua:%d+: ", err)
  end)
end)

describe("the facts", function()
  it("of this machine make a plan", function()
    local facts = placement.facts()
    assert.is_true(#facts.cpus >= 1 and #facts.nodes >= 1)
    assert.is_true(facts.quota == nil or facts.quota > 0)
    local p = plan({shards = "auto", pin = true, numa = "auto"}, facts)
    assert.is_true(p.shards >= 1 and p.shards <= #facts.cpus)
    assert.equal(1, #p.cpus[p.shards])
  end)

  it("of a tree of files are those of the tree", function()
    local root = os.tmpname()
    local function put(path, text)
      assert(os.execute(("mkdir -p '%s%s'"):format(root, path:match "^(.*)/")))
      local f = assert(io.open(root .. path, "w"))
      f:write(text)
      f:close()
    end
    os.remove(root)
    put("/proc/self/cgroup", "0::/job\n")
    put("/proc/self/mountinfo", "30 20 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n")
    put("/sys/fs/cgroup/job/cpu.max", "150000 100000\n")
    put("/sys/devices/system/node/node0/cpulist", "0-1\n")
    put("/sys/devices/system/node/node3/cpulist", "2,5\n")
    local facts = placement.facts(root)
    os.execute(("rm -r '%s'"):format(root))
    assert.equal(1.5, facts.quota)
    assert.same({{0, 1, id = 0}, {2, 5, id = 3}}, facts.nodes)
    assert.same(placement.facts().cpus, facts.cpus)
  end)
end)

-- Prints what the calling thread of another process is after each step.
local SHOW = [[
  local core = require "ringlet.core"
  local function show(...)
    local out = {}
    for line in io.lines("/proc/thread-self/status") do
      local v = line:match "^Name:%s*(.*)" or line:match "^Cpus_allowed_list:%s*(.*)"
      out[#out + 1] = v
    end
    for i = 1, select("#", ...) do
      out[#out + 1] = tostring((select(i, ...)))
    end
    print(table.concat(out, " "))
  end
]]

describe("a thread", function()
  it("is placed, and goes back", function()
    local text, code = H.script(SHOW .. [[
      local cpus = core.topology().cpus
      local saved = core.place_save()
      show()
      show(core.place({cpus[#cpus]}, core.topology().nodes[1].id, "a-shard-with-a-long-name"))
      show(core.place(false, false, "short"))
      show(core.place_restore(saved))
      show(core.place(nil, nil, nil))
    ]])
    assert.equal(0, code, text)
    local first, placed, named, back, none = text:match("^(.-)\n(.-)\n(.-)\n(.-)\n(.-)\n")
    local cpus = placement.facts().cpus
    assert.equal(("a-shard-with-a- %d true"):format(cpus[#cpus]), placed)
    assert.equal(("short %d true"):format(cpus[#cpus]), named)
    assert.equal(first .. " true", back)
    assert.equal(back, none)
  end)

  it("stays where it is when there is no such place", function()
    local text, code = H.script(SHOW .. [[
      show()
      for _, cpus in ipairs{{}, {65535}, {65536}, {-1}, {0.5}, {"0"}, {{}}} do
        local ok, code, what = core.place(cpus)
        show(ok, core.errmsg(code):match "^%u+", what)
      end
    ]])
    assert.equal(0, code, text)
    local first, rest = text:match("^(.-)\n(.*)$")
    local want = {}
    for i, name in ipairs{"EINVAL", "EINVAL", "ERANGE", "EINVAL", "EINVAL", "EINVAL", "EINVAL"} do
      want[i] = ("%s nil %s cpus\n"):format(first, name)
    end
    assert.equal(table.concat(want), rest)
  end)
end)
