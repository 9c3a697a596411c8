-- SPDX-License-Identifier: MIT
-- otlp: sends metrics and spans to a collector: OTLP/HTTP in JSON.
--
-- Metrics are taken at each interval, spans come when they have ended; both wait in a queue, in
-- their order, and a daemon sends them, so many in a request. What the collector cannot take now is
-- sent again, after 10 ms and then after twice as long each time, or when the collector says: the
-- queue waits behind it, and nothing of it is lost. Only what finds the queue full is dropped, and
-- counted, and what the collector refuses for good.
--
-- Invariants: `queue[head .. tail]` waits, the first `taken` of it are on their way; `room` is how
-- many more may wait. One task sends.

--- Sending metrics and spans to an OpenTelemetry collector. `local otlp = require "ringlet.otlp"`.
-- @module ringlet.otlp

local core = require "ringlet.core"
local encode = require "ringlet.otlp_encode"
local gather = require "ringlet.metrics_gather"
local http = require "ringlet.http"
local options = require "ringlet.options"
local sync = require "ringlet.sync"
local task = require "ringlet.task"
local time = require "ringlet.time"

local M = {}

local RETRY_FIRST = 0.01
local RETRIED = {[429] = true, [502] = true, [503] = true, [504] = true}

--- Sends to a collector, from `otlp.exporter`.
-- @type otlp_exporter
local Exporter = {__name = "ringlet.otlp.exporter"}
Exporter.__index = Exporter

-- ---- the queue ----------------------------------------------------------------------------------

local function waiting(self)
  return self.tail - self.head + 1
end

-- Put in something of that kind, "metrics" or "spans".
local function put(self, kind, item)
  if self.closed or waiting(self) >= self.queue_max then
    self.dropped = self.dropped + 1
    return false
  end
  self.tail = self.tail + 1
  self.queue[self.tail] = {kind, item}
  return true
end

