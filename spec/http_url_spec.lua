-- SPDX-License-Identifier: MIT
local url = require "ringlet.http_url"

local function fails(code, v, msg, got)
  assert.same({nil, "string", code}, {v, type(msg), got}, msg)
  return msg
end

describe("url.resolve", function()
  -- RFC 3986 5.4.1 and 5.4.2, all of them.
  local BASE = "http://a/b/c/d;p?q"
  local EXAMPLES = {
    {"g:h", "g:h"}, {"g", "http://a/b/c/g"}, {"./g", "http://a/b/c/g"}, {"g/", "http://a/b/c/g/"},
    {"/g", "http://a/g"}, {"//g", "http://g"}, {"?y", "http://a/b/c/d;p?y"},
    {"g?y", "http://a/b/c/g?y"}, {"#s", "http://a/b/c/d;p?q#s"}, {"g#s", "http://a/b/c/g#s"},
    {"g?y#s", "http://a/b/c/g?y#s"}, {";x", "http://a/b/c/;x"}, {"g;x", "http://a/b/c/g;x"},
    {"g;x?y#s", "http://a/b/c/g;x?y#s"}, {"", "http://a/b/c/d;p?q"}, {".", "http://a/b/c/"},
    {"./", "http://a/b/c/"}, {"..", "http://a/b/"}, {"../", "http://a/b/"},
    {"../g", "http://a/b/g"},
    {"../..", "http://a/"}, {"../../", "http://a/"}, {"../../g", "http://a/g"},
    {"../../../g", "http://a/g"}, {"../../../../g", "http://a/g"}, {"/./g", "http://a/g"},
    {"/../g", "http://a/g"}, {"g.", "http://a/b/c/g."}, {".g", "http://a/b/c/.g"},
    {"g..", "http://a/b/c/g.."}, {"..g", "http://a/b/c/..g"}, {"./../g", "http://a/b/g"},
    {"./g/.", "http://a/b/c/g/"}, {"g/./h", "http://a/b/c/g/h"}, {"g/../h", "http://a/b/c/h"},
    {"g;x=1/./y", "http://a/b/c/g;x=1/y"}, {"g;x=1/../y", "http://a/b/c/y"},
    {"g?y/./x", "http://a/b/c/g?y/./x"}, {"g?y/../x", "http://a/b/c/g?y/../x"},
    {"g#s/./x", "http://a/b/c/g#s/./x"}, {"g#s/../x", "http://a/b/c/g#s/../x"},
    {"http:g", "http:g"},
  }

  for _, example in ipairs(EXAMPLES) do
    it(("takes %q as the RFC does"):format(example[1]), function()
      assert.equal(example[2], url.resolve(BASE, example[1]))
    end)
  end

  it("leaves empty segments as they are", function()
    assert.equal("http://a/b/c/x//y", url.resolve(BASE, "x//y"))
    assert.equal("http://h//x/", url.resolve(BASE, "//h//x/"))
    assert.equal("http://a//", url.resolve("http://a//b", ""):gsub("b$", ""))
  end)

  it("begins at the root of a host without a path", function()
    assert.equal("http://a/g", url.resolve("http://a", "g"))
    assert.equal("http://a?y", url.resolve("http://a", "?y"))
    assert.equal("http://a/?", url.resolve("http://a/b?c", "/?"))
  end)
end)

describe("url.parse", function()
  it("takes a URL apart", function()
    assert.same({
      scheme = "http", user = "a b", password = "c:d", host = "ex-ample.org", port = 8080,
      path = "/p/q", query = "r=s", fragment = "t#",
    }, url.parse "HTTP://a%20b:c:d@Ex-Ample.ORG:8080/p/q?r=s#t#")
  end)

  it("knows what is not said", function()
    assert.same({scheme = "http", host = "a", port = 80, path = "/"}, url.parse "http://a")
    assert.same({scheme = "https", host = "a", port = 443, path = "/", query = "b"},
      url.parse "https://a:?b")
    assert.same({scheme = "http", host = "a", port = 80, path = "/", query = "", fragment = ""},
      url.parse "http://a?#")
    assert.same({scheme = "http", host = "a", port = 80, path = "/", user = "", password = ""},
      url.parse "http://@a")
  end)

  it("knows addresses", function()
    assert.equal("::1", url.parse("http://[::1]:81/").host)
    assert.equal(81, url.parse("http://[::1]:81/").port)
    assert.equal("127.0.0.1", url.parse("http://u@127.0.0.1").host)
  end)

  it("encodes what may not stand where it does, and leaves what is encoded", function()
    local parts = url.parse "http://a/\228 %41\"<>/[x]|?\\^{}%20 `"
    assert.equal("/%E4%20%41%22%3C%3E/%5Bx%5D%7C", parts.path)
    assert.equal("%5C%5E%7B%7D%20%20%60", parts.query)
  end)

  it("refuses what could be read in two ways", function()
    for _, text in ipairs{
      "", "a", "/a", "//a/", "http:/a", "http://", "http:///a", "http://:80", "http://a:b",
      "http://a:0", "http://a:65536", "http://a:-1", "http://a b/", "http://a\\b/", "http://[::1",
      "http://::1/",
      "http://[g]/", "http://a%20/", "http://a/\r\n", "http://a\0", "http://\127/", "http://a:8 0/",
      "http://[::1]x/", "http://x[::1]/", "http://\228/",
    } do
      fails("EINVAL", url.parse(text))
    end
    fails("EPROTONOSUPPORT", url.parse "ftp://a/")
    assert.equal("b", url.parse("http://x:y@z@b/").host)
  end)
end)

describe("url.build and url.authority", function()
  it("put together what parse took apart, without credentials", function()
    for _, text in ipairs{
      "http://a/", "http://a:81/b?c#d", "https://a/", "https://a:80/", "http://[::1]:81/?",
    } do
      assert.equal(text, url.build(url.parse(text)))
    end
    assert.equal("http://a/b", url.build(url.parse "http://u:p@A:80/b"))
    assert.equal("[::1]", url.authority(url.parse "http://[::1]:80"))
    assert.equal("[::1]:80", url.address(url.parse "http://[::1]"))
    assert.equal("a:443", url.address(url.parse "https://a/"))
  end)
end)

describe("percent-encoding", function()
  it("goes there and back for every byte", function()
    for i = 0, 255 do
      local c = string.char(i)
      local text = url.encode(c)
      assert.equal(c, url.decode(text))
      assert.equal(c:find "[%w%-._~]" and c or ("%%%02X"):format(i), text)
    end
    assert.equal("a%2Fb%20c", url.encode "a/b c")
    assert.equal("%zz%4", url.decode "%zz%4")
    assert.equal("/", url.decode "%2f")
  end)

  it("makes queries, by name in order", function()
    local fields = {b = "x y", a = 1, c = {1, 2}, d = true, e = false}
    assert.equal("a=1&b=x%20y&c=1&c=2&d", url.query(fields))
    assert.equal("", url.query{})
    assert.equal("%26=%3D", url.query{["&"] = "="})
    assert.has_error(function() url.query{1} end, nil)
  end)

  it("reads them", function()
    assert.same({a = "1", b = "x y", c = "", d = "e=f", g = " "},
      url.parse_query "a=1&b=x+y&c&d=e=f&&g=%20")
    assert.same({["a b"] = "c"}, url.parse_query "a+b=c")
    assert.same({}, url.parse_query "")
  end)
end)
