-- SPDX-License-Identifier: MIT
-- group_link: questions from one shard to others, on top of post.
--
-- A question is answered by fn(reply, from, ...), which runs in the loop of the shard that is
-- asked, in order with all other messages from the same shard; it calls reply(true, ...) or
-- reply(false, error) once, now or later.

local core = require "ringlet.core"
local fail = require "ringlet.fail"
local post = require "ringlet.post"
local run = require "ringlet.run_stop"

local unpack = table.unpack or rawget(_G, "unpack")
local CONTROL = core.reasons["group control"]

local M = {}

local answers = {}
local asked, last = {}, 0 -- number -> {box, place}

run.endings[#run.endings + 1] = function()
  asked = {}
end

-- fn(reply, from, ...) answers questions of this name.
function M.answer(name, fn)
  answers[name] = fn
end

post.on("group ask", function(from, number, name, ...)
  local function reply(ok, ...)
    local sent, err = pcall(post.to, from, "group answer", number, ok, ...)
    if not sent then
      post.to(from, "group answer", number, false, tostring(ok and err or (...)))
    end
  end
  local ok, err = pcall(answers[name], reply, from, ...)
  if not ok then
    reply(false, err)
  end
end)

-- What each answered first.
local function firsts(box)
  local list = {}
  for i, got in ipairs(box) do
    list[i] = got[2]
  end
  return list
end

post.on("group answer", function(_, number, ...)
  local question = asked[number]
  if question then
    local box = question[1]
    asked[number] = nil
    box[question[2]] = {n = select("#", ...), ...}
    box.left = box.left - 1
    if box.left == 0 and box.done then
      box.done(firsts(box))
    elseif box.left == 0 then
      core.wake(box.q, true)
    end
  end
end)

local function send(box, place, shard, ...)
  last = last + 1
  asked[last] = {box, place}
  box.left = box.left + 1
  post.to(shard, "group ask", last, ...)
end

-- Wait for all answers. Raises the first error among them, when all are there.
local function collect(box)
  if box.left > 0 then
    local ok, code = core.wait(box.q, nil, CONTROL)
    if ok == nil then
      fail(code)
    end
  end
  for _, got in ipairs(box) do
    if not got[1] then
      error(got[2], 0)
    end
  end
  return box
end

-- Ask one shard; its answer, or the raise of its error.
function M.ask(shard, ...)
  local box = {left = 0, q = core.waitq()}
  send(box, 1, shard, ...)
  local got = collect(box)[1]
  return unpack(got, 2, got.n)
end

-- Ask all shards; a list of what each answered first.
function M.ask_all(...)
  local box = {left = 0, q = core.waitq()}
  local _, size = core.fleet()
  for i = 1, size do
    send(box, i, i, ...)
  end
  return firsts(collect(box))
end

-- Ask several shards different things, {shard, name, ...} each; a list of what each answered first.
function M.ask_list(questions)
  local box = {left = 0, q = core.waitq()}
  for i, question in ipairs(questions) do
    send(box, i, unpack(question))
  end
  return firsts(collect(box))
end

-- Ask several shards different things, likewise, from the loop: done(list) is called
-- there with what each answered first. Errors count as no answer.
function M.ask_each(questions, done)
  local box = {left = 0, done = done}
  for i, question in ipairs(questions) do
    send(box, i, unpack(question))
  end
  if box.left == 0 then
    done({})
  end
end

return M
