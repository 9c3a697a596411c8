-- SPDX-License-Identifier: MIT
-- What the algorithms make of a service: c servers with a queue in front, offered far more than
-- they can do, simulated without the scheduler. The limit has to come within 20 % of c: fewer leave
-- servers idle, more only wait for each other.
local H = require "spec.helper"
local algorithms = require "ringlet.limiter_algorithms"

local MEAN = 0.01

local function exponential(mean)
  return -mean * math.log(1 - math.random())
end

-- Service times of the same mean, and more and more spread; the last is more than gradient's
-- windows can even out for many servers.
local SHAPES = {
  {"constant", function(mean) return mean end},
  {"uniform", function(mean) return mean * 2 * math.random() end},
  {"exponential", exponential},
  {"nine short ones to a long one", function(mean)
    return math.random() < 0.9 and exponential(mean * 5 / 9) or exponential(mean * 5)
  end},
}

-- The service in front of which an algorithm stands. `serve(seconds)` plays on; what has no server
-- waits in the queue, and with `queue` what finds that full is lost.
local function service(algorithm, opts)
  local now, running, queue, first, last = 0, {}, {}, 1, 0
  local at_once, done = 0, 0
  local self = {c = opts.c, mean = opts.mean or MEAN, shape = opts.shape or exponential}

  local function begin(call)
    running[#running + 1] = {now + self.shape(self.mean), call}
  end

  local function offer()
    for _ = 1, math.max(1, math.floor(algorithm.limit)) - at_once do
      at_once = at_once + 1
      local call = {now, at_once}
      if #running < self.c then
        begin(call)
      elseif opts.queue and last - first + 1 >= opts.queue then
        at_once = at_once - 1
        algorithm:sample(now, now, 0, false, at_once + 1)
        return
      else
        last = last + 1
        queue[last] = call
      end
    end
  end

  local function finish()
    local soonest = 1
    for i = 2, #running do
      soonest = running[i][1] < running[soonest][1] and i or soonest
    end
    local entry = running[soonest]
    running[soonest] = running[#running]
    running[#running] = nil
    now, at_once, done = entry[1], at_once - 1, done + 1
    local call = entry[2]
    algorithm:sample(call[1], now, now - call[1], true, call[2])
    if queue[first] and #running < self.c then
      begin(queue[first])
      queue[first], first = nil, first + 1
    end
  end

  -- The mean limit of these seconds, and calls a second.
  function self.serve(seconds)
    local till, was, sum, n = now + seconds, done, 0, 0
    while now < till do
      offer()
      finish()
      sum, n = sum + (algorithm.whole or algorithm.limit), n + 1
    end
    return sum / n, (done - was) / seconds
  end
  return self
end

local function gradient(initial)
  return algorithms.gradient{initial = initial, min_limit = 1, max_limit = 1000}
end

local function assert_near_optimum(limit, c, what)
  assert.is_true(limit > 0.8 * c and limit < 1.2 * c, ("%s: %.2f of %d"):format(what, limit, c))
end

describe("gradient", function()
  for i = 1, 3 do
    local item = SHAPES[i]
    it("finds the number of servers, service times " .. item[1], function()
      for _, c in ipairs{10, 30} do
        math.randomseed(c)
        local s = service(gradient(20), {c = c, shape = item[2]})
        s.serve(H.rounds(20, 1))
        if not H.torture then
          local limit, rate = s.serve(20)
          assert_near_optimum(limit, c, c)
          assert.is_true(rate > 0.8 * c / MEAN, rate)
        end
      end
    end)
  end

  if H.torture then
    return
  end

  it("finds it from far above", function()
    math.randomseed(5)
    local s = service(gradient(300), {c = 10})
    s.serve(40)
    assert_near_optimum((s.serve(40)), 10, "from 300")
  end)

  it("follows servers that come and go", function()
    math.randomseed(6)
    local s = service(gradient(20), {c = 20})
    s.serve(15)
    s.c = 40
    s.serve(20)
    assert_near_optimum((s.serve(20)), 40, "more")
    s.c = 10
    s.serve(20)
    assert_near_optimum((s.serve(20)), 10, "fewer")
  end)

  it("tells servers that became slower from a queue", function()
    math.randomseed(7)
    local s = service(gradient(20), {c = 20})
    s.serve(15)
    s.mean = 3 * MEAN
    s.serve(40)
    assert_near_optimum((s.serve(40)), 20, "slower")
  end)

  it("lowers the limit for failed calls, once in a round trip", function()
    local g = gradient(100)
    for _ = 1, 10 do
      g:sample(0, 1, 1, false, 100)
    end
    assert.equal(90, g.limit)
    g:sample(1, 2, 1, false, 100)
    assert.equal(81, g.limit)
  end)

  it("does not grow while the limit is not in use", function()
    local g = gradient(20)
    for i = 1, 1000 do
      g:sample(i, i + 1, 1, true, 5)
    end
    assert.equal(20, g.limit)
  end)
end)

describe("aimd", function()
  local function aimd(opts)
    return algorithms.aimd{
      initial = opts.initial or 20, min_limit = 1, max_limit = opts.max or 1000,
      timeout = opts.timeout,
    }
  end

  for _, item in ipairs(SHAPES) do
    it("stays at what is not lost, service times " .. item[1], function()
      for _, c in ipairs{10, 30} do
        math.randomseed(c)
        local s = service(aimd{}, {c = c, shape = item[2], queue = 1})
        s.serve(H.rounds(10, 1))
        assert_near_optimum((s.serve(H.rounds(10, 1))), c, c)
      end
    end)
  end

  it("adds one in a round trip, and takes a tenth", function()
    local a = aimd{initial = 10}
    for _ = 1, 10 do
      a:sample(0, 1, 1, true, 10)
    end
    assert.near(11, a.limit, 0.1)
    local before = a.limit
    a:sample(0, 1, 1, false, 10)
    assert.near(0.9 * before, a.limit, 1e-9)
    a:sample(0.5, 2, 1, false, 10) -- began before the cut
    assert.near(0.9 * before, a.limit, 1e-9)
    a:sample(1, 2, 1, false, 10)
    assert.near(0.81 * before, a.limit, 1e-9)
  end)

  it("grows only while half of the limit is in use, and keeps its bounds", function()
    local a = aimd{initial = 10, max = 12}
    a:sample(0, 1, 1, true, 4)
    assert.equal(10, a.limit)
    a:sample(0, 1, 1, true, 5)
    assert.equal(10.1, a.limit)
    for i = 1, 1000 do
      a:sample(i, i, 1, true, 10)
    end
    assert.equal(12, a.limit)
    for i = 1, 100 do
      a:sample(2000 + i, 2000 + i, 1, false, 10)
    end
    assert.equal(1, a.limit)
  end)

  it("takes slow for lost", function()
    local a = aimd{initial = 10, timeout = 0.3}
    a:sample(0, 1, 0.299, true, 10)
    assert.equal(10.1, a.limit)
    a:sample(0, 1, 0.3, true, 10)
    assert.is_true(a.limit > 10.1)
    a:sample(1, 2, 0.301, true, 10)
    assert.is_true(a.limit < 10)
  end)
end)
