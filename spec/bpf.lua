-- SPDX-License-Identifier: MIT
-- bpf: what the specs of ringlet.bpf share: what is lacking here, other users, network namespaces.
-- What a spec makes it removes again, also when it fails: in a `finally` of its own.

local busted = require "busted"
local H = require "spec.helper"
local core = require "ringlet.core"

local M = {}

local found = require "ringlet.bpf_library"

-- ringlet.bpf; what it does not find it says when it is called.
M.bpf = require "ringlet.bpf"
M.library = found.library

M.SAMPLE = "spec/bpf/sample.bpf.o"

function M.output(command)
  local pipe = assert(io.popen(command .. " 2>&1; echo status=$?"))
  local text = pipe:read "*a"
  pipe:close()
  local out, status = text:match "^(.*)status=(%d+)\n$"
  return out, status == "0"
end

local function has_command(name)
  return (M.output("command -v " .. name)) ~= ""
end

-- At once: in a task it would seem to compute for long.
local probed = found.library and M.bpf.probe()

-- Why something is not to be had here, or nil. What: fields of bpf.probe(), "bpf" (the library),
-- "uring", "netns" and "mount" (namespaces can be made), "nobody" (can run us), "command:NAME".
function M.missing(what)
  if not found.library then
    return found.missing
  end
  if what == "bpf" then
    return nil
  elseif what == "uring" then
    return H.missing.uring
  elseif what == "netns" or what == "mount" then
    local flag = what == "netns" and "--net" or "--mount"
    local out, ok = M.output("unshare " .. flag .. " true")
    return not ok and "no " .. what .. ": " .. out or nil
  elseif what == "nobody" then
    local out, ok = M.run("require 'ringlet.bpf'", M.as_nobody())
    return not ok and "not to be run by nobody: " .. out or nil
  elseif what:find "^command:" then
    local name = what:sub(9)
    return not has_command(name) and name .. " is not installed" or nil
  elseif probed[what] then
    return nil
  end
  return probed.reasons[what] or "no " .. what
end

-- Pending, with the reason, unless all is here. In an `it`, first: pending ends it.
function M.lacks(...)
  for _, what in ipairs{"bpf", ...} do
    local why = M.missing(what)
    if why then
      busted.pending(why)
      return true
    end
  end
  return false
end

local function interpreter()
  local i = 0
  while arg[i - 1] do i = i - 1 end
  return arg[i]
end

M.interpreter = interpreter

local function quote(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

M.quote = quote

-- The command line that runs a program of Lua with the paths of this process; `before` goes in
-- front.
function M.command(program, before)
  return ("LUA_PATH=%s LUA_CPATH=%s %s %s -e %s"):format(quote(package.path), quote(package.cpath),
    before or "", interpreter(), quote(program))
end

-- Run a program of Lua; its output, and whether it ended well.
function M.run(program, before)
  return M.output(M.command(program, before))
end

-- What makes a command run as nobody, with some capabilities: M.as_nobody("bpf", "perfmon").
function M.as_nobody(...)
  local names = {}
  for i, name in ipairs{...} do names[i] = ",+" .. name end
  local caps = "-all" .. table.concat(names)
  return ("setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=%s --ambient-caps=%s " ..
    "--bounding-set=%s"):format(caps, caps, caps)
end

-- ---- network namespaces -------------------------------------------------------------------------

local made = 0

local function sh(command)
  local out, ok = M.output(command)
  if not ok then
    error(command .. ": " .. out, 2)
  end
  return out
end

M.sh = sh

local function alive(pid)
  local file = io.open("/proc/" .. pid .. "/ns/net")
  return file ~= nil and file:close()
end

--- How many descriptors of programs, maps, links and the like this very process has open. (Not of
-- pipes: popen's other end may be there for a moment.)
function M.descriptors()
  local each = "for f in /proc/%d/fd/*; do readlink $f; done"
  return select(2, sh(each:format(core.pid()) .. "; true"):gsub("anon_inode:", ""))
end

local Namespace = {}
Namespace.__index = Namespace

-- A command inside of it; it fails loudly.
function Namespace:sh(command)
  return sh(self.enter .. " sh -c " .. quote(command))
end

-- Gone, with all that is in it.
function Namespace:close()
  if self.pid then
    M.output("kill " .. self.pid)
    self.pid = nil
  end
end

-- A network namespace with lo up, held by a process that sleeps for at most ten minutes. `enter` is
-- what runs a command in it. (Not `ip netns exec`, which hides /sys/fs/cgroup.)
function M.namespace()
  made = made + 1
  local pid = tonumber(sh("unshare --net sleep 600 >/dev/null 2>&1 & echo $!"))
  local ours = sh "readlink /proc/self/ns/net"
  local due, theirs = os.time() + 60, ours
  while theirs == ours do
    if not alive(pid) or os.time() > due then
      error("no network namespace", 2)
    end
    os.execute "sleep 0.01"
    theirs = M.output("readlink /proc/" .. pid .. "/ns/net")
  end
  local ns = setmetatable({pid = pid, enter = ("nsenter --net=/proc/%d/ns/net"):format(pid)},
    Namespace)
  ns:sh "ip link set lo up"
  return ns
end

-- Connect two namespaces: a pair of veth, `dev` in each, with addresses 10.9.N.1 and 10.9.N.2.
function M.connect(a, b, dev)
  local net = made % 250
  dev = dev or "veth0"
  a:sh(("ip link add %s type veth peer name %s netns %d"):format(dev, dev, b.pid))
  for i, ns in ipairs{a, b} do
    ns.address = ("10.9.%d.%d"):format(net, i)
    ns:sh(("ip addr add %s/24 dev %s && ip link set %s up"):format(ns.address, dev, dev))
  end
end

-- Run fn(ns, ...) with `n` namespaces, which are gone afterwards.
function M.with_namespaces(n, fn)
  local list = {}
  for i = 1, n do list[i] = M.namespace() end
  local ok, err = pcall(fn, (rawget(_G, "unpack") or table.unpack)(list))
  for _, ns in ipairs(list) do ns:close() end
  if not ok then
    error(err, 0)
  end
end

return M
