-- SPDX-License-Identifier: MIT
-- What an HTTP server does with each kind of bytes, at the socket: the statuses it answers with,
-- whether the connection goes on, and what the handler saw. The decisions are those of
-- docs/design/http-parsing.md. Each case is sent at once and byte by byte.
local H = require "spec.helper"
local http = require "ringlet.http"
local net = require "ringlet.net"
local rl = require "ringlet"

local EVIL = "GET /evil HTTP/1.1\r\nHost: a\r\n\r\n" -- what a smuggler wants to be seen

-- A head: lines, each with its CR LF, and the empty one.
local function head(...)
  return table.concat({...}, "\r\n") .. "\r\n\r\n"
end

local function get(...)
  return head("GET / HTTP/1.1", "Host: a", ...)
end

local function post(...)
  return head("POST / HTTP/1.1", "Host: a", ...)
end

local CHUNKED = "Transfer-Encoding: chunked"

local function chunked(body, ...)
  return post(CHUNKED, ...) .. body
end

-- { bytes, statuses and "kept" or "closed", what the handler saw: a request with its body or, where
-- that failed, ! and the code }
local CASES = {
  -- plain
  {get(), "200 kept", "GET /"},
  {get() .. get(), "200 200 kept", "GET /, GET /"},
  {get "Connection: close", "200 closed", "GET /"},
  {get "Connection: close" .. EVIL, "200 closed", "GET /"},
  {get "Connection: x, ,CLOSE", "200 closed", "GET /"},
  {get("Connection: keep-alive", "Connection: close"), "200 closed", "GET /"},
  {get "Connection: keep-alive", "200 kept", "GET /"},
  {head "GET / HTTP/1.0", "200 closed", "GET /"},
  {head("GET / HTTP/1.0", "Connection: keep-alive"), "200 kept", "GET /"},
  {head("GET / HTTP/1.0", "Connection: keep-alive, close"), "200 closed", "GET /"},
  {post "Content-Length: 3" .. "abc", "200 kept", "POST / abc"},
  {post "Content-Length: 0", "200 kept", "POST /"},
  {post "Content-Length: 003" .. "abc" .. EVIL, "200 200 kept", "POST / abc, GET /evil"},
  {post() .. EVIL, "200 200 kept", "POST /, GET /evil"},
  {chunked "3\r\nabc\r\n0\r\n\r\n", "200 kept", "POST / abc"},
  {chunked "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n" .. EVIL, "200 200 kept", "POST / abcde, GET /evil"},
  {get "Content-Length: 2" .. "xy", "200 kept", "GET / xy"},
  {"\r\n" .. get(), "200 kept", "GET /"},
  {head("BREW / HTTP/1.1", "Host: a"), "200 kept", "BREW /"},
  {head("get / HTTP/1.1", "Host: a"), "200 kept", "get /"},
  -- request lines
  {"\r\n\r\n" .. get(), "400 closed"},
  {"\n" .. get(), "400 closed"},
  {"GET / HTTP/1.1\nHost: a\n\n", "400 closed"},
  {"GET / HTTP/1.1\rHost: a\r\r", "400 closed"},
  {head("GET  / HTTP/1.1", "Host: a"), "400 closed"},
  {head("GET /  HTTP/1.1", "Host: a"), "400 closed"},
  {head("GET\t/ HTTP/1.1", "Host: a"), "400 closed"},
  {head(" GET / HTTP/1.1", "Host: a"), "400 closed"},
  {head("GET / HTTP/1.1 ", "Host: a"), "400 closed"},
  {head("GET /a b HTTP/1.1", "Host: a"), "400 closed"},
  {head("GET /#f HTTP/1.1", "Host: a"), "400 closed"},
  {head("GET /\0 HTTP/1.1", "Host: a"), "400 closed"},
  {head("GET /\200 HTTP/1.1", "Host: a"), "400 closed"},
  {head("GET a HTTP/1.1", "Host: a"), "400 closed"},
  {head("G(T / HTTP/1.1", "Host: a"), "400 closed"},
  {head(("M"):rep(33) .. " / HTTP/1.1", "Host: a"), "501 closed"},
  {head(("M"):rep(32) .. " / HTTP/1.1", "Host: a"), "200 kept", ("M"):rep(32) .. " /"},
  {head("GET /" .. ("x"):rep(8000) .. " HTTP/1.1", "Host: a"), "414 closed"},
  {"GET /\r\n\r\n", "400 closed"},
  {head("GET / HTTP/1.2", "Host: a"), "505 closed"},
  {head("GET / HTTP/2.0", "Host: a"), "505 closed"},
  {head("GET / HTTP/0.9", "Host: a"), "505 closed"},
  {head("GET / http/1.1", "Host: a"), "400 closed"},
  {head("GET / HTTP/1.10", "Host: a"), "400 closed"},
  {head("GET / HTTP/01.1", "Host: a"), "400 closed"},
  {"\22\3\1\2\0\1\0\1\252\3\3", "400 closed"},
  {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505 closed"},
  -- targets and hosts
  {head("OPTIONS * HTTP/1.1", "Host: a"), "200 kept", "OPTIONS *"},
  {head("GET * HTTP/1.1", "Host: a"), "400 closed"},
  {head("CONNECT a:80 HTTP/1.1", "Host: a:80") .. EVIL, "200 closed", "CONNECT a:80"},
  {head("CONNECT / HTTP/1.1", "Host: a"), "400 closed"},
  {head("CONNECT a HTTP/1.1", "Host: a"), "400 closed"},
  {head("CONNECT a:0 HTTP/1.1", "Host: a"), "400 closed"},
  {head("CONNECT a:80 HTTP/1.1", "Host: a", "Content-Length: 1") .. "x", "400 closed"},
  {head("GET a:80 HTTP/1.1", "Host: a"), "400 closed"},
  {head("GET http://b/x HTTP/1.1", "Host: a"), "200 kept", "GET http://b/x"},
  {head("GET http://b HTTP/1.1", "Host: a"), "200 kept", "GET http://b"},
  {head "GET http://b/x HTTP/1.1", "400 closed"},
  {head("GET http://u:p@b/ HTTP/1.1", "Host: b"), "400 closed"},
  {head("GET http:/// HTTP/1.1", "Host: b"), "400 closed"},
  {head("GET / HTTP/1.1"), "400 closed"},
  {head("GET / HTTP/1.1", "Host: "), "200 kept", "GET /"},
  {get "Host: a", "400 closed"},
  {get "hOsT: b", "400 closed"},
  {head("GET / HTTP/1.0", "Host: a", "Host: a"), "400 closed"},
  {head("GET / HTTP/1.1", "Host: a, b"), "400 closed"},
  {head("GET / HTTP/1.1", "Host: a/b"), "400 closed"},
  {head("GET / HTTP/1.1", "Host: u@a"), "400 closed"},
  {head("GET / HTTP/1.1", "Host: a:65536"), "400 closed"},
  {head("GET / HTTP/1.1", "Host: [::1]:80"), "200 kept", "GET /"},
  -- fields
  {get "X : y", "400 closed"},
  {get "X\t: y", "400 closed"},
  {get " X: y", "400 closed"},
  {get("X: y", " folded"), "400 closed"},
  {get("X: y", "\tfolded: z"), "400 closed"},
  {"GET / HTTP/1.1\r\n Host: a\r\n\r\n", "400 closed"},
  {get ": y", "400 closed"},
  {get "X", "400 closed"},
  {get "X y: z", "400 closed"},
  {get "X(: y", "400 closed"},
  {get "X\200: y", "400 closed"},
  {get "X: a\0b", "400 closed"},
  {get "X: a\rb", "400 closed"},
  {get "X: a\nY: b", "400 closed"},
  {get "X: a\127", "400 closed"},
  {get "X:\t \200 ", "200 kept", "GET /"},
  {get("X: " .. ("x"):rep(8190)), "431 closed"},
  {get(("X: y\r\n"):rep(99) .. "Z: z"), "431 closed"},
  {get(("X: y\r\n"):rep(98) .. "Z: z"), "200 kept", "GET /"},
  {get((("X: " .. ("y"):rep(8000) .. "\r\n"):rep(9)) .. "Z: z"), "431 closed"},
  -- lengths
  {post("Content-Length: 3", "Content-Length: 3") .. "abc", "400 closed"},
  {post("Content-Length: 3", "Content-Length: 30") .. "abc" .. EVIL, "400 closed"},
  {post "Content-Length: 3, 3" .. "abc", "400 closed"},
  {post "Content-Length: +3" .. "abc", "400 closed"},
  {post "Content-Length: -3" .. "abc", "400 closed"},
  {post "Content-Length: 0x3" .. "abc", "400 closed"},
  {post "Content-Length: 3 " .. "abc", "200 kept", "POST / abc"},
  {post "Content-Length: 1 1" .. "abc", "400 closed"},
  {post "Content-Length: " .. "abc", "400 closed"},
  {post "Content-Length: 3;" .. "abc", "400 closed"},
  {post "Content-Length: 9223372036854775808", "400 closed"},
  {post "Content-Length: 18446744073709551619" .. "abc" .. EVIL, "400 closed"},
  {post "Content-Length : 3" .. "abc", "400 closed"},
  {post "Content-Length\0: 3" .. "abc", "400 closed"},
  {post "Content-Length\11: 3" .. "abc", "400 closed"},
  {post "Content_Length: 30" .. EVIL, "200 200 kept", "POST /, GET /evil"},
  -- CL.TE, TE.CL, TE.TE
  {post("Content-Length: 6", CHUNKED) .. "0\r\n\r\nG", "400 closed"},
  {post(CHUNKED, "Content-Length: 4") .. "5c\r\n" .. EVIL .. "\r\n0\r\n\r\n", "400 closed"},
  {post("Content-Length: 0", CHUNKED) .. "0\r\n\r\n", "400 closed"},
  {post(CHUNKED, CHUNKED) .. "0\r\n\r\n" .. EVIL, "400 closed"},
  {post(CHUNKED, "Transfer-Encoding: x") .. "0\r\n\r\n", "400 closed"},
  {post("Transfer-Encoding: x", CHUNKED) .. "0\r\n\r\n", "501 closed"},
  {post(CHUNKED, "Transfer-Encoding: identity") .. "0\r\n\r\n", "400 closed"},
  {post "Transfer-Encoding: identity", "400 closed"},
  {post "Transfer-Encoding: gzip, chunked" .. "0\r\n\r\n", "501 closed"},
  {post "Transfer-Encoding: chunked, gzip" .. "0\r\n\r\n", "400 closed"},
  {post "Transfer-Encoding: chunked, chunked" .. "0\r\n\r\n", "400 closed"},
  {post "Transfer-Encoding: ,chunked" .. "0\r\n\r\n", "400 closed"},
  {post "Transfer-Encoding: xchunked" .. "0\r\n\r\n", "400 closed"},
  {post "Transfer-Encoding: \"chunked\"" .. "0\r\n\r\n", "400 closed"},
  {post "Transfer-Encoding: chunked;q=1" .. "0\r\n\r\n", "400 closed"},
  {post "Transfer-Encoding: \11chunked" .. "0\r\n\r\n", "400 closed"},
  {post "Transfer-Encoding:" .. "0\r\n\r\n", "400 closed"},
  {post "Transfer-Encoding : chunked" .. "0\r\n\r\n" .. EVIL, "400 closed"},
  {post(" Transfer-Encoding: chunked") .. "0\r\n\r\n" .. EVIL, "400 closed"},
  {post "X: y\nTransfer-Encoding: chunked" .. "0\r\n\r\n" .. EVIL, "400 closed"},
  {post("Transfer-Encoding:", " chunked") .. "0\r\n\r\n", "400 closed"},
  {post "Transfer-Encoding: \tCHUNKED\t" .. "0\r\n\r\n", "200 kept", "POST /"},
  {head("POST / HTTP/1.0", "Connection: keep-alive", CHUNKED) .. "0\r\n\r\n" .. EVIL, "400 closed"},
  {post("Transfer_Encoding: chunked") .. EVIL, "200 200 kept", "POST /, GET /evil"},
  -- chunks; the handler reads, and answers 400 to a body that fails
  {chunked "0x3\r\nabc\r\n0\r\n\r\n", "400 closed", "POST / !EPROTO"},
  {chunked "+3\r\nabc\r\n0\r\n\r\n", "400 closed", "POST / !EPROTO"},
  {chunked " 3\r\nabc\r\n0\r\n\r\n", "400 closed", "POST / !EPROTO"},
  {chunked "3 \r\nabc\r\n0\r\n\r\n", "400 closed", "POST / !EPROTO"},
  {chunked "\r\n3\r\nabc\r\n0\r\n\r\n", "400 closed", "POST / !EPROTO"},
  {chunked "3\nabc\r\n0\r\n\r\n", "400 closed", "POST / !EPROTO"},
  {chunked "3\rabc\r\n0\r\n\r\n", "400 closed", "POST / !EPROTO"},
  {chunked "3\r\nabc0\r\n\r\n" .. EVIL, "400 closed", "POST / !EPROTO"},
  {chunked "3\r\nabcd\r\n0\r\n\r\n", "400 closed", "POST / !EPROTO"},
  {chunked "3\r\nabc\n0\r\n\r\n", "400 closed", "POST / !EPROTO"},
  {chunked "3\r\nabcXX0\r\n\r\n" .. EVIL, "400 closed", "POST / !EPROTO"},
  {chunked "00000000000000003\r\nabc\r\n0\r\n\r\n", "400 closed", "POST / !EPROTO"},
  {chunked "8000000000000000\r\nabc", "400 closed", "POST / !EPROTO"},
  {chunked "10000000000000003\r\nabc\r\n0\r\n\r\n", "400 closed", "POST / !EPROTO"},
  {chunked "-1\r\nabc\r\n0\r\n\r\n", "400 closed", "POST / !EPROTO"},
  {chunked "3;a=b\r\nabc\r\n0;x\r\n\r\n", "200 kept", "POST / abc"},
  {chunked "3;a=\nb\r\nabc\r\n0\r\n\r\n", "400 closed", "POST / !EPROTO"},
  {chunked("3;" .. ("x"):rep(300) .. "\r\nabc\r\n0\r\n\r\n"), "400 closed", "POST / !EPROTO"},
  {chunked "0\r\nX: y\r\n\r\n", "200 kept", "POST /"},
  {chunked "0\r\nX : y\r\n\r\n", "400 closed", "POST / !EPROTO"},
  {chunked("0\r\nContent-Length: 40\r\n\r\n" .. EVIL), "400 closed", "POST / !EPROTO"},
  {chunked("0\r\nHost: b\r\n\r\n" .. EVIL), "400 closed", "POST / !EPROTO"},
  {chunked("0\r\n\n" .. EVIL), "400 closed", "POST / !EPROTO"},
  {chunked("0\r\n" .. EVIL), "400 closed", "POST / !EPROTO"},
  -- expectations and upgrades
  {post("Expect: 100-continue", "Content-Length: 2") .. "ok", "200 kept", "POST / ok"},
  {get "Expect: 100-continue", "200 kept", "GET /"},
  {post("Expect: x", "Content-Length: 2") .. "ok", "417 closed"},
  {get("Connection: Upgrade", "Upgrade: h2c"), "200 kept", "GET /"},
}

-- A server that writes down what its handler sees, and that list.
local function open()
  local seen = {}
  local server = assert(http.serve("127.0.0.1:0", function(req, res)
    local body, _, code = req:read_all()
    local line = req.method .. " " .. req.target
    seen[#seen + 1] = line .. (code and " !" .. code or body ~= "" and " " .. body or "")
    res:send(code and 400 or 200)
  end))
  return server, seen
end

local function send(conn, text, in_bytes)
  if not in_bytes then
    conn:write(text)
    return
  end
  for byte in text:gmatch "." do
    if not conn:write(byte) then return end
    conn:flush()
    rl.yield()
  end
end

-- The status of the next answer, none of which has a body; nil at the end.
local function status(conn)
  local line
  repeat
    line = conn:read_until "\r\n\r\n"
  until not line or not line:find "^HTTP/1.1 100"
  return line and line:match "^HTTP/1.1 (%d+)"
end

-- What came of it, as in the table.
local function outcome(server, case, in_bytes)
  local conn = assert(net.connect(server:addr()))
  local got = {}
  local reader = rl.go(function()
    for _ in case[2]:gmatch "%d+" do
      got[#got + 1] = status(conn)
    end
  end)
  send(conn, case[1], in_bytes)
  reader:join()
  conn:write "GET /again HTTP/1.1\r\nHost: a\r\n\r\n"
  got[#got + 1] = status(conn) == "200" and "kept" or "closed"
  conn:close()
  return table.concat(got, " ")
end

local function check(in_bytes, from)
  local server, seen = open()
  for i = from, #CASES, H.torture and 7 or 1 do
    local case = CASES[i]
    local what = ("case %d: %q"):format(i, case[1]:sub(1, 200))
    if not in_bytes or #case[1] < 2000 then
      local got = outcome(server, case, in_bytes)
      assert.equal(case[2], got, what)
      local list = table.concat(seen, ", ")
      local want = {case[3], got:find "kept" and "GET /again" or nil}
      assert.equal(table.concat(want, ", "), list, what)
      while seen[1] do table.remove(seen) end
    end
  end
  server:stop(3)
  assert.equal(0, server:stats().live)
end

H.both("every case of the corpus", function(it)
  it("has its answer", function()
    assert.is_true(#CASES >= 80)
    check(false, 1)
  end, {timeout = 60})
end)

H.sim("every case of the corpus, byte by byte", function(it)
  it("has the same answer", function() check(true, 1) end)
end)
