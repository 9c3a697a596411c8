-- SPDX-License-Identifier: MIT
-- metrics_user: counters, gauges and histograms of the program's own.
--
-- A family has a name and the names of its labels; a series is one of its members, with values for
-- them. The number itself lies in the core (src/rt/series.h), where any shard may read it: each
-- shard has its own, and they add up. Compiled code adds to it in place.
--
-- Invariants: a family is made once a shard, and asking for it again with the same words gives the
-- same one; no two series of a family on one shard have the same labels.

--- Measure.
-- @module ringlet.metrics

local core = require "ringlet.core"
local histogram = require "ringlet.metrics_histogram"
local labels_ = require "ringlet.labels"
local options = require "ringlet.options"
local utf8 = require "ringlet.utf8"

local SERIES_MAX = 10000
local BUCKETS = {0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10}

-- They are the core's: who loads this module again (test runners do) finds the same series.
core.families = core.families or {}
local M = {families = core.families, BUCKETS = BUCKETS}

local cell_of
local has_ffi, ffi = pcall(require, "ffi")
if has_ffi and rawget(_G, "jit") then
  cell_of = function(series)
    return ffi.cast("double *", series)
  end
end

--- One number of a family, for one set of label values.
-- @type series
local Series = {__name = "ringlet.metrics.series"}
Series.__index = Series

local function amount(n, level)
  if n == nil then
    return 1
  elseif type(n) ~= "number" or n ~= n then
    error("a number expected, got " .. tostring(n), level + 1)
  end
  return n
end

local function check_counts(self, n, level)
  if self.kind == "histogram" then
    error("a histogram observes; it has no number to add to", level + 1)
  elseif self.kind == "counter" and n < 0 then
    error("a counter only goes up", level + 1)
  end
end

--- Add to a counter or a gauge.
-- @tparam[opt=1] number n of a counter, not less than 0
function Series:add(n)
  n = amount(n, 2)
  check_counts(self, n, 2)
  local cell = self.cell
  if cell then
    cell[0] = cell[0] + n
  else
    core.series_add(self.at, n)
  end
end

--- Take from a gauge.
-- @tparam[opt=1] number n
function Series:sub(n)
  if self.kind ~= "gauge" then
    error("only a gauge goes down", 2)
  end
  core.series_add(self.at, -amount(n, 2))
end

--- Set a gauge. Those of all shards add up.
-- @tparam number v
function Series:set(v)
  if self.kind ~= "gauge" then
    error("only a gauge is set", 2)
  elseif type(v) ~= "number" then
    error("a number expected, got " .. type(v), 2)
  end
  core.series_set(self.at, v)
end

--- Count a value in a histogram.
-- @tparam number v
function Series:observe(v)
  if self.kind ~= "histogram" then
    error("only a histogram observes", 2)
  elseif type(v) ~= "number" then
    error("a number expected, got " .. type(v), 2)
  end
  core.series_observe(self.at, v)
end

--- Call a function and count in a histogram how many seconds it took, also if it raises.
-- @parks as the function does
-- @tparam fun(...:any):any fn
-- @param ... its arguments
-- @return ... its results
function Series:time(fn, ...)
  local from = core.now()
  local function done(ok, ...)
    self:observe(core.now() - from)
    if not ok then
      error((...), 0)
    end
    return ...
  end
  return done(pcall(fn, ...))
end

--- What this shard has counted.
-- @return a number, or a histogram
function Series:value()
  local v = core.series_value(self.at)
  return self.kind == "histogram" and histogram.of(v) or v
end

function Series:__tostring()
  return ("ringlet.metrics.series: %s{%s} = %s"):format(self.family.name, self.text,
    tostring(self:value()))
end

--- Metrics of one name, from `metrics.counter`, `gauge` or `histogram`. One without labels is its
-- own only series, and has its methods.
-- @type family
-- @tfield string name
local Family = {__name = "ringlet.metrics.family"}
Family.__index = Family

local function set_of(family, values, level)
  local set, n = {}, 0
  for i, name in ipairs(family.labels) do
    local v = values[name]
    if v == nil then
      v = values[i]
    end
    if v == nil then
      error(("'%s' has the label '%s', which is missing"):format(family.name, name), level + 1)
    end
    set[name] = tostring(v)
    n = n + 1
  end
  for k in pairs(values) do
    if type(k) == "number" and (k < 1 or k > n) or type(k) == "string" and set[k] == nil then
      error(("'%s' has no label '%s'"):format(family.name, tostring(k)), level + 1)
    end
  end
  return set
end

-- What all shards must agree on, as text: it is the family's key in the core.
local function meta_text(family)
  return labels_.text {name = family.name, kind = family.kind, help = family.help,
    unit = family.unit}
end

local function series_new(family, text)
  if family.count >= family.max then
    return nil
  end
  local at = core.series(family.kind, family.meta, utf8.clean(text), family.buckets)
  if not at then
    error("ENOMEM: no memory for a series", 0)
  end
  family.count = family.count + 1
  local s = {at = at, kind = family.kind, family = family, text = text}
  s.cell = cell_of and family.kind ~= "histogram" and cell_of(at) or nil
  return setmetatable(s, Series)
end

