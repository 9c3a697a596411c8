-- SPDX-License-Identifier: MIT
-- bpf_probe: what this machine allows of BPF, each found by loading something tiny of that kind,
-- since neither the kernel's version nor a list of its configuration tells what a container, a
-- capability or a platform refuses.

--- What this machine allows.
-- @module ringlet.bpf
-- @section Probing

local bpf_fail = require "ringlet.bpf_fail"
local library = require "ringlet.bpf_library".library

local M = {}

local ENOENT, ENODEV, EINVAL = -2, -19, -22

local PROG = {socket_filter = 1, tc = 3, xdp = 6, cgroup_skb = 8, raw_tp = 17, sk_reuseport = 21,
  tracing = 26}
local RAW_TP, FENTRY, TCX_INGRESS = 23, 24, 46
local NOWHERE = 2 ^ 31 - 1 -- no interface has this number

-- In this order, which is that of what they need.
local SIMPLE = {"socket_filter", "sk_reuseport", "cgroup_skb", "tc", "xdp", "raw_tp"}

local MAPS = {
  ringbuf = {27, 0, 0, 4096, 0},
  mmapable = {2, 4, 8, 1, 1024},
  lpm_trie = {11, 8, 4, 1, 1},
}

local TASK_FROM_PID, SEND, RELEASE = "bpf_task_from_pid()", "bpf_send_signal_task()",
  "bpf_task_release()"
local SWITCH, ANY_FUNCTION = "btf_trace_sched_switch", "tcp_v4_connect()"
local NAMES = {SWITCH, ANY_FUNCTION, TASK_FROM_PID, SEND, RELEASE}

-- An instruction: its code, the registers it writes and reads, an offset, a number.
local function insn(code, dst, src, offset, n)
  n = n % 2 ^ 32
  return string.char(code, src * 16 + dst, offset % 256, 0, n % 256, math.floor(n / 2 ^ 8) % 256,
    math.floor(n / 2 ^ 16) % 256, math.floor(n / 2 ^ 24))
end

local function set(register, n)
  return insn(0xb7, register, 0, 0, n)
end

local function copy(to, from)
  return insn(0xbf, to, from, 0, 0)
end

local function call_kernel(id)
  return insn(0x85, 0, 2, 0, id)
end

local EXIT = insn(0x95, 0, 0, 0, 0)
local NOTHING = set(0, 0) .. EXIT
local PASS = set(0, 1) .. EXIT -- all that cgroup_skb may return is 0 or 1

-- A program that would send a signal to a task, if it ran.
local function signals(ids)
  return set(1, 1) .. call_kernel(ids[TASK_FROM_PID]) .. insn(0x15, 0, 0, 8, 0) .. copy(6, 0)
    .. copy(1, 0) .. set(2, 23) .. set(3, 0) .. set(4, 0) .. call_kernel(ids[SEND])
    .. copy(1, 6) .. call_kernel(ids[RELEASE]) .. NOTHING
end

-- Note how it went with `name`: a descriptor, or why there is none.
local function note(found, name, kind, fd, code)
  found[name] = fd ~= nil
  if fd then
    return fd
  end
  found.reasons[name] = select(2, bpf_fail.give(code, "load of " .. name,
    kind and bpf_fail.needs(kind) or {"CAP_BPF"}))
end

local function drop(fd)
  if fd then
    library.close_fd(fd)
  end
end

local function try_simple(found)
  for _, name in ipairs(SIMPLE) do
    local kind = PROG[name]
    local fd = note(found, name, kind, library.try_program(kind, PASS))
    if name == "socket_filter" and fd then
      found.jit = (library.program_info(fd) or {jited = 0}).jited > 0
    elseif name == "tc" and fd then
      -- A kernel that knows of tcx says that there is no such interface, another that it is
      -- invalid.
      local link, code = library.link_create(fd, NOWHERE, TCX_INGRESS)
      found.tcx = link ~= nil or code == ENODEV
      found.reasons.tcx = not found.tcx and
        select(2, bpf_fail.give(code == EINVAL and -95 or code, "attaching by tcx",
          {"CAP_NET_ADMIN"})) or nil
    end
    drop(fd)
  end
  if not found.tc then
    found.tcx, found.reasons.tcx = false, found.reasons.tc
  end
