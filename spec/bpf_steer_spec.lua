-- SPDX-License-Identifier: MIT
-- bpf.steer: what the program chooses, compared with a model of it by test runs, and servers on
-- several shards that are steered.
local B = require "spec.bpf"
local H = require "spec.helper"
local fifo_gate = require "spec.fifo_gate"
local bpf = require "ringlet.bpf"
local http = require "ringlet.http"
local net = require "ringlet.net"
local rl = require "ringlet"
local wire = require "spec.wire"

local ANY = wire.ANY
local FOUR = {shards = 4}

local function lacks()
  return B.lacks("sk_reuseport", "socket_filter", "uring")
end

-- A test that has a steering, closed behind it.
local function with(opts, fn)
  return function()
    if lacks() then
      return
    end
    local steer = assert(bpf.steer(opts))
    local ok, err = pcall(fn, steer)
    steer:close()
    assert(ok, err)
  end
end

-- ---- options ------------------------------------------------------------------------------------

describe("bpf.steer", function()
  it("checks what it is given", function()
    if lacks() then
      return
    end
    H.raises_text("unknown option 'polcy'", bpf.steer, {polcy = "rr"})
    H.raises_text("option 'policy' must be 'least' or 'hash'", bpf.steer, {policy = "best"})
    H.raises_text("milliseconds, or false", bpf.steer, {stall_ms = true})
    H.raises_text("from 0 to 60000", bpf.steer, {stall_ms = -1})
    H.raises_text("option 'tenants' is one of policy = 'tenant'", bpf.steer,
      {policy = "rr", tenants = {}})
    H.raises_text("is no network", bpf.steer, {tenants = {["10.0.0.1/8"] = 1}})
    H.raises_text("is no network", bpf.steer, {tenants = {["10.0.0.0/33"] = 1}})
    H.raises_text("is no network", bpf.steer, {tenants = {["::1%lo"] = 1}})
    H.raises_text("the number of a shard", bpf.steer, {tenants = {["10.0.0.0/8"] = 65}})
    H.raises_text("a list of them", bpf.steer, {tenants = {["10.0.0.0/8"] = {}}})
    H.raises_text("the number of a shard", bpf.steer, {weights = {[0] = 1}})
    H.raises_text("a number from 0.01 to 100", bpf.steer, {weights = {2000}})
    H.raises_text("numbers expected", bpf.steer, {weights = {"x"}})
  end)

  it("tells what it is, and is closed more than once", with({policy = "rr"}, function(steer)
    assert.equal("ringlet.bpf.steering: rr, stalled after 3 ms", tostring(steer))
    assert.is_false(steer:is_closed())
    assert.same({placed = 0, migrated = 0, avoided = 0, fallbacks = 0, shards = {}}, steer:stats())
    assert.same({}, steer:state())
    assert.is_nil(steer:where "10.0.0.1")
    H.raises_text("an address expected", steer.where, steer, "10.0.0.1/8")
    H.raises_text("it knows no tenants", steer.tenant, steer, "10.0.0.0/8", 1)
    H.raises_text("table expected", steer.weights, steer, 1)
    assert.is_true(steer:close())
    assert.is_true(steer:close())
    assert.is_true(steer:is_closed())
    assert.equal("ringlet.bpf.steering: closed", tostring(steer))
    for _, method in ipairs{"stats", "state"} do
      assert.equal("ECLOSED", select(3, steer[method](steer)))
    end
    assert.equal("ECLOSED", select(3, steer:where "10.0.0.1"))
    assert.equal("ECLOSED", select(3, steer:weights{2}))
  end))

  it("needs CAP_BPF, and nothing more", function()
    if lacks() then
      return
    end
    local program = [[
      local rl, net, bpf = require "ringlet", require "ringlet.net", require "ringlet.bpf"
      local steer, msg, code = bpf.steer{policy = "rr"}
      if not steer then print(code, msg) return end
      rl.run(function()
        local server = assert(net.serve("127.0.0.1:0", function(conn) conn:read() end,
          {shards = "all", steer = steer}))
        for _ = 1, 8 do net.connect(server:addr()) end
        print(steer:stats().placed, steer:where "127.0.0.1")
        rl.stop(0)
      end, {shards = 2, on_overrun = function() end})]]
    local out = B.run(program, B.as_nobody())
    assert.equal("EPERM\tEPERM: needs CAP_BPF (load of the sk_reuseport steer)\n", out)
    out = B.run(program, B.as_nobody "bpf")
    assert.truthy(out:find "^8\t[12]\t[12]\n", out)
  end)
end)

