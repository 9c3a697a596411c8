-- SPDX-License-Identifier: MIT
-- metrics_text: all metrics as text that Prometheus and OpenMetrics scrapers read.
--
-- What the runtime measures is told for each shard; series of the program's own are summed over the
-- shards, those of tasks' labels too. Invariants: the lines of a family follow each other, no two
-- lines have the same name and labels, and of a histogram the bucket +Inf is its count. It is made
-- in slices: inside a task its turn is given up between them.

--- As text.
-- @module ringlet.metrics

local gather = require "ringlet.metrics_gather"
local labels = require "ringlet.labels"
local names = require "ringlet.metrics_names"
local options = require "ringlet.options"
local utf8 = require "ringlet.utf8"

local M = {}

local PIECES = 1024 -- of text put together at once

local CONTENT_TYPES = {
  prometheus = "text/plain; version=0.0.4; charset=utf-8",
  openmetrics = "application/openmetrics-text; version=1.0.0; charset=utf-8",
}

-- ---- slices -------------------------------------------------------------------------------------

-- Hand on what there is.
local function flush(out)
  if out.n == 0 or out.failed then
    return
  end
  local chunk = table.concat(out.pieces, "", 1, out.n)
  out.n = 0
  local ok, msg, code = out.write(chunk)
  if ok == nil and msg ~= nil then
    out.failed = {msg, code}
    return
  end
  gather.rest(out.pace)
end

local function put(out, piece)
  local n = out.n + 1
  out.pieces[n] = piece
  out.n = n
end

-- ---- numbers ------------------------------------------------------------------------------------

-- table.concat writes a whole number as it is; Lua 5.4 would write 5.0.
local whole = rawget(_G, "jit") and function(v) return v end or function(v)
  return ("%d"):format(v)
end

local function number(v)
  if v % 1 == 0 and v < 1e14 and v > -1e14 then
    return whole(v)
  elseif v ~= v then
    return "NaN"
  elseif v == math.huge or v == -math.huge then
    return v > 0 and "+Inf" or "-Inf"
  end
  local short = ("%.15g"):format(v)
  return tonumber(short) == v and short or ("%.17g"):format(v)
end

-- A bound of a bucket: OpenMetrics wants it to look like a float.
local function bound(out, v)
  local text = tostring(number(v))
  if out.format == "openmetrics" and not text:find "[^%d-]" then
    text = text .. ".0"
  end
  return text
end

-- ---- lines --------------------------------------------------------------------------------------

local function put_head(out, about)
  local name = about.text_name
  if out.format == "openmetrics" then
    name = about.kind == "counter" and name:gsub("_total$", "") or name
  end
  if about.help ~= "" then
    local help = about.help:gsub("[\\\n]", {["\\"] = "\\\\", ["\n"] = "\\n"})
    put(out, ("# HELP %s %s\n"):format(name, utf8.clean(help)))
  end
  put(out, ("# TYPE %s %s\n"):format(name, about.kind))
  if out.format == "openmetrics" and names.has_unit(name, about.unit) then
    put(out, ("# UNIT %s %s\n"):format(name, about.unit))
  end
end

local function braced(set)
  return set == "" and " " or "{" .. set .. "} "
end

-- One line of name{labels} number.
local function put_line(out, name, set, v)
  put(out, name)
  put(out, braced(set))
  put(out, number(v))
  put(out, "\n")
end

-- A histogram, from {bound, count, ..., count =, sum =}, each count of those in that bucket alone.
-- A value that is counted meanwhile may be in a bucket and not in `count` yet.
local function put_histogram(out, name, set, h)
  local lead = set == "" and "{" or "{" .. set .. ","
  local seen = 0
  for i = 1, #h, 2 do
    seen = seen + h[i + 1]
    put(out, name)
    put(out, "_bucket")
    put(out, lead)
    put(out, ('le="%s"} '):format(bound(out, h[i])))
    put(out, number(seen))
    put(out, "\n")
  end
  local count = math.max(seen, h.count)
  put(out, ('%s_bucket%sle="+Inf"} '):format(name, lead))
  put(out, number(count))
  put(out, "\n")
  put_line(out, name .. "_sum", set, h.sum)
  put_line(out, name .. "_count", set, count)
  if out.n >= PIECES then
    flush(out)
  end
end

-- ---- what the runtime measures ------------------------------------------------------------------

local function put_value(out, about, set, v)
  if about.kind == "histogram" then
    put_histogram(out, about.text_name, set, gather.brief(v))
  else
    put_line(out, about.text_name, set, v)
  end
end

-- Sums by set of the labels of tasks, whose names a scraper may not take as they are.
local function put_sums(out, about, entry, readings)
  local sums = {}
  for _, shard in ipairs(readings) do
    for text, v in pairs(entry.read(shard) or {}) do
      local set = names.labels(text)
      sums[set] = (sums[set] or 0) + v
    end
    gather.rest(out.pace)
  end
  for set, v in pairs(sums) do
    put_line(out, about.text_name, set, v)
    if out.n >= PIECES then
      flush(out)
    end
  end
