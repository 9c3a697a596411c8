-- SPDX-License-Identifier: MIT
local rl = require "ringlet"
local H = require "spec.helper"

-- Of busted's environment, which is slow to ask.
local error, ipairs, math, pairs, table, tostring = error, ipairs, math, pairs, table, tostring

local HERE = "spec/limiter_concurrency_spec.lua:"

-- Where the order of turns is what is looked at: a task whose thread waits for a CPU is interrupted
-- wherever it is.
local IN_TURN = {preempt = false}

local function fixed(n, opts)
  local all = {kind = "concurrency", limit = n}
  for k, v in pairs(opts or {}) do all[k] = v end
  return rl.limiter(all)
end

local function overload(v, msg, code)
  assert.same({nil, "EOVERLOAD"}, {v, code})
  return msg
end

local function assert_idle(l)
  local stats = l:stats()
  assert.same({0, 0}, {stats.running, stats.waiting})
  for _, one in pairs(stats.by_priority) do
    assert.same({running = 0, waiting = 0}, one)
  end
  for _, group in ipairs(l.classes.groups) do
    assert.equal(0, group.n)
  end
end

-- A task that acquires, tells so, and holds the permit for some seconds.
local function holder(l, log, name, seconds, priority, t)
  return rl.go(function()
    local done, msg, code = l:acquire(t, priority)
    log[#log + 1] = name .. (done and "" or " " .. code)
    if done then
      rl.finally(function() rl.sleep(seconds) end, function() done(true) end)
    end
    return msg
  end)
end

local function join(...)
  for _, task in ipairs{...} do
    task:join()
  end
end

H.both("allow", function(it)
  it("gives so many permits, and one again for each that is given back", function()
    local l = fixed(2)
    local a, b = l:allow(), l:allow()
    assert.equal("EOVERLOAD: as many calls as there may be", overload(l:allow()))
    a(true)
    a(true) -- does nothing
    local c = l:allow()
    overload(l:allow())
    b(false)
    c(nil)
    local stats = l:stats()
    assert.same({3, 2, 1, 1, 1}, {stats.allowed, stats.refused, stats.succeeded, stats.failed,
      stats.ignored})
    assert_idle(l)
  end)

  it("measures what calls take, unless it is told", function()
    local l = fixed(2)
    local from = rl.now()
    local done = l:allow()
    rl.sleep(0.02)
    done(true)
    local rtt, most = l:stats().rtt, rl.now() - from
    assert.is_true(rtt >= 0.02 and rtt <= most, ("%g s, of %g"):format(rtt, most))
    l = fixed(2)
    l:allow()(true, 0.5)
    assert.equal(0.5, l:stats().rtt)
  end)

  it("raises for an unknown priority, at the caller's level", function()
    local l = fixed(1)
    for _, fn in ipairs{
      function() l:allow "urgent" end, function() l:acquire(nil, "urgent") end,
      function() l:call_as("urgent", print) end,
    } do
      local err = H.raises_text("unknown priority 'urgent'", fn)
      assert.is_truthy(tostring(err):find(HERE, 1, true), tostring(err))
    end
  end)
end)

H.both("acquire", function(it)
  it("waits, first come, first served", function()
    local l, log = fixed(1), {}
    local done, tasks = l:allow(), {}
    for i = 1, 4 do
      tasks[i] = holder(l, log, i, 0.001)
      rl.yield()
    end
    assert.equal(4, l:stats().waiting)
    overload(l:allow())
    done(true)
    tasks[4]:join()
    assert.same({"1", "2", "3", "4"}, log)
    assert_idle(l)
  end, IN_TURN)

  it("gives up in time, and leaves the line", function()
    local l = fixed(1)
    local done = l:acquire()
    assert.same({nil, "ETIMEDOUT: timed out", "ETIMEDOUT"}, {l:acquire(0.01)})
    assert.same({nil, "ETIMEDOUT: timed out", "ETIMEDOUT"}, {l:acquire(0)})
    assert.equal(0, l:stats().waiting)
    done(true)
    assert.is_truthy(l:acquire(0))
    assert.equal(2, l:stats().timed_out)
  end)

  it("cancelled in line leaves it; cancelled as it is served has its permit", function()
    local l, log = fixed(1), {}
    local done = l:allow()
    local a, b = holder(l, log, "a", 0), holder(l, log, "b", 0)
    rl.yield()
    a:cancel()
    done(true)
    b:join()
    assert.same({"b"}, log)
    done = l:allow()
    local c = holder(l, log, "c", 0)
    rl.yield()
    done(true)
    c:cancel()
    c:join()
    assert.same({"b", "c"}, log)
    assert_idle(l)
  end, IN_TURN)

  it("finds the line full", function()
    local l, log = fixed(1, {queue = 2}), {}
    local done = l:allow()
    local a, b = holder(l, log, "a", 0), holder(l, log, "b", 0)
    rl.yield()
    assert.equal("EOVERLOAD: as many calls wait as may", overload(l:acquire()))
    done(true)
    join(a, b)
    assert.same({"a", "b"}, log)
    l = fixed(1, {queue = 0})
    done = l:acquire()
    overload(l:acquire())
    done(true)
    assert_idle(l)
  end, IN_TURN)

  it("goes on when the limit is raised", function()
    local l, log = fixed(1), {}
    local done = l:allow()
    local a, b = holder(l, log, "a", 1000), holder(l, log, "b", 1000)
    rl.yield()
    l:set_limit(2)
    rl.yield()
    assert.same({"a"}, log)
    l:set_limit(1)
    done(true)
    assert.equal(1, l:stats().running)
    rl.yield()
    assert.same({"a"}, log)
    l:set_limit(5)
    rl.yield()
    assert.same({"a", "b"}, log)
    H.raises_text("the limit must be", l.set_limit, l, 0)
    H.raises_text("a number expected", l.set_limit, l)
    a:cancel()
    b:cancel()
    join(a, b)
    assert_idle(l)
  end, IN_TURN)
end)

H.both("call", function(it)
  it("gives the function's results and counts what became of it", function()
    local l = fixed(1)
    assert.same({n = 3, 1, nil, 3}, H.pack(l:call(function(...) return ... end, 1, nil, 3)))
    assert.same({nil, "EX: no", "EX"}, {l:call(function() return nil, "EX: no", "EX" end)})
    local err = {}
    assert.is_true(rawequal(err, H.raises(l.call, l, function() error(err) end)))
    local task = rl.go(l.call, l, rl.sleep, 1000)
    rl.yield()
    task:cancel()
    task:join()
    local stats = l:stats()
    assert.same({1, 2, 1}, {stats.succeeded, stats.failed, stats.ignored})
    assert_idle(l)
  end)

  it("is refused like acquire", function()
    local l = fixed(1, {queue = 0})
    local done = l:allow()
    overload(l:call(error))
    overload(l:call_as("critical", error))
    done(true)
    assert.equal(7, l:call_as("critical", function() return 7 end))
    H.raises_text("function expected", l.call, l)
  end)
end)

H.sim("queue_wait", function(it)
  it("is kept exactly: served after 299 ms, refused at 300", function()
    local l, log = fixed(1, {queue_wait = 0.3}), {}
    for _, held in ipairs{0.299, 0.301} do
      local done = l:allow()
      local begin = rl.now()
      local task = holder(l, log, held, 0)
      rl.sleep(held)
      done(nil)
      local _, msg = task:join()
      if held > 0.3 then
        assert.equal("EOVERLOAD: it would have to wait for too long", msg)
      end
      assert.is_true(rl.now() - begin < held + H.TICK)
    end
    assert.same({"0.299", "0.301 EOVERLOAD"}, log)
    assert.same({1, 1}, {l:stats().refused, l:stats().shed})
    assert_idle(l)
  end)

  it("refuses at once what would probably have to wait for longer", function()
    local l, log = fixed(2, {queue_wait = 0.4}), {}
    l:allow()(true, 0.2) -- a call takes 200 ms: the third in line waits for 300
    local a, b = l:allow(), l:allow()
    for i = 1, 3 do
      holder(l, log, i, 0)
      rl.yield()
    end
    local begin = rl.now()
    assert.equal("EOVERLOAD: it would have to wait for too long", overload(l:acquire()))
    assert.equal(begin, rl.now())
    assert.equal(0, l:stats().shed)
    a(true)
    b(true)
  end)

  it("does not make ETIMEDOUT of a shorter time of one's own", function()
    local l = fixed(1, {queue_wait = 0.3})
    local done = l:allow()
    assert.equal("ETIMEDOUT", select(3, l:acquire(0.1)))
    assert.equal("EOVERLOAD", select(3, l:acquire(0.5)))
    done(true)
  end)
end)

H.both("priorities", function(it)
  local THREE = {{"critical", 1}, {"normal", 0.8}, {"background", 0.5}}

  local function take(l, priority)
    local held = {}
    for i = 1, 100 do
      held[i] = l:allow(priority)
      if not held[i] then
        return i - 1, held
      end
    end
  end

  local function give_back(...)
    for _, held in ipairs{...} do
      for _, done in ipairs(held) do done(true) end
    end
  end

  it("may each use their share, with those below them", function()
    local l = fixed(10, {priorities = THREE})
    local background, a = take(l, "background")
    local normal, b = take(l, "normal")
    local critical, c = take(l, "critical")
    assert.same({5, 3, 2}, {background, normal, critical})
    give_back(a, b, c)
    critical, a = take(l, "critical")
    assert.equal(10, critical)
    assert.equal(0, (take(l, "background")))
    give_back(a)
    assert.equal(8, (take(l)))
  end)

  it("are not crowded out by those above them", function()
    local l = fixed(10, {priorities = THREE})
    local held = {}
    for i = 1, 4 do held[i] = l:allow "critical" end
    assert.equal(5, (take(l, "background")))
    assert.equal(4, #held)
  end)

  it("89 and 90 % of the limit", function()
    local l = fixed(100, {priorities = {{"high", 1}, {"low", 0.9}}})
    for _ = 1, 89 do assert.is_truthy(l:allow "low") end
    assert.is_truthy(l:allow "low")
    overload(l:allow "low")
    assert.is_truthy(l:allow "high")
  end)

  it("have one at least, may be numbers, and by default are three", function()
    local l = fixed(1)
    l:allow("background")(true)
    l:allow("critical")(true)
    l = fixed(10, {priorities = {{1, 1}, {2, 0.1}}})
    assert.is_truthy(l:allow(2))
    overload(l:allow(2))
    assert.equal(9, (take(l))) -- the first, as there is no "normal"
  end)

  it("in line come first, but pass nobody more than eight times", function()
    local l, log = fixed(1), {}
    local done = l:allow()
    local low, last = holder(l, log, "low", 0, "background"), nil
    for i = 1, 10 do last = holder(l, log, i, 0, "critical") end
    rl.yield()
    done(true)
    join(low, last)
    assert.same({"1", "2", "3", "4", "5", "6", "7", "8", "low", "9", "10"}, log)
    assert_idle(l)
  end, IN_TURN)

  it("take the place of less important ones in a full line, the latest first", function()
    local l, log = fixed(1, {queue = 2}), {}
    local done = l:allow()
    local a, b = holder(l, log, "a", 0, "background"), holder(l, log, "b", 0, "background")
    rl.yield()
    local c = holder(l, log, "c", 0, "critical")
    local _, msg = b:join()
    assert.equal("EOVERLOAD: a more important call took its place", msg)
    overload(l:acquire(nil, "background"))
    done(true)
    join(a, c)
    assert.same({"b EOVERLOAD", "c", "a"}, log)
    assert.equal(1, l:stats().shed)
    assert_idle(l)
  end, IN_TURN)

  it("do not wait behind those whose share is used up", function()
    local l, log = fixed(4), {}
    local a, b = l:allow "background", l:allow "background"
    local low = holder(l, log, "low", 0, "background")
    rl.yield()
    local c = l:allow()
    assert.is_truthy(c)
    c(true)
    assert.same({}, log)
    a(true)
    join(low)
    assert.same({"low"}, log)
    b(true)
    assert_idle(l)
  end, IN_TURN)

  it("must make sense", function()
    for text, list in pairs{
      ["must be a list"] = {}, ["item 1 must be"] = {"high"}, ["is there twice"] = {{1, 1}, {1, 1}},
      ["at most 0.5"] = {{1, 0.5}, {2, 0.6}}, ["more than 0"] = {{1, 0}},
    } do
      H.raises_text(text, fixed, 1, {priorities = list})
    end
  end)
end)

-- ---- against a model ----------------------------------------------------------------------------

-- Counts of what runs, and nothing else.
local function new_model(limit)
  return {limit = limit, shares = {1, 0.8, 0.5}, running = {0, 0, 0}, total = 0}
end

local function fits(m, rank)
  local sum = 0
  for i = 3, 1, -1 do
    sum = sum + m.running[i]
    if i <= rank and sum >= math.max(1, math.floor(m.shares[i] * m.limit)) then
      return false
    end
  end
  return m.total < m.limit
end

describe("10^5 random sequences", function()
  it("of allow, done and set_limit agree with the model", function()
    math.randomseed(21)
    for round = 1, H.rounds(100000, 500) do
      local limit = math.random(1, 6)
      local l = fixed(limit, {priorities = {{1, 1}, {2, 0.8}, {3, 0.5}}})
      local m, held = new_model(limit), {}
      for step = 1, math.random(3, 10) do
        local what, rank = math.random(8), math.random(3)
        if what <= 5 then
          local expected, done = fits(m, rank), l:allow(rank)
          if expected ~= (done ~= nil) then
            error(("seed 21, sequence %d, step %d"):format(round, step))
          elseif done then
            held[#held + 1] = {done, rank}
            m.running[rank], m.total = m.running[rank] + 1, m.total + 1
          end
        elseif what <= 7 and #held > 0 then
          local one = table.remove(held, math.random(#held))
          one[1](true)
          m.running[one[2]], m.total = m.running[one[2]] - 1, m.total - 1
        else
          m.limit = math.random(1, 6)
          l:set_limit(m.limit)
        end
      end
      assert(l.running == m.total)
    end
  end)
end)

H.sim("random tasks", function(it)
  local function play(seed)
    math.randomseed(seed)
    local limit = math.random(1, 3)
    local l = fixed(limit, {queue = math.random(0, 4), queue_wait = math.random() * 0.1})
    local inside, names, tasks = 0, {"critical", "normal", "background"}, {}
    local function body()
      inside = inside + 1
      assert.is_true(inside <= limit, "seed " .. seed)
      rl.finally(function() rl.sleep(math.random() * 0.05) end, function() inside = inside - 1 end)
      if math.random(4) == 1 then
        error "oops"
      end
    end
    for i = 1, math.random(3, 10) do
      tasks[i] = rl.go(rl.pcall, l.call_as, l, names[math.random(3)], body)
      if math.random(3) == 1 then rl.sleep(math.random() * 0.03) end
      if math.random(4) == 1 then tasks[math.random(i)]:cancel() end
    end
    for _, task in ipairs(tasks) do
      local ok, err, why = task:join()
      assert.is_true(ok or (rl.is_cancel(err)), tostring(err))
      assert.is_true(not ok or err or tostring(why):find("oops", 1, true) ~= nil, tostring(why))
    end
    assert.equal(0, inside)
    assert_idle(l)
  end

  it("are never too many, and leave nothing whatever becomes of them", function()
    for seed = 1, H.rounds(3000, 100) do
      play(seed)
    end
  end)
end)

H.sim("the gradient limiter", function(it)
  -- c servers behind a queue; twice as many calls as they can do.
  local function overload_of(c, shape)
    local l = rl.limiter{kind = "concurrency", algorithm = "gradient", queue = 0}
    local servers, over = rl.semaphore(c), false
    rl.go(function()
      while not over do
        rl.go(function()
          l:call(function()
            servers:acquire()
            rl.sleep(shape())
            servers:release()
          end)
        end)
        rl.sleep(0.02 / c / 2)
      end
    end)
    rl.sleep(15)
    local sum = 0
    for _ = 1, 150 do
      rl.sleep(0.1)
      sum = sum + l:stats().limit
    end
    over = true
    return sum / 150
  end

  for name, shape in pairs{
    constant = function() return 0.02 end,
    uniform = function() return 0.04 * math.random() end,
    exponential = function() return -0.02 * math.log(1 - math.random()) end,
  } do
    it("finds the servers of a service, service times " .. name, function()
      math.randomseed(31)
      local limit = overload_of(20, shape)
      assert.is_true(limit > 16 and limit < 24, limit)
    end)
  end
end)

describe("a limiter of concurrency", function()
  it("tells its state", function()
    local l = fixed(3)
    local done = l:allow()
    assert.equal("ringlet.limiter: concurrency (fixed), 1 of 3 running, 0 waiting", tostring(l))
    assert.equal("ringlet.permit: normal, for", tostring(done):match "^(.*) [%d.e-]+ s$")
    done(true)
    assert.equal("ringlet.permit: given back", tostring(done))
    l = rl.limiter{kind = "concurrency", algorithm = "gradient", initial = 7}
    assert.equal("ringlet.limiter: concurrency (gradient), 0 of 7 running, 0 waiting", tostring(l))
    assert.equal("gradient", l:stats().algorithm)
  end)

  it("is not kept busy by those who waited when their run ended", function()
    local l = fixed(1)
    local done
    H.run(function()
      done = l:allow()
      rl.daemon(l.acquire, l)
      rl.yield()
      assert.equal(1, l:stats().waiting)
    end)
    done(true)
    assert_idle(l)
    H.raises_text("not inside a task", l.acquire, l)
  end)
end)
