-- SPDX-License-Identifier: MIT
-- The accounts of the rate limiters, against plain models, at times of their own: they take the
-- time as an argument. Waiting and the rest of what users see is in limiter_spec.lua.
local H = require "spec.helper"
local limits = require "ringlet.limiter_rate"
local units_of = require "ringlet.limiter_units"

local KINDS = {
  token_bucket = require "ringlet.limiter_bucket", gcra = require "ringlet.limiter_gcra",
  window = require "ringlet.limiter_window", counters = require "ringlet.limiter_counters",
}
local START = 5e12
-- Of busted's environment, which is slow to ask.
local floor, fmod, random = math.floor, math.fmod, math.random

-- {tokens a second as p / q, burst}
local RATES = {
  {p = 1000, q = 1, burst = 10}, {p = 3, q = 1, burst = 2}, {p = 1, q = 60, burst = 1},
  {p = 333, q = 10, burst = 7}, {p = 7, q = 3, burst = 5}, {p = 1e6, q = 1, burst = 100},
}

local function new(kind, config)
  local one = limits.new(KINDS[kind], config)
  one:start_(config, START)
  return one
end

local function of_rate(kind, rate)
  return new(kind, {rate = rate.p / rate.q, burst = rate.burst})
end

-- ---- models -------------------------------------------------------------------------------------

-- When the bucket is full again, in whole ns and a remainder in p-ths.
local function new_bucket_model(rate)
  return {p = rate.p, token = 1e9 * rate.q, burst = rate.burst, ns = START, rest = 0}
end

local function take_from_bucket(m, ns, n)
  local at, rest = m.ns, m.rest
  if at < ns then
    at, rest = ns, 0
  end
  rest = rest + n * m.token
  at, rest = at + floor(rest / m.p), fmod(rest, m.p)
  if (at - ns) * m.p + rest > m.burst * m.token then
    return false
  end
  m.ns, m.rest = at, rest
  return true
end

-- What a token bucket is, said without one: between any two times no more came through than the
-- burst and what the rate brings meanwhile.
local function fits_curve(taken, rate, ns, n)
  local sum = n
  for i = #taken, 1, -1 do
    sum = sum + taken[i].n
    if (sum - rate.burst) * 1e9 * rate.q > (ns - taken[i].ns) * rate.p then
      return false
    end
  end
  return n <= rate.burst
end

-- At most `limit` in the last window; what is exactly a window old is out.
local function fits_log(taken, config, ns, n)
  local sum = n
  for i = #taken, 1, -1 do
    if ns - taken[i].ns < config.window * 1e9 then
      sum = sum + taken[i].n
    end
  end
  return sum <= config.limit
end

-- The tokens of this fixed window and, for the part of it that is not over, of the one before.
local function fits_counters(taken, config, ns, n)
  local window = config.window * 1e9
  local index, sum, before = floor((ns - START) / window), n, 0
  for i = 1, #taken do
    local its = floor((taken[i].ns - START) / window)
    sum = sum + (its == index and taken[i].n or 0)
    before = before + (its == index - 1 and taken[i].n or 0)
  end
  return before * (window - (ns - START - index * window)) <= (config.limit - sum) * window
end

-- ---- a million events ---------------------------------------------------------------------------

