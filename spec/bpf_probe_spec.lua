-- SPDX-License-Identifier: MIT
-- What this machine allows of BPF, and to whom.
local B = require "spec.bpf"

local FIELDS = {"socket_filter", "sk_reuseport", "cgroup_skb", "tc", "tcx", "xdp", "raw_tp",
  "tp_btf", "fentry", "send_signal_task", "ringbuf", "mmapable", "lpm_trie", "btf"}

-- Prints which fields are true, and the reasons of those that are not.
local PROGRAM = [[
local p = assert(require "ringlet.bpf".probe())
print("ok", p.ok, p.reason)
for _, name in ipairs{"socket_filter", "sk_reuseport", "cgroup_skb", "tc", "tcx", "xdp", "raw_tp",
  "tp_btf", "ringbuf", "mmapable", "lpm_trie", "send_signal_task"} do
  print(name, p[name], p.reasons[name])
end]]

local function probe_as(...)
  local out, ok = B.run(PROGRAM, B.as_nobody(...))
  assert.is_true(ok, out)
  local found = {}
  for name, value, reason in out:gmatch "(%S+)\t(%S+)\t([^\n]*)" do
    found[name] = value == "true" or reason
  end
  return found
end

describe("bpf.probe", function()
  it("says of each thing whether it can be had, and if not why", function()
    if B.lacks() then return end
    local p = B.bpf.probe()
    for _, name in ipairs(FIELDS) do
      assert.is_boolean(p[name], name)
      if p[name] then
        assert.is_nil(p.reasons[name])
      else
        assert.matches("^E%u+: .", p.reasons[name])
      end
    end
    assert.equal(p.socket_filter, p.ok)
    assert.equal(p.reasons.socket_filter, p.reason)
    assert.matches("^1%.", p.libbpf)
    assert.matches("^%d+%.%d", p.kernel)
    assert.is_boolean(p.jit)
  end)

  it("leaves nothing behind", function()
    if B.lacks() then return end
    local fds = B.descriptors() -- what nobody has a descriptor of is gone
    B.bpf.probe()
    B.bpf.probe()
    assert.equal(fds, B.descriptors())
  end)

  it("names the capability that is missing to nobody", function()
    if B.lacks("socket_filter", "nobody") then return end
    local p = probe_as()
    if p.socket_filter == true then return pending "BPF is open to everybody here" end
    assert.equal("EPERM: needs CAP_BPF (load of socket_filter)", p.socket_filter)
    assert.equal("EPERM: needs CAP_BPF (load of socket_filter)", p.ok)
    assert.equal("EPERM: needs CAP_BPF and CAP_NET_ADMIN (load of tc)", p.tc)
    assert.equal("EPERM: needs CAP_BPF and CAP_PERFMON (load of tp_btf)", p.tp_btf)
    assert.equal("EPERM: needs CAP_BPF (load of ringbuf)", p.ringbuf)
  end)

  it("with CAP_BPF alone finds what needs no more", function()
    if B.lacks("socket_filter", "sk_reuseport", "ringbuf", "nobody") then return end
    local p = probe_as "bpf"
    assert.is_true(p.ok)
    assert.is_true(p.socket_filter)
    assert.is_true(p.sk_reuseport)
    assert.is_true(p.ringbuf)
    assert.is_true(p.lpm_trie)
    assert.equal("EPERM: needs CAP_NET_ADMIN (load of tc)", p.tc)
    assert.equal("EPERM: needs CAP_NET_ADMIN (load of tc)", p.tcx)
    assert.equal("EPERM: needs CAP_PERFMON (load of raw_tp)", p.raw_tp)
  end)

  it("finds the rest with CAP_NET_ADMIN, CAP_PERFMON", function()
    if B.lacks("tc", "xdp", "tp_btf", "nobody") then return end
    local p = probe_as("bpf", "net_admin")
    assert.is_true(p.tc)
    assert.is_true(p.xdp)
    assert.equal("EPERM: needs CAP_PERFMON (load of tp_btf)", p.tp_btf)
    p = probe_as("bpf", "perfmon")
    assert.is_true(p.tp_btf)
    assert.is_true(p.raw_tp)
    assert.equal("EPERM: needs CAP_NET_ADMIN (load of xdp)", p.xdp)
  end)

  it("is not told by the version what is refused by the platform", function()
    if B.lacks("tp_btf") then return end
    local p = B.bpf.probe()
    if p.fentry then return pending "fentry is to be had here" end
    assert.matches("^E%u+: ", p.reasons.fentry)
  end)
end)
