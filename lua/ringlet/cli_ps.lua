-- SPDX-License-Identifier: MIT
-- cli_ps: `ringlet ps`: the processes that can be talked to, and sockets that dead ones have left.

local client = require "ringlet.cli_client"
local processes = require "ringlet.cli_processes"
local readings = require "ringlet.cli_top_reading"
local rl = require "ringlet"
local text = require "ringlet.cli_text"

local M = {
  name = "ps", summary = "the processes that can be talked to", positional = "", most = 0,
  about = [[
Lists the processes of this user that were started with RINGLET_ADMIN=1, and the sockets that
dead ones have left.]],
  options = {
    {name = "clean", kind = "flag", help = "remove the sockets that dead processes have left"},
  },
}

local ANSWER = 2 -- seconds that a process has

local COLUMNS = {
  {title = "PID", right = true}, {title = "SHARDS", right = true}, {title = "TASKS", right = true},
  {title = "UP", right = true}, {title = "VM", max = 24}, {title = "COMMAND"},
}

-- What a process says of itself; a table without numbers when it does not answer.
local function ask(target)
  local c = client.new(target)
  local ok, vars, msg = rl.timeout(ANSWER, c.json, c, "/debug/vars")
  local config = ok and vars and c:json "/debug/config"
  c:close()
  if not ok or not vars then
    return {failed = ok and msg or "it does not answer"}
  end
  return readings.of(vars, nil, config, target)
end

local function row_of(target, now)
  local command = text.clean(processes.command(target.pid) or "")
  if now.failed then
    return {target.text, "-", "-", "-", "-", command .. " (" .. text.clean(now.failed) .. ")"}
  end
  return {target.text, tostring(#now.shards), text.number(now.total.live),
    text.seconds(now.uptime), text.clean(now.vm or "?"), command}
end

-- The list as lines; `answers` has what each process that lives says of itself.
function M.lines(targets, answers)
  local cells, stale = {}, {}
  for i, target in ipairs(targets) do
    if target.stale then
      stale[#stale + 1] = ("stale  %s: there is no process %s any more"):format(target.unix,
        target.text)
    else
      cells[#cells + 1] = row_of(target, answers[i])
    end
  end
  local lines = cells[1] and text.table(COLUMNS, cells) or {}
  for _, line in ipairs(stale) do
    lines[#lines + 1] = line
  end
  return lines
end

local function clean(targets)
  for _, target in ipairs(targets) do
    if target.stale then
      local ok, msg = os.remove(target.unix)
      if not ok then
        return nil, msg
      end
      io.write("removed ", target.unix, "\n")
    end
  end
  return 0
end

function M.run(args)
  local targets, answers = processes.list(), {}
  if args.clean then
    return clean(targets)
  end
  rl.run(function()
    answers = rl.map(targets, function(target)
      return not target.stale and ask(target) or {}
    end)
  end, client.RUN)
  local lines = M.lines(targets, answers)
  if not lines[1] then
    io.stderr:write("no process was started with RINGLET_ADMIN=1: nothing in ",
      processes.directory(), "\n")
    return 0
  end
  io.write(table.concat(lines, "\n"), "\n")
  return 0
end

return M