-- ---- what the program chooses -------------------------------------------------------------------

local SEATS = 5
local STALL_NS = 3000000

-- 8 bytes, little endian as all machines here.
local function bytes8(n)
  local out = {}
  for i = 1, 8 do
    out[i] = string.char(n % 256)
    n = math.floor(n / 256)
  end
  return table.concat(out)
end

local NONE = bytes8(0)
local SOMEBODY = ("\0"):rep(10) .. "\255\255\10\0\0\1"

local function areas_of(steer)
  return require("ringlet.bpf_steer_handles").open(steer).areas
end

-- Random states of a few seats, at a random time.
local function random_state(random)
  local state = {now = random(2 ^ 40, 2 ^ 45), turn = random(0, SEATS), pass = random(0, 300000),
    seats = {}}
  for i = 1, SEATS do
    local handed = random(0, 20)
    local since = random(4) == 1 and random(0, 2 * STALL_NS)
    state.seats[i] = {
      open = random(5) > 1, cost = ({65536, 65536, 32768, 131072, 0})[random(5)],
      beat = random(6) > 1 and state.now - random(0, 2 * STALL_NS) or 0,
      since = since and state.now - since or 0, idle = random(3) == 1 and 1 or 0,
      runnable = random(0, 3), live = random(0, 4), max = random(3) == 1 and random(1, 4) or 0,
      handed = handed, taken = random(0, handed), floor = random(0, handed),
      next_floor = handed, mark_since = state.now - random(0, 3) * 1e9, pass = random(0, 300000),
    }
  end
  return state
end

local function write_state(areas, state)
  areas.turns:u64(0, state.turn)
  areas.turns:u64(8, state.pass)
  areas.turns:u64(64, SEATS)
  for i, s in ipairs(state.seats) do
    local at = (i - 1) * 64
    areas.terms:u32((i - 1) * 8, s.cost)
    areas.terms:u32((i - 1) * 8 + 4, s.open and 1 or 0)
    areas.beacons:u64(at, s.beat)
    areas.beacons:u64(at + 8, s.since)
    areas.beacons:u32(at + 24, s.runnable)
    areas.beacons:u32(at + 28, s.idle)
    areas.seats:u64(at, s.taken)
    areas.seats:u32(at + 8, s.live)
    areas.seats:u32(at + 12, s.max)
    areas.marks:u64(at + 24, s.handed)
    areas.marks:u64(at + 32, s.floor)
    areas.marks:u64(at + 40, s.next_floor)
    areas.marks:u64(at + 48, s.mark_since)
    areas.marks:u64(at + 56, s.pass)
  end
end

-- The memory of beacons is that of all steerings here.
local function clear_beacons(areas)
  for at = 0, SEATS * 64 - 8, 8 do
    areas.beacons:u64(at, 0)
  end
end

-- The model: keys in the order in which they count; the least wins.
local model = {}

function model.least(state, s)
  local age, floor = state.now - s.mark_since, s.floor
  if age > 1e9 then
    floor = age > 2e9 and s.handed or s.next_floor
  end
  local load = s.live + math.max(0, s.handed - math.max(s.taken, floor))
  local wait = (s.idle == 1 or s.beat == 0) and 0 or s.runnable + 1
  return (load + 1) * math.max(1, s.cost), wait
end

function model.rr(state, s)
  return math.max(0, s.pass - state.pass), 0
end

local function is_stalled(state, s)
  return s.idle == 0 and s.beat ~= 0 and (state.now - s.beat > STALL_NS
    or s.since ~= 0 and state.now - s.since > STALL_NS)
