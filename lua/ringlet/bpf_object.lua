-- SPDX-License-Identifier: MIT
-- bpf_object: object files of BPF: loading them, their programs, maps and variables.
--
-- Invariants: nothing of an object is loaded unless all that was asked for is; a closed object has
-- no program attached, and its maps and programs give ECLOSED. An object belongs to one shard; its
-- maps can be opened on another by their descriptors.

--- Load object files of BPF.
-- @module ringlet.bpf
-- @section Objects

local bpf_fail = require "ringlet.bpf_fail"
local bpf_link = require "ringlet.bpf_link"
local bpf_map = require "ringlet.bpf_map"
local bpf_program = require "ringlet.bpf_program"
local bpf_ring = require "ringlet.bpf_ring"
local library = require "ringlet.bpf_library".library
local options = require "ringlet.options"
local pin = require "ringlet.bpf_pin"

local M = {}

--- A loaded object file, from `bpf.load`. Closing it detaches its programs and gives up its maps.
-- When it is collected that happens too, so keep it as long as it is to work.
-- @type bpf_object
local Object = {__name = "ringlet.bpf.object"}
Object.__index = Object

local EPERM, EACCES, ENOMEM = -1, -13, -12
local ELF = "\127ELF"
local SIZE_MAX = 64 * 1024 * 1024
local CLOSED = "ECLOSED: the object is closed"

local function check_name(name, level)
  if type(name) ~= "string" then
    error("name: string expected, got " .. type(name), level + 1)
  end
end

-- What is made of the info of that name, once.
local function part(self, made, infos, kind, name, make)
  if made[name] then
    return made[name]
  elseif not self.x then
    return nil, CLOSED, "ECLOSED"
  end
  for _, info in ipairs(infos) do
    if info.name == name then
      local it, msg, code = make(self, info)
      made[name] = it
      return it, msg, code
    end
  end
  return nil, ("ENOENT: the object has no %s %s"):format(kind, name), "ENOENT"
end

--- A map of it, always the same.
-- @tparam string name
-- @treturn bpf_map
-- @fails "ENOENT" there is none of that name; "ECLOSED"
function Object:map(name)
  check_name(name, 2)
  return part(self, self.maps, self.map_infos, "map", name, bpf_map.of)
end

--- A program of it that was loaded, always the same.
-- @tparam string name
-- @treturn bpf_program
-- @fails "ENOENT" there is none of that name, or it was not asked for; "ECLOSED"
function Object:program(name)
  check_name(name, 2)
  return part(self, self.programs, self.program_infos, "loaded program", name, bpf_program.new)
end

local RING = {type = "string"}

--- The reading end of a ring buffer of it, always the same.
-- @tparam string name of the map
-- @tparam[opt] table opts
-- @tparam[opt] string opts.type that its records have: "struct event"; without, they are strings. A
-- record that is shorter than its type is a string too
-- @treturn bpf_ring
-- @fails "ENOENT" there is no such map, or type; "EINVAL" it is no ring buffer; "ECLOSED"
function Object:ring(name, opts)
  opts = options.check(opts, RING)
  local map, msg, code = self:map(name)
  local ring, kind = self.rings[name], nil
  if ring and not opts.type or not map then
    return ring, msg, code
  end
  if opts.type then
    kind = library.type_find(self.x, opts.type)
    if not kind then
      return nil, "ENOENT: the object has no type " .. opts.type, "ENOENT"
    end
  end
  if ring then
    ring.kind = kind
    return ring
  end
  ring, msg, code = bpf_ring.new(map, kind)
  self.rings[name] = ring
  return ring, msg, code
end

