-- SPDX-License-Identifier: MIT
-- debug_gather: the same question to every shard. The others are asked first, so that all look at
-- the same time; what they answer are copies.

local core = require "ringlet.core"
local hung = require "ringlet.hung"
local jobs = require "ringlet.jobs"
local tasks = require "ringlet.debug_tasks"

local M = {}

-- Seconds between two looks whether a shard that has not answered is stuck, and until it counts as
-- silent anyway.
local LOOK, TIMEOUT = 0.25, 10

-- What is known of a shard that does not answer.
local function silent(shard)
  local known = hung.silent(shard)
  return {shard = shard, silent = true, task = known.id, seconds = known.seconds}
end

-- The answer of another shard, and its counts; nil and why there is none.
local function await(future, shard, timeout)
  local due = core.now() + timeout
  while true do
    local left = due - core.now()
    local ok, answer, counts = future:join(math.max(math.min(LOOK, left), 0))
    if ok then
      return answer, counts
    elseif ok == false then
      return nil, {shard = shard, failed = tostring(answer)}
    end
    local counted = silent(shard)
    if counted.seconds or left <= LOOK then
      future:cancel("nobody waits for the dump")
      return nil, counted
    end
  end
end

-- The options that travel, and the jobs of the other shards that are asked.
local function ask_others(question, opts, own, size)
  local futures, asked = {}, {}
  for k, v in pairs(opts) do
    asked[k] = k ~= "to" and v or nil
  end
  for i = 1, size do
    if i ~= own and (opts.shard or i) == i then
      futures[i] = jobs.spawn_on(i, question, asked, true)
    end
  end
  return futures
end

-- Call question(opts, true) in a task on each other shard that is wanted, here(opts) on this one:
-- they give an answer and counts. take(answer) is called with each answer, in the order of shards.
-- Returns the list of counts. Where nobody can wait for the others they are not asked.
function M.all(question, opts, take, here)
  local own, size = core.fleet()
  own, size = own or 1, size or 1
  local futures = tasks.can_park() and ask_others(question, opts, own, size) or {}
  local all = {}
  for i = 1, size do
    local answer, counts
    if futures[i] then
      answer, counts = await(futures[i], i, opts.timeout or TIMEOUT)
    elseif i == own and (opts.shard or i) == i then
      answer, counts = here(opts)
    end
    if answer then
      take(answer)
    end
    all[#all + 1] = counts
  end
  return all
end

return M
