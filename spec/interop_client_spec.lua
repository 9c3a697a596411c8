-- SPDX-License-Identifier: MIT
-- The HTTP client and servers of others: what comes with Python, Node and Go; and a proxy,
-- tinyproxy. nginx has a spec of its own.
local P = require "spec.process"
local http = require "ringlet.http"
local rl = require "ringlet"
local wire = require "spec.wire"

-- Each of these answers /echo with the method, how the body came and its length; /moved with 307 to
-- /echo; /early with 413 before it has read a body; /range with what was asked for of "0123456789";
-- /chunks in chunks with a trailer; /close closing the connection.
local NODE = [[
const http = require("http");
const server = http.createServer((req, res) => {
  const path = req.url.split("?")[0];
  if (path === "/moved") { res.writeHead(307, {Location: "/echo"}); return res.end(); }
  if (path === "/early") { res.writeHead(413, {Connection: "close"}); return res.end("too much"); }
  if (path === "/range") {
    const m = /bytes=(\d+)-(\d+)/.exec(req.headers.range), all = "0123456789";
    res.writeHead(206, {"Content-Range": `bytes ${m[1]}-${m[2]}/10`});
    return res.end(all.slice(+m[1], +m[2] + 1));
  }
  if (path === "/chunks") {
    res.writeHead(200, {Trailer: "X-Sum"});
    for (let i = 1; i <= 5; i++) res.write("piece " + i + "\n");
    res.addTrailers({"X-Sum": "5"});
    return res.end();
  }
  if (path === "/close") { res.writeHead(200, {Connection: "close"}); return res.end("bye"); }
  let n = 0;
  req.on("data", (d) => n += d.length);
  req.on("end", () => res.end([req.method, req.headers["content-length"] || "-",
    req.headers["transfer-encoding"] || "-", n, req.headers["expect"] || "-"].join(" ")));
});
server.keepAliveTimeout = 0; // for ever: it is counted how many connections there are
server.listen(0, "127.0.0.1", () => console.log("listening on 127.0.0.1:" + server.address().port));
]]

local GO = [[
package main

import (
  "fmt"
  "io"
  "net"
  "net/http"
  "strings"
  "time"
)

func or(s string) string {
  if s == "" {
    return "-"
  }
  return s
}

func main() {
  http.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
    n, _ := io.Copy(io.Discard, r.Body)
    fmt.Fprint(w, r.Method, " ", or(r.Header.Get("Content-Length")), " ",
      or(strings.Join(r.TransferEncoding, ",")), " ", n, " ", or(r.Header.Get("Expect")))
  })
  http.HandleFunc("/moved", func(w http.ResponseWriter, r *http.Request) {
    http.Redirect(w, r, "/echo", 307)
  })
  http.HandleFunc("/early", func(w http.ResponseWriter, r *http.Request) {
    w.WriteHeader(413)
    fmt.Fprint(w, "too much")
  })
  http.HandleFunc("/range", func(w http.ResponseWriter, r *http.Request) {
    http.ServeContent(w, r, "x.txt", time.Time{}, strings.NewReader("0123456789"))
  })
  http.HandleFunc("/chunks", func(w http.ResponseWriter, r *http.Request) {
    w.Header().Set("Trailer", "X-Sum")
    for i := 1; i <= 5; i++ {
      fmt.Fprintf(w, "piece %d\n", i)
      w.(http.Flusher).Flush()
    }
    w.Header().Set("X-Sum", "5")
  })
  http.HandleFunc("/close", func(w http.ResponseWriter, r *http.Request) {
    w.Header().Set("Connection", "close")
    fmt.Fprint(w, "bye")
  })
  l, err := net.Listen("tcp", "127.0.0.1:0")
  if err != nil {
    panic(err)
  }
  fmt.Println("listening on", l.Addr())
  http.Serve(l, nil)
}
]]

local BODY = wire.pattern(300000)

local function pieces(size)
  local at = 0
  return function()
    local piece = BODY:sub(at + 1, at + (size or 10000))
    at = at + #piece
    return piece ~= "" and piece or nil
  end
end

