-- SPDX-License-Identifier: MIT
-- WebSockets with other people's at the other end: Node's own client, the modules `ws` for Node and
-- `websockets` for Python, on both sides, and a browser in front of examples/chat.lua.
local H = require "spec.helper"
local P = require "spec.process"
local http = require "ringlet.http"
local net = require "ringlet.net"
local rl = require "ringlet"
local websocket = require "ringlet.websocket"
local wire = require "spec.ws_wire"

local has_zlib = pcall(require, "ringlet.zlib")
local DEFLATE = has_zlib and {threshold = 0} or nil

local WAIT = 60 -- for what hangs

local SIZES = {0, 1, 125, 126, 65535, 65536, 300000}

local function output_of(command)
  local p = io.popen(command)
  local text = p:read "*a"
  p:close()
  return text
end

-- Python's standard one: what is packaged is there, whatever else is called python3.
local PYTHON = "/usr/bin/python3"
local NODE = "NODE_PATH=\"${NODE_PATH:-}:/usr/share/nodejs\" node"

-- What is missing for a peer, or nil.
local function lacks(name)
  if H.missing.uring then
    return H.missing.uring
  elseif name == "python" and output_of(PYTHON .. " -c 'import websockets; print(1)' 2>&1") ~= "1\n"
  then
    return "there is no module websockets for Python"
  elseif name == "ws" and output_of(NODE .. " -p 'require(\"ws\") && 1' 2>&1") ~= "1\n" then
    return "there is no module ws for Node"
  elseif name == "chromium" and output_of "command -v chromium" == "" then
    return "chromium is not installed"
  end
end

local function write_file(path, text)
  local f = assert(io.open(path, "w"))
  f:write(text)
  f:close()
end

