-- SPDX-License-Identifier: MIT
-- map: the same for a whole list, and the first of several.

local options = require "ringlet.options"
local scope = require "ringlet.scope"

local unpack = table.unpack or rawget(_G, "unpack")

local M = {}

--- Call fn(item, index) for every item, each in a task of its own. Parks.
-- @tparam table list
-- @tparam function fn a first result of nil with a code is a failure: the others are cancelled
-- @tparam[opt] table opts `limit` tasks at a time, `timeout` seconds for all, `progress` fn(done,
-- total)
-- @return a table of fn's first results in the order of the list, or nil, message, code, index
-- @raise what fn raises, unchanged
function M.map(list, fn, opts)
  if type(list) ~= "table" or type(fn) ~= "function" then
    error("a list and a function expected", 2)
  end
  opts = options.check(opts,
    {limit = "number", cores = "boolean", timeout = "number", progress = "function"})
  if opts.cores then
    error("option 'cores' needs shards, which this version does not have", 2)
  end
  local results, done, failure, total = {}, 0, nil, #list
  local function one(s, i)
    local v, msg, code = fn(list[i], i)
    if v == nil and code ~= nil then
      failure = failure or {msg, code, i}
      s:cancel("map failed")
      return
    end
    results[i] = v
    done = done + 1
    if opts.progress then
      opts.progress(done, total)
    end
  end
  local ok, msg, code = scope.scope(function(s)
    for i = 1, total do
      s:go(one, s, i)
    end
  end, {limit = opts.limit, timeout = opts.timeout})
  if failure then
    return nil, failure[1], failure[2], failure[3]
  elseif not ok then
    return nil, msg, code
  end
  return results
end

--- Call every function in a task of its own; the first to end wins, the others are cancelled.
-- Parks.
-- @tparam table fns functions
-- @return the winner's results; its error is raised unchanged
function M.race(fns)
  if type(fns) ~= "table" or #fns == 0 then
    error("a list of functions expected", 2)
  end
  for _, fn in ipairs(fns) do
    if type(fn) ~= "function" then
      error("a list of functions expected", 2)
    end
  end
  local winner
  scope.scope(function(s)
    for _, fn in ipairs(fns) do
      s:go(function()
        local got = {n = 0}
        local function keep(...)
          got = {n = select("#", ...), ...}
        end
        keep(fn())
        if not winner then
          winner = got
          s:cancel("race is over")
        end
      end)
    end
  end)
  return unpack(winner, 1, winner.n)
end

return M
