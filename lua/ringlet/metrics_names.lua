-- SPDX-License-Identifier: MIT
-- metrics_names: what metrics are called where Prometheus reads them.
--
-- `/sched/parks:parks` is ringlet_sched_parks_total there: slashes and dashes become underscores, a
-- unit that is a base unit of Prometheus goes at the end, and counters end in _total. The states of
-- tasks are one family. A name of the program's own stays what it is, but for that _total.

local labels = require "ringlet.labels"
local runtime = require "ringlet.metrics_runtime"
local utf8 = require "ringlet.utf8"

local M = {families = {}}

local BASE_UNITS = {seconds = true, bytes = true}

-- Entries that are members of one family.
local STATES = {
  ["/tasks/running:tasks"] = "running", ["/tasks/runnable:tasks"] = "runnable",
  ["/tasks/waiting:tasks"] = "waiting",
}

local function add_suffix(name, suffix)
  return name:sub(-#suffix) == suffix and name or name .. suffix
end

local function kind_of(entry)
  if entry.kind == "histogram" then
    return "histogram"
  end
  return entry.cumulative and "counter" or "gauge"
end

-- The name of an entry of the runtime.
local function text_name(entry)
  local path, unit = entry.name:match "^/([^:]+):(.*)$"
  local name = "ringlet_" .. path:gsub("[/-]", "_")
  if BASE_UNITS[unit] then
    name = add_suffix(name, "_" .. unit)
  end
  return kind_of(entry) == "counter" and name .. "_total" or name
end

local function add_family(entry)
  local about = {text_name = text_name(entry), kind = kind_of(entry), help = entry.help,
    unit = entry.unit, members = {{entry = entry, set = ""}}}
  M.families[#M.families + 1] = about
  return about
end

local states
for _, entry in ipairs(runtime.list) do
  local state = STATES[entry.name]
  if not state then
    add_family(entry)
  else
    local member = {entry = entry, set = ('state="%s"'):format(state)}
    if states then
      states.members[#states.members + 1] = member
    else
      states = add_family(entry)
      states.text_name, states.help, states.members = "ringlet_tasks", "Tasks by state.", {member}
    end
  end
end

-- The name of a family of the program's own.
function M.of_user(about)
  return about.kind == "counter" and add_suffix(about.name, "_total") or about.name
end

-- Whether a family is asked for, by its own name or one of the metrics in it.
function M.is_wanted(about, wanted)
  for _, member in ipairs(about.members) do
    local name = member.entry.name
    if wanted[name] or wanted[name:match "^[^:]+"] then
      return true
    end
  end
  return wanted[about.text_name] or false
end

-- OpenMetrics tells a unit only where the name ends in it.
function M.has_unit(name, unit)
  return unit ~= nil and unit ~= "" and name:sub(-#unit - 1) == "_" .. unit
end

-- The text of a set of task labels with names that a scraper takes.
function M.labels(text)
  local set, fits, order = labels.parse(text), {}, {}
  local changed = text:find "[\128-\255]"
  for name in pairs(set) do
    order[#order + 1] = name
  end
  table.sort(order)
  for _, name in ipairs(order) do
    local fit = name:gsub("[^%w_]", "_"):gsub("^__+", "_"):gsub("^%d", "_%0")
    while fits[fit] do
      fit = fit .. "_"
    end
    fits[fit] = utf8.clean(set[name])
    changed = changed or fit ~= name
  end
  return changed and labels.text(fits) or text
end

return M
