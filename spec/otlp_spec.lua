-- SPDX-License-Identifier: MIT
-- OTLP against a fake collector in virtual time: batches, pauses, nothing lost over 503s.
local H = require "spec.helper"
local http = require "ringlet.http"
local metrics = require "ringlet.metrics"
local otlp = require "ringlet.otlp"
local read = require "ringlet.json_read".decode
local rl = require "ringlet"

local function span(i)
  return {trace_id = ("%032x"):format(i), span_id = ("%016x"):format(i), name = "span " .. i,
    kind = "server", start = "1700000000000000000", finish_time = "1700000000000000001",
    attributes = {n = i, ok = true, text = "a\"b", part = 0.5},
    status = i % 2 == 0 and "error" or "ok",
    message = i % 2 == 0 and "why" or nil, parent_id = i > 1 and ("%016x"):format(1) or nil,
    events = {{name = "event", time = "1700000000000000000", attributes = {}}}}
end

-- Starts a collector; `answer(n)` gives the status of the n-th request, and perhaps Retry-After.
-- Calls fn(url, seen): seen[n] = {at=, path=, body=, headers=}.
local function with_collector(answer, fn)
  local seen = {}
  local server = http.serve("127.0.0.1:0", function(req, res)
    seen[#seen + 1] = {at = rl.now(), path = req.path, body = read(req:read_all()),
      token = req:header "x-token", kind = req:header "content-type"}
    local status, after = answer(#seen)
    seen[#seen].status = status
    if after then
      res:header("retry-after", after)
    end
    res:send(status, "{}")
  end)
  local ok, err = rl.pcall(fn, "http://" .. server:addr(), seen)
  server:stop(0)
  if not ok then error(err, 0) end
end

local function points_of(body)
  local out = {}
  for _, metric in ipairs(body.resourceMetrics[1].scopeMetrics[1].metrics) do
    local data = metric.sum or metric.gauge or metric.histogram
    for _, point in ipairs(data.dataPoints) do
      out[#out + 1] = {metric = metric, point = point}
    end
  end
  return out
end

local function spans_of(body)
  return body.resourceSpans[1].scopeSpans[1].spans
end

H.sim("the OTLP exporter", function(it)
  it("sends the metrics at each interval", function()
    metrics.counter("otlp_hits_total", {help = "Hits.", labels = {"kind"}}):with("a"):add(7)
    local h = metrics.histogram("otlp_took_seconds", {unit = "seconds", buckets = {1, 2}})
    for _, v in ipairs {0.5, 1.5, 1.6, 9} do
      h:observe(v)
    end
    with_collector(function() return 200 end, function(url, seen)
      local exporter = otlp.exporter {url = url .. "/", interval = 10,
        headers = {["X-Token"] = "t"}, resource = {["service.name"] = "shop"}}
      rl.sleep(35)
      local times = {} -- a reading may take several requests
      for _, request in ipairs(seen) do
        if #times == 0 or request.at > times[#times] + 1 then
          times[#times + 1] = request.at
        end
      end
      assert.equal(3, #times)
      assert.is_true(math.abs(times[2] - times[1] - 10) < 2 * H.TICK)
      assert.equal("/v1/metrics", seen[1].path)
      assert.equal("t", seen[1].token)
      assert.equal("application/json", seen[1].kind)
      assert.same({{key = "service.name", value = {stringValue = "shop"}}},
        seen[1].body.resourceMetrics[1].resource.attributes)
      local found = {}
      for i = 1, #seen / 3 do
        for _, p in ipairs(points_of(seen[i].body)) do
          found[p.metric.name] = p
        end
      end
      local hits = found.otlp_hits_total
      assert.same({aggregationTemporality = 2, isMonotonic = true}, {
        aggregationTemporality = hits.metric.sum.aggregationTemporality,
        isMonotonic = hits.metric.sum.isMonotonic})
      assert.equal(7, hits.point.asDouble)
      assert.same({{key = "kind", value = {stringValue = "a"}}}, hits.point.attributes)
      assert.is_true(#hits.point.timeUnixNano >= 18
        and hits.point.timeUnixNano > hits.point.startTimeUnixNano)
      local took = found.otlp_took_seconds
      assert.equal("s", took.metric.unit)
      assert.same({1, 2}, took.point.explicitBounds)
      assert.same({"1", "2", "1"}, took.point.bucketCounts)
      assert.equal("4", took.point.count)
      assert.equal(12.6, took.point.sum)
      assert.same({{key = "ringlet.shard", value = {intValue = "1"}}},
        found["ringlet.tasks.live"].point.attributes)
      assert.is_truthy(found["ringlet.tasks.created"].metric.sum)
      assert.is_truthy(found["ringlet.tasks.lifetime"].metric.histogram)
      assert.is_true(exporter:close())
      assert.is_true(exporter:close())
    end)
  end, {timeout = 1e5})

  it("sends at most 1,000 in a request, in their order", function()
    with_collector(function() return 200 end, function(url, seen)
      local exporter = otlp.exporter {url = url, metrics = false}
      for i = 1, 2500 do
        assert.is_true(exporter:span(span(i)))
      end
      assert.is_true(exporter:flush(5))
      local n = 0
      for i, request in ipairs(seen) do
        assert.equal("/v1/traces", request.path)
        local list = spans_of(request.body)
        assert.equal(i < 3 and 1000 or 500, #list)
        for _, s in ipairs(list) do
          n = n + 1
          assert.equal(("%016x"):format(n), s.spanId)
        end
      end
      assert.equal(2500, n)
      local first, second = spans_of(seen[1].body)[1], spans_of(seen[1].body)[2]
      assert.same({code = 1}, first.status)
      assert.is_nil(first.parentSpanId)
      assert.same({code = 2, message = "why"}, second.status)
      assert.equal(2, first.kind)
      assert.same({{key = "n", value = {intValue = "1"}}, {key = "ok", value = {boolValue = true}},
        {key = "part", value = {doubleValue = 0.5}}, {key = "text", value = {stringValue = 'a"b'}}},
        first.attributes)
      assert.equal("event", first.events[1].name)
      exporter:close()
    end)
  end)

  it("tries again after 10 ms, 20 ms and so on, and loses nothing over 503s", function()
    with_collector(function(n) return n <= 8 and 503 or 200 end, function(url, seen)
      local exporter = otlp.exporter {url = url, metrics = false, max_backoff = 0.5, batch = 10}
      for i = 1, 25 do
        exporter:span(span(i))
      end
      assert.is_true(exporter:flush(100))
      assert.equal(11, #seen)
      for i, pause in ipairs {0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.5, 0.5} do
        local took = seen[i + 1].at - seen[i].at
        assert.is_true(took >= pause and took < pause + 3 * H.TICK, i .. ": " .. took)
      end
      local n = 0
      for i = 9, 11 do
        for _, s in ipairs(spans_of(seen[i].body)) do
          n = n + 1
          assert.equal("span " .. n, s.name)
        end
      end
      assert.equal(25, n)
      local stats = exporter:stats()
      assert.equal(25, stats.sent)
      assert.equal(8, stats.retries)
      assert.equal(0, stats.dropped + stats.rejected + stats.waiting)
      exporter:close()
    end)
  end)

  it("begins with 10 ms again after one that went well, and waits as it is told", function()
    with_collector(function(n)
      if n == 4 then return 429, "3" end
      return (n == 3 or n == 5) and 200 or 503
    end, function(url, seen)
      local exporter = otlp.exporter {url = url, metrics = false, batch = 1}
      exporter:span(span(1))
      exporter:span(span(2))
      assert.is_true(exporter:flush(10))
      assert.equal(5, #seen)
      assert.is_true(seen[5].at - seen[4].at >= 3 and seen[5].at - seen[4].at < 3.02)
      exporter:close()
    end)
    with_collector(function(n) return n % 2 == 1 and 503 or 200 end, function(url, seen)
      local exporter = otlp.exporter {url = url, metrics = false, batch = 1}
      exporter:span(span(1))
      exporter:span(span(2))
      assert.is_true(exporter:flush(10))
      assert.is_true(seen[4].at - seen[3].at < 0.01 + 3 * H.TICK)
      exporter:close()
    end)
  end)

  it("counts what it drops, and what is refused for good", function()
    with_collector(function(n) return n == 1 and 400 or 200 end, function(url)
      local exporter = otlp.exporter {url = url, metrics = false, queue = 10, batch = 5}
      local kept = 0
      for i = 1, 15 do
        kept = kept + (exporter:span(span(i)) and 1 or 0)
      end
      assert.equal(10, kept)
      assert.is_true(exporter:flush(10))
      local stats = exporter:stats()
      assert.same({sent = 5, rejected = 5, dropped = 5, waiting = 0, requests = 2, retries = 0,
        last_error = "status 400"}, stats)
      assert.matches("^ringlet.otlp.exporter: http://127.0.0.1:%d+, 5 sent, 0 waiting$",
        tostring(exporter))
      exporter:close()
      assert.is_false(exporter:span(span(1)))
      assert.same({n = 3, nil, "ECLOSED: the exporter is closed", "ECLOSED"},
        H.pack(exporter:flush()))
    end)
  end)

  it("tries again when nobody is there, and gives up at close", function()
    local exporter = otlp.exporter {url = "http://127.0.0.1:1", metrics = false}
    exporter:span(span(1))
    local from = rl.now()
    local ok, _, code = exporter:close(2)
    assert.is_nil(ok)
    assert.equal("ETIMEDOUT", code)
    assert.is_true(math.abs(rl.now() - from - 2) < 0.1)
    assert.equal(1, exporter:stats().dropped)
    assert.is_true(exporter:stats().retries > 5)
  end)

  it("refuses options that make no sense", function()
    for _, opts in ipairs {{}, {url = 1}, {url = "http://a", batch = 1001},
      {url = "http://a", interval = 0}, {url = "http://a", every = 1}} do
      assert.is_false((pcall(otlp.exporter, opts)))
    end
  end)
end)

describe("an OTLP exporter", function()
  it("does not keep run alive, and serves the next run", function()
    local exporter = otlp.exporter {url = "http://127.0.0.1:1", metrics = false}
    for _ = 1, 2 do
      local ended = H.run(function()
        exporter:span(span(1))
        rl.sleep(0.5)
        return rl.now()
      end)
      assert.is_true(ended < 5)
    end
    assert.equal(2, exporter:stats().waiting)
  end)
end)
