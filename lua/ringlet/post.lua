-- SPDX-License-Identifier: MIT
-- post: messages between the shards of a run: a handler's name and its arguments, which travel.
--
-- A handler runs in the loop of the shard that receives, outside any task: it must not park.
-- Messages from one shard to another arrive in order. Every shard loads the same modules of ours,
-- so a handler that a module sets up when it is loaded is there.

local core = require "ringlet.core"

local M = {}

local handlers = {}

-- fn(from, ...) is called for each message `name`.
function M.on(name, fn)
  handlers[name] = fn
end

-- Send to one shard; to this one too: it comes in a later turn.
M.to = core.post

-- Send to every shard but this one.
function M.others(...)
  local own, size = core.fleet()
  for i = 1, size or 0 do
    if i ~= own then
      core.post(i, ...)
    end
  end
end

local function handle(from, name, ...)
  handlers[name](from, ...)
end

core.posted(function(from, parcel)
  handle(from, core.opened(parcel))
end)

return M
