-- SPDX-License-Identifier: MIT
-- breaker_window: what a breaker has counted since it last changed, perhaps of the last seconds
-- only.
--
-- A generation is what lies between two changes. Its requests are counted in buckets: one, or with
-- a rolling window one for each `period` of it. A request belongs to the bucket in which it began,
-- and so does its result, however late; a bucket that has left the window, or whose generation is
-- over, is not `live`, and what comes for it is nothing.
--
-- Invariants: `bucket` is the newest, and `older` the sum of the other live ones; every bucket has
-- at most as many results as requests; a run of equal results is no longer than their number.

local M = {}

local FIELDS = {"requests", "successes", "failures", "excluded", "slow"}

local Window = {}
Window.__index = Window

-- `done` is for the breaker: what it gives to those it lets in without asking more.
local function new_bucket()
  return {live = true, done = false, requests = 0, successes = 0, failures = 0, excluded = 0,
    slow = 0}
end

local function zeros()
  return {requests = 0, successes = 0, failures = 0, excluded = 0, slow = 0}
end

local function add(sum, bucket, sign)
  for _, name in ipairs(FIELDS) do
    sum[name] = sum[name] + sign * bucket[name]
  end
end

-- A window of n buckets of `period` seconds; of one that is never replaced without a period.
function M.new(n, period, now)
  local w = setmetatable({
    n = n, period = period or math.huge, past = zeros(), older = zeros(), ring = {},
    bucket = new_bucket(), age = 0, start = now, failures_run = 0, successes_run = 0,
  }, Window)
  w.ring[1] = w.bucket
  return w
end

-- A new generation begins.
function Window:clear(now)
  add(self.past, self.older, 1)
  add(self.past, self.bucket, 1)
  for _, bucket in pairs(self.ring) do
    bucket.live = false
  end
  self.older, self.bucket = zeros(), new_bucket()
  self.ring = {self.bucket}
  self.age, self.start = 0, now
  self.failures_run, self.successes_run = 0, 0
end

-- When the newest bucket is full of time.
function Window:due()
  return self.start + (self.age + 1) * self.period
end

local function discard(self, slot)
  local bucket = self.ring[slot]
  if bucket then
    add(self.older, bucket, -1)
    add(self.past, bucket, 1)
    bucket.live, self.ring[slot] = false, nil
  end
end

-- The newest bucket is full of time: begin the one that is due now, discard what leaves the window.
function Window:roll(now)
  local n, last = self.n, self.age
  self.age = math.max(last + 1, math.floor((now - self.start) / self.period))
  add(self.older, self.bucket, 1)
  for age = math.max(last + 1, self.age - n + 1), self.age do
    discard(self, age % n + 1)
  end
  self.bucket = new_bucket()
  self.ring[self.age % n + 1] = self.bucket
  self.failures_run = math.min(self.failures_run, self.older.failures)
  self.successes_run = math.min(self.successes_run, self.older.successes)
end

-- The clock was set back by so many seconds.
function Window:shift(seconds)
  self.start = self.start - seconds
end

-- Does the bucket still wait for a result?
function M.is_open(bucket)
  return bucket.live
    and bucket.requests - bucket.successes - bucket.failures - bucket.excluded > 0
end

function Window:success(bucket)
  bucket.successes = bucket.successes + 1
  if bucket ~= self.bucket then
    self.older.successes = self.older.successes + 1
  end
  self.successes_run, self.failures_run = self.successes_run + 1, 0
end

function Window:failure(bucket)
  bucket.failures = bucket.failures + 1
  if bucket ~= self.bucket then
    self.older.failures = self.older.failures + 1
  end
  self.failures_run, self.successes_run = self.failures_run + 1, 0
end

function Window:exclude(bucket)
  bucket.excluded = bucket.excluded + 1
  if bucket ~= self.bucket then
    self.older.excluded = self.older.excluded + 1
  end
end

function Window:slow(bucket)
  bucket.slow = bucket.slow + 1
  if bucket ~= self.bucket then
    self.older.slow = self.older.slow + 1
  end
end

-- How many have failed, succeeded, been slow.
function Window:results()
  local older, bucket = self.older, self.bucket
  return older.failures + bucket.failures, older.successes + bucket.successes,
    older.slow + bucket.slow
end

-- How many were let in that are not neutral.
function Window:valid()
  local older, bucket = self.older, self.bucket
  return older.requests + bucket.requests - older.excluded - bucket.excluded
end

-- What was counted in this generation; a new table.
function Window:counts()
  local sum = zeros()
  add(sum, self.older, 1)
  add(sum, self.bucket, 1)
  sum.consecutive_failures, sum.consecutive_successes = self.failures_run, self.successes_run
  return sum
end

-- The same of all generations, without the runs.
function Window:totals()
  local sum = zeros()
  add(sum, self.past, 1)
  add(sum, self.older, 1)
  add(sum, self.bucket, 1)
  return sum
end

return M
