-- SPDX-License-Identifier: MIT
-- net_load: how much a server has to do on its shard, from 0 to 1: as the user's function says, or
-- what is used of its connections or of the processor, if that is more.

local core = require "ringlet.core"

local M = {}

-- What heartbeats tell is as old as that many seconds at most.
local FRESH = 1

--- From when on the processor's part counts.
function M.begin()
  return {now = core.now(), cpu = os.clock()}
end

-- Since the time in `since`, which begins anew. Virtual time and processors have nothing in common.
local function usual(server, since)
  local now, cpu = core.now(), os.clock()
  local _, shards = core.fleet()
  local passed = core.net_is_alone() and 0 or now - since.now
  local busy = passed > 0 and (cpu - since.cpu) / passed / shards or 0
  since.now, since.cpu = now, cpu
  return math.max(server.live / server.max, busy)
end

--- A number; nil when the user's function has none to give.
function M.measure(heart, since)
  local metrics = heart.opts.metrics
  if not metrics then
    return usual(heart.server, since)
  end
  local ok, load = heart:try(metrics)
  if ok and type(load) == "number" and load == load then
    return load
  elseif ok and load ~= nil then
    heart:try(error, "metrics: a number expected, got " .. tostring(load), 0)
  end
end

--- What heartbeats tell.
function M.to_tell(heart)
  local now = core.now()
  if now >= heart.fresh_until then
    heart.load, heart.fresh_until = M.measure(heart, heart.since_told) or 0, now + FRESH
  end
  return heart.load
end

function M.init(heart)
  heart.load, heart.fresh_until = 0, 0
  heart.since_check, heart.since_told = M.begin(), M.begin()
end

return M
