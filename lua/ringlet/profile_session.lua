-- SPDX-License-Identifier: MIT
-- profile_session: a profile that goes on, on one shard or several.
--
-- With LuaJIT one state of a process can be listened to at a time, so shards take turns: each is
-- profiled for the same time, and the profile says for how long. All else goes on everywhere at
-- once. A session is ended by `stop`, or with the run.

--- @module ringlet.profile

local core = require "ringlet.core"
local jobs = require "ringlet.jobs"
local profile_data = require "ringlet.profile_data"
local profile_shard = require "ringlet.profile_shard"
local scope = require "ringlet.scope"
local sync = require "ringlet.sync"
local task = require "ringlet.task"
local time = require "ringlet.time"

local M = {}

--- A profile that is being taken, from `profile.start`.
-- @type profiling
local Session = {__name = "ringlet.profiling"}
Session.__index = Session

local function joined(ok, ...)
  if not ok then
    return nil, "ELOST: the shard did not answer: " .. tostring((...)), "ELOST"
  end
  return ...
end

-- A function of profile_shard, there.
local function on(shard, name, ...)
  if shard == jobs.shard() then
    return profile_shard[name](...)
  end
  return joined(jobs.spawn_on(shard, profile_shard[name], ...):join())
end

local function add_part(s, shard)
  local part, msg, code = on(shard, "finish")
  if part then
    s.profile:add_part_(part)
  end
  return part, msg, code
end

local function begin_all(s)
  for i, shard in ipairs(s.list) do
    local ok, msg, code = on(shard, "begin", s.opts)
    if not ok then
      for j = 1, i - 1 do
        on(s.list[j], "finish")
      end
      return nil, msg, code
    end
  end
  return true
end

-- The first shard has begun; go on with the next when its turn is over. A shard that cannot be
-- profiled now is left out. One that has begun ends, also when all ended while it was asked to.
local function take_turns(s)
  local i, begun = 1, true
  while begun or not s.ended:is_set() do
    s.ended:wait(s.turn)
    if begun then
      add_part(s, s.list[i])
    end
    i = i % #s.list + 1
    begun = not s.ended:is_set() and on(s.list[i], "begin", s.opts)
  end
end

local function begin(s)
  if s.signals then
    local ok, msg, code = on(1, "signal", true)
    if not ok then
      return nil, msg, code
    end
  end
  if not s.turn then
    return begin_all(s)
  end
  local ok, msg, code = on(s.list[1], "begin", s.opts)
  if ok then
    s.ended = sync.event()
    s.taker = task.daemon(take_turns, s)
  end
  return ok, msg, code
end

local function give_back(s)
  if s.signals then
    on(1, "signal", false)
  end
end

-- Begin a session.
-- @parks with several shards; not to be cancelled meanwhile, so that none is left on
-- @tparam table opts as for profile_shard.begin
-- @tparam {integer,...} list the shards
-- @tparam number turn seconds each of several shards has at a time, where they take turns
-- @treturn profiling
-- @fails "EBUSY"; "ENOSYS"; "ELOST"
function M.start(opts, list, turn)
  local jit = rawget(_G, "jit")
  local s = setmetatable({
    opts = opts, list = list, since = time.now(), signals = opts.kind == "cpu",
    turn = jit and opts.kind ~= "offcpu" and #list > 1 and turn or nil,
    profile = profile_data.new(opts.kind, opts.kind == "cpu" and opts.period * 1e9 or opts.period),
  }, Session)
  opts.skip, opts.home = (core.current()), jobs.shard()
  local ok, msg, code = scope.shield(begin, s)
  if not ok then
    scope.shield(give_back, s)
    return nil, msg, code
  end
  s.state = "on"
  return s
end

local function finish(s)
  if s.taker then
    s.ended:set()
    s.taker:join()
  else
    for _, shard in ipairs(s.list) do
      add_part(s, shard)
    end
  end
  give_back(s)
  s.profile.seconds = time.now() - s.since
  s.state = "stopped"
end

--- End it. The profile has what was seen on all shards that could be reached.
-- @parks with several shards; not to be cancelled meanwhile
-- @treturn profile_data
-- @fails "ECLOSED" when it was stopped before
function Session:stop()
  if self.state ~= "on" then
    return nil, "ECLOSED: this profile was stopped before", "ECLOSED"
  end
  self.state = "stopping"
  scope.shield(finish, self)
  return self.profile
end

function Session:__tostring()
  return ("ringlet.profiling: %s, %s"):format(self.opts.kind, self.state)
end

-- Take a profile for a time, in the calling task; a cancellation ends it.
-- @parks for so long
function M.take(seconds, opts, list)
  local s, msg, code = M.start(opts, list, seconds / #list)
  if not s then
    return nil, msg, code
  end
  local p, why, name
  scope.finally(function() time.sleep(seconds) end, function() p, why, name = s:stop() end)
  return p, why, name
end

return M
