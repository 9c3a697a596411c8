-- SPDX-License-Identifier: MIT
-- cli_doctor: `ringlet doctor`: what of this machine, and of what confines this process, matters to
-- ringlet; a line for each thing, "ok" or "fix" with what to do.
--
-- Findings come from trying (src/os/probe.c), else from /proc and /sys: without a run, so that they
-- can be had where none can begin. Everything is read through `look`, which specs replace.
--
-- A finding is {name=, ok=, detail=, fix= what to do, needed= nothing runs without it, optional=
-- most programs do without it}.

local core = require "ringlet.core"

local M = {
  name = "doctor", summary = "what this machine allows, and what to do about it", positional = "",
  most = 0, options = {}, about = [[
Prints a line for each thing that matters to ringlet: "ok", or "fix" with what to do. The status is
1 if ringlet cannot run here at all.]],
}

-- ---- looking ------------------------------------------------------------------------------------

local function read(path)
  local file = io.open(path)
  local text = file and file:read "*a"
  if file then
    file:close()
  end
  return text or nil
end

-- What there is to look at; a spec has its own.
function M.looker()
  return {
    read = read, probe = core.probe, topology = core.topology, getenv = os.getenv,
    bpf = function()
      local ok, bpf = pcall(require, "ringlet.bpf")
      return ok and bpf.probe() or nil
    end,
    try_class = core.sched_try,
    jit = rawget(_G, "jit"), version = _VERSION,
  }
end

local function number_in(look, path)
  return tonumber((look.read(path) or ""):match "%-?%d+")
end

-- Soft and hard limit of this process; math.huge: none.
local function limit(look, name)
  local all = look.read "/proc/self/limits" or ""
  local soft, hard = all:match("Max " .. name .. "%s+(%w+)%s+(%w+)")
  local function value(text)
    return text == "unlimited" and math.huge or tonumber(text)
  end
  return value(soft), value(hard)
end

local function shown(n)
  return n == math.huge and "unlimited" or n and ("%.0f"):format(n) or "unknown"
end

-- Is a bit of a mask in /proc/self/status set? nil: there is no such line.
local function has_bit(look, field, bit)
  local mask = (look.read "/proc/self/status" or ""):match(field .. ":%s*(%x+)")
  local digit = mask and mask:sub(-1 - math.floor(bit / 4), -1 - math.floor(bit / 4))
  return mask and math.floor((tonumber(digit, 16) or 0) / 2 ^ (bit % 4)) % 2 == 1
end

-- ---- what is looked at --------------------------------------------------------------------------

local function of_vm(look)
  if not look.jit then
    return {name = "VM", ok = true, detail = look.version}
  end
  local on = look.jit.status()
  return {name = "VM", ok = on, detail = look.jit.version .. (on and ", compiling" or ""),
    fix = "it interprets: start it without -joff, or this is a build without a compiler"}
end

local BACKENDS = {uring = true, auto = true, [""] = true}

local function of_backend(look)
  local name = look.getenv "RINGLET_BACKEND"
  return {
    name = "RINGLET_BACKEND", ok = BACKENDS[name or ""] or false, detail = name or "not set",
    fix = (name == "sim" and "every run is simulated" or "there is no such backend")
      .. ": unset it",
  }
end

local NEEDED = {
  ["io_uring"] = true, ["io_uring operations"] = true, ["provided buffers"] = true,
  ["multishot receive"] = true,
}

local function add_probed(list, look)
  for _, found in ipairs(look.probe()) do
    if found.name == "kernel.io_uring_disabled" then
      list[#list + 1] = {name = found.name, ok = found.ok, detail = found.detail,
        fix = "sysctl -w kernel.io_uring_disabled=0"}
    elseif found.name ~= "open files" then
      list[#list + 1] = {name = found.name, ok = found.ok, detail = found.detail,
        needed = NEEDED[found.name]}
    end
  end
end

local function of_nofile(look)
  local soft, hard = limit(look, "open files")
  local fix = hard and hard > (soft or 0) and "ulimit -n " .. shown(math.min(hard, 1048576))
    or "raise it in limits.conf(5), or LimitNOFILE= of the service"
  return {name = "nofile", ok = soft == nil or soft >= 4096, fix = fix,
    detail = ("%s open files, can be raised to %s"):format(shown(soft), shown(hard))}
end

