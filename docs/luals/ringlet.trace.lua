---@meta ringlet.trace
-- SPDX-License-Identifier: MIT
-- Written by tools/stubs from the comments in these files; edit those.
--   lua/ringlet/trace.lua
--   lua/ringlet/trace_context.lua
--   lua/ringlet/trace_recorder.lua
--   lua/ringlet/trace_sampler.lua
--   lua/ringlet/trace_snapshot.lua
--   lua/ringlet/trace_span.lua

---Keeps some traces and drops the others, from `trace.sampler`.
---@class ringlet.sampler
local sampler = {}

---Is this trace kept?
---
---Does not park.
---@param trace table {trace_id=, failed= whether a span of it had an error, seconds=}
---@return boolean
function sampler:keeps(trace) end

---@class ringlet.sampler_stats
---@field kept integer traces
---@field dropped integer traces

---Counters.
---
---Does not park.
---@return ringlet.sampler_stats # a new table
function sampler:stats() end

---A recording at one moment, from `trace.dump` or `trace.read`.
---@class ringlet.snapshot
---@field shards integer how many there are
---@field pid integer the process
---@field from number time of the first event, as `rl.now` gives it there
---@field to number time of the last event
---@field truncated boolean whether bytes of the file were missing
local snapshot = {}

---The events of a shard, oldest first. Each has a `kind`, a `time` and, where it is of a task, its
---id in `task`; by kind there are more: "run" {runnable= how many more were}, "park" {reason=},
---"yield" {preempted=}, "end", "create" {by= id of a task, site=}, "ready" {by=, cause= "fired",
---"timed out" or "cancelled"}, "job" {from= shard, stolen=}, "submit" {op=, fd=}, "done" {op=, fd=,
---result=}, "sleep" {waits=, ops= in flight}, "wake", "gc" and "gc end" {kib=}, "begin" {span=,
---name=}, "finish" {span=}, "log" {text=}.
---
---Parks between slices of the work, when it is called in a task.
---@async
---@param shard? integer (1)
---@return table[] # a new list
function snapshot:events(shard) end

---What a task is called: its name, else where its function is defined, if that is still known.
---
---Does not park.
---@param shard integer
---@param id integer
---@return string|nil
function snapshot:name(shard, id) end

---Write it into a file, which `trace.read` reads. It takes the place of one that is there.
---
---Parks between slices of the work, when it is called in a task.
---
---Returns true.
---
---Or nil, message, "EACCES", "ENOENT", "ENOSPC" and what else opening and writing a file fails
---with.
---@async
---@param path string
---@return boolean|nil
---@return string|nil
---@return string|nil
---@overload fun(self: ringlet.snapshot, path: string): nil, string, string
function snapshot:save(path) end

---@class ringlet.snapshot.chrome.opts
---@field parked? boolean also a track for the waits of each task (false)

---It as Chrome trace events: JSON, which https://ui.perfetto.dev and chrome://tracing open.
---
---Parks between slices of the work, when it is called in a task.
---
---Source: Trace Event Format (Google, 2016); async events are the nestable ones.
---@async
---@param opts? ringlet.snapshot.chrome.opts
---@return string
function snapshot:chrome(opts) end

---The same into a file, piece by piece.
---
---Parks between slices of the work, when it is called in a task.
---@async
---@param path string
---@param opts? table as of `chrome`
---@return boolean|nil # true
---@return string|nil # message
---@return string|nil # "EIO" and what else opening and writing a file fails with
---@overload fun(self: ringlet.snapshot, path: string, opts?: table): nil, string, string
function snapshot:write_chrome(path, opts) end

---Something that a task does, from `trace.begin`.
---@class ringlet.span
---@field trace_id string 32 hexadecimal digits, "" when nothing is exported
---@field span_id string 16 hexadecimal digits, "" when nothing is exported
---@field parent_id string|nil the same, of the span it is within
---@field name string
---@field kind string "internal", "server", "client", "producer" or "consumer"
---@field start string|nil nanoseconds since the epoch, as digits
---@field finish_time string|nil likewise, of its end
---@field attributes table name -> string, number or boolean
---@field events table a list of {name=, time= as `start`, attributes=}
---@field status string "unset", "ok" or "error"
---@field message string|nil with "error"
local span = {}

---End the span. Only the first time counts.
---
---Does not park.
---@return ringlet.span # itself
function span:finish() end

---Set an attribute.
---
---Does not park.
---@param name string
---@param value string|number|boolean
---@return ringlet.span # itself
function span:set(name, value) end

---Note that something has happened within it.
---
---Does not park.
---@param name string
---@param attributes? table
---@return ringlet.span # itself
function span:event(name, attributes) end

---It has failed: its status is "error", and so its trace is kept.
---
---Does not park.
---@param err? any what it failed with
---@return ringlet.span # itself
function span:fail(err) end

---What hands the trace on to another process, for header fields of one's own.
---
---Does not park.
---
---Source: W3C Trace Context, level 1 (2021).
---@return string|nil # traceparent, nil when nothing is exported
---@return string|nil # tracestate
function span:context() end

---Traces: a flight recorder of what every shard does, and spans of what requests go through.
---
---    local rl, trace = require "ringlet", require "ringlet.trace"
---    rl.run(function()
---      trace.start{seconds = 10}
---      -- ...
---      local snap = rl.check(trace.dump())
---      rl.check(snap:write_chrome "trace.json") -- for https://ui.perfetto.dev
---    end)
---
---Nothing of it is loaded, and nothing recorded, unless asked. What fails returns
---`nil, "ENAME: message", "ENAME"`. Times are seconds.
---@class ringlet.trace
local M = {}

