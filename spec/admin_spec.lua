-- SPDX-License-Identifier: MIT
-- The admin endpoint: what it answers, whom it refuses, and what it leaves behind.
local H = require "spec.helper"
local admin = require "ringlet.admin"
local admin_tasks = require "ringlet.admin_tasks"
local core = require "ringlet.core"
local guard = require "ringlet.admin_guard"
local metrics = require "ringlet.metrics"
local net = require "ringlet.net"
local params = require "ringlet.admin_params"
local rl = require "ringlet"
local routes = require "ringlet.admin_routes"
local vars = require "ringlet.admin_vars"

local TOKEN = "open-sesame"

-- An answer as {status =, headers = by name in lower case, body =}.
local function parse(text)
  local head, body = text:match "^(.-\r\n)\r\n(.*)$"
  local headers = {}
  for name, value in head:gmatch "([^\r\n:]+): ([^\r\n]*)\r\n" do
    headers[name:lower()] = value
  end
  if headers["transfer-encoding"] == "chunked" then
    local pieces, at = {}, 1
    while true do
      local size, from = body:match("^(%x+)\r\n()", at)
      size = tonumber(size, 16)
      if size == 0 then break end
      pieces[#pieces + 1] = body:sub(from, from + size - 1)
      at = from + size + 2
    end
    body = table.concat(pieces)
  end
  return {status = tonumber(head:match "^HTTP/1.1 (%d+)"), headers = headers, body = body}
end

-- Ask: `target` is "GET /path" or a path; `fields` are further lines of the head.
local function ask(server, target, fields, host)
  if target:sub(1, 1) == "/" then
    target = "GET " .. target
  end
  local conn = rl.check(net.connect(server:addr()))
  conn:write(target, " HTTP/1.1\r\nConnection: close\r\nHost: ", host or "localhost", "\r\n",
    fields and table.concat(fields, "\r\n") .. "\r\n" or "", "\r\n")
  local text = rl.check(conn:read_all(64 * 1024 * 1024, 60))
  conn:close()
  return parse(text)
end

local function with(opts, fn)
  if opts.addr == nil then
    opts.addr = "127.0.0.1:0"
  end
  local server = rl.check(admin.serve(opts))
  rl.finally(function() fn(server) end, function() server:stop() end)
end

local function park_some(n)
  local ch, list = rl.chan(), {}
  for i = 1, n do
    local h = rl.go(function() ch:recv() end)
    h:name("parked " .. i)
    h:label("type", "order")
    list[i] = h
  end
  for _, h in ipairs(list) do
    while h:status() ~= "parked" do rl.yield() end
  end
  return function() ch:close() end
end

H.both("the admin endpoint", function(it, backend)
  it("says that the process lives, and whether it is ready", function()
    with({}, function(server)
      local got = ask(server, "/healthz")
      assert.same({200, "ok\n"}, {got.status, got.body})
      got = ask(server, "/readyz")
      assert.same({200, "ready\n"}, {got.status, got.body})
    end)
  end)

  it("says why it is not ready", function()
    with({}, function(server)
      local stop_state = require "ringlet.run_stop".active
      stop_state.stopping = true
      local got = ask(server, "/readyz")
      stop_state.stopping = nil
      assert.equal(503, got.status)
      assert.matches("ESTOPPING", got.body)
    end)
  end)

  it("gives metrics as text, in the format that is asked for", function()
    with({}, function(server)
      local got = ask(server, "/metrics")
      assert.equal(200, got.status)
      assert.matches("^text/plain; version=0.0.4", got.headers["content-type"])
      assert.matches("\nringlet_tasks{", got.body, 1, true)
      got = ask(server, "/metrics", {"Accept: application/openmetrics-text"})
      assert.matches("^application/openmetrics", got.headers["content-type"])
      assert.matches("# EOF\n$", got.body)
    end)
  end)

  it("gives every metric as JSON", function()
    with({}, function(server)
      local counter = metrics.counter("admin_spec_total", {labels = {"kind"}})
      counter:with(backend):add(3)
      local body = ask(server, "/debug/vars").body
      for _, entry in ipairs(metrics.all()) do
        if not entry.name:find "^/thread/" and not entry.help:find "bpf.metrics" then
          assert.is_truthy(body:find('"' .. entry.name .. '":{', 1, true), entry.name)
        end
      end
      assert.is_truthy(body:find('"name":"admin_spec_total"', 1, true))
      assert.is_truthy(body:find(('{"labels":{"kind":"%s"},"value":3}'):format(backend), 1, true))
      assert.is_truthy(body:find(('"pid":%d'):format(core.pid()), 1, true))
      assert.is_truthy(body:find('"ready":true', 1, true))
    end)
  end)

  it("lists tasks, in groups and one by one, as text and as JSON", function()
    with({}, function(server)
      local done = park_some(7)
      assert.matches("\n7 @ %[chan receive", ask(server, "/debug/tasks").body)
      local every = ask(server, "/debug/tasks?debug=2&label=type%3Dorder").body
      assert.equal(7, select(2, every:gsub('task %d+ "parked %d"', "")))
      local got = ask(server, "/debug/tasks?format=json&label=type%3Dorder&sort=wait&limit=3")
      assert.equal("application/json", got.headers["content-type"])
      assert.equal(3, select(2, got.body:gsub('"name":"parked %d"', "")))
      assert.is_truthy(got.body:find('"labels":{"type":"order"}', 1, true))
      assert.is_truthy(got.body:find '"stack":%[{"file":')
      done()
    end)
  end)

  it("takes no parameter that makes no sense", function()
    with({}, function(server)
      for target, text in pairs{
        ["/debug/tasks?debug=3"] = "debug: a whole number from 1 to 2 expected",
        ["/debug/tasks?format=xml"] = "format: text or json expected",
        ["/debug/tasks?shard=x"] = "shard: a whole number from 1 on expected",
        ["/debug/tasks?limit=1000000"] = "limit: a whole number from 0 to 100000 expected",
        ["/debug/profile?seconds=301"] = "seconds: a number from 0.01 to 300 expected",
        ["/debug/vars?x=1"] = "unknown parameter: x",
        ["/debug/tasks?debug=1&debug=2"] = "debug: only once",
        ["/debug/tasks?name=" .. ("x"):rep(201)] = "name: at most 200 bytes",
      } do
        local got = ask(server, target)
        assert.same({400, text .. "\n"}, {got.status, got.body}, target)
      end
      assert.equal(200, ask(server, "/debug/tasks?shard=999&format=json").status)
    end)
  end)

  it("finds leaked tasks, and reclaims them when it may", function()
    with({actions = true}, function(server)
      for _ = 1, 3 do
        rl.go(function() rl.chan():recv() end)
      end
      H.eventually("three leaks", function()
        return ask(server, "/debug/leaks").body:find "^leaked tasks: 3\n"
      end)
      local got = ask(server, "/debug/leaks?format=json").body
      assert.equal(3, select(2, got:gsub('"reason":"chan receive"', "")))
      assert.equal(405, ask(server, "/debug/leaks/reclaim").status)
      assert.matches("^leaked tasks: 3\n", ask(server, "POST /debug/leaks/reclaim").body)
      H.eventually("no leaks", function()
        return ask(server, "/debug/leaks").body:find "^leaked tasks: 0\n"
      end)
    end)
  end)

  it("cancels a task when it may", function()
    with({actions = true}, function(server)
      local h = rl.go(function() rl.sleep(1000) end)
      rl.yield()
      local path = ("POST /debug/tasks/cancel?shard=%d&id=%d"):format(rl.shard(), h.id)
      local got = ask(server, path)
      assert.same({200, "cancelled\n"}, {got.status, got.body})
      local ok, err = h:join()
      assert.is_false(ok)
      assert.is_true((rl.is_cancel(err)))
      assert.equal(404, ask(server, path).status)
      assert.equal(404, ask(server, "POST /debug/tasks/cancel?shard=99&id=1").status)
      assert.equal(400, ask(server, "POST /debug/tasks/cancel").status)
    end)
    with({}, function(server)
      local got = ask(server, "POST /debug/tasks/cancel?shard=1&id=1")
      assert.equal(403, got.status)
      assert.matches("actions", got.body)
    end)
  end)

  it("tells what the process is, but no secret", function()
    with({token = TOKEN}, function(server)
      local body = ask(server, "/debug/config", {"Authorization: Bearer " .. TOKEN}).body
      assert.is_truthy(body:find('"ringlet":"ringlet ', 1, true))
      assert.is_truthy(body:find('"open files":{', 1, true))
      assert.is_nil(body:find(TOKEN, 1, true))
    end)
  end)

  it("says what there is not, and what a path cannot be asked for", function()
    with({actions = true}, function(server)
      assert.equal(404, ask(server, "/debug/nothing").status)
      local got = ask(server, "POST /metrics")
      assert.same({405, "GET, HEAD"}, {got.status, got.headers.allow})
      assert.equal("POST", ask(server, "/debug/leaks/reclaim").headers.allow)
      got = ask(server, "HEAD /healthz")
      assert.same({200, ""}, {got.status, got.body})
      H.eventually("all have gone", function() return server:stats().live == 0 end)
      assert.same({requests = 4, refused = 3, live = 0}, server:stats())
    end)
  end)

  it("lets nobody in without the token, but the probes", function()
    with({token = TOKEN}, function(server)
      for path, route in pairs(routes.routes) do
        local got = ask(server, (route.GET and "GET " or "POST ") .. path)
        assert.equal(route.open and 200 or 401, got.status, path)
      end
      assert.equal(401, ask(server, "/metrics?token=open-sesamf").status)
      assert.equal(401, ask(server, "/metrics?token=").status)
      assert.equal(401, ask(server, "/metrics", {"Authorization: Bearer open"}).status)
      assert.equal(200, ask(server, "/metrics?token=" .. TOKEN).status)
      assert.equal(200, ask(server, "/metrics", {"Authorization: Bearer " .. TOKEN}).status)
      assert.equal("Bearer", ask(server, "/metrics").headers["www-authenticate"])
    end)
  end)

  it("exchanges the token of the page's address for a cookie", function()
    with({token = TOKEN}, function(server)
      local got = ask(server, "/?token=" .. TOKEN)
      assert.same({303, "/"}, {got.status, got.headers.location})
      local cookie = got.headers["set-cookie"]
      assert.matches("; HttpOnly; SameSite=Strict$", cookie)
      assert.is_nil(cookie:find(TOKEN, 1, true))
      local field = "Cookie: a=b; " .. cookie:match "^[^;]+"
      assert.equal(200, ask(server, "/", {field}).status)
      assert.equal(200, ask(server, "/debug/vars", {field}).status)
      assert.equal(401, ask(server, "/debug/vars", {field .. "0"}).status)
    end)
    with({token = "a+b/c.d~e=="}, function(server)
      local target = server:url():match "^http://[^/]+(/.*)$"
      assert.equal("/?token=a%2Bb%2Fc%2Ed%7Ee%3D%3D", target)
      assert.equal(303, ask(server, target).status)
    end)
  end)

  it("is called by this host's names alone on loopback", function()
    with({hosts = {"Build.example"}}, function(server)
      for host, status in pairs{
        ["localhost:8000"] = 200, ["127.0.0.1"] = 200, ["[::1]:80"] = 200, ["127.1.2.3:1"] = 200,
        ["build.example"] = 200, ["LOCALHOST"] = 200, ["evil.example"] = 403,
        ["127.0.0.1.evil.example"] = 403, ["localhost.evil.example:80"] = 403,
      } do
        assert.equal(status, ask(server, "/debug/config", nil, host).status, host)
        assert.equal(status, ask(server, "/healthz", nil, host).status, host)
      end
    end)
  end)

  it("answers no page of another site", function()
    with({actions = true}, function(server)
      local function status(target, ...)
        return ask(server, target, {...}, "localhost:1").status
      end
      assert.equal(403, status("/debug/profile?seconds=1", "Sec-Fetch-Site: cross-site"))
      assert.equal(403, status("/debug/vars", "Sec-Fetch-Site: same-site"))
      assert.equal(200, status("/debug/vars", "Sec-Fetch-Site: same-origin"))
      assert.equal(200, status("/", "Sec-Fetch-Site: cross-site"))
      local post = "POST /debug/leaks/reclaim"
      assert.equal(403, status(post, "Origin: http://evil.example"))
      assert.equal(403, status(post, "Origin: null"))
      assert.equal(403, status(post, "Origin: http://localhost:2"))
      assert.equal(200, status(post, "Origin: http://localhost:1"))
      assert.equal(200, status(post))
    end)
  end)

  it("serves a page that may talk to nobody else", function()
    with({}, function(server)
      local got = ask(server, "/")
      assert.equal("text/html; charset=utf-8", got.headers["content-type"])
      local policy = got.headers["content-security-policy"]
      assert.matches("^default%-src 'none'; script%-src 'nonce%-%x+'", policy)
      assert.is_nil(policy:find "unsafe" or policy:find "%*" or policy:find "http")
      local nonce = policy:match "nonce%-(%x+)"
      assert.equal(2, select(2, got.body:gsub('nonce="' .. nonce .. '"', "")))
      assert.is_nil(got.body:find 'src="' or got.body:find "@import" or got.body:find "url%(")
      assert.is_nil(got.body:gsub("http://www.w3.org/2000/svg", ""):find "https?://")
      assert.is_not.equal(policy, ask(server, "/").headers["content-security-policy"])
      assert.equal("DENY", got.headers["x-frame-options"])
      assert.equal("no-store", got.headers["cache-control"])
    end)
  end)

  it("is served on an abstract name for the same user", function()
    with({addr = "unix:@ringlet-admin-spec-" .. core.pid()}, function(server)
      assert.equal(200, ask(server, "/debug/config", nil, "whatever").status)
      assert.is_nil(server:url())
    end)
  end)

  it("refuses addresses that are not this host's alone, and bad options", function()
    for _, addr in ipairs{"0.0.0.0:0", ":0", "[::]:0", "example.org:80", "127.0.0.1.example:80"} do
      H.raises_text("public = true", admin.serve, addr)
    end
    local server = rl.check(admin.serve("0.0.0.0:0", {public = true}))
    assert.equal(200, ask(server, "/healthz", nil, "anything.example").status)
    server:stop()
    server = rl.check(admin.serve("0.0.0.0:0", {public = true, hosts = {"a.example"}}))
    assert.equal(403, ask(server, "/healthz", nil, "b.example").status)
    assert.equal(200, ask(server, "/healthz", nil, "a.example:80").status)
    server:stop()
    H.raises_text("an address is needed", admin.serve, {})
    H.raises_text("token: at least 8", admin.serve, "127.0.0.1:0", {token = "short"})
    H.raises_text("token: at least 8", admin.serve, "127.0.0.1:0", {token = "with a space"})
    H.raises_text("unknown option 'x'", admin.serve, "127.0.0.1:0", {x = 1})
  end)

  it("ends when it is stopped, again and again", function()
    local server = rl.check(admin.serve "127.0.0.1:0")
    assert.matches("^ringlet.admin_server: 127.0.0.1:%d+, 0 requests$", tostring(server))
    server:stop()
    server:stop()
    assert.is_nil((net.connect(server:addr())))
  end)
end)

H.on("uring", "the admin endpoint", function(it)
  it("takes a profile in every format", function()
    with({}, function(server)
      local got
      for format, pattern in pairs{folded = "", text = "^profile: ", svg = "^<%?xml", pprof = ""} do
        got = ask(server, "/debug/profile?type=offcpu&seconds=0.05&format=" .. format)
        assert.equal(200, got.status, format .. ": " .. got.body)
        assert.matches(pattern, got.body)
        if format == "svg" then
          assert.matches("sandbox", got.headers["content-security-policy"])
        end
      end
    end)
  end)

  it("takes one profile at a time, and gives it up when its client has gone", function()
    with({}, function(server)
      local conn = rl.check(net.connect(server:addr()))
      conn:write "GET /debug/profile?type=offcpu&seconds=100 HTTP/1.1\r\nHost: localhost\r\n\r\n"
      local function other() return ask(server, "/debug/profile?type=offcpu&seconds=0.05") end
      local refused = H.eventually("a second is refused", function()
        local got = other()
        return got.status == 409 and got
      end)
      assert.equal("5", refused.headers["retry-after"])
      conn:close()
      H.eventually("another is taken", function() return other().status == 200 end)
    end)
  end)

  it("records a trace", function()
    with({}, function(server)
      local got = ask(server, "/debug/trace?seconds=0.1")
      if got.status == 501 then
        return
      end
      assert.equal(200, got.status)
      assert.matches('"traceEvents"', got.body)
    end)
  end)

  it("lets others have their turn while much is asked for", function()
    local done, turns, counting = park_some(H.rounds(5000, 300)), 0, true
    local list = admin_tasks.read {}
    local counter = rl.go(function()
      while counting do
        turns = turns + 1
        rl.yield()
      end
    end)
    admin_tasks.write(list, function() end)
    assert.is_true(turns > 20, turns)
    turns = 0
    for _ = 1, H.rounds(20, 5) do
      vars.read()
    end
    assert.is_true(turns >= 3, turns)
    counting = false
    counter:join()
    done()
  end, {timeout = 60})
end)

-- ---- files and runs -----------------------------------------------------------------------------

local function shell(command)
  local pipe = io.popen(command .. " 2>&1")
  local text = pipe:read "*a"
  pipe:close()
  return text
end

local function temporary()
  local path = os.tmpname()
  os.remove(path)
  assert(shell("mkdir -m 700 " .. path) == "")
  return path
end

describe("an admin endpoint on a Unix socket", function()
  local dir

  before_each(function()
    dir = temporary()
  end)

  after_each(function()
    os.execute("rm -r " .. dir)
  end)

  local function run(fn, opts)
    if H.missing.uring then
      return pending(H.missing.uring)
    end
    opts = opts or {}
    opts.backend = "uring"
    rl.run(fn, opts)
  end

  it("is for its owner alone, and leaves no file", function()
    run(function()
      local path = dir .. "/admin.sock"
      local server = rl.check(admin.serve("unix:" .. path))
      assert.equal("600\n", shell("stat -c %a " .. path))
      assert.equal(200, ask(server, "/debug/vars", nil, "whatever").status)
      server:stop()
      assert.matches("No such file", shell("ls " .. path))
    end)
  end)

  it("is not put where others may write", function()
    run(function()
      shell("chmod 777 " .. dir)
      local server, msg, code = admin.serve("unix:" .. dir .. "/admin.sock")
      assert.is_nil(server)
      assert.equal("EACCES", code)
      assert.matches("others may write", msg)
      shell("chmod 1777 " .. dir)
      rl.check(admin.serve("unix:" .. dir .. "/admin.sock")):stop()
      assert.equal("ENOENT", (select(3, admin.serve("unix:" .. dir .. "/no/admin.sock"))))
    end)
  end)

  it("is there for as long as a run that has the option, and does not keep it alive", function()
    local addr = "unix:" .. dir .. "/admin.sock"
    local seen
    run(function()
      seen = tostring(H.eventually("the endpoint", admin.current))
      assert.equal(200, ask(admin.current(), "/healthz").status)
    end, {admin = addr})
    assert.equal("ringlet.admin_server: " .. addr .. ", 0 requests", seen)
    assert.is_nil(admin.current())
    assert.equal("", shell("ls " .. dir))
  end)

  it("is found by the number of the process when the environment asks for it", function()
    if H.missing.uring then
      return pending(H.missing.uring)
    end
    local vm = H.jit and "luajit" or "lua5.4"
    local script = dir .. "/program.lua"
    local file = assert(io.open(script, "w"))
    file:write [[
      local rl = require "ringlet"
      rl.run(function()
        local server
        repeat
          rl.sleep(0.005)
          server = require("ringlet.admin").current()
        until server
        print(server and server:addr():match "/ringlet/(%d+)%.sock$" == tostring(
          require("ringlet.core").pid()))
        print(server and io.popen("stat -c '%a %F' " .. server:addr():sub(6)):read "*l")
        print(io.popen("stat -c %a " .. server:addr():match "unix:(.*)/"):read "*l")
      end)]]
    file:close()
    local env = ("LUA_PATH='%s' LUA_CPATH='%s' "):format(package.path, package.cpath)
    assert.equal("true\n600 socket\n700\n", shell(env .. "RINGLET_BACKEND=uring RINGLET_ADMIN=1 "
      .. "XDG_RUNTIME_DIR=" .. dir .. " " .. vm .. " " .. script))
    assert.equal("ringlet\n", shell("cd " .. dir .. "; ls -d */ | tr -d /"))
    assert.equal("", shell("ls " .. dir .. "/ringlet"))
    shell("chmod 777 " .. dir .. "/ringlet")
    local said = shell(env .. "RINGLET_BACKEND=uring RINGLET_ADMIN=1 XDG_RUNTIME_DIR=" .. dir .. " "
      .. vm .. [[ -e 'require("ringlet").run(function() end)']])
    assert.matches("^ringlet: no admin endpoint: .*/ringlet: EACCES", said)
  end)

  it("says what is wrong with the option, and lets the run go on", function()
    local stderr, said = io.stderr, {}
    local function keep(_, ...)
      said[#said + 1] = table.concat {...}
    end
    io.stderr = {write = keep} -- luacheck: ignore
    local ok, value = pcall(rl.run, function()
      rl.sleep(0.01)
      return "went on"
    end, {backend = "sim", admin = "0.0.0.0:80"})
    io.stderr = stderr -- luacheck: ignore
    assert.is_true(ok)
    assert.equal("went on", value)
    assert.matches("public = true", table.concat(said))
  end)
end)

describe("an admin endpoint on several shards", function()
  it("answers for all of them", function()
    if H.missing.uring then
      return pending(H.missing.uring)
    end
    rl.run(function()
      local server = rl.check(admin.serve("127.0.0.1:0", {actions = true}))
      local _, id = rl.check(rl.spawn_on(2, function()
        local ringlet = require "ringlet"
        local h = ringlet.daemon(function() ringlet.sleep(1000) end)
        h:name "far away"
        return h.id
      end):join())
      assert.matches("# shard 2: ", ask(server, "/debug/tasks").body)
      assert.matches('"shards":2', ask(server, "/debug/vars").body)
      local path = ("POST /debug/tasks/cancel?shard=2&id=%d"):format(id)
      assert.equal(200, ask(server, path).status)
      H.eventually("it has ended", function() return ask(server, path).status == 404 end)
      server:stop()
    end, {shards = 2, backend = "uring"})
  end)
end)

-- ---- parts --------------------------------------------------------------------------------------

describe("the guard of the admin endpoint", function()
  it("knows addresses of this host alone", function()
    for addr, kind in pairs{
      ["127.0.0.1:80"] = "loopback", ["[::1]:80"] = "loopback", ["localhost:0"] = "loopback",
      ["127.9.9.9:1"] = "loopback", ["unix:/a"] = "unix", ["unix:@a"] = "abstract",
      ["0.0.0.0:1"] = "public", [":1"] = "public", ["10.0.0.1:1"] = "public",
      ["127.0.0.1.nip.io:1"] = "public", ["[::ffff:127.0.0.1]:1"] = "public",
    } do
      assert.equal(kind, guard.kind_of(addr), addr)
    end
  end)

  it("keeps few sessions, for some hours", function()
    rl.run(function()
      local g = guard.new({token = TOKEN}, "loopback")
      local function request(cookie)
        return {method = "GET", path = "/", host = "localhost", header = function(_, name)
          return name == "cookie" and cookie or nil
        end}
      end
      local function login()
        local _, _, fields = guard.refusal(g, request(), {token = TOKEN})
        return fields["Set-Cookie"]:match "^[^;]+"
      end
      local first = login()
      rl.sleep(12 * 3600 - 1)
      assert.is_nil(guard.refusal(g, request(first), {}))
      rl.sleep(2)
      assert.equal(401, guard.refusal(g, request(first), {}))
      local oldest = login()
      rl.sleep(1)
      for _ = 1, 63 do
        login()
      end
      assert.is_nil(guard.refusal(g, request(oldest), {}))
      local last = login()
      assert.equal(401, guard.refusal(g, request(oldest), {}))
      assert.is_nil(guard.refusal(g, request(last), {}))
    end, {backend = "sim"})
  end)
end)

describe("parameters of the admin endpoint", function()
  it("are numbers in bounds, words of a list, or short texts", function()
    local known = {n = {min = 1, max = 9, whole = true}, w = {"a", "b"}, t = true}
    assert.same({n = 9, w = "b", t = "x y"}, params.check({n = "9", w = "b", t = "x y"}, known))
    assert.same({}, params.check({n = "", token = "x"}, known))
    for _, n in ipairs{"0", "10", "1.5", "nan", "inf", "1e999", "x", "-1"} do
      assert.is_nil((params.check({n = n}, known)), n)
    end
    assert.is_nil((params.check({w = "c"}, known)))
    assert.is_nil((params.check({x = "1"}, nil)))
  end)
end)
