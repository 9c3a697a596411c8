-- SPDX-License-Identifier: MIT
local rl = require "ringlet"
local H = require "spec.helper"
local S = require "spec.http_script"
local http = require "ringlet.http"

local HERE = "spec/http_cookies_spec.lua:"

-- A jar after these Set-Cookie fields from a URL.
local function jar_with(from, ...)
  local jar = http.cookies()
  for _, text in ipairs{...} do jar:set(from, text) end
  return jar
end

describe("a jar of cookies", function()
  it("gives a host what it has set", function()
    local jar = jar_with("http://a.org/x", "n=v", " m = w x ; foo; Bar=baz", "empty=")
    assert.equal("n=v; m=w x; empty=", jar:header "http://a.org/y")
    assert.is_nil(jar:header "http://b.org/")
    assert.equal("ringlet.cookies: 3 of at most 3000", tostring(jar))
  end)

  it("keeps a cookie without Domain for its host alone, and one with it for all below", function()
    local jar = jar_with("http://a.org/", "own=1", "all=2; domain=a.org", "dot=3; Domain=.A.org")
    assert.equal("own=1; all=2; dot=3", jar:header "http://a.org/")
    assert.equal("all=2; dot=3", jar:header "http://www.a.org/")
    assert.is_nil(jar:header "http://ba.org/")
    assert.is_nil(jar:header "http://org/")
  end)

  it("takes none for another domain, a top-level one, or an address that is not its own", function()
    local jar = http.cookies()
    assert.is_false(jar:set("http://a.org/", "n=v; Domain=b.org"))
    assert.is_false(jar:set("http://a.org/", "n=v; Domain=www.a.org"))
    assert.is_false(jar:set("http://a.org/", "n=v; Domain=org"))
    assert.is_false(jar:set("http://xa.org/", "n=v; Domain=a.org"))
    assert.is_false(jar:set("http://1.2.3.4/", "n=v; Domain=3.4"))
    assert.is_true(jar:set("http://1.2.3.4/", "n=v; Domain=1.2.3.4"))
    assert.is_true(jar:set("http://localhost/", "n=v; Domain=localhost"))
    assert.is_true(jar:set("http://www.a.org/", "n=v; Domain=a.org"))
    assert.is_nil(jar:header "http://x.localhost/")
    assert.is_nil(jar:header "http://9.1.2.3.4/")
    assert.equal("n=v", jar:header "http://other.a.org/")
  end)

  it("knows paths", function()
    local jar = jar_with("http://a/b/c", "default=1", "root=2; path=/", "deep=3; path=/b/c",
      "relative=4; Path=x", "slash=5; path=/b/")
    local function names(path)
      return (jar:header("http://a" .. path) or ""):gsub("=%d", "")
    end
    assert.equal("root", names "/")
    assert.equal("default; relative; root", names "/b")
    assert.equal("slash; default; relative; root", names "/b/")
    assert.equal("deep; slash; default; relative; root", names "/b/c")
    assert.equal("deep; slash; default; relative; root", names "/b/c/d")
    assert.equal("slash; default; relative; root", names "/b/cd")
    assert.equal("root", names "/bc")
  end)

  it("replaces a cookie of the same name, domain and path, in its place", function()
    local jar = jar_with("http://a/", "x=1", "y=2", "x=3", "x=4; path=/p")
    assert.equal("x=4; x=3; y=2", jar:header "http://a/p")
  end)

  it("sends a secure cookie over TLS alone, and takes it from there alone", function()
    local jar = http.cookies()
    assert.is_false(jar:set("http://a/", "s=1; Secure"))
    assert.is_true(jar:set("https://a/", "s=1; secure"))
    assert.is_nil(jar:header "http://a/")
    assert.equal("s=1", jar:header "https://a/")
  end)

  it("keeps the promises of prefixes", function()
    local jar = http.cookies()
    for _, text in ipairs{
      "__Secure-a=1", "__Host-a=1; Secure", "__Host-a=1; Secure; Path=/; Domain=a.org",
      "__host-a=1; Path=/",
    } do
      assert.is_false(jar:set("https://a.org/x/y", text), text)
    end
    assert.is_true(jar:set("https://a.org/x/", "__Secure-a=1; Secure"))
    assert.is_true(jar:set("https://a.org/x/", "__Host-a=1; Secure; Path=/"))
  end)

  it("ignores what is no cookie", function()
    local jar = http.cookies()
    for _, text in ipairs{"", "n", "=v", ";n=v", "n=v\1", "n=" .. ("x"):rep(4096)} do
      assert.is_false(jar:set("http://a/", text), text)
    end
    assert.is_true(jar:set("http://a/", "n=" .. ("x"):rep(4095)))
  end)

  it("says what it has", function()
    local from = rl.time()
    local jar = jar_with("http://a.org/x/", "n=v; HttpOnly",
      "m=w; Domain=a.org; Max-Age=1000; Path=/")
    local list = jar:list()
    assert.is_true(list[2].expires > from + 999 and list[2].expires < rl.time() + 1001)
    list[2].expires = nil
    assert.same({
      {name = "n", value = "v", domain = "a.org", path = "/x", host_only = true, secure = false,
        http_only = true, expires = math.huge},
      {name = "m", value = "w", domain = "a.org", path = "/", host_only = false, secure = false,
        http_only = false},
    }, list)
    jar:clear()
    assert.same({}, jar:list())
    assert.is_nil(jar:header "http://a.org/x/")
  end)

  it("has limits: the least recently used goes", function()
    local jar = http.cookies{max = 4, per_domain = 2}
    for i = 1, 2 do jar:set("http://a/", ("a%d=1"):format(i)) end
    for i = 1, 2 do jar:set("http://b/" .. i, ("b%d=1"):format(i)) end
    jar:header "http://a/"
    jar:set("http://b/", "b3=1")
    assert.equal("b2=1; b3=1", jar:header "http://b/")
    jar:set("http://c/", "c=1")
    assert.is_nil(jar:header("http://a/"):find "a1")
    assert.same(4, #jar:list())
    H.raises_text("unknown option", http.cookies, {x = 1})
    H.raises_text("at least 1", http.cookies, {max = 0})
  end)

  it("must be given URLs", function()
    local jar = http.cookies()
    for _, fn in ipairs{
      function() jar:set("a", "n=v") end, function() jar:header(1) end,
      function() jar:header "" end,
    } do
      assert.is_truthy(H.raises(fn):find(HERE, 1, true))
    end
  end)
end)

H.sim("a jar of cookies in time", function(it)
  -- The sim backend's wall clock begins at 2020-01-01 00:00:00.
  local function date(text)
    local jar = http.cookies()
    jar:set("http://a/", "n=v; expires=" .. text)
    return jar:list()[1] and jar:list()[1].expires
  end

  it("reads the dates that there are", function()
    local at = 1604649577 -- 2020-11-06 07:59:37
    for _, text in ipairs{
      "Fri, 06 Nov 2020 07:59:37 GMT", "Friday, 06-Nov-20 07:59:37 GMT", "Fri Nov  6 07:59:37 2020",
      "6 november 2020 7:59:37", "07:59:37 2020 nov 06 junk", "Fri, 06-Nov-2020 07:59:37 +0100",
    } do
      assert.equal(at, date(text), text)
    end
    assert.equal(3093508780, date "Wed, 11 Jan 2068 11:59:40 GMT")
    assert.equal(4107542400, date "Mon, 01 Mar 2100 00:00:00 GMT")
    assert.equal(1709251199, date "Thu, 29-Feb-24 23:59:59 GMT")
  end)

  it("takes what is no date for none, and an old date for the end", function()
    for _, text in ipairs{
      "", "x", "Fri, 06 Nov 2020", "Fri, 32 Nov 2020 07:59:37 GMT", "Fri, 06 Nov 2020 24:00:00 GMT",
      "Fri, 06 Nov 1600 00:00:00 GMT", "Fri, 06 Foo 2020 00:00:00 GMT",
    } do
      assert.equal(math.huge, date(text), text)
    end
    assert.is_nil(date "Thu, 01 Jan 1970 00:00:00 GMT")
    assert.is_nil(date "Fri, 06 Nov 99 00:00:00 GMT")
    assert.is_truthy(date "Fri, 06 Nov 69 00:00:00 GMT")
  end)

  it("forgets a cookie when its time is over, Max-Age before Expires", function()
    local soon = "; expires=Wed, 01 Jan 2020 00:00:05 GMT"
    local jar = jar_with("http://a/", "age=1; Max-Age=10", "both=1" .. soon,
      "last=1; max-age=20" .. soon, "odd=1; max-age=x")
    rl.sleep(4.9)
    assert.equal("age=1; both=1; last=1; odd=1", jar:header "http://a/")
    rl.sleep(0.1)
    assert.equal("age=1; last=1; odd=1", jar:header "http://a/")
    rl.sleep(5)
    assert.equal("last=1; odd=1", jar:header "http://a/")
    jar:set("http://a/", "odd=; max-age=0")
    jar:set("http://a/", "last=; expires=Thu, 01 Jan 1970 00:00:00 GMT")
    assert.is_nil(jar:header "http://a/")
  end)
end)

H.both("a client with a jar", function(it)
  it("takes cookies along, on redirects as well, and lets a field of its user be", function()
    local function script(conn, _, s)
      if #s.seen == 1 then
        conn:write("HTTP/1.1 302 Found\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2; Path=/x\r\n"
          .. "Location: /x/y\r\nContent-Length: 0\r\n\r\n")
      else
        conn:write(S.OK)
      end
    end
    S.with(script, {cookies = http.cookies()}, function(client, s)
      client:get(s.url)
      client:get(s.url)
      client:get(s.url, {headers = {Cookie = "mine"}})
      assert.is_nil(s.seen[1].fields.cookie)
      assert.equal("b=2; a=1", s.seen[2].fields.cookie)
      assert.equal("a=1", s.seen[3].fields.cookie)
      assert.equal("mine", s.seen[4].fields.cookie)
    end)
  end)

  it("without one it ignores them", function()
    S.with(S.response("", "Set-Cookie: a=1\r\n"), function(client, s)
      client:get(s.url)
      client:get(s.url)
      assert.is_nil(s.seen[2].fields.cookie)
    end)
  end)
end)
