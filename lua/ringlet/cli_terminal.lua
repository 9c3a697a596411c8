-- SPDX-License-Identifier: MIT
-- cli_terminal: the terminal that `ringlet top` is shown on: pictures out, keys in. Without a
-- curses library: the sequences are those of ECMA-48 that every terminal since the VT100 knows.
--
-- Invariant: whatever happens, `close` leaves the terminal as it was: its mode, its screen, its
-- cursor.

local core = require "ringlet.core"

local M = {}

local ENTER, LEAVE = "\27[?1049h\27[?25l", "\27[0m\27[?25h\27[?1049l"
local HOME, TO_END_OF_LINE, REST = "\27[H", "\27[K", "\27[J"

-- Without colours: bold, dim and reversed.
local PLAIN = {
  title = "7", head = "1", tabs = "1", chosen = "7", dim = "2", warning = "1", foot = "2",
}
local COLOURED = {
  title = "7", head = "1;36", tabs = "1;33", chosen = "7", dim = "2", warning = "1;31", foot = "2",
}

-- A picture as bytes: each line in its place, what was there before gone.
function M.paint(lines, coloured)
  local styles, out = coloured and COLOURED or PLAIN, {HOME}
  for i, line in ipairs(lines) do
    local style = styles[line.style]
    out[#out + 1] = (i > 1 and "\r\n" or "")
      .. (style and "\27[" .. style .. "m" .. line.text .. "\27[0m" or line.text) .. TO_END_OF_LINE
  end
  out[#out + 1] = REST
  return table.concat(out)
end

-- A picture as plain text.
function M.plain(lines)
  local out = {}
  for i, line in ipairs(lines) do
    out[i] = line.text:gsub("%s+$", "") .. "\n"
  end
  return table.concat(out)
end

-- Are stdin and stdout a terminal?
function M.is_there()
  local term = os.getenv "TERM"
  return term ~= "dumb" and core.terminal_size(0) ~= nil and core.terminal_size(1) ~= nil
end

-- https://no-color.org: any value but none.
function M.is_coloured()
  local no = os.getenv "NO_COLOR"
  return no == nil or no == ""
end

-- Columns and rows of stdout, or nil.
function M.size()
  local columns, rows = core.terminal_size(1)
  return columns, columns and rows
end

-- Take it: on_key(text) is told what is typed, on_key(nil) that the terminal is gone; on_resize()
-- that its size is another. true; nil and a message.
function M.open(on_key, on_resize)
  local ok, code = core.terminal_open(on_key)
  if not ok then
    return nil, (core.errmsg(code))
  end
  core.on_resize(on_resize)
  io.write(ENTER)
  io.flush()
  return true
end

function M.show(lines)
  io.write(M.paint(lines, M.is_coloured()))
  io.flush()
end

function M.close()
  core.on_resize(nil)
  core.terminal_close()
  io.write(LEAVE)
  io.flush()
end

return M
