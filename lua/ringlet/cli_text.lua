-- SPDX-License-Identifier: MIT
-- cli_text: numbers, spans of time and tables as people read them in a terminal. Pure functions.
--
-- Invariant: nothing that comes from a process leaves as a control character: a name of a task
-- cannot move the cursor.

local M = {}

local function groups(digits)
  local text = digits:reverse():gsub("(%d%d%d)", "%1,"):reverse()
  return (text:gsub("^,", ""))
end

-- 1234567 -> "1,234,567"; 0.25 -> "0.25"
function M.number(n)
  if n == nil then
    return "-"
  elseif n % 1 == 0 or n >= 100 then
    return groups(("%.0f"):format(n))
  end
  return ("%.3g"):format(n)
end

local SIZES = {{2 ^ 40, "TiB"}, {2 ^ 30, "GiB"}, {2 ^ 20, "MiB"}, {2 ^ 10, "KiB"}}

function M.bytes(n)
  if n == nil then
    return "-"
  end
  for _, size in ipairs(SIZES) do
    if n >= size[1] then
      local scaled = n / size[1]
      return (scaled < 100 and "%.1f %s" or "%.0f %s"):format(scaled, size[2])
    end
  end
  return ("%.0f B"):format(n)
end

local function long(t)
  if t < 3600 then
    return ("%dm%02ds"):format(math.floor(t / 60), math.floor(t % 60))
  elseif t < 86400 then
    return ("%dh%02dm"):format(math.floor(t / 3600), math.floor(t / 60) % 60)
  end
  return ("%dd%02dh"):format(math.floor(t / 86400), math.floor(t / 3600) % 24)
end

-- Seconds: "12 us", "1.5 ms", "3.2 s", "4m05s"
function M.seconds(t)
  if t == nil then
    return "-"
  elseif t >= 60 then
    return long(t)
  elseif t >= 1 then
    return ("%.1f s"):format(t)
  elseif t >= 1e-3 then
    return (t < 0.01 and "%.1f ms" or "%.0f ms"):format(t * 1e3)
  end
  return ("%.0f us"):format(t * 1e6)
end

-- Without control characters.
function M.clean(text)
  return (tostring(text):gsub("[%z\1-\31\127]", "?"):gsub("\194[\128-\159]", "?"))
end

local CHARACTER = "[%z\1-\127\194-\244][\128-\191]*"

-- The number of characters.
function M.width(text)
  return select(2, text:gsub(CHARACTER, ""))
end

-- Cut to so many columns, the last of which then tells that it was.
function M.cut(text, width)
  if #text <= width or M.width(text) <= width then
    return text
  end
  local out = {}
  for c in text:gmatch(CHARACTER) do
    if #out >= width - 1 then
      break
    end
    out[#out + 1] = c
  end
  return table.concat(out) .. (width > 0 and "~" or "")
end

-- Broken at spaces into lines of so many columns, the second and further ones indented.
function M.wrap(text, width)
  local lines, line = {}, ""
  for word in text:gmatch "%S+" do
    local longer = line == "" and word or line .. " " .. word
    if line:find "%S" and M.width(longer) > width then
      lines[#lines + 1] = line
      longer = "  " .. word
    end
    line = longer
  end
  lines[#lines + 1] = line
  return lines
end

local function padded(text, width, right)
  local space = (" "):rep(width - M.width(text))
  return right and space .. text or text .. space
end

-- Lines of a table: `columns` is a list of {title=, right= aligned so, max= width}, the last one
-- has what is left of `width`; `rows` a list of lists of texts. The titles are the first line.
function M.table(columns, rows, width)
  local widths, lines = {}, {}
  for i, column in ipairs(columns) do
    widths[i] = M.width(column.title)
    for _, row in ipairs(rows) do
      widths[i] = math.max(widths[i], math.min(M.width(row[i]), column.max or math.huge))
    end
  end
  local function line(cells)
    local out = {}
    for i, column in ipairs(columns) do
      out[i] = padded(M.cut(cells[i], widths[i]), widths[i], column.right)
    end
    local text = table.concat(out, "  "):gsub("%s+$", "")
    return width and M.cut(text, width) or text
  end
  local titles = {}
  for i, column in ipairs(columns) do
    titles[i] = column.title
  end
  lines[1] = line(titles)
  for _, row in ipairs(rows) do
    lines[#lines + 1] = line(row)
  end
  return lines
end

-- {a = 1, b = "x"} -> "a=1 b=x"
function M.labels(labels)
  local names = {}
  for name in pairs(labels or {}) do
    names[#names + 1] = tostring(name)
  end
  table.sort(names)
  for i, name in ipairs(names) do
    names[i] = M.clean(name .. "=" .. tostring(labels[name]))
  end
  return table.concat(names, " ")
end

return M
