-- SPDX-License-Identifier: MIT
-- group: sharded worker groups, as users see them.
--
-- A handle is {id, name, timeout}, and travels; everything else is known to every shard by the id
-- (group_client), hosted by threads (group_host, group_worker), and led by the shard that made the
-- group (group_home).

--- State that is split by key, each part with its own queue.
-- @module ringlet
-- @section Groups

local client = require "ringlet.group_client"
local core = require "ringlet.core"
local future = require "ringlet.future"
local home = require "ringlet.group_home"
local link = require "ringlet.group_link"
require "ringlet.group_move"
local options = require "ringlet.options"
local routing = require "ringlet.group_routing"
local task = require "ringlet.task"
local travel = require "ringlet.travel"
local worker = require "ringlet.group_worker"

local unpack = table.unpack or rawget(_G, "unpack")

local M = {}

local KNOWN = {
  name = "string", shards = "number", router = "string|table|function", init = "function",
  methods = "table", keys = "function", export = "function", import = "function",
  stateless = "boolean", stop = "function", capacity = "number", heartbeat = "number",
  fail_on_error = "boolean", on_failed = "function", tags = "table|function",
}
-- What every shard is told.
local TOLD = {"name", "init", "methods", "keys", "export", "import", "stateless", "stop",
  "capacity", "heartbeat", "fail_on_error"}
local CLOSED = "ECLOSED: the group was stopped"

local Future = future.kind(function(f, reason)
  client.cancel(f.group, f.entry, reason)
end)

--- A sharded group, from `rl.group`. It travels: any shard may call it.
-- @type group
-- @tfield string name
local Group = {__name = "ringlet.group"}
Group.__index = Group
travel.register_type("ringlet.group", Group)

local function new_handle(group)
  return setmetatable({id = group.id, name = group.name}, Group)
end
client.handle_of = new_handle

-- ---- making -------------------------------------------------------------------------------------

local function check_state_options(opts)
  local movers = (opts.keys and 1 or 0) + (opts.export and 1 or 0) + (opts.import and 1 or 0)
  if movers ~= 0 and movers ~= 3 then
    error("options 'keys', 'export' and 'import' belong together", 0)
  elseif movers == 3 and opts.stateless then
    error("options 'export' and 'stateless' exclude each other", 0)
  end
end

local function check_methods(methods)
  for name, fn in pairs(methods or {}) do
    if type(name) ~= "string" or type(fn) ~= "function" then
      error("option 'methods' must be a table of name = function", 0)
    end
  end
end

local function check_plan(opts)
  local plan = routing.plan(opts.router, opts.shards)
  if routing.is_bounded(plan) and opts.export then
    error("option 'export': in a bounded group no key belongs to one logical shard", 0)
  end
  return plan
end

local function check_numbers(opts)
  if opts.capacity and not routing.is_whole(opts.capacity) then
    error("option 'capacity' must be a whole number of at least 1", 0)
  elseif opts.heartbeat and (opts.heartbeat <= 0 or opts.heartbeat ~= opts.heartbeat) then
    error("option 'heartbeat' must be more than 0 seconds", 0)
  end
end

-- What the group is, for all shards.
local function definition(opts)
  check_state_options(opts)
  check_methods(opts.methods)
  check_numbers(opts)
  local group = {plan = check_plan(opts), id = home.new_id(), home = (core.fleet())}
  for _, name in ipairs(TOLD) do
    group[name] = opts[name]
  end
  group.name = group.name or "group " .. group.id
  group.methods = group.methods or {}
  return group
end

-- The task that begins the group goes on when its caller is cancelled, and takes it back then.
local function begin(group, parcel, opts)
  local cancelled = false
  local h = task.go(function()
    local got = {pcall(home.begin, group, parcel, opts.on_failed, opts.tags)}
    if cancelled and got[1] and got[2] then
      home.stop(group.id, 0)
    end
    return unpack(got, 1, 4)
  end)
  local joined, _, ok, done, msg, code = pcall(h.join, h)
  if not joined then
    cancelled = true
    error(_, 0)
  elseif not ok then
    error(done, 0)
  end
  return done, msg, code
