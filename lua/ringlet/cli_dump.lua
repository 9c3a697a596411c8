-- SPDX-License-Identifier: MIT
-- cli_dump: `ringlet dump`: what the tasks of another process do and wait for.

local client = require "ringlet.cli_client"

local M = {
  name = "dump", summary = "what all tasks of a process do and wait for", positional = "[TARGET]",
  most = 1, about = [[
Prints the tasks of a process: those with the same stack together, the most numerous first.]],
  options = client.options {
    {name = "all", short = "a", kind = "flag", help = "every task by itself"},
    {name = "state", kind = "string", value = "STATE",
      help = "running, runnable, waiting or new ones"},
    {name = "reason", kind = "string", value = "REASON", help = "those that wait for it"},
    {name = "label", kind = "string", value = "NAME=VALUE", help = "those with this label"},
    {name = "name", kind = "string", value = "NAME", help = "those of this name"},
    {name = "after", kind = "number", value = "SECONDS", help = "those that wait for so long"},
    {name = "shard", kind = "number", value = "N", min = 1, help = "those of one shard"},
    {name = "json", kind = "flag", help = "as JSON, every task by itself"},
    {name = "output", short = "o", kind = "string", value = "FILE", help = "in place of stdout"},
  },
}

local PASSED = {"state", "reason", "label", "name", "after", "shard"}

-- What is asked for.
function M.query(args)
  local query = {debug = args.all and 2 or 1}
  for _, name in ipairs(PASSED) do
    query[name] = args[name]
  end
  if args.json then
    query.debug, query.format = nil, "json"
  end
  return query
end

function M.run(args)
  return client.show(args, "/debug/tasks", M.query(args))
end

return M
