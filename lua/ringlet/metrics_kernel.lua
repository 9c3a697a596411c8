-- SPDX-License-Identifier: MIT
-- metrics_kernel: what the kernel knows of a shard: how long its thread waits for a CPU, and what
-- waits in the queues of its listening sockets.
--
-- Both need no privileges: /proc/self/task/TID/schedstat has sums, TCP_INFO of a listening socket
-- its queue. What needs them - each single wait, and what became of connections - comes from
-- sources: open objects of `bpf.metrics`, the newest first, of the Lua state that reads.
--
-- A source has `shard_(index)` -> its counts or nil, `delays_(index)` -> histogram or nil,
-- `labels_(index)` -> {set of labels = connects} or nil, `sync_()`: the run has other shards now.

local core = require "ringlet.core"
local stop = require "ringlet.run_stop"

local M = {}

local sources = {}

-- ---- sources ------------------------------------------------------------------------------------

-- Shards note their sockets in the map of the newest source that has one.
local function note_sockets()
  for _, source in ipairs(sources) do
    if source.notes_fd then
      core.note_sockets(source.notes_fd)
      return
    end
  end
  core.note_sockets(nil)
end

function M.add(source)
  table.insert(sources, 1, source)
  note_sockets()
end

function M.remove(source)
  for i, other in ipairs(sources) do
    if other == source then
      table.remove(sources, i)
      break
    end
  end
  note_sockets()
end

stop.gathered[#stop.gathered + 1] = function()
  for _, source in ipairs(sources) do
    source:sync_()
  end
end

local function from_sources(method, index)
  for _, source in ipairs(sources) do
    local found = source[method](source, index)
    if found ~= nil then
      return found
    end
  end
  return nil
end

-- ---- readings of one shard ----------------------------------------------------------------------

-- One of a shard's counts; nil: nobody counts.
function M.counted(key)
  return function(shard)
    local counts = from_sources("shard_", shard.index)
    return counts and counts[key]
  end
end

function M.delays(shard)
  return from_sources("delays_", shard.index)
end

function M.labels(shard)
  return from_sources("labels_", shard.index)
end

-- {seconds on a CPU, seconds of waiting for one, how often it was given one} of a thread of this
-- process; nil: the kernel does not tell.
function M.schedstat(tid)
  local file = io.open(("/proc/self/task/%d/schedstat"):format(tid))
  local text = file and file:read "*l"
  if file then
    file:close()
  end
  local ran, waited, times = (text or ""):match "^(%d+) (%d+) (%d+)"
  if not ran then
    return nil
  end
  return {tonumber(ran) / 1e9, tonumber(waited) / 1e9, tonumber(times)}
end

function M.thread(which)
  return function(shard)
    local tid = shard.numbers.tid
    if tid and shard.thread == nil then
      shard.thread = M.schedstat(tid) or false
    end
    return shard.thread and shard.thread[which] or nil
  end
end

-- By address: sockets of several listeners may share one.
function M.listening(key)
  return function(shard)
    local out = {}
    shard.listening = shard.listening or core.listening(shard.index)
    for _, socket in ipairs(shard.listening) do
      out[socket.addr] = (out[socket.addr] or 0) + socket[key]
    end
    return out
  end
end

return M