end

--- A group: a number of logical shards on the run's threads, each with a state of its own, made by
-- `init`, and a queue that is served by one call at a time: the next begins when the one before has
-- ended, however often that parks. A key belongs to one logical shard; calls of one caller and key
-- are done in order. The i-th logical shard lives on thread `(i - 1) % rl.shards() + 1`.
--
-- The functions among the options, but `on_failed` and `tags`, travel to every thread once: their
-- upvalues are copies there. A group does not keep a run alive, calls in flight do; `rl.stop` stops
-- it gracefully.
-- @parks until every logical shard is running
-- @tparam table opts
-- @tparam[opt] string opts.name no other group of the run has it
-- @tparam[opt] integer opts.shards how many logical shards; with a router object that says it, too
-- @tparam[opt="ring"] string|keyrouter|function opts.router "mod", "ring", "jump", "maglev",
-- "rendezvous" or "bounded", a router of `ringlet.router`, or fn(key, n) -> from 1 to n. With
-- "bounded" the load is the calls in flight; a key without any may go to another logical shard
-- @tparam[opt] fun(index:integer):any opts.init makes a logical shard's state; may park
-- @tparam[opt] table opts.methods name = fn(state, key, ...); may park
-- @tparam[opt] fun(state:any):any opts.keys the keys that a state has: a list, or what `pairs` of a
-- table by key gives
-- @tparam[opt] fun(state:any,key:any):any opts.export takes a key out of a state: gives its value
-- @tparam[opt] fun(state:any,key:any,value:any) opts.import puts a key into another state
-- @tparam[opt=false] boolean opts.stateless there is nothing to move when the group is resized
-- @tparam[opt] fun(state:any) opts.stop called at the end of each logical shard
-- @tparam[opt] integer opts.capacity how many calls of one thread wait in one logical shard's queue
-- @tparam[opt] number opts.heartbeat seconds: a logical shard that has a call and makes no progress
-- for so long has failed, and is replaced by a new one, with a new state
-- @tparam[opt=false] boolean opts.fail_on_error a method that raises fails its logical shard
-- @tparam[opt] fun(index:integer,reason:string) opts.on_failed called in a task of this shard
-- @tparam[opt] table|function opts.tags metadata of every logical shard, or fn(index) -> metadata
-- @treturn group
-- @fails "EEXIST" when the name is taken
-- @raise the error of an `init`; what cannot travel, with the path to it; outside of a task
-- @source V. Mirrokni, M. Thorup, M. Zadimoghaddam, "Consistent hashing with bounded loads", 2016
function M.new(opts)
  opts = options.check(opts, KNOWN)
  client.enter()
  local ok, group = pcall(definition, opts)
  if not ok then
    error(group, 2)
  end
  local done, msg, code = begin(group, core.parcel(group), opts)
  if not done then
    return nil, msg, code
  end
  return new_handle(group)
end

--- The group of this name, wherever it was made.
-- @tparam string name
-- @treturn ?group nil when there is none, or no more
function M.named(name)
  local group = client.named(name)
  return group and not group.closed and new_handle(group) or nil
end

-- ---- calling ------------------------------------------------------------------------------------

-- What must be right before a call: the group, or nil.
local function check_call(self, key, method, level)
  if getmetatable(self) ~= Group then
    error("group expected, got " .. type(self), level + 1)
  elseif key == nil then
    error("a key expected, got nil", level + 1)
  end
  local group = client.find(self.id)
  if group and method ~= nil and not group.methods[method] then
    error(("group '%s' has no method '%s'"):format(group.name, tostring(method)), level + 1)
  end
  return group
end

-- The logical shard of a key; nil in a bounded group.
local function index_of(group, key)
  local find = group.find
  if find then
    local index = find(key)
    return index
  end
end

-- A method that waits for its own logical shard waits forever.
local function check_own(group, index, level)
  local w = worker.served()
  if w and index and w.group == group and w.index == index then
    error(("a method of logical shard %d waits for that shard itself: it would never end"):format(
      index), level + 1)
  end
