-- SPDX-License-Identifier: MIT
-- limiter: the constructor of all limiters: which kind, and that its options belong to it.

--- @module ringlet
-- @section Limiters

local concurrency = require "ringlet.limiter_concurrency"
local options = require "ringlet.options"
local rates = require "ringlet.limiter_rate"
local shared = require "ringlet.limiter_shared"

local M = {}

local KNOWN = {
  kind = "string", rate = "number", burst = "number", fill = "number", limit = "number",
  window = "number", approximate = "boolean", keys = "number", scope = "string",
  algorithm = "string", initial = "number", min_limit = "number", max_limit = "number",
  queue = "number", queue_wait = "number", tolerance = "number", backoff = "number",
  timeout = "number", priorities = "table",
}

local BOUNDS = {
  kind = {"token_bucket", "gcra", "sliding_window", "concurrency"}, scope = {"shard", "shared"},
  algorithm = {"fixed", "aimd", "gradient"}, rate = {above = 0}, burst = {min = 1, whole = true},
  fill = {min = 0, whole = true}, limit = {min = 1, whole = true}, window = {above = 0},
  keys = {min = 1, whole = true}, initial = {min = 1, whole = true},
  min_limit = {min = 1, whole = true}, max_limit = {min = 1, whole = true},
  queue = {min = 0, whole = true}, queue_wait = {above = 0}, tolerance = {min = 1},
  backoff = {above = 0, max = 1}, timeout = {above = 0},
}

-- What each kind takes beside `kind`, and what it cannot be without.
local TAKES = {
  token_bucket = {rate = true, burst = true, fill = true, keys = true, scope = true},
  gcra = {rate = true, burst = true, keys = true, scope = true},
  sliding_window = {limit = true, window = true, approximate = true, keys = true, scope = true},
  concurrency = {
    limit = true, algorithm = true, initial = true, min_limit = true, max_limit = true,
    queue = true, queue_wait = true, tolerance = true, backoff = true, timeout = true,
    priorities = true,
  },
}
local NEEDS = {
  token_bucket = {"rate"}, gcra = {"rate"}, sliding_window = {"limit", "window"}, concurrency = {},
}
local ADAPTIVE = {"initial", "min_limit", "max_limit", "backoff", "timeout"}

local KEYS, QUEUE = 10000, 1024
local INITIAL, MAX_LIMIT = 20, 1000

local function check_kind(kind, opts)
  for name in pairs(opts) do
    if name ~= "kind" and not TAKES[kind][name] then
      error(("option '%s' is not for kind '%s'"):format(name, kind), 0)
    end
  end
  for _, name in ipairs(NEEDS[kind]) do
    if opts[name] == nil then
      error(("option '%s' is missing"):format(name), 0)
    end
  end
end

-- ---- rates --------------------------------------------------------------------------------------

-- What a second brings, at least one.
local function default_burst(rate)
  return math.max(1, math.ceil(rate))
end

local function new_shared(kind, opts)
  if kind ~= "gcra" or opts.keys then
    error("scope \"shared\" is for kind \"gcra\", without 'keys'", 0)
  end
  local limiter = shared.new{rate = opts.rate, burst = opts.burst or default_burst(opts.rate)}
  if not limiter then
    error(("no shared limiter counts a rate of %.17g exactly"):format(opts.rate), 0)
  end
  return limiter
end

local CLASSES = {
  token_bucket = require "ringlet.limiter_bucket", gcra = require "ringlet.limiter_gcra",
  sliding_window = require "ringlet.limiter_window",
}
local APPROXIMATE = require "ringlet.limiter_counters"

local function new_rate(kind, opts)
  if opts.scope == "shared" then
    return new_shared(kind, opts)
  end
  local rate = opts.rate
  return rates.new(opts.approximate and APPROXIMATE or CLASSES[kind], {
    rate = rate, burst = opts.burst or rate and default_burst(rate), fill = opts.fill,
    limit = opts.limit, window = opts.window, keys = opts.keys or KEYS,
  })
end

-- ---- concurrency --------------------------------------------------------------------------------

local function check_fixed(opts)
  if not opts.limit then
    error("option 'limit' is missing, or an 'algorithm' that finds one", 0)
  end
  for _, name in ipairs(ADAPTIVE) do
    if opts[name] ~= nil then
      error(("option '%s' is for an algorithm that adapts the limit"):format(name), 0)
    end
  end
end

local function check_adaptive(opts, algorithm)
  local least, most = opts.min_limit or 1, opts.max_limit or MAX_LIMIT
  if opts.limit then
    error("option 'limit' is for a fixed limit; an algorithm has 'initial'", 0)
  elseif least > most then
    error("option 'min_limit' is more than 'max_limit'", 0)
  elseif opts.initial and (opts.initial < least or opts.initial > most) then
    error("option 'initial' must be from 'min_limit' to 'max_limit'", 0)
  elseif algorithm == "aimd" and opts.tolerance then
    error("option 'tolerance' is for algorithm 'gradient'", 0)
  end
  return least, most, opts.initial or math.max(least, math.min(most, INITIAL))
