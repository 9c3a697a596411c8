-- SPDX-License-Identifier: MIT
-- Spans: who is within what, what is exported and when, and that nothing happens without anybody
-- who wants it.
local rl = require "ringlet"
local H = require "spec.helper"
local trace = require "ringlet.trace"

-- Run fn with an exporter; gives the spans that it got, in order, and by name.
local function exported(fn, opts)
  local list, by = {}, {}
  trace.export(function(span)
    list[#list + 1], by[span.name] = span, span
  end, {sampler = trace.sampler(opts or {healthy = 1})})
  local ok, err = pcall(fn, by)
  trace.export(nil)
  if not ok then
    error(err, 0)
  end
  return list, by
end

local function names(list)
  local texts = {}
  for i, span in ipairs(list) do texts[i] = span.name end
  return table.concat(texts, " ")
end

H.both("a span", function(it)
  it("does nothing when nobody wants it", function()
    local before = trace.stats()
    local span = trace.begin("x", {a = 1})
    assert.is_nil(trace.current())
    span:set("a", 2):event("e"):fail("x"):finish()
    assert.is_nil(span:context())
    assert.equal("", span.trace_id)
    assert.equal(span, trace.begin "y")
    assert.same({}, span.attributes)
    assert.same({}, span.events)
    assert.same(before, trace.stats())
    assert.equal(3, trace.span("x", function(a, b) return a + b end, 1, 2))
  end)

  it("has ids, times, attributes, events and a status", function()
    local before = rl.time()
    local list = exported(function()
      local span = trace.begin("load", {table = "users"}, {kind = "client"})
      assert.equal(span, trace.current())
      span:set("rows", 3):event("retried", {n = 1})
      rl.sleep(0.01)
      assert.equal("ringlet.span: load (open)", tostring(span))
      span:finish()
      span:finish():set("late", true):event("late"):fail "late"
    end)
    local after = rl.time()
    local span = list[1]
    assert.equal(1, #list)
    assert.same({"load", "client", "unset"}, {span.name, span.kind, span.status})
    assert.same({table = "users", rows = 3}, span.attributes)
    assert.equal(1, #span.events)
    assert.same({"retried", 1}, {span.events[1].name, span.events[1].attributes.n})
    assert.is_truthy(span.trace_id:find "^%x+$" and #span.trace_id == 32)
    assert.is_truthy(span.span_id:find "^%x+$" and #span.span_id == 16)
    assert.is_nil(span.parent_id)
    assert.is_truthy(span.start:find "^%d+$" and #span.start == 19)
    local began, ended = tonumber(span.start) / 1e9, tonumber(span.finish_time) / 1e9
    assert.is_true(began >= before - 0.01 and ended <= after + 0.01)
    assert.is_true(ended - began >= 0.0099)
    assert.is_true(span.start <= span.events[1].time and span.events[1].time <= span.finish_time)
  end)

  it("is within the one the task is in, and the outermost is exported last", function()
    local list, by = exported(function(seen)
      trace.span("outer", function()
        trace.span("first", rl.yield)
        trace.span("second", function() trace.span("inner", rl.yield) end)
        assert.is_nil(next(seen))
      end)
      assert.is_nil(trace.current())
    end)
    assert.equal("first inner second outer", names(list))
    assert.equal(by.outer.span_id, by.first.parent_id)
    assert.equal(by.outer.span_id, by.second.parent_id)
    assert.equal(by.second.span_id, by.inner.parent_id)
    assert.equal(by.outer.trace_id, by.inner.trace_id)
  end)

  it("is inherited by tasks that are started in it, and by no others", function()
    local _, by = exported(function()
      local other = rl.go(function()
        rl.sleep(0.01)
        trace.span("other", rl.yield)
      end)
      trace.span("outer", function()
        local h = rl.go(function()
          trace.span("child", rl.sleep, 0.001)
          rl.go(function() trace.span("grandchild", rl.yield) end):join()
        end)
        rl.scope(function(s) s:go(function() trace.span("scoped", rl.yield) end) end)
        h:join()
      end)
      other:join()
    end)
    for _, name in ipairs{"child", "grandchild", "scoped"} do
      assert.equal(by.outer.span_id, by[name].parent_id, name)
    end
    assert.is_nil(by.other.parent_id)
    assert.are_not.equal(by.outer.trace_id, by.other.trace_id)
  end)

  it("that outlives the outermost follows it", function()
    local list = exported(function()
      local h
      local over = rl.event()
      trace.span("outer", function()
        h = rl.go(function()
          trace.span("late", over.wait, over)
          trace.span("later", rl.yield)
        end)
        H.eventually("it waits", function() return h:status() == "parked" end)
      end)
      over:set()
      h:join()
    end)
    assert.equal("outer late later", names(list))
    assert.equal(list[1].span_id, list[2].parent_id)
    assert.equal(list[1].span_id, list[3].parent_id)
    list = exported(function()
      local h
      trace.span("outer", function() h = rl.go(trace.span, "late", rl.sleep, 0.01) end)
      h:join()
    end, {healthy = 0})
    assert.equal("", names(list))
  end)

  it("may end in any order", function()
    local list, by = exported(function()
      local a = trace.begin "a"
      local b = trace.begin "b"
      local c = trace.begin "c"
      b:finish()
      assert.equal(c, trace.current())
      c:finish()
      assert.equal(a, trace.current())
      trace.begin("d"):finish()
      a:finish()
      assert.is_nil(trace.current())
    end)
    assert.equal("b c d a", names(list))
    assert.equal(by.b.span_id, by.c.parent_id)
    assert.equal(by.a.span_id, by.d.parent_id)
  end)

  it("has the error of its function, which goes on", function()
    local mine = {}
    local list = exported(function()
      local ok, err = pcall(trace.span, "bad", function() error(mine) end)
      assert.is_false(ok)
      assert.equal(mine, err)
      H.raises_text("boom", trace.span, "worse", function()
        rl.sleep(0.001)
        error "boom"
      end)
      assert.is_nil(trace.current())
    end, {healthy = 0})
    assert.equal("bad worse", names(list))
    assert.equal("error", list[1].status)
    assert.is_truthy(list[2].message:find("boom", 1, true))
  end)

  it("ends when its task is cancelled", function()
    local list = exported(function()
      local h = rl.go(trace.span, "cancelled", rl.sleep, 10)
      rl.yield()
      h:cancel()
      h:join()
    end)
    assert.equal("cancelled", names(list))
  end)

  it("goes on from another process, or from nothing", function()
    local list = exported(function()
      local c = trace.parse_context("00-" .. ("ab"):rep(16) .. "-" .. ("cd"):rep(8) .. "-01", "k=v")
      trace.span("outer", function()
        local span = trace.begin("remote", nil, {parent = c})
        local parent, state = span:context()
        assert.equal("00-" .. c.trace_id .. "-" .. span.span_id .. "-01", parent)
        assert.equal("k=v", state)
        span:finish()
        trace.begin("root", nil, {parent = false}):finish()
      end)
    end)
    assert.equal("remote root outer", names(list))
    assert.same({("ab"):rep(16), ("cd"):rep(8)}, {list[1].trace_id, list[1].parent_id})
    assert.is_nil(list[2].parent_id)
  end)

  it("is kept with all others of its trace, for one error", function()
    local list = exported(function()
      for i = 1, 20 do
        trace.span("outer", function()
          trace.span("a", rl.yield)
          local span = trace.begin "b"
          if i == 7 then span:fail "x" end
          span:finish()
        end)
      end
    end, {healthy = 0})
    assert.equal("a b outer", names(list))
  end)

  it("may be one of too many", function()
    local before = trace.stats()
    local list = exported(function()
      trace.span("outer", function()
        for _ = 1, 1200 do trace.begin("x"):finish() end
      end)
    end)
    assert.equal(1001, #list)
    assert.equal("outer", list[1001].name)
    local stats = trace.stats()
    assert.same({1201, 1201, 1001, 200}, {stats.begun - before.begun,
      stats.finished - before.finished, stats.exported - before.exported,
      stats.dropped - before.dropped})
  end)

  it("is not lost with an exporter that raises", function()
    local heard, before = {}, trace.stats()
    rl.on_error(function(err) heard[#heard + 1] = err end)
    trace.export(function() error "no receiver" end, {sampler = trace.sampler{healthy = 1}})
    trace.span("x", rl.yield)
    trace.export(nil)
    rl.on_error(nil)
    assert.equal(1, #heard)
    assert.equal(1, trace.stats().failed - before.failed)
  end)

  it("leaves no trace of itself in memory", function()
    local weak = setmetatable({}, {__mode = "v"})
    exported(function()
      rl.go(function()
        local span = trace.begin "forgotten"
        weak[1] = span
      end):join()
    end, {healthy = 0})
    H.collect()
    assert.is_nil(weak[1])
  end)

  it("checks what it is given", function()
    H.raises_text("name of a span", trace.begin, 1)
    H.raises_text("attributes must be", trace.begin, "x", 1)
    H.raises_text("option 'kind'", trace.begin, "x", nil, {kind = "big"})
    H.raises_text("unknown option", trace.begin, "x", nil, {sort = "big"})
    H.raises_text("function expected", trace.span, "x")
    H.raises_text("function expected", trace.export, 1)
    H.raises_text("unknown option", trace.export, print, {share = 1})
  end)
end)
