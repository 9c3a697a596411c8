-- SPDX-License-Identifier: MIT
-- ringlet.bpf as a whole: where libbpf or privileges are missing, and the objects that are
-- committed.
local B = require "spec.bpf"

-- Calls every entry, and prints what came: ok, code.
local ENTRIES = [[
local bpf = require "ringlet.bpf"
local function show(name, ok, msg, code)
  print(name, ok == nil and "nil" or type(ok), code, msg and msg:match "^(E%u+): " == code)
end
show("load", bpf.load(SAMPLE, {programs = {"watch"}}))
show("open_map", bpf.open_map "/nonexistent/none")]]

local function entries(before, sample)
  return ("SAMPLE = %q\n"):format(sample or B.SAMPLE) .. (before or "") .. ENTRIES
end

describe("bpf", function()
  it("is there without its library, and says so when it is called", function()
    local out, ok = B.run(entries [[
package.preload["ringlet.bpf_core"] = function()
  error "libbpf.so.1: cannot open shared object file: No such file or directory"
end
local bpf = require "ringlet.bpf"
for _, name in ipairs{"probe", "load", "open_map", "wakeup", "steer", "metrics"} do
  local v, msg, code = bpf[name]{}
  assert(v == nil and code == "ENOSYS" and msg:find("^ENOSYS: .*libbpf%.so%.1"), name)
end
assert(bpf.nonsense == nil)
]])
    assert.is_true(ok, out)
    assert.equal("load\tnil\tENOSYS\ttrue\nopen_map\tnil\tENOSYS\ttrue\n", out)
  end)

  it("gives EPERM and the capability to nobody, and life goes on", function()
    if B.lacks("socket_filter", "nobody") then return end
    local out, ok = B.run(entries(), B.as_nobody())
    assert.is_true(ok, out)
    assert.equal("load\tnil\tEPERM\ttrue\nopen_map\tnil\tENOENT\ttrue\n", out)
    out = B.run([[
local rl, bpf = require "ringlet", require "ringlet.bpf"
print(select(2, bpf.load("spec/bpf/sample.bpf.o", {programs = {"watch"}})):match "^[^\n]*")
print(select(2, bpf.load("spec/bpf/sample.bpf.o", {programs = {"count_tc"}})):match "^[^\n]*")
print(select(2, bpf.load("spec/bpf/sample.bpf.o", {programs = {"count_switch"}})):match "^[^\n]*")
print(rl.run(function() return rl.go(function() return 1 end):join() end, {backend = "sim"}))]],
      B.as_nobody())
    assert.equal("EPERM: needs CAP_BPF (load of the socket filter watch)\n" ..
      "EPERM: needs CAP_BPF and CAP_NET_ADMIN (load of the tc count_tc)\n" ..
      "EPERM: needs CAP_BPF and CAP_PERFMON (load of the tracing count_switch)\ntrue\t1\n", out)
  end)

  it("needs no more than CAP_BPF for socket filters and sk_reuseport, attached and run", function()
    if B.lacks("socket_filter", "sk_reuseport", "uring", "nobody") then return end
    local out, ok = B.run([[
local rl, net, bpf = require "ringlet", require "ringlet.net", require "ringlet.bpf"
rl.run(function()
  local o = assert(bpf.load("spec/bpf/sample.bpf.o", {programs = {"watch", "pick"}}))
  local a = assert(net.listen("127.0.0.1:0", {reuseport = true}))
  local b = assert(net.listen(a:addr(), {reuseport = true}))
  assert(o:map "socks":set(1, b))
  assert(o:attach("watch", {socket = b}))
  assert(o:attach("pick", {reuseport = a}))
  local c = assert(net.connect(a:addr()))
  local served = assert(b:accept(30)) -- key 1 is its
  c:write "hello"
  print(assert(o:ring("events", {type = "struct event"}):recv(30)).text)
  o:close() c:close() served:close() a:close() b:close()
end)]], B.as_nobody "bpf")
    assert.is_true(ok, out)
    assert.equal("packet\n", out)
  end)

  it("does not need to be run from the tree", function()
    if B.lacks "socket_filter" then return end
    local paths = B.sh "pwd":gsub("\n", "")
    local out = B.output("cd / && " .. B.command(("print(require 'ringlet.bpf'.load(%q))")
      :format(paths .. "/" .. B.SAMPLE)):gsub("%./", paths .. "/")
      :gsub("([\"';])(%l+/)", "%1" .. paths .. "/%2"))
    assert.matches("ringlet.bpf.object: sample %(10 programs", out)
  end)

  it("can be used on several shards at a time, each with objects of its own", function()
    if B.lacks("socket_filter", "uring") then return end
    local rl = require "ringlet"
    local sums = rl.run(function()
      local futures, list = {}, {}
      for i = 1, 3 do
        futures[i] = rl.spawn_on(i, function(sample, n)
          local bpf, sum = require "ringlet.bpf", 0
          for k = 1, 8 do
            local o = assert(bpf.load(sample, {globals = {limit = n}, programs = {"drop_long"}}))
            assert(select(2, bpf.load("\127ELF" .. ("x"):rep(k))):find "too short")
            sum = sum + o:global "limit"
            o:close()
          end
          return sum
        end, B.SAMPLE, i)
      end
      for i, f in ipairs(futures) do list[i] = select(2, f:join()) end
      return list
    end, {shards = 3, backend = "uring"})
    assert.same({8, 16, 24}, sums)
  end)
end)