end

-- What a call gives when it has ended.
local function results(entry)
  if entry.how == "ok" then
    return unpack(entry, 1, entry.n)
  elseif entry.how == "raised" then
    error(home.with_trace(entry[1], entry[2]), 0)
  end
  return nil, entry[1], entry[2]
end

--- Call a method in the logical shard of a key and wait for what it gives.
--
-- A caller that is cancelled, or whose time is up, withdraws a call that has not begun; one that
-- has goes on, and its results are dropped.
-- @parks until the method has ended
-- @tparam any key a string or an integer; with a router function, what that takes
-- @tparam string method
-- @param ... what the method gets after the state and the key: copies
-- @return ... its results, copied
-- @fails "ECLOSED"; "ELOST" when the logical shard failed during the call; "ETIMEDOUT" of a handle
-- with a timeout; "ECANCELED" when the group was stopped by force during the call
-- @raise the method's error, copied; a string has the remote traceback behind it. When there is no
-- such method, and what cannot travel
function Group:call(key, method, ...)
  local group = check_call(self, key, method or false, 2)
  client.enter()
  if not group then
    return nil, CLOSED, "ECLOSED"
  end
  local entry = {key = key, method = method, parcel = core.parcel(key, ...)}
  entry.index = index_of(group, key)
  check_own(group, entry.index, 2)
  local ok, msg, code = client.accept(group, entry)
  if ok then
    ok, msg, code = client.wait(group, entry, self.timeout)
  end
  if not ok then
    return nil, msg, code
  end
  return results(entry)
end

--- Call a method in the logical shard of a key, and do not wait. A failure goes to `on_error` of
-- this shard.
-- @tparam any key
-- @tparam string method
-- @param ... what the method gets after the state and the key: copies
-- @treturn true
-- @fails "ECLOSED"; "EAGAIN" when the queue is full
-- @raise when there is no such method; what cannot travel
function Group:cast(key, method, ...)
  local group = check_call(self, key, method or false, 2)
  if not group then
    return nil, CLOSED, "ECLOSED"
  end
  return client.accept(group, {key = key, method = method, cast = true,
    parcel = core.parcel(key, ...), index = index_of(group, key)})
end

--- Run a function in the logical shard of a key, as fn(state, key, ...): it travels, and has its
-- turn like a method.
-- @parks while the queue is full
-- @tparam any key
-- @tparam fun(state:any,key:any,...:any):any fn
-- @param ... its arguments
-- @treturn future as of `rl.spawn`; when the logical shard fails, or the group ends first, its
-- error is one with a code
-- @fails "ECLOSED"; "ETIMEDOUT" of a handle with a timeout
-- @raise what cannot travel, with the path to it
function Group:submit(key, fn, ...)
  local group = check_call(self, key, nil, 2)
  if type(fn) ~= "function" then
    error("function expected, got " .. type(fn), 2)
  end
  client.enter()
  if not group then
    return nil, CLOSED, "ECLOSED"
  end
  local entry = {key = key, parcel = core.parcel_job(fn, key, ...), index = index_of(group, key)}
  entry.future = future.new(Future)
  entry.future.group, entry.future.entry = group, entry
  local ok, msg, code = client.accept(group, entry)
  if ok then
    ok, msg, code = client.admit(group, entry, self.timeout)
  end
  if not ok then
    return nil, msg, code
  end
  return entry.future
end

-- Wait for all, whatever becomes of some; then the first failure, or the first results.
local function gather(group, entries, t)
  local failure
  for i, entry in ipairs(entries) do
    local ok, msg, code = client.wait(group, entry, t)
    if not ok or entry.how ~= "ok" then
      failure = failure or {i, not ok and {msg, code}}
    end
  end
  if not failure then
    local list = {}
    for i, entry in ipairs(entries) do
      list[i] = entry[1]
    end
    return list
  elseif failure[2] then
    return nil, failure[2][1], failure[2][2], failure[1]
  end
  local _, msg, code = results(entries[failure[1]])
  return nil, msg, code, failure[1]
