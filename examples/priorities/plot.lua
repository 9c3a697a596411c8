-- SPDX-License-Identifier: MIT
-- Draws latencies over time as an SVG, for compare.lua: a dot for each request on a logarithmic
-- scale, and a line through the medians of short spans.

local M = {}

local WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 900, 460, 64, 16, 104, 44
local SPANS = 60 -- of time; each has a median
local COLOURS = {"#d55e00", "#0072b2", "#009e73"} -- told apart by whoever sees colours differently
local ENTITIES = {["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;"}

local function escape(text)
  return (text:gsub("[&<>]", ENTITIES))
end

-- The value below which this part of a sorted list is.
function M.quantile(sorted, q)
  return sorted[math.max(1, math.ceil(#sorted * q))]
end

local function log10(x) return math.log(x) / math.log(10) end

-- Functions from seconds and from latencies to places, and the decades between which latencies are,
-- but for the few lowest.
local function scales(series, seconds)
  local all = {}
  for _, s in ipairs(series) do
    for _, point in ipairs(s.points) do
      all[#all + 1] = point[2]
    end
  end
  table.sort(all)
  local from, to = math.floor(log10(M.quantile(all, 0.02))), math.ceil(log10(all[#all]))
  local function x(at) return LEFT + (WIDTH - LEFT - RIGHT) * at / seconds end
  local function y(latency)
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * math.max(0, log10(latency) - from)
      / (to - from)
  end
  return x, y, from, to
end

local function add_text(out, x, y, text, more)
  out[#out + 1] = ('<text x="%g" y="%g" %s>%s</text>'):format(x, y, more or "", escape(text))
end

local function add_line(out, x1, y1, x2, y2)
  out[#out + 1] = ('<path d="M%g %gL%g %g" stroke="#d0d0d0" fill="none"/>'):format(x1, y1, x2, y2)
end

local function add_axes(out, x, y, from, to, seconds)
  for decade = from, to do
    local value = 10 ^ decade
    add_line(out, LEFT, y(value), WIDTH - RIGHT, y(value))
    add_text(out, LEFT - 8, y(value) + 4, value >= 1 and ("%g s"):format(value)
      or ("%g ms"):format(value * 1000), 'text-anchor="end"')
  end
  for at = 0, seconds do
    add_text(out, x(at), HEIGHT - BOTTOM + 20, ("%d s"):format(at), 'text-anchor="middle"')
  end
end

local function add_load(out, x, plot)
  local left, right = x(plot.load.from), x(plot.load.till)
  out[#out + 1] = ('<rect x="%g" y="%g" width="%g" height="%g" fill="#f0ede4"/>'):format(left, TOP,
    right - left, HEIGHT - TOP - BOTTOM)
  add_text(out, (left + right) / 2, HEIGHT - 8, plot.load.name, 'text-anchor="middle"')
end

local function add_points(out, x, y, series, colour)
  local d = {}
  for i, point in ipairs(series.points) do
    d[i] = ("M%.1f %.1fh0"):format(x(point[1]), y(point[2]))
  end
  out[#out + 1] = ('<path d="%s" stroke="%s" stroke-width="3" stroke-linecap="round" '
    .. 'opacity="0.35"/>'):format(table.concat(d), colour)
end

local function add_medians(out, x, y, series, colour, seconds)
  local spans, d = {}, {}
  for _, point in ipairs(series.points) do
    local i = math.floor(point[1] / seconds * SPANS)
    spans[i] = spans[i] or {}
    table.insert(spans[i], point[2])
  end
  for i = 0, SPANS - 1 do
    if spans[i] then
      table.sort(spans[i])
      d[#d + 1] = ("%.1f %.1f"):format(x((i + 0.5) * seconds / SPANS),
        y(M.quantile(spans[i], 0.5)))
    end
  end
  out[#out + 1] = ('<path d="M%s" stroke="%s" stroke-width="2" fill="none"/>'):format(
    table.concat(d, "L"), colour)
end

--- The picture: {title=, seconds=, load={name=, from=, till=}, series={{name=, points={{seconds,
-- latency in seconds}, ...}}, ...}}, with at most three series.
function M.svg(plot)
  local x, y, from, to = scales(plot.series, plot.seconds)
  local out = {
    ('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img" '
      .. 'font-family="system-ui, sans-serif" font-size="13" fill="#303030">'):format(WIDTH,
      HEIGHT),
    ("<title>%s</title>"):format(escape(plot.title)),
    ('<rect width="%d" height="%d" fill="#ffffff"/>'):format(WIDTH, HEIGHT),
  }
  add_text(out, LEFT, 24, plot.title, 'font-size="16" font-weight="bold"')
  add_load(out, x, plot)
  add_axes(out, x, y, from, to, plot.seconds)
  for i, series in ipairs(plot.series) do
    add_points(out, x, y, series, COLOURS[i])
  end
  for i, series in ipairs(plot.series) do -- above all dots
    add_medians(out, x, y, series, COLOURS[i], plot.seconds)
    add_text(out, LEFT, 28 + i * 20, "● " .. series.name, ('fill="%s" font-weight="bold"'):format(
      COLOURS[i]))
  end
  out[#out + 1] = "</svg>"
  return table.concat(out, "\n") .. "\n"
end

return M