end

local function is_before(a, b)
  for i = 1, #a do
    if a[i] ~= b[i] then
      return a[i] < b[i]
    end
  end
  return false
end

local function expected(policy, state, excluded, ignores_stalls)
  local best, best_key
  for i, s in ipairs(state.seats) do
    if s.open and i ~= excluded then
      local first, second = model[policy](state, s)
      local avoid = not ignores_stalls
        and (is_stalled(state, s) or s.max > 0 and s.live >= s.max)
      local key = {s.cost == 0 and 1 or 0, avoid and 1 or 0, first, second,
        (i - 1 - state.turn) % 64}
      if not best or is_before(key, best_key) then
        best, best_key = i, key
      end
    end
  end
  return best
end

describe("the program", function()
  for _, policy in ipairs{"least", "rr"} do
    it("chooses as the model does: " .. policy, with({policy = policy}, function(steer)
      local areas, seed = areas_of(steer), 20261121
      math.randomseed(seed)
      for n = 1, H.rounds(4000) do
        local state = random_state(math.random)
        write_state(areas, state)
        local excluded = math.random(0, SEATS)
        local best, wish = steer:ask_(SOMEBODY, bytes8(state.now),
          excluded > 0 and bytes8(2 ^ (excluded - 1)) or NONE)
        local what = ("seed %d, round %d"):format(seed, n)
        assert.equal(expected(policy, state, excluded, false), best, what)
        assert.equal(expected(policy, state, excluded, true), wish, what)
      end
      clear_beacons(areas)
    end))
  end

  -- Everything is open and awake.
  local function open_all(steer, n)
    local areas = areas_of(steer)
    areas.turns:u64(64, n)
    for i = 1, n do
      areas.terms:u32((i - 1) * 8 + 4, 1)
    end
    return areas
  end

  local function address(n)
    return ("10.%d.%d.%d"):format(math.floor(n / 65536) % 256, math.floor(n / 256) % 256, n % 256)
  end

  -- Four standard deviations are once in 16,000.
  local function assert_share(share, count, n)
    local off = math.abs(count / n - share)
    assert.is_true(off < 4 * math.sqrt(share * (1 - share) / n), count .. " of " .. n)
  end

  local function map_of(steer, n)
    local map, count = {}, {0, 0, 0, 0, 0}
    for i = 1, n do
      map[i] = steer:where(address(i * 7))
      count[map[i]] = count[map[i]] + 1
    end
    return map, count
  end

  it("hashes evenly, and moves no address but those of who comes or goes",
    with({policy = "hash"}, function(steer)
      local areas, n = open_all(steer, 5), H.rounds(2000)
      local before, count = map_of(steer, n)
      for i = 1, 5 do
        assert_share(0.2, count[i], n)
      end
      areas.terms:u32(2 * 8 + 4, 0)
      local after = map_of(steer, n)
      for i = 1, n do
        if before[i] ~= 3 then
          assert.equal(before[i], after[i])
        else
          assert.not_equal(3, after[i])
        end
      end
    end))

  it("hashes by weight, and a changed weight moves no more than it must",
    with({policy = "hash", weights = {2}}, function(steer)
      open_all(steer, 3)
      local n = H.rounds(3000)
      local before, count = map_of(steer, n)
      assert_share(0.5, count[1], n)
      assert_share(0.25, count[2], n)
      steer:weights{[2] = 3}
      local after, now = map_of(steer, n)
      assert_share(0.5, now[2], n)
      for i = 1, n do
        assert.is_true(after[i] == before[i] or after[i] == 2)
      end
    end))

  it("takes the bits of an address that it is told", with({policy = "hash", ipv4_prefix = 24},
    function(steer)
      open_all(steer, 5)
      local seen = {}
      for net_ = 0, 40 do
        local first = steer:where(("10.1.%d.1"):format(net_))
        seen[first] = true
        assert.equal(first, (steer:where(("10.1.%d.200"):format(net_))))
        local six = steer:where(("2001:db8:%x::1"):format(net_))
        assert.equal(six, (steer:where(("2001:db8:%x::aaaa:1"):format(net_))))
      end
      for shard = 1, 5 do
        assert.is_true(seen[shard])
      end
    end))

  it("sends a tenant to its shards, the longest prefix counting", with({
    tenants = {["10.0.0.0/8"] = {1, 2}, ["10.9.0.0/16"] = 4, ["2001:db8::/32"] = 3,
      ["10.9.9.9"] = 5}, within = "hash", others = "hash"}, function(steer)
      local areas = open_all(steer, 5)
      for i = 1, 50 do
        assert.is_true((steer:where(("10.1.0.%d"):format(i))) <= 2)
        assert.equal(4, (steer:where(("10.9.0.%d"):format(i))))
        assert.equal(3, (steer:where(("2001:db8:1::%d"):format(i))))
      end
      assert.equal(5, (steer:where "10.9.9.9"))
      assert.equal(steer, steer:tenant("10.9.0.0/16", {2}))
      assert.equal(2, (steer:where "10.9.0.1"))
      assert.equal(steer, steer:tenant("10.9.0.0/16", nil))
      assert.is_true((steer:where "10.9.0.1") <= 2)
      assert.equal("ENOENT", select(3, steer:tenant("10.9.0.0/16", nil)))
      areas.terms:u32(2 * 8 + 4, 0) -- who has nobody is taken by others
      assert.truthy(steer:where "2001:db8::1" ~= 3)
      assert.equal(steer, steer:tenant("0.0.0.0/0", 2))
      assert.equal(2, (steer:where "192.0.2.1"))
    end))

  it("keeps a tenant at its shards when they are stalled", with({
    tenants = {["10.0.0.0/8"] = {1, 2}}}, function(steer)
      local areas = open_all(steer, 3)
      areas.beacons:u64(0, 1)
      assert.same({2, 2}, {steer:where "10.0.0.1"})
      areas.beacons:u64(64, 1)
      assert.is_true((steer:where "10.0.0.1") <= 2)
      areas.beacons:u32(28, 1) -- it sleeps
      assert.equal(1, (steer:where "10.0.0.1"))
      clear_beacons(areas)
    end))
end)

