-- SPDX-License-Identifier: MIT
-- Unix sockets: addresses, files, peers. On sim they are names in memory.
local H = require "spec.helper"
local net = require "ringlet.net"
local rl = require "ringlet"

local function temporary()
  local path = os.tmpname()
  os.remove(path)
  return path
end

local function mode_of(path)
  local pipe = io.popen("stat -c '%a %F' " .. path .. " 2>&1")
  local text = pipe:read "*l"
  pipe:close()
  return text
end

local function exists(path)
  return mode_of(path):find "No such file" == nil
end

local function greet(conn)
  conn:write(conn:read_line(), " from ", conn:peername(), " at ", conn:sockname(), "\n")
end

-- What greet answers a client of this address.
local function ask(addr)
  local conn = rl.check(net.connect(addr))
  conn:write "hello\n"
  local text = conn:read_line()
  conn:close()
  return text
end

H.both("a Unix socket", function(it, backend)
  it("is listened on by path", function()
    local addr = "unix:" .. temporary()
    local server = rl.check(net.serve(addr, greet))
    assert.equal(addr, server:addr())
    assert.equal("hello from unix: at " .. addr, ask(addr))
    server:stop()
    assert.equal("ENOENT", (select(3, net.connect(addr))))
  end)

  it("is listened on by an abstract name", function()
    local addr = "unix:@" .. temporary()
    local server = rl.check(net.serve(addr, greet))
    assert.equal("hello from unix: at " .. addr, ask(addr))
    server:stop()
    assert.equal("ECONNREFUSED", (select(3, net.connect(addr))))
  end)

  it("has one listener", function()
    local addr = "unix:" .. temporary()
    local listener = rl.check(net.listen(addr))
    assert.equal("EADDRINUSE", (select(3, net.listen(addr))))
    rl.check(net.connect(addr)):close()
    rl.check(listener:accept()):close()
    listener:close()
    -- Closing is an operation; only the file of a real one goes at once.
    H.eventually("the address is free", function() return net.listen(addr) end):close()
  end)

  it("is served on several shards by handing connections over", function()
    local addr = "unix:" .. temporary()
    local server = rl.check(net.serve(addr, function(conn)
      conn:write(conn:sockname(), "\n")
    end, {shards = "all"}))
    local conn = rl.check(net.connect(addr))
    assert.equal(addr, conn:read_line())
    conn:close()
    server:stop()
    H.raises_text("handover", net.serve, addr, greet, {shards = "all", accept = "reuseport"})
  end)

  it("tells who is at the other end", function()
    local addr = "unix:" .. temporary()
    local listener = rl.check(net.listen(addr))
    local client = rl.check(net.connect(addr))
    local conn = rl.check(listener:accept())
    local a, b = client:credentials(), conn:credentials()
    assert.same(a, b)
    assert.is_true(a.pid > 1 and a.uid >= 0 and a.gid >= 0)
    client:close()
    conn:close()
    listener:close()
    local tcp = rl.check(net.listen "127.0.0.1:0")
    local other = rl.check(net.connect(tcp:addr()))
    assert.equal("EOPNOTSUPP", (select(3, other:credentials())))
    other:close()
    assert.equal("ECLOSED", (select(3, other:credentials())))
    tcp:close()
  end)

  it("counts as one address", function()
    local addr = "unix:" .. temporary()
    local server = rl.check(net.serve(addr, function(conn)
      conn:read_all()
    end, {max_per_address = 1}))
    local a = rl.check(net.connect(addr))
    a:write "x"
    local b = net.connect(addr)
    assert.is_nil(b and b:read())
    assert.equal(1, server:stats().refused)
    a:close()
    if b then b:close() end
    server:stop()
  end)

  if backend == "uring" then
    it("has a file for its owner alone, until it is closed", function()
      local path = temporary()
      local listener = rl.check(net.listen("unix:" .. path))
      assert.equal("600 socket", mode_of(path))
      listener:close()
      assert.is_false(exists(path))
      local server = rl.check(net.serve("unix:" .. path, greet, {mode = "666"}))
      assert.matches("^6[046][046] socket$", mode_of(path))
      server:stop()
      assert.is_false(exists(path))
    end)

    it("leaves the file of another at its path", function()
      local path = temporary()
      local listener = rl.check(net.listen("unix:" .. path))
      os.remove(path)
      local other = rl.check(net.listen("unix:" .. path))
      listener:close()
      assert.is_true(exists(path))
      rl.check(net.connect("unix:" .. path)):close()
      other:close()
      assert.is_false(exists(path))
    end)

    it("takes the place of one that nobody listens on, and of nothing else", function()
      local path = temporary()
      H.script(H.KILL .. ([[
        rl.run(function()
          rl.check(require "ringlet.net".listen "unix:%s")
          kill "KILL"
        end, {backend = "uring"})
      ]]):format(path))
      assert.equal("socket", mode_of(path):match " (.*)")
      rl.check(net.listen("unix:" .. path)):close()
      io.open(path, "w"):close()
      assert.equal("EADDRINUSE", (select(3, net.listen("unix:" .. path))))
      assert.is_true(exists(path))
      os.remove(path)
    end)
  end
end)

describe("a Unix socket", function()
  it("has no file left when its run ends", function()
    if H.missing.uring then
      return pending(H.missing.uring)
    end
    local path, listener = temporary(), nil
    rl.run(function()
      listener = rl.check(net.listen("unix:" .. path))
      assert.is_true(exists(path))
    end, {backend = "uring"})
    assert.is_false(exists(path))
    assert.equal("ECLOSED", (select(3, listener:addr())))
  end)

  it("has a path of 107 bytes at most, and a mode in octal digits", function()
    rl.run(function()
      H.raises_text("at most 107 bytes", net.listen, "unix:/" .. ("x"):rep(107))
      rl.check(net.listen("unix:@" .. ("x"):rep(106))):close()
      H.raises_text("host:port", net.listen, "unix:relative")
      for _, mode in ipairs{"", "8", "60", "0o600", "6000", "rw"} do
        H.raises_text("octal", net.listen, "unix:/tmp/x", {mode = mode})
        H.raises_text("octal", net.serve, "unix:/tmp/x", greet, {mode = mode})
      end
    end, {backend = "sim"})
  end)
end)
