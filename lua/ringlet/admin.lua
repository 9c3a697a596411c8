-- SPDX-License-Identifier: MIT
-- admin: the endpoint through which a process is looked into, and its live page.
--
-- admin_server serves, admin_guard decides who may ask, admin_routes what is answered; admin_run is
-- what `run` begins. Nothing is computed while nobody asks.

--- An endpoint to look into a running process, and a live page.
--
--     local rl, admin = require "ringlet", require "ringlet.admin"
--     rl.run(function()
--       local server = rl.check(admin.serve "127.0.0.1:9000")
--       serve()      -- meanwhile http://127.0.0.1:9000/ shows what happens
--     end)
--
-- Paths: `/` the page; `/metrics`; `/healthz` and `/readyz`; `/debug/tasks`, `/debug/leaks`,
-- `/debug/profile`, `/debug/trace`, `/debug/vars` and `/debug/config`. The guide "Admin endpoint"
-- has what they take and give.
-- @module ringlet.admin

require "ringlet.vm"
local admin_run = require "ringlet.admin_run"
local server = require "ringlet.admin_server"

local M = {}

--- Serve the endpoint: HTTP, on this shard, for all of them. It does not keep run alive, and ends
-- with it. While it is there, a deadlock of all tasks is not reported: it is there to be looked at.
--
-- It says what the program does, so not everybody should see it. An address that is not this host's
-- alone is refused unless `public` is set; on loopback the field Host must name this host. Every
-- user of this host can reach a loopback address: a Unix socket can be reached by its owner alone.
-- @parks as `net.serve`
-- @tparam string|table addr "127.0.0.1:9000", "unix:/path"; or the options, with `addr` among them
-- @tparam[opt] table opts
-- @tparam[opt=false] boolean opts.public the address may be any
-- @tparam[opt] string opts.token 8 characters or more, which requests must have: as
-- "Authorization: Bearer ...", or "?token=..." behind the address. That of the page becomes a
-- cookie. `/healthz` and `/readyz` need none
-- @tparam[opt] {string,...} opts.hosts further names of this host, without a port, that requests
-- may call it by; of a public address, all of them
-- @tparam[opt=false] boolean opts.actions what changes something is allowed: tasks can be cancelled
-- and leaked ones reclaimed
-- @treturn admin_server
-- @fails "EADDRINUSE", "EACCES" and so on; "EACCES" also when others may write to the directory of
-- a Unix socket
-- @raise on an option it does not know; outside of `run`
-- @source RFC 6750; W3C Fetch Metadata; W3C Content Security Policy 3
function M.serve(addr, opts)
  local wanted = server.settings(addr, opts, 2)
  local admin, msg, code = server.start(wanted)
  return admin, msg, code
end

--- The endpoint that `run` was told to have, by its option `admin` or by RINGLET_ADMIN.
-- @treturn ?admin_server nil if there is none, or not yet
function M.current()
  return admin_run.current()
end

return M