end

local function put_entry(out, about, entry, set, shard)
  local value = entry.read(shard)
  if value == nil then
    return
  elseif not entry.process then
    set = ('shard="%d"'):format(shard.index) .. (set == "" and "" or "," .. set)
  end
  if not entry.label then
    put_value(out, about, set, value)
    return
  end
  for text, v in pairs(value) do
    put_value(out, about, ('%s,%s="%s"'):format(set, entry.label, labels.escape(text)), v)
  end
end

local function put_family(out, about, readings)
  put_head(out, about)
  for _, member in ipairs(about.members) do
    local entry = member.entry
    if entry.label == "*" then
      put_sums(out, about, entry, readings)
    else
      for i = 1, entry.process and 1 or #readings do
        put_entry(out, about, entry, member.set, readings[i])
      end
    end
  end
  if out.n >= PIECES then
    flush(out)
  end
  gather.rest(out.pace)
end

local function put_runtime(out, wanted)
  local readings = gather.readings()
  for _, about in ipairs(names.families) do
    if not wanted or names.is_wanted(about, wanted) then
      put_family(out, about, readings)
    end
  end
end

-- ---- the program's own --------------------------------------------------------------------------

-- The lines of one family that has one number each.
local function put_numbers(out, f)
  local pieces, sets, values = out.pieces, f.sets, f.values
  local before = f.about.text_name .. "{"
  for i = 1, f.n do
    local n = out.n
    if sets[i] == "" then
      put_line(out, f.about.text_name, "", values[i])
    else
      pieces[n + 1], pieces[n + 2], pieces[n + 3] = before, sets[i], "} "
      pieces[n + 4], pieces[n + 5] = number(values[i]), "\n"
      out.n = n + 5
    end
    if n >= PIECES then
      flush(out)
    end
  end
end

local function put_user(out, wanted)
  local found = gather.series(out.pace, wanted)
  for i = #found, 1, -1 do -- the newest is the first of the list
    local f = found[i]
    put_head(out, f.about)
    if f.about.kind == "histogram" then
      for k = 1, f.n do
        put_histogram(out, f.about.text_name, f.sets[k], f.values[k])
      end
    else
      put_numbers(out, f)
    end
  end
end

-- ---- public -------------------------------------------------------------------------------------

local KNOWN = {format = "string", names = "table"}
local FORMATS = {format = {"prometheus", "openmetrics"}}

local function wanted_of(list)
  local wanted
  for _, name in ipairs(list or {}) do
    wanted = wanted or {}
    wanted[name] = true
  end
  return wanted
end

local function write(fn, opts, level)
  opts = options.check(opts, KNOWN, level + 1)
  options.bounds(opts, FORMATS, level + 1)
  local out = {
    write = fn, format = opts.format or "prometheus", pieces = {}, n = 0,
    pace = gather.pace(),
  }
  local wanted = wanted_of(opts.names)
  put_runtime(out, wanted)
  put_user(out, wanted)
  if out.format == "openmetrics" then
    put(out, "# EOF\n")
  end
  flush(out)
  if out.failed then
    return nil, out.failed[1], out.failed[2]
  end
  return true
end

--- Write all metrics as text, a piece at a time. Inside a task it gives up its turn about twice a
-- millisecond.
-- @parks inside a task
-- @tparam fun(text:string) fn takes a piece; it may park; what it fails with ends it
-- @tparam[opt] table opts
-- @tparam[opt="prometheus"] string opts.format or "openmetrics"
-- @tparam[opt] {string,...} opts.names of what is wanted, as of `read`, or as they are in the text
-- @treturn true
-- @fails what `fn` fails with
-- @raise what `fn` raises
-- @source Prometheus exposition formats, version 0.0.4; OpenMetrics 1.0
-- @usage metrics.write(function(text) return conn:write(text) end)
function M.write(fn, opts)
  options.callable(fn)
  local ok, msg, code = write(fn, opts, 2)
  return ok, msg, code
end

--- All metrics as text.
-- @parks inside a task, as `write`
-- @tparam[opt] table opts as of `write`
-- @treturn string
function M.text(opts)
  local chunks = {}
  write(function(chunk)
    chunks[#chunks + 1] = chunk
  end, opts, 2)
  return table.concat(chunks)
end

--- The format that a scraper asks for.
-- @tparam ?string accept the field Accept of its request
-- @treturn string "prometheus" or "openmetrics"
-- @treturn string the value of the field Content-Type
function M.negotiate(accept)
  local format = accept and accept:find("application/openmetrics-text", 1, true)
    and "openmetrics" or "prometheus"
  return format, CONTENT_TYPES[format]
end

return M
