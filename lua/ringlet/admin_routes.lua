-- SPDX-License-Identifier: MIT
-- admin_routes: what an admin endpoint answers, path by path.
--
-- A route is {params = what the query may have, open = true: without the token, GET = fn(admin,
-- req, res, args), POST = fn}. What it gives is bounded: in time, in number, and in bytes.

local errors = require "ringlet.errors"
local health = require "ringlet.health"
local json = require "ringlet.json_write"
local page = require "ringlet.admin_page"
local time = require "ringlet.time"
local vars = require "ringlet.admin_vars"

local M = {}

local TEXT, JSON = "text/plain; charset=utf-8", "application/json"

-- Tasks in one answer, unless another number is asked for; seconds of a profile or trace; bytes of
-- a dump.
local TASKS, TASKS_MAX, SECONDS_MAX, BYTES_MAX = 1000, 100000, 300, 64 * 1024 * 1024

-- ---- answers ------------------------------------------------------------------------------------

local function answer(res, status, text, kind)
  res:header("Content-Type", kind or TEXT)
  res:send(status, text)
end

local function answer_json(res, value)
  answer(res, 200, json.lenient(value, vars.breather()) .. "\n", JSON)
end

local function missing(res, name, err)
  answer(res, 501, ("%s is not available here: %s\n"):format(name, tostring(err):match "[^\n]*"))
end

-- The module; nil when this build has none, which was answered then.
local function load(res, name)
  local ok, module = pcall(require, name)
  if ok then
    return module
  end
  missing(res, name, module)
end

-- A function that writes pieces of the body. It raises when there are too many, or nobody reads
-- them: the connection ends then, and the client sees that something is missing.
local function writer(res, kind)
  local left = BYTES_MAX
  res:header("Content-Type", kind or TEXT)
  return function(piece)
    left = left - #piece
    if left < 0 then
      errors.check(nil, "EMSGSIZE: the answer is larger than 64 MiB", "EMSGSIZE")
    elseif piece ~= "" then
      errors.check(res:write(piece))
    end
    return true
  end
end

-- ---- health -------------------------------------------------------------------------------------

local function healthz(_, _, res)
  answer(res, 200, "ok\n")
end

local function readyz(_, _, res)
  local ok, why = health.ready()
  answer(res, ok and 200 or 503, ok and "ready\n" or why .. "\n")
end

-- ---- metrics ------------------------------------------------------------------------------------

local function metrics(_, req, res)
  local text = load(res, "ringlet.metrics_text")
  if text then
    local format, kind = text.negotiate(req:header "accept")
    text.write(writer(res, kind), {format = format})
  end
end

local function variables(admin, _, res)
  local all = vars.read()
  all.actions = admin.actions
  answer_json(res, all)
end

local function config(_, _, res)
  answer_json(res, require("ringlet.admin_config").read())
end

-- ---- tasks --------------------------------------------------------------------------------------

local FILTERED = {"shard", "state", "reason", "label", "name", "after"}

local function filters_of(args, more)
  for _, name in ipairs(FILTERED) do
    more[name] = args[name]
  end
  return more
end

local function tasks_json(res, args)
  local tasks = require "ringlet.admin_tasks"
  args.limit = args.limit or TASKS
  local list, counts = tasks.read(args)
  local put = writer(res, JSON)
  put(('{"at":%.6f,"counts":%s,"tasks":['):format(time.time(), json.lenient(json.list(counts))))
  tasks.write(list, put)
  put "]}\n"
end

local function tasks(_, _, res, args)
  local dumps = load(res, "ringlet.debug")
  if not dumps then
    return
  elseif args.format == "json" then
    return tasks_json(res, args)
  end
  dumps.dump(filters_of(args, {debug = args.debug or 1, to = writer(res)}))
end

local function cancel(_, _, res, args)
  if not args.id or not args.shard then
    answer(res, 400, "which task? id and shard are needed\n")
  elseif require("ringlet.admin_tasks").cancel(args.shard, args.id) then
    answer(res, 200, "cancelled\n")
  else
    answer(res, 404, "no such task\n")
  end
end

-- ---- leaks --------------------------------------------------------------------------------------

local function answer_leaks(res, args, reclaim)
  local leaks = load(res, "ringlet.leaks")
  if not leaks then
    return
  end
  local list, counts = leaks.find {again = true, reclaim = reclaim}
  if args.format == "json" then
    local put = writer(res, JSON)
    put(('{"at":%.6f,"counts":%s,"leaks":['):format(time.time(), json.lenient(json.list(counts))))
    require("ringlet.admin_tasks").write(list, put)
    put "]}\n"
    return
  end
  answer(res, 200, ("leaked tasks: %d\n%s"):format(#list, #list > 0 and "\n" .. leaks.text(list)
    or ""))
