-- SPDX-License-Identifier: MIT
-- bpf_link: attaching programs, and what that gives: a link, whose `detach` ends it. It ends too
-- when its object is closed, when it is collected, and with the process; a filter of clsact (a hook
-- of kernels without tcx) outlives the process and is cleaned by the next that attaches there, see
-- bpf_clsact.

--- Attach programs.
-- @module ringlet.bpf
-- @section Links

local bpf_clsact = require "ringlet.bpf_clsact"
local bpf_fail = require "ringlet.bpf_fail"
local core = require "ringlet.core"
local library = require "ringlet.bpf_library".library
local options = require "ringlet.options"

local M = {}

local EINVAL, EOPNOTSUPP = -22, -95
local XDP, TCX = 37, {ingress = 46, egress = 47}
local XDP_MODES = {generic = 2, native = 4}
local FORMS = {"socket", "reuseport", "dev", "xdp", "cgroup", "uprobe"}

--- A program that is attached, from `object:attach`.
-- @type bpf_link
local Link = {__name = "ringlet.bpf.link"}
Link.__index = Link

--- Detach the program. Idempotent. Connections that were accepted while a socket filter was on
-- their listener keep it.
-- @treturn true
function Link:detach()
  if self.x then
    self.close_x(self.x)
    self.x = nil
    self.object.links[self] = nil
  end
  return true
end

--- The same: `detach` under the name that all objects have.
-- @treturn true
function Link:close()
  return self:detach()
end

function Link:__close()
  self:detach()
end

--- Keep it attached beyond this process: under a path of a bpf file system.
-- @tparam string path
-- @treturn true
-- @fails "EOPNOTSUPP" for sockets and clsact; as `map:pin`
function Link:pin(path)
  local fd = self.x and self.close_x == library.link_close and library.link_fd(self.x)
  if not self.x then
    return nil, "ECLOSED: the link is detached", "ECLOSED"
  elseif not fd then
    return bpf_fail.give(EOPNOTSUPP, "pinning a program that is attached to " .. self.where)
  end
  return require "ringlet.bpf_pin".pin(fd, path)
end

function Link:__tostring()
  return ("%s: %s, %s"):format(Link.__name, self.program,
    self.x and "attached to " .. self.where or "detached")
end

-- A descriptor of a socket: a number, a listener, a connection, or a server on one shard.
local function socket_of(v, level)
  if type(v) == "number" then
    return v
  elseif type(v) == "table" and type(v.listener) == "userdata" then
    v = v.listener
  end
  if type(v) ~= "userdata" then
    error("a listener, a server, a connection or a descriptor expected, got " .. type(v), level + 1)
  end
  return core.net_fd(v)
end

M.socket_of = socket_of

local function on_socket(how)
  return function(program, spec, level)
    local fd, code = socket_of(spec[how], level + 1)
    if not fd then
      return nil, code
    end
    return library.link_socket(program.number, fd, how)
  end
end

local function interface(name)
  if type(name) == "number" then
    return name
  end
  return library.interface(name)
end

local function on_dev(program, spec)
  local index, code = interface(spec.dev)
  if not index then
    return nil, code
  end
  local hook, mode = spec.hook or "ingress", spec.mode
  local x
  if mode ~= "clsact" then
    x, code = library.link_create(program.number, index, TCX[hook])
    if x or mode == "tcx" or code ~= EINVAL then
      return x, code == EINVAL and EOPNOTSUPP or code
    end
  end
  x, code = bpf_clsact.attach(program.number, program.name, index, hook, spec.priority)
  return x, code, x and library.clsact_close
end

local function on_xdp(program, spec)
  local index, code = interface(spec.xdp)
  if not index then
    return nil, code
  end
  return library.link_create(program.number, index, XDP, XDP_MODES[spec.mode])
end

local function on_cgroup(program, spec)
  return library.link_cgroup(program.number, spec.cgroup, program.attach_type)
end

local function on_uprobe(program, spec)
  return library.link_uprobe(program.object.x, program.name, spec.uprobe, spec.symbol,
    spec.offset, spec.pid, spec.at_return)
end

local function on_section(program)
  return library.link_section(program.object.x, program.name)
end

local NET, TRACE = {"CAP_NET_ADMIN", exactly = true}, {"CAP_PERFMON"}

-- How each is attached, what its options are, and which capabilities it needs.
local KINDS = {
  socket = {attach = on_socket "socket",
    known = {socket = "number|table|userdata"}},
  reuseport = {attach = on_socket "reuseport", known = {reuseport = "number|table|userdata"}},
  dev = {attach = on_dev, needs = NET,
    known = {dev = "string|number", hook = "string", mode = "string", priority = "number"}},
  xdp = {attach = on_xdp, needs = NET, known = {xdp = "string|number", mode = "string"}},
  cgroup = {attach = on_cgroup, needs = {"CAP_NET_ADMIN"}, known = {cgroup = "string"}},
  uprobe = {attach = on_uprobe, needs = TRACE, known = {uprobe = "string", symbol = "string",
    offset = "number", pid = "number", at_return = "boolean"}},
  section = {attach = on_section, needs = TRACE, known = {}},
}

local BOUNDS = {
  dev = {hook = {"ingress", "egress"}, mode = {"tcx", "clsact"},
    priority = {min = 1, max = 65535, whole = true}},
  xdp = {mode = {"generic", "native"}},
  uprobe = {offset = {min = 0, whole = true}, pid = {min = -1, whole = true}},
}

local function kind_of(spec)
  for _, name in ipairs(FORMS) do
    if type(spec) == "table" and spec[name] ~= nil then
      return name
    end
  end
  return "section"
end

-- Attach a program of an object; a link, or failure values.
function M.attach(program, spec, level)
  level = level + 1
  local name = kind_of(spec)
  local kind = KINDS[name]
  spec = options.check(spec, kind.known, level)
  options.bounds(spec, BOUNDS[name] or {}, level)
  library.log()
  local x, code, close_x = kind.attach(program, spec, level)
  local target = name == "section" and program.section
    or name .. (type(spec[name]) == "string" and " " .. spec[name] or "")
  if not x then
    return bpf_fail.give(code, ("attaching %s to %s"):format(program.name, target), kind.needs,
      name == "section" and bpf_fail.last(library.log(), 3) or nil)
  end
  local self = setmetatable({x = x, close_x = close_x or library.link_close,
    object = program.object, program = program.name, where = target}, Link)
  program.object.links[self] = true
  return self
end

return M
