-- SPDX-License-Identifier: MIT
-- A strict parser of what Prometheus and OpenMetrics scrapers read. `parse(text, format)` gives
-- {[family] = {type=, help=, unit=, samples = {{name=, labels=, value=}, ...}}}, or raises.

local M = {}

local ESCAPES = {n = "\n", ["\\"] = "\\", ['"'] = '"'}

local SUFFIXES = {
  prometheus = {counter = {[""] = true}, gauge = {[""] = true},
    histogram = {_bucket = true, _sum = true, _count = true}},
  openmetrics = {counter = {_total = true}, gauge = {[""] = true},
    histogram = {_bucket = true, _sum = true, _count = true}},
}

local function number(text, line)
  local special = {["+Inf"] = math.huge, ["-Inf"] = -math.huge, NaN = 0 / 0}
  if special[text] then
    return special[text]
  end
  assert(text:find "^%-?%d+%.?%d*$" or text:find "^%-?%d+%.?%d*e[+-]%d+$", "no number: " .. line)
  return tonumber(text)
end

local function check_utf8(s)
  local rest = s:gsub("[\194-\223][\128-\191]", ""):gsub("[\224-\239][\128-\191][\128-\191]", "")
    :gsub("[\240-\244][\128-\191][\128-\191][\128-\191]", "")
  assert(not rest:find "[\128-\255]", "no UTF-8: " .. s)
end

local function parse_labels(text, line)
  local set, at = {}, 1
  while at <= #text do
    local name, from = text:match('^([%a_][%w_]*)="()', at)
    assert(name and name:sub(1, 2) ~= "__" and set[name] == nil, "bad label: " .. line)
    local value = {}
    at = from
    while true do
      local c = text:sub(at, at)
      assert(c ~= "" and c ~= "\n", "open string: " .. line)
      if c == '"' then break end
      if c == "\\" then
        at = at + 1
        c = assert(ESCAPES[text:sub(at, at)], "bad escape: " .. line)
      end
      value[#value + 1] = c
      at = at + 1
    end
    set[name] = table.concat(value)
    at = at + 1
    if at <= #text then
      assert(text:sub(at, at) == "," and at < #text, "bad labels: " .. line)
      at = at + 1
    end
  end
  return set
end

local function key(name, set, without)
  local out = {}
  for k, v in pairs(set) do
    if k ~= without then
      out[#out + 1] = ("%s=%q"):format(k, v)
    end
  end
  table.sort(out)
  return name .. "{" .. table.concat(out, ",") .. "}"
end

-- Buckets ascend, do not shrink, and the last is the count.
local function check_histogram(name, family)
  local series = {}
  for _, s in ipairs(family.samples) do
    local id = key("", s.labels, "le")
    local h = series[id] or {bound = -math.huge, seen = 0}
    series[id] = h
    if s.name == name .. "_bucket" then
      local bound = number(s.labels.le, s.name)
      assert(bound > h.bound and s.value >= h.seen, "buckets of " .. name .. " are not in order")
      h.bound, h.seen = bound, s.value
    elseif s.name == name .. "_count" then
      assert(h.bound == math.huge and h.seen == s.value, name .. ": +Inf is not the count")
      h.count = s.value
    end
  end
  for id, h in pairs(series) do
    assert(h.count, name .. id .. " has no count")
  end
end

local function head(families, state, kind, name, rest)
  if name ~= state.name then
    assert(not families[name], "the lines of " .. name .. " do not follow each other")
    families[name] = {samples = {}}
    state.name = name
  end
  local f = families[name]
  kind = kind:lower()
  assert(not f[kind] and #f.samples == 0, ("a second %s of %s"):format(kind, name))
  f[kind] = rest
end

local function sample(families, state, line)
  local name, rest = line:match "^([%a_:][%w_:]*)(.*)$"
  assert(name, "no line: " .. line)
  local labels, value = rest:match "^{(.*)} (%S+)$"
  value = value or rest:match "^ (%S+)$"
  assert(value, "no sample: " .. line)
  local f = assert(families[state.name], "no TYPE before " .. line)
  local suffix = name:sub(#state.name + 1)
  assert(name:sub(1, #state.name) == state.name
    and assert(SUFFIXES[state.format][f.type], line)[suffix], "not of its family: " .. line)
  local s = {name = name, labels = parse_labels(labels or "", line), value = number(value, line)}
  assert((suffix == "_bucket") == (s.labels.le ~= nil), "le is of buckets: " .. line)
  local id = key(name, s.labels)
  assert(not state.seen[id], "twice: " .. line)
  state.seen[id] = true
  assert(f.type ~= "counter" or s.value >= 0, "less than 0: " .. line)
  f.samples[#f.samples + 1] = s
end

function M.parse(text, format)
  local families, state = {}, {format = format or "prometheus", seen = {}}
  assert(text == "" or text:sub(-1) == "\n", "the last line does not end")
  check_utf8(text)
  local ended
  for line in text:gmatch "([^\n]*)\n" do
    assert(not ended and line ~= "", "lines after the end, or empty ones")
    local kind, name, rest = line:match "^# (%u+) ([%a_:][%w_:]*) (.*)$"
    if kind then
      assert(kind == "HELP" or kind == "TYPE" or kind == "UNIT" and format == "openmetrics", line)
      head(families, state, kind, name, rest)
    elseif line == "# EOF" then
      ended = true
    else
      sample(families, state, line)
    end
  end
  assert(ended == (format == "openmetrics" or nil), "the end is not where it belongs")
  for name, f in pairs(families) do
    assert(f.type, name .. " has no TYPE")
    assert(not f.unit or name:sub(-#f.unit - 1) == "_" .. f.unit, name .. " without its unit")
    if f.type == "histogram" then
      check_histogram(name, f)
    end
  end
  return families
end

-- The value of one line: of the family, with these labels; nil if there is none.
function M.value(families, name, labels, suffix)
  for _, s in ipairs((families[name] or {samples = {}}).samples) do
    if s.name == name .. (suffix or "") and key("", s.labels) == key("", labels) then
      return s.value
    end
  end
  return nil
end

return M
