-- SPDX-License-Identifier: MIT
-- Files below a directory, over HTTP.
local H = require "spec.helper"
local http = require "ringlet.http"
local net = require "ringlet.net"
local rl = require "ringlet"

-- ---- a tree of files ----------------------------------------------------------------------------

local MTIME = 1559390400 -- before the clock of the sim begins
local DATE = "Sat, 01 Jun 2019 12:00:00 GMT"
local BEFORE, AFTER = "Sat, 01 Jun 2019 11:59:59 GMT", "Sat, 01 Jun 2019 12:00:01 GMT"
local BIG = 3 * 1024 * 1024 + 17

local top -- has a directory `www`, and beside it what nobody may see
local big

local function write(name, text, mtime)
  local path = top .. "/" .. name
  local f = assert(io.open(path, "wb"))
  f:write(text)
  f:close()
  assert(os.execute(("touch -d @%d '%s'"):format(mtime or MTIME, path)))
end

local function shell(command)
  assert(os.execute("cd '" .. top .. "' && " .. command))
end

local function bytes(n)
  local list, x = {}, 12345
  for i = 1, n / 8 do
    x = (x * 16807) % 2147483647
    list[i] = ("%08x"):format(x)
  end
  return table.concat(list) .. ("z"):rep(n % 8)
end

setup(function()
  top = os.tmpname()
  os.remove(top)
  assert(os.execute("mkdir -p '" .. top .. "/www/sub/deep' '" .. top .. "/www/empty'"))
  big = bytes(BIG)
  write("secret.txt", "secret")
  write("www/index.html", "<p>top</p>")
  write("www/a.txt", "0123456789")
  write("www/none", "")
  write("www/sub/index.html", "<p>sub</p>")
  write("www/sub/b.css", "b{}")
  write("www/sub/deep/c.JPEG", "c")
  write("www/big.bin", big)
  write("www/.hidden", "hidden")
  write("www/sp ace é.txt", "odd")
  write("www/..name", "dots")
  write("www/js.js", "plain()")
  write("www/js.js.gz", "packed")
  write("www/lone.gz", "lone")
  shell [[cd www && ln -s ../secret.txt out.txt && ln -s .. up && ln -s /etc etc &&
    ln -s a.txt in.txt && ln -s loop loop && ln -s sub/../a.txt in2.txt && mkfifo fifo &&
    mkdir -p .git && echo x > .git/config]]
  write("www/back\\slash", "back")
end)

teardown(function()
  os.execute("rm -r '" .. top .. "'")
end)

-- ---- asking -------------------------------------------------------------------------------------

-- The parts of an answer: {status=, body=, name in lower case = value}.
local function parse(text)
  local head, body = text:match "^(.-)\r\n\r\n(.*)$"
  if not head then
    return {status = 0, text = text}
  end
  local answer = {status = tonumber(head:match "^HTTP/1.1 (%d+)"), body = body}
  for name, value in head:gmatch "\r\n([^:]+): ([^\r]*)" do
    answer[name:lower()] = value
  end
  return answer
end

local function fetch(server, target, fields, method)
  local conn = assert(net.connect(server:addr()))
  conn:write(method or "GET", " ", target, " HTTP/1.1\r\nHost: a\r\nConnection: close\r\n",
    fields or "", "\r\n")
  local answer = parse(assert(conn:read_all(8 * 1024 * 1024)))
  conn:close()
  return answer
end

local function serve(opts, handler)
  return assert(http.serve("127.0.0.1:0", handler or http.static(top .. "/www", opts)))
end

-- How many descriptors of this process are files below the tree, but for the directory itself.
local function open_files()
  local p = io.popen("ls -l /proc/$PPID/fd 2>/dev/null")
  local n = 0
  for line in p:lines() do
    if line:find(top .. "/www/", 1, true) then n = n + 1 end
  end
  p:close()
  return n
end

local function await_open_files(n)
  H.collect()
  H.eventually(n .. " open files", function() return open_files() == n end)
end

-- On each backend, and on one where nothing is in memory and every wait is odd.
local function everywhere(name, fn)
  H.both(name, fn)
  describe("with files that are not in memory:", function()
    H.sim(name, function(it)
      fn(function(what, test)
        it(what, test, {faults = "cold_file=0.6,short_write=0.2,delay=0.1"})
      end)
    end)
  end)
end

-- ---- what is served -----------------------------------------------------------------------------

