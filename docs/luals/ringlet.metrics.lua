---@meta ringlet.metrics
-- SPDX-License-Identifier: MIT
-- Written by tools/stubs from the comments in these files; edit those.
--   lua/ringlet/alerts.lua
--   lua/ringlet/metrics.lua
--   lua/ringlet/metrics_histogram.lua
--   lua/ringlet/metrics_read.lua
--   lua/ringlet/metrics_text.lua
--   lua/ringlet/metrics_timed.lua
--   lua/ringlet/metrics_user.lua
--   lua/ringlet/sli.lua
--   lua/ringlet/slo.lua

---Rules that are evaluated, from `metrics.alerts`.
---@class ringlet.alerts
local alerts = {}

---Evaluate all rules now, as is done at each interval.
---
---Parks when `on_alert`, `on_resolved` or `dump` do.
---@async
---@param snap? table name = value, instead of what `metrics.read` gives
---@return ringlet.alerts # itself
function alerts:evaluate(snap) end

---Evaluate at each interval, in a daemon: `run` does not wait for it.
---
---Does not park.
---
---Raises outside of a task.
---@return ringlet.alerts # itself
function alerts:start() end

---Stop evaluating. It may be called any number of times.
---
---Does not park.
function alerts:stop() end

---The alerts that are firing, the oldest first.
---
---Does not park.
---@return table[] # a new list
function alerts:active_alerts() end

---Alerts that have fired, the oldest first, at most 100.
---
---Does not park.
---@return table[] # a new list
function alerts:history() end

---@class ringlet.alerts_stats
---@field evaluations integer so far
---@field fired integer alerts
---@field resolved integer alerts
---@field incidents integer times that a rule fired when none did
---@field active integer alerts that fire now
---@field errors integer of functions it was given

---Counters.
---
---Does not park.
---@return ringlet.alerts_stats # a new table
function alerts:stats() end

---What a histogram has counted, from `metrics.read`, or `value` of one of your own.
---@class ringlet.histogram
---@field count number values
---@field sum number of them
---@field under number how many were less than 2^-30, 0 included
---@field over number how many were 2^42 or more
local histogram = {}

---The value that a share of those counted do not exceed; off by less than 1.6 %.
---
---Does not park.
---
---Source: HdrHistogram, by G. Tene.
---@param q number from 0 to 1
---@return number # 0 if nothing was counted
function histogram:quantile(q) end

---The mean of those counted.
---
---Does not park.
---@return number # 0 if nothing was counted
function histogram:mean() end

---About the largest: the end of the last bucket that has something.
---
---Does not park.
---@return number # 0 if nothing was counted
function histogram:max() end

---The buckets that are not empty, in order.
---
---Does not park.
---@return table[] # of {from=, to=, count=}: from <= value < to
function histogram:buckets() end

---How many were at most each bound: of a histogram of your own with the `buckets` that it was
---given, else with powers of four.
---
---Does not park.
---@return table[] # of {bound, count}, ascending; those above the last are missing
function histogram:cumulative() end

---What `metrics.read` found: `reading[name]` is a number, or a histogram; nil if nothing of that
---name was counted.
---@class ringlet.reading
local reading = {}

---What one shard of them has.
---
---Does not park.
---@param index integer the shard's number, from 1
---@return ringlet.reading|nil # a fresh reading of the same names; nil if there is no such shard
function reading:shard(index) end

---All numbers of one name: by label and by shard.
---
---Does not park.
---@param name string
---@return table[] # of {labels= a table, shard= its number or nil for the process, value=}
function reading:series(name) end

---What kind a metric is.
---
---Does not park.
---
---Returns "integer", "float", "histogram", or of your own "counter", "gauge", "histogram".
---@param name string
---@return string|nil
function reading:kind(name) end

---The names that were found, those of the runtime first.
---
---Does not park.
---@return string[]
function reading:names() end

---A function that is measured: how often it is called, how long it takes, how often it raises.
---`f(...)` is `f:call(...)`.
---@class ringlet.timed
local timed = {}

---Calls that have ended, those that raised included.
---
---Does not park.
---@return table # {count=, errors=, mean=, max=, p50=, p90=, p99=}, seconds
function timed:stats() end

---Call it.
---
---Parks as the function does.
---@async
---@param ... any its arguments
---@return any ... its results
function timed:call(...) end

---One number of a family, for one set of label values.
---@class ringlet.series
local series = {}

---Add to a counter or a gauge.
---
---Does not park.
---@param n? number of a counter, not less than 0 (1)
function series:add(n) end

---Take from a gauge.
---
---Does not park.
---@param n? number (1)
function series:sub(n) end

---Set a gauge. Those of all shards add up.
---
---Does not park.
---@param v number
function series:set(v) end

---Count a value in a histogram.
---
---Does not park.
---@param v number
function series:observe(v) end

---Call a function and count in a histogram how many seconds it took, also if it raises.
---
---Parks as the function does.
---@async
---@param fn fun(...: any): any
---@param ... any its arguments
---@return any ... its results
function series:time(fn, ...) end

