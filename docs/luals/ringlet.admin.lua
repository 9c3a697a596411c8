---@meta ringlet.admin
-- SPDX-License-Identifier: MIT
-- Written by tools/stubs from the comments in these files; edit those.
--   lua/ringlet/admin.lua
--   lua/ringlet/admin_server.lua

---A running endpoint, from `admin.serve`.
---@class ringlet.admin_server
local admin_server = {}

---The address it listens on, with the real port.
---
---Does not park.
---@return string # "host:port" or "unix:/path"
function admin_server:addr() end

---Where the page is. With a token, that is in it: for the eyes of who may look.
---
---Does not park.
---@return string|nil # nil for a Unix socket
function admin_server:url() end

---Stop. Requests that are being answered have a moment to end. Idempotent.
---
---Parks until it has ended.
---@async
---@param grace? number seconds for them (0)
---@return true
function admin_server:stop(grace) end

---@class ringlet.admin_server_stats
---@field requests integer that came
---@field refused integer of them: by the guard, or because they made no sense
---@field live integer connections

---What was asked.
---
---Does not park.
---@return ringlet.admin_server_stats # a new table
function admin_server:stats() end

---An endpoint to look into a running process, and a live page.
---
---    local rl, admin = require "ringlet", require "ringlet.admin"
---    rl.run(function()
---      local server = rl.check(admin.serve "127.0.0.1:9000")
---      serve()      -- meanwhile http://127.0.0.1:9000/ shows what happens
---    end)
---
---Paths: `/` the page; `/metrics`; `/healthz` and `/readyz`; `/debug/tasks`, `/debug/leaks`,
---`/debug/profile`, `/debug/trace`, `/debug/vars` and `/debug/config`. The guide "Admin endpoint"
---has what they take and give.
---@class ringlet.admin
local M = {}

---@class ringlet.admin.serve.opts
---@field public? boolean the address may be any (false)
---8 characters or more, which requests must have: as "Authorization: Bearer ...", or "?token=..."
---behind the address. That of the page becomes a cookie. `/healthz` and `/readyz` need none
---@field token? string
---further names of this host, without a port, that requests may call it by; of a public address,
---all of them
---@field hosts? string[]
---what changes something is allowed: tasks can be cancelled and leaked ones reclaimed (false)
---@field actions? boolean

---Serve the endpoint: HTTP, on this shard, for all of them. It does not keep run alive, and ends
---with it. While it is there, a deadlock of all tasks is not reported: it is there to be looked at.
---
---It says what the program does, so not everybody should see it. An address that is not this host's
---alone is refused unless `public` is set; on loopback the field Host must name this host. Every
---user of this host can reach a loopback address: a Unix socket can be reached by its owner alone.
---
---Parks as `net.serve`.
---
---Raises on an option it does not know; outside of `run`.
---
---Source: RFC 6750; W3C Fetch Metadata; W3C Content Security Policy 3.
---
---Returns admin_server.
---
---Or nil, message, "EADDRINUSE", "EACCES" and so on; "EACCES" also when others may write to the
---directory of a Unix socket.
---@async
---@param addr string|table "127.0.0.1:9000", "unix:/path"; or the options, with `addr` among them
---@param opts? ringlet.admin.serve.opts
---@return ringlet.admin_server|nil
---@return string|nil
---@return string|nil
---@overload fun(addr: string|table, opts?: ringlet.admin.serve.opts): nil, string, string
function M.serve(addr, opts) end

---The endpoint that `run` was told to have, by its option `admin` or by RINGLET_ADMIN.
---
---Does not park.
---@return ringlet.admin_server|nil # nil if there is none, or not yet
function M.current() end

return M
