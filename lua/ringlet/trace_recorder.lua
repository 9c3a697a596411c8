-- SPDX-License-Identifier: MIT
-- trace_recorder: the flight recorder: what ran when, for how long, and who woke whom.
--
-- One recording is of one run. `current` is the one that is being written, `last` what there is to
-- dump. Every shard writes into its own section and only into that; any shard reads all of them
-- without asking, so a dump also shows a shard that is stuck.
--
-- Invariant: outside of a run `pending` has the options of `start`, and the next run begins with
-- them.

--- Record what every shard does.
-- @module ringlet.trace
-- @section Recording

local core = require "ringlet.core"
local jobs = require "ringlet.jobs"
local layout = require "ringlet.trace_layout"
local options = require "ringlet.options"
local run_stop = require "ringlet.run_stop"
local snapshot = require "ringlet.trace_snapshot"
local task = require "ringlet.task"

local M = {}

local SECONDS, SIZE = 10, 4194304
local COPY = 8192 -- records at a time
local NOTHING = "ECLOSED: nothing was recorded"

local current, last, pending, files_header

-- ---- recording ----------------------------------------------------------------------------------

local function name_all()
  local _, handles = core.tables()
  for _, h in pairs(handles) do
    if type(h) == "table" and h[1] and h.label_name then
      core.trace_name(h[2], h.label_name)
    end
  end
end

-- On each shard: write into this recorder from now on. As fields of a module they travel by name.
function M.attach_(recorder)
  local ok, code = core.trace_attach(recorder)
  if ok then
    task.on_name = core.trace_name
    name_all()
  end
  return ok, code
end

function M.detach_(recorder)
  task.on_name = nil
  core.trace_detach(recorder)
end

local function tell_others(fn, recorder)
  local own, size = core.fleet()
  for i = 1, size or 1 do
    if i ~= (own or 1) then
      jobs.spawn_on(i, fn, recorder)
    end
  end
end

local function begin(opts)
  local _, size = core.fleet()
  local window = opts.seconds or SECONDS
  local recorder, code = core.trace_open(size or 1, opts.size or SIZE, window, opts.file)
  if not recorder then
    local msg, name = core.errmsg(code)
    return nil, opts.file and ("%s (%s)"):format(msg, opts.file) or msg, name
  end
  files_header = recorder:header()
  current, last = recorder, recorder
  M.attach_(recorder)
  tell_others(M.attach_, recorder)
  return true
end

local KNOWN = {seconds = "number", size = "number", file = "string"}
local BOUNDS = {seconds = {above = 0}, size = {min = 1024, max = 2 ^ 30}}

--- Record from now on, on every shard, until `stop` or the end of the run. Outside of a run: from
-- the beginning of the next one. A recording that is under way ends.
--
-- Each shard has a ring of fixed size, and overwrites what is oldest. Nothing is written to disk
-- but by the kernel, when it likes, if there is a file; the file has it all even if the process is
-- killed.
-- @tparam[opt] table opts
-- @tparam[opt=10] number opts.seconds what `dump` gives, unless it is told otherwise
-- @tparam[opt=4194304] integer opts.size bytes of records for each shard; a record has 16
-- @tparam[opt] string opts.file where the memory is mapped to; a file that is there is renamed to
-- the same with ".old"
-- @treturn boolean true
-- @fails "EACCES", "ENOENT", "ENOSPC" and what else opening a file fails with; "ENOMEM"
-- @source Go: runtime/trace.FlightRecorder; JDK Flight Recorder (JEP 328)
-- @usage trace.start{seconds = 10, file = "/var/tmp/app.trace"}
function M.start(opts)
  opts = options.check(opts, KNOWN)
  options.bounds(opts, BOUNDS)
  if not core.fleet() then
    pending = opts
    return true
  end
  M.stop()
  local ok, msg, code = begin(opts)
  return ok, msg, code
end

--- Record no more. What was recorded can be dumped until the next `start`. Idempotent.
-- @treturn boolean true
function M.stop()
  pending = nil
  if current then
    M.detach_(current)
    tell_others(M.detach_, current)
    current = nil
  end
  return true
end

--- Is something being recorded on this shard?
-- @treturn boolean
function M.active()
  return core.tracing()
end

run_stop.gathered[#run_stop.gathered + 1] = function()
  local opts = pending
  if opts then
    pending = nil
    local ok, msg = begin(opts)
    if not ok then
      io.stderr:write("ringlet: nothing is recorded: ", msg, "\n")
    end
  end
end

-- The core stops recording when the seam is closed.
run_stop.endings[#run_stop.endings + 1] = function()
  current, task.on_name = nil, nil
end

-- ---- dumping ------------------------------------------------------------------------------------

-- Copy a section as it is now. What was overwritten meanwhile is left out.
local function copy_section(recorder, i, breathe)
  local head, ticks, mono, last_id, names, texts = recorder:section(i)
  local first, chunks = recorder:oldest(i), {}
  local from, at = math.min(first, head), math.min(first, head)
  while at < head do
    local n = math.min(COPY, head - at)
    chunks[#chunks + 1] = recorder:copy(i, at, n)
    at = at + n
    breathe()
  end
  local gone = math.min(recorder:oldest(i), head)
  while from < gone do
    local n = math.min(#chunks[1] / layout.RECORD, gone - from)
    chunks[1] = chunks[1]:sub(n * layout.RECORD + 1)
    if chunks[1] == "" then
      table.remove(chunks, 1)
    end
    from = from + n
  end
  return {
    first = from, count = head - from, chunks = chunks, texts = texts, names_bytes = names,
    names = layout.names(names, texts), ticks = ticks, mono = mono, last_id = last_id,
  }
end

--- What every shard has recorded lately. No shard is stopped or asked, so one that is stuck is
-- there as well; the records of different shards end at slightly different times.
-- @parks between slices of the work, when it is called in a task
-- @tparam[opt] number seconds only the last so many; by default those of `start`
-- @treturn snapshot
-- @fails "ECLOSED" when nothing was recorded
function M.dump(seconds)
  options.seconds(seconds)
  if not last then
    return nil, NOTHING, "ECLOSED"
  end
  local header = layout.header(files_header)
  local sections, breathe = {}, snapshot.breather()
  for i = 1, header.sections do
    sections[i] = copy_section(last, i, breathe)
  end
  return snapshot.new(header, sections, seconds or header.window)
end

--- What a file has: that of a recording, also of a process that was killed, or one that
-- `snapshot:save` wrote. The file is read at once: this is for tools, not for a server under load.
-- @parks between slices of the work, when it is called in a task
-- @tparam string path
-- @tparam[opt] number seconds only the last so many
-- @treturn snapshot
-- @fails "ENOENT" and the like; "EPROTO" when it is no recording
function M.read(path, seconds)
  options.seconds(seconds)
  local text, msg, name = snapshot.from_file(path)
  if not text then
    return nil, msg, name
  end
  local header, sections, code = layout.read(text)
  if not header then
    return nil, sections, code
  end
  return snapshot.new(header, sections, seconds)
end

--- Say something, into the recording: it is an event of the running task.
-- @tparam string message cut after 252 bytes
function M.log(message)
  core.trace_log(tostring(message))
end

return M
