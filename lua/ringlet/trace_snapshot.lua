-- SPDX-License-Identifier: MIT
-- trace_snapshot: what a recording had at one moment, or what a file has, and its events in order.
--
-- Records without a time of their own happened at that of the stamped one before them
-- (src/rt/trace.h), so those in front of the first stamped one are left out. Ids of tasks are 32
-- bits of the 64: they are widened by the last id that the shard is known to have given. Whatever
-- makes no sense - a file may hold anything - is left out and counted.

--- What was recorded.
-- @module ringlet.trace
-- @section Snapshots

local core = require "ringlet.core"
local fail = require "ringlet.fail"
local layout = require "ringlet.trace_layout"
local options = require "ringlet.options"

local unpack_records = core.trace_unpack

local M = {}

local BATCH = 64 -- records between two turns given up
local FIELDS = 5
local PIECE = 65536 -- bytes written at once
local SPAN48, SPAN32 = 281474976710656, 4294967296
local LEAST_NS = 20000 -- of a recording, to reckon the rate of its ticks

--- A recording at one moment, from `trace.dump` or `trace.read`.
-- @type snapshot
-- @tfield integer shards how many there are
-- @tfield integer pid the process
-- @tfield number from time of the first event, as `rl.now` gives it there
-- @tfield number to time of the last event
-- @tfield boolean truncated whether bytes of the file were missing
local Snapshot = {__name = "ringlet.snapshot"}
Snapshot.__index = Snapshot
M.Snapshot = Snapshot

-- ---- kinds --------------------------------------------------------------------------------------

-- By number: name, whether it has a time of its own. As enum rl_trace_kind has them.
local NAMES = {"run", "park", "yield", "end", "create", "ready", "job", "submit", "done", "sleep",
  "wake", "gc", "gc end", "begin", "finish", "log", "text"}
local STAMPED = {[1] = true, [10] = true, [11] = true, [12] = true, [13] = true, [14] = true,
  [15] = true, [16] = true}
local BEGIN, LOG, TEXT = 14, 16, 17
local CAUSES = {[0] = "fired", "timed out", "cancelled"}

local REASONS = {}
for name, number in pairs(core.reasons) do
  REASONS[number] = name
end

-- ---- giving up the turn -------------------------------------------------------------------------

-- A function that gives up the turn where that is possible, else does nothing.
function M.breather()
  if not (core.inside() and pcall(core.check)) then
    return function() end
  end
  return function()
    local _, code = core.yield()
    if code then
      fail(code) -- raises the cancellation
    end
  end
end

-- ---- time ---------------------------------------------------------------------------------------

-- ns for each tick.
local function rate_of(snap)
  local h, best = snap.header, nil
  for i = 1, h.sections do
    local s = snap.sections[i]
    if s and s.ticks and (not best or s.mono > best.mono) then
      best = s
    end
  end
  if h.shift == 0 or not best or best.mono - h.mono < LEAST_NS or best.ticks <= h.ticks then
    return 1
  end
  return (best.mono - h.mono) / (best.ticks - h.ticks)
end

-- fn(stamp) -> ns on the monotonic clock: the stamp is the low 48 bits of the ticks >> shift.
local function clock_of(snap, s)
  local h = snap.header
  local scale = 2 ^ h.shift
  local base, at = math.floor((s.ticks or h.ticks) / scale), s.mono or h.mono
  local low, step = base % SPAN48, scale * snap.rate
  return function(stamp)
    local d = stamp - low
    if d > SPAN48 / 2 then
      d = d - SPAN48
    elseif d < -SPAN48 / 2 then
      d = d + SPAN48
    end
    return at + d * step
  end
end

local function widen(id, last)
  local d = (id - last) % SPAN32
  if d >= SPAN32 / 2 then
    d = d - SPAN32
  end
  local wide = last + d
  return wide > 0 and wide or id
end

-- ---- walking ------------------------------------------------------------------------------------

