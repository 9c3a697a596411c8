-- SPDX-License-Identifier: MIT
-- Circuit breakers: what gobreaker's tests want, the rules by rate, both kinds, against a model.
local rl = require "ringlet"
local H = require "spec.helper"
local Model = require "spec.breaker_model"

-- Of busted's environment, which is slow to ask.
local error, ipairs, math, next, pairs, pcall = error, ipairs, math, next, pairs, pcall
local table, tostring, type = table, tostring, type

local HERE = "spec/breaker_spec.lua:"

local function succeed(b) return b:call(function() return true end) end
local function fail(b) return b:call(function() return nil, "EBAD: bad", "EBAD" end) end
local function exclude(b) return b:call(function() return nil, "ENONE: none", "ENONE" end) end

local function is_open(b, fn)
  local called = false
  local v, msg, code, seconds = b:call(fn or function() called = true end)
  assert.same({nil, "EOPEN", false}, {v, code, called})
  return msg, seconds
end

local ZERO = {requests = 0, successes = 0, failures = 0, excluded = 0, slow = 0,
  consecutive_successes = 0, consecutive_failures = 0}

-- The counts are these, and 0 where nothing is said.
local function has_counts(b, some)
  local all = {}
  for name in pairs(ZERO) do all[name] = some[name] or 0 end
  assert.same(all, b:counts())
end

local function by_share(counts)
  local valid = counts.requests - counts.excluded
  return valid >= 3 and counts.failures / valid >= 0.6
end

