-- SPDX-License-Identifier: MIT
-- cli_leaks: `ringlet leaks`: tasks of another process that nothing can ever wake.

local client = require "ringlet.cli_client"

local M = {
  name = "leaks", summary = "tasks that wait on what no live task can reach",
  positional = "[TARGET]", most = 1, about = [[
Prints the tasks of a process that wait on something which no live task can reach, with their
stacks. To find them, each shard goes through all that its tasks refer to.]],
  options = client.options {
    {name = "json", kind = "flag", help = "as JSON"},
    {name = "output", short = "o", kind = "string", value = "FILE", help = "in place of stdout"},
  },
}

function M.run(args)
  return client.show(args, "/debug/leaks", {format = args.json and "json" or "text"})
end

return M
