-- SPDX-License-Identifier: MIT
-- bpf_clsact: filters on the hooks of a clsact qdisc, for kernels without tcx. They outlive the
-- process, so each has a name that says whose it is:
--
--     rl:MADE:PID:START:PIDNS:TIMENS:PROGRAM
--
-- MADE is 1 if the qdisc was made for such a filter, and so goes with the last of them, START when
-- that process began (field 22 of /proc/PID/stat), PIDNS and TIMENS are the namespaces in which
-- both mean something. Whoever attaches to a hook first removes the filters with such names whose
-- owner is gone. Nothing is written anywhere else, so there is nothing to get out of step: the
-- kernel keeps the name as long as the filter.
--
-- Invariants: a filter with any other name is never touched, nor one whose owner lives or may live:
-- of another PID namespace that is known only where all processes can be seen.

local library = require "ringlet.bpf_library".library

local M = {}

-- Ours go between others': few use this one.
M.PRIORITY = 29292

local FORM = "^rl:([01]):(%d+):(%d+):(%d*):(%d*):"
local FIRST_PIDNS = "4026531836" -- of the machine's first PID namespace, which sees all

local function read(path)
  local file = io.open(path)
  local text = file and file:read "*a"
  if file then
    file:close()
  end
  return text
end

-- When a process began, in ticks since the machine did; nil: there is none. Its name may have
-- spaces and brackets.
local function started(stat)
  local rest = stat and stat:match "^.*%)%s(.*)$"
  local n = 2
  for field in (rest or ""):gmatch "%S+" do
    n = n + 1
    if n == 22 then
      return field
    end
  end
end

-- What there is to look at; a spec has its own.
function M.looker()
  return {
    stat = function(pid) return read("/proc/" .. pid .. "/stat") end,
    alive = function(pid) return library.process_alive(tonumber(pid)) end,
    namespace = library.process_namespace,
    processes = library.process_list,
  }
end

--- The name of a filter of this process.
function M.name(program, made, look)
  local stat = look.stat "self"
  return ("rl:%d:%s:%s:%s:%s:%s"):format(made and 1 or 0, stat and stat:match "^%d+" or "0",
    started(stat) or "0", look.namespace("self", "pid") or "", look.namespace("self", "time") or "",
    program)
end

-- Does any process belong to a PID namespace, or may one do so that cannot be looked at?
local function may_be_peopled(pidns, look)
  if look.namespace("1", "pid") ~= FIRST_PIDNS then
    return true -- /proc hides what is not ours
  end
  for _, pid in ipairs(look.processes()) do
    local its = look.namespace(pid, "pid")
    if its == pidns or its == nil and look.alive(pid) then
      return true
    end
  end
  return false
end

--- Is the owner that a filter's name tells gone? False also when that cannot be known, or the name
-- is none of ours.
function M.is_orphan(name, look)
  local _, pid, start, pidns, timens = name:match(FORM)
  if not pid then
    return false
  end
  local ours = look.namespace("self", "pid")
  if pidns ~= ours then
    return ours == FIRST_PIDNS and pidns ~= "" and not may_be_peopled(pidns, look)
  elseif not look.alive(pid) then
    return true
  end
  local now = started(look.stat(pid))
  -- In another time namespace the same process seems to have begun at another time.
  return now ~= nil and now ~= start and timens == (look.namespace("self", "time") or "")
end

-- Remove from both hooks what processes that are gone have left there; true if the qdisc was made
-- by one of us, gone or not.
local function clean(x, look)
  local made = false
  for _, filter in ipairs(library.clsact_list(x) or {}) do
    made = made or filter.name:match(FORM) == "1"
    if M.is_orphan(filter.name, look) then
      library.clsact_remove(x, filter.hook, filter.priority, filter.handle)
    end
  end
  return made
end

--- Attach a program to a hook, behind those of others with a lower priority.
-- @treturn userdata x | nil, code
function M.attach(fd, program, interface, hook, priority)
  local look = M.looker()
  local x, made = library.clsact_open(interface, hook)
  if not x then
    return nil, made
  end
  if clean(x, look) then
    library.clsact_inherit(x)
    made = true
  end
  local ok, code = library.clsact_attach(x, fd, priority or M.PRIORITY, M.name(program, made, look))
  if ok then
    return x
  end
  library.clsact_close(x)
  return nil, code
end

return M
