-- SPDX-License-Identifier: MIT
--- What shards share: objects that several of them hold at once, by handles that travel. Everything
-- else that goes to another shard is copied. They are made anywhere, also outside of `run`.
-- @module ringlet.shared
-- @usage
-- local rl, shared = require "ringlet", require "ringlet.shared"
-- rl.run(function()
--   local results = shared.chan(64)
--   rl.spawn(function() results:send(rl.shard()) end)
--   print(results:recv())
-- end, {shards = "auto"})

local atomic = require "ringlet.shared_atomic"
local buffer = require "ringlet.shared_buffer"
local chan = require "ringlet.shared_chan"
local dict = require "ringlet.shared_dict"
local sync = require "ringlet.shared_sync"

return {
  chan = chan.new,
  atomic = atomic.new,
  dict = dict.new,
  buffer = buffer.new,
  semaphore = sync.semaphore,
  barrier = sync.barrier,
  once = sync.once,
}
