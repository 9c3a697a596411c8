-- SPDX-License-Identifier: MIT
-- cli_trace: `ringlet trace`: what the shards of another process do, moment by moment, for
-- Perfetto.

local client = require "ringlet.cli_client"
local core = require "ringlet.core"

local M = {
  name = "trace", summary = "record what the shards do, for ui.perfetto.dev",
  positional = "[TARGET]", most = 1, about = [[
Records what the shards of a process do and writes it as JSON that Perfetto (ui.perfetto.dev) and
chrome://tracing open. If its recorder is on already, what it has recorded last is part of it.]],
  options = client.options {
    {name = "seconds", short = "s", kind = "number", value = "N", help = "how long (5)"},
    {name = "output", short = "o", kind = "string", value = "FILE",
      help = "where to; else stdout, if that is no terminal"},
  },
}

-- Is the result to go to a terminal, which could only show it?
function M.is_lost(args)
  return not args.output and core.terminal_size(1) ~= nil
end

function M.run(args)
  if M.is_lost(args) then
    return 2, "a trace is nothing to read in a terminal: give a file with -o"
  end
  local seconds = args.seconds or 5
  return client.show(args, "/debug/trace", {seconds = seconds}, seconds)
end

return M