-- Run `fn(start)` in a run of its own; `start(command, script, ...)` starts a program of the script
-- with arguments, and gives a function that waits for its output. One at a time: there may be only
-- one helper thread. All programs end with the test.
local function beside(fn)
  local paths = {}
  local function start(command, script, ...)
    local path = os.tmpname()
    paths[#paths + 1] = path
    write_file(path, script)
    local line = ("timeout -s KILL %d sh -c '%s %s %s' 2>&1"):format(WAIT, command, path,
      table.concat({...}, " "))
    local task = rl.go(rl.offload, function(text)
      local p = io.popen(text)
      local out = p:read "*a"
      p:close()
      return out
    end, line)
    return function() return select(2, task:join(WAIT + 30)) end
  end
  local ok, err = pcall(rl.run, function() fn(start) end, {backend = "uring"})
  for _, path in ipairs(paths) do os.remove(path) end
  if not ok then
    error(err, 0)
  end
end

-- A server of theirs tells its port by connecting to us.
local function start_server(start, command, script)
  local listener = assert(net.listen "127.0.0.1:0")
  local wait = start(command, script, listener:addr():match ":(%d+)$")
  local conn, msg = listener:accept(WAIT)
  local port = conn and conn:read_line()
  if conn then conn:close() end
  listener:close()
  return assert(port, msg or "the server did not start"), wait
end

-- ---- their clients ------------------------------------------------------------------------------

-- Echoes; what became of the socket.
local function echo_server(opts)
  local ended = {}
  local server, url = wire.serve(function(ws)
    ended.deflate, ended.protocol = ws.deflate, ws.protocol
    wire.echo(ws)
    ended.code, ended.reason = ws.close_code, ws.close_reason
    ended.stats = ws:stats()
  end, opts)
  return server, url, ended
end

local NODE_CLIENT = [[
const ws = MAKE;
ws.binaryType = "arraybuffer";
const sizes = [0, 1, 125, 126, 65535, 65536, 300000];
let i = 0;
const next = () => i < sizes.length
  ? ws.send(i % 2 ? "\u00e4".repeat(sizes[i] >> 1) : new Uint8Array(sizes[i]).fill(i))
  : ws.close(4001, "tsch\u00fc\u00df");
ws.onopen = () => { console.log("protocol " + ws.protocol); next(); };
ws.onmessage = (e) => {
  const text = typeof e.data === "string";
  const right = text ? e.data === "\u00e4".repeat(sizes[i] >> 1)
    : new Uint8Array(e.data).every(b => b === i) && e.data.byteLength === sizes[i];
  console.log(sizes[i] + " " + right + " " + text);
  i++;
  next();
};
ws.onerror = (e) => console.log("error " + (e.message || ""));
ws.onclose = (e) => console.log("closed " + e.code + " " + e.wasClean);
]]

local PYTHON_CLIENT = [[
import asyncio, sys, websockets

async def main():
    async with websockets.connect(sys.argv[1], subprotocols=["x", "echo"], max_size=None) as ws:
        print("protocol", ws.subprotocol)
        for i, n in enumerate([0, 1, 125, 126, 65535, 65536, 300000]):
            data = "\u00e4" * (n // 2) if i % 2 else bytes([i]) * n
            await ws.send(data)
            got = await ws.recv()
            print(n, str(got == data).lower(), str(isinstance(got, str)).lower())
        await asyncio.wait_for(await ws.ping(b"ping"), 30)
        await ws.send(iter(["in ", "frag", "ments"]))
        assert await ws.recv() == "in fragments"
        await ws.close(4001, "tsch\u00fc\u00df")
        print("closed", ws.close_code, "true")

asyncio.run(main())
]]

local function expected_of_client()
  local lines = {"protocol echo"}
  for i, size in ipairs(SIZES) do
    lines[#lines + 1] = ("%d true %s"):format(size, i % 2 == 0)
  end
  lines[#lines + 1] = "closed 4001 true\n"
  return table.concat(lines, "\n")
end

local function check_client(command, script, deflate)
  local said, ended
  beside(function(start)
    local server, url, became = echo_server{
      protocols = {"echo"}, heartbeat = 0.05, heartbeat_timeout = WAIT, deflate = deflate,
    }
    ended = became
    said = start(command, script:gsub("URL", url), url)()
    server:stop(WAIT)
  end)
  assert.equal(expected_of_client(), (said:gsub("%(node:.-\n%(Use.-\n", "")))
  assert.equal("4001 tschüß", ended.code .. " " .. ended.reason)
  return ended
end

-- The command that runs Node with a client of its own, or nil.
local function node()
  for _, command in ipairs{"node", "node --experimental-websocket"} do
    if output_of(command .. " -e 'console.log(typeof WebSocket)' 2>/dev/null"):find "function" then
      return command
    end
  end
end

-- Tests with and without compression, where there is some.
local function each_way(what, need, fn)
  for _, deflate in ipairs{false, DEFLATE} do
    it(what .. (deflate and ", compressed" or ""), function()
      local why = lacks(need)
      if why then return pending(why) end
      fn(deflate or nil)
    end)
  end
end

describe("our server", function()
  each_way("speaks with Node's own client", nil, function(deflate)
    local command = node()
    if not command then return pending "there is no Node with a WebSocket client" end
    local script = NODE_CLIENT:gsub("MAKE", 'new WebSocket("URL", ["x", "echo"])')
    local ended = check_client(command, script, deflate)
    assert.equal(deflate ~= nil, ended.deflate)
  end)

  each_way("speaks with Node's module ws", "ws", function(deflate)
    local script = NODE_CLIENT:gsub("MAKE",
      'new (require("ws"))("URL", ["x", "echo"], {perMessageDeflate: {threshold: 0}})')
    local ended = check_client(NODE, script, deflate)
    assert.equal(deflate ~= nil, ended.deflate)
    assert.equal(deflate ~= nil, ended.stats.bytes_in < 100000)
  end)

  each_way("speaks with Python's websockets", "python", function(deflate)
    local ended = check_client(PYTHON, PYTHON_CLIENT, deflate)
    assert.equal(deflate ~= nil, ended.deflate)
    assert.equal(deflate ~= nil, ended.stats.bytes_in < 100000)
  end)
end)

-- ---- their servers ------------------------------------------------------------------------------

-- Echoes at /echo; closes at /close with 4002; has no WebSocket at /refuse (401) and /moved (302);
-- pings at /ping, and tells what came back. Ends when the socket of /quit is there.
local NODE_SERVER = [[
const {WebSocketServer} = require("ws"), http = require("http"), net = require("net");
const server = http.createServer((req, res) => {
  res.writeHead(200, {"Content-Type": "text/plain"});
  res.end("no upgrade");
});
const wss = new WebSocketServer({
  noServer: true, maxPayload: 0, perMessageDeflate: {threshold: 0},
  handleProtocols: (offered) => offered.has("echo") ? "echo" : false,
});
server.on("upgrade", (req, socket, head) => {
  const say = (line, more) => socket.end("HTTP/1.1 " + line + "\r\nContent-Length: 0\r\n" + more
    + "Connection: close\r\n\r\n");
  if (req.url === "/refuse") return say("401 Unauthorized", "WWW-Authenticate: Basic\r\n");
  if (req.url === "/moved") return say("302 Found", "Location: /echo\r\n");
  wss.handleUpgrade(req, socket, head, (ws) => {
    if (req.url === "/echo") ws.on("message", (data, binary) => ws.send(data, {binary}));
    if (req.url === "/close") ws.on("message", () => ws.close(4002, "enough"));
    if (req.url === "/ping") {
      ws.on("pong", (data) => ws.send("pong " + data));
      ws.ping("are you there");
    }
    if (req.url === "/quit") process.exit(0);
  });
});
server.listen(0, "127.0.0.1", () => net.connect(process.argv[2], "127.0.0.1")
  .end(server.address().port + "\n"));
]]

local PYTHON_SERVER = [[
import asyncio, http, os, socket, sys, websockets

async def handler(ws):
    if ws.path == "/echo":
        async for message in ws:
            await ws.send(message)
    elif ws.path == "/close":
        await ws.recv()
        await ws.close(4002, "enough")
    elif ws.path == "/ping":
        await asyncio.wait_for(await ws.ping(b"are you there"), 30)
        await ws.send("pong are you there")
        await ws.wait_closed()
    elif ws.path == "/quit":
        os._exit(0)

async def request(path, headers):
    if path == "/refuse":
        return http.HTTPStatus.UNAUTHORIZED, [("WWW-Authenticate", "Basic")], b""
    if path == "/moved":
        return http.HTTPStatus.FOUND, [("Location", "/echo")], b""

async def main():
    async with websockets.serve(handler, "127.0.0.1", 0, subprotocols=["echo"], max_size=None,
            process_request=request) as server:
        port = server.sockets[0].getsockname()[1]
        with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as s:
            s.sendall(b"%d\n" % port)
        await asyncio.Future()

asyncio.run(main())
]]

local function speak(url, deflate)
  local ws = assert(websocket.connect(url .. "/echo",
    {protocols = {"other", "echo"}, deflate = deflate, timeout = WAIT, close_timeout = WAIT}))
  assert.equal("echo", ws.protocol)
  assert.equal(deflate ~= nil, ws.deflate)
  for i, size in ipairs(SIZES) do
    local data = i % 2 == 0 and ("ä"):rep(math.floor(size / 2)) or string.char(i):rep(size)
    local kind = i % 2 == 0 and "text" or "binary"
    assert.is_true(ws:send(data, kind))
    local got, got_kind = ws:recv(WAIT)
    assert.is_true(got == data and got_kind == kind, size .. " " .. tostring(got_kind))
  end
  ws:ping "x"
  ws:send "behind the pong"
  assert.equal("behind the pong", ws:recv(WAIT))
  assert.equal(1, ws:stats().pongs_in)
  assert.equal(deflate ~= nil, ws:stats().bytes_out < 100000)
  ws:close(4003, "done")
  assert.equal(4003, ws.close_code)
end

local function check_server(command, script, deflate)
  beside(function(start)
    local port = start_server(start, command, script)
    local url = "ws://127.0.0.1:" .. port
    speak(url, deflate)

    local ws = assert(websocket.connect(url .. "/close", {deflate = deflate}))
    assert.is_nil(ws.protocol)
    ws:send "go"
    assert.equal("ECLOSED", select(3, ws:recv(WAIT)))
    assert.equal("4002 enough", ws.close_code .. " " .. ws.close_reason)
    ws:close()

    ws = assert(websocket.connect(url .. "/ping", {deflate = deflate}))
    assert.equal("pong are you there", ws:recv(WAIT))
    assert.equal(1, ws:stats().pings_in)
    assert.equal("ETIMEDOUT", select(3, ws:recv(0.02)))
    ws:close()

    local refused = H.pack(websocket.connect(url .. "/refuse"))
    assert.same({n = 4, nil, "EREFUSED: the server answered 401", "EREFUSED", 401}, refused)
    assert.equal(302, select(4, websocket.connect(url .. "/moved")))
    websocket.connect(url .. "/quit", {timeout = WAIT})
  end)
end

describe("our client", function()
  each_way("speaks with Node's module ws as a server", "ws", function(deflate)
    check_server(NODE, NODE_SERVER, deflate)
  end)

  each_way("speaks with Python's websockets as a server", "python", function(deflate)
    check_server(PYTHON, PYTHON_SERVER, deflate)
  end)
end)

-- ---- a browser ----------------------------------------------------------------------------------

-- What a user does in the page: waits to be welcome, says something, reads it, and closes.
local DRIVER = [[
<img src="/wait">
<script>
  new MutationObserver(() => {
    const text = lines.textContent;
    if (text.includes("is here") && !input.dataset.said) {
      input.dataset.said = 1;
      input.value = "hello from the browser";
      document.querySelector("form").requestSubmit();
    }
    if (text.includes("hello from the browser") && ws.readyState === 1) ws.close(4004);
    if (text.includes("(closed:")) fetch("/done", {method: "POST", body: text});
  }).observe(lines, {childList: true});
</script>
]]

local CHROMIUM = "chromium --headless --no-sandbox --disable-gpu --disable-dev-shm-usage " ..
  "--no-first-run --user-data-dir=%s --dump-dom %s 2>/dev/null"

-- Serves the example's page with our script in it. The browser takes it for loaded when the picture
-- is there, which is when it has said what it saw.
local function serve_page(page, addr, done)
  page = page:gsub("%${location%.host}", addr)
  page = "<!doctype html><script>prompt = () => \"Ann\"</script>" .. page .. DRIVER
  return assert(http.serve("127.0.0.1:0", function(req, res)
    if req.path == "/done" then
      done:send((req:read_all(10000)))
      res:send(200)
    elseif req.path == "/wait" then
      while #done == 0 do rl.sleep(0.01) end
      res:send(404)
    else
      res:header("Content-Type", "text/html; charset=utf-8"):send(200, page)
    end
  end))
end

describe("examples/chat.lua", function()
  it("works in Chromium", function()
    local why = lacks "chromium"
    if why then return pending(why) end
    local folder = output_of "mktemp -d":match "[^\n]+"
    finally(function() os.execute("rm -rf " .. folder) end)
    local seen, dom
    beside(function(start)
      local addr = P.free_address()
      local script = folder .. "/chat.lua"
      write_file(script, ("package.path, package.cpath, arg = %q, %q, {%q, 2}\n" ..
        "dofile 'examples/chat.lua'"):format(package.path, package.cpath, addr))
      local pid = output_of(("timeout -s KILL 150 %s %s >/dev/null 2>&1 & echo $!"):format(
        H.interpreter(), script)):match "%d+"
      local page = H.eventually("an answer of the example", function()
        local res = http.get("http://" .. addr .. "/", {timeout = WAIT})
        return res and res:read_all()
      end)
      local done = rl.chan(10)
      local server = serve_page(page, addr, done)
      dom = start(CHROMIUM:format(folder .. "/profile", "http://" .. server:addr() .. "/") .. "; :",
        "")()
      seen = done:recv(WAIT)
      os.execute("kill " .. pid)
      server:stop(1)
    end)
    assert.equal("Ann is hereAnn: hello from the browser(closed: 4004)", seen, dom)
    assert.is_truthy(dom:find("<div>Ann: hello from the browser</div>", 1, true), dom)
  end)
end)
