-- SPDX-License-Identifier: MIT
--- Traces: a flight recorder of what every shard does, and spans of what requests go through.
--
--     local rl, trace = require "ringlet", require "ringlet.trace"
--     rl.run(function()
--       trace.start{seconds = 10}
--       -- ...
--       local snap = rl.check(trace.dump())
--       rl.check(snap:write_chrome "trace.json") -- for https://ui.perfetto.dev
--     end)
--
-- Nothing of it is loaded, and nothing recorded, unless asked. What fails returns
-- `nil, "ENAME: message", "ENAME"`. Times are seconds.
-- @module ringlet.trace

require "ringlet"
local core = require "ringlet.core"
-- Once in a Lua state, whoever clears package.loaded: what runs already leads here.
if core.loaded["ringlet.trace"] then
  for name, module in pairs(core.loaded) do
    if name:find "^ringlet%.trace_" then
      package.loaded[name] = module
    end
  end
  return core.loaded["ringlet.trace"]
end

local context = require "ringlet.trace_context"
local recorder = require "ringlet.trace_recorder"
local sampler = require "ringlet.trace_sampler"
local span = require "ringlet.trace_span"

local M = {
  start = recorder.start,
  stop = recorder.stop,
  active = recorder.active,
  dump = recorder.dump,
  read = recorder.read,
  log = recorder.log,

  begin = span.begin,
  span = span.span,
  current = span.current,
  export = span.export,
  stats = span.stats,
  sampler = sampler.new,

  parse_context = context.parse,
  format_context = context.format,
}

core.loaded["ringlet.trace"] = M
for name, module in pairs(package.loaded) do
  if name:find "^ringlet%.trace_" then
    core.loaded[name] = module
  end
end

return M