local function of_memlock(look)
  local soft = limit(look, "locked memory")
  return {name = "memlock", ok = soft == nil or soft >= 65536, fix = "ulimit -l 8192",
    detail = ("%s bytes; rings are not charged to it since Linux 5.12"):format(shown(soft))}
end

local function of_processes(look)
  local soft = limit(look, "processes")
  return {name = "nproc", ok = soft == nil or soft >= 256, fix = "ulimit -u 4096",
    detail = shown(soft) .. " threads and processes"}
end

-- A number of sysctl that is to be at least so large.
local function sysctl(name, least, detail)
  local path = "/proc/sys/" .. name:gsub("%.", "/")
  return function(look)
    local n = number_in(look, path)
    return {
      name = name:match "[^.]+$", ok = n == nil or n >= least,
      detail = ("%s %s"):format(shown(n), detail), fix = ("sysctl -w %s=%d"):format(name, least),
    }
  end
end

local PORTS = "net.ipv4.ip_local_port_range"

local function of_ports(look)
  local low, high = (look.read "/proc/sys/net/ipv4/ip_local_port_range" or ""):match "(%d+)%s+(%d+)"
  local n = low and high - low + 1
  return {
    name = "ip_local_port_range", ok = n == nil or n >= 16384,
    detail = n and ("%d-%d: %d connections to one address and port"):format(low, high, n)
      or "unknown",
    fix = ("sysctl -w %s='15000 64999'"):format(PORTS),
  }
end

-- What bpf.probe tries, in the order in which it is said.
local KINDS = {"socket_filter", "sk_reuseport", "cgroup_skb", "tc", "tcx", "xdp", "raw_tp",
  "tp_btf", "fentry", "send_signal_task"}

