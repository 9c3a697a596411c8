-- SPDX-License-Identifier: MIT
-- Servers whose handler is a module, and is loaded again while they serve.
local H = require "spec.helper"
local http = require "ringlet.http"
local net = require "ringlet.net"
local rl = require "ringlet"

local GET = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"

-- A module in a file that every shard finds, because all have the path of the first.
local FILE = os.tmpname()
local NAME = FILE:match "[^/]+$"
package.path = FILE:sub(1, -#NAME - 1) .. "?.lua;" .. package.path

local function write_module(text)
  local file = assert(io.open(FILE .. ".lua", "w"))
  file:write(text)
  file:close()
end

-- A handler that says which version it is, how many requests it had, and where. Who asks for /slow
-- waits for `reload_gate`, on the first shard.
local function write_version(n)
  write_module(([[
local rl, count = require "ringlet", 0
return function(req, res)
  count = count + 1
  local text = ("%d: %%d on %%d"):format(count, rl.shard())
  if req.path == "/slow" then
    local gate = rawget(_G, "reload_gate")
    gate.waiting = true
    gate.event:wait()
  end
  res:send(200, text)
end]]):format(n))
end

local function serve(opts)
  write_version(1)
  package.loaded[NAME] = nil
  return assert(http.serve("127.0.0.1:0", NAME, opts))
end

local function new_gate()
  local gate = {event = rl.event()}
  rawset(_G, "reload_gate", gate)
  return gate
end

local function ask(conn)
  conn:write(GET)
  local head = assert(conn:read_until "\r\n\r\n")
  return conn:read_exactly(tonumber(head:match "Content%-Length: (%d+)"))
end

local function fails(pattern, code, shard, ...)
  local ok, msg, got, where = ...
  assert.is_nil(ok)
  assert.matches(pattern, msg)
  assert.same({code, shard}, {got, where})
end

local function remove()
  os.remove(FILE)
  os.remove(FILE .. ".lua")
end

-- ---- one shard ----------------------------------------------------------------------------------

H.both("a server whose handler is loaded again", function(it)
  it("gives new requests to the new one, on connections that there were too", function()
    local server = serve()
    local conn = assert(net.connect(server:addr()))
    assert.equal("1: 1 on 1", ask(conn))
    write_version(2)
    assert.equal("1: 2 on 1", ask(conn))
    assert.is_true(server:reload())
    assert.equal("2: 1 on 1", ask(conn))
    assert.is_true(server:reload(1))
    assert.equal("2: 1 on 1", ask(conn))
    conn:close()
    server:stop(1)
    fails("^ECLOSED", "ECLOSED", 1, server:reload())
    remove()
  end)

  it("ends requests under way with the old one", function()
    local server, gate = serve(), new_gate()
    local slow
    local asked = rl.go(function()
      slow = http.get("http://" .. server:addr() .. "/slow").body
    end)
    H.eventually("the request", function() return gate.waiting end)
    write_version(2)
    assert.is_true(server:reload())
    assert.equal("2: 1 on 1", http.get("http://" .. server:addr()).body)
    assert.is_nil(slow)
    gate.event:set()
    asked:join()
    assert.equal("1: 1 on 1", slow)
    server:stop(1)
    remove()
  end)

  it("has the options of the server around it", function()
    local seen = {}
    local server = serve{request_timeout = 0.1, on_access = function(_, _, info)
      seen[#seen + 1] = info.status
    end}
    write_version(2)
    new_gate() -- and it stays closed
    assert.is_true(server:reload())
    assert.equal(503, http.get("http://" .. server:addr() .. "/slow").status)
    assert.same({503}, seen)
    server:stop(1)
    remove()
  end)

  it("keeps the old one when the new one cannot be loaded", function()
    local server = serve()
    local url, old = "http://" .. server:addr(), package.loaded[NAME]
    for text, pattern in pairs{
      ["return ("] = "^EINVAL: the handler was not loaded: .*" .. NAME,
      ["error 'no database'"] = "no database",
      ["error {}"] = "^EINVAL: the handler was not loaded: table",
      ["return 7"] = "is no handler but a number",
      ["return {}"] = "is no handler but a table",
      [""] = "is no handler but a boolean",
      ["require 'ringlet'.sleep(1)"] = "^EINVAL",
    } do
      write_module(text)
      fails(pattern, "EINVAL", 1, server:reload())
      assert.equal(old, package.loaded[NAME])
    end
    os.remove(FILE .. ".lua")
    fails("not found", "EINVAL", 1, server:reload())
    assert.equal("1: 1 on 1", http.get(url).body)
    write_module "return setmetatable({}, {__call = function(_, _, res) res:send(204) end})"
    assert.is_true(server:reload())
    assert.equal(204, http.get(url).status)
    server:stop(1)
    remove()
  end)
end)

H.both("reload", function(it)
  it("is misuse of a server whose handler is no module", function()
    local function nothing() end
    local servers = {
      http.serve("127.0.0.1:0", nothing), net.serve("127.0.0.1:0", nothing),
      http.serve("127.0.0.1:0", nothing, {shards = {1, 2}}),
      net.serve("127.0.0.1:0", {on_data = nothing}, {shards = {1, 2}}),
    }
    for _, server in ipairs(servers) do
      local err = H.raises(function() server:reload() end)
      assert.matches("http_reload_spec.lua:%d+: only a handler that is the name of a module", err)
      server:stop(1)
    end
  end, {shards = 2})

  it("is misuse for a shard where it does not serve", function()
    local one, two = serve(), serve{shards = {2}}
    H.raises_text("does not serve on shard 2", one.reload, one, 2)
    H.raises_text("does not serve on shard 1", two.reload, two, 1)
    H.raises_text("does not serve on shard x", two.reload, two, "x")
    one:stop(1)
    two:stop(1)
    remove()
  end, {shards = 2})
end)

H.both("a module that is no handler", function(it)
  it("is told of before anything listens", function()
    write_module "return 7"
    local taken = assert(net.listen("127.0.0.1:0"))
    local addr = taken:addr()
    taken:close()
    for _, shards in ipairs{1, {2}, {1, 2}} do
      local opts = {shards = shards}
      H.raises_text("is no handler but a number", http.serve, addr, NAME, opts)
      H.raises_text("module 'no.such' not found", http.serve, addr, "no.such", opts)
    end
    assert(net.listen(addr)):close()
    remove()
  end, {shards = 2})
end)

-- ---- two shards ---------------------------------------------------------------------------------

-- What a request gets on that shard: simulated shards have a network of their own each.
local function ask_on(shard, server)
  return assert(select(2, rl.spawn_on(shard, function(url)
    return require "ringlet.http".get(url).body
  end, "http://" .. server:addr()):join()))
end

H.sim("a server on two simulated shards", function(it)
  it("has its handler loaded again on one of them, or on all", function()
    local server = serve{shards = 2}
    assert.equal("1: 1 on 1", ask_on(1, server))
    assert.equal("1: 1 on 2", ask_on(2, server))
    write_version(2)
    assert.is_true(server:reload(2))
    assert.equal("1: 2 on 1", ask_on(1, server))
    assert.equal("2: 1 on 2", ask_on(2, server))
    write_version(3)
    assert.is_true(server:reload())
    assert.equal("3: 1 on 1", ask_on(1, server))
    assert.equal("3: 1 on 2", ask_on(2, server))
    server:stop(1)
    remove()
  end, {shards = 2})
end)

H.on("uring", "a server on two shards", function(it)
  local function each(server)
    local conns = {}
    for _ = 1, 2 do
      local conn = assert(net.connect(server:addr()))
      conns[tonumber(ask(conn):match "on (%d)")] = conn
    end
    return conns
  end

  local function with_server(fn)
    local server = serve{shards = 2, accept = "handover", placement = "turn"}
    local conns = each(server)
    fn(server, conns)
    for _, conn in ipairs(conns) do conn:close() end
    server:stop(1)
    remove()
  end

  it("has its handler loaded again on one of them, or on all", function()
    with_server(function(server, conns)
      write_version(2)
      assert.is_true(server:reload(2))
      assert.equal("1: 2 on 1", ask(conns[1]))
      assert.equal("2: 1 on 2", ask(conns[2]))
      write_version(3)
      assert.is_true(server:reload())
      assert.equal("3: 1 on 1", ask(conns[1]))
      assert.equal("3: 1 on 2", ask(conns[2]))
    end)
  end, {shards = 2})

  it("goes shard by shard, up to the first where it fails", function()
    with_server(function(server, conns)
      write_module "assert(require 'ringlet'.shard() == 1, 'not here') return print"
      fails("not here", "EINVAL", 2, server:reload())
      write_version(2)
      assert.equal("1: 2 on 2", ask(conns[2]))
      assert.is_true(server:reload(1))
      assert.equal("2: 1 on 1", ask(conns[1]))
    end)
  end, {shards = 2})

  it("leaves out a shard that has been drained", function()
    with_server(function(server, conns)
      server:drain(2)
      write_version(2)
      assert.is_true(server:reload(2)) -- its last requests
      assert.equal("2: 1 on 2", ask(conns[2]))
      assert.equal("EOF", select(3, conns[2]:read(20)))
      H.eventually("the shard's end", function() return server:shards()[2] == "ended" end)
      fails("^ECLOSED", "ECLOSED", 2, server:reload(2))
      assert.is_true(server:reload())
      assert.equal("2: 1 on 1", ask(conns[1]))
    end)
  end, {shards = 2})

  it("loses no request while it is loaded again and again", function()
    with_server(function(server)
      local url, last = "http://" .. server:addr(), H.rounds(50, 5)
      local asked, done = 0, false
      local wg = rl.waitgroup()
      for _ = 1, 4 do
        wg:go(function()
          local client = http.client()
          while not done do
            assert.matches("^%d+: %d+ on %d$", rl.check(client:get(url)).body)
            asked = asked + 1
          end
          client:close()
        end)
      end
      for n = 1, last do
        write_version(n)
        assert(server:reload())
        rl.yield()
      end
      done = true
      wg:wait()
      assert.is_true(asked > 0)
      assert.matches("^" .. last .. ":", http.get(url).body)
    end)
  end, {shards = 2})
end)