-- ---- servers ------------------------------------------------------------------------------------

-- Says which shard serves, and keeps the connection, unless it is told "bye".
local WHO = {
  on_data = function(conn, data)
    conn:write(require("ringlet").shard(), "\n")
    if data == "bye" then
      conn:close()
    end
  end,
}

-- A connection, and the shard it came to.
local function ask(addr)
  local conn = assert(net.connect(addr))
  conn:write "\n"
  return tonumber(assert(conn:read_line(10, 30))), conn
end

-- How many of n connections each shard has; they stay open.
local function spread_of(addr, n)
  local count, conns = {0, 0, 0, 0}, {}
  for i = 1, n do
    local shard
    shard, conns[i] = ask(addr)
    count[shard] = count[shard] + 1
  end
  return count, conns
end

local function close_all(conns)
  for _, conn in ipairs(conns) do
    conn:close()
  end
end

local function live(name, opts, fn, run)
  H.on("uring", name, function(it)
    it("on four shards", with(opts, fn), run or FOUR)
  end)
end

-- On a machine that does other things as well a shard may be stalled for a moment: what is about
-- stalls waits for two seconds before it takes one for stalled, all else for the most there is.
local STALL, PATIENT = 2000, 60000

live("least", {policy = "least", stall_ms = PATIENT}, function(steer)
  local server = assert(net.serve(ANY, WHO, {shards = "all", steer = steer}))
  local count, conns = spread_of(server:addr(), 16)
  assert.same({4, 4, 4, 4}, count)
  local stats = steer:stats()
  assert.equal(16, stats.placed)
  assert.equal(0, stats.fallbacks)
  for shard = 1, 4 do
    assert.same({placed = 4, migrated = 0, avoided = 0, live = 4, handed = 0},
      stats.shards[shard])
    local state = steer:state()[shard]
    assert.is_true(state.open and not state.stalled and state.weight == 1 and state.live == 4)
    assert.is_true(state.beat < PATIENT / 1000 and state.tid > 0 and state.tasks > 0)
  end
  -- Those that end make room.
  for i = 16, 1, -1 do
    local shard = tonumber((assert(conns[i]:write "\n" and conns[i]:read_line(10, 30))))
    if shard == 3 then
      conns[i]:close()
      table.remove(conns, i)
    end
  end
  H.eventually("they have ended", function() return steer:stats().shards[3].live == 0 end)
  local more, others = spread_of(server:addr(), 4)
  assert.same({0, 0, 4, 0}, more)
  close_all(conns)
  close_all(others)
  assert.is_true(server:stop(1))
  assert.is_false(steer:state()[2].open)
end)

