-- SPDX-License-Identifier: MIT
-- Where responses send a client, and with what.
local H = require "spec.helper"
local S = require "spec.http_script"
local http = require "ringlet.http"

local fails = S.fails

local function to(status, location, body)
  return ("HTTP/1.1 %d X\r\n%sContent-Length: %d\r\n\r\n%s"):format(
    status, location and "Location: " .. location .. "\r\n" or "", #(body or ""), body or "")
end

-- A server whose paths are responses; "/" is OK.
local function paths(map)
  return function(conn, request)
    conn:write(map[request.target:gsub("%?.*", "")] or S.OK)
  end
end

H.both("a redirect", function(it)
  -- Status, method, whether it has a body -> the method that follows, nil: it is the response.
  local TABLE = {
    {301, "GET", "GET"}, {301, "HEAD", "HEAD"}, {301, "POST", "GET"}, {301, "PUT", "PUT"},
    {302, "GET", "GET"}, {302, "HEAD", "HEAD"}, {302, "POST", "GET"}, {302, "DELETE", "DELETE"},
    {303, "GET", "GET"}, {303, "HEAD", "HEAD"}, {303, "POST", "GET"}, {303, "PUT", "GET"},
    {303, "DELETE", "GET"},
    {307, "GET", "GET"}, {307, "POST", "POST"}, {307, "PUT", "PUT"},
    {308, "GET", "GET"}, {308, "POST", "POST"}, {308, "PATCH", "PATCH"},
    {300, "GET"}, {304, "GET"}, {305, "GET"}, {306, "GET"}, {309, "GET"}, {399, "GET"},
  }
  for _, case in ipairs(TABLE) do
    local status, method, after = (table.unpack or unpack)(case) -- luacheck: ignore 113
    it(("%d of %s is followed by %s"):format(status, method, after or "nothing"), function()
      S.with(paths{["/a"] = to(status, "/b")}, function(client, s)
        local body = method ~= "GET" and method ~= "HEAD" and "body" or nil
        local res = assert(client:request(method, s.url .. "/a", {
          body = body, headers = {["Content-Type"] = "text/x", ["X-Own"] = "1"},
        }))
        if not after then
          assert.same({status, 1}, {res.status, #s.seen})
          return
        end
        assert.same({200, s.url .. "/b"}, {res.status, res.url})
        local last = s.seen[2]
        assert.same({after, "/b", "1"}, {last.method, last.target, last.fields["x-own"]})
        assert.equal(after == method and body or nil, last.body)
        assert.equal(after == method and "text/x" or nil, last.fields["content-type"])
        assert.equal(1, s.connections)
      end)
    end)
  end

  it("without a Location is the response", function()
    S.with(to(302, nil, "body"), function(client, s)
      local res = client:get(s.url)
      assert.same({302, "body"}, {res.status, res.body})
    end)
  end)

  it("is the response when none are wanted", function()
    S.with(to(302, "/x", "body"), {redirects = false}, function(client, s)
      assert.same({302, "/x"}, {client:get(s.url).status, client:get(s.url):header "location"})
      fails("ELOOP", client:get(s.url, {redirects = true}))
    end)
    S.with(to(302, "/x", "body"), function(client, s)
      assert.equal("body", client:get(s.url, {redirects = 0}).body)
      assert.equal("body", client:get(s.url, {redirects = false}).body)
    end)
  end)

  it("is taken as a reference to the URL that it is of, whose fragment it has", function()
    local map = {["/d/a"] = to(302, "../b?c"), ["/b"] = to(302, "d#own"), ["/p q"] = to(302, "/")}
    S.with(paths(map), function(client, s)
      local res = client:get(s.url .. "/d/a#frag")
      assert.same({"/d/a", "/b?c", "/d"}, {s.seen[1].target, s.seen[2].target, s.seen[3].target})
      assert.equal(s.url .. "/d#own", res.url)
    end)
    S.with(paths{["/a"] = to(302, "/b c")}, function(client, s)
      assert.equal(s.url .. "/b%20c#f", client:get(s.url .. "/a#f").url)
      assert.equal("/b%20c", s.seen[2].target)
    end)
  end)

  it("is followed ten times, and as often as was said", function()
    local function count(conn, request)
      local n = tonumber(request.target:sub(2))
      conn:write(n == 0 and S.OK or to(302, "/" .. n - 1))
    end
    S.with(count, function(client, s)
      assert.equal("ok", client:get(s.url .. "/10").body)
      local msg = fails("ELOOP", client:get(s.url .. "/11"))
      assert.is_truthy(msg:find("more than 10 redirects", 1, true), msg)
      assert.equal("ok", client:get(s.url .. "/3", {redirects = 3}).body)
      fails("ELOOP", client:get(s.url .. "/4", {redirects = 3}))
      assert.equal(1, s.connections)
    end)
  end)

  it("in a circle is found at once, unless cookies may end it", function()
    local map = {["/a"] = to(302, "/b"), ["/b"] = to(302, "/a")}
    S.with(paths(map), function(client, s)
      local msg = fails("ELOOP", client:get(s.url .. "/a"))
      assert.is_truthy(msg:find("circle", 1, true), msg)
      assert.equal(3, #s.seen)
    end)
    local function door(conn, request)
      if request.fields.cookie == "in=1" then
        conn:write(S.OK)
      else
        conn:write("HTTP/1.1 302 X\r\nLocation: /\r\nSet-Cookie: in=1\r\nContent-Length: 0\r\n\r\n")
      end
    end
    S.with(door, {cookies = http.cookies()}, function(client, s)
      assert.equal("ok", client:get(s.url).body)
    end)
    S.with(door, function(client, s)
      fails("ELOOP", client:get(s.url))
    end)
  end)

  it("to what is not ours fails, and says so", function()
    for location, code in pairs{
      ["https://a/"] = "EPROTONOSUPPORT", ["ftp://a/"] = "EPROTONOSUPPORT",
      ["http://a:b/"] = "EINVAL", ["//"] = "EINVAL",
    } do
      S.with(to(302, location), function(client, s)
        fails(code, client:get(s.url))
        assert.equal(0, client:stats().busy)
      end)
    end
  end)

  it("takes credentials and cookies along to the same origin only", function()
    local other = S.serve(S.OK)
    S.with(paths{["/away"] = to(307, other.url .. "/x"), ["/here"] = to(307, "/y")},
      {headers = {Authorization = "Bearer all", ["X-All"] = "1"}},
      function(client, s)
        local opts = {headers = {Cookie = "a=b", ["X-Own"] = "2", ["Proxy-Authorization"] = "p"}}
        client:get(s.url .. "/here", opts)
        local f = s.seen[2].fields
        assert.same({"Bearer all", "a=b", "p", "2"},
          {f.authorization, f.cookie, f["proxy-authorization"], f["x-own"]})
        client:get(s.url .. "/away", opts)
        f = other.seen[1].fields
        assert.same({nil, nil, nil, "2", "1"},
          {f.authorization, f.cookie, f["proxy-authorization"], f["x-own"], f["x-all"]})
        assert.equal(other.addr, f.host)
      end)
    S.with(paths{["/away"] = to(302, other.url), ["/here"] = to(302, "/y")}, function(client, s)
      for _, with in ipairs{"opts", "url"} do
        local base = with == "url" and s.url:gsub("//", "//u:p@") or s.url
        local opts = {auth = with == "opts" and "u:p" or nil}
        assert.equal("ok", client:get(base .. "/here", opts).body)
        assert.equal("Basic dTpw", s.seen[#s.seen].fields.authorization)
        client:get(base .. "/away", opts)
        assert.is_nil(other.seen[#other.seen].fields.authorization)
      end
    end)
    other.stop()
  end)

  it("that would need a body again that a function gave is not followed", function()
    S.with(paths{["/7"] = to(307, "/"), ["/3"] = to(303, "/")}, function(client, s)
      local function body()
        local done = false
        return function()
          if not done then
            done = true
            return "x"
          end
        end
      end
      assert.equal(307, client:request("PUT", s.url .. "/7", {body = body()}).status)
      assert.equal(200, client:request("PUT", s.url .. "/3", {body = body()}).status)
      assert.is_nil(s.seen[3].fields["transfer-encoding"])
    end)
  end)

  it("whose body is long or broken is followed on another connection", function()
    local map = {
      ["/long"] = to(302, "/", ("x"):rep(100000)), ["/short"] = to(302, "/", ("x"):rep(1000)),
      ["/broken"] = "HTTP/1.1 302 X\r\nLocation: /\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
    }
    S.with(paths(map), function(client, s)
      assert.equal("ok", client:get(s.url .. "/short").body)
      assert.equal(1, s.connections)
      assert.equal("ok", client:get(s.url .. "/long").body)
      assert.equal(2, s.connections)
      assert.equal("ok", client:get(s.url .. "/broken").body)
      assert.equal(3, s.connections)
    end)
  end)

  it("is followed for a stream as well", function()
    S.with(paths{["/a"] = to(302, "/")}, function(client, s)
      assert.equal("ok", client:stream("GET", s.url .. "/a"):read_all())
    end)
  end)
end)

H.sim("a redirect in time", function(it)
  it("has the time of the whole request", function()
    local rl = require "ringlet"
    local function script(conn, request)
      rl.sleep(2)
      conn:write(to(302, request.target .. "x"))
    end
    S.with(script, function(client, s)
      local began = rl.now()
      fails("ETIMEDOUT", client:get(s.url, {timeout = 5}))
      assert.is_true(rl.now() - began <= 5 + H.TICK)
      assert.equal(3, #s.seen)
    end)
  end)
end)
