-- SPDX-License-Identifier: MIT
-- cli_metrics: `ringlet metrics`: what another process measures.

local client = require "ringlet.cli_client"

local M = {
  name = "metrics", summary = "what a process measures, as Prometheus reads it",
  positional = "[TARGET]", most = 1, about = [[
Prints the metrics of a process in the text format of Prometheus.]],
  options = client.options {
    {name = "grep", kind = "string", value = "TEXT", help = "only lines that have this text"},
    {name = "output", short = "o", kind = "string", value = "FILE", help = "in place of stdout"},
  },
}

-- The lines that have `part`.
function M.grep(text, part)
  local lines = {}
  for line in text:gmatch "[^\n]+" do
    if line:find(part, 1, true) then
      lines[#lines + 1] = line .. "\n"
    end
  end
  return table.concat(lines)
end

function M.run(args)
  return client.show(args, "/metrics", nil, nil, args.grep and function(text)
    return M.grep(text, args.grep)
  end)
end

return M
