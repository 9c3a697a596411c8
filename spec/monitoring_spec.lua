-- SPDX-License-Identifier: MIT
-- examples/monitoring: promtool takes the rules and their tests, the dashboard is JSON, and both
-- ask for metrics that there are.
local E = require "spec.exposition"
local H = require "spec.helper"
local P = require "spec.process"
local http = require "ringlet.http"
local json = require "ringlet.json_read"
local metrics = require "ringlet.metrics"
local rl = require "ringlet"

local HERE = "examples/monitoring/"

local function read(name)
  local f = assert(io.open(HERE .. name))
  local text = f:read "*a"
  f:close()
  return text
end

local function promtool(command)
  if os.execute "command -v promtool >/dev/null 2>&1" ~= (H.jit and 0 or true) then
    pending "promtool is not installed (Debian: apt-get install prometheus)"
    return
  end
  local p = io.popen("cd " .. HERE .. " && promtool " .. command .. " 2>&1; echo code=$?")
  local out = p:read "*a"
  p:close()
  assert.matches("code=0\n$", out)
end

-- The names of the families that there are, as samples have them.
local function names_there()
  local out = {}
  H.run(function()
    for name, f in pairs(E.parse(metrics.text())) do
      out[name] = true
      if f.type == "histogram" then
        out[name .. "_bucket"] = true
      end
    end
  end)
  return out
end

local function check_names(text, where)
  local there, n = names_there(), 0
  for name in text:gmatch "ringlet_[%w_]+" do
    assert(there[name], ("%s asks for %s, which there is not"):format(where, name))
    n = n + 1
  end
  return n
end

describe("examples/monitoring", function()
  it("has rules that promtool takes", function()
    promtool "check rules rules.yml"
    assert.is_true(check_names(read "rules.yml", "rules.yml") >= 5)
  end)

  it("has rules that pass their tests", function()
    promtool "test rules rules_test.yml"
  end)

  it("has a configuration that promtool takes", function()
    promtool "check config prometheus.yml"
  end)

  it("has a dashboard of all that is measured", function()
    local text = read "dashboard.json"
    local board = assert(json.decode(text))
    local asked, ids = {}, {}
    for _, panel in ipairs(board.panels) do
      assert.is_true(#panel.title > 0 and not ids[panel.id])
      ids[panel.id] = true
      for _, target in ipairs(panel.targets or {}) do
        check_names(target.expr, panel.title)
        for name in target.expr:gmatch "ringlet_[%w_]+" do
          asked[name:gsub("_bucket$", "")] = true
        end
      end
    end
    local not_shown = {ringlet_tasks_live = true, ringlet_tasks_daemons = true,
      ringlet_tasks_labelled_created_total = true, ringlet_sched_polls_total = true,
      ringlet_sched_parks_total = true, ringlet_sched_wakes_total = true,
      ringlet_chan_wait_seconds = true, ringlet_io_in_flight = true, ringlet_process_shards = true}
    for name in pairs(names_there()) do
      if name:find "^ringlet_" and not name:find "_bucket$" then
        assert(asked[name] or not_shown[name], "the dashboard does not show " .. name)
      end
    end
  end)

  it("has a service whose metrics can be scraped", function()
    if H.missing.uring then
      pending(H.missing.uring)
      return
    end
    local addr, process = P.start(P.example("monitoring/serve", "127.0.0.1:0"),
      "metrics on http://([%d.]+:%d+)")
    local texts = {}
    rl.run(function()
      for i = 1, 3 do
        assert.equal("ordered\n", http.post("http://" .. addr .. "/order").body)
        local res = assert(http.get("http://" .. addr .. "/metrics", {headers = {
          Accept = i == 3 and "application/openmetrics-text" or nil}}))
        texts[i] = {res.body, res:header "content-type"}
      end
    end, {backend = "uring"})
    P.stop(process)
    local f = E.parse(texts[1][1])
    assert.equal("text/plain; version=0.0.4; charset=utf-8", texts[1][2])
    assert.equal(1, E.value(f, "shop_orders_total", {kind = "book"}))
    assert.equal(1, E.value(f, "shop_order_seconds", {}, "_count"))
    f = E.parse(texts[3][1], "openmetrics")
    assert.matches("^application/openmetrics%-text", texts[3][2])
    assert.equal(3, E.value(f, "shop_orders", {kind = "book"}, "_total"))
    assert.is_true(E.value(f, "ringlet_tasks_labelled_created", {type = "order"}, "_total") >= 3)
  end)
end)
