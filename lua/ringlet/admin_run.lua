-- SPDX-License-Identifier: MIT
-- admin_run: the admin endpoint that a run is told to have, by its option `admin` or by the
-- variable RINGLET_ADMIN. What is wrong with it is said on stderr; the run goes on without it.

local core = require "ringlet.core"
local run_stop = require "ringlet.run_stop"
local server = require "ringlet.admin_server"

local M = {}

-- That of the run, once it is there.
local current

-- Where the socket of this process is, in a directory of this user's own; nil, why.
local function own_address()
  local base = os.getenv "XDG_RUNTIME_DIR"
  local dir = base and base ~= "" and base .. "/ringlet"
    or ("/tmp/ringlet-%d"):format(core.user())
  local ok, code = core.net_private_dir(dir, true)
  if not ok then
    return nil, ("%s: %s"):format(dir, (core.errmsg(code)))
  end
  return ("unix:%s/%d.sock"):format(dir, core.pid())
end

local function wanted_of(given, level)
  if type(given) == "string" then
    return server.settings(given, nil, level + 1)
  end
  local opts = type(given) == "table" and given or {}
  if opts.addr then
    return server.settings(opts.addr, opts, level + 1)
  end
  local addr, why = own_address()
  if not addr then
    return nil, why
  end
  return server.settings(addr, opts, level + 1)
end

--- Begin what the option, or the variable, asks for: a task.
function M.begin(given)
  local ok, admin, why = pcall(wanted_of, given, 0)
  if ok and admin then
    admin, why = server.start(admin)
  elseif not ok then
    admin, why = nil, admin
  end
  if not admin then
    io.stderr:write("ringlet: no admin endpoint: ", tostring(why), "\n")
    return
  end
  current = admin
end

function M.current()
  return current
end

run_stop.endings[#run_stop.endings + 1] = function()
  current = nil
end

return M
