-- SPDX-License-Identifier: MIT
-- trace_span: spans: what a task says it is doing, for how long, and within what.
--
-- A span is written into the recording of its shard, if there is one, and kept for the exporter, if
-- there is one; with neither it is an object that does nothing.
--
-- The span a task is in is a field of its handle, and a task that is started in a span inherits it:
-- that is looked at only from the first span of a run on. The spans that began within one outermost
-- span here - it has no parent, or one in another process - are its `tale`; they are kept back
-- until that has ended, and then all go to the exporter or none does. One that ends later follows.
--
-- Invariants: a span ends once; `outer` is what its task was in before it. A tale holds at most
-- SPANS_MAX spans; further ones are counted and forgotten.

--- Spans.
-- @module ringlet.trace
-- @section Spans

local context = require "ringlet.trace_context"
local core = require "ringlet.core"
local options = require "ringlet.options"
local run_stop = require "ringlet.run_stop"
local sampler = require "ringlet.trace_sampler"
local task = require "ringlet.task"

local now, current = core.now, core.current
local _, handles = core.tables()

local M = {}

local SPANS_MAX, EVENTS_MAX, ATTRIBUTES_MAX = 1000, 128, 128
local KINDS = {"internal", "server", "client", "producer", "consumer"}

local exporter, keeper, inheriting
local wall_s, wall_part, wall_at -- the wall clock in seconds, when `now` was wall_at
local counts = {begun = 0, finished = 0, exported = 0, dropped = 0, failed = 0}

--- Something that a task does, from `trace.begin`.
-- @type span
-- @tfield string trace_id 32 hexadecimal digits, "" when nothing is exported
-- @tfield string span_id 16 hexadecimal digits, "" when nothing is exported
-- @tfield ?string parent_id the same, of the span it is within
-- @tfield string name
-- @tfield string kind "internal", "server", "client", "producer" or "consumer"
-- @tfield ?string start nanoseconds since the epoch, as digits
-- @tfield ?string finish_time likewise, of its end
-- @tfield table attributes name -> string, number or boolean
-- @tfield table events a list of {name=, time= as `start`, attributes=}
-- @tfield string status "unset", "ok" or "error"
-- @tfield ?string message with "error"
local Span = {
  __name = "ringlet.span", trace_id = "", span_id = "", kind = "internal", status = "unset",
  number = false, done = false, tale = false,
}
Span.__index = Span
M.Span = Span

-- ---- time ---------------------------------------------------------------------------------------

-- One look at the wall clock a run: spans keep their order when it is set.
local function nanoseconds(at)
  if not wall_at then
    local wall = core.time()
    wall_at, wall_s = now(), math.floor(wall)
    wall_part = wall - wall_s
  end
  local t = wall_part + at - wall_at
  local s = math.floor(t)
  return ("%.0f%09.0f"):format(wall_s + s, math.min(math.floor((t - s) * 1e9), 999999999))
end

