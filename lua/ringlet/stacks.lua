-- SPDX-License-Identifier: MIT
-- stacks: the Lua stack of a coroutine as a list of frames, innermost first, and its text.
--
-- A frame is {name = what the function is called, or "file:line" of its definition, file =
-- short_src, line = the current one, defined = the first one, what = "Lua", "main" or "C", library
-- = true for a frame of ours}. Frames of ours are left out of texts and keys unless there are no
-- others: what they wait for is told by the reason and the object. A stack goes on into the user's
-- coroutine that a task is parked in. The core reads stacks (src/lua/ldump.c); who reads many
-- keeps a book of it, in which identical ones have the same number.

local core = require "ringlet.core"

local M = {}

-- How the names of our own source files begin, and what this one is called in a frame.
local LIBRARY = debug.getinfo(1, "S").source:gsub("stacks%.lua$", "")
local OWN = debug.getinfo(1, "S").short_src

-- Is it a function of the library? `info` has "S" of debug.getinfo.
function M.is_ours(info)
  return info.source:sub(1, #LIBRARY) == LIBRARY
end

-- The stack of a coroutine: a list of frames.
function M.capture(co)
  local book = core.book()
  return core.frames(book, (core.stack(book, co)))
end

-- The stack of the calling code. Level 1 is the caller of `here`, which is the first frame of this
-- file.
function M.here(level)
  local book, own = core.book(), 1
  local number = core.stack(book)
  local frames, list = core.frames(book, number), {}
  while frames[own].file ~= OWN do
    own = own + 1
  end
  for i = own + (level or 1), #frames do
    list[#list + 1] = frames[i]
  end
  return list
end

-- What stands for the stack of a task that has not begun: its function, in a frame with new = true.
function M.of_function(fn)
  local info = debug.getinfo(fn, "S")
  local place = ("%s:%d"):format(info.short_src, info.linedefined)
  return {{
    name = place, file = info.short_src, line = info.linedefined, defined = info.linedefined,
    what = info.what, library = M.is_ours(info) or nil, new = true,
  }}
end

-- The frames that are shown: those of users, or all if there are no others or `library` is set.
function M.shown(frames, library)
  local list = {}
  for _, frame in ipairs(frames) do
    if library or not frame.library then
      list[#list + 1] = frame
    end
  end
  return list[1] and list or frames
end

-- "file:line" of a frame.
function M.place_of(frame)
  return frame.line > 0 and ("%s:%d"):format(frame.file, frame.line) or frame.file
end

-- "file:line" of the innermost frame that is a user's and in Lua, or nil.
function M.place(frames)
  for _, frame in ipairs(frames) do
    if not frame.library and frame.line > 0 then
      return M.place_of(frame)
    end
  end
end

-- A string that is the same for stacks that look the same.
function M.key(frames, library)
  local list = {}
  for i, frame in ipairs(M.shown(frames, library)) do
    list[i] = M.place_of(frame)
  end
  return table.concat(list, "\n")
end

-- A stack as Go writes it: for each frame its name, and on a line of its own after `indent` its
-- place.
function M.text(frames, library, indent)
  local list = {}
  for i, frame in ipairs(M.shown(frames, library)) do
    list[i] = ("%s%s\n%s%s\n"):format(frame.name, frame.new and " (not started)" or "",
      indent or "\t", M.place_of(frame))
  end
  return table.concat(list)
end

-- What a function of the library was called on, as text; `name` is that of the local that has it.
function M.object_text(object, name)
  if name == "cases" then
    return type(object) == "table" and ("%d cases"):format(#object) or nil
  end
  return object ~= nil and tostring(object) or nil
end

-- What a parked coroutine waits for, as text or nil, and M.place of its stack.
function M.waits_for(co)
  local book = core.book()
  local number, object, name = core.stack(book, co, 0, true)
  return M.object_text(object, name), M.place(core.frames(book, number))
end

return M
