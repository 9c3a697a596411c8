-- SPDX-License-Identifier: MIT
-- group_home: what the shard that made a group does for all: it begins and ends the group, changes
-- its size, pauses it; and in a bounded group it says where each call goes.
--
-- One thing at a time, under a lock. Each operation is a task here, so it is carried out whatever
-- becomes of whoever asked for it.

local client = require "ringlet.group_client"
local core = require "ringlet.core"
local link = require "ringlet.group_link"
local post = require "ringlet.post"
local routing = require "ringlet.group_routing"
local run = require "ringlet.run_stop"
local states = require "ringlet.group_states"
local sync = require "ringlet.sync"
local task = require "ringlet.task"

local unpack = table.unpack or rawget(_G, "unpack")

local M = {}

local REGISTRAR = 1 -- the shard that knows all names
local CLOSED = "ECLOSED: the group was stopped"
local RESIZED = "EAGAIN: the group was resized"

local homes = {}  -- by id: {lock, tags, on_failed, version, pins, held}
local taken = {}  -- names, at the registrar
local made = 0

run.endings[#run.endings + 1] = function()
  homes, taken = {}, {}
end

-- ---- names --------------------------------------------------------------------------------------

link.answer("group name", function(reply, _, name, id)
  local free = taken[name] == nil
  taken[name] = taken[name] or id
  reply(true, free)
end)

link.answer("group unname", function(reply, _, name)
  taken[name] = nil
  reply(true)
end)

-- An id that no group of this run has.
function M.new_id()
  made = made + 1
  return ("%d:%d"):format((core.fleet()), made)
end

-- ---- beginning ----------------------------------------------------------------------------------

-- Begin logical shards; nil, or the error of the first whose init failed, with its traceback.
local function host(id, from, to)
  local questions = {}
  for i = from, to do
    questions[#questions + 1] = {client.thread_of(i), "group host", id, i}
  end
  for _, got in ipairs(link.ask_list(questions)) do
    if not got[1] then
      return got[2], got[3] or ""
    end
  end
end

-- A string error has where it came from behind it.
function M.with_trace(err, trace)
  if type(err) == "string" and type(trace) == "string" and trace ~= "" then
    return err .. "\nremote " .. trace
  end
  return err
end

local function drop(id, name)
  homes[id] = nil
  link.ask_all("group drop", id)
  link.ask(REGISTRAR, "group unname", name)
end

local function end_workers(id)
  local home = homes[id]
  home.version = home.version + 1
  link.ask_all("group shut", id)
  link.ask_all("group close", id, home.version)
end

-- Begin a group from its definition, as a parcel and as it is; true, or nil, a message and a code.
-- Raises the error of an init.
function M.begin(group, parcel, on_failed, tags)
  if not link.ask(REGISTRAR, "group name", group.name, group.id) then
    return nil, ("EEXIST: there is a group '%s'"):format(group.name), "EEXIST"
  end
  homes[group.id] = {
    lock = sync.mutex(), on_failed = on_failed, tags = tags, version = 0, held = {},
    pins = routing.is_bounded(group.plan) and routing.pins(group.plan),
  }
  link.ask_all("group add", parcel)
  local err, trace = host(group.id, 1, group.plan.n)
  if trace then
    end_workers(group.id)
    drop(group.id, group.name)
    error(M.with_trace(err, trace), 0)
  end
  local mine = client.find(group.id)
  run.stoppers[mine] = function(grace)
    task.go(M.stop, group.id, grace):name("stop of " .. tostring(client.handle_of(mine)))
  end
  return true
end

post.on("group failed", function(_, id, index, reason)
  local home = homes[id]
  if home and home.on_failed and not run.ending() then
    task.go(home.on_failed, index, reason)
  end
end)

-- ---- a bounded group: where calls go ------------------------------------------------------------

local function ticket_of(origin, number)
  return origin .. ":" .. number
end

local function place(group, home, call)
  local index = call.fixed or routing.pin(home.pins, ticket_of(call.origin, call.number), call.key)
  post.to(client.thread_of(index), "group call", group.id, index, call.origin, call.number,
    call.method, call.cast, call.parcel)
end

local function must_hold(home, call)
  return home.held_keys ~= nil and (call.fixed ~= nil or home.held_keys[call.key]
    or routing.is_pinned_above(home.pins, call.key, home.pins.n))
end

post.on("group place", function(from, id, number, method, cast, fixed, key, parcel)
  local group, home = client.find(id), homes[id]
  if not home then
    client.refuse(from, id, number, cast, CLOSED, "ECLOSED")
    return
  end
  local call = {origin = from, number = number, method = method, cast = cast, fixed = fixed,
    key = key, parcel = parcel}
  if must_hold(home, call) then
    home.held[#home.held + 1] = call
    if key ~= nil then
      home.held_keys[key] = true
    end
  elseif fixed and fixed > group.n then
    client.refuse(from, id, number, cast, RESIZED, "EAGAIN")
  else
    place(group, home, call)
  end
end)

post.on("group release", function(_, id, origin, number)
  local home = homes[id]
  if home then
    routing.unpin(home.pins, ticket_of(origin, number))
  end
end)

local function withdraw_held(home, from, number)
  for i, call in ipairs(home.held) do
    if call.origin == from and call.number == number then
      table.remove(home.held, i)
      return call
    end
  end
end

post.on("group misplace", function(from, id, number, reason)
  local home = homes[id]
  if not home then
    return
  elseif withdraw_held(home, from, number) then
    post.to(from, "group result", number, "cancelled", reason and reason[1])
    return
  end
  local index = routing.pinned_at(home.pins, ticket_of(from, number))
  if index then
    post.to(client.thread_of(index), "group withdraw", id, index, from, number, reason)
  end
end)

local function release_held(group, home)
  local held = home.held
  home.held, home.held_keys = {}, nil
  for _, call in ipairs(held) do
    if call.fixed and call.fixed > group.n then
      client.refuse(call.origin, group.id, call.number, call.cast, RESIZED, "EAGAIN")
    else
      place(group, home, call)
    end
  end
end

-- ---- operations ---------------------------------------------------------------------------------

local EBUSY = "EBUSY: the group is being resized or stopped"

-- Is any logical shard in this state?
local function find_state(id, state)
  for _, list in ipairs(link.ask_all("group stats", id)) do
    for _, entry in ipairs(list) do
      if entry[1].state == state then
        return entry[1].id
      end
    end
  end
end

local function may_resize(group, n)
  if not group.stateless and not group.export then
    return nil, "EOPNOTSUPP: its state cannot move: the group has neither export and import nor "
      .. "stateless = true", "EOPNOTSUPP"
  end
  local plan, why = routing.resized(group.plan, n)
  if not plan then
    return nil, "EOPNOTSUPP: " .. why, "EOPNOTSUPP"
  end
  local paused = find_state(group.id, "paused")
  if paused then
    return nil, ("EBUSY: logical shard %d is paused"):format(paused), "EBUSY"
  end
  return plan
end

-- The three steps in all shards; nil, or why nothing has moved, and how many keys were lost.
local function move(group, home, plan)
  local old, id = group.plan, group.id
  home.version = home.version + 1
  local failure
  if home.pins then
    routing.resize_pins(home.pins, plan)
    home.held_keys = {}
  end
  for _, got in ipairs(link.ask_all("group prepare", id, home.version, plan)) do
    failure = failure or got[1]
  end
  local lost = 0
  for _, n in ipairs(link.ask_all("group move", id, failure == nil)) do
    lost = lost + n
  end
  if failure and home.pins then
    routing.resize_pins(home.pins, old)
  end
  link.ask_all("group done", id, failure and old or plan)
  if home.pins then
    release_held(group, home)
  end
  return failure, lost
end

local function resize(group, home, n)
  local plan, msg, code = may_resize(group, n)
  if not plan then
    return nil, msg, code
  elseif n == group.n then
    return true
  end
  local err, trace = host(group.id, group.n + 1, n)
  if trace then
    home.version = home.version + 1
    link.ask_all("group prepare", group.id, home.version, group.plan)
    link.ask_all("group move", group.id, false)
    link.ask_all("group done", group.id, group.plan)
    error(M.with_trace(err, trace), 0)
  end
  local failure, lost = move(group, home, plan)
  if failure then
    return nil, "ECANCELED: nothing has moved: " .. failure, "ECANCELED"
  elseif lost > 0 then
    return nil, ("ELOST: %d keys could not be imported"):format(lost), "ELOST"
  end
  return true
end

local function set(group, _, index, to)
  if index then
    link.ask(client.thread_of(index), "group set", group.id, index, to)
    return true
  end
  for _, list in ipairs(link.ask_all("group stats", group.id)) do
    for _, entry in ipairs(list) do
      if entry[1].state ~= to and states.may(entry[1].state, to) then
        link.ask(client.thread_of(entry[1].id), "group set", group.id, entry[1].id, to)
      end
    end
  end
  return true
end

-- resize waits for its turn, pause and resume do not.
local OPERATIONS = {
  resize = {fn = resize, waits = true},
  set = {fn = set},
}

local function operate(id, name, ...)
  local home, group = homes[id], client.find(id)
  local operation = OPERATIONS[name]
  if not home or group.closed then
    return nil, CLOSED, "ECLOSED"
  elseif operation.waits then
    home.lock:lock()
  elseif not home.lock:try_lock() then
    return nil, EBUSY, "EBUSY"
  end
  if group.closed or not homes[id] then
    home.lock:unlock()
    return nil, CLOSED, "ECLOSED"
  end
  local got = {n = 0}
  local function keep(...)
    got = {n = select("#", ...), ...}
  end
  keep(pcall(operation.fn, group, home, ...))
  home.lock:unlock()
  if not got[1] then
    error(got[2], 0)
  end
  return unpack(got, 2, got.n)
end

local function tags_of(home, index)
  if type(home.tags) == "function" then
    return home.tags(index)
  end
  return home.tags
end

-- ---- the end ------------------------------------------------------------------------------------

local function end_group(id)
  local home, group = homes[id], client.find(id)
  home.lock:lock()
  end_workers(id)
  run.stoppers[group] = nil
  drop(id, group.name)
end

local function kill(id)
  local _, size = core.fleet()
  for i = 1, size do
    post.to(i, "group kill", id)
  end
end

-- Stop a group: true; or, when the grace was over first, nil, a message and "ETIMEDOUT", after it
-- was forced.
function M.stop(id, grace)
  local home = homes[id]
  if not home then
    return true
  end
  if not home.ender then
    client.find(id).closed = true
    home.ender = task.go(end_group, id)
  end
  local ok, _, code = home.ender:join(grace)
  if code ~= "ETIMEDOUT" then
    return ok
  end
  kill(id)
  home.ender:join()
  if grace <= 0 then
    return true
  end
  return nil, "ETIMEDOUT: the group was stopped by force", "ETIMEDOUT"
end

-- ---- asked by others ----------------------------------------------------------------------------

-- An operation in a task of its own.
local function in_task(reply, fn, ...)
  local n, args = select("#", ...), {...}
  task.go(function()
    reply(pcall(fn, unpack(args, 1, n)))
  end)
end

link.answer("group operate", function(reply, _, ...)
  in_task(reply, operate, ...)
end)

link.answer("group stop", function(reply, _, ...)
  in_task(reply, M.stop, ...)
end)

link.answer("group tags", function(reply, _, id, n)
  in_task(reply, function()
    local list, home = {}, homes[id]
    for i = 1, home and n or 0 do
      list[i] = tags_of(home, i) or {}
    end
    return list
  end)
end)

return M