-- What could be loaded when it was tried, with the rock ringlet-bpf.
local function of_programs(look)
  local probed = look.bpf and look.bpf()
  if not probed then
    return nil
  end
  local can, cannot = {}, {}
  for _, name in ipairs(KINDS) do
    local list = probed[name] and can or cannot
    list[#list + 1] = name
  end
  local refused = #cannot > 0 and "; not " .. table.concat(cannot, ", ") or ""
  return {
    name = "BPF programs", ok = probed.ok, optional = true, fix = probed.reason,
    detail = ("libbpf %s loads %s"):format(probed.libbpf,
      #can > 0 and table.concat(can, ", ") .. refused or "none"),
  }
end

local CAP_SYS_ADMIN, CAP_BPF = 21, 39

local function of_bpf(look)
  local allowed = has_bit(look, "CapEff", CAP_BPF) or has_bit(look, "CapEff", CAP_SYS_ADMIN)
  local open = number_in(look, "/proc/sys/kernel/unprivileged_bpf_disabled") == 0
  local types = look.read "/sys/kernel/btf/vmlinux" ~= nil
  local compiled = (number_in(look, "/proc/sys/net/core/bpf_jit_enable") or 1) > 0
  local fix = "setcap cap_bpf,cap_perfmon+ep on the interpreter, or run it as root"
  if allowed or open then
    fix = not types and "a kernel with CONFIG_DEBUG_INFO_BTF"
      or "sysctl -w net.core.bpf_jit_enable=1"
  end
  return {
    name = "BPF", optional = true, fix = fix,
    ok = (allowed or open) and types and compiled or false,
    detail = ("%s, %s, %s"):format(allowed and "allowed" or open and "allowed to everyone"
      or "not allowed to this process", types and "type information" or "no type information",
      compiled and "compiled" or "interpreted"),
  }
end

local CAP_SYS_NICE = 23

-- Real-time priorities for shards: by privilege or limit, and where groups share out real-time CPU
-- time, by what this one's has.
local function of_realtime(look)
  local privileged = has_bit(look, "CapEff", CAP_SYS_NICE) ~= false
  local highest = privileged and 99 or limit(look, "realtime priority") or 0
  local ok = highest > 0 and look.try_class("fifo", 1, false, false) or false
  local runtime = number_in(look, "/proc/sys/kernel/sched_rt_runtime_us") or -1
  local period = number_in(look, "/proc/sys/kernel/sched_rt_period_us") or 1000000
  local share = runtime < 0 and "without a limit of their time"
    or ("for %.0f %% of a CPU's time together"):format(100 * runtime / period)
  if highest == 0 then
    return {name = "real-time", optional = true, detail = "not allowed to this process",
      fix = "setcap cap_sys_nice+ep on the interpreter, rtprio in limits.conf(5), or LimitRTPRIO= "
        .. "of the service"}
  end
  return {name = "real-time", ok = ok, optional = true, fix = "its cgroup has no real-time CPU "
    .. "time: cpu.rt_runtime_us", detail = ("priorities up to %d, %s"):format(highest, share)}
end

local function of_cpus(look)
  local found = look.topology()
  if not found then
    return {name = "CPUs", ok = true, detail = "unknown"}
  end
  local quota = found.quota and (", %g of CPU time (cgroup)"):format(found.quota) or ", no quota"
  return {name = "CPUs", ok = true, detail = ("%d, %d node%s%s"):format(#found.cpus, #found.nodes,
    #found.nodes == 1 and "" or "s", quota)}
end

local function of_pages(look)
  local mode = (look.read "/sys/kernel/mm/transparent_hugepage/enabled" or ""):match "%[(%w+)%]"
  return {name = "transparent huge pages", ok = mode ~= "always", optional = true,
    detail = mode or "none", fix = "madvise keeps the memory of many small heaps small: "
    .. "echo madvise >/sys/kernel/mm/transparent_hugepage/enabled"}
end

local FAST = {
  tsc = true, ["kvm-clock"] = true, arch_sys_counter = true, riscv_clocksource = true,
  hyperv_clocksource_tsc_page = true,
}

local function of_clock(look)
  local name = (look.read "/sys/devices/system/clocksource/clocksource0/current_clocksource" or "")
    :match "%S+"
  return {
    name = "clock source", ok = name == nil or FAST[name] or false, detail = name or "unknown",
    fix = "reading the time is a system call with it: boot with clocksource=tsc if the CPU's is "
      .. "sound",
  }
end

local SIGURG = 23

local function of_preemption(look)
  return {name = "SIGURG", ok = not has_bit(look, "SigIgn", SIGURG - 1),
    detail = "interrupts tasks that compute", fix = "it is ignored by whoever started this process"}
end

local MODES = {["0"] = "not confined", ["1"] = "strict", ["2"] = "filtered"}

local function of_seccomp(look)
  local mode = (look.read "/proc/self/status" or ""):match "Seccomp:%s*(%d)"
  return {name = "seccomp", ok = mode ~= "1", detail = MODES[mode] or "unknown",
    fix = "only read and write are allowed"}
end

local function of_sockets(look)
  local dir = look.getenv "XDG_RUNTIME_DIR"
  return {name = "XDG_RUNTIME_DIR", ok = dir ~= nil and dir ~= "", optional = true,
    detail = dir or "not set", fix = "sockets of RINGLET_ADMIN=1 are below /tmp then"}
end

local CHECKS = {
  of_nofile,
  sysctl("fs.nr_open", 1048576, "is the most that nofile can be"),
  sysctl("vm.max_map_count", 65530, "mappings of a process"),
  of_memlock, of_processes,
  of_ports,
  sysctl("net.core.somaxconn", 1024, "connections that wait to be accepted"),
  of_seccomp, of_preemption, of_bpf, of_programs, of_realtime, of_cpus, of_pages, of_clock,
  of_sockets,
}

-- ---- the command --------------------------------------------------------------------------------

-- All findings.
function M.findings(look)
  local list = {of_vm(look), of_backend(look)}
  add_probed(list, look)
  for _, check in ipairs(CHECKS) do
    list[#list + 1] = check(look) -- nil: it is no matter here
  end
  return list
end

local function line_of(found, width)
  local text = ("%-4s %-" .. width .. "s  %s"):format(found.ok and "ok" or "fix", found.name,
    found.detail)
  if not found.ok and found.fix then
    text = text .. ": " .. found.fix .. (found.optional and " (optional)" or "")
  end
  return text
end

-- The findings as lines, the last of which sums up; and the status.
function M.report(findings)
  local width, lines, fixes, broken = 0, {}, 0, false
  for _, found in ipairs(findings) do
    width = math.max(width, #found.name)
    fixes = fixes + ((found.ok or found.optional) and 0 or 1)
    broken = broken or found.needed and not found.ok
  end
  for i, found in ipairs(findings) do
    lines[i] = line_of(found, width)
  end
  lines[#lines + 1] = ("ringlet %s here%s"):format(broken and "cannot run" or "runs",
    fixes > 0 and (", %d to fix"):format(fixes) or "")
  return lines, broken and 1 or 0
end

function M.run()
  local lines, status = M.report(M.findings(M.looker()))
  io.write(table.concat(lines, "\n"), "\n")
  return status
end

return M