end

local function new_concurrency(opts)
  local config = {
    algorithm = opts.algorithm or "fixed", limit = opts.limit, queue = opts.queue or QUEUE,
    queue_wait = opts.queue_wait or math.huge, tolerance = opts.tolerance, backoff = opts.backoff,
    timeout = opts.timeout, priorities = opts.priorities,
  }
  if config.algorithm == "fixed" then
    check_fixed(opts)
  else
    config.min_limit, config.max_limit, config.initial = check_adaptive(opts, config.algorithm)
  end
  return concurrency.new(config)
end

local function build(kind, opts)
  check_kind(kind, opts)
  if kind == "concurrency" then
    return new_concurrency(opts)
  end
  return new_rate(kind, opts)
end

--- A limiter: of how many there may be in a time, or of how many there may be at once.
--
-- Rates. `token_bucket`: tokens drip in at the rate, up to the burst; it is full at first.
-- `gcra`: the same decisions from one number; with `scope = "shared"` the handle travels, and all
-- shards take from one account. `sliding_window`: at most `limit` in any `window` seconds, by a log
-- of the last `limit` times; what is exactly one window old is out. With `approximate` it takes two
-- counters instead of a log: those of this and of the last window of fixed times, the last one
-- counting for the part of it that is not yet one window old. Times are whole nanoseconds and the
-- sums exact, for a rate that is a fraction as people write them: 1000, 0.1, 1/60.
--
-- Concurrency. The limit is fixed; or `aimd` adds one in each round trip in which at least half of
-- the limit was in use, and takes a tenth away when calls fail or take longer than `timeout`; or
-- `gradient` compares what calls take with what they took without a queue behind them. It measures
-- that now and then, with less than the limit for as many calls as that takes. Calls have a
-- priority: a class of calls and those below it may together use its share of the limit; in the
-- line the more important ones are first, but no class is passed by more than 8 times in a row.
-- @tparam table opts
-- @tparam[opt="token_bucket"] string opts.kind "token_bucket", "gcra", "sliding_window" or
-- "concurrency"
-- @tparam[opt] number opts.rate tokens a second (token_bucket, gcra)
-- @tparam[opt] integer opts.burst the most tokens that are kept; by default those of a second, at
-- least 1 (token_bucket, gcra)
-- @tparam[opt] integer opts.fill tokens at first; by default the burst (token_bucket)
-- @tparam[opt] integer opts.limit tokens in a window (sliding_window); calls at once (concurrency
-- without an algorithm)
-- @tparam[opt] number opts.window seconds (sliding_window)
-- @tparam[opt=false] boolean opts.approximate two counters instead of a log (sliding_window)
-- @tparam[opt=10000] integer opts.keys of how many keys there is a limiter at most (rates)
-- @tparam[opt="shard"] string opts.scope "shared": all shards take from one account (gcra)
-- @tparam[opt="fixed"] string opts.algorithm "fixed", "aimd" or "gradient" (concurrency, as all
-- below)
-- @tparam[opt=20] integer opts.initial limit that an algorithm begins with
-- @tparam[opt=1] integer opts.min_limit the least that an algorithm sets
-- @tparam[opt=1000] integer opts.max_limit the most that an algorithm sets
-- @tparam[opt=1024] integer opts.queue calls that may wait in line
-- @tparam[opt] number opts.queue_wait seconds after which a call in line is refused; one that would
-- probably wait for longer is refused at once
-- @tparam[opt=1.06] number opts.tolerance how much longer than without a queue calls may take
-- (gradient)
-- @tparam[opt=0.9] number opts.backoff what the limit is multiplied by when calls fail
-- @tparam[opt] number opts.timeout seconds; a call that takes longer counts as failed for the
-- algorithm
-- @tparam[opt] table opts.priorities a list of {name, share}, the most important first, the shares
-- not increasing; by default {{"critical", 1}, {"normal", 1}, {"background", 0.5}}
-- @treturn limiter|concurrency_limiter
-- @raise options that make no sense
-- @source ITU-T I.371, annex A (gcra); D.-M. Chiu and R. Jain, "Analysis of the increase and
-- decrease algorithms for congestion avoidance", 1989 (aimd); Netflix concurrency-limits
-- (gradient); "Site Reliability Engineering", chapter 21 (priorities)
function M.new(opts)
  opts = options.check(opts, KNOWN)
  options.bounds(opts, BOUNDS)
  local ok, limiter = pcall(build, opts.kind or "token_bucket", opts)
  if not ok then
    error(limiter, 2)
  end
  return limiter
end

return M
