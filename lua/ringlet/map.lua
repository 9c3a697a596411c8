-- SPDX-License-Identifier: MIT
-- map: the same for a whole list, and the first of several.

--- Many calls at the same time.
-- @module ringlet
-- @section Lists

local jobs = require "ringlet.jobs"
local options = require "ringlet.options"
local scope = require "ringlet.scope"

local unpack = table.unpack or rawget(_G, "unpack")

local M = {}

-- How many pieces there are for each shard: so that what takes long in one leaves work for others.
local PIECES = 8

-- A piece of the list, in whichever shard: its results and how many there are, or nil and why not.
function M.piece(fn, first, items, n)
  local results = {}
  for i = 1, n do
    local v, msg, code = fn(items[i], first + i - 1)
    if v == nil and code ~= nil then
      return nil, msg, code, first + i - 1
    end
    results[i] = v
  end
  return results
end

-- What the job gives; if the caller is cancelled meanwhile, so is the job.
local function join_or_cancel(f)
  local ok, done, a, b, c, d = pcall(f.join, f)
  if not ok then
    f:cancel("map was cancelled")
    error(done, 0)
  elseif not done then
    error(a, 0)
  end
  return a, b, c, d
end

-- What tells of progress: one call at a time, so that a task which was interrupted in it does not
-- tell of less than another before it.
local function teller(progress, total)
  local telling = false
  return function(done)
    local now
    while not telling and now ~= done() do
      telling, now = true, done()
      progress(now, total)
      telling = false
    end
  end
end

local function map_cores(list, fn, opts)
  local total, results, done, failure = #list, {}, 0, nil
  local size = math.ceil(total / (PIECES * jobs.shards()))
  local tell = opts.progress and teller(opts.progress, total)
  local function how_many()
    return done
  end
  local function one(s, first)
    local n, items = math.min(size, total - first + 1), {}
    for i = 1, n do
      items[i] = list[first + i - 1]
    end
    local got, msg, code, index = join_or_cancel(jobs.spawn(M.piece, fn, first, items, n))
    if not got then
      failure = failure or {msg, code, index}
      s:cancel("map failed")
      return
    end
    for i = 1, n do
      results[first + i - 1] = got[i]
    end
    done = done + n
    if tell then
      tell(how_many)
    end
  end
  local ok, msg, code = scope.scope(function(s)
    for first = 1, total, math.max(size, 1) do
      s:go(one, s, first)
    end
  end, {limit = opts.limit, timeout = opts.timeout})
  if failure then
    return nil, failure[1], failure[2], failure[3]
  elseif not ok then
    return nil, msg, code
  end
  return results
end

--- Call fn(item, index) for every item, each in a task of its own. The first failure cancels the
-- others: that is a first result of nil with a code as the third, or an error.
-- @parks until all calls have ended
-- @tparam {any,...} list
-- @tparam fun(item:any,index:integer):any fn
-- @tparam[opt] table opts
-- @tparam[opt] integer opts.limit tasks at a time; with `cores`, pieces of the list
-- @tparam[opt] number opts.timeout seconds for all
-- @tparam[opt] fun(done:integer,total:integer) opts.progress called after each call that went well;
-- with `cores`, after each piece
-- @tparam[opt=false] boolean opts.cores use all shards, for what computes: the list is cut into
-- pieces, which are jobs as of `rl.spawn`; the items of a piece are done one after the other
-- @treturn[1] {any,...} fn's first results, in the order of the list
-- @treturn[2] nil
-- @treturn[2] string message
-- @treturn[2] string fn's code, or "ETIMEDOUT"
-- @treturn[2] ?integer the index of the item that failed
-- @raise what fn raises, unchanged; outside of a task
-- @source the Go package golang.org/x/sync/errgroup
function M.map(list, fn, opts)
  if type(list) ~= "table" or type(fn) ~= "function" then
    error("a list and a function expected", 2)
  end
  opts = options.check(opts,
    {limit = "number", cores = "boolean", timeout = "number", progress = "function"})
  if opts.cores then
    return map_cores(list, fn, opts)
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
-- @parks until all have ended
-- @tparam {function,...} fns
-- @return ... the winner's results
-- @raise the first error of any of them, unchanged; outside of a task
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