end

--- Call a method in every logical shard, in its turn, without a key: fn(state, nil, ...).
-- @parks until all have ended
-- @tparam string method
-- @param ... what it gets after the state and nil: copies
-- @treturn[1] {any,...} the first results, by logical shard
-- @treturn[2] nil
-- @treturn[2] string message
-- @treturn[2] string a code, as of `call`
-- @treturn[2] integer the logical shard that failed
-- @raise the first error of a method, when all have ended
function Group:each(method, ...)
  local group = check_call(self, true, method or false, 2)
  client.enter()
  if not group then
    return nil, CLOSED, "ECLOSED"
  end
  local steady, why, failed = client.steady(group, self.timeout)
  if not steady then
    return nil, why, failed
  end
  local parcel, entries = core.parcel(nil, ...), {}
  for i = 1, group.n do
    check_own(group, i, 2)
  end
  for i = 1, group.n do
    entries[i] = {method = method, index = i, fixed = i, parcel = parcel}
    local ok, msg, code = client.accept(group, entries[i])
    if not ok then
      return nil, msg, code
    end
  end
  return gather(group, entries, self.timeout)
end

--- The same group with other habits.
-- @tparam table opts
-- @tparam[opt] number opts.timeout seconds that `call`, `submit` and `each` wait at most
-- @treturn group a new handle
function Group:with(opts)
  opts = options.check(opts, {timeout = "number"})
  return setmetatable({id = self.id, name = self.name, timeout = opts.timeout}, Group)
end

-- ---- governing ----------------------------------------------------------------------------------

local function home_of(self)
  local group = client.find(self.id)
  return group and group.home, group
end

local function operate(self, level, ...)
  client.enter()
  local shard = home_of(self)
  if not shard then
    return nil, CLOSED, "ECLOSED"
  end
  local got = {pcall(link.ask, shard, "group operate", self.id, ...)}
  if not got[1] then
    error(got[2], type(got[2]) == "string" and level + 1 or 0)
  end
  return got[2], got[3], got[4]
end

local function check_index(self, i, level)
  local _, group = home_of(self)
  if i ~= nil and group and (not routing.is_whole(i) or i > group.n) then
    error(("no logical shard %s (there are %d)"):format(tostring(i), group.n), level + 1)
  end
end

--- Change the number of logical shards. The keys that then belong elsewhere move there, with
-- `export` and `import`; calls of these wait meanwhile, the others go on. When a key cannot be
-- exported, nothing moves.
-- @parks until everything has moved
-- @tparam integer n
-- @treturn true
-- @fails "EOPNOTSUPP" when the group has a state that it cannot move, or its router has names;
-- "EBUSY" while a logical shard is paused; "ECANCELED" when nothing has moved; "ELOST" when keys
-- could not be imported; "ECLOSED"
-- @raise when n is no whole number of at least 1; the error of an `init`, and nothing has changed
function Group:resize(n)
  if not routing.is_whole(n) then
    error("a whole number of at least 1 expected", 2)
  end
  local ok, msg, code = operate(self, 2, "resize", n)
  return ok, msg, code
end

--- Hold the queue of a logical shard, or of all that run. A call that has begun goes on.
-- @parks until it is held
-- @tparam[opt] integer i which
-- @treturn true
-- @fails "EBUSY" during a resize; "ECLOSED"
-- @raise when there is no such logical shard, or it does not run
function Group:pause(i)
  check_index(self, i, 2)
  local ok, msg, code = operate(self, 2, "set", i or false, "paused")
  return ok, msg, code
end

--- Let the queue of a logical shard go on, or those of all that are paused.
-- @parks until it goes on
-- @tparam[opt] integer i which
-- @treturn true
-- @fails "EBUSY" during a resize; "ECLOSED"
-- @raise when there is no such logical shard, or it is not paused
function Group:resume(i)
  check_index(self, i, 2)
  local ok, msg, code = operate(self, 2, "set", i or false, "running")
  return ok, msg, code
end