live("turns by weight", {policy = "rr", stall_ms = false, weights = {[2] = 3}}, function(steer)
  local server = assert(http.serve(ANY, function(_, res)
    res:send(200, tostring(require("ringlet").shard()))
  end, {shards = {1, 2}, steer = steer}))
  local client, count = http.client(), {0, 0}
  for _ = 1, 16 do
    local res = assert(client:get("http://" .. server:addr(), {headers = {Connection = "close"}}))
    local shard = tonumber(res:read_all(10))
    count[shard] = count[shard] + 1
  end
  assert.same({4, 12}, count)
  steer:weights{[2] = 0}
  local text = assert(client:get("http://" .. server:addr(), {headers = {Connection = "close"}}))
  assert.equal("1", text:read_all(10))
  client:close()
  server:stop(1)
end)

live("hash and tenants", {
  tenants = {["127.0.0.0/8"] = 3}, others = "hash", stall_ms = false,
}, function(steer)
  local server = assert(net.serve(ANY, WHO, {shards = "all", steer = steer}))
  local count, conns = spread_of(server:addr(), 6)
  assert.same({0, 0, 6, 0}, count)
  steer:tenant("127.0.0.0/8", nil)
  local there = steer:where "127.0.0.1"
  local again, others = spread_of(server:addr(), 6)
  assert.equal(6, again[there])
  close_all(conns)
  close_all(others)
  server:stop(1)
end)

live("tenants of both families, at one listener", {
  tenants = {["::1"] = 2, ["127.0.0.0/8"] = 4}, stall_ms = false,
}, function(steer)
  local server, msg = net.serve("[::]:0", WHO, {shards = "all", steer = steer})
  if not server then
    pending("no IPv6: " .. msg)
    return
  end
  local port = server:addr():match "%d+$"
  local count, conns = spread_of("127.0.0.1:" .. port, 3)
  assert.same({0, 0, 0, 3}, count)
  local six, others = spread_of("[::1]:" .. port, 3)
  assert.same({0, 3, 0, 0}, six)
  close_all(conns)
  close_all(others)
  server:stop(1)
end)

live("a shard that is stalled", {policy = "rr", stall_ms = STALL}, function(steer)
  local server = assert(net.serve(ANY, WHO, {shards = "all", steer = steer}))
  local gate = fifo_gate.new()
  local stalled = rl.spawn_on(2, fifo_gate.pass, gate.name)
  local running = H.eventually("it is stalled", function()
    local state = steer:state()[2]
    return state.stalled and state.running
  end)
  assert.is_true(running > STALL / 1000)
  local count, conns = spread_of(server:addr(), 12)
  assert.equal(0, count[2])
  assert.is_true(steer:stats().shards[2].avoided > 0)
  gate.open()
  stalled:join()
  gate.remove()
  H.eventually("it moves again", function() return not steer:state()[2].stalled end)
  local after, others = spread_of(server:addr(), 40)
  assert.is_true(after[2] > 0, after[2])
  close_all(conns)
  close_all(others)
  server:stop(1)
end)

