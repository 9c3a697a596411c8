-- SPDX-License-Identifier: MIT
-- bpf_fail: how failures of the kernel and of libbpf look. EPERM has several meanings, so its
-- message names the capabilities that the step needs and this thread lacks, found in /proc; other
-- failures of loading carry the end of what libbpf said.

local fail = require "ringlet.fail"

local M = {}

local BITS = {CAP_NET_ADMIN = 12, CAP_SYS_ADMIN = 21, CAP_PERFMON = 38, CAP_BPF = 39}

local EPERM, EACCES = -1, -13

-- Of include/uapi/linux/bpf.h, as is everything that follows.
local TYPES = {
  [1] = "socket filter", [2] = "kprobe", [3] = "tc", [4] = "tc action", [5] = "tracepoint",
  [6] = "xdp", [7] = "perf event", [8] = "cgroup_skb", [9] = "cgroup socket", [13] = "sockops",
  [14] = "sk_skb", [16] = "sk_msg", [17] = "raw tracepoint", [18] = "cgroup address",
  [21] = "sk_reuseport", [25] = "cgroup sockopt", [26] = "tracing", [27] = "struct_ops",
  [29] = "LSM", [30] = "sk_lookup", [31] = "syscall",
}

local TRACES = {[2] = true, [5] = true, [7] = true, [17] = true, [24] = true, [26] = true,
  [28] = true, [29] = true}
local NETWORK = {[3] = true, [4] = true, [6] = true, [9] = true, [10] = true, [11] = true,
  [12] = true, [13] = true, [14] = true, [15] = true, [16] = true, [18] = true, [19] = true,
  [22] = true, [23] = true, [25] = true, [28] = true, [30] = true, [32] = true}

--- What a type of program is called.
-- @tparam integer kind
-- @treturn string
function M.type_name(kind)
  return TYPES[kind] or "BPF"
end

--- The capabilities that loading a program of a type needs.
-- @tparam integer kind
-- @treturn table list of names
function M.needs(kind)
  if TRACES[kind] then
    return {"CAP_BPF", "CAP_PERFMON"}
  elseif NETWORK[kind] then
    return {"CAP_BPF", "CAP_NET_ADMIN"}
  end
  return {"CAP_BPF"}
end

local function effective()
  local file = io.open "/proc/thread-self/status"
  local text = file and file:read "*a" or ""
  if file then
    file:close()
  end
  return text:match "CapEff:%s*(%x+)"
end

local function has(mask, name)
  local bit = BITS[name]
  local digit = tonumber(mask:sub(-1 - math.floor(bit / 4), -1 - math.floor(bit / 4)), 16) or 0
  return math.floor(digit / 2 ^ (bit % 4)) % 2 == 1
end

--- Those of a list that this thread lacks. CAP_SYS_ADMIN stands for the others, unless they are
-- wanted `exactly`, as what is no matter of bpf(2) does.
-- @tparam table names
-- @treturn table list of names
function M.lacking(names)
  local mask, list = effective(), {}
  if not mask or not names.exactly and has(mask, "CAP_SYS_ADMIN") then
    return list
  end
  for _, name in ipairs(names) do
    if not has(mask, name) then
      list[#list + 1] = name
    end
  end
  return list
end

local function refused(step, names)
  local list = M.lacking(names)
  if #list == 0 then
    return nil, "EPERM: refused by the kernel, though the capabilities are there (" .. step .. ")",
      "EPERM"
  end
  return nil, ("EPERM: needs %s (%s)"):format(table.concat(list, " and "), step), "EPERM"
end

--- Failure values of a step.
-- @tparam integer code negative
-- @tparam string step what failed: "load of the socket filter wakeup"
-- @tparam[opt] table names capabilities that it needs
-- @tparam[opt] string said what libbpf had to say
-- @treturn nil
-- @treturn string "ENAME: text (step)"
-- @treturn string "ENAME"
function M.give(code, step, names, said)
  if names and (code == EPERM or code == EACCES and #M.lacking(names) > 0) then
    return refused(step, names)
  end
  local _, text, name = fail(code)
  text = ("%s (%s)"):format(text, step)
  if said and said ~= "" then
    text = text .. "\n" .. said
  end
  return nil, text, name
end

--- The last lines of a log, without libbpf's advice on `ulimit -l`.
-- @tparam string log
-- @tparam[opt=12] integer lines at most
-- @treturn string
function M.last(log, lines)
  local list = {}
  for line in log:gmatch "[^\n]+" do
    if not line:find("ulimit -l", 1, true) and line:find "%S" then
      list[#list + 1] = "  " .. line
    end
  end
  return table.concat(list, "\n", math.max(1, #list - (lines or 12) + 1))
end

return M