---What this shard has counted.
---
---Does not park.
---@return any # a number, or a histogram
function series:value() end

---Metrics of one name, from `metrics.counter`, `gauge` or `histogram`. One without labels is its
---own only series, and has its methods.
---@class ringlet.family
---@field name string
local family = {}

---The series for these label values, which is made if there is none.
---
---Does not park.
---
---Returns when the family has as many series as it may, one that counts the rest of them all
---together, with the label values "other".
---@param ... any the values in the order of the labels, or one table of them by name
---@return ringlet.series
function family:with(...) end

---Do not show a series any more, until `with` asks for it again. Its number is kept: a counter
---never goes down.
---
---Does not park.
---@param ... any as of `with`
function family:remove(...) end

---A service level objective, from `metrics.slo`.
---@class ringlet.slo
local slo = {}

---Count events.
---
---Does not park.
---@param ok boolean were they good?
---@param n? integer how many (1)
function slo:record(ok, n) end

---The share of good events in the last so many seconds, to the last multiple of `resolution`.
---
---Does not park.
---
---Source: PromQL: rate(good[1h]) / rate(all[1h]).
---@param seconds number up to the longest window
---@return number|nil # from 0 to 1; nil when there were none
function slo:ratio(seconds) end

---How fast errors use up the budget: with 1 it lasts exactly for the objective's window.
---
---Does not park.
---
---Source: The Site Reliability Workbook, chapter 5.
---@param seconds number of the past, up to the longest window
---@return number # 0 when there were no events
function slo:burn(seconds) end

---The share of the error budget of the window that is left.
---
---Does not park.
---@return number # 1 when nothing has failed, less than 0 when the objective is missed
function slo:budget() end

---The alerts that hold now: in both windows of such a pair errors use up the budget at least as
---fast as its `burn` says.
---
---Does not park.
---@return table[] # of {severity=, long=, short=, burn=, burn_long=, burn_short=}
function slo:alerts() end

---@class ringlet.slo_stats
---@field good integer events
---@field events integer good and bad ones
---@field ratio number|nil of the window
---@field budget number that is left

---What it has counted.
---
---Does not park.
---@return ringlet.slo_stats # a new table
function slo:stats() end

---Metrics of the runtime and your own, as numbers and as text; objectives and alerts.
---
---    local metrics = require "ringlet.metrics"
---    local orders = metrics.counter("orders_total", {help = "Orders taken.", labels = {"kind"}})
---    orders:with("book"):add()
---    print(metrics.read {"/tasks/live"} ["/tasks/live"])
---@class ringlet.metrics
local M = {}

---@class ringlet.metrics.alert_rules.opts
---@field latency? string name of a histogram of seconds
---@field requests? string name of a counter
---@field errors? string name of a counter of those that failed
---@field heap_max? number bytes that the heaps of all shards may have

---The rules that `metrics.alerts` has by default: more than 5,000 tasks for 2 min; more than
---12,000 for 30 s that are 200 % more than 5 min before; and of what is named in `opts`, a latency
---of more than 0.5 s, more than 1 % of errors, a heap of more than 80 %.
---
---Does not park.
---@param opts? ringlet.metrics.alert_rules.opts
---@return table[] # a new list
function M.alert_rules(opts) end

---@class ringlet.metrics.alerts.opts
---@field rules? table[] by default those of `alert_rules`
---@field interval? number seconds (5)
---@field on_alert? fun(alert: table) called when a rule begins to fire
---@field on_resolved? fun(alert: table) called when it no longer does
---called once an incident; false: not at all; by default the tasks as `ringlet.debug` dumps them
---@field dump? function|boolean
---@field start? boolean false: `start` or `evaluate` are called by hand (true)

---Rules that are evaluated each interval, and who is told. Made inside a task it starts when that
---parks.
---
---A rule is {name=, severity=, above= or below=, ["for"]= seconds}, with one of: `metric`, the name
---of a number; `share = {part, whole}`, two counters of which the increase over `window` (60 s) is
---compared; `histogram`, of which the `quantile` (0.99) of the last `window` seconds is; `value`, a
---function of a snapshot. With `growth = 2` it must also be 200 % more than `growth_window` (300)
---seconds before. An alert is {name=, severity=, value=, since=, at=, state=, incident=, dump=}.
---
---Does not park.
---
---Raises options and rules that make no sense.
---
---Source: Prometheus documentation, "Alerting rules".
---@param opts? ringlet.metrics.alerts.opts
---@return ringlet.alerts
function M.alerts(opts) end

---Read metrics, of all shards together. It makes nobody wait, and no shard.
---
---Of each shard it is what that published last: before it slept, else at most about a millisecond
---ago, or what was so when the task that runs there began, if that computes for longer. Of the
---calling shard it is what is so now.
---
---Does not park.
---
---Raises when there is no such metric of the runtime.
---
---Source: the package runtime/metrics of Go.
---
---`names`: of what is wanted, those of the runtime with or without the unit; all without it
---@param names? string[]
---@return ringlet.reading
function M.read(names) end