local function request_bodies(client, url, rest)
  local function put(opts, want)
    local res = assert(client:request("PUT", url .. "/echo", opts))
    assert.equal(want, res.body:match "^%S+ %S+ %S+ %d+", res.body)
  end
  put({body = BODY}, "PUT " .. rest .. " - 300000")
  put({body = pieces()}, "PUT - chunked 300000")
  put({body = pieces(), length = #BODY}, "PUT " .. rest .. " - 300000")
  put({body = BODY, expect = true}, "PUT " .. rest .. " - 300000")
  put({body = pieces(), expect = true}, "PUT - chunked 300000")
  assert.matches("^POST %S+ %- 0 ", assert(client:post(url .. "/echo", {body = ""})).body)
  assert.matches("^GET %- %- 0 ", assert(client:get(url .. "/echo")).body)
  assert.matches("^POST %S+ %- 3 ", assert(client:post(url .. "/moved", {body = "abc"})).body)
end

-- `length`: what the server tells of Content-Length.
local function try(url, length)
  local client = http.client()
  request_bodies(client, url, length)
  assert.equal(1, client:stats().opened)
  assert.equal("", assert(client:head(url .. "/echo")).body)
  local res = assert(client:get(url .. "/range", {headers = {Range = "bytes=2-4"}}))
  assert.same({206, "234", "bytes 2-4/10"}, {res.status, res.body, res:header "content-range"})
  res = assert(client:get(url .. "/chunks"))
  assert.equal("piece 1\npiece 2\npiece 3\npiece 4\npiece 5\n", res.body)
  assert.equal("5", res:trailers()["x-sum"])
  assert.equal(1, client:stats().opened)
  for _ = 1, 2 do
    assert.equal("bye", assert(client:get(url .. "/close")).body)
  end
  assert.is_true(client:stats().opened <= 3)
  for _, opts in ipairs{{body = ("x"):rep(20000000)}, {body = pieces(500)},
    {body = BODY, expect = true}} do
    res = assert(client:request("PUT", url .. "/early", opts))
    assert.same({413, "too much"}, {res.status, res.body})
  end
  local done = rl.map({1, 2, 3, 4, 5, 6, 7, 8}, function()
    for _ = 1, 50 do
      assert(assert(client:get(url .. "/echo")).status == 200)
    end
    return true
  end)
  assert.equal(8, #done)
  assert.equal(0, client:stats().busy)
  client:close()
end

-- fn(address) with a server that was started, in a run.
local function beside(process, addr, fn)
  finally(function() P.stop(process) end)
  rl.run(function() fn(addr) end, {backend = "uring"})
end

local function with(command, pattern, fn)
  local addr, process = P.start(command, pattern)
  beside(process, addr, fn)
end

-- Its process and port: another port when somebody has taken the one that was free just now.
local function start_tinyproxy()
  local ok, found, process, port
  for _ = 1, 5 do
    port = P.port()
    local conf = P.write(os.tmpname(), ("Port %s\nListen 127.0.0.1\nTimeout 60\nMaxClients 20\n"
      .. "BasicAuth user secret\nLogLevel Info\n"):format(port))
    ok, found, process = pcall(P.start, "tinyproxy -d -c " .. conf, "(Accepting connections)")
    os.remove(conf)
    if ok then
      return process, port
    end
  end
  error(found, 0)
end

describe("a client", function()
  it("understands Node's server", function()
    if P.lacks "node" then return end
    local file = P.write(os.tmpname(), NODE)
    with("node " .. file, "on ([%d.]+:%d+)", function(addr)
      os.remove(file)
      try("http://" .. addr, "300000")
    end)
  end)

  -- Go is not among what `tools/setup` installs for tests: it is large.
  local go = P.output "command -v go || ls /usr/lib/go-*/bin/go 2>/dev/null":match "%S+"
  local it_if_go = go and it or function() end

  it_if_go("understands Go's server", function()
    if P.lacks() then return end
    local dir = P.output "mktemp -d":match "%S+"
    P.write(dir .. "/main.go", GO)
    local out = P.output(("cd %s && %s build -o server main.go 2>&1"):format(dir, go))
    assert.equal("", out)
    with(dir .. "/server", "on ([%d.]+:%d+)", function(addr)
      os.execute("rm -r " .. dir)
      try("http://" .. addr, "300000")
    end)
  end)

  it("understands Python's server, which speaks HTTP/1.0", function()
    if P.lacks "python3" then return end
    local dir = P.output "mktemp -d":match "%S+"
    os.execute("mkdir " .. dir .. "/sub")
    P.write(dir .. "/f.txt", BODY)
    local command = "python3 -u -m http.server 0 --bind 127.0.0.1 --directory " .. dir
    with(command, "HTTP on (%S+ port %d+)", function(where)
      local client = http.client()
      local url = "http://" .. where:gsub(" port ", ":")
      assert.is_true(assert(client:get(url .. "/f.txt")).body == BODY)
      assert.equal(tostring(#BODY), client:head(url .. "/f.txt"):header "content-length")
      assert.matches("f.txt", assert(client:get(url .. "/")).body)
      assert.equal(200, assert(client:get(url .. "/sub")).status)
      assert.equal(404, assert(client:get(url .. "/none")).status)
      assert.equal(501, assert(client:post(url .. "/f.txt", {body = "abc"})).status)
      local since = client:head(url .. "/f.txt"):header "last-modified"
      local res = client:get(url .. "/f.txt", {headers = {["If-Modified-Since"] = since}})
      assert.equal(304, res.status)
      assert.equal(0, client:stats().busy)
      client:close()
      os.execute("rm -r " .. dir)
    end)
  end)

  it("goes through tinyproxy, and has it connect", function()
    if P.lacks "tinyproxy" then return end
    local process, port = start_tinyproxy()
    beside(process, port, function()
      local server = assert(http.serve("127.0.0.1:0", function(req, res)
        res:send(200, ("%s %s %d"):format(req.method, req.path, #req:read_all()))
      end))
      local url, proxy = "http://" .. server:addr(), "http://user:secret@127.0.0.1:" .. port
      local client = http.client{proxy = proxy}
      assert.equal("GET /a 0", assert(client:get(url .. "/a")).body)
      assert.equal("PUT /b 300000", assert(client:put(url .. "/b", {body = BODY})).body)
      assert.equal("PUT /b 300000", assert(client:put(url .. "/b", {body = pieces()})).body)
      local conn = assert(client:tunnel(server:addr()))
      conn:write "GET /t HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
      assert.matches("GET /t 0$", assert(conn:read_all()))
      conn:close()
      client:close()
      local stranger = http.client{proxy = "http://127.0.0.1:" .. port}
      assert.is_true(assert(stranger:get(url)).status >= 401)
      assert.equal("ECONNREFUSED", select(3, stranger:tunnel(server:addr())))
      stranger:close()
      server:stop(1)
    end)
  end)
end)
