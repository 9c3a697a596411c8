-- SPDX-License-Identifier: MIT
-- cli_top_view: what is wanted to be seen in `ringlet top`, and how keys change it. A pure machine:
-- no clock, no terminal.
--
-- A view is {screen=, sort=, reverse=, filter=, typing= what was typed of a filter, chosen=
-- {shard=, id=}, open= its stack is shown, paused=, help=, every= seconds, message=, failed= why
-- nothing was read}. `press` tells what is to be done beyond it: "quit", "leaks".

local rows = require "ringlet.cli_top_rows"

local M = {}

local FASTEST, SLOWEST = 0.25, 60

function M.new(opts)
  return {
    screen = opts.screen or "tasks", sort = opts.sort or "wait", reverse = false,
    filter = opts.filter or "", every = opts.every or 1, open = false, paused = false, help = false,
  }
end

local function next_of(list, value, by)
  for i, v in ipairs(list) do
    if v == value then
      return list[(i - 1 + by) % #list + 1]
    end
  end
  return list[1]
end

-- Choose the task that is `by` lines below.
local function move(view, now, by)
  local list, at = rows.tasks(now, view), 0
  for i, d in ipairs(list) do
    if view.chosen and d.id == view.chosen.id and d.shard == view.chosen.shard then
      at = i
    end
  end
  local d = list[math.max(1, math.min(#list, at + by))]
  view.chosen = d and {shard = d.shard, id = d.id}
  view.open = view.open and d ~= nil
end

local KEYS = {
  ["\t"] = function(view) view.screen = next_of(rows.SCREENS, view.screen, 1) end,
  s = function(view) view.sort = next_of(rows.ORDERS, view.sort, 1) end,
  r = function(view) view.reverse = not view.reverse end,
  [" "] = function(view) view.paused = not view.paused end,
  ["/"] = function(view) view.typing = view.filter end,
  ["?"] = function(view) view.help = not view.help end,
  ["+"] = function(view) view.every = math.max(view.every / 2, FASTEST) end,
  ["-"] = function(view) view.every = math.min(view.every * 2, SLOWEST) end,
  enter = function(view) view.open = not view.open and view.chosen ~= nil end,
  esc = function(view) view.filter, view.chosen, view.open, view.help = "", nil, false, false end,
  up = function(view, now) move(view, now, -1) end,
  down = function(view, now) move(view, now, 1) end,
  pageup = function(view, now) move(view, now, -10) end,
  pagedown = function(view, now) move(view, now, 10) end,
  home = function(view, now) move(view, now, -math.huge) end,
  ["end"] = function(view, now) move(view, now, math.huge) end,
  q = function() return "quit" end,
  l = function(view)
    view.screen = "warnings"
    return "leaks"
  end,
}
KEYS.k, KEYS.j, KEYS.h = KEYS.up, KEYS.down, KEYS["?"]
for i, screen in ipairs(rows.SCREENS) do
  KEYS[tostring(i)] = function(view) view.screen = screen end
end

-- A key while a filter is typed.
local function type_key(view, key)
  if key == "enter" then
    view.filter, view.typing = view.typing, nil
  elseif key == "esc" then
    view.typing = nil
  elseif key == "backspace" then
    view.typing = view.typing:gsub("[%z\1-\127\194-\244][\128-\191]*$", "")
  elseif #key == 1 and key:byte() >= 32 or key:byte() >= 128 then
    view.typing = view.typing .. key
  end
end

-- A key was pressed; what is to be done beyond the view.
function M.press(view, key, now)
  view.message = nil
  if view.typing then
    type_key(view, key)
    return nil
  end
  local fn = KEYS[key]
  return fn and fn(view, now) or nil
end

-- ---- keys ---------------------------------------------------------------------------------------

local SEQUENCES = {
  ["[A"] = "up", ["[B"] = "down", ["OA"] = "up", ["OB"] = "down", ["[5~"] = "pageup",
  ["[6~"] = "pagedown", ["[H"] = "home", ["[F"] = "end", ["OH"] = "home", ["OF"] = "end",
  ["[1~"] = "home", ["[4~"] = "end",
}
local PLAIN = {["\r"] = "enter", ["\n"] = "enter", ["\127"] = "backspace", ["\8"] = "backspace",
  ["\4"] = "q", ["\3"] = "q"}

-- What was typed, as keys. An escape that begins nothing is the key.
function M.keys(typed)
  local list, i = {}, 1
  while i <= #typed do
    local c = typed:match("^[%z\1-\127\194-\244][\128-\191]*", i) or typed:sub(i, i)
    local sequence = c == "\27" and (typed:match("^O%u", i + 1)
      or typed:match("^%[[%d;]*[%a~]", i + 1))
    if sequence then
      list[#list + 1] = SEQUENCES[sequence]
      i = i + #sequence
    else
      list[#list + 1] = c == "\27" and "esc" or PLAIN[c] or c
    end
    i = i + #c
  end
  return list
end

return M
