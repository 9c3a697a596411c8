-- SPDX-License-Identifier: MIT
local rl = require "ringlet"
local shared = require "ringlet.shared"
local H = require "spec.helper"

local HERE = "spec/shared_dict_spec.lua:"

local function fails(code, v, msg, name)
  assert.same({nil, code, code}, {v, type(msg) == "string" and msg:match "^(%u+): ", name})
end

describe("a shared dict", function()
  it("has what was set", function()
    local d = shared.dict()
    assert.is_nil(d:get("a"))
    for _, v in ipairs{1, 0.5, true, "short", ("long"):rep(100), {x = {1, 2}}} do
      assert.is_true(d:set("a", v))
      assert.same(v, d:get("a"))
    end
    d:set("b", false)
    assert.is_false(d:get("b"))
    assert.equal(2, d:size())
  end)

  it("copies in and out", function()
    local d, t = shared.dict(), {n = 1}
    d:set("t", t)
    t.n = 2
    d:get("t").n = 3
    assert.equal(1, d:get("t").n)
  end)

  it("gives back the very handle of a shared object, and counts it", function()
    local d, a = shared.dict(), shared.atomic(7)
    d:set("a", a)
    assert.equal(a, d:get("a"))
    d:set("list", {a})
    a = nil -- luacheck: ignore
    H.collect()
    assert.equal(7, d:get("list")[1]:load())
    assert.is_true(rawequal(d:get("a"), d:get("list")[1]))
  end)

  it("is found by its very bytes", function()
    local d = shared.dict()
    d:set("", 1)
    d:set("a\0b", 2)
    d:set("a", 3)
    d:set(("k"):rep(65536), 4)
    assert.same({1, 2, 3, 4}, {d:get(""), d:get("a\0b"), d:get("a"), d:get(("k"):rep(65536))})
  end)

  it("adds what is absent, replaces what is there", function()
    local d = shared.dict()
    fails("ENOENT", d:replace("a", 1))
    assert.is_true(d:add("a", 1))
    fails("EEXIST", d:add("a", 2))
    assert.is_true(d:replace("a", 3))
    assert.equal(3, d:get("a"))
    assert.is_true(d:delete("a"))
    assert.is_false(d:delete("a"))
    assert.is_nil(d:get("a"))
  end)

  it("counts", function()
    local d = shared.dict()
    fails("ENOENT", d:incr("n"))
    assert.equal(11, d:incr("n", 1, 10))
    assert.equal(12, d:incr("n"))
    assert.equal(9.5, d:incr("n", -2.5))
    d:set("s", "12")
    fails("EINVAL", d:incr("s"))
  end)

  it("compares and sets", function()
    local d = shared.dict()
    assert.is_true(d:cas("a", nil, "first"))
    assert.same({false, "first"}, {d:cas("a", nil, "second")})
    assert.is_true(d:cas("a", "first", 2))
    assert.is_true(d:cas("a", 2.0, ("x"):rep(100)))
    assert.is_true(d:cas("a", ("x"):rep(100), true))
    assert.same({false, true}, {d:cas("a", false, 1)})
    assert.is_true(d:cas("a", true, nil))
    assert.is_nil(d:get("a"))
    assert.is_true(d:cas("a", nil, nil))
    local a = shared.atomic()
    d:set("a", a)
    assert.same({false, a}, {d:cas("a", shared.atomic(), 1)})
    assert.is_true(d:cas("a", a, 1))
  end)

  it("has lists with two ends", function()
    local d = shared.dict()
    assert.is_nil(d:pop("l"))
    assert.equal(0, d:len("l"))
    assert.equal(1, d:push("l", 2))
    assert.equal(2, d:push("l", {3}))
    assert.equal(3, d:push_left("l", 1))
    assert.equal(3, d:len("l"))
    fails("EINVAL", d:get("l"))
    fails("EINVAL", d:cas("l", 1, 2))
    assert.equal(1, d:pop("l"))
    assert.same({3}, d:pop_right("l"))
    assert.equal(2, d:pop("l"))
    assert.equal(0, d:size())
    d:set("v", 1)
    fails("EINVAL", d:push("v", 1))
    fails("EINVAL", d:pop("v"))
    fails("EINVAL", d:len("v"))
  end)

  it("lists its keys", function()
    local d = shared.dict()
    assert.same({}, d:keys())
    for i = 1, 5 do d:set("k" .. i, i) end
    local keys = d:keys()
    table.sort(keys)
    assert.same({"k1", "k2", "k3", "k4", "k5"}, keys)
    assert.equal(2, #d:keys(2))
    assert.equal(0, #d:keys(0))
    assert.equal(5, d:clear())
    assert.same({}, d:keys())
  end)

  it("tells what it is, and counts what happens", function()
    local d = shared.dict{capacity = 2}
    d:set("a", 1)
    d:set("b", 1)
    d:set("c", 1)
    d:get("a")
    d:get("c")
    assert.equal("ringlet.shared.dict: 2/2", tostring(d))
    assert.equal("ringlet.shared.dict: 0", tostring(shared.dict()))
    assert.same({size = 2, hits = 1, misses = 1, evictions = 1, expired = 0}, d:stats())
    assert.equal(2, d:capacity())
    assert.is_nil(shared.dict():capacity())
  end)
end)

describe("a dict with a capacity", function()
  it("drops what was not used for longest", function()
    local d = shared.dict{capacity = 3}
    for i = 1, 3 do d:set("k" .. i, i) end
    d:get("k1")
    d:set("k4", 4)
    assert.same({1, nil, 3, 4}, {d:get("k1"), d:get("k2"), d:get("k3"), d:get("k4")})
    assert.equal(3, d:size())
  end)

  it("refuses what is new, if it does not evict", function()
    local d = shared.dict{capacity = 2, evict = false}
    d:set("a", 1)
    d:set("b", 2)
    fails("ENOSPC", d:set("c", 3))
    fails("ENOSPC", d:add("c", 3))
    fails("ENOSPC", d:incr("c", 1, 0))
    fails("ENOSPC", d:push("c", 1))
    fails("ENOSPC", d:cas("c", nil, 1))
    assert.is_true(d:set("a", 4))
    d:delete("b")
    assert.is_true(d:set("c", 3))
  end)

  it("never has more, also when it is of many parts", function()
    local d = shared.dict{capacity = 2000}
    for i = 1, H.rounds(10000, 5000) do
      d:set("k" .. i, i)
      if d:size() > 2000 then
        error("it has " .. d:size())
      end
    end
    assert.equal(2000, d:size())
    assert.equal(H.rounds(10000, 5000), d:get("k" .. H.rounds(10000, 5000)))
  end)
end)

H.sim("what expires", function(it)
  it("is there for 59.9 s and not for 60", function()
    local d = shared.dict()
    d:set("a", 1, 60)
    rl.sleep(59.9)
    assert.equal(1, d:get("a"))
    assert.is_true(d:ttl("a") > 0.09 and d:ttl("a") <= 0.1)
    rl.sleep(0.1)
    assert.is_nil(d:get("a"))
    assert.is_nil(d:ttl("a"))
    assert.equal(1, d:stats().expired)
  end)

  it("may be given more time, or all of it", function()
    local d = shared.dict()
    d:set("a", 1, 10)
    d:set("b", 1, 10)
    d:set("c", 1)
    assert.is_true(d:expire("a", 20))
    assert.is_true(d:expire("b"))
    assert.is_true(d:expire("c", 5))
    assert.is_false(d:expire("d", 5))
    assert.equal(math.huge, d:ttl("b"))
    rl.sleep(15)
    assert.same({1, 1, nil}, {d:get("a"), d:get("b"), d:get("c")})
    rl.sleep(5)
    assert.same({nil, 1}, {d:get("a"), d:get("b")})
  end)

  it("is absent for every operation", function()
    local d = shared.dict()
    for _, key in ipairs{"add", "replace", "incr", "cas", "delete", "list", "ttl"} do
      if key == "list" then d:push(key, 1) else d:set(key, 1) end
      d:expire(key, 1)
    end
    rl.sleep(1)
    assert.same({}, d:keys())
    assert.is_true(d:add("add", 2))
    fails("ENOENT", d:replace("replace", 2))
    assert.equal(6, d:incr("incr", 1, 5))
    assert.is_true(d:cas("cas", nil, 2))
    assert.is_false(d:delete("delete"))
    assert.equal(0, d:len("list"))
    assert.is_nil(d:pop("list"))
    assert.is_nil(d:ttl("ttl"))
  end)

  it("a set without a time to live ends the old one; an incr keeps it", function()
    local d = shared.dict()
    d:set("a", 1, 10)
    d:set("a", 2)
    d:incr("n", 1, 0, 10)
    rl.sleep(9)
    assert.equal(2, d:incr("n", 1, 0, 10))
    rl.sleep(1)
    assert.equal(2, d:get("a"))
    assert.is_nil(d:get("n"))
  end)

  it("is purged, and makes room", function()
    local d = shared.dict{capacity = 4, evict = false}
    for i = 1, 4 do d:set("k" .. i, i, i) end
    rl.sleep(2)
    assert.equal(4, d:size())
    assert.equal(2, d:purge())
    assert.equal(2, d:size())
    assert.is_true(d:set("a", 1))
    assert.is_true(d:set("b", 1))
    fails("ENOSPC", d:set("c", 1))
    rl.sleep(1)
    assert.is_true(d:set("c", 1))
    fails("ENOSPC", d:set("d", 1))
  end)
end)

describe("misuse of a dict", function()
  it("raises at the caller's line", function()
    local d = shared.dict()
    for _, case in ipairs{
      {"the key must be a string, not a number", d.get, d, 1},
      {"the key must be a string, not a nil", d.set, d},
      {"nil cannot be stored", d.set, d, "a"},
      {"nil cannot be stored", d.push, d, "a", nil},
      {"time to live must be seconds, more than 0", d.set, d, "a", 1, 0},
      {"time to live must be seconds, more than 0", d.set, d, "a", 1, "1"},
      {"time to live must be seconds, more than 0", d.expire, d, "a", 0 / 0},
      {"the key is longer than 64 KiB", d.get, d, ("k"):rep(65537)},
      {"the increment must be a number", d.incr, d, "a", "1"},
      {"what to begin with must be a number", d.incr, d, "a", 1, true},
      {"can be compared", d.cas, d, "a", {}, 1},
      {"can be compared", d.cas, d, "a", 1, {}},
      {"max must be", d.keys, d, -1},
      {"dict expected, got table", d.get, {}, "a"},
      {"dict expected, got userdata", d.get, shared.atomic(), "a"},
      {"option 'capacity' must be a whole number", shared.dict, {capacity = 0}},
      {"option 'capacity' must be a whole number", shared.dict, {capacity = 1.5}},
      {"unknown option 'size'", shared.dict, {size = 1}},
    } do
      local function call() case[2](case[3], case[4], case[5], case[6]) end
      local err = H.raises_text(case[1], call)
      assert.equal(1, err:find(HERE, 1, true))
    end
    assert.equal(0, d:size())
  end)

  it("names what cannot travel, and keeps what was there", function()
    local d = shared.dict()
    d:set("a", 1)
    H.raises_text("value.co", d.set, d, "a", {co = coroutine.create(print)})
    assert.equal(1, d:get("a"))
  end)
end)

H.both("a dict of several shards", function(it)
  it("is one: each adds, one counts", function()
    local d, futures = shared.dict(), {}
    for i = 1, 3 do
      futures[i] = rl.spawn_on(i, function(dict, rounds)
        for _ = 1, rounds do
          dict:incr("n", 1, 0)
          dict:push("list", rl.shard())
        end
        dict:set("shard " .. rl.shard(), {rl.shard()})
      end, d, H.rounds(1000, 50))
    end
    for _, f in ipairs(futures) do
      assert.is_true((f:join()))
    end
    assert.equal(3 * H.rounds(1000, 50), d:get("n"))
    assert.equal(3 * H.rounds(1000, 50), d:len("list"))
    for i = 1, 3 do
      assert.same({i}, d:get("shard " .. i))
    end
  end, {shards = 3})
end)
