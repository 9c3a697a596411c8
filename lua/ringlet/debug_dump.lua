-- SPDX-License-Identifier: MIT
-- debug_dump: the dump of all shards, in pieces: groups, or every task.

local gather = require "ringlet.debug_gather"
local stacks = require "ringlet.stacks"
local tasks = require "ringlet.debug_tasks"
local text = require "ringlet.debug_text"

local M = {}

-- How many tasks make a piece of text.
local PIECE = 64

-- Every task of this shard, given to `put` in pieces.
local function put_tasks(opts, own, put)
  local list, said = {}, {}
  local counts = tasks.each(opts, own, function(d)
    local stack = said[d.stack]
    if not stack then
      stack = stacks.text(d.stack, opts.library)
      said[d.stack] = stack
    end
    list[#list + 1] = text.task(d, opts.library, stack)
    if #list == PIECE then
      local piece = table.concat(list)
      list = {}
      put(piece)
    end
  end, true)
  put(table.concat(list))
  return counts
end

-- The same as one text, for a shard that is asked by another.
function M.text_here(opts, own)
  local pieces = {}
  local counts = put_tasks(opts, own, function(piece)
    pieces[#pieces + 1] = piece
  end)
  return table.concat(pieces), counts
end

-- What is this shard's is not made one text.
local function write_tasks(opts, put, own)
  local counts = gather.all(M.text_here, opts, put, function()
    return "", put_tasks(opts, own, put)
  end)
  put(text.counts(counts))
end

local function write_groups(opts, put, own)
  local lists = {}
  local counts = gather.all(tasks.groups, opts, function(list)
    lists[#lists + 1] = list
  end, function()
    return tasks.groups(opts, own)
  end)
  put(text.counts(counts))
  for _, group in ipairs(text.merged(lists)) do
    put(text.group(group, opts.library))
  end
end

-- What takes a piece: a function as it is, of a file its write.
local function putter(to)
  if type(to) == "function" then
    return to
  end
  return function(piece)
    if piece ~= "" then
      to:write(piece)
    end
  end
end

-- Write the dump to opts.to, or return it. `own`: as for a walk.
function M.write(opts, own)
  local write = opts.debug == 2 and write_tasks or write_groups
  if opts.to then
    write(opts, putter(opts.to), own)
    return true
  end
  local pieces = {}
  write(opts, function(piece)
    pieces[#pieces + 1] = piece
  end, own)
  return table.concat(pieces)
end

return M
