-- SPDX-License-Identifier: MIT
-- task: handles of tasks: making, joining, cancelling, naming.
--
-- A handle is {slot | false, id, n, results...}; slot is false once the task ended, `failed` is
-- true when it failed, its error then being the only result. The shard holds handles weakly, so a
-- task whose handle nobody kept costs only its record and coroutine. A handle that carries state
-- the task needs (a name, a cancel, a scope) is anchored until the task ends.

--- Start tasks.
-- @module ringlet
-- @section Tasks

local cancel = require "ringlet.cancel"
local core = require "ringlet.core"
local fail = require "ringlet.fail"
local labels = require "ringlet.labels"
local priority = require "ringlet.priority"

local unpack = table.unpack or rawget(_G, "unpack")
local spawn, wait, current, watch_end = core.spawn, core.wait, core.current, core.watch_end
local threads, handles = core.tables()
local JOIN = core.reasons.join

local M = {}

--- A task, from `rl.go` and its kin. `rl.select` takes it: the case gives what `join` returns.
-- @type task
-- @tfield integer id number of the task, never used twice in a shard
local Task = {__name = "ringlet.task", failed = false}
M.Task = Task

-- `id` is kept in the array part, which makes a handle one allocation.
function Task.__index(h, k)
  if k == "id" then
    return h[2]
  end
  return Task[k]
end

-- slot -> handle, while the task needs it
local anchored = {} -- luacheck: ignore 241
local on_error

-- slot -> whether the task there, which was made without a handle, was given one.
M.seen = {}

local seen = M.seen

local function handle_of(slot, id)
  local h = handles[slot]
  if not h or h[2] ~= id then
    h = setmetatable({slot, id, 0, false}, Task)
    handles[slot], seen[slot] = h, true
    core.handled(slot)
  end
  return h
end

-- The handle of the live task with this slot.
function M.at(slot)
  return handle_of(slot, (core.info(slot)))
end

local function anchor(h)
  if h[1] then
    anchored[h[1]] = h
    core.watch_end(h[1])
  end
end
M.anchor = anchor

local function check(h, level)
  if getmetatable(h) ~= Task then
    error("task expected, got " .. type(h), (level or 2) + 1)
  end
end
M.check = check