end

local function leaks(_, _, res, args)
  answer_leaks(res, args, false)
end

local function reclaim(_, _, res, args)
  answer_leaks(res, args, true)
end

-- ---- profiles and traces ------------------------------------------------------------------------

-- One at a time of each: they cost something.
local function alone(admin, what, res, fn, ...)
  if admin.busy[what] then
    res:header("Retry-After", "5")
    answer(res, 409, ("another %s is being taken\n"):format(what))
    return
  end
  admin.busy[what] = true
  local scope = require "ringlet.scope"
  return scope.finally(fn, function()
    admin.busy[what] = nil
  end, ...)
end

local PROFILES = {
  pprof = {"application/octet-stream", "profile.pb"}, folded = {TEXT}, text = {TEXT},
  svg = {"image/svg+xml"},
}

-- A flame graph has a script inside: it may run, but reach nothing of ours.
local SVG_POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
  .. "frame-ancestors 'self'; sandbox allow-scripts"

local function answer_profile(res, p, format)
  local about = PROFILES[format]
  if format == "svg" then
    res:header("Content-Security-Policy", SVG_POLICY)
    res:header("X-Frame-Options", "SAMEORIGIN")
  end
  if about[2] then
    res:header("Content-Disposition", ('attachment; filename="%s"'):format(about[2]))
  end
  answer(res, 200, p[format](p), about[1])
end

local REFUSED = {EBUSY = 409, ENOSYS = 501, ELOST = 503}

local function profile(admin, _, res, args)
  local profiles = load(res, "ringlet.profile")
  if not profiles then
    return
  end
  alone(admin, "profile", res, function()
    local p, msg, code = profiles[args.type or "cpu"]{seconds = args.seconds or 10}
    if not p then
      answer(res, REFUSED[code] or 500, msg .. "\n")
      return
    end
    answer_profile(res, p, args.format or "pprof")
  end)
end

-- What a recorder that is on has; else what happens from now on.
local function recorded(traces, seconds)
  if traces.active() then
    return traces.dump(seconds)
  end
  local ok, msg, code = traces.start {seconds = seconds or 5}
  if not ok then
    return nil, msg, code
  end
  local scope = require "ringlet.scope"
  return scope.finally(function()
    time.sleep(seconds or 5)
    return traces.dump(seconds or 5)
  end, traces.stop)
end

local function trace(admin, _, res, args)
  local traces = load(res, "ringlet.trace")
  if not traces then
    return
  end
  alone(admin, "trace", res, function()
    local snap, msg = recorded(traces, args.seconds)
    if not snap then
      answer(res, 500, msg .. "\n")
      return
    end
    res:header("Content-Disposition", 'attachment; filename="trace.json"')
    answer(res, 200, snap:chrome(), JSON)
  end)
end

-- ---- the list -----------------------------------------------------------------------------------

local function live_page(_, _, res)
  local html, policy = page.html()
  res:header("Content-Security-Policy", policy)
  answer(res, 200, html, "text/html; charset=utf-8")
end

local FORMAT = {"text", "json"}
local NUMBER, WHOLE = {min = 0}, {min = 1, whole = true}
local SECONDS = {min = 0.01, max = SECONDS_MAX}

M.routes = {
  ["/"] = {GET = live_page},
  ["/healthz"] = {GET = healthz, open = true},
  ["/readyz"] = {GET = readyz, open = true},
  ["/metrics"] = {GET = metrics},
  ["/debug/vars"] = {GET = variables},
  ["/debug/config"] = {GET = config},
  ["/debug/tasks"] = {GET = tasks, params = {
    debug = {min = 1, max = 2, whole = true}, format = FORMAT, shard = WHOLE, label = true,
    state = {"running", "runnable", "waiting", "new"}, reason = true, name = true, after = NUMBER,
    limit = {min = 0, max = TASKS_MAX, whole = true}, sort = {"wait", "id"},
  }},
  ["/debug/tasks/cancel"] = {POST = cancel, params = {id = WHOLE, shard = WHOLE}},
  ["/debug/leaks"] = {GET = leaks, params = {format = FORMAT}},
  ["/debug/leaks/reclaim"] = {POST = reclaim, params = {format = FORMAT}},
  ["/debug/profile"] = {GET = profile, params = {
    type = {"cpu", "offcpu", "alloc"}, seconds = SECONDS,
    format = {"pprof", "folded", "svg", "text"},
  }},
  ["/debug/trace"] = {GET = trace, params = {seconds = SECONDS}},
}

M.answer = answer

return M
