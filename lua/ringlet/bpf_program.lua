-- SPDX-License-Identifier: MIT
-- bpf_program: a program of an object: trying it out, what the kernel counts of it, pinning.

--- Programs of BPF.
-- @module ringlet.bpf
-- @section Programs

local bpf_fail = require "ringlet.bpf_fail"
local bpf_link = require "ringlet.bpf_link"
local library = require "ringlet.bpf_library".library
local options = require "ringlet.options"
local pin = require "ringlet.bpf_pin"

local M = {}

--- A program, from `object:program`.
-- @type bpf_program
local Program = {__name = "ringlet.bpf.program"}
Program.__index = Program

local COUNT = {"CAP_SYS_ADMIN", exactly = true}

local CLOSED = "ECLOSED: the object is closed"

local function is_open(self)
  return self.object.x ~= nil
end

--- Its descriptor, which is the object's.
-- @treturn integer
-- @fails "ECLOSED"
function Program:fd()
  if not is_open(self) then
    return nil, CLOSED, "ECLOSED"
  end
  return self.number
end

--- Attach it, as `object:attach`.
-- @tparam[opt] table spec
-- @treturn bpf_link
function Program:attach(spec)
  if not is_open(self) then
    return nil, CLOSED, "ECLOSED"
  end
  return bpf_link.attach(self, spec, 2)
end

-- Raw tracepoints and programs of type syscall: the kernel wants no number of times for them.
local ONCE = {[17] = true, [31] = true}

local RUN = {data = "string", ctx = "string", repeat_ = "number", cpu = "number"}
local RUN_BOUNDS = {repeat_ = {min = 1, max = 1e9, whole = true},
  cpu = {min = 0, whole = true}}

--- Run it without anything happening: what it would have done is given back. Not every type can.
-- @tparam[opt] table opts
-- @tparam[opt] string opts.data what it is given as a packet
-- @tparam[opt] string opts.ctx what it is given as its context
-- @tparam[opt=1] integer opts.repeat_ how often
-- @tparam[opt] integer opts.cpu where; for tracing programs
-- @treturn integer what it returned
-- @treturn string the packet afterwards
-- @treturn number ns that one run took, on average
-- @treturn ?string the context afterwards
-- @fails "ECLOSED"; "EPERM"; "EOPNOTSUPP" or "EINVAL", as the kernel has it
-- @source bpf(2), BPF_PROG_TEST_RUN
function Program:run(opts)
  opts = options.check(opts, RUN)
  options.bounds(opts, RUN_BOUNDS)
  if not is_open(self) then
    return nil, CLOSED, "ECLOSED"
  end
  local retval, data, ns, ctx = library.program_run(self.number, opts.data, opts.ctx,
    opts.repeat_ or (ONCE[self.kind] and 0 or 1), opts.cpu)
  if retval then
    return retval, data, ns, ctx
  end
  return bpf_fail.give(data, "test run of " .. self.name, bpf_fail.needs(self.kind))
end

--- Counters. The kernel counts runs and time only while somebody has asked for it: from the first
-- `stats` of the object until it is closed, for about 20 ns a run of every program of the machine.
-- @treturn bpf_program_stats a new table
-- @tfield[bpf_program_stats] integer runs
-- @tfield[bpf_program_stats] number ns in all of them
-- @tfield[bpf_program_stats] integer missed runs that the kernel left out, since it was in one
-- already
-- @tfield[bpf_program_stats] integer instructions after the verifier
-- @tfield[bpf_program_stats] boolean jited it is machine code
-- @tfield[bpf_program_stats] integer id the kernel's, for bpftool
-- @fails "ECLOSED"; "EPERM": counting needs CAP_SYS_ADMIN
-- @source bpf(2), BPF_ENABLE_STATS
function Program:stats()
  local object = self.object
  if not object.x then
    return nil, CLOSED, "ECLOSED"
  end
  if not object.counting then
    local fd, code = library.count()
    if not fd then
      return bpf_fail.give(code, "counting runs of programs", COUNT)
    end
    object.counting = fd
  end
  local info, code = library.program_info(self.number)
  if not info then
    return bpf_fail.give(code, "reading the counters of " .. self.name)
  end
  return {runs = info.runs, ns = info.ns, missed = info.missed, instructions = info.instructions,
    jited = info.jited > 0, id = info.id}
end

--- Keep it beyond this process: under a path of a bpf file system.
-- @tparam string path
-- @treturn true
-- @fails "ECLOSED"; as `map:pin`
function Program:pin(path)
  if not is_open(self) then
    return nil, CLOSED, "ECLOSED"
  end
  return pin.pin(self.number, path)
end

function Program:__tostring()
  return ("%s: %s (%s)%s"):format(Program.__name, self.name, self.section,
    is_open(self) and "" or ", closed")
end

-- A program that was loaded; nil when it was not.
function M.new(object, info)
  local fd = library.program_fd(object.x, info.name)
  if not fd then
    return nil, ("ENOENT: the program %s was not loaded"):format(info.name), "ENOENT"
  end
  return setmetatable({object = object, name = info.name, section = info.section,
    kind = info.type, attach_type = info.attach_type, number = fd}, Program)
end

return M