run_stop.endings[#run_stop.endings + 1] = function()
  wall_at = nil
end

-- ---- who is in which ----------------------------------------------------------------------------

local function handle_here()
  local slot, id = current()
  local h = slot and handles[slot]
  return h and h[2] == id and h or nil
end

--- The span that the running task is in.
-- @treturn ?span
function M.current()
  local h = handle_here()
  return h and rawget(h, "span") or nil
end

local function inherit(h)
  local span = M.current()
  if span then
    h.span = span
    task.anchor(h)
  end
end

local function enter(span)
  if not core.inside() then
    return
  end
  local h = task.own()
  span.owner, span.outer = h, rawget(h, "span")
  h.span = span
  if not inheriting then
    inheriting = true
    task.tell(inherit, true)
  end
end

-- Back to what the task was in before; what has ended meanwhile is passed over.
local function leave(span)
  local h, outer = span.owner, span.outer
  if not h or rawget(h, "span") ~= span then
    return
  end
  while outer and outer.done and outer.owner == h do
    outer = outer.outer
  end
  h.span = outer
end

-- ---- tales --------------------------------------------------------------------------------------

local function hand_over(span)
  local ok, err = pcall(exporter, span)
  counts.exported = counts.exported + 1
  if not ok then
    counts.failed = counts.failed + 1
    task.report(err, "in the exporter of spans", task.self())
  end
end

local function settle(tale, root)
  local fn = keeper
  local trace = {trace_id = root.trace_id, failed = tale.failed, seconds = root.ended - root.began,
    root = root}
  tale.kept = fn:keeps(trace)
  local list = tale.list
  tale.list = false
  for i = 1, #list do
    if tale.kept and exporter then
      hand_over(list[i])
    else
      counts.dropped = counts.dropped + 1
    end
  end
end

-- The span has ended.
local function collect(span)
  local tale = span.tale
  tale.failed = tale.failed or span.status == "error"
  if not tale.list then -- the outermost has ended
    if tale.kept and exporter then
      hand_over(span)
    else
      counts.dropped = counts.dropped + 1
    end
    return
  end
  if #tale.list < SPANS_MAX or tale.root == span then
    tale.list[#tale.list + 1] = span
  else
    counts.dropped = counts.dropped + 1
  end
  if tale.root == span then
    settle(tale, span)
  end
end

-- Its ids and its place in a tale. `parent`: a span, a context, or nil.
local function identify(span, parent)
  local is_local = parent and parent.tale
  span.trace_id = parent and parent.trace_id ~= "" and parent.trace_id or context.trace_id()
  span.span_id = context.span_id()
  span.parent_id = parent and parent.span_id ~= "" and parent.span_id or nil
  span.state = parent and parent.state
  span.tale = is_local or {list = {}, failed = false, root = span}
end

-- ---- spans --------------------------------------------------------------------------------------

local IDLE = setmetatable({done = true, attributes = {}, events = {}, name = ""}, Span)

local function copy(attributes)
  local copied, n = {}, 0
  for k, v in pairs(attributes or {}) do
    n = n + 1
    if n <= ATTRIBUTES_MAX then
      copied[k] = v
    end
  end
  return copied
end

local KNOWN = {kind = "string", parent = "table|boolean"}

-- Begin a span; `level` is that of the user. Nothing happens when nobody would hear of it.
local function begin(name, attributes, opts, level)
  if type(name) ~= "string" then
    error("the name of a span must be a string, not a " .. type(name), level)
  elseif attributes ~= nil and type(attributes) ~= "table" then
    error("attributes must be a table, not a " .. type(attributes), level)
  end
  local number = core.trace_begin(name)
  if not number and not exporter then
    return IDLE
  end
  counts.begun = counts.begun + 1
  local span = setmetatable({name = name, number = number, began = now(), events = {},
    attributes = copy(attributes), kind = opts and opts.kind}, Span)
  local _, id = current()
  span.task = id or 0
  if exporter then
    local parent = opts and opts.parent
    if parent == nil then
      parent = M.current()
    end
    identify(span, parent or nil)
    span.start = nanoseconds(span.began)
  end
  enter(span)
  return span
end

--- Begin a span: it ends with `span:finish`. It is within the span that the task is in, and until
-- it ends the task, and each that it starts, is in it.
-- @tparam string name what is done, in few different words: "load user", not "load user 17"
-- @tparam[opt] table attributes name -> string, number or boolean
-- @tparam[opt] table opts
-- @tparam[opt="internal"] string opts.kind "internal", "server", "client", "producer" or "consumer"
-- @tparam[opt] table|boolean opts.parent a span, or a context of another process; false: none
-- @treturn span
-- @source OpenTelemetry specification: Tracing API
function M.begin(name, attributes, opts)
  options.check(opts, KNOWN)
  if opts then
    options.bounds(opts, {kind = KINDS})
  end
  return begin(name, attributes, opts, 3)
end

local function ended(span, ok, ...)
  if not ok then
    span:fail(...)
  end
  span:finish()
  if not ok then
    error((...), 0)
  end
  return ...
end

--- Call a function within a span, which ends with it. An error is the span's status, and goes on.
-- @parks where fn does
-- @tparam string name
-- @tparam fun(...:any):any fn
-- @param ... its arguments
-- @return ... its results
-- @raise what fn raises, unchanged
function M.span(name, fn, ...)
  options.callable(fn)
  return ended(begin(name, nil, nil, 3), pcall(fn, ...))
end

--- End the span. Only the first time counts.
-- @treturn span itself
function Span:finish()
  if self.done then
    return self
  end
  self.done = true
  counts.finished = counts.finished + 1
  self.ended = now()
  if self.number then
    core.trace_finish(self.number, self.task)
  end
  leave(self)
  if self.tale then
    self.finish_time = nanoseconds(self.ended)
    collect(self)
  end
  return self
end

--- Set an attribute.
-- @tparam string name
-- @tparam string|number|boolean value
-- @treturn span itself
function Span:set(name, value)
  if not self.done then
    self.attributes[name] = value
  end
  return self
end

--- Note that something has happened within it.
-- @tparam string name
-- @tparam[opt] table attributes
-- @treturn span itself
function Span:event(name, attributes)
  if not self.done and #self.events < EVENTS_MAX then
    self.events[#self.events + 1] = {name = name, attributes = copy(attributes),
      time = self.start and nanoseconds(now()) or nil}
  end
  return self
end

--- It has failed: its status is "error", and so its trace is kept.
-- @tparam[opt] any err what it failed with
-- @treturn span itself
function Span:fail(err)
  if not self.done then
    self.status, self.message = "error", err ~= nil and tostring(err) or nil
  end
  return self
end

--- What hands the trace on to another process, for header fields of one's own.
-- @treturn ?string traceparent, nil when nothing is exported
-- @treturn ?string tracestate
-- @source W3C Trace Context, level 1 (2021)
function Span:context()
  if self.trace_id == "" then
    return nil
  end
  return context.format{trace_id = self.trace_id, span_id = self.span_id, sampled = true,
    state = self.state}
end

function Span:__tostring()
  return ("ringlet.span: %s (%s)"):format(self.name, self.done and "ended" or "open")
end

-- ---- exporting ----------------------------------------------------------------------------------

local EXPORT = {sampler = "table"}

--- Say where spans go that have ended: those of the traces that the sampler keeps, when the
-- outermost span here has ended. On this shard.
-- @tparam ?fun(span:span) fn called for each, and must not park; nil: nowhere
-- @tparam[opt] table opts
-- @tparam[opt] table opts.sampler from `trace.sampler`; by default one that keeps all traces with
-- an error, and 0.1 % of the others
-- @source OpenTelemetry specification: Tracing SDK, SpanProcessor
function M.export(fn, opts)
  opts = options.check(opts, EXPORT)
  if fn ~= nil then
    options.callable(fn)
  end
  exporter, keeper = fn, opts.sampler or sampler.new()
end

--- Does somebody want the spans?
-- @local
function M.exporting()
  return exporter ~= nil
end

--- Counters of spans, on this shard.
-- @treturn trace_stats a new table
-- @tfield[trace_stats] integer begun spans
-- @tfield[trace_stats] integer finished spans
-- @tfield[trace_stats] integer exported spans that the exporter was given
-- @tfield[trace_stats] integer dropped spans that the sampler did not keep, or beyond 1,000 of one
-- outermost span
-- @tfield[trace_stats] integer failed calls of the exporter that raised
function M.stats()
  local stats = {}
  for name, n in pairs(counts) do
    stats[name] = n
  end
  return stats
end

return M
