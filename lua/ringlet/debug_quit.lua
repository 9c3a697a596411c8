-- SPDX-License-Identifier: MIT
-- debug_quit: a dump when SIGQUIT comes. The loop of the first shard hears of it and starts a
-- daemon that writes.

local core = require "ringlet.core"
local dump = require "ringlet.debug_dump"
local run_stop = require "ringlet.run_stop"
local task = require "ringlet.task"

local M = {}

-- What is to be written, and to whom; nil: nothing.
local wanted
local writing = false

local function write()
  local ok, err = pcall(dump.write, wanted, true)
  writing = false
  if not ok then
    error(err, 0)
  end
end

local function heard()
  if not writing and wanted then
    writing = true
    task.daemon(write)
  end
end

local function listen()
  local run = run_stop.active
  if wanted and run and not run.sim then
    core.on_quit(heard)
  end
end

-- Listen from now on, in every run.
function M.start(opts)
  wanted = opts
  opts.to = opts.to or io.stderr
  listen()
end

-- SIGQUIT is as it was.
function M.stop()
  wanted = nil
  core.on_quit(nil)
end

run_stop.beginnings[#run_stop.beginnings + 1] = listen
run_stop.endings[#run_stop.endings + 1] = function()
  core.on_quit(nil)
  writing = false
end

return M
