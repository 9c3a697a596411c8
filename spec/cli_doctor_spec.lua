-- SPDX-License-Identifier: MIT
-- What `ringlet doctor` says of machines that are not at hand: all that it looks at is given.
local doctor = require "ringlet.cli_doctor"

local SOUND = {
  ["/proc/self/limits"] = "Max processes 4096 4096 processes\nMax open files 65536 1048576 files\n"
    .. "Max locked memory 8388608 8388608 bytes\nMax realtime priority 0 0\n",
  ["/proc/sys/kernel/sched_rt_runtime_us"] = "950000\n",
  ["/proc/sys/kernel/sched_rt_period_us"] = "1000000\n",
  ["/proc/self/status"] = "SigIgn:\t0000000000000000\nCapEff:\t000001ffffffffff\nSeccomp:\t0\n",
  ["/proc/sys/fs/nr_open"] = "1048576\n", ["/proc/sys/vm/max_map_count"] = "65530\n",
  ["/proc/sys/net/core/somaxconn"] = "4096\n",
  ["/proc/sys/net/ipv4/ip_local_port_range"] = "32768\t60999\n",
  ["/proc/sys/net/core/bpf_jit_enable"] = "1\n", ["/sys/kernel/btf/vmlinux"] = "...",
  ["/proc/sys/kernel/unprivileged_bpf_disabled"] = "2\n",
  ["/sys/kernel/mm/transparent_hugepage/enabled"] = "always [madvise] never\n",
  ["/sys/devices/system/clocksource/clocksource0/current_clocksource"] = "tsc\n",
}

local function looker(changed)
  changed = changed or {}
  local files = {}
  for path, content in pairs(SOUND) do files[path] = content end
  for path, content in pairs(changed.files or {}) do files[path] = content or nil end
  return {
    read = function(path) return files[path] or nil end,
    probe = function() return changed.probe or {
      {name = "kernel", ok = true, detail = "Linux 6.1"},
      {name = "kernel.io_uring_disabled", ok = true, detail = "0: everyone may use io_uring"},
      {name = "open files", ok = true, detail = "not shown twice"},
      {name = "io_uring", ok = true, detail = "single issuer"},
    } end,
    topology = function() return {cpus = {0, 1}, nodes = {{}}, quota = changed.quota} end,
    getenv = function(name)
      return (changed.env or {XDG_RUNTIME_DIR = "/run/user/1"})[name]
    end,
    bpf = function() return changed.bpf end,
    jit = changed.jit, version = "Lua 5.4",
    try_class = function() return not changed.no_class end,
  }
end

