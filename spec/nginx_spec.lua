-- SPDX-License-Identifier: MIT
-- HTTP with nginx at the other end: what one of the most used servers makes of our requests, and,
-- as a proxy in front, of our answers.
local rl = require "ringlet"
local H = require "spec.helper"
local P = require "spec.process"
local http = require "ringlet.http"
local net = require "ringlet.net"
local websocket = require "ringlet.websocket"
local wire = require "spec.wire"

local function output_of(command)
  local p = io.popen(command)
  local text = p:read "*a"
  p:close()
  return text
end

local CONF = [[
daemon off;
master_process off;
worker_processes 1;
error_log %DIR%/error.log;
pid %DIR%/pid;
events { worker_connections 256; }
http {
  access_log off;
  client_body_temp_path %DIR%/body;
  proxy_temp_path %DIR%/proxy;
  fastcgi_temp_path %DIR%/fastcgi;
  uwsgi_temp_path %DIR%/uwsgi;
  scgi_temp_path %DIR%/scgi;
  client_max_body_size 1m;
  keepalive_requests 10;
  upstream app {
    server %APP%;
    keepalive 4;
  }
  map $http_upgrade $connection_upgrade { default upgrade; '' ''; }
  server {
    listen %ADDR%;
    location /app/ {
      proxy_pass http://app;
      proxy_http_version 1.1;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_upgrade;
      proxy_request_buffering off;
      proxy_buffering off;
    }
    location /buffered/ {
      proxy_pass http://app/app/;
    }
    location = /whose { return 200 "%DIR%"; }
    location = /hello { return 200 "hello"; }
    location = /moved { return 302 /hello; }
    location = /created { return 201 "made"; }
    location / { root %DIR%; }
    location /put/ {
      root %DIR%;
      dav_methods PUT DELETE;
      create_full_put_path on;
    }
  }
}
]]

local NGINX = "timeout -s KILL 600 nginx -p %s -c %s/conf -e %s/error.log >/dev/null 2>&1 & echo $!"

local function write_file(path, text)
  local f = assert(io.open(path, "wb"))
  f:write(text)
  f:close()
end

-- Somebody else may have taken the port meanwhile.
local function is_ours(addr, dir)
  local conn = net.connect(addr, {timeout = 1})
  if not conn then return false end
  conn:set_timeout(10)
  conn:write "GET /whose HTTP/1.0\r\n\r\n"
  local said = conn:read_all()
  conn:close()
  return said ~= nil and said:find(dir, 1, true) ~= nil
end

-- Start nginx in front of the server at `app`. Its address; nil when it has ended, for want of its
-- port.
local function try_nginx(app, nginx)
  local addr, dir = P.free_address(), nginx.dir
  write_file(dir .. "/conf", (CONF:gsub("%%(%u+)%%", {DIR = dir, ADDR = addr, APP = app})))
  nginx.pid = output_of(NGINX:format(dir, dir, dir)):match "%d+"
  local ready
  H.eventually("nginx", function()
    ready = is_ours(addr, dir)
    return ready or not P.is_alive(nginx.pid)
  end)
  return ready and addr or nil
end

-- The same, which finds its port, with a directory of its own. Notes that and the process.
local function start_nginx(app, nginx)
  local dir = output_of "mktemp -d":match "%S+"
  nginx.dir = dir
  write_file(dir .. "/large", wire.pattern(3000000))
  os.execute(("chmod 755 %s && mkdir %s/put"):format(dir, dir))
  for _ = 1, 5 do
    local addr = try_nginx(app, nginx)
    if addr then return addr end
  end
end

-- fn(client, url, server) with nginx running, in a run; in front of a server with that handler.
local function with_nginx(fn, handler)
  if output_of "command -v nginx" == "" then
    return pending "nginx is not installed"
  elseif H.missing.uring then
    return pending(H.missing.uring)
  end
  local nginx = {}
  finally(function()
    if nginx.pid then os.execute("kill " .. nginx.pid) end
    if nginx.dir then os.execute("rm -rf " .. nginx.dir) end
  end)
  rl.run(function()
    local server = handler and assert(http.serve("127.0.0.1:0", handler, {cancel_on_close = true}))
    local addr = start_nginx(server and server:addr() or "127.0.0.1:1", nginx)
    assert.is_truthy(addr, "nginx does not answer")
    local client = http.client()
    fn(client, "http://" .. addr, server)
    assert.equal(0, client:stats().busy)
    client:close()
    if server then server:stop(1) end
  end, {backend = "uring"})
end

