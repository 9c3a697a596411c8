-- SPDX-License-Identifier: MIT
-- trace_chrome: a snapshot as Chrome trace events (JSON), which ui.perfetto.dev and
-- chrome://tracing open: a track for each shard with a slice for each run of a task, arrows from
-- who made or readied it, the kernel's and the collector's time, counters, logs, and the spans of
-- users on tracks of their own, nested.
--
-- It is written in pieces, and gives up the turn between them. Invariants: a flow's beginning is
-- written only with its end; the beginning of an async slice likewise, so that each has one.

local json = require "ringlet.json_write"
local snapshot = require "ringlet.trace_snapshot"

local each, quote = snapshot.each, json.string

local PIECE = 50 -- events in one piece of the text

-- ---- what is written of a shard -----------------------------------------------------------------

local Writer = {}
Writer.__index = Writer

-- Microseconds since the beginning of the snapshot, to the nanosecond.
function Writer:at(ns)
  return ("%.3f"):format((ns - self.origin) / 1000)
end

function Writer:event(form, ...)
  local n = self.n + 1
  self.out[n], self.n = form:format(...), n
  if n >= PIECE then
    self:flush()
  end
end

function Writer:flush()
  if self.n > 0 then
    local text = (self.began and ",\n" or "") .. table.concat(self.out, ",\n", 1, self.n)
    self.began, self.n = true, 0
    self.put(text)
  end
end

function Writer:label(id)
  local site = self.snap:name(self.shard, id)
  return site and ("%s #%.0f"):format(site, id) or ("task %.0f"):format(id)
end

-- Names of tasks are asked for again and again.
function Writer:quoted(id)
  local text = self.labels[id]
  if not text then
    text = quote(self:label(id))
    self.labels[id] = text
  end
  return text
end

local SLICE = '{"ph":"X","pid":%.0f,"tid":%d,"ts":%s,"dur":%s,"cat":"%s","name":%s,"args":%s}'

function Writer:slice(cat, from, to, name, args)
  self:event(SLICE, self.pid, self.shard, self:at(from), ("%.3f"):format(math.max(to - from, 0)
    / 1000), cat, name, args)
end

function Writer:instant(cat, ns, name, args)
  self:event('{"ph":"i","s":"t","pid":%.0f,"tid":%d,"ts":%s,"cat":"%s","name":%s,"args":%s}',
    self.pid, self.shard, self:at(ns), cat, quote(name), args or "{}")
end

function Writer:async(ph, cat, id, ns, name, args)
  self:event('{"ph":"%s","pid":%.0f,"tid":%d,"ts":%s,"cat":"%s","id":"%s","name":%s,"args":%s}',
    ph, self.pid, self.shard, self:at(ns), cat, id, name, args or "{}")
end

local FLOW = '{"ph":"%s"%s,"pid":%.0f,"tid":%d,"ts":%s,"cat":"%s","id":%d,"name":"%s"}'

function Writer:arrow(cat, from, to)
  self.flows = self.flows + 1
  self:event(FLOW, "s", "", self.pid, self.shard, self:at(from), cat, self.flows, cat)
  self:event(FLOW, "f", ',"bp":"e"', self.pid, self.shard, self:at(to), cat, self.flows, cat)
end

function Writer:meta(name, args)
  self:event('{"ph":"M","pid":%.0f,"tid":%d,"ts":0,"name":"%s","args":%s}', self.pid, self.shard,
    name, args)
end

-- ---- runs ---------------------------------------------------------------------------------------

local on = {}

-- Whatever ran has ended by now.
local function close(w, ns)
  local run, sleep, gc = w.run, w.sleep, w.gc
  if run then
    w:slice("task", run.from, ns, w:quoted(run.task), ('{"task":%.0f,"end":%s}'):format(run.task,
      quote(run.how or "unfinished")))
    w.run = nil
  elseif sleep then
    w:slice("kernel", sleep.from, ns, sleep.waits and '"sleep"' or '"poll"',
      ('{"ops":%.0f}'):format(sleep.ops))
    w.sleep = nil
  elseif gc then
    w:slice("gc", gc.from, ns, '"gc"', ('{"kib":%.0f}'):format(gc.kib))
    w.gc = nil
  end
end

function on.run(w, e)
  close(w, e.ns)
  if not e.task then
    return
  end
  w.run = {task = e.task, from = e.ns}
  local cause = w.causes[e.task]
  if cause then
    w.causes[e.task] = nil
    w:arrow(cause.kind, cause.from, e.ns)
  end
  local parked = w.parked[e.task]
  if parked then
    w.parked[e.task] = nil
    local id = ("p%d.%.0f"):format(w.shard, e.task)
    w:async("b", "parked", id, parked.from, quote(parked.reason), ('{"task":%s}'):format(
      w:quoted(e.task)))
    w:async("e", "parked", id, e.ns, quote(parked.reason))
  end
  if e.runnable ~= w.runnable then
    w.runnable = e.runnable
    w:event('{"ph":"C","pid":%.0f,"tid":%d,"ts":%s,"name":"runnable, shard %d",'
      .. '"args":{"tasks":%.0f}}', w.pid, w.shard, w:at(e.ns), w.shard, e.runnable)
  end
end

local function ends(w, e, how)
  if w.run and w.run.task == e.task then
    w.run.how = how
  end