live("a shard that is drained", {policy = "rr", stall_ms = false}, function(steer)
  local server = assert(net.serve(ANY, WHO, {shards = "all", steer = steer, max_connections = 4}))
  local count, held = spread_of(server:addr(), 4)
  assert.same({1, 1, 1, 1}, count)
  local waiting = {}
  for i = 1, 12 do -- every shard is full: they are queued
    waiting[i] = assert(net.connect(server:addr()))
    waiting[i]:write "bye"
  end
  local placed = steer:stats().shards[2].placed
  rl.go(function() server:drain(2) end)
  H.eventually("its queue has moved", function()
    return not steer:state()[2].open and steer:stats().migrated > 0
  end)
  assert.equal(placed, steer:stats().shards[2].placed)
  close_all(held)
  for i = 1, 12 do
    assert.truthy(waiting[i]:read_line(10, 30))
    waiting[i]:close()
  end
  server:drain(2)
  H.eventually("all have ended", function()
    local shards = steer:stats().shards
    return shards[1].live + shards[3].live + shards[4].live == 0
  end)
  local after, conns = spread_of(server:addr(), 3)
  assert.same({1, 0, 1, 1}, after)
  close_all(conns)
  server:stop(1)
end)

live("a server that takes over", {policy = "rr", stall_ms = false}, function(steer)
  local old = assert(net.serve(ANY, WHO, {shards = "all", steer = steer}))
  local addr, lost, asked, done = old:addr(), 0, 0, false
  local clients = {}
  for i = 1, 8 do
    clients[i] = rl.go(function()
      while not done do
        asked = asked + 1
        local conn = net.connect(addr)
        local ok = conn and conn:write "\n" and conn:read_line(10, 30)
        lost = lost + (ok and 0 or 1)
        if conn then
          conn:abort()
        end
        rl.yield()
      end
    end)
  end
  for _ = 1, 5 do
    local next_ = assert(bpf.steer{policy = "rr", stall_ms = false})
    local server = assert(net.serve(addr, WHO, {shards = "all", steer = next_}))
    old:stop(30) -- it ends when its connections have
    H.collect() -- what attached the old program is gone, and detached nothing
    local before = next_:stats().placed
    while next_:stats().placed <= before do
      rl.sleep(0.01)
    end
    assert.equal(0, next_:stats().fallbacks)
    next_:close() -- its server goes on
    old = server
  end
  done = true
  for i = 1, 8 do
    clients[i]:join()
  end
  assert.is_true(asked >= 8, asked)
  assert.equal(0, lost)
  old:stop(1)
end)

