-- SPDX-License-Identifier: MIT
-- admin_tasks: descriptions of tasks as JSON, in slices; and what an administrator may do to them.

local core = require "ringlet.core"
local dumps = require "ringlet.debug"
local jobs = require "ringlet.jobs"
local json = require "ringlet.json_write"
local stacks = require "ringlet.stacks"
local task = require "ringlet.task"
local vars = require "ringlet.admin_vars"

local M = {}

-- What a description has that is written as it is.
local FIELDS = {"id", "shard", "name", "labels", "daemon", "priority", "state", "reason", "since",
  "unparked", "was", "object", "others", "lost", "preempted", "overran", "site", "created", "scope"}

-- Tasks with the same stack share one table, and so one text.
local function stack_text(texts, stack)
  local text = texts[stack]
  if not text then
    local list = json.list()
    for _, frame in ipairs(stacks.shown(stack, true)) do
      list[#list + 1] = {name = frame.name, file = frame.file, line = frame.line, what = frame.what,
        library = frame.library, new = frame.new}
    end
    text = json.lenient(list)
    texts[stack] = text
  end
  return text
end

--- A list of descriptions, given to `put` piece by piece.
-- @parks between slices, and as `put` does
function M.write(list, put)
  local texts, pieces, breathe = {}, {}, vars.breather()
  for i, d in ipairs(list) do
    local copy = {}
    for _, name in ipairs(FIELDS) do
      copy[name] = d[name]
    end
    local text = json.lenient(copy)
    pieces[#pieces + 1] = ('%s%s,"stack":%s}'):format(i > 1 and ",\n" or "", text:sub(1, -2),
      stack_text(texts, d.stack or {}))
    if #pieces == 64 then
      put(table.concat(pieces))
      pieces = {}
    end
    breathe()
  end
  put(table.concat(pieces))
end

local FILTERS = {"shard", "state", "reason", "label", "name", "after", "limit", "sort"}

--- The tasks that are asked for, and what is known of the shards.
-- @parks as debug.tasks
function M.read(args)
  local opts = {}
  for _, name in ipairs(FILTERS) do
    opts[name] = args[name]
  end
  local _, size = core.fleet()
  if opts.shard and opts.shard > (size or 1) then
    return {}, {}
  end
  return dumps.tasks(opts)
end

-- On the shard of the task. It travels by its name.
function M.cancel_here(id, reason)
  local slot, found = core.next_task(0)
  while slot and found ~= id do
    slot, found = core.next_task(slot)
  end
  local h = slot and task.at(slot)
  if not h then
    return false
  end
  h:cancel(reason)
  return true
end

--- Cancel a task. Was there one?
-- @parks while another shard answers
function M.cancel(shard, id)
  local own, size = core.fleet()
  if shard == (own or 1) then
    return M.cancel_here(id, "cancelled by an administrator")
  elseif shard > (size or 1) then
    return false
  end
  local ok, done = jobs.spawn_on(shard, M.cancel_here, id, "cancelled by an administrator"):join(5)
  return ok == true and done
end

return M
