-- SPDX-License-Identifier: MIT
-- HTTP with nginx at the other end: what one of the most used servers makes of our requests.
local rl = require "ringlet"
local H = require "spec.helper"
local http = require "ringlet.http"
local net = require "ringlet.net"
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
  server {
    listen %ADDR%;
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

local NGINX = "timeout -s KILL 60 nginx -p %s -c %s/conf -e %s/error.log >/dev/null 2>&1 & echo $!"

local function write_file(path, text)
  local f = assert(io.open(path, "wb"))
  f:write(text)
  f:close()
end

local function answers(addr)
  local conn = net.connect(addr, {timeout = 1})
  if conn then conn:close() end
  return conn ~= nil
end

-- Start nginx with a directory of its own: that, its address and its process.
local function start_nginx()
  local listener = assert(net.listen "127.0.0.1:0")
  local addr = listener:addr()
  listener:close()
  local dir = output_of "mktemp -d":match "%S+"
  write_file(dir .. "/conf", (CONF:gsub("%%(%u+)%%", {DIR = dir, ADDR = addr})))
  write_file(dir .. "/large", wire.pattern(3000000))
  os.execute(("chmod 755 %s && mkdir %s/put"):format(dir, dir))
  local pid = output_of(NGINX:format(dir, dir, dir)):match "%d+"
  for _ = 1, 200 do
    if answers(addr) then return addr, pid, dir end
    rl.sleep(0.05)
  end
end

-- fn(client, url) with nginx running, in a run.
local function with_nginx(fn)
  if output_of "command -v nginx" == "" then
    return pending "nginx is not installed"
  elseif H.missing.uring then
    return pending(H.missing.uring)
  end
  local pid, dir
  finally(function()
    if pid then os.execute("kill " .. pid) end
    if dir then os.execute("rm -rf " .. dir) end
  end)
  rl.run(function()
    local addr
    addr, pid, dir = start_nginx()
    assert.is_truthy(addr, "nginx does not answer")
    local client = http.client()
    fn(client, "http://" .. addr)
    assert.equal(0, client:stats().busy)
    client:close()
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