-- The text that the records from `at` on in `out` hold, up to n records; and how many they are.
local function text_behind(out, at, n)
  local parts, used = {}, 0
  while at + used < n and out[(at + used) * FIELDS + 1] == TEXT do
    local k = (at + used) * FIELDS
    local len, time, a, b = out[k + 2], out[k + 3], out[k + 4], out[k + 5]
    local bytes = {}
    for i = 1, math.min(len, 14) do
      local word, place = time, i - 1
      if i > 10 then
        word, place = b, i - 11
      elseif i > 6 then
        word, place = a, i - 7
      end
      bytes[i] = string.char(math.floor(word / 256 ^ place) % 256)
    end
    parts[#parts + 1] = table.concat(bytes)
    used = used + 1
  end
  return table.concat(parts), used
end

local MOST_TEXT = 19 -- records of one event

-- Records of a section in batches: fn(out, own, n) is given n records, of which those beyond `own`
-- may be looked at but come again: what belongs to one event stays together.
local function batches(s, fn, breathe)
  local chunks, out = s.chunks, {}
  for i, chunk in ipairs(chunks) do
    local behind = chunks[i + 1] and chunks[i + 1]:sub(1, MOST_TEXT * layout.RECORD) or ""
    local bytes, at, len = chunk .. behind, 0, #chunk
    while at < len do
      local n = unpack_records(bytes, at, BATCH + MOST_TEXT, out)
      local own = math.min(n, BATCH, (len - at) / layout.RECORD)
      fn(out, own, n)
      at = at + own * layout.RECORD
      breathe()
    end
  end
end

-- fn(kind, detail, time, task, other, text) for each record of a shard whose time is not before
-- `since`; time in ns.
local function walk(snap, shard, since, fn, breathe)
  local s = snap.sections[shard]
  if not s then
    return
  end
  local clock, time, bad = clock_of(snap, s), nil, 0
  batches(s, function(out, own, n)
    for i = 0, own - 1 do
      local k = i * FIELDS
      local kind, detail, stamp = out[k + 1], out[k + 2], out[k + 3]
      if STAMPED[kind] then
        time = clock(stamp)
      end
      if not NAMES[kind] then
        bad = bad + 1
      elseif time and time >= since and kind ~= TEXT then
        local other, text = out[k + 5], nil
        if kind == LOG or kind == BEGIN and other % 65536 == 0 then
          text = text_behind(out, i + 1, n)
        end
        fn(kind, detail, time, out[k + 4], other, text, stamp)
      end
    end
  end, breathe)
  s.bad = bad
end

-- ---- events -------------------------------------------------------------------------------------

local make = {}

local function none() end

make.park = function(e, detail)
  e.reason = REASONS[detail] or "?"
end
make.yield = function(e, detail)
  e.preempted = detail == 1
end
make.create = function(e, _, other, s, _, stamp)
  e.by = other > 0 and widen(other, s.last_id) or nil
  e.site = layout.text(s.texts, stamp)
end
make.ready = function(e, detail, other, s)
  e.by = other > 0 and widen(other, s.last_id) or nil
  e.cause = CAUSES[detail] or "?"
end
make.run = function(e, _, other)
  e.runnable = other
end
make.job = function(e, detail, other)
  e.task, e.from, e.stolen = nil, other, detail == 1
end
make.submit = function(e, detail, other)
  e.op, e.fd = core.op_names[detail + 1] or "?", other
end
make.done = function(e, detail, other)
  e.op, e.fd = core.op_names[detail + 1] or "?", other
  e.result = e.low >= SPAN32 / 2 and e.low - SPAN32 or e.low
  e.task = nil
end
make.sleep = function(e, detail, other)
  e.waits, e.ops = detail == 1, other
end
make.gc = function(e, _, other)
  e.kib = other
end
make["gc end"] = make.gc
make.begin = function(e, _, other, s, text)
  e.span, e.name = math.floor(other / 65536), text or layout.text(s.texts, other % 65536) or "?"
end
make.finish = function(e, _, other)
  e.span = math.floor(other / 65536)
end
make.log = function(e, _, _, _, text)
  e.text = text
end
make["end"], make.wake = none, none

-- Call fn with each event of a shard, oldest first: a new table. Gives up the turn now and then.
function M.each(snap, shard, fn)
  local s = snap.sections[shard]
  walk(snap, shard, snap.since, function(kind, detail, time, task, other, text, stamp)
    local e = {kind = NAMES[kind], time = time / 1e9, ns = time, low = task}
    if task > 0 then
      e.task = widen(task, s.last_id)
    end
    make[e.kind](e, detail, other, s, text, stamp)
    fn(e)
  end, M.breather())
end

-- ---- files --------------------------------------------------------------------------------------

local function system_failure(why, number)
  local _, name = core.errmsg(-(number or 5))
  return nil, name .. ": " .. tostring(why), name
end

-- Call write(put), and have what it puts in a file. true, or failure values.
function M.to_file(path, write)
  local file, why, number = io.open(path, "wb")
  if not file then
    return system_failure(why, number)
  end
  local breathe, broken = M.breather(), nil
  local ok, err = pcall(write, function(piece)
    for at = 1, #piece, PIECE do
      local done, text, code = file:write(piece:sub(at, at + PIECE - 1))
      broken = broken or not done and {text, code}
      breathe()
    end
  end)
  local closed, text, code = file:close()
  if not ok then
    error(err, 0)
  end
  broken = broken or not closed and {text, code}
  if broken then
    return system_failure(broken[1], broken[2])
  end
  return true
end

-- All bytes of a file.
function M.from_file(path)
  local file, why, number = io.open(path, "rb")
  if not file then
    return system_failure(why, number)
  end
  local text, reason, code = file:read "*a"
  file:close()
  if not text then
    return system_failure(reason, code)
  end
  return text
end

-- ---- snapshots ----------------------------------------------------------------------------------

-- The times of the first and of the last stamped record, in ns.
local function extent(snap)
  local from, to = math.huge, -math.huge
  for i = 1, snap.header.sections do
    walk(snap, i, -math.huge, function(_, _, time)
      from, to = math.min(from, time), math.max(to, time)
    end, M.breather())
  end
  return from, to
end

--- A snapshot of what was read: the last `seconds` of it.
-- @local
function M.new(header, sections, seconds)
  local snap = setmetatable({
    header = header, sections = sections, shards = header.sections, pid = header.pid,
    truncated = sections.truncated or false,
  }, Snapshot)
  snap.rate = rate_of(snap)
  local from, to = extent(snap)
  if to < from then
    from, to = header.mono, header.mono
  end
  snap.since = seconds and math.max(from, to - seconds * 1e9) or from
  snap.from, snap.to = snap.since / 1e9, to / 1e9
  return snap
end

--- The events of a shard, oldest first. Each has a `kind`, a `time` and, where it is of a task, its
-- id in `task`; by kind there are more: "run" {runnable= how many more were}, "park" {reason=},
-- "yield" {preempted=}, "end", "create" {by= id of a task, site=}, "ready" {by=, cause= "fired",
-- "timed out" or "cancelled"}, "job" {from= shard, stolen=}, "submit" {op=, fd=}, "done" {op=, fd=,
-- result=}, "sleep" {waits=, ops= in flight}, "wake", "gc" and "gc end" {kib=}, "begin" {span=,
-- name=}, "finish" {span=}, "log" {text=}.
-- @parks between slices of the work, when it is called in a task
-- @tparam[opt=1] integer shard
-- @treturn table[] a new list
function Snapshot:events(shard)
  local list = {}
  M.each(self, shard or 1, function(e)
    list[#list + 1] = e
  end)
  return list
end

--- What a task is called: its name, else where its function is defined, if that is still known.
-- @tparam integer shard
-- @tparam integer id
-- @treturn ?string
function Snapshot:name(shard, id)
  local s = self.sections[shard]
  return s and (s.names[id % SPAN32] or s.sites and s.sites[id]) or nil
end

--- Write it into a file, which `trace.read` reads. It takes the place of one that is there.
-- @parks between slices of the work, when it is called in a task
-- @tparam string path
-- @treturn boolean true
-- @fails "EACCES", "ENOENT", "ENOSPC" and what else opening and writing a file fails with
function Snapshot:save(path)
  local ok, msg, code = M.to_file(path, function(put)
    layout.write(self.header, self.sections, put)
  end)
  return ok, msg, code
end

local CHROME = {parked = "boolean"}

--- It as Chrome trace events: JSON, which https://ui.perfetto.dev and chrome://tracing open.
-- @parks between slices of the work, when it is called in a task
-- @tparam[opt] table opts
-- @tparam[opt=false] boolean opts.parked also a track for the waits of each task
-- @treturn string
-- @source Trace Event Format (Google, 2016); async events are the nestable ones
function Snapshot:chrome(opts)
  options.check(opts, CHROME)
  local parts = {}
  require("ringlet.trace_chrome").write(self, opts, function(piece)
    parts[#parts + 1] = piece
  end)
  return table.concat(parts)
end

--- The same into a file, piece by piece.
-- @parks between slices of the work, when it is called in a task
-- @tparam string path
-- @tparam[opt] table opts as of `chrome`
-- @treturn boolean true
-- @fails "EIO" and what else opening and writing a file fails with
function Snapshot:write_chrome(path, opts)
  options.check(opts, CHROME)
  local ok, msg, code = M.to_file(path, function(put)
    require("ringlet.trace_chrome").write(self, opts, put)
  end)
  return ok, msg, code
end

function Snapshot:__tostring()
  return ("ringlet.snapshot: %d shards, %.3f s"):format(self.shards, self.to - self.from)
end

return M
