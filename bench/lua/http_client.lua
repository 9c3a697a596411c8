-- SPDX-License-Identifier: MIT
-- HTTP clients: 64 tasks that GET over a pool of as many connections. BENCH_PORT names the server,
-- the Go peer's; what is measured is the client's CPU for a request.

local lib = dofile((arg[0]:match "^.*/" or "") .. "lib.lua")
local http = require "ringlet.http"
local rl = lib.rl

local TASKS = 64

local function get(client, url)
  local res = rl.check(client:get(url))
  lib.check(res.status == 200 and res.body == "hello, world", "the body")
end

local function round(client, url, n)
  local done = rl.waitgroup()
  for _ = 1, TASKS do
    done:go(function()
      for _ = 1, n / TASKS do get(client, url) end
    end)
  end
  done:wait()
end

local function httpclient()
  local url = "http://127.0.0.1:" .. os.getenv "BENCH_PORT" .. "/"
  local client = http.client()
  local n = math.floor(lib.scaled(200000) / TASKS) * TASKS
  round(client, url, math.floor(n / 10 / TASKS) * TASKS)
  local watch = lib.start()
  round(client, url, n)
  watch.per_op("httpclient", n)
  lib.check(client:stats().opened == TASKS, "a connection for each task")
end

lib.main { httpclient = httpclient }