-- Where the running code is, outside of the library: the innermost lines, cheaply.
local function creation_site()
  local lines = {}
  for level = 4, 12 do
    local info = debug.getinfo(level, "Sl")
    if not info then
      break
    elseif info.currentline > 0 and not info.source:find("ringlet/[%w_]+%.lua$") then
      lines[#lines + 1] = info.short_src .. ":" .. info.currentline
      if #lines == 3 then
        break
      end
    end
  end
  return "created at " .. table.concat(lines, ", from ")
end

local function note_site(h)
  h.site = creation_site()
  anchor(h)
end

-- What is called with each new handle: {fn, failed}, ... in `told`, by `note`, which is nil without
-- any.
local told, note = {}, nil

local function teller_of(entry)
  local fn, failed = entry[1], entry[2]
  return function(h)
    local ok, err = pcall(fn, h)
    if not ok then
      failed(err)
    end
  end
end

local function tell_all(h)
  local list = told
  for i = 1, #list do
    list[i][3](h)
  end
end

local function note_failed(err)
  told[1][2](err)
end

-- Have fn called with the handle of each task that is made, or no more. `failed` is called with its
-- errors. The core itself protects the call of one that is alone: that costs least.
function M.tell(fn, on, failed)
  local list = {}
  for _, other in ipairs(told) do
    if other[1] ~= fn then
      list[#list + 1] = other
    end
  end
  if on then
    local entry = {fn, failed or error}
    entry[3] = teller_of(entry)
    list[#list + 1] = entry
  end
  told = list
  note = #told > 1 and tell_all or told[1] and told[1][3] or nil
  if core.note then
    core.note(#told == 1 and told[1][1] or note, note_failed)
  end
end

-- The same for a task that was made without a handle, which it gets if a hook is told. Where it was
-- made is a line of ours, and not noted.
function M.tell_of(slot)
  for i = 1, #told do
    if told[i][1] ~= note_site then
      told[i][3](M.at(slot))
    end
  end
end

-- Record where tasks are created, or do not.
function M.note_sites(on)
  M.tell(note_site, on)
end

-- What makes a task and its handle: fn(body, ...) -> handle. On Lua 5.4 the core does it all.
local function starter(flags)
  if core.starter then
    return core.starter(flags, Task)
  end
  return function(fn, ...)
    if type(fn) ~= "function" then
      error("function expected, got " .. type(fn), 2)
    end
    local slot, id = spawn(threads, flags, fn, ...)
    local h = setmetatable({slot, id, 0, false}, Task)
    handles[slot] = h
    if note then
      note(h)
    end
    return h
  end
end

local start = starter(core.HANDLED)

--- Start a root task of this shard. It runs when the caller parks, after those readied before it.
--
-- `run` waits for it. An error that no joiner is waiting for goes to `on_error`.
-- @tparam fun(...:any):any fn
-- @param ... its arguments
-- @treturn task
-- @raise outside of `run`
-- @source the Go specification, "Go statements"
-- @function M.go
M.go = start

--- Start a task that `run` does not wait for: it is cancelled when the others have ended.
-- @tparam fun(...:any):any fn
-- @param ... its arguments
-- @treturn task
-- @raise outside of `run`
-- @function M.daemon
M.daemon = starter(core.HANDLED + core.DAEMON)

-- A child of a scope.
function M.child(scope, fn, ...)
  local h = start(fn, ...)
  h.parent = scope
  anchor(h)
  cancel.refresh(h)
  return h
end

--- The running task.
-- @treturn ?task nil outside of a task
function M.self()
  local slot, id = current()
  if slot then
    return handle_of(slot, id)
  end
end

-- The running task's handle, anchored because it is given a scope; raises outside a task.
function M.own()
  core.check()
  local h = M.self()
  anchor(h)
  return h
end

-- What join gives: whether it ended well, and its results or its error.
local function outcome(h)
  local n = h[3]
  if n == 0 then
    return true
  elseif n == 1 then
    return not h.failed, h[4]
  end
  return true, unpack(h, 4, 3 + n)
end
M.outcome = outcome

--- Wait until the task has ended. It may be called any number of times, by any number of tasks.
-- @parks until the task has ended; not at all if it has
-- @tparam[opt] number t seconds
-- @treturn[1] true
-- @return[1] ... its results
-- @treturn[2] false when it failed
-- @treturn[2] any the error, unchanged; a cancellation for a cancelled task
-- @fails "ETIMEDOUT"
-- @raise when a task joins itself
-- @source pthread_join(3)
function Task:join(t)
  check(self)
  local slot = self[1]
  if slot then
    if slot == current() then
      error("a task cannot join itself", 2)
    end
    local q = rawget(self, "q")
    if not q then
      q = core.waitq()
      self.q = q
      watch_end(slot)
    end
    local ok, code = wait(q, t, JOIN)
    if ok == nil then
      return fail(code)
    end
  end
  return outcome(self)
end

--- Cancel the task and everything in its scopes: it raises wherever it parks. Being cancelled is
-- not a failure. Only the first cancel counts; a task that has ended is left alone.
-- @tparam[opt] any reason `rl.is_cancel` gives it back
-- @source N. J. Smith, "Timeouts and cancellation for humans", 2018
function Task:cancel(reason)
  check(self)
  if self[1] then
    anchor(self)
    cancel.cancel_task(self, reason)
  end
end

-- What is called with the id and the name of a task that is named, nil: nothing.
M.on_name = nil

--- Name the task, or ask for its name. Reports show it.
-- @tparam[opt] string s the new name
-- @treturn ?string the name
function Task:name(s)
  check(self)
  if s ~= nil then
    self.label_name = tostring(s)
    anchor(self)
    if M.on_name then
      M.on_name(self[2], self.label_name)
    end
  end
  return self.label_name
end

--- What the task is doing: "new", "runnable", "running", "parked", "done" or "failed".
-- @treturn string
-- @treturn ?string what it is parked for: "chan receive", "sleep" and so on
function Task:status()
  check(self)
  if not self[1] then
    return self.failed and "failed" or "done"
  end
  local _, state, reason = core.info(self[1])
  return state, reason ~= "" and reason or nil
end

--- Set the priority of the task, or ask for it. What is critical is run before what is normal, and
-- that before the background; nobody starves: after 16 runs of tasks of a higher priority in a row
-- one of a lower one is due. While there are critical tasks, or background ones, a task that goes
-- before the running one need not wait until that gives up its turn: it is interrupted after a
-- millisecond or two, unless it is compiled code or C. The tasks it starts from then on have its
-- priority.
-- @tparam[opt] string name "critical", "normal" or "background"
-- @treturn ?string the priority; nil when the task is over
-- @raise on another name
-- @usage rl.self():priority "background"
function Task:priority(name)
  check(self)
  local number = name ~= nil and priority.number(name, "priority", 2) or nil
  return self[1] and priority.NAMES[core.priority(self[1], number)] or nil
end

-- The labels of a task: not to be modified; nil if it has none.
function M.labels(h)
  return rawget(h, "labels") or h[1] and labels.at(h[1]) or nil
end
M.labels_at = labels.at

--- Set a label of the task, or ask for one. The tasks it starts from then on have it too, as they
-- have all of its labels: so tasks can be counted by what they are for, see `ringlet.metrics`. A
-- shard counts up to 4,095 sets of labels: let their values be few.
-- @tparam string k its name
-- @tparam[opt] any v the new value
-- @treturn any the value, nil if there is none
-- @source the pprof labels of Go's runtime
function Task:label(k, v)
  check(self)
  if type(k) ~= "string" then
    error("the name of a label is a string, not " .. type(k), 2)
  end
  local had = M.labels(self)
  if v ~= nil and self[1] then
    had = labels.put(self[1], had, k, v)
    self.labels = had
    anchor(self)
  end
  return had and had[k]
end

--- The task's Lua stack; of a task that failed, the stack at the error.
-- @treturn string "" for a task that ended well, or was cancelled
function Task:traceback()
  check(self)
  if not self[1] then
    return self.trace or ""
  end
  local body = core.body(threads, self[1])
  if body then
    local info = debug.getinfo(body, "S")
    return ("not started: %s:%d"):format(info.short_src, info.linedefined)
  end
  return debug.traceback(M.coroutine(self))
end

-- The coroutine of a task that has begun and not ended, or nil.
function M.coroutine(h)
  local co = h[1] and threads[h[1]]
  return type(co) == "thread" and not core.body(threads, h[1]) and co or nil
end

function Task:__tostring()
  return ("ringlet.task: %d%s (%s)"):format(self.id,
    self.label_name and " " .. self.label_name or "", (self:status()))
end

--- A table of the running task's own, made when first asked for.
-- @treturn table
-- @raise outside of a task
function M.locals()
  local h = M.own()
  h.own_locals = h.own_locals or {}
  return h.own_locals
end

-- What select asks of a waitable.
function Task:poll_()
  if not self[1] then
    return true, outcome(self)
  end
  self.q = self.q or core.waitq()
  core.watch_end(self[1])
  return false
end

--- Say what happens to the error of a root task that nobody joins, and of a handler of a server. It
-- is called once for each, when it happens, and must not park.
-- @tparam ?fun(err:any,traceback:string,task:task) fn nil restores the default, which writes to
-- stderr
function M.on_error(fn)
  if fn ~= nil and type(fn) ~= "function" then
    error("function or nil expected", 2)
  end
  on_error = fn
end

local function report(err, trace, h)
  local ok, second = true, nil
  if on_error then
    ok, second = pcall(on_error, err, trace, h)
  else
    io.stderr:write("ringlet: ", tostring(h), " failed: ", tostring(err), "\n", trace, "\n")
  end
  if not ok then
    io.stderr:write("ringlet: on_error failed: ", tostring(second), "\n")
  end
end
M.report = report

local function finish_handle(h, ok, err, trace)
  h[1] = false
  if not ok then
    h.failed, h[3], h[4] = true, 1, err
    h.trace = trace
  end
end

local function leave_parent(h, ok, err)
  local s = h.parent
  s.children[h] = nil
  s.count = s.count - 1
  if not ok and not cancel.is_cancel(err) and not s.failure then
    s.failure = {err}
    cancel.cancel_scope(s, "a task of the scope failed")
  end
  core.wake(s.room)
  if s.count == 0 then
    core.wake(s.empty)
  end
end

-- slot -> value, and what is called with it when that task has ended, outside any task. For tasks
-- that are too many to have handles.
M.wards = {}
M.on_ward_end = nil

-- Tasks of servers that call handlers, though they are daemons.
M.workers = setmetatable({}, {__mode = "k"})

-- slot -> the job that the task runs; and what is called when it fails.
M.jobs = {}
M.on_job_failed = nil

-- slot -> {lost_ =}: what runs somebody else's task in this one, as workers of pools do. When
-- this one fails, lodger:lost_(err, trace) is called; whether that told of the failure.
M.lodgers = {}

-- What is kept for tasks, by slot: the coroutines and the handles first. See src/lua/lreach.c.
function M.kept()
  return {threads, handles, anchored, M.wards, M.jobs, M.lodgers}
end

-- The running task is about to raise an error that came from another thread, with its traceback
-- there: that of the task will go on with it.
function M.blame(err, trace)
  local h = M.self()
  h.blamed = {err, trace}
  anchor(h)
end

local function with_blamed(h, err, trace)
  if h.blamed and rawequal(h.blamed[1], err) then
    return trace .. "\nin a helper thread:\n" .. h.blamed[2]
  end
  return trace
end

-- What is called with each task that ends, of those that the core tells of: h, ok, err.
M.on_end = nil

-- The core's word that a task ended: watched ones, and every failure.
local function ended(slot, id, ok, err, co, dropped)
  local h = handle_of(slot, id)
  anchored[slot] = nil
  local trace
  -- Being cancelled is no failure, and a traceback for each of many is dear (Lua 5.4 looks for
  -- names in every loaded module).
  if not ok and type(co) == "thread" and (dropped or not cancel.is_cancel(err)) then
    trace = with_blamed(h, err, debug.traceback(co))
    if dropped then
      err = "the task swallowed its cancellation 100 times: " .. trace
    end
  end
  finish_handle(h, ok, err, trace)
  if M.on_end then
    M.on_end(h, ok, err)
  end
  local quiet = not ok and M.on_failure(err)
  local joined = h.q and core.wake_all(h.q, outcome(h)) or 0
  if h.on_end then
    h.on_end(h, ok, err)
  end
  local ward = M.wards[slot]
  if ward then
    M.wards[slot] = false
    M.on_ward_end(ward, ok, err)
  end
  local job = not ok and M.jobs[slot]
  if job then
    M.jobs[slot] = false
    M.on_job_failed(job, err, trace)
    return
  end
  local lodger = not ok and M.lodgers[slot]
  if lodger then
    M.lodgers[slot] = false
    quiet = lodger:lost_(err, trace) or quiet
  end
  if h.parent then
    leave_parent(h, ok, err)
  elseif not ok and joined == 0 and not h.main and not quiet and not cancel.is_cancel(err) then
    report(err, trace or "", h)
  end
end

-- What keeps the preemption hook from a task.
local UNSEEN = rawget(_G, "jit") and "compiled code does not see hooks"
  or "it is inside a C function, or has a debug hook of its own"

local function overran(slot, co)
  local h = handle_of(slot, (core.info(slot)))
  local where = type(co) == "thread" and debug.traceback(co) or ""
  local text = ("task %d computed for more than two slices without a chance to be preempted "
    .. "(%s)\n%s"):format(h.id, UNSEEN, where)
  if M.on_overrun then
    M.on_overrun(text, h)
  end
  if M.heard_overrun then
    M.heard_overrun(h, text)
  end
end
M.on_overrun, M.heard_overrun = nil, nil

core.hooks(ended, overran)

-- Give up every task that is still alive: none is resumed again; their handles say why.
function M.abandon_all(why)
  for _, h in ipairs(M.all()) do
    local slot, trace = h[1], h:traceback()
    core.abandon(slot)
    M.wards[slot], M.lodgers[slot] = false, false
    if M.jobs[slot] then
      M.on_job_failed(M.jobs[slot], why, trace)
      M.jobs[slot] = false
    end
    anchored[slot] = nil
    finish_handle(h, false, why, trace)
    if M.on_end then
      M.on_end(h, false, why)
    end
  end
end

-- The handles of all live tasks.
function M.all()
  local list = core.slots()
  for i, slot in ipairs(list) do
    list[i] = handle_of(slot, (core.info(slot)))
  end
  return list
end

return M