---What the runtime measures.
---
---Does not park.
---
---Returns of {name=, kind= "integer", "float" or "histogram", unit=, help=, cumulative= whether it
---only grows, label= the name of its label, "*" for those of tasks, or nil}.
---@return table[]
function M.all() end

---@class ringlet.metrics.write.opts
---@field format? string or "openmetrics" ("prometheus")
---@field names? string[] of what is wanted, as of `read`, or as they are in the text

---Write all metrics as text, a piece at a time. Inside a task it gives up its turn about twice a
---millisecond.
---
---Parks inside a task.
---
---Raises what `fn` raises.
---
---Source: Prometheus exposition formats, version 0.0.4; OpenMetrics 1.0.
---
---```lua
---metrics.write(function(text) return conn:write(text) end)
---```
---@async
---@param fn fun(text: string) takes a piece; it may park; what it fails with ends it
---@param opts? ringlet.metrics.write.opts
---@return true|nil
---@return string|nil # message
---@return string|nil # what `fn` fails with
---@overload fun(fn: fun(text: string), opts?: ringlet.metrics.write.opts): nil, string, string
function M.write(fn, opts) end

---All metrics as text.
---
---Parks inside a task, as `write`.
---@async
---@param opts? table as of `write`
---@return string
function M.text(opts) end

---The format that a scraper asks for.
---
---Does not park.
---@param accept? string the field Accept of its request
---@return string # "prometheus" or "openmetrics"
---@return string # the value of the field Content-Type
function M.negotiate(accept) end

---Measure a function: call what this gives in its place. The time includes that for which its task
---is parked.
---
---Does not park.
---@param fn function
---@param name? string of the histogram, seconds, that it also is
---@return ringlet.timed
function M.timed(fn, name) end

---@class ringlet.metrics.counter.opts
---@field help? string what it counts ("")
---@field labels? string[] names of its labels; without, it is its only series
---@field unit? string ("")
---@field max? integer series it may have on one shard (10000)

---A counter: it only goes up. Asked for again, the same one.
---
---Does not park.
---
---Raises when a metric of that name exists that is another.
---
---Source: the Prometheus data model.
---@param name string letters, digits and `_`; counters end in `_total` by custom
---@param opts? ringlet.metrics.counter.opts
---@return ringlet.family
function M.counter(name, opts) end

---A gauge: it is set, and goes up and down.
---
---Does not park.
---@param name string
---@param opts? table as of `counter`
---@return ringlet.family
function M.gauge(name, opts) end

---@class ringlet.metrics.histogram.opts
---@field help? string what it counts ("")
---@field labels? string[] names of its labels; without, it is its only series
---@field unit? string ("")
---@field max? integer series it may have on one shard (10000)
---upper bounds of what `cumulative` and exports show, which are exact; by default those of
---Prometheus, from 5 ms to 10 s
---@field buckets? number[]

---A histogram: it counts how often which value. Its quantiles are off by less than 1.6 %.
---
---Does not park.
---@param name string
---@param opts? ringlet.metrics.histogram.opts
---@return ringlet.family
function M.histogram(name, opts) end

---@class ringlet.metrics.nonblocking.opts
---@field after? number seconds (1)

---@class ringlet.sli
---@field total integer tasks
---@field nonblocking integer of them
---@field ratio number of the two, 1 without tasks
---@field level string "ok" from 0.85 on, "alert" from 0.70 on (warn, and scale), else "break"
---@field blocked table how many block, by what they are parked for

---The share of the tasks of this shard that do not block: `nonblocking / total`. A task blocks
---that has been parked for `after` seconds on something that another task must give; one that
---waits for the kernel or for time does not. Daemons do not count.
---
---Does not park.
---@param opts? ringlet.metrics.nonblocking.opts
---@return ringlet.sli # a new table
function M.nonblocking(opts) end

---@class ringlet.metrics.slo.opts
---@field objective number from 0 to less than 1, such as 0.999
---@field window? number seconds, by default 30 days (2592000)
---@field resolution? number seconds between two of the times that are written down (60)
---of alerts: {long=, short=, burn=, severity=}, by default those of the SRE workbook for 30 days:
---14.4 in 1 h and 5 min, 6 in 6 h and 30 min, 1 in 3 days and 6 h
---@field windows? table[]

---A service level objective: such a share of the events is to be good, over a window of time.
---Events are those of this shard.
---
---Does not park.
---
---Raises options that make no sense.
---
---Source: The Site Reliability Workbook, chapter 5, "Alerting on SLOs".
---
---```lua
---local slo = metrics.slo {objective = 0.999}
---slo:record(res.status < 500)
---```
---@param opts ringlet.metrics.slo.opts
---@return ringlet.slo
function M.slo(opts) end

return M