-- gobreaker's newCustom, and the list of its changes.
local function custom(scope, more)
  local changes = {}
  local opts = {
    name = "cb", scope = scope, half_open_calls = 3, interval = 30, open_for = 90,
    ready_to_trip = by_share, excluded = {"ENONE"},
    on_change = function(from, to, _, b) changes[#changes + 1] = b.name .. from .. ">" .. to end,
  }
  for k, v in pairs(more or {}) do opts[k] = v or nil end
  return rl.breaker(opts), changes
end

-- Call and let it end after so many seconds.
local function later(b, seconds, fn)
  local task = rl.go(function()
    return b:call(function()
      rl.sleep(seconds)
      return (fn or function() return true end)()
    end)
  end)
  rl.yield()
  return task
end

local function add_gobreaker(it, scope)
  it("opens at the sixth failure in a row, tries after 60 s", function()
    local b = rl.breaker{scope = scope}
    assert.equal("closed", b:state())
    for _ = 1, 5 do fail(b) end
    assert.equal("closed", b:state())
    has_counts(b, {requests = 5, failures = 5, consecutive_failures = 5})
    succeed(b)
    has_counts(b, {requests = 6, successes = 1, failures = 5, consecutive_successes = 1})
    fail(b)
    assert.equal("closed", b:state())
    has_counts(b, {requests = 7, successes = 1, failures = 6, consecutive_failures = 1})
    for _ = 1, 5 do fail(b) end
    assert.equal("open", b:state())
    has_counts(b, {})
    is_open(b)
    is_open(b)
    has_counts(b, {})
    rl.sleep(59.9)
    assert.equal("open", b:state())
    is_open(b)
    rl.sleep(0.1)
    assert.equal("half-open", b:state())
    fail(b)
    assert.equal("open", b:state())
    has_counts(b, {})
    rl.sleep(60)
    assert.equal("half-open", b:state())
    succeed(b)
    assert.equal("closed", b:state())
    has_counts(b, {})
  end)

  it("goes by counts in an interval, and lets three try", function()
    local b, changes = custom(scope)
    for _ = 1, 5 do
      succeed(b)
      fail(b)
      exclude(b)
    end
    assert.equal("closed", b:state())
    has_counts(b, {requests = 15, successes = 5, failures = 5, excluded = 5,
      consecutive_failures = 1})
    rl.sleep(29.9)
    succeed(b)
    has_counts(b, {requests = 16, successes = 6, failures = 5, excluded = 5,
      consecutive_successes = 1})
    rl.sleep(0.1) -- the interval is over
    fail(b)
    has_counts(b, {requests = 1, failures = 1, consecutive_failures = 1})
    succeed(b)
    fail(b) -- 2 of 3
    assert.equal("open", b:state())
    has_counts(b, {})
    assert.same({"cbclosed>open"}, changes)
    rl.sleep(90)
    assert.equal("half-open", b:state())
    for _ = 1, 4 do exclude(b) end
    assert.equal("half-open", b:state())
    fail(b)
    assert.equal("open", b:state())
    has_counts(b, {})
    rl.sleep(90)
    assert.equal("half-open", b:state())
    succeed(b)
    succeed(b)
    assert.equal("half-open", b:state())
    has_counts(b, {requests = 2, successes = 2, consecutive_successes = 2})
    local third = later(b, 0.1)
    has_counts(b, {requests = 3, successes = 2, consecutive_successes = 2})
    local msg, seconds = is_open(b)
    assert.truthy(msg:find("too many requests", 1, true))
    assert.is_nil(seconds)
    third:join()
    assert.equal("closed", b:state())
    has_counts(b, {})
    assert.same({"cbclosed>open", "cbopen>half-open", "cbhalf-open>open", "cbopen>half-open",
      "cbhalf-open>closed"}, changes)
  end)

  it("counts in a window of 10 x 3 s exactly, and discards its buckets", function()
    local b, changes = custom(scope, {interval = false, window = 30, buckets = 10})
    for _ = 1, 5 do
      succeed(b)
      fail(b)
      exclude(b)
    end
    rl.sleep(3)
    succeed(b)
    has_counts(b, {requests = 16, successes = 6, failures = 5, excluded = 5,
      consecutive_successes = 1})
    rl.sleep(2)
    succeed(b)
    exclude(b)
    has_counts(b, {requests = 18, successes = 7, failures = 5, excluded = 6,
      consecutive_successes = 2})
    rl.sleep(2)
    exclude(b)
    succeed(b)
    has_counts(b, {requests = 20, successes = 8, failures = 5, excluded = 7,
      consecutive_successes = 3})
    rl.sleep(2)
    fail(b)
    has_counts(b, {requests = 21, successes = 8, failures = 6, excluded = 7,
      consecutive_failures = 1})
    for i = 0, 5 do
      rl.sleep(3)
      succeed(b)
      fail(b)
      has_counts(b, {requests = 23 + 2 * i, successes = 9 + i, failures = 7 + i, excluded = 7,
        consecutive_failures = 1})
    end
    rl.sleep(3) -- the first bucket goes
    fail(b)
    has_counts(b, {requests = 19, successes = 9, failures = 8, excluded = 2,
      consecutive_failures = 2})
    for i = 0, 4 do
      fail(b)
      has_counts(b, {requests = 20 + i, successes = 9, failures = 9 + i, excluded = 2,
        consecutive_failures = 3 + i})
    end
    assert.equal("closed", b:state())
    fail(b) -- 14 of 23
    assert.equal("open", b:state())
    assert.same({"cbclosed>open"}, changes)
    rl.sleep(90)
    succeed(b)
    succeed(b)
    assert.equal("half-open", b:state())
    succeed(b)
    assert.equal("closed", b:state())
    has_counts(b, {})
  end)

  it("forgets a run that has left the window, and the whole of it after a pause", function()
    local b = rl.breaker{scope = scope, window = 4, buckets = 2, failures = 4}
    for _ = 1, 3 do fail(b) end
    rl.sleep(2)
    fail(b) -- the fourth
    assert.equal("open", b:state())
    b:reset()
    for _ = 1, 3 do fail(b) end
    rl.sleep(4)
    has_counts(b, {})
    for _ = 1, 3 do fail(b) end
    assert.equal("closed", b:state())
    rl.sleep(400)
    has_counts(b, {})
    fail(b)
    has_counts(b, {requests = 1, failures = 1, consecutive_failures = 1})
  end)

  it("counts a raise, and raises the same value again", function()
    local b, err = rl.breaker{scope = scope}, {}
    assert.is_true(rawequal(err, H.raises(b.call, b, error, err)))
    has_counts(b, {requests = 1, failures = 1, consecutive_failures = 1})
  end)

  it("ignores results of an older generation", function()
    local b = custom(scope)
    rl.sleep(29)
    succeed(b)
    local late = later(b, 1.5)
    has_counts(b, {requests = 2, successes = 1, consecutive_successes = 1})
    rl.sleep(1)
    has_counts(b, {})
    late:join()
    has_counts(b, {})
    assert.equal(1, b:stats().ignored)
  end)

  it("counts a late result in the bucket in which it began, or not", function()
    local b = rl.breaker{scope = scope, window = 30, buckets = 10}
    local soon, late = b:allow(), b:allow()
    rl.sleep(29)
    soon(false)
    has_counts(b, {requests = 2, failures = 1, consecutive_failures = 1})
    rl.sleep(1)
    has_counts(b, {})
    late(false)
    has_counts(b, {})
    assert.equal(1, b:stats().ignored)
  end)

  it("asks is_successful, with what pcall gave", function()
    local b = rl.breaker{scope = scope, is_successful = function() return true end}
    for _ = 1, 6 do fail(b) end
    has_counts(b, {requests = 6, successes = 6, consecutive_successes = 6})
    local c = rl.breaker{scope = scope, is_successful = function(ok, v)
      return ok and v < 500
    end}
    c:call(function() return 404 end)
    pcall(c.call, c, error)
    c:call(function() return 503 end)
    has_counts(c, {requests = 3, successes = 1, failures = 2, consecutive_failures = 2})
  end)

  it("asks excluded first, which may be a function or a list of codes", function()
    local saw = {}
    local b = rl.breaker{scope = scope, excluded = {"ENONE", "EX"}}
    for _ = 1, 3 do exclude(b) end
    pcall(b.call, b, rl.check, nil, "EX: x", "EX")
    has_counts(b, {requests = 4, excluded = 4})
    local c = rl.breaker{scope = scope, excluded = function(err, code)
      saw[#saw + 1] = tostring(err) .. "/" .. tostring(code)
      return err == "raised" or code == "ENONE"
    end, is_successful = function() return true end}
    exclude(c)
    fail(c)
    pcall(c.call, c, error, "raised")
    pcall(c.call, c, rl.check, nil, "EX: x", "EX")
    succeed(c)
    has_counts(c, {requests = 5, excluded = 2, successes = 3, consecutive_successes = 3})
    assert.same({"ENONE: none/ENONE", "EBAD: bad/EBAD", "raised/nil", "EX: x/EX"}, saw)
  end)

  it("lets in by allow, and takes what done is told", function()
    local b = rl.breaker{scope = scope, half_open_calls = 2, excluded = {"ENONE"}}
    for _ = 1, 5 do b:allow()(false) end
    has_counts(b, {requests = 5, failures = 5, consecutive_failures = 5})
    b:allow()(true)
    b:allow()(nil)
    b:allow()(false, "none", "ENONE")
    has_counts(b, {requests = 8, successes = 1, failures = 5, excluded = 2,
      consecutive_successes = 1})
    for _ = 1, 6 do b:allow()(false) end
    local done, msg, code, seconds = b:allow()
    assert.same({nil, "EOPEN: the breaker 'breaker' is open", "EOPEN"}, {done, msg, code})
    assert.near(60, seconds, 0.01)
    rl.sleep(60)
    local one, two = b:allow(), b:allow()
    assert.equal("EOPEN", (select(3, b:allow())))
    one(nil)
    two(nil)
    local three, four = b:allow(), b:allow()
    assert.is_nil((b:allow()))
    three(true)
    three(true)
    assert.equal("half-open", b:state())
    four(true)
    assert.equal("closed", b:state())
  end)

  it("takes no more results than it let in", function()
    local b = rl.breaker{scope = scope}
    local done = b:allow()
    done(false)
    done(false)
    has_counts(b, {requests = 1, failures = 1, consecutive_failures = 1})
  end)
end

local function add_rates(it, scope)
  it("opens at a share of failures, at the exact boundary, from min_calls on", function()
    for _, case in ipairs{{34, 100, "closed"}, {35, 100, "open"}, {6, 19, "closed"},
      {7, 20, "open"}, {19, 19, "closed"}} do
      local b = rl.breaker{scope = scope, rate = 0.35}
      for i = 1, case[2] do
        if i > case[2] - case[1] then fail(b) else succeed(b) end
      end
      assert.equal(case[3], b:state(), case[1] .. " of " .. case[2])
    end
  end)

  it("looks at the rate after a success, too", function()
    local b = rl.breaker{scope = scope, rate = 0.5, min_calls = 4}
    for _, fn in ipairs{fail, fail, succeed} do fn(b) end
    assert.equal("closed", b:state())
    succeed(b)
    assert.equal("open", b:state())
    assert.equal("2 of 4 calls failed", b:stats().why)
  end)

  it("opens at a share of slow calls, successful or not", function()
    local b = rl.breaker{scope = scope, slow_after = 0.3, slow_rate = 0.5, min_calls = 4,
      failures = 100}
    for _, seconds in ipairs{0.299, 0.299, 0.3} do
      b:call(rl.sleep, seconds)
    end
    assert.equal("closed", b:state())
    has_counts(b, {requests = 3, successes = 3, slow = 1, consecutive_successes = 3})
    pcall(b.call, b, function() rl.sleep(0.3) error "slow and wrong" end)
    assert.equal("open", b:state())
    assert.equal("2 of 4 calls were slow", b:stats().why)
    rl.sleep(60)
    b:call(rl.sleep, 0.3) -- a slow try
    assert.equal("open", b:state())
    rl.sleep(60)
    b:call(rl.sleep, 0.2)
    assert.equal("closed", b:state())
  end)

  it("measures from allow to done", function()
    local b = rl.breaker{scope = scope, slow_after = 1, slow_rate = 1, min_calls = 2}
    local one, two = b:allow(), b:allow()
    rl.sleep(0.9)
    one(true)
    rl.sleep(0.1)
    two(true)
    two(true)
    has_counts(b, {requests = 2, successes = 2, slow = 1, consecutive_successes = 2})
  end)
end

local function add_times(it, scope)
  it("is open longer each time, up to a limit, and not after it was closed", function()
    local b = rl.breaker{scope = scope, failures = 1, open_for = 10, backoff = 2, open_max = 30}
    fail(b)
    for _, seconds in ipairs{10, 20, 30, 30} do
      rl.sleep(seconds - 0.1)
      assert.equal("open", b:state())
      rl.sleep(0.1)
      assert.equal("half-open", b:state())
      fail(b)
    end
    rl.sleep(30)
    succeed(b)
    fail(b)
    rl.sleep(10)
    assert.equal("half-open", b:state())
  end)

  it("has patience with those who try, if told so", function()
    local b = rl.breaker{scope = scope, failures = 1, half_open_for = 5}
    fail(b)
    rl.sleep(60)
    local done = b:allow()
    rl.sleep(4.9)
    assert.equal("half-open", b:state())
    rl.sleep(0.1)
    assert.equal("open", b:state())
    done(true)
    assert.equal("open", b:state())
  end)

  it("gives a place back that was cancelled, whoever cancels", function()
    local b = rl.breaker{scope = scope, failures = 1}
    fail(b)
    rl.sleep(60)
    local task = later(b, 1000)
    is_open(b)
    task:cancel("enough")
    task:join()
    assert.equal("half-open", b:state())
    assert.is_nil((rl.timeout(1, b.call, b, rl.sleep, 1000)))
    succeed(b)
    assert.equal("closed", b:state())
    local counted = rl.breaker{scope = scope, is_successful = function() return false end,
      excluded = function() error "asked about a cancellation" end}
    rl.timeout(1, counted.call, counted, rl.sleep, 1000)
    has_counts(counted, {requests = 1, excluded = 1})
  end)

  it("wakes nobody: it has no timer", function()
    local timers = rl.stats().timers
    local b = rl.breaker{scope = scope, failures = 1, half_open_for = 1, window = 10}
    fail(b)
    assert.equal(timers, rl.stats().timers)
  end)
end

local function add_hands(it, scope)
  it("is tripped and reset by hand", function()
    local changes = {}
    local b = rl.breaker{scope = scope, on_change = function(from, to, why)
      changes[#changes + 1] = ("%s>%s: %s"):format(from, to, why)
    end}
    b:trip("maintenance")
    b:trip("more of it", math.huge)
    rl.sleep(10000)
    assert.equal("open", b:state())
    assert.equal(math.huge, (select(2, is_open(b))))
    b:reset()
    b:reset()
    assert.equal("closed", b:state())
    b:trip(nil, 5)
    rl.sleep(5)
    assert.equal("half-open", b:state())
    assert.same({"closed>open: maintenance", "open>closed: by hand", "closed>open: by hand",
      "open>half-open: open for 5 s"}, changes)
  end)

  it("a reset forgets what is counted and what is under way", function()
    local b = rl.breaker{scope = scope}
    for _ = 1, 5 do fail(b) end
    local done = b:allow()
    b:reset()
    done(false)
    has_counts(b, {})
  end)

  it("does nothing while it is disabled, but count", function()
    local b = rl.breaker{scope = scope, failures = 2}
    fail(b)
    fail(b)
    b:disable()
    assert.equal("closed", b:state())
    for _ = 1, 10 do fail(b) end
    has_counts(b, {requests = 10, failures = 10, consecutive_failures = 10})
    assert.is_true(b:stats().disabled)
    b:enable()
    fail(b)
    assert.equal("open", b:state())
  end)

  it("tells each change once, and what it counted since it was made", function()
    local b, changes = custom(scope)
    for _ = 1, 3 do fail(b) end
    is_open(b)
    is_open(b)
    rl.sleep(90)
    exclude(b)
    for _ = 1, 3 do succeed(b) end
    assert.same({"cbclosed>open", "cbopen>half-open", "cbhalf-open>closed"}, changes)
    local stats = b:stats()
    stats.since = nil
    assert.same({state = "closed", why = "3 calls succeeded", generation = 4, disabled = false,
      requests = 7, successes = 3, failures = 3, excluded = 1, slow = 0, ignored = 0, refused = 2,
      opened = 1}, stats)
  end)

  it("says what it is", function()
    local b = rl.breaker{scope = scope, name = "db", failures = 2}
    succeed(b)
    fail(b)
    assert.equal("ringlet.breaker 'db': closed, 1 of 2 calls failed", tostring(b))
    fail(b)
    assert.equal("ringlet.breaker 'db': open (2 failures in a row), for 60 s", tostring(b))
    rl.sleep(60)
    assert.equal("ringlet.breaker 'db': half-open, 0 of 1 calls let in", tostring(b))
    b:disable()
    assert.equal("ringlet.breaker 'db': closed, 0 of 0 calls failed, disabled", tostring(b))
  end)

  it("is not broken by functions that raise: they are reported", function()
    local reports = {}
    rl.on_error(function(err, trace, x)
      reports[#reports + 1] = tostring(err):gsub("^.-:%d+: ", "")
      assert.equal("string", type(trace))
      assert.truthy(tostring(x):find("ringlet.breaker", 1, true))
    end)
    local b = rl.breaker{scope = scope, failures = 2, excluded = function() error "ex" end,
      is_successful = function() error "is" end, ready_to_trip = function() error "re" end,
      on_change = function() error "on" end}
    succeed(b)
    fail(b)
    fail(b)
    rl.on_error(nil)
    assert.equal("open", b:state())
    assert.same({"is", "ex", "is", "re", "ex", "is", "on"}, reports)
  end)

  it("may be changed by its own on_change", function()
    local log = {}
    local b
    b = rl.breaker{scope = scope, failures = 1, on_change = function(from, to)
      log[#log + 1] = from .. ">" .. to
      if to == "open" then b:reset() end
    end}
    if scope == "shard" then
      fail(b)
      assert.equal("closed", b:state())
      assert.same({"closed>open", "open>closed"}, log)
    end
  end)
end

for _, scope in ipairs{"shard", "shared"} do
  H.sim("a breaker, " .. scope, function(it)
    add_gobreaker(it, scope)
    add_rates(it, scope)
    add_times(it, scope)
    add_hands(it, scope)
  end)
end

-- ---- results and misuse -------------------------------------------------------------------------

H.both("a call through a breaker", function(it)
  it("gives what the function gives", function()
    local b = rl.breaker()
    assert.same({n = 3, 1, nil, 3}, H.pack(b:call(function(...) return ... end, 1, nil, 3)))
    assert.same({n = 0}, H.pack(b:call(function() end)))
    assert.same({n = 3, nil, "EBAD: bad", "EBAD"}, H.pack(fail(b)))
    has_counts(b, {requests = 3, successes = 2, failures = 1, consecutive_failures = 1})
  end)

  it("many at once: 100,000 are counted exactly", function()
    local n = H.rounds(10000, 100)
    local b = rl.breaker{excluded = {"ENONE"}}
    local wg = rl.waitgroup()
    for _ = 1, 10 do
      wg:go(function()
        for i = 1, n do
          if i % 2 == 0 then succeed(b) else exclude(b) end
          if i % 97 == 0 then rl.yield() end
        end
      end)
    end
    wg:wait()
    has_counts(b, {requests = 10 * n, successes = 5 * n, excluded = 5 * n,
      consecutive_successes = 5 * n})
  end)

  it("works outside of a run, and in the next one", function()
    local b = rl.breaker{failures = 1}
    fail(b)
    assert.equal("open", b:state())
  end)
end)

describe("a breaker", function()
  it("says what is wrong with its options, at the caller's line", function()
    for _, case in ipairs{
      {{x = 1}, "unknown option 'x'"},
      {{failures = 0}, "option 'failures' must be a whole number of at least 1, not 0"},
      {{rate = 35}, "option 'rate' must be a number from 0.0001 to 1, not 35"},
      {{slow_rate = 0.5}, "option 'slow_rate' needs 'slow_after'"},
      {{buckets = 3}, "option 'buckets' needs 'window' or 'rate' or 'slow_after'"},
      {{min_calls = 3}, "option 'min_calls' needs 'rate' or 'slow_after'"},
      {{open_max = 3}, "option 'open_max' needs 'backoff'"},
      {{window = 3, interval = 3}, "options 'window' and 'interval' exclude each other"},
      {{open_for = 0}, "option 'open_for' must be a number more than 0, not 0"},
      {{scope = "all"}, "option 'scope' must be 'shard' or 'shared', not 'all'"},
      {{excluded = {1}}, "must be a function or a list of codes: [1] is a number"},
      {"x", "options must be a table, not a string"},
    } do
      local err = H.raises_text(case[2], function() rl.breaker(case[1]) end)
      assert.equal(1, tostring(err):find(HERE, 1, true), err)
    end
    local b = rl.breaker()
    for _, case in ipairs{
      {"function expected, got nil", b.call, nil},
      {"a reason is a string, not a number", b.trip, 1},
      {"seconds expected: a number more than 0", b.trip, "x", 0},
      {"a reason is a string, not a table", b.reset, {}},
    } do
      local err = H.raises_text(case[1], function() case[2](b, case[3], case[4]) end)
      assert.equal(1, err:find(HERE, 1, true), err)
    end
  end)

  it("of a module outlives a run: its time and its places are there in the next", function()
    local b, shared_one = rl.breaker{failures = 1}, rl.breaker{failures = 1, scope = "shared"}
    local rolling = rl.breaker{rate = 0.5, window = 30}
    H.run(function()
      rl.sleep(1000)
      rolling:reset()
      fail(b)
      fail(shared_one)
      rl.sleep(20)
      fail(rolling)
    end)
    H.run(function() -- the clock begins anew
      assert.equal("open", b:state())
      has_counts(rolling, {requests = 1, failures = 1, consecutive_failures = 1})
      rl.sleep(39.9)
      assert.equal("open", b:state())
      assert.equal("open", shared_one:state())
      rl.sleep(0.1)
      assert.equal("half-open", b:state())
      assert.is_function(b:allow())
      assert.is_nil((b:allow()))
      rl.sleep(60)
      assert.equal("half-open", shared_one:state())
      assert.is_function(shared_one:allow())
      assert.is_nil((shared_one:allow()))
      has_counts(rolling, {})
    end)
    H.run(function()
      for _, one in ipairs{b, shared_one} do
        succeed(one)
        assert.equal("closed", one:state())
      end
    end)
  end)

  it("is forgotten with its last reference", function()
    local weak = setmetatable({}, {__mode = "k"})
    H.run(function()
      for _, scope in ipairs{"shard", "shared"} do
        local b = rl.breaker{scope = scope, window = 10}
        succeed(b)
        b:allow()(true)
        weak[b] = true
      end
    end)
    H.collect()
    assert.is_nil(next(weak))
  end)
end)

-- ---- shared by shards ---------------------------------------------------------------------------

local function add_shared(it)
  it("is one for all: counts of two shards are exact", function()
    local n = H.rounds(50000, 500)
    for _, window in ipairs{false, 1000} do
      local b = rl.breaker{scope = "shared", window = window or nil, excluded = {"ENONE"}}
      local function work()
        for i = 1, n do
          if i % 2 == 0 then
            b:call(function() return true end)
          else
            b:call(function() return nil, "ENONE: none", "ENONE" end)
          end
        end
      end
      local jobs = {rl.spawn_on(1, work), rl.spawn_on(2, work)}
      for _, job in ipairs(jobs) do assert.is_true((job:join())) end
      has_counts(b, {requests = 2 * n, successes = n, excluded = n, consecutive_successes = n})
    end
  end, {shards = 2})

  it("changes once, and tells of it once, where that happened", function()
    local told = require "ringlet.shared".dict()
    local b = rl.breaker{scope = "shared", failures = 3, on_change = function(from, to)
      told:push(from .. ">" .. to, require "ringlet".shard())
    end}
    for round = 1, 50 do
      local function work()
        for _ = 1, 10 do b:call(function() return nil, "EBAD: bad", "EBAD" end) end
      end
      local jobs = {rl.spawn_on(1, work), rl.spawn_on(2, work)}
      for _, job in ipairs(jobs) do assert.is_true((job:join())) end
      assert.equal("open", b:state())
      assert.equal(round, told:len "closed>open")
      b:reset()
      assert.equal(round, told:len "open>closed")
    end
    assert.equal(50, b:stats().opened)
  end, {shards = 2})

  it("lets in no more than it may, from wherever they come", function()
    local atomic = require "ringlet.shared".atomic
    local b, most, inside = rl.breaker{scope = "shared", half_open_calls = 3}, atomic(), atomic()
    b:trip("test", 0.001)
    rl.sleep(0.01)
    assert.equal("half-open", b:state())
    local function work()
      for _ = 1, 200 do
        local done = b:allow()
        if done then
          local n = inside:add(1)
          if n > most:load() then most:store(n) end
          require "ringlet".yield()
          inside:sub(1)
          done(nil)
        end
      end
    end
    local jobs = {}
    for i = 1, 8 do jobs[i] = rl.spawn_on(1 + i % 2, work) end
    for _, job in ipairs(jobs) do assert.is_true((job:join())) end
    assert.is_true(most:load() <= 3 and most:load() > 0)
    local counts = b:counts()
    assert.equal(counts.excluded, counts.requests)
    for _ = 1, 3 do succeed(b) end
    assert.equal("closed", b:state())
  end, {shards = 2})

  it("travels in jobs and channels, and says so if a function of its cannot", function()
    local b = rl.breaker{scope = "shared", name = "db", failures = 1}
    local _, text = rl.spawn_on(2, function(x)
      x:call(function() return nil, "EBAD: bad", "EBAD" end)
      return tostring(x)
    end, b):join()
    assert.equal("ringlet.breaker 'db': open (a call failed)", (text:gsub(", for.*", "")))
    assert.equal("open", b:state())
    local mutex = rl.mutex()
    local stuck = rl.breaker{scope = "shared", on_change = function() return mutex end}
    H.raises_text("on_change", rl.spawn_on, 2, type, stuck)
    H.raises_text("ringlet.breaker", rl.spawn_on, 2, type, rl.breaker())
  end, {shards = 2})

  it("ends a window on all shards: exact when nothing is under way", function()
    local b = rl.breaker{scope = "shared", window = 0.02, buckets = 4, failures = 1e6}
    local function work()
      for i = 1, 2000 do
        b:call(function() return nil, "EBAD: bad", "EBAD" end)
        if i % 100 == 0 then require "ringlet".sleep(0.001) end
      end
    end
    local jobs = {rl.spawn_on(1, work), rl.spawn_on(2, work)}
    for _, job in ipairs(jobs) do assert.is_true((job:join())) end
    rl.sleep(0.05)
    has_counts(b, {})
    local stats = b:stats()
    assert.equal(4000, stats.requests)
    assert.equal(4000, stats.failures + stats.ignored)
  end, {shards = 2})
end

H.both("a shared breaker", add_shared)

-- Another handle of the same breaker, in whose changes `between` is called before the record is
-- added: what another shard may do just then.
local function interrupted(b, between)
  local dict, other = b.dict, {}
  for k, v in pairs(b) do other[k] = v end
  other.dict = setmetatable({add = function(_, ...)
    between(dict, ...)
    return dict:add(...)
  end}, {__index = function(_, name)
    return function(_, ...) return dict[name](dict, ...) end
  end})
  return setmetatable(other, getmetatable(b))
end

H.sim("two shards that change a breaker at once", function(it)
  local function new()
    local told = {}
    return rl.breaker{scope = "shared", failures = 1, on_change = function(from, to, why)
      told[#told + 1] = ("%s>%s: %s"):format(from, to, why)
    end}, told
  end

  it("have changed it once: who comes second does not tell", function()
    local b, told = new()
    fail(interrupted(b, function() b:trip() end))
    assert.same({"closed>open: by hand"}, told)
    assert.equal(1, b:stats().opened)
    assert.equal(2, b:stats().generation)
  end)

  it("leave nothing when one comes after all have moved on", function()
    local b, told = new()
    fail(interrupted(b, function()
      b:trip()
      b:reset()
    end))
    assert.same({"closed>open: by hand", "open>closed: by hand"}, told)
    assert.equal(3, b:stats().generation)
    assert.is_nil(b.dict:get "2")
    assert.truthy(b.dict:get "3")
  end)

  it("do it by hand whoever comes between", function()
    local b, told = new()
    local n = 0
    interrupted(b, function()
      n = n + 1
      if n == 1 then b:reset() end
    end):trip()
    assert.equal("open", b:state())
    assert.same({"closed>open: by hand"}, told)
  end)

  it("go on when one stops in between: the other tells of it", function()
    local b, told = new()
    local stopped = interrupted(b, function(dict, ...)
      dict:add(...)
      error("stopped", 0)
    end)
    assert.equal("stopped", H.raises(stopped.trip, stopped, "first"))
    assert.equal("closed", b:state())
    assert.same({}, told)
    fail(b)
    assert.equal("open", b:state())
    assert.equal("first", b:stats().why)
    assert.same({"closed>open: first"}, told)
  end)
end)

-- ---- against the model --------------------------------------------------------------------------

local KINDS = {
  {failures = 2, open_for = 3, backoff = 2, open_max = 10},
  {failures = 3, window = 4, buckets = 4, open_for = 2, half_open_calls = 2},
  {rate = 0.5, min_calls = 3, window = 3, buckets = 3, open_for = 2, half_open_for = 2},
  {rate = 0.6, failures = 3, min_calls = 4, interval = 5, open_for = 1, half_open_calls = 3},
  {slow_after = 1, slow_rate = 0.5, rate = 0.7, min_calls = 2, window = 6, buckets = 2,
    open_for = 2, half_open_calls = 2},
}

-- Plainly compared: a hundred thousand times, luassert takes a minute.
local function check_same(what, expected, got)
  if expected ~= got then
    error(("%s: %s expected, got %s"):format(what, tostring(expected), tostring(got)), 0)
  end
end

local function check(b, m)
  local counts, got = m:look(rl.now()), b:counts()
  check_same("state", m.state, b:state())
  for name in pairs(ZERO) do check_same(name, counts[name], got[name]) end
end

local RESULTS = {true, false, false} -- and nil

local function step(random, b, m, held)
  local now, op = rl.now(), random(10)
  if op <= 4 then
    local done, call = b:allow(), m:allow(now)
    check_same("let in", call ~= nil, done ~= nil)
    if done then held[#held + 1] = {done, call} end
  elseif op <= 8 and held[1] then
    local one, ok = table.remove(held, random(#held)), RESULTS[random(4)]
    one[1](ok)
    m:done(one[2], ok, now)
  elseif op == 9 then
    rl.sleep(random(8) / 4)
  elseif op == 10 and random(4) == 1 then
    b:trip("x", 2)
    m:look(now)
    m:begin("open", now, 2)
  end
end

local function sequence(random, scope)
  local o, changes = KINDS[random(#KINDS)], {}
  local opts = {scope = scope, on_change = function(from, to)
    changes[#changes + 1] = from .. ">" .. to
  end}
  for k, v in pairs(o) do opts[k] = v end
  local b, held = rl.breaker(opts), {}
  local m = Model.new(o, b:stats().since)
  for i = 1, 6 do
    step(random, b, m, held)
    if i % 3 == 0 then check(b, m) end
  end
  check_same("changes", table.concat(m.changes, " "), table.concat(changes, " "))
end

-- What runs once in many ways is not worth compiling; what is under test goes on to be.
local jit = rawget(_G, "jit")
if jit then
  for _, fn in pairs(Model) do
    if type(fn) == "function" then jit.off(fn) end
  end
  jit.off(check)
  jit.off(step)
  jit.off(sequence)
end

local function against_model(scope, n)
  return function()
    for seed = 1, H.rounds(n, 50) do
      math.randomseed(seed)
      local ok, err = pcall(sequence, math.random, scope)
      if not ok then error("seed " .. seed .. ": " .. tostring(err), 0) end
    end
  end
end

H.sim("a breaker does what its model does", function(it)
  it("of one shard", against_model("shard", 100000), {timeout = 1e7})
  it("shared", against_model("shared", 5000), {timeout = 1e7})
end)
