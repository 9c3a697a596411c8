-- SPDX-License-Identifier: MIT
-- profile_data: the class of profiles: samples by stack and labels, and what can be done with them.
--
-- A sample is {stack = frames, innermost first, labels = {name = value}, count =, value =}: of CPU
-- time, samples and nanoseconds; of waiting, looks and nanoseconds; of allocations, objects and
-- bytes. Frames are shared: {name, file, line, defined, what, library}, as in stacks.lua; one
-- without a file, "(garbage collector)" and the like, stands for what has no stack, and is "C".

--- @module ringlet.profile

local profile_flame = require "ringlet.profile_flame"
local profile_pprof = require "ringlet.profile_pprof"
local profile_text = require "ringlet.profile_text"
local options = require "ringlet.options"
local time = require "ringlet.time"

local M = {}

-- How the names of our own source files begin.
local LIBRARY = debug.getinfo(1, "S").source:gsub("^@", ""):gsub("profile_data%.lua$", "")

--- A profile, from `profile.cpu` and its kin, or from `stop`.
-- @type profile_data
-- @tfield string kind "cpu", "offcpu" or "alloc"
-- @tfield number seconds how long it was taken
-- @tfield number time when it began, as `rl.time` tells it
-- @tfield number period what a sample stands for: nanoseconds of CPU time, or bytes allocated; 0
-- of waiting
-- @tfield table shards for each shard {shard=, seconds=}: which, and how long each was profiled
-- @tfield table samples a list of {stack=, labels=, count=, value=}: frames with the innermost
-- first, {name=, file=, line=, defined=, what=, library=}; and samples and nanoseconds of CPU time,
-- looks and nanoseconds of waiting, or objects and bytes
local Profile = {__name = "ringlet.profile_data"}
Profile.__index = Profile

-- What its numbers are: of a count and a value the names and units for pprof, and for people.
M.KINDS = {
  cpu = {title = "CPU time", types = {{"samples", "count"}, {"cpu", "nanoseconds"}},
    period = {"cpu", "nanoseconds"}},
  offcpu = {title = "waiting", types = {{"looks", "count"}, {"wait", "nanoseconds"}},
    period = {"wait", "nanoseconds"}},
  alloc = {title = "allocations", types = {{"alloc_objects", "count"}, {"alloc_space", "bytes"}},
    period = {"space", "bytes"}},
}

-- An empty profile.
function M.new(kind, period)
  return setmetatable({
    kind = kind, period = period, seconds = 0, time = time.time(), shards = {}, samples = {},
    frames_ = {}, index_ = {}, -- frames and samples, by what tells them from others
  }, Profile)
end

-- ---- adding -------------------------------------------------------------------------------------

local function name_of(name, file, defined)
  if name ~= "" or file == "" then
    return name
  end
  return ("%s:%d"):format(file:match "[^/]*$", defined)
end