everywhere("http.static", function(it)
  it("serves files", function()
    local server = serve()
    local got = fetch(server, "/a.txt")
    assert.equal(200, got.status)
    assert.equal("0123456789", got.body)
    assert.equal("10", got["content-length"])
    assert.equal("text/plain; charset=utf-8", got["content-type"])
    assert.equal(DATE, got["last-modified"])
    assert.equal("bytes", got["accept-ranges"])
    assert.matches('^"%x+"$', got.etag)
    assert.is_nil(got["cache-control"])
    assert.is_nil(got.vary)
    local again = fetch(server, "/a.txt?x=1")
    assert.equal(got.etag, again.etag)
    assert.equal(got.body, again.body)
    server:stop(1)
  end)

  it("answers HEAD without a body", function()
    local server = serve()
    local got, head = fetch(server, "/a.txt"), fetch(server, "/a.txt", "", "HEAD")
    got.body, got.date, head.date = "", nil, nil
    assert.same(got, head)
    server:stop(1)
  end)

  it("serves large and empty files, and their neighbours on the connection", function()
    local server = serve()
    assert.is_true(fetch(server, "/big.bin").body == big)
    local got = fetch(server, "/none")
    assert.equal("0", got["content-length"])
    assert.equal("", got.body)
    local conn = assert(net.connect(server:addr()))
    local get = "GET %s HTTP/1.1\r\nHost: a\r\n%s\r\n"
    conn:write(get:format("/a.txt", ""), get:format("/big.bin", ""), get:format("/none", ""),
      get:format("/big.bin", "Range: bytes=-5\r\n"), get:format("/a.txt", "Connection: close\r\n"))
    local all = assert(conn:read_all(8 * 1024 * 1024))
    local list = {}
    for length in all:gmatch "\r\nContent%-Length: (%d+)\r\n" do
      list[#list + 1] = tonumber(length)
    end
    assert.same({10, BIG, 0, 5, 10}, list)
    local at = all:find(big:sub(1, 100), 1, true)
    assert.is_true(all:sub(at, at + BIG - 1) == big)
    conn:close()
    server:stop(1)
  end)

  it("knows types by the extension", function()
    local server = serve{types = {css = "text/x-mine", bin = "application/x-bin"},
      default_type = "text/x-other"}
    assert.equal("text/x-mine", fetch(server, "/sub/b.css")["content-type"])
    assert.equal("application/x-bin", fetch(server, "/big.bin")["content-type"])
    assert.equal("image/jpeg", fetch(server, "/sub/deep/c.JPEG")["content-type"])
    assert.equal("text/html; charset=utf-8", fetch(server, "/")["content-type"])
    assert.equal("text/x-other", fetch(server, "/none")["content-type"])
    server:stop(1)
    server = serve()
    assert.equal("application/octet-stream", fetch(server, "/none")["content-type"])
    server:stop(1)
  end)

  it("serves directories by their index, behind a slash", function()
    local server = serve()
    assert.equal("<p>top</p>", fetch(server, "/").body)
    assert.equal("<p>sub</p>", fetch(server, "/sub/").body)
    local got = fetch(server, "/sub?a=1&b")
    assert.equal(308, got.status)
    assert.equal("/sub/?a=1&b", got.location)
    assert.equal(308, fetch(server, "/sub/deep").status)
    assert.equal(404, fetch(server, "/sub/deep/").status)
    assert.equal(404, fetch(server, "/empty/").status)
    assert.equal(404, fetch(server, "/a.txt/").status)
    server:stop(1)
    server = serve{index = "b.css"}
    assert.equal("b{}", fetch(server, "/sub/").body)
    server:stop(1)
    server = serve{index = false}
    assert.equal(404, fetch(server, "/sub/").status)
    server:stop(1)
  end)

  it("decodes names once", function()
    local server = serve{dotfiles = true}
    assert.equal("odd", fetch(server, "/sp%20ace%20%c3%a9.txt").body)
    assert.equal("0123456789", fetch(server, "/%61%2Etxt").body)
    assert.equal("b{}", fetch(server, "/s%75b/b.css").body)
    assert.equal("dots", fetch(server, "/..name").body)
    assert.equal(404, fetch(server, "/sub/../a.txt").status)
    assert.equal(404, fetch(server, "/sub/%2e%2e/a.txt").status)
    assert.equal("hidden", fetch(server, "/.hidden").body)
    assert.equal(404, fetch(server, "/%2561.txt").status)
    server:stop(1)
  end)

  it("follows links inside and refuses what is no file", function()
    local server = serve()
    assert.equal("0123456789", fetch(server, "/in.txt").body)
    assert.equal("0123456789", fetch(server, "/in2.txt").body)
    for _, path in ipairs{"/out.txt", "/up/secret.txt", "/etc/passwd", "/loop", "/fifo", "/nix",
      "/a.txt/b", "/" .. ("x"):rep(300)} do
      assert.equal(404, fetch(server, path).status, path)
    end
    server:stop(1)
  end)

  it("refuses other methods, and says which there are", function()
    local server = serve()
    for _, method in ipairs{"POST", "PUT", "DELETE", "OPTIONS"} do
      local got = fetch(server, "/a.txt", "", method)
      assert.equal(405, got.status)
      assert.equal("GET, HEAD", got.allow)
    end
    server:stop(1)
  end)

  it("sends what is packed to whoever takes that", function()
    local server = serve{gzip = true, cache_control = "max-age=60"}
    local plain = fetch(server, "/js.js")
    assert.equal("plain()", plain.body)
    assert.equal("Accept-Encoding", plain.vary)
    assert.equal("max-age=60", plain["cache-control"])
    local got = fetch(server, "/js.js", "Accept-Encoding: br, gzip;q=0.5\r\n")
    assert.equal("packed", got.body)
    assert.equal("gzip", got["content-encoding"])
    assert.equal("text/javascript; charset=utf-8", got["content-type"])
    assert.not_equal(plain.etag, got.etag)
    for value, packed in pairs{["*"] = true, ["X-GZIP"] = true, ["gzip;q=0"] = false,
      ["br"] = false, ["*;q=0"] = false, ["gzip;q=0, *"] = false, ["*;q=0, gzip"] = true,
      ["gzip;q=0.000"] = false, ["gzip ; q=1"] = true, [""] = false} do
      got = fetch(server, "/js.js", "Accept-Encoding: " .. value .. "\r\n")
      assert.equal(packed and "packed" or "plain()", got.body, value)
    end
    got = fetch(server, "/a.txt", "Accept-Encoding: gzip\r\n")
    assert.equal("0123456789", got.body)
    assert.is_nil(got["content-encoding"])
    assert.equal(404, fetch(server, "/lone", "Accept-Encoding: gzip\r\n").status)
    server:stop(1)
  end)
end)

-- ---- no way out ---------------------------------------------------------------------------------

local ESCAPES = {
  "/../secret.txt", "/sub/../../secret.txt", "/sub/../a.txt", "/./a.txt", "/sub/./b.css", "/..",
  "/.", "/../", "/./", "/sub/..", "/sub/../", "/...", "/.../secret.txt", "/%2e%2e/secret.txt",
  "/%2E%2E/secret.txt", "/.%2e/secret.txt", "/%2e./secret.txt", "/%2e%2e%2fsecret.txt",
  "/..%2fsecret.txt", "/..%2Fsecret.txt", "/sub%2f..%2f..%2fsecret.txt", "/sub%2fb.css",
  "/%2e/a.txt", "/%2fetc%2fpasswd", "/%2Fetc/passwd", "//etc/passwd", "///etc/passwd",
  "/sub//b.css", "//a.txt", "/a.txt//", "/sub//", "/..%5csecret.txt", "/..\\secret.txt",
  "/sub\\b.css", "/%5c..%5csecret.txt", "/back\\slash", "/back%5cslash", "/a.txt%00",
  "/a.txt%00.html", "/%00", "/sub%00/b.css", "/..%00/secret.txt", "/%252e%252e/secret.txt",
  "/%25%32%65%25%32%65/secret.txt", "/..%252fsecret.txt", "/%c0%ae%c0%ae/secret.txt",
  "/%c0%ae./secret.txt", "/..%c0%afsecret.txt", "/%e0%80%ae%e0%80%ae/secret.txt",
  "/%uff0e%uff0e/secret.txt", "/%u002e%u002e/secret.txt", "/..;/secret.txt", "/.;/a.txt",
  "/up/secret.txt", "/up/www/a.txt", "/up/", "/up", "/out.txt", "/etc/passwd", "/etc/",
  "/sub/up/secret.txt", "/.hidden", "/%2ehidden", "/.git/config", "/%2egit/config", "/.git/",
  "/sub/.%2e/%2e./secret.txt", "/..name", "/ /../../secret.txt", "/%20/../secret.txt",
  "/C:/secret.txt", "/C:%5csecret.txt", "/file:///etc/passwd", "/http://a/b", "/~root/.profile",
  "/proc/self/environ", "/dev/null", "/loop", "/loop/a", "/fifo", "/%", "/%2", "/%zz", "/a.txt%",
  "/%2e%2e%2f%2e%2e%2f%2e%2e%2fetc%2fpasswd", "/" .. ("../"):rep(30) .. "etc/passwd",
  "/" .. ("%2e%2e/"):rep(30) .. "etc/passwd", "/" .. ("sub/../"):rep(30) .. "a.txt",
}

everywhere("a path that tries to leave the directory", function(it)
  it("finds nothing", function()
    assert.is_true(#ESCAPES >= 60)
    local server = serve()
    local router = http.router{slash = "strict"}
    router:mount("/m", http.static(top .. "/www"))
    local mounted = serve(nil, router)
    for _, path in ipairs(ESCAPES) do
      local got = fetch(server, (path:gsub(" ", "%%20")))
      assert.is_true(got.status == 404 or got.status == 400, path .. " is " .. got.status)
      got = fetch(mounted, "/m" .. path:gsub(" ", "%%20"))
      assert.is_true(got.status == 404 or got.status == 400, "/m" .. path .. " is " .. got.status)
    end
    assert.equal(404, fetch(mounted, "//m/a.txt").status)
    assert.equal("0123456789", fetch(mounted, "/m/a.txt").body)
    assert.equal("/m/sub/", fetch(mounted, "/m/sub").location)
    server:stop(1)
    mounted:stop(1)
  end)
end)

-- ---- conditions and ranges ----------------------------------------------------------------------

-- Fields, where TAG stands for the file's, and the status. RFC 9110 13.2.2.
local CONDITIONS = {
  {"If-Match: *", 200}, {"If-Match: TAG", 200}, {'If-Match: "x"', 412}, {'If-Match: "x", TAG', 200},
  {'If-Match: "a,b",TAG', 200}, {"If-Match: W/TAG", 412}, {"If-Match: nonsense", 412},
  {"If-None-Match: *", 304}, {"If-None-Match: TAG", 304}, {'If-None-Match: "x"', 200},
  {'If-None-Match: "x", "y" , TAG', 304}, {"If-None-Match: W/TAG", 304},
  {'If-None-Match: W/"x"', 200}, {"If-None-Match: nonsense", 200},
  {"If-Modified-Since: " .. DATE, 304}, {"If-Modified-Since: " .. AFTER, 304},
  {"If-Modified-Since: " .. BEFORE, 200}, {"If-Modified-Since: nonsense", 200},
  {"If-Modified-Since: Saturday, 01-Jun-19 12:00:00 GMT", 304},
  {"If-Modified-Since: Sat Jun  1 11:59:59 2019", 200},
  {"If-Unmodified-Since: " .. DATE, 200}, {"If-Unmodified-Since: " .. AFTER, 200},
  {"If-Unmodified-Since: " .. BEFORE, 412}, {"If-Unmodified-Since: nonsense", 200},
  -- If-None-Match comes before If-Modified-Since, If-Match before If-Unmodified-Since.
  {'If-None-Match: "x"\r\nIf-Modified-Since: ' .. AFTER, 200},
  {"If-None-Match: TAG\r\nIf-Modified-Since: " .. BEFORE, 304},
  {"If-Match: TAG\r\nIf-Unmodified-Since: " .. BEFORE, 200},
  {'If-Match: "x"\r\nIf-Unmodified-Since: ' .. AFTER, 412},
  {"If-Match: TAG\r\nIf-None-Match: TAG", 304}, {'If-Match: "x"\r\nIf-None-Match: TAG', 412},
  {"If-Unmodified-Since: " .. BEFORE .. "\r\nIf-Modified-Since: " .. DATE, 412},
  -- Then ranges.
  {"If-None-Match: TAG\r\nRange: bytes=0-1", 304}, {'If-Match: "x"\r\nRange: bytes=0-1', 412},
  {"If-Match: TAG\r\nRange: bytes=0-1", 206}, {"If-Match: TAG\r\nRange: bytes=50-", 416},
}

-- Range, and the bytes it gives of "0123456789"; true: all, with status 200; false: 416.
local RANGES = {
  {"bytes=0-0", "0"}, {"bytes=0-9", "0123456789"}, {"bytes=2-4", "234"}, {"bytes=9-9", "9"},
  {"bytes=5-", "56789"}, {"bytes=0-", "0123456789"}, {"bytes=9-", "9"}, {"bytes=10-", false},
  {"bytes=-1", "9"}, {"bytes=-3", "789"}, {"bytes=-10", "0123456789"}, {"bytes=-11", "0123456789"},
  {"bytes=-0", false}, {"bytes=8-100", "89"}, {"bytes=10-20", false}, {"bytes=4-2", true},
  {"bytes=", true}, {"bytes=-", true}, {"bytes=a-b", true}, {"bytes=1", true}, {"bytes", true},
  {"bytes=1-2-3", true}, {"bytes=--1", true}, {"bytes=+1-2", true}, {"bytes=0x1-2", true},
  {"items=0-1", true}, {"BYTES=1-2", "12"}, {"bytes= 1-2 ", "12"}, {"bytes=1 -2", true},
  {"bytes=0-1,1-3", "0123"}, {"bytes=0-1,2-3", "0123"}, {"bytes=3-4,0-3", "01234"},
  {"bytes=0-1,3-4", true}, {"bytes=0-1,-1", true}, {"bytes=5-,-2", "56789"},
  {"bytes=0-1,20-30", "01"}, {"bytes=20-,30-", false}, {"bytes=20-,x", true}, {"bytes=,0-1,", "01"},
  {"bytes=0-99999999999999999999", "0123456789"}, {"bytes=99999999999999999999-", false},
  {"bytes=" .. ("0-1,"):rep(32), "01"}, {"bytes=" .. ("0-1,"):rep(33), true},
}

-- If-Range, and whether the range counts.
local IF_RANGES = {
  {"TAG", true}, {'"x"', false}, {"W/TAG", false}, {DATE, true}, {AFTER, false}, {BEFORE, false},
  {"nonsense", false},
}

everywhere("the state of a file", function(it)
  it("meets conditions, or does not", function()
    local server = serve()
    local tag = fetch(server, "/a.txt").etag
    for _, case in ipairs(CONDITIONS) do
      local fields = case[1]:gsub("TAG", (tag:gsub("%%", "%%%%"))) .. "\r\n"
      for _, method in ipairs{"GET", "HEAD"} do
        local want = case[2]
        if method == "HEAD" and (want == 206 or want == 416) then
          want = 200 -- only GET has ranges
        end
        local got = fetch(server, "/a.txt", fields, method)
        assert.equal(want, got.status, method .. " " .. fields)
        assert.equal(tag, got.etag)
        if want == 304 then
          assert.is_nil(got["content-length"])
          assert.equal("", got.body)
        end
      end
    end
    server:stop(1)
  end)

  it("has ranges", function()
    local server = serve()
    for _, case in ipairs(RANGES) do
      local got, want = fetch(server, "/a.txt", "Range: " .. case[1] .. "\r\n"), case[2]
      assert.equal(want == true and 200 or want and 206 or 416, got.status, case[1])
      if want then
        assert.equal(want == true and "0123456789" or want, got.body, case[1])
      end
      local first = want and want ~= true and want:sub(1, 1)
      local where = first and ("bytes %s-%s/10"):format(first, want:sub(-1))
        or want == false and "bytes */10" or nil
      assert.equal(where, got["content-range"], case[1])
    end
    assert.equal(200, fetch(server, "/none", "Range: bytes=-5\r\n").status)
    assert.equal(416, fetch(server, "/none", "Range: bytes=0-\r\n").status)
    local got = fetch(server, "/big.bin", "Range: bytes=1000003-2999999\r\n")
    assert.is_true(got.body == big:sub(1000004, 3000000))
    server:stop(1)
  end)

  it("decides whether a range counts", function()
    local server = serve()
    local tag = fetch(server, "/a.txt").etag
    for _, case in ipairs(IF_RANGES) do
      local fields = "Range: bytes=1-2\r\nIf-Range: " .. case[1]:gsub("TAG", tag) .. "\r\n"
      assert.equal(case[2] and 206 or 200, fetch(server, "/a.txt", fields).status, case[1])
      fields = "Range: bytes=50-\r\nIf-Range: " .. case[1]:gsub("TAG", tag) .. "\r\n"
      assert.equal(case[2] and 416 or 200, fetch(server, "/a.txt", fields).status, case[1])
    end
    server:stop(1)
  end)

  it("has a weak tag, and no strong date, while it may still change unseen", function()
    local server = serve()
    local if_range = "Range: bytes=0-1\r\nIf-Range: %s\r\n"
    write("www/new.txt", "fresh", math.floor(rl.time()) + 1000)
    local got = fetch(server, "/new.txt")
    assert.matches('^W/"%x+"$', got.etag)
    assert.is_nil(got["last-modified"])
    assert.equal(304, fetch(server, "/new.txt", "If-None-Match: " .. got.etag .. "\r\n").status)
    assert.equal(412, fetch(server, "/new.txt", "If-Match: " .. got.etag .. "\r\n").status)
    assert.equal(200, fetch(server, "/new.txt", if_range:format(got.etag)).status)
    local ranged
    H.eventually("answers in the two seconds in which it is fresh", function()
      local mtime = math.floor(rl.time())
      write("www/new.txt", "fresh", mtime)
      got = fetch(server, "/new.txt")
      ranged = fetch(server, "/new.txt", if_range:format(got["last-modified"]))
      return rl.time() < mtime + 2
    end)
    assert.matches('^W/"%x+"$', got.etag)
    assert.equal(200, ranged.status)
    write("www/new.txt", "fresh", math.floor(rl.time()) - 10)
    assert.matches('^"%x+"$', fetch(server, "/new.txt").etag)
    server:stop(1)
  end)

  it("has another tag when anything of it is another", function()
    local server, seen = serve(), {}
    local function tag_of()
      local tag = fetch(server, "/tag.txt").etag
      assert.is_nil(seen[tag])
      seen[tag] = true
    end
    write("www/tag.txt", "one")
    tag_of()
    write("www/tag.txt", "three")
    tag_of()
    write("www/tag.txt", "three", MTIME - 1)
    tag_of()
    shell "cp -p www/tag.txt www/tag2.txt && mv www/tag2.txt www/tag.txt"
    tag_of()
    server:stop(1)
  end)
end)

-- ---- what goes wrong ----------------------------------------------------------------------------

everywhere("a file that is sent", function(it)
  it("is closed when the client vanishes, whenever that is", function()
    local server = serve()
    local before = open_files()
    for part = 0, 8 do
      local conn = assert(net.connect(server:addr()))
      conn:write "GET /big.bin HTTP/1.1\r\nHost: a\r\n\r\n"
      if part > 0 then
        conn:read_exactly(part * 20000)
      end
      conn:abort()
    end
    H.eventually("no connection", function() return server:stats().live == 0 end)
    await_open_files(before)
    server:stop(1)
  end)

  it("aborts the connection when it has become shorter", function()
    write("www/shrinks.bin", big)
    local failure
    local static = http.static(top .. "/www")
    local server = serve(nil, function(req, res)
      local ok, _, code = static(req, res)
      failure = not ok and code
    end)
    local conn = assert(net.connect(server:addr()))
    conn:write "GET /shrinks.bin HTTP/1.1\r\nHost: a\r\n\r\n"
    conn:read_exactly(1000)
    shell "truncate -s 1000 www/shrinks.bin"
    local _, _, code = conn:read_exactly(BIG - 1000)
    assert.is_true(code == "ECONNRESET" or code == "EOF", code)
    conn:close()
    H.eventually("a failure", function() return failure end)
    assert.equal("ENODATA", failure)
    assert.equal(200, fetch(server, "/a.txt").status)
    server:stop(1)
  end)

  it("is one of many", function()
    local server = serve()
    rl.scope(function(s)
      for i = 1, 20 do
        s:go(function()
          local from = BIG - i * 30011
          local got = fetch(server, "/big.bin", ("Range: bytes=%d-\r\n"):format(from))
          assert.is_true(got.body == big:sub(from + 1))
        end)
      end
    end)
    await_open_files(0)
    server:stop(1)
  end)

  it("is closed when its handler is cancelled", function()
    local owner
    local static = http.static(top .. "/www")
    local server = serve(nil, function(req, res)
      owner = rl.self()
      return static(req, res)
    end)
    local conn = assert(net.connect(server:addr()))
    conn:write "GET /big.bin HTTP/1.1\r\nHost: a\r\n\r\n"
    conn:read_exactly(1000)
    owner:cancel "enough"
    local _, _, code = conn:read_exactly(BIG)
    assert.is_true(code == "ECONNRESET" or code == "EOF", code)
    conn:close()
    await_open_files(0)
    server:stop(1)
  end)
end)

-- Real sockets take too much at once to tell.
H.sim("a client that is slow", function(it)
  it("may take its time while bytes move, and no longer", function()
    local failure
    local static = http.static(top .. "/www")
    local server = assert(http.serve("127.0.0.1:0", function(req, res)
      local ok, _, code = static(req, res)
      failure = not ok and code
    end, {write_timeout = 0.5}))
    local conn = assert(net.connect(server:addr()))
    conn:write "GET /big.bin HTTP/1.1\r\nHost: a\r\n\r\n"
    conn:read_until "\r\n\r\n"
    for i = 0, 19 do
      assert.is_true(conn:read_exactly(100000) == big:sub(i * 100000 + 1, (i + 1) * 100000))
      assert.is_nil(failure)
      rl.sleep(0.4)
    end
    rl.sleep(0.2)
    assert.equal("ETIMEDOUT", failure)
    assert.is_nil((conn:read_exactly(BIG - 2000000)))
    conn:close()
    server:stop(1)
  end)
end)

everywhere("a directory", function(it)
  it("may be replaced", function()
    shell "mkdir one two && echo -n 1 > one/f && echo -n 2 > two/f && ln -s one now"
    local server = serve(nil, http.static(top .. "/now"))
    assert.equal("1", fetch(server, "/f").body)
    shell "ln -s two later && mv -T later now"
    rl.sleep(1.1)
    assert.equal("2", fetch(server, "/f").body)
    shell "rm -r one two now"
    server:stop(1)
  end)

  it("that is not there is the server's failure", function()
    local failures = 0
    rl.on_error(function(err)
      assert.matches("http.static: .*: ENOENT", tostring(err))
      failures = failures + 1
    end)
    local server = serve(nil, http.static(top .. "/nowhere"))
    assert.equal(500, fetch(server, "/a.txt").status)
    assert.equal(1, failures)
    server:stop(1)
    rl.on_error(nil)
  end)
end)

H.both("http.static on several shards", function(it)
  it("serves on all", function()
    local r = http.router()
    r:mount("/f", http.static(top .. "/www", {cache_control = "no-store"}))
    local opts = {shards = "all", accept = "handover", placement = "turn"}
    local server = assert(http.serve("127.0.0.1:0", r, opts))
    for _ = 1, 6 do
      local got = fetch(server, "/f/a.txt")
      assert.equal("0123456789", got.body)
      assert.equal("no-store", got["cache-control"])
    end
    server:stop(1)
  end, {shards = 3})
end)

describe("http.static", function()
  it("serves again in the next run", function()
    local static = http.static(top .. "/www")
    for i = 1, 2 do
      H.run(function()
        local server = serve(nil, static)
        assert.equal("0123456789", fetch(server, "/a.txt").body)
        assert.equal(404, fetch(server, "/nix").status)
        server:stop(1)
      end)
      assert.same({requests = 2 * i, sent = i, unmodified = 0, refused = i}, static:stats())
    end
    assert.matches("^ringlet.http_static: .*/www, 4 requests$", tostring(static))
  end)

  it("checks its arguments", function()
    H.raises_text("the path of a directory expected", http.static)
    H.raises_text("the path of a directory expected", http.static, "")
    H.raises_text("unknown option", http.static, "x", {indx = ""})
    H.raises_text("must be a string or false", http.static, "x", {index = true})
    H.raises_text("without control characters", http.static, "x", {cache_control = "a\r\nb: c"})
    H.raises_text("without control characters", http.static, "x", {types = {x = "a\nb"}})
    H.raises_text("without control characters", http.static, "x", {types = {x = 1}})
  end)

  it("has an answer of one's own for what it does not find", function()
    H.run(function()
      local server = serve{not_found = function(_, res) res:send(404, "sorry") end}
      assert.equal("sorry", fetch(server, "/nix").body)
      assert.equal("sorry", fetch(server, "/../x").body)
      server:stop(1)
    end)
  end)
end)

-- ---- res:send_file ------------------------------------------------------------------------------

everywhere("res:send_file", function(it)
  local function answer(fn, method)
    local server = serve(nil, fn)
    local got = fetch(server, "/", "", method)
    server:stop(1)
    return got
  end

  it("sends a file, or a part", function()
    local path, result = top .. "/www/a.txt", nil
    local function send(opts)
      return function(_, res) result = H.pack(res:send_file(path, opts)) end
    end
    local got = answer(send())
    assert.equal("0123456789", got.body)
    assert.is_nil(got["content-type"])
    assert.same({n = 1, true}, result)
    got = answer(send{offset = 3, length = 4, status = 203})
    assert.equal("3456", got.body)
    assert.equal(203, got.status)
    assert.equal("789", answer(send{offset = 7}).body)
    assert.equal("", answer(send{offset = 10}).body)
    assert.equal("0", answer(send{length = 0})["content-length"])
    got = answer(send{offset = 3}, "HEAD")
    assert.equal("7", got["content-length"])
    assert.equal("", got.body)
    path = top .. "/www/big.bin"
    assert.is_true(answer(send{offset = 5}).body == big:sub(6))
    assert.equal("", answer(send(), "HEAD").body)
  end)

  it("sends from a descriptor, which stays open", function()
    local f = assert(io.open(top .. "/www/a.txt"))
    local p = io.popen("ls -l /proc/$PPID/fd")
    local fd = tonumber(p:read("*a"):match "(%d+) %-> [^\n]*www/a%.txt")
    p:close()
    local got = answer(function(_, res) res:send_file(fd, {offset = 8}) end)
    assert.equal("89", got.body)
    assert.equal("0123456789", f:read "*a")
    f:close()
  end)

  it("says what is wrong before it sends anything", function()
    local cases = {
      {top .. "/nix", "ENOENT"}, {top .. "/www", "EISDIR"}, {top .. "/www/fifo", "EINVAL"},
      {top .. "/www/a.txt", "EINVAL", {offset = 11}}, {9999, "EBADF"},
      {top .. "/www/a.txt", "EINVAL", {offset = 3, length = 8}}, {"a\0b", "EINVAL"},
    }
    for _, case in ipairs(cases) do
      local code
      local got = answer(function(_, res)
        code = select(3, res:send_file(case[1], case[3]))
        res:send(404, "none")
      end)
      assert.equal(case[2], code)
      assert.equal("none", got.body)
    end
    answer(function(_, res)
      H.raises_text("a path or a descriptor expected", res.send_file, res, {})
      H.raises_text("unknown option", res.send_file, res, "x", {from = 1})
      H.raises_text("option 'offset'", res.send_file, res, "x", {offset = -1})
      H.raises_text("a status from 200 to 599", res.send_file, res, "x", {status = 100})
      res:send(204)
      assert.equal("EALREADY", (select(3, res:send_file(top .. "/www/a.txt"))))
    end)
  end)
end)

-- ---- other programs -----------------------------------------------------------------------------

local function has(program)
  local p = io.popen("command -v " .. program)
  local found = p:read "*l"
  p:close()
  return found
end

H.on("uring", "curl", function(it)
  it("gets files, parts, and what it has not yet", function()
    if not has "curl" then
      pending "curl is not installed"
      return
    end
    local server = serve{gzip = true}
    local curl = ("curl -sS --max-time 50 -w ' %%{http_code}' http://%s"):format(server:addr())
    local function run(rest)
      return (rl.offload(function(command)
        local p = io.popen(command .. " 2>&1")
        local text = p:read "*a"
        p:close()
        return text
      end, curl .. rest))
    end
    assert.equal("0123456789 200", run "/a.txt")
    assert.equal("345 206", run "/a.txt -r 3-5")
    assert.equal(" 304", run("/a.txt -z '" .. DATE .. "'"))
    assert.equal("<p>sub</p> 200", run "/sub -L")
    assert.equal(" 404", run "/../secret.txt --path-as-is")
    local out = top .. "/out.bin"
    assert.equal(" 200", run("/big.bin -o " .. out))
    assert.equal(" 206", run(("/big.bin -C %d -o %s"):format(BIG - 1000, out .. "2")))
    shell "truncate -s 1000 out.bin"
    assert.equal(" 206", run("/big.bin -C - -o " .. out))
    shell "cmp out.bin www/big.bin"
    server:stop(1)
  end, {timeout = 60})
end)
