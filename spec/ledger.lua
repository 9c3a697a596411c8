-- SPDX-License-Identifier: MIT
-- A group for specs: each key of a logical shard has a ledger, into which callers write numbers of
-- their own; a number that is not the next of its caller, or that comes while another is being
-- written, is an error.
local rl = require "ringlet"

local M = {}

local function ledger_of(state, key)
  local ledger = state.ledgers[key] or {next = {}, n = 0}
  state.ledgers[key] = ledger
  return ledger
end

-- Ways to park, by a number.
local function park(how)
  if how == 1 then
    rl.yield()
  elseif how == 2 then
    rl.sleep(0.001)
  elseif how == 3 then
    rl.sleep(0)
    rl.yield()
  end
end

function M.init(i)
  return {index = i, ledgers = {}, inside = 0}
end

M.methods = {}

function M.methods.write(state, key, caller, number, how)
  local ledger = ledger_of(state, key)
  state.inside = state.inside + 1
  if state.inside ~= 1 then
    error(("two calls at a time in logical shard %d"):format(state.index), 0)
  end
  park(how)
  local due = (ledger.next[caller] or 0) + 1
  if number ~= due then
    error(("key %s: %d of caller %s came when %d was due"):format(key, number, caller, due), 0)
  end
  ledger.next[caller] = due
  ledger.n = ledger.n + 1
  state.inside = state.inside - 1
  return state.index, rl.shard()
end

function M.methods.total(state)
  local n = 0
  for _, ledger in pairs(state.ledgers) do
    n = n + ledger.n
  end
  return n
end

-- How many keys there are.
function M.methods.keys(state)
  local n = 0
  for _ in pairs(state.ledgers) do
    n = n + 1
  end
  return n
end

function M.keys(state)
  return pairs(state.ledgers)
end

function M.export(state, key)
  local ledger = state.ledgers[key]
  state.ledgers[key] = nil
  return ledger
end

function M.import(state, key, ledger)
  if state.ledgers[key] then
    error("key " .. key .. " is here already", 0)
  end
  state.ledgers[key] = ledger
end

-- A group of ledgers; `more` adds options.
function M.group(shards, more)
  local opts = {
    shards = shards, init = M.init, methods = M.methods, keys = M.keys, export = M.export,
    import = M.import,
  }
  for k, v in pairs(more or {}) do
    opts[k] = v
  end
  return assert(rl.group(opts))
end

-- What all logical shards gave, added up.
function M.sum(g, method)
  local sum = 0
  for _, n in ipairs(assert(g:each(method))) do
    sum = sum + n
  end
  return sum
end

-- In every thread a job that calls or casts `n` times to `keys` keys; gives the futures.
function M.load(g, n, keys)
  local futures = {}
  for i = 1, rl.shards() do
    futures[i] = rl.spawn_on(i, M.writer, g, i, n, keys)
  end
  return futures
end

-- Writes of several tasks of this thread: each waits for some of its calls, and casts the others
-- while there is room.
function M.writer(g, caller, n, keys)
  local count = 0
  rl.scope(function(s)
    for k = 1, 4 do
      s:go(function()
        local name, next = caller .. "/" .. k, {}
        for i = 1, n / 4 do
          local key = (i * 7 + k * 13 + i % 3 * 5) % keys + 1
          next[key] = (next[key] or 0) + 1
          if i % 4 == 0 or not g:cast(key, "write", name, next[key], (i + k) % 4) then
            rl.check(g:call(key, "write", name, next[key], (i + k) % 4))
          end
          count = count + 1
        end
      end)
    end
  end)
  rl.check(g:each("total")) -- behind the casts
  return count
end

return M
