-- SPDX-License-Identifier: MIT
-- cli_top: `ringlet top`: a process in a terminal, second by second. A ringlet program: one task
-- reads the process, one takes profiles while hot spots are shown, the main one draws when either
-- has something, a key was pressed, or the terminal has another size. So a process that does not
-- answer does not hold up the keys.
--
-- What was read is cli_top_reading, what is wanted cli_top_view, a picture cli_top_frame.

local client = require "ringlet.cli_client"
local frame = require "ringlet.cli_top_frame"
local hot = require "ringlet.cli_top_hot"
local lints = require "ringlet.lints"
local readings = require "ringlet.cli_top_reading"
local rl = require "ringlet"
local terminal = require "ringlet.cli_terminal"
local views = require "ringlet.cli_top_view"

local M = {
  name = "top", summary = "a process in the terminal, second by second", positional = "[TARGET]",
  most = 1, about = [[
Shows the tasks, shards and hot spots of a process, and what looks wrong with them, second by
second. In the terminal, `?` lists the keys. Where there is none, pictures are printed.]],
  options = client.options {
    {name = "once", kind = "flag", help = "print one picture"},
    {name = "count", short = "n", kind = "number", min = 1, value = "N",
      help = "print so many pictures"},
    {name = "every", short = "d", kind = "number", min = 0.1, value = "SECONDS",
      help = "how often to look (1)"},
    {name = "screen", kind = "string", value = "NAME",
      help = "tasks, stacks, hot (spots) or warnings"},
    {name = "sort", kind = "string", value = "ORDER", help = "wait, state, name, label or id"},
    {name = "filter", kind = "string", value = "TEXT", help = "only what has this text"},
    {name = "rows", kind = "number", min = 1, value = "N", help = "lines of a printed picture"},
    {name = "leaks", kind = "flag", help = "look for leaked tasks, once"},
  },
}

local WIDTH = 120   -- of a picture that is printed
local APART = 0.3   -- seconds between the two readings that one picture needs
local SAMPLED = 1   -- seconds of a profile

-- ---- reading ------------------------------------------------------------------------------------

-- Read the process once; nil and a message. What looks wrong comes from this reading and the last.
local function read(state)
  local now, msg = readings.take(state.client)
  if not now then
    return nil, msg
  end
  now.leaks = state.leaks
  local list = lints.compare(state.now, now)
  now.lints = {}
  for i, lint in ipairs(list) do
    now.lints[i] = lints.text(lint)
  end
  now.hot, now.hot_message = state.hot, state.hot_message
  state.before, state.now = state.now, now
  return now
end

local function sample(state)
  local text, msg = state.client:get("/debug/profile",
    {type = "cpu", seconds = SAMPLED, format = "folded"}, 2 * SAMPLED)
  state.hot, state.hot_message = text and hot.of(text) or nil, msg
  if state.now then
    state.now.hot, state.now.hot_message = state.hot, state.hot_message
  end
end

local function find_leaks(state)
  local list, msg = readings.leaks(state.client)
  state.leaks = list or state.leaks
  return list and true, msg
end

-- ---- in the terminal ----------------------------------------------------------------------------

-- Read as often as is wanted, and tell of it.
local function keep_reading(state, events)
  while true do
    if not state.view.paused or not state.now then
      local now, msg = read(state)
      state.view.failed = not now and msg or nil
      events:send "read"
    end
    state.awake:clear()
    state.awake:wait(state.before and state.view.every or APART)
  end
end

-- Take profiles while they are looked at.
local function keep_sampling(state, events)
  while true do
    if state.view.screen == "hot spots" and not state.view.paused then
      sample(state)
      events:send "sampled"
    end
    rl.sleep(0.1)
  end
end

local function draw(state)
  local columns, lines = terminal.size()
  if columns and state.now then
    terminal.show(frame.lines(state.now, state.before, state.view, columns, lines))
  elseif columns then
    terminal.show {{text = state.view.failed or "reading..."}}
  end
end

local function press(state, typed)
  for _, key in ipairs(views.keys(typed)) do
    local wanted = views.press(state.view, key, state.now or readings.NOTHING)
    if wanted == "quit" then
      return "quit"
    elseif wanted == "leaks" then
      rl.daemon(function()
        local ok, msg = find_leaks(state)
        state.view.message = ok and ("%d leaked"):format(#state.leaks) or msg
        state.awake:set()
      end)
    end
  end
end

local function interact(state)
  local events = rl.chan(64)
  local ok, msg = terminal.open(function(typed)
    events:try_send(typed and {typed = typed} or "gone")
  end, function()
    events:try_send "resized"
  end)
  if not ok then
    return nil, msg
  end
  return rl.finally(function()
    rl.daemon(keep_reading, state, events)
    rl.daemon(keep_sampling, state, events)
    for event in events:iter() do
      if event == "gone" or event.typed and press(state, event.typed) == "quit" then
        return 0
      end
      draw(state)
    end
  end, terminal.close)
end

-- ---- printed ------------------------------------------------------------------------------------

local function print_one(state, args)
  local now, msg = read(state)
  if not now then
    return nil, msg
  end
  local columns = terminal.size()
  local lines = frame.lines(now, state.before, state.view, columns or WIDTH)
  for i = (args.rows or #lines) + 1, #lines do
    lines[i] = nil
  end
  io.write(terminal.plain(lines))
  io.flush()
  return true
end

local function print_all(state, args)
  local ok, msg = read(state)
  if ok and args.leaks then
    ok, msg = find_leaks(state)
  end
  if not ok then
    return nil, msg
  end
  if state.view.screen == "hot spots" then
    sample(state)
  end
  local left = args.once and 1 or args.count or math.huge
  local pause = args.once and math.min(APART, state.view.every) or state.view.every
  while left > 0 do
    rl.sleep(pause)
    ok, msg = print_one(state, args)
    if not ok then
      return nil, msg
    end
    left, pause = left - 1, state.view.every
    io.write(left > 0 and "\n" or "")
  end
  return 0
end

-- ---- the command --------------------------------------------------------------------------------

local SCREENS = {
  tasks = "tasks", stacks = "stacks", hot = "hot spots", ["hot spots"] = "hot spots",
  warnings = "warnings",
}
local ORDERS = {wait = true, state = true, name = true, label = true, id = true}

-- The view that the options ask for; nil and what is wrong with them.
function M.view(args)
  local screen = SCREENS[args.screen or "tasks"]
  if not screen then
    return nil, ("--screen: tasks, stacks, hot or warnings, not '%s'"):format(args.screen)
  elseif args.sort and not ORDERS[args.sort] then
    return nil, ("--sort: wait, state, name, label or id, not '%s'"):format(args.sort)
  end
  return views.new {screen = screen, sort = args.sort, filter = args.filter, every = args.every}
end

function M.run(args)
  local view, why = M.view(args)
  if not view then
    return 2, why
  end
  return client.with(args, function(c)
    local state = {client = c, view = view, awake = rl.event()}
    if args.once or args.count or not terminal.is_there() then
      return print_all(state, args)
    end
    return interact(state)
  end)
end

return M
