-- SPDX-License-Identifier: MIT
-- Requests and tunnels through a proxy.
local rl = require "ringlet"
local H = require "spec.helper"
local S = require "spec.http_script"
local http = require "ringlet.http"
local net = require "ringlet.net"

local fails = S.fails

-- A proxy, and a client that uses it, for fn(client, proxy).
local function through(script, opts, fn)
  local proxy = S.serve(script)
  local all = {proxy = proxy.url}
  for k, v in pairs(opts) do all[k] = v end
  local client = http.client(all)
  fn(client, proxy)
  assert.equal(0, client:stats().busy)
  client:close()
  proxy.stop()
end

H.both("a client with a proxy", function(it)
  it("sends it the whole URL, and the host", function()
    through(S.OK, {}, function(client, proxy)
      assert.equal("http://a.example/b?c#d", client:get("http://a.example/b?c#d").url)
      client:get "http://[2001:DB8::1]:81"
      assert.same({"http://a.example/b?c", "a.example"},
        {proxy.seen[1].target, proxy.seen[1].fields.host})
      assert.same({"http://[2001:db8::1]:81/", "[2001:db8::1]:81"},
        {proxy.seen[2].target, proxy.seen[2].fields.host})
      assert.is_nil(proxy.seen[1].fields["proxy-authorization"])
      assert.equal(1, proxy.connections)
    end)
  end)

  it("has credentials for it, and keeps them apart from those for the host", function()
    local proxy = S.serve(S.OK)
    for _, opts in ipairs{
      {proxy = proxy.url:gsub("//", "//us%%65r:pass@")},
      {proxy = proxy.url, proxy_auth = "user:pass"},
    } do
      local client = http.client(opts)
      client:get("http://a/", {auth = "u:p"})
      local f = proxy.seen[#proxy.seen].fields
      assert.same({"Basic dXNlcjpwYXNz", "Basic dTpw"}, {f["proxy-authorization"], f.authorization})
      client:close()
    end
    proxy.stop()
  end)

  it("goes without it to the hosts of no_proxy", function()
    local direct = S.serve(S.OK)
    local port = direct.addr:match "%d+$"
    for rules, is_direct in pairs{
      ["127.0.0.1"] = true, ["a, 127.0.0.1:" .. port] = true, ["127.0.0.1:1"] = false,
      ["0.0.1"] = true, [".0.0.1"] = true, ["7.0.0.1"] = false, ["*"] = true, [""] = false,
      ["127.0.0.1.a"] = false,
    } do
      through(S.OK, {no_proxy = rules}, function(client, proxy)
        client:get(direct.url)
        assert.equal(is_direct and 0 or 1, #proxy.seen, rules)
      end)
    end
    through(S.OK, {no_proxy = {"LOCALHOST", "x"}}, function(client, proxy)
      client:get("http://localhost:" .. port)
      client:get "http://a.x/"
      client:get "http://ax/"
      assert.equal(1, #proxy.seen)
      assert.equal("http://ax/", proxy.seen[1].target)
    end)
    direct.stop()
  end)

  it("retries, redirects and keeps connections as without it", function()
    local function script(conn, request, s)
      if request.target == "http://a/r" then
        conn:write "HTTP/1.1 302 X\r\nLocation: http://b/\r\nContent-Length: 0\r\n\r\n"
      elseif #s.seen == 3 then
        return true
      else
        conn:write(S.OK)
      end
    end
    through(script, {proxy_auth = "u:p"}, function(client, proxy)
      assert.equal("http://b/", client:get("http://a/r").url)
      assert.equal("ok", client:get("http://c/").body)
      assert.equal("Basic dTpw", proxy.seen[2].fields["proxy-authorization"])
      assert.same({4, 2, 1}, {#proxy.seen, proxy.connections, client:stats().retried})
    end)
  end)
end)

H.both("a tunnel", function(it)
  local function connect(conn, request)
    if request.target:find "^no" then
      conn:write "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"
      return
    end
    local to = assert(net.connect(request.target))
    conn:write "HTTP/1.1 200 Connection established\r\nContent-Length: 99\r\n\r\n"
    local back = rl.go(function()
      for data in function() return to:read() end do conn:write(data) end
      conn:shutdown()
    end)
    for data in function() return conn:read() end do to:write(data) end
    to:shutdown()
    back:join()
    to:close()
    return true
  end

  it("is a connection to where it was to go", function()
    local far = S.serve(S.OK)
    through(connect, {proxy_auth = "u:p"}, function(client, proxy)
      local conn = assert(client:tunnel(far.addr))
      conn:write "GET / HTTP/1.1\r\n\r\n"
      assert.equal(S.OK, conn:read_exactly(#S.OK))
      conn:close()
      H.eventually("the end of both connections", function() return proxy.live == 0 end)
      assert.same({"CONNECT " .. far.addr .. " HTTP/1.1", "Host: " .. far.addr,
        "Proxy-Authorization: Basic dTpw"}, proxy.seen[1].lines)
      assert.equal(0, client:stats().open)
    end)
    far.stop()
  end)

  it("may have bytes of its other end at once", function()
    local function eager(conn)
      conn:write "HTTP/1.1 200 OK\r\n\r\nhello"
      conn:read()
      return true
    end
    through(eager, {}, function(client)
      local conn = assert(client:tunnel "a:1")
      assert.equal("hello", conn:read_exactly(5))
      conn:close()
    end)
  end)

  it("that the proxy refuses is none", function()
    through(connect, {}, function(client)
      local msg = fails("ECONNREFUSED", client:tunnel "no:1")
      assert.is_truthy(msg:find("403 Forbidden", 1, true), msg)
    end)
    for text, code in pairs{["nonsense\r\n"] = "EPROTO", [""] = "EOF", ["HTTP/1.1 2"] = "EPROTO"} do
      through(function(conn) conn:write(text) return true end, {}, function(client)
        fails(code, client:tunnel "a:1")
      end)
    end
  end)

  it("must have a proxy and an address", function()
    local client = http.client()
    H.raises_text("no proxy", client.tunnel, client, "a:1")
    client = http.client{proxy = "http://127.0.0.1:1"}
    H.raises_text("bad address", client.tunnel, client, "a")
    H.raises_text("seconds", client.tunnel, client, "a:1", "x")
    fails("ECONNREFUSED", client:tunnel "a:1")
  end)

  it("that is cancelled, or takes too long, is closed", function()
    local live = 0
    local function silent(conn)
      live = live + 1
      conn:read()
      live = live - 1
      return true
    end
    through(silent, {}, function(client)
      fails("ETIMEDOUT", client:tunnel("a:1", 0.01))
      H.eventually("its end", function() return live == 0 and client:stats().open == 0 end)
      local task = rl.go(client.tunnel, client, "a:1")
      H.eventually("a request", function() return live == 1 end)
      task:cancel()
      assert.is_false((task:join()))
      H.eventually("its end", function() return live == 0 end)
    end)
  end)
end)