--- What it has.
-- @treturn table list of {name=, kind=} of maps, without those of its variables
-- @treturn table list of {name=, section=} of programs
function Object:list()
  local maps, programs = {}, {}
  for _, info in ipairs(self.map_infos) do
    if not info.internal then
      maps[#maps + 1] = {name = info.name, kind = bpf_map.kind(info.type)}
    end
  end
  for _, info in ipairs(self.program_infos) do
    programs[#programs + 1] = {name = info.name, section = info.section}
  end
  return maps, programs
end

--- Read a variable of it, or write one that is no constant.
-- @tparam string name
-- @param[opt] value
-- @return its value; true when it was written
-- @fails "ENOENT" there is none of that name; "EPERM" a constant; "ECLOSED"
-- @raise when the value is not of its type
function Object:global(name, value)
  check_name(name, 2)
  if not self.x then
    return nil, CLOSED, "ECLOSED"
  elseif not library.global_has(self.x, name) then
    return nil, "ENOENT: the object has no variable " .. name, "ENOENT"
  end
  local ok, v, code
  if value == nil then
    v, code = library.global_get(self.x, name)
  else
    ok, v, code = pcall(library.global_set, self.x, name, value)
    if not ok then
      error(v, 2)
    end
  end
  if v ~= nil then
    return v
  elseif code == EPERM then
    return nil, "EPERM: " .. name .. " is a constant, set by `globals` of bpf.load", "EPERM"
  end
  return bpf_fail.give(code, "the variable " .. name)
end

--- Attach a program. `spec` says where:
--
--     {socket = listener}              -- a socket filter: a listener (what it accepts inherits
-- it), a
--                                      -- connection, a server of one shard, or a descriptor
--     {reuseport = listener}           -- sk_reuseport: the group of that listener
--     {dev = "eth0", hook = "ingress", mode = "tcx"}    -- tc; hook "ingress" or "egress"; mode
-- "tcx",
--                                      -- "clsact", by default what the kernel has
--     {xdp = "eth0", mode = "native"}  -- xdp; mode "generic" or "native", by default the driver's
-- choice
--     {cgroup = "/sys/fs/cgroup/x"}    -- cgroup_skb and the like
--     {uprobe = "/usr/bin/x", symbol = "main", pid = -1, offset = 0, at_return = false}
--     {}                               -- where the program's section says: tp_btf/, raw_tp/, tp/,
-- iter/
-- @tparam string name of the program
-- @tparam[opt] table spec
-- @treturn bpf_link
-- @fails "EPERM"; "ENOENT"; "ENODEV" no such interface; "EOPNOTSUPP"; "ECLOSED"; ...
function Object:attach(name, spec)
  local program, msg, code = self:program(name)
  if not program then
    return nil, msg, code
  end
  return bpf_link.attach(program, spec, 2)
end

--- Detach its programs, give up its maps and programs. Idempotent. What others hold of them stays.
-- @treturn true
function Object:close()
  if not self.x then
    return true
  end
  while next(self.links) do
    next(self.links):detach()
  end
  for _, ring in pairs(self.rings) do
    ring:close()
  end
  for _, map in pairs(self.maps) do
    map:close()
  end
  if self.counting then
    library.close_fd(self.counting)
    self.counting = nil
  end
  library.object_close(self.x)
  self.x = nil
  return true
end

function Object:__close()
  self:close()
end

--- What it has.
-- @treturn bpf_object_stats a new table
-- @tfield[bpf_object_stats] integer maps
-- @tfield[bpf_object_stats] integer programs loaded or not
-- @tfield[bpf_object_stats] integer links programs that are attached, through this object
function Object:stats()
  local links = 0
  for _ in pairs(self.links) do
    links = links + 1
  end
  return {maps = #self.map_infos, programs = #self.program_infos, links = links}
end

function Object:__tostring()
  return ("%s: %s (%d programs, %d maps)%s"):format(Object.__name, self.name, #self.program_infos,
    #self.map_infos, self.x and "" or ", closed")
end

-- ---- loading ------------------------------------------------------------------------------------

local function read(path)
  local file, why = io.open(path, "rb")
  if not file then
    return nil, "ENOENT: cannot read an object file of BPF: " .. tostring(why):sub(1, 200), "ENOENT"
  end
  local bytes = file:read(SIZE_MAX + 1)
  file:close()
  return bytes or ""
end

local function bytes_of(from)
  if from:sub(1, 4) == ELF then
    return from
  elseif from:find "%z" or from == "" then
    return nil, "EINVAL: no object file of BPF: it does not begin as ELF files do", "EINVAL"
  end
  local bytes, msg, code = read(from)
  if not bytes then
    return nil, msg, code
  elseif bytes:sub(1, 4) ~= ELF then
    return nil, "EINVAL: no object file of BPF: " .. from, "EINVAL"
  end
  return bytes
end

local function not_an_object(name, code, why)
  if code == ENOMEM then
    return bpf_fail.give(code, "opening " .. name)
  end
  local said = bpf_fail.last(library.log(), 3)
  return nil, ("EINVAL: no object file of BPF: %s: %s"):format(name, why or "\n" .. said), "EINVAL"
end

-- Which programs to load: those of the list, or all that libbpf would.
local function choose(self, wanted, level)
  if not wanted then
    return
  end
  local left = {}
  for _, name in ipairs(wanted) do
    left[name] = true
  end
  for _, info in ipairs(self.program_infos) do
    info.load = left[info.name] or false
    library.object_choose(self.x, info.name, info.load)
    left[info.name] = nil
  end
  if next(left) then
    error("option 'programs': the object has no program " .. tostring(next(left)), level + 1)
  end
end

local function set_globals(self, globals, level)
  for name, value in pairs(globals or {}) do
    if type(name) ~= "string" or not library.global_has(self.x, name) then
      error("option 'globals': the object has no variable " .. tostring(name), level + 1)
    end
    local ok, done, code = pcall(library.global_set, self.x, name, value)
    if not ok then
      error("option 'globals': " .. tostring(done), level + 1)
    elseif not done then
      return bpf_fail.give(code, "setting the variable " .. name)
    end
  end
  return true
end

local MAP = {max_entries = "number", reuse = "table|number", pin = "string"}
local MAP_BOUNDS = {max_entries = {min = 1, max = 4294967295, whole = true}}

local function set_map(self, name, how)
  local done, code = true, nil
  if how.max_entries then
    done, code = library.object_resize(self.x, name, how.max_entries)
  end
  if done and how.reuse then
    local fd, msg, why = how.reuse, nil, nil
    if type(fd) == "table" then
      fd, msg, why = fd:fd()
    end
    if not fd then
      return nil, msg, why
    end
    done, code = library.object_reuse(self.x, name, fd)
  end
  if done and how.pin then
    local _, msg, why = pin.refuse(how.pin)
    if msg then
      return nil, msg, why
    end
    done, code = library.object_pin_map(self.x, name, how.pin)
  end
  if done then
    return true
  end
  return bpf_fail.give(code, "preparing the map " .. name, nil, bpf_fail.last(library.log(), 3))
end

local function set_maps(self, maps, level)
  local known = {}
  for _, info in ipairs(self.map_infos) do
    known[info.name] = true
  end
  for name, how in pairs(maps or {}) do
    if not known[name] then
      error("option 'maps': the object has no map " .. tostring(name), level + 1)
    end
    options.check(how, MAP, level + 1)
    options.bounds(how, MAP_BOUNDS, level + 1)
    local done, msg, code = set_map(self, name, how)
    if not done then
      return nil, msg, code
    end
  end
  return true
end

-- Whose load failed, as far as it is known: the first that needs what this thread lacks, or the one
-- that libbpf names.
local function culprit(self, log)
  local failed = log:match "prog '([^']+)': failed to load"
  for _, info in ipairs(self.program_infos) do
    local needs = bpf_fail.needs(info.type)
    if info.load and (failed == info.name or not failed and #bpf_fail.lacking(needs) > 0) then
      return ("load of the %s %s"):format(bpf_fail.type_name(info.type), info.name), needs
    end
  end
  return "load of " .. self.name, {"CAP_BPF"}
end

local function not_loaded(self, code)
  local log = library.log()
  local step, needs = culprit(self, log)
  if code == EACCES and #bpf_fail.lacking(needs) == 0 then
    needs = nil
  end
  return bpf_fail.give(code, step, needs, bpf_fail.last(log))
end

-- A fresh object that is open, or failure values.
local function open(bytes, name)
  library.log()
  local x, code, why = library.open(bytes, name)
  if not x then
    return not_an_object(name, code, why)
  end
  return setmetatable({
    x = x, name = name, maps = {}, programs = {}, rings = {}, links = {},
    map_infos = library.object_maps(x), program_infos = library.object_programs(x),
  }, Object)
end

local LOAD = {globals = "table", maps = "table", programs = "table", name = "string"}

local function prepare(self, opts, level)
  choose(self, opts.programs, level + 1)
  local done, msg, code = set_globals(self, opts.globals, level + 1)
  if done then
    done, msg, code = set_maps(self, opts.maps, level + 1)
  end
  return done, msg, code
end

local function loaded(self, ok, done, msg, code)
  if not ok then
    self:close()
    error(done, 0)
  elseif not done then
    self:close()
    return nil, msg, code
  end
  local is_loaded, why = library.object_load(self.x)
  if is_loaded then
    return self
  end
  msg, code = select(2, not_loaded(self, why))
  self:close()
  return nil, msg, code
end

--- Load an object file of BPF: relocated for this kernel (CO-RE), verified, ready to attach.
-- @tparam string from the file's bytes, or its path
-- @tparam[opt] table opts
-- @tparam[opt] table opts.globals variables that are set before it is loaded: name = value
-- @tparam[opt] table opts.maps name = {max_entries = n, reuse = map or descriptor, pin = path}
-- @tparam[opt] table opts.programs names of those to load; the others are left out
-- @tparam[opt] string opts.name what it is called in messages and by the kernel
-- @treturn bpf_object
-- @fails "ENOSYS" without libbpf; "EPERM" with the capability that is missing; "EINVAL" no object
-- file, or the verifier refuses, with what it says; "ENOENT" no such file; "E2BIG", "ENOMEM"
-- @raise on unknown names and values of wrong types
-- @source libbpf, bpf_object__open_mem
function M.load(from, opts)
  if type(from) ~= "string" then
    error("bytes or path expected, got " .. type(from), 2)
  end
  opts = options.check(opts, LOAD)
  local bytes, msg, code = bytes_of(from)
  if not bytes then
    return nil, msg, code
  end
  local name = opts.name or bytes ~= from and from:match "([^/.]+)[^/]*$" or "object"
  local self
  self, msg, code = open(bytes, name)
  if not self then
    return nil, msg, code
  end
  return loaded(self, pcall(prepare, self, opts, 4))
end

return M
