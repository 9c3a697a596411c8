-- SPDX-License-Identifier: MIT
-- Chrome trace events: the document is what the format says, whatever was recorded and however it
-- is called.
local rl = require "ringlet"
local H = require "spec.helper"
local chrome_check = require "spec.chrome_check"
local trace = require "ringlet.trace"

-- lua-cjson is the stricter of the two; the other comes with busted.
local has_json, json = pcall(require, "cjson")
if not has_json then
  json = require "dkjson"
end

-- The events of a snapshot by phase.
local function events_of(snap, opts)
  return chrome_check.check(json.decode(snap:chrome(opts)))
end

local function named(list, name)
  local found = {}
  for _, event in ipairs(list or {}) do
    if event.name == name then
      found[#found + 1] = event
    end
  end
  return found
end

local function work()
  local ch = rl.chan()
  local h = rl.go(function()
    rl.self():name "worker"
    for v in ch:iter() do
      trace.log("got " .. v)
    end
  end)
  rl.self():name "main"
  for i = 1, 5 do ch:send(i) end
  ch:close()
  h:join()
  rl.sleep(0.001)
  return h
end

H.both("Chrome trace events", function(it)
  it("have a track, slices with names, and arrows", function()
    trace.start()
    local h = work()
    local snap = trace.dump()
    trace.stop()
    local by = events_of(snap)
    assert.equal("shard 1", named(by.M, "thread_name")[1].args.name)
    assert.equal(1, #named(by.M, "process_name"))
    local slices = named(by.X, "worker #" .. h.id)
    assert.is_true(#slices >= 2)
    assert.equal("end", slices[#slices].args["end"])
    assert.is_true(#named(by.s, "create") >= 1)
    assert.is_true(#named(by.s, "ready") >= 5)
    assert.equal(#by.s, #by.f)
    assert.equal(1, #named(by.i, "got 5"))
    assert.is_true(#by.C >= 1)
    assert.is_true(#named(by.X, "sleep") >= 1)
    assert.is_nil(by.b)
  end)

  it("have the waits of tasks when asked", function()
    trace.start()
    work()
    local snap = trace.dump()
    trace.stop()
    local by = events_of(snap, {parked = true})
    assert.is_true(#named(by.b, "chan receive") >= 1)
    local slept = named(by.b, "sleep")
    assert.equal(1, #slept)
    local woken = named(by.e, "sleep")[1]
    assert.is_true(woken.ts - slept[1].ts >= 1000)
  end)

  it("nest spans, also across waits, and part those that cross", function()
    trace.start()
    trace.span("outer", function()
      trace.span("inner", rl.sleep, 0.001)
      trace.span("second", rl.yield)
    end)
    local a, b = trace.begin "a", trace.begin "b"
    a:finish()
    b:finish()
    trace.begin "never"
    local snap = trace.dump()
    trace.stop()
    local by = events_of(snap)
    local outer, inner = named(by.b, "outer")[1], named(by.b, "inner")[1]
    assert.equal(outer.id, inner.id)
    assert.equal(outer.id, named(by.b, "second")[1].id)
    assert.is_true(named(by.e, "inner")[1].ts - inner.ts >= 1000)
    assert.is_true(named(by.e, "outer")[1].ts >= named(by.e, "inner")[1].ts)
    assert.are_not.equal(named(by.b, "a")[1].id, named(by.b, "b")[1].id)
    assert.equal(1, #named(by.e, "never"))
  end)

  it("are a document whatever things are called", function()
    local odd = "\"quoted\" \\ back\nline\ttab \1\31\127 \195\164 \240\159\152\128 "
      .. "\255\254 \237\160\128"
    trace.start()
    rl.self():name(odd)
    trace.log(odd)
    trace.span(odd, rl.yield)
    local snap = trace.dump()
    trace.stop()
    local by = events_of(snap, {parked = true})
    assert.equal(1, #by.b)
    assert.is_truthy(by.b[1].name:find("\"quoted\" \\ back\nline\ttab \1\31\127 \195\164", 1, true))
    assert.is_truthy(by.b[1].name:find("\239\191\189", 1, true))
  end)

  it("go into a file in pieces", function()
    local path = os.tmpname()
    trace.start()
    work()
    local snap = trace.dump()
    trace.stop()
    assert.is_true(snap:write_chrome(path))
    local f = io.open(path)
    assert.equal(snap:chrome(), f:read "*a")
    f:close()
    os.remove(path)
  end)
end)

H.sim("Chrome trace events", function(it)
  it("are the same for the same run", function()
    local texts = {}
    for i = 1, 2 do
      trace.start()
      for k = 1, 20 do
        rl.go(function()
          rl.sleep(k / 100)
          trace.log("slept " .. k)
        end)
      end
      rl.sleep(1)
      texts[i] = #events_of(trace.dump()).i
      trace.stop()
    end
    assert.equal(20, texts[1])
    assert.equal(texts[1], texts[2])
  end)
end)

describe("Chrome trace events", function()
  it("are of every shard", function()
    if H.missing.uring then return pending(H.missing.uring) end
    H.run(function()
      trace.start()
      rl.spawn_on(2, function() require("ringlet").sleep(0.001) end):join()
      local by = events_of(trace.dump())
      assert.equal(2, #named(by.M, "thread_name"))
      local seen = {}
      for _, slice in ipairs(by.X) do seen[slice.tid] = true end
      assert.is_true(seen[1] and seen[2])
    end, {backend = "uring", shards = 2})
  end)
end)

describe("the checker of Chrome trace events", function()
  local function doc(...)
    return {displayTimeUnit = "ns", traceEvents = {...}}
  end
  local function slice(ts, dur)
    return {ph = "X", pid = 1, tid = 1, ts = ts, dur = dur, name = "x", cat = "c", args = {}}
  end

  it("finds what is wrong", function()
    H.raises_text("ends after", chrome_check.check, doc(slice(0, 10), slice(5, 10)))
    H.raises_text("no field", chrome_check.check, doc({ph = "M", pid = 1, tid = 1, ts = 0,
      name = "thread_name", args = {name = "x"}, dur = 1}))
    H.raises_text("in no slice", chrome_check.check, doc({ph = "s", pid = 1, tid = 1, ts = 0,
      name = "x", cat = "c", id = 1}))
    H.raises_text("a beginning without", chrome_check.check, doc({ph = "b", pid = 1, tid = 1,
      ts = 0, name = "x", cat = "c", id = "1", args = {}}))
    assert.equal(2, #chrome_check.check(doc(slice(0, 10), slice(5, 5))).X)
  end)
end)
