-- SPDX-License-Identifier: MIT
-- HTTP servers and the programs that most people point at one: curl, wrk, h2load. The servers are
-- our examples, or handlers of a process of their own.
local P = require "spec.process"

-- What curl does is here in this one handler: it tells what it was sent.
local ECHO = [[
local rl, http = require "ringlet", require "ringlet.http"
rl.run(function()
  local server = assert(http.serve("127.0.0.1:0", function(req, res)
    if req.path == "/chunks" then
      for i = 1, 5 do res:write("piece " .. i .. "\n") end
      return
    elseif req.path == "/no" then
      return res:send(413, "no\n")
    end
    local body = rl.check(req:read_all(1e8))
    local trailers = {}
    for name, value in pairs(req:trailers()) do trailers[#trailers + 1] = name .. "=" .. value end
    res:header("Content-Type", "text/plain")
    res:send(200, ("%s %s %s %d %s %s %s\n"):format(req.method, req.target, req.version, #body,
      req:header "expect" or "-", req:header "transfer-encoding" or "-", table.concat(trailers)))
  end))
  print("listening on " .. server:addr())
  io.stdout:flush()
end, {signals = true, grace = 0})
]]

local function echo()
  local script = P.script(ECHO)
  return P.start(script, "on ([%d.]+:%d+)")
end

local addr, process

local function stop()
  if process then
    local text = P.stop(process)
    process = nil
    assert.is_nil(text:find("traceback", 1, true), text)
  end
end

local function curl(...)
  return P.output("curl -sS -m 20 " .. table.concat({...}, " ") .. " 2>&1")
end

describe("curl", function()
  local url
  local function begin()
    if P.lacks "curl" then return true end
    addr, process = echo()
    finally(stop)
    url = "http://" .. addr
  end

  it("speaks HTTP/1.1 and 1.0, and keeps its connection", function()
    if begin() then return end
    assert.equal("GET /a?b 1.1 0 - - \n", curl("'" .. url .. "/a?b'"))
    assert.equal("GET / 1.0 0 - - \n", curl("-0", url .. "/"))
    local twice = curl("-v", url .. "/1", url .. "/2", url .. "/3")
    assert.equal(2, select(2, twice:gsub("Re%-using existing", "")), twice)
    twice = curl("-0 -v", "-H 'Connection: keep-alive'", url .. "/1", url .. "/2")
    assert.equal(1, select(2, twice:gsub("Re%-using existing", "")), twice)
    assert.equal("piece 1\npiece 2\npiece 3\npiece 4\npiece 5\n", curl(url .. "/chunks"))
    assert.equal("piece 1\npiece 2\npiece 3\npiece 4\npiece 5\n", curl("-0", url .. "/chunks"))
  end)

  it("asks for the head alone, and with OPTIONS for all", function()
    if begin() then return end
    local head = curl("-I", url .. "/x")
    assert.matches("^HTTP/1.1 200 OK\r\nDate: [^\r]+\r\nContent%-Length: 19\r\n", head)
    assert.matches("\r\n\r\n$", head)
    assert.equal("OPTIONS * 1.1 0 - - \n", curl("-X OPTIONS --request-target '*'", url))
  end)

  it("sends bodies: plain, in chunks, asked for first, none", function()
    if begin() then return end
    local file = P.write(os.tmpname(), ("x"):rep(3000000))
    finally(function() os.remove(file) stop() end)
    assert.equal("POST / 1.1 3 - - \n", curl("-d abc", url .. "/"))
    assert.equal("POST / 1.1 0 - - \n", curl("-d ''", url .. "/"))
    assert.equal("PUT /f 1.1 3000000 100-continue - \n", curl("-T", file, url .. "/f"))
    assert.equal("PUT /f 1.1 3000000 - - \n", curl("-H Expect:", "-T", file, url .. "/f"))
    assert.equal("PUT /f 1.0 3000000 - - \n", curl("-0 -H Expect:", "-T", file, url .. "/f"))
    assert.equal("POST /f 1.1 3000000 100-continue - \n",
      curl("-H 'Expect: 100-continue'", "--data-binary @" .. file, url .. "/f"))
    assert.matches("^PUT /f 1.1 3000000 [-%w]+ chunked \n$",
      curl("-H 'Transfer-Encoding: chunked'", "-T", file, url .. "/f"))
    assert.matches("^PUT /%- 1.1 9 [-%w]+ chunked \n$",
      P.output("printf 123456789 | curl -sS -T - " .. url .. "/-"))
    assert.matches("multipart", curl("-v -F a=b -F f=@" .. file, url .. "/m"))
    local at = os.time()
    assert.equal("no\n413", curl("-w '%{http_code}'", "-T", file, url .. "/no"))
    assert.equal("no\n413", curl("-w '%{http_code}' -H Expect:", "-T", file, url .. "/no"))
    assert.is_true(os.time() - at < 20, "who is refused is told so at once")
  end)

  it("has what it offers to decode as it is", function()
    if begin() then return end
    assert.equal("GET / 1.1 0 - - \n", curl("--compressed", url .. "/"))
  end)
end)

describe("curl and a static server", function()
  it("agree on ranges, conditions and downloads that go on", function()
    if P.lacks "curl" then return end
    local dir = P.output "mktemp -d":match "%S+"
    local text = ("0123456789"):rep(100000)
    P.write(dir .. "/f.txt", text)
    os.execute("touch -d '2020-02-02' " .. dir .. "/f.txt")
    finally(function() stop() os.execute("rm -r " .. dir) end)
    addr, process = P.serve("static_server", dir, "127.0.0.1:0")
    local url = "http://" .. addr .. "/f.txt"
    assert.equal("23456206", curl("-r 2-6 -w '%{http_code}'", url))
    assert.equal("789206", curl("-r -3 -w '%{http_code}'", url))
    assert.equal("416", curl("-o /dev/null -r 1000000- -w '%{http_code}'", url))
    assert.equal("304", curl("-o /dev/null -z 'Mon, 03 Feb 2020 00:00:00 GMT'",
      "-w '%{http_code}'", url))
    P.write(dir .. "/part", text:sub(1, 123456))
    curl("-C - -o", dir .. "/part", url)
    assert.is_true(P.read(dir .. "/part") == text)
    local etag = curl("-I", url):match "ETag: ([^\r]*)"
    assert.equal("304", curl(("-H 'If-None-Match: %s' -w '%%{http_code}'"):format(etag), url))
  end)
end)

describe("wrk", function()
  it("finds nothing to complain about", function()
    if P.lacks "wrk" then return end
    addr, process = P.serve("http_hello", "127.0.0.1:0")
    finally(stop)
    local n, command = 0, ("wrk -t1 -c50 -d1s --timeout 30s http://%s/ 2>&1"):format(addr)
    for _ = 1, 20 do
      local out = P.output(command)
      n = n + assert(tonumber(out:match "(%d+) requests in"), out)
      assert.is_nil(out:find("Socket errors", 1, true), out)
      assert.is_nil(out:find("Non-2xx", 1, true), out)
      if n > 100 then break end
    end
    assert.is_true(n > 100, n)
  end)
end)

describe("h2load", function()
  it("finds nothing to complain about in HTTP/1 mode", function()
    if P.lacks "h2load" then return end
    addr, process = P.serve("http_hello", "127.0.0.1:0")
    finally(stop)
    for _, depth in ipairs{1, 16} do
      local out = P.output(("h2load --h1 -n 5000 -c 20 -m %d http://%s/ 2>&1"):format(depth, addr))
      assert.matches("5000 total, 5000 started, 5000 done, 5000 succeeded, 0 failed, 0 errored",
        out)
      assert.matches("status codes: 5000 2xx, 0 3xx, 0 4xx, 0 5xx", out)
    end
  end)
end)