H.on("uring", "a steering", function(it)
  it("is one server's at one time", with({}, function(steer)
    local server = assert(net.serve(ANY, WHO, {shards = {1, 2}, steer = steer}))
    local other, msg, code = net.serve(ANY, WHO, {shards = "all", steer = steer})
    assert.same({nil, "EBUSY: the steering has a server already", "EBUSY"}, {other, msg, code})
    assert.equal("EBUSY", select(3, net.serve(ANY, WHO, {shards = {3}, steer = steer})))
    close_all(select(2, spread_of(server:addr(), 4)))
    server:stop(1)
    server = assert(net.serve(ANY, WHO, {shards = 2, steer = steer}))
    assert.is_true(server:stop(1))
    steer:close()
    assert.equal("ECLOSED", select(3, net.serve(ANY, WHO, {shards = "all", steer = steer})))
  end), FOUR)

  it("stands beside another one", with({policy = "rr", stall_ms = false}, function(steer)
    local other = assert(bpf.steer{policy = "least", stall_ms = false})
    local a = assert(net.serve(ANY, WHO, {shards = "all", steer = steer}))
    local b = assert(net.serve(ANY, WHO, {shards = "all", steer = other}))
    for _, server in ipairs{a, b} do
      local count, conns = spread_of(server:addr(), 8)
      assert.same({2, 2, 2, 2}, count)
      close_all(conns)
    end
    a:stop(1)
    assert.is_true(other:state()[3].tid > 0)
    b:stop(1)
    assert.is_nil(other:state()[3].tid)
    other:close()
  end), FOUR)

  it("travels, and is the same there", with({}, function(steer)
    local _, text, placed, code = rl.spawn_on(3, function(s)
      local rl = require "ringlet" -- luacheck: ignore 431
      local net = require "ringlet.net" -- luacheck: ignore 431
      local server = assert(net.serve("127.0.0.1:0", function(conn) conn:read() end,
        {shards = {2, 4}, steer = s}))
      assert(net.connect(server:addr()))
      local n = s:stats().placed
      s:weights{[4] = 2}
      server:stop(0)
      return tostring(s), n, select(3, rl.spawn_on(1, function(back)
        return back:state()[4].weight
      end, s):join())
    end, steer):join()
    assert.same({"ringlet.bpf.steering: least, stalled after 3 ms", 1}, {text, placed})
    assert.is_nil(code)
    assert.equal(2, steer:state()[4].weight)
    local copy = rl.spawn_on(2, function(s)
      package.loaded.copy = s -- of that shard, not opened there
    end, steer)
    assert(copy:join())
    steer:close()
    assert.same({true, "ECLOSED"}, {rl.spawn_on(2, function()
      return select(3, require("copy"):stats())
    end):join()})
  end), FOUR)

  it("is refused where it makes no sense", with({}, function(steer)
    H.raises_text("several shards expected", net.serve, ANY, WHO, {steer = steer})
    H.raises_text('accept = "handover" has one', net.serve, ANY, WHO,
      {shards = "all", steer = steer, accept = "handover"})
    H.raises_text('accept = "handover" has one', net.serve, "unix:@steer", WHO,
      {shards = "all", steer = steer})
    H.raises_text("what bpf.steer gives expected", net.serve, ANY, WHO,
      {shards = "all", steer = {}})
  end), {shards = 2})

  it("changes nothing where one shard serves", with({}, function(steer)
    local server = assert(net.serve(ANY, WHO, {shards = "all", steer = steer}))
    local shard, conn = ask(server:addr())
    assert.equal(1, shard)
    assert.equal(0, steer:stats().placed)
    conn:close()
    server:stop(1)
  end), {shards = 1})
end)

H.on("sim", "a steering", function(it)
  it("changes nothing in a simulated network", with({}, function(steer)
    local server = assert(net.serve(ANY, WHO, {shards = 2, steer = steer}))
    local shard, conn = ask(server:addr())
    assert.equal(1, shard)
    assert.equal(0, steer:stats().placed)
    conn:close()
    server:stop(1)
  end), {shards = 2})
end)

describe("a steering", function()
  it("outlives a run", with({policy = "rr", stall_ms = false}, function(steer)
    for _ = 1, 2 do
      rl.run(function()
        local server = assert(net.serve(ANY, WHO, {shards = "all", steer = steer}))
        local count, conns = spread_of(server:addr(), 4)
        assert.same({2, 2, 0, 0}, count)
        close_all(conns)
        rl.stop(1)
      end, {shards = 2})
      assert.is_nil(steer:state()[1].tid)
      assert.is_false(steer:state()[1].open)
    end
  end))

  it("leaves nothing behind when its process is killed", function()
    if lacks() or B.lacks("command:bpftool") then
      return
    end
    local out = B.run([[
      local rl, net, bpf = require "ringlet", require "ringlet.net", require "ringlet.bpf"
      local steer = assert(bpf.steer{})
      local library = require("ringlet.bpf_library").library
      io.write(library.program_info(steer.fds.program).id, " ")
      io.flush()
      rl.run(function()
        net.serve("127.0.0.1:0", function(conn) conn:read() end, {shards = "all", steer = steer})
        os.execute "kill -9 $PPID"
      end, {shards = 2})]])
    local id = assert(out:match "^(%d+)", out)
    local there
    for _ = 1, 1500 do -- it goes when the kernel gets to it
      there = B.output("bpftool prog show id " .. id):find "sk_reuseport"
      if not there then
        break
      end
      os.execute "sleep 0.02"
    end
    assert.is_nil(there)
  end)
end)
