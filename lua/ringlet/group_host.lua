-- SPDX-License-Identifier: MIT
-- group_host: what a shard does for groups when others ask: it hosts logical shards, from their
-- begin to their end. (Their moves are in group_move.)
--
-- A fence is what every shard sends to every thread behind the calls that it has sent. When those
-- of all shards are there, so are all calls from before.

local client = require "ringlet.group_client"
local core = require "ringlet.core"
local link = require "ringlet.group_link"
local post = require "ringlet.post"
local worker = require "ringlet.group_worker"

local answer = link.answer

local M = {}

-- Call `done` when it was called n times; at once if n is 0.
local function after(n, done)
  if n == 0 then
    done()
  end
  return function()
    n = n - 1
    if n == 0 then
      done()
    end
  end
end

M.after = after

-- The logical shards of a group on this thread, in order.
local function workers_of(group)
  local list = {}
  for _, w in pairs(group.workers) do
    list[#list + 1] = w
  end
  table.sort(list, function(a, b) return a.index < b.index end)
  return list
end
M.workers_of = workers_of

-- ---- calls --------------------------------------------------------------------------------------

post.on("group call", function(_, id, index, origin, number, method, cast, parcel)
  local group = client.find(id)
  local w = group and group.workers[index]
  if w then
    worker.accept(w, {origin = origin, id = number, method = method, cast = cast, parcel = parcel})
  else
    client.refuse(origin, id, number, cast, "ECLOSED: the group was stopped", "ECLOSED")
  end
end)

post.on("group withdraw", function(_, id, index, origin, number, reason)
  local group = client.find(id)
  local w = group and group.workers[index]
  if w then
    worker.withdraw(w, origin, number, reason)
  end
end)

-- ---- life ---------------------------------------------------------------------------------------

answer("group add", function(reply, _, parcel)
  client.add(core.unparcel(parcel))
  reply(true)
end)

answer("group drop", function(reply, _, id)
  local group = client.find(id)
  if group then
    client.forget(group)
  end
  reply(true)
end)

-- Begin a logical shard: true, or false, its error and traceback.
answer("group host", function(reply, _, id, index)
  local group = client.find(id)
  local w
  w = worker.new(group, index, function(ok, err, trace)
    if ok then
      reply(true, {true})
    else
      group.workers[w.index] = nil
      if not pcall(reply, true, {false, err, trace}) then
        reply(true, {false, tostring(err), trace})
      end
    end
  end)
  group.workers[index] = w
end)

answer("group set", function(reply, _, id, index, to)
  worker.set(client.find(id).workers[index], to)
  reply(true)
end)

answer("group stats", function(reply, _, id)
  local list = {}
  for i, w in ipairs(workers_of(client.find(id))) do
    local stats, times = worker.stats(w)
    list[i] = {stats, times}
  end
  reply(true, list)
end)

post.on("group kill", function(_, id)
  local group = client.find(id)
  if group then
    group.killed = true
    for _, w in ipairs(workers_of(group)) do
      worker.kill(w)
    end
  end
end)

-- ---- fences -------------------------------------------------------------------------------------

local function check_fences(group, version)
  local _, size = core.fleet()
  local fn = group.on_fences[version]
  if fn and group.fences[version] == size then
    group.on_fences[version], group.fences[version] = nil, nil
    fn()
  end
end

post.on("group fence", function(_, id, version)
  local group = client.find(id)
  group.fences[version] = (group.fences[version] or 0) + 1
  check_fences(group, version)
end)

-- Send a fence everywhere, and call fn when those of all shards are here.
function M.fence(group, version, fn)
  group.on_fences[version] = fn
  client.fence(group, version)
  check_fences(group, version)
end

-- ---- the end ------------------------------------------------------------------------------------

-- End the logical shards of this thread above a number.
function M.finish(group, from, reply)
  local list = {}
  for _, w in ipairs(workers_of(group)) do
    if w.index > from then
      list[#list + 1] = w
    end
  end
  local one = after(#list, function()
    reply(true)
  end)
  for _, w in ipairs(list) do
    worker.finish(w, function()
      group.workers[w.index] = nil
      one()
    end)
  end
end

answer("group shut", function(reply, _, id)
  client.close(client.find(id))
  reply(true)
end)

answer("group close", function(reply, _, id, version)
  local group = client.find(id)
  M.fence(group, version, function()
    M.finish(group, 0, reply)
  end)
end)

return M
