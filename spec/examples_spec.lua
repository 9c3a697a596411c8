-- SPDX-License-Identifier: MIT
-- Examples do what they say, as programs, with real sockets; those that need a server which is not
-- ours, with that one.
local rl = require "ringlet"
local H = require "spec.helper"
local P = require "spec.process"
local http = require "ringlet.http"
local net = require "ringlet.net"

local output_of = P.output

local REDIS = "timeout -s KILL 60 redis-server --bind 127.0.0.1 --port %d --save '' "
  .. "--appendonly no --logfile '' >/dev/null 2>&1 & echo $!"

-- Does it answer?
local function is_redis(addr)
  local conn = net.connect(addr, {timeout = 1, read_timeout = 1})
  if not conn then return false end
  conn:write("PING\r\n")
  local line = conn:read_line()
  conn:close()
  return line == "+PONG"
end

-- Start a server of its own that keeps nothing: its address and its process; nil when it does not
-- answer in time.
local function start_redis()
  local addr = P.free_address()
  local pid = output_of(REDIS:format(addr:match ":(%d+)$")):match "%d+"
  for _ = 1, 800 do
    if is_redis(addr) then return addr, pid end
    rl.sleep(0.05)
  end
end

describe("examples/redis_pool.lua", function()
  it("shares few connections among many tasks, and replaces one that was killed", function()
    if output_of("command -v redis-server") == "" then
      return pending "redis-server is not installed"
    elseif H.missing.uring then
      return pending(H.missing.uring)
    end
    local addr, pid = rl.run(start_redis, {backend = "uring"})
    assert.is_truthy(addr, "redis-server does not answer")
    finally(function()
      os.execute("kill " .. pid)
    end)
    local out, code = H.script(("arg = {%q} dofile 'examples/redis_pool.lua'"):format(addr))
    assert.equal(0, code, out)
    assert.equal("64 tasks, 1280 uses, at most 4 connections\na killed connection was replaced\n"
      .. "ringlet.resources: redis, closed, 0 of 4 open, 0 idle, 0 waiting\n", out)
  end)
end)

-- ---- HTTP ---------------------------------------------------------------------------------------

-- fn(address) while an example serves, which then stops without a word.
local function while_serving(fn, name, ...)
  local addr, process = P.serve(name, ...)
  local ok, err = pcall(fn, addr)
  local text = P.stop(process)
  if not ok then error(err, 0) end
  assert.is_nil(text:find("traceback", 1, true), text)
end

local function run(name, ...)
  local out = P.output(P.example(name, ...) .. " 2>&1; echo code=$?")
  return out:match "^(.*)code=(%d+)\n$"
end

describe("examples/static_server.lua", function()
  it("serves and lists a directory, and nothing outside of it", function()
    if P.lacks() then return end
    local dir = P.output "mktemp -d":match "%S+"
    finally(function() os.execute("rm -r " .. dir) end)
    os.execute(("cd %s && mkdir -p 'a b' .hidden && ln -s /etc out && ln -s 'a b' in && "
      .. "printf 0123456789 > 'a b/x<y.txt' && echo index > .hidden/index.html"):format(dir))
    while_serving(function(addr)
      rl.run(function()
        local function get(path, headers)
          local res = assert(http.get("http://" .. addr .. path, {headers = headers}))
          return res.status, res.body
        end
        local status, body = get "/"
        assert.equal(200, status)
        assert.truthy(body:find('<a href="./a%20b/">a b/</a>', 1, true), body)
        assert.is_nil(body:find("hidden", 1, true))
        body = select(2, get "/a%20b")
        assert.truthy(body:find('<a href="./x%3Cy.txt">x&lt;y.txt</a>', 1, true), body)
        assert.same({206, "234"}, {get("/a%20b/x%3Cy.txt", {Range = "bytes=2-4"})})
        assert.same({200, "0123456789"}, {get "/in/x%3Cy.txt"})
        for _, path in ipairs{"/out/", "/out", "/none/", "/.hidden/", "/%2e%2e/", "/a%20b/none",
          "/in%2f..%2f..%2f", "/%27/", "/a%00/"} do
          assert.equal(404, (get(path)), path)
        end
      end, {backend = "uring"})
    end, "static_server", dir, "127.0.0.1:0", 2)
  end)
end)

describe("examples/stream_both.lua", function()
  it("answers an upload while it comes, to itself and to curl", function()
    if P.lacks "curl" then return end
    local file = os.tmpname()
    P.write(file, ("x"):rep(5000000))
    finally(function() os.remove(file) end)
    while_serving(function(addr)
      local url = "http://" .. addr .. "/"
      local text, code = run("stream_both", "send", url)
      assert.equal("0", code, text)
      assert.matches("^8388608 bytes\n.*\ndone: 67108864 bytes in ", text)
      text, code = run("stream_both", "send", url, file)
      assert.equal("0", code, text)
      assert.matches("^ ?2%d %%  %d+ bytes\n.*\ndone: 5000000 bytes in ", text)
      for _, more in ipairs{"", "-H 'Transfer-Encoding: chunked' "} do
        text = P.output(("curl -sSN %s-T %s %s 2>&1"):format(more, file, url))
        assert.matches("done: 5000000 bytes in ", text)
      end
      assert.equal("send me something\n", P.output("curl -sS " .. url))
    end, "stream_both", "serve", "127.0.0.1:0")
  end)

  it("takes no part of a file for the whole", function()
    if P.lacks "curl" then return end
    local addr, process = P.serve("stream_both", "serve", "127.0.0.1:0")
    local head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9000000\r\n\r\n"
    rl.run(function()
      local conn = assert(net.connect(addr))
      conn:write(head, ("x"):rep(2000000))
      assert.truthy(conn:read_until " bytes")
      conn:shutdown()
      assert.is_nil((conn:read_all()))
      conn:close()
    end, {backend = "uring"})
    assert.matches("EPROTO: the message ends before it is complete", P.stop(process))
  end)
end)

