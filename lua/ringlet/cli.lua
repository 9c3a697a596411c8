-- SPDX-License-Identifier: MIT
-- cli: the command `ringlet`: which commands there are, help, and how what goes wrong is told. Each
-- command is a module: {name=, summary=, positional=, most=, options=, about=, run= fn(args) ->
-- status}.
--
-- Statuses: 0 done, 1 failed, 2 not understood, 130 ended by Ctrl-C. What goes wrong is told on
-- stderr, in one line.

local options = require "ringlet.cli_options"

local M = {}

M.COMMANDS = {"top", "ps", "dump", "leaks", "trace", "profile", "metrics", "doctor"}

local FAILED, USAGE, INTERRUPTED = 1, 2, 130

local function load_command(name)
  for _, known in ipairs(M.COMMANDS) do
    if name == known then
      return require("ringlet.cli_" .. name)
    end
  end
end

local TARGET = [[
TARGET is a process id, the path of a socket, or host:port of an admin endpoint. It can be left out
when there is only one process to talk to: `ringlet ps` lists them. A process can be talked to if it
was started with RINGLET_ADMIN=1 or called admin.serve.]]

-- The help of all.
function M.overview()
  local lines = {"Usage: ringlet COMMAND [TARGET] [OPTIONS]", ""}
  for _, name in ipairs(M.COMMANDS) do
    lines[#lines + 1] = ("  %-9s %s"):format(name, load_command(name).summary)
  end
  lines[#lines + 1] = "  help      about a command: ringlet help COMMAND"
  lines[#lines + 1] = "  version   of ringlet and of the interpreter"
  lines[#lines + 1] = ""
  lines[#lines + 1] = TARGET
  return table.concat(lines, "\n") .. "\n"
end

-- The help of one command.
function M.help(command)
  local usage = "Usage: ringlet " .. command.name
    .. (command.positional ~= "" and " " .. command.positional or "")
    .. (command.options[1] and " [OPTIONS]" or "")
  local parts = {usage, "", command.about}
  if command.options[1] then
    parts[#parts + 1] = "\nOptions:\n" .. options.help(command.options)
  end
  if command.positional:find "TARGET" then
    parts[#parts + 1] = "\n" .. TARGET
  end
  return table.concat(parts, "\n") .. "\n"
end

local function complain(text)
  io.stderr:write("ringlet: ", text, "\n")
end

local function unknown(name)
  complain(("there is no command '%s': see `ringlet help`"):format(name))
  return USAGE
end

local function help(name)
  if not name then
    io.write(M.overview())
    return 0
  end
  local command = load_command(name)
  if not command then
    return unknown(name)
  end
  io.write(M.help(command))
  return 0
end

local function version()
  local jit = rawget(_G, "jit")
  io.write(require("ringlet")._VERSION, ", ", jit and jit.version or _VERSION, "\n")
  return 0
end

local HELP = {help = true, ["--help"] = true, ["-h"] = true}
local VERSION = {version = true, ["--version"] = true, ["-v"] = true}

local function wants_help(argv)
  for i = 2, #argv do
    if argv[i] == "--" then
      return false
    elseif argv[i] == "--help" or argv[i] == "-h" then
      return true
    end
  end
  return false
end

local function run(command, argv)
  local args, msg = options.parse(argv, 2, command.options, command.most)
  if not args then
    complain(("%s; see `ringlet help %s`"):format(msg, command.name))
    return USAGE
  end
  local ok, status, why = pcall(command.run, args)
  if not ok then
    status, why = nil, status
  end
  if why == "interrupted!" then
    return INTERRUPTED
  elseif not status or why then
    complain(tostring(why))
    return status or FAILED
  end
  return status
end

-- Run the command that the arguments name; the status. A command gives a status, or nil and what
-- went wrong, or USAGE and what was not understood.
function M.main(argv)
  local name = argv[1]
  if not name then
    io.stderr:write(M.overview())
    return USAGE
  elseif HELP[name] then
    return help(argv[2])
  elseif VERSION[name] then
    return version()
  end
  local command = load_command(name)
  if not command then
    return unknown(name)
  elseif wants_help(argv) then
    return help(name)
  end
  return run(command, argv)
end

M.USAGE = USAGE

return M
