-- SPDX-License-Identifier: MIT
-- bpf_steer_rules: what a steering may be told, and how bpf/steer.h has it.

local memory = require "ringlet.bpf_steer_memory"
local options = require "ringlet.options"
local prefixes = require "ringlet.bpf_prefix"

local M = {}

local POLICIES = {hash = 0, rr = 1, least = 2, tenant = 3}

local STALL_MS = 3
local PREFIX4, PREFIX6 = 32, 64

-- ---- options ------------------------------------------------------------------------------------

local KNOWN = {
  policy = "string", stall_ms = "number|boolean", weights = "table", tenants = "table",
  within = "string", others = "string", ipv4_prefix = "number", ipv6_prefix = "number",
  seed = "number",
}
local AMONG = {"least", "hash", "rr"}
local BOUNDS = {
  policy = {"least", "hash", "rr", "tenant"}, within = AMONG, others = AMONG,
  stall_ms = {min = 0, max = 60000}, ipv4_prefix = {min = 0, max = 32, whole = true},
  ipv6_prefix = {min = 0, max = 128, whole = true}, seed = {min = 0, max = 2 ^ 53, whole = true},
}
local OF_TENANTS = {"tenants", "within", "others"}

--- Checked options, with what is not given. Raises at the caller's caller.
function M.settings(opts)
  opts = options.check(opts, KNOWN, 3)
  options.bounds(opts, BOUNDS, 3)
  if opts.stall_ms == true then
    error("option 'stall_ms' must be milliseconds, or false", 3)
  end
  local policy = opts.policy or opts.tenants and "tenant" or "least"
  for _, name in ipairs(OF_TENANTS) do
    if opts[name] and policy ~= "tenant" then
      error(("option '%s' is one of policy = 'tenant'"):format(name), 3)
    end
  end
  return {
    policy = policy, within = opts.within or "least", others = opts.others or "least",
    stall_ms = opts.stall_ms == nil and STALL_MS or opts.stall_ms or 0,
    prefix4 = opts.ipv4_prefix or PREFIX4, prefix6 = opts.ipv6_prefix or PREFIX6,
    seed = opts.seed or 0,
  }
end

--- The programs' constants.
function M.globals(s)
  return {
    policy = POLICIES[s.policy], within = POLICIES[s.within], others = POLICIES[s.others],
    stall_ns = math.floor(s.stall_ms * 1e6), prefix4 = s.prefix4, prefix6 = s.prefix6,
    seed = s.seed,
  }
end

-- ---- shards, weights, tenants: what is wrong raises at a level ----------------------------------

local function check_shard(shard, what, level)
  if type(shard) ~= "number" or shard % 1 ~= 0 or shard < 1 or shard > memory.SHARDS_MAX then
    error(("%s: the number of a shard expected"):format(what), level + 1)
  end
end

--- Check a table of weights.
function M.check_weights(weights, level)
  if type(weights) ~= "table" then
    error("weights: table expected, got " .. type(weights), level + 1)
  end
  for shard, weight in pairs(weights) do
    check_shard(shard, "weights", level + 1)
    if type(weight) ~= "number" then
      error("weights: numbers expected", level + 1)
    elseif weight ~= 0 then
      options.bound(weight, {min = 0.01, max = 100}, "a weight", level + 1)
    end
  end
end

-- The bits of a shard or a list of them: {low =, high =}.
local function group_of(shards, level)
  local words, seen = {0, 0}, {}
  for _, shard in ipairs(type(shards) == "table" and shards or {shards}) do
    check_shard(shard, "tenants", level + 1)
    local word = shard > 32 and 2 or 1
    if not seen[shard] then
      seen[shard], words[word] = true, words[word] + 2 ^ ((shard - 1) % 32)
    end
  end
  if not next(seen) then
    error("tenants: a shard, or a list of them, expected", level + 1)
  end
  return {low = words[1], high = words[2]}
end

local function key_of(prefix, level)
  local bytes, bits = prefixes.network(prefix)
  if not bytes then
    error(('%s is no network: "10.0.0.0/8" expected, without bits behind the prefix'):format(
      type(prefix) == "string" and ("%q"):format(prefix) or type(prefix)), level + 1)
  end
  return {len = bits, address = bytes}
end

--- A network and its shards, as the trie has them.
function M.tenant(prefix, shards, level)
  return key_of(prefix, level + 1), shards ~= nil and group_of(shards, level + 1) or nil
end

--- A table of them: a list of {key, group}.
function M.tenants(tenants, level)
  local list = {}
  for prefix, shards in pairs(tenants) do
    list[#list + 1] = {M.tenant(prefix, shards, level + 1)}
  end
  return list
end

return M
