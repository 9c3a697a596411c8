-- SPDX-License-Identifier: MIT
-- What the stubs in docs/luals say is what there is at run time, and the other way round:
-- functions, methods, parameters, options, fields. And tools/stubs sees what it is there to see.
local H = require "spec.helper"
local B = require "spec.bpf"
local admin = require "ringlet.admin"
local buffer = require "ringlet.buffer"
local debug_tasks = require "ringlet.debug"
local doccomments = dofile "tools/doccomments.lua"
local http = require "ringlet.http"
local http_url = require "ringlet.http_url"
local leaks = require "ringlet.leaks"
local metrics = require "ringlet.metrics"
local net = require "ringlet.net"
local options = require "ringlet.options"
local otlp = require "ringlet.otlp"
local profile = require "ringlet.profile"
local rl = require "ringlet"
local router = require "ringlet.router"
local shared = require "ringlet.shared"
local t = require "ringlet.test"
local trace = require "ringlet.trace"
local websocket = require "ringlet.websocket"

local MODULES = {
  ringlet = rl, ["ringlet.net"] = net, ["ringlet.buffer"] = buffer, ["ringlet.router"] = router,
  ["ringlet.shared"] = shared, ["ringlet.test"] = t, ["ringlet.websocket"] = websocket,
  ["ringlet.http"] = http, ["ringlet.http_url"] = http_url, ["ringlet.profile"] = profile,
  ["ringlet.debug"] = debug_tasks, ["ringlet.admin"] = admin, ["ringlet.leaks"] = leaks,
  ["ringlet.metrics"] = metrics, ["ringlet.otlp"] = otlp, ["ringlet.trace"] = trace,
}

-- Its objects need privileges.
local no_bpf = B.missing "bpf" or B.missing "ok" or B.missing "tp_btf" or B.missing "sk_reuseport"
  or H.missing.uring
if not no_bpf then
  MODULES["ringlet.bpf"] = {
    load = B.bpf.load, metrics = B.bpf.metrics, open_map = B.bpf.open_map, probe = B.bpf.probe,
    steer = B.bpf.steer, wakeup = B.bpf.wakeup, -- these two are read when they are asked for
  }
end

-- Methods of classes that are not for users, and why they are there.
local INTERNAL = {
  future = {on_cancel = "each kind of futures has its own"},
  rwmutex = {settle = "serves the line of waiters"},
  semaphore = {settle = "serves the line of waiters"},
  barrier = {settle = "the line of waiters asks for it"},
}

-- ---- what the stubs say -------------------------------------------------------------------------

local function add_line(stub, line)
  local class = line:match "^%-%-%-@class ([%w_.]+)$"
  if class then
    stub.current = {functions = {}, fields = {}}
    stub.classes[class] = stub.current
  end
  local field, kind = line:match "^%-%-%-@field ([%w_]+)%?? (%S+)"
  if field then stub.current.fields[field] = kind end
  if line:find "^%-%-%-@operator len" then stub.current.has_len = true end
  local var = line:match "^local ([%w_]+) = {}$"
  if var then stub.vars[var] = stub.current end
  local owner, mark, name, params = line:match "^function ([%w_]+)([.:])([%w_]+)(%b()) end$"
  if owner then stub.vars[owner].functions[name] = {mark = mark, params = params:sub(2, -2)} end
end

-- {classes = {[name] = {functions, fields, has_len}}}, by module; and all classes together.
local function read_stubs()
  local stubs, all = {}, {}
  for name in pairs(MODULES) do
    local stub = {classes = {}, vars = {}}
    for line in io.lines("docs/luals/" .. name .. ".lua") do add_line(stub, line) end
    stubs[name] = stub
    for class, what in pairs(stub.classes) do all[class] = what end
  end
  return stubs, all
end

local stubs, classes = read_stubs()

-- ---- what there is ------------------------------------------------------------------------------

-- The table in which the methods of `x` are: its __index; its metatable, when that is a function;
-- one further for a channel, whose metatable holds its state.
local function methods_of(x)
  local class = debug.getmetatable(x)
  local index = class.__index
  if type(index) == "function" then return class end
  local more = debug.getmetatable(index)
  return more and more.__index or index
