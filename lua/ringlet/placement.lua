-- SPDX-License-Identifier: MIT
-- placement: how many shards there are, which CPUs each runs on, which node its memory comes from.
--
-- plan is a function of what was asked for and of what the machine gives, so it is tested for
-- machines that are not at hand. One with a single node was all there was to try it on.

local core = require "ringlet.core"
local fail = require "ringlet.fail"

local M = {}

-- The most shards of a run.
local SHARDS_MAX = 64

local function show(v)
  return type(v) == "string" and ("%q"):format(v) or tostring(v)
end

local function is_whole(v, least)
  return type(v) == "number" and v >= least and v % 1 == 0
end

-- {0, 1, 2, 5} -> "0-2,5"
local function ranges(cpus)
  local out, i = {}, 1
  while i <= #cpus do
    local first = i
    while cpus[i + 1] == cpus[i] + 1 do
      i = i + 1
    end
    out[#out + 1] = i == first and ("%d"):format(cpus[i]) or ("%d-%d"):format(cpus[first], cpus[i])
    i = i + 1
  end
  return table.concat(out, ",")
end

local function set_of(list)
  local set = {}
  for _, v in ipairs(list) do
    set[v] = true
  end
  return set
end

-- ---- CPUs ---------------------------------------------------------------------------------------

-- 3 or "0-3,8" as a list of CPUs.
local function cpus_of(entry)
  local cpus
  if is_whole(entry, 0) then
    cpus = {math.floor(entry)}
  elseif type(entry) == "string" then
    cpus = core.cpu_list(entry)
  end
  if not cpus or #cpus == 0 then
    return nil, ("option 'pin' has %s, which is no CPU: a number or a string such as \"0-3,8\" "
      .. "expected"):format(show(entry))
  end
  return cpus
end

-- The CPUs of several entries, in their order.
local function cpus_of_all(entries)
  local all = {}
  for _, entry in ipairs(entries) do
    local cpus, why = cpus_of(entry)
    if not cpus then
      return nil, why
    end
    for _, cpu in ipairs(cpus) do
      all[#all + 1] = cpu
    end
  end
  if #all == 0 then
    return nil, "option 'pin' has an empty list"
  end
  return all
end

local function each_alone(cpus)
  local places = {}
  for i, cpu in ipairs(cpus) do
    places[i] = {cpu}
  end
  return places
end

-- The list given as `pin`: of CPUs, one for each shard, or of lists, a set for each.
local function listed_places(pin)
  if type(pin[1]) ~= "table" then
    local cpus, why = cpus_of_all(pin)
    return cpus and each_alone(cpus), why
  end
  local places = {}
  for i, set in ipairs(pin) do
    if type(set) ~= "table" then
      return nil, "option 'pin' mixes CPUs and lists of CPUs"
    end
    local cpus, why = cpus_of_all(set)
    if not cpus then
      return nil, why
    end
    places[i] = cpus
  end
  return places
end

local function check_allowed(places, facts)
  local allowed, seen, wrong = set_of(facts.cpus), {}, {}
  for _, place in ipairs(places) do
    for _, cpu in ipairs(place) do
      if not allowed[cpu] and not seen[cpu] then
        seen[cpu] = true
        wrong[#wrong + 1] = cpu
      end
    end
  end
  if #wrong == 0 then
    return places
  end
  table.sort(wrong)
  return nil, ("option 'pin' names CPU %s, which this process may not use: it may use %s"):format(
    ranges(wrong), ranges(facts.cpus))
end

-- ---- nodes --------------------------------------------------------------------------------------

-- The allowed CPUs of each node by its id, and all of them node by node.
local function cpus_by_node(facts)
  local allowed, by_node, all = set_of(facts.cpus), {}, {}
  for _, node in ipairs(facts.nodes) do
    by_node[node.id] = {}
    for _, cpu in ipairs(node) do
      if allowed[cpu] then
        table.insert(by_node[node.id], cpu)
        all[#all + 1] = cpu
      end
    end
  end
  local in_node = set_of(all)
  for _, cpu in ipairs(facts.cpus) do
    if not in_node[cpu] then
      all[#all + 1] = cpu
    end
  end
  return by_node, all
end

-- For each shard in turn the next CPU of its node, and how many CPUs those nodes have together.
local function places_on(numa, by_node)
  local taken, room = {}, 0
  for _, id in ipairs(numa) do
    if #by_node[id] == 0 then
      return nil, ("option 'numa' names node %d, on which this process may use no CPU to pin to")
        :format(id)
    elseif not taken[id] then
      taken[id] = 0
      room = room + #by_node[id]
    end
  end
  return function(i)
    local id = numa[(i - 1) % #numa + 1]
    local cpus = by_node[id]
    taken[id] = taken[id] + 1
    return {cpus[(taken[id] - 1) % #cpus + 1]}
  end, room
end

-- The node that has all CPUs of a place; false: they are on several.
local function node_of(place, facts)
  for _, node in ipairs(facts.nodes) do
    local has, all = set_of(node), true
    for _, cpu in ipairs(place) do
      all = all and has[cpu]
    end
    if all then
      return node.id
    end
  end
  return false
end

-- nil and false: false; "auto"; a list of nodes that there are.
local function check_numa(numa, facts)
  if not numa or numa == "auto" then
    return numa or false
  elseif type(numa) ~= "table" then
    return nil, ("option 'numa' must be \"auto\", false or a list of nodes, not %s"):format(
      show(numa))
  elseif #numa == 0 then
    return nil, "option 'numa' has an empty list"
  end
  local ids, known = {}, {}
  for i, node in ipairs(facts.nodes) do
    ids[i] = node.id
    known[node.id] = true
  end
  for _, id in ipairs(numa) do
    if not known[id] then
      return nil, ("option 'numa' names node %s, which this machine does not have: it has %s")
        :format(show(id), ranges(ids))
    end
  end
  return numa
end

-- ---- all of it ----------------------------------------------------------------------------------

local function wrap(places)
  return function(i)
    return places[(i - 1) % #places + 1]
  end
end

-- A function that gives for 1, 2, ... where each shard runs, and how many it gives before it begins
-- again.
local function pinning(pin, numa, facts)
  if not pin then
    return function() return false end, #facts.cpus
  elseif pin == true then
    local by_node, all = cpus_by_node(facts)
    if type(numa) == "table" then
      return places_on(numa, by_node)
    end
    return wrap(each_alone(all)), #all
  elseif type(pin) ~= "table" then
    return nil, ("option 'pin' must be true, false or a list of CPUs, not %s"):format(show(pin))
  elseif #pin == 0 then
    return nil, "option 'pin' has an empty list"
  end
  local places, why = listed_places(pin)
  if places then
    places, why = check_allowed(places, facts)
  end
  if not places then
    return nil, why
  end
  return wrap(places), #places
end

local function count(shards, room, facts)
  if shards == "auto" then
    local n = math.min(room, #facts.cpus, SHARDS_MAX)
    if facts.quota then
      n = math.min(n, math.ceil(facts.quota))
    end
    return n
  elseif shards == nil then
    return 1
  elseif not is_whole(shards, 1) or shards > SHARDS_MAX then
    return nil, ("option 'shards' must be \"auto\" or a whole number from 1 to %d, not %s"):format(
      SHARDS_MAX, show(shards))
  end
  return math.floor(shards)
end

local function try_plan(opts, facts)
  local numa, why = check_numa(opts.numa, facts)
  if numa == nil then
    return nil, why
  end
  local place, room = pinning(opts.pin, numa, facts)
  if not place then
    return nil, room
  end
  local shards
  shards, why = count(opts.shards, room, facts)
  if not shards then
    return nil, why
  end
  local plan = {shards = shards, cpus = {}, nodes = {}, strict = type(numa) == "table"}
  for i = 1, shards do
    local cpus = place(i)
    plan.cpus[i] = cpus
    if type(numa) == "table" then
      plan.nodes[i] = numa[(i - 1) % #numa + 1]
    else
      plan.nodes[i] = numa and cpus and #facts.nodes > 1 and node_of(cpus, facts)
    end
  end
  return plan
end

--- What the machine and the container give this process, as seen from the calling thread.
-- @tparam[opt] string root of a tree with its own /proc and /sys, for tests
-- @treturn[1] table {cpus = {0, ...}: allowed ones, quota = CPUs' worth of time or nil,
-- nodes = {{0, ..., id = 0}, ...}: all CPUs of each}
-- @fails what sched_getaffinity fails with
-- @source cgroups(7); the kernel's cgroup-v2.rst (cpu.max) and sched-bwc.rst; numa(7)
function M.facts(root)
  local facts, code = core.topology(root)
  if not facts then
    return fail(code)
  end
  return facts
end

-- What a plan needs that asks for a number of shards and nothing else.
M.NO_FACTS = {cpus = {}, nodes = {}}

--- Where the shards of a run go.
--
-- "auto" is as many shards as there are CPUs to use, but no more than the quota rounded up: CPUs
-- are those this process may use, or what `pin` lists, or with pin = true those of the nodes in
-- `numa`. With more shards than CPUs, lists begin again.
-- @tparam table opts other fields are not looked at
-- @tparam[opt=1] integer|"auto" opts.shards
-- @tparam[opt=false] boolean|table opts.pin true: a CPU for each shard, node by node; a list of
-- numbers and strings such as "0-3": the CPU of each shard; a list of such lists: the set of each
-- @tparam[opt=false] "auto"|false|table opts.numa "auto": a pinned shard's memory prefers the node
-- of its CPUs, if that is one of several; a list: the node of each shard, by the kernel's number,
-- from which pin = true also takes its CPU
-- @tparam table facts as from `facts`
-- @tparam[opt=2] integer level of the caller to blame, as in `options.check`
-- @treturn table {shards = n, cpus = {list or false, ...}, nodes = {number or false, ...}}
-- @raise what in opts is wrong
-- @source numactl(8), taskset(1), set_mempolicy(2)
function M.plan(opts, facts, level)
  local plan, why = try_plan(opts, facts)
  if not plan then
    error(why, (level or 2) + 1)
  end
  return plan
end

return M
