-- SPDX-License-Identifier: MIT
-- A service that can be watched: it serves its metrics, and has a counter and a histogram of its
-- own. Usage: luajit serve.lua [address]
local http = require "ringlet.http"
local metrics = require "ringlet.metrics"
local rl = require "ringlet"

local orders = metrics.counter("shop_orders_total", {help = "Orders.", labels = {"kind"}})
local seconds = metrics.histogram("shop_order_seconds", {help = "Time of an order.",
  unit = "seconds"})

local function order(_, res)
  rl.self():label("type", "order")
  seconds:time(rl.sleep, 0.01)
  orders:with("book"):add()
  return res:send(200, "ordered\n")
end

local function scrape(req, res)
  local format, kind = metrics.negotiate(req:header "accept")
  res:header("content-type", kind)
  res:begin(200)
  metrics.write(function(text) return res:write(text) end, {format = format})
  return res:finish()
end

rl.run(function()
  local router = http.router()
  router:get("/metrics", scrape)
  router:post("/order", order)
  local server = assert(http.serve(arg and arg[1] or "127.0.0.1:9101", router))
  print("metrics on http://" .. server:addr() .. "/metrics")
  io.stdout:flush()
end, {signals = true})