end

local function checked_error()
  local _, err = pcall(rl.check, nil, "EX: x", "EX")
  return err
end

local function cancelled_error()
  local task = rl.go(rl.sleep, 1)
  task:cancel("why")
  return select(2, task:join())
end

-- A server that takes WebSockets, and one of them.
local function websocket_and_server()
  local server = http.serve("127.0.0.1:0", function(req) req:websocket():recv() end)
  return assert(websocket.connect("ws://" .. server:addr())), server
end

local function autoscaler_and_event()
  local a = rl.autoscaler{
    size = function() return 1 end, resize = function() end, max = 2, start = false,
    rules = {{metric = "x", above = 0, step = 1}},
  }
  return a, a:evaluate{x = 1}
end

-- What makes objects of further classes, each of its family.
local MAKERS = {}

MAKERS[#MAKERS + 1] = function(all)
  all.retrier, all.hedger, all.retry_budget = rl.retrier(), rl.hedger{delay = 1}, rl.retry_budget()
  all.batcher, all.debouncer = rl.batcher{fn = type}, rl.debounce(type, 1)
  all.retrier_stats, all.hedger_stats = all.retrier:stats(), all.hedger:stats()
  all.retry_budget_stats = all.retry_budget:stats()
  all.batcher_stats, all.debouncer_stats = all.batcher:stats(), all.debouncer:stats()
end

MAKERS[#MAKERS + 1] = function(all)
  all.breaker, all.admission = rl.breaker(), rl.admission()
  all.breaker_counts, all.breaker_stats = all.breaker:counts(), all.breaker:stats()
  all.admission_stats = all.admission:stats()
end

MAKERS[#MAKERS + 1] = function(all)
  all.limiter, all.concurrency_limiter = rl.limiter{rate = 1},
    rl.limiter{kind = "concurrency", limit = 1}
  all.limiter_stats = all.limiter:stats()
  all.concurrency_stats = all.concurrency_limiter:stats()
end

MAKERS[#MAKERS + 1] = function(all)
  all.pool = rl.pool{size = 1, tags = {}}
  all.pool:submit(type, 1)
  all.pool_stats, all.pool_worker = all.pool:stats(), all.pool:workers()[1]
end

MAKERS[#MAKERS + 1] = function(all)
  all.shared_pool = rl.pool{size = 1, scope = "shared"}
  all.multipool = rl.multipool{pools = 1, size = 1}
  all.shared_pool_stats, all.multipool_stats = all.shared_pool:stats(), all.multipool:stats()
end

MAKERS[#MAKERS + 1] = function(all)
  all.objects, all.buffers = rl.objects{new = print}, rl.buffers()
  all.objects_stats, all.buffers_stats = rl.tables():stats(), all.buffers:stats()
  all.resources = rl.resources{open = function() return {} end}
  all.resources_stats = all.resources:stats()
end

MAKERS[#MAKERS + 1] = function(all)
  local server
  all.ws, server = websocket_and_server()
  all.ws_stats = all.ws:stats()
  all.ws:close()
  server:stop(0)
end

MAKERS[#MAKERS + 1] = function(all)
  all.admin_server = assert(admin.serve "127.0.0.1:0")
  all.admin_server_stats = all.admin_server:stats()
  all.admin_server:stop()
end

MAKERS[#MAKERS + 1] = function(all)
  all.http_router, all.http_static = http.router(), http.static "."
  all.http_router_stats, all.http_static_stats = all.http_router:stats(), all.http_static:stats()
end

MAKERS[#MAKERS + 1] = function(all)
  local server = assert(http.serve("127.0.0.1:0", function(req, res)
    all.request, all.response = req, res
    req.id, req.params, req.rest = "as the option request_id has it", {}, "as of a route"
    req.route, req.span = "/", trace.begin "x"
    all.request_line = req.method .. req.version
    res:send(200, "")
  end))
  all.http_client, all.cookies = http.client(), http.cookies()
  all.client_response = all.http_client:get("http://" .. server:addr())
  all.request_line = nil
  all.http_client_stats, all.url = all.http_client:stats(), http_url.parse "http://u:p@a/b?c#d"
  all.http_client:close()
  server:stop(0)
end

MAKERS[#MAKERS + 1] = function(all)
  trace.export(function() end, {sampler = trace.sampler()})
  trace.start()
  all.snapshot, all.sampler = trace.dump(), trace.sampler()
  trace.stop()
  local parent = trace.parse_context(("00-%s-%s-01"):format(("1"):rep(32), ("1"):rep(16)))
  all.span = trace.begin("x", nil, {parent = parent}):fail("why"):finish()
  trace.export(nil)
  all.sampler_stats, all.trace_stats = all.sampler:stats(), trace.stats()
  all.profiling = assert(profile.start "offcpu")
  all.profile_data = all.profiling:stop()
  all.reading, all.sli, all.timed = metrics.read(), metrics.nonblocking(), metrics.timed(type)
  all.family = metrics.counter("docs_total", {labels = {"a"}})
  all.series, all.histogram = all.family:with(1), metrics.histogram("docs"):value()
  all.slo, all.alerts = metrics.slo{objective = 0.9}, metrics.alerts{start = false}
  all.slo_stats, all.alerts_stats = all.slo:stats(), all.alerts:stats()
  all.slo_stats.ratio = 1
  all.otlp_exporter = otlp.exporter{url = "http://127.0.0.1:1", metrics = false}
  all.otlp_stats = all.otlp_exporter:stats()
  all.otlp_stats.last_error = "none yet"
  all.otlp_exporter:close()
end

-- Of what takes the real kernel.
local function bpf_on_sockets()
  local all = {}
  rl.run(function()
    local steer, object = assert(B.bpf.steer()), assert(B.bpf.load(B.SAMPLE))
    local server = assert(net.serve("127.0.0.1:0", function() end, {shards = "all", steer = steer}))
    all.bpf_steering_state = steer:state()[1]
    all.bpf_link = assert(object:attach("watch", {socket = assert(net.listen "127.0.0.1:0")}))
    server:stop(0)
    object:close()
    steer:close()
  end, {shards = 2})
  all.bpf_steering_state.task, all.bpf_steering_state.running = 1, 0 -- of a shard that computes
  return all
end

local function bpf_instances(all, on_sockets)
  for name, x in pairs(on_sockets) do all[name] = x end
  local object = assert(B.bpf.load(B.SAMPLE, {programs = {"watch"}}))
  all.bpf_object, all.bpf_object_stats = object, object:stats()
  all.bpf_map, all.bpf_program = object:map "words", object:program "watch"
  all.bpf_map_stats, all.bpf_program_stats = all.bpf_map:stats(), all.bpf_program:stats()
  all.bpf_area, all.bpf_ring = all.bpf_map:mmap(), object:ring "events"
  all.bpf_ring_stats = all.bpf_ring:stats()
  all.bpf_metrics = assert(B.bpf.metrics{"tcp_connect", "tcp_accept", "retransmit", "runqlat"})
  all.bpf_reading = all.bpf_metrics:read()
  all.bpf_reading.cgroup, all.bpf_reading.runqueue = {}, all.histogram
  all.bpf_cost = select(2, next(all.bpf_metrics:stats()))
  all.bpf_steering, all.bpf_wakeup = assert(B.bpf.steer()), assert(B.bpf.wakeup())
  all.bpf_steering_stats, all.bpf_wakeup_stats = all.bpf_steering:stats(), all.bpf_wakeup:stats()
  all.bpf_probe = B.bpf.probe()
  all.bpf_probe.reason = all.bpf_probe.reason or "it is ok"
end

-- One of each class. `done` closes what must be closed.
local function with_instances(fn)
  local on_sockets = not no_bpf and bpf_on_sockets()
  rl.run(function()
    local listener = assert(net.listen("127.0.0.1:0"))
    local conn = assert(net.connect(listener:addr()))
    local server = assert(net.serve("127.0.0.1:0", function() end, {classify = {}}))
    local scope
    rl.scope(function(s) scope = s end)
    local mutex = rl.mutex()
    local autoscaler, scaling_event = autoscaler_and_event()
    local group = assert(rl.group{shards = 1, capacity = 1})
    local offload_pool = rl.offload_pool()
    local all = {
      group = group, group_stats = group:stats()[1],
      task = rl.self(), scope = scope, chan = rl.chan(), timer = rl.after(1),
      ticker = rl.ticker(1), event = rl.event(), mutex = mutex, rwmutex = rl.rwmutex(),
      semaphore = rl.semaphore(1), waitgroup = rl.waitgroup(), cond = rl.cond(mutex),
      barrier = rl.barrier(1), singleflight = rl.singleflight(), conn = conn,
      listener = listener, server = server, slice = buffer.new("x"),
      cancelled = cancelled_error(), error = checked_error(),
      autoscaler = autoscaler, scaling_event = scaling_event, autoscaler_stats = autoscaler:stats(),
      job = rl.job(type, 1), future = rl.spawn(type, 1),
      keyrouter = router.ring(1), range = router.ring(1):diff(router.ring(2))[1],
      shared_chan = shared.chan(), shared_dict = shared.dict(), dict_stats = shared.dict():stats(),
      shared_atomic = shared.atomic(), shared_buffer = shared.buffer(),
      shared_semaphore = shared.semaphore(1), shared_barrier = shared.barrier(1),
      shared_once = shared.once(),
      offload_pool = offload_pool, offload_stats = offload_pool:stats(),
      stats = rl.stats(), conn_stats = conn:stats(), server_stats = server:stats(),
    }
    for _, add in ipairs(MAKERS) do add(all) end
    if on_sockets then
      bpf_instances(all, on_sockets)
    end
    fn(all)
    for _, name in ipairs(on_sockets and {"object", "metrics", "steering", "wakeup"} or {}) do
      all["bpf_" .. name]:close()
    end
    group:stop()
    conn:abort()
    listener:close()
    server:stop(0)
  end, {backend = "sim"})
end

local function is_type(value, kind)
  if kind == "any" then return true end
  for one in kind:gmatch "[^|]+" do
    local whole = one == "integer" and type(value) == "number" and value % 1 == 0
    if whole or type(value) == one then return true end
  end
  return false
end

local function assert_fields(name, x)
  for field, kind in pairs(classes["ringlet." .. name].fields) do
    assert.is_true(is_type(x[field], kind), name .. "." .. field .. " is no " .. kind)
  end
end

-- Both ways, with a message that names what is missing where.
local function assert_same_names(what, documented, real)
  for name in pairs(documented) do
    assert.is_true(real[name] ~= nil, ("%s: %s is documented, but not there"):format(what, name))
  end
  for name in pairs(real) do
    assert.is_true(documented[name] ~= nil, ("%s: %s has no stub"):format(what, name))
  end
end

-- The names of the parameters of a Lua function, as a stub has them; nil for a C function.
local function params_of(fn, is_method)
  local info = debug.getinfo(fn, "Su")
  if info.what == "C" then return nil end
  local names = {}
  for i = is_method and 2 or 1, info.nparams do names[#names + 1] = debug.getlocal(fn, i) end
  if info.isvararg then names[#names + 1] = "..." end
  return table.concat(names, ", ")
end

local function assert_params(what, stub, fn)
  local params = params_of(fn, stub.mark == ":")
  if params then assert.equal(params, stub.params, what) end
end

describe("the stubs in docs/luals", function()
  for name, module in pairs(MODULES) do
    it("have what require \"" .. name .. "\" gives, and no more", function()
      local stub = stubs[name].classes[name]
      local functions, fields = {}, {}
      for key, value in pairs(module) do
        if type(value) == "function" then functions[key] = value else fields[key] = value end
      end
      assert_same_names(name, stub.functions, functions)
      assert_same_names(name, stub.fields, fields)
      for key, fn in pairs(functions) do
        assert.equal(".", stub.functions[key].mark)
        assert_params(name .. "." .. key, stub.functions[key], fn)
      end
      for key, value in pairs(fields) do
        assert.is_true(is_type(value, stub.fields[key]), name .. "." .. key)
      end
    end)
  end

  it("have the methods and fields of every class, and no more", function()
    with_instances(function(instances)
      for name, x in pairs(instances) do
        local stub = assert(classes["ringlet." .. name], "no class ringlet." .. name)
        assert_fields(name, x)
        if debug.getmetatable(x) == nil then -- a plain table: all of its fields
          assert_same_names(name, stub.fields, x)
        elseif name ~= "cancelled" and name ~= "error" then
          local methods = {}
          for key, fn in pairs(methods_of(x)) do
            local is_internal = INTERNAL[name] and INTERNAL[name][key]
            if type(fn) == "function" and not key:find "^__" and not key:find "_$" and
              not is_internal then
              methods[key] = fn
            end
          end
          assert_same_names(name, stub.functions, methods)
          for key, fn in pairs(methods) do
            assert.equal(":", stub.functions[key].mark)
            assert_params(name .. ":" .. key, stub.functions[key], fn)
          end
        end
        assert.equal(stub.has_len or false, (debug.getmetatable(x) or {}).__len ~= nil, name)
      end
    end)
  end)

  it("have no class of which there are no objects", function()
    with_instances(function(instances)
      for class in pairs(classes) do
        local name = class:match "^ringlet%.([%w_]+)$"
        local is_known = class == "ringlet" or MODULES[class] or not name or instances[name]
        assert.is_truthy(is_known, class)
      end
    end)
  end)

  -- Every table of options goes through options.check, which is told the names and types.
  it("have the options that are taken, and no more", function()
    local check, known = options.check, nil
    options.check = function(opts, names, level) -- luacheck: ignore 122
      known = known or names
      return check(opts, names, (level or 2) + 1)
    end
    local function compare(class, fn, ...)
      known = nil
      fn(...)
      local stub = assert(classes["ringlet." .. class], class).fields
      assert_same_names(class, stub, assert(known, class))
      for name, kind in pairs(known) do
        local documented = stub[name]:gsub("integer", "number"):gsub("^fun%(.*", "function")
          :gsub("^%w+%[%]$", "table")
        assert.equal(kind, documented, class .. "." .. name)
      end
    end
    local ok, err = pcall(rl.run, function()
      compare("debug.tasks.opts", debug_tasks.tasks, {})
      compare("debug.dump.opts", debug_tasks.dump, {})
      compare("scope.opts", rl.scope, function() end, {})
      compare("map.opts", rl.map, {}, function() end, {})
      compare("chan.opts", rl.chan, 0, {})
      compare("shared.chan.opts", shared.chan, 0, {})
      compare("shared.dict.opts", shared.dict, {})
      compare("offload_pool.opts", rl.offload_pool, {})
      compare("profile.cpu.opts", profile.cpu, {seconds = 0.001})
      compare("profile.offcpu.opts", profile.offcpu, {seconds = 0.001})
      compare("profile.alloc.opts", profile.alloc, {seconds = 0.001})
      local p = profile.offcpu {seconds = 0.001}
      for _, name in ipairs {"folded", "svg", "text"} do
        compare("profile_data." .. name .. ".opts", p[name], p, {})
      end
      compare("metrics.counter.opts", metrics.counter, "docs_options_total", {})
      compare("metrics.histogram.opts", metrics.histogram, "docs_options", {})
      compare("metrics.write.opts", metrics.write, type, {})
      compare("metrics.nonblocking.opts", metrics.nonblocking, {})
      compare("metrics.slo.opts", metrics.slo, {objective = 0.9})
      compare("metrics.alerts.opts", metrics.alerts, {start = false})
      compare("metrics.alert_rules.opts", metrics.alert_rules, {})
      compare("otlp.exporter.opts", otlp.exporter, {url = "http://127.0.0.1:1"})
      compare("pool.opts", rl.pool, {size = 1})
      compare("limiter.opts", rl.limiter, {rate = 1})
      compare("objects.opts", rl.objects, {new = print})
      compare("tables.opts", rl.tables, {})
      compare("buffers.opts", rl.buffers, {})
      compare("retrier.opts", rl.retrier, {})
      compare("retry_budget.opts", rl.retry_budget, {})
      compare("hedger.opts", rl.hedger, {delay = 1})
      compare("batcher.opts", rl.batcher, {fn = type})
      compare("debounce.opts", rl.debounce, type, 1, {})
      compare("throttle.opts", rl.throttle, type, 1, {})
      compare("breaker.opts", rl.breaker, {})
      compare("admission.opts", rl.admission, {})
      compare("http.client.opts", http.client, {})
      compare("http.cookies.opts", http.cookies, {})
      local client = http.client()
      compare("http_client.request.opts", client.request, client, "GET", "nowhere", {})
      compare("trace.start.opts", trace.start, {})
      compare("snapshot.chrome.opts", function() trace.dump():chrome{} end)
      trace.stop()
      compare("trace.begin.opts", trace.begin, "x", nil, {})
      compare("trace.sampler.opts", trace.sampler, {})
      compare("trace.export.opts", trace.export, nil, {})
      compare("resources.opts", rl.resources, {open = function() end})
      compare("autoscaler.opts", function()
        assert.is_false((pcall(rl.autoscaler, {max = 1})))
      end)
      if not no_bpf then
        local object = B.bpf.load(B.SAMPLE, {programs = {"watch"}})
        compare("bpf.load.opts", B.bpf.load, "nowhere", {})
        compare("bpf.steer.opts", B.bpf.steer, {})
        compare("bpf.wakeup.opts", B.bpf.wakeup, {})
        compare("bpf_object.ring.opts", object.ring, object, "events", {})
        compare("bpf_program.run.opts", function() object:program "watch":run{} end)
        object:close()
      end
      local listener
      compare("net.listen.opts", function() listener = net.listen("127.0.0.1:0", {}) end)
      compare("net.connect.opts", function() net.connect(listener:addr(), {}):close() end)
      local ws_server = select(2, websocket_and_server())
      compare("websocket.connect.opts", function()
        websocket.connect("ws://" .. ws_server:addr(), {}):close()
      end)
      ws_server:stop(0)
      compare("leaks.find.opts", leaks.find, {})
      compare("leaks.suspects.opts", leaks.suspects, {})
      compare("http.router.opts", http.router, {})
      compare("http.static.opts", http.static, "x", {})
      compare("net.serve.opts", function() net.serve("127.0.0.1:0", print, {}):stop(0) end)
      local conn = net.connect(listener:addr())
      compare("conn.set_timeout.t", conn.set_timeout, conn, {})
      conn:close()
      listener:close()
      for _, kind in ipairs {"mod", "ring", "jump", "maglev", "rendezvous", "bounded"} do
        compare("router." .. kind .. ".opts", router[kind], 1, {})
      end
    end, {backend = "sim"})
    if ok then
      ok, err = pcall(compare, "run.opts", rl.run, function() end, {backend = "sim"})
    end
    options.check = check -- luacheck: ignore 122
    assert.is_true(ok, err)
  end)

  it("say of every function whether it parks", function()
    for name in pairs(MODULES) do
      local text
      for line in io.lines("docs/luals/" .. name .. ".lua") do
        if line:find "^function" then
          assert.is_truthy(text:find "\nDoes not park" or text:find "\nParks", name .. ": " .. line)
        end
        text = line:find "^%-%-%-" and (text or "") .. "\n" .. line:sub(4) or ""
      end
    end
  end)

  -- Outside of run, what parks raises; so a function that is said to park must raise there. Those
  -- that park only in some cases, or where a function given to them does, are left out.
  it("mark as parking what raises outside of a task", function()
    local ch, event, mutex = rl.chan(), rl.event(), rl.mutex()
    local pool = rl.resources{open = function() return {} end}
    local calls = {
      ["M.sleep"] = {rl.sleep, 0}, ["M.yield"] = {rl.yield}, ["M.select"] = {rl.select, {{ch}}},
      ["chan:send"] = {ch.send, ch, 1}, ["chan:recv"] = {ch.recv, ch},
      ["event:wait"] = {event.wait, event}, ["mutex:lock"] = {mutex.lock, mutex},
      ["barrier:wait"] = {rl.barrier(2).wait, rl.barrier(2)},
      ["waitgroup:wait"] = {rl.waitgroup().wait, rl.waitgroup()},
      ["semaphore:acquire"] = {rl.semaphore(0).acquire, rl.semaphore(0)},
      ["resources:acquire"] = {pool.acquire, pool},
      ["rwmutex:lock"] = {rl.rwmutex().lock, rl.rwmutex()},
      ["rwmutex:rlock"] = {rl.rwmutex().rlock, rl.rwmutex()},
    }
    local is_async, last = {}, false
    for line in io.lines "docs/luals/ringlet.lua" do
      if line:find "^%-%-%-@async" then last = true end
      local name = line:match "^function ([%w_.:]+)"
      if name then
        is_async[name] = last
        last = false
      end
    end
    for name, call in pairs(calls) do
      H.raises_text("not inside a task", (table.unpack or unpack)(call)) -- luacheck: ignore 113
      assert.is_true(is_async[name], name .. " is not marked as parking")
    end
    assert.is_false(is_async["chan:try_send"])
  end)
end)

describe("the comments", function()
  local EXPORTS = {["ringlet.x"] = {new = "x"}}

  -- The problems in the text of a file.
  local function problems_in(text, path)
    local lines, problems = {}, {}
    for line in (text .. "\n"):gmatch "([^\n]*)\n" do lines[#lines + 1] = line end
    doccomments.add_file({}, path or "lua/ringlet/x.lua", lines, EXPORTS, problems)
    return table.concat(problems, "\n")
  end

  local HEAD = "--- Things.\n-- @module ringlet\nlocal M = {}\n"
  local GOOD = "--- A thing.\n-- @tparam number n\nfunction M.new(n)\nend\n"

  it("are taken when they are complete", function()
    assert.equal("", problems_in(HEAD .. GOOD .. "return M"))
  end)

  it("are missed on a public function", function()
    local said = problems_in(HEAD .. "function M.new(n)\nend\nreturn M")
    assert.is_truthy(said:find("M.new has no comment", 1, true), said)
    said = problems_in(HEAD .. "M.new = core.new\nreturn M")
    assert.is_truthy(said:find("x has no comment", 1, true), said)
    said = problems_in("--- Net.\n-- @module ringlet.net\nlocal net = {}\n" ..
      "function net.dial(addr)\nend\nreturn net", "lua/ringlet/net.lua")
    assert.is_truthy(said:find("net.dial has no comment", 1, true), said)
  end)

  it("are missed on a method, but not on a private one", function()
    local class = HEAD .. GOOD .. "--- A class.\n-- @type thing\nlocal Thing = {}\n"
    local said = problems_in(class .. "function Thing:go(n)\nend\nreturn M")
    assert.is_truthy(said:find("Thing:go has no comment", 1, true), said)
    assert.equal("", problems_in(class .. "function Thing:poll_()\nend\nreturn M"))
    assert.equal("", problems_in(class .. "--- x\n-- @local\nfunction Thing:go()\nend\nreturn M"))
  end)

  it("are missed on a parameter, and on a file without a module", function()
    local said = problems_in(HEAD .. GOOD:gsub("%(n%)", "(n, m)") .. "return M")
    assert.is_truthy(said:find("parameter m of x is not documented", 1, true), said)
    said = problems_in(HEAD .. GOOD:gsub("%(n%)", "()") .. "return M")
    assert.is_truthy(said:find("x has no parameter n", 1, true), said)
    said = problems_in("local M = {}\nfunction M.new(n)\nend\nreturn M")
    assert.is_truthy(said:find("new is public, but there is no @module", 1, true), said)
  end)

  it("are refused on what is not public", function()
    local said = problems_in(HEAD .. GOOD .. "--- Inside.\nfunction M.inside()\nend\nreturn M")
    assert.is_truthy(said:find("M.inside is not public", 1, true), said)
  end)
end)