--- Stop the group: calls are refused, what was accepted is done, the hook `stop` is called in each
-- logical shard, and the group is no more. Any number of shards may ask for it.
-- @parks until the group has ended
-- @tparam[opt] number grace seconds until it is forced, by default no limit: calls that wait then
-- give "ECLOSED", those that run are cancelled. 0: at once
-- @treturn true
-- @fails "ETIMEDOUT" when it had to be forced after a grace of more than 0; it has ended then, too
function Group:stop(grace)
  options.seconds(grace)
  client.enter()
  local shard = home_of(self)
  if not shard then
    return true
  end
  return link.ask(shard, "group stop", self.id, grace)
end

--- In a method: say that progress is made, though the call goes on. Elsewhere it does nothing.
function Group:beat()
  local w = worker.served()
  if w and w.group.id == self.id then
    worker.beat(w)
  end
end

-- ---- looking ------------------------------------------------------------------------------------

-- stats of all logical shards, in order, and the times of their last calls.
local function collect(self)
  client.enter()
  local shard, group = home_of(self)
  if not shard then
    return {}, {}
  end
  local list, times = {}, {}
  for _, entries in ipairs(link.ask_all("group stats", self.id)) do
    for _, entry in ipairs(entries) do
      list[#list + 1] = entry[1]
      for _, t in ipairs(entry[2]) do
        times[#times + 1] = t
      end
    end
  end
  table.sort(list, function(a, b) return a.id < b.id end)
  return list, times, group, shard
end

--- How many logical shards there are.
-- @treturn integer 0 when it was stopped
function Group:size()
  local _, group = home_of(self)
  return group and group.n or 0
end

--- The state of a logical shard, or of all.
-- @parks until its thread answers
-- @tparam[opt] integer i which
-- @treturn string|{string,...} "created", "pending", "running", "paused", "failed" or "terminated"
function Group:status(i)
  check_index(self, i, 2)
  local list = collect(self)
  for k, entry in ipairs(list) do
    list[k] = entry.state
  end
  if i then
    return list[i] or "terminated"
  end
  return list
end

--- Metadata and counters of every logical shard.
-- @parks until all threads have answered
-- @treturn {group_stats,...} by logical shard; empty when the group was stopped
-- @tfield[group_stats] integer id its number
-- @tfield[group_stats] integer shard the thread that hosts it
-- @tfield[group_stats] table tags
-- @tfield[group_stats] ?integer capacity
-- @tfield[group_stats] string state
-- @tfield[group_stats] integer queued calls that have not begun
-- @tfield[group_stats] boolean active does a call run?
-- @tfield[group_stats] integer done calls that returned
-- @tfield[group_stats] integer failed calls that raised
-- @tfield[group_stats] integer lost calls during which it failed
-- @tfield[group_stats] number mean_wait seconds from the queue to the beginning of a call
-- @tfield[group_stats] integer progress a count of beginnings, ends and beats
-- @tfield[group_stats] integer generation 1, and one more for each replacement
function Group:stats()
  local list, _, group, shard = collect(self)
  local tags = shard and link.ask(shard, "group tags", self.id, #list) or {}
  for i, entry in ipairs(list) do
    entry.shard, entry.capacity = client.thread_of(entry.id), group.capacity
    entry.tags = tags[i]
  end
  return list
end

--- What `rl.autoscaler` asks of its target: `queue`, calls that have not begun; `active`, the part
-- of the logical shards that run one; `p95` of the seconds that the last calls took, waiting
-- included, once there was one.
-- @parks until all threads have answered
-- @treturn table
function Group:metrics()
  local list, times = collect(self)
  local queue, active = 0, 0
  for _, entry in ipairs(list) do
    queue = queue + entry.queued
    active = active + (entry.active and 1 or 0)
  end
  table.sort(times)
  return {queue = queue, active = #list > 0 and active / #list or 0,
    p95 = times[math.ceil(#times * 0.95)]}
end

function Group:__tostring()
  return ("ringlet.group: %s (%d logical shards)"):format(self.name, self:size())
end

return M
