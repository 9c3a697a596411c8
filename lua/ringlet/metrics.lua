-- SPDX-License-Identifier: MIT

--- Metrics of the runtime and your own, as numbers and as text; objectives and alerts.
--
--     local metrics = require "ringlet.metrics"
--     local orders = metrics.counter("orders_total", {help = "Orders taken.", labels = {"kind"}})
--     orders:with("book"):add()
--     print(metrics.read {"/tasks/live"} ["/tasks/live"])
-- @module ringlet.metrics

local alerts = require "ringlet.alerts"
local read = require "ringlet.metrics_read"
local sli = require "ringlet.sli"
local slo = require "ringlet.slo"
local text = require "ringlet.metrics_text"
local timed = require "ringlet.metrics_timed"
local user = require "ringlet.metrics_user"

return {
  read = read.read, all = read.all,

  counter = user.counter, gauge = user.gauge, histogram = user.histogram, timed = timed.new,

  text = text.text, write = text.write, negotiate = text.negotiate,

  nonblocking = sli.read, slo = slo.new, alerts = alerts.new, alert_rules = alerts.defaults,
}