--- The series for these label values, which is made if there is none.
-- @param ... the values in the order of the labels, or one table of them by name
-- @treturn series when the family has as many series as it may, one that counts the rest of them
-- all together, with the label values "other"
function Family:with(...)
  local first = ...
  local values = type(first) == "table" and first or {...}
  local set = set_of(self, values, 2)
  local text = labels_.text(set)
  local s = self.series[text]
  if not s then
    s = series_new(self, text)
    if not s then
      return self.other(self)
    end
    self.series[text] = s
  end
  if s.gone then
    s.gone = nil
    core.series_remove(s.at, false)
  end
  return s
end

--- Do not show a series any more, until `with` asks for it again. Its number is kept: a counter
-- never goes down.
-- @param ... as of `with`
function Family:remove(...)
  local first = ...
  local set = set_of(self, type(first) == "table" and first or {...}, 2)
  local s = self.series[labels_.text(set)]
  if s then
    s.gone = true
    core.series_remove(s.at, true)
  end
end

function Family:__tostring()
  return ("ringlet.metrics.family: %s %s, %d series"):format(self.kind, self.name, self.count)
end

-- Those beyond the limit are counted together.
local function other_of(family)
  local set = {}
  for _, name in ipairs(family.labels) do
    set[name] = "other"
  end
  local text = labels_.text(set)
  if not family.series[text] then
    family.max = family.max + 1
    family.series[text] = series_new(family, text)
    family.max = family.max - 1
  end
  return family.series[text]
end

-- A family without labels passes everything on.
local function forward(family)
  local only = family:with()
  for name, method in pairs(Series) do
    if type(method) == "function" and name:sub(1, 2) ~= "__" then
      family[name] = function(_, ...)
        return method(only, ...)
      end
    end
  end
end

local KNOWN = {help = "string", labels = "table", unit = "string", max = "number"}
local KNOWN_OF_HISTOGRAMS = {help = "string", labels = "table", unit = "string", max = "number",
  buckets = "table"}

local function check_name(name, level)
  if type(name) ~= "string" or not name:find("^[%a_:][%w_:]*$") then
    error(("the name of a metric is of letters, digits and _, not '%s'"):format(tostring(name)),
      level + 1)
  elseif name:find "^ringlet_" then
    error("the names that begin with ringlet_ are the library's", level + 1)
  end
end

local function check_labels(family, level)
  for _, label in ipairs(family.labels) do
    if type(label) ~= "string" or not label:find "^%a[%w_]*$" and not label:find "^_%a[%w_]*$"
      or label == "le" or label == "shard" then
      error(("'%s' is no name for a label"):format(tostring(label)), level + 1)
    end
  end
end

local function check_buckets(buckets, level)
  for i, bound in ipairs(buckets) do
    if type(bound) ~= "number" or i > 1 and bound <= buckets[i - 1] or i > 256 then
      error("buckets are at most 256 ascending numbers", level + 1)
    end
  end
  return buckets
end

local function make(kind, name, opts, level)
  check_name(name, level)
  opts = options.check(opts, kind == "histogram" and KNOWN_OF_HISTOGRAMS or KNOWN, level)
  local family = {
    name = name, kind = kind, help = opts.help or "", unit = opts.unit or "", count = 0,
    labels = opts.labels or {}, series = {}, other = other_of, max = opts.max or SERIES_MAX,
    buckets = kind == "histogram" and check_buckets(opts.buckets or BUCKETS, level) or nil,
  }
  check_labels(family, level)
  family.meta = meta_text(family)
  return setmetatable(family, Family)
end

local function get(kind, name, opts)
  local had = M.families[name]
  local made = make(kind, name, opts, 3)
  if not had then
    M.families[name] = made
    if #made.labels == 0 then
      forward(made)
    end
    return made
  elseif had.meta ~= made.meta or table.concat(had.labels, ",") ~= table.concat(made.labels, ",")
    then
    error(("the metric '%s' exists, and is another %s"):format(name, had.kind), 3)
  end
  return had
end

--- A counter: it only goes up. Asked for again, the same one.
-- @tparam string name letters, digits and `_`; counters end in `_total` by custom
-- @tparam[opt] table opts
-- @tparam[opt=""] string opts.help what it counts
-- @tparam[opt] {string,...} opts.labels names of its labels; without, it is its only series
-- @tparam[opt=""] string opts.unit
-- @tparam[opt=10000] integer opts.max series it may have on one shard
-- @treturn family
-- @raise when a metric of that name exists that is another
-- @source the Prometheus data model
function M.counter(name, opts)
  local family = get("counter", name, opts)
  return family
end

--- A gauge: it is set, and goes up and down.
-- @tparam string name
-- @tparam[opt] table opts as of `counter`
-- @treturn family
function M.gauge(name, opts)
  local family = get("gauge", name, opts)
  return family
end

--- A histogram: it counts how often which value. Its quantiles are off by less than 1.6 %.
-- @tparam string name
-- @tparam[opt] table opts
-- @tparam[opt=""] string opts.help what it counts
-- @tparam[opt] {string,...} opts.labels names of its labels; without, it is its only series
-- @tparam[opt=""] string opts.unit
-- @tparam[opt=10000] integer opts.max series it may have on one shard
-- @tparam[opt] {number,...} opts.buckets upper bounds of what `cumulative` and exports show, which
-- are exact; by default those of Prometheus, from 5 ms to 10 s
-- @treturn family
function M.histogram(name, opts)
  local family = get("histogram", name, opts)
  return family
end

return M
