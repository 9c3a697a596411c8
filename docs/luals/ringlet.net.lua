---@meta ringlet.net
-- SPDX-License-Identifier: MIT
-- Written by tools/stubs from lua/ringlet/net_server.lua; edit that.

---A running server, from `net.serve`.
---@class ringlet.server
local server = {}

---The address it listens on, with the real port: "127.0.0.1:8080".
function server:addr() end

---Stop accepting, wait for the connections, then cancel what is left. Connections of an `on_data`
---server are closed as soon as all they sent is handled, idle ones at once; a handler that is a
---function decides itself. Parks until the server has ended; idempotent. When the run is stopped,
---its servers are, with the run's grace; when it is ended, every `on_close` is still called.
---@param grace? number seconds to wait (10)
---@return boolean # true
function server:stop(grace) end

---Wait until the server has ended. Parks.
---@param timeout? number seconds
---@return boolean # true; or nil, a message and "ETIMEDOUT"
function server:join(timeout) end

---Counters: `accepted`, `live` connections, `waiting` (accepted beyond the limit), `errors` of
---handlers, `shortages` (accepting had to pause for lack of descriptors or memory).
---@return table
function server:stats() end

---@class ringlet.net
local M = {}

---What net.serve was given, as a table; raises at `level`.
---@param handler any
---@param level any
function M.handlers(handler, level) end

---Start serving a listener.
---@param listener any
---@param handlers any
---@param opts any
function M.start(listener, handlers, opts) end

return M