end

function on.park(w, e)
  ends(w, e, e.reason)
  if w.with_parked and e.task then
    w.parked[e.task] = {from = e.ns, reason = e.reason}
  end
end

function on.yield(w, e)
  ends(w, e, e.preempted and "preempted" or "yield")
end

on["end"] = function(w, e)
  ends(w, e, "end")
end

-- Only what a task has caused has an arrow: it begins in that task's slice.
local function caused(w, e)
  if e.by and e.task and w.run and w.run.task == e.by then
    w.causes[e.task] = {kind = e.kind, from = e.ns}
  end
end

function on.create(w, e)
  if e.site and e.task then
    w.sites[e.task] = e.site
  end
  caused(w, e)
end
on.ready = caused

function on.sleep(w, e)
  close(w, e.ns)
  w.sleep = {from = e.ns, waits = e.waits, ops = e.ops}
end

function on.wake(w, e)
  close(w, e.ns)
end

function on.gc(w, e)
  close(w, e.ns)
  w.gc = {from = e.ns, kib = e.kib}
end

on["gc end"] = function(w, e)
  close(w, e.ns)
end

function on.job(w, e)
  w:instant("job", e.ns, e.stolen and "stolen job" or "job", ('{"from":%.0f}'):format(e.from))
end

function on.submit(w, e)
  w:instant("io", e.ns, "submit " .. e.op, ('{"fd":%.0f}'):format(e.fd))
end

function on.done(w, e)
  w:instant("io", e.ns, "done " .. e.op, ('{"fd":%.0f,"result":%.0f}'):format(e.fd, e.result))
end

function on.log(w, e)
  w:instant("log", e.ns, e.text, ('{"task":%.0f}'):format(e.task or 0))
end

-- ---- spans --------------------------------------------------------------------------------------

-- The spans of a task that are open, and those that have ended within the outermost of them, are
-- written together when that ends: on one track, if they nest as they should.
local function write_spans(w, lane)
  w.lanes = w.lanes + 1
  local id = ("s%d.%d"):format(w.shard, w.lanes)
  for i, step in ipairs(lane.steps) do
    local span = step.span
    span.id = span.id or span.odd and ("%s.%d"):format(id, i) or id
    w:async(step.ph, "span", span.id, step.ns, quote(span.name),
      ('{"task":%.0f}'):format(span.task))
  end
end

local function add_step(lane, ph, span, ns)
  lane.steps[#lane.steps + 1] = {ph = ph, span = span, ns = ns}
end

function on.begin(w, e)
  local task = e.task or 0
  local lane = w.spans[task]
  if not lane then
    lane = {steps = {}, open = {}}
    w.spans[task] = lane
  end
  local span = {task = task, number = e.span, name = e.name}
  lane.open[#lane.open + 1] = span
  add_step(lane, "b", span, e.ns)
end

local function end_span(lane, i, ns)
  local span = table.remove(lane.open, i)
  span.odd = i <= #lane.open -- others that began later are open still
  add_step(lane, "e", span, ns)
end

function on.finish(w, e)
  local task = e.task or 0
  local lane = w.spans[task]
  for i = lane and #lane.open or 0, 1, -1 do
    if lane.open[i].number == e.span then
      end_span(lane, i, e.ns)
      break
    end
  end
  if lane and not lane.open[1] then
    w.spans[task] = nil
    write_spans(w, lane)
  end
end

-- Those that never ended do so with the snapshot.
local function close_spans(w, ns)
  for _, lane in pairs(w.spans) do
    for i = #lane.open, 1, -1 do
      end_span(lane, i, ns)
    end
    write_spans(w, lane)
  end
end

-- ---- all of it ----------------------------------------------------------------------------------

local function write_shard(w, shard)
  local section = w.snap.sections[shard]
  if not section then
    return
  end
  w.shard, w.labels, w.causes, w.parked, w.spans = shard, {}, {}, {}, {}
  w.sites, w.lanes, w.runnable, w.run, w.sleep, w.gc = {}, 0, nil, nil, nil, nil
  section.sites = w.sites
  w:meta("thread_name", ('{"name":"shard %d"}'):format(shard))
  w:meta("thread_sort_index", ('{"sort_index":%d}'):format(shard))
  local last = w.origin
  each(w.snap, shard, function(e)
    last = e.ns
    local handle = on[e.kind]
    if handle then
      handle(w, e)
    end
  end)
  close(w, last)
  close_spans(w, last)
end

-- Write a snapshot: `put` is called with one piece after the other.
local function write(snap, opts, put)
  local w = setmetatable({
    snap = snap, put = put, out = {}, n = 0, began = false, flows = 0, pid = snap.pid, shard = 0,
    origin = snap.since, with_parked = opts and opts.parked,
  }, Writer)
  put(('{"displayTimeUnit":"ns","otherData":{"pid":%.0f,"shards":%d,"virtual":%s},'
    .. '"traceEvents":[\n'):format(snap.pid, snap.shards, tostring(snap.header.virtual)))
  w:meta("process_name", ('{"name":"ringlet %.0f"}'):format(snap.pid))
  for shard = 1, snap.shards do
    write_shard(w, shard)
  end
  w:flush()
  put "\n]}\n"
end

return {write = write}