---What two header fields say of the trace that a request belongs to.
---
---Does not park.
---
---Source: W3C Trace Context, level 1 (2021), sections 3.2 and 3.3.
---
---Returns {trace_id=, span_id=, sampled= boolean, state= string or nil}; nil when traceparent is
---missing or wrong.
---@param traceparent? string several fields of this name, joined by ",", are none
---@param tracestate? string several are joined by ","
---@return table|nil
function M.parse_context(traceparent, tracestate) end

---The header fields that hand a trace on.
---
---Does not park.
---
---Source: W3C Trace Context, level 1 (2021).
---@param context table as `parse` gives it
---@return string # traceparent
---@return string|nil # tracestate, nil when there is none
function M.format_context(context) end

---@class ringlet.trace.start.opts
---@field seconds? number what `dump` gives, unless it is told otherwise (10)
---@field size? integer bytes of records for each shard; a record has 16 (4194304)
---where the memory is mapped to; a file that is there is renamed to the same with ".old"
---@field file? string

---Record from now on, on every shard, until `stop` or the end of the run. Outside of a run: from
---the beginning of the next one. A recording that is under way ends.
---
---Each shard has a ring of fixed size, and overwrites what is oldest. Nothing is written to disk
---but by the kernel, when it likes, if there is a file; the file has it all even if the process is
---killed.
---
---Does not park.
---
---Source: Go: runtime/trace.FlightRecorder; JDK Flight Recorder (JEP 328).
---
---Returns true.
---
---Or nil, message, "EACCES", "ENOENT", "ENOSPC" and what else opening a file fails with; "ENOMEM".
---
---```lua
---trace.start{seconds = 10, file = "/var/tmp/app.trace"}
---```
---@param opts? ringlet.trace.start.opts
---@return boolean|nil
---@return string|nil
---@return string|nil
---@overload fun(opts?: ringlet.trace.start.opts): nil, string, string
function M.start(opts) end

---Record no more. What was recorded can be dumped until the next `start`. Idempotent.
---
---Does not park.
---@return boolean # true
function M.stop() end

---Is something being recorded on this shard?
---
---Does not park.
---@return boolean
function M.active() end

---What every shard has recorded lately. No shard is stopped or asked, so one that is stuck is
---there as well; the records of different shards end at slightly different times.
---
---Parks between slices of the work, when it is called in a task.
---@async
---@param seconds? number only the last so many; by default those of `start`
---@return ringlet.snapshot|nil
---@return string|nil # message
---@return string|nil # "ECLOSED" when nothing was recorded
---@overload fun(seconds?: number): nil, string, string
function M.dump(seconds) end

---What a file has: that of a recording, also of a process that was killed, or one that
---`snapshot:save` wrote. The file is read at once: this is for tools, not for a server under load.
---
---Parks between slices of the work, when it is called in a task.
---@async
---@param path string
---@param seconds? number only the last so many
---@return ringlet.snapshot|nil
---@return string|nil # message
---@return string|nil # "ENOENT" and the like; "EPROTO" when it is no recording
---@overload fun(path: string, seconds?: number): nil, string, string
function M.read(path, seconds) end

---Say something, into the recording: it is an event of the running task.
---
---Does not park.
---@param message string cut after 252 bytes
function M.log(message) end

---@class ringlet.trace.sampler.opts
---@field healthy? number the share that is kept of traces without an error (0.001)
---of those with one: a span whose status is "error", which that of a request answered with 5xx is
---(1)
---@field errors? number
---@field slow? number seconds: a trace that took as long is kept

---A sampler, for `trace.export`.
---
---Does not park.
---
---Source: OpenTelemetry: tail sampling; consistent probability sampling (OTEP 235).
---@param opts? ringlet.trace.sampler.opts
---@return ringlet.sampler
function M.sampler(opts) end

---The span that the running task is in.
---
---Does not park.
---@return ringlet.span|nil
function M.current() end

---@class ringlet.trace.begin.opts
---@field kind? string "internal", "server", "client", "producer" or "consumer" ("internal")
---@field parent? table|boolean a span, or a context of another process; false: none

---Begin a span: it ends with `span:finish`. It is within the span that the task is in, and until
---it ends the task, and each that it starts, is in it.
---
---Does not park.
---
---Source: OpenTelemetry specification: Tracing API.
---@param name string what is done, in few different words: "load user", not "load user 17"
---@param attributes? table name -> string, number or boolean
---@param opts? ringlet.trace.begin.opts
---@return ringlet.span
function M.begin(name, attributes, opts) end

---Call a function within a span, which ends with it. An error is the span's status, and goes on.
---
---Parks where fn does.
---
---Raises what fn raises, unchanged.
---@async
---@param name string
---@param fn fun(...: any): any
---@param ... any its arguments
---@return any ... its results
function M.span(name, fn, ...) end

---@class ringlet.trace.export.opts
---from `trace.sampler`; by default one that keeps all traces with an error, and 0.1 % of the others
---@field sampler? table

---Say where spans go that have ended: those of the traces that the sampler keeps, when the
---outermost span here has ended. On this shard.
---
---Does not park.
---
---Source: OpenTelemetry specification: Tracing SDK, SpanProcessor.
---@param fn? fun(span: ringlet.span) called for each, and must not park; nil: nowhere
---@param opts? ringlet.trace.export.opts
function M.export(fn, opts) end

---@class ringlet.trace_stats
---@field begun integer spans
---@field finished integer spans
---@field exported integer spans that the exporter was given
---@field dropped integer spans that the sampler did not keep, or beyond 1,000 of one outermost span
---@field failed integer calls of the exporter that raised

---Counters of spans, on this shard.
---
---Does not park.
---@return ringlet.trace_stats # a new table
function M.stats() end

return M