end

local function try_maps(found)
  for name, of in pairs(MAPS) do
    drop(note(found, name, nil, library.try_map(of[1], of[2], of[3], of[4], of[5])))
  end
end

local function by_name(list)
  local ids = {}
  for i, name in ipairs(NAMES) do
    ids[name] = list[i] > 0 and list[i] or nil
  end
  return ids
end

local function try_tracing(found, ids)
  local tracing = PROG.tracing
  local function try(name, attach_type, id)
    if not id then
      return note(found, name, tracing, nil, ENOENT)
    end
    drop(note(found, name, tracing, library.try_program(tracing, NOTHING, attach_type, id)))
  end
  try("tp_btf", RAW_TP, ids[SWITCH])
  try("fentry", FENTRY, ids[ANY_FUNCTION])
  if ids[TASK_FROM_PID] and ids[SEND] and ids[RELEASE] then
    drop(note(found, "send_signal_task", PROG.tc, library.try_program(PROG.tc, signals(ids))))
  else
    found.send_signal_task = false
    found.reasons.send_signal_task = "ENOENT: the kernel has no bpf_send_signal_task"
  end
end

local function release()
  local file = io.open "/proc/sys/kernel/osrelease"
  local text = file and file:read "*l"
  if file then
    file:close()
  end
  return text or "unknown"
end

--- What this machine allows, to this thread, each found by a real load of something tiny. Takes
-- some 10 ms, for most of which it reads the kernel's types.
-- @treturn bpf_probe a new table
-- @tfield[bpf_probe] boolean ok programs can be loaded at all: socket filters, which need the least
-- @tfield[bpf_probe] ?string reason why not: "EPERM: needs CAP_BPF (load of socket_filter)"
-- @tfield[bpf_probe] table reasons the same for each of what follows that is false
-- @tfield[bpf_probe] boolean socket_filter
-- @tfield[bpf_probe] boolean sk_reuseport
-- @tfield[bpf_probe] boolean cgroup_skb
-- @tfield[bpf_probe] boolean tc
-- @tfield[bpf_probe] boolean tcx tc by a link, which ends with the process
-- @tfield[bpf_probe] boolean xdp
-- @tfield[bpf_probe] boolean raw_tp
-- @tfield[bpf_probe] boolean tp_btf
-- @tfield[bpf_probe] boolean fentry
-- @tfield[bpf_probe] boolean send_signal_task a program can send a signal to a task of its choice
-- @tfield[bpf_probe] boolean ringbuf
-- @tfield[bpf_probe] boolean mmapable arrays that can be mapped
-- @tfield[bpf_probe] boolean lpm_trie
-- @tfield[bpf_probe] boolean btf the kernel's types can be read, for CO-RE
-- @tfield[bpf_probe] boolean jit programs are compiled
-- @tfield[bpf_probe] string libbpf its version
-- @tfield[bpf_probe] string kernel its release
-- @fails "ENOSYS" without libbpf
function M.probe()
  local found = {reasons = {}, jit = false, libbpf = library.libbpf, kernel = release()}
  try_simple(found)
  try_maps(found)
  local list, code = library.kernel_ids(NAMES)
  found.btf = list ~= nil
  found.reasons.btf = not list and select(2, bpf_fail.give(code, "reading /sys/kernel/btf/vmlinux"))
    or nil
  try_tracing(found, list and by_name(list) or {})
  found.ok, found.reason = found.socket_filter, found.reasons.socket_filter
  library.log()
  return found
end

return M
