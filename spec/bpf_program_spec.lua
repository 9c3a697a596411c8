-- SPDX-License-Identifier: MIT
-- Programs of BPF: trying them out, and what the kernel counts of them.
local B = require "spec.bpf"
local H = require "spec.helper"

describe("a program of BPF", function()
  local o

  after_each(function()
    if o then o:close() end
    o = nil
  end)

  it("can be tried without anything happening", function()
    if B.lacks "socket_filter" then return end
    o = assert(B.bpf.load(B.SAMPLE, {programs = {"watch"}}))
    local p = assert(o:program "watch")
    local data = ("x"):rep(100)
    local retval, out, ns, ctx = p:run{data = data}
    assert.equal(-1, retval)
    assert.equal(100, #out)
    assert.is_number(ns)
    assert.is_nil(ctx)
    assert.equal(1, o:global "seen_packets")
    local ring = assert(o:ring("events", {type = "struct event"}))
    local e = ring:try_recv()
    assert.same({0, "packet"}, {e.seq, e.text})
    assert.is_true(p:run{data = data, repeat_ = 1000} ~= nil)
    assert.equal(1001, o:global "seen_packets")
    assert.is_number(p:fd())
  end)

  it("refuses what cannot be tried", function()
    if B.lacks("socket_filter", "sk_reuseport") then return end
    o = assert(B.bpf.load(B.SAMPLE, {programs = {"watch", "pick"}}))
    local p = o:program "watch"
    for _, bad in ipairs{{data = "short"}, {}} do
      local v, msg, code = p:run(bad)
      assert.same({"nil", "EINVAL"}, {type(v), code})
      assert.truthy(msg:find("test run of watch", 1, true))
    end
    assert.equal("E2BIG", (select(3, p:run{data = ("x"):rep(2 ^ 21)})))
    local v, _, code = o:program "pick":run{data = ("x"):rep(100)}
    assert.is_nil(v)
    assert.is_string(code)
    H.raises_text("unknown option 'repeat'", p.run, p, {["repeat"] = 5})
    H.raises_text("option 'repeat_' must be", p.run, p, {repeat_ = 0})
    H.raises_text("option 'data' must be a string", p.run, p, {data = 5})
  end)

  it("is counted from the first look at its counters on", function()
    if B.lacks("socket_filter", "uring") then return end
    local net, rl = require "ringlet.net", require "ringlet"
    rl.run(function()
      o = assert(B.bpf.load(B.SAMPLE, {programs = {"watch"}}))
      local p = o:program "watch"
      local listener = assert(net.listen "127.0.0.1:0")
      assert(o:attach("watch", {socket = listener}))
      assert.equal(0, p:stats().runs)
      local c = assert(net.connect(listener:addr()))
      local s = assert(listener:accept())
      for _ = 1, 10 do
        c:write "hello"
        s:read()
      end
      local stats = p:stats()
      assert.is_true(stats.runs >= 10)
      assert.is_true(stats.ns > 0 and stats.instructions > 10 and stats.id > 0)
      assert.is_boolean(stats.jited)
      assert.equal(0, stats.missed)
      c:close() s:close() listener:close()
      o:close()
    end, {backend = "uring"})
  end)

  it("says what it lacks where it is not allowed to", function()
    if B.lacks("socket_filter", "cgroup_skb", "nobody") then return end
    local out = B.run([[
local o = assert(require "ringlet.bpf".load("spec/bpf/sample.bpf.o", {programs = {"count_cgroup"}}))
print(select(2, o:program "count_cgroup":stats()))
print(select(2, o:attach("count_cgroup", {cgroup = "/"})))]], B.as_nobody "bpf")
    assert.matches("^EPERM: needs CAP_SYS_ADMIN %(counting runs of programs%)\tEPERM\nE%u+: ", out)
  end)
end)