local function frame_of(p, name, file, line, defined)
  local key = defined < 0 and name or file .. "\0" .. line .. "\0" .. defined
  local frame = p.frames_[key]
  if not frame then
    frame = {
      name = name_of(name, file, defined), file = file, line = line, defined = defined,
      what = defined < 0 and "C" or "Lua", key = key,
      library = file:sub(1, #LIBRARY) == LIBRARY or nil,
    }
    p.frames_[key] = frame
  end
  return frame
end

local function labels_key(labels)
  local list = {}
  for k, v in pairs(labels) do
    list[#list + 1] = tostring(k) .. "=" .. type(v) .. tostring(v)
  end
  table.sort(list)
  return table.concat(list, "\0")
end

local function add_sample(p, stack, labels, count, value)
  local keys = {}
  for i, frame in ipairs(stack) do
    keys[i] = frame.key
  end
  keys[#keys + 1] = labels_key(labels)
  local key = table.concat(keys, "\0\0")
  local sample = p.index_[key]
  if not sample then
    sample = {stack = stack, labels = labels, count = 0, value = 0}
    p.index_[key] = sample
    p.samples[#p.samples + 1] = sample
  end
  sample.count, sample.value = sample.count + count, sample.value + value
end

local function labels_of(set, shard)
  local labels = {shard = shard}
  for k, v in pairs(set or {}) do
    labels[k] = v
  end
  return labels
end

local function note_shard(p, shard, seconds)
  for _, entry in ipairs(p.shards) do
    if entry.shard == shard then
      entry.seconds = entry.seconds + seconds
      return
    end
  end
  p.shards[#p.shards + 1] = {shard = shard, seconds = seconds}
end

-- Add what profile_shard.finish gave.
function Profile:add_part_(part)
  local frames = {}
  for i = 1, #part.frames, 4 do
    frames[#frames + 1] = frame_of(self, part.frames[i], part.frames[i + 1], part.frames[i + 2],
      part.frames[i + 3])
  end
  for _, row in ipairs(part.stacks) do
    local stack = {}
    for i = 4, #row do
      stack[i - 3] = frames[row[i]]
    end
    add_sample(self, stack, labels_of(part.sets[row[3]], part.shard), row[1], row[2])
  end
  note_shard(self, part.shard, part.seconds)
end

local function check(p, level)
  if getmetatable(p) ~= Profile then
    error("profile expected, got " .. type(p), (level or 2) + 1)
  end
end

--- Add another profile of the same kind to this one.
-- @tparam profile_data other
-- @treturn profile_data this one
-- @raise when it is of another kind
function Profile:merge(other)
  check(self)
  check(other)
  if other.kind ~= self.kind then
    error(("a profile of %s cannot be added to one of %s"):format(other.kind, self.kind), 2)
  end
  for _, sample in ipairs(other.samples) do
    local stack = {}
    for i, f in ipairs(sample.stack) do
      stack[i] = frame_of(self, f.name, f.file, f.line, f.defined)
    end
    add_sample(self, stack, sample.labels, sample.count, sample.value)
  end
  for _, entry in ipairs(other.shards) do
    note_shard(self, entry.shard, entry.seconds)
  end
  self.seconds = self.seconds + other.seconds
  self.time = math.min(self.time, other.time)
  return self
end

--- The sums over all samples.
-- @treturn number count samples, looks or objects
-- @treturn number value nanoseconds or bytes
function Profile:total()
  check(self)
  local count, value = 0, 0
  for _, sample in ipairs(self.samples) do
    count, value = count + sample.count, value + sample.value
  end
  return count, value
end

-- ---- showing ------------------------------------------------------------------------------------

local SHOW = {library = "boolean", labels = "table"}

-- {frames, value, count} of each sample, as it is shown: what the library does for its caller is
-- one frame, that of the function which was called, unless `library` is set; labels that are asked
-- for are outermost.
local function shown(p, opts)
  local list = {}
  for i, sample in ipairs(p.samples) do
    local frames = opts.library and sample.stack or profile_text.without_library(sample.stack)
    list[i] = {
      frames = profile_text.with_labels(frames, sample.labels, opts.labels),
      value = sample.value, count = sample.count,
    }
  end
  return list
end

--- In the format of pprof: `go tool pprof` and others read it. It has all frames and labels.
-- @treturn string profile.proto, not compressed
-- @source github.com/google/pprof, proto/profile.proto
function Profile:pprof()
  check(self)
  return profile_pprof.encode(self, M.KINDS[self.kind])
end

--- As collapsed stacks: "outermost;...;innermost value", one a line, values in nanoseconds or
-- bytes.
-- @tparam[opt] table opts
-- @tparam[opt=false] boolean opts.library all frames of the library
-- @tparam[opt] {string,...} opts.labels which labels become the outermost frames
-- @treturn string
-- @source github.com/brendangregg/FlameGraph
function Profile:folded(opts)
  check(self)
  opts = options.check(opts, SHOW)
  return profile_text.folded(shown(self, opts))
end

--- As a flame graph: one SVG file with all it needs. Click a frame, or press Enter on it, to see
-- it alone; Escape goes back; "/" searches.
-- @tparam[opt] table opts
-- @tparam[opt=false] boolean opts.library all frames of the library
-- @tparam[opt] {string,...} opts.labels which labels become the outermost frames
-- @tparam[opt] string opts.title
-- @treturn string
-- @source B. Gregg, "The Flame Graph", CACM 59 (6), 2016
function Profile:svg(opts)
  check(self)
  opts = options.check(opts, {library = "boolean", labels = "table", title = "string"})
  return profile_flame.svg(shown(self, opts), {
    title = opts.title or tostring(self):gsub("^ringlet%.", ""),
    unit = M.KINDS[self.kind].types[2][2],
  })
end

--- As a table of functions, those that have the most of their own first.
-- @tparam[opt] table opts
-- @tparam[opt=false] boolean opts.library functions of the library too
-- @tparam[opt] {string,...} opts.labels which labels become the outermost frames
-- @tparam[opt=30] integer opts.n how many
-- @treturn string
function Profile:text(opts)
  check(self)
  opts = options.check(opts, {library = "boolean", labels = "table", n = "number"})
  options.bounds(opts, {n = {min = 1, whole = true}})
  return tostring(self):gsub("^ringlet%.", "") .. "\n"
    .. profile_text.top(shown(self, opts), M.KINDS[self.kind].types[2][2], opts.n or 30)
end

--- The functions, those that have the most of their own first: what `text` shows.
-- @tparam[opt=false] boolean library functions of the library too
-- @treturn table a list of {name=, file=, defined=, flat=, cum=}: its own, and with what it calls,
-- in nanoseconds or bytes
function Profile:top(library)
  check(self)
  return profile_text.functions(shown(self, {library = library}))
end

local WRITERS = {pb = "pprof", folded = "folded", svg = "svg", txt = "text"}

--- Write it to a file, in the format that the name ends in.
-- @tparam string path "....pb" (pprof), ".folded", ".svg" or ".txt"
-- @tparam[opt] table opts as for `folded`, `svg` or `text`
-- @treturn true
-- @fails "EIO"
-- @raise when the name ends in nothing of these
function Profile:save(path, opts)
  check(self)
  local name = WRITERS[path:match "%.(%w+)$"]
  if not name then
    error("the file must be called *.pb, *.folded, *.svg or *.txt", 2)
  end
  local text = self[name](self, opts)
  local f, msg = io.open(path, "wb")
  if not f then
    return nil, "EIO: " .. tostring(msg), "EIO"
  end
  local ok, why = f:write(text)
  f:close()
  if not ok then
    return nil, "EIO: " .. tostring(why), "EIO"
  end
  return true
end

function Profile:__tostring()
  local kind, _, value = M.KINDS[self.kind], self:total()
  return ("ringlet.profile: %s, %s in %.3g s on %d shard%s"):format(kind.title,
    profile_text.amount(value, kind.types[2][2]), self.seconds, #self.shards,
    #self.shards == 1 and "" or "s")
end

return M