describe("examples/http_get.lua", function()
  it("fetches what there is, and tells what fails", function()
    if P.lacks() then return end
    while_serving(function(addr)
      local url = "http://" .. addr
      local text, code = run("http_get", url .. "/a", url .. "/stats", url .. "/b")
      assert.equal("0", code, text)
      assert.equal(3, select(2, text:gsub("200 +%d+ bytes  %d+%.%d%d s  http", "")))
      text, code = run("http_get", url .. "/a", "http://127.0.0.1:1/", "https://x/", "no:url")
      assert.equal("1", code, text)
      assert.matches("ECONNREFUSED", text)
      assert.matches("EPROTONOSUPPORT", text)
      assert.equal(3, select(2, text:gsub("failed after", "")))
    end, "http_hello", "127.0.0.1:0")
    assert.matches("usage", (run "http_get"))
  end)
end)

describe("examples/priorities", function()
  it("answers /pay and /report, whoever tells them apart", function()
    if P.lacks() then return end
    for _, who in ipairs{"classify", "bpf"} do
      while_serving(function(addr)
        rl.run(function()
          assert.equal("paid\n", rl.check(http.get("http://" .. addr .. "/pay")).body)
          local text = rl.check(http.get("http://" .. addr .. "/report")).body
          assert.equal(500, select(2, text:gsub("%d+\n", "")))
        end, {backend = "uring"})
      end, "priorities/server", "127.0.0.1:0", who, "2")
    end
  end)

  it("draws how much sooner /pay is answered with priorities", function()
    if P.lacks() then return end
    local picture = os.tmpname()
    finally(function() os.remove(picture) end)
    local text, code, first, prioritised
    for _ = 1, 8 do -- others who want the CPUs make all of them late
      text, code = run("priorities/compare", picture, "0.9", "1")
      assert.equal("0", code, text)
      first = tonumber(text:match "\nfirst come, first served +([%d.]+)")
      prioritised = tonumber(text:match "\nwith priorities +([%d.]+)")
      if prioritised < first / 2 then break end
    end
    assert.is_true(prioritised < first / 2, text)
    assert.matches("\nwith priorities and eBPF +[%d.w]", text)
    local svg = P.read(picture)
    assert.matches("^<svg .*</svg>\n$", svg)
    local drawn = text:find "\nwith priorities and eBPF +%d" and 3 or 2
    assert.equal(drawn, select(2, svg:gsub('<path d="M[%d. Mh-]+" [^>]*opacity="0.35"/>', "")))
  end)
end)

-- ---- faults -------------------------------------------------------------------------------------

describe("examples/faults", function()
  -- It says these. The examples sleep for a moment in which things go wrong: on a busy machine they
  -- may not have gone wrong by then, and it is told again.
  local function tells(name, ...)
    local out, missed
    for _ = 1, 8 do
      local code
      out, code = H.script(("dofile 'examples/faults/%s.lua'"):format(name))
      assert.equal(0, code, out)
      missed = nil
      for _, pattern in ipairs{...} do
        missed = missed or not out:find(pattern) and pattern
      end
      if not missed then return end
    end
    error(("no %s in: %s"):format(missed, out), 2)
  end

  it("shows who hangs, by stack", function()
    tells("hangs", "19 @ %[lock",
      "1 @ %[lock[^\n]*\n#\texamples/faults/hangs.lua:23\texamples/faults/hangs.lua:26")
  end)

  it("shows who leaks, and where that was made", function()
    tells("leaks", "live tasks\t11\n10 leaked\n", '"mirror 2" on shard 1 %[chan send',
      "created at examples/faults/leaks.lua:16", "live tasks\t1\n$")
  end)

  it("shows what is slow", function()
    tells("slow", "/report +p50", "%%  report %(slow.lua:17%)")
  end)
end)

describe("examples/bpf_packets.lua", function()
  local B = require "spec.bpf"
  local PROGRAM = "arg = {[0] = 'examples/bpf_packets.lua'} dofile(arg[0])"

  it("shows what clients send, as the kernel sees it", function()
    if B.lacks("socket_filter", "uring") then return end
    assert.equal("a client begins with one\na client begins with GET\n" ..
      "5 packets, 23 bytes; 1 packets were too long\n",
      (B.run(PROGRAM, "timeout 60")))
  end)

  it("goes on without privileges, and says which are missing", function()
    if B.lacks("socket_filter", "uring", "nobody") then return end
    assert.equal("nobody watches: EPERM: needs CAP_BPF (load of the socket filter count)\n",
      (B.run(PROGRAM, "timeout 60 " .. B.as_nobody())))
  end)
end)