-- The lines that say "fix", and the status.
local function fixes(changed)
  local lines, status = doctor.report(doctor.findings(looker(changed)))
  local out = {}
  for _, line in ipairs(lines) do
    if line:find "^fix " then out[#out + 1] = line:gsub("%s+", " ") end
  end
  return out, status, lines
end

describe("ringlet doctor", function()
  it("has a line for each limit", function()
    local none, status, lines = fixes()
    assert.same({}, none)
    assert.equal(0, status)
    local all = table.concat(lines, "\n")
    for _, name in ipairs {"nofile", "nr_open", "max_map_count", "memlock", "io_uring_disabled",
      "ip_local_port_range", "somaxconn", "BPF", "real-time", "CPUs", "clock source", "VM",
      "seccomp"} do
      assert.truthy(all:find(name, 1, true), name)
    end
    assert.is_nil(all:find("not shown twice", 1, true))
    assert.equal("ringlet runs here", lines[#lines])
  end)

  it("says what to do about each", function()
    for _, case in ipairs {
      {"/proc/self/limits", "Max open files 1024 524288 files\n",
        "fix nofile 1024 open files, can be raised to 524288: ulimit -n 524288"},
      {"/proc/self/limits", "Max open files 1024 1024 files\n",
        "fix nofile 1024 open files, can be raised to 1024: raise it in limits.conf(5), or "
        .. "LimitNOFILE= of the service"},
      {"/proc/sys/fs/nr_open", "65536",
        "fix nr_open 65536 is the most that nofile can be: sysctl -w fs.nr_open=1048576"},
      {"/proc/sys/vm/max_map_count", "1000",
        "fix max_map_count 1000 mappings of a process: sysctl -w vm.max_map_count=65530"},
      {"/proc/sys/net/core/somaxconn", "128",
        "fix somaxconn 128 connections that wait to be accepted: "
        .. "sysctl -w net.core.somaxconn=1024"},
      {"/proc/sys/net/ipv4/ip_local_port_range", "60000 60999",
        "fix ip_local_port_range 60000-60999: 1000 connections to one address and port: "
        .. "sysctl -w net.ipv4.ip_local_port_range='15000 64999'"},
      {"/proc/self/status", "CapEff:\t0000000000800000\n",
        "fix BPF not allowed to this process, type information, compiled: "
        .. "setcap cap_bpf,cap_perfmon+ep on the interpreter, or run it as root (optional)"},
      {"/proc/self/status", "CapEff:\t000000c000000000\n",
        "fix real-time not allowed to this process: setcap cap_sys_nice+ep on the interpreter, "
        .. "rtprio in limits.conf(5), or LimitRTPRIO= of the service (optional)"},
      {"/proc/self/status", "SigIgn:\t0000000000400000\nCapEff:\t000001ffffffffff\n",
        "fix SIGURG interrupts tasks that compute: it is ignored by whoever started this process"},
      {"/sys/devices/system/clocksource/clocksource0/current_clocksource", "hpet\n",
        "fix clock source hpet: reading the time is a system call with it: "
        .. "boot with clocksource=tsc if the CPU's is sound"},
    } do
      local found, status = fixes {files = {[case[1]] = case[2]}}
      assert.same({case[3]}, found)
      assert.equal(0, status)
    end
  end)

  it("has a line for the programs of BPF that could be loaded, if there is who tries", function()
    local _, _, none = fixes()
    assert.is_nil(table.concat(none, "\n"):find("BPF programs", 1, true))
    local found = fixes{bpf = {ok = false, libbpf = "1.1.2", reason = "EPERM: needs CAP_BPF"}}
    assert.matches("^fix BPF programs libbpf 1.1.2 loads none: EPERM: needs CAP_BPF", found[1])
    local able = {ok = true, libbpf = "1.1.2", socket_filter = true, tc = true}
    local said = table.concat((select(3, fixes{bpf = able})), "\n")
    assert.truthy(said:find("libbpf 1.1.2 loads socket_filter, tc; not ", 1, true))
  end)

  it("knows what real-time priorities a process may have", function()
    local function line(changed)
      local _, _, lines = fixes(changed)
      for _, text in ipairs(lines) do
        if text:find("real-time", 1, true) then return (text:gsub("%s+", " ")) end
      end
    end
    assert.equal("ok real-time priorities up to 99, for 95 % of a CPU's time together", line())
    local limited = {
      ["/proc/self/status"] = "CapEff:\t000000c000000000\n",
      ["/proc/self/limits"] = "Max realtime priority 20 20\n",
      ["/proc/sys/kernel/sched_rt_runtime_us"] = "-1\n",
    }
    assert.equal("ok real-time priorities up to 20, without a limit of their time",
      line {files = limited})
    assert.matches("^fix real%-time .*: its cgroup has no real%-time CPU time",
      line {no_class = true})
  end)

  it("fails where nothing can run", function()
    local forbidden = {name = "io_uring", ok = false, detail = "forbidden"}
    local found, status, lines = fixes {probe = {forbidden}}
    assert.same({"fix io_uring forbidden"}, found)
    assert.equal(1, status)
    assert.equal("ringlet cannot run here, 1 to fix", lines[#lines])
  end)

  it("knows a simulated backend and an interpreter that does not compile", function()
    assert.same({"fix RINGLET_BACKEND sim: every run is simulated: unset it"},
      (fixes {env = {RINGLET_BACKEND = "sim", XDG_RUNTIME_DIR = "/run"}}))
    local found = fixes {jit = {version = "LuaJIT 2.1", status = function() return false end}}
    assert.matches("^fix VM LuaJIT 2.1: it interprets", found[1])
  end)

  it("does without what cannot be read", function()
    local gone = {}
    for path in pairs(SOUND) do gone[path] = false end
    local found, status = fixes {files = gone}
    assert.equal(0, status)
    assert.equal(1, #found, table.concat(found, "\n"))
  end)
end)
