-- SPDX-License-Identifier: MIT
-- Metrics as text: a strict parser and promtool read it, and find the numbers that were counted.
local H = require "spec.helper"
local E = require "spec.exposition"
local metrics = require "ringlet.metrics"
local rl = require "ringlet"

local function has_promtool()
  return os.execute "command -v promtool >/dev/null 2>&1" == (H.jit and 0 or true)
end

local function some_series()
  local hits = metrics.counter("text_hits", {help = 'Hits "of" \\ all\nkinds.', labels = {"what"}})
  for _, what in ipairs {'a"b', "c\\d", "e\nf", "", "\255bad\128", "gr\195\188n", "\237\160\128"} do
    hits:with(what):add(2)
  end
  metrics.gauge("text_level_bytes", {help = "Level.", unit = "bytes"}):set(-2.5)
  local took = metrics.histogram("text_took_seconds", {help = "Took.", unit = "seconds",
    labels = {"op"}, buckets = {0.1, 1, 10}})
  for _, v in ipairs {0.05, 0.1, 0.5, 10, 11} do
    took:with("get"):observe(v)
  end
  rl.self():label("type", "order")
  rl.self():label("a-b", "dash")
  rl.self():label("a_b", "line")
  rl.self():label("1st", "digit")
end

H.both("the text of metrics", function(it)
  for _, format in ipairs {"prometheus", "openmetrics"} do
    it(("is parsed strictly, as %s"):format(format), function()
      some_series()
      local f = E.parse(metrics.text {format = format}, format)
      local suffix = format == "openmetrics" and "_total" or ""
      local hits = format == "openmetrics" and "text_hits" or "text_hits_total"
      for _, what in ipairs {'a"b', "c\\d", "e\nf", "", "\239\191\189bad\239\191\189",
        "gr\195\188n", "\239\191\189\239\191\189\239\191\189"} do
        assert(E.value(f, hits, {what = what}, suffix), what)
      end
      assert.equal("gauge", f.text_level_bytes.type)
      assert.equal(-2.5, E.value(f, "text_level_bytes", {}))
      local live = 0
      for _, s in ipairs(f.ringlet_tasks.samples) do
        live = live + s.value
      end
      assert.equal(live, E.value(f, "ringlet_tasks_live", {shard = "1"}))
      assert.equal(1, E.value(f, "ringlet_tasks_labelled",
        {type = "order", a_b = "dash", a_b_ = "line", _1st = "digit"}))
      assert.equal(format == "openmetrics" and "bytes" or nil, f.text_level_bytes.unit)
    end)
  end

  it("has buckets that are exact", function()
    some_series()
    local f = E.parse(metrics.text {names = {"text_took_seconds"}})
    local n = {}
    for i, s in ipairs(f.text_took_seconds.samples) do
      n[i] = s.value
    end
    local runs = n[1] / 2
    assert.same({2 * runs, 3 * runs, 4 * runs, 5 * runs, n[5], 5 * runs}, n)
    assert.is_true(math.abs(n[5] - 21.65 * runs) < 1e-9)
  end)

  it("has only what is asked for", function()
    local function families(...)
      local out = {}
      for name in pairs(E.parse(metrics.text {names = {...}})) do
        out[#out + 1] = name
      end
      table.sort(out)
      return out
    end
    assert.same({"ringlet_tasks"}, families "ringlet_tasks")
    assert.same({"ringlet_tasks"}, families "/tasks/waiting")
    assert.same({"ringlet_sched_parks_total", "ringlet_tasks_live"},
      families("/sched/parks:parks", "/tasks/live"))
    assert.same({}, families "nothing")
    H.raises_text("unknown option 'form'", metrics.text, {form = "x"})
    H.raises_text("option 'format' must be 'prometheus' or 'openmetrics'", metrics.text,
      {format = "xml"})
  end)

  it("stops where its taker fails", function()
    local n = 0
    assert.same({n = 3, nil, "EPIPE: gone", "EPIPE"}, H.pack(metrics.write(function()
      n = n + 1
      return nil, "EPIPE: gone", "EPIPE"
    end)))
    assert.equal(1, n)
    assert.equal("stop", H.raises(metrics.write, function() error("stop", 0) end))
    H.raises_text("function expected", metrics.write, 1)
  end)

  it("gives up its turn", function()
    local c = metrics.counter("text_many_total", {help = "x", labels = {"i"}})
    for i = 1, 2000 do
      c:with(i):add(i)
    end
    local turns, over = 0, false
    local other = rl.go(function()
      while not over do
        turns = turns + 1
        rl.yield()
      end
    end)
    local pieces = 0
    assert.is_true(metrics.write(function(piece)
      pieces = pieces + 1
      assert.is_true(#piece > 0)
      rl.yield()
    end))
    over = true
    other:join()
    assert.is_true(pieces > 5 and turns >= pieces)
    local f = E.parse(metrics.text {names = {"text_many_total"}})
    assert.equal(2000, #f.text_many_total.samples)
    assert.equal(1234 * (E.value(f, "text_many_total", {i = "1"})),
      E.value(f, "text_many_total", {i = "1234"}))
  end, {preempt = false}) -- it counts turns
end)

describe("the text of metrics", function()
  it("is the same outside of a run", function()
    local f = E.parse(metrics.text())
    assert.equal(0, E.value(f, "ringlet_tasks_live", {shard = "1"}))
  end)

  it("passes promtool check metrics", function()
    if not has_promtool() then
      pending "promtool is not installed (Debian: apt-get install prometheus)"
      return
    end
    local path = os.tmpname()
    rl.run(function()
      some_series()
      local ch = rl.chan()
      rl.go(ch.send, ch, 1)
      ch:recv()
      local file = assert(io.open(path, "w"))
      local names = {"text_hits", "text_level_bytes", "text_took_seconds"}
      for _, about in ipairs(metrics.all()) do
        names[#names + 1] = about.name
      end
      assert(metrics.write(function(s) file:write(s) end, {names = names}))
      file:close()
    end, {shards = 2})
    local p = io.popen("promtool check metrics <" .. path .. " 2>&1; echo code=$?")
    local out = p:read "*a"
    p:close()
    os.remove(path)
    assert.equal("code=0\n", out)
  end)

  it("is in the format that is asked for", function()
    assert.same({n = 2, "prometheus", "text/plain; version=0.0.4; charset=utf-8"},
      H.pack(metrics.negotiate(nil)))
    assert.same({n = 2, "prometheus", "text/plain; version=0.0.4; charset=utf-8"},
      H.pack(metrics.negotiate "text/html"))
    assert.equal("openmetrics", (metrics.negotiate
      "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3"))
  end)

  it("has numbers as they are", function()
    local g = metrics.gauge("text_number", {help = "x"})
    for _, v in ipairs {0, 0.1, 1e15, 2 ^ 53, 1 / 3, -1e300, 123456789012345, 5e-324} do
      g:set(v)
      assert.equal(v, E.value(E.parse(metrics.text {names = {"text_number"}}), "text_number", {}))
    end
    for v, text in pairs {[math.huge] = "+Inf", [-math.huge] = "-Inf"} do
      g:set(v)
      local line = "text_number " .. text
      assert.is_truthy(metrics.text {names = {"text_number"}} :find(line, 1, true))
    end
    g:set(1)
  end)
end)