-- What is sent with the next request: the first, and what follows of the same kind.
local function take(self)
  local first = self.queue[self.head]
  if not first then
    return nil
  end
  local items, kind = {}, first[1]
  for i = self.head, math.min(self.tail, self.head + self.batch - 1) do
    if self.queue[i][1] ~= kind then
      break
    end
    items[#items + 1] = self.queue[i][2]
  end
  return kind, items
end

local function remove(self, n)
  for i = self.head, self.head + n - 1 do
    self.queue[i] = nil
  end
  self.head = self.head + n
  if self.head > self.tail then
    self.head, self.tail = 1, 0
    self.empty:set()
  end
end

-- ---- sending ------------------------------------------------------------------------------------

local PATHS = {metrics = "/v1/metrics", spans = "/v1/traces"}
local BODIES = {metrics = encode.metrics_body, spans = encode.spans_body}

-- Seconds from the field Retry-After, if it has a number.
local function told(res)
  local text = res and res:header "retry-after"
  return text and tonumber(text:match "^%s*(%d+)%s*$")
end

-- One request: true when the collector has it or does not want it; else false, and after how long
-- it may be tried again if it says so.
local function send(self, kind, items)
  self.requests = self.requests + 1
  local res, msg = self.client:post(self.url .. PATHS[kind], {
    body = BODIES[kind](self.resource, items), headers = self.headers, timeout = self.timeout,
  })
  if res and res.status >= 200 and res.status < 300 then
    self.sent = self.sent + #items
    return true
  end
  self.last_error = res and ("status %d"):format(res.status) or msg
  if res and not RETRIED[res.status] then
    self.rejected = self.rejected + #items
    return true
  end
  self.retries = self.retries + 1
  return false, told(res)
end

-- Send all there is; what cannot be sent now, until it can.
local function send_all(self)
  local pause = RETRY_FIRST
  while true do
    local kind, items = take(self)
    if not kind then
      return
    end
    local done, after = send(self, kind, items)
    if done then
      pause = RETRY_FIRST
      remove(self, #items)
    else
      time.sleep(after or pause)
      pause = math.min(2 * pause, self.max_backoff)
    end
  end
end

local function collect(self)
  if self.metrics then
    for _, point in ipairs(encode.points(self.started, gather.pace())) do
      put(self, "metrics", point)
    end
  end
end

local function loop(self)
  local due = core.now() + self.interval
  while not self.closed do
    self.wake:wait(math.max(0, due - core.now()))
    self.wake:clear()
    if core.now() >= due then
      due = core.now() + self.interval
      collect(self)
    end
    send_all(self)
  end
end

-- The task that sends is there as long as the run; a later run has another.
local function ensure(self)
  if not self.closed and core.inside() and not (self.task and self.task:status() ~= "done"
      and self.task:status() ~= "failed") then
    self.task = task.daemon(loop, self)
    self.task:name "otlp"
  end
end

-- ---- public -------------------------------------------------------------------------------------

--- Send a span that has ended. It does not park: it waits in the queue.
-- @tparam table span as `ringlet.trace` gives it to an exporter
-- @treturn boolean false: the queue is full, and it is dropped
function Exporter:span(span)
  ensure(self)
  local ok = put(self, "spans", encode.span(span))
  if ok then
    self.empty:clear()
    if waiting(self) == self.batch then
      self.wake:set()
    end
  end
  return ok
end

--- Take the metrics now, and wait until all has been sent.
-- @parks
-- @tparam[opt] number t seconds
-- @treturn true
-- @fails "ETIMEDOUT"; "ECLOSED" when the exporter is
-- @raise outside of a task
function Exporter:flush(t)
  options.seconds(t)
  if self.closed then
    return nil, "ECLOSED: the exporter is closed", "ECLOSED"
  end
  ensure(self)
  collect(self)
  if waiting(self) == 0 then
    return true
  end
  self.empty:clear()
  self.wake:set()
  local ok, msg, code = self.empty:wait(t)
  return ok, msg, code
end

--- Send what there is, and end. It may be called any number of times.
-- @parks
-- @tparam[opt=5] number t seconds; what has not been sent then is dropped
-- @treturn true
-- @fails "ETIMEDOUT"
function Exporter:close(t)
  if self.closed then
    return true
  end
  local done, ok, msg, code = pcall(self.flush, self, t or 5)
  self.closed = true
  self.dropped = self.dropped + waiting(self)
  self.queue, self.head, self.tail = {}, 1, 0
  if self.task then
    self.task:cancel()
    self.task = nil
  end
  self.client:close()
  if not done then
    error(ok, 0)
  end
  return ok, msg, code
end

--- Counters.
-- @treturn otlp_stats a new table
-- @tfield[otlp_stats] integer waiting data points and spans
-- @tfield[otlp_stats] integer sent data points and spans that the collector has
-- @tfield[otlp_stats] integer dropped because the queue was full, or at the end
-- @tfield[otlp_stats] integer rejected by the collector for good
-- @tfield[otlp_stats] integer requests
-- @tfield[otlp_stats] integer retries requests that had to be sent again
-- @tfield[otlp_stats] ?string last_error of a request
function Exporter:stats()
  return {waiting = waiting(self), sent = self.sent, dropped = self.dropped,
    rejected = self.rejected, requests = self.requests, retries = self.retries,
    last_error = self.last_error}
end

function Exporter:__tostring()
  return ("ringlet.otlp.exporter: %s, %d sent, %d waiting"):format(self.url, self.sent,
    waiting(self))
end

local KNOWN = {url = "string", headers = "table", interval = "number", batch = "number",
  queue = "number", timeout = "number", max_backoff = "number", resource = "table",
  metrics = "boolean"}
local WHOLE = {min = 1, whole = true}
local SECONDS = {above = 0}
local BOUNDS = {interval = SECONDS, timeout = SECONDS, max_backoff = SECONDS, queue = WHOLE,
  batch = {min = 1, max = 1000, whole = true}}

local function headers_of(opts)
  local headers = {["content-type"] = "application/json"}
  for name, value in pairs(opts.headers or {}) do
    headers[name] = value
  end
  return headers
end

--- What sends metrics and spans to a collector of OpenTelemetry: OTLP/HTTP, in JSON. It sends by a
-- daemon: `run` does not wait for what has not been sent, `close` does.
-- @tparam table opts
-- @tparam string opts.url "http://127.0.0.1:4318": `/v1/metrics` and `/v1/traces` are added
-- @tparam[opt] {[string]=string} opts.headers of the requests
-- @tparam[opt=10] number opts.interval seconds between two readings of the metrics, and until spans
-- are sent that are fewer than a batch
-- @tparam[opt=1000] integer opts.batch data points or spans in one request, at most 1,000
-- @tparam[opt=100000] integer opts.queue data points and spans that may wait
-- @tparam[opt=10] number opts.timeout seconds for one request
-- @tparam[opt=5] number opts.max_backoff seconds: how long the pauses get, which begin with 10 ms
-- and double
-- @tparam[opt] table opts.resource attributes of the process, such as `["service.name"]`
-- @tparam[opt=true] boolean opts.metrics false: only spans
-- @treturn otlp_exporter
-- @raise options that make no sense
-- @source OpenTelemetry protocol specification 1.0, OTLP/HTTP
-- @usage
-- local exporter = otlp.exporter {url = "http://127.0.0.1:4318"}
-- trace.export(function(span) exporter:span(span) end)
function M.exporter(opts)
  opts = options.check(opts, KNOWN)
  options.bounds(opts, BOUNDS)
  if not opts.url then
    error("the option 'url' is missing", 2)
  end
  local resource = {["service.name"] = "ringlet"}
  for name, value in pairs(opts.resource or {}) do
    resource[name] = value
  end
  local self = setmetatable({
    url = opts.url:gsub("/+$", ""), headers = headers_of(opts), interval = opts.interval or 10,
    batch = opts.batch or 1000, queue_max = opts.queue or 100000, timeout = opts.timeout or 10,
    max_backoff = opts.max_backoff or 5, metrics = opts.metrics ~= false,
    resource = encode.attributes(resource), started = core.time(), client = http.client {},
    queue = {}, head = 1, tail = 0, sent = 0, dropped = 0, rejected = 0, requests = 0, retries = 0,
    wake = sync.event(), empty = sync.event(),
  }, Exporter)
  ensure(self)
  return self
end

return M