describe("the reference of ringlet.bpf", function()
  it("names the methods that there are", function()
    if B.lacks("socket_filter", "sk_reuseport", "raw_tp", "ringbuf", "mmapable") then return end
    local o = assert(B.bpf.load(B.SAMPLE, {programs = {"watch", "count_raw"}}))
    local all = {bpf_object = o, bpf_map = o:map "words", bpf_area = o:map "words":mmap(),
      bpf_program = o:program "watch", bpf_ring = o:ring "events", bpf_link = o:attach "count_raw"}
    local told = {}
    for line in io.lines "docs/luals/ringlet.bpf.lua" do
      local class, name = line:match "^function (bpf_%w+):([%w_]+)%("
      if all[class] then
        assert.is_function(all[class][name], class .. ":" .. name)
        told[class .. ":" .. name] = true
      end
      local fn = line:match "^function M%.([%w_]+)%("
      if fn then assert.is_function(B.bpf[fn], fn) end
    end
    for class, x in pairs(all) do
      for name, v in pairs(getmetatable(x).__index) do
        local is_public = type(v) == "function" and not name:find "_$" and not name:find "^_"
        assert.is_true(not is_public or told[class .. ":" .. name] or name == "close", name)
      end
    end
    o:close()
  end)
end)

describe("the objects of BPF in the tree", function()
  it("belong to their sources", function()
    local out, ok = B.output "tools/bpf --check"
    assert.is_true(ok, out)
  end)

  it("have a licence that the kernel knows, and are stripped", function()
    for path in B.sh "ls bpf/*.bpf.o spec/bpf/*.bpf.o 2>/dev/null; true":gmatch "%S+" do
      local file = assert(io.open(path, "rb"))
      local bytes = file:read "*a"
      file:close()
      assert.truthy(bytes:find("Dual MIT/GPL\0", 1, true), path)
      assert.is_nil(bytes:find(".debug_info", 1, true), path)
    end
  end)

  it("are in the library as they are in the tree", function()
    if B.lacks() then return end
    for path in B.sh "ls bpf/*.bpf.o 2>/dev/null; true":gmatch "%S+" do
      local file = assert(io.open(path, "rb"))
      assert.equal(file:read "*a", B.library.object(path:match "bpf/(.-)%.bpf%.o"), path)
      file:close()
    end
    assert.is_nil(B.library.object "nonsense")
  end)
end)