describe("a client and nginx", function()
  it("understand each other", function()
    with_nginx(function(client, url)
      local res = assert(client:get(url .. "/hello"))
      assert.same({200, "OK", "hello"}, {res.status, res.reason, res.body})
      assert.is_truthy(res:header "server":find "nginx")
      assert.equal("hello", client:get(url .. "/moved").body)
      assert.equal(404, client:get(url .. "/none").status)
      res = client:head(url .. "/hello")
      assert.same({200, ""}, {res.status, res.body})
      assert.is_true(client:get(url .. "/large").body == wire.pattern(3000000))
      local size = 0
      for piece in client:stream("GET", url .. "/large"):chunks() do size = size + #piece end
      assert.equal(3000000, size)
      local etag = client:head(url .. "/large"):header "etag"
      assert.equal(304, client:get(url .. "/large", {headers = {["If-None-Match"] = etag}}).status)
    end)
  end)

  it("pass bodies on, asked for or not, of a length or in chunks", function()
    with_nginx(function(client, url)
      local body = wire.pattern(300000)
      local function pieces()
        local at = 0
        return function()
          local piece = body:sub(at + 1, at + 10000)
          at = at + #piece
          return piece ~= "" and piece or nil
        end
      end
      for i, opts in ipairs{
        {body = body}, {body = pieces()}, {body = pieces(), length = #body},
        {body = body, expect = true}, {body = pieces(), expect = true},
      } do
        local path = url .. "/put/" .. i
        assert.equal(201, assert(client:request("PUT", path, opts)).status, "body " .. i)
        assert.is_true(client:get(path).body == body)
        assert.equal(204, client:request("DELETE", path).status)
      end
    end)
  end)

  it("agree on what is too large, and go on", function()
    with_nginx(function(client, url)
      local large = ("x"):rep(5000000)
      for _, expect in ipairs{true, false} do
        local res = client:request("PUT", url .. "/put/x", {body = large, expect = expect})
        assert.equal(413, res.status)
      end
      assert.equal("hello", client:get(url .. "/hello").body)
    end)
  end)

  it("close connections after ten requests, which nobody notices", function()
    with_nginx(function(client, url)
      rl.map({1, 2, 3, 4, 5, 6, 7, 8}, function()
        for _ = 1, 50 do
          assert(assert(client:get(url .. "/hello")).body == "hello")
        end
      end)
      assert.is_true(client:stats().opened >= 40)
    end)
  end)
end)

describe("nginx in front of a server", function()
  it("keeps its connections, and passes all there is on", function()
    with_nginx(function(client, url, server)
      for _ = 1, 20 do
        assert.equal("GET /app/a 1.1 0 -", assert(client:get(url .. "/app/a")).body)
      end
      assert.is_true(server:stats().accepted <= 2, server:stats().accepted)
      assert.equal("GET /app/a 1.0 0 -", assert(client:get(url .. "/buffered/a")).body)
      local res = assert(client:head(url .. "/app/a"))
      assert.same({200, "", "19"}, {res.status, res.body, res:header "content-length"})
      assert.equal(500, client:get(url .. "/app/raise").status)
      assert.equal(204, client:get(url .. "/app/204").status)
      for _, path in ipairs{"/app/large", "/buffered/large"} do
        assert.is_true(assert(client:get(url .. path)).body == wire.pattern(900000))
      end
    end, function(req, res)
      if req.path == "/app/large" then
        for i = 1, 900000, 30000 do res:write(wire.pattern(900000):sub(i, i + 29999)) end
        return
      elseif req.path == "/app/raise" then
        return -- without an answer
      elseif req.path == "/app/204" then
        return res:send(204)
      end
      res:send(200, ("%s %s %s %d %s"):format(req.method, req.path, req.version,
        #rl.check(req:read_all()), req:header "transfer-encoding" or "-"))
    end)
  end)

  it("passes bodies on as they come, in chunks or not", function()
    with_nginx(function(client, url)
      local body = wire.pattern(300000)
      local function pieces()
        local at = 0
        return function()
          local piece = body:sub(at + 1, at + 10000)
          at = at + #piece
          return piece ~= "" and piece or nil
        end
      end
      for path, framing in pairs{["/app/"] = "chunked", ["/buffered/"] = "-"} do
        for _, opts in ipairs{{body = pieces()}, {body = pieces(), expect = true}} do
          local res = assert(client:put(url .. path, opts))
          assert.equal(framing, res:header "x-framing")
          assert.is_true(res.body == body)
        end
        assert.is_true(assert(client:put(url .. path, {body = body})).body == body)
      end
    end, function(req, res)
      res:header("X-Framing", req:header "transfer-encoding" or "-")
      for piece in req:chunks() do res:write(piece) end
    end)
  end)

  it("lets WebSockets through", function()
    with_nginx(function(_, url)
      local ws = assert(websocket.connect(url:gsub("^http", "ws") .. "/app/ws"))
      for _, text in ipairs{"one", ("two"):rep(50000), ""} do
        assert(ws:send(text))
        assert.same({text, "text"}, {ws:recv(30)})
      end
      ws:close(1000)
    end, function(req)
      local ws = req:websocket()
      while true do
        local data, kind = ws:recv()
        if not data then return end
        ws:send(data, kind)
      end
    end)
  end)

  it("tells a handler that the client has gone", function()
    local begun, ends = {}, {}
    with_nginx(function(client, url, server)
      rl.on_error(function() end)
      local slow = rl.go(client.get, client, url .. "/app/slow")
      H.eventually("a slow request", function() return begun.slow end)
      slow:cancel()
      H.eventually("its end", function() return #ends == 1 end)
      local res = assert(client:stream("GET", url .. "/app/endless"))
      assert(res:read())
      res:close()
      H.eventually("both ends", function() return #ends == 2 end)
      assert.same({"slow", "endless"}, ends)
      assert.equal(200, client:get(url .. "/app/ok").status)
      rl.on_error(nil)
      assert.is_true(server:stats().live <= 4)
    end, function(req, res)
      local name = req.path:match "[^/]*$"
      if name == "ok" then return res:send(200) end
      begun[name] = true
      rl.finally(function()
        if name == "slow" then rl.sleep(1000) end
        while res:write(("x"):rep(10000)) do rl.sleep(0.001) end
      end, function() ends[#ends + 1] = name end)
    end)
  end)
end)
