-- SPDX-License-Identifier: MIT
-- group_move: what a shard does in a resize, as the group's home asks for it (group_home):
--
--   prepare  every shard holds the calls of keys that will move, and sends a fence to every thread.
--            When the fences of all shards are here, no call that went by the old plan is on its
--            way: each logical shard, when its present call has ended, exports the keys that move,
--            and takes their calls out of its mailbox.
--   move     what was exported and taken goes to its new owners: import before calls; or back to
--            the old ones if an export failed.
--   done     every shard goes by the new plan and lets go what it held, which is therefore behind
--            all earlier calls of the same key.
--
-- In a bounded group keys do not move; the logical shards that shall go do all their calls first.

local client = require "ringlet.group_client"
local core = require "ringlet.core"
local host = require "ringlet.group_host"
local link = require "ringlet.group_link"
local post = require "ringlet.post"
local routing = require "ringlet.group_routing"
local worker = require "ringlet.group_worker"

local answer = link.answer

-- ---- prepare ------------------------------------------------------------------------------------

local function take_back(w, taken)
  for _, entry in ipairs(taken) do
    w.group.import(w.user, entry[1], entry[2])
  end
end

-- The keys of a logical shard that belong elsewhere by `find`.
local function leaving(w, find)
  local list = {}
  local function add(key)
    if find(key) ~= w.index then
      list[#list + 1] = key
    end
  end
  local keys, state, start = w.group.keys(w.user)
  if type(keys) == "table" then
    for _, key in ipairs(keys) do
      add(key)
    end
  else
    for key in keys, state, start do
      add(key)
    end
  end
  return list
end

-- Where what goes to a logical shard is put.
local function parts_of(out, to)
  out[to] = out[to] or {values = {}, calls = {}}
  return out[to]
end

-- Export what belongs elsewhere, as parcels of a key and its value. All or nothing: on an error
-- what was taken is put back.
local function export(w, find, out)
  local taken = {}
  local ok, err = pcall(function()
    for _, key in ipairs(leaving(w, find)) do
      local value = w.group.export(w.user, key)
      taken[#taken + 1] = {key, value}
      table.insert(parts_of(out, find(key)).values, (core.parcel(key, value)))
    end
  end)
  if not ok then
    take_back(w, taken)
    error(err, 0)
  end
end

-- All that leaves a logical shard: index -> {values, calls}.
local function leave(w, find)
  local out = {}
  if w.group.export then
    export(w, find, out)
  end
  worker.take(w, find, function(to, call)
    table.insert(parts_of(out, to).calls, call)
  end)
  return out
end

local function nothing()
  return {}
end

-- The logical shards of this thread that have a part in it.
local function concerned(group, plan)
  local list = {}
  for _, w in ipairs(host.workers_of(group)) do
    if not w.dead and w.index <= group.n and (not group.bounded or w.index > plan.n) then
      list[#list + 1] = w
    end
  end
  return list
end

-- Prepare: {} or {error}.
answer("group prepare", function(reply, _, id, version, plan)
  local group, failure = client.find(id), nil
  group.outgoing = {}
  client.prepare(group, plan)
  local find = not group.bounded and routing.finder(plan)
  host.fence(group, version, function()
    local workers = concerned(group, plan)
    local one = host.after(#workers, function()
      reply(true, {failure})
    end)
    for _, w in ipairs(workers) do
      worker.enqueue(w, find and function()
        return leave(w, find)
      end or nothing, function(ok, out)
        if ok then
          group.outgoing[w.index] = out
        else
          failure = failure or tostring(out)
        end
        one()
      end, not group.bounded)
    end
  end)
end)

-- ---- move ---------------------------------------------------------------------------------------

-- Import in its turn; how many keys failed.
local function import(w, values)
  local failed = 0
  for _, parcel in ipairs(values) do
    local key, value = core.unparcel(parcel)
    local ok, err = pcall(w.group.import, w.user, key, value)
    if not ok then
      failed = failed + 1
      post.to(w.group.home, "group trouble", w.group.id, "raised",
        ("import of key %s: %s"):format(tostring(key), tostring(err)), "")
    end
  end
  return failed
end

answer("group import", function(reply, _, id, index, parts)
  local w = client.find(id).workers[index]
  worker.enqueue(w, function()
    return import(w, parts.values)
  end, function(ok, failed)
    reply(true, ok and failed or #parts.values)
  end, true)
  for _, call in ipairs(parts.calls) do
    worker.accept(w, call)
  end
end)

-- The questions that carry what leaves: to the new owners, or back.
local function imports(group, forward)
  local questions = {}
  for from, out in pairs(group.outgoing) do
    for to, parts in pairs(out) do
      local index = forward and to or from
      questions[#questions + 1] = {client.thread_of(index), "group import", group.id, index, parts}
    end
  end
  return questions
end

-- Move: how many keys could not be imported.
answer("group move", function(reply, _, id, forward)
  local group = client.find(id)
  local questions = imports(group, forward)
  group.outgoing = nil
  link.ask_each(questions, function(answers)
    local failed = 0
    for _, n in ipairs(answers) do
      failed = failed + n
    end
    reply(true, failed)
  end)
end)

-- ---- done ---------------------------------------------------------------------------------------

answer("group done", function(reply, _, id, plan)
  local group = client.find(id)
  client.settle(group, plan)
  host.finish(group, plan.n, reply)
end)
