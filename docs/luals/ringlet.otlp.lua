---@meta ringlet.otlp
-- SPDX-License-Identifier: MIT
-- Written by tools/stubs from the comments in these files; edit those.
--   lua/ringlet/otlp.lua

---Sends to a collector, from `otlp.exporter`.
---@class ringlet.otlp_exporter
local otlp_exporter = {}

---Send a span that has ended. It does not park: it waits in the queue.
---
---Does not park.
---@param span table as `ringlet.trace` gives it to an exporter
---@return boolean # false: the queue is full, and it is dropped
function otlp_exporter:span(span) end

---Take the metrics now, and wait until all has been sent.
---
---Parks.
---
---Raises outside of a task.
---@async
---@param t? number seconds
---@return true|nil
---@return string|nil # message
---@return string|nil # "ETIMEDOUT"; "ECLOSED" when the exporter is
---@overload fun(self: ringlet.otlp_exporter, t?: number): nil, string, string
function otlp_exporter:flush(t) end

---Send what there is, and end. It may be called any number of times.
---
---Parks.
---@async
---@param t? number seconds; what has not been sent then is dropped (5)
---@return true|nil
---@return string|nil # message
---@return string|nil # "ETIMEDOUT"
---@overload fun(self: ringlet.otlp_exporter, t?: number): nil, string, string
function otlp_exporter:close(t) end

---@class ringlet.otlp_stats
---@field waiting integer data points and spans
---@field sent integer data points and spans that the collector has
---@field dropped integer because the queue was full, or at the end
---@field rejected integer by the collector for good
---@field requests integer
---@field retries integer requests that had to be sent again
---@field last_error string|nil of a request

---Counters.
---
---Does not park.
---@return ringlet.otlp_stats # a new table
function otlp_exporter:stats() end

---Sending metrics and spans to an OpenTelemetry collector. `local otlp = require "ringlet.otlp"`.
---@class ringlet.otlp
local M = {}

---@class ringlet.otlp.exporter.opts
---@field url string "http://127.0.0.1:4318": `/v1/metrics` and `/v1/traces` are added
---@field headers? table of the requests
---seconds between two readings of the metrics, and until spans are sent that are fewer than a batch
---(10)
---@field interval? number
---@field batch? integer data points or spans in one request, at most 1,000 (1000)
---@field queue? integer data points and spans that may wait (100000)
---@field timeout? number seconds for one request (10)
---seconds: how long the pauses get, which begin with 10 ms and double (5)
---@field max_backoff? number
---@field resource? table attributes of the process, such as `["service.name"]`
---@field metrics? boolean false: only spans (true)

---What sends metrics and spans to a collector of OpenTelemetry: OTLP/HTTP, in JSON. It sends by a
---daemon: `run` does not wait for what has not been sent, `close` does.
---
---Does not park.
---
---Raises options that make no sense.
---
---Source: OpenTelemetry protocol specification 1.0, OTLP/HTTP.
---
---```lua
---local exporter = otlp.exporter {url = "http://127.0.0.1:4318"}
---trace.export(function(span) exporter:span(span) end)
---```
---@param opts ringlet.otlp.exporter.opts
---@return ringlet.otlp_exporter
function M.exporter(opts) end

return M
