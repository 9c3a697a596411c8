-- SPDX-License-Identifier: MIT
-- cli_profile: `ringlet profile`: where another process spends its time, or allocates.

local client = require "ringlet.cli_client"
local core = require "ringlet.core"

local M = {
  name = "profile", summary = "where time goes, or memory comes from",
  positional = "[TARGET]", most = 1, about = [[
Takes a profile of a process. Without a file it is printed as a table. The name of a file says as
what it is written: .pb (for `go tool pprof`), .svg (a flame graph), .folded (collapsed stacks),
anything else a table.]],
  options = client.options {
    {name = "cpu", kind = "flag", help = "where CPU time is spent (so by default)"},
    {name = "offcpu", kind = "flag", help = "where tasks wait, by time"},
    {name = "alloc", kind = "flag", help = "where memory is allocated"},
    {name = "seconds", short = "s", kind = "number", value = "N", help = "how long (10)"},
    {name = "format", kind = "string", value = "FORMAT", help = "pprof, folded, svg or text"},
    {name = "output", short = "o", kind = "string", value = "FILE", help = "where to"},
  },
}

local FORMATS = {pprof = "pprof", folded = "folded", svg = "svg", text = "text"}
local ENDINGS = {pb = "pprof", pprof = "pprof", svg = "svg", folded = "folded"}

-- "cpu", "offcpu" or "alloc"; nil and a message.
local function type_of(args)
  local found
  for _, name in ipairs {"cpu", "offcpu", "alloc"} do
    if args[name] and found then
      return nil, ("--%s and --%s: one at a time"):format(found, name)
    end
    found = args[name] and name or found
  end
  return found or "cpu"
end

-- What is asked for; nil and a message.
function M.query(args)
  local kind, msg = type_of(args)
  if not kind then
    return nil, msg
  end
  local format = args.format or ENDINGS[(args.output or ""):match "%.(%w+)$" or ""] or "text"
  if not FORMATS[format] then
    return nil, ("--format: pprof, folded, svg or text, not '%s'"):format(format)
  end
  return {type = kind, seconds = args.seconds or 10, format = format}
end

function M.run(args)
  local query, why = M.query(args)
  if not query then
    return 2, why
  elseif query.format == "pprof" and not args.output and core.terminal_size(1) then
    return 2, "pprof is nothing to read in a terminal: give a file with -o"
  end
  return client.show(args, "/debug/profile", query, 2 * query.seconds)
end

return M