describe("a million events agree with the model:", function()
  for _, kind in ipairs{"token_bucket", "gcra"} do
    it(kind, function()
      math.randomseed(11)
      local n_of_each = floor(H.rounds(1000000, 6000) / #RATES)
      for _, rate in ipairs(RATES) do
        local one, m, ns = of_rate(kind, rate), new_bucket_model(rate), START
        local far = 2 ^ 52 -- the time of a machine that has been up for weeks
        local token_ns = 1e9 * rate.q / rate.p
        for i = 1, n_of_each do
          local step = random()
          ns = ns + (step < 0.2 and 0 or floor(token_ns * step * step * 3))
          local n = random(4) == 1 and random(0, rate.burst + 1) or 1
          if (one:take_(ns, n) == 0) ~= take_from_bucket(m, ns, n) then
            error(("%g/s, event %d: %d at %d"):format(rate.p / rate.q, i, n, ns))
          elseif ns > far then
            one, m, ns = of_rate(kind, rate), new_bucket_model(rate), START
          end
        end
      end
    end)
  end

  it("sliding window", function()
    math.randomseed(12)
    local config = {limit = 100, window = 0.01}
    local one, ns = new("window", config), START
    local taken, first, sum = {}, 1, 0
    for i = 1, H.rounds(1000000, 6000) do
      ns = ns + random(0, 100000)
      while taken[first] and ns - taken[first].ns >= 1e7 do
        sum, first = sum - taken[first].n, first + 1
      end
      local n = random(4) == 1 and random(0, 8) or 1
      local fits = sum + n <= config.limit
      if (one:take_(ns, n) == 0) ~= fits then
        error(("event %d: %d at %d"):format(i, n, ns))
      elseif fits then
        taken[#taken + 1] = {ns = ns, n = n}
        sum = sum + n
      end
    end
  end)

  it("sliding window, approximate", function()
    math.randomseed(13)
    local config = {limit = 100, window = 0.01}
    local one, ns, begun, before, sum = new("counters", config), START, START, 0, 0
    for i = 1, H.rounds(1000000, 6000) do
      ns = ns + random(0, random(1000) == 1 and 3e7 or 1e5)
      while ns - begun >= 1e7 do
        begun, before, sum = begun + 1e7, sum, 0
      end
      local n = random(4) == 1 and random(0, 8) or 1
      local fits = before * (1e7 - (ns - begun)) + (sum + n) * 1e7 <= config.limit * 1e7
      if (one:take_(ns, n) == 0) ~= fits then
        error(("event %d: %d at %d"):format(i, n, ns))
      end
      sum = sum + (fits and n or 0)
    end
  end)
end)

-- ---- 10^5 random sequences ----------------------------------------------------------------------

-- One sequence: what is refused comes through after exactly the time it was told, and not one
-- nanosecond before.
local function play(one, fits, config, scale, burst)
  local taken, ns, text = {}, START, {}
  for _ = 1, random(2, 5) do
    ns = ns + random(0, 2) * floor(random() * scale)
    local n = random(0, burst)
    local delay = one:take_(ns, n)
    text[#text + 1], text[#text + 2], text[#text + 3] = n, ns - START, delay
    if (delay == 0) ~= fits(taken, config, ns, n) then
      return "tokens, time, delay: " .. table.concat(text, " ")
    elseif delay == 0 and n > 0 then
      taken[#taken + 1] = {ns = ns, n = n}
    elseif delay > 0 and (not fits(taken, config, ns + delay, n)
      or fits(taken, config, ns + delay - 1, n)) then
      return "tokens, time, delay: " .. table.concat(text, " ") .. ", but not then"
    end
  end
end

local function play_all(seed, fn)
  math.randomseed(seed)
  for round = 1, H.rounds(100000, 500) do
    local wrong = fn(round)
    if wrong then
      error(("seed %d, sequence %d: %s"):format(seed, round, wrong))
    end
  end
end

describe("10^5 random sequences agree with the definition:", function()
  for seed, kind in ipairs{"token_bucket", "gcra"} do
    it(kind, function()
      play_all(seed, function(round)
        local rate = RATES[round % #RATES + 1]
        return play(of_rate(kind, rate), fits_curve, rate, 2e9 * rate.q / rate.p, rate.burst)
      end)
    end)
  end

  for kind, fits in pairs{window = fits_log, counters = fits_counters} do
    it(kind, function()
      play_all(3, function(round)
        local config = {limit = round % 5 + 1, window = (round % 3 + 1) / 1000}
        return play(new(kind, config), fits, config, 2e6, config.limit)
      end)
    end)
  end
end)

-- ---- boundaries ---------------------------------------------------------------------------------

describe("the n-th token", function()
  for _, kind in ipairs{"token_bucket", "gcra"} do
    it("comes at exactly n / rate: " .. kind, function()
      for _, rate in ipairs(RATES) do
        local one = of_rate(kind, rate)
        assert.equal(0, one:take_(START, rate.burst))
        for n = 1, 1000 do
          local due = START + math.ceil(n * 1e9 * rate.q / rate.p)
          assert.equal(1, one:take_(due - 1, 1))
          assert.equal(0, one:take_(due, 1))
        end
      end
    end)

    it("comes in its time for hours, without rounding: " .. kind, function()
      local rate = {p = 1, q = 3, burst = 1}
      local one, ns = of_rate(kind, rate), START
      for _ = 1, 28800 / 4 do
        assert.equal(0, one:take_(ns, 1))
        assert.equal(1, one:take_(ns + 3e9 - 1, 1))
        ns = ns + 3e9
      end
    end)
  end

  it("of a sliding window comes when the one before it is exactly a window old", function()
    local one = new("window", {limit = 2, window = 60})
    assert.equal(0, one:take_(START, 1))
    assert.equal(0, one:take_(START + 1, 1))
    assert.equal(60e9 - 59.9e9, one:take_(START + 59.9e9, 1))
    assert.equal(1, one:take_(START + 60e9 - 1, 1))
    assert.equal(0, one:take_(START + 60e9, 1))
    assert.equal(1, one:take_(START + 60e9, 1))
    assert.equal(0, one:take_(START + 60e9 + 1, 1))
  end)

  it("of two counters comes when so much of the window has passed", function()
    local one = new("counters", {limit = 10, window = 10})
    assert.equal(0, one:take_(START, 10))
    assert.equal(11e9, one:take_(START, 1))
    assert.equal(1, one:take_(START + 11e9 - 1, 1))
    assert.equal(0, one:take_(START + 11e9, 1))
    assert.equal(1e9, one:take_(START + 11e9, 1))
  end)
end)

describe("an account", function()
  it("begins with what it is told, and never has more than the burst", function()
    local one = new("token_bucket", {rate = 10, burst = 5, fill = 2})
    assert.equal(2, one:free_(START))
    assert.equal(5, one:free_(START + 1e12))
    assert.is_true(one:full_(START + 1e12))
    one = new("token_bucket", {rate = 10, burst = 5, fill = 0})
    assert.equal(1e8, one:take_(START, 1))
  end)

  it("says that there never are more than the burst", function()
    for kind in pairs(KINDS) do
      local one = new(kind, {rate = 1, burst = 3, limit = 3, window = 1})
      assert.equal(math.huge, one:take_(START, 4))
      assert.equal(0, one:take_(START, 3))
    end
  end)

  it("keeps what was taken when the rate changes", function()
    for _, kind in ipairs{"token_bucket", "gcra"} do
      local one = new(kind, {rate = 10, burst = 4})
      assert.equal(0, one:take_(START, 3))
      one:set_(1000, 8, START)
      assert.equal(1, one:free_(START))
      assert.equal(1e6, one:take_(START, 2))
      assert.equal(8, one:free_(START + 7e6))
      one:set_(1000, 2, START + 7e6)
      assert.equal(2, one:free_(START + 7e6))
    end
  end)

  it("keeps its log when the limit changes", function()
    local one = new("window", {limit = 3, window = 10})
    one:take_(START, 1)
    one:take_(START + 1, 1)
    one:set_(2, nil, START + 2)
    assert.equal(10e9 - 2, one:take_(START + 2, 1))
    assert.equal(0, one:take_(START + 10e9, 1))
    one:set_(4, nil, START + 10e9)
    assert.equal(2, one:free_(START + 10e9))
    assert.equal(0, one:take_(START + 10e9, 2))
    assert.equal(1, one:take_(START + 10e9, 1))
    one:set_(4, 5, START + 10e9)
    assert.equal(4, one:free_(START + 15e9))
  end)

  it("knows when the n-th of a line has its turn, beyond the burst as well", function()
    local one = new("window", {limit = 2, window = 10})
    one:take_(START, 1)
    one:take_(START + 1e9, 1)
    assert.equal(10e9 - 1e9, one:delay_(START + 1e9, 1))
    assert.equal(10e9, one:delay_(START + 1e9, 2))
    assert.equal(19e9, one:delay_(START + 1e9, 3))
    for _, kind in ipairs{"token_bucket", "gcra"} do
      one = new(kind, {rate = 10, burst = 2})
      one:take_(START, 2)
      assert.equal(5e8, one:delay_(START, 5))
    end
  end)

  it("works on after a clock that went back, that of another run", function()
    for kind in pairs(KINDS) do
      local one = new(kind, {rate = 10, burst = 2, limit = 2, window = 0.2})
      one:take_(START, 1)
      assert.is_true(one:free_(1e9) >= 1, kind)
      one:take_(1e9, 1)
      assert.equal(2, one:free_(3e9), kind)
    end
  end)
end)

describe("a rate", function()
  it("becomes whole numbers", function()
    assert.same({1, 1e6}, {units_of.of(1000, 10, 1e9)})
    assert.same({1, 1e10}, {units_of.of(0.1, 10, 1e9)})
    assert.same({1, 6e10}, {units_of.of(1 / 60, 10, 1e9)})
    assert.same({3, 1e9}, {units_of.of(3, 10, 1e9)})
    assert.same({333, 1e10}, {units_of.of(33.3, 10, 1e9)})
  end)

  it("that is no fraction, or with a burst too large to count, is rounded", function()
    assert.same({math.pi, 1e9}, {units_of.of(math.pi, 1, 1e9)})
    assert.same({3, 1e9}, {units_of.of(3, 1e12, 1e9)})
  end)
end)
